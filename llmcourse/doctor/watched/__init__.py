"""What a watch is made of: what it heard and found, the calls that ended, what a script does."""

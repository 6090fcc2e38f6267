"""More than one process, or less than a model's memory: a short script each, run by scaling.py."""

"""What is wrong with a call to `generate`: looked at before, while and after it runs."""

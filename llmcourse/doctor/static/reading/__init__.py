"""What the checks are built of: the parsed source, what a name stands for, what a call is given.

No check stands here. Every room uses it, and it uses none of them.
"""

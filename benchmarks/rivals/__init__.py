"""Other programs that generate, each a rung of the ladder with an environment of its own."""

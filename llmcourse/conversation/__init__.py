"""A conversation with a model: its turns, its settings, and a terminal to have it in."""

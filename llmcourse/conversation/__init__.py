"""A conversation with a model: its turns, tools, settings, and a terminal to have it in."""

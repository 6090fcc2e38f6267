"""Servers: one that is started and ended here, how much it carries, how many are needed."""

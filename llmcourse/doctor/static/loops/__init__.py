"""Loops by hand around `model(...)`: what a pass is fed, its cache, its places and its rows."""

from llmcourse.doctor.static.loops import caches, passes, places, rows

MODULES = (
    caches,
    passes,
    places,
    rows,
)

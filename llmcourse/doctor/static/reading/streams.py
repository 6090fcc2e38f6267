"""Streamers: of which kind they are, and where they are read to their end."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.static.reading.following import followed
from llmcourse.doctor.static.reading.source import Source, last_name, name_of

# What is gone through piece by piece, and what prints besides.
ITERATORS = ("TextIteratorStreamer", "AsyncTextIteratorStreamer")
STREAMERS = ("TextStreamer", *ITERATORS)
_READS = ("list", "tuple", "join", "enumerate", "set", "sorted", "StreamingResponse", "Response")


def streams_read(source: Source) -> Iterator[tuple[ast.AST, ast.AST, ast.Call]]:
    """Yield where a streamer is read to its end: the place, what is read, what made it."""
    for node in list(source.scopes):
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            read = node.iter
        elif name_of(node) in _READS and node.args:
            read = node.args[0]
        else:
            continue
        if isinstance(read, ast.Call) and last_name(read.func) == "enumerate" and read.args:
            read = read.args[0]
        made = followed(source, read)
        if name_of(made) in STREAMERS:
            yield node if hasattr(node, "lineno") else read, read, made

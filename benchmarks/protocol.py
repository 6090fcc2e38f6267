"""How the ladder talks to a rung: a line of JSON in, a line of JSON out.

A rung is a process of its own, of whatever program. When it is ready it writes what it is:

    {"ready": true, "name": "float32", "weight_bytes": 538, "version": "torch 2.13.0", "threads": 2}

then, for each line `{"prompt": [ids], "new_tokens": n}` that it reads,

    {"tokens": [ids], "first": seconds, "rest": seconds}

until its input closes. `first` is the time to the first new token, `rest` that from there to the
last. This module needs nothing but Python, so that a rung can run without the course's packages.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial


def rung_arguments(description: str, name: str) -> argparse.ArgumentParser:
    """Return a parser for what the ladder tells a rung: its name, and how many threads it has."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--name", default=name, help="of the rung")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def serve(stream: Callable[[list[int], int], Iterator[int]], **about) -> None:
    """Answer the ladder until it closes the input.

    stream: (prompt's ids, number of new tokens) -> the new tokens, one by one, greedily, the end of
    a text stopping nothing. about: as `serve_timed` has it.
    """
    serve_timed(partial(timed, stream), **about)


def serve_timed(
    answer: Callable[[list[int], int], dict],
    *,
    name: str,
    weight_bytes: int,
    version: str,
    threads: int,
    weights: str = "float32",
) -> None:
    """Answer the ladder with what `answer` returns: tokens, first, rest.

    weight_bytes: that one token reads. version: of the program. weights: the kind of
    `llmcourse.decoding.by_hand.decode_step.dequantized` that holds the same numbers.
    """
    answers = own_stdout()
    ready = {"ready": True, "name": name, "weight_bytes": weight_bytes, "version": version}
    write(answers, ready | {"threads": threads, "weights": weights})
    for line in sys.stdin:
        asked = json.loads(line)
        write(answers, answer(asked["prompt"], asked["new_tokens"]))


def timed(stream: Callable, prompt: list[int], new_tokens: int) -> dict:
    """Return the tokens, and the seconds to the first and from there to the last."""
    started = time.perf_counter()
    tokens = []
    for token in stream(prompt, new_tokens):
        if not tokens:
            reached = time.perf_counter()
        tokens.append(token)
    ended = time.perf_counter()
    return {"tokens": tokens, "first": reached - started, "rest": ended - reached}


def own_stdout():
    """Return what was stdout; what a library prints goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def write(answers, message: dict) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()

"""Checks for the learner's own loop of lesson 2, piece by piece, and for the lesson's exercises.

Each runs an answer on a stand-in model of a few lines, whose texts a slow and obvious loop writes
again, and raises AssertionError with the one misconception that it found, or prints a line.
"""

from llmcourse.checks.decoding_loop.exercises import (
    check_answer_lengths,
    check_log_probability,
    check_no_recent_token,
)
from llmcourse.checks.decoding_loop.one_row import (
    check_append_and_repeat,
    check_draw,
    check_until_eos,
    check_with_cache,
)
from llmcourse.checks.decoding_loop.padded_batches import (
    check_grown,
    check_left_padded,
    check_my_loop,
    check_positions,
)

__all__ = [
    "check_append_and_repeat",
    "check_until_eos",
    "check_with_cache",
    "check_draw",
    "check_left_padded",
    "check_positions",
    "check_grown",
    "check_my_loop",
    "check_answer_lengths",
    "check_no_recent_token",
    "check_log_probability",
]

"""How fast a model generates, what memory it takes, and how fast the machine would let it.

    >>> from llmcourse import measure
    >>> measure.pace(model, rows=1, prompt_tokens=64, new_tokens=32)

A figure is measured several times, in turns with what it is compared with, after a warm-up:
`in_turns`. It has its spread beside it; where that is wide, the machine is too noisy to tell.
"""

from llmcourse.measure.cache_size import cache_bytes, layers_of
from llmcourse.measure.figure import Figure, in_turns
from llmcourse.measure.limit import Reads, fraction_of_limit, reads
from llmcourse.measure.machine import describe_machine, read_bandwidth
from llmcourse.measure.memory import Memory, peak_memory, weight_bytes
from llmcourse.measure.pace import Pace, pace

__all__ = [
    "Figure",
    "Memory",
    "Pace",
    "Reads",
    "cache_bytes",
    "describe_machine",
    "fraction_of_limit",
    "in_turns",
    "layers_of",
    "pace",
    "peak_memory",
    "read_bandwidth",
    "reads",
    "weight_bytes",
]

"""How a loop by hand chooses its next token: temperature, draws, filters, penalties, beams.

What the loop around it is fed is in `loops`; settings of `generate` are in `calls`.
"""

from llmcourse.doctor.static.sampling import (
    beams,
    draws,
    filters,
    pairs,
    penalties,
    removing,
    temperature,
)

MODULES = (
    beams,
    draws,
    filters,
    pairs,
    penalties,
    removing,
    temperature,
)

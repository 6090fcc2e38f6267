"""How a loop by hand chooses its next token: temperature, draws, filters, penalties, beams.

What the loop around it is fed is in `loops`; settings of `generate` are in `calls`.
"""

from llmcourse.doctor.static.sampling import by_hand, filters, pairs

MODULES = (
    by_hand,
    filters,
    pairs,
)

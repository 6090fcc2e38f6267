"""Numbers about a text: scores that were kept, probabilities, losses, masks, hidden states.

From one pass over a text that is there; what chooses the next token is in `sampling`.
"""

from llmcourse.doctor.static.scores import (
    asked_for,
    hidden_states,
    losses,
    masked,
    outputs,
    probabilities,
    shifts,
    transitions,
)

MODULES = (
    asked_for,
    hidden_states,
    losses,
    masked,
    outputs,
    probabilities,
    shifts,
    transitions,
)

"""The model before it writes: how it is loaded, placed, adapted, changed, trained and judged."""

from llmcourse.doctor.static.models import (
    adapters,
    changes,
    devices,
    evaluation,
    heads,
    loads,
    training,
)

MODULES = (
    adapters,
    changes,
    devices,
    evaluation,
    heads,
    loads,
    training,
)

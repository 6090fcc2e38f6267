"""What is done with a text that came: decoded, cut, counted, searched and taken apart.

From the ids that come out to the label that is read; numbers about them are in `scores`.
"""

from llmcourse.doctor.static.answers import (
    candidates,
    counts,
    cuts,
    decoding,
    labels,
    marks,
    parsing,
    patterns,
    pipelines,
    rows,
)

MODULES = (
    candidates,
    counts,
    cuts,
    decoding,
    labels,
    marks,
    parsing,
    patterns,
    pipelines,
    rows,
)

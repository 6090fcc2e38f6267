"""Known pitfalls of a call to `generate`: small checks, each of which looks at one fact.

A check takes a `Case` and yields the findings that it has, mostly none or one. BEFORE: those that
need no run. AFTER: those that need its output, or what was recorded while it ran.
"""

from llmcourse.pitfalls import inputs

BEFORE = (inputs.padding_side, inputs.no_mask, inputs.pad_is_eos)
AFTER = ()

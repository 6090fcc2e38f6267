"""What `generate` calls at each step and somebody wrote: processors, allowed tokens.

Also how a class is called at all; when a criterion says stop is in `stopping`.
"""

from llmcourse.doctor.static.rules import allowed, processors, signatures, states

MODULES = (
    allowed,
    processors,
    signatures,
    states,
)

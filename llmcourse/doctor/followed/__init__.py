"""What is followed while a script runs under the doctor, in whatever way it is written.

`logits` follows what becomes of a model's logits; `distributions` and `likelihoods` look at the
steps that the script takes with them. IN_A_RUN has their checks, by code.
"""

from llmcourse.doctor.followed import distributions, likelihoods
from llmcourse.doctor.followed.registry import InARun

_MODULES = (distributions, likelihoods)
IN_A_RUN: dict[str, InARun] = {
    known.code: known
    for module in _MODULES
    for known in vars(module).values()
    if isinstance(known, InARun)
}

__all__ = ["IN_A_RUN", "InARun"]

"""What is followed while a script runs under the doctor, in whatever way it is written.

`logits` follows what becomes of a model's logits; `distributions` and `likelihoods` look at the
steps that the script takes with them; IN_A_RUN has their checks, by code. `provenance` follows what
becomes of decoded texts, `callables` what `generate` calls of the script's, noted by `step_notes`
step by step, and `kept_turns` looks at what it keeps of a conversation: their facts go into a
call's `Case`, for the pitfalls.
"""

from collections.abc import Callable, Container, Iterator

from llmcourse.doctor.finding import Finding
from llmcourse.doctor.followed import distributions, likelihoods
from llmcourse.doctor.followed.logits import Use
from llmcourse.doctor.followed.registry import InARun

_MODULES = (distributions, likelihoods)
IN_A_RUN: dict[str, InARun] = {
    known.code: known
    for module in _MODULES
    for known in vars(module).values()
    if isinstance(known, InARun)
}


def look(
    use: Use, known: Container[str], failed: Callable[[str, Exception], None]
) -> Iterator[Finding]:
    """Yield the first finding of each check of a step; known: codes that are not asked for again.

    failed: is told of a check that fails, by its code, and of its error.
    """
    for check in IN_A_RUN.values():
        if check.code in known:
            continue
        try:
            found = next(iter(check(use)), None)
        except Exception as error:
            failed(check.code, error)
            continue
        if found is not None:
            yield found


__all__ = ["IN_A_RUN", "InARun", "look"]

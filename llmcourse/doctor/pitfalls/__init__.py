"""Known pitfalls of a call to `generate`: small checks, each of which looks at one fact.

A new one is a function with `@pitfall` above it in one of these modules, and a faulty call in
tests/doctor/corpus.py. PITFALLS has them all, by code, in the order in which they run.
"""

from llmcourse.doctor.pitfalls import decoded, forwards, inputs, loading, outputs, prompts, settings
from llmcourse.doctor.pitfalls.registry import Needs, Pitfall, Subject, facts_in

PITFALLS: dict[str, Pitfall] = {
    known.code: known
    for module in (inputs, prompts, settings, loading, outputs, decoded, forwards)
    for known in vars(module).values()
    if isinstance(known, Pitfall)
}

__all__ = ["PITFALLS", "Needs", "Pitfall", "Subject", "facts_in"]

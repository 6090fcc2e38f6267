"""Known pitfalls of a call to `generate`: small checks, each of which looks at one fact.

A new one is a function with `@pitfall` above it in one of these modules, and a faulty call in
tests/doctor/corpus/. PITFALLS has them all, by code, in the order in which they run.
"""

from llmcourse.doctor.pitfalls import (
    allowed,
    beside,
    chats,
    counters,
    criteria,
    cut_texts,
    decoded,
    drawing,
    encodings,
    ends,
    forwards,
    histories,
    idle,
    inputs,
    kinds,
    loading,
    outputs,
    parsed,
    penalties,
    processors,
    prompts,
    searched,
    settings,
    templates,
    texts,
    thinking,
    vocabulary,
    weights,
)
from llmcourse.doctor.pitfalls.registry import Needs, Pitfall, Subject, facts_in

_MODULES = (
    *(inputs, encodings, prompts, texts, chats, histories, templates),
    *(settings, kinds, drawing, penalties, processors, counters, allowed, criteria, ends, idle),
    *(loading, weights, vocabulary, beside, outputs, decoded, thinking, forwards),
    *(cut_texts, searched, parsed),
)
PITFALLS: dict[str, Pitfall] = {}
for _module in _MODULES:
    for _known in list(vars(_module).values()):
        if isinstance(_known, Pitfall):
            _other = PITFALLS.get(_known.code)
            PITFALLS[_known.code] = _known if _other is None else _other.beside(_known)

__all__ = ["PITFALLS", "Needs", "Pitfall", "Subject", "facts_in"]

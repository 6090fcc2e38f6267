"""What a pitfall is: a check, and beside it all that is known about what the check finds.

    @pitfall("no-length", subject=Subject.LENGTH, severities=(WARNING,), symptom="...", ...)
    def no_length(case):
        if nobody_sets_a_length(case):
            yield Finding(code="no-length", severity=WARNING, ...)

`diagnose` and `watch` run every check whose needs a case meets, and `tools/pitfalls_page.py` makes
docs/pitfalls.md from the words.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import Finding
from llmcourse.doctor.subject import Subject


class Needs(StrEnum):
    """The facts that a check can look at, and who knows them."""

    CALL = "call"  # prompt, inputs, settings, model, tokenizer: known before anything runs
    OUTPUT = "output"  # what `generate` returned: with `run=True`, and under `watch`
    CHATS = "chats"  # a conversation, passed to `diagnose` or seen to be rendered into the prompt
    # Only somebody who watches knows the others.
    LOADS = "loads"  # what `from_pretrained` was asked for before the call, and what it left open
    TEMPLATE_CALLS = "template_calls"  # the conversation that was rendered into the prompt
    TOKENIZER_CALLS = "tokenizer_calls"  # what was tokenized into the prompt
    # What was decoded of the output, after the call; the case has no weights by then, its model is
    # `config` and `generation_config`.
    DECODINGS = "decodings"
    FAILED = "failed"  # a tokenizer's call whose error ended the program
    FORWARDS = "forwards"  # passes outside `generate`: a loop written by hand
    USES = "uses"  # what a script that runs under the doctor did with a decoded text
    STREAMED = "streamed"  # what such a script looked for in the pieces of a stream
    CALLED = "called"  # what processors, criteria and the like got and returned, step by step


def facts_in(case: Case) -> set[Needs]:
    """Return what a case has for checks to look at."""
    held = {
        Needs.CALL: True,
        Needs.CHATS: bool(case.messages or case.template_calls),
        Needs.OUTPUT: case.output is not None,
        Needs.LOADS: bool(case.loads or case.load_reports),
        Needs.TEMPLATE_CALLS: bool(case.template_calls),
        Needs.TOKENIZER_CALLS: bool(case.tokenizer_calls),
        Needs.DECODINGS: bool(case.decoded),
        Needs.FAILED: case.failed is not None,
        Needs.FORWARDS: bool(case.forwards),
        Needs.USES: bool(case.uses),
        Needs.STREAMED: case.streamed is not None,
        Needs.CALLED: bool(case.called),
    }
    return {need for need, there in held.items() if there}


Check = Callable[[Case], Iterator[Finding]]


@dataclass(frozen=True, eq=False)
class Pitfall:
    """A known pitfall: what finds it, and what docs/pitfalls.md says about it.

    It is called as the check is. The words are Markdown; white space in them counts as one space.
    """

    code: str  # a name that never changes: `padding-side`
    check: Check  # yields what it finds in a case, mostly nothing or one finding of this code
    subject: Subject  # the group that it belongs to
    severities: tuple[str, ...]  # those that its findings may have
    symptom: str  # what somebody sees who has not found it yet
    cause: str  # what the loop does then
    how_sure: str  # which part of a finding is certain, and which is inferred
    fix: str = ""  # what to do, in words; "" where the example says it
    example: str = ""  # lines of Python that do it
    needs: tuple[Needs, ...] = (Needs.CALL,)  # any of them gives it something to look at
    explains_refusal: bool = False  # its errors say better than `generate` why a call is refused
    also: tuple[Check, ...] = ()  # other checks of the same mistake, in other facts

    def __call__(self, case: Case) -> Iterator[Finding]:
        return itertools.chain.from_iterable(check(case) for check in (self.check, *self.also))

    def beside(self, other: "Pitfall") -> "Pitfall":
        """Return both as one: the same mistake, seen by two checks in different facts."""
        return replace(
            self,
            also=(*self.also, other.check, *other.also),
            severities=tuple(dict.fromkeys((*self.severities, *other.severities))),
            how_sure=f"{self.how_sure} {other.how_sure}",
            needs=tuple(dict.fromkeys((*self.needs, *other.needs))),
        )


def pitfall(code: str, **known) -> Callable[[Check], Pitfall]:
    """Make the check below a Pitfall; known: its other fields, by name."""
    return lambda check: Pitfall(code=code, check=check, **known)

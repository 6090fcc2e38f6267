"""What is found where a script's values are followed: a check of one step, and what is known of it.

@in_a_run("draw-from-logits", severities=(ERROR,), how_sure="...")
def draw_from_logits(use):
    if use.name == "multinomial" and use.about.kind == Kind.LOGITS:
        yield seen("draw-from-logits", ERROR, CERTAIN, what="...", why="...", fix="...")
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmcourse.doctor.finding import Finding
from llmcourse.doctor.followed.logits import Use
from llmcourse.doctor.subject import Subject

Check = Callable[[Use], Iterator[Finding]]


@dataclass(frozen=True, eq=False)
class InARun:
    """A check of a step that a script takes, and what docs/pitfalls.md says about what it finds.

    It is called as the check is. Where a pitfall of a call, or a check of the source, has the same
    code, the words are there, and here is only `how_sure`. White space counts as one space.
    """

    code: str  # a name that never changes
    check: Check  # yields what it finds in a step, mostly nothing
    severities: tuple[str, ...]  # those that its findings may have
    how_sure: str  # which part of a finding is certain, and which is inferred
    subject: Subject | None = None  # the group that it belongs to
    symptom: str = ""  # what somebody sees who has not found it yet
    cause: str = ""  # what happens then
    fix: str = ""  # what to do, in words; "" where the example says it
    example: str = ""  # lines of Python that do it

    def __call__(self, use: Use) -> Iterator[Finding]:
        return self.check(use)


def in_a_run(code: str, **known) -> Callable[[Check], InARun]:
    """Make the check below one of a run; known: its other fields, by name."""
    return lambda check: InARun(code=code, check=check, **known)


def seen(code: str, severity: str, confidence: str, *, what: str, why: str, fix: str) -> Finding:
    """Return a finding; its line is filled in by whoever knows it."""
    return Finding(code, severity, confidence, what, why, fix)

"""What is found in the source alone: a check that reads a script, and what is known about it.

    @in_the_source("two-lengths", subject=Subject.LENGTH, severities=(WARNING,), symptom="...", ...)
    def two_lengths(source):
        for call in source.calls: ...
            yield found("two-lengths", WARNING, call, what="...", why="...", fix="...")

Nothing here imports torch: a CI without weights runs all checks in a second.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmcourse.doctor.finding import LIKELY, Finding
from llmcourse.doctor.static.reading.source import Source
from llmcourse.doctor.subject import Subject

Check = Callable[[Source], Iterator[Finding]]


@dataclass(frozen=True, eq=False)
class InTheSource:
    """A check of the source, and what docs/pitfalls.md says about what it finds.

    It is called as the check is. Where a pitfall of a call has the same code, the words are there,
    and here is only `how_sure`. White space in them counts as one space.
    """

    code: str  # a name that never changes
    check: Check  # yields what it finds in a source, as `found` makes it
    severities: tuple[str, ...]  # those that its findings may have
    how_sure: str  # what is inferred, and from what
    subject: Subject | None = None  # the group that it belongs to
    symptom: str = ""  # what somebody sees who has not found it yet
    cause: str = ""  # what happens then
    fix: str = ""  # what to do, in words; "" where the example says it
    example: str = ""  # lines of Python that do it
    explains_refusal: bool = False  # says better than `generate` why a call is refused

    def __call__(self, source: Source) -> Iterator[Finding]:
        return self.check(source)


def in_the_source(code: str, **known) -> Callable[[Check], InTheSource]:
    """Make the check below one of the source; known: its other fields, by name."""
    return lambda check: InTheSource(code=code, check=check, **known)


def found(code: str, severity: str, node: ast.AST, *, what: str, why: str, fix: str) -> Finding:
    """Return a finding at a node; its file is filled in by whoever knows it."""
    return Finding(
        code=code,
        severity=severity,
        confidence=LIKELY,
        what=what,
        why=why,
        fix=fix,
        line=node.lineno,
        source_only=True,
    )

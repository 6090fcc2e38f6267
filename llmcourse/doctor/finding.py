"""What the doctor says: a finding, and what its fix was measured to change."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)  # the gravest first
CERTAIN, LIKELY = "certain", "likely"
THE_MODEL = "the model's own generation_config"  # as findings name who set something


@dataclass(frozen=True)
class Evidence:
    """What a fix changes on this very input."""

    before: str  # the new text without the fix, greedy or from a seed; "" where there is none
    after: str  # the new text with the fix, from the same seed; "" where there is none
    # Total variation between the next token's distributions without and with the fix, 0 (the same)
    # to 1 (nothing in common), the largest over the rows; None if there are no two to compare.
    distance: float | None
    sentence: str  # the same in words


@dataclass(frozen=True, eq=False)
class Repair:
    """A call with its fix applied, so that the difference can be measured."""

    inputs: dict[str, Any]  # tensors for `generate`
    call: dict[str, Any]  # its other arguments
    in_eval_mode: bool = False  # whether the model has to be put into eval mode for it


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a call, or worth knowing about it."""

    code: str  # a name that never changes, that of a pitfall
    # "error" (the output is wrong), "warning" (probably not what was meant) or "note" (a sound call
    # may have it)
    severity: str
    confidence: str  # "certain": the call itself shows it; "likely": it is inferred
    what: str  # one sentence, with this call's values
    why: str  # what it does to the output
    fix: str  # a line of Python
    evidence: Evidence | None = None  # what the fix changes, if that was measured
    line: int | None = None  # where the call stands, from 1; None if that is not known
    file: str | None = None  # the file of that line, as Python names it
    count: int = 1  # how many calls at this line have it; a loop by hand is looked at once
    source_only: bool = False  # whether only the source was read, and nothing was seen to run
    # Makes the call with its fix; None where a fix cannot be tried from here.
    repair: Callable[[], Repair] | None = field(default=None, repr=False, compare=False)

    @property
    def page(self) -> str:
        """Where the finding is explained, with an example."""
        return f"docs/pitfalls.md#{self.code}"

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values, for JSON."""
        names = ("code", "severity", "confidence", "what", "why", "fix", "file", "line", "page")
        plain = {name: getattr(self, name) for name in (*names, "count", "source_only")}
        plain["evidence"] = None if self.evidence is None else vars(self.evidence).copy()
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Finding":
        """Return the finding that `as_dict` made plain values of, without its repair."""
        known = {one.name: plain[one.name] for one in fields(cls) if one.name in plain}
        evidence = plain["evidence"] and Evidence(**plain["evidence"])
        return cls(**{**known, "evidence": evidence})


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return errors first, then warnings, then notes; else as they came."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def once_per_line(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the gravest finding of each code and line, with how often it came; errors first."""
    first: dict[tuple, Finding] = {}
    counts: dict[tuple, int] = {}
    for found in in_order(findings):
        key = (found.code, found.file, found.line)
        first.setdefault(key, found)
        counts[key] = counts.get(key, 0) + found.count
    return in_order(replace(found, count=counts[key]) for key, found in first.items())

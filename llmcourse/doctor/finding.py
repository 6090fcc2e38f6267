"""What the doctor says: a finding, and what its fix was measured to change."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)  # the gravest first
CERTAIN, LIKELY = "certain", "likely"


@dataclass(frozen=True)
class Evidence:
    """What a fix changes on this very input.

    before, after: the new text without and with the fix, greedy or from the same seed; "" where
    only a distance was measured. distance: total variation between the two distributions of the
    next token, 0 (the same) to 1 (nothing in common), the largest over the rows; None if there are
    no two to compare. sentence: the same in words.
    """

    before: str
    after: str
    distance: float | None
    sentence: str


@dataclass(frozen=True, eq=False)
class Repair:
    """A call with its fix applied, so that the difference can be measured.

    inputs: tensors for `generate`. call: its other arguments. in_eval_mode: whether the model has
    to be put into eval mode for it.
    """

    inputs: dict[str, Any]
    call: dict[str, Any]
    in_eval_mode: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a call, or worth knowing about it.

    code: a stable name. severity: "error" (the output is wrong), "warning" (probably not what was
    meant) or "note" (a sound call may have it). confidence: "certain" or "likely". what: one
    sentence, with this call's values. why: what it does to the output. fix: a line of Python. file,
    line: where the call stands, if that is known. repair: makes the Repair; None where a fix cannot
    be tried from here.
    """

    code: str
    severity: str
    confidence: str
    what: str
    why: str
    fix: str
    evidence: Evidence | None = None
    line: int | None = None
    file: str | None = None
    repair: Callable[[], Repair] | None = field(default=None, repr=False, compare=False)

    @property
    def page(self) -> str:
        """Where the finding is explained, with an example."""
        return f"docs/pitfalls.md#{self.code}"

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values, for JSON."""
        names = ("code", "severity", "confidence", "what", "why", "fix", "file", "line", "page")
        plain = {name: getattr(self, name) for name in names}
        plain["evidence"] = None if self.evidence is None else vars(self.evidence).copy()
        return plain

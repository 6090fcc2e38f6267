"""Find the known pitfalls in a call to `generate`: what is wrong, why it matters, and the fix."""

import copy
import json
import textwrap
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from llmcourse.doctor.case import Case, complete, quietly
from llmcourse.doctor.evidence import measure
from llmcourse.doctor.finding import ERROR, NOTE, SEVERITIES, WARNING, Finding
from llmcourse.doctor.pitfalls import AFTER, BEFORE
from llmcourse.doctor.pitfalls.settings import refused
from llmcourse.show import escape, printable

SCHEMA = "llmcourse.diagnosis/1"


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found in one call.

    findings: errors first, then warnings, then notes. seconds: what the checks took, without the
    model. output: (rows, length) int64, what `generate` returned, prompt included, with `run=True`.
    text: the new text of the first row then.
    """

    findings: tuple[Finding, ...]
    seconds: float
    output: torch.Tensor | None = None
    text: str | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of all findings, in their order."""
        return tuple(finding.code for finding in self.findings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings by which the output is wrong."""
        return self._of(ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings of what was probably not meant."""
        return self._of(WARNING)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing about a call that may be sound."""
        return self._of(NOTE)

    def _of(self, severity: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def to_json(self) -> str:
        """Return the diagnosis as JSON with stable keys."""
        plain = {
            "schema": SCHEMA,
            "findings": [finding.as_dict() for finding in self.findings],
            "seconds": round(self.seconds, 6),
            "text": self.text,
        }
        return json.dumps(plain, indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        return findings_as_text(self.findings)

    def _repr_html_(self) -> str:
        return findings_as_html(self.findings)


def diagnose(
    model,
    tokenizer,
    prompt_or_inputs,
    *,
    run: bool = False,
    evidence: bool = False,
    repeatable: bool = False,
    **generate_kwargs,
) -> Diagnosis:
    """Look at a call to `model.generate` before it is made, and with `run=True` after it.

    prompt_or_inputs: a text, a list of texts, a list of messages, ids of shape (batch, length), or
    what a tokenizer returns. generate_kwargs: the call's other arguments. evidence: measure what
    each fix changes on this input, which runs the model again for each. repeatable: whether you
    expect the same text again. Nothing is changed: neither model, tokenizer nor the state of
    torch's generators. Raises TypeError for a prompt that is none of the above.
    """
    started = time.perf_counter()
    case = complete(model, tokenizer, prompt_or_inputs, generate_kwargs, repeatable)
    found = check(case)
    seconds = time.perf_counter() - started
    text = None
    if run and case.refusal is None:
        try:
            case.output = run_call(case)
        except Exception as error:  # whatever the model raises on its way
            case.refusal = error
        started = time.perf_counter()
        found = check(case, after=True)
        seconds += time.perf_counter() - started
    if case.output is not None and tokenizer is not None:
        text = tokenizer.decode(case.output[0, case.prompt_length :], skip_special_tokens=True)
    if evidence:
        found = tuple(replace(each, evidence=measure(case, each)) for each in found)
    return Diagnosis(found, seconds, case.output, text)


def check(case: Case, after: bool = False) -> tuple[Finding, ...]:
    """Return what the checks find in a case, the gravest first.

    after: also those that look at the output, or at what was recorded while it was made.
    """
    checks = (*BEFORE, *AFTER) if after else BEFORE
    found = [finding for look in checks for finding in look(case)]
    if not any(finding.severity == ERROR and finding.code in _REFUSALS for finding in found):
        found += refused(case)
    return in_order(found)


# Errors that say why a call is refused, better than the refusal does.
_REFUSALS = (
    "max-length-below-prompt",
    "temperature-too-low",
    "embedding-size",
    "system-dropped",
    "base-model-chat",
    "prompt-too-long",
)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return errors first, then warnings, then notes; else as they came."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def run_call(case: Case) -> torch.Tensor:
    """Make the call and return its ids; the generators are left as they were."""
    call = {**case.inputs, **copied_state(case.call), **case.for_stop_strings}
    with torch.random.fork_rng(devices=_devices()), quietly():
        made = case.model.generate(**call)
    return made if isinstance(made, torch.Tensor) else made.sequences


def copied_state(call: dict[str, Any]) -> dict[str, Any]:
    """Return the call with a cache of its own, since `generate` writes into the one it gets."""
    cache = call.get("past_key_values")
    return call if cache is None else {**call, "past_key_values": copy.deepcopy(cache)}


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count()))


_SIGNS = {ERROR: "✗", WARNING: "!", NOTE: "·"}
_TINTS = {ERROR: "#FBE3CF", WARNING: "#FFF3C4", NOTE: "#E4E4E4"}
_WIDTH = 96  # columns of a terminal


def findings_as_text(findings: Iterable[Finding]) -> str:
    """Return findings for a terminal, a few lines each; "Nothing found." if there are none."""
    blocks = [_as_text(finding) for finding in findings]
    return "\n\n".join(blocks) or "Nothing found."


def _as_text(finding: Finding) -> str:
    sign = _SIGNS[finding.severity]
    place = f"{place_of(finding)}: " if place_of(finding) else ""
    head = f"{sign} {place}{finding.severity} [{finding.code}] ({finding.confidence})"
    parts = [("", finding.what), ("", finding.why), ("fix: ", finding.fix)]
    if finding.evidence is not None:
        parts.append(("seen: ", finding.evidence.sentence))
    lines = [
        line
        for label, text in parts
        for line in textwrap.wrap(label + printable(text, 600), _WIDTH - 2, break_on_hyphens=False)
    ]
    return "\n".join([head, *("  " + line for line in lines)])


def place_of(finding: Finding) -> str:
    """Return `file:line` as far as they are known."""
    return ":".join(str(part) for part in (finding.file, finding.line) if part is not None)


def findings_as_html(findings: Iterable[Finding]) -> str:
    """Return findings as a table that reads on a light and on a dark page."""
    findings = tuple(findings)
    if not findings:
        return "<p>Nothing found.</p>"
    counts = [
        f"{sum(finding.severity == severity for finding in findings)} {severity}s"
        for severity in SEVERITIES
        if any(finding.severity == severity for finding in findings)
    ]
    caption = "Found: " + ", ".join(
        count.removesuffix("s") if count.startswith("1 ") else count for count in counts
    )
    cell = "padding:6px 10px;text-align:left;vertical-align:top;white-space:normal;"
    head = "".join(
        f'<th scope="col" style="{cell}">{name}</th>' for name in ("finding", "what, why and fix")
    )
    title = "caption-side:top;text-align:left;font-weight:bold;padding:4px 0;color:inherit"
    return (
        f'<table style="border-collapse:collapse;max-width:100%"><caption style="{title}">'
        f"{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(_as_row(finding, cell) for finding in findings)}</tbody></table>"
    )


def _as_row(finding: Finding, cell: str) -> str:
    chip = f"background:{_TINTS[finding.severity]};color:#000;border:1px solid #767676;"
    chip += "padding:0 6px;white-space:nowrap"
    sign = _SIGNS[finding.severity]
    kind = f'<span style="{chip}">{sign} {finding.severity}</span>'
    place = f"<br><small>{_shown(place_of(finding))}</small>" if place_of(finding) else ""
    name = f"<b>{_shown(finding.code)}</b><br>{kind}<br><small>{finding.confidence}</small>{place}"
    said = f"{_shown(finding.what)}<br><small>{_shown(finding.why)}</small>"
    if finding.evidence is not None:
        said += f"<br><small><b>Seen:</b> {_shown(finding.evidence.sentence)}</small>"
    code = "font-family:monospace;overflow-wrap:anywhere;background:none;color:inherit"
    said += f'<br><b>Fix:</b> <code style="{code}">{_shown(finding.fix)}</code>'
    rule = 'style="background:none;border-top:1px solid #767676"'
    wide = f"{cell}overflow-wrap:anywhere"
    return (
        f'<tr {rule}><th scope="row" style="{cell}font-weight:normal">{name}</th>'
        f'<td style="{wide}">{said}</td></tr>'
    )


def _shown(text: str) -> str:
    return escape(printable(text, 600))

"""How findings are said: as text for a terminal, as a table for a page, as lines, as JSON."""

import json
import os
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llmcourse import html
from llmcourse.doctor.finding import ERROR, NOTE, SEVERITIES, WARNING, Finding
from llmcourse.show import cut, plural, printable

_SIGNS = {ERROR: "✗", WARNING: "!", NOTE: "·"}
_TINTS = {ERROR: html.ORANGE_TINT, WARNING: html.YELLOW_TINT, NOTE: html.GREY_TINT}
_WIDTH = 96  # columns of a terminal
_LONGEST = 600  # characters of a sentence that are shown


def place_of(finding: Finding) -> str:
    """Return `file:line` as far as they are known."""
    return ":".join(str(part) for part in (finding.file, finding.line) if part is not None)


def _times(finding: Finding) -> str:
    """Return how often a finding occurred at its line, or that nothing ran; "" for once."""
    if finding.source_only:
        return " (found in the source)"
    return "" if finding.count == 1 else f" ({plural(finding.count, 'time')})"


def counted(findings: Iterable[Finding]) -> dict[str, str]:
    """Return how many findings there are of each severity, in words: `1 error`, `0 warnings`."""
    severities = [finding.severity for finding in findings]
    return {severity: plural(severities.count(severity), severity) for severity in SEVERITIES}


def findings_as_text(findings: Iterable[Finding]) -> str:
    """Return findings for a terminal, a few lines each; "Nothing found." if there are none."""
    blocks = [_as_text(finding) for finding in findings]
    return "\n\n".join(blocks) or "Nothing found."


def _as_text(finding: Finding) -> str:
    sign = _SIGNS[finding.severity]
    place = f"{place_of(finding)}: " if place_of(finding) else ""
    head = (
        f"{sign} {place}{finding.severity} [{finding.code}] ({finding.confidence}){_times(finding)}"
    )
    parts = [finding.what, finding.why, f"fix: {finding.fix}"]
    if finding.evidence is not None:
        parts.append(f"seen: {finding.evidence.sentence}")
    lines = [line for part in parts for line in _wrapped(part)]
    return "\n".join([head, *("  " + line for line in lines)])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(_printable(text), _WIDTH - 2, break_on_hyphens=False)


def findings_as_html(findings: Iterable[Finding]) -> str:
    """Return findings as a table that reads on a light and on a dark page."""
    findings = tuple(findings)
    if not findings:
        return "<p>Nothing found.</p>"
    there = {finding.severity for finding in findings}
    counts = [words for severity, words in counted(findings).items() if severity in there]
    caption = f"Found: {', '.join(counts)}"
    return html.table(caption, ("finding", "what, why and fix"), map(_as_row, findings))


def _as_row(finding: Finding) -> str:
    name = html.header(_name(finding), "row", "font-weight:normal;")
    return html.row([name, html.cell(_said(finding), "overflow-wrap:anywhere")])


def _name(finding: Finding) -> str:
    """Return a row's first cell: the code, how grave and how sure it is, and where."""
    look = html.tinted(_TINTS[finding.severity]) + "white-space:nowrap;"
    kind = html.chip(f"{_SIGNS[finding.severity]} {finding.severity}", look)
    place = f"<br><small>{_shown(place_of(finding))}</small>" if place_of(finding) else ""
    sure = f"<small>{finding.confidence}{_times(finding)}</small>"
    return f"<b>{_shown(finding.code)}</b><br>{kind}<br>{sure}{place}"


def _said(finding: Finding) -> str:
    """Return a row's second cell: what, why, what was seen, and the fix."""
    said = f"{_shown(finding.what)}<br><small>{_shown(finding.why)}</small>"
    if finding.evidence is not None:
        said += f"<br><small><b>Seen:</b> {_shown(finding.evidence.sentence)}</small>"
    code = f"{html.MONO}overflow-wrap:anywhere;background:none;color:inherit"
    return said + f'<br><b>Fix:</b> <code style="{code}">{_shown(finding.fix)}</code>'


def findings_as_lines(findings: Iterable[Finding], file: str) -> Iterator[str]:
    """Yield a line for each finding, as linters do; file: where one is that does not say."""
    for found in findings:
        where = from_here(f"{found.file or file}:{found.line or 1}")
        said = " ".join(cut(sentence, _LONGEST) for sentence in (found.what, found.why))
        message = f"{found.severity} {found.code}: {said}{_times(found)} | fix: {found.fix}"
        yield printable(f"{where}: {message}", None)


def from_here(where: str) -> str:
    """Return a path as seen from the working folder, where it lies inside."""
    return where.removeprefix(f"{Path.cwd()}{os.sep}")


def as_json(schema: str, **values: Any) -> str:
    """Return findings and plain values, by name, as one JSON object."""
    plain = {"schema": schema, **values}
    return json.dumps(plain, indent=2, ensure_ascii=False, default=Finding.as_dict)


def _printable(text: str) -> str:
    return printable(text, _LONGEST)


def _shown(text: str) -> str:
    return html.escape(_printable(text))

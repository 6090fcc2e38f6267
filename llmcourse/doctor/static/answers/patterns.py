"""Regular expressions for an answer: lines, flags, numbers."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.answers import answer_at
from llmcourse.doctor.static.reading.following import parts_followed
from llmcourse.doctor.static.reading.patterns import searches
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_DOT = re.compile(r"(?<!\\)\.[*+{]")
_FENCE = re.compile(r"```")
_LINES = re.compile(r"</[\w ]+>|\\\{\.|\\\[\.")  # a tag's inside, or a JSON value


@in_the_source(
    "pattern-stops-at-line-end",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely: only the source was read. A warning for JSON and for code in a fence, which begins
        on a line of its own; a note for what stands between tags.
    """,
)
def pattern_stops_at_line_end(source: Source) -> Iterator[Finding]:
    """A dot, without re.DOTALL, for what goes over several lines."""
    for one in searches(source):
        lines = _FENCE.search(one.pattern) or _LINES.search(one.pattern)
        if one.dot_is_everything or "think" in one.pattern or not lines:
            continue
        if not _DOT.search(one.pattern) or answer_at(source, one.text) is None:
            continue
        tag = "</" in lines[0]
        yield found(
            "pattern-stops-at-line-end",
            NOTE if tag else WARNING,
            one.call,
            what=f"The pattern {one.pattern[:60]!r} has a dot that stops at the end of a line.",
            why="Without re.DOTALL it finds nothing in JSON, code or text of several lines.",
            fix=f"{source.words(one.call).removesuffix(')')}, flags=re.DOTALL)",
        )


@in_the_source(
    "flags-as-count",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="re.DOTALL or re.IGNORECASE is passed, and the pattern does not heed it.",
    cause="""
        The fourth argument of `re.sub` is `count`, how often at most it replaces. A flag in its
        place is a number, and no flag.
    """,
    fix="Pass it by name.",
    example=r'text = re.sub(r"\(.*?\)", "", text, flags=re.DOTALL)',
    how_sure="Likely: only the source was read, where a flag stands fourth.",
)
def flags_as_count(source: Source) -> Iterator[Finding]:
    """A flag of `re` as the count of `re.sub`."""
    for call in source.calls:
        if name_of(call) not in ("sub", "subn") or last_name(owner_of(call)) != "re":
            continue
        if len(call.args) < 4 or not _is_flag(call.args[3]):
            continue
        flag = source.words(call.args[3])
        yield found(
            "flags-as-count",
            ERROR,
            call,
            what=f"{flag} is the fourth argument of re.{name_of(call)}, which is its count.",
            why="The pattern works without the flag, and only so many places are replaced.",
            fix=f"re.{name_of(call)}(pattern, new, text, flags={flag})",
        )


def _is_flag(node: ast.AST) -> bool:
    flags = [one for one in ast.walk(node) if isinstance(one, ast.Attribute)]
    return bool(flags) and all(last_name(one.value) == "re" and one.attr.isupper() for one in flags)


@in_the_source(
    "number-without-digit",
    severities=(WARNING,),
    how_sure="Likely: only the source was read; that the pattern matches a bare sign was tried.",
)
def number_without_digit(source: Source) -> Iterator[Finding]:
    """A pattern for numbers that finds a comma."""
    for one in searches(source):
        digits = r"\d" in one.pattern or "0-9" in one.pattern
        if not digits or not _finds(one.pattern, "7") or answer_at(source, one.text) is None:
            continue
        sign = next((sign for sign in (",", ".", "-") if _finds(one.pattern, f" {sign} ")), None)
        if sign is None:
            continue
        yield found(
            "number-without-digit",
            WARNING,
            one.call,
            what=f"The pattern {one.pattern[:60]!r} also matches {sign!r} without any digit.",
            why="A comma or a point of the sentence is taken for the number.",
            fix=rf're.findall(r"-?\d[\d,]*(?:\.\d+)?", {source.words(one.text)})',
        )


def _finds(pattern: str, text: str) -> bool:
    """Tell whether a pattern finds something in a short text that is not nothing."""
    try:
        match = re.search(pattern, text)
    except re.error:
        return False
    return match is not None and bool(match[0].strip())


@in_the_source(
    "number-with-commas",
    severities=(WARNING,),
    how_sure="Likely: only the source was read; that the pattern finds `1,234` was tried.",
)
def number_with_commas(source: Source) -> Iterator[Finding]:
    """A number is found with its commas, and converted with them."""
    by_call = {one.call: one for one in searches(source) if _takes_commas(one.pattern)}
    for call in source.calls if by_call else ():
        if last_name(call.func) not in ("int", "float", "Decimal") or len(call.args) != 1:
            continue
        parts = list(parts_followed(source, call.args[0]))
        used = next((by_call[part] for part in parts if part in by_call), None)
        cleaned = any(name_of(part) in ("replace", "sub", "translate", "join") for part in parts)
        if used is None or cleaned or answer_at(source, used.text) is None:
            continue
        yield found(
            "number-with-commas",
            WARNING,
            call,
            what=f"{source.words(call)[:80]} gets a number with its commas.",
            why=f"The pattern {used.pattern[:40]!r} finds '1,234', which {name_of(call)} refuses.",
            fix=f'{name_of(call)}({source.words(call.args[0])}.replace(",", ""))',
        )


def _takes_commas(pattern: str) -> bool:
    """Tell whether a pattern finds a number with the comma in it."""
    try:
        match = re.search(pattern, " 1,234 ")
    except re.error:
        return False
    return match is not None and "1,234" in (match[0], *match.groups()) and "," in pattern

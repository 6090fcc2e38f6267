"""Thoughts in an answer: marks that are half there, and a response that is parsed."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.messages import talks
from llmcourse.doctor.static.reading.patterns import TAKES_A_PATTERN
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_string, keyword, name_of, owner_of
from llmcourse.doctor.subject import Subject

_PAIR = re.compile(r"<(think|thinking|reasoning)>.*</\1>", re.DOTALL)
_DOT = re.compile(r"(?<![\\\[])\.[*+{]")
_THINKS_IN_PROMPT = re.compile(r"R1|QwQ|Thinking", re.IGNORECASE)


@in_the_source(
    "thinking-half-marked",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read: a pattern whose dot stops at a line's end, or one
        that wants both marks, for a model whose template opens the thought; a note, where it is not
        known who opens it.
    """,
)
def thinking_half_marked(source: Source) -> Iterator[Finding]:
    """A regular expression for thinking that finds none, or a cut at a mark that is not there."""
    if talks(source):
        yield from _cuts_at_a_mark(source)
    for call in source.calls:
        if name_of(call) not in TAKES_A_PATTERN or not call.args:
            continue
        patterns = [one for one in source.constants(call.args[0]) if isinstance(one, str)]
        pattern = next((one for one in patterns if _PAIR.search(one)), None)
        if pattern is None:
            continue
        flags = " ".join(ast.unparse(one) for one in [*call.args[1:], *call.keywords])
        lines = "DOTALL" in flags or re.search(r"re\.S\b", flags) or "(?s" in pattern
        stops = bool(_DOT.search(pattern)) and not lines
        opens = _opens_in_prompt(source)
        tolerant = re.search(r"\(\?:<|<think>\)\?|\|", pattern)
        if tolerant and not stops:
            continue
        yield found(
            "thinking-half-marked",
            WARNING if stops or opens else NOTE,
            call,
            what=f"The pattern {pattern[:60]!r} stops at the first end of a line."
            if stops
            else f"The pattern {pattern[:60]!r} wants both marks in the answer.",
            why="A thought goes over many lines; the pattern needs re.DOTALL, and finds nothing."
            if stops
            else "Where the template opens the thought in the prompt, the answer has only the "
            "closing mark, and the pattern finds nothing.",
            fix='thought, _, answer = text.rpartition("</think>")',
        )


def _cuts_at_a_mark(source: Source) -> Iterator[Finding]:
    """Yield where a thought is cut out by marks that need not be there."""
    for node in source.scopes:
        said = _needs_a_mark(source, node)
        if said is None:
            continue
        mark, what, why = said
        yield found(
            "thinking-half-marked",
            NOTE if mark == "</think>" and "find" not in what else WARNING,
            node,
            what=what,
            why=why,
            fix='thought, _, answer = text.rpartition("</think>")',
        )
        return


def _needs_a_mark(source: Source, node: ast.AST) -> tuple[str, str, str] | None:
    """Return the mark that a node relies on, what is wrong and why, or None."""
    if not isinstance(node, ast.Subscript):
        return None
    call, words = source.value(node.value), source.words(node)[:70]
    splits = name_of(call) == "split" and call.args
    if splits and source.constants(node.slice) == [1]:
        (mark,) = source.constants(call.args[0]) or [None]
        if mark not in ("<think>", "</think>") or f"{mark}' in" in source.text.replace('"', "'"):
            return None
        why = "Where the template opens the thought, or none is written, that is an IndexError."
        if mark == "</think>":
            why = "Where the limit came before it, or nothing is thought, that is an IndexError."
        return mark, f"{words} needs {mark} in the answer.", why
    lower = node.slice.lower if isinstance(node.slice, ast.Slice) else None
    found_at = (
        lower.left if isinstance(lower, ast.BinOp) and isinstance(lower.op, ast.Add) else None
    )
    found_at = source.value(found_at) if found_at is not None else None
    if name_of(found_at) != "find" or not found_at.args:
        return None
    if source.constants(found_at.args[0]) != ["</think>"] or "-1" in source.text:
        return None
    why = "Without the mark find gives -1, and the text is cut at an arbitrary place."
    return "</think>", f"{words} trusts find.", why


def _opens_in_prompt(source: Source) -> bool:
    """Whether a prompt, or a template, is seen to end with the mark that opens a thought."""
    texts = [node.value for node in source.scopes if is_string(node)]
    opened = any("<think>" in text and "</think>" not in text for text in texts)
    return opened or any("/" in text and _THINKS_IN_PROMPT.search(text) for text in texts)


@in_the_source(
    "parse-without-prefix",
    subject=Subject.READING,
    severities=(ERROR, NOTE),
    symptom="`parse_response` raises a ValueError, or takes thinking for the answer.",
    cause="""
        A template may write the beginning of the message into the prompt, such as `<think>`. The
        parser sees the new text alone, and needs the prompt to know.
    """,
    fix="Pass the prompt.",
    example="""
        message = tokenizer.parse_response(new_ids, prefix=inputs["input_ids"][0])
    """,
    how_sure="""
        Likely: only the source was read, where `prefix` is not passed, or is empty (a note).
    """,
    explains_refusal=True,
)
def parse_without_prefix(source: Source) -> Iterator[Finding]:
    """A parsed response without the prompt before it."""
    for call in source.calls:
        if name_of(call) != "parse_response" or any(each.arg is None for each in call.keywords):
            continue
        if not source.is_tokenizer(owner_of(call)):
            continue
        given = keyword(call, "prefix")
        empty = given is not None and (
            source.constants(given) == [""] or ast.unparse(given) in ("[]", "''")
        )
        if given is not None and not empty:
            continue
        yield found(
            "parse-without-prefix",
            NOTE if empty else ERROR,
            call,
            what=f"parse_response is called with{' an empty prefix' if empty else 'out prefix='}.",
            why="What the template wrote of the message, such as <think>, is not seen."
            if empty
            else "The call is refused: the parser has to see what the template wrote already.",
            fix=f'{source.words(call.func)}(new_ids, prefix=inputs["input_ids"][0])',
        )

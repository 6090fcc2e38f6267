"""Answers that a script takes apart: patterns that stop too early, words inside other words."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.messages import talks
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_true, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_SEARCHES = ("search", "match", "findall", "sub", "finditer", "split", "compile", "fullmatch")
_REACT = re.compile(r"Observation\s*\d*\s*:")


def _pattern(source: Source, call: ast.Call) -> str | None:
    """Return the regular expression that a call of `re` gets; None for other calls."""
    if name_of(call) not in _SEARCHES or not call.args or last_name(owner_of(call)) != "re":
        return None
    patterns = [one for one in source.constants(call.args[0]) if isinstance(one, str)]
    return patterns[0] if len(patterns) == 1 else None


@in_the_source(
    "observation-made-up",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="An agent's tool is never called, or its results are invented by the model.",
    cause="""
        The prompt shows turns of `Action:` and `Observation:`, and the model goes on with the
        pattern: after its action it writes the observation too, which only the tool can know.
    """,
    fix="Stop where the observation begins, and append the tool's own.",
    example="""
        model.generate(**inputs, stop_strings=["Observation:"], tokenizer=tokenizer)
    """,
    how_sure="""
        Likely: only the source was read, where a prompt has both words, and nothing stops there.
    """,
)
def observation_made_up(source: Source) -> Iterator[Finding]:
    """A prompt of actions and observations, and nothing that stops at the observation."""
    texts = [
        node.value
        for node in source.scopes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    shown = [one for one in texts if _REACT.search(one) and "\n" in one and "Action" in one]
    if not shown or "Stop" in source.text or re.search(r"\bstop", source.text):
        return
    if any(re.search(r"split|partition|index|find", source.words(one)) for one in _cuts(source)):
        return
    for asked in every_asked(source):
        whole = asked.is_whole and asked.kind in ("generate", "pipeline") and asked.call.args
        unpacked = asked.kind == "generate" and asked.is_whole
        if not (whole or unpacked) or "eos_token_id" in asked.given:
            continue
        yield found(
            "observation-made-up",
            WARNING,
            asked.call,
            what="The prompt shows Action: and Observation:, and nothing stops at Observation:.",
            why="The model writes the observation itself, and goes on as if a tool had said it.",
            fix=f'{asked.words}(..., stop_strings=["Observation:"], tokenizer=tokenizer)',
        )
        return


def _cuts(source: Source) -> list[ast.Call]:
    """Return the calls that cut or look for `Observation`."""
    return [
        call
        for call in source.calls
        if any("Observation" in str(one) for given in call.args for one in source.constants(given))
    ]


@in_the_source(
    "first-call-only",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="The model asks for two tools at once, and one of them is never called.",
    cause="""
        Models write several calls in one answer, each in a block of its own. `re.search` finds the
        first; the others are dropped, and stand unanswered in the history.
    """,
    fix="Go through all blocks.",
    example="""
        for call in re.findall(r"<tool_call>(.*?)</tool_call>", text, re.DOTALL):
            run(json.loads(call))
    """,
    how_sure="""
        Likely, and a note: only the source was read. Where an answer is stopped after its first
        call it is sound.
    """,
)
def first_call_only(source: Source) -> Iterator[Finding]:
    """Of several calls of tools in an answer the first is read."""
    if not talks(source) or re.search(r"\bstop|Stop|finditer|findall", source.text):
        return
    for call in source.calls:
        mark = _opens_a_call(source, call)
        if mark is None:
            continue
        yield found(
            "first-call-only",
            NOTE,
            call,
            what=f"{source.words(call)[:70]} finds one call of a tool, the first.",
            why="A model may write several in one answer: the others are never made.",
            fix='re.findall(r"<tool_call>(.*?)</tool_call>", text, re.DOTALL)',
        )
        return


def _opens_a_call(source: Source, call: ast.Call) -> str | None:
    """Return the mark of a tool's call that one search, or one split, is after."""
    if name_of(call) in ("search", "match"):
        pattern = _pattern(source, call)
        return pattern if pattern is not None and "tool_call>" in pattern else None
    if name_of(call) != "split" or not call.args:
        return None
    above = source.parents.get(call)
    first = isinstance(above, ast.Subscript) and source.constants(above.slice) == [1]
    return "<tool_call>" if first and source.constants(call.args[0]) == ["<tool_call>"] else None


@in_the_source(
    "agent-without-limit",
    subject=Subject.ENDS,
    severities=(NOTE,),
    symptom="An agent calls the same tool again and again, and the program does not end.",
    cause="""
        The loop goes on until an answer has no call in it. A model that repeats its call, or whose
        answer cannot be read, never gives one.
    """,
    fix="Count the steps, and stop at a number of them.",
    example="""
        for step in range(max_steps):
            ...
    """,
    how_sure="""
        Likely, and a note: only the source was read, where nothing but the model's words ends the
        loop.
    """,
)
def agent_without_limit(source: Source) -> Iterator[Finding]:
    """A loop of tool calls that only the model can end."""
    for loop in source.loops:
        endless = isinstance(loop, ast.While) and is_true(loop.test)
        inside = list(ast.walk(loop)) if endless else []
        calls = {name_of(node) for node in inside if isinstance(node, ast.Call)}
        counts = any(isinstance(node, ast.AugAssign) for node in inside) or "input" in calls
        words = ast.unparse(loop) if endless else ""
        tools = re.search(r"tool|Action|function_call", words)
        if not endless or counts or not tools or not calls & {"generate", "pipe", "chat", "llm"}:
            continue
        yield found(
            "agent-without-limit",
            NOTE,
            loop,
            what="The loop of tool calls ends when the model's answer has no call, and only then.",
            why="A model that repeats its call, or one that cannot be parsed, keeps it going.",
            fix="for step in range(max_steps):",
        )
        return

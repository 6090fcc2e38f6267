"""Calls of `apply_chat_template` and streamers that show more, or open more, than was meant."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.registry import found, in_the_source
from llmcourse.doctor.static.source import Source, is_true, keyword, last_name, name_of, owner_of
from llmcourse.doctor.static.streams import pipelines_with_the_prompt
from llmcourse.doctor.subject import Subject

_STREAMERS = ("TextStreamer", "TextIteratorStreamer", "AsyncTextIteratorStreamer")
_CHANGES = ("append", "extend", "insert", "pop")


@in_the_source(
    "generation-prompt-misplaced",
    severities=(ERROR, WARNING),
    how_sure="""
        Likely where only the source was read: both arguments are written there, or the last message
        is the assistant's.
    """,
)
def generation_prompt_misplaced(source: Source) -> Iterator[Finding]:
    """A new answer is opened where one is to be continued."""
    for call in source.calls:
        if name_of(call) != "apply_chat_template":
            continue
        if not is_true(keyword(call, "add_generation_prompt")):
            continue
        both = is_true(keyword(call, "continue_final_message"))
        if not both and not _ends_with_an_answer(source, call):
            continue
        yield found(
            "generation-prompt-misplaced",
            ERROR if both else WARNING,
            call,
            what="continue_final_message and add_generation_prompt exclude each other."
            if both
            else "The last message is the assistant's, and add_generation_prompt opens a new one.",
            why="The call is refused: an answer is continued, or a new one is opened."
            if both
            else "The answer is closed and begins again; continue_final_message goes on with it.",
            fix=f"{source.words(call.func)}(..., continue_final_message=True)"
            "  # without add_generation_prompt",
        )


def _ends_with_an_answer(source: Source, call: ast.Call) -> bool:
    """Tell whether the messages are written there, and the last one is the assistant's."""
    given = call.args[0] if call.args else keyword(call, "conversation")
    messages = source.value(given) if given is not None else None
    if not isinstance(messages, ast.List) or not messages.elts:
        return False
    last = source.value(messages.elts[-1])
    changed = [
        one
        for one in source.calls
        if name_of(one) in _CHANGES and last_name(owner_of(one)) == last_name(given)
    ]
    if not isinstance(last, ast.Dict) or (last_name(given) and changed):
        return False
    entries = zip(last.keys, last.values, strict=True)
    return any(
        source.constants(key) == ["role"] and source.constants(value) == ["assistant"]
        for key, value in entries
        if key is not None
    )


@in_the_source(
    "prompt-in-output",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely, and a note, where only the source was read: the prompt may be wanted there. A
        warning where a pipeline's text, prompt included, is parsed or compared.
    """,
)
def prompt_in_output(source: Source) -> Iterator[Finding]:
    """A streamer that shows the prompt too."""
    for call in source.calls:
        shown = keyword(call, "skip_prompt") is None and len(call.args) < 2
        unpacked = any(each.arg is None for each in call.keywords)
        if name_of(call) not in _STREAMERS or not shown or unpacked:
            continue
        tokenizer = source.words(call.args[0]) if call.args else "tokenizer"
        yield found(
            "prompt-in-output",
            NOTE,
            call,
            what=f"{name_of(call)} is made without skip_prompt, and streams the prompt first.",
            why="What is read from it begins with the prompt and its template's markers.",
            fix=f"{name_of(call)}({tokenizer}, skip_prompt=True)",
        )
    for node, severity, use in pipelines_with_the_prompt(source):
        yield found(
            "prompt-in-output",
            severity,
            node,
            what=f"{source.words(node)} begins with the prompt, and {use}.",
            why="A pipeline returns prompt and answer in one text.",
            fix=f"{source.words(node)}  # of a call with return_full_text=False",
        )


@in_the_source(
    "streamer-timeout",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Reading a streamer ends with `queue.Empty`, before the first word or in between.",
    cause="""
        `timeout` is how many seconds the reader waits for each piece. The first comes after the
        prompt was read, which takes longer than any other.
    """,
    fix="Wait long enough for the longest prompt.",
    example="TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)",
    how_sure="Likely: only the source was read, where the timeout is below a second.",
)
def streamer_timeout(source: Source) -> Iterator[Finding]:
    """A streamer whose reader hardly waits."""
    for call in source.calls:
        if name_of(call) not in _STREAMERS or keyword(call, "timeout") is None:
            continue
        values = source.constants(keyword(call, "timeout"))
        short = [one for one in values if isinstance(one, int | float) and one < 1]
        if not short:
            continue
        yield found(
            "streamer-timeout",
            WARNING,
            call,
            what=f"timeout={short[0]}: the reader waits {short[0]} seconds for each piece.",
            why="The first comes after the prompt was read; until then queue.Empty is raised.",
            fix=f"{name_of(call)}(..., timeout=60)",
        )

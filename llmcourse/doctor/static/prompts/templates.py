"""Calls of `apply_chat_template` and streamers that show more, or open more, than was meant."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.answers.texts import prompts_parsed, without_prompt
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import followed
from llmcourse.doctor.static.stopping.streams import pipelines_with_the_prompt
from llmcourse.doctor.subject import Subject

_STREAMERS = ("TextStreamer", "TextIteratorStreamer", "AsyncTextIteratorStreamer")
_CHANGES = ("append", "extend", "insert", "pop")
# Models whose templates write nothing for `add_generation_prompt`.
_OPENS_ANYWAY = re.compile(r"mis?tral|mixtral|llama-?2|codellama|zephyr-orpo|vicuna", re.IGNORECASE)
# Models whose tokenizers begin each text with a token that their template writes too.
_BEGINS_TEXTS = re.compile(
    r"(meta-llama|llama-?[23]|gemma|mistral|mixtral|deepseek|command-r|phi-3\b)[\w./-]*",
    re.IGNORECASE,
)
_GONE = (
    *("encode_plus", "batch_encode_plus", "as_target_tokenizer", "prepare_for_model"),
    *("build_inputs_with_special_tokens", "prepare_seq2seq_batch"),
)


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
    if last_name(given) and changed:
        if not _is_straight(source, [call, *changed]):
            return False
        before = [one for one in changed if one.lineno < call.lineno]
        last = source.value(before[-1].args[0]) if before and before[-1].args else last
    if not isinstance(last, ast.Dict):
        return False
    entries = zip(last.keys, last.values, strict=True)
    return any(
        source.constants(key) == ["role"] and source.constants(value) == ["assistant"]
        for key, value in entries
        if key is not None
    )


def _is_straight(source: Source, calls: list[ast.Call]) -> bool:
    """Tell whether calls follow one another: all in one function, in no loop and no branch."""
    branches = (ast.If, ast.For, ast.While, ast.Try, ast.AsyncFor)
    return all(
        source.scopes[one] is source.scopes[calls[0]]
        and not any(isinstance(above, branches) for above in source.above(one))
        and name_of(one) in ("append", "apply_chat_template")
        for one in calls
    )


@in_the_source(
    "prompt-in-output",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely, and a note, where only the source was read: the prompt may be wanted there. A
        warning where such a text, prompt included, is parsed or compared.
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
    for node, use, answer in prompts_parsed(source):
        yield found(
            "prompt-in-output",
            WARNING,
            node,
            what=f"{source.words(node)[:80]}: the text begins with the prompt, and {use}.",
            why="generate returns prompt and new tokens in one row: cut the prompt's tokens off.",
            fix=without_prompt(source, answer),
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


@in_the_source(
    "no-generation-prompt",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: what the template writes without
        `add_generation_prompt=True` goes into generate, and the last message is not the
        assistant's. The templates of Mistral and Llama 2 need no header.
    """,
)
def no_generation_prompt(source: Source) -> Iterator[Finding]:
    """A chat is rendered without the header of an answer, and generated from."""
    for call in _rendered_for_generate(source):
        told = [each.arg for each in call.keywords]
        known = {"add_generation_prompt", "continue_final_message", None} & set(told)
        if known or len(call.args) > 1 or _ends_with_an_answer(source, call):
            continue
        if _OPENS_ANYWAY.search(source.text) or "chat_template" in told or not _ends_seen(call):
            continue
        yield found(
            "no-generation-prompt",
            WARNING,
            call,
            what="apply_chat_template is called without add_generation_prompt=True, and generate "
            "goes on from it.",
            why="The header of the answer is missing: the model may write the user's next turn.",
            fix=f"{source.words(call.func)}(..., add_generation_prompt=True)",
        )


def _ends_seen(call: ast.Call) -> bool:
    """Tell whether a call renders a chat that has messages."""
    given = call.args[0] if call.args else keyword(call, "conversation")
    return given is not None and not (isinstance(given, ast.List) and not given.elts)


def _rendered_for_generate(source: Source) -> Iterator[ast.Call]:
    """Yield the template's calls whose ids, or whose text's ids, go into `generate`, each once."""
    seen: set[ast.Call] = set()
    for asked in source.generate_calls:
        given = [*asked.args[:1], *(each.value for each in asked.keywords)]
        for part in given:
            call = _rendering_of(source, part)
            if call is not None and call not in seen:
                seen.add(call)
                yield call


def _rendering_of(source: Source, node: ast.AST, depth: int = 5) -> ast.Call | None:
    """Return the template's call that an expression of ids, or a text, comes from."""
    value = source.placed(followed(source, node))
    if isinstance(value, ast.Subscript | ast.Attribute):
        value = source.placed(followed(source, value.value))
    if isinstance(value, ast.List) and len(value.elts) == 1:
        return _rendering_of(source, value.elts[0], depth - 1) if depth else None
    if not isinstance(value, ast.Call) or not depth:
        return None
    if name_of(value) == "apply_chat_template":
        return value
    encodes = source.is_tokenizer(value.func) or name_of(value) == "encode"
    return _rendering_of(source, value.args[0], depth - 1) if encodes and value.args else None


@in_the_source(
    "doubled-bos",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a rendered text is tokenized with special tokens, by
        the tokenizer of a model that is known to begin texts with one.
    """,
)
def doubled_bos(source: Source) -> Iterator[Finding]:
    """A text that the template has written is tokenized as if it had no begin token."""
    for call in source.calls:
        encodes = source.is_tokenizer(call.func) or (
            name_of(call) == "encode" and source.is_tokenizer(owner_of(call))
        )
        piped = source.pipeline(call.func)
        if not (encodes or piped) or not call.args or any(one.arg is None for one in call.keywords):
            continue
        text = source.value(call.args[0])
        text = text.elts[0] if isinstance(text, ast.List) and len(text.elts) == 1 else text
        rendered = source.value(text)
        made = isinstance(rendered, ast.Call) and name_of(rendered) == "apply_chat_template"
        if not made or not is_false(keyword(rendered, "tokenize")):
            continue
        if keyword(call, "add_special_tokens") is not None or not _begins_texts(source, call):
            continue
        yield found(
            "doubled-bos",
            WARNING,
            call,
            what=f"{source.words(call.args[0])} is what the template wrote, and is tokenized with "
            "special tokens.",
            why="The template writes the begin token (bos) into the text, and it is added again.",
            fix=f"{source.words(call.func)}(..., add_special_tokens=False)",
        )


def _begins_texts(source: Source, call: ast.Call) -> bool:
    """Tell whether a call's tokenizer, or its pipeline, has a name whose family begins texts."""
    owner = owner_of(call) if isinstance(call.func, ast.Attribute) else call.func
    piped = source.pipeline(call.func)
    load = piped or source.value(owner)
    load = source.value(call.func) if not isinstance(load, ast.Call) else load
    if not isinstance(load, ast.Call) or name_of(load) not in ("from_pretrained", "pipeline"):
        return False
    given = keyword(load, "model") if piped else load.args[0] if load.args else None
    names = [one for one in source.constants(given) if isinstance(one, str)] if given else []
    return bool(names) and bool(_BEGINS_TEXTS.search(names[0]))


@in_the_source(
    "tokenizer-method-gone",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`AttributeError: ... has no attribute encode_plus`.",
    cause="""
        Version 5 of transformers has one way to tokenize, the call itself; the older methods are
        gone.
    """,
    fix="Call the tokenizer.",
    example='inputs = tokenizer(text, padding=True, truncation=True, return_tensors="pt")',
    how_sure="Likely: only the source was read; transformers before version 5 has the methods.",
    explains_refusal=True,
)
def tokenizer_method_gone(source: Source) -> Iterator[Finding]:
    """A tokenizer's method that left the library."""
    for call in source.calls:
        if name_of(call) not in _GONE or not source.is_tokenizer(owner_of(call)):
            continue
        tokenizer = source.words(owner_of(call))
        first = source.words(call.args[0])[:60] if call.args else "text"
        yield found(
            "tokenizer-method-gone",
            ERROR,
            call,
            what=f"{source.words(call.func)} is no method of a tokenizer since version 5 of "
            "transformers.",
            why="The call fails with an AttributeError.",
            fix=f'{tokenizer}({first}, return_tensors="pt")',
        )

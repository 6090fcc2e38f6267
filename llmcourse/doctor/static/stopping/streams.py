"""Streamers and pipelines as they are written: threads that never run, outputs read as others."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_ITERATORS = ("TextIteratorStreamer", "AsyncTextIteratorStreamer")
_MESSAGES = re.compile(r"^(messages|chats?|conversation|dialogue?|history)$")
OF_TEXTS = ("strip", "split", "lower", "upper", "replace", "startswith", "endswith", "find")
OF_TEXTS += ("splitlines", "removeprefix", "partition", "rsplit", "encode", "lstrip", "rstrip")
_PARSES = ("loads", "int", "float", "literal_eval")
_ANSWER = re.compile(r"answer|reply|response|completion|summary|translation", re.IGNORECASE)


@in_the_source(
    "stream-never-fed",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The reader of a stream waits for ever, or the whole answer comes at once.",
    cause="""
        A thread runs what `target` names once it is started. `target=model.generate(...)` calls
        generate at once, in this thread, and a thread that is not started calls nothing.
    """,
    fix="Hand over the function and its arguments apart, and start the thread.",
    example="""
        worker = Thread(target=model.generate, kwargs={**inputs, "streamer": streamer})
        worker.start()
    """,
    how_sure="Likely: only the source was read, where the thread is made.",
)
def stream_never_fed(source: Source) -> Iterator[Finding]:
    """A thread that is to generate does not."""
    for call in source.calls:
        target = keyword(call, "target")
        if name_of(call) not in ("Thread", "Process") or target is None:
            continue
        if isinstance(target, ast.Call) and name_of(target) == "generate":
            what = f"target={source.words(target)[:60]} calls generate here, before the thread."
            why = "It runs in this thread to its end, and the thread gets its output to call."
            fix = f"Thread(target={source.words(target.func)}, kwargs={{**inputs, ...}}).start()"
        elif last_name(target) == "generate" and _is_never_started(source, call):
            what = "The thread that is to generate is not started."
            why = "Nothing is generated: whoever reads the stream waits for ever."
            fix = f"{source.words(source.parents[call].targets[0])}.start()"
        else:
            continue
        yield found("stream-never-fed", ERROR, call, what=what, why=why, fix=fix)


def _is_never_started(source: Source, call: ast.Call) -> bool:
    """Tell whether a thread has a name, and nothing starts any."""
    assigned = source.parents.get(call)
    if not isinstance(assigned, ast.Assign) or not isinstance(assigned.targets[0], ast.Name):
        return False
    return not any(name_of(one) in ("start", "run") for one in source.calls)


@in_the_source(
    "stream-read-late",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: generate is called, or its thread joined, before the
        stream is read.
    """,
)
def stream_read_late(source: Source) -> Iterator[Finding]:
    """The stream is read after the text is complete."""
    for call in source.calls:
        made = _streamer_of(source, call)
        if made is None or name_of(made) not in _ITERATORS:
            continue
        if keyword(made, "timeout") is None and source.scopes[made] is not source.scopes[call]:
            continue
        read = _read_after(source, call, _streamer_name(call))
        if read is None:
            continue
        late = call if source.is_generate(call) else _joined_before(source, call, read)
        if late is None:
            continue
        yield found(
            "stream-read-late",
            WARNING,
            late,
            what=f"The {name_of(made)} is read after {source.words(late.func)} has returned.",
            why="By then the text is complete: it appears at once, after the whole wait.",
            fix='Thread(target=model.generate, kwargs={**inputs, "streamer": streamer}).start()',
        )


def _streamer_name(call: ast.Call) -> str:
    """Return the name of the streamer that a call of generate, or its thread, gets."""
    if keyword(call, "streamer") is not None:
        return last_name(keyword(call, "streamer"))
    for node in ast.walk(call):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "streamer":
                    return last_name(value)
        if isinstance(node, ast.keyword) and node.arg == "streamer":
            return last_name(node.value)
    return ""


def _streamer_of(source: Source, call: ast.Call) -> ast.Call | None:
    """Return the call that made the streamer of a call of generate, or of its thread."""
    in_thread = name_of(call) == "Thread" and last_name(keyword(call, "target")) == "generate"
    if not in_thread and not source.is_generate(call):
        return None
    for node in ast.walk(call):
        value = source.value(node) if isinstance(node, ast.Name) else None
        if isinstance(value, ast.Call) and name_of(value) in _ITERATORS:
            return value
    return None


def _read_after(source: Source, call: ast.Call, name: str) -> ast.AST | None:
    """Return the first place after a call, in its function, where the stream is gone through."""
    places = [
        node
        for node in source.scopes
        if isinstance(node, ast.Name)
        and node.id == name
        and node.lineno > (call.end_lineno or call.lineno)
        and source.scopes[node] is source.scopes[call]
        and _goes_through(source, node)
    ]
    return min(places, key=lambda node: node.lineno, default=None) if name else None


def _goes_through(source: Source, node: ast.Name) -> bool:
    above = source.parents.get(node)
    if isinstance(above, ast.For | ast.comprehension):
        return above.iter is node
    reads = ("list", "join", "next", "tuple")
    return isinstance(above, ast.Call) and node in above.args and name_of(above) in reads


def _joined_before(source: Source, thread: ast.Call, read: ast.AST) -> ast.Call | None:
    """Return the call that waits for a thread's end before the stream is read, or None."""
    assigned = source.parents.get(thread)
    name = last_name(assigned.targets[0]) if isinstance(assigned, ast.Assign) else ""
    joins = [
        one
        for one in source.calls
        if name_of(one) == "join"
        and name
        and last_name(owner_of(one)) == name
        and thread.lineno < one.lineno < read.lineno
    ]
    return joins[0] if joins else None


@in_the_source(
    "pipeline-chat-as-text",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`AttributeError: 'list' object has no attribute 'strip'`, or a list in place of text.",
    cause="""
        A pipeline that is given messages gives messages back: `generated_text` is the whole chat, a
        list, with the answer as its last message.
    """,
    fix="Take the last message's content.",
    example='answer = pipe(messages)[0]["generated_text"][-1]["content"]',
    how_sure="Likely: only the source was read, where messages go in and text is taken out.",
)
def pipeline_chat_as_text(source: Source) -> Iterator[Finding]:
    """The chat that a pipeline returns is taken for a text."""
    for node, call in generated_texts(source):
        if not _gets_messages(source, call) or keyword(call, "return_full_text") is not None:
            continue
        if not any(_is_used_as_text(source, use) for use in source.uses(node)):
            continue
        yield found(
            "pipeline-chat-as-text",
            ERROR,
            node,
            what=f"{source.words(node)} is a list of messages, and is used as a text.",
            why="Given messages a pipeline returns the chat, with the answer as its last message.",
            fix=f'{source.words(node)}[-1]["content"]',
        )


def _is_used_as_text(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is used as only texts are, or becomes what a message says."""
    use = source.parents.get(node)
    if isinstance(use, ast.Attribute):
        return use.attr in OF_TEXTS
    if isinstance(use, ast.Call):
        return name_of(use) in _PARSES and node in use.args
    if isinstance(use, ast.BinOp) and isinstance(use.op, ast.Add):
        other = use.right if use.left is node else use.left
        return any(isinstance(one, str) for one in source.constants(other))
    if isinstance(use, ast.Dict):
        pairs = zip(use.keys, use.values, strict=True)
        return any(
            value is node and source.constants(key) == ["content"]
            for key, value in pairs
            if key is not None
        )
    return False


def pipelines_with_the_prompt(source: Source) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield where a pipeline's text is used as the answer alone: the node, how grave, and the use.

    The text begins with the prompt, unless `return_full_text=False` is said.
    """
    for node, call in generated_texts(source):
        made = source.pipeline(call.func)
        told = [keyword(one, "return_full_text") for one in (call, made) if one is not None]
        unpacked = any(each.arg is None for each in call.keywords)
        if any(one is not None for one in told) or unpacked or not _gets_text(source, call):
            continue
        used = [_use_of_an_answer(source, use) for use in source.uses(node)]
        used = sorted((one for one in used if one is not None), key=lambda one: one[0] == NOTE)
        if used:
            yield node, *used[0]


def _use_of_an_answer(source: Source, node: ast.AST) -> tuple[str, str] | None:
    """Return how grave it is that a text begins with its prompt, and how it is used, or None."""
    use = source.parents.get(node)
    if isinstance(use, ast.Call) and name_of(use) in _PARSES and node in use.args:
        return WARNING, f"{name_of(use)} reads it"
    if isinstance(use, ast.Compare) and isinstance(use.ops[0], ast.Eq):
        return WARNING, "it is compared with a text"
    if isinstance(use, ast.Attribute) and use.attr == "startswith":
        return WARNING, "its beginning is looked at"
    if _kept_as_answer(source, use):
        return WARNING, "it is kept as the assistant's message"
    if isinstance(use, ast.Assign) and _ANSWER.search(last_name(use.targets[0])):
        return NOTE, f"it is called {last_name(use.targets[0])}"
    if isinstance(use, ast.Return) and not isinstance(node, ast.Name):
        return NOTE, "it is returned"
    return None


def _kept_as_answer(source: Source, use: ast.AST) -> bool:
    """Tell whether a name is bound to what becomes the content of an assistant's message."""
    if not isinstance(use, ast.Assign) or not isinstance(use.targets[0], ast.Name):
        return False
    for node in source.scopes:
        if isinstance(node, ast.Dict) and source.scopes[node] is source.scopes[use]:
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            says = dict(zip(keys, node.values, strict=True))
            if source.constants(says.get("role")) == ["assistant"]:
                content = says.get("content")
                if isinstance(content, ast.Name) and source.value(content) is use.value:
                    return True
    return False


def generated_texts(source: Source) -> Iterator[tuple[ast.Subscript, ast.Call]]:
    """Yield each `[...]["generated_text"]` with the pipeline's call that it comes from."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
            continue
        if node.slice.value != "generated_text" or isinstance(node.ctx, ast.Store):
            continue
        value = source.value(node.value)
        while isinstance(value, ast.Subscript):
            value = source.value(value.value)
        if not isinstance(value, ast.Call):
            continue
        if source.pipeline(value.func) is not None:
            yield node, value


def _gets_messages(source: Source, call: ast.Call) -> bool:
    """Tell whether a pipeline is given a chat: a list of messages, or a name that says so."""
    if not call.args:
        return False
    value = source.value(call.args[0])
    if isinstance(value, ast.List) and value.elts:
        first = source.value(value.elts[0])
        return isinstance(first, ast.Dict) and any(
            isinstance(key, ast.Constant) and key.value == "role" for key in first.keys
        )
    return bool(_MESSAGES.search(last_name(call.args[0])))


def _gets_text(source: Source, call: ast.Call) -> bool:
    """Tell whether a pipeline is given one text, as far as that is seen."""
    if not call.args:
        return False
    value = source.value(call.args[0])
    if isinstance(value, ast.JoinedStr):
        return True
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    return "prompt" in last_name(call.args[0]).lower()

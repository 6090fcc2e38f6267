"""A stream and its reader: threads that never run, streams read late, twice or wrongly."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Scope,
    Source,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.streams import ITERATORS, STREAMERS, streams_read
from llmcourse.doctor.subject import Subject


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
        if name_of(target) == "generate":
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
        if made is None or name_of(made) not in ITERATORS:
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
        if name_of(value) in ITERATORS:
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
        if name_of(call) not in STREAMERS or keyword(call, "timeout") is None:
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
    "stream-read-twice",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The program shows the answer, and then waits for ever.",
    cause="""
        A streamer is a queue: what was read is gone. Who goes through it again waits for pieces
        that nobody will put there.
    """,
    fix="Keep the pieces while they come.",
    example="""
        pieces = []
        for piece in streamer:
            print(piece, end="", flush=True)
            pieces.append(piece)
        answer = "".join(pieces)
    """,
    how_sure="Likely: only the source was read, where one call fills it and two places empty it.",
)
def stream_read_twice(source: Source) -> Iterator[Finding]:
    """A streamer is gone through a second time."""
    first: dict[tuple[Scope, ast.Call], ast.AST] = {}
    for node, read, made in sorted(streams_read(source), key=lambda one: one[1].lineno):
        name = last_name(read)
        if name_of(made) == "TextStreamer" or not isinstance(read, ast.Name):
            continue
        scope = source.scopes[read]
        before = first.setdefault((scope, made), node)
        if before is node or _leaves_early(before) or _are_alternatives(source, before, read):
            continue
        if _fills(source, scope, name) > 1:
            continue
        yield found(
            "stream-read-twice",
            ERROR,
            read,
            what=f"{name}, a {name_of(made)}, was read to its end above, and is read again.",
            why="A streamer is a queue: it is empty then, and the second reader waits for ever.",
            fix='pieces = list(streamer); text = "".join(pieces)  # read once, and kept',
        )
        return


def _leaves_early(node: ast.AST) -> bool:
    """Tell whether a loop may end before the stream does."""
    return any(isinstance(one, ast.Break | ast.Return) for one in ast.walk(node))


def _are_alternatives(source: Source, one: ast.AST, other: ast.AST) -> bool:
    """Tell whether two places are in the arms of one `if`, or one ends with a return there."""
    ifs = [above for above in source.above(one) if isinstance(above, ast.If)]
    here = list(source.above(other))
    return any(above in here or isinstance(above.body[-1], ast.Return) for above in ifs)


def _fills(source: Source, scope: Scope, name: str) -> int:
    """Return how many calls of a function put something into a streamer."""
    calls = [asked.call for asked in every_asked(source) if source.scopes[asked.call] is scope]
    return sum(_names(call, name) for call in calls)


@in_the_source(
    "stream-left-running",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="After a stream was left, the next answer is slow, and the machine stays busy.",
    cause="""
        Who leaves the loop stops reading. `generate` in its thread does not know that, and goes on
        to its end or its limit.
    """,
    fix="Give it a criterion that the reader can make true.",
    example="""
        class Cancelled(StoppingCriteria):
            def __call__(self, input_ids, scores, **kwargs):
                return stop.is_set()  # a threading.Event
    """,
    how_sure="""
        Likely, and a note: only the source was read, where a loop ends early and the call has no
        criterion or stop string.
    """,
)
def stream_left_running(source: Source) -> Iterator[Finding]:
    """A stream's loop is left, and generate goes on."""
    reads = list(streams_read(source))
    for node, read, made in reads:
        if not isinstance(node, ast.For) or name_of(made) != "TextIteratorStreamer":
            continue
        if sum(other is made for *_, other in reads) > 1:
            continue  # read on elsewhere
        leaves = [one for one in ast.walk(node) if isinstance(one, ast.Break | ast.Return)]
        calls = [asked for asked in every_asked(source) if _names(asked.call, last_name(read))]
        calls += [one for one in every_asked(source) if one.kind == "thread" and not calls]
        if not leaves or not calls or not all(_goes_on(source, one) for one in calls):
            continue
        yield found(
            "stream-left-running",
            NOTE,
            leaves[0],
            what=f"The loop through {source.words(read)} is left, and generate is not stopped.",
            why="In its thread it goes on to its end or its limit, and keeps the machine busy.",
            fix="stopping_criteria=[Cancelled(stop)]  # with stop.set() before the loop is left",
        )


def _names(call: ast.Call, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(call))


def _goes_on(source: Source, asked: Asked) -> bool:
    """Tell whether a call is seen to have nothing that could stop it early."""
    return asked.is_whole and not {"stopping_criteria", "stop_strings"} & asked.given.keys()


@in_the_source(
    "streamer-of-another-kind",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`TypeError: 'TextStreamer' object is not iterable`, or the same of `async for`.",
    cause="""
        `TextStreamer` prints, and gives nothing back. `TextIteratorStreamer` is gone through by
        `for`, `AsyncTextIteratorStreamer` by `async for`.
    """,
    fix="Take the streamer of the loop.",
    example="streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)",
    how_sure="Likely: only the source was read, where the streamer is made.",
)
def streamer_of_another_kind(source: Source) -> Iterator[Finding]:
    """A streamer is gone through in a way that it does not know."""
    for node, read, made in streams_read(source):
        above, kind = source.parents.get(read), name_of(made)
        waits = isinstance(above, ast.AsyncFor) or bool(getattr(above, "is_async", 0))
        serves = name_of(node) in ("StreamingResponse", "Response")
        wanted = "AsyncTextIteratorStreamer" if waits else "TextIteratorStreamer"
        if kind == wanted or (serves and kind != "TextStreamer"):
            continue
        yield found(
            "streamer-of-another-kind",
            ERROR,
            read,
            what=f"{source.words(read)} is a {kind}, and is gone through by "
            + ("async for." if waits else "for."),
            why="TextStreamer prints and yields nothing."
            if kind == "TextStreamer"
            else "for wants TextIteratorStreamer, async for AsyncTextIteratorStreamer.",
            fix=f"{wanted}(tokenizer, skip_prompt=True)",
        )


@in_the_source(
    "piece-yielded-alone",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="The page shows one word at a time, each in place of the last.",
    cause="""
        What a function yields to Gradio replaces what is shown. It has to be the whole text so far;
        a streamer gives pieces.
    """,
    fix="Put the pieces together.",
    example="""
        text = ""
        for piece in streamer:
            text += piece
            yield text
    """,
    how_sure="Likely: only the source was read, where a script with Gradio yields bare pieces.",
)
def piece_yielded_alone(source: Source) -> Iterator[Finding]:
    """A streamer's piece is yielded to Gradio."""
    imports = [node for node in source.scopes if isinstance(node, ast.Import | ast.ImportFrom)]
    if not any("gradio" in ast.unparse(one) for one in imports):
        return
    for node, _, made in streams_read(source):
        if name_of(made) != "TextIteratorStreamer" or not isinstance(node, ast.For):
            continue
        for inner in ast.walk(node):
            bare = isinstance(inner, ast.Yield) and isinstance(inner.value, ast.Name)
            if not bare or inner.value.id != last_name(node.target) or _grows(node):
                continue
            yield found(
                "piece-yielded-alone",
                WARNING,
                inner,
                what=f"{inner.value.id} is one piece of the stream, and is yielded to Gradio.",
                why="What is yielded replaces what is shown: only the last piece is seen.",
                fix=f"text += {inner.value.id}; yield text",
            )


def _grows(loop: ast.For) -> bool:
    """Tell whether a loop gives its own variable another value."""
    return any(
        isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store) and one.id == loop.target.id
        for statement in loop.body
        for one in ast.walk(statement)
    )

"""Streamers in use: read twice, by the wrong kind of loop, by a server, written by oneself."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Scope, Source, last_name, name_of
from llmcourse.doctor.static.reading.tensors import followed
from llmcourse.doctor.subject import Subject

_KINDS = ("TextStreamer", "TextIteratorStreamer", "AsyncTextIteratorStreamer")
_READS = ("list", "tuple", "join", "enumerate", "set", "sorted", "StreamingResponse", "Response")
_SERVES = re.compile(r"\b(fastapi|flask|starlette|sanic|quart|aiohttp|gradio|bottle|django)\b")
_ROUTES = ("get", "post", "put", "route", "websocket", "on_message", "event", "command")


def _reads(source: Source) -> Iterator[tuple[ast.AST, ast.AST, ast.Call]]:
    """Yield where a streamer is read to its end: the place, what is read, what made it."""
    for node in list(source.scopes):
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            read = node.iter
        elif isinstance(node, ast.Call) and name_of(node) in _READS and node.args:
            read = node.args[0]
        else:
            continue
        if isinstance(read, ast.Call) and last_name(read.func) == "enumerate" and read.args:
            read = read.args[0]
        made = followed(source, read)
        if isinstance(made, ast.Call) and name_of(made) in _KINDS:
            yield node if hasattr(node, "lineno") else read, read, made


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
    for node, read, made in sorted(_reads(source), key=lambda one: one[1].lineno):
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
    reads = list(_reads(source))
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
    for node, read, made in _reads(source):
        above, kind = source.parents.get(read), name_of(made)
        waits = isinstance(above, ast.AsyncFor) or bool(getattr(above, "is_async", 0))
        serves = isinstance(node, ast.Call) and name_of(node) in ("StreamingResponse", "Response")
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
    "blocks-the-event-loop",
    subject=Subject.CALL,
    severities=(WARNING, NOTE),
    symptom="A server answers nobody else while it generates; a stream arrives all at once.",
    cause="""
        An `async def` runs in the event loop, and gives way only at an `await`. `generate`, a
        pipeline, and a `for` through a streamer give way to nobody until they are done.
    """,
    fix="""
        Make it a plain `def`, which servers run in a thread; or hand the call to a thread and wait
        for that; or read an AsyncTextIteratorStreamer with `async for`.
    """,
    example="output = await asyncio.to_thread(model.generate, **inputs)",
    how_sure="""
        Likely: only the source was read. A warning in what a server calls, or yields from; else a
        note.
    """,
)
def blocks_the_event_loop(source: Source) -> Iterator[Finding]:
    """A call that takes long, in an `async def`."""
    blocking = [(read, f"for ... in {source.words(read)}") for read in _sync_reads(source)]
    blocking += [
        (asked.call, f"{asked.words}(...)")
        for asked in every_asked(source)
        if asked.kind in ("generate", "pipeline") and last_name(asked.call.func) != "pipeline"
    ]
    blocking += [(call, f"{source.words(call.func)}(...)") for call in _helpers_called(source)]
    for node, words in blocking:
        scope = source.scopes.get(node)
        awaited = isinstance(source.parents.get(node), ast.Await)
        if scope is None or awaited or not isinstance(scope.node, ast.AsyncFunctionDef):
            continue
        function = scope.node
        yields = any(isinstance(one, ast.Yield) for one in scope.nodes)
        yield found(
            "blocks-the-event-loop",
            WARNING if yields or _is_route(function) or _serves(source) else NOTE,
            node,
            what=f"{words} runs in async def {function.name}, and awaits nothing.",
            why="It blocks the event loop until the text is done: no other request is answered.",
            fix=f"def {function.name}(...)  # not async; or await asyncio.to_thread(...)",
        )


def _helpers_called(source: Source) -> Iterator[ast.Call]:
    """Yield calls of plain functions of the source that generate themselves."""
    homes = [source.scopes[call] for call in source.generate_calls]
    names = {
        scope.node.name
        for scope in homes
        if isinstance(scope.node, ast.FunctionDef)
        and not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in scope.nodes)
    }
    for call in source.calls:
        if isinstance(call.func, ast.Name) and call.func.id in names:
            yield call


def _sync_reads(source: Source) -> Iterator[ast.AST]:
    for node, read, made in _reads(source):
        waits = isinstance(node, ast.AsyncFor | ast.Call)
        if name_of(made) == "TextIteratorStreamer" and not waits:
            yield read


def _is_route(function: ast.AST) -> bool:
    """Tell whether a function is what a server calls: `@app.post(...)`."""
    return any(
        last_name(one.func if isinstance(one, ast.Call) else one) in _ROUTES
        for one in function.decorator_list
    )


def _serves(source: Source) -> bool:
    """Tell whether a source imports a server."""
    names = [
        getattr(node, "module", None) or alias.name
        for node in source.scopes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    return any(_SERVES.search(name) for name in names)


@in_the_source(
    "streamer-shared",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Two users at once get each other's words; a new answer begins with an old one's end.",
    cause="""
        A streamer is one queue. Where all requests use the same one, their pieces are mixed, and
        what a user who has left did not read is there for the next.
    """,
    fix="Make one for each request.",
    example="""
        def answer(question):
            streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    """,
    how_sure="""
        Likely: only the source was read, where the streamer is made outside of what a server calls.
    """,
)
def streamer_shared(source: Source) -> Iterator[Finding]:
    """One streamer for all requests of a server."""
    for call in source.calls:
        if name_of(call) not in ("TextIteratorStreamer", "AsyncTextIteratorStreamer"):
            continue
        kept = source.parents.get(call)
        target = kept.targets[0] if isinstance(kept, ast.Assign) else None
        user = None if target is None else _user(source, call, target)
        if user is None or not (_serves(source) or _is_route(user)):
            continue
        name = source.words(target)
        yield found(
            "streamer-shared",
            WARNING,
            call,
            what=f"{name} is made once, and {user.name} uses it for every request.",
            why="It is one queue: pieces of two answers are mixed, or left for the next reader.",
            fix=f"{name} = {source.words(call)[:60]}  # within {user.name}",
        )


def _user(source: Source, made: ast.Call, target: ast.AST) -> ast.AST | None:
    """Return a function that uses a streamer which was made outside of it."""
    words, home = ast.unparse(target), source.scopes[made]
    shared = home is source.module or isinstance(target, ast.Attribute)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in list(source.scopes) if shared else ():
        user = source.scopes[node].node
        reads = isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
        if not reads or source.scopes[node] is home or not isinstance(user, functions):
            continue
        own = words in source.scopes[node].bound or _is_set_in(source, source.scopes[node], words)
        if ast.unparse(node) == words and not own:
            return user
    return None


def _is_set_in(source: Source, scope: Scope, words: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node) == words
        for node in scope.nodes
    )


@in_the_source(
    "streamer-without-end",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`NotImplementedError` when the text is complete.",
    cause="""
        `generate` calls a streamer's `put` for the prompt and for each token, and `end` once.
        BaseStreamer has neither.
    """,
    fix="Write both.",
    example="""
        class Pieces(BaseStreamer):
            def put(self, value): ...
            def end(self): ...
    """,
    how_sure="Likely: only the source was read, where a class of BaseStreamer lacks a method.",
)
def streamer_without_end(source: Source) -> Iterator[Finding]:
    """A streamer of one's own that lacks a method."""
    for node in own_streamers(source):
        methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
        lacks = [one for one in ("put", "end") if one not in methods]
        if not lacks:
            continue
        yield found(
            "streamer-without-end",
            ERROR,
            node,
            what=f"{node.name} is a BaseStreamer without {' and '.join(lacks)}.",
            why="generate calls both, and BaseStreamer's raise NotImplementedError.",
            fix=f"def {lacks[-1]}(self{', value' if lacks[-1] == 'put' else ''}): ...",
        )


def own_streamers(source: Source) -> list[ast.ClassDef]:
    """Return the classes that are made of BaseStreamer alone."""
    classes = [node for node in source.scopes if isinstance(node, ast.ClassDef)]
    return [one for one in classes if [last_name(base) for base in one.bases] == ["BaseStreamer"]]


@in_the_source(
    "prompt-put-first",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="A streamer of one's own shows the prompt, or fails at its shape.",
    cause="""
        The first `put` gets the prompt's ids, of shape (1, length); each later one gets one token,
        of shape (1,).
    """,
    fix="Leave the first one out.",
    example="""
        def put(self, value):
            if self.is_prompt:
                self.is_prompt = False
                return
            self.ids += value.tolist()
    """,
    how_sure="Likely: only the source was read, where `put` treats all that it gets alike.",
)
def prompt_put_first(source: Source) -> Iterator[Finding]:
    """A streamer's `put` that takes the prompt for a token."""
    for node in own_streamers(source):
        puts = [one for one in node.body if getattr(one, "name", "") == "put"]
        for put in puts:
            inside = list(ast.walk(put))
            asks = (ast.If, ast.IfExp, ast.Raise, ast.Try, ast.While, ast.BoolOp)
            value = put.args.args[-1].arg if put.args.args else ""
            reads = any(isinstance(one, ast.Name) and one.id == value for one in inside)
            if any(isinstance(one, asks) for one in inside) or not reads:
                continue
            yield found(
                "prompt-put-first",
                WARNING,
                put,
                what=f"{node.name}.put treats all that it gets alike, and the prompt comes first.",
                why="The first value is the prompt, (1, length); later ones are a token, (1,).",
                fix="if self.is_prompt: self.is_prompt = False; return",
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
    for node, _, made in _reads(source):
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

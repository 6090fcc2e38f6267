"""Streamers of servers, and streamers of one's own."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Scope, Source, last_name, name_of
from llmcourse.doctor.static.reading.streams import streams_read
from llmcourse.doctor.subject import Subject

_SERVES = re.compile(r"\b(fastapi|flask|starlette|sanic|quart|aiohttp|gradio|bottle|django)\b")
_ROUTES = ("get", "post", "put", "route", "websocket", "on_message", "event", "command")


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
    for node, read, made in streams_read(source):
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
    severities=(WARNING,),
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

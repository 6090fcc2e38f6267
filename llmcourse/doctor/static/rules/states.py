"""Rules that remember: what a call leaves in them for the next one."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.classes import Written, written
from llmcourse.doctor.static.reading.following import assigned_to
from llmcourse.doctor.static.reading.functions import are_repeated
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of


@in_the_source(
    "stateful-processor",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where one object with a state of its own goes into several
        calls, and has no `reset`.
    """,
)
def stateful_processor(source: Source) -> Iterator[Finding]:
    """One processor with a state of its own, in several calls."""
    classes = {one.node.name: one for one in written(source) if _keeps_state(one)}
    uses: dict[str, list[ast.Call]] = {}
    for asked in every_asked(source):
        for name in ("logits_processor", "stopping_criteria"):
            value = source.value(asked.given.get(name, ast.Constant(None)))
            for part in ast.walk(value):
                made = source.value(part) if isinstance(part, ast.Name) else None
                if isinstance(made, ast.Call) and name_of(made) in classes:
                    uses.setdefault(part.id, []).append(asked.call)
                    uses[part.id] += [asked.call] if _repeats(source, asked.call, made) else []
    yield from _stateful_functions(source)
    for name, calls in uses.items():
        if len(calls) < 2:
            continue
        yield found(
            "stateful-processor",
            WARNING,
            calls[-1],
            what=f"The processor {name} keeps a state of its own, and goes into several calls.",
            why="It is not made new for each text: it goes on where the text before ended.",
            fix=f"{name} = ...  # a new one for each call",
        )


def _stateful_functions(source: Source) -> Iterator[Finding]:
    """Yield where a `prefix_allowed_tokens_fn` remembers what it was called with before."""
    makers = {name: ways for name, ways in map(_what_remembers, source.scopes) if ways}
    functions = _remembering_functions(source)
    uses: dict[str, list[ast.Call]] = {}
    for asked in every_asked(source):
        given = asked.given.get("prefix_allowed_tokens_fn")
        for one, way in _objects(given) if given is not None else ():
            made, name = _made(source, one), ast.unparse(one)
            known = isinstance(made, ast.Call) and way in makers.get(name_of(made), ())
            if not known and (name not in functions or way != "__call__"):
                continue
            if _is_set_back(source, name):
                continue
            outside = not known or source.scopes.get(made) is not source.scopes[asked.call]
            again = _repeats(source, asked.call, made if known else source.tree)
            again |= outside and _runs_again(source, asked.call)
            uses.setdefault(name, []).extend([asked.call] * (1 + again))
    for name, calls in uses.items():
        if len(calls) > 1:
            yield found(
                "stateful-processor",
                WARNING,
                calls[-1],
                what=f"prefix_allowed_tokens_fn={name} keeps a state between calls of generate.",
                why="The function is not told that a new text begins: with the same prompt, or in "
                "the next call, it goes on where the last call ended.",
                fix=f"prefix_allowed_tokens_fn=...  # made anew for each call, in place of {name}",
            )


def _objects(given: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield an object that is called, with its method: of `allowed`, `trie.next`, and a lambda."""
    if isinstance(given, ast.Lambda) and isinstance(given.body, ast.Call):
        given = given.body.func
    if isinstance(given, ast.Name | ast.Attribute):
        yield given, "__call__"
    if isinstance(given, ast.Attribute) and isinstance(given.value, ast.Name | ast.Attribute):
        yield given.value, given.attr


def _made(source: Source, one: ast.AST) -> ast.AST:
    """Return what a name or an attribute is given, where that is seen once."""
    if not isinstance(one, ast.Attribute):
        return source.value(one)
    made = assigned_to(source, one)
    return made[0] if len(made) == 1 else one


def _is_set_back(source: Source, name: str) -> bool:
    """Tell whether something of an object is assigned from outside: `allowed.at = 0`."""
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == name
        for node in source.scopes
    )


def _runs_again(source: Source, call: ast.Call) -> bool:
    """Tell whether the function that a call stands in is called in a loop, or twice."""
    name = getattr(source.scopes[call].node, "name", None)
    calls = [one for one in source.calls if name is not None and last_name(one.func) == name]
    return are_repeated(source, calls)


def _what_remembers(node: ast.AST) -> tuple[str, set[str]]:
    """Return a class's name and those of its methods that keep a state, where nothing resets it.

    Or that of a function which returns a function that does, and "__call__".
    """
    if isinstance(node, ast.ClassDef):
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        if any(one.name.startswith("reset") for one in methods):
            return node.name, set()
        return node.name, {one.name for one in methods if _remembers(one)}
    if not isinstance(node, ast.FunctionDef):
        return "", set()
    inner = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    returned = {ast.unparse(one.value) for one in node.body if _gives(one)}
    kept = {name for one in node.body for name in _assigned(one)}
    remembers = any(one.name in returned and _remembers_names(one, kept) for one in inner)
    return node.name, {"__call__"} if remembers else set()


def _assigned(node: ast.AST) -> set[str]:
    """Return the names that a statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {one.id for one in targets if isinstance(one, ast.Name)}


def _gives(node: ast.AST) -> bool:
    return isinstance(node, ast.Return) and node.value is not None


def _remembering_functions(source: Source) -> set[str]:
    """Return the names of the functions that change a global name which they alone set."""
    functions = [one for one in source.scopes if isinstance(one, ast.FunctionDef)]
    said = [name for one in source.scopes if isinstance(one, ast.Global) for name in one.names]
    bound = source.module.bound
    kept = {name for name, values in bound.items() if len(values) == 1 and said.count(name) < 2}
    return {one.name for one in functions if _remembers_names(one, kept)}


def _remembers_names(function: ast.FunctionDef, kept: set[str]) -> bool:
    """Tell whether a function changes names of those around it, and reads them."""
    if len(function.args.args) != 2 or _looks_at_length(function):
        return False
    stored, read = _stored_and_read(function)
    said = (ast.Nonlocal, ast.Global)
    names = {name for one in ast.walk(function) if isinstance(one, said) for name in one.names}
    cells = {
        one.target.value.id  # of `step[0] += 1`
        for one in ast.walk(function)
        if isinstance(one, ast.AugAssign)
        and isinstance(one.target, ast.Subscript)
        and isinstance(one.target.slice, ast.Constant)
        and isinstance(one.target.value, ast.Name)
    }
    return bool(kept & read & ((names & stored) | (cells - stored)))


def _remembers(method: ast.FunctionDef) -> bool:
    """Tell whether a method that gets two things reads what it changed of its own object."""
    if method.name == "__init__" or len(method.args.args) != 3 or _looks_at_length(method):
        return False
    stored, read = _stored_and_read(method)
    return any(one.startswith("self.") for one in stored & read)


def _looks_at_length(function: ast.FunctionDef) -> bool:
    """Tell whether a function works from the length of the ids that it gets, the last argument."""
    ids = function.args.args[-1].arg if function.args.args else ""
    text = ast.unparse(function)
    return f"len({ids})" in text or f"{ids}.shape" in text or f"{ids}.size(" in text


def _stored_and_read(function: ast.FunctionDef) -> tuple[set[str], set[str]]:
    """Return what a function assigns, but where it is None yet, and what it reads."""
    if_none = {
        part
        for one in ast.walk(function)
        if isinstance(one, ast.If) and re.search(r" is None$|^not ", ast.unparse(one.test))
        for part in ast.walk(one)
    }
    kinds = (ast.Attribute, ast.Name)
    stored = {
        ast.unparse(one)
        for one in ast.walk(function)
        if isinstance(one, kinds) and isinstance(one.ctx, ast.Store) and one not in if_none
    }
    read = {
        ast.unparse(one)
        for one in ast.walk(function)
        if isinstance(one, kinds) and isinstance(one.ctx, ast.Load)
    }
    return stored, read


def _keeps_state(one: Written) -> bool:
    """Tell whether `__call__` changes what the object holds, and nothing sets it back."""
    methods = [node.name for node in one.node.body if isinstance(node, ast.FunctionDef)]
    text = ast.unparse(one.call)
    begins_anew = "shape" in text or ("len(" in text and f"len({one.ids}" in text)
    if "reset" in methods or begins_anew:
        return False
    for node in ast.walk(one.call):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if stored and last_name(node.value) == "self":
            return True
        steps = name_of(node) in ("next", "pop", "popleft")
        if steps and "self." in ast.unparse(node):
            return True
    return False


def _repeats(source: Source, call: ast.Call, made: ast.Call) -> bool:
    """Tell whether a call stands in a loop, and the object was made outside of it."""
    loops = [above for above in source.above(call) if isinstance(above, ast.For | ast.While)]
    around = list(source.above(made))
    return any(loop not in around for loop in loops)

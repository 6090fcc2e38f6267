"""What the functions of a script are given by their calls, and what they give back."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.static.reading.following import name_at
from llmcourse.doctor.static.reading.source import Source, last_name


def handed_in(source: Source, node: ast.AST) -> Iterator[ast.AST]:
    """Yield what the calls of a function give for the arguments of its own that a node names."""
    function = source.scopes[node].node if node in source.scopes else None
    if not isinstance(function, ast.FunctionDef):
        return
    places = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    named = {name_at(part) for part in ast.walk(node)} & {*places}
    for call in source.calls if named else ():
        if last_name(call.func) != function.name:
            continue
        first = 1 if places[:1] == ["self"] and isinstance(call.func, ast.Attribute) else 0
        yield from (one for at, one in zip(places[first:], call.args, strict=False) if at in named)
        yield from (each.value for each in call.keywords if each.arg in named)


def returns_of(source: Source, name: str) -> Iterator[ast.AST]:
    for node, scope in list(source.scopes.items()):
        returns = isinstance(node, ast.Return) and getattr(scope.node, "name", "") == name
        if returns and node.value is not None:
            yield node.value

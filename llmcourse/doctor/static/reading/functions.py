"""What the functions of a script are given, by calls and defaults, and what they give back."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.static.reading.following import name_at
from llmcourse.doctor.static.reading.source import Source, last_name, name_of

_REPEATS = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.DictComp)


def places_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names of the arguments that a function takes by their place."""
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args)]


def defaults_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, ast.AST]:
    """Return the defaults of a function's arguments, by their names."""
    given, places = function.args, places_of(function)
    pairs = [*zip(places[len(places) - len(given.defaults) :], given.defaults, strict=True)]
    pairs += zip((one.arg for one in given.kwonlyargs), given.kw_defaults, strict=True)
    return {name: value for name, value in pairs if value is not None}


def given_to(source: Source, function: ast.AST) -> Iterator[tuple[str | None, ast.AST]]:
    """Yield the names of a function's arguments with what its calls give for them, call by call.

    `self` is left out where it is called as a method; None stands for the name of `**options`.
    """
    places = places_of(function)
    for call in source.calls:
        if last_name(call.func) == function.name:
            method = places[:1] == ["self"] and isinstance(call.func, ast.Attribute)
            yield from _by_name(call, places[1:] if method else places)


def _by_name(call: ast.Call, places: list[str]) -> Iterator[tuple[str | None, ast.AST]]:
    """Yield what a call gives, with the names of the places that it gives it for."""
    yield from zip(places, call.args, strict=False)
    yield from ((each.arg, each.value) for each in call.keywords)


def handed_in(source: Source, node: ast.AST) -> Iterator[ast.AST]:
    """Yield what the calls of a function give for the arguments of its own that a node names."""
    function = source.scopes[node].node if node in source.scopes else None
    if not isinstance(function, ast.FunctionDef):
        return
    named = {name_at(part) for part in ast.walk(node)} & {*places_of(function)}
    yield from (one for name, one in given_to(source, function) if name in named)


def what_it_may_be(source: Source, node: ast.AST, depth: int = 4) -> list[ast.AST]:
    """Return the expressions that an expression is seen to be given: as argument, as attribute."""
    value = source.value(node)
    if not depth:
        return []
    if isinstance(value, ast.Constant | ast.BinOp | ast.Call):
        return [value]
    if isinstance(value, ast.Dict):
        given = value.values
    elif isinstance(value, ast.IfExp):
        given = [value.body, value.orelse]
    elif isinstance(value, ast.Subscript):
        given = [value.value]
    elif isinstance(value, ast.Attribute):
        given = _given_to_attribute(source, value.attr)
    elif isinstance(value, ast.Name):
        bound = source.scopes.get(value, source.module).bound.get(value.id, [])
        given = [one for one in bound if one is not None] + _given_for_an_argument(source, value)
    else:
        given = []
    return [
        one for each in given if each is not node for one in what_it_may_be(source, each, depth - 1)
    ]


def _given_to_attribute(source: Source, name: str) -> list[ast.AST]:
    """Return what is assigned to attributes of a name, in classes and of objects."""
    given: list[ast.AST] = []
    for node in list(source.scopes):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            of_class = isinstance(source.parents.get(node), ast.ClassDef)
            for one, value in pairs:
                attribute = isinstance(one, ast.Attribute) or of_class
                if attribute and last_name(one) == name and value is not None:
                    given.append(value)
        owner = source.parents.get(node)
        field = isinstance(node, ast.AnnAssign) and isinstance(owner, ast.ClassDef)
        if field and last_name(node.target) == name:  # of a dataclass
            given += _fields_given(source, owner, name)
    return given


def _fields_given(source: Source, owner: ast.ClassDef, name: str) -> list[ast.AST]:
    """Return what the calls of a dataclass give for a field."""
    names = [last_name(one.target) for one in owner.body if isinstance(one, ast.AnnAssign)]
    return _given_in_calls(source, owner.name, names, name)


def _given_for_an_argument(source: Source, node: ast.Name) -> list[ast.AST]:
    """Return what the calls of its function give for an argument, and its default."""
    function = source.scopes[node].node if node in source.scopes else None
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    places = places_of(function)
    if node.id not in (*places, *(one.arg for one in function.args.kwonlyargs)):
        return []
    owner, name = source.parents.get(function), function.name
    if isinstance(owner, ast.ClassDef):
        places = places[1:]
        name = owner.name if name == "__init__" else name
    given = _given_in_calls(source, name, places, node.id)
    default = defaults_of(function).get(node.id) if node.id in places else None
    return given if default is None else [*given, default]


def _given_in_calls(source: Source, function: str, places: list[str], name: str) -> list[ast.AST]:
    """Return what the calls of a function give for one of its arguments."""
    given: list[ast.AST] = []
    for call in source.calls:
        if name_of(call) != function or any(isinstance(one, ast.Starred) for one in call.args):
            continue
        given += [one for at, one in _by_name(call, places) if at == name]
    return given


def returns_of(source: Source, name: str) -> Iterator[ast.AST]:
    """Yield what the functions of a name return."""
    for node, scope in list(source.scopes.items()):
        returns = isinstance(node, ast.Return) and getattr(scope.node, "name", "") == name
        if returns and node.value is not None:
            yield node.value


def are_repeated(source: Source, calls: list[ast.Call]) -> bool:
    """Tell whether there are several of these calls, or one stands in a loop."""
    return len(calls) > 1 or any(
        isinstance(above, _REPEATS) for call in calls for above in source.above(call)
    )

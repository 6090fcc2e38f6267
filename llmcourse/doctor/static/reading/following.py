"""What a name stands for at its place: what it was given last above there."""

import ast
import functools
from collections.abc import Iterator

from llmcourse.doctor.static.reading.source import Scope, Source

DEEP = 12  # how many names are followed, one after another


def latest(source: Source, name: ast.Name) -> ast.AST | None:
    """Return what a name was given last, above the place where it is read; None if unseen."""
    if source.element(name) is not None:
        return None
    here = (name.lineno, name.col_offset)
    given = _gifts(source, source.scopes.get(name, source.module)).get(name.id, ())
    for statement, value in reversed(given):
        ended = (statement.end_lineno, statement.end_col_offset) <= here
        if ended and not _in_another_arm(source, statement, name):
            return value
    return None


@functools.lru_cache(maxsize=64)
def _gifts(source: Source, scope: Scope) -> dict[str, list[tuple[ast.AST, ast.AST]]]:
    """Return what a function gives to each name: the statements with the values, in order."""
    found: dict[str, list[tuple[ast.AST, ast.AST]]] = {}
    for node in list(scope.nodes):
        for name, value in _given(node):
            for part in ast.walk(value):
                if part not in source.scopes:  # written here
                    source.scopes[part] = scope
                    source.parents[part] = node
            found.setdefault(name, []).append((node, value))
    for gifts in found.values():
        gifts.sort(key=lambda gift: (gift[0].lineno, gift[0].col_offset))
    return found


def _given(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a statement gives something to, and what that is."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        read = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
        yield node.target.id, ast.copy_location(ast.BinOp(read, node.op, node.value), node)
    for target in node.targets if isinstance(node, ast.Assign) else ():
        if isinstance(target, ast.Name):
            yield target.id, node.value
        for place, one in enumerate(getattr(target, "elts", ())):
            if isinstance(one, ast.Name):
                number = ast.copy_location(ast.Constant(place), node)
                part = ast.Subscript(node.value, number, ast.Load())
                same = isinstance(node.value, ast.Tuple | ast.List)
                fits = same and len(node.value.elts) == len(target.elts)
                yield one.id, node.value.elts[place] if fits else ast.copy_location(part, node)


def _in_another_arm(source: Source, statement: ast.AST, name: ast.AST) -> bool:
    """Tell whether a statement stands in the other arm of an `if` that a name is in."""
    above = list(source.above(name))
    inner = statement
    for outer in source.above(statement):
        if isinstance(outer, ast.If) and outer in above:
            of_name = above[above.index(outer) - 1] if above.index(outer) else name
            return (inner in outer.body) != (of_name in outer.body)
        inner = outer
    return False


def followed(source: Source, node: ast.AST) -> ast.AST:
    """Return what an expression stands for at its place, a name's last value."""
    for _ in range(DEEP):
        if not isinstance(node, ast.Name):
            break
        value = latest(source, node) if node in source.scopes else None
        value = source.value(node) if value is None else value
        if value is node:
            break
        node = value
    return node


def name_at(node: ast.AST) -> str:
    """Return the name that an expression is."""
    return node.id if isinstance(node, ast.Name) else ""


def parts_followed(source: Source, node: ast.AST, depth: int = 6) -> Iterator[ast.AST]:
    """Yield the parts of an expression, and those of what its names stand for."""
    for part in ast.walk(node):
        yield part
        if isinstance(part, ast.Name) and depth:
            value = followed(source, part)
            if value is not part:
                yield from parts_followed(source, value, depth - 1)


def is_written(source: Source, node: ast.AST) -> bool:
    """Tell whether a part stands in the script, and is not what a target of several gets."""
    above = source.parents.get(node)
    return not (isinstance(above, ast.Assign) and above.value is not node)


def assigned_to(source: Source, node: ast.AST) -> list[ast.AST]:
    """Return what is given, anywhere, to a name or an attribute that is written as this one."""
    words = ast.unparse(node)
    given = [one for one in source.scopes if isinstance(one, ast.Assign)]
    return [one.value for one in given if ast.unparse(one.targets[0]) == words]

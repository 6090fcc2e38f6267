"""Texts that are put together of pieces: tokens that were decoded one by one."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of

_TOKENS = re.compile(r"ids$|tokens?$|generated$", re.IGNORECASE)


@in_the_source(
    "piecewise-decoding",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read, and a warning: the pieces of English words often fit.
    """,
)
def piecewise_decoding(source: Source) -> Iterator[Finding]:
    """Tokens are decoded one by one, and their texts are put together."""
    yield from _one_by_one(source)
    yield from _a_row_as_a_batch(source)


def _one_by_one(source: Source) -> Iterator[Finding]:
    for call in source.calls:
        if not source.is_decode(call) or not is_one_token(source, call.args[0]):
            continue
        if not _is_joined(source, call):
            continue
        decode = source.words(call.func)
        yield found(
            "piecewise-decoding",
            WARNING,
            call,
            what=f"{source.words(call)} decodes one token, and the pieces are put together.",
            why="A token alone loses its space, or is half a character.",
            fix=f"{decode}(ids)  # all of them; or TextIteratorStreamer for text as it comes",
        )


def _a_row_as_a_batch(source: Source) -> Iterator[Finding]:
    """Yield where `batch_decode` gets one row as a column: a text for each token."""
    for call in source.calls:
        texts = source.value(call.args[0]) if joins_words(call) else None
        if not isinstance(texts, ast.Call) or name_of(texts) != "batch_decode" or not texts.args:
            continue
        row = _in_a_column(source, texts.args[0])
        if row is None or not is_row(source, row):
            continue
        yield found(
            "piecewise-decoding",
            WARNING,
            texts,
            what=f"{source.words(texts)} decodes each token of one row by itself.",
            why="A token alone loses its space, or is half a character; decode takes a whole row.",
            fix=f"{source.words(owner_of(texts))}.decode({source.words(row)})",
        )


def _in_a_column(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the row of `row.unsqueeze(1)` or `row[:, None]`; None for other expressions."""
    value = source.value(node)
    if isinstance(value, ast.Call) and name_of(value) in ("unsqueeze", "view", "reshape"):
        shape = ", ".join(map(ast.unparse, value.args))
        return owner_of(value) if shape in ("1", "-1", "-1, 1") else None
    if isinstance(value, ast.Subscript) and ast.unparse(value.slice).strip("()") == ":, None":
        return value.value
    return None


def is_one_token(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a single token: chosen in a loop, or taken out of a row."""
    while isinstance(node, ast.Call) and name_of(node) in ("item", "squeeze", "tolist", "cpu"):
        node = owner_of(node)
    if isinstance(node, ast.List) and len(node.elts) == 1:
        node = node.elts[0]
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return is_chosen(source, node.value)
    if not isinstance(node, ast.Name):
        return False
    return is_chosen(source, node) or _goes_through_a_row(source, node)


def is_chosen(source: Source, name: ast.Name) -> bool:
    """Tell whether a name is what `argmax` or a draw gave, in a loop or before it."""
    values = source.scopes[name].bound.get(name.id, [])
    calls = [each for value in values if value is not None for each in ast.walk(value)]
    chosen = ("argmax", "multinomial")
    return bool(values) and any(
        isinstance(one, ast.Call) and name_of(one) in chosen for one in calls
    )


def _goes_through_a_row(source: Source, name: ast.Name) -> bool:
    """Tell whether a name is the variable of a loop through the tokens of one row."""
    for above in source.above(name):
        loops = [above] if isinstance(above, ast.For) else getattr(above, "generators", [])
        for loop in loops:
            if isinstance(loop.target, ast.Name) and loop.target.id == name.id:
                return is_row(source, loop.iter)
    return False


def is_row(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a row of ids: `out[0]`, `out[0, 5:]`, `out[0][5:]`."""
    value = source.value(node)
    while isinstance(value, ast.Call) and name_of(value) in ("tolist", "cpu", "numpy"):
        value = source.value(owner_of(value))
    if not isinstance(value, ast.Subscript):
        return False
    if isinstance(value.slice, ast.Slice):
        return is_row(source, value.value)
    first = value.slice.elts[0] if isinstance(value.slice, ast.Tuple) else value.slice
    whole = isinstance(first, ast.Constant) and isinstance(first.value, int)
    known = source.is_output(value.value) or bool(_TOKENS.search(last_name(value.value)))
    return whole and known


def _is_joined(source: Source, call: ast.Call) -> bool:
    """Tell whether a decoded piece is added to others, or printed after them."""
    above = next(source.above(call))
    if isinstance(above, ast.AugAssign):
        return isinstance(above.op, ast.Add)
    if isinstance(above, ast.BinOp):  # text = text + tokenizer.decode(token)
        return isinstance(above.op, ast.Add)
    if isinstance(above, ast.Call) and name_of(above) == "print":
        end = keyword(above, "end")
        return isinstance(end, ast.Constant) and end.value == ""
    if isinstance(above, ast.Call) and name_of(above) == "append":
        return is_joined_later(source, last_name(owner_of(above)))
    if isinstance(above, ast.ListComp | ast.GeneratorExp):
        outer = source.parents[above]
        if isinstance(outer, ast.Assign) and isinstance(outer.targets[0], ast.Name):
            return is_joined_later(source, outer.targets[0].id)
        return _joins(outer)
    return False


def is_joined_later(source: Source, name: str) -> bool:
    joins = [call for call in source.calls if _joins(call)]
    return any(last_name(call.args[0]) == name for call in joins)


def _joins(node: ast.AST) -> bool:
    """Tell whether a node is `"".join(...)`, or puts spaces between."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "join"
        and isinstance(node.func.value, ast.Constant)
        and node.func.value.value in ("", " ")
        and len(node.args) == 1
    )


def joins_words(call: ast.Call) -> bool:
    """Tell whether a call is `"".join(one)` or `" ".join(one)`."""
    between = getattr(call.func, "value", None)
    blank = isinstance(between, ast.Constant) and between.value in ("", " ")
    return blank and name_of(call) == "join" and len(call.args) == 1

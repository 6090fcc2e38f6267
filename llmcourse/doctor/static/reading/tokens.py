"""Tokens and rows of ids: what was chosen, what is one token, what is a row."""

import ast
import re

from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of

_ONE = re.compile(r"(?:^|_)(?:tok|token|id|tid)$", re.IGNORECASE)
_TOKENS = re.compile(r"ids$|tokens?$|generated$", re.IGNORECASE)


def is_one_token(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a single token: chosen in a loop, or taken out of a row."""
    while name_of(node) in ("item", "squeeze", "tolist", "cpu"):
        node = owner_of(node)
    if isinstance(node, ast.List) and len(node.elts) == 1:
        node = node.elts[0]
        if isinstance(node, ast.Name) and _ONE.search(node.id):  # decode([token])
            return True
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
    """Tell whether an expression is a row of ids: `out[0]`, `out[0, 5:]`, `tokenizer.encode(t)`."""
    value = source.value(node)
    while name_of(value) in ("tolist", "cpu", "numpy"):
        value = source.value(owner_of(value))
    if name_of(value) == "encode" and source.is_tokenizer(owner_of(value)):
        return keyword(value, "return_tensors") is None
    if not isinstance(value, ast.Subscript):
        return False
    if isinstance(value.slice, ast.Slice):
        return is_row(source, value.value)
    first = value.slice.elts[0] if isinstance(value.slice, ast.Tuple) else value.slice
    whole = isinstance(first, ast.Constant) and isinstance(first.value, int)
    known = source.is_output(value.value) or bool(_TOKENS.search(last_name(value.value)))
    return whole and known


def owner_of_ids(node: ast.AST) -> ast.AST | None:
    """Return `a` of `a["input_ids"]` and of `a.input_ids`; None for other nodes."""
    entry = isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "'input_ids'"
    field = isinstance(node, ast.Attribute) and node.attr == "input_ids"
    return node.value if entry or field else None

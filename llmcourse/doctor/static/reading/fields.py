"""Which field of which call's result an expression is: `out.scores`, `out["logits"]`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.doctor.static.reading.following import followed
from llmcourse.doctor.static.reading.source import (
    Source,
    is_string,
    last_name,
    name_of,
    owner_of,
    parts_of_index,
)

_NAMES = (
    *("sequences", "scores", "logits", "hidden_states", "attentions", "sequences_scores"),
    *("beam_indices", "loss", "past_key_values"),
)
# Calls that give a tensor, or a list of them, back as it is but for its type or place.
_SAME = ("to", "cpu", "cuda", "detach", "clone", "float", "double", "numpy", "list", "tuple")
_LOOKS = ("hasattr", "isinstance", "getattr")
PER_STEP = ("scores", "logits")
PER_LAYER = ("hidden_states", "attentions")


@dataclass(frozen=True, eq=False)
class Field:
    """A field that is read of what a call returned."""

    node: ast.AST  # where it is read
    name: str  # "scores"
    owner: ast.AST  # what it is read of: `out` of `out.scores`
    call: ast.Call
    generates: bool  # whether the call is of `generate`, and not a forward pass


def field_of(source: Source, node: ast.AST) -> Field | None:
    """Return which field an expression is; None where that is not seen."""
    node = followed(source, node)
    while name_of(node) in _SAME:
        inner = owner_of(node) if isinstance(node.func, ast.Attribute) else (node.args or [None])[0]
        if inner is None:
            return None
        node = followed(source, inner)
    name, owner = named_field(node)
    if owner is None or name not in _NAMES:
        return None
    made = source.placed(followed(source, owner))
    if source.is_generate(made):
        return Field(node, name, owner, made, generates=True)
    if source.is_forward(made):
        return Field(node, name, owner, made, generates=False)
    return None


def named_field(node: ast.AST) -> tuple[str, ast.AST | None]:
    """Return `("scores", out)` of `out.scores` and `out["scores"]`; `("", None)` of others."""
    if isinstance(node, ast.Attribute):
        return node.attr, node.value
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        key = node.slice.value
        return (key, node.value) if isinstance(key, str) else ("", None)
    return "", None


def fields(source: Source, *names: str) -> Iterator[Field]:
    """Yield the fields of these names that a source reads, where they stand."""
    for node in list(source.scopes):
        if named_field(node)[0] in names and isinstance(node.ctx, ast.Load):
            field = field_of(source, node)
            if field is not None and field.node is node:
                yield field


def index_chain(node: ast.AST) -> tuple[ast.AST, list[ast.AST]]:
    """Return `(a, [i, j, k])` of `a[i][j, k]`; slices are among them."""
    parts: list[ast.AST] = []
    while isinstance(node, ast.Subscript) and not is_string(node.slice):
        inner = parts_of_index(node)
        parts = inner + parts
        node = node.value
    return node, parts


def names_in(node: ast.AST) -> set[str]:
    """Return the last names that stand in an expression."""
    return {last_name(part) for part in ast.walk(node)} - {""}


def is_field(node: ast.AST, name: str) -> bool:
    """Tell whether an expression reads an attribute of that name."""
    return isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)


def is_asked_about(source: Source, node: ast.AST) -> bool:
    """Tell whether the source asks what a name is: `hasattr(out, "sequences")`."""
    looks = [call for call in source.calls if name_of(call) in _LOOKS and call.args]
    return any(ast.unparse(call.args[0]) == ast.unparse(node) for call in looks)

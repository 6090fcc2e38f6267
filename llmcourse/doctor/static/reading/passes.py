"""Forward passes by hand: whether they read several rows, and where their last place is taken."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.functions import handed_in
from llmcourse.doctor.static.reading.source import (
    Source,
    keyword,
    name_of,
    parts_of_index,
    values_given,
)
from llmcourse.doctor.static.reading.tensors import PLACE, axes, is_dots, whole_number


def last_places(source: Source, call: ast.Call) -> Iterator[ast.Subscript]:
    """Yield where the last place is taken of what a forward pass returned."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        parts = parts_of_index(node)
        whole = axes(source, node.value)
        if whole is None or PLACE not in whole or not _takes_last(whole, parts):
            continue
        if call in parts_followed(source, node.value):
            yield node


def _takes_last(whole: tuple[str, ...], parts: list[ast.AST]) -> bool:
    """Tell whether an index is -1 or `-1:` at a tensor's places."""
    place = whole.index(PLACE)
    if parts and is_dots(parts[0]):
        place -= len(whole) - len(parts)
    if not 0 <= place < len(parts):
        return False
    part = parts[place]
    lower = part.lower if isinstance(part, ast.Slice) and part.upper is None else part
    return whole_number(lower) == -1


def reads_last_place(source: Source, call: ast.Call) -> bool:
    """Tell whether the source takes the last place of what a forward pass returned."""
    return source.is_forward(call) and any(True for _ in last_places(source, call))


def reads_batch(source: Source, call: ast.Call) -> bool:
    """Tell whether a pass reads what was padded, by what its inputs are made of."""
    given = values_given(call)
    for one in given:
        for part in parts_followed(source, one):
            if name_of(part) == "pad_sequence":
                return True
            padding = keyword(part, "padding") if isinstance(part, ast.Call) else None
            if padding is not None and getattr(padding, "value", True) not in (False,):
                return True
    return False


def has_rows(source: Source, call: ast.Call) -> bool:
    """Tell whether a pass in a loop reads several rows: padded ones, or those of a list.

    Also where its function gets them as an argument.
    """
    if reads_batch(source, call):
        return True
    read = values_given(call)
    handed = [given for one in read for given in handed_in(source, one)]
    for one in [*read, *handed]:
        if one in handed and _is_batch(source, one):
            return True
        names = [part for part in ast.walk(one) if isinstance(part, ast.Name)]
        bound = [source.scopes.get(part, source.module).bound.get(part.id, []) for part in names]
        for value in [value for values in bound for value in values if value is not None]:
            if _is_batch(source, value):
                return True
    return False


def _is_batch(source: Source, value: ast.AST) -> bool:
    """Tell whether an expression is made of what a tokenizer made of several texts."""
    for part in parts_followed(source, value):
        if isinstance(part, ast.Call) and source.is_tokenizer(part.func):
            texts = followed(source, part.args[0]) if part.args else None
            if isinstance(texts, ast.List | ast.ListComp):
                return not isinstance(texts, ast.List) or len(texts.elts) != 1
            if keyword(part, "padding") is not None:
                return True
    return False


def is_cross_entropy(source: Source, call: ast.Call) -> bool:
    """Tell whether a call is a cross entropy: the function, or a `CrossEntropyLoss` that is made.

    `F.cross_entropy(...)`, `loss_fn(...)` of `loss_fn = nn.CrossEntropyLoss()`.
    """
    if name_of(call) == "cross_entropy":
        return True
    made = source.value(call.func)
    return name_of(made) == "CrossEntropyLoss"

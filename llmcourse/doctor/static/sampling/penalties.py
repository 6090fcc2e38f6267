"""Repetition penalties by hand."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, Finding
from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    keyword,
    last_name,
    name_of,
    parts_of_index,
)
from llmcourse.doctor.static.reading.tensors import LOGITS, kind, tensor_of

_PENALTY = re.compile(r"penal|rep_?pen|^pen$|repetition", re.IGNORECASE)


@in_the_source(
    "penalty-divides-negative",
    severities=(ERROR,),
    how_sure="""
        Likely: only the source was read, where logits are divided by what is called a penalty, and
        nothing there asks for their sign.
    """,
)
def penalty_divides_negative(source: Source) -> Iterator[Finding]:
    """Logits are divided by a penalty, or lessened by their own, whatever their sign."""
    yield from _lessened_by_their_own(source)
    for node in list(source.scopes):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
            left, right = node.target, node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left, right = node.left, node.right
        else:
            continue
        named = bool(_PENALTY.search(last_name(right)))
        if not (named or _divides_some(node, left, right)) or not _are_logits(source, left):
            continue
        if _asks_for_sign(source, node):
            continue
        words, by = source.words(left), source.words(right)
        yield found(
            "penalty-divides-negative",
            ERROR,
            node,
            what=f"{source.words(node)} divides logits by a penalty, the negative ones too.",
            why="A negative logit comes closer to 0 by it: what is to be rare gets likelier.",
            fix=f"torch.where({words} < 0, {words} * {by}, {words} / {by})",
        )


def _lessened_by_their_own(source: Source) -> Iterator[Finding]:
    """Yield where a share of logits is taken from the logits themselves."""
    for node in list(source.scopes):
        taken = _taken_from_logits(source, node)
        if taken is None:
            continue
        logits, share = taken
        picks = any(_is_picked_from(part, logits) for part in _factors(source, share))
        if not picks or _takes_size(source, share):
            continue
        yield found(
            "penalty-divides-negative",
            ERROR,
            node,
            what=f"{source.words(node)[:80]} subtracts a multiple of the logits' own values.",
            why="A negative logit is raised by a penalty of its own sign: what is to be rare gets "
            "likelier.",
            fix=f"{source.words(logits)} - penalty * counts  # positive, whatever the sign",
        )


def _taken_from_logits(source: Source, node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return logits and what is taken from some of them by `scatter_add(dim, ids, -share)`, `-=`.

    None for other nodes.
    """
    if name_of(node) in ("scatter_add", "scatter_add_"):
        logits, share = tensor_of(node), keyword(node, "src") or (node.args or [None])[-1]
        signs = [share.left, share.right] if isinstance(share, ast.BinOp) else [share]
        if not any(isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.USub) for one in signs):
            return None
    else:
        logits, share = _lessened(node)
        if not isinstance(share, ast.BinOp) or not isinstance(share.op, ast.Mult):
            return None
        if not _PENALTY.search(ast.unparse(share)):
            return None
    return (logits, share) if logits is not None and _are_logits(source, logits) else None


def _factors(source: Source, node: ast.AST, depth: int = 8) -> Iterator[ast.AST]:
    """Yield what an expression is a product of, and what each way of a `where` is."""
    yield node
    value = followed(source, node)
    parts: list[ast.AST] = []
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult | ast.Div):
        parts = [value.left, value.right]
    elif isinstance(value, ast.UnaryOp):
        parts = [value.operand]
    elif name_of(value) == "where":
        parts = value.args[1:]
    elif value is not node:
        yield value
    for part in parts if depth else ():
        yield from _factors(source, part, depth - 1)


def _lessened(node: ast.AST) -> tuple[ast.AST | None, ast.AST | None]:
    """Return the sides of `a -= b` and `a - b`."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub):
        return node.target, node.value
    minus = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    return (node.left, node.right) if minus else (None, None)


def _is_picked_from(node: ast.AST, logits: ast.AST) -> bool:
    """Tell whether a part of an expression is some of the same logits: gathered, or by an index."""
    whole = logits
    while isinstance(whole, ast.Subscript):
        whole = whole.value
    if name_of(node) in ("gather", "index_select", "take"):
        return tensor_of(node) is not None and last_name(tensor_of(node)) == last_name(whole)
    same = isinstance(node, ast.Subscript | ast.Name) and node is not logits
    return same and ast.unparse(node) == ast.unparse(logits)


def _takes_size(source: Source, share: ast.AST) -> bool:
    """Tell whether the size of a share is taken, whatever its sign."""
    return any(
        name_of(part) in ("abs", "absolute", "abs_", "clamp", "relu")
        for part in parts_followed(source, share)
    )


def _divides_some(node: ast.AST, left: ast.AST, right: ast.AST) -> bool:
    """Tell whether some tokens' logits alone are divided by a number above 1."""
    number = isinstance(right, ast.Constant) and isinstance(right.value, int | float)
    if not number or right.value <= 1 or not isinstance(left, ast.Subscript):
        return False
    parts = parts_of_index(left)
    return any(isinstance(part, ast.Name | ast.Subscript | ast.Attribute) for part in parts[-1:])


def _are_logits(source: Source, node: ast.AST) -> bool:
    inner = node
    while isinstance(inner, ast.Subscript):
        inner = inner.value
    if kind(source, inner) == LOGITS or last_name(inner) in ("scores", "score"):
        return True
    picked = followed(source, inner)
    picks = name_of(picked) in ("gather", "index_select", "take")
    return picks and tensor_of(picked) is not None and _are_logits(source, tensor_of(picked))


def _asks_for_sign(source: Source, node: ast.AST) -> bool:
    """Tell whether a function compares with 0, or picks by a condition."""
    for other in source.scopes[node].nodes:
        if isinstance(other, ast.Compare):
            number = other.comparators[0]
            if isinstance(number, ast.Constant) and number.value == 0:
                return True
        if name_of(other) in ("sign", "relu", "clamp"):
            return True
    return False

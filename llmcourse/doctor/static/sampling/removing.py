"""Tokens that are taken out by 0 where logits go on."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.static.reading.tensors import LOGITS, does, kind, tensor_of


@in_the_source(
    "removed-by-zero",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where the tensor comes from a model's logits.",
)
def removed_by_zero(source: Source) -> Iterator[Finding]:
    """Logits are set to 0."""
    for node in list(source.scopes):
        tensor = _zeroed(source, node)
        if tensor is None or _is_emptied(source, tensor):
            continue
        if kind(source, tensor) != LOGITS and not _is_cut_before_softmax(source, node, tensor):
            continue
        words = source.words(tensor)
        yield found(
            "removed-by-zero",
            WARNING,
            node,
            what=f"{source.words(node)} sets logits to 0 or close to it, which is no chance of 0.",
            why="Zero is above every negative logit: the softmax gives these tokens a share.",
            fix=f'{words} = {words}.masked_fill(drop, float("-inf"))',
        )


def _is_emptied(source: Source, tensor: ast.AST) -> bool:
    """Tell whether a part of the same tensor is set to -inf, so that 0 is what is left of it."""
    name = last_name(tensor)
    return any(
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Subscript)
        and last_name(node.targets[0].value) == name
        and bool(re.search(r"-\s*(float\(|\w*\.?inf)|'-inf|\.min\b", ast.unparse(node.value)))
        for node in source.scopes[tensor].nodes
    )


def _zeroed(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the tensor of which a part is set to 0, or multiplied by it; or None."""
    other = _zeroed_by_a_new_one(source, node)
    if other is not None:
        return other
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        return node.targets[0].value if _is_about_zero(node.value) else None
    if name_of(node) in ("masked_fill", "masked_fill_"):
        return tensor_of(node) if any(map(_is_about_zero, node.args[1:])) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return node.left if _is_zeros_and_ones(source, node.right) else None
    return None


def _is_about_zero(node: ast.AST) -> bool:
    """Tell whether an expression is written as 0, or a number very close to it: 1e-10."""
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    if name_of(node) in ("tensor", "full_like") and node.args:
        return _is_about_zero(node.args[-1])
    number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return number and abs(node.value) <= 1e-3


def _is_cut_before_softmax(source: Source, node: ast.AST, tensor: ast.AST) -> bool:
    """Tell whether what is below a threshold is set in a tensor that goes into a softmax.

    Also where its function returns it, and a caller takes the softmax.
    """
    name = name_at(tensor)
    if not name or kind(source, tensor) is not None or not isinstance(node, ast.Assign):
        return False
    index = node.targets[0].slice
    below = isinstance(index, ast.Compare) and isinstance(index.ops[0], ast.Lt | ast.LtE)
    if not below or name_at(index.left) != name or not re.search(r"topk|sort", source.text):
        return False
    function = source.scopes[node].node
    returns = [one.value for one in source.scopes[node].nodes if isinstance(one, ast.Return)]
    given_back = name in map(name_at, filter(None, returns))
    for call in source.calls:
        taken = tensor_of(call) if does(call) in ("softmax", "log_softmax") else None
        if taken is None:
            continue
        if source.scopes.get(call) is source.scopes[node]:
            after = call.lineno > node.lineno and name_at(taken) == name
        else:
            after = given_back and any(
                isinstance(one, ast.Call) and last_name(one.func) == getattr(function, "name", None)
                for one in parts_followed(source, taken, 3)
            )
        if after:
            return True
    return False


def _is_zeros_and_ones(source: Source, node: ast.AST) -> bool:
    """Tell whether a name is a tensor of zeros, or of ones, a part of which was set."""
    made = followed(source, node)
    filled = name_of(made) in (*("zeros_like", "ones_like", "zeros", "ones"),)
    if not filled or not isinstance(node, ast.Name):
        return False
    return any(
        isinstance(one, ast.Subscript)
        and isinstance(one.ctx, ast.Store)
        and name_at(one.value) == node.id
        for one in source.scopes[node].nodes
    )


def _zeroed_by_a_new_one(source: Source, node: ast.AST) -> ast.AST | None:
    """Return logits of which a new tensor keeps a part and has 0 elsewhere, or None.

    `zeros_like(x).scatter(-1, ids, x)`, `torch.where(keep, x, 0)` and `x * keep`, if a softmax
    comes after it.
    """
    tensor = None
    if name_of(node) in ("scatter", "scatter_"):
        made = followed(source, owner_of(node))
        zeros = name_of(made) in ("zeros_like", "zeros", "new_zeros")
        tensor = node.args[-1] if zeros and len(node.args) > 2 else None
    elif name_of(node) == "where" and len(node.args) == 3:
        kept = [one for one in node.args[1:] if not _is_zero(one)]
        tensor = kept[0] if len(kept) == 1 else None
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        sides = (node.left, node.right)
        masks = [one for one in sides if _is_kept(source, one)]
        tensor = next((one for one in sides if one not in masks), None) if masks else None
    if tensor is None or not _goes_into_a_softmax(source, node):
        return None
    return tensor


def _is_zero(node: ast.AST) -> bool:
    """Tell whether an expression is 0, as a number or a tensor."""
    if name_of(node) in ("tensor", "zeros_like"):
        return name_of(node) == "zeros_like" or bool(node.args and _is_zero(node.args[0]))
    return _is_about_zero(node)


def _is_kept(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a mask of tokens: by its name, or a comparison."""
    while name_of(node) in ("float", "to", "int", "bool", "long"):
        node = owner_of(node)
    named = re.search(r"(^|_)(mask|keep|allowed|valid)(_|$)", last_name(node))
    return bool(named) or isinstance(followed(source, node), ast.Compare)


def _goes_into_a_softmax(source: Source, node: ast.AST) -> bool:
    function = _gives_back_from(source, node)
    for call in source.calls:
        tensor = tensor_of(call) if does(call) in ("softmax", "log_softmax") else None
        parts = list(parts_followed(source, tensor, 3)) if tensor is not None else []
        made = any(isinstance(one, ast.Call) and name_at(one.func) == function for one in parts)
        if node in parts or (function and made):
            return True
    return False


def _gives_back_from(source: Source, node: ast.AST) -> str:
    """Return the name of the function that returns what a call fills in place, or ""."""
    function = source.scopes[node].node
    if not isinstance(function, ast.FunctionDef) or not isinstance(node, ast.Call):
        return ""
    name = name_at(owner_of(node))
    returns = [one.value for one in source.scopes[node].nodes if isinstance(one, ast.Return)]
    return function.name if name and name in map(name_at, filter(None, returns)) else ""

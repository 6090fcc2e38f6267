"""Entropies, divergences and perplexities by hand."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of
from llmcourse.doctor.static.reading.tensors import (
    does,
    followed,
    handed_in,
    parts_followed,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_GUARDS = ("nan_to_num", "nansum", "xlogy", "clamp", "clamp_min", "where", "entr", "masked_fill")
_GUARDS += ("isfinite", "clip", "maximum")


@in_the_source(
    "entropy-is-nan",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The entropy of the next token is nan.",
    cause="""
        Tokens that top-k, top-p or a mask took out have a logit of -inf: their probability is 0 and
        its log -inf, and 0 times -inf is nan, which the sum takes over.
    """,
    fix="Take the entropy of the raw logits, or let such tokens count 0.",
    example="""
        entropy = torch.special.entr(scores.softmax(-1)).sum(-1)  # or of out.logits
    """,
    how_sure="Likely: only the source was read, where scores were filtered before.",
)
def entropy_is_nan(source: Source) -> Iterator[Finding]:
    """`p * log p` of what has tokens taken out."""
    for node in list(source.scopes):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
            continue
        sides = [_log_or_chance(source, one) for one in (node.left, node.right)]
        if sorted(map(str, sides)) != ["chance", "log"] or _is_guarded(source, node):
            continue
        if not _has_removed(source, node):
            continue
        yield found(
            "entropy-is-nan",
            ERROR,
            node,
            what=f"{source.words(node)} is 0 times -inf, nan, for each token that was filtered "
            "out.",
            why="Scores after top-k or a mask have -inf: the entropy's sum is nan.",
            fix="torch.special.entr(probabilities).sum(-1)  # or the entropy of the raw logits",
        )
        return


def _log_or_chance(source: Source, node: ast.AST) -> str | None:
    """Return whether an expression is a probability or its log, however it was made."""
    while isinstance(node, ast.UnaryOp):
        node = node.operand
    value = followed(source, node)
    if not isinstance(value, ast.Call):
        return None
    if does(value) in ("softmax", "exp"):
        return "chance"
    if does(value) == "log_softmax":
        return "log"
    logs = does(value) in ("log", "log2") and tensor_of(value) is not None
    inner = tensor_of(value) if logs else None
    plain = inner is not None and not isinstance(followed(source, inner), ast.BinOp)
    return "log" if plain else None


def _is_guarded(source: Source, node: ast.AST) -> bool:
    near = [*source.above(node), *parts_followed(source, node, 3)]
    return any(isinstance(one, ast.Call) and name_of(one) in _GUARDS for one in near)


def _has_removed(source: Source, node: ast.AST) -> bool:
    """Tell whether what an entropy is of was filtered: a sampling call's scores, or -inf in it."""
    sampled = {asked.call for asked in every_asked(source) if asked.says_sampling}
    names = _names_in(source, node)
    handed = [given for name in names for given in handed_in(source, name)]
    for part in [*parts_followed(source, node), *handed]:
        if _is_field_of(source, part, sampled):
            return True
        name = last_name(part) if isinstance(part, ast.Name) else ""
        if name and any(
            _removes(one, name) for one in source.scopes.get(part, source.module).nodes
        ):
            return True
    return False


def _names_in(source: Source, node: ast.AST) -> list[ast.AST]:
    parts = parts_followed(source, node)
    return [part for part in parts if isinstance(part, ast.Name) and part in source.scopes]


def _is_field_of(source: Source, part: ast.AST, sampled: set[ast.AST]) -> bool:
    """Tell whether an expression is `out.scores` of a call that samples, or a step of it."""
    value = followed(source, part)
    while isinstance(value, ast.Subscript):
        value = followed(source, value.value)
    field = isinstance(value, ast.Attribute) and value.attr == "scores"
    return field and source.placed(followed(source, value.value)) in sampled


def _removes(node: ast.AST, name: str) -> bool:
    """Tell whether a statement writes -inf into a part of a name."""
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    stored = isinstance(target, ast.Subscript) and last_name(target.value) == name
    return stored and bool(re.search(r"-\s*(float\(|\w*\.?inf)|'-inf'", ast.unparse(node.value)))


@in_the_source(
    "mean-of-mean-losses",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="A perplexity that differs from that of the whole text, or of another batch size.",
    cause="""
        The loss of a pass is a mean over its own tokens. A mean of such means counts a short text's
        tokens for more than those of a long one.
    """,
    fix="Weight each loss by its number of predicted tokens.",
    example="""
        total += out.loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
        perplexity = math.exp(total / count)
    """,
    how_sure="""
        Likely, and a note: only the source was read; for passes of one length both are the same.
    """,
)
def mean_of_mean_losses(source: Source) -> Iterator[Finding]:
    """The exponential of a mean of passes' losses."""
    lists = _lists_of_losses(source)
    for call in source.calls if lists else ():
        if name_of(call) != "exp":
            continue
        inner = tensor_of(call) or (call.args[0] if call.args else None)
        inner = call.args[0] if last_name(getattr(call.func, "value", None)) == "math" else inner
        value = followed(source, inner) if inner is not None else None
        averaged = value is not None and _averages(value, lists)
        if not averaged:
            continue
        yield found(
            "mean-of-mean-losses",
            NOTE,
            call,
            what=f"{source.words(call)} averages losses that are means over texts of their own "
            "lengths.",
            why="A short text's tokens count for more: it is not the perplexity over all tokens.",
            fix="math.exp(sum(loss * tokens) / sum(tokens))  # each loss by its predicted tokens",
        )
        return


def _lists_of_losses(source: Source) -> set[str]:
    """Return the names of lists to which a loop appends the losses of passes, as they are."""
    names = set()
    for call in source.calls:
        if name_of(call) != "append" or not call.args:
            continue
        parts = list(parts_followed(source, call.args[0], 3))
        weighted = any(isinstance(one, ast.BinOp) for one in parts[:6])
        losses = [one for one in parts if isinstance(one, ast.Attribute) and one.attr == "loss"]
        passes = [one for one in losses if source.is_forward(followed(source, one.value))]
        if passes and not weighted and any(isinstance(a, ast.For) for a in source.above(call)):
            names.add(last_name(call.func.value))
    return names


def _averages(value: ast.AST, lists: set[str]) -> bool:
    """Tell whether an expression is a mean of one of these lists."""
    if isinstance(value, ast.Call) and name_of(value) in ("item", "mean", "fmean"):
        return bool(lists & {last_name(one) for one in ast.walk(value)}) and (
            name_of(value) != "item" or "mean" in ast.unparse(value)
        )
    divides = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div)
    if not divides or "len(" not in ast.unparse(value.right):
        return False
    return bool(lists & {last_name(one) for one in ast.walk(value.left)})

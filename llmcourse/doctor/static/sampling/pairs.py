"""What two models, or two prompts, say, put together by hand: speculation, guidance, contrast."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    ids_of,
    keyword,
    last_name,
    name_of,
    owner_of,
    values_given,
)
from llmcourse.doctor.static.reading.tensors import (
    CHANCES,
    LOG_CHANCES,
    LOGITS,
    kind,
    own_names,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_DRAFT = re.compile(r"draft|assist|small|proposal", re.IGNORECASE)
_TARGET = re.compile(r"target|large|big|verif|oracle", re.IGNORECASE)
_UNCOND = re.compile(r"uncond|negative|(^|_)neg(_|$)|null|empty", re.IGNORECASE)
_COND = re.compile(r"cond|positive|(^|_)pos(_|$)|prompt", re.IGNORECASE)
_AMATEUR = re.compile(r"amateur|weak|premature|early|small", re.IGNORECASE)
_EXPERT = re.compile(r"expert|strong|(?<!pre)mature|final|large|big", re.IGNORECASE)
_RANDOM = ("rand", "random", "uniform", "uniform_", "rand_like")
_NOT_BELOW_ZERO = ("clamp", "clamp_", "clip", "relu", "maximum", "max", "where", "masked_fill")
_NOT_BELOW_ZERO += ("clamp_min", "threshold", "fmax", "max_fn", "norm_max")
_CHOOSES = ("argmax", "multinomial", "topk", "Categorical", "choice")


def _role(source: Source, node: ast.AST, first: re.Pattern, second: re.Pattern) -> int | None:
    """Return whose numbers an expression has: 1 or 2, by its own names or by where it comes from.

    None where neither is named, or both are.
    """
    for words in (own_names(node), _names_behind(source, node)):
        named = [any(map(pattern.search, words)) for pattern in (first, second)]
        if sum(named) == 1:
            return 1 + named.index(True)
    return None


def _names_behind(source: Source, node: ast.AST) -> list[str]:
    """Return the names on the way from an expression to the forward pass that it comes from."""
    names: list[str] = []
    for _ in range(16):
        value = followed(source, node)
        names.append(last_name(node))
        if isinstance(value, ast.Call) and source.is_forward(value):
            return [*names, last_name(value.func)]
        if isinstance(value, ast.List) and not value.elts:
            value = _appended(source, node) or value
        if isinstance(value, ast.Name) and value is not node:
            node = value
        elif isinstance(value, ast.Subscript | ast.Attribute):
            node = value.value
        elif isinstance(value, ast.Call) and tensor_of(value) is not None:
            node = tensor_of(value)
        elif isinstance(value, ast.BinOp):
            node = value.left
        else:
            return [*names, last_name(value)]
    return names


def _appended(source: Source, node: ast.AST) -> ast.AST | None:
    """Return what is appended to a list that begins empty, or None."""
    name = name_at(node)
    for one in source.scopes[node].nodes if name and node in source.scopes else ():
        appends = name_of(one) == "append" and one.args
        if appends and name_at(owner_of(one)) == name:
            return one.args[0]
    return None


@in_the_source(
    "speculation-misbuilt",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    symptom="Speculative decoding by hand writes other texts than the large model alone.",
    cause="""
        A drafted token is accepted with the probability min(1, target / draft). After a rejection
        the next token is drawn from what the target has more than the draft, max(target - draft,
        0), scaled to 1. With the ratio upside down, or without that residual, the texts are not
        the target model's.
    """,
    fix="Accept by target / draft, and draw the next token from the residual.",
    example="""
        if torch.rand(()) < target[token] / draft[token]:
            accepted.append(token)
        else:
            residual = (target - draft).clamp(min=0)
            token = torch.multinomial(residual / residual.sum(), 1)
    """,
    how_sure="""
        Likely: only the source was read; which model is the draft is inferred from names.
    """,
)
def speculation_misbuilt(source: Source) -> Iterator[Finding]:
    """A ratio upside down, a residual below zero or the wrong way round, or none."""
    if _DRAFT.search(source.text):
        yield from _compared_too_late(source)
        yield from _ratios(source)
        yield from _residuals(source)


def _compared_too_late(source: Source) -> Iterator[Finding]:
    """Yield where drafted tokens are compared with the target's choice one place too late."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = [node.left, node.comparators[0]]
        drafted = [any(map(_DRAFT.search, own_names(one))) for one in sides]
        if drafted not in ([True, False], [False, True]):
            continue
        chosen = followed(source, sides[drafted.index(False)])
        tensor = tensor_of(chosen) if isinstance(chosen, ast.Call) else None
        late = _begins_at_length(source, tensor) if name_of(chosen) == "argmax" else None
        if late is None:
            continue
        yield _misbuilt(
            source,
            late,
            "is read one place too late for the drafted tokens.",
            "Logits are about the next token: the first drafted one is predicted at length - 1.",
            "logits[:, length - 1 : -1].argmax(-1)  # beside the drafted tokens",
        )
        return


def _begins_at_length(source: Source, tensor: ast.AST | None) -> ast.AST | None:
    """Return `logits[:, n:]` of a pass, with n the length of the text, or None."""
    node = followed(source, tensor) if tensor is not None else None
    index = node.slice.elts if isinstance(node, ast.Subscript) and _is_pair(node.slice) else []
    place = index[1] if index else None
    if not isinstance(place, ast.Slice) or place.lower is None or place.upper is not None:
        return None
    lower = followed(source, place.lower)
    if any(isinstance(one, ast.BinOp) for one in ast.walk(lower)) or kind(source, node) != LOGITS:
        return None
    return node if re.search(r"\.shape\[|len\(|\.size\(", ast.unparse(lower)) else None


def _is_pair(index: ast.AST) -> bool:
    return isinstance(index, ast.Tuple) and len(index.elts) >= 2


def _ratios(source: Source) -> Iterator[Finding]:
    ratios = [node for node in list(source.scopes) if _is_ratio(source, node)]
    for node in ratios:
        if _role(source, node.left, _DRAFT, _TARGET) != 1:
            continue
        yield _misbuilt(
            source,
            node,
            "is the acceptance ratio upside down: draft over target.",
            "Tokens that the target model finds unlikely are accepted, likely ones rejected.",
            f"{source.words(node.right)} / {source.words(node.left)}",
        )
        return
    draws = [call for call in source.calls if name_of(call) == "multinomial"]
    differences = [node for node in list(source.scopes) if _difference(source, node) is not None]
    helped = any(re.search(r"resid|norm_max|max_fn|adjust", name_of(c)) for c in source.calls)
    if not ratios or not draws or differences or helped:
        return
    for call in draws:
        tensor = tensor_of(call)
        if tensor is None or _role(source, tensor, _DRAFT, _TARGET) != 2:
            continue
        yield found(
            "speculation-misbuilt",
            WARNING,
            call,
            what=f"After a rejection {source.words(call)} draws from all of the target's "
            "distribution, not from the residual.",
            why="Tokens that the draft likes come twice as often: the texts are not the target's.",
            fix="residual = (target - draft).clamp(min=0); residual / residual.sum()",
        )
        return


def _is_ratio(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is draft and target divided, and compared with a draw."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return False
    roles = {_role(source, side, _DRAFT, _TARGET) for side in (node.left, node.right)}
    if roles != {1, 2}:
        return False
    for test in list(source.scopes):
        if not isinstance(test, ast.Compare) or source.scopes[test] is not source.scopes[node]:
            continue
        parts = list(parts_followed(source, test, 4))
        drawn = any(name_of(one) in _RANDOM for one in parts)
        if drawn and node in parts:
            return True
    return False


def _difference(source: Source, node: ast.AST) -> int | None:
    """Return who is on the left of target minus draft, 1 for the draft; None for other nodes."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
        return None
    roles = [_role(source, side, _DRAFT, _TARGET) for side in (node.left, node.right)]
    return roles[0] if sorted(map(str, roles)) == ["1", "2"] else None


def _residuals(source: Source) -> Iterator[Finding]:
    for call in source.calls:
        tensor = tensor_of(call) if name_of(call) == "multinomial" else None
        parts = list(parts_followed(source, tensor)) if tensor is not None else []
        pairs = [(one, _difference(source, one)) for one in parts if one in source.scopes]
        pairs = [(one, left) for one, left in pairs if left is not None]
        if not pairs:
            continue
        node, left = pairs[0]
        if any(kind(source, side) == LOGITS for side in (node.left, node.right)):
            continue  # contrastive decoding
        bounded = any(name_of(one) in _NOT_BELOW_ZERO for one in parts)
        bounded |= any(isinstance(one, ast.Compare | ast.Subscript) for one in _stores(source))
        swapped = left == 1
        if bounded and not swapped:
            continue
        yield _misbuilt(
            source,
            node,
            "is the residual the wrong way round: draft minus target."
            if swapped
            else "is negative where the draft is likelier, and is drawn from.",
            "What is drawn after a rejection is what the target model wants less."
            if swapped
            else "The residual is max(target - draft, 0): multinomial refuses negative chances.",
            "(target - draft).clamp(min=0)  # then divide by its sum",
        )
        return


def _stores(source: Source) -> Iterator[ast.AST]:
    """Yield where a part that is below zero is written to: `residual[residual < 0] = 0`."""
    for node in source.scopes:
        stored = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        if stored and isinstance(node.slice, ast.Compare):
            yield node


def _misbuilt(source: Source, node: ast.AST, what: str, why: str, fix: str) -> Finding:
    return found(
        "speculation-misbuilt",
        ERROR,
        node,
        what=f"{source.words(node)[:80]} {what}",
        why=why,
        fix=fix,
    )


@in_the_source(
    "guidance-misbuilt",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    symptom="Guidance or contrastive decoding by hand makes texts worse the more there is of it.",
    cause="""
        Guidance starts at the logits without the prompt and goes on in the direction of those with
        it: uncond + scale * (cond - uncond). Contrastive decoding takes the weak model's
        log-probabilities away from the strong one's. The other way round they lead away from what
        is wanted; and differences of probabilities, not logits, are negative or next to nothing.
    """,
    fix="Combine logits or log-probabilities, in the right direction.",
    example="""
        cond, uncond = cond_logits.log_softmax(-1), uncond_logits.log_softmax(-1)
        scores = uncond + scale * (cond - uncond)
    """,
    how_sure="Likely: only the source was read; which side is which is inferred from names.",
)
def guidance_misbuilt(source: Source) -> Iterator[Finding]:
    """A difference the wrong way round, or of probabilities."""
    yield from _left_behind(source)
    chooses = any(name_of(one) in _CHOOSES for one in source.scopes)
    if not chooses and "LogitsProcessor" not in source.text:
        return
    for node in list(source.scopes):
        fault = _turned_round(source, node) or _of_chances(source, node)
        if fault is None:
            continue
        severity, what, why, fix = fault
        yield found(
            "guidance-misbuilt",
            severity,
            node,
            what=f"{source.words(node)[:90]} {what}",
            why=why,
            fix=fix,
        )
        return


def _left_behind(source: Source) -> Iterator[Finding]:
    """Yield where a loop appends to one side's ids, and the other side reads the same each step."""
    for loop in source.loops:
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        passes = [one for one in inside if source.is_forward(one)]
        read = {one: ids_of(one) for one in passes}
        grown = {name for node in inside for name in _joined_names(node)}
        stored = {
            name_at(one) for one in inside if isinstance(getattr(one, "ctx", None), ast.Store)
        }
        still = [
            one
            for one, ids in read.items()
            if name_at(ids)
            and name_at(ids) not in stored
            and keyword(one, "past_key_values") is None
        ]
        if not any(name_at(ids) in grown for ids in read.values()):
            continue
        for call in still:
            if not any(_joins_passes(source, node, call, passes) for node in inside):
                continue
            ids = source.words(read[call])
            yield found(
                "guidance-misbuilt",
                ERROR,
                call,
                what=f"{source.words(call)[:80]} reads {ids}, to which the loop appends nothing.",
                why="The unconditional side never sees the tokens that were written: its logits "
                "stay those of the first step.",
                fix=f"{ids} = torch.cat([{ids}, token], dim=1)",
            )
            return


def _joined_names(node: ast.AST) -> list[str]:
    """Return the name that gets itself and more: `ids = torch.cat([ids, token], dim=1)`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return []
    name = name_at(node.targets[0])
    joins = name_of(node.value) in ("cat", "concat", "hstack")
    own = name and name in {name_at(one) for one in ast.walk(node.value)}
    return [name] if joins and own else []


def _joins_passes(source: Source, node: ast.AST, call: ast.Call, passes: list[ast.Call]) -> bool:
    """Tell whether an expression is the difference of this pass's result and another's."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
        return False
    sides = [list(parts_followed(source, one, 4)) for one in (node.left, node.right)]
    of_call = [call in parts for parts in sides]
    others = [any(one in parts for one in passes if one is not call) for parts in sides]
    return (of_call[0] and others[1]) or (of_call[1] and others[0])


def _turned_round(source: Source, node: ast.AST) -> tuple | None:
    """Return what is wrong with `a + s * (uncond - cond)`, or with `weak - s * strong`."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add | ast.Sub):
        return None
    inner = _scaled_difference(source, node.right)
    if inner is not None:
        roles = [_guided(source, one) for one in (inner.left, inner.right)]
        away = (1, 2) if isinstance(node.op, ast.Add) else (2, 1)
        if tuple(roles) != away:
            return None
        what = "goes from the conditional logits to the unconditional ones."
        why = "The text is led away from the prompt, the more the larger the scale."
        return ERROR, what, why, "uncond + scale * (cond - uncond)"
    if isinstance(node.op, ast.Add):
        return None
    left, right = _unscaled(source, node.left), _unscaled(source, node.right)
    roles = [_role(source, one, _AMATEUR, _EXPERT) for one in (left, right)]
    kinds = {kind(source, one) for one in (left, right)}
    if roles != [1, 2] or not kinds <= {LOGITS, LOG_CHANCES} or not _is_chosen_from(source, node):
        return None
    what = "takes the strong model's scores away from the weak one's."
    return ERROR, what, "What the strong model finds likely is avoided.", "expert - beta * amateur"


def _guided(source: Source, node: ast.AST) -> int | None:
    """Return 1 for what is without the prompt, 2 for what is with it."""
    names = own_names(_unscaled(source, node))
    if any(map(_UNCOND.search, names)):
        return 1
    known = any(map(_COND.search, names)) or set(names) & {"scores", "logits"}
    return 2 if known else None


def _scaled_difference(source: Source, node: ast.AST) -> ast.BinOp | None:
    """Return `b - c` of `scale * (b - c)`, however it is written; None for other nodes."""
    node = followed(source, node)
    sides = [node]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        sides = [followed(source, one) for one in (node.left, node.right)]
    for one in sides:
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub):
            return one
    return None


def _unscaled(source: Source, node: ast.AST) -> ast.AST:
    """Return what a factor stands before: `b` of `beta * b`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        known = [one for one in (node.left, node.right) if kind(source, one) is not None]
        return known[0] if known else node
    return node


def _is_chosen_from(source: Source, node: ast.AST) -> bool:
    """Tell whether tokens are chosen by an expression, under its name or as it stands."""
    for call in source.calls:
        if name_of(call) in _CHOOSES and source.scopes[call] is source.scopes[node]:
            given = [owner_of(call), *values_given(call)]
            if any(node in parts_followed(source, one, 4) for one in given):
                return True
    statement = next((one for one in source.above(node) if isinstance(one, ast.Return)), None)
    return statement is not None


def _of_chances(source: Source, node: ast.AST) -> tuple | None:
    """Return what is wrong with the difference of two models' probabilities as scores."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
        return None
    sides = [_unscaled(source, one) for one in (node.left, node.right)]
    if [kind(source, one) for one in sides] != [CHANCES, CHANCES]:
        return None
    roles = [_role(source, one, _AMATEUR, _EXPERT) for one in sides]
    guided = [_guided(source, one) for one in sides]
    if set(roles) != {1, 2} and set(guided) != {1, 2}:
        return None
    parts = [source.parents.get(node), *source.above(node)]
    bounded = any(name_of(one) in _NOT_BELOW_ZERO for one in parts)
    if bounded or not _is_chosen_from(source, node) or _drafts(source):
        return None
    what = "combines probabilities, not logits or log-probabilities."
    why = "Differences of probabilities are tiny or negative: a softmax of them is nearly uniform."
    return WARNING, what, why, "expert.log_softmax(-1) - beta * amateur.log_softmax(-1)"


def _drafts(source: Source) -> bool:
    return bool(re.search(r"draft|speculat|accept", source.text, re.IGNORECASE))

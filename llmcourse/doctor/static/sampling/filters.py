"""Top-k, top-p and min-p by hand: which tokens they leave, and in which order."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.functions import handed_in, what_it_may_be
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import CHANCES, LOGITS, kind, ranking_of, tensor_of
from llmcourse.doctor.subject import Subject


@in_the_source(
    "top-p-misbuilt",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    symptom="Strange words at a small top-p, or `probability tensor contains nan`.",
    cause="""
        The nucleus is the likeliest tokens whose chances reach p together. Chances are sorted from
        the largest down, the token that reaches p stays, and what is to go is brought back from the
        sorted order to the vocabulary's.
    """,
    fix="Sort descending, compare the sum *before* each token, and scatter the mask back.",
    example="""
        chances, order = logits.softmax(-1).sort(descending=True)
        drop = chances.cumsum(-1) - chances > top_p
        logits.masked_fill(drop.scatter(-1, order, drop), float("-inf"))
    """,
    how_sure="Likely: only the source was read, where a sum of sorted chances is compared.",
)
def top_p_misbuilt(source: Source) -> Iterator[Finding]:
    """A nucleus that is sorted the wrong way, lacks its last token, or is not brought back."""
    yield from _sums_of_logits(source)
    yield from _sums_of_numpy(source)
    yield from _first_beyond(source)
    for node in list(source.scopes):
        ranked = _summed(source, node)
        if ranked is None:
            continue
        used = _masked_by(source, node) + _multiplied_by(source, node)
        fault = _fault_of(source, node, ranked, used)
        if fault is None:
            continue
        severity, what, why = fault
        yield found(
            "top-p-misbuilt",
            severity,
            node,
            what=f"{source.words(node)} {what}",
            why=why,
            fix="drop = chances.cumsum(-1) - chances > top_p; drop.scatter(-1, order, drop)",
        )


_ORDERS = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)


_TOP_P = re.compile(r"^(top_?p|p|nucleus(_p)?|threshold)$")


def _sums_of_logits(source: Source) -> Iterator[Finding]:
    """Yield where raw logits, not probabilities, are added up and compared with top-p."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], _ORDERS):
            continue
        left = followed(source, node.left)
        if name_of(left) != "cumsum" or tensor_of(left) is None:
            continue
        limit = node.comparators[0]
        said = isinstance(limit, ast.Constant) and isinstance(limit.value, float)
        if kind(source, tensor_of(left)) != LOGITS or not (said or _TOP_P.search(last_name(limit))):
            continue
        yield found(
            "top-p-misbuilt",
            ERROR,
            node,
            what=f"{source.words(node)} adds up logits, and top-p is a sum of probabilities.",
            why="Logits have any size and sign: their sum says nothing of the nucleus.",
            fix=f"{source.words(tensor_of(left))}.softmax(-1).cumsum(-1)",
        )


def _sums_of_numpy(source: Source) -> Iterator[Finding]:
    """Yield where NumPy adds up chances from the smallest on, or cuts at the one that reaches p."""
    for call in source.calls:
        summed = followed(source, call.args[0]) if call.args else None
        if name_of(call) != "searchsorted" or not isinstance(summed, ast.Call):
            continue
        if name_of(summed) != "cumsum" or _is_one_more(source, call):
            continue
        ascends = _sorts_up(source, summed)
        above = source.parents.get(call)
        name = name_at(above.targets[0]) if isinstance(above, ast.Assign) else ""
        cuts = [one for one in source.scopes[call].nodes if _cuts_at(one, name)]
        if not ascends and not cuts:
            continue
        yield found(
            "top-p-misbuilt",
            ERROR if ascends else WARNING,
            call,
            what=f"{source.words(call)} adds up chances from the smallest on: the likeliest go."
            if ascends
            else f"{source.words(cuts[0])} also drops the token that reaches the sum.",
            why="argsort ascends: the nucleus begins with the likeliest token."
            if ascends
            else "Where one token has more than top_p, none is left to draw from.",
            fix="order = np.argsort(-chances)"
            if ascends
            else f"{source.words(call)} + 1  # the token that reaches top_p stays",
        )


def _first_beyond(source: Source) -> Iterator[Finding]:
    """Yield where `argmax` looks for the first sum above a top-p that is set to 1."""
    for call in source.calls:
        asked = followed(source, call.args[0] if call.args else owner_of(call))
        while name_of(asked) in ("int", "float", "long", "astype", "to", "byte"):
            asked = followed(source, owner_of(asked))
        if name_of(call) != "argmax" or not isinstance(asked, ast.Compare):
            continue
        summed, limit = followed(source, asked.left), asked.comparators[0]
        if not isinstance(asked.ops[0], ast.Gt) or name_of(summed) != "cumsum":
            continue
        given = what_it_may_be(source, limit)
        if not any(isinstance(one, ast.Constant) and one.value == 1 for one in given):
            continue
        yield found(
            "top-p-misbuilt",
            WARNING,
            call,
            what=f"{source.words(call)} is 0 where no sum is above it, and {source.words(limit)} "
            "is set to 1: the likeliest token alone is kept.",
            why="Probabilities sum to 1 at most: argmax of nothing but False is the first place.",
            fix="if top_p < 1: ...  # with top-p 1 nothing is to go",
        )


def _sorts_up(source: Source, summed: ast.Call) -> bool:
    """Tell whether a sum is over chances that `argsort` or `sort` put from the smallest on."""
    parts = list(parts_followed(source, summed, 3))
    if any(isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.USub) for one in parts):
        return False  # np.argsort(-chances), [::-1]
    sorts = [one for one in parts if isinstance(one, ast.Call)]
    sorts = [one for one in sorts if name_of(one) in ("argsort", "sort")]
    flips = any(name_of(one) in ("flip", "flipud") for one in parts if isinstance(one, ast.Call))
    return bool(sorts) and not flips and all(keyword(one, "descending") is None for one in sorts)


def _is_one_more(source: Source, call: ast.Call) -> bool:
    above = source.parents.get(call)
    return isinstance(above, ast.BinOp) or keyword(call, "side") is not None


def _cuts_at(node: ast.AST, name: str) -> bool:
    """Tell whether an index is `[:name]`."""
    part = node.slice if isinstance(node, ast.Subscript) else None
    return bool(name) and isinstance(part, ast.Slice) and name_at(part.upper) == name


def _multiplied_by(source: Source, node: ast.Compare) -> list[ast.AST]:
    """Return the chances that a comparison is multiplied with, by itself or by its name."""
    above = source.parents[node]
    name = name_at(above.targets[0]) if isinstance(above, ast.Assign) else ""
    masks = [node, *(one for one in source.scopes[node].nodes if name and name_at(one) == name)]
    near = [source.parents.get(one) for one in masks]
    near += [source.parents.get(one) for one in near]
    near += [source.parents.get(one) for one in near]  # (chances * keep.float())
    products = [one for one in near if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mult)]
    sides = [side for one in products for side in (one.left, one.right)]
    return [one for one in sides if kind(source, one) == CHANCES]


def _summed(source: Source, node: ast.AST) -> ast.Call | None:
    """Return the sort behind a sum of chances that is compared with a number, or None."""
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], _ORDERS):
        return None
    left = followed(source, node.left)
    if name_of(left) != "cumsum" or tensor_of(left) is None:
        return None
    ranked = ranking_of(source, tensor_of(left))
    return ranked if ranked is not None and name_of(ranked) == "sort" else None


def _masked_by(source: Source, node: ast.Compare) -> list[ast.AST]:
    """Return the tensors that a comparison masks, by itself or by its name."""
    masks: list[ast.AST] = [node]
    parent = source.parents[node]
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        name = parent.targets[0].id
        masks += [one for one in source.scopes[node].nodes if name_at(one) == name]
    masked = []
    for one in masks:
        if isinstance(one, ast.Name) and followed(source, one) is not node:
            continue
        above = source.parents[one]
        if isinstance(above, ast.UnaryOp):  # ~keep
            one, above = above, source.parents[above]
        if isinstance(above, ast.Subscript) and one is above.slice:
            masked.append(above.value)
        elif name_of(above) in ("masked_fill", "masked_fill_"):
            masked.append(owner_of(above))
    return masked


def _fault_of(source: Source, node: ast.Compare, ranked: ast.Call, masked: list) -> tuple | None:
    """Return how grave, what and why, of what is wrong with a nucleus; None if nothing is."""
    falls = is_true(keyword(ranked, "descending"))
    positional = any(is_true(one) for one in ranked.args)
    bare = not isinstance(followed(source, node.comparators[0]), ast.BinOp)
    if not falls and not positional and keyword(ranked, "descending") is None and bare:
        what = "adds up chances from the smallest on: the likeliest tokens go."
        return ERROR, what, "sort() ascends unless descending=True says otherwise."
    plain = [one for one in masked if kind(source, one) is not None and not _is_ids(source, one)]
    if any(ranking_of(source, one) is None for one in plain):
        what = "is in the sorted order, and masks what is in the vocabulary's."
        return ERROR, what, "Tokens go by their rank as if it were their id: others than meant."
    if masked and not _shifts(source, node):
        what = "also drops the token that reaches the sum."
        return WARNING, what, "Where one token has more than top_p, none is left, and all are nan."
    return None


def _is_ids(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is the indices of a sort: ids in its order."""
    value = followed(source, node)
    if isinstance(value, ast.Attribute):
        return value.attr == "indices"
    second = isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)
    return second and value.slice.value == 1


def _shifts(source: Source, node: ast.AST) -> bool:
    """Tell whether a mask is moved by a place, or keeps its first ones."""
    for other in source.scopes[node].nodes:
        stored = isinstance(other, ast.Subscript) and isinstance(other.ctx, ast.Store)
        parts = ast.walk(other.slice) if stored else ()
        if any(isinstance(part, ast.Slice) or _is_a_number(part) for part in parts):
            return True
        if name_of(other) in ("roll", "pad", "cat", "scatter_"):
            return True
    return False


def _is_a_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is not ...


@in_the_source(
    "top-k-misbuilt",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="The text is word salad, the more so the smaller k is.",
    cause="""
        A filter takes away what is below the k-th largest logit. The other way round it takes the
        likeliest tokens away and keeps the rest.
    """,
    fix="Compare with `<`.",
    example="""
        lowest = logits.topk(50).values[..., -1:]
        logits = logits.masked_fill(logits < lowest, float("-inf"))
    """,
    how_sure="Likely: only the source was read, where what is above the k-th largest is removed.",
)
def top_k_misbuilt(source: Source) -> Iterator[Finding]:
    """The k likeliest are removed, or all but the likeliest."""
    yield from _below_the_largest(source)
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Gt | ast.GtE):
            continue
        right = node.comparators[0]
        ranked = ranking_of(source, right)
        if ranked is None or name_of(ranked) != "topk":
            continue
        if not _masked_by(source, node) and not _is_first_of_where(source, node):
            continue
        if kind(source, node.left) is None or not _becomes_nothing(source, node):
            continue
        yield found(
            "top-k-misbuilt",
            ERROR,
            node,
            what=f"{source.words(node)} picks the likeliest tokens, and they are removed.",
            why="What is left to draw from is everything but the top k.",
            fix=f"{source.words(node.left)} < {source.words(right)}",
        )


def _is_first_of_where(source: Source, node: ast.AST) -> bool:
    """Tell whether `torch.where` writes -inf where a comparison is true."""
    call = source.parents.get(node)
    if name_of(call) != "where" or len(call.args) != 3:
        return False
    return call.args[0] is node and "inf" in ast.unparse(call.args[1])


def _below_the_largest(source: Source) -> Iterator[Finding]:
    """Yield where logits are compared with the largest of the top k, not with the k-th."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Lt):
            continue
        right = followed(source, node.comparators[0])
        if not isinstance(right, ast.Subscript) or not _takes_first(right.slice):
            continue
        ranked = ranking_of(source, right.value)
        if ranked is None or name_of(ranked) != "topk" or kind(source, node.left) is None:
            continue
        if not _masked_by(source, node) and not _becomes_nothing(source, node):
            continue
        words = source.words(right.value)
        yield found(
            "top-k-misbuilt",
            ERROR,
            node,
            what=f"{source.words(node)} compares with the largest logit: one token is left of the "
            "top k.",
            why="topk sorts from the largest down: the k-th is the last, not the first.",
            fix=f"{source.words(node.left)} < {words}[..., -1:]",
        )


def _takes_first(index: ast.AST) -> bool:
    """Tell whether an index takes the first of the last axis: `[:, [0]]`, `[..., :1]`."""
    index = index.elts[-1] if isinstance(index, ast.Tuple) and index.elts else index
    return ast.unparse(index) in ("[0]", ":1", "0:1")


def _becomes_nothing(source: Source, node: ast.AST) -> bool:
    """Tell whether a statement around a mask, or around its name, writes -inf or 0."""
    statement = next((one for one in source.above(node) if isinstance(one, ast.stmt)), None)
    said = "" if statement is None else ast.unparse(statement)
    if isinstance(statement, ast.Assign) and statement.value is node:
        name = last_name(statement.targets[0])
        said = " ".join(
            ast.unparse(one)
            for one in source.scopes[node].nodes
            if isinstance(one, ast.stmt) and f"[{name}]" in ast.unparse(one)
        )
    return bool(re.search(r"-\s*(float\(|\w*\.?inf)|'-inf|min\b|1e", said)) and "~" not in said


@in_the_source(
    "min-p-misbuilt",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Min-p by hand leaves no token, or cuts far more than it should.",
    cause="""
        Min-p is relative: a token stays whose probability is at least min_p times that of the
        likeliest. Compared with min_p itself, all tokens go where none is that likely; logits are
        no probabilities at all.
    """,
    fix="Multiply by the largest probability.",
    example="""
        drop = chances < min_p * chances.max(-1, keepdim=True).values
    """,
    how_sure="Likely: only the source was read; that min-p is meant is inferred from its name.",
)
def min_p_misbuilt(source: Source) -> Iterator[Finding]:
    """Chances, or logits, are compared with min-p itself."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], _ORDERS):
            continue
        right = node.comparators[0]
        if not isinstance(right, ast.Name | ast.Attribute) or not _is_min_p(source, right):
            continue
        relative = followed(source, node.left)
        of = kind(source, node.left)
        if of == LOGITS:
            yield _min_p_of_logits(source, node)
        if of != CHANCES or isinstance(relative, ast.BinOp):
            continue
        yield found(
            "min-p-misbuilt",
            WARNING,
            node,
            what=f"{source.words(node)} compares probabilities with min_p itself.",
            why="Min-p is a share of the likeliest token's probability: here nothing may be left.",
            fix=f"{source.words(node.left)} < {source.words(right)} * "
            f"{source.words(node.left)}.max(-1, keepdim=True).values",
        )


_MIN_P = re.compile(r"^(self_)?min_?p$")


def _is_min_p(source: Source, node: ast.AST) -> bool:
    """Tell whether a plain value is min-p itself, by its name or that of what a call gives."""
    if isinstance(followed(source, node), ast.BinOp | ast.Call):
        return False
    if _MIN_P.search(last_name(node)):
        return True
    handed = list(handed_in(source, node)) if isinstance(node, ast.Name) else []
    names = [last_name(one) for one in handed if isinstance(one, ast.Name | ast.Attribute)]
    return bool(handed) and len(names) == len(handed) and all(map(_MIN_P.search, names))


def _min_p_of_logits(source: Source, node: ast.Compare) -> Finding:
    logits, min_p = source.words(node.left), source.words(node.comparators[0])
    chances = f"{logits}.softmax(-1)"
    return found(
        "min-p-misbuilt",
        WARNING,
        node,
        what=f"{source.words(node)} compares logits with min_p, a threshold for probabilities.",
        why="Every logit above that number stays: min_p is a share of the probability, after the "
        "softmax, of the likeliest token.",
        fix=f"{chances} < {min_p} * {chances}.amax(-1, keepdim=True)",
    )


@in_the_source(
    "filter-left-sorted",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Top-p by hand: the texts are made of single bytes and rare signs.",
    cause="""
        Sorted logits are in the order of their ranks. Where the sort's indices are dropped, the
        place of a rank is taken for a token's id, and the likeliest token becomes id 0.
    """,
    fix="Put the sorted logits back by the sort's own indices, or draw a rank and look its id up.",
    example="""
        ordered, ids = torch.sort(logits, descending=True)
        ordered[drop] = float("-inf")
        logits = torch.empty_like(logits).scatter(1, ids, ordered)
    """,
    how_sure="Likely: only the source was read, where nothing uses the indices of the sort.",
)
def filter_left_sorted(source: Source) -> Iterator[Finding]:
    """Sorted logits are masked and used, and the order they came in is lost."""
    for node in list(source.scopes):
        name = _sorted_without_ids(source, node)
        if name is None:
            continue
        scope = source.scopes[node].nodes
        if not any(map(lambda one, name=name: _masks(one, name), scope)):
            continue
        if not any(map(lambda one, name=name: _uses(one, name), scope)):
            continue
        yield found(
            "filter-left-sorted",
            WARNING,
            node,
            what=f"{name} is sorted, and nothing puts it back: the sort's indices are not used.",
            why="The place of a rank is then taken for a token's id in the vocabulary.",
            fix=f"{name}, ids = ...  # then torch.empty_like({name}).scatter(-1, ids, {name})",
        )


def _sorted_without_ids(source: Source, node: ast.AST) -> str | None:
    """Return the name of sorted values whose indices are dropped, or None."""
    if not isinstance(node, ast.Assign):
        return None
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and len(target.elts) == 2:
        if not isinstance(value, ast.Call) or not all(isinstance(t, ast.Name) for t in target.elts):
            return None
        first, second = target.elts
        read = any(
            isinstance(one, ast.Name) and one.id == second.id and isinstance(one.ctx, ast.Load)
            for one in ast.walk(source.scopes[node].node)
        )
        return first.id if name_of(value) == "sort" and not read else None
    if not isinstance(target, ast.Name):
        return None
    of_values = isinstance(value, ast.Attribute) and value.attr == "values"
    of_first = isinstance(value, ast.Subscript) and ast.unparse(value.slice) == "0"
    made = value.value if of_values or of_first else None
    return target.id if name_of(made) == "sort" else None


def _masks(node: ast.AST, name: str) -> bool:
    """Tell whether a statement takes some of the values out: `ordered[drop] = -inf`."""
    if not isinstance(node, ast.Assign):
        return False
    target = node.targets[0]
    if isinstance(target, ast.Subscript) and last_name(target.value) == name:
        return "inf" in ast.unparse(node.value) or ast.unparse(node.value) in ("0", "0.0")
    return last_name(target) == name and any(
        name_of(one) in ("masked_fill", "where") for one in ast.walk(node.value)
    )


def _uses(node: ast.AST, name: str) -> bool:
    """Tell whether a node gives the values back, or draws from them."""
    if isinstance(node, ast.Return) and node.value is not None:
        return _gives_back(node.value, name)
    drawn = name_of(node) in ("multinomial", "Categorical")
    return drawn and name in {last_name(one) for one in ast.walk(node)}


def _gives_back(node: ast.AST, name: str) -> bool:
    """Tell whether an expression is the values themselves, scattered or made probabilities."""
    while isinstance(node, ast.Call):
        if name_of(node) not in ("scatter", "softmax", "log_softmax", "to", "view", "clone"):
            return False
        ours = isinstance(node.func, ast.Attribute) and last_name(node.func.value) not in (
            *("torch", "F", "functional"),
        )
        node = node.func.value if ours or not node.args else node.args[0]
    return last_name(node) == name

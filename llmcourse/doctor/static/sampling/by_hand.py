"""Searches, filters and caches written by hand that mix up which row or place is whose."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of
from llmcourse.doctor.subject import Subject

_OF_A_CACHE = re.compile(r"past|cache|kv|layer|reorder", re.IGNORECASE)
_KEEPS_PLACES = re.compile(r"rotat|rotary|rope|position_ids|cache_position", re.IGNORECASE)
_HELD = ("keys", "values", "key", "value", "key_cache", "value_cache", "k", "v")


@in_the_source(
    "cache-not-reordered",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="Beam search by hand is fine without a cache, and mixes its beams up with one.",
    cause="""
        After a step a beam goes on from another beam's text, its parent's. The ids are taken from
        the parents, and the rows of the cache stay where they were: a beam reads another's past.
    """,
    fix="Take the cache's rows from the parents too, in each step.",
    example="""
        ids = torch.cat([ids[parent], token[:, None]], dim=1)
        cache.reorder_cache(parent)
    """,
    how_sure="Likely: only the source was read, where ids follow the parents and no cache does.",
)
def cache_not_reordered(source: Source) -> Iterator[Finding]:
    """Beams change places, and their caches do not."""
    for loop in source.loops:
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        passes = [one for one in inside if source.is_forward(one)]
        cached = [one for one in passes if keyword(one, "past_key_values") is not None]
        if not cached:
            continue
        for node in inside:
            parent = _parent_of_ids(source, node)
            if parent is None or _follows(inside, parent):
                continue
            yield found(
                "cache-not-reordered",
                WARNING,
                node,
                what=f"The ids follow {parent}, and the cache's rows stay in the old beams' order.",
                why="Each beam then reads the past of another one.",
                fix=f"cache.reorder_cache({parent})  # in each step, beside the ids",
            )
            return


def _parent_of_ids(source: Source, node: ast.AST) -> str | None:
    """Return the name of the parents where a statement takes rows from them: `ids = ids[p]`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return None
    own = node.targets[0].id
    for part in ast.walk(node.value):
        if isinstance(part, ast.Subscript) and last_name(part.value) == own:
            rows = part.slice
        elif isinstance(part, ast.Call) and name_of(part) == "index_select" and part.args:
            rows = part.args[-1]
        else:
            continue
        if isinstance(rows, ast.Name) and _is_parent(source, rows):
            return rows.id
    return None


def _is_parent(source: Source, rows: ast.Name) -> bool:
    """Tell whether a name is of places in all beams' scores, divided by the vocabulary's size."""
    value = source.value(rows)
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.FloorDiv)
    return isinstance(value, ast.Call) and name_of(value) in ("div", "floor_divide")


def _follows(inside: list[ast.AST], parent: str) -> bool:
    """Tell whether anything of a cache is taken from the parents."""
    kinds = (ast.Call, ast.Subscript, ast.ListComp, ast.GeneratorExp, ast.For, ast.Attribute)
    words = [ast.unparse(node) for node in inside if isinstance(node, kinds)]
    named = re.compile(rf"\b{re.escape(parent)}\b")
    return any(named.search(one) and _OF_A_CACHE.search(one) for one in words)


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
    return target.id if isinstance(made, ast.Call) and name_of(made) == "sort" else None


def _masks(node: ast.AST, name: str) -> bool:
    """Tell whether a statement takes some of the values out: `ordered[drop] = -inf`."""
    if not isinstance(node, ast.Assign):
        return False
    target = node.targets[0]
    if isinstance(target, ast.Subscript) and last_name(target.value) == name:
        return "inf" in ast.unparse(node.value) or ast.unparse(node.value) in ("0", "0.0")
    return last_name(target) == name and any(
        isinstance(one, ast.Call) and name_of(one) in ("masked_fill", "where")
        for one in ast.walk(node.value)
    )


def _uses(node: ast.AST, name: str) -> bool:
    """Tell whether a node gives the values back, or draws from them."""
    if isinstance(node, ast.Return) and node.value is not None:
        return _gives_back(node.value, name)
    drawn = isinstance(node, ast.Call) and name_of(node) in ("multinomial", "Categorical")
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


@in_the_source(
    "cache-with-a-gap",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="A cache from which the middle was taken makes answers go astray.",
    cause="""
        Keys were rotated by the positions at which their tokens stood. Joined over a gap they keep
        those, while new tokens are counted from the shorter length: two parts of the text seem to
        stand at other distances than they do, or at the same place.
    """,
    fix="Compute the later part again behind the first one.",
    example="""
        cache.crop(kept)
        model.generate(ids, past_key_values=cache)  # reads again what comes after
    """,
    how_sure="""
        Likely: only the source was read, where parts of one layer's keys are joined and nothing
        turns them to their new positions.
    """,
)
def cache_with_a_gap(source: Source) -> Iterator[Finding]:
    """The middle of a cache's keys is cut out."""
    if "past_key_values" not in source.text or _KEEPS_PLACES.search(source.text):
        return
    for call in source.calls:
        if name_of(call) not in ("cat", "concat", "concatenate") or not call.args:
            continue
        parts = getattr(call.args[0], "elts", [])
        cut = [one for one in parts if isinstance(one, ast.Subscript) and _place(one) is not None]
        heads = [ast.unparse(one.value) for one in cut if _place(one).lower is None]
        tails = [one.value for one in cut if _place(one).lower is not None]
        joined = [one for one in tails if ast.unparse(one) in heads and last_name(one) in _HELD]
        if not joined:
            continue
        yield found(
            "cache-with-a-gap",
            WARNING,
            call,
            what=f"The middle is taken out of a cache: {source.words(joined[0])} on both sides of "
            "the gap keep their old positions.",
            why="Keys are rotated by position; what comes next is counted from the shorter length.",
            fix="cache.crop(kept)  # and let the model read again what comes after the gap",
        )
        return


def _place(part: ast.Subscript) -> ast.Slice | None:
    """Return which places a part takes, of a tensor (rows, heads, places ...)."""
    index = part.slice.elts if isinstance(part.slice, ast.Tuple) else []
    third = index[2] if len(index) >= 3 else None
    return third if isinstance(third, ast.Slice) and (third.lower or third.upper) else None

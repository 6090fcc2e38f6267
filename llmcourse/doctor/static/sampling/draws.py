"""How a loop by hand draws its tokens: from what, over which axis, and what a drawn place is."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, Finding
from llmcourse.doctor.static.reading.following import followed, name_at
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of
from llmcourse.doctor.static.reading.tensors import (
    BATCH,
    CHANCES,
    LOG_CHANCES,
    LOGITS,
    ONE,
    PLACE,
    VOCABULARY,
    axes,
    axis,
    dimension,
    does,
    kind,
    ranking_of,
    tensor_of,
    with_its_module,
)
from llmcourse.doctor.subject import Subject

_IN_WORDS = {PLACE: "places of the text", BATCH: "rows of the batch", ONE: "axis of one"}
# What goes over the vocabulary, with the number of its argument `dim`.
_OVER_THE_VOCABULARY = {"softmax": 0, "log_softmax": 0, "argmax": 0, "topk": 1}
_TO_IDS = ("gather", "index_select", "take", "take_along_dim", "scatter", "scatter_", "item")


@in_the_source(
    "over-the-wrong-axis",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="Chances that do not sum to 1, all alike or all 1; tokens that depend on other rows.",
    cause="""
        Logits are (batch, places, vocabulary). A softmax or an argmax has to go over the
        vocabulary, the last axis: over another one it compares places or rows of the batch.
    """,
    fix="Say `dim=-1`.",
    example="model(ids).logits[:, -1].softmax(dim=-1)",
    how_sure="""
        Likely: only the source was read, where the axes can be followed from the forward pass.
    """,
)
def over_the_wrong_axis(source: Source) -> Iterator[Finding]:
    """A softmax or an argmax of logits over places, or rows."""
    for call in source.calls:
        if _classes_axis(source, call) == PLACE:
            logits = source.words(call.args[0])
            yield found(
                "over-the-wrong-axis",
                ERROR,
                call,
                what=f"{source.words(call)} takes the places of the text for classes.",
                why="cross_entropy wants (rows, vocabulary), or the vocabulary as second axis.",
                fix=f"{source.words(call.func)}({logits}.flatten(0, 1), labels.flatten())",
            )
        call = with_its_module(source, call)
        doing, tensor = does(call), tensor_of(call)
        if doing not in _OVER_THE_VOCABULARY or tensor is None:
            continue
        whole, dim = axes(source, tensor), dimension(call, _OVER_THE_VOCABULARY[doing])
        if whole is None or VOCABULARY not in whole:
            continue
        over = axis(source, tensor, dim) if dim is not None else None
        if dim is None and "softmax" in doing and len(whole) == 3:
            over = whole[0]  # what torch takes then
        flat = dim is None and doing == "argmax" and PLACE in whole
        if not flat and over in (None, VOCABULARY):
            continue
        words = source.words(call)
        yield found(
            "over-the-wrong-axis",
            ERROR,
            call,
            what=f"{words} goes over all places at once: its number is no token."
            if flat
            else f"{words} goes over the {_IN_WORDS.get(over, over)}, not over the vocabulary.",
            why="A token's chance is its share among all tokens at one place of one row.",
            fix=f"{source.words(tensor)}.{doing}(dim=-1)",
        )


def _classes_axis(source: Source, call: ast.Call) -> str | None:
    """Return the axis that a cross entropy takes for the classes: the second of several."""
    made = followed(source, call.func)
    of_class = name_of(made) == "CrossEntropyLoss"
    if not call.args or not (name_of(call) == "cross_entropy" or of_class):
        return None
    whole = axes(source, call.args[0])
    return whole[1] if whole is not None and len(whole) == 3 else None


@in_the_source(
    "draw-from-logits",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="`probability tensor contains either inf, nan or element < 0`, or word salad.",
    cause="""
        `torch.multinomial`, and `Categorical` by position, take chances. Logits and log-chances are
        negative for most tokens; where they are not, their shares mean nothing.
    """,
    fix="Draw from the softmax.",
    example="torch.multinomial(logits.softmax(-1), num_samples=1)",
    how_sure="Likely: only the source was read, where what is drawn from comes without a softmax.",
)
def draw_from_logits(source: Source) -> Iterator[Finding]:
    """A draw by logits or log-chances."""
    for call in source.calls:
        given = tensor_of(call) if name_of(call) == "multinomial" else None
        if name_of(call) in ("choice", "choices"):
            given = keyword(call, "p") or keyword(call, "weights")
        if name_of(call) == "Categorical":
            given = call.args[0] if call.args else keyword(call, "probs")
        of = kind(source, given) if given is not None else None
        if of not in (LOGITS, LOG_CHANCES):
            continue
        right = "softmax(-1)" if of == LOGITS else "exp()"
        yield found(
            "draw-from-logits",
            ERROR,
            call,
            what=f"{source.words(call)} draws from {of}, and takes them for chances.",
            why="Below zero the draw is refused; above it, the shares are not the model's.",
            fix=f"torch.multinomial({source.words(given)}.{right}, num_samples=1)",
        )


@in_the_source(
    "place-taken-for-id",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="Every token is one of the vocabulary's first: `!`, `\"`, `#`.",
    cause="""
        A draw among sorted or top-k values gives a place in their order: 0 for the likeliest. The
        token's id stands at that place among the indices.
    """,
    fix="Look the place up among the indices.",
    example="""
        values, indices = logits.topk(50)
        token = indices.gather(-1, torch.multinomial(values.softmax(-1), 1))
    """,
    how_sure="Likely: only the source was read, where no indices are looked up with the draw.",
)
def place_taken_for_id(source: Source) -> Iterator[Finding]:
    """A draw among sorted chances, whose place goes on as a token."""
    for call in source.calls:
        drawn = _drawn_from(call)
        ranked = ranking_of(source, drawn) if drawn is not None else None
        if ranked is None or _looks_up(source, call, ranked):
            continue
        yield found(
            "place-taken-for-id",
            ERROR,
            call,
            what=f"{source.words(call)} draws a place among sorted values, and it is used as a "
            "token.",
            why=f"Place 0 is the likeliest token, not token 0: {name_of(ranked)}'s indices say "
            "which it is.",
            fix="token = indices.gather(-1, place)",
        )


def _drawn_from(call: ast.Call) -> ast.AST | None:
    """Return what a call draws a place from, or takes the largest place of."""
    if name_of(call) in ("multinomial", "argmax"):
        return tensor_of(call)
    counts = name_of(call) == "choice" and call.args and not isinstance(call.args[0], ast.Name)
    counted = counts and isinstance(call.args[0], ast.Constant | ast.Call)
    return keyword(call, "p") if counted else None


def _looks_up(source: Source, call: ast.Call, ranked: ast.Call) -> bool:
    """Tell whether a draw, or the name that it gets, is an index into something."""
    if _is_index(source, call):
        return True
    name = ""
    for above in source.above(call):
        if isinstance(above, ast.Assign):
            name = last_name(above.targets[0])
            break
    same = source.scopes[call].nodes
    uses = [node for node in same if isinstance(node, ast.Name) and node.id == name]
    reads = [node for node in uses if isinstance(node.ctx, ast.Load)]
    returned = any(isinstance(source.parents[use], ast.Return | ast.Tuple) for use in reads)
    if not reads or returned:
        return _keeps_indices(source, ranked)
    return any(_is_index(source, use) for use in reads)


def _keeps_indices(source: Source, ranked: ast.Call) -> bool:
    """Tell whether the indices of a sort are read, or may be."""
    target = getattr(source.parents[ranked], "targets", [None])[0]
    if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
        return True
    name = name_at(target.elts[1])
    return any(
        name_at(node) == name and isinstance(node.ctx, ast.Load)
        for node in source.scopes[ranked].nodes
    )


def _is_index(source: Source, node: ast.AST) -> bool:
    inner = node
    for above in source.above(node):
        if isinstance(above, ast.Subscript) and inner is above.slice:
            return True
        if name_of(above) in _TO_IDS[:-1] and inner is not above.func:
            return True
        if isinstance(above, ast.stmt):
            return False
        inner = above
    return False


@in_the_source(
    "draw-not-renormalized",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="`ValueError: probabilities do not sum to 1`.",
    cause="""
        A softmax over the whole vocabulary sums to 1; the probabilities of the top k alone do not.
        `numpy.random.choice` refuses them.
    """,
    fix="Divide by their sum, or take the softmax of the top logits.",
    example="""
        values, ids = logits.topk(50)
        probabilities = values.softmax(-1).numpy()
    """,
    how_sure="Likely: only the source was read, where a part of the probabilities is drawn from.",
)
def draw_not_renormalized(source: Source) -> Iterator[Finding]:
    """NumPy draws from a part of the probabilities."""
    for call in source.calls:
        given = keyword(call, "p") if name_of(call) == "choice" else None
        if given is None or not _is_part_of_chances(source, given):
            continue
        words = source.words(given)
        yield found(
            "draw-not-renormalized",
            ERROR,
            call,
            what=f"{source.words(call)} draws from a part of the probabilities: they do not sum "
            "to 1.",
            why="The softmax was taken over the whole vocabulary, and the rest was cut off.",
            fix=f"p={words} / {words}.sum()",
        )


def _is_part_of_chances(source: Source, node: ast.AST, depth: int = 10) -> bool:
    """Tell whether chances were cut after their softmax, and not divided by what is left."""
    node = followed(source, node)
    if not depth:
        return False
    if isinstance(node, ast.Attribute) and node.attr == "values":
        node = ast.Subscript(node.value, ast.Constant(0))
    if isinstance(node, ast.Subscript):
        value = followed(source, node.value)
        ranked = name_of(value) in ("topk", "sort")
        last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
        cut = isinstance(last, ast.Slice) and last.upper is not None and last.lower is None
        if ranked and name_of(value) == "topk":
            first = isinstance(node.slice, ast.Constant) and node.slice.value == 0
            return first and kind(source, tensor_of(value)) == CHANCES
        if cut and kind(source, node.value) == CHANCES:
            return True
        return _is_part_of_chances(source, tensor_of(value) if ranked else value, depth - 1)
    kept = ("numpy", "cpu", "tolist", "squeeze", "detach", "float", "double", "flatten", "view")
    if isinstance(node, ast.Call) and name_of(node) in kept and tensor_of(node) is not None:
        return _is_part_of_chances(source, tensor_of(node), depth - 1)
    return False

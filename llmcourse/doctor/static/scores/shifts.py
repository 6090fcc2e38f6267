"""Logits, labels and masks that are one place off."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.fields import index_chain
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.passes import is_cross_entropy
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    ids_of,
    is_none,
    is_string,
    keyword,
    last_name,
    name_of,
    owner_of,
    parts_of_index,
    values_given,
)
from llmcourse.doctor.static.reading.tensors import (
    LOGITS,
    OF_ONE_NUMBER,
    PLACE,
    VOCABULARY,
    axes,
    does,
    kind,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_CHANCES = ("log_softmax", "softmax", "cross_entropy", "gather")


@in_the_source(
    "logits-not-shifted",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Scores of answers make no sense: wrong ones win, the loss is far too high.",
    cause="""
        The logits at a place are about the token *after* it. An answer's first token is predicted
        by the prompt's last place.
    """,
    fix="Begin one place earlier, and leave the last one out.",
    example="""
        logits = model(ids).logits[:, prompt_length - 1 : -1]
        logits.log_softmax(-1).gather(2, ids[:, prompt_length:, None])
    """,
    how_sure="""
        Likely: only the source was read, where logits and ids meet at the same places.
    """,
)
def logits_not_shifted(source: Source) -> Iterator[Finding]:
    """An answer is scored with the logits of its own places."""
    for node in list(source.scopes):
        late = _begins_late(source, node) or _meets_unshifted(source, node)
        late = late or _picked_unshifted(source, node) or _picked_in_a_loop(source, node)
        if not late and not _moved_the_wrong_way(source, node):
            continue
        yield found(
            "logits-not-shifted",
            WARNING,
            node,
            what=f"{source.words(node)} reads each token's chance at its own place."
            if late
            else f"{source.words(node)} pairs logits and ids that are not shifted by one.",
            why="Logits are about the next token: the token's chance stands one place before it.",
            fix="logits[:, :-1]  # with ids[:, 1:]; an answer's begin at prompt_length - 1",
        )
        return


def _begins_late(source: Source, node: ast.AST) -> bool:
    """Tell whether logits are taken from the answer's own first place on, for its chances."""
    if not isinstance(node, ast.Subscript) or not _is_logits(source, node.value):
        return False
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
    place = parts[1] if len(parts) > 1 else None
    if not isinstance(place, ast.Slice) or place.lower is None or place.upper is not None:
        return False
    lower = source.value(place.lower)
    if any(isinstance(part, ast.BinOp) for part in ast.walk(lower)):
        return False
    measured = {last_name(part) for part in ast.walk(lower)} & {"shape", "len"}
    scope = source.scopes[node]
    return bool(measured) and any(name_of(one) in _CHANCES for one in scope.nodes)


def _is_logits(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is the logits of a forward pass, all of them."""
    value = source.value(node)
    if name_of(value) in ("log_softmax", "softmax", "float"):
        owner = owner_of(value)
        plain = owner is value.func or last_name(owner) in ("torch", "F", "functional")
        inner = (value.args or [None])[0] if plain else owner
        return inner is not None and _is_logits(source, inner)
    if not isinstance(value, ast.Attribute) or value.attr != "logits":
        return False
    return source.is_forward(source.value(value.value))


def _meets_unshifted(source: Source, node: ast.AST) -> bool:
    """Tell whether all logits and all ids of a pass meet: in `gather`, or a `cross_entropy`."""
    if not isinstance(node, ast.Call):
        return False
    if name_of(node) == "gather" and isinstance(node.func, ast.Attribute):
        plain = last_name(node.func.value) == "torch"
        index = keyword(node, "index") or (node.args[-1] if len(node.args) > 1 else None)
        if index is None or (plain and not node.args):
            return False
        logits, ids = (node.args[0] if plain else node.func.value), index
    elif is_cross_entropy(source, node) and len(node.args) > 1:
        logits, ids = node.args[0], node.args[1]
    else:
        return False
    logits, ids = _unfolded(logits), _unfolded(ids)
    if not _is_logits(source, logits) or "Classification" in source.text:
        return False
    fed = [one for one in ast.walk(_pass_of(source, logits)) if isinstance(one, ast.Name)]
    if isinstance(ids, ast.Name) and ids.id not in [one.id for one in fed[1:]]:
        ids = source.value(ids)  # ids = inputs.input_ids
    entry = isinstance(ids, ast.Subscript) and ast.unparse(ids.slice) == "'input_ids'"
    owner = ids.value if entry or isinstance(ids, ast.Attribute) else ids
    return isinstance(owner, ast.Name) and owner.id in [one.id for one in fed[1:]]


def _picked_unshifted(source: Source, node: ast.AST) -> bool:
    """Tell whether each token's chance is picked at its own place: `chances[0, i, token]`.

    With i and token from an `enumerate` of the ids that were fed, or with a range and the ids.
    """
    base, index = _indices(node)
    whole = axes(source, base)
    places = index[-2:]
    if whole is None or PLACE not in whole or len(index) != len(whole) or len(index) < 2:
        return False
    ids = _enumerated(source, *places) or _at_the_same_place(*places)
    if ids is None and isinstance(places[0], ast.Call) and name_of(places[0]) in _RANGES:
        ids = places[1] if len(places[0].args) == 1 else None
    row = None if ids is None else followed(source, ids)
    while name_of(row) in _TO_LISTS:
        row = followed(source, owner_of(row))
    if not isinstance(row, ast.Subscript) or ast.unparse(row.slice) != "0":
        return False
    return _is_fed(source, base, row)


def _indices(node: ast.AST) -> tuple[ast.AST, list[ast.AST]]:
    """Return what is indexed, and by what: also of `x[0][i][t]` and `log_softmax(x[0, i])[t]`."""
    index: list[ast.AST] = []
    while True:
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
            own = parts_of_index(node)
            index, node = [*own, *index], node.value
        elif index and name_of(node) in ("log_softmax", "softmax"):
            plain = last_name(owner_of(node)) in ("torch", "F", "functional")
            node = node.args[0] if plain and node.args else owner_of(node)
        else:
            return node, index


def _at_the_same_place(place: ast.AST, token: ast.AST) -> ast.AST | None:
    """Return `ids[0]` where a token is `ids[0, i]` or `ids[0][i]`, and its place i."""
    while name_of(token) in ("item", "int"):
        token = token.args[0] if token.args else owner_of(token)
    base, index = _indices(token)
    if len(index) != 2 or ast.unparse(index[1]) != ast.unparse(place):
        return None
    zero = ast.copy_location(ast.Constant(0), token)
    row = ast.Subscript(base, zero, ast.Load())
    return row if ast.unparse(index[0]) == "0" and isinstance(place, ast.Name) else None


_RANGES = ("arange", "range")


def _enumerated(source: Source, place: ast.AST, token: ast.AST) -> ast.AST | None:
    """Return what is enumerated, where a place and a token are the two that a loop gives."""
    for above in source.above(place):
        loops = [above] if isinstance(above, ast.For) else getattr(above, "generators", [])
        for loop in loops:
            counts = isinstance(loop.iter, ast.Call) and last_name(loop.iter.func) == "enumerate"
            names = [ast.unparse(one) for one in getattr(loop.target, "elts", ())]
            if counts and names == [ast.unparse(place), ast.unparse(token).split(".")[0]]:
                return loop.iter.args[0] if len(loop.iter.args) == 1 else None
    return None


def _picked_in_a_loop(source: Source, node: ast.AST) -> bool:
    """Tell whether a loop reads a token's entry at the token's own place: `lp[0, i, ids[0, i]]`."""
    if not isinstance(node, ast.Subscript) or isinstance(source.parents.get(node), ast.Subscript):
        return False
    base, parts = index_chain(node)
    whole = axes(source, base)
    if whole is None or whole[-2:] != (PLACE, VOCABULARY) or len(parts) != len(whole):
        return False
    place, token = parts[-2:]
    token = followed(source, token)
    if name_of(token) == "item":
        token = followed(source, owner_of(token))
    ids, at = index_chain(token)
    same = bool(at) and isinstance(place, ast.Name) and ast.unparse(at[-1]) == place.id
    return same and _is_fed(source, base, ids)


def _is_fed(source: Source, logits: ast.AST, ids: ast.AST) -> bool:
    """Tell whether ids are those whose forward pass gave these logits."""
    made = _pass_of(source, logits)
    if not isinstance(made, ast.Call):
        return False
    given = [*made.args, *(each.value for each in made.keywords if each.arg != "labels")]
    fed = {words for one in given for words in _origins(source, one)}
    return bool(fed & set(_origins(source, ids)))


def _origins(source: Source, node: ast.AST) -> Iterator[str]:
    """Yield an expression, and what it is a part, a field or another form of, as words."""
    for _ in range(12):
        if isinstance(node, ast.Constant | ast.Call) and not source.is_tokenizer(node):
            inner = owner_of(node) if isinstance(node, ast.Call) else None
            if inner is None or name_of(node) not in (*_OTHER_SHAPE, *_TO_LISTS):
                return
            node = inner
            continue
        if "labels" in ast.unparse(node):
            return
        yield ast.unparse(node)
        value = followed(source, node)
        if value is not node:
            node = value
        elif isinstance(node, ast.Subscript | ast.Attribute):
            node = node.value
        else:
            return


_SAME_PLACES = ("log_softmax", "softmax", "float", "log", "contiguous", "to", "clone", "detach")


_TO_LISTS = ("tolist", "numpy", "cpu", "to", "cuda", "detach", "item", "clone")


_OTHER_SHAPE = ("view", "reshape", "unsqueeze", "flatten", "long", "squeeze")


def _span(source: Source, node: ast.AST) -> tuple[ast.AST, int | None]:
    """Return (tensor, its first place) of a slice of places; None for a place that is not seen."""
    first, row_taken = 0, False
    for _ in range(12):
        node = followed(source, node)
        if isinstance(node, ast.Call) and does(node) in (*_SAME_PLACES, *_OTHER_SHAPE):
            inner = tensor_of(node)
            if inner is None:
                return node, None
            node = inner
        elif isinstance(node, ast.Subscript) and not is_string(node.slice):
            parts = parts_of_index(node)
            at = 0 if row_taken else 1
            if isinstance(parts[0], ast.Constant) and parts[0].value == 0:
                row_taken = True
            part = parts[at] if len(parts) > at else None
            if isinstance(part, ast.Slice):
                lower = _first_place(part)
                if lower is None or first:
                    return node.value, None
                first = lower
            elif part is not None and not is_none(part):
                return node.value, None
            node = node.value
        else:
            break
    return node, first


def _first_place(part: ast.Slice) -> int | None:
    """Return where a slice begins, as a number that is written there."""
    if part.lower is None:
        return 0
    plain = isinstance(part.lower, ast.Constant) and isinstance(part.lower.value, int)
    return part.lower.value if plain else None


def _moved_the_wrong_way(source: Source, node: ast.AST) -> bool:
    """Tell whether sliced logits and ids meet, and the ids do not begin one place later."""
    pair = _met(source, node)
    if pair is None or kind(source, pair[0]) is None:
        return False
    (logits, begins), (ids, starts) = (_span(source, one) for one in pair)
    if begins is None or starts is None or starts - begins == 1:
        return False
    if starts <= begins and _is_fed(source, logits, ids):
        return True
    named = name_at(ids) in ("labels", "ids", "input_ids", "target_ids", "tokens")
    return named and starts < begins and kind(source, logits) == LOGITS


def _met(source: Source, node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return the (logits, ids) that meet in `gather` or in a cross entropy."""
    if not isinstance(node, ast.Call):
        return None
    if name_of(node) == "gather" and node.args and tensor_of(node) is not None:
        return tensor_of(node), keyword(node, "index") or node.args[-1]
    made = followed(source, node.func)
    of_class = name_of(made) == "CrossEntropyLoss"
    if (name_of(node) == "cross_entropy" or of_class) and len(node.args) > 1:
        return node.args[0], node.args[1]
    return None


def _unfolded(node: ast.AST) -> ast.AST:
    """Return a tensor without what only changes its shape: `.view(-1)`, `.unsqueeze(-1)`."""
    shapes = ("view", "reshape", "unsqueeze", "flatten", "transpose", "permute")
    while isinstance(node, ast.Call) and name_of(node) in shapes:
        node = owner_of(node)
    return node


def _pass_of(source: Source, node: ast.AST) -> ast.AST:
    """Return the forward pass that logits come from."""
    value = source.value(node)
    for part in ast.walk(value):
        if source.is_forward(part):
            return part
        inner = source.value(part) if isinstance(part, ast.Name) else part
        if inner is not part and any(source.is_forward(one) for one in ast.walk(inner)):
            return _pass_of(source, inner)
    return value


@in_the_source(
    "mask-not-shifted",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="A text's log-probability counts a padding token, and leaves its last token out.",
    cause="""
        The log-probability at place i, of `logits[:, :-1]` and `ids[:, 1:]`, is of token i + 1. The
        mask has to say whether *that* token counts: `mask[:, 1:]`, as the ids.
    """,
    fix="Shift the mask as the labels are shifted.",
    example="(log_probs * attention_mask[:, 1:]).sum(-1)",
    how_sure="Likely: only the source was read, where shifted tokens meet the unshifted mask.",
)
def mask_not_shifted(source: Source) -> Iterator[Finding]:
    """Tokens' log-probabilities are masked by the places that predict them."""
    for node in list(source.scopes):
        pair = _masked(node)
        if pair is None or not _cuts_last(source, pair[1]) or not _of_next_tokens(source, pair[0]):
            continue
        words = source.words(pair[1])
        yield found(
            "mask-not-shifted",
            WARNING,
            node,
            what=f"{words} masks log-probabilities by the place that predicts, not by the token.",
            why="Each is of the next token: the mask has to be shifted as the labels are, by one.",
            fix=f"{words.replace(':-1]', '1:]')}",
        )
        return


def _masked(node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return (what is masked, the mask) of a product, or of an index by a mask."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        swapped = "mask" in ast.unparse(node.left).lower()
        return (node.right, node.left) if swapped else (node.left, node.right)
    if name_of(node) in ("masked_select", "masked_fill"):
        return (tensor_of(node), node.args[-1]) if node.args and tensor_of(node) else None
    return None


def _cuts_last(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a mask without its last place: `mask[:, :-1]`."""
    node = followed(source, node)
    while name_of(node) in (*OF_ONE_NUMBER, "bool", "contiguous"):
        node = followed(source, owner_of(node))
    if not isinstance(node, ast.Subscript) or "mask" not in ast.unparse(node.value).lower():
        return False
    return ast.unparse(node).endswith((":, :-1]", "..., :-1]"))


def _of_next_tokens(source: Source, node: ast.AST) -> bool:
    """Tell whether tokens' entries are gathered by ids without their first place."""
    for part in parts_followed(source, node):
        if name_of(part) in ("gather", "cross_entropy", "nll_loss"):
            for one in part.args:
                texts = [ast.unparse(inner) for inner in parts_followed(source, one)]
                if any(text.endswith(("[:, 1:]", "[..., 1:]", "[:, 1:, None]")) for text in texts):
                    return True
    return False


@in_the_source(
    "labels-shifted-twice",
    severities=(ERROR,),
    how_sure="Likely where only the source was read: the ids are cut, and so are the labels.",
)
def labels_shifted_twice(source: Source) -> Iterator[Finding]:
    """Ids without their last, and labels without their first."""
    for call in source.calls:
        labels = keyword(call, "labels")
        ids = ids_of(call) if labels is not None and source.is_forward(call) else None
        if ids is None:
            continue
        read, aim = _cut(source, ids), _cut(source, labels)
        if aim is not None and aim[1] == "rolled" and aim[0] == ast.unparse(ids):
            read = (aim[0], "rolled")
        if read is None or aim is None or read[0] != aim[0]:
            continue
        if (read[1], aim[1]) not in ((":-1", "1:"), ("rolled", "rolled")):
            continue
        yield found(
            "labels-shifted-twice",
            ERROR,
            call,
            what=f"labels={source.words(labels)} are the ids moved by one, and the model moves "
            "them again.",
            why="Each place is compared with the token after the next.",
            fix=f"{source.words(call.func)}({read[0]}, labels={read[0]})",
        )


def _cut(source: Source, node: ast.AST) -> tuple[str, str] | None:
    """Return what a tensor of ids is a part of, and which: ("ids", ":-1") of `ids[:, :-1]`."""
    value = followed(source, node)
    while name_of(value) in ("contiguous", "clone", "to"):
        value = followed(source, owner_of(value))
    if name_of(value) == "roll" and tensor_of(value) is not None:
        by = [ast.unparse(one) for one in values_given(value)]
        return (ast.unparse(tensor_of(value)), "rolled") if "-1" in by else None
    if not isinstance(value, ast.Subscript):
        return None
    part = value.slice.elts[-1] if isinstance(value.slice, ast.Tuple) else value.slice
    return ast.unparse(value.value), ast.unparse(part).replace(" ", "")

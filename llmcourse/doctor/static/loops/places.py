"""Where a loop by hand reads its logits, and along which axis it joins its tokens."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, Finding
from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.passes import last_places, reads_batch
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    ids_of,
    keyword,
    last_name,
    name_of,
    owner_of,
    parts_of_index,
)
from llmcourse.doctor.static.reading.tensors import BATCH, PLACE, VOCABULARY, axes
from llmcourse.doctor.subject import Subject

_JOINS = ("cat", "concat", "concatenate")
_CHOOSES = ("argmax", "multinomial", "topk", "softmax", "log_softmax", "max", "sort")


@in_the_source(
    "cat-along-the-batch",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    symptom="`RuntimeError: Sizes of tensors must match except in dimension 0`, or rows of one "
    "token.",
    cause="""
        Ids are (batch, places). `torch.cat` joins along the first axis unless `dim` says otherwise:
        the new token becomes a row of its own, another text, and not the text's next place.
    """,
    fix="Join along the places.",
    example="ids = torch.cat([ids, token], dim=-1)",
    how_sure="Likely: only the source was read, where a chosen token is joined to ids.",
)
def cat_along_the_batch(source: Source) -> Iterator[Finding]:
    """A new token is joined to ids along the batch."""
    for call in source.calls:
        if name_of(call) not in _JOINS or not call.args or not _is_first(call):
            continue
        parts = getattr(call.args[0], "elts", [])
        if len(parts) != 2 or not _goes_back(source, call, parts[0]):
            continue
        if not _is_column(source, parts[1]):
            continue
        ids, token = map(source.words, parts)
        yield found(
            "cat-along-the-batch",
            ERROR,
            call,
            what=f"{source.words(call)} joins along dim=0, the batch: the token becomes a row.",
            why="Ids are (batch, places): the text's next place is in the last axis.",
            fix=f"torch.cat([{ids}, {token}], dim=-1)",
        )


def _is_first(call: ast.Call) -> bool:
    """Tell whether a call joins along the first axis: as it says, or as it does by itself."""
    dim = keyword(call, "dim") or keyword(call, "axis")
    dim = dim or (call.args[1] if len(call.args) > 1 else None)
    return dim is None or ast.unparse(dim) == "0"


def _goes_back(source: Source, call: ast.Call, ids: ast.AST) -> bool:
    """Tell whether a loop gives what is joined back to the ids, and feeds them as they are."""
    above = source.parents.get(call)
    if not isinstance(above, ast.Assign) or ast.unparse(above.targets[0]) != ast.unparse(ids):
        return False
    loop = next((one for one in source.above(call) if isinstance(one, ast.For | ast.While)), None)
    if loop is None:
        return False
    for node in ast.walk(loop):
        if source.is_forward(node):
            given = ids_of(node)
            if given is not None and ast.unparse(given) == ast.unparse(ids):
                return True
    return False


def _is_column(source: Source, token: ast.AST) -> bool:
    """Tell whether a token was chosen for each row: of logits that still have their batch."""
    for part in parts_followed(source, token, 3):
        if name_of(part) not in ("argmax", "multinomial"):
            continue
        for inner in parts_followed(source, part, 3):
            if isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Tuple):
                whole, index = axes(source, inner.value), inner.slice.elts
                if whole is not None and whole[:2] == (BATCH, PLACE):
                    return isinstance(index[0], ast.Slice)
    return False


def _beyond_the_last(source: Source, node: ast.Subscript) -> str | None:
    """Return in words where logits are read one place too far: at a length, not before it."""
    whole = axes(source, node.value)
    index = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
    if whole is None or VOCABULARY not in whole or PLACE not in whole:
        return None
    at = index[whole.index(PLACE)] if len(index) > whole.index(PLACE) else None
    length = followed(source, at) if at is not None and not isinstance(at, ast.Slice) else None
    if name_of(length) == "sum":
        return "the place after each row's last" if "mask" in ast.unparse(length) else None
    return None


@in_the_source(
    "logits-of-another-place",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The same token again and again, or a text that has nothing to do with its prompt.",
    cause="""
        Logits are (batch, places, vocabulary), and those of a place are about the token after it.
        The next token is predicted at the *last* place, `[:, -1]`: the first one knows the first
        token alone, and the last entry of the last axis is a token of the vocabulary.
    """,
    fix="Read the last place.",
    example="logits = model(ids).logits[:, -1]",
    how_sure="Likely: only the source was read, where whole texts are fed.",
)
def logits_of_another_place(source: Source) -> Iterator[Finding]:
    """A next token is chosen from the logits of the first place, or along the vocabulary."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        beyond = _beyond_the_last(source, node)
        read = beyond or _read(source, node)
        if read is None or (beyond is None and not _chosen_from(source, node)):
            continue
        if read == "the first place" and not _feeds_a_text(source, node):
            continue
        yield found(
            "logits-of-another-place",
            ERROR,
            node,
            what=f"{source.words(node)} reads the logits of {read}, not of the last place.",
            why="The next token is predicted at the last position of the text, [:, -1].",
            fix="logits[torch.arange(len(logits)), attention_mask.sum(1) - 1]"
            if beyond
            else f"{source.words(_whole(source, node))}[:, -1]",
        )


def _whole(source: Source, node: ast.Subscript) -> ast.AST:
    return node.value.value if isinstance(node.value, ast.Subscript) else node.value


def _read(source: Source, node: ast.Subscript) -> str | None:
    """Return in words what an index of logits takes, where that is not a place's prediction."""
    whole = axes(source, node.value)
    if whole is None or PLACE not in whole or VOCABULARY not in whole:
        return None
    index = parts_of_index(node)
    if isinstance(index[0], ast.Constant) and index[0].value is ...:
        last = ast.unparse(index[-1]) == "-1" and len(index) == 2 and whole[-1] == VOCABULARY
        return "the vocabulary's last token" if last else None
    place = whole.index(PLACE)
    if len(index) > place and ast.unparse(index[place]) == "0":
        return "the first place"
    last = len(index) == len(whole) and ast.unparse(index[-1]) == "-1"
    return "the vocabulary's last token" if last and isinstance(index[place], ast.Slice) else None


def _chosen_from(source: Source, node: ast.AST) -> bool:
    """Tell whether a token is chosen from an expression, as it stands or by its name."""
    above = source.parents.get(node)
    uses = [node]
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        name = above.targets[0].id
        same = [one for one in source.scopes[node].nodes if last_name(one) == name]
        uses = [one for one in same if followed(source, one) is node]
    for use in uses:
        call = source.parents.get(use)
        call = source.parents.get(call) if isinstance(call, ast.Attribute) else call
        if name_of(call) in _CHOOSES:
            return True
    return False


def _feeds_a_text(source: Source, node: ast.AST) -> bool:
    """Tell whether the pass that was read gets all of a text: no cache, and more than a token."""
    passes = [part for part in parts_followed(source, node) if source.is_forward(part)]
    if len(passes) != 1:
        return False
    call = passes[0]
    if any(
        each.arg in ("past_key_values", "cache_position", "logits_to_keep")
        for each in call.keywords
    ):
        return False
    unpacked = [each.value for each in call.keywords if each.arg is None]
    if any(source.is_encoding(followed(source, one)) for one in unpacked):
        return True
    ids = ids_of(call)
    for part in parts_followed(source, ids, 3) if ids is not None else ():
        tokenizes = isinstance(part, ast.Call) and (
            source.is_tokenizer(part.func)
            or (name_of(part) == "encode" and source.is_tokenizer(owner_of(part)))
        )
        if tokenizes or (name_of(part) in _JOINS):
            return True
    return _grows(source, call, ids)


def _grows(source: Source, call: ast.Call, ids: ast.AST | None) -> bool:
    """Tell whether a loop around a pass joins tokens to what it reads."""
    if not isinstance(ids, ast.Name):
        return False
    bound = source.scopes[ids].bound.get(ids.id, [])
    return any(name_of(one) in _JOINS for one in bound)


@in_the_source(
    "logits-of-padding",
    severities=(ERROR,),
    how_sure="""
        Likely where only the source was read, which pads on the right in so many words.
    """,
)
def logits_of_padding(source: Source) -> Iterator[Finding]:
    """The source pads on the right, and the last place is read."""
    if not _pads_right(source):
        return
    for call in source.calls:
        if not source.is_forward(call) or not reads_batch(source, call):
            continue
        for node in last_places(source, call):
            words = source.words(node)
            yield found(
                "logits-of-padding",
                ERROR,
                node,
                what=f"{words} reads the last place, and rows are padded on the right.",
                why="There the shorter rows have padding: the prediction is what comes after it.",
                fix="logits[torch.arange(len(logits)), attention_mask.sum(1) - 1]  # or pad left",
            )
            return


def _pads_right(source: Source) -> bool:
    """Tell whether a source sets the right side, and never the left."""
    sides = []
    for node in source.scopes:
        assigned = isinstance(node, ast.Assign) and last_name(node.targets[0]) == "padding_side"
        if assigned or (isinstance(node, ast.keyword) and node.arg == "padding_side"):
            sides.append(getattr(node.value, "value", None))
        made = name_of(node) == "pad_sequence"
        if made and keyword(node, "padding_side") is None:
            sides.append("right")
    return bool(sides) and set(sides) == {"right"}

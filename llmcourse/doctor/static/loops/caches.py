"""What forward passes by hand are fed, and what is read of them: caches, labels, padded rows."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Scope,
    Source,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import (
    CHANCES,
    LOG_CHANCES,
    LOGITS,
    PLACE,
    axes,
    axis,
    dimension,
    followed,
    has_rows,
    kind,
    last_places,
    name_at,
    parts_followed,
    reads_batch,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_JOINS = ("cat", "concat", "hstack")
_CUTS = ("crop", "reset", "deepcopy", "batch_select_indices", "from_legacy_cache")
_END = re.compile(r"eos|end_?of|im_end|eot|stop|\bend\b", re.IGNORECASE)
_IGNORES = re.compile(r"-100|ignore_index|masked_fill|Collator|CrossEntropy|cross_entropy")


@in_the_source(
    "text-fed-again",
    severities=(ERROR,),
    how_sure="""
        Likely where only the source was read: the loop appends to the ids, feeds all of them, and
        passes on the cache of the step before.
    """,
)
def text_fed_again(source: Source) -> Iterator[Finding]:
    """All ids go in, beside a cache that the loop passes on."""
    for call in source.calls:
        past, ids = keyword(call, "past_key_values"), _ids(call)
        if past is None or not isinstance(ids, ast.Name) or not source.is_forward(call):
            continue
        loop = next(
            (one for one in source.above(call) if isinstance(one, ast.For | ast.While)), None
        )
        if loop is None:
            continue
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        own = _of_its_own(past, call, inside)
        if not isinstance(past, ast.Name) and not own:
            continue
        grown = [node for node in inside if _gives(node, ids.id) and _grows(node, ids.id, inside)]
        others = [node for node in inside if _gives(node, ids.id) and node not in grown]
        name = source.words(past)
        filled = [call] if own else [node for node in inside if _fills(node, name, call)]
        if not own and _is_a_new_cache(source, past) and not _is_renewed(inside, name):
            filled.append(call)  # a cache object is filled in place
        cut = any(isinstance(node, ast.Call) and name_of(node) in _CUTS for node in inside)
        if not grown or others or not filled or cut or _is_emptied(inside, name):
            continue
        yield found(
            "text-fed-again",
            ERROR,
            call,
            what=f"The loop appends to {ids.id}, feeds all of it, and passes on {name}.",
            why="The cache holds what was read before: the model reads it a second time.",
            fix=f"{source.words(call.func)}({ids.id}[:, -1:], past_key_values={name})",
        )


def _of_its_own(past: ast.AST, call: ast.Call, inside: list[ast.AST]) -> bool:
    """Tell whether a cache is that of the pass before: `out = model(..., out.past_key_values)`."""
    if not _is_cache(past):
        return False
    name = name_at(past.value)
    return any(_gives(node, name) and node.value is call for node in inside)


def _is_a_new_cache(source: Source, past: ast.Name) -> bool:
    """Tell whether a name is a cache that was made before the loop: `DynamicCache()`."""
    made = source.value(past)
    return isinstance(made, ast.Call) and name_of(made).endswith("Cache")


def _is_renewed(inside: list[ast.AST], name: str) -> bool:
    return any(_gives(node, name) for node in inside)


def _ids(call: ast.Call) -> ast.AST | None:
    return call.args[0] if call.args else keyword(call, "input_ids")


def _gives(node: ast.AST, name: str) -> bool:
    """Tell whether a statement gives a value to a name alone."""
    return isinstance(node, ast.Assign) and [name_at(one) for one in node.targets] == [name]


def _grows(node: ast.Assign, name: str, inside: list[ast.AST]) -> bool:
    """Tell whether a name gets itself and more, or all of a list to which a loop appends."""
    if _joins(node.value, name):
        return True
    makes = isinstance(node.value, ast.Call) and name_of(node.value) in ("tensor", "LongTensor")
    parts = list(ast.walk(node.value)) if makes else []
    if any(isinstance(part, ast.Subscript) for part in parts):
        return False
    lists = {name_at(part) for part in parts} - {""}
    appends = [one for one in inside if isinstance(one, ast.Call) and name_of(one) == "append"]
    return any(name_at(owner_of(one)) in lists for one in appends)


def _fills(node: ast.AST, name: str, call: ast.Call) -> bool:
    """Tell whether a statement gives a pass's cache to a name."""
    if _gives(node, name):
        return _is_cache(node.value)
    given = node.targets[0] if isinstance(node, ast.Assign) and node.value is call else None
    return name in [name_at(one) for one in getattr(given, "elts", ())]


def _joins(value: ast.AST, name: str) -> bool:
    calls = [one for one in ast.walk(value) if isinstance(one, ast.Call) and name_of(one) in _JOINS]
    return any(name_at(part) == name for call in calls for part in ast.walk(call))


def _is_cache(value: ast.AST) -> bool:
    return isinstance(value, ast.Attribute) and value.attr == "past_key_values"


def _is_emptied(inside: list[ast.AST], name: str) -> bool:
    """Tell whether a loop gives a name something else than a pass's cache."""
    return any(_gives(node, name) and not _is_cache(node.value) for node in inside)


@in_the_source(
    "cache-keeps-rejected",
    subject=Subject.MODEL,
    severities=(ERROR,),
    symptom="Speculation by hand: with the cache the text gets weird, without it is fine.",
    cause="""
        One pass reads several guessed tokens, and all of them go into the cache, those too that are
        rejected. What is read next goes on from them.
    """,
    fix="Crop the cache to what was accepted.",
    example="cache.crop(-number_of_rejected_tokens)",
    how_sure="""
        Likely: only the source was read, where a token is chosen at another place than the last,
        and the cache goes on uncut.
    """,
)
def cache_keeps_rejected(source: Source) -> Iterator[Finding]:
    """A token is taken from the middle of a pass, and its cache is passed on whole."""
    if any(isinstance(one, ast.Call) and name_of(one) in _CUTS for one in source.scopes):
        return
    for call in source.calls:
        past = keyword(call, "past_key_values")
        if past is None or not source.is_forward(call):
            continue
        made = _maker_of(source, past)
        if made is None or made is call or not _reads_joined(source, made):
            continue
        place = _taken_within(source, made)
        if place is None:
            continue
        yield found(
            "cache-keeps-rejected",
            ERROR,
            call,
            what=f"{source.words(place)} goes on from within the text, and the cache is passed on "
            "with all that was read.",
            why="It still holds the tokens after that place, which were rejected.",
            fix=f"{source.words(past)}.crop(-rejected)  # to what the text holds",
        )
        return


def _maker_of(source: Source, past: ast.AST) -> ast.Call | None:
    """Return the pass that made a cache first, above the place where it goes in."""
    value = followed(source, past)
    if not isinstance(value, ast.Attribute) or value.attr != "past_key_values":
        return None
    made = followed(source, value.value)
    return made if source.is_forward(made) else None


def _reads_joined(source: Source, call: ast.Call) -> bool:
    """Tell whether a pass reads a text with something appended: ids and guesses."""
    ids = _ids(call)
    value = None if ids is None else followed(source, ids)
    return isinstance(value, ast.Call) and name_of(value) in _JOINS


def _taken_within(source: Source, made: ast.Call) -> ast.AST | None:
    """Return where a token is chosen at a place that is counted, not the last, of a pass."""
    for node in source.scopes:
        if not isinstance(node, ast.Call) or name_of(node) not in ("argmax", "multinomial"):
            continue
        for part in ast.walk(node):
            index = part.slice if isinstance(part, ast.Subscript) else None
            places = index.elts[1:2] if isinstance(index, ast.Tuple) else []
            counted = [one for one in places if isinstance(one, ast.BinOp | ast.Name)]
            if not counted or axes(source, part.value) is None:
                continue
            if made in parts_followed(source, part.value):
                return part
    return None


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
        made = isinstance(node, ast.Call) and name_of(node) == "pad_sequence"
        if made and keyword(node, "padding_side") is None:
            sides.append("right")
    return bool(sides) and set(sides) == {"right"}


@in_the_source(
    "padding-in-the-loss",
    severities=(ERROR, WARNING),
    how_sure="""
        Likely, and a warning, where only the source was read: it pads, gives the ids as labels, and
        names nothing that would leave the padding out.
    """,
)
def padding_in_the_loss(source: Source) -> Iterator[Finding]:
    """A padded batch, whose ids are its labels."""
    yield from _padding_summed(source)
    if _IGNORES.search(source.text):
        return
    yield from _padding_in_an_entry(source)
    for call in source.calls:
        labels = keyword(call, "labels")
        if labels is None or not source.is_forward(call) or not reads_batch(source, call):
            continue
        value = followed(source, labels)
        copied = isinstance(value, ast.Call) and name_of(value) in ("clone", "copy", "to")
        value = followed(source, owner_of(value)) if copied else value
        entry = isinstance(value, ast.Subscript) and ast.unparse(value.slice) == "'input_ids'"
        if not entry and last_name(value) != "input_ids" and not _same_as_ids(call, labels):
            continue
        yield found(
            "padding-in-the-loss",
            WARNING,
            call,
            what=f"labels={source.words(labels)} holds the padding of a padded batch.",
            why="Each label but -100 counts: the loss also says how well padding is predicted.",
            fix="labels = input_ids.masked_fill(attention_mask == 0, -100)",
        )


def _padding_in_an_entry(source: Source) -> Iterator[Finding]:
    """Yield where a padded batch gets its own ids as `batch["labels"]`."""
    for node in list(source.scopes):
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if not isinstance(target, ast.Subscript) or ast.unparse(target.slice) != "'labels'":
            continue
        value = node.value
        while isinstance(value, ast.Call) and name_of(value) in ("clone", "copy", "deepcopy"):
            value = value.args[0] if value.args else owner_of(value)
        entry = isinstance(value, ast.Subscript) and ast.unparse(value.slice) == "'input_ids'"
        if not entry and not (isinstance(value, ast.Attribute) and value.attr == "input_ids"):
            continue
        made = followed(source, value.value)
        padding = keyword(made, "padding") if isinstance(made, ast.Call) else None
        if padding is None or getattr(padding, "value", True) is False:
            continue
        yield found(
            "padding-in-the-loss",
            WARNING,
            node,
            what=f"{source.words(node)} makes labels of a padded batch, its padding among them.",
            why="Each label but -100 counts: the loss is also about predicting padding.",
            fix='batch["labels"][batch["attention_mask"] == 0] = -100',
        )
        return


def _padding_summed(source: Source) -> Iterator[Finding]:
    """Yield where the chances of a padded batch are summed, and no mask leaves its padding out."""
    if "-100" in source.text or "ignore_index" in source.text or _uses_mask(source):
        return
    for call in source.calls:
        loss = name_of(call) == "cross_entropy" and len(call.args) > 1
        chances = name_of(call) == "gather" and tensor_of(call) is not None
        if not loss and not chances:
            continue
        tensor = call.args[0] if loss else tensor_of(call)
        if kind(source, tensor) not in ((LOGITS,) if loss else (LOG_CHANCES, CHANCES)):
            continue
        passes = [part for part in parts_followed(source, tensor) if source.is_forward(part)]
        if not any(reads_batch(source, one) for one in passes):
            continue
        yield found(
            "padding-in-the-loss",
            WARNING,
            call,
            what=f"{source.words(call)} counts the padding of a padded batch.",
            why="Nothing here leaves it out: short texts get the chances of padding besides.",
            fix="(log_chances * attention_mask[:, 1:]).sum(-1)",
        )
        return


def _uses_mask(source: Source) -> bool:
    """Tell whether a source does more with a mask than to hand it to a model."""
    for node in source.scopes:
        entry = isinstance(node, ast.Constant) and isinstance(node.value, str)
        words = node.value if entry else last_name(node)
        if "mask" not in words:
            continue
        if not isinstance(source.parents[node], ast.keyword | ast.Subscript):
            return True
        if isinstance(source.parents[node], ast.Subscript):
            outer = source.parents[source.parents[node]]
            if not isinstance(outer, ast.keyword):
                return True
    return False


def _same_as_ids(call: ast.Call, labels: ast.AST) -> bool:
    ids = _ids(call)
    return ids is not None and ast.unparse(ids) == ast.unparse(labels)


@in_the_source(
    "labels-shifted-twice",
    severities=(ERROR,),
    how_sure="Likely where only the source was read: the ids are cut, and so are the labels.",
)
def labels_shifted_twice(source: Source) -> Iterator[Finding]:
    """Ids without their last, and labels without their first."""
    for call in source.calls:
        labels = keyword(call, "labels")
        ids = _ids(call) if labels is not None and source.is_forward(call) else None
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
    while isinstance(value, ast.Call) and name_of(value) in ("contiguous", "clone", "to"):
        value = followed(source, owner_of(value))
    if isinstance(value, ast.Call) and name_of(value) == "roll" and tensor_of(value) is not None:
        by = [ast.unparse(one) for one in (*value.args, *(each.value for each in value.keywords))]
        return (ast.unparse(tensor_of(value)), "rolled") if "-1" in by else None
    if not isinstance(value, ast.Subscript):
        return None
    part = value.slice.elts[-1] if isinstance(value.slice, ast.Tuple) else value.slice
    return ast.unparse(value.value), ast.unparse(part).replace(" ", "")


@in_the_source(
    "one-row-ends-all",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="In a batch most texts break off; one by one they are whole.",
    cause="""
        The loop ends when any row has written its end, or when the first has. The other rows are
        in the middle of their text.
    """,
    fix="Remember which rows have ended, and stop when all have.",
    example="""
        ended |= token[:, 0] == eos
        if ended.all():
            break
    """,
    how_sure="Likely: only the source was read, where the loop breaks and its rows are several.",
)
def one_row_ends_all(source: Source) -> Iterator[Finding]:
    """A batch stops at the first end of a row."""
    for call in source.calls:
        loop = next(
            (one for one in source.above(call) if isinstance(one, ast.For | ast.While)), None
        )
        if loop is None or not source.is_forward(call) or not has_rows(source, call):
            continue
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        for node in inside:
            if not isinstance(node, ast.If) or not isinstance(
                node.body[-1], ast.Break | ast.Return
            ):
                continue
            if not _END.search(ast.unparse(node.test)) or not _asks_one_row(node.test):
                continue
            yield found(
                "one-row-ends-all",
                WARNING,
                node,
                what=f"The loop stops at {source.words(node.test)}: when one row has ended.",
                why="The other rows break off wherever they are.",
                fix="ended |= token == eos; if ended.all(): break",
            )
            return


def _asks_one_row(test: ast.AST) -> bool:
    """Tell whether a condition is about any row, `(t == eos).any()`, or about the first."""
    if isinstance(test, ast.BoolOp):
        return any(map(_asks_one_row, test.values))
    if isinstance(test, ast.Call) and name_of(test) in ("bool", "item") and not _inner_is_all(test):
        return _asks_one_row(test.args[0] if test.args else owner_of(test))
    if isinstance(test, ast.Call) and name_of(test) == "any":
        return True
    if isinstance(test, ast.Compare):
        if _counts_any(test):
            return True
        if isinstance(test.ops[0], ast.In):
            if _END.search(ast.unparse(test.left)) and isinstance(test.comparators[0], ast.Name):
                return True
            return any(
                isinstance(one, ast.Call) and name_of(one) == "tolist" for one in ast.walk(test)
            )
        left = test.left
        while isinstance(left, ast.Call) and name_of(left) == "item":
            left = owner_of(left)
        return isinstance(left, ast.Subscript) and ast.unparse(left.slice).strip("()")[:1] == "0"
    return False


def _counts_any(test: ast.Compare) -> bool:
    """Tell whether a condition is `(t == eos).sum() > 0`."""
    left, number = test.left, test.comparators[0]
    while isinstance(left, ast.Call) and name_of(left) == "item":
        left = owner_of(left)
    least = isinstance(number, ast.Constant) and (type(test.ops[0]), number.value)
    counts = isinstance(left, ast.Call) and name_of(left) == "sum"
    return counts and least in ((ast.Gt, 0), (ast.GtE, 1), (ast.NotEq, 0))


def _inner_is_all(test: ast.Call) -> bool:
    return any(isinstance(one, ast.Call) and name_of(one) == "all" for one in ast.walk(test))


@in_the_source(
    "cache-of-another-prompt",
    severities=(ERROR,),
    how_sure="Likely where only the source was read: each turn tokenizes a text of its own.",
)
def cache_of_another_prompt(source: Source) -> Iterator[Finding]:
    """One cache for the forward passes of several prompts."""
    yield from _cache_of_a_function(source)
    yield from _filled_cache_of_a_loop(source)
    yield from _filled_cache_twice(source)
    for call in source.calls:
        past = keyword(call, "past_key_values")
        if not isinstance(past, ast.Name) or not source.is_forward(call):
            continue
        loops = [one for one in source.above(call) if isinstance(one, ast.For)]
        if not loops:
            continue
        outer = loops[-1]
        inside = [node for statement in outer.body for node in ast.walk(statement)]
        if not _reads_anew(source, outer, inside) or _is_emptied(inside, past.id):
            continue
        if any(isinstance(one, ast.Call) and name_of(one) in _CUTS for one in inside):
            continue
        if not _begins_before(source, past, outer, inside) or _keeps_a_chat(inside):
            continue
        yield found(
            "cache-of-another-prompt",
            ERROR,
            call,
            what=f"{past.id} is made before the loop, and each prompt of the loop goes on from it.",
            why="It still holds the prompts and answers of the turns before.",
            fix=f"{past.id} = DynamicCache()  # or None, in each turn",
        )
        return


_CONTINUES = re.compile(
    r"choice|option|answer|cand|question|query|suffix|contin|label|prompt", re.I
)


def _filled_cache_of_a_loop(source: Source) -> Iterator[Finding]:
    """Yield where each turn of a loop goes on from a prefix's cache, which grows in place."""
    for call in source.calls:
        past = keyword(call, "past_key_values")
        if past is None or not source.is_forward(call):
            continue
        loop = next((one for one in source.above(call) if isinstance(one, ast.For)), None)
        if loop is None or not _is_of_a_pass_before(source, past, loop):
            continue
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        if any(isinstance(one, ast.Call) and name_of(one) in _CUTS for one in inside):
            continue
        own = {name_at(part) for part in ast.walk(loop.target)} - {""}
        named = any(map(_CONTINUES.search, own)) or _reads_anew(source, loop, inside)
        given = own | {name for node in inside for name in _stored_names(node)}
        renewed = name_at(past) in given or any(_is_cache(one) for one in inside if one is not past)
        if not named or renewed or _keeps_a_chat(inside):
            continue
        yield _grows_in_place(source, call, past, "each turn of the loop goes on from it")
        return


def _stored_names(node: ast.AST) -> list[str]:
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


def _is_of_a_pass_before(source: Source, past: ast.AST, loop: ast.For) -> bool:
    """Tell whether a cache is that of a pass above a loop: `out.past_key_values`, or its name."""
    value = followed(source, past) if isinstance(past, ast.Name) else past
    if not _is_cache(value):
        return False
    made = followed(source, value.value)
    return source.is_forward(made) and made.lineno < loop.lineno


def _filled_cache_twice(source: Source) -> Iterator[Finding]:
    """Yield where two calls, one after the other, go on from the same pass's cache."""
    if any(isinstance(one, ast.Call) and name_of(one) in _CUTS for one in source.scopes):
        return
    used: dict[tuple, ast.Call] = {}
    for call in source.calls:
        given = [*call.args, *(each.value for each in call.keywords)]
        for past in given:
            if not _is_cache(past) or not isinstance(past.value, ast.Name):
                continue
            made = followed(source, past.value)
            key = (source.scopes[call], made)
            above = source.parents.get(call)
            again = isinstance(above, ast.Assign) and _gives(above, past.value.id)
            if not isinstance(made, ast.Call) or again or not _reads_cache(source, call):
                continue
            if key in used and _follows(source, used[key], call):
                yield _grows_in_place(source, call, past, "a call before this one went on from it")
                return
            used.setdefault(key, call)


def _reads_cache(source: Source, call: ast.Call) -> bool:
    """Tell whether a call is a pass, or of a function of the source that makes one with a cache."""
    if source.is_forward(call) or source.is_generate(call):
        return True
    bodies = [one for one in source.scopes if isinstance(one, ast.FunctionDef)]
    bodies = [one for one in bodies if name_at(call.func) == one.name]
    inner = [one for body in bodies for one in ast.walk(body) if isinstance(one, ast.Call)]
    return any(
        keyword(one, "past_key_values") is not None
        and (source.is_forward(one) or source.is_generate(one))
        for one in inner
    )


def _follows(source: Source, first: ast.Call, second: ast.Call) -> bool:
    """Tell whether two calls are not in two arms of an `if`."""
    arms = [one for one in source.above(first) if isinstance(one, ast.If)]
    return not any(one in arms for one in source.above(second))


def _grows_in_place(source: Source, call: ast.Call, past: ast.AST, where: str) -> Finding:
    words = source.words(past)
    return found(
        "cache-of-another-prompt",
        ERROR,
        call,
        what=f"{words} is filled already, and {where}: a cache grows in place.",
        why="It then holds the tokens of the continuation before too: a copy would not.",
        fix=f"past_key_values=copy.deepcopy({words})",
    )


def _cache_of_a_function(source: Source) -> Iterator[Finding]:
    """Yield where a function that tokenizes its argument goes on from a cache made outside."""
    for call in source.calls:
        past = keyword(call, "past_key_values")
        scope = source.scopes[call]
        if not isinstance(past, ast.Name) or not isinstance(scope.node, ast.FunctionDef):
            continue
        if not source.is_forward(call) and not source.is_generate(call):
            continue
        default = _default_of(scope.node, past.id)
        outside = None if past.id in scope.bound else source.value(past)
        made = default if default is not None else outside
        if not isinstance(made, ast.Call) or not name_of(made).endswith("Cache"):
            continue
        if not _tokenizes_an_argument(source, scope) or _keeps_a_chat(scope.nodes):
            continue
        cut = any(isinstance(one, ast.Call) and name_of(one) in _CUTS for one in source.scopes)
        if cut or (default is None and not _is_called_again(source, scope.node.name)):
            continue
        yield found(
            "cache-of-another-prompt",
            ERROR,
            call,
            what=f"{past.id} is made once, and each call of {scope.node.name} goes on from it.",
            why="It still holds the prompts and answers of the calls before.",
            fix=f"{past.id} = DynamicCache()  # in the function",
        )
        return


def _default_of(function: ast.FunctionDef, name: str) -> ast.AST | None:
    """Return an argument's default."""
    every = [*function.args.posonlyargs, *function.args.args]
    pairs = list(zip(reversed(every), reversed(function.args.defaults), strict=False))
    pairs += list(zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True))
    return next((value for one, value in pairs if one.arg == name), None)


def _tokenizes_an_argument(source: Source, scope: Scope) -> bool:
    arguments = {one.arg for one in ast.walk(scope.node.args) if isinstance(one, ast.arg)}
    calls = [one for one in scope.nodes if isinstance(one, ast.Call)]
    tokenized = [one for one in calls if source.is_tokenizer(one.func)]
    return any(arguments & {name_at(part) for part in ast.walk(call)} for call in tokenized)


def _is_called_again(source: Source, name: str) -> bool:
    """Tell whether a function is called twice, or in a loop."""
    calls = [call for call in source.calls if name_at(call.func) == name]
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.DictComp)
    return len(calls) > 1 or any(
        isinstance(above, loops) for call in calls for above in source.above(call)
    )


def _reads_anew(source: Source, loop: ast.For, inside: list[ast.AST]) -> bool:
    """Tell whether each turn of a loop tokenizes its own variable."""
    own = {name_at(part) for part in ast.walk(loop.target)} - {""}
    tokenized = [
        one for one in inside if isinstance(one, ast.Call) and source.is_tokenizer(one.func)
    ]
    return any(own & {name_at(part) for part in ast.walk(call)} for call in tokenized)


def _begins_before(source: Source, past: ast.Name, loop: ast.For, inside: list) -> bool:
    """Tell whether a cache begins above a loop: as None or a new one, and not within it."""
    for node in source.scopes[past].nodes:
        if node in inside or not _gives(node, past.id) or node.lineno >= loop.lineno:
            continue
        value = node.value
        empty = isinstance(value, ast.Constant) and value.value is None
        if empty or (isinstance(value, ast.Call) and name_of(value).endswith("Cache")):
            return True
    return False


def _keeps_a_chat(inside: list[ast.AST]) -> bool:
    """Tell whether a loop's turns belong together: messages or a mask that grow."""
    for node in inside:
        name, words = (name_of(node), ast.unparse(node)) if isinstance(node, ast.Call) else ("", "")
        adds = name in ("append", "extend") and re.search(r"messages|history|chat|turns", words)
        if adds or name == "get_seq_length" or (name in _JOINS and "mask" in words):
            return True
    return False


@in_the_source(
    "end-never-matches",
    subject=Subject.ENDS,
    severities=(ERROR,),
    symptom="A loop written by hand runs until its limit, though it looks for the end.",
    cause="""
        A chosen token is a number or a tensor; `eos_token` is a text, and `is` asks whether two are
        one object. Neither is ever true.
    """,
    fix="Compare ids, with `==`.",
    example="""
        if token.item() == tokenizer.eos_token_id:
            break
    """,
    how_sure="Likely: only the source was read, where what is compared was chosen by its id.",
)
def end_never_matches(source: Source) -> Iterator[Finding]:
    """A token's id is compared with the end's text, or by identity."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or len(node.comparators) != 1:
            continue
        sides = [node.left, node.comparators[0]]
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            yield from _id_among_texts(source, node)
            continue
        same = isinstance(node.ops[0], ast.Is | ast.IsNot)
        ends = [one for one in sides if last_name(one) in ("eos_token", "eos_token_id")]
        others = [one for one in sides if one not in ends]
        if len(ends) != 1 or not isinstance(node.ops[0], ast.Is | ast.IsNot | ast.Eq | ast.NotEq):
            continue
        text = last_name(ends[0]) == "eos_token"
        if not (text or same) or not _is_chosen(source, others[0]):
            continue
        words = source.words(others[0])
        yield found(
            "end-never-matches",
            ERROR,
            node,
            what=f"{source.words(node)} compares a token's id with a text."
            if text
            else f"{source.words(node)} asks whether two are one object, not whether they agree.",
            why="It is never so, and the loop runs until its limit.",
            fix=f"{words} == tokenizer.eos_token_id",
        )


def _id_among_texts(source: Source, node: ast.Compare) -> Iterator[Finding]:
    """Yield where an id is looked for among texts: `token in ["</s>"]`."""
    texts = followed(source, node.comparators[0])
    elements = getattr(texts, "elts", [])
    known = [
        (isinstance(one, ast.Constant) and isinstance(one.value, str))
        or last_name(one) in ("eos_token", "pad_token")
        for one in elements
    ]
    if not known or not all(known) or not _is_chosen(source, node.left):
        return
    yield found(
        "end-never-matches",
        ERROR,
        node,
        what=f"{source.words(node)} looks for a token's id among texts.",
        why="It is never among them, and the loop runs until its limit.",
        fix=f"{source.words(node.left)} in tokenizer.convert_tokens_to_ids(...)",
    )


def _is_chosen(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a token that was chosen, as an id."""
    value = followed(source, node)
    while isinstance(value, ast.Call) and name_of(value) in ("item", "squeeze", "int", "cpu"):
        inner = owner_of(value) if owner_of(value) is not value.func else value.args[0]
        value = followed(source, inner)
    return isinstance(value, ast.Call) and name_of(value) in ("argmax", "multinomial")


@in_the_source(
    "lens-without-norm",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Layers seem to predict nonsense until the last one.",
    cause="""
        `lm_head` reads what the model's last norm gives. The hidden states of the layers below have
        not been through it; the last of `hidden_states` has.
    """,
    fix="Put them through the norm first, all but the last.",
    example="logits = model.lm_head(model.model.norm(hidden))",
    how_sure="Likely: only the source was read, where no norm is named.",
)
def lens_without_norm(source: Source) -> Iterator[Finding]:
    """Hidden states of each layer go into the head as they are."""
    if re.search(r"norm\b|ln_f|layernorm", source.text, re.IGNORECASE):
        return
    for call in source.calls:
        head = call.func.func if isinstance(call.func, ast.Call) else call.func
        if (
            last_name(head) not in ("lm_head", "get_output_embeddings", "embed_out")
            or not call.args
        ):
            continue
        if not _of_a_layer(source, call.args[0]):
            continue
        yield found(
            "lens-without-norm",
            WARNING,
            call,
            what=f"{source.words(call)} reads a layer's hidden states without the last norm.",
            why="The head was trained on what that norm gives: its numbers mean little here.",
            fix="model.lm_head(model.model.norm(hidden))  # ln_f in GPT-2",
        )
        return


def _of_a_layer(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is made of the hidden states of some layer, not the last."""
    for part in parts_followed(source, node):
        if isinstance(part, ast.Attribute) and part.attr == "hidden_states":
            return "hidden_states[-1]" not in source.text
    return False


@in_the_source(
    "norm-twice",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="A lens at the last layer does not agree with the model's own logits.",
    cause="""
        The last entry of `hidden_states` has been through the model's last norm already. The norm
        once more gives other logits than the model's.
    """,
    fix="Give the last entry to the head as it is.",
    example="""
        logits = model.lm_head(out.hidden_states[-1])  # the others: through the norm
    """,
    how_sure="""
        Likely: only the source was read. A warning where the last entry is named, a note where a
        loop puts all of them through the norm.
    """,
)
def norm_twice(source: Source) -> Iterator[Finding]:
    """The last hidden states go through the last norm again."""
    for call in source.calls:
        if last_name(call.func) not in _LAST_NORMS or len(call.args) != 1:
            continue
        if not any(source.is_model(one) for one in ast.walk(call.func)):
            continue
        last, all_of_them = _of_the_last(source, call.args[0])
        if not last and not all_of_them:
            continue
        yield found(
            "norm-twice",
            WARNING if last else NOTE,
            call,
            what=f"{source.words(call)} puts the last hidden states through the last norm again.",
            why="hidden_states[-1] has been through it: the logits are not the model's own."
            if last
            else "The last of hidden_states has been through it; the layers below have not.",
            fix="model.lm_head(out.hidden_states[-1])  # without the norm",
        )
        return


_LAST_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm")


def _of_the_last(source: Source, node: ast.AST) -> tuple[bool, bool]:
    """Tell whether an expression is of the last hidden states, or of all in a loop."""
    for _ in range(8):
        node = followed(source, node)
        if not isinstance(node, ast.Subscript):
            break
        held = followed(source, node.value)
        if isinstance(held, ast.Attribute) and held.attr == "hidden_states":
            if not source.is_forward(followed(source, held.value)):
                return False, False
            index = ast.unparse(node.slice)
            return index == "-1", index == "0" and "hidden_states[0]" not in source.text
        node = node.value
    return False, False


@in_the_source(
    "mean-over-padding",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="A text's vector, or its mean chance, depends on the other texts of its batch.",
    cause="A mean over all places of a padded batch counts those of the padding too.",
    fix="Weight the places with the mask.",
    example="""
        mask = attention_mask[..., None]
        vectors = (hidden * mask).sum(1) / mask.sum(1)
    """,
    how_sure="Likely: only the source was read, where rows are padded and no mask is used.",
)
def mean_over_padding(source: Source) -> Iterator[Finding]:
    """A mean over the places of padded rows."""
    if _uses_mask(source):
        return
    for call in source.calls:
        tensor = tensor_of(call) if name_of(call) == "mean" else None
        if tensor is None or axis(source, tensor, dimension(call, 0)) != PLACE:
            continue
        passes = [part for part in parts_followed(source, tensor) if source.is_forward(part)]
        if not any(reads_batch(source, one) for one in passes):
            continue
        words = source.words(tensor)
        yield found(
            "mean-over-padding",
            WARNING,
            call,
            what=f"{source.words(call)} is a mean over all places, and the rows are padded.",
            why="The longer the batch's longest text, the more padding the others' means hold.",
            fix=f"({words} * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)",
        )
        return

"""Caches in loops by hand: beside a text that they hold, of another text, in another order."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.functions import are_repeated, defaults_of
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Scope,
    Source,
    ids_of,
    is_none,
    keyword,
    last_name,
    name_of,
    owner_of,
    values_given,
)
from llmcourse.doctor.static.reading.tensors import axes
from llmcourse.doctor.subject import Subject

_JOINS = ("cat", "concat", "hstack")
_CUTS = ("crop", "reset", "deepcopy", "batch_select_indices", "from_legacy_cache")
_OF_A_CACHE = re.compile(r"past|cache|kv|layer|reorder", re.IGNORECASE)
_KEEPS_PLACES = re.compile(r"rotat|rotary|rope|position_ids|cache_position", re.IGNORECASE)
_HELD = ("keys", "values", "key", "value", "key_cache", "value_cache", "k", "v")


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
        past, ids = keyword(call, "past_key_values"), ids_of(call)
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
        cut = any(name_of(node) in _CUTS for node in inside)
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


def _gives(node: ast.AST, name: str) -> bool:
    """Tell whether a statement gives a value to a name alone."""
    return isinstance(node, ast.Assign) and [name_at(one) for one in node.targets] == [name]


def _grows(node: ast.Assign, name: str, inside: list[ast.AST]) -> bool:
    """Tell whether a name gets itself and more, or all of a list to which a loop appends."""
    if _joins(node.value, name):
        return True
    makes = name_of(node.value) in ("tensor", "LongTensor")
    parts = list(ast.walk(node.value)) if makes else []
    if any(isinstance(part, ast.Subscript) for part in parts):
        return False
    lists = {name_at(part) for part in parts} - {""}
    appends = [one for one in inside if name_of(one) == "append"]
    return any(name_at(owner_of(one)) in lists for one in appends)


def _fills(node: ast.AST, name: str, call: ast.Call) -> bool:
    """Tell whether a statement gives a pass's cache to a name."""
    if _gives(node, name):
        return _is_cache(node.value)
    given = node.targets[0] if isinstance(node, ast.Assign) and node.value is call else None
    return name in [name_at(one) for one in getattr(given, "elts", ())]


def _joins(value: ast.AST, name: str) -> bool:
    calls = [one for one in ast.walk(value) if name_of(one) in _JOINS]
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
    if any(name_of(one) in _CUTS for one in source.scopes):
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
    ids = ids_of(call)
    value = None if ids is None else followed(source, ids)
    return name_of(value) in _JOINS


def _taken_within(source: Source, made: ast.Call) -> ast.AST | None:
    """Return where a token is chosen at a place that is counted, not the last, of a pass."""
    for node in source.scopes:
        if name_of(node) not in ("argmax", "multinomial"):
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
        if any(name_of(one) in _CUTS for one in inside):
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
        if any(name_of(one) in _CUTS for one in inside):
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
    if any(name_of(one) in _CUTS for one in source.scopes):
        return
    used: dict[tuple, ast.Call] = {}
    for call in source.calls:
        given = values_given(call)
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
        default = defaults_of(scope.node).get(past.id)
        outside = None if past.id in scope.bound else source.value(past)
        made = default if default is not None else outside
        if not isinstance(made, ast.Call) or not name_of(made).endswith("Cache"):
            continue
        if not _tokenizes_an_argument(source, scope) or _keeps_a_chat(scope.nodes):
            continue
        cut = any(name_of(one) in _CUTS for one in source.scopes)
        calls = [one for one in source.calls if name_at(one.func) == scope.node.name]
        if cut or (default is None and not are_repeated(source, calls)):
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


def _tokenizes_an_argument(source: Source, scope: Scope) -> bool:
    arguments = {one.arg for one in ast.walk(scope.node.args) if isinstance(one, ast.arg)}
    calls = [one for one in scope.nodes if isinstance(one, ast.Call)]
    tokenized = [one for one in calls if source.is_tokenizer(one.func)]
    return any(arguments & {name_at(part) for part in ast.walk(call)} for call in tokenized)


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
        empty = is_none(value)
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
            if parent is None or _takes_caches_along(inside, parent):
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
        elif name_of(part) == "index_select" and part.args:
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
    return name_of(value) in ("div", "floor_divide")


def _takes_caches_along(inside: list[ast.AST], parent: str) -> bool:
    """Tell whether anything of a cache is taken from the parents."""
    kinds = (ast.Call, ast.Subscript, ast.ListComp, ast.GeneratorExp, ast.For, ast.Attribute)
    words = [ast.unparse(node) for node in inside if isinstance(node, kinds)]
    named = re.compile(rf"\b{re.escape(parent)}\b")
    return any(named.search(one) and _OF_A_CACHE.search(one) for one in words)


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

"""Logits processors of one's own: which rows and tokens they change, and what they return."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.classes import Written, written
from llmcourse.doctor.static.reading.fields import index_chain
from llmcourse.doctor.static.reading.following import followed, name_at
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_true, keyword, last_name, name_of
from llmcourse.doctor.static.reading.tensors import CHANCES, LOGITS, kind
from llmcourse.doctor.subject import Subject

_TOKENS = re.compile(
    r"(^|_)(tok|id|ids|token|tokens|word|words)(_|s?$)|token_?id|ban|allow|bad|eos"
)
_INFINITE = re.compile(r"^(float\(['\"]\+?inf(inity)?['\"]\)|(torch|math|np|numpy)\.inf)$")
_MASKS = re.compile(r"mask|keep|drop|bool|remove", re.IGNORECASE)
_SEVERAL = re.compile(r"s$|allow|list|valid", re.IGNORECASE)


@in_the_source(
    "processor-of-one-row",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely: only the source was read. A note where no call of several rows is seen there.
    """,
)
def processor_of_one_row(source: Source) -> Iterator[Finding]:
    """Only the scores, or the ids, of row 0 are looked at."""
    for one in _processors(source):
        node = _of_first_row(one)
        if node is None:
            continue
        several = _has_several_rows(source)
        yield found(
            "processor-of-one-row",
            WARNING if several else NOTE,
            node,
            what=f"{source.words(node)} is of row 0 alone: {one.node.name} leaves the other rows "
            "of the batch out.",
            why="A processor gets the scores of all rows: prompts, beams and returned sequences.",
            fix=f"for row, ids in enumerate({one.ids}): {one.scores}[row, ...] = ...",
        )


def _processors(source: Source) -> Iterator[Written]:
    """Yield the processors that a source defines, with ids and scores by name."""
    yield from (one for one in written(source) if one.is_processor and one.scores and one.ids)


def _of_first_row(one: Written) -> ast.AST | None:
    """Return where row 0 is written or looked at, in a processor that has no other rows."""
    inside = list(ast.walk(one.call))
    if _KNOWS_ROWS.search(ast.unparse(one.node)):
        return None
    if any(
        isinstance(node, ast.For | ast.comprehension) and _is_over_rows(one, node.iter)
        for node in inside
    ):
        return None
    for node in inside:
        if not isinstance(node, ast.Subscript):
            continue
        base, parts = index_chain(node)
        zero = bool(parts) and isinstance(parts[0], ast.Constant) and parts[0].value == 0
        stored = isinstance(node.ctx, ast.Store) and name_at(base) == one.scores
        read = isinstance(node.ctx, ast.Load) and name_at(base) == one.ids
        if zero and (stored or read):
            return node
    return None


_KNOWS_ROWS = re.compile(r"batch|\.n?dim\b|shape\[0\]|num_beams", re.IGNORECASE)


def _is_over_rows(one: Written, through: ast.AST) -> bool:
    """Tell whether a loop goes through the rows: the ids, the scores, or their number."""
    text = ast.unparse(through)
    whole = re.compile(rf"\b({re.escape(one.ids)}|{re.escape(one.scores)})\b(?!\[0)")
    return bool(whole.search(text)) or "batch" in text


def _has_several_rows(source: Source) -> bool:
    """Tell whether a source pads a batch, searches with beams, or wants several sequences."""
    for call in source.calls:
        if is_true(keyword(call, "padding")):
            return True
        for name in ("num_beams", "num_return_sequences"):
            if source.is_above_one(keyword(call, name)):
                return True
    return False


@in_the_source(
    "processor-picks-rows",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="An IndexError, or nothing is banned and all scores of a text are -inf.",
    cause="""
        `scores` is (rows, vocabulary): the first index picks rows, the last one tokens. Token ids
        as the first index pick rows by the tokens' numbers. So does `input_ids[-1]`: it is the last
        row, not the last token.
    """,
    fix="Write a colon for the rows.",
    example="""
        scores[:, self.banned] = -float("inf")
        last = input_ids[:, -1]
    """,
    how_sure="Likely: only the source was read; that ids of tokens are meant is in their name.",
)
def processor_picks_rows(source: Source) -> Iterator[Finding]:
    """Token ids, or the last place, stand where the rows' index is."""
    for one in written(source):
        node = next(_picks_rows(source, one), None)
        if node is None:
            continue
        inner = source.words(node.slice)
        base = source.words(node.value)
        of_ids = name_at(node.value) == one.ids
        yield found(
            "processor-picks-rows",
            ERROR,
            node,
            what=f"{source.words(node)} picks "
            + (
                "the last row of the batch, not its last token."
                if of_ids
                else "rows of the batch, not tokens of the vocabulary."
            ),
            why="The first index is of the rows; the last one is of places, or of the vocabulary.",
            fix=f"{base}[:, {inner}]",
        )


def _picks_rows(source: Source, one: Written) -> Iterator[ast.Subscript]:
    for node in ast.walk(one.call):
        if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Tuple):
            continue
        if name_at(node.value) == one.ids and _is_last(node.slice):
            picks = not isinstance(source.parents.get(node), ast.Subscript)
        else:
            of_scores = one.is_processor and name_at(node.value) == one.scores != ""
            picks = of_scores and isinstance(node.ctx, ast.Store)
            picks = picks and _is_of_tokens(source, node.slice)
        if picks:
            yield node


def _is_last(node: ast.AST) -> bool:
    """Tell whether an index is -1, or a slice from a place before the end on."""
    lower = node.lower if isinstance(node, ast.Slice) else node
    negative = isinstance(lower, ast.UnaryOp) and isinstance(lower.op, ast.USub)
    return negative and (not isinstance(node, ast.Slice) or node.upper is None)


def _is_of_tokens(source: Source, node: ast.AST) -> bool:
    """Tell whether an index is ids of tokens, by its name; a mask, or a row's number, is none."""
    if not isinstance(node, ast.Name | ast.Attribute) or _MASKS.search(last_name(node)):
        return False
    value = followed(source, node)
    if isinstance(value, ast.Compare | ast.BinOp | ast.UnaryOp) or _counts_rows(source, node):
        return False
    return bool(_TOKENS.search(last_name(node)))


def _counts_rows(source: Source, node: ast.AST) -> bool:
    """Tell whether a name is a loop's number: that of a `range` or an `enumerate`."""
    for above in source.above(node):
        if not isinstance(above, ast.For):
            continue
        first = getattr(above.target, "elts", [above.target])[0]
        counted = isinstance(above.iter, ast.Call) and last_name(above.iter.func) in (
            "range",
            "enumerate",
        )
        if counted and name_at(first) == name_at(node):
            return True
    return False


@in_the_source(
    "processor-returns-no-scores",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where what is returned can be followed.",
)
def processor_returns_no_scores(source: Source) -> Iterator[Finding]:
    """A processor returns probabilities, or its mask."""
    for one in _processors(source):
        for node in ast.walk(one.call):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            chances = kind(source, node.value) == CHANCES
            if not chances and not _is_bare_mask(source, one, node.value):
                continue
            words = source.words(node.value)
            yield found(
                "processor-returns-no-scores",
                WARNING,
                node,
                what=f"{one.node.name} returns {words}, which is "
                + (
                    "probabilities after a softmax, not logits."
                    if chances
                    else "the mask alone, without the model's scores."
                ),
                why="generate does the softmax itself: a second one makes tokens almost alike."
                if chances
                else "All allowed tokens are equally likely then, whatever the model says.",
                fix=f"return {words}.log()" if chances else f"return {one.scores} + {words}",
            )
            break


def _is_bare_mask(source: Source, one: Written, node: ast.AST) -> bool:
    """Tell whether a name is a tensor of -inf in which allowed tokens were set to a number."""
    if not isinstance(node, ast.Name) or node.id == one.scores:
        return False
    made = followed(source, node)
    if name_of(made) not in ("full_like", "full"):
        return False
    stores = [
        part
        for part in ast.walk(one.call)
        if isinstance(part, ast.Assign)
        and isinstance(part.targets[0], ast.Subscript)
        and name_at(part.targets[0].value) == node.id
    ]
    fixed = [isinstance(part.value, ast.Constant | ast.UnaryOp) for part in stores]
    several = [bool(_SEVERAL.search(_last_of(part.targets[0]))) for part in stores]
    return bool(stores) and all(fixed) and any(several)


def _last_of(node: ast.Subscript) -> str:
    """Return the name of the last index: `ids` of `mask[:, self.ids]`."""
    last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
    return last_name(last)


@in_the_source(
    "processor-changes-a-copy",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="A logits processor changes nothing.",
    cause="""
        The scores were copied, the copy was changed, and the scores themselves are returned, as
        they were.
    """,
    fix="Return the copy.",
    example="""
        new = scores.clone()
        new[:, self.banned] = -float("inf")
        return new
    """,
    how_sure="Likely: only the source was read, where nothing else reads the copy.",
)
def processor_changes_a_copy(source: Source) -> Iterator[Finding]:
    """A copy of the scores is changed, and dropped."""
    for one in _processors(source):
        for node in ast.walk(one.call):
            copy = _copied(one, node)
            if copy is None or _is_read(one, copy) or not _is_written(one, copy):
                continue
            yield found(
                "processor-changes-a-copy",
                WARNING,
                node,
                what=f"{copy} is a copy of the scores, is changed, and {one.scores} is returned.",
                why="Nothing that was done to the copy reaches generate.",
                fix=f"return {copy}",
            )
            break


def _copied(one: Written, node: ast.AST) -> str | None:
    """Return the name that a copy of the scores gets: `new = scores.clone()`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return None
    call = node.value
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    given = [owner, *call.args]
    copies = name_of(call) in ("clone", "copy", "deepcopy")
    from_scores = copies and any(name_at(part) == one.scores for part in given if part is not None)
    name = name_at(node.targets[0])
    return name if from_scores and name and name != one.scores else None


def _is_read(one: Written, name: str) -> bool:
    """Tell whether a name is used otherwise than as what is stored into."""
    stored = {
        id(node.value)
        for node in ast.walk(one.call)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    return any(
        isinstance(node, ast.Name)
        and node.id == name
        and isinstance(node.ctx, ast.Load)
        and id(node) not in stored
        for node in ast.walk(one.call)
    )


def _is_written(one: Written, name: str) -> bool:
    return any(
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and name_at(node.value) == name
        for node in ast.walk(one.call)
    )


@in_the_source(
    "forced-by-infinity",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where logits are set to plus infinity.",
)
def forced_by_infinity(source: Source) -> Iterator[Finding]:
    """Logits are set to +inf."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Subscript):
            continue
        target = node.targets[0]
        base, _ = index_chain(target)
        if not _INFINITE.match(ast.unparse(node.value)) or kind(source, base) != LOGITS:
            continue
        if any(name_of(one) == "min" for one in source.calls):
            continue  # left out of a minimum
        yield found(
            "forced-by-infinity",
            WARNING,
            node,
            what=f"{source.words(node)} sets logits to +inf.",
            why="A softmax with +inf in it is nan: sampling and beams fail, probabilities are nan.",
            fix=f"{source.words(base)} with -inf for all other tokens, and 0 for this one",
        )

"""Several rows in a loop by hand: which of them have ended, and what is asked of one alone."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed
from llmcourse.doctor.static.reading.passes import has_rows
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_KEEPS = re.compile(
    r"\|=|&=|logical_(or|and)|finished|ended|\bdone\b|is_done|alive|active|masked_fill|unfinished",
    re.IGNORECASE,
)
_END = re.compile(r"eos|end_?of|im_end|eot|stop|\bend\b", re.IGNORECASE)


def _passes(source: Source) -> Iterator[tuple[ast.For | ast.While, ast.Call]]:
    """Yield the loops of forward passes over several rows."""
    for call in source.calls:
        if not source.is_forward(call):
            continue
        loops = (one for one in source.above(call) if isinstance(one, ast.For | ast.While))
        loop = next(loops, None)
        if loop is not None and has_rows(source, call):
            yield loop, call


@in_the_source(
    "ends-not-kept",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where nothing keeps from step to step which rows ended.
    """,
)
def ends_not_kept(source: Source) -> Iterator[Finding]:
    """A batch stops when all rows choose their end in one step."""
    for loop, _ in _passes(source):
        if _KEEPS.search(ast.unparse(loop)):
            continue
        for node in ast.walk(loop):
            tests = isinstance(node, ast.If) and isinstance(node.body[-1], ast.Break | ast.Return)
            if not tests or not _all_at_once(source, node.test):
                continue
            yield found(
                "ends-not-kept",
                WARNING,
                node,
                what=f"The loop stops at {source.words(node.test)}: when all rows of the batch end "
                "in the same step.",
                why="A row that chose its eos earlier goes on with more tokens behind it.",
                fix="ended |= token == eos_id; if ended.all(): break",
            )
            return


def _all_at_once(source: Source, test: ast.AST) -> bool:
    """Tell whether a condition is that all of this step's tokens are the end."""
    if name_of(test) in ("bool", "item"):
        return _all_at_once(source, test.args[0] if test.args else owner_of(test))
    if name_of(test) != "all":
        return False
    plain = last_name(owner_of(test)) == "torch"
    compared = followed(source, test.args[0] if plain and test.args else owner_of(test))
    if not isinstance(compared, ast.Compare) or not isinstance(compared.ops[0], ast.Eq):
        return False
    return bool(_END.search(ast.unparse(compared))) and _is_chosen(source, compared.left)


def _is_chosen(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is this step's tokens, as they were chosen."""
    value = followed(source, node)
    while name_of(value) in ("squeeze", "view", "flatten"):
        value = followed(source, owner_of(value))
    return name_of(value) in ("argmax", "multinomial")


@in_the_source(
    "item-of-a-batch",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    symptom="`RuntimeError: a Tensor with 2 elements cannot be converted to Scalar`.",
    cause="A batch has a token for each row in each step. `.item()` is for one number alone.",
    fix="Ask all rows, and keep which have ended.",
    example="ended |= token == tokenizer.eos_token_id",
    how_sure="Likely: only the source was read, where a batch of several texts is fed.",
)
def item_of_a_batch(source: Source) -> Iterator[Finding]:
    """`.item()` of the tokens of several rows."""
    for loop, call in _passes(source):
        for node in ast.walk(loop):
            asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if not asks or node.func.attr != "item" or not _is_chosen(source, node.func.value):
                continue
            if not _keeps_rows(source, node.func.value):
                continue
            words = source.words(node.func.value)
            yield found(
                "item-of-a-batch",
                ERROR,
                node,
                what=f"{source.words(node)} is asked of the tokens of several rows, which "
                f"{source.words(call.func)} was given.",
                why="A batch has a token for each row: item() fails for more than one.",
                fix=f"{words}.tolist()  # a token for each row",
            )
            return


def _keeps_rows(source: Source, node: ast.AST) -> bool:
    """Tell whether tokens were chosen of `logits[:, -1]`, not of one row's `logits[0, -1]`."""
    for _ in range(10):
        value = followed(source, node)
        if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Tuple):
            return isinstance(value.slice.elts[0], ast.Slice)
        if isinstance(value, ast.Subscript):
            return False
        if isinstance(value, ast.Call) and name_of(value) != "load":
            plain = last_name(owner_of(value)) in ("torch", "F", "functional")
            node = value.args[0] if plain and value.args else owner_of(value)
        elif isinstance(value, ast.BinOp):
            node = value.left
        else:
            return False
    return False


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
    if name_of(test) in ("bool", "item") and not _inner_is_all(test):
        return _asks_one_row(test.args[0] if test.args else owner_of(test))
    if name_of(test) == "any":
        return True
    if isinstance(test, ast.Compare):
        if _counts_any(test):
            return True
        if isinstance(test.ops[0], ast.In):
            if _END.search(ast.unparse(test.left)) and isinstance(test.comparators[0], ast.Name):
                return True
            return any(name_of(one) == "tolist" for one in ast.walk(test))
        left = test.left
        while name_of(left) == "item":
            left = owner_of(left)
        return isinstance(left, ast.Subscript) and ast.unparse(left.slice).strip("()")[:1] == "0"
    return False


def _counts_any(test: ast.Compare) -> bool:
    """Tell whether a condition is `(t == eos).sum() > 0`."""
    left, number = test.left, test.comparators[0]
    while name_of(left) == "item":
        left = owner_of(left)
    least = isinstance(number, ast.Constant) and (type(test.ops[0]), number.value)
    counts = name_of(left) == "sum"
    return counts and least in ((ast.Gt, 0), (ast.GtE, 1), (ast.NotEq, 0))


def _inner_is_all(test: ast.Call) -> bool:
    return any(name_of(one) == "all" for one in ast.walk(test))

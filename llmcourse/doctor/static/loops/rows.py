"""Several rows in a loop by hand: which of them have ended, and what is asked of one alone."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.static.reading.tensors import followed, has_rows
from llmcourse.doctor.subject import Subject

_END = re.compile(r"eos|end_?of|im_end|eot|stop|\bend\b", re.IGNORECASE)
_KEEPS = re.compile(
    r"\|=|&=|logical_(or|and)|finished|ended|\bdone\b|is_done|alive|active|masked_fill|unfinished",
    re.IGNORECASE,
)


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
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="Rows of a batch go on behind their end, until all of them end in the same step.",
    cause="""
        Rows end at different steps. A condition on this step's tokens alone is true only when all
        rows choose the end token at once, and a row that has ended keeps choosing tokens.
    """,
    fix="Keep which rows have ended, and give those padding.",
    example="""
        token = torch.where(ended, pad_id, token)
        ended |= token == eos_id
        if ended.all():
            break
    """,
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
    if isinstance(test, ast.Call) and name_of(test) in ("bool", "item"):
        return _all_at_once(source, test.args[0] if test.args else owner_of(test))
    if not isinstance(test, ast.Call) or name_of(test) != "all":
        return False
    plain = last_name(owner_of(test)) == "torch"
    compared = followed(source, test.args[0] if plain and test.args else owner_of(test))
    if not isinstance(compared, ast.Compare) or not isinstance(compared.ops[0], ast.Eq):
        return False
    return bool(_END.search(ast.unparse(compared))) and _is_chosen(source, compared.left)


def _is_chosen(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is this step's tokens, as they were chosen."""
    value = followed(source, node)
    while isinstance(value, ast.Call) and name_of(value) in ("squeeze", "view", "flatten"):
        value = followed(source, owner_of(value))
    return isinstance(value, ast.Call) and name_of(value) in ("argmax", "multinomial")


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

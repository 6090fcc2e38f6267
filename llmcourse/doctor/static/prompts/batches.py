"""Prompts in batches: parts that are dropped, orders that are lost."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.messages import talks
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_ASKS = ("generate", "pipe", "pipeline", "generator", "apply_chat_template")


@in_the_source(
    "last-batch-dropped",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="The last prompts have no answers, and a list of results is too short.",
    cause="""
        The number of batches is rounded down, `len(prompts) // batch_size`: what does not fill a
        batch is never given to the model. `drop_last=True` does the same.
    """,
    fix="Step through the list by the batch's size; the last batch may be smaller.",
    example="""
        for i in range(0, len(prompts), batch_size):
            batch = prompts[i : i + batch_size]
    """,
    how_sure="Likely: only the source was read, where nothing takes care of the rest.",
)
def last_batch_dropped(source: Source) -> Iterator[Finding]:
    """The prompts after the last full batch are left out."""
    for loop in source.loops:
        if not _asks(source, loop):
            continue
        if isinstance(loop, ast.While):
            lost = _while_there_is_a_whole(source, loop)
        else:
            lost = _rounded_down(source, loop) or _drops_last(source, loop)
        if lost is None:
            continue
        prompts, words = lost
        yield found(
            "last-batch-dropped",
            WARNING,
            loop,
            what=f"The loop goes through full batches alone: {words}.",
            why=f"What is left of {prompts} after the last full batch is never generated for.",
            fix=f"for i in range(0, len({prompts}), batch_size):",
        )


def _asks(source: Source, loop: ast.AST) -> bool:
    """Tell whether a loop asks a model, or tokenizes."""
    calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any(name_of(call) in _ASKS or source.is_tokenizer(call.func) for call in calls)


def _rounded_down(source: Source, loop: ast.For) -> tuple[str, str] | None:
    """Return what a loop over `range(len(x) // n)` goes through, and its range, or None."""
    through = source.value(loop.iter)
    if name_of(through) in ("tqdm", "trange") and through.args:
        inner = source.value(through.args[0])
        through = inner if name_of(through) == "tqdm" else through
    counts = isinstance(through, ast.Call) and last_name(through.func) in ("range", "trange")
    if not counts or len(through.args) != 1:
        return None
    number = source.value(through.args[0])
    if isinstance(number, ast.Call) and last_name(number.func) == "int" and number.args:
        number = source.value(number.args[0])
    whole = isinstance(number, ast.BinOp) and isinstance(number.op, ast.FloorDiv | ast.Div)
    counted = source.value(number.left) if whole else None
    if not isinstance(counted, ast.Call) or last_name(counted.func) != "len" or not counted.args:
        return None
    prompts = ast.unparse(counted.args[0])
    sliced = [
        node
        for node in source.scopes
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Slice)
        and ast.unparse(node.value) == prompts
    ]
    inside = [node for node in sliced if loop in source.above(node)]
    rest = len(sliced) > len(inside) or re.search(rf"len\({re.escape(prompts)}\)\s*%", source.text)
    return (prompts, ast.unparse(number)) if inside and not rest else None


def _while_there_is_a_whole(source: Source, loop: ast.While) -> tuple[str, str] | None:
    """Return what `while i + n <= len(x)` goes through in slices, and the test, or None."""
    test = loop.test
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.LtE | ast.Lt):
        return None
    counted = source.value(test.comparators[0])
    steps = isinstance(test.left, ast.BinOp) and isinstance(test.left.op, ast.Add)
    if not steps or not isinstance(counted, ast.Call) or last_name(counted.func) != "len":
        return None
    prompts = ast.unparse(counted.args[0]) if counted.args else ""
    sliced = [
        node
        for node in source.scopes
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Slice)
        and ast.unparse(node.value) == prompts
    ]
    inside = [node for node in sliced if loop in source.above(node)]
    return (prompts, ast.unparse(test)) if inside and len(sliced) == len(inside) else None


def _drops_last(source: Source, loop: ast.For) -> tuple[str, str] | None:
    """Return the data and the words of a loader that drops its last batch, or None."""
    made = source.value(loop.iter)
    if name_of(made) == "tqdm" and made.args:
        made = source.value(made.args[0])
    if not isinstance(made, ast.Call) or not is_true(keyword(made, "drop_last")):
        return None
    writes = any(name_of(one) == "generate" for one in ast.walk(loop) if isinstance(one, ast.Call))
    learns = any(name_of(one) in ("backward", "step") for one in ast.walk(loop))
    data = ast.unparse(made.args[0]) if made.args else "the data"
    return (data, "drop_last=True") if writes and not learns else None


@in_the_source(
    "order-not-restored",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="Answers stand beside the wrong questions, and every score is near chance.",
    cause="""
        The prompts are sorted by length, so that a batch needs little padding, and the answers come
        in that order. Paired with the prompts in their first order they belong to others.
    """,
    fix="Sort indices, and put each answer at its prompt's index.",
    example="""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        answers = [None] * len(prompts)
        for i, answer in zip(order, answers_in_order):
            answers[i] = answer
    """,
    how_sure="""
        Likely: only the source was read, where the sorted prompts are generated for, and the
        unsorted ones are paired with what came out.
    """,
)
def order_not_restored(source: Source) -> Iterator[Finding]:
    """Sorted prompts' answers are paired with the prompts as they were."""
    if not talks(source):
        return
    for call in source.calls:
        if last_name(call.func) != "zip" or len(call.args) < 2:
            continue
        paired = [last_name(one) for one in call.args]
        for name, original, loop in _sorted_and_asked(source):
            if original not in paired or name in paired or loop.lineno > call.lineno:
                continue
            filled = _filled_in(loop)
            if not any(one in filled for one in paired):
                continue
            yield found(
                "order-not-restored",
                WARNING,
                call,
                what=f"{source.words(call)} pairs {original} with answers in the order of {name}.",
                why=f"{name} was sorted: each answer stands beside another prompt than its own.",
                fix=source.words(call).replace(original, name, 1),
            )
            return


def _sorted_and_asked(source: Source) -> Iterator[tuple[str, str, ast.For]]:
    """Yield each sorted copy's name, that of what was sorted, and the loop that asks with it."""
    for loop in source.loops:
        if not isinstance(loop, ast.For) or not _asks(source, loop):
            continue
        names = {node for node in ast.walk(loop) if isinstance(node, ast.Name)}
        for node in sorted(names, key=lambda one: (one.lineno, one.col_offset)):
            made = source.value(node)
            copied = isinstance(made, ast.Call) and last_name(made.func) == "sorted"
            if copied and made.args and last_name(made.args[0]) not in ("", node.id):
                yield node.id, last_name(made.args[0]), loop


def _filled_in(loop: ast.For) -> set[str]:
    """Return the names of the lists that a loop adds to."""
    added = {ast.unparse(node.target) for node in ast.walk(loop) if isinstance(node, ast.AugAssign)}
    return added | {
        last_name(owner_of(node))
        for node in ast.walk(loop)
        if name_of(node) in ("append", "extend")
    }

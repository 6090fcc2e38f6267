"""Several answers: which row is whose prompt's, and which are never read."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked, prompts_of, rows_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of
from llmcourse.doctor.subject import Subject


@in_the_source(
    "rows-per-prompt",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="Answers stand under the wrong prompts, and the last ones are missing.",
    cause="""
        With `num_return_sequences=n` the output has n rows for each prompt, one prompt's after
        another's. Going through prompts and rows side by side pairs the second prompt with the
        first one's second answer.
    """,
    example="""
        answers = [texts[i * n : (i + 1) * n] for i in range(len(prompts))]
        for prompt, several in zip(prompts, answers, strict=True):
            print(prompt, several)
    """,
    how_sure="Likely: only the source was read, where prompts and rows are counted alike.",
)
def rows_per_prompt(source: Source) -> Iterator[Finding]:
    """Prompts beside rows, of which each prompt has several."""
    for asked in every_asked(source):
        several = source.constants(asked.given.get("num_return_sequences"))
        if (
            asked.kind != "generate"
            or not several
            or not all(isinstance(one, int) and one > 1 for one in several)
        ):
            continue
        prompts = prompts_of(source, asked)
        if not prompts:
            continue
        slices = _counted_from(source, asked, prompts)
        for node in (*_side_by_side(source, asked, prompts), *slices):
            yield found(
                "rows-per-prompt",
                ERROR,
                node,
                what=(
                    f"{prompts} and the rows are counted alike, and each prompt has {several[0]} "
                    "rows (num_return_sequences)."
                ),
                why="The second prompt gets the first one's second answer, and so on.",
                fix=f"texts[i * {several[0]} : (i + 1) * {several[0]}]  # of prompt i",
            )
            break


def _side_by_side(source: Source, asked: Asked, prompts: str) -> Iterator[ast.AST]:
    """Yield where the prompts and the call's rows are gone through together."""
    for call in source.calls:
        names = [last_name(one) for one in call.args]
        together = name_of(call) == "zip" and prompts in names
        if together and any(_is_rows(source, one, asked) for one in call.args):
            yield call
    for loop in source.loops:
        counted = isinstance(loop, ast.For) and isinstance(loop.iter, ast.Call)
        if not counted or name_of(loop.iter) != "enumerate" or not loop.iter.args:
            continue
        if not _is_rows(source, loop.iter.args[0], asked) or not isinstance(loop.target, ast.Tuple):
            continue
        place = last_name(loop.target.elts[0])
        for node in ast.walk(loop):
            taken = isinstance(node, ast.Subscript) and last_name(node.value) == prompts
            if taken and isinstance(node.slice, ast.Name) and node.slice.id == place:
                yield node


def _counted_from(source: Source, asked: Asked, prompts: str) -> Iterator[ast.AST]:
    """Yield slices of the rows that begin at a prompt's number: `rows[i : i + n]`."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
            continue
        lower, upper = node.slice.lower, node.slice.upper
        several = ast.unparse(asked.given["num_return_sequences"])
        if not isinstance(lower, ast.Name) or upper is None or node.slice.step is not None:
            continue
        if ast.unparse(upper) != f"{lower.id} + {several}" or not _is_rows(
            source, node.value, asked
        ):
            continue
        loops = [above for above in source.above(node) if _counts(above, lower.id, prompts)]
        if loops:
            yield node


def _counts(node: ast.AST, name: str, prompts: str) -> bool:
    """Tell whether a loop's variable counts prompts one by one: `range(len(prompts))`."""
    for loop in [node, *getattr(node, "generators", ())]:
        target, through = getattr(loop, "target", None), getattr(loop, "iter", None)
        if isinstance(target, ast.Name) and target.id == name and through is not None:
            return ast.unparse(through) == f"range(len({prompts}))"
    return False


def _is_rows(source: Source, node: ast.AST, asked: Asked) -> bool:
    """Tell whether an expression is a call's rows, decoded or not, none left out of them."""
    value = source.value(node)
    if name_of(value) == "batch_decode" and value.args:
        value = source.value(value.args[0])
    while isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Tuple):
        value = source.value(value.value)  # out[:, n:]
    if isinstance(value, ast.Attribute) and value.attr == "sequences":
        value = source.value(value.value)
    return source.placed(value) is asked.call


@in_the_source(
    "rows-left-unread",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="Several answers were asked for, and one is shown.",
    cause="""
        `generate` returns a row for each prompt of a batch, and as many as
        `num_return_sequences` says for each. `output[0]` is the first of them.
    """,
    fix="Go through the rows, or ask for one.",
    example="""
        for text in tokenizer.batch_decode(new, skip_special_tokens=True):
            print(text)
    """,
    how_sure="""
        Likely: only the source was read, where nothing is done with the output but with its first
        row. A note where the rows are those of a batch: a short example may show one.
    """,
)
def rows_left_unread(source: Source) -> Iterator[Finding]:
    """Several rows, of which the first alone is read."""
    for asked in every_asked(source):
        rows = rows_asked(source, asked)
        if rows and "those" in rows and len(source.generate_calls) > 1:
            continue  # a batch that is compared with its rows alone
        uses = _uses_of(source, asked.call) if rows and asked.kind == "generate" else []
        uses = [use for one in uses for use in _uses_of_texts(source, one)]
        if not uses or not all(_is_first_row(source, use) for use in uses):
            continue
        yield found(
            "rows-left-unread",
            NOTE if "those" in rows else WARNING,
            source.parents[uses[0]],
            what=f"{source.words(source.parents[uses[0]])} is read alone of several rows: {rows}.",
            why="The others were computed, and nobody reads them.",
            fix=f"for one in {source.words(uses[0])[:60]}: ...",
        )


def _uses_of(source: Source, made: ast.AST) -> list[ast.AST]:
    """Return where what a call gave is read: its names, or `.sequences` of them, or the call."""
    assigned = isinstance(source.parents.get(made), ast.Assign)
    names = [
        one
        for one in source.scopes
        if isinstance(one, ast.Name)
        and isinstance(one.ctx, ast.Load)
        and source.placed(one) is made
    ]
    uses = names if assigned else [made]
    above = [(use, source.parents.get(use)) for use in uses]
    return [
        up if isinstance(up, ast.Attribute) and up.attr == "sequences" else use for use, up in above
    ]


def _uses_of_texts(source: Source, use: ast.AST) -> list[ast.AST]:
    """Return a use of rows, or those of the texts that they are decoded to."""
    above = source.parents.get(use)
    cut = isinstance(above, ast.Subscript) and isinstance(above.slice, ast.Tuple)
    if cut and isinstance(above.slice.elts[0], ast.Slice):  # out[:, n:]
        named = isinstance(source.parents.get(above), ast.Assign)
        uses = _uses_of(source, above) if named else [above]
        return [text for one in uses for text in _uses_of_texts(source, one)]
    decoded = name_of(above) == "batch_decode"
    return (_uses_of(source, above) or [above]) if decoded else [use]


def _is_first_row(source: Source, use: ast.AST) -> bool:
    """Tell whether a use is `[0]` of it."""
    above = source.parents.get(use)
    if not isinstance(above, ast.Subscript) or above.value is not use:
        return False
    part = above.slice.elts[0] if isinstance(above.slice, ast.Tuple) else above.slice
    return isinstance(part, ast.Constant) and part.value == 0

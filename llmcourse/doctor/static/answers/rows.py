"""What was made and not used: a config, a seed, rows of several answers, rows of a criterion."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import followed, parts_followed
from llmcourse.doctor.static.rules.states import written
from llmcourse.doctor.subject import Subject

_FLATTENS = ("ravel()", "flatten()", "view(-1)", "reshape(-1)")
_MADE = re.compile(r"(Logits(Processor|Warper)|StoppingCriteria)(List)?$")
_SEEDS_OF_TORCH = (
    *("set_seed", "manual_seed", "manual_seed_all", "seed_everything", "set_random_seed"),
    *("enable_full_determinism", "fork_rng", "set_rng_state", "default_rng", "seed_all"),
)


@in_the_source(
    "config-never-used",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="Settings change nothing: neither length nor sampling is as asked.",
    cause="""
        A `GenerationConfig`, a logits processor or a stopping criterion is made and put into a
        name, and no call gets it. `generate` then works with the model's own.
    """,
    example="model.generate(**inputs, generation_config=config)",
    how_sure="Likely: only the source was read, where the name is not used again.",
)
def config_never_used(source: Source) -> Iterator[Finding]:
    """A config that nothing reads."""
    calls = [asked for asked in every_asked(source) if asked.kind != "config"]
    used = {
        node.id
        for node in source.scopes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    for call in source.calls if calls else ():
        above = source.parents[call]
        if not _is_for_a_call(source, call) or not isinstance(above, ast.Assign):
            continue
        names = [one.id for one in above.targets if isinstance(one, ast.Name)]
        if len(names) != len(above.targets) or set(names) & used or _is_exported(source, names[0]):
            continue
        yield found(
            "config-never-used",
            WARNING,
            call,
            what=f"{names[0]} is made here, and no call gets it.",
            why="generate works with the model's own settings: nothing of this one holds."
            if name_of(call) == "GenerationConfig"
            else "generate is never told of it, and goes on as if it was not there.",
            fix=f"{calls[0].words}(..., {_argument_for(source, call, names[0])})",
        )


def _is_for_a_call(source: Source, call: ast.Call) -> bool:
    """Tell whether a call makes what has no use but to be given to `generate`."""
    own = [one.node.name for one in written(source)]
    return name_of(call) in ("GenerationConfig", *own) or bool(_MADE.search(name_of(call)))


def _argument_for(source: Source, call: ast.Call, name: str) -> str:
    """Return the argument that an object is for, as it is written."""
    if name_of(call) == "GenerationConfig":
        return f"generation_config={name}"
    given = name if name_of(call).endswith("List") else f"[{name}]"
    processors = [one.node.name for one in written(source) if one.is_processor]
    processes = name_of(call) in processors or "Processor" in name_of(call)
    return f"{'logits_processor' if processes else 'stopping_criteria'}={given}"


def _is_exported(source: Source, name: str) -> bool:
    """Tell whether a name is for others: in `__all__`, global, or used in a text of code."""
    return any(
        isinstance(node, ast.Global | ast.Nonlocal) and name in node.names for node in source.scopes
    ) or (f'"{name}"' in source.text or f"'{name}'" in source.text)


@in_the_source(
    "seed-of-another-library",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="A seed is set, and each run gives another text.",
    cause="""
        `generate` draws from torch's generator. Those of Python's `random` and of NumPy have
        nothing to do with it.
    """,
    fix="Seed torch, or all of them at once.",
    example="transformers.set_seed(0)",
    how_sure="""
        Likely: only the source was read, where the call samples, one of the others is seeded and
        not drawn from, and torch is not seeded.
    """,
)
def seed_of_another_library(source: Source) -> Iterator[Finding]:
    """Python's or NumPy's generator is seeded, and the draws are torch's."""
    sampled = [asked for asked in every_asked(source) if asked.says_sampling]
    names = {name_of(call) for call in source.calls}
    if not sampled or names & set(_SEEDS_OF_TORCH):
        return
    seeds = [call for call in source.calls if _seeds_another(call)]
    if not seeds or any(_draws_from(call) for call in source.calls if call not in seeds):
        return
    yield found(
        "seed-of-another-library",
        WARNING,
        seeds[0],
        what=f"{source.words(seeds[0])} seeds a generator that generate does not draw from.",
        why="It draws from torch's: each run gives another text.",
        fix="transformers.set_seed(0)  # Python's, NumPy's and torch's",
    )


def _seeds_another(call: ast.Call) -> bool:
    owner = owner_of(call)
    return name_of(call) == "seed" and ast.unparse(owner) in ("random", "np.random", "numpy.random")


def _draws_from(call: ast.Call) -> bool:
    """Tell whether a call draws from Python's generator or NumPy's: `random.choice(...)`."""
    owner = ast.unparse(owner_of(call))
    return isinstance(call.func, ast.Attribute) and owner in ("random", "np.random", "numpy.random")


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
        prompts = _prompts_of(source, asked)
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


def _prompts_of(source: Source, asked: Asked) -> str | None:
    """Return the name of the list of texts that a call's inputs were made of."""
    for part in ast.walk(asked.call):
        value = source.placed(part) if isinstance(part, ast.Name | ast.Call) else part
        if isinstance(value, ast.Attribute | ast.Subscript):
            value = source.placed(value.value)
        if not isinstance(value, ast.Call) or not value.args:
            continue
        if source.is_tokenizer(value.func) and isinstance(value.args[0], ast.Name):
            texts = source.value(value.args[0])
            one = isinstance(texts, ast.Constant | ast.JoinedStr)
            one = one or (isinstance(texts, ast.List) and len(texts.elts) < 2)
            batch = isinstance(texts, ast.List | ast.ListComp) or is_true(keyword(value, "padding"))
            return value.args[0].id if batch and not one else None
    return None


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
    if isinstance(value, ast.Call) and name_of(value) == "batch_decode" and value.args:
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
        rows = _rows_asked(source, asked)
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


def _rows_asked(source: Source, asked: Asked) -> str | None:
    """Return why a call has several rows, in words; None where it has one, or that is unseen."""
    several = source.constants(asked.given.get("num_return_sequences"))
    if several and all(isinstance(one, int) and one > 1 for one in several):
        return f"num_return_sequences={several[0]}"
    for part in parts_followed(source, asked.call):
        if isinstance(part, ast.Call) and source.is_tokenizer(part.func) and part.args:
            texts = followed(source, part.args[0])
            if isinstance(texts, ast.List) and len(texts.elts) > 1:
                return f"those of {source.words(part.args[0])[:40]}"
    return None


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
    decoded = isinstance(above, ast.Call) and name_of(above) == "batch_decode"
    return (_uses_of(source, above) or [above]) if decoded else [use]


def _is_first_row(source: Source, use: ast.AST) -> bool:
    """Tell whether a use is `[0]` of it."""
    above = source.parents.get(use)
    if not isinstance(above, ast.Subscript) or above.value is not use:
        return False
    part = above.slice.elts[0] if isinstance(above.slice, ast.Tuple) else above.slice
    return isinstance(part, ast.Constant) and part.value == 0


@in_the_source(
    "criterion-of-one-row",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="In a batch the other answers break off as soon as the first has ended, or never do.",
    cause="""
        A criterion that looks at row 0 and returns one True or False ends all rows with it.
        `generate` takes an answer for each row.
    """,
    fix="Return a tensor with a True or False for each row.",
    example="""
        def __call__(self, input_ids, scores, **kwargs):
            return input_ids[:, -1] == self.token
    """,
    how_sure="Likely: only the source was read, where a batch is padded for such a call.",
)
def criterion_of_one_row(source: Source) -> Iterator[Finding]:
    """A criterion that looks at the first row, in a call of several."""
    classes = {one.node.name: one for one in written(source) if not one.is_processor}
    for asked in every_asked(source):
        given = source.value(asked.given.get("stopping_criteria", ast.Constant(None)))
        several = _prompts_of(source, asked) or _rows_asked(source, asked)
        if isinstance(given, ast.Constant) or several is None:
            continue
        made = [part for part in ast.walk(given) if isinstance(part, ast.Name | ast.Call)]
        names = {name_of(one) for one in map(source.value, made) if isinstance(one, ast.Call)}
        for name in names & classes.keys():
            text = ast.unparse(classes[name].call)
            ids = classes[name].ids
            first = f"{ids}[0]" in text or f"{ids}[0, " in text
            first &= "for " not in text and f"{ids}[:, " not in text
            flat = any(f"{ids}.{how}" in text for how in _FLATTENS)
            if not first and not flat and not _asks_any_row(classes[name].call, ids):
                continue
            what = f"{ids}[0]" if first else f"all rows of {ids} as one"
            yield found(
                "criterion-of-one-row",
                WARNING,
                classes[name].call,
                what=f"{name} looks at {what}, and the call has several rows.",
                why="What it says of one row ends all of them.",
                fix=f"return ...  # a True or False for each row of {ids}",
            )


def _asks_any_row(call: ast.FunctionDef, ids: str) -> bool:
    """Tell whether a criterion is true of all as soon as it is of any row."""
    for node in ast.walk(call):
        value = node.value if isinstance(node, ast.Return) else None
        while isinstance(value, ast.Call) and name_of(value) in ("bool", "item"):
            value = value.args[0] if value.args else owner_of(value)
        if value is None or f"{ids}[:, -" not in ast.unparse(value):
            continue
        listed = isinstance(value, ast.Compare) and isinstance(value.ops[0], ast.In)
        if listed and ast.unparse(value.comparators[0]).endswith("tolist()"):
            return True
        whole = isinstance(value, ast.Call) and not value.args and not value.keywords
        if whole and name_of(value) == "any":
            return True
    return False

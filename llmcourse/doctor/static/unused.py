"""What was made and not used: a config, a seed, rows of several answers, rows of a criterion."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.asked import Asked, every_asked
from llmcourse.doctor.static.classes import written
from llmcourse.doctor.static.registry import found, in_the_source
from llmcourse.doctor.static.source import Source, is_true, keyword, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

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
        A `GenerationConfig` is made and put into a name, and no call gets it. `generate` then works
        with the model's own.
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
        if name_of(call) != "GenerationConfig" or not isinstance(above, ast.Assign):
            continue
        names = [one.id for one in above.targets if isinstance(one, ast.Name)]
        if len(names) != len(above.targets) or set(names) & used or _is_exported(source, names[0]):
            continue
        yield found(
            "config-never-used",
            WARNING,
            call,
            what=f"{names[0]} is made here, and no call gets it.",
            why="generate works with the model's own settings: nothing of this one holds.",
            fix=f"{calls[0].words}(..., generation_config={names[0]})",
        )


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
        if isinstance(given, ast.Constant) or _prompts_of(source, asked) is None:
            continue
        made = [part for part in ast.walk(given) if isinstance(part, ast.Name | ast.Call)]
        names = {name_of(one) for one in map(source.value, made) if isinstance(one, ast.Call)}
        for name in names & classes.keys():
            text = ast.unparse(classes[name].call)
            ids = classes[name].ids
            first = f"{ids}[0]" in text or f"{ids}[0, " in text
            if not first or "for " in text or f"{ids}[:, " in text:
                continue
            yield found(
                "criterion-of-one-row",
                WARNING,
                classes[name].call,
                what=f"{name} looks at {ids}[0], and the call has several rows.",
                why="What it says of the first row ends all of them.",
                fix=f"return ...  # a True or False for each row of {ids}",
            )

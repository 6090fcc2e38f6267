"""What a call to `generate` shows by itself: how its inputs and lengths are passed, and a seed."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, name_of, owner_of
from llmcourse.doctor.subject import Subject

_LENGTHS = ("max_length", "max_new_tokens")
_SEEDS = ("set_seed", "manual_seed")
# What else a seed may be for: draws, noise, a shuffled data set, a training.
_DRAWS = (
    *("bernoulli", "choice", "choices", "dropout", "multinomial", "normal", "pipeline", "rand"),
    *("randint", "randn", "random", "randperm", "sample", "select", "shuffle", "train", "uniform"),
    *("train_test_split", "Trainer", "SFTTrainer"),
)


@in_the_source(
    "inputs-by-position",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`generate` fails, with an AttributeError about `shape` or a KeyError.",
    cause="""
        A tokenizer returns a dictionary of ids and mask, and so does `apply_chat_template` since
        version 5 of transformers. `generate` takes ids as its first argument, and a dictionary is
        none.
    """,
    fix="Unpack it, which passes the mask too.",
    example="model.generate(**inputs, max_new_tokens=100)",
    how_sure="Likely: only the source was read, where the name stands for a tokenizer's output.",
    explains_refusal=True,
)
def inputs_by_position(source: Source) -> Iterator[Finding]:
    """The tokenizer's output is the first argument."""
    for call in source.generate_calls:
        first = call.args[0] if call.args else None
        if first is None or not source.is_encoding(first):
            continue
        name = first.id if isinstance(first, ast.Name) else "inputs"
        yield found(
            "inputs-by-position",
            ERROR,
            call,
            what=f"{name} is a dictionary of ids and mask, and is passed as if it were ids.",
            why="generate fails: its first argument is a tensor.",
            fix=f"{source.words(call.func)}(**{name}, ...)",
        )


@in_the_source(
    "wrapper-takes-keywords",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`TypeError: generate() takes 1 positional argument but 2 were given`.",
    cause="""
        A class around a model hands on what it was given by name, `def generate(self, **kwargs)`,
        and takes nothing by position. Adapters' libraries had such wrappers too.
    """,
    fix="Give the ids by name.",
    example="wrapped.generate(input_ids=ids, attention_mask=mask, max_new_tokens=100)",
    how_sure="Likely: only the source was read, where the class and its `generate` stand.",
)
def wrapper_takes_keywords(source: Source) -> Iterator[Finding]:
    """Ids by position for a `generate` of one's own that takes keywords alone."""
    for call in source.calls:
        if name_of(call) != "generate" or not call.args:
            continue
        made = [name_of(one) for one in source.values(owner_of(call)) if isinstance(one, ast.Call)]
        name = made[-1] if made else ""
        if not _takes_keywords_alone(source, name):
            continue
        given = source.words(call.args[0])
        yield found(
            "wrapper-takes-keywords",
            ERROR,
            call,
            what=f"{given} is passed by position, and {name}.generate takes keywords alone.",
            why="The call fails with a TypeError before the model is asked.",
            fix=f"{source.words(call.func)}(input_ids={given}, ...)",
        )


def _takes_keywords_alone(source: Source, name: str) -> bool:
    """Tell whether the source has a class of this name whose `generate` takes no positions."""
    classes = (one for one in ast.walk(source.tree) if isinstance(one, ast.ClassDef))
    methods = (
        method
        for one in classes
        if one.name == name
        for method in one.body
        if isinstance(method, ast.FunctionDef) and method.name == "generate"
    )
    wanted = [method.args for method in methods]
    return bool(wanted) and all(
        one.vararg is None and len(one.posonlyargs) + len(one.args) == 1 for one in wanted
    )


@in_the_source(
    "two-lengths",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="A change of `max_length` changes nothing.",
    cause="`max_new_tokens` holds where both are given, and `max_length` is ignored.",
    fix="Give one of them.",
    example="model.generate(**inputs, max_new_tokens=100)",
    how_sure="Likely: only the source was read; both stand in the same call.",
)
def two_lengths(source: Source) -> Iterator[Finding]:
    """`max_length` and `max_new_tokens` in one call."""
    for asked in every_asked(source):
        if not all(name in asked.given for name in _LENGTHS):
            continue
        length, new = (source.words(asked.given[name]) for name in _LENGTHS)
        yield found(
            "two-lengths",
            WARNING,
            asked.call,
            what=f"Both max_length={length} and max_new_tokens={new} are given.",
            why=f"max_new_tokens holds, and max_length={length} is ignored.",
            fix=f"{asked.words}(..., max_new_tokens={new})  # without max_length",
        )


@in_the_source(
    "seed-without-sampling",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely: only the source was read. A model's own `generation_config` may set `do_sample`, and
        then the seed counts. A note where one seed is set once, as that does no harm.
    """,
)
def seed_without_sampling(source: Source) -> Iterator[Finding]:
    """A seed is set, and no call draws."""
    seeds = [call for call in source.calls if name_of(call) in _SEEDS and call.args]
    if not seeds or not source.generate_calls or _draws(source):
        return
    several = [call for call in seeds if _varies(source, call)]
    call = (several or seeds)[0]
    yield found(
        "seed-without-sampling",
        WARNING if several else NOTE,
        call,
        what=f"{source.words(call)} sets a seed, and no call here asks to sample.",
        why="Without do_sample=True nothing is drawn, so every seed gives the same text.",
        fix=f"{source.words(source.generate_calls[0].func)}(..., do_sample=True)",
    )


def _draws(source: Source) -> bool:
    """Tell whether anything may draw: a call that says so, or whose settings are not to be seen."""
    if any(name_of(call) in _DRAWS for call in source.calls):
        return True
    return any(asked.may_sample for asked in every_asked(source))


def _varies(source: Source, call: ast.Call) -> bool:
    """Tell whether a seed is set in a loop to what changes there."""
    loops = (ast.For, ast.While)
    constant = isinstance(source.value(call.args[0]), ast.Constant)
    return not constant and any(isinstance(above, loops) for above in source.above(call))

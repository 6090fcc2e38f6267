"""What a call to `generate` shows by itself: how its inputs and lengths are passed, and a seed."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.registry import found, in_the_source
from llmcourse.doctor.static.source import Source, is_false, keyword, name_of
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
        if first is None or not _is_encoding(source, first):
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


def _is_encoding(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is what a tokenizer or its template returned: a dictionary."""
    value = source.placed(node)
    if not isinstance(value, ast.Call):
        return False
    if name_of(value) == "apply_chat_template":
        asks_text = is_false(keyword(value, "tokenize"))
        return not asks_text and not is_false(keyword(value, "return_dict"))
    return source.is_tokenizer(value.func)


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
    for call in source.calls:
        if call not in source.generate_calls and not _is_pipeline_call(source, call):
            continue
        both = [keyword(call, name) for name in _LENGTHS]
        if None in both:
            continue
        length, new = map(source.words, both)
        yield found(
            "two-lengths",
            WARNING,
            call,
            what=f"Both max_length={length} and max_new_tokens={new} are given.",
            why=f"max_new_tokens holds, and max_length={length} is ignored.",
            fix=f"{source.words(call.func)}(..., max_new_tokens={new})  # without max_length",
        )


def _is_pipeline_call(source: Source, call: ast.Call) -> bool:
    """Tell whether what is called is a pipeline, or makes one."""
    made = source.value(call.func)
    return name_of(call) == "pipeline" or (
        isinstance(made, ast.Call) and name_of(made) == "pipeline"
    )


@in_the_source(
    "seed-without-sampling",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    symptom="Another seed gives the same text.",
    cause="Greedy decoding and beams take the likeliest token: they draw nothing, from any seed.",
    example="model.generate(**inputs, do_sample=True, temperature=0.7)",
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
    return any(_may_sample(source, call) for call in source.generate_calls)


def _may_sample(source: Source, call: ast.Call) -> bool:
    asked = keyword(call, "do_sample")
    if asked is not None and not is_false(source.value(asked)):
        return True
    if keyword(call, "generation_config") is not None:
        return True
    unpacked = [each.value for each in call.keywords if each.arg is None]
    return asked is None and not all(_is_encoding(source, each) for each in unpacked)


def _varies(source: Source, call: ast.Call) -> bool:
    """Tell whether a seed is set in a loop to what changes there."""
    loops = (ast.For, ast.While)
    constant = isinstance(source.value(call.args[0]), ast.Constant)
    return not constant and any(isinstance(above, loops) for above in source.above(call))

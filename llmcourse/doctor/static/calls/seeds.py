"""Seeds: set where nothing draws, set to the same again, or those of another library."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, name_of, owner_of
from llmcourse.doctor.subject import Subject

_PLAIN_SEEDS = ("set_seed", "manual_seed")
# What else a seed may be for: draws, noise, a shuffled data set, a training.
_DRAWS = (
    *("bernoulli", "choice", "choices", "dropout", "multinomial", "normal", "pipeline", "rand"),
    *("randint", "randn", "random", "randperm", "sample", "select", "shuffle", "train", "uniform"),
    *("train_test_split", "Trainer", "SFTTrainer"),
)
_SEEDS = ("set_seed", "manual_seed", "seed_everything", "enable_full_determinism")
_SEEDS_OF_TORCH = (
    *("set_seed", "manual_seed", "manual_seed_all", "seed_everything", "set_random_seed"),
    *("enable_full_determinism", "fork_rng", "set_rng_state", "default_rng", "seed_all"),
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
    seeds = [call for call in source.calls if name_of(call) in _PLAIN_SEEDS and call.args]
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


@in_the_source(
    "same-seed-each-call",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where nothing in the call changes from turn to turn. A
        loop over prompts or settings may well begin each turn with the same seed.
    """,
)
def same_seed_each_call(source: Source) -> Iterator[Finding]:
    """The same seed again in each turn of a loop whose calls are alike."""
    yield from _seeds_of_a_function(source)
    for loop in source.loops:
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        seeds = [one for one in inside if name_of(one) in _SEEDS]
        seeds = [one for one in seeds if one.args and _are_constant(source, one.args[0])]
        drawn = [asked for asked in every_asked(source) if asked.says_sampling]
        drawn = [asked for asked in drawn if asked.call in inside]
        if not seeds or not drawn or _changes_in(loop, inside, drawn):
            continue
        seed = source.words(seeds[0])
        yield found(
            "same-seed-each-call",
            WARNING,
            seeds[0],
            what=f"{seed} sets the same seed again in each turn of the loop.",
            why="Every call draws the same random numbers, and gives the same text.",
            fix=f"{seed}  # once, before the loop",
        )


def _seeds_of_a_function(source: Source) -> Iterator[Finding]:
    """Yield where a loop calls a function that sets its seed and draws, alike in each turn."""
    drawn = [asked.call for asked in every_asked(source) if asked.says_sampling]
    for call in source.calls:
        function = source.scopes[call].node
        seeds = name_of(call) in _SEEDS and call.args and _are_constant(source, call.args[0])
        if not seeds or not isinstance(function, ast.FunctionDef):
            continue
        if not any(source.scopes[one].node is function for one in drawn):
            continue
        if not any(_is_repeated_alike(source, one, function.name) for one in source.calls):
            continue
        seed = source.words(call)
        yield found(
            "same-seed-each-call",
            WARNING,
            call,
            what=f"{seed} sets the same seed again in each call of {function.name}.",
            why="Every call draws the same random numbers, and gives the same text.",
            fix=f"{seed}  # once, before the loop",
        )
        return


def _is_repeated_alike(source: Source, call: ast.Call, name: str) -> bool:
    """Tell whether a loop calls a function of that name with nothing that changes in its turns."""
    if not isinstance(call.func, ast.Name) or call.func.id != name:
        return False
    used = {part.id for part in ast.walk(call) if isinstance(part, ast.Name)}
    for above in source.above(call):
        loops = [above] if isinstance(above, ast.For) else getattr(above, "generators", [])
        for loop in loops:
            bound = {part.id for part in ast.walk(loop.target) if isinstance(part, ast.Name)}
            stored = {
                part.id
                for part in ast.walk(above)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
            return not used & (bound | stored) and ast.unparse(loop.iter) != "range(2)"
    return False


def _are_constant(source: Source, node: ast.AST) -> bool:
    return isinstance(source.value(node), ast.Constant)


def _changes_in(loop: ast.For | ast.While, inside: list[ast.AST], drawn: list[Asked]) -> bool:
    """Tell whether the turns of a loop differ, or are meant to be alike: timed, or just two."""
    if isinstance(loop, ast.For) and ast.unparse(loop.iter) == "range(2)":
        return True
    targets = list(ast.walk(loop.target)) if isinstance(loop, ast.For) else []
    changed = {
        node.id
        for node in (*targets, *inside)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    read = {node.id for one in drawn for node in ast.walk(one.call) if isinstance(node, ast.Name)}
    return bool(changed & read) or any(_changes(node, read) for node in inside)


def _changes(node: ast.AST, read: set[str]) -> bool:
    """Tell whether a node may change what is read, or times it: `train(model)`, `a.b = c`."""
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return True
    if not isinstance(node, ast.Call) or name_of(node) in ("generate", "decode", "len"):
        return False
    if name_of(node) in ("time", "perf_counter", "step", "backward"):
        return True
    given = [*node.args, *([owner_of(node)] if name_of(node) != "eval" else [])]
    return any(isinstance(one, ast.Name) and one.id in read for one in given)


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

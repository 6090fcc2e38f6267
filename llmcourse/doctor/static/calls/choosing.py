"""Settings of sampling and beams that a call gives and that change nothing there."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked, is_set_elsewhere
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, name_of, owner_of
from llmcourse.doctor.subject import Subject

# The settings that shape a draw, with the values that leave it as it is.
_SAMPLING = {
    "temperature": (1,),
    "top_k": (0,),
    "top_p": (1,),
    "min_p": (0,),
    "typical_p": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
}
_BEAMS = {"length_penalty": (1,), "early_stopping": (False,)}
_LOWEST = 0.01  # a temperature below it leaves the likeliest token alone
_SEEDS = ("set_seed", "manual_seed", "seed_everything", "enable_full_determinism")


@in_the_source(
    "sampling-ignored",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read. A note where the call says nothing of `do_sample`, as
        the model's own `generation_config` may set it, and where `temperature=0` asks for greedy
        decoding and gets it.
    """,
)
def sampling_ignored(source: Source) -> Iterator[Finding]:
    """Sampling settings, and nothing is drawn."""
    for asked in every_asked(source):
        idle = _in_force(source, asked, _SAMPLING)
        if not idle or asked.may_sample or "assistant_model" in asked.given:
            continue
        if not asked.says_no_sampling and is_set_elsewhere(source, "do_sample"):
            continue
        said = ", ".join(f"{name}={source.words(value)}" for name, value in idle.items())
        zero = list(idle) == ["temperature"] and _all_zero(source, idle["temperature"])
        sure = asked.says_no_sampling and not zero
        reason = "do_sample=False" if asked.says_no_sampling else "no do_sample=True"
        yield found(
            "sampling-ignored",
            WARNING if sure else NOTE,
            asked.call,
            what=f"{said} and {reason}: the likeliest token is taken at every step.",
            why="These settings change nothing"
            + ("." if sure else ", unless the model's generation_config sets do_sample.")
            + (" do_sample=False is what makes a text fixed." if zero else ""),
            fix=f"{asked.words}(..., do_sample={not zero}" + (")" if zero else f", {said})"),
        )


def _in_force(source: Source, asked: Asked, neutral: dict[str, tuple]) -> dict[str, ast.AST]:
    """Return what a call gives of some settings, without those that leave things as they are."""
    return {
        name: asked.given[name]
        for name, off in neutral.items()
        if name in asked.given and not _are_all(source.constants(asked.given[name]), off)
    }


def _are_all(values: list, off: tuple) -> bool:
    return bool(values) and all(value in off for value in values)


def _all_zero(source: Source, node: ast.AST) -> bool:
    return _are_all(source.constants(node), (0,))


@in_the_source(
    "temperature-too-low",
    severities=(ERROR, WARNING),
    how_sure="Likely where only the source was read, and a number stands there.",
)
def temperature_too_low(source: Source) -> Iterator[Finding]:
    """A temperature of 0, or close to it, beside `do_sample=True`."""
    for asked in every_asked(source):
        values = source.constants(asked.given.get("temperature")) if asked.says_sampling else []
        low = [one for one in values if isinstance(one, int | float) and one < _LOWEST]
        if not low:
            continue
        refused = min(low) <= 0
        yield found(
            "temperature-too-low",
            ERROR if refused else WARNING,
            asked.call,
            what=f"temperature={min(low)} with do_sample=True.",
            why="generate refuses the call: logits cannot be divided by it."
            if refused
            else "All probability goes to the likeliest token: greedy decoding, with a draw.",
            fix=f"{asked.words}(..., do_sample=False)  # greedy decoding",
        )


@in_the_source(
    "one-candidate",
    severities=(WARNING,),
    how_sure="Likely where only the source was read: the number stands beside `do_sample=True`.",
)
def one_candidate(source: Source) -> Iterator[Finding]:
    """Sampling from one token."""
    for asked in every_asked(source):
        for name, alone in (("top_k", 1), ("top_p", 0)):
            values = source.constants(asked.given.get(name))
            if not asked.says_sampling or not _are_all(values, (alone,)):
                continue
            yield found(
                "one-candidate",
                WARNING,
                asked.call,
                what=f"do_sample=True draws from one token: {name}={values[0]} leaves no other.",
                why="The text is the greedy one, and no seed or temperature changes it.",
                fix=f"{asked.words}(..., do_sample=False)  # or a larger {name}",
            )


@in_the_source(
    "beam-settings-ignored",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a model's own `generation_config` may set
        `num_beams`.
    """,
)
def beam_settings_ignored(source: Source) -> Iterator[Finding]:
    """Settings of beam search, and one beam."""
    if is_set_elsewhere(source, "num_beams"):
        return
    for asked in every_asked(source):
        idle = _in_force(source, asked, _BEAMS)
        one = _are_all(source.constants(asked.given.get("num_beams")), (1,))
        if not idle or not (one or (asked.is_whole and "num_beams" not in asked.given)):
            continue
        if "constraints" in asked.given or "force_words_ids" in asked.given:
            continue
        said = ", ".join(f"{name}={source.words(value)}" for name, value in idle.items())
        yield found(
            "beam-settings-ignored",
            WARNING,
            asked.call,
            what=f"{said} is a setting of beam search, and the call has one beam.",
            why="Without num_beams above 1 it changes nothing.",
            fix=f"{asked.words}(..., num_beams=4, {said})",
        )


@in_the_source(
    "same-seed-each-call",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Several samples are one and the same text.",
    cause="""
        The seed is set again before each call, to the same number: each draws the same random
        numbers for the same inputs.
    """,
    fix="Set it once, before the loop; or draw all in one call.",
    example="""
        set_seed(42)
        model.generate(**inputs, do_sample=True, num_return_sequences=4)
    """,
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
        seeds = [one for one in inside if isinstance(one, ast.Call) and name_of(one) in _SEEDS]
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

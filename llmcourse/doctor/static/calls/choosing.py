"""How the next token is chosen: settings of sampling and beams that change nothing, or too much."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked, is_set_elsewhere, number_given
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of
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
    "penalty-rewards",
    severities=(WARNING,),
    how_sure="Likely where only the source was read, and the number stands there.",
)
def penalty_rewards(source: Source) -> Iterator[Finding]:
    """A repetition penalty below 1."""
    for asked in every_asked(source):
        value = number_given(source, asked, "repetition_penalty")
        if value is None or not 0 < value < 1:
            continue
        yield found(
            "penalty-rewards",
            WARNING,
            asked.call,
            what=f"repetition_penalty={value} is below 1: it is a reward.",
            why="What stands in the prompt or text gets likelier with it; 1.0 is off.",
            fix=f"{asked.words}(..., repetition_penalty=1.0)",
        )


@in_the_source(
    "beam-sampling",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read. A warning where a pipeline gets beams and nothing
        about sampling: it samples by its own defaults.
    """,
)
def beam_sampling(source: Source) -> Iterator[Finding]:
    """Beams whose tokens are drawn."""
    for asked in every_asked(source):
        beams = number_given(source, asked, "num_beams")
        if beams is None or beams < 2:
            continue
        piped = _samples_by_default(source, asked)
        if not asked.says_sampling and not piped:
            continue
        yield found(
            "beam-sampling",
            WARNING if piped else NOTE,
            asked.call,
            what=f"num_beams={beams} and "
            + ("the pipeline's own do_sample=True" if piped else "do_sample=True")
            + ": the beams' tokens are drawn.",
            why="It is no search for the likeliest text, and gives another one at each run.",
            fix=f"{asked.words}(..., num_beams={beams}, do_sample=False)",
        )


def _samples_by_default(source: Source, asked: Asked) -> bool:
    """Tell whether a call of a text-generation pipeline leaves sampling to its defaults."""
    made = source.pipeline(asked.call.func)
    if asked.kind != "pipeline" or made is None or not asked.is_whole:
        return False
    task = source.constants(made.args[0] if made.args else keyword(made, "task"))
    if task != ["text-generation"] or any(one.arg is None for one in made.keywords):
        return False
    said = {one.arg for one in made.keywords} | asked.given.keys()
    said_elsewhere = is_set_elsewhere(source, "do_sample", "generation_config")
    return not said & {"do_sample", "generation_config"} and not said_elsewhere


# What 0 means something for: no sampling, no filter, no penalty, a seed like others.
_MAY_BE_ZERO = re.compile(
    r"^(\w+_)?(temperature|temp|seed|top_k|min_p|length_penalty|penalty_alpha"
    r"|(frequency|presence)_penalty)$",
    re.IGNORECASE,
)


_IS_TEMPERATURE = re.compile(r"temp(erature)?$", re.IGNORECASE)


_AS_TEXT = re.compile(r"environ|getenv|input\(")  # "0" is a text, and true


@in_the_source(
    "zero-taken-for-unset",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    symptom="Texts differ from run to run, though temperature 0.0 was asked for.",
    cause="""
        0 and 0.0 count as false. `temperature or default` therefore gives the default where 0 is
        asked for, as if it were not set.
    """,
    fix="Ask whether it is None.",
    example="""
        temperature = self.temperature if temperature is None else temperature
    """,
    how_sure="""
        Likely: only the source was read. A note where the setting is no temperature, and the source
        is not seen to pass 0 for it.
    """,
)
def zero_taken_for_unset(source: Source) -> Iterator[Finding]:
    """A setting that may be 0 gives way to a default where it is false."""
    if not re.search(r"generate|softmax|manual_seed|set_seed", source.text):
        return
    for node in list(source.scopes):
        replaced = _replaced_if_false(source, node)
        if replaced is None:
            continue
        setting, default = replaced
        name = _setting_named(source, setting)
        if not _MAY_BE_ZERO.match(name) or not _is_above_zero(source, default, name):
            continue
        if _AS_TEXT.search(ast.unparse(setting)) or _zero_is_seen_to(source, node, setting):
            continue
        is_temperature = bool(_IS_TEMPERATURE.search(name))
        zero = "0.0" if is_temperature else "0"
        words, other = source.words(setting), source.words(default)
        yield found(
            "zero-taken-for-unset",
            WARNING if is_temperature or _is_passed_as_zero(source, name) else NOTE,
            node,
            what=f"{source.words(node)[:80].splitlines()[0]}: {name}={zero} counts as false, so "
            f"the default {other} takes its place.",
            why=f"A value of {zero} is not the same as unset (None): what is asked for is "
            "replaced without a word.",
            fix=f"{other} if {words} is None else {words}",
        )


def _replaced_if_false(source: Source, node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return what a default replaces where it is false, and the default; None for other nodes."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        above = source.parents.get(node)
        asks = isinstance(above, ast.If | ast.While | ast.IfExp) and above.test is node
        return None if asks or isinstance(above, ast.BoolOp) else tuple(node.values[:2])
    if isinstance(node, ast.IfExp):
        same = ast.unparse(node.test) == ast.unparse(node.body)
        return (node.body, node.orelse) if same else None
    if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1:
        return None
    test, set_to = node.test, node.body[0]
    if not isinstance(test, ast.UnaryOp) or not isinstance(test.op, ast.Not):
        return None
    if not isinstance(set_to, ast.Assign):
        return None
    same = ast.unparse(set_to.targets[0]) == ast.unparse(test.operand)
    return (test.operand, set_to.value) if same else None


def _setting_named(source: Source, node: ast.AST) -> str:
    """Return a setting's name: of `temperature`, `args.temperature`, `given.get("seed")`."""
    if name_of(node) in ("get", "pop") and node.args:
        node = node.args[0]
    elif name_of(node) == "getattr" and len(node.args) > 1:
        node = node.args[1]
    elif isinstance(node, ast.Subscript):
        node = node.slice
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return last_name(node)


def _is_above_zero(source: Source, default: ast.AST, name: str) -> bool:
    """Tell whether a default is no 0, None or False, nor as good as 0."""
    value = source.value(default)
    if not isinstance(value, ast.Constant):
        return not isinstance(value, ast.UnaryOp)
    number = isinstance(value.value, int | float) and not isinstance(value.value, bool)
    return number and value.value > (0.05 if _IS_TEMPERATURE.search(name) else 0)


def _zero_is_seen_to(source: Source, node: ast.AST, setting: ast.AST) -> bool:
    """Tell whether the function asks for 0 too, before the default takes its place."""
    words = ast.unparse(setting)
    above = source.parents.get(node)
    given = above.targets[0] if isinstance(above, ast.Assign) else None
    replaced = isinstance(node, ast.If) or (given is not None and ast.unparse(given) == words)
    for other in source.scopes[node].nodes:
        if replaced and getattr(other, "lineno", 0) >= node.lineno:
            continue
        if isinstance(other, ast.Compare) and ast.unparse(other.left) == words:
            if 0 in source.constants(other.comparators[0]):
                return True
        elif name_of(other) == "bool" and other.args:
            if ast.unparse(other.args[0]) == words:
                return True
        elif isinstance(other, ast.If | ast.IfExp) and other is not node:
            test = other.test
            negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
            if ast.unparse(test.operand if negated else test) == words:
                return True
    return False


def _is_passed_as_zero(source: Source, name: str) -> bool:
    """Tell whether a call gives 0 for a setting of that name."""
    values = [keyword(call, name) for call in source.calls]
    return any(0 in source.constants(value) for value in values if value is not None)

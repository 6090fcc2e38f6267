"""Temperatures by hand: where they divide, and softmaxes of what is no logits."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.functions import given_to
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of
from llmcourse.doctor.static.reading.tensors import (
    CHANCES,
    LOGITS,
    dimension,
    does,
    kind,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_TEMPERATURE = re.compile(r"^(\w*_)?[Tt]emp(erature)?s?$|^tau$|^T$|^TEMP(ERATURE)?$")
_DRAWS = {"multinomial", "Categorical", "gumbel_softmax", "exponential_", "rand", "rand_like"}
_DRAWS |= {"choice", "choices", "uniform_", "Gumbel", "random"}


@in_the_source(
    "softmax-twice",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Draws are nearly uniform; the loss stays near that of guessing.",
    cause="""
        A softmax of chances, which lie between 0 and 1, makes them almost alike. `cross_entropy`
        and `Categorical(logits=...)` do one themselves.
    """,
    fix="Give them the logits.",
    example="F.cross_entropy(logits, next_ids)",
    how_sure="Likely: only the source was read, where what goes in comes out of a softmax.",
)
def softmax_twice(source: Source) -> Iterator[Finding]:
    """Chances where logits belong."""
    for call in source.calls:
        given = tensor_of(call) if does(call) in ("softmax", "log_softmax") else None
        made = followed(source, call.func) if isinstance(call.func, ast.Name) else call.func
        module = name_of(made) == "CrossEntropyLoss"
        if (name_of(call) == "cross_entropy" or module) and call.args:
            given = call.args[0]
        if name_of(call) == "Categorical":
            given = keyword(call, "logits")
        if given is None or kind(source, given) != CHANCES or not _went_through(source, given):
            continue
        yield found(
            "softmax-twice",
            WARNING,
            call,
            what=f"{source.words(call)} takes a softmax of what is one already.",
            why="Chances lie between 0 and 1: a second softmax makes them almost alike.",
            fix=f"{source.words(call.func)}(logits, ...)  # as the model gave them",
        )


def _went_through(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is seen to come out of a softmax, and not scaled after it."""
    parts = list(parts_followed(source, node))
    seen = any(isinstance(part, ast.Call) and does(part) == "softmax" for part in parts)
    return seen and not any(_by_temperature(source, part) for part in parts)


@in_the_source(
    "temperature-misapplied",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    symptom="A higher temperature makes texts duller, or changes nothing.",
    cause="""
        A temperature divides the logits, before the softmax. Multiplied, it works the other way
        round; after the softmax it scales all chances alike, which changes no draw; and the
        likeliest token is the likeliest at any temperature.
    """,
    fix="Divide the logits, then draw.",
    example="torch.multinomial((logits / temperature).softmax(-1), num_samples=1)",
    how_sure="""
        Likely: only the source was read; that a number is a temperature is inferred from its name.
    """,
)
def temperature_misapplied(source: Source) -> Iterator[Finding]:
    """A temperature that multiplies, comes after the softmax, or before an argmax."""
    for node in list(source.scopes):
        side = _scaled(node)
        if side is None:
            continue
        of = kind(source, side)
        multiplies = isinstance(node.op, ast.Mult)
        if (of == LOGITS and multiplies) or of == CHANCES:
            yield _misapplied(source, node, of)
    yield from _power_of_a_temperature(source)
    yield from _temperature_again_and_again(source)
    yield from _temperature_of_zero(source)
    if not {last_name(part) for part in source.scopes} & _DRAWS:
        yield from _temperature_of_an_argmax(source)


def _power_of_a_temperature(source: Source) -> Iterator[Finding]:
    """Yield where chances are raised to the temperature, not to one over it."""
    for node in list(source.scopes):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            chances, power = node.left, node.right
        elif name_of(node) in ("pow", "pow_") and node.args:
            chances, power = tensor_of(node), node.args[-1]
        else:
            continue
        named = _TEMPERATURE.search(last_name(power))
        if not named or chances is None or kind(source, chances) != CHANCES:
            continue
        yield found(
            "temperature-misapplied",
            ERROR,
            node,
            what=f"{source.words(node)} raises probabilities to the temperature.",
            why="It is the other way round: a temperature above 1 makes the draw sharper then.",
            fix="chances = (logits / temperature).softmax(-1)  # or chances ** (1 / temperature)",
        )


def _temperature_again_and_again(source: Source) -> Iterator[Finding]:
    """Yield where a loop divides the same logits by the temperature in each of its turns."""
    for node in list(source.scopes):
        target = _divided_into_itself(node)
        if target is None or kind(source, target) != LOGITS:
            continue
        loop = next(
            (one for one in source.above(node) if isinstance(one, ast.For | ast.While)), None
        )
        if loop is None or name_at(target) in {
            name_at(one) for one in ast.walk(_gone_through(loop))
        }:
            continue
        given = [one for one in ast.walk(loop) if _gives_to(one, name_at(target))]
        if given != [node]:
            continue
        yield found(
            "temperature-misapplied",
            ERROR,
            node,
            what=f"{source.words(node)} divides the same logits by the temperature in each turn of "
            "the loop.",
            why="After n turns they are divided by the temperature to the power of n.",
            fix=f"scaled = {name_at(target)} / temperature  # under another name",
        )


def _gone_through(loop: ast.For | ast.While) -> ast.AST:
    """Return what a loop goes through or asks, with its own variable."""
    return ast.Tuple([loop.target, loop.iter]) if isinstance(loop, ast.For) else loop.test


def _gives_to(node: ast.AST, name: str) -> bool:
    """Tell whether a statement gives something to a name."""
    if isinstance(node, ast.AugAssign):
        return name_at(node.target) == name
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(name_at(part) == name for one in targets for part in ast.walk(one))


def _temperature_of_zero(source: Source) -> Iterator[Finding]:
    """Yield where logits are divided by a temperature that is 0, and nothing asks for that."""
    for node in list(source.scopes):
        side = _scaled(node)
        if side is None or not isinstance(node.op, ast.Div) or kind(source, side) != LOGITS:
            continue
        by = node.value if isinstance(node, ast.AugAssign) else node.right
        if not isinstance(by, ast.Name) or _is_asked(source, by) or not _is_zero_here(source, by):
            continue
        yield found(
            "temperature-misapplied",
            ERROR,
            node,
            what=f"{source.words(node)} divides logits by a temperature of 0.",
            why="The logits become inf or nan, and nothing can be drawn from them.",
            fix=f"token = logits.argmax(-1)  # where {by.id} is 0: greedy decoding",
        )


def _is_asked(source: Source, name: ast.Name) -> bool:
    """Tell whether a temperature is compared, or kept above 0, in its function."""
    for node in source.scopes[name].nodes:
        tests = isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert)
        test = node.test if tests else node
        bounds = name_of(node) in ("max", "clamp")
        if (tests or bounds) and name.id in {name_at(part) for part in ast.walk(test)}:
            return True
    return False


def _is_zero_here(source: Source, name: ast.Name) -> bool:
    """Tell whether a name is 0: as it is given, by its default, or in a call of its function."""
    value = source.value(name)
    if value is not name:
        return isinstance(value, ast.Constant) and value.value == 0
    function = source.scopes[name].node
    if not isinstance(function, ast.FunctionDef):
        return False
    handed = [one for argument, one in given_to(source, function) if argument == name.id]
    return any(isinstance(one, ast.Constant) and one.value in (0, 0.0) for one in handed)


def _divided_into_itself(node: ast.AST) -> ast.AST | None:
    """Return the name of logits that are divided by a temperature and keep their name."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
        scaled = _scaled(node)
        return scaled if isinstance(scaled, ast.Name) else None
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
        scaled = _scaled(node.value) if isinstance(node.value.op, ast.Div) else None
        same = scaled is not None and name_at(scaled) == name_at(node.targets[0]) != ""
        return scaled if same else None
    return None


def _scaled(node: ast.AST) -> ast.AST | None:
    """Return what is multiplied or divided by a temperature, or None."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div | ast.Mult):
        left, right = node.target, node.value
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult):
        left, right = node.left, node.right
    else:
        return None
    if _TEMPERATURE.search(last_name(right)):
        return left
    swapped = isinstance(node.op, ast.Mult) and _TEMPERATURE.search(last_name(left))
    return right if swapped else None


def _by_temperature(source: Source, node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and _scaled(node) is not None


def _misapplied(source: Source, node: ast.AST, of: str) -> Finding:
    words = source.words(node)
    late = of == CHANCES
    return found(
        "temperature-misapplied",
        ERROR,
        node,
        what=f"{words} scales chances, after the softmax."
        if late
        else f"{words} multiplies logits by a temperature, which divides them.",
        why="All chances are scaled alike, and a draw from them is what it was."
        if late
        else "A temperature above 1 makes the draw sharper then, one below 1 flatter.",
        fix="chances = (logits / temperature).softmax(-1)",
    )


def _takes_one(call: ast.Call) -> bool:
    """Tell whether a call takes the largest: `argmax`, `max` over an axis, `topk(1)`."""
    if name_of(call) == "topk":
        k = keyword(call, "k") or dimension(call, 0)
        return isinstance(k, ast.Constant) and k.value == 1
    return name_of(call) == "argmax" or (name_of(call) == "max" and dimension(call, 0) is not None)


def _temperature_of_an_argmax(source: Source) -> Iterator[Finding]:
    for call in source.calls:
        tensor = tensor_of(call) if _takes_one(call) else None
        if tensor is None or kind(source, tensor) is None:
            continue
        scaled = [part for part in parts_followed(source, tensor) if _by_temperature(source, part)]
        if not scaled:
            continue
        yield found(
            "temperature-misapplied",
            WARNING,
            call,
            what=f"{source.words(call)} takes the likeliest token, which no temperature changes.",
            why="Nothing is drawn in this source: the text is the greedy one.",
            fix="token = torch.multinomial(chances, num_samples=1)",
        )

"""How a loop of one's own chooses its tokens: temperature, filters, draws, and over which axis."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import (
    BATCH,
    CHANCES,
    LOG_CHANCES,
    LOGITS,
    ONE,
    PLACE,
    VOCABULARY,
    axes,
    axis,
    dimension,
    does,
    followed,
    handed_in,
    kind,
    name_at,
    parts_followed,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_TEMPERATURE = re.compile(r"^(\w*_)?[Tt]emp(erature)?s?$|^tau$|^T$|^TEMP(ERATURE)?$")
_PENALTY = re.compile(r"penal|rep_?pen|^pen$|repetition", re.IGNORECASE)
_DRAWS = {"multinomial", "Categorical", "gumbel_softmax", "exponential_", "rand", "rand_like"}
_DRAWS |= {"choice", "choices", "uniform_", "Gumbel", "random"}
_IN_WORDS = {PLACE: "places of the text", BATCH: "rows of the batch", ONE: "axis of one"}
# What goes over the vocabulary, with the number of its argument `dim`.
_OVER_THE_VOCABULARY = {"softmax": 0, "log_softmax": 0, "argmax": 0, "topk": 1}
_TO_IDS = ("gather", "index_select", "take", "take_along_dim", "scatter", "scatter_", "item")


@in_the_source(
    "over-the-wrong-axis",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="Chances that do not sum to 1, all alike or all 1; tokens that depend on other rows.",
    cause="""
        Logits are (batch, places, vocabulary). A softmax or an argmax has to go over the
        vocabulary, the last axis: over another one it compares places or rows of the batch.
    """,
    fix="Say `dim=-1`.",
    example="model(ids).logits[:, -1].softmax(dim=-1)",
    how_sure="""
        Likely: only the source was read, where the axes can be followed from the forward pass.
    """,
)
def over_the_wrong_axis(source: Source) -> Iterator[Finding]:
    """A softmax or an argmax of logits over places, or rows."""
    for call in source.calls:
        doing, tensor = does(call), tensor_of(call)
        if _classes_axis(source, call) == PLACE:
            logits = source.words(call.args[0])
            yield found(
                "over-the-wrong-axis",
                ERROR,
                call,
                what=f"{source.words(call)} takes the places of the text for classes.",
                why="cross_entropy wants (rows, vocabulary), or the vocabulary as second axis.",
                fix=f"{source.words(call.func)}({logits}.flatten(0, 1), labels.flatten())",
            )
        if doing not in _OVER_THE_VOCABULARY or tensor is None:
            continue
        whole, dim = axes(source, tensor), dimension(call, _OVER_THE_VOCABULARY[doing])
        if whole is None or VOCABULARY not in whole:
            continue
        over = axis(source, tensor, dim) if dim is not None else None
        if dim is None and "softmax" in doing and len(whole) == 3:
            over = whole[0]  # what torch takes then
        flat = dim is None and doing == "argmax" and PLACE in whole
        if not flat and over in (None, VOCABULARY):
            continue
        words = source.words(call)
        yield found(
            "over-the-wrong-axis",
            ERROR,
            call,
            what=f"{words} goes over all places at once: its number is no token."
            if flat
            else f"{words} goes over the {_IN_WORDS.get(over, over)}, not over the vocabulary.",
            why="A token's chance is its share among all tokens at one place of one row.",
            fix=f"{source.words(tensor)}.{doing}(dim=-1)",
        )


def _classes_axis(source: Source, call: ast.Call) -> str | None:
    """Return the axis that a cross entropy takes for the classes: the second of several."""
    made = followed(source, call.func)
    of_class = isinstance(made, ast.Call) and name_of(made) == "CrossEntropyLoss"
    if not call.args or not (name_of(call) == "cross_entropy" or of_class):
        return None
    whole = axes(source, call.args[0])
    return whole[1] if whole is not None and len(whole) == 3 else None


@in_the_source(
    "draw-from-logits",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="`probability tensor contains either inf, nan or element < 0`, or word salad.",
    cause="""
        `torch.multinomial`, and `Categorical` by position, take chances. Logits and log-chances are
        negative for most tokens; where they are not, their shares mean nothing.
    """,
    fix="Draw from the softmax.",
    example="torch.multinomial(logits.softmax(-1), num_samples=1)",
    how_sure="Likely: only the source was read, where what is drawn from comes without a softmax.",
)
def draw_from_logits(source: Source) -> Iterator[Finding]:
    """A draw by logits or log-chances."""
    for call in source.calls:
        given = tensor_of(call) if name_of(call) == "multinomial" else None
        if name_of(call) in ("choice", "choices"):
            given = keyword(call, "p") or keyword(call, "weights")
        if name_of(call) == "Categorical":
            given = call.args[0] if call.args else keyword(call, "probs")
        of = kind(source, given) if given is not None else None
        if of not in (LOGITS, LOG_CHANCES):
            continue
        right = "softmax(-1)" if of == LOGITS else "exp()"
        yield found(
            "draw-from-logits",
            ERROR,
            call,
            what=f"{source.words(call)} draws from {of}, and takes them for chances.",
            why="Below zero the draw is refused; above it, the shares are not the model's.",
            fix=f"torch.multinomial({source.words(given)}.{right}, num_samples=1)",
        )


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
        module = isinstance(made, ast.Call) and name_of(made) == "CrossEntropyLoss"
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
        elif isinstance(node, ast.Call) and name_of(node) in ("pow", "pow_") and node.args:
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
        bounds = isinstance(node, ast.Call) and name_of(node) in ("max", "clamp")
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
    places = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    handed = []
    for call in source.calls:
        if last_name(call.func) == function.name:
            first = 1 if places[:1] == ["self"] and isinstance(call.func, ast.Attribute) else 0
            pairs = zip(places[first:], call.args, strict=False)
            handed += [one for at, one in pairs if at == name.id]
            handed += [each.value for each in call.keywords if each.arg == name.id]
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


@in_the_source(
    "place-taken-for-id",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="Every token is one of the vocabulary's first: `!`, `\"`, `#`.",
    cause="""
        A draw among sorted or top-k values gives a place in their order: 0 for the likeliest. The
        token's id stands at that place among the indices.
    """,
    fix="Look the place up among the indices.",
    example="""
        values, indices = logits.topk(50)
        token = indices.gather(-1, torch.multinomial(values.softmax(-1), 1))
    """,
    how_sure="Likely: only the source was read, where no indices are looked up with the draw.",
)
def place_taken_for_id(source: Source) -> Iterator[Finding]:
    """A draw among sorted chances, whose place goes on as a token."""
    for call in source.calls:
        drawn = _drawn_from(call)
        ranked = _ranked(source, drawn) if drawn is not None else None
        if ranked is None or _looks_up(source, call, ranked):
            continue
        yield found(
            "place-taken-for-id",
            ERROR,
            call,
            what=f"{source.words(call)} draws a place among sorted values, and it is used as a "
            "token.",
            why=f"Place 0 is the likeliest token, not token 0: {name_of(ranked)}'s indices say "
            "which it is.",
            fix="token = indices.gather(-1, place)",
        )


def _drawn_from(call: ast.Call) -> ast.AST | None:
    """Return what a call draws a place from, or takes the largest place of."""
    if name_of(call) in ("multinomial", "argmax"):
        return tensor_of(call)
    counts = name_of(call) == "choice" and call.args and not isinstance(call.args[0], ast.Name)
    counted = counts and isinstance(call.args[0], ast.Constant | ast.Call)
    return keyword(call, "p") if counted else None


def _ranked(source: Source, node: ast.AST, depth: int = 8) -> ast.Call | None:
    """Return the `sort` or `topk` whose values an expression is made of, in their order."""
    node = followed(source, node)
    if not depth:
        return None
    if isinstance(node, ast.Attribute) and node.attr == "values":
        node = ast.Subscript(node.value, ast.Constant(0))
    if isinstance(node, ast.Subscript):
        value = followed(source, node.value)
        if isinstance(value, ast.Call) and name_of(value) in ("sort", "topk"):
            first = isinstance(node.slice, ast.Constant) and node.slice.value == 0
            return value if first else None
        return _ranked(source, value, depth - 1)
    if isinstance(node, ast.BinOp):
        return _ranked(source, node.left, depth - 1)
    kept = (
        "softmax",
        "log_softmax",
        "exp",
        "div",
        "div_",
        "masked_fill",
        "cumsum",
        "clone",
        "float",
        "numpy",
        "cpu",
        "squeeze",
    )
    if isinstance(node, ast.Call) and does(node) in kept and tensor_of(node) is not None:
        return _ranked(source, tensor_of(node), depth - 1)
    return None


def _looks_up(source: Source, call: ast.Call, ranked: ast.Call) -> bool:
    """Tell whether a draw, or the name that it gets, is an index into something."""
    if _is_index(source, call):
        return True
    name = ""
    for above in source.above(call):
        if isinstance(above, ast.Assign):
            name = last_name(above.targets[0])
            break
    same = source.scopes[call].nodes
    uses = [node for node in same if isinstance(node, ast.Name) and node.id == name]
    reads = [node for node in uses if isinstance(node.ctx, ast.Load)]
    returned = any(isinstance(source.parents[use], ast.Return | ast.Tuple) for use in reads)
    if not reads or returned:
        return _keeps_indices(source, ranked)
    return any(_is_index(source, use) for use in reads)


def _keeps_indices(source: Source, ranked: ast.Call) -> bool:
    """Tell whether the indices of a sort are read, or may be."""
    target = getattr(source.parents[ranked], "targets", [None])[0]
    if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
        return True
    name = name_at(target.elts[1])
    return any(
        name_at(node) == name and isinstance(node.ctx, ast.Load)
        for node in source.scopes[ranked].nodes
    )


def _is_index(source: Source, node: ast.AST) -> bool:
    inner = node
    for above in source.above(node):
        if isinstance(above, ast.Subscript) and inner is above.slice:
            return True
        if (
            isinstance(above, ast.Call)
            and name_of(above) in _TO_IDS[:-1]
            and inner is not above.func
        ):
            return True
        if isinstance(above, ast.stmt):
            return False
        inner = above
    return False


@in_the_source(
    "top-p-misbuilt",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    symptom="Strange words at a small top-p, or `probability tensor contains nan`.",
    cause="""
        The nucleus is the likeliest tokens whose chances reach p together. Chances are sorted from
        the largest down, the token that reaches p stays, and what is to go is brought back from the
        sorted order to the vocabulary's.
    """,
    fix="Sort descending, compare the sum *before* each token, and scatter the mask back.",
    example="""
        chances, order = logits.softmax(-1).sort(descending=True)
        drop = chances.cumsum(-1) - chances > top_p
        logits.masked_fill(drop.scatter(-1, order, drop), float("-inf"))
    """,
    how_sure="Likely: only the source was read, where a sum of sorted chances is compared.",
)
def top_p_misbuilt(source: Source) -> Iterator[Finding]:
    """A nucleus that is sorted the wrong way, lacks its last token, or is not brought back."""
    yield from _sums_of_logits(source)
    yield from _sums_of_numpy(source)
    for node in list(source.scopes):
        ranked = _summed(source, node)
        if ranked is None:
            continue
        used = _masked_by(source, node) + _multiplied_by(source, node)
        fault = _fault_of(source, node, ranked, used)
        if fault is None:
            continue
        severity, what, why = fault
        yield found(
            "top-p-misbuilt",
            severity,
            node,
            what=f"{source.words(node)} {what}",
            why=why,
            fix="drop = chances.cumsum(-1) - chances > top_p; drop.scatter(-1, order, drop)",
        )


_ORDERS = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)


_TOP_P = re.compile(r"^(top_?p|p|nucleus(_p)?|threshold)$")


def _sums_of_logits(source: Source) -> Iterator[Finding]:
    """Yield where raw logits, not probabilities, are added up and compared with top-p."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], _ORDERS):
            continue
        left = followed(source, node.left)
        if not isinstance(left, ast.Call) or name_of(left) != "cumsum" or tensor_of(left) is None:
            continue
        limit = node.comparators[0]
        said = isinstance(limit, ast.Constant) and isinstance(limit.value, float)
        if kind(source, tensor_of(left)) != LOGITS or not (said or _TOP_P.search(last_name(limit))):
            continue
        yield found(
            "top-p-misbuilt",
            ERROR,
            node,
            what=f"{source.words(node)} adds up logits, and top-p is a sum of probabilities.",
            why="Logits have any size and sign: their sum says nothing of the nucleus.",
            fix=f"{source.words(tensor_of(left))}.softmax(-1).cumsum(-1)",
        )


def _sums_of_numpy(source: Source) -> Iterator[Finding]:
    """Yield where NumPy adds up chances from the smallest on, or cuts at the one that reaches p."""
    for call in source.calls:
        summed = followed(source, call.args[0]) if call.args else None
        if name_of(call) != "searchsorted" or not isinstance(summed, ast.Call):
            continue
        if name_of(summed) != "cumsum" or _is_one_more(source, call):
            continue
        ascends = _sorts_up(source, summed)
        above = source.parents.get(call)
        name = name_at(above.targets[0]) if isinstance(above, ast.Assign) else ""
        cuts = [one for one in source.scopes[call].nodes if _cuts_at(one, name)]
        if not ascends and not cuts:
            continue
        yield found(
            "top-p-misbuilt",
            ERROR if ascends else WARNING,
            call,
            what=f"{source.words(call)} adds up chances from the smallest on: the likeliest go."
            if ascends
            else f"{source.words(cuts[0])} also drops the token that reaches the sum.",
            why="argsort ascends: the nucleus begins with the likeliest token."
            if ascends
            else "Where one token has more than top_p, none is left to draw from.",
            fix="order = np.argsort(-chances)"
            if ascends
            else f"{source.words(call)} + 1  # the token that reaches top_p stays",
        )


def _sorts_up(source: Source, summed: ast.Call) -> bool:
    """Tell whether a sum is over chances that `argsort` or `sort` put from the smallest on."""
    parts = list(parts_followed(source, summed, 3))
    if any(isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.USub) for one in parts):
        return False  # np.argsort(-chances), [::-1]
    sorts = [one for one in parts if isinstance(one, ast.Call)]
    sorts = [one for one in sorts if name_of(one) in ("argsort", "sort")]
    flips = any(name_of(one) in ("flip", "flipud") for one in parts if isinstance(one, ast.Call))
    return bool(sorts) and not flips and all(keyword(one, "descending") is None for one in sorts)


def _is_one_more(source: Source, call: ast.Call) -> bool:
    above = source.parents.get(call)
    return isinstance(above, ast.BinOp) or keyword(call, "side") is not None


def _cuts_at(node: ast.AST, name: str) -> bool:
    """Tell whether an index is `[:name]`."""
    part = node.slice if isinstance(node, ast.Subscript) else None
    return bool(name) and isinstance(part, ast.Slice) and name_at(part.upper) == name


def _multiplied_by(source: Source, node: ast.Compare) -> list[ast.AST]:
    """Return the chances that a comparison is multiplied with, by itself or by its name."""
    above = source.parents[node]
    name = name_at(above.targets[0]) if isinstance(above, ast.Assign) else ""
    masks = [node, *(one for one in source.scopes[node].nodes if name and name_at(one) == name)]
    near = [source.parents.get(one) for one in masks]
    near += [source.parents.get(one) for one in near]
    near += [source.parents.get(one) for one in near]  # (chances * keep.float())
    products = [one for one in near if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mult)]
    sides = [side for one in products for side in (one.left, one.right)]
    return [one for one in sides if kind(source, one) == CHANCES]


def _summed(source: Source, node: ast.AST) -> ast.Call | None:
    """Return the sort behind a sum of chances that is compared with a number, or None."""
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], _ORDERS):
        return None
    left = followed(source, node.left)
    if not isinstance(left, ast.Call) or name_of(left) != "cumsum" or tensor_of(left) is None:
        return None
    ranked = _ranked(source, tensor_of(left))
    return ranked if ranked is not None and name_of(ranked) == "sort" else None


def _masked_by(source: Source, node: ast.Compare) -> list[ast.AST]:
    """Return the tensors that a comparison masks, by itself or by its name."""
    masks: list[ast.AST] = [node]
    parent = source.parents[node]
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        name = parent.targets[0].id
        masks += [one for one in source.scopes[node].nodes if name_at(one) == name]
    masked = []
    for one in masks:
        if isinstance(one, ast.Name) and followed(source, one) is not node:
            continue
        above = source.parents[one]
        if isinstance(above, ast.UnaryOp):  # ~keep
            one, above = above, source.parents[above]
        if isinstance(above, ast.Subscript) and one is above.slice:
            masked.append(above.value)
        elif isinstance(above, ast.Call) and name_of(above) in ("masked_fill", "masked_fill_"):
            masked.append(owner_of(above))
    return masked


def _fault_of(source: Source, node: ast.Compare, ranked: ast.Call, masked: list) -> tuple | None:
    """Return how grave, what and why, of what is wrong with a nucleus; None if nothing is."""
    falls = is_true(keyword(ranked, "descending"))
    positional = any(is_true(one) for one in ranked.args)
    bare = not isinstance(followed(source, node.comparators[0]), ast.BinOp)
    if not falls and not positional and keyword(ranked, "descending") is None and bare:
        what = "adds up chances from the smallest on: the likeliest tokens go."
        return ERROR, what, "sort() ascends unless descending=True says otherwise."
    plain = [one for one in masked if kind(source, one) is not None and not _is_ids(source, one)]
    if any(_ranked(source, one) is None for one in plain):
        what = "is in the sorted order, and masks what is in the vocabulary's."
        return ERROR, what, "Tokens go by their rank as if it were their id: others than meant."
    if masked and not _shifts(source, node):
        what = "also drops the token that reaches the sum."
        return WARNING, what, "Where one token has more than top_p, none is left, and all are nan."
    return None


def _is_ids(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is the indices of a sort: ids in its order."""
    value = followed(source, node)
    if isinstance(value, ast.Attribute):
        return value.attr == "indices"
    second = isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)
    return second and value.slice.value == 1


def _shifts(source: Source, node: ast.AST) -> bool:
    """Tell whether a mask is moved by a place, or keeps its first ones."""
    for other in source.scopes[node].nodes:
        stored = isinstance(other, ast.Subscript) and isinstance(other.ctx, ast.Store)
        parts = ast.walk(other.slice) if stored else ()
        if any(isinstance(part, ast.Slice) or _is_a_number(part) for part in parts):
            return True
        if isinstance(other, ast.Call) and name_of(other) in ("roll", "pad", "cat", "scatter_"):
            return True
    return False


def _is_a_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is not ...


@in_the_source(
    "top-k-misbuilt",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="The text is word salad, the more so the smaller k is.",
    cause="""
        A filter takes away what is below the k-th largest logit. The other way round it takes the
        likeliest tokens away and keeps the rest.
    """,
    fix="Compare with `<`.",
    example="""
        lowest = logits.topk(50).values[..., -1:]
        logits = logits.masked_fill(logits < lowest, float("-inf"))
    """,
    how_sure="Likely: only the source was read, where what is above the k-th largest is removed.",
)
def top_k_misbuilt(source: Source) -> Iterator[Finding]:
    """The k likeliest are removed, or all but the likeliest."""
    yield from _below_the_largest(source)
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Gt | ast.GtE):
            continue
        right = node.comparators[0]
        ranked = _ranked(source, right)
        if ranked is None or name_of(ranked) != "topk":
            continue
        if not _masked_by(source, node) and not _is_first_of_where(source, node):
            continue
        if kind(source, node.left) is None or not _becomes_nothing(source, node):
            continue
        yield found(
            "top-k-misbuilt",
            ERROR,
            node,
            what=f"{source.words(node)} picks the likeliest tokens, and they are removed.",
            why="What is left to draw from is everything but the top k.",
            fix=f"{source.words(node.left)} < {source.words(right)}",
        )


def _is_first_of_where(source: Source, node: ast.AST) -> bool:
    """Tell whether `torch.where` writes -inf where a comparison is true."""
    call = source.parents.get(node)
    if not isinstance(call, ast.Call) or name_of(call) != "where" or len(call.args) != 3:
        return False
    return call.args[0] is node and "inf" in ast.unparse(call.args[1])


def _below_the_largest(source: Source) -> Iterator[Finding]:
    """Yield where logits are compared with the largest of the top k, not with the k-th."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Lt):
            continue
        right = followed(source, node.comparators[0])
        if not isinstance(right, ast.Subscript) or not _takes_first(right.slice):
            continue
        ranked = _ranked(source, right.value)
        if ranked is None or name_of(ranked) != "topk" or kind(source, node.left) is None:
            continue
        if not _masked_by(source, node) and not _becomes_nothing(source, node):
            continue
        words = source.words(right.value)
        yield found(
            "top-k-misbuilt",
            ERROR,
            node,
            what=f"{source.words(node)} compares with the largest logit: one token is left of the "
            "top k.",
            why="topk sorts from the largest down: the k-th is the last, not the first.",
            fix=f"{source.words(node.left)} < {words}[..., -1:]",
        )


def _takes_first(index: ast.AST) -> bool:
    """Tell whether an index takes the first of the last axis: `[:, [0]]`, `[..., :1]`."""
    index = index.elts[-1] if isinstance(index, ast.Tuple) and index.elts else index
    return ast.unparse(index) in ("[0]", ":1", "0:1")


def _becomes_nothing(source: Source, node: ast.AST) -> bool:
    """Tell whether a statement around a mask, or around its name, writes -inf or 0."""
    statement = next((one for one in source.above(node) if isinstance(one, ast.stmt)), None)
    said = "" if statement is None else ast.unparse(statement)
    if isinstance(statement, ast.Assign) and statement.value is node:
        name = last_name(statement.targets[0])
        said = " ".join(
            ast.unparse(one)
            for one in source.scopes[node].nodes
            if isinstance(one, ast.stmt) and f"[{name}]" in ast.unparse(one)
        )
    return bool(re.search(r"-\s*(float\(|\w*\.?inf)|'-inf|min\b|1e", said)) and "~" not in said


@in_the_source(
    "removed-by-zero",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Tokens that were filtered out still come, and more often than before.",
    cause="""
        A logit of 0 is no chance of 0: it is above every negative logit. Only -inf takes a token
        away.
    """,
    fix="Write -inf into logits, 0 into chances.",
    example='logits = logits.masked_fill(drop, float("-inf"))',
    how_sure="Likely: only the source was read, where the tensor comes from a model's logits.",
)
def removed_by_zero(source: Source) -> Iterator[Finding]:
    """Logits are set to 0."""
    for node in list(source.scopes):
        tensor = _zeroed(source, node)
        if tensor is None or _is_emptied(source, tensor):
            continue
        if kind(source, tensor) != LOGITS and not _is_cut_before_softmax(source, node, tensor):
            continue
        words = source.words(tensor)
        yield found(
            "removed-by-zero",
            WARNING,
            node,
            what=f"{source.words(node)} sets logits to 0 or close to it, which is no chance of 0.",
            why="Zero is above every negative logit: the softmax gives these tokens a share.",
            fix=f'{words} = {words}.masked_fill(drop, float("-inf"))',
        )


def _is_emptied(source: Source, tensor: ast.AST) -> bool:
    """Tell whether a part of the same tensor is set to -inf, so that 0 is what is left of it."""
    name = last_name(tensor)
    return any(
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Subscript)
        and last_name(node.targets[0].value) == name
        and bool(re.search(r"-\s*(float\(|\w*\.?inf)|'-inf|\.min\b", ast.unparse(node.value)))
        for node in source.scopes[tensor].nodes
    )


def _zeroed(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the tensor of which a part is set to 0, or multiplied by it; or None."""
    other = _zeroed_by_a_new_one(source, node)
    if other is not None:
        return other
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        return node.targets[0].value if _is_about_zero(node.value) else None
    if isinstance(node, ast.Call) and name_of(node) in ("masked_fill", "masked_fill_"):
        return tensor_of(node) if any(map(_is_about_zero, node.args[1:])) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return node.left if _is_zeros_and_ones(source, node.right) else None
    return None


def _is_about_zero(node: ast.AST) -> bool:
    """Tell whether an expression is written as 0, or a number very close to it: 1e-10."""
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    if isinstance(node, ast.Call) and name_of(node) in ("tensor", "full_like") and node.args:
        return _is_about_zero(node.args[-1])
    number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return number and abs(node.value) <= 1e-3


def _is_cut_before_softmax(source: Source, node: ast.AST, tensor: ast.AST) -> bool:
    """Tell whether what is below a threshold is set in a tensor that goes into a softmax.

    Also where its function returns it, and a caller takes the softmax.
    """
    name = name_at(tensor)
    if not name or kind(source, tensor) is not None or not isinstance(node, ast.Assign):
        return False
    index = node.targets[0].slice
    below = isinstance(index, ast.Compare) and isinstance(index.ops[0], ast.Lt | ast.LtE)
    if not below or name_at(index.left) != name or not re.search(r"topk|sort", source.text):
        return False
    function = source.scopes[node].node
    returns = [one.value for one in source.scopes[node].nodes if isinstance(one, ast.Return)]
    given_back = name in map(name_at, filter(None, returns))
    for call in source.calls:
        taken = tensor_of(call) if does(call) in ("softmax", "log_softmax") else None
        if taken is None:
            continue
        if source.scopes.get(call) is source.scopes[node]:
            after = call.lineno > node.lineno and name_at(taken) == name
        else:
            after = given_back and any(
                isinstance(one, ast.Call) and last_name(one.func) == getattr(function, "name", None)
                for one in parts_followed(source, taken, 3)
            )
        if after:
            return True
    return False


def _is_zeros_and_ones(source: Source, node: ast.AST) -> bool:
    """Tell whether a name is a tensor of zeros, or of ones, a part of which was set."""
    made = followed(source, node)
    filled = isinstance(made, ast.Call) and name_of(made) in (
        *("zeros_like", "ones_like", "zeros", "ones"),
    )
    if not filled or not isinstance(node, ast.Name):
        return False
    return any(
        isinstance(one, ast.Subscript)
        and isinstance(one.ctx, ast.Store)
        and name_at(one.value) == node.id
        for one in source.scopes[node].nodes
    )


def _zeroed_by_a_new_one(source: Source, node: ast.AST) -> ast.AST | None:
    """Return logits of which a new tensor keeps a part and has 0 elsewhere, or None.

    `zeros_like(x).scatter(-1, ids, x)`, `torch.where(keep, x, 0)` and `x * keep`, if a softmax
    comes after it.
    """
    tensor = None
    if isinstance(node, ast.Call) and name_of(node) in ("scatter", "scatter_"):
        made = followed(source, owner_of(node))
        zeros = isinstance(made, ast.Call) and name_of(made) in ("zeros_like", "zeros", "new_zeros")
        tensor = node.args[-1] if zeros and len(node.args) > 2 else None
    elif isinstance(node, ast.Call) and name_of(node) == "where" and len(node.args) == 3:
        kept = [one for one in node.args[1:] if not _is_zero(one)]
        tensor = kept[0] if len(kept) == 1 else None
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        sides = (node.left, node.right)
        masks = [one for one in sides if _is_kept(source, one)]
        tensor = next((one for one in sides if one not in masks), None) if masks else None
    if tensor is None or not _goes_into_a_softmax(source, node):
        return None
    return tensor


def _is_zero(node: ast.AST) -> bool:
    """Tell whether an expression is 0, as a number or a tensor."""
    if isinstance(node, ast.Call) and name_of(node) in ("tensor", "zeros_like"):
        return name_of(node) == "zeros_like" or bool(node.args and _is_zero(node.args[0]))
    return _is_about_zero(node)


def _is_kept(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a mask of tokens: by its name, or a comparison."""
    while isinstance(node, ast.Call) and name_of(node) in ("float", "to", "int", "bool", "long"):
        node = owner_of(node)
    named = re.search(r"(^|_)(mask|keep|allowed|valid)(_|$)", last_name(node))
    return bool(named) or isinstance(followed(source, node), ast.Compare)


def _goes_into_a_softmax(source: Source, node: ast.AST) -> bool:
    function = _gives_back_from(source, node)
    for call in source.calls:
        tensor = tensor_of(call) if does(call) in ("softmax", "log_softmax") else None
        parts = list(parts_followed(source, tensor, 3)) if tensor is not None else []
        made = any(isinstance(one, ast.Call) and name_at(one.func) == function for one in parts)
        if node in parts or (function and made):
            return True
    return False


def _gives_back_from(source: Source, node: ast.AST) -> str:
    """Return the name of the function that returns what a call fills in place, or ""."""
    function = source.scopes[node].node
    if not isinstance(function, ast.FunctionDef) or not isinstance(node, ast.Call):
        return ""
    name = name_at(owner_of(node))
    returns = [one.value for one in source.scopes[node].nodes if isinstance(one, ast.Return)]
    return function.name if name and name in map(name_at, filter(None, returns)) else ""


@in_the_source(
    "penalty-divides-negative",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="A repetition penalty makes repetitions more frequent.",
    cause="""
        A repetition penalty divides positive logits and multiplies negative ones. A negative logit
        that is divided comes closer to 0: the token gets likelier.
    """,
    fix="Ask for the sign.",
    example="logits = torch.where(logits < 0, logits * penalty, logits / penalty)",
    how_sure="""
        Likely: only the source was read, where logits are divided by what is called a penalty, and
        nothing there asks for their sign.
    """,
)
def penalty_divides_negative(source: Source) -> Iterator[Finding]:
    """Logits are divided by a penalty, or lessened by their own, whatever their sign."""
    yield from _lessened_by_their_own(source)
    for node in list(source.scopes):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
            left, right = node.target, node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left, right = node.left, node.right
        else:
            continue
        named = bool(_PENALTY.search(last_name(right)))
        if not (named or _divides_some(node, left, right)) or not _are_logits(source, left):
            continue
        if _asks_for_sign(source, node):
            continue
        words, by = source.words(left), source.words(right)
        yield found(
            "penalty-divides-negative",
            ERROR,
            node,
            what=f"{source.words(node)} divides logits by a penalty, the negative ones too.",
            why="A negative logit comes closer to 0 by it: what is to be rare gets likelier.",
            fix=f"torch.where({words} < 0, {words} * {by}, {words} / {by})",
        )


def _lessened_by_their_own(source: Source) -> Iterator[Finding]:
    """Yield where a share of logits is taken from the logits themselves."""
    for node in list(source.scopes):
        taken = _taken_from_logits(source, node)
        if taken is None:
            continue
        logits, share = taken
        picks = any(_is_picked_from(part, logits) for part in _factors(source, share))
        if not picks or _takes_size(source, share):
            continue
        yield found(
            "penalty-divides-negative",
            ERROR,
            node,
            what=f"{source.words(node)[:80]} subtracts a multiple of the logits' own values.",
            why="A negative logit is raised by a penalty of its own sign: what is to be rare gets "
            "likelier.",
            fix=f"{source.words(logits)} - penalty * counts  # positive, whatever the sign",
        )


def _taken_from_logits(source: Source, node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return logits and what is taken from some of them by `scatter_add(dim, ids, -share)`, `-=`.

    None for other nodes.
    """
    if isinstance(node, ast.Call) and name_of(node) in ("scatter_add", "scatter_add_"):
        logits, share = tensor_of(node), keyword(node, "src") or (node.args or [None])[-1]
        signs = [share.left, share.right] if isinstance(share, ast.BinOp) else [share]
        if not any(isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.USub) for one in signs):
            return None
    else:
        logits, share = _lessened(node)
        if not isinstance(share, ast.BinOp) or not isinstance(share.op, ast.Mult):
            return None
        if not _PENALTY.search(ast.unparse(share)):
            return None
    return (logits, share) if logits is not None and _are_logits(source, logits) else None


def _factors(source: Source, node: ast.AST, depth: int = 8) -> Iterator[ast.AST]:
    """Yield what an expression is a product of, and what each way of a `where` is."""
    yield node
    value = followed(source, node)
    parts: list[ast.AST] = []
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult | ast.Div):
        parts = [value.left, value.right]
    elif isinstance(value, ast.UnaryOp):
        parts = [value.operand]
    elif isinstance(value, ast.Call) and name_of(value) == "where":
        parts = value.args[1:]
    elif value is not node:
        yield value
    for part in parts if depth else ():
        yield from _factors(source, part, depth - 1)


def _lessened(node: ast.AST) -> tuple[ast.AST | None, ast.AST | None]:
    """Return the sides of `a -= b` and `a - b`."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub):
        return node.target, node.value
    minus = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    return (node.left, node.right) if minus else (None, None)


def _is_picked_from(node: ast.AST, logits: ast.AST) -> bool:
    """Tell whether a part of an expression is some of the same logits: gathered, or by an index."""
    whole = logits
    while isinstance(whole, ast.Subscript):
        whole = whole.value
    if isinstance(node, ast.Call) and name_of(node) in ("gather", "index_select", "take"):
        return tensor_of(node) is not None and last_name(tensor_of(node)) == last_name(whole)
    same = isinstance(node, ast.Subscript | ast.Name) and node is not logits
    return same and ast.unparse(node) == ast.unparse(logits)


def _takes_size(source: Source, share: ast.AST) -> bool:
    """Tell whether the size of a share is taken, whatever its sign."""
    return any(
        isinstance(part, ast.Call) and name_of(part) in ("abs", "absolute", "abs_", "clamp", "relu")
        for part in parts_followed(source, share)
    )


def _divides_some(node: ast.AST, left: ast.AST, right: ast.AST) -> bool:
    """Tell whether some tokens' logits alone are divided by a number above 1."""
    number = isinstance(right, ast.Constant) and isinstance(right.value, int | float)
    if not number or right.value <= 1 or not isinstance(left, ast.Subscript):
        return False
    parts = left.slice.elts if isinstance(left.slice, ast.Tuple) else [left.slice]
    return any(isinstance(part, ast.Name | ast.Subscript | ast.Attribute) for part in parts[-1:])


def _are_logits(source: Source, node: ast.AST) -> bool:
    inner = node
    while isinstance(inner, ast.Subscript):
        inner = inner.value
    if kind(source, inner) == LOGITS or last_name(inner) in ("scores", "score"):
        return True
    picked = followed(source, inner)
    picks = isinstance(picked, ast.Call) and name_of(picked) in ("gather", "index_select", "take")
    return picks and tensor_of(picked) is not None and _are_logits(source, tensor_of(picked))


def _asks_for_sign(source: Source, node: ast.AST) -> bool:
    """Tell whether a function compares with 0, or picks by a condition."""
    for other in source.scopes[node].nodes:
        if isinstance(other, ast.Compare):
            number = other.comparators[0]
            if isinstance(number, ast.Constant) and number.value == 0:
                return True
        if isinstance(other, ast.Call) and name_of(other) in ("sign", "relu", "clamp"):
            return True
    return False


@in_the_source(
    "draw-not-renormalized",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="`ValueError: probabilities do not sum to 1`.",
    cause="""
        A softmax over the whole vocabulary sums to 1; the probabilities of the top k alone do not.
        `numpy.random.choice` refuses them.
    """,
    fix="Divide by their sum, or take the softmax of the top logits.",
    example="""
        values, ids = logits.topk(50)
        probabilities = values.softmax(-1).numpy()
    """,
    how_sure="Likely: only the source was read, where a part of the probabilities is drawn from.",
)
def draw_not_renormalized(source: Source) -> Iterator[Finding]:
    """NumPy draws from a part of the probabilities."""
    for call in source.calls:
        given = keyword(call, "p") if name_of(call) == "choice" else None
        if given is None or not _is_part_of_chances(source, given):
            continue
        words = source.words(given)
        yield found(
            "draw-not-renormalized",
            ERROR,
            call,
            what=f"{source.words(call)} draws from a part of the probabilities: they do not sum "
            "to 1.",
            why="The softmax was taken over the whole vocabulary, and the rest was cut off.",
            fix=f"p={words} / {words}.sum()",
        )


def _is_part_of_chances(source: Source, node: ast.AST, depth: int = 10) -> bool:
    """Tell whether chances were cut after their softmax, and not divided by what is left."""
    node = followed(source, node)
    if not depth:
        return False
    if isinstance(node, ast.Attribute) and node.attr == "values":
        node = ast.Subscript(node.value, ast.Constant(0))
    if isinstance(node, ast.Subscript):
        value = followed(source, node.value)
        ranked = isinstance(value, ast.Call) and name_of(value) in ("topk", "sort")
        last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
        cut = isinstance(last, ast.Slice) and last.upper is not None and last.lower is None
        if ranked and name_of(value) == "topk":
            first = isinstance(node.slice, ast.Constant) and node.slice.value == 0
            return first and kind(source, tensor_of(value)) == CHANCES
        if cut and kind(source, node.value) == CHANCES:
            return True
        return _is_part_of_chances(source, tensor_of(value) if ranked else value, depth - 1)
    kept = ("numpy", "cpu", "tolist", "squeeze", "detach", "float", "double", "flatten", "view")
    if isinstance(node, ast.Call) and name_of(node) in kept and tensor_of(node) is not None:
        return _is_part_of_chances(source, tensor_of(node), depth - 1)
    return False


@in_the_source(
    "min-p-misbuilt",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Min-p by hand leaves no token, or cuts far more than it should.",
    cause="""
        Min-p is relative: a token stays whose probability is at least min_p times that of the
        likeliest. Compared with min_p itself, all tokens go where none is that likely; logits are
        no probabilities at all.
    """,
    fix="Multiply by the largest probability.",
    example="""
        drop = chances < min_p * chances.max(-1, keepdim=True).values
    """,
    how_sure="Likely: only the source was read; that min-p is meant is inferred from its name.",
)
def min_p_misbuilt(source: Source) -> Iterator[Finding]:
    """Chances, or logits, are compared with min-p itself."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], _ORDERS):
            continue
        right = node.comparators[0]
        if not isinstance(right, ast.Name | ast.Attribute) or not _is_min_p(source, right):
            continue
        relative = followed(source, node.left)
        of = kind(source, node.left)
        if of == LOGITS:
            yield _min_p_of_logits(source, node)
        if of != CHANCES or isinstance(relative, ast.BinOp):
            continue
        yield found(
            "min-p-misbuilt",
            WARNING,
            node,
            what=f"{source.words(node)} compares probabilities with min_p itself.",
            why="Min-p is a share of the likeliest token's probability: here nothing may be left.",
            fix=f"{source.words(node.left)} < {source.words(right)} * "
            f"{source.words(node.left)}.max(-1, keepdim=True).values",
        )


_MIN_P = re.compile(r"^(self_)?min_?p$")


def _is_min_p(source: Source, node: ast.AST) -> bool:
    """Tell whether a plain value is min-p itself, by its name or that of what a call gives."""
    if isinstance(followed(source, node), ast.BinOp | ast.Call):
        return False
    if _MIN_P.search(last_name(node)):
        return True
    handed = list(handed_in(source, node)) if isinstance(node, ast.Name) else []
    names = [last_name(one) for one in handed if isinstance(one, ast.Name | ast.Attribute)]
    return bool(handed) and len(names) == len(handed) and all(map(_MIN_P.search, names))


def _min_p_of_logits(source: Source, node: ast.Compare) -> Finding:
    logits, min_p = source.words(node.left), source.words(node.comparators[0])
    chances = f"{logits}.softmax(-1)"
    return found(
        "min-p-misbuilt",
        WARNING,
        node,
        what=f"{source.words(node)} compares logits with min_p, a threshold for probabilities.",
        why="Every logit above that number stays: min_p is a share of the probability, after the "
        "softmax, of the likeliest token.",
        fix=f"{chances} < {min_p} * {chances}.amax(-1, keepdim=True)",
    )

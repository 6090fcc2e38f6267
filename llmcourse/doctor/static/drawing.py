"""How a loop of one's own chooses its tokens: temperature, filters, draws, and over which axis."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.axes import (
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
    kind,
    name_at,
    parts_followed,
    tensor_of,
)
from llmcourse.doctor.static.registry import found, in_the_source
from llmcourse.doctor.static.source import Source, is_true, keyword, last_name, name_of, owner_of
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
        if name_of(call) == "cross_entropy" and call.args:
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
    if not {last_name(part) for part in source.scopes} & _DRAWS:
        yield from _temperature_of_an_argmax(source)


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
        if name_of(call) != "multinomial" or tensor_of(call) is None:
            continue
        ranked = _ranked(source, tensor_of(call))
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
    for node in list(source.scopes):
        ranked = _summed(source, node)
        if ranked is None:
            continue
        used = _masked_by(source, node)
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
        if any(isinstance(part, ast.Slice | ast.Constant) for part in parts):
            return True
        if isinstance(other, ast.Call) and name_of(other) in ("roll", "pad", "cat", "scatter_"):
            return True
    return False


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
    """The k likeliest are removed."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Gt | ast.GtE):
            continue
        right = node.comparators[0]
        ranked = _ranked(source, right)
        if ranked is None or name_of(ranked) != "topk" or not _masked_by(source, node):
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
        if tensor is None or kind(source, tensor) != LOGITS:
            continue
        words = source.words(tensor)
        yield found(
            "removed-by-zero",
            WARNING,
            node,
            what=f"{source.words(node)} sets logits to 0, which is no chance of 0.",
            why="Zero is above every negative logit: the softmax gives these tokens a share.",
            fix=f'{words} = {words}.masked_fill(drop, float("-inf"))',
        )


def _zeroed(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the tensor of which a part is set to 0, or None."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        zero = isinstance(node.value, ast.Constant) and node.value.value == 0
        return node.targets[0].value if zero and node.value.value is not False else None
    if isinstance(node, ast.Call) and name_of(node) in ("masked_fill", "masked_fill_"):
        given = [one for one in node.args if isinstance(one, ast.Constant) and one.value == 0]
        return owner_of(node) if given else None
    return None


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
    """Logits are divided by a penalty, whatever their sign."""
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
    return kind(source, inner) == LOGITS or last_name(inner) in ("scores", "score")


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

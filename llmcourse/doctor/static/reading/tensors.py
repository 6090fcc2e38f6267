"""What a tensor in the source holds: which axes it has, and whether it is logits or chances.

A name stands here for what it was given last above the place where it is read, so that a script's
`logits = logits[:, -1] / temperature` can be followed.
"""

import ast
import functools
import re
from collections.abc import Iterator

from llmcourse.doctor.static.reading.source import (
    Scope,
    Source,
    keyword,
    last_name,
    name_of,
    owner_of,
)

BATCH, PLACE, VOCABULARY, WIDTH, ONE = "batch", "place", "vocabulary", "width", "one"
STEP = "steps of the call"  # of what `generate` keeps for each step
LOGITS, CHANCES, LOG_CHANCES = "logits", "chances", "log-chances"
_LIBRARIES = ("torch", "F", "functional", "nn", "np", "numpy", "special", "jnp", "math")
# Calls that leave a tensor's axes as they are.
_LIKE_ITSELF = {
    *("float", "double", "half", "bfloat16", "to", "type", "cpu", "cuda", "detach", "clone"),
    *("contiguous", "div", "div_", "mul", "clamp", "masked_fill", "masked_fill_", "numpy"),
    *("softmax", "log_softmax", "exp", "log", "sigmoid", "cumsum", "sub", "type_as"),
}
_SHAPES = ("squeeze", "unsqueeze", "view", "reshape", "flatten", "tolist", "item", "gather")
_CHANGES_WHAT_IT_IS = ("softmax", "log_softmax", "exp", "log", "sigmoid", "cumsum")
_NAMED = {
    re.compile(r"(^|_)logits$"): LOGITS,
    re.compile(r"(^|_)log_?prob(s|abilities)$"): LOG_CHANCES,
    re.compile(r"(^|_)prob(s|abilities)$"): CHANCES,
}
# Where a model may have another head, logits may have other axes.
_OTHER_HEADS = re.compile(
    r"For(Sequence|Token)Classification|ForMaskedLM|ForQuestionAnswering|MultipleChoice|num_labels"
)
_WRITES = re.compile(r"CausalLM|LMHeadModel|llmcourse|generate")  # a model that writes text
_DEEP = 12


def latest(source: Source, name: ast.Name) -> ast.AST | None:
    """Return what a name was given last, above the place where it is read; None if unseen."""
    if source.element(name) is not None:
        return None
    here = (name.lineno, name.col_offset)
    given = _gifts(source, source.scopes.get(name, source.module)).get(name.id, ())
    for statement, value in reversed(given):
        ended = (statement.end_lineno, statement.end_col_offset) <= here
        if ended and not _in_another_arm(source, statement, name):
            return value
    return None


@functools.lru_cache(maxsize=64)
def _gifts(source: Source, scope: Scope) -> dict[str, list[tuple[ast.AST, ast.AST]]]:
    """Return what a function gives to each name: the statements with the values, in order."""
    found: dict[str, list[tuple[ast.AST, ast.AST]]] = {}
    for node in list(scope.nodes):
        for name, value in _given(node):
            for part in ast.walk(value):
                if part not in source.scopes:  # written here
                    source.scopes[part] = scope
                    source.parents[part] = node
            found.setdefault(name, []).append((node, value))
    for gifts in found.values():
        gifts.sort(key=lambda gift: (gift[0].lineno, gift[0].col_offset))
    return found


def _given(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a statement gives something to, and what that is."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        read = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
        yield node.target.id, ast.copy_location(ast.BinOp(read, node.op, node.value), node)
    for target in node.targets if isinstance(node, ast.Assign) else ():
        if isinstance(target, ast.Name):
            yield target.id, node.value
        for place, one in enumerate(getattr(target, "elts", ())):
            if isinstance(one, ast.Name):
                number = ast.copy_location(ast.Constant(place), node)
                part = ast.Subscript(node.value, number, ast.Load())
                same = isinstance(node.value, ast.Tuple | ast.List)
                fits = same and len(node.value.elts) == len(target.elts)
                yield one.id, node.value.elts[place] if fits else ast.copy_location(part, node)


def _in_another_arm(source: Source, statement: ast.AST, name: ast.AST) -> bool:
    """Tell whether a statement stands in the other arm of an `if` that a name is in."""
    above = list(source.above(name))
    inner = statement
    for outer in source.above(statement):
        if isinstance(outer, ast.If) and outer in above:
            of_name = above[above.index(outer) - 1] if above.index(outer) else name
            return (inner in outer.body) != (of_name in outer.body)
        inner = outer
    return False


def followed(source: Source, node: ast.AST) -> ast.AST:
    """Return what an expression stands for at its place, a name's last value."""
    for _ in range(_DEEP):
        if not isinstance(node, ast.Name):
            break
        value = latest(source, node) if node in source.scopes else None
        value = source.value(node) if value is None else value
        if value is node:
            break
        node = value
    return node


def tensor_of(call: ast.Call) -> ast.AST | None:
    """Return what a call works on: `x` of `x.softmax(-1)` and of `torch.softmax(x, -1)`."""
    if isinstance(call.func, ast.Call) and name_of(call.func) in ("Softmax", "LogSoftmax"):
        return call.args[0] if call.args else None
    owner = owner_of(call)
    if owner is call.func or last_name(owner) in _LIBRARIES:
        return call.args[0] if call.args else keyword(call, "input")
    return owner


def dimension(call: ast.Call, place: int) -> ast.AST | None:
    """Return a call's `dim`, its argument number `place` after the tensor; None if not given."""
    if isinstance(call.func, ast.Call):
        return keyword(call.func, "dim") or next(iter(call.func.args), None)
    said = keyword(call, "dim") or keyword(call, "axis")
    place += owner_of(call) is call.func or last_name(owner_of(call)) in _LIBRARIES
    return said or (call.args[place] if len(call.args) > place else None)


def does(call: ast.Call) -> str:
    """Return what a call does: its name, and for `nn.Softmax(-1)(x)` that of the module."""
    if isinstance(call.func, ast.Call):
        return {"Softmax": "softmax", "LogSoftmax": "log_softmax"}.get(name_of(call.func), "")
    return name_of(call)


def axes(source: Source, node: ast.AST, depth: int = _DEEP) -> tuple[str, ...] | None:
    """Return the axes of what comes from a forward pass; None where they are not known."""
    node = followed(source, node)
    if not depth:
        return None
    if isinstance(node, ast.Name):
        return (BATCH, VOCABULARY) if _is_given_to_a_processor(source, node) else None
    if isinstance(node, ast.Attribute):
        return _axes_of_attribute(source, node, depth)
    if isinstance(node, ast.Subscript):
        return _axes_of_part(source, node, depth)
    if isinstance(node, ast.BinOp):
        sides = [axes(source, side, depth - 1) for side in (node.left, node.right)]
        return max((side for side in sides if side), key=len, default=None)
    if not isinstance(node, ast.Call):
        return None
    tensor = tensor_of(node)
    if tensor is None:
        return None
    if does(node) in _LIKE_ITSELF:
        return axes(source, tensor, depth - 1)
    if does(node) == "squeeze" and dimension(node, 0) is not None:
        return _without(axes(source, tensor, depth - 1), dimension(node, 0))
    return None


def _axes_of_attribute(source: Source, node: ast.Attribute, depth: int) -> tuple | None:
    if node.attr in ("values", "indices") and _is_ranked(source, node.value):
        return axes(source, tensor_of(followed(source, node.value)), depth - 1)
    if node.attr in ("scores", "logits") and source.is_generate(
        source.placed(followed(source, node.value))
    ):
        return (STEP, BATCH, VOCABULARY)
    if not source.is_forward(followed(source, node.value)) or _OTHER_HEADS.search(source.text):
        return None
    ends = {"logits": VOCABULARY, "last_hidden_state": WIDTH}
    return (BATCH, PLACE, ends[node.attr]) if node.attr in ends else None


def _axes_of_part(source: Source, node: ast.Subscript, depth: int) -> tuple | None:
    value = followed(source, node.value)
    one = not isinstance(node.slice, ast.Slice | ast.Tuple)
    if one and isinstance(value, ast.Attribute) and value.attr == "hidden_states":  # of a layer
        inner = source.is_forward(followed(source, value.value))
        return (BATCH, PLACE, WIDTH) if inner else None
    if isinstance(node.slice, ast.Constant) or _number(node.slice) is not None:
        if _is_ranked(source, value):
            return axes(source, tensor_of(value), depth - 1)
        if source.is_forward(value) and not _OTHER_HEADS.search(source.text):  # model(ids)[0]
            if not _WRITES.search(source.text):
                return None
            first = _number(node.slice) == 0 and keyword(value, "labels") is None
            named = isinstance(node.slice, ast.Constant) and node.slice.value == "logits"
            return (BATCH, PLACE, VOCABULARY) if first or named else None
    whole = axes(source, value, depth - 1)
    if whole and whole[0] == STEP and isinstance(node.slice, ast.Name):
        return whole[1:]
    return None if whole is None else _indexed(whole, node.slice)


def _is_ranked(source: Source, node: ast.AST) -> bool:
    value = followed(source, node)
    return isinstance(value, ast.Call) and name_of(value) in ("topk", "sort")


def _indexed(whole: tuple[str, ...], index: ast.AST) -> tuple[str, ...] | None:
    """Return the axes that an index leaves; None where it is no plain one."""
    parts = list(index.elts) if isinstance(index, ast.Tuple) else [index]
    rest = sum(not (_is_none(part) or _is_dots(part)) for part in parts)
    left, place = [], 0
    for part in parts:
        if _is_dots(part):
            more = len(whole) - rest
            left += whole[place : place + more]
            place += more
        elif _is_none(part):
            left.append(ONE)
        elif place >= len(whole):
            return None
        elif isinstance(part, ast.Slice):
            left.append(whole[place])
            place += 1
        elif _number(part) is not None:
            place += 1
        else:
            return None
    return (*left, *whole[place:])


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_dots(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _number(node: ast.AST | None) -> int | None:
    """Return a whole number that is written there."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    plain = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if plain else None


def axis(source: Source, tensor: ast.AST, dim: ast.AST | None) -> str | None:
    """Return which axis of a tensor a number names; None where that is not known."""
    whole, number = axes(source, tensor), _number(dim)
    if whole is None or number is None or not -len(whole) <= number < len(whole):
        return None
    return whole[number]


def _without(whole: tuple[str, ...] | None, dim: ast.AST) -> tuple[str, ...] | None:
    number = _number(dim)
    if whole is None or number is None or not -len(whole) <= number < len(whole):
        return None
    if whole[number] not in (BATCH, ONE):
        return whole
    kept = list(whole)
    del kept[number]
    return tuple(kept)


def kind(source: Source, node: ast.AST, depth: int = _DEEP) -> str | None:
    """Return whether an expression is logits, chances or log-chances; None if that is unknown."""
    name, node = node, followed(source, node)
    if isinstance(node, ast.Name):
        if _is_given_to_a_processor(source, node):
            return LOGITS
        return next((of for named, of in _NAMED.items() if named.search(name_at(name))), None)
    if not depth:
        return None
    if isinstance(node, ast.Attribute):
        if node.attr == "values" and _is_ranked(source, node.value):
            return kind(source, tensor_of(followed(source, node.value)), depth - 1)
        forward = node.attr == "logits" and source.is_forward(followed(source, node.value))
        return LOGITS if forward or _is_of_generate(source, node) else None
    if isinstance(node, ast.Subscript):
        value = followed(source, node.value)
        if _is_ranked(source, value):
            first = _number(node.slice) == 0
            return kind(source, tensor_of(value), depth - 1) if first else None
        return kind(source, value, depth - 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult | ast.Sub | ast.Add):
        return kind(source, node.left, depth - 1)
    if not isinstance(node, ast.Call) or tensor_of(node) is None:
        return None
    return _kind_of_call(source, node, depth)


def _is_given_to_a_processor(source: Source, name: ast.Name) -> bool:
    """Tell whether a name is the scores that a processor of one's own gets."""
    function = source.scopes[name].node if name in source.scopes else None
    if not isinstance(function, ast.FunctionDef) or function.name != "__call__":
        return False
    given = [one.arg for one in function.args.args]
    return len(given) > 2 and name.id == given[2] and name.id in ("scores", "logits")


def _is_of_generate(source: Source, node: ast.Attribute) -> bool:
    """Tell whether an attribute is the logits of `generate`, or its scores without beams."""
    made = source.placed(followed(source, node.value))
    if node.attr not in ("scores", "logits") or not source.is_generate(made):
        return False
    beams = source.constants(keyword(made, "num_beams"))
    return node.attr == "logits" or keyword(made, "num_beams") is None or beams == [1]


def name_at(node: ast.AST) -> str:
    """Return the name that an expression is."""
    return node.id if isinstance(node, ast.Name) else ""


def _kind_of_call(source: Source, call: ast.Call, depth: int) -> str | None:
    doing, inner = does(call), kind(source, tensor_of(call), depth - 1)
    if doing in ("softmax", "log_softmax"):
        return CHANCES if doing == "softmax" else LOG_CHANCES
    if doing == "exp":
        return CHANCES if inner is not None else None
    if doing == "log":
        return LOG_CHANCES if inner == CHANCES else None
    same = doing in _LIKE_ITSELF and doing not in _CHANGES_WHAT_IT_IS
    return inner if same or doing in _SHAPES or doing in ("stack", "cat") else None


def parts_followed(source: Source, node: ast.AST, depth: int = 6) -> Iterator[ast.AST]:
    """Yield the parts of an expression, and those of what its names stand for."""
    for part in ast.walk(node):
        yield part
        if isinstance(part, ast.Name) and depth:
            value = followed(source, part)
            if value is not part:
                yield from parts_followed(source, value, depth - 1)


def last_places(source: Source, call: ast.Call) -> Iterator[ast.Subscript]:
    """Yield where the last place is taken of what a forward pass returned."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        whole = axes(source, node.value)
        if whole is None or PLACE not in whole or not _takes_last(whole, parts):
            continue
        if call in parts_followed(source, node.value):
            yield node


def _takes_last(whole: tuple[str, ...], parts: list[ast.AST]) -> bool:
    """Tell whether an index is -1 or `-1:` at a tensor's places."""
    place = whole.index(PLACE)
    if parts and _is_dots(parts[0]):
        place -= len(whole) - len(parts)
    if not 0 <= place < len(parts):
        return False
    part = parts[place]
    lower = part.lower if isinstance(part, ast.Slice) and part.upper is None else part
    return _number(lower) == -1


def reads_last_place(source: Source, call: ast.Call) -> bool:
    """Tell whether the source takes the last place of what a forward pass returned."""
    return source.is_forward(call) and any(True for _ in last_places(source, call))


def reads_batch(source: Source, call: ast.Call) -> bool:
    """Tell whether a pass reads what was padded, by what its inputs are made of."""
    given = [*call.args, *(each.value for each in call.keywords)]
    for one in given:
        for part in parts_followed(source, one):
            if isinstance(part, ast.Call) and name_of(part) == "pad_sequence":
                return True
            padding = keyword(part, "padding") if isinstance(part, ast.Call) else None
            if padding is not None and getattr(padding, "value", True) not in (False,):
                return True
    return False


def handed_in(source: Source, node: ast.AST) -> Iterator[ast.AST]:
    """Yield what the calls of a function give for the arguments of its own that a node names."""
    function = source.scopes[node].node if node in source.scopes else None
    if not isinstance(function, ast.FunctionDef):
        return
    places = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    named = {name_at(part) for part in ast.walk(node)} & {*places}
    for call in source.calls if named else ():
        if last_name(call.func) != function.name:
            continue
        first = 1 if places[:1] == ["self"] and isinstance(call.func, ast.Attribute) else 0
        yield from (one for at, one in zip(places[first:], call.args, strict=False) if at in named)
        yield from (each.value for each in call.keywords if each.arg in named)


def has_rows(source: Source, call: ast.Call) -> bool:
    """Tell whether a pass in a loop reads several rows: padded ones, or those of a list.

    Also where its function gets them as an argument.
    """
    if reads_batch(source, call):
        return True
    read = [*call.args, *(each.value for each in call.keywords)]
    handed = [given for one in read for given in handed_in(source, one)]
    for one in [*read, *handed]:
        if one in handed and _is_batch(source, one):
            return True
        names = [part for part in ast.walk(one) if isinstance(part, ast.Name)]
        bound = [source.scopes.get(part, source.module).bound.get(part.id, []) for part in names]
        for value in [value for values in bound for value in values if value is not None]:
            if _is_batch(source, value):
                return True
    return False


def _is_batch(source: Source, value: ast.AST) -> bool:
    """Tell whether an expression is made of what a tokenizer made of several texts."""
    for part in parts_followed(source, value):
        if isinstance(part, ast.Call) and source.is_tokenizer(part.func):
            texts = followed(source, part.args[0]) if part.args else None
            if isinstance(texts, ast.List | ast.ListComp):
                return not isinstance(texts, ast.List) or len(texts.elts) != 1
            if keyword(part, "padding") is not None:
                return True
    return False

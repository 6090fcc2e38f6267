"""What a tensor in the source holds: which axes it has, and whether it is logits or chances."""

import ast
import re

from llmcourse.doctor.static.reading.following import DEEP, followed, name_at
from llmcourse.doctor.static.reading.source import (
    Source,
    is_none,
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
# Calls that leave a number what it is; beneath, those that make one of several too.
PLAIN = ("item", "detach", "cpu", "float", "double", "numpy", "squeeze", "to")
OF_ONE_NUMBER = (*PLAIN, "tolist", "mean")
# What is read or called of a tensor, and what a tuple of tensors does not have.
OF_A_TENSOR = (
    *("shape", "size", "dim", "ndim", "mean", "sum", "max", "norm", "squeeze", "unsqueeze", "to"),
    *("cpu", "cuda", "detach", "float", "numpy", "permute", "transpose", "view", "reshape"),
    *("dtype", "device", "softmax", "clone", "half", "std"),
)


def tensor_of(call: ast.Call) -> ast.AST | None:
    """Return what a call works on: `x` of `x.softmax(-1)` and of `torch.softmax(x, -1)`."""
    if name_of(call.func) in ("Softmax", "LogSoftmax"):
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


def with_its_module(source: Source, call: ast.Call) -> ast.Call:
    """Return `nn.Softmax(-1)(x)` for `softmax(x)` where that name is such a module; else as it is.

    A name of one's own may be that of another function: `softmax = nn.LogSoftmax(-1)`.
    """
    made = followed(source, call.func) if isinstance(call.func, ast.Name) else call.func
    if made is call.func or name_of(made) not in ("Softmax", "LogSoftmax"):
        return call
    return ast.copy_location(ast.Call(made, call.args, call.keywords), call)


def axes(source: Source, node: ast.AST, depth: int = DEEP) -> tuple[str, ...] | None:
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
    if isinstance(node.slice, ast.Constant) or whole_number(node.slice) is not None:
        if _is_ranked(source, value):
            return axes(source, tensor_of(value), depth - 1)
        if source.is_forward(value) and not _OTHER_HEADS.search(source.text):  # model(ids)[0]
            if not _WRITES.search(source.text):
                return None
            first = whole_number(node.slice) == 0 and keyword(value, "labels") is None
            named = isinstance(node.slice, ast.Constant) and node.slice.value == "logits"
            return (BATCH, PLACE, VOCABULARY) if first or named else None
    whole = axes(source, value, depth - 1)
    if whole and whole[0] == STEP and isinstance(node.slice, ast.Name):
        return whole[1:]
    return None if whole is None else _indexed(whole, node.slice)


def _is_ranked(source: Source, node: ast.AST) -> bool:
    value = followed(source, node)
    return name_of(value) in ("topk", "sort")


def _indexed(whole: tuple[str, ...], index: ast.AST) -> tuple[str, ...] | None:
    """Return the axes that an index leaves; None where it is no plain one."""
    parts = list(index.elts) if isinstance(index, ast.Tuple) else [index]
    rest = sum(not (is_none(part) or is_dots(part)) for part in parts)
    left, place = [], 0
    for part in parts:
        if is_dots(part):
            more = len(whole) - rest
            left += whole[place : place + more]
            place += more
        elif is_none(part):
            left.append(ONE)
        elif place >= len(whole):
            return None
        elif isinstance(part, ast.Slice):
            left.append(whole[place])
            place += 1
        elif whole_number(part) is not None:
            place += 1
        else:
            return None
    return (*left, *whole[place:])


def is_dots(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def whole_number(node: ast.AST | None) -> int | None:
    """Return a whole number that is written there."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = whole_number(node.operand)
        return None if inner is None else -inner
    plain = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if plain else None


def axis(source: Source, tensor: ast.AST, dim: ast.AST | None) -> str | None:
    """Return which axis of a tensor a number names; None where that is not known."""
    whole, number = axes(source, tensor), whole_number(dim)
    if whole is None or number is None or not -len(whole) <= number < len(whole):
        return None
    return whole[number]


def _without(whole: tuple[str, ...] | None, dim: ast.AST) -> tuple[str, ...] | None:
    number = whole_number(dim)
    if whole is None or number is None or not -len(whole) <= number < len(whole):
        return None
    if whole[number] not in (BATCH, ONE):
        return whole
    kept = list(whole)
    del kept[number]
    return tuple(kept)


def kind(source: Source, node: ast.AST, depth: int = DEEP) -> str | None:
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
            first = whole_number(node.slice) == 0
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


def _kind_of_call(source: Source, call: ast.Call, depth: int) -> str | None:
    call = with_its_module(source, call)
    doing, inner = does(call), kind(source, tensor_of(call), depth - 1)
    if doing in ("softmax", "log_softmax"):
        return CHANCES if doing == "softmax" else LOG_CHANCES
    if doing == "exp":
        return CHANCES if inner is not None else None
    if doing == "log":
        return LOG_CHANCES if inner == CHANCES else None
    same = doing in _LIKE_ITSELF and doing not in _CHANGES_WHAT_IT_IS
    return inner if same or doing in _SHAPES or doing in ("stack", "cat") else None


def ranking_of(source: Source, node: ast.AST, depth: int = 8) -> ast.Call | None:
    """Return the `sort` or `topk` whose values an expression is made of, in their order."""
    node = followed(source, node)
    if not depth:
        return None
    if isinstance(node, ast.Attribute) and node.attr == "values":
        node = ast.Subscript(node.value, ast.Constant(0))
    if isinstance(node, ast.Subscript):
        value = followed(source, node.value)
        if name_of(value) in ("sort", "topk"):
            first = isinstance(node.slice, ast.Constant) and node.slice.value == 0
            return value if first else None
        return ranking_of(source, value, depth - 1)
    if isinstance(node, ast.BinOp):
        return ranking_of(source, node.left, depth - 1)
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
        return ranking_of(source, tensor_of(node), depth - 1)
    return None


def own_names(node: ast.AST) -> list[str]:
    """Return the name that is indexed or called upon: `p` of `p[i, token].exp()`."""
    while True:
        entry = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
        if entry and isinstance(node.slice.value, str):
            return [node.slice.value]  # beam["score"]
        if isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call):
            node = tensor_of(node) or ast.Constant(None)
        else:
            return [last_name(node)]

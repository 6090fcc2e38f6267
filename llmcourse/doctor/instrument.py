"""A script's source, compiled so that somebody hears what it asks of its texts.

`compiled` and `instrumented` put two calls around each place that may ask something of a text:
a method such as `split`, `text[a:b]`, `==`, `in`, `+`, an f-string, `re.search`, `json.loads`.

    text.split("\\n")   is run as   out(7, put(7, 0, text).split(put(7, 1, "\\n")))

`put` and `out` return what they are given: values, their types, the order in which they are made
and the line of an error stay what they are, and what is done is done in the script's own frame.
Until `follow` names a listener they do nothing else.
"""

import ast
import builtins
import copy
import re
import threading
import warnings
from collections.abc import Callable, Container
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

_PUT, _OUT = "__llmcourse_put__", "__llmcourse_out__"
# Methods of texts, patterns and findings, and functions of modules that read a text.
_METHODS = frozenset(
    (
        *("split", "rsplit", "partition", "rpartition", "splitlines", "find", "rfind", "index"),
        *("rindex", "count", "replace", "strip", "lstrip", "rstrip", "removeprefix"),
        *("removesuffix", "startswith", "endswith", "lower", "upper", "casefold", "title"),
        *("capitalize", "join", "format", "get", "search", "match", "fullmatch", "findall"),
        *("finditer", "sub", "subn", "group", "groups", "loads", "literal_eval"),
    )
)
_FUNCTIONS = frozenset(
    (
        *("len", "int", "float", "eval", "exec", "str"),
        *("search", "match", "fullmatch", "findall", "sub", "loads", "literal_eval"),
    )
)
_COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.In: "in", ast.NotIn: "not in"}
# What reads the code itself, or carries it into other processes: such a file runs as it is.
_READS_CODE = re.compile(
    rb"torch\.compile|fullgraph|\bnumba\b|\btriton\b|cloudpickle|\bjoblib\b|\bray\b|pyspark|loky"
)
_MOST = 400  # inputs of a thread that wait for their result
_KINDS = frozenset(
    (
        *(str, int, float, bool, type(None), list, tuple, dict, set, frozenset, type),
        *(ModuleType, FunctionType, BuiltinFunctionType, re.Pattern, re.Match, re.RegexFlag),
    )
)


@dataclass(frozen=True)
class Place:
    """A place in the source that may ask something of a text."""

    kind: str  # "call", "[:]", "[]", "==", "!=", "in", "not in", "+", "f" or "{}"
    name: str  # of the method or function; "" where it is none
    # What each input is: "of" what is called or looked into, a keyword's or key's name, or "".
    inputs: tuple[str, ...]
    file: str  # as Python names it
    line: int  # from 1
    parts: tuple[str | None, ...] = ()  # of an f-string: its texts, None for each input


class _Opaque:
    """Stands for an input that is no text, number or the like, so that none is kept alive."""


class _Thread(threading.local):
    def __init__(self) -> None:
        self.waiting: list[tuple] = []  # inputs of places of which not all are there yet
        self.begun: list[tuple] = []  # what is done now: a place's number, what `heard` answered


OPAQUE = _Opaque()
_local = _Thread()
_places: list[Place] = []
_lasts: list[int] = []  # of each place, the number of its last input
_heard: Callable[[Place, tuple], Any] | None = None
_made: Callable[[Any, Any], None] | None = None
_known: Container[int] = ()


def follow(
    heard: Callable[[Place, tuple], Any] | None,
    made: Callable[[Any, Any], None] | None = None,
    known: Container[int] = (),
) -> None:
    """From now on call `heard(place, inputs)` before something is done, and `made` after it.

    known: the `id` of each text that matters; `heard` is called where an input is one of them.
    made(what `heard` returned, result) is not called where that is None, or an error was raised.
    Neither may raise an exception. None: nobody listens any more.
    """
    global _heard, _made, _known
    _heard, _made, _known = heard, made, known


def compiled(source: bytes, file: str) -> CodeType:
    """Return a script's code, instrumented where that is possible; raises what `compile` does."""
    plain = compile(source, file, "exec", dont_inherit=True)
    if _READS_CODE.search(source):
        return plain
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of the source were shown above
            tree = instrumented(ast.parse(source, file), file)
            return compile(tree, file, "exec", dont_inherit=True)
    except Exception:  # then it runs as it is
        return plain


class OfCells:
    """Instruments the cells of a notebook: one of IPython's `ast_transformers`."""

    def __init__(self, name: Callable[[], str]) -> None:
        """name: of the cell that is about to run."""
        self._name = name

    def visit(self, tree: ast.Module) -> ast.Module:
        """Return a cell's tree, instrumented where that is possible."""
        try:
            if _READS_CODE.search(ast.unparse(tree).encode()):
                return tree
            return instrumented(copy.deepcopy(tree), self._name())
        except Exception:  # then it runs as it is
            return tree


def instrumented(tree: ast.Module, file: str) -> ast.Module:
    """Return a module's tree with `put` and `out` around what may ask something of a text."""
    setattr(builtins, _PUT, put)
    setattr(builtins, _OUT, out)
    return ast.fix_missing_locations(_Around(file).visit(tree))


def put(number: int, place_of: int, value):
    """Return `value`, an input of the place of that number, the `place_of`-th from 0."""
    if _heard is None:
        return value
    last = _lasts[number]
    if last == 0:
        if id(value) in _known or _local.begun:
            _complete(number, (value,))
        return value
    waiting = _local.waiting
    waiting.append((number, place_of, value if type(value) in _KINDS else OPAQUE))
    if place_of == last:
        inputs = waiting[-last - 1 :]
        del waiting[-last - 1 :]
        if inputs[0][0] == number and inputs[0][1] == 0:
            for one in inputs:
                if id(one[2]) in _known or _local.begun or type(one[2]) in (list, tuple):
                    _complete(number, tuple(each[2] for each in inputs))
                    break
        if len(waiting) > _MOST:  # left by errors
            del waiting[: _MOST // 2]
    return value


def _complete(number: int, inputs: tuple) -> None:
    """Tell that all inputs of a place are there, if one matters, and note what was answered."""
    place, token, begun = _places[number], None, _local.begun
    if place.name == "join" or any(id(one) in _known for one in inputs):
        token = _heard(place, inputs)
    while begun and begun[-1][0] == number:  # it ended in an error the last time
        begun.pop()
    if token is not None:
        begun.append((number, token))
        if len(begun) > _MOST:
            del begun[: _MOST // 2]


def out(number: int, result):
    """Return `result`, that of the place of that number."""
    if _heard is not None and _local.begun:
        begun = _local.begun
        for back in range(len(begun) - 1, -1, -1):
            if begun[back][0] == number:
                token = begun[back][1]
                del begun[back:]
                _made(token, result)
                break
    return result


class _Around(ast.NodeTransformer):
    """Puts the two calls around expressions; annotations and patterns are left alone."""

    def __init__(self, file: str) -> None:
        self.file = file

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        callee = node.func
        if any(isinstance(one, ast.Starred) for one in node.args):
            return node
        if any(one.arg is None for one in node.keywords):
            return node
        if isinstance(callee, ast.Attribute) and callee.attr in _METHODS:
            name, slots = callee.attr, [(callee, "value")]
        elif isinstance(callee, ast.Name) and callee.id in _FUNCTIONS and node.args:
            name, slots = callee.id, [(node, "func")]
        else:
            return node
        slots += [(node.args, each) for each in range(len(node.args))]
        slots += [(one, "value") for one in node.keywords]
        names = ("of", *("" for _ in node.args), *(one.arg for one in node.keywords))
        return self._around(node, "call", name, names, slots)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or isinstance(node.slice, ast.Tuple):
            return node
        cut = node.slice
        if not isinstance(cut, ast.Slice):
            return self._around(node, "[]", "", ("of", ""), [(node, "value"), (node, "slice")])
        if cut.step is not None:
            return node
        ends = [name for name in ("lower", "upper") if getattr(cut, name) is not None]
        slots = [(node, "value"), *((cut, name) for name in ends)]
        return self._around(node, "[:]", "", ("of", *ends), slots)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        kind = _COMPARISONS.get(type(node.ops[0]))
        if len(node.ops) > 1 or kind is None:
            return node
        return self._around(node, kind, "", ("", ""), [(node, "left"), (node.comparators, 0)])

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        plain = isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant)
        if not isinstance(node.op, ast.Add) or plain:
            return node
        return self._around(node, "+", "", ("", ""), [(node, "left"), (node, "right")])

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        fields = [one for one in node.values if isinstance(one, ast.FormattedValue)]
        if not fields or any(one.format_spec or one.conversion != -1 for one in fields):
            return node
        parts = tuple(getattr(one, "value", None) for one in node.values)
        parts = tuple(one if isinstance(one, str) else None for one in parts)
        slots = [(one, "value") for one in fields]
        return self._around(node, "f", "", ("",) * len(fields), slots, parts)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        self.generic_visit(node)
        keys = [getattr(one, "value", None) for one in node.keys]
        at = [number for number, key in enumerate(keys) if key in ("role", "content")]
        if len(at) < 2:  # no message
            return node
        names = tuple(keys[number] for number in at)
        return self._around(node, "{}", "", names, [(node.values, number) for number in at])

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        node.value = self.visit(node.value)  # its format has to stay an f-string
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node

    def visit_FunctionDef(self, node):
        returns, node.returns = node.returns, None
        self.generic_visit(node)
        node.returns = returns
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        node.guard = None if node.guard is None else self.visit(node.guard)
        node.body = [self.visit(one) for one in node.body]
        return node

    def _around(self, node, kind: str, name: str, names: tuple, slots: list, parts=()) -> ast.Call:
        """Return `out(number, node)`, with `put` around what stands in each slot of it."""
        number = len(_places)
        _places.append(Place(kind, name, names, self.file, node.lineno, parts))
        _lasts.append(len(names) - 1)
        for order, (holder, key) in enumerate(slots):
            value = holder[key] if isinstance(key, int) else getattr(holder, key)
            around = _call(_PUT, value, number, order, value)
            if isinstance(key, int):
                holder[key] = around
            else:
                setattr(holder, key, around)
        return _call(_OUT, node, number, node)


def _call(name: str, near: ast.AST, *arguments) -> ast.Call:
    made = [one if isinstance(one, ast.AST) else ast.Constant(one) for one in arguments]
    call = ast.Call(ast.Name(name, ast.Load()), made, [])
    for node in (call, call.func, *made[:-1]):
        ast.copy_location(node, near)
    return call

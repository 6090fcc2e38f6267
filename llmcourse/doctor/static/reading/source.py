"""A script's source as the checks read it: its calls, its loops, and what its names stand for.

A name stands for something where its function binds it once, or does not and the module does; a
loop's variable for `what_it_goes_through[0]`. What is bound twice or by an argument stands for
nothing: a check has to be silent then.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_TOKENIZER = re.compile(r"(^|_)tok$|tokenizer", re.IGNORECASE)
_MODEL = re.compile(r"(^|_)(model|lm|gpt|llama)\d*$", re.IGNORECASE)
_MAKES_A_MODEL = re.compile(
    r"^_*(load|get|build|create|make|init|setup|prepare|wrap|save|test|run|call|query|eval|filter)_"
)
_MODEL_CLASS = re.compile(r"ForCausalLM|LMHeadModel|^AutoModel|PeftModel|ForConditionalGeneration")
_TWO_SEQUENCES = re.compile(r"Seq2Seq|^(T5|MT5|Bart|MBart|Marian|Pegasus|Whisper)|Vision|Speech")
_PLACING = ("to", "cuda", "cpu", "eval", "half", "float", "bfloat16")  # give the same thing back


@dataclass(eq=False)
class Scope:
    """A function, or the module: its own nodes, and what it binds."""

    node: ast.AST
    nodes: list[ast.AST] = field(default_factory=list)  # in it, nested functions' left out
    bound: dict[str, list[ast.AST | None]] = field(default_factory=dict)  # None: not an expression
    inner: set[ast.AST] = field(default_factory=set)  # what comprehensions bind, for themselves


class Source:
    """A parsed script."""

    def __init__(self, text: str) -> None:
        """Parse; raises SyntaxError where that is no Python."""
        self.tree = ast.parse(text)
        self.text = text
        self.parents: dict[ast.AST, ast.AST] = {}
        self.scopes: dict[ast.AST, Scope] = {}  # by each node in it
        self.module = Scope(self.tree)
        self._read(self.tree, self.module)

    def _read(self, node: ast.AST, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            self.parents[child], self.scopes[child] = node, scope
            scope.nodes.append(child)
            _bind(child, scope)
            inner = scope
            if isinstance(child, _FUNCTIONS):
                inner = Scope(child)
                _bind_arguments(child, inner)
            self._read(child, inner)

    def words(self, node: ast.AST) -> str:
        """Return a node as it is written."""
        first, last = getattr(node, "lineno", None), getattr(node, "end_lineno", None)
        if first is None or last is None:
            return ast.unparse(node)
        lines = self._lines[first - 1 : last]
        lines[-1] = lines[-1][: node.end_col_offset]  # offsets count bytes
        lines[0] = lines[0][node.col_offset :]
        return b"\n".join(lines).decode() or ast.unparse(node)

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.text.replace("\r\n", "\n").replace("\r", "\n").encode().split(b"\n")

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield a node's parent, its parent's parent ... as far as the function."""
        while (node := self.parents.get(node)) is not None and not isinstance(node, _FUNCTIONS):
            yield node

    @cached_property
    def calls(self) -> list[ast.Call]:
        """All calls, in the order of their lines."""
        found = [node for node in self.scopes if isinstance(node, ast.Call)]
        return sorted(found, key=lambda call: (call.lineno, call.col_offset))

    @cached_property
    def loops(self) -> list[ast.For | ast.While]:
        """All loops."""
        return [node for node in self.scopes if isinstance(node, ast.For | ast.While)]

    def value(self, node: ast.AST) -> ast.AST:
        """Return what an expression stands for: that of a name, as far as it can be followed."""
        seen: set[str] = set()
        while isinstance(node, ast.Name) and node.id not in seen:
            seen.add(node.id)
            element = self.element(node)
            values = [element] if element is not None else self._bound(node)
            if len(values) != 1 or values[0] is None:
                break
            node = values[0]
        return node

    def _bound(self, name: ast.Name) -> list[ast.AST | None]:
        """Return what a name is bound to, by comprehensions only where nothing else binds it."""
        scope = self.scopes.get(name, self.module)
        scope = scope if scope.bound.get(name.id) else self.module
        values = scope.bound.get(name.id) or [None]
        return [value for value in values if value not in scope.inner] or values

    def element(self, name: ast.Name) -> ast.AST | None:
        """Return what a comprehension's variable stands for within it; None for other names."""
        inner: ast.AST = name
        before: ast.AST | None = None  # the loop whose iterable the name stands in
        for above in self.above(name):
            if isinstance(above, ast.comprehension) and inner is above.iter:
                before = above
            for loop in getattr(above, "generators", ()):
                if loop is before:
                    break
                made = Scope(loop)
                _bind_target(loop.target, _each_of(loop.iter), made)
                if name.id in made.bound:
                    return made.bound[name.id][0]
            inner = above
        return None

    def placed(self, node: ast.AST) -> ast.AST:
        """Return the value of an expression without `.to(device)` and the like around it."""
        node = self.value(node)
        while name_of(node) in _PLACING:
            if not isinstance(node.func, ast.Attribute):
                break
            node = self.value(node.func.value)
        return node

    def values(self, node: ast.AST) -> list[ast.AST]:
        """Return what an expression may stand for: of a name that is bound twice, each."""
        if isinstance(node, ast.Name):
            bound = self.scopes.get(node, self.module).bound.get(node.id, [])
            if len(bound) > 1:
                return [node if value is None else self.placed(value) for value in bound]
        return [self.placed(node)]

    # What a thing is

    def is_model(self, node: ast.AST) -> bool:
        """Tell whether an expression is a model that only decodes, by where it comes from.

        Or else by its name, unless the source has models of two sequences.
        """
        return all(self._is_model(value, last_name(node)) for value in self.values(node))

    def _is_model(self, value: ast.AST, name: str) -> bool:
        """Tell whether a value is such a model; name: what it is called."""
        if isinstance(value, ast.Call) and loaded_by(value)[:1].isupper():
            loader = loaded_by(value)
            return bool(_MODEL_CLASS.search(loader)) and not _TWO_SEQUENCES.search(loader)
        if name_of(value) == "pipeline":
            return False
        if _is_part_of_load(value, 0):
            return True
        return bool(_MODEL.search(name)) and not self.has_two_sequences

    def is_tokenizer(self, node: ast.AST) -> bool:
        """Tell whether an expression is a tokenizer, by where it comes from or by its name."""
        value = self.value(node)
        if isinstance(value, ast.Call) and loaded_by(value)[:1].isupper():
            return "Tokenizer" in loaded_by(value)
        return _is_part_of_load(value, 1) or bool(_TOKENIZER.search(last_name(node)))

    @cached_property
    def _functions(self) -> set[str]:
        """The names of the functions that the source defines."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return {node.name for node in self.scopes if isinstance(node, kinds)}

    @cached_property
    def has_two_sequences(self) -> bool:
        """Whether the source names a model with an encoder."""
        names = [node.id for node in self.scopes if isinstance(node, ast.Name)]
        return any(_TWO_SEQUENCES.search(name) for name in names)

    def is_encoding(self, node: ast.AST) -> bool:
        """Tell whether an expression is what a tokenizer or its template returned: a dictionary."""
        value = self.placed(node)
        if not isinstance(value, ast.Call):
            return False
        if name_of(value) == "apply_chat_template":
            asks_text = is_false(keyword(value, "tokenize"))
            return not asks_text and not is_false(keyword(value, "return_dict"))
        return self.is_tokenizer(value.func)

    def is_generate(self, node: ast.AST) -> bool:
        """Tell whether an expression is a call of a model's `generate`."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return False
        return node.func.attr == "generate" and self.is_model(node.func.value)

    @cached_property
    def tokenized(self) -> list[ast.AST]:
        """What tokenizers are called with: texts, or names of them."""
        return [call.args[0] for call in self.calls if call.args and self.is_tokenizer(call.func)]

    @cached_property
    def generate_calls(self) -> list[ast.Call]:
        """All calls of a model's `generate`."""
        return [call for call in self.calls if self.is_generate(call)]

    def pipeline(self, node: ast.AST) -> ast.Call | None:
        """Return the call of `pipeline` that made an expression: a name, or an attribute."""
        made = self.value(node)
        if isinstance(made, ast.Attribute):
            made = self._attributes.get(made.attr, made)
        return made if name_of(made) == "pipeline" else None

    @cached_property
    def _attributes(self) -> dict[str, ast.AST]:
        """What each attribute is given, `self.pipe = ...`, where that is seen once."""
        found: dict[str, list[ast.AST]] = {}
        for node in self.scopes:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                found.setdefault(node.targets[0].attr, []).append(node.value)
        return {name: self.value(one[0]) for name, one in found.items() if len(one) == 1}

    def uses(self, node: ast.AST) -> list[ast.AST]:
        """Return an expression, and the names that stand for it."""
        names = [
            one
            for one in self.scopes
            if isinstance(one, ast.Name)
            and isinstance(one.ctx, ast.Load)
            and self.value(one) is node
        ]
        return [node, *names]

    def is_output(self, node: ast.AST) -> bool:
        """Tell whether an expression is what `generate` returned, or its `.sequences`."""
        value = self.placed(node)
        if isinstance(value, ast.Attribute) and value.attr == "sequences":
            value = self.placed(value.value)
        return self.is_generate(value)

    def is_output_row(self, node: ast.AST) -> bool:
        """Tell whether an expression is a whole row of that: `out[0]`, or its loop variable."""
        value = self.value(node)
        if isinstance(value, ast.Subscript):
            return isinstance(value.slice, ast.Constant) and self.is_output(value.value)
        return False

    def constants(self, node: ast.AST | None) -> list:
        """Return the values that an expression is seen to have: its own, or those of a loop."""
        value = self.value(node)
        if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
            value = self.value(value.value)
        values = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
        negative = [-one.operand.value for one in values if _is_negative(one)]
        return [one.value for one in values if isinstance(one, ast.Constant)] + negative

    def is_above_one(self, node: ast.AST | None) -> bool:
        """Tell whether a number is seen to be larger than 1, in one case at least."""
        return any(isinstance(one, int) and one > 1 for one in self.constants(node))

    def is_decode(self, node: ast.AST) -> bool:
        """Tell whether an expression is a call of a tokenizer's `decode`."""
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "decode"
            and bool(node.args)
            and self.is_tokenizer(node.func.value)
        )

    def is_forward(self, node: ast.AST) -> bool:
        """Tell whether an expression is a forward pass: `model(...)`."""
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name | ast.Attribute)
            and name_of(node) not in ("generate", "from_pretrained")
            and not _MAKES_A_MODEL.search(name_of(node))
            and name_of(node) not in self._functions
            and self.is_model(node.func)
        )


def _bind(node: ast.AST, scope: Scope) -> None:
    """Note what a statement binds: a name to its value, or to nothing that can be followed."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            _bind_target(target, node.value, scope)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        _bind_target(node.target, node.value, scope)
    elif isinstance(node, ast.AugAssign):
        _bind_target(node.target, None, scope)
    elif isinstance(node, ast.For | ast.AsyncFor):
        _bind_target(node.target, _each_of(node.iter), scope)
    elif isinstance(node, ast.comprehension):
        made = Scope(node)
        _bind_target(node.target, _each_of(node.iter), made)
        for name, values in made.bound.items():
            scope.bound.setdefault(name, []).extend(values)
            scope.inner.update(value for value in values if value is not None)
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        _bind_target(node.optional_vars, None, scope)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        scope.bound.setdefault(node.name, []).append(None)
    elif isinstance(node, ast.Global | ast.Nonlocal):
        for name in node.names:
            scope.bound.setdefault(name, []).append(None)


def _bind_target(target: ast.AST, value: ast.AST | None, scope: Scope) -> None:
    if isinstance(target, ast.Name):
        scope.bound.setdefault(target.id, []).append(value)
    elif isinstance(target, ast.Starred):
        _bind_target(target.value, None, scope)
    elif isinstance(target, ast.Tuple | ast.List):
        values = _parts(value, len(target.elts))
        for one, part in zip(target.elts, values, strict=True):
            _bind_target(one, part, scope)


def _each_of(gone_through: ast.AST) -> ast.AST:
    """Return what a loop's variable stands for: `row` of `for row in rows` for `rows[0]`."""
    inner = getattr(gone_through, "args", ())
    if isinstance(gone_through, ast.Call) and last_name(gone_through.func) == "zip":
        return ast.Tuple([_each_of(one) for one in inner])
    if isinstance(gone_through, ast.Call) and last_name(gone_through.func) == "enumerate" and inner:
        return ast.Tuple([ast.Name("its_place"), _each_of(inner[0])])
    if isinstance(gone_through, ast.Call) and last_name(gone_through.func) == "tqdm" and inner:
        return _each_of(inner[0])
    return ast.Subscript(value=gone_through, slice=ast.Constant(0))


def _parts(value: ast.AST | None, count: int) -> list[ast.AST | None]:
    """Return what each of so many targets gets: the elements of a tuple, or `value[0]` ..."""
    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == count:
        return list(value.elts)
    if not isinstance(value, ast.Call | ast.Subscript):
        return [None] * count
    return [ast.Subscript(value=value, slice=ast.Constant(place)) for place in range(count)]


def _bind_arguments(function: ast.AST, scope: Scope) -> None:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    for one in every:
        scope.bound.setdefault(one.arg, []).append(None)


def _is_negative(node: ast.AST) -> bool:
    """Tell whether an expression is a number with a minus before it."""
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
    )


def _is_part_of_load(value: ast.AST, place: int) -> bool:
    """Tell whether a value is the model (0) or the tokenizer (1) of `llmcourse.load()`."""
    return (
        isinstance(value, ast.Subscript)
        and isinstance(value.slice, ast.Constant)
        and value.slice.value == place
        and name_of(value.value) == "load"
    )


def name_of(node: ast.AST | None) -> str:
    """Return the last name of what a call calls: `generate` of `model.generate(...)`.

    "" of what is no call, or has no name.
    """
    return last_name(node.func) if isinstance(node, ast.Call) else ""


def owner_of(call: ast.Call) -> ast.AST:
    """Return whose method is called, `a` of `a.b()`; what is called itself where it is none."""
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def last_name(node: ast.AST) -> str:
    """Return an expression's last name: `model` of `self.model`; "" where it has none."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def loaded_by(call: ast.Call) -> str:
    """Return the class whose `from_pretrained` or constructor is called; "" of other methods."""
    if isinstance(call.func, ast.Attribute) and call.func.attr in (
        "from_pretrained",
        "from_config",
    ):
        return last_name(call.func.value)
    return name_of(call)


def keyword(call: ast.Call, name: str) -> ast.AST | None:
    """Return a keyword's value; None where the call has none, or says None."""
    values = [each.value for each in call.keywords if each.arg == name]
    return values[0] if values and not is_none(values[0]) else None


def values_given(call: ast.Call) -> list[ast.AST]:
    """Return all that a call is given, by place and by name."""
    return [*call.args, *(each.value for each in call.keywords)]


def ids_of(call: ast.Call) -> ast.AST | None:
    """Return the ids that a call of a model reads, by place or by name; None where it has none."""
    return call.args[0] if call.args else keyword(call, "input_ids")


def parts_of_index(part: ast.Subscript) -> list[ast.AST]:
    """Return the parts of an index: `[i, j]` of `x[i, j]`, and `[i]` of `x[i]`."""
    return list(part.slice.elts) if isinstance(part.slice, ast.Tuple) else [part.slice]


def is_true(node: ast.AST | None) -> bool:
    """Tell whether an expression is written `True`."""
    return isinstance(node, ast.Constant) and node.value is True


def is_false(node: ast.AST | None) -> bool:
    """Tell whether an expression is written `False`."""
    return isinstance(node, ast.Constant) and node.value is False


def is_string(node: ast.AST | None) -> bool:
    """Tell whether an expression is a text that is written there."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_none(node: ast.AST | None) -> bool:
    """Tell whether an expression is written `None`."""
    return isinstance(node, ast.Constant) and node.value is None

"""Run somebody else's chat template within limits: of steps, of seconds, of what it may make.

Jinja's sandbox keeps a template away from Python. It does not keep it from running for ever, or
from filling the memory: `{{ 'x' * 10**9 }}`. Here each turn of a loop, call, comparison and
operator is a step that is counted, and what would make something huge is refused before it is made.
Nothing runs beside it, no signal and no thread: it is the same in whatever thread it is rendered.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps

from jinja2 import Template, TemplateError, nodes
from jinja2.compiler import CodeGenerator
from jinja2.sandbox import ImmutableSandboxedEnvironment

STEPS = 1_000_000  # of one rendering
SECONDS = 5.0  # of one rendering
LONGEST = 1_000_000  # characters of the string, and items or characters of any value before it
_MADE = 100 * LONGEST  # items and characters of all values of one rendering together
_BITS = 10_000  # of a whole number
_PARAGRAPH = 1_000  # characters of one that Jinja's `lipsum` writes


class TemplateFailed(TemplateError):
    """A template that failed in another way than by refusing the messages."""


class LimitReached(TemplateFailed):
    """A template that does or makes too much."""


class LimitedTemplate(Template):
    """A template that counts anew for each rendering, and fails with TemplateErrors alone."""

    def render(self, *arguments, **names) -> str:
        self.environment.start()
        with _failing_as_a_template():
            return super().render(*arguments, **names)


@contextmanager
def _failing_as_a_template() -> Iterator[None]:
    try:
        yield
    except TemplateError:
        raise
    except Exception as error:  # 1 / 0, a recursion, a template to include, no memory, ...
        raise TemplateFailed(f"{type(error).__name__}: {error}") from error


def _asking(name: str, visit: Callable, when=lambda node: True) -> Callable:
    """Return `visit`, except that what it writes is handed to the environment's method `name`."""

    def visitor(self, node, frame):
        if not when(node):
            return visit(self, node, frame)
        self.write(f"environment.{name}(")
        visit(self, node, frame)
        self.write(")")

    return visitor


class _Counting(CodeGenerator):
    """Writes the Python of a template so that it asks its environment before it goes on."""

    def visit_For(self, node, frame):
        step = nodes.EnvironmentAttribute("step()", lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(step, lineno=node.lineno))
        super().visit_For(node, frame)

    visit_List = _asking("measured", CodeGenerator.visit_List)
    visit_Dict = _asking("measured", CodeGenerator.visit_Dict)
    visit_Tuple = _asking("measured", CodeGenerator.visit_Tuple, lambda node: node.ctx == "load")
    visit_Compare = _asking("stepped", CodeGenerator.visit_Compare)
    visit_Getitem = _asking(
        "kept", CodeGenerator.visit_Getitem, lambda node: isinstance(node.arg, nodes.Slice)
    )

    def visit_Concat(self, node, frame):
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Filters(dict):
    """Filters by name, each of which asks the environment first."""

    def __init__(self, filters: dict, environment: "LimitedSandbox"):
        super().__init__(filters)
        self.environment = environment

    def __getitem__(self, name: str) -> Callable:
        return self._limited(name, super().__getitem__(name))

    def get(self, name: str, default=None) -> Callable | None:
        run = super().get(name)
        return default if run is None else self._limited(name, run)

    def _limited(self, name: str, run: Callable) -> Callable:
        @wraps(run)
        def limited(*arguments, **options):
            self.environment.step()
            if name in _AMPLIFYING:
                arguments = [_listed(argument) for argument in arguments]
                self.environment.allow(name, *arguments, *options.values())
            return self.environment.kept(run(*arguments, **options))

        return limited


class LimitedSandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox for templates that nobody has read, with limits besides."""

    code_generator_class = _Counting
    template_class = LimitedTemplate
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, **options):
        super().__init__(**options)
        self._limit()

    @classmethod
    def like(cls, environment: ImmutableSandboxedEnvironment) -> "LimitedSandbox":
        """Return a copy of a sandbox, with limits."""
        copy = environment.overlay()
        copy.__class__ = cls
        copy._limit()
        return copy

    def _limit(self) -> None:
        self.optimized = False  # it would run parts of the template before they are counted
        self.finalize = self.measured
        self.filters = _Filters(self.filters, self)
        self.start()

    def from_string(self, source, *arguments, **options):
        self.start()
        if len(source) > LONGEST:
            raise LimitReached(f"it is longer than {LONGEST:,} characters")
        with _failing_as_a_template():
            return super().from_string(source, *arguments, **options)

    # What is counted.

    def start(self) -> None:
        """Count from here on."""
        self.steps, self.made, self.deadline = 0, 0, time.monotonic() + SECONDS

    def step(self) -> None:
        self.steps += 1
        if self.steps > STEPS:
            raise LimitReached(f"it takes more than {STEPS:,} steps")
        if time.monotonic() > self.deadline:
            raise LimitReached(f"it takes more than {SECONDS:.0f} seconds")

    def stepped(self, value):
        self.step()
        return value

    def make(self, size: int) -> None:
        """Count something of `size` characters or items, before it is made."""
        self.step()
        self.made += size
        if size > LONGEST or self.made > _MADE:
            raise LimitReached(f"it makes more than {LONGEST:,} characters")

    def kept(self, value):
        """Count a value by its own length."""
        self.make(len(value) if isinstance(value, str | bytes | list | tuple | dict) else 1)
        return value

    def measured(self, value):
        """Count a value by all that is in it, however often."""
        self.make(_size(value))
        return value

    # What a template does.

    def concat(self, pieces) -> str:
        whole, length = [], 0
        for piece in pieces:
            length += len(piece)
            if length > LONGEST:
                break
            whole.append(piece)
        self.make(length)
        return "".join(whole)

    def joined(self, values) -> str:
        self.make(sum(map(_size, values)))
        return "".join(map(str, values))

    def call_binop(self, context, operator, left, right):
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            self.make(len(left) + len(right))
        elif isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * (abs(right) if operator == "**" else 1)
            self.make(1)
            if max(bits, right.bit_length()) > _BITS:
                raise LimitReached(f"it counts with numbers of more than {_BITS:,} bits")
        elif operator == "*":
            self.make(_repeated(left, right))
        elif operator == "%" and isinstance(left, str):
            self.allow("%", left, right)
        else:
            self.make(_size(left) + _size(right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context, __obj, *args, **kwargs):  # these names clash with no argument's
        __self.measured([*args, *kwargs.values()])
        name = getattr(__obj, "__name__", "")
        if name in _AMPLIFYING:
            args = [_listed(argument) for argument in args]
            owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
            __self.allow(name, owner, *args, *kwargs.values())
        return __self.kept(super().call(__context, __obj, *args, **kwargs))

    def allow(self, name: str, *arguments) -> None:
        """Refuse a call that could make something huge of `arguments`."""
        self.make(_at_most(name, arguments))


# Methods, filters and functions whose result may be far longer than what they are given.
_WIDENING = frozenset({"center", "ljust", "rjust", "round", "to_bytes", "zfill"})
_FORMATTING = frozenset({"%", "format", "format_map"})
_MULTIPLYING = frozenset(
    {"batch", "expandtabs", "generate_lorem_ipsum", "indent", "slice", "sum", "tojson"}
    | {"translate", "urlize", "wordwrap", "xmlattr"}
)
_AMPLIFYING = _WIDENING | _FORMATTING | _MULTIPLYING | {"join", "replace"}


def _at_most(name: str, arguments) -> int:
    """Return how long the result of a call can become at most, as far as that is easily told."""
    texts = [one for one in arguments if isinstance(one, str)]
    if name == "replace" and len(texts) > 2:
        return len(texts[0]) + (texts[0].count(texts[1]) + 1) * len(texts[2])
    if name == "join":
        many = max(
            (len(one) for one in arguments if isinstance(one, list | tuple | str)), default=1
        )
        return _size(arguments) + many * max(map(len, texts), default=0)
    if name in _FORMATTING and texts:
        fields = texts[0].count("%") + texts[0].count("{")
        return len(texts[0]) + fields * (_size(arguments) + _widest_field(texts[0], arguments))
    if name in _WIDENING:
        return _size(arguments) + sum(map(_whole, arguments))
    bound = _PARAGRAPH if name == "generate_lorem_ipsum" else 1
    for one in arguments:
        bound *= max(1, _size(one), _whole(one))
    return bound


_WIDTH = re.compile(r"(?:%[-+ #0]*|[:.<>^=][-+ #0]*)(\d+)")
_WIDTH_AMONG_ARGUMENTS = re.compile(r"%[^%a-zA-Z]*\*|\{[^{}]*\{")


def _widest_field(text: str, arguments) -> int:
    """Return how wide the widest field is that a format string asks for."""
    widths = [int(digits) if len(digits) < 10 else 10**10 for digits in _WIDTH.findall(text)]
    if _WIDTH_AMONG_ARGUMENTS.search(text):
        widths += map(_whole, _parts(arguments))
    return max(widths, default=1)


def _whole(value) -> int:
    return abs(value) if isinstance(value, int) else 0


def _repeated(left, right) -> int:
    """Return the size of `left * right`."""
    many, thing = (left, right) if isinstance(left, int) else (right, left)
    if isinstance(many, int) and isinstance(thing, str | bytes | list | tuple):
        return max(0, many) * _size(thing)
    return 1


def _listed(value):
    """Return what an iterator gives as a list, anything else as it is."""
    return list(value) if isinstance(value, Iterator) else value


def _size(value) -> int:
    """Return how many characters and items are in a value, or a number above LONGEST."""
    if isinstance(value, str):
        return len(value)
    size = 0
    for part in _parts(value):
        size += len(part) if isinstance(part, str | bytes) else 1
        if size > LONGEST:
            break
    return size


def _parts(value) -> Iterator:
    """Yield a value, what is in it, and what is in that, however often."""
    todo = [value]
    while todo:
        yield (part := todo.pop())
        if isinstance(part, dict):
            todo += [*part, *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            todo += part


# The library's own rendering.

_ONE_AT_A_TIME = threading.RLock()


def apply_chat_template(tokenizer, messages: list[dict], **options):
    """Return what `tokenizer.apply_chat_template(messages, **options)` does, within the limits.

    Raises jinja2.TemplateError where the template refuses the messages; TemplateFailed, which is
    one, where it fails in another way; LimitReached, which is one of these, where it does too much;
    and what the library raises for other arguments.
    """
    with _library_within_limits():
        return tokenizer.apply_chat_template(messages, **options)


@contextmanager
def _library_within_limits() -> Iterator[None]:
    """Have the library compile templates into a LimitedSandbox, for this thread and this call."""
    from transformers.utils import chat_template_utils as library

    with _ONE_AT_A_TIME:
        compile_as_ever, here = library._compile_jinja_template, threading.get_ident()

        def compile_within_limits(template):
            if threading.get_ident() != here:
                return compile_as_ever(template)
            return _limited(compile_as_ever, template)

        library._compile_jinja_template = compile_within_limits
        try:
            yield
        finally:
            library._compile_jinja_template = compile_as_ever


@lru_cache(maxsize=8)  # a view renders one template many times
def _limited(compile_as_ever: Callable[[str], Template], template: str) -> LimitedTemplate:
    # The template itself is not compiled as ever: that alone may run parts of it.
    return LimitedSandbox.like(compile_as_ever("").environment).from_string(template)

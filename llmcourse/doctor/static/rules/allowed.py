"""A function for `prefix_allowed_tokens_fn`: how it reads its ids, and what it returns."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.following import followed, name_at
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_string,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_NAME = "prefix_allowed_tokens_fn"
_OF_PROMPT = re.compile(r"prompt|prefix|context|start|offset|input_?len|n_in", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Allows:
    """A function of the source that `generate` asks which tokens may come next."""

    node: ast.FunctionDef | ast.Lambda
    given: tuple[str, ...]  # its arguments' names
    call: ast.Call  # of `generate`
    value: ast.AST  # as it is passed

    @property
    def ids(self) -> str:
        """What it names the ids of a row."""
        return self.given[1] if len(self.given) > 1 else ""

    @property
    def returned(self) -> list[ast.AST]:
        """What it returns."""
        if isinstance(self.node, ast.Lambda):
            return [self.node.body]
        returns = [one for one in ast.walk(self.node) if isinstance(one, ast.Return)]
        return [one.value for one in returns if one.value is not None]


def allowing(source: Source) -> Iterator[Allows]:
    """Yield the functions that are passed as `prefix_allowed_tokens_fn`."""
    functions = {one.name: one for one in source.scopes if isinstance(one, ast.FunctionDef)}
    for asked in every_asked(source):
        value = asked.given.get(_NAME)
        if value is None:
            continue
        node = followed(source, value)
        node = functions.get(last_name(value), node)
        if isinstance(node, ast.Call):  # of a function that makes it
            node = _made_by(functions.get(name_at(node.func)))
        if not isinstance(node, ast.FunctionDef | ast.Lambda) or node.args.vararg is not None:
            continue
        given = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
        of_class = isinstance(node, ast.FunctionDef) and given[:1] in (["self"], ["cls"])
        yield Allows(node, tuple(given[of_class:]), asked.call, value)


def _made_by(maker: ast.FunctionDef | None) -> ast.FunctionDef | None:
    """Return the function that a function defines and returns."""
    if maker is None:
        return None
    inner = {one.name: one for one in ast.walk(maker) if isinstance(one, ast.FunctionDef)}
    returned = [one.value for one in maker.body if isinstance(one, ast.Return)]
    named = [inner.get(name_at(one)) for one in returned if one is not None]
    return named[0] if named and named[0] is not maker else None


@in_the_source(
    "allowed-reads-a-batch",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="`IndexError: too many indices`, or `tuple index out of range`, during generation.",
    cause="""
        `prefix_allowed_tokens_fn` is called for each row by itself, with the row's number and its
        ids: one dimension, the prompt included. It gets no batch.
    """,
    fix="Read the row: `input_ids[-1]` is its last token.",
    example="""
        def allowed(row, input_ids):
            return after[input_ids[-1].item()]
    """,
    how_sure="Likely: only the source was read, where the function's ids are indexed twice.",
)
def allowed_reads_a_batch(source: Source) -> Iterator[Finding]:
    """The function indexes its row as if it were a batch."""
    for one in allowing(source):
        node = next((part for part in ast.walk(one.node) if _is_of_batch(source, part, one)), None)
        if node is None:
            continue
        yield found(
            "allowed-reads-a-batch",
            ERROR,
            node,
            what=f"{source.words(node)} reads {one.ids} as a batch: {_NAME} gets one row's ids.",
            why="They have one dimension; a second index fails.",
            fix=f"{one.ids}[-1]  # the row's last token; len({one.ids}): prompt and new tokens",
        )


def _is_of_batch(source: Source, node: ast.AST, one: Allows) -> bool:
    if not isinstance(node, ast.Subscript) or not one.ids:
        if name_of(node) == "size" and node.args:
            return name_at(owner_of(node)) == one.ids and ast.unparse(node.args[0]) == "1"
        return False
    if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
        return name_at(node.value.value) == one.ids and ast.unparse(node.slice) == "1"
    if name_at(node.value) == one.ids and isinstance(node.slice, ast.Tuple):
        return True
    inner = node.value
    twice = isinstance(inner, ast.Subscript) and name_at(inner.value) == one.ids
    return twice and not isinstance(inner.slice, ast.Slice)


@in_the_source(
    "allowed-counts-prompt",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where the number of ids picks an entry, or all
        of them are looked up.
    """,
)
def allowed_counts_prompt(source: Source) -> Iterator[Finding]:
    """The number of ids is taken for the number of the step."""
    for one in allowing(source):
        counted = [part for part in ast.walk(one.node) if _measures(source, part, one)]
        counted = [part for part in counted if _picks(source, part, one)]
        looked_up = [part for part in ast.walk(one.node) if _looks_up_whole(part, one)]
        node = next(iter((*counted, *looked_up)), None)
        if node is None:
            continue
        words = source.words(node)
        begin = 'inputs["input_ids"].shape[1]'
        yield found(
            "allowed-counts-prompt",
            WARNING,
            node,
            what=f"{words} counts the prompt's tokens too, and picks the step."
            if counted
            else f"{words} looks up the whole row, the prompt included.",
            why=f"The ids that {_NAME} gets begin with the prompt.",
            fix=f"{words} - {begin}" if counted else f"{one.ids}[{begin}:]  # the new tokens alone",
        )


def _looks_up_whole(node: ast.AST, one: Allows) -> bool:
    """Tell whether a node looks the whole row up: `trie.get(ids.tolist())`."""
    looks = name_of(node) in ("get", "get_next", "get_allowed")
    if not looks or not node.args or not one.ids:
        return False
    key = node.args[0]
    while isinstance(key, ast.Call) and (key.args or isinstance(key.func, ast.Attribute)):
        if name_of(key) in ("tolist", "cpu", "numpy"):
            key = owner_of(key)
        elif name_of(key) in ("tuple", "list") and key.args:
            key = key.args[0]
        else:
            return False
    return name_at(key) == one.ids


def _measures(source: Source, node: ast.AST, one: Allows) -> bool:
    """Tell whether a node is the ids' number: `len(ids)`, `ids.shape[-1]`, `ids.size(0)`."""
    if isinstance(node, ast.Call) and last_name(node.func) == "len" and node.args:
        return name_at(node.args[0]) == one.ids != ""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
        return node.value.attr == "shape" and name_at(node.value.value) == one.ids != ""
    return False


def _picks(source: Source, node: ast.AST, one: Allows) -> bool:
    """Tell whether a number is an index, by itself or by its name, and nothing is taken away."""
    above = source.parents.get(node)
    if isinstance(above, ast.Subscript):
        return node is above.slice
    if not isinstance(above, ast.Assign) or _OF_PROMPT.search(ast.unparse(one.node)):
        return False
    name = last_name(above.targets[0])
    uses = [part for part in ast.walk(one.node) if name_at(part) == name]
    parents = [source.parents.get(part) for part in uses]
    if any(isinstance(parent, ast.BinOp) for parent in parents):
        return False
    return any(
        isinstance(parent, ast.Subscript) and parent.slice is part
        for parent, part in zip(parents, uses, strict=True)
    )


@in_the_source(
    "allowed-returns-no-ids",
    severities=(ERROR,),
    how_sure="Likely: only the source was read, where the function and what it returns stand.",
)
def allowed_returns_no_ids(source: Source) -> Iterator[Finding]:
    """The function returns texts or lists, takes too few arguments, or was called."""
    for one in allowing(source):
        fault = _fault_of(source, one)
        if fault is None:
            continue
        yield found(
            "allowed-returns-no-ids",
            ERROR,
            one.node,
            what=f"The function of {_NAME} {fault}.",
            why="generate calls it with a row's number and its ids, and wants a list of token ids.",
            fix="def allowed(row, ids): return tokenizer.convert_tokens_to_ids(tokens)",
        )
    yield from _called_at_once(source)


def _fault_of(source: Source, one: Allows) -> str | None:
    """Return what is wrong with what a function takes or returns, in words; or None."""
    needed = len(one.given) - len(one.node.args.defaults)
    if len(one.given) < 2 or needed > 2:
        return f"takes {len(one.given)} arguments, not two"
    for value in one.returned:
        value = followed(source, value)
        if isinstance(value, ast.List) and any(map(_is_text, value.elts)):
            return f"returns texts, {ast.unparse(value)[:60]}, not ids"
        if _is_nested(source, value) or _is_list_of_lists(value):
            return f"returns a list of lists, {ast.unparse(value)[:60]}"
    return None


def _is_text(node: ast.AST) -> bool:
    text = is_string(node)
    return text or (isinstance(node, ast.Attribute) and node.attr.endswith("_token"))


def _is_nested(source: Source, node: ast.AST) -> bool:
    """Tell whether a value is a tokenizer's ids of a list of texts."""
    entry = isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "'input_ids'"
    field = isinstance(node, ast.Attribute) and node.attr == "input_ids"
    made = followed(source, node.value) if entry or field else None
    if not isinstance(made, ast.Call) or not source.is_tokenizer(made.func) or not made.args:
        return False
    tensors = keyword(made, "return_tensors") is not None
    return not tensors and isinstance(followed(source, made.args[0]), ast.List)


def _is_list_of_lists(node: ast.AST) -> bool:
    """Tell whether a list is written with lists in it, or made of each word's ids."""
    if isinstance(node, ast.List):
        return any(isinstance(one, ast.List) for one in node.elts)
    if not isinstance(node, ast.ListComp):
        return False
    ids = isinstance(node.elt, ast.Attribute) and node.elt.attr == "input_ids"
    return ids or (name_of(node.elt) == "encode")


def _called_at_once(source: Source) -> Iterator[Finding]:
    """Yield where the function is called, and its list is passed."""
    functions = {one.name: one for one in source.scopes if isinstance(one, ast.FunctionDef)}
    for asked in every_asked(source):
        value = followed(source, asked.given.get(_NAME, ast.Constant(None)))
        function = functions.get(name_at(value.func)) if isinstance(value, ast.Call) else None
        if function is None:
            continue
        one = Allows(function, (), asked.call, value)
        listed = [followed(source, each) for each in one.returned]
        if listed and all(isinstance(each, ast.List | ast.ListComp) for each in listed):
            yield found(
                "allowed-returns-no-ids",
                ERROR,
                value,
                what=f"{source.words(value)} calls the function of {_NAME}, and passes a list.",
                why="generate calls it at each step: it wants the function itself.",
                fix=f"{_NAME}={function.name}",
            )

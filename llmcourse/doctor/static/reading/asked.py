"""What a call of `generate` is asked for, wherever that stands: in keywords, a dict or a config."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)

# Names of what a tokenizer returned, by which it is known where an argument has the name.
_INPUTS = re.compile(r"input|batch|enc|tokens|tokenized|prompt", re.IGNORECASE)
_CHANGES = ("update", "pop", "setdefault", "clear", "popitem")  # of a dictionary


@dataclass(frozen=True, eq=False)
class Asked:
    """A call that generates, and the settings that it is seen to get."""

    call: ast.Call  # of `generate`, a pipeline, a GenerationConfig or a thread that generates
    kind: str  # "generate", "pipeline", "config" or "thread"
    words: str  # what is called, as it is written: `model.generate`
    given: dict[str, ast.AST]  # the settings' values by name; those that say None are left out
    is_whole: bool  # whether nothing else can set anything: no other dict, no config

    @property
    def says_no_sampling(self) -> bool:
        """Whether `do_sample=False` is written there."""
        return _is(self.given.get("do_sample"), False)

    @property
    def says_sampling(self) -> bool:
        """Whether `do_sample=True` is written there."""
        return _is(self.given.get("do_sample"), True)

    @property
    def may_sample(self) -> bool:
        """Whether it is not seen that nothing is drawn."""
        if "do_sample" in self.given:
            return not self.says_no_sampling
        return not self.is_whole or self.kind == "pipeline"


def every_asked(source: Source) -> Iterator[Asked]:
    """Yield the calls that generate, in the order of their lines."""
    for call in source.calls:
        kind = _kind(source, call)
        if kind is None:
            continue
        words = source.words(call.func)
        if kind != "thread":
            given, is_whole = _of_call(source, call)
            is_whole &= kind != "config" and "generation_config" not in given
            yield Asked(call, kind, words, given, is_whole)
        elif keyword(call, "kwargs") is not None:
            given, is_whole = _unpacked(source, keyword(call, "kwargs"))
            words = source.words(keyword(call, "target"))
            yield Asked(call, kind, words, given, is_whole and "generation_config" not in given)


def is_set_elsewhere(source: Source, *names: str) -> bool:
    """Tell whether an attribute of one of these names is assigned: `config.num_beams = 4`."""
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in names
        for node in source.scopes
    )


def _kind(source: Source, call: ast.Call) -> str | None:
    if source.is_generate(call):
        return "generate"
    if name_of(call) == "pipeline" or source.pipeline(call.func) is not None:
        return "pipeline"
    if name_of(call) == "GenerationConfig":
        return "config"
    target = keyword(call, "target")
    if name_of(call) == "Thread" and last_name(target) == "generate":
        return "thread"
    return None


def _of_call(source: Source, call: ast.Call) -> tuple[dict[str, ast.AST], bool]:
    """Return a call's keywords with those of the dictionaries in it, and whether that is all."""
    given, is_whole = {}, not any(isinstance(one, ast.Starred) for one in call.args)
    for each in call.keywords:
        if each.arg is not None:
            given[each.arg] = each.value
            continue
        more, seen = _unpacked(source, each.value)
        given |= more
        is_whole &= seen
    return {name: value for name, value in given.items() if not _is(value, None)}, is_whole


def _unpacked(source: Source, node: ast.AST) -> tuple[dict[str, ast.AST], bool]:
    """Return what a dictionary holds beside ids and mask, and whether all of it is seen."""
    value = source.placed(node)
    if source.is_encoding(value) or (_INPUTS.search(last_name(node)) and value is node):
        return {}, True
    if _is_changed(source, last_name(node)):
        return {}, False
    if name_of(value) == "dict":
        given, is_whole = _of_call(source, value)
        for one in value.args:
            more, seen = _unpacked(source, one)
            given, is_whole = more | given, is_whole and seen
        return given, is_whole
    if not isinstance(value, ast.Dict):
        return {}, False
    given, is_whole = {}, True
    for name, one in zip(value.keys, value.values, strict=True):
        if name is None:
            more, seen = _unpacked(source, one)
            given |= more
            is_whole &= seen
        elif isinstance(name, ast.Constant):
            given[name.value] = one
        else:
            is_whole = False
    return {name: value for name, value in given.items() if not _is(value, None)}, is_whole


def _is_changed(source: Source, name: str) -> bool:
    """Tell whether a dictionary's entries are set, added or taken away after it was written."""
    for node in source.scopes:
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed = node.value
        elif name_of(node) in _CHANGES:
            changed = owner_of(node)
        else:
            continue
        if name and last_name(changed) == name:
            return True
    return False


def _is(node: ast.AST | None, value: bool | None) -> bool:
    """Tell whether an expression is written as that constant."""
    return isinstance(node, ast.Constant) and node.value is value


def asked_of(source: Source, call: ast.Call) -> Asked | None:
    """Return what a call of `generate` is asked for."""
    return next((asked for asked in every_asked(source) if asked.call is call), None)


def has_beams(source: Source, call: ast.Call) -> bool:
    """Tell whether a call of `generate` is seen to search with several beams."""
    asked = asked_of(source, call)
    return asked is not None and source.is_above_one(asked.given.get("num_beams"))


def number_given(source: Source, asked: Asked, name: str) -> int | float | None:
    """Return a setting's only value, None where it is not seen, or there are several."""
    values = source.constants(asked.given.get(name)) if name in asked.given else []
    known = len(values) == 1 and isinstance(values[0], int | float)
    return values[0] if known and not isinstance(values[0], bool) else None


def prompts_of(source: Source, asked: Asked) -> str | None:
    """Return the name of the list of texts that a call's inputs were made of."""
    for part in ast.walk(asked.call):
        value = source.placed(part) if isinstance(part, ast.Name | ast.Call) else part
        if isinstance(value, ast.Attribute | ast.Subscript):
            value = source.placed(value.value)
        if not isinstance(value, ast.Call) or not value.args:
            continue
        if source.is_tokenizer(value.func) and isinstance(value.args[0], ast.Name):
            texts = source.value(value.args[0])
            one = isinstance(texts, ast.Constant | ast.JoinedStr)
            one = one or (isinstance(texts, ast.List) and len(texts.elts) < 2)
            batch = isinstance(texts, ast.List | ast.ListComp) or is_true(keyword(value, "padding"))
            return value.args[0].id if batch and not one else None
    return None


def rows_asked(source: Source, asked: Asked) -> str | None:
    """Return why a call has several rows, in words; None where it has one, or that is unseen."""
    several = source.constants(asked.given.get("num_return_sequences"))
    if several and all(isinstance(one, int) and one > 1 for one in several):
        return f"num_return_sequences={several[0]}"
    for part in parts_followed(source, asked.call):
        if isinstance(part, ast.Call) and source.is_tokenizer(part.func) and part.args:
            texts = followed(source, part.args[0])
            if isinstance(texts, ast.List) and len(texts.elts) > 1:
                return f"those of {source.words(part.args[0])[:40]}"
    return None

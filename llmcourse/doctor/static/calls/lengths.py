"""Lengths in another unit: characters, words, rows or fields where tokens are meant."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.static.reading.tensors import followed
from llmcourse.doctor.subject import Subject

_LENGTHS = ("max_length", "max_new_tokens", "min_length", "min_new_tokens")
_TEXT = re.compile(r"(^|_)(text|prompt|question|context|document|article|sentence|query|story)$")


@in_the_source(
    "length-in-other-units",
    subject=Subject.LENGTH,
    severities=(ERROR, WARNING),
    symptom="Answers are far too long or too short, or the call is refused.",
    cause="""
        `max_length`, `max_new_tokens` and their like count tokens. `len` of a text counts
        characters, of ids in a batch rows, and of a tokenizer's output its fields.
    """,
    fix="Count ids along their second dimension.",
    example='model.generate(**inputs, max_length=inputs["input_ids"].shape[1] + 50)',
    how_sure="""
        Likely: only the source was read. An error where rows or fields are counted, a warning for
        characters and words.
    """,
)
def length_in_other_units(source: Source) -> Iterator[Finding]:
    """A length that is counted in something else than tokens."""
    for asked in every_asked(source):
        for name in _LENGTHS:
            unit = _unit(source, asked.given.get(name))
            if unit is None:
                continue
            words = source.words(asked.given[name])
            yield found(
                "length-in-other-units",
                ERROR if unit in ("rows", "fields") else WARNING,
                asked.call,
                what=f"{name}={words} is counted in {unit}, and {name} counts tokens.",
                why="A token is some four characters of English, less than a word; a batch of one "
                "has one row, and the inputs two fields.",
                fix=f'{name}=inputs["input_ids"].shape[1] + 50',
            )


def _unit(source: Source, node: ast.AST | None, depth: int = 4) -> str | None:
    """Return what a length is counted in, where that is not tokens."""
    value = None if node is None else followed(source, node)
    if isinstance(value, ast.BinOp) and depth:
        return _unit(source, value.left, depth - 1) or _unit(source, value.right, depth - 1)
    if not isinstance(value, ast.Call) or len(value.args) < 1:
        return None
    if last_name(value.func) in ("min", "max", "int", "round", "sum") and depth:
        each = [getattr(one, "elt", one) for one in value.args]  # max(len(text) for text in texts)
        return next((unit for one in each if (unit := _unit(source, one, depth - 1))), None)
    if last_name(value.func) != "len":
        return None
    measured = value.args[0]
    counted = followed(source, measured)
    if source.is_encoding(counted):
        return "fields"
    if _is_batch(source, counted):
        return "rows"
    if isinstance(counted, ast.Call) and name_of(counted) == "split":
        return None if counted.args else "words"
    return "characters" if _is_text(source, measured, counted) else None


def _is_batch(source: Source, ids: ast.AST) -> bool:
    """Tell whether an expression is all ids of a batch, as a tensor of two dimensions."""
    entry = isinstance(ids, ast.Subscript) and source.constants(ids.slice) == ["input_ids"]
    if not entry and last_name(ids) != "input_ids":
        encodes = isinstance(ids, ast.Call) and name_of(ids) == "encode"
        return encodes and source.is_tokenizer(owner_of(ids)) and _as_tensor(ids)
    made = source.placed(followed(source, ids.value)) if hasattr(ids, "value") else None
    return isinstance(made, ast.Call) and source.is_encoding(made) and _as_tensor(made)


def _as_tensor(call: ast.Call) -> bool:
    return keyword(call, "return_tensors") is not None


def _is_text(source: Source, node: ast.AST, value: ast.AST) -> bool:
    """Tell whether an expression is a text: written there, or what a tokenizer is given."""
    if isinstance(value, ast.JoinedStr):
        return True
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    given = [call.args[0] for call in source.calls if call.args and source.is_tokenizer(call.func)]
    encoded = [one.id for one in given if isinstance(one, ast.Name)]
    if isinstance(value, ast.Subscript):  # one of the texts that a tokenizer is given
        return last_name(value.value) in encoded
    if not isinstance(value, ast.Name):
        return isinstance(value, ast.Call) and name_of(value) == "format"
    return value.id in encoded and bool(_TEXT.search(last_name(node)))


@in_the_source(
    "prompt-counted-as-new",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="The longer the prompt, the longer the answer may go on.",
    cause="""
        `max_new_tokens` counts the new tokens alone. The prompt's length is no part of it;
        `max_length` is the one that counts both.
    """,
    fix="Leave the prompt's length out.",
    example="model.generate(**inputs, max_new_tokens=50)",
    how_sure="Likely: only the source was read, where the prompt's length is added.",
)
def prompt_counted_as_new(source: Source) -> Iterator[Finding]:
    """The prompt's length is added to the number of new tokens."""
    for asked in every_asked(source):
        given = asked.given.get("max_new_tokens")
        value = None if given is None else followed(source, given)
        if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Add):
            continue
        sides = [(value.left, value.right), (value.right, value.left)]
        rest = next((rest for side, rest in sides if _is_prompts_length(source, side)), None)
        if rest is None:
            continue
        yield found(
            "prompt-counted-as-new",
            WARNING,
            asked.call,
            what=f"max_new_tokens={source.words(given)} adds the prompt's length.",
            why="It counts new tokens alone: the answer may go on for the prompt's length more.",
            fix=f"{asked.words}(..., max_new_tokens={source.words(rest)})",
        )


def _is_prompts_length(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is how many tokens the prompt has."""
    value = followed(source, node)
    words = ast.unparse(value)
    counts = ".shape[" in words or ".size(" in words or words.startswith("len(")
    return counts and "input" in words and not isinstance(value, ast.BinOp)

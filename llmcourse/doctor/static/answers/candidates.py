"""A word of a list as the answer: which of its tokens is read, with or without its space."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_string,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tokens import owner_of_ids
from llmcourse.doctor.subject import Subject

_WORD = re.compile(r"^[A-Za-z]+$")
_ENDS_OPEN = re.compile(r"[A-Za-z]:$")
_SHOWN = re.compile(r"nswer: [\w{]")  # an example in the prompt, with its space
_GOLD = re.compile(r"gold|expected|target|correct|reference|truth|label|answer", re.IGNORECASE)
_STRIPS = ("strip", "lstrip", "split", "replace", "removeprefix", "search", "match")
_WORD_OR_SPACED = re.compile(r"^ ?[A-Za-z]+$")


@in_the_source(
    "answer-without-its-space",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely: only the source was read, where the prompt ends with a colon. A note where the word
        is encoded and no example has a space there: some tokenizers put it before the word.
    """,
)
def answer_without_its_space(source: Source) -> Iterator[Finding]:
    """The id of a bare word is looked up, and the prompt ends without a space."""
    if "apply_chat_template" in source.text or not _prompt_ends_open(source):
        return
    for call in list(source.scopes):
        encoded = _bare_word(source, call) if isinstance(call, ast.Call) else None
        word = encoded or _looked_up(source, call)
        if word is None:
            continue
        sure = not encoded or name_of(call) == "convert_tokens_to_ids"
        sure = sure or bool(_SHOWN.search(source.text))
        yield found(
            "answer-without-its-space",
            WARNING if sure else NOTE,
            call,
            what=f"{source.words(call)} is the id of {word!r} without a space, and the prompt ends "
            "with a colon.",
            why=f"After it the model writes {' ' + word!r}, which is another token.",
            fix=f"(token,) = tokenizer({' ' + word!r}, add_special_tokens=False).input_ids",
        )
        return


def _prompt_ends_open(source: Source) -> bool:
    """Tell whether a text of the source ends with a word and a colon, as prompts do."""
    for node in list(source.scopes):
        text = node.values[-1] if isinstance(node, ast.JoinedStr) and node.values else node
        inner = isinstance(source.parents.get(node), ast.JoinedStr | ast.FormattedValue)
        plain = is_string(text)
        if plain and not inner and _ENDS_OPEN.search(text.value) and "nswer" in text.value:
            return True
    return False


def _bare_word(source: Source, call: ast.Call) -> str | None:
    """Return the word whose id a call gives: looked up, or encoded without special tokens."""
    if not call.args or not source.is_tokenizer(owner_of(call)):
        return None
    encodes = name_of(call) == "encode" or source.is_tokenizer(call.func)
    encodes &= is_false(keyword(call, "add_special_tokens"))
    if not encodes and name_of(call) != "convert_tokens_to_ids":
        return None
    words = _written(source, call.args[0])
    return words[0] if words and all(map(_WORD.match, words)) else None


def _looked_up(source: Source, node: ast.AST) -> str | None:
    """Return the bare word that is looked up in a vocabulary: `tokenizer.get_vocab()["Yes"]`."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
        return None
    made = followed(source, node.value)
    named = name_of(made) if isinstance(made, ast.Call) else last_name(made)
    word = node.slice.value
    fits = named in ("get_vocab", "vocab") and isinstance(word, str)
    return word if fits and _WORD.match(word) else None


def _written(source: Source, node: ast.AST) -> list[str]:
    """Return the words that an expression may be, those of a loop or comprehension too."""
    value = source.value(node)
    if isinstance(value, ast.Subscript):  # a loop's variable
        through = source.value(value.value)
        if is_string(through):
            return list(through.value)
    return [one for one in source.constants(node) if isinstance(one, str)]


@in_the_source(
    "compared-with-its-space",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where decoded new tokens are compared with a word, and
        nothing strips them. A chat model's answer often begins without a space.
    """,
)
def compared_with_its_space(source: Source) -> Iterator[Finding]:
    """Decoded tokens are compared with a bare word."""
    if "apply_chat_template" in source.text:
        return
    for node in list(source.scopes):
        text, words = _against(source, node)
        if (
            text is None
            or not words
            or not _is_new_text(source, text)
            or _is_stripped(source, text)
        ):
            continue
        yield found(
            "compared-with-its-space",
            WARNING,
            node,
            what=f"{source.words(text)} is decoded, and compared with {words[0]!r} as it is.",
            why="A continuation begins with its space, which the word has not: they are not equal.",
            fix=f"{source.words(text)}.strip()  # before it is compared",
        )
        return


def _against(source: Source, node: ast.AST) -> tuple[ast.AST | None, list[str]]:
    """Return a text and the bare words that it is compared with, looked up by, or begins with."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        words = _compared(source, node)
        return node.left, words
    if name_of(node) == "startswith" and node.args:
        words = [one for one in source.constants(node.args[0]) if isinstance(one, str)]
        return owner_of(node), words if all(map(_WORD.match, words)) else []
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
        held = source.value(node.value)
        keys = held.keys if isinstance(held, ast.Dict) else []
        words = [getattr(one, "value", None) for one in keys]
        fits = words and all(isinstance(one, str) and _WORD.match(one) for one in words)
        return node.slice, list(words) if fits else []
    return None, []


def _compared(source: Source, node: ast.Compare) -> list[str]:
    """Return the bare words that something is compared with by `==` or `in [...]`."""
    other = source.value(node.comparators[0])
    if isinstance(node.ops[0], ast.Eq | ast.NotEq):
        texts = [other.value] if isinstance(other, ast.Constant) else []
        if isinstance(other, ast.Name | ast.Subscript) and _GOLD.search(
            ast.unparse(node.comparators[0])
        ):
            return [ast.unparse(node.comparators[0])]
    elif isinstance(node.ops[0], ast.In | ast.NotIn):
        listed = isinstance(other, ast.List | ast.Tuple | ast.Set)
        texts = [getattr(one, "value", None) for one in other.elts] if listed else []
    else:
        texts = []
    fits = texts and all(isinstance(one, str) and _WORD.match(one) for one in texts)
    return list(texts) if fits else []


def _is_new_text(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is decoded from a token that was chosen by its logit."""
    made = followed(source, node)
    if name_of(made) != "decode" or not made.args:
        return False
    if not source.is_tokenizer(owner_of(made)):
        return False
    parts = parts_followed(source, made.args[0])
    return any(name_of(part) == "argmax" for part in parts)


def _is_stripped(source: Source, node: ast.AST) -> bool:
    """Tell whether a text's name is stripped, or looked at in another way, anywhere."""
    name = name_at(node)
    return any(
        name_of(call) in _STRIPS and name_at(owner_of(call)) == name
        for call in source.calls
        if name
    )


@in_the_source(
    "first-id-of-a-word",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="Yes and No are equally likely, or never; `convert_tokens_to_ids` gives unknown.",
    cause="""
        The first id of an encoded word may be the begin token, which some tokenizers put before
        every text, or a piece of the word. After a space the word is another token than alone, and
        the vocabulary spells that space with a marker.
    """,
    fix="Encode the word as it stands in the text, without special tokens; see that it is one.",
    example="""
        (yes,) = tokenizer(" Yes", add_special_tokens=False).input_ids
    """,
    how_sure="""
        Likely: only the source was read. A note where it depends on the tokenizer; a warning where
        a token is looked up by its text with a space.
    """,
)
def first_id_of_a_word(source: Source) -> Iterator[Finding]:
    """A word's chance is read at its first id, special tokens included."""
    for node in list(source.scopes):
        looked_up = _looked_up_with_space(source, node)
        word = looked_up or _first_id_of(source, node)
        if word is None:
            continue
        yield found(
            "first-id-of-a-word",
            WARNING if looked_up else NOTE,
            node,
            what=f"{source.words(node)} looks up a token by a text with a space."
            if looked_up
            else f"{source.words(node)} is the first id of {word!r}, special tokens included.",
            why="Vocabularies spell the space with a marker: it is not found."
            if looked_up
            else "Where the tokenizer begins texts with a token, it is that one for every word.",
            fix=f"(token,) = tokenizer({word!r}, add_special_tokens=False).input_ids",
        )


def _looked_up_with_space(source: Source, node: ast.AST) -> str | None:
    if name_of(node) != "convert_tokens_to_ids" or not node.args:
        return None
    words = [one for one in source.constants(node.args[0]) if isinstance(one, str)]
    return next((word for word in words if word.startswith(" ") and word.strip()), None)


def _first_id_of(source: Source, node: ast.AST) -> str | None:
    """Return the word whose first id a node takes: `tokenizer("Yes").input_ids[0]`."""
    if not isinstance(node, ast.Subscript) or ast.unparse(node.slice) != "0":
        return None
    if isinstance(above := source.parents.get(node), ast.keyword) and above.arg == "eos_token_id":
        return None  # as the end of a text: a mistake of its own
    encodes = name_of(node.value) == "encode"
    value = node.value if encodes else owner_of_ids(node.value)
    if not isinstance(value, ast.Call) or not value.args:
        return None
    if isinstance(followed(source, value.args[0]), ast.List | ast.ListComp):
        return None  # a batch, of which this is the first row
    known = source.is_tokenizer(value.func) or source.is_tokenizer(owner_of(value))
    if not known or keyword(value, "add_special_tokens") or keyword(value, "return_tensors"):
        return None
    words = [one for one in source.constants(value.args[0]) if isinstance(one, str)]
    return next((word for word in words if _WORD_OR_SPACED.match(word)), None)

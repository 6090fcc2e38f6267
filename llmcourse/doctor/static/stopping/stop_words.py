"""Words to stop at, or never to write: encoded out of their context, or escaped."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.classes import written
from llmcourse.doctor.static.reading.following import parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    keyword,
    last_name,
    name_of,
    owner_of,
    values_given,
)
from llmcourse.doctor.subject import Subject

_WORD = re.compile(r"^ ?[A-Za-z][A-Za-z']+$")
_STOP_WORD = re.compile(r"^[A-Za-z][A-Za-z' ]*:?$")
# Models whose tokenizers put a begin token before what they encode.
_BEGINS_TEXTS = re.compile(r"llama|mistral|mixtral|gemma|vicuna|alpaca|zephyr", re.IGNORECASE)
_SENTENCE_PIECE = re.compile(
    r"llama-?2|llama-?[71]|huggyllama|vicuna|codellama|tinyllama|mistral-7b|mixtral|zephyr",
    re.IGNORECASE,
)
_ENCODES = ("encode", "tokenize", "convert_tokens_to_ids", "encode_plus", "batch_encode_plus")
_STOPS = ("stop_strings", "stop_sequence", "stop")
_ESCAPED = re.compile(r"\\[nrt]")
_MARK = re.compile(r"^\s*(<.*>|\[.*\])\s*$")
_PIECES = re.compile(r"\w[^\w\s]|[^\w\s]\w|\w\s+\w")  # of a text that is no single token


@in_the_source(
    "bad-words-one-spelling",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where a word stands in one spelling alone. Some tokenizers
        put a space before every word.
    """,
)
def bad_words_one_spelling(source: Source) -> Iterator[Finding]:
    """A word is banned with its space, or without, and not both."""
    for asked in every_asked(source):
        value = asked.given.get("bad_words_ids")
        words = _encoded_words(source, value) if value is not None else []
        lone = [word for word in words if _WORD.match(word) and _other(word) not in words]
        if not lone or _adds_spaces(source):
            continue
        yield found(
            "bad-words-one-spelling",
            WARNING,
            asked.call,
            what=f"bad_words_ids bans {lone[0]!r}, in one spelling alone.",
            why=f"{_other(lone[0])!r}, with or without the space, is other tokens, and not banned.",
            fix=f"for word in ({lone[0]!r}, {_other(lone[0])!r})  # the ids of both",
        )


def _other(word: str) -> str:
    """Return a word's spelling with the space before it, or without."""
    return word[1:] if word.startswith(" ") else f" {word}"


def _adds_spaces(source: Source) -> bool:
    """Tell whether a tokenizer is told to put a space before words."""
    return any(keyword(call, "add_prefix_space") is not None for call in source.calls)


def _encoded_words(source: Source, node: ast.AST, depth: int = 4) -> list[str]:
    """Return the texts that an expression of ids is made of, as far as they are written there."""
    words: list[str] = []
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and _encodes(source, part) and part.args:
            words += _texts(source, part.args[0], depth)
        elif isinstance(part, ast.Name) and depth:
            value = source.value(part)
            if value is not part and not isinstance(value, ast.Constant):
                words += _encoded_words(source, value, depth - 1)
    return words


def _encodes(source: Source, call: ast.Call) -> bool:
    return source.is_tokenizer(call.func) or name_of(call) in _ENCODES


def _texts(source: Source, node: ast.AST, depth: int) -> list[str]:
    """Return the strings that an expression may be."""
    texts = [one for one in source.constants(node) if isinstance(one, str)]
    if not texts and isinstance(node, ast.Call) and node.args and depth:
        return _texts(source, node.args[0], depth - 1)
    return texts


@in_the_source(
    "stop-ids-never-match",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where a criterion gets the ids of a word without the space
        before it.
    """,
)
def stop_ids_never_match(source: Source) -> Iterator[Finding]:
    """A criterion compares ids with those of a word that was encoded alone."""
    for call, given in _given_to_criteria(source):
        words = [word for one in given for word in _ids_of_words(source, one)]
        lone = [word for word in words if _STOP_WORD.match(word) and _other(word) not in words]
        lone = [word for word in lone if len(word) > 1]
        if not lone:
            continue
        yield found(
            "stop-ids-never-match",
            WARNING,
            call,
            what=f"{source.words(call.func)} stops at the ids of {lone[0]!r}, encoded alone.",
            why="After a space the word is other tokens, and its ids never come.",
            fix=f"model.generate(..., stop_strings=[{lone[0]!r}], tokenizer=tokenizer)",
        )


def _given_to_criteria(source: Source) -> Iterator[tuple[ast.Call, list[ast.AST]]]:
    """Yield where criteria that compare ids are made, and what each is given."""
    classes = {
        one.node.name
        for one in written(source)
        if not one.is_processor and "decode" not in ast.unparse(one.node)
    }
    for call in source.calls:
        if last_name(call.func) in classes:
            yield call, values_given(call)


@in_the_source(
    "stop-ids-begin-a-text",
    severities=(NOTE,),
    how_sure="""
        Likely, and a note: only the source was read, where a model is named whose tokenizer adds a
        begin token.
    """,
)
def stop_ids_begin_a_text(source: Source) -> Iterator[Finding]:
    """A stop word is encoded with its special tokens."""
    for _, given in _given_to_criteria(source):
        parts = [part for one in given for part in parts_followed(source, one)]
        encoded = next((one for one in parts if _encodes_whole(source, one)), None)
        if encoded is None or any(isinstance(one, ast.Slice) for one in parts):
            continue
        if not _BEGINS_TEXTS.search(source.text):
            continue
        added = keyword(encoded, "add_special_tokens") is None
        first = "the begin token" if added else "a piece for a space"
        yield found(
            "stop-ids-begin-a-text",
            NOTE,
            encoded,
            what=f"{source.words(encoded)} may begin with {first}, which no text repeats there.",
            why="A word alone is encoded as the beginning of a text: its ids never match then.",
            fix=f"{source.words(encoded.func)}(..., add_special_tokens=False)"
            if added
            else "model.generate(..., stop_strings=words, tokenizer=tokenizer)",
        )


def _encodes_whole(source: Source, node: ast.AST) -> bool:
    """Tell whether a node encodes a text of several tokens, special tokens included."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    encodes = name_of(node) == "encode" and source.is_tokenizer(owner_of(node))
    texts = _texts(source, node.args[0], 4)
    if keyword(node, "add_special_tokens") is not None:  # SentencePiece adds a space all the same
        pieces = _SENTENCE_PIECE.search(source.text) is not None
        starts = pieces and any(text.startswith("\n") for text in texts)
        return (encodes or source.is_tokenizer(node.func)) and starts
    several = any(not _STOP_WORD.match(text) and len(text) > 2 for text in texts)
    return (encodes or source.is_tokenizer(node.func)) and several


def _ids_of_words(source: Source, node: ast.AST) -> list[str]:
    """Return the words whose ids an argument is; one id of several is chosen with care."""
    value = source.value(node)
    chosen = isinstance(value, ast.Subscript) and not isinstance(value.slice, ast.Slice)
    if chosen and not isinstance(value.slice, ast.Constant):
        return []
    if chosen and value.slice.value not in ("input_ids", 0):
        return []
    return _encoded_words(source, value)


@in_the_source(
    "stop-string-with-backslash",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="A stop at the end of a line never comes.",
    cause=r"""
        `"\\n"` and `r"\n"` are two characters, a backslash and an n. The model writes the one
        character that ends a line.
    """,
    fix="Write it with one backslash; decode what comes from a shell or a file.",
    example=r"""
        model.generate(**inputs, stop_strings=["\n"], tokenizer=tokenizer)
    """,
    how_sure="Likely: only the source was read, where a backslash and an n stand in a stop word.",
)
def stop_string_with_backslash(source: Source) -> Iterator[Finding]:
    """A stop string with an escape that was escaped."""
    for asked in every_asked(source):
        stops = [one for name in _STOPS for one in source.constants(asked.given.get(name))]
        wrong = next((one for one in stops if isinstance(one, str) and _ESCAPED.search(one)), None)
        if wrong is None:
            continue
        right = wrong.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")
        yield found(
            "stop-string-with-backslash",
            WARNING,
            asked.call,
            what=f"The stop string {wrong!r} has a backslash and a letter in it.",
            why="The model writes the end of a line as one character: these two never come.",
            fix=f"stop_strings=[{right!r}]",
        )


@in_the_source(
    "eos-from-encode",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the end is the ids, or one of the ids, of a word that
        stands there.
    """,
)
def eos_from_encode(source: Source) -> Iterator[Finding]:
    """The ids of a word as ends of a text."""
    for asked in every_asked(source):
        given = asked.given.get("eos_token_id")
        text = None if given is None else _encoded(source, given)
        if text is None or _MARK.match(text) or not re.search(r"\w|##", text):
            continue
        yield found(
            "eos-from-encode",
            WARNING,
            asked.call,
            what=f"eos_token_id={source.words(given)}: ids of {text!r}, each of which ends a text.",
            why="A word may be several tokens, and others in a text; the first may begin texts.",
            fix=f"{asked.words}(..., stop_strings=[{text!r}], tokenizer=tokenizer)",
        )


def _encoded(source: Source, node: ast.AST) -> str | None:
    """Return the text of several characters of which a value is the ids, or the first or last."""
    value = source.value(node)
    if isinstance(value, ast.BinOp):  # [tokenizer.eos_token_id] + [...]
        return _encoded(source, value.left) or _encoded(source, value.right)
    if isinstance(value, ast.ListComp | ast.List):
        return _encoded_in_list(source, value)
    if isinstance(value, ast.Subscript) or (
        isinstance(value, ast.Attribute) and value.attr == "input_ids"
    ):
        return _encoded(source, value.value)
    if not isinstance(value, ast.Call) or not value.args:
        return None
    encodes = name_of(value) == "encode" and source.is_tokenizer(owner_of(value))
    if not encodes and not source.is_tokenizer(value.func):
        return None
    texts = source.constants(value.args[0])
    known = len(texts) == 1 and isinstance(texts[0], str) and len(texts[0].strip()) > 1
    return texts[0] if known else None


def _encoded_in_list(source: Source, node: ast.ListComp | ast.List) -> str | None:
    """Return a text of several pieces of which one id each is taken into a list."""
    ids = node.elts if isinstance(node, ast.List) else [node.elt]
    for one in (source.value(each) for each in ids):
        made = source.value(one.value) if isinstance(one, ast.Subscript) else None
        if name_of(made) != "encode" or not source.is_tokenizer(owner_of(made)) or not made.args:
            continue
        texts = source.constants(made.args[0])
        if isinstance(node, ast.ListComp) and len(node.generators) == 1:
            loop = node.generators[0]
            of_each = ast.unparse(loop.target) == ast.unparse(made.args[0])
            texts = source.constants(loop.iter) if of_each else []
        several = [text for text in texts if isinstance(text, str) and _PIECES.search(text.strip())]
        if several:
            return max(several, key=len)
    return None

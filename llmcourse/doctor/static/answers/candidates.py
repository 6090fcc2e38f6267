"""Which token, text or sequence is taken for the answer: its space, its order, its number."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import (
    followed,
    kind,
    name_at,
    parts_followed,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_WORD = re.compile(r"^[A-Za-z]+$")
_ENDS_OPEN = re.compile(r"[A-Za-z]:$")
_SHOWN = re.compile(r"nswer: [\w{]")  # an example in the prompt, with its space
_GOLD = re.compile(r"gold|expected|target|correct|reference|truth|label|answer", re.IGNORECASE)
_STRIPS = ("strip", "lstrip", "split", "replace", "removeprefix", "search", "match")


@in_the_source(
    "answer-without-its-space",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="Yes and No, or A to D, have tiny probabilities; the accuracy is that of guessing.",
    cause="""
        After a prompt that ends with a colon, the answer begins with a space, and the word with its
        space is another token than the word alone: " Yes" and "Yes" have two ids. The probability
        is at the one with the space.
    """,
    fix="Encode the word as it follows the prompt, with its space.",
    example="""
        (yes,) = tokenizer(" Yes", add_special_tokens=False).input_ids
    """,
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
        plain = isinstance(text, ast.Constant) and isinstance(text.value, str)
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
        if isinstance(through, ast.Constant) and isinstance(through.value, str):
            return list(through.value)
    return [one for one in source.constants(node) if isinstance(one, str)]


@in_the_source(
    "compared-with-its-space",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Every answer counts as wrong, though the printed text looks right.",
    cause="""
        A continuation begins with its space: after "Answer:" the token is " Yes". Decoded it has
        the space, or the special token that ended the text, and is not equal to "Yes".
    """,
    fix="Strip the text before it is compared.",
    example="text = tokenizer.decode(new, skip_special_tokens=True).strip()",
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
    if isinstance(node, ast.Call) and name_of(node) == "startswith" and node.args:
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
    if not isinstance(made, ast.Call) or name_of(made) != "decode" or not made.args:
        return False
    if not source.is_tokenizer(owner_of(made)):
        return False
    parts = parts_followed(source, made.args[0])
    return any(isinstance(part, ast.Call) and name_of(part) == "argmax" for part in parts)


def _is_stripped(source: Source, node: ast.AST) -> bool:
    """Tell whether a text's name is stripped, or looked at in another way, anywhere."""
    name = name_at(node)
    return any(
        name_of(call) in _STRIPS and name_at(owner_of(call)) == name
        for call in source.calls
        if name
    )


@in_the_source(
    "least-likely-first",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The 'top' tokens are rare signs and pieces, with probabilities near zero.",
    cause="""
        `sort` and `argsort` go from the smallest up unless `descending=True` says otherwise, in
        NumPy always. The first entries are the least likely tokens.
    """,
    fix="Use `topk`, or sort descending.",
    example="values, ids = probs.topk(5)",
    how_sure="""
        Likely: only the source was read, where the first entries of an ascending sort are taken.
    """,
)
def least_likely_first(source: Source) -> Iterator[Finding]:
    """The first entries of logits or probabilities that were sorted upwards."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not _takes_beginning(node):
            continue
        ranked = _sorted(source, node.value)
        if ranked is None or kind(source, tensor_of(ranked)) is None:
            continue
        if "cumsum" in source.text:  # a nucleus, which has a check of its own
            return
        words = source.words(ranked)
        yield found(
            "least-likely-first",
            ERROR,
            node,
            what=f"{source.words(node)} takes the least likely tokens: {words} sorts upwards.",
            why="sort and argsort ascend unless descending=True says otherwise.",
            fix=f"{source.words(tensor_of(ranked))}.topk(k)",
        )
        return


def _takes_beginning(node: ast.Subscript) -> bool:
    """Tell whether a slice is `[:k]` or `[..., :k]`, with a k that is no negative number."""
    part = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
    if not isinstance(part, ast.Slice) or part.lower is not None or part.upper is None:
        return False
    return part.step is None and not isinstance(part.upper, ast.UnaryOp)


def _sorted(source: Source, node: ast.AST) -> ast.Call | None:
    """Return the ascending sort of which an expression is the values or the indices."""
    value = followed(source, node)
    while isinstance(value, ast.Call) and name_of(value) in ("tolist", "cpu", "numpy"):
        value = followed(source, owner_of(value))
    named = isinstance(value, ast.Attribute) and value.attr in ("values", "indices")
    if named or (isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)):
        value = followed(source, value.value)
    if not isinstance(value, ast.Call) or name_of(value) not in ("sort", "argsort"):
        return None
    falls = keyword(value, "descending") is not None or any(map(is_true, value.args))
    return None if falls or tensor_of(value) is None or last_name(value.func) == "" else value

"""The end token: compared with its text, looked for at another place, counted as padding."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked
from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_string,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_END = re.compile(r"eos|end_token|end_id|im_end|eot")
_COUNTS = re.compile(r"len|tok|num|count|new|size", re.IGNORECASE)


@in_the_source(
    "end-never-matches",
    subject=Subject.ENDS,
    severities=(ERROR,),
    symptom="A loop written by hand runs until its limit, though it looks for the end.",
    cause="""
        A chosen token is a number or a tensor; `eos_token` is a text, and `is` asks whether two are
        one object. Neither is ever true.
    """,
    fix="Compare ids, with `==`.",
    example="""
        if token.item() == tokenizer.eos_token_id:
            break
    """,
    how_sure="Likely: only the source was read, where what is compared was chosen by its id.",
)
def end_never_matches(source: Source) -> Iterator[Finding]:
    """A token's id is compared with the end's text, or by identity."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or len(node.comparators) != 1:
            continue
        sides = [node.left, node.comparators[0]]
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            yield from _id_among_texts(source, node)
            continue
        same = isinstance(node.ops[0], ast.Is | ast.IsNot)
        ends = [one for one in sides if last_name(one) in ("eos_token", "eos_token_id")]
        others = [one for one in sides if one not in ends]
        if len(ends) != 1 or not isinstance(node.ops[0], ast.Is | ast.IsNot | ast.Eq | ast.NotEq):
            continue
        text = last_name(ends[0]) == "eos_token"
        if not (text or same) or not _is_chosen(source, others[0]):
            continue
        words = source.words(others[0])
        yield found(
            "end-never-matches",
            ERROR,
            node,
            what=f"{source.words(node)} compares a token's id with a text."
            if text
            else f"{source.words(node)} asks whether two are one object, not whether they agree.",
            why="It is never so, and the loop runs until its limit.",
            fix=f"{words} == tokenizer.eos_token_id",
        )


def _id_among_texts(source: Source, node: ast.Compare) -> Iterator[Finding]:
    """Yield where an id is looked for among texts: `token in ["</s>"]`."""
    texts = followed(source, node.comparators[0])
    elements = getattr(texts, "elts", [])
    known = [(is_string(one)) or last_name(one) in ("eos_token", "pad_token") for one in elements]
    if not known or not all(known) or not _is_chosen(source, node.left):
        return
    yield found(
        "end-never-matches",
        ERROR,
        node,
        what=f"{source.words(node)} looks for a token's id among texts.",
        why="It is never among them, and the loop runs until its limit.",
        fix=f"{source.words(node.left)} in tokenizer.convert_tokens_to_ids(...)",
    )


def _is_chosen(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a token that was chosen, as an id."""
    value = followed(source, node)
    while name_of(value) in ("item", "squeeze", "int", "cpu"):
        inner = owner_of(value) if owner_of(value) is not value.func else value.args[0]
        value = followed(source, inner)
    return name_of(value) in ("argmax", "multinomial")


def _batches(source: Source) -> set[ast.AST]:
    """Return the calls of `generate` that are seen to have several rows."""
    return {asked.call for asked in every_asked(source) if _has_rows(source, asked)}


def _has_rows(source: Source, asked: Asked) -> bool:
    if source.is_above_one(asked.given.get("num_return_sequences")):
        return True
    for part in parts_followed(source, asked.call):
        if isinstance(part, ast.Call) and source.is_tokenizer(part.func) and part.args:
            texts = followed(source, part.args[0])
            listed = isinstance(texts, ast.List | ast.ListComp)
            if listed and len(getattr(texts, "elts", "ab")) > 1:
                return True
            padded = is_true(keyword(part, "padding"))
            if padded and not isinstance(texts, ast.List | ast.Constant | ast.JoinedStr):
                return True
    return False


def _rows_of(source: Source, node: ast.AST, batches: set[ast.AST]) -> bool:
    """Tell whether an expression is all rows of such a call, cut or not."""
    value = followed(source, node)
    if isinstance(value, ast.Attribute) and value.attr == "sequences":
        value = followed(source, value.value)
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Tuple):
        first = value.slice.elts[0]
        last = value.slice.elts[-1]
        if not isinstance(first, ast.Slice) or not isinstance(last, ast.Slice):
            return False
        return last.upper is None and _rows_of(source, value.value, batches)
    return source.placed(value) in batches


def _row_of(source: Source, node: ast.AST, batches: set[ast.AST]) -> bool:
    """Tell whether an expression is one of such rows, as far as a loop or a number says."""
    value = source.value(node)
    if not isinstance(value, ast.Subscript):
        return False
    if isinstance(value.slice, ast.Slice):
        open_end = value.slice.upper is None
        return open_end and _row_of(source, value.value, batches)
    place = isinstance(value.slice, ast.Constant | ast.Name)
    return place and _rows_of(source, value.value, batches)


@in_the_source(
    "padding-counted",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="All answers of a batch seem to have the same length, that of the longest.",
    cause="""
        `generate` goes on until the last row has ended. Rows that ended before are filled up with
        the padding token, and a row's length counts it.
    """,
    fix="Count up to the end token.",
    example="""
        lengths = (new != tokenizer.pad_token_id).sum(dim=1)
    """,
    how_sure="""
        Likely: only the source was read, where a row's length, or the number of all tokens, of a
        batch is called a number of tokens.
    """,
)
def padding_counted(source: Source) -> Iterator[Finding]:
    """The length of a batch's row is taken for the answer's."""
    batches = _batches(source)
    for call in source.calls if batches else ():
        if last_name(call.func) == "len" and len(call.args) == 1:
            rows, counted = call.args[0], _row_of(source, call.args[0], batches)
        elif name_of(call) == "numel" and not call.args:
            rows, counted = owner_of(call), _rows_of(source, owner_of(call), batches)
        else:
            continue
        if not counted or not _is_a_count(source, call):
            continue
        yield found(
            "padding-counted",
            WARNING,
            call,
            what=f"{source.words(call)} counts the padding after a row's end too.",
            why="Rows that ended early are filled up to the longest with the padding token.",
            fix=f"({source.words(rows)} != tokenizer.pad_token_id).sum(-1)",
        )


def _is_a_count(source: Source, call: ast.Call) -> bool:
    """Tell whether a length is kept or shown as a number of tokens, and cuts nothing."""
    for above in source.above(call):
        if isinstance(above, ast.Subscript | ast.Slice | ast.Compare):
            return False
        if isinstance(above, ast.Call) and last_name(above.func) in ("range", "max", "min"):
            return False
        if isinstance(above, ast.Assign):
            return bool(_COUNTS.search(ast.unparse(above.targets[0])))
        if isinstance(above, ast.AugAssign):
            return bool(_COUNTS.search(ast.unparse(above.target)))
        if name_of(above) in ("append", "print"):
            return bool(_COUNTS.search(ast.unparse(above)))
        if isinstance(above, ast.stmt):
            return False
    return False


@in_the_source(
    "end-looked-for-at-the-last",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="Answers of a batch that ended count as cut off, all but the longest.",
    cause="""
        Rows that ended early are filled up with the padding token. Their last token is padding, and
        their end token stands before it.
    """,
    fix="Look for the end token anywhere in what is new.",
    example="ended = (new == tokenizer.eos_token_id).any(dim=1)",
    how_sure="""
        Likely: only the source was read, where the call has several rows. Where the padding token
        is the end token, it comes out right.
    """,
)
def end_looked_for_at_the_last(source: Source) -> Iterator[Finding]:
    """A row's last token is asked whether the row has ended."""
    batches = _batches(source)
    if not batches or _pads_with_the_end(source):
        return
    for node in list(source.scopes):
        if not isinstance(node, ast.Compare) or len(node.comparators) != 1:
            continue
        sides = [node.left, node.comparators[0]]
        last = next((one for one in sides if _is_last(source, one, batches)), None)
        if last is None or not any(_END.search(ast.unparse(one)) for one in sides):
            continue
        yield found(
            "end-looked-for-at-the-last",
            WARNING,
            node,
            what=f"{source.words(node)} looks for the end in the last place of a batch's row.",
            why="Rows that ended before the longest have padding there, and their end before it.",
            fix=f"({_whole(source, last)} == tokenizer.eos_token_id).any(-1)",
        )


def _whole(source: Source, last: ast.AST) -> str:
    """Return the rows, or the row, whose last place an expression is, as they are written."""
    value = last
    while isinstance(value, ast.Call):
        value = owner_of(value)
    return source.words(value.value) if isinstance(value, ast.Subscript) else "new"


def _is_last(source: Source, node: ast.AST, batches: set[ast.AST]) -> bool:
    """Tell whether an expression is the last token of rows, `out[:, -1]`, or of one of them."""
    value = followed(source, node)
    while name_of(value) in ("item", "tolist", "cpu"):
        value = followed(source, owner_of(value))
    if not isinstance(value, ast.Subscript):
        return False
    if isinstance(value.slice, ast.Tuple):
        whole = isinstance(value.slice.elts[0], ast.Slice | ast.Name)
        last = ast.unparse(value.slice.elts[-1]) == "-1"
        return whole and last and _rows_of(source, value.value, batches)
    return ast.unparse(value.slice) == "-1" and _row_of(source, value.value, batches)


def _pads_with_the_end(source: Source) -> bool:
    """Tell whether a source says that the end token is the padding."""
    return bool(re.search(r"pad_token(_id)?\s*=\s*[\w.]*eos_token", source.text))

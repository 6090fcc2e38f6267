"""The prompt before an answer: left there, cut off twice, or cut at another place."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.answers import (
    DECODES,
    answer_at,
    prompt_length,
    prompts_parsed,
    without_prompt,
)
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.following import followed, name_at
from llmcourse.doctor.static.reading.pipelines import generated_texts, pipelines_with_the_prompt
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    keyword,
    last_name,
    name_of,
    owner_of,
    parts_of_index,
)
from llmcourse.doctor.static.reading.streams import ITERATORS, STREAMERS
from llmcourse.doctor.static.reading.tokens import owner_of_ids
from llmcourse.doctor.subject import Subject

_NO_PADDING = re.compile(r"(!=|\.ne\().*pad")


@in_the_source(
    "prompt-in-output",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely, and a note, where only the source was read: the prompt may be wanted there. A
        warning where such a text, prompt included, is parsed or compared.
    """,
)
def prompt_in_output(source: Source) -> Iterator[Finding]:
    """A streamer that shows the prompt too."""
    for call in source.calls:
        shown = keyword(call, "skip_prompt") is None and len(call.args) < 2
        unpacked = any(each.arg is None for each in call.keywords)
        if name_of(call) not in STREAMERS or not shown or unpacked:
            continue
        tokenizer = source.words(call.args[0]) if call.args else "tokenizer"
        yield found(
            "prompt-in-output",
            NOTE,
            call,
            what=f"{name_of(call)} is made without skip_prompt, and streams the prompt first.",
            why="What is read from it begins with the prompt and its template's markers.",
            fix=f"{name_of(call)}({tokenizer}, skip_prompt=True)",
        )
    for node, severity, use in pipelines_with_the_prompt(source):
        yield found(
            "prompt-in-output",
            severity,
            node,
            what=f"{source.words(node)} begins with the prompt, and {use}.",
            why="A pipeline returns prompt and answer in one text.",
            fix=f"{source.words(node)}  # of a call with return_full_text=False",
        )
    for node, use, answer in prompts_parsed(source):
        yield found(
            "prompt-in-output",
            WARNING,
            node,
            what=f"{source.words(node)[:80]}: the text begins with the prompt, and {use}.",
            why="generate returns prompt and new tokens in one row: cut the prompt's tokens off.",
            fix=without_prompt(source, answer),
        )


@in_the_source(
    "answer-cut-elsewhere",
    severities=(ERROR,),
    how_sure="""
        Likely where only the source was read: ids are cut by the length of a text, by the number of
        rows or fields, or by a length without the padding; or a text by a number of tokens.
    """,
)
def answer_cut_elsewhere(source: Source) -> Iterator[Finding]:
    """An output is cut by a length that is not the prompt's, padding included, in tokens."""
    yield from _texts_cut_by_tokens(source)
    for node in list(source.scopes):
        lower = _cut_from(source, node)
        if lower is None:
            continue
        measure = _measures(source, lower)
        if measure is None:
            continue
        yield found(
            "answer-cut-elsewhere",
            ERROR,
            node,
            what=f"{source.words(node)} cuts ids by {measure}, not by the prompt's tokens.",
            why="The answer's beginning is missing, or the prompt's end is still there.",
            fix=f'{source.words(node.value)}[..., inputs["input_ids"].shape[1]:]',
        )


def _cut_from(source: Source, node: ast.AST) -> ast.AST | None:
    """Return where a slice of an output's ids begins; None for other nodes."""
    if not isinstance(node, ast.Subscript):
        return None
    part = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
    if not isinstance(part, ast.Slice) or part.lower is None:
        return None
    whole = not isinstance(node.slice, ast.Tuple) and _is_row(source, node.value)
    return part.lower if whole or source.is_output(node.value) else None


def _is_row(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a whole row of an output, one that a loop counts too."""
    value = source.value(node)
    counted = isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Name)
    return source.is_output_row(node) or (counted and source.is_output(value.value))


def _measures(source: Source, lower: ast.AST) -> str | None:
    """Return what a length measures, in words, where that is not the prompt in tokens."""
    value = followed(source, lower)
    while isinstance(value, ast.Call | ast.Subscript):  # a row's of the lengths of all rows
        whole = isinstance(value, ast.Subscript) or name_of(value) in ("item", "tolist", "int")
        if not whole or (isinstance(value, ast.Call) and value.args):
            break
        value = followed(
            source, value.value if isinstance(value, ast.Subscript) else owner_of(value)
        )
    value = value.elt if isinstance(value, ast.ListComp) else value
    if not isinstance(value, ast.Call):
        return None
    words = ast.unparse(value)
    if name_of(value) == "sum" and _pads(source):
        if "attention_mask" in words:
            return "the sum of its mask, which leaves padding out"
        return "its tokens without padding" if _NO_PADDING.search(words) else None
    if last_name(value.func) != "len" or len(value.args) != 1:
        return None
    measured = value.args[0]
    if _pads(source) and _encodes_again(source, measured):
        return "the length of one prompt without the batch's padding"
    if source.is_encoding(followed(source, measured)):
        return "the number of fields of the inputs"
    if _is_batch_of_ids(source, measured):
        return "the number of prompts"
    return "the prompt's characters" if _is_text(source, measured) else None


def _texts_cut_by_tokens(source: Source) -> Iterator[Finding]:
    """Yield where a decoded text is cut by a number of tokens."""
    for node in list(source.scopes):
        cut = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
        lower = followed(source, node.slice.lower) if cut and node.slice.lower else None
        if lower is None or not _counts_tokens(source, lower):
            continue
        answer = answer_at(source, node.value)
        if answer is None or answer.many or not answer.is_decoded or answer.has_prompt is False:
            continue
        yield found(
            "answer-cut-elsewhere",
            ERROR,
            node,
            what=f"{source.words(node)[:80]} cuts a text's characters by a number of tokens.",
            why="A token is several characters: most of the prompt is still there.",
            fix='tokenizer.decode(output[0, inputs["input_ids"].shape[1]:])',
        )


def _counts_tokens(source: Source, length: ast.AST) -> bool:
    """Tell whether a length is that of the prompt's ids."""
    if isinstance(length, ast.Subscript):
        return isinstance(length.value, ast.Attribute) and length.value.attr == "shape"
    if not isinstance(length, ast.Call) or not length.args or last_name(length.func) != "len":
        return False
    return owner_of_ids(followed(source, length.args[0])) is not None or (
        isinstance(length.args[0], ast.Subscript)
        and owner_of_ids(followed(source, length.args[0].value)) is not None
    )


def _encodes_again(source: Source, node: ast.AST) -> bool:
    """Tell whether ids are those of one text, as they are without the batch's padding."""
    value = followed(source, node)
    several = isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)
    if several and isinstance(value.slice.value, int):  # one of the ids of all texts
        value = followed(source, value.value)
        value = value.elt if isinstance(value, ast.ListComp) else value
    value = followed(source, owner_of_ids(value) or value)
    if not isinstance(value, ast.Call) or not value.args or keyword(value, "padding"):
        return False
    if keyword(value, "return_tensors") is not None and several:
        return False  # rows of one tensor have one length
    known = name_of(value) == "encode" and source.is_tokenizer(owner_of(value))
    listed = isinstance(followed(source, value.args[0]), ast.List | ast.ListComp)
    return (several or not listed) and (known or source.is_tokenizer(value.func))


def _pads(source: Source) -> bool:
    return any(keyword(call, "padding") is not None for call in source.calls)


def _is_batch_of_ids(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is all ids of a batch: `inputs["input_ids"]`, as tensors."""
    owner = owner_of_ids(followed(source, node))
    inner = None if owner is None else source.placed(followed(source, owner))
    if not isinstance(inner, ast.Call) or not source.is_encoding(inner):
        return False
    return keyword(inner, "return_tensors") is not None


def _is_text(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a text: written there, rendered, or what a tokenizer reads."""
    value = followed(source, node)
    if isinstance(value, ast.JoinedStr):
        return True
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    if name_of(value) == "apply_chat_template":
        asks = keyword(value, "tokenize")
        return isinstance(asks, ast.Constant) and asks.value is False
    given = source.tokenized
    return isinstance(node, ast.Name) and node.id in [name_at(one) for one in given]


@in_the_source(
    "prompt-cut-by-characters",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read; a plain prompt that the tokenizer gives back as it was is
        cut at the right place.
    """,
)
def prompt_cut_by_characters(source: Source) -> Iterator[Finding]:
    """The decoded row is cut by the prompt's length in characters, or by its words."""
    for node in list(source.scopes):
        cut = _cut_text(source, node)
        if cut is None:
            continue
        decoded, prompt = cut
        output, row = _decoded_rows(source, decoded)
        length = prompt_length(source, output)
        more = ", skip_special_tokens=True" if keyword(decoded, "skip_special_tokens") else ""
        yield found(
            "prompt-cut-by-characters",
            WARNING,
            node,
            what=f"The prompt is cut off the decoded text by its characters: {prompt}.",
            why="The decoded prompt may differ from the prompt in special tokens and spaces.",
            fix=f"{source.words(decoded.func)}({source.words(output)}[{row}, {length}:]{more})",
        )


def _cut_text(source: Source, node: ast.AST) -> tuple[ast.Call, str] | None:
    """Return the call that decoded the text which is cut, and the words that cut it, or None."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        cutter, text = _measured(source, node.slice.lower), node.value
    elif name_of(node) == "sub" and len(node.args) == 3:
        cutter, text = _without_call(node.args[0], "escape"), node.args[2]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        by_words = node.func.attr in ("replace", "split", "removeprefix") and node.args
        cutter, text = (node.args[0] if by_words else None), node.func.value
    else:
        return None
    if not isinstance(cutter, ast.Name | ast.Attribute | ast.Subscript):
        return None
    decoded = _decoding_of(source, text)
    if decoded is None or _decoded_rows(source, decoded) is None:
        return None
    if source.is_decode(source.value(cutter)) or not _is_prompt(source, cutter):
        return None
    return decoded, source.words(node)


def _measured(source: Source, lower: ast.AST | None) -> ast.AST | None:
    """Return the text whose length a slice begins at, give or take some characters."""
    value = None if lower is None else source.value(lower)
    if isinstance(value, ast.BinOp) and isinstance(value.right, ast.Constant):
        value = source.value(value.left)
    if not isinstance(value, ast.Call) or last_name(value.func) != "len" or not value.args:
        return None
    return _without_call(value.args[0], "strip")


def _without_call(node: ast.AST, name: str) -> ast.AST:
    """Return what a call is about, `x` of `x.strip()` and `re.escape(x)`; else what was given."""
    if not isinstance(node, ast.Call) or name_of(node) != name:
        return node
    return node.args[0] if node.args else owner_of(node)


def _decoding_of(source: Source, text: ast.AST) -> ast.Call | None:
    """Return the call that decoded a text: one by itself, or one of a list of texts."""
    value = source.value(text)
    if source.is_decode(value):
        return value
    if not isinstance(value, ast.Subscript) or not isinstance(value.slice, ast.Constant):
        return None
    texts = source.value(value.value)
    texts = texts.elt if isinstance(texts, ast.ListComp) else texts
    return texts if name_of(texts) in DECODES else None


def _decoded_rows(source: Source, decoded: ast.Call) -> tuple[ast.AST, str] | None:
    """Return the output of which whole rows are decoded, and which: "0", or ":" for all."""
    rows = decoded.args[0] if decoded.args else None
    if rows is not None and source.is_output(rows):
        return rows, ":"
    if rows is not None and source.is_output_row(rows):
        return source.value(rows).value, "0"
    return None


def _is_prompt(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is what the source gives to a tokenizer, or one of several."""
    given = source.tokenized
    parts = [part for one in given for part in ([one, *getattr(one, "elts", [])])]
    value = source.value(node)
    one_of = value.value if isinstance(value, ast.Subscript) else node
    words = {ast.unparse(node), ast.unparse(one_of)}
    said = "prompt" in ast.unparse(node).lower()
    return said or any(ast.unparse(part) in words for part in parts)


@in_the_source(
    "prompt-cut-twice",
    severities=(ERROR,),
    how_sure="Likely: only the source was read, where the prompt is left out by name.",
)
def prompt_cut_twice(source: Source) -> Iterator[Finding]:
    """The prompt's length is cut off a text that is without the prompt."""
    for node, call in generated_texts(source):
        made = source.pipeline(call.func)
        told = [keyword(one, "return_full_text") for one in (call, made) if one is not None]
        said = [one for one in told if one is not None]
        if not said or not is_false(said[0]) or not call.args:
            continue
        for use in source.uses(node):
            cut = source.parents.get(use)
            if not _begins_at_length_of(source, cut, source.words(call.args[0])):
                continue
            prompt = source.words(call.args[0])
            yield found(
                "prompt-cut-twice",
                ERROR,
                cut,
                what=f"{source.words(cut)} cuts {prompt} off a text that is without it already.",
                why="return_full_text=False leaves the prompt out: the answer's beginning is lost.",
                fix=source.words(use),
            )


def _begins_at_length_of(source: Source, node: ast.AST | None, words: str) -> bool:
    """Tell whether a node is a slice `[len(x):]`, with x as it is written."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
        return False
    lower = node.slice.lower and source.value(node.slice.lower)
    return (
        node.slice.upper is None
        and name_of(lower) == "len"
        and len(lower.args) == 1
        and ast.unparse(lower.args[0]) == words
    )


@in_the_source(
    "piece-cut-as-whole",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="A stream begins well, and then shows a letter here and there.",
    cause="""
        A streamer yields what is new. Where that is taken for the whole text so far, and cut by
        what was shown before, nearly all of each piece is thrown away.
    """,
    fix="Show each piece as it comes.",
    example="""
        for piece in streamer:
            print(piece, end="", flush=True)
    """,
    how_sure="Likely: only the source was read, where a piece is cut by a text that grows.",
)
def piece_cut_as_whole(source: Source) -> Iterator[Finding]:
    """A streamer's piece is cut by the length of all the text before it."""
    for loop in source.loops:
        if not isinstance(loop, ast.For) or not isinstance(loop.target, ast.Name):
            continue
        made = source.value(loop.iter)
        if name_of(made) not in ITERATORS:
            continue
        piece, grown = loop.target.id, _grown_in(loop)
        if len(source.scopes[loop].bound.get(piece, ())) != 1:
            continue
        for node in ast.walk(loop):
            by = next((name for name in grown if _begins_at_length_of(source, node, name)), None)
            if by is None or last_name(node.value) != piece:
                continue
            yield found(
                "piece-cut-as-whole",
                ERROR,
                node,
                what=f"{source.words(node)} takes a piece of the stream for the whole text so far.",
                why=f"A streamer yields only new text: cut by len({by}) nearly all of it is lost.",
                fix=piece,
            )
            break


def _grown_in(loop: ast.For) -> list[str]:
    """Return the names that a loop adds to, or gives another text each time."""
    added = [node.target for node in ast.walk(loop) if isinstance(node, ast.AugAssign)]
    given = [node.targets[0] for node in ast.walk(loop) if isinstance(node, ast.Assign)]
    return [one.id for one in (*added, *given) if isinstance(one, ast.Name)]


@in_the_source(
    "embeds-output-sliced",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The answer is empty, or begins in its middle.",
    cause="""
        From `inputs_embeds` alone `generate` has no ids of the prompt, and returns the new tokens
        only: the slice takes away the answer's beginning.
    """,
    fix="Decode the row as it is.",
    example="""
        output = model.generate(inputs_embeds=embeds, attention_mask=mask)
        text = tokenizer.decode(output[0])
    """,
    how_sure="Likely: only the source was read, where the call gets no `input_ids`.",
)
def embeds_output_sliced(source: Source) -> Iterator[Finding]:
    """A prompt's length is cut off an output that holds no prompt."""
    for asked in every_asked(source):
        ids = asked.call.args or "input_ids" in asked.given or "inputs" in asked.given
        if "inputs_embeds" not in asked.given or ids or not asked.is_whole:
            continue
        if any(each.arg is None for each in asked.call.keywords):
            continue
        for node in list(source.scopes):
            if not isinstance(node, ast.Subscript) or not _is_cut(node):
                continue
            if source.value(_whole(source, node.value)) is asked.call:
                name = source.words(node.value)
                yield found(
                    "embeds-output-sliced",
                    ERROR,
                    node,
                    what=f"{source.words(node)} cuts a prompt off, and {name} holds none.",
                    why="From inputs_embeds alone generate returns only the new tokens.",
                    fix=f"{name}[0]" if isinstance(node.slice, ast.Tuple) else name,
                )


def _whole(source: Source, node: ast.AST) -> ast.AST:
    """Return the output of a row or of `.sequences`."""
    value = source.value(node)
    if isinstance(value, ast.Subscript) or (
        isinstance(value, ast.Attribute) and value.attr == "sequences"
    ):
        return _whole(source, value.value)
    return node


def _is_cut(node: ast.Subscript) -> bool:
    """Tell whether a slice begins after some length: `[0, n:]`, `[:, n:]`, `[n:]`."""
    parts = parts_of_index(node)
    last = parts[-1]
    if not isinstance(last, ast.Slice) or last.lower is None:
        return False
    lengths = [last_name(part) for part in ast.walk(last.lower)]
    return bool({"shape", "len", "length", "prompt_length", "input_length"} & set(lengths))

"""From ids to text: tokens decoded one by one, logits decoded, a batch taken for one text."""

import ast
import difflib
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.answers import DECODES, answer_at
from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.pipelines import OF_TEXTS
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.static.reading.streams import STREAMERS
from llmcourse.doctor.static.reading.tensors import (
    LOGITS,
    PLACE,
    VOCABULARY,
    axes,
    axis,
    dimension,
    kind,
    tensor_of,
)
from llmcourse.doctor.static.reading.tokens import is_one_token, is_row
from llmcourse.doctor.subject import Subject

_KNOWN = ("skip_special_tokens", "clean_up_tokenization_spaces", "spaces_between_special_tokens")
_OF_STREAMERS = ("tokenizer", "skip_prompt", "timeout")
_NOT_OF_DECODE = {"add_special_tokens": "skip_special_tokens"}


@in_the_source(
    "piecewise-decoding",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read, and a warning: the pieces of English words often fit.
    """,
)
def piecewise_decoding(source: Source) -> Iterator[Finding]:
    """Tokens are decoded one by one, and their texts are put together."""
    yield from _one_by_one(source)
    yield from _a_row_as_a_batch(source)


def _one_by_one(source: Source) -> Iterator[Finding]:
    for call in source.calls:
        if not source.is_decode(call) or not is_one_token(source, call.args[0]):
            continue
        if not _is_joined(source, call):
            continue
        decode = source.words(call.func)
        yield found(
            "piecewise-decoding",
            WARNING,
            call,
            what=f"{source.words(call)} decodes one token, and the pieces are put together.",
            why="A token alone loses its space, or is half a character.",
            fix=f"{decode}(ids)  # all of them; or TextIteratorStreamer for text as it comes",
        )


def _a_row_as_a_batch(source: Source) -> Iterator[Finding]:
    """Yield where `batch_decode` gets one row as a column: a text for each token."""
    for call in source.calls:
        texts = source.value(call.args[0]) if joins_words(call) else None
        if name_of(texts) != "batch_decode" or not texts.args:
            continue
        row = _in_a_column(source, texts.args[0])
        if row is None or not is_row(source, row):
            continue
        yield found(
            "piecewise-decoding",
            WARNING,
            texts,
            what=f"{source.words(texts)} decodes each token of one row by itself.",
            why="A token alone loses its space, or is half a character; decode takes a whole row.",
            fix=f"{source.words(owner_of(texts))}.decode({source.words(row)})",
        )


def _in_a_column(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the row of `row.unsqueeze(1)` or `row[:, None]`; None for other expressions."""
    value = source.value(node)
    if name_of(value) in ("unsqueeze", "view", "reshape"):
        shape = ", ".join(map(ast.unparse, value.args))
        return owner_of(value) if shape in ("1", "-1", "-1, 1") else None
    if isinstance(value, ast.Subscript) and ast.unparse(value.slice).strip("()") == ":, None":
        return value.value
    return None


def _is_joined(source: Source, call: ast.Call) -> bool:
    """Tell whether a decoded piece is added to others, or printed after them."""
    above = next(source.above(call))
    if isinstance(above, ast.AugAssign):
        return isinstance(above.op, ast.Add)
    if isinstance(above, ast.BinOp):  # text = text + tokenizer.decode(token)
        return isinstance(above.op, ast.Add)
    if name_of(above) == "print":
        end = keyword(above, "end")
        return isinstance(end, ast.Constant) and end.value == ""
    if name_of(above) == "append":
        return is_joined_later(source, last_name(owner_of(above)))
    if isinstance(above, ast.ListComp | ast.GeneratorExp):
        outer = source.parents[above]
        if isinstance(outer, ast.Assign) and isinstance(outer.targets[0], ast.Name):
            return is_joined_later(source, outer.targets[0].id)
        return _joins(outer)
    return False


def is_joined_later(source: Source, name: str) -> bool:
    joins = [call for call in source.calls if _joins(call)]
    return any(last_name(call.args[0]) == name for call in joins)


def _joins(node: ast.AST) -> bool:
    """Tell whether a node is `"".join(...)`, or puts spaces between."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "join"
        and isinstance(node.func.value, ast.Constant)
        and node.func.value.value in ("", " ")
        and len(node.args) == 1
    )


def joins_words(call: ast.Call) -> bool:
    """Tell whether a call is `"".join(one)` or `" ".join(one)`."""
    between = getattr(call.func, "value", None)
    blank = isinstance(between, ast.Constant) and between.value in ("", " ")
    return blank and name_of(call) == "join" and len(call.args) == 1


@in_the_source(
    "decode-argument-unknown",
    severities=(ERROR,),
    how_sure="Likely where only the source was read: another argument is meant, by its name.",
)
def decode_argument_unknown(source: Source) -> Iterator[Finding]:
    """A keyword of `decode`, or of a streamer, that is nearly one it has."""
    yield from _streamers_keywords(source)
    for call in source.calls:
        if name_of(call) not in DECODES or not source.is_tokenizer(owner_of(call)):
            continue
        for each in call.keywords:
            meant = _meant(each.arg)
            if meant is None:
                continue
            yield found(
                "decode-argument-unknown",
                ERROR,
                call,
                what=f"{each.arg}= is no argument of decode, which drops it.",
                why=f"The text is as if it was not said; {meant}= is what there is.",
                fix=f"{source.words(call.func)}(ids, {meant}={source.words(each.value)})",
            )


def _streamers_keywords(source: Source) -> Iterator[Finding]:
    """Yield where a streamer gets a keyword that is nearly one of its own, or of decode's."""
    for call in source.calls:
        for each in call.keywords if name_of(call) in STREAMERS else ():
            if each.arg is None or each.arg in (*_OF_STREAMERS, *_KNOWN):
                continue
            names = (*_OF_STREAMERS, *_KNOWN)
            near = difflib.get_close_matches(each.arg.lower(), names, n=1, cutoff=0.75)
            if not near:
                continue
            yield found(
                "decode-argument-unknown",
                ERROR,
                call,
                what=f"{each.arg}= is no argument of {name_of(call)}, which hands it to decode.",
                why=f"decode drops it; {near[0]}= is what there is.",
                fix=f"{name_of(call)}(tokenizer, {near[0]}={source.words(each.value)})",
            )


def _meant(name: str | None) -> str | None:
    """Return the argument of `decode` that a name is nearly; None if it is one, or none."""
    if name is None or name in _KNOWN or name.startswith("clean_up_tokenization_spaces"):
        return None
    near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.75)
    return _NOT_OF_DECODE.get(name, near[0] if near else None)


@in_the_source(
    "raw-tokens-joined",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="The text has Ġ, Ċ or ▁ in it, or no spaces; letters with accents are broken.",
    cause="""
        `convert_ids_to_tokens` gives the vocabulary's own spelling: a marker for a space, bytes as
        letters that stand for them. Only decoding turns them back into text.
    """,
    fix="Decode the ids; or give the tokens to `convert_tokens_to_string`.",
    example="text = tokenizer.decode(ids, skip_special_tokens=True)",
    how_sure="Likely: only the source was read, where the output's tokens are joined to a text.",
)
def raw_tokens_joined(source: Source) -> Iterator[Finding]:
    """The output's raw tokens are put together."""
    for call in source.calls:
        tokens = source.value(call.args[0]) if joins_words(call) else None
        if name_of(tokens) != "convert_ids_to_tokens":
            continue
        if not tokens.args or not comes_from_output(source, tokens.args[0]):
            continue
        owner = source.words(owner_of(tokens))
        yield found(
            "raw-tokens-joined",
            WARNING,
            call,
            what=f"{source.words(call)} joins what convert_ids_to_tokens gave.",
            why="These are the vocabulary's spellings: markers for spaces, bytes for letters.",
            fix=f"{owner}.decode({source.words(tokens.args[0])})",
        )


def comes_from_output(source: Source, node: ast.AST, depth: int = 4) -> bool:
    """Tell whether an expression is made of what `generate` returned."""
    for part in ast.walk(node):
        if source.is_generate(part):
            return True
        value = source.value(part) if isinstance(part, ast.Name) else part
        if value is not part and depth and comes_from_output(source, value, depth - 1):
            return True
    return False


@in_the_source(
    "decoded-batch-as-text",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`AttributeError: 'list' object has no attribute 'split'`, or an empty list.",
    cause="""
        `generate` returns rows, also where it is one. Decoded as they are they give a list of
        texts: `batch_decode` always, and `decode` since version 5 of transformers; before that it
        failed.
    """,
    fix="Take a row, or go through the texts.",
    example="text = tokenizer.decode(output[0], skip_special_tokens=True)",
    how_sure="Likely: only the source was read, where all rows are decoded and used as one text.",
)
def decoded_batch_as_text(source: Source) -> Iterator[Finding]:
    """The texts of all rows, used as one text."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Attribute) or node.attr not in OF_TEXTS:
            continue
        made = followed(source, node.value)
        if name_of(made) not in ("decode", "batch_decode"):
            continue
        answer = answer_at(source, made)
        if answer is None or not answer.many:
            continue
        yield found(
            "decoded-batch-as-text",
            ERROR,
            node,
            what=f"{source.words(node.value)[:80]} is a list of texts, and is used as a text.",
            why="generate returns rows, also where it is one, and each row gives a text.",
            fix=f"{source.words(node.value)[:60]}[0].{node.attr}(...)",
        )


def _decoded(source: Source) -> Iterator[tuple[ast.Call, ast.AST]]:
    """Yield the decodings, each with what it decodes, lists and devices left aside."""
    for call in source.calls:
        if name_of(call) not in ("decode", "batch_decode") or not call.args:
            continue
        if not source.is_tokenizer(owner_of(call)):
            continue
        value = followed(source, call.args[0])
        while name_of(value) in ("tolist", "cpu", "squeeze"):
            value = followed(source, owner_of(value))
        yield call, value


@in_the_source(
    "logits-decoded",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="A TypeError about floats, or texts of nonsense.",
    cause="""
        A forward pass gives logits, a number for each token of the vocabulary at each place. A
        tokenizer decodes ids.
    """,
    fix="Choose a token first; for a text, call `generate`.",
    example="text = tokenizer.decode(model.generate(**inputs)[0])",
    how_sure="Likely: only the source was read, where the logits come from a forward pass.",
)
def logits_decoded(source: Source) -> Iterator[Finding]:
    """Logits are decoded as if they were ids."""
    for call, value in _decoded(source):
        if kind(source, value) != LOGITS:
            continue
        yield found(
            "logits-decoded",
            ERROR,
            call,
            what=f"{source.words(call.args[0])} are logits, and are decoded as if they were ids.",
            why="Logits are numbers of the whole vocabulary at each place, and no token ids.",
            fix=f"{source.words(owner_of(call))}.decode(model.generate(**inputs)[0])",
        )


@in_the_source(
    "argmax-of-every-place",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="The text that comes back is the prompt, garbled and shifted by one token.",
    cause="""
        One forward pass predicts, at each place of the prompt, the token after it. The argmax of
        all places is no continuation: only the last place's is a new token.
    """,
    fix="Generate, or take the last place and go on from there.",
    example="""
        output = model.generate(**inputs, max_new_tokens=50)
    """,
    how_sure="Likely: only the source was read, where the argmax of all places is decoded.",
)
def argmax_of_every_place(source: Source) -> Iterator[Finding]:
    """The likeliest token of each place is decoded as a text."""
    for call, value in _decoded(source):
        while isinstance(value, ast.Subscript):
            value = followed(source, value.value)
        if name_of(value) != "argmax":
            continue
        logits = tensor_of(value)
        whole = None if logits is None else axes(source, logits)
        if whole is None or PLACE not in whole or VOCABULARY not in whole:
            continue
        if any(_takes_last(part) for part in parts_followed(source, logits)):
            continue
        if axis(source, logits, dimension(value, 0)) != VOCABULARY:
            continue
        yield found(
            "argmax-of-every-place",
            WARNING,
            call,
            what=f"{source.words(call)[:80]} decodes the argmax of every place of the prompt.",
            why="Each place predicts the token after it: this is no text that the model wrote.",
            fix="model.generate(**inputs, max_new_tokens=50)",
        )


def _takes_last(node: ast.AST) -> bool:
    """Tell whether a node keeps the last place as an axis of its own: `logits[:, -1:]`."""
    return isinstance(node, ast.Subscript) and "-1:" in ast.unparse(node.slice)


@in_the_source(
    "continuation-stripped",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where nothing is put between the two.",
)
def continuation_stripped(source: Source) -> Iterator[Finding]:
    """A continuation loses its leading white space, and is put behind its prompt."""
    prompts = _encoded(source)
    for node in list(source.scopes):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
            continue
        prompt = last_name(node.left)
        stripped = source.value(node.right)
        if prompt not in prompts or not isinstance(stripped, ast.Call) or stripped.args:
            continue
        decoded = source.value(owner_of(stripped))
        if name_of(stripped) not in ("strip", "lstrip") or not source.is_decode(decoded):
            continue
        yield found(
            "continuation-stripped",
            WARNING,
            stripped,
            what=f"{name_of(stripped)}() takes the leading white space off what follows {prompt}.",
            why="Its indentation, or the space before its first word, is gone in the joined text.",
            fix=f"{source.words(owner_of(stripped))}.rstrip()"
            if isinstance(owner_of(stripped), ast.Name)
            else "tokenizer.decode(...).rstrip()",
        )
        return


def _encoded(source: Source) -> set[str]:
    """Return the names of texts that a tokenizer is given, and that no template has made."""
    given = source.tokenized
    return {
        one.id for one in given if isinstance(one, ast.Name) and not _is_rendered(source.value(one))
    }


def _is_rendered(value: ast.AST) -> bool:
    return name_of(value) == "apply_chat_template"

"""What is decoded that nobody has written: logits, and the likeliest token of every place."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, name_of, owner_of
from llmcourse.doctor.static.reading.tensors import (
    LOGITS,
    PLACE,
    VOCABULARY,
    axes,
    axis,
    dimension,
    followed,
    kind,
    parts_followed,
    tensor_of,
)
from llmcourse.doctor.subject import Subject


def _decoded(source: Source) -> Iterator[tuple[ast.Call, ast.AST]]:
    """Yield the decodings, each with what it decodes, lists and devices left aside."""
    for call in source.calls:
        if name_of(call) not in ("decode", "batch_decode") or not call.args:
            continue
        if not source.is_tokenizer(owner_of(call)):
            continue
        value = followed(source, call.args[0])
        while isinstance(value, ast.Call) and name_of(value) in ("tolist", "cpu", "squeeze"):
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
        if not isinstance(value, ast.Call) or name_of(value) != "argmax":
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

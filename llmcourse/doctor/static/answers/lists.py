"""Lists that are taken for a text: what a pipeline returns, and a batch that was decoded."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, Finding
from llmcourse.doctor.static.answers.texts import answer_at
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, name_of
from llmcourse.doctor.static.reading.tensors import followed
from llmcourse.doctor.static.stopping.streams import OF_TEXTS
from llmcourse.doctor.subject import Subject


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
        if not isinstance(made, ast.Call) or name_of(made) not in ("decode", "batch_decode"):
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

"""Prompts as texts."""

import torch

from tests.doctor.corpus.calls import (
    KINDS,
    LENGTH,
    LONG,
    USER,
    Call,
    chat,
    either,
    faulty,
    model_for,
    plain,
    rendered,
    sound,
    tensors,
)
from tests.doctor.corpus.chats import ASKED


def _read(text: str, kind: str = "byte level") -> Call:
    tokenizer = KINDS[kind]()
    model = model_for(tokenizer, settings={}, **LONG)
    return Call(model, tokenizer, text, LENGTH)


_SHOTS = "Review: good\nLabel: yes\n\nReview: bad\nLabel: no\n\nReview: fine\n"


for _code, _name, _text in (
    ("trailing-space", "a space at the end", "The capital of Peru is "),
    (None, "a text that was cut after a sentence", "The king came home. "),
    (None, "no space at the end", "The capital of Peru is"),
    (None, "code that is indented at its end", "def f():\n    "),
    (None, "a line's end at the end", "Question: who?\nAnswer:\n"),
    ("placeholder-left", "an f that is missing", "Answer this.\nQuestion: {question}\nAnswer:"),
    ("placeholder-left", "doubled braces", "Context: {{ context }}\nAnswer:"),
    (None, "a prompt about code", "def greet(text):\n    return f'hello {text}'"),
    (None, "a formula", r"Simplify \frac{text}{input} as far as you can:"),
    ("newline-escaped", "lines that were escaped", "Question: who?\\nAnswer:"),
    (None, "a text about escapes", 'In Python, print("a\\nB") prints two lines, as'),
    (None, "lines and a path", "Files:\nC:\\news\\Notes"),
    ("examples-differ", "another name at the end", _SHOTS + "Sentiment:"),
    (None, "the same name at the end", _SHOTS + "Label:"),
    ("object-in-prompt", "a generator", "Text: <generator object f at 0x7f1>\nAnswer:"),
    ("object-in-prompt", "nothing found", "Context: None\nQuestion: who?\nAnswer:"),
    ("object-in-prompt", "messages", "Go on: [{'role': 'user', 'content': 'Hi'}]\nReply:"),
    ("object-in-prompt", "a list of texts", "Texts: ['The king came home late.', 'Who?']\nA:"),
    (None, "a story of lists", "She wrote a list [milk, bread], and None of it came. Text: a\nA:"),
    (None, "an answer of nothing", "Question: who?\nAnswer: None\nQuestion: why?\nAnswer:"),
    ("field-empty", "no context", "Context:\n\nQuestion: who?\nAnswer:"),
    (None, "a context in the next line", "Context:\nThe king came.\nQuestion: who?\nAnswer:"),
    (None, "an open label alone", "Write a story.\nText:"),
    (None, "names that come once", "Title: a\nAuthor: b\nYear: c\nPlace: d\nText:"),
):
    either(_code, f"text: {_name}", lambda t=_text: _read(t))


def _ids(*pieces: str, bos=(), end: bool = False) -> Call:
    """Return a call of pieces that were tokenized one by one; bos: whether each begins so."""
    model, tokenizer = plain("sentencepiece")
    ids = [
        id
        for piece, begins in zip(pieces, bos, strict=True)
        for id in tokenizer(piece, add_special_tokens=begins).input_ids
    ]
    ids = torch.tensor([ids + [tokenizer.eos_token_id] * end])
    return Call(
        model, tokenizer, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, LENGTH
    )


faulty("bos-inside", "pieces that begin as texts")(lambda: _ids("a text", "more", bos=[True, True]))

sound("pieces of which one begins")(lambda: _ids("a text", "more", bos=[True, False]))

faulty("eos-in-prompt", "a prompt that ends as texts do")(
    lambda: _ids("a text", bos=[True], end=True)
)

sound("a token that begins and ends texts, between turns")(lambda: _read("hello</s>hi</s>"))

sound("turns that begin as texts, as their template has it")(
    lambda: Call(*chat("llama 2"), ASKED, LENGTH)
)


@faulty("eos-in-prompt", "an end after the header of an answer")
def _():
    model, tokenizer = chat("chatml")
    text = rendered(tokenizer, [USER], add_generation_prompt=True) + "</s>"
    return Call(model, tokenizer, tensors(tokenizer, text), LENGTH)

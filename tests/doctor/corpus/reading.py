"""What was decoded, and how."""

import torch

from llmcourse.doctor.case import Decoded
from tests.doctor.corpus.calls import (
    LENGTH,
    Call,
    byte_level,
    faulty,
    plain,
    sound,
    tensors,
    unigram,
)


def _decoded(whole: bool, pieces: bool = False) -> Call:
    model, tokenizer = plain("sentencepiece")
    inputs = tensors(tokenizer, "a text")
    new = torch.tensor([tokenizer("go on so").input_ids[1:]])
    output = torch.cat([inputs["input_ids"], new], dim=1)
    length = 0 if whole else inputs["input_ids"].shape[1]
    ids = output[0, length:].tolist()
    each = [[token] for token in ids] if pieces else [ids]
    decoded = [Decoded(one, {}, tokenizer.decode(one)) for one in each]
    return Call(model, tokenizer, inputs, LENGTH, {"output": output, "decoded": decoded})


def _read_by(code: str | None, name: str, start=None, encoded_by=None, **kwargs) -> None:
    """Register what was decoded of an output from some place on, with some arguments."""

    def make():
        model, tokenizer = plain("unigram")
        prompts = ["ab", "a longer text"]
        inputs = tensors(tokenizer, prompts, padding=True)
        new = torch.tensor([tokenizer("go on so").input_ids] * 2)
        output = torch.cat([inputs["input_ids"], new], dim=1)
        at = inputs["input_ids"].shape[1] if start is None else start(inputs, prompts)
        ids = output[0, at:].tolist()
        text = tokenizer.decode(ids, skip_special_tokens=True)
        other = None if encoded_by is None else encoded_by()
        shown = Decoded(ids, kwargs, text, tokenizer=tokenizer)
        facts = {"output": output, "decoded": [shown], "encoded_by": other or tokenizer}
        return Call(model, tokenizer, inputs, LENGTH, facts)

    (sound(name) if code is None else faulty(code, name))(make)


_SKIP = {"skip_special_tokens": True}

_MISSPELT = {"skip_special_token": True}

_read_by("decode-argument-unknown", "a misspelt argument of decode", **_MISSPELT)

_read_by("decode-argument-unknown", "an argument of encode", add_special_tokens=False)

_read_by(None, "decode with arguments of its own", clean_up_tokenization_spaces=False, **_SKIP)

_read_by(None, "decode with an argument of another tokenizer", group_tokens=True, **_SKIP)

_read_by("decoded-by-another-tokenizer", "decoded by another model's", encoded_by=byte_level)

_read_by(None, "decoded by a second one of the same", encoded_by=unigram, **_SKIP)

_read_by(
    "answer-cut-elsewhere",
    "cut at the row's own length",
    lambda inputs, prompts: int(inputs["attention_mask"][0].sum()),
)

_read_by(None, "cut where the new tokens begin", **_SKIP)

_read_by(
    None,
    "cut after the first new token",
    lambda inputs, prompts: inputs["input_ids"].shape[1] + 1,
    **_SKIP,
)


def _cleaned(code: str | None, name: str, text: str) -> None:
    def make():
        model, tokenizer = plain("byte level")
        inputs = tensors(tokenizer, "a text")
        new = torch.tensor([tokenizer("f(a , b)").input_ids])
        output = torch.cat([inputs["input_ids"], new], dim=1)
        kwargs = {"clean_up_tokenization_spaces": True}
        facts = {"output": output, "decoded": [Decoded(new[0].tolist(), kwargs, text)]}
        return Call(model, tokenizer, inputs, LENGTH, facts)

    (sound(name) if code is None else faulty(code, name))(make)


_cleaned("spaces-cleaned-up", "spaces taken away in decoding", "f(a, b)")

_cleaned(None, "spaces that stayed", "f(a , b)")

faulty("prompt-in-output", "the prompt decoded too")(lambda: _decoded(True))

sound("only the new tokens decoded")(lambda: _decoded(False))

faulty("piecewise-decoding", "tokens decoded one by one")(lambda: _decoded(False, pieces=True))

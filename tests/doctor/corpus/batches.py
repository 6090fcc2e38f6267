"""Batches: padding, masks, positions."""

import torch

from llmcourse.doctor.case import Forward
from tests.doctor.corpus.calls import (
    KINDS,
    LENGTH,
    TEXTS,
    USER,
    Call,
    chat,
    faulty,
    plain,
    rendered,
    sound,
    tensors,
)


def _paddings() -> None:
    for kind in KINDS:

        @faulty("padding-side", f"{kind}: a batch padded on the right")
        def _(kind=kind):
            return Call(*plain(kind, "right"), TEXTS, LENGTH)

        @faulty("padding-side", f"{kind}: ids padded on the right, no mask")
        def _(kind=kind):
            model, tokenizer = plain(kind, "right")
            ids = tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids
            return Call(model, tokenizer, ids, LENGTH)

        @faulty("no-mask", f"{kind}: padded ids, no mask")
        def _(kind=kind):
            model, tokenizer = plain(kind)
            ids = tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids
            return Call(model, tokenizer, ids, LENGTH)

        @faulty("no-mask", f"{kind}: padded ids, a mask of ones")
        def _(kind=kind):
            model, tokenizer = plain(kind)
            ids = tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return Call(model, tokenizer, inputs, LENGTH)

        @faulty("mask-hides-tokens", f"{kind}: a mask that hides the first token")
        def _(kind=kind):
            model, tokenizer = plain(kind)
            inputs = tensors(tokenizer, "a text")
            inputs["attention_mask"][0, 0] = 0
            return Call(model, tokenizer, inputs, LENGTH)

        @sound(f"{kind}: a batch padded on the left")
        def _(kind=kind):
            return Call(*plain(kind), TEXTS, LENGTH)

        @sound(f"{kind}: one text, the tokenizer pads on the right")
        def _(kind=kind):
            return Call(*plain(kind, "right"), TEXTS[0], LENGTH)

        @sound(f"{kind}: equal lengths, no mask")
        def _(kind=kind):
            model, tokenizer = plain(kind, "right")
            ids = tokenizer(["ab cd", "cd ab"], return_tensors="pt").input_ids
            return Call(model, tokenizer, ids, LENGTH)


_paddings()


@faulty("pad-is-eos", "pad is eos and no mask")
def _():
    model, tokenizer = plain("byte level")
    return Call(
        model, tokenizer, tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids, LENGTH
    )


@sound("pad is eos, with the mask")
def _():
    model, tokenizer = plain("byte level")
    return Call(model, tokenizer, tensors(tokenizer, TEXTS, padding=True), LENGTH)


@sound("one end-of-text token begins the prompt, as GPT-2 was trained")
def _():
    model, tokenizer = plain("byte level")
    return Call(model, tokenizer, "</s>a text", LENGTH)


@faulty("mask-hides-tokens", "a mask that hides the ends of turns, which are the padding token too")
def _():
    model, tokenizer = chat("chatml")
    tokenizer.pad_token = "<|im_end|>"
    ids = tokenizer(rendered(tokenizer, [USER], add_generation_prompt=True), return_tensors="pt")
    mask = (ids.input_ids != tokenizer.pad_token_id).long()
    return Call(model, tokenizer, {"input_ids": ids.input_ids, "attention_mask": mask}, LENGTH)


_ZEROS = torch.tensor([[9, 8, 7, 3, 3, 3], [9, 8, 7, 6, 5, 9]])


@faulty("padding-side", "rows that are filled up with another special token on the right")
def _():
    model, tokenizer = plain("unigram")
    return Call(model, tokenizer, _ZEROS, LENGTH)


@sound("one row that ends in a special token")
def _():
    model, tokenizer = plain("unigram")
    return Call(model, tokenizer, _ZEROS[:, [0, 1, 2, 5]], LENGTH)


@sound("a row that ends in the same word twice")
def _():
    model, tokenizer = plain("unigram")
    return Call(model, tokenizer, _ZEROS + 10, LENGTH)


def _positioned(family: str, ignoring: bool) -> Call:
    model, tokenizer = plain("unigram", family=family)
    inputs = tensors(tokenizer, TEXTS, padding=True)
    mask = inputs["attention_mask"]
    right = (mask.cumsum(-1) - 1).clamp(min=0)
    wrong = torch.arange(mask.shape[1]).expand_as(mask)
    return Call(model, tokenizer, inputs | {"position_ids": wrong if ignoring else right}, LENGTH)


for _family in ("llama", "gpt2"):

    @faulty("position-ids", f"{_family}: positions that count the padding")
    def _(family=_family):
        return _positioned(family, True)

    @sound(f"{_family}: positions that skip the padding")
    def _(family=_family):
        return _positioned(family, False)


def _stepped(positions: bool) -> Call:
    model, tokenizer = plain("unigram", family="gpt2")
    inputs = tensors(tokenizer, TEXTS, padding=True)
    mask = inputs["attention_mask"]
    right = (mask.cumsum(-1) - 1).clamp(min=0) if positions else None
    step = Forward(inputs["input_ids"], mask, right, 12, "loop.py")
    return Call(model, tokenizer, inputs, LENGTH, {"forwards": [step]})


@faulty("position-ids", "a loop of one's own without positions")
def _():
    return _stepped(False)


@sound("a loop of one's own with positions")
def _():
    return _stepped(True)

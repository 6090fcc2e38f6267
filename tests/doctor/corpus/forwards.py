"""Forward passes of a loop of one's own."""

import torch

from llmcourse.doctor.case import Forward
from tests.doctor.corpus.calls import LENGTH, Call, faulty, plain, sound


def _passed(code: str | None, name: str, step: Forward, ids=None, **options) -> None:
    """Register a forward pass of one's own beside a sound call."""

    def make():
        model, tokenizer = plain("unigram", settings={"eos_token_id": 2}, **options)
        return Call(model, tokenizer, "a text", LENGTH, {"forwards": [step]})

    (sound(name) if code is None else faulty(code, name))(make)


_READ = torch.tensor([[9, 8, 7, 6, 5, 9]])

_NEXT = torch.tensor([[4]])

_RIGHT = torch.tensor([[9, 8, 7, 0], [9, 8, 7, 6]])

_RIGHT_MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])

_NO_LABEL = _RIGHT.masked_fill(_RIGHT_MASK == 0, -100)

_TURN = torch.arange(20)[None] + 3

_BESIDE = {"has_cache": True, "cached": 6}

_ANOTHER = torch.cat([_READ[:, :5], _NEXT, _NEXT], dim=1)


for _code, _name, _step in (
    ("text-fed-again", "all ids, beside their cache", Forward(_READ, fed=_READ, **_BESIDE)),
    (
        "text-fed-again",
        "all ids and a new one, beside a cache",
        Forward(torch.cat([_READ, _NEXT], dim=1), fed=_READ, **_BESIDE),
    ),
    (
        "cache-of-another-prompt",
        "another prompt with the same beginning beside a cache",
        Forward(_TURN[:, :18], fed=_TURN[:, [*range(15), 1, 1, 1]], has_cache=True, cached=18),
    ),
    (
        None,
        "a next turn that begins alike",
        Forward(_TURN[:, [0, 1, 2, 9, 9, 8]], fed=_TURN[:, :18], has_cache=True, cached=18),
    ),
    (None, "other ids beside a cache", Forward(_ANOTHER, fed=_READ, **_BESIDE)),
    (None, "a new token beside a cache", Forward(_NEXT, **_BESIDE)),
    (
        "positions-start-again",
        "a position of 0 beside a cache",
        Forward(_NEXT, position_ids=torch.tensor([[0]]), **_BESIDE),
    ),
    (
        "positions-start-again",
        "positions that stay, beside a mask",
        Forward(_NEXT, torch.ones(1, 7).long(), torch.tensor([[5]]), **_BESIDE),
    ),
    (
        None,
        "a position after the cache",
        Forward(_NEXT, position_ids=torch.tensor([[6]]), **_BESIDE),
    ),
    (
        None,
        "a position after a padded cache",
        Forward(_NEXT, torch.tensor([[0, 0, 1, 1, 1, 1, 1]]), torch.tensor([[4]]), **_BESIDE),
    ),
    (
        None,
        "a position further on: the cache dropped some",
        Forward(_NEXT, position_ids=torch.tensor([[60]]), **_BESIDE),
    ),
    (
        "mask-does-not-grow",
        "the prompt's mask beside a longer text",
        Forward(_READ, torch.ones(1, 4).long()),
    ),
    (
        "mask-does-not-grow",
        "a new token's mask beside a cache",
        Forward(_NEXT, torch.ones(1, 1).long(), **_BESIDE),
    ),
    (None, "a mask of cache and token", Forward(_NEXT, torch.ones(1, 7).long(), **_BESIDE)),
    (None, "a mask of the text", Forward(_READ, torch.ones(1, 6).long())),
    (
        "cache-not-fed-back",
        "one token, and the whole text's mask",
        Forward(_NEXT, torch.ones(1, 7).long()),
    ),
    (
        None,
        "one token, and a state of another kind",
        Forward(_NEXT, torch.ones(1, 7).long(), has_cache=True),
    ),
    (
        "padding-in-the-loss",
        "ids as labels, padding and all",
        Forward(_RIGHT, _RIGHT_MASK, labels=_RIGHT),
    ),
    (None, "labels without padding", Forward(_RIGHT, _RIGHT_MASK, labels=_NO_LABEL)),
    (None, "labels of a text", Forward(_READ, torch.ones(1, 6).long(), labels=_READ)),
    (
        "labels-shifted-twice",
        "labels moved by one",
        Forward(_READ, labels=torch.cat([_READ[:, 1:], _NEXT], dim=1)),
    ),
    (
        None,
        "labels of one token again and again",
        Forward(torch.full((1, 6), 9), labels=torch.full((1, 6), 9)),
    ),
    (
        "logits-of-padding",
        "the last place of rows padded on the right",
        Forward(_RIGHT, _RIGHT_MASK, reads_last=True),
    ),
    (None, "all places of rows padded on the right", Forward(_RIGHT, _RIGHT_MASK)),
    ("no-mask", "a pass of padded rows without a mask", Forward(_RIGHT.flip(1))),
    ("no-mask", "one row padded by hand", Forward(torch.tensor([[0, 0, 0, 5, 6, 7]]))),
    (None, "one row that begins with a token of that id", Forward(torch.tensor([[0, 5, 6]]))),
    (None, "a pass of rows padded on the right", Forward(_RIGHT)),
    (None, "a pass of rows of one length", Forward(_RIGHT[:, :3])),
    (
        "loop-past-the-end",
        "tokens after the end",
        Forward(_NEXT, written=((8,), (2,), (7,), (9,)), **_BESIDE),
    ),
    (
        "loop-past-the-end",
        "tokens after the end of all rows",
        Forward(_RIGHT[:, :1], written=((2, 8), (7, 2), (7, 9), (7, 5)), **_BESIDE),
    ),
    (
        "ends-not-kept",
        "a row that goes on behind its end",
        Forward(_RIGHT[:, :1], written=((2, 8), (7, 9), (5, 9), (7, 5)), **_BESIDE),
    ),
    (
        None,
        "a row that is filled up behind its end",
        Forward(_RIGHT[:, :1], written=((2, 8), (0, 9), (0, 9), (0, 5)), **_BESIDE),
    ),
    (None, "a row that has ended", Forward(_NEXT, written=((2, 8), (7, 9), (7, 9)), **_BESIDE)),
    (
        None,
        "rows that have ended, filled up",
        Forward(_NEXT, written=((2, 8), (0, 2), (0, 0), (0, 0)), **_BESIDE),
    ),
    (None, "an end that is read back", Forward(_NEXT, written=((8,), (2,)), **_BESIDE)),
    (
        "forward-argument-unknown",
        "a cache under its old name",
        Forward(_NEXT, names=("input_ids", "past")),
    ),
    (
        "forward-argument-unknown",
        "a misspelt mask",
        Forward(_READ, names=("input_ids", "attention_masks")),
    ),
    ("embedding-size", "an id beyond the embeddings", Forward(_READ.masked_fill(_READ == 9, 999))),
    (
        "loop-without-no-grad",
        "a loop with a cache that keeps its graphs",
        Forward(_NEXT, written=((8,), (5,), (7,), (9,)), **_BESIDE),
    ),
    (
        None,
        "the same without gradients",
        Forward(_NEXT, written=((8,), (5,), (7,), (9,)), learns=False, **_BESIDE),
    ),
    ("prompt-truncated", "a window that slides", Forward(_READ, slid=True)),
    (
        None,
        "arguments that go further down",
        Forward(_READ, names=("input_ids", "num_items_in_batch", "output_attentions")),
    ),
):
    _passed(_code, _name, _step)


def _in_train_mode(learns: bool) -> Call:
    model, tokenizer = plain("unigram", settings={}, attention_dropout=0.1)
    model.train(not learns)
    step = Forward(_READ, torch.ones(1, 6).long(), learns=learns)
    return Call(model, tokenizer, "a text", LENGTH, {"forwards": [step]})


faulty("train-mode", "dropout in a loop of one's own")(lambda: _in_train_mode(False))

"""A stand-in for a causal model, and the slow loop that writes its texts: nothing to download.

What a learner's loop is run on: it takes what a model of transformers takes, and remembers it.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, LlamaConfig

VOCABULARY = 23  # tokens that the stand-in knows
MOST_CALLS = 50  # of one text; no check asks for so many


class Call(NamedTuple):
    """What the stand-in was given in one forward pass."""

    fed: Tensor  # (batch, tokens), the ids
    held: int  # tokens in the cache before the pass
    mask: Tensor | None  # (batch, tokens so far)
    positions: Tensor | None  # (batch, tokens)


_MADE = torch.Generator().manual_seed(0)
_VALUES = torch.randint(101, (97, VOCABULARY), generator=_MADE).float()
_OWN = torch.randint(101, (VOCABULARY, VOCABULARY), generator=_MADE).float()
_APART = torch.arange(VOCABULARY) / 64  # so that no two logits are equal


class StandIn:
    """A causal model in whole numbers, so that a cache changes no digit; it writes down its calls.

    A token's value depends on its id and its position. The logits at a place are the sum, modulo
    101, of the values up to it that the mask lets through, and of something of the place's token.
    """

    device = torch.device("cpu")
    config = LlamaConfig(vocab_size=VOCABULARY, num_hidden_layers=1)  # for DynamicCache

    def __init__(self):
        self.calls: list[Call] = []

    def __call__(
        self,
        input_ids,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        cache=None,  # its name from transformers 5.24 on
        use_cache=True,
        **_,
    ):
        assert len(self.calls) < MOST_CALLS, (
            f"your loop called the model {MOST_CALLS} times and would go on; max_new_tokens is a "
            "limit, also where no EOS comes"
        )
        assert input_ids.dim() == 2, (
            f"you fed ids of shape {tuple(input_ids.shape)}; the model wants (batch, tokens)"
        )
        given = past_key_values if past_key_values is not None else cache
        kept = DynamicCache() if given is None else given
        (rows, new), held = input_ids.shape, kept.get_seq_length()
        self.calls.append(Call(input_ids, held, attention_mask, position_ids))
        places = torch.arange(held, held + new).expand(rows, new)
        if position_ids is not None:
            places = position_ids.expand(rows, -1)[:, :new]
        values = _VALUES[(7 * input_ids + 13 * places) % len(_VALUES)]
        values, _ = kept.update(values[:, None], values[:, None], 0)  # (rows, 1, held + new, size)
        seen = torch.ones(rows, held + new)
        if attention_mask is not None:  # a mask that is too short hides what it does not name
            seen = torch.zeros(rows, held + new)
            seen[:, : attention_mask.shape[1]] = attention_mask[:, : held + new]
        sums = (values[:, 0] * seen[..., None]).cumsum(1)[:, held:]
        return SimpleNamespace(
            logits=(sums + _OWN[input_ids]) % 101 + _APART,
            past_key_values=kept if use_cache else None,
            cache=kept if use_cache else None,
        )


def likeliest(logits: Tensor) -> Tensor:
    return logits.argmax(dim=-1, keepdim=True)


def unlikeliest(logits: Tensor) -> Tensor:
    return logits.argmin(dim=-1, keepdim=True)


def text_after(
    prompt: Sequence[int],
    limit: int,
    ends: Sequence[int] = (),
    *,
    choose: Callable[[Tensor], Tensor] = likeliest,
    reads: Callable[[list[int]], list[int]] = lambda ids: ids,
    place: int = -1,
) -> list[int]:
    """Return a text with its prompt: the slow, obvious loop, which reads everything again.

    reads, place: which ids the model is given and which row of logits is used; of wrong loops.
    """
    model, ids = StandIn(), list(prompt)
    for _ in range(limit):
        logits = model(torch.tensor([reads(ids)])).logits[:, place]
        ids.append(int(choose(logits)))
        if ids[-1] in ends:
            break
    return ids

"""Continuous batching: a row of the batch is free when its text ends, and the next prompt takes it.

`generate` ends a batch when its longest text ends; rows that are done wait and are fed padding. A
server does not wait. Between any two steps rows leave the batch, with their part of the cache, and
prompts join it. Greedy decoding, for models whose cache is attention's keys and values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from llmcourse.decoding.cache import CACHE
from llmcourse.decoding.model_inputs import grown, inputs_for

_ATTENTION = {DynamicLayer, DynamicSlidingWindowLayer}


@dataclass
class Request:
    """A prompt on its way through the batch."""

    number: int  # its place in the list of prompts
    text: list[int]  # ids of the prompt and of what was added
    seat: int = -1  # the row that it has, from when it joins until it leaves
    added: int = 0  # new tokens


@dataclass(frozen=True)
class Turn:
    """What happened between two looks at the queue."""

    index: int
    seats: tuple[int | None, ...]  # the request in each seat; None: nobody
    read: tuple[int, ...]  # tokens that each seat's request read: 1, its prompt when it joins, or 0
    held: tuple[int, ...]  # tokens in each seat's cache after the step
    chosen: dict[int, int]  # the new token of each request
    left: tuple[int, ...]  # the requests that are done


@torch.no_grad()
def serve(
    model,
    prompts: Sequence[Sequence[int]],
    *,
    seats: int = 4,
    max_new_tokens: int | Sequence[int] = 20,
    eos_token_id: int | None = None,
    wait_for_all: bool = False,
) -> Iterator[Turn]:
    """Generate from each prompt, at most `seats` at once; yield a Turn for each look at the queue.

    prompts: ids, each of any length. max_new_tokens: of each, or one for all. wait_for_all: let
    nobody join until all have left, as with batches that are made beforehand. Each text is the one
    that greedy decoding of its prompt alone gives, as far as batches change no rounding. Raises
    ValueError for no prompts or seats, an empty prompt, and a model with another kind of cache.
    """
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else max_new_tokens
    _check(model, prompts, limits, seats)
    waiting = [Request(number, list(ids)) for number, ids in enumerate(prompts)]
    batch: list[Request] = []  # in the order of the cache's rows
    cache, mask, index = None, None, 0
    while waiting or batch:
        tokens, before = [], len(batch)
        if batch:  # everybody who sits reads one token
            mask, _ = grown(mask, None)
            newest = torch.tensor([one.text[-1:] for one in batch], device=model.device)
            tokens += _read(model, newest, mask, cache)
        free = sorted(set(range(seats)) - {one.seat for one in batch})
        joining = 0 if wait_for_all and batch else len(free)
        for one, one.seat in zip(waiting[:joining], free, strict=False):  # and whoever joins, all
            ids = torch.tensor([one.text], device=model.device)
            alone, seen = DynamicCache(), torch.ones_like(ids)
            tokens += _read(model, ids, seen, alone)
            cache, mask = _join(cache, mask, alone, seen)
            batch.append(one)
        waiting = waiting[len(batch) - before :]
        for one, token in zip(batch, tokens, strict=True):
            one.text.append(token)
            one.added += 1
        done = [one.added == limits[one.number] or one.text[-1] == eos_token_id for one in batch]
        yield _turn(index, seats, batch, before, mask.sum(-1).tolist(), done)
        stay = [row for row, is_done in enumerate(done) if not is_done]
        batch, (cache, mask) = [batch[row] for row in stay], _keep(cache, mask, stay)
        index += 1


def _turn(index: int, seats: int, batch: list[Request], before: int, held, done) -> Turn:
    """Return what happened, seat by seat. before: how many of the batch sat there already."""
    numbers, read, sizes = [None] * seats, [0] * seats, [0] * seats
    for row, one in enumerate(batch):
        numbers[one.seat] = one.number
        read[one.seat] = 1 if row < before else len(one.text) - 1
        sizes[one.seat] = held[row]
    return Turn(
        index,
        tuple(numbers),
        tuple(read),
        tuple(sizes),
        {one.number: one.text[-1] for one in batch},
        tuple(one.number for one, is_done in zip(batch, done, strict=True) if is_done),
    )


def texts(turns: Sequence[Turn]) -> dict[int, list[int]]:
    """Return the new ids of each request."""
    made: dict[int, list[int]] = {}
    for turn in turns:
        for number, token in turn.chosen.items():
            made.setdefault(number, []).append(token)
    return dict(sorted(made.items()))


def _check(model, prompts, limits, seats: int) -> None:
    layers = DynamicCache(config=model.config).layers
    if not layers or not {type(layer) for layer in layers} <= _ATTENTION:
        raise ValueError(
            f"{type(model).__name__} keeps more than attention's keys and values, and rows of "
            "that are not joined here; take a model such as Llama, Qwen or GPT-2."
        )
    if not prompts or seats < 1 or len(limits) != len(prompts) or min(limits) < 1:
        raise ValueError(
            f"{len(prompts)} prompts, {seats} seats, max_new_tokens for {len(limits)}: pass at "
            "least one of each, and as many limits as prompts, each at least 1."
        )
    empty = next((number for number, ids in enumerate(prompts) if not len(ids)), None)
    if empty is not None:
        raise ValueError(f"prompt {empty} is empty; pass at least one token, such as the BOS.")


def _read(model, ids: torch.Tensor, mask: torch.Tensor, cache) -> list[int]:
    """Read ids, (rows, tokens), into the cache; return the likeliest next token of each row."""
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(**inputs_for(ids, mask, places), **{CACHE: cache}, use_cache=True)
    return output.logits[:, -1].argmax(-1).tolist()


def _join(cache, mask, alone, seen):
    """Put a row under the others, each padded on the left to the longest; return cache and mask."""
    if cache is None:
        return alone, seen
    longest = max(mask.shape[1], seen.shape[1])
    for layer, new in zip(cache.layers, alone.layers, strict=True):
        for name in ("keys", "values"):
            rows = [getattr(one, name) for one in (layer, new)]
            filled = [pad(one, (0, 0, longest - one.shape[2], 0)) for one in rows]
            setattr(layer, name, torch.cat(filled))
    masks = [pad(one, (longest - one.shape[1], 0)) for one in (mask, seen)]
    return cache, torch.cat(masks)


def _keep(cache, mask, stay: list[int]):
    """Return cache and mask of the rows that stay, without the padding that all of them share."""
    if not stay:
        return None, None
    mask = mask[stay]
    shared = int((mask.cumsum(-1) == 0).all(0).sum())
    for layer in cache.layers:
        layer.keys, layer.values = (part[stay, :, shared:] for part in (layer.keys, layer.values))
    return cache, mask[:, shared:]


# Pages: where the keys and values of each request lie.


def paged(turns: Sequence[Turn], size: int) -> Iterator[tuple[int | None, ...]]:
    """Yield, for each turn, which request has each page of `size` tokens; None: a free page.

    A request gets a page when its last one is full, the first free one, and gives all back when it
    leaves. There are as many pages as are needed at most. Raises ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError(f"size={size} must be at least 1 token.")
    pages: list[int | None] = []
    for turn in turns:
        for number, held in zip(turn.seats, turn.held, strict=True):
            if number is None:
                continue
            for _ in range(-(-held // size) - pages.count(number)):
                free = pages.index(None) if None in pages else len(pages)
                pages[free : free + 1] = [number]
        yield tuple(pages)
        pages = [None if number in turn.left else number for number in pages]

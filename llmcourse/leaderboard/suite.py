"""The work of a leaderboard in pieces: some items of one kind, for one entry."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from llmcourse.leaderboard.entries import Entry
from llmcourse.quality import Answered, Item, score

CHUNK = 16  # items: what a kill can cost, and what one process does at a time
BATCH = 8  # rows that are read or written at once


@dataclass(frozen=True)
class Chunk:
    """Items of one kind that are asked together, always the same, however many processes work."""

    name: str  # such as "facts 16"
    items: tuple[Item, ...]


def first_of_each(items: Sequence[Item], most: int | None) -> list[Item]:
    """Return the first `most` items of each kind; None for all. Raises ValueError below 1."""
    if most is not None and most < 1:
        raise ValueError(f"items={most} must be at least 1 of each kind.")
    taken: dict[str, int] = {}
    kept = []
    for item in items:
        taken[item.kind] = taken.get(item.kind, 0) + 1
        if most is None or taken[item.kind] <= most:
            kept.append(item)
    return kept


def chunks(items: Sequence[Item]) -> list[Chunk]:
    """Return the items of each kind in chunks."""
    ordered = sorted(items, key=lambda item: item.kind)  # stable: the order in a kind stays
    kinds = [(kind, list(group)) for kind, group in groupby(ordered, key=lambda item: item.kind)]
    return [
        Chunk(f"{kind} {start}", tuple(group[start : start + CHUNK]))
        for kind, group in kinds
        for start in range(0, len(group), CHUNK)
    ]


def answers(entry: Entry, model, tokenizer, chunk: Chunk, by: str) -> list[dict]:
    """Return what an entry makes of a chunk: for each item what JSON holds of it.

    The seed of what is drawn follows from the chunk's name, so it does not matter in which order,
    or in which process, chunks are done.
    """
    torch.manual_seed(zlib.crc32(chunk.name.encode()))
    alone = "prompt_lookup_num_tokens" in entry.setting.called  # drafts are for one row
    found = score(
        model,
        tokenizer,
        chunk.items,
        template=entry.template,
        batch_size=1 if alone else BATCH,
        **entry.writing,
    )
    return [_record(one, by) for one in found]


def _record(answered: Answered, by: str) -> dict:
    item = answered.item
    said: dict = {"id": item.id, "kind": item.kind, "right": answered.right(by)}
    if item.choices:
        totals = [round(one.total, 4) for one in answered.likelihoods]
        return said | {"chosen": answered.chosen(by), "log_likelihoods": totals}
    return said | {"written": answered.written}

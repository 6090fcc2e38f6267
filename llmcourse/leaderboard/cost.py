"""What a run will cost, said before it starts: items, tokens, and a time from a few of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from llmcourse.leaderboard.entries import Entry
from llmcourse.leaderboard.suite import BATCH
from llmcourse.quality import Item, score
from llmcourse.quality.prompts import choice_pairs, context
from llmcourse.quality.tokens import encode
from llmcourse.show import plural

NEW_TOKENS = 48  # that an answer has at most, as in `quality.write`


@dataclass(frozen=True)
class Cost:
    """What all entries take together."""

    entries: int
    items: int  # of each entry
    read: int  # tokens, of all entries
    written: int  # tokens at most, of all entries
    seconds: float  # if every entry were as fast as the first; measuring speed not included

    def __str__(self) -> str:
        lines = "1 entry" if self.entries == 1 else f"{self.entries:,} entries"
        takes = "under a minute" if self.seconds < 60 else _minutes(self.seconds)
        return (
            f"{lines} x {plural(self.items, 'item')}: {plural(self.read, 'token')} to read, at "
            f"most {self.written:,} to write; {takes} if all are as fast as the first, and the "
            "time to load them and to measure their speed"
        )


def _minutes(seconds: float) -> str:
    return f"about {plural(max(1, round(seconds / 60)), 'minute')}"


def cost(entries: Sequence[Entry], items: Sequence[Item], model, tokenizer, processes=1) -> Cost:
    """Return what the items cost; model: the first entry's, on which a batch of each is timed."""
    read = sum(_tokens(tokenizer, item, entries[0]) for item in items)
    chosen = [item for item in items if item.choices]
    others = [item for item in items if not item.choices]
    seconds = 0.0
    for group in (chosen, others):
        tried = group[:: max(1, len(group) // BATCH)][:BATCH]
        if tried:
            started = time.perf_counter()
            score(model, tokenizer, tried, template=entries[0].template, batch_size=BATCH)
            seconds += (time.perf_counter() - started) * len(group) / len(tried)
    count = len(entries)
    return Cost(
        entries=count,
        items=len(items),
        read=count * read,
        written=count * NEW_TOKENS * len(others),
        seconds=count * seconds / processes,
    )


def _tokens(tokenizer, item: Item, entry: Entry) -> int:
    """Return how many tokens are read of one item, each choice with its context."""
    pairs = choice_pairs(tokenizer, item, template=entry.template)
    texts = ["".join(pair) for pair in pairs] or [context(tokenizer, item, (), entry.template)]
    return sum(len(encode(tokenizer, text)) for text in texts)

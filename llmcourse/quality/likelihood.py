"""How likely a model finds a text that follows another: what multiple choice is scored by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from llmcourse.quality.tokens import token_ids


@dataclass(frozen=True)
class Likelihood:
    """How likely one continuation is after its context, and how long it is."""

    total: float  # natural logarithm of the probability of all its tokens, one after the other
    tokens: int
    characters: int  # without the white space that it begins with
    bytes: int  # of the same characters, as UTF-8
    greedy: bool  # True if each of its tokens is the likeliest one where it stands


@dataclass(frozen=True)
class _Row:
    """A pair as the model reads it."""

    ids: list[int]  # of context and continuation, cut on the left where they are too long
    tokens: int  # of the continuation: the last ones


def log_likelihoods(
    model, tokenizer, pairs: Sequence[tuple[str, str]], *, batch_size: int = 8
) -> list[Likelihood]:
    """Return a Likelihood for each (context, continuation), in their order.

    Longest pairs first, `batch_size` at a time, padded on the right; logarithms in float32. What is
    too long for the model loses tokens on the left. Tokens are those of `token_ids`. Raises
    ValueError for an empty continuation, one that is longer than the model can read, and a batch
    size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    rows = [_row(tokenizer, *pair, longest) for pair in pairs]
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
    found: dict[int, Likelihood] = {}
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        for place, (total, greedy) in zip(
            places, _read(model, [rows[place] for place in places]), strict=True
        ):
            said = pairs[place][1].lstrip()
            sizes = (rows[place].tokens, len(said), len(said.encode()))
            found[place] = Likelihood(total, *sizes, greedy)
    return [found[place] for place in range(len(rows))]


def _row(tokenizer, context: str, continuation: str, longest: int | None) -> _Row:
    before, after = token_ids(tokenizer, context, continuation)
    if not after or not before:
        raise ValueError(f"{continuation!r} is no continuation: no token of it can be scored.")
    if longest is not None and len(after) > longest:
        raise ValueError(
            f"A continuation has {len(after):,} tokens, and the model reads at most {longest:,}."
        )
    ids = before + after
    return _Row(ids if longest is None else ids[-(longest + 1) :], len(after))


@torch.inference_mode()
def _read(model, rows: list[_Row]) -> Iterator[tuple[float, bool]]:
    """Yield the logarithm of each row's continuation, and whether it is the greedy choice.

    The last token is not read, since nothing after it is asked for. Logits are kept from the first
    place on at which a row's continuation begins: (rows, kept, vocab).
    """
    widest = max(len(row.ids) for row in rows) - 1
    begins = min(len(row.ids) - row.tokens for row in rows) - 1
    padded = [(row.ids[:-1], widest - len(row.ids) + 1) for row in rows]
    ids = torch.stack([pad(torch.tensor(seen), (0, short)) for seen, short in padded])
    mask = torch.stack([pad(torch.ones(len(seen)), (0, short)) for seen, short in padded])
    ids, mask = ids.to(model.device), mask.long().to(model.device)
    asked = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    if model._supports_logits_to_keep():
        asked["logits_to_keep"] = widest - begins
    logits = model(**asked).logits[:, begins - widest :]
    for row, of_row in zip(rows, logits, strict=True):
        last = len(row.ids) - 1 - begins
        scores = of_row[last - row.tokens : last].float().log_softmax(-1)  # (tokens, vocab)
        wanted = torch.tensor(row.ids[-row.tokens :], device=scores.device)
        total = scores.gather(1, wanted[:, None]).double().sum()
        yield float(total), bool((scores.argmax(-1) == wanted).all())

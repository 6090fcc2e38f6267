"""A model's answers to items: the choice it finds likeliest, or what it writes; right or not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad
from transformers import StoppingCriteria

from llmcourse.quality.intervals import Proportion, proportion
from llmcourse.quality.items import Item
from llmcourse.quality.likelihood import Likelihood, log_likelihoods
from llmcourse.quality.prompts import choice_pairs, context, examples
from llmcourse.quality.tokens import encode
from llmcourse.quality.written import is_right

# What a choice's logarithm is divided by before the largest is chosen: nothing, or its length.
BY = ("raw", "token", "character", "byte")
UNTIL = "\nQuestion:"  # where a model that goes on by itself asks the next question


@dataclass(frozen=True)
class Answered:
    """What a model made of one item."""

    item: Item
    likelihoods: tuple[Likelihood, ...] = ()  # of each choice
    written: str = ""  # by the model, where there are no choices

    def scores(self, by: str = "raw") -> list[float]:
        """Return the score of each choice. Raises ValueError if `by` is not one of BY."""
        if by not in BY:
            raise ValueError(f"by={by!r} is not known; pass one of {', '.join(BY)}.")
        parts = {
            "raw": lambda one: 1,
            "token": lambda one: one.tokens,
            "character": lambda one: one.characters,
            "byte": lambda one: one.bytes,
        }
        return [one.total / parts[by](one) for one in self.likelihoods]

    def chosen(self, by: str = "raw") -> int:
        """Return the place of the choice with the largest score; the first of several."""
        scores = self.scores(by)
        return scores.index(max(scores))

    def right(self, by: str = "raw") -> bool:
        """Return whether the answer is right; `by` counts where there are choices."""
        item = self.item
        if item.choices:
            return self.chosen(by) == item.answer
        return is_right(self.written, item.answer, item.rules, item.extract)


def score(
    model,
    tokenizer,
    items: Sequence[Item],
    *,
    shots: "int | Sequence[Item]" = 0,
    template: bool = False,
    pool: Sequence[Item] | None = None,
    batch_size: int = 8,
    **settings,
) -> list[Answered]:
    """Return the model's answer to each item, in their order.

    shots: how many solved items of the same kind come before each, or which. pool: where they are
    taken from; None for `items`. template: as a chat. settings: of `model.generate`, for what is
    written. Raises what `choose` and `write` raise.
    """
    asked = {"shots": shots, "template": template, "pool": pool or items, "batch_size": batch_size}
    with_choices = [item for item in items if item.choices]
    others = [item for item in items if not item.choices]
    made = choose(model, tokenizer, with_choices, **asked)
    made += write(model, tokenizer, others, **asked, **settings)
    by_id = {one.item.id: one for one in made}
    return [by_id[item.id] for item in items]


def choose(
    model,
    tokenizer,
    items: Sequence[Item],
    *,
    shots: "int | Sequence[Item]" = 0,
    template: bool = False,
    pool: Sequence[Item] | None = None,
    batch_size: int = 8,
) -> list[Answered]:
    """Return how likely the model finds each choice of each item.

    Raises what `prompts` and `log_likelihoods` raise.
    """
    pairs = [
        choice_pairs(tokenizer, item, examples(item, pool or items, shots), template)
        for item in items
    ]
    flat = [pair for of_item in pairs for pair in of_item]
    found = iter(log_likelihoods(model, tokenizer, flat, batch_size=batch_size))
    return [Answered(item, tuple(next(found) for _ in item.choices)) for item in items]


def write(
    model,
    tokenizer,
    items: Sequence[Item],
    *,
    shots: "int | Sequence[Item]" = 0,
    template: bool = False,
    pool: Sequence[Item] | None = None,
    batch_size: int = 8,
    max_new_tokens: int = 48,
    **settings,
) -> list[Answered]:
    """Return what the model writes for each item, greedily unless `settings` say otherwise.

    Without a template a text ends where a next question would begin. settings: of `model.generate`.
    Raises what `prompts` and `generate` raise.
    """
    contexts = [
        context(tokenizer, item, examples(item, pool or items, shots), template) for item in items
    ]
    order = sorted(range(len(items)), key=lambda place: -len(contexts[place]))
    settings = {"do_sample": False, "max_new_tokens": max_new_tokens, **settings}
    written: dict[int, str] = {}
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        texts = _continue(model, tokenizer, [contexts[place] for place in places], settings)
        written |= dict(zip(places, texts, strict=True))
    return [Answered(item, written=written[place]) for place, item in enumerate(items)]


@torch.inference_mode()
def _continue(model, tokenizer, contexts: list[str], settings: dict) -> list[str]:
    """Return what the model writes after each context, read in one batch, padded on the left."""
    rows = [torch.tensor(encode(tokenizer, text)) for text in contexts]
    longest = max(map(len, rows))
    ids = torch.stack([pad(row, (longest - len(row), 0)) for row in rows])
    mask = torch.stack([pad(torch.ones_like(row), (longest - len(row), 0)) for row in rows])
    made = model.generate(
        ids.to(model.device),
        attention_mask=mask.to(model.device),
        stopping_criteria=[_NextQuestion(tokenizer, longest)],
        **{"pad_token_id": _padding(tokenizer), **settings},
    )
    new = made[:, longest:]
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in new]
    return [text.partition(UNTIL)[0].strip() for text in texts]


class _NextQuestion(StoppingCriteria):
    """Ends each row whose last tokens ask the next question."""

    def __init__(self, tokenizer, begin: int):
        self.tokenizer = tokenizer
        self.begin = begin  # where the new tokens begin

    def __call__(self, input_ids, scores, **_):
        tails = input_ids[:, self.begin :][:, -len(UNTIL) :]  # a token has a letter at least
        asks = [UNTIL in self.tokenizer.decode(tail) for tail in tails]
        return torch.tensor(asks, device=input_ids.device)


def _padding(tokenizer) -> int:
    known = tokenizer.pad_token_id, tokenizer.eos_token_id
    return next((one for one in known if one is not None), 0)


def by_kind(answered: Iterable[Answered], by: str = "raw") -> dict[str, Proportion]:
    """Return how many answers were right, for each kind of item, in the order of the kinds."""
    kinds: dict[str, list[bool]] = {}
    for one in answered:
        kinds.setdefault(one.item.kind, []).append(one.right(by))
    return {kind: proportion(sum(right), len(right)) for kind, right in kinds.items()}

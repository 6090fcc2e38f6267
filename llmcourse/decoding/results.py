"""What `generate` returns, made from the steps of the visible loop."""

from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

import torch
from transformers.generation import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput

from llmcourse.decoding.cache import CACHE_NAMES, cache_in

_FIELDS = {field.name for field in fields(GenerateDecoderOnlyOutput)}
_CACHE_FIELD = next(name for name in CACHE_NAMES if name in _FIELDS)


def collect_tokens(
    walk: Iterator, input_ids: torch.Tensor, generation_config, model_kwargs: dict
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Run `walk` to its end and return what `generate` returns for greedy decoding and sampling.

    input_ids: (batch, length) int64. Returns (batch, length + new tokens) int64, or with
    `return_dict_in_generate=True` the library's own output, with one attribute more:
    `stop_reasons`, a word for each row.
    """
    wants = generation_config if generation_config.return_dict_in_generate else None
    new, scores, logits = [], [], []
    for step in walk:
        new.append(step.chosen)
        if wants and wants.output_scores:
            scores.append(step.scores)
        if wants and wants.output_logits:
            logits.append(step.logits)
    sequences = torch.cat([input_ids, torch.stack(new, dim=1)], dim=1)
    if not wants:
        return sequences
    output = GenerateDecoderOnlyOutput(
        sequences=sequences,
        scores=tuple(scores) if wants.output_scores else None,
        logits=tuple(logits) if wants.output_logits else None,
        **{_CACHE_FIELD: cache_in(model_kwargs)},
    )
    output.stop_reasons = step.stop_reasons
    return output


def collect_beams(
    walk: Iterator, input_ids: torch.Tensor, generation_config, model_kwargs: dict
) -> torch.Tensor | GenerateBeamDecoderOnlyOutput:
    """Run a beam search to its end and return the best texts, as `generate` does.

    input_ids: (batch * num_beams, length) int64. Returns (batch * num_return_sequences, length)
    int64, or the library's own output, with `stop_reasons`, a word for each sequence.
    """
    wants = generation_config if generation_config.return_dict_in_generate else None
    scores, logits = [], []
    for step in walk:
        if wants and wants.output_scores:
            scores.append(step.scores)
        if wants and wants.output_logits:
            logits.append(step.logits)
    asked_for, prompt = generation_config.num_return_sequences, input_ids.shape[1]
    ids, best, rows = (part[:, :asked_for].flatten(0, 1) for part in step.ended.texts)
    longest = int((rows >= 0).sum(dim=1).max())
    sequences = ids[:, : prompt + longest]
    if not wants:
        return sequences
    output = GenerateBeamDecoderOnlyOutput(
        sequences=sequences,
        sequences_scores=best if wants.output_scores else None,
        scores=tuple(scores) if wants.output_scores else None,
        logits=tuple(logits) if wants.output_logits else None,
        beam_indices=rows[:, :longest],
        **{_CACHE_FIELD: cache_in(model_kwargs)},
    )
    output.stop_reasons = tuple(word for words in step.ended.reasons for word in words[:asked_for])
    return output


class Token(NamedTuple):
    """One new token of a draft that was verified, in the shapes of a `Step` for one row."""

    chosen: torch.Tensor  # (1,)
    scores: torch.Tensor  # (1, vocab)
    logits: torch.Tensor  # (1, vocab)
    stop_reasons: tuple[str | None, ...]


def collect_drafts(
    walk: Iterator, input_ids: torch.Tensor, generation_config, model_kwargs: dict
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Run `walk` to its end and return what `generate` returns for assisted decoding.

    The same as `collect_tokens`: scores and logits have one element for each token, not each round.
    """
    return collect_tokens(token_by_token(walk), input_ids, generation_config, model_kwargs)


def token_by_token(rounds: Iterator) -> Iterator[Token]:
    """Yield the new tokens of each round one by one."""
    for one in rounds:
        kinds = (one.chosen[0].split(1), one.scores.split(1), one.logits.split(1))
        for chosen, scores, logits in zip(*kinds, strict=True):
            yield Token(chosen, scores, logits, one.stop_reasons)

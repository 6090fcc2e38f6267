"""What `generate` returns, made from the steps of the visible loop."""

from collections.abc import Iterator
from dataclasses import fields

import torch
from transformers.generation import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput

from llmcourse.decoding.cache import CACHE_NAMES, cache_in
from llmcourse.decoding.ingredients import Ingredients

_FIELDS = {field.name for field in fields(GenerateDecoderOnlyOutput)}
_CACHE_FIELD = next(name for name in CACHE_NAMES if name in _FIELDS)


def collect_tokens(walk: Iterator, made: Ingredients) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Run `walk`, of steps or of rounds, to its end, and return what `generate` returns.

    Returns (batch, length + new tokens) int64, or with `return_dict_in_generate=True` the library's
    own output, with one attribute more: `stop_reasons`, a word for each row. Its scores and logits
    have one element for each token, not each round.
    """
    new, kept = [], Kept(made.generation_config)
    for step in walk:
        for token in step.new_tokens():
            new.append(token.chosen)
            kept.add(token)
    sequences = torch.cat([made.input_ids, torch.stack(new, dim=1)], dim=1)
    if not made.generation_config.return_dict_in_generate:
        return sequences
    output = GenerateDecoderOnlyOutput(
        sequences=sequences,
        scores=kept.scores,
        logits=kept.logits,
        **{_CACHE_FIELD: cache_in(made.model_kwargs)},
    )
    output.stop_reasons = step.stop_reasons
    return output


def collect_beams(
    walk: Iterator, made: Ingredients
) -> torch.Tensor | GenerateBeamDecoderOnlyOutput:
    """Run a beam search to its end and return the best texts, as `generate` does.

    Returns (batch * num_return_sequences, length) int64, or the library's own output, with
    `stop_reasons`, a word for each sequence.
    """
    config, kept = made.generation_config, Kept(made.generation_config)
    for step in walk:
        kept.add(step)
    asked_for, prompt = config.num_return_sequences, made.input_ids.shape[1]
    ids, best, rows = (part[:, :asked_for].flatten(0, 1) for part in step.ended.texts)
    longest = int((rows >= 0).sum(dim=1).max())
    sequences = ids[:, : prompt + longest]
    if not config.return_dict_in_generate:
        return sequences
    output = GenerateBeamDecoderOnlyOutput(
        sequences=sequences,
        sequences_scores=best if config.output_scores else None,
        scores=kept.scores,
        logits=kept.logits,
        beam_indices=rows[:, :longest],
        **{_CACHE_FIELD: cache_in(made.model_kwargs)},
    )
    output.stop_reasons = tuple(word for words in step.ended.reasons for word in words[:asked_for])
    return output


class Kept:
    """The scores and logits that the call asks to have back, each None if it does not."""

    def __init__(self, generation_config):
        wanted = generation_config.return_dict_in_generate
        self.scores = () if wanted and generation_config.output_scores else None
        self.logits = () if wanted and generation_config.output_logits else None

    def add(self, step) -> None:
        """Keep what is wanted of a token or a step: scores, logits, (rows, vocab) float32."""
        if self.scores is not None:
            self.scores += (step.scores,)
        if self.logits is not None:
            self.logits += (step.logits,)

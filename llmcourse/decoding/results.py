"""What `generate` returns, made from the steps of the visible loop."""

from collections.abc import Iterator
from dataclasses import fields, replace

import torch
from transformers.generation import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput
from transformers.generation.utils import _split_model_outputs

from llmcourse.decoding.cache import CACHE_NAMES, cache_in
from llmcourse.decoding.ingredients import Ingredients
from llmcourse.decoding.speculative import Round

_FIELDS = {field.name for field in fields(GenerateDecoderOnlyOutput)}
_CACHE_FIELD = next(name for name in CACHE_NAMES if name in _FIELDS)


class Text:
    """A criterion that ends no text, and notes the text that the others have just seen.

    ids: (batch, length) int64. User code may have written into them, which in `generate` changes
    what is returned.
    """

    ids: torch.Tensor

    def __call__(self, ids: torch.Tensor, scores) -> torch.Tensor:
        self.ids = ids
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


def noting_the_text(made: Ingredients) -> tuple[Ingredients, Text]:
    """Return the call with a last criterion that notes its text, and that criterion."""
    text = Text()
    return replace(made, stopping_criteria=[*made.stopping_criteria, text]), text


def collect_tokens(
    walk: Iterator, made: Ingredients, text: Text
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Run `walk`, of steps or of rounds, to its end, and return what `generate` returns.

    Returns (batch, length + new tokens) int64, or with `return_dict_in_generate=True` the library's
    own output, with one attribute more: `stop_reasons`, a word for each row. Its scores and logits
    have one element for each token, not each round.
    """
    kept, length = Kept(made.generation_config), made.input_ids.shape[1]
    for step in walk:
        for token in step.new_tokens():
            kept.add(token)
        if isinstance(step, Round):
            kept.look_into_round(step, length)
        else:
            kept.look(step)
        length = text.ids.shape[1]
    if not made.generation_config.return_dict_in_generate:
        return text.ids
    output = GenerateDecoderOnlyOutput(
        sequences=text.ids,
        **kept.fields(),
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
        kept.look(step)
    asked_for, prompt = config.num_return_sequences, made.input_ids.shape[1]
    ids, best, rows = (part[:, :asked_for].flatten(0, 1) for part in step.ended.texts)
    longest = int((rows >= 0).sum(dim=1).max())
    sequences = ids[:, : prompt + longest]
    if not config.return_dict_in_generate:
        return sequences
    output = GenerateBeamDecoderOnlyOutput(
        sequences=sequences,
        sequences_scores=best if config.output_scores else None,
        **kept.fields(),
        beam_indices=rows[:, :longest],
        **{_CACHE_FIELD: cache_in(made.model_kwargs)},
    )
    output.stop_reasons = tuple(word for words in step.ended.reasons for word in words[:asked_for])
    return output


class Kept:
    """What the call asks to have back of every step, by its name in the output."""

    def __init__(self, generation_config):
        names = ("scores", "logits", "attentions", "hidden_states")
        wanted = generation_config.return_dict_in_generate
        self.by_name = {
            name: [] if wanted and getattr(generation_config, f"output_{name}") else None
            for name in names
        }

    def add(self, token) -> None:
        """Keep the scores and logits, (rows, vocab) float32, of a token or a step."""
        self._keep(token, "scores", "logits")

    def look(self, step) -> None:
        """Keep what a step shows of the model's inside."""
        self._keep(step, "attentions", "hidden_states")

    def look_into_round(self, one: Round, length: int) -> None:
        """Keep what a round shows, token by token. length: of the text before the round."""
        for name in ("attentions", "hidden_states"):
            kept, shown = self.by_name[name], getattr(one, name)
            if kept is None or shown[0] is None:  # fails as `generate` does where there is nothing
                continue
            new = one.chosen.shape[1]
            added = new if kept else length + new  # at first the prompt's come along
            split = _split_model_outputs(tuple(kept), shown, length, added, name == "attentions")
            self.by_name[name] = list(split)

    def _keep(self, thing, *names: str) -> None:
        for name in names:
            if self.by_name[name] is not None:
                self.by_name[name].append(getattr(thing, name))

    def fields(self) -> dict[str, tuple | None]:
        """Return what was kept, None for what the call did not ask for."""
        return {name: None if kept is None else tuple(kept) for name, kept in self.by_name.items()}

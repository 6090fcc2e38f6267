"""The visible loop: what `model.generate` does for greedy decoding and sampling, token by token.

`decode` is the loop, and the text that lesson 2 arrives at. `generate.py` has the doors to it
(`steps`, `generate`, `glass_box`), `beam.py` and `speculative.py` the other ways of decoding.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import torch

from llmcourse.decoding.cache import cache_in, cached_length, is_recurrent
from llmcourse.decoding.model_inputs import grown, inputs_for, prefill
from llmcourse.decoding.refusals import no_distribution
from llmcourse.decoding.stops import eos_ids, explain, vote


class Token(NamedTuple):
    """One new token of each row of a batch, and what it was chosen from."""

    chosen: torch.Tensor  # (batch,) int64, the new ids
    logits: torch.Tensor  # (batch, vocab) float32, as the model gave them
    scores: torch.Tensor  # (batch, vocab) float32, the same after the rules
    probs: torch.Tensor  # (batch, vocab) float32, softmax of the scores


@dataclass(frozen=True, eq=False)
class Step:
    """What happened in one turn of the loop, for every row of the batch."""

    index: int  # 0 for the first new token
    fed: torch.Tensor  # (batch, tokens) int64, the ids that the model read
    logits: torch.Tensor  # (batch, vocab) float32, as the model gave them
    scores: torch.Tensor  # (batch, vocab) float32, the same after the rules
    probs: torch.Tensor  # (batch, vocab) float32, softmax of the scores
    chosen: torch.Tensor  # (batch,) int64, the new ids
    cache_length: int  # tokens in the key-value cache after this step, 0 without one
    finished: torch.Tensor  # (batch,) bool, which rows are done
    stop_reasons: tuple[str | None, ...]  # a word for each finished row, with a `sentence`
    seconds: float  # from the start of the forward pass to the decision to stop or go on
    # With output_attentions=True, of each layer (batch, heads, tokens, tokens so far) float32
    attentions: tuple[torch.Tensor, ...] | None = None
    # With output_hidden_states=True, the embeddings and after each layer (batch, tokens, hidden)
    hidden_states: tuple[torch.Tensor, ...] | None = None

    def new_tokens(self) -> tuple[Token, ...]:
        """Return the tokens by which each row grew, in order: one here, several in a `Round`.

        Raises ValueError in a `BeamStep`, whose rows are not one text each.
        """
        return (Token(self.chosen, self.logits, self.scores, self.probs),)

    def __repr__(self) -> str:
        shown = self.chosen[:8].tolist()
        likely = [round(self.probs[row, token].item(), 3) for row, token in enumerate(shown)]
        more = " ..." if len(self.chosen) > len(shown) else ""
        stopped = [word for word in self.stop_reasons if word]
        return (
            f"Step {self.index}: fed {tuple(self.fed.shape)}, chose {shown}{more} with p {likely}, "
            f"cache {self.cache_length}" + (f", stopped: {', '.join(stopped)}" if stopped else "")
        )


@torch.no_grad()
def decode(
    model,
    input_ids,  # (batch, length): the prompts, padded on the left
    logits_processor,  # the rules: change the scores before a token is chosen
    stopping_criteria,  # when is a row done?
    generation_config,
    *,
    attention_mask=None,  # (batch, length): 0 on padding, 1 elsewhere; None if all are 1
    position_ids=None,  # (batch, length): 0, 1, 2 ... from the first token that is not padding
    use_cache=True,
    **forward_kwargs,  # the cache, among others: keys and values of the tokens already read
) -> Iterator[Step]:
    """Yield a Step for each new token until every row is done."""
    ids, mask, positions, prompt = input_ids, attention_mask, position_ids, input_ids.shape[1]
    cache = cache_in(forward_kwargs)
    forward_kwargs["use_cache"] = use_cache
    pad = padding_id(generation_config, stopping_criteria)
    running = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    reasons = (None,) * len(ids)
    history = () if keeps_scores(generation_config) else None
    chunk = generation_config.prefill_chunk_size
    fed = prefill(model, ids, mask, positions, chunk=chunk, **forward_kwargs)  # all of the prompt

    for index in count():
        started = time.perf_counter()

        # 1. Forward pass. The model reads what it has not read yet; the cache holds the rest.
        output = model(**inputs_for(fed, mask, positions), **forward_kwargs)

        # 2. Every position predicts its next token; the last one predicts the token we lack.
        logits = output.logits[:, -1].to(torch.float32, copy=True)  # (batch, vocab)

        # 3. The rules: temperature, top-k, penalties ... see the whole text so far.
        scores = logits_processor(ids, logits)

        # 4. Choose: draw from the distribution, or take the likeliest token.
        probs = scores.softmax(-1)
        chosen = draw(probs) if generation_config.do_sample else scores.argmax(-1)  # (batch,)

        # 5. A finished row keeps its place in the batch; all that it gets is padding.
        if pad is not None:
            chosen = torch.where(running, chosen, pad)

        # 6. Append the token, and ask whether that ends the row.
        ids = torch.cat([ids, chosen[:, None]], dim=-1)
        if history is not None:
            history += (scores,)
        done, votes = vote(stopping_criteria, ids, history)
        reasons = explain(reasons, running & done, stopping_criteria, votes, ids, prompt)
        running = running & ~done

        length, seconds = cached_length(cache), time.perf_counter() - started
        yield Step(index, fed, logits, scores, probs, chosen, length, ~running, reasons, seconds)
        if not running.any():
            return

        # 7. With a cache the next step reads the new token only, without one everything again.
        fed = ids[:, -1:].clone() if use_cache else ids
        mask, positions = grown(mask, positions)
        if is_recurrent(cache):
            mask = None  # a state-space model (Mamba) needs its mask for the prefill only


def draw(probs: torch.Tensor) -> torch.Tensor:
    """Draw one token a row, (batch,) int64, with torch's global generator.

    probs: (batch, vocab) float32. The whole batch is drawn at once, finished rows included, so that
    the same seed gives the same tokens as `generate`. Raises RuntimeError where a row has nan.
    """
    return draw_several(probs, 1).squeeze(1)


def draw_several(probs: torch.Tensor, how_many: int) -> torch.Tensor:
    """Draw different tokens of each row, (batch, how_many) int64; raises as `draw` does."""
    try:
        return torch.multinomial(probs, how_many)
    except RuntimeError as error:
        raise no_distribution(probs, error) from error


def padding_id(generation_config, stopping_criteria) -> int | None:
    """Return the id that finished rows receive, None if no row can finish before the others."""
    if not any(hasattr(criterion, "eos_token_id") for criterion in stopping_criteria):
        return None
    if generation_config.pad_token_id is not None:
        return generation_config.pad_token_id
    return next(iter(eos_ids(generation_config)), None)


def keeps_scores(generation_config) -> bool:
    """Tell whether the caller asked for every step's scores; only then do criteria see them."""
    return bool(generation_config.return_dict_in_generate and generation_config.output_scores)

"""The visible loop: what `model.generate` does for greedy decoding and sampling, token by token.

`decode` is the loop, and the text that lesson 2 arrives at. `steps`, `generate` and `glass_box` are
three doors to it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from transformers.generation import GenerateDecoderOnlyOutput

from llmcourse.prepared import ingredients
from llmcourse.refusals import check_prepared, no_distribution, prompt_length
from llmcourse.stops import explain, vote


@dataclass(frozen=True, eq=False)
class Step:
    """What happened in one turn of the loop, for every row of the batch.

    index: 0 for the first new token. fed: (batch, tokens) int64, the ids that the model read.
    logits: (batch, vocab) float32, as the model gave them. scores: the same after the rules.
    probs: (batch, vocab) float32, softmax of the scores. chosen: (batch,) int64, the new ids.
    cache_length: tokens in the key-value cache after this step, 0 without one.
    finished: (batch,) bool. stop_reasons: a word for each finished row, None for the others.
    seconds: from the start of the forward pass to the decision to stop or go on.
    """

    index: int
    fed: torch.Tensor
    logits: torch.Tensor
    scores: torch.Tensor
    probs: torch.Tensor
    chosen: torch.Tensor
    cache_length: int
    finished: torch.Tensor
    stop_reasons: tuple[str | None, ...]
    seconds: float

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
    past_key_values=None,  # the cache: keys and values of the tokens that the model has read
    use_cache=True,
    **forward_kwargs,
) -> Iterator[Step]:
    """Yield a Step for each new token until every row is done."""
    ids, mask, positions, cache = input_ids, attention_mask, position_ids, past_key_values
    pad = padding_id(generation_config, stopping_criteria)
    running = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    reasons = (None,) * len(ids)
    history = () if keeps_scores(generation_config) else None
    fed = not_yet_read(ids, mask, positions, cache)  # prefill: the first step reads the prompt

    for index in count():
        started = time.perf_counter()

        # 1. Forward pass. The model reads what it has not read yet; the cache holds the rest.
        here = None if positions is None else positions[:, -fed.shape[1] :]
        known = given(attention_mask=mask, position_ids=here, past_key_values=cache)
        output = model(fed, **known, use_cache=use_cache, **forward_kwargs)

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
        reasons = explain(reasons, running & done, stopping_criteria, votes)
        running = running & ~done

        length, seconds = cached_length(cache), time.perf_counter() - started
        yield Step(index, fed, logits, scores, probs, chosen, length, ~running, reasons, seconds)
        if not running.any():
            return

        # 7. With a cache the next step reads the new token only, without one everything again.
        fed = chosen[:, None] if use_cache else ids
        if "cache_params" in forward_kwargs:
            mask = None  # a state-space model (Mamba) needs its mask for the prefill only
        elif mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(ids), 1)], dim=-1)
        if positions is not None:
            positions = torch.cat([positions, positions[:, -1:] + 1], dim=-1)


def given(**inputs) -> dict:
    """Return the inputs that are not None: not every model knows every one of them."""
    return {name: value for name, value in inputs.items() if value is not None}


def cached_length(cache) -> int:
    """Return how many tokens the key-value cache holds, 0 without one."""
    return 0 if cache is None else int(cache.get_seq_length())


def not_yet_read(ids: torch.Tensor, mask, positions, cache) -> torch.Tensor:
    """Return the part of the prompt, (batch, tokens), that a cache handed in by the user lacks.

    The ids are the whole prompt, or come without what the cache holds.
    """
    whole = prompt_length(ids, mask, positions) == ids.shape[1]
    return ids[:, cached_length(cache) :] if whole else ids


def draw(probs: torch.Tensor) -> torch.Tensor:
    """Draw one token a row, (batch,) int64, with torch's global generator.

    probs: (batch, vocab) float32. The whole batch is drawn at once, finished rows included, so that
    the same seed gives the same tokens as `generate`. Raises RuntimeError where a row has nan.
    """
    try:
        return torch.multinomial(probs, num_samples=1).squeeze(1)
    except RuntimeError as error:
        raise no_distribution(probs, error) from error


def padding_id(generation_config, stopping_criteria) -> int | None:
    """Return the id that finished rows receive, None if no row can finish before the others."""
    if not any(hasattr(criterion, "eos_token_id") for criterion in stopping_criteria):
        return None
    if generation_config.pad_token_id is not None:
        return generation_config.pad_token_id
    eos = generation_config.eos_token_id
    return eos[0] if isinstance(eos, list | tuple) else eos


def keeps_scores(generation_config) -> bool:
    """Tell whether the caller asked for every step's scores; only then do criteria see them."""
    return bool(generation_config.return_dict_in_generate and generation_config.output_scores)


def glass_box(
    model,
    input_ids: torch.Tensor,
    logits_processor,
    stopping_criteria,
    generation_config,
    *,
    streamer=None,
    **model_kwargs,
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Run the visible loop in `generate`: `model.generate(**inputs, custom_generate=glass_box)`.

    input_ids: (batch, length) int64. Returns (batch, length + new tokens) int64, or the library's
    GenerateDecoderOnlyOutput with `return_dict_in_generate=True`. Raises ValueError, by name, for
    settings that the loop cannot honour. transformers 5 hands no `streamer` or `assistant_model` on
    to a function (a streamer then gets the prompt and waits for more); `llmcourse.generate` honours
    the first and refuses the second.
    """
    check_prepared(model, input_ids, generation_config, model_kwargs)
    wants = generation_config if generation_config.return_dict_in_generate else None
    new, scores, logits = [], [], []
    for step in decode(
        model,
        input_ids,
        logits_processor,
        stopping_criteria,
        generation_config,
        **model_kwargs,
    ):
        new.append(step.chosen)
        if wants and wants.output_scores:
            scores.append(step.scores)
        if wants and wants.output_logits:
            logits.append(step.logits)
        if streamer is not None:
            streamer.put(step.chosen.cpu())
    if streamer is not None:
        streamer.end()
    sequences = torch.cat([input_ids, torch.stack(new, dim=1)], dim=1)
    if not wants:
        return sequences
    return GenerateDecoderOnlyOutput(
        sequences=sequences,
        scores=tuple(scores) if wants.output_scores else None,
        logits=tuple(logits) if wants.output_logits else None,
        past_key_values=model_kwargs.get("past_key_values"),
    )


def steps(
    model, inputs=None, *, tokenizer=None, rules=None, streamer=None, **generate_kwargs
) -> Iterator[Step]:
    """Generate token by token: prepare as `generate` does, then yield a Step for each new token.

    inputs, generate_kwargs: what `model.generate` takes. tokenizer: needed for `stop_strings`.
    rules: functions of (ids, scores), run in this order *in place of* the processors that
    `generate` would prepare. Raises at once, not at the first step: what `ingredients` raises, and
    ValueError, by name, for a setting that the loop cannot honour.
    """
    made = ingredients(model, inputs, tokenizer=tokenizer, rules=rules, **generate_kwargs)
    check_prepared(model, made.input_ids, made.generation_config, made.model_kwargs)
    walk = decode(model, **made.for_the_loop())
    return walk if streamer is None else _streamed(walk, made.input_ids, streamer)


def generate(
    model, inputs=None, *, tokenizer=None, rules=None, streamer=None, **generate_kwargs
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Generate with the visible loop; the same ids as `model.generate`, the prompt included.

    Takes what `steps` takes and raises what it raises. Returns (batch, length + new tokens) int64.
    """
    made = ingredients(model, inputs, tokenizer=tokenizer, rules=rules, **generate_kwargs)
    check_prepared(model, made.input_ids, made.generation_config, made.model_kwargs)
    if streamer is not None:
        streamer.put(made.input_ids.cpu())
    return glass_box(model, **made.for_the_loop(), streamer=streamer)


def _streamed(walk: Iterator[Step], prompt: torch.Tensor, streamer) -> Iterator[Step]:
    streamer.put(prompt.cpu())
    for step in walk:
        streamer.put(step.chosen.cpu())
        yield step
    streamer.end()

"""The doors to the visible loop: `steps` to look, `generate` for the result, `glass_box` inside.

The settings of a call decide how it is decoded, as in `model.generate`. Each way is a module with a
generator of steps: `loop` (greedy decoding and sampling), `beam` and `speculative`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from transformers.generation import GenerationMode

from llmcourse.decoding import beam, loop, results, speculative
from llmcourse.decoding.ingredients import ingredients
from llmcourse.decoding.refusals import check_drafting, check_prepared


class Way(NamedTuple):
    """A way of decoding: `decode` makes the steps, `collect` makes their result."""

    decode: Callable
    collect: Callable


def way_of(mode: GenerationMode) -> Way:
    """Return how `mode` is decoded."""
    if mode in (GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE):
        return Way(beam.search, results.collect_beams)
    if mode == GenerationMode.ASSISTED_GENERATION:
        return Way(speculative.decode, results.collect_drafts)
    return Way(loop.decode, results.collect_tokens)


def steps(
    model,
    inputs=None,
    *,
    tokenizer=None,
    rules=None,
    streamer=None,
    assistant_model=None,
    **generate_kwargs,
) -> Iterator:
    """Generate step by step: prepare as `generate` does, then yield each step as it is made.

    inputs, generate_kwargs: what `model.generate` takes. tokenizer: needed for `stop_strings`.
    rules: functions of (ids, scores), run in this order *in place of* the processors that
    `generate` would prepare. Yields a `Step` for each new token; a `BeamStep` with `num_beams`; a
    `Round` for each forward pass with an `assistant_model` or `prompt_lookup_num_tokens`. Raises at
    once, not at the first step: what `ingredients` raises, and ValueError, by name, for a setting
    that the loop cannot honour.
    """
    call = {"tokenizer": tokenizer, "rules": rules, "assistant_model": assistant_model}
    made = ingredients(model, inputs, **call, **generate_kwargs)
    _, walk = _start(model, **made.for_the_loop(), streamer=streamer)
    return walk if streamer is None else _prompt_first(walk, made.input_ids, streamer)


def generate(
    model,
    inputs=None,
    *,
    tokenizer=None,
    rules=None,
    streamer=None,
    assistant_model=None,
    **generate_kwargs,
):
    """Generate with the visible loop; the same ids as `model.generate`, the prompt included.

    Takes what `steps` takes and raises what it raises. Returns (batch, length + new tokens) int64,
    or the library's own output with `return_dict_in_generate=True` (see `glass_box`).
    """
    call = {"tokenizer": tokenizer, "rules": rules, "assistant_model": assistant_model}
    made = ingredients(model, inputs, **call, **generate_kwargs)
    way, walk = _start(model, **made.for_the_loop(), streamer=streamer)
    if streamer is not None:
        walk = _prompt_first(walk, made.input_ids, streamer)
    return way.collect(walk, made.input_ids, made.generation_config, made.model_kwargs)


def glass_box(
    model,
    input_ids: torch.Tensor,
    logits_processor,
    stopping_criteria,
    generation_config,
    *,
    streamer=None,
    assistant_model=None,
    **model_kwargs,
):
    """Run the visible loop in `generate`: `model.generate(**inputs, custom_generate=glass_box)`.

    input_ids: (batch, length) int64. Returns (batch, length + new tokens) int64; with
    `return_dict_in_generate=True` the library's own output, which then also has `stop_reasons`, a
    word for each sequence. Raises ValueError, by name, for settings that the loop cannot honour.

    transformers 5 hands no `streamer` and no `assistant_model` on to a function. Hand them on
    yourself: `custom_generate=functools.partial(glass_box, streamer=streamer)`, with the same
    `streamer=` for `generate`, which gives it the prompt. Or call `llmcourse.generate`.
    """
    prepared = (model, input_ids, logits_processor, stopping_criteria, generation_config)
    passed_on = {"streamer": streamer, "assistant_model": assistant_model}
    way, walk = _start(*prepared, **passed_on, **model_kwargs)
    return way.collect(walk, input_ids, generation_config, model_kwargs)


def _start(
    model,
    input_ids,
    logits_processor,
    stopping_criteria,
    generation_config,
    *,
    streamer=None,
    assistant_model=None,
    **model_kwargs,
) -> tuple[Way, Iterator]:
    """Check a prepared call; return the way that it is decoded, and its steps, none made yet."""
    mode = generation_config.get_generation_mode(assistant_model)
    check_prepared(model, input_ids, generation_config, model_kwargs, mode, streamer)
    check_drafting(model, input_ids, generation_config, model_kwargs, mode, assistant_model)
    way = way_of(mode)
    if assistant_model is not None:
        model_kwargs["assistant_model"] = assistant_model
    prepared = (model, input_ids, logits_processor, stopping_criteria, generation_config)
    walk = way.decode(*prepared, **model_kwargs)
    return way, walk if streamer is None else _streamed(walk, streamer)


def _streamed(walk: Iterator, streamer) -> Iterator:
    for step in walk:
        streamer.put(step.chosen.cpu())
        yield step
    streamer.end()


def _prompt_first(walk: Iterator, prompt: torch.Tensor, streamer) -> Iterator:
    streamer.put(prompt.cpu())
    yield from walk

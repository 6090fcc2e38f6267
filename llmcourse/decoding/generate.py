"""The doors to the visible loop: `steps` to look, `generate` for the result, `glass_box` inside.

The settings of a call decide how it is decoded, as in `model.generate`. Each way is a module with a
generator of steps: `loop` (greedy decoding and sampling), `beam` and `speculative`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from transformers.generation import GenerationMode

from llmcourse.decoding import beam, loop, results, speculative
from llmcourse.decoding.drafts import LibraryDraft, drafts_in_the_library
from llmcourse.decoding.ingredients import Ingredients, ingredients
from llmcourse.decoding.refusals import check_drafting, check_prepared
from llmcourse.decoding.speculative import Round
from llmcourse.decoding.unusual_models import Forward, forward_of
from llmcourse.decoding.user_code import checked

_BEAMS = (GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE)


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

    inputs, generate_kwargs: what `model.generate` takes. tokenizer: needed for `stop_strings`, and
    beside an `assistant_tokenizer`. rules: functions of (ids, scores), run in this order *in place
    of* the processors that `generate` would prepare. Yields a `Step` for each new token; a
    `BeamStep` with `num_beams`; a `Round` for each forward pass with drafts (`assistant_model`,
    `prompt_lookup_num_tokens`, `assistant_early_exit`, `use_mtp`). Raises at once, not at the first
    step: what `ingredients` raises, and ValueError, by name, for a setting that the loop cannot
    honour.
    """
    call = {"tokenizer": tokenizer, "rules": rules, "assistant_model": assistant_model}
    made = ingredients(model, inputs, **call, **generate_kwargs)
    return _prompt_first(open_walk(model, made, streamer), made, streamer)


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
    made, text = results.noting_the_text(made)
    walk = _prompt_first(open_walk(model, made, streamer), made, streamer)
    return _collect(walk, made, text)


def glass_box(
    model,
    input_ids: torch.Tensor,
    logits_processor,
    stopping_criteria,
    generation_config,
    *,
    streamer=None,
    assistant_model=None,
    tokenizer=None,
    assistant_tokenizer=None,
    **model_kwargs,
):
    """Run the visible loop in `generate`: `model.generate(**inputs, custom_generate=glass_box)`.

    input_ids: (batch, length) int64. Returns (batch, length + new tokens) int64; with
    `return_dict_in_generate=True` the library's own output, which then also has `stop_reasons`, a
    word for each sequence. Raises ValueError, by name, for settings that the loop cannot honour.

    transformers 5 hands no `streamer`, no `assistant_model` and no tokenizers on to a function.
    Hand them on yourself: `custom_generate=functools.partial(glass_box, streamer=streamer)`, with
    the same `streamer=` for `generate`, which gives it the prompt. Or call `llmcourse.generate`.
    """
    made = Ingredients(
        input_ids=input_ids,
        logits_processor=logits_processor,
        stopping_criteria=stopping_criteria,
        generation_config=generation_config,
        model_kwargs=model_kwargs,
        assistant_model=assistant_model,
        tokenizer=tokenizer,
        assistant_tokenizer=assistant_tokenizer,
    )
    made, text = results.noting_the_text(made)
    return _collect(open_walk(model, made, streamer), made, text)


def open_walk(model, made: Ingredients, streamer=None) -> Iterator:
    """Check a prepared call and return its steps, none made yet.

    Raises ValueError, by name, for a setting that the loop cannot honour.
    """
    mode, config = made.mode, made.generation_config
    chooses = {
        "greedy": mode == GenerationMode.GREEDY_SEARCH,
        "beams": mode == GenerationMode.BEAM_SEARCH,
    }
    made = replace(made, logits_processor=checked(made.logits_processor, **chooses))
    check_prepared(model, made.input_ids, config, made.model_kwargs, mode, streamer)
    check_drafting(model, made)
    forward = forward_of(model, made)
    arguments = forward.arguments()
    if mode == GenerationMode.ASSISTED_GENERATION and drafts_in_the_library(made):
        arguments["drafter"] = LibraryDraft(forward, made)
    walk = way_of(mode)(forward, **arguments)
    if forward.looks:
        walk = _looked_into(walk, forward)
    return walk if streamer is None else _streamed(walk, streamer)


def way_of(mode: GenerationMode) -> Callable[..., Iterator]:
    """Return the generator of steps that decodes in this mode."""
    if mode in _BEAMS:
        return beam.search
    return speculative.decode if mode == GenerationMode.ASSISTED_GENERATION else loop.decode


def _collect(walk: Iterator, made: Ingredients, text: results.Text):
    try:
        if made.mode in _BEAMS:
            return results.collect_beams(walk, made)
        return results.collect_tokens(walk, made, text)
    except RuntimeError as error:
        if isinstance(error.__cause__, StopIteration):  # of user code; a generator renames it
            raise error.__cause__ from None
        raise


def _looked_into(walk: Iterator, forward: Forward) -> Iterator:
    """Give each step what its forward pass showed of the model's inside."""
    for step in walk:
        if isinstance(step, Round) and forward.shown.get("attentions") == ():
            raise IndexError(
                "output_attentions=True has nothing to split among the tokens of a draft: this "
                'model computes no attentions; load it with attn_implementation="eager".'
            )
        yield replace(step, **forward.shown)


def _streamed(walk: Iterator, streamer) -> Iterator:
    for step in walk:
        streamer.put(step.chosen.cpu())
        yield step
    streamer.end()


def _prompt_first(walk: Iterator, made: Ingredients, streamer) -> Iterator:
    """Give the streamer the prompt before the first step, as `generate` does."""
    if streamer is not None:
        streamer.put(made.input_ids.cpu())
    yield from walk

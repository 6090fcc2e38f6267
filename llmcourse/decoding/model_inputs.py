"""What the model is fed: the tokens that it has not read yet, with their mask and positions.

Every way of decoding (`loop`, `beam`, `speculative`) does this bookkeeping, and none of it is about
choosing tokens.
"""

import torch
from transformers.generation import GenerationMixin

from llmcourse.decoding.cache import cache_in, cached_length

# These classes change `prepare_inputs_for_generation`, but not what they are fed from step to step;
# tests/decoding/test_parity.py compares them with `generate`.
_FED_AS_USUAL = {
    "bamba",
    "falcon_h1",
    "falcon_mamba",
    "mamba",
    "mamba2",
    "phi3",
    "phimoe",
}


def is_fed_as_usual(model, generation_config) -> bool:
    """Tell whether a model wants tokens, mask, positions and the cache, and nothing of its own."""
    kind = model.config.model_type
    prepare = model.prepare_inputs_for_generation  # of this object: an adapter may replace it
    function = getattr(prepare, "__func__", prepare)
    usual = function is GenerationMixin.prepare_inputs_for_generation
    own = getattr(type(model), "prepare_inputs_for_generation", None)
    known = kind in _FED_AS_USUAL and function is own
    turn = getattr(model.config, "original_max_position_embeddings", None)  # Phi-3's long rope
    switches = kind in ("phi3", "phimoe") and turn and generation_config.max_length > turn
    return (usual or known) and not switches


def inputs_for(fed: torch.Tensor, mask, positions) -> dict:
    """Return the model's inputs for `fed`, (batch, tokens), the newest tokens of the text.

    mask, positions: (batch, length) of the text so far, or None: not every model knows both. Of a
    model that sees pictures, positions may be (3 or 4, batch, length): time, height, width.
    """
    inputs = {"input_ids": fed}
    if mask is not None:
        inputs["attention_mask"] = mask
    if positions is not None:
        inputs["position_ids"] = positions[..., -fed.shape[1] :]
    return inputs


def grown(mask, positions, by: int = 1) -> tuple:
    """Return mask and positions for a text that is `by` tokens longer, finished rows included."""
    if mask is not None:
        mask = torch.cat([mask, mask.new_ones(len(mask), by)], dim=-1)
    if positions is not None:
        more = torch.arange(1, by + 1, device=positions.device)
        positions = torch.cat([positions, positions[..., -1:] + more], dim=-1)
    return mask, positions


def prompt_length(ids: torch.Tensor, mask, positions) -> int:
    """Return the length of the whole prompt, of which `ids` may be the part not yet in the cache.

    The mask has that length. `generate` drops a mask of ones, but makes the positions from it.
    """
    longest = mask if mask is not None else positions
    return ids.shape[1] if longest is None else longest.shape[-1]


def not_yet_read(ids: torch.Tensor, mask, positions, cache) -> torch.Tensor:
    """Return the part of the prompt, (batch, tokens), that a cache handed in by the user lacks.

    The ids are the whole prompt, or come without what the cache holds.
    """
    whole = prompt_length(ids, mask, positions) == ids.shape[1]
    return ids[:, cached_length(cache) :] if whole else ids


def prefill(model, ids, mask, positions, *, chunk: int | None, **forward_kwargs) -> torch.Tensor:
    """Return what the first step reads: the prompt, (batch, tokens), less what the cache holds.

    chunk: `prefill_chunk_size`; the model then reads the prompt in pieces of that many tokens, to
    save memory, and the last piece is left for the first step.
    """
    cache = cache_in(forward_kwargs)
    fed = not_yet_read(ids, mask, positions, cache)
    if chunk is None:
        return fed.clone()  # the caller keeps the prompt, whatever is done to a step
    *first, last = fed.split(chunk, dim=-1)
    read = cached_length(cache)
    for piece in first:
        read += piece.shape[1]
        seen, places = (part if part is None else part[..., :read] for part in (mask, positions))
        model(**inputs_for(piece, seen, places), **forward_kwargs)
    return last

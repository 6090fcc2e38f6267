"""The cache that the turns of a conversation share.

The next prompt begins as the last one did, so the cache holds most of it already. What it holds is
compared with the new ids, and cropped where they part: a turn reads only what is new in it.
"""

import math

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation import GenerationMode

from llmcourse.decoding.cache import CACHE_NAMES, cache_in, cached_length
from llmcourse.decoding.ingredients import Ingredients
from llmcourse.decoding.model_inputs import is_fed_as_usual

# Layers of a cache that hold tokens, and no state of the text so far: reading can go on from them.
_ATTENTION = {DynamicLayer, DynamicSlidingWindowLayer}


class SharedCache:
    """A cache, the model that made it, and the ids of the text that it was made of.

    ids: the last prompt and its answer, of which the cache holds most; who writes on adds to them.
    cache: the model's own, None where there is none to go on with. model: None as well then.
    """

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        """Have the next prompt read whole."""
        self.ids: list[int] = []
        self.cache = self.model = None

    def lend(self, model, made: Ingredients) -> int:
        """Give a prepared call the cache, as far as it fits, and return how many tokens it spares.

        What the call fills is kept for the next one. A call of another model, or of a kind that
        cannot go on with a cache, is left alone, and nothing is kept of it.
        """
        prompt = made.input_ids[0].tolist()
        can = _can_go_on(model, made)
        if not can or model is not self.model:
            self.forget()
        reused = self.crop_to(prompt)
        if reused:
            held_as = next(name for name in CACHE_NAMES if made.model_kwargs.get(name) is not None)
            made.model_kwargs[held_as] = self.cache
        self.ids = prompt
        if can:
            self.cache, self.model = cache_in(made.model_kwargs), model
        return reused

    def crop_to(self, prompt: list[int]) -> int:
        """Crop the cache to what it has in common with a prompt, and return how many tokens.

        One token of the prompt at least is left to be read: its logits are what is needed.
        """
        held = self.ids[: cached_length(self.cache)]
        alike = _common_prefix(held, prompt[:-1])
        try:
            if 0 < alike < len(held):
                self.cache.crop(alike - len(held))
        except (ValueError, RuntimeError):  # a window that has moved on: read all anew
            alike = 0
        if alike and {type(layer) for layer in self.cache.layers} <= _ATTENTION:
            return alike
        self.forget()
        return 0


def _can_go_on(model, made: Ingredients) -> bool:
    """Tell whether a prepared call may read what it has in common with another from its cache."""
    config = made.generation_config
    # With drafts `generate` reads what a cache holds a second time.
    one_by_one = made.mode in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
    usual = is_fed_as_usual(model, config) and config.cache_implementation is None
    grows = isinstance(cache_in(made.model_kwargs), DynamicCache)
    alike = not _reads_both_ways(model.config) and config.max_length <= _short_rope(model.config)
    return one_by_one and usual and grows and alike


def _reads_both_ways(config) -> bool:
    """Tell whether a token is read with what comes after it: the cache of a part is another one."""
    like_bert = hasattr(config, "add_cross_attention")
    encodes = like_bert and getattr(config, "is_decoder", True) is False
    return encodes or getattr(config, "use_bidirectional_attention", None) is True


def _short_rope(config) -> float:
    """Return how long a text may be until a long rope turns all its keys in another way."""
    ropes = getattr(config.get_text_config(), "rope_parameters", None) or {}
    several = [ropes, *(rope for rope in ropes.values() if isinstance(rope, dict))]
    turns = [
        rope.get("original_max_position_embeddings")
        or getattr(config, "original_max_position_embeddings", None)
        or 0
        for rope in several
        if rope.get("rope_type") == "longrope"
    ]
    return min(turns, default=math.inf)


def _common_prefix(some: list[int], others: list[int]) -> int:
    pairs = enumerate(zip(some, others, strict=False))
    differ = (at for at, (one, other) in pairs if one != other)
    return next(differ, min(len(some), len(others)))

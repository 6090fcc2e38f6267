"""The cache that the turns of a conversation share.

The next prompt begins as the last one did, so the cache holds most of it already. What it holds is
compared with the new ids, and cropped where they part: a turn reads only what is new in it.
"""

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation import GenerationMode

from llmcourse.decoding.cache import cache_in, cached_length
from llmcourse.decoding.ingredients import Ingredients
from llmcourse.decoding.model_inputs import is_fed_as_usual

# Layers of a cache that hold tokens, and no state of the text so far: reading can go on from them.
_ATTENTION = {DynamicLayer, DynamicSlidingWindowLayer}


class SharedCache:
    """A cache, and the ids of the text that it was made of.

    ids: the last prompt and its answer, of which the cache holds most; who writes on adds to them.
    cache: the model's own, None where there is none to go on with.
    """

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        """Have the next prompt read whole."""
        self.ids: list[int] = []
        self.cache = None

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

    def keep(self, model, made: Ingredients) -> None:
        """Keep a prepared call's cache, unless the next turn could not go on with it."""
        cache, config = cache_in(made.model_kwargs), made.generation_config
        one_by_one = made.mode in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
        usual = is_fed_as_usual(model, config) and config.cache_implementation is None
        self.ids = made.input_ids[0].tolist()
        # With drafts `generate` reads what a cache holds a second time.
        go_on = one_by_one and usual and isinstance(cache, DynamicCache)
        self.cache = cache if go_on else None


def _common_prefix(some: list[int], others: list[int]) -> int:
    pairs = enumerate(zip(some, others, strict=False))
    differ = (at for at, (one, other) in pairs if one != other)
    return next(differ, min(len(some), len(others)))

"""The model as the loop calls it: the cache that it gives back is followed, and its own ways too.

Most models want tokens, mask, positions and the cache (`cache.inputs_for`), and are called so. Some
prepare each step's inputs in their own way, and some calls need it (embeddings in place of ids,
token types, a compiled forward pass): these are called as `generate` calls them, through the
library's public `prepare_inputs_for_generation`.
"""

from typing import Any

import torch

from llmcourse.decoding.cache import CACHE_NAMES, cache_in, cached_length
from llmcourse.decoding.ingredients import Ingredients
from llmcourse.decoding.model_inputs import MASKS_FROM_THE_LIBRARY, is_fed_as_usual

# What the loop itself feeds, or only asks for; what else is passed to the model needs its own way.
_FED = {"attention_mask", "position_ids", "use_cache", "logits_to_keep", *CACHE_NAMES}
_LOOKED_AT = {"output_attentions", "output_hidden_states"}


class HeldCache:
    """The cache that the model last gave back, which may be another one than it was given."""

    def __init__(self, cache):
        self.cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cache, name)


class Forward:
    """A model, called by the loop with what it has not read yet.

    made: the prepared call; the cache in its `model_kwargs` becomes the one that came back last.
    """

    def __init__(self, model, made: Ingredients):
        self.model, self.made = model, made
        known = (name for name in CACHE_NAMES if made.model_kwargs.get(name) is not None)
        self.cache_name = next(known, None)
        self.held = HeldCache(cache_in(made.model_kwargs))
        self.looks = any(made.model_kwargs.get(name) for name in _LOOKED_AT)
        self.attentions = self.hidden_states = None  # of the last pass, where they are asked for

    def arguments(self) -> dict[str, Any]:
        """Return what a way of decoding takes, by name, with the cache as we hold it."""
        held = {} if self.cache_name is None else {self.cache_name: self.held}
        return self.made.for_the_loop() | held

    def __call__(self, **inputs):
        """Run the forward pass. inputs: what `inputs_for` makes, and the loop's own arguments."""
        output = self._run(inputs)
        if self.looks:
            self.attentions, self.hidden_states = output.attentions, output.hidden_states
        return output

    def _run(self, inputs: dict):
        if self.cache_name is None:
            return self.model(**inputs)
        inputs[self.cache_name] = self.held.cache
        output = self.model(**inputs)
        self._follow(output.get(self.cache_name))
        return output

    def _follow(self, cache) -> None:
        """Go on with the cache that came back, as `generate` does."""
        if cache is not None and cache is not self.held.cache:
            self.held.cache = self.made.model_kwargs[self.cache_name] = cache


class OwnWay(Forward):
    """A model whose inputs the library prepares for each step, as in `generate`."""

    def __init__(self, model, made: Ingredients):
        super().__init__(model, made)
        self.ids, self.first = made.input_ids, True
        self.kwargs = dict(made.model_kwargs)  # what is passed to the model; grows with the text

    def _run(self, inputs: dict):
        if self.cache_name is not None:
            self.kwargs[self.cache_name] = self.held.cache
        if not self.first:
            fed = inputs["input_ids"]
            self.ids = torch.cat([self.ids, fed], dim=-1) if self.kwargs["use_cache"] else fed
        ready = self.model.prepare_inputs_for_generation(
            self.ids,
            next_sequence_length=self._unread(),
            is_first_iteration=self.first,
            **self.kwargs,
        )
        output = self._compiled()(**ready, return_dict=True)
        self.kwargs = self.model._update_model_kwargs_for_generation(output, self.kwargs)
        self.first = False
        if self.cache_name is not None:
            self._follow(cache_in(self.kwargs))
        return output

    def _unread(self) -> int | None:
        """Return how many tokens the model has not read yet; None for all that there are."""
        if not self.first:
            return 1 if self.kwargs["use_cache"] else None
        embeds, mask = self.kwargs.get("inputs_embeds"), self.kwargs.get("attention_mask")
        length = (self.ids if embeds is None else embeds).shape[1]
        read = cached_length(self.held.cache)
        whole = embeds is not None or mask is None or mask.shape[1] == length
        return length - read if read and whole else None

    def _compiled(self):
        """Return the model, compiled where `generate` compiles it: never for the prefill."""
        config = self.made.generation_config
        if self.first or not compiles(self.model, self.kwargs, config):
            return self.model
        return self.model.get_compiled_call(config.compile_config)


def forward_of(model, made: Ingredients) -> Forward:
    """Return the model as the loop calls it in this call."""
    return (OwnWay if needs_own_way(model, made) else Forward)(model, made)


def needs_own_way(model, made: Ingredients) -> bool:
    """Tell whether the library has to prepare the inputs of each step."""
    kwargs, config = made.model_kwargs, made.generation_config
    more = any(kwargs[name] is not None for name in kwargs.keys() - _FED - _LOOKED_AT)
    cache = cache_in(kwargs)
    fixed = getattr(cache, "is_compileable", False) and kwargs.get("attention_mask") is not None
    return (
        more
        or not is_fed_as_usual(model, config)
        or (cache is None and bool(kwargs.get("use_cache")))  # it makes a cache of its own
        or (fixed and model.config.model_type in MASKS_FROM_THE_LIBRARY)
        or compiles(model, kwargs, config)
    )


def compiles(model, model_kwargs: dict, generation_config) -> bool:
    """Tell whether `generate` compiles the forward pass, as for a static cache on a GPU."""
    criteria = getattr(model, "_valid_auto_compile_criteria", None)
    return criteria is not None and bool(criteria(model_kwargs, generation_config))

"""Models that are called, or give their cache back, in another way than most: as in `generate`.

Most models want tokens, mask, positions and the cache (`model_inputs`), and are called so. Some
prepare each step's inputs in their own way, and some calls need it (embeddings in place of ids,
token types, a compiled forward pass): these are called as `generate` calls them, through the
library's public `prepare_inputs_for_generation`.
"""

import inspect
from typing import Any

import torch
from transformers import DynamicCache
from transformers.generation import GenerationMode
from transformers.generation.candidate_generator import (
    _prepare_attention_mask,
    _prepare_position_ids,
    _prepare_token_type_ids,
)

from llmcourse.decoding.cache import CACHE_NAMES, cache_in, cached_length
from llmcourse.decoding.ingredients import Ingredients
from llmcourse.decoding.model_inputs import is_fed_as_usual
from llmcourse.decoding.refusals import check_without_cache, holds_something

# What the loop itself feeds, or only asks for; what else is passed to the model needs its own way.
_FED = {"attention_mask", "position_ids", "use_cache", "logits_to_keep", *CACHE_NAMES}
_LOOKED_AT = ("output_attentions", "output_hidden_states")
# What a piece of the prompt comes with, up to its own end.
_UP_TO_HERE = ("attention_mask", "position_ids")
# Under which name RWKV, XLNet and Reformer take and give back what they remember.
_OTHER_CACHES = ("state", "mems", "past_buckets_states")
_ALL_CACHES = (*CACHE_NAMES, *_OTHER_CACHES)


class HeldCache:
    """The cache that the model last gave back, which may be another one than it was given."""

    def __init__(self, cache):
        self.cache = cache  # None until a model has made its own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cache, name)

    def get_seq_length(self) -> int:
        """Return how many tokens it holds; 0 where it does not count them."""
        counts = hasattr(self.cache, "get_seq_length")
        return (self.cache.get_seq_length() or 0) if counts else 0


class Forward:
    """A model, called by the loop with what it has not read yet.

    made: the prepared call; the cache in its `model_kwargs` becomes the one that came back last.
    """

    def __init__(self, model, made: Ingredients):
        self.model, self.made = model, made
        self.config, self.called = model.config, type(model).__name__
        known = (name for name in CACHE_NAMES if made.model_kwargs.get(name) is not None)
        self.cache_name = next(known, None)
        self.held = HeldCache(cache_in(made.model_kwargs))
        asked = [name for name in _LOOKED_AT if made.model_kwargs.get(name)]
        self.looks = tuple(name.removeprefix("output_") for name in asked)
        self.shown = {}  # of the last pass, by name, what was asked for
        self.output = None  # of the last pass, all that the model returned
        self.more = {}  # what a source of drafts wants the model to be asked for beside the rest

    def arguments(self) -> dict[str, Any]:
        """Return what a way of decoding takes, by name, with the cache as we hold it."""
        held = {} if self.cache_name is None else {self.cache_name: self.held}
        return self.made.for_the_loop() | held

    def __call__(self, **inputs):
        """Run the forward pass. inputs: what `inputs_for` makes, and the loop's own arguments."""
        self.output = output = self._run(inputs | self.more)
        if self.looks:
            # where they are returned, a model that has none fails as in `generate`
            none = () if self.made.generation_config.return_dict_in_generate else (None,)
            self.shown = {name: getattr(output, name, *none) for name in self.looks}
        return output

    def _run(self, inputs: dict):
        if self.cache_name is None:
            return self.model(**inputs)
        inputs[self.cache_name] = given = self.held.cache
        output = self.model(**inputs)
        returned = output.get(self.cache_name)
        if returned is None:
            check_without_cache(self.model, self.made.generation_config, self.made.mode)
        elif returned is not given:  # go on with it, as `generate` does
            self.held.cache = self.made.model_kwargs[self.cache_name] = returned
        return output


class TextAndCache(HeldCache):
    """The cache of a model that is fed in its own way, and the text that the model has read."""

    def __init__(self, model, made: Ingredients, name: str):
        super().__init__(made.model_kwargs.get(name))
        self.model, self.made, self.name, self.ids = model, made, name, made.input_ids

    def keep(self, cache) -> None:
        """Go on with a cache, and return it in the end."""
        self.cache = self.made.model_kwargs[self.name] = cache

    def crop(self, tokens: int) -> None:
        """Forget the rejected end of a draft. tokens: how many, as a number of 0 or below."""
        self.ids = self.ids[:, : self.ids.shape[1] + tokens]
        self.cache.crop(tokens)

    def reorder_cache(self, rows: torch.Tensor) -> None:
        """Let each row go on from the row that its text grew from. Raises ValueError as `generate`.

        rows: (batch * beams,) int.
        """
        self.ids = self.ids[rows]
        if hasattr(self.model, "_reorder_cache") and self.cache is not None:
            self.keep(self.model._reorder_cache(self.cache, rows))
        elif hasattr(self.cache, "reorder_cache"):
            self.cache.reorder_cache(rows)
        elif self.cache is not None:
            raise ValueError(
                f"{type(self.model).__name__} keeps a cache that cannot be reordered, which beam "
                "search needs; leave num_beams out, or pass use_cache=False."
            )


class OwnWay(Forward):
    """A model whose inputs the library prepares for each step, as in `generate`."""

    def __init__(self, model, made: Ingredients):
        super().__init__(model, made)
        self.kwargs = dict(made.model_kwargs)  # what is passed to the model; grows with the text
        self.held = TextAndCache(model, made, self.cache_name or CACHE_NAMES[0])
        self.first = True
        config = made.generation_config
        chunked = config.prefill_chunk_size is not None
        unread = made.input_ids.shape[1] - cached_length(self.held)
        self.to_read = unread if chunked else 0  # tokens of the prompt that come in pieces
        self.drafts = made.mode == GenerationMode.ASSISTED_GENERATION
        self.before = 0  # with drafts, the length of the text before the last one
        compiled = compiles(model, self.kwargs, config) and not self.drafts
        self.decode = model.get_compiled_call(config.compile_config) if compiled else model

    def arguments(self) -> dict[str, Any]:
        """Return what a way of decoding takes, by name; there may be no cache yet to hold."""
        return self.made.for_the_loop() | {self.held.name: self.held}

    def _run(self, inputs: dict):
        """Let the library prepare the step, run it, and keep the cache that comes back."""
        piece = inputs["input_ids"].shape[1] if self.to_read else 0
        ids, unread, kwargs = self._piece(inputs) if piece else self._rest(inputs)
        ready = self.model.prepare_inputs_for_generation(
            ids, next_sequence_length=unread, is_first_iteration=self.first, **kwargs
        )
        if "logits_to_keep" in ready:
            ready["logits_to_keep"] = inputs["logits_to_keep"]
        whole = self.first and not piece  # a prompt that is read at once is never compiled
        forward = self.model if whole else self.decode
        output = forward(**(ready | self.more), return_dict=True)
        self.to_read -= piece
        self._keep(output)
        return output

    def _piece(self, inputs: dict) -> tuple:
        """Return the ids of a piece of the prompt, with mask and positions up to its end."""
        known = {name: inputs.get(name) for name in _UP_TO_HERE if name in self.kwargs}
        if self.cache_name is not None:
            known[self.cache_name] = self.held.cache
        return inputs["input_ids"], None, {**self.kwargs, **known}

    def _rest(self, inputs: dict) -> tuple:
        """Return the text, how much of it is unread (None for all) and the arguments for that."""
        fed = inputs["input_ids"]
        if self.drafts:
            return self._with_draft(fed)
        if not self.first:
            has_cache = self.kwargs["use_cache"]
            self.held.ids = torch.cat([self.held.ids, fed], dim=-1) if has_cache else fed
        if self.cache_name is not None:
            self.kwargs[self.cache_name] = self.held.cache
        return self.held.ids, self._unread(), self.kwargs

    def _with_draft(self, fed: torch.Tensor) -> tuple:
        """Return the same where what is fed ends in a draft."""
        read = self.held.ids.shape[1]
        if self.first:
            unread, n = None, fed.shape[1] - read
            self.held.ids = fed
            self.before = read
        else:
            unread, n = fed.shape[1], fed.shape[1] - 1
            self.kwargs = self._grown(self.output, num_new_tokens=read + 1 - self.before)
            self.held.ids = torch.cat([self.held.ids, fed], dim=-1)
            self.before = read + 1
        kwargs = _prepare_attention_mask(dict(self.kwargs), self.before + n, False)
        kwargs = _prepare_token_type_ids(kwargs, self.before + n)
        if n and kwargs.get("position_ids") is not None:
            longer = kwargs["position_ids"].shape[-1] + n
            kwargs = _prepare_position_ids(kwargs, longer, False)
        return self.held.ids, unread, kwargs

    def _keep(self, output) -> None:
        """Go on with the cache that came back, and with arguments as long as the text."""
        if self.drafts:  # how long that will be, the verdict on the draft says
            self.first = False
            self.held.keep(getattr(output, self.cache_name))
            return
        if self.to_read:
            if self.cache_name is not None:
                self.held.keep(output.get(self.cache_name))
            return
        self.kwargs = self._grown(output)
        self.first = False
        self.cache_name = next((name for name in _ALL_CACHES if name in self.kwargs), None)
        if self.cache_name is not None:
            self.held.keep(self.kwargs[self.cache_name])

    def _grown(self, output, **tokens) -> dict:
        """Return what is passed to the model, made longer as the library makes it."""
        grow = self.model._update_model_kwargs_for_generation
        return grow(output, self.kwargs, is_encoder_decoder=False, **tokens)

    def _unread(self) -> int | None:
        """Return how many tokens the model has not read yet; None for all that there are."""
        if not self.first:
            return 1 if self.kwargs["use_cache"] else None
        embeds, mask = self.kwargs.get("inputs_embeds"), self.kwargs.get("attention_mask")
        length = (self.held.ids if embeds is None else embeds).shape[1]
        read = cached_length(self.held)
        whole = embeds is not None or mask is None or mask.shape[1] == length
        return length - read if read and whole else None


def forward_of(model, made: Ingredients) -> Forward:
    """Return the model as the loop calls it in this call."""
    return (OwnWay if needs_own_way(model, made) else Forward)(model, made)


def needs_own_way(model, made: Ingredients) -> bool:
    """Tell whether the library has to prepare the inputs of each step."""
    kwargs, config = made.model_kwargs, made.generation_config
    more = any(holds_something(kwargs[name]) for name in kwargs.keys() - _FED - {*_LOOKED_AT})
    cache = cache_in(kwargs)
    return (
        more
        or not is_fed_as_usual(model, config)
        or (cache is None and bool(kwargs.get("use_cache")))  # it makes a cache of its own
        or not inspect.signature(model.forward).parameters.keys().isdisjoint(_OTHER_CACHES)
        or has_a_fixed_size(cache)  # the library makes the mask for all of it
        or compiles(model, kwargs, config)
    )


def has_a_fixed_size(cache) -> bool:
    """Tell whether a cache has all its places from the start, as a static one has."""
    return bool(getattr(cache, "is_compileable", False)) and type(cache) is not DynamicCache


def compiles(model, model_kwargs: dict, generation_config) -> bool:
    """Tell whether `generate` compiles the forward pass, as for a static cache on a GPU."""
    criteria = getattr(model, "_valid_auto_compile_criteria", None)
    return criteria is not None and bool(criteria(model_kwargs, generation_config))

"""How many bytes a cache takes at a given length, from a model's config alone.

A layer of attention keeps a key and a value for each token: with a sliding window only for those
within it. A layer with a state (Mamba, a short convolution) keeps the same bytes at any length.
"""

import copy
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM

from llmcourse.decoding.cache import cache_in
from llmcourse.measure.memory import held_bytes


@dataclass(frozen=True)
class Layer:
    """The cache of one layer of attention, for one row."""

    bytes_per_token: int
    most: int | None = None  # tokens that it keeps; None for all

    def bytes_at(self, length: int) -> int:
        """Return the bytes of one row of `length` tokens."""
        return self.bytes_per_token * (length if self.most is None else min(length, self.most))


def cache_bytes(config, length: int, *, rows: int = 1, dtype: torch.dtype | None = None) -> int:
    """Return the bytes of a dynamic cache after `rows` prompts of `length` tokens.

    The library is asked: a model of this config, made of shapes without numbers (torch's device
    "meta"), reads so many tokens, and what its cache would hold is added up. So it is right for
    grouped-query attention, sliding windows, latent keys, states. A few models cannot be run
    without numbers; theirs is reckoned with `layers_of`. dtype: of the cache, by default that of
    the config, else float32. Raises ValueError for less than one token or row, and what `layers_of`
    raises where both ways are closed.
    """
    if length < 1 or rows < 1:
        raise ValueError(f"length={length} and rows={rows} must be at least 1.")
    dtype = dtype or getattr(config, "dtype", None) or torch.float32
    try:
        held = _without_numbers(config, rows, length, dtype)
    except (RuntimeError, NotImplementedError, AttributeError):
        return rows * sum(layer.bytes_at(length) for layer in _attention_layers(config, dtype))
    return held_bytes(held)


def _without_numbers(config, rows: int, length: int, dtype: torch.dtype):
    """Return the cache, on the device "meta", of a model of this config after a prompt."""
    config = copy.deepcopy(config)
    config._experts_implementation = "batched_mm"  # the one that does not look at numbers
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
        ids = torch.zeros(rows, length, dtype=torch.long)
    with torch.no_grad():
        return cache_in(model(ids, use_cache=True))


def layers_of(model) -> tuple[Layer, ...]:
    """Return what each layer of a model's key-value cache takes, for one row.

    A token takes 2 (key and value) x key-value heads x head size x bytes of a number. A layer with
    a sliding window keeps one token less than the window. Raises ValueError for a model with other
    than attention layers, such as Mamba.
    """
    return _attention_layers(model.config, model.dtype)


def _attention_layers(config, dtype: torch.dtype) -> tuple[Layer, ...]:
    config = config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    count = getattr(config, "num_hidden_layers", None)
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or (
        ["sliding_attention" if window else "full_attention"] * (count or 0)
    )
    if (
        not heads
        or not count
        or not set(kinds) <= {"full_attention", "sliding_attention"}
        or hasattr(config, "mamba_d_state")
    ):
        raise ValueError(
            f"model is a {config.model_type}, whose cache is more than attention's "
            "keys and values; leave model= out."
        )
    kept = _declared(config, "num_key_value_heads") or heads
    size = _declared(config, "head_dim") or config.hidden_size // heads
    per_token = 2 * kept * size * dtype.itemsize
    return tuple(
        Layer(per_token, window - 1 if kind == "sliding_attention" and window else None)
        for kind in kinds
    )


def _declared(config, name: str) -> int | None:
    """Return a value if this kind of config has one; a config keeps what it does not know, too."""
    return getattr(config, name, None) if hasattr(type(config), name) else None

"""The key-value cache among the model's arguments: under which name, how long, of which kind.

The model writes into the cache that it is given.
"""

import transformers

# (5, 23): the code says from which version on where the library's releases differ.
LIBRARY = tuple(int(part) for part in transformers.__version__.split(".")[:2])

# What transformers calls the key-value cache: up to 5.23, from 5.24 on, and for Mamba up to 5.23.
CACHE_NAMES = ("past_key_values", "cache", "cache_params")
CACHE = "cache" if LIBRARY >= (5, 24) else "past_key_values"  # under which one is handed in


def cache_in(model_kwargs: dict):
    """Return the cache among the model's keyword arguments, or in its output; None without one."""
    newest_first = ("cache", *CACHE_NAMES)  # an output that has it there warns of older names
    given_caches = (model_kwargs.get(name) for name in newest_first)
    return next((cache for cache in given_caches if cache is not None), None)


def is_recurrent(cache) -> bool:
    """Tell whether a cache holds states and no tokens, as that of a state-space model (Mamba)."""
    return cache is not None and _tokens_in(cache) is None


def cached_length(cache) -> int:
    """Return how many tokens a key-value cache holds; 0 without one, or with a recurrent one."""
    return 0 if cache is None else _tokens_in(cache) or 0


def _tokens_in(cache) -> int | None:
    try:
        return int(cache.get_seq_length())
    except ValueError:  # it has no layer that counts tokens
        return None

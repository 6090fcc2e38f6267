"""What was asked once and need not be again: settings of equal calls, a tokenizer's own facts."""

import contextlib
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

_PLAIN = (bool, int, float, str, type(None))
_KEPT = 8  # different calls that are remembered


@dataclass(eq=False)
class Remembered:
    """The settings of the last calls to models that are not kept alive by it."""

    _known: deque[tuple[weakref.ref, Any, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def config_for(self, model, facts) -> Any:
        """Return the settings of an equal call to the same model; None where there was none."""
        if facts is None:
            return None
        known = (one for one in list(self._known) if one[1] == facts and one[0]() is model)
        return next((config for _, _, config in known), None)

    def keep(self, model, facts, config) -> None:
        """Keep what a call's settings were resolved to; facts None: nothing."""
        if facts is not None:
            self._known.append((weakref.ref(model), facts, config))


# By tokenizer: by the name of a fact, what it depends on and what it is.
_FACTS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def asked_once(tokenizer, fact: str, ask: Callable[[], Any], *others) -> Any:
    """Return what `ask()` says of a tokenizer, asked again when its tokens or `others` change."""
    with contextlib.suppress(TypeError):  # one of one's own, without a length or no key
        depends_on = (len(tokenizer), getattr(tokenizer, "special_tokens_map", None), *others)
        known = _FACTS.setdefault(tokenizer, {})
        if fact not in known or known[fact][0] != depends_on:
            known[fact] = depends_on, ask()
        return known[fact][1]
    return ask()


def facts_of(model, inputs: dict[str, Any], call: dict[str, Any]) -> Any:
    """Return all that the settings of a call depend on, to compare; None where it holds objects.

    They depend on a tensor's shape, not on what is in it. What is mutable is copied.
    """
    try:
        given = {name: _shape(value) for name, value in inputs.items()}
        passed = call.get("generation_config")
        own = {name: value for name, value in call.items() if name != "generation_config"}
        configs = [vars(one) for one in (passed, model.generation_config) if one is not None]
        return given, _plain(own), passed is None, [_plain(one) for one in configs], _own(model)
    except TypeError:  # an object, which may change without a trace
        return None


def _own(model) -> dict:
    """Return what a model's config says itself; parts of it are settings of `generate`."""
    fields = vars(model.config).items()
    return {name: _plain(value) for name, value in fields if isinstance(value, (*_PLAIN, list))}


def _shape(value) -> tuple:
    if not isinstance(value, torch.Tensor):
        raise TypeError(value)
    return tuple(value.shape), value.dtype, value.device


def _plain(value) -> Any:
    """Return a copy of a value with its type, since 1 equals True; TypeError for others."""
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [type(value), *map(_plain, value)]
    raise TypeError(value)

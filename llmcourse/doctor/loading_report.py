"""What a load of weights left open, and whether it is still so when the model generates."""

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from llmcourse.doctor.case import LoadReport

# Of a parameter that was made anew: itself, and how often it had been written to by then.
_Made = dict[str, tuple[weakref.ref, int]]


@dataclass(frozen=True, eq=False)
class Report:
    """A report on a load, and the parameters by which it is seen that they were written since."""

    said: LoadReport
    made: _Made = field(default_factory=dict)

    def as_it_is(self, model) -> LoadReport | None:
        """Return what is left of the report: without what was trained or loaded since, or None."""
        still = tuple(name for name in self.said.made_anew if _is_as_made(model, name, self.made))
        shapes = {name: self.said.other_shapes[name] for name in self.said.other_shapes}
        shapes = {name: both for name, both in shapes.items() if name in still}
        left = replace(self.said, made_anew=still, other_shapes=shapes)
        if self.said.from_state_dict:
            return left
        trained = len(still) < len(self.said.made_anew)
        return None if not still and (trained or not left.left_out) else left


def of_load(model: torch.nn.Module, info: Any) -> Report | None:
    """Return the report on a `from_pretrained`; None where nothing was left open, or nobody says.

    info: the library's: `missing_keys`, `mismatched_keys` (name and both shapes) and
    `unexpected_keys`.
    """
    missing = list(getattr(info, "missing_keys", None) or ())
    shapes = {name: both for name, *both in getattr(info, "mismatched_keys", None) or ()}
    left_out = tuple(sorted(getattr(info, "unexpected_keys", None) or ()))
    made = _parameters(model, [*missing, *shapes])
    if not made and not left_out:
        return None
    shapes = {name: tuple(map(tuple, both)) for name, both in shapes.items() if name in made}
    said = LoadReport(made_anew=tuple(sorted(made)), other_shapes=shapes, left_out=left_out)
    return Report(said, made)


def of_state_dict(model: torch.nn.Module, given: Any, result: Any) -> Report | None:
    """Return the report on a `load_state_dict`; None where all that was given has a place."""
    unexpected = tuple(getattr(result, "unexpected_keys", None) or ())
    if not unexpected or not isinstance(given, Mapping):
        return None
    return Report(LoadReport(left_out=unexpected, given=len(given), from_state_dict=True))


def _parameters(model: torch.nn.Module, names: list[str]) -> _Made:
    """Return the model's parameters of these names; a buffer is made again from the config."""
    wanted = set(names)
    return {
        name: (weakref.ref(one), one._version)
        for name, one in model.named_parameters()
        if name in wanted
    }


def _is_as_made(model: torch.nn.Module, name: str, made: _Made) -> bool:
    reference, version = made[name]
    try:
        now = model.get_parameter(name)
    except AttributeError:  # another part stands there since
        return False
    return now is reference() and now._version == version

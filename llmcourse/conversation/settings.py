"""The settings of a conversation: which there are, how they are written, what each may be."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

OWN = "own"  # how one writes that the model's own setting holds


class Kind(NamedTuple):
    read: Callable[[str], Any]  # makes a value of what was typed, or raises ValueError
    fits: Callable[[Any], bool]
    words: str  # what fits, for who typed something else


KINDS = {
    "max_new_tokens": Kind(int, lambda number: number >= 1, "a whole number from 1 on"),
    "temperature": Kind(
        float, lambda number: 0 <= number < math.inf, "a number from 0 on (0: greedy decoding)"
    ),
    "top_k": Kind(int, lambda number: number >= 1, "a whole number from 1 on"),
    "top_p": Kind(float, lambda number: 0 < number <= 1, "a number in (0, 1]"),
    "repetition_penalty": Kind(
        float, lambda number: 0 < number < math.inf, "a number above 0 (1: no penalty)"
    ),
    "seed": Kind(int, lambda number: 0 <= number < 2**63, "a whole number from 0 on"),
}


@dataclass
class Settings:
    """How answers are written; None is what the model's own generation_config says."""

    max_new_tokens: int = 256  # of an answer, where the context has room for them
    temperature: float | None = None  # 0 is greedy decoding, anything above samples
    top_k: int | None = None  # when sampling: so many tokens, the likeliest
    top_p: float | None = None  # when sampling: the tokens that reach this probability
    repetition_penalty: float | None = None  # above 1: tokens of the text so far are less likely
    seed: int = 0  # the first answer is drawn from it, the second from the next one, and so on

    def set(self, name: str, text: str) -> None:
        """Set what `name` names to what was typed; `own` is the model's own setting.

        Raises ValueError for a name that is none, and for a value that does not fit.
        """
        if name not in KINDS:
            raise ValueError(f"{name!r} is no setting; there are {', '.join(KINDS)}.")
        default = {field.name: field.default for field in fields(self)}[name]
        setattr(self, name, default if text == OWN else _read(name, text))

    def for_generate(self) -> dict[str, Any]:
        """Return the settings as `model.generate` takes them; the seed is not among them."""
        named = {name: getattr(self, name) for name in KINDS if name != "seed"}
        call = {name: value for name, value in named.items() if value is not None}
        if self.temperature is not None:
            call["do_sample"] = self.temperature > 0
        if self.temperature == 0:
            del call["temperature"]
        return call

    def __repr__(self) -> str:
        width = max(map(len, KINDS))
        values = {name: getattr(self, name) for name in KINDS}
        return "\n".join(
            f"{name:{width}}  {'the model’s own' if value is None else value}"
            for name, value in values.items()
        )


def _read(name: str, text: str) -> Any:
    kind = KINDS[name]
    try:
        value = kind.read(text)
    except ValueError:
        value = math.nan
    if not kind.fits(value):
        raise ValueError(f"{name}={text!r} does not fit; pass {kind.words}, or {OWN!r}.")
    return value

"""A number with its spread, and how to get one: in turns, after a warm-up."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

NOISY = 0.15  # a spread above which small differences say nothing


@dataclass(frozen=True)
class Figure:
    """What was measured several times, in one unit."""

    values: tuple[float, ...]  # one for each repeat, at least one
    unit: str  # such as "tokens/s"

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of the values lie between these two; with one value they are that value."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> float:
        """The distance of the quartiles as a share of the median; 0 if all values are equal."""
        low, high = self.quartiles
        return (high - low) / abs(self.median) if self.median else 0.0

    @property
    def is_noisy(self) -> bool:
        """True if the spread is so wide that a difference of a tenth could be chance."""
        return self.spread > NOISY

    def __str__(self) -> str:
        low, high = self.quartiles
        return f"{digits(self.median)} {self.unit} ({digits(low)} to {digits(high)})"


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed.

    The nearest rank: of fewer than 100 values the 99th percentile is the largest. Of none it is
    nan. Raises ValueError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share} must be in (0, 1].")
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan


def digits(number: float) -> str:
    """Return a number with three digits that count: `0.0123`, `4.56`, `78.9`, `12,300`."""
    if not number or abs(number) >= 100:
        return f"{number:,.0f}"
    places = 2
    while abs(number) * 10**places < 100 and places < 9:
        places += 1
    return f"{number:.{places if abs(number) < 10 else 1}f}"


def noise(figures: Iterable[Figure]) -> str:
    """Return a sentence if the widest spread is too wide to tell small differences, else ""."""
    widest = max(figures, key=lambda figure: figure.spread)
    if not widest.is_noisy:
        return ""
    return (
        "This machine is noisy: the middle half of one figure's repeats is as wide as "
        f"{widest.spread:.0%} of its median. Do not trust smaller differences than that."
    )


def in_turns(
    runs: Mapping[str, Callable[[], T]], rounds: int = 5, warmup: int = 1
) -> Iterator[dict[str, T]]:
    """Run each of `runs` once a round; yield what they gave, by name, after each round.

    All take their turn in every round, so that a machine that slows down slows all of them, and who
    goes first changes from round to round. warmup: rounds before, which are not yielded. Raises
    ValueError for less than one round.
    """
    if rounds < 1 or warmup < 0:
        raise ValueError(f"rounds={rounds} must be at least 1, and warmup={warmup} at least 0.")
    names = list(runs)
    for turn in range(-warmup, rounds):
        shift = turn % len(names) if names else 0
        results = {name: runs[name]() for name in names[shift:] + names[:shift]}
        if turn >= 0:
            yield results


def ratios(measured: Iterable[float], beside: Iterable[float]) -> Figure:
    """Return how many times as large `measured` is as `beside`, round by round.

    Both come from the same rounds of `in_turns`. Raises ValueError if they are not as many.
    """
    return Figure(tuple(one / other for one, other in zip(measured, beside, strict=True)), "x")

"""How far a count of right answers can be trusted, alone and beside another on the same items."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_NORMAL = 1.959963984540054  # so many standard deviations hold 95% of a normal distribution


@dataclass(frozen=True)
class Proportion:
    """So many of so many, and the range that the true share probably lies in."""

    right: int
    of: int
    low: float  # ends of Wilson's interval of 95%
    high: float

    @property
    def share(self) -> float:
        """What was counted, as a number from 0 to 1."""
        return self.right / self.of

    def __str__(self) -> str:
        return f"{self.share:.0%} ({self.low:.0%} to {self.high:.0%})"


def proportion(right: int, of: int) -> Proportion:
    """Return a share with Wilson's interval of 95%, which stays within 0 and 1.

    Raises ValueError for less than one item, and for more right ones than there are.
    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953.
    """
    if of < 1 or not 0 <= right <= of:
        raise ValueError(f"right={right} must be at most of={of}, and of at least 1.")
    share, z = right / of, _NORMAL
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    low = 0.0 if right == 0 else (middle - half) / scale
    high = 1.0 if right == of else (middle + half) / scale
    return Proportion(right, of, low, high)


@dataclass(frozen=True)
class Paired:
    """Two on the same items: where they differ, and how likely chance makes such a difference."""

    won: int  # items that the second alone had right
    lost: int  # items that the first alone had right
    p: float  # of the exact sign test (McNemar's), two-sided

    def __str__(self) -> str:
        return f"{self.won} won, {self.lost} lost, p = {self.p:.2g}"


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare two on the same items, in the same order: what the second won and lost.

    p: if each item on which they differ were a fair coin, how often they would be as uneven, or
    more. Raises ValueError if they are not as many.
    """
    pairs = list(zip(first, second, strict=True))
    won = sum(bool(new and not old) for old, new in pairs)
    lost = sum(bool(old and not new) for old, new in pairs)
    tosses = won + lost
    tail = sum(math.comb(tosses, heads) for heads in range(min(won, lost) + 1))
    return Paired(won, lost, min(1.0, 2 * tail / 2**tosses))

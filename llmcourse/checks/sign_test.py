"""The p of a sign test, by adding up what a fair coin does: for the checks of lessons 3 and 5."""


def shares(tosses: int) -> list[float]:
    """Return how likely each number of heads is, from the rows of Pascal's triangle."""
    ways = [1]
    for _ in range(tosses):
        ways = [left + right for left, right in zip([0, *ways], [*ways, 0], strict=True)]
    return [way / 2**tosses for way in ways]


def two_sided(won: int, lost: int) -> float:
    """Add up all splits of a fair coin's tosses that are as uneven, or more, either way."""
    tosses, uneven = won + lost, abs(won - lost)
    return sum(
        share for heads, share in enumerate(shares(tosses)) if abs(2 * heads - tosses) >= uneven
    )


def one_side(won: int, lost: int) -> float:
    """Add up the splits that are as uneven, or more, in the same direction."""
    return sum(shares(won + lost)[: min(won, lost) + 1])

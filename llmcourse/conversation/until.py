"""Text up to a string that ends it, of which nothing is shown, not even its first letters."""

from collections.abc import Iterator, Sequence


def until(pieces: Iterator[str], ends: Sequence[str]) -> Iterator[str]:
    """Yield text up to the first of `ends` that is whole; what may begin one is held back."""
    held = ""
    for piece in pieces:
        held += piece
        found = [(held.find(end) + len(end), -len(end)) for end in ends if end in held]
        if found:
            whole, length = min(found)
            held = held[: whole + length]
            break
        begun = max((_begun(held, end) for end in ends), default=0)
        ready, held = held[: len(held) - begun], held[len(held) - begun :]
        if ready:
            yield ready
    if held:
        yield held


def _begun(text: str, end: str) -> int:
    """Return how many letters of `end` a text ends with."""
    return max((n for n in range(1, len(end)) if text.endswith(end[:n])), default=0)

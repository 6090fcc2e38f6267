"""How checks look at an answer: is it a tensor of that shape, which misconception leads to it."""

from collections.abc import Iterable

from torch import Tensor


def name_the_first(wrong: Iterable[tuple[str, object]], yours: object, right: object) -> None:
    """Raise AssertionError with the first misconception that leads to yours, unless it is right.

    wrong: misconceptions, each with what it leads to.
    """
    for misconception, made in wrong:
        assert yours == right or yours != made, misconception


def tensor_of(shape: tuple[int, ...], answer: object, *, what: str, wanted: str) -> Tensor:
    """Return an answer that is a tensor of `shape`; raise AssertionError for any other.

    what, wanted: the ends of "return ..., not a list" and of "you returned shape (2, 3); ...".
    """
    assert isinstance(answer, Tensor), f"return {what}, not {type(answer).__name__}"
    assert answer.shape == shape, f"you returned shape {tuple(answer.shape)}; {wanted}"
    return answer


def rows_of_ids(answer: object) -> list[list[int]]:
    """Return ids, (batch, length), as lists; raise AssertionError for an answer that is none."""
    assert isinstance(answer, Tensor), f"return a tensor of ids, not {type(answer).__name__}"
    assert answer.dim() == 2, f"it returned shape {tuple(answer.shape)}; return (batch, length)"
    return answer.tolist()

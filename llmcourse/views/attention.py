"""One attention head as a grid: of each token, how much of its attention goes to which other."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmcourse import html
from llmcourse.show import Table, cut, percent, plural, printable, quoted, token_text

_FIRST, _LAST = 2, 8  # tokens of a long text that are shown; the first ones draw most attention
_LONGEST = 18  # characters of a token
_LATER = "–"
_NARROW = f"padding:2px 6px;{html.MONO}"  # a grid is wide
_MOST_SEEN = html.tinted(html.BLUE_TINT, "2px solid", html.BLUE)
_LEGEND = (
    "A line for each token that looks, a column for each that it looks at; a line adds up to 100%.",
    f"In a frame: where most of it goes. {_LATER}: comes later, so it cannot be seen.",
)


@dataclass(frozen=True, eq=False)
class Attention:
    """Who looks at whom in one head. Of a long text the middle is summed up."""

    seen: Sequence[str]  # the tokens that are looked at and shown, in reading order
    looking: Sequence[str]  # the tokens that look and are shown, in reading order
    shares: Sequence[Sequence[float | None]]  # of each line, for each column; None: comes later
    left_out: int  # tokens in the middle, which share one column
    title: str

    @property
    def caption(self) -> str:
        """What the last line shows, in words: where its token looks most."""
        line = zip(self._columns(), self.shares[-1], strict=True)
        most = sorted((pair for pair in line if pair[1] is not None), key=lambda pair: -pair[1])
        said = ", ".join(f"{quoted(name)} {percent(share)}" for name, share in most[:3])
        return f"{self.title}: {quoted(self.looking[-1])} looks at {said}"

    def _middle(self) -> str:
        return f"… {plural(self.left_out, 'token')} …"

    def _columns(self) -> list[str]:
        """Return the head of each column: tokens, and one for all those in the middle."""
        if not self.left_out:
            return list(self.seen)
        return [*self.seen[:_FIRST], self._middle(), *self.seen[_FIRST:]]

    def table(self) -> Table:
        """Return a table with a line for each token that looks, a column for each looked at."""
        rows = [
            [name, *map(_told, line)] for name, line in zip(self.looking, self.shares, strict=True)
        ]
        return Table(self.caption, ["who looks", *self._columns()], rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        rows = [_row(name, line) for name, line in zip(self.looking, self.shares, strict=True)]
        heads = ["who looks", *self._columns()]
        return html.table(self.caption, heads, rows, notes=_LEGEND, gap=1, look=_NARROW)


def _told(share: float | None) -> str:
    return _LATER if share is None else percent(share)


def _row(name: str, line: Sequence[float | None]) -> str:
    most = max(share for share in line if share is not None)
    cells = [_cell(share, share == most) for share in line]
    return html.row([html.header(html.escape(name), "row", _NARROW), *cells])


def _cell(share: float | None, is_most: bool) -> str:
    """Return a share over its bar, in a frame where it is the largest of its line."""
    if share is None:
        return html.cell(_LATER, f"{_NARROW}color:{html.GREY};")
    shown = html.escape(percent(share)) + html.bar(share, html.BLUE, 46)
    return html.cell(shown, _NARROW + (_MOST_SEEN if is_most else html.outlined()))


def attention(
    tokenizer,
    ids: torch.Tensor | Sequence[int],
    weights: torch.Tensor,
    title: str = "One attention head",
) -> Attention:
    """Show how one attention head divides each token's attention among the tokens so far.

    ids: (length,) or (1, length) int64. weights: (length, length) float, a line for each token that
    looks, as `model(..., output_attentions=True).attentions[layer][0, head]` has them; fewer lines
    are those of the last tokens, (length,) is the last token's. Of a long text the first 2 and the
    last 8 tokens are shown, and the middle is summed up. Raises ValueError for other shapes, and
    for weights that are no shares of one.
    """
    ids = torch.as_tensor(ids).flatten()
    weights = torch.as_tensor(weights).detach().float().cpu()
    weights = weights[None] if weights.dim() == 1 else weights
    _refuse(len(ids), weights)
    shown = _places(len(ids))
    first = len(ids) - len(weights)  # the place of the first token that looks
    looking = [place for place in shown if place >= first]
    names = {place: cut(token_text(tokenizer, ids[place]), _LONGEST) for place in shown}
    return Attention(
        seen=[names[place] for place in shown],
        looking=[names[place] for place in looking],
        shares=[_line(weights[place - first], place, shown) for place in looking],
        left_out=len(ids) - len(shown),
        title=printable(title, 80),
    )


def _refuse(length: int, weights: torch.Tensor) -> None:
    if weights.dim() != 2 or weights.shape[1] != length or not 0 < len(weights) <= length:
        raise ValueError(
            f"weights has shape {tuple(weights.shape)}; for {plural(length, 'token')} pass one "
            f"head's, ({length}, {length}): attentions[layer][0, head]."
        )
    if not bool(((weights >= 0) & (weights <= 1.01)).all()):
        raise ValueError(
            "weights are no shares: each must be from 0 to 1. Pass them as the model gives them, "
            "after its softmax."
        )


def _places(length: int) -> list[int]:
    if length <= _FIRST + _LAST:
        return list(range(length))
    return [*range(_FIRST), *range(length - _LAST, length)]


def _line(weights: torch.Tensor, place: int, shown: Sequence[int]) -> list[float | None]:
    """Return the shares of the token at `place`, (length,), for each column of the grid."""
    shares = [weights[seen].item() if seen <= place else None for seen in shown]
    if len(shown) == len(weights):
        return shares
    middle = weights[_FIRST : len(weights) - _LAST].sum().item() if place >= _FIRST else None
    return [*shares[:_FIRST], middle, *shares[_FIRST:]]

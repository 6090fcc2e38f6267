"""A padded batch as a grid: tokens, attention mask and positions, row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from llmcourse import html
from llmcourse.show import Table, plural, token_text

NARROW = f"padding:2px 5px;{html.MONO}"  # a grid is wide
SEEN = html.tinted(html.BLUE_TINT)
PADDED = html.tinted(html.GREY_TINT, "1px dashed")
_ROWS, _CELLS = 32, 300  # of a batch that are drawn


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch, of which some rows and places are drawn."""

    cells: list[list[tuple[str, int, int]]]  # (token text, mask, position), for each row drawn
    with_mask: bool  # whether the mask is shown
    with_positions: bool  # whether the positions are shown
    columns: Sequence[int | None]  # the places drawn; None for those left out in the middle
    rows: int  # of the batch, drawn or not
    length: int  # of a row, padding included
    padded: bool  # whether any of it is padding

    @property
    def caption(self) -> str:
        """What the grid shows, in words."""
        names = ", ".join(["token", *self.under])
        more = "; padding is grey, in brackets" if self.padded else ""
        return f"A batch of {self.rows:,}: {names}{more}"

    @property
    def under(self) -> list[str]:
        """What stands under each token, in this order."""
        given = {"mask": self.with_mask, "position": self.with_positions}
        return [name for name, there in given.items() if there]

    @property
    def heads(self) -> list[str]:
        """The heading of each column that is drawn."""
        left_out = f"… {self.length - len(self.columns) + 1:,} more …"
        return [left_out if place is None else str(place) for place in self.columns]

    @property
    def more(self) -> str:
        """How many rows are left out, in words; "" if none is."""
        left_out = self.rows - len(self.cells)
        return f"… {plural(left_out, 'row')} more …" if left_out else ""

    def across(self, row: int, drawn: Callable, left_out) -> list:
        """Return `drawn(place, text, mask, position)` of each place of a row that is drawn.

        left_out: what stands for the places that are not.
        """
        cells = iter(self.cells[row])
        return [left_out if at is None else drawn(at, *next(cells)) for at in self.columns]

    def table(self) -> Table:
        """Return a table with a line for each row of the batch and a column for each place."""
        rows = [
            [str(row), *self.across(row, lambda _, *cell: _token(*cell), "…")]
            for row in range(len(self.cells))
        ]
        return Table(self.caption, ["row", *self.heads], rows)

    def __repr__(self) -> str:
        return "\n".join(filter(None, [repr(self.table()), self.more]))

    def _repr_html_(self) -> str:
        rows = [
            [
                html.header(_stacked(str(row), self.under), "row", NARROW),
                *self.across(row, self._cell, html.cell("…")),
            ]
            for row in range(len(self.cells))
        ]
        return grid(self.caption, ["row", *self.heads], rows, self.more)

    def _cell(self, place: int, text: str, mask: int, position: int) -> str:
        numbers = {"mask": mask, "position": position}
        token = html.escape(_token(text, mask, position))
        content = _stacked(token, [str(numbers[name]) for name in self.under])
        return html.cell(content, NARROW + (SEEN if mask else PADDED))


def grid(caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]], more: str) -> str:
    """Return rows of a batch as a page. rows: lists of cells. more: rows left out, in words."""
    return html.table(caption, headers, map(html.row, rows), gap=1, look=NARROW) + html.lines(
        [more]
    )


def _stacked(content: str, under: Sequence[str]) -> str:
    return content + "".join(f"<br><small>{line}</small>" for line in under)


def _token(text: str, mask: int, position: int) -> str:
    return text if mask else f"({text})"


def batch(
    tokenizer,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    position_ids: torch.Tensor | None = None,
) -> Batch:
    """Show a batch, (rows, length) int64, with its mask and its positions where they are given.

    Of a large batch 32 rows are shown, and the first and the last places.
    """
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    places = torch.zeros_like(mask) if position_ids is None else position_ids.expand_as(mask)
    columns = _columns(*input_ids.shape)
    drawn = [place for place in columns if place is not None]
    grids = (grid[:_ROWS, drawn].tolist() for grid in (input_ids, mask, places))
    cells = [
        [
            (token_text(tokenizer, token), int(seen), int(place))
            for token, seen, place in zip(*row, strict=True)
        ]
        for row in zip(*grids, strict=True)
    ]
    given = attention_mask is not None, position_ids is not None
    return Batch(cells, *given, columns, *input_ids.shape, padded=bool((mask == 0).any()))


def _columns(rows: int, length: int) -> list[int | None]:
    most = max(8, min(24, _CELLS // min(rows, _ROWS)))
    if length <= most:
        return list(range(length))
    return [*range(most // 2), None, *range(length - (most - most // 2), length)]

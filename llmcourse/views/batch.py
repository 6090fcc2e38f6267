"""A padded batch as a grid: tokens, attention mask and positions, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmcourse.show import Table, escape, token_text
from llmcourse.views._frame import ROW

_SEEN, _PADDING = "#DCEBF7", "#DDDDDD"
_ROWS, _CELLS = 32, 300  # of a batch that are drawn


@dataclass(frozen=True, eq=False)
class Batch:
    """cells: for each row that is drawn, (token text, mask, position) for each place in `columns`.

    with_mask, with_positions: whether a cell also tells those. columns: the places that are drawn;
    None stands for those left out in the middle. rows, length: the shape of the batch. padded:
    whether any of it is padding.
    """

    cells: list[list[tuple[str, int, int]]]
    with_mask: bool
    with_positions: bool
    columns: Sequence[int | None]
    rows: int
    length: int
    padded: bool

    @property
    def caption(self) -> str:
        """What the grid shows, in words."""
        told = ["token"] + ["mask"] * self.with_mask + ["position"] * self.with_positions
        more = "; padding is grey, in brackets" if self.padded else ""
        return f"A batch of {self.rows:,}: {', '.join(told)}{more}"

    @property
    def heads(self) -> list[str]:
        """The heading of each column that is drawn."""
        left_out = f"… {self.length - len(self.columns) + 1:,} more …"
        return [left_out if place is None else str(place) for place in self.columns]

    @property
    def more(self) -> str:
        """How many rows are left out, in words; "" if none is."""
        left_out = self.rows - len(self.cells)
        return f"… {left_out:,} rows more …" if left_out else ""

    def _texts(self, cell: tuple[str, int, int]) -> list[str]:
        text, mask, position = cell
        lines = [text if mask else f"({text})"]
        lines += [f"mask {mask}"] * self.with_mask
        return lines + [f"position {position}"] * self.with_positions

    def table(self) -> Table:
        """Return a table with a line for each row of the batch and a column for each place."""
        rows = []
        for number, row in enumerate(self.cells):
            texts = (self._texts(cell)[0] for cell in row)
            line = ["…" if place is None else next(texts) for place in self.columns]
            rows.append([str(number), *line])
        return Table(self.caption, ["row", *self.heads], rows)

    def __repr__(self) -> str:
        return "\n".join(filter(None, [repr(self.table()), self.more]))

    def _repr_html_(self) -> str:
        th = '<th scope="{}" style="padding:2px 8px;text-align:left">{}</th>'
        head = "".join(th.format("col", place) for place in self.heads)
        body = ""
        for number, row in enumerate(self.cells):
            drawn = map(self._cell, row)
            line = ("<td>…</td>" if place is None else next(drawn) for place in self.columns)
            body += f"{ROW}{th.format('row', number)}{''.join(line)}</tr>"
        return (
            '<div style="overflow-x:auto">'
            '<table style="border-collapse:collapse;font-family:monospace;margin:0">'
            '<caption style="caption-side:top;text-align:left;font-weight:bold">'
            f"{self.caption}</caption>"
            f"<thead><tr>{th.format('col', 'row')}{head}</tr></thead><tbody>{body}</tbody></table>"
            f"</div><div>{self.more}</div>"
        )

    def _cell(self, cell: tuple[str, int, int]) -> str:
        shown, *more = map(escape, self._texts(cell))
        small = "".join(f"<br><small>{line}</small>" for line in more)
        look = f"background:{_SEEN if cell[1] else _PADDING};border:1px solid #767676;color:#000;"
        return f'<td style="{look}padding:2px 5px;text-align:left">{shown}{small}</td>'


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

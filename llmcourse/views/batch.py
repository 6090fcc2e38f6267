"""A padded batch as a grid: tokens, attention mask and positions, row by row."""

from dataclasses import dataclass

import torch

from llmcourse.show import Table, escape, token_text

_SEEN, _PADDING = "#DCEBF7", "#DDDDDD"


@dataclass(frozen=True, eq=False)
class Batch:
    """cells: for each row of the batch, (token text, mask, position) for each place.

    with_mask, with_positions: whether a cell also tells those.
    """

    cells: list[list[tuple[str, int, int]]]
    with_mask: bool
    with_positions: bool

    @property
    def caption(self) -> str:
        """What the grid shows, in words."""
        told = ["token"] + ["mask"] * self.with_mask + ["position"] * self.with_positions
        padded = any(mask == 0 for row in self.cells for _, mask, _ in row)
        more = "; padding is grey, in brackets" if padded else ""
        return f"A batch of {len(self.cells)}: {', '.join(told)}{more}"

    def _texts(self, cell: tuple[str, int, int]) -> list[str]:
        text, mask, position = cell
        lines = [text if mask else f"({text})"]
        lines += [f"mask {mask}"] * self.with_mask
        return lines + [f"position {position}"] * self.with_positions

    def table(self) -> Table:
        """Return a table with a line for each row of the batch and a column for each place."""
        width = max(map(len, self.cells))
        rows = [
            [str(number), *(self._texts(cell)[0] for cell in row)]
            for number, row in enumerate(self.cells)
        ]
        return Table(self.caption, ["row", *map(str, range(width))], rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        th = '<th scope="{}" style="padding:2px 8px;text-align:left">{}</th>'
        width = max(map(len, self.cells))
        head = "".join(th.format("col", place) for place in range(width))
        body = "".join(
            f"<tr>{th.format('row', number)}{''.join(map(self._cell, row))}</tr>"
            for number, row in enumerate(self.cells)
        )
        return (
            '<table style="border-collapse:collapse;font-family:monospace">'
            '<caption style="caption-side:top;text-align:left;font-weight:bold">'
            f"{self.caption}</caption>"
            f"<thead><tr>{th.format('col', 'row')}{head}</tr></thead><tbody>{body}</tbody></table>"
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
    """Show a batch, (rows, length) int64, with its mask and its positions where they are given."""
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    places = torch.zeros_like(mask) if position_ids is None else position_ids.expand_as(mask)
    cells = [
        [
            (token_text(tokenizer, token), int(seen), int(place))
            for token, seen, place in zip(*row, strict=True)
        ]
        for row in zip(input_ids, mask, places, strict=True)
    ]
    return Batch(cells, attention_mask is not None, position_ids is not None)

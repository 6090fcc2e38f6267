"""A text as its tokens: bytes, spaces and newlines visible, special tokens marked by shape."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmcourse.show import Table, escape, token_bytes, token_text
from llmcourse.views import _cells as cells

_SHADES = ("#def", "#fec")  # two quiet colours in turn; black on either reads at 15:1 or more
_FIRST, _LAST = 300, 100  # tokens of a long text that are shown
_BYTES = 16  # of a token


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens in reading order, each with its id and its bytes.

    length: how many there are. Of a long text the middle is left out of all lists, after `_FIRST`.
    """

    texts: Sequence[str]
    ids: Sequence[int]
    raw: Sequence[bytes]
    special: Sequence[bool]
    length: int

    @property
    def caption(self) -> str:
        """What is shown, in words."""
        return cells.plural(self.length, "token")

    def table(self) -> Table:
        """Return a table with a line for each token: text, id, bytes."""
        rows = [
            (text, str(token), "special" if special else _in_hexadecimal(raw))
            for text, token, raw, special in self._tokens()
        ]
        if self._left_out():
            rows.insert(_FIRST, (self._left_out(), "", ""))
        return Table(self.caption, ("token", "id", "bytes"), rows)

    def _tokens(self):
        return zip(self.texts, self.ids, self.raw, self.special, strict=True)

    def _left_out(self) -> str:
        more = self.length - len(self.ids)
        return f"… {cells.plural(more, 'token')} left out …" if more else ""

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        chips = [_chip(place, *token) for place, token in enumerate(self._tokens())]
        if self._left_out():
            chips.insert(_FIRST, f"<div><b>{self._left_out()}</b></div>")
        legend = f"{self.caption}, ids below" + ("; dashed: special" if any(self.special) else "")
        style = "font-family:monospace;text-align:left"
        table = self.table()
        rows = [cells.row(escape(text), map(escape, line)) for text, *line in table.rows]
        folded = cells.table(table.caption, table.headers, rows)
        return (
            f'<div><b>{legend}</b></div><div style="{style}">{"".join(chips)}</div>'
            f"<details><summary>As a table, with the bytes</summary>{folded}</details>"
        )


def _chip(place: int, text: str, token: int, raw: bytes, special: bool) -> str:
    border = "2px dashed" if special else "1px solid"
    look = f"background:{_SHADES[place % 2]};color:#000;border:{border}"
    style = f"display:inline-block;margin:2px;padding:0 5px;text-align:center;{look}"
    return f'<span style="{style}">{escape(text)}<br><small>{token}</small></span>'


def _in_hexadecimal(raw: bytes) -> str:
    return raw[:_BYTES].hex(" ") + (" …" if len(raw) > _BYTES else "")


def tokens(tokenizer, text_or_ids: str | torch.Tensor | Sequence[int]) -> Tokens:
    """Show a text, or ids of shape (length,) or (1, length), as tokens.

    A text is tokenized as `tokenizer(text)` does it, special tokens included. Of a long text the
    first 300 and the last 100 tokens are shown.
    """
    ids = tokenizer(text_or_ids).input_ids if isinstance(text_or_ids, str) else text_or_ids
    flat = torch.as_tensor(ids).flatten().tolist()
    shown = flat if len(flat) <= _FIRST + _LAST else [*flat[:_FIRST], *flat[-_LAST:]]
    special = set(tokenizer.all_special_ids) | {
        token for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    return Tokens(
        texts=[token_text(tokenizer, token) for token in shown],
        ids=shown,
        raw=[token_bytes(tokenizer, token) for token in shown],
        special=[token in special for token in shown],
        length=len(flat),
    )

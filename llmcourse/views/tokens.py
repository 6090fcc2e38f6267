"""A text as its tokens: bytes, spaces and newlines visible, special tokens marked by shape."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmcourse import html
from llmcourse.show import Table, plural, token_bytes, token_text

_TINTS = (html.BLUE_TINT, html.YELLOW_TINT)  # in turn, so that neighbours are seen apart
_FIRST, _LAST = 300, 100  # tokens of a long text that are shown
_BYTES = 16  # of a token


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens in reading order. Of a long text the middle is left out of all lists."""

    texts: Sequence[str]  # to read
    ids: Sequence[int]
    raw: Sequence[bytes]  # what each adds to the text
    special: Sequence[bool]
    length: int  # how many there are, shown or not

    @property
    def caption(self) -> str:
        """What is shown, in words."""
        return plural(self.length, "token")

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
        return f"… {plural(more, 'token')} left out …" if more else ""

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        chips = [_chip(place, *token) for place, token in enumerate(self._tokens())]
        if self._left_out():
            chips.insert(_FIRST, f"<div><b>{self._left_out()}</b></div>")
        legend = f"{self.caption}, ids below" + ("; dashed: special" if any(self.special) else "")
        return (
            f'<div><b>{legend}</b></div><div style="{html.MONO}">{"".join(chips)}</div>'
            f"<details><summary>As a table, with the bytes</summary>{self.table()._repr_html_()}"
            "</details>"
        )


def _chip(place: int, text: str, token: int, raw: bytes, special: bool) -> str:
    look = html.tinted(_TINTS[place % 2], "2px dashed" if special else "1px solid")
    return html.chip(text, look, str(token))


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

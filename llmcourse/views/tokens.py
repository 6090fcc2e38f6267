"""A text as its tokens: bytes, spaces and newlines visible, special tokens marked by shape."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmcourse.show import Table, escape, token_bytes, token_text

_SHADES = ("#def", "#fec")  # two quiet colours in turn; black on either reads at 15:1 or more


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens in reading order, each with its id and its bytes."""

    texts: Sequence[str]
    ids: Sequence[int]
    raw: Sequence[bytes]
    special: Sequence[bool]

    def table(self) -> Table:
        """Return a table with a line for each token: text, id, bytes."""
        rows = [
            (text, str(token), "special" if special else raw[:16].hex(" "))
            for text, token, raw, special in zip(
                self.texts, self.ids, self.raw, self.special, strict=True
            )
        ]
        return Table(f"{len(self.ids)} tokens", ("token", "id", "bytes"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        chips = "".join(
            _chip(place, text, token, special)
            for place, (text, token, special) in enumerate(
                zip(self.texts, self.ids, self.special, strict=True)
            )
        )
        legend = f"{len(self.ids)} tokens, ids below"
        legend += "; dashed: special" if any(self.special) else ""
        style = "font-family:monospace;text-align:left;color:#000"
        return f'<div><b>{legend}</b></div><div style="{style}">{chips}</div>'


def _chip(place: int, text: str, token: int, special: bool) -> str:
    border = "2px dashed" if special else "1px solid"
    look = f"background:{_SHADES[place % 2]};border:{border}"
    style = f"display:inline-block;margin:2px;padding:0 5px;text-align:center;{look}"
    return f'<span style="{style}">{escape(text)}<br><small>{token}</small></span>'


def tokens(tokenizer, text_or_ids: str | torch.Tensor | Sequence[int]) -> Tokens:
    """Show a text, or ids of shape (length,) or (1, length), as tokens.

    A text is tokenized as `tokenizer(text)` does it, special tokens included.
    """
    ids = tokenizer(text_or_ids).input_ids if isinstance(text_or_ids, str) else text_or_ids
    flat = torch.as_tensor(ids).flatten().tolist()
    special = set(tokenizer.all_special_ids) | {
        token for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    return Tokens(
        texts=[token_text(tokenizer, token) for token in flat],
        ids=flat,
        raw=[token_bytes(tokenizer, token) for token in flat],
        special=[token in special for token in flat],
    )

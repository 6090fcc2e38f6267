"""How text from a model is made visible and safe: tokens, control characters, tables.

Everything here may come from an untrusted vocabulary, prompt or model. `visible` makes what a page
would hide or obey (spaces, newlines, control and direction characters) readable; `Table` escapes.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_MARKS = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}
_LONGEST = 40  # characters of a token that a view shows; a vocabulary may hold tokens of thousands


def visible(text: str, longest: int | None = _LONGEST) -> str:
    """Return `text` on one line with nothing invisible in it: `" a\\n"` becomes `·a⏎`.

    Control, format and direction characters become `\\u202e` and the like; what is longer than
    `longest` characters is cut with an ellipsis.
    """
    return "".join(_MARKS.get(letter) or _readable(letter) for letter in _cut(text, longest))


def printable(text: str, longest: int | None = 400) -> str:
    """Return a sentence on one line with nothing hidden in it; unlike `visible` it keeps spaces."""
    return " ".join(visible(part, None) for part in _cut(str(text), longest).split(" "))


def readable(text: str, longest: int = 400) -> str:
    """Return a text on one line as `printable` does, each run of white space as one space."""
    return printable(" ".join(str(text)[:longest].split()), None)


def in_words(error: BaseException) -> str:
    """Return an error as one readable line of at most 400 characters."""
    return readable(f"{type(error).__name__}: {error}", 400)


def _cut(text: str, longest: int | None) -> str:
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"


def _readable(character: str) -> str:
    hidden = unicodedata.category(character) in (
        "Cc",
        "Cf",
        "Cs",
        "Co",
        "Cn",
        "Zl",
        "Zp",
        "Zs",
    )
    return f"\\u{ord(character):04x}" if hidden else character


def byte_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for (`Ġ` is a space).

    Printable Latin-1 characters stand for themselves, the other bytes for characters from 256 on.
    Source: Radford et al. 2019 (GPT-2); transformers' byte-level tokenizers use the same table.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    spare = {chr(256 + place): byte for place, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | spare


_BYTE_OF = byte_alphabet()


def token_bytes(tokenizer, token_id: int) -> bytes:
    """Return the bytes that one token adds to a text; a special token's are those of its name."""
    piece = tokenizer.convert_ids_to_tokens(int(token_id))
    if piece is None:  # the model's vocabulary may be larger than the tokenizer's
        return b""
    if int(token_id) in tokenizer.added_tokens_decoder:
        return piece.encode()
    if _is_byte_level(tokenizer) and all(character in _BYTE_OF for character in piece):
        return bytes(_BYTE_OF[character] for character in piece)
    if len(piece) == 6 and piece.startswith("<0x"):  # a byte of a SentencePiece vocabulary
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode(errors="surrogatepass")


def _is_byte_level(tokenizer) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "ByteLevel" in repr(getattr(backend, "decoder", None))


def token_text(tokenizer, token_id: int) -> str:
    """Return one token as readable text: `·blue`, `⏎`, or `E2 82` for part of a character."""
    raw = token_bytes(tokenizer, token_id)
    if not raw:
        return f"[{int(token_id)}]"
    try:
        return visible(raw.decode(errors="surrogatepass"))
    except UnicodeDecodeError:
        return raw[:_LONGEST].hex(" ").upper()


def percent(probability: float) -> str:
    """Return a probability as people read it: `41%`, `0.3%`, `<0.1%`."""
    value = 100 * float(probability)
    if 0 < value < 0.1:
        return "<0.1%"
    return f"{value:.0f}%" if value >= 9.95 or value == 0 else f"{value:.1f}%"


def plural(number: int, what: str) -> str:
    """Return `1 token`, `2 tokens`, `49,152 tokens`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class Table:
    """A small table that reads well in a terminal, in a notebook and on a static page.

    rows: cells as text; they are escaped, and cut after `longest` characters. marked: numbers of
    the rows to set in bold.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()
    longest: int | None = 400

    def __repr__(self) -> str:
        headers, *rows = [
            [printable(cell, self.longest) for cell in row] for row in (self.headers, *self.rows)
        ]
        columns = list(zip(headers, *rows, strict=True))
        widths = [max(map(columns_wide, column)) for column in columns]
        lines = [
            "  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [headers, ["─" * width for width in widths], *rows]
        ]
        return "\n".join([printable(self.caption), *lines])

    def _repr_html_(self) -> str:
        cell = "padding:2px 5px;text-align:left;"
        head = "".join(
            f'<th scope="col" style="{cell}">{escape(printable(h))}</th>' for h in self.headers
        )
        body = "".join(self._row(number, row, cell) for number, row in enumerate(self.rows))
        title = "caption-side:top;text-align:left;font-weight:bold;padding:4px 0"
        return (
            f'<table style="border-collapse:collapse"><caption style="{title}">'
            f"{escape(printable(self.caption))}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _row(self, number: int, row: Sequence[str], style: str) -> str:
        if number in self.marked:
            style += "font-weight:bold;"
        cells = "".join(
            f'<td style="{style}">{escape(printable(cell, self.longest))}</td>' for cell in row
        )
        return f"<tr>{cells}</tr>"


def escape(text: str) -> str:
    """Return `text` as inert HTML for between tags: no tag, entity or formula of it comes alive.

    JupyterLab's MathJax reads the finished page, where `&#36;` is a dollar again; a tag between a
    delimiter and its formula stops it.
    """
    return _FORMULA.sub(r"<span>\g<0></span>", escape_attribute(text))


_FORMULA = re.compile(r"&#36;|\\(?=[(\[]|begin|ref|eqref)")


def escape_attribute(text: str) -> str:
    """Return `text` as inert HTML for the value of an attribute in quotes."""
    return html.escape(str(text)).replace("$", "&#36;")


def columns_wide(text: str) -> int:
    """Return how many columns of a terminal `text` takes; most Chinese characters take two."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    marks = sum(bool(unicodedata.combining(character)) for character in text)
    return len(text) + wide - marks


def pad(text: str, width: int) -> str:
    """Return `text` filled with spaces to `width` terminal columns."""
    return text + " " * (width - columns_wide(text))

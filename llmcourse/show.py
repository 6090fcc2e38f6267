"""How text is shown: tokens, control characters, numbers of things, a table of text.

Everything here may come from an untrusted vocabulary, prompt or model. `visible` makes what a page
would hide or obey (spaces, newlines, control and direction characters) readable; `Table` escapes.
What a page is made of is in `llmcourse.html`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from llmcourse.html import bare_row, bare_table, cell, escape, header
from llmcourse.html import escape_attribute as escape_attribute

_MARKS = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}
# Kinds of characters that are not seen: controls, formats, halves of pairs, private and unassigned
# ones, separators.
_HIDDEN_KINDS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# The property Default_Ignorable_Code_Point, which `unicodedata` lacks: what is not drawn where
# nothing knows better, such as fillers and variation selectors, in which bytes can be smuggled.
# Source: DerivedCoreProperties.txt of the Unicode Character Database, version 17.0.0.
_IGNORABLE = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5)),
    *((0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164)),
    *((0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8)),
    *((0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
# Blank although they count as drawn: a braille cell without dots, a filler, a note without a head.
_BLANK = frozenset("\u2800\U00016fe4\U0001d159")
_LONGEST = 40  # characters of a token that a view shows; a vocabulary may hold tokens of thousands


def visible(text: str, longest: int | None = _LONGEST) -> str:
    """Return `text` on one line with nothing invisible in it: `" a\\n"` becomes `·a⏎`.

    Control, format and direction characters, selectors and fillers become `\\u202e` and the like:
    `❤\\ufe0f` is the red heart. What is longer than `longest` characters is cut with an ellipsis.
    """
    return "".join(_MARKS.get(letter) or _readable(letter) for letter in cut(text, longest))


def printable(text: str, longest: int | None = 400) -> str:
    """Return a sentence on one line with nothing hidden in it; unlike `visible` it keeps spaces."""
    return " ".join(visible(part, None) for part in cut(str(text), longest).split(" "))


def readable(text: str, longest: int = 400) -> str:
    """Return a text on one line as `printable` does, each run of white space as one space."""
    return printable(" ".join(str(text)[:longest].split()), None)


def in_words(error: BaseException) -> str:
    """Return an error as one readable line of at most 400 characters."""
    return readable(f"{type(error).__name__}: {message_of(error)}", 400)


def message_of(error: BaseException) -> str:
    """Return an error's message, also of a class whose own `__str__` fails."""
    try:
        return str(error)
    except Exception as failure:
        return f"(its message cannot be read: {type(failure).__name__})"


def cut(text: str, longest: int | None) -> str:
    """Return `text`, with an ellipsis in place of what is beyond `longest` characters."""
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"


def plural(number: int, what: str) -> str:
    """Return `1 token`, `2 tokens`, `49,152 tokens`, `3 passes`."""
    ending = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{ending}"


def amount(size: float) -> str:
    """Return a number of bytes as people read it: `23 kB`, `1.4 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def code_of(character: str) -> str:
    """Return a character's code as Python writes it: `\\u202e`, `\\U000e0041`."""
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@lru_cache(maxsize=10_000)
def _readable(character: str) -> str:
    return code_of(character) if _is_hidden(character) else character


def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _HIDDEN_KINDS
        or character in _BLANK
        or any(first <= ord(character) <= last for first, last in _IGNORABLE)
    )


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


def quoted(text: str) -> str:
    """Return a token's text for a sentence: in quotes where it has no letter or digit: `“,”`."""
    return text if any(map(str.isalnum, text)) else f"“{text}”"


def percent(probability: float) -> str:
    """Return a probability as people read it: `41%`, `0.3%`, `<0.1%`."""
    value = 100 * float(probability)
    if 0 < value < 0.1:
        return "<0.1%"
    return f"{value:.0f}%" if value >= 9.95 or value == 0 else f"{value:.1f}%"


@dataclass(frozen=True)
class Table:
    """A small table that reads well in a terminal, in a notebook and on a static page."""

    caption: str
    headers: Sequence[str]  # of the columns
    rows: Sequence[Sequence[str]]  # text; the first of several cells names its row
    marked: frozenset[int] = frozenset()  # numbers of the rows to set in bold
    longest: int | None = 400  # characters of a cell that are shown; None for all

    def __repr__(self) -> str:
        headers, *rows = [
            [printable(text, self.longest) for text in line] for line in (self.headers, *self.rows)
        ]
        columns = list(zip(headers, *rows, strict=True))
        widths = [max(map(columns_wide, column)) for column in columns]
        lines = [
            "  ".join(pad(text, width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in [headers, ["─" * width for width in widths], *rows]
        ]
        return "\n".join([printable(self.caption), *lines])

    def _repr_html_(self) -> str:
        rows = [self._row(number, line) for number, line in enumerate(self.rows)]
        return bare_table(printable(self.caption), list(map(printable, self.headers)), rows)

    def _row(self, number: int, line: Sequence[str]) -> str:
        look = "font-weight:bold" if number in self.marked else ""
        texts = [_breakable(escape(printable(text, self.longest))) for text in line]
        cells = [cell(text, look) for text in texts]
        if len(texts) > 1:
            cells[0] = header(texts[0], "row", look or "font-weight:normal")
        return bare_row(cells)


_LONG_WORD = re.compile(r"\S{24,}")
_BREAKS = re.compile(r"(?<=⏎)|(?<=\w)(?=\()")  # behind a shown line break, before a call's bracket


def _breakable(content: str) -> str:
    """Return HTML whose long words may break at `_BREAKS`.

    A chat as one string, or a rule with its settings, may be one word, which would make its table
    wider than the page.
    """
    return _LONG_WORD.sub(lambda word: _BREAKS.sub("<wbr>", word[0]), content)


def columns_wide(text: str) -> int:
    """Return how many columns of a terminal `text` takes; most Chinese characters take two."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    marks = sum(bool(unicodedata.combining(character)) for character in text)
    return len(text) + wide - marks


def pad(text: str, width: int) -> str:
    """Return `text` filled with spaces to `width` terminal columns."""
    return text + " " * (width - columns_wide(text))

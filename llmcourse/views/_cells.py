"""Pieces of HTML that views share: a table with a caption, its rows, bars in its cells.

Inline styles and plain tags only: what a notebook that is reopened untrusted would strip is not
used. Coloured cells set both colours, so that they read the same on a light and on a dark page.
"""

from collections.abc import Iterable, Sequence

from llmcourse.show import escape, visible

_CELL = "padding:3px 8px;text-align:left;vertical-align:top;border:1px solid #767676"
_TITLE = "caption-side:top;text-align:left;font-weight:bold;padding:4px 0;color:inherit"


def table(caption: str, headers: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table as HTML. caption, headers: text. rows: what `row` returns."""
    names = [escape(text).replace("\n", "<br>") for text in headers]
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in names)
    return (
        '<div style="overflow-x:auto">'
        '<table style="border-collapse:collapse;margin:0;min-width:420px">'
        f'<caption style="{_TITLE}">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(header: str, cells: Iterable[str]) -> str:
    """Return a line of a table. header, cells: HTML, so what was text must be escaped already."""
    body = "".join(cell if cell.startswith("<td") else td(cell) for cell in cells)
    return f'<tr><th scope="row" style="{_CELL}">{header}</th>{body}</tr>'


def td(content: str, style: str = "", columns: int = 1) -> str:
    """Return a cell with HTML in it, and more of a style."""
    wide = f' colspan="{columns}"' if columns > 1 else ""
    return f'<td{wide} style="{_CELL};{style}">{content}</td>'


def bar(share: float, color: str, widest: int = 90) -> str:
    """Return a bar of `share` (0 to 1) of `widest` pixels; anything above 0 can be seen."""
    width = max(2, round(widest * share)) if share > 0 else 0
    return f'<div style="{_block(width, color)}"></div>' if width else ""


def bars(parts: Iterable[tuple[float, str]], widest: int = 90) -> str:
    """Return several bars end to end, each a (share, colour)."""
    blocks = "".join(
        f'<span style="display:inline-block;{_block(round(widest * share), color)}"></span>'
        for share, color in parts
        if round(widest * share)
    )
    return f'<div style="line-height:1;white-space:nowrap">{blocks}</div>'


def _block(width: int, color: str) -> str:
    return f"background:{color};border:1px solid #767676;height:8px;width:{width}px"


def plural(number: int, what: str) -> str:
    """Return `1 token`, `2 tokens`, `49,152 tokens`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def cut(text: str, longest: int) -> str:
    """Return `text`, with an ellipsis for what is beyond `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def prose(text: str, longest: int | None = None) -> str:
    """Return `text` on one line with its spaces as they are, and all else as `visible` shows it."""
    short = text if longest is None else cut(text, longest)
    return " ".join(visible(word, None) for word in short.split(" "))

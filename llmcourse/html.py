"""What is shown on a page: one table, one bar, one chip, one palette, one escape.

Inline styles and plain tags only: what a notebook that is reopened untrusted would strip is not
used. What is tinted sets both colours, so that it reads the same on a light and on a dark page, and
has a second cue for those who do not see the tint: a border, a sign or a word.

Here `content` is HTML, in which text was escaped before; every other text is escaped here. A `look`
is the style that says what kind of thing something is: what `tinted` or `outlined` returns.
"""

import html
import re
from collections.abc import Iterable, Sequence

# Okabe and Ito's colours: told apart by people with any form of colour blindness, and in print.
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILLION = "#E69F00", "#D55E00"
GREY = "#767676"  # of lines too: it is seen on white and on black

# Behind black text, which reads on each of them at 14:1 or more.
BLUE_TINT, GREEN_TINT = "#DCEBF7", "#D5F0E6"
ORANGE_TINT, YELLOW_TINT, GREY_TINT = "#FBE3CF", "#FFF3C4", "#E4E4E4"

DARK = "background:#6B6B6B;color:#FFFFFF;"  # the look of what is gone; it reads at 5:1
MONO = "font-family:monospace;"
_PLACE = "text-align:left;vertical-align:top;"
_TITLE = (
    "caption-side:top;text-align:left;font-weight:bold;color:inherit;padding:6px 0 4px;"
    "max-width:44em;overflow-wrap:anywhere"  # where the table is wider, it reads without scrolling
)


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


def table(caption: str, headers: Sequence[str], rows: Iterable[str], **looks) -> str:
    """Return a table with a caption; where it is wider than the page it scrolls in its own box.

    All as in `bare_table`.
    """
    return f'<div style="overflow-x:auto">{bare_table(caption, headers, rows, **looks)}</div>'


def bare_table(
    caption: str,
    headers: Sequence[str],
    rows: Iterable[str],
    *,
    notes: Iterable[str] = (),
    gap: int = 0,
    look: str = "",
) -> str:
    """Return a table with a caption, as wide as it is.

    headers: of the columns, none where each row has its own; a newline in one is kept. rows: what
    `row` returns. notes: lines in small letters under the caption. gap: pixels around each cell, so
    that tinted cells stand apart; without one there is a line above each row. look: of the headers.
    """
    under = "".join(
        f'<br><small style="font-weight:normal">{escape(note)}</small>' for note in notes
    )
    names = "".join(header(escape(name).replace("\n", "<br>"), look=look) for name in headers)
    head = f"<thead><tr>{names}</tr></thead>" if names else ""
    apart = f"separate;border-spacing:{gap}px" if gap else "collapse"
    return (
        f'<table style="border-collapse:{apart};margin:0 0 8px;min-width:26em">'
        f'<caption style="{_TITLE}">{escape(caption)}{under}</caption>'
        f"{head}<tbody>{''.join(rows)}</tbody></table>"
    )


# A page's own stripes would be no part of the picture.
_RULED = f' style="background:none;border-top:1px solid {GREY}"'


def row(cells: Iterable[str]) -> str:
    """Return a line of a picture. cells: what `header` and `cell` return."""
    return f"<tr{_RULED}>{''.join(cells)}</tr>"


def bare_row(cells: Iterable[str]) -> str:
    """Return a line of a plain table, which the page may stripe."""
    return f"<tr>{''.join(cells)}</tr>"


def header(content: str, scope: str = "col", look: str = "") -> str:
    """Return the header of a column, or of a row: scope="row"."""
    return f'<th scope="{scope}" style="padding:3px 8px;{_PLACE}{look}">{content}</th>'


def cell(content: str, look: str = "", *, columns: int = 1, rows: int = 1) -> str:
    """Return a cell, as wide as so many columns and as high as so many rows."""
    sizes = {"colspan": columns, "rowspan": rows}
    size = "".join(f' {name}="{many}"' for name, many in sizes.items() if many > 1)
    return f'<td{size} style="padding:3px 8px;{_PLACE}{look}">{content}</td>'


def outlined(border: str = "1px solid", color: str = GREY) -> str:
    """Return the look of something with a border."""
    return f"border:{border} {color};"


def tinted(tint: str, border: str = "1px solid", color: str = GREY) -> str:
    """Return the look of something with black text on a tint, and a border in `color`."""
    return f"background:{tint};color:#000;{outlined(border, color)}"


def chip(text: str, look: str, *under: str) -> str:
    """Return a small box that stays in one piece. under: lines in small letters below the text."""
    box = "display:inline-block;margin:2px;padding:0 5px;text-align:center;vertical-align:top;"
    small = "".join(f"<br><small>{escape(line)}</small>" for line in under)
    return f'<span style="{box}{look}">{escape(text)}{small}</span>'


def mark(content: str, look: str) -> str:
    """Return a stretch of a text in a box that breaks across lines as the text does."""
    return f'<span style="{look}padding:0 2px">{content}</span>'


def bar(share: float, color: str, widest: int = 90) -> str:
    """Return a bar of `share` (0 to 1) of `widest` pixels; anything above 0 can be seen."""
    return bars([(share, color)], widest)


def bars(parts: Iterable[tuple[float, str]], widest: int = 90) -> str:
    """Return several bars end to end, each a (share, colour)."""
    blocks = "".join(
        f'<span style="display:inline-block;background:{color};border:1px solid {GREY};'
        f'height:8px;width:{max(2, round(widest * share))}px"></span>'
        for share, color in parts
        if share > 0
    )
    return f'<div style="line-height:1;white-space:nowrap">{blocks}</div>' if blocks else ""


def lines(texts: Iterable[str]) -> str:
    """Return sentences, each on its own line; empty ones are left out."""
    return "".join(f"<div>{escape(text)}</div>" for text in texts if text)


# What MathJax passes over, versions 3 and 2: `$`, `\\(` and `\\[` are the model's, not formulas.
_NO_MATH = "mathjax_ignore tex2jax_ignore"


def noted(note: str, content: str) -> str:
    """Return what is shown, under a line that says what just happened."""
    said = f'<div style="margin:4px 0">{escape(note)}</div>' if note else ""
    return f'<div class="{_NO_MATH}" style="line-height:1.4">{said}{content}</div>'

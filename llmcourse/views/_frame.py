"""What the views that are tables share: the frame around them, cells, and tokens as chips."""

from llmcourse.show import escape

# Both colours are set on what is tinted, so that it reads the same on a light and a dark page.
BLUE_TINT, GREEN_TINT, ORANGE_TINT, GREY_TINT = "#DCEBF7", "#D5F0E6", "#FBE3CF", "#E4E4E4"
BORDER, FRAME = "#767676", "#D55E00"
ROW = '<tr style="background:none">'  # a page's own stripes would be no part of the picture


def framed(caption: str, head: str, body: str, notes: tuple[str, ...] = ()) -> str:
    """Return a table. head, body: HTML rows.

    caption, notes: text; notes are lines under the caption. Where the table is wider than the page
    its caption is not, so that it can be read without scrolling.
    """
    under = "".join(f"<br><small>{escape(note)}</small>" for note in notes)
    title = "caption-side:top;text-align:left;padding:8px 0 4px;color:inherit"
    narrow = "max-width:40em;overflow-wrap:anywhere"
    return (
        '<table style="border-collapse:separate;border-spacing:2px;min-width:22em">'
        f'<caption style="{title}"><div style="{narrow}"><b>{escape(caption)}</b>{under}</div>'
        f"</caption>{head and f'<thead>{head}</thead>'}<tbody>{body}</tbody></table>"
    )


def header(text: str, scope: str = "col", above: int = 2, align: str = "left") -> str:
    """Return the header cell of a column or a row, with `above` pixels of air above its text."""
    style = f"padding:{above}px 6px 2px;text-align:{align};vertical-align:top;white-space:nowrap"
    return f'<th scope="{scope}" style="{style}">{escape(text)}</th>'


def look(tint: str, border: str = f"1px solid {BORDER}") -> str:
    """Return the style of something tinted."""
    return f"background:{tint};color:#000;border:{border};"


def chip(sign: str, text: str, style: str) -> str:
    """Return a token as a small box with a sign in front. text: escaped here."""
    box = "display:inline-block;margin:1px;padding:0 5px;font-family:monospace;"
    return f'<span style="{box}{style}">{sign} {escape(text)}</span>'


# What MathJax passes over, versions 3 and 2: `$`, `\\(` and `\\[` are the model's, not formulas.
_NO_MATH = "mathjax_ignore tex2jax_ignore"


def noted(note: str, shown: str) -> str:
    """Return HTML under a line that says what just happened. note: text, escaped here."""
    said = f'<div style="margin:4px 0">{escape(note)}</div>' if note else ""
    return f'<div class="{_NO_MATH}" style="line-height:1.4">{said}{shown}</div>'

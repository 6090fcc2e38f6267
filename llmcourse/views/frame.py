"""What the views that are tables share: the frame around them, cells, and tokens as chips."""

from llmcourse.show import escape

# Both colours are set on what is tinted, so that it reads the same on a light and a dark page.
BLUE_TINT, GREEN_TINT, ORANGE_TINT, GREY_TINT = "#DCEBF7", "#D5F0E6", "#FBE3CF", "#E4E4E4"
BORDER, FRAME = "#767676", "#D55E00"


def framed(caption: str, head: str, body: str, notes: tuple[str, ...] = ()) -> str:
    """Return a table that scrolls sideways where the page is narrow. head, body: HTML rows.

    caption, notes: text; notes are lines above the table, under its caption.
    """
    under = "".join(f"<br><small>{escape(note)}</small>" for note in notes)
    title = "caption-side:top;text-align:left;padding:4px 0;color:inherit"
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:separate;border-spacing:2px">'
        f'<caption style="{title}"><b>{escape(caption)}</b>{under}</caption>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def header(text: str, scope: str = "col") -> str:
    """Return the header cell of a column or a row."""
    style = "padding:2px 6px;text-align:left;white-space:nowrap"
    return f'<th scope="{scope}" style="{style}">{escape(text)}</th>'


def look(tint: str, border: str = f"1px solid {BORDER}") -> str:
    """Return the style of something tinted."""
    return f"background:{tint};color:#000;border:{border};"


def chip(text: str, style: str) -> str:
    """Return a token as a small box. text: escaped here."""
    box = "display:inline-block;margin:1px;padding:0 5px;font-family:monospace;"
    return f'<span style="{box}{style}">{escape(text)}</span>'

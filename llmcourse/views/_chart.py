"""A matplotlib figure that keeps its meaning without the picture: as text, and as alt text."""

import base64
import io
from dataclasses import dataclass, field

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from llmcourse.html import escape_attribute
from llmcourse.show import code_of

_DPI = 110
_MARGIN = 0.1  # inches
_WIDE = 9.0  # inches: a wider picture would have letters too small to read on a narrow page
_LEAST = 0.75  # of its size that such a picture keeps; on a narrower page it scrolls


@dataclass(frozen=True, eq=False)
class Chart:
    """A picture and the sentence that says what it shows, which is also its text form."""

    alt: str  # what the picture shows, in words
    png: bytes = field(repr=False)  # the picture
    least: int = 0  # pixels: no page shows it narrower; 0: as narrow as the page is

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        least = f"min-width:{self.least}px;" if self.least else ""
        picture = (
            f'<img alt="{escape_attribute(self.alt)}" src="data:image/png;base64,{data}" '
            f'style="{least}max-width:100%;height:auto">'
        )
        return f'<div style="overflow-x:auto">{picture}</div>' if least else picture


def chart(paint, alt: str, width: float = 7.0, height: float = 3.0) -> Chart:
    """Let `paint(axes)` draw on fresh axes of `width` by `height` inches; return the Chart.

    Text is drawn as it is: `$` starts no formula.
    """
    with rc_context({"text.parse_math": False, "font.size": 10, "axes.titlesize": 11}):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        # on a dark page the white ends where the picture does: no letter touches that edge
        figure.get_layout_engine().set(w_pad=_MARGIN, h_pad=_MARGIN)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        paint(axes)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    least = round(_LEAST * _DPI * width) if width > _WIDE else 0
    return Chart(alt, png.getvalue(), least)


def drawable(text: str) -> str:
    """Return `text` with each character that the chart's font lacks written as `\\u4f60`."""
    font = get_font(findfont("DejaVu Sans"))
    return "".join(
        character if font.get_char_index(ord(character)) else code_of(character)
        for character in text
    )

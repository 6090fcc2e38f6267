"""A matplotlib figure that keeps its meaning without the picture: as text, and as alt text."""

import base64
import io
from dataclasses import dataclass, field

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from llmcourse.html import escape_attribute
from llmcourse.show import code_of


@dataclass(frozen=True, eq=False)
class Chart:
    """A picture and the sentence that says what it shows, which is also its text form."""

    alt: str  # what the picture shows, in words
    png: bytes = field(repr=False)  # the picture

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        return (
            f'<img alt="{escape_attribute(self.alt)}" src="data:image/png;base64,{data}" '
            'style="max-width:100%;height:auto">'
        )


def chart(paint, alt: str, width: float = 7.0, height: float = 3.0) -> Chart:
    """Let `paint(axes)` draw on fresh axes of `width` by `height` inches; return the Chart.

    Text is drawn as it is: `$` starts no formula.
    """
    with rc_context({"text.parse_math": False, "font.size": 10, "axes.titlesize": 11}):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        paint(axes)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
    return Chart(alt, png.getvalue())


def drawable(text: str) -> str:
    """Return `text` with each character that the chart's font lacks written as `\\u4f60`."""
    font = get_font(findfont("DejaVu Sans"))
    return "".join(
        character if font.get_char_index(ord(character)) else code_of(character)
        for character in text
    )

"""A leaderboard as one picture: quality against speed, with intervals, memory as area."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from llmcourse.html import BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION
from llmcourse.leaderboard.board import Board, Standing
from llmcourse.show import amount, plural, printable

# Colours that the colour-blind tell apart; the shape is the second cue.
LOOKS = tuple(
    (colour, shape)
    for shapes in ("osD^vP", "Xp<>*h")
    for colour, shape in zip((BLUE, VERMILLION, GREEN, ORANGE, SKY, GREY), shapes, strict=True)
)
_LARGEST = 300.0  # square points: the area of the marker of the entry that takes most memory
_APART = 16.0  # points between entries whose speed is one and the same measurement


def save_picture(board: Board, path: Path | BinaryIO) -> None:
    """Draw the board into a .png, .svg or .pdf file, or as PNG into one that is open.

    Entries whose speed was not measured are left out. Names stand in a legend beside the picture,
    so that they never overlap. Raises ValueError where no speed was measured, and for more entries
    than there are looks.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = [one for one in board.standings if board.speed(one)]
    if not shown:
        raise ValueError("No entry's speed was measured, so there is nothing to draw.")
    if len(shown) > len(LOOKS):
        raise ValueError(f"{len(shown)} entries are too many for one picture of {len(LOOKS)}.")
    with rc_context({"text.parse_math": False, "font.size": 10}):
        height = max(4.2, 1.0 + 0.45 * len(shown))
        figure = Figure(figsize=(9.5, height), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        for place, one in enumerate(shown):
            _mark(axes, board, shown, place, one)
        axes.set_xlabel("tokens/s of one text, equal ones side by side; bars: the middle half")
        axes.set_ylabel("right answers; bars: 95% intervals")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_xlim(0, 1.15 * max(board.speed(one).quartiles[1] for one in shown))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        count = plural(len(shown[0].answers), "item")
        axes.set_title(f"Quality and speed, {count}; area: memory", fontsize=11)
        legend = figure.legend(loc="outside right upper", frameon=False, labelspacing=1.2)
        for handle in legend.legend_handles:
            if hasattr(handle, "set_sizes"):
                handle.set_sizes([60])
        figure.savefig(path, dpi=110)


def describe(board: Board) -> str:
    """Return in words what the picture shows: its alternative text."""
    lines = [
        f"{printable(one.setting)}: {one.quality} right, {board.speed(one)}"
        for one in board.standings
        if board.speed(one)
    ]
    return "Quality against speed. " + "; ".join(lines) + "."


def _mark(axes, board: Board, shown: Sequence[Standing], place: int, one: Standing) -> None:
    """Draw one entry: its bars, and its marker on them."""
    from matplotlib.transforms import ScaledTranslation

    colour, shape = LOOKS[place]
    speed, quality, memory = board.speed(one), one.quality, board.memory(one)
    most = max((board.memory(other) or 0) for other in shown) or 1
    low, high = speed.quartiles
    twins = [other for other in shown[:place] if board.speed(other) == speed]
    apart = ScaledTranslation(_APART * len(twins) / 72, 0, axes.figure.dpi_scale_trans)
    where = axes.transData + apart
    axes.plot([low, high], [quality.share] * 2, color=colour, linewidth=1.5, transform=where)
    axes.plot([speed.median] * 2, [quality.low, quality.high], color=colour, transform=where)
    several = len({other.model for other in shown}) > 1
    name = printable(one.name if several else one.setting, 40)
    axes.scatter(
        [speed.median],
        [quality.share],
        s=_LARGEST * memory / most if memory else 60,
        color=colour,
        marker=shape,
        alpha=0.85,
        edgecolors="black",
        linewidths=0.6,
        label=f"{name}\n{amount(memory) if memory else 'memory not known'}",
        transform=where,
        zorder=3,
    )
    axes.update_datalim([(low, quality.low), (high, quality.high)])
    axes.autoscale_view()

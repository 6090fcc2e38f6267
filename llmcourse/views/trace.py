"""A column for each step of the loop: its candidates as shaded boxes, the chosen one framed."""

from collections.abc import Iterable
from itertools import islice

from matplotlib.patches import Rectangle

from llmcourse.decoding.loop import Step
from llmcourse.html import BLUE, VERMILLION
from llmcourse.show import cut, percent, printable, quoted, token_text
from llmcourse.views._chart import Chart, chart, drawable
from llmcourse.views.next_token import likeliest

_MOST = 20  # steps that are drawn


def trace(tokenizer, steps: Iterable[Step], row: int = 0, top: int = 4, title: str = "") -> Chart:
    """Draw one column a step: its `top` likeliest tokens, shaded by probability, the chosen framed.

    steps: what `llmcourse.steps` yields. row: which row of the batch. A chosen token that is not
    among the likeliest takes the last place. Of a long run the first 20 steps are drawn.
    """
    title = printable(title, 80)
    steps = iter(steps)
    columns = [_candidates(tokenizer, step, row, top) for step in islice(steps, _MOST)]
    more = sum(1 for _ in steps)
    chosen = [next(c for c in column if c[2]) for column in columns]
    names = ", ".join(f"{quoted(text)} {percent(p)}" for text, p, _ in chosen)
    alt = f"{title or 'The loop, step by step'}. Chosen: {names}."
    alt += f" {more:,} more steps are left out." if more else ""

    def paint(axes):
        for x, column in enumerate(columns):
            for y, candidate in enumerate(column):
                _cell(axes, x, y, *candidate)
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(top - 0.5, -0.5), title=drawable(title))
        axes.set_xticks(range(len(columns)))
        axes.set_yticks(range(top), [f"{place + 1}." for place in range(top)])
        left_out = f" ({more:,} more are left out)" if more else ""
        axes.set(xlabel=f"step{left_out}", ylabel="likeliest")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    return chart(paint, alt, width=1.0 + 0.95 * len(columns), height=1.1 + 0.45 * top)


def _candidates(tokenizer, step: Step, row: int, top: int) -> list[tuple[str, float, bool]]:
    probs, chosen = step.probs[row], int(step.chosen[row])
    ids = [token for token, _ in likeliest(probs, top)]
    if chosen not in ids:
        ids[-1] = chosen
    return [(token_text(tokenizer, token), float(probs[token]), token == chosen) for token in ids]


def _cell(axes, x: int, y: int, text: str, p: float, chosen: bool) -> None:
    box = {"facecolor": BLUE, "alpha": 0.08 + 0.62 * p, "edgecolor": "none"}
    axes.add_patch(_rectangle(x, y, **box))
    if chosen:
        axes.add_patch(_rectangle(x, y, fill=False, edgecolor=VERMILLION, linewidth=2.5))
    axes.text(x, y - 0.12, drawable(cut(text, 9)), ha="center", va="center", fontsize=9)
    axes.text(x, y + 0.24, percent(p), ha="center", va="center", fontsize=7.5)


def _rectangle(x: int, y: int, **style) -> Rectangle:
    return Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, **style)

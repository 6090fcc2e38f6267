"""A bar for each token of a text: how surprising the model found it, in bits."""

import torch

from llmcourse.html import BLUE, VERMILLION
from llmcourse.show import quoted, token_text
from llmcourse.views._chart import Chart, chart, drawable

_MOST = 40  # bars of a text that are drawn


def surprise(tokenizer, ids: torch.Tensor, bits: torch.Tensor) -> Chart:
    """Draw how surprising each token of a text was: -log2 of the probability it was given.

    ids: (length,) int64. bits: (length,) float, nan where there is no prediction (the first token).
    Of a long text the first 40 tokens are drawn.
    """
    names = [token_text(tokenizer, token) for token in ids[:_MOST]]
    values = [float(value) for value in bits[:_MOST]]
    known = [value for value in values if value == value]
    highest = max(known, default=0.0)
    more = max(0, len(ids) - _MOST)
    left_out = f"{more:,} more tokens are left out" if more else ""

    def paint(axes):
        bars = axes.bar(range(len(values)), [0 if v != v else v for v in values], color=BLUE)
        for bar, value in zip(bars, values, strict=True):
            if value == highest:
                bar.set(facecolor=VERMILLION, hatch="//", edgecolor="white")
        axes.bar_label(bars, ["?" if v != v else f"{v:.1f}" for v in values], padding=2)
        axes.set_xticks(range(len(names)), map(drawable, names), rotation=40, ha="right")
        axes.set_xlabel(left_out)
        axes.set(ylabel="surprise (bits)", ylim=(0, 1.15 * highest or 1))

    alt = _in_words(names, values) + (f" {left_out}." if left_out else "")
    return chart(paint, alt, width=min(14.0, 1.5 + 0.55 * len(names)), height=3.2)


def _in_words(names: list[str], values: list[float]) -> str:
    each = [f"{quoted(name)} {v:.1f}" for name, v in zip(names, values, strict=True) if v == v]
    return f"Surprise in bits: {quoted(names[0])} (no prediction), {', '.join(each)}."

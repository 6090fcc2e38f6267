"""Probabilities as bars: the likeliest next tokens, and surprise along a text."""

import torch

from llmcourse.show import percent, printable, token_text
from llmcourse.views._chart import BLUE, GREY, VERMILLION, Chart, chart, drawable


def likely(tokenizer, logits: torch.Tensor, top: int = 10, title: str = "Next token") -> Chart:
    """Draw the `top` likeliest next tokens, and all the others together as one bar.

    logits: (vocab,) or (1, vocab), raw or after rules; softmax is taken here. Raises ValueError for
    more than one row.
    """
    if logits.dim() == 2 and len(logits) == 1:
        logits = logits[0]
    if logits.dim() != 1:
        raise ValueError(f"logits has shape {tuple(logits.shape)}; pass one row, (vocab,).")
    probs = logits.float().softmax(-1)
    best = probs.topk(min(top, len(probs)))
    names = [token_text(tokenizer, token) for token in best.indices]
    title = printable(title, 80)
    shares = best.values.tolist()
    others = (probs > 0).sum().item() - (best.values > 0).sum().item()
    rest = max(0.0, 1 - sum(shares))
    told = ", ".join(f"{name} {percent(p)}" for name, p in zip(names, shares, strict=True))
    alt = f"{title}: {told}; the other {others:,} tokens together {percent(rest)}."
    labels = [*map(drawable, names), f"other {others:,}"]

    def paint(axes):
        bars = axes.barh(labels_at := range(len(labels)), [*shares, rest], color=BLUE)
        bars[-1].set(facecolor=GREY, hatch="//", edgecolor="white")
        axes.bar_label(bars, [percent(p) for p in [*shares, rest]], padding=3)
        axes.set_yticks(labels_at, labels)
        axes.invert_yaxis()
        axes.set(title=drawable(title), xlabel="probability", xlim=(0, 1.1 * max(*shares, rest)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    return chart(paint, alt, height=0.9 + 0.27 * len(labels))


_MOST = 40  # bars of a text that are drawn


def surprise(tokenizer, ids: torch.Tensor, bits: torch.Tensor) -> Chart:
    """Draw how surprising each token of a text was: -log2 of the probability it was given.

    ids: (length,) int64. bits: (length,) float, nan where there is no prediction (the first token).
    Of a long text the first 40 tokens are drawn.
    """
    more = max(0, len(ids) - _MOST)
    names = [token_text(tokenizer, token) for token in ids[:_MOST]]
    values = [float(value) for value in bits[:_MOST]]
    told = [
        f"{name} {value:.1f}" for name, value in zip(names, values, strict=True) if value == value
    ]
    alt = f"Surprise in bits: {names[0]} (no prediction), {', '.join(told)}."
    alt += f" {more:,} more tokens are left out." if more else ""
    highest = max((value for value in values if value == value), default=0.0)

    def paint(axes):
        bars = axes.bar(range(len(values)), [0 if v != v else v for v in values], color=BLUE)
        for bar, value in zip(bars, values, strict=True):
            if value == highest:
                bar.set(facecolor=VERMILLION, hatch="//", edgecolor="white")
        axes.bar_label(bars, ["?" if v != v else f"{v:.1f}" for v in values], padding=2)
        axes.set_xticks(range(len(names)), map(drawable, names), rotation=40, ha="right")
        axes.set_xlabel(f"{more:,} more tokens are left out" if more else "")
        axes.set(ylabel="surprise (bits)", ylim=(0, 1.15 * highest or 1))

    return chart(paint, alt, width=min(14.0, 1.5 + 0.55 * len(names)), height=3.2)

"""A grid of what the model reads at each step, with and without a key-value cache."""

from matplotlib.patches import Polygon, Rectangle

from llmcourse.html import BLUE, GREY
from llmcourse.views._chart import Chart, chart


def reading(prompt_length: int, new_tokens: int) -> Chart:
    """Draw two grids, a line for each step and a column for each token: read now, or kept.

    Raises ValueError for lengths below 1.
    """
    if prompt_length < 1 or new_tokens < 1:
        raise ValueError(
            f"prompt_length={prompt_length} and new_tokens={new_tokens} must be at least 1."
        )
    again = sum(prompt_length + step for step in range(new_tokens))
    once = prompt_length + new_tokens - 1
    gap = once + 2
    alt = (
        f"Tokens read in {new_tokens:,} steps after a prompt of {prompt_length:,}. Without a cache "
        f"each step reads everything, a growing triangle of {again:,} tokens. With a cache the "
        f"first step reads the {prompt_length:,} tokens of the prompt and each later step one: "
        f"{once:,} tokens."
    )

    def paint(axes):
        draw = _squares if again <= 400 else _areas
        draw(axes, prompt_length, new_tokens, gap)
        axes.set(xlim=(-0.5, gap + once - 0.5), ylim=(new_tokens - 0.5, -0.5), ylabel="step")
        axes.set_xticks(
            [(once - 1) / 2, gap + (once - 1) / 2],
            [f"without cache: {again:,} tokens read", f"with cache: {once:,} read, the rest kept"],
        )
        if new_tokens <= 30:
            axes.set_yticks(range(new_tokens))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    return chart(paint, alt, width=9.0, height=min(6.0, 0.8 + 0.24 * new_tokens))


def _squares(axes, prompt_length: int, new_tokens: int, gap: int) -> None:
    """Draw a square for each token at each step."""
    for step in range(new_tokens):
        for place in range(prompt_length + step):
            kept = step > 0 and place < prompt_length + step - 1
            axes.add_patch(Rectangle((place - 0.42, step - 0.42), 0.84, 0.84, facecolor=BLUE))
            look = {"facecolor": "white", "edgecolor": GREY} if kept else {"facecolor": BLUE}
            axes.add_patch(Rectangle((gap + place - 0.42, step - 0.42), 0.84, 0.84, **look))


def _areas(axes, prompt_length: int, new_tokens: int, gap: int) -> None:
    """Draw the same for so many tokens that squares could not be told apart."""
    right, below = prompt_length + new_tokens - 1, new_tokens
    corners = [(0, 0), (prompt_length, 0), (right, below), (0, below)]
    axes.add_patch(Polygon(corners, facecolor=BLUE))
    moved = [(gap + x, y) for x, y in corners]
    axes.add_patch(Polygon(moved, facecolor="white", edgecolor=GREY))
    axes.plot(*zip(*moved[:3], strict=True), color=BLUE, linewidth=2.5)

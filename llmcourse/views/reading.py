"""What the model reads at each step, with and without a key-value cache."""

from matplotlib.patches import Rectangle

from llmcourse.views.chart import BLUE, Chart, chart


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
        f"Tokens read in {new_tokens} steps after a prompt of {prompt_length}. Without a cache "
        f"each step reads everything, a growing triangle of {again} tokens. With a cache the "
        f"first step reads the {prompt_length} tokens of the prompt and each later step one: "
        f"{once} tokens."
    )

    def paint(axes):
        for step in range(new_tokens):
            for place in range(prompt_length + step):
                kept = step > 0 and place < prompt_length + step - 1
                axes.add_patch(_square(place, step, read=True))
                axes.add_patch(_square(gap + place, step, read=not kept))
        axes.set(xlim=(-0.5, gap + once), ylim=(new_tokens - 0.4, -0.6), ylabel="step")
        axes.set_xticks(
            [(once - 1) / 2, gap + (once - 1) / 2],
            [f"without cache: {again} tokens read", f"with cache: {once} read, the rest kept"],
        )
        axes.set_yticks(range(new_tokens))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    return chart(paint, alt, width=9.0, height=0.8 + 0.24 * new_tokens)


def _square(x: float, y: float, read: bool) -> Rectangle:
    look = {"facecolor": BLUE} if read else {"facecolor": "white", "edgecolor": "#999999"}
    return Rectangle((x - 0.42, y - 0.42), 0.84, 0.84, **look)

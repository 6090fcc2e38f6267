"""A walk with controls: next, back, run, take another token, other settings, other branches.

Core controls only, which ipywidgets 7 and 8 draw alike in JupyterLab, Colab and VS Code.
"""

import time

import ipywidgets as widgets

from llmcourse.decoding.walk import Pick
from llmcourse.show import in_words, percent, plural, quoted, token_text
from llmcourse.views._live import WIDE, Live, button, labelled, number
from llmcourse.views.walk import Walk, page

_REDRAWN = 0.5  # seconds between two pictures while it runs to the end


class Stepper(Live):
    """A `Walk` with controls. walk: the core, which code can drive too; `redraw` then shows it.

    The controls are attributes: next, back, run, start_over; alternatives, place, take; typed,
    force; draw, temperature, top_k, top_p, min_p, seed; branch, go_to. page: what they change.
    """

    name, shows = "stepper", "the walk"

    def __init__(self, walk: Walk):
        self.walk = walk
        self._drawing = False
        self._make_controls()
        self.lay_out(
            [self.next, self.back, self.run, self.start_over],
            [self.alternatives, self.place, self.take, self.typed, self.force],
            [self.draw, *self._numbers.values()],
            [self.branch, self.go_to],
        )
        self.redraw()

    def _make_controls(self) -> None:
        self.next = self._button("Next token", self._next)
        self.back = self._button("Back", self._back)
        self.run = self._button("Run to the end", self._run)
        self.start_over = self._button("Start over", self._start_over)
        # JupyterLab takes the arrow keys away from a list, so the number beside it does the same.
        self.alternatives = labelled(widgets.Dropdown, "Candidates", 240)
        self.place = number("or its number", 150, 1, 1, 1)
        self.alternatives.observe(self._follow_list, "index")
        self.place.observe(self._follow_number, "value")
        self.take = self._button("Take this one", self._take)
        self.typed = labelled(widgets.Text, "Or type", 220, continuous_update=False)
        self.force = self._button("Force what is typed", self._force)
        self.branch = number("Branch", 110, 0, 0, 1)
        self.go_to = self._button("Go to this branch", self._go_to)
        self.draw = widgets.Checkbox(description="Draw at random", indent=False, style=WIDE)
        self.draw.layout.width = "auto"
        self.temperature = number(
            "Temperature", 165, min(0.1, self.walk.settings.temperature), 100.0, 0.1
        )
        self.top_k = number("Top-k (0: off)", 175, 0, 10_000_000, 1)
        self.top_p = number("Top-p (1: off)", 165, 0.0, 1.0, 0.05)
        self.min_p = number("Min-p (0: off)", 165, 0.0, 1.0, 0.05)
        self.seed = number("Seed", 140, 0, max(2**31 - 1, self.walk.settings.seed), 1)
        names = ("temperature", "top_k", "top_p", "min_p", "seed")
        self._numbers = {name: getattr(self, name) for name in names}
        for name, control in {"sample": self.draw, **self._numbers}.items():
            control.observe(lambda change, name=name: self._change(name, change.new), "value")

    def _button(self, name: str, action) -> widgets.Button:
        return button(name, lambda: self._do(action))

    # What each control does.

    def _next(self) -> str:
        return _said(self.walk.next())

    def _back(self) -> str:
        last = self.walk.picks[-1].text if self.walk.picks else ""
        self.walk.back()
        return f"Took back {last} (it stays in its branch)."

    def _run(self) -> str:
        drawn = time.monotonic()

        def show(pick: Pick) -> None:
            nonlocal drawn
            if time.monotonic() - drawn > _REDRAWN:
                self.page.value = page(self.walk, "Running ...")
                drawn = time.monotonic()

        many = self.walk.run(show)
        return f"Ran {plural(many, 'token')}, to the end of the text."

    def _start_over(self) -> str:
        self.walk.start_over()
        return "Back at the prompt; the branches stay."

    def _take(self) -> str:
        if self.alternatives.value is None:
            raise ValueError("There is no candidate to take; go back, or type a token.")
        return _said(*self.walk.force(self.alternatives.value))

    def _force(self) -> str:
        picks = self.walk.force(self.typed.value)
        self.typed.value = ""
        return _said(*picks)

    def _follow_list(self, change) -> None:
        if not self._drawing and change.new is not None:
            self.place.value = change.new + 1

    def _follow_number(self, change) -> None:
        if not self._drawing and change.new <= len(self.alternatives.options):
            self.alternatives.index = change.new - 1

    def _go_to(self) -> str:
        self.walk.go_to(self.branch.value)
        return f"At the end of branch {self.walk.branch}."

    def _change(self, name: str, value) -> None:
        if self._drawing:
            return

        def change() -> str:
            settings = self.walk.change(**{name: value})
            idle = "" if settings.sample else " The numbers act once tokens are drawn at random."
            return f"From here on, {settings}.{idle}"

        self._do(change)

    def _do(self, action) -> None:
        """Do something and show what came of it; an error is shown in words and breaks nothing."""
        try:
            said = action()
        except Exception as error:
            said = f"That did not work. {in_words(error)}"
        self.redraw(said)

    def redraw(self, note: str = "") -> None:
        """Show the walk as it is now. note: what happened, in words."""
        self._drawing = True
        try:
            self.alternatives.options = self._candidates()
            self.alternatives.index = 0 if self.alternatives.options else None
            self.place.max = max(1, len(self.alternatives.options))
            self.place.value = 1
            self.branch.max = len(self.walk.branches) - 1
            self.branch.value = self.walk.branch
            self.draw.value = self.walk.settings.sample
            for name, control in self._numbers.items():
                control.value = getattr(self.walk.settings, name)
            self.page.value = page(self.walk, note)  # last: the controls are ready once it is read
        finally:
            self._drawing = False

    def _candidates(self) -> list[tuple[str, int]]:
        if self.walk.stop:
            return []
        try:
            candidates = self.walk.distribution().candidates()
        except Exception:  # the page says so
            return []
        tokenizer = self.walk.tokenizer
        return [
            (f"{token_text(tokenizer, token)} {percent(p) if p else 'dropped'}", token)
            for token, _, p in candidates
        ]

    def __repr__(self) -> str:
        return repr(self.walk)

    def _repr_html_(self) -> str:
        return self.walk._repr_html_()


def stepper(model, tokenizer, prompt, **generate_kwargs) -> Stepper:
    """Walk through generation with controls: step, take another token, change the settings.

    prompt: a text, ids of shape (1, length), or what a tokenizer returns for one text.
    generate_kwargs: what `model.generate` takes, for greedy decoding or sampling, and `seed=`.
    With the keyboard alone: Tab, Space for a button, the arrows in a number box.
    Raises what `Walk` raises.
    """
    return Stepper(Walk(model, tokenizer, prompt, **generate_kwargs))


def _said(*picks: Pick) -> str:
    words = {"forced": "forced", "drawn": "drawn", "likeliest": "the likeliest"}
    each = [
        f"{quoted(pick.text)} ({words[pick.how]}; {percent(pick.p)}, "
        f"the model gave it {percent(pick.raw)})"
        for pick in picks
    ]
    return f"Added {', '.join(each)}."

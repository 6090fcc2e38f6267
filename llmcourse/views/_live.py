"""What the live views share: controls, one HTML that they change, and a form without a kernel.

Core controls only, which ipywidgets 7 and 8 draw alike in JupyterLab, Colab and VS Code.
"""

from collections.abc import Callable, Sequence

import ipywidgets as widgets
from IPython.display import display

from llmcourse.html import noted
from llmcourse.show import in_words

WIDE = {"description_width": "initial"}


class Controls(widgets.VBox):
    """A box that says what it is where it cannot be drawn."""

    def __init__(self, name: str, children: Sequence[widgets.Widget]):
        super().__init__(children)
        self.view_name = name

    def __repr__(self) -> str:
        return f"The {self.view_name} needs a kernel: run this cell to use it."


class Live:
    """A view with controls: box, all that is drawn; page, the HTML in it that the controls change.

    name: what the view is called. shows: what it shows, with an article.
    """

    name = "view"
    shows = "the view"

    def lay_out(self, *rows: Sequence[widgets.Widget]) -> None:
        """Make the box: rows of controls, the page under them."""
        self.page = widgets.HTML()
        wrap = widgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="2px 10px")
        lines = [widgets.HBox(row, layout=wrap) for row in rows]
        self.box = Controls(self.name, [*lines, self.page])

    def _repr_html_(self) -> str:
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        display(self.box)
        title = f"Without a kernel: {self.shows} as it was when this cell ran"
        still = f"<details open><summary>{title}</summary>{self._repr_html_()}</details>"
        display({"text/html": still, "text/plain": repr(self)}, raw=True)


class Picture(Live):
    """A live view that draws one other view again and again, from what its controls say.

    view: what was drawn last, None before the first. note: the line above it.
    """

    view, note = None, ""

    def make(self) -> tuple[object, str]:
        """Return the view to draw, and a line to stand above it."""
        raise NotImplementedError

    def redraw(self, note: str = "") -> None:
        """Draw what the controls say. note: what happened, in words.

        An error is shown in words above what was drawn before, and breaks nothing.
        """
        try:
            self.view, self.note = self.make()
        except Exception as error:
            before = " Below is what was shown before." if self.view is not None else ""
            note = f"That did not work. {in_words(error)}{before}"
            self.note = self.note or note
            self.page.value = noted(note, self._drawn())
        else:
            self.page.value = noted(f"{note} {self.note}".strip(), self._drawn())

    def _drawn(self) -> str:
        return "" if self.view is None else self.view._repr_html_()

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self.note, "" if self.view is None else repr(self.view)]))

    def _repr_html_(self) -> str:
        return noted(self.note, self._drawn())


def button(name: str, action: Callable[[], object]) -> widgets.Button:
    """Return a button that does `action`."""
    made = widgets.Button(description=name, layout=widgets.Layout(width="auto"))
    made.on_click(lambda _: action())
    return made


def labelled(kind, name: str, width: int, **more):
    """Return a control of `kind` with its whole name before it, `width` pixels in all."""
    return kind(description=name, style=WIDE, layout=widgets.Layout(width=f"{width}px"), **more)


def number(name: str, width: int, least, most, step, **more):
    """Return a box for a number, whole if `step` is; the arrow keys change it by `step`."""
    kind = widgets.BoundedIntText if isinstance(step, int) else widgets.BoundedFloatText
    return labelled(kind, name, width, min=least, max=most, step=step, **more)

"""What a test presses and breaks in a live view: its controls, and a model that fails."""

CORE = {"Button", "Dropdown", "BoundedIntText", "BoundedFloatText"}


def controls(made) -> list:
    """Return the controls of a live view, those above its page."""
    rows = [row for row in made.box.children if row is not made.page]
    return [control for row in rows for control in row.children]


class Broken:
    """A hook that lets a model fail in its second layer, when it is told to."""

    def __init__(self, model, words: str):
        self.on, self.words = False, words
        model.model.layers[1].register_forward_pre_hook(self)

    def __call__(self, module, args):
        if self.on:
            raise RuntimeError(self.words)

"""One next token under the learner's own temperature, top-k, top-p and min-p, live."""

import ipywidgets as widgets
import torch

from llmcourse import rules
from llmcourse.decoding.walk import Walk
from llmcourse.views._live import Picture, labelled, number
from llmcourse.views.next_token import NextToken, next_token

_OFF = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}  # the settings that can be turned
_PLACES = {place.setting: place for place in rules.ORDER if place.setting in _OFF}
_ORDERS = {  # by what the list says; the first is the one of `generate`
    "temperature, top-k, top-p": tuple(_PLACES),
    "top-p first": ("top_p", "temperature", "top_k", "min_p"),
}


class Explore(Picture):
    """The next token of a text, raw and after each rule that is on.

    ids: (length,) int64, the text. logits: (vocab,) float32, what the model gave for its next
    token, once. The controls are attributes: temperature, top_k, top_p, min_p, order. page: what
    they change; view: the `NextToken` in it.
    """

    name, shows = "explorer", "the next token"

    def __init__(self, tokenizer, ids: torch.Tensor, logits: torch.Tensor):
        self.tokenizer, self.ids, self.logits = tokenizer, ids, logits
        self.temperature = number("Temperature (1: off)", 210, 0.0, 100.0, 0.1, value=1.0)
        self.top_k = number("Top-k (0: off)", 175, 0, 10_000_000, 1)
        self.top_p = number("Top-p (1: off)", 165, 0.0, 1.0, 0.05, value=1.0)
        self.min_p = number("Min-p (0: off)", 165, 0.0, 1.0, 0.05)
        self.order = labelled(widgets.Dropdown, "Order", 250, options=list(_ORDERS))
        numbers = [getattr(self, name) for name in _OFF]
        self.lay_out([*numbers, self.order])
        for control in [*numbers, self.order]:
            control.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def make(self) -> tuple[NextToken, str]:
        """Return the next token as the controls say, and which rules made it so, in words."""
        values = {name: getattr(self, name).value for name in _ORDERS[self.order.value]}
        on = {name: value for name, value in values.items() if value != _OFF[name]}
        made = [_PLACES[name].bind(value) for name, value in on.items()]
        said = ", then ".join(f"{name.replace('_', '-')} {value:g}" for name, value in on.items())
        view = next_token(self.tokenizer, self.ids, self.logits, made)
        return view, f"The model's own distribution, then {said}." if on else "No rule is on."


def explore(model, tokenizer, prompt) -> Explore:
    """Turn temperature, top-k, top-p and min-p and watch the next token; the model runs once.

    prompt: a text, ids of shape (1, length), or what a tokenizer returns for one text. No other
    rule of the model's generation config runs. Min-p is the last rule in both orders. Raises what
    `Walk` raises, and what the model does.
    """
    walk = Walk(model, tokenizer, prompt, num_beams=1, num_return_sequences=1, max_new_tokens=1)
    return Explore(tokenizer, torch.tensor(walk.prompt), walk.distribution().logits.cpu())

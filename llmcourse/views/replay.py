"""Steps that were made already, one at a time, forwards and back."""

from collections.abc import Iterable

from llmcourse.decoding.beam import BeamStep
from llmcourse.decoding.loop import Step
from llmcourse.decoding.speculative import Round
from llmcourse.show import printable
from llmcourse.views._live import Picture, button, number
from llmcourse.views.beams import Beams, beams
from llmcourse.views.drafts import Drafts, drafts
from llmcourse.views.next_token import NextToken, next_token

_BEAM_STEPS, _ROUNDS = 10, 30  # shown at once, the newest ones
_TOLD = 200  # characters of the text


class Replay(Picture):
    """Steps with controls, which are attributes: previous, next, step. page: what they change.

    steps: those of one row, up to the one that ended it; view: what is drawn of one of them.
    """

    name, shows = "replay", "the step"

    def __init__(self, tokenizer, steps: list, row: int):
        self.tokenizer, self.steps, self.row = tokenizer, steps, row
        first, last = steps[0].index, steps[-1].index
        self.previous = button("Previous", lambda: self._go(-1))
        self.step = number("Step", 130, first, max(first, last), 1, value=first)
        self.next = button("Next", lambda: self._go(1))
        self.lay_out([self.previous, self.step, self.next])
        self.step.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def _go(self, by: int) -> None:
        if self.step.min <= self.step.value + by <= self.step.max:
            self.step.value += by
        else:
            self.redraw(f"There is no {'next' if by > 0 else 'previous'} step.")

    def make(self) -> tuple[NextToken | Beams | Drafts, str]:
        """Return a view of the step that is asked for, and where in the run it is, in words."""
        place = self.step.value - self.step.min
        so_far = self.steps[: place + 1]
        kind = "Round" if isinstance(so_far[-1], Round) else "Step"
        said = f"{kind} {self.step.value} of {self.step.min} to {self.step.max}."
        if isinstance(so_far[-1], BeamStep):
            start = max(self.step.min, self.step.value + 1 - _BEAM_STEPS)
            return beams(self.tokenizer, so_far, self.row, start, _BEAM_STEPS), said
        if isinstance(so_far[-1], Round):
            shown = so_far[-_ROUNDS:]
            cut = f" Counted are rounds {shown[0].index} to {shown[-1].index}."
            view = drafts(self.tokenizer, shown, _ROUNDS)
            return view, said + (cut if len(shown) < len(so_far) else "")
        text = self.tokenizer.decode([int(step.chosen[self.row]) for step in so_far])
        cut = "… " if len(text) > _TOLD else ""
        return self._of_one(
            so_far[-1]
        ), f"{said} The new text so far: {cut}{printable(text[-_TOLD:])}"

    def _of_one(self, step: Step) -> NextToken:
        logits, scores = step.logits[self.row], step.scores[self.row]

        def all_rules(ids, before):
            return scores[None]

        rules = [] if logits.equal(scores) else [all_rules]
        reason = step.stop_reasons[self.row]
        title = f"Step {step.index}" + (f", the last one ({reason})" if reason else "")
        chosen = step.chosen[self.row]
        ids = step.fed[self.row]
        return next_token(self.tokenizer, ids, logits, rules, chosen=chosen, title=title)


def replay(tokenizer, steps: Iterable[Step | Round], row: int = 0) -> Replay:
    """Look at steps again, one at a time: the next token, the tree of beams, or the drafts.

    steps: what `llmcourse.steps` yields; they are all kept. row: which row of the batch, or which
    prompt of a beam search. Of beams the 10 steps up to one are drawn, of drafts 30 rounds. Raises
    TypeError for anything but steps of one kind, ValueError where there are none, where one is left
    out between others, or where there is no such row.
    """
    made = []
    for step in steps:
        _check(step, made, row)
        made.append(step)
        if step.finished[row]:
            break
    if not made:
        raise ValueError("steps is empty; pass what llmcourse.steps yields, a new one each time.")
    return Replay(tokenizer, made, row)


def _check(step, before: list, row: int) -> None:
    if not isinstance(step, Step | Round) or (before and type(step) is not type(before[0])):
        raise TypeError(
            f"steps holds a {type(step).__name__}; pass what one call of llmcourse.steps yields."
        )
    if not 0 <= row < len(step.finished):
        raise ValueError(f"row={row}: the steps have rows 0 to {len(step.finished) - 1}.")
    if before and step.index != before[-1].index + 1:
        raise ValueError(
            f"steps goes from {before[-1].index} to {step.index}; pass steps that follow on."
        )

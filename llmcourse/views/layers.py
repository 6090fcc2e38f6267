"""What the table of the last step would say after each layer: how a guess comes to be."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmcourse import html
from llmcourse.show import Table, cut, percent, plural, printable, quoted, token_text

_FIRST, _LAST = 8, 32  # layers of a deep model that are shown
_LONGEST = 18  # characters of a token
_LEADS = html.tinted(html.BLUE_TINT, "2px solid", html.BLUE)


@dataclass(frozen=True)
class Reading:
    """What the table would say after one layer."""

    layer: int  # 0: before the first
    guesses: tuple[tuple[str, float], ...]  # the likeliest tokens, each with its probability
    p: float  # probability of the token that the last line finds likeliest
    rank: int  # that token's place; 1 if none is likelier


@dataclass(frozen=True, eq=False)
class Layers:
    """One position, read after each layer. Of a deep model the middle is left out."""

    readings: Sequence[Reading]  # from the first layer to the last
    answer: str  # the token that the last line finds likeliest
    left_out: int  # readings in the middle
    title: str

    @property
    def caption(self) -> str:
        """What the table shows, in words: from which layer on the last guess leads."""
        since = self.readings[-1].layer
        for reading in reversed(self.readings):
            if reading.rank > 1:
                break
            since = reading.layer
        leads = f"leads from layer {since} on" if since else "leads from the start"
        all_read = len(self.readings) > self.readings[-1].layer
        of = "" if all_read else ", of those shown"
        return f"{self.title}: {quoted(self.answer)} {leads}{of}"

    @property
    def _headers(self) -> list[str]:
        return ["after layer", "the table would say", self.answer, "its rank"]

    def table(self) -> Table:
        """Return a table with a line for each layer: its likeliest tokens, the last one's place."""
        rows = [[str(one.layer), _said(one), percent(one.p), _rank(one)] for one in self.readings]
        if self.left_out:
            rows.insert(_FIRST, ["…", self._middle(), "", ""])
        return Table(self.caption, self._headers, rows)

    def _middle(self) -> str:
        return f"… {plural(self.left_out, 'layer')} left out …"

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        rows = [_row(one) for one in self.readings]
        if self.left_out:
            rows.insert(_FIRST, html.row([html.cell(self._middle(), columns=4)]))
        notes = [f"Framed: {quoted(self.answer)} is the likeliest."]
        return html.table(self.caption, self._headers, rows, notes=notes)


def _said(one: Reading) -> str:
    return ", ".join(f"{quoted(text)} {percent(p)}" for text, p in one.guesses)


def _rank(one: Reading) -> str:
    """Return a rank as precise as the last digits of a float allow it to be."""
    for most in (10, 100, 1000):
        if one.rank <= most:
            return str(one.rank) if most == 10 else f"{most // 10 + 1} to {most:,}"
    return "over 1,000"


def _row(one: Reading) -> str:
    share = html.escape(percent(one.p)) + html.bar(one.p, html.BLUE)
    return html.row(
        [
            html.header(str(one.layer), "row"),
            html.cell(html.escape(_said(one)), html.MONO),
            html.cell(share, "min-width:90px"),
            html.cell(_rank(one), _LEADS if one.rank == 1 else ""),
        ]
    )


def layers(
    tokenizer,
    logits: torch.Tensor,
    numbers: Sequence[int] | None = None,
    *,
    top: int = 3,
    title: str = "Each layer's guess",
) -> Layers:
    """Show what the last step's table would say of one position after each layer.

    logits: (layers, vocab) float, for each layer its hidden state, normed as before the last step,
    times the table. numbers: of these layers, 0 for the embedding; 0, 1, 2 ... where none are
    given. top: guesses a line. The last line's likeliest token is followed. Of more than 40 lines
    the first 8 and the last 32 are shown. A reading, not something that the model computes. Raises
    ValueError for other shapes, for as many numbers as there are no lines, and for a `top` below 1.
    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    if logits.dim() != 2 or not logits.numel():
        raise ValueError(
            f"logits has shape {tuple(logits.shape)}; pass a line for each layer, (layers, vocab)."
        )
    if top < 1:
        raise ValueError(f"top={top} shows no guess; pass 1 or more, such as 3.")
    numbers = list(range(len(logits))) if numbers is None else [int(one) for one in numbers]
    if len(numbers) != len(logits):
        raise ValueError(
            f"numbers names {plural(len(numbers), 'layer')}, and logits has "
            f"{plural(len(logits), 'line')}; pass one number for each."
        )
    probs = logits.detach().float().softmax(-1)
    answer = int(probs[-1].argmax())
    shown = list(range(len(probs)))
    if len(shown) > _FIRST + _LAST:
        shown = [*shown[:_FIRST], *shown[-_LAST:]]

    def name(token: int) -> str:
        return cut(token_text(tokenizer, token), _LONGEST)

    def reading(line: int) -> Reading:
        best = probs[line].topk(min(top, probs.shape[1]))
        guesses = zip(map(name, best.indices.tolist()), best.values.tolist(), strict=True)
        rank = 1 + int((logits[line] > logits[line, answer]).sum())  # probabilities may all be 0
        p = probs[line, answer].item()
        return Reading(layer=numbers[line], guesses=tuple(guesses), p=p, rank=rank)

    return Layers(
        readings=[reading(line) for line in shown],
        answer=name(answer),
        left_out=len(probs) - len(shown),
        title=printable(title, 80),
    )

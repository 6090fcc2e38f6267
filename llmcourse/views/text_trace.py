"""A generated text, token by token: how sure the model was, what else it might have said, the end.

Where `trace` draws a few steps side by side, this shows a whole text to read.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch

from llmcourse.decoding.loop import Step
from llmcourse.decoding.speculative import Round
from llmcourse.show import Table, escape, percent, printable, token_text
from llmcourse.views import _cells as cells
from llmcourse.views._cells import cut, plural, prose

_FIRST, _LAST = 100, 50  # tokens of a long text that are shown; more would take too many bytes
_LONGEST = 18  # characters of a token
_LAST_OF_PROMPT = 60
_BITS_OF_DARKEST = 10  # surprise above this is shaded alike
_SHADES = {"probability": (0x56, 0xB4, 0xE9), "surprise": (0xE6, 0x9F, 0x00)}  # black reads at 9:1


@dataclass(frozen=True)
class Traced:
    """One new token. place: 0 for the first. p: its probability after the rules. rank: 1 if no
    token was likelier. alternatives: (text, p) of the likeliest others. milliseconds: of the step.
    """

    place: int
    text: str
    p: float
    rank: int
    alternatives: tuple[tuple[str, float], ...]
    milliseconds: float
    special: bool

    @property
    def bits(self) -> float:
        """Return its surprise, -log2 p."""
        return -math.log2(self.p) if self.p > 0 else math.inf

    def number(self, by: str) -> str:
        """Say its probability, or its surprise, in a few characters."""
        return percent(self.p) if by == "probability" else f"{self.bits + 0.0:.1f}"


@dataclass(frozen=True, eq=False)
class TextTrace:
    """A prompt and the tokens that were generated after it.

    prompt: token texts, (text, special) each, the last of `prompt_length`. new: the tokens shown,
    of `new_length`; in a long text the middle is left out. end: why it stopped, a sentence.
    """

    prompt: tuple[tuple[str, bool], ...]
    prompt_length: int
    new: tuple[Traced, ...]
    new_length: int
    mean_probability: float
    end: str
    by: str
    seconds: bool

    @property
    def caption(self) -> str:
        """What the trace shows, in words."""
        told = f"{plural(self.new_length, 'new token')} after a prompt of {self.prompt_length:,}"
        if not self.new:
            return f"{told}. {self.end}"
        least = min(self.new, key=lambda token: token.p)
        others = sum(token.rank > 1 for token in self.new)
        likeliest = (
            f"{others} not the likeliest of {'its' if others == 1 else 'their'} step"
            if others
            else "each the likeliest of its step"
        )
        return (
            f"{told}: mean probability {percent(self.mean_probability)}; least likely {least.text} "
            f"(token {least.place}) with {percent(least.p)}, {least.bits:.1f} bits; "
            f"{likeliest}. {self.end}"
        )

    def table(self) -> Table:
        """Return a table with a line for each new token that is shown."""
        headers = ["", "token", "probability", "bits", "rank"]
        headers += ["ms"] * self.seconds + ["instead of"]
        rows = []
        for place, token in enumerate(self.new):
            if place and token.place > self.new[place - 1].place + 1:
                rows.append(["…", self._left_out(), *[""] * (len(headers) - 2)])
            rows.append(self._line(token))
        return Table("Each new token, and what was likely in its place", headers, rows)

    def _line(self, token: Traced) -> list[str]:
        others = ", ".join(f"{text} {percent(p)}" for text, p in token.alternatives)
        line = [str(token.place), token.text, percent(token.p), f"{token.bits + 0.0:.1f}"]
        return [*line, f"{token.rank:,}", *[f"{token.milliseconds:.1f}"] * self.seconds, others]

    def _left_out(self) -> str:
        return f"… {plural(self.new_length - len(self.new), 'token')} left out …"

    def _prompt_left_out(self) -> str:
        more = self.prompt_length - len(self.prompt)
        return f"… {plural(more, 'token')} before … " if more > 0 else ""

    def __repr__(self) -> str:
        prompt = self._prompt_left_out() + " ".join(text for text, _ in self.prompt)
        table = [repr(self.table()), f"The end. {self.end}"] if self.new else []
        return "\n".join([self.caption, f"Prompt: {prompt}", *table])

    def _repr_html_(self) -> str:
        prompt = "".join(_prompt_chip(text, special) for text, special in self.prompt)
        before = self._prompt_left_out()
        chips = []
        for place, token in enumerate(self.new):
            if place and token.place > self.new[place - 1].place + 1:
                chips.append(f"<div><b>{self._left_out()}</b></div>")
            chips.append(self._chip(token))
        mono = "font-family:monospace;margin:2px 0 8px 0"
        parts = [
            f"<div><b>{escape(self.caption)}</b></div>",
            f'<div style="margin-top:6px">Prompt: {plural(self.prompt_length, "token")}</div>'
            f'<div style="{mono}">{before}{prompt}</div>',
        ]
        if self.new:
            parts.append(f'<div>{self._legend()}</div><div style="{mono}">{"".join(chips)}</div>')
            parts.append(f"<div><b>■ The end.</b> {escape(self.end)}</div>")
            parts.append(self._details())
        return "".join(parts)

    def _legend(self) -> str:
        of = {"probability": "its probability", "surprise": "its surprise in bits"}[self.by]
        least, most = {"probability": ("0%", "100%"), "surprise": ("0 bits", "10 bits or more")}[
            self.by
        ]
        scale = "".join(
            f'<span style="{_chip_style(self.by, share)};width:18px">&#160;</span>'
            for share in (0, 0.25, 0.5, 0.75, 1)
        )
        told = ["#2: not the likeliest but second"] * any(token.rank > 1 for token in self.new)
        told += ["dashed: special"] * any(token.special for token in self.new)
        more = "".join(f"; {one}" for one in told)
        return (
            f"New: {plural(self.new_length, 'token')}, under each {of}: "
            f'<span style="white-space:nowrap">{least} {scale} {most}</span>{more}'
        )

    def _chip(self, token: Traced) -> str:
        share = min(1, token.p if self.by == "probability" else token.bits / _BITS_OF_DARKEST)
        under = token.number(self.by) + (f" #{token.rank:,}" if token.rank > 1 else "")
        time = f"<br><small>{token.milliseconds:.1f} ms</small>" if self.seconds else ""
        border = "2px dashed" if token.special else "2px solid" if token.rank > 1 else "1px solid"
        return (
            f'<span style="{_chip_style(self.by, share, border)}">{escape(token.text)}'
            f"<br><small>{under}</small>{time}</span>"
        )

    def _details(self) -> str:
        table = self.table()
        rows = [
            cells.row(escape(head), [escape(cell) for cell in line]) for head, *line in table.rows
        ]
        folded = cells.table(table.caption, ["step", *table.headers[1:]], rows)
        return f"<details><summary>Every step with its alternatives</summary>{folded}</details>"


def _prompt_chip(text: str, special: bool) -> str:
    border = "2px dashed #767676" if special else "1px dotted #767676"
    return (
        f'<span style="display:inline-block;margin:1px;padding:0 3px;border:{border}">'
        f"{escape(text)}</span>"
    )


def _chip_style(by: str, share: float, border: str = "1px solid") -> str:
    """Return a shade from white (share 0) to the colour of `by` (share 1), with black text."""
    color = "".join(f"{round(255 + share * (most - 255)):02X}" for most in _SHADES[by])
    edge = "#D55E00" if border == "2px solid" else "#767676"
    return (
        "display:inline-block;margin:2px;padding:0 5px;text-align:center;"
        f"background:#{color};color:#000;border:{border} {edge}"
    )


class Event(NamedTuple):
    """One new token of one row."""

    probs: torch.Tensor  # (vocab,)
    chosen: int
    seconds: float
    reason: str | None


def events(steps: Iterable[Step | Round], row: int) -> Iterator[Event]:
    """Yield the new tokens of a row until it is finished; a step's time is shared out evenly."""
    for step in steps:
        tokens = step.new_tokens()
        batch = len(step.finished)
        if not 0 <= row < batch:
            rows = "one row: row=0" if batch == 1 else f"{batch} rows: pass 0 to {batch - 1}"
            raise ValueError(f"row={row} does not exist; the batch has {rows}.")
        seconds = step.seconds / len(tokens)
        for token in tokens:
            reason = step.stop_reasons[row]
            yield Event(token.probs[row], int(token.chosen[row]), seconds, reason)
        if step.finished[row]:
            return


def text_trace(
    tokenizer,
    prompt_ids,
    steps: Iterable[Step | Round],
    *,
    row: int = 0,
    by: str = "probability",
    seconds: bool = False,
    top: int = 4,
) -> TextTrace:
    """Show a generated text, each token shaded by its probability or its surprise.

    prompt_ids: (length,) or (batch, length) int64, or what a tokenizer returns, whose mask then
    hides the padding. steps: what `llmcourse.steps` yields, rounds of drafts included. row: which
    row of the batch. by: "probability" (after the rules) or "surprise" (its -log2, in bits).
    seconds: whether to show each step's time. top: alternatives to tell, 0 to 6. Of a long text
    the first 100 and the last 50 new tokens are shown. Raises ValueError for another `by` or
    `top`, a row that is not there, and for the steps of a beam search.
    """
    if by not in _SHADES:
        raise ValueError(f"by={by!r} is not known; pass 'probability' or 'surprise'.")
    if not 0 <= top <= 6:
        raise ValueError(f"top={top} is out of range; pass a whole number from 0 to 6.")
    prompt = prompt_row(prompt_ids, row)
    special = set(tokenizer.all_special_ids)
    names: dict[int, str] = {}

    def named(token: int) -> str:
        if token not in names:
            names[token] = cut(token_text(tokenizer, token), _LONGEST)
        return names[token]

    def traced(place: int, event: Event) -> Traced:
        p = event.probs[event.chosen]
        best = event.probs.topk(min(top + 1, len(event.probs)))
        others = [
            (named(token), share)
            for token, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            if token != event.chosen and share > 0
        ]
        return Traced(
            place,
            named(event.chosen),
            float(p),
            int((event.probs > p).sum()) + 1,
            tuple(others[:top]),
            1000 * event.seconds,
            event.chosen in special,
        )

    length, total, reason = 0, 0.0, None
    first, last = [], deque(maxlen=_LAST)
    for length, event in enumerate(events(steps, row), start=1):
        total, reason = total + float(event.probs[event.chosen]), event.reason
        (first if length <= _FIRST else last).append((length - 1, event))
    new = tuple(traced(place, event) for place, event in [*first, *last])
    return TextTrace(
        prompt=tuple((named(t), t in special) for t in islice(prompt, *_end_of(prompt))),
        prompt_length=len(prompt),
        new=new,
        new_length=length,
        mean_probability=total / length if length else 0.0,
        end=prose(why(reason), 400),
        by=by,
        seconds=seconds,
    )


def _end_of(prompt: list[int]) -> tuple[int, None]:
    return max(0, len(prompt) - _LAST_OF_PROMPT), None


def prompt_row(prompt_ids, row: int) -> list[int]:
    """Return the ids of one prompt, without the padding if there is a mask."""
    mask = None
    if hasattr(prompt_ids, "keys"):
        prompt_ids, mask = prompt_ids["input_ids"], prompt_ids.get("attention_mask")
    ids = torch.as_tensor(prompt_ids)
    if ids.dim() == 1:
        return ids.tolist()
    if not 0 <= row < len(ids):
        raise ValueError(f"row={row} does not exist; prompt_ids has shape {tuple(ids.shape)}.")
    return (ids[row] if mask is None else ids[row][torch.as_tensor(mask)[row].bool()]).tolist()


def why(reason: str | None) -> str:
    """Say in a sentence why a text stopped; reason: of a step, None if it was still running."""
    if reason is None:
        return "It did not stop: no more steps were taken."
    return printable(getattr(reason, "sentence", "") or f"It stopped: {reason}.")

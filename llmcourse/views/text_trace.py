"""A generated text, token by token: how sure the model was, what else it might have said, the end.

Where `trace` draws a few steps side by side, this shows a whole text to read.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import NamedTuple

import torch

from llmcourse import html
from llmcourse.decoding.loop import Step
from llmcourse.decoding.speculative import Round
from llmcourse.show import Table, cut, percent, plural, printable, quoted, token_text
from llmcourse.views.next_token import likeliest

_FIRST, _LAST = 100, 50  # tokens of a long text that are shown; more would take too many bytes
_LONGEST = 18  # characters of a token
_LAST_OF_PROMPT = 60
_BITS_OF_DARKEST = 10  # surprise above this is shaded alike
_TEXT = f"{html.MONO}margin:2px 0 8px 0"
_SHADES = {"probability": html.SKY, "surprise": html.ORANGE}  # black reads on them at 9:1
_SCALES = {  # what is under each token, and what the palest and the darkest shade stand for
    "probability": ("its probability", "0%", "100%"),
    "surprise": ("its surprise in bits", "0 bits", "10 bits or more"),
}


@dataclass(frozen=True)
class Traced:
    """One new token."""

    place: int  # 0 for the first
    text: str
    p: float  # its probability, after the rules
    rank: int  # 1 if no token was likelier
    alternatives: tuple[tuple[str, float], ...]  # the likeliest others, each with its probability
    milliseconds: float  # of its step
    special: bool

    @property
    def bits(self) -> float:
        """Return its surprise, -log2 p."""
        return -math.log2(self.p) if self.p > 0 else math.inf

    def number(self, by: str) -> str:
        """Return its probability, or its surprise, in a few characters."""
        return percent(self.p) if by == "probability" else f"{self.bits + 0.0:.1f}"


@dataclass(frozen=True, eq=False)
class TextTrace:
    """A prompt and the tokens that were generated after it."""

    prompt: tuple[tuple[str, bool], ...]  # its last tokens: (text, special) of each
    prompt_length: int  # tokens, shown or not
    new: tuple[Traced, ...]  # the tokens shown; of a long text the middle is left out
    new_length: int  # tokens, shown or not
    mean_probability: float  # of all new tokens
    end: str  # why it stopped, a sentence
    by: str  # what the shades stand for: "probability" or "surprise"
    seconds: bool  # whether the time of each step is shown

    @property
    def caption(self) -> str:
        """What the trace shows, in words."""
        said = f"{plural(self.new_length, 'new token')} after a prompt of {self.prompt_length:,}"
        if not self.new:
            return f"{said}. {self.end}"
        least = min(self.new, key=lambda token: token.p)
        others = sum(token.rank > 1 for token in self.new)
        likeliest = (
            f"{others} not the likeliest of {'its' if others == 1 else 'their'} step"
            if others
            else "each the likeliest of its step"
        )
        return (
            f"{said}: mean probability {percent(self.mean_probability)}; least likely "
            f"{quoted(least.text)} (token {least.place}) with {percent(least.p)}, "
            f"{least.bits:.1f} bits; {likeliest}. {self.end}"
        )

    def table(self) -> Table:
        """Return a table with a line for each new token that is shown."""
        time = ["ms"] if self.seconds else []
        headers = ["", "token", "probability", "bits", "rank", *time, "instead of"]
        rows = []
        for token in self.new:
            if token.place == self._resumes_at():
                rows.append(["…", self._left_out(), *[""] * (len(headers) - 2)])
            rows.append(self._line(token))
        return Table("Each new token, and what was likely in its place", headers, rows)

    def _line(self, token: Traced) -> list[str]:
        others = ", ".join(f"{quoted(text)} {percent(p)}" for text, p in token.alternatives)
        time = [f"{token.milliseconds:.1f}"] if self.seconds else []
        line = [str(token.place), token.text, percent(token.p), token.number("surprise")]
        return [*line, f"{token.rank:,}", *time, others]

    def _resumes_at(self) -> int | None:
        """Return the place of the first token after the middle that is left out."""
        left_out = self.new_length - len(self.new)
        return _FIRST + left_out if left_out else None

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
        before = html.escape(self._prompt_left_out())
        parts = [
            f"<div><b>{html.escape(self.caption)}</b></div>",
            f'<div style="margin-top:6px">Prompt: {plural(self.prompt_length, "token")}</div>',
            f'<div style="{_TEXT}">{before}{prompt}</div>',
        ]
        if self.new:
            parts += [
                f'<div>{self._legend()}</div><div style="{_TEXT}">{self._chips()}</div>',
                f"<div><b>■ The end.</b> {html.escape(self.end)}</div>",
                f"<details><summary>Every step with its alternatives</summary>{self._steps()}"
                "</details>",
            ]
        return "".join(parts)

    def _legend(self) -> str:
        what, least, most = _SCALES[self.by]
        shades = (_shade(self.by, share) for share in (0, 0.25, 0.5, 0.75, 1))
        scale = "".join(html.chip("\u00a0", f"{shade}width:18px;") for shade in shades)
        more = ""
        if any(token.rank > 1 for token in self.new):
            more += "; #2: not the likeliest but second"
        if any(token.special for token in self.new):
            more += "; dashed: special"
        return (
            f"New: {plural(self.new_length, 'token')}, under each {what}: "
            f'<span style="white-space:nowrap">{least} {scale} {most}</span>{more}'
        )

    def _chips(self) -> str:
        chips = []
        for token in self.new:
            if token.place == self._resumes_at():
                chips.append(f"<div><b>{self._left_out()}</b></div>")
            chips.append(self._chip(token))
        return "".join(chips)

    def _chip(self, token: Traced) -> str:
        share = min(1, token.p if self.by == "probability" else token.bits / _BITS_OF_DARKEST)
        under = [token.number(self.by) + (f" #{token.rank:,}" if token.rank > 1 else "")]
        if self.seconds:
            under.append(f"{token.milliseconds:.1f} ms")
        border, color = "1px solid", html.GREY
        if token.rank > 1:
            border, color = "2px solid", html.VERMILLION
        if token.special:
            border, color = "2px dashed", html.GREY
        return html.chip(token.text, _shade(self.by, share, border, color), *under)

    def _steps(self) -> str:
        table = self.table()
        return replace(table, headers=["step", *table.headers[1:]])._repr_html_()


def _prompt_chip(text: str, special: bool) -> str:
    return html.chip(text, html.outlined("2px dashed" if special else "1px dotted"))


def _shade(by: str, share: float, border: str = "1px solid", color: str = html.GREY) -> str:
    """Return a shade from white (share 0) to the colour of `by` (share 1), with black text."""
    darkest = bytes.fromhex(_SHADES[by].removeprefix("#"))
    shade = "".join(f"{round(255 + share * (most - 255)):02X}" for most in darkest)
    return html.tinted(f"#{shade}", border, color)


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
    seconds: whether to show each step's time. top: alternatives to show, 0 to 6. Of a long text
    the first 100 and the last 50 new tokens are shown. Raises ValueError for another `by` or
    `top`, a row that is not there, and for the steps of a beam search.
    """
    if by not in _SHADES:
        raise ValueError(f"by={by!r} is not known; pass 'probability' or 'surprise'.")
    if not 0 <= top <= 6:
        raise ValueError(f"top={top} is out of range; pass a whole number from 0 to 6.")
    prompt = prompt_row(prompt_ids, row)
    special = set(tokenizer.all_special_ids)
    named = cache(lambda token: cut(token_text(tokenizer, token), _LONGEST))

    def traced(place: int, event: Event) -> Traced:
        return _traced(place, event, named=named, special=special, top=top)

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
        end=printable(why(reason)),
        by=by,
        seconds=seconds,
    )


def _traced(
    place: int, event: Event, *, named: Callable[[int], str], special: set[int], top: int
) -> Traced:
    p = event.probs[event.chosen]
    others = [
        (named(token), share)
        for token, share in likeliest(event.probs, top + 1)
        if token != event.chosen and share > 0
    ]
    return Traced(
        place=place,
        text=named(event.chosen),
        p=float(p),
        rank=int((event.probs > p).sum()) + 1,
        alternatives=tuple(others[:top]),
        milliseconds=1000 * event.seconds,
        special=event.chosen in special,
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

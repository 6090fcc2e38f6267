"""Several ways of decoding one prompt, side by side: where their texts part, at what price."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

import torch

from llmcourse import html
from llmcourse.decoding.beam import BeamStep
from llmcourse.decoding.generate import steps as walk_of
from llmcourse.decoding.loop import Step
from llmcourse.show import (
    Table,
    percent,
    plural,
    printable,
    quoted,
    token_bytes,
    token_text,
)
from llmcourse.views.text_trace import why

_SHARED = 60  # characters of a text before the place where it parts
_OWN = 80  # tokens after it
_MOST = 32  # strategies
_PARTS = html.tinted(html.ORANGE, "2px solid", html.VERMILLION) + html.MONO
_NUMBERS = 60_000_000  # logits to read for the perplexity of runs that are over already


@dataclass(frozen=True)
class Strategy:
    """What one strategy wrote."""

    name: str
    ids: tuple[int, ...]  # the new tokens
    perplexity: float  # 2 to the mean surprise under the model, before any rule; nan if not known
    measured: int  # tokens that it is of, from the first on; fewer than all in long runs
    word: str  # why it stopped, in a word
    reason: str  # the same in a sentence
    seconds: float  # of all its steps

    @property
    def repeated(self) -> float:
        """Share of the 3-grams of tokens that the text had before."""
        return repeated_ngrams(self.ids, 3)

    @property
    def distinct(self) -> float:
        """Share of the 2-grams of tokens that are different ones (distinct-2)."""
        return 1 - repeated_ngrams(self.ids, 2)


def repeated_ngrams(ids: Iterable[int], size: int) -> float:
    """Return which share of the runs of `size` tokens came before in the text; 0 of none."""
    ids = tuple(ids)
    ngrams = [ids[start : start + size] for start in range(len(ids) - size + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


@dataclass(frozen=True, eq=False)
class Strategies:
    """Strategies in the order given; each text is compared with that of the first."""

    runs: tuple[Strategy, ...]
    tokenizer: object  # of all of them

    def parts_at(self, run: Strategy) -> int | None:
        """Return the first token that differs from the first strategy's text, None if none does.

        A text that ends earlier parts where it ends. Of the first strategy: where the first of the
        others parts from it.
        """
        first = self.runs[0]
        if run is first:
            places = [self.parts_at(other) for other in self.runs[1:]]
            return min((place for place in places if place is not None), default=None)
        pairs = zip(first.ids, run.ids, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return same if same < max(len(first.ids), len(run.ids)) else None

    @property
    def caption(self) -> str:
        """What the tables show, in words: where each text parts from the first."""
        first, *others = self.runs
        said = []
        for run in others:
            place = self.parts_at(run)
            said.append(
                f"{_name(run)} writes the same"
                if place is None
                else f"{_name(run)} parts at token {place} ({quoted(self._token(run, place))}, "
                f"not {quoted(self._token(first, place))})"
            )
        compared = f" Beside {_name(first)}: {'; '.join(said)}." if said else ""
        return f"{len(self.runs)} ways to go on after one prompt.{compared}"

    def _token(self, run: Strategy, place: int) -> str:
        if place >= len(run.ids):
            return "the end"
        return printable(token_text(self.tokenizer, run.ids[place]))

    def table(self) -> Table:
        """Return a table with a line of numbers for each strategy."""
        headers = ("strategy", "tokens", "perplexity", "repeated 3-grams", "distinct-2")
        rows = [
            (
                _name(run),
                f"{len(run.ids):,}",
                _perplexity(run),
                percent(run.repeated),
                f"{run.distinct:.2f}",
                f"{run.seconds:.2f}",
                printable(run.word, 40),
            )
            for run in self.runs
        ]
        caption = "Perplexity under the model, before any rule; repetition in tokens"
        return Table(caption, (*headers, "seconds", "stopped by"), rows)

    def texts(self) -> list[tuple[str, str, str, str]]:
        """Return of each text, to read: what is shared, the parting token, the rest, what is cut.

        The parting token is "" where a text does not part or ends there.
        """
        return [self._text(run) for run in self.runs]

    def _text(self, run: Strategy) -> tuple[str, str, str, str]:
        place = self.parts_at(run)
        at = len(run.ids) if place is None else min(place, len(run.ids))
        if place is None and run is self.runs[0]:  # nothing parts: show the text itself
            return "", "", *self._begin(run.ids)
        before = self._read(run.ids[max(0, at - _SHARED) : at])
        if len(before) > _SHARED or at > _SHARED:
            before = "…" + before[1 - _SHARED :]
        token = self._token(run, at) if at < len(run.ids) else ""
        return printable(before, None), token, *self._begin(run.ids[at + 1 :])

    def _begin(self, ids: tuple[int, ...]) -> tuple[str, str]:
        """Return the beginning of a text, and how much of it that leaves out, in words."""
        more = len(ids) - _OWN
        left_out = f" … {plural(more, 'token')} more" if more > 0 else ""
        return printable(self._read(ids[:_OWN]), 6 * _OWN), left_out

    def _read(self, ids: tuple[int, ...]) -> str:
        raw = b"".join(
            token_bytes(self.tokenizer, token)[:400] or f"[{token}]".encode() for token in ids
        )
        return raw.decode(errors="replace")

    def __repr__(self) -> str:
        lines = [
            f"{_name(run)}: {before}" + (f" ▶{token}◀ " if token else "") + after + more
            for run, (before, token, after, more) in zip(self.runs, self.texts(), strict=True)
        ]
        return "\n".join([self.caption, *lines, "", repr(self.table())])

    def _repr_html_(self) -> str:
        shared = f"the same as {_name(self.runs[0])}"
        rows = [
            self._text_row(run, *text) for run, text in zip(self.runs, self.texts(), strict=True)
        ]
        texts = html.table(self.caption, ["strategy", shared, "▶ from where it parts"], rows)
        return texts + self.table()._repr_html_()

    def _text_row(self, run: Strategy, before: str, token: str, after: str, more: str) -> str:
        shared = html.escape(before) or f"<small>{self._no_shared(run)}</small>"
        mark = html.mark(f"▶{html.escape(token)}", _PARTS) if token else ""
        end = f"<div><small>■ {html.escape(printable(run.reason, 200))}</small></div>"
        if more:
            end = f"<i>{html.escape(more)}</i>"
        return html.row(
            [
                html.header(html.escape(_name(run)), "row"),
                html.cell(shared, "text-align:right;min-width:110px;line-height:1.5"),
                html.cell(f"{mark}{html.escape(after)}{end}", "min-width:240px;line-height:1.5"),
            ]
        )

    def _no_shared(self, run: Strategy) -> str:
        if run is not self.runs[0]:
            return "nothing"
        return "the one to compare with" if len(self.runs) > 1 else ""


def _perplexity(run: Strategy) -> str:
    if math.isnan(run.perplexity):
        return "?"
    of = f" (first {run.measured:,})" if run.measured < len(run.ids) else ""
    return f"{run.perplexity:.2f}{of}"


def _name(run: Strategy) -> str:
    return printable(run.name, 60)


def strategies(
    tokenizer,
    runs: Mapping[str, Iterable[Step] | Mapping],
    *,
    model=None,
    inputs: Mapping | None = None,
    seed: int = 0,
    row: int = 0,
    **shared,
) -> Strategies:
    """Compare several strategies on one prompt: texts from where they part, repetition, time.

    runs: for each name the steps of a run, from `llmcourse.steps`; or the settings of a call, which
    is then run here, from `seed`, with `model`, `inputs` (what a tokenizer returns) and the
    settings `shared` by all: `max_new_tokens=40`. Steps of sampling, beam search or drafts. row:
    which prompt of a batch. Of very long lists of steps the perplexity is that of the first tokens,
    as the table then says. Raises ValueError for no run or more than 32, for settings without
    `model` and `inputs`, for a run without steps, and what `steps` raises.
    """
    if not 1 <= len(runs) <= _MOST:
        raise ValueError(f"runs has {len(runs)} strategies; pass 1 to {_MOST}, a name for each.")
    made = []
    for name, run in runs.items():
        if isinstance(run, Mapping):
            if model is None or inputs is None:
                raise ValueError(
                    f"runs[{name!r}] are settings, so model= and inputs= are needed to run them; "
                    "or pass the steps of a run, list(llmcourse.steps(...))."
                )
            settings = {"tokenizer": tokenizer, **inputs, **shared, **run}
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                made.append(_summary(str(name), walk_of(model, **settings), row))
        else:
            numbers = _NUMBERS // len(runs) if hasattr(run, "__len__") else math.inf
            made.append(_summary(str(name), run, row, numbers))
    return Strategies(tuple(made), tokenizer)


def _summary(name: str, walk: Iterable, row: int, numbers: float = math.inf) -> Strategy:
    """Run through the steps once; of each no more is kept than a number or two.

    numbers: how many logits to read for the perplexity.
    """
    ids, log_probs, seconds, reason, step = [], [], 0.0, None, None
    of_candidates = []  # of a beam search: which of them are in the text is known at the end
    for step in walk:
        if not 0 <= row < len(step.finished):
            raise ValueError(
                f"row={row} does not exist; the batch of {name!r} has {len(step.finished)}."
            )
        seconds += step.seconds
        if isinstance(step, BeamStep):
            of_candidates.append(_candidates(step, row) if numbers > 0 else {})
            numbers -= step.candidates.scores.shape[1] * step.logits.shape[1]
        elif reason is None:  # afterwards other rows go on
            for token in step.new_tokens():
                ids.append(int(token.chosen[row]))
                if numbers > 0:
                    log_probs += _log_probs(token.logits[[row]], token.chosen[[row]])
                numbers -= token.logits.shape[1]
            reason = step.stop_reasons[row]
    if step is None:
        raise ValueError(f"runs[{name!r}] has no steps; a generator works once: pass list(...).")
    if isinstance(step, BeamStep):
        ids, rows = step.best(row)
        known = zip(of_candidates, zip(rows, ids, strict=True), strict=False)
        log_probs = [candidates[pair] for candidates, pair in known if candidates]
        reason = step.ended.reasons[row][0]
    mean = sum(log_probs) / len(log_probs) if log_probs else math.nan
    perplexity = math.exp(-mean) if -mean < 700 else math.inf
    return Strategy(
        name, tuple(ids), perplexity, len(log_probs), reason or "still going", why(reason), seconds
    )


def _candidates(step: BeamStep, row: int) -> dict[tuple[int, int], float]:
    """Return the raw log-probability of each candidate by (row of the model's batch, token)."""
    rows, tokens = (step.candidates.rows[row, :, -1].long(), step.candidates.ids[row, :, -1])
    there = rows >= 0
    known = _log_probs(step.logits[rows[there]], tokens[there])
    return dict(
        zip(zip(rows[there].tolist(), tokens[there].tolist(), strict=True), known, strict=True)
    )


def _log_probs(logits: torch.Tensor, ids: torch.Tensor) -> list[float]:
    return (logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(-1)).tolist()

"""The next token before and after each rule: what temperature, top-k and top-p move and remove."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessorList

from llmcourse.decoding.explain_rules import name_of
from llmcourse.show import Table, escape, percent, token_text
from llmcourse.views import _cells as cells
from llmcourse.views._cells import plural, prose
from llmcourse.views._chart import BLUE, GREY

_MOST_CELLS = 400  # lines times columns; the others are told in the line "other"
_DROPPED = "✕ dropped"


@dataclass(frozen=True)
class Stage:
    """The distribution at one stage: before any rule, or after one.

    name: `raw`, or the rule with its settings. probs: of the tokens that are shown. possible:
    whether each of them has a finite score. left: tokens that do, of the whole vocabulary. rest:
    probability of all tokens that are not shown.
    """

    name: str
    probs: tuple[float, ...]
    possible: tuple[bool, ...]
    left: int
    rest: float

    @property
    def others(self) -> int:
        """Return how many possible tokens are not shown."""
        return self.left - sum(self.possible)

    def token(self, place: int) -> str:
        """Say what became of the token in line `place`."""
        return percent(self.probs[place]) if self.possible[place] else _DROPPED

    def other(self, before: int) -> str:
        """Say what became of all the tokens that are not shown, of which there were `before`."""
        if not self.others:
            return _DROPPED
        return percent(self.rest) + (f" ({self.others:,} left)" if self.others < before else "")


@dataclass(frozen=True, eq=False)
class NextToken:
    """The likeliest tokens, a line for each, and their probability at each stage, a column each.

    texts: the tokens, in the order of their raw probability. vocabulary: tokens in all. chosen: the
    line of the token that was chosen, None if it is not among them or not known.
    """

    texts: tuple[str, ...]
    stages: tuple[Stage, ...]
    vocabulary: int
    chosen: int | None = None
    title: str = "Next token"

    @property
    def caption(self) -> str:
        """What the table shows, in words: the likeliest tokens at first and in the end."""
        first, last = self.stages[0], self.stages[-1]
        told = f"{self.title}: {self._likeliest(first)}"
        if len(self.stages) > 1:
            rules = plural(len(self.stages) - 1, "rule")
            left = f"{plural(last.left, 'token')} of {self.vocabulary:,} left"
            told += f". After {rules}: {self._likeliest(last)}; {left}"
        if self.chosen is not None:
            told += f". Chosen: {self.texts[self.chosen]} {last.token(self.chosen)}"
        return told + "."

    def _likeliest(self, stage: Stage) -> str:
        best = sorted(range(len(self.texts)), key=lambda place: -stage.probs[place])[:3]
        return ", ".join(f"{self.texts[i]} {stage.token(i)}" for i in best if stage.possible[i])

    def _names(self) -> list[str]:
        return [prose(stage.name, 60) for stage in self.stages]

    def _label(self, place: int) -> str:
        return self.texts[place] + (" ← chosen" if place == self.chosen else "")

    def table(self) -> Table:
        """Return a table with a line for each token and a column for each stage."""
        rows = [
            [self._label(place), *(stage.token(place) for stage in self.stages)]
            for place in range(len(self.texts))
        ]
        others = self.vocabulary - len(self.texts)
        if others:
            told = (stage.other(others) for stage in self.stages)
            rows.append([f"other {others:,}", *told])
        rows.append(["tokens left", *(f"{stage.left:,}" for stage in self.stages)])
        marked = frozenset() if self.chosen is None else frozenset([self.chosen])
        return Table(self.caption, ["token", *self._names()], rows, marked)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        *lines, left = self.table().rows
        highest = max(max(stage.probs) for stage in self.stages)
        widest = max(30, min(110, 300 // len(self.stages)))
        if any(stage.rest > highest for stage in self.stages):
            lines[-1] = [f"{lines[-1][0]}\n(»: bar cut)", *lines[-1][1:]]
        rows = [
            cells.row(
                _name(header, place == self.chosen),
                [
                    _cell(text, share, highest, widest, BLUE if place < len(self.texts) else GREY)
                    for text, share in zip(texts, self._shares(place), strict=True)
                ],
            )
            for place, (header, *texts) in enumerate(lines)
        ]
        rows.append(cells.row(escape(left[0]), map(escape, left[1:])))
        names = [_broken(name) for name in self._names()]
        return cells.table(self.caption, ["token", *names], rows)

    def _shares(self, place: int) -> list[float]:
        if place == len(self.texts):
            return [stage.rest for stage in self.stages]
        return [stage.probs[place] for stage in self.stages]


def _broken(name: str) -> str:
    """Return a rule's name on lines short enough for several columns."""
    word, bracket, settings = name.partition("(")
    if len(word) > 14 and "_" in word[1:]:
        word = "_\n".join(word.rsplit("_", 1))
    return word + (bracket and "\n(") + settings


def _name(label: str, chosen: bool) -> str:
    look = ";border:2px solid #D55E00;padding:0 4px;white-space:nowrap" if chosen else ""
    shown = escape(label).replace("\n", "<br>")
    return f'<span style="font-family:monospace{look}">{shown}</span>'


def _cell(text: str, share: float, highest: float, widest: int, color: str) -> str:
    """Return a number over its bar; the bar of a rest beyond the likeliest token is cut: »."""
    if text == _DROPPED:
        return cells.td(text, "background:#6B6B6B;color:#FFFFFF")
    length, cut = min(1, share / highest), " »" if share > highest else ""
    return cells.td(f"{text}{cut}{cells.bar(length, color, widest)}", f"min-width:{widest}px")


def next_token(
    tokenizer,
    ids: torch.Tensor,
    logits: torch.Tensor,
    rules: Sequence[Callable] = (),
    *,
    top: int = 10,
    chosen: int | torch.Tensor | None = None,
    title: str = "Next token",
) -> NextToken:
    """Show the likeliest next tokens with their probabilities, raw and after each rule in turn.

    ids: (length,) or (1, length) int64, the text so far, for rules that look at it. logits:
    (vocab,) or (1, vocab), before any rule. rules: functions of (ids, scores) or the library's
    processors, in the order in which they run. top: tokens to show, those that are the likeliest
    at any stage; fewer with many rules. chosen: the id to mark, which is then always shown. Raises
    ValueError for more than one row, a `top` below 1, an id outside the vocabulary, and a rule that
    leaves no token or changes the shape.
    """
    ids, logits = _one_row("ids", ids), _one_row("logits", logits).float()
    vocabulary = logits.shape[1]
    if top < 1:
        raise ValueError(f"top={top} shows no token; pass 1 or more, such as 10.")
    if chosen is not None and not 0 <= int(chosen) < vocabulary:
        raise ValueError(f"chosen={int(chosen)} is not a token; pass an id from 0 to {vocabulary}.")
    scores = _scores_of_stages(ids, logits, rules)  # (stages, vocab)
    probs = scores.softmax(-1)
    most = min(top, vocabulary, max(1, _MOST_CELLS // len(scores)))
    shown = probs.amax(0).topk(most).indices
    if chosen is not None and int(chosen) not in shown:
        shown[-1] = int(chosen)
    shown = shown[(-probs[:, shown]).sort(dim=1, stable=True).indices[0]]
    names = ["raw", *map(name_of, rules)]
    stages = tuple(
        Stage(
            name,
            tuple(p[shown].tolist()),
            tuple(s[shown].isfinite().tolist()),
            int(s.isfinite().sum()),
            max(0.0, 1 - p[shown].double().sum().item()),
        )
        for name, p, s in zip(names, probs, scores, strict=True)
    )
    texts = tuple(token_text(tokenizer, token) for token in shown)
    line = None if chosen is None else shown.tolist().index(int(chosen))
    return NextToken(texts, stages, vocabulary, line, prose(title, 200))


def _one_row(name: str, values) -> torch.Tensor:
    values = torch.as_tensor(values)
    values = values[None] if values.dim() == 1 else values
    if values.dim() != 2 or len(values) != 1 or not values.numel():
        last = "length" if name == "ids" else "vocab"
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; pass one row, ({last},): {name}[0] for the "
            "first row of a batch."
        )
    return values


def _scores_of_stages(ids, logits: torch.Tensor, rules: Sequence[Callable]) -> torch.Tensor:
    if not logits.amax().isfinite():
        raise ValueError(f"logits are no distribution: the highest of them is {logits.amax():g}.")
    stages = [logits]
    for rule in rules:
        # a clone, since a rule may edit in place; called as `generate` calls it
        scores = LogitsProcessorList([rule])(ids, stages[-1].clone())
        if scores.shape != logits.shape:
            raise ValueError(
                f"{name_of(rule)} returned scores of shape {tuple(scores.shape)}; return "
                f"{tuple(logits.shape)}, the shape it was given."
            )
        if not scores.amax().isfinite():
            raise ValueError(
                f"{name_of(rule)} left no distribution: the highest score is {scores.amax():g}. "
                "Let it keep at least one token, with a finite score."
            )
        stages.append(scores.float())
    return torch.cat(stages)

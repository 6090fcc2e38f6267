"""The next token: a chart of the likeliest ones, and a table of what each rule does to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessorList

from llmcourse import html
from llmcourse.decoding.user_code import name_of
from llmcourse.html import BLUE, GREY
from llmcourse.show import Table, percent, plural, printable, quoted, token_text
from llmcourse.views._chart import Chart, chart, drawable

_MOST_CELLS = 400  # lines times columns; the others are counted in the line "other"
_DROPPED = "✕ dropped"
_CHOSEN = html.outlined("2px solid", html.VERMILLION) + "white-space:nowrap;"


def likely(tokenizer, logits: torch.Tensor, top: int = 10, title: str = "Next token") -> Chart:
    """Draw the `top` likeliest next tokens, and all the others together as one bar.

    logits: (vocab,) or (1, vocab), raw or after rules; softmax is taken here. Raises ValueError for
    more than one row.
    """
    if logits.dim() == 2 and len(logits) == 1:
        logits = logits[0]
    if logits.dim() != 1:
        raise ValueError(f"logits has shape {tuple(logits.shape)}; pass one row, (vocab,).")
    probs = logits.float().softmax(-1)
    best = likeliest(probs, top)
    names = [token_text(tokenizer, token) for token, _ in best]
    shares = [share for _, share in best]
    others = int((probs > 0).sum()) - sum(share > 0 for share in shares)
    rest = max(0.0, 1 - sum(shares))
    each = ", ".join(f"{quoted(name)} {percent(p)}" for name, p in zip(names, shares, strict=True))
    title = printable(title, 80)
    alt = f"{title}: {each}; the other {others:,} tokens together {percent(rest)}."
    labels = [*map(drawable, names), f"other {others:,}"]
    heights = [*shares, rest]

    def paint(axes):
        bars = axes.barh(range(len(labels)), heights, color=BLUE)
        bars[-1].set(facecolor=GREY, hatch="//", edgecolor="white")
        axes.bar_label(bars, [percent(p) for p in heights], padding=3)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set(title=drawable(title), xlabel="probability", xlim=(0, 1.1 * max(heights)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    return chart(paint, alt, height=0.9 + 0.27 * len(labels))


def likeliest(probs: torch.Tensor, top: int) -> list[tuple[int, float]]:
    """Return the `top` likeliest tokens of `probs`, (vocab,), each with its probability."""
    best = probs.topk(min(top, len(probs)))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


@dataclass(frozen=True)
class Stage:
    """The distribution at one stage: before any rule, or after one."""

    name: str  # `raw`, or the rule with its settings
    probs: tuple[float, ...]  # of the tokens that are shown
    possible: tuple[bool, ...]  # whether each of them has a finite score
    left: int  # tokens of the whole vocabulary that have one
    rest: float  # probability of all tokens that are not shown

    @property
    def others(self) -> int:
        """Return how many possible tokens are not shown."""
        return self.left - sum(self.possible)

    def token(self, place: int) -> str:
        """Return the probability of the token in line `place`, or that it was dropped."""
        return percent(self.probs[place]) if self.possible[place] else _DROPPED

    def other(self, before: int) -> str:
        """Return the same of all the tokens that are not shown, of which there were `before`."""
        if not self.others:
            return _DROPPED
        return percent(self.rest) + (f" ({self.others:,} left)" if self.others < before else "")


@dataclass(frozen=True, eq=False)
class NextToken:
    """The likeliest tokens, a line for each, and their probability at each stage, a column each."""

    texts: tuple[str, ...]  # the tokens, in the order of their raw probability
    stages: tuple[Stage, ...]  # before any rule, and after each
    vocabulary: int  # tokens in all
    chosen: int | None = None  # the chosen token's line; None if it is not shown or not known
    title: str = "Next token"

    @property
    def caption(self) -> str:
        """What the table shows, in words: the likeliest tokens at first and in the end."""
        first, last = self.stages[0], self.stages[-1]
        said = f"{self.title}: {self._likeliest(first)}"
        if len(self.stages) > 1:
            rules = plural(len(self.stages) - 1, "rule")
            left = f"{plural(last.left, 'token')} of {self.vocabulary:,} left"
            said += f". After {rules}: {self._likeliest(last)}; {left}"
        if self.chosen is not None:
            said += f". Chosen: {quoted(self.texts[self.chosen])} {last.token(self.chosen)}"
        return said + "."

    def _likeliest(self, stage: Stage) -> str:
        best = sorted(range(len(self.texts)), key=lambda place: -stage.probs[place])[:3]
        shown = [place for place in best if stage.possible[place]]
        return ", ".join(f"{quoted(self.texts[place])} {stage.token(place)}" for place in shown)

    def _names(self) -> list[str]:
        return [printable(stage.name, 60) for stage in self.stages]

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
            rows.append([f"other {others:,}", *(stage.other(others) for stage in self.stages)])
        rows.append(["tokens left", *(f"{stage.left:,}" for stage in self.stages)])
        marked = frozenset() if self.chosen is None else frozenset([self.chosen])
        return Table(self.caption, ["token", *self._names()], rows, marked)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        *lines, left = self.table().rows
        highest = max(max(stage.probs) for stage in self.stages)
        if any(stage.rest > highest for stage in self.stages):
            lines[-1] = [f"{lines[-1][0]}\n(»: bar cut)", *lines[-1][1:]]
        rows = [self._row(place, line, highest) for place, line in enumerate(lines)]
        rows.append(html.row([html.header(left[0], "row"), *map(html.cell, left[1:])]))
        return html.table(self.caption, ["token", *map(_broken, self._names())], rows)

    def _row(self, place: int, line: Sequence[str], highest: float) -> str:
        """Return the numbers of a token, or of all the others, over their bars."""
        is_token = place < len(self.texts)
        shares = [stage.probs[place] if is_token else stage.rest for stage in self.stages]
        widest = max(30, min(110, 300 // len(self.stages)))
        color = BLUE if is_token else GREY
        cells = [
            _cell(text, share / highest, color, widest)
            for text, share in zip(line[1:], shares, strict=True)
        ]
        name = html.escape(line[0]).replace("\n", "<br>")
        if place == self.chosen:
            name = html.mark(name, _CHOSEN)
        return html.row([html.header(name, "row", html.MONO), *cells])


def _broken(name: str) -> str:
    """Return a rule's name on lines short enough for several columns."""
    word, bracket, settings = name.partition("(")
    if len(word) > 14 and "_" in word[1:]:
        word = "_\n".join(word.rsplit("_", 1))
    return word + (bracket and "\n(") + settings


def _cell(text: str, share: float, color: str, widest: int) -> str:
    """Return a number over its bar; where the bar would be longer than `widest` it is cut: »."""
    if text == _DROPPED:
        return html.cell(text, html.DARK)
    cut = " »" if share > 1 else ""
    shown = f"{html.escape(text)}{cut}{html.bar(min(1, share), color, widest)}"
    return html.cell(shown, f"min-width:{widest}px")


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
    scores = _scores_of_stages(ids, logits, rules)
    shown = _shown(scores.softmax(-1), top, chosen)
    names = ["raw", *map(name_of, rules)]
    return NextToken(
        texts=tuple(token_text(tokenizer, token) for token in shown),
        stages=tuple(_stage(name, s, shown) for name, s in zip(names, scores, strict=True)),
        vocabulary=vocabulary,
        chosen=None if chosen is None else shown.tolist().index(int(chosen)),
        title=printable(title, 200),
    )


def _shown(probs: torch.Tensor, top: int, chosen) -> torch.Tensor:
    """Return the ids to show, the likeliest at first on top. probs: (stages, vocab)."""
    most = min(top, probs.shape[1], max(1, _MOST_CELLS // len(probs)))
    shown = probs.amax(0).topk(most).indices
    if chosen is not None and int(chosen) not in shown:
        shown[-1] = int(chosen)
    return shown[(-probs[:, shown]).sort(dim=1, stable=True).indices[0]]


def _stage(name: str, scores: torch.Tensor, shown: torch.Tensor) -> Stage:
    """Return a stage from its scores, (vocab,), for the ids that are shown."""
    probs = scores.softmax(-1)[shown]
    return Stage(
        name=name,
        probs=tuple(probs.tolist()),
        possible=tuple(scores[shown].isfinite().tolist()),
        left=int(scores.isfinite().sum()),
        rest=max(0.0, 1 - probs.double().sum().item()),
    )


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
    """Return the scores before any rule and after each, (stages, vocab)."""
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

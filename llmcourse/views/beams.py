"""Beam search as a tree: which texts grew, were dropped or finished, and which one won."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from llmcourse import html
from llmcourse.decoding.beam import NOTHING, BeamStep
from llmcourse.show import plural, printable, token_text, visible

_SIGNS = {"live": "●", "finished": "■", "dropped": "×"}
_MOST_LEAVES = 32  # lines of the tree that are drawn
_MOST_STEPS = 24
_LISTED = 3  # dropped hypotheses of one parent that are named
_TAIL = 24  # characters of a text of which only the end is shown
_BOX = f"padding:1px 6px;white-space:nowrap;{html.MONO}"
_LOOKS = {
    "live": html.tinted(html.BLUE_TINT),
    "finished": html.tinted(html.GREEN_TINT, "3px double"),
    "dropped": html.outlined("1px dotted"),
}
_WINS = html.outlined("3px solid", html.VERMILLION) + "font-weight:bold;"


@dataclass(eq=False)
class Node:
    """A hypothesis in the tree: the text up to here, of which `token` is the newest."""

    token: str
    score: float  # summed log-probability, with the length penalty if it has finished
    fate: str  # "live", "finished" or "dropped"
    rank: int  # 1 is the likeliest candidate of the step
    reason: str | None = None  # why it ended, if it did
    wins: bool = False  # whether the winner grew through it
    children: list["Node"] = field(default_factory=list)  # those that lived on or finished
    dropped: list["Node"] = field(default_factory=list)  # the others that grew from it

    def __str__(self) -> str:
        star = "★ " if self.wins else ""
        return f"{star}{_SIGNS[self.fate]} {self.token}"

    @property
    def numbers(self) -> str:
        """Its score and its rank, in words, and why it ended."""
        ended = f", {self.reason}" if self.reason else ""
        rank = f" #{self.rank}" if self.rank else ""
        score = f"{self.score:.2f}" if self.score > NOTHING / 2 else "impossible"
        return f"{score}{rank}{ended}"


@dataclass(frozen=True, eq=False)
class Beams:
    """A tree of hypotheses, those of the winner first."""

    root: Node  # what the first texts grew from, itself not drawn
    first: int  # number of the first step that is drawn
    last: int  # number of the last one
    made: int  # how many steps there were
    beams: int  # how many texts lived side by side
    outcome: tuple[str, ...]  # who won and why the search ended, in sentences

    @property
    def caption(self) -> str:
        """What the tree shows, in words."""
        drawn = f"steps {self.first} to {self.last}" if self.first < self.last else "one step"
        more = f" of {self.made:,}" if self.last - self.first + 1 < self.made else ""
        return f"Beam search with {self.beams} beams, {drawn}{more}. {' '.join(self.outcome)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """How to read the tree, and what is left out of it."""
        legend = (
            "● live: it grows on. ■ finished. × dropped. ★ and a thick frame: the winner's path. "
            "What stands right of a text grew from it. Below each: its score, a sum of "
            "log-probabilities (■: with the length penalty), and # its place among the candidates "
            "of its step."
        )
        cut = []
        if self.first > 0 or self.last < self.made - 1:
            cut.append(f"Drawn are steps {self.first} to {self.last} of 0 to {self.made - 1}.")
        left_out = len(list(_leaves(self.root))) - _MOST_LEAVES
        if left_out > 0:
            cut.append(f"{left_out:,} more branches are left out, dropped ones first.")
        return legend, *cut

    def _kept(self) -> set[int]:
        """Choose the leaves to draw: the winner, what finished or lives, then the longest."""
        order = sorted(_leaves(self.root), key=_importance)
        return {id(leaf) for leaf, _ in order[:_MOST_LEAVES]}

    def __repr__(self) -> str:
        kept = self._kept()
        return "\n".join([self.caption, *self.notes, *_lines(self.root, 0, kept)])

    def _repr_html_(self) -> str:
        before = [f"before step {self.first}"] if self.first else []
        names = [*before, *(f"step {number}" for number in range(self.first, self.last + 1))]
        rows, kept = [[]], self._kept()
        _lay_out(self.root, rows, len(names), kept)
        body = [html.row(row) for row in rows if row]
        return html.table(self.caption, names, body, notes=self.notes, gap=2)


def _leaves(node: Node, depth: int = 0) -> Iterator[tuple]:
    """Yield every line of the tree, (what ends it, depth): a Node, or a list of dropped ones."""
    for child in node.children:
        yield from _leaves(child, depth + 1)
    if node.dropped:
        yield node.dropped, depth + 1
    elif not node.children:
        yield node, depth


def _importance(leaf_and_depth: tuple) -> tuple:
    leaf, depth = leaf_and_depth
    if isinstance(leaf, list):
        return 3, -depth
    return (0 if leaf.wins else 1 if leaf.fate == "finished" else 2), -depth


def _span(node: Node, kept: set[int]) -> int:
    """Return how many of the lines that are drawn lead through `node`."""
    return sum(id(leaf) in kept for leaf, _ in _leaves(node))


def _named(dropped: list[Node]) -> str:
    named = ", ".join(f"{each.token} {each.numbers}" for each in dropped[:_LISTED])
    more = len(dropped) - _LISTED
    return named + (f" and {more} more" if more > 0 else "")


def _lines(node: Node, depth: int, kept: set[int]) -> Iterator[str]:
    """Yield the text form of what grew from `node`, a line for each hypothesis that lived on."""
    for child in node.children:
        if _span(child, kept):
            yield f"{'  ' * depth}{child}  {child.numbers}"
            yield from _lines(child, depth + 1, kept)
    if id(node.dropped) in kept:
        yield f"{'  ' * depth}× {_named(node.dropped)}"


def _lay_out(node: Node, rows: list[list[str]], width: int, kept: set[int]) -> None:
    """Write what grew from `node` into `rows`; a text is as high as all that grew from it.

    width: columns that are left.
    """
    for child in node.children:
        span = _span(child, kept)
        if span:
            rows[-1].append(_cell(child, span))
            _lay_out(child, rows, width - 1, kept)
    if id(node.dropped) in kept:
        rows[-1].append(_dropped_cell(node.dropped))
        _end_row(rows, width - 1)
    elif id(node) in kept:
        _end_row(rows, width)


def _end_row(rows: list[list[str]], empty: int) -> None:
    if empty:
        rows[-1].append(html.cell("", "border:none", columns=empty))
    rows.append([])


def _cell(node: Node, span: int) -> str:
    look = _BOX + _LOOKS[node.fate] + (_WINS if node.wins else "")
    content = f"{html.escape(str(node))}<br><small>{html.escape(node.numbers)}</small>"
    return html.cell(content, look, rows=span)


def _dropped_cell(dropped: list[Node]) -> str:
    named = [f"{node} {node.numbers}" for node in dropped[:_LISTED]]
    more = len(dropped) - _LISTED
    if more > 0:
        named.append(f"and {more} more")
    small = "<br>".join(f"<small>{html.escape(text)}</small>" for text in named)
    return html.cell(small, _BOX + _LOOKS["dropped"])


def beams(
    tokenizer, steps: Iterable[BeamStep], prompt: int = 0, start: int = 0, most: int = 10
) -> Beams:
    """Draw what a beam search did as a tree, a column for each step, the winner's texts on top.

    steps: what `llmcourse.steps(..., num_beams=n)` yields. prompt: which prompt of the batch.
    start: the first step to draw; most: how many, 24 at most. Raises ValueError where there is no
    such prompt or step, TypeError for the steps of another way of decoding.
    """
    if start < 0 or not 1 <= most <= _MOST_STEPS:
        raise ValueError(
            f"start={start}, most={most}: pass a start from 0 on and most from 1 to {_MOST_STEPS}."
        )
    before, shown, last = _read(steps, prompt, start, most)
    if not shown:
        made = 0 if last is None else last.index + 1
        raise ValueError(f"start={start}: there are {made} steps to draw; pass a smaller start.")
    path, outcome = _winner(tokenizer, last, prompt)
    root = Node("", 0.0, "live", 0)
    living = [root] * last.live.ids.shape[1]
    if before is not None:
        living = root.children = _texts_so_far(tokenizer, before, prompt, path)
    for step in shown:
        made = _grow(tokenizer, step, prompt, path)
        for parent, node in made:
            siblings = living[parent].dropped if node.fate == "dropped" else living[parent].children
            siblings.append(node)
        living = _living(step, prompt, [node for _, node in made])
    _put_winner_first(root)
    return Beams(
        root=root,
        first=shown[0].index,
        last=shown[-1].index,
        made=last.index + 1,
        beams=last.live.ids.shape[1],
        outcome=outcome,
    )


def _read(steps, prompt: int, start: int, most: int) -> tuple:
    """Return the step before `start` or None, those to draw, and the last one or None."""
    before, shown, last = None, [], None
    for step in steps:
        _check(step, prompt)
        if step.index == start - 1:
            before = step
        elif start <= step.index < start + most:
            shown.append(step)
        last = step
        if step.finished[prompt]:  # from here on the search goes on for other prompts only
            break
    return before, shown, last


def _put_winner_first(node: Node) -> None:
    node.children.sort(key=lambda child: not child.wins)
    for child in node.children:
        _put_winner_first(child)


def _check(step, prompt: int) -> None:
    if not isinstance(step, BeamStep):
        raise TypeError(
            f"steps holds a {type(step).__name__}; pass what llmcourse.steps(..., num_beams=2) "
            "or more yields."
        )
    if not 0 <= prompt < len(step.live.ids):
        raise ValueError(f"prompt={prompt}: the batch has prompts 0 to {len(step.live.ids) - 1}.")


def _winner(tokenizer, last: BeamStep, prompt: int) -> tuple[list, tuple[str, ...]]:
    """Return the best text's path, (parent, token) for each step, and sentences about it."""
    some_ended = bool(last.ended.taken[prompt, 0])
    texts = last.ended.texts if some_ended else last.live
    rows = texts.rows[prompt, 0].tolist()
    beams, length = last.live.ids.shape[1], sum(row >= 0 for row in rows)
    ids = texts.ids[prompt, 0].tolist()
    new = ids[len(ids) - len(rows) :][:length]
    path = [(row - prompt * beams, token) for row, token in zip(rows, new, strict=False)]
    text = visible(tokenizer.decode(new), longest=200)
    score = f"{texts.scores[prompt, 0].item():.3f}"
    if not last.finished[prompt]:
        kind = "finished" if some_ended else "live"
        return path, (f"The search is not over; the best {kind} text so far: {text} ({score}).",)
    reason = last.ended.reasons[prompt][0]
    sentence = printable(getattr(reason, "sentence", ""))
    won = f"The winner, of {length:,} new tokens: {text} (score {score}, {reason})."
    return path, tuple(part for part in (won, sentence, _why_over(last, prompt)) if part)


def _why_over(last: BeamStep, prompt: int) -> str:
    if all(last.reasons[prompt]):
        return f"The search ended because all candidates of step {last.index} end."
    ended = int(last.ended.taken[prompt].sum())
    return (
        f"The search ended at step {last.index}: {plural(ended, 'text')} had finished, and no live "
        "one was given a chance to beat them (early_stopping sets how many it gets)."
    )


def _grow(tokenizer, step: BeamStep, prompt: int, path: list) -> list[tuple[int, Node]]:
    """Return each candidate of a step with the number of the live text that it grew from."""
    ranks = step.candidates.scores[prompt].argsort(descending=True, stable=True).argsort().tolist()
    winning = path[step.index] if step.index < len(path) else None
    made = []
    for rank, each in zip(ranks, step.hypotheses(prompt), strict=True):
        wins = (each.came_from, each.ids[-1]) == winning
        text = token_text(tokenizer, each.ids[-1])
        node = Node(text, each.score, each.fate, rank + 1, each.stop_reason, wins)
        made.append((each.came_from, node))
    return made


def _living(step: BeamStep, prompt: int, made: list[Node]) -> list[Node]:
    return [made[number] for number in step.kept[prompt].tolist()]


def _texts_so_far(tokenizer, step: BeamStep, prompt: int, path: list) -> list[Node]:
    """Return the texts that were live after `step`, each as one node."""
    nodes = []
    new = step.live.rows.shape[2]
    lived = _living(step, prompt, [node for _, node in _grow(tokenizer, step, prompt, path)])
    for node, ids in zip(lived, step.live.ids[prompt, :, -new:].tolist(), strict=True):
        text = tokenizer.decode(ids)
        node.token = visible("…" + text[-_TAIL:] if len(text) > _TAIL else text)
        nodes.append(node)
    return nodes

"""The same batch padded on the left and on the right, and where each of its rows finished."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from llmcourse import html
from llmcourse.decoding.loop import Step
from llmcourse.decoding.model_inputs import grown
from llmcourse.show import Table, cut, plural, printable, token_text
from llmcourse.views.batch import NARROW, PADDED, SEEN, Batch, batch, grid

PROMPT, PAD, NEW, AFTER = "prompt", "padding", "new", "padding after the end"
_LOOKS = {  # colours, and for those who do not see them: brackets, a plus, another border
    PROMPT: SEEN,
    PAD: PADDED,
    NEW: html.tinted(html.YELLOW_TINT, "2px solid"),
    AFTER: PADDED,
}
_SHOWN = {PROMPT: "{}", PAD: "(pad)", NEW: "+{}", AFTER: "(pad)"}
_LONGEST = 16  # characters in a cell that are drawn


@dataclass(frozen=True, eq=False)
class Side:
    """One way of padding."""

    side: str  # "left" or "right"
    ids: torch.Tensor  # (rows, length) int64, what the model reads, new tokens included
    mask: torch.Tensor  # (rows, length) int64
    positions: torch.Tensor  # (rows, length) int64
    kinds: Sequence[Sequence[str]]  # of each place: PROMPT, PAD, NEW or AFTER
    batch: Batch  # what is drawn of it
    pad: str  # the padding token, to read
    ends: Sequence[int | None]  # of each row: the place of the token that finished it, if one did
    finished: Sequence[str]  # the same in words

    @property
    def caption(self) -> str:
        """What the grid shows, in words."""
        pads = sum(kind == PAD for row in self.kinds for kind in row)
        rows = plural(len(self.kinds), "row")
        what = f"Padded on the {self.side}: {rows} of {len(self.kinds[0]):,} places, {pads:,} "
        new = "; + marks new tokens" if any(NEW in row for row in self.kinds) else ""
        return f"{what}of them padding; (pad) is {self.pad}{new}"

    def lines(self, row: int) -> list[list[str]]:
        """Return three lines for a row: tokens, mask, positions."""

        def drawn(place: int, text: str, mask: int, position: int) -> tuple[str, str, str]:
            return self._token(row, place, text), str(mask), str(position)

        places = self.batch.across(row, drawn, ("…", "…", "…"))
        return [list(line) for line in zip(*places, strict=True)]

    def _token(self, row: int, place: int, text: str) -> str:
        return _SHOWN[self.kinds[row][place]].format(cut(text, _LONGEST))

    def table(self) -> Table:
        """Return a table with three lines for each row: tokens, mask, positions."""
        rows = []
        for row in range(len(self.batch.cells)):
            tokens, mask, positions = self.lines(row)
            rows.append([str(row), "token", *tokens, self.finished[row]])
            rows += [["", "mask", *mask, ""], ["", "position", *positions, ""]]
        return Table(self.caption, ["row", "", *self.batch.heads, "finished"], rows)

    def _repr_html_(self) -> str:
        headers = ["row", *self.batch.heads]
        if any(self.finished):
            headers.append("finished")
        rows = [self._cells(row) for row in range(len(self.batch.cells))]
        return grid(self.caption, headers, rows, self.batch.more)

    def _cells(self, row: int) -> list[str]:
        def drawn(place: int, text: str, mask: int, position: int) -> str:
            end = "<br><b>end</b>" if place == self.ends[row] else ""
            token = html.escape(self._token(row, place, text))
            small = f"<br><small>{mask}<br>{position}</small>"
            return html.cell(f"{token}{small}{end}", NARROW + _LOOKS[self.kinds[row][place]])

        name = html.header(f"{row}<br><small>mask<br>position</small>", "row", NARROW)
        cells = [name, *self.batch.across(row, drawn, html.cell("…"))]
        if any(self.finished):
            cells.append(html.cell(html.escape(self.finished[row]), NARROW))
        return cells


@dataclass(frozen=True, eq=False)
class Padding:
    """The same texts, padded on the left (as `generate` needs them) and on the right."""

    left: Side
    right: Side
    notes: Sequence[str]  # what is to be seen, in sentences

    def __repr__(self) -> str:
        parts = [
            "\n".join(filter(None, (repr(side.table()), side.batch.more)))
            for side in (self.left, self.right)
        ]
        return "\n\n".join([*parts, "\n".join(self.notes)])

    def _repr_html_(self) -> str:
        box = "display:inline-block;vertical-align:top;margin-right:10px;max-width:100%"
        sides = "".join(
            f'<div style="{box}">{side._repr_html_()}</div>' for side in (self.left, self.right)
        )
        return sides + html.lines(self.notes)


def padding(
    tokenizer,
    texts: Sequence[str],
    steps: Iterable[Step] | None = None,
    right_steps: Iterable[Step] | None = None,
) -> Padding:
    """Show a batch of texts padded on either side: tokens, mask, positions, where rows finished.

    steps, right_steps: what `llmcourse.steps` yields for the texts padded on the left, and on the
    right; their new tokens follow the prompts, with the mask and the positions that the model got.
    Raises ValueError for no texts, a tokenizer without a padding token, and steps of other texts.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"texts={texts!r:.60} is not a list of texts; pass [first, second].")
    if tokenizer.pad_token_id is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has no padding token; set "
            "tokenizer.pad_token = tokenizer.eos_token."
        )
    left = _side(tokenizer, list(texts), "left", list(steps or ()))
    right = _side(tokenizer, list(texts), "right", list(right_steps or ()))
    return Padding(left, right, _notes(left, right))


def _side(tokenizer, texts: list[str], side: str, steps: list[Step]) -> Side:
    made = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
    ids, mask = made["input_ids"].long(), made["attention_mask"].long()
    positions = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
    kinds = [[PROMPT if seen else PAD for seen in row] for row in mask.tolist()]
    _check(side, ids, steps)
    for step in steps:
        ids = torch.cat([ids, step.chosen[:, None].to(ids.device)], dim=1)
        mask, positions = grown(mask, positions)
    ended = [_end(steps, row) for row in range(len(texts))]
    for row, end in enumerate(ended):
        kinds[row] += [NEW if end is None or at <= end else AFTER for at in range(len(steps))]
    prompt = ids.shape[1] - len(steps)
    return Side(
        side=side,
        ids=ids,
        mask=mask,
        positions=positions,
        kinds=kinds,
        batch=batch(tokenizer, ids, mask, positions),
        pad=token_text(tokenizer, tokenizer.pad_token_id),
        ends=[None if end is None else prompt + end for end in ended],
        finished=[_words(steps, row, end) for row, end in enumerate(ended)],
    )


def _check(side: str, ids: torch.Tensor, steps: list[Step]) -> None:
    """Raise ValueError unless the first step read these texts, or the last part of them."""
    if not steps:
        return
    fed = steps[0].fed.to(ids.device)
    if steps[0].index or len(fed) != len(ids) or not torch.equal(fed, ids[:, -fed.shape[1] :]):
        name = "steps" if side == "left" else "right_steps"
        raise ValueError(
            f"{name} are not of these texts padded on the {side}: step {steps[0].index} read ids of"
            f" shape {tuple(fed.shape)}, not {tuple(ids.shape)} with these tokens; pass all steps "
            f'of tokenizer(texts, padding=True, padding_side="{side}", return_tensors="pt").'
        )


def _end(steps: list[Step], row: int) -> int | None:
    return next((at for at, step in enumerate(steps) if bool(step.finished[row])), None)


def _words(steps: list[Step], row: int, end: int | None) -> str:
    if not steps:
        return ""
    if end is None:
        return f"not after step {steps[-1].index}"
    return f"step {end}: {printable(steps[end].stop_reasons[row], 80)}"


def _notes(left: Side, right: Side) -> list[str]:
    padded = [number for number, row in enumerate(right.kinds) if PAD in row]
    if not padded:
        return ["All rows have the same length: nothing is padded."]
    some = f"{', '.join(map(str, padded[:8]))}{' …' if len(padded) > 8 else ''}"
    rows = f"row {some}" if len(padded) == 1 else f"rows {some}"
    notes = [
        "Left: every row ends with its own last token, from which the next one is predicted.",
        f"Right: the next token of {rows} is predicted from padding, and new tokens come after it, "
        "at positions from 1 on; that is why generate wants left padding.",
    ]
    if any(AFTER in row for side in (left, right) for row in side.kinds):
        notes.append("A row that finished gets padding while others go on; its mask stays 1 there.")
    return notes

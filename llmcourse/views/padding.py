"""A padded batch, padded on the left and on the right, and where each of its rows finished."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from llmcourse.decoding.cache import grown
from llmcourse.decoding.loop import Step
from llmcourse.show import Table, escape, printable, token_text
from llmcourse.views._frame import ROW
from llmcourse.views.batch import Batch, batch

PROMPT, PAD, NEW, AFTER = "prompt", "padding", "new", "padding after the end"
_LOOKS = {  # colours, and for those who do not see them: brackets, a plus, a thicker border
    PROMPT: "background:#DCEBF7;border:1px solid #767676",
    PAD: "background:#DDDDDD;border:1px dashed #767676",
    NEW: "background:#FDF0D0;border:2px solid #767676",
    AFTER: "background:#DDDDDD;border:1px dashed #767676",
}
_SHOWN = {PROMPT: "{}", PAD: "(pad)", NEW: "+{}", AFTER: "(pad)"}
_LONGEST = 16  # characters in a cell that are drawn


@dataclass(frozen=True, eq=False)
class Side:
    """One way of padding. side: "left" or "right".

    ids, mask, positions: (rows, length) int64, what the model reads, new tokens included. kinds:
    for each place "prompt", "padding", "new" or "padding after the end". batch: what is drawn of
    it. pad: the padding token, to read. ends: for each row the place of the token that finished
    it, None if none did. finished: the same in words.
    """

    side: str
    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    kinds: Sequence[Sequence[str]]
    batch: Batch
    pad: str
    ends: Sequence[int | None]
    finished: Sequence[str]

    @property
    def caption(self) -> str:
        """What the grid shows, in words."""
        pads = sum(kind == PAD for row in self.kinds for kind in row)
        rows = "1 row" if len(self.kinds) == 1 else f"{len(self.kinds):,} rows"
        what = f"Padded on the {self.side}: {rows} of {len(self.kinds[0]):,} places, {pads:,} "
        new = "; + marks new tokens" if any(NEW in row for row in self.kinds) else ""
        return f"{what}of them padding; (pad) is {self.pad}{new}"

    def lines(self, row: int) -> list[list[str]]:
        """Return three lines for a row: tokens, mask, positions."""
        drawn = iter(self.batch.cells[row])
        cells = [self._lines(row, at, drawn) for at in self.batch.columns]
        return [list(line) for line in zip(*cells, strict=True)]

    def _lines(self, row: int, place: int | None, drawn: Iterator) -> tuple[str, str, str]:
        if place is None:
            return "…", "…", "…"
        text, mask, position = next(drawn)
        short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        return _SHOWN[self.kinds[row][place]].format(short), str(mask), str(position)

    def table(self) -> Table:
        """Return a table with three lines for each row: tokens, mask, positions."""
        rows = []
        for row in range(len(self.batch.cells)):
            told = (("token", self.finished[row]), ("mask", ""), ("position", ""))
            for (name, end), line in zip(told, self.lines(row), strict=True):
                rows.append([str(row) if name == "token" else "", name, *line, end])
        return Table(self.caption, ["row", "", *self.batch.heads, "finished"], rows)


@dataclass(frozen=True, eq=False)
class Padding:
    """The same texts, padded on the left (as `generate` needs them) and on the right."""

    left: Side
    right: Side
    notes: Sequence[str]

    def __repr__(self) -> str:
        parts = [
            "\n".join(filter(None, (repr(side.table()), side.batch.more)))
            for side in (self.left, self.right)
        ]
        return "\n\n".join([*parts, "\n".join(self.notes)])

    def _repr_html_(self) -> str:
        box = "display:inline-block;vertical-align:top;margin:0 24px 8px 0;max-width:100%"
        sides = "".join(
            f'<div style="{box};overflow-x:auto">{_grid(side)}</div>'
            for side in (self.left, self.right)
        )
        return sides + "".join(f"<div>{escape(note)}</div>" for note in self.notes)


def _grid(side: Side) -> str:
    th = '<th scope="{}" style="padding:2px 5px;text-align:left;vertical-align:top">{}</th>'
    row_head = "{}<br><small>mask<br>position</small>"
    with_ends = any(side.finished)
    heads = ["row", *side.batch.heads, *["finished"] * with_ends]
    body = "".join(
        f"{ROW}{th.format('row', row_head.format(row))}{_cells(side, row)}"
        + f'<td style="{_PLAIN}">{escape(side.finished[row])}</td>' * with_ends
        + "</tr>"
        for row in range(len(side.batch.cells))
    )
    mono = ' style="font-family:monospace"'
    more = f"<div>{side.batch.more}</div>" if side.batch.more else ""
    return (
        '<table style="border-collapse:collapse">'
        '<caption style="caption-side:top;text-align:left;padding:4px 0">'
        f"<b>{escape(side.caption)}</b></caption>"
        f"<thead{mono}><tr>{''.join(th.format('col', head) for head in heads)}</tr></thead>"
        f"<tbody{mono}>{body}</tbody></table>{more}"
    )


_PLAIN = "padding:2px 5px;text-align:left;vertical-align:top"


def _cells(side: Side, row: int) -> str:
    page = []
    for place, token, mask, position in zip(side.batch.columns, *side.lines(row), strict=True):
        if place is None:
            page.append(f'<td style="{_PLAIN}">…</td>')
            continue
        end = "<br><b>end</b>" if place == side.ends[row] else ""
        page.append(
            f'<td style="{_PLAIN};{_LOOKS[side.kinds[row][place]]};color:#000">{escape(token)}'
            f"<br><small>{mask}<br>{position}</small>{end}</td>"
        )
    return "".join(page)


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
    rows = f"row{'s' * (len(padded) > 1)} {some}"
    notes = [
        "Left: every row ends with its own last token, from which the next one is predicted.",
        f"Right: the next token of {rows} is predicted from padding, and new tokens come after it, "
        "at positions from 1 on; that is why generate wants left padding.",
    ]
    if any(AFTER in row for side in (left, right) for row in side.kinds):
        notes.append("A row that finished gets padding while others go on; its mask stays 1 there.")
    return notes

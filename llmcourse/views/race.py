"""A race token by token: the loop's above those of `generate`, with = or ≠ between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse import html
from llmcourse.decoding.race import Race
from llmcourse.show import columns_wide, pad, printable, token_text

_ACROSS = 8  # tokens beside each other, before the next line begins
_LEAD = 3  # equal tokens that are shown before the first difference
_SAME = html.tinted(html.BLUE_TINT)
_OTHER = html.tinted(html.ORANGE_TINT, "3px solid", html.VERMILLION)
_NONE = "(none)"


@dataclass(frozen=True)
class Lane:
    """One text of a race."""

    caption: str  # how it ended, and where the two differ, in sentences
    pairs: list[tuple[int, str, str, bool]]  # step, the loop's token, that of `generate`, equal?
    notes: tuple[str, ...]  # what is left out

    def lines(self) -> Iterator[list[tuple[int, str, str, bool]]]:
        """Yield the pairs that stand beside each other."""
        for at in range(0, len(self.pairs), _ACROSS):
            yield self.pairs[at : at + _ACROSS]

    def __repr__(self) -> str:
        lines = [self.caption, *self.notes]
        for line in self.lines():
            columns = [
                (str(step), mine, "=" if same else "≠", theirs) for step, mine, theirs, same in line
            ]
            widths = [max(map(columns_wide, column)) for column in columns]
            names = ("step", "loop", "", "generate")
            for place, name in enumerate(names):
                cells = [
                    pad(column[place], width) for column, width in zip(columns, widths, strict=True)
                ]
                lines.append(f"{name:8}  {'  '.join(cells)}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        blocks = [_block(line, above=10 if at else 3) for at, line in enumerate(self.lines())]
        rows = [row for block in blocks for row in block]
        return html.table(self.caption, (), rows, notes=self.notes, gap=2)


def _block(line: list[tuple[int, str, str, bool]], above: int) -> list[str]:
    """Return four rows: step numbers, the loop's tokens, = or ≠, the tokens of `generate`.

    above: pixels of air, where they stand below others.
    """
    air = f"padding-top:{above}px;"
    steps = [html.header(str(step), look=f"{air}text-align:center") for step, *_ in line]
    empty = _ACROSS - len(line)
    if empty:  # so that every text gets the same columns
        steps.append(html.cell("", f"min-width:{3.4 * empty:.1f}em", columns=empty))
    return [
        _named("step", steps, air),
        _named("the loop", [_token(text, same) for _, text, _, same in line]),
        _named("equal?", [_sign(same) for *_, same in line]),
        _named("generate", [_token(text, same) for _, _, text, same in line]),
    ]


def _named(name: str, cells: list[str], look: str = "") -> str:
    return html.row([html.header(name, "row", f"{look}white-space:nowrap"), *cells])


def _sign(same: bool) -> str:
    sign = "=" if same else "<b>≠</b>"
    return html.cell(sign, "padding:0 6px;text-align:center;line-height:1.1")


def _token(text: str, same: bool) -> str:
    look = f"min-width:3em;padding:1px 6px;text-align:center;{html.MONO}"
    return html.cell(html.escape(text), look + (_SAME if same else _OTHER))


@dataclass(frozen=True, eq=False)
class Lanes:
    """The texts of a race, and what was equal in all of them."""

    lanes: tuple[Lane, ...]  # one for each text that is shown
    verdict: tuple[str, ...]  # about the whole race, in sentences

    def __repr__(self) -> str:
        return "\n\n".join([*map(repr, self.lanes), "\n".join(self.verdict)])

    def _repr_html_(self) -> str:
        return "".join(lane._repr_html_() for lane in self.lanes) + html.lines(self.verdict)


def race(race: Race, most: int = 24, texts: int = 8, times: bool = True) -> Lanes:
    """Show a race token by token, two aligned rows for each text, and why each text stopped.

    race: what `llmcourse.race` returns. most: how many tokens of each text are shown, around the
    first difference if there is one; texts: how many texts, those that differ first. times: whether
    the seconds are shown; they are never the same twice. Raises TypeError for anything but a Race,
    ValueError for less than one token or text.
    """
    if not isinstance(race, Race):
        raise TypeError(f"race is a {type(race).__name__}; pass what llmcourse.race returns.")
    if most < 1 or texts < 1:
        raise ValueError(f"most={most} and texts={texts} must be at least 1.")
    rows = [_row(race, number) for number in range(len(race.loop))]
    different = [number for number, row in enumerate(rows) if _first_difference(row) is not None]
    order = [*different, *(number for number in range(len(rows)) if number not in set(different))]
    shown = sorted(order[:texts])
    lanes = tuple(_lane(race, number, rows[number], most) for number in shown)
    verdict = [race.verdict()]
    if len(rows) > 1:
        equal = len(rows) - len(different)
        verdict.append(f"{equal} of {len(rows)} texts have the same tokens in both.")
    if len(rows) > len(shown):
        hidden = len(set(order[texts:]) & set(different))
        which = f"{hidden} of them different" if hidden else "all equal"
        verdict.append(f"{len(rows) - len(shown)} more texts are left out, {which}.")
    if times:
        verdict.append(
            f"The loop took {race.loop_seconds:.2f} s, generate {race.library_seconds:.2f} s: "
            "one run each, so a hint and no measurement."
        )
    return Lanes(lanes, tuple(verdict))


def _row(race: Race, number: int) -> list[tuple[int | None, int | None]]:
    """Return the ids that stand at each step, the loop's and those of `generate`."""
    mine, theirs = race.loop[number].tolist(), race.library[number].tolist()
    longest = max(len(mine), len(theirs))
    mine += [None] * (longest - len(mine))
    theirs += [None] * (longest - len(theirs))
    return list(zip(mine, theirs, strict=True))


def _first_difference(row: list[tuple]) -> int | None:
    return next((step for step, (mine, theirs) in enumerate(row) if mine != theirs), None)


def _lane(race: Race, number: int, row: list[tuple], most: int) -> Lane:
    tokenizer = race.tokenizer
    parted = _first_difference(row)
    length = len(row) - _padding(tokenizer, row, race.stop_reasons[number])
    begin = 0 if parted is None or parted < most else parted - min(_LEAD, most - 1)
    end = min(length, begin + most)
    pairs = [
        (step, _text(tokenizer, mine), _text(tokenizer, theirs), mine == theirs)
        for step, (mine, theirs) in enumerate(row[begin:end], start=begin)
    ]
    notes = []
    if begin:
        notes.append(f"Steps 0 to {begin - 1:,} are left out: equal.")
    if end < length:
        differ = sum(mine != theirs for mine, theirs in row[end:length])
        which = f"{differ:,} of them different" if differ else "equal"
        notes.append(f"Steps {end:,} to {length - 1:,} are left out: {which}.")
    if length < len(row):
        notes.append(f"Then {len(row) - length:,} times padding in both, until the batch is done.")
    return Lane(_caption(race, number, row[:length], parted), pairs, tuple(notes))


def _caption(race: Race, number: int, row: list[tuple], parted: int | None) -> str:
    reason = race.stop_reasons[number]
    sentence = printable(getattr(reason, "sentence", ""))
    if parted is None:
        found = f"{len(row):,} tokens, the same in both."
    else:
        mine, theirs = (_text(race.tokenizer, token) for token in row[parted])
        found = f"They differ from step {parted:,} on: the loop {mine}, generate {theirs}."
    stopped = f"Stopped by {printable(reason)}{': ' if sentence else '.'}{sentence}"
    return f"Text {number + 1} of {len(race.loop)}. {found} {stopped}"


def _padding(tokenizer, row: list[tuple], reason) -> int:
    """Return how many steps at the end are padding in both; the EOS that ended the text is none."""
    filler = tokenizer.pad_token_id
    if filler is None or reason in (None, "length", "time"):  # these end a whole batch at once
        return 0
    run = 0
    while run < len(row) and row[-1 - run] == (filler, filler):
        run += 1
    is_eos = reason == "eos" and f"token {filler}," in getattr(
        reason, "sentence", f"token {filler},"
    )
    return max(0, run - is_eos)


def _text(tokenizer, token: int | None) -> str:
    return _NONE if token is None else token_text(tokenizer, token)

"""Who sits in which row of a batch at each step, and which pages of the cache are whose."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from llmcourse import html
from llmcourse.decoding.schedule import Turn, paged
from llmcourse.show import pad, plural

_ACROSS, _DOWN = 40, 48  # steps, and seats or pages, that are drawn
_STEP = f"padding:2px 5px;min-width:1.8em;{html.MONO}"
_BOX = f"padding:2px 5px;white-space:nowrap;{html.MONO}"
_TINTS = (html.BLUE_TINT, html.GREEN_TINT, html.ORANGE_TINT, html.YELLOW_TINT, html.GREY_TINT)
_NOBODY = "–"


@dataclass(frozen=True)
class Grid:
    """A row for each seat or page, a column for each step."""

    caption: str  # what it shows, in sentences
    name: str  # of a row: seat, page
    rows: tuple[tuple[tuple[int | None, str], ...], ...]  # (request or None, what stands there)
    notes: tuple[str, ...]  # how to read it, and what is left out

    def __repr__(self) -> str:
        steps = [str(step) for step in range(len(self.rows[0]))]
        names = [f"{self.name} {number}" for number in range(len(self.rows))]
        lines = [["step", *steps]]
        lines += [
            [name, *(text for _, text in row)] for name, row in zip(names, self.rows, strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        drawn = ["  ".join(map(pad, line, widths)).rstrip() for line in lines]
        return "\n".join([self.caption, *self.notes, *drawn])

    def _repr_html_(self) -> str:
        steps = [html.header(str(step), look=_STEP) for step in range(len(self.rows[0]))]
        rows = [html.row([html.header("step", "row"), *steps])]
        for number, row in enumerate(self.rows):
            name = html.header(f"{self.name} {number}", "row", "white-space:nowrap")
            rows.append(html.row([name, *(_box(*one) for one in _boxes(row))]))
        return html.table(self.caption, (), rows, notes=self.notes, gap=2)


def _boxes(row: Sequence[tuple[int | None, str]]) -> Iterator[tuple[int | None, str, str, int]]:
    """Yield (request or None, first text, last text, steps) of each stay in a row."""
    for request, stay in groupby(row, key=lambda place: place[0]):
        texts = [text for _, text in stay]
        yield request, texts[0], texts[-1], len(texts)


def _box(request: int | None, first: str, last: str, steps: int) -> str:
    """Return a stay as one cell, as wide as its steps: a cell each would make a page of 700 kB."""
    shown = html.escape(first)
    if request is None:
        return html.cell(shown, _BOX, columns=steps)
    if steps > 1 and last[-1:] == ".":
        shown += '<span style="float:right">.</span>'
    border = "2px solid" if first[:1] == "+" else "1px solid"
    look = html.tinted(_TINTS[request % len(_TINTS)], border)
    return html.cell(shown, _BOX + look, columns=steps)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The seats of a batch over time and, where they were asked for, the pages of its cache."""

    grids: tuple[Grid, ...]

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.grids))

    def _repr_html_(self) -> str:
        return "".join(grid._repr_html_() for grid in self.grids)


def schedule(turns: Iterable[Turn], page: int | None = None) -> Schedule:
    """Show who sits where at each step of a batch that is joined and left.

    turns: what `decoding.schedule.serve` yields. page: tokens of a page, to show the pages of the
    cache as well, beside what it takes to keep a place for the longest text in every seat. The
    first 40 steps, 48 seats and 48 pages are drawn. Raises ValueError for no turns, or a page
    without tokens.
    """
    turns = list(turns)
    if not turns:
        raise ValueError("turns is empty; a generator works once: pass list(...).")
    grids = [_seats(turns)]
    if page is not None:
        grids.append(_pages(turns, page))
    return Schedule(tuple(grids))


def _seats(turns: Sequence[Turn]) -> Grid:
    def stands(turn: Turn, seat: int) -> tuple[int | None, str]:
        number = turn.seats[seat]
        if number is None:
            return None, _NOBODY
        joins = (turn.index, seat) in first
        ends = "." if number in turn.left else ""
        return number, f"+{number}{ends}" if joins else f"{number}{ends}"

    first = _first_turns(turns)
    many = len(turns[0].seats)
    taken = sum(number is not None for turn in turns for number in turn.seats)
    made = sum(len(turn.chosen) for turn in turns)
    share = taken / (many * len(turns))
    caption = (
        f"{plural(made, 'token')} in {plural(len(turns), 'step')} on {plural(many, 'seat')}: "
        f"{share:.0%} of the places were taken."
    )
    read = "The number is the request's; + it joins and its prompt is read, . its text ends"
    return _grid(caption, "seat", turns, many, stands, f"{read}, {_NOBODY} nobody sits there.")


def _first_turns(turns: Sequence[Turn]) -> set[tuple[int, int]]:
    """Return (index of the turn, seat) of each request's first turn."""
    seen: set[int] = set()
    first = set()
    for turn in turns:
        for seat, number in enumerate(turn.seats):
            if number is not None and number not in seen:
                seen.add(number)
                first.add((turn.index, seat))
    return first


def _pages(turns: Sequence[Turn], size: int) -> Grid:
    owners = list(paged(turns, size))
    many = max(map(len, owners))
    longest = max(held for turn in turns for held in turn.held)
    kept = len(turns[0].seats) * longest
    caption = (
        f"Pages of {plural(size, 'token')}: {many:,} are enough, {plural(many * size, 'token')}. "
        f"A place for the longest text in every seat takes {plural(kept, 'token')}."
    )

    def stands(turn: Turn, place: int) -> tuple[int | None, str]:
        given = owners[turn.index - turns[0].index]
        owner = given[place] if place < len(given) else None
        return owner, _NOBODY if owner is None else str(owner)

    return _grid(caption, "page", turns, many, stands, "The number is the request's.")


def _grid(
    caption: str, name: str, turns: Sequence[Turn], many: int, stands: Callable, how: str
) -> Grid:
    shown = turns[:_ACROSS]
    rows = tuple(tuple(stands(turn, place) for turn in shown) for place in range(min(many, _DOWN)))
    notes = [how]
    if len(turns) > len(shown):
        notes.append(f"{plural(len(turns) - len(shown), 'more step')} are left out.")
    if many > _DOWN:
        notes.append(f"{plural(many - _DOWN, f'more {name}')} are left out.")
    return Grid(caption, name, rows, tuple(notes))

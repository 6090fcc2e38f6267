"""What a key-value cache saves at each step of a run, as bars, and the bytes that it takes."""

from collections.abc import Iterable
from dataclasses import dataclass

from llmcourse import html
from llmcourse.decoding.loop import Step
from llmcourse.html import BLUE, BLUE_TINT, ORANGE
from llmcourse.measure.cache_size import Layer, layers_of
from llmcourse.show import Table, amount, plural

_FIRST, _LAST = 12, 4  # steps of a long run that are shown
_WIDEST = 130  # pixels of the longest bar


@dataclass(frozen=True)
class Turn:
    """One step of the run with a cache, and the same step of the run without one."""

    index: int  # of the step
    computed: int  # tokens that the model read
    reused: int  # tokens whose keys and values were kept
    milliseconds: float  # of the step
    again: int | None = None  # tokens that it read without a cache; None if there is no such run
    milliseconds_again: float | None = None  # of that step

    @property
    def length(self) -> int:
        """Tokens in the cache after the step."""
        return self.computed + self.reused


@dataclass(frozen=True, eq=False)
class Cache:
    """Steps with and without a cache."""

    turns: tuple[Turn, ...]
    layers: tuple[Layer, ...] | None = None  # of the cache; None if its bytes are not asked for
    rows: int = 1  # of the batch
    context: int | None = None  # the longest text of the model, in tokens; None if not known

    @property
    def both(self) -> bool:
        """True if there is a run without a cache beside the other one."""
        return self.turns[0].again is not None

    def bytes_at(self, length: int) -> int:
        """Return how many bytes the cache of this batch takes at `length` tokens a row."""
        return self.rows * sum(layer.bytes_at(length) for layer in self.layers)

    @property
    def caption(self) -> str:
        """What the table shows, in words: tokens read with and without a cache, and bytes."""
        read = sum(turn.computed for turn in self.turns)
        said = f"{plural(len(self.turns), 'step')} with a cache read {plural(read, 'token')}"
        if self.both:
            again = sum(turn.again for turn in self.turns)
            said += f", without one {again:,}, {again / read:.1f} times as many"
        if self.layers is None:
            return said + "."
        last = self.turns[-1].length
        said += f". The cache holds {amount(self.bytes_at(last))} at {last:,} tokens"
        said += f", {amount(self.bytes_at(last + 1) - self.bytes_at(last))} more with the next"
        if self.context:
            said += (
                f", {amount(self.bytes_at(self.context))} at the {self.context:,} of a full context"
            )
        return said + (f"; {self.rows} rows." if self.rows > 1 else ".")

    def _shown(self) -> list[Turn | None]:
        """Return the steps to show, with None for those left out of a long run."""
        if len(self.turns) <= _FIRST + _LAST + 1:
            return list(self.turns)
        return [*self.turns[:_FIRST], None, *self.turns[-_LAST:]]

    def _headers(self) -> list[str]:
        headers = ["step", "computed", "reused", "ms"]
        if self.both:
            headers += ["computed without cache", "ms without"]
        return headers if self.layers is None else [*headers, "cache"]

    def _line(self, turn: Turn | None) -> list[str]:
        if turn is None:
            more = f"{plural(len(self.turns) - _FIRST - _LAST, 'step')} left out"
            return ["…", more, *[""] * (len(self._headers()) - 2)]
        line = [f"{turn.index}", f"{turn.computed:,}", f"{turn.reused:,}"]
        line.append(f"{turn.milliseconds:.1f}")
        if self.both:
            line += [f"{turn.again:,}", f"{turn.milliseconds_again:.1f}"]
        return line if self.layers is None else [*line, amount(self.bytes_at(turn.length))]

    def table(self) -> Table:
        """Return a table with a line for each step that is shown."""
        return Table(self.caption, self._headers(), [self._line(turn) for turn in self._shown()])

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        longest = max(max(turn.length, turn.again or 0) for turn in self.turns)
        rows = [self._row(turn, longest) for turn in self._shown()]
        headers = ["step", "with cache:\ncomputed (dark), reused (light)", "ms"]
        if self.both:
            headers += ["without cache:\ncomputed", "ms"]
        if self.layers is not None:
            headers.append("cache\nsize")
        return html.table(self.caption, headers, rows)

    def _row(self, turn: Turn | None, longest: int) -> str:
        name, *texts = map(html.escape, self._line(turn))
        name = html.header(name, "row")
        if turn is None:
            return html.row([name, html.cell(texts[0], columns=len(texts) - 1)])
        kept = [(turn.reused / longest, BLUE_TINT), (turn.computed / longest, BLUE)]
        cells = [f"{texts[0]} computed, {texts[1]} reused{html.bars(kept, _WIDEST)}", texts[2]]
        if self.both:
            again = html.bar(turn.again / longest, ORANGE, _WIDEST)
            cells += [f"{texts[3]} computed{again}", texts[4]]
        if self.layers is not None:
            cells.append(texts[-1])
        return html.row([name, *(html.cell(one, "white-space:nowrap") for one in cells)])


def cache(
    with_cache: Iterable[Step], without_cache: Iterable[Step] | None = None, *, model=None
) -> Cache:
    """Show what is computed and what is reused at each step of a run.

    with_cache, without_cache: what `llmcourse.steps` yields for the same call, without one with
    `use_cache=False`. model: to show the bytes of the cache, which follow from its config and dtype
    (see `measure.layers_of`). Of a long run the first 12 and the last 4 steps are shown. Raises
    ValueError for no steps, for two runs of different lengths, for a run with a cache that has
    none, and for a model of which `layers_of` does not know the bytes.
    """
    first, other = list(with_cache), None if without_cache is None else list(without_cache)
    if not first:
        raise ValueError("with_cache has no steps; a generator works once: pass list(...).")
    if not first[0].cache_length:
        raise ValueError("with_cache is a run without a cache; leave out use_cache=False there.")
    if other is not None and len(other) != len(first):
        raise ValueError(
            f"with_cache has {len(first)} steps and without_cache {len(other)}; pass the same call."
        )
    if other and other[0].cache_length:
        raise ValueError("without_cache is a run with a cache; pass use_cache=False there.")
    turns = []
    for place, step in enumerate(first):
        computed = step.fed.shape[1]
        beside = (other[place].fed.shape[1], 1000 * other[place].seconds) if other else ()
        reused = step.cache_length - computed
        turns.append(Turn(step.index, computed, reused, 1000 * step.seconds, *beside))
    layers, context = None, None
    if model is not None:
        layers = layers_of(model)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return Cache(tuple(turns), layers, len(first[0].fed), context)

"""What a key-value cache saves at each step of a real run, and the bytes that it takes."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from llmcourse.decoding.loop import Step
from llmcourse.show import Table, escape
from llmcourse.views import _cells as cells
from llmcourse.views._cells import plural
from llmcourse.views._chart import BLUE, ORANGE

_FIRST, _LAST = 12, 4  # steps of a long run that are shown
_KEPT = "#CCE3F2"


@dataclass(frozen=True)
class Turn:
    """One step of the run with a cache, and the same step of the run without one.

    computed: tokens that the model read. reused: tokens whose keys and values were kept. again:
    tokens that the model read without a cache, None if there is no such run. milliseconds,
    milliseconds_again: of the two steps.
    """

    index: int
    computed: int
    reused: int
    milliseconds: float
    again: int | None = None
    milliseconds_again: float | None = None

    @property
    def length(self) -> int:
        """Tokens in the cache after the step."""
        return self.computed + self.reused


@dataclass(frozen=True, eq=False)
class Cache:
    """Steps with and without a cache. layers: of the cache, None if its bytes are not asked for.

    rows: of the batch. context: the longest text of the model, None if it is not known.
    """

    turns: tuple[Turn, ...]
    layers: tuple["Layer", ...] | None = None
    rows: int = 1
    context: int | None = field(default=None)

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
        told = f"{plural(len(self.turns), 'step')} with a cache read {plural(read, 'token')}"
        if self.both:
            again = sum(turn.again for turn in self.turns)
            told += f", without one {again:,}, {again / read:.1f} times as many"
        if self.layers is None:
            return told + "."
        last = self.turns[-1].length
        told += f". The cache holds {amount(self.bytes_at(last))} at {last:,} tokens"
        told += f", {amount(self.bytes_at(last + 1) - self.bytes_at(last))} more with the next"
        if self.context:
            told += (
                f", {amount(self.bytes_at(self.context))} at the {self.context:,} of a full context"
            )
        return told + (f"; {self.rows} rows." if self.rows > 1 else ".")

    def _shown(self) -> list[Turn | None]:
        """Return the steps to show, with None for those left out of a long run."""
        if len(self.turns) <= _FIRST + _LAST + 1:
            return list(self.turns)
        return [*self.turns[:_FIRST], None, *self.turns[-_LAST:]]

    def _headers(self) -> list[str]:
        headers = ["step", "computed", "reused", "ms"]
        headers += ["computed without cache", "ms without"] * self.both
        return headers + ["cache"] * (self.layers is not None)

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
        lines = [self._html_line(turn, longest) for turn in self._shown()]
        headers = ["step", "with cache:\ncomputed (dark), reused (light)", "ms"]
        headers += ["without cache:\ncomputed", "ms"] * self.both
        headers += ["cache\nsize"] * (self.layers is not None)
        return cells.table(self.caption, headers, lines)

    def _html_line(self, turn: Turn | None, longest: int) -> str:
        head, *texts = map(escape, self._line(turn))
        if turn is None:
            return cells.row(head, [cells.td(texts[0], columns=len(texts) - 1)])
        widest = 130
        kept = [(turn.reused / longest, _KEPT), (turn.computed / longest, BLUE)]
        told = f"{texts[0]} computed, {texts[1]} reused"
        line = [f"{told}{cells.bars(kept, widest)}", texts[2]]
        if self.both:
            line += [f"{texts[3]} computed{cells.bars([(turn.again / longest, ORANGE)], widest)}"]
            line += [texts[4]]
        if self.layers is not None:
            line.append(cells.td(texts[-1], "white-space:nowrap"))
        return cells.row(head, line)


@dataclass(frozen=True)
class Layer:
    """The cache of one layer: bytes a token, and the most tokens that it keeps (None: all)."""

    bytes_per_token: int
    most: int | None = None

    def bytes_at(self, length: int) -> int:
        """Return the bytes of one row of `length` tokens."""
        return self.bytes_per_token * (length if self.most is None else min(length, self.most))


def cache(
    with_cache: Iterable[Step], without_cache: Iterable[Step] | None = None, *, model=None
) -> Cache:
    """Show what is computed and what is reused at each step of a run.

    with_cache, without_cache: what `llmcourse.steps` yields for the same call, without one with
    `use_cache=False`. model: to tell the bytes of the cache, which follow from its config and dtype
    (see `layers_of`). Of a long run the first 12 and the last 4 steps are shown. Raises ValueError
    for no steps, for two runs of different lengths, for a run with a cache that has none, and for a
    model of which `layers_of` does not know the bytes.
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


def layers_of(model) -> tuple[Layer, ...]:
    """Return what each layer of a model's key-value cache takes, for one row.

    A token takes 2 (key and value) x key-value heads x head size x bytes of a number. A layer with
    a sliding window keeps one token less than the window. Raises ValueError for a model with other
    than attention layers, such as Mamba.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    count = getattr(config, "num_hidden_layers", None)
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or (
        ["sliding_attention" if window else "full_attention"] * (count or 0)
    )
    if (
        not heads
        or not count
        or not set(kinds) <= {"full_attention", "sliding_attention"}
        or (hasattr(config, "mamba_d_state"))
    ):
        raise ValueError(
            f"model is a {config.model_type}, whose cache is more than attention's "
            "keys and values; leave model= out."
        )
    kept = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    per_token = 2 * kept * size * model.dtype.itemsize
    return tuple(
        Layer(per_token, window - 1 if kind == "sliding_attention" and window else None)
        for kind in kinds
    )


def amount(size: float) -> str:
    """Return a number of bytes as people read it: `23 kB`, `1.4 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"

"""Forward passes of a loop written by hand, one after another: what each goes on from."""

import functools
import linecache
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache

from llmcourse.decoding.cache import CACHE_NAMES
from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import Case, Forward
from llmcourse.doctor.ids import packed
from llmcourse.doctor.listen import Event
from llmcourse.doctor.static.reading.passes import reads_last_place
from llmcourse.doctor.static.reading.source import Source

_STATES = ("past_key_values", "past", "cache_params", "state", "past_states", "mems")
_MOST = 64  # tokens of a loop that are remembered, the last ones
_ROWS = 256  # texts of one line, read without a cache, that are remembered


@dataclass(frozen=True, eq=False)
class _Run:
    """Steps at one line that each add a token."""

    shape: tuple[int, int]  # of the text so far: rows and tokens, those in the cache included
    cache: int  # the cache's `id`; 0 for none
    written: tuple[tuple[int, ...], ...]  # as `Forward.written`


class Steps:
    """Remembers what a cache was fed, and what a loop has written."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._fed = weakref.WeakKeyDictionary()  # by cache: (batch, length) int64 each
        self._last: torch.Tensor | None = None  # what was read last without a cache
        self._runs: dict[Site, _Run] = {}
        # By line, and by the text that was read there without a cache: what was added to it.
        self._texts: dict[Site, OrderedDict[bytes, tuple[int, ...]]] = {}
        # What was read last at a line, beside no cache.
        self._windows: dict[Site, torch.Tensor] = {}

    def follow(self, event: Event) -> Forward:
        """Return a forward pass with what the passes before it say about it."""
        given, site = event.arguments, event.site
        names = ("input_ids", "attention_mask", "position_ids", "labels")
        facts = {name: _tensor(given.get(name)) for name in names}
        ids, cache = facts["input_ids"], given.get("past_key_values")
        ids = ids if ids is not None and ids.dim() == 2 else None
        cached = _length(cache)
        mask = facts["attention_mask"]
        return Forward(
            **facts,
            line=site.line,
            file=site.file,
            names=tuple(given),
            cached=cached,
            has_cache=any(given.get(name) is not None for name in _STATES),
            fed=None if ids is None else self._feed(cache, cached, ids),
            written=() if ids is None else self._write(site, cache, cached, ids),
            slid=ids is not None and self._slide(site, cache, cached, ids),
            learns=torch.is_grad_enabled(),
            reads_last=_ends_with_padding(mask) and reads_last(site.file, site.line),
        )

    def generated(self, event: Event, case: Case) -> None:
        """Note what a call to `generate` left in the cache that it was given, or returned."""
        alone = case.output is not None and case.input_ids is not None
        alone = alone and len(case.output) == len(case.input_ids)
        alone = alone and (case.setting("num_beams") or 1) == 1
        for given in (event.arguments, event.result):
            self._fill(cache_of(given), case.output if alone else None)

    def _fill(self, cache, text: torch.Tensor | None) -> None:
        """Note what is in a cache: the beginning of a text, (batch, length) int64."""
        if not isinstance(cache, Cache):
            return
        cached = _length(cache)
        if text is None or text.dim() != 2 or not 0 < cached <= text.shape[1]:
            self._fed.pop(cache, None)  # several answers or beams: nothing is known of its rows
        else:
            self._fed[cache] = [text[:, :cached].detach().clone()]

    def held(self, cache) -> torch.Tensor | None:
        """Return the ids that a cache holds, (batch, length) int64, where that is known."""
        if not isinstance(cache, Cache) or cache not in self._fed:
            return None
        parts, cached = self._fed[cache], _length(cache)
        if len({len(part) for part in parts}) > 1 or sum(part.shape[1] for part in parts) < cached:
            return None
        return torch.cat(parts, dim=1)[:, :cached]

    def _feed(self, cache, cached: int, ids: torch.Tensor) -> torch.Tensor | None:
        """Note what a cache gets; return what it held, where that is known and asked for."""
        if cache is not None and not isinstance(cache, Cache):
            return None
        before, self._last = self._last, ids if cache is None else None
        if not cached:
            held = []
        elif cache in self._fed:
            held = self._fed[cache]
        else:  # the pass before made it
            held = [before] if before is not None and before.shape[1] == cached else None
        length = 0 if held is None else sum(part.shape[1] for part in held)
        if length < cached or len({len(part) for part in (*(held or ()), ids)}) > 1:
            self._fed.pop(cache, None)
            return None
        if length > cached or len(held) > _MOST:  # cropped, or in many pieces
            held = [torch.cat(held, dim=1)[:, :cached]]
        if cache is not None:
            self._fed[cache] = [*held, ids]
        return torch.cat(held, dim=1) if cached > 1 and ids.shape[1] > 1 else None

    def _write(self, site: Site, cache, cached: int, ids: torch.Tensor) -> tuple:
        """Return what the steps at a line have added one by one, this one's token included."""
        if not cached and cache is None and ids.shape[1] > 1:
            self._runs.pop(site, None)
            return self._append(site, ids)
        before, key = self._runs.get(site), id(cache) if cached else 0
        shape = (ids.shape[0], cached + ids.shape[1])
        alone = ids.shape[1] == 1 or not cached
        goes_on = before is not None and before.shape == (shape[0], shape[1] - 1)
        goes_on = goes_on and before.cache in (0, key)
        written = before.written[-_MOST:] if goes_on else ()
        if alone and (goes_on or cached):
            written = (*written, tuple(ids[:, -1].tolist()))
        self._runs[site] = _Run(shape, key, written)
        return written

    def _append(self, site: Site, ids: torch.Tensor) -> tuple:
        """Return what was added to texts that were read before, whole, in whatever order."""
        known = self._texts.setdefault(site, OrderedDict())
        rows = [packed(row) for row in ids.tolist()]
        added = []
        for row, last in zip(rows, ids[:, -1].tolist(), strict=True):
            before = known.get(row[: -len(packed([last]))])
            added.append(() if before is None else (*before[-_MOST:], last))
        known.update(zip(rows, added, strict=True))
        while len(known) > max(_ROWS, len(rows)):
            known.popitem(last=False)
        steps = min(map(len, added), default=0)
        return tuple(zip(*(row[len(row) - steps :] for row in added), strict=True))

    def _slide(self, site: Site, cache, cached: int, ids: torch.Tensor) -> bool:
        """Tell whether a line reads what it read before but the first token, and a new one."""
        if cache is not None or cached:
            return False
        before, self._windows[site] = self._windows.get(site), ids
        alike = before is not None and before.shape == ids.shape and ids.shape[1] > 2
        return alike and torch.equal(before[:, 1:], ids[:, :-1]) and not _repeats(ids)


def _repeats(ids: torch.Tensor) -> bool:
    """Tell whether rows are one run of tokens over and over: then any part is like the next."""
    most = min(_MOST, ids.shape[1] // 2)
    return any(torch.equal(ids[:, run:], ids[:, :-run]) for run in range(1, most + 1))


def cache_of(given) -> Any:
    """Return the cache among a call's arguments, or of what it returned; None if there is none."""
    if not isinstance(given, Mapping):
        return None
    return next((given[name] for name in CACHE_NAMES if given.get(name) is not None), None)


def _tensor(value) -> torch.Tensor | None:
    return value if isinstance(value, torch.Tensor) else None


def _length(cache: Any) -> int:
    """Return how many tokens a cache holds; 0 where it cannot be asked."""
    try:
        return int(cache.get_seq_length())
    except Exception:  # none, a cache of one's own, or one that was never used
        return 0


def _ends_with_padding(mask: torch.Tensor | None) -> bool:
    """Tell whether some row of a mask ends with padding, and is not padding alone."""
    if mask is None or mask.dim() != 2 or mask.shape[1] < 2:
        return False
    return bool(((mask[:, -1] == 0) & (mask != 0).any(1)).any())


@functools.lru_cache(maxsize=64)
def reads_last(file: str | None, line: int | None) -> bool:
    """Tell whether a pass's logits are taken of the last place, as far as its source shows it."""
    if file is None or line is None:
        return False
    try:
        source = Source("".join(linecache.getlines(file)))
    except SyntaxError:
        return False
    calls = [call for call in source.calls if call.lineno <= line <= (call.end_lineno or 0)]
    return any(reads_last_place(source, call) for call in calls)

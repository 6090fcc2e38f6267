"""What the user's processors, criteria and functions of allowed tokens do in a call to `generate`.

`Callables.begin` notes what a call is given to call, and until `end` what each of them gets and
returns, step by step. The library's lists call them one by one, as they do without it: the same
arguments, values and errors. Nothing is called twice, and no number is drawn.
"""

import contextlib
import functools
import hashlib
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList
from transformers.generation.logits_process import PrefixConstrainedLogitsProcessor

from llmcourse.doctor import listen
from llmcourse.doctor.case import MOST_ROWS, Called, Case, Decoded, Edit, Step
from llmcourse.doctor.held import name_of, state_of, subject_of

_STEPS = 128  # of a callable in a call that are noted, the first ones
_FEW = 64  # tokens that are noted by their ids
_ONES_OWN = ("transformers", "llmcourse", "torch")  # whose callables are not looked at
_CALLS = 4  # earlier calls of an object that are remembered
_OBJECTS = 64  # that are remembered
_NEARLY_ONE = 0.01  # by which probabilities may miss their sum
_SPREAD = 0.1  # of scores that count as alike
_ZERO = 1e-3  # a score up to which it counts as 0

_local = threading.local()  # calls: those to `generate` that this thread is in, the inmost last


class _Record:
    """A callable in a call, while it runs."""

    def __init__(self, kind: str, what: Any) -> None:
        self.kind, self.what = kind, what
        self.decoded: list[tuple[int, Any, Decoded]] = []  # by a streamer: put, tokenizer, text
        self.before = state_of(what)
        self.steps: list[Step] = []
        self.error: Exception | None = None
        self.first_choice: tuple = ()
        self.whole = True


class Recorder:
    """What is noted of one call to `generate`."""

    def __init__(self, case: Case, fail: Callable[[Exception], None]) -> None:
        self.fail, self.eos_ids = fail, frozenset(case.eos_ids)
        self.records: dict[int, _Record] = {}
        self.putting: _Record | None = None  # the streamer that is being given tokens
        for kind, given in _given(case.call):
            if _is_looked_at(given):
                self.records.setdefault(id(given), _Record(kind, given))

    def note(self, record: _Record, look: Callable[[], Step]) -> None:
        """Add what `look` makes of a step to a record, and never raise an exception."""
        if len(record.steps) >= _STEPS:
            record.whole = False
            return
        try:
            with listen.unheard(), torch.no_grad():
                record.steps.append(look())
        except Exception as error:
            self.fail(error)

    def decoded(self) -> Iterator[tuple[Any, Decoded]]:
        """Yield (tokenizer, text) of what a streamer of the user's decoded, without its prompt."""
        for record in self.records.values():
            yield from ((tokenizer, one) for put, tokenizer, one in record.decoded if put > 1)


class Callables:
    """Follows the callables of calls to `generate`, and remembers what they did in earlier ones."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._earlier: dict[int, tuple[weakref.ref, tuple[Called, ...]]] = {}
        self._to_put_back: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def follow(self) -> None:
        """Hear the library's lists of processors and criteria from now on."""
        for owner, wrap in (
            (LogitsProcessorList, _processors),
            (StoppingCriteriaList, _criteria),
        ):
            original = vars(owner)["__call__"]
            wrapper = wrap(original)
            owner.__call__ = wrapper
            self._to_put_back.append(functools.partial(_put_back, owner, wrapper, original))

    def leave(self) -> None:
        """Put the lists' methods back."""
        while self._to_put_back:
            self._to_put_back.pop()()

    def begin(self, case: Case, fail: Callable[[Exception], None]) -> Recorder | None:
        """Note what a call is given to call; None where nothing of it is the user's."""
        recorder = None
        try:
            if self._to_put_back and not _drafts(case):
                recorder = Recorder(case, fail)
                recorder = recorder if recorder.records else None
                self._follow_streamer(case.call.get("streamer"))
        finally:
            _calls().append(recorder)
        return recorder

    def _follow_streamer(self, streamer) -> None:
        """Hear what a streamer of the user's is given; one of the library's is left alone."""
        if streamer is None or not _is_looked_at(streamer):
            return
        for owner in type(streamer).__mro__:
            original = vars(owner).get("put")
            if original is None or getattr(original, "_is_heard", False):
                continue
            if str(owner.__module__).partition(".")[0] in _ONES_OWN:
                continue
            with self._lock:
                wrapper = _put(original)
                wrapper._is_heard = True
                owner.put = wrapper
                put_back = functools.partial(_put_back, owner, wrapper, original, "put")
                self._to_put_back.append(put_back)

    @staticmethod
    def keep_decoding(tokenizer, one: Decoded) -> bool:
        """Keep a text that a streamer decodes while it is given tokens; tell whether it was one."""
        recorder = _recorder()
        record = None if recorder is None else recorder.putting
        if record is None:
            return False
        if len(record.decoded) < _STEPS:
            record.decoded.append((len(record.steps) + 1, tokenizer, one))
        return True

    def end(self, recorder: Recorder | None) -> list[Called]:
        """Return what a call's callables did; the call is over."""
        calls = _calls()
        if calls:
            calls.pop()
        if recorder is None:
            return []
        return [self._ended(record) for record in recorder.records.values()]

    def _ended(self, record: _Record) -> Called:
        subject = subject_of(record.what)
        with self._lock:
            kept, earlier = self._earlier.get(id(subject), (None, ()))
            if kept is None or kept() is not subject:
                earlier = ()
            called = Called(
                kind=record.kind,
                name=name_of(record.what),
                what=record.what,
                steps=record.steps,
                before=record.before,
                after=state_of(record.what),
                error=record.error,
                first_choice=record.first_choice,
                earlier=tuple(one for one in earlier if one.kind == record.kind),
                whole=record.whole,
            )
            with contextlib.suppress(TypeError):  # of a kind to which there are no weak references
                mine = replace(called, what=None, error=None, earlier=())
                self._earlier.pop(id(subject), None)
                self._earlier[id(subject)] = weakref.ref(subject), (*earlier, mine)[-_CALLS:]
            while len(self._earlier) > _OBJECTS:
                self._earlier.pop(next(iter(self._earlier)))
        return called


def _put_back(owner: type, wrapper, original, name: str = "__call__") -> None:
    if vars(owner).get(name) is wrapper:  # else others wrapped it since: leave it
        setattr(owner, name, original)


def _calls() -> list[Recorder | None]:
    return _local.__dict__.setdefault("calls", [])


def _recorder() -> Recorder | None:
    calls = _calls()
    return calls[-1] if calls else None


def _given(call: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (argument, callable) of all that a call is given to call."""
    for kind in ("logits_processor", "stopping_criteria"):
        given = call.get(kind)
        for one in given if isinstance(given, list | tuple) else ():
            yield kind, one
    allowed = call.get("prefix_allowed_tokens_fn")
    if allowed is not None:
        yield "prefix_allowed_tokens_fn", allowed
    if call.get("streamer") is not None:
        yield "streamer", call["streamer"]


def _is_looked_at(given) -> bool:
    """Tell whether a callable is neither the library's nor of this package."""
    while isinstance(given, functools.partial):
        given = given.func
    module = getattr(given, "__module__", None) or type(given).__module__
    known = callable(given) or callable(getattr(given, "put", None))
    return known and str(module).partition(".")[0] not in _ONES_OWN


def _drafts(case: Case) -> bool:
    """Tell whether the call guesses tokens ahead: a step is then no single token."""
    names = ("assistant_model", "custom_generate")
    given = any(case.call.get(name) is not None for name in names)
    return given or bool(case.asked("prompt_lookup_num_tokens"))


# What stands in the place of the lists' methods


def _processors(original):
    @functools.wraps(original)
    def call(self, input_ids, scores, **keywords):
        recorder = _recorder()
        if recorder is None:
            return original(self, input_ids, scores, **keywords)
        for processor in self:
            scores = _processed(recorder, original, processor, input_ids, scores, keywords)
        return scores

    return call


def _processed(recorder: Recorder, original, processor, input_ids, scores, keywords):
    """Return what the library's list of one processor makes of the scores, and note it."""
    alone = LogitsProcessorList([processor])
    if isinstance(processor, PrefixConstrainedLogitsProcessor):
        return _constrained(recorder, original, processor, input_ids, scores, keywords)
    record = recorder.records.get(id(processor))
    if record is None or len(record.steps) >= _STEPS:
        if record is not None:
            record.whole = False
        return original(alone, input_ids, scores, **keywords)
    before = _first_rows(scores)
    with _errors_noted(record):
        made = original(alone, input_ids, scores, **keywords)
    _note_first_choice(recorder, record, before, made)
    recorder.note(record, lambda: _step_of_scores(input_ids, before, made))
    return made


def _constrained(recorder: Recorder, original, processor, input_ids, scores, keywords):
    """Return what the library's processor with a function of allowed tokens makes of scores."""
    alone = LogitsProcessorList([processor])
    record = recorder.records.get(id(getattr(processor, "_prefix_allowed_tokens_fn", None)))
    first = record is not None and not record.steps
    with _allowed_noted(recorder, processor, scores.shape[-1]):
        made = original(alone, input_ids, scores, **keywords)
    if first:
        _note_first_choice(recorder, record, _first_rows(scores), made, first=True)
    return made


def _note_first_choice(recorder: Recorder, record: _Record, before, made, first=False) -> None:
    """Note of the first step which tokens a callable left, and what the model would have said."""
    if before is None or (record.steps and not first):
        return
    try:
        record.first_choice = tuple(_choices(before, _first_rows(made)))
    except Exception as error:
        recorder.fail(error)


def _choices(before: torch.Tensor, after: torch.Tensor | None) -> Iterator[tuple]:
    if after is None or after.shape != before.shape:
        return
    for old, new in zip(before, after, strict=True):
        left = _few(~new.isneginf())
        if left and not bool(old.isneginf()[list(left)].all()):
            mass = float(old.softmax(-1)[list(left)].sum())
            yield int(old.argmax()), left, mass


def _criteria(original):
    @functools.wraps(original)
    def call(self, input_ids, scores, **keywords):
        recorder = _recorder()
        if recorder is None or not any(id(one) in recorder.records for one in self):
            return original(self, input_ids, scores, **keywords)
        done = original(StoppingCriteriaList(), input_ids, scores, **keywords)
        for criterion in self:
            record = recorder.records.get(id(criterion))
            noted = criterion if record is None else _verdict_noted(recorder, record)
            alone = StoppingCriteriaList([noted])
            done = done | original(alone, input_ids, scores, **keywords)
        return done

    return call


def _verdict_noted(recorder: Recorder, record: _Record):
    def criterion(input_ids, scores, **keywords):
        with _errors_noted(record):
            verdict = record.what(input_ids, scores, **keywords)
        recorder.note(record, lambda: _step_of_verdict(input_ids, verdict))
        return verdict

    return criterion


@contextlib.contextmanager
def _allowed_noted(recorder: Recorder, processor, vocabulary: int) -> Iterator[None]:
    """Let a processor of the library's note what its function of allowed tokens returns."""
    name = "_prefix_allowed_tokens_fn"
    function = getattr(processor, name, None)
    record = recorder.records.get(id(function))
    if record is None:
        yield
        return

    def noted(row, ids):
        with _errors_noted(record):
            allowed = function(row, ids)
        recorder.note(record, lambda: _step_of_allowed(ids, allowed, vocabulary, recorder.eos_ids))
        return allowed

    setattr(processor, name, noted)
    try:
        yield
    finally:
        setattr(processor, name, function)


def _put(original):
    @functools.wraps(original)
    def put(self, value):
        recorder = _recorder()
        record = None if recorder is None else recorder.records.get(id(self))
        if record is None or recorder.putting is not None:
            return original(self, value)
        recorder.putting = record
        try:
            with _errors_noted(record):
                return original(self, value)
        finally:
            recorder.putting = None
            recorder.note(record, lambda: _step_of_tokens(record, value))

    return put


def _step_of_tokens(record: _Record, value) -> Step:
    """Return what a streamer was given; said: whether it decoded all of that as one text."""
    ids = value.flatten().tolist()
    place = len(record.steps) + 1
    decoded = [one.ids for at, _, one in record.decoded if at == place]
    whole = ids in decoded or [token for piece in decoded for token in piece] == ids
    return Step(len(ids), (), "", said=(whole,))


@contextlib.contextmanager
def _errors_noted(record: _Record) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        record.error = error
        raise


# What is noted of a step


def _first_rows(scores) -> torch.Tensor | None:
    """Return a copy of the first rows of scores, (rows, vocabulary) float32, on the CPU."""
    if not isinstance(scores, torch.Tensor) or scores.dim() != 2:
        return None
    return scores[:MOST_ROWS].detach().to("cpu", torch.float32, copy=True)


def _digests(ids: torch.Tensor) -> tuple[bytes, ...]:
    rows = ids[:MOST_ROWS].detach().cpu().numpy()
    return tuple(_digest(row.tobytes()) for row in rows)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _in_words(value) -> str:
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _step_of_scores(ids: torch.Tensor, before: torch.Tensor | None, made) -> Step:
    wrong = before is None or not isinstance(made, torch.Tensor) or made.dim() != 2
    wrong = wrong or made.shape[1] != before.shape[1] or made.shape[0] != ids.shape[0]
    wrong = wrong or not made.is_floating_point()
    base = Step(ids.shape[1], _digests(ids), _in_words(made) if wrong else "", rows=len(ids))
    if wrong:
        return base
    after, texts = _first_rows(made), ids[:MOST_ROWS].tolist()
    edits = tuple(map(edit, texts, before, after))
    return replace(base, edits=edits, said=tuple(one.bans for one in edits))


def _step_of_verdict(ids: torch.Tensor, verdict) -> Step:
    is_tensor = isinstance(verdict, torch.Tensor)
    per_row = is_tensor and tuple(verdict.shape) == (len(ids),)
    fits = per_row or isinstance(verdict, bool) or (is_tensor and verdict.numel() == 1)
    said = ()
    if per_row:
        said = tuple(bool(one) for one in verdict[:MOST_ROWS].tolist())
    elif fits:
        said = (bool(verdict),) * min(len(ids), MOST_ROWS)
    alone = not per_row and fits and len(ids) > 1
    returned = "one for all" if alone else ("" if fits else _in_words(verdict))
    return Step(ids.shape[1], _digests(ids), returned, said=said, rows=len(ids))


def _step_of_allowed(ids: torch.Tensor, allowed, vocabulary: int, eos_ids: frozenset[int]) -> Step:
    plain = allowed.tolist() if hasattr(allowed, "tolist") else allowed
    fits = isinstance(plain, list | tuple | set | range) and all(
        isinstance(one, int) or getattr(one, "shape", None) == () for one in plain
    )
    base = Step(len(ids), _digests(ids[None]), "" if fits else _in_words(allowed))
    if not fits:
        if isinstance(plain, list | tuple) and plain:
            base = replace(base, returned=f"a {type(plain).__name__} of {type(plain[0]).__name__}")
        return base
    numbers = sorted({int(one) for one in plain})
    beyond = next((one for one in numbers if not -vocabulary <= one < vocabulary), None)
    return replace(
        base,
        returned="" if numbers else "an empty list",
        said=(tuple(numbers) if len(numbers) <= _FEW else _digest(str(numbers).encode()),),
        ids=tuple(numbers) if len(numbers) <= _FEW else None,
        ends=not eos_ids.isdisjoint(numbers),
        everything=len(numbers) >= vocabulary,
        beyond=beyond,
    )


def edit(text: list[int], before: torch.Tensor, after: torch.Tensor) -> Edit:
    """Return what was done to a row of scores, (vocabulary,) float32; text: the row's ids."""
    differs = (before != after) & ~(before.isnan() & after.isnan())
    changed = int(differs.sum())
    if not changed:
        return Edit()
    gone = after.isneginf()
    banned = gone & ~before.isneginf()
    finite = after.isfinite()
    values, old = after[finite], before[finite]
    faults = set(_faults(before, after, values, old))
    pairs = _of_the_text(text, differs, before, after)
    return Edit(
        changed=changed,
        bans=_digest(banned.numpy().tobytes()) if bool(banned.any()) else b"",
        banned=_few(banned),
        left=_few(~gone),
        faults=frozenset(faults),
        flat=None if faults else _flat(differs & finite, before, after, finite),
        signs=None if pairs is None else _signs(pairs),
        factor=None if pairs is None else _factor(pairs),
    )


def _few(mask: torch.Tensor) -> tuple[int, ...]:
    places = mask.nonzero().flatten()
    return tuple(places.tolist()) if len(places) <= _FEW else ()


def _faults(before, after, values, old) -> Iterator[str]:
    """Yield what is wrong with a row of scores, and was not before; values, old: the finite."""
    if bool(after.isnan().any()) and not bool(before.isnan().any()):
        yield "nan"
    if bool(after.isposinf().any()) and not bool(before.isposinf().any()):
        yield "infinite"
    if bool(after.isneginf().all()) and not bool(before.isneginf().all()):
        yield "none left"
    if len(values) < 2:
        return
    low, high = float(values.min()), float(values.max())
    known = old[old.isfinite()]
    if not len(known):
        return
    was_low, was_high = float(known.min()), float(known.max())
    if low == high and was_low != was_high:
        yield "mask"
        return
    shares = low >= 0 and float(values.sum()) <= 1 + _NEARLY_ONE
    if shares and not (was_low >= 0 and was_high <= 1):
        yield "probabilities"


def _flat(changed, before, after, finite) -> tuple[float, int, float, float] | None:
    """Return tokens of one new finite score, at most 0, as `Edit` has it; None if there are none.

    A floor below which no score falls (a clamp) takes nothing away, and is left out.
    """
    if not bool(changed.any()) or int(finite.sum()) < 2:
        return None
    values = after[changed]
    middle = values.median()  # most of those that change, change to it
    score, count = float(middle), int((values == middle).sum())
    zero = abs(score) <= _ZERO
    if score > _ZERO or (count < 2 and not zero):
        return None
    same = changed & (after == middle)
    were = before[same]
    if count > 1 and float(were.max() - were.min()) <= _SPREAD:
        return None  # alike before, in half precision for instance, and moved together
    rest = finite & ~same
    a_floor = bool((before[same] <= score).all()) and not bool((after[rest] < score).any())
    if (a_floor and not zero) or not bool(rest.any()):
        return None
    was, now = (torch.softmax(one, -1)[same].sum() for one in (before, after))
    was, now = float(was), float(now)
    return None if math.isnan(was) or math.isnan(now) else (score, count, was, now)


def _of_the_text(text: list[int], changed, before, after) -> list[tuple[float, float]] | None:
    """Return (before, after) of what changed; None if that are others than the text's tokens."""
    places = changed.nonzero().flatten().tolist()
    if len(places) > len(text) or not set(places) <= set(text):
        return None
    pairs = [(float(before[one]), float(after[one])) for one in places]
    finite = all(math.isfinite(old) and math.isfinite(new) for old, new in pairs)
    return pairs if finite else None


def _factor(pairs: list[tuple[float, float]]) -> float | None:
    """Return by what all scores were multiplied; None if by nothing that is the same for all."""
    factors = [new / old for old, new in pairs if abs(old) > _ZERO]
    if len(factors) < len(pairs) or max(factors) - min(factors) > _ZERO:
        return None
    return sum(factors) / len(factors)


def _signs(pairs: list[tuple[float, float]]) -> tuple[int, int, int, int]:
    """Return how scores moved by their sign, as `Edit` has it."""
    return (
        sum(old < 0 and new > old for old, new in pairs),
        sum(old < 0 and new < old for old, new in pairs),
        sum(old > 0 and new > old for old, new in pairs),
        sum(old > 0 and new < old for old, new in pairs),
    )

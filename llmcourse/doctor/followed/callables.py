"""What the user's processors, criteria and functions of allowed tokens do in a call to `generate`.

`Callables.begin` notes what a call is given to call, and until `end` what each of them gets and
returns, step by step. The library's lists call them one by one, as they do without it: the same
arguments, values and errors. Nothing is called twice, and no number is drawn.
"""

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList
from transformers.generation.logits_process import PrefixConstrainedLogitsProcessor

from llmcourse.doctor import listen
from llmcourse.doctor.case import Called, Case, Decoded, Step
from llmcourse.doctor.followed.step_notes import (
    choices,
    first_rows,
    step_of_allowed,
    step_of_scores,
    step_of_verdict,
)
from llmcourse.doctor.held import name_of, state_of, subject_of

_STEPS = 128  # of a callable in a call that are noted, the first ones
_ONES_OWN = ("transformers", "llmcourse", "torch")  # whose callables are not looked at
_CALLS = 4  # earlier calls of an object that are remembered
_OBJECTS = 64  # that are remembered

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
    before = first_rows(scores)
    with _errors_noted(record):
        made = original(alone, input_ids, scores, **keywords)
    _note_first_choice(recorder, record, before, made)
    recorder.note(record, lambda: step_of_scores(input_ids, before, made))
    return made


def _constrained(recorder: Recorder, original, processor, input_ids, scores, keywords):
    """Return what the library's processor with a function of allowed tokens makes of scores."""
    alone = LogitsProcessorList([processor])
    record = recorder.records.get(id(getattr(processor, "_prefix_allowed_tokens_fn", None)))
    first = record is not None and not record.steps
    with _allowed_noted(recorder, processor, scores.shape[-1]):
        made = original(alone, input_ids, scores, **keywords)
    if first:
        _note_first_choice(recorder, record, first_rows(scores), made, first=True)
    return made


def _note_first_choice(recorder: Recorder, record: _Record, before, made, first=False) -> None:
    """Note of the first step which tokens a callable left, and what the model would have said."""
    if before is None or (record.steps and not first):
        return
    try:
        record.first_choice = tuple(choices(before, first_rows(made)))
    except Exception as error:
        recorder.fail(error)


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
        recorder.note(record, lambda: step_of_verdict(input_ids, verdict))
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
        recorder.note(record, lambda: step_of_allowed(ids, allowed, vocabulary, recorder.eos_ids))
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

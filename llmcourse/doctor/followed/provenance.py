"""Where a script's texts come from: which were decoded of an output, and what was done with them.

`instrument` says what the script asks of its texts. A text is known by its identity: it is the very
object that `decode` returned, or one that was made of such an object. So it is followed through
functions, classes and lists, and nothing about it is changed.
"""

import ast
import json
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import wraps
from types import FunctionType
from typing import Any

from llmcourse.doctor import instrument
from llmcourse.doctor.case import MOST_ROWS, Case, Decoded, Origin, Streamed, Use, shared
from llmcourse.doctor.instrument import Place

_MOST_KNOWN = 5000  # texts, lists and findings that are remembered
_MOST_ORIGINS = 400  # decoded texts of which the uses are kept
_MOST_USES = 60  # of one decoded text
_MOST_PARTS = 200  # parts of a split text that are followed
_MOST_STREAMS, _MOST_PIECES = 16, 2000  # calls with a streamer, and pieces and searches of one
_SHORTEST = 2  # characters: Python has one object for each text that is shorter
_FUNCTIONS = {len: "len", int: "int", float: "float", eval: "eval", exec: "exec", str: "str"}
_MODULES = {re: "re", json: "json", ast: "ast"}
_KINDS = {str: "str", re.Pattern: "re", re.Match: "match", dict: "dict"}
_STRIPS = ("str.strip", "str.lstrip", "str.rstrip")
_SEARCHES = ("str.find", "str.index", "str.split", "str.partition", "str.startswith")
_SEARCHES += ("str.endswith", "str.count")
_LISTS = ("str.split", "str.rsplit", "str.splitlines", "str.partition", "str.rpartition")


@dataclass(frozen=True, eq=False)
class _Known:
    """A text, a list of its parts, or what a pattern found in it."""

    thing: Any  # kept, so that its identity stays its own
    origin: Origin | Streamed
    text: str  # what it was taken from, or the text itself
    # Where the text stands in the decoded one, if it is a part of it; which piece of a stream.
    span: tuple[int, int] | None
    done: tuple[Use, ...]  # what was done to get here


@dataclass(eq=False)
class _Kept:
    """A decoded text, the call that it belongs to, and what was done with it."""

    origin: Origin
    case: Case
    uses: list[Use] = field(default_factory=list)


class Texts:
    """Follows decoded texts through a script."""

    def __init__(self, look: Callable[[Case], None], fail: Callable[[Exception], None]) -> None:
        """look: what is told of a call and of all uses of a text of its; fail: of own errors."""
        self._look, self._fail = look, fail
        self._known: OrderedDict[int, _Known] = OrderedDict()  # by identity
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._streams: OrderedDict[int, tuple[Case, Streamed]] = OrderedDict()  # by the case's `id`
        self._lock = threading.RLock()

    def begin(self) -> None:
        """Hear what the script asks of texts from now on: before, there are none to follow."""
        instrument.follow(self._heard_of, self._made, self._known)

    def decoded(self, origin: Origin, case: Case) -> None:
        """Follow a text from here on: one that user code got of a call's output."""
        with self._lock:
            if len(origin.text) < _SHORTEST:
                return
            self._kept[id(origin)] = _Kept(origin, case)
            span = (0, len(origin.text))
            self._know(_Known(origin.text, origin, origin.text, span, ()))
            if len(self._kept) > _MOST_ORIGINS:
                self._look_at(self._kept.popitem(last=False)[1])

    def piece(self, text: str, case: Case) -> None:
        """Follow a piece that the streamer of a call gives out."""
        with self._lock:
            _, stream = self._streams.setdefault(id(case), (case, Streamed()))
            number = len(stream.pieces)
            if number < _MOST_PIECES:
                stream.pieces.append(text)
                if len(text) >= _SHORTEST:
                    self._know(_Known(text, stream, text, (number, number + 1), ()))
            if len(self._streams) > _MOST_STREAMS:
                self._look_at_stream(*self._streams.popitem(last=False)[1])

    def _look_at_stream(self, case: Case, stream: Streamed) -> None:
        if stream.searches:
            self._look(case.later(streamed=stream))

    def look(self, ended_at: frozenset[tuple[str, int]] = frozenset()) -> None:
        """Look at all that was done; ended_at: lines that the error which ended the script left."""
        with self._lock:
            kept, self._kept = list(self._kept.values()), OrderedDict()
            streams, self._streams = list(self._streams.values()), OrderedDict()
        for case, stream in streams:
            self._look_at_stream(case, stream)
        for one in kept:
            for use in one.uses:
                use.ended_it = not use.ended and (use.file, use.line) in ended_at
            self._look_at(one)

    def _look_at(self, kept: _Kept) -> None:
        if kept.uses:
            self._look(kept.case.later(uses=kept.uses))

    def _heard_of(self, place: Place, inputs: tuple) -> Use | None:
        """Keep what is about to be done with a known text; None where it is about none."""
        try:
            with self._lock:
                return self._heard(place, inputs)
        except Exception as error:
            self._fail(error)
            return None

    def _made(self, use: Use, result) -> None:
        """Follow what was made of a known text."""
        try:
            with self._lock:
                use.result, use.ended = result, True
                self._follow(use, result)
        except Exception as error:
            self._fail(error)

    def _heard(self, place: Place, inputs: tuple) -> Use | None:
        name = _operation(place, inputs[0])
        at, known = self._known_among(name, inputs) if name else (0, None)
        if known is None:
            return None
        if isinstance(known.origin, Streamed):
            mark = _looked_for(name, inputs, at)
            if mark and len(known.origin.searches) < _MOST_PIECES:
                known.origin.searches.append((known.span[0], mark, place.file, place.line))
            return None
        kept = self._kept.get(id(known.origin))
        use = Use(
            name=name,
            text=known.text,
            inputs=inputs,
            names=place.inputs,
            at=at,
            span=known.span,
            done=known.done,
            origin=known.origin,
            file=place.file,
            line=place.line,
            parts=place.parts,
        )
        if kept is not None and len(kept.uses) < _MOST_USES:
            kept.uses.append(use)
        return use

    def _known_among(self, name: str, inputs: tuple) -> tuple[int, _Known | None]:
        """Return the input that is a known text, or has one among its own, and what is known."""
        for at, one in enumerate(inputs):
            found = self._ask(one)
            if found is not None:
                return at, found
        if name == "str.join" and len(inputs) > 1 and isinstance(inputs[1], list | tuple):
            for one in inputs[1][:_MOST_PARTS]:
                found = self._ask(one)
                if found is not None:
                    return 1, found
        return 0, None

    def _ask(self, thing) -> _Known | None:
        found = self._known.get(id(thing))
        return found if found is not None and found.thing is thing else None

    def _know(self, known: _Known) -> None:
        self._known[id(known.thing)] = known
        self._known.move_to_end(id(known.thing))
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _follow(self, use: Use, result) -> None:
        if isinstance(result, re.Match):
            self._know(_Known(result, use.origin, use.text, use.span, (*use.done, use)))
        elif type(result) is str and len(result) >= _SHORTEST:
            self._follow_text(use, result, _place_in(use, result))
        elif type(result) in (list, tuple) and use.name in (
            *_LISTS,
            "re.split",
            "re.findall",
            "[:]",
        ):
            if use.name == "[:]" or use.name == "[]":
                return self._know(_Known(result, use.origin, use.text, None, use.done))
            self._know(_Known(result, use.origin, use.text, use.span, (*use.done, use)))
            for part, place in zip(result[:_MOST_PARTS], _places_of(use, result), strict=False):
                for one in part if type(part) is tuple else (part,):  # of several groups
                    if type(one) is str and len(one) >= _SHORTEST:
                        self._follow_text(use, one, place if one is part else None)

    def _follow_text(self, use: Use, text: str, place: tuple[int, int] | None) -> None:
        if self._ask(text) is not None:
            return
        span = None
        if place is not None and use.span is not None:
            span = (use.span[0] + place[0], use.span[0] + place[1])
        self._know(_Known(text, use.origin, text, span, (*use.done[-20:], use)))


def origin_of(case: Case, one: Decoded, runs: bool = False) -> Origin:
    """Return where a text comes from; runs: whether the call has not ended yet."""
    length = case.prompt_length if case.decoder_only else 0
    rows = case.rows
    whole = 0 < length <= len(one.ids) and any(row[: len(one.ids)] == one.ids for row in rows)
    new = one.ids[length:] if whole else one.ids
    limit = int(case.setting("max_length") or 0)
    return Origin(
        text=one.text,
        ids=one.ids,
        tokenizer=one.tokenizer,
        options=one.kwargs,
        new_at=_prompts_end(one, length) if whole else 0,
        prompts=tuple(filter(None, dict.fromkeys(_texts_given(case)))),
        has_end=any(token in case.eos_ids for token in new),
        runs=runs,
        at_limit=bool(rows) and 0 < limit <= len(rows[0]),
    )


def _prompts_end(one: Decoded, length: int) -> int:
    """Return how many characters of a text are those of the first `length` tokens."""
    prompt = one.tokenizer.decode(one.ids[:length], **one.kwargs)
    return shared(prompt, one.text)


def _texts_given(case: Case) -> Iterator[str]:
    """Yield the texts of a call's prompts, as the script wrote them."""
    made = [call.text for call in case.tokenizer_calls]
    made += [call.result for call in case.template_calls]
    for one in (case.prompt, *made):
        yield from [one] if isinstance(one, str) else ()
        if isinstance(one, list | tuple):
            yield from (text for text in one[:MOST_ROWS] if isinstance(text, str))


def _looked_for(name: str, inputs: tuple, at: int) -> str | None:
    """Return what a text is searched for, or compared with; None for other uses."""
    if name in ("in", "not in", "==", "!="):
        other = inputs[0] if at == 1 else None if name.endswith("in") else inputs[1]
    else:
        other = inputs[1] if name in _SEARCHES and at == 0 and len(inputs) > 1 else None
    return other if isinstance(other, str) else None


def hear_streamer(streamer, told: Callable[[str], None]) -> None:
    """Tell of each piece that a streamer gives out, whosever class says how."""
    name = "on_finalized_text"
    owner = next((one for one in type(streamer).__mro__ if name in vars(one)), None)
    original = vars(owner)[name] if owner is not None else None
    if original is None or getattr(original, "_tells", False):
        return

    @wraps(original)
    def telling(self, text, *arguments, **keywords):
        told(text)
        return original(self, text, *arguments, **keywords)

    telling._tells = True
    setattr(owner, name, telling)


def hear_pipelines(told: Callable[[Any, dict, list], None]) -> None:
    """Tell of each prompt that a pipeline has answered, once the library's pipelines are in use.

    told(pipeline, outputs, records): of `TextGenerationPipeline.postprocess`, and what it made.
    """
    module = sys.modules.get("transformers.pipelines.text_generation")
    original = getattr(module, "TextGenerationPipeline", None)
    if original is None or getattr(original.postprocess, "_tells", False):
        return
    postprocess = original.postprocess

    @wraps(postprocess)
    def telling(pipeline, outputs, *arguments, **keywords):
        records = postprocess(pipeline, outputs, *arguments, **keywords)
        told(pipeline, outputs, records)
        return records

    telling._tells = True
    original.postprocess = telling


def origin_of_record(case: Case, ids: list[int], text: str, prompt: str, tokenizer) -> Origin:
    """Return where the text of a pipeline's answer comes from; prompt: "" where it was a chat."""
    whole = bool(prompt) and text.startswith(prompt)
    skips = {"skip_special_tokens": True}  # as pipelines do
    start = 0 if whole else case.prompt_length
    origin = origin_of(case, Decoded(ids[start:], skips, text, tokenizer=tokenizer))
    prompts = tuple(filter(None, dict.fromkeys((prompt, *origin.prompts))))
    return replace(origin, new_at=len(prompt) if whole else 0, prompts=prompts)


def _operation(place: Place, of) -> str | None:
    """Return what is done by one name, whichever way it is written: "str.split", "re.search"."""
    if place.kind != "call":
        return place.kind
    if type(of) in _KINDS:
        return f"{_KINDS[type(of)]}.{place.name}"
    for known, name in _FUNCTIONS.items():
        if of is known:
            return name
    for module, name in _MODULES.items():
        if of is module:
            return f"{name}.{place.name}"
    if type(of) is FunctionType and of.__module__ in ("re", "json", "ast"):
        return f"{of.__module__}.{of.__name__}"
    return None


def _place_in(use: Use, result: str) -> tuple[int, int] | None:
    """Return where a text that was made stands in the one that it was made of, if it is a part."""
    text = use.text
    if use.name in _STRIPS:
        characters = use.argument(0)
        start = 0 if use.name == "str.rstrip" else len(text) - len(text.lstrip(characters))
        return start, start + len(result)
    if use.name == "[:]" and use.at == 0:
        start, end, _ = slice(use.named("lower"), use.named("upper")).indices(len(text))
        return start, end
    if use.name == "str.removeprefix":
        return len(text) - len(result), len(text)
    if use.name == "str.removesuffix":
        return 0, len(result)
    if use.name == "match.group":
        group = use.argument(0)
        return use.inputs[0].span(0 if group is None else group)
    whole = use.name in ("str.lower", "str.upper", "str.casefold", "str")
    return (0, len(text)) if whole and len(result) == len(text) else None


def _places_of(use: Use, parts) -> Iterator[tuple[int, int] | None]:
    """Yield where each part stands in the text that was split or searched."""
    if use.name == "re.findall":
        yield from (found.span(min(1, found.re.groups)) for found in use.pattern.finditer(use.text))
        return
    at = 0
    for part in parts:
        start = use.text.find(part, at)
        yield (start, start + len(part)) if start >= 0 else None
        at = max(at, start) + len(part)

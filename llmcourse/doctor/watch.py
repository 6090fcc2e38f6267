"""`watch`: the doctor at every call to `generate` in a block, which changes nothing about it."""

import hashlib
import itertools
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch

from llmcourse.decoding.cache import CACHE_NAMES
from llmcourse.doctor import ended, followed, listen
from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import (
    MOST_ROWS,
    Case,
    Decoded,
    TemplateCall,
    TokenizerCall,
    Unused,
    complete,
    is_chat,
    with_own_cache,
)
from llmcourse.doctor.diagnose import Diagnosis, check, new_text
from llmcourse.doctor.evidence import measure
from llmcourse.doctor.finding import Finding, in_order, once_per_line
from llmcourse.doctor.followed.callables import Callables, Recorder
from llmcourse.doctor.followed.kept_turns import KeptTurns, in_braces
from llmcourse.doctor.followed.logits import Follower, Use
from llmcourse.doctor.followed.provenance import (
    Texts,
    hear_pipelines,
    hear_streamer,
    origin_of,
    origin_of_record,
)
from llmcourse.doctor.ids import is_in, made_rows, packed, plain, rows_of
from llmcourse.doctor.journal import Journal
from llmcourse.doctor.listen import Event
from llmcourse.doctor.loading_report import Report, of_load, of_state_dict
from llmcourse.doctor.pitfalls import PITFALLS, Needs
from llmcourse.doctor.remembered import Remembered
from llmcourse.doctor.report import as_json, findings_as_html, findings_as_text
from llmcourse.doctor.steps import Steps
from llmcourse.doctor.template_marks import squeezed
from llmcourse.html import escape
from llmcourse.show import in_words, plural, printable

SCHEMA = "llmcourse.watch/1"
_KEPT = 1000  # template calls that a watch remembers, and texts decoded of one call, or of several
_REMEMBERED = 8  # calls whose ids are compared with a new one's
_KEPT_ENCODINGS = 32  # tokenizer calls that a watch remembers
_MOST_TEXTS = 64  # of one such call
_KEPT_CHATS = 8  # conversations of earlier calls that it remembers
_SHORTEST_PIECE = 4  # ids that are looked for inside a prompt; fewer may be there by chance
_LONGEST = 600  # characters of a failure that are shown
_CHANCE = 40  # characters without spaces that another chat's text may share with a prompt
_PATIENCE = 10  # seconds that a reader waits for other threads to end the calls they are in
_ENCODED = 64  # last prompts of which it is remembered which tokenizer made them
_TENSORS = ("inputs", "input_ids", "attention_mask", "position_ids", "token_type_ids")


def watch(
    model=None, tokenizer=None, *, evidence: bool = False, repeatable: bool = False
) -> "Watch":
    """Diagnose every `model.generate` inside a `with` block, and change nothing about the calls.

        with llmcourse.watch(model, tokenizer) as watched:
            model.generate(**inputs)
        watched.findings

    model: whose calls; None for those of every model. tokenizer: the one that goes with it; None
    for the one that made the ids. evidence, repeatable: as in `diagnose`; evidence runs the model
    again after each call. The calls give the same tokens, leave the same random state and raise the
    same errors; what the doctor itself fails at is noted in `failures`.
    """
    return Watch(model=model, tokenizer=tokenizer, evidence=evidence, repeatable=repeatable)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A conversation put through a chat template."""

    tokenizer: Any  # whose template it was
    call: TemplateCall  # what was asked for
    text: str | None  # what came back, if it was a text
    ids: list[int] | None  # what came back, if it was ids


@dataclass(frozen=True, eq=False)
class Load:
    """A model that was loaded."""

    arguments: dict[str, Any]  # what `from_pretrained` was asked for
    result: weakref.ref  # the model, which is not kept alive
    report: Report | None = None  # what it left open


@dataclass(eq=False)
class WatchedCall:
    """A call to `generate` that has ended."""

    number: int  # from 0, in the order in which they ended
    site: Site  # where it stands
    at_its_end: Diagnosis  # what was found, without how its output was decoded
    case: Case  # for what is decoded later; without the weights and caches
    rows: tuple[bytes, ...]  # its output, to search: each row's ids, 8 bytes an id
    diagnosis: (
        Diagnosis  # what is found, with how its output was decoded as far as it was looked at
    )
    decoded: list[Decoded] = field(default_factory=list)  # of its output, by user code
    times_decoded: int = 0  # how often, also what is not kept
    forgotten: bool = False  # whether `decoded` made room for that of later calls
    to_look_at: bool = False  # whether something was decoded since `diagnosis` was made


@dataclass(eq=False, repr=False)
class Watch:
    """What the doctor saw in a block: made by `watch`."""

    model: Any = None  # whose calls; None for those of every model
    tokenizer: Any = None  # the one that goes with it; None for the one that made the ids
    evidence: bool = False  # whether to measure what each fix changes
    repeatable: bool = False  # whether the caller expects the same texts again
    calls: list[WatchedCall] = field(default_factory=list)  # in the order in which they ended
    # Sentences about what the doctor could not look at.
    failures: list[str] = field(default_factory=list)
    _entered: int = 0  # how many `with` blocks it is in
    _running: dict[int, int] = field(default_factory=dict)  # how many calls, by thread
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _loads: list[Load] = field(default_factory=list)
    _rendered: deque[Rendered] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _encoded: deque[Event] = field(default_factory=lambda: deque(maxlen=_KEPT_ENCODINGS))
    _asked: deque[list] = field(default_factory=lambda: deque(maxlen=_KEPT_CHATS))
    # Names in braces in prompts: whether each is that of a variable.
    _braces: dict[str, bool] = field(default_factory=dict)
    _tokenizer_in_use: Any = None  # the last one that user code called
    # What tokenizers made of late: the first row, packed, and whose it is.
    _made_by: deque[tuple[bytes, Any]] = field(default_factory=lambda: deque(maxlen=_ENCODED))
    _decoded: deque[WatchedCall] = field(default_factory=deque)  # of which decodings are kept
    _kept: int = 0  # decodings that are kept, of all calls
    _failed: deque[Event] = field(default_factory=lambda: deque(maxlen=_KEPT_CHATS))
    _numbers: itertools.count = field(default_factory=itertools.count)  # of the calls to come
    _remembered: Remembered = field(default_factory=Remembered)  # settings of equal calls
    # Where all that is seen is written down for another process; None: nowhere.
    journal: Journal | None = None
    turns: KeptTurns | None = None  # what looks at a script's variables; None: nobody does
    # What was found outside of calls to generate, by line and by code: in a loop written by hand,
    # or in a tokenizer's call that failed.
    _loops: dict[Site, dict[str, Finding]] = field(default_factory=dict)
    _steps: Steps = field(default_factory=Steps)  # of such loops
    # What becomes of logits in this thread, where that is followed.
    _follower: Follower | None = None
    # What a script does with decoded texts; None in a block, whose source is not followed.
    _texts: Texts | None = None
    _under_way: dict[int, list[Case]] = field(default_factory=dict)  # calls that run, by thread
    _ended_at: frozenset[tuple[str, int]] = frozenset()  # lines that the last error passed
    # What processors, criteria and the like do in each step; None: not looked at, since it takes
    # time in every step.
    callables: Callables | None = None

    def __enter__(self) -> "Watch":
        with self._changed:
            self._entered += 1
            if self._entered == 1:
                listen.listen(self, self.model, self.tokenizer)
                if self.callables is not None:
                    self.callables.follow()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.ended_by(error)
        with self._changed:
            self._entered -= 1
            if self._entered == 0:
                listen.leave(self)
                if self._follower is not None:
                    self._follower.__exit__(kind, error, trace)
                    self._follower = None
                if self.callables is not None:
                    self.callables.leave()

    def follow_logits(self) -> None:
        """Follow what becomes of logits in this thread, to the end of the block."""
        self._follower = Follower(
            self._look_at_use, lambda error: self._fail("logits", Site(), error)
        )
        self._follower.__enter__()

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """One for each call to `generate`, in the order in which they ended."""
        self._wait_for_other_threads()
        self.look_at_the_rest()
        return tuple(call.diagnosis for call in list(self.calls))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found, once for a code and line with how often it was there; errors first."""
        every = [found for diagnosis in self.diagnoses for found in diagnosis.findings]
        every += [found for loop in list(self._loops.values()) for found in loop.values()]
        return once_per_line(every)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of all findings, in their order."""
        return tuple(found.code for found in self.findings)

    def to_json(self) -> str:
        """Return calls, findings and failures as one JSON object with stable keys."""
        diagnoses = self.diagnoses
        calls = [
            call_as_dict(call.site.file, call.site.line, diagnosis)
            for call, diagnosis in zip(self.calls, diagnoses, strict=False)
        ]
        return as_json(SCHEMA, calls=calls, findings=self.findings, failures=list(self.failures))

    def __repr__(self) -> str:
        said = [self._looked_at_calls(), findings_as_text(self.findings), *self._shown_failures()]
        return "\n".join(said)

    def _repr_html_(self) -> str:
        failures = "".join(f"<p>{escape(sentence)}</p>" for sentence in self._shown_failures())
        calls = f"<p>{escape(self._looked_at_calls())}</p>"
        return f"{calls}{findings_as_html(self.findings)}{failures}"

    def _looked_at_calls(self) -> str:
        return f"Looked at {plural(len(self.diagnoses), 'call')} to generate."

    def _shown_failures(self) -> list[str]:
        sentences = [f"The doctor could not look at {each}" for each in self.failures]
        return [printable(sentence, _LONGEST) for sentence in sentences]

    # What `listen` says: none of these ever raises an exception

    def begins(self, event: Event) -> tuple[float, Case | None, Recorder | None] | None:
        """Complete a call that is about to run, before it can change a cache or a config."""
        if self.model is not None and event.owner is not self.model:
            return None
        with self._changed:
            thread = threading.get_ident()
            self._running[thread] = self._running.get(thread, 0) + 1
        if self.journal is not None:
            self.journal.running(1)
        if self._follower is not None:
            self._follower.pause()
        started = time.perf_counter()
        case = self._carefully(event, self._completed)
        if self._texts is not None:
            self._texts.begin()
            hear_pipelines(self._keep_records)
            hear_streamer(event.arguments.get("streamer"), self._keep_piece)
            self._under_way.setdefault(threading.get_ident(), []).append(case)
        recorder = None
        if self.callables is not None and case is not None:
            recorder = self._carefully(event, lambda event: self._begin_callables(event, case))
        return time.perf_counter() - started, case, recorder

    def _begin_callables(self, event: Event, case: Case) -> Recorder | None:
        return self.callables.begin(
            case, lambda error: self._fail("what was called", event.site, error)
        )

    def ends(self, begun, event: Event) -> None:
        """Look at a call that has ended, or failed."""
        if begun is None:
            return
        seconds, case, recorder = begun
        if self._texts is not None:
            self._under_way[threading.get_ident()].pop()
        streamed = [] if recorder is None else list(recorder.decoded())
        if self.callables is not None and case is not None:
            case.called = self._carefully(event, lambda _: self.callables.end(recorder)) or []
        if case is not None and (event.error is None or isinstance(event.error, Exception)):
            self._carefully(event, lambda event: self._look(event, case, seconds, streamed))
        if self.journal is not None:
            self.journal.running(-1)
        if self._follower is not None:
            changed = _changes_scores(case)
            self._carefully(event, lambda event: self._follower.after_generate(event, changed))
            self._follower.go_on()
        with self._changed:
            thread = threading.get_ident()
            self._running[thread] -= 1
            if not self._running[thread]:
                del self._running[thread]
            self._changed.notify_all()

    def heard(self, event: Event) -> None:
        """Keep what later explains a call: a load, a template, a text, a decoding, a loop."""
        if event.error is not None:  # whoever called may know what to do about it
            self._failed.append(event)
            return
        if self._follower is not None:
            self._carefully(event, self._follower.before)
            if event.name == "forward":
                self._follower.pause()
        self._carefully(
            event,
            {
                "from_pretrained": self._keep_load,
                "load_state_dict": self._keep_state_dict,
                "apply_chat_template": self._keep_template,
                "decode": self._keep_decoding,
                "batch_decode": self._keep_decoding,
                "forward": self._look_at_loop,
                "parse_response": self._keep_tokenizer,
            }.get(event.name, self._keep_encoding),
        )

    def passed(self, event: Event) -> None:
        """Follow what a forward pass returned."""
        if self._follower is not None:
            self._carefully(event, self._follow_pass)
            self._follower.go_on()

    def _carefully(self, event: Event, look):
        """Return what `look` makes of a call; None, and a sentence in `failures`, if it fails."""
        try:
            with listen.unheard():
                return look(event)
        except Exception as error:
            self._fail(event.name, event.site, error)
            return None

    def _found(
        self, what: str, site: Site, case: Case, only: Iterable[Needs] = Needs
    ) -> tuple[Finding, ...]:
        """Return what is found in a case; a check that fails is named, and takes no other along."""
        return check(
            case, only, lambda one, error: self._fail(f"{what} for {one.code}", site, error)
        )

    def _fail(self, what: str, site: Site, error: Exception) -> None:
        """Note that something could not be looked at, once."""
        sentence = f"{what} at {site.file}:{site.line}: {in_words(error)}"
        if sentence in self.failures:
            return
        self.failures.append(sentence)
        if self.journal is not None:
            self.journal.failure(sentence)

    # What is kept of the calls before and after

    def _keep_load(self, event: Event) -> None:
        # With `output_loading_info=True` it is the model and what is said of it.
        made = event.result[0] if isinstance(event.result, tuple) else event.result
        listen.wrap_what_overrides(made)
        if isinstance(made, torch.nn.Module):
            report = of_load(made, event.loading_info)
            self._loads.append(Load(dict(event.arguments), weakref.ref(made), report))

    def _keep_state_dict(self, event: Event) -> None:
        kept = [one for one in self._loads if one.result() is not event.owner or one.arguments]
        self._loads[:] = kept  # what is given now stands instead of what was given before
        report = of_state_dict(event.owner, event.arguments.get("state_dict"), event.result)
        if report is not None:
            self._loads.append(Load({}, weakref.ref(event.owner), report))

    def _keep_tokenizer(self, event: Event) -> None:
        self._tokenizer_in_use = event.owner

    def _keep_encoding(self, event: Event) -> None:
        self._keep_tokenizer(event)
        self._keep_first_row(event.owner, made_rows(event.result, most=1))
        text = event.arguments.get("text")
        self._look_for_braces(event.site, text)
        if not isinstance(text, list | tuple) or len(text) <= _MOST_TEXTS:  # else a data set
            self._encoded.append(event)

    def _keep_first_row(self, tokenizer, rows: list[list[int]]) -> None:
        if rows:
            self._made_by.append((packed(rows[0]), tokenizer))

    def _that_encoded(self, ids) -> Any:
        """Return the tokenizer that made these ids of late, or None."""
        if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or ids.is_floating_point():
            return None
        row = packed(ids[0].tolist()) if len(ids) else b""
        return next((one for made, one in reversed(self._made_by) if made == row), None)

    def _keep_template(self, event: Event) -> None:
        self._keep_tokenizer(event)
        rows = made_rows(event.result, most=1)
        self._keep_first_row(event.owner, rows)
        options = dict(event.arguments)
        messages = options.pop("conversation", None)
        if not messages or not isinstance(messages[0], Mapping):
            return  # a batch of conversations
        text = event.result if isinstance(event.result, str) else None
        ids = rows[0] if rows else None
        unused = self._beside(event.site, messages)
        self._look_for_braces(event.site, "\n".join(str(one.get("content")) for one in messages))
        call = TemplateCall([dict(one) for one in messages], options, event.result, unused)
        rendered = Rendered(tokenizer=event.owner, call=call, text=text, ids=ids)
        self._rendered.append(rendered)

    def _beside(self, site: Site, messages: list) -> Unused | None:
        """Return the turns that a script keeps and does not pass; None where nobody is to look."""
        if self.turns is None or not isinstance(messages, list):
            return None
        try:
            return self.turns.beside(sys._getframe(), site, messages)
        except Exception as error:  # an object of the user's that cannot be looked at
            self._fail("turns around a template", site, error)
            return None

    def _look_for_braces(self, site: Site, text: Any) -> None:
        """Keep the names in a text that stand for variables of the script's."""
        if self.turns is not None and isinstance(text, str) and "{" in text:
            for name, is_left_out in in_braces(sys._getframe(), site, text).items():
                # What was no variable at first stands there for what the model is to write.
                self._braces[name] = is_left_out and self._braces.get(name, True)

    def _keep_decoding(self, event: Event) -> None:
        if self._tokenizer_in_use is None:  # what encodes says more
            self._keep_tokenizer(event)
        kwargs, site = dict(event.arguments), event.site
        given = [kwargs.pop(name, None) for name in ("token_ids", "sequences")]
        texts = event.result if isinstance(event.result, list) else [event.result]
        rows = rows_of(given[0] if given[1] is None else given[1], len(texts))
        for ids, text in zip(rows, texts, strict=True):
            one = Decoded(ids, kwargs, text, site.line, site.file, tokenizer=event.owner)
            if event.inside_generate and self._texts is not None:
                self._follow_inside(one)
            if self.callables is not None and self.callables.keep_decoding(event.owner, one):
                continue
            call = self._that_made(ids)
            if call is not None and self._texts is not None:
                self._texts.decoded(origin_of(call.case, one), call.case)
            if call is not None:
                self._keep_decoded(call, one, event.owner)

    # What a script does with the texts

    def follow_texts(self) -> None:
        """From now on look at what the script does with decoded texts, as its code tells."""
        self._texts = Texts(self._look_at_uses, lambda error: self._fail("a text", Site(), error))

    def _look_at_uses(self, case: Case) -> None:
        """Keep what is found in what was done with a text, once for each line and code."""
        *_, file, line = case.streamed.searches[0] if case.streamed else _place_of(case.uses[0])
        where, only = Site(file, line), (Needs.USES, Needs.STREAMED)
        try:
            with listen.unheard():
                found = self._found("what was done with a text", where, case, only)
        except Exception as error:
            self._fail("what was done with a text", where, error)
            return
        for one in found:
            at_line = self._loops.setdefault(Site(one.file, one.line), {})
            if one.code not in at_line:
                at_line[one.code] = one
                self._write_down_loop(one)
        if case.uses and case.uses[0].origin.runs:
            self._say_at_its_line(case, {one.code for one in found})

    def _say_at_its_line(self, case: Case, codes: set[str]) -> None:
        """Leave out of a call what was found at the line of a criterion or streamer of its."""
        for call in self.calls if codes else ():
            if call.case.input_ids is case.input_ids and codes & set(call.diagnosis.codes):
                kept = tuple(one for one in call.diagnosis.findings if one.code not in codes)
                call.diagnosis = replace(call.diagnosis, findings=kept)
                self._write_down(call)

    def _follow_inside(self, one: Decoded) -> None:
        """Follow a text that a criterion or a streamer decodes of the call that runs."""
        case = next(reversed(self._under_way.get(threading.get_ident(), [])), None)
        prompts = [] if case is None else case.id_rows
        size = len(prompts[0]) if prompts else 0
        if len(one.ids) > size > 0 and one.ids[:size] in prompts:
            case = _kept(case)
            case.output = torch.tensor([one.ids])
            self._texts.decoded(origin_of(case, one, runs=True), case)

    def _keep_piece(self, text) -> None:
        """Follow a piece of the stream of the call that runs in this thread."""
        case = next(reversed(self._under_way.get(threading.get_ident(), [])), None)
        if case is not None and type(text) is str:
            try:
                self._texts.piece(text, case)
            except Exception as error:
                self._fail("a stream", Site(), error)

    def _keep_records(self, pipeline, outputs, records) -> None:
        """Follow the texts of a pipeline's answers to one prompt."""
        try:
            with listen.unheard():
                prompt = outputs["prompt_text"]
                prompt = prompt if isinstance(prompt, str) else ""
                for ids, record in zip(outputs["generated_sequence"][0], records, strict=False):
                    text, call = record.get("generated_text"), self._that_made(plain(ids))
                    if isinstance(text, list) and text:  # a chat: its last message
                        text = text[-1].get("content")
                    if call is None or not isinstance(text, str):
                        continue
                    given = (plain(ids), text, prompt, pipeline.tokenizer)
                    self._texts.decoded(origin_of_record(call.case, *given), call.case)
        except Exception as error:
            self._fail("a pipeline's answer", Site(), error)

    def _that_made(self, ids: list[int]) -> WatchedCall | None:
        """Return the last call that made these ids, one after another in a row of its output."""
        searched = packed(ids)
        with self._changed:
            return next((call for call in reversed(self.calls) if is_in(searched, call.rows)), None)

    def _keep_decoded(self, call: WatchedCall, one: Decoded, tokenizer) -> None:
        """Keep what was decoded of a call's output; look at it now and then, later ever rarer."""
        with self._changed:
            call.times_decoded += 1
            if call.forgotten or len(call.decoded) == _KEPT:
                return
            if not call.decoded:
                self._decoded.append(call)
            call.decoded.append(one)
            call.to_look_at = True
            self._kept += 1
        if call.case.tokenizer is None:  # no other was seen before the call
            call.case.tokenizer = tokenizer
        if call.times_decoded & (call.times_decoded - 1) == 0:  # 1, 2, 4, 8 ...
            self._look_at_decoded(call)
        if self._kept > _KEPT:
            self._forget_the_oldest(call)

    def _forget_the_oldest(self, but: WatchedCall) -> None:
        """Forget what was decoded of the oldest call, but not what was found in it."""
        with self._changed:
            if not self._decoded or self._decoded[0] is but:
                return
            oldest = self._decoded.popleft()
            oldest.forgotten = True
        if oldest.to_look_at:
            self._look_at_decoded(oldest)
        with self._changed:
            self._kept -= len(oldest.decoded)
            oldest.decoded.clear()

    def _look_at_loop(self, event: Event) -> None:
        """Keep what is found in a forward pass, once for each line and code."""
        found = self._loops.setdefault(event.site, {})
        if found.keys() >= _in_loops():
            return
        step = self._steps.follow(event)
        tokenizer = self._tokenizer_in_use if self.tokenizer is None else self.tokenizer
        case = Case(event.owner, tokenizer, forwards=[step])
        for one in self._found(event.name, event.site, case, (Needs.FORWARDS,)):
            if one.code not in found:
                found[one.code] = _placed(one, event.site)
                self._write_down_loop(found[one.code])

    def ended_by(self, error: BaseException | None) -> None:
        """Look at the tokenizer's call whose error ended the block or the program, if one did."""
        chain = []
        while error is not None and error not in chain:
            chain.append(error)
            error = error.__cause__ or error.__context__
        for event in reversed(self._failed):
            if event.error in chain and event.name != "from_pretrained":
                self._carefully(event, self._look_at_failed)
                break
        self._failed.clear()
        if chain:
            self._keep_cause(chain[0])
        self._ended_at = frozenset(
            (frame.f_code.co_filename, line)
            for one in chain
            for frame, line in traceback.walk_tb(one.__traceback__)
        )

    def _keep_cause(self, error: BaseException) -> None:
        """Keep what the object says that the last error is about."""
        try:
            texts = {id(one.text) for call in self.calls for one in call.decoded}
            found = ended.cause_of(error, lambda thing: id(thing) in texts)
        except Exception as failure:
            self._fail("the error that ended it", Site(), failure)
            return
        if found is not None:
            self._loops.setdefault(Site(found.file, found.line), {})[found.code] = found
            self._write_down_loop(found)

    def _look_at_failed(self, event: Event) -> None:
        """Keep what is found in a tokenizer's call that failed."""
        given = event.arguments.get("conversation")
        case = Case(
            SimpleNamespace(config=None),
            event.owner,
            messages=list(given) if is_chat(given) else None,
            refusal=event.error,
            failed=(event.name, event.arguments),
        )
        found = self._loops.setdefault(event.site, {})
        for one in self._found(event.name, event.site, case, (Needs.FAILED,)):
            found[one.code] = _placed(one, event.site)
            self._write_down_loop(found[one.code])

    # What becomes of logits

    def _follow_pass(self, event: Event) -> None:
        self._follower.after_a_pass(event, self._ends_in(event.arguments.get("input_ids")))

    def _ends_in(self, ids) -> torch.Tensor | None:
        """Return where each row ends, (rows,) int64, -1 for nowhere; None if no call wrote them."""
        if not self.calls or not isinstance(ids, torch.Tensor) or ids.dim() != 2:
            return None
        rows = [row for row in ids.tolist() if row]
        calls = [self._that_made(row) for row in rows]
        if not rows or None in calls:
            return None
        ends = []
        for row, call in zip(rows, calls, strict=True):
            start = call.case.prompt_length
            new = enumerate(row[start:], start)
            ends.append(next((at for at, one in new if one in call.case.eos_ids), -1))
        return torch.tensor(ends)

    def _look_at_use(self, use: Use) -> None:
        """Keep what is found in a step that a script takes with logits, once for a line."""
        kept = self._loops.setdefault(use.site, {})
        failed = lambda code, error: self._fail(f"{use.name} for {code}", use.site, error)  # noqa: E731
        for found in followed.look(use, kept, failed):
            kept[found.code] = _placed(found, use.site)
            self._write_down_loop(kept[found.code])

    def _write_down_loop(self, found: Finding) -> None:
        if self.journal is not None:
            self.journal.loop(found.as_dict())

    # A call to generate

    def _completed(self, event: Event) -> Case:
        call = dict(event.arguments)
        inputs = {name: call.pop(name) for name in _TENSORS if call.get(name) is not None}
        if isinstance(inputs.get("inputs"), Mapping):  # generate(tokenizer(...)) without the stars
            inputs = dict(inputs["inputs"])
        if "inputs" in inputs:
            inputs["input_ids"] = inputs.pop("inputs")
        # The one that was named at the start, or with the call; the one that made the ids, or the
        # last that was used.
        known = (self.tokenizer, call.get("tokenizer"))
        tokenizer = next((one for one in known if one is not None), None)
        encoded_by = self._that_encoded(inputs.get("input_ids"))
        tokenizer = encoded_by if tokenizer is None else tokenizer
        is_a_guess = tokenizer is None
        tokenizer = self._tokenizer_in_use if is_a_guess else tokenizer
        case = complete(event.owner, tokenizer, inputs, call, self.repeatable, self._remembered)
        case.by_pipeline, case.seed = event.by_pipeline, torch.initial_seed()
        before = self._of_the_same_ids(case)
        if before is not None:
            case.earlier, case.earlier_seed = before.output, before.seed
            if before.seed != case.seed and self._drew_under(case.seed):
                case.earlier_seed = None
        if case.config is not None and case.config.do_sample:
            case.random_state = _random_state(case)
        if before is not None and case.config is not None:
            case.asked_alike = self._asked_alike(event, case)
        case.tokenizer_is_a_guess, case.encoded_by = is_a_guess, encoded_by
        case.held = self._steps.held(_cache_of(call)) if case.cached else None
        if self.evidence:  # the call is about to write into its own cache
            case.call = with_own_cache(call)
        loads = [one for one in self._loads if one.result() is event.owner]
        case.loads = [one.arguments for one in loads if one.arguments]
        reports = [one.report.as_it_is(event.owner) for one in loads if one.report is not None]
        case.load_reports = [one for one in reports if one is not None]
        case.template_calls = [one.call for one in self._led_to(case)]
        case.tokenizer_calls = self._tokenized_into(case)
        case.earlier_chats = list(self._asked)
        case.answers, case.unfilled = self._answers(), self._unfilled()
        self._asked.extend(one.messages for one in case.template_calls)
        return case

    def _unfilled(self) -> frozenset[str]:
        return frozenset(name for name, left_out in self._braces.items() if left_out)

    def _answers(self) -> list[tuple[list, str]]:
        """Return the conversations of the last calls, each with a text decoded of its answer."""
        return [
            (chat.messages, one.text)
            for call in self.calls[-_KEPT_CHATS:]
            for chat in call.case.template_calls
            for one in call.decoded
        ]

    def _of_the_same_ids(self, case: Case) -> Case | None:
        """Return one of the last calls of this model that had the same ids."""
        calls = self.calls[-_REMEMBERED:] if case.input_ids is not None else []
        return next((call.case for call in reversed(calls) if _same_ids(call.case, case)), None)

    def _drew_under(self, seed: int) -> bool:
        """Tell whether a call has sampled since this seed was set: then the seed was for that."""
        cases = [call.case for call in self.calls]
        return any(one.seed == seed and one.config and one.config.do_sample for one in cases)

    def _asked_alike(self, event: Event, case: Case) -> int:
        """Return how many of the last calls at this line have to give what this one gives."""
        alike = 0
        for call in self.calls[-_REMEMBERED:]:
            other = call.case
            same = call.site == event.site and other.random_state == case.random_state
            if same and other.config is not None and _same_ids(other, case):
                alike += self._same_settings(other.config, case.config)
        return alike

    def _same_settings(self, one, other) -> bool:
        """Tell whether two calls have the same settings; asked in full only of a script's calls."""
        return one is other or (self.callables is not None and one.to_dict() == other.to_dict())

    def _tokenized_into(self, case: Case) -> list[TokenizerCall]:
        """Return the tokenizer's calls whose ids are in this call's prompts, in their order."""
        if case.input_ids is None:
            return []
        prompts = [packed(row) for row in case.input_ids[:MOST_ROWS].tolist()]
        found: list[TokenizerCall] = []
        for event in reversed(self._encoded):
            rows = made_rows(event.result, most=MOST_ROWS) if event.owner is case.tokenizer else []
            pieces = [packed(row) for row in rows]
            whole = bool(pieces) and all(piece in prompts for piece in pieces)
            if not whole and not any(
                len(row) >= _SHORTEST_PIECE and is_in(piece, prompts)
                for row, piece in zip(rows, pieces, strict=True)
            ):
                continue
            options = {name: value for name, value in event.arguments.items() if name != "text"}
            found.append(TokenizerCall(event.arguments.get("text"), options, rows))
            if whole:
                break
        return found[::-1]

    def _led_to(self, case: Case) -> list[Rendered]:
        """Return the last conversation that was rendered into this call's first prompt, if any."""
        texts = [squeezed(text) for text in case.texts]
        for one in reversed(self._rendered):
            if one.tokenizer is not case.tokenizer:
                continue
            text = one.text
            if text is None and one.ids is not None:
                text = case.tokenizer.decode(one.ids, clean_up_tokenization_spaces=False)
            if text and any(_is_most_of(squeezed(text), other) for other in texts):
                return [one]
        return []

    def _look(
        self, event: Event, case: Case, seconds: float, streamed: list[tuple[Any, Decoded]]
    ) -> None:
        """Keep the diagnosis of a call that has ended.

        seconds: what the doctor took before it. streamed: what a streamer decoded meanwhile.
        """
        started = time.perf_counter()
        if event.error is not None:
            case.refusal = case.refusal or event.error
        elif event.result is not None:
            ids = getattr(event.result, "sequences", event.result)
            case.output = ids if isinstance(ids, torch.Tensor) else None
        self._keep_cache(event, case)
        found = [_placed(one, event.site) for one in self._found(event.name, event.site, case)]
        seconds += time.perf_counter() - started
        if self.evidence:
            found = [replace(one, evidence=measure(case, one)) for one in found]
        diagnosis = Diagnosis(
            findings=tuple(replace(one, repair=None) for one in found),
            seconds=seconds,
            output=case.output,
            text=new_text(case),
        )
        rows = tuple(map(packed, case.rows))
        with self._changed:
            call = WatchedCall(
                number=next(self._numbers),
                site=event.site,
                at_its_end=diagnosis,
                case=_kept(case),
                rows=rows,
                diagnosis=diagnosis,
            )
            self.calls.append(call)
        self._write_down(call)
        for tokenizer, one in streamed:
            self._keep_decoded(call, one, tokenizer)

    def _keep_cache(self, event: Event, case: Case) -> None:
        """Keep what `generate` left in the cache that it was given, or returned."""
        alone = case.output is not None and case.input_ids is not None
        alone = alone and len(case.output) == len(case.input_ids)
        alone = alone and (case.setting("num_beams") or 1) == 1
        text = case.output if alone else None
        for given in (event.arguments, event.result):
            self._steps.generated(_cache_of(given), text)

    def _write_down(self, call: WatchedCall) -> None:
        if self.journal is None:
            return
        plain = call_as_dict(call.site.file, call.site.line, call.diagnosis)
        findings = [found.as_dict() for found in call.diagnosis.findings]
        self.journal.call(call.number, plain, findings)

    def _wait_for_other_threads(self) -> None:
        """Wait until no other thread is in a call, so that what it made has been looked at."""
        this = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not set(self._running) - {this}, timeout=_PATIENCE)

    def look_at_the_rest(self) -> None:
        """Look at what was decoded and not looked at when it was."""
        for call in list(self.calls):
            if call.to_look_at:
                self._look_at_decoded(call)
        if self._texts is not None:
            self._texts.look(self._ended_at)

    def _look_at_decoded(self, call: WatchedCall) -> None:
        """Make a call's diagnosis again, with all that was decoded of its output."""
        with self._changed:
            call.to_look_at, decoded = False, list(call.decoded)
        if not decoded:
            return
        where = Site(decoded[0].file, decoded[0].line)
        try:
            with listen.unheard():
                case = call.case.later(decoded=decoded)
                found = self._found("what was decoded", where, case, (Needs.DECODINGS,))
        except Exception as error:
            self._fail("what was decoded", where, error)
            return
        found = [_placed(one, where) for one in found if one.code not in call.at_its_end.codes]
        before = call.diagnosis.findings
        findings = in_order([*call.at_its_end.findings, *found])
        call.diagnosis = replace(call.at_its_end, findings=findings)
        if findings != before:
            self._write_down(call)


def call_as_dict(file: str | None, line: int | None, diagnosis: Diagnosis) -> dict[str, Any]:
    """Return where a call stands and what was found in it, for JSON."""
    codes, seconds = list(diagnosis.codes), round(diagnosis.seconds, 6)
    return {"file": file, "line": line, "codes": codes, "seconds": seconds}


@cache
def _in_loops() -> frozenset[str]:
    """Return the codes of what can be found in a loop written by hand."""
    return frozenset(one.code for one in PITFALLS.values() if Needs.FORWARDS in one.needs)


def _place_of(use) -> tuple[str, int]:
    return use.file, use.line


def _placed(finding: Finding, site: Site) -> Finding:
    """Return the finding with the line that it belongs to, where it does not say one itself."""
    if finding.line is not None:
        return finding
    return replace(finding, file=site.file, line=site.line)


def _kept(case: Case) -> Case:
    """Return what later checks may ask of a call that has ended; no weights, no caches."""
    own = getattr(case.model, "generation_config", None)
    tensors = ("input_ids", "attention_mask")
    return case.later(
        model=SimpleNamespace(config=case.model.config, generation_config=own),
        refusal=None,  # its traceback holds what the call worked with
        called=[],
        held=None,
        inputs={name: case.inputs[name] for name in tensors if name in case.inputs},
        call={name: value for name, value in case.call.items() if hasattr(case.config, name)},
    )


def _changes_scores(case: Case | None) -> str:
    """Return the settings that make a call's scores others than its logits, in words."""
    names = ["repetition_penalty"]
    names += ["temperature"] * bool(case is not None and case.setting("do_sample"))
    values = {name: None if case is None else case.setting(name) for name in names}
    said = [f"{name}={value:g}" for name, value in values.items() if value not in (None, 0, 1)]
    return " and ".join(said)


def _same_ids(one: Case, other: Case) -> bool:
    """Tell whether two calls ask the same model to go on from the same ids."""
    ids, others = one.input_ids, other.input_ids
    if ids is None or others is None or (ids.shape, ids.device) != (others.shape, others.device):
        return False
    return one.model.config is other.model.config and torch.equal(ids, others)


def _random_state(case: Case) -> bytes:
    """Return a digest of the generator that a call draws from."""
    device = getattr(case.model, "device", torch.device("cpu"))
    on_a_card = device.type == "cuda"
    state = torch.cuda.get_rng_state(device) if on_a_card else torch.get_rng_state()
    return hashlib.blake2b(state.numpy().tobytes(), digest_size=16).digest()


def _cache_of(given) -> Any:
    """Return the cache among a call's arguments, or of what it returned; None if there is none."""
    if not isinstance(given, Mapping):
        return None
    return next((given[name] for name in CACHE_NAMES if given.get(name) is not None), None)


def _is_most_of(text: str, prompt: str) -> bool:
    """Tell whether a rendered chat is in a prompt, and no short one that is there by chance."""
    return text in prompt and (2 * len(text) >= len(prompt) or len(text) > _CHANCE)

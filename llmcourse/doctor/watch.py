"""`watch`: the doctor at every call to `generate` in a block, which changes nothing about it."""

import threading
import time
from typing import Any

import torch

from llmcourse.doctor import listen
from llmcourse.doctor.case import Case, Decoded
from llmcourse.doctor.diagnose import Diagnosis
from llmcourse.doctor.finding import Finding, once_per_line
from llmcourse.doctor.followed.callables import Callables, Recorder
from llmcourse.doctor.followed.kept_turns import KeptTurns
from llmcourse.doctor.ids import rows_of
from llmcourse.doctor.journal import Journal
from llmcourse.doctor.listen import Event
from llmcourse.doctor.report import as_json, findings_as_html, findings_as_text
from llmcourse.doctor.steps import Steps
from llmcourse.doctor.watched.completing import Completing
from llmcourse.doctor.watched.ended import EndedCalls, WatchedCall, as_dict
from llmcourse.doctor.watched.failed import FailedCalls
from llmcourse.doctor.watched.heard import Heard
from llmcourse.doctor.watched.ledger import Ledger
from llmcourse.doctor.watched.own_loops import OwnLogits, OwnLoops
from llmcourse.doctor.watched.own_texts import OwnTexts
from llmcourse.html import escape
from llmcourse.show import plural, printable

SCHEMA = "llmcourse.watch/1"
_LONGEST = 600  # characters of a failure that are shown
_PATIENCE = 10  # seconds that a reader waits for other threads to end the calls they are in


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


class Watch:
    """What the doctor saw in a block: made by `watch`."""

    def __init__(
        self,
        model=None,
        tokenizer=None,
        evidence: bool = False,
        repeatable: bool = False,
        *,
        journal: Journal | None = None,
        turns: KeptTurns | None = None,
        callables: Callables | None = None,
    ) -> None:
        """model, tokenizer, evidence, repeatable: as in `watch`.

        journal: where all that is seen is written down for another process; None: nowhere. turns:
        what looks at a script's variables; None: nobody does. callables: what looks at processors,
        criteria and the like in each step; None: not looked at, since it takes time in every step.
        """
        self.model, self.tokenizer = model, tokenizer
        self._callables = callables
        self._entered = 0  # how many `with` blocks it is in
        self._running: dict[int, int] = {}  # how many calls, by thread
        self._changed = threading.Condition()
        self._ledger = Ledger(journal)
        self._heard = Heard(self._ledger, turns)
        self._ended = EndedCalls(self._ledger, self._changed, evidence)
        self._failed = FailedCalls(self._ledger, self._ended)
        self._steps = Steps()  # of loops written by hand
        self._loops = OwnLoops(self._ledger, self._heard, self._steps, tokenizer)
        self._logits: OwnLogits | None = None  # where what becomes of logits is followed
        # None in a block, whose source is not followed.
        self._texts: OwnTexts | None = None
        self._completing = Completing(
            self._heard,
            self._ended.calls,
            self._steps,
            tokenizer=tokenizer,
            evidence=evidence,
            repeatable=repeatable,
            compares=callables is not None,
        )
        # In the order in which they ended.
        self.calls: list[WatchedCall] = self._ended.calls
        # Sentences about what the doctor could not look at.
        self.failures: list[str] = self._ledger.failures

    def __enter__(self) -> "Watch":
        with self._changed:
            self._entered += 1
            if self._entered == 1:
                listen.listen(self, self.model, self.tokenizer)
                if self._callables is not None:
                    self._callables.follow()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.ended_by(error)
        with self._changed:
            self._entered -= 1
            if self._entered == 0:
                listen.leave(self)
                if self._logits is not None:
                    self._logits.leave(kind, error, trace)
                    self._logits = None
                if self._callables is not None:
                    self._callables.leave()

    def follow_logits(self) -> None:
        """Follow what becomes of logits in this thread, to the end of the block."""
        self._logits = OwnLogits(self._ledger, self._ended)

    def follow_texts(self) -> None:
        """From now on look at what the script does with decoded texts, as its code tells."""
        self._texts = OwnTexts(self._ledger, self._ended)

    def ended_by(self, error: BaseException | None) -> None:
        """Look at the tokenizer's call whose error ended the block or the program, if one did."""
        self._failed.ended_by(error)

    def look_at_the_rest(self) -> None:
        """Look at what was decoded and not looked at when it was."""
        self._ended.look_at_the_rest()
        if self._texts is not None:
            self._texts.look_at_the_rest(self._failed.ended_at)

    # What its reader asks

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
        return once_per_line([*every, *self._ledger.findings])

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of all findings, in their order."""
        return tuple(found.code for found in self.findings)

    def to_json(self) -> str:
        """Return calls, findings and failures as one JSON object with stable keys."""
        diagnoses = self.diagnoses
        calls = [
            as_dict(call, diagnosis) for call, diagnosis in zip(self.calls, diagnoses, strict=False)
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

    def _wait_for_other_threads(self) -> None:
        """Wait until no other thread is in a call, so that what it made has been looked at."""
        this = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not set(self._running) - {this}, timeout=_PATIENCE)

    # What `listen` says: none of these ever raises an exception

    def begins(self, event: Event) -> tuple[float, Case | None, Recorder | None] | None:
        """Complete a call that is about to run, before it can change a cache or a config."""
        if self.model is not None and event.owner is not self.model:
            return None
        with self._changed:
            thread = threading.get_ident()
            self._running[thread] = self._running.get(thread, 0) + 1
        if self._ledger.journal is not None:
            self._ledger.journal.running(1)
        if self._logits is not None:
            self._logits.call_begins()
        started = time.perf_counter()
        case = self._carefully(event, self._completing.completed)
        if self._texts is not None:
            self._texts.call_begins(case, event.arguments.get("streamer"))
        recorder = None
        if self._callables is not None and case is not None:
            recorder = self._carefully(event, self._begin_callables, case)
        return time.perf_counter() - started, case, recorder

    def _begin_callables(self, event: Event, case: Case) -> Recorder | None:
        return self._callables.begin(
            case, lambda error: self._ledger.fail("what was called", event.site, error)
        )

    def ends(self, begun, event: Event) -> None:
        """Look at a call that has ended, or failed."""
        if begun is None:
            return
        seconds, case, recorder = begun
        if self._texts is not None:
            self._texts.call_ends()
        streamed = [] if recorder is None else list(recorder.decoded())
        if self._callables is not None and case is not None:
            case.called = self._carefully(event, lambda _: self._callables.end(recorder)) or []
        if case is not None and (event.error is None or isinstance(event.error, Exception)):
            self._carefully(event, self._look, case, seconds, streamed)
        if self._ledger.journal is not None:
            self._ledger.journal.running(-1)
        if self._logits is not None:
            self._logits.call_ends(event, case)
        with self._changed:
            thread = threading.get_ident()
            self._running[thread] -= 1
            if not self._running[thread]:
                del self._running[thread]
            self._changed.notify_all()

    def heard(self, event: Event) -> None:
        """Keep what later explains a call: a load, a template, a text, a decoding, a loop."""
        if event.error is not None:  # whoever called may know what to do about it
            self._failed.keep(event)
            return
        if self._logits is not None:
            self._logits.heard(event)
        self._carefully(
            event,
            {
                "from_pretrained": self._heard.keep_load,
                "load_state_dict": self._heard.keep_state_dict,
                "apply_chat_template": self._heard.keep_template,
                "decode": self._keep_decoding,
                "batch_decode": self._keep_decoding,
                "forward": self._loops.look_at,
                "parse_response": self._heard.keep_tokenizer,
            }.get(event.name, self._heard.keep_encoding),
        )

    def passed(self, event: Event) -> None:
        """Follow what a forward pass returned."""
        if self._logits is not None:
            self._logits.passed(event)

    def _carefully(self, event: Event, look, *given) -> Any:
        """Return what `look` makes of a call; None, and a sentence in `failures`, if it fails."""
        return self._ledger.carefully(event.name, event.site, look, event, *given)

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
        self._steps.generated(event, case)
        call = self._ended.look_at(event, case, seconds + time.perf_counter() - started)
        for tokenizer, one in streamed:
            self._ended.keep_decoded(call, one, tokenizer)

    def _keep_decoding(self, event: Event) -> None:
        """Keep what user code decoded with the call whose output it is, row by row."""
        if self._heard.tokenizer_in_use is None:  # what encodes says more
            self._heard.keep_tokenizer(event)
        kwargs, site = dict(event.arguments), event.site
        given = [kwargs.pop(name, None) for name in ("token_ids", "sequences")]
        texts = event.result if isinstance(event.result, list) else [event.result]
        rows = rows_of(given[0] if given[1] is None else given[1], len(texts))
        for ids, text in zip(rows, texts, strict=True):
            one = Decoded(ids, kwargs, text, site.line, site.file, tokenizer=event.owner)
            if event.inside_generate and self._texts is not None:
                self._texts.decoded_inside(one)
            if self._callables is not None and self._callables.keep_decoding(event.owner, one):
                continue
            call = self._ended.that_made(ids)
            if call is not None and self._texts is not None:
                self._texts.decoded(one, call)
            if call is not None:
                self._ended.keep_decoded(call, one, event.owner)

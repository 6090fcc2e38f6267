"""`watch`: the doctor at every call to `generate` in a block, which changes nothing about it."""

import json
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import torch

from llmcourse.doctor import listen
from llmcourse.doctor.case import Case, Decoded, Forward, TemplateCall, complete
from llmcourse.doctor.diagnose import (
    Diagnosis,
    check,
    copied_state,
    findings_as_html,
    findings_as_text,
    in_order,
)
from llmcourse.doctor.evidence import measure
from llmcourse.doctor.finding import Finding
from llmcourse.doctor.listen import Event, Site
from llmcourse.doctor.pitfalls.inputs import position_ids
from llmcourse.doctor.pitfalls.outputs import piecewise_decoding, prompt_in_output
from llmcourse.show import escape, printable

SCHEMA = "llmcourse.watch/1"
_KEPT = 1000  # template, tokenizer and decode calls that a watch remembers
_PATIENCE = 10  # seconds that a reader waits for other threads to end the calls they are in
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
    return Watch(model, tokenizer, evidence, repeatable)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A conversation put through a chat template: the call, and the text or the ids it made."""

    tokenizer: Any
    call: TemplateCall
    text: str | None
    ids: list[int] | None


@dataclass(frozen=True, eq=False)
class Decode:
    """One row that user code decoded, and how many calls had ended by then."""

    tokenizer: Any
    ids: list[int]
    kwargs: dict[str, Any]
    text: str
    file: str | None
    line: int | None
    calls_before: int


@dataclass(frozen=True, eq=False)
class Load:
    """What `from_pretrained` was asked for; result: a weak reference to what it returned."""

    arguments: dict[str, Any]
    result: weakref.ref


@dataclass(frozen=True, eq=False)
class WatchedCall:
    """A call to `generate` that has ended. case: its ids alone, to hold decodings against."""

    site: Site
    diagnosis: Diagnosis
    case: Case


@dataclass(eq=False, repr=False)
class Watch:
    """What the doctor saw in a block: made by `watch`.

    calls: those to `generate` that have ended. failures: sentences about what the doctor could not
    look at.
    """

    model: Any = None
    tokenizer: Any = None
    evidence: bool = False
    repeatable: bool = False
    calls: list[WatchedCall] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _entered: int = 0
    _running: dict[int, int] = field(default_factory=dict)  # how many calls, by thread
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _rendered: deque = field(default_factory=lambda: deque(maxlen=_KEPT))
    _tokenizer_in_use: Any = None
    _decoded: deque = field(default_factory=lambda: deque(maxlen=_KEPT))
    _loads: list[Load] = field(default_factory=list)
    _loops: dict[Site, Finding | None] = field(default_factory=dict)  # loops written by hand

    def __enter__(self) -> "Watch":
        with self._changed:
            self._entered += 1
            if self._entered == 1:
                listen.listen(self, self.model, self.tokenizer)
        return self

    def __exit__(self, *error) -> None:
        with self._changed:
            self._entered -= 1
            if self._entered == 0:
                listen.leave(self)

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """One for each call to `generate`, in the order in which they ended."""
        self._wait_for_other_threads()
        calls, decoded = list(self.calls), self._decoded_by_call()
        return tuple(_with_decoded(call, decoded.get(n, [])) for n, call in enumerate(calls))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found, errors first; what is found again at the same line is left out."""
        every = [found for diagnosis in self.diagnoses for found in diagnosis.findings]
        every += filter(None, list(self._loops.values()))
        once: dict[tuple, Finding] = {}
        for found in every:
            once.setdefault((found.code, found.file, found.line), found)
        return in_order(once.values())

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of all findings, in their order."""
        return tuple(found.code for found in self.findings)

    def to_json(self) -> str:
        """Return calls, findings and failures as one JSON object with stable keys."""
        diagnoses = self.diagnoses
        calls = [
            {
                "file": call.site.file,
                "line": call.site.line,
                "codes": list(diagnosis.codes),
                "seconds": round(diagnosis.seconds, 6),
            }
            for call, diagnosis in zip(self.calls, diagnoses, strict=False)
        ]
        plain = {
            "schema": SCHEMA,
            "calls": calls,
            "findings": [found.as_dict() for found in self.findings],
            "failures": list(self.failures),
        }
        return json.dumps(plain, indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        said = [self._looked_at_calls(), findings_as_text(self.findings), *self._shown_failures()]
        return "\n".join(said)

    def _repr_html_(self) -> str:
        failures = "".join(f"<p>{escape(sentence)}</p>" for sentence in self._shown_failures())
        calls = f"<p>{escape(self._looked_at_calls())}</p>"
        return f"{calls}{findings_as_html(self.findings)}{failures}"

    def _looked_at_calls(self) -> str:
        count = len(self.diagnoses)
        return f"Looked at {count} call{'s' * (count != 1)} to generate."

    def _shown_failures(self) -> list[str]:
        return [printable(f"The doctor could not look at {each}", 600) for each in self.failures]

    # What `recording` tells: none of these ever raises an exception

    def begins(self, event: Event) -> tuple[float, Case | None] | None:
        """Complete a call that is about to run, before it can change a cache or a config."""
        if self.model is not None and event.owner is not self.model:
            return None
        with self._changed:
            thread = threading.get_ident()
            self._running[thread] = self._running.get(thread, 0) + 1
        started = time.perf_counter()
        case = self._carefully(event, self._completed)
        return time.perf_counter() - started, case

    def ends(self, begun, event: Event) -> None:
        """Look at a call that has ended, or failed."""
        if begun is None:
            return
        seconds, case = begun
        if case is not None and not isinstance(event.error, (KeyboardInterrupt, SystemExit)):
            self._carefully(event, lambda event: self._look(event, case, seconds))
        with self._changed:
            thread = threading.get_ident()
            self._running[thread] -= 1
            if not self._running[thread]:
                del self._running[thread]
            self._changed.notify_all()

    def heard(self, event: Event) -> None:
        """Keep what later explains a call: a load, a template, a text, a decoding, a loop."""
        self._carefully(
            event,
            {
                "from_pretrained": self._keep_load,
                "apply_chat_template": self._keep_template,
                "decode": self._keep_decoding,
                "batch_decode": self._keep_decoding,
                "forward": self._look_at_loop,
            }.get(event.name, self._keep_tokenizer),
        )

    def _carefully(self, event: Event, look):
        """Return what `look` makes of a call; None, and a sentence in `failures`, if it fails."""
        try:
            with listen.unheard():
                return look(event)
        except Exception as error:
            where = f"{event.name} at {event.site.file}:{event.site.line}"
            self.failures.append(f"{where}: {type(error).__name__}: {error}")
            return None

    # What is kept of the calls before and after

    def _keep_load(self, event: Event) -> None:
        if isinstance(event.result, torch.nn.Module):
            listen.wrap_what_overrides(event.result)
            self._loads.append(Load(dict(event.arguments), weakref.ref(event.result)))
        else:
            listen.wrap_what_overrides(event.result)

    def _keep_tokenizer(self, event: Event) -> None:
        self._tokenizer_in_use = event.owner

    def _keep_template(self, event: Event) -> None:
        self._keep_tokenizer(event)
        options = dict(event.arguments)
        messages = options.pop("conversation", None)
        if not messages or not isinstance(messages[0], Mapping):
            return  # a batch of conversations
        text = event.result if isinstance(event.result, str) else None
        ids = None if text is not None else _first_row(event.result)
        call = TemplateCall(list(messages), options, event.result)
        self._rendered.append(Rendered(event.owner, call, text, ids))

    def _keep_decoding(self, event: Event) -> None:
        given = event.arguments.get("token_ids", event.arguments.get("sequences"))
        rows = torch.as_tensor(given).tolist() if isinstance(given, torch.Tensor) else given
        rows = [rows] if isinstance(rows, int) else list(rows)
        several = bool(rows) and not isinstance(rows[0], int)
        rows = [list(map(int, row)) for row in (rows if several else [rows])]
        texts = event.result if isinstance(event.result, list) else [event.result]
        kwargs = {
            name: value
            for name, value in event.arguments.items()
            if name not in ("token_ids", "sequences")
        }
        where = (event.site.file, event.site.line, len(self.calls))
        for ids, text in zip(rows, texts, strict=True):
            self._decoded.append(Decode(event.owner, ids, kwargs, text, *where))

    def _look_at_loop(self, event: Event) -> None:
        """Look at the first forward pass of each line that has something to say."""
        if self._loops.get(event.site) is not None:
            return
        names = ("input_ids", "attention_mask", "position_ids")
        facts = [event.arguments.get(name) for name in names]
        step = Forward(*facts, line=event.site.line, file=event.site.file)
        case = Case(event.owner, self.tokenizer, forwards=[step])
        self._loops[event.site] = next(position_ids(case), None)

    # A call to generate

    def _completed(self, event: Event) -> Case:
        call = dict(event.arguments)
        inputs = {name: call.pop(name) for name in _TENSORS if call.get(name) is not None}
        if isinstance(inputs.get("inputs"), Mapping):  # generate(tokenizer(...)) without the stars
            inputs = dict(inputs["inputs"])
        if "inputs" in inputs:
            inputs["input_ids"] = inputs.pop("inputs")
        tokenizer = self._tokenizer_in_use if self.tokenizer is None else self.tokenizer
        case = complete(event.owner, tokenizer, inputs, copied_state(call), self.repeatable)
        case.call = call
        case.loads = [one.arguments for one in self._loads if one.result() is event.owner]
        case.template_calls = [one.call for one in self._led_to(case)]
        return case

    def _led_to(self, case: Case) -> list[Rendered]:
        """Return the last conversation that was rendered into this call's first prompt, if any."""
        texts = [text.strip() for text in case.texts]
        for one in reversed(self._rendered):
            if one.tokenizer is not case.tokenizer:
                continue
            text = one.text
            if text is None and one.ids is not None:
                text = case.tokenizer.decode(one.ids, clean_up_tokenization_spaces=False)
            if text and any(_squeezed(text) in _squeezed(other) for other in texts):
                return [one]
        return []

    def _look(self, event: Event, case: Case, seconds: float) -> None:
        started = time.perf_counter()
        if event.error is not None:
            case.refusal = case.refusal or event.error
        elif event.result is not None:
            ids = getattr(event.result, "sequences", event.result)
            case.output = ids if isinstance(ids, torch.Tensor) else None
        found = check(case, after=case.output is not None)
        seconds += time.perf_counter() - started
        site = {"file": event.site.file, "line": event.site.line}
        placed = []
        for one in found:
            seen = measure(case, one) if self.evidence else one.evidence
            where = site if one.line is None else {}
            placed.append(replace(one, evidence=seen, repair=None, **where))
        text = None
        if case.output is not None and case.tokenizer is not None:
            new = case.output[0, case.prompt_length :]
            text = case.tokenizer.decode(new, skip_special_tokens=True)
        inputs = {"input_ids": case.input_ids} if case.input_ids is not None else {}
        model = SimpleNamespace(config=case.model.config)  # the weights are not kept alive
        slim = Case(model, case.tokenizer, case.prompt, inputs=inputs, output=case.output)
        diagnosis = Diagnosis(tuple(placed), seconds, case.output, text)
        self.calls.append(WatchedCall(event.site, diagnosis, slim))

    def _wait_for_other_threads(self) -> None:
        """Wait until no other thread is in a call, so that what it made has been looked at."""
        this = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not set(self._running) - {this}, timeout=_PATIENCE)

    def _decoded_by_call(self) -> dict[int, list[Decode]]:
        """Return the decodings by the number of the last call before them that made their ids."""
        found: dict[int, list[Decode]] = {}
        rows = [
            [] if call.case.output is None else call.case.output.tolist() for call in self.calls
        ]
        for one in list(self._decoded):
            for number in reversed(range(min(one.calls_before, len(rows)))):
                if any(_holds(row, one.ids) for row in rows[number]):
                    found.setdefault(number, []).append(one)
                    break
        return found


def _with_decoded(call: WatchedCall, decoded: list[Decode]) -> Diagnosis:
    """Return the diagnosis of a call, and of how its output was decoded afterwards."""
    if not decoded:
        return call.diagnosis
    made = [Decoded(one.ids, one.kwargs, one.text) for one in decoded]
    case = replace(call.case, decoded=made)
    with listen.unheard():
        whole, pieces = [*prompt_in_output(case)], [*piecewise_decoding(case)]
    length = case.prompt_length
    first_whole = next((one for one in decoded if len(one.ids) > length), decoded[0])
    first_piece = next((one for one in decoded if 0 < len(one.ids) <= 4), decoded[0])
    found = [replace(one, file=first_whole.file, line=first_whole.line) for one in whole]
    found += [replace(one, file=first_piece.file, line=first_piece.line) for one in pieces]
    return replace(call.diagnosis, findings=in_order([*call.diagnosis.findings, *found]))


def _first_row(made) -> list[int] | None:
    """Return the ids that a template call made: a list, a tensor, or a BatchEncoding of them."""
    ids = made.get("input_ids") if isinstance(made, Mapping) else made
    flat = torch.as_tensor(ids)
    return (
        None if flat.dim() > 2 or not flat.numel() else flat.reshape(-1, flat.shape[-1])[0].tolist()
    )


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _holds(row: list[int], ids: list[int]) -> bool:
    return any(row[at : at + len(ids)] == ids for at in range(len(row) - len(ids) + 1))

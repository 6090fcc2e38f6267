"""Calls to `generate` that have ended: what was found in them, and with what is decoded of them.

How an output is decoded is seen later than the call: then its diagnosis is made again. Of a call
stays what later checks ask for, without the model's weights and its caches.
"""

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import Case, Decoded
from llmcourse.doctor.diagnose import Diagnosis, new_text
from llmcourse.doctor.evidence import measure
from llmcourse.doctor.finding import in_order
from llmcourse.doctor.ids import is_in, packed
from llmcourse.doctor.listen import Event
from llmcourse.doctor.pitfalls import Needs
from llmcourse.doctor.watched.ledger import Ledger, placed

_KEPT = 1000  # texts decoded of one call, or of several, that are remembered
_SEARCHED = 64  # rows of which it is remembered who made them


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


class EndedCalls:
    """The calls of a watch that have ended, in their order, and what was decoded of them."""

    def __init__(self, ledger: Ledger, lock: threading.Condition, evidence: bool = False) -> None:
        """ledger, lock: of the watch; evidence: whether to measure what each fix changes."""
        self.calls: list[WatchedCall] = []
        self._ledger, self._lock, self._evidence = ledger, lock, evidence
        self._numbers = itertools.count()  # of the calls to come
        self._decoded: deque[WatchedCall] = deque()  # of which decodings are kept
        self._kept = 0  # decodings that are kept, of all calls
        # By the rows that were looked for of late: how many calls there were then, and the number
        # of the one that made it; -1 for none.
        self._searched: dict[bytes, tuple[int, int]] = {}

    def look_at(self, event: Event, case: Case, seconds: float) -> WatchedCall:
        """Keep the diagnosis of a call that has ended; seconds: what the doctor took before it."""
        started = time.perf_counter()
        found = self._ledger.found(event.name, event.site, case)
        found = [placed(one, event.site) for one in found]
        seconds += time.perf_counter() - started
        if self._evidence:
            found = [replace(one, evidence=measure(case, one)) for one in found]
        diagnosis = Diagnosis(
            findings=tuple(replace(one, repair=None) for one in found),
            seconds=seconds,
            output=case.output,
            text=new_text(case),
        )
        rows = tuple(map(packed, case.rows))
        with self._lock:
            call = WatchedCall(
                number=next(self._numbers),
                site=event.site,
                at_its_end=diagnosis,
                case=without_weights(case),
                rows=rows,
                diagnosis=diagnosis,
            )
            self.calls.append(call)
        self._write_down(call)
        return call

    def that_made(self, ids: list[int]) -> WatchedCall | None:
        """Return the last call that made these ids, one after another in a row of its output.

        Who did not make a row made none that begins with it: of a row that grows token by token,
        new calls are searched, and older ones from that on which made it so far.
        """
        row = packed(ids)
        with self._lock:
            count = len(self.calls)
            before, at = self._searched.get(row) or self._searched.get(row[:-8]) or (0, -1)
            if before > count:  # somebody took calls out of the list
                before, at = 0, -1
            numbers = itertools.chain(range(count - 1, before - 1, -1), range(at, -1, -1))
            made = (number for number in numbers if is_in(row, self.calls[number].rows))
            number = next(made, -1)
            self._searched.pop(row, None)
            self._searched[row] = count, number
            if len(self._searched) > _SEARCHED:
                self._searched.pop(next(iter(self._searched)))
            return None if number < 0 else self.calls[number]

    def keep_decoded(self, call: WatchedCall, one: Decoded, tokenizer) -> None:
        """Keep what was decoded of a call's output; look at it now and then, later ever rarer."""
        with self._lock:
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
        with self._lock:
            if not self._decoded or self._decoded[0] is but:
                return
            oldest = self._decoded.popleft()
            oldest.forgotten = True
        if oldest.to_look_at:
            self._look_at_decoded(oldest)
        with self._lock:
            self._kept -= len(oldest.decoded)
            oldest.decoded.clear()

    def look_at_the_rest(self) -> None:
        """Look at what was decoded and not looked at when it was."""
        for call in list(self.calls):
            if call.to_look_at:
                self._look_at_decoded(call)

    def _look_at_decoded(self, call: WatchedCall) -> None:
        """Make a call's diagnosis again, with all that was decoded of its output."""
        with self._lock:
            call.to_look_at, decoded = False, list(call.decoded)
        if not decoded:
            return
        what, where = "what was decoded", Site(decoded[0].file, decoded[0].line)
        case = call.case.later(decoded=decoded)
        found = self._ledger.found_carefully(what, where, case, Needs.DECODINGS)
        if found is None:
            return
        found = [placed(one, where) for one in found if one.code not in call.at_its_end.codes]
        before = call.diagnosis.findings
        findings = in_order([*call.at_its_end.findings, *found])
        call.diagnosis = replace(call.at_its_end, findings=findings)
        if findings != before:
            self._write_down(call)

    def leave_out(self, codes: set[str], case: Case) -> None:
        """Leave findings out of the calls of the same prompt: they are said at a line of theirs."""
        for call in self.calls if codes else ():
            if call.case.input_ids is case.input_ids and codes & set(call.diagnosis.codes):
                kept = tuple(one for one in call.diagnosis.findings if one.code not in codes)
                call.diagnosis = replace(call.diagnosis, findings=kept)
                self._write_down(call)

    def _write_down(self, call: WatchedCall) -> None:
        journal = self._ledger.journal
        if journal is None:
            return
        plain = as_dict(call, call.diagnosis)
        findings = [found.as_dict() for found in call.diagnosis.findings]
        journal.call(call.number, plain, findings)


def as_dict(call: WatchedCall, diagnosis: Diagnosis) -> dict[str, Any]:
    """Return where a call stands and what was found in it, for JSON."""
    codes, seconds = list(diagnosis.codes), round(diagnosis.seconds, 6)
    return {"file": call.site.file, "line": call.site.line, "codes": codes, "seconds": seconds}


def without_weights(case: Case) -> Case:
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

"""Loops that a script writes itself: its forward passes, and what becomes of their logits.

`OwnLoops` looks at each pass outside `generate`; `OwnLogits` follows the numbers that it returned
through the script, in one thread.
"""

from functools import cache

import torch

from llmcourse.doctor import followed
from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import Case
from llmcourse.doctor.followed.logits import Follower, Use
from llmcourse.doctor.listen import Event
from llmcourse.doctor.pitfalls import PITFALLS, Needs
from llmcourse.doctor.steps import Steps
from llmcourse.doctor.watched.ended import EndedCalls, WatchedCall
from llmcourse.doctor.watched.heard import Heard
from llmcourse.doctor.watched.ledger import Ledger


class OwnLoops:
    """Looks at forward passes outside `generate`."""

    def __init__(self, ledger: Ledger, heard: Heard, steps: Steps, tokenizer=None) -> None:
        """ledger, heard, steps: of the watch; tokenizer: None for the one that is in use."""
        self._ledger, self._heard, self._steps = ledger, heard, steps
        self._tokenizer = tokenizer

    def look_at(self, event: Event) -> None:
        """Keep what is found in a forward pass, once for each line and code."""
        found = self._ledger.at(event.site)
        if found.keys() >= _in_loops():
            return
        step = self._steps.follow(event)
        in_use = self._heard.tokenizer_in_use
        tokenizer = in_use if self._tokenizer is None else self._tokenizer
        case = Case(event.owner, tokenizer, forwards=[step])
        for one in self._ledger.found(event.name, event.site, case, (Needs.FORWARDS,)):
            if one.code not in found:
                self._ledger.keep(event.site, one)


class OwnLogits:
    """Follows what becomes of logits in the thread that makes it, until `leave`."""

    def __init__(self, ledger: Ledger, ended: EndedCalls) -> None:
        """ledger, ended: of the watch."""
        self._ledger, self._ended = ledger, ended
        self._follower = Follower(
            self._look_at, lambda error: self._ledger.fail("logits", Site(), error)
        )
        self._follower.__enter__()

    def leave(self, kind, error, trace) -> None:
        """Follow nothing from here on; kind, error, trace: as `__exit__` gets them."""
        self._follower.__exit__(kind, error, trace)

    def call_begins(self) -> None:
        """Look away while `generate` runs."""
        self._follower.pause()

    def call_ends(self, event: Event, case: Case | None) -> None:
        """Follow what `generate` returned, and look again; case: the call, if it could be read."""
        self._carefully(event, self._follower.after_generate, _changes_scores(case))
        self._follower.go_on()

    def heard(self, event: Event) -> None:
        """Look at what a model is fed, and look away until it returns; or at what is decoded."""
        self._carefully(event, self._follower.before)
        if event.name == "forward":
            self._follower.pause()

    def passed(self, event: Event) -> None:
        """Follow what a forward pass returned."""
        self._carefully(event, self._follow_pass)
        self._follower.go_on()

    def _carefully(self, event: Event, look, *given) -> None:
        self._ledger.carefully(event.name, event.site, look, event, *given)

    def _follow_pass(self, event: Event) -> None:
        self._follower.after_a_pass(event, self._ends_in(event.arguments.get("input_ids")))

    def _ends_in(self, ids) -> torch.Tensor | None:
        """Return where each row ends, (rows,) int64, -1 for nowhere; None if no call wrote them."""
        if not self._ended.calls or not isinstance(ids, torch.Tensor) or ids.dim() != 2:
            return None
        rows = [row for row in ids.tolist() if row]
        ends = []
        for row in rows:
            call = self._ended.that_made(row)
            if call is None:
                return None
            ends.append(_end_in(row, call))
        return torch.tensor(ends) if rows else None

    def _look_at(self, use: Use) -> None:
        """Keep what is found in a step that a script takes with logits, once for a line."""
        for found in followed.look(
            use,
            self._ledger.at(use.site),
            lambda code, error: self._ledger.fail(f"{use.name} for {code}", use.site, error),
        ):
            self._ledger.keep(use.site, found)


def _changes_scores(case: Case | None) -> str:
    """Return the settings that make a call's scores others than its logits, in words."""
    names = ["repetition_penalty"]
    names += ["temperature"] * bool(case is not None and case.setting("do_sample"))
    values = {name: None if case is None else case.setting(name) for name in names}
    said = [f"{name}={value:g}" for name, value in values.items() if value not in (None, 0, 1)]
    return " and ".join(said)


def _end_in(row: list[int], call: WatchedCall) -> int:
    """Return where a row has its first end behind the prompt of the call that wrote it, or -1."""
    start = call.case.prompt_length
    new = enumerate(row[start:], start)
    return next((at for at, one in new if one in call.case.eos_ids), -1)


@cache
def _in_loops() -> frozenset[str]:
    """Return the codes of what can be found in a loop written by hand."""
    return frozenset(one.code for one in PITFALLS.values() if Needs.FORWARDS in one.needs)

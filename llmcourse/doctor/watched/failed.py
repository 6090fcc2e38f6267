"""Calls of a tokenizer that failed, and the one whose error ended the block or the program."""

import traceback
from collections import deque
from types import SimpleNamespace

from llmcourse.doctor.case import Case, is_chat
from llmcourse.doctor.listen import Event
from llmcourse.doctor.pitfalls import Needs
from llmcourse.doctor.watched.ledger import Ledger

_KEPT = 8  # failed calls that are remembered: whoever called may know what to do about them


class FailedCalls:
    """Remembers the last failed calls, until it is known whether one of their errors ended it."""

    def __init__(self, ledger: Ledger) -> None:
        """ledger: where what is found is kept."""
        self.ended_at: frozenset[tuple[str, int]] = frozenset()  # lines that the last error passed
        self._ledger = ledger
        self._failed: deque[Event] = deque(maxlen=_KEPT)

    def keep(self, event: Event) -> None:
        """Keep a call that failed."""
        self._failed.append(event)

    def ended_by(self, error: BaseException | None) -> None:
        """Look at the tokenizer's call whose error this is, or led to this, if one did."""
        chain = []
        while error is not None and error not in chain:
            chain.append(error)
            error = error.__cause__ or error.__context__
        for event in reversed(self._failed):
            if event.error in chain and event.name != "from_pretrained":
                self._ledger.carefully(event.name, event.site, self._look_at, event)
                break
        self._failed.clear()
        self.ended_at = frozenset(
            (frame.f_code.co_filename, line)
            for one in chain
            for frame, line in traceback.walk_tb(one.__traceback__)
        )

    def _look_at(self, event: Event) -> None:
        """Keep what is found in a tokenizer's call that failed."""
        given = event.arguments.get("conversation")
        case = Case(
            SimpleNamespace(config=None),
            event.owner,
            messages=list(given) if is_chat(given) else None,
            refusal=event.error,
            failed=(event.name, event.arguments),
        )
        for one in self._ledger.found(event.name, event.site, case, (Needs.FAILED,)):
            self._ledger.keep(event.site, one)

"""What ended a block or a program: a tokenizer's call that failed, or what an error is about."""

import traceback
from collections import deque
from types import SimpleNamespace

from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import Case, is_chat
from llmcourse.doctor.last_error import cause_of
from llmcourse.doctor.listen import Event
from llmcourse.doctor.pitfalls import Needs
from llmcourse.doctor.watched.ended import EndedCalls
from llmcourse.doctor.watched.ledger import Ledger

_KEPT = 8  # failed calls that are remembered: whoever called may know what to do about them


class FailedCalls:
    """Remembers the last failed calls, until it is known whether one of their errors ended it."""

    def __init__(self, ledger: Ledger, ended: EndedCalls) -> None:
        """ledger: where what is found is kept; ended: the watch's calls."""
        self.ended_at: frozenset[tuple[str, int]] = frozenset()  # lines that the last error passed
        self._ledger, self._ended = ledger, ended
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
        if chain:
            self._ledger.carefully("the error that ended it", Site(), self._keep_cause, chain[0])
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

    def _keep_cause(self, error: BaseException) -> None:
        """Keep what the object says that the last error is about."""
        texts = {id(one.text) for call in self._ended.calls for one in call.decoded}
        found = cause_of(error, lambda thing: id(thing) in texts)
        if found is not None:
            self._ledger.keep(Site(found.file, found.line), found)

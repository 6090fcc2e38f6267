"""What a script does with decoded texts: which are followed, of which call, and what is found."""

import threading

import torch

from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import Case, Decoded
from llmcourse.doctor.followed.provenance import (
    Texts,
    hear_pipelines,
    hear_streamer,
    origin_of,
    origin_of_record,
)
from llmcourse.doctor.ids import plain
from llmcourse.doctor.pitfalls import Needs
from llmcourse.doctor.watched.ended import EndedCalls, WatchedCall, without_weights
from llmcourse.doctor.watched.ledger import Ledger


class OwnTexts:
    """Follows the texts that are decoded of calls, as the script's code tells of them."""

    def __init__(self, ledger: Ledger, ended: EndedCalls) -> None:
        """ledger, ended: of the watch."""
        self._ledger, self._ended = ledger, ended
        self._texts = Texts(
            self._look_at_uses, lambda error: self._ledger.fail("a text", Site(), error)
        )
        self._under_way: dict[int, list[Case | None]] = {}  # calls that run, by thread

    def call_begins(self, case: Case | None, streamer) -> None:
        """Hear what the script does from now on, with texts and with pieces of a stream."""
        self._texts.begin()
        hear_pipelines(self._keep_records)
        hear_streamer(streamer, self._keep_piece)
        self._under_way.setdefault(threading.get_ident(), []).append(case)

    def call_ends(self) -> None:
        """The inmost call of this thread is over."""
        self._under_way[threading.get_ident()].pop()

    def decoded(self, one: Decoded, call: WatchedCall) -> None:
        """Follow a text that was decoded of a call's output."""
        self._texts.decoded(origin_of(call.case, one), call.case)

    def decoded_inside(self, one: Decoded) -> None:
        """Follow a text that a criterion or a streamer decodes of the call that runs."""
        case = self._running()
        prompts = [] if case is None else case.id_rows
        size = len(prompts[0]) if prompts else 0
        if len(one.ids) > size > 0 and one.ids[:size] in prompts:
            case = without_weights(case)
            case.output = torch.tensor([one.ids])
            self._texts.decoded(origin_of(case, one, runs=True), case)

    def _running(self) -> Case | None:
        """Return the inmost call of this thread, if there is one."""
        return next(reversed(self._under_way.get(threading.get_ident(), [])), None)

    def look_at_the_rest(self, ended_at: frozenset[tuple[str, int]]) -> None:
        """Look at all that was done; ended_at: lines that the error which ended the script left."""
        self._texts.look(ended_at)

    def _keep_piece(self, text) -> None:
        """Follow a piece of the stream of the call that runs in this thread."""
        case = self._running()
        if case is not None and type(text) is str:
            self._ledger.carefully("a stream", Site(), self._texts.piece, text, case)

    def _keep_records(self, pipeline, outputs, records) -> None:
        """Follow the texts of a pipeline's answers to one prompt."""
        given = (pipeline, outputs, records)
        self._ledger.carefully("a pipeline's answer", Site(), self._follow_records, *given)

    def _follow_records(self, pipeline, outputs, records) -> None:
        prompt = outputs["prompt_text"]
        prompt = prompt if isinstance(prompt, str) else ""
        for ids, record in zip(outputs["generated_sequence"][0], records, strict=False):
            text, call = record.get("generated_text"), self._ended.that_made(plain(ids))
            if isinstance(text, list) and text:  # a chat: its last message
                text = text[-1].get("content")
            if call is None or not isinstance(text, str):
                continue
            given = (plain(ids), text, prompt, pipeline.tokenizer)
            self._texts.decoded(origin_of_record(call.case, *given), call.case)

    def _look_at_uses(self, case: Case) -> None:
        """Keep what is found in what was done with a text, once for each line and code."""
        if case.streamed:
            *_, file, line = case.streamed.searches[0]
        else:
            file, line = case.uses[0].file, case.uses[0].line
        what, where = "what was done with a text", Site(file, line)
        found = self._ledger.found_carefully(what, where, case, Needs.USES, Needs.STREAMED)
        for one in found or ():
            site = Site(one.file, one.line)
            if one.code not in self._ledger.at(site):
                self._ledger.keep(site, one)
        if found and case.uses and case.uses[0].origin.runs:
            self._ended.leave_out({one.code for one in found}, case)

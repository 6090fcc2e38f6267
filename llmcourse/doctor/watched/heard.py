"""What was asked before a call to `generate`: loads, templates, encodings, and which led to it.

`Heard` keeps them as they come, of each kind the last ones, and says of a call which tokenizer made
its ids, what the model was loaded with, and which conversation and which texts its prompt is from.
Models are not kept alive.
"""

import sys
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from llmcourse.doctor import listen
from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import MOST_ROWS, Case, TemplateCall, TokenizerCall, Unused
from llmcourse.doctor.followed.kept_turns import KeptTurns, in_braces
from llmcourse.doctor.ids import is_in, made_rows, packed
from llmcourse.doctor.listen import Event
from llmcourse.doctor.loading_report import Report, of_load, of_state_dict
from llmcourse.doctor.template_marks import squeezed
from llmcourse.doctor.watched.ledger import Ledger

KEPT_CHATS = 8  # conversations of earlier calls that are remembered
_KEPT_TEMPLATES = 1000  # template calls that are remembered
_KEPT_ENCODINGS = 32  # tokenizer calls that are remembered
_MOST_TEXTS = 64  # of one such call
_SHORTEST_PIECE = 4  # ids that are looked for inside a prompt; fewer may be there by chance
_CHANCE = 40  # characters without spaces that another chat's text may share with a prompt
_ENCODED = 64  # last prompts of which it is remembered which tokenizer made them


@dataclass(frozen=True, eq=False)
class _Rendered:
    """A conversation put through a chat template."""

    tokenizer: Any  # whose template it was
    call: TemplateCall  # what was asked for
    text: str | None  # what came back, if it was a text
    ids: list[int] | None  # what came back, if it was ids


@dataclass(frozen=True, eq=False)
class _Load:
    """A model that was loaded."""

    arguments: dict[str, Any]  # what `from_pretrained` was asked for
    result: weakref.ref  # the model, which is not kept alive
    report: Report | None = None  # what it left open


class Heard:
    """Remembers what models and tokenizers were asked between calls to `generate`."""

    def __init__(self, ledger: Ledger, turns: KeptTurns | None = None) -> None:
        """ledger: of the watch; turns: what looks at a script's variables; None: nobody does."""
        self.tokenizer_in_use: Any = None  # the last one that user code called
        self._ledger, self._turns = ledger, turns
        self._loads: list[_Load] = []
        self._rendered: deque[_Rendered] = deque(maxlen=_KEPT_TEMPLATES)
        self._encoded: deque[Event] = deque(maxlen=_KEPT_ENCODINGS)
        self._asked: deque[list] = deque(maxlen=KEPT_CHATS)  # conversations that led to calls
        # Names in braces in prompts: whether each is that of a variable.
        self._braces: dict[str, bool] = {}
        # What tokenizers made of late: the first row, packed, and whose it is.
        self._made_by: deque[tuple[bytes, Any]] = deque(maxlen=_ENCODED)

    # What is kept

    def keep_load(self, event: Event) -> None:
        """Keep what a model was loaded with; what is made overrides methods that are heard too."""
        # With `output_loading_info=True` it is the model and what is said of it.
        made = event.result[0] if isinstance(event.result, tuple) else event.result
        listen.wrap_what_overrides(made)
        if isinstance(made, torch.nn.Module):
            report = of_load(made, event.loading_info)
            self._loads.append(_Load(dict(event.arguments), weakref.ref(made), report))

    def keep_state_dict(self, event: Event) -> None:
        """Keep what a `load_state_dict` left open."""
        kept = [one for one in self._loads if one.result() is not event.owner or one.arguments]
        self._loads[:] = kept  # what is given now stands instead of what was given before
        report = of_state_dict(event.owner, event.arguments.get("state_dict"), event.result)
        if report is not None:
            self._loads.append(_Load({}, weakref.ref(event.owner), report))

    def keep_tokenizer(self, event: Event) -> None:
        """Keep which tokenizer is in use."""
        self.tokenizer_in_use = event.owner

    def keep_encoding(self, event: Event) -> None:
        """Keep what a tokenizer made of a text or texts."""
        self.keep_tokenizer(event)
        self._keep_first_row(event.owner, made_rows(event.result, most=1))
        text = event.arguments.get("text")
        self._look_for_braces(event.site, text)
        if not isinstance(text, list | tuple) or len(text) <= _MOST_TEXTS:  # else a data set
            self._encoded.append(event)

    def keep_template(self, event: Event) -> None:
        """Keep what a chat template made of a conversation."""
        self.keep_tokenizer(event)
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
        self._rendered.append(_Rendered(tokenizer=event.owner, call=call, text=text, ids=ids))

    def _keep_first_row(self, tokenizer, rows: list[list[int]]) -> None:
        if rows:
            self._made_by.append((packed(rows[0]), tokenizer))

    def _beside(self, site: Site, messages: list) -> Unused | None:
        """Return the turns that a script keeps and does not pass; None where nobody is to look."""
        if self._turns is None or not isinstance(messages, list):
            return None
        try:
            return self._turns.beside(sys._getframe(), site, messages)
        except Exception as error:  # an object of the user's that cannot be looked at
            self._ledger.fail("turns around a template", site, error)
            return None

    def _look_for_braces(self, site: Site, text: Any) -> None:
        """Keep the names in a text that stand for variables of the script's."""
        if self._turns is not None and isinstance(text, str) and "{" in text:
            for name, is_left_out in in_braces(sys._getframe(), site, text).items():
                # What was no variable at first stands there for what the model is to write.
                self._braces[name] = is_left_out and self._braces.get(name, True)

    # What it says of a call

    def that_encoded(self, ids) -> Any:
        """Return the tokenizer that made these ids, (batch, length) int64, of late, or None."""
        if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or ids.is_floating_point():
            return None
        row = packed(ids[0].tolist()) if len(ids) else b""
        return next((one for made, one in reversed(self._made_by) if made == row), None)

    def fill_in(self, case: Case) -> None:
        """Fill in what led to a call, and remember its conversations for the next ones."""
        loads = [one for one in self._loads if one.result() is case.model]
        case.loads = [one.arguments for one in loads if one.arguments]
        reports = [one.report.as_it_is(case.model) for one in loads if one.report is not None]
        case.load_reports = [one for one in reports if one is not None]
        case.template_calls = [one.call for one in self._led_to(case)]
        case.tokenizer_calls = self._tokenized_into(case)
        case.earlier_chats = list(self._asked)
        case.unfilled = frozenset(name for name, left_out in self._braces.items() if left_out)
        self._asked.extend(one.messages for one in case.template_calls)

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

    def _led_to(self, case: Case) -> list[_Rendered]:
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


def _is_most_of(text: str, prompt: str) -> bool:
    """Tell whether a rendered chat is in a prompt, and no short one that is there by chance."""
    return text in prompt and (2 * len(text) >= len(prompt) or len(text) > _CHANCE)

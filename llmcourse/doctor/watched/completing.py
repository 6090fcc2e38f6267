"""A watched call as a `Case`, before it runs: with what was heard before it, and earlier calls."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from llmcourse.doctor.case import Case, complete, with_own_cache
from llmcourse.doctor.listen import Event
from llmcourse.doctor.remembered import Remembered
from llmcourse.doctor.steps import Steps, cache_of
from llmcourse.doctor.watched.ended import WatchedCall
from llmcourse.doctor.watched.heard import KEPT_CHATS, Heard

_REMEMBERED = 8  # calls whose ids are compared with a new one's
_TENSORS = ("inputs", "input_ids", "attention_mask", "position_ids", "token_type_ids")


class Completing:
    """Completes the calls of a watch."""

    def __init__(
        self,
        heard: Heard,
        calls: list[WatchedCall],
        steps: Steps,
        *,
        tokenizer=None,
        evidence: bool = False,
        repeatable: bool = False,
        compares: bool = False,
    ) -> None:
        """heard, calls, steps: what the watch knows by then, which goes on growing.

        tokenizer, evidence, repeatable: as in `watch`; compares: whether settings of two calls are
        compared one by one, and not only known as the same object.
        """
        self._heard, self._calls, self._steps = heard, calls, steps
        self._tokenizer, self._evidence, self._repeatable = tokenizer, evidence, repeatable
        self._compares = compares
        self._remembered = Remembered()  # settings of equal calls

    def completed(self, event: Event) -> Case:
        """Return a call that is about to run, before it can change a cache or a config."""
        call = dict(event.arguments)
        inputs = _inputs_out_of(call)
        # The one that was named at the start, or with the call; the one that made the ids, or the
        # last that was used.
        known = (self._tokenizer, call.get("tokenizer"))
        tokenizer = next((one for one in known if one is not None), None)
        encoded_by = self._heard.that_encoded(inputs.get("input_ids"))
        tokenizer = encoded_by if tokenizer is None else tokenizer
        is_a_guess = tokenizer is None
        tokenizer = self._heard.tokenizer_in_use if is_a_guess else tokenizer
        case = complete(event.owner, tokenizer, inputs, call, self._repeatable, self._remembered)
        case.by_pipeline, case.seed = event.by_pipeline, torch.initial_seed()
        self._compare(event, case)
        case.tokenizer_is_a_guess, case.encoded_by = is_a_guess, encoded_by
        case.held = self._steps.held(cache_of(call)) if case.cached else None
        if self._evidence:  # the call is about to write into its own cache
            case.call = with_own_cache(call)
        case.answers = self._answers()
        self._heard.fill_in(case)
        return case

    def _compare(self, event: Event, case: Case) -> None:
        """Fill in what earlier calls made of the same ids, and from which random state."""
        before = self._of_the_same_ids(case)
        if before is not None:
            case.earlier, case.earlier_seed = before.output, before.seed
            if before.seed != case.seed and self._drew_under(case.seed):
                case.earlier_seed = None
        if case.config is not None and case.config.do_sample:
            case.random_state = _random_state(case)
        if before is not None and case.config is not None:
            case.asked_alike = self._asked_alike(event, case)

    def _answers(self) -> list[tuple[list, str]]:
        """Return the conversations of the last calls, each with a text decoded of its answer."""
        return [
            (chat.messages, one.text)
            for call in self._calls[-KEPT_CHATS:]
            for chat in call.case.template_calls
            for one in call.decoded
        ]

    def _of_the_same_ids(self, case: Case) -> Case | None:
        """Return one of the last calls of this model that had the same ids."""
        calls = self._calls[-_REMEMBERED:] if case.input_ids is not None else []
        return next((call.case for call in reversed(calls) if _same_ids(call.case, case)), None)

    def _drew_under(self, seed: int) -> bool:
        """Tell whether a call has sampled since this seed was set: then the seed was for that."""
        cases = [call.case for call in self._calls]
        return any(one.seed == seed and one.config and one.config.do_sample for one in cases)

    def _asked_alike(self, event: Event, case: Case) -> int:
        """Return how many of the last calls at this line have to give what this one gives."""
        alike = 0
        for call in self._calls[-_REMEMBERED:]:
            other = call.case
            same = call.site == event.site and other.random_state == case.random_state
            if same and other.config is not None and _same_ids(other, case):
                alike += self._same_settings(other.config, case.config)
        return alike

    def _same_settings(self, one, other) -> bool:
        """Tell whether two calls have the same settings; asked in full only of a script's calls."""
        return one is other or (self._compares and one.to_dict() == other.to_dict())


def _inputs_out_of(call: dict[str, Any]) -> dict[str, Any]:
    """Take the tensors out of a call's arguments, and return them by name, ids as `input_ids`."""
    inputs = {name: call.pop(name) for name in _TENSORS if call.get(name) is not None}
    if isinstance(inputs.get("inputs"), Mapping):  # generate(tokenizer(...)) without the stars
        inputs = dict(inputs["inputs"])
    if "inputs" in inputs:
        inputs["input_ids"] = inputs.pop("inputs")
    return inputs


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

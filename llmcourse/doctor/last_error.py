"""The error that ended a script, where the object it is about shows what it was taken for."""

import re
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch

from llmcourse.doctor.call_site import is_installed
from llmcourse.doctor.finding import CERTAIN, ERROR, Finding

_FIELDS = ("sequences", "scores", "logits", "hidden_states", "attentions", "past_key_values")
_IS_A_LIST = re.compile(r"\blist\b")


def cause_of(error: BaseException, is_decoded: Callable[[Any], bool]) -> Finding | None:
    """Return what an error says by the object that it is about; None where that says nothing.

    is_decoded: tells whether a value is a text that was decoded of an output.
    """
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not is_installed(frame.f_code.co_filename)
    ]
    if not frames:
        return None
    frame, line = frames[-1]
    about = _about(error, frame)
    name = str(getattr(error, "name", None) or "")
    known = _known(about, name, is_decoded)
    if known is None:
        return None
    code, what, why, fix = known
    where = {"file": frame.f_code.co_filename, "line": line}
    return Finding(code, ERROR, CERTAIN, what, why, fix, **where)


def _about(error: BaseException, frame: FrameType) -> Any:
    """Return the object that an error is about, as far as it is known."""
    if isinstance(error, AttributeError):
        return getattr(error, "obj", None)
    if isinstance(error, TypeError) and _IS_A_LIST.search(str(error)):  # which, it does not say
        return next((one for one in list(frame.f_locals.values()) if _are_records(one)), None)
    return None


def _known(about, name: str, is_decoded) -> tuple[str, str, str, str] | None:
    """Return a code, and its what, why and fix."""
    does = f"asked for .{name}" if name else "used as a text or a dictionary"
    if _are_records(about):
        return (
            "pipeline-lists-in-lists",
            f"The pipeline's answer is {does}, and it is a list of {len(about)}.",
            'A pipeline returns a list of dictionaries with "generated_text", also for one prompt.',
            'pipe(prompt)[0]["generated_text"]',
        )
    if isinstance(about, list) and about and is_decoded(about[0]) and hasattr(str, name):
        return (
            "decoded-batch-as-text",
            f"A list of {len(about)} decoded texts is {does}, as if it were one text.",
            "generate returns rows, also where it is one, and each row gives a text.",
            f"texts[0].{name}(...)",
        )
    if isinstance(about, torch.Tensor) and name in _FIELDS:
        return (
            "output-not-asked-for",
            f"A tensor is {does}: generate was not asked for more than the ids.",
            "It returns a tensor of ids, unless return_dict_in_generate=True asks for the rest.",
            "model.generate(..., return_dict_in_generate=True, output_scores=True)",
        )
    return None


def _are_records(thing) -> bool:
    """Tell whether something is what a pipeline returns, for a prompt or for several."""
    while isinstance(thing, list) and thing and isinstance(thing[0], list):
        thing = thing[0]
    return isinstance(thing, list) and bool(thing) and _is_record(thing[0])


def _is_record(thing) -> bool:
    return isinstance(thing, dict) and "generated_text" in thing

"""What a fix changes, measured: the same call without and with it, from the same seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from llmcourse.doctor.case import Case, with_own_cache
from llmcourse.doctor.finding import Evidence, Finding, Repair
from llmcourse.doctor.quiet import quietly, same_draws
from llmcourse.show import printable

MOST_NEW = 48  # new tokens that a comparison makes; enough to see a difference
_SHOWN = 80  # characters of a text that the sentence repeats


def measure(case: Case, finding: Finding) -> Evidence:
    """Run the call twice, without and with the finding's fix, and say what differs.

    Takes the model's time twice; model, generators and caches are left as they were.
    """
    if finding.repair is None:
        return _not_measured("this fix changes more than the arguments of this call.")
    try:
        after_ids, after_probs = _run(case, finding.repair())
    except Exception as error:  # a second fault of the same call
        return _not_measured(f"with this fix alone the call fails, {error}")
    try:
        before_ids, before_probs = _run(case, Repair(case.inputs, case.call))
    except Exception:  # that is the fault
        after = _text(case, after_ids[0])
        sentence = f"Before: an error. After: {printable(after, _SHOWN)!r}"
        return Evidence(before="", after=after, distance=None, sentence=sentence)
    return _compared(case, (before_ids, after_ids), _distance(before_probs, after_probs))


def _not_measured(why: str) -> Evidence:
    return Evidence(before="", after="", distance=None, sentence=f"Not measured: {why}")


def _compared(case: Case, rows: tuple[list, list], distance: float | None) -> Evidence:
    """Return the first row that differs, or the first; rows: new ids without and with the fix."""
    pairs = list(zip(*rows, strict=False))
    row = next((number for number, (old, new) in enumerate(pairs) if old != new), 0)
    before, after = (_text(case, ids[row]) for ids in rows)
    became = f"{printable(before, _SHOWN)!r} becomes {printable(after, _SHOWN)!r}"
    same = "the same text" if before == after else became
    moved = "" if distance is None else f"; the next token's distribution moves by {distance:.2f}"
    sentence = f"Row {row}: {same}{moved}."
    return Evidence(before=before, after=after, distance=distance, sentence=sentence)


def _run(case: Case, repair: Repair) -> tuple[list[list[int]], torch.Tensor]:
    """Return each row's new ids, and the first step's distribution, (rows, vocab) float32."""
    call = {name: value for name, value in repair.call.items() if name != "streamer"}
    call |= {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    length = repair.inputs["input_ids"].shape[1]
    call |= _shortened(call, length)
    call = with_own_cache({**repair.inputs, **call, **case.for_stop_strings})
    with same_draws(), quietly(), _mode(case.model, repair):
        torch.manual_seed(0)
        made = case.model.generate(**call)
    first = made.logits[0] if getattr(made, "beam_indices", None) is not None else made.scores[0]
    return made.sequences[:, length:].tolist(), first.float().softmax(-1)


def _shortened(call: dict[str, Any], length: int) -> dict[str, Any]:
    """Return a limit that keeps the comparison short; {} if the call's own is shorter."""
    new, most = call.get("max_new_tokens"), call.get("max_length")
    room = new if new is not None else None if most is None else most - length
    return {"max_new_tokens": MOST_NEW} if room is not None and room > MOST_NEW else {}


@contextmanager
def _mode(model, repair: Repair) -> Iterator[None]:
    """Put the model into eval mode for the while of a run, each part back as it was."""
    if not repair.in_eval_mode:
        yield
        return
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _distance(before: torch.Tensor, after: torch.Tensor) -> float | None:
    """Return the largest total variation of two rows' distributions; None if they do not match."""
    if before.shape != after.shape:
        return None
    return float(((before - after).abs().sum(-1) / 2).max())


def _text(case: Case, ids: list[int]) -> str:
    return case.tokenizer.decode(ids, skip_special_tokens=True)

"""What several checks ask of a call's callables: what they did, what earlier calls left in them."""

from collections.abc import Iterator

from llmcourse.doctor.case import Called, Case, Edit
from llmcourse.doctor.held import reads_ids
from llmcourse.show import in_words, printable

PROCESSOR, CRITERION = "logits_processor", "stopping_criteria"
ALLOWED = "prefix_allowed_tokens_fn"
SHOWN = 40  # characters of a name that a finding repeats
OUT_OF_PLACE = (IndexError, KeyError, StopIteration, ValueError)  # of who looks up too far


def of_kinds(case: Case, *kinds: str) -> list[Called]:
    """Return a call's callables of these kinds."""
    return [one for one in case.called if one.kind in kinds]


def named(called: Called) -> str:
    """Return a callable's name as a finding shows it."""
    return printable(called.name, SHOWN)


def edits(called: Called) -> Iterator[tuple[int, int, Edit]]:
    """Yield (step from 1, row, what was done there)."""
    for place, step in enumerate(called.steps, 1):
        for row, edit in enumerate(step.edits):
            yield place, row, edit


def raised_in(case: Case, called: Called) -> bool:
    """Tell whether the call failed by what a callable raised itself."""
    return called.error is not None and case.refusal is called.error


def carried(earlier: Called, called: Called) -> bool:
    """Tell whether a state came from an earlier call as that left it, and is not how it began."""
    last = called.earlier[-1]
    return last.after == called.before and earlier.before != called.before


def goes_on(case: Case, called: Called) -> tuple[str, bool] | None:
    """Return in words that an object is silent, stops or fails where it did not before."""
    for earlier in called.earlier:
        if not earlier.steps or not carried(earlier, called):
            continue
        kept = _length_kept(earlier, called)
        if kept is not None:
            return f"{kept}, and this prompt has {called.steps[0].length}", True
        if called.kind == PROCESSOR and called.steps and _went_silent(earlier, called):
            return "it changed the first scores of an earlier call, and none of this one", False
        if called.kind == CRITERION and _counts_on(earlier, called):
            return (
                f"it stopped this text in step {len(called.steps)}, and an earlier one not",
                False,
            )
        first = not called.steps and isinstance(called.error, OUT_OF_PLACE)
        if first and raised_in(case, called):
            failed = printable(in_words(called.error), 80)
            return (
                f"at the first step of this text it raises {failed}, and before it did not",
                False,
            )
    return None


def _length_kept(earlier: Called, called: Called) -> str | None:
    """Return in words that the length of an earlier prompt is taken for that of this one."""
    if not called.steps or called.steps[0].length == earlier.steps[0].length:
        return None
    length = earlier.steps[0].length
    for name, now in called.before.items():
        if isinstance(now, bool) or now != length or not isinstance(now, int):
            continue
        if earlier.before.get(name) != now and called.after.get(name) == now:
            shown = printable(name, SHOWN)
            return f"{shown}={now} is the length of an earlier prompt"
    return None


def _counts_on(earlier: Called, called: Called) -> bool:
    """Tell whether a criterion was true in a step of this call, and not in that of an earlier one.

    One that reads the ids may have its reason there: it has to be the first step, and a number or a
    flag that the object carries along.
    """
    pairs = list(zip(earlier.steps, called.steps, strict=False))
    if reads_ids(called.what):
        old, new = earlier.before, called.before
        counts = [name for name in new if old.get(name) != new[name] and _is_number(new[name])]
        pairs = pairs[:1] if counts and len(earlier.steps) > 1 else []
    return any(all(new.said) and not any(old.said) and new.said for old, new in pairs)


def _is_number(value) -> bool:
    return isinstance(value, bool | int)


def _went_silent(earlier: Called, called: Called) -> bool:
    """Tell whether it acted in an unbroken run of first steps, and later in none."""
    acted = [any(edit.changed for edit in step.edits) for step in earlier.steps]
    count = acted.index(False) if False in acted else len(acted)
    return (
        count > 0
        and not any(acted[count:])
        and not any(edit.changed for _, _, edit in edits(called))
    )

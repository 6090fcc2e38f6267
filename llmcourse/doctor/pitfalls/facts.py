"""What several checks ask of a call."""

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import Repair

_AN_ANSWER = 16  # new tokens without an end from which on the penalty on it is to blame


def room_of(case: Case) -> int:
    return int(case.setting("max_length")) - case.prompt_length


def ends_otherwise(case: Case) -> bool:
    criteria = case.call.get("stopping_criteria")
    return bool(case.asked("stop_strings")) or bool(criteria is not None and len(criteria))


def changed(case: Case, **changes) -> Repair:
    """Return the call with other settings; None takes one away."""
    call = {**case.call, **changes}
    return Repair(case.inputs, {name: value for name, value in call.items() if value is not None})


def never_ends(case: Case) -> bool:
    """Tell whether every row ran to its limit without an end, and was long enough for one."""
    rows = case.new_rows
    if not rows or len(rows[0]) < max(_AN_ANSWER, room_of(case)):
        return False
    return not any(end in row for row in rows for end in case.eos_ids)

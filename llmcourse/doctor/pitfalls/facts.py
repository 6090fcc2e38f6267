"""What several checks ask of a call."""

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import Repair
from llmcourse.show import printable

_SHOWN = 40  # characters of a token's name that a finding repeats
_AN_ANSWER = 16  # new tokens without an end from which on the penalty on it is to blame


def room_of(case: Case) -> int:
    """Return how many new tokens the call has room for; 0 where no limit is known."""
    return max(0, int(case.setting("max_length") or 0) - case.prompt_length)


def ends_otherwise(case: Case) -> bool:
    """Tell whether something else than an end token may end the texts."""
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


def named(case: Case, token: int) -> str:
    """Return a token as a finding shows it: its name, or its id where no tokenizer is known."""
    if case.tokenizer is None:
        return str(token)
    return repr(printable(str(case.tokenizer.convert_ids_to_tokens(token)), _SHOWN))

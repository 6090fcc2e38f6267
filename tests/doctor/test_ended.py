"""Which of the calls that have ended made the ids that a script goes on with."""

import random
import threading
from types import SimpleNamespace

import pytest

from llmcourse.doctor.ids import is_in, packed
from llmcourse.doctor.watched import ended
from llmcourse.doctor.watched.ended import EndedCalls
from llmcourse.doctor.watched.ledger import Ledger


def calls_that_made(*outputs) -> EndedCalls:
    calls = EndedCalls(Ledger(), threading.Condition())
    calls.calls += [SimpleNamespace(rows=tuple(map(packed, rows))) for rows in outputs]
    return calls


def searched_anew(calls: EndedCalls, ids: list[int]):
    row = packed(ids)
    return next((call for call in reversed(calls.calls) if is_in(row, call.rows)), None)


@pytest.mark.parametrize("seed", range(20))
def test_who_made_a_row_is_the_last_call_that_holds_it(seed):
    draw = random.Random(seed)
    ids = lambda longest: [draw.randrange(3) for _ in range(draw.randrange(longest))]  # noqa: E731
    calls, row = calls_that_made(), []
    for _ in range(200):
        if draw.random() < 0.2:
            output = [ids(12) for _ in range(draw.randrange(3))]
            calls.calls.append(SimpleNamespace(rows=tuple(map(packed, output))))
        row = [*row, draw.randrange(3)] if draw.random() < 0.7 else ids(4)
        assert calls.that_made(row) is searched_anew(calls, row)


def test_a_row_that_grows_is_looked_for_in_no_call_twice(monkeypatch):
    looked_in = []
    monkeypatch.setattr(
        ended, "is_in", lambda row, rows: looked_in.append(rows) or is_in(row, rows)
    )
    calls = calls_that_made([[1, 2, 3, 4]], *[[[5, 6]]] * 100)
    assert all(calls.that_made([1, 2, 3, 4][:length]) is calls.calls[0] for length in (1, 2, 3, 4))
    assert calls.that_made([1, 2, 3, 4, 9]) is None
    assert all(calls.that_made([1, 2, 3, 4, 9, *[7] * length]) is None for length in range(50))
    assert len(looked_in) == len(calls.calls) + 4


def test_calls_that_were_taken_out_of_the_list_are_not_asked():
    calls = calls_that_made([[1, 2]], [[3, 4]])
    assert calls.that_made([3]) is calls.calls[1]
    del calls.calls[1]
    assert calls.that_made([3]) is None and calls.that_made([1]) is calls.calls[0]

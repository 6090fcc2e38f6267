"""Tables that were recorded once: copied out of the README, and shown where that is not."""

import json

import pytest

from llmcourse.serving import recorded
from tools import recorded_runs

README = """
<!-- exports: made by `python -m benchmarks.exports` from results/exports-*.json -->

A laptop, 2 cores; 3 rounds; [`exports-a.json`](results/exports-a.json).

| way | x torch | |
|---|---|---|
| torch | 1.00 | |
| `generate`, int8 | 3.5 | fails: a \\| b |

A desktop.

| way | x torch | |
|---|---|---|
| torch | 1.00 | |

<!-- end -->
<!-- serving: made by `python -m benchmarks.serving` -->

Nothing is kept yet: `make bench-serving` measures it.

<!-- end -->
"""


@pytest.fixture
def two_runs(monkeypatch, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(README, encoding="utf-8")
    runs = json.loads(recorded_runs.made(readme))
    monkeypatch.setattr(recorded, "_runs", lambda: runs)


def test_a_table_keeps_its_cells_and_says_where_it_was_measured(two_runs):
    table = recorded.recorded("exports", caption="Exports")
    assert table.caption == "Exports. A laptop, 2 cores; 3 rounds."
    assert list(table.headers) == ["way", "x torch", ""]
    assert list(table.rows) == [["torch", "1.00", ""], ["generate, int8", "3.5", "fails: a | b"]]


def test_columns_are_shown_in_the_order_asked_for(two_runs):
    assert recorded.recorded("exports", "x torch", "way").rows[0] == ["1.00", "torch"]


def test_one_of_several_tables_is_taken(two_runs):
    assert recorded.recorded("exports", table=1).caption == "A desktop."


def test_what_was_not_recorded_yet_is_said(two_runs):
    assert "nothing was recorded yet" in repr(recorded.recorded("serving", "way", caption="Load"))


@pytest.mark.parametrize("wanted", [("speed",), ("exports", "price")])
def test_what_is_not_there_is_refused_by_name(two_runs, wanted):
    with pytest.raises(LookupError, match=wanted[-1]):
        recorded.recorded(*wanted)

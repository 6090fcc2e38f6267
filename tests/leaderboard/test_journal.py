"""What a killed run has on the disk: whole lines, of this run alone."""

import pytest

from llmcourse.leaderboard.journal import Journal

RUN = {"items": "abc", "by": "raw"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.json.journal"


def test_what_was_added_is_there_after_a_new_start(path):
    Journal(path, RUN).add("a", {"seconds": 1.5})
    again = Journal(path, RUN)
    again.add("b", [1])
    assert Journal(path, RUN).records == {"a": {"seconds": 1.5}, "b": [1]}


def test_a_last_line_that_a_kill_cut_off_is_dropped_and_work_goes_on_behind_it(path):
    journal = Journal(path, RUN)
    journal.add("a", 1)
    journal.add("b", 2)
    path.write_bytes(path.read_bytes()[:-5])
    again = Journal(path, RUN)
    assert again.records == {"a": 1}
    again.add("b", 3)
    assert Journal(path, RUN).records == {"a": 1, "b": 3}


def test_a_journal_cut_in_its_first_line_begins_anew(path):
    path.write_bytes(b'{"schema": 1, "ru')
    Journal(path, RUN).add("a", 1)
    assert Journal(path, RUN).records == {"a": 1}


def test_the_journal_of_another_run_is_refused_with_what_differs(path):
    Journal(path, RUN).add("a", 1)
    with pytest.raises(ValueError, match=r"another run \(items differs\)"):
        Journal(path, {**RUN, "items": "xyz"})
    assert Journal(path, RUN).records == {"a": 1}


def test_a_file_that_is_no_journal_is_refused_and_kept(path):
    path.write_text("my notes\n")
    with pytest.raises(ValueError, match="no journal"):
        Journal(path, RUN)
    assert path.read_text() == "my notes\n"

"""The table, the JSON and the picture of a leaderboard, from results made by hand."""

import json
from dataclasses import replace

import pytest

from llmcourse.leaderboard.board import Board, Standing, merge, read
from llmcourse.leaderboard.entries import parse
from llmcourse.leaderboard.picture import describe, save_picture
from llmcourse.measure.figure import Figure
from llmcourse.measure.limit import Reads
from llmcourse.measure.memory import Memory
from llmcourse.measure.report import Report, Result


def standing(setting, rights, measured=None):
    answers = tuple(
        {"id": f"i{n}", "kind": "facts" if n < 4 else "sums", "right": right, "chosen": 0}
        for n, right in enumerate(rights)
    )
    return Standing("toy", setting, measured or setting, "abc", 1.0, answers)


def result(setting, speed, weights):
    figure = Figure((speed, speed + 2), "tokens/s")
    times = Figure((1.0, 2.0), "ms")
    memory, reads = Memory(weights, 10, 5), Reads(weights, 10, 1)
    return Result("toy", setting, 1, times, times, figure, figure, memory, reads)


MACHINE = {"processor": "toy", "device": "cpu", "threads": 1}
REPORT = Report(
    MACHINE,
    Figure((1.0,), "GB/s"),
    (result("float32", 20, 4000), result("8bit", 30, 1000)),
    prompt_tokens=4,
    new_tokens=3,
    date="2026-01-01",
)
BOARD = Board(
    MACHINE,
    "2026-01-01",
    "digest",
    "raw",
    (
        standing("float32", [True] * 4 + [True, False]),
        standing("8bit", [True, False, False, False, True, True]),
        standing("8bit+template", [True] * 6, "8bit"),
    ),
    {"toy": REPORT},
    {"gone, float32": "OSError: <b>no such\nfolder</b>"},
)


def test_each_entry_has_its_share_its_kinds_its_speed_and_the_first_one_beside_it():
    first, second, _ = BOARD.table().rows
    assert first[:2] == ["float32", "83% (44% to 97%)"]
    assert first[2].startswith("100%") and first[3].startswith("50%")
    assert second[-1] == "1 won, 3 lost, p = 0.62"
    assert first[4] == "21.0 (20.5 to 21.5)"
    assert second[5] == "1.0 kB"


def test_how_many_comparisons_were_made_is_said_and_what_failed():
    notes = "\n".join(BOARD.notes)
    assert "2 comparisons" in notes and "0.025" in notes
    assert "gone, float32 could not be run" in notes


def test_a_board_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "board.json"
    path.write_text(BOARD.to_json(), encoding="utf-8")
    assert read(path) == BOARD
    given = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(given | {"schema": 99}), encoding="utf-8")
    with pytest.raises(ValueError, match="schema 99"):
        read(path)


def test_boards_on_the_same_items_are_merged_and_others_refused():
    one = replace(BOARD, standings=BOARD.standings[:1], failed={})
    other = replace(BOARD, standings=BOARD.standings[1:])
    both = merge([one, other])
    assert both.standings == BOARD.standings
    assert [row[1] for row in both.table().rows] == [row[1] for row in BOARD.table().rows]
    with pytest.raises(ValueError, match="differ in items"):
        merge([one, replace(other, items="others")])
    with pytest.raises(ValueError, match="stands on two"):
        merge([one, one])


def test_entries_that_were_asked_other_items_are_not_compared():
    with pytest.raises(ValueError, match="not asked the same items"):
        standing("a", [True] * 3).beside(standing("b", [True] * 4))


def test_the_picture_is_drawn_also_without_memory_and_refused_without_speed(tmp_path):
    path = tmp_path / "board.png"
    save_picture(BOARD, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    blind = replace(REPORT, results=tuple(replace(one, memory=None) for one in REPORT.results))
    save_picture(replace(BOARD, measured={"toy": blind}), path)
    with pytest.raises(ValueError, match="nothing to draw"):
        save_picture(replace(BOARD, measured={}), path)


def test_the_pictures_words_name_every_entry_that_it_shows():
    assert "float32: 83% (44% to 97%) right, 21.0 tokens/s" in describe(BOARD)


def test_a_setting_says_how_a_model_is_loaded_called_and_asked():
    entry = parse("m", "bfloat16+lookup+template+sampling")
    assert entry.setting.loaded == {"dtype": "bfloat16"}
    assert entry.writing["prompt_lookup_num_tokens"] == 5 and entry.writing["do_sample"]
    assert entry.template and entry.setting.name == "bfloat16+lookup"
    assert parse("m", "template").setting.name == "float32"


@pytest.mark.parametrize("name", ["chat", "template+template", "float32+8bit", ""])
def test_a_setting_that_is_not_known_or_comes_twice_is_refused(name):
    if not name:
        assert parse("m", name).setting.name == "float32"
        return
    with pytest.raises(ValueError, match="settings: "):
        parse("m", name)

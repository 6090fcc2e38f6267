"""What optimum exports: a row for each way, measured or with the reason, in the README."""

import json
import sys
from dataclasses import asdict, replace

import pytest

from benchmarks import exports
from benchmarks.exports import EXPORTED, OURS, Row
from benchmarks.readme import README, RESULTS, marks
from benchmarks.rivals import install
from benchmarks.rung_process import Rung, RungFailed
from benchmarks.rungs import RUNGS
from llmcourse.measure.machine import machine_name

FILES = sorted(RESULTS.glob("exports-*.json"))
PROMPTS = [[5, 6, 7], [5, 6]]
FEW = {"rounds": 2, "new_tokens": 4, "say": lambda line: None}


def fake(name: str, *words: str) -> Rung:
    return Rung(name, (sys.executable, "-m", "tests.benchmarks.fake_rung", name, *words))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return exports.measured(
        [fake("ours"), fake("quick"), fake("gone", "1", "stutters")], PROMPTS, **FEW
    )


def test_each_way_answers_all_prompts_in_each_round(rows):
    for row in rows[:2]:
        assert len(row.speeds) == len(row.first) == 2 and min(row.speeds) > 0
        assert row.equal == [4, 4]
        assert row.version == "torch 0.0" and row.weight_bytes == 10**8
        assert row.resident_bytes > 1e6 and row.ready > 0


def test_one_that_cannot_be_run_is_a_row_with_the_reason(rows):
    assert rows[2].name == "gone" and "it said 'loading'" in rows[2].failed and not rows[2].speeds


def test_without_the_first_there_is_nothing_to_compare_with():
    with pytest.raises(RungFailed):
        exports.measured([fake("gone", "1", "stutters")], PROMPTS, **FEW)


def written(rows: list[Row], folder) -> str:
    machine = {"processor": "Abacus", "cores": 2, "vectors": "AVX", "torch": "2"}
    made = {"schema": 1, "machine": machine | {"transformers": "5"}, "date": "2026-01-02"}
    made |= {"note": "A note.", "threads": 1, "prompts": 2, "prompt_tokens": 3, "new_tokens": 4}
    made["rows"] = [asdict(row) for row in rows]
    (folder / "exports-toy.json").write_text(json.dumps(made), encoding="utf-8")
    return exports.written("a\n<!-- exports: made by x -->\n<!-- end -->\nb\n", folder)


def test_the_table_counts_equal_prompts_and_says_why_a_row_is_empty(rows, tmp_path):
    half = replace(rows[0], name="half", speeds=[each / 2 for each in rows[0].speeds], equal=[4, 1])
    refused = Row("none", failed="no | wheel")
    text = written([rows[0], half, refused], tmp_path)
    assert "A note." in text and "| 0.500 (0.500 to 0.500) |" in text
    assert "| 2 of 2 |" in text and "| 1 of 2 |" in text
    assert "could not be run: no / wheel |" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 3 and {line.count("|") for line in table} == {11}
    assert exports.written(text, tmp_path) == text


def test_what_cannot_be_installed_leaves_the_others(monkeypatch):
    def rungs_of(name, say):
        if name == EXPORTED[0]:
            raise OSError("no wheel")
        return [fake(name)]

    monkeypatch.setattr(exports, "rungs_of", rungs_of)
    rungs, refused = exports.rungs_here(3, lambda line: None)
    assert [rung.name for rung in rungs] == [*OURS, EXPORTED[1]]
    assert all(rung.command[-2:] == ("--threads", "3") for rung in rungs)
    assert refused == {EXPORTED[0]: "no wheel"}


def test_the_ways_are_ones_that_there_are():
    assert set(OURS) <= {rung.name for rung in RUNGS}
    assert set(EXPORTED) <= install.RIVALS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_committed_result_is_read_and_named_after_its_machine(path):
    made, rows = exports.read(path)
    assert path.name == f"exports-{machine_name(made['machine'])}.json"
    assert [row.name for row in rows[: len(OURS)]] == list(OURS)
    assert "/" not in "".join(row.failed for row in rows), "no paths of a machine"
    exact = [row for row in rows if row.name.endswith("float32") and row.speeds]
    assert all(set(row.equal) == {made["new_tokens"]} for row in exact)


def test_the_readme_shows_the_committed_results():
    text = README.read_text(encoding="utf-8")
    assert marks("exports").search(text)
    assert exports.written(text, RESULTS) == text, "run `python -m benchmarks.exports --page`"

"""A result of the ladder is read back whole, and README shows the one that is committed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import ladder, ladder_report
from benchmarks.ladder_report import BASE, RIVAL, Climb, Ladder, first_differing, goals
from benchmarks.rung_process import Turn
from llmcourse.measure import Figure
from llmcourse.measure.machine import machine_name

ROOT = Path(__file__).parent.parent.parent
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("ladder-*.json"))


def climb_of(name: str, *speeds: float, megabytes: int = 100, version: str = "torch 2.13.0"):
    """A rung with one turn of three tokens in each round, at so many tokens a second."""
    rounds = {
        number: (Turn((1, 2, 3), first=0.5, rest=2 / speed),)
        for number, speed in enumerate(speeds, 1)
    }
    sizes = {"threads": 2, "weight_bytes": megabytes * 10**6, "processes": len(speeds)}
    return Climb(name, version, weights="float32", rounds=rounds, **sizes)


@pytest.fixture
def made():
    return Ladder(
        machine={"processor": "Abacus(R) 7 @ 1.00GHz", "cores": 2, "threads": 2},
        bandwidth=Figure((10.0, 20.0, 30.0), "GB/s"),
        climbs=(
            climb_of(BASE, 20.0, 25.0, 40.0, megabytes=500),
            climb_of("int8", 80.0, 125.0, 120.0),
            climb_of(RIVAL, 100.0, 100.0, 100.0, version="llama-cpp-python 0.3"),
        ),
        prompt_tokens=7,
        new_tokens=3,
        date="2026-01-02",
        failed={"int4": "no such kernel"},
        perplexity={BASE: 20.0, "int8": 20.2},
    )


def test_a_result_is_read_back_whole(made, tmp_path):
    file = tmp_path / "result.json"
    file.write_text(made.to_json(), encoding="utf-8")
    assert ladder_report.read(file) == made
    plain = json.loads(made.to_json())
    assert plain["schema"] == ladder_report.SCHEMA
    assert plain["climbs"][1]["tokens_per_second"] == 120


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no result"),
        ("[]", "no result"),
        ("{}", "no result"),
        ('{"schema": 0}', "schema 0"),
        ('{"schema": 1}', "no whole result"),
        ('{"schema": 1, "bandwidth": {"values": [1], "unit": ""}, "climbs": 3}', "no whole result"),
    ],
)
def test_a_file_that_is_no_result_is_refused(text, words, tmp_path):
    file = tmp_path / "result.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        ladder_report.read(file)


def test_ratios_are_of_the_same_round_and_the_limit_is_what_the_memory_gives(made):
    base, int8, _ = made.climbs
    assert int8.beside(base).values == pytest.approx((4.0, 5.0, 3.0))
    assert made.of_the_limit(int8) == pytest.approx(120 * 0.1 / 20)
    later = replace(base, rounds={9: base.rounds[1]})
    assert int8.beside(later) is None


def test_the_table_has_a_row_for_each_rung_and_what_failed(made):
    lines = made.table().splitlines()
    (row,) = (line for line in lines if line.startswith("| int8 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:6] == ["int8", "120 (100 to 122)", "4.00", "1.20 (1.00 to 1.23)", "100", "60%"]
    assert "- int4 could not be run: no such kernel" in lines
    assert "noisy" in made.table()


def test_the_fastest_is_ours_and_goals_say_how_much_is_missing(made):
    assert made.fastest.name == "int8"
    said = goals(made)
    assert "| int8 beside llama.cpp Q4_1, at least 1.0 (beyond it: 1.3) |" in said
    assert "1.20 x (1.00 to 1.23), 3 processes | reached |" in said
    assert "| int8: share of the limit, 0.8 | 0.600 | 25% short |" in said
    assert "| int8 perplexity over float32's, at most 0.5% | +1.00% | 0.50% over |" in said


def test_tokens_are_compared_up_to_the_first_that_differs():
    assert first_differing([1, 2, 3], [1, 2, 3]) == 3
    assert first_differing([1, 9, 3], [1, 2, 3]) == 1


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_committed_result_is_read_and_named_after_its_machine(path):
    result = ladder_report.read(path)
    assert path.name == f"ladder-{machine_name(result.machine)}.json" and result.complete
    assert result.named(BASE) and result.fastest


def test_the_readme_shows_the_committed_results():
    readme = ladder.README.read_text(encoding="utf-8")
    assert RESULTS and all(f"results/{path.name}" in readme for path in RESULTS)
    assert ladder.written(readme, ladder.RESULTS) == readme, (
        "run `python -m benchmarks.ladder --page`"
    )

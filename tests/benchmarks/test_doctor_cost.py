"""What `watch` costs is reckoned from pairs, and docs/doctor.md says what was measured."""

import json

from benchmarks import doctor_cost
from benchmarks.readme import RESULTS

MACHINE = {"processor": "X", "torch": "2", "transformers": "5"}
MADE = {
    "schema": doctor_cost.SCHEMA,
    "machine": MACHINE,
    "date": "2030-01-01",
    "threads": 2,
    "block": 10,
    "tokens": 20,
    "pairs": [[10.0, 10.1, 0.02], [10.0, 10.2, 0.01], [20.0, 20.0, 0.03]],
}


def test_the_cost_is_the_median_of_pairs():
    said = doctor_cost.in_words(MADE)
    assert "+1.0% of the time (+0.5% to +1.5%)" in said
    assert "+10.0 ms a call (+5.0 to +15.0)" in said and "30 calls of 20 tokens" in said
    assert "the doctor takes 2.0 ms a call (1.5 to 2.5)" in said


def test_the_sentence_stands_between_its_marks(tmp_path):
    (tmp_path / "doctor-cost-x.json").write_text(json.dumps(MADE), encoding="utf-8")
    text = "a\n<!-- doctor-cost: made by x -->\nold\n<!-- end -->\nb\n"
    made = doctor_cost.written(text, tmp_path)
    assert "old" not in made and "+1.0%" in made


def test_the_page_says_what_was_measured():
    page = doctor_cost.PAGE.read_text(encoding="utf-8")
    assert doctor_cost.written(page, RESULTS) == page, (
        "run `python -m benchmarks.doctor_cost --page`"
    )

"""False alarms are counted by code, once for a lesson; what is shown on purpose stands apart."""

import json
from collections import Counter

from benchmarks import doctor_alarms
from benchmarks.doctor_alarms import ROOT, by_code, known_codes, of_pages, on_purpose
from benchmarks.readme import RESULTS

LESSONS = {
    "a": {"findings": [["no-mask", "note", "1", 1], ["no-mask", "error", "2", 1]]},
    "b": {"findings": [["no-mask", "error", "3", 1], ["cut-off", "note", "3", 1]]},
}


def test_a_lesson_counts_once_by_the_gravest_and_apart_where_it_is_on_purpose():
    counted = by_code(LESSONS, {"b": ["no-mask", "cut-off"]})
    assert counted["no-mask"] == Counter({"error": 1, "on purpose": 1})
    assert counted["cut-off"] == Counter(note=1)


def test_blocks_of_a_page_are_read(tmp_path):
    page = tmp_path / "page.md"
    call = "model.generate(**inputs, max_length=9, max_new_tokens=5)"
    page.write_text(f"a\n```python\n{call}\n```\n```python\nno python here\n```\n```sh\nls\n```\n")
    assert of_pages([page]) == {"blocks": 1, "findings": [["two-lengths", "warning"]]}


def test_the_readme_and_the_pages_show_no_mistake():
    read = of_pages([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert read["blocks"] > 50 and read["findings"] == []


def test_what_is_on_purpose_names_lessons_and_codes():
    lessons = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(on_purpose()) <= lessons
    assert {code for codes in on_purpose().values() for code in codes} <= set(known_codes())


def test_the_table_has_scripts_and_lessons_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_alarms, "on_purpose", lambda: {"b": ["no-mask"]})
    pages = {"blocks": 3, "findings": []}
    made = {"date": "2030-01-01", "codes": 9, "lessons": LESSONS, "pages": pages}
    (tmp_path / "doctor-alarms-x.json").write_text(json.dumps(made))
    of_field = {"sound_by_code": {"no-mask": {"warning": 2}}, "false_alarms": {"of": 7}}
    (tmp_path / "doctor-field-x.json").write_text(json.dumps({"parts": {"all": of_field}}))
    text = "<!-- doctor-alarms: made by x -->\nold\n<!-- end -->\n"
    made = doctor_alarms.written(text, tmp_path)
    assert "| [no-mask](pitfalls.md#no-mask) | 0 | 2 | 0 | 1 | 1 | 0 | 0 |" in made
    assert "of 7 sound scripts and 2 lessons" in made and "old" not in made
    assert "the other 7 codes are silent" in made


def test_the_page_shows_what_was_measured():
    page = doctor_alarms.PAGE.read_text(encoding="utf-8")
    assert doctor_alarms.written(page, RESULTS) == page, "run it with --page"

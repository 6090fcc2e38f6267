"""The field corpus: complete, split by its rule, and counted as it should be.

What the doctor makes of it is measured by `python -m benchmarks.doctor_field`, which takes half an
hour.
"""

import ast
import json
import re
from collections import Counter
from dataclasses import replace
from math import isclose

import pytest

from benchmarks import doctor_field, doctor_field_report
from benchmarks.doctor_field_report import Report, figures, in_words, share, wilson
from benchmarks.readme import RESULTS
from llmcourse.doctor.finding import Finding
from llmcourse.doctor.pitfalls import PITFALLS
from llmcourse.doctor.static import IN_THE_SOURCE
from tools.field import CODES_THEN, FIELD, SPLITS, Case, read, split_of

CASES = read()
FAULTY = [case for case in CASES if case.faulty]
SOUND = [case for case in CASES if not case.faulty]
CODES = {*PITFALLS, *IN_THE_SOURCE}


def finding(code: str, what: str, severity: str = "warning") -> Finding:
    return Finding(code, severity, "certain", what=what, why="", fix="")


def report_of(case: Case, *findings: Finding, **others) -> Report:
    plain = tuple(json.loads(json.dumps(found.as_dict())) for found in findings)
    return Report(case.id, plain, **others)


def test_there_are_enough_cases_of_both_kinds():
    assert len(FAULTY) >= 80 and len(SOUND) >= 60


@pytest.mark.parametrize("cases", [FAULTY, SOUND], ids=["faulty", "sound"])
def test_about_a_third_is_held_out(cases):
    settled = [case for case in cases if case.split != "fresh"]
    held_out = sum(case.split == "held_out" for case in settled)
    assert 0.28 <= held_out / len(settled) <= 0.39


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_is_complete_and_stands_where_the_rule_puts_it(case):
    assert case.split == case.file.parent.name
    assert case.split in (split_of(case.id), "fresh") and 1 <= case.draw <= len(CODES_THEN)
    assert re.fullmatch(r"https?://[\w.-]+\.\w+/\S+", case.url)
    assert case.file.stem == case.id.replace("-", "_") and case.kind
    assert bool(case.cause) == bool(case.says) == case.faulty
    assert all(word for words in case.says for word in words)
    assert set(case.codes) <= CODES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_script_is_short_and_begins_with_what_it_is_about(case):
    source = case.file.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source))
    assert len([line for line in source.splitlines() if line.strip()]) <= 40


def test_every_script_of_the_folders_has_an_entry_and_none_has_two():
    there = {path for split in SPLITS for path in (FIELD / split).glob("*.py")}
    assert there == {case.file for case in CASES}
    assert len({case.id for case in CASES}) == len(CASES)


def test_no_thread_is_used_for_more_than_one_case_of_a_kind():
    assert max(Counter((case.url, case.faulty) for case in CASES).values()) == 1


def test_at_least_half_of_the_mistakes_were_on_no_list_where_they_were_spread_over_kinds():
    spread = [case for case in FAULTY if not case.query]
    assert sum(not case.known for case in spread) >= len(spread) / 2


@pytest.mark.parametrize("draw", range(1, len(CODES_THEN) + 1))
def test_what_was_drawn_by_frequency_was_found_by_a_query(draw):
    file = FIELD / "queries" / f"draw_{draw}.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    assert [int(line.split()[0]) for line in lines] == [*range(1, len(lines) + 1)]
    for case in CASES:
        if case.draw == draw:
            assert 1 <= case.query <= len(lines) if lines else not case.query


def test_the_codes_of_then_are_still_codes():
    assert all(codes <= CODES for codes in CODES_THEN)


def test_only_the_last_draw_is_fresh():
    fresh = {case.draw for case in CASES if case.split == "fresh"}
    assert fresh <= {len(CODES_THEN)}


CASE = Case("a", FIELD, "", "", "seen", True, "x", ("no-mask",), (("mask",), ("left", "right")))


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (finding("no-mask", "A Mask on the LEFT."), True),
        (finding("no-mask", "A mask."), False),
        (finding("no-eos", "A mask on the left."), False),
    ],
)
def test_a_finding_names_a_cause_by_its_code_and_its_words(found, named):
    assert CASE.named_by(found) is named


def test_a_cause_without_a_code_is_named_by_a_new_code_alone():
    case = Case("a", FIELD, "", "", "seen", True, "x", (), (("cache",),))
    assert case.named_by(finding("cache-filled", "The cache is full."))
    assert not case.named_by(finding("no-cache", "The cache is off."))
    assert case.named_by(finding("cache-without-ids", "The cache has no ids."))
    later = replace(case, draw=2)
    assert not later.named_by(finding("cache-without-ids", "The cache has no ids."))


def test_the_interval_is_wilsons():
    low, high = wilson(8, 10)  # Wilson 1927; R's prop.test(8, 10, correct = FALSE)
    assert isclose(low, 0.4901625, abs_tol=1e-6) and isclose(high, 0.9433178, abs_tol=1e-6)
    assert wilson(0, 0) == (0.0, 1.0) and wilson(0, 60)[0] == 0.0
    assert in_words(share([True] * 8 + [False] * 2)) == "8 of 10, 80% (49 to 94)"


def test_the_figures_count_what_was_found_and_each_sound_script_that_was_warned_about():
    other = Case("b", FIELD, "", "", "seen", True, "y", (), (("cache",),))
    sound = [Case(name, FIELD, "", "", "seen", False) for name in "cde"]
    reports = {
        "a": report_of(CASE, finding("no-mask", "mask left", "note")),
        "b": report_of(other, fault="it hung"),
        "c": report_of(sound[0], finding("no-eos", ""), finding("cut-off", "", "error")),
        "d": report_of(sound[1], finding("no-eos", "", "note")),
        "e": report_of(sound[2], failed="it raised"),
    }
    made = figures([CASE, other, *sound], reports)["seen"]
    assert made["recall"]["found"] == 1 and made["recall"]["of"] == 2
    assert made["recall_as_error_or_warning"]["found"] == 0
    assert made["false_alarms"]["found"] == 1 and made["false_alarms"]["of"] == 3
    assert made["false_alarms_by_code"] == {"no-eos": 1, "cut-off": 1}
    assert made["faults_of_the_doctor"] == made["sound_scripts_that_failed"] == 1
    assert made["recall_where_a_code_existed"]["found"] == 1
    assert made["recall_where_no_code_existed"] == share([False])


def test_what_was_measured_is_not_measured_again_and_what_is_held_out_is_not_shown(
    tmp_path, monkeypatch, capsys
):
    looked_at = []

    def examine(case):
        looked_at.append(case.id)
        return report_of(case, finding("no-eos", "It has no end."), seconds=1.5)

    monkeypatch.setattr(doctor_field, "examine", examine)
    cases, journal = [*FAULTY[:2], *SOUND[:2]], tmp_path / "journal.jsonl"
    first = doctor_field.measured(cases, journal, shown={FAULTY[0].id})
    with journal.open("a") as opened:
        opened.write('{"digest": "cut o')
    assert doctor_field.measured(cases, journal, shown=set()).keys() == first.keys()
    assert looked_at == [case.id for case in cases]
    shown = capsys.readouterr().out
    assert FAULTY[0].id in shown and FAULTY[1].id not in shown


def script(tmp_path, source: str) -> Case:
    file = tmp_path / "script.py"
    file.write_text(source, encoding="utf-8")
    return Case("a", file, "", "", "seen", False)


@pytest.mark.slow
def test_a_script_that_fails_or_makes_no_call_is_reported_with_what_it_did(tmp_path):
    report = doctor_field.examine(script(tmp_path, "print('{}')\nraise ValueError('no')"))
    assert (report.findings, report.failed, report.fault) == ((), "ValueError: no", None)
    assert doctor_field.examine(script(tmp_path, "pass")).failed is None


@pytest.mark.slow
def test_a_script_that_never_ends_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_field, "PATIENCE", 3)
    report = doctor_field.examine(script(tmp_path, "while True: pass"))
    assert report.fault == "no report after 3 s"


def test_the_tables_stand_between_their_marks(tmp_path):
    cases = [CASE, replace(CASE, id="b", split="held_out"), replace(CASE, id="c", faulty=False)]
    reports = {case.id: report_of(case, finding("no-mask", "mask left")) for case in cases}
    parts = doctor_field_report.figures(cases, reports)
    machine = {"python": "3", "torch": "2", "transformers": "5"}
    made = doctor_field_report.as_json(machine, parts, [CASE], reports)
    assert list(json.loads(made)["seen_cases"]) == ["a"], "what came of the others is not told"
    (tmp_path / "doctor-field-toy.json").write_text(made, encoding="utf-8")
    after = doctor_field_report.written(
        "a\n<!-- doctor-field: made by x -->\nold\n<!-- end -->\nb\n", tmp_path
    )
    assert "old" not in after and "False alarms by code, all parts: no-mask (1)." in after
    assert "| found by cause | 1 of 1, 100% (21 to 100) | 1 of 1, 100% (21 to 100) |" in after


def test_the_page_shows_what_was_measured():
    page = doctor_field.PAGE.read_text(encoding="utf-8")
    made = doctor_field_report.written(page, RESULTS)
    assert made == page, "run `python -m benchmarks.doctor_field --page`"


def test_the_source_alone_is_counted_by_parts_of_the_corpus(tmp_path):
    (tmp_path / "faulty.py").write_text(
        "model.generate(**inputs, max_length=9, max_new_tokens=9)\n", encoding="utf-8"
    )
    (tmp_path / "sound.py").write_text("print(1)\n", encoding="utf-8")
    about = {"url": "", "kind": "length", "split": "seen"}
    faulty = Case("a", tmp_path / "faulty.py", faulty=True, says=(("max_length",),), **about)
    missed = Case("b", tmp_path / "sound.py", faulty=True, says=(("mask",),), **about)
    sound = Case("c", tmp_path / "sound.py", faulty=False, **about)
    said = doctor_field.in_the_source([faulty, missed, sound])
    assert said == "found by cause: 1 of 2 seen; warned of 0 of 1 sound ones"

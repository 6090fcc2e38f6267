"""The glossary: every term once, in order, and linked to the section that has it."""

import re

import pytest

from tools import lesson
from tools.teaching_page import anchor

PAGE = (lesson.ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRY = re.compile(
    r"^- \*\*(.+?)\*\*: (.+) "
    r"\[Lesson (\d+), section (\d+)\]\(\.\./notebooks/(\d\d)_(\w+)\.ipynb#([^)]+)\)$"
)
LINES = [line for line in PAGE.splitlines() if line.startswith("- ")]
ENTRIES = [found.groups() for line in LINES if (found := ENTRY.match(line))]
SECTIONS = {
    path.stem: {anchor(one.title): one for one in lesson.sections(lesson.read(path))}
    for path in lesson.lessons()
}


def test_every_entry_has_a_term_a_text_and_a_link():
    assert len(ENTRIES) == len(LINES) >= 50
    for _, text, *_ in ENTRIES:
        assert text.endswith((".", ".)")) and len(text.split()) <= 40


def test_the_terms_are_in_order_and_each_stands_once():
    terms = [term.casefold() for term, *_ in ENTRIES]
    assert terms == sorted(set(terms))


def test_every_lesson_introduces_a_term():
    assert {f"{number}_{name}" for *_, number, name, _ in ENTRIES} == set(SECTIONS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[0])
def test_the_linked_section_is_there_and_has_the_term(entry):
    term, _, book, number, file_number, name, heading = entry
    sections = SECTIONS[f"{file_number}_{name}"]
    assert heading in sections, f"lesson {book} has the sections {list(sections)}"
    assert int(book) == int(file_number) and heading.startswith(f"{number}.-")
    text = "\n".join(piece.text for piece in sections[heading].pieces)
    assert re.search(rf"(?<!\w){re.escape(term)}(?!\w)", text, re.I), heading

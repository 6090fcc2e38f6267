"""The minutes and the first cell that stand in the lessons are those that the tools write."""

import copy
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import first_cell, lesson, minutes, run_notebooks

LESSONS = lesson.lessons()
README = (lesson.ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_minutes_in_a_lesson_are_those_that_are_reckoned(path):
    notebook = lesson.read(path)
    stands = [cell.source for cell in notebook.cells]
    assert str(minutes.lesson_minutes(notebook)) in stands[0]
    minutes.write_into(notebook)
    assert [cell.source for cell in notebook.cells] == stands


def test_the_minutes_in_the_readme_are_those_of_the_lessons():
    reckoned = {path.name: minutes.lesson_minutes(lesson.read(path)) for path in LESSONS}
    assert len(minutes.ROW.findall(README)) == len(LESSONS)
    assert minutes.in_readme(README, reckoned) == README


@pytest.mark.parametrize("path", lesson.notebooks(), ids=lambda path: path.stem)
def test_the_first_code_cell_is_the_one_of_all_notebooks(path):
    cells = lesson.read(path).cells
    assert next(cell for cell in cells if cell.cell_type == "code").source == first_cell.source()


# How they are reckoned

PREDICTION = "**Predict:** more?"


def notebook_of(*bodies, title="**Minutes:** 1 for the core, 2 for the rest, 3 for exercises."):
    """A lesson of sections: each a list of cells, a text for markdown and a tuple for code."""
    cells = [new_markdown_cell(f"# 9. A lesson\n\n{title} **Needs:** nothing.")]
    for body in bodies:
        for cell in body:
            one = new_code_cell(*cell) if isinstance(cell, tuple) else new_markdown_cell(cell)
            cells.append(one)
    return new_notebook(cells=cells)


def body(words=0, lines=1, predictions=0, stubs=0, mark="*0 minutes · core*", number=1):
    """A section of so many words, of which 5 are fixed, lines of code, predictions and stubs."""
    asked = "\n\n".join([PREDICTION] * predictions)
    text = "word " * (words - 5 - len(asked.split()))
    return [
        f"## {number}. Title\n\n{mark}\n\n{text}\n\n{asked}",
        ("\n".join(["x = 1"] * (lines - stubs)),),
        *[("raise NotImplementedError",)] * stubs,
    ]


def reckoned(*bodies):
    notebook = notebook_of(*bodies)
    return [minutes.section_minutes(one) for one in lesson.sections(notebook)][1:]


@pytest.mark.parametrize(
    ("parts", "needed"),
    [
        ({"words": 600}, 4),
        ({"words": 665}, 4),
        ({"words": 670}, 5),
        ({"words": 5}, 1),
        ({"words": 150, "lines": 20}, 2),
        ({"words": 150, "predictions": 4}, 3),
        ({"words": 150, "stubs": 2, "lines": 20}, 10),
    ],
)
def test_reading_code_predictions_and_stubs_take_their_time(parts, needed):
    assert reckoned(body(**parts)) == [needed]


def test_tags_links_comments_and_fences_are_no_words():
    text = "One [two](three.md) <b>three</b>. <!-- = 28 - 8 -->\n\n```python\nfour = 5\n```\n"
    assert minutes.words(text) == 3


def test_code_in_a_fence_is_lines_of_code():
    (_, one) = lesson.sections(new_notebook(cells=[new_markdown_cell("## A\n\n~~~\na\n\nb\n~~~")]))
    assert minutes.code_lines(one) == 2


EXERCISES = [f"**{n}. Title.** *{n} minutes · optional.* Do." for n in (1, 2, 3)]


def test_core_rest_and_exercises_are_added_up():
    notebook = notebook_of(
        body(words=600),
        body(words=300, mark="*0 minutes · optional*", number=2),
        ["## What you saw\n\n" + "word " * 150],
        ["## Exercises", *EXERCISES],
        ["## Quiz\n\n" + "<details><summary>Answer</summary>\n\nSo.\n\n</details>\n\n" * 4],
        ["## Read more\n\n" + "word " * 300],
    )
    assert minutes.lesson_minutes(notebook) == minutes.Minutes(1 + 4 + 1, 2 + 2, 6)


def test_what_is_written_stands_where_it_belongs_and_is_written_once():
    second = (
        "Text.\n\n## 2. Title\n\n*9 minutes · optional*\n\nMore.\n\n## 3. T\n\n*1 minute · core*"
    )
    notebook = notebook_of(
        body(words=600), [second], ["## Exercises", *EXERCISES], title="**Minutes:** 35."
    )
    minutes.write_into(notebook)
    assert "**Minutes:** 6 for the core, 1 for the rest, 6 for exercises. **Needs:** nothing." in (
        notebook.cells[0].source
    )
    marks = re.findall(r"^\*.*\*$", "\n".join(cell.source for cell in notebook.cells), re.M)
    assert marks == ["*4 minutes · core*", "*1 minute · optional*", "*1 minute · core*"]
    once = copy.deepcopy(notebook)
    minutes.write_into(notebook)
    assert notebook == once


def test_the_readme_has_core_and_rest_together():
    row = "| 9 | [A](notebooks/09_a.ipynb) | do it | 35 | [Colab](x) |\n"
    known = {"09_a.ipynb": minutes.Minutes(40, 12, 30)}
    assert minutes.in_readme(row, known) == row.replace("35", "52")
    assert minutes.in_readme(row, {}) == row


def test_a_notebook_of_the_course_is_given_its_first_cell_and_its_minutes(monkeypatch, tmp_path):
    path = tmp_path / "09_a.ipynb"
    for name in ("lessons", "notebooks"):
        monkeypatch.setattr(lesson, name, lambda: [path])
    notebook = notebook_of([("old",)], body(words=600))
    run_notebooks.write_what_is_made(notebook, path)
    assert notebook.cells[1].source == first_cell.source()
    assert "*4 minutes · core*" in notebook.cells[2].source


def test_another_notebook_is_left_as_it_is(tmp_path):
    notebook = notebook_of([("old",)], body(words=600))
    before = copy.deepcopy(notebook)
    run_notebooks.write_what_is_made(notebook, tmp_path / "small.ipynb")
    assert notebook == before

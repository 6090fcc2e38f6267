"""What nbval does not see of a lesson: its exercises, its prose, and what a learner changes."""

import re
from pathlib import Path

import nbformat
import pytest
import torch
import transformers
from nbclient import NotebookClient

import llmcourse
from llmcourse import views
from tests.support.toy_models import save_unlike_the_course
from tools import lesson, minutes
from tools.proofread import SOLUTION, has_a_check

ROOT = Path(__file__).parent.parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def prose(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


SOLUTIONS = [
    pytest.param(code, id=f"{path.stem}-exercise{number}")
    for path in LESSONS
    for number, code in enumerate(SOLUTION.findall(prose(path)), start=1)
]


@pytest.mark.parametrize("code", SOLUTIONS)
def test_a_folded_solution_runs_and_checks_itself(code, course_model, capsys):
    assert has_a_check(code)
    model, tokenizer = course_model
    names = dict(torch=torch, transformers=transformers, llmcourse=llmcourse, views=views)
    exec(code, {**names, "model": model, "tokenizer": tokenizer})


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_three_exercises_with_hint_and_solution_folded_away(path):
    text = prose(path)
    assert len(SOLUTION.findall(text)) == 3
    assert text.count("<summary>Hint</summary>") == 3


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_what_is_folded_away_ends_in_the_cell_in_which_it_begins(path):
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "markdown":
            opened, closed = cell.source.count("<details>"), cell.source.count("</details>")
            assert opened == closed, f"cell {number} of {path.name} leaves a fold open"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_opens_with_aims_minutes_and_needs_and_ends_with_more_to_read(path):
    text = prose(path)
    opening = text[:2500]
    for word in ("colab-badge.svg", "You will be able to", "Minutes:", "Needs:"):
        assert word in opening, f"{path.name} does not open with {word!r}"
    assert "## What you saw" in text
    assert "## Read more" in text
    assert text.count("Predict:") >= 8


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_as_long_as_it_says(path):
    """What everybody reads has 2,000 to 3,500 words; optional sections and exercises are extra."""
    parts = lesson.sections(nbformat.read(path, as_version=4))
    extra = [one for one in parts if one.title == "Exercises" or is_optional(one)]
    everything, left_out = (
        sum(minutes.words(one.prose) for one in some) for some in (parts, extra)
    )
    assert 2000 <= everything - left_out <= 3500
    assert everything <= 4000


def is_optional(section) -> bool:
    mark = lesson.MARK.search(section.prose)
    return mark is not None and mark[2] == "optional"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_colab_badge_opens_this_lesson(path):
    address = "https://colab.research.google.com/github/llmcourse/llmcourse/blob/main/notebooks/"
    assert f"({address}{path.name})" in prose(path)


def test_the_loop_shown_in_lesson_2_is_the_loop_of_the_package():
    import inspect

    from llmcourse.decoding.loop import decode

    cells = nbformat.read(ROOT / "notebooks" / "02_decoding_loop.ipynb", as_version=4).cells
    shown = [
        output.text
        for cell in cells
        if "inspect.getsource(llmcourse.decoding.loop.decode)" in cell.source
        for output in cell.get("outputs", [])
    ]
    assert "".join(shown) == inspect.getsource(decode) + "\n"


@pytest.fixture(scope="module")
def another_model(tmp_path_factory):
    """A folder with a random GPT-2: no chat template, no padding token, another vocabulary."""
    folder = tmp_path_factory.mktemp("another") / "model"
    save_unlike_the_course(folder, (ROOT / "LICENSE").read_text(encoding="utf-8"))
    return folder


def with_prompts(notebook, prompt: str) -> int:
    """Put `prompt` in place of every text that a lesson feeds to the model; return how many."""
    ours = "A list|The c|What is|We went|A seq|Name one|1, 2, 3"
    texts = re.compile(f'"(?:{ours})[^"]*"')
    changed = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source, count = texts.subn(lambda _: repr(prompt), cell.source)
            changed += count
    return changed


@pytest.mark.parametrize("prompt", [None, "Zwölf Boxkämpfer jagen Viktor 🥊 "], ids=["same", "own"])
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_on_another_model_and_with_other_prompts(
    path, prompt, another_model, monkeypatch
):
    monkeypatch.setenv("LLMCOURSE_MODEL", str(another_model))
    notebook = nbformat.read(path, as_version=4)
    if prompt:
        assert with_prompts(notebook, prompt) >= 3
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": path.parent}}).execute()

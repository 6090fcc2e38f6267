"""A learner's copy in JupyterLab: its picture, its links, our version folded, what is saved."""

import copy
import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("playwright", reason="no playwright: run `make test-browser`")

from playwright.sync_api import expect

from tests.support.lab import REPO
from tools import lesson_copies, proofread, run_notebooks

TEXT = "![a loop](images/loop.png)\n\n[next](02_b.ipynb), [docs](../docs/page.md)"


@pytest.fixture
def course(lab):
    """A course of two lessons and a page, with copies, in a folder that JupyterLab serves."""
    course = lab.root / "course"
    (course / "notebooks" / "images").mkdir(parents=True)
    (course / "docs").mkdir()
    (course / "docs" / "page.md").write_text("A page.", encoding="utf-8")
    shutil.copy(REPO / "notebooks" / "images" / "loop.png", course / "notebooks" / "images")
    output = new_output("stream", name="stdout", text="42\n")
    cells = [
        new_markdown_cell(TEXT),
        new_code_cell("print(6 * 7)", execution_count=1, outputs=[output]),
        new_code_cell("# @title Our version", metadata=copy.deepcopy(proofread.OURS)),
    ]
    kernel = {"kernelspec": dict(run_notebooks.KERNEL)}
    for name in ("01_a.ipynb", "02_b.ipynb"):
        nbformat.write(new_notebook(cells=cells, metadata=kernel), course / "notebooks" / name)
    assert lesson_copies.main("mine", lessons(course), course / "my_lessons") == 0
    yield course
    shutil.rmtree(course)


def lessons(course):
    return sorted((course / "notebooks").glob("*.ipynb"))


FIRST = "course/my_lessons/01_a.ipynb"


def test_a_copy_shows_its_picture_and_leads_to_other_lessons_and_pages(lab, page, course):
    lab.open(page, FIRST)
    text = page.locator(".jp-Notebook .jp-RenderedMarkdown").first
    page.wait_for_function("document.querySelector('.jp-RenderedMarkdown img').naturalWidth > 0")
    for link, opened in (("next", "02_b.ipynb"), ("docs", "page.md")):
        text.get_by_role("link", name=link, exact=True).click()
        page.wait_for_function(
            f"jupyterapp.shell.currentWidget.title.label === '{opened}'", timeout=30_000
        )
        page.evaluate(f"jupyterapp.commands.execute('docmanager:open', {{path: '{FIRST}'}})")


def test_a_copy_hides_outputs_and_our_version_and_what_is_saved_stays(lab, page, course, capsys):
    lab.open(page, FIRST)
    expect(page.locator(".jp-OutputArea-output")).to_have_count(0)
    expect(page.locator(".jp-Notebook .jp-Placeholder")).to_have_count(1)
    lab.run_all(page)
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    path = course / "my_lessons" / "01_a.ipynb"
    page.wait_for_timeout(2000)
    saved = lesson_copies.look(path)
    assert saved.was_run and saved.content == saved.made_of
    before = path.read_bytes()
    capsys.readouterr()
    assert lesson_copies.main("new", lessons(course), course / "my_lessons") == 0
    assert capsys.readouterr().out == "" and path.read_bytes() == before

"""What was stored in the lessons, opened by a stranger; a static page; a hostile vocabulary."""

import re

import nbformat
import pytest

pytest.importorskip("playwright", reason="no playwright: run `make test-browser`")

from playwright.sync_api import expect

from tests.support.lab import REPO, serious, settle

LESSONS = sorted(
    path.relative_to(REPO / "notebooks").as_posix()
    for path in (REPO / "notebooks").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts
)


def stored(name: str) -> list[str]:
    """Return each HTML output of a lesson."""
    lesson = nbformat.read(REPO / "notebooks" / name, 4)
    outputs = [one for cell in lesson.cells for one in cell.get("outputs", ())]
    return [one.data["text/html"] for one in outputs if "text/html" in one.get("data", {})]


def named(name: str) -> set[str]:
    """Return the addresses that the lesson's own text names, such as a badge."""
    lesson = nbformat.read(REPO / "notebooks" / name, 4)
    texts = [cell.source for cell in lesson.cells if cell.cell_type == "markdown"]
    return set(re.findall(r"https?://[^\s)\"]+", " ".join(texts)))


def assert_views_say_what_they_show(page, name: str) -> None:
    """Every table of the stored outputs has its caption, every image its alt text and pixels."""
    html = stored(name)
    captions = page.locator(".jp-OutputArea table > caption")
    expect(captions).to_have_count(sum(one.count("<caption") for one in html), timeout=30_000)
    assert all(text.strip() for text in captions.all_text_contents())
    images = page.locator(".jp-OutputArea-output img")
    expect(images).to_have_count(sum(one.count("<img ") for one in html))
    shown = images.evaluate_all("all => all.map(image => [image.alt, image.naturalWidth])")
    assert all(alt and width > 0 for alt, width in shown), shown
    assert set(page.watch.left) <= named(name) and page.watch.dialogs == []


@pytest.mark.parametrize("name", LESSONS)
def test_a_stranger_sees_every_static_view_of_a_lesson(page, lab, name):
    lab.open(page, name)
    assert_views_say_what_they_show(page, name)
    cells = "jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model)"
    trusted = f"{cells}.some(cell => cell.type === 'code' && cell.trusted)"
    assert not page.evaluate(trusted), "the page was to be seen untrusted"


GALLERY, GALLERY_TABLES = "gallery.ipynb", 14  # at least so many tables with a caption


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_nothing_serious_in_the_gallery(page, lab, theme):
    lab.open(page, GALLERY)
    assert_views_say_what_they_show(page, GALLERY)
    assert page.locator(".jp-OutputArea table > caption").count() >= GALLERY_TABLES
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme, timeout=30_000)
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)  # it hides the page meanwhile
    page.wait_for_timeout(1000)
    # What the views drew; what is around them is JupyterLab's own.
    assert serious(page, {"include": [".jp-OutputArea-output"]}) == []


def test_a_static_page_needs_no_network(page, tmp_path):
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True, mathjax_url="", require_js_url="", jquery_url="")
    html, _ = exporter.from_filename(REPO / "notebooks" / LESSONS[0])
    (tmp_path / "lesson.html").write_text(html)
    page.context.set_offline(True)
    page.goto((tmp_path / "lesson.html").as_uri())
    assert_views_say_what_they_show(page, LESSONS[0])


HOSTILE = """
import torch
from tests.support.families import build
from tests.support.pages import NASTY
from tests.support.toy_tokenizers import of_texts
from llmcourse import views

more = ["<img src=http://127.0.0.1:9/leak onerror=alert(2)>", "$\\\\frac{1}{2}$", "\\\\[x^2\\\\]"]
tokenizer = of_texts([*NASTY, *more])
ends = dict.fromkeys(["eos_token_id", "pad_token_id", "bos_token_id"])
model = build("llama", vocab_size=len(tokenizer), **ends)
ids = torch.arange(len(tokenizer))[None]
"""


def assert_inert(page) -> None:
    page.wait_for_timeout(1500)  # what was to happen would have happened by now
    for planted in ("script", "img:not([alt])", "[onerror]"):
        assert page.locator(".jp-OutputArea").locator(planted).count() == 0, planted
    assert page.watch.dialogs == [] and page.watch.left == []


def test_a_hostile_vocabulary_stays_text_in_the_stepper(page, lab):
    walk = "views.stepper(model, tokenizer, ids, max_new_tokens=5)"
    lab.open(page, lab.write("hostile.ipynb", HOSTILE, walk))
    lab.run_all(page)
    output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    next_token = output.get_by_role("button", name="Next token")
    expect(next_token).to_be_visible(timeout=30_000)
    for many in range(1, 4):
        next_token.click()
        expect(output.locator(".widget-html-content")).to_contain_text(f"{many} new token")
    settle(page)
    output.get_by_label("Or type").fill("<script>alert(1)</script>")
    output.get_by_label("Or type").press("Tab")
    settle(page)
    output.get_by_role("button", name="Force what is typed").click()
    expect(output.locator(".widget-html-content")).to_contain_text("4 new tokens")
    assert_inert(page)
    assert output.locator("mjx-container").count() == 0, "a token became a formula"


def test_a_hostile_vocabulary_stays_text_in_the_other_views(page, lab):
    others = [
        "views.tokens(tokenizer, ids)",
        "views.likely(tokenizer, torch.zeros(len(tokenizer)))",
        "views.batch(tokenizer, ids)",
        "views.Walk(model, tokenizer, ids).compare()",
    ]
    lab.open(page, lab.write("hostile_views.ipynb", HOSTILE, *others))
    lab.run_all(page)
    expect(page.locator(".jp-OutputArea-output table")).not_to_have_count(0, timeout=30_000)
    assert_inert(page)


@pytest.mark.parametrize("view", ["views.tokens(tokenizer, ids)", "views.batch(tokenizer, ids)"])
def test_a_hostile_vocabulary_makes_no_formula(page, lab, view):
    lab.open(page, lab.write("formula.ipynb", HOSTILE, view))
    lab.run_all(page)
    output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    expect(output).to_contain_text("ids" if "tokens" in view else "batch", timeout=30_000)
    page.wait_for_timeout(1500)
    assert output.locator("mjx-container").count() == 0

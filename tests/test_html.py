"""The kit of which every page is made: one table, one bar, one chip, one palette, one escape."""

import re
from itertools import combinations
from pathlib import Path

import pytest

import llmcourse
from llmcourse import html
from tests.test_show import NASTY, tags

PACKAGE = Path(llmcourse.__file__).parent
PLAIN = {"div", "span", "small", "br", "table", "caption", "thead", "tbody", "tr", "th", "td"}
TINTS = [html.BLUE_TINT, html.GREEN_TINT, html.ORANGE_TINT, html.YELLOW_TINT, html.GREY_TINT]
STRONG = [html.BLUE, html.SKY, html.GREEN, html.ORANGE, html.VERMILLION, html.GREY]


def luminance(color: str) -> float:
    """Return the relative luminance of `#rrggbb`. Source: WCAG 2.2, definition of the term."""
    shares = [value / 255 for value in bytes.fromhex(color.removeprefix("#"))]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(weight * s for weight, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("text", NASTY)
def test_every_text_is_shown_inert(text):
    look = html.tinted(html.BLUE_TINT)
    row = html.row([html.header(html.escape(text), "row"), html.cell(html.chip(text, look, text))])
    page = html.noted(text, html.table(text, [text], [row], notes=[text]) + html.lines([text]))
    assert tags(page) <= PLAIN
    assert "$" not in page


def test_a_table_has_a_caption_its_notes_and_headers_with_a_scope():
    row = html.row([html.header("·red", "row"), html.cell("41%")])
    page = html.table("Colours", ["token", "p"], [row], notes=["Of a list."])
    assert page.count("<caption") == page.count("<table") == 1
    assert ">Colours<br><small" in page and ">Of a list.</small></caption>" in page
    assert re.findall(r'<th scope="(\w+)"', page) == ["col", "col", "row"]
    assert "<thead" not in html.table("No headers", [], [row])


def test_a_newline_in_a_header_is_kept():
    assert ">a<br>b</th>" in html.table("", ["a\nb"], [])


def test_a_wide_table_scrolls_in_its_own_box_and_its_caption_stays_narrow():
    page = html.table("Colours", ["token"], [])
    assert page.startswith('<div style="overflow-x:auto"><table')
    assert re.search(r'<caption style="[^"]*max-width:44em', page)


def test_a_cell_takes_the_place_of_several():
    assert html.cell("x", columns=3, rows=2).startswith('<td colspan="3" rowspan="2" ')
    assert "span" not in html.cell("x")


def test_a_chip_has_small_lines_under_its_text():
    page = html.chip("·red", html.outlined("2px dashed"), "<0.1%", "#2")
    assert page.endswith(">·red<br><small>&lt;0.1%</small><br><small>#2</small></span>")
    assert "border:2px dashed" in page


@pytest.mark.parametrize(
    ("share", "width"), [(1, "90px"), (0.5, "45px"), (0.0001, "2px"), (0, None), (-0.0, None)]
)
def test_a_bar_is_as_wide_as_its_share_and_anything_above_0_is_seen(share, width):
    assert re.findall(r"width:(\d+px)", html.bar(share, html.BLUE)) == ([width] if width else [])


def test_bars_stand_end_to_end():
    page = html.bars([(0.25, html.BLUE_TINT), (0, html.GREY), (0.5, html.BLUE)], widest=200)
    assert re.findall(r"background:(#\w+);[^>]*width:(\d+)px", page) == [
        (html.BLUE_TINT, "50"),
        (html.BLUE, "100"),
    ]


def test_what_is_tinted_sets_both_colours_and_has_a_border():
    look = html.tinted(html.GREEN_TINT, "2px dashed")
    assert look == f"background:{html.GREEN_TINT};color:#000;border:2px dashed {html.GREY};"


def test_black_reads_on_every_tint_and_no_two_colours_are_one():
    assert min(contrast(tint, "#000000") for tint in TINTS) >= 14
    assert min(contrast(shade, "#000000") for shade in (html.SKY, html.ORANGE)) >= 9
    assert all(one != other for one, other in combinations(TINTS + STRONG, 2))


def test_lines_and_borders_are_seen_on_a_light_and_on_a_dark_page():
    assert contrast(html.GREY, "#FFFFFF") > 4.5 and contrast(html.GREY, "#111111") > 3


def test_a_note_stands_above_what_is_shown_and_no_formula_comes_alive():
    page = html.noted("Took $x$.", "<b>shown</b>")
    assert "mathjax_ignore" in page and page.index("Took") < page.index("<b>shown</b>")
    assert "$" not in page


def test_the_kit_imports_nothing_from_the_package():
    source = (PACKAGE / "html.py").read_text()
    assert "llmcourse" not in re.findall(r"^(?:from|import) (\w+)", source, re.M)


def test_no_other_module_writes_a_table_by_hand():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"<(table|caption|th|td)\b", path.read_text())
    }
    assert found == {"html.py"}


def test_no_other_module_has_a_colour_of_its_own():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"#[0-9A-Fa-f]{6}\b", path.read_text())
    }
    assert found == {"html.py"}

"""Text from a model or a user is shown readable, on one line, and inert."""

import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.html import escape, escape_attribute
from llmcourse.show import (
    Table,
    byte_alphabet,
    cut,
    percent,
    plural,
    printable,
    token_bytes,
    token_text,
    visible,
)

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt; $x^2$ \\(y\\)",
    "a\u202eb\u2066c\x00\x1b[31m\ud800",
    "x" * 10_000,
]


class Tags(HTMLParser):
    """Collects the tags that a page would act on."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.seen |= {name for name, _ in attrs if name.startswith("on")}


def tags(page: str) -> set[str]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


@pytest.mark.parametrize(
    ("text", "shown"),
    [(" blue", "·blue"), ("a\n\tb\r", "a⏎⇥b␍"), ("\u202e", "\\u202e"), ("é你😀", "é你😀")],
)
def test_what_a_page_would_hide_is_made_visible(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_visible_text_has_one_line_and_no_control_characters(text):
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1


def test_a_long_token_is_cut_with_an_ellipsis():
    assert len(visible("x" * 10_000)) == 40
    assert visible("x" * 10_000).endswith("…")


@given(st.text())
def test_escaped_text_is_inert_and_comes_back(text):
    assert tags(escape(text)) <= {"span"}
    assert "$" not in escape(text)
    bare = escape(text).replace("<span>", "").replace("</span>", "")
    assert html.unescape(bare) == text
    assert html.unescape(escape_attribute(text)) == text


@pytest.mark.parametrize(
    ("text", "start"), [("$x$", "&#36;"), ("\\(x\\)", "\\"), ("\\[x\\]", "\\")]
)
def test_a_tag_stands_between_a_formula_and_its_delimiter(text, start):
    assert escape(text).startswith(f"<span>{start}</span>")


@pytest.mark.parametrize("text", NASTY)
def test_a_table_shows_any_text_inert(text):
    page = Table(text, [text], [[text]])._repr_html_()
    assert tags(page) - {"span"} == {"table", "caption", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("text", NASTY)
def test_a_table_has_nothing_hidden_and_no_endless_cell(text):
    table = Table(text, [text], [[text]])
    assert all(line.isprintable() for line in repr(table).splitlines())
    assert "\u202e" not in table._repr_html_() and "\x00" not in table._repr_html_()
    assert len(table._repr_html_()) < 5_000


def test_a_sentence_keeps_its_spaces_and_shows_what_is_hidden():
    assert printable("two words\n\u202e") == "two words⏎\\u202e"
    assert printable("x" * 500) == "x" * 399 + "…"


class PythonTokenizer:
    """A tokenizer with one token, half of a surrogate pair."""

    added_tokens_decoder = ()

    def convert_ids_to_tokens(self, token):
        return "a\ud800"


def test_half_of_a_surrogate_pair_is_shown_beside_its_letters():
    assert token_text(PythonTokenizer(), 0) == "a\\ud800"


def test_a_table_reads_well_in_a_terminal():
    table = Table("Colours", ["token", "p"], [["·blue", "41%"], ["你好", "9%"]])
    assert repr(table).splitlines() == [
        "Colours",
        "token  p",
        "─────  ───",
        "·blue  41%",
        "你好   9%",
    ]


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0, "0%"), (0.0004, "<0.1%"), (0.0041, "0.4%"), (0.0999, "10%"), (0.411, "41%"), (1, "100%")],
)
def test_a_probability_is_written_as_people_read_it(probability, shown):
    assert percent(probability) == shown


@pytest.mark.parametrize(
    ("number", "what", "shown"),
    [
        (0, "row", "0 rows"),
        (1, "pass", "1 pass"),
        (2, "pass", "2 passes"),
        (1234, "token", "1,234 tokens"),
    ],
)
def test_a_number_of_things_is_written_with_its_ending(number, what, shown):
    assert plural(number, what) == shown


@given(st.text(), st.integers(1, 50))
def test_a_text_is_cut_to_its_length_with_an_ellipsis(text, longest):
    assert len(cut(text, longest)) <= longest
    assert cut(text, longest) == text or cut(text, longest) == text[: longest - 1] + "…"
    assert cut(text, None) == text


def test_the_byte_alphabet_has_every_byte_once():
    assert sorted(byte_alphabet().values()) == list(range(256))
    assert byte_alphabet()["Ġ"] == ord(" ")


@pytest.mark.parametrize("text", ["A list", " 12  3\n", "café 你好 😀", "\x00\t", "<|im_end|>"])
def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(course_model, text):
    _, tokenizer = course_model
    ids = tokenizer(text).input_ids
    assert b"".join(token_bytes(tokenizer, token) for token in ids) == text.encode()


def test_part_of_a_character_is_shown_as_its_bytes(course_model):
    _, tokenizer = course_model
    first, *_ = tokenizer("😀").input_ids
    assert set(token_text(tokenizer, first)) <= set("0123456789ABCDEF ")


def test_an_id_that_the_tokenizer_does_not_know_is_shown_as_a_number(course_model):
    _, tokenizer = course_model
    assert token_text(tokenizer, 60_000) == "[60000]"

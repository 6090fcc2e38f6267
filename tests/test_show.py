"""Text from a model or a user is shown readable, on one line, and inert."""

import html
import unicodedata
from collections import Counter

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.html import escape, escape_attribute
from llmcourse.show import (
    Table,
    byte_alphabet,
    code_of,
    cut,
    percent,
    plural,
    printable,
    quoted,
    token_bytes,
    token_text,
    visible,
)
from llmcourse.views._chart import drawable
from tests.support.pages import NASTY, tags


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


EVERY_CHARACTER = [chr(code) for code in range(0x110000)]


@pytest.mark.slow
def test_what_unicode_calls_ignorable_space_or_control_is_shown_as_its_code():
    hidden = regex.compile(
        r"[\p{Default_Ignorable_Code_Point}\p{White_Space}\p{Bidi_Control}\p{Variation_Selector}"
        r"\p{Join_Control}\p{Noncharacter_Code_Point}\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Z}]"
    )
    unassigned = regex.compile(r"\p{Cn}")  # to one of the two, if their Unicode is not of one age
    for character in EVERY_CHARACTER:
        shown = visible(character)
        if hidden.match(character):
            assert shown != character, ascii(character)
        elif shown == code_of(character):
            is_new = unicodedata.category(character) == "Cn" or unassigned.match(character)
            assert is_new or character in "\u2800\U00016fe4\U0001d159", ascii(character)


@pytest.mark.slow
def test_no_two_characters_are_shown_alike():
    shown = [visible(character) for character in EVERY_CHARACTER]
    twice = {text for text, many in Counter(shown).items() if many > 1}
    assert twice == set("·⇥⏎␍")  # the marks themselves, which are rare in texts
    codes = [text for text in shown if text.startswith("\\") and len(text) > 1]
    starts = set(codes)
    assert not any(text[:end] in starts for text in codes for end in range(2, len(text)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\U000e0041", "\\U000e0041"),
        ("\ue0041", "\\ue0041"),
        ("❤\ufe0f", "❤\\ufe0f"),
        ("👩\u200d💻", "👩\\u200d💻"),
        ("pass\u3164word", "pass\\u3164word"),
        ("a\u2800b\u034fc", "a\\u2800b\\u034fc"),
        ("\U000e0100\ufe01", "\\U000e0100\\ufe01"),
        ("カ\u3099é한글", "カ\u3099é한글"),
    ],
)
def test_a_selector_is_shown_as_its_code_and_text_stays_readable(text, shown):
    assert visible(text) == printable(text) == shown


def test_a_chart_writes_codes_as_text_does():
    assert drawable("a\U000e0041") == "a" + visible("\U000e0041")
    assert drawable("你") == "\\u4f60"


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
    assert tags(page) - {"span", "wbr"} == {"table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_a_long_word_of_a_table_may_go_on_behind_a_line_break_that_it_shows():
    turns = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    page = Table("", ["string"], [["chatml", turns], ["short", "a\nb"]])._repr_html_()
    assert page.count("<wbr>") == turns.count("\n") == page.count("⏎<wbr>")
    assert "a⏎b" in page


def test_a_rule_with_its_settings_may_break_before_its_bracket():
    rows = [["divide_by_temperature(temperature=2.0)"], ["keep_top_k(k=5)"], ["p(·Paris)"]]
    page = Table("", ["rule"], rows)._repr_html_()
    assert page.count("<wbr>") == 1 and "divide_by_temperature<wbr>(temperature" in page


@pytest.mark.parametrize(
    ("text", "named"),
    [("·blue", "·blue"), (",", "“,”"), ("·", "“·”"), ("⏎", "“⏎”"), ("'s", "'s"), ("你", "你")],
)
def test_a_token_without_a_letter_stands_in_quotes_in_a_sentence(text, named):
    assert quoted(text) == named


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

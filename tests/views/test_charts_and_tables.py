"""Each view has a text form, a static HTML form with its content in words, and is inert."""

import pytest
import torch

import llmcourse
from llmcourse import views
from tests.support.pages import INERT, NASTY, tags


def every_view(tokenizer, size: int):
    ids = torch.arange(size)
    logits = torch.linspace(2, 0, size)
    step = llmcourse.Step(
        0, ids[None], logits[None], logits[None], logits[None].softmax(-1), ids[:1], 1,
        torch.tensor([True]), ("length",), 0.1,
    )  # fmt: skip
    return {
        "tokens": views.tokens(tokenizer, ids),
        "likely": views.likely(tokenizer, logits, title=NASTY[0]),
        "surprise": views.surprise(tokenizer, ids, torch.tensor([float("nan"), *range(1, size)])),
        "batch": views.batch(tokenizer, ids[None], position_ids=ids[None]),
        "trace": views.trace(tokenizer, [step], title=NASTY[1]),
        "reading": views.reading(3, 4),
    }


NAMES = ["tokens", "likely", "surprise", "batch", "trace", "reading"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_vocabulary_is_rendered_inert(nasty, name):
    page = every_view(nasty, len(NASTY) + 1)[name]._repr_html_()
    assert tags(page) <= INERT
    assert "onerror" not in tags(page)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_text_form_is_printable(nasty, name):
    shown = repr(every_view(nasty, len(NASTY) + 1)[name])
    assert shown and all(line.isprintable() for line in shown.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_view_survives_without_styles_and_scripts(nasty, name):
    page = every_view(nasty, len(NASTY) + 1)[name]._repr_html_()
    assert "<style" not in page and "<script" not in page and "<svg" not in page


def test_the_likeliest_tokens_are_told_in_the_alt_text(course_model):
    _, tokenizer = course_model
    logits = torch.full((len(tokenizer),), -20.0)
    logits[tokenizer(" green").input_ids[0]] = 5.0
    logits[tokenizer(" yellow").input_ids[0]] = 4.0
    picture = views.likely(tokenizer, logits, top=2, title="Next token")
    assert repr(picture).startswith("Next token: ·green 73%, ·yellow 27%; the other 49,150 tokens")
    assert 'alt="Next token: ·green 73%' in picture._repr_html_()


def test_a_title_of_a_chart_is_cut_and_has_nothing_hidden(nasty):
    hostile = "\u202e" + "x" * 10_000
    logits = torch.ones(3)
    shown = views.likely(nasty, logits, title=hostile)
    assert repr(shown).startswith("\\u202exxx") and len(repr(shown)) < 500
    assert repr(shown).isprintable()


def test_more_than_one_row_of_logits_is_refused(course_model):
    _, tokenizer = course_model
    with pytest.raises(ValueError, match=r"shape \(2, 9\)"):
        views.likely(tokenizer, torch.zeros(2, 9))


def test_the_trace_shows_what_was_chosen_even_if_it_was_unlikely(course_model):
    model, tokenizer = course_model
    inputs = tokenizer("A list of colors: red, blue", return_tensors="pt")
    force = [lambda ids, scores: scores.index_fill(1, torch.tensor([504]), 1e4)]
    walk = list(llmcourse.steps(model, **inputs, max_new_tokens=2, logits_processor=force))
    assert "Chosen: The 100%" in repr(views.trace(tokenizer, walk))


def test_reading_counts_the_tokens_that_are_read():
    assert "triangle of 125 tokens" in repr(views.reading(8, 10))
    assert "each later step one: 17 tokens" in repr(views.reading(8, 10))
    with pytest.raises(ValueError, match="new_tokens=0"):
        views.reading(8, 0)


def test_padding_is_told_apart_without_colour(course_model):
    _, tokenizer = course_model
    pair = tokenizer(["1", "1, 2"], return_tensors="pt", padding=True)
    shown = views.batch(tokenizer, pair.input_ids, pair.attention_mask)
    assert "(<|im_end|>)" in repr(shown)
    assert "(&lt;|im_end|&gt;)" in shown._repr_html_()


def test_mask_and_position_are_named_once_a_row(course_model):
    _, tokenizer = course_model
    pair = tokenizer(["1", "1, 2"], return_tensors="pt", padding=True)
    mask = pair.attention_mask
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    page = views.batch(tokenizer, pair.input_ids, mask, positions)._repr_html_()
    names = "<br><small>mask</small><br><small>position</small></th>"
    assert page.count(f"0{names}") == page.count(f"1{names}") == 1
    last = "<br><small>1</small><br><small>0</small></td>"  # of the row that was padded
    assert page.count(f">1{last}") == 2, "a cell has its own numbers, mask first"
    page = views.batch(tokenizer, pair.input_ids, position_ids=positions)._repr_html_()
    assert ">0<br><small>position</small></th>" in page


def test_special_tokens_are_told_apart_without_colour(course_model):
    _, tokenizer = course_model
    shown = views.tokens(tokenizer, "<|im_start|>user")
    assert "dashed" in shown._repr_html_()
    assert "special" in repr(shown)


def test_no_view_stores_more_than_300_kilobytes(course_model):
    _, tokenizer = course_model
    long = torch.arange(2000) + 1000
    pages = [
        views.tokens(tokenizer, long)._repr_html_(),
        views.likely(tokenizer, torch.randn(49152))._repr_html_(),
        views.batch(tokenizer, long.repeat(40, 1), position_ids=long[None])._repr_html_(),
    ]
    assert max(map(len, pages)) < 300_000


def test_the_bytes_of_tokens_are_in_a_table_on_the_page(course_model):
    _, tokenizer = course_model
    page = views.tokens(tokenizer, "é<|im_end|>" + "=" * 64)._repr_html_()
    assert "<caption" in page and ">c3 a9</td>" in page and ">special</td>" in page
    assert f">{' '.join(['3d'] * 16)} …</td>" in page, "of a long token not all bytes are told"


def test_of_a_long_text_the_middle_is_left_out(course_model):
    _, tokenizer = course_model
    shown = views.tokens(tokenizer, torch.arange(1000, 3000))
    assert repr(shown).startswith("2,000 tokens\n")
    for form in (repr(shown), shown._repr_html_()):
        assert "… 1,600 tokens left out …" in form
        assert "1299" in form and "1300" not in form and "2899" not in form and "2900" in form


def test_of_a_large_batch_rows_and_places_are_left_out_and_counted(course_model):
    _, tokenizer = course_model
    shown = views.batch(tokenizer, torch.full((40, 2000), 504))
    assert shown.caption == "A batch of 40: token"
    for form in (repr(shown), shown._repr_html_()):
        assert "… 1,991 more …" in form and "… 8 rows more …" in form


def test_charts_of_long_texts_say_how_much_they_leave_out(course_model):
    model, tokenizer = course_model
    long = torch.arange(1000, 1100)
    assert repr(views.surprise(tokenizer, long, torch.ones(100))).endswith(
        " 60 more tokens are left out."
    )
    inputs = tokenizer("A list of colors: red, blue", return_tensors="pt")
    walk = llmcourse.steps(model, **inputs, max_new_tokens=22, eos_token_id=None)
    assert repr(views.trace(tokenizer, walk)).endswith(" 2 more steps are left out.")


def test_a_wide_chart_scrolls_before_its_letters_get_too_small(course_model):
    model, tokenizer = course_model
    inputs = tokenizer("A list of colors: red, blue", return_tensors="pt")
    walk = list(llmcourse.steps(model, **inputs, max_new_tokens=12))
    wide, narrow = views.trace(tokenizer, walk), views.trace(tokenizer, walk[:3])
    assert wide.least > 700 and f"min-width:{wide.least}px" in wide._repr_html_()
    assert wide._repr_html_().startswith('<div style="overflow-x:auto"><img ')
    assert not narrow.least and narrow._repr_html_().startswith("<img ")


@pytest.mark.slow
def test_reading_draws_any_length_in_the_same_size():
    small, large = views.reading(8, 10), views.reading(2000, 2000)
    assert "triangle of 5,999,000 tokens" in repr(large)
    assert len(large.png) < 3 * len(small.png)

"""The picture of a batch that is joined and left: seats, pages, words, limits."""

from itertools import groupby

import pytest

from llmcourse import views
from llmcourse.decoding.schedule import Turn, serve
from tests.support.families import tiny
from tests.support.pages import INERT, tags

PROMPTS = [[7, 8, 9], [3, 4, 5, 6], [20]]
LIMITS = [2, 5, 3]


def turns():
    return list(serve(tiny("llama"), PROMPTS, seats=2, max_new_tokens=LIMITS))


def test_each_seat_says_who_joins_sits_and_leaves():
    seats, *_ = views.schedule(turns()).grids
    assert [[text for _, text in row] for row in seats.rows] == [
        ["+0", "0.", "+2", "2", "2."],
        ["+1", "1", "1", "1", "1."],
    ]
    assert seats.caption == "10 tokens in 5 steps on 2 seats: 100% of the places were taken."


def test_an_empty_seat_is_shown_and_counted():
    seats, *_ = views.schedule([*turns(), Turn(5, (3, None), (4, 0), (4, 0), {3: 9}, (3,))]).grids
    assert [row[-1] for row in seats.rows] == [(3, "+3."), (None, "–")]
    assert "11 tokens in 6 steps" in seats.caption and "92%" in seats.caption


def test_pages_are_shown_beside_places_for_the_longest():
    _, pages = views.schedule(turns(), page=2).grids
    assert [owner for owner, _ in (row[0] for row in pages.rows)] == [0, 0, 1, 1, None, None]
    assert pages.caption == (
        "Pages of 2 tokens: 6 are enough, 12 tokens. "
        "A place for the longest text in every seat takes 16 tokens."
    )


def test_text_and_page_say_the_same_and_the_page_is_inert():
    view = views.schedule(turns(), page=2)
    text, page = repr(view), view._repr_html_()
    assert text.count("\n") == 2 + 2 + 1 + 2 + 1 + 6
    for word in ("seat 1", "page 4", "+2", "are enough"):
        assert word in text and word in page
    assert tags(page) <= INERT


def test_much_is_cut_and_said():
    many = [
        Turn(index, tuple(range(60)), (1,) * 60, (index + 1,) * 60, dict.fromkeys(range(60), 5), ())
        for index in range(100)
    ]
    view = views.schedule(many, page=16)
    assert "60 more steps are left out" in repr(view) and "12 more seats are left out" in repr(view)
    assert len(view._repr_html_()) < 100_000


def test_a_stay_is_one_box_on_the_page_as_wide_as_its_steps():
    seats, pages = views.schedule(turns(), page=2).grids
    page = seats._repr_html_()
    assert page.count("<td") == 3  # requests 0, 1 and 2
    assert 'colspan="2"' in page and 'colspan="5"' in page and 'colspan="3"' in page
    assert [page.count(sign) for sign in (">+0<", ">+1<", ">+2<", ">.</span>")] == [1, 1, 1, 3]
    stays = [owner for row in pages.rows for owner, _ in groupby(row)]
    assert pages._repr_html_().count("<td") == len(stays)


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="turns is empty"):
        views.schedule([])

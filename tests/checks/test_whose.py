"""Whose code goes on: the learner's, or the lesson's while theirs is a stub."""

from functools import partial

import pytest

from llmcourse.checks import is_stub, once_written, yours_or_ours


def double(x):
    """A stub as the lessons have it."""
    raise NotImplementedError("Write this.")


def doubled(x):
    return x + x


def wrong(x):
    return x


@once_written
def check_double(answer):
    assert answer(3) == 6, "you gave the number back as it came"
    print("check_double: right")


def test_a_stub_is_told_from_an_answer():
    assert is_stub(double)
    assert not is_stub(doubled)


def test_ours_goes_on_in_place_of_a_stub_and_a_line_says_so(capsys):
    assert yours_or_ours(double, doubled) is doubled
    assert capsys.readouterr().out == "double: ours, as yours is not written yet\n"


def test_an_answer_goes_on_even_where_it_is_wrong(capsys):
    assert yours_or_ours(wrong, doubled) is wrong
    assert capsys.readouterr().out == "wrong: yours\n"


def test_a_check_passes_over_a_stub_and_names_a_misconception(capsys):
    check_double(double)
    assert "nothing to check yet; write double above" in capsys.readouterr().out
    check_double(doubled)
    assert "right" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="as it came"):
        check_double(wrong)


def test_an_answer_need_not_be_a_plain_function(capsys):
    mine = partial(doubled)
    assert not is_stub(mine)
    assert yours_or_ours(mine, doubled) is mine
    assert capsys.readouterr().out == "partial: yours\n"
    check_double(mine)

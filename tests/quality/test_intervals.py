"""Wilson's interval, and the exact sign test on pairs."""

import math

import pytest

from llmcourse.quality.intervals import paired, proportion


@pytest.mark.parametrize(("right", "of"), [(0, 10), (1, 10), (27, 50), (50, 50)])
def test_the_ends_of_wilsons_interval_are_where_the_score_test_is_just_significant(right, of):
    found = proportion(right, of)
    for end in (found.low, found.high):
        if 0 < end < 1:
            z = (right / of - end) / math.sqrt(end * (1 - end) / of)
            assert abs(z) == pytest.approx(1.96, abs=1e-3)
    assert 0 <= found.low <= found.share <= found.high <= 1


def test_an_interval_reads_in_percent():
    assert str(proportion(27, 50)) == "54% (40% to 67%)"


@pytest.mark.parametrize(("right", "of"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_cannot_be_are_refused(right, of):
    with pytest.raises(ValueError, match="must be at most"):
        proportion(right, of)


def test_only_items_on_which_two_differ_count():
    found = paired([True, True, False, False, False], [True, False, True, True, True])
    assert (found.won, found.lost) == (3, 1)
    assert found.p == pytest.approx(2 * (1 + 4) / 16)


def test_two_that_agree_everywhere_have_a_p_of_1():
    assert paired([True, False], [True, False]).p == 1


def test_pairs_of_different_lengths_are_refused():
    with pytest.raises(ValueError):
        paired([True], [])

"""Figures and their spread; turns, whose order changes and whose warm-up does not count."""

import pytest

from llmcourse.measure.figure import Figure, digits, in_turns, ratios


def test_a_figure_says_its_median_and_quartiles():
    figure = Figure((10.0, 12.0, 11.0, 30.0, 9.0), "tokens/s")
    assert (figure.median, figure.quartiles) == (11.0, (10.0, 12.0))
    assert str(figure) == "11.0 tokens/s (10.0 to 12.0)"
    assert figure.spread == pytest.approx(2 / 11)


def test_one_value_has_no_spread():
    figure = Figure((4.0,), "ms")
    assert figure.quartiles == (4.0, 4.0) and figure.spread == 0 and not figure.is_noisy


@pytest.mark.parametrize(("width", "noisy"), [(0.01, False), (0.4, True)])
def test_a_wide_spread_is_noise(width, noisy):
    assert Figure((1 - width, 1.0, 1 + width), "s").is_noisy == noisy


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (0.5, "0.500"),
        (-0.5, "-0.500"),
        (4.561, "4.56"),
        (9.999, "10.00"),
        (78.94, "78.9"),
        (12_345.6, "12,346"),
        (float("nan"), "nan"),
    ],
)
def test_three_digits_are_written(number, written):
    assert digits(number) == written


def test_all_take_their_turn_and_another_goes_first_each_round():
    called = []
    runs = {name: lambda name=name: called.append(name) or len(called) for name in "abc"}
    rounds = list(in_turns(runs, rounds=3, warmup=1))
    turns = ["".join(called[at : at + 3]) for at in range(0, 12, 3)]
    assert sorted(map("".join, map(sorted, turns))) == ["abc"] * 4
    assert len(set(turns[1:])) == 3, "each is first once"
    assert len(rounds) == 3 and min(rounds[0].values()) == 4, "the warm-up does not count"


def test_what_was_done_before_ctrl_c_is_there():
    calls = iter([1, 2, KeyboardInterrupt, 4])

    def run():
        item = next(calls)
        if item is KeyboardInterrupt:
            raise KeyboardInterrupt
        return item

    done = []
    with pytest.raises(KeyboardInterrupt):
        for results in in_turns({"a": run}, rounds=4, warmup=0):
            done.append(results)
    assert done == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(("rounds", "warmup"), [(0, 0), (1, -1)])
def test_no_rounds_are_refused(rounds, warmup):
    with pytest.raises(ValueError, match="rounds="):
        next(in_turns({"a": int}, rounds, warmup))


def test_ratios_are_taken_round_by_round():
    assert ratios([2.0, 9.0], [1.0, 3.0]).values == (2.0, 3.0)
    with pytest.raises(ValueError):
        ratios([1.0], [1.0, 2.0])

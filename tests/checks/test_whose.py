"""Whose code goes on: the learner's, or the lesson's while theirs is a stub; and the sum of it."""

import importlib
import re
from functools import partial

import pytest

from llmcourse import checks
from llmcourse.checks import is_stub, once_written, summary, yours_or_ours
from tools import lesson


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


@pytest.mark.parametrize("open_", [{1: ...}, {1: "a word", 2: ...}])
def test_a_dictionary_is_a_stub_while_a_value_is_missing(open_):
    assert is_stub(open_)


@pytest.mark.parametrize("filled", [{}, {1: "", 2: "a word"}, {"a prompt": "..."}, [...]])
def test_a_dictionary_without_a_gap_is_an_answer(filled):
    assert not is_stub(filled)


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


# The summary


def softmax(x):
    raise NotImplementedError("Write this.")


def our_softmax(x):
    return x


def left_mask(x):
    raise NotImplementedError("Write this.")


def our_left_mask(x):
    return x


def pick(x):
    raise NotImplementedError("Write this.")


def written(name):
    """What a learner wrote in place of the stub of that name."""

    def answer(x):
        return x + x

    answer.__name__ = name
    return answer


def twice(x):
    return 2 * x


@once_written
def check_softmax(answer):
    assert answer(3) == 6


@once_written
def check_mask(answer):
    assert answer(3) == 6


@once_written
def check_pick(answer):
    assert answer(3) == 6


@pytest.fixture
def kernel(monkeypatch):
    """A kernel that has met nothing yet."""
    for name, empty in (("_state", {}), ("_goes_on", set()), ("_about", {})):
        monkeypatch.setattr(checks, name, empty)


@pytest.fixture
def said(kernel, capsys):
    """Return what the summary prints now, and nothing of what was printed before."""

    def now():
        capsys.readouterr()
        summary()
        return capsys.readouterr().out

    return now


def run_lesson(mine=softmax, mask=left_mask):
    """The cells of a lesson with two pieces, as a kernel runs them."""
    check_softmax(mine)
    yours_or_ours(mine, our_softmax)
    check_mask(mask)
    return yours_or_ours(mask, our_left_mask)


def test_there_is_nothing_to_sum_up_before_a_check_was_met(said):
    assert said() == "Nothing to sum up yet: run the cells that are yours to write.\n"


def test_a_lesson_in_which_nothing_was_written_is_ours(said):
    run_lesson()
    assert said() == "Yours: 0 of 2. Ours so far: softmax, left_mask.\n"


def test_what_was_written_and_is_right_is_yours(said):
    run_lesson(written("softmax"))
    assert said() == "Yours: 1 of 2 (softmax). Ours so far: left_mask.\n"


def test_all_green_is_said_when_every_piece_is_right(said):
    run_lesson(written("softmax"), written("left_mask"))
    assert said() == "All green: 2 of 2.\n"


def test_a_cell_that_is_run_again_counts_as_it_is_now(said):
    run_lesson()
    check_softmax(written("softmax"))  # the cell of ours beneath it is not run again
    assert said() == "Yours: 1 of 2 (softmax). Ours so far: left_mask.\n"
    check_mask(written("left_mask"))
    assert said() == "All green: 2 of 2.\n"
    check_softmax(softmax)
    assert said() == "Yours: 1 of 2 (left_mask). Ours so far: softmax.\n"


def test_a_wrong_answer_is_not_yet_right_though_it_goes_on(said):
    run_lesson()
    with pytest.raises(AssertionError):
        check_softmax(wrong)
    yours_or_ours(wrong, our_softmax)
    assert said() == "Yours: 0 of 2. Not right yet: softmax. Ours so far: left_mask.\n"


def test_an_answer_that_no_check_saw_is_not_counted(said):
    run_lesson()
    yours_or_ours(written("softmax"), our_softmax)
    assert said() == "Yours: 0 of 2. Not checked: softmax. Ours so far: left_mask.\n"


def test_the_cell_of_ours_may_be_run_alone_and_again(said, capsys):
    goes_on = run_lesson()
    capsys.readouterr()
    assert yours_or_ours(goes_on, our_left_mask) is our_left_mask
    assert capsys.readouterr().out == "left_mask: ours, as yours is not written yet\n"
    assert said() == "Yours: 0 of 2. Ours so far: softmax, left_mask.\n"


def test_a_check_that_a_lesson_runs_on_our_version_says_nothing_of_yours(said):
    run_lesson()
    check_softmax(twice)
    check_mask(left_mask)
    with pytest.raises(AssertionError):
        check_mask(our_left_mask)
    assert said() == "Yours: 1 of 2 (softmax). Ours so far: left_mask.\n"


@pytest.mark.parametrize("mine", [lambda x: x + x, partial(twice)])
def test_an_answer_without_a_name_counts_for_its_piece(said, mine):
    run_lesson()
    check_mask(mine)
    yours_or_ours(mine, our_left_mask)
    assert said() == "Yours: 1 of 2 (left_mask). Ours so far: softmax.\n"


def test_exercises_have_a_line_of_their_own(said):
    run_lesson(written("softmax"), written("left_mask"))
    check_pick(pick)
    assert said() == "All green: 2 of 2.\nExercises. Open: pick.\n"
    with pytest.raises(AssertionError):
        check_pick(wrong)
    assert said() == "All green: 2 of 2.\nExercises. Not right yet: pick.\n"
    check_pick(twice)
    assert said() == "All green: 2 of 2.\nExercises. Right: pick.\n"


def test_a_long_summary_is_broken_between_names(said):
    names = [f"a_piece_of_the_loop_{number}" for number in range(8)]
    for name in names:
        yours_or_ours(written(name), written(name))
    *lines, _ = said().split("\n")
    assert len(lines) > 1 and max(map(len, lines)) <= 72
    assert " ".join(lines) == f"Yours: 0 of 8. Not checked: {', '.join(names)}."


@once_written
def check_names(answer):
    assert answer == {1: "one"}, "one is 'one'"


def test_an_exercise_that_is_a_dictionary_is_open_until_it_is_filled(said, capsys):
    check_names({1: ...})
    assert capsys.readouterr().out == (
        "check_names: nothing to check yet; fill in the `...` above.\n"
    )
    assert said() == "Exercises. Open: names.\n"
    with pytest.raises(AssertionError, match="one is 'one'"):
        check_names({1: "two"})
    assert said() == "Exercises. Not right yet: names.\n"
    check_names({1: "one"})
    assert said() == "Exercises. Right: names.\n"


@pytest.mark.parametrize("path", lesson.lessons(), ids=lambda path: path.stem)
def test_every_check_of_a_lesson_is_counted(path):
    """An undecorated one would leave no trace in the summary."""
    named = set()
    for cell in lesson.read(path).cells:
        named |= set(re.findall(r"\b(\w+)\.(check_\w+)\(", cell.source))
    modules = {module: importlib.import_module(f"llmcourse.checks.{module}") for module, _ in named}
    assert named
    for module, check in named:
        assert hasattr(getattr(modules[module], check), "__wrapped__"), f"{module}.{check}"


@pytest.mark.parametrize("path", lesson.lessons(), ids=lambda path: path.stem)
def test_our_version_is_named_after_its_stub(path):
    for cell in lesson.read(path).cells:
        for yours, theirs, ours in re.findall(
            r"^(\w+) = yours_or_ours\((\w+), (\w+)\)$", cell.source, re.M
        ):
            assert theirs == yours and ours == f"our_{yours}"

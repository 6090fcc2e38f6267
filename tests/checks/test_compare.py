"""What several checks share: a wrong answer is named, and a right one passes."""

import pytest
import torch

from llmcourse.checks.compare import name_the_first, rows_of_ids, tensor_of
from llmcourse.checks.sign_test import one_side, shares, two_sided

WRONG = (("first", [1]), ("second", [1]), ("third", [2]))


def test_the_first_misconception_that_leads_to_an_answer_is_named():
    for yours, misconception in (([1], "first"), ([2], "third")):
        with pytest.raises(AssertionError, match=f"^{misconception}"):
            name_the_first(WRONG, yours, [3])


@pytest.mark.parametrize("yours", [[3], [4]])
def test_an_answer_that_no_misconception_leads_to_passes(yours):
    name_the_first(WRONG, yours, [3])


def test_a_right_answer_passes_where_a_misconception_leads_to_it_too():
    name_the_first(WRONG, [1], [1])


def test_a_tensor_of_the_wanted_shape_is_returned_as_it_is():
    made = torch.zeros(2, 3)
    assert tensor_of((2, 3), made, what="scores", wanted="they have (2, 3)") is made


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[0.0]], "return scores, not list"),
        (None, "return scores, not NoneType"),
        (torch.zeros(3), r"you returned shape \(3,\); they have \(2, 3\)"),
        (torch.zeros(()), r"you returned shape \(\); they have \(2, 3\)"),
    ],
)
def test_what_is_no_tensor_of_the_wanted_shape_is_told_so(answer, said):
    with pytest.raises(AssertionError, match=said):
        tensor_of((2, 3), answer, what="scores", wanted="they have (2, 3)")


def test_ids_are_returned_as_lists_and_other_answers_are_told_what_is_wanted():
    assert rows_of_ids(torch.tensor([[1, 2]])) == [[1, 2]]
    for answer, said in (([[1, 2]], "a tensor of ids, not list"), (torch.ones(2), r"\(2,\)")):
        with pytest.raises(AssertionError, match=said):
            rows_of_ids(answer)


def test_a_fair_coin_falls_as_pascals_triangle_says():
    assert shares(3) == [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    assert (two_sided(5, 0), two_sided(0, 5), one_side(0, 5)) == (2 / 32, 2 / 32, 1 / 32)
    assert two_sided(4, 4) == two_sided(0, 0) == 1

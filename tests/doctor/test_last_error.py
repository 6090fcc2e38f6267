"""What an error that ends a script says by the object that it is about."""

import pytest
import torch

from llmcourse.doctor.last_error import cause_of

ANSWER = [{"generated_text": "One two."}]


def ended(does, texts=()):
    """Return what is found in the error of a call; texts: those that were decoded."""
    try:
        does()
    except Exception as error:
        return cause_of(error, lambda thing: any(thing is one for one in texts))
    raise AssertionError("no error")


def concatenated():
    answer = [ANSWER]
    return "Answer: " + answer


FAULTY = {
    "a text's method of a pipeline's answer": (lambda: ANSWER.strip(), "pipeline-lists-in-lists"),
    "a pipeline's answer put behind a text": (concatenated, "pipeline-lists-in-lists"),
    "a field of ids": (lambda: torch.tensor([[1]]).sequences, "output-not-asked-for"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_an_error_is_named_at_its_line_by_the_object_that_it_is_about(name):
    does, code = FAULTY[name]
    found = ended(does)
    assert found.code == code and found.file == __file__ and found.line


def test_a_list_of_decoded_texts_is_told_from_other_lists():
    texts = ["One two."]
    assert ended(lambda: texts.split(), texts).code == "decoded-batch-as-text"
    assert ended(lambda: texts.split()) is None
    assert ended(lambda: texts.to("cpu"), texts) is None


@pytest.mark.parametrize("does", [lambda: [1].strip(), lambda: 1 / 0, lambda: "a" + [1]])
def test_other_errors_say_nothing(does):
    assert ended(does) is None

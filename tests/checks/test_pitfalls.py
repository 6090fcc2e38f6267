"""The checks of lesson 4 accept right answers and name the misconception of wrong ones."""

import re

import pytest
import torch

import llmcourse
from llmcourse.checks import pitfalls as checks

RIGHT = {
    1: "padding-side",
    2: "no-mask",
    3: "sampling-ignored",
    4: "max-length-below-prompt",
    5: "no-cache",
}


def test_the_doctor_finds_in_each_broken_call_what_was_put_into_it(course_model):
    model, tokenizer = course_model
    for number, call in checks.broken_calls(tokenizer).items():
        names = ("input_ids", "attention_mask")
        inputs = {name: call.pop(name) for name in names if name in call}
        found = llmcourse.diagnose(model, tokenizer, inputs, **call)
        grave = [one.code for one in found.findings if one.severity != "note"]
        assert grave[0] == RIGHT[number]
        assert grave[1:] == (["pad-is-eos"] if number == 2 else [])


def test_five_right_answers_are_accepted(capsys):
    checks.check_five(RIGHT)
    checks.check_five({**RIGHT, 2: "pad-is-eos"})
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize("number", RIGHT)
def test_a_wrong_diagnosis_gets_a_hint(number):
    with pytest.raises(AssertionError, match=f"call {number} is not 'no-length'"):
        checks.check_five({**RIGHT, number: "no-length"})


def test_all_five_must_be_answered():
    with pytest.raises(AssertionError, match="answer all five"):
        checks.check_five({1: "padding-side"})


def ready(tokenizer, texts):
    return tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")


def as_lists(tokenizer, texts):
    return {name: rows.tolist() for name, rows in ready(tokenizer, texts).items()}


def in_place(tokenizer, texts):
    tokenizer.padding_side = "left"
    return tokenizer(texts, padding=True, return_tensors="pt")


def all_ones(tokenizer, texts):
    made = ready(tokenizer, texts)
    return {**made, "attention_mask": torch.ones_like(made["input_ids"])}


def test_right_batches_are_accepted(course_model, capsys):
    for answer in (ready, as_lists):
        checks.check_ready(answer, course_model[1])
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda t, x: ready(t, x)["input_ids"], "not the ids alone"),
        (lambda t, x: {"input_ids": ready(t, x)["input_ids"]}, "the attention mask is missing"),
        (lambda t, x: t(x, padding=True, return_tensors="pt"), "you padded on the right"),
        (lambda t, x: t(x, padding=True, padding_side="right"), "you padded on the right"),
        (in_place, "you changed the tokenizer's own side"),
        (all_ones, "0 on the padding"),
    ],
)
def test_a_wrong_batch_is_told_what_is_wrong(course_model, answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_ready(answer, course_model[1])


def loops(ids):
    sizes = range(1, len(ids) // 3 + 1)
    return any(ids[-n:] == ids[-2 * n : -n] == ids[-3 * n : -2 * n] for n in sizes)


def by_text(ids):
    """A right answer of another kind: a pattern over the ids as text."""
    return re.search(r"((?:,\d+)+?)\1\1$", "".join(f",{one}" for one in ids)) is not None


def test_right_loops_are_accepted():
    checks.check_in_a_loop(loops)
    checks.check_in_a_loop(by_text)


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda ids: None, "return True or False"),
        (lambda ids: True, "nothing repeats here"),
        (lambda ids: False, "the shortest loop"),
        (lambda ids: len(ids) > 2 and len(set(ids[-3:])) == 1, "longer than one token"),
        (lambda ids: len(set(ids)) <= len(ids) // 2, "twice is not yet three"),
        (lambda ids: len(ids) > 2 and max(map(ids.count, ids)) >= 3, "only the end counts"),
    ],
)
def test_a_wrong_loop_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_in_a_loop(answer)

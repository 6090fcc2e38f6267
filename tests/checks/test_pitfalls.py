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
    4: "max-length-counts-prompt",
    5: "no-cache",
}


def grave_codes(model, tokenizer, call):
    """The codes of errors and warnings that the doctor gives a call, in its order."""
    names = [name for name in ("input_ids", "attention_mask") if name in call]
    inputs = {name: call.pop(name) for name in names}
    found = llmcourse.diagnose(model, tokenizer, inputs, **call)
    return [one.code for one in found.findings if one.severity != "note"]


def test_the_doctor_finds_in_each_broken_call_what_was_put_into_it(course_model):
    for number, calls in checks.broken_calls(course_model[1]).items():
        found = [grave_codes(*course_model, call) for call in calls]
        wanted = [[RIGHT[number]]] * len(calls)
        if number == 2:
            wanted = [["no-mask", "pad-is-eos"]]
        if number == 4:
            wanted[-1] = ["max-length-below-prompt"]
        assert found == wanted


def test_five_right_answers_are_accepted(capsys):
    checks.check_five(RIGHT)
    checks.check_five({**RIGHT, 2: "pad-is-eos"})
    checks.check_five({**RIGHT, 4: "max-length-below-prompt"})
    assert capsys.readouterr().out.count("\n") == 3


@pytest.mark.parametrize("number", RIGHT)
def test_a_wrong_diagnosis_gets_a_hint(number):
    with pytest.raises(AssertionError, match=f"call {number} is not 'no-length'"):
        checks.check_five({**RIGHT, number: "no-length"})


def test_all_five_must_be_answered():
    with pytest.raises(AssertionError, match="answer all five"):
        checks.check_five({1: "padding-side"})


def complete(model, tokenizer, texts, cut_ids=True, ids_alone=False, side="left", **settings):
    """Complete texts in a batch; the keywords make the mistakes that people make."""
    batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
    given = {"input_ids": batch["input_ids"]} if ids_alone else batch
    settings = {"do_sample": False, "max_new_tokens": checks.NEW_TOKENS, **settings}
    ids = model.generate(**given, **settings)
    new = ids[:, batch["input_ids"].shape[1] if cut_ids else 0 :]
    return tokenizer.batch_decode(new, skip_special_tokens=True)


def test_right_texts_are_accepted_and_the_tokenizer_is_left_as_it_was(course_model, capsys):
    model, tokenizer = course_model
    checks.check_complete(lambda texts: complete(model, tokenizer, texts), model, tokenizer)
    one_by_one = lambda texts: [complete(model, tokenizer, [text])[0] for text in texts]  # noqa: E731
    checks.check_complete(one_by_one, model, tokenizer)
    assert capsys.readouterr().out.count("\n") == 2
    assert tokenizer.padding_side == "left"


def test_a_text_that_is_not_written_yet_is_passed_over(course_model, capsys):
    def stub(texts):
        raise NotImplementedError("Write this.")

    checks.check_complete(stub, *course_model)
    assert "nothing to check yet; write stub above" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mistake", "misconception"),
    [
        ({"side": "right"}, "the longest text came out right"),
        ({"ids_alone": True}, "the longest text came out right"),
        ({"cut_ids": False}, "your texts begin with the prompt"),
        ({"max_new_tokens": 4}, "is not 12 new tokens"),
        ({"max_new_tokens": 20}, "is not 12 new tokens"),
    ],
)
def test_wrong_texts_are_told_what_is_wrong(course_model, mistake, misconception):
    model, tokenizer = course_model
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_complete(
            lambda texts: complete(model, tokenizer, texts, **mistake), model, tokenizer
        )


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda texts: None, "return a list of texts"),
        (lambda texts: "one text", "you returned str"),
        (lambda texts: texts[:1], "3 texts go in, and 1 came out"),
        (lambda texts: ["?"] * 3, "alone gets another text"),
    ],
)
def test_what_is_not_a_text_each_is_told_so(course_model, answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_complete(answer, *course_model)


def test_a_draw_is_told_from_greedy_decoding(course_model):
    model, tokenizer = course_model
    runs = iter([False, True])

    def sometimes(texts):
        settings = {"do_sample": True, "temperature": 5.0} if next(runs) else {}
        return complete(model, tokenizer, texts, **settings)

    with pytest.raises(AssertionError, match="a second run gave other texts"):
        checks.check_complete(sometimes, model, tokenizer)


def ready(tokenizer, texts):
    batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    return {**batch, "position_ids": (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)}


def ones_on_padding(tokenizer, texts):
    """A right answer of another kind: places of padding may have any position."""
    batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    positions = batch["attention_mask"].cumsum(-1) - 1
    return {**batch, "position_ids": positions.masked_fill(batch["attention_mask"] == 0, 1)}


def as_lists(tokenizer, texts):
    return {name: rows.tolist() for name, rows in ready(tokenizer, texts).items()}


def in_place(tokenizer, texts):
    tokenizer.padding_side = "left"
    return ready(tokenizer, texts)


def changed(**rows):
    """A right batch in which some rows are made anew: name -> function of the batch."""

    def answer(tokenizer, texts):
        made = ready(tokenizer, texts)
        return made | {name: change(made) for name, change in rows.items()}

    return answer


def without(name):
    return lambda t, x: {one: rows for one, rows in ready(t, x).items() if one != name}


def on_the_right(tokenizer, texts):
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    return {**batch, "position_ids": batch["attention_mask"].cumsum(-1) - 1}


def test_right_batches_are_accepted(course_model, capsys):
    for answer in (ready, ones_on_padding):
        checks.check_ready(answer, course_model[1])
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda t, x: ready(t, x)["input_ids"], "not the ids alone"),
        (without("input_ids"), "the ids are missing"),
        (without("attention_mask"), "the attention mask is missing"),
        (without("position_ids"), "the positions are missing"),
        (as_lists, "return tensors"),
        (lambda t, x: ready(t, x) | {"input_ids": t(x).input_ids}, "not list"),
        (changed(input_ids=lambda made: made["input_ids"][0]), "shapes (batch, length)"),
        (on_the_right, "you padded on the right"),
        (in_place, "you changed the tokenizer's own side"),
        (changed(attention_mask=lambda made: torch.ones_like(made["input_ids"])), "0 on the pad"),
        (
            changed(position_ids=lambda made: torch.arange(9).expand_as(made["input_ids"])),
            "count the padding",
        ),
        (changed(position_ids=lambda made: made["position_ids"] + 1), "the positions of"),
        (
            changed(position_ids=lambda made: made["attention_mask"].cumsum(-1) - 1),
            "below 0",
        ),
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

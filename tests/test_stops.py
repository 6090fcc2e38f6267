"""When a row stops, and the word for why it stopped."""

import time

import pytest
import torch
from families import tiny
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StopStringCriteria,
)

import llmcourse
from llmcourse.stops import explain, reason, vote

IDS = torch.tensor([[7, 8, 9], [10, 11, 12]])
LONG_AGO = 0.0


class Grumpy(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return torch.ones(len(input_ids), dtype=torch.bool)


def fed_up(input_ids, scores, **kwargs):
    return torch.ones(len(input_ids), dtype=torch.bool)


def a_word(input_ids, scores, **kwargs):
    return torch.ones(len(input_ids), dtype=torch.bool)


def second_row(input_ids, scores, **kwargs):
    return torch.arange(len(input_ids)) == 1


EOS = EosTokenCriteria(eos_token_id=[9, 12])
LENGTH = MaxLengthCriteria(max_length=3)
TIME = MaxTimeCriteria(max_time=0.001, initial_timestamp=LONG_AGO)


def reasons_of(*criteria) -> tuple:
    done, votes = vote(criteria, IDS, None)
    return explain((None, None), done, criteria, votes)


@pytest.mark.parametrize(
    ("criteria", "word"),
    [
        ([EOS], "eos"),
        ([LENGTH], "length"),
        ([TIME], "time"),
        ([Grumpy()], "Grumpy"),
        ([fed_up], "fed_up"),
        ([LENGTH, EOS], "eos"),
        ([TIME, LENGTH], "time"),
        ([LENGTH, TIME, fed_up], "fed_up"),
        ([fed_up, LENGTH, EOS], "eos"),
    ],
)
def test_the_strongest_criterion_that_ends_a_row_names_the_reason(criteria, word):
    assert reasons_of(*criteria) == (word, word)


def test_of_two_criteria_of_ones_own_the_first_names_the_reason():
    assert reasons_of(fed_up, a_word) == ("fed_up", "fed_up")
    assert reasons_of(a_word, fed_up) == ("a_word", "a_word")


def test_each_row_gets_its_own_reason():
    assert reasons_of(second_row) == (None, "second_row")
    assert reasons_of(second_row, LENGTH) == ("length", "second_row")
    assert reasons_of(EosTokenCriteria(eos_token_id=9), second_row) == ("eos", "second_row")


def test_a_reason_that_was_given_stays():
    criteria = [LENGTH]
    _, votes = vote(criteria, IDS, None)
    assert explain(("eos", None), torch.tensor([False, True]), criteria, votes) == ("eos", "length")
    assert explain(("eos", None), torch.tensor([False, False]), criteria, votes) == ("eos", None)


def test_a_kind_of_criterion_derived_from_the_librarys_counts_as_it():
    class Mine(EosTokenCriteria):
        pass

    assert reason(Mine(eos_token_id=5))[1] == "eos"


def test_the_vote_is_that_of_the_librarys_list():
    from transformers import StoppingCriteriaList

    for criteria in ([], [EOS], [second_row], [second_row, EosTokenCriteria(9)], [TIME, LENGTH]):
        done, votes = vote(criteria, IDS, None)
        assert torch.equal(done, StoppingCriteriaList(criteria)(IDS, None))
        assert len(votes) == len(criteria)


def test_a_criterion_may_answer_for_all_rows_at_once():
    def always(input_ids, scores, **kwargs):
        return True

    def tensor_without_rows(input_ids, scores, **kwargs):
        return torch.tensor(True)

    assert reasons_of(always) == ("always", "always")
    assert reasons_of(tensor_without_rows) == ("tensor_without_rows", "tensor_without_rows")


def test_every_criterion_is_asked_at_every_step_even_when_one_has_said_yes():
    """A criterion may count its calls; `generate` asks them all."""
    asked = []

    def counting(input_ids, scores, **kwargs):
        asked.append(input_ids.shape[1])
        return torch.zeros(len(input_ids), dtype=torch.bool)

    def second_row_at_4(input_ids, scores, **kwargs):
        return (torch.arange(len(input_ids)) == 1) & (input_ids.shape[1] >= 4)

    call = {"input_ids": IDS, "max_new_tokens": 3, "eos_token_id": None}
    llmcourse.generate(tiny("llama"), **call, stopping_criteria=[second_row_at_4, counting])
    assert asked == [4, 5, 6]


@pytest.mark.parametrize("asked_for", [True, False])
def test_criteria_see_the_scores_only_if_the_call_asks_for_them_as_in_generate(asked_for):
    seen = {"ours": [], "theirs": []}

    def watch(who):
        def criterion(input_ids, scores, **kwargs):
            seen[who].append(None if scores is None else len(scores))
            return torch.zeros(len(input_ids), dtype=torch.bool)

        return criterion

    call = {"input_ids": IDS, "max_new_tokens": 3}
    call |= {"return_dict_in_generate": asked_for, "output_scores": asked_for}
    tiny("llama").generate(**call, stopping_criteria=[watch("theirs")])
    llmcourse.generate(tiny("llama"), **call, stopping_criteria=[watch("ours")])
    assert seen["ours"] == seen["theirs"] == ([1, 2, 3] if asked_for else [None] * 3)


def test_a_time_limit_ends_the_rows_and_says_so():
    def slow(ids, scores):
        time.sleep(0.02)
        return scores

    call = {"input_ids": IDS, "max_new_tokens": 50, "eos_token_id": None, "max_time": 0.05}
    steps = list(llmcourse.steps(tiny("llama"), **call, logits_processor=[slow]))
    assert steps[-1].stop_reasons == ("time", "time")
    assert len(steps) < 50


def test_a_stop_string_ends_a_row_and_stays_in_the_text(course_model):
    model, tokenizer = course_model
    batch = tokenizer(
        ["A sequence of numbers: 1, 2", "A list of colors: red, blue"],
        return_tensors="pt",
        padding=True,
        padding_side="left",
    )
    call = {**batch, "max_new_tokens": 8, "stop_strings": [", 4"]}
    theirs = model.generate(**call, tokenizer=tokenizer)
    steps = list(llmcourse.steps(model, **call, tokenizer=tokenizer))
    assert steps[-1].stop_reasons == ("stop string", "length")
    ours = llmcourse.generate(model, **call, tokenizer=tokenizer)
    assert torch.equal(ours, theirs)
    assert tokenizer.decode(ours[0], skip_special_tokens=True).endswith(", 4")


@pytest.mark.parametrize("place", ["call", "generation_config", "model"])
def test_stop_strings_are_found_where_generate_finds_them(course_model, place, monkeypatch):
    model, tokenizer = course_model
    call = dict(tokenizer("A sequence of numbers: 1, 2", return_tensors="pt"))
    if place == "call":
        call |= {"max_new_tokens": 8, "stop_strings": ", 4"}
    elif place == "generation_config":
        config = GenerationConfig(max_new_tokens=8, stop_strings=", 4", eos_token_id=2)
        call |= {"generation_config": config}
    else:
        monkeypatch.setattr(model.generation_config, "stop_strings", ", 4")
        call |= {"max_new_tokens": 8}
    theirs = model.generate(**call, tokenizer=tokenizer)
    steps = list(llmcourse.steps(model, **call, tokenizer=tokenizer))
    assert steps[-1].stop_reasons == ("stop string",)
    assert torch.equal(torch.stack([step.chosen for step in steps], 1), theirs[:, -len(steps) :])
    kinds = [
        type(c) for c in llmcourse.ingredients(model, **call, tokenizer=tokenizer).stopping_criteria
    ]
    assert kinds.count(StopStringCriteria) == 1


def test_stop_strings_may_be_switched_off_for_one_call(course_model, monkeypatch):
    model, tokenizer = course_model
    monkeypatch.setattr(model.generation_config, "stop_strings", ", 4")
    call = dict(tokenizer("A sequence of numbers: 1, 2", return_tensors="pt"), max_new_tokens=6)
    steps = list(llmcourse.steps(model, **call, stop_strings=None))
    assert steps[-1].stop_reasons == ("length",)

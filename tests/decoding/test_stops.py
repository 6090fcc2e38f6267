"""When a row stops, and the word for why it stopped."""

import copy
import time

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StopStringCriteria,
)

import llmcourse
from llmcourse.decoding.stops import Reason, explain, reason, vote
from tests.support.families import tiny

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


OLD = Version(transformers.__version__) < Version("5.23")

# Votes of other kinds, made from a bool of each row. In `generate` the lowest bit of an integer is
# the vote, so 2 says no; and what is no truth value at all fails.
WHOLE_VOTES = {
    "int64": lambda yes: yes.long(),
    "int32": lambda yes: yes.int(),
    "uint8": lambda yes: yes.byte(),
    "two": lambda yes: yes.long() * 2,
    "three": lambda yes: yes.long() * 3,
    "minus_one": lambda yes: -yes.long(),
    "scalar": lambda yes: yes.all().long(),
    "int": lambda yes: int(yes.all()),
    "int_two": lambda yes: 2 * int(yes.all()),
}
NO_VOTES = {
    "float": lambda yes: yes.float(),
    "complex": lambda yes: yes.to(torch.complex64),
    "number": lambda yes: float(yes.all()),
    "list": lambda yes: yes.tolist(),
    "none": lambda yes: None,
    "text": lambda yes: "yes",
}
VOTING_WAYS = {
    "greedy": {},
    "no_eos": {"eos_token_id": None},
    "lookup": {"prompt_lookup_num_tokens": 2},
}


def voting(kind) -> dict:
    def odd(input_ids, scores, **kwargs):
        return kind(input_ids[:, -1] % 5 == 0)

    ids = torch.tensor([[7, 8, 9, 7, 8]])
    return {"input_ids": ids, "max_new_tokens": 12, "stopping_criteria": [odd], "pad_token_id": 0}


@pytest.mark.parametrize("way", VOTING_WAYS)
@pytest.mark.parametrize("kind", WHOLE_VOTES)
def test_an_integer_votes_by_its_lowest_bit_as_in_generate(kind, way):
    if way == "lookup" and "two" in kind and OLD:
        pytest.skip("in 5.15 `generate` itself goes on for ever")
    call = {**voting(WHOLE_VOTES[kind]), **VOTING_WAYS[way]}
    theirs = tiny("llama").generate(**call)
    assert torch.equal(llmcourse.generate(tiny("llama"), **call), theirs)
    plain = tiny("llama").generate(**{**call, "stopping_criteria": []})
    assert (len(theirs[0]) < len(plain[0])) == ("two" not in kind), "it ends the text, or does not"


@pytest.mark.parametrize("kind", WHOLE_VOTES)
def test_an_integer_is_no_vote_in_a_beam_search_where_generate_fails_or_ends_at_once(kind):
    call = {**voting(WHOLE_VOTES[kind]), "num_beams": 2}
    try:
        assert tiny("llama").generate(**call).shape[1] == 5, "nothing new"
    except RuntimeError as error:
        assert "where expected condition to be a boolean" in str(error)
    with pytest.raises(TypeError, match="The criterion odd returned"):
        llmcourse.generate(tiny("llama"), **call)


@pytest.mark.parametrize("way", VOTING_WAYS)
@pytest.mark.parametrize("kind", NO_VOTES)
def test_what_is_no_vote_is_named_where_generate_fails(kind, way):
    call = {**voting(NO_VOTES[kind]), **VOTING_WAYS[way]}
    with pytest.raises((TypeError, NotImplementedError)):
        tiny("llama").generate(**call)
    with pytest.raises(TypeError, match=r"The criterion odd returned .*return a bool tensor"):
        llmcourse.generate(tiny("llama"), **call)


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


# Each reason is a word, and a sentence that says more.


def told(*criteria, ids=IDS, prompt_length=2) -> tuple:
    done, votes = vote(criteria, ids, None)
    return explain((None,) * len(ids), done, criteria, votes, ids, prompt_length)


@pytest.mark.parametrize(
    ("criterion", "word", "sentence"),
    [
        (EOS, "eos", "The model chose token 9, which ends a text (eos_token_id)."),
        (LENGTH, "length", "The text reached max_length=3 tokens, the prompt included."),
        (TIME, "time", "The time was up: max_time=0.001 seconds."),
        (Grumpy(), "Grumpy", "Your own criterion Grumpy ended it."),
        (fed_up, "fed_up", "Your own criterion fed_up ended it."),
    ],
)
def test_a_reason_is_a_word_with_a_sentence(criterion, word, sentence):
    first, _ = told(criterion)
    assert first == word and isinstance(first, str)
    assert first.sentence == sentence
    assert first.stop_string is first.position is first.overhang is None


def test_each_row_is_told_of_its_own_end():
    first, second = told(EOS)
    assert "token 9," in first.sentence and "token 12," in second.sentence


def test_a_reason_can_be_copied_and_joined():
    one = told(LENGTH)[0]
    again = copy.deepcopy(one)
    assert again == one and again.sentence == one.sentence and isinstance(again, Reason)
    assert ", ".join([one, "eos"]) == "length, eos"


STOP_STRINGS = {
    # stop strings, the one that is found, where in " 3, 4, 5 ..." it begins, what comes after it
    "one": (", 5", ", 5", 6, ""),
    "the first of several": ([" 5", "4,"], "4,", 5, ""),
    "inside a token": ("gree", "gree", 5, "n"),
    "from the prompt on": ("2, 3", "2, 3", -1, ""),
}


@pytest.mark.parametrize("case", STOP_STRINGS)
def test_a_stop_string_is_told_with_its_place_and_what_hangs_over(course_model, case):
    model, tokenizer = course_model
    strings, which, position, overhang = STOP_STRINGS[case]
    prompt = "A list of colors: red, blue" if case == "inside a token" else "Numbers: 1, 2"
    call = dict(tokenizer(prompt, return_tensors="pt"), max_new_tokens=12, stop_strings=strings)
    *_, last = llmcourse.steps(model, **call, tokenizer=tokenizer)
    (why,) = last.stop_reasons
    new = tokenizer.decode(
        model.generate(**call, tokenizer=tokenizer)[0, call["input_ids"].shape[1] :]
    )
    assert why == "stop string"
    assert (why.stop_string, why.overhang) == (which, overhang)
    assert why.position == (new.index(which) if position >= 0 else position)
    assert new.endswith((which if position >= 0 else which[-position:]) + overhang)
    assert repr(which) in why.sentence
    assert ("across the prompt's end" in why.sentence) == (position < 0)
    assert (repr(overhang) in why.sentence) == bool(overhang)


def test_a_stop_string_of_several_bytes_is_found(course_model):
    model, tokenizer = course_model
    smile = tokenizer(" 🤗").input_ids

    def say(ids, scores):
        done = ids.shape[1] - 3
        return torch.full_like(scores, -9.0).index_fill(1, torch.tensor([smile[done]]), 0.0)

    ids = tokenizer("1, 2").input_ids[:3]
    call = {"input_ids": torch.tensor([ids]), "max_new_tokens": len(smile), "stop_strings": "🤗"}
    *_, last = llmcourse.steps(model, **call, tokenizer=tokenizer, logits_processor=[say])
    assert last.stop_reasons[0].stop_string == "🤗" and last.stop_reasons[0].position == 1


def test_a_stop_criterion_without_its_tokenizer_still_names_the_strings(course_model):
    model, tokenizer = course_model
    criterion = StopStringCriteria(tokenizer, [", 4"])
    call = dict(tokenizer("A sequence of numbers: 1, 2", return_tensors="pt"), max_new_tokens=9)
    output = model.generate(
        **call,
        stopping_criteria=[criterion],
        custom_generate=llmcourse.glass_box,
        return_dict_in_generate=True,
    )
    assert output.stop_reasons == ("stop string",)
    assert "[', 4']" in output.stop_reasons[0].sentence


def test_the_final_result_says_why_each_row_stopped():
    free = list(llmcourse.steps(tiny("llama"), input_ids=IDS, max_new_tokens=4, eos_token_id=None))
    eos = free[1].chosen[0].item()
    call = {"input_ids": IDS, "max_new_tokens": 4, "eos_token_id": eos}
    call |= {"return_dict_in_generate": True}
    for output in (
        llmcourse.generate(tiny("llama"), **call),
        tiny("llama").generate(**call, custom_generate=llmcourse.glass_box),
    ):
        assert output.stop_reasons == ("eos", "length")
        assert f"token {eos}," in output.stop_reasons[0].sentence
        assert set(output.keys()) == set(tiny("llama").generate(**call).keys())

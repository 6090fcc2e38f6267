"""The checks of lesson 3 take right answers and name what is wrong with others."""

import pytest
import torch
from transformers import GenerationConfig

from llmcourse import rules
from llmcourse.checks.choosing_tokens import check_config, check_presence_penalty, check_top_p

DROPPED = float("-inf")


def sorted_down(scores, p, stays):
    """Keep what `stays` says of the probabilities from the likeliest on, and the sums before."""
    descending, order = scores.sort(descending=True)
    probs = descending.softmax(-1)
    before = probs.cumsum(-1) - probs
    mask = stays(probs, before, p).gather(-1, order.argsort(-1))
    return scores.masked_fill(~mask, DROPPED)


def as_in_the_lesson(scores, p):
    return sorted_down(scores, p, lambda probs, before, p: before < p)


def as_in_the_package(scores, p):
    return rules.keep_top_p(None, scores, p)


def test_a_nucleus_as_in_the_lesson_or_the_package_is_right(capsys):
    check_top_p(as_in_the_lesson)
    check_top_p(as_in_the_package)
    assert capsys.readouterr().out.count("check_top_p") == 2


def without_the_crossing_token(scores, p):
    return sorted_down(scores, p, lambda probs, before, p: before + probs < p)


def without_it_but_never_empty(scores, p):
    def stays(probs, before, p):
        stay = before + probs < p
        stay[:, 0] = True
        return stay

    return sorted_down(scores, p, stays)


def from_the_least_likely(scores, p):
    ascending, order = scores.sort()
    probs = ascending.softmax(-1)
    stay = probs.cumsum(-1) - probs < p
    return scores.masked_fill(~stay.gather(-1, order.argsort(-1)), DROPPED)


def unsorted(scores, p):
    probs = scores.softmax(-1)
    return scores.masked_fill(probs.cumsum(-1) - probs >= p, DROPPED)


def places_for_tokens(scores, p):
    probs = scores.sort(descending=True).values.softmax(-1)
    return scores.masked_fill(probs.cumsum(-1) - probs >= p, DROPPED)


def each_for_itself(scores, p):
    return scores.masked_fill(scores.softmax(-1) < p, DROPPED)


def first_row_for_all(scores, p):
    first = as_in_the_lesson(scores[:1], p).isfinite()
    return scores.masked_fill(~first, DROPPED)


def in_place(scores, p):
    return scores.copy_(as_in_the_lesson(scores, p))


def probabilities(scores, p):
    kept = as_in_the_lesson(scores, p)
    return kept.softmax(-1).masked_fill(kept == DROPPED, DROPPED)


def only_what_stays(scores, p):
    return scores[:, :1]


def zeros(scores, p):
    return as_in_the_lesson(scores, p).nan_to_num(neginf=0.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (without_the_crossing_token, "the token that crosses p must stay"),
        (without_it_but_never_empty, "the token that crosses p must stay"),
        (from_the_least_likely, "begin with the likeliest"),
        (unsorted, "sort by probability first"),
        (places_for_tokens, "back to the order of the vocabulary"),
        (each_for_itself, "it is their sum"),
        (first_row_for_all, "each row has a nucleus of its own"),
        (in_place, "you changed the scores that you were given"),
        (probabilities, "a token that stays keeps its score"),
        (only_what_stays, "keeps its place"),
        (zeros, "a dropped one gets -inf"),
        (lambda scores, p: scores, "you kept [[0, 1, 2, 3]]"),
        (lambda scores, p: None, "return the scores, a tensor"),
    ],
)
def test_a_wrong_nucleus_is_told_what_is_wrong_with_it(answer, said):
    with pytest.raises(AssertionError) as error:
        check_top_p(answer)
    assert said in str(error.value)


def seen_in(ids, scores):
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, ids, True)


def subtracted(ids, scores, prompt_length, penalty):
    return scores - penalty * seen_in(ids[:, prompt_length:], scores)


def in_probabilities(ids, scores, prompt_length, penalty):
    probs = scores.softmax(-1).clone()
    for row, text in enumerate(ids.tolist()):
        for token in set(text[prompt_length:]):
            probs[row, token] *= torch.tensor(-penalty).exp()
    return probs.log()  # another constant: the same distribution


def test_a_penalty_is_right_whatever_constant_it_adds(capsys):
    check_presence_penalty(subtracted)
    check_presence_penalty(in_probabilities)
    assert capsys.readouterr().out.count("check_presence_penalty") == 2


def for_each_time(ids, scores, prompt_length, penalty):
    new = ids[:, prompt_length:]
    return scores.scatter_add(1, new, torch.full(new.shape, -penalty))


def divided(ids, scores, prompt_length, penalty):
    return torch.where(seen_in(ids[:, prompt_length:], scores), scores / penalty, scores)


def as_the_library(ids, scores, prompt_length, penalty):
    return rules.penalize_repetition(ids[:, prompt_length:], scores, penalty)


def of_all_rows(ids, scores, prompt_length, penalty):
    new = ids[:, prompt_length:].flatten()[None].expand(len(ids), -1)
    return scores - penalty * seen_in(new, scores)


def added_in_place(ids, scores, prompt_length, penalty):
    scores -= penalty * seen_in(ids[:, prompt_length:], scores)
    return scores


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda ids, scores, length, penalty: subtracted(ids, scores, 0, penalty), "the prompt"),
        (
            lambda ids, scores, length, penalty: subtracted(ids, scores, length, -penalty),
            "likelier",
        ),
        (lambda ids, scores, length, penalty: scores, "as they were"),
        (
            lambda ids, scores, length, penalty: scores.softmax(-1),
            "your distribution is another one",
        ),
        (lambda ids, scores, length, penalty: scores[0], "you returned shape"),
        (for_each_time, "it pays once"),
        (divided, "dividing a negative score"),
        (as_the_library, "a constant added to all scores"),
        (of_all_rows, "each row has its own text"),
        (added_in_place, "you changed the scores that you were given"),
    ],
)
def test_a_wrong_penalty_is_told_what_is_wrong_with_it(answer, said):
    with pytest.raises(AssertionError) as error:
        check_presence_penalty(answer)
    assert said in str(error.value)


WANTED = dict(do_sample=True, temperature=0.7, top_k=0, num_return_sequences=3, max_new_tokens=30)


@pytest.mark.parametrize("more", [{}, {"top_p": 1.0, "num_beams": 1, "use_cache": True}])
def test_a_config_that_says_it_all_is_right(more, capsys):
    check_config(GenerationConfig(**WANTED, **more))
    assert "check_config" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"do_sample": None, "num_return_sequences": None}, "without it a temperature is ignored"),
        ({"do_sample": False, "num_return_sequences": None}, "without it a temperature is ignored"),
        ({"num_beams": 4}, "draw without them"),
        ({"temperature": 1.0}, "not 0.7"),
        ({"temperature": None}, "not 0.7"),
        ({"top_k": None}, "the hidden default of 50"),
        ({"top_k": 50}, "top_k=50 cuts the vocabulary"),
        ({"top_p": 0.9}, "top_p=0.9 cuts the vocabulary"),
        ({"min_p": 0.1}, "min_p=0.1 cuts the vocabulary"),
        ({"max_new_tokens": None, "max_length": 30}, "max_length counts the prompt too"),
        ({"max_new_tokens": None}, "max_new_tokens is None"),
        ({"max_new_tokens": 20}, "max_new_tokens is 20"),
        ({"num_return_sequences": None}, "one call gives one text"),
    ],
)
def test_a_wrong_config_is_told_what_is_wrong_with_it(change, said):
    with pytest.raises(AssertionError) as error:
        check_config(GenerationConfig(**{**WANTED, **change}))
    assert said in str(error.value)


def test_what_is_no_config_is_refused():
    with pytest.raises(AssertionError, match="pass a GenerationConfig"):
        check_config(WANTED)

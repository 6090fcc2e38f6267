"""The checks of lesson 3 take right answers and name what is wrong with others."""

import math

import pytest
import torch
from transformers import GenerationConfig

from llmcourse import rules
from llmcourse.checks.choosing_tokens import (
    check_config,
    check_penalties,
    check_sign_test,
    check_task,
    check_top_k,
    check_top_p,
)

DROPPED = float("-inf")


def k_likeliest(scores, k):
    weakest = scores.topk(k).values[:, -1:]
    return scores.masked_fill(scores < weakest, DROPPED)


def test_top_k_as_in_the_lesson_or_the_package_is_right(capsys):
    check_top_k(k_likeliest)
    check_top_k(lambda scores, k: rules.keep_top_k(None, scores, k))
    assert capsys.readouterr().out.count("check_top_k") == 2


def above_zero(scores, k):
    return k_likeliest(scores, k).masked_fill(scores < 0, DROPPED)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda scores, k: -k_likeliest(-scores, k).nan_to_num(posinf=0.0), "-inf"),
        (
            lambda scores, k: scores.masked_fill(k_likeliest(-scores, k) == DROPPED, DROPPED),
            "least",
        ),
        (
            lambda scores, k: scores.masked_fill(k_likeliest(scores[:1], k) == DROPPED, DROPPED),
            "first row for all",
        ),
        (
            lambda scores, k: scores.masked_fill(scores <= scores.topk(k).values[:, -1:], DROPPED),
            "k-th",
        ),
        (lambda scores, k: k_likeliest(scores, k + 1), "the next one must not"),
        (lambda scores, k: scores, "the next one must not"),
        (above_zero, "the k-th likeliest must stay"),
        (lambda scores, k: scores.topk(k).values, "keeps its place"),
        (lambda scores, k: scores.copy_(k_likeliest(scores, k)), "you changed the scores"),
        (lambda scores, k: k_likeliest(scores, k).softmax(-1), "stays keeps its score"),
        (
            lambda scores, k: k_likeliest(scores, k).nan_to_num(neginf=0.0),
            "a dropped one gets -inf",
        ),
    ],
)
def test_a_wrong_top_k_is_told_what_is_wrong_with_it(answer, said):
    with pytest.raises(AssertionError) as error:
        check_top_k(answer)
    assert said in str(error.value)


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


def counted(ids, scores):
    return torch.zeros_like(scores).scatter_add(1, ids, torch.ones_like(ids, dtype=scores.dtype))


def subtracted(ids, scores, prompt_length, presence, frequency):
    counts = counted(ids[:, prompt_length:], scores)
    return scores - presence * (counts > 0) - frequency * counts


def in_probabilities(ids, scores, prompt_length, presence, frequency):
    probs = scores.softmax(-1).clone()
    for row, text in enumerate(ids.tolist()):
        new = text[prompt_length:]
        for token in set(new):
            probs[row, token] *= math.exp(-presence - frequency * new.count(token))
    return probs.log()  # another constant: the same distribution


def test_penalties_are_right_whatever_constant_they_add(capsys):
    check_penalties(subtracted)
    check_penalties(in_probabilities)
    assert capsys.readouterr().out.count("check_penalties") == 2


def presence_each_time(ids, scores, prompt_length, presence, frequency):
    return scores - (presence + frequency) * counted(ids[:, prompt_length:], scores)


def frequency_once(ids, scores, prompt_length, presence, frequency):
    return scores - (presence + frequency) * seen_in(ids[:, prompt_length:], scores)


def divided(ids, scores, prompt_length, presence, frequency):
    new = ids[:, prompt_length:]
    amount = presence + frequency * counted(new, scores)
    return torch.where(seen_in(new, scores), scores / amount, scores)


def by_sign(ids, scores, prompt_length, presence, frequency):
    new = ids[:, prompt_length:]
    amount = presence + frequency * counted(new, scores)
    weaker = torch.where(scores < 0, scores * amount, scores / amount)
    return torch.where(seen_in(new, scores), weaker, scores)


def of_all_rows(ids, scores, prompt_length, presence, frequency):
    new = ids[:, prompt_length:].flatten()[None].expand(len(ids), -1)
    return subtracted(new, scores, 0, presence, frequency)


def added_in_place(ids, scores, prompt_length, presence, frequency):
    return scores.copy_(subtracted(ids, scores, prompt_length, presence, frequency))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda ids, scores, length, *amounts: subtracted(ids, scores, 0, *amounts), "the prompt"),
        (presence_each_time, "it pays that once"),
        (frequency_once, "each time it came"),
        (
            lambda ids, scores, length, presence, frequency: subtracted(
                ids, scores, length, frequency, presence
            ),
            "presence for frequency",
        ),
        (
            lambda ids, scores, length, presence, frequency: subtracted(
                ids, scores, length, -presence, -frequency
            ),
            "likelier",
        ),
        (lambda ids, scores, length, *amounts: scores, "as they were"),
        (lambda ids, scores, length, *amounts: scores.softmax(-1), "your distribution is another"),
        (lambda ids, scores, length, *amounts: scores[0], "you returned shape"),
        (divided, "dividing a negative score"),
        (by_sign, "a constant added to all scores"),
        (of_all_rows, "each row has its own text"),
        (added_in_place, "you changed the scores that you were given"),
    ],
)
def test_wrong_penalties_are_told_what_is_wrong_with_them(answer, said):
    with pytest.raises(AssertionError) as error:
        check_penalties(answer)
    assert said in str(error.value)


def heads(tosses, fewest, most):
    return sum(math.comb(tosses, number) for number in range(fewest, most + 1)) / 2**tosses


def fair(won, lost):
    return min(1.0, 2 * heads(won + lost, 0, min(won, lost)))


def test_a_sign_test_is_right_however_it_is_added_up(capsys):
    check_sign_test(fair)
    check_sign_test(lambda won, lost: min(1.0, 2 * heads(won + lost, max(won, lost), won + lost)))
    assert capsys.readouterr().out.count("check_sign_test") == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda won, lost: heads(won + lost, 0, min(won, lost)), "one direction only"),
        (lambda won, lost: 2 * heads(won + lost, 0, min(won, lost)), "the middle is counted twice"),
        (lambda won, lost: heads(won + lost, won, won), "the splits that are more uneven"),
        (lambda won, lost: 2 * heads(won + lost, 0, min(won, lost) - 1), "leave this split itself"),
        (lambda won, lost: min(1.0, 2 * heads(won + lost, 0, lost)), "to `lost`"),
        (lambda won, lost: min(1.0, 2 * heads(won + lost, 0, won)), "to `won`"),
        (lambda won, lost: 1 - fair(won, lost), "5 won and 0 lost is p = 0.0625; you say 0.9375"),
    ],
)
def test_a_wrong_sign_test_is_told_what_is_wrong_with_it(answer, said):
    with pytest.raises(AssertionError) as error:
        check_sign_test(answer)
    assert said in str(error.value)


TASK = {f"The number after {number} is": str(number + 1) for number in range(20)}


def test_a_task_of_twenty_prompts_with_different_answers_is_taken(capsys):
    check_task(TASK)
    assert "20 prompts, 20 different answers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({}, "0 prompts show nothing"),
        (dict(list(TASK.items())[:19]), "19 prompts show nothing"),
        (list(TASK), "pass a dict"),
        (TASK | {"And then?": " "}, "any answer is right"),
        ({prompt + " ": wanted for prompt, wanted in TASK.items()}, "ends with a space"),
        (TASK | {f"Is {number} even?": "no" for number in range(1, 60, 2)}, "30 of 50 answers"),
    ],
)
def test_a_task_that_would_mislead_is_told_why(task, said):
    with pytest.raises(AssertionError) as error:
        check_task(task)
    assert said in str(error.value)


def stub(*arguments):
    """Return something."""
    raise NotImplementedError("Write this.")


@pytest.mark.parametrize(
    "check", [check_top_k, check_top_p, check_penalties, check_sign_test, check_config]
)
def test_a_stub_is_passed_over_with_a_line(check, capsys):
    check(stub)
    assert "nothing to check yet" in capsys.readouterr().out


WANTED = dict(do_sample=True, temperature=0.7, top_k=0, num_return_sequences=3, max_new_tokens=30)


@pytest.mark.parametrize("more", [{}, {"top_p": 1.0, "num_beams": 1, "use_cache": True}])
def test_a_config_that_says_it_all_is_right(more, capsys):
    check_config(lambda: GenerationConfig(**WANTED, **more))
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
        check_config(lambda: GenerationConfig(**{**WANTED, **change}))
    assert said in str(error.value)


def test_what_is_no_config_is_refused():
    with pytest.raises(AssertionError, match="return a GenerationConfig"):
        check_config(lambda: WANTED)

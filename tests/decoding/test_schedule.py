"""Continuous batching: each text as if it were alone, in fewer passes; pages, and who has them."""

import pytest
import torch

from llmcourse.decoding.schedule import Turn, paged, serve, texts
from tests.support.families import tiny

PROMPTS = [[7, 8, 9], [3, 4, 5, 6, 10, 11, 12], [20], [9, 8, 7, 6, 5], [30, 31], [40, 41, 42, 43]]
LIMITS = [4, 9, 2, 6, 12, 3]


def alone(model, ids: list[int], new: int, eos=None) -> list[int]:
    call = {"max_new_tokens": new, "eos_token_id": eos, "pad_token_id": 0, "do_sample": False}
    return model.generate(torch.tensor([ids]), **call)[0, len(ids) :].tolist()


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("seats", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "mistral", "gemma2"])
def test_each_text_is_that_of_its_prompt_alone(family, seats, wait):
    model = tiny(family)
    turns = list(serve(model, PROMPTS, seats=seats, max_new_tokens=LIMITS, wait_for_all=wait))
    pairs = zip(PROMPTS, LIMITS, strict=True)
    assert list(texts(turns).values()) == [alone(model, ids, new) for ids, new in pairs]


def test_a_text_ends_with_its_eos_and_its_seat_is_free():
    model = tiny("llama")
    plain = alone(model, PROMPTS[0], 12)
    eos = plain[3]
    turns = list(serve(model, PROMPTS, seats=2, max_new_tokens=12, eos_token_id=eos))
    made = texts(turns)
    assert made[0] == plain[: plain.index(eos) + 1]
    assert made == {n: alone(model, ids, 12, eos) for n, ids in enumerate(PROMPTS)}


def test_whoever_joins_takes_the_seat_that_was_left():
    turns = list(serve(tiny("llama"), PROMPTS, seats=2, max_new_tokens=LIMITS))
    assert turns[0].seats == (0, 1) and turns[0].read == (3, 7)
    end = next(turn for turn in turns if turn.left == (0,))
    after = turns[end.index + 1]
    assert after.seats == (2, 1), "prompt 2 sits where 0 sat, and 1 stays"
    assert after.read == (1, 1) and after.held[0] == 1


def test_without_waiting_there_are_fewer_passes_and_never_an_empty_seat_before_the_end():
    model = tiny("llama")
    now = list(serve(model, PROMPTS, seats=2, max_new_tokens=LIMITS))
    late = list(serve(model, PROMPTS, seats=2, max_new_tokens=LIMITS, wait_for_all=True))
    assert len(now) < len(late) == 9 + 6 + 12
    joined = max(turn.index for turn in now if max(turn.read) > 1)
    assert all(None not in turn.seats for turn in now[: joined + 1])


def test_what_is_held_grows_by_one_and_is_no_longer_than_the_text():
    turns = list(serve(tiny("llama"), PROMPTS[:2], seats=2, max_new_tokens=4))
    assert [turn.held for turn in turns] == [(3, 7), (4, 8), (5, 9), (6, 10)]


@pytest.mark.parametrize(
    ("prompts", "more", "words"),
    [
        ([], {}, "0 prompts"),
        ([[1]], {"seats": 0}, "0 seats"),
        ([[1]], {"max_new_tokens": [1, 2]}, "for 2"),
        ([[1]], {"max_new_tokens": 0}, "at least 1"),
        ([[1], []], {}, "prompt 1 is empty"),
    ],
)
def test_nothing_to_do_is_refused(prompts, more, words):
    with pytest.raises(ValueError, match=words):
        next(serve(tiny("llama"), prompts, **more))


@pytest.mark.parametrize("family", ["mamba", "falcon_h1"])
def test_a_state_is_refused_by_name(family):
    with pytest.raises(ValueError, match=type(tiny(family)).__name__):
        next(serve(tiny(family), PROMPTS))


def turn(index, seats, held, left=()):
    return Turn(index, seats, (1,) * len(seats), held, {}, left)


def test_pages_are_given_when_the_last_is_full_and_given_back_at_the_end():
    turns = [
        turn(0, (0, 1), (3, 5)),
        turn(1, (0, 1), (4, 6), left=(1,)),
        turn(2, (0, 2), (5, 9)),
    ]
    assert list(paged(turns, 4)) == [(0, 1, 1), (0, 1, 1), (0, 0, 2, 2, 2)]


def test_pages_hold_all_that_is_held_and_less_than_one_page_each_is_empty():
    turns = list(serve(tiny("llama"), PROMPTS, seats=3, max_new_tokens=LIMITS))
    for one, pages in zip(turns, paged(turns, 4), strict=True):
        for number, held in zip(one.seats, one.held, strict=True):
            if number is not None:
                assert 0 <= 4 * pages.count(number) - held < 4


def test_a_page_without_a_size_is_refused():
    with pytest.raises(ValueError, match="size=0"):
        list(paged([], 0))

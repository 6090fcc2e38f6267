"""The checks of lesson 8 take right answers and name what is wrong with the others."""

import pytest
import torch

from llmcourse.checks.speed_and_memory import (
    check_cache_size,
    check_finished_at,
    check_int8_rows,
    check_joining,
    check_predicted_speed,
    check_row_product,
    check_verified,
)
from llmcourse.decoding.cache import LIBRARY

CACHE = "cache" if LIBRARY >= (5, 24) else "past_key_values"


def refused(check, answer, because):
    with pytest.raises(AssertionError, match=because):
        check(answer)


# The bytes of a cache


def heads_of(config):
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def size_of(config):
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def cache_size(config, length, number_bytes):
    numbers = 2 * config.num_hidden_layers * heads_of(config) * size_of(config)
    return numbers * length * number_bytes


def test_the_bytes_of_a_cache_from_its_config_are_right(capsys):
    check_cache_size(cache_size)
    assert "every layer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (lambda c, n, b: cache_size(c, n, b) // 2, "keys and no values"),
        (lambda c, n, b: cache_size(c, n, b) // c.num_hidden_layers, "one layer"),
        (
            lambda c, n, b: 2 * c.num_hidden_layers * c.num_attention_heads * size_of(c) * n * b,
            "the query heads",
        ),
        (lambda c, n, b: cache_size(c, n * n, b), "the length twice"),
        (lambda c, n, b: cache_size(c, n, 1), "numbers, not bytes"),
        (
            lambda c, n, b: (
                2
                * c.num_hidden_layers
                * heads_of(c)
                * (c.hidden_size // c.num_attention_heads)
                * n
                * b
            ),
            "head_dim",
        ),
        (
            lambda c, n, b: 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * n * b,
            "with getattr",
        ),
        (
            lambda c, n, b: 2 * c.num_hidden_layers * c.hidden_size * n * b,
            "query heads|hidden size",
        ),
        (lambda c, n, b: cache_size(c, n, b) + 1, "you returned"),
    ],
)
def test_wrong_bytes_are_named(answer, because):
    refused(check_cache_size, answer, because)


# Rows of 8-bit numbers


def int8_rows(numbers):
    scales = (numbers.abs().amax(-1) / 127).clamp(min=1e-12)
    return (numbers / scales[..., None]).round().to(torch.int8), scales


def in_128_steps(numbers):
    scales = (numbers.abs().amax(-1) / 128).clamp(min=1e-12)
    return (numbers / scales[..., None]).round().to(torch.int8), scales


def of_the_largest(numbers):
    scales = (numbers.amax(-1) / 127).clamp(min=1e-12)
    return (numbers / scales[..., None]).round().to(torch.int8), scales


def one_scale(numbers):
    scale = numbers.abs().max() / 127
    return (numbers / scale).round().to(torch.int8), scale


def cut_off(numbers):
    scales = (numbers.abs().amax(-1) / 127).clamp(min=1e-12)
    return (numbers / scales[..., None]).to(torch.int8), scales


def upside_down(numbers):
    rounded, scales = int8_rows(numbers)
    return rounded, 1 / scales


def four_bits(numbers):
    scales = (numbers.abs().amax(-1) / 7).clamp(min=1e-12)
    return (numbers / scales[..., None]).round().to(torch.int8), scales


def off_by_two(numbers):
    rounded, scales = int8_rows(numbers)
    return torch.where(rounded.abs() < 50, rounded + 2, rounded), scales


def by_zero(numbers):
    scales = numbers.abs().amax(-1) / 127
    return (numbers / scales[..., None]).round().nan_to_num().to(torch.int8), 1 / (1 / scales) / (
        scales / scales
    )


def test_rows_by_their_largest_number_are_right(capsys):
    check_int8_rows(int8_rows)
    assert "255 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (in_128_steps, "ends at 127"),
        (of_the_largest, "without its sign"),
        (one_scale, "one scale for everything"),
        (cut_off, "cut the digits off"),
        (upside_down, "upside down"),
        (four_bits, "int8 goes to 127"),
        (by_zero, "divided zero by zero"),
        (lambda numbers: int8_rows(numbers)[0], "return two tensors"),
        (lambda numbers: (numbers.round(), int8_rows(numbers)[1]), "a byte each"),
        (
            lambda numbers: (int8_rows(numbers)[0], int8_rows(numbers)[1][..., None]),
            "one scale for each row",
        ),
        (off_by_two, "half a step"),
    ],
)
def test_wrong_rows_are_named(answer, because):
    refused(check_int8_rows, answer, because)


def test_a_product_of_rows_is_right_in_any_order(capsys):
    check_row_product(lambda rounded, scales, x: (rounded.float() * x).sum(-1) * scales)
    check_row_product(lambda rounded, scales, x: (rounded.float() * scales[:, None]) @ x)
    assert "each row's own scale" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (lambda rounded, scales, x: rounded.float() @ x, "left the scales out"),
        (lambda rounded, scales, x: (rounded.float() @ x) / scales, "divided by the scales"),
        (lambda rounded, scales, x: rounded @ x, "one kind of numbers"),
        (lambda rounded, scales, x: (rounded @ x.to(torch.int8)).float() * scales, "rounded x|be"),
        (
            lambda rounded, scales, x: (rounded.float() @ x.to(torch.int8).float()) * scales,
            "rounded x",
        ),
        (lambda rounded, scales, x: rounded.float() * x, "a number for each row"),
        (lambda rounded, scales, x: (rounded.float() @ x) * scales + 1, "should be"),
    ],
)
def test_wrong_products_are_named(answer, because):
    refused(check_row_product, answer, because)


# Who sits where


def finished_at(tokens, seats):
    free_from, last = [0] * seats, []
    for wanted in tokens:
        seat = free_from.index(min(free_from))
        free_from[seat] += wanted
        last.append(free_from[seat] - 1)
    return last


def from_one(tokens, seats):
    return [step + 1 for step in finished_at(tokens, seats)]


def in_batches(tokens, seats):
    last, start = [], 0
    for at in range(0, len(tokens), seats):
        batch = tokens[at : at + seats]
        last += [start + wanted - 1 for wanted in batch]
        start += max(batch)
    return last


def with_a_pause(tokens, seats):
    free_from, last = [0] * seats, []
    for wanted in tokens:
        seat = free_from.index(min(free_from))
        last.append(free_from[seat] + wanted - 1)
        free_from[seat] += wanted + 1
    return last


def with_overlap(tokens, seats):
    free_from, last = [0] * seats, []
    for wanted in tokens:
        seat = free_from.index(min(free_from))
        last.append(free_from[seat] + wanted - 1)
        free_from[seat] += wanted - 1
    return last


def shortest_first(tokens, seats):
    order = sorted(range(len(tokens)), key=tokens.__getitem__)
    last = dict(zip(order, finished_at([tokens[one] for one in order], seats), strict=True))
    return [last[one] for one in range(len(tokens))]


def test_seats_that_are_taken_as_they_come_free_are_right(capsys):
    check_finished_at(finished_at)
    assert "sits first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (from_one, "from 1"),
        (in_batches, "everybody of a batch"),
        (lambda tokens, seats: [wanted - 1 for wanted in tokens], "a seat at once"),
        (with_a_pause, "a step pass"),
        (with_overlap, "from the next step on"),
        (shortest_first, "shortest first"),
        (lambda tokens, seats: 3, "a list of steps"),
        (lambda tokens, seats: [0 for _ in tokens], "end in the steps"),
    ],
)
def test_wrong_steps_are_named(answer, because):
    refused(check_finished_at, answer, because)


# A rejected draft


def round_of(kept=lambda good, draft: good - len(draft), feed=lambda ids, draft: ids[:, -1:]):
    def verified(model, cache, ids, draft):
        fed = torch.cat([feed(ids, draft), ids.new_tensor([draft])], dim=-1)
        own = model(fed, **{CACHE: cache}, use_cache=True).logits[0, -len(draft) - 1 :]
        own, good = own.argmax(-1).tolist(), 0
        while good < len(draft) and draft[good] == own[good]:
            good += 1
        if (surplus := kept(good, draft)) < 0:
            cache.crop(surplus)
        return own[: good + 1]

    return verified


verified = round_of()


def accepted_only(model, cache, ids, draft):
    return verified(model, cache, ids, draft)[:-1]


def all_of_it(model, cache, ids, draft):
    verified(model, cache, ids, draft)
    return draft


def the_wrong_token_too(model, cache, ids, draft):
    new = verified(model, cache, ids, draft)
    return draft[: len(new)] if len(new) <= len(draft) else new


def one_by_one(model, cache, ids, draft):
    new, token = [], ids[:, -1:]
    for guess in [*draft, None]:
        token = model(token, **{CACHE: cache}, use_cache=True).logits[:, -1:].argmax(-1)
        new.append(token.item())
        if guess != new[-1]:
            break
    return new


def the_draft_alone(model, cache, ids, draft):
    own = model(ids.new_tensor([draft]), **{CACHE: cache}, use_cache=True).logits[0].argmax(-1)
    return own.tolist()


def test_a_round_that_reads_once_and_rolls_back_is_right(capsys):
    check_verified(verified)
    assert "one pass a round" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (round_of(kept=lambda good, draft: 0), "rejected ones are still in it"),
        (round_of(kept=lambda good, draft: good - len(draft) - 1), "cropped too much"),
        (round_of(feed=lambda ids, draft: ids), "all but the newest, so feed"),
        (accepted_only, "accepted tokens only"),
        (all_of_it, "as it came"),
        (the_wrong_token_too, "disagreed with"),
        (one_by_one, "one pass reads the whole draft"),
        (the_draft_alone, "the draft alone"),
    ],
)
def test_wrong_rounds_are_named(answer, because):
    refused(check_verified, answer, because)


# Who may join


def joining(waiting, seats, pages, size):
    count = 0
    for tokens in waiting[:seats]:
        pages -= -(-tokens // size)
        if pages < 0:
            break
        count += 1
    return count


def overtaking(waiting, seats, pages, size):
    count = 0
    for tokens in waiting:
        if count < seats and -(-tokens // size) <= pages:
            pages -= -(-tokens // size)
            count += 1
    return count


def rounding_down(waiting, seats, pages, size):
    return joining([tokens // size * size for tokens in waiting], seats, pages, size)


def test_who_comes_first_joins_first_as_far_as_pages_go(capsys):
    check_joining(joining)
    assert "in the order" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (overtaking, "overtake"),
        (rounding_down, "rounded down"),
        (lambda waiting, seats, pages, size: joining(waiting, seats, pages * size, 1), "share"),
        (lambda waiting, seats, pages, size: min(seats, len(waiting)), "seats alone"),
        (lambda waiting, seats, pages, size: joining(waiting, 99, pages, size), "needs a seat too"),
        (lambda waiting, seats, pages, size: -1, "can join"),
    ],
)
def test_wrong_rules_are_named(answer, because):
    refused(check_joining, answer, because)


# A prediction


def test_the_weights_once_and_a_cache_for_each_row_are_right(capsys):
    check_predicted_speed(
        lambda weights, cache, rows, gb: rows * gb * 1e9 / (weights + rows * cache)
    )
    assert "the weights once" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (lambda w, c, rows, gb: gb * 1e9 / (w + c), "anew for each row"),
        (lambda w, c, rows, gb: rows * gb * 1e9 / (w + c), "one cache for all"),
        (lambda w, c, rows, gb: rows * gb * 1e9 / w, "left the cache out"),
        (lambda w, c, rows, gb: gb * 1e9 / (w + rows * c), "of one row"),
        (lambda w, c, rows, gb: rows * gb * 2**30 / (w + rows * c), "1e9"),
        (lambda w, c, rows, gb: (w + rows * c) / (gb * 1e9), "seconds a step"),
        (lambda w, c, rows, gb: 1.0, "you said"),
    ],
)
def test_wrong_predictions_are_named(answer, because):
    refused(check_predicted_speed, answer, because)

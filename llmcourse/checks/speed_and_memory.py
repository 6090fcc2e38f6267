"""Checks for lesson 8, speed and memory.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, GPT2Config, LlamaConfig

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first, tensor_of
from llmcourse.checks.stand_in import StandIn, text_after

# The bytes of a cache

_CONFIGS = (  # with what they are to show; of each, the size of a head
    (LlamaConfig(hidden_size=64, num_attention_heads=4, num_hidden_layers=3), 16),
    (
        LlamaConfig(
            hidden_size=64, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=3
        ),
        16,
    ),
    (
        LlamaConfig(
            hidden_size=64,
            num_attention_heads=4,
            num_key_value_heads=1,
            num_hidden_layers=2,
            head_dim=24,
        ),
        24,
    ),
    (GPT2Config(n_embd=60, n_head=5, n_layer=2), 12),
)


@once_written
def check_cache_size(answer: Callable[[object, int, int], int]) -> None:
    """Compare `answer(config, length, number_bytes)` with a sum over all that a cache holds.

    The answer is the bytes of one row's keys and values. Raises AssertionError with the
    misconception that it found.
    """
    for config, size in _CONFIGS:
        for length, number_bytes in ((1, 4), (7, 4), (10, 2)):
            try:
                given = answer(config, length, number_bytes)
            except (AttributeError, TypeError) as error:
                raise AssertionError(
                    f"your function failed on a {type(config).__name__}: {error}; not every config "
                    "has num_key_value_heads or head_dim, so read them with getattr"
                ) from error
            _compare_size(given, config, size, length, number_bytes)
    print("check_cache_size: keys and values of every layer, and of the heads that are kept.")


def _compare_size(given: object, config, size: int, length: int, number_bytes: int) -> None:
    heads = config.num_attention_heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    layers = config.num_hidden_layers
    right = sum(  # a key and a value for each token, head and layer
        2 * size * number_bytes for _ in range(length) for _ in range(kept) for _ in range(layers)
    )
    wrong = (
        (
            "you counted keys and no values, or the other way round: a token leaves both",
            right // 2,
        ),
        ("you counted one layer: each layer has keys and values of its own", right // layers),
        (
            "you counted the query heads: where several of them share a head of keys "
            "(num_key_value_heads), the shared one is kept",
            right * heads // kept,
        ),
        (
            "you counted the length twice: the cache has a key and a value for each token, not for "
            "each pair of tokens",
            right * length,
        ),
        (
            "you counted numbers, not bytes: multiply by number_bytes",
            right // number_bytes,
        ),
        (
            "you divided hidden_size into heads, and this config says how large one is: head_dim",
            right // size * (config.hidden_size // heads),
        ),
        (
            "you counted the hidden size: what is kept is a key and a value for each head, and "
            "these heads are fewer or smaller",
            2 * config.hidden_size * number_bytes * length * layers,
        ),
    )
    name_the_first(wrong, given, right)
    assert given == right, (
        f"{layers} layers, {kept} heads of keys of {size} numbers of {number_bytes} bytes and "
        f"{length} tokens take {right:,} bytes; you returned {given!r}"
    )


# Rows of 8-bit numbers

_ROWS = (
    torch.tensor([[0.5, -1.0, 0.25, 0.75], [4.0, 2.0, -1.0, 0.5]]),
    torch.tensor([[-3.0, 1.0, 2.0, 0.1], [0.02, 0.01, -0.004, 0.0]]),
    torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0)),
)


@once_written
def check_int8_rows(answer: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    """Compare `answer(numbers)`, rows as int8 with a scale for each, with the rows themselves.

    numbers: (..., n) float32. The answer is (..., n) int8 and (...,) float32. Raises AssertionError
    with the misconception that it found.
    """
    for numbers in _ROWS:
        _compare_rows(*_pair(answer, numbers), numbers)
    empty = torch.zeros(2, 4)
    rounded, scales = _pair(answer, empty)
    assert (rounded == 0).all() and torch.isfinite(scales).all(), (
        "a row of zeros: you divided zero by zero; keep the scale above 0, with clamp(min=1e-12)"
    )
    print(
        "check_int8_rows: each row uses all of its 255 steps, and comes back as near as they let."
    )


def _pair(answer: Callable, numbers: Tensor) -> tuple[Tensor, Tensor]:
    given = answer(numbers.clone())
    assert isinstance(given, tuple) and len(given) == 2, "return two tensors, (rounded, scales)"
    rounded = tensor_of(
        tuple(numbers.shape), given[0], what="rounded, a tensor", wanted="it is that of numbers"
    )
    assert rounded.dtype == torch.int8, (
        f"rounded is {rounded.dtype}: a byte each is the point; .to(torch.int8)"
    )
    assert isinstance(given[1], Tensor), "scales is a tensor too"
    assert given[1].numel() != 1 or numbers.dim() == 1, (
        "you have one scale for everything: a row with large numbers then takes the steps of the "
        "others; amax(-1) gives one for each row"
    )
    scales = tensor_of(
        tuple(numbers.shape[:-1]),
        given[1],
        what="scales, a tensor",
        wanted=f"there is one scale for each row, {tuple(numbers.shape[:-1])}",
    )
    return rounded, scales


def _compare_rows(rounded: Tensor, scales: Tensor, numbers: Tensor) -> None:
    step = numbers.abs().amax(-1) / 127
    back = rounded.float() * scales[..., None]
    opposite = (rounded.sign() * numbers.sign() < 0) & (numbers.abs() > step[..., None])
    assert not opposite.any(), (
        "some numbers come back with the other sign: the scale is of the largest number without "
        "its sign (abs), and int8 ends at 127"
    )
    cut = torch.div(numbers, step[..., None]).trunc()
    off = (back - numbers).abs().amax()
    assert not (
        torch.equal(rounded.float(), cut) and (cut != (numbers / step[..., None]).round()).any()
    ), "you cut the digits off: .to(torch.int8) goes towards zero; .round() first"
    assert not torch.allclose(scales * step, torch.ones_like(step), rtol=0.02), (
        "your scale is upside down: rounded * scale gives the numbers back, so it is one step"
    )
    most = rounded.abs().amax(-1)
    assert (most >= 120).all(), (
        f"the largest number of a row became {int(most.min())}: int8 goes to 127, so one step is "
        "the largest number of the row, divided by 127"
    )
    near = (back - numbers).abs() <= 0.51 * scales[..., None].abs() + 1e-7
    assert near.all(), (
        f"rounded * scales is up to {off:.3g} away from the numbers; half a step is the most"
    )


@once_written
def check_row_product(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Compare `answer(rounded, scales, x)` with adding up each row's products, number by number.

    rounded: (rows, n) int8. scales: (rows,) float32. x: (n,) float32. The answer is (rows,)
    float32. Raises AssertionError with the misconception that it found.
    """
    for rows, n in ((3, 4), (5, 8)):
        drawn = torch.Generator().manual_seed(rows)
        rounded = torch.randint(-127, 128, (rows, n), generator=drawn).to(torch.int8)
        scales = torch.rand(rows, generator=drawn) + 0.5
        x = torch.randn(n, generator=drawn) + 3
        try:
            given = answer(rounded, scales, x)
        except RuntimeError as error:
            raise AssertionError(
                f"torch says: {error}. torch multiplies int8 with float32 element by element, and "
                "`@` wants one kind of numbers: rounded.float()"
            ) from error
        given = tensor_of((rows,), given, what="a tensor", wanted="a number for each row")
        sums = [sum(int(a) * float(b) for a, b in zip(row, x, strict=True)) for row in rounded]
        _compare_product(given, torch.tensor(sums), scales, rounded, x)
    print("check_row_product: each row's sum, and each row's own scale.")


def _compare_product(given: Tensor, sums: Tensor, scales: Tensor, rounded: Tensor, x: Tensor):
    right = sums * scales
    assert not torch.allclose(given, sums, rtol=1e-3), (
        "you left the scales out: the rows are in steps, not in numbers"
    )
    assert not torch.allclose(given, sums / scales, rtol=1e-3), (
        "you divided by the scales: rounded * scale gives a number back"
    )
    whole = (rounded.float() @ x.to(torch.int8).float()) * scales
    assert not torch.allclose(given, whole, rtol=1e-3), (
        "you rounded x: only the weights are kept in 8 bits; x stays float32"
    )
    assert torch.allclose(given, right, rtol=1e-3, atol=1e-3), (
        f"the product should be {right.tolist()}; you returned {given.tolist()}"
    )


# Who sits where

_QUEUES = (
    ([4, 2, 2, 6, 1, 3], 3),
    ([3, 1, 2], 2),
    ([1, 1, 1], 1),
    ([2, 5, 1, 4, 1, 1], 2),
    ([3, 3], 5),
)


@once_written
def check_finished_at(answer: Callable[[Sequence[int], int], Sequence[int]]) -> None:
    """Compare `answer(tokens, seats)` with seating everybody, step by step.

    tokens: how many each request wants. The answer is the step, from 0, in which each gets its
    last. Raises AssertionError with the misconception that it found.
    """
    for tokens, seats in _QUEUES:
        given = answer(list(tokens), seats)
        assert isinstance(given, list | tuple), f"return a list of steps, not {given!r}"
        _compare_steps(list(given), tokens, seats)
    print("check_finished_at: who comes first sits first, and no seat stays empty for long.")


def _compare_steps(given: list, tokens: list[int], seats: int) -> None:
    right = _seated(tokens, seats)
    in_batches = [
        sum(max(tokens[at : at + seats]) for at in range(0, place - place % seats, seats)) + n - 1
        for place, n in enumerate(tokens)
    ]
    wrong = (
        ("you counted steps from 1: the first step is number 0", [step + 1 for step in right]),
        (
            "you wait until everybody of a batch is done: a seat is free as soon as ITS text ends",
            in_batches,
        ),
        ("you gave everybody a seat at once: there are fewer", [n - 1 for n in tokens]),
        (
            "you let a request join in the step in which the one before it ends; that seat is free "
            "from the next step on",
            _with_a_gap(tokens, seats, -1),
        ),
        (
            "you let a step pass before a free seat is taken; who joins gets a token in that step",
            _with_a_gap(tokens, seats, 1),
        ),
        (
            "you seat the shortest first: the order is that of the list",
            _shortest_first(tokens, seats),
        ),
    )
    name_the_first(wrong, given, right)
    assert given == right, f"{tokens} on {seats} seats end in the steps {right}; you said {given}"


def _seated(tokens: list[int], seats: int) -> list[int]:
    """Seat the requests, step by step."""
    last, waiting = {}, list(range(len(tokens)))
    free_at = [0] * seats
    step = 0
    while waiting:
        for seat in range(seats):
            if waiting and free_at[seat] <= step:
                one = waiting.pop(0)
                last[one] = step + tokens[one] - 1
                free_at[seat] = last[one] + 1
        step += 1
    return [last[one] for one in range(len(tokens))]


def _with_a_gap(tokens: list[int], seats: int, gap: int) -> list[int]:
    """Seat the requests; gap: the steps between who leaves a seat and who follows."""
    free_at, last = [0] * seats, []
    for wanted in tokens:
        seat = free_at.index(min(free_at))
        last.append(free_at[seat] + wanted - 1)
        free_at[seat] += wanted + gap
    return last


def _shortest_first(tokens: list[int], seats: int) -> list[int]:
    order = sorted(range(len(tokens)), key=lambda one: tokens[one])
    steps = dict(zip(order, _seated([tokens[one] for one in order], seats), strict=True))
    return [steps[one] for one in range(len(tokens))]


# Exercises

_PROMPT = [3, 8, 5, 11]


@once_written
def check_verified(answer: Callable[[object, DynamicCache, Tensor, list[int]], list[int]]) -> None:
    """Compare `answer(model, cache, ids, draft)`, one round of draft and verify, with a slow loop.

    ids: (1, length); the cache holds all of them but the newest. The answer is the new tokens,
    those of the draft that the model agrees with and one of its own; the cache then holds the
    longer text, again without its newest token. Raises AssertionError with the misconception that
    it found.
    """
    plain = text_after(_PROMPT, 12)[len(_PROMPT) :]
    for good in range(4):  # the first so many of three drafted tokens are right
        model, cache, text = StandIn(), DynamicCache(), list(_PROMPT)
        model(torch.tensor([text[:-1]]), past_key_values=cache)
        model.calls.clear()
        for _ in range(2):  # what a wrong rollback does is seen in the next round
            made = len(text) - len(_PROMPT)
            draft = plain[made : made + 3]
            draft = [id if n < good else (id + 1) % 23 for n, id in enumerate(draft)]
            calls = len(model.calls)
            given = answer(model, cache, torch.tensor([text]), list(draft))
            _compare_round(given, model.calls[calls:], plain[made:], draft, good)
            text += [int(token) for token in given]
            _compare_held(cache.get_seq_length(), len(text), good)
    print("check_verified: one pass a round, the loop's own tokens, and a cache without the rest.")


def _compare_round(given, calls, following: list[int], draft: list[int], good: int) -> None:
    fed = calls[0].fed[0].tolist() if calls else []
    assert len(calls) == 1 and len(fed) != 1, (
        f"you called the model {len(calls)} times, with {len(fed)} tokens at first: one pass reads "
        "the whole draft; that is the gain"
    )
    assert fed != draft, (
        "you fed the draft alone: the newest token was not read either, and what follows it "
        "decides on the draft's first token"
    )
    assert len(fed) == 1 + len(draft), (
        f"you fed {len(fed)} tokens: the cache holds all but the newest, so feed that and the draft"
    )
    given, right = [int(token) for token in given], following[: good + 1]
    wrong = (
        ("you took the draft as it came: keep it up to the first disagreement", draft),
        (
            "you gave back the accepted tokens only: the model's own choice behind them is known "
            "too, so even a wrong draft gives one token",
            right[:-1],
        ),
        (
            "you kept the token that the model disagreed with: its own choice stands there",
            draft[: good + 1],
        ),
    )
    if good < len(draft):
        name_the_first(wrong, given, right)
    else:
        name_the_first(wrong[1:2], given, right)
    assert given == right, f"of the draft {good} are right, so {right} is new; you gave {given}"


def _compare_held(held: int, length: int, good: int) -> None:
    assert held <= length - 1, (
        f"the cache holds {held} tokens, and the text has {length}: the rejected ones are still in "
        "it, and every later token would look at them; crop them"
    )
    assert held == length - 1, (
        f"the cache holds {held} of {length} tokens: you cropped too much; all but the newest were "
        "read, and are right"
    )


_WAITING = (
    ([9, 9, 9, 9], 4, 2, 8),
    ([5, 5, 5, 9], 4, 2, 8),
    ([10, 20, 5], 3, 10, 8),
    ([10, 20, 5], 2, 10, 8),
    ([30, 5, 5], 3, 3, 8),
    ([8, 8, 8], 3, 2, 8),
    ([9, 9], 2, 3, 8),
    ([5], 0, 9, 8),
    ([], 2, 9, 8),
)


@once_written
def check_joining(answer: Callable[[Sequence[int], int, int, int], int]) -> None:
    """Compare `answer(waiting, seats, pages, size)`, how many join now, with trying each number.

    waiting: the most tokens that each will hold, in the order in which they came. seats, pages:
    that are free. size: tokens of a page. Raises AssertionError with the misconception that it
    found.
    """
    for waiting, seats, pages, size in _WAITING:
        given = answer(list(waiting), seats, pages, size)
        right = _longest_that_fits(waiting, seats, pages, size)
        endless, down = 10**6, [tokens // size * size for tokens in waiting]
        wrong = (
            (
                "you looked at the pages alone: who joins needs a seat too",
                _longest_that_fits(waiting, endless, pages, size),
            ),
            (
                "you looked at the seats alone: their keys and values need pages",
                _longest_that_fits(waiting, seats, endless, size),
            ),
            (
                "you let a shorter request overtake: under load the long one would wait for ever; "
                "stop at the first that does not fit",
                _overtaking(waiting, seats, pages, size),
            ),
            (
                "you let two requests share a page: the last page of each is its own, full or not",
                _longest_that_fits(waiting, seats, pages * size, 1),
            ),
            (
                "you rounded down: a page that is not full is a page",
                _longest_that_fits(down, seats, pages, size),
            ),
        )
        name_the_first(wrong, given, right)
        assert given == right, (
            f"of {waiting} with {seats} seats and {pages} pages of {size} tokens {right} can join; "
            f"you said {given!r}"
        )
    print("check_joining: in the order in which they came, as far as seats and pages go.")


def _longest_that_fits(waiting: Sequence[int], seats: int, pages: int, size: int) -> int:
    fitting = 0
    for count in range(min(len(waiting), seats) + 1):
        if sum(math.ceil(tokens / size) for tokens in waiting[:count]) <= pages:
            fitting = count
    return fitting


def _overtaking(waiting: Sequence[int], seats: int, pages: int, size: int) -> int:
    joined = 0
    for tokens in waiting:
        if joined < seats and math.ceil(tokens / size) <= pages:
            joined, pages = joined + 1, pages - math.ceil(tokens / size)
    return joined


@once_written
def check_predicted_speed(answer: Callable[..., float]) -> None:
    """Compare `answer(weights, cache, rows, gb_per_second)` with the seconds that a step reads.

    weights: bytes of the model. cache: bytes of one row's cache. The answer is the most tokens a
    second, of all rows. Raises AssertionError with the misconception that it found.
    """
    for weights, cache, rows, speed in ((5e8, 1e7, 1, 20), (5e8, 1e8, 8, 20), (3e9, 4e8, 16, 900)):
        given = answer(weights, cache, rows, speed)
        read = weights + sum(cache for _ in range(rows))
        right = rows / (read / (speed * 1e9))
        wrong = (
            (
                "you fetch the weights anew for each row: one step brings them once for all rows",
                rows / (rows * (weights + cache) / (speed * 1e9)),
            ),
            (
                "you read one cache for all rows: each row has its own",
                rows / ((weights + cache) / (speed * 1e9)),
            ),
            (
                "you left the cache out: it is read in each step too",
                rows / (weights / (speed * 1e9)),
            ),
            ("those are the tokens of one row: a step makes one for each", right / rows),
            ("a GB is 1e9 bytes here, as in read_bandwidth, not 2**30", right * 2**30 / 1e9),
            ("those are seconds a step, not tokens a second", read / (speed * 1e9)),
        )
        for misconception, value in wrong:
            same = math.isclose(given, value, rel_tol=1e-6) and not math.isclose(
                given, right, rel_tol=1e-6
            )
            assert not same, misconception
        assert math.isclose(given, right, rel_tol=1e-6), (
            f"{rows} rows at {speed} GB/s make {right:.1f} tokens a second; you said {given!r}"
        )
    print("check_predicted_speed: the weights once, a cache for each row, a token for each row.")

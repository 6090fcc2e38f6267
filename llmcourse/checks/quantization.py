"""Checks for lesson 9, quantization.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from transformers import LlamaConfig

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first, tensor_of

Rounding = Callable[[Tensor], Tensor]

# Round trip

_ROWS = (
    torch.tensor([[0.5, -1.0, 0.3, 0.74], [4.0, 2.2, -1.0, 0.5]]),
    torch.tensor([[-3.0, 1.0, 2.0, 0.1], [0.02, 0.011, -0.004, 0.0]]),
    torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)),
)


def _nearest(numbers: Tensor, levels: Tensor) -> Tensor:
    """Return for each number (..., n) the nearest of its levels (..., n or 1, count)."""
    levels = levels.expand(*numbers.shape, -1)
    place = (numbers[..., None] - levels).abs().argmin(-1, keepdim=True)
    return levels.gather(-1, place)[..., 0]


def _evenly(numbers: Tensor, bits: int, scale: Tensor) -> Tensor:
    most = 2 ** (bits - 1) - 1
    return _nearest(numbers, torch.arange(-most, most + 1) * scale[..., None, None])


@once_written
def check_round_trip(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Compare `answer(numbers, bits)` with the nearest of all levels, looked for one by one.

    numbers: (..., n) float32; the last axis shares a scale. Raises AssertionError with the
    misconception that it found.
    """
    for numbers in _ROWS:
        for bits in (8, 4, 3):
            _compare_round_trip(answer, numbers, bits)
    zeros = answer(torch.zeros(2, 4), 4)
    assert isinstance(zeros, Tensor) and (zeros == 0).all(), (
        "a row of zeros does not come back as zeros: you divided zero by zero; keep the scale "
        "above 0, with clamp(min=1e-12)"
    )
    print("check_round_trip: each row has its scale, and each number the nearest level.")


def _compare_round_trip(answer: Callable, numbers: Tensor, bits: int) -> None:
    before = numbers.clone()
    given = tensor_of(
        tuple(numbers.shape),
        answer(numbers, bits),
        what="the numbers that come back, a tensor",
        wanted=f"as many numbers come back as went in, {tuple(numbers.shape)}",
    ).float()
    assert torch.equal(numbers, before), (
        "you changed the numbers that were passed in; they are the model's: return new ones"
    )
    most = 2 ** (bits - 1) - 1
    largest = numbers.abs().amax(-1)
    scale = largest / most
    right = _evenly(numbers, bits, scale)
    step = scale[..., None]
    wrong = {
        "you returned the whole numbers of steps; what comes back is these times the scale": (
            (numbers / step).round()
        ),
        "you have one scale for everything: a row of small numbers then has hardly a level; "
        "amax(-1, keepdim=True) gives one for each row": _evenly(
            numbers, bits, (numbers.abs().max() / most).expand_as(scale)
        ),
        "you cut the digits off, towards zero or downwards; .round() takes the nearest level": (
            (numbers / step).trunc() * step
        ),
        "your scale is of the largest number with its sign: a larger negative one does not fit; "
        "abs() first": (
            (numbers / (numbers.amax(-1) / most)[..., None]).round().clamp(-most, most)
            * (numbers.amax(-1) / most)[..., None]
        ),
        f"you divided by {2**bits - 1}, which is all steps from the least level to the largest: "
        f"{bits} bits count from {-most} to {most} here": (
            (numbers / (largest / (2**bits - 1))[..., None]).round()
            * (largest / (2**bits - 1))[..., None]
        ),
        f"you divided by {most + 1}: then the largest number is level {most + 1}, and {bits} bits "
        f"with a sign end at {most}": (
            (numbers / (largest / (most + 1))[..., None]).round()
            * (largest / (most + 1))[..., None]
        ),
    }
    close = torch.allclose(given, right, rtol=1e-4, atol=1e-6)
    floored = (numbers / step).floor() * step
    assert close or not torch.allclose(given, floored, rtol=1e-4, atol=1e-6), list(wrong)[2]
    for misconception, made in wrong.items():
        assert close or not torch.allclose(given, made, rtol=1e-4, atol=1e-6), misconception
    steps = given / step
    assert ((steps - steps.round()).abs() <= 0.02).all(), (
        f"what came back is not on the levels: with {bits} bits each number is a whole number from "
        f"{-most} to {most}, times the row's largest number / {most}"
    )
    off = (given - numbers).abs() - (right - numbers).abs()
    assert (off <= 0.02 * step).all(), (
        f"with {bits} bits a number comes back up to {float(off.max()):.2g} further away than its "
        "nearest level"
    )


# Two numbers a byte


def _some_levels() -> tuple[Tensor, ...]:
    drawn = torch.Generator().manual_seed(0)
    return (
        torch.tensor([1, 2, 15, 0], dtype=torch.uint8),
        torch.randint(16, (3, 8), generator=drawn, dtype=torch.uint8),
        torch.randint(16, (2, 3, 6), generator=drawn, dtype=torch.uint8),
    )


def _packed(levels: Tensor) -> Tensor:
    """Return the bytes, made one by one from pairs of whole numbers."""
    pairs = levels.reshape(-1, 2).tolist()
    made = torch.tensor([low + 16 * high for low, high in pairs], dtype=torch.uint8)
    return made.view(*levels.shape[:-1], -1)


@once_written
def check_pack(answer: Callable[[Tensor], Tensor]) -> None:
    """Compare `answer(levels)`, two levels a byte, with bytes that are made one by one.

    levels: (..., n) uint8 from 0 to 15, n even. The answer is (..., n / 2) uint8, of each pair of
    neighbours the first in the low half. Raises AssertionError with the misconception.
    """
    for levels in _some_levels():
        half = levels.shape[-1] // 2
        given = tensor_of(
            (*levels.shape[:-1], half),
            answer(levels.clone()),
            what="the bytes, a tensor",
            wanted=f"two levels share a byte, so it is {(*levels.shape[:-1], half)}",
        )
        assert given.dtype == torch.uint8, (
            f"the bytes are {given.dtype}, which takes {given.element_size()} bytes for each; "
            "keep uint8, or end with .to(torch.uint8)"
        )
        first, second = levels[..., ::2], levels[..., 1::2]
        made = given.tolist()
        wrong = (
            ("the halves are the other way round: the first of a pair stands in the low half, "
             "as it is, the second 16 times as high", (second + 16 * first).tolist()),
            ("you packed the first half of a row with its second half; here neighbours share a "
             "byte: levels[..., ::2] and levels[..., 1::2]",
             (levels[..., :half] + 16 * levels[..., half:]).tolist()),
            ("you added two levels, and a sum does not say of which: the second goes into the high "
             "half, 16 times as high", (first + second).tolist()),
            ("the second of a pair is lost: put it into the high half, with << 4",
             first.tolist()),
        )  # fmt: skip
        right = _packed(levels).tolist()
        name_the_first(wrong, made, right)
        assert made == right, f"of {levels.tolist()} the bytes are {right}; you returned {made}"
    print("check_pack: two levels in each byte, the first in the low half.")


@once_written
def check_unpack(answer: Callable[[Tensor], Tensor]) -> None:
    """Compare `answer(packed)` with the levels that were packed.

    packed: (..., n / 2) uint8. The answer is (..., n) uint8 from 0 to 15. Raises AssertionError
    with the misconception that it found.
    """
    for levels in _some_levels():
        packed = _packed(levels)
        low, high = packed % 16, packed // 16
        given = tensor_of(
            tuple(levels.shape),
            answer(packed.clone()),
            what="the levels, a tensor",
            wanted=f"each byte holds two, so it is {tuple(levels.shape)}",
        )
        assert given.dtype == torch.uint8, f"levels are uint8, and yours are {given.dtype}"
        made, right = given.tolist(), levels.tolist()
        wrong = (
            ("the two of a byte come out in the other order: the low half is the first",
             torch.stack([high, low], -1).flatten(-2).tolist()),
            ("first all low halves came, then all high ones; neighbours share a byte: "
             "torch.stack([low, high], dim=-1).flatten(-2)",
             torch.cat([low, high], -1).tolist()),
            ("the first of each byte still has the second in it: & 15 keeps the low half",
             torch.stack([packed, high], -1).flatten(-2).tolist()),
            ("the second of each byte is 16 times too large: >> 4 brings it down",
             torch.stack([low, packed - low], -1).flatten(-2).tolist()),
        )  # fmt: skip
        name_the_first(wrong, made, right)
        assert made == right, f"{packed.tolist()} holds {right}; you returned {made}"
    print("check_unpack: the levels come back in their order.")


# One column of error compensation

_COLUMNS = 5


@once_written
def check_compensated(answer: Callable[[Tensor, int, Tensor, Tensor], Tensor]) -> None:
    """Compare `answer(weights, column, rounded, hessian)` with least squares on the inputs.

    weights: (out, in) float64. rounded: (out,), what the column becomes. hessian: (in, in), inputs
    transposed times inputs. The answer is new weights with that column, of which those behind it
    have moved so that the outputs move least. Raises AssertionError with the misconception.
    """
    drawn = torch.Generator().manual_seed(0)
    mixed = torch.randn(_COLUMNS, _COLUMNS, generator=drawn, dtype=torch.float64)
    inputs = torch.randn(40, _COLUMNS, generator=drawn, dtype=torch.float64) @ mixed
    weights = torch.randn(3, _COLUMNS, generator=drawn, dtype=torch.float64)
    for column in range(_COLUMNS):
        _compare_compensated(answer, weights, column, inputs)
    print("check_compensated: the columns behind make up for the one that was rounded.")


def _compare_compensated(answer: Callable, weights: Tensor, column: int, inputs: Tensor) -> None:
    rounded, hessian = weights[:, column].round(), inputs.T @ inputs
    before = weights.clone()
    given = tensor_of(
        tuple(weights.shape),
        answer(weights, column, rounded.clone(), hessian.clone()),
        what="the new weights, a tensor",
        wanted=f"they are the matrix's, {tuple(weights.shape)}",
    ).double()
    assert torch.equal(weights, before), (
        "you changed the weights that were passed in: work on weights.clone()"
    )
    error = weights[:, column] - rounded
    rest = slice(column + 1, None)

    def moved(by: Tensor) -> Tensor:
        made = weights.clone()
        made[:, column], made[:, rest] = rounded, made[:, rest] + by
        return made

    def near(one: Tensor, other: Tensor) -> bool:
        return torch.allclose(one, other, rtol=1e-4, atol=1e-6)

    lost = inputs[:, [column]] * error  # (tokens, out): what the outputs lose
    right = moved(torch.linalg.lstsq(inputs[:, rest], lost).solution.T)  # empty at the last column
    assert near(given[:, column], rounded), (
        f"column {column} of what you return is not the rounded one: put it there"
    )
    assert near(given[:, :column], weights[:, :column]), (
        "you moved columns in front of this one: they are rounded already, and stay"
    )
    if column == _COLUMNS - 1:
        return
    inverse, whole = torch.linalg.inv(hessian[column:, column:]), torch.linalg.inv(hessian)
    wrong = (
        ("the columns behind did not move: they are what makes up for the error",
         moved(0 * error[:, None])),
        ("the columns behind moved the wrong way, and doubled the error: what the outputs lose "
         "is (weights - rounded) times the input", 2 * moved(0 * error[:, None]) - right),
        ("you took the inverse of the whole hessian: columns in front are fixed, so only those "
         "from this one on count; inv(hessian[column:, column:])",
         moved(-error[:, None] * whole[column, rest] / whole[column, column])),
        ("you took the hessian itself: each column then makes up as if it were alone, and "
         "together they do too much; its inverse knows of the others",
         moved(error[:, None] * hessian[column, rest] / hessian[column, column])),
        ("divide by the inverse's own entry for this column, inverse[0, 0]",
         moved(-error[:, None] * inverse[0, 1:])),
    )  # fmt: skip
    for misconception, made in wrong:
        assert near(given, right) or not near(given[:, rest], made[:, rest]), misconception
    worse = float((inputs @ (given - weights).T).norm() / (inputs @ (right - weights).T).norm())
    assert near(given, right), (
        f"after column {column} the outputs are {worse:.3g} times as far off as they need be; "
        "least squares for the columns behind gives the least"
    )


# NF4 by hand


@once_written
def check_to_nf4(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Compare `answer(block, levels)` with the nearest level, looked for one by one.

    block: (n,) float32. levels: (16,) float32, ascending, from -1 to 1. The answer is (n,).
    Raises AssertionError with the misconception that it found.
    """
    levels = torch.tensor([-1, -0.7, -0.53, -0.39, -0.28, -0.18, -0.09, 0])
    levels = torch.cat([levels, torch.tensor([0.08, 0.16, 0.25, 0.34, 0.44, 0.56, 0.72, 1])])
    for seed in range(3):
        block = torch.randn(64, generator=torch.Generator().manual_seed(seed)) / 10
        block[seed] = -0.5  # the largest of all is negative
        scale = block.abs().max()
        right = _nearest(block, levels * scale)
        given = tensor_of(
            (64,),
            answer(block.clone(), levels.clone()),
            what="the block as it comes back, a tensor",
            wanted="as many numbers come back as went in, (64,)",
        ).float()
        below = levels[(torch.bucketize(block / scale, levels, right=True) - 1).clamp(min=0)]
        wrong = (
            ("you returned levels; times the scale they are the numbers that come back",
             right / scale),
            ("the scale is the largest number without its sign: abs().max()",
             _nearest(block, levels * block.max())),
            ("you took the level below, not the nearest: one may be nearer above",
             below * scale),
            ("your levels are evenly spaced; take the nearest of those that were passed in",
             (block / scale * 7).round() / 7 * scale),
            ("you did not divide by the scale before looking for the nearest level",
             _nearest(block, levels) * scale),
        )  # fmt: skip
        close = torch.allclose(given, right, atol=1e-6)
        for misconception, made in wrong:
            assert close or not torch.allclose(given, made, atol=1e-6), misconception
        assert close, (
            f"{int((~torch.isclose(given, right, atol=1e-6)).sum())} of 64 numbers are not at "
            "their nearest level, times the largest number without its sign"
        )
    print("check_to_nf4: each number at its nearest level, times the block's scale.")


# Find the layer that must not be quantized


def _toy(planted: int) -> tuple[dict[str, Tensor], Callable[[], float]]:
    """Return matrices, and what a text costs with them: rounding one of them costs most."""
    drawn = torch.Generator().manual_seed(planted)
    matrices = {f"layer {n}": torch.randn(6, 6, generator=drawn) for n in range(5)}
    before = {name: one.clone() for name, one in matrices.items()}
    # the largest error is in one layer, and what matters most in another
    matrices[f"layer {(planted + 1) % 5}"] *= 3
    before[f"layer {(planted + 1) % 5}"] *= 3
    weight = {name: 20.0 if name == f"layer {planted}" else 1.0 for name in matrices}

    def loss() -> float:
        return 1 + sum(
            weight[name] * float((one - before[name]).pow(2).mean())
            for name, one in matrices.items()
        )

    return dict(matrices), loss  # who puts another tensor into it changes no model


@once_written
def check_most_sensitive(
    answer: Callable[[Mapping[str, Tensor], Rounding, Callable[[], float]], str],
) -> None:
    """Compare `answer(matrices, change, loss)` with a toy of which the sensitive layer is known.

    matrices: a model's own, by name; change: (out, in) -> its rounded copy; loss: what the text
    costs with the matrices as they are. The answer is the name of the one that, rounded alone,
    costs most; all are left as they were. Raises AssertionError with the misconception.
    """
    for planted in (1, 3, 0):
        matrices, loss = _toy(planted)
        own = dict(matrices)
        kept = {name: one.clone() for name, one in matrices.items()}
        names = list(matrices)
        change = torch.round
        costs = _costs(matrices, change, loss, together=False)
        piling = _costs(matrices, change, loss, together=True)
        errors = {name: float((change(one) - one).norm()) for name, one in matrices.items()}
        put_in = []
        given = answer(_Watched(matrices, put_in), change, loss)
        assert not put_in, (
            "you put a new matrix into the dictionary, where the model does not look: copy_ the "
            "rounded one into the matrix itself"
        )
        matrices = own
        left = [name for name in names if not torch.equal(matrices[name], kept[name])]
        assert not left, (
            f"{left[0]!r} is not what it was before: put each matrix back before the next is "
            "rounded, with copy_, or you measure them together"
        )
        right = max(costs, key=costs.__getitem__)
        wrong = (
            ("you returned the one that matters least: the largest loss is looked for",
             min(costs, key=costs.__getitem__)),
            ("you returned the matrix with the largest rounding error; how far a weight moves is "
             "not yet what that does to the text: ask loss()",
             max(errors, key=errors.__getitem__)),
            ("the matrices in front stayed rounded, so the last ones cost most: round one alone",
             max(piling, key=piling.__getitem__)),
        )  # fmt: skip
        assert isinstance(given, str), f"return a name, not {type(given).__name__}"
        name_the_first(wrong, given, right)
        assert given == right, f"{right!r} costs most when rounded alone; you returned {given!r}"
    print("check_most_sensitive: the one that costs most, and all matrices as they were.")


class _Watched(dict):
    """A dictionary that remembers what is put into it."""

    def __init__(self, matrices: Mapping[str, Tensor], put_in: list[str]):
        super().__init__(matrices)
        self._put_in = put_in

    def __setitem__(self, name: str, matrix: Tensor) -> None:
        if matrix is not self[name]:
            self._put_in.append(name)
        super().__setitem__(name, matrix)


def _costs(matrices, change: Rounding, loss: Callable, together: bool) -> dict[str, float]:
    costs, kept = {}, {name: one.clone() for name, one in matrices.items()}
    for name, one in matrices.items():
        one.copy_(change(one))
        costs[name] = loss()
        if not together:
            one.copy_(kept[name])
    for name, one in matrices.items():
        one.copy_(kept[name])
    return costs


# A model in 4 bits, from its config

_CONFIGS = {
    "wide": dict(hidden_size=128, intermediate_size=256, num_hidden_layers=2, vocab_size=150),
    "tied": dict(
        hidden_size=64, intermediate_size=192, num_hidden_layers=3, vocab_size=300,
        tie_word_embeddings=True, num_attention_heads=4, num_key_value_heads=1,
    ),
    "untied": dict(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, vocab_size=300,
        tie_word_embeddings=False, num_attention_heads=8, num_key_value_heads=2,
    ),
}  # fmt: skip


@once_written
def check_four_bit_bytes(answer: Callable[[LlamaConfig], float]) -> None:
    """Compare `answer(config)`, the bytes of a Llama with NF4 matrices, with a count of them.

    Matrices within layers: 4 bits a weight and 4 bytes for each block of 64. Tables and norms: 2
    bytes a number. Within one percent. Raises AssertionError with the misconception.
    """
    for fields in _CONFIGS.values():
        config = LlamaConfig(**fields)
        matrices, tables, norms = _numbers(config)
        table = config.vocab_size * config.hidden_size
        per = 0.5 + 4 / 64
        right = matrices * per + 2 * (tables + norms)
        heads, kept = config.num_attention_heads, config.num_key_value_heads
        full = 2 * config.num_hidden_layers * config.hidden_size**2 * (1 - kept / heads)
        given = answer(config)
        assert isinstance(given, int | float), f"return a number, not {type(given).__name__}"
        mlp = config.num_hidden_layers * config.hidden_size * config.intermediate_size
        wrong = (
            ("you left the scales out: each block of 64 has one of 4 bytes, half a bit a weight",
             right - matrices * 4 / 64),
            ("the table is left alone: 2 bytes a number, not half a byte",
             right - tables * (2 - per)),
            ("where tie_word_embeddings is set, table and head are one matrix: count it once",
             right + (2 * table if config.tie_word_embeddings else table * 1e9)),
            ("where tie_word_embeddings is not set, the head is a matrix of its own",
             right - (table * 1e9 if config.tie_word_embeddings else 2 * table)),
            ("keys and values have fewer rows where heads share them: num_key_value_heads",
             right + full * per if kept != heads else -1.0),
            ("the MLP has three matrices: gate, up and down", right - mlp * per),
            ("you counted one layer", right - matrices * per * (1 - 1 / config.num_hidden_layers)),
        )  # fmt: skip
        close = abs(given / right - 1) < 0.01
        for misconception, made in wrong:
            assert close or abs(given - made) > 0.002 * right, misconception
        assert close, (
            f"{matrices:,} weights in matrices, {tables:,} in tables and {norms:,} in norms take "
            f"{right:,.0f} bytes; you returned {given:,.0f}"
        )
    print("check_four_bit_bytes: matrices with their scales, and tables, within 1%.")


def _numbers(config: LlamaConfig) -> tuple[int, int, int]:
    """Count the numbers in the layers' matrices, in the tables, and in the norms."""
    hidden, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    kept = config.num_key_value_heads * size
    layer = 2 * hidden * hidden + 2 * hidden * kept + 3 * hidden * config.intermediate_size
    tables = config.vocab_size * hidden * (1 if config.tie_word_embeddings else 2)
    layers = config.num_hidden_layers
    return layers * layer, tables, (2 * layers + 1) * hidden

"""The checks of lesson 9 pass what is right, and name each misconception."""

import pytest
import torch

from llmcourse.checks import quantization


def round_trip(numbers, bits):
    most = 2 ** (bits - 1) - 1
    scale = (numbers.abs().amax(-1, keepdim=True) / most).clamp(min=1e-12)
    return (numbers / scale).round() * scale


def scaled(numbers, bits, scale, rounding=torch.round):
    return rounding(numbers / scale.clamp(min=1e-12)) * scale.clamp(min=1e-12)


def most(bits):
    return 2 ** (bits - 1) - 1


def largest(numbers):
    return numbers.abs().amax(-1, keepdim=True)


def in_place(numbers, bits):
    numbers.copy_(round_trip(numbers, bits))
    return numbers


def whole_steps(numbers, bits):
    return (numbers / (largest(numbers) / most(bits)).clamp(min=1e-12)).round()


WRONG_ROUND_TRIPS = {
    "divided zero by zero": lambda n, b: (
        (n / (largest(n) / most(b))).round() * (largest(n) / most(b))
    ),
    "whole numbers of steps": whole_steps,
    "one scale for everything": lambda n, b: scaled(n, b, n.abs().max() / most(b)),
    "cut the digits off": lambda n, b: scaled(n, b, largest(n) / most(b), torch.trunc),
    "towards zero or downwards": lambda n, b: scaled(n, b, largest(n) / most(b), torch.floor),
    "largest number with its sign": lambda n, b: (
        (n / (n.amax(-1, keepdim=True) / most(b)).clamp(min=1e-12)).round().clamp(-most(b), most(b))
        * (n.amax(-1, keepdim=True) / most(b)).clamp(min=1e-12)
    ),
    "you divided by 255": lambda n, b: scaled(n, b, largest(n) / (2**b - 1)),
    "you divided by 128": lambda n, b: scaled(n, b, largest(n) / (most(b) + 1)),
    "changed the numbers that were passed in": in_place,
    "is not on the levels": lambda n, b: n,
    "further away than its nearest level": lambda n, b: round_trip(n, b) + largest(n) / most(b),
    "you returned shape": lambda n, b: round_trip(n, b).flatten(),
    "not list": lambda n, b: round_trip(n, b).tolist(),
}


def test_a_right_round_trip_passes(capsys):
    quantization.check_round_trip(round_trip)
    quantization.check_round_trip(lambda n, b: scaled(n, b, largest(n) / most(b) + 1e-8))
    assert "each row has its scale" in capsys.readouterr().out


@pytest.mark.parametrize("message", WRONG_ROUND_TRIPS)
def test_a_wrong_round_trip_is_told_its_misconception(message):
    with pytest.raises(AssertionError, match=message):
        quantization.check_round_trip(WRONG_ROUND_TRIPS[message])


def pack(levels):
    return levels[..., ::2] | levels[..., 1::2] << 4


def unpack(packed):
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(-2)


WRONG_PACKS = {
    "the other way round": lambda one: one[..., ::2] << 4 | one[..., 1::2],
    "with its second half": lambda one: (
        one[..., : one.shape[-1] // 2] | one[..., one.shape[-1] // 2 :] << 4
    ),
    "you added two levels": lambda one: one[..., ::2] + one[..., 1::2],
    "the second of a pair is lost": lambda one: one[..., ::2],
    "keep uint8": lambda one: pack(one).int(),
    "two levels share a byte": lambda one: one,
    "the bytes are": lambda one: pack(one) ^ 1,
}
WRONG_UNPACKS = {
    "in the other order": lambda one: torch.stack([one >> 4, one & 15], -1).flatten(-2),
    "first all low halves": lambda one: torch.cat([one & 15, one >> 4], -1),
    "still has the second in it": lambda one: torch.stack([one, one >> 4], -1).flatten(-2),
    "16 times too large": lambda one: torch.stack([one & 15, one & 240], -1).flatten(-2),
    "each byte holds two": lambda one: one & 15,
    "levels are uint8": lambda one: unpack(one).float(),
    "you returned": lambda one: unpack(one) ^ 1,
}


def test_right_packing_passes_and_is_its_own_way_back():
    quantization.check_pack(pack)
    quantization.check_unpack(unpack)
    levels = torch.arange(16, dtype=torch.uint8)
    assert torch.equal(unpack(pack(levels)), levels)


@pytest.mark.parametrize("message", WRONG_PACKS)
def test_wrong_packing_is_told_its_misconception(message):
    with pytest.raises(AssertionError, match=message):
        quantization.check_pack(WRONG_PACKS[message])


@pytest.mark.parametrize("message", WRONG_UNPACKS)
def test_wrong_unpacking_is_told_its_misconception(message):
    with pytest.raises(AssertionError, match=message):
        quantization.check_unpack(WRONG_UNPACKS[message])


def compensated(weights, column, rounded, hessian, *, sign=-1, start=None, use=torch.linalg.inv):
    made = weights.clone()
    error = weights[:, column] - rounded
    made[:, column] = rounded
    first = column if start is None else start
    inverse = use(hessian[first:, first:])
    row = inverse[column - first, column - first :]
    made[:, column + 1 :] += sign * error[:, None] * row[1:] / row[0]
    return made


def in_front_too(weights, column, rounded, hessian):
    made = compensated(weights, column, rounded, hessian)
    made[:, :column] += 0.1
    return made


def without_the_column(weights, column, rounded, hessian):
    made = compensated(weights, column, rounded, hessian)
    made[:, column] = weights[:, column]
    return made


def not_divided(weights, column, rounded, hessian):
    made, error = weights.clone(), weights[:, column] - rounded
    made[:, column] = rounded
    made[:, column + 1 :] -= error[:, None] * torch.linalg.inv(hessian[column:, column:])[0, 1:]
    return made


def only_rounded(weights, column, rounded, hessian):
    made = weights.clone()
    made[:, column] = rounded
    return made


def compensated_in_place(weights, column, rounded, hessian):
    weights.copy_(compensated(weights, column, rounded, hessian))
    return weights


WRONG_COMPENSATION = {
    "did not move": only_rounded,
    "moved the wrong way": lambda *given: compensated(*given, sign=1),
    "inverse of the whole hessian": lambda *given: compensated(*given, start=0),
    "you took the hessian itself": lambda *given: compensated(*given, sign=1, use=lambda h: h),
    "divide by the inverse's own entry": not_divided,
    "in front of this one": in_front_too,
    "is not the rounded one": without_the_column,
    "changed the weights that were passed in": compensated_in_place,
    "as far off as they need be": lambda *given: compensated(*given, sign=-0.5),
}


def test_right_compensation_passes_in_either_precision():
    quantization.check_compensated(compensated)
    quantization.check_compensated(lambda *given: compensated(*given).float())


@pytest.mark.parametrize("message", WRONG_COMPENSATION)
def test_wrong_compensation_is_told_its_misconception(message):
    with pytest.raises(AssertionError, match=message):
        quantization.check_compensated(WRONG_COMPENSATION[message])


def to_nf4(block, levels):
    scale = block.abs().max()
    return levels[(block[:, None] / scale - levels).abs().argmin(-1)] * scale


WRONG_NF4 = {
    "you returned levels": lambda b, levels: to_nf4(b, levels) / b.abs().max(),
    "largest number without its sign": lambda b, levels: (
        levels[(b[:, None] / b.max() - levels).abs().argmin(-1)] * b.max()
    ),
    "the level below": lambda b, levels: (
        levels[(torch.bucketize(b / b.abs().max(), levels, right=True) - 1).clamp(min=0)]
        * b.abs().max()
    ),
    "evenly spaced": lambda b, levels: (b / b.abs().max() * 7).round() / 7 * b.abs().max(),
    "did not divide by the scale": lambda b, levels: (
        levels[(b[:, None] - levels).abs().argmin(-1)] * b.abs().max()
    ),
    "are not at their nearest level": lambda b, levels: b,
    "you returned shape": lambda b, levels: to_nf4(b, levels)[None],
}


def test_right_nf4_passes_in_either_precision():
    quantization.check_to_nf4(to_nf4)
    quantization.check_to_nf4(lambda b, levels: to_nf4(b, levels).double())


@pytest.mark.parametrize("message", WRONG_NF4)
def test_wrong_nf4_is_told_its_misconception(message):
    with pytest.raises(AssertionError, match=message):
        quantization.check_to_nf4(WRONG_NF4[message])


def most_sensitive(matrices, change, loss, *, pick=max, put_back=True):
    losses, kept = {}, {name: matrix.clone() for name, matrix in matrices.items()}
    for name, matrix in matrices.items():
        matrix.copy_(change(matrix))
        losses[name] = loss()
        if put_back:
            matrix.copy_(kept[name])
    return pick(losses, key=losses.get)


def put_back_late(matrices, change, loss):
    losses, kept = {}, {name: matrix.clone() for name, matrix in matrices.items()}
    for name, matrix in matrices.items():
        matrix.copy_(change(matrix))
        losses[name] = loss()
    for name, matrix in matrices.items():
        matrix.copy_(kept[name])
    return max(losses, key=losses.get)


def by_rounding_error(matrices, change, loss):
    return max(matrices, key=lambda name: float((change(matrices[name]) - matrices[name]).norm()))


def in_the_dictionary(matrices, change, loss):
    losses = {}
    for name, kept in list(matrices.items()):
        matrices[name] = change(kept)
        losses[name] = loss()
        matrices[name] = kept
    return max(losses, key=losses.get)


WRONG_SEARCHES = {
    "into the dictionary": in_the_dictionary,
    "matters least": lambda *given: most_sensitive(*given, pick=min),
    "largest rounding error": by_rounding_error,
    "stayed rounded": put_back_late,
    "is not what it was before": lambda *given: most_sensitive(*given, put_back=False),
    "return a name": lambda *given: 3,
    "costs most when rounded alone": lambda *given: "layer 2",
}


def test_a_right_search_passes():
    quantization.check_most_sensitive(most_sensitive)


@pytest.mark.parametrize("message", WRONG_SEARCHES)
def test_a_wrong_search_is_told_its_misconception(message):
    with pytest.raises(AssertionError, match=message):
        quantization.check_most_sensitive(WRONG_SEARCHES[message])


def four_bit_bytes(config, **wrong):
    per = wrong.get("per", 0.5 + 4 / 64)
    size = config.hidden_size // config.num_attention_heads
    kept = wrong.get("kept", config.num_key_value_heads) * size
    layers = wrong.get("layers", config.num_hidden_layers)
    mlp = wrong.get("mlp", 3) * config.hidden_size * config.intermediate_size
    matrices = layers * (2 * config.hidden_size**2 + 2 * config.hidden_size * kept + mlp)
    tables = wrong.get("tables", 1 if config.tie_word_embeddings else 2)
    table = tables * config.vocab_size * config.hidden_size
    norms = (2 * config.num_hidden_layers + 1) * config.hidden_size
    return matrices * per + table * wrong.get("each", 2) + 2 * norms


WRONG_SIZES = {
    "left the scales out": lambda config: four_bit_bytes(config, per=0.5),
    "the table is left alone": lambda config: four_bit_bytes(config, each=0.5 + 4 / 64),
    "count it once": lambda config: four_bit_bytes(config, tables=2),
    "a matrix of its own": lambda config: four_bit_bytes(config, tables=1),
    "heads share them": lambda config: four_bit_bytes(config, kept=config.num_attention_heads),
    "three matrices": lambda config: four_bit_bytes(config, mlp=2),
    "you counted one layer": lambda config: four_bit_bytes(config, layers=1),
    "you returned": lambda config: four_bit_bytes(config) * 1.05,
    "return a number": lambda config: str(four_bit_bytes(config)),
}


def test_a_right_size_passes():
    quantization.check_four_bit_bytes(four_bit_bytes)


@pytest.mark.parametrize("message", WRONG_SIZES)
def test_a_wrong_size_is_told_its_misconception(message):
    with pytest.raises(AssertionError, match=message):
        quantization.check_four_bit_bytes(WRONG_SIZES[message])


def test_the_size_that_is_checked_is_that_of_the_library_s_own_model():
    from transformers import LlamaConfig, LlamaForCausalLM

    for fields in quantization._CONFIGS.values():
        with torch.device("meta"):
            model = LlamaForCausalLM(LlamaConfig(**fields))
        counted = sum(one.numel() for one in model.parameters())
        assert counted == sum(quantization._numbers(model.config))

"""Bytes that are reckoned are those that are there: weights, caches, the peak of a pass."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmcourse.decoding.cache import LIBRARY, cache_in
from llmcourse.measure import cache_bytes, layers_of, peak_memory, reads, weight_bytes
from llmcourse.measure.memory import cache_after, held_bytes, storage_bytes
from llmcourse.measure.settings import CALLED
from tests.support.families import CONFIGS, FAMILIES, WINDOW, build, tiny
from tests.support.toy_models import random_llama

# What xlnet keeps is no cache of the library's, and RWKV's comes by another way.
WITH_CACHE = [name for name in FAMILIES if name not in ("xlnet", "rwkv")]


def llama(**sizes):
    small = {"vocab_size": 100, "hidden_size": 64, "intermediate_size": 128}
    small |= {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128}
    return random_llama(**small | sizes)


def real_cache(model, rows: int, length: int):
    ids = torch.randint(6, 90, (rows, length), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return cache_in(model(ids, use_cache=True))


@pytest.mark.parametrize("length", [3, 2 * WINDOW + 1])
@pytest.mark.parametrize("family", WITH_CACHE)
def test_the_reckoned_cache_is_the_real_one(family, length):
    model = tiny(family)
    kept = real_cache(model, 2, length)
    if kept is None:
        pytest.skip("this model keeps nothing")
    reckoned = cache_bytes(model.config, length, rows=2, dtype=model.dtype)
    assert reckoned == held_bytes(kept)


def test_a_state_does_not_grow_and_attention_does():
    state, attention = (
        [cache_bytes(tiny(family).config, length) for length in (10, 20)]
        for family in ("mamba", "llama")
    )
    assert state[0] == state[1] and 2 * attention[0] == attention[1]


def test_the_reckoned_bytes_follow_the_dtype():
    config = tiny("llama").config
    assert cache_bytes(config, 7) == 2 * cache_bytes(config, 7, dtype=torch.bfloat16)


def test_both_ways_to_reckon_agree():
    for family in ("llama", "mistral", "qwen3"):
        model = tiny(family)
        by_formula = sum(layer.bytes_at(20) for layer in layers_of(model))
        assert by_formula == cache_bytes(model.config, 20, dtype=model.dtype)


@pytest.mark.parametrize(("length", "rows"), [(0, 1), (3, 0)])
def test_nothing_is_not_reckoned(length, rows):
    with pytest.raises(ValueError, match="at least 1"):
        cache_bytes(tiny("llama").config, length, rows=rows)


def test_weights_are_counted_once():
    apart, tied = llama(tie_word_embeddings=False), llama(tie_word_embeddings=True)
    table = tied.get_input_embeddings().weight.nbytes
    assert weight_bytes(apart) - weight_bytes(tied) == table
    assert weight_bytes(tied.bfloat16()) < weight_bytes(apart) / 2 + 1000


def test_a_step_reads_no_input_table_that_is_not_the_last_layer():
    apart, tied = llama(tie_word_embeddings=False), llama(tie_word_embeddings=True)
    assert reads(apart, 10).weights == reads(tied, 10).weights == weight_bytes(tied)


def test_what_rows_share_is_read_once():
    model = tiny("llama")
    one, four = reads(model, 10), reads(model, 10, rows=4)
    assert four.weights == one.weights and four.cache == 4 * one.cache
    assert four.per_token < one.per_token
    assert one.limit(1.0) == pytest.approx(1e9 / one.per_token)


def expert_bytes(model) -> int:
    named = model.named_parameters()
    return sum(each.nbytes for name, each in named if ".experts." in name or each.ndim == 3)


def test_of_experts_those_are_read_that_a_token_is_sent_to():
    model = tiny("mixtral")
    assert model.config.num_experts_per_tok == 2 and model.config.num_local_experts == 4
    table = model.get_input_embeddings().weight.nbytes
    every = weight_bytes(model) - table
    one, many = reads(model, 10), reads(model, 10, rows=50)
    assert one.weights == every - expert_bytes(model) // 2
    assert many.weights == every, "so many rows are sent to all of them"
    assert one.weights < reads(model, 10, rows=2).weights < every
    assert not one.all_experts and "all experts" not in repr(one)


MIXED = sorted({"gpt_oss", "jetmoe", "glm4_moe", "granitemoe", "llama4_text"} & set(FAMILIES))


@pytest.mark.parametrize("family", MIXED)
def test_no_step_reads_less_than_nothing_or_more_than_all(family):
    model = tiny(family)
    read = reads(model, 10, cache=0)
    least = weight_bytes(model) - model.get_input_embeddings().weight.nbytes - expert_bytes(model)
    assert least < read.weights <= weight_bytes(model) and not read.all_experts


def test_where_nobody_says_how_many_experts_all_are_counted_and_it_is_said(monkeypatch):
    model = tiny("mixtral")
    monkeypatch.setitem(vars(model.config), "num_experts_per_tok", None)  # past its validation
    read = reads(model, 10, cache=0)
    assert read.weights == weight_bytes(model) - model.get_input_embeddings().weight.nbytes
    assert read.all_experts and "all experts counted" in repr(read)


def test_a_draft_that_is_right_makes_a_step_cheaper():
    one, three = (reads(tiny("llama"), 10, tokens=tokens) for tokens in (1.0, 3.0))
    assert three.per_token == pytest.approx(one.per_token / 3)


def test_a_place_in_memory_is_counted_once_and_whole():
    table = torch.zeros(4, 8)
    assert storage_bytes([table, table[1:], table.T, torch.zeros(2)]) == table.nbytes + 8


SETTINGS = {  # bytes of keys and values of 2 rows: 6 tokens were read, and 4 more are to come
    "dynamic": ({}, lambda token: 2 * 6 * token),
    "none": ({"use_cache": False}, lambda token: 0),
    "static": (
        {"cache_implementation": "static", "disable_compile": True},
        lambda token: 2 * (6 + 4 - 1) * token,
    ),
    "lookup": ({"prompt_lookup_num_tokens": 3}, lambda token: 2 * 6 * token),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_cache_is_the_one_that_the_setting_asks_for(name):
    settings, expected = SETTINGS[name]
    model = build("llama")  # a fresh one: the library keeps a larger static cache for the next call
    ids = torch.full((2, 6), 7)
    if name == "lookup":
        ids, expected = ids[:1], lambda token: 6 * token
    settings = {**settings, "max_new_tokens": 4}
    memory = peak_memory(model, ids, settings=settings, logits_to_keep=1)
    per_token = sum(layer.bytes_per_token for layer in layers_of(model))
    assert memory.cache == expected(per_token) == cache_after(model, ids, **settings)


def test_a_quantized_cache_is_smaller():
    if LIBRARY < (5, 23):
        pytest.skip("this library has no backend of its own for it")
    model, ids = tiny("llama"), torch.full((2, 6), 7)
    full = cache_after(model, ids, max_new_tokens=4)
    assert 4 * cache_after(model, ids, max_new_tokens=4, **CALLED["quantized"]) == full


def test_the_peak_holds_weights_cache_and_the_logits():
    model = llama(vocab_size=4000)
    memory = peak_memory(model, rows=2, prompt_tokens=30)
    assert memory.weights == weight_bytes(model)
    assert memory.cache == cache_bytes(model.config, 30, rows=2)
    logits = 2 * 30 * 4000 * 4
    assert memory.activations >= logits, "those of every position are there at once"
    last = peak_memory(model, rows=2, prompt_tokens=30, logits_to_keep=1)
    assert last.activations < memory.activations - logits / 2
    assert memory.peak == memory.weights + memory.cache + memory.activations
    assert "at the peak" in repr(memory)


def test_counting_writes_nothing(capfd):
    peak_memory(llama(), prompt_tokens=3)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_quantized_model_is_counted_with_its_scales(tmp_path):
    from llmcourse.models.load import quantization

    pytest.importorskip("bitsandbytes")
    model = llama(hidden_size=256, intermediate_size=512)
    model.save_pretrained(tmp_path)
    small = AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=quantization("4bit", "float32")
    )
    assert weight_bytes(small) > small.get_memory_footprint(), "which leaves the scales out"
    assert weight_bytes(small) < weight_bytes(model)


def test_8_bit_scales_are_counted_before_and_after_they_move(tmp_path):
    from llmcourse.models.load import quantization

    pytest.importorskip("bitsandbytes")
    llama(hidden_size=256, intermediate_size=512).save_pretrained(tmp_path)
    small = AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=quantization("8bit", None)
    )
    before = weight_bytes(small)
    with torch.no_grad():
        small(torch.tensor([[5, 6]]))
    assert weight_bytes(small) >= before


class Packed(torch.Tensor):
    """A matrix that stands for levels times a scale, as libraries make them."""

    @staticmethod
    def __new__(cls, levels, scale):
        return torch.Tensor._make_wrapper_subclass(cls, levels.shape)

    def __init__(self, levels, scale):
        self.levels, self.scale = levels, scale

    def __tensor_flatten__(self):
        return ["levels", "scale"], None

    @classmethod
    def __torch_dispatch__(cls, function, kinds, given, named=None):
        if function is torch.ops.aten.detach.default:
            return cls(given[0].levels, given[0].scale)
        raise NotImplementedError(function)


def test_a_tensor_that_is_made_of_others_is_counted_by_those():
    levels, scale = torch.zeros(8, 16, dtype=torch.int8), torch.zeros(8, 1)
    part = torch.nn.Linear(16, 8, bias=False)
    part.weight = torch.nn.Parameter(Packed(levels, Packed(scale, scale)), requires_grad=False)
    assert weight_bytes(part) == 8 * 16 + 8 * 4


def test_a_device_whose_memory_nobody_counts_is_refused():
    model = build("llama").to("meta")
    with pytest.raises(ValueError, match="meta"):
        peak_memory(model, torch.zeros(1, 3, dtype=torch.long, device="meta"))


def test_every_family_of_the_tests_is_asked():
    assert set(CONFIGS) <= set(WITH_CACHE)

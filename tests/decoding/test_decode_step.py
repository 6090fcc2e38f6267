"""Decode steps written by hand, in Python and in C++: they give the visible loop's tokens."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import llmcourse
from llmcourse.decoding.by_hand.decode_step import DecodeStep, dequantized
from llmcourse.decoding.by_hand.native_step import (
    NativeStep,
    eight_rounded,
    four_rounded,
    in_large_pages,
)
from llmcourse.decoding.by_hand.small_weights import KINDS
from tests.support.toy_models import random_llama

MAPS = Path("/proc/self/maps")
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on this machine")
SIZES = dict(
    vocab_size=512,
    hidden_size=128,
    intermediate_size=160,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    initializer_range=0.3,  # so that the likeliest token is likelier than others by far
    eos_token_id=None,
    pad_token_id=0,
)
LLAMA_3 = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=16,
)
LLAMAS = {
    "grouped queries": {},
    "as many keys as queries": {"num_key_value_heads": 4},
    "one matrix for input and output": {"tie_word_embeddings": True},
    "wide heads": {"head_dim": 64},
    "slowed positions": {"rope_parameters": LLAMA_3},
}
PROMPT = [7, 8, 9, 500]


def of_the_loop(model, prompt: list[int], new_tokens: int) -> list[int]:
    settings = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
    return llmcourse.generate(model, torch.tensor([prompt]), **settings)[0, len(prompt) :].tolist()


def toy(**changes) -> LlamaForCausalLM:
    return random_llama(**{**SIZES, **changes})


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "int8"])
@pytest.mark.parametrize("changes", LLAMAS.values(), ids=LLAMAS)
def test_the_step_gives_the_tokens_of_the_visible_loop(changes, kind):
    model = toy(**changes)
    step = DecodeStep(model, max_length=40, weights=kind)

    assert step.generate(PROMPT, 30) == of_the_loop(dequantized(model, kind), PROMPT, 30)


@pytest.mark.parametrize("changes", LLAMAS.values(), ids=LLAMAS)
@needs_compiler
def test_the_step_in_cpp_gives_the_tokens_of_the_visible_loop(changes):
    model = toy(**changes)
    step = NativeStep(model, max_length=40, threads=1)

    assert step.generate(PROMPT, 30) == of_the_loop(step.dequantized(model), PROMPT, 30)


@needs_compiler
@pytest.mark.parametrize("threads", [2, 3, 20])
def test_any_number_of_threads_gives_the_same_tokens(threads):
    model = toy()

    several, one = (NativeStep(model, max_length=20, threads=n) for n in (threads, 1))

    assert several.generate(PROMPT, 8) == one.generate(PROMPT, 8)


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux lists what lies where")
def test_the_stream_of_weights_is_private_for_what_is_shared_gets_small_pages():
    kept, found = in_large_pages(torch.arange(200, dtype=torch.uint8)), []

    for line in MAPS.read_text().splitlines():
        place, rights, *_ = line.split()
        first, last = (int(end, 16) for end in place.split("-"))
        found += [rights] if first <= kept.data_ptr() < last else []
    assert found == ["rw-p"]
    assert kept.tolist() == list(range(200))


def test_int4_multiplies_what_it_rounded_to():
    kind, weight = KINDS["int4"], torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 1, 96)

    product = kind.times(kind.pack(weight), x)

    torch.testing.assert_close(product, kind.rounded(weight) @ x, rtol=0.02, atol=0.05)


def test_int4_nearly_gives_the_tokens_of_the_visible_loop():
    model = toy()

    made = DecodeStep(model, weights="int4", max_length=20).generate(PROMPT, 2)

    assert made == of_the_loop(dequantized(model, "int4"), PROMPT, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_gives_back_the_rounded_row(kind):
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    row = KINDS[kind].row(KINDS[kind].pack_table(weight), torch.tensor([5]))

    torch.testing.assert_close(row, KINDS[kind].rounded(weight)[5])


@pytest.mark.parametrize("rounded", [four_rounded, eight_rounded])
def test_what_was_rounded_once_stays_as_it_is(rounded):
    once = rounded(torch.randn(32, 64, generator=torch.Generator().manual_seed(2)))

    assert torch.equal(rounded(once), once)


def test_a_new_text_does_not_see_the_one_before():
    step = DecodeStep(toy(), max_length=40)
    alone = step.generate([3, 4], 10)
    step.generate(PROMPT, 30)

    assert step.generate([3, 4], 10) == alone


def test_int8_reads_a_quarter_of_the_bytes():
    model = toy()
    as_float, as_int8 = (DecodeStep(model, max_length=8, weights=k) for k in ("float32", "int8"))

    assert 0.24 < as_int8.bytes_per_token / as_float.bytes_per_token < 0.28


def small(family, config, **changes):
    torch.manual_seed(0)
    return family(config(**{**SIZES, **changes})).eval()


def gpt2():
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=100))


REFUSED = {
    "the architecture GPT2LMHeadModel": gpt2,
    "q_norm.weight and others": lambda: small(Qwen3ForCausalLM, Qwen3Config),
    "the architecture MistralForCausalLM": lambda: small(MistralForCausalLM, MistralConfig),
    "q_proj.bias and others": lambda: small(LlamaForCausalLM, LlamaConfig, attention_bias=True),
    "the activation 'gelu'": lambda: toy(hidden_act="gelu"),
    "rotary embeddings of type 'dynamic'": lambda: toy(
        rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)
    ),
}


@pytest.mark.parametrize(("missing", "make"), REFUSED.items(), ids=REFUSED)
@pytest.mark.parametrize(
    "refusing", [DecodeStep, NativeStep, lambda model: dequantized(model, "int8")]
)
def test_another_model_is_refused_with_what_is_missing(missing, make, refusing):
    with pytest.raises(ValueError, match=missing):
        refusing(make())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "int3"}, "'int3' is not known"),
        ({"max_length": 65}, "max_length=65 must be from 1 to 64"),
        ({"max_length": 0}, "max_length=0"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DecodeStep(toy(), **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 500}, "500 rows"),
        ({"intermediate_size": 144}, "rows of 144 numbers"),
    ],
)
def test_int4_refuses_sizes_that_cannot_be_cut(changes, message):
    with pytest.raises(ValueError, match=message):
        DecodeStep(toy(**changes), max_length=8, weights="int4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 500}, "vocabulary in multiples of 16; it is 500"),
        ({"intermediate_size": 144}, "inner in multiples of 32; it is 144"),
    ],
)
def test_the_step_in_cpp_refuses_sizes_that_cannot_be_cut(changes, message):
    with pytest.raises(ValueError, match=message):
        NativeStep(toy(**changes), max_length=8)


@pytest.mark.parametrize(
    ("prompt", "new_tokens", "message"),
    [
        ([], 3, "prompt_ids is empty"),
        ([512], 3, "prompt_ids has 512"),
        ([-1], 3, "prompt_ids has -1"),
        ([1, 2], 0, "max_new_tokens=0"),
        ([1, 2], 7, "max_length=8"),
    ],
)
def test_what_cannot_be_generated_is_refused(prompt, new_tokens, message):
    step = DecodeStep(toy(), max_length=8)
    with pytest.raises(ValueError, match=message):
        step.generate(prompt, new_tokens)


@pytest.mark.parametrize("make", [lambda model: DecodeStep(model, compiled=True), NativeStep])
def test_without_a_compiler_the_error_says_so(make, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="no C\\+\\+ compiler"):
        make(toy(max_position_embeddings=512))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_course_s_model_gives_the_tokens_of_the_visible_loop(course_model, kind):
    model, tokenizer = course_model
    prompt = tokenizer("A list of colors: red, blue")["input_ids"]
    step = DecodeStep(model, max_length=40, weights=kind)

    assert step.generate(prompt, 12) == of_the_loop(dequantized(model, kind), prompt, 12)


@pytest.mark.slow
@needs_compiler
def test_the_course_s_weights_fit_into_the_step_in_cpp_unchanged(course_model):
    model, tokenizer = course_model
    prompt = tokenizer("A list of colors: red, blue")["input_ids"]
    weights = dict(NativeStep.dequantized(model).named_parameters())

    assert all(torch.equal(weights[name], part) for name, part in model.named_parameters())
    assert NativeStep(model, max_length=80).generate(prompt, 60) == of_the_loop(model, prompt, 60)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_compiled_step_gives_the_tokens_of_the_plain_one(kind):
    model = toy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = DecodeStep(model, max_length=16, weights=kind, compiled=True)
        made = compiled.generate(PROMPT, 6)

    assert made == DecodeStep(model, max_length=16, weights=kind).generate(PROMPT, 6)

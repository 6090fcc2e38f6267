"""Every kind of cache that runs in `generate` runs in the loop, and what does not says so."""

import pytest
import torch
from transformers import DynamicCache, StaticCache

import llmcourse
from llmcourse.decoding.cache import LIBRARY, cache_in
from tests.support.compare import assert_equal_output, assert_same_call, generate_as_the_library
from tests.support.families import CONFIGS, PAD, tiny
from tests.support.settings import EVERYTHING, NO_EOS, PROMPTS

CALL = {"max_new_tokens": 8, "pad_token_id": PAD, "do_sample": True, **NO_EOS}
NO_TOKENS_CACHED = ("mamba", "mamba2", "falcon_mamba")  # states instead; only "runs" applies


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("prompts", ["one", "unequal"])
def test_a_static_cache_gives_what_it_gives_in_generate(family, prompts):
    call = {**CALL, **PROMPTS[prompts], "cache_implementation": "static"}
    assert_same_call(tiny(family), **call)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "falcon_h1"])
def test_a_static_cache_may_be_handed_in(family):
    model = tiny(family)

    def run(**more):
        past = StaticCache(config=model.config, max_cache_len=32)
        call = {**CALL, **PROMPTS["unequal"], **more}
        return generate_as_the_library(model, **call, past_key_values=past)

    assert_equal_output(run(custom_generate=llmcourse.glass_box), run())


def test_a_static_cache_counts_its_tokens():
    walk = llmcourse.steps(tiny("llama"), **CALL, **PROMPTS["one"], cache_implementation="static")
    assert [step.cache_length for step in walk] == list(range(11, 19))


@pytest.mark.parametrize("family", [f for f in CONFIGS if f not in NO_TOKENS_CACHED])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_prompt_may_be_read_in_chunks(family, chunk):
    assert_same_call(tiny(family), **CALL, **PROMPTS["unequal"], prefill_chunk_size=chunk)


def test_chunks_are_read_one_after_the_other():
    model, read = tiny("llama"), []
    handle = model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        steps = list(
            llmcourse.steps(model, **PROMPTS["one"], max_new_tokens=3, prefill_chunk_size=4)
        )
    finally:
        handle.remove()
    assert read == [4, 4, 3, 1, 1], "11 tokens in chunks of 4, then one by one"
    assert steps[0].cache_length == 11


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_chunks_without_a_key_value_cache_are_refused(family):
    call = {**CALL, **PROMPTS["one"], "prefill_chunk_size": 4}
    call |= {"use_cache": False} if family == "llama" else {}
    with pytest.raises(ValueError, match=r"prefill_chunk_size=4.* needs a key-value cache"):
        llmcourse.generate(tiny(family), **call)


def test_chunks_with_a_cache_that_is_handed_in_and_not_used_are_refused():
    """Found by drawing calls: `generate` drops that cache after the first chunk."""
    model = tiny("llama")
    call = {**CALL, **PROMPTS["one"], "prefill_chunk_size": 50, "use_cache": False}
    name = "cache" if LIBRARY >= (5, 24) else "past_key_values"
    with pytest.raises(ValueError, match=r"prefill_chunk_size=50.* needs a key-value cache"):
        llmcourse.generate(model, **call, **{name: DynamicCache(config=model.config)})


def test_chunks_go_on_from_a_cache_that_is_handed_in():
    model, ids = tiny("llama"), PROMPTS["one"]["input_ids"]

    def run(**more):
        past = DynamicCache(config=model.config)
        with torch.no_grad():
            model(ids[:, :3], past_key_values=past)
        call = {**CALL, "input_ids": ids, "prefill_chunk_size": 3, **more}
        return generate_as_the_library(model, **call, past_key_values=past)

    if LIBRARY < (5, 21):
        with pytest.raises(ValueError, match="reads those tokens twice"):
            run(custom_generate=llmcourse.glass_box)
    else:
        assert_equal_output(run(custom_generate=llmcourse.glass_box), run())


def quantized(backend: str, prompts: str) -> dict:
    """Return a call, made anew: some versions of `generate` use its `cache_config` up."""
    call = {**CALL, **PROMPTS[prompts], "cache_implementation": "quantized"}
    return {**call, "cache_config": {"backend": backend}}


def test_a_cache_in_8_bit_floats_gives_what_it_gives_in_generate():
    """The one quantized cache that needs nothing installed; older versions lack it."""
    model = tiny("llama")
    try:
        theirs = generate_as_the_library(model, **quantized("fp8", "unequal"))
    except ValueError as error:
        assert "fp8" in str(error)
        with pytest.raises(ValueError, match="fp8"):
            llmcourse.generate(model, **quantized("fp8", "unequal"))
        return
    boxed = {"custom_generate": llmcourse.glass_box}
    ours = generate_as_the_library(model, **quantized("fp8", "unequal"), **boxed)
    assert_equal_output(ours, theirs)
    plain = generate_as_the_library(model, **{**CALL, **PROMPTS["unequal"]})
    assert not torch.equal(ours.logits[2], plain.logits[2]), "8 bits lose something"


@pytest.mark.parametrize("backend", ["quanto", "hqq"])
def test_a_quantized_cache_without_its_package_fails_as_in_generate(backend):
    with pytest.raises(ImportError) as theirs:
        tiny("llama").generate(**quantized(backend, "one"))
    with pytest.raises(ImportError) as ours:
        llmcourse.generate(tiny("llama"), **quantized(backend, "one"))
    assert str(ours.value) == str(theirs.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to offload from")
@pytest.mark.parametrize("kind", ["offloaded", "offloaded_static"])
def test_offloading_without_a_gpu_is_refused_by_name(kind):
    call = {**CALL, **PROMPTS["one"], "cache_implementation": kind}
    with pytest.raises((AssertionError, RuntimeError)):
        tiny("llama").generate(**call)
    with pytest.raises((ValueError, RuntimeError)) as ours:
        llmcourse.generate(tiny("llama"), **call)
    if isinstance(ours.value, ValueError):
        assert f"cache_implementation={kind} moves the cache from the GPU" in str(ours.value)


def test_the_cache_comes_back_in_the_output_for_a_state_space_model_too():
    for family in ("llama", "mamba"):
        call = {**CALL, **PROMPTS["one"], **EVERYTHING}
        theirs = tiny(family).generate(**call)
        ours = llmcourse.generate(tiny(family), **call)
        assert list(ours.keys()) == list(theirs.keys())


def test_an_output_that_has_its_cache_under_the_newest_name_is_not_asked_for_older_ones():
    class Output(dict):
        def get(self, name, default=None):
            assert name == "cache", f"{name} warns, in the library's own outputs"
            return super().get(name, default)

    held = DynamicCache()
    assert cache_in(Output(cache=held)) is held

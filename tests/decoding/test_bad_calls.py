"""Bad calls: what `generate` raises, the loop raises through each of its doors.

Each table is name -> the arguments that make a sound call a bad one. `STRICTER` holds the calls
where the loop says something else on purpose, with the reason.
"""

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import DynamicCache, StaticCache

import llmcourse
from llmcourse.decoding.cache import LIBRARY
from tests.support.families import PAD, build, tiny
from tests.support.grid_space import Recorder, assistant

IDS = torch.tensor([[7, 8, 9, 10, 11]])
BATCH = torch.tensor([[7, 8, 9, 10, 11], [PAD, PAD, 12, 13, 14]])
CALL = {"input_ids": IDS, "max_new_tokens": 3}
SAMPLING = {"do_sample": True}
BEAMS = {"num_beams": 3}
LOOKUP = {"prompt_lookup_num_tokens": 3}


class Thing:
    """Something that `generate` cannot use at all."""


def same() -> dict:
    return {"assistant_model": assistant("llama", "same")}


def returns(value):
    return lambda *args, **kwargs: value


def divide_by_zero(*args, **kwargs):
    return 1 / 0


# A setting of the wrong type, or outside its range.
SETTINGS = {
    "temperature_0": {**SAMPLING, "temperature": 0.0},
    "temperature_negative": {**SAMPLING, "temperature": -1.0},
    "temperature_an_integer": {**SAMPLING, "temperature": 2},
    "temperature_text": {**SAMPLING, "temperature": "hot"},
    "top_k_negative": {**SAMPLING, "top_k": -1},
    "top_k_a_fraction": {**SAMPLING, "top_k": 2.5},
    "top_k_text": {**SAMPLING, "top_k": "5"},
    "top_p_negative": {**SAMPLING, "top_p": -0.1},
    "top_p_text": {**SAMPLING, "top_p": "0.9"},
    "min_p_above_1": {**SAMPLING, "min_p": 1.5},
    "min_p_negative": {**SAMPLING, "min_p": -0.5},
    "top_h_0": {**SAMPLING, "top_h": 0.0},
    "top_h_above_1": {**SAMPLING, "top_h": 2.0},
    "typical_p_0": {**SAMPLING, "typical_p": 0.0},
    "typical_p_negative": {**SAMPLING, "typical_p": -1.0},
    "repetition_penalty_0": {"repetition_penalty": 0.0},
    "repetition_penalty_negative": {"repetition_penalty": -1.0},
    "repetition_penalty_an_integer": {"repetition_penalty": 2},
    "repetition_penalty_text": {"repetition_penalty": "1.2"},
    "encoder_repetition_penalty_negative": {"encoder_repetition_penalty": -1.0},
    "encoder_repetition_penalty_an_integer": {"encoder_repetition_penalty": 2},
    "no_repeat_ngram_size_a_fraction": {"no_repeat_ngram_size": 2.5},
    "no_repeat_ngram_size_text": {"no_repeat_ngram_size": "2"},
    "encoder_no_repeat_ngram_size_a_fraction": {"encoder_no_repeat_ngram_size": 1.5},
    "bad_words_empty": {"bad_words_ids": []},
    "bad_words_flat": {"bad_words_ids": [3, 4]},
    "bad_words_negative": {"bad_words_ids": [[-3]]},
    "bad_words_outside_the_vocabulary": {"bad_words_ids": [[500]]},
    "bad_words_text": {"bad_words_ids": ["no"]},
    "sequence_bias_empty": {"sequence_bias": {}},
    "sequence_bias_of_integers": {"sequence_bias": {(3,): 1}},
    "sequence_bias_flat": {"sequence_bias": [[3, 1.0]]},
    "sequence_bias_outside_the_vocabulary": {"sequence_bias": [[[500], 1.0]]},
    "sequence_bias_text": {"sequence_bias": "x"},
    "min_length_a_fraction": {"min_length": 7.5},
    "min_new_tokens_a_fraction": {"min_new_tokens": 1.5},
    "min_new_tokens_text": {"min_new_tokens": "3"},
    "max_new_tokens_0": {"max_new_tokens": 0},
    "max_new_tokens_negative": {"max_new_tokens": -2},
    "max_new_tokens_text": {"max_new_tokens": "3"},
    "max_new_tokens_list": {"max_new_tokens": [3]},
    "max_length_within_the_prompt": {"max_new_tokens": None, "max_length": 3},
    "max_length_text": {"max_new_tokens": None, "max_length": "30"},
    "max_time_text": {"max_time": "long"},
    "forced_eos_outside_the_vocabulary": {"forced_eos_token_id": 500},
    "forced_eos_negative": {"forced_eos_token_id": -1},
    "forced_eos_text": {"forced_eos_token_id": "x"},
    "length_decay_scalar": {"exponential_decay_length_penalty": 1.5},
    "suppress_tokens_scalar": {"suppress_tokens": 5},
    "suppress_tokens_text": {"suppress_tokens": "5"},
    "begin_suppress_tokens_scalar": {"begin_suppress_tokens": 5},
    "guidance_scale_text": {"guidance_scale": "a"},
    "watermark_unknown_key": {"watermarking_config": {"nope": 1}},
    "watermark_unknown_scheme": {"watermarking_config": {"seeding_scheme": "x"}},
    "watermark_text": {"watermarking_config": "green"},
    "num_return_sequences_text": {**SAMPLING, "num_return_sequences": "2"},
    "num_return_sequences_a_fraction": {**SAMPLING, "num_return_sequences": 1.5},
    "eos_text": {"eos_token_id": "</s>"},
    "pad_text": {"pad_token_id": "x"},
    "pad_list": {"pad_token_id": [0]},
    "cache_of_an_unknown_kind": {"cache_implementation": "elastic"},
    "cache_kind_a_number": {"cache_implementation": 3},
    "quantized_without_its_backend": {"cache_implementation": "quantized"},
    "compile_config_text": {"compile_config": "fast"},
    "ensemble_weight_above_1": {"assistant_ensemble_weight": 2.0},
    "generation_config_dict": {"generation_config": {"max_new_tokens": 3}},
    "generation_config_text": {"generation_config": "greedy"},
    "unknown_keyword": {"max_new_token": 3},
    "misspelled_keyword": {"temprature": 0.5},
    "token_types_of_a_model_without": {"token_type_ids": torch.zeros_like(IDS)},
}

# Settings that do not go together, and objects that do not work.
COMBINATIONS = {
    "greedy_with_several_sequences": {"num_return_sequences": 2},
    "length_decay_without_eos": {
        "exponential_decay_length_penalty": (1, 1.5),
        "eos_token_id": None,
    },
    "forced_eos_suppressed": {"forced_eos_token_id": 5, "suppress_tokens": [5]},
    "every_token_suppressed": {**SAMPLING, "suppress_tokens": list(range(97))},
    "prefix_function_missing": {"prefix_allowed_tokens_fn": [3]},
    "prefix_function_allows_nothing": {"prefix_allowed_tokens_fn": returns([])},
    "prefix_function_outside_the_vocabulary": {"prefix_allowed_tokens_fn": returns([500])},
    "negative_prompts_of_two_rows": {
        "guidance_scale": 1.5,
        "negative_prompt_ids": torch.tensor([[7], [8]]),
    },
    "negative_prompts_of_floats": {
        "guidance_scale": 1.5,
        "negative_prompt_ids": torch.tensor([[7.5]]),
    },
    "criteria_are_no_list": {"stopping_criteria": Thing()},
    "criterion_cannot_be_called": {"stopping_criteria": [Thing()]},
    "criterion_returns_none": {"stopping_criteria": [returns(None)]},
    "criterion_of_another_batch": {"stopping_criteria": [returns(torch.zeros(3).bool())]},
    "criterion_fails": {"stopping_criteria": [divide_by_zero]},
    "processors_are_no_list": {"logits_processor": Thing()},
    "embeddings_of_another_width": {"input_ids": None, "inputs_embeds": torch.randn(1, 4, 31)},
    "embeddings_and_ids_of_another_width": {"inputs_embeds": torch.randn(1, 5, 31)},
    "processor_cannot_be_called": {"logits_processor": [Thing()]},
    "processor_returns_none": {"logits_processor": [returns(None)]},
    "processor_returns_a_list": {"logits_processor": [returns([1.0, 2.0])]},
    "processor_returns_no_rows": {
        "prompt_lookup_num_tokens": 2,
        "logits_processor": [lambda ids, scores: scores[:-1]],
    },
    "processor_returns_rows_twice": {
        "prompt_lookup_num_tokens": 2,
        "logits_processor": [lambda ids, scores: torch.cat([scores, scores])],
    },
    "processor_returns_another_vocabulary": {
        "prompt_lookup_num_tokens": 2,
        "logits_processor": [lambda ids, scores: scores[:, :-1]],
    },
    "criterion_returns_no_rows": {
        "stopping_criteria": [returns(torch.ones(0, dtype=torch.bool))],
    },
    "processor_returns_a_number": {**SAMPLING, "logits_processor": [returns(torch.tensor(1.0))]},
    "processor_returns_none_when_sampling": {**SAMPLING, "logits_processor": [returns(None)]},
    "processor_fails": {"logits_processor": [divide_by_zero]},
    "stop_strings_without_a_tokenizer": {"stop_strings": ["a"]},
    "no_stop_strings_without_a_tokenizer": {"stop_strings": []},
    "prompt_twice": {"inputs": IDS},
    "prompt_and_bos_missing": {"input_ids": None, "bos_token_id": None},
    "embeddings_text": {"input_ids": None, "inputs_embeds": "x"},
    "ids_outside_the_vocabulary": {"input_ids": torch.tensor([[7, 97]])},
    "ids_negative": {"input_ids": torch.tensor([[7, -1]])},
    "mask_of_four_dimensions": {"attention_mask": torch.ones(1, 1, 5, 5)},
    "mask_on_another_device": {"attention_mask": torch.ones(1, 5, device="meta")},
    "positions_too_short": {"position_ids": torch.arange(3)[None]},
    "positions_text": {"position_ids": "x"},
    "streamer_cannot_put": {"streamer": Thing()},
    "cache_and_kind": lambda: {
        "cache_implementation": "static",
        "past_key_values": DynamicCache(),
    },
    "cache_of_tuples": {"past_key_values": ((torch.zeros(1, 2, 3, 8),) * 2,) * 2},
    "cache_object": {"past_key_values": Thing()},
    "cache_text": {"past_key_values": "x"},
    "dola": {"dola_layers": "low"},
    "contrastive_search": {"penalty_alpha": 0.6, "top_k": 4},
    "token_healing_without_a_tokenizer": {"token_healing": True},
    "multi_token_prediction_without_heads": {"use_mtp": True},
}

BEAM_SEARCH = {
    "beams_0": {"num_beams": 0},
    "beams_negative": {"num_beams": -1},
    "beams_a_fraction": {"num_beams": 2.5},
    "beams_text": {"num_beams": "2"},
    "more_sequences_than_beams": {**BEAMS, "num_return_sequences": 4},
    "more_sampled_sequences_than_beams": {**BEAMS, **SAMPLING, "num_return_sequences": 4},
    "early_stopping_text": {**BEAMS, "early_stopping": "sometimes"},
    "early_stopping_2": {**BEAMS, "early_stopping": 2},
    "early_stopping_text_without_beams": {"early_stopping": "no"},
    "length_penalty_text": {**BEAMS, "length_penalty": "a"},
    "streamer": lambda: {**BEAMS, "streamer": Recorder()},
    "low_memory": {**BEAMS, "low_memory": True},
    "group_beams": {"num_beams": 4, "num_beam_groups": 2},
    "forced_words": {"num_beams": 2, "force_words_ids": [[3]]},
    "constraints": {"num_beams": 2, "constraints": []},
    "temperature_0": {**BEAMS, **SAMPLING, "temperature": 0.0},
    "max_length_within_the_prompt": {**BEAMS, "max_new_tokens": None, "max_length": 3},
    "processor_fails": {**BEAMS, "logits_processor": [divide_by_zero]},
    "processor_returns_none": {**BEAMS, "logits_processor": [returns(None)]},
    "criterion_returns_none": {**BEAMS, "stopping_criteria": [returns(None)]},
    "every_token_suppressed": {**BEAMS, **SAMPLING, "suppress_tokens": list(range(97))},
    "negative_prompt_of_one_row": {
        **BEAMS,
        "guidance_scale": 1.5,
        "negative_prompt_ids": torch.tensor([[7]]),
    },
    "cache_of_one_row": lambda: {**BEAMS, "past_key_values": cache_of_two_tokens()},
}

DRAFTING = {
    "lookup_of_a_batch": {**LOOKUP, "input_ids": BATCH},
    "lookup_of_several_sequences": {**LOOKUP, **SAMPLING, "num_return_sequences": 2},
    "lookup_0": {"prompt_lookup_num_tokens": 0},
    "lookup_negative": {"prompt_lookup_num_tokens": -1},
    "lookup_text": {"prompt_lookup_num_tokens": "3"},
    "lookup_ngram_negative": {**LOOKUP, "max_matching_ngram_size": -1},
    "lookup_ngram_text": {**LOOKUP, "max_matching_ngram_size": "2"},
    "lookup_without_cache": {**LOOKUP, "use_cache": False},
    "lookup_with_ensemble_weight": {**LOOKUP, "assistant_ensemble_weight": 0.5},
    "lookup_temperature_0": {**LOOKUP, **SAMPLING, "temperature": 0.0},
    "lookup_processor_fails": {**LOOKUP, "logits_processor": [divide_by_zero]},
    "assistant_text": {"assistant_model": "gpt2"},
    "assistant_without_cache": lambda: {**same(), "use_cache": False},
    "assistant_of_a_batch": lambda: {**same(), "input_ids": BATCH},
    "assistant_of_several_sequences": lambda: {**same(), **SAMPLING, "num_return_sequences": 2},
    "assistant_with_a_needless_tokenizer": lambda: {**same(), "assistant_tokenizer": Thing()},
    "assistant_of_another_vocabulary": lambda: {"assistant_model": build("llama", vocab_size=50)},
}

CACHE_AND_PREFILL = {
    "chunk_0": {"prefill_chunk_size": 0},
    "chunk_negative": {"prefill_chunk_size": -1},
    "chunk_a_fraction": {"prefill_chunk_size": 1.5},
    "chunk_text": {"prefill_chunk_size": "2"},
    "chunk_without_cache": {"prefill_chunk_size": 2, "use_cache": False},
    "max_cache_len_text": {"cache_implementation": "static", "max_cache_len": "9"},
    "static_cache_too_short": lambda: {
        "past_key_values": StaticCache(config=tiny("llama").config, max_cache_len=4)
    },
}

STATIC = {"cache_implementation": "static"}
DRAFTS_IN_A_STATIC_CACHE = {
    "lookup_in_a_static_cache": {**LOOKUP, **STATIC},
    "assistant_in_a_static_cache": lambda: {**same(), **STATIC},
}
if LIBRARY < (5, 24):  # from then on `generate` runs some of them and fails on others
    DRAFTING |= DRAFTS_IN_A_STATIC_CACHE

BAD_CALLS = {
    f"{title}-{name}": call
    for title, calls in {
        "setting": SETTINGS,
        "combination": COMBINATIONS,
        "beams": BEAM_SEARCH,
        "drafting": DRAFTING,
        "cache": CACHE_AND_PREFILL,
    }.items()
    for name, call in calls.items()
}

# Calls that the library took before, or that the two fail on at another place there.
SINCE_5_23 = {"combination-forced_eos_suppressed", "combination-positions_text"}
OLD = Version(transformers.__version__) < Version("5.23")

LATE = "torch fails in the model, without a word about the argument; the loop looks at it first"
IDS_FIRST = "`generate` trips over the type; the loop says what ids are"
# name -> (the arguments, the type that `llmcourse.generate` and `steps` raise, why not another)
STRICTER = {
    "ids_of_floats": ({"input_ids": IDS.float()}, TypeError, LATE),
    "ids_of_booleans": ({"input_ids": IDS > 8}, TypeError, LATE),
    "ids_of_bytes": ({"input_ids": IDS.to(torch.uint8)}, TypeError, LATE),
    "ids_of_one_dimension": ({"input_ids": IDS[0]}, ValueError, LATE),
    "ids_of_three_dimensions": ({"input_ids": IDS[None]}, ValueError, LATE),
    "ids_empty": ({"input_ids": IDS[:, :0]}, ValueError, LATE),
    "ids_of_no_rows": ({"input_ids": IDS[:0]}, ValueError, LATE),
    "ids_list": ({"input_ids": [[7, 8]]}, TypeError, IDS_FIRST),
    "ids_text": ({"input_ids": "hello"}, TypeError, IDS_FIRST),
    "ids_dict": ({"input_ids": None, "inputs": {"input_ids": IDS}}, TypeError, IDS_FIRST),
    "mask_list": ({"attention_mask": [[1] * 5]}, TypeError, IDS_FIRST),
    "mask_text": ({"attention_mask": "all"}, TypeError, IDS_FIRST),
    "mask_of_one_dimension": ({"attention_mask": torch.ones(5)}, ValueError, LATE),
    "mask_too_short": ({"attention_mask": torch.ones(1, 4)}, ValueError, LATE),
    "mask_of_two_rows": ({"attention_mask": torch.ones(2, 5)}, ValueError, LATE),
    "ids_on_another_device": (
        {"input_ids": IDS.to("meta")},
        NotImplementedError,
        "a kind of RuntimeError: looking at the ids fails a little earlier than in `generate`",
    ),
    "custom_generate_that_is_nowhere": (
        {"custom_generate": "nowhere"},
        ValueError,
        "the loop is what runs, so another recipe is refused before it is looked for",
    ),
    "offloaded_cache_without_a_gpu": (
        {"cache_implementation": "offloaded"},
        ValueError,
        "`generate` fails deep in torch; the loop says what is missing",
    ),
}


def cache_of_two_tokens() -> DynamicCache:
    cache = DynamicCache(config=tiny("llama").config)
    with torch.no_grad():
        tiny("llama")(IDS[:, :2], past_key_values=cache)
    return cache


def complete(bad) -> dict:
    """Return a sound call with its bad part put in, everything made anew."""
    call = {**CALL, **(bad() if callable(bad) else bad)}
    return {name: value for name, value in call.items() if name != "input_ids" or value is not None}


def by_generate(model, **call):
    return llmcourse.generate(model, **call)


def by_steps(model, **call):
    return list(llmcourse.steps(model, **call))


def by_box(model, **call):
    return model.generate(**call, custom_generate=llmcourse.glass_box)


DOORS = {"generate": by_generate, "steps": by_steps, "glass_box": by_box}
NOT_HANDED_ON = {"assistant_model", "assistant_tokenizer", "streamer", "custom_generate"}


def outcome(door, model, bad) -> Exception | str:
    """Return the error, or what came back where there should have been one."""
    torch.manual_seed(0)
    try:
        result = door(model, **complete(bad))
    except Exception as error:
        return error
    return f"no error, but a {type(result).__name__}"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_call_raises_what_generate_raises(name, door):
    model, bad = tiny("llama"), BAD_CALLS[name]
    if door == "glass_box" and NOT_HANDED_ON & complete(bad).keys():
        pytest.skip("`generate` does not hand this argument to a function")
    if OLD and name in SINCE_5_23:
        pytest.skip("this call is for transformers 5.23 and newer")
    theirs = outcome(type(model).generate, model, bad)
    ours = outcome(DOORS[door], model, bad)
    assert isinstance(theirs, Exception), f"not a bad call: {theirs}"
    assert type(ours) is type(theirs), f"ours: {ours!r}; the library's: {theirs!r}"


@pytest.mark.parametrize("name", STRICTER)
def test_where_the_loop_raises_something_else_it_is_on_purpose(name):
    model, (bad, kind, why) = tiny("llama"), STRICTER[name]
    if name == "offloaded_cache_without_a_gpu" and torch.version.cuda:
        pytest.skip("a torch that was built for GPUs runs this, or fails in its own way")
    theirs = outcome(type(model).generate, model, bad)
    assert isinstance(theirs, Exception), f"not a bad call: {theirs}"
    assert type(theirs) is not kind, f"no longer different: {why}"
    for door in ("generate", "steps"):
        assert type(outcome(DOORS[door], model, bad)) is kind, why
    if not NOT_HANDED_ON & bad.keys():  # what fails before a function is called fails the same
        assert type(outcome(by_box, model, bad)) in (kind, type(theirs))


def test_the_list_of_bad_calls_does_not_shrink_unnoticed():
    print(f"{len(BAD_CALLS)} bad calls that fail alike, {len(STRICTER)} that the loop words better")
    assert len(BAD_CALLS) >= 140
    assert len(STRICTER) <= 21, "another difference from the library? Say why"


@pytest.mark.parametrize("name", DRAFTS_IN_A_STATIC_CACHE)
def test_drafts_in_a_static_cache_are_refused_by_name(name):
    call = DRAFTS_IN_A_STATIC_CACHE[name]
    for door in ("generate", "steps"):
        error = outcome(DOORS[door], tiny("llama"), call() if callable(call) else call)
        assert type(error) is ValueError
        assert "StaticCache cannot be rolled back" in str(error) or LIBRARY < (5, 18)

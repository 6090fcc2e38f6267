"""What the loop refuses: at the call, by name, with the way out; and what it fails on as usual."""

import inspect
import logging
import re
import warnings
from pathlib import Path

import pytest
import torch
import transformers
from transformers import DynamicCache, GenerationConfig
from transformers.utils import logging as hf_logging

import llmcourse
from llmcourse.decoding import refusals
from llmcourse.decoding.model_inputs import _FED_AS_USUAL
from tests.support.families import PAD, VOCAB, build, tiny, tiny_t5

IDS = torch.tensor([[7, 8, 9, 10, 11]])
CALL = {"input_ids": IDS, "max_new_tokens": 3}
BATCH = torch.tensor([[7, 8, 9, 10, 11], [PAD, PAD, 12, 13, 14]])
DOORS = {"steps": llmcourse.steps, "generate": llmcourse.generate}


def the_box(model, **call):
    return model.generate(**call, custom_generate=llmcourse.glass_box)


def error_of(function, *args, **kwargs) -> Exception:
    with pytest.raises(Exception) as caught:
        function(*args, **kwargs)
    return caught.value


def assert_no_forward(model, function, **call) -> Exception:
    """Return the error of the call, which must come before the model has run."""
    ran = []
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        error = error_of(function, model, **call)
    finally:
        handle.remove()
    assert not ran, "the model ran before the refusal"
    return error


# Settings of `generate` that the loop does not have: (arguments, name in the message, value in it).
NOT_BUILT = {
    "group_beams": ({"num_beams": 4, "num_beam_groups": 2}, "num_beam_groups", "2"),
    "contrastive": ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha", "0.6"),
    "dola": ({"dola_layers": "low"}, "dola_layers", "low"),
    "constrained": ({"force_words_ids": [[3]], "num_beams": 2}, "force_words_ids", "[[3]]"),
    "low_memory": ({"num_beams": 2, "low_memory": True}, "low_memory", "True"),
    "in_a_generation_config": (
        {"generation_config": GenerationConfig(penalty_alpha=0.6), "max_new_tokens": None},
        "penalty_alpha",
        "0.6",
    ),
}


@pytest.mark.parametrize("door", [*DOORS.values(), the_box], ids=[*DOORS, "glass_box"])
@pytest.mark.parametrize("case", NOT_BUILT)
def test_a_setting_that_the_loop_lacks_is_refused_by_name_before_the_model_runs(case, door):
    arguments, name, value = NOT_BUILT[case]
    error = assert_no_forward(tiny("llama"), door, **{**CALL, **arguments})
    assert type(error) is ValueError
    assert f"{name}={value}" in str(error)
    assert "model.generate(...)" in str(error), "the way out"


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_continuous_batching_is_refused_before_it_starts(door, monkeypatch):
    """`cache_implementation="paged"` makes `generate` leave for `generate_batch` (7 GB)."""
    model = tiny("llama")
    monkeypatch.setattr(type(model), "generate_batch", lambda *_, **__: pytest.fail("started"))
    error = error_of(door, model, **CALL, cache_implementation="paged")
    assert type(error) is ValueError
    assert "cache_implementation=paged" in str(error)


@pytest.mark.parametrize("door", [*DOORS.values(), the_box], ids=[*DOORS, "glass_box"])
@pytest.mark.parametrize("known", [5, 6])
def test_a_cache_that_leaves_nothing_to_read_is_refused(door, known):
    model, cache = tiny("llama"), DynamicCache(config=tiny("llama").config)
    with torch.no_grad():
        model(torch.full((1, known), 7), past_key_values=cache)
    error = assert_no_forward(model, door, **CALL, past_key_values=cache)
    assert type(error) is ValueError
    assert f"past_key_values holds {known} tokens" in str(error)
    assert "crop" in str(error)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("custom_generate", lambda *_, **__: None),
        ("custom_generate", "owner/repository"),
    ],
)
def test_an_argument_that_generate_would_not_hand_on_is_refused(door, name, value):
    error = assert_no_forward(tiny("llama"), door, **CALL, **{name: value})
    assert type(error) is ValueError
    assert f"{name}=" in str(error)
    assert f"model.generate({name}=...)" in str(error)


@pytest.mark.parametrize("name", ["pixel_values", "encoder_outputs", "mm_token_type_ids"])
def test_inputs_of_other_kinds_are_refused_by_name(name):
    made = llmcourse.ingredients(tiny("llama"), **CALL)
    made.model_kwargs[name] = torch.zeros(1, 3)
    error = error_of(llmcourse.glass_box, tiny("llama"), **made.for_the_loop())
    assert type(error) is ValueError
    assert name in str(error) and f"leave {name} out" in str(error)


@pytest.mark.parametrize("door", [*DOORS.values(), the_box], ids=[*DOORS, "glass_box"])
def test_an_encoder_decoder_model_is_refused(door):
    error = error_of(door, tiny_t5(), **CALL)
    assert type(error) is ValueError
    assert "T5ForConditionalGeneration is an encoder-decoder model" in str(error)
    assert "AutoModelForCausalLM" in str(error)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_model_that_cannot_generate_is_refused(door):
    for thing in (torch.nn.Linear(2, 2), tiny("llama").model):
        error = error_of(door, thing, **CALL)
        assert type(error) is TypeError
        assert f"{type(thing).__name__} has no `generate`" in str(error)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("name", ["MoshiForConditionalGeneration", "JanusForConditionalGeneration"])
def test_a_model_with_a_generate_of_its_own_is_refused(name, door):
    made = getattr(transformers, name)
    model = made.__new__(made)  # without weights: it is refused for its class
    torch.nn.Module.__init__(model)
    error = error_of(door, model, **CALL)
    assert type(error) is ValueError and f"{name} has a `generate` of its own" in str(error)


@pytest.mark.slow
def test_a_compiled_model_runs_in_the_loop():
    model = build("llama")
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(llmcourse.generate(compiled, **CALL), model.generate(**CALL))


@pytest.mark.slow
def test_every_causal_model_of_the_library_is_fed_as_usual_or_followed():
    """Overriding how a step is prepared, in a class that the loop lets through, would be silent."""
    from transformers.generation import GenerationMixin
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    what_the_loop_stands_in_for = (
        "_sample",
        "_prefill",
        "_update_model_kwargs_for_generation",
        "generate",
    )
    silent = []
    for kind, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        model_class = getattr(transformers, name if isinstance(name, str) else name[0], None)
        if model_class is None:
            continue
        own_preparation = (
            model_class.prepare_inputs_for_generation
            is not GenerationMixin.prepare_inputs_for_generation
        )
        if (own_preparation and kind not in _FED_AS_USUAL) or kind == "rwkv":
            continue  # fed by the library; RWKV because it makes a cache of its own
        for method in what_the_loop_stands_in_for:
            if getattr(model_class, method) is not getattr(GenerationMixin, method):
                silent.append(f"{name}.{method}")
    assert not silent


# Ids and masks: (arguments, type of the error, what its message holds).
BAD_INPUTS = {
    "empty": ({"input_ids": IDS[:, :0]}, ValueError, ["input_ids", "(1, 0)", "BOS"]),
    "empty_batch": ({"input_ids": IDS[:0]}, ValueError, ["input_ids", "(0, 5)"]),
    "empty_floats": ({"input_ids": torch.zeros(1, 0)}, TypeError, ["torch.float32", "integer"]),
    "one_dimension": ({"input_ids": IDS[0]}, ValueError, ["input_ids", "(5,)", "ids[None]"]),
    "three_dimensions": ({"input_ids": IDS[None]}, ValueError, ["(1, 1, 5)", "(batch, length)"]),
    "list": ({"input_ids": IDS.tolist()}, TypeError, ["input_ids is a list", "return_tensors"]),
    "string": ({"input_ids": "hello"}, TypeError, ["input_ids is a str", "return_tensors"]),
    "tokenizer_output": ({"inputs": {"input_ids": IDS}}, TypeError, ["inputs is a dict"]),
    "floats": ({"input_ids": IDS.float()}, TypeError, ["torch.float32", "integer token ids"]),
    "booleans": ({"input_ids": IDS > 8}, TypeError, ["torch.bool", "integer token ids"]),
    "bytes": ({"input_ids": IDS.to(torch.uint8)}, TypeError, ["torch.uint8", "integer token ids"]),
    "too_large": (
        {"input_ids": torch.tensor([[7, VOCAB]])},
        IndexError,
        [f"holds {VOCAB}", f"0 to {VOCAB - 1}", "tokenizer"],
    ),
    "negative": ({"input_ids": torch.tensor([[7, -1]])}, IndexError, ["holds -1", "tokenizer"]),
    "inputs_too_large": ({"inputs": torch.tensor([[7, 500]])}, IndexError, ["inputs holds 500"]),
    "mask_too_short": ({"attention_mask": torch.ones(1, 4)}, ValueError, ["(1, 4)", "(1, 5)"]),
    "mask_too_long": ({"attention_mask": torch.ones(1, 6)}, ValueError, ["(1, 6)", "(1, 5)"]),
    "mask_of_two_rows": ({"attention_mask": torch.ones(2, 5)}, ValueError, ["(2, 5)", "(1, 5)"]),
    "mask_of_one_dimension": ({"attention_mask": torch.ones(5)}, ValueError, ["(5,)", "(1, 5)"]),
    "mask_of_four_dimensions": (
        {"attention_mask": torch.ones(1, 1, 5, 5)},
        ValueError,
        ["(1, 1, 5, 5)", "tokenizer"],
    ),
    "mask_list": ({"attention_mask": [[1] * 5]}, TypeError, ["attention_mask is a list", "tensor"]),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_ids_and_masks_are_named_with_what_was_given_and_what_to_pass(case, door):
    arguments, kind, words = BAD_INPUTS[case]
    call = {"max_new_tokens": 3, **arguments}
    if "inputs" not in arguments:
        call = {"input_ids": IDS, **call}
    error = assert_no_forward(tiny("llama"), door, **call)
    assert type(error) is kind
    assert all(word in str(error) for word in words), str(error)


# Where `generate` has words of its own, the loop says the same: same type, same message.
AS_THE_LIBRARY = {
    "no_new_tokens": {"max_new_tokens": 0},
    "negative_new_tokens": {"max_new_tokens": -1},
    "max_length_too_small": {"max_new_tokens": None, "max_length": 3},
    "max_length_of_the_prompt": {"max_new_tokens": None, "max_length": 5},
    "max_length_0": {"max_new_tokens": None, "max_length": 0},
    "unknown_keyword": {"max_new_token": 3},
    "unknown_to_this_model": {"token_type_ids": torch.zeros_like(IDS)},
    "temperature_0": {"do_sample": True, "temperature": 0.0},
    "temperature_negative": {"do_sample": True, "temperature": -1.0},
    "temperature_text": {"do_sample": True, "temperature": "hot"},
    "top_p_negative": {"do_sample": True, "top_p": -0.1},
    "top_k_negative": {"do_sample": True, "top_k": -1},
    "min_p_above_1": {"do_sample": True, "min_p": 1.5},
    "repetition_penalty_0": {"repetition_penalty": 0.0},
    "repetition_penalty_negative": {"repetition_penalty": -1.0},
    "several_greedy_sequences": {"num_return_sequences": 2},
    "cache_of_an_unknown_kind": {"cache_implementation": "elastic"},
    "cache_of_tuples": {"past_key_values": ((torch.zeros(1, 2, 3, 8),) * 2,) * 2},
    "cache_and_kind": {
        "past_key_values": DynamicCache(),
        "cache_implementation": "dynamic",
    },
    "inputs_and_input_ids": {"inputs": IDS},
    "bad_words_empty": {"bad_words_ids": []},
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("case", AS_THE_LIBRARY)
def test_what_generate_refuses_is_refused_with_the_same_words(case, door):
    call = {**CALL, **AS_THE_LIBRARY[case]}
    theirs = error_of(tiny("llama").generate, **call)
    ours = assert_no_forward(tiny("llama"), door, **call)
    assert type(ours) is type(theirs)
    assert str(ours) == str(theirs)


def test_a_prompt_that_is_missing_without_a_bos_token_is_refused_in_the_same_words():
    model = build("llama", bos_token_id=None)
    theirs, ours = error_of(model.generate), error_of(llmcourse.steps, model)
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))


def test_stop_strings_without_a_tokenizer_are_refused():
    error = assert_no_forward(tiny("llama"), llmcourse.steps, **CALL, stop_strings=["."])
    assert type(error) is ValueError
    assert "stop_strings=['.']" in str(error) and "tokenizer=tokenizer" in str(error)


def test_no_refusal_waits_for_the_first_step():
    """`steps` is a plain function that returns a generator; a generator would check too late."""
    assert not inspect.isgeneratorfunction(llmcourse.steps)


def not_a_number(input_ids, scores):
    return scores * float("nan")


def nothing_left(input_ids, scores):
    return torch.full_like(scores, float("-inf"))


def one_row_broken(input_ids, scores):
    return scores.index_fill(0, torch.tensor([1]), float("nan"))


@pytest.mark.parametrize("rule", [not_a_number, nothing_left, one_row_broken])
def test_greedy_decoding_of_broken_scores_does_what_generate_does(rule):
    call = {"input_ids": BATCH, "max_new_tokens": 3, "logits_processor": [rule]}
    assert torch.equal(llmcourse.generate(tiny("llama"), **call), tiny("llama").generate(**call))


@pytest.mark.parametrize(
    ("rule", "row"), [(not_a_number, 0), (nothing_left, 0), (one_row_broken, 1)]
)
def test_sampling_from_broken_scores_fails_with_words(rule, row):
    call = {"input_ids": BATCH, "max_new_tokens": 3, "do_sample": True, "logits_processor": [rule]}
    theirs = error_of(tiny("llama").generate, **call)
    ours = error_of(llmcourse.generate, tiny("llama"), **call)
    assert type(ours) is type(theirs) is RuntimeError
    assert f"scores of row {row} are no distribution" in str(ours)
    assert "nan or inf" in str(ours) and "logits processors" in str(ours)
    assert str(ours.__cause__) == str(theirs), "torch's own words are kept as the cause"


def test_weights_that_are_not_a_number_fail_with_words_when_sampling():
    model = build("llama")
    model.lm_head.weight.data[3] = float("nan")
    error = error_of(llmcourse.generate, model, **CALL, do_sample=True)
    assert type(error) is RuntimeError
    assert "Look at the last step's logits" in str(error)
    assert torch.equal(llmcourse.generate(model, **CALL), model.generate(**CALL))


@pytest.fixture
def logged(caplog, monkeypatch):
    """Run a function and return what transformers logged and warned meanwhile."""
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)

    def run(function, *args, **kwargs):
        caplog.clear()
        hf_logging.warning_once.cache_clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = function(*args, **kwargs)
        said = [record.getMessage() for record in caplog.records]
        return result, said + [str(warning.message) for warning in caught]

    return run


WARNED = {
    "right_padded": (
        {
            "input_ids": torch.tensor([[7, 8, 9], [7, PAD, PAD]]),
            "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]]),
        },
        "right-padding was detected",
    ),
    "right_padded_without_mask": (
        {"input_ids": torch.tensor([[7, 8, 9], [7, PAD, PAD]])},
        "right-padding was detected",
    ),
    "pad_and_mask_missing": (
        {"input_ids": BATCH, "pad_token_id": None},
        "attention mask and the pad token id were not set",
    ),
    "eos_negative": ({"input_ids": IDS, "eos_token_id": -1}, "should consist of positive integers"),
    "hidden_length": ({"input_ids": IDS, "max_new_tokens": None}, "model-agnostic default"),
    "two_lengths": ({"input_ids": IDS, "max_length": 20}, "will take precedence"),
    "minimum_above_maximum": ({"input_ids": IDS, "min_new_tokens": 9}, "Unfeasible length"),
}


@pytest.mark.parametrize("case", WARNED)
def test_what_generate_warns_of_is_warned_of_once_in_the_same_words(case, logged):
    arguments, words = WARNED[case]
    model, call = build("llama", pad_token_id=None), {"pad_token_id": PAD, "max_new_tokens": 3}
    call |= arguments
    theirs, their_words = logged(model.generate, **call)
    ours, our_words = logged(llmcourse.generate, model, **call)
    steps, step_words = logged(lambda: list(llmcourse.steps(model, **call)))
    assert any(words in line for line in their_words), their_words
    assert our_words == step_words == their_words
    assert torch.equal(ours, theirs)
    assert torch.equal(torch.stack([step.chosen for step in steps], 1), theirs[:, -len(steps) :])


def test_a_streamer_hears_nothing_of_a_call_that_is_refused():
    heard = []

    class Streamer:
        def put(self, ids):
            heard.append(ids)

        def end(self):
            heard.append("end")

    for door in DOORS.values():
        error_of(door, tiny("llama"), **CALL, num_beams=2, streamer=Streamer())
        error_of(door, tiny("llama"), **CALL, penalty_alpha=0.6, streamer=Streamer())
    assert not heard


def test_every_refusal_reads_as_sentences():
    """No stray braces or double spaces, and each ends with a full stop or a question mark."""
    model = tiny("llama")
    errors = [
        error_of(llmcourse.steps, model, **{**CALL, **case}) for case, *_ in NOT_BUILT.values()
    ]
    for arguments, *_ in BAD_INPUTS.values():
        errors.append(error_of(llmcourse.ingredients, model, **{**CALL, **arguments}))
    for error in errors:
        assert re.search(r"[.?]$", str(error)), error
        assert not re.search(r"[{}]|  ", str(error)), error


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_another_way_of_decoding_is_named_before_what_else_is_wrong_with_the_call(door):
    """As in `generate`, which looks at the way before it makes a cache."""

    class Broken(type(tiny("llama"))):
        def _prepare_cache_for_generation(self, *args, **kwargs):
            raise KeyError("a kind of layer that the cache does not know")

    model = Broken(tiny("llama").config).eval()
    assert type(error_of(door, model, **CALL)) is KeyError
    groups = {**CALL, "num_beams": 4, "num_beam_groups": 2}
    assert type(error_of(model.generate, **groups)) is ValueError
    with pytest.raises(ValueError, match="num_beam_groups=2"):
        door(model, **groups)


# The README's list.


def test_the_readme_lists_every_setting_that_is_refused():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^What the loop does not do it refuses by name.*$", readme, re.M)
    named = {name.partition("=")[0] for name in re.findall(r"`([^`]+)`", said)}
    known = {*refusals.NOT_BUILT, *refusals._NOT_HANDED_ON}
    assert named == known | {"low_memory", "token_healing", "cache_implementation"}

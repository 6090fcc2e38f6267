"""What `generate` prepares, seen through its public door."""

import dataclasses

import pytest
import torch
from transformers import (
    DynamicCache,
    EosTokenCriteria,
    GenerationConfig,
    MaxLengthCriteria,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

import llmcourse
from llmcourse.decoding.cache import CACHE_NAMES, LIBRARY, cache_in
from tests.support.families import BOS, PAD, build, tiny

IDS = torch.tensor([[7, 8, 9, 10, 11]])
BATCH = torch.tensor([[7, 8, 9, 10, 11], [PAD, PAD, 12, 13, 14]])
MASK = BATCH.ne(PAD).long()


def kinds(things) -> list:
    return [type(thing) for thing in things]


def test_no_forward_pass_is_run():
    model, ran = tiny("llama"), []
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        llmcourse.ingredients(model, input_ids=IDS, max_new_tokens=3)
    finally:
        handle.remove()
    assert not ran


def test_the_hidden_defaults_are_shown():
    with pytest.warns(UserWarning, match="model-agnostic default"):
        made = llmcourse.ingredients(tiny("llama"), input_ids=IDS)
    assert made.generation_config.max_length == IDS.shape[1] + 20
    assert made.settings["max_length"] == IDS.shape[1] + 20
    assert made.settings["do_sample"] is False
    assert made.settings["num_beams"] == 1
    sampling = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3, do_sample=True)
    assert sampling.settings["top_k"] == 50
    assert kinds(sampling.logits_processor) == [TopKLogitsWarper]


def test_the_rules_come_in_the_librarys_order_whatever_the_order_of_the_call():
    made = llmcourse.ingredients(
        tiny("llama"),
        input_ids=IDS,
        max_new_tokens=3,
        do_sample=True,
        top_p=0.9,
        top_k=10,
        temperature=0.7,
        repetition_penalty=1.2,
    )
    assert kinds(made.logits_processor) == [
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    ]


def test_greedy_decoding_drops_the_rules_of_sampling():
    call = {"input_ids": IDS, "max_new_tokens": 3, "temperature": 0.5, "top_p": 0.9}
    assert llmcourse.ingredients(tiny("llama"), **call).logits_processor == []


def test_the_criteria_are_length_and_eos():
    made = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3)
    assert kinds(made.stopping_criteria) == [MaxLengthCriteria, EosTokenCriteria]
    assert made.stopping_criteria[0].max_length == 8
    bare = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3, eos_token_id=None)
    assert kinds(bare.stopping_criteria) == [MaxLengthCriteria]


def test_a_mask_of_ones_is_dropped_and_positions_are_counted():
    ones = torch.ones_like(IDS)
    made = llmcourse.ingredients(
        tiny("llama"), input_ids=IDS, attention_mask=ones, max_new_tokens=3
    )
    mask = made.model_kwargs["attention_mask"]
    assert mask is None or (LIBRARY < (5, 18) and torch.equal(mask, ones))
    assert made.model_kwargs["position_ids"].tolist() == [[0, 1, 2, 3, 4]]


def test_positions_start_after_the_padding():
    made = llmcourse.ingredients(
        tiny("llama"), input_ids=BATCH, attention_mask=MASK, max_new_tokens=3
    )
    assert torch.equal(made.model_kwargs["attention_mask"], MASK)
    assert made.model_kwargs["position_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 0, 0, 1, 2]]


def test_the_cache_is_there_and_empty_unless_it_is_switched_off():
    made = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3)
    assert isinstance(cache_in(made.model_kwargs), DynamicCache)
    assert cache_in(made.model_kwargs).get_seq_length() == 0
    assert made.model_kwargs["use_cache"] is True
    without = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3, use_cache=False)
    assert cache_in(without.model_kwargs) is None
    assert without.model_kwargs["use_cache"] is False


def test_rows_are_repeated_for_several_sequences():
    made = llmcourse.ingredients(
        tiny("llama"),
        input_ids=BATCH,
        attention_mask=MASK,
        max_new_tokens=3,
        do_sample=True,
        num_return_sequences=2,
    )
    assert torch.equal(made.input_ids, BATCH.repeat_interleave(2, 0))
    assert torch.equal(made.model_kwargs["attention_mask"], MASK.repeat_interleave(2, 0))


def test_beams_are_rows_of_the_batch():
    made = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3, num_beams=3)
    assert made.input_ids.shape == (3, 5)
    assert made.settings["num_beams"] == 3


def test_a_prompt_that_is_missing_becomes_the_bos_token():
    made = llmcourse.ingredients(tiny("llama"), max_new_tokens=3)
    assert made.input_ids.tolist() == [[BOS]]


def test_settings_come_from_the_call_before_the_model():
    model = build("llama")
    model.generation_config.update(temperature=0.3, top_p=0.8, do_sample=True)
    made = llmcourse.ingredients(model, input_ids=IDS, max_new_tokens=3, temperature=0.6)
    assert made.settings["temperature"] == 0.6
    assert made.settings["top_p"] == 0.8
    assert model.generation_config.temperature == 0.3, "the model's own settings are left alone"


def test_rules_of_ones_own_take_the_place_of_the_prepared_ones():
    def rule(ids, scores):
        return scores

    call = {"input_ids": IDS, "max_new_tokens": 3, "do_sample": True}
    made = llmcourse.ingredients(tiny("llama"), **call, rules=[rule])
    assert list(made.logits_processor) == [rule]
    assert list(llmcourse.ingredients(tiny("llama"), **call, rules=[]).logits_processor) == []


def my_rule(input_ids, scores):
    return scores


def rows_of(made) -> dict:
    """Return the table of some ingredients as {setting: (value, where it comes from)}."""
    table = made.table()
    assert list(table.headers) == ["setting", "value", "from"]
    return {setting: (value, origin) for setting, value, origin in table.rows}


def test_the_table_says_of_every_setting_in_force_where_it_comes_from():
    model = build("llama")
    model.generation_config.update(top_p=0.8, repetition_penalty=1.2)
    config = GenerationConfig(temperature=0.7, top_p=0.9)
    call = {"input_ids": BATCH, "attention_mask": MASK, "generation_config": config}
    call |= {"do_sample": True, "max_new_tokens": 3, "logits_processor": [my_rule]}
    rows = rows_of(llmcourse.ingredients(model, **call))
    assert rows["input_ids"] == ("tensor (2, 5)", "the call")
    assert rows["attention_mask"] == ("tensor (2, 5)", "the call")
    assert rows["position_ids"] == ("tensor (2, 5)", "prepared")
    assert rows["do_sample"] == ("True", "the call")
    assert rows["temperature"] == ("0.7", "the passed config")
    assert rows["top_p"] == ("0.9", "the passed config")
    assert rows["repetition_penalty"] == ("1.2", "the model's generation_config")
    assert rows["top_k"] == ("50", "hidden default")
    assert rows["max_length"] == ("8", "prompt + max_new_tokens, the call")
    assert rows["eos_token_id"] == ("5", "the model's generation_config")
    processors, origin = rows["logits_processor"]
    assert processors.split(" > ") == [
        "RepetitionPenaltyLogitsProcessor",
        "my_rule",
        "TemperatureLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
    ]
    assert origin == "prepared"
    assert rows["stopping_criteria"][0] == "MaxLengthCriteria > EosTokenCriteria"


def test_the_table_shows_mask_and_cache_in_one_form_on_every_version():
    ones = torch.ones_like(IDS)
    call = {"input_ids": IDS, "attention_mask": ones, "max_new_tokens": 3}
    made = llmcourse.ingredients(tiny("llama"), **call)
    assert rows_of(made)["attention_mask"] == ("all ones: no padding", "the call")
    assert rows_of(made)["cache"] == ("DynamicCache", "prepared")
    for name in CACHE_NAMES:
        for mask in (ones, None):
            given = {"attention_mask": mask, name: cache_in(made.model_kwargs)}
            rows = rows_of(dataclasses.replace(made, model_kwargs=given))
            assert rows["attention_mask"] == ("all ones: no padding", "the call")
            assert rows["cache"][0] == "DynamicCache"
            assert not {"past_key_values", "cache_params"} & set(rows)


def test_the_table_leaves_out_what_is_off_by_default_unless_asked():
    made = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3, top_p=1.0)
    rows = rows_of(made)
    assert rows["top_p"] == ("1.0", "the call"), "what was asked for is shown, even if it is off"
    assert "typical_p" not in rows
    assert "more are off by default" in made.table().caption
    assert "`" not in made.table().caption, "a page shows a caption as it is"
    everything = dict((name, origin) for name, _, origin in made.table(everything=True).rows)
    assert everything["typical_p"] == "hidden default"
    assert set(made.settings) <= set(everything)
    assert len(everything) == len(rows) + int(made.table().caption.split("; ")[1].split()[0])


def test_a_length_that_nobody_asked_for_is_named_a_hidden_default():
    with pytest.warns(UserWarning, match="model-agnostic default"):
        made = llmcourse.ingredients(tiny("llama"), input_ids=IDS)
    assert rows_of(made)["max_length"] == ("25", "prompt + 20, hidden default")


def test_rules_that_replace_the_prepared_ones_come_from_the_call():
    call = {"input_ids": IDS, "max_new_tokens": 3, "do_sample": True}
    rows = rows_of(llmcourse.ingredients(tiny("llama"), **call, rules=[my_rule]))
    assert rows["logits_processor"] == ("my_rule", "the call")


def test_the_table_has_a_text_form_and_an_escaped_page_form():
    made = llmcourse.ingredients(
        tiny("llama"), input_ids=IDS, max_new_tokens=3, bad_words_ids=[[7]]
    )
    assert "max_new_tokens" in repr(made) and "the call" in repr(made)
    assert "<table" in made._repr_html_() and "<caption" in made._repr_html_()


def test_the_ingredients_cannot_be_exchanged():
    made = llmcourse.ingredients(tiny("llama"), input_ids=IDS, max_new_tokens=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.input_ids = BATCH


def test_the_ingredients_feed_the_glass_box():
    call = {"input_ids": BATCH, "attention_mask": MASK, "max_new_tokens": 5}
    made = llmcourse.ingredients(tiny("llama"), **call)
    ours = llmcourse.glass_box(tiny("llama"), **made.for_the_loop())
    assert torch.equal(ours, tiny("llama").generate(**call))


def test_the_prompt_may_come_by_position_as_in_generate():
    model = tiny("llama")
    ids = torch.arange(7, 12)[None]
    theirs = model.generate(ids, max_new_tokens=3)
    assert torch.equal(llmcourse.generate(model, ids, max_new_tokens=3), theirs)
    assert torch.equal(llmcourse.ingredients(model, ids).input_ids, ids)


def test_ids_on_another_device_than_the_model_are_refused_with_the_way_out():
    with torch.device("meta"):
        model = build("llama")
    with pytest.raises(ValueError, match=r"input_ids is on cpu and the model on meta; pass"):
        llmcourse.steps(model, input_ids=torch.arange(7, 12)[None], max_new_tokens=3)

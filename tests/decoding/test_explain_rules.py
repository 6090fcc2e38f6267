"""What each rule did in a step is told in numbers that can be checked by hand."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
import transformers as library

import llmcourse
from llmcourse import explain_rules
from llmcourse.decoding.explain_rules import RuleEffect, name_of
from llmcourse.rules import (
    WithoutPrompt,
    divide_by_temperature,
    forbid_words,
    force_eos,
    guide,
    keep_top_k,
    keep_top_p,
    suppress,
)
from tests.support.families import PAD, VOCAB, build, tiny
from tests.test_show import tags

INF = float("inf")
ONE = torch.arange(7, 18)[None]
UNEQUAL = torch.tensor([[7, 8, 9, 10, 9, 8], [PAD, PAD, 31, 30, 31, 30], [PAD, 60, 62, 60, 62, 60]])
BATCH = {"input_ids": UNEQUAL, "attention_mask": UNEQUAL.ne(PAD).long(), "pad_token_id": PAD}
NO_EOS = {"eos_token_id": None}
SAMPLING = {"do_sample": True, "temperature": 1.4, "top_k": 30, "top_p": 0.9}

WARM, NUCLEUS = partial(divide_by_temperature, temperature=2.0), partial(keep_top_p, p=0.75)


def by_hand(ids, scores):
    return torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()


def effects_on_four_tokens(*rules, **call) -> tuple[RuleEffect, ...]:
    """Explain `rules` on the distribution of `by_hand`, whatever the model says."""
    model = build("llama", vocab_size=4, bos_token_id=1, eos_token_id=2)
    inputs = {"input_ids": torch.tensor([[1, 3, 1]]), "max_new_tokens": 2, **NO_EOS}
    report = explain_rules(model, rules=[by_hand, *rules], **inputs, **call)
    assert report.effects[0].name == "by_hand"
    return report.effects[1:]


def assert_effect(effect: RuleEffect, **expected) -> None:
    seen = {name: getattr(effect, name) for name in expected}
    assert seen == pytest.approx(expected, abs=1e-4)


def test_a_nucleus_in_numbers():
    [effect] = effects_on_four_tokens(NUCLEUS)
    assert effect.name == "keep_top_p(p=0.75)"
    # 0.5 + 0.3 reach 0.75; of what is left, the first token has 0.5 / 0.8
    assert_effect(effect, dropped=2, left=2, p_before=0.5, p_after=0.625)
    assert_effect(effect, entropy_before=1.6477, entropy_after=0.9544)


def test_a_temperature_drops_nothing_and_moves_the_chosen_token():
    [effect] = effects_on_four_tokens(WARM)
    # the roots of the probabilities, 0.7071 0.5477 0.3873 0.2236, divided by their sum, 1.8657
    assert_effect(effect, dropped=0, left=4, p_before=0.5, p_after=0.3790, entropy_after=1.8873)


def test_top_p_before_temperature_leaves_fewer_than_temperature_before_top_p():
    first, then = effects_on_four_tokens(NUCLEUS, WARM)
    assert (first.left, then.left) == (2, 2)
    first, then = effects_on_four_tokens(WARM, NUCLEUS)
    assert (first.left, then.left) == (4, 3)


def test_each_rule_starts_where_the_one_before_it_ended():
    effects = effects_on_four_tokens(WARM, NUCLEUS, partial(keep_top_k, k=1))
    for one, following in pairwise(effects):
        assert following.p_before == one.p_after
        assert following.entropy_before == one.entropy_after
    assert_effect(effects[-1], dropped=2, left=1, p_after=1.0, entropy_after=0.0)


def test_a_token_that_was_dropped_already_is_not_dropped_again():
    [_, again] = effects_on_four_tokens(partial(suppress, tokens=[3]), partial(keep_top_k, k=2))
    assert_effect(again, dropped=1, left=2)


def test_a_rule_that_brings_a_token_back_leaves_it():
    banned, forced = partial(suppress, tokens=[2]), partial(force_eos, max_length=4, eos=2)
    [_, effect] = effects_on_four_tokens(banned, forced)
    assert_effect(effect, dropped=3, left=1, p_before=0.0, p_after=1.0, entropy_after=0.0)


def test_a_rule_that_edits_in_place_is_told_like_any_other():
    def in_place(ids, scores):
        scores[:, 3] = -INF
        return scores

    [before, effect, after] = effects_on_four_tokens(WARM, in_place, WARM)
    assert_effect(effect, dropped=1, left=3, p_before=before.p_after)
    assert after.p_before == effect.p_after


def test_broken_scores_are_told_and_not_hidden():
    [effect] = effects_on_four_tokens(lambda ids, scores: scores * math.nan)
    assert effect.left == 0 and math.isnan(effect.p_after) and math.isnan(effect.entropy_after)


# The run is the run that would be without looking.


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba"])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_the_step_is_the_one_that_generate_makes(family, row):
    model, call = tiny(family), {**BATCH, **SAMPLING, "max_new_tokens": 6, **NO_EOS}
    torch.manual_seed(3)
    wants = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    output = model.generate(**call, **wants)
    torch.manual_seed(3)
    report = explain_rules(model, **call, at=4, row=row)
    chosen = output.sequences[row, UNEQUAL.shape[1] + 4].item()
    assert (report.step, report.row, report.chosen) == (4, row, chosen)
    raw, scores = output.logits[4][row].softmax(-1), output.scores[4][row].softmax(-1)
    assert report.effects[0].p_before == pytest.approx(raw[chosen].item(), abs=1e-6)
    assert report.effects[-1].p_after == pytest.approx(scores[chosen].item(), abs=1e-6)
    assert report.effects[-1].left == (scores > 0).sum()
    names = ["temperature=1.4", "top_k=30", "top_p=0.9"]
    assert all(name in e.name for name, e in zip(names, report.effects, strict=True))


def test_each_rule_runs_once_a_step_and_no_further_than_asked():
    lengths = []

    def count(ids, scores):
        lengths.append(ids.shape[1])
        return scores

    explain_rules(tiny("llama"), ONE, rules=[count], at=2, max_new_tokens=6, **NO_EOS)
    assert lengths == [11, 12, 13]
    lengths.clear()
    explain_rules(tiny("llama"), ONE, logits_processor=[count], at=2, max_new_tokens=6, **NO_EOS)
    assert lengths == [11, 12, 13]


def test_a_rule_with_a_memory_is_not_disturbed():
    model, call = tiny("llama"), {"input_ids": ONE, "max_new_tokens": 5, **NO_EOS}
    ours = [partial(guide, scale=1.7, unconditional=WithoutPrompt(model))]
    [mine] = explain_rules(model, **call, rules=ours, at=3).effects
    [theirs] = explain_rules(model, **call, guidance_scale=1.7, at=3).effects
    assert (mine.p_after, mine.entropy_after) == (theirs.p_after, theirs.entropy_after)
    steps = list(llmcourse.steps(model, **call, guidance_scale=1.7))
    p = steps[3].probs[0, steps[3].chosen[0]].item()
    assert mine.p_after == pytest.approx(p, abs=1e-6)


def test_a_call_without_rules_says_so():
    report = explain_rules(tiny("llama"), ONE, max_new_tokens=1)
    assert report.effects == ()
    assert "no rule ran" in repr(report) and "no rule ran" in report._repr_html_()


# What cannot be told.


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"at": 4}, r"at=4 is beyond .* row 0 got 4 tokens and stopped \(length\); pass 0 to 3\."),
        ({"at": 99, "row": 2}, r"at=99 is beyond .* row 2 got 4 tokens"),
        ({"at": -1}, "at=-1 is before the first step"),
        ({"row": 3}, "row=3 does not exist; the batch has 3 rows: pass 0 to 2"),
        ({"row": -1}, "row=-1 does not exist"),
        ({"streamer": object()}, "streamer="),
        ({"num_beams": 2}, "not beam_search; leave out num_beams"),
        ({"prompt_lookup_num_tokens": 2}, "not assisted_generation; leave out"),
    ],
)
def test_what_is_not_there_is_refused_by_name(asked, message):
    with pytest.raises(ValueError, match=message):
        explain_rules(tiny("llama"), **BATCH, max_new_tokens=4, **NO_EOS, **asked)


def test_a_row_that_ended_before_is_not_explained_by_its_padding():
    model, call = tiny("llama"), {**BATCH, "max_new_tokens": 6}
    new = model.generate(**call, **NO_EOS)[:, UNEQUAL.shape[1] :]
    end = new[0, 1].item()
    assert end not in new[1] and end != new[0, 0]
    assert explain_rules(model, **call, eos_token_id=end, at=1).chosen == end
    assert explain_rules(model, **call, eos_token_id=end, at=4, row=1).chosen == new[1, 4]
    with pytest.raises(ValueError, match=r"row 0 got 2 tokens and stopped \(eos\); pass 0 to 1"):
        explain_rules(model, **call, eos_token_id=end, at=4)


def test_a_bad_rule_raises_its_own_error():
    with pytest.raises(ValueError, match=r"top_p=1\.4 is not a probability"):
        explain_rules(tiny("llama"), ONE, rules=[partial(keep_top_p, p=1.4)], max_new_tokens=1)


# How it reads.


def a_function(ids, scores):
    return scores


class Own:
    def __init__(self, strength, secret=None):
        self.strength, self._secret = strength, secret

    def __call__(self, ids, scores):
        return scores


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (NUCLEUS, "keep_top_p(p=0.75)"),
        (partial(keep_top_p, p=0.9, keep=2), "keep_top_p(p=0.9, keep=2)"),
        (partial(partial(keep_top_p, keep=2), p=0.9), "keep_top_p(keep=2, p=0.9)"),
        (partial(a_function), "a_function()"),
        (a_function, "a_function"),
        (lambda ids, scores: scores, "<lambda>"),
        (Own(3), "Own(strength=3)"),
        (library.TopPLogitsWarper(top_p=0.9), "TopPLogitsWarper(top_p=0.9)"),
        (
            library.TopKLogitsWarper(5, min_tokens_to_keep=2),
            "TopKLogitsWarper(top_k=5, min_tokens_to_keep=2)",
        ),
        (library.TemperatureLogitsWarper(0.7), "TemperatureLogitsWarper(temperature=0.7)"),
        (
            library.SuppressTokensLogitsProcessor([3]),
            "SuppressTokensLogitsProcessor(suppress_tokens=[3])",
        ),
        (library.LogitNormalization(), "LogitNormalization"),
        (
            library.UnbatchedClassifierFreeGuidanceLogitsProcessor(1.5, tiny("llama")),
            "UnbatchedClassifierFreeGuidanceLogitsProcessor(guidance_scale=1.5)",
        ),
        (
            partial(guide, scale=1.5, unconditional=WithoutPrompt(tiny("llama"))),
            "guide(scale=1.5, unconditional=WithoutPrompt)",
        ),
        (
            partial(forbid_words, words=[[token] for token in range(500)]),
            "forbid_words(words=[[0], [1], [2], [3], [4], [5], [6], [7]…)",
        ),
    ],
)
def test_a_rule_is_named_with_the_settings_that_can_be_seen(rule, name):
    assert name_of(rule) == name


def test_the_report_is_a_table_in_text_and_in_html():
    call = {"max_new_tokens": 1, "do_sample": True, "temperature": 0.5, **NO_EOS}
    torch.manual_seed(0)
    report = explain_rules(tiny("llama"), ONE, **call)
    lines = repr(report).splitlines()
    assert lines[0] == f"Step 0, row 0: what each rule did; chosen: [{report.chosen}]"
    assert lines[1].split() == f"rule dropped left p([{report.chosen}]) entropy in bits".split()
    temperature, hidden = report.effects
    assert "TemperatureLogitsWarper(temperature=0.5)  0        97" in lines[3]
    assert "TopKLogitsWarper(top_k=50)" in lines[4]
    assert (hidden.dropped, hidden.left) == (VOCAB - 50, 50), "a setting that nobody asked for"
    page = report._repr_html_()
    assert page.count("<tr>") == 3 and "<caption" in page
    assert f"{temperature.entropy_before:.2f} → {temperature.entropy_after:.2f}" in page


def test_names_and_tokens_that_look_like_html_stay_text():
    def rule(ids, scores):
        return scores

    rule.__name__ = "<img src=x onerror=alert(1)>"
    rules = [rule, partial(a_function, "<script>")]
    with pytest.raises(TypeError):  # bound in the place of ids: told by Python, not hidden
        explain_rules(tiny("llama"), ONE, rules=rules, max_new_tokens=1)
    report = explain_rules(tiny("llama"), ONE, rules=[rule, lambda i, s: s], max_new_tokens=1)
    assert tags(report._repr_html_()) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert "&lt;lambda&gt;" in report._repr_html_()


def test_the_course_model_s_tokens_are_shown_readable(course_model):
    model, tokenizer = course_model
    inputs = tokenizer("A list of colors: red, blue", return_tensors="pt")
    report = explain_rules(model, **inputs, tokenizer=tokenizer, at=1, max_new_tokens=3, top_k=5)
    assert report.token == "·and"
    assert report.effects == ()  # greedy decoding has no use for top_k
    nucleus = explain_rules(
        model,
        **inputs,
        tokenizer=tokenizer,
        rules=[partial(keep_top_p, p=0.9)],
        at=1,
        max_new_tokens=3,
    )
    [effect] = nucleus.effects
    assert effect.dropped + effect.left == model.config.vocab_size
    assert effect.p_after > effect.p_before
    assert "p(·and)" in repr(nucleus)

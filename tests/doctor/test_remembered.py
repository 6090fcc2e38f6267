"""Settings are resolved once for equal calls, and again when what they depend on differs."""

import gc
import weakref

import pytest
import torch
from transformers import GenerationConfig

from llmcourse.doctor import case as cases
from llmcourse.doctor.case import complete
from llmcourse.doctor.diagnose import check
from llmcourse.doctor.remembered import Remembered, asked_once
from llmcourse.doctor.template_marks import Template
from tests.doctor.corpus import FAULTY, SOUND
from tests.doctor.corpus.calls import LENGTH, USER, chat, plain, tensors

CALLS = {**{name: make for name, (_, make) in FAULTY.items()}, **SOUND}


@pytest.fixture
def asked(monkeypatch) -> list:
    """The calls that `generate` was asked about, one by one."""
    seen, ask = [], cases.ingredients
    monkeypatch.setattr(cases, "ingredients", lambda *a, **k: seen.append(k) or ask(*a, **k))
    return seen


@pytest.mark.parametrize("name", CALLS)
def test_what_is_found_in_a_call_is_found_in_its_repetition(name):
    made, remembered, before = CALLS[name](), Remembered(), Remembered()
    findings = []
    for known in (before, remembered, remembered):
        case = complete(made.model, made.tokenizer, made.prompt, made.call, False, known)
        for fact, value in made.facts.items():
            setattr(case, fact, value)
        findings.append([(one.code, one.severity, one.what) for one in check(case)])
    assert findings[0] == findings[1] == findings[2]


def test_equal_calls_ask_once(asked):
    (model, tokenizer), remembered = plain(), Remembered()
    first, second = (
        complete(model, tokenizer, tensors(tokenizer, text), LENGTH, False, remembered)
        for text in ("ab", "cd")
    )
    assert len(asked) == 1 and first.config is second.config
    assert second.config.max_length == second.prompt_length + LENGTH["max_new_tokens"]


def changed_model_settings(model):
    model.generation_config.temperature = 0.5
    return {}


def changed_in_place(model):
    model.generation_config.eos_token_id.append(7)
    return {}


def changed_config(model):
    model.config.eos_token_id = 9
    return {}


@pytest.mark.parametrize(
    "change",
    [
        lambda model: {"max_new_tokens": 5},
        lambda model: {"num_beams": True},
        lambda model: {"generation_config": GenerationConfig()},
        changed_model_settings,
        changed_in_place,
        changed_config,
    ],
)
def test_a_change_asks_again(asked, change):
    (model, tokenizer), remembered = plain(settings={"eos_token_id": [2, 5]}), Remembered()
    call = {**LENGTH, "num_beams": 1}
    for _ in range(2):
        complete(model, tokenizer, tensors(tokenizer, "ab"), call, False, remembered)
    call |= change(model)
    complete(model, tokenizer, tensors(tokenizer, "ab"), call, False, remembered)
    assert len(asked) == 2


def test_a_longer_prompt_asks_again_and_so_do_objects(asked):
    (model, tokenizer), remembered = plain(), Remembered()
    for text, call in [("ab", {}), ("abc", {}), ("ab", {"logits_processor": []})]:
        complete(model, tokenizer, tensors(tokenizer, text), call, False, remembered)
    processors = {"logits_processor": [lambda ids, scores: scores]}
    for _ in range(2):
        complete(model, tokenizer, tensors(tokenizer, "ab"), processors, False, remembered)
    assert len(asked) == 5


def test_ids_that_are_refused_are_refused_beside_sound_ones():
    (model, tokenizer), remembered = plain(), Remembered()
    sound = tensors(tokenizer, "ab")
    assert complete(model, tokenizer, sound, LENGTH, False, remembered).refusal is None
    wrong = {**sound, "input_ids": sound["input_ids"] + 10_000}
    refused = complete(model, tokenizer, wrong, LENGTH, False, remembered)
    assert refused.refusal is not None and refused.config is None


def test_models_are_not_kept_alive():
    model, tokenizer = plain(settings={})
    remembered, gone = Remembered(), weakref.ref(model)
    complete(model, tokenizer, tensors(tokenizer, "ab"), LENGTH, False, remembered)
    del model
    gc.collect()
    assert gone() is None


def test_a_template_is_asked_again_when_it_or_its_tokens_change():
    _, tokenizer = chat("chatml")
    first = Template.of(tokenizer)
    assert Template.of(tokenizer) is first
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_start|>", "<|begin|>")
    assert "<|begin|>" in Template.of(tokenizer).user_header
    tokenizer.chat_template = "{{ eos_token }}{% for m in messages %}{{ m.content }}|{% endfor %}"
    before = Template.of(tokenizer)
    tokenizer.eos_token = "<pad>"
    assert before.opening != Template.of(tokenizer).opening == "<pad>"


def test_torch_is_left_alone():
    (model, tokenizer), remembered = plain(), Remembered()
    before = torch.get_rng_state()
    complete(model, tokenizer, tensors(tokenizer, "ab"), LENGTH, False, remembered)
    assert torch.equal(before, torch.get_rng_state())


def test_a_fact_of_a_tokenizer_is_asked_again_when_its_tokens_change():
    _, tokenizer = chat("chatml")
    asked = []

    def ask():
        asked.append(len(tokenizer))
        return len(asked)

    assert [asked_once(tokenizer, "a fact", ask) for _ in range(3)] == [1, 1, 1]
    assert asked_once(tokenizer, "a fact", ask, "for another end") == 2
    tokenizer.add_tokens(["<new>"], special_tokens=True)
    assert asked_once(tokenizer, "a fact", ask, "for another end") == 3
    assert [asked_once(object(), "a fact", ask) for _ in range(2)] == [4, 5]


def test_what_was_worked_out_of_a_prompt_is_kept_unless_the_tokenizer_may_still_be_seen():
    model, tokenizer = chat("chatml")
    case = complete(model, tokenizer, [USER], LENGTH)
    assert case.is_chat and case.texts
    assert case.later(decoded=[1]).texts is case.texts and case.later().decoded == []
    case = complete(model, None, tensors(tokenizer, "a text"), LENGTH)
    assert case.texts == [] and case.template is None
    later = case.later()
    later.tokenizer = tokenizer
    assert later.texts and later.template is not None

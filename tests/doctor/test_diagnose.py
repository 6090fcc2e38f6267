"""The doctor against a corpus of faulty and sound calls; see tests/doctor/corpus/."""

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache

import llmcourse
from llmcourse.decoding.cache import CACHE_NAMES, LIBRARY
from llmcourse.doctor.case import complete, with_own_cache
from llmcourse.doctor.diagnose import check
from llmcourse.doctor.pitfalls import PITFALLS, loading
from tests.doctor.corpus import FAULTY, SOUND
from tests.doctor.corpus.calls import LENGTH, TEXTS, USER, Call, chat, plain, tensors
from tests.doctor.corpus.ends import answered
from tests.support.chat_templates import letters

CODES = tuple(PITFALLS)


def found_in(made: Call):
    """Return what is found in a call of the corpus, with its recorded facts."""
    with torch.random.fork_rng():
        if made.seed is None:
            torch.seed()  # random bits, as in a fresh process
        else:
            torch.manual_seed(made.seed)
        case = complete(made.model, made.tokenizer, made.prompt, made.call, made.repeatable)
        for name, value in made.facts.items():
            setattr(case, name, value)
        return check(case)


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_call_gets_its_finding(name):
    code, make = FAULTY[name]
    assert code in [finding.code for finding in found_in(make())]


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_call_gets_no_warning_and_no_error(name):
    grave = [finding for finding in found_in(SOUND[name]()) if finding.severity != "note"]
    assert not grave


@pytest.mark.parametrize(
    ("family", "dtype", "severity"),
    [
        ("gpt2", torch.float32, "error"),
        ("llama", torch.float32, "note"),
        ("llama", torch.bfloat16, "warning"),
    ],
)
def test_positions_that_count_padding_are_as_grave_as_what_the_model_makes_of_them(
    family, dtype, severity
):
    model, tokenizer = plain("unigram", family=family, settings={})
    batch = tensors(tokenizer, TEXTS, padding=True)
    call = {**LENGTH, "position_ids": torch.arange(batch["input_ids"].shape[1])[None]}
    found = check(complete(model.to(dtype), tokenizer, batch, call))
    assert [one.severity for one in found if one.code == "position-ids"] == [severity]


UNSAID = {"max_new_tokens": None}  # then 20 new tokens are the limit of `generate` itself


@pytest.mark.parametrize(
    ("rows", "call", "severity"),
    [
        (1, UNSAID, "warning"),
        (2, UNSAID, "note"),
        (1, {}, "note"),
        (1, UNSAID | {"logits_processor": [lambda ids, s: s]}, "note"),
    ],
)
def test_a_chat_is_cut_off_gravely_where_all_answers_are_and_nobody_asked_for_it(
    rows, call, severity
):
    made = answered(20, 20, **call)
    ended = made.facts["output"].clone()
    ended[0, -1] = made.tokenizer.eos_token_id
    made.facts["output"] = torch.cat([made.facts["output"], ended])[:rows]
    made.prompt = {name: value.repeat(rows, 1) for name, value in made.prompt.items()}
    found = [one.severity for one in found_in(made) if one.code == "cut-off"]
    assert found == [severity]


def test_the_corpus_is_large_enough_and_every_code_is_found_somewhere_and_absent_somewhere():
    assert len(FAULTY) >= 60 and len(SOUND) >= 60
    assert {code for code, _ in FAULTY.values()} == set(CODES)
    absent = defaultdict(int)
    for make in SOUND.values():
        codes = {finding.code for finding in found_in(make())}
        for code in set(CODES) - codes:
            absent[code] += 1
    assert set(absent) == set(CODES)


@pytest.mark.parametrize("name", FAULTY)
def test_no_faulty_call_gets_a_code_that_is_not_documented(name):
    assert {finding.code for finding in found_in(FAULTY[name][1]())} <= set(CODES)


def test_a_diagnosis_changes_neither_generators_nor_configuration_nor_mode():
    made = FAULTY["train mode with dropout"][1]()
    before = torch.get_rng_state(), made.model.generation_config.to_dict()
    llmcourse.diagnose(
        made.model, made.tokenizer, made.prompt, run=True, evidence=True, do_sample=True, **LENGTH
    )
    assert torch.equal(torch.get_rng_state(), before[0])
    assert made.model.generation_config.to_dict() == before[1]
    assert made.model.training


def test_evidence_shows_what_the_fix_of_the_padding_side_changes():
    model, tokenizer = plain("unigram", "right")
    (finding,) = llmcourse.diagnose(model, tokenizer, TEXTS, evidence=True, **LENGTH).errors
    tokenizer.padding_side = "left"
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    right = model.generate(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, **LENGTH
    )
    texts = tokenizer.batch_decode(right[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    assert finding.evidence.after in texts
    assert finding.evidence.before != finding.evidence.after
    assert 0 < finding.evidence.distance <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTY)
def test_a_run_and_its_evidence_never_raise_and_every_finding_says_what_was_seen(name):
    made = FAULTY[name][1]()
    asked = {"run": True, "evidence": True, **made.call}
    findings = llmcourse.diagnose(made.model, made.tokenizer, made.prompt, **asked).findings
    assert all(finding.evidence.sentence for finding in findings)


def test_a_call_that_fails_on_its_way_is_reported_in_the_words_of_the_error():
    model, tokenizer = plain("unigram", family="gpt2")
    long = {"min_new_tokens": 9, "max_new_tokens": 9}
    diagnosis = llmcourse.diagnose(model, tokenizer, "a " * 123, run=True, **long)
    assert {"refused", "beyond-context"} <= set(diagnosis.codes) and diagnosis.output is None


def filled_cache(model, ids) -> tuple[str, DynamicCache]:
    """Return a cache that holds all tokens but the last, and what transformers calls it."""
    name = "cache" if LIBRARY >= (5, 24) else "past_key_values"
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(ids[:, :-1], use_cache=True, **{name: cache})
    return name, cache


@pytest.mark.parametrize("place", ["the call", "the inputs"])
def test_a_cache_that_was_handed_in_is_left_as_it_was(place):
    model, tokenizer = plain()
    ids = tokenizer("a text that goes on", return_tensors="pt").input_ids
    name, cache = filled_cache(model, ids)
    keys = cache.layers[0].keys.clone()
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    call = {**LENGTH, "do_sample": False, "top_p": 0.5}
    (call if place == "the call" else inputs)[name] = cache
    found = llmcourse.diagnose(model, tokenizer, inputs, run=True, evidence=True, **call)
    assert found.output.shape[1] == ids.shape[1] + LENGTH["max_new_tokens"]
    assert "refused" not in found.codes and "sampling-ignored" in found.codes
    assert all("Not measured" not in each.evidence.sentence for each in found.findings)
    assert torch.equal(cache.layers[0].keys, keys)


@pytest.mark.parametrize("name", CACHE_NAMES)
def test_a_call_gets_a_copy_of_its_cache_under_any_name(name):
    cache = DynamicCache()
    call = with_own_cache({name: cache, "top_p": 0.5})
    assert isinstance(call[name], DynamicCache) and call[name] is not cache
    assert call["top_p"] == 0.5


def test_without_evidence_asked_for_nothing_is_run(monkeypatch):
    model, tokenizer = plain("unigram", "right", settings={})
    monkeypatch.setattr(model, "forward", lambda *a, **k: pytest.fail("a forward pass"))
    assert "padding-side" in llmcourse.diagnose(model, tokenizer, TEXTS, **LENGTH).codes


def test_a_run_returns_what_generate_returns():
    model, tokenizer = plain()
    diagnosis = llmcourse.diagnose(model, tokenizer, "a text", run=True, **LENGTH)
    inputs = tensors(tokenizer, "a text")
    assert torch.equal(diagnosis.output, model.generate(**inputs, **LENGTH))
    assert (
        "cut-off" in diagnosis.codes or len(diagnosis.output[0]) < inputs["input_ids"].numel() + 4
    )


def test_findings_come_gravest_first_and_export_as_json():
    model, tokenizer = plain("byte level", "right")
    diagnosis = llmcourse.diagnose(model, tokenizer, TEXTS, temperature=0.5)
    ranks = [("error", "warning", "note").index(each.severity) for each in diagnosis.findings]
    assert ranks == sorted(ranks) and diagnosis.errors and diagnosis.warnings
    told = json.loads(diagnosis.to_json())
    assert told["schema"] == "llmcourse.diagnosis/1"
    assert [each["code"] for each in told["findings"]] == list(diagnosis.codes)
    assert told["findings"][0]["page"] == "docs/pitfalls.md#padding-side"


def test_what_a_prompt_says_is_inert_on_the_page():
    model, tokenizer = chat("zephyr")
    nasty = "Write <script>alert(1)</script> $x$ \u202e now."
    page = llmcourse.diagnose(model, tokenizer, nasty, **LENGTH)._repr_html_()
    assert "&lt;script&gt;" in page and "<script>" not in page and "\u202e" not in page


def test_a_sound_call_says_so():
    model, tokenizer = plain()
    diagnosis = llmcourse.diagnose(model, tokenizer, "a text", **LENGTH)
    assert repr(diagnosis) == "Nothing found." and "Nothing found." in diagnosis._repr_html_()


def test_a_prompt_of_another_kind_is_refused_by_name():
    model, tokenizer = plain()
    with pytest.raises(TypeError, match="prompt_or_inputs is a int; pass a text"):
        llmcourse.diagnose(model, tokenizer, 7)


def test_the_course_model_gets_its_findings(course_model):
    model, tokenizer = course_model
    sound = llmcourse.diagnose(model, tokenizer, [USER], max_new_tokens=8)
    assert not sound.errors and not sound.warnings
    bare = llmcourse.diagnose(model, tokenizer, USER["content"], max_new_tokens=8)
    assert [each.code for each in bare.warnings] == ["bare-prompt"]
    ids = tokenizer(["A list", "A longer list of"], padding=True, return_tensors="pt").input_ids
    assert {"no-mask", "pad-is-eos"} <= set(llmcourse.diagnose(model, tokenizer, ids).codes)


ASKS = """
import sys
from types import SimpleNamespace
import transformers
from llmcourse.doctor.case import Case
from llmcourse.doctor.pitfalls.settings import no_seed
if sys.argv[1] == "seeded":
    transformers.set_seed(0)
model = SimpleNamespace(generation_config=None)
case = Case(model, None, config=SimpleNamespace(do_sample=True), repeatable=True)
print(bool(list(no_seed(case))))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "found"), [("fresh", "True"), ("seeded", "False")])
def test_a_fresh_process_has_no_seed_and_one_with_set_seed_has(how, found):
    command = [sys.executable, "-c", ASKS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found


@pytest.mark.slow
def test_a_template_without_end_is_stopped_and_is_not_called_a_failure_of_the_call():
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    tokenizer = letters(endless)
    made = Call(SOUND[next(iter(SOUND))]().model, tokenizer, [USER])
    (finding,) = [one for one in found_in(made) if one.code == "refused"]
    assert "template was stopped on its way: it takes more than" in finding.what
    assert finding.confidence == "likely"


@pytest.mark.parametrize(("gguf", "severity"), [(True, "warning"), (False, "note")])
def test_weights_that_only_look_rounded_are_a_note(monkeypatch, gguf, severity):
    monkeypatch.setattr(loading, "_rounded_blocks", lambda folder: True)
    model, tokenizer = plain(settings={})
    model.config.quantization_config = SimpleNamespace(quant_method="bitsandbytes")
    case = complete(model, tokenizer, "a text", LENGTH)
    case.loads = [{"gguf_file": "a.gguf", "quantization_config": "4bit"}] if gguf else []
    found = [one.severity for one in check(case) if one.code == "quantized-twice"]
    assert found == [severity]


CALLS = {**{name: make for name, (_, make) in FAULTY.items()}, **SOUND}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_whose_tokenizer_nobody_knows_fails_no_check(name):
    made = CALLS[name]()
    if isinstance(made.prompt, str | list):
        return  # a text wants a tokenizer
    case = complete(made.model, None, made.prompt, made.call, made.repeatable)
    for fact, value in made.facts.items():
        if fact not in ("tokenizer_calls", "template_calls", "decoded"):  # those know a tokenizer
            setattr(case, fact, value)
    check(case)


def test_a_check_that_fails_takes_no_other_with_it():
    made = FAULTY["unigram: padded ids, no mask"][1]()
    case, failed = complete(made.model, made.tokenizer, made.prompt, made.call), []

    def fails(case):
        yield from ()
        raise ValueError("a check")

    broken = replace(PITFALLS["no-eos"], code="broken", check=fails)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PITFALLS, "broken", broken)
        found = check(case, failed=lambda one, error: failed.append((one.code, str(error))))
        with pytest.raises(ValueError):
            check(case)
    assert failed == [("broken", "a check")] and "no-mask" in [one.code for one in found]

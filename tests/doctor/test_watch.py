"""`watch` diagnoses the calls in a block, says from which line they came, and changes nothing."""

import json
import sys
import threading
import time

import pytest
import torch
import transformers
from transformers import (
    DynamicCache,
    GenerationConfig,
    TextIteratorStreamer,
    TextStreamer,
    pipeline,
)

import llmcourse
from llmcourse.decoding.cache import LIBRARY
from tests.doctor.corpus.calls import LENGTH, TEXTS, USER, chat, plain, tensors
from tests.support.families import tiny
from tests.support.toy_tokenizers import letter_pairs, wordpiece_like

# Before, a pipeline handed its defaults on in a config, as if somebody had passed that.
keeps_its_defaults_apart = pytest.mark.skipif(
    not hasattr(transformers.Pipeline, "_default_generation_config"), reason="an older pipeline"
)
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def here() -> int:
    return sys._getframe(1).f_lineno


def padded(tokenizer, side: str):
    texts = ["1, 2, 3", "A, B, C, D, E"]
    return tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")


def test_a_faulty_call_is_found_with_its_line(course_model):
    model, tokenizer = course_model
    wrong, call = padded(tokenizer, "right"), {"do_sample": False, "max_new_tokens": 4}
    with llmcourse.watch(model, tokenizer) as watched:
        model.generate(**wrong, **call), (line := here())
    (error,) = [found for found in watched.findings if found.severity == "error"]
    assert (error.code, error.file, error.line) == ("padding-side", __file__, line)
    assert "padding-side" in repr(watched) and "Looked at 1 call to generate." in repr(watched)
    assert "padding-side" in watched._repr_html_()
    assert watched.failures == []


def test_sound_calls_get_neither_error_nor_warning(course_model):
    model, tokenizer = course_model
    options = {"add_generation_prompt": True, "return_dict": True, "return_tensors": "pt"}
    with llmcourse.watch(model, tokenizer) as watched:
        chat = tokenizer.apply_chat_template(QUESTION, **options)
        ids = model.generate(**chat, do_sample=False, max_new_tokens=20)
        tokenizer.decode(ids[0, chat["input_ids"].shape[1] :], skip_special_tokens=True)
        model.generate(**padded(tokenizer, "left"), do_sample=False, max_new_tokens=4)
    assert [found for found in watched.findings if found.severity != "note"] == []
    assert len(watched.diagnoses) == 2
    assert watched.diagnoses[0].text == "The capital of France is Paris."


def sampling_in(watched) -> list[tuple[str, str]]:
    """Return (severity, sentence) of each finding that somebody else made the call sample."""
    found = [one for one in watched.findings if one.code == "sampling-unasked"]
    return [(one.severity, one.what) for one in found]


@keeps_its_defaults_apart
def test_a_pipeline_that_samples_by_its_own_defaults_is_named(course_model):
    model, tokenizer = course_model
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)
    with llmcourse.watch(model, tokenizer) as watched:
        pipe("The cat", max_new_tokens=4)
    ((severity, what),) = sampling_in(watched)
    assert severity == "note" and "the pipeline sets" in what and "temperature=0.7" in what
    assert watched.failures == []


@keeps_its_defaults_apart
def test_a_pipeline_that_answers_a_prompt_in_two_ways_is_a_warning(course_model):
    model, tokenizer = course_model
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)
    with llmcourse.watch(model, tokenizer) as watched:
        for seed in (0, 1):
            torch.manual_seed(seed)
            pipe("The cat", max_new_tokens=12)
    ((severity, what),) = sampling_in(watched)
    assert severity == "warning" and "samples" in what


@pytest.mark.parametrize("draws", [False, True])
def test_a_seed_is_without_effect_where_nothing_was_drawn_under_it(draws):
    model, ids = tiny("llama"), torch.tensor([[3, 4, 7]])
    with llmcourse.watch(model) as watched:
        for seed in (0, 1):
            torch.manual_seed(seed)
            if draws:
                model.generate(ids[:, :2], do_sample=True, top_k=0, max_new_tokens=2)
            model.generate(ids, do_sample=False, max_new_tokens=2)
    assert ("seed-without-sampling" in watched.codes) != draws


@pytest.mark.parametrize("asked", ["the call", "the pipeline", "a config"])
def test_a_pipeline_that_was_told_to_sample_or_not_is_none(course_model, asked):
    model, tokenizer = course_model
    config = GenerationConfig(do_sample=True, max_new_tokens=4)
    made = {"do_sample": True} if asked == "the pipeline" else {}
    call = {"the call": {"do_sample": False}, "a config": {"generation_config": config}}
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer, **made)
    with llmcourse.watch(model, tokenizer) as watched:
        pipe("The cat", **({"max_new_tokens": 4} | call.get(asked, {})))
    assert sampling_in(watched) == [] and watched.failures == []


@keeps_its_defaults_apart
def test_beams_in_a_pipeline_are_drawn(course_model):
    model, tokenizer = course_model
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)
    with llmcourse.watch(model, tokenizer) as watched:
        pipe("The cat", max_new_tokens=4, num_beams=2)
    (found,) = [one for one in watched.findings if one.code == "beam-sampling"]
    assert found.severity == "warning" and "the pipeline" in found.what


@pytest.mark.parametrize("evidence", [False, True])
def test_tokens_and_the_random_state_are_what_they_are_without_it(course_model, evidence):
    model, tokenizer = course_model
    inputs = tokenizer("The cat sat on the", return_tensors="pt")
    call = {**inputs, "do_sample": True, "temperature": 0.7, "max_new_tokens": 5}
    torch.manual_seed(3)
    plain, after = model.generate(**call), torch.get_rng_state()
    torch.manual_seed(3)
    with llmcourse.watch(model, tokenizer, evidence=evidence):
        watched, state = model.generate(**call), torch.get_rng_state()
    assert torch.equal(plain, watched) and torch.equal(after, state)


def test_evidence_of_a_call_with_a_cache_is_measured_from_the_cache_as_it_was(course_model):
    model, tokenizer = course_model
    ids = tokenizer("The cat sat on the", return_tensors="pt").input_ids
    name = "cache" if LIBRARY >= (5, 24) else "past_key_values"
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(ids[:, :-1], use_cache=True, **{name: cache})
    with llmcourse.watch(model, tokenizer, evidence=True) as watched:
        call = {name: cache, "do_sample": False, "top_p": 0.5, "max_new_tokens": 3}
        model.generate(ids, attention_mask=torch.ones_like(ids), **call)
    (found,) = [found for found in watched.findings if found.code == "sampling-ignored"]
    assert found.evidence.distance is not None
    assert found.evidence.before == watched.diagnoses[0].text
    assert cache.get_seq_length() == ids.shape[1] + 2  # the call itself writes into it


def test_a_call_that_fails_raises_the_same_error_and_is_reported(course_model):
    model, tokenizer = course_model
    inputs = tokenizer("The cat", return_tensors="pt")
    with (
        llmcourse.watch(model, tokenizer) as watched,
        pytest.raises(ValueError, match="temperature"),
    ):
        model.generate(**inputs, do_sample=True, temperature=0.0, max_new_tokens=2)
    assert watched.codes[0] in ("refused", "temperature-too-low")


def test_after_the_block_nothing_is_watched_even_if_it_ended_in_an_error(course_model):
    model, tokenizer = course_model
    generate = type(model).generate
    with pytest.raises(KeyError), llmcourse.watch(model, tokenizer) as watched:
        raise KeyError("mine")
    assert type(model).generate is generate
    model.generate(**padded(tokenizer, "right"), max_new_tokens=2)
    assert watched.diagnoses == ()


def test_an_answer_decoded_with_its_prompt_is_found_where_it_is_decoded(course_model):
    model, tokenizer = course_model
    text = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, tokenize=False)
    with llmcourse.watch(model, tokenizer) as watched:
        chat = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        ids = model.generate(**chat, do_sample=False, max_new_tokens=20)
        tokenizer.batch_decode(ids), (line := here())
    (found,) = [found for found in watched.findings if found.code == "prompt-in-output"]
    assert (found.file, found.line) == (__file__, line)


def test_characters_that_are_split_by_decoding_piece_by_piece_are_found(course_model):
    model, tokenizer = course_model
    glove = tokenizer("🥊🥊", add_special_tokens=False).input_ids

    def only_the_glove(ids, scores):
        place = min(ids.shape[1] - length, len(glove) - 1)
        return torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor(glove[place]), 0)

    inputs = tokenizer("Look: ", return_tensors="pt")
    length = inputs.input_ids.shape[1]
    call = {"do_sample": False, "max_new_tokens": len(glove), "logits_processor": [only_the_glove]}
    with llmcourse.watch(model, tokenizer) as watched:
        ids = model.generate(**inputs, **call)
        for token in ids[0, length:].tolist():
            tokenizer.decode([token])
    assert "piecewise-decoding" in watched.codes
    with llmcourse.watch(model, tokenizer) as watched:
        ids = model.generate(**inputs, **call)
        tokenizer.decode(ids[0, length:])
    assert "piecewise-decoding" not in watched.codes


def test_a_loop_by_hand_that_ignores_padding_is_found(course_model):
    model, tokenizer = course_model
    left = padded(tokenizer, "left")
    right_places = (left["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    with llmcourse.watch(model, tokenizer) as watched, torch.no_grad():
        model(**left, position_ids=right_places)
        assert watched.codes == ()
        model(**left), (line := here())
    (found,) = watched.findings
    assert (found.code, found.line) == ("position-ids", line)


def test_streamers_threads_and_nested_blocks_work_as_without(course_model, capsys):
    model, tokenizer = course_model
    inputs = tokenizer("A list of colors: red, blue", return_tensors="pt")
    call = {**inputs, "do_sample": False, "max_new_tokens": 5}
    with llmcourse.watch(model, tokenizer) as outer, llmcourse.watch(model, tokenizer) as inner:
        model.generate(**call, streamer=TextStreamer(tokenizer, skip_prompt=True))
        queue = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
        worker = threading.Thread(target=model.generate, kwargs={**call, "streamer": queue})
        worker.start()
        text = "".join(queue)
        worker.join()
        model.generate(**call, custom_generate=llmcourse.glass_box)
    assert capsys.readouterr().out.strip() == text.strip()
    assert len(outer.diagnoses) == len(inner.diagnoses) == 3
    assert outer.failures == inner.failures == []


def test_another_models_calls_are_left_alone(course_model):
    model, tokenizer = course_model
    with llmcourse.watch(model, tokenizer) as watched:
        tiny("llama").generate(torch.tensor([[3, 4, 5]]), max_new_tokens=2)
    assert watched.diagnoses == ()


def test_what_the_doctor_fails_at_breaks_no_call(course_model, monkeypatch):
    model, tokenizer = course_model
    monkeypatch.setattr("llmcourse.doctor.watched.ledger.check", lambda *_, **__: 1 / 0)
    with llmcourse.watch(model, tokenizer) as watched:
        ids = model.generate(**padded(tokenizer, "left"), do_sample=False, max_new_tokens=2)
    assert ids.shape[0] == 2
    assert "ZeroDivisionError" in watched.failures[0] and "ZeroDivisionError" in repr(watched)


def test_the_json_has_calls_findings_and_failures(course_model):
    model, tokenizer = course_model
    with llmcourse.watch(model, tokenizer) as watched:
        model.generate(**padded(tokenizer, "right"), max_new_tokens=2)
    plain = json.loads(watched.to_json())
    assert plain["schema"] == "llmcourse.watch/1"
    assert plain["calls"][0]["file"] == __file__
    assert plain["findings"][0]["code"] == "padding-side" and plain["failures"] == []


# Many calls, and calls whose tokenizer shows late


IDS = torch.tensor([[3, 4, 5]])
CALL = {"attention_mask": torch.ones_like(IDS), "max_new_tokens": 2, "do_sample": False}


def test_a_finding_says_how_often_it_was_there_at_its_line(words):
    model = tiny("llama")
    with llmcourse.watch(model, words) as watched:
        for _ in range(3):
            model.generate(IDS, **CALL, top_p=0.5)
        model.generate(IDS, **CALL, top_p=0.5)
    counts = [found.count for found in watched.findings if found.code == "sampling-ignored"]
    assert counts == [3, 1]
    plain = json.loads(watched.to_json())["findings"]
    assert [one["count"] for one in plain if one["code"] == "sampling-ignored"] == counts
    assert repr(watched).count("[sampling-ignored] (certain) (3 times)") == 1
    assert "certain (3 times)" in watched._repr_html_()


def test_after_a_thousand_calls_the_findings_are_there_at_once(words):
    model = tiny("llama")
    with llmcourse.watch(model, words) as watched:
        ids = model.generate(IDS, **CALL, top_p=0.5)
        watched.calls *= 1000
        words.decode(ids[0])
        words.decode([9] * 50)  # which no call made: all are searched
        started = time.perf_counter()
        words.decode([9] * 50)
        assert time.perf_counter() - started < 0.1
    started = time.perf_counter()
    assert watched.findings[0].count == 1000
    assert repr(watched) and watched._repr_html_() and watched.to_json()
    assert time.perf_counter() - started < 0.3


@pytest.mark.parametrize("pieces", [1, 3, 1500])
def test_what_is_decoded_piece_by_piece_is_found_when_it_is_asked_for(pieces):
    model, tokenizer = tiny("llama"), wordpiece_like()  # it puts spaces between pieces
    with llmcourse.watch(model, tokenizer) as watched:
        ids = model.generate(IDS, **{**CALL, "max_new_tokens": 3})
        for at in range(pieces):
            tokenizer.decode(ids[0, 3 + at % 3])
    assert ("piecewise-decoding" in watched.codes) == (pieces > 1)
    assert len(watched.calls[0].decoded) == min(pieces, 1000) and watched.failures == []


def test_what_was_found_stays_when_its_decodings_make_room_for_others(words):
    model = tiny("llama")
    with llmcourse.watch(model, words) as watched:
        for at in range(4):
            ids = model.generate(torch.tensor([[10 + at, 4, 5]]), **CALL)
            for _ in range(400):
                words.decode(ids[0])
    assert [call.forgotten for call in watched.calls] == [True, True, False, False]
    assert all("prompt-in-output" in diagnosis.codes for diagnosis in watched.diagnoses)
    (found,) = [found for found in watched.findings if found.code == "prompt-in-output"]
    assert found.count == 4 and watched.failures == []


@pytest.mark.parametrize(
    "as_given",
    [list, tuple, lambda ids: ids, lambda ids: ids.numpy(), lambda ids: list(ids.numpy())],
    ids=["tensors in a list", "tensors in a tuple", "tensor", "array", "numbers of numpy"],
)
def test_ids_are_known_again_in_whatever_they_are_decoded_from(words, as_given):
    model = tiny("llama")
    with llmcourse.watch() as watched:  # no tokenizer is known before the call
        ids = model.generate(IDS, **CALL)
        words.decode(as_given(ids[0])), (line := here())
        words.decode(ids[0, -1].item())
    (found,) = [found for found in watched.findings if found.code == "prompt-in-output"]
    assert found.line == line and watched.failures == []
    assert watched.calls[0].times_decoded == 2


def test_stop_strings_with_their_tokenizer_are_sound_before_it_was_ever_called():
    model = tiny("llama")
    with llmcourse.watch() as watched:
        model.generate(IDS, **CALL, stop_strings=["ab"], tokenizer=letter_pairs())
    assert len(watched.diagnoses) == 1 and watched.failures == []
    assert "refused" not in watched.codes


def test_an_error_that_cannot_say_what_it_is_is_reported_and_raised_as_it_is(words):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    def fails(ids, scores):
        raise Mute

    model = tiny("llama")
    with llmcourse.watch(model, words) as watched, pytest.raises(Mute):
        model.generate(IDS, **CALL, logits_processor=[fails])
    (found,) = [found for found in watched.findings if found.code == "refused"]
    assert "Mute" in found.what and "cannot be read" in found.what


def test_a_base_exception_passes_and_is_no_fault_of_the_call(words):
    class Odd(BaseException):
        pass

    def fails(ids, scores):
        raise Odd

    model = tiny("llama")
    with llmcourse.watch(model, words) as watched, pytest.raises(Odd):
        model.generate(IDS, **CALL, logits_processor=[fails])
    assert watched.diagnoses == () and watched.failures == []


def test_the_tokenizers_calls_that_made_the_prompt_are_known_and_no_others():
    model, tokenizer = plain("byte level")
    with llmcourse.watch(model, tokenizer) as watched:
        tokenizer("another text altogether")
        first = tokenizer("the first piece").input_ids
        more = tokenizer.encode(" and more", truncation=True)
        model.generate(torch.tensor([first + more]), **LENGTH)
        model.generate(**tensors(tokenizer, TEXTS, padding=True), **LENGTH)
    calls = [call.case.tokenizer_calls for call in watched.calls]
    assert [[one.text for one in made] for made in calls] == [
        ["the first piece", " and more"],
        [TEXTS],
    ]
    assert calls[0][1].kwargs == {"truncation": True} and calls[0][0].rows == [first]


def test_a_chat_knows_the_chats_that_were_asked_before():
    model, tokenizer = chat("chatml")
    messages = [USER]
    options = {"add_generation_prompt": True, "return_tensors": "pt"}
    with llmcourse.watch(model, tokenizer) as watched:
        model.generate(**tokenizer.apply_chat_template(messages, **options), **LENGTH)
        messages.append({"role": "user", "content": "And of Chile?"})
        model.generate(**tokenizer.apply_chat_template(messages, **options), **LENGTH)
    assert [call.case.earlier_chats for call in watched.calls] == [[], [[USER]]]
    assert "answers-not-kept" in watched.codes


def test_a_tokenizers_call_that_ends_the_block_is_looked_at_and_one_that_was_caught_is_not():
    model, tokenizer = chat("chatml")
    with pytest.raises(OverflowError), llmcourse.watch(model, tokenizer) as watched:
        with pytest.raises(ValueError, match="specify either"):
            tokenizer(None)
        line = here() + 1
        tokenizer.decode([-100])
    (found,) = watched.findings
    assert (found.code, found.file, found.line) == ("tokenizer-refused", __file__, line)
    assert watched.failures == []


def test_a_short_text_of_another_chat_is_in_a_prompt_by_chance():
    model, tokenizer = chat("chatml")
    talk = [{"role": "user", "content": "Say hi."}, {"role": "user", "content": "Say more."}]
    with llmcourse.watch(model, tokenizer) as watched:
        short = tokenizer.apply_chat_template(
            talk, chat_template="{{ messages[0].content }}", tokenize=False
        )
        long = f"{short} And then tell me what you think of the weather in June."
        for text in (long, short):
            model.generate(**tensors(tokenizer, text), **LENGTH)
    by_chance, whole = (call.case.template_calls for call in watched.calls)
    assert by_chance == [] and [one.messages for one in whole] == [talk]

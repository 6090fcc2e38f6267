"""Beam search in the open: the same texts and scores as `generate`, and every step can be seen."""

import dataclasses
import inspect
from itertools import pairwise, product

import pytest
import torch
from transformers import StoppingCriteria

import llmcourse
from llmcourse.decoding import beam
from llmcourse.decoding.beam import NOTHING, BeamStep
from tests.support.compare import generate_as_the_library
from tests.support.families import CONFIGS, PAD, VOCAB, build, tiny
from tests.support.settings import EVERYTHING, PROMPTS, SEED, SOME_EOS

NEW_TOKENS = 8


def assert_same_beams(model, **call):
    """Run one call in `generate`, in the glass box and in `steps`; return what ours gave."""
    call = {"max_new_tokens": NEW_TOKENS, "pad_token_id": PAD, **call}
    theirs = generate_as_the_library(model, **call)
    random_state = torch.get_rng_state()
    ours = generate_as_the_library(model, **call, custom_generate=llmcourse.glass_box)
    assert type(ours) is type(theirs)
    assert torch.equal(torch.get_rng_state(), random_state), "the random numbers used differ"
    assert torch.equal(ours.sequences, theirs.sequences)
    torch.testing.assert_close(ours.sequences_scores, theirs.sequences_scores, atol=1e-5, rtol=0)
    assert torch.equal(ours.beam_indices, theirs.beam_indices)
    for one, other in ((ours.scores, theirs.scores), (ours.logits, theirs.logits)):
        assert len(one) == len(other)
        assert all(map(torch.equal, one, other))
    torch.manual_seed(SEED)
    walk = list(llmcourse.steps(model, **call))
    assert all(map(torch.equal, (step.scores for step in walk), theirs.scores))
    return ours, walk


SETTINGS = {
    "two_beams": {"num_beams": 2},
    "four_beams_three_texts": {"num_beams": 4, "num_return_sequences": 3},
    "sampling": {"num_beams": 3, "do_sample": True, "top_k": 0},
    "sampling_with_rules": {"num_beams": 3, "do_sample": True, "temperature": 1.4, "top_k": 30},
    "penalties": {"num_beams": 3, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
}


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("name", SETTINGS)
def test_beams_are_those_of_generate(family, name):
    call = {**PROMPTS["unequal"], **SETTINGS[name]}
    ours, _ = assert_same_beams(tiny(family), **call, eos_token_id=SOME_EOS)
    assert len(ours.sequences[:, -NEW_TOKENS:].unique()) > 2


@pytest.mark.slow
@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.5])
@pytest.mark.parametrize("prompts", ["one", "unequal"])
@pytest.mark.parametrize("do_sample", [False, True])
@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_length_penalty_and_early_stopping_are_those_of_generate(
    early_stopping, length_penalty, prompts, do_sample, family
):
    call = {"early_stopping": early_stopping, "length_penalty": length_penalty}
    call |= {**PROMPTS[prompts], "num_beams": 3, "do_sample": do_sample, "top_k": 0}
    for eos in (SOME_EOS, None):
        assert_same_beams(tiny(family), **call, eos_token_id=eos, max_new_tokens=12)


def test_early_stopping_and_length_penalty_make_a_difference():
    """If they changed nothing, the cells above would prove nothing."""
    call = {**PROMPTS["one"], "num_beams": 3, "eos_token_id": SOME_EOS, "max_new_tokens": 12}
    found = {
        (early, penalty): assert_same_beams(
            tiny("llama"), **call, early_stopping=early, length_penalty=penalty
        )
        for early in (True, "never")
        for penalty in (-1.0, 2.5)
    }
    lengths = {key: len(walk) for key, (_, walk) in found.items()}
    assert lengths[True, 2.5] < lengths["never", 2.5]
    texts = {key: output.sequences.tolist() for key, (output, _) in found.items()}
    assert texts["never", -1.0] != texts["never", 2.5]


class StopOnEven(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return input_ids[:, -1] % 2 == 0


def only_few(row, ids):
    return [7, 8, 9]


OTHER_CALLS = {
    "without_cache": {"use_cache": False},
    "static_cache": {"cache_implementation": "static"},
    "chunks": {"prefill_chunk_size": 4},
    "own_criterion": {"stopping_criteria": [StopOnEven()]},  # more ends than `generate` allows for
    "few_tokens_allowed": {"prefix_allowed_tokens_fn": only_few},  # fewer than candidates
    "all_but_one_suppressed": {"suppress_tokens": [id for id in range(VOCAB) if id != 9]},
    "forced_eos": {"forced_eos_token_id": 5},
    "min_new_tokens": {"min_new_tokens": 6, "eos_token_id": SOME_EOS},
    "guidance": {"guidance_scale": 1.5},
    "one_token": {"max_new_tokens": 1},
    "pad_is_missing": {"pad_token_id": None, "eos_token_id": SOME_EOS},
    "pad_is_not_0": {"pad_token_id": 96, "eos_token_id": SOME_EOS},
    "eos_tensor": {"eos_token_id": torch.tensor(SOME_EOS)},
    "renormalize": {"renormalize_logits": True, "temperature": 2.0, "do_sample": True, "top_k": 40},
    "prompt_missing": {"input_ids": None, "attention_mask": None},
}


@pytest.mark.parametrize("name", OTHER_CALLS)
@pytest.mark.parametrize("prompts", ["one", "equal", "unequal"])
def test_other_calls_are_those_of_generate(name, prompts):
    call = {**PROMPTS[prompts], "num_beams": 3, "num_return_sequences": 2, **OTHER_CALLS[name]}
    assert_same_beams(tiny("llama"), **call)


def test_without_a_dict_the_ids_alone_come_back():
    call = {**PROMPTS["unequal"], "num_beams": 3, "max_new_tokens": 5}
    theirs = tiny("llama").generate(**call)
    assert torch.equal(llmcourse.generate(tiny("llama"), **call), theirs)
    assert torch.equal(tiny("llama").generate(**call, custom_generate=llmcourse.glass_box), theirs)


@pytest.mark.parametrize("wanted", [(), ("output_scores",), ("output_logits",)])
def test_the_output_holds_what_was_asked_for_and_no_more(wanted):
    call = {**PROMPTS["one"], "num_beams": 2, "max_new_tokens": 3, "return_dict_in_generate": True}
    call |= dict.fromkeys(wanted, True)
    theirs, ours = tiny("llama").generate(**call), llmcourse.generate(tiny("llama"), **call)
    assert list(ours.keys()) == list(theirs.keys())


@pytest.mark.parametrize("normalize", [False, True])
def test_transition_scores_are_equal(normalize):
    model, call = tiny("llama"), {**PROMPTS["unequal"], "num_beams": 3, "eos_token_id": SOME_EOS}
    ours, _ = assert_same_beams(model, **call)
    theirs = generate_as_the_library(model, **call, max_new_tokens=NEW_TOKENS, pad_token_id=PAD)
    one, other = (
        model.compute_transition_scores(
            run.sequences, run.scores, run.beam_indices, normalize_logits=normalize
        )
        for run in (ours, theirs)
    )
    assert torch.equal(one, other)


def every_text(model, prompt: list[int], length: int) -> list[tuple[float, tuple[int, ...]]]:
    """Return the log-probability of every text of `length` tokens; each is read whole."""
    vocab, texts = model.config.vocab_size, []
    for text in product(range(vocab), repeat=length):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *text]])).logits[0].log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) + length - 1)
        score = sum(logits[place, token] for place, token in zip(places, text, strict=True))
        texts.append((float(score), text))
    return sorted(texts, reverse=True)


def test_with_enough_beams_the_search_is_exhaustive():
    """An independent check: 6 x 6 x 6 texts, all read one by one."""
    model = build("llama", vocab_size=6, eos_token_id=None)
    likeliest = every_text(model, [1, 2], 3)[:5]
    output = llmcourse.generate(
        model,
        input_ids=torch.tensor([[1, 2]]),
        num_beams=36,
        num_return_sequences=5,
        max_new_tokens=3,
        length_penalty=0.0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert [tuple(row[2:]) for row in output.sequences.tolist()] == [text for _, text in likeliest]
    expected = torch.tensor([score for score, _ in likeliest])
    torch.testing.assert_close(output.sequences_scores, expected, atol=1e-4, rtol=0)


def test_beams_find_a_likelier_text_than_greedy_decoding():
    def score(beams):
        call = {**PROMPTS["one"], "num_beams": beams, "length_penalty": 0.0, "eos_token_id": None}
        step = list(llmcourse.steps(tiny("llama"), **call, max_new_tokens=6))[-1]
        return step.ended.texts.scores[0, 0].item()

    greedy = list(
        llmcourse.steps(tiny("llama"), **PROMPTS["one"], max_new_tokens=6, eos_token_id=None)
    )
    alone = sum(step.probs[0, step.chosen[0]].log().item() for step in greedy)
    assert score(8) > alone + 0.1


def walk(**more) -> list[BeamStep]:
    call = {**PROMPTS["unequal"], "num_beams": 3, "max_new_tokens": 10, "eos_token_id": SOME_EOS}
    return list(llmcourse.steps(tiny("llama"), **{**call, **more}))


def test_every_candidate_of_every_step_is_accounted_for():
    for step in walk():
        for prompt in range(3):
            fates = [each.fate for each in step.hypotheses(prompt)]
            assert len(fates) == step.candidates.scores.shape[1]
            assert set(fates) <= {"live", "finished", "dropped"}
            assert fates.count("live") <= 3
            for each in step.hypotheses(prompt):
                assert len(each.ids) == step.index + 1
                assert 0 <= each.came_from < 3
                assert (each.stop_reason is None) or each.fate != "live"
                assert each.fate != "finished" or each.stop_reason == "eos" or step.index == 9


def test_a_live_hypothesis_grows_out_of_one_that_was_live():
    for before, after in pairwise(walk()):
        for prompt in range(3):
            were = before.live.ids[prompt].tolist()
            for each in after.hypotheses(prompt):
                prefix = after.candidates.ids[prompt, 0, : -len(each.ids)].tolist()
                assert [*prefix, *each.ids[:-1]] == were[each.came_from]


def test_the_scores_of_hypotheses_are_sums_of_log_probabilities():
    step = walk(eos_token_id=None)[3]
    best = step.hypotheses()[0]
    call = {**PROMPTS["unequal"], "max_new_tokens": 1}
    ids = torch.cat([call["input_ids"][:1], torch.tensor([best.ids])], dim=1)
    mask = torch.cat([call["attention_mask"][:1], torch.ones(1, 4, dtype=torch.long)], dim=1)
    with torch.no_grad():
        logits = tiny("llama")(ids, attention_mask=mask).logits[0].log_softmax(-1)
    start = call["input_ids"].shape[1] - 1
    expected = sum(logits[start + at, token].item() for at, token in enumerate(best.ids))
    assert abs(best.score - expected) < 1e-4


def test_the_texts_that_ended_are_sorted_and_have_reasons():
    for step in walk():
        ended = step.ended
        assert (ended.texts.scores.diff(dim=1) <= 0).all()
        for taken, scores, reasons in zip(
            ended.taken, ended.texts.scores, ended.reasons, strict=True
        ):
            assert [word is not None for word in reasons] == taken.tolist()
            assert ((scores > NOTHING / 2) == taken).all()


def test_the_result_says_why_each_text_ended():
    call = {**PROMPTS["unequal"], "num_beams": 3, "num_return_sequences": 2}
    call |= {"max_new_tokens": 10, "eos_token_id": SOME_EOS, "return_dict_in_generate": True}
    output = llmcourse.generate(tiny("llama"), **call)
    assert len(output.stop_reasons) == len(output.sequences) == 6
    for ids, reason in zip(output.sequences[:, 9:].tolist(), output.stop_reasons, strict=True):
        assert reason == ("eos" if set(ids) & set(SOME_EOS) else "length")
        assert reason.sentence.endswith(".")


def test_a_stop_string_ends_a_hypothesis(course_model):
    model, tokenizer = course_model
    call = dict(tokenizer("A sequence of numbers: 1, 2", return_tensors="pt"), num_beams=3)
    call |= {"max_new_tokens": 10, "stop_strings": [", 5"], **EVERYTHING}
    theirs = model.generate(**call, tokenizer=tokenizer)
    ours = llmcourse.generate(model, **call, tokenizer=tokenizer)
    assert torch.equal(ours.sequences, theirs.sequences)
    assert "stop string" in ours.stop_reasons
    assert ", 5" in ours.stop_reasons[0].sentence


@pytest.mark.parametrize("do_sample", [False, True])
def test_the_course_model_searches_as_generate_does(course_model, do_sample):
    model, tokenizer = course_model
    texts = ["A list of colors: red, blue", "1, 2, 3"]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
    call = {"num_beams": 3, "num_return_sequences": 2, "do_sample": do_sample}
    assert_same_beams(model, **batch, **call, max_new_tokens=6)


def test_a_step_reads_as_one_line():
    for step in walk():
        line = repr(step)
        assert line.startswith(f"BeamStep {step.index}: fed ")
        assert "\n" not in line and "tensor" not in line and len(line) < 180
    assert "fed (9, 9)" in repr(walk()[0]) and "fed (9, 1)" in repr(walk()[1])
    assert "9 live, 0 finished, 9 dropped" in repr(walk(**PROMPTS["equal"], eos_token_id=None)[0])


def test_a_step_has_the_fields_of_every_step_with_a_row_for_each_hypothesis():
    for step in walk():
        assert isinstance(step, llmcourse.Step) and dataclasses.is_dataclass(step)
        for field in (step.logits, step.scores, step.probs):
            assert field.shape == (9, VOCAB) and field.dtype == torch.float32
        assert step.chosen.shape == (9,)
        assert step.finished.shape == (3,) and len(step.stop_reasons) == 3
        assert step.seconds > 0 and step.cache_length == 9 + step.index
    assert step.finished.all() and all(step.stop_reasons)


def test_a_streamer_is_refused_as_by_generate():
    class Streamer:
        def put(self, ids):
            raise AssertionError("heard something")

        end = put

    call = {**PROMPTS["one"], "num_beams": 2, "max_new_tokens": 3, "streamer": Streamer()}
    with pytest.raises(ValueError, match="streamer"):
        tiny("llama").generate(**call)
    for door in (llmcourse.generate, llmcourse.steps):
        with pytest.raises(ValueError, match="streamer= needs one text"):
            door(tiny("llama"), **call)


def nothing_left(input_ids, scores):
    return torch.full_like(scores, float("nan"))


def test_drawing_from_broken_scores_fails_in_words():
    call = {**PROMPTS["one"], "num_beams": 4, "do_sample": True, "max_new_tokens": 3}
    call |= {"logits_processor": [nothing_left]}
    with pytest.raises(RuntimeError):
        tiny("llama").generate(**call)
    with pytest.raises(RuntimeError, match="scores of row 0 are no distribution"):
        llmcourse.generate(tiny("llama"), **call)


def test_what_the_search_does_fits_on_two_screens_with_a_numbered_comment_for_each_step():
    source = inspect.getsource(beam.search)
    assert len(source.splitlines()) <= 115
    assert [f"# {n}. " in source for n in range(1, 10)] == [True] * 9

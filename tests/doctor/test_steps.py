"""Loops written by hand, under `watch`: what each step is fed, and what it goes on from."""

import pytest
import torch
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

import llmcourse
from llmcourse.doctor import steps
from llmcourse.doctor.steps import Steps
from tests.doctor.corpus.calls import TEXTS, byte_level, plain, tensors, unigram


@pytest.fixture
def watched_model():
    model, tokenizer = plain("unigram")
    with llmcourse.watch(model, tokenizer) as watched, torch.no_grad():
        yield model, tokenizer, watched
    assert watched.failures == []


def ids_of(tokenizer, text="a text"):
    return tokenizer(text, return_tensors="pt").input_ids


def test_the_whole_text_beside_its_cache_is_found_once_at_its_line(watched_model):
    model, tokenizer, watched = watched_model
    ids, cache = ids_of(tokenizer), None
    for _ in range(4):
        out = model(ids, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        ids = torch.cat([ids, out.logits[:, -1:].argmax(-1)], dim=1)
    (found,) = watched.findings
    assert found.code == "text-fed-again" and found.file == __file__


@pytest.mark.parametrize("made", [lambda: None, DynamicCache])
def test_a_loop_with_a_cache_as_it_should_be_gets_nothing(watched_model, made):
    model, tokenizer, watched = watched_model
    for text in (*TEXTS, *TEXTS):
        inputs = tensors(tokenizer, text)
        step, mask, cache = inputs["input_ids"], inputs["attention_mask"], made()
        for _ in range(4):
            out = model(step, attention_mask=mask, past_key_values=cache, use_cache=True)
            cache, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
            mask = torch.cat([mask, torch.ones_like(step)], dim=1)
    assert watched.codes == ()


def test_a_cropped_cache_and_another_end_of_the_text_get_nothing(watched_model):
    model, tokenizer, watched = watched_model
    ids = ids_of(tokenizer, "a longer text")
    held = ids.shape[1]
    cache = model(ids[:, :5], use_cache=True).past_key_values
    model(ids[:, 5:], past_key_values=cache)
    cache.crop(5 - held)
    model(torch.cat([ids[:, 5:], ids[:, :5]], dim=1), past_key_values=cache)
    assert watched.codes == ()
    cache.crop(-held)
    model(ids, past_key_values=cache)
    assert watched.codes == ("text-fed-again",)


def test_a_loop_that_goes_on_after_its_end_is_found_and_the_end_is_named(watched_model):
    model, tokenizer, watched = watched_model
    end, other = tokenizer.eos_token_id, ids_of(tokenizer)[0, -1].item()
    cache = model(ids_of(tokenizer), use_cache=True).past_key_values
    seen = []
    for token in (other, end, other, other):
        model(torch.tensor([[token]]), past_key_values=cache)
        seen.append(len(watched.codes))
    assert seen == [0, 0, 0, 1]
    (found,) = watched.findings
    assert found.code == "loop-past-the-end" and "</s>" in found.what


def test_the_end_of_one_text_is_not_that_of_the_next(watched_model):
    model, tokenizer, watched = watched_model
    end, other = tokenizer.eos_token_id, ids_of(tokenizer)[0, -1].item()
    for _ in range(3):
        cache = model(ids_of(tokenizer), use_cache=True).past_key_values
        for token in (other, other, end):
            model(torch.tensor([[token]]), past_key_values=cache)
    assert watched.codes == ()


def test_a_loop_without_a_cache_that_goes_on_after_its_end_is_found(watched_model):
    model, tokenizer, watched = watched_model
    end, ids = tokenizer.eos_token_id, ids_of(tokenizer)
    for token in (ids[0, -1], torch.tensor(end), ids[0, 0], ids[0, -1], ids[0, -2]):
        model(ids)
        ids = torch.cat([ids, token.reshape(1, 1)], dim=1)
    model(ids)
    assert watched.codes == ("loop-past-the-end",)


def test_a_beam_that_goes_on_after_its_end_is_found_among_the_others(watched_model):
    model, tokenizer, watched = watched_model
    end, prompt = tokenizer.eos_token_id, ids_of(tokenizer)[0].tolist()
    beams = [prompt]
    for tokens in ((end, 8), (9, 8), (7, 8), (9, 7)):
        for beam in beams:
            model(torch.tensor([beam]))
        beams = [[*beam, one] for beam, one in zip((*beams, beams[0]), tokens, strict=False)]
    assert watched.codes == ("loop-past-the-end",)


def test_beams_that_leave_out_those_that_ended_get_nothing(watched_model):
    model, tokenizer, watched = watched_model
    beams = [ids_of(tokenizer)[0].tolist()]
    for step in range(5):
        for beam in beams:
            model(torch.tensor([beam]))
        beams = [[*beams[0], token] for token in (7 + step % 2, 8, tokenizer.eos_token_id)]
        beams = [beam for beam in beams if beam[-1] != tokenizer.eos_token_id]
    assert watched.codes == ()


def test_a_window_narrower_than_the_models_is_found_when_it_slides(watched_model):
    model, tokenizer, watched = watched_model
    ids = ids_of(tokenizer, "a longer text")
    for token in (7, 8, 9):
        model(ids[:, -5:])
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert watched.codes == ("prompt-truncated",)


def test_windows_that_go_on_by_several_tokens_get_nothing(watched_model):
    model, tokenizer, watched = watched_model
    ids = ids_of(tokenizer, "a text that is longer")
    for start in range(0, 8, 2):
        model(ids[:, start : start + 5])
    assert watched.codes == ()


def test_windows_of_a_text_that_repeats_itself_get_nothing(watched_model):
    model, _, watched = watched_model
    ids = torch.tensor([[7, 8, 9] * 8])
    for start in range(0, 16, 4):
        model(ids[:, start : start + 8])
    assert watched.codes == ()


def test_the_last_place_of_rows_padded_on_the_right_is_found(watched_model):
    model, tokenizer, watched = watched_model
    inputs = tensors(tokenizer, TEXTS, padding=True, padding_side="right")
    model(**inputs).logits[:, :-1].log_softmax(-1)
    assert watched.codes == ()
    model(**inputs).logits[:, -1].argmax(-1)
    assert watched.codes == ("logits-of-padding",)


def test_padded_rows_without_a_mask_are_found(watched_model):
    model, tokenizer, watched = watched_model
    inputs = tensors(tokenizer, TEXTS, padding=True)
    model(inputs["input_ids"])
    assert watched.codes == ("no-mask",)


def test_one_cache_for_prompts_with_the_same_beginning_is_found(watched_model):
    model, tokenizer, watched = watched_model
    cache = DynamicCache()
    for question in ("a", "so"):
        ids = ids_of(tokenizer, f"Answer all that is asked: {question}?")
        for _ in range(3):
            out = model(ids, past_key_values=cache, use_cache=True)
            ids = out.logits[:, -1:].argmax(-1)
    assert watched.codes == ("cache-of-another-prompt",)


def test_a_model_that_the_block_makes_itself_is_heard_once():
    _, tokenizer = plain("unigram")
    with llmcourse.watch(None, tokenizer) as watched, torch.no_grad():
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=1, n_positions=64)
        )
        model.eval()(**tensors(tokenizer, TEXTS, padding=True))
    (found,) = watched.findings
    assert (found.code, found.file) == ("position-ids", __file__)
    assert watched.failures == []
    assert not model._forward_pre_hooks and not model.transformer._forward_pre_hooks


def test_an_old_name_of_the_cache_is_found(watched_model):
    model, tokenizer, watched = watched_model
    ids = ids_of(tokenizer)
    past = model(ids).past_key_values
    model(ids[:, -1:], past=past)
    assert watched.codes == ("forward-argument-unknown",)


def test_the_tokenizer_that_made_the_ids_is_known_among_several():
    model, right = plain("unigram")
    other = byte_level()
    with llmcourse.watch(model) as watched:
        inputs = tensors(right, "a longer text")
        other("something else")
        new = model.generate(**inputs, max_new_tokens=6)[0]
        right.decode(new)
        assert "decoded-by-another-tokenizer" not in watched.codes
        unigram().decode(new)
        assert "decoded-by-another-tokenizer" not in watched.codes
        other.decode(new)
    assert "decoded-by-another-tokenizer" in watched.codes


def found_with_a_cache(watched_model, first: str, second: str, change=None, by_hand=False) -> list:
    """Return what is found where a text is generated with the cache of another one."""
    model, tokenizer, watched = watched_model
    cache, call = DynamicCache(config=model.config), {"max_new_tokens": 2, "do_sample": False}
    if by_hand:
        model(ids_of(tokenizer, first), past_key_values=cache, use_cache=True)
    else:
        model.generate(ids_of(tokenizer, first), past_key_values=cache, **call)
    if change is not None:
        change(cache)
    model.generate(ids_of(tokenizer, second), past_key_values=cache, **call)
    return [found for found in watched.findings if found.code == "cache-already-filled"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_cache_of_another_text_is_found_and_where_the_two_part(watched_model, by_hand):
    texts = ("the cat", "the dog that barks at night")
    (found,) = found_with_a_cache(watched_model, *texts, by_hand=by_hand)
    assert found.severity == "error" and "of another text, of which the first 3 are" in found.what


def test_a_cache_of_the_same_beginning_gets_nothing(watched_model):
    model, tokenizer, watched = watched_model
    cache, call = DynamicCache(config=model.config), {"max_new_tokens": 3, "do_sample": False}
    first = model.generate(ids_of(tokenizer, "the cat"), past_key_values=cache, **call)
    more = torch.cat([first, ids_of(tokenizer, " and more")], dim=1)
    model.generate(more, past_key_values=cache, **call)
    assert "cache-already-filled" not in watched.codes


def test_a_cache_that_was_cut_back_to_what_is_shared_gets_nothing(watched_model):
    texts = ("the cat", "the dog that barks")
    assert not found_with_a_cache(watched_model, *texts, change=lambda cache: cache.crop(-5))


def test_what_a_cache_was_fed_is_not_kept_longer_than_the_cache(watched_model):
    model, tokenizer, watched = watched_model
    for _ in range(3):
        out = model(ids_of(tokenizer), use_cache=True)
        model(ids_of(tokenizer)[:, :1], past_key_values=out.past_key_values)
        del out
    assert len(watched._steps._fed) <= 1


def test_what_is_no_cache_is_followed_no_further():
    model, tokenizer = plain("unigram")
    followed = Steps()
    event = steps.Event("forward", model, {"input_ids": ids_of(tokenizer)}, steps.Site())
    assert followed.follow(event).cached == 0
    event = steps.Event(
        "forward", model, {"input_ids": ids_of(tokenizer), "past_key_values": ((),)}, steps.Site()
    )
    assert followed.follow(event).has_cache and followed.follow(event).fed is None

"""A walk gives the loop's tokens, goes back without reading anything again, and survives errors."""

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, RepetitionPenaltyLogitsProcessor

import llmcourse
from llmcourse import views
from tests.support.controls import Broken
from tests.support.families import CONFIGS, PAD, VOCAB, build, tiny
from tests.support.pages import INERT, NASTY, tags
from tests.support.settings import CALL, IDS

DRAWN = {**CALL, "do_sample": True, "temperature": 1.5, "top_k": 40, "top_p": 0.95, "min_p": 0.01}
# Their caches hold states, or a window that is full: what is taken back is read again.
READ_AGAIN = ["mamba", "falcon_h1", "lfm2", "mistral", "gemma3_text"]


def tokens(walk) -> list[int]:
    return [pick.token for pick in walk.picks]


def of_the_loop(model, seed=3, ids=IDS, **call) -> list[int]:
    torch.manual_seed(seed)
    return [step.chosen.item() for step in llmcourse.steps(model, input_ids=ids, **call)]


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("call", [CALL, DRAWN], ids=["greedy", "drawn"])
def test_a_walk_at_rest_gives_the_tokens_of_the_loop(family, call, words):
    walk = views.Walk(tiny(family), words, IDS, seed=3, **call)
    assert walk.run() == 10
    assert tokens(walk) == of_the_loop(tiny(family), **call)
    assert walk.stop == "length"


@pytest.mark.parametrize(
    "more", [{"repetition_penalty": 1.5}, {"typical_p": 0.8}, {"renormalize_logits": True}]
)
def test_the_other_rules_run_in_the_order_of_the_library(more, words):
    walk = views.Walk(tiny("llama"), words, IDS, seed=3, **DRAWN, **more)
    walk.run()
    assert tokens(walk) == of_the_loop(tiny("llama"), **DRAWN, **more)


def test_settings_changed_by_hand_give_what_a_call_with_them_gives(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    walk.change(sample=True, temperature=1.5, top_k=40, top_p=0.95, min_p=0.01, seed=3)
    walk.run()
    assert tokens(walk) == of_the_loop(tiny("llama"), **DRAWN)


def test_no_cache_gives_the_same_tokens(words):
    walk = views.Walk(tiny("llama"), words, IDS, use_cache=False, **CALL)
    walk.run()
    assert tokens(walk) == of_the_loop(tiny("llama"), **CALL)


def test_a_walk_leaves_the_global_generator_alone(words):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    views.Walk(tiny("llama"), words, IDS, **DRAWN).run()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_cache_is_rolled_back_and_not_read_again(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    walk.run()
    assert (walk.forward_passes, walk.tokens_read) == (10, 11 + 9)
    walk.back(4)
    walk.distribution()
    assert walk.forward_passes == 10, "this text was seen before"
    walk.force(7)
    walk.distribution()
    assert (walk.forward_passes, walk.tokens_read) == (11, 11 + 9 + 1)


@pytest.mark.parametrize("family", ["llama", "gpt2", *READ_AGAIN])
def test_after_going_back_the_numbers_are_those_of_the_whole_text(family, words):
    walk = views.Walk(tiny(family), words, IDS, **CALL)
    walk.run()
    walk.back(6)
    walk.force(7)
    walk.next()
    walk.back(2)
    walk.force(8)
    fresh = views.Walk(tiny(family), words, torch.tensor([walk.ids]), **CALL)
    torch.testing.assert_close(
        walk.distribution().logits, fresh.distribution().logits, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("kind", ["static", "quantized"])
def test_a_cache_that_cannot_be_rolled_back_is_read_again(kind, words):
    more = {"cache_implementation": kind}
    if kind == "quantized":
        more["cache_config"] = {"backend": "fp8"}
    try:
        walk = views.Walk(tiny("llama"), words, IDS, **CALL, **more)
    except ValueError:
        pytest.skip("this transformers has no such cache")
    walk.run()
    walk.back(3)
    walk.force(7)
    walk.distribution()
    assert walk.tokens_read >= 11 + 9 + 11 + 8


def test_the_distribution_follows_the_settings_and_the_model_is_not_run(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    before = walk.distribution()
    walk.change(sample=True, top_k=3)
    after = walk.distribution()
    assert walk.forward_passes == 1
    assert torch.equal(before.logits, after.logits)
    assert int((after.probs > 0).sum()) == 3
    assert [p > 0 for _, _, p in after.candidates(5)] == [True] * 3 + [False] * 2


def test_the_same_seed_draws_the_same_token_again_and_another_seed_starts_anew(words):
    walk = views.Walk(tiny("llama"), words, IDS, **DRAWN)
    walk.run()
    first = tokens(walk)
    walk.back(5)
    walk.run()
    assert tokens(walk) == first and len(walk.branches) == 1
    walk.start_over()
    walk.change(seed=3)
    walk.run()
    assert tokens(walk) == of_the_loop(tiny("llama"), **DRAWN)
    assert len(walk.branches) == 2


def test_branches_are_kept_and_can_be_returned_to(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    walk.run()
    first = tokens(walk)
    walk.back(4)
    other = next(token for token, *_ in walk.distribution().candidates() if token != first[6])
    walk.force(other)
    assert [len(line) for line in walk.branches] == [10, 7] and walk.branch == 1
    walk.go_to(0)
    assert tokens(walk) == first and walk.stop == "length"
    walk.back(4)
    walk.force(other)
    assert walk.branch == 1 and len(walk.branches) == 2, "a branch is not made twice"
    shown = repr(walk.compare())
    assert shown.startswith("2 branches tried") and "1, here" in shown and "|" in shown


def test_many_branches_are_cut_with_a_line_that_says_so(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    for token in range(6, 46):
        walk.force(token)
        walk.back()
    assert "40 branches tried; the first 28 left out" in repr(walk)


def test_a_forced_text_is_appended_token_by_token(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    assert [pick.token for pick in walk.force("w7")] == [7]
    assert walk.picks[0].how == "forced" and walk.text == "w7"


def test_the_text_ends_where_the_criteria_say_and_may_be_forced_on(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL | {"eos_token_id": 9})
    walk.force(9)
    assert walk.stop == "eos" and "token 9, which ends a text" in repr(walk)
    with pytest.raises(ValueError, match=r"The text has ended \(eos\); go back, or force"):
        walk.next()
    walk.force(7)
    assert walk.stop is None


@pytest.mark.parametrize(
    ("do", "kind", "said"),
    [
        (lambda walk: walk.back(), ValueError, "nothing to take back: this is the prompt"),
        (lambda walk: walk.force(""), ValueError, "has no tokens"),
        (lambda walk: walk.force(VOCAB), IndexError, "pass an id of 0 to 96"),
        (lambda walk: walk.go_to(1), IndexError, "branch=1 does not exist"),
        (lambda walk: walk.change(temperature=0), ValueError, "temperature=0.0 does not work"),
        (lambda walk: walk.change(top_k=-1), ValueError, "top_k=-1 keeps no token"),
        (lambda walk: walk.change(top_p=1.5), ValueError, "top_p=1.5"),
        (lambda walk: walk.change(seed=-1), ValueError, "seed=-1 is no seed"),
    ],
)
def test_what_cannot_be_done_says_so_and_changes_nothing(do, kind, said, words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    before = walk.settings
    with pytest.raises(kind, match=said):
        do(walk)
    assert walk.settings == before and tokens(walk) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"num_beams": 2}, "asks for beam"),
        ({"max_time": 1.0}, "max_time=1.0 is not for a walk"),
        ({"num_return_sequences": 2, "do_sample": True}, "has 2 rows"),
        ({"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens"),
        ({"guidance_scale": 2.0}, "guidance_scale=2.0 is not for a walk"),
        ({"rules": [lambda ids, scores: scores]}, "pass logits_processor="),
    ],
)
def test_what_a_walk_cannot_honour_is_refused_by_name(call, said, words):
    with pytest.raises(ValueError, match=said):
        views.Walk(tiny("llama"), words, IDS, **CALL, **call)


def test_several_prompts_are_refused(words):
    with pytest.raises(ValueError, match="a list of 2; pass a text"):
        views.Walk(tiny("llama"), words, ["w1", "w2"])
    with pytest.raises(ValueError, match="has 2 rows"):
        views.Walk(tiny("llama"), words, IDS.repeat(2, 1), **CALL)


@pytest.mark.parametrize("text", NASTY)
def test_a_model_that_fails_in_a_step_leaves_the_stepper_usable(text, words):
    model = build("llama")
    broken = Broken(model, text)
    made = views.stepper(model, words, IDS, **CALL)
    made.next.click()
    broken.on = True
    made.next.click()  # the text grows, and what follows it cannot be read
    made.next.click()
    assert len(made.walk.picks) == 2
    assert "That did not work. RuntimeError: " in made.page.value
    assert "distribution cannot be shown" in made.page.value and made.alternatives.value is None
    assert tags(made.page.value) <= INERT
    assert "cannot be shown. RuntimeError" in repr(made)
    broken.on = False
    made.run.click()
    assert tokens(made.walk) == of_the_loop(model, **CALL)


def test_the_controls_do_what_the_walk_does(words):
    made = views.stepper(tiny("llama"), words, IDS, **CALL)
    made.next.click()
    made.next.click()
    made.back.click()
    assert "it stays in its branch" in made.page.value
    made.place.value = 2
    assert made.alternatives.index == 1
    made.take.click()
    assert made.walk.picks[-1].how == "forced" and len(made.walk.branches) == 2
    made.typed.value = "w7"
    made.force.click()
    assert tokens(made.walk)[-1] == 7 and made.typed.value == ""
    made.branch.value = 0
    made.go_to.click()
    assert made.walk.branch == 0 and len(made.walk.picks) == 2
    made.run.click()
    assert made.walk.stop == "length" and "Ended:" in made.page.value
    made.start_over.click()
    assert made.walk.picks == []
    made.temperature.value = 2.0
    assert "once tokens are drawn at random" in made.page.value
    made.draw.value = True
    made.seed.value = 4
    assert str(made.walk.settings) == "drawn with temperature 2, top-k 50, seed 4"
    assert "drawn with temperature 2, top-k 50, seed 4" in made.page.value


def test_every_control_has_a_name_and_is_a_core_control_that_gives_it():
    named = {"Button", "Dropdown", "BoundedIntText", "BoundedFloatText", "Text", "Checkbox"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"w0": 0}, unk_token="w0")), unk_token="w0"
    )
    made = views.stepper(tiny("llama"), tokenizer, IDS, **CALL)
    rows = [row for row in made.box.children if row is not made.page]
    controls = [control for row in rows for control in row.children]
    assert len(controls) == 17
    assert {type(control).__name__ for control in controls} <= named
    assert len({control.description for control in controls}) == 17


def test_a_hostile_vocabulary_is_inert_in_a_walk(nasty):
    size = len(nasty)
    model = build("llama", vocab_size=size, eos_token_id=None, pad_token_id=None)
    made = views.stepper(model, nasty, torch.arange(size)[None], max_new_tokens=6)
    for token in range(size - 1):
        made.walk.force(token)
    made.walk.back()
    made.next.click()
    for page in (made.page.value, made.walk._repr_html_(), made.walk.compare()._repr_html_()):
        assert tags(page) <= INERT
    assert all(line.isprintable() for line in repr(made).splitlines())


def test_a_long_text_and_a_large_vocabulary_stay_short(words):
    model = build("gpt2", vocab_size=150_000, n_positions=2100, eos_token_id=None)
    ids = torch.randint(6, VOCAB, (1, 2000), generator=torch.Generator().manual_seed(1))
    walk = views.Walk(model, words, ids, max_new_tokens=90, pad_token_id=PAD)
    walk.run()
    for _ in range(20):
        walk.back()
        walk.force(7)
        walk.back(3)
    page = walk._repr_html_()
    assert len(page) < 60_000
    assert "(1,940 earlier tokens)" in page and "149,990 others" in page


def test_a_processor_of_your_own_runs_and_one_that_the_settings_replace_is_refused(words):
    own = [RepetitionPenaltyLogitsProcessor(5.0)]
    walk = views.Walk(tiny("llama"), words, IDS, logits_processor=own, **CALL)
    walk.run()
    assert tokens(walk) == of_the_loop(tiny("llama"), logits_processor=own, **CALL)


def test_the_static_form_tells_the_next_token_in_its_caption(course_model):
    model, tokenizer = course_model
    walk = views.Walk(model, tokenizer, "A list of colors: red, blue", max_new_tokens=3)
    said = "the likeliest token is taken: “,” 99%, ·and 0.4%, ·blue 0.1%"
    assert f">Next token; {said}</caption>" in walk._repr_html_()
    assert "Prompt: A·list·of·colors:·red,·blue" in repr(walk)


def test_how_many_new_tokens_there_are_is_said_in_words(words):
    walk = views.Walk(tiny("llama"), words, IDS, **CALL)
    for shown in (repr(walk), walk._repr_html_()):
        assert "no new tokens yet" in shown and "0 new tokens" not in shown
    walk.next()
    for shown in (repr(walk), walk._repr_html_()):
        assert "1 new token" in shown and "1 new tokens" not in shown

"""The explorer and the replay do what their controls say, and show an error in words."""

import re

import pytest
import torch

import llmcourse
from llmcourse import views
from tests.support.controls import CORE, Broken, controls
from tests.support.families import PAD, VOCAB, build, tiny
from tests.support.pages import INERT, NASTY, tags
from tests.support.settings import CALL, IDS


def names(made) -> list[str]:
    return [stage.name.split("(")[0] for stage in made.view.stages]


def steps(**call) -> list:
    return list(llmcourse.steps(tiny("llama"), input_ids=IDS, **{**CALL, **call}))


def test_each_setting_adds_its_rule_and_the_model_is_not_run_again(words):
    model = build("llama")
    made = views.explore(model, words, IDS)
    assert names(made) == ["raw"] and "No rule is on." in made.page.value
    broken = Broken(model, "not again")
    broken.on = True
    made.temperature.value, made.top_k.value = 2.0, 40
    made.top_p.value, made.min_p.value = 0.9, 0.01
    four = ["divide_by_temperature", "keep_top_k", "keep_top_p", "keep_min_p"]
    assert names(made) == ["raw", *four]
    assert "temperature 2, then top-k 40, then top-p 0.9, then min-p 0.01." in made.page.value
    made.order.value = "top-p first"
    assert names(made)[:3] == ["raw", "keep_top_p", "divide_by_temperature"]
    made.top_p.value = 1.0
    made.top_k.value = 0
    assert names(made) == ["raw", "divide_by_temperature", "keep_min_p"]


def test_the_explorer_gives_the_probabilities_that_the_loop_draws_from(words):
    made = views.explore(tiny("llama"), words, IDS)
    made.temperature.value, made.top_k.value, made.top_p.value = 1.5, 40, 0.95
    settings = {"do_sample": True, "temperature": 1.5, "top_k": 40, "top_p": 0.95}
    probs = steps(**settings, max_new_tokens=1)[0].probs[0]
    shown = [int(text.removeprefix("w")) for text in made.view.texts]
    torch.testing.assert_close(torch.tensor(made.view.stages[-1].probs), probs[shown])
    assert made.view.stages[-1].left == int((probs > 0).sum())


def test_the_order_matters_after_a_temperature(words):
    made = views.explore(tiny("llama"), words, IDS)
    made.temperature.value, made.top_p.value = 0.2, 0.5
    before = made.view.stages[-1].left
    made.order.value = "top-p first"
    assert made.view.stages[-1].left > before


@pytest.mark.parametrize("refused", [0.0, float("nan"), 1e-45])
def test_a_value_that_a_rule_refuses_is_told_and_the_explorer_stays_usable(
    refused,
    words,
):
    made = views.explore(tiny("llama"), words, IDS)
    made.top_k.value = 3
    made.temperature.value = refused
    assert "That did not work. ValueError: " in made.page.value
    assert "Below is what was shown before." in made.page.value
    assert names(made) == ["raw", "keep_top_k"] and "keep_top_k" in repr(made)
    made.temperature.value = 2.0
    assert "did not work" not in made.page.value
    assert names(made) == ["raw", "divide_by_temperature", "keep_top_k"]


def test_the_explorer_ignores_what_the_model_is_configured_for(words):
    model = build("llama")
    model.generation_config.num_beams = 3
    model.generation_config.max_length = 5
    model.generation_config.repetition_penalty = 9.0
    assert names(views.explore(model, words, IDS)) == ["raw"]


def test_a_replay_goes_through_the_steps_of_the_loop(words):
    made, told = views.replay(words, iter(steps())), steps()
    for step in told:
        assert made.step.value == step.index
        assert made.view.texts[made.view.chosen] == f"w{int(step.chosen[0])}"
        assert f"Step {step.index} of 0 to 9. The new text so far: " in made.page.value
        assert names(made) == ["raw"]
        made.next.click()
    assert "There is no next step." in made.page.value and "the last one (length)" in repr(made)
    made.step.value = 0
    made.previous.click()
    assert "There is no previous step." in made.page.value
    made.next.click()
    assert made.step.value == 1 and "There is no" not in made.page.value


def test_a_replay_shows_the_rules_that_ran_and_the_row_that_was_asked_for(words):
    torch.manual_seed(0)
    two = steps(do_sample=True, top_k=5, num_return_sequences=2)
    made = views.replay(words, two, row=1)
    made.step.value = 4
    assert names(made) == ["raw", "all_rules"] and made.view.stages[1].left == 5
    assert made.view.texts[made.view.chosen] == f"w{int(two[4].chosen[1])}"


def test_a_replay_of_beams_grows_the_tree(words):
    made = views.replay(words, steps(num_beams=3, max_new_tokens=14))
    assert isinstance(made.view, views.Beams) and (made.view.first, made.view.last) == (0, 0)
    assert "The search is not over" in made.page.value
    made.step.value = 12
    assert (made.view.first, made.view.last) == (3, 12)
    made.next.click()
    assert "The winner, of 14 new tokens" in made.page.value


def test_a_replay_of_drafts_counts_the_rounds_so_far(words):
    rounds = steps(prompt_lookup_num_tokens=1, max_new_tokens=60)
    assert len(rounds) > 30
    made = views.replay(words, rounds)
    for one in rounds:
        made.step.value = one.index
        shown = rounds[max(0, one.index - 29) : one.index + 1]
        assert made.view.tokens == sum(each.chosen.shape[1] for each in shown)
        assert ("Counted are rounds" in made.page.value) == (one.index > 29)
    assert f"Round {len(rounds) - 1} of 0 to {len(rounds) - 1}." in repr(made)


@pytest.mark.parametrize(
    ("wrong", "row", "error", "told"),
    [
        (lambda: [], 0, ValueError, "steps is empty"),
        (lambda: ["a"], 0, TypeError, "steps holds a str"),
        (lambda: [steps()[0], *steps(num_beams=2)[1:]], 0, TypeError, "steps holds a BeamStep"),
        (lambda: steps()[::2], 0, ValueError, "steps goes from 0 to 2"),
        (steps, 1, ValueError, "row=1: the steps have rows 0 to 0"),
    ],
)
def test_what_is_not_a_run_cannot_be_replayed(wrong, row, error, told, words):
    with pytest.raises(error, match=told):
        views.replay(words, wrong(), row)


def test_a_part_of_a_run_can_be_replayed(words):
    for call in ({}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 2}):
        made = views.replay(words, steps(**call)[2:5])
        made.next.click()
        assert made.step.value == 3 and "3 of 2 to 4." in made.page.value


@pytest.mark.parametrize("text", NASTY)
def test_a_step_that_cannot_be_drawn_is_told_and_the_others_are_shown(text):
    class Tokenizer:
        def decode(self, ids, **_):
            if len(ids) == 1 and ids[0] >= 0:
                raise RuntimeError(text)
            return text

    made = views.replay(Tokenizer(), steps())
    assert "That did not work. RuntimeError: " in made.page.value
    made.next.click()
    for page in (made.page.value, made._repr_html_()):
        assert page and tags(page) <= INERT
    assert repr(made) and all(line.isprintable() for line in repr(made).splitlines())


def test_every_control_of_the_live_views_has_a_name_and_is_a_core_control(words):
    explorer = views.explore(tiny("llama"), words, IDS)
    replay = views.replay(words, steps())
    for made, many in ((explorer, 5), (replay, 3)):
        assert len({control.description for control in controls(made)} - {""}) == many
        assert {type(control).__name__ for control in controls(made)} <= CORE
        assert made.name in repr(made.box) and made.box.children[-1] is made.page


def test_a_hostile_vocabulary_is_inert_in_the_live_views(nasty):
    size = len(nasty)
    model = build("llama", vocab_size=size, eos_token_id=None, pad_token_id=None)
    ids = torch.arange(size)[None]
    made = [views.explore(model, nasty, ids)]
    for call in ({}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 2}):
        run = list(llmcourse.steps(model, input_ids=ids, max_new_tokens=6, **call))
        made.append(views.replay(nasty, run))
        made[-1].step.value = run[-1].index
    for each in made:
        for page in (each.page.value, each._repr_html_()):
            assert tags(page) <= INERT and "<table" in page
        assert all(line.isprintable() for line in repr(each).splitlines())


@pytest.mark.slow
def test_a_large_vocabulary_and_a_long_text_stay_short(words):
    model = build("gpt2", vocab_size=150_000, n_positions=2100, eos_token_id=None)
    ids = torch.randint(6, VOCAB, (1, 2000), generator=torch.Generator().manual_seed(1))
    made = views.explore(model, words, ids)
    made.temperature.value, made.top_k.value, made.top_p.value, made.min_p.value = 2, 50, 0.9, 0.01
    run = llmcourse.steps(model, input_ids=ids, max_new_tokens=12, num_beams=4, pad_token_id=PAD)
    replay = views.replay(words, run)
    replay.step.value = 11
    assert len(made.page.value) < 60_000 and len(replay.page.value) < 300_000


def test_what_a_live_view_displays_has_a_form_without_a_kernel(words, monkeypatch):
    shown = []
    monkeypatch.setattr("llmcourse.views._live.display", lambda one, **_: shown.append(one))
    for made in (views.explore(tiny("llama"), words, IDS), views.replay(words, steps())):
        shown.clear()
        made._ipython_display_()
        box, still = shown
        assert box is made.box and still["text/plain"] == repr(made)
        assert f"Without a kernel: {made.shows} as it was" in still["text/html"]
        assert made.view._repr_html_() in still["text/html"]


def test_a_share_too_small_to_write_is_no_tag_on_any_page(words):
    model = build("llama")
    model.lm_head.weight.data *= 30  # sharp: most shares are below 0.1%
    run = list(llmcourse.steps(model, input_ids=IDS, **CALL))
    made = [
        views.explore(model, words, IDS),
        views.replay(words, run),
        views.stepper(model, words, IDS),
        views.next_token(words, IDS, run[0].logits),
        views.text_trace(words, IDS, run),
        views.strategies(words, {"run": run}),
        llmcourse.race(model, words, IDS, **CALL),
    ]
    pages = [shown._repr_html_() for shown in made]
    pages += [shown.page.value for shown in made[:3]]
    assert all(re.search(r"<(?![a-z/])", page) is None for page in pages)
    assert sum("&lt;0.1%" in page for page in pages) >= 6

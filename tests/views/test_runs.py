"""The views of a run: what each rule removes, a text, strategies side by side, the cache."""

from functools import partial
from importlib import import_module

import pytest
import torch
from transformers import DynamicCache

import llmcourse
from llmcourse import rules, views
from llmcourse.measure.cache_size import layers_of
from llmcourse.show import amount
from llmcourse.views.strategies import repeated_ngrams
from tests.support.families import PAD, VOCAB, build, tiny
from tests.support.pages import INERT, NASTY, tags

PROMPT = torch.arange(7, 18)[None]
NO_EOS = {"eos_token_id": None}
FOUR = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
TINY = {"input_ids": PROMPT, "max_new_tokens": 6, **NO_EOS}


class Numbers:
    """A tokenizer that calls each token by its number."""

    all_special_ids = (PAD,)
    added_tokens_decoder: dict = {}  # noqa: RUF012

    def convert_ids_to_tokens(self, token):
        return f"t{token}"


def run(**changes):
    return list(llmcourse.steps(tiny("llama"), **{**TINY, **changes}))


def step_of(logits, chosen: int, index: int = 0, reason=None, seconds: float = 0.002):
    logits = torch.as_tensor(logits)[None]
    return llmcourse.Step(
        index, torch.tensor([[chosen]]), logits, logits, logits.softmax(-1),
        torch.tensor([chosen]), 0, torch.tensor([reason is not None]), (reason,), seconds,
    )  # fmt: skip


def every_view(tokenizer, size: int) -> dict:
    logits = torch.linspace(2, 0, size)
    ids = torch.arange(size)
    walk = [step_of(logits, token, index=token) for token in range(size)]
    other = [step_of(logits, 1), step_of(logits, 2, 1, reason=NASTY[0])]

    def shift(ids, scores):
        return scores.roll(1, -1)

    shift.__name__ = NASTY[1]
    top = [shift, partial(rules.keep_top_k, k=3)]
    cached = run(max_new_tokens=3)
    return {
        "next_token": views.next_token(tokenizer, ids, logits, top, title=NASTY[0]),
        "text_trace": views.text_trace(tokenizer, ids, walk, by="surprise", seconds=True),
        "strategies": views.strategies(tokenizer, {NASTY[0]: walk, NASTY[1]: other}),
        "cache": views.cache(cached, model=tiny("llama")),
    }


NAMES = ["next_token", "text_trace", "strategies", "cache"]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_vocabulary_is_inert_readable_and_printable(nasty, name):
    view = every_view(nasty, len(NASTY) + 1)[name]
    page = view._repr_html_()
    assert tags(page) <= INERT | {"details", "summary", "i"}
    assert not any(word in page for word in ("<style", "<script", "<svg", " role=", "aria-"))
    assert "<caption" in page and 'scope="col"' in page and 'scope="row"' in page
    assert all(line.isprintable() for line in repr(view).splitlines())


def test_what_each_rule_drops_is_told_by_hand():
    warm = partial(rules.divide_by_temperature, temperature=2.0)
    nucleus = partial(rules.keep_top_p, p=0.75)
    shown = views.next_token(Numbers(), [1], FOUR, [warm, nucleus], top=3, chosen=1)
    raw, warmer, last = shown.stages
    assert [stage.name for stage in shown.stages[1:]] == [
        "divide_by_temperature(temperature=2.0)",
        "keep_top_p(p=0.75)",
    ]
    assert raw.probs == pytest.approx((0.5, 0.3, 0.15), abs=1e-6)
    assert raw.rest == pytest.approx(0.05, abs=1e-6) and raw.left == 4
    assert warmer.probs == pytest.approx((0.3790, 0.2936, 0.2076), abs=1e-4)
    assert (last.left, last.others, last.possible) == (3, 0, (True, True, True))
    assert shown.caption == (
        "Next token: t0 50%, t1 30%, t2 15%. After 2 rules: t0 43%, t1 33%, t2 24%; "
        "3 tokens of 4 left. Chosen: t1 33%."
    )
    assert repr(shown).splitlines()[-2].split() == ["other", "1", "5.0%", "12%", "✕", "dropped"]


def test_a_token_that_a_rule_lifts_is_shown():
    force = partial(rules.bias_sequences, biases={(3,): 9.0})
    shown = views.next_token(Numbers(), [1], FOUR, [force], top=2)
    assert shown.texts == ("t0", "t3")
    assert shown.stages[1].probs[1] > 0.99


def test_the_last_stage_is_what_the_loop_drew_from():
    settings = [partial(rules.keep_top_k, k=9), partial(rules.penalize_repetition, penalty=1.3)]
    [step] = run(rules=settings, max_new_tokens=1)
    shown = views.next_token(Numbers(), PROMPT, step.logits, settings, top=9, chosen=step.chosen)
    possible = step.scores[0].isfinite()
    assert shown.stages[-1].left == possible.sum()
    assert sum(shown.stages[-1].probs) == pytest.approx(1)
    assert shown.stages[-1].probs[shown.chosen] == pytest.approx(step.probs.max().item())


def test_a_rule_that_edits_in_place_leaves_the_raw_column_alone():
    def spoil(ids, scores):
        return scores.fill_(0)

    shown = views.next_token(Numbers(), [1], FOUR, [spoil])
    assert shown.stages[0].probs[0] == pytest.approx(0.5)
    assert shown.stages[1].probs == pytest.approx((0.25,) * 4)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({"logits": torch.zeros(2, 4)}, r"logits has shape \(2, 4\)"),
        ({"top": 0}, "top=0"),
        ({"chosen": 4}, "chosen=4"),
        ({"rules": [lambda ids, scores: scores - torch.inf]}, "<lambda> left no distribution"),
        ({"rules": [lambda ids, scores: scores[0]]}, r"shape \(4,\)"),
        ({"logits": FOUR * torch.nan}, "logits are no distribution"),
    ],
)
def test_a_step_that_cannot_be_shown_is_refused_by_name(call, told):
    with pytest.raises(ValueError, match=told):
        views.next_token(Numbers(), **{"ids": [1], "logits": FOUR, **call})


def test_a_trace_tells_probability_rank_and_the_end():
    walk = [step_of(FOUR, 0), step_of(FOUR, 2, 1, reason="eos")]
    shown = views.text_trace(Numbers(), [5, 6], walk, seconds=True)
    assert [(t.text, t.rank) for t in shown.new] == [("t0", 1), ("t2", 3)]
    assert [t.p for t in shown.new] == pytest.approx([0.5, 0.15])
    assert [name for name, _ in shown.new[1].alternatives] == ["t0", "t1", "t3"]
    assert shown.mean_probability == pytest.approx(0.325)
    assert "least likely t2 (token 1) with 15%, 2.7 bits" in shown.caption
    page = shown._repr_html_()
    assert "15% #3" in page and "2.0 ms" in page and "It stopped: eos." in page
    assert "t0 50%, t1 30%, t3 5.0%" in page


def test_a_trace_of_surprise_has_bits_under_each_token():
    page = views.text_trace(Numbers(), [5], [step_of(FOUR, 0)], by="surprise")._repr_html_()
    assert "<small>1.0</small>" in page and "its surprise in bits" in page
    assert "It did not stop: no more steps were taken." in page


def test_a_trace_of_a_batch_ends_where_its_row_ends():
    ids = torch.tensor([[PAD, PAD, 9], [7, 8, 9]])
    batch = {"input_ids": ids, "attention_mask": ids.ne(PAD).long(), "pad_token_id": PAD}
    walk = run(**batch, eos_token_id=None)
    ends = int(walk[2].chosen[0])
    walk = run(**batch, eos_token_id=ends)
    stop = next(step.index for step in walk if step.finished[0])
    shown = views.text_trace(Numbers(), batch, walk, row=0)
    assert shown.prompt_length == 1 and shown.new_length == stop + 1
    assert f"token {ends}, which ends a text" in shown.caption
    assert [t.p for t in shown.new] == [
        pytest.approx(step.probs[0, step.chosen[0]].item()) for step in walk[: stop + 1]
    ]


def test_a_trace_of_drafts_has_the_tokens_of_plain_decoding():
    cycle = torch.tensor([[7, 8, 9] * 5])
    plain = views.text_trace(Numbers(), cycle, run(input_ids=cycle))
    rounds = run(input_ids=cycle, prompt_lookup_num_tokens=3)
    drafted = views.text_trace(Numbers(), cycle, rounds)
    assert [t.text for t in drafted.new] == [t.text for t in plain.new]
    assert sum(t.milliseconds for t in drafted.new) == pytest.approx(
        1000 * sum(one.seconds for one in rounds)
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({"by": "rank"}, "by='rank'"),
        ({"top": 7}, "top=7"),
        ({"row": 1}, "row=1 does not exist"),
        ({"num_beams": 2}, "beam search"),
    ],
)
def test_a_run_that_cannot_be_traced_is_refused_by_name(call, told):
    walk = run(num_beams=call.pop("num_beams", 1))
    with pytest.raises(ValueError, match=told):
        views.text_trace(Numbers(), PROMPT[0], walk, **call)


def test_strategies_part_where_their_tokens_first_differ():
    shown = views.strategies(
        Numbers(),
        {
            "one": [step_of(FOUR, token) for token in (0, 1, 2)],
            "two": [step_of(FOUR, token) for token in (0, 1, 3)],
            "same": [step_of(FOUR, token) for token in (0, 1, 2)],
            "short": [step_of(FOUR, 0)],
        },
    )
    assert [shown.parts_at(one) for one in shown.runs] == [1, 2, None, 1]
    assert shown.caption == (
        "4 ways to go on after one prompt. Beside one: two parts at token 2 (t3, not t2); "
        "same writes the same; short parts at token 1 (the end, not t1)."
    )
    assert shown.texts()[1] == ("t0t1", "t3", "", "")
    assert "two: t0t1 ▶t3◀" in repr(shown) and "▶t3</span>" in shown._repr_html_()


def test_repetition_is_counted_by_hand():
    assert repeated_ngrams([1, 2, 3, 1, 2, 3, 1], 3) == pytest.approx(2 / 5)
    assert repeated_ngrams([1, 2], 3) == 0


@pytest.mark.parametrize(
    "settings",
    [{}, {"do_sample": True, "top_k": 5}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 2}],
    ids=["greedy", "sampling", "beams", "drafts"],
)
def test_a_strategy_is_what_generate_writes_with_its_perplexity_under_the_model(settings):
    model, inputs = tiny("llama"), {"input_ids": PROMPT}
    call = {"max_new_tokens": 8, **NO_EOS}
    [one] = views.strategies(
        Numbers(), {"it": settings}, model=model, inputs=inputs, seed=3, **call
    ).runs
    torch.manual_seed(3)
    text = model.generate(**inputs, **call, **settings)
    assert list(one.ids) == text[0, PROMPT.shape[1] :].tolist()
    with torch.no_grad():
        log_probs = model(text).logits[0, PROMPT.shape[1] - 1 : -1].log_softmax(-1)
    surprise = -log_probs.gather(1, torch.tensor(one.ids)[:, None]).mean()
    assert one.perplexity == pytest.approx(surprise.exp().item(), rel=1e-4)
    assert one.word == "length" and "max_length" in one.reason


def test_the_perplexity_of_a_long_run_says_how_far_it_looked(monkeypatch):
    module = import_module("llmcourse.views.strategies")
    monkeypatch.setattr(module, "_NUMBERS", 2 * 2 * VOCAB)
    shown = views.strategies(Numbers(), {"a": run(), "b": run(num_beams=1)})
    assert [one.measured for one in shown.runs] == [2, 2]
    assert "(first 2)" in repr(shown)


def test_running_strategies_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    call = {"model": tiny("llama"), "inputs": {"input_ids": PROMPT}, "max_new_tokens": 2}
    views.strategies(Numbers(), {"a": {"do_sample": True}}, **call)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("runs", "told"),
    [({}, "0 strategies"), ({"a": {}}, "model= and inputs="), ({"a": iter([])}, "no steps")],
)
def test_strategies_that_cannot_be_compared_are_refused_by_name(runs, told):
    with pytest.raises(ValueError, match=told):
        views.strategies(Numbers(), runs)


def test_a_cache_reads_each_token_once_and_no_cache_reads_them_again():
    shown = views.cache(run(), run(use_cache=False))
    assert [(t.computed, t.reused, t.again) for t in shown.turns] == [
        (11, 0, 11), (1, 11, 12), (1, 12, 13), (1, 13, 14), (1, 14, 15), (1, 15, 16)
    ]  # fmt: skip
    assert "read 16 tokens, without one 81, 5.1 times as many" in shown.caption
    assert "1 computed, 15 reused" in shown._repr_html_()


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "mistral", "gemma3_text", "phi3"])
@pytest.mark.parametrize("length", [3, 7, 8, 20])
def test_the_bytes_of_a_cache_are_those_that_it_takes(family, length):
    model = tiny(family)
    kept = DynamicCache(config=model.config)
    with torch.no_grad():
        model(torch.full((2, length), 9), past_key_values=kept, use_cache=True)
        model(torch.full((2, 1), 9), past_key_values=kept, use_cache=True)
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in kept.layers)
    assert 2 * sum(layer.bytes_at(length + 1) for layer in layers_of(model)) == real


def test_a_state_space_model_has_no_such_bytes():
    for family in ("mamba", "falcon_h1", "bamba", "lfm2"):
        with pytest.raises(ValueError, match=family):
            layers_of(tiny(family))


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (([],), "no steps"),
        (("without",), "leave out use_cache=False"),
        (("with", "with"), "pass use_cache=False"),
        (("with", "short"), "without_cache 2;"),
    ],
)
def test_runs_without_or_with_the_wrong_cache_are_refused(runs, told):
    known = {"with": run(), "without": run(use_cache=False)}
    known["short"] = known["without"][:2]
    with pytest.raises(ValueError, match=told):
        views.cache(*(known[one] if one else one for one in runs))


def test_an_amount_of_bytes_is_written_as_people_read_it():
    assert [amount(n) for n in (0, 999, 1000, 46_080, 2_500_000, 7e9, 2e12)] == [
        "0 bytes", "999 bytes", "1.0 kB", "46 kB", "2.5 MB", "7.0 GB", "2000.0 GB"
    ]  # fmt: skip


class Long(Numbers):
    def convert_ids_to_tokens(self, token):
        return '"' * 500


@pytest.mark.parametrize("tokenizer", [Numbers(), Long()], ids=["short", "long"])
@pytest.mark.slow
def test_long_inputs_stay_below_300_kilobytes_and_say_what_is_left_out(tokenizer):
    size = 5000
    logits = torch.randn(size)
    walk = [step_of(logits, token, token) for token in range(2000)]
    words = (partial(rules.keep_top_k, k=900),) * 2
    trace = views.text_trace(tokenizer, torch.arange(2000), walk, seconds=True, top=6)
    turns = [
        llmcourse.Step(
            i, s.fed, s.logits, s.scores, s.probs, s.chosen, i + 1, s.finished, (None,), 1
        )
        for i, s in enumerate(walk)
    ]
    pages = [
        trace._repr_html_(),
        views.next_token(tokenizer, [1], logits, words, top=size)._repr_html_(),
        views.next_token(tokenizer, [1], logits, top=size)._repr_html_(),
        views.strategies(tokenizer, {f"{n}": walk[n:] for n in range(32)})._repr_html_(),
        views.cache(turns, model=build("llama"))._repr_html_(),
    ]
    assert max(map(len, pages)) < 300_000
    assert "… 1,850 tokens left out …" in pages[0] and "… 1,940 tokens before" in pages[0]
    assert "1,984 steps left out" in pages[4]
    assert "other 4,600" in pages[2] and "more</i>" in pages[3]
    assert VOCAB < size

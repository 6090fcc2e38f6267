"""Small weights are compared with the visible loop on the same numbers."""

import math
from dataclasses import replace

import pytest
import torch

import llmcourse
from benchmarks import ladder, quality
from tests.benchmarks.test_ladder_report import climb_of
from tests.support.toy_models import quick_llama


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Stand a tiny model, whose text is numbers, in for the course's."""
    model = quick_llama().eval()

    def tokenizer(text):
        return {"input_ids": [ord(letter) % model.config.vocab_size for letter in text]}

    monkeypatch.setattr(llmcourse, "load", lambda: (model, tokenizer))
    monkeypatch.setattr(quality, "LENGTH", 32)
    return model


def test_the_visible_loop_goes_on_after_the_end_of_a_text(toy):
    tokens = quality.tokens(toy, [5, 6, 7], 6)
    again = toy.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=6, eos_token_id=None)
    assert tokens == again[0, 3:].tolist()


def test_the_perplexity_of_a_model_that_knows_nothing_is_its_vocabulary(toy):
    with torch.no_grad():
        toy.lm_head.weight.zero_()
    assert quality.perplexity(toy) == pytest.approx(toy.config.vocab_size, rel=1e-4)


def test_a_divergence_is_in_bits_and_counts_every_token(toy):
    texts = [torch.tensor([[5, 6, 7]]), torch.tensor([[8]])]
    before = quality.log_probs(toy, texts)
    assert [each.shape for each in before] == [(3, 1000), (1, 1000)]
    assert quality.compared(before, before) == (0, 1)
    after = [torch.randn(each.shape).log_softmax(-1) for each in before]
    bits, same = quality.compared(before, after)
    nats = torch.nn.functional.kl_div(
        torch.cat(after), torch.cat(before), log_target=True, reduction="batchmean"
    )
    assert bits == pytest.approx(nats.item() / math.log(2), rel=1e-4)
    best = [torch.cat(each).argmax(-1) for each in (before, after)]
    assert same == (best[0] == best[1]).float().mean()


def test_each_rung_is_compared_on_its_own_weights(toy):
    with quality.model_of("int8") as rounded:
        tokens = quality.tokens(rounded, [5, 6, 7], 3)
    int8 = climb_of("own step, int8", 9.0)
    rounds = {1: tuple(replace(turn, tokens=tuple(tokens)) for turn in int8.rounds[1])}
    climbs = (replace(int8, weights="int8", rounds=rounds),)
    made = ladder.Ladder({}, ladder.Figure((1.0,), "GB/s"), climbs, 3, 3, "2026-01-02")
    said = []
    made = ladder.with_same_tokens(made, [5, 6, 7], said.append)
    assert made.climbs[0].equal_tokens == 3
    assert made.perplexity.keys() == {"float32", "int8"}
    assert len(said) == 2

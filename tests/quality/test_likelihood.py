"""Log-likelihoods beside a slow, obvious reference: one pair at a time, one token at a time."""

import pytest
import torch

from llmcourse.quality import read_items
from llmcourse.quality.likelihood import log_likelihoods
from llmcourse.quality.prompts import choice_pairs
from llmcourse.quality.tokens import encode, token_ids
from tests.support.chat_templates import letters
from tests.support.toy_models import random_llama

PAIRS = [
    ("The sky is", " blue"),
    ("A", " b"),
    ("", "The whole sentence."),
    ("a much longer context than the others ", "end"),
    ("The sky is", " blü"),
    ("x" * 50, " y"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return letters("", adds_bos=True)


@pytest.fixture(scope="module")
def toy(tokenizer):
    return random_llama(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        initializer_range=0.5,
    )


@torch.no_grad()
def slow(model, context, continuation):
    """Return the sum of the logarithms, token by token, and whether each was the likeliest."""
    longest, total, greedy = model.config.max_position_embeddings, 0.0, True
    ids = (context + continuation)[-longest - 1 :]
    for place in range(len(ids) - len(continuation), len(ids)):
        logits = model(torch.tensor([ids[:place]])).logits[0, -1].double()
        total += float(logits.log_softmax(-1)[ids[place]])
        greedy &= int(logits.argmax()) == ids[place]
    return total, greedy


@pytest.mark.parametrize("batch_size", [1, 2, 6])
def test_they_equal_those_of_one_token_at_a_time_also_where_the_left_is_cut(
    toy, tokenizer, batch_size
):
    found = log_likelihoods(toy, tokenizer, PAIRS, batch_size=batch_size)
    for pair, one in zip(PAIRS, found, strict=True):
        ids = token_ids(tokenizer, *pair)
        total, greedy = slow(toy, *ids)
        assert one.total == pytest.approx(total, abs=1e-4)
        assert one.greedy == greedy
        assert one.tokens == len(ids[1])


def test_a_greedy_continuation_is_known_as_such(toy, tokenizer):
    contexts, known = [chr(code) for code in range(97, 123)], []
    for context in contexts:
        with torch.no_grad():
            best = int(toy(torch.tensor([encode(tokenizer, context)])).logits[0, -1].argmax())
        for letter in contexts:
            pair = context, letter
            is_best = tokenizer.encode(letter, add_special_tokens=False) == [best]
            known.append((pair, is_best))
    assert sum(is_best for _, is_best in known) >= 2
    found = log_likelihoods(toy, tokenizer, [pair for pair, _ in known])
    assert [one.greedy for one in found] == [is_best for _, is_best in known]


def test_characters_and_bytes_are_those_of_the_choice_without_the_space_before_it(toy, tokenizer):
    found = log_likelihoods(toy, tokenizer, [("A", " blü")])[0]
    assert (found.characters, found.bytes) == (3, 4)


def test_a_space_at_the_contexts_end_goes_to_the_continuation(tokenizer):
    assert token_ids(tokenizer, "a ", "b") == token_ids(tokenizer, "a", " b")


def test_after_no_context_the_bos_is_read(tokenizer):
    before, after = token_ids(tokenizer, "", "ab")
    assert before == [tokenizer.bos_token_id]
    assert after == tokenizer.encode("ab", add_special_tokens=False)


def test_a_bos_in_the_text_is_not_added_again(tokenizer):
    bos = tokenizer.bos_token_id
    assert encode(tokenizer, "ab").count(bos) == 1
    assert encode(tokenizer, tokenizer.bos_token + "ab").count(bos) == 1


def test_what_cannot_be_scored_is_refused(toy, tokenizer):
    with pytest.raises(ValueError, match="no continuation"):
        log_likelihoods(toy, tokenizer, [("a", "")])
    with pytest.raises(ValueError, match="reads at most 32"):
        log_likelihoods(toy, tokenizer, [("a", "b" * 40)])
    with pytest.raises(ValueError, match="batch_size=0"):
        log_likelihoods(toy, tokenizer, [], batch_size=0)


@pytest.mark.slow
def test_on_the_courses_model_batches_change_nothing_that_counts(course_model):
    model, tokenizer = course_model
    items = [item for item in read_items() if item.choices][::40]
    pairs = [pair for item in items for pair in choice_pairs(tokenizer, item)]
    for pair, one in zip(pairs, log_likelihoods(model, tokenizer, pairs), strict=True):
        total, greedy = slow(model, *token_ids(tokenizer, *pair))
        assert one.total == pytest.approx(total, abs=2e-3)
        assert one.greedy == greedy

"""Scores of a model on items: by likelihood or by what it writes, with examples, as a chat."""

import pytest

from llmcourse.quality import read_items, score
from llmcourse.quality.answers import BY, Answered, by_kind, choose, write
from llmcourse.quality.items import Item
from llmcourse.quality.likelihood import Likelihood
from llmcourse.quality.prompts import choice_pairs, context, examples
from tests.support.chat_templates import letters
from tests.support.toy_models import random_llama

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ITEMS = [Item(f"i{n}", "k", f"Q{n}:", ("yes", "no", "maybe"), n % 3) for n in range(6)]
ITEM = ITEMS[0]


@pytest.fixture(scope="module")
def tokenizer():
    return letters(CHATML)


@pytest.fixture(scope="module")
def toy(tokenizer):
    return random_llama(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.5,
        eos_token_id=None,
    )


def likelihood(total, tokens, characters, size):
    return Likelihood(total, tokens, characters, size, greedy=False)


def test_the_choice_depends_on_what_the_logarithm_is_divided_by():
    found = (likelihood(-4, 1, 2, 9), likelihood(-6, 2, 2, 9), likelihood(-9, 2, 7, 7))
    answered = Answered(ITEM, found)
    assert [answered.chosen(by) for by in BY] == [0, 1, 2, 0]
    assert answered.right("raw") and not answered.right("token")
    with pytest.raises(ValueError, match="by='words'"):
        answered.right("words")


def test_a_space_stands_between_prompt_and_choice_and_none_after_a_template(tokenizer):
    assert choice_pairs(tokenizer, ITEM)[0] == ("Q0:", " yes")
    before, choice = choice_pairs(tokenizer, ITEM, template=True)[0]
    assert before == "<|im_start|>user\nQ0:<|im_end|>\n<|im_start|>assistant\n"
    assert choice == "yes"


def test_solved_items_come_first_as_text_or_as_turns(tokenizer):
    assert context(tokenizer, ITEM, ITEMS[1:3]) == "Q1: no\n\nQ2: maybe\n\nQ0:"
    chat = context(tokenizer, ITEM, ITEMS[1:2], template=True)
    assert "<|im_start|>assistant\nno<|im_end|>" in chat


def test_a_sentence_that_is_scored_whole_has_no_template(tokenizer):
    whole = Item("g", "grammar", "", ("A b.", "A c."), 0)
    assert choice_pairs(tokenizer, whole, template=True) == [("", "A b."), ("", "A c.")]


@pytest.mark.parametrize("shots", [0, 1, 3, 5])
def test_examples_are_different_items_of_the_kind_and_never_the_item_itself(shots):
    other = Item("x", "other", "Q", ("a", "b"), 0)
    for item in ITEMS:
        shown = examples(item, [other, *ITEMS], shots)
        assert len({one.id for one in shown}) == shots
        assert item not in shown and other not in shown
        assert item not in examples(item, ITEMS, [item, ITEMS[1]])


def test_examples_of_reading_never_hold_the_passage_that_is_asked_about():
    reading = read_items(kinds=["reading"])
    for item in reading:
        passage = item.prompt.partition("\n")[0]
        assert all(passage not in one.prompt for one in examples(item, reading, 3))


def test_too_many_examples_and_items_without_a_solution_are_refused():
    with pytest.raises(ValueError, match="shots=6"):
        examples(ITEM, ITEMS, 6)
    bare = [Item(f"b{n}", "k", "Q", rules={"lines": 1}) for n in range(2)]
    with pytest.raises(ValueError, match="no solution"):
        examples(bare[0], bare, 1)


def test_a_tokenizer_without_a_template_is_refused_where_one_is_asked_for(toy):
    with pytest.raises(ValueError, match="no chat template"):
        choose(toy, letters(""), [ITEM], template=True)


def test_the_order_of_the_items_and_the_size_of_a_batch_change_no_answer(toy, tokenizer):
    tasks = [Item(f"w{n}", "w", "Say " + "x" * n, answer=("a",)) for n in range(3)]
    mixed = [tasks[0], *ITEMS, *tasks[1:]]
    one = score(toy, tokenizer, mixed, batch_size=1, max_new_tokens=5)
    many = score(toy, tokenizer, mixed[::-1], batch_size=8, max_new_tokens=5)[::-1]
    assert [a.item for a in one] == mixed == [a.item for a in many]
    assert [a.written for a in one] == [a.written for a in many]
    for first, second in zip(one, many, strict=True):
        assert first.scores() == pytest.approx(second.scores(), abs=1e-4)


def test_a_written_text_ends_where_the_next_question_would_begin(toy, tokenizer, monkeypatch):
    said = "7\nQuestion: What is 1 + 1?"
    monkeypatch.setattr(type(tokenizer), "decode", lambda *_, **__: said)
    assert write(toy, tokenizer, [Item("a", "k", "Q", answer=("7",))])[0].written == "7"


def test_shares_are_given_for_each_kind():
    right = (likelihood(-1, 1, 1, 1), likelihood(-2, 1, 1, 1), likelihood(-3, 1, 1, 1))
    found = by_kind([Answered(item, right) for item in ITEMS])
    assert (found["k"].right, found["k"].of) == (2, 6)


@pytest.mark.slow
def test_the_courses_model_is_neither_at_chance_nor_always_right(course_model):
    items = read_items(kinds=["facts", "continuation"])[::4]
    found = by_kind(choose(*course_model, items))
    for one in found.values():
        assert 0.3 < one.share < 1

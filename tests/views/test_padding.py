"""A padded batch shows what the model gets on either side, and where each row finished."""

import pytest
import torch

import llmcourse
from llmcourse import views
from tests.support.chat_templates import CHATML, letters
from tests.support.families import tiny
from tests.support.pages import INERT, NASTY, tags

TEXTS = ["1, 2", "A list", "b"]


@pytest.fixture(scope="module")
def tokenizer():
    return letters(CHATML)


class ByEnd:
    """A criterion that ends row 1 after two new tokens, the others after four."""

    def __init__(self, prompt: int):
        self.prompt = prompt

    def __call__(self, ids, scores, **kwargs):
        new = ids.shape[1] - self.prompt
        return torch.tensor([new >= 4, new >= 2, new >= 4])


def walked(tokenizer, side: str, **more):
    made = tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
    ids = made["input_ids"] % 97
    model = tiny("llama")
    call = {"input_ids": ids, "attention_mask": made["attention_mask"]} | more
    ends = [ByEnd(ids.shape[1])]
    return list(llmcourse.steps(model, **call, max_new_tokens=6, stopping_criteria=ends))


class Small:
    """The letters' tokenizer for a model of 97 tokens."""

    def __init__(self, tokenizer):
        self.inner = tokenizer

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __call__(self, *args, **kwargs):
        made = self.inner(*args, **kwargs)
        return made | {"input_ids": made["input_ids"] % 97}


def test_both_sides_have_the_librarys_mask_and_positions(tokenizer):
    shown = views.padding(tokenizer, TEXTS)
    for side in (shown.left, shown.right):
        made = tokenizer(TEXTS, padding=True, padding_side=side.side, return_tensors="pt")
        ids = made["input_ids"] % 97
        got = llmcourse.ingredients(
            tiny("llama"), input_ids=ids, attention_mask=made["attention_mask"], max_new_tokens=1
        ).model_kwargs
        assert torch.equal(side.mask, got["attention_mask"])
        assert torch.equal(side.positions, got["position_ids"])


def test_new_tokens_have_the_mask_and_positions_that_the_loop_went_on_with(tokenizer):
    steps, right = walked(tokenizer, "left"), walked(tokenizer, "right")
    shown = views.padding(Small(tokenizer), TEXTS, steps, right)
    assert shown.left.positions[0].tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert shown.right.positions[0].tolist() == [0, 1, 2, 3, 0, 0, 1, 2, 3, 4]
    assert shown.right.mask[0].tolist() == [1, 1, 1, 1, 0, 0, 1, 1, 1, 1]


def test_where_each_row_finished_is_told(tokenizer):
    shown = views.padding(Small(tokenizer), TEXTS, walked(tokenizer, "left"))
    assert shown.left.finished == ["step 3: ByEnd", "step 1: ByEnd", "step 3: ByEnd"]
    assert shown.left.ends == [9, 7, 9]
    assert shown.left.kinds[1][-4:] == ["new", "new", *["padding after the end"] * 2]
    assert "step 1: ByEnd" in repr(shown) and "step 1: ByEnd" in shown._repr_html_()
    assert shown._repr_html_().count("<b>end</b>") == 3
    assert shown.right.finished == ["", "", ""]


def test_a_row_that_goes_on_is_told(tokenizer):
    shown = views.padding(Small(tokenizer), TEXTS, walked(tokenizer, "left")[:2])
    assert shown.left.finished == ["not after step 1", "step 1: ByEnd", "not after step 1"]


def test_padding_is_told_apart_without_colour_in_words(tokenizer):
    shown = views.padding(tokenizer, TEXTS)
    assert shown.left.caption == (
        "Padded on the left: 3 rows of 6 places, 7 of them padding; (pad) is </s>"
    )
    assert "(pad)" in shown._repr_html_() and "dashed" in shown._repr_html_()
    assert "Right: the next token of rows 0, 2 is predicted from padding" in repr(shown)
    assert "nothing is padded" in repr(views.padding(tokenizer, ["ab", "cd"]))


def test_steps_of_other_texts_are_refused(tokenizer):
    steps = walked(tokenizer, "left")
    with pytest.raises(ValueError, match="right_steps are not of these texts padded on the right"):
        views.padding(Small(tokenizer), TEXTS, right_steps=steps)
    with pytest.raises(ValueError, match="steps are not of these texts"):
        views.padding(Small(tokenizer), TEXTS[:2], steps)
    with pytest.raises(ValueError, match="pass all steps"):
        views.padding(Small(tokenizer), TEXTS, steps[1:])


def test_one_text_no_texts_and_no_padding_token_are_refused(tokenizer):
    with pytest.raises(ValueError, match="texts='Hi' is not a list"):
        views.padding(tokenizer, "Hi")
    with pytest.raises(ValueError, match=r"texts=\[\]"):
        views.padding(tokenizer, [])
    bare = letters(CHATML)
    bare.pad_token = None
    with pytest.raises(ValueError, match=r"tokenizer\.pad_token = tokenizer\.eos_token"):
        views.padding(bare, TEXTS)


@pytest.mark.parametrize("rows", [1, 32, 100])
def test_a_large_batch_is_cut_and_says_so(tokenizer, rows):
    shown = views.padding(tokenizer, ["\"'<&" * 500, *["'"] * (rows - 1)])
    assert len(shown._repr_html_()) < 300_000
    assert "more …" in repr(shown) and f"{rows} row" in repr(shown)
    assert ("… 68 rows more …" in repr(shown)) == (rows == 100)


def test_hostile_texts_are_inert(tokenizer):
    texts = [text.encode(errors="replace").decode() for text in NASTY]
    shown = views.padding(tokenizer, texts)
    assert tags(shown._repr_html_()) <= INERT
    assert all(line.isprintable() for line in repr(shown).splitlines())

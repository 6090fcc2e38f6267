"""The views of the inside of a forward pass: one head's attention, each layer's guess."""

import pytest
import torch

from llmcourse import views
from tests.support.families import VOCAB
from tests.support.pages import INERT, NASTY, tags
from tests.support.toy_tokenizers import numbered

WORDS = numbered()
IDS = torch.tensor([[5, 6, 7]])
HEAD = torch.tensor([[1.0, 0.0, 0.0], [0.75, 0.25, 0.0], [0.2, 0.7, 0.1]])


def evenly(length: int) -> torch.Tensor:
    """Weights of a head that looks at all tokens so far alike."""
    weights = torch.ones(length, length).tril()
    return weights / weights.sum(-1, keepdim=True)


# One head's attention


def test_a_line_for_each_token_that_looks_and_nothing_of_what_comes_later():
    table = views.attention(WORDS, IDS, HEAD).table()
    assert list(table.headers) == ["who looks", "w5", "w6", "w7"]
    assert [list(row) for row in table.rows] == [
        ["w5", "100%", "–", "–"],
        ["w6", "75%", "25%", "–"],
        ["w7", "20%", "70%", "10%"],
    ]


def test_the_caption_says_where_the_last_token_looks():
    shown = views.attention(WORDS, IDS, HEAD, title="Head 4")
    assert shown.caption == "Head 4: w7 looks at w6 70%, w5 20%, w7 10%"
    for form in (repr(shown), shown._repr_html_()):
        assert shown.caption in form


@pytest.mark.parametrize("last", [HEAD[-1], HEAD[-1:]], ids=["(length,)", "(1, length)"])
def test_fewer_lines_are_those_of_the_last_tokens(last):
    (row,) = views.attention(WORDS, IDS, last).table().rows
    assert row == ["w7", "20%", "70%", "10%"]


def test_where_most_attention_goes_is_framed_and_not_only_tinted():
    page = views.attention(WORDS, IDS, HEAD[-1])._repr_html_()
    assert page.count("2px solid") == 1
    assert "In a frame: where most of it goes" in page


def test_of_a_long_text_the_middle_is_summed_up():
    shown = views.attention(WORDS, torch.arange(20), evenly(20))
    assert shown.left_out == 10
    assert shown.table().headers[1:4] == ["w0", "w1", "… 10 tokens …"]
    assert shown.table().rows[-1] == ["w19", "5.0%", "5.0%", "50%", *["5.0%"] * 8]
    for line in shown.shares:
        assert sum(share or 0 for share in line) == pytest.approx(1)


def test_a_line_adds_up_where_a_token_of_a_long_text_looks_within_what_is_shown():
    lines = views.attention(WORDS, torch.arange(11), evenly(11)).shares
    assert lines[1] == [0.5, 0.5, None, *[None] * 8]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (torch.ones(2, 2), r"shape \(2, 2\); for 3 tokens pass one head's, \(3, 3\)"),
        (torch.ones(1, 3, 3), r"shape \(1, 3, 3\)"),
        (torch.ones(4, 3), r"shape \(4, 3\)"),
        (torch.zeros(0, 3), r"shape \(0, 3\)"),
        (HEAD - 1, "no shares"),
        (HEAD * torch.nan, "no shares"),
    ],
)
def test_weights_that_are_not_one_heads_are_refused(weights, said):
    with pytest.raises(ValueError, match=said):
        views.attention(WORDS, IDS, weights)


def test_what_the_model_returns_is_shown_as_it_is(course_model):
    model, tokenizer = course_model
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        heads = model(**inputs, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(before)
    shown = views.attention(tokenizer, inputs.input_ids, heads[23][0, 4])
    assert "·is looks at ·France 90%" in repr(shown)


# Each layer's guess


def guesses() -> torch.Tensor:
    """Logits of four layers: token 2 leads at first, then 3, then 2 to the end."""
    logits = torch.zeros(4, VOCAB)
    for line, token in enumerate([2, 3, 2, 2]):
        logits[line, token] = 9.0
    return logits


def test_a_line_for_each_layer_and_the_last_guess_is_followed():
    shown = views.layers(WORDS, guesses(), top=1)
    assert shown.caption == "Each layer's guess: w2 leads from layer 2 on"
    assert [row[0] for row in shown.table().rows] == ["0", "1", "2", "3"]
    assert [row[1].split()[0] for row in shown.table().rows] == ["w2", "w3", "w2", "w2"]
    assert [one.rank for one in shown.readings] == [1, 2, 1, 1]


def test_the_layers_that_are_passed_keep_their_numbers():
    shown = views.layers(WORDS, guesses(), range(0, 40, 10))
    assert [row[0] for row in shown.table().rows] == ["0", "10", "20", "30"]
    assert "w2 leads from layer 20 on, of those shown\n" in repr(shown)


def test_a_guess_that_leads_from_the_start_is_said_to():
    assert "leads from the start" in repr(views.layers(WORDS, guesses()[2:]))


def test_a_lead_is_framed_and_not_only_tinted():
    page = views.layers(WORDS, guesses())._repr_html_()
    assert page.count("2px solid") == 3
    assert "Framed: w2 is the likeliest." in page


@pytest.mark.parametrize(
    ("better", "said"), [(0, "1"), (9, "10"), (10, "11 to 100"), (100, "101 to 1,000")]
)
def test_a_rank_is_said_as_precisely_as_floats_allow(better, said):
    logits = torch.zeros(2, 2000)
    logits[0, 1 : better + 1] = 1.0
    logits[0, 0] = 0.5
    logits[1, 0] = 1.0
    assert views.layers(numbered(), logits).table().rows[0][3] == said


def test_a_rank_far_down_is_over_a_thousand():
    logits = torch.arange(2000.0).repeat(2, 1)
    logits[1] = -logits[1]
    assert views.layers(WORDS, logits).table().rows[0][3] == "over 1,000"


def test_of_a_deep_model_the_middle_is_left_out():
    shown = views.layers(WORDS, torch.randn(60, VOCAB))
    assert len(shown.readings) == 40
    for form in (repr(shown), shown._repr_html_()):
        assert "… 20 layers left out …" in form


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: views.layers(WORDS, torch.zeros(VOCAB)), rf"shape \({VOCAB},\)"),
        (lambda: views.layers(WORDS, torch.zeros(0, VOCAB)), r"shape \(0, "),
        (lambda: views.layers(WORDS, guesses(), range(3)), "numbers names 3 layers, .* 4 lines"),
        (lambda: views.layers(WORDS, guesses(), top=0), "top=0 shows no guess"),
    ],
)
def test_a_call_that_shows_no_layers_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# Both


def views_of(tokenizer) -> dict:
    size = len(NASTY) + 1
    return {
        "attention": views.attention(tokenizer, torch.arange(size), evenly(size), NASTY[0]),
        "layers": views.layers(tokenizer, torch.eye(size), title=NASTY[1]),
    }


@pytest.mark.parametrize("name", ["attention", "layers"])
def test_a_hostile_vocabulary_is_rendered_inert(nasty, name):
    shown = views_of(nasty)[name]
    assert tags(shown._repr_html_()) <= INERT
    assert all(line.isprintable() for line in repr(shown).splitlines())
    assert "<caption" in shown._repr_html_()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_any_kind_of_number_is_shown(kind):
    assert "w6 70%" in repr(views.attention(WORDS, IDS, HEAD.to(kind)))
    assert "w2" in repr(views.layers(WORDS, guesses().to(kind)))

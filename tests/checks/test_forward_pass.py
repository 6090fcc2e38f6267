"""The checks of lesson 1 accept right answers and name the misconception of wrong ones."""

import math
import re
from pathlib import Path

import nbformat
import pytest
import torch

from llmcourse.checks import forward_pass as checks

LESSON = Path(__file__).parent.parent.parent / "notebooks" / "01_forward_pass.ipynb"


def of_lesson(name: str):
    """The function `name` as the lesson defines it: in a cell, or in a folded solution."""
    cells = nbformat.read(LESSON, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells) + "\n\nend"
    (code,) = re.findall(rf"^def {name}\(.*?\n(?=\S)", text, re.M | re.S)[:1]
    names = {"math": math, "torch": torch, "softmax": lambda logits: logits.softmax(-1)}
    exec(code, names)
    return names[name]


RIGHT = [
    (checks.check_softmax, "our_softmax"),
    (checks.check_surprise, "our_surprise"),
    (checks.check_to_logits, "our_to_logits"),
    (checks.check_mask, "our_left_mask"),
    (checks.check_pick, "pick"),
    (checks.check_without, "without"),
    (checks.check_nearest, "nearest"),
]


@pytest.mark.parametrize(("check", "name"), RIGHT, ids=[name for _, name in RIGHT])
def test_what_the_lesson_shows_is_accepted(check, name, capsys):
    check(of_lesson(name))
    out = capsys.readouterr().out
    assert out.startswith(check.__name__) and out.count("\n") == 1


def stub(*arguments):
    raise NotImplementedError("Write this.")


@pytest.mark.parametrize("check", [check for check, _ in RIGHT], ids=[name for _, name in RIGHT])
def test_a_stub_is_passed_over(check, capsys):
    check(stub)
    assert "nothing to check yet" in capsys.readouterr().out


def refuses(check, answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        check(answer)


# Softmax


def in_place(logits):
    logits -= logits.amax(-1, keepdim=True)
    return logits.exp() / logits.exp().sum(-1, keepdim=True)


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda x: None, "return probabilities, a tensor, not NoneType"),
        (lambda x: x.softmax(-1).amax(-1), "you returned shape ()"),
        (in_place, "you changed the logits"),
        (lambda x: x.exp() / x.exp().sum(-1, keepdim=True), "subtract the largest logit first"),
        (lambda x: x / x.sum(-1, keepdim=True), "take the exponential first"),
        (lambda x: x.exp(), "now divide it by its sum"),
        (lambda x: (x - x.amax(-1, keepdim=True)).exp(), "now divide it by its sum"),
        (lambda x: x.flatten().softmax(-1).reshape(x.shape), "each row sums to 1"),
        (lambda x: x.softmax(0), "you summed down the rows"),
        (lambda x: x.sigmoid(), "own sigmoid"),
        (lambda x: x.log_softmax(-1), "these are logarithms"),
        (lambda x: (x * math.log(2)).softmax(-1), "your base is 2"),
        (lambda x: (-x).softmax(-1), "the sign is wrong"),
        (lambda x: torch.ones_like(x) / x.shape[-1], "for logits [0.0, 1.0, 2.0]"),
    ],
)
def test_a_wrong_softmax_is_told_what_is_wrong(answer, misconception):
    refuses(checks.check_softmax, answer, misconception)


# Surprise


def places(ids):
    return torch.arange(len(ids) - 1)


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda x, ids: 1.0, "return bits, a tensor, not float"),
        (lambda x, ids: -x.softmax(-1)[range(len(ids)), ids].log2(), "nothing predicts the first"),
        (lambda x, ids: -x.softmax(-1)[places(ids) + 1, ids[1:]].log2(), "by its own row"),
        (lambda x, ids: -x.softmax(-1)[places(ids), ids[:-1]].log2(), "by its own row"),
        (lambda x, ids: -x.log_softmax(-1)[places(ids), ids[1:]], "these are nats"),
        (lambda x, ids: x.softmax(-1)[places(ids), ids[1:]].log2(), "takes a minus"),
        (lambda x, ids: x.softmax(-1)[places(ids), ids[1:]], "these are probabilities"),
        (lambda x, ids: x[places(ids), ids[1:]], "these are logits"),
        (lambda x, ids: -x.softmax(0)[places(ids), ids[1:]].log2(), "down the rows"),
        (lambda x, ids: -x.softmax(-1)[:-1].amax(-1).log2(), "the likeliest token"),
        (lambda x, ids: -x.softmax(-1)[places(ids), ids[1:]].log2().mean(), "shape ()"),
        (lambda x, ids: torch.zeros(len(ids) - 1), "ids [0, 3, 1, 1, 5] cost"),
    ],
)
def test_a_wrong_surprise_is_told_what_is_wrong(answer, misconception):
    refuses(checks.check_surprise, answer, misconception)


# The last matrix product


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda v, t: v @ t, "turn it over, table.T"),
        (lambda v, t: (v @ t.T).softmax(-1), "these are probabilities"),
        (lambda v, t: (v @ t.T).log_softmax(-1), "logarithms of them"),
        (lambda v, t: v[-1] @ t.T, "you returned one row"),
        (lambda v, t: t @ v.T, "you returned shape (7, 3)"),
        (
            lambda v, t: (v / v.norm(dim=-1, keepdim=True)) @ (t / t.norm(dim=-1, keepdim=True)).T,
            "which gives cosines",
        ),
        (lambda v, t: v @ t.T if v.shape[0] < v.shape[1] else v @ t, "the table's columns"),
        (lambda v, t: v @ t.T if v.shape[0] < v.shape[1] else t @ v.T, "your rows are the tokens"),
        (lambda v, t: v @ t.T * 2, "the sum of products"),
        (lambda v, t: v.mul_(2) @ t.T, "you changed what you were given"),
    ],
)
def test_a_wrong_product_is_told_what_is_wrong(answer, misconception):
    refuses(checks.check_to_logits, answer, misconception)


# The attention mask


def right_mask(ids, pad):
    return (ids != pad).long().cummax(-1).values


@pytest.mark.parametrize("kind", [torch.bool, torch.float32, torch.int32])
def test_a_mask_of_any_kind_of_number_is_accepted(kind):
    checks.check_mask(lambda ids, pad: right_mask(ids, pad).to(kind))


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda ids, pad: ids != pad, "you hid every end mark"),
        (lambda ids, pad: ids == pad, "the wrong way round"),
        (lambda ids, pad: 1 - right_mask(ids, pad), "the wrong way round"),
        (lambda ids, pad: torch.ones_like(ids), "you hid nothing"),
        (lambda ids, pad: right_mask(ids, pad).flip(-1), "padded on the left"),
        (lambda ids, pad: right_mask(ids[:1], pad).expand_as(ids), "padding of its own"),
        (lambda ids, pad: right_mask(ids, pad)[0], "you returned shape (4,)"),
        (lambda ids, pad: ids.masked_fill_(ids == pad, 0), "you changed the ids"),
        (lambda ids, pad: torch.zeros_like(ids), "the mask is"),
    ],
)
def test_a_wrong_mask_is_told_what_is_wrong(answer, misconception):
    refuses(checks.check_mask, answer, misconception)


# Exercise 1: a multiple-choice test


def added(bits, start, answer):
    return (bits(start + answer).sum() - bits(start).sum()).item()


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda b, s, a: min(a, key=lambda one: added(b, s, one)), "you compared sums"),
        (lambda b, s, a: min(a, key=lambda one: b(s + one).sum()), "you compared sums"),
        (
            lambda b, s, a: min(a, key=lambda one: added(b, s, one) / (len(b(s + one)) - 3)),
            "you divided by tokens",
        ),
        (
            lambda b, s, a: min(a, key=lambda one: b(s + one).sum() / len(one)),
            "the start's bits too",
        ),
        (
            lambda b, s, a: min(a, key=lambda one: b(s + one).sum() / len(s + one)),
            "the start's bits too",
        ),
        (lambda b, s, a: max(a, key=lambda one: added(b, s, one) / len(one)), "take the least"),
        (lambda b, s, a: min(a, key=lambda one: b(s + one).mean()), "the mean over the whole text"),
        (lambda b, s, a: a[-1], "you picked ' abcdefghi'"),
        (lambda b, s, a: 0, "return one of the answers"),
        (lambda b, s, a: min(a, key=lambda one: b(one).sum()), "ask for bits(start)"),
    ],
)
def test_a_wrong_pick_is_told_what_is_wrong(answer, misconception):
    refuses(checks.check_pick, answer, misconception)


# Exercise 2: hide a word


def with_mask(change):
    def answer(model, ids, place):
        mask = change(torch.ones_like(ids), place)
        return model(ids, attention_mask=mask).logits[0, -1]

    return answer


def hides(mask, place):
    return mask.index_fill(1, torch.tensor(place), 0)


def taken_out(model, ids, place):
    short = torch.cat([ids[:, :place], ids[:, place + 1 :]], dim=1)
    return model(short).logits[0, -1]


def another_in_its_place(model, ids, place):
    return model(ids.index_fill(1, torch.tensor(place), 0)).logits[0, -1]


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda model, ids, place: None, "call the model"),
        (lambda model, ids, place: model(ids).logits[0, -1], "no attention_mask reached"),
        (taken_out, "you took the token out"),
        (another_in_its_place, "you put another token in its place"),
        (with_mask(lambda mask, place: 1 - hides(mask, place)), "shows the word alone"),
        (with_mask(lambda mask, place: hides(mask, 0)), "hides the places [0], not 3"),
        (with_mask(lambda mask, place: hides(mask, place)[0]), "the mask's shape is (5,)"),
        (
            lambda model, ids, place: model(
                ids, attention_mask=hides(torch.ones_like(ids), place)
            ).logits[0, place],
            "the hidden token's own row",
        ),
        (
            lambda model, ids, place: (
                model(ids, attention_mask=hides(torch.ones_like(ids), place)).logits
            ),
            "return the last row",
        ),
        (lambda model, ids, place: ids.zero_(), "you changed the ids"),
    ],
)
def test_a_wrong_hiding_is_told_what_is_wrong(answer, misconception):
    refuses(checks.check_without, answer, misconception)


# Exercise 3: neighbours in the table


def by(measure, own=False):
    def answer(table, token, k):
        scores = measure(table, table[token])
        if not own:
            scores[token] = -math.inf
        return scores.topk(k).indices

    return answer


def cosine(table, row):
    return torch.nn.functional.cosine_similarity(table, row[None])


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (by(lambda t, row: t @ row), "plain products"),
        (by(cosine, own=True), "its own nearest neighbour"),
        (by(lambda t, row: -cosine(t, row)), "the farthest"),
        (by(lambda t, row: -(t - row).norm(dim=-1)), "you compared distances"),
        (lambda t, token, k: by(cosine)(t, token, k).flip(0), "not in order"),
        (lambda t, token, k: by(cosine)(t, token, k + 1), "you returned 4 ids"),
        (lambda t, token, k: [5, 1, 4], "the nearest are"),
    ],
)
def test_a_wrong_neighbourhood_is_told_what_is_wrong(answer, misconception):
    refuses(checks.check_nearest, answer, misconception)

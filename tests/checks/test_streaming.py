"""The checks of lesson 6 take right answers and name what is wrong with the others."""

import codecs

import pytest
import torch

from llmcourse.checks.streaming import check_characters, check_choice_rule, check_loop_criterion

GONE = float("-inf")

# Text from the bytes of tokens


def with_a_decoder(chunks):
    decoder = codecs.getincrementaldecoder("utf-8")()
    for chunk in chunks:
        yield decoder.decode(chunk)


def with_what_is_left(chunks):
    held = b""
    for chunk in chunks:
        held += chunk
        text = held.decode(errors="ignore")
        held = held[len(text.encode()) :]
        if text:
            yield text


@pytest.mark.parametrize("answer", [with_a_decoder, with_what_is_left])
def test_characters_that_come_whole_and_early_are_right(answer, capsys):
    check_characters(answer)
    assert capsys.readouterr().out.startswith("check_characters: nothing lost")


def each_alone(chunks):
    for chunk in chunks:
        yield chunk.decode(errors="replace")


def each_alone_without_what_is_broken(chunks):
    for chunk in chunks:
        yield chunk.decode(errors="ignore")


def all_again(chunks):
    held = b""
    for chunk in chunks:
        held += chunk
        yield held.decode(errors="ignore")


def all_at_the_end(chunks):
    yield b"".join(chunks).decode()


def one_chunk_late(chunks):
    last = ""
    for text in with_a_decoder(chunks):
        yield last
        last = text
    yield last


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (each_alone, "not a whole character yet"),
        (each_alone_without_what_is_broken, "missing or doubled"),
        (all_again, "the whole text again"),
        (all_at_the_end, "too late: after 1 of the chunks"),
        (one_chunk_late, "too late: after 1 of the chunks"),
    ],
)
def test_a_wrong_way_to_decode_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_characters(answer)


# A criterion


def by_slices(ids, scores):
    if ids.shape[1] < 10:
        return torch.zeros(len(ids), dtype=torch.bool)
    return (ids[:, -5:] == ids[:, -10:-5]).all(dim=1)


def row_by_row(ids, scores):
    return torch.tensor([len(row) > 9 and row[-5:] == row[-10:-5] for row in ids.tolist()])


@pytest.mark.parametrize("answer", [by_slices, row_by_row])
def test_a_criterion_that_looks_at_the_end_of_each_row_is_right(answer, capsys):
    check_loop_criterion(answer)
    assert "each row ends by itself" in capsys.readouterr().out


def any_row(ids, scores):
    return by_slices(ids, scores).any().expand(len(ids))


def all_rows(ids, scores):
    return by_slices(ids, scores).all().expand(len(ids))


def anywhere(ids, scores):
    rows = ids.tolist()
    return torch.tensor(
        [any(row[k : k + 5] == row[k + 5 : k + 10] for k in range(len(row) - 9)) for row in rows]
    )


def without_order(ids, scores):
    rows = ids.tolist()
    return torch.tensor([len(r) > 9 and sorted(r[-5:]) == sorted(r[-10:-5]) for r in rows])


def short_texts_too(ids, scores):
    return torch.tensor(
        [len(set(row[-3:])) == 1 or row[-5:] == row[-10:-5] for row in ids.tolist()]
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda ids, scores: bool(by_slices(ids, scores).any()), "one bool for each row"),
        (lambda ids, scores: by_slices(ids, scores).any(), "one bool for each row"),
        (lambda ids, scores: by_slices(ids, scores).long(), "return bools"),
        (any_row, "every row got the same answer"),
        (all_rows, "every row got the same answer"),
        (anywhere, "anywhere; only the end"),
        (without_order, "another order"),
        (short_texts_too, "too short"),
        (lambda ids, scores: ids[:, -1:].eq(ids[:, -6:-5]).any(dim=1), "one token with the one"),
        (lambda ids, scores: (ids[:, -5:] == ids[:, -10:-5]).all(dim=1), "answer no, do not fail"),
        (lambda ids, scores: ids[:, -1] < 0, "the answer is"),
    ],
)
def test_a_wrong_criterion_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_loop_criterion(answer)


# A rule that lets only choices through


def rule_maker(
    start=None, first_row=False, empty=False, end=True, early=False, longer=True, padded=True
):
    """Return an answer that is right as it is, and wrong in one way for each setting."""

    def answer(texts, choices, eos, prompt_length):
        def rule(ids, scores):
            made = torch.full_like(scores, GONE)
            for row in range(len(ids)):
                new = ids[0 if first_row else row, prompt_length if start is None else start :]
                text = "".join(texts[token] for token in new.tolist())
                keep = [
                    token
                    for token, piece in enumerate(texts)
                    if (piece or empty) and any(one.startswith(text + piece) for one in choices)
                ]
                if text in choices:
                    keep = (keep if longer else []) + [eos] * end
                if early or (padded and eos in new):
                    keep.append(eos)
                made[row, keep] = scores[row, keep]
            return made

        return rule

    return answer


def by_adding(texts, choices, eos, prompt_length):
    def allowed(text, token):
        if token == eos:
            return text in choices
        return bool(texts[token]) and any(one.startswith(text + texts[token]) for one in choices)

    def rule(ids, scores):
        bans = torch.zeros_like(scores)
        for row, new in enumerate(ids[:, prompt_length:].tolist()):
            if eos in new:
                continue
            text = "".join(texts[token] for token in new)
            for token in range(len(texts)):
                if not allowed(text, token):
                    bans[row, token] = GONE
        return scores + bans

    return rule


@pytest.mark.parametrize("answer", [rule_maker(), by_adding], ids=["by keeping", "by adding"])
def test_a_rule_that_leaves_what_leads_to_a_choice_is_right(answer, capsys):
    check_choice_rule(answer)
    assert "only what can still become a choice" in capsys.readouterr().out


def in_place(*call):
    def rule(ids, scores):
        scores[:] = rule_maker()(*call)(ids, scores)
        return scores

    return rule


def with_equal_scores(*call):
    return lambda ids, scores: rule_maker()(*call)(ids, scores).clamp(max=0.0)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (rule_maker(start=0), "you read the prompt too"),
        (rule_maker(first_row=True), "each row has a text of its own"),
        (rule_maker(empty=True), "a token without text"),
        (rule_maker(end=False), "the model cannot end there"),
        (rule_maker(early=True), "is no choice yet"),
        (rule_maker(longer=False), "the start of a longer one"),
        (rule_maker(padded=False), "a row that has ended lost every token"),
        (in_place, "in place"),
        (with_equal_scores, "keeps its score"),
        (lambda *call: lambda ids, scores: scores, "without text"),
    ],
)
def test_a_wrong_rule_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_choice_rule(answer)

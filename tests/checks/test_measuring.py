"""The checks of lesson 10 pass what is right, and name each misconception."""

import math
import string

import pytest

from llmcourse.checks import measuring


def raises(check, answer, said):
    with pytest.raises(AssertionError, match=said):
        check(answer)


# Log-likelihood


def log_likelihood(logits, ids, start):
    rows = logits[start - 1 : -1].log_softmax(-1)
    return rows.gather(-1, ids[start:, None]).sum()


def each(logits, ids, start):
    return logits[start - 1 : -1].log_softmax(-1).gather(-1, ids[start:, None])


WRONG_LIKELIHOODS = {
    "each token's own row": lambda logits, ids, start: (
        logits[start:].log_softmax(-1).gather(-1, ids[start:, None]).sum()
    ),
    "counted the context's tokens": lambda logits, ids, start: (
        log_likelihood(logits, ids, 1) if start > 1 else 0.0
    ),
    "first token is missing": lambda logits, ids, start: each(logits, ids, start)[1:].sum(),
    "you took the mean": lambda logits, ids, start: each(logits, ids, start).mean(),
    "length of the whole text": lambda logits, ids, start: (
        log_likelihood(logits, ids, start) / len(ids)
    ),
    "these are bits": lambda logits, ids, start: log_likelihood(logits, ids, start) / math.log(2),
    "that is the surprise": lambda logits, ids, start: -log_likelihood(logits, ids, start),
    "that is the probability": lambda logits, ids, start: log_likelihood(logits, ids, start).exp(),
    "you added up logits": lambda logits, ids, start: (
        logits[start - 1 : -1].gather(-1, ids[start:, None]).sum()
    ),
    "run over the places": lambda logits, ids, start: (
        logits.log_softmax(0)[start - 1 : -1].gather(-1, ids[start:, None]).sum()
    ),
    "likeliest token of each row": lambda logits, ids, start: (
        logits[start - 1 : -1].log_softmax(-1).amax(-1).sum()
    ),
    "add up to": lambda logits, ids, start: log_likelihood(logits, ids, start) - 1,
    "return one number": each,
    "not list": lambda logits, ids, start: each(logits, ids, start).tolist(),
}


def test_a_right_log_likelihood_passes(capsys):
    measuring.check_log_likelihood(log_likelihood)
    measuring.check_log_likelihood(lambda *given: float(log_likelihood(*given)))
    assert capsys.readouterr().out.count("check_log_likelihood: the continuation") == 2


@pytest.mark.parametrize("said", WRONG_LIKELIHOODS)
def test_a_wrong_log_likelihood_is_told_why(said):
    raises(measuring.check_log_likelihood, WRONG_LIKELIHOODS[said], said)


# pass@k


def pass_at_k(n, right, k):
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def as_a_product(n, right, k):
    if n - right < k:
        return 1.0
    return 1 - math.prod(1 - k / m for m in range(n - right + 1, n + 1))


def afraid_of_few(n, right, k):
    return pass_at_k(n, right, k) if n - right >= k else 0.0


WRONG_PASS_AT_K = {
    "how often none is right": lambda n, right, k: math.comb(n - right, k) / math.comb(n, k),
    "may take the same answer twice": lambda n, right, k: 1 - (1 - right / n) ** k,
    "k does not enter": lambda n, right, k: right / n,
    "counts a problem twice": lambda n, right, k: min(1.0, k * right / n),
    "all k are right": lambda n, right, k: math.comb(right, k) / math.comb(n, k),
    "always hold a right one": afraid_of_few,
    "hold a right one": lambda n, right, k: 0.123,
    "return a number": lambda n, right, k: None,
}


@pytest.mark.parametrize("right", [pass_at_k, as_a_product])
def test_a_right_pass_at_k_passes(right, capsys):
    measuring.check_pass_at_k(right)
    assert "check_pass_at_k: the share" in capsys.readouterr().out


@pytest.mark.parametrize("said", WRONG_PASS_AT_K)
def test_a_wrong_pass_at_k_is_told_why(said):
    raises(measuring.check_pass_at_k, WRONG_PASS_AT_K[said], said)


# Windows


def windows(length, size, stride):
    made, first = [], 1
    for begin in range(0, length, stride):
        end = min(begin + size, length)
        made.append((begin, first, end))
        first = end
        if end == length:
            return made


def changed(change):
    return lambda *call: [change(*one) for one in windows(*call)]


def apart(length, size, stride):
    """Windows without context: as far apart as they are long."""
    return windows(length, size, size)


def closer(length, size, stride):
    """Windows that begin one token before what they count."""
    return [(first - 1, first, end) for _, first, end in windows(length, size, stride)]


def no_stop(length, size, stride):
    first, made = 1, []
    for begin in range(0, length, stride):
        end = min(begin + size, length)
        made.append((begin, first, end))
        first = end
    return made


WRONG_WINDOWS = {
    "return triples": changed(lambda begin, first, end: (begin, end)),
    "first token of the text": changed(
        lambda begin, first, end: (begin, max(begin, first - 1), end)
    ),
    "behind the text's": lambda length, size, stride: [
        (begin, begin + (size - stride if begin else 1), begin + size)
        for begin in range(0, length, stride)
    ],
    "more than the": lambda length, size, stride: [(0, 1, length)],
    "counts nothing; stop": no_stop,
    "counts its own first token": apart,
    "counts in two windows": changed(lambda begin, first, end: (begin, begin + 1, end)),
    "the last window is a short one": lambda *call: windows(*call)[:-1] or [(0, 1, 2)],
    "is never counted; windows leave no gap": changed(
        lambda begin, first, end: (begin, first + (begin > 0 and end - first > 1), end)
    ),
    "they are . apart": closer,
}


def test_right_windows_pass(capsys):
    measuring.check_windows(windows)
    measuring.check_windows(lambda *call: map(list, windows(*call)))
    assert capsys.readouterr().out.count("check_windows: each token") == 2


@pytest.mark.parametrize("said", WRONG_WINDOWS)
def test_wrong_windows_are_told_why(said):
    raises(measuring.check_windows, WRONG_WINDOWS[said], said)


# Exercises


def bits(log_probs):
    return -float(log_probs.sum()) / math.log(2)


WRONG_BITS = {
    "these are nats": lambda log_probs, text: -float(log_probs.sum()) / len(text.encode()),
    "the sign": lambda log_probs, text: -bits(log_probs) / len(text.encode()),
    "divided by tokens": lambda log_probs, text: bits(log_probs) / len(log_probs),
    "divided by words": lambda log_probs, text: bits(log_probs) / len(text.split()),
    "perplexity of bytes": lambda log_probs, text: 2 ** (bits(log_probs) / len(text.encode())),
    "did not divide": lambda log_probs, text: bits(log_probs),
    "divided by characters": lambda log_probs, text: bits(log_probs) / len(text),
    "you returned 7": lambda log_probs, text: 7,
}


def test_right_bits_per_byte_pass(capsys):
    measuring.check_bits_per_byte(lambda log_probs, text: bits(log_probs) / len(text.encode()))
    assert "check_bits_per_byte: bits" in capsys.readouterr().out


@pytest.mark.parametrize("said", WRONG_BITS)
def test_wrong_bits_per_byte_are_told_why(said):
    raises(measuring.check_bits_per_byte, WRONG_BITS[said], said)


def needed(share, margin, z=1.96):
    return math.ceil(z * z * share * (1 - share) / margin**2)


WRONG_NEEDS = {
    "round up": lambda share, margin: 1.96**2 * share * (1 - share) / margin**2,
    "you rounded down": lambda share, margin: needed(share, margin) - 1,
    "without 1.96": lambda share, margin: needed(share, margin, z=1),
    "on each side": lambda share, margin: needed(share, margin / 2),
    "forgot the square": lambda share, margin: math.ceil(
        1.96 * math.sqrt(share * (1 - share)) / margin
    ),
    "left the share out": lambda share, margin: needed(0.5, margin),
    "the share itself": lambda share, margin: math.ceil(1.96**2 * share / margin**2),
    "you returned 5": lambda share, margin: 5,
}


def test_the_right_number_of_items_passes(capsys):
    measuring.check_items_needed(needed)
    assert "check_items_needed: the least" in capsys.readouterr().out


@pytest.mark.parametrize("said", WRONG_NEEDS)
def test_a_wrong_number_of_items_is_told_why(said):
    raises(measuring.check_items_needed, WRONG_NEEDS[said], said)


def bare(text):
    return [word.strip(string.punctuation).lower() for word in text.split()]


def runs(words, n):
    return [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]


def share(mine, theirs):
    return sum(one in theirs for one in mine) / len(mine) if mine else 0.0


def overlap(item, text, n, words=bare):
    return share(runs(words(item), n), set(runs(words(text), n)))


def with_case(text):
    return [word.strip(string.punctuation) for word in text.split()]


def with_points(text):
    return text.lower().split()


def in_letters(item, text, n):
    joined = " ".join(bare(text))
    mine = runs(bare(item), n)
    return sum(" ".join(one) in joined for one in mine) / len(mine) if mine else 0.0


WRONG_OVERLAPS = {
    "compare without case": lambda item, text, n: overlap(item, text, n, with_case),
    "take the punctuation off": lambda item, text, n: overlap(item, text, n, with_points),
    "single words": lambda item, text, n: overlap(item, text, 1),
    "you compared characters": lambda item, text, n: overlap(item, text, n, str.lower),
    "compare words, not letters": in_letters,
    "not the text's": lambda item, text, n: overlap(text, item, n),
    "that is how many": lambda item, text, n: overlap(item, text, n) * len(runs(bare(item), n)),
    "fewer words than n": lambda item, text, n: (
        overlap(item, text, n) if len(bare(item)) >= n else 1.0
    ),
    "you returned 9": lambda item, text, n: 9.0,
}


def test_a_right_overlap_passes(capsys):
    measuring.check_overlap(overlap)
    assert "check_overlap: the share" in capsys.readouterr().out


@pytest.mark.parametrize("said", WRONG_OVERLAPS)
def test_a_wrong_overlap_is_told_why(said):
    raises(measuring.check_overlap, WRONG_OVERLAPS[said], said)

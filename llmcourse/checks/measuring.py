"""Checks for lesson 10, measuring.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import itertools
import math
import string
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from llmcourse.checks import once_written

Window = tuple[int, int, int]  # where it begins, the first token that counts, where it ends

# Log-likelihood

_SCORED = (  # tokens of the text, where the continuation begins
    (5, 3),
    (6, 5),
    (9, 1),
    (9, 4),
)


def _log_prob(logits: Tensor, row: int, token: int) -> float:
    """Return the natural logarithm of a token's probability, by the definition of softmax."""
    exponents = [math.exp(one) for one in logits[row].tolist()]
    return math.log(exponents[token] / sum(exponents))


def _priced(logits: Tensor, ids: Tensor, places: Iterable[int], shift: int = 1) -> float:
    """Add up the log probabilities of the tokens at `places`, read `shift` rows before each."""
    return sum(_log_prob(logits, place - shift, int(ids[place])) for place in places)


@once_written
def check_log_likelihood(answer: Callable[[Tensor, Tensor, int], Tensor | float]) -> None:
    """Compare `answer(logits, ids, start)` with a sum over the tokens, one by one.

    logits: (length, vocab) float32; ids: (length,) int64; start: where the continuation begins.
    Raises AssertionError with the misconception that it found.
    """
    for seed, (length, start) in enumerate(_SCORED):
        made = torch.Generator().manual_seed(seed)
        logits = 2 * torch.randn(length, 11, generator=made)
        ids = torch.randint(11, (length,), generator=made)
        _compare_log_likelihood(answer, logits, ids, start)
    print("check_log_likelihood: the continuation's tokens, each by the row before it, added up.")


def _compare_log_likelihood(answer: Callable, logits: Tensor, ids: Tensor, start: int) -> None:
    given, length = _number(answer(logits, ids, start)), len(ids)
    continuation = range(start, length)
    right = _priced(logits, ids, continuation)
    rows = logits[start - 1 : length - 1]
    wrong = (
        ("you read each token's own row; the row at a place predicts the token after it",
         _priced(logits, ids, continuation, shift=0)),
        ("you counted the context's tokens too; only the continuation is the answer",
         _priced(logits, ids, range(1, length))),
        ("the continuation's first token is missing: the context's last row predicts it",
         _priced(logits, ids, range(start + 1, length))),
        ("you took the mean; a log-likelihood is a sum, and whether to divide it is asked later",
         right / len(continuation)),
        ("you divided by the length of the whole text", right / length),
        ("these are bits; natural logarithms are asked for", right / math.log(2)),
        ("that is the surprise; a log-likelihood is not above 0", -right),
        ("that is the probability; return its logarithm", math.exp(right)),
        ("you added up logits; softmax makes probabilities of each row first",
         float(sum(logits[place - 1, ids[place]] for place in continuation))),
        ("you let softmax run over the places; each row sums to 1, so dim=-1",
         float(logits.log_softmax(0)[range(start - 1, length - 1), ids[start:]].sum())),
        ("you took the likeliest token of each row, not the one that stands in the continuation",
         float(rows.log_softmax(-1).amax(-1).sum())),
    )  # fmt: skip
    _name_the_first_close(wrong, given, right)
    assert _close(given, right), (
        f"for a text of {length} tokens whose continuation begins at {start} you returned "
        f"{given:.4f}; its tokens' log probabilities add up to {right:.4f}"
    )


# pass@k


@once_written
def check_pass_at_k(answer: Callable[[int, int, int], float]) -> None:
    """Compare `answer(n, right, k)` with a count of all ways to take `k` of `n` answers.

    Raises AssertionError with the misconception that it found.
    """
    for n, right, k in ((4, 1, 2), (5, 2, 1), (6, 3, 3), (8, 2, 5), (7, 0, 3)):
        _compare_pass_at_k(answer, n, right, k)
    for n, right, k in ((4, 3, 2), (6, 5, 6), (5, 5, 2)):  # fewer wrong ones than are taken
        given = _number(answer(n, right, k))
        assert _close(given, 1.0), (
            f"of {n} answers {right} are right, so {k} of them always hold a right one: 1, and "
            f"you returned {given:.4f}"
        )
    print("check_pass_at_k: the share of all ways to take k of n that hold a right one.")


def _compare_pass_at_k(answer: Callable, n: int, right: int, k: int) -> None:
    given = _number(answer(n, right, k))
    ways = list(itertools.combinations([True] * right + [False] * (n - right), k))
    expected = sum(map(any, ways)) / len(ways)
    wrong = (
        ("that is how often none is right; take it from 1", 1 - expected),
        ("1 - (1 - right / n) ** k may take the same answer twice: k of the n are taken, none of "
         "them again. It is too low", 1 - (1 - right / n) ** k),
        ("k does not enter: with more tries more problems are solved", right / n),
        ("k times the share counts a problem twice when two of its answers are right",
         min(1.0, k * right / n)),
        ("that is how often all k are right; one is enough", sum(map(all, ways)) / len(ways)),
    )  # fmt: skip
    _name_the_first_close(wrong, given, expected)
    assert _close(given, expected), (
        f"of {n} answers {right} are right. Of {len(ways)} ways to take {k}, "
        f"{sum(map(any, ways))} hold a right one: {expected:.4f}, and you returned {given:.4f}"
    )


# Windows


@once_written
def check_windows(answer: Callable[[int, int, int], Sequence[Window]]) -> None:
    """Look at `answer(length, size, stride)`: is each token counted once, after enough context?

    A window is (begin, first, end): `begin` to `end` are read, `first` to `end` counted. Raises
    AssertionError with the misconception that it found.
    """
    for length, size, stride in ((10, 4, 2), (11, 4, 3), (9, 6, 1), (5, 8, 4), (20, 8, 4)):
        _look_at_windows(answer, length, size, stride)
    print("check_windows: each token but the first counts once, with enough before it.")


def _look_at_windows(answer: Callable, length: int, size: int, stride: int) -> None:
    given = [tuple(map(int, one)) for one in answer(length, size, stride)]
    call = f"windows({length}, {size}, {stride})"
    assert given and all(len(one) == 3 for one in given), (
        f"{call}: return triples (begin, first, end), one for each window"
    )
    assert given[0][1] != 0, (
        "you count the first token of the text; nothing stands before it, so nothing predicts it"
    )
    for window in given:
        _look_at_a_window(window, length, size, call)
    _look_at_what_counts(given, length, call)
    for (earlier, *_), (later, *_) in itertools.pairwise(given):
        assert later - earlier == stride, (
            f"{call}: a window begins at {earlier}, the next at {later}; they are {stride} apart"
        )


def _look_at_a_window(window: Window, length: int, size: int, call: str) -> None:
    begin, first, end = window
    assert end <= length, f"{call}: a window ends at {end}, behind the text's {length} tokens"
    assert end - begin <= size, f"{call}: {begin} to {end} is more than the {size} it may read"
    assert first < end, f"{call}: the window {window} counts nothing; stop at the text's end"
    assert begin < first, (
        f"{call}: the window {window} counts its own first token, and nothing in it predicts that"
    )


def _look_at_what_counts(given: Sequence[Window], length: int, call: str) -> None:
    counted = [place for _, first, end in given for place in range(first, end)]
    twice = sorted({place for place in counted if counted.count(place) > 1})
    assert not twice, (
        f"{call}: token {twice[0]} counts in two windows; what an earlier one counted is context"
    )
    missing = sorted(set(range(1, length)) - set(counted))
    last = max(counted)
    assert not missing or missing[0] < last, (
        f"{call}: the tokens from {last + 1} on are never counted: the last window is a short one"
    )
    assert not missing, f"{call}: token {missing[0]} is never counted; windows leave no gap"


# Exercises

_TEXTS = ("The sky is blue.", "Grüße aus Köln, schöne!", "你好, 世界", "a 🤗 b")


@once_written
def check_bits_per_byte(answer: Callable[[Tensor, str], float]) -> None:
    """Compare `answer(log_probs, text)` with bits added up one by one, over the UTF-8 bytes.

    log_probs: (tokens,) float32, natural logarithms. Raises AssertionError with the misconception.
    """
    for seed, text in enumerate(_TEXTS):
        log_probs = -3 * torch.rand(5 + seed, generator=torch.Generator().manual_seed(seed))
        given = _number(answer(log_probs, text))
        nats = -sum(log_probs.tolist())
        size = len(text.encode())
        bits = nats / math.log(2)
        wrong = (
            ("these are nats: divide by ln 2", nats / size),
            ("the sign: what is less likely costs more bits", -bits / size),
            ("you divided by tokens; then another tokenizer changes the figure",
             bits / len(log_probs)),
            ("you divided by words", bits / len(text.split())),
            ("you took two to its power; that is a perplexity of bytes", 2 ** (bits / size)),
            ("you did not divide: these are the bits of the whole text", bits),
        )  # fmt: skip
        if len(text) != size:
            wrong += (
                ("you divided by characters; one of them may have several bytes: text.encode()",
                 bits / len(text)),
            )  # fmt: skip
        right = bits / size
        _name_the_first_close(wrong, given, right)
        assert _close(given, right), (
            f"{text!r}: {bits:.3f} bits, {size} bytes: {right:.4f}; you returned {given:.4f}"
        )
    print("check_bits_per_byte: bits of all tokens, over the bytes of the text.")


@once_written
def check_items_needed(answer: Callable[[float, float], int]) -> None:
    """Compare `answer(share, margin)` with the least n that is found by trying one after another.

    At least so many items that 1.96 standard errors are no more than `margin`. Raises
    AssertionError with the misconception.
    """
    for share, margin in ((0.5, 0.1), (0.3, 0.05), (0.9, 0.02), (0.62, 0.013)):
        given = answer(share, margin)
        assert isinstance(given, int), (
            f"return a whole number of items, not {type(given).__name__}: round up"
        )
        spread = share * (1 - share)

        def least(z=1.96, spread=spread, margin=margin):
            return math.ceil(z * z * spread / margin**2)

        right = next(n for n in itertools.count(1) if 1.96 * math.sqrt(spread / n) <= margin)
        wrong = {
            "you rounded down; then the margin is a little too wide": right - 1,
            "without 1.96 this holds for two runs of three, not for 95 of 100": least(z=1),
            "the margin is on each side; you took it as the whole width": least(margin=margin / 2),
            "you forgot the square: for half the margin it takes four times the items": (
                math.ceil(1.96 * math.sqrt(spread) / margin)
            ),
            "you left the share out, as if it were a half": least(spread=0.25),
            "that is the share itself; its spread is share * (1 - share)": least(spread=share),
        }
        for misconception, made in wrong.items():
            assert given == right or given != made, misconception
        assert given == right, (
            f"for a share of {share:.0%} and a margin of {margin:.1%} it takes {right} items; you "
            f"returned {given}"
        )
    print("check_items_needed: the least n whose interval is narrow enough.")


_CORPUS = "The cat sat on the mat, and the dog slept by the catalogue. It was late."


def _words(text: str) -> list[str]:
    return [word.strip(string.punctuation).lower() for word in text.split()]


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]


def _share(grams: Sequence, among: Iterable) -> float:
    there = set(among)
    return sum(gram in there for gram in grams) / len(grams) if grams else 0.0


@once_written
def check_overlap(answer: Callable[[str, str, int], float]) -> None:
    """Compare `answer(item, text, n)` with a look at each run of n words.

    Words without case, and without punctuation at their ends. Raises AssertionError with the
    misconception.
    """
    for item, n in (
        ("Where did the cat sit? The cat sat on the mat!", 3),
        ("the DOG slept by a cat", 2),
        ("and the dog slept by the cat", 3),
        ("slept by the catalogue. It was early", 2),
        ("nothing of this stands there", 2),
    ):
        given = _number(answer(item, _CORPUS, n))
        mine, theirs = _words(item), _words(_CORPUS)
        right = _share(_grams(mine, n), _grams(theirs, n))
        inside = [" ".join(gram) in " ".join(theirs) for gram in _grams(mine, n)]
        wrong = (
            ("'The' and 'the' are one word: compare without case", _share(
                _grams([word.strip(string.punctuation) for word in item.split()], n),
                _grams([word.strip(string.punctuation) for word in _CORPUS.split()], n))),
            ("'mat!' and 'mat,' are one word: take the punctuation off", _share(
                _grams(item.lower().split(), n), _grams(_CORPUS.lower().split(), n))),
            ("'the cat' is not in 'the catalogue': compare words, not letters",
             sum(inside) / len(inside)),
            ("you compared single words; nearly every text has those",
             _share(mine, theirs)),
            ("you compared characters; runs of n words are asked for",
             _share(_grams(item.lower(), n), _grams(_CORPUS.lower(), n))),
            ("it is the item's share that is asked for, not the text's",
             _share(_grams(theirs, n), _grams(mine, n))),
            ("that is how many; divide by the runs that the item has", right * len(inside)),
        )  # fmt: skip
        _name_the_first_close(wrong, given, right)
        assert _close(given, right), (
            f"of the runs of {n} words in {item!r}, {right:.3f} stand in the text; you returned "
            f"{given:.3f}"
        )
    short = answer("The cat", _CORPUS, 3)
    assert _close(_number(short), 0.0), "an item of fewer words than n has no run of them: 0.0"
    print("check_overlap: the share of an item's runs of n words that the text has.")


# Comparing numbers


def _number(given: object) -> float:
    """Return an answer that is a number, or a tensor of one; raise AssertionError for others."""
    if isinstance(given, Tensor):
        assert given.numel() == 1, f"return one number; this is a tensor of {tuple(given.shape)}"
        return float(given)
    assert isinstance(given, int | float), f"return a number, not {type(given).__name__}"
    return float(given)


def _close(given: float, right: float) -> bool:
    return math.isclose(given, right, rel_tol=1e-4, abs_tol=1e-6)


def _name_the_first_close(wrong: Iterable[tuple[str, float]], given: float, right: float) -> None:
    """Raise AssertionError with the first misconception that leads to `given`, if it is wrong."""
    for misconception, made in wrong:
        assert _close(given, right) or not _close(given, made), misconception

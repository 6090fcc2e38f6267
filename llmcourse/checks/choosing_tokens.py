"""Checks of lesson 3, choosing tokens: its stubs and its exercises.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line. A stub is
passed over.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from transformers import GenerationConfig

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first, tensor_of
from llmcourse.checks.sign_test import one_side, shares, two_sided

_IN_PLACE = "you changed the scores that you were given; return new ones"


@once_written
def check_top_k(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Compare top-k, `answer(scores, k)`, with a loop over one row at a time.

    scores: (batch, vocab) float32, raw logits; the answer returns as many, with -inf where a token
    is dropped. Raises AssertionError with the misconception that it found.
    """
    for rows, k in _LISTS:
        scores = torch.tensor(rows)
        kept = _kept(answer, scores, k)
        wanted = [sorted(_likeliest_first(row)[:k]) for row in rows]
        weakest = [sorted(_likeliest_first(row)[-k:]) for row in rows]
        first = [wanted[0]] * len(rows)
        wrong = (
            ("you kept the k least likely; keep the likeliest", weakest),
            ("you took the tokens of the first row for all; each row has its own k likeliest",
             first),
        )  # fmt: skip
        name_the_first(wrong, kept, wanted)
        counts = [len(stay) for stay in kept]
        assert all(count == k for count in counts), (
            f"of k={k}, {counts} tokens stay in the rows {rows}: the k-th likeliest must stay, "
            "the next one must not"
        )
        assert kept == wanted, f"of {rows} and k={k} stay the tokens {wanted}; you kept {kept}"
    print("check_top_k: the k likeliest stay in each row, with the scores that they had.")


# Logits without ties, all of them below 0 in one, and k.
_LISTS = (
    ([[1.0, 3.0, 2.0, 0.5, -1.0]], 2),
    ([[-4.0, -1.0, -3.0, -2.0, -5.0]], 3),
    ([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], 1),
)


@once_written
def check_top_p(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Compare a nucleus rule, `answer(scores, p)`, with a loop over one row at a time.

    scores: (batch, vocab) float32, raw logits; the answer returns as many, with -inf where a token
    is dropped. Raises AssertionError with the misconception that it found.
    """
    kept = [_kept(answer, torch.tensor(rows).log() + 3.0, p) for rows, p in _NUCLEI]
    wanted = _everywhere(_nucleus)
    if kept == wanted:
        print("check_top_p: your nucleus is the smallest set that reaches p, in every row.")
        return
    for misconception, rule in _WRONG_NUCLEI:
        assert kept != _everywhere(rule), misconception
    assert kept[:-1] != wanted[:-1], "each row has a nucleus of its own; two rows came out wrong"
    for (rows, p), yours, right in zip(_NUCLEI, kept, wanted, strict=True):
        assert yours == right, f"of {rows} and p={p} stay the tokens {right}; you kept {yours}"


# Probabilities whose sums are not near p, and p. Only the last has two rows.
_NUCLEI = (
    ([[0.4, 0.3, 0.2, 0.1]], 0.55),  # crossed by the second
    ([[0.15, 0.05, 0.5, 0.3]], 0.65),  # the same, not in order
    ([[0.6, 0.3, 0.1]], 0.25),  # the first alone is more than p
    ([[0.2, 0.1, 0.4, 0.3], [0.9, 0.04, 0.03, 0.03]], 0.85),
)


def _everywhere(rule: Callable[[list[float], float], list[int]]) -> list[list[list[int]]]:
    """Return for each row of each input the tokens that `rule` would keep."""
    return [[rule(row, p) for row in rows] for rows, p in _NUCLEI]


def _nucleus(probs: list[float], p: float) -> list[int]:
    stay, mass = [], 0.0
    for token in _likeliest_first(probs):
        if mass >= p:
            break
        stay.append(token)
        mass += probs[token]
    return sorted(stay)


def _without_the_crossing_token(probs: list[float], p: float) -> list[int]:
    return sorted(_nucleus(probs, p), key=lambda token: -probs[token])[:-1]


def _without_it_but_never_empty(probs: list[float], p: float) -> list[int]:
    return _without_the_crossing_token(probs, p) or _likeliest_first(probs)[:1]


def _in_order_of_ids(probs: list[float], p: float) -> list[int]:
    stay, mass = [], 0.0
    for token, one in enumerate(probs):
        if mass >= p:
            break
        stay.append(token)
        mass += one
    return stay


def _ranks(probs: list[float], p: float) -> list[int]:
    return list(range(len(_nucleus(probs, p))))


def _least_likely_first(probs: list[float], p: float) -> list[int]:
    stay, mass = [], 0.0
    for token in reversed(_likeliest_first(probs)):
        if mass >= p:
            break
        stay.append(token)
        mass += probs[token]
    return sorted(stay)


def _above(probs: list[float], p: float) -> list[int]:
    return [token for token, one in enumerate(probs) if one >= p]


_CROSSING = "you kept the tokens below p; the token that crosses p must stay"
_PLACES = (
    "you dropped places in the sorted list; bring the mask back to the order of the vocabulary"
)
_WRONG_NUCLEI = (
    (_CROSSING, _without_the_crossing_token),
    (_CROSSING, _without_it_but_never_empty),
    ("you began with the least likely token; begin with the likeliest", _least_likely_first),
    ("you added up in the order of ids; sort by probability first", _in_order_of_ids),
    (_PLACES, _ranks),
    ("you compared each token with p; it is their sum that has to reach p", _above),
)


def _likeliest_first(probs: list[float]) -> list[int]:
    return sorted(range(len(probs)), key=lambda token: -probs[token])


def _kept(answer: Callable, scores: Tensor, p: float | int) -> list[list[int]]:
    before = scores.clone()
    after = answer(scores, p)
    assert torch.equal(scores, before), _IN_PLACE
    _same_shape(after, scores)
    kept = [row.isfinite().nonzero().flatten().tolist() for row in after]
    for row, stay in enumerate(kept):
        moved = not torch.allclose(
            after[row, stay].log_softmax(-1), scores[row, stay].log_softmax(-1), atol=1e-4
        )
        assert not moved, "a token that stays keeps its score, and a dropped one gets -inf"
        gone = after[row][~after[row].isfinite()]
        assert (gone == -math.inf).all(), "a dropped token needs the score -inf, not nan or +inf"
    return kept


def _same_shape(after, scores: Tensor) -> None:
    shape = tuple(scores.shape)
    wanted = f"scores have {shape}, and a dropped token keeps its place"
    tensor_of(shape, after, what="the scores, a tensor", wanted=wanted)


@once_written
def check_penalties(answer: Callable[[Tensor, Tensor, int, float, float], Tensor]) -> None:
    """Compare `answer(ids, scores, prompt_length, presence, frequency)` with a loop over tokens.

    Each token of the new text loses `presence` once and `frequency` for each time that it came;
    the prompt does not count. ids: (batch, length) int64. scores: (batch, vocab) float32. Raises
    AssertionError with the misconception that it found.
    """
    generator, cases, answers = torch.Generator().manual_seed(0), [], []
    for rows, prompt_length in _TEXTS:
        scores = torch.randn(len(rows), 8, generator=generator) * 3
        for shift in (0.0, 20.0, -20.0):  # softmax does not see a constant: nor may a penalty
            for amounts in _AMOUNTS:
                ids, given = torch.tensor(rows), scores + shift
                answers.append(answer(ids, given, prompt_length, *amounts))
                assert torch.equal(given, scores + shift), _IN_PLACE
                _same_shape(answers[-1], given)
                cases.append((ids, given, prompt_length, *amounts))
    if _same_everywhere(answers, [_penalized(*case) for case in cases]):
        print("check_penalties: new tokens pay once, and for each time; the prompt pays nothing.")
        return
    for misconception, rule in _WRONG_PENALTIES:
        assert not _same_everywhere(answers, [rule(*case) for case in cases]), misconception
    for case, yours in zip(cases, answers, strict=True):
        ids, _, prompt_length, presence, frequency = case
        assert _same(yours, _penalized(*case)), (
            f"each new token loses {presence}, and {frequency} for each time; your distribution is "
            f"another one for ids {ids.tolist()}, of which {prompt_length} are the prompt"
        )


# Ids of (batch, length), and how many of them are the prompt's.
_TEXTS = (
    ([[1, 2, 3]], 2),
    ([[1, 2, 3, 3, 3, 4]], 2),  # one token came three times
    ([[5, 6, 6, 7, 5]], 3),  # a token of the prompt comes again
    ([[1, 2, 3, 4], [4, 3, 2, 1]], 2),  # two rows
    ([[1, 2, 3]], 3),  # nothing new yet
)
_AMOUNTS = ((1.5, 0.0), (0.0, 0.5), (1.0, 0.25))  # presence and frequency


def _penalized(
    ids: Tensor, scores: Tensor, prompt_length: int, presence: float, frequency: float
) -> Tensor:
    scores = scores.clone()
    for row, text in enumerate(ids.tolist()):
        for token, times in Counter(text[prompt_length:]).items():
            scores[row, token] -= presence + frequency * times
    return scores


def _prompt_too(ids, scores, prompt_length, presence, frequency) -> Tensor:
    return _penalized(ids, scores, 0, presence, frequency)


def _presence_each_time(ids, scores, prompt_length, presence, frequency) -> Tensor:
    return _penalized(ids, scores, prompt_length, 0.0, presence + frequency)


def _frequency_once(ids, scores, prompt_length, presence, frequency) -> Tensor:
    return _penalized(ids, scores, prompt_length, presence + frequency, 0.0)


def _swapped(ids, scores, prompt_length, presence, frequency) -> Tensor:
    return _penalized(ids, scores, prompt_length, frequency, presence)


def _likelier(ids, scores, prompt_length, presence, frequency) -> Tensor:
    return _penalized(ids, scores, prompt_length, -presence, -frequency)


def _divided(ids, scores, prompt_length, presence, frequency) -> Tensor:
    scores = scores.clone()
    for row, text in enumerate(ids.tolist()):
        for token, times in Counter(text[prompt_length:]).items():
            scores[row, token] /= presence + frequency * times
    return scores


def _by_sign(ids, scores, prompt_length, presence, frequency) -> Tensor:
    divided = _divided(ids, scores, prompt_length, presence, frequency)
    changed = divided != scores
    multiplied = torch.where(changed, scores * scores / divided, scores)
    return torch.where(scores < 0, multiplied, divided)


def _in_every_row(ids, scores, prompt_length, presence, frequency) -> Tensor:
    everyones = ids[:, prompt_length:].flatten()[None].expand(len(ids), -1)
    return _penalized(everyones, scores, 0, presence, frequency)


def _nothing(ids, scores, prompt_length, presence, frequency) -> Tensor:
    return scores


_WRONG_PENALTIES = (
    ("you penalized the prompt too; only tokens after prompt_length pay", _prompt_too),
    ("you charged `presence` each time a token came; it pays that once", _presence_each_time),
    ("you charged `frequency` once; a token pays it each time it came", _frequency_once),
    ("you took presence for frequency; presence is what a token pays once", _swapped),
    ("you made the tokens likelier; a penalty is subtracted", _likelier),
    ("you divided, and dividing a negative score makes its token likelier; subtract", _divided),
    (
        "you divided positive scores and multiplied negative ones, so that it matters to you what "
        "softmax does not see: a constant added to all scores; subtract",
        _by_sign,
    ),
    ("you penalized the tokens of one row in another; each row has its own text", _in_every_row),
    ("you returned the scores as they were; new tokens lose something", _nothing),
)


def _same(scores: Tensor, others: Tensor) -> bool:
    """Tell whether two rows of scores are the same distributions; a constant does not matter."""
    return torch.allclose(scores.softmax(-1), others.softmax(-1), atol=1e-5)


def _same_everywhere(answers: list[Tensor], others: list[Tensor]) -> bool:
    return all(map(_same, answers, others))


@once_written
def check_sign_test(answer: Callable[[int, int], float]) -> None:
    """Compare `answer(won, lost)`, the two-sided p of a sign test, with counting all outcomes.

    Raises AssertionError with the misconception that it found.
    """
    yours = [float(answer(won, lost)) for won, lost in _SPLITS]
    if _close(yours, [two_sided(won, lost) for won, lost in _SPLITS]):
        print("check_sign_test: a fair coin agrees with you, in both directions.")
        return
    for misconception, rule in _WRONG_TESTS:
        assert not _close(yours, [rule(won, lost) for won, lost in _SPLITS]), misconception
    for (won, lost), p in zip(_SPLITS, yours, strict=True):
        right = two_sided(won, lost)
        assert _close([p], [right]), (
            f"{won} won and {lost} lost is p = {right:.4f}; you say {p:.4f}"
        )


_SPLITS = ((5, 0), (0, 5), (7, 2), (2, 7), (4, 4), (1, 0), (0, 0), (9, 1), (3, 6))
_WRONG_TESTS = (
    ("you count one direction only; as many the other way would surprise you too", one_side),
    (
        "your p is more than 1 where won and lost are equal: the middle is counted twice",
        lambda won, lost: 2 * one_side(won, lost),
    ),
    (
        "you take the chance of this very split; add the splits that are more uneven",
        lambda won, lost: shares(won + lost)[won],
    ),
    (
        "you leave this split itself out; count it among those that are as uneven",
        lambda won, lost: max(0.0, 2 * (one_side(won, lost) - shares(won + lost)[won])),
    ),
    (
        "you add up from nothing to `lost`, which is the small side only when more was won",
        lambda won, lost: min(1.0, 2 * sum(shares(won + lost)[: lost + 1])),
    ),
    (
        "you add up from nothing to `won`, which is the small side only when more was lost",
        lambda won, lost: min(1.0, 2 * sum(shares(won + lost)[: won + 1])),
    ),
)


def _close(yours: list[float], others: list[float]) -> bool:
    return all(math.isclose(p, q, abs_tol=1e-6) for p, q in zip(yours, others, strict=True))


@once_written
def check_task(task: Mapping[str, str]) -> None:
    """Look a task over, prompts with the answer that each should begin with, before it is run.

    Raises AssertionError with the first thing that would make its counts mean less than they seem.
    """
    assert isinstance(task, Mapping), f"pass a dict from prompt to answer, not {type(task)}"
    assert len(task) >= 20, f"{len(task)} prompts show nothing but a collapse; write 20 or more"
    for prompt, wanted in task.items():
        assert wanted.strip(), f"nothing is wanted of {prompt!r}, so that any answer is right"
        assert not prompt.endswith(" "), (
            f"{prompt!r} ends with a space; the space belongs to the next token, leave it away"
        )
    commonest, times = Counter(task.values()).most_common(1)[0]
    assert times <= len(task) / 2, (
        f"{times} of {len(task)} answers are {commonest!r}, so saying it blindly is right as often"
    )
    print(f"check_task: {len(task)} prompts, {len(set(task.values()))} different answers.")


@once_written
def check_config(answer: Callable[[], GenerationConfig]) -> None:
    """Compare the GenerationConfig that `answer()` returns with what section 8 asks for.

    Wanted: three different texts of at most 30 new tokens, drawn from the whole vocabulary with
    temperature 0.7. Raises AssertionError with the misconception that it found.
    """
    config = answer()
    assert isinstance(config, GenerationConfig), f"return a GenerationConfig, not {type(config)}"
    assert config.do_sample, "do_sample is not True: without it a temperature is ignored"
    assert config.num_beams in (None, 1), "beams look for likely texts; draw without them"
    assert config.temperature == 0.7, f"temperature is {config.temperature}, not 0.7"
    assert config.top_k is not None, (
        "top_k is not set: the hidden default of 50 cuts the vocabulary; top_k=0 is off"
    )
    assert config.top_k == 0, f"top_k={config.top_k} cuts the vocabulary; top_k=0 is off"
    cuts = {"top_p": 1.0, "typical_p": 1.0, "min_p": 0.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}
    for name, off in cuts.items():
        value = getattr(config, name, None)
        assert value in (None, off), f"{name}={value} cuts the vocabulary; leave it out"
    assert getattr(config, "top_h", None) is None, "top_h cuts the vocabulary; leave it out"
    assert config.max_new_tokens is not None or config.max_length is None, (
        "max_length counts the prompt too; max_new_tokens counts what is new"
    )
    assert config.max_new_tokens == 30, f"max_new_tokens is {config.max_new_tokens}, not 30"
    assert config.num_return_sequences == 3, (
        f"num_return_sequences is {config.num_return_sequences}: one call gives one text unless "
        "you ask for three"
    )
    print("check_config: three draws from the whole vocabulary, 30 new tokens at most.")

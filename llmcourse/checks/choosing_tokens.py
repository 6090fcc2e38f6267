"""Checks for the exercises of lesson 3, choosing tokens.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import GenerationConfig

_IN_PLACE = "you changed the scores that you were given; return new ones"


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


def _kept(answer: Callable, scores: Tensor, p: float) -> list[list[int]]:
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
    assert isinstance(after, torch.Tensor), f"return the scores, a tensor, not {type(after)}"
    assert after.shape == scores.shape, (
        f"you returned shape {tuple(after.shape)}; scores have {tuple(scores.shape)}, and a "
        "dropped token keeps its place"
    )


def check_presence_penalty(answer: Callable[[Tensor, Tensor, int, float], Tensor]) -> None:
    """Compare a penalty, `answer(ids, scores, prompt_length, penalty)`, with a loop over tokens.

    Each token that is in the new text, once or often, loses `penalty` nats of log-probability; the
    prompt does not count. ids: (batch, length) int64. scores: (batch, vocab) float32. Raises
    AssertionError with the misconception that it found.
    """
    generator, penalty, cases, answers = torch.Generator().manual_seed(0), 1.5, [], []
    for rows, prompt_length in _TEXTS:
        scores = torch.randn(len(rows), 8, generator=generator) * 3
        for shift in (0.0, 20.0, -20.0):  # softmax does not see a constant: nor may a penalty
            ids, given = torch.tensor(rows), scores + shift
            answers.append(answer(ids, given, prompt_length, penalty))
            assert torch.equal(given, scores + shift), _IN_PLACE
            _same_shape(answers[-1], given)
            cases.append((ids, given, prompt_length))
    if _same_everywhere(answers, [_penalized(*case, penalty) for case in cases]):
        print("check_presence_penalty: each new token pays once, the prompt pays nothing.")
        return
    for misconception, rule in _WRONG_PENALTIES:
        wrong = [rule(*case, penalty) for case in cases]
        assert not _same_everywhere(answers, wrong), misconception
    for case, yours in zip(cases, answers, strict=True):
        assert _same(yours, _penalized(*case, penalty)), (
            f"each new token loses {penalty} nats, once, and others nothing; your distribution is "
            f"another one for ids {case[0].tolist()}, of which {case[2]} are the prompt"
        )


# Ids of (batch, length), and how many of them are the prompt's.
_TEXTS = (
    ([[1, 2, 3]], 2),
    ([[1, 2, 3, 3, 3, 4]], 2),  # one token came three times
    ([[5, 6, 6, 7, 5]], 3),  # a token of the prompt comes again
    ([[1, 2, 3, 4], [4, 3, 2, 1]], 2),  # two rows
    ([[1, 2, 3]], 3),  # nothing new yet
)


def _penalized(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    return _changed(scores, [set(text[prompt_length:]) for text in ids.tolist()], -penalty)


def _changed(scores: Tensor, tokens: list, amount: float) -> Tensor:
    """Return scores with `amount` added for each token of a row's collection."""
    scores = scores.clone()
    for row, its_own in enumerate(tokens):
        for token in its_own:
            scores[row, token] += amount
    return scores


def _prompt_too(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    return _penalized(ids, scores, 0, penalty)


def _each_time(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    return _changed(scores, [text[prompt_length:] for text in ids.tolist()], -penalty)


def _likelier(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    return _penalized(ids, scores, prompt_length, -penalty)


def _divided(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    scores = scores.clone()
    for row, text in enumerate(ids.tolist()):
        for token in set(text[prompt_length:]):
            scores[row, token] /= penalty
    return scores


def _by_sign(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    divided = _divided(ids, scores, prompt_length, penalty)
    multiplied = _divided(ids, scores, prompt_length, 1 / penalty)
    return torch.where(scores < 0, multiplied, divided)


def _in_every_row(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    everyones = set(ids[:, prompt_length:].flatten().tolist())
    return _changed(scores, [everyones] * len(ids), -penalty)


def _nothing(ids: Tensor, scores: Tensor, prompt_length: int, penalty: float) -> Tensor:
    return scores


_WRONG_PENALTIES = (
    ("you penalized the prompt too; only tokens after prompt_length pay", _prompt_too),
    ("you charged a token each time it came; it pays once", _each_time),
    ("you made the tokens likelier; a penalty is subtracted", _likelier),
    ("you divided, and dividing a negative score makes its token likelier; subtract", _divided),
    (
        "you divided positive scores and multiplied negative ones, so that it matters to you what "
        "softmax does not see: a constant added to all scores; subtract",
        _by_sign,
    ),
    ("you penalized the tokens of one row in another; each row has its own text", _in_every_row),
    ("you returned the scores as they were; new tokens lose `penalty`", _nothing),
)


def _same(scores: Tensor, others: Tensor) -> bool:
    """Tell whether two rows of scores are the same distributions; a constant does not matter."""
    return torch.allclose(scores.softmax(-1), others.softmax(-1), atol=1e-5)


def _same_everywhere(answers: list[Tensor], others: list[Tensor]) -> bool:
    return all(map(_same, answers, others))


def check_config(config: GenerationConfig) -> None:
    """Compare a GenerationConfig with what exercise 3 asks for.

    Wanted: three different texts of at most 30 new tokens, drawn from the whole vocabulary with
    temperature 0.7. Raises AssertionError with the misconception that it found.
    """
    assert isinstance(config, GenerationConfig), f"pass a GenerationConfig, not {type(config)}"
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

"""The rules that change the scores before a token is chosen, one short function each.

A rule takes `ids`, the whole text so far, and `scores`, and returns new scores. Bind its settings
with `functools.partial` and give the rules to the loop in the order in which they shall run:

    rules = [partial(divide_by_temperature, temperature=0.7), partial(keep_top_p, p=0.9)]
    llmcourse.steps(model, **inputs, do_sample=True, rules=rules)

Each gives the same float32 numbers as the logits processor of transformers, which `generate` makes
from the setting of that name; tests/test_rules.py compares the two. `keep` is the library's
`min_tokens_to_keep`. ORDER, at the end, says in which order the library runs them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical

DROPPED = float("-inf")  # softmax makes exp(-inf) = 0 of it


# Sampling: reshape the distribution, or cut its tail off.


def divide_by_temperature(ids: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """Sharpen the distribution with a temperature below 1, flatten it with one above.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32. Raises ValueError for
    anything but a float above 0. Source: Ackley et al. 1985, Cognitive Science 9(1).
    """
    if not isinstance(temperature, float) or not temperature > 0:
        raise ValueError(
            f"temperature={temperature!r} does not work; pass a float above 0, such as 0.7 or 2.0. "
            "For the likeliest token every time, leave sampling out: do_sample=False."
        )
    return scores / temperature


def keep_top_k(ids: Tensor, scores: Tensor, k: int, keep: int = 1) -> Tensor:
    """Keep the `k` likeliest tokens, and those that tie with the last of them.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf.
    Raises ValueError for anything but a whole number above 0. Source: Fan et al. 2018,
    arXiv:1805.04833.
    """
    if not isinstance(k, int) or k <= 0:
        raise ValueError(f"top_k={k!r} keeps no token; pass a whole number of 1 or more.")
    weakest = scores.topk(min(max(k, keep), scores.shape[-1])).values[:, -1:]
    return scores.masked_fill(scores < weakest, DROPPED)


def keep_top_p(ids: Tensor, scores: Tensor, p: float, keep: int = 1) -> Tensor:
    """Nucleus sampling: keep the smallest set of tokens whose probability reaches `p`.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf.
    Raises ValueError for a `p` outside [0, 1]. Source: Holtzman et al. 2020, arXiv:1904.09751.
    """
    if not 0 <= p <= 1:
        raise _out_of_range("top_p", p, "[0, 1]")
    _check_keep(keep)
    ascending, order = scores.sort(descending=False)
    tail = ascending.softmax(-1).cumsum(-1)  # of each token and all that are less likely
    drop = tail <= 1 - p
    drop[:, -keep:] = False  # the likeliest tokens always stay
    return scores.masked_fill(drop.scatter(1, order, drop), DROPPED)


def keep_min_p(ids: Tensor, scores: Tensor, p: float, keep: int = 1) -> Tensor:
    """Keep the tokens that are at least `p` times as likely as the likeliest.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf.
    Raises ValueError for a `p` outside [0, 1]. Source: Nguyen et al. 2024, arXiv:2407.01082.
    """
    if not 0 <= p <= 1:
        raise _out_of_range("min_p", p, "[0, 1]")
    _check_keep(keep)
    probs = scores.softmax(-1)
    drop = probs < p * probs.amax(-1, keepdim=True)
    likeliest = probs.topk(min(keep, scores.shape[-1])).indices
    return scores.masked_fill(drop.scatter(1, likeliest, False), DROPPED)


def keep_typical(ids: Tensor, scores: Tensor, mass: float, keep: int = 1) -> Tensor:
    """Keep the tokens that surprise about as much as expected, until their probability is `mass`.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf.
    Raises ValueError for a `mass` outside (0, 1). Source: Meister et al. 2022, arXiv:2202.00666.
    """
    if not 0 < mass < 1:
        raise _out_of_range("typical_p", mass, "(0, 1)")
    _check_keep(keep)
    log_probs = scores.log_softmax(-1)
    entropy = -(log_probs * log_probs.exp()).nansum(-1, keepdim=True)  # the expected surprise
    distance, order = (-log_probs - entropy).abs().sort(descending=False)
    reached = scores.gather(1, order).softmax(-1).cumsum(-1)
    last = (reached < mass).sum(-1, keepdim=True).clamp(max=scores.shape[-1] - 1)
    drop = distance > distance.gather(1, last)
    drop[:, :keep] = False
    return scores.masked_fill(drop.scatter(1, order, drop), DROPPED)


def keep_above_epsilon(ids: Tensor, scores: Tensor, epsilon: float, keep: int = 1) -> Tensor:
    """Keep the tokens with a probability of at least `epsilon`.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf.
    Raises ValueError for an `epsilon` outside (0, 1). Source: Hewitt et al. 2022, arXiv:2210.15191.
    """
    if not 0 < epsilon < 1:
        raise _out_of_range("epsilon_cutoff", epsilon, "(0, 1)")
    return _keep_above(scores, epsilon, keep)


def keep_above_eta(ids: Tensor, scores: Tensor, epsilon: float, keep: int = 1) -> Tensor:
    """Keep the tokens above a threshold that is lower where the model is unsure.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf.
    Raises ValueError for an `epsilon` outside (0, 1), or scores that are no distribution. Source:
    Hewitt et al. 2022, arXiv:2210.15191.
    """
    if not 0 < epsilon < 1:
        raise _out_of_range("eta_cutoff", epsilon, "(0, 1)")
    most = torch.tensor(epsilon, device=scores.device)  # float32, so that its root is too
    unsure = Categorical(logits=scores).entropy()  # (batch,), in nats
    eta = torch.minimum(most, most.sqrt() * torch.exp(-unsure))
    return _keep_above(scores, eta[:, None], keep)


def _keep_above(scores: Tensor, threshold: float | Tensor, keep: int) -> Tensor:
    _check_keep(keep)
    weakest = scores.topk(min(keep, scores.shape[-1])).values[:, -1:]
    return scores.masked_fill((scores.softmax(-1) < threshold) & (scores < weakest), DROPPED)


def keep_top_h(ids: Tensor, scores: Tensor, h: float) -> Tensor:
    """Keep the likeliest tokens while their share of the entropy is at most `h`.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf,
    and so does what is not among the 100 likeliest. Raises ValueError for an `h` outside (0, 1], or
    scores that are no distribution. Source: Potraghloo et al. 2025, arXiv:2509.02510.
    """
    if not 0 < h <= 1:
        raise _out_of_range("top_h", h, "(0, 1]")
    best, order = scores.topk(min(100, scores.shape[-1]))
    likeliest = Categorical(logits=best)
    probs = likeliest.probs
    so_far = (-probs * probs.log()).cumsum(-1)  # nan once a probability is 0: not kept
    stay = so_far <= h * likeliest.entropy()[:, None]
    stay[:, 0] = True  # the likeliest token
    drop = torch.ones_like(scores, dtype=torch.bool).scatter(1, order, ~stay)
    return scores.masked_fill(drop, DROPPED)


# Penalties and bans: what is in the text already, and what must not be.


def penalize_repetition(
    ids: Tensor, scores: Tensor, penalty: float, padding: Tensor | None = None
) -> Tensor:
    """Make the tokens of the text less likely, the prompt's included, each of them once.

    ids: (batch, length) int64. scores: (batch, vocab) float32. padding: (batch,) int64, how many
    ids to skip on the left. Raises ValueError for a penalty that is no float above 0, or a padding
    of another shape. Source: Keskar et al. 2019, arXiv:1909.05858.
    """
    if not isinstance(penalty, float) or not penalty > 0:
        raise ValueError(f"penalty={penalty!r} does not work; pass a float above 0, such as 1.2.")
    (batch, length), vocab = ids.shape, scores.shape[-1]
    if padding is not None:
        if padding.shape != (batch,):
            raise ValueError(f"padding has shape {tuple(padding.shape)}; pass ({batch},).")
        skipped = torch.arange(length, device=ids.device) < padding[:, None]
        ids = ids.masked_fill(skipped, vocab)
    seen = scores.new_zeros(batch, vocab + 1, dtype=torch.bool).scatter(1, ids, True)[:, :vocab]
    weaker = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(seen, weaker, scores)


def forbid_repeated_ngrams(ids: Tensor, scores: Tensor, size: int) -> Tensor:
    """Drop each token that would complete `size` tokens in a row which the text has already.

    ids: (batch, length) int64. scores: (batch, vocab) float32; dropped tokens become -inf. Raises
    ValueError for anything but a whole number above 0. Source: Paulus et al. 2017,
    arXiv:1705.04304.
    """
    if not isinstance(size, int) or size <= 0:
        raise ValueError(f"size={size!r} is no length of an n-gram; pass 1 or more, such as 3.")
    scores = scores.clone()
    for row, text in enumerate(ids.tolist()):
        begun = text[len(text) - size + 1 :]  # the next token makes an n-gram of it
        ngrams = [text[start : start + size] for start in range(len(text) - size + 1)]
        scores[row, [ngram[-1] for ngram in ngrams if ngram[:-1] == begun]] = DROPPED
    return scores


def bias_sequences(ids: Tensor, scores: Tensor, biases: dict[tuple[int, ...], float]) -> Tensor:
    """Add a bias to each token that would complete one of some sequences of tokens.

    ids: (batch, length) int64. scores: (batch, vocab) float32. biases: {(first, ..., last): bias}.
    Raises ValueError for biases of another kind, or a token outside the vocabulary. Source:
    `sequence_bias` in transformers.
    """
    _check_biases(biases, scores.shape[-1])
    total = torch.zeros_like(scores)
    # float32 sums depend on the order: single tokens first, then the lengths as they come
    lengths = list(dict.fromkeys([1, *map(len, biases)]))
    for sequence in sorted(biases, key=lambda sequence: lengths.index(len(sequence))):
        *before, last = sequence
        start = ids.shape[1] - len(before)
        if start >= 0:
            here = (ids[:, start:] == ids.new_tensor(before)).all(-1)  # (batch,)
            total[here, last] += biases[sequence]
    return scores + total


def forbid_words(
    ids: Tensor, scores: Tensor, words: list[list[int]], eos: int | Sequence[int] | None = None
) -> Tensor:
    """Drop each token that would complete one of `words`; an end-of-sequence token stays.

    ids: (batch, length) int64. scores: (batch, vocab) float32; dropped tokens become -inf. words:
    each a list of token ids. Raises ValueError for words of another kind. Source:
    `bad_words_ids` in transformers.
    """
    if not isinstance(words, list) or not words or not all(isinstance(w, list) for w in words):
        raise ValueError(f"words={words!r} are no lists of ids; pass such as [[5], [7, 8]].")
    stay = [] if eos is None else [[token] for token in _eos_ids(eos, scores).tolist()]
    biases = {tuple(word): DROPPED for word in words if word not in stay}
    return bias_sequences(ids, scores, biases) if biases else scores


def suppress(ids: Tensor, scores: Tensor, tokens: Sequence[int]) -> Tensor:
    """Drop some tokens at every step.

    ids: (batch, length) int64, unused. scores: (batch, vocab) float32; dropped tokens become -inf.
    Source: `suppress_tokens` in transformers.
    """
    unwanted = torch.as_tensor(tokens, dtype=torch.int64, device=scores.device)
    return _drop(scores, unwanted)


# Length: when the text may end, must end, and how much it is drawn to.


def require_new_tokens(
    ids: Tensor, scores: Tensor, prompt_length: int, minimum: int, eos: int | Sequence[int]
) -> Tensor:
    """Drop the end-of-sequence tokens until there are `minimum` new tokens.

    ids: (batch, length) int64. scores: (batch, vocab) float32; dropped tokens become -inf. Raises
    ValueError for numbers below 0. Source: `min_new_tokens` in transformers.
    """
    for name, value in {"prompt_length": prompt_length, "min_new_tokens": minimum}.items():
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"{name}={value!r} is no number of tokens; pass 0 or more.")
    ends = _eos_ids(eos, scores)
    return _drop(scores, ends) if ids.shape[1] - prompt_length < minimum else scores


def force_eos(ids: Tensor, scores: Tensor, max_length: int, eos: int | Sequence[int]) -> Tensor:
    """Drop all but the end-of-sequence tokens when the text is one token short of `max_length`.

    ids: (batch, length) int64, the prompt included. scores: (batch, vocab) float32. Raises
    ValueError for an `eos` that is no token id, IndexError for one outside the vocabulary. Source:
    `forced_eos_token_id` in transformers.
    """
    ends = _eos_ids(eos, scores)
    if ids.shape[1] != max_length - 1:
        return scores
    return torch.full_like(scores, DROPPED).index_fill(1, ends, 0.0)


def decay_length(
    ids: Tensor,
    scores: Tensor,
    start: int,
    factor: float,
    eos: int | Sequence[int],
    prompt_length: int,
) -> Tensor:
    """Raise the end-of-sequence scores by a power of `factor` that grows after `start` new tokens.

    ids: (batch, length) int64. scores: (batch, vocab) float32. Raises ValueError for an `eos` that
    is no token id, IndexError for one outside the vocabulary. Source:
    `exponential_decay_length_penalty` in transformers.
    """
    ends = _eos_ids(eos, scores)
    late = ids.shape[1] - prompt_length - start
    if late <= 0:
        return scores
    before = scores[:, ends]
    more = before.abs() * (factor**late - 1)  # of its size, so that a negative score rises too
    more = more.masked_fill(~before.isfinite(), 0.0)  # what was dropped stays dropped
    return scores.index_copy(1, ends, before + more)


# Guidance: the difference that the prompt makes, made larger.


def guide(
    ids: Tensor, scores: Tensor, scale: float, unconditional: Callable[[Tensor], Tensor]
) -> Tensor:
    """Classifier-free guidance: go `scale` times the way from no prompt to this prompt.

    ids: (batch, length) int64. scores: (batch, vocab) float32. unconditional: gives the logits,
    (batch, vocab), without the prompt, such as `WithoutPrompt(model)`. Source: Sanchez et al. 2023,
    arXiv:2306.17806.
    """
    with_prompt = scores.log_softmax(-1)
    if scale == 1:
        return with_prompt
    without = unconditional(ids).log_softmax(-1)
    return scale * (with_prompt - without) + without


class WithoutPrompt:
    """What the model predicts from the new tokens alone, or from another prompt and them.

    It remembers what it has read, so each run of the loop needs a new one.
    """

    def __init__(
        self, model, ids: Tensor | None = None, mask: Tensor | None = None, use_cache: bool = True
    ):
        """ids, mask: (batch, length), the other prompt; by default this one's last token."""
        self.model, self.ids, self.mask, self.use_cache = model, ids, mask, use_cache
        self.cache = None

    def __call__(self, ids: Tensor) -> Tensor:
        """Return logits, (batch, vocab), for the text `ids`, (batch, length), one token longer."""
        newest = fed = ids[:, -1:]
        if self.cache is None:  # the first step
            self.cache = {}
            fed = self.ids = newest if self.ids is None else self.ids
            self.mask = torch.ones_like(fed) if self.mask is None else self.mask
        else:
            self.ids = torch.cat([self.ids, newest], dim=1)
            self.mask = torch.cat([self.mask, torch.ones_like(newest)], dim=1)
            fed = newest if self.use_cache else self.ids
        output = self.model(fed, attention_mask=self.mask, use_cache=self.use_cache, **self.cache)
        names = ("cache", "past_key_values")  # since transformers 5.24, and until 5.23
        held = [name for name in names if name in output]
        self.cache = {name: output[name] for name in held[:1]}
        return output.logits[:, -1]


# What a reader who made a mistake gets to read.


def _out_of_range(name: str, value: float, interval: str) -> ValueError:
    kind = "share of the entropy" if name == "top_h" else "probability"
    return ValueError(f"{name}={value} is not a {kind}; pass a number in {interval}.")


def _check_keep(keep: int) -> None:
    if not isinstance(keep, int) or keep < 1:
        raise ValueError(f"keep={keep!r} would let every token go; pass 1 or more.")


def _check_biases(biases: dict[tuple[int, ...], float], vocab: int) -> None:
    pairs = isinstance(biases, dict) and biases.items()
    if not pairs or any(not _is_sequence(key) or not isinstance(b, float) for key, b in pairs):
        raise ValueError(
            f"{biases!r} are no biases; pass a dict of floats by tuples of token ids, such as "
            "{(5,): 2.0, (7, 8): -1.5}."
        )
    outside = [token for sequence in biases for token in sequence if token >= vocab]
    if outside:
        raise ValueError(f"{outside} are outside the vocabulary of {vocab} tokens.")


def _is_sequence(key) -> bool:
    ids = key if isinstance(key, tuple) else ()
    return bool(ids) and all(isinstance(token, int) and token >= 0 for token in ids)


def _eos_ids(eos: int | Sequence[int], scores: Tensor) -> Tensor:
    """Return the end-of-sequence ids, one or several, as a tensor of one dimension."""
    ids = torch.as_tensor(eos, device=scores.device).flatten()
    if ids.is_floating_point() or (ids < 0).any():
        raise ValueError(f"eos={eos!r} is no token id; pass a number of 0 or more, or a list.")
    return ids


def _drop(scores: Tensor, tokens: Tensor) -> Tensor:
    vocab = torch.arange(scores.shape[-1], device=scores.device)
    return scores.masked_fill(torch.isin(vocab, tokens), DROPPED)


# The order in which `generate` runs its rules.


class _Place(NamedTuple):
    """One place in the order of rules."""

    setting: str  # of `generate`, which turns the rule on
    processor: str  # the library's class
    rule: Callable | None = None  # ours, None where this module has none
    argument: str | None = None  # of our rule, for the setting's value where it takes no more
    only_sampling: bool = False  # whether it runs with do_sample=True alone

    def bind(self, value) -> Callable:
        """Return our rule with the setting's value in it, a function of (ids, scores)."""
        return partial(self.rule, **{self.argument: value})


def _sampling(setting: str, processor: str, rule: Callable, argument: str) -> _Place:
    return _Place(setting, processor, rule, argument, only_sampling=True)


# Source: `GenerationMixin._get_logits_processor` in transformers; tests/test_rules.py asks it.
ORDER = (
    _Place("guidance_scale", "UnbatchedClassifierFreeGuidanceLogitsProcessor", guide),
    _Place("sequence_bias", "SequenceBiasLogitsProcessor", bias_sequences),
    _Place("encoder_repetition_penalty", "EncoderRepetitionPenaltyLogitsProcessor"),
    _Place(
        "repetition_penalty", "RepetitionPenaltyLogitsProcessor", penalize_repetition, "penalty"
    ),
    _Place("no_repeat_ngram_size", "NoRepeatNGramLogitsProcessor", forbid_repeated_ngrams, "size"),
    _Place("encoder_no_repeat_ngram_size", "EncoderNoRepeatNGramLogitsProcessor"),
    _Place("bad_words_ids", "NoBadWordsLogitsProcessor", forbid_words),
    _Place("min_length", "MinLengthLogitsProcessor"),
    _Place("min_new_tokens", "MinNewTokensLengthLogitsProcessor", require_new_tokens),
    _Place("prefix_allowed_tokens_fn", "PrefixConstrainedLogitsProcessor"),
    _Place("forced_bos_token_id", "ForcedBOSTokenLogitsProcessor"),
    _Place("forced_eos_token_id", "ForcedEOSTokenLogitsProcessor", force_eos),
    _Place("remove_invalid_values", "InfNanRemoveLogitsProcessor"),
    _Place("exponential_decay_length_penalty", "ExponentialDecayLengthPenalty", decay_length),
    _Place("suppress_tokens", "SuppressTokensLogitsProcessor", suppress, "tokens"),
    _Place("begin_suppress_tokens", "SuppressTokensAtBeginLogitsProcessor"),
    _Place("logits_processor", "LogitsProcessor"),  # the caller's own, in the order given
    _sampling("temperature", "TemperatureLogitsWarper", divide_by_temperature, "temperature"),
    _sampling("top_h", "TopHLogitsWarper", keep_top_h, "h"),
    _sampling("top_k", "TopKLogitsWarper", keep_top_k, "k"),
    _sampling("top_p", "TopPLogitsWarper", keep_top_p, "p"),
    _sampling("min_p", "MinPLogitsWarper", keep_min_p, "p"),
    _sampling("typical_p", "TypicalLogitsWarper", keep_typical, "mass"),
    _sampling("epsilon_cutoff", "EpsilonLogitsWarper", keep_above_epsilon, "epsilon"),
    _sampling("eta_cutoff", "EtaLogitsWarper", keep_above_eta, "epsilon"),
    _Place("watermarking_config", "WatermarkLogitsProcessor"),
    _Place("renormalize_logits", "LogitNormalization"),
)

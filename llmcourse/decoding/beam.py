"""Beam search and beam sampling: hypotheses that grow side by side, of which the best few live on.

Greedy decoding keeps one text and never looks back. Beam search keeps `num_beams` texts, lets each
grow by every token of the vocabulary, and keeps the likeliest again. `search` is that loop; it
gives the sequences and scores of `model.generate(num_beams=...)`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from llmcourse.decoding.cache import LIBRARY, cache_in, cached_length, is_recurrent
from llmcourse.decoding.loop import Step, Token, draw_several, keeps_scores
from llmcourse.decoding.model_inputs import grown, inputs_for, prefill
from llmcourse.decoding.stops import eos_ids, explain, vote

# A score that no text has. What is not there, or may not be chosen, gets it added.
NOTHING = -1.0e9
# From 5.24 on `generate` sorts the candidates that it has drawn; before, luck decided their order.
_SORTS_WHAT_IT_DRAWS = LIBRARY >= (5, 24)


class Hypotheses(NamedTuple):
    """Texts that compete with each other, the same number for each prompt of the batch."""

    ids: torch.Tensor  # (batch, texts, length) int64, the prompt included
    scores: torch.Tensor  # (batch, texts) float32, the sum of log-probabilities
    # (batch, texts, new tokens) int32, for each new token the row of the model's batch that it was
    # predicted from, -1 where there is none
    rows: torch.Tensor

    def pick(self, which: torch.Tensor) -> "Hypotheses":
        """Return the hypotheses number `which`, (batch, n) int64, of each prompt."""
        ids, rows = (part.take_along_dim(which[..., None], 1) for part in (self.ids, self.rows))
        return Hypotheses(ids, self.scores.gather(1, which), rows)

    def with_others(self, others: "Hypotheses") -> "Hypotheses":
        """Return these hypotheses and others of the same length."""
        return Hypotheses(*(torch.cat(pair, dim=1) for pair in zip(self, others, strict=True)))

    def flat(self) -> torch.Tensor:
        """Return the ids as the model reads them, (batch * texts, length)."""
        return self.ids.flatten(0, 1)


class Ended(NamedTuple):
    """The best texts so far that have ended: a fixed number of places for each prompt."""

    texts: Hypotheses  # their scores are final, with length penalty; -1e9 in a place that is free
    taken: torch.Tensor  # (batch, places) bool
    reasons: tuple[tuple[str | None, ...], ...]  # why each ended, by prompt; None for a free place

    def joined_by(self, others: Hypotheses, are_new, reasons: tuple, filler: int) -> "Ended":
        """Return the best of these texts and `others`, which are a token longer.

        are_new: (batch, others) bool, which of the others have ended. reasons: why, as above.
        """
        both = longer(self.texts, filler).with_others(others)
        best = both.scores.topk(self.taken.shape[1]).indices
        taken = torch.cat([self.taken, are_new], dim=1).gather(1, best)
        if not any(map(any, self.reasons + reasons)):  # none has ended, now or before
            return Ended(both.pick(best), taken, self.reasons)
        words = (old + new for old, new in zip(self.reasons, reasons, strict=True))
        picked = zip(words, best.tolist(), taken.tolist(), strict=True)
        reasons = tuple(
            tuple(why[place] if here else None for place, here in zip(places, filled, strict=True))
            for why, places, filled in picked
        )
        return Ended(both.pick(best), taken, reasons)


class Hypothesis(NamedTuple):
    """One text, as `BeamStep.hypotheses` shows it."""

    ids: list[int]  # the new tokens
    score: float  # summed log-probability; of a text that has ended, with the length penalty
    fate: str  # live, finished or dropped
    came_from: int  # the number of the live hypothesis that it grew from
    stop_reason: str | None  # a word if it has ended


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BeamStep(Step):
    """What happened in one turn of beam search.

    As in `Step`, with a row for each hypothesis that was live before, (batch * num_beams, ...):
    fed, logits, scores (log-probabilities after the rules), probs; chosen: the tokens by which the
    new live hypotheses grew. finished, stop_reasons: of each prompt, whether its search is over,
    and why its best text ended.
    """

    candidates: Hypotheses  # all that was looked at, in order
    live: Hypotheses  # those who go on
    ended: Ended  # the best texts so far that have ended
    kept: torch.Tensor  # (batch, num_beams) int64, which candidates became live
    # (batch, candidates) float32, with length penalty; -1e9 or less where one may not end
    final_scores: torch.Tensor
    reasons: tuple[tuple[str | None, ...], ...]  # why each candidate ends, by prompt; None if not

    def new_tokens(self) -> tuple[Token, ...]:
        """Raise ValueError: a search replaces its texts; at its end `best` has the winner."""
        raise ValueError(
            "steps come from a beam search, in which no row is one text; leave out num_beams, or "
            "take the winner from the last step: step.best()."
        )

    def best(self, prompt: int = 0) -> tuple[list[int], list[int]]:
        """Return the new ids of the best text that has ended, and the row that predicted each."""
        rows = self.ended.texts.rows[prompt, 0]
        ids = self.ended.texts.ids[prompt, 0, -len(rows) :]
        there = rows >= 0
        return ids[there].tolist(), rows[there].tolist()

    def hypotheses(self, prompt: int = 0) -> list[Hypothesis]:
        """Return every candidate of one prompt, the likeliest first, with its fate."""
        beams, new_tokens = self.live.ids.shape[1], self.live.rows.shape[2]
        kept = set(self.kept[prompt].tolist())
        worst = self.ended.texts.scores[prompt].min().item()
        every = []
        for number, ids in enumerate(self.candidates.ids[prompt, :, -new_tokens:].tolist()):
            score, final = (
                scores[prompt, number].item()
                for scores in (self.candidates.scores, self.final_scores)
            )
            reason = self.reasons[prompt][number]
            finished = final > NOTHING / 2 and final >= worst
            goes_on = number in kept and reason is None
            fate = "finished" if finished else "live" if goes_on else "dropped"
            parent = self.candidates.rows[prompt, number, -1].item() - prompt * beams
            every.append(Hypothesis(ids, final if finished else score, fate, parent, reason))
        return every

    def __repr__(self) -> str:
        fates = [each.fate for row in range(len(self.live.ids)) for each in self.hypotheses(row)]
        counts = ", ".join(
            f"{fates.count(fate)} {fate}" for fate in ("live", "finished", "dropped")
        )
        best = self.live.scores.max().item()
        more = f", best live score {best:.3f}" if best > NOTHING / 2 else ""
        stopped = [word for word in self.stop_reasons if word]
        return (
            f"BeamStep {self.index}: fed {tuple(self.fed.shape)}, {counts}{more}, "
            f"cache {self.cache_length}" + (f", stopped: {', '.join(stopped)}" if stopped else "")
        )


@torch.no_grad()
def search(
    model,
    input_ids,  # (batch * beams, length): each prompt once for each hypothesis
    logits_processor,
    stopping_criteria,
    generation_config,
    *,
    attention_mask=None,
    position_ids=None,
    use_cache=True,
    **forward_kwargs,  # the cache, among others
) -> Iterator[BeamStep]:
    """Yield a BeamStep for each new token until no live hypothesis can win any more."""
    config, beams, prompt = generation_config, generation_config.num_beams, input_ids.shape[1]
    mask, positions, cache = attention_mask, position_ids, cache_in(forward_kwargs)
    forward_kwargs["use_cache"] = use_cache
    history = () if keeps_scores(config) else None
    filler = filling_id(config)

    # At first all hypotheses of a prompt are the same text, so only the first of them counts.
    live = only_prompts(input_ids, beams)
    live.scores[:, 1:] = NOTHING
    free = torch.zeros_like(live.scores, dtype=torch.bool)
    nothing_yet = live._replace(scores=torch.full_like(live.scores, NOTHING))
    ended = Ended(nothing_yet, free, tuple((None,) * beams for _ in free))
    hopeful = free.new_ones(len(free), 1)  # (batch, 1): may a live hypothesis still win?
    how_many = how_many_candidates(config)
    likeliest = torch.arange(how_many, device=live.ids.device) < beams  # candidates come in order
    chunk = config.prefill_chunk_size
    fed = prefill(model, input_ids, mask, positions, chunk=chunk, **forward_kwargs)

    for index in count():
        started = time.perf_counter()

        # 1. Forward pass, with a row for each live hypothesis.
        output = model(**inputs_for(fed, mask, positions), **forward_kwargs)
        logits = output.logits[:, -1].to(torch.float32, copy=True)  # (batch * beams, vocab)

        # 2. The rules see log-probabilities here, for these can be summed along a text.
        texts = live.flat() if index else input_ids.clone()
        scores = logits_processor(texts, logits.log_softmax(-1))
        if history is not None:
            history += (scores.clone(),)

        # 3. Grow: every hypothesis by every token; the best are the candidates, twice as many as
        #    beams or more, so that enough are left when some of them end.
        candidates = grow(live, scores, how_many, config.do_sample)

        # 4. Which of them end, and why?
        texts = candidates.flat()
        ending, votes = vote(stopping_criteria, texts, history, integers=False)
        reasons = explain((None,) * len(texts), ending, stopping_criteria, votes, texts, prompt)
        reasons = tuple(reasons[at : at + how_many] for at in range(0, len(texts), how_many))
        ending = ending.view(candidates.scores.shape)  # (batch, candidates)

        # 5. The likeliest of those that do not end live on.
        staying = candidates.scores + ending.float() * NOTHING
        kept = staying.topk(beams).indices
        live = candidates._replace(scores=staying).pick(kept)

        # 6. The likeliest candidates of all may end, if their final score is among the best so far.
        ends_now = ending & likeliest
        final_scores = judge(candidates.scores, ends_now, ended.taken, hopeful, index + 1, config)
        judged = candidates._replace(scores=final_scores)
        ended = ended.joined_by(judged, ends_now, reasons, filler)

        # 7. The cache follows: each row goes on from the row that its hypothesis grew from.
        if cache is not None:
            cache.reorder_cache(live.rows[..., -1].flatten())

        # 8. A search is over when no live hypothesis can win, or early_stopping has seen enough.
        most = config.max_length - prompt
        hopeful = hopeful & can_win(live, ended, index + 1, most, config)
        enough = ended.taken.all(-1) & (config.early_stopping is True)
        over = enough | ~hopeful[:, 0]
        stop = not hopeful.any() or bool(ending.all() or enough.all())  # all prompts together
        best_reasons = zip(ended.reasons, over.tolist(), strict=True)
        yield BeamStep(
            index=index,
            fed=fed,
            logits=logits,
            scores=scores,
            probs=scores.softmax(-1),
            chosen=live.ids[..., -1].flatten(),
            cache_length=cached_length(cache),
            finished=over | stop,
            stop_reasons=tuple(row[0] if stop or done else None for row, done in best_reasons),
            seconds=time.perf_counter() - started,
            candidates=candidates,
            live=live,
            ended=ended,
            kept=kept,
            final_scores=final_scores,
            reasons=reasons,
        )
        if stop:
            return

        # 9. With a cache the next step reads the new tokens only, without one everything again.
        fed = live.flat()[:, -1:] if use_cache else live.flat()
        mask, positions = grown(mask, positions)
        if is_recurrent(cache):
            mask = None


def only_prompts(ids: torch.Tensor, beams: int) -> Hypotheses:
    """Return hypotheses with no new token yet. ids: (batch * beams, length) int64."""
    ids = ids.unflatten(0, (len(ids) // beams, beams))
    scores = torch.zeros(ids.shape[:2], device=ids.device)
    rows = torch.empty(*ids.shape[:2], 0, dtype=torch.int32, device=ids.device)
    return Hypotheses(ids, scores, rows)


def how_many_candidates(generation_config) -> int:
    """Return how many candidates each prompt keeps: enough, even if every EOS id is among them."""
    ends = len(eos_ids(generation_config))
    return max(2, 1 + ends) * generation_config.num_beams


def grow(live: Hypotheses, scores: torch.Tensor, keep: int, do_sample: bool) -> Hypotheses:
    """Return the `keep` best ways in which a live hypothesis grows by a token, or draw them.

    scores: (batch * beams, vocab) float32, the log-probability of each next token. Raises
    RuntimeError where there are fewer than `keep` ways.
    """
    batch, beams = live.scores.shape
    summed = scores.unflatten(0, (batch, beams)) + live.scores[..., None]
    summed = summed.flatten(1)  # (batch, beams * vocab)
    if do_sample:
        places = draw_several(summed.softmax(-1), keep)
        best = summed.gather(1, places)
        if _SORTS_WHAT_IT_DRAWS:
            best, order = best.sort(dim=-1, descending=True)
            places = places.gather(1, order)
    else:
        best, places = summed.topk(keep)
    parents, tokens = places // scores.shape[-1], places % scores.shape[-1]
    first_row = torch.arange(batch, device=places.device)[:, None] * beams
    rows = (parents + first_row).to(torch.int32)
    grown_from = live.pick(parents)
    return Hypotheses(
        torch.cat([grown_from.ids, tokens[..., None]], dim=-1),
        best,
        torch.cat([grown_from.rows, rows[..., None]], dim=-1),
    )


def judge(scores, ends_now, taken, hopeful, length: int, config) -> torch.Tensor:
    """Return the final scores of candidates, (batch, candidates) float32.

    A text that ends is judged by its log-probability for each token, `length` of them, weighted by
    length_penalty: 0 is the plain sum, above 1 favours long texts. -1e9 is added to what does not
    end now, and to every newcomer of a search that is over.
    """
    final = scores / length**config.length_penalty
    if config.early_stopping is True:
        final = final + taken.all(-1, keepdim=True).float() * NOTHING
    final = final + (~hopeful).float() * NOTHING
    return final + ~ends_now * NOTHING


def longer(texts: Hypotheses, filler: int) -> Hypotheses:
    """Return texts that have ended, as long as those that still grow."""
    return Hypotheses(
        pad(texts.ids, (0, 1), value=filler), texts.scores, pad(texts.rows, (0, 1), value=-1)
    )


def filling_id(generation_config) -> int:
    """Return the id that follows a text that has ended: padding, else the first EOS id.

    As in `generate`, a padding id of 0 does not count, and -1 stands where there is no EOS id.
    """
    if generation_config.eos_token_id is None:
        return -1
    return generation_config.pad_token_id or eos_ids(generation_config)[0]


def can_win(live: Hypotheses, ended: Ended, length: int, most: int, config) -> torch.Tensor:
    """Tell for each prompt, (batch, 1) bool, whether its best live hypothesis may still win.

    It may if, at the length that suits it best, it would beat the worst of the texts that ended.
    With early_stopping=False that length is taken to be today's, which is a guess; with "never" it
    is the longest one where the penalty favours long texts. length, most: new tokens, so far and at
    most.
    """
    if config.early_stopping == "never" and config.length_penalty > 0:
        length = most
    best = live.scores[:, :1] / length**config.length_penalty
    worst = ended.texts.scores.amin(1, keepdim=True)
    return (best > torch.where(ended.taken, worst, NOTHING)).any(-1, keepdim=True)

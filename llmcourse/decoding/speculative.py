"""Draft and verify: a cheap guess at several tokens, read by the big model in one forward pass.

A forward pass takes about as long for five tokens as for one: the time goes into fetching the
weights. So something cheap proposes a few tokens (see `drafts`), the big model reads all of them
at once, and the longest part that it agrees with is kept. Nothing that it would not have said
itself gets through: greedy decoding gives the same tokens, sampling the same distribution.
Sources: Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import torch

from llmcourse.decoding.cache import LIBRARY, cache_in, cached_length
from llmcourse.decoding.drafts import DraftModel, TextLookup
from llmcourse.decoding.loop import Token, draw, keeps_scores
from llmcourse.decoding.model_inputs import grown, inputs_for
from llmcourse.decoding.refusals import check_rollback
from llmcourse.decoding.stops import eos_ids, explain, vote

# Before 5.18 `generate` adds no token of its own to a draft that a stopping criterion would end.
_DRAFTS_CAN_END = LIBRARY < (5, 18)


@dataclass(frozen=True, eq=False)
class Round:
    """What happened in one round: a draft, one forward pass of the big model, a verdict."""

    index: int  # 0 for the first forward pass
    fed: torch.Tensor  # (1, tokens) int64, the ids that the model read; the draft is their end
    proposed: torch.Tensor  # (n,) int64, the draft
    accepted: int  # how many of the draft's tokens were kept
    # (1, m) int64, the new ids: those accepted and, unless the text ended before, one of its own
    chosen: torch.Tensor
    logits: torch.Tensor  # (m, vocab) float32, the big model's for each new id
    scores: torch.Tensor  # (m, vocab) float32, the same after the rules
    probs: torch.Tensor  # (m, vocab) float32, softmax of the scores
    draft_probs: torch.Tensor | None  # (n, vocab) float32, what the draft was drawn from, if it was
    cache_length: int  # tokens in the big model's cache after the rollback
    finished: torch.Tensor  # (1,) bool
    stop_reasons: tuple[str | None, ...]  # a word when finished, else None
    seconds: float  # of the whole round
    draft_seconds: float  # the part of it that went into the draft
    # With output_attentions=True, of each layer (1, heads, tokens read, tokens so far) float32: of
    # the whole pass, what was rejected included
    attentions: tuple[torch.Tensor, ...] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None  # the same, (1, tokens read, hidden)

    def new_tokens(self) -> tuple[Token, ...]:
        """Return the new tokens one by one, as a `Step` for each would give them."""
        each = (self.chosen[0], self.logits, self.scores, self.probs)
        return tuple(map(Token._make, zip(*(part.split(1) for part in each), strict=True)))

    @property
    def rejected(self) -> torch.Tensor:
        """The end of the draft that was thrown away, (n - accepted,) int64."""
        return self.proposed[self.accepted :]

    def __repr__(self) -> str:
        shown = self.chosen[0, :8].tolist()
        more = " ..." if self.chosen.shape[1] > len(shown) else ""
        stopped = [word for word in self.stop_reasons if word]
        return (
            f"Round {self.index}: proposed {len(self.proposed)}, accepted {self.accepted}, "
            f"chose {shown}{more}, cache {self.cache_length}"
            + (f", stopped: {', '.join(stopped)}" if stopped else "")
        )


def tokens_per_pass(rounds: Iterable[Round]) -> float:
    """Return how many tokens a forward pass of the big model gave; plain decoding gives 1.0."""
    gained = [one.chosen.shape[1] for one in rounds]
    return sum(gained) / len(gained)


@torch.no_grad()
def decode(
    model,
    input_ids,  # (1, length): one prompt
    logits_processor,  # the rules: change the scores before a token is chosen
    stopping_criteria,  # when is the text done?
    generation_config,
    *,
    assistant_model=None,  # a smaller model that drafts; None to look drafts up in the text
    drafter=None,  # another source of drafts; None for one of those two
    attention_mask=None,  # (1, length): None if all of the prompt is to be seen
    position_ids=None,  # (1, length)
    use_cache=True,
    **forward_kwargs,  # the cache, among others
) -> Iterator[Round]:
    """Yield a Round for each forward pass of `model` until the text is done."""
    ids, mask, positions, cache = input_ids, attention_mask, position_ids, cache_in(forward_kwargs)
    forward_kwargs["use_cache"] = use_cache
    call = (ids, logits_processor, generation_config)
    if drafter is None:
        looks_up = assistant_model is None
        drafter = TextLookup(model, *call) if looks_up else DraftModel(assistant_model, *call)
    cache.activate_past_recording()  # a sliding window then keeps what a rollback needs
    history = () if keeps_scores(generation_config) else None
    unread = ids  # all of the prompt

    for index in count():
        started = time.perf_counter()

        # 1. Draft: something cheap continues the text by n tokens; n may be 0.
        proposed, draft_probs = drafter.propose(ids, mask, positions)  # (n,), (n, vocab)
        draft_seconds = time.perf_counter() - started
        n = len(proposed)
        drafted = torch.cat([ids, proposed[None]], dim=-1) if n else ids

        # 2. Verify: ONE forward pass reads the draft, and predicts what follows each of its tokens.
        fed = torch.cat([unread, proposed[None]], dim=-1)
        if "logits_to_keep" in forward_kwargs:
            forward_kwargs["logits_to_keep"] = n + 1
        output = model(**inputs_for(fed, *grown(mask, positions, by=n)), **forward_kwargs)
        if index == 0:
            check_rollback(model, cache)
        logits = output.logits[0, -n - 1 :].to(torch.float32, copy=True)  # (n + 1, vocab)

        # 3. The rules see, at each place, the text up to there.
        scores = apply_rules(logits_processor, drafted, logits)
        proposed = drafted[0, ids.shape[1] :]  # a rule may have written into it
        probs = scores.softmax(-1)

        # 4. Accept the draft up to the first token that the big model does not back, and put its
        #    own choice there. So the worst draft still gives one token, as plain decoding does.
        if generation_config.do_sample and draft_probs is not None:
            chosen = weigh(proposed, draft_probs, probs)
        else:
            wanted = draw(probs) if generation_config.do_sample else scores.argmax(-1)  # (n + 1,)
            chosen = wanted[: agreement(proposed, wanted) + 1]
        if _DRAFTS_CAN_END and 0 < n < len(chosen) and vote(stopping_criteria, drafted, None)[0]:
            chosen = proposed
        chosen = until_the_end(chosen, ids.shape[1], generation_config)
        m = len(chosen)

        # 5. Roll back: the cache forgets what was rejected. It holds all of the text but its newest
        #    token, which the model has not read yet.
        cache.crop(-(n + 1 - m))
        drafter.learn(n, kept=m - 1)

        # 6. Append the tokens, and ask whether that ends the text.
        ids = torch.cat([ids, chosen[None]], dim=-1)
        if history is not None:
            history += scores[:m].split(1)
        done, votes = vote(stopping_criteria, ids, history)
        reasons = explain((None,), done, stopping_criteria, votes, ids, input_ids.shape[1])

        yield Round(
            index=index,
            fed=fed,
            proposed=proposed,
            accepted=agreement(proposed, chosen),
            chosen=chosen[None],
            logits=logits[:m],
            scores=scores[:m],
            probs=probs[:m],
            draft_probs=draft_probs,
            cache_length=cached_length(cache),
            finished=done,
            stop_reasons=reasons,
            seconds=time.perf_counter() - started,
            draft_seconds=draft_seconds,
        )
        if done.all():
            return

        # 7. The next pass reads the newest token, and the next draft behind it.
        unread = ids[:, -1:]
        mask, positions = grown(mask, positions, by=m)


def apply_rules(rules, drafted: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the scores for each place of a draft, (n + 1, vocab) float32.

    drafted: (1, length + n) int64, the text with the draft. logits: (n + 1, vocab) float32.
    """
    length, scores = drafted.shape[1] - len(logits) + 1, logits.clone()
    for place in range(len(scores)):
        row = scores[place : place + 1]  # (1, vocab), a rule may write into it
        row[:] = rules(drafted[:, : length + place], row)
    return scores


def agreement(proposed: torch.Tensor, wanted: torch.Tensor) -> int:
    """Return how many tokens two texts, (n,) and (m,) int64, have in common before they part."""
    same = [one == other for one, other in zip(proposed.tolist(), wanted.tolist(), strict=False)]
    return same.index(False) if False in same else len(same)


def weigh(proposed: torch.Tensor, q: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Sample from the big model with a draft that was drawn from another: speculative sampling.

    proposed: (n,) int64, drawn from q. q: (n, vocab) and p: (n + 1, vocab) float32, the
    probabilities of the draft and of the big model. Returns the accepted tokens and one more, so 1
    to n + 1 of them, int64, distributed as if each had been drawn from p.
    Source: Leviathan et al. 2023, arXiv:2211.17192, algorithm 1.
    """
    places = torch.arange(len(proposed), device=proposed.device)
    odds = p[places, proposed] / q[places, proposed]  # over 1: the big model likes it more still
    kept = (torch.rand_like(odds) <= odds).tolist()  # else it is kept with these odds
    accepted = kept.index(False) if False in kept else len(kept)
    left = p[accepted]
    if accepted < len(proposed):  # draw from what the draft gave too little probability
        left = (p[accepted] - q[accepted]).clamp(min=0)
        left = left / left.sum()
    return torch.cat([proposed[:accepted], draw(left[None])])


def until_the_end(chosen: torch.Tensor, length: int, generation_config) -> torch.Tensor:
    """Return the new ids, (m,) int64, up to EOS or `max_length`: a draft may run past either.

    length: of the text before them.
    """
    chosen = chosen[: generation_config.max_length - length]
    ends = torch.isin(chosen, chosen.new_tensor(eos_ids(generation_config))).nonzero()
    return chosen[: ends[0].item() + 1] if len(ends) else chosen

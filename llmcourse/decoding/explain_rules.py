"""What each rule did in one step: tokens dropped, probability moved, entropy lost."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from transformers import LogitsProcessorList
from transformers.generation import GenerationMode

from llmcourse.decoding.generate import steps
from llmcourse.decoding.ingredients import ingredients
from llmcourse.decoding.loop import Step
from llmcourse.decoding.user_code import name_of
from llmcourse.show import Table, percent, quoted, token_text


@dataclass(frozen=True)
class RuleEffect:
    """What one rule did to one row of the scores."""

    name: str
    dropped: int  # tokens that were possible before it (a finite score) and not after it
    left: int  # tokens that are possible after it
    p_before: float  # probability of the token that was chosen in the end
    p_after: float
    entropy_before: float  # of the distribution, in bits
    entropy_after: float


@dataclass(frozen=True)
class RuleReport:
    """What the rules did in one step to one row, in the order in which they ran."""

    step: int  # 0 for the first new token
    row: int
    chosen: int  # the id that was chosen
    token: str  # the same to read
    effects: tuple[RuleEffect, ...]  # one for each rule

    def table(self) -> Table:
        """A line for each rule."""
        what = "what each rule did" if self.effects else "no rule ran"
        caption = f"Step {self.step}, row {self.row}: {what}; chosen: {quoted(self.token)}"
        headers = ("rule", "dropped", "left", f"p({self.token})", "entropy in bits")
        return Table(caption, headers, [_line(effect) for effect in self.effects])

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _line(effect: RuleEffect) -> tuple[str, ...]:
    return (
        effect.name,
        f"{effect.dropped:,}",
        f"{effect.left:,}",
        f"{percent(effect.p_before)} → {percent(effect.p_after)}",
        f"{effect.entropy_before:.2f} → {effect.entropy_after:.2f}",
    )


def explain_rules(
    model, inputs=None, *, tokenizer=None, rules=None, at: int = 0, row: int = 0, **generate_kwargs
) -> RuleReport:
    """Run the loop up to step `at` and tell what each rule did there to one row, in order.

    inputs, tokenizer, rules, generate_kwargs: what `llmcourse.steps` takes. Each rule is called as
    often as in a run without looking. Raises ValueError if there is no step `at` or no such `row`,
    and what `steps` raises.
    """
    if generate_kwargs.get("streamer") is not None:
        raise ValueError("streamer= would show a run that stops half way; leave it out.")
    call = {"inputs": inputs, "tokenizer": tokenizer, **generate_kwargs}
    made = ingredients(model, rules=rules, **call)
    _check(made.mode, at, row, len(made.input_ids))
    recorders = [Recorder(rule, row) for rule in made.logits_processor]
    step = _step_of_row(steps(model, rules=recorders, **call), at, row)
    chosen = int(step.chosen[row])
    token = f"[{chosen}]" if tokenizer is None else token_text(tokenizer, chosen)
    return RuleReport(at, row, chosen, token, tuple(seen.effect(chosen) for seen in recorders))


class Recorder:
    """A rule that runs another one, and remembers one row of its last scores, before and after."""

    def __init__(self, rule: Callable, row: int):
        self.rule, self.row = rule, row

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.before = scores[self.row].clone()  # a learner's rule may edit in place
        scores = LogitsProcessorList([self.rule])(ids, scores)  # as `generate` calls it
        self.after = scores[self.row].clone()
        return scores

    def effect(self, chosen: int) -> RuleEffect:
        """Return what the rule did to the scores, seen from the token that was chosen."""
        possible, still = self.before.isfinite(), self.after.isfinite()
        p, q = (scores.double().softmax(-1) for scores in (self.before, self.after))
        return RuleEffect(
            name=name_of(self.rule),
            dropped=int((possible & ~still).sum()),
            left=int(still.sum()),
            p_before=p[chosen].item(),
            p_after=q[chosen].item(),
            entropy_before=entropy(p),
            entropy_after=entropy(q),
        )


def entropy(probs: torch.Tensor) -> float:
    """Return the entropy of one distribution, (vocab,), in bits: 0 where one token is certain."""
    return torch.special.entr(probs).sum().item() / math.log(2)


def _check(mode: GenerationMode, at: int, row: int, batch: int) -> None:
    if mode not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
        raise ValueError(
            f"explain_rules follows one token at a time, not {mode.value}; leave out num_beams, "
            "assistant_model, prompt_lookup_num_tokens and what else drafts."
        )
    if at < 0:
        raise ValueError(f"at={at} is before the first step; pass 0 for the first new token.")
    if not 0 <= row < batch:
        rows = "one row: row=0" if batch == 1 else f"{batch} rows: pass 0 to {batch - 1}"
        raise ValueError(f"row={row} does not exist; the batch has {rows}.")


def _step_of_row(walk: Iterator[Step], at: int, row: int) -> Step:
    for step in walk:
        if step.index == at:
            return step
        if step.finished[row]:
            break
    raise ValueError(
        f"at={at} is beyond the last step: row {row} got {step.index + 1} tokens and stopped "
        f"({step.stop_reasons[row]}); pass 0 to {step.index}."
    )

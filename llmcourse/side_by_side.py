"""The loop and `generate` side by side: same prompt, same seed, token by token."""

import time
from dataclasses import dataclass

import torch

from llmcourse.loop import steps
from llmcourse.refusals import check_call
from llmcourse.show import Table, percent, token_text


@dataclass(frozen=True, eq=False)
class Race:
    """What the two made of one call.

    loop, library: (batch, new tokens) int64, padding included. loop_probs, library_probs: the
    probability of each of those tokens after the rules, (batch, new tokens) float32. same_logits,
    same_scores: whether all raw logits and processed scores are equal, bit for bit. stop_reasons:
    a word for each row. loop_seconds, library_seconds: one run each, so a hint and no measurement.
    """

    loop: torch.Tensor
    library: torch.Tensor
    loop_probs: torch.Tensor
    library_probs: torch.Tensor
    same_logits: bool
    same_scores: bool
    stop_reasons: tuple[str | None, ...]
    loop_seconds: float
    library_seconds: float
    tokenizer: object

    @property
    def same_tokens(self) -> bool:
        """True if both chose the same ids."""
        return torch.equal(self.loop, self.library)

    @property
    def equal(self) -> bool:
        """True if tokens, raw logits and processed scores are all the same, bit for bit."""
        return self.same_tokens and self.same_logits and self.same_scores

    @property
    def texts(self) -> list[str]:
        """What the loop added to each prompt, without special tokens."""
        return self.tokenizer.batch_decode(self.loop, skip_special_tokens=True)

    def tables(self) -> list[Table]:
        """One table for each row of the batch, a line for each new token."""
        return [self._table(row) for row in range(len(self.loop))]

    def _table(self, row: int) -> Table:
        length = max(self.loop.shape[1], self.library.shape[1])
        lines = [self._line(row, step) for step in range(length)]
        differ = frozenset(step for step, line in enumerate(lines) if line[-1] != "=")
        caption = f"Prompt {row + 1} of {len(self.loop)}: stopped by {self.stop_reasons[row]}"
        headers = ("step", "llmcourse", "p", "generate", "p", "")
        return Table(caption, headers, lines, marked=differ)

    def _line(self, row: int, step: int) -> tuple[str, ...]:
        mine = self._cell(self.loop, self.loop_probs, row, step)
        theirs = self._cell(self.library, self.library_probs, row, step)
        same = torch.equal(self.loop[row, step : step + 1], self.library[row, step : step + 1])
        return (str(step), *mine, *theirs, "=" if same else "DIFFERENT")

    def _cell(self, ids, probs, row: int, step: int) -> tuple[str, str]:
        if step >= ids.shape[1]:
            return "", ""
        return token_text(self.tokenizer, ids[row, step]), percent(probs[row, step])

    def verdict(self) -> str:
        """Say in one line what is equal."""
        parts = {
            "tokens": self.same_tokens,
            "logits": self.same_logits,
            "scores": self.same_scores,
        }
        different = [name for name, same in parts.items() if not same]
        if different:
            return f"DIFFERENT: {', '.join(different)}"
        return "Equal, bit for bit: tokens, raw logits and processed scores."

    def __repr__(self) -> str:
        return "\n\n".join([*map(repr, self.tables()), self.verdict()])

    def _repr_html_(self) -> str:
        tables = "".join(table._repr_html_() for table in self.tables())
        return f"{tables}<p>{self.verdict()}</p>"


def race(model, tokenizer, prompt_or_inputs, **generate_kwargs) -> Race:
    """Run `model.generate` and the visible loop on the same call and return both, side by side.

    prompt_or_inputs: a text, a list of texts, ids of shape (batch, length), or what a tokenizer
    returns. Both start from the same state of torch's generators, so sampling can be compared.
    Raises what `llmcourse.steps` raises.
    """
    inputs = _as_inputs(model, tokenizer, prompt_or_inputs)
    check_call(model, inputs | generate_kwargs)  # before `generate` fails in torch's depths
    seeds = _random_state()

    started = time.perf_counter()
    strings = {"tokenizer": tokenizer} if generate_kwargs.get("stop_strings") else {}
    wanted = {
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
    }
    library = model.generate(**inputs, **generate_kwargs | strings | wanted)
    library_seconds = time.perf_counter() - started

    _set_random_state(seeds)
    started = time.perf_counter()
    walk = list(steps(model, tokenizer=tokenizer, **inputs, **generate_kwargs | wanted))
    loop_seconds = time.perf_counter() - started

    new = library.sequences[:, -len(library.scores) :]
    loop = torch.stack([step.chosen for step in walk], dim=1)
    return Race(
        loop=loop,
        library=new,
        loop_probs=_probabilities([step.scores for step in walk], loop),
        library_probs=_probabilities(library.scores, new),
        same_logits=_all_equal([step.logits for step in walk], library.logits),
        same_scores=_all_equal([step.scores for step in walk], library.scores),
        stop_reasons=walk[-1].stop_reasons,
        loop_seconds=loop_seconds,
        library_seconds=library_seconds,
        tokenizer=tokenizer,
    )


def _as_inputs(model, tokenizer, prompt) -> dict:
    if isinstance(prompt, torch.Tensor):
        return {"input_ids": prompt.to(model.device)}
    if isinstance(prompt, str | list | tuple):
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        prompt = tokenizer(texts, return_tensors="pt", padding=len(texts) > 1)
        prompt = {name: ids.long() for name, ids in prompt.items()}  # an empty text gives floats
    known = ("input_ids", "attention_mask", "position_ids")
    return {name: prompt[name].to(model.device) for name in known if name in prompt}


def _random_state() -> tuple:
    return (
        torch.get_rng_state(),
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def _set_random_state(state: tuple) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def _probabilities(scores, chosen: torch.Tensor) -> torch.Tensor:
    """Return the probability of each chosen token, (batch, new tokens) float32."""
    each = [
        step.softmax(-1).gather(1, ids[:, None]) for step, ids in zip(scores, chosen.T, strict=True)
    ]
    return torch.cat(each, dim=1)


def _all_equal(ours, theirs) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))

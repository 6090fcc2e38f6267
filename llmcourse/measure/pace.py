"""When each token comes: the time to the first, the times between, tokens a second."""

import statistics
import time
from dataclasses import dataclass
from itertools import pairwise

import torch

from llmcourse.decoding.generate import steps


@dataclass(frozen=True)
class Pace:
    """The times of one run; all rows have the same number of tokens."""

    rows: int  # of the batch
    prompt_tokens: int  # of each row
    first: float  # seconds from the call to the first new token: what a reader waits
    between: tuple[float, ...]  # seconds from each step to the next
    tokens: tuple[int, ...]  # new tokens of a row at each step; more than 1 where a draft was right

    @property
    def decode_speed(self) -> float:
        """Tokens a second of one row after the first step; nan after a single step."""
        seconds = sum(self.between)
        return sum(self.tokens[1:]) / seconds if seconds else float("nan")

    @property
    def throughput(self) -> float:
        """Tokens a second of all rows together, reading the prompts included."""
        return self.rows * sum(self.tokens) / (self.first + sum(self.between))

    @property
    def prefill_speed(self) -> float:
        """Prompt tokens of all rows that were read a second, the first token included."""
        return self.rows * self.prompt_tokens / self.first

    def __repr__(self) -> str:
        between = f"{1000 * statistics.median(self.between):.1f} ms" if self.between else "none"
        return (
            f"Pace: {self.rows} x {self.prompt_tokens} prompt tokens, {sum(self.tokens)} new: "
            f"first after {1000 * self.first:.0f} ms, then {between} between tokens (median), "
            f"{self.decode_speed:.1f} tokens/s a row, {self.throughput:.1f} in all"
        )


def pace(
    model,
    input_ids: torch.Tensor | None = None,
    *,
    rows: int = 1,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    **settings,
) -> Pace:
    """Generate once with the visible loop and return when each token came.

    input_ids: the prompts, (rows, tokens) int64; without them ids are drawn, the same each time,
    since what a step costs does not depend on which tokens it reads. settings: what
    `llmcourse.steps` takes. No text ends before `new_tokens`. On a GPU the clock is read when the
    GPU is done. Raises what `steps` raises, and ValueError for less than one row, prompt token or
    new token.
    """
    ids = some_ids(model, rows, prompt_tokens) if input_ids is None else input_ids
    if new_tokens < 1:
        raise ValueError(f"new_tokens={new_tokens} must be at least 1.")
    to_the_end = {"eos_token_id": None, "pad_token_id": 0, "max_new_tokens": new_tokens}
    settings = {"do_sample": False, **to_the_end, **settings}
    wait_for(ids.device)
    times, tokens = [time.perf_counter()], []
    for step in steps(model, ids, attention_mask=torch.ones_like(ids), **settings):
        wait_for(ids.device)
        times.append(time.perf_counter())
        tokens.append(len(step.new_tokens()))
    between = tuple(later - one for one, later in pairwise(times[1:]))
    return Pace(*ids.shape, times[1] - times[0], between, tuple(tokens))


def some_ids(model, rows: int, tokens: int) -> torch.Tensor:
    """Return (rows, tokens) int64 on the model's device, drawn from its vocabulary with a seed."""
    if rows < 1 or tokens < 1:
        raise ValueError(f"rows={rows} and prompt_tokens={tokens} must be at least 1.")
    vocabulary = model.config.get_text_config().vocab_size
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (rows, tokens), generator=drawn).to(model.device)


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()

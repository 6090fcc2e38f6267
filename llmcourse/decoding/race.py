"""The loop and `generate` side by side: same prompt, same seed, token by token."""

import time
from dataclasses import dataclass

import torch

from llmcourse.decoding.generate import generate
from llmcourse.decoding.ingredients import inputs_of
from llmcourse.decoding.refusals import check_call
from llmcourse.show import Table, percent, token_text


@dataclass(frozen=True, eq=False)
class Race:
    """What the loop and the library made of one call; rows are the texts that it returns."""

    loop: torch.Tensor  # (rows, new tokens) int64, padding included
    library: torch.Tensor  # the same of `generate`
    # (rows, new tokens) float32, the probability of each token after the rules; nan after the end
    # of a text that beam search found
    loop_probs: torch.Tensor
    library_probs: torch.Tensor
    same_logits: bool  # whether all raw logits are equal, bit for bit
    same_scores: bool  # the same of processed scores, and of whole texts (beam search)
    stop_reasons: tuple[str | None, ...]  # a word for each row, with a `sentence`
    loop_seconds: float  # of one run, so a hint and no measurement
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
        reason = self.stop_reasons[row]
        said = f": {reason.sentence}" if getattr(reason, "sentence", "") else ""
        caption = f"Text {row + 1} of {len(self.loop)}, stopped by {reason}{said}"
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
        p = float(probs[row, step])
        return token_text(self.tokenizer, ids[row, step]), "" if p != p else percent(p)

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
    With `num_beams` or an assistant too. Raises what `llmcourse.steps` raises.
    """
    inputs = inputs_of(model, tokenizer, prompt_or_inputs)
    check_call(model, inputs | generate_kwargs)  # before `generate` fails in torch's depths
    seeds = _random_state()

    started = time.perf_counter()
    strings = {"tokenizer": tokenizer} if generate_kwargs.get("stop_strings") else {}
    wanted = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    library = model.generate(**inputs, **generate_kwargs | strings | wanted)
    library_seconds = time.perf_counter() - started

    _set_random_state(seeds)
    started = time.perf_counter()
    loop = generate(model, tokenizer=tokenizer, **inputs, **generate_kwargs | wanted)
    loop_seconds = time.perf_counter() - started

    of_texts = [getattr(output, "sequences_scores", None) for output in (loop, library)]
    return Race(
        loop=_new_tokens(loop),
        library=_new_tokens(library),
        loop_probs=_probabilities(loop),
        library_probs=_probabilities(library),
        same_logits=_all_equal(loop.logits, library.logits),
        same_scores=_all_equal(loop.scores, library.scores)
        and (of_texts[0] is None or torch.equal(*of_texts)),
        stop_reasons=loop.stop_reasons,
        loop_seconds=loop_seconds,
        library_seconds=library_seconds,
        tokenizer=tokenizer,
    )


def _random_state() -> tuple:
    return (
        torch.get_rng_state(),
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def _set_random_state(state: tuple) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def _new_tokens(output) -> torch.Tensor:
    """Return what was added to the prompt, (rows, new tokens) int64."""
    found_by_beams = getattr(output, "beam_indices", None)
    new = len(output.scores) if found_by_beams is None else found_by_beams.shape[1]
    return output.sequences[:, output.sequences.shape[1] - new :]


def _probabilities(output) -> torch.Tensor:
    """Return the probability of each new token, (rows, new tokens) float32."""
    new, rows = _new_tokens(output), getattr(output, "beam_indices", None)
    if rows is None:
        each = [
            step.softmax(-1).gather(1, ids[:, None])
            for step, ids in zip(output.scores, new.T, strict=True)
        ]
        return torch.cat(each, dim=1)
    each = [
        step[rows[:, at], new[:, at]].exp() for at, step in enumerate(output.scores[: new.shape[1]])
    ]
    return torch.stack(each, dim=1).masked_fill(rows < 0, float("nan"))


def _all_equal(ours, theirs) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))

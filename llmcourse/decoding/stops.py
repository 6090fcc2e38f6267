"""When to stop, and why it stopped.

`generate` knows when each row of a batch is done, but not why. The loop asks the same criteria one
by one and keeps the answer, as a word and a sentence.
"""

from collections.abc import Sequence

import torch
from transformers import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StopStringCriteria,
)

from llmcourse.decoding.user_code import checked_vote
from llmcourse.show import token_bytes

# Where several criteria end a row in the same step, the first of these is its reason;
# a criterion of the user's own comes between the stop strings and the clock.
_REASONS = {
    EosTokenCriteria: (0, "eos"),
    StopStringCriteria: (1, "stop string"),
    MaxTimeCriteria: (3, "time"),
    MaxLengthCriteria: (4, "length"),
}


def reason(criterion) -> tuple[int, str]:
    """Return the rank (0 is the strongest) and the word for why `criterion` ends a row."""
    for kind, ranked in _REASONS.items():
        if isinstance(criterion, kind):
            return ranked
    return 2, getattr(criterion, "__name__", type(criterion).__name__)


def eos_ids(generation_config) -> list[int]:
    """Return the ids that end a text; [] where none does. The setting has one, several or None."""
    eos = generation_config.eos_token_id
    return [] if eos is None else torch.as_tensor(eos, dtype=torch.int64).flatten().tolist()


def vote(
    criteria: Sequence, ids: torch.Tensor, scores, *, integers: bool = True
) -> tuple[torch.Tensor, list]:
    """Ask every criterion whether each row is done; any yes ends the row.

    ids: (batch, length) int64, with the newest token. scores: what `generate` hands to criteria.
    integers: whether they are votes too; in `generate` they are, but not in a beam search. Returns
    done, (batch,) bool, and each criterion's own vote. Raises what a criterion raises; TypeError
    and RuntimeError for a vote that is no truth value of each row.
    """
    done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    votes = []
    for criterion in criteria:
        said = criterion(ids, scores)
        votes.append(checked_vote(criterion, said, rows=len(ids), integers=integers))
        done = done | votes[-1]
    return done, votes


def explain(
    reasons: tuple,
    ended: torch.Tensor,
    criteria: Sequence,
    votes: list,
    ids: torch.Tensor | None = None,
    prompt_length: int = 0,
) -> tuple:
    """Return `reasons`, a Reason (or None) a row, with the rows that just ended filled in.

    ended: (batch,) bool, the rows that were running and are now done. ids: (batch, length) int64,
    the text so far, `prompt_length` tokens of it the prompt; the sentence of a reason tells of it.
    """
    if not ended.any():
        return reasons
    words = list(reasons)
    for row in ended.nonzero().flatten().tolist():
        said_yes = [
            criterion
            for criterion, done in zip(criteria, votes, strict=True)
            if torch.as_tensor(done).expand(len(ended))[row]
        ]
        strongest = min(said_yes, key=lambda criterion: reason(criterion)[0])
        text = [] if ids is None else ids[row].tolist()
        words[row] = describe(strongest, text[:prompt_length], text[prompt_length:])
    return tuple(words)


class Reason(str):
    """Why a row stopped: a word (`eos`, `length`, `stop string`, `time`, a criterion's name).

    sentence: the same in a sentence. stop_string, position, overhang: of a stop string the string,
    where it begins in the new text (in characters; below 0 if it begins in the prompt), and the
    text after it that came with the same token. They are None for other reasons.
    """

    sentence: str
    stop_string: str | None
    position: int | None
    overhang: str | None

    def __new__(cls, word: str, sentence: str = "", stop_string=None, position=None, overhang=None):
        made = super().__new__(cls, word)
        made.sentence, made.stop_string = sentence, stop_string
        made.position, made.overhang = position, overhang
        return made


def describe(criterion, prompt: list[int], new: list[int]) -> Reason:
    """Return the reason for which `criterion` ends a row. prompt, new: the row's token ids."""
    _, word = reason(criterion)
    if isinstance(criterion, EosTokenCriteria):
        which = f" {new[-1]}" if new else ""
        return Reason(word, f"The model chose token{which}, which ends a text (eos_token_id).")
    if isinstance(criterion, StopStringCriteria):
        return _describe_stop_string(criterion, word, prompt, new)
    if isinstance(criterion, MaxTimeCriteria):
        return Reason(word, f"The time was up: max_time={criterion.max_time:g} seconds.")
    if isinstance(criterion, MaxLengthCriteria):
        most = criterion.max_length
        return Reason(word, f"The text reached max_length={most} tokens, the prompt included.")
    return Reason(word, f"Your own criterion {word} ended it.")


def _describe_stop_string(criterion, word: str, prompt: list[int], new: list[int]) -> Reason:
    """Find out which stop string it was. `prepared` notes the tokenizer on the criterion."""
    strings = list(criterion.stop_strings)
    tokenizer = getattr(criterion, "tokenizer", None)
    if tokenizer is None or not new:
        return Reason(word, f"The text reached a stop string, out of {strings!r}.")
    before, after = (
        b"".join(token_bytes(tokenizer, token) for token in tokens) for tokens in (prompt, new)
    )
    text, last = before + after, len(token_bytes(tokenizer, new[-1]))
    found = [
        (text.find(string.encode(), max(0, len(text) - last - len(string.encode()) + 1)), string)
        for string in strings
    ]
    found = [(start, string) for start, string in found if start >= 0]
    if not found:
        return Reason(word, f"The text reached a stop string, out of {strings!r}.")
    start, string = min(found)
    overhang = text[start + len(string.encode()) :].decode(errors="replace")
    inside = start >= len(before)
    skipped = text[len(before) : start] if inside else text[start : len(before)]
    position = len(skipped.decode(errors="replace")) * (1 if inside else -1)
    where = f"after {position} characters of new text" if inside else "across the prompt's end"
    more = f", with {overhang!r} after it in the same token" if overhang else ""
    return Reason(
        word, f"The stop string {string!r} came {where}{more}.", string, position, overhang
    )

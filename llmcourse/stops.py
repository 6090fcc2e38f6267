"""When to stop, and why it stopped.

`generate` knows when each row of a batch is done, but not why. The loop asks the same criteria one
by one and keeps the answer.
"""

from collections.abc import Sequence

import torch
from transformers import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StopStringCriteria,
)

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


def vote(criteria: Sequence, ids: torch.Tensor, scores) -> tuple[torch.Tensor, list]:
    """Ask every criterion whether each row is done; any yes ends the row.

    ids: (batch, length) int64, with the newest token. scores: what `generate` hands to criteria.
    Returns done, (batch,) bool, and each criterion's own vote, as it came.
    """
    done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    votes = []
    for criterion in criteria:
        votes.append(criterion(ids, scores))
        done = done | votes[-1]
    return done, votes


def explain(reasons: tuple, ended: torch.Tensor, criteria: Sequence, votes: list) -> tuple:
    """Return `reasons`, one word (or None) a row, with the rows that just ended filled in.

    ended: (batch,) bool, the rows that were running and are now done.
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
        words[row] = min(map(reason, said_yes), key=lambda ranked: ranked[0])[1]
    return tuple(words)

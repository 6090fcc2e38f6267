"""Checks for the exercises at the end of lesson 2."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
from torch import Tensor

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first, tensor_of
from llmcourse.checks.decoding_loop.one_row import eos_ids


@once_written
def check_answer_lengths(answer: Callable[..., Tensor]) -> None:
    """Compare `answer(ids, prompt_length, eos)` with a count, token by token, in each row.

    ids: (batch, length) int64, a batch as generate returns it. eos: (any number of ids,) int64.
    The answer returns (batch,) int64: new tokens up to the first EOS, which counts. Raises
    AssertionError with the misconception that it found.
    """
    cases = (
        ([[2, 7, 8, 9, 2, 2, 2], [2, 7, 5, 6, 4, 3, 2]], 2, [2]),  # padding is the EOS
        ([[1, 7, 8, 9, 5, 6, 4], [1, 7, 5, 2, 0, 0, 0]], 2, [2]),  # the first came to the limit
        ([[7, 8, 3, 2], [7, 8, 5, 3]], 2, [2, 3]),
        ([[7, 2, 5]], 1, [2]),
        ([[7, 2, 5, 6]], 2, [2]),  # an end in the prompt
    )

    def everywhere(count: Callable[[list[int], set[int]], int]) -> list[list[int]]:
        return [[count(row[start:], set(ends)) for row in rows] for rows, start, ends in cases]

    def places(new: list[int], ends: set[int]) -> list[int]:
        return [at for at, token in enumerate(new) if token in ends]

    def counted(new: list[int], ends: set[int]) -> int:
        return min([*places(new, ends), len(new) - 1]) + 1

    yours = []
    for rows, start, ends in cases:
        made = answer(torch.tensor(rows), start, eos_ids(ends))
        shape = (len(rows),)
        wanted = f"return one number a row, {shape}"
        yours.append(tensor_of(shape, made, what="a tensor", wanted=wanted).tolist())
    if yours == everywhere(counted):
        print("check_answer_lengths: each row up to its first new EOS, padding left out.")
        return
    prompts_too = [[counted(row, set(ends)) - start for row in rows] for rows, start, ends in cases]
    with_prompt = [
        [counted(row[start:], set(ends)) + start for row in rows] for rows, start, ends in cases
    ]
    never = "a row without an EOS came to the limit: all of its new tokens count"
    name_the_first(
        [
            ("you counted the padding of finished rows", everywhere(lambda new, ends: len(new))),
            ("you left the EOS out; the model wrote it, so it counts",
             everywhere(lambda new, ends: counted(new, ends) - bool(places(new, ends)))),
            ("you dropped every EOS, also the one that the model wrote",
             everywhere(lambda new, ends: len(new) - len(places(new, ends)))),
            ("you counted the prompt", with_prompt),
            ("you found an end inside the prompt; look at new tokens only", prompts_too),
            ("you compared with the first id of `eos` only", [
                [counted(row[start:], set(ends[:1])) for row in rows]
                for rows, start, ends in cases
            ]),
            (never, everywhere(lambda new, ends: counted(new, ends) if places(new, ends) else 1)),
            (never, everywhere(lambda new, ends: counted(new, ends) if places(new, ends) else 0)),
        ],
        yours,
        everywhere(counted),
    )  # fmt: skip
    for (rows, start, ends), mine, right in zip(cases, yours, everywhere(counted), strict=True):
        assert mine == right, (
            f"ids {rows}, of which {start} are the prompt, eos {ends}: the new texts have {right} "
            f"tokens; you counted {mine}"
        )


@once_written
def check_no_recent_token(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Compare a rule, `answer(ids, scores)`, with a loop over the last 12 tokens of each row.

    ids: (batch, length) int64. scores: (batch, vocab) float32; the answer returns as many, -inf
    where a token is forbidden. Raises AssertionError with the misconception that it found.
    """
    made = torch.Generator().manual_seed(0)
    for length in (3, 12, 20):
        ids = torch.randint(40, (2, length), generator=made)
        scores = torch.randn(2, 40, generator=made)
        before = scores.clone()
        after = answer(ids, scores)
        assert torch.equal(scores, before), (
            "you changed the scores that you were given; return new ones"
        )
        shape = tuple(scores.shape)
        wanted = f"scores have {shape}, and a forbidden token keeps its place"
        tensor_of(shape, after, what="the scores, a tensor", wanted=wanted)
        gone = [set((row == -math.inf).nonzero().flatten().tolist()) for row in after]
        texts = ids.tolist()
        recent = [set(text[-12:]) for text in texts]
        wrong = (
            ("you forbade the tokens of one row in another", [set.union(*recent)] * 2),
            ("you forbade every token of the text; only the last 12 places count",
             [set(text) for text in texts]),
            ("you forbade the first 12 places; the last 12 count",
             [set(text[:12]) for text in texts]),
            ("you forbade the last token alone; the last 12 places count",
             [set(text[-1:]) for text in texts]),
            ("nothing was forbidden: a forbidden token has the score -inf", [set(), set()]),
        )  # fmt: skip
        name_the_first(wrong, gone, recent)
        assert gone == recent, f"for ids {texts} you forbade {gone}"
        kept = after != -math.inf
        assert torch.equal(after[kept], scores[kept]), "the other tokens keep their scores"
    print("check_no_recent_token: the last 12 tokens of each row are out, the rest as it was.")


@once_written
def check_log_probability(answer: Callable[[Sequence], Tensor | float]) -> None:
    """Compare `answer(steps)` with a sum in 64 bits.

    steps: each has probs, (1, vocab) float32, and chosen, (1,) int64; the answer returns the
    logarithm of the text's probability, in nats. Raises AssertionError with the misconception that
    it found.
    """
    made = torch.Generator().manual_seed(0)
    steps = []
    for _ in range(60):  # the product of 60 such numbers is 0 in 32 bits
        probs = (torch.randn(1, 30, generator=made) * 2).softmax(-1)
        steps.append(
            SimpleNamespace(probs=probs, chosen=torch.multinomial(probs, 1, generator=made)[0])
        )
    each = torch.cat([step.probs[0, step.chosen] for step in steps]).double()
    best = torch.cat([step.probs.amax(-1) for step in steps]).double()
    right, yours = each.log().sum().item(), float(answer(steps))
    assert math.isfinite(yours), (
        "the product of so many small numbers is 0 in 32 bits, and its logarithm is -inf; add the "
        "logarithms instead of multiplying"
    )
    wrong = (
        ("that is the mean over the tokens; the text's own is their sum", right / len(steps)),
        ("you used base 2; these are natural logarithms", right / math.log(2)),
        ("you used base 10; these are natural logarithms", right / math.log(10)),
        ("you took the likeliest token of each step; take the chosen one", best.log().sum().item()),
        ("the sign is the other way round: probabilities are below 1", -right),
        ("you added probabilities; add their logarithms", each.sum().item()),
    )
    for misconception, made_by_it in wrong:
        assert abs(yours - made_by_it) > 1e-2, misconception
    assert abs(yours - right) < 1e-2, f"the sum is {right:.3f}; you have {yours:.3f}"
    print("check_log_probability: the sum of the logarithms of what was chosen.")

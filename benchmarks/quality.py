"""Do small weights say the same? The visible loop on them: its greedy tokens, its perplexity."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import llmcourse

TEXT = Path(__file__).resolve().parent.parent / "docs" / "teaching.md"
WINDOWS, LENGTH = 6, 512  # of the text's tokens


@contextmanager
def model_of(weights: str) -> Iterator:
    """Yield the course's model in float32 with the numbers that small weights stand for.

    weights: "float32", or a kind that `llmcourse.decoding.by_hand.decode_step.dequantized` knows.
    """
    model, _ = llmcourse.load()
    if weights != "float32":
        from llmcourse.decoding.by_hand.decode_step import dequantized

        model = dequantized(model, weights)
    yield model


def tokens(model, prompt: list[int], new_tokens: int) -> list[int]:
    """Return the new tokens of the visible loop, greedily; the end of a text stops nothing."""
    call = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
    made = llmcourse.generate(model, torch.tensor([prompt]), **call)
    return made[0, len(prompt) :].tolist()


@torch.inference_mode()
def perplexity(model) -> float:
    """Return e to the mean surprise, in nats, over windows of TEXT, each read on its own."""
    _, tokenizer = llmcourse.load()
    ids = tokenizer(TEXT.read_text(encoding="utf-8"))["input_ids"][: WINDOWS * LENGTH]
    windows = torch.tensor(ids[: len(ids) // LENGTH * LENGTH]).view(-1, LENGTH)
    surprise = [
        cross_entropy(model(window[None]).logits[0, :-1], window[1:]).item() for window in windows
    ]
    return math.exp(sum(surprise) / len(surprise))


@torch.inference_mode()
def log_probs(model, texts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return what follows each token of each text: (tokens, vocab), natural logarithms.

    texts: (1, tokens) int64 each, read on its own.
    """
    return [model(ids).logits[0].float().log_softmax(-1) for ids in texts]


def compared(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> tuple[float, float]:
    """Return, as means over all tokens: the KL divergence in bits, the share of equal best tokens.

    before, after: what `log_probs` returns of two models. The divergence is the surprise that the
    second has, beyond that of the first, at what the first expects.
    """
    apart, same = [], []
    for one, other in zip(before, after, strict=True):
        apart.append((one.exp() * (one - other)).sum(-1) / math.log(2))
        same.append((one.argmax(-1) == other.argmax(-1)).float())
    return float(torch.cat(apart).mean()), float(torch.cat(same).mean())

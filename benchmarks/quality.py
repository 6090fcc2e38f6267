"""Do small weights say the same? The visible loop on them: its greedy tokens, its perplexity."""

import math
from collections.abc import Iterator
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

    weights: "float32", or a kind that `llmcourse.decoding.decode_step.dequantized` knows.
    """
    model, _ = llmcourse.load()
    if weights != "float32":
        from llmcourse.decoding.decode_step import dequantized

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

"""Prompts, ways of choosing a token, and other arguments of `generate` that several tests share."""

import torch

from tests.support.families import PAD, VOCAB

SEED = 3
EVERYTHING = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
NO_EOS = {"eos_token_id": None}
SOME_EOS = list(range(3, VOCAB, 8))  # enough ids for most rows to meet one soon, not all at once

# Prompts. They are longer than the window of the families that have one.
ONE = torch.arange(7, 18)[None]
EQUAL = torch.stack([torch.arange(7, 16), torch.arange(31, 40), torch.arange(80, 62, -2)])
UNEQUAL = torch.tensor(
    [
        [7, 8, 9, 10, 11, 12, 13, 14, 15],
        [PAD, PAD, PAD, PAD, 31, 30, 29, 28, 27],
        [PAD, PAD, 60, 62, 64, 66, 68, 70, 72],
    ]
)


def masked(ids: torch.Tensor) -> dict:
    """Return the arguments for a batch, (rows, length), in which `PAD` is padding."""
    return {"input_ids": ids, "attention_mask": ids.ne(PAD).long()}


PROMPTS = {"one": {"input_ids": ONE}, "equal": masked(EQUAL), "unequal": masked(UNEQUAL)}

# Ways of choosing a token.
SAMPLING = {"do_sample": True, "temperature": 1.4, "top_k": 30, "top_p": 0.95}
PENALTIES = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}


def modes(penalties: dict) -> dict[str, dict]:
    """Return greedy and sampling, each without and with `penalties`."""
    return {
        "greedy": {},
        "sampling": SAMPLING,
        "greedy_penalties": penalties,
        "sampling_penalties": {**SAMPLING, **penalties},
    }


MODES = modes(PENALTIES)

# A walk, one row: ids of the tiny models, and a call that ends by length alone.
IDS = torch.randint(6, VOCAB, (1, 11), generator=torch.Generator().manual_seed(1))
CALL = {"max_new_tokens": 10, "eos_token_id": None, "pad_token_id": PAD}

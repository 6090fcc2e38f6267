"""Toy models of a size each, with random weights: nothing to download.

Those of many families, for parity, are in `families.py`.
"""

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.support.toy_tokenizers import learned, three_colours


def random_llama(**sizes) -> LlamaForCausalLM:
    """Return a float32 Llama with the same weights each time; sizes: of its config."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**sizes)).eval()


def quick_llama() -> LlamaForCausalLM:
    """Return a model so small that nearly all of the time is the loop's own."""
    return random_llama(
        vocab_size=1000,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )


def wide_llama(vocabulary: int, positions: int) -> LlamaForCausalLM:
    """Return a model with a large vocabulary and next to nothing else."""
    return random_llama(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=positions,
        initializer_range=0.5,
        eos_token_id=None,
        pad_token_id=0,
    )


def save_three_colours(folder: Path) -> None:
    """Save a bfloat16 Llama of five words, whose tokenizer has an end but no padding token."""
    model = random_llama(
        vocab_size=5,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=1,
        bos_token_id=None,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    three_colours(eos_token="</s>").save_pretrained(folder)


def save_unlike_the_course(folder: Path, text: str) -> None:
    """Save a GPT-2: no chat template, no padding token, a vocabulary learned from `text`."""
    size = 600
    learned(text, size).save_pretrained(folder)
    torch.manual_seed(1)
    sizes = dict(n_embd=128, n_layer=2, n_head=4, n_positions=512, initializer_range=0.2)
    config = GPT2Config(vocab_size=size, bos_token_id=0, eos_token_id=0, **sizes)
    GPT2LMHeadModel(config).save_pretrained(folder)

"""Toy models that chat: a token for each byte, chatml, and weights that have read nothing."""

import torch
from tokenizers import decoders

from tests.support.chat_templates import CHATML, letters
from tests.support.families import build


def chatting(family: str = "llama", template: str | None = CHATML, **changes):
    """Return (model, tokenizer) that reads 2048 tokens; changes: to its config."""
    tokenizer = letters(template or "")
    tokenizer.chat_template = template
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    special = {"eos_token_id": tokenizer.get_vocab().get("<|im_end|>")}
    special |= {"pad_token_id": tokenizer.pad_token_id, "vocab_size": len(tokenizer)}
    length = "n_positions" if family == "gpt2" else "max_position_embeddings"
    return build(family, **{length: 2048, **special, **changes}), tokenizer


def has_written(model, tokenizer, *texts: str):
    """Have a model write these texts, drawn or not, each with an end; returns the hook.

    After the last it writes whatever its weights say.
    """
    end = model.generation_config.eos_token_id
    coming = iter([token for text in texts for token in (*tokenizer(text)["input_ids"], end)])

    def choose(module, args, logits):
        token = next(coming, None)
        if token is None:
            return logits
        return 1e3 * torch.nn.functional.one_hot(torch.full((1, 1), token), len(tokenizer))

    return model.get_output_embeddings().register_forward_hook(choose)


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return a + b


def call_of(name: str, arguments: str) -> str:
    """Return a call as a model writes it. arguments: JSON."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'

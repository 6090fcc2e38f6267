"""Toy models that chat: a token for each byte, chatml, and weights that have read nothing."""

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

"""Toy models that chat: a token for each byte, chatml, random weights that do not repeat much."""

from tokenizers import decoders
from transformers import MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

from tests.support.chat_templates import CHATML, letters
from tests.support.toy_models import random_llama

SIZES = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    initializer_range=0.3,
    bos_token_id=None,
)


def chatting_llama(template: str | None = CHATML, **sizes):
    """Return (model, tokenizer); the weights are random, and so is what it says."""
    tokenizer = _letters(template)
    return random_llama(**SIZES | _ends(tokenizer) | sizes), tokenizer


def windowed():
    """Return (model, tokenizer) of a Mistral that sees 24 tokens back."""
    tokenizer = _letters(CHATML)
    config = MistralConfig(**SIZES, **_ends(tokenizer), sliding_window=24)
    return MistralForCausalLM(config).eval(), tokenizer


def recurrent():
    """Return (model, tokenizer) of a Mamba, whose cache is a state and holds no tokens."""
    tokenizer = _letters(CHATML)
    sizes = dict(hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.3)
    return MambaForCausalLM(MambaConfig(**sizes, **_ends(tokenizer))).eval(), tokenizer


def _letters(template: str | None):
    tokenizer = letters(template or "")
    tokenizer.chat_template = template
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _ends(tokenizer) -> dict:
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    return {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": end}

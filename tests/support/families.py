"""Tiny models of many families, built in memory with large random weights: nothing to download."""

from functools import cache

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    BloomForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

VOCAB, PAD, BOS = 97, 0, 1
WINDOW = 8  # of the families that attend within a sliding window; the test prompts are longer

_SPECIAL = {"vocab_size": VOCAB, "bos_token_id": BOS, "eos_token_id": 5, "pad_token_id": PAD}
_SPECIAL["tie_word_embeddings"] = False  # tied, a random model mostly repeats the token it reads
_LAYERS = {"hidden_size": 32, "num_hidden_layers": 2}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
_TRANSFORMER = {**_SPECIAL, **_LAYERS, **_HEADS, "intermediate_size": 64}
_TRANSFORMER["max_position_embeddings"] = 128
_WINDOWED = {**_TRANSFORMER, "sliding_window": WINDOW}
_STATE_SPACE = {**_SPECIAL, **_LAYERS, "state_size": 8}
_MIXER = {"mamba_n_heads": 4, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}

# How each family is built; the differences are what the loop has to survive: positions that are
# learned, rotary or absent, windows, experts, convolution and recurrent state beside the cache.
CONFIGS = {
    "llama": _TRANSFORMER,
    "gpt2": {**_SPECIAL, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "qwen3": _TRANSFORMER,
    "mistral": _WINDOWED,
    "gemma3_text": _WINDOWED,
    "gpt_neox": _TRANSFORMER,
    "falcon_h1": {**_TRANSFORMER, **_MIXER, "mamba_d_ssm": 32, "mamba_d_head": 8},
    "mamba": _STATE_SPACE,
    "phi3": _TRANSFORMER,
    "bamba": {**_TRANSFORMER, **_MIXER, "mamba_d_head": 16, "attn_layer_indices": [1]},
    "bloom": {**_SPECIAL, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "cohere": {**_TRANSFORMER, "logit_scale": 1.0},
    "falcon": {name: value for name, value in _TRANSFORMER.items() if name != "head_dim"},
    "falcon_mamba": _STATE_SPACE,
    "gemma": _TRANSFORMER,
    "gemma2": _WINDOWED,
    "gpt_oss": {**_WINDOWED, "num_local_experts": 4},
    "granite": _TRANSFORMER,
    "lfm2": {**_TRANSFORMER, "layer_types": ["conv", "full_attention"]},
    "mamba2": {
        **_STATE_SPACE,
        "num_heads": 8,
        "head_dim": 8,
        "expand": 2,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "mixtral": {**_TRANSFORMER, "num_local_experts": 4},
    "olmo2": _TRANSFORMER,
    "opt": {**_TRANSFORMER, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "phimoe": {**_TRANSFORMER, "num_local_experts": 4},
    "qwen2": _TRANSFORMER,
    "smollm3": _TRANSFORMER,
    "stablelm": _TRANSFORMER,
}
if "prepare_inputs_for_generation" in vars(BloomForCausalLM):
    del CONFIGS["bloom"]  # an older version, in which the loop refuses it


def build(family: str, **changes):
    """Return a new float32 model of `family`, the same weights each time; changes: to its config.

    The weights are large, N(0, 0.4): with the library's own N(0, 0.02) every logit is about 0 and
    a wrong loop would choose the same tokens.
    """
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = CONFIG_MAPPING[family](**{**CONFIGS[family], **changes})
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.data.normal_(0, 0.4)
    return model


@cache
def tiny(family: str):
    """Return one shared model of `family`: for tests that leave it as it is."""
    return build(family)


@cache
def tiny_t5():
    """Return an encoder-decoder model, which the visible loop refuses."""
    config = T5Config(
        vocab_size=VOCAB,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=1,
        num_heads=4,
        decoder_start_token_id=PAD,
    )
    return T5ForConditionalGeneration(config).eval()

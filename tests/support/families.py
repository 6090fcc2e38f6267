"""Tiny models of many families, built in memory with large random weights: nothing to download."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    BloomForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from llmcourse.decoding.cache import LIBRARY

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

# More families, for the grid of `make parity` alone: all that are built in a second from a config
# like those above. What this library does not know is left out.
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_LATENT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8}
_ROUTED = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
_ALIKE = [
    (
        _TRANSFORMER,
        """
    apertus arcee aria_text beam bert bert-generation biogpt bitnet camembert cohere2
    cohere2_moe ctrl cwm data2vec-text diffllama doge electra ernie ernie4_5 exaone4
    flex_olmo flint fuyu gemma4_unified_text glm glm4 gpt-sw3 gpt_bigcode gpt_neox_japanese
    granite_swa granitemoe granitemoe_swa granitemoeshared helium hrm_text hunyuan_v1_dense
    hunyuan_v1_moe hyperclovax internlm3 iquestcoder jais2 jetmoe llama4_text megatron-bert
    minimax ministral ministral3 modernbert-decoder mpt nanochat nemotron olmo olmo3
    olmo_hybrid olmoe openai-gpt persimmon phi rembert roberta roberta-prelayernorm roformer
    rwkv seed_oss starcoder2 trocr vaultgemma xglm xlm-roberta xlm-roberta-xl
    """,
    ),
    ({**_TRANSFORMER, "num_key_value_heads": 4}, "minicpm3"),
    ({**_TRANSFORMER, "num_local_experts": 4}, "deepseek_v4 minimax_m3_vl_text"),
    (
        {**_TRANSFORMER, **_EXPERTS},
        """
    afmoe ernie4_5_moe exaone_moe glm4_moe hy_v3 kolibri1 laguna mellum mimo_v2_flash
    minimax_m2 nemotron_h qwen2_moe qwen3_moe solar_open
    """,
    ),
    (
        {**_TRANSFORMER, **_EXPERTS, **_LATENT, **_ROUTED, "v_head_dim": 8},
        "hy_v4 inkling2_text inkling_text",
    ),
]
MORE = {
    name: config for config, names in _ALIKE for name in names.split() if name in CONFIG_MAPPING
}
if "jamba" in CONFIG_MAPPING:
    MORE["jamba"] = {
        **_TRANSFORMER,
        "num_hidden_layers": 4,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 2,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    }
MORE["xlnet"] = {**_SPECIAL, "n_layer": 2, "n_head": 4, "d_model": 32, "d_inner": 64}
# It gives another cache back than it was given.
MORE["gpt2:cross"] = {**CONFIGS["gpt2"], "add_cross_attention": True}
# It has heads that predict several tokens (`use_mtp`).
WITH_HEADS = "glm4_moe:heads"
if LIBRARY >= (5, 23):
    MORE[WITH_HEADS] = {**_TRANSFORMER, **_EXPERTS, "n_routed_experts": 4}
FAMILIES = {**MORE, **CONFIGS}


def build(family: str, **changes):
    """Return a new float32 model of `family`, the same weights each time; changes: to its config.

    The weights are large, N(0, 0.4): with the library's own N(0, 0.02) every logit is about 0 and
    a wrong loop would choose the same tokens.
    """
    if family == WITH_HEADS and not changes:
        return with_heads()
    with torch.random.fork_rng():
        torch.manual_seed(2)
        kind = family.partition(":")[0]
        config = CONFIG_MAPPING[kind](**{**FAMILIES[family], **changes})
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.data.normal_(0, 0.4)
    return model


@cache
def tiny(family: str, dtype: str = "float32"):
    """Return one shared model of `family`: for tests that leave it as it is."""
    return build(family).to(getattr(torch, dtype))


_FOLDERS = []  # of models that `generate` reads from again, until this process ends


def with_heads(heads: int = 2):
    """Return a model of two layers, and of `heads` that predict the tokens after the next one.

    The library reads those from the model's folder in each call. They are layers of a larger
    model, each with a projection of its own.
    """
    _FOLDERS.append(TemporaryDirectory())
    folder = Path(_FOLDERS[-1].name)
    layers = range(2, 2 + heads)
    build(WITH_HEADS, num_hidden_layers=2 + heads, num_mtp_layers=heads).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    same = torch.eye(32)
    for layer in layers:
        name = f"model.layers.{layer}"
        for norm in ("enorm", "hnorm", "shared_head.norm"):
            weights[f"{name}.{norm}.weight"] = torch.ones(32)
        weights[f"{name}.eh_proj.weight"] = torch.cat([0.1 * same, same], dim=1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = 2
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model._keys_to_ignore_on_load_unexpected = [rf"model\.layers\.{layer}.*" for layer in layers]
    return model


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

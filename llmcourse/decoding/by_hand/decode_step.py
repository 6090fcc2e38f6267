"""A decode step written by hand: all that a Llama does between one token and the next.

`generate` and the visible loop can run any model with any rule. This runs one architecture, one
text at a time, greedily, in one graph, and nothing stands between the reader and the arithmetic;
compiled, nothing stands between the arithmetic and the memory.
"""

import shutil
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import silu

from llmcourse.decoding.by_hand.greedy import Greedy
from llmcourse.decoding.by_hand.llama_weights import (
    check_architecture,
    check_length,
    rounded_copy,
)
from llmcourse.decoding.by_hand.small_weights import Kind, Packed, kind_named


class Layer(NamedTuple):
    """One layer's weights, and its keys and values."""

    attention_norm: torch.Tensor  # (hidden,) float32
    qkv: Packed  # rows of the queries, then of the keys, then of the values
    attention_out: Packed
    mlp_norm: torch.Tensor  # (hidden,) float32
    gate_up: Packed  # rows of the gate, then of what it lets through
    down: Packed
    keys: torch.Tensor  # (key-value heads, max_length, head size) float32, written in each step
    values: torch.Tensor  # the same


class Weights(NamedTuple):
    """What a decode step reads."""

    layers: tuple[Layer, ...]
    embedding: Packed  # of which a step reads one row
    final_norm: torch.Tensor  # (hidden,) float32
    output: Packed  # (vocabulary, hidden): the largest matrix
    cos: torch.Tensor  # (max_length, head size) float32, how far each position turns
    sin: torch.Tensor
    epsilon: float  # of the norms
    times: Callable  # packed matrix, vector -> vector: how this kind of weights is multiplied
    row: Callable  # packed matrix, number -> one row


def rms_norm(x, weight, epsilon):
    return weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon))


def turned(heads, cos, sin):
    """Rotary embedding: turn each pair (first half, second half) by the position's angles."""
    first, second = heads.chunk(2, -1)
    return heads * cos + torch.cat([-second, first], -1) * sin


def attention(q, keys, values, position):
    """Let each query look at the positions up to this one; several queries share a head of keys."""
    kv_heads, length, size = keys.shape
    q = q.view(kv_heads, -1, 1, size)
    scores = (q * keys[:, None]).sum(-1) * size**-0.5  # (key-value heads, queries, length)
    later = torch.arange(length, device=keys.device) > position
    shares = scores.masked_fill(later, float("-inf")).softmax(-1)
    return (shares[..., None] * values[:, None]).sum(2).flatten()


def decode_step(w: Weights, token: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Read one token at its position and return the likeliest next one; all of them (1,) int64."""
    lin, cos, sin = w.times, w.cos[position], w.sin[position]
    x = w.row(w.embedding, token)
    for layer in w.layers:
        kv_heads, _, size = layer.keys.shape
        h = rms_norm(x, layer.attention_norm, w.epsilon)
        heads = lin(layer.qkv, h).view(-1, size)
        q, k, v = heads.split([len(heads) - 2 * kv_heads, kv_heads, kv_heads])
        layer.keys.index_copy_(1, position, turned(k, cos, sin)[:, None])
        layer.values.index_copy_(1, position, v[:, None])
        h = attention(turned(q, cos, sin), layer.keys, layer.values, position)
        x = x + lin(layer.attention_out, h)
        gate, up = lin(layer.gate_up, rms_norm(x, layer.mlp_norm, w.epsilon)).chunk(2)
        x = x + lin(layer.down, silu(gate) * up)
    logits = lin(w.output, rms_norm(x, w.final_norm, w.epsilon))
    return logits.argmax(-1, keepdim=True)


class DecodeStep(Greedy):
    """The decode step of one model, ready to run: batch 1, greedy.

    weights: "float32", "float16", "bfloat16", "int8" (rows with a scale each) or "int4" (groups of
    32, on the CPU). max_length: the most tokens, those of the prompt included. compiled: by
    `torch.compile` at the first step, which takes a minute and a C++ compiler on a CPU.
    Raises ValueError for another architecture, for weights of another name or that cannot be
    packed, for a length that the model has not learned, and RuntimeError where compiled=True finds
    no compiler.
    """

    def __init__(
        self, model, *, max_length: int = 256, weights: str = "int8", compiled: bool = False
    ):
        check_architecture(model)
        if compiled and model.device.type == "cpu":
            check_compiler()
        kind = kind_named(weights)
        self.max_length, self.vocabulary = max_length, model.config.vocab_size
        self.weights = packed(model, max_length, kind, kind.times if compiled else kind.eager)
        self.bytes_per_token = read_bytes(self.weights)
        self.run = decode_step
        if compiled:
            self.run = torch.compile(decode_step, fullgraph=True, dynamic=False)

    @torch.inference_mode()
    def step(self, token: int, position: int) -> int:
        """Read a token at its position and return the likeliest next one."""
        device = self.weights.cos.device
        numbers = (torch.tensor([number], device=device) for number in (token, position))
        return self.run(self.weights, *numbers).item()


def check_compiler() -> None:
    """Raise RuntimeError where there is no C++ compiler."""
    if not shutil.which("g++"):
        raise RuntimeError(
            "There is no C++ compiler (g++) on this machine; install one (Debian, Ubuntu: "
            "apt install g++), or take DecodeStep(..., compiled=False), which is slower."
        )


def dequantized(model, weights: str):
    """Return a float32 copy of the model whose matrices are those that `DecodeStep` multiplies.

    For the visible loop: the same numbers, by the library's own code. weights: as for `DecodeStep`,
    and raises what that raises.
    """
    kind = kind_named(weights)
    return rounded_copy(model, kind.rounded, kind.rounded)


@torch.no_grad()
def packed(model, max_length: int, kind: Kind, times: Callable) -> Weights:
    """Return a Llama's weights in one of the kinds, with room for max_length keys and values."""
    config, inner = model.config, model.model
    check_length(model, max_length)

    def matrix(*parts: nn.Linear) -> Packed:
        return kind.pack(torch.cat([part.weight for part in parts]).float())

    def packed_layer(layer) -> Layer:
        attn, mlp = layer.self_attn, layer.mlp
        room = (config.num_key_value_heads, max_length, attn.head_dim)
        return Layer(
            attention_norm=layer.input_layernorm.weight.float(),
            qkv=matrix(attn.q_proj, attn.k_proj, attn.v_proj),
            attention_out=matrix(attn.o_proj),
            mlp_norm=layer.post_attention_layernorm.weight.float(),
            gate_up=matrix(mlp.gate_proj, mlp.up_proj),
            down=matrix(mlp.down_proj),
            keys=torch.zeros(room, device=model.device),
            values=torch.zeros(room, device=model.device),
        )

    positions = torch.arange(max_length, device=model.device)[None]
    cos, sin = inner.rotary_emb(torch.zeros(1, device=model.device), positions)
    output = matrix(model.lm_head)
    one_matrix = config.tie_word_embeddings and kind.pack is kind.pack_table
    table = output if one_matrix else kind.pack_table(inner.embed_tokens.weight.float())
    return Weights(
        layers=tuple(map(packed_layer, inner.layers)),
        embedding=table,
        final_norm=inner.norm.weight.float(),
        output=output,
        cos=cos[0],
        sin=sin[0],
        epsilon=config.rms_norm_eps,
        times=times,
        row=kind.row,
    )


def read_bytes(w: Weights) -> int:
    """Return the bytes of all weights that a step reads: not the keys, of the table one row."""
    parts = [w.final_norm, *w.output]
    for layer in w.layers:
        parts += [layer.attention_norm, layer.mlp_norm]
        for matrix in (layer.qkv, layer.attention_out, layer.gate_up, layer.down):
            parts += matrix
    return sum(part.nbytes for part in parts) + sum(part[:1].nbytes for part in w.embedding)

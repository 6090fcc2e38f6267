"""The decode step as one function in C++: 4-bit weights in one stream, one parallel region a token.

The last rung. What `torch.compile` makes of the step hands the work to the threads once for each
matrix, and memory is read in pages of 4 kB. Here the threads stay together for the whole token, the
weights lie in the order in which they are read, in large pages, and are asked for early; they are
multiplied as the whole numbers that they are.
"""

import ctypes
import mmap
import subprocess
import tempfile
from pathlib import Path

import torch

from llmcourse.decoding.by_hand.decode_step import check_compiler
from llmcourse.decoding.by_hand.greedy import Greedy
from llmcourse.decoding.by_hand.llama_weights import (
    check_architecture,
    check_length,
    rounded_copy,
)

GROUP = 32  # columns that share a scale
BLOCK = 16  # rows that are multiplied at once
SMALLEST = 2.0**-14  # the smallest scale that float16 keeps with all of its digits
SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-fassociative-math",
    "-ffinite-math-only",
    "-fopenmp",
    "-shared",
    "-fPIC",
    "-Wno-psabi",
)


class Sizes(ctypes.Structure):
    """`Sizes` of native_step.cpp."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("layers", "hidden", "inner", "heads", "kv_heads")),
        *((name, ctypes.c_int32) for name in ("head_size", "vocabulary", "length", "threads")),
        ("epsilon", ctypes.c_float),
    ]


def four_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return levels (out, groups, 32) from 0 to 15, scale and low (out, groups, 1) float16.

    number = level * scale + low: what llama.cpp calls Q4_1, and weights that were rounded by it
    come through unchanged. weight: (out, in) float32.
    """
    groups = weight.view(len(weight), -1, GROUP)
    least, largest = groups.aminmax(dim=-1, keepdim=True)
    scale, low = ((largest - least) / 15).clamp(min=SMALLEST).half(), least.half()
    return ((groups - low.float()) / scale.float()).round().clamp(0, 15).int(), scale, low


def eight_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return levels (out, groups, 32) int8 and scale (out, groups, 1) float16: llama.cpp's Q8_0."""
    groups = weight.view(len(weight), -1, GROUP)
    scale = (groups.abs().amax(-1, keepdim=True) / 127).clamp(min=SMALLEST).half()
    return (groups / scale.float()).round().clamp(-128, 127).to(torch.int8), scale


def four_rounded(weight: torch.Tensor) -> torch.Tensor:
    """Return the nearest matrix that `four_bits` can keep."""
    levels, scale, low = four_bits(weight)
    return (levels * scale.float() + low.float()).view_as(weight)


def eight_rounded(weight: torch.Tensor) -> torch.Tensor:
    """Return the nearest matrix that `eight_bits` can keep."""
    levels, scale = eight_bits(weight)
    return (levels * scale.float()).view_as(weight)


def in_blocks(part: torch.Tensor) -> torch.Tensor:
    """Put the numbers of 16 rows side by side: (out, groups, n) -> (out / 16, groups, bytes)."""
    blocks = part.unflatten(0, (-1, BLOCK)).permute(0, 2, 3, 1)
    return blocks.contiguous().view(torch.uint8).flatten(2)


def in_words(levels: torch.Tensor, bits: int) -> torch.Tensor:
    """Put 32 / bits levels into each int32, neighbours into neighbouring bytes."""
    column = torch.arange(32 // bits, dtype=torch.int32)
    parts = levels.int().unflatten(-1, (-1, len(column))) << (column % 4 * 8 + column // 4 * 4)
    return parts.sum(-1, dtype=torch.int32)  # their bits do not overlap


def four_bytes(weight: torch.Tensor) -> torch.Tensor:
    """Return the bytes of `Four`, (n,) uint8."""
    levels, scale, low = four_bits(weight)
    return torch.cat([in_blocks(part) for part in (scale, low, in_words(levels, 4))], -1).flatten()


def eight_bytes(weight: torch.Tensor) -> torch.Tensor:
    """Return the bytes of `Eight`, (n,) uint8."""
    levels, scale = eight_bits(weight)
    words = in_words(levels.int() + 128, 8)
    return torch.cat([in_blocks(scale), in_blocks(words)], -1).flatten()


def in_turns(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return 16 rows of one matrix, 16 of the other, and so on; they are multiplied together."""
    parts = [matrix.unflatten(0, (-1, BLOCK)) for matrix in (first, second)]
    return torch.stack(parts, 1).flatten(0, 2)


def halves_in_turns(weight: torch.Tensor, head_size: int) -> torch.Tensor:
    """Return the rows of each head with 16 of its first half, 16 of its second, and so on."""
    first, second = weight.unflatten(0, (-1, 2, head_size // 2)).unbind(1)
    return in_turns(first.flatten(0, 1), second.flatten(0, 1))


def stream(model) -> torch.Tensor:
    """Return all weights of a step, (n,) uint8, in the order in which they are read."""
    parts = []
    for layer in model.model.layers:
        attn, mlp = layer.self_attn, layer.mlp
        qk = (halves_in_turns(one.weight, attn.head_dim) for one in (attn.q_proj, attn.k_proj))
        qkv = torch.cat([*qk, attn.v_proj.weight])
        gate_up = in_turns(mlp.gate_proj.weight, mlp.up_proj.weight)
        parts += [
            layer.input_layernorm.weight.float().view(torch.uint8),
            four_bytes(qkv.float()),
            four_bytes(attn.o_proj.weight.float()),
            layer.post_attention_layernorm.weight.float().view(torch.uint8),
            four_bytes(gate_up.float()),
            four_bytes(mlp.down_proj.weight.float()),
        ]
    parts += [model.model.norm.weight.float().view(torch.uint8)]
    return torch.cat([*parts, eight_bytes(model.lm_head.weight.float())])


def in_large_pages(bytes_: torch.Tensor) -> torch.Tensor:
    """Return a copy, (n,) uint8, in pages of 2 MB where the system has them."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return bytes_.clone()
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # what is shared, Linux keeps in small pages
    room = mmap.mmap(-1, bytes_.nbytes, flags=private)
    room.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(room, dtype=torch.uint8).copy_(bytes_)


def built():
    """Compile native_step.cpp for this processor and return its function; takes some seconds.

    Raises RuntimeError where there is no compiler, or where it fails.
    """
    check_compiler()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "native_step.so"
        command = ["g++", *FLAGS, str(SOURCE), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"g++ could not compile {SOURCE.name}:\n{done.stderr[-2000:]}")
        return ctypes.CDLL(str(library)).decode_step


class NativeStep(Greedy):
    """A Llama's decode step in C++, with 4-bit layers and an 8-bit output matrix; batch 1, greedy.

    Activations, keys and values are float32; in a product each has 24 bits, a step for every 32.
    max_length: the most tokens, those of the prompt included. threads: torch's number if None.
    `dequantized` gives the model with the same weights.
    Raises ValueError for another architecture, for sizes that cannot be cut into blocks of 16 rows
    and groups of 32 columns, for a length that the model has not learned; RuntimeError where there
    is no compiler.
    """

    def __init__(self, model, *, max_length: int = 256, threads: int | None = None):
        check_architecture(model)
        check_length(model, max_length)
        if model.device.type != "cpu":
            raise ValueError(f"The native step runs on the CPU; the model is on {model.device}.")
        config = model.config
        self.max_length, self.vocabulary = max_length, config.vocab_size
        self.sizes = Sizes(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_size=model.model.layers[0].self_attn.head_dim,
            vocabulary=config.vocab_size,
            length=max_length,
            threads=threads or torch.get_num_threads(),
            epsilon=config.rms_norm_eps,
        )
        self._check_sizes()
        self.function = built()
        self._pack(model)

    def _check_sizes(self) -> None:
        """Raise ValueError for sizes that cannot be cut."""
        for name in ("hidden", "inner", "head_size", "vocabulary"):
            cut = BLOCK if name == "vocabulary" else GROUP
            if (size := getattr(self.sizes, name)) % cut:
                raise ValueError(
                    f"The native step needs {name} in multiples of {cut}; it is {size}."
                )

    @torch.no_grad()
    def _pack(self, model) -> None:
        sizes, table = self.sizes, model.model.embed_tokens.weight
        self.weights = in_large_pages(stream(model))
        self.bytes_per_token = self.weights.nbytes
        output = self.weights[-sizes.vocabulary * sizes.hidden * (GROUP + 2) // GROUP :]
        tied = table.data_ptr() == model.lm_head.weight.data_ptr()
        self.table = output if tied else eight_bytes(table.float())
        positions = torch.arange(self.max_length)[None]
        self.cos, self.sin = (  # both halves of a head turn by the same angles
            part[0].chunk(2, -1)[0].contiguous()
            for part in model.model.rotary_emb(torch.zeros(1), positions)
        )
        room = (sizes.layers, self.max_length, 2, sizes.kv_heads, sizes.head_size)
        self.past = torch.zeros(room)

    def step(self, token: int, position: int) -> int:
        """Read a token at its position and return the likeliest next one."""
        parts = (self.weights, self.table, self.cos, self.sin, self.past)
        pointers = (ctypes.c_void_p(part.data_ptr()) for part in parts)
        return self.function(ctypes.byref(self.sizes), *pointers, token, position)

    @staticmethod
    def dequantized(model):
        """Return a float32 copy of the model with the step's weights, for the visible loop."""
        return rounded_copy(model, four_rounded, eight_rounded)

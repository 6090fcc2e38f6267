"""Matrices in fewer bytes: how their numbers are rounded, kept, and multiplied with a vector.

At batch 1 a decode step reads every weight once and does next to nothing with it, so that its speed
is the memory's divided by the bytes. Each kind has a `pack`, a `times` that multiplies, and a `row`
that gives one row back as float32; `rounded` says which numbers a kind can keep.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

GROUP = 32  # numbers of a row that share a scale, in the kind "int4"

Packed = tuple[torch.Tensor, ...]


class Kind(NamedTuple):
    """One way to keep a matrix of (out, in) float32."""

    rounded: Callable[[torch.Tensor], torch.Tensor]  # the nearest matrix that it can keep, float32
    pack: Callable[[torch.Tensor], Packed]  # what `times` reads
    times: Callable[[Packed, torch.Tensor], torch.Tensor]  # packed, x (in,) -> (out,) float32
    eager: Callable[[Packed, torch.Tensor], torch.Tensor]  # the same where nothing is compiled
    pack_table: Callable[[torch.Tensor], Packed]  # what `row` reads; where it can, the same tensors
    row: Callable[
        [Packed, torch.Tensor], torch.Tensor
    ]  # packed, number (1,) int64 -> (in,) float32


def row_sum(w: Packed, x: torch.Tensor) -> torch.Tensor:
    """Multiply rows with a vector: w[0] (out, in) of any type, w[1] (out,) float32 scales, x (in,).

    For `torch.compile`, which makes one pass over the rows as they are stored out of it.
    """
    return (w[0].float() * x).sum(-1) * w[1]


def rows_in_pieces(w: Packed, x: torch.Tensor) -> torch.Tensor:
    """Return what `row_sum` does, without a compiler: a few rows at a time become float32."""
    return torch.cat([rows.float() @ x for rows in w[0].split(2048)]) * w[1]


def scaled_row(w: Packed, number: torch.Tensor) -> torch.Tensor:
    """Return one row of what `row_sum` multiplies; number: (1,) int64."""
    return (w[0][number].float() * w[1][number, None])[0]


def int8_rows(weight: torch.Tensor) -> Packed:
    """Return (out, in) int8 and (out,) float32: each row in 255 steps around 0, by its largest."""
    scales = (weight.float().abs().amax(-1) / 127).clamp(min=1e-12)
    return (weight / scales[:, None]).round().to(torch.int8), scales


def int4_groups(weight: torch.Tensor) -> Packed:
    """Return levels (out, groups, 32) uint8 from 0 to 15, and scale and low (out, groups, 1).

    Each group of 32 numbers has 16 levels from its least to its largest number. scale and low are
    bfloat16, in which torch's own product reads them: number = (level - 8) * scale + low. Raises
    ValueError if a row cannot be cut into groups.
    """
    if weight.shape[1] % GROUP:
        raise ValueError(
            f"int4 keeps groups of {GROUP}, and rows of {weight.shape[1]} numbers cannot be cut "
            "into them; take int8."
        )
    groups = weight.float().view(len(weight), -1, GROUP)
    least, largest = groups.aminmax(dim=-1, keepdim=True)
    scale = ((largest - least) / 15).clamp(min=1e-12).bfloat16()
    low = (least + 8 * scale.float()).bfloat16()
    levels = ((groups - low.float()) / scale.float() + 8).round().clamp(0, 15)
    return levels.to(torch.uint8), scale, low


def group_row(w: Packed, number: torch.Tensor) -> torch.Tensor:
    """Return one row of what `int4_groups` gave; number: (1,) int64."""
    levels, scale, low = (part[number] for part in w)
    return ((levels.float() - 8) * scale.float() + low.float()).flatten()


def int4_packed(weight: torch.Tensor) -> Packed:
    """Return two numbers a byte, in the order that torch's product reads, and scales and lows.

    Raises ValueError for rows that are not a multiple of 16, which that product cannot read.
    """
    if len(weight) % 16:
        raise ValueError(
            f"torch's int4 product reads 16 rows at a time, and a matrix here has {len(weight)} "
            "rows; take int8."
        )
    levels, scale, low = int4_groups(weight)
    flat = levels.flatten(1).int()
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(flat, 1)
    return packed, torch.cat([scale, low], -1).transpose(0, 1).contiguous()


def int4_times(w: Packed, x: torch.Tensor) -> torch.Tensor:
    """Multiply with x (in,), which is rounded to bfloat16 first; for the CPU alone."""
    rows = torch.ops.aten._weight_int4pack_mm_for_cpu(x.bfloat16()[None], w[0], GROUP, w[1])
    return rows[0].float()


def _float_kind(dtype: torch.dtype) -> Kind:
    def pack(weight: torch.Tensor) -> Packed:
        return weight.to(dtype), torch.ones(len(weight), device=weight.device)

    return Kind(
        lambda weight: weight.to(dtype).float(), pack, row_sum, rows_in_pieces, pack, scaled_row
    )


def _int8_rounded(weight: torch.Tensor) -> torch.Tensor:
    levels, scales = int8_rows(weight)
    return levels.float() * scales[:, None]


def _int4_rounded(weight: torch.Tensor) -> torch.Tensor:
    return group_row(int4_groups(weight), torch.arange(len(weight), device=weight.device)).view_as(
        weight
    )


KINDS = {
    "float32": _float_kind(torch.float32),
    "float16": _float_kind(torch.float16),
    "bfloat16": _float_kind(torch.bfloat16),
    "int8": Kind(_int8_rounded, int8_rows, row_sum, rows_in_pieces, int8_rows, scaled_row),
    "int4": Kind(_int4_rounded, int4_packed, int4_times, int4_times, int4_groups, group_row),
}


def kind_named(name: str) -> Kind:
    """Return one of KINDS; raises ValueError for another name."""
    if name not in KINDS:
        raise ValueError(f"weights={name!r} is not known; take one of {', '.join(KINDS)}.")
    return KINDS[name]

"""What memory a call takes: the weights, the cache, and the most that was in use besides."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from llmcourse.decoding.cache import cache_in
from llmcourse.measure.cache_size import held_bytes, storage_bytes, tensors_in
from llmcourse.measure.pace import some_ids, wait_for
from llmcourse.show import amount


@dataclass(frozen=True)
class Memory:
    """Bytes of one forward pass over the prompts."""

    weights: int  # parameters and buffers, scales of quantized layers included
    cache: int  # keys and values, or states, after the pass
    activations: int  # the most that was in use at once besides both

    @property
    def peak(self) -> int:
        """The most that was in use at once."""
        return self.weights + self.cache + self.activations

    def __repr__(self) -> str:
        parts = {"weights": self.weights, "cache": self.cache, "activations": self.activations}
        said = ", ".join(f"{name} {amount(size)}" for name, size in parts.items())
        return f"Memory: {said}; {amount(self.peak)} at the peak"


def peak_memory(
    model,
    input_ids: torch.Tensor | None = None,
    *,
    rows: int = 1,
    prompt_tokens: int = 64,
    **arguments,
) -> Memory:
    """Read the prompts once and return the bytes that it took.

    input_ids: (rows, tokens) int64; without them ids are drawn. arguments: more of the forward
    pass, such as `logits_to_keep=1`, which is what `generate` asks for. Of a CPU the allocations
    that torch makes are counted (with its profiler), of a CUDA GPU those of torch's own record.
    Raises ValueError on other devices.
    """
    ids = some_ids(model, rows, prompt_tokens) if input_ids is None else input_ids
    arguments = {"use_cache": True, "attention_mask": torch.ones_like(ids), **arguments}
    count = {"cpu": _peak_on_cpu, "cuda": _peak_on_cuda}.get(ids.device.type)
    if count is None:
        raise ValueError(f"memory on {ids.device.type!r} is not counted; use a CPU or a CUDA GPU.")
    with torch.no_grad():
        peak, output = count(lambda: model(ids, **arguments), ids.device)
    cache = held_bytes(cache_in(output))
    return Memory(weight_bytes(model), cache, max(0, peak - cache))


def _peak_on_cpu(run, device):
    """Return (the most bytes that were allocated at once during the run, what it returns)."""
    from torch.profiler import ProfilerActivity, profile

    seen = profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True)
    with _silent_stderr():
        seen.start()
    try:
        output = run()
    finally:
        with _silent_stderr():
            seen.stop()
    now, most = 0, 0
    for event in sorted(_allocations(seen), key=lambda event: event[0]):
        now += event[1]
        most = max(most, now)
    return most, output


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep out what torch's profiler writes to the descriptor itself when it starts and stops."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _allocations(seen):
    """Yield (time, bytes) of what was allocated, negative where it was freed."""
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            yield event.start_ns(), event.nbytes()


def _peak_on_cuda(run, device):
    wait_for(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    output = run()
    wait_for(device)
    return torch.cuda.max_memory_allocated(device) - before, output


def weight_bytes(model) -> int:
    """Return the bytes of a model's parameters and buffers; what is tied is counted once.

    The packed numbers of bitsandbytes' layers are counted with their scales, which
    `get_memory_footprint` leaves out.
    """
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        tensors += tensors_in(getattr(parameter, "quant_state", None))
        tensors += tensors_in([getattr(parameter, name, None) for name in ("CB", "SCB")])
    return storage_bytes(tensors)

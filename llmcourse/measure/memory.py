"""What memory a call takes: the weights, the cache, and the most that was in use besides."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from llmcourse.decoding.cache import CACHE_NAMES, cache_in
from llmcourse.decoding.ingredients import ingredients
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
    settings: Mapping[str, Any] | None = None,
    **arguments,
) -> Memory:
    """Read the prompts once and return the bytes that it took.

    input_ids: (rows, tokens) int64; without them ids are drawn. settings: what `llmcourse.steps`
    takes; the pass has the cache that they ask for, such as a static one for all of
    `max_new_tokens`, or none. arguments: more of the forward pass, such as `logits_to_keep=1`,
    which is what `generate` asks for. Of a CPU the allocations that torch makes are counted (with
    its profiler), of a CUDA GPU those of torch's own record. Raises ValueError on other devices.
    """
    ids = some_ids(model, rows, prompt_tokens) if input_ids is None else input_ids
    count = {"cpu": _peak_on_cpu, "cuda": _peak_on_cuda}.get(ids.device.type)
    if count is None:
        raise ValueError(f"memory on {ids.device.type!r} is not counted; use a CPU or a CUDA GPU.")
    peak, output = count(lambda: _pass(model, ids, settings or {}, arguments), ids.device)
    cache = held_bytes(cache_in(output))
    return Memory(weight_bytes(model), cache, max(0, peak - cache))


def cache_after(model, input_ids: torch.Tensor, **settings) -> int:
    """Return the bytes of the cache that settings of `llmcourse.steps` ask for, after the prompts.

    input_ids: (rows, tokens) int64, which are read once.
    """
    return held_bytes(cache_in(_pass(model, input_ids, settings, {})))


@torch.no_grad()
def _pass(model, ids: torch.Tensor, settings: Mapping[str, Any], arguments: Mapping[str, Any]):
    """Return what a model gives back that reads prompts into the cache which settings ask for."""
    mask = torch.ones_like(ids)
    call: dict[str, Any] = {"use_cache": True, "attention_mask": mask}
    if settings:
        asked = {"do_sample": False, "pad_token_id": 0, **settings}
        made = ingredients(model, ids, attention_mask=mask, **asked)
        caches = {name: made.model_kwargs.get(name) for name in CACHE_NAMES}
        call |= {name: cache for name, cache in caches.items() if cache is not None}
        call["use_cache"] = made.generation_config.use_cache
    return model(ids, **call | dict(arguments))


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
    `get_memory_footprint` leaves out. With 8 bits the first pass moves them to the layer's state.
    """
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        tensors += tensors_in(getattr(parameter, "quant_state", None))
        tensors += tensors_in([getattr(parameter, name, None) for name in ("CB", "SCB")])
    for part in model.modules():
        tensors += tensors_in(getattr(part, "state", None))
    return storage_bytes(tensors)


def held_bytes(cache) -> int:
    """Return the bytes of the keys, values and states that a cache holds; 0 for None."""
    kept = {id(tensor): tensor.nbytes for tensor in tensors_in(cache) if tensor.ndim}
    return sum(kept.values())


def storage_bytes(tensors) -> int:
    """Return the bytes of memory behind tensors, each place once, however many look at it."""
    storages = [part.untyped_storage() for tensor in tensors for part in plain_parts(tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def plain_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the plain tensors in a tensor subclass, such as torchao's; else the tensor itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in plain_parts(getattr(tensor, name))]


def tensors_in(thing, depth: int = 8) -> list[torch.Tensor]:
    """Return the tensors in an object of the libraries, in lists, dicts and attributes."""
    if isinstance(thing, torch.Tensor):
        return [thing]
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, list | tuple):
        parts = list(thing)
    elif type(thing).__module__.split(".")[0] in ("transformers", "bitsandbytes"):
        parts = list(vars(thing).values())
    else:
        return []
    return [tensor for part in parts for tensor in tensors_in(part, depth - 1)] if depth else []

"""What this machine is, and how fast it reads its memory: the limit of decoding at batch 1."""

import importlib.metadata
import os
import platform
import re
import time
from pathlib import Path

import torch

from llmcourse.measure.figure import Figure
from llmcourse.measure.pace import wait_for

PACKAGES = ("torch", "transformers", "bitsandbytes", "llmcourse")
GIGABYTE = 10**9


def read_bandwidth(
    device: "torch.device | str" = "cpu", *, size: int = GIGABYTE, rounds: int = 7
) -> Figure:
    """Read `size` bytes `rounds` times and return how many GB a second that was.

    They are summed, row by row, by as many threads as torch has. `size` should be several times the
    processor's cache, or it is the cache that is measured. It is what torch reaches, and a lower
    bound of what the memory gives. Raises ValueError for a size under 1 MB.
    """
    if size < 10**6:
        raise ValueError(f"size={size} bytes must be at least 1,000,000.")
    device = torch.device(device)
    numbers = torch.ones(1024, size // 4096, device=device)
    seconds = [_seconds_of(lambda: numbers.sum(dim=1), device) for _ in range(rounds + 1)]
    read = numbers.nbytes / GIGABYTE
    return Figure(tuple(read / each for each in seconds[1:]), "GB/s")


def _seconds_of(run, device: torch.device) -> float:
    """Return how long a run takes; on a CUDA GPU by its own clock, without the way there."""
    wait_for(device)
    if device.type == "cuda":
        with torch.cuda.device(device):
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            began.record()
            run()
            ended.record()
        ended.synchronize()
        return began.elapsed_time(ended) / 1000
    started = time.perf_counter()
    run()
    wait_for(device)
    return time.perf_counter() - started


def describe_machine(device: "torch.device | str" = "cpu") -> dict[str, str | int | float]:
    """Return what a figure depends on: processor, threads, memory, device, packages."""
    import psutil

    device = torch.device(device)
    described = {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(psutil.virtual_memory().total / GIGABYTE, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "system": platform.system(),
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        try:
            described[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return described


def machine_name(described: dict) -> str:
    """Return a short name for files: `intel-xeon-2-threads`, or that of the GPU.

    described: what `describe_machine` returns.
    """
    of_cpu = described["device"] == "cpu"
    named = f"{described['processor']} {described['threads']} threads"
    words = re.sub(r"\((r|tm)\)|\b(cpu|processor)\b|@.*?hz", " ", named.lower(), flags=re.I)
    kept = words if of_cpu else str(described["device"]).lower()
    return re.sub(r"[^a-z0-9]+", "-", kept).strip("-")


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name as Linux has it, else what Python knows."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())

"""What this machine has, and what to do where it lacks something."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmcourse.models import fetch

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "bitsandbytes",
    "accelerate",
    "jupyterlab",
    "ipywidgets",
    "nbval",
)
GB = 10**9
MODEL_NEEDS_GB = 1.0  # Python with torch and transformers, and the course's model in float32


@dataclass(frozen=True)
class Finding:
    """One line of `check`: `status` is "ok", "note" (nothing to do) or "fix" (`value` says how)."""

    status: str
    subject: str
    value: str

    def __str__(self) -> str:
        return f"{self.status:<5} {self.subject:<13} {self.value}"


def check() -> Iterator[Finding]:
    """Yield what was found: Python, packages, processor, memory, disk, and the model."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}")
    yield from map(package, PACKAGES)
    yield device()
    yield memory()
    yield from model()


def package(name: str) -> Finding:
    """Compare an installed version with the range that `llmcourse` asks for."""
    wanted, extra = wanted_range(name)
    option = f'"llmcourse[{extra}]"' if extra else f'"{name}{wanted}"'
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        absent = f"not installed: `pip install {option}`"
        return Finding("note" if extra else "fix", name, absent)
    if not wanted.contains(version, prereleases=True):
        return Finding("fix", name, f"{version}, but {wanted} is needed: `pip install {option}`")
    return Finding("ok", name, version)


def wanted_range(name: str) -> tuple:
    """Return (the versions that `llmcourse` asks for, the extra that asks for them or "")."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    try:
        lines = importlib.metadata.requires("llmcourse") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout, not installed
        return SpecifierSet(), ""
    for wanted in map(Requirement, lines):
        if wanted.name.lower() == name:
            extra = str(wanted.marker or "").partition("extra == ")[2].strip("'\" ")
            return wanted.specifier, extra
    return SpecifierSet(), ""


def device() -> Finding:
    """Say where models will run: a GPU by name, or the CPU."""
    try:
        import torch
    except ImportError as error:
        return Finding("fix", "device", f"torch does not import ({error}): install it again")
    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        named = ", ".join(f"{gpu.name} ({gpu.total_memory / GB:.0f} GB)" for gpu in gpus)
        return Finding("ok", "device", f"cuda: {named}")
    if torch.backends.mps.is_available():
        return Finding("ok", "device", f"mps: {platform.machine()}")
    return Finding("ok", "device", f"cpu: {torch.get_num_threads()} threads, no GPU (none needed)")


def memory() -> Finding:
    """Say how much memory there is, a container's limit included, and whether it is enough."""
    import psutil

    system = psutil.virtual_memory()
    limit, used = container_memory()
    total = min(system.total, limit)
    available = min(system.available, limit - used)
    text = f"{available / GB:.1f} GB available of {total / GB:.1f} GB"
    if available < MODEL_NEEDS_GB * GB:
        text += f"; the lessons need {MODEL_NEEDS_GB:.0f} GB: close other programs or notebooks"
        return Finding("fix", "memory", text)
    return Finding("ok", "memory", text)


def container_memory(root: Path = Path("/sys/fs/cgroup")) -> tuple[float, float]:
    """Return (limit, in use) in bytes as Linux control groups count them; (inf, 0) without a limit.

    In use is what processes hold themselves: cached files make room when it is needed.
    """
    for limit, statistics, held in (
        (root / "memory.max", root / "memory.stat", "anon"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.stat", "rss"),
    ):
        try:
            lines = map(str.split, statistics.read_text().splitlines())
            return float(limit.read_text()), float(dict(lines)[held])
        except (OSError, ValueError, KeyError):  # not Linux, no container, or the limit is "max"
            continue
    return float("inf"), 0.0


def model() -> Iterator[Finding]:
    """Say which model `load()` takes, whether it is intact, and whether there is room for it."""
    chosen = os.environ.get("LLMCOURSE_MODEL")
    if chosen:
        yield Finding("note", "model", f"LLMCOURSE_MODEL={chosen} is what load() takes")
    try:
        folder = fetch.cache_folder() / fetch.FOLDER
    except OSError as error:
        yield Finding("fix", "cache", str(error))
        return
    trouble = fetch.what_is_wrong(folder)
    if trouble is None:
        yield Finding("ok", "model", f"intact in {folder}")
    else:
        status = "note" if chosen else "fix"
        yield Finding(status, "model", f"{folder}: {trouble}; run `python -m llmcourse fetch`")
    yield disk(folder, needed_mb=0 if trouble is None else fetch.NEEDED_MB)


def disk(folder: Path, needed_mb: int) -> Finding:
    """Say how much room there is where the model is, or is to be."""
    there = next(parent for parent in folder.parents if os.path.exists(parent))
    free = shutil.disk_usage(there).free // fetch.MB
    if free < needed_mb:
        advice = "free some space, or set LLMCOURSE_CACHE to a folder elsewhere"
        return Finding("fix", "disk", f"{free} MB free, {needed_mb} MB needed: {advice}")
    return Finding("ok", "disk", f"{free} MB free in {there}")

"""Our rungs of the ladder, each a process: the naive loop, the cache, small weights, the own step.

    python -m benchmarks.rungs --list       their names, slowest idea first, as JSON
    python -m benchmarks.rungs float32      run one: see protocol.py

What inductor compiles is kept in a folder (TORCHINDUCTOR_CACHE_DIR if that is set), so that a
second process of the same rung does not compile again.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.protocol import serve_timed, timed

BASE = "float32"  # with a cache: what the others are compared with
COMPILED = "compiled"  # in the name of each rung that compiles for a minute
LENGTH = 128  # tokens that a step written by hand has room for
WAIT_AWAKE = {  # threads that wait for the next product without sleeping, each on its own core
    "OMP_WAIT_POLICY": "active",
    "GOMP_SPINCOUNT": "infinite",
    "OMP_PROC_BIND": "true",
}
CPP_WRAPPER = {"TORCHINDUCTOR_CPP_WRAPPER": "1"}  # inductor calls its kernels from C++
CACHE = Path(tempfile.gettempdir()) / "llmcourse-inductor"


@dataclass(frozen=True)
class Rung:
    """One way to decode."""

    name: str
    load: Callable[[], tuple[Callable, int]]  # -> what answers a question, weight bytes of a step
    weights: str = BASE  # a kind of `dequantized`: what the visible loop has to run
    environment: dict[str, str] = field(default_factory=dict)  # set before torch is imported

    @property
    def compiled(self) -> bool:
        return COMPILED in self.name


def by_loop(model, **call) -> Callable:
    """Return an answer by the visible loop."""
    import torch

    import llmcourse

    def stream(prompt: list[int], new_tokens: int) -> Iterator[int]:
        settings = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
        for step in llmcourse.steps(model, torch.tensor([prompt]), **settings, **call):
            yield int(step.chosen[0])

    return partial(timed, stream)


def by_generate(model) -> Callable:
    """Return an answer by the library's `generate`, with a streamer that looks at the clock."""
    import torch
    from transformers.generation.streamers import BaseStreamer

    class Clock(BaseStreamer):
        def __init__(self):
            self.times = []

        def put(self, value):  # the prompt, then each new token
            self.times.append(time.perf_counter())

        def end(self):
            pass

    def answer(prompt: list[int], new_tokens: int) -> dict:
        clock, started = Clock(), time.perf_counter()
        settings = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
        ids = model.generate(torch.tensor([prompt]), streamer=clock, **settings)
        first, last = clock.times[1], clock.times[-1]
        tokens = ids[0, len(prompt) :].tolist()
        return {"tokens": tokens, "first": first - started, "rest": last - first}

    return answer


def library(dtype: str | None = BASE, *, quantize: str | None = None, way=by_loop, **call):
    """Return a function that loads the model, to be run in that way."""

    def load():
        import llmcourse
        from llmcourse.measure import reads

        model, _ = llmcourse.load(dtype=dtype, quantize=quantize)
        return way(model, **call), reads(model, 1).weights

    return load


def static_and_compiled() -> dict:
    """Return the settings of a static cache and a compiled forward pass."""
    from llmcourse.measure.settings import CALLED

    return CALLED["compiled"]


def library_compiled(dtype: str):
    """Return a function that loads the model; the library compiles its forward pass."""
    return lambda: library(dtype, **static_and_compiled())()


def dynamic_linears(dtype: str):
    """Return a function that quantizes all linear layers with torch's one line."""

    def load():
        import torch
        from torch.ao.quantization import quantize_dynamic

        import llmcourse
        from llmcourse.measure import reads

        model, _ = llmcourse.load()
        size = {"qint8": 1, "float16": 2}[dtype]
        weight_bytes = reads(model, 1).weights * size // 4  # the norms' too: 0.1% of them
        model = quantize_dynamic(model, {torch.nn.Linear}, dtype=getattr(torch, dtype))
        return by_loop(model), weight_bytes

    return load


def row_sums(weights: str):
    """Return a function that gives the library's model other linear layers, and compiles it."""

    def load():
        import torch
        from torch import nn
        from torch.nn.functional import linear

        import llmcourse
        from llmcourse.decoding.small_weights import KINDS

        kind, read = KINDS[weights], 0

        class RowSum(nn.Module):
            def __init__(self, weight: torch.Tensor):
                super().__init__()
                self.rows, self.scales = (nn.Buffer(part) for part in kind.pack(weight))

            def forward(self, x):
                if x.shape[:-1].numel() == 1:  # one token; a prompt has several
                    return (self.rows.float() * x).sum(-1).view(*x.shape[:-1], -1) * self.scales
                return linear(x, self.rows.float() * self.scales[:, None])

        model, _ = llmcourse.load()
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear):
                model.set_submodule(name, RowSum(module.weight.detach()))
                read += sum(part.nbytes for part in model.get_submodule(name).buffers())
        return by_loop(model, **static_and_compiled()), read

    return load


def own_step(weights: str):
    """Return a function that makes and compiles the decode step written by hand."""

    def load():
        import llmcourse
        from llmcourse.decoding.decode_step import DecodeStep

        step = DecodeStep(llmcourse.load()[0], max_length=LENGTH, weights=weights, compiled=True)
        return partial(timed, step.stream), step.bytes_per_token

    return load


def native_step():
    """Make the decode step in C++. The course's weights come through its 4 bits unchanged."""
    import llmcourse
    from llmcourse.decoding.native_step import NativeStep

    step = NativeStep(llmcourse.load()[0], max_length=LENGTH)
    return partial(timed, step.stream), step.bytes_per_token


RUNGS = (
    Rung("no cache, float32", library(use_cache=False)),
    Rung("no cache, bfloat16", library("bfloat16", use_cache=False), "bfloat16"),
    Rung("generate, float32", library(way=by_generate)),
    Rung(BASE, library()),
    Rung("bfloat16", library("bfloat16"), "bfloat16"),
    Rung("static cache, compiled, bfloat16", library_compiled("bfloat16"), "bfloat16"),
    Rung("bitsandbytes, int8", library("float16", quantize="8bit")),
    Rung("bitsandbytes, NF4", library(quantize="4bit")),
    Rung("torch.ao linears, float16", dynamic_linears("float16"), "float16"),
    Rung("torch.ao linears, int8", dynamic_linears("qint8")),
    Rung("row sums, compiled, float32", row_sums("float32")),
    Rung("row sums, compiled, float16", row_sums("float16"), "float16"),
    Rung("row sums, compiled, int8", row_sums("int8"), "int8"),
    Rung("own step, compiled, float32", own_step("float32"), environment=WAIT_AWAKE),
    Rung("own step, compiled, float16", own_step("float16"), "float16", WAIT_AWAKE),
    Rung("own step, compiled, int8, threads sleep", own_step("int8"), "int8"),
    Rung("own step, compiled, int8", own_step("int8"), "int8", WAIT_AWAKE),
    Rung("own step, compiled, int4, threads sleep", own_step("int4"), "int4"),
    Rung("own step, compiled, int4", own_step("int4"), "int4", WAIT_AWAKE),
    Rung("own step, compiled, int8, C++ calls", own_step("int8"), "int8", WAIT_AWAKE | CPP_WRAPPER),
    Rung("own step, compiled, int4, C++ calls", own_step("int4"), "int4", WAIT_AWAKE | CPP_WRAPPER),
    Rung("own step in C++, 4 bits, threads sleep", native_step),
    Rung("own step in C++, 4 bits", native_step, environment=WAIT_AWAKE),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=[rung.name for rung in RUNGS])
    parser.add_argument("--list", action="store_true", help="the names, as JSON")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.list or not args.name:
        print(json.dumps([{"name": one.name, "compiled": one.compiled} for one in RUNGS]))
        return
    (rung,) = (one for one in RUNGS if one.name == args.name)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(CACHE))
    os.environ.update({"OMP_NUM_THREADS": str(args.threads), **rung.environment})
    if rung.compiled:
        print(f"compiled code is kept in {os.environ['TORCHINDUCTOR_CACHE_DIR']}", file=sys.stderr)
    run(rung, args.threads)


def run(rung: Rung, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    answer, weight_bytes = rung.load()
    about = {"version": f"torch {torch.__version__}", "threads": threads, "weights": rung.weights}
    serve_timed(answer, name=rung.name, weight_bytes=weight_bytes, **about)


if __name__ == "__main__":
    main()

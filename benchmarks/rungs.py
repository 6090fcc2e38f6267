"""Our rungs of the ladder, each a process: the naive loop, the cache, small weights, the own step.

python -m benchmarks.rungs --list       their names, slowest idea first, as JSON
python -m benchmarks.rungs float32      run one: see protocol.py
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BASE = "float32"  # with a cache: what the others are compared with
COMPILED = "compiled"  # in the name of each rung that compiles


@dataclass(frozen=True)
class Rung:
    """One way to decode."""

    name: str
    load: Callable[[], tuple]  # -> the way to run, weight bytes of a step
    weights: str = BASE  # a kind of `dequantized`: what the visible loop has to run
    spins: bool = False  # whether its threads wait for the next product without sleeping

    @property
    def compiled(self) -> bool:
        return COMPILED in self.name


def library(dtype: str = "float32", **call):
    """Return a function that loads the model; the visible loop runs it."""

    def load():
        import llmcourse
        from llmcourse.measure import reads

        model, _ = llmcourse.load(dtype=dtype)

        def stream(prompt: list[int], new_tokens: int) -> Iterator[int]:
            import torch

            settings = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
            for step in llmcourse.steps(model, torch.tensor([prompt]), **settings, **call):
                yield int(step.chosen[0])

        return stream, reads(model, 1).weights

    return load


def own_step(weights: str):
    """Return a function that makes and compiles the decode step written by hand."""

    def load():
        import llmcourse
        from llmcourse.decoding.decode_step import DecodeStep

        step = DecodeStep(llmcourse.load()[0], max_length=128, weights=weights, compiled=True)
        return step.stream, step.bytes_per_token

    return load


RUNGS = (
    Rung("no cache, float32", library(use_cache=False)),
    Rung(BASE, library()),
    Rung("bfloat16", library("bfloat16"), "bfloat16"),
    Rung("own step, compiled, float32", own_step("float32"), spins=True),
    Rung("own step, compiled, float16", own_step("float16"), "float16", spins=True),
    Rung("own step, compiled, int8", own_step("int8"), "int8", spins=True),
    Rung("own step, compiled, int4", own_step("int4"), "int4", spins=True),
)
SPINNING = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "infinite", "OMP_PROC_BIND": "true"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=[rung.name for rung in RUNGS])
    parser.add_argument("--list", action="store_true", help="the names, as JSON")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.list:
        print(json.dumps([{"name": one.name, "compiled": one.compiled} for one in RUNGS]))
        return
    (rung,) = (one for one in RUNGS if one.name == args.name)
    os.environ.update({"OMP_NUM_THREADS": str(args.threads), **(SPINNING if rung.spins else {})})
    run(rung, args.threads)


def run(rung: Rung, threads: int) -> None:
    import torch

    from benchmarks.protocol import serve

    torch.set_num_threads(threads)
    stream, weight_bytes = rung.load()
    about = {"version": f"torch {torch.__version__}", "threads": threads, "weights": rung.weights}
    serve(stream, name=rung.name, weight_bytes=weight_bytes, **about)


if __name__ == "__main__":
    main()

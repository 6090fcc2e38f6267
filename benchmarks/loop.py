"""What does looking cost? `generate` beside the glass box and beside `steps` with every field read.

    python -m benchmarks.loop            both models, about two minutes
    python -m benchmarks.loop --quick    fewer rounds, about half a minute

The three take turns in one process, and a ratio is taken within a round, so that a machine that
slows down slows all of them. Memory: what the tensors take that are alive while `steps` runs, less
the cache. It measures and prints; it never fails on a number.
"""

import argparse
import gc
import time
import warnings
from dataclasses import fields
from functools import partial

import torch
from transformers import DynamicCache

import llmcourse
from llmcourse.measure.figure import Figure, in_turns, ratios
from tests.support.toy_models import quick_llama


def contestants(model, call: dict) -> dict:
    kinds = (llmcourse.Step, llmcourse.BeamStep, llmcourse.Round)
    names = {kind: [field.name for field in fields(kind)] for kind in kinds}

    def read_every_field():
        for step in llmcourse.steps(model, **call):
            for name in names[type(step)]:
                getattr(step, name)

    return {
        "generate": lambda: model.generate(**call),
        "glass_box": lambda: model.generate(**call, custom_generate=llmcourse.glass_box),
        "steps": read_every_field,
    }


def seconds_of(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measured(runs: dict, rounds: int, warmup: int) -> dict[str, list[float]]:
    """Return seconds by name, one for each round."""
    timed = {name: partial(seconds_of, run) for name, run in runs.items()}
    done = list(in_turns(timed, rounds, warmup))
    return {name: [seconds[name] for seconds in done] for name in runs}


def table(title: str, seconds: dict[str, list[float]], tokens: int) -> str:
    """Return a plain table: ms a token, and speed relative to `generate`, with their quartiles."""
    rounds = len(seconds["generate"])
    lines = [
        f"{title}: {tokens} tokens, {rounds} rounds, {torch.get_num_threads()} thread(s)",
        f"{'':12}{'ms a token':>12}{'quartiles':>18}{'tokens/s':>10}{'speed':>8}{'quartiles':>16}",
    ]
    for name, values in seconds.items():
        each = Figure(tuple(1000 * value / tokens for value in values), "ms")
        speed = ratios(seconds["generate"], values)
        low, high = (f"{bound:.3f}" for bound in each.quartiles)
        slow, fast = (f"{bound:.3f}" for bound in speed.quartiles)
        lines.append(
            f"{name:12}{each.median:12.3f}{f'{low} - {high}':>18}{1000 / each.median:10.1f}"
            f"{speed.median:8.3f}{f'{slow} - {fast}':>16}"
        )
    return "\n".join(lines)


TENSORS = (torch.Tensor, torch.nn.Parameter)


def tensor_bytes(things) -> int:
    """Return the bytes that tensors take, each storage counted once."""
    tensors = [thing for thing in things if type(thing) in TENSORS]
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


def memory(model, call: dict, at: tuple[int, ...]) -> str:
    """Return a line: bytes alive beside the cache, in several steps of one walk."""
    cache = DynamicCache(config=model.config)
    weights = tensor_bytes([*model.parameters(), *model.buffers()])
    found = []
    for step in llmcourse.steps(model, **call, past_key_values=cache):
        if step.index in at:
            held = tensor_bytes(
                part for layer in cache.layers for part in (layer.keys, layer.values)
            )
            rest = tensor_bytes(gc.get_objects()) - held - weights
            found.append(f"step {step.index}: {rest:,} bytes beside a cache of {held:,}")
        del step
    return "memory of steps()  " + "; ".join(found)


def run(title: str, model, call: dict, *, threads: int, rounds: int, warmup: int) -> None:
    torch.set_num_threads(threads)
    seconds = measured(contestants(model, call), rounds, warmup)
    last = call["max_new_tokens"] - 1
    print(table(title, seconds, call["max_new_tokens"]))
    if call.keys().isdisjoint({"num_beams", "prompt_lookup_num_tokens"}):
        print(memory(model, call, at=(1, last // 2, last)))
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and tokens")
    parser.add_argument("--only", choices=["toy", "course"], help="one of the two models")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print("speed: of generate = 1, median over rounds; above 1 is faster\n")

    if args.only != "course":
        call = {"input_ids": torch.tensor([[7, 8, 9]]), "max_new_tokens": 200}
        rounds = 10 if args.quick else 60
        toy = quick_llama()
        run("Toy model", toy, call, threads=1, rounds=rounds, warmup=3)
        beams = {**call, "num_beams": 4, "max_new_tokens": 100}
        run("Toy model, 4 beams", toy, beams, threads=1, rounds=rounds // 2, warmup=2)
        drafts = {**call, "prompt_lookup_num_tokens": 5}
        run("Toy model, prompt lookup", toy, drafts, threads=1, rounds=rounds // 2, warmup=2)
    if args.only != "toy":
        model, tokenizer = llmcourse.load()
        new_tokens, rounds = (16, 5) if args.quick else (32, 15)
        call = dict(tokenizer("A list of colors: red, blue", return_tensors="pt"))
        call |= {"max_new_tokens": new_tokens, "eos_token_id": None}
        run("Course's model", model, call, threads=2, rounds=rounds, warmup=1)


if __name__ == "__main__":
    main()

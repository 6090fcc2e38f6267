"""What does looking cost? `generate` beside the glass box and beside `steps` with every field read.

    python -m benchmarks.loop            all of it, some minutes; results go into results/
    python -m benchmarks.loop --quick    fewer rounds and short contexts, under a minute
    python -m benchmarks.loop --page     measure nothing: write the results into the README

The three take turns in one process, and a ratio is taken within a round, so that a machine that
slows down slows all of them. Memory: what the tensors take that are alive while `steps` runs, less
the cache. It measures and prints; it never fails on a number.
"""

import argparse
import copy
import datetime
import gc
import json
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path

import torch
from transformers import DynamicCache

import llmcourse
from benchmarks import readme
from benchmarks.readme import README, RESULTS
from llmcourse.decoding.cache import CACHE
from llmcourse.measure.figure import Figure, digits, in_turns, ratios
from llmcourse.measure.machine import describe_machine, machine_name
from llmcourse.measure.memory import storage_bytes
from llmcourse.measure.pace import some_ids
from llmcourse.measure.report import read_json
from tests.support.toy_models import quick_llama

SCHEMA = 1  # goes up when a field changes its meaning or goes
NOTHING = "Nothing is kept yet: `python -m benchmarks.loop` measures it."
CONTEXTS = (64, 1024, 4096)  # tokens that a row has when the pairs begin


@dataclass(frozen=True)
class Case:
    """One call, made in each of the three ways."""

    model: str  # in words
    rows: int  # of the batch
    context: int  # tokens of each row that are read before the clock starts; 0: none
    new_tokens: int  # of each row
    threads: int  # of torch
    seconds: dict[str, list[float]]  # of each way, one for each round
    memory: list[dict[str, int]] = field(default_factory=list)  # bytes in some steps of `steps`

    @property
    def milliseconds(self) -> dict[str, Figure]:
        """The time of a step, in each way."""
        return {
            name: Figure(tuple(1000 * each / self.new_tokens for each in values), "ms")
            for name, values in self.seconds.items()
        }

    def speed(self, name: str) -> Figure:
        """Return how many times as fast as `generate` a way is, round by round."""
        return ratios(self.seconds["generate"], self.seconds[name])

    def __repr__(self) -> str:
        rounds = len(self.seconds["generate"])
        read = f", {self.context:,} tokens in the cache" if self.context else ""
        lines = [
            f"{self.model}, rows: {self.rows}{read}: {self.new_tokens} new tokens, {rounds} rounds,"
            f" {self.threads} thread(s)",
            f"{'':12}{'ms a token':>12}{'quartiles':>18}{'tokens/s':>10}{'speed':>8}"
            f"{'quartiles':>16}",
        ]
        for name, each in self.milliseconds.items():
            speed = self.speed(name)
            low, high = (f"{bound:.3f}" for bound in each.quartiles)
            slow, fast = (f"{bound:.3f}" for bound in speed.quartiles)
            lines.append(
                f"{name:12}{each.median:12.3f}{f'{low} - {high}':>18}"
                f"{1000 * self.rows / each.median:10.1f}{speed.median:8.3f}{f'{slow} - {fast}':>16}"
            )
        held = (
            f"memory of steps(), step {at['step']}: {at['beside']:,} bytes beside a cache of "
            f"{at['cache']:,}"
            for at in self.memory
        )
        return "\n".join([*lines, *held])


# Measuring


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


def seconds_of(run, cache: DynamicCache | None = None, keep: int = 0) -> float:
    """Return how long a run takes; afterwards the cache is cut back to what it held before."""
    started = time.perf_counter()
    run()
    took = time.perf_counter() - started
    if cache is not None:
        cut_back(cache, keep)
    return took


def cut_back(cache: DynamicCache, keep: int) -> None:
    """Leave the first `keep` tokens in a cache."""
    surplus = cache.get_seq_length() - keep
    if surplus:
        cache.crop(-surplus)


def measured(
    title: str, model, call: dict, *, threads: int, rounds: int, warmup: int, context: int = 0
) -> Case:
    """Return the case of one call, which may bring a cache of `context` tokens."""
    torch.set_num_threads(threads)
    before = {"cache": call.get(CACHE), "keep": context}
    runs = contestants(model, call)
    timed = {name: partial(seconds_of, run, **before) for name, run in runs.items()}
    done = list(in_turns(timed, rounds, warmup))
    seconds = {name: [each[name] for each in done] for name in runs}
    rows, new_tokens = len(call["input_ids"]), call["max_new_tokens"]
    last = new_tokens - 1
    of_plain_steps = call.keys().isdisjoint({"num_beams", "prompt_lookup_num_tokens", CACHE})
    held = memory(model, call, at=(1, last // 2, last)) if of_plain_steps else []
    return Case(title, rows, context, new_tokens, threads, seconds, held)


TENSORS = (torch.Tensor, torch.nn.Parameter)


def alive() -> int:
    """Return the bytes of all tensors that somebody holds."""
    return storage_bytes(thing for thing in gc.get_objects() if type(thing) in TENSORS)


def memory(model, call: dict, at: tuple[int, ...]) -> list[dict[str, int]]:
    """Return the bytes alive beside weights and cache, in several steps of one walk."""
    cache = DynamicCache(config=model.config)
    weights = storage_bytes([*model.parameters(), *model.buffers()])
    found = []
    for step in llmcourse.steps(model, **call, **{CACHE: cache}):
        if step.index in at:
            kept = storage_bytes(
                part for layer in cache.layers for part in (layer.keys, layer.values)
            )
            found.append(
                {"step": step.index, "beside": alive() - kept - weights, "cache": kept},
            )
        del step
    return found


def toy_cases(quick: bool) -> Iterator[Case]:
    rounds = 6 if quick else 60
    toy = quick_llama()
    call = {"input_ids": torch.tensor([[7, 8, 9]]), "max_new_tokens": 200}
    yield measured("toy", toy, call, threads=1, rounds=rounds, warmup=2)
    beams = {**call, "num_beams": 4, "max_new_tokens": 100}
    yield measured("toy, 4 beams", toy, beams, threads=1, rounds=rounds // 2, warmup=2)
    drafts = {**call, "prompt_lookup_num_tokens": 5}
    yield measured("toy, prompt lookup", toy, drafts, threads=1, rounds=rounds // 2, warmup=2)


def course_cases(quick: bool) -> Iterator[Case]:
    model, tokenizer = llmcourse.load()
    new_tokens, rounds = (16, 5) if quick else (32, 15)
    call = dict(tokenizer("A list of colors: red, blue", return_tensors="pt"))
    call |= {"max_new_tokens": new_tokens, "eos_token_id": None}
    yield measured("the course's model", model, call, threads=2, rounds=rounds, warmup=1)


def context_cases(
    model,
    title: str = "the course's model",
    *,
    rows: Sequence[int] = (1, 8),
    contexts: Sequence[int] = CONTEXTS,
    new_tokens: int = 8,
    rounds: int = 9,
    threads: int = 2,
) -> Iterator[Case]:
    """Yield a case for each size of the batch and each context, which one pass has read before."""
    torch.set_num_threads(threads)
    ids = some_ids(model, 1, max(contexts) + 1)
    read = DynamicCache(config=model.config)
    with torch.no_grad():
        model(ids[:, :-1], **{CACHE: read}, use_cache=True, logits_to_keep=1)
    for many in rows:
        for context in contexts:
            cache = copy.deepcopy(read)
            cut_back(cache, context)
            cache.batch_repeat_interleave(many)
            text = ids[:, : context + 1].repeat(many, 1)
            call = {"input_ids": text, "attention_mask": torch.ones_like(text), CACHE: cache}
            call |= {"max_new_tokens": new_tokens, "eos_token_id": None, "pad_token_id": 0}
            call |= {"do_sample": False}
            sizes = {"threads": threads, "rounds": rounds, "warmup": 1, "context": context}
            yield measured(title, model, call, **sizes)


# Results, as JSON and as tables


def to_json(machine: dict, cases: Sequence[Case], complete: bool) -> str:
    """Return cases as JSON. machine: what `describe_machine` returns."""
    made = {
        "schema": SCHEMA,
        "machine": machine,
        "date": datetime.date.today().isoformat(),
        "complete": complete,
        "cases": [asdict(case) for case in cases],
    }
    text = json.dumps(made, indent=1)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", _on_one_line, text) + "\n"


def _on_one_line(found: re.Match) -> str:
    numbers = (f"{float(each):.6g}" for each in found[1].split(","))
    return f"[{', '.join(numbers)}]"


def read(path: Path) -> tuple[dict, list[Case]]:
    """Return what a file of results says of its run, and its cases."""
    return read_json(
        path,
        "result of benchmarks.loop",
        SCHEMA,
        lambda made: (made, [Case(**case) for case in made.pop("cases")]),
    )


def page(path: Path) -> str:
    """Return a file of results as tables for the README."""
    made, cases = read(path)
    machine = made["machine"]
    said = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['vectors']}, "
        f"{machine['memory_gb']:.0f} GB; Python {machine['python']}, torch {machine['torch']}, "
        f"transformers {machine['transformers']}; {made['date']}; "
        f"[`{path.name}`]({path.parent.name}/{path.name})."
    )
    looking = [case for case in cases if not case.context]
    growing = [case for case in cases if case.context]
    parts = [said]
    if looking:
        parts.append("| model | generate | glass_box | steps |\n|---|---|---|---|")
        parts[-1] += "".join(f"\n| {_sized(case)} | {_figures(case)} |" for case in looking)
    if growing:
        parts.append(
            "With a cache that is filled already, so that growth shows: the course's model, "
            f"{growing[0].threads} threads, {len(growing[0].seconds['generate'])} rounds of "
            f"{growing[0].new_tokens} tokens, ms a step of all rows."
        )
        parts.append("| rows | context | generate | glass_box | steps |\n|---|---|---|---|---|")
        parts[-1] += "".join(
            f"\n| {case.rows} | {case.context:,} | {_figures(case)} |" for case in growing
        )
    return "\n\n".join(parts)


def _sized(case: Case) -> str:
    rounds = len(case.seconds["generate"])
    threads = f"{case.threads} thread{'s' if case.threads > 1 else ''}"
    return f"{case.model}, {threads}, {rounds} rounds of {case.new_tokens} tokens"


def _figures(case: Case) -> str:
    cells = [f"{digits(case.milliseconds['generate'].median)} ms"]
    for name in ("glass_box", "steps"):
        speed = case.speed(name)
        low, high = speed.quartiles
        cells.append(f"{speed.median:.3f} ({low:.3f} - {high:.3f})")
    return " | ".join(cells)


def written(text: str, results: Path) -> str:
    """Return the README's text with the tables of all results between its marks."""
    return readme.written(text, "loop", results, page, NOTHING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and tokens")
    parser.add_argument("--only", choices=["toy", "course", "contexts"], help="one of the parts")
    parser.add_argument("--page", action="store_true", help="write results into the README alone")
    parser.add_argument(
        "--json", type=Path, help="where results go; a whole run that is not quick: results/"
    )
    args = parser.parse_args()
    if args.page:
        README.write_text(written(README.read_text("utf-8"), RESULTS), encoding="utf-8")
        return
    warnings.filterwarnings("ignore")
    print("speed: of generate = 1, median over rounds; above 1 is faster\n")
    machine = describe_machine()  # before a case sets torch's threads
    cases, complete = [], False
    try:
        for case in chosen(args.only, args.quick):
            cases.append(case)
            print(f"{case}\n", flush=True)
        complete = True
    except KeyboardInterrupt:
        print("Interrupted: what was measured is kept.")
    whole = complete and not (args.quick or args.only)
    file = args.json or (whole and RESULTS / f"loop-{machine_name(machine)}.json")
    if file and cases:
        file.parent.mkdir(exist_ok=True)
        file.write_text(to_json(machine, cases, complete), encoding="utf-8")
        print(f"{file}: `python -m benchmarks.loop --page` puts it into the README.")


def chosen(only: str | None, quick: bool) -> Iterator[Case]:
    if only in (None, "toy"):
        yield from toy_cases(quick)
    if only in (None, "course"):
        yield from course_cases(quick)
    if only in (None, "contexts"):
        few = {"rows": (1,), "contexts": (64, 1024), "new_tokens": 4, "rounds": 3}
        yield from context_cases(llmcourse.load()[0], **few if quick else {})


if __name__ == "__main__":
    main()

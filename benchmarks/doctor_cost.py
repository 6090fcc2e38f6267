"""What `watch` costs: calls of 20 tokens with and without it, block beside block.

    python -m benchmarks.doctor_cost            500 calls of each kind, a quarter of an hour
    python -m benchmarks.doctor_cost --calls N  of each kind
    python -m benchmarks.doctor_cost --page     measure nothing: write docs/doctor.md

The goal: at most 3% of the time, and 2 ms a call. Blocks of ten calls take turns, watched and not,
whose order changes each time; a block's ratio is that of its pair. Each call decodes its answer.
"""

import argparse
import datetime
import json
import statistics
import time
from pathlib import Path

import torch

import llmcourse
from benchmarks import readme
from llmcourse.measure.machine import describe_machine, machine_name

SCHEMA = "llmcourse.doctor-cost/1"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "doctor.md"
NOTHING = "Nothing has been measured yet."
BLOCK, TOKENS = 10, 20


def block(model, tokenizer, inputs, watched: bool) -> float:
    """Return the seconds that a block of calls takes."""
    watch = llmcourse.watch(model, tokenizer)
    started = time.perf_counter()
    if watched:
        watch.__enter__()
    try:
        for _ in range(BLOCK):
            made = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
            new = made[0, inputs["input_ids"].shape[1] :]
            tokenizer.decode(new, skip_special_tokens=True)
    finally:
        if watched:
            watch.__exit__(None, None, None)
            _ = watch.findings  # what is put off until somebody asks is part of the price
    return time.perf_counter() - started


def measured(calls: int) -> dict:
    """Return pairs of times, in seconds a block: plain and watched."""
    model, tokenizer = llmcourse.load()
    messages = [{"role": "user", "content": "Name three rivers of Europe."}]
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    for watched in (False, True):
        block(model, tokenizer, inputs, watched)
    pairs = []
    for number in range(max(1, calls // BLOCK)):
        order = (False, True) if number % 2 else (True, False)
        times = {watched: block(model, tokenizer, inputs, watched) for watched in order}
        pairs.append([round(times[False], 5), round(times[True], 5)])
    return {
        "schema": SCHEMA,
        "machine": describe_machine(),
        "date": datetime.date.today().isoformat(),
        "threads": torch.get_num_threads(),
        "block": BLOCK,
        "tokens": TOKENS,
        "pairs": pairs,
    }


def in_words(made: dict) -> str:
    """Return a result in a sentence."""
    machine, pairs = made["machine"], made["pairs"]
    shares = [watched / plain - 1 for plain, watched in pairs]
    each = [1000 * (watched - plain) / made["block"] for plain, watched in pairs]
    of_share, of_each = (_middle(values) for values in (shares, each))
    calls = len(pairs) * made["block"]
    return (
        f"{machine['processor']}, {made['threads']} threads, torch {machine['torch']}, "
        f"transformers {machine['transformers']}; {made['date']}: beside {calls} calls of "
        f"{made['tokens']} tokens without it, {calls} watched ones take "
        f"{of_share[1]:+.1%} of the time ({of_share[0]:+.1%} to {of_share[2]:+.1%}), "
        f"{of_each[1]:+.1f} ms a call ({of_each[0]:+.1f} to {of_each[2]:+.1f}): the median of "
        f"{len(pairs)} pairs of blocks, and their quartiles."
    )


def _middle(values: list[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third."""
    if len(values) < 2:
        return (values[0],) * 3
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def page(path: Path) -> str:
    """Return a file of results as the sentence of docs/doctor.md."""
    made = json.loads(path.read_text(encoding="utf-8"))
    return f"{in_words(made)} [`{path.name}`](../benchmarks/{path.parent.name}/{path.name})"


def written(text: str, results: Path) -> str:
    """Return the text of docs/doctor.md with the sentences of all results between its marks."""
    return readme.written(text, "doctor-cost", results, page, NOTHING)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500, help="of each kind; default 500")
    parser.add_argument("--out", type=Path, help="results/doctor-cost-<machine>.json")
    parser.add_argument("--page", action="store_true", help="write docs/doctor.md alone")
    options = parser.parse_args()
    if not options.page:
        made = measured(options.calls)
        name = f"doctor-cost-{machine_name(made['machine'])}.json"
        out = options.out or readme.RESULTS / name
        out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        print(in_words(made))
    PAGE.write_text(written(PAGE.read_text("utf-8"), readme.RESULTS), encoding="utf-8")


if __name__ == "__main__":
    main()

"""What `watch` costs: calls of 20 tokens with and without it, block beside block.

    python -m benchmarks.doctor_cost            500 calls of each kind, a quarter of an hour
    python -m benchmarks.doctor_cost --calls N  of each kind
    python -m benchmarks.doctor_cost --page     measure nothing: write docs/doctor.md

The goal: at most 3% of the time, and 2 ms a call. Blocks of ten calls take turns, watched and not,
whose order changes each time; a block's ratio is that of its pair. Each call decodes its answer.
The difference of two blocks is noise too; the doctor's own time, by its own clock, is not.
"""

import argparse
import datetime
import json
import time
from contextlib import nullcontext
from pathlib import Path

import torch

import llmcourse
from benchmarks import readme
from llmcourse.doctor.watch import Watch
from llmcourse.measure.figure import Figure
from llmcourse.measure.machine import describe_machine, machine_name

SCHEMA = "llmcourse.doctor-cost/2"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "doctor.md"
NOTHING = "Nothing has been measured yet."
BLOCK, TOKENS = 10, 20


class Clocked(Watch):
    """A watch that counts the seconds it takes itself."""

    own = 0.0

    def _timed(self, does, *arguments):
        started = time.perf_counter()
        try:
            return does(*arguments)
        finally:
            self.own += time.perf_counter() - started

    def begins(self, event):
        """As a watch, and timed."""
        return self._timed(super().begins, event)

    def ends(self, begun, event) -> None:
        """As a watch, and timed."""
        self._timed(super().ends, begun, event)

    def heard(self, event) -> None:
        """As a watch, and timed."""
        self._timed(super().heard, event)


def block(model, tokenizer, inputs, watched: Clocked | None) -> float:
    """Return the seconds that a block of calls takes."""
    started = time.perf_counter()
    with watched or nullcontext():
        for _ in range(BLOCK):
            made = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
            new = made[0, inputs["input_ids"].shape[1] :]
            tokenizer.decode(new, skip_special_tokens=True)
    if watched:
        _ = watched.findings  # what is put off until somebody asks is part of the price
    return time.perf_counter() - started


def measured(calls: int) -> dict:
    """Return the seconds of pairs of blocks: plain, watched, and the doctor's own of these."""
    model, tokenizer = llmcourse.load()
    messages = [{"role": "user", "content": "Name three rivers of Europe."}]
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    for watched in (None, Clocked(model, tokenizer)):
        block(model, tokenizer, inputs, watched)
    pairs = []
    for number in range(max(1, calls // BLOCK)):
        watch = Clocked(model, tokenizer)
        order = (None, watch) if number % 2 else (watch, None)
        times = {watched: block(model, tokenizer, inputs, watched) for watched in order}
        pairs.append([round(seconds, 5) for seconds in (times[None], times[watch], watch.own)])
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
    machine, pairs, calls = made["machine"], made["pairs"], len(made["pairs"]) * made["block"]
    share = Figure(tuple(watched / plain - 1 for plain, watched, _ in pairs), "")
    each = Figure(tuple(_ms(watched - plain, made) for plain, watched, _ in pairs), "ms")
    own = Figure(tuple(_ms(own, made) for *_, own in pairs), "ms")
    of_share = "{:+.1%} of the time ({:+.1%} to {:+.1%})".format(share.median, *share.quartiles)
    of_each = "{:+.1f} ms a call ({:+.1f} to {:+.1f})".format(each.median, *each.quartiles)
    of_own = "{:.1f} ms a call ({:.1f} to {:.1f})".format(own.median, *own.quartiles)
    return (
        f"{machine['processor']}, {made['threads']} threads, torch {machine['torch']}, "
        f"transformers {machine['transformers']}; {made['date']}: beside {calls} calls of "
        f"{made['tokens']} tokens without it, {calls} watched ones take {of_share}, {of_each}: the "
        f"median of {len(pairs)} pairs of blocks, and their quartiles. By its own clock the doctor "
        f"takes {of_own}."
    )


def _ms(seconds: float, made: dict) -> float:
    """Return a block's seconds as milliseconds a call."""
    return 1000 * seconds / made["block"]


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

"""Compare the loop with `generate` in thousands of drawn calls: `make parity`.

Each cell of the grid (tests/support/grid.py) is run in both, and all that comes of it is compared.
Prints the cells that differ as it goes, then how the cells fared by setting and by family. Exits
with 1 if any cell differs.

    make parity PARITY_ARGS="--cells 500 --only num_beams"
    make parity PARITY_ARGS='--cell "llama one box {\\"top_k\\": 5}"'
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

CHUNK = 50


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=6000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another grid (default: %(default)s)")
    parser.add_argument("--only", metavar="TEXT", help="the cells whose name holds this text")
    parser.add_argument("--cell", metavar="NAME", help="one cell by its name")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    return parser.parse_args()


def prepare() -> None:
    """Take one thread: tiny models are slower with more."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()


def run_chunk(names: list[str]) -> list:
    """Run cells in a worker; a cell on which the comparison itself breaks counts as different."""
    from tests.support.grid import Cell, Verdict, run

    verdicts = []
    for name in names:
        try:
            verdicts.append(run(Cell.parse(name)))
        except Exception as error:
            verdicts.append(Verdict("DIFFERENT", f"no comparison: {error!r:.200}"))
    return verdicts


def run_all(names: list[str], workers: int) -> dict:
    """Return {name: verdict}, in the order of `names`; prints progress and what differs."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    started, done, different = time.monotonic(), {}, 0
    # A forked child may hang in torch's threads, so each worker is a new process.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=prepare) as pool:
        waiting = {pool.submit(run_chunk, chunk): chunk for chunk in chunks}
        for number, future in enumerate(as_completed(waiting), 1):
            for name, verdict in zip(waiting[future], future.result(), strict=True):
                done[name] = verdict
                if verdict.kind == "DIFFERENT":
                    different += 1
                    print(f'DIFFERENT  --cell "{name}"\n           {verdict.reason}', flush=True)
            if number % 10 == 0 or number == len(chunks):
                seconds = time.monotonic() - started
                print(f"{len(done):>6} cells, {seconds:.0f} s, {different} differ", flush=True)
    return {name: done[name] for name in names}


def table(title: str, groups: dict[str, list]) -> str:
    """Return one row of counts a group, as plain text."""
    from tests.support.grid import TALLY, tally

    width = max(len(title), *map(len, groups))
    rows = [f"{title:<{width}}" + "".join(f"{name:>12}" for name in TALLY)]
    for group, verdicts in groups.items():
        counts = tally(verdicts)
        rows.append(f"{group:<{width}}" + "".join(f"{counts[name]:>12}" for name in TALLY))
    return "\n".join(rows)


def report(done: dict) -> None:
    from tests.support.families import FAMILIES
    from tests.support.grid import Cell
    from tests.support.grid_space import PROMPTS, SETTINGS

    by = {"setting": defaultdict(list), "family": defaultdict(list), "prompt": defaultdict(list)}
    for name, verdict in done.items():
        cell = Cell.parse(name)
        by["family"][cell.family].append(verdict)
        by["prompt"][cell.prompt].append(verdict)
        for setting in cell.settings:
            by["setting"][setting].append(verdict)
    for title, order in (("setting", SETTINGS), ("family", FAMILIES), ("prompt", PROMPTS)):
        groups = {name: by[title][name] for name in order if name in by[title]}
        print("\n" + table(title, groups))
    verdicts = list(done.values())
    print("\n" + table("", {"all": verdicts}))
    equal = [verdict for verdict in verdicts if verdict.kind == "equal"]
    if equal:
        print(
            f"\nOf the {len(equal)} equal cells "
            f"{sum(it.varied for it in equal) / len(equal):.0%} have more than 2 distinct tokens, "
            f"{sum(it.staggered for it in equal) / len(equal):.0%} rows that end at different "
            f"steps,\n{sum(it.changed for it in equal) / len(equal):.0%} other tokens than the "
            "plain greedy call of the same prompt."
        )


def run_one(name: str) -> int:
    from tests.support.grid import Cell, run

    cell = Cell.parse(name)
    for argument, value in cell.call().items():
        print(f"  {argument}={value!r}")
    verdict = run(cell)
    print(f"{cell}\n{verdict}")
    return verdict.kind == "DIFFERENT"


def main() -> int:
    options = arguments()
    prepare()
    if options.cell:
        return run_one(options.cell)
    from tests.support.families import FAMILIES
    from tests.support.grid import cells

    names = dict.fromkeys(map(str, cells(options.cells, options.seed, FAMILIES)))
    names = [name for name in names if not options.only or options.only in name]
    if not names:
        print(f"none of the {options.cells} cells holds {options.only!r}")
        return 1
    done = run_all(names, options.workers)
    report(done)
    return 1 if any(verdict.kind == "DIFFERENT" for verdict in done.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

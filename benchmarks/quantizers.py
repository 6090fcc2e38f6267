"""The libraries that quantize, on a CPU: bytes, divergence, speed. `make bench-quantizers`.

    python -m benchmarks.quantizers           some minutes; writes a result
    python -m benchmarks.quantizers --all     also tries what is known not to install
    python -m benchmarks.quantizers --page    write all results into benchmarks/README.md

Each loads the course's model through transformers, with as little said as it allows. They are
installed one by one into .venv-quantizers/, which borrows torch, transformers and bitsandbytes from
.venv. What cannot be installed, loaded or run becomes a row that says why.
"""

import argparse
import datetime
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    GPTQConfig,
    HqqConfig,
    QuantoConfig,
    TorchAoConfig,
)

from benchmarks import quality, readme
from benchmarks.ladder import PROMPT
from benchmarks.ladder_report import BASE
from benchmarks.rivals.install import one_by_one, pinned
from benchmarks.rung_process import ROOT
from llmcourse.measure import Figure, describe_machine, in_turns, weight_bytes
from llmcourse.measure.figure import digits, ratios
from llmcourse.measure.machine import machine_name
from llmcourse.models import fetch, load
from llmcourse.show import in_words, plural, readable

SCHEMA = 1  # goes up when a field changes its meaning or goes
FOLDER = ROOT / ".venv-quantizers"
PINS = ROOT / "benchmarks" / "rivals" / "quantizers.txt"
NOVELS = ROOT / "llmcourse" / "texts" / "novels.json"
REFUSING = "gptqmodel"  # wants a newer torch than ours, so it is tried with --all alone
SAY = partial(print, flush=True)
NOTHING = "Nothing is kept yet: `make bench-quantizers` measures it."
FITTED = 2  # passages of each book that a library may look at; the others are for measuring


def torchao(kind: str) -> TorchAoConfig:
    from torchao import quantization

    return TorchAoConfig(getattr(quantization, kind)())


def gptq() -> GPTQConfig:
    return GPTQConfig(4, dataset=passages(slice(FITTED)), tokenizer=str(fetch.course_model()))


QUANTIZERS: dict[str, tuple[str, Callable]] = {  # the package, and what makes `quantization_config`
    BASE: ("torch", lambda: None),
    "int8 weights": ("torchao", lambda: torchao("Int8WeightOnlyConfig")),
    "int8 weights and activations": (
        "torchao",
        lambda: torchao("Int8DynamicActivationInt8WeightConfig"),
    ),
    "int8 weights, quanto": ("optimum-quanto", lambda: QuantoConfig(weights="int8")),
    "LLM.int8": ("bitsandbytes", lambda: BitsAndBytesConfig(load_in_8bit=True)),
    "NF4": ("bitsandbytes", lambda: load.quantization("4bit", "float32")),
    "4 bits, hqq": ("hqq", lambda: HqqConfig(nbits=4, group_size=64)),
    "4 bits, GPTQ": (REFUSING, gptq),
}


@dataclass(frozen=True)
class Row:
    """One way to load the model, and what was measured, or why nothing was."""

    name: str
    version: str  # of its package, such as "torchao 0.18.0"
    weight_bytes: int = 0  # of all tensors that the model holds after it has run, scales included
    divergence: float = 0.0  # bits a token, from float32
    same_best: float = 0.0  # the share of tokens after which both find the same one likeliest
    speeds: list[float] = field(default_factory=list)  # tokens/s of `generate`, one for each round
    failed: str = ""  # the exception, in a line


# Measuring


def passages(which: slice) -> list[str]:
    """Return some of each book's passages."""
    books = json.loads(NOVELS.read_text(encoding="utf-8"))["books"]
    return [passage for book in books for passage in book["passages"][which]]


def loaded(name: str, refused: Mapping[str, str]) -> torch.nn.Module:
    """Return the course's model as a library makes it. Raises whatever the library does."""
    package, config = QUANTIZERS[name]
    if package in refused:
        raise ImportError(refused[package])
    options = {"dtype": "float32", "quantization_config": config()}
    return load.read(fetch.course_model(), options)[0]


def version_of(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} {pinned(PINS)[package]}"


def speed(model, prompt: torch.Tensor, new_tokens: int) -> float:
    """Return the tokens a second of `generate`, greedily, reading the prompt included."""
    started = time.perf_counter()
    model.generate(prompt, max_new_tokens=new_tokens, do_sample=False, eos_token_id=None)
    return new_tokens / (time.perf_counter() - started)


def measured(
    ways: Mapping[str, tuple[str, Callable[[], torch.nn.Module]]],
    texts: Sequence[torch.Tensor],
    prompt: torch.Tensor,
    *,
    rounds: int = 5,
    new_tokens: int = 32,
    say: Callable[[str], None] = SAY,
) -> list[Row]:
    """Return a row for each way to load a model; the first is what the others are compared with.

    ways: name -> its package, and what loads it. texts, prompt: (1, tokens) int64. All that load
    are kept, and take turns. Raises what the first one raises.
    """
    rows, runs, original = {}, {}, []
    for name, (package, make) in ways.items():
        say(f"{name}, {package}: loading, reading, warming up")
        row = partial(Row, name, version_of(package))
        try:
            model = make()
            after = quality.log_probs(model, texts)
            original = original or after
            apart, same = quality.compared(original, after)
            runs[name] = partial(speed, model, prompt, new_tokens)
            runs[name]()
            rows[name] = row(weight_bytes(model), apart, same)
        except Exception as error:  # whatever a library does
            if not original:
                raise
            runs.pop(name, None)
            rows[name] = row(failed=in_words(error))
    for number, speeds in enumerate(in_turns(runs, rounds), 1):
        say(f"round {number} of {rounds}")
        for name, each in speeds.items():
            rows[name].speeds.append(each)
    return list(rows.values())


# Results, as JSON and as a table


def read(path: Path) -> tuple[dict, list[Row]]:
    """Return what a file of results says of its run, and its rows. Raises ValueError for others."""
    return readme.read_rows(path, "result of benchmarks.quantizers", SCHEMA, Row)


def page(path: Path) -> str:
    """Return a file of results as a table for the README."""
    made, rows = read(path)
    machine = made["machine"]
    said = (
        f"{machine['processor']}, {machine['cores']} cores ({machine['vectors']}), "
        f"{machine['threads']} threads; torch {machine['torch']}, transformers "
        f"{machine['transformers']}; {made['passage_tokens']} tokens of passages; "
        f"{made['prompt_tokens']} prompt tokens, {made['new_tokens']} new; medians of "
        f"{plural(len(rows[0].speeds), 'round')}, quartiles in brackets; {made['date']}; "
        f"[`{path.name}`]({path.parent.name}/{path.name}). {made['note']}"
    ).strip()
    headers = ["way", "package", "MB", "KL, bits", "same best", "tokens/s", f"x {BASE}", ""]
    lines = [headers, ["---"] * len(headers), *(_cells(row, rows[0]) for row in rows)]
    return f"{said}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row, base: Row) -> list[str]:
    if row.failed:
        reason = readable(row.failed.replace("|", "/"), 250)
        return [row.name, row.version, *[""] * 5, f"could not be run: {reason}"]
    tokens = digits(Figure(tuple(row.speeds), "").median)
    beside = str(ratios(row.speeds, base.speeds)).replace(" x", "")
    figures = f"{row.weight_bytes / 1e6:.0f}", f"{row.divergence:.4f}", f"{row.same_best:.1%}"
    return [row.name, row.version, *figures, tokens, beside, ""]


def written(text: str, results: Path) -> str:
    """Return the README's text with the tables of all results between its marks."""
    return readme.written(text, "quantizers", results, page, NOTHING)


def result(args: argparse.Namespace, refused: Mapping[str, str]) -> dict:
    """Measure in this environment, and return what is written. refused: package -> why."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(fetch.course_model())
    prompt, *texts = (
        tokenizer(text, return_tensors="pt").input_ids
        for text in (PROMPT, *passages(slice(FITTED, None)))
    )
    ways = {
        name: (package, partial(loaded, name, refused))
        for name, (package, _) in QUANTIZERS.items()
        if package != REFUSING or args.all
    }
    sizes = {"rounds": args.rounds, "new_tokens": args.new_tokens}
    rows = measured(ways, texts, prompt, **sizes)
    return {
        "schema": SCHEMA,
        "machine": describe_machine(),
        "date": datetime.date.today().isoformat(),
        "note": args.note,
        "passage_tokens": sum(ids.shape[1] for ids in texts),
        "prompt_tokens": prompt.shape[1],
        "new_tokens": args.new_tokens,
        "rows": [asdict(row) for row in rows],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help=f"try to install {REFUSING} too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=32, help="of each run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--note", default="", help="a sentence to stand with the result")
    parser.add_argument("--out", type=Path, help="results/quantizers-<machine>.json")
    parser.add_argument("--page", action="store_true", help="write results into the README alone")
    parser.add_argument("--refused", help=argparse.SUPPRESS)  # JSON: we are in the environment
    args = parser.parse_args()
    if args.page:
        text = readme.README.read_text(encoding="utf-8")
        readme.README.write_text(written(text, readme.RESULTS), encoding="utf-8")
        return 0
    if args.refused is None:
        without = () if args.all else (REFUSING,)
        python, refused = one_by_one(FOLDER, PINS, SAY, without)
        again = [python, "-m", "benchmarks.quantizers", *sys.argv[1:]]
        return subprocess.run([*again, "--refused", json.dumps(refused)], cwd=ROOT).returncode
    made = result(args, json.loads(args.refused))
    out = args.out or readme.RESULTS / f"quantizers-{machine_name(made['machine'])}.json"
    out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"{page(out)}\n\nwritten to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

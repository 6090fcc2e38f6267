"""The package's scores beside EleutherAI's lm-evaluation-harness, item by item. `make lm-eval`.

    python -m benchmarks.lm_eval_items                 some minutes; writes a result
    python -m benchmarks.lm_eval_items --kinds facts   a part, which `--out FILE` keeps
    python -m benchmarks.lm_eval_items --page          write all results into benchmarks/README.md

Both read the same folder in float32 and the same items with choices: as they are, after three
solved ones, and as a chat. lm-evaluation-harness is installed into .venv-lm-eval/, which borrows
torch and transformers from .venv, and runs offline on tasks of its own format: JSONL, and YAML.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import llmcourse
from benchmarks import readme
from benchmarks.rivals.install import one_by_one, pinned, run
from benchmarks.rung_process import ROOT
from llmcourse.measure import describe_machine
from llmcourse.measure.machine import machine_name
from llmcourse.models import fetch
from llmcourse.quality import Answered, Item, choose, digest, read_items
from llmcourse.show import Table

SCHEMA = 1  # goes up when a field changes its meaning or goes
FOLDER = ROOT / ".venv-lm-eval"
PINS = ROOT / "benchmarks" / "rivals" / "lm_eval.txt"
KINDS = ("facts", "grammar", "continuation", "reading")  # those with choices
SHOTS = 3
SAY = partial(print, flush=True)
NOTHING = "Nothing is kept yet: `make lm-eval` compares it."


@dataclass(frozen=True)
class Variant:
    """A way to ask."""

    name: str
    shots: int = 0  # so many items are solved, always the first ones, and not asked
    template: bool = False  # as a chat

    def asked(self, items: Sequence[Item]) -> list[Item]:
        """Return, of items of one kind, those that are asked; none that has no prompt in a chat."""
        return [item for item in items[self.shots :] if item.prompt or not self.template]


VARIANTS = (
    Variant("zero-shot"),
    Variant("three-shot", shots=SHOTS),
    Variant("chat template", template=True),
)


@dataclass(frozen=True)
class Compared:
    """One item, scored by both; a logarithm for each choice."""

    id: str
    kind: str
    variant: str
    answer: int  # the right choice's place
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    greedy_alike: bool  # both say of each choice alike whether it is the greedy one
    right: dict[str, bool]  # by the names of lm-evaluation-harness's measures: acc, acc_norm
    right_theirs: dict[str, bool]

    @property
    def apart(self) -> float:
        """The largest difference of two logarithms."""
        return max(abs(one - other) for one, other in zip(self.ours, self.theirs, strict=True))


def task_of(kind: str, items: Sequence[Item], variant: Variant) -> str:
    """Return a task of lm-evaluation-harness as YAML, which reads `KIND.jsonl` beside it."""
    name = f"llmcourse_{kind}"
    delimiter = " " if items[0].prompt else ""
    lines = [
        f"task: {name}",
        "dataset_path: json",
        "dataset_kwargs:",
        f"  data_files: {{test: {kind}.jsonl}}",
        "test_split: test",
        "output_type: multiple_choice",
        'doc_to_text: "{{prompt}}"',
        "doc_to_choice: choices",
        "doc_to_target: answer",
        f"target_delimiter: {json.dumps(delimiter)}",
        f"num_fewshot: {variant.shots}",
    ]
    if variant.shots:
        solved = json.dumps([_document(item) for item in items[: variant.shots]])
        lines += [
            'fewshot_delimiter: "\\n\\n"',
            f"fewshot_config: {{sampler: first_n, samples: {solved}}}",
        ]
    measures = ["metric_list:"]
    measures += [f"  - metric: {one}" for one in ("acc", "acc_norm")]
    return "\n".join([*lines, *measures, "metadata: {version: 1}", ""])


def _document(item: Item) -> dict:
    """Return what a task reads of an item."""
    return {name: asdict(item)[name] for name in ("id", "prompt", "choices", "answer")}


def theirs(
    python: Path, kinds: dict[str, list[Item]], variant: Variant, say: Callable[[str], None]
) -> dict[str, dict]:
    """Return what lm-evaluation-harness wrote down of each item, by its id."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, items in kinds.items():
            lines = [json.dumps(_document(item)) + "\n" for item in variant.asked(items)]
            (folder / f"{kind}.jsonl").write_text("".join(lines), encoding="utf-8")
            task = task_of(kind, items, variant)
            (folder / f"{kind}.yaml").write_text(task, encoding="utf-8")
        command = [
            *(str(python), "-m", "lm_eval", "run", "--model", "hf"),
            *("--model_args", f"pretrained={fetch.course_model()},dtype=float32"),
            *("--tasks", ",".join(f"llmcourse_{kind}" for kind in kinds)),
            *("--include_path", str(folder), "--device", "cpu", "--batch_size", "8"),
            *("--log_samples", "--output_path", str(folder / "written")),
            *(["--apply_chat_template"] if variant.template else []),
        ]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
        run(command, f"lm-evaluation-harness, {variant.name}", say, offline, folder)
        samples = (folder / "written").rglob("samples_*.jsonl")
        lines = [json.loads(line) for file in samples for line in file.open(encoding="utf-8")]
    return {line["doc"]["id"]: line for line in lines}


def compared(one: Answered, line: dict, variant: Variant) -> Compared:
    """Return an item's scores by both; line: what lm-evaluation-harness wrote down of it."""
    answers = [(float(total), str(greedy) == "True") for (total, greedy), *_ in line["resps"]]
    return Compared(
        id=one.item.id,
        kind=one.item.kind,
        variant=variant.name,
        answer=one.item.answer,
        ours=tuple(round(each.total, 6) for each in one.likelihoods),
        theirs=tuple(round(total, 6) for total, _ in answers),
        greedy_alike=[each.greedy for each in one.likelihoods] == [each for _, each in answers],
        right={"acc": one.right("raw"), "acc_norm": one.right("character")},
        right_theirs={name: bool(line[name]) for name in ("acc", "acc_norm")},
    )


def compare(
    kinds: dict[str, list[Item]], variants: Sequence[Variant], say: Callable[[str], None]
) -> Iterator[Compared]:
    """Score the items with both, in each variant. Raises OSError if the other cannot be had."""
    python, refused = one_by_one(FOLDER, PINS, say)
    if refused:
        raise OSError("; ".join(refused.values()))
    model, tokenizer = llmcourse.load(fetch.course_model(), dtype="float32")
    for variant in variants:
        asked = {kind: items for kind, items in kinds.items() if variant.asked(items)}
        say(f"{variant.name}: lm-evaluation-harness")
        found = theirs(python, asked, variant, say)
        say(f"{variant.name}: the package")
        for items in asked.values():
            shown = items[: variant.shots]
            options = {"shots": shown, "template": variant.template}
            for one in choose(model, tokenizer, variant.asked(items), **options):
                yield compared(one, found[one.item.id], variant)


def table(found: Sequence[Compared]) -> Table:
    """Return a line for each variant and kind: how far apart, how many right by whom."""
    groups: dict[tuple[str, str], list[Compared]] = {}
    for one in found:
        groups.setdefault((one.variant, one.kind), []).append(one)
    headers = ["asked", "kind", "items", "apart at most", "acc", "its acc", "acc_norm"]
    headers += ["its acc_norm", "judged alike"]
    rows = [
        (
            *names,
            str(len(group)),
            f"{max(one.apart for one in group):.1e}",
            *(
                str(sum(right[name] for right in side))
                for name in ("acc", "acc_norm")
                for side in ([one.right for one in group], [one.right_theirs for one in group])
            ),
            str(sum(one.right == one.right_theirs and one.greedy_alike for one in group)),
        )
        for names, group in groups.items()
    ]
    return Table("Items that are right, by the package and by lm-evaluation-harness", headers, rows)


def to_json(found: Sequence[Compared], kinds: dict[str, list[Item]]) -> str:
    """Return what was found as JSON, an item a line, with a task as an example."""
    known = {
        "schema": SCHEMA,
        "date": datetime.date.today().isoformat(),
        "machine": describe_machine(),
        "lm_eval": pinned(PINS)["lm_eval"],
        "items": digest(item for items in kinds.values() for item in items),
        "task": task_of("facts", kinds["facts"], VARIANTS[0]),
    }
    head = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in known.items()]
    lines = ",\n".join(f"  {json.dumps(asdict(one))}" for one in found)
    body = ",\n".join([*head, f' "compared": [\n{lines}\n ]'])
    return f"{{\n{body}\n}}\n"


def page(path: Path) -> str:
    """Return what stands in benchmarks/README.md of a result."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    found = [Compared(**one) for one in kept["compared"]]
    made = table(found)
    cells = [made.headers, ["---"] * len(made.headers), *made.rows]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    machine = kept["machine"]
    return (
        f"{made.caption}. lm-evaluation-harness {kept['lm_eval']}, torch {machine['torch']}, "
        f"transformers {machine['transformers']}, float32; {machine['processor']}; {kept['date']}; "
        f"[`{path.name}`](results/{path.name}).\n\n{rows}"
    )


def write_page() -> None:
    """Write the results that are kept into benchmarks/README.md."""
    text = readme.README.read_text(encoding="utf-8")
    made = readme.written(text, "lm-eval", readme.RESULTS, page, NOTHING)
    readme.README.write_text(made, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Compare, write the result, and print a table; the status is 1 where the two differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--variants", nargs="+", choices=names, default=names)
    parser.add_argument("--out", type=Path, help="where to write; a whole run writes a result")
    parser.add_argument("--page", action="store_true", help="write results into the README alone")
    options = parser.parse_args(arguments)
    if options.page:
        write_page()
        return 0
    if os.environ.get("LLMCOURSE_MODEL"):
        raise OSError("It scores the course's model, and LLMCOURSE_MODEL names another; unset it.")
    kinds = {kind: read_items(kinds=[kind]) for kind in options.kinds}
    variants = [variant for variant in VARIANTS if variant.name in options.variants]
    found = list(compare(kinds, variants, SAY))
    SAY(table(found))
    file = options.out
    if not file and set(kinds) == set(KINDS) and len(variants) == len(VARIANTS):
        file = readme.RESULTS / f"lm-eval-{machine_name(describe_machine())}.json"
    if file:
        file.write_text(to_json(found, kinds), encoding="utf-8")
        SAY(f"Written to {file}.")
    alike = all(one.right == one.right_theirs and one.greedy_alike for one in found)
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())

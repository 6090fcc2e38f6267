"""Run transformers' own generation tests through the visible loop: `make library-tests`.

    make library-tests TRANSFORMERS=../transformers      # a checkout of its repository

Makes an environment of its own, .venv-library, with the library that constraints.txt names, and
runs the checkout's tests with it; `--own` takes the checkout's library. Every test of
`tests/generation` that calls `generate`, and the generation tests of every decoder-only family, run
twice: as they are, and with each call sent through the loop (`tools/through_the_loop.py`). Counted
are the tests that pass in the first run and call `generate`. Writes benchmarks/library_tests.md.
"""

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "benchmarks" / "library_tests.md"
NEEDED = ("parameterized", "datasets", "pytest", "pytest-xdist", "psutil", "gguf", "platformdirs")
AT_ONCE = 8  # files
KINDS = ("pass", "refused", "wrong or fail", "encoder-decoder")


def install(folder: Path, checkout: Path | None) -> Path:
    """Make the environment with the library of a checkout, or the pinned one; return its Python."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += [f"--constraint={ROOT / 'constraints.txt'}"] if checkout is None else []
        library = "transformers" if checkout is None else checkout
        subprocess.run([*pip, "torch", library, "accelerate", *NEEDED], check=True)
    return python


def with_library(python: Path, checkout: Path, folder: Path) -> Path:
    """Copy the tests, with the library that is installed in place of the checkout's."""
    ask = "import transformers; print(transformers.__path__[0])"
    library = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("tests", "utils"):
        shutil.copytree(checkout / part, folder / part)
    for part in ("conftest.py", "pyproject.toml"):
        shutil.copy(checkout / part, folder / part)
    unneeded = shutil.ignore_patterns("__pycache__")
    shutil.copytree(library.strip(), folder / "src/transformers", ignore=unneeded)
    return folder


def families(python: Path, checkout: Path) -> list[str]:
    """Return the causal families that the library has and the checkout tests, by their folders."""
    ask = "from transformers.models.auto import modeling_auto as m; "
    ask += "print(*m.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)"
    said = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout
    there = {kind.replace("-", "_") for kind in said.split()}
    tests = checkout / "tests" / "models"
    return sorted(name for name in there if (tests / name / f"test_modeling_{name}.py").exists())


def generation_tests(checkout: Path) -> list[str]:
    """Return the names of the tests that every family inherits."""
    tree = ast.parse((checkout / "tests/generation/test_utils.py").read_text())
    (mixin,) = [
        part
        for part in tree.body
        if isinstance(part, ast.ClassDef) and part.name == "GenerationTesterMixin"
    ]
    return [part.name for part in mixin.body if getattr(part, "name", "").startswith("test_")]


def test_files(python: Path, checkout: Path, only: str | None) -> list[str]:
    """Return the files to run, relative to the checkout; only: families, with commas between."""
    names = families(python, checkout) if only is None else only.split(",")
    files = [f"tests/models/{name}/test_modeling_{name}.py" for name in names]
    return files if only is not None else ["tests/generation/test_utils.py", *files]


def run(python: Path, checkout: Path, loop: str, log: Path, files: list[str], workers: int) -> None:
    """Run the tests of some files in a process of their own; their outcomes go to the log's end."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"-n{workers}"]
    command += ["--continue-on-collection-errors"]
    command += ["-p", "tools.through_the_loop", f"--loop={loop}", f"--loop-log={log}"]
    command += ["--loop-only", ",".join(generation_tests(checkout)), "--tb=no", *files]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    quiet["PYTHONHASHSEED"] = "0"  # some names come from sets, and workers must agree on them
    with open(log.with_suffix(".txt"), "a", encoding="utf-8") as said:
        subprocess.run(command, cwd=checkout, env={**os.environ, **quiet}, stdout=said)


def read(log: Path) -> dict[str, dict]:
    return {seen["test"]: seen for seen in map(json.loads, log.read_text().splitlines())}


def kind_of(seen: dict | None) -> str:
    if seen is None:
        return "wrong or fail"
    if seen["outcome"] == "passed":
        return "pass"
    if "is an encoder-decoder model" in (seen["refused"] or ""):
        return "encoder-decoder"
    return "refused" if seen["refused"] else "wrong or fail"


def page(before: dict, after: dict, versions: str) -> str:
    """Return the table: a row a family, and what was refused for what reason."""
    counted = {
        test: after.get(test)
        for test, seen in before.items()
        if seen["outcome"] == "passed" and seen["called"]
    }
    rows: dict[str, Counter] = {}
    reasons: Counter = Counter()
    failed = []
    for test, seen in counted.items():
        family = re.search(r"tests/(?:models/)?(\w+)/", test)[1]
        kind = kind_of(seen)
        rows.setdefault(family, Counter())[kind] += 1
        if kind == "refused":
            reasons[re.sub(r"\b[A-Z]\w+\b", "MODEL", seen["refused"].split(";")[0])] += 1
        if kind == "wrong or fail":
            failed.append((test, "no outcome" if seen is None else seen["said"]))
    total = sum(rows.values(), Counter())
    lines = [
        "# The library's own generation tests, through the visible loop",
        "",
        f"`make library-tests`, {versions}. Counted are the tests that pass as they are and call "
        "`generate`. Encoder-decoder models are not what the course is about, and are refused.",
        "",
        "| family | " + " | ".join(KINDS) + " |",
        "|---|" + "---|" * len(KINDS),
        "| **all** | " + " | ".join(f"**{total[kind]}**" for kind in KINDS) + " |",
        *(
            f"| {family} | " + " | ".join(str(counts[kind]) for kind in KINDS) + " |"
            for family, counts in sorted(rows.items())
        ),
        "",
        "## Refused because",
        "",
        *(f"- {count}: {reason}" for reason, count in reasons.most_common()),
        "",
        "## Wrong or failed",
        "",
        *(f"- `{test}`: {' '.join(said.split())[:200]}" for test, said in sorted(failed)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", type=Path, help="of github.com/huggingface/transformers")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", help="families, with commas between; nothing is written then")
    parser.add_argument("--python", type=Path, help="of an environment that is there already")
    parser.add_argument("--own", action="store_true", help="take the checkout's own library")
    parser.add_argument("--resume", action="store_true", help="go on where a run was broken off")
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    if not (checkout / "tests" / "generation" / "test_utils.py").is_file():
        print(f"{checkout} is not a checkout of transformers: it has no tests/generation.")
        return 2
    environment = ROOT / (".venv-library-own" if options.own else ".venv-library")
    python = options.python or install(environment, checkout if options.own else None)
    if not options.own:
        checkout = with_library(python, checkout, environment / "checkout")
    logs = {loop: environment / f"{loop}.jsonl" for loop in ("off", "on")}
    over = environment / "over.txt"  # the files that have run, a line each
    environment.mkdir(exist_ok=True)
    if not options.resume:
        for log in logs.values():
            log.write_text("")
            log.with_suffix(".txt").unlink(missing_ok=True)
        over.write_text("")
    before = over.read_text().split()
    files = [file for file in test_files(python, checkout, options.only) if file not in before]
    # A few files at a time: a test that takes its process down loses only those beside it.
    for start in range(0, len(files), AT_ONCE):
        some = files[start : start + AT_ONCE]
        for loop, log in logs.items():
            run(python, checkout, loop, log, some, options.workers)
        with open(over, "a") as done:
            done.writelines(f"{file}\n" for file in some)
        print(f"{start + len(some)} of {len(files)} files", flush=True)
    ask = "import torch, transformers as t; "
    ask += "print(f'transformers {t.__version__}, torch {torch.__version__}')"
    versions = subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip()
    made = page(*map(read, logs.values()), versions)
    print(made)
    if not options.only:
        PAGE.write_text(made, encoding="utf-8")
    return 1 if "## Wrong or failed\n\n-" in made else 0


if __name__ == "__main__":
    sys.exit(main())

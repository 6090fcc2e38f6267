"""Run the tests of the loop on the oldest, or the newest, packages that pyproject.toml admits.

    python tools/other_versions.py oldest     # make test-oldest
    python tools/other_versions.py newest     # make test-newest

It makes an environment of its own, .venv-oldest or .venv-newest, with uv, and leaves .venv alone.
The lessons are not run there: what they print is stored for the versions of constraints.txt. What
stands after the first word goes to pytest.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESOLUTION = {"oldest": "lowest-direct", "newest": "highest"}
# What these tests are about is the set-up of .venv, the lessons, or the wheel of the model.
NOT_HERE = ("bootstrap", "cli", "first_run", "lessons", "readme", "setup", "stored_outputs")
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


def main(which: str, options: list[str]) -> int:
    folder = ROOT / f".venv-{which}"
    install(folder, RESOLUTION[which])
    print(f"The {which} versions: {versions(folder)}", flush=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    names = sorted(path for path in (ROOT / "tests").glob("test_*.py"))
    tests = [path for path in names if path.stem.removeprefix("test_") not in NOT_HERE]
    pytest = [python, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", *options, *tests]
    return subprocess.run(pytest, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

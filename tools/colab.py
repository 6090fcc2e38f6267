"""Run the lessons as in Colab: its packages, no repository around, and the first cell first.

    python -m tools.colab ...     # make colab

tests/lessons/colab.txt has what Colab holds. An environment is made of it, .venv-colab, anew each
time. In a folder of its own, the first cell of a lesson runs as it stands: pip is told to take the
repository's address for a clone of what is committed here. It must install the course and replace
nothing that Colab holds. Then every lesson runs there, and is compared as in `make test-newest`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tools import addresses
from tools.other_versions import (
    LESSONS,
    ROOT,
    UV,
    install_into,
    install_uv,
    packages,
    pytest,
    python_of,
    versions,
)

HELD = LESSONS / "colab.txt"
FOLDER = ROOT / ".venv-colab"
KERNEL = "colab"
RESULTS = LESSONS / "results" / f"{KERNEL}.json"


def facts(text: str | None = None) -> dict[str, str]:
    """Return what the comments of colab.txt say of it: python, date, source, commit."""
    lines = (text or HELD.read_text(encoding="utf-8")).splitlines()
    said = (line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    names = ("python", "date", "source", "commit")
    return dict(pair for pair in said if pair[0] in names)


def pins(text: str | None = None) -> dict[str, str]:
    """Return {name: version} of what Colab holds."""
    lines = (text or HELD.read_text(encoding="utf-8")).splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def python() -> str:
    """Return a Python of Colab's version; where there is none, this one, and say so."""
    wanted = facts()["python"]
    found = subprocess.run([*UV, "python", "find", wanted], capture_output=True, text=True)
    if found.returncode == 0:
        return found.stdout.strip()
    print(f"There is no Python {wanted} here, which Colab has: taking {sys.version.split()[0]}.")
    return sys.executable


def install() -> None:
    install_uv()
    subprocess.run([*UV, "venv", "--quiet", "--clear", f"--python={python()}", FOLDER], check=True)
    install_into(FOLDER, f"--requirements={HELD}")


def kernel(folder: Path, clone: Path) -> None:
    """Write the kernel that runs in FOLDER, and to which `clone` is the repository."""
    git = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": addresses.repository(),
    }
    start = [str(python_of(FOLDER)), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": start,
        "display_name": KERNEL,
        "language": "python",
        "env": {**git, "PYTHONPATH": ""},  # or the course would be found in this repository
    }
    place = folder / "kernels" / KERNEL / "kernel.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(spec), encoding="utf-8")


def first_cell(lesson: Path) -> str:
    """Run the first code cell of a lesson, as a learner does; return what it prints."""
    notebook = nbformat.read(lesson, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = code[:1]
    resources = {"metadata": {"path": str(lesson.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name=KERNEL, resources=resources).execute()
    return "".join(output.get("text", "") for output in notebook.cells[0].outputs)


def replaced(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return, as sentences, what of `before` is no longer as it was."""
    return [
        f"{name} {version} became {after.get(name, 'nothing')}"
        for name, version in before.items()
        if after.get(name) != version
    ]


def main(options: list[str]) -> int:
    install()
    with tempfile.TemporaryDirectory() as temporary:
        clone, elsewhere = Path(temporary, "clone"), Path(temporary, "lessons")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        shutil.copytree(clone / "notebooks", elsewhere)
        kernel(Path(temporary), clone)
        os.environ["JUPYTER_PATH"] = temporary
        before = packages(FOLDER)
        print(first_cell(min(elsewhere.glob("[0-9]*.ipynb"))), end="")
        after = packages(FOLDER)
        new = sorted(after.keys() - before.keys())
        print(f"The first cell installed {', '.join(new)}.")
        if gone := replaced(before, after):
            print("It must replace nothing that Colab holds: " + "; ".join(gone), file=sys.stderr)
            return 1
        held = versions(FOLDER)
        print(f"Colab's versions: {held}", flush=True)
        status = run_lessons(options, elsewhere, held)
        named = [elsewhere / Path(one).name for one in options if one.endswith(".ipynb")]
        if short := cut_short(named):
            print(f"Not all cells ran of {', '.join(short)}.", file=sys.stderr)
        return status or int(bool(short))


def run_lessons(options: list[str], elsewhere: Path, held: str) -> int:
    """Run pytest from here, and the kernels of the notebooks among its options in Colab's place."""
    ours = [option for option in options if option != "--nbval-current-env"]
    moved = [
        str(elsewhere / Path(one).relative_to("notebooks")) if one.endswith(".ipynb") else one
        for one in ours
    ]
    command = [*pytest(Path(sys.executable), KERNEL, held), f"--nbval-kernel-name={KERNEL}"]
    # Without a root above them the notebooks' cells would all have the same names, and pytest-xdist
    # runs one of each name.
    command += [f"--rootdir={elsewhere}", f"--config-file={ROOT / 'pyproject.toml'}"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([*command, *moved], cwd=ROOT, env=environment).returncode


def cut_short(notebooks: list[Path], results: Path = RESULTS) -> list[str]:
    """Return the notebooks of which fewer cells are in the results than have code."""
    ran = json.loads(results.read_text(encoding="utf-8"))["notebooks"]
    short = []
    for path in notebooks:
        cells = nbformat.read(path, as_version=4).cells
        code = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells)
        if ran.get(path.stem, {}).get("cells", 0) < code:
            short.append(path.stem)
    return short


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

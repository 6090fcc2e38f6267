"""Every command in the README works as written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
PYTHON = ".venv/bin/python"


def targets(text: str) -> set[str]:
    """The make targets that a text names in code."""
    return set(re.findall(r"(?:`|^)make(?: \w+=\S+)* (\w+)", text, re.M)) - {"PYTHON"}


def test_there_are_commands_to_check():
    assert {"make lab", "make test"} <= set(COMMANDS)
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(PYTHON)])
def test_a_command_of_the_package_runs(command):
    arguments = shlex.split(command.replace(PYTHON, shlex.quote(sys.executable)))
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    if "race" in command:
        assert "Equal, bit for bit" in done.stdout


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets(README):
        assert re.search(rf"^{target}:.*## ", makefile, re.M), f"make {target}"


def test_make_lab_gets_as_far_as_opening_the_browser():
    done = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "jupyterlab" in done.stdout and "01_forward_pass.ipynb" in done.stdout


def test_the_python_in_the_readme_runs(course_model):
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    names = {}
    exec(code, names)
    assert names["ids"].shape[1] == names["inputs"].input_ids.shape[1] + 5


def test_every_file_that_is_linked_exists():
    for address in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / address).exists(), address


def test_every_file_that_is_named_exists():
    for name in re.findall(r"`((?:tests|llmcourse|notebooks)/[\w./]+)`", README):
        assert (ROOT / name).exists(), name


def test_the_lessons_in_the_table_are_all_the_lessons():
    rows = re.findall(r"\]\((notebooks/[^)]+\.ipynb)\)", README)
    assert rows == [
        f"notebooks/{path.name}" for path in sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))
    ]

"""Every command in the README works as written."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
PYTHON = ".venv/bin/python"


def targets(text: str) -> set[str]:
    """The make targets that a text names in code."""
    return set(re.findall(r"(?:`|^)make(?: \w+=\S+)* (\w[\w-]*)", text, re.M)) - {"PYTHON"}


def test_there_are_commands_to_check():
    assert {"make lab", "make test"} <= set(COMMANDS)
    assert len(COMMANDS) == 5


@pytest.mark.needs_model
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


@pytest.mark.needs_model
@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv" or os.name != "posix",
    reason="make lab uses .venv; these tests run in another environment",
)
def test_make_lab_opens_the_learners_copy_of_lesson_1():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = f"--no-browser --ip=127.0.0.1 --port={port} --IdentityProvider.token="
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    lab = subprocess.Popen(
        ["make", "lab", f"LAB_ARGS={arguments}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert "JupyterLab" in answer_of(f"http://127.0.0.1:{port}/", lab)
        lesson = answer_of(
            f"http://127.0.0.1:{port}/api/contents/my_lessons/01_forward_pass.ipynb", lab
        )
        assert "One forward pass" in lesson
        assert not any(cell.get("outputs") for cell in json.loads(lesson)["content"]["cells"])
    finally:
        os.killpg(lab.pid, signal.SIGKILL)
        lab.wait()


def answer_of(address: str, process: subprocess.Popen, seconds: int = 90) -> str:
    """Return the page at `address`, as soon as it is served and while `process` runs."""
    for _ in range(2 * seconds):
        try:
            with urllib.request.urlopen(address, timeout=30) as page:
                return page.read().decode()
        except OSError:
            assert process.poll() is None, "make lab ended"
            time.sleep(0.5)
    raise AssertionError(f"nothing at {address} after {seconds} s")


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
    rows = re.findall(r"\]\((notebooks/\d[^)]+\.ipynb)\)", README)
    assert rows == [
        f"notebooks/{path.name}" for path in sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))
    ]

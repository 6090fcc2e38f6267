"""The set-up behind `make`: it recovers from being killed, runs one at a time, finds a CPU PyTorch.

No network and no real pip: the commands are recorded instead of run.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tools import bootstrap
from tools.bootstrap import StageFailed, torch_choices, what_to_do

WANTED = {"python": "3.12", "folder": "/course", "requirements": "abc", "torch_index": ""}


# What there is to do


@pytest.mark.parametrize(
    ("stamp", "python_runs", "todo"),
    [
        (WANTED, True, "nothing"),
        ({}, True, "everything"),  # killed before it was done, or never run
        (WANTED, False, "everything"),  # the Python that made it is gone
        ({**WANTED, "python": "3.11"}, True, "everything"),
        ({**WANTED, "folder": "/elsewhere"}, True, "everything"),
        ({**WANTED, "requirements": "other"}, True, "install"),
        ({**WANTED, "torch_index": "other"}, True, "install"),
    ],
)
def test_no_more_is_done_than_is_needed(stamp, python_runs, todo):
    assert what_to_do(stamp, WANTED, python_runs) == todo


def test_half_a_stamp_is_no_stamp(tmp_path):
    (tmp_path / "stamp").write_text('{"python": "3.1')
    assert bootstrap.read_stamp(tmp_path / "stamp") == {}
    assert bootstrap.read_stamp(tmp_path / "nothing") == {}


def test_venv_keeps_its_python_until_the_user_names_one():
    assert bootstrap.python_of({"python": "3.99"}, chosen_by_user=False) == "3.99"
    assert bootstrap.python_of({"python": "3.99"}, chosen_by_user=True) == bootstrap.THIS_PYTHON
    assert bootstrap.python_of({}, chosen_by_user=False) == bootstrap.THIS_PYTHON


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with the files that the set-up reads, and a record of the stages that it runs."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((bootstrap.ROOT / name).read_bytes())
    venv = tmp_path / ".venv"
    for name, path in {
        "ROOT": tmp_path,
        "VENV": venv,
        "VENV_PYTHON": venv / "python",
        "STAMP": venv / "stamp.json",
        "LOCK": tmp_path / ".venv.lock",
        "CONSTRAINTS": tmp_path / "constraints.txt",
    }.items():
        monkeypatch.setattr(bootstrap, name, path)
    record = Record(venv)
    monkeypatch.setattr(bootstrap, "run_stage", record)
    monkeypatch.setattr(bootstrap, "versions", lambda python: "")
    return record


class Record:
    """Stands in for `run_stage`: makes the folder, notes the command, fails when told to."""

    def __init__(self, venv):
        self.venv, self.commands, self.refuse = venv, [], lambda text: False

    def __call__(self, title, command, lock=None):
        text = " ".join(map(str, command))
        assert not (self.venv / "stamp.json").exists(), "a stamp while work is under way"
        self.commands.append(text)
        if self.refuse(text):
            raise StageFailed(text)
        self.venv.mkdir(exist_ok=True)
        shutil.rmtree(self.venv / "python", ignore_errors=True)
        (self.venv / "python").unlink(missing_ok=True)
        (self.venv / "python").symlink_to(sys.executable)

    def again(self):
        """Run the set-up; the commands that it ran this time."""
        self.commands.clear()
        self.exit_status = bootstrap.main([])
        return self.commands


def test_a_second_run_does_nothing(course):
    assert "venv" in course.again()[0]
    assert course.again() == []


def test_changed_requirements_are_installed_into_the_same_venv(course):
    course.again()
    with bootstrap.CONSTRAINTS.open("a") as constraints:
        constraints.write("# another version\n")
    commands = course.again()
    assert commands
    assert not any("-m venv" in command for command in commands)
    assert course.again() == []


@pytest.mark.parametrize("cut_short_at", ["-m venv", "pip setuptools", "torch==", "--editable"])
def test_a_run_that_was_cut_short_starts_over(course, cut_short_at):
    course.refuse = lambda text: cut_short_at in text
    course.again()
    assert course.exit_status == 1
    course.refuse = lambda text: False
    assert "-m venv --clear" in course.again()[0]
    assert course.exit_status == 0


def test_an_update_that_was_cut_short_starts_over(course):
    course.again()
    with bootstrap.CONSTRAINTS.open("a") as constraints:
        constraints.write("# another version\n")
    course.refuse = lambda text: "--editable" in text
    course.again()
    course.refuse = lambda text: False
    assert "-m venv --clear" in course.again()[0]


def test_a_python_without_venv_is_told_what_to_install(course, monkeypatch):
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: name != "ensurepip")
    with pytest.raises(SystemExit, match=f"apt install python{bootstrap.THIS_PYTHON}-venv"):
        bootstrap.main([])
    assert course.commands == []


# What is there already


def a_python_that_fails(path):
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)


def a_python_of_another_version(path):
    path.write_text("#!/bin/sh\necho 3.1\n")
    path.chmod(0o755)


def a_link_to_nowhere(path):
    path.symlink_to("/nowhere/python3")


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
@pytest.mark.parametrize(
    "broken",
    [a_python_that_fails, a_python_of_another_version, a_link_to_nowhere, Path.mkdir, Path.touch],
)
def test_a_venv_whose_python_does_not_run_is_made_again_and_says_so(course, capsys, broken):
    course.again()
    assert course.again() == []
    bootstrap.VENV_PYTHON.unlink()
    broken(bootstrap.VENV_PYTHON)
    assert "-m venv --clear" in course.again()[0]
    assert "The Python in .venv does not run as it did" in capsys.readouterr().out
    assert course.exit_status == 0 and course.again() == []


@pytest.mark.skipif(os.name == "nt", reason="making a link takes rights on Windows")
@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("VENV", lambda path: path.write_text("x"), "is to be a folder, and is a file. Move it"),
        ("VENV", a_link_to_nowhere, "is a link to /nowhere/python3, which is not there. Remove"),
        ("LOCK", lambda path: path.mkdir(), "is to be a file, and is none. Remove it"),
        ("LOCK", a_link_to_nowhere, "is to be a file, and is none. Remove it"),
    ],
)
def test_what_stands_in_the_way_is_named_and_left_alone(course, name, make, said):
    path = getattr(bootstrap, name)
    make(path)
    before = os.lstat(path)
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main([])
    assert str(stopped.value).startswith(f"{path} {said}")
    assert str(stopped.value).endswith("then run the same make again.")
    assert os.lstat(path) == before and course.commands == []


def test_an_error_of_the_system_is_a_sentence_with_its_path(course, capsys):
    bootstrap.VENV.mkdir()
    bootstrap.STAMP.mkdir()
    assert bootstrap.main([]) == 1
    said = capsys.readouterr().out
    assert said.startswith("The set-up cannot go on: ") and str(bootstrap.STAMP) in said


# An index that does not answer

PIPS_ADVICE = """ERROR: Cannot install pip because these versions have conflicting dependencies.
To fix this you could try to:
1. loosen the range of package versions you've specified
ERROR: ResolutionImpossible: for help visit the page"""
REFUSED = "connection error: Max retries exceeded (Caused by NewConnectionError(...)) - skipping"


@pytest.fixture
def pip(monkeypatch):
    """What pip prints, by command; and no proxy or setting of this machine's."""
    said = {"download": "", "config": ""}
    monkeypatch.setattr(bootstrap, "output_of", lambda command: said[command[3]])
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("PIP_"):
            monkeypatch.delenv(name)
    return said


def test_an_index_that_does_not_answer_is_named_in_place_of_pips_advice(pip, monkeypatch):
    pip["download"] = (
        f"x\nCould not fetch URL https://me:se@cret@host.example/simple/pip/: {REFUSED}\ny"
    )
    pip["config"] = (
        ":env:.index-url='https://me:se@cret@host.example/simple?token=cret'\n"
        "global.proxy='http://me:cret@proxy.example:3128'\nglobal.timeout='9'"
    )
    monkeypatch.setenv("HTTPS_PROXY", "http://me:cret@other.example:1")
    said = bootstrap.explained(PIPS_ADVICE, "python", "https://me:cret@torch.example/cpu")
    assert said.splitlines() == [
        "The package index did not answer:",
        "  https://host.example/simple/pip/: connection error: Max retries exceeded (Caused by "
        "NewConnectionError(...))",
        "The settings are:",
        "  PIP_INDEX_URL=https://host.example/simple",
        "  pip's proxy: http://proxy.example:3128",
        "  HTTPS_PROXY=http://other.example:1",
        "  TORCH_INDEX=https://torch.example/cpu",
        "Check the connection and these settings: PIP_INDEX_URL names another index, HTTPS_PROXY a "
        "proxy. Then run the same make again.",
    ]
    assert "cret" not in said


def test_an_index_that_refuses_is_told_from_one_that_is_silent(pip):
    pip["download"] = "Could not fetch URL https://h/pip/: 403 Client Error: Forbidden - skipping"
    said = bootstrap.explained(PIPS_ADVICE, "python", "")
    assert said.startswith("The package index refused:\n  https://h/pip/: 403 Client Error")
    assert "  pip's own index: no other is set\n  no proxy is set\n" in said


def test_an_index_that_answers_leaves_pip_its_words(pip):
    said = bootstrap.explained(PIPS_ADVICE, "python", "")
    assert said.startswith(
        PIPS_ADVICE + "\npip asked where these settings lead:\n  pip's own index"
    )
    other = bootstrap.explained("No space left on device", "python", "")
    assert other.startswith("No space left on device\nThe set-up failed; the lines above say why.")


def test_a_set_up_that_cannot_reach_the_index_says_so(course, pip, monkeypatch, capsys):
    def fail(*_):
        raise StageFailed(PIPS_ADVICE)

    pip["download"] = f"Could not fetch URL https://h/pip/: {REFUSED}"
    monkeypatch.setattr(bootstrap, "install", fail)
    assert course.again() and course.exit_status == 1
    assert "The package index did not answer:\n  https://h/pip/" in capsys.readouterr().out


@pytest.mark.slow
def test_pip_says_why_it_cannot_read_an_index(monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:cret@127.0.0.1:9/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (reason,) = bootstrap.unanswered(sys.executable)
    assert reason.startswith("http://127.0.0.1:9/simple/pip/: connection error: ")
    listed = bootstrap.network_settings(sys.executable, "")
    assert "PIP_INDEX_URL=http://127.0.0.1:9/simple" in listed
    assert "NO_PROXY=127.0.0.1" in listed


# Which PyTorch


def test_linux_without_a_gpu_asks_for_the_cpu_build_first():
    known_to_pip, known_to_uv, several_gb = torch_choices("python", "2.13.0", "Linux", False, "")
    assert known_to_pip.command[-1] == "torch==2.13.0+cpu"
    assert "--torch-backend=cpu" in known_to_uv.command
    assert several_gb.command[-1] == "torch==2.13.0"
    assert "TORCH_INDEX" in several_gb.warning


def test_linux_with_a_gpu_takes_the_build_for_its_driver():
    auto, several_gb = torch_choices("python", "2.13.0", "Linux", True, "")
    assert "--torch-backend=auto" in auto.command
    assert not several_gb.warning


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_elsewhere_the_package_index_has_the_cpu_build(system):
    (plain,) = torch_choices("python", "2.13.0", system, False, "")
    assert plain.command[-1] == "torch==2.13.0"


@pytest.mark.parametrize("system", ["Darwin", "Linux", "Windows"])
def test_an_index_that_the_user_names_is_the_only_one_asked(system):
    (named,) = torch_choices("python", "2.13.0", system, False, "https://example.org/cpu")
    assert named.command[-2:] == ["--index-url", "https://example.org/cpu"]
    assert "--force-reinstall" in named.command  # another build of the same version may be there


def test_the_index_that_the_user_named_is_remembered(course):
    bootstrap.main(["--torch-index=https://example.org/cpu"])
    assert course.again() == []


@pytest.mark.parametrize(
    ("refused", "taken", "warned"),
    [
        ((), "+cpu", False),
        (("+cpu",), "--torch-backend=cpu", False),
        (("+cpu", "--torch-backend"), "--progress-bar=raw torch==2.13.0", True),
        (("+cpu", "-m pip install --constraint CONSTRAINTS uv"), "=raw torch==2.13.0", True),
    ],
)
def test_the_next_way_is_tried_when_one_fails(course, monkeypatch, capsys, refused, taken, warned):
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Linux")
    monkeypatch.setattr(bootstrap, "has_nvidia_gpu", lambda: False)
    refused = [text.replace("CONSTRAINTS", str(bootstrap.CONSTRAINTS)) for text in refused]
    course.refuse = lambda command: any(text in command for text in refused)
    bootstrap.install_torch("python", "", None)
    assert taken in course.commands[-1]
    assert ("several GB" in capsys.readouterr().out) == warned


def test_a_driver_that_lists_no_gpu_is_no_gpu(monkeypatch):
    def nvidia_smi(returncode, stdout):
        done = subprocess.CompletedProcess([], returncode, stdout)
        monkeypatch.setattr(bootstrap.subprocess, "run", lambda *a, **k: done)
        return bootstrap.has_nvidia_gpu()

    assert nvidia_smi(0, "GPU 0: NVIDIA H200 (UUID: GPU-...)\n")
    assert not nvidia_smi(0, "No devices found.\n")
    assert not nvidia_smi(9, "")


# One at a time

HOLD = """
import subprocess, sys, time
from pathlib import Path
from tools import bootstrap
with bootstrap.locked(Path(sys.argv[1])) as lock:
    if sys.argv[2] == "with a child":
        child = [sys.executable, "-c", "import time; time.sleep(3)"]
        subprocess.Popen(child, pass_fds=[lock])
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path, child="alone"):
    """A process that holds the lock at `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), child],
        cwd=bootstrap.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def seconds_to_lock(path):
    started = time.monotonic()
    with bootstrap.locked(path):
        return time.monotonic() - started


def test_a_free_lock_costs_nothing(tmp_path):
    assert seconds_to_lock(tmp_path / "lock") < 1
    assert seconds_to_lock(tmp_path / "lock") < 1


@pytest.mark.slow
def test_the_second_waits_until_the_first_is_killed(tmp_path, capsys):
    first = holder(tmp_path / "lock")
    threading.Timer(1, first.kill).start()
    assert seconds_to_lock(tmp_path / "lock") > 0.5
    assert "Another make is setting up" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="children inherit no locks on Windows")
@pytest.mark.slow
def test_a_pip_that_outlives_its_killed_parent_keeps_the_lock(tmp_path):
    first = holder(tmp_path / "lock", "with a child")
    first.kill()
    assert seconds_to_lock(tmp_path / "lock") > 1


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove an open file")
def test_a_lock_that_make_clean_removed_keeps_nobody_out_and_is_not_used(tmp_path):
    with bootstrap.locked(tmp_path / "lock"), (tmp_path / "lock").open("a+") as file:
        assert bootstrap._is_at(file, tmp_path / "lock")
        (tmp_path / "lock").unlink()
        assert not bootstrap._is_at(file, tmp_path / "lock")
        assert seconds_to_lock(tmp_path / "lock") < 1


# What is seen


def test_a_stage_says_its_seconds(capsys):
    bootstrap.run_stage("nothing", [sys.executable, "-c", ""])
    assert capsys.readouterr().out == "  nothing: 0 s\n"


@pytest.mark.slow
def test_a_long_stage_shows_what_it_is_at(capsys):
    code = "import time; print('Progress 1000000 of 5000000', flush=True); time.sleep(2.5)"
    bootstrap.run_stage("a download", [sys.executable, "-c", code])
    assert "  a download: 2 s  1 of 5 MB\n" in capsys.readouterr().out


def test_a_stage_that_fails_shows_the_end_of_its_output(capsys):
    code = "import sys; print('Progress 1 of 2'); sys.exit('No space left on device')"
    with pytest.raises(StageFailed, match=r"^No space left on device$"):
        bootstrap.run_stage("a download", [sys.executable, "-c", code])

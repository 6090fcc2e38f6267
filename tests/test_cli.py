"""`python -m llmcourse`: what each command says, and with which exit status."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
import torch

import llmcourse
from llmcourse import __main__ as cli
from llmcourse.models import check_machine, fetch


@pytest.fixture
def no_other_model(monkeypatch):
    monkeypatch.delenv("LLMCOURSE_MODEL", raising=False)


def test_help_names_the_commands():
    done = subprocess.run(
        [sys.executable, "-m", "llmcourse", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("fetch", "check", "race", "chat"):
        assert re.search(rf"^    {command} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["race"], ["race", "x", "--seed", "half"]])
def test_a_wrong_command_line_is_refused_with_its_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "usage: python -m llmcourse" in capsys.readouterr().err


# fetch


def test_fetch_says_where_the_model_is_and_imports_nothing_heavy(course_model):
    code = (
        "import sys; from llmcourse.__main__ import main; main(['fetch']);"
        "sys.exit(bool({'torch', 'transformers', 'gguf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"The course's model is in {fetch.cache_folder() / fetch.FOLDER}\n"
    assert done.stderr == ""


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Runs `fetch` of a model in a folder called `schön`, and returns (status, stderr)."""

    def run(stdout, **environment) -> tuple[int, str]:
        folder = tmp_path / "schön"
        code = (
            "import sys, pathlib; from llmcourse import __main__ as cli;"
            "cli.fetch.course_model = lambda: pathlib.Path(sys.argv[1]);"
            "sys.exit(cli.main(['fetch']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            env=os.environ | environment,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        return done.returncode, done.stderr

    return run


def test_a_terminal_without_the_folders_letters_gets_their_codes(told, tmp_path):
    with open(tmp_path / "out", "w+") as out:
        assert told(out, PYTHONIOENCODING="ascii") == (0, "")
        out.seek(0)
        assert out.read() == f"The course's model is in {tmp_path}/sch\\xf6n\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_where_stdout_cannot_be_written_fetch_says_so_and_that_the_model_is_there(told, tmp_path):
    with open("/dev/full", "w") as out:
        status, said = told(out)
    assert status == 0
    assert said == (
        f"The course's model is in {tmp_path}/schön. (stdout cannot be written: [Errno 28] "
        "No space left on device)\n"
    )


@pytest.mark.parametrize("command", [["race", "x"], ["check"]])
def test_where_stdout_cannot_be_written_a_command_fails_in_a_sentence(
    raced, monkeypatch, capsys, command
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "write_lines", full)
    monkeypatch.setattr(cli, "throw_away_stdout", lambda: None)
    assert cli.main(command) == 1
    assert capsys.readouterr().err == (
        "stdout cannot be written: [Errno 28] No space left on device\n"
    )


@pytest.mark.parametrize("error", [OSError, ValueError, ImportError])
def test_an_error_is_one_message_on_stderr(monkeypatch, capsys, error):
    def fail():
        raise error("what happened, and what to do")

    monkeypatch.setattr(fetch, "course_model", fail)
    assert cli.main(["fetch"]) == 1
    assert capsys.readouterr() == ("", "what happened, and what to do\n")


# check


def test_check_is_aligned_and_ends_well_where_nothing_is_to_fix(
    course_model, no_other_model, monkeypatch, capsys
):
    monkeypatch.setattr(check_machine, "MODEL_NEEDS_GB", 0)  # whatever else runs now
    assert cli.main(["check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"(ok   |note ) \S{1,12} +\S", line) for line in lines)
    assert {line.index(line.split(None, 2)[2]) for line in lines} == {20}
    subjects = [line.split()[1] for line in lines]
    assert subjects == ["python", *check_machine.PACKAGES, "device", "memory", "model", "disk"]


def test_check_says_how_to_fix_a_missing_model(no_other_model, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LLMCOURSE_CACHE", str(tmp_path))
    assert cli.main(["check"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line[:3] == "fix"]
    assert line.endswith("it is not there; run `python -m llmcourse fetch`")


def test_check_notices_a_damaged_model(no_other_model, monkeypatch, tmp_path):
    monkeypatch.setenv("LLMCOURSE_CACHE", str(tmp_path))
    folder = tmp_path / fetch.FOLDER
    folder.mkdir()
    for name in fetch.FINGERPRINTS:
        (folder / name).write_text("something else")
    assert [found.status for found in check_machine.model()] == ["fix", "ok"]


def test_check_names_another_model_and_then_needs_none_of_ours(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMCOURSE_MODEL", "some/model")
    monkeypatch.setenv("LLMCOURSE_CACHE", str(tmp_path))
    first, *others = check_machine.model()
    assert first.value == "LLMCOURSE_MODEL=some/model is what load() takes"
    assert "fix" not in {found.status for found in (first, *others)}


def test_check_says_that_there_is_no_room(tmp_path):
    assert check_machine.disk(tmp_path / "model", needed_mb=10**9).status == "fix"


REQUIRES = ["torch>=2.6,<3", "transformers>=5.0", 'jupyterlab>=4.2; extra == "lab"', "nbval"]


@pytest.mark.parametrize(
    "name, version, expected",
    [
        ("torch", "2.13.0+cpu", "ok    torch         2.13.0+cpu"),
        (
            "torch",
            "2.5.1",
            'fix   torch         2.5.1, but <3,>=2.6 is needed: `pip install "torch<3,>=2.6"`',
        ),
        (
            "transformers",
            None,
            'fix   transformers  not installed: `pip install "transformers>=5.0"`',
        ),
        ("jupyterlab", None, 'note  jupyterlab    not installed: `pip install "llmcourse[lab]"`'),
    ],
)
def test_a_package_is_held_against_the_range_that_the_course_asks_for(
    monkeypatch, name, version, expected
):
    def installed(asked):
        if version is None:
            raise PackageNotFoundError(asked)
        return version

    monkeypatch.setattr(check_machine.importlib.metadata, "requires", lambda package: REQUIRES)
    monkeypatch.setattr(check_machine.importlib.metadata, "version", installed)
    assert str(check_machine.package(name)) == expected


def test_a_gpu_is_named(monkeypatch):
    gpu = SimpleNamespace(name="Some GPU", total_memory=24 * 10**9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: gpu)
    assert check_machine.device().value == "cuda: Some GPU (24 GB)"


def test_a_container_with_too_little_memory_is_noticed(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.stat").write_text("anon 1500000000\nfile 400000000\n")
    limits = check_machine.container_memory(tmp_path)
    assert limits == (2e9, 1.5e9)  # cached files make room when it is needed
    monkeypatch.setattr(check_machine, "container_memory", lambda: limits)
    found = check_machine.memory()
    assert found.status == "fix"
    assert found.value.startswith("0.5 GB available of 2.0 GB; the lessons need 1 GB")


def test_a_container_without_a_limit_has_none(tmp_path):
    assert check_machine.container_memory(tmp_path) == (float("inf"), 0)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.stat").write_text("anon 1500000000\n")
    assert check_machine.container_memory(tmp_path) == (float("inf"), 0)


# race


@pytest.fixture
def raced(monkeypatch):
    """The arguments that `race` is called with, in place of a race."""
    called = []

    def race(model, tokenizer, prompt, **settings):
        called.append((model, tokenizer, prompt, settings, torch.initial_seed()))
        return "the two are equal"

    monkeypatch.setitem(vars(llmcourse), "load", lambda: ("model", "tokenizer"))
    monkeypatch.setitem(vars(llmcourse), "race", race)
    return called


def test_race_is_greedy_over_20_tokens_by_default(raced, capsys):
    assert cli.main(["race", "A list"]) == 0
    settings = {"max_new_tokens": 20, "do_sample": False}
    assert raced == [("model", "tokenizer", "A list", settings, 0)]
    assert capsys.readouterr() == ("the two are equal\n", "")


def test_race_hands_its_options_on(raced):
    options = ["--max-new-tokens", "5", "--do-sample", "--temperature", "0.0", "--seed", "7"]
    cli.main(["race", "A list", *options])
    settings = {"max_new_tokens": 5, "do_sample": True, "temperature": 0.0}
    assert raced[0][3:] == (settings, 7)


def test_race_runs_in_a_terminal(course_model):
    command = [sys.executable, "-m", "llmcourse"]
    done = subprocess.run(
        [*command, "race", "A list of colors: red, blue", "--max-new-tokens", "3"],
        env={name: value for name, value in os.environ.items() if name != "LLMCOURSE_MODEL"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "green" in done.stdout

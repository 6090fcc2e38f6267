"""`make serve` and `make serve-vllm`: the commands, and an environment that is made once."""

import sys
from types import SimpleNamespace

import pytest

from benchmarks import serve
from llmcourse.models import fetch


def test_vllm_is_installed_once_and_without_what_breaks_its_import(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(serve, "VLLM_FOLDER", tmp_path / "venv")

    def run(command, what, say):
        (tmp_path / "venv").mkdir(exist_ok=True)
        ran.append([str(word) for word in command])

    monkeypatch.setattr(serve, "run", run)
    python = serve.vllm_python(say=lambda line: None)
    assert serve.vllm_python(say=lambda line: None) == python
    made, installed, removed = ran
    assert made[1:3] == ["-m", "venv"] and installed[0] == removed[0] == str(python)
    assert installed[-1] == serve.VLLM and removed[-3:] == list(serve.NOT_WANTED)


def test_one_that_was_cut_short_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "VLLM_FOLDER", tmp_path)

    def fails(command, what, say):
        raise OSError("no network")

    monkeypatch.setattr(serve, "run", fails)
    for _ in range(2):
        with pytest.raises(OSError, match="no network"):
            serve.vllm_python(say=lambda line: None)


def test_what_stands_behind_the_name_goes_to_the_server_which_serves_this_machine(
    monkeypatch, tmp_path
):
    ran = []
    monkeypatch.setattr(fetch, "course_model", lambda: tmp_path)
    monkeypatch.setattr(sys, "argv", ["serve", "transformers", "--dtype", "bfloat16"])
    monkeypatch.setattr(
        serve.subprocess,
        "run",
        lambda words, env: ran.append((words, env)) or SimpleNamespace(returncode=3),
    )
    assert serve.main() == 3
    [(words, env)] = ran
    assert words[-2:] == ["--dtype", "bfloat16"]
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == "8000" and env["HF_HUB_OFFLINE"] == "1"

"""The benchmark of servers: its tables, and, in `make test-serving`, a server from start to end."""

import json
import os
import subprocess
import sys

import httpx
import pytest

from benchmarks import serving
from benchmarks.readme import README, RESULTS
from llmcourse.models import fetch
from llmcourse.serving import load_test, server
from llmcourse.serving.client import Address
from llmcourse.serving.probes import PROBES, Probing, Row, as_fields, same_as_generate

LOAD = {
    "kind": "closed",
    "size": 4,
    "offered": 8,
    "finished": 7,
    "requests_per_second": 2.5,
    "tokens_per_second": 40.0,
    "first_ms": {"p50": 100, "p99": 200},
    "between_ms": {"p50": 30, "p99": None},
    "in_flight": None,
    "little": 1.5,
}
ROWS = [
    Row("one", "", "200: a | b `c`", "200", True),
    Row("other", "", "500: <script>", "4xx", False),
]


def written(tmp_path, servers) -> str:
    machine = {"processor": "P", "cores": 2, "vectors": "AVX2"}
    made = {
        "schema": 1,
        "machine": machine,
        "date": "2026-01-01",
        "note": "Noisy.",
        "max_tokens": 8,
    }
    (tmp_path / "serving-p.json").write_text(json.dumps(made | {"servers": servers}))
    return serving.written("a\n<!-- serving: made by x -->\n<!-- end -->\nb\n", tmp_path)


def of(name: str, rows: list[Row]) -> dict:
    fields = {"name": name, "version": "v 1", "memory_bytes": 1.5e9, "failed": ""}
    return fields | {"rows": as_fields(rows), "loads": [LOAD]}


def test_tables_have_a_line_for_each_load_and_each_probe(tmp_path):
    text = written(tmp_path, [of("plain", ROWS), of("batching", ROWS[:1])])
    assert (
        "| plain | 4 clients | 7 of 8 | 2.50 | 40.0 | 100 (200) | 30.0 (–) | – | 1.50 | 1.5 |"
        in text
    )
    assert "| one | 200 | `200: a / b 'c'` | `200: a / b 'c'` |" in text
    assert "| other | 4xx | **no**: `500: <script>` | not tried |" in text
    assert "plain: v 1" in text and "Noisy." in text


def test_a_server_that_could_not_be_run_says_why(tmp_path):
    text = written(tmp_path, [of("plain", ROWS), {"name": "vLLM", "failed": "no such package"}])
    assert "vLLM could not be run: no such package" in text


def test_the_readme_shows_the_committed_results():
    text = README.read_text(encoding="utf-8")
    assert serving.written(text, RESULTS) == text, "run `python -m benchmarks.serving --page`"


def test_commands_are_shown_without_folders_and_keys(monkeypatch, tmp_path):
    monkeypatch.setattr(fetch, "course_model", lambda: tmp_path)
    assert serving.shown(str(tmp_path)) == "MODEL" and serving.shown(serving.KEY) == "KEY"
    assert serving.shown("--port") == "--port" and serving.shown(True) is True
    assert serving.shown(f"400: pinned to '{tmp_path}'") == "400: pinned to 'MODEL'"
    assert serving.shown(f"200: {str(tmp_path)[:-3]}") == "200: MODEL"


@pytest.mark.slow
@pytest.mark.skipif(
    "LLMCOURSE_SERVING_TESTS" not in os.environ, reason="`make test-serving` runs it: a minute"
)
def test_transformers_serve_from_start_to_end(course_model):
    with server.running_server(fetch.course_model()) as running:
        address = Address(running.url, running.model)
        assert same_as_generate(address, *course_model, load_test.PROMPTS[:3], 12).met
        limits = load_test.Limits(requests=3)
        asked = {"model": running.model, "max_tokens": 6, "limits": limits}
        report = load_test.load(running.url, rates=[2], clients=[2], **asked)
        assert [len(load.finished) for load in report.loads] == [3, 3]
        assert {one.counted for load in report.loads for one in load.sent} == {"usage"}
        rows = {probe.name: Probing(address).one(probe) for probe in PROBES}
        assert rows["a plain request"].met and rows["a wrong model"].met
        killed = serving.killed(running, address)
        assert killed.met and not running.running
        with pytest.raises(httpx.ConnectError):
            httpx.get(running.url, trust_env=False)


@pytest.mark.slow
@pytest.mark.skipif(
    "LLMCOURSE_SERVING_TESTS" not in os.environ, reason="`make test-serving` runs it"
)
def test_transformers_chat_talks_to_a_server_that_runs():
    code = "from transformers.cli.transformers import main; main()"
    with server.running_server(fetch.course_model()) as running:
        url = f"{running.url.rstrip('/').removesuffix('/v1')}/v1"
        done = subprocess.run(
            [sys.executable, "-c", code, "chat", running.model, url, "max_new_tokens=8"],
            input="Name three rivers.\nn\n!exit\n",  # n: not to go on after the eight
            capture_output=True,
            text=True,
            timeout=200,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "was already loaded" in done.stdout and "8 tokens in" in done.stdout

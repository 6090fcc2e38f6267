"""A server that is started here answers, and is gone afterwards, whatever happened between."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest

from llmcourse.serving import server as serving
from llmcourse.serving.server import ServerFailed, running_server

ROOT = Path(__file__).resolve().parents[2]
FAKE = [sys.executable, str(Path(__file__).with_name("fake_server.py")), "{host}", "{port}"]


def gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process ends within some seconds; one that nobody waits for counts as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_it_answers_within_the_block_and_is_gone_after_it():
    with running_server(FAKE) as server:
        assert httpx.get(server.url + "/health", trust_env=False).status_code == 200
        assert server.running and "running" in repr(server)
        assert server.said() == "listening" or "listening" in server.said()
    assert not server.running and "ended" in repr(server)
    assert not serving.answers(server.url + "/health")


def test_an_error_in_the_block_ends_it():
    with pytest.raises(ZeroDivisionError), running_server(FAKE) as server:
        1 / 0  # noqa: B018
    assert not server.running


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_what_the_server_started_ends_with_it(tmp_path):
    workers = tmp_path / "workers"
    with running_server([*FAKE, str(workers)]):
        worker = int(workers.read_text())
        assert psutil.pid_exists(worker)
    assert gone(worker)


def test_stop_may_be_called_twice_and_nothing_is_left_when_the_object_is_gone():
    server = running_server(FAKE)
    server.stop()
    server.stop()
    assert not server.running
    other = running_server(FAKE)
    process, log = other._process, other.log
    del other
    assert process.poll() is not None and not log.exists()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_parent_that_is_killed_leaves_no_server(tmp_path):
    workers = tmp_path / "workers"
    script = (
        "import sys, time\n"
        "from llmcourse.serving.server import running_server\n"
        f"server = running_server({[*FAKE, str(workers)]!r})\n"
        "print(server._process.pid, *[c.pid for c in __import__('psutil')"
        ".Process(server._process.pid).children(recursive=True)], flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    processes = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(processes) == 3, "the keeper, the server, its worker"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(gone(pid) for pid in processes)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_keeper_that_is_killed_leaves_nothing_after_stop():
    server = running_server(FAKE)
    child = psutil.Process(server._process.pid).children()[0].pid
    os.kill(server._process.pid, signal.SIGKILL)
    server.stop()
    assert gone(child)


def test_one_that_ends_at_once_is_an_error_with_the_end_of_its_log():
    ends = [sys.executable, "-c", "import sys; print('\\x1b[31mno such model'); sys.exit(3)"]
    with pytest.raises(ServerFailed, match="ended before it answered") as failed:
        running_server(ends)
    assert "no such model" in str(failed.value) and "\x1b" not in str(failed.value)


def test_one_that_never_answers_is_ended_when_the_time_is_up(tmp_path):
    started = tmp_path / "pid"
    code = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(ServerFailed, match="No answer within 2 s"):
        running_server([sys.executable, "-c", code], seconds=2)
    assert gone(int(started.read_text()))


def test_a_cell_that_fails_ends_it_and_one_that_does_not_leaves_it(monkeypatch):
    registered = []
    events = SimpleNamespace(register=lambda name, call: registered.append((name, call)))
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(events=events))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    with running_server(FAKE) as server:
        server.stop_when_a_cell_fails()
        [(event, after_cell)] = registered
        assert event == "post_run_cell"
        after_cell(SimpleNamespace(success=True))
        assert server.running
        after_cell(SimpleNamespace(success=False))
        assert not server.running


def test_commands_name_the_model_and_take_a_host_and_a_port():
    command = serving.transformers_serve("folder", continuous_batching=True)
    assert command.model == "folder" and {"{host}", "{port}"} < set(command.words)
    assert command.words[-1] == "512" and "float32" in command.words
    bf16 = serving.transformers_serve("folder", "--dtype", "bfloat16").words
    assert bf16.count("--dtype") == 1
    assert serving.vllm("folder", "--max-num-seqs", "4", python="p").words[-1] == "4"


@pytest.mark.slow
def test_transformers_serve_answers_from_a_folder_without_a_network(course_model, tmp_path):
    from llmcourse.models import fetch

    nowhere = {"HF_HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    with running_server(fetch.course_model(), settings=nowhere) as server:
        asked = {"model": server.model, "prompt": "Red, blue,", "max_tokens": 3}
        address = server.url + "/v1/completions"
        answer = httpx.post(address, json=asked, timeout=60, trust_env=False)
        assert answer.json()["usage"]["completion_tokens"] == 3
        seconds, memory = server.used()
        assert seconds > 0 and memory > 500e6

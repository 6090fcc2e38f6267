"""The scripts for several processes: ordered answers, those of one process, whatever dies."""

import importlib.util
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scale import ray_batch
from benchmarks.scale.data_parallel import answer
from benchmarks.scaling import PROMPTS
from llmcourse.serving.server import free_port
from tools.lesson import ROOT

FEW = PROMPTS[:3]
WAYS = {way.name: way for way in scaling.ways(Path(sys.executable))}
with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="`make test-scale` has Ray"
)


@pytest.fixture(scope="module")
def expected(course_model) -> list[list[int]]:
    return [answer(*course_model, prompt) for prompt in FEW]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "processes"),
    [
        ("two processes, prompts shared", 2),
        ("the same from a notebook", 2),
        ("accelerate launch, two asked for", 1),  # the trap: it starts one, and says nothing
        ("three processes, each matrix shared", 3),
        ("half of the layers on the disk", 1),
    ],
)
def test_several_processes_give_the_answers_of_one_in_order(name, processes, expected):
    made = scaling.run(WAYS[name], FEW)
    assert made["processes"] == processes
    assert made["answers"] == expected


@pytest.mark.slow
def test_two_processes_cannot_share_nine_heads(course_model):
    config = course_model[0].config
    assert (config.num_attention_heads, config.num_key_value_heads) == (9, 3)
    with pytest.raises(OSError, match=r"shape '.*' is invalid for input of size"):
        scaling.run(WAYS["two processes, each matrix shared"], FEW)


# Batch inference over a file, with something in place of Ray.


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    asked = tmp_path / "prompts.jsonl"
    asked.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in "abcde"))
    return asked, tmp_path / "answers.jsonl"


def backwards(rows, workers, new_tokens, address):
    for row in reversed(rows):
        yield row | {"answer": row["prompt"].upper(), "tokens": [row["number"]]}


def dies(rows, *rest):
    """Answer two prompts, and no more."""
    yield from list(backwards(rows, *rest))[:2]
    raise KeyboardInterrupt


def texts(file: Path) -> list[str]:
    return [json.loads(line)["answer"] for line in file.read_text().splitlines()]


def test_answers_that_come_in_another_order_are_put_in_that_of_the_prompts(files):
    ray_batch.main([*map(str, files)], backwards)
    assert texts(files[1]) == ["A", "B", "C", "D", "E"]


def test_a_run_that_was_ended_goes_on_where_it_was(files, capsys):
    with pytest.raises(KeyboardInterrupt):
        ray_batch.main([*map(str, files)], dies)
    assert texts(files[1]) == ["E", "D"]
    with files[1].open("a") as file:
        file.write('{"number": 0, "prom')  # a line that was being written
    capsys.readouterr()
    ray_batch.main([*map(str, files)], backwards)
    assert "2 of 5 are answered; 3 are missing" in capsys.readouterr().out
    assert texts(files[1]) == ["A", "B", "C", "D", "E"]


def test_what_is_answered_is_not_asked_again_and_a_changed_prompt_is(files):
    ray_batch.main([*map(str, files)], backwards)
    ray_batch.main([*map(str, files)], lambda *asked: 1 / 0)
    files[0].write_text(files[0].read_text().replace('"b"', '"z"'))
    asked = []

    def one(rows, *rest):
        asked.extend(row["prompt"] for row in rows)
        return backwards(rows, *rest)

    ray_batch.main([*map(str, files)], one)
    assert asked == ["z"] and texts(files[1]) == ["A", "Z", "C", "D", "E"]


def test_a_line_that_is_no_prompt_is_named_before_anything_is_answered(files):
    files[0].write_text('{"prompt": "a\u2028b"}\n{"prompt": 3}\n', encoding="utf-8")
    with pytest.raises(SystemExit, match="line 2: not"):
        ray_batch.main([*map(str, files)], lambda *asked: 1 / 0)
    assert not files[1].exists()


@with_ray
@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(course_model):
    prompts = PROMPTS * 2
    made = scaling.run(WAYS["Ray Data, a worker killed"], prompts)
    assert made["killed"] == 1 and made["missing"] == 0
    assert made["answers"] == [answer(*course_model, prompt) for prompt in PROMPTS] * 2


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Start a cluster of two nodes on this machine, and yield its address; both end with it.

    The head computes nothing: what is asked runs on the node that joined.
    """
    from ray._private.services import get_node_ip_address

    (tmp_path / "token").write_text(secrets.token_hex(32), encoding="utf-8")
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    address = f"{get_node_ip_address()}:{free_port()}"
    started = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # paths of sockets have to be short
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
    quiet = ["--disable-usage-stats", "--object-store-memory=100000000"]
    head = ["--head", f"--port={address.rpartition(':')[2]}", "--num-cpus=0"]
    head += ["--include-dashboard=false", f"--temp-dir={started}"]
    nodes = []
    try:
        for node in (head, [f"--address={address}", "--num-cpus=2"]):
            nodes.append(
                subprocess.Popen(
                    [*ray, "start", *node, *quiet, "--block"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            wait_for(address)
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(timeout=60)
        shutil.rmtree(started, ignore_errors=True)


def wait_for(address: str) -> None:
    """Wait until somebody listens there."""
    host, _, port = address.rpartition(":")
    for _ in range(300):
        with socket.socket() as asked:
            if asked.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(address)


@with_ray
@pytest.mark.slow
def test_on_a_cluster_the_address_is_all_that_changes(files, cluster, expected):
    asked, answers = files
    asked.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in FEW))
    command = [sys.executable, "-m", "benchmarks.scale.ray_batch", str(asked), str(answers)]
    command += ["--address", cluster, "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    made = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [one["number"] for one in made] == [0, 1, 2]
    assert [one["tokens"] for one in made] == expected

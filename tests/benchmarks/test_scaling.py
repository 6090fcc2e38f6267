"""Several processes beside one: a row for each way, measured or with the reason, in the README."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from benchmarks import scaling
from benchmarks.readme import README, RESULTS, marks
from benchmarks.scaling import PROMPTS, Row, Way
from llmcourse.measure.machine import machine_name

FILES = sorted(RESULTS.glob("scaling-*.json"))
ANSWERS = """
import json, pathlib, sys
prompts = json.loads(pathlib.Path(sys.argv[-2]).read_text())
made = {"answers": [[len(one)] for one in prompts], "seconds": 2.0, "processes": 2}
"""
WRITES = "\npathlib.Path(sys.argv[-1]).write_text(json.dumps(made))"
FAILS = "import sys; sys.exit('[rank0]: RuntimeError: no | room\\nOSError: later')"


def way(name: str, program: str) -> Way:
    return Way(name, (sys.executable, "-c", program))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    other = ANSWERS + "\nmade['answers'][0] = [0]; made['seconds'] = 1.0; del made['answers'][-1]"
    asked = [way("one", ANSWERS + WRITES), way("other", other + WRITES), way("fails", FAILS)]
    return scaling.measured(asked, PROMPTS[:3], rounds=2, say=lambda line: None)


def test_each_way_is_run_in_each_round_and_compared_with_the_first(rows):
    one, other, _ = rows
    assert (one.equal, one.missing, one.processes) == (3, 0, 2)
    assert (other.equal, other.missing) == (1, 1)
    assert one.seconds == [2.0, 2.0] and len(one.walls) == 2 and min(one.walls) > 0


def test_one_that_fails_is_a_row_with_its_first_error(rows):
    assert rows[2].failed == "RuntimeError: no | room" and not rows[2].walls


def test_without_the_first_there_is_nothing_to_compare_with():
    with pytest.raises(OSError, match=r"no \| room"):
        scaling.measured([way("fails", FAILS)], PROMPTS[:1], say=lambda line: None)


def test_lines_out_of_order_or_doubled_are_not_taken_for_whole():
    def lines(*numbers: int) -> str:
        return "".join(json.dumps({"number": number, "tokens": [1]}) + "\n" for number in numbers)

    assert "missing" not in scaling.of_lines(lines(0, 1, 2))
    assert scaling.of_lines(lines(0, 2, 1))["missing"] == 2
    assert scaling.of_lines(lines(0, 1, 1))["missing"] == 1


def named(pid: int) -> list[str]:
    """Return the names of Ray's processes below one, those that ended left out."""
    below = psutil.Process(pid).children(recursive=True)
    lines = [one.cmdline() for one in below if one.status() != psutil.STATUS_ZOMBIE]
    return [line[0] for line in lines if line and line[0].startswith("ray::")]


def gone(pid: int, name: str) -> bool:
    """Tell whether a process is gone, or goes within two seconds."""
    for _ in range(40):
        if name not in named(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="a process has no other name there")
def test_a_worker_is_killed_once_there_is_an_answer_and_nothing_else_is(tmp_path):
    answers = tmp_path / "answers"
    answers.write_text("one\n")
    program = "(exec -a ray::Other sleep 60) & (exec -a ray::MapWorker sleep 60) & wait"
    process = subprocess.Popen(["bash", "-c", program])
    try:
        while len(named(process.pid)) < 2:
            time.sleep(0.05)
        assert scaling.kill_a_worker(process, answers) == 1
        assert gone(process.pid, "ray::MapWorker") and not gone(process.pid, "ray::Other")
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.wait()


def test_a_program_that_ended_has_no_worker_to_kill(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    assert scaling.kill_a_worker(process, tmp_path / "none") == 0


def test_a_command_is_shown_as_one_types_it():
    shown = {one.name: scaling.typed(one) for one in scaling.ways(Path("ray/bin/python"))}
    shared = "benchmarks.scale.data_parallel"
    assert shown["two processes, prompts shared"] == f"torchrun --nproc-per-node 2 -m {shared}"
    trap = shown["accelerate launch, two asked for"]
    assert trap == f"accelerate launch --cpu --num_processes 2 -m {shared}"
    assert shown["Ray Data, two workers"] == "python -m benchmarks.scale.ray_batch"


def written(rows: list[Row], folder) -> str:
    machine = {"processor": "Abacus", "cores": 2, "torch": "2", "transformers": "5"}
    made = {"schema": 1, "machine": machine, "date": "2026-01-02", "note": "A note."}
    made |= {"packages": "accelerate 1", "prompts": 3, "rows": [asdict(row) for row in rows]}
    (folder / "scaling-toy.json").write_text(json.dumps(made), encoding="utf-8")
    return scaling.written("a\n<!-- scaling: made by x -->\n<!-- end -->\nb\n", folder)


def test_the_table_says_what_is_missing_and_what_failed(rows, tmp_path):
    text = written(rows, tmp_path)
    assert "A note." in text and "| 2.00 (2.00 to 2.00) |" in text
    assert "| 1 of 3 | 1 missing or doubled |" in text
    assert "fails: RuntimeError: no / room |" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 3 and {line.count("|") for line in table} == {9}
    assert scaling.written(text, tmp_path) == text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_committed_result_is_read_and_named_after_its_machine(path):
    made, rows = scaling.read(path)
    assert path.name == f"scaling-{machine_name(made['machine'])}.json"
    assert [row.name for row in rows] == [one.name for one in scaling.ways(Path("python"))]
    assert all(row.equal == made["prompts"] for row in rows if not row.failed)
    assert "/" not in "".join(row.failed + row.command for row in rows), "no paths of a machine"


def test_the_readme_shows_the_committed_results():
    text = README.read_text(encoding="utf-8")
    assert marks("scaling").search(text)
    assert scaling.written(text, RESULTS) == text, "run `python -m benchmarks.scaling --page`"

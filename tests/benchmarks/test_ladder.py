"""The ladder: rungs take turns, one that fails is left out, Ctrl-C keeps whole rounds."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from benchmarks import ladder, rung_process
from benchmarks.ladder import climb
from benchmarks.rung_process import Rung, RungFailed, RungProcess
from llmcourse.measure import Figure

ROOT = Path(__file__).parent.parent.parent
PROMPT = [5, 6, 7]


def fake(name: str, *words: str) -> Rung:
    return Rung(name, (sys.executable, "-m", "tests.benchmarks.fake_rung", name, *words))


@pytest.fixture
def alike(monkeypatch):
    """Give all rungs the same turns and processes, however fast they are."""
    monkeypatch.setattr(ladder, "OFTEN", 0)
    monkeypatch.setattr(ladder, "ANEW", 2)


def climbed(*rungs: Rung, **sizes):
    said: list[str] = []
    sizes = {"rounds": 2, "turns": 2, "new_tokens": 4} | sizes
    gigabytes = Figure((10.0, 12.0), "GB/s")
    made = climb(rungs, PROMPT, bandwidth=lambda: gigabytes, say=said.append, **sizes)
    return made, said


def stops(process: psutil.Process) -> bool:
    """Tell whether it is suspended, or will be when the system comes to it."""
    for _ in range(100):
        if process.status() == psutil.STATUS_STOPPED:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def two():
    return climbed(fake("float32", "20"), fake("fast", "1"))


def test_each_rung_has_its_turns_in_each_round_and_a_slow_one_has_one(two):
    made, _ = two
    assert [one.name for one in made.climbs] == ["float32", "fast"]
    assert [[len(turns) for turns in one.rounds.values()] for one in made.climbs] == [
        [1, 1],
        [2, 2],
    ]
    assert all(list(one.rounds) == [1, 2] for one in made.climbs)
    assert all(one.tokens == (3, 4, 5, 6) for one in made.climbs)
    assert made.complete and not made.failed
    assert made.bandwidth.values == (10.0, 12.0) * 3


def test_a_ratio_is_taken_within_a_round(two):
    base, fast = two[0].climbs
    assert fast.beside(base).values == tuple(
        one / other for one, other in zip(fast.speed.values, base.speed.values, strict=True)
    )
    assert base.beside(base).values == (1.0, 1.0)


def test_the_fastest_are_started_anew_in_each_round_and_the_slow_ones_go_on(two):
    made, said = two
    assert [one.processes for one in made.climbs] == [1, 2]
    assert said.count("starting fast") == 2 and said.count("starting float32") == 1


def test_who_goes_first_changes_and_no_two_compute_at_a_time(monkeypatch, alike):
    asked = []
    ask = RungProcess.ask

    def noted(self, *what):
        started = time.perf_counter()
        turn = ask(self, *what)
        asked.append((self.rung.name, started, time.perf_counter()))
        return turn

    monkeypatch.setattr(RungProcess, "ask", noted)
    climbed(fake("a"), fake("b"), rounds=1, turns=2)
    assert [name for name, *_ in asked] == ["a", "b", "a", "b", "b", "a"]  # two to warm up
    assert all(before[2] <= after[1] for before, after in pairwise(asked))


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_rung_is_suspended_between_its_turns_and_ended_after_them():
    process = RungProcess(fake("a"))
    process.start()
    there = psutil.Process(process.process.pid)
    assert stops(there)
    process.ask(PROMPT, 2)
    assert stops(there)
    process.close()
    assert not there.is_running()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("dies", "status 3: the weights ran away"),
        ("is killed", "signal 9"),
        ("is short", "3 tokens of 4"),
        ("stutters", "it said 'loading'"),
    ],
)
def test_a_rung_that_fails_is_left_out_with_its_reason_and_the_others_go_on(fault, reason, alike):
    made, said = climbed(fake("broken", "1", fault), fake("sound"), rounds=2)
    assert reason in made.failed["broken"]
    assert any("broken failed" in line for line in said)
    sound = made.named("sound")
    assert [len(turns) for turns in sound.rounds.values()] == [2, 2]
    assert made.named("broken") is None
    assert "broken could not be run" in made.table()


def test_a_rung_that_dies_in_a_later_round_keeps_the_rounds_before(alike):
    made, _ = climbed(fake("broken", "1", "dies"), fake("sound"), rounds=2, turns=1)
    assert list(made.named("broken").rounds) == [1] and "broken" in made.failed


def test_a_rung_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(rung_process, "START", 0.3)
    process = RungProcess(fake("mute", "1", "hangs"))
    try:
        with pytest.raises(RungFailed, match=r"nothing for 0\.3 s"):
            process.start()
    finally:
        process.close()


def test_a_program_that_is_not_there_is_a_rung_that_fails():
    made, _ = climbed(Rung("none", ("/nowhere/at/all",)), fake("sound"), rounds=1)
    assert "cannot be run" in made.failed["none"]


def test_without_any_rung_there_is_no_result():
    with pytest.raises(ValueError, match="No rung could be run"):
        climbed(Rung("none", ("/nowhere/at/all",)))


def test_ctrl_c_keeps_whole_rounds(monkeypatch, alike):
    ask, turns = RungProcess.ask, []

    def interrupted(self, *what):
        turns.append(self.rung.name)
        if len(turns) == 5:  # one to warm up, two of round 1, and the second of round 2
            raise KeyboardInterrupt
        return ask(self, *what)

    monkeypatch.setattr(RungProcess, "ask", interrupted)
    made, _ = climbed(fake("a"))
    assert not made.complete and list(made.named("a").rounds) == [1]
    assert "Interrupted" in made.table()


def test_ctrl_c_before_a_whole_round_ends_it_and_all_processes(monkeypatch):
    made = []
    monkeypatch.setattr(RungProcess, "ask", lambda self, *what: made.append(self) or 1 / 0)

    def interrupted(self, *what):
        made.append(self.process)
        raise KeyboardInterrupt

    monkeypatch.setattr(RungProcess, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        climbed(fake("a"))
    assert made[0].poll() is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what Linux does with orphans")
def test_no_rung_is_left_behind_when_the_ladder_is_killed():
    program = (
        "import sys, time\n"
        "from benchmarks.rung_process import Rung, RungProcess\n"
        "command = (sys.executable, '-m', 'tests.benchmarks.fake_rung', 'a')\n"
        "one = RungProcess(Rung('a', command)); one.start()\n"
        "print(one.process.pid, flush=True); time.sleep(60)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    rung = psutil.Process(int(driver.stdout.readline()))
    assert stops(rung)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    gone, _ = psutil.wait_procs([rung], timeout=10)
    assert gone or rung.status() == psutil.STATUS_ZOMBIE


def test_a_rung_is_chosen_by_name_and_quick_leaves_out_what_compiles():
    rungs = [Rung("float32", ()), Rung("own step, compiled, int8", (), compiled=True)]
    rungs += [Rung("aside", ())]
    chosen = partial(ladder.chosen, rungs)
    assert chosen(None, every=False, quick=False) == rungs[:2]
    assert chosen(None, every=False, quick=True) == rungs[:1]
    assert chosen(None, every=True, quick=False) == rungs
    assert chosen(["aside"], every=False, quick=True) == rungs[2:]
    with pytest.raises(ValueError, match="no rung 'c'"):
        chosen(["c"], every=False, quick=False)


def test_the_core_of_the_ladder_is_there():
    assert set(ladder.CORE) <= {rung.name for rung in ladder.our_rungs()}
    assert set(ladder.QUICK) < set(ladder.CORE)


def test_without_memory_a_rung_is_not_started(monkeypatch):
    monkeypatch.setattr(ladder, "ROOM", float("inf"))
    with pytest.raises(ValueError, match="of memory are free"):
        climbed(fake("a"))


def test_instructions_are_read_as_linux_lists_them(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags\t\t: fpu avx2 avx512f sse\n")
    assert ladder.instructions(tmp_path / "cpuinfo") == ["avx2", "avx512f"]
    assert ladder.instructions(tmp_path / "none") == []

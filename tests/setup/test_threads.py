"""`make threads`: each row has its own threads, instructions, and compiled code."""

import os
from types import SimpleNamespace

from tools import threads


def test_each_row_has_a_place_of_its_own_for_compiled_code(monkeypatch):
    """What torch compiled for other instructions gives wrong numbers when it is found again."""
    rows = []

    def run(command, env, **rest):
        assert os.path.isdir(env["TORCHINDUCTOR_CACHE_DIR"])
        rows.append((command[-1], env))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(threads.subprocess, "run", run)
    assert threads.check(1, "avx2", []) and threads.check(2, "avx512", [])
    (workers, first), (worker, second) = rows
    assert (workers, worker) == ("2", "1")
    assert (first["OMP_NUM_THREADS"], first["ATEN_CPU_CAPABILITY"]) == ("1", "avx2")
    assert first["TORCHINDUCTOR_CACHE_DIR"] != second["TORCHINDUCTOR_CACHE_DIR"]

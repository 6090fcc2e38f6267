"""Lesson 11 starts servers: none is left when its kernel is gone, also where a cell failed."""

import os
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.support.toy_models import save_unlike_the_course
from tools import lesson

NOTE = """import psutil
children = psutil.Process(server._process.pid).children(recursive=True)
Path({file!r}).write_text(" ".join(str(one.pid) for one in children))
"""


def cells_until_a_server_runs():
    (path,) = (one for one in lesson.lessons() if one.name.startswith("11_"))
    for cell in lesson.read(path).cells:
        if cell.cell_type == "code":
            yield new_code_cell(cell.source)
            if "server = running_server(" in cell.source:
                return


def still_there(pids):
    return [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.slow
@pytest.mark.parametrize("last", ["print('well')", "raise RuntimeError('on purpose')"])
def test_no_server_outlives_the_kernel_that_started_it(last, tmp_path):
    save_unlike_the_course(tmp_path / "model", (lesson.ROOT / "README.md").read_text("utf-8"))
    note = NOTE.format(file=str(tmp_path / "pids"))
    cells = [*cells_until_a_server_runs(), new_code_cell(note), new_code_cell(last)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "begun.ipynb")
    subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "begun.ipynb"],
        cwd=tmp_path,
        env={**os.environ, "LLMCOURSE_MODEL": str(tmp_path / "model"), "PYTHONPATH": lesson.ROOT},
        timeout=300,
        stdout=subprocess.DEVNULL,
    )
    pids = [int(one) for one in (tmp_path / "pids").read_text().split()]
    assert pids, "no server ran"
    deadline = time.monotonic() + 20
    while still_there(pids) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert still_there(pids) == []

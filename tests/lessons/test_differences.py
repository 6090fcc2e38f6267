"""Cells that print something else on another version: each listed with a reason, and checked."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import known_differences, run_notebooks

ROOT = Path(__file__).parent.parent.parent
LISTED = [
    pytest.param(versions, *place, reason, id="-".join([versions, *place]))
    for versions in known_differences.LANES
    for place, reason in known_differences.known(versions).items()
]


@pytest.mark.parametrize(("versions", "notebook", "cell", "reason"), LISTED)
def test_a_listed_cell_is_there_and_has_a_reason(versions, notebook, cell, reason):
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    assert [one.cell_type for one in cells if one.id == cell] == ["code"]
    assert re.fullmatch(r"\S.{20,}\.", reason), "a sentence that says why"


CELLS = {
    "same": "print(1)",
    "listed": "print(2)",
    "listed-raises": "raise ValueError",
    "listed-same": "print(1)",
    "other": "print(2)",
}
LIST = """
[newest.small]
listed = "It prints another number."
listed-raises = "It prints another number."
listed-same = "It prints another number."
[oldest]
"""


@pytest.mark.slow
def test_only_a_listed_cell_may_differ_and_it_must(tmp_path):
    stored = new_output("stream", name="stdout", text="1\n")
    cells = [
        new_code_cell(source, id=name, execution_count=place, outputs=[stored])
        for place, (name, source) in enumerate(CELLS.items(), start=1)
    ]
    metadata = {"kernelspec": dict(run_notebooks.KERNEL)}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), tmp_path / "small.ipynb")
    (tmp_path / "list.toml").write_text(LIST)
    ours = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST")}
    plugin = ["-p", "tools.known_differences", "--versions=newest", "--differences=list.toml"]
    plugin += ["--results=lane.json", "--packages=python==3.11.7 torch==2.15.0"]
    command = [sys.executable, "-m", "pytest", *plugin, "--nbval", "--nbval-current-env", "-n1"]
    subprocess.run(
        [*command, "--junitxml=results.xml", "."],
        cwd=tmp_path,
        env={**ours, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    made = [
        [part.tag for part in case if part.tag not in ("system-out", "properties")]
        for case in ElementTree.parse(tmp_path / "results.xml").iter("testcase")
    ]
    failed, xfailed = ["failure"], ["skipped"]
    expected = {
        "same": [],
        "listed": xfailed,
        "listed-raises": failed,
        "listed-same": failed,
        "other": failed,
    }
    assert dict(zip(CELLS, made, strict=True)) == expected
    written = json.loads((tmp_path / "lane.json").read_text(encoding="utf-8"))
    assert written["packages"] == {"python": "3.11.7", "torch": "2.15.0"}
    small = written["notebooks"]["small"]
    assert small["cells"] == len(CELLS) and small["differ"] == ["listed"]
    assert sorted(small["failed"]) == ["listed-raises", "listed-same", "other"]


class Report:
    """What pytest says of a cell that was run, and what it knows of its place."""

    def __init__(self, notebook, outcome):
        self.user_properties, self.when = [("cell", (notebook, "a"))], "call"
        self.passed, self.failed = outcome == "passed", outcome == "failed"
        self.skipped = outcome == "skipped"


def write(file, packages, course, **outcomes):
    """Write the results of a run in which each notebook has one cell.

    course: the folder of the course's notebooks, which need not be where they were run.
    """
    options = {"--results": str(file), "--packages": packages}
    made = known_differences.Results(SimpleNamespace(getoption=options.get), course)
    for notebook, outcome in outcomes.items():
        made.pytest_runtest_logreport(Report(notebook, outcome))
    made.pytest_sessionfinish()
    notebooks = json.loads(file.read_text(encoding="utf-8"))["notebooks"]
    return {name: (one["differ"], one["failed"]) for name, one in notebooks.items()}


@pytest.fixture
def course(tmp_path):
    """A folder of two notebooks."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.ipynb").touch()
    return folder


def test_results_of_notebooks_that_were_left_out_hold_on_the_same_packages_alone(tmp_path, course):
    file = tmp_path / "results" / "newest.json"
    first = write(file, "torch==2.14.0", course, one="passed", two="failed")
    assert first == {"one": ([], []), "two": ([], ["a"])}
    again = write(file, "torch==2.14.0", course, two="skipped")
    assert again == {"one": ([], []), "two": (["a"], [])}
    assert write(file, "torch==2.15.0", course, two="passed") == {"two": ([], [])}


def test_results_of_a_notebook_that_was_renamed_or_removed_are_dropped(tmp_path, course):
    file = tmp_path / "results" / "newest.json"
    write(file, "torch==2.14.0", course, one="failed", two="passed")
    (course / "one.ipynb").rename(course / "first.ipynb")
    assert write(file, "torch==2.14.0", course, two="passed") == {"two": ([], [])}
    again = write(file, "torch==2.14.0", course, first="passed")
    assert again == {"first": ([], []), "two": ([], [])}


def test_the_notebooks_that_count_are_the_courses_own_wherever_they_are_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # as in `make colab`, where copies are run
    file, own = tmp_path / "colab.json", known_differences.NOTEBOOKS
    lesson = min(path.stem for path in own.glob("*.ipynb"))
    assert own == ROOT / "notebooks"
    (tmp_path / "copy.ipynb").touch()
    write(file, "torch==2.14.0", own, **{lesson: "passed", "copy": "passed"})
    again = write(file, "torch==2.14.0", own, gallery="passed")
    assert again == {lesson: ([], []), "gallery": ([], [])}

"""A pytest plugin: which cells may print something else on another version, and which ones did.

    pytest -p tools.known_differences --versions=newest --nbval ... notebooks

They stand in tests/lessons/differences.toml, each with its reason. A listed cell must differ: one
that prints what is stored fails, so that the list stays short. A cell that raises always fails.
With --results, what came of each cell is written to a file, of which docs/versions.md is made.
"""

import datetime
import json
import tomllib
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, NbCellError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"  # the course's own; `make colab` runs copies of them elsewhere
LESSONS = ROOT / "tests" / "lessons"
LIST = LESSONS / "differences.toml"
LANES = ("oldest", "colab", "newest")
DIFFER = "Cell outputs differ"  # nbval's words; it has the same exception for a cell that raises


def known(versions: str, path: Path = LIST) -> dict[tuple[str, str], str]:
    """Return {(notebook without .ipynb, id of the cell): reason} for one of LANES."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))[versions]
    return {
        (notebook, cell): reason
        for notebook, cells in listed.items()
        for cell, reason in cells.items()
    }


def pytest_addoption(parser):
    parser.addoption("--versions", choices=LANES, help="which part of the list")
    # a str, which workers of pytest-xdist can be handed
    parser.addoption("--differences", default=str(LIST), help="the list (%(default)s)")
    parser.addoption("--results", help="the file to write what came of each cell to")
    parser.addoption("--packages", default="", help="for that file: 'python==3.11.7 torch==2.11.0'")


def pytest_configure(config):
    if config.getoption("--results") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(config))


def pytest_collection_modifyitems(config, items):
    listed = known(config.getoption("--versions"), Path(config.getoption("--differences")))
    for item in items:
        if isinstance(item, IPyNbCell):
            place = (item.path.stem, item.cell.id)
            item.user_properties.append(("cell", place))
            if place in listed:
                mark = pytest.mark.xfail(reason=listed[place], raises=NbCellError, strict=True)
                item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Let a listed cell that raises fail: to differ is all that its entry allows."""
    try:
        return (yield)
    except NbCellError as error:
        if item.get_closest_marker("xfail") and str(error) != DIFFER:
            raise RuntimeError(f"{error}\n{error.inner_traceback}") from error
        raise


class Results:
    """Writes for each notebook how many cells ran, which ones differed, and which ones failed.

    What another run on the same packages wrote still holds for the notebooks that this one left
    out, if the course still has them.
    """

    def __init__(self, config, course: Path = NOTEBOOKS):
        self.course = course
        self.file = Path(config.getoption("--results"))
        pairs = (package.split("==") for package in config.getoption("--packages").split())
        self.packages = dict(pairs)
        self.notebooks: dict[str, dict] = {}

    def pytest_runtest_logreport(self, report):
        place = dict(report.user_properties).get("cell")
        if place is None or (report.when != "call" and report.passed):
            return
        notebook, cell = place
        new = {"cells": 0, "differ": [], "failed": []}
        seen = self.notebooks.setdefault(notebook, new)
        seen["cells"] += 1
        if report.failed:
            seen["failed"].append(cell)
        elif report.skipped:  # as pytest calls what was expected to fail, and did
            seen["differ"].append(cell)

    def still_hold(self) -> dict[str, dict]:
        """Return what the file says of the course's notebooks, if it is of these packages."""
        before = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {}
        if before.get("packages") != self.packages:
            return {}
        there = {path.stem for path in self.course.rglob("*.ipynb")}
        return {name: one for name, one in before["notebooks"].items() if name in there}

    def pytest_sessionfinish(self):
        if not self.notebooks:
            return
        made = {
            "date": datetime.date.today().isoformat(),
            "packages": self.packages,
            "notebooks": dict(sorted({**self.still_hold(), **self.notebooks}.items())),
        }
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")

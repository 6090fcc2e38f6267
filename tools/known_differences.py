"""A pytest plugin: the cells that are known to print something else on another version.

    pytest -p tools.known_differences --versions=newest --nbval ... notebooks

They stand in tests/lessons/differences.toml, each with its reason. A listed cell must differ: one
that prints what is stored fails, so that the list stays short. A cell that raises always fails.
"""

import tomllib
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, NbCellError

LIST = Path(__file__).parent.parent / "tests" / "lessons" / "differences.toml"
DIFFER = "Cell outputs differ"  # nbval's words; it has the same exception for a cell that raises


def known(versions: str, path: Path = LIST) -> dict[tuple[str, str], str]:
    """Return {(notebook without .ipynb, id of the cell): reason} for 'oldest' or 'newest'."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))[versions]
    return {
        (notebook, cell): reason
        for notebook, cells in listed.items()
        for cell, reason in cells.items()
    }


def pytest_addoption(parser):
    parser.addoption("--versions", choices=["oldest", "newest"], help="which part of the list")
    # a str, which workers of pytest-xdist can be handed
    parser.addoption("--differences", default=str(LIST), help="the list (%(default)s)")


def pytest_collection_modifyitems(config, items):
    listed = known(config.getoption("--versions"), Path(config.getoption("--differences")))
    for item in items:
        if isinstance(item, IPyNbCell):
            reason = listed.get((item.path.stem, item.cell.id))
            if reason is not None:
                mark = pytest.mark.xfail(reason=reason, raises=NbCellError, strict=True)
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

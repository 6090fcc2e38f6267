"""A pytest plugin: every `model.generate` of another test suite goes through the visible loop.

    pytest -p tools.through_the_loop --loop=on|off --loop-log=FILE ...

`on` sends each call to `llmcourse.generate`; `off` only notes that a test makes one. FILE gets a
line of JSON for each test: its outcome, whether it called, and by which words it was refused.
`tools/library_tests.py` runs both and makes the table.
"""

import ast
import functools
import importlib
import inspect
import json
import threading
from pathlib import Path

import pytest
from transformers import GenerationMixin

import llmcourse

_generate = GenerationMixin.generate
_now = threading.local()  # inside: a call of ours runs; called, refused: of the test that runs


def pytest_addoption(parser):
    parser.addoption("--loop", choices=["on", "off"], default="off", help="who generates")
    parser.addoption("--loop-log", help="where the outcome of each test is noted")
    parser.addoption("--loop-only", help="names that a family's tests begin with, commas between")


def pytest_configure(config):
    for file in (Path(config.rootpath) / "tests").glob("*.py"):
        _supply_missing(ast.parse(file.read_text(encoding="utf-8")))
    GenerationMixin.generate = _through(config.getoption("--loop") == "on")


def pytest_collection_modifyitems(config, items):
    names = config.getoption("--loop-only")
    if names is not None:
        begins = tuple(names.split(","))
        items[:] = [item for item in items if item.name.startswith(begins)]


def _supply_missing(tree: ast.Module) -> None:
    """Put None where tests of another version import a name that this library lacks.

    A test that uses it fails in the run without the loop, and is not counted.
    """
    for part in ast.walk(tree):
        if isinstance(part, ast.ImportFrom) and (part.module or "").startswith("transformers"):
            module = importlib.import_module(part.module)
            for name in part.names:
                if not hasattr(module, name.name):
                    setattr(module, name.name, None)


def _through(loop: bool):
    """Return the `generate` that tests find: the loop, or the library's own, noted."""

    @functools.wraps(_generate)
    def generate(self, *arguments, **keywords):
        if getattr(_now, "inside", False) or keywords.get("custom_generate") is not None:
            return _generate(self, *arguments, **keywords)
        _now.called = True
        if not loop:
            return _generate(self, *arguments, **keywords)
        call = inspect.signature(_generate).bind(self, *arguments, **keywords).arguments
        call |= call.pop("kwargs", {})
        _now.inside = True
        try:
            return llmcourse.generate(call.pop("self"), **call)
        except (ValueError, TypeError) as error:
            if _is_refusal(error):
                _now.refused = str(error)
            raise
        finally:
            _now.inside = False

    return generate


def _is_refusal(error: Exception) -> bool:
    """Tell whether the loop refused the call by name: the error comes from `refusals`."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return Path(trace.tb_frame.f_code.co_filename).name in ("refusals.py", "ingredients.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "setup":
        _now.called, _now.refused, _now.inside = False, None, False
    if call.when == "call" or report.outcome != "passed":
        said = "" if call.excinfo is None else f"{call.excinfo.typename}: {call.excinfo.value}"
        _note(item, report.outcome, said)
    return report


def _note(item, outcome: str, said: str) -> None:
    log = item.config.getoption("--loop-log")
    if log is None:
        return
    seen = {
        "test": item.nodeid,
        "outcome": outcome,
        "called": getattr(_now, "called", False),
        "refused": getattr(_now, "refused", None),
        "said": said[:400],
    }
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps(seen) + "\n")

"""A user's script or notebook, run as it is while the doctor looks at its calls to `generate`."""

import contextlib
import io
import json
import os
import runpy
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llmcourse.doctor.call_site import is_installed
from llmcourse.doctor.finding import ERROR, WARNING
from llmcourse.doctor.report import counted, findings_as_lines
from llmcourse.doctor.watch import Watch, watch
from llmcourse.show import plural, printable

SCHEMA = "llmcourse.doctor/1"
KINDS = (".py", ".ipynb")


@dataclass(frozen=True, eq=False)
class Visit:
    """A file that was run."""

    file: str  # as it was named on the command line
    watched: Watch  # what the doctor saw meanwhile
    failure: str | None  # in words, why the file itself failed, or None

    def status(self, warnings_as_errors: bool = False) -> int:
        """Return the exit status: 2 if the file failed, 1 if there are errors, else 0."""
        if self.failure is not None:
            return 2
        grave = (ERROR, WARNING) if warnings_as_errors else (ERROR,)
        return int(any(found.severity in grave for found in self.watched.findings))

    def lines(self) -> Iterator[str]:
        """Yield a line for each finding, as linters do, and a summary."""
        yield from findings_as_lines(self.watched.findings, self.file)
        for sentence in self.watched.failures:
            yield printable(f"{self.file}: the doctor could not look: {sentence}", None)
        yield printable(summary(self), None)

    def to_json(self) -> str:
        """Return the findings, failures and counts as one JSON object."""
        seen = json.loads(self.watched.to_json())
        return json.dumps({**seen, "schema": SCHEMA, "file": self.file, "failed": self.failure})


def visit(file: str, arguments: list[str]) -> Visit:
    """Run `file`, a Python script or a notebook, under watch, and return what was found.

    arguments: what the script finds in `sys.argv[1:]`. A script runs as `python file` would run it;
    a notebook's code cells run in order in one namespace, in the notebook's folder, as in Jupyter.
    What the file raises is shown on stderr. Raises FileNotFoundError, and ValueError for a file
    that is neither.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(
            f"{file} is not a file; name a script (.py) or a notebook (.ipynb)."
        )
    if path.suffix not in KINDS:
        raise ValueError(f"{file} is neither a script (.py) nor a notebook (.ipynb).")
    run = run_script if path.suffix == ".py" else run_notebook
    with watch() as watched:
        failure = run(path, arguments)
        _wait_for_threads()
    return Visit(file, watched, failure)


def run_script(path: Path, arguments: list[str]) -> str | None:
    """Run a script as `__main__`; return in words why it failed, or None."""
    with _as_started([str(path), *arguments], str(path.resolve().parent)):
        return _failure_of(lambda: runpy.run_path(str(path), run_name="__main__"))


def run_notebook(path: Path, arguments: list[str]) -> str | None:
    """Run a notebook's code cells, magics included; return in words why one failed, or None.

    Cells are counted from 1, code cells alone, and a cell's lines belong to the file `path:cell`. A
    cell that is tagged `raises-exception` may fail. Raises ValueError where `path` is no notebook.
    """
    cells = code_cells(path)
    folder = path.resolve().parent
    with (
        _as_started([str(path), *arguments], str(folder)),
        contextlib.chdir(folder),
        tempfile.TemporaryDirectory() as scratch,
        _shell(scratch) as shell,
    ):
        for number, (source, may_fail) in enumerate(cells, 1):
            shell.compile.get_code_name = lambda *_, name=f"{path}:{number}": name
            failure = _failure_of(lambda source=source: _run_cell(shell, source), may_fail)
            if failure is not None:
                return f"cell {number}: {failure}"
    return None


def code_cells(path: Path) -> list[tuple[str, bool]]:
    """Return for each code cell its source, and whether it may raise an exception."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [
            ("".join(cell["source"]), "raises-exception" in cell["metadata"].get("tags", ()))
            for cell in cells
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a notebook (format 4): {error!r}") from error


@contextlib.contextmanager
def _shell(folder: str) -> Iterator:
    """A fresh IPython, which keeps no history and reads no profile of the user's."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    before = sys.modules["__main__"], sys.displayhook, sys.excepthook
    shell = InteractiveShell(config=config, ipython_dir=folder)
    InteractiveShell._instance = shell
    shell.enable_gui = lambda *_: None  # `%matplotlib` asks for it, and there are no windows
    shell.showtraceback = shell.showsyntaxerror = lambda *_, **__: None  # shown on stderr instead
    try:
        yield shell
    finally:
        InteractiveShell.clear_instance()
        sys.modules["__main__"], sys.displayhook, sys.excepthook = before


def _run_cell(shell, source: str) -> None:
    result = shell.run_cell(source, store_history=False)
    result.raise_error()


def _failure_of(run: Callable[[], object], may_fail: bool = False) -> str | None:
    """Run; show on stderr what Python would show; return in words why it failed, or None."""
    try:
        run()
    except SystemExit as leaving:
        if leaving.code is None or leaving.code == 0:
            return None
        if not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
        return f"SystemExit: {leaving.code}"
    except Exception as error:
        if may_fail:
            return None
        trace = error.__traceback__
        while trace.tb_next and is_installed(trace.tb_frame.f_code.co_filename):
            trace = trace.tb_next  # the file's own lines, without ours that led there
        traceback.print_exception(type(error), error, trace, file=sys.stderr)
        return f"{type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def _as_started(argv: list[str], folder: str) -> Iterator[None]:
    """Give a script the argv and import path that it would have had as a program of its own."""
    before = sys.argv, sys.path[:]
    sys.argv, sys.path[0] = argv, folder
    try:
        yield
    finally:
        sys.argv, sys.path[:] = before


def _wait_for_threads() -> None:
    """Wait for the threads that Python itself would wait for at the end of a script."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


@contextlib.contextmanager
def stdout_on_stderr() -> Iterator[None]:
    """Send what is printed to stdout, by Python and by what it starts, to stderr."""
    try:
        kept = os.dup(1)
        sys.stdout.flush()
        os.dup2(2, 1)
    except (OSError, io.UnsupportedOperation):
        kept = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def summary(visited: Visit) -> str:
    """Return one line: how many calls were looked at, and how much was found."""
    calls = len(visited.watched.diagnoses)
    findings = visited.watched.findings
    looked_at = f"{plural(calls, 'call')} to generate"
    if visited.failure is not None:
        start = f"{visited.file} failed ({visited.failure}) after {looked_at}"
    elif not calls and not findings:
        return f"{visited.file}: no call to generate was made, so there was nothing to look at."
    else:
        start = f"{visited.file}: looked at {looked_at}"
    return f"{start}: {', '.join(counted(findings).values())}."

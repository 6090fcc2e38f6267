"""A user's script or notebook, run as Python or Jupyter would, with all its calls written down.

`child_process` starts this in a process of its own: `main`. It stays out of the way: nothing heavy
is imported before the script imports it, and how the script ends is left to Python.
"""

import asyncio
import atexit
import builtins
import contextlib
import importlib.machinery
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType

from llmcourse.doctor import instrument, stand_in
from llmcourse.doctor.journal import Journal
from llmcourse.doctor.notebook import code_cells
from llmcourse.show import in_words

INTERRUPTED = 130  # the exit status after Ctrl-C, as shells have it


_watches: list = []  # the one that looks at this process, once it does


def main(instead: str | None = None) -> None:
    """Run the file that `sys.argv` names: the journal's path, the file's, and its arguments.

    instead: the model that stands in for those of the hub; None: for none.
    """
    journal, path, arguments = Journal(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    if instead is not None:
        stand_in.stay_off_the_hub()
        when_imported("huggingface_hub", stand_in.skip_logins)
    when_imported("transformers", lambda: _listen(journal, instead))
    run = run_notebook if path.suffix == ".ipynb" else run_script
    journal.began()
    try:
        run(path, arguments, journal)
    except SystemExit as leaving:
        journal.ended(raised=None, exit_of=in_words(leaving), left_open=_left_open())
        raise
    except BaseException as error:
        for watched in _watches:
            watched.ended_by(error)
        journal.ended(raised=in_words(error), exit_of=None, left_open=_left_open())
        _show(error, str(path))
        sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)
    journal.ended(raised=None, exit_of=None, left_open=_left_open())


def when_imported(name: str, then: Callable[[], None]) -> None:
    """Call `then` as soon as a module was imported, by whom and when ever that is."""

    class Finder:
        @staticmethod
        def find_spec(asked, path=None, target=None):
            if asked != name:
                return None
            others = [finder for finder in sys.meta_path if finder is not Finder]
            specs = (finder.find_spec(asked, path, target) for finder in others)
            spec = next((spec for spec in specs if spec is not None), None)
            if spec is not None and spec.loader is not None:
                execute = spec.loader.exec_module

                def exec_module(module: ModuleType) -> None:
                    execute(module)
                    then()

                spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Finder)


def _listen(journal: Journal, instead: str | None) -> None:
    """Look at every call from now on, to the end of the process.

    The stand-in comes first, so that a load is heard as the script wrote it.
    """
    try:
        if instead is not None:
            stand_in.install(instead, lambda one: journal.replaced(one.as_dict()))
        from llmcourse.doctor.followed.callables import Callables
        from llmcourse.doctor.followed.kept_turns import KeptTurns
        from llmcourse.doctor.watch import Watch

        watched = Watch(journal=journal, turns=KeptTurns(), callables=Callables())
        watched.__enter__()
        watched.follow_logits()
        watched.follow_texts()
        _watches.append(watched)
        atexit.register(watched.look_at_the_rest)
    except Exception as error:  # ours, not the script's: it goes on
        journal.doctor_failed(in_words(error))


def run_script(path: Path, arguments: list[str], journal: Journal) -> None:
    """Run a script as `python path arguments` would; it stays `__main__` until the process ends."""
    program = ModuleType("__main__")
    program.__file__, program.__builtins__ = str(path), builtins
    program.__loader__ = importlib.machinery.SourceFileLoader("__main__", str(path))
    sys.modules["__main__"] = program
    _as_started(path, arguments)
    exec(instrument.compiled(path.read_bytes(), str(path)), program.__dict__)


def run_notebook(path: Path, arguments: list[str], journal: Journal) -> None:
    """Run a notebook's code cells in order, magics included, in its folder, as in Jupyter.

    Cells are counted from 1, code cells alone, and a cell's lines belong to the file `path:cell`. A
    cell that is tagged `raises-exception` may fail. Raises what a cell raises, and ValueError where
    `path` is no notebook.
    """
    cells = code_cells(path)
    _as_started(path, arguments)
    with (
        contextlib.chdir(path.resolve().parent),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        _shell(scratch) as shell,
    ):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_run_cells(shell, cells, path, journal))


async def _run_cells(shell, cells: list[tuple[str, bool]], path: Path, journal: Journal) -> None:
    """Run cells one after another, all in one event loop, in which servers of theirs go on."""
    for number, (source, may_fail) in enumerate(cells, 1):
        journal.cell(number)
        shell.compile.get_code_name = lambda *_, name=f"{path}:{number}": name
        try:
            await _run_cell(shell, source)
        except SystemExit as leaving:
            if leaving.code not in (None, 0):
                raise
        except Exception:
            if not may_fail:
                raise


async def _run_cell(shell, source: str) -> None:
    """Run a cell as a kernel does; raises what it raises."""
    transformed, wrong = source, None
    try:
        transformed = shell.transform_cell(source)
    except Exception:  # no Python: it is said when the cell runs
        wrong = sys.exc_info()
    options = {"transformed_cell": transformed, "preprocessing_exc_tuple": wrong}
    result = await shell.run_cell_async(source, store_history=False, **options)
    shell.events.trigger("post_execute")
    result.raise_error()


@contextlib.contextmanager
def _shell(folder: str) -> Iterator:
    """A fresh IPython, which keeps no history and reads no profile of the user's."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    excepthook = sys.excepthook
    shell = InteractiveShell(config=config, ipython_dir=folder)
    InteractiveShell._instance = shell
    shell.enable_gui = lambda *_: None  # `%matplotlib` asks for it, and there are no windows
    shell.ast_transformers.append(instrument.OfCells(lambda: shell.compile.get_code_name()))
    shell.showtraceback = shell.showsyntaxerror = lambda *_, **__: None  # shown on stderr instead
    try:
        yield shell
    finally:
        sys.excepthook = excepthook


def _as_started(path: Path, arguments: list[str]) -> None:
    """Give a script the argv and import path that it would have had as a program of its own."""
    sys.argv = [str(path), *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = str(path.resolve().parent)


def _left_open() -> list[str]:
    """Return the names of the threads for which Python waits at the end."""
    here = threading.current_thread()
    return [one.name for one in threading.enumerate() if one is not here and not one.daemon]


def _show(error: BaseException, path: str) -> None:
    """Show on stderr what Python would show, from the file's own lines on."""
    error = error.with_traceback(_from_its_lines(error.__traceback__, path))
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception:  # the hook is the script's
        sys.__excepthook__(type(error), error, error.__traceback__)


def _from_its_lines(trace: TracebackType | None, path: str) -> TracebackType | None:
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(path):
        trace = trace.tb_next
    return _without_ours(trace)


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the frames in which this package handed a call of torch on."""
    if trace is None:
        return None
    trace.tb_next = rest = _without_ours(trace.tb_next)
    handed_on = trace.tb_frame.f_code.co_name == "__torch_function__"
    return rest if handed_on and __package__ in trace.tb_frame.f_globals["__name__"] else trace

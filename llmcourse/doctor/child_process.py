"""A script or notebook in a process of its own, and the report on it, however it ends.

The script runs in a child process (`run_script`), which writes down what the doctor sees as it goes
(`journal`). This process reads that and tells of it when the child is gone: whether it came to its
end, was killed, left by `os._exit` or became another program. So the report does not depend on what
the script did to its own stdout, its modules or itself.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from llmcourse.doctor import static
from llmcourse.doctor.finding import (
    ERROR,
    NOTE,
    THE_MODEL,
    WARNING,
    Finding,
    in_order,
    once_per_line,
)
from llmcourse.doctor.journal import Seen
from llmcourse.doctor.own_names import in_own_names
from llmcourse.doctor.report import as_json, counted, findings_as_lines, from_here
from llmcourse.doctor.run_script import INTERRUPTED
from llmcourse.show import in_words, plural, printable

SCHEMA = "llmcourse.doctor/1"
KINDS = (".py", ".ipynb")
_START = "from llmcourse.doctor.run_script import main; main({instead!r})"
_LOOK_EVERY = 0.5  # seconds between two looks at how far the script is
_SAID_AFTER = 10  # seconds of waiting for what a script left open, until that is said
# Seconds without news until what a script left open is ended, and while a call to generate runs.
PATIENCE, PATIENCE_IN_A_CALL = 60, 600
_TO_END = 5  # seconds that a process gets to end itself
_OF_THE_STAND_IN = (
    "what follows from a model's own files (template, special tokens, generation_config, window) "
    "was looked at in the stand-in's, {}."
)
_LONGEST = 600  # characters of a sentence that are shown


class NotAScript(ValueError):
    """What was named cannot be run."""


@dataclass(frozen=True, eq=False)
class Visit:
    """A file that was run."""

    file: str  # as it was named on the command line
    calls: tuple[dict, ...] = ()  # the calls to `generate`: file, line, codes, seconds
    findings: tuple[Finding, ...] = ()  # in all calls, once per line, errors first
    failures: tuple[str, ...] = ()  # what the doctor could not look at
    no_script: bool = False  # whether it is no script or notebook, or not there: that was said
    static: bool = False  # whether only the source was read, and nothing ran
    instead: str | None = None  # the model that stood in for those of the hub; None: for none
    replaced: tuple[dict, ...] = ()  # what it was read for, and what was left out
    failed: str | None = None  # in words, why the file itself failed, or None
    doctor_failed: str | None = None  # in words, why the doctor did, or None
    interrupted: bool = False  # whether Ctrl-C ended it

    def status(self, warnings_as_errors: bool = False) -> int:
        """Return the exit status.

        130 after Ctrl-C; 2 if the file or the doctor failed, 1 if there are errors, else 0.
        """
        if self.interrupted:
            return INTERRUPTED
        if self.failed is not None or self.doctor_failed is not None:
            return 2
        grave = (ERROR, WARNING) if warnings_as_errors else (ERROR,)
        return int(any(found.severity in grave for found in self.findings))

    def lines(self) -> Iterator[str]:
        """Yield a line for each finding, as linters do, and a summary."""
        for one in self.replaced:
            where = from_here(f"{one['file'] or self.file}:{one['line'] or 1}")
            yield printable(f"{where}: stand-in: {one['sentence']}", _LONGEST)
        yield from findings_as_lines(self.findings, self.file)
        if self.replaced:
            yield printable(f"{self.file}: {_OF_THE_STAND_IN.format(self.instead)}", _LONGEST)
        for sentence in self.failures:
            yield printable(f"{self.file}: the doctor could not look at {sentence}", _LONGEST)
        if self.doctor_failed is not None:
            yield printable(f"the doctor itself failed: {self.doctor_failed}", _LONGEST)
        yield printable(summary(self), None)

    def to_json(self) -> str:
        """Return calls, findings and failures as one JSON object, for any console: in ASCII."""
        names = ("calls", "findings", "failures", "file", "failed", "doctor_failed")
        names += ("static", "instead", "replaced")
        return json.dumps(
            json.loads(as_json(SCHEMA, **{name: getattr(self, name) for name in names}))
        )


def report(visits: list[Visit], form: str) -> list[str]:
    """Return the lines of a report on files: in words, an object of JSON for each, or SARIF."""
    if form == "text":
        return [line for one in visits if not one.no_script for line in one.lines()]
    if form == "sarif":
        from llmcourse.doctor.sarif import as_sarif

        return [as_sarif(visits)]
    return [one.to_json() for one in visits]


def summary(visited: Visit) -> str:
    """Return one line: how many calls were looked at, and how much was found."""
    if visited.static:
        return _summary_of_source(visited)
    looked_at = f"{plural(len(visited.calls), 'call')} to generate"
    found = ", ".join(counted(visited.findings).values())
    if visited.interrupted:
        return f"{visited.file} was interrupted after {looked_at}: {found}."
    if visited.failed is not None:
        return f"{visited.file} failed ({visited.failed}) after {looked_at}: {found}."
    seen = visited.calls or visited.findings or visited.failures  # in loops, or in the source
    if not seen and visited.doctor_failed is None:
        return f"{visited.file}: no call to generate was made, so there was nothing to look at."
    return f"{visited.file}: looked at {looked_at}: {found}."


def _require_script(file: str) -> None:
    path = Path(file)
    if not path.is_file():
        raise NotAScript(f"{file} is not a file; name a script (.py) or a notebook (.ipynb).")
    if path.suffix not in KINDS:
        raise NotAScript(f"{file} is neither a script (.py) nor a notebook (.ipynb).")


def _summary_of_source(visited: Visit) -> str:
    if visited.failed is not None:
        return f"{visited.file} could not be read ({visited.failed})."
    found = ", ".join(counted(visited.findings).values())
    return f"{visited.file}: only the source was read, nothing ran: {found}."


def read(file: str) -> Visit:
    """Return what the source of a script or notebook shows; nothing of it runs.

    Raises NotAScript as `visit` does.
    """
    _require_script(file)
    try:
        failures: list[str] = []
        found = tuple(static.look(file, failures))
        return Visit(file, findings=found, failures=tuple(failures), static=True)
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        return Visit(file, failed=in_words(error), static=True)
    except Exception as error:
        return Visit(file, doctor_failed=in_words(error), static=True)


def visit(
    file: str, arguments: list[str], to_stderr: bool = False, instead: str | None = None
) -> Visit:
    """Run `file`, a Python script or a notebook, in a process of its own; return what was found.

    arguments: what the script finds in `sys.argv[1:]`. to_stderr: what it prints to stdout goes
    there. instead: the model that stands in for those of the hub. A script runs as `python file`
    would run it; a notebook's code cells run in order in one namespace, in the notebook's folder,
    as in Jupyter. What the file raises is shown on stderr; a fault of the doctor's own is the
    visit's `doctor_failed`. Raises NotAScript for a file that is neither, or not there.
    """
    _require_script(file)
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            journal = Path(folder, "journal")
            journal.touch(mode=0o600)
            with journal.open("rb", buffering=0) as opened:
                start = [_START.format(instead=instead), str(journal), file, *arguments]
                visited = _visit(file, start, Seen(opened), to_stderr)
                return replace(_with_its_source(visited), instead=instead)
    except Exception as error:
        return Visit(file, doctor_failed=in_words(error), instead=instead)


def _with_its_source(visited: Visit) -> Visit:
    """Say each fix in the script's own names, and add what only its source shows.

    That is what the run did not find at the same line, by the same code.
    """
    failures = [*visited.failures]
    try:
        source, text = static.parsed(visited.file)
        shown = static.look_at(source, text, failures)
        findings = in_own_names(visited.findings, source, text)
    except Exception:  # what is no Python has failed to run, and that is said
        return visited
    seen = {(one.code, _place(one)) for one in findings}
    more = [one for one in shown if (one.code, _place(one)) not in seen]
    more = [one for one in more if not _was_seen(one, findings, shown)]
    if any(one.code == "sampling-unasked" and THE_MODEL in one.what for one in findings):
        more = [one for one in more if not _says_nothing_is_drawn(one)]
    explained = {_place(one) for one in more if static.IN_THE_SOURCE[one.code].explains_refusal}
    kept = [one for one in findings if not (one.code == "refused" and _place(one) in explained)]
    return replace(visited, findings=in_order([*kept, *more]), failures=tuple(failures))


def _was_seen(found: Finding, in_the_run, in_the_source) -> bool:
    """Tell whether what the source shows was seen in the run too, as the same mistake.

    The source shows it where it was made, at a seed or in a class, and the run where it was felt.
    """
    counts = [sum(one.code == found.code for one in each) for each in (in_the_run, in_the_source)]
    return counts[0] >= counts[1]


def _says_nothing_is_drawn(found: Finding) -> bool:
    """Tell whether a source was read as if the model's own settings did not sample."""
    unless = found.code == "sampling-ignored" and found.severity == NOTE
    return unless or found.code == "seed-without-sampling"


def _place(found: Finding) -> tuple[str | None, int | None]:
    """Return a finding's file, whichever way it was named, and line."""
    return found.file and os.path.abspath(found.file), found.line


def _visit(file: str, start: list[str], seen: Seen, to_stderr: bool) -> Visit:
    flags = subprocess._args_from_interpreter_flags()  # as multiprocessing starts its children
    command = [sys.executable, *flags, "-c", *start]
    with _signals_passed_on() as pass_on_to:
        child = subprocess.Popen(command, stdout=_stderr() if to_stderr else None)
        pass_on_to(child)
        ended = _wait(child, seen, file)
    seen.read_on()
    return _as_visit(file, child.returncode, seen, ended)


def _stderr() -> int:
    """Return stderr's descriptor, or what throws away, if it is closed."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def _wait(child: subprocess.Popen, seen: Seen, file: str) -> str | None:
    """Wait until the child is gone; return what it left open, in words, if that had to be ended.

    Python waits at the end of a script for its threads and processes; so does this, but not for
    ever: `PATIENCE` seconds without news, and longer while a call to `generate` runs.
    """
    quiet_since, said = time.monotonic(), False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_LOOK_EVERY)
            return None
        if seen.read_on() or not seen.ended:
            quiet_since = time.monotonic()
            continue
        waited, patience = time.monotonic() - quiet_since, PATIENCE
        patience = PATIENCE_IN_A_CALL if seen.running > 0 else PATIENCE
        names = ", ".join(seen.left_open[:5]) or "processes, or handlers of its end"
        if waited > _SAID_AFTER and not said:
            said = True
            open_still = f"{file} has ended, and what it left open still runs ({names})."
            _say(f"{open_still} The doctor waits for it, up to {patience} s without news.")
        if waited > patience:
            _end(child)
            return f"what came after the last line: {names} still ran after {patience} s; ended"


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(printable(sentence, _LONGEST), file=sys.stderr, flush=True)


def _end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(timeout=_TO_END)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[Callable[[subprocess.Popen], None]]:
    """Send the child what is sent to this process, which goes on, to tell what was found.

    Ctrl-C in a terminal reaches both, and is not sent again. What this process ignores, the child
    ignores too.
    """
    child, early = [], []

    def pass_on(number, frame) -> None:
        if number == signal.SIGINT and _in_front_of_a_terminal():
            return
        if child:
            child[0].send_signal(number)
        else:
            early.append(number)

    def to(started: subprocess.Popen) -> None:
        child.append(started)
        for number in early:
            started.send_signal(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only the main thread may
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, pass_on)
    try:
        yield to
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _in_front_of_a_terminal() -> bool:
    """Tell whether this process and its child are what a terminal's keys interrupt."""
    if os.name != "posix":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _as_visit(file: str, returned: int, seen: Seen, left_open: str | None) -> Visit:
    """Return what the journal and the child's exit status say together."""
    calls = list(seen.calls.values())
    found = [Finding.from_dict(one) for call in calls for one in call["findings"]]
    found += map(Finding.from_dict, seen.loops)
    failures = [*seen.failures, *([] if left_open is None else [left_open])]
    if seen.began and not seen.ended and returned == 0:
        failures.append("what came after it left by os._exit or became another program")
    interrupted = _interrupted(returned, seen)
    doctor_failed = _doctor_failed(returned, seen)
    failed = seen.raised or _failure(returned, seen.exit_of)
    if left_open is not None or (doctor_failed is not None and not seen.began):
        failed = seen.raised  # the rest is our own doing
    if failed is not None and seen.cell is not None:
        failed = f"cell {seen.cell}: {failed}"
    return Visit(
        file=file,
        calls=tuple(call["at"] for call in calls),
        findings=once_per_line(found),
        failures=tuple(failures),
        replaced=tuple(seen.replaced),
        failed=failed,
        doctor_failed=doctor_failed,
        interrupted=interrupted,
    )


def _interrupted(returned: int, seen: Seen) -> bool:
    """Tell whether it was Ctrl-C that ended the script, not a status that looks like it."""
    if seen.ended and not (seen.raised or "").startswith("KeyboardInterrupt"):
        return False
    return returned in (INTERRUPTED, -signal.SIGINT)


def _doctor_failed(returned: int, seen: Seen) -> str | None:
    if seen.lost:
        return "what it saw could not be written down (is the disk full?)"
    if not seen.began and returned >= 0 and not _interrupted(returned, seen):
        return f"the process for the script ended with status {returned} before the script began"
    return seen.doctor_failed


def _failure(returned: int, exit_of: str | None) -> str | None:
    """Return in words why a process that raised nothing failed, if it did; returned: its status."""
    if returned < 0:
        names = {number.value: number.name for number in signal.Signals}
        return f"ended by {names.get(-returned, f'signal {-returned}')}"
    if returned > 0:
        return exit_of or f"ended with status {returned}"
    return None

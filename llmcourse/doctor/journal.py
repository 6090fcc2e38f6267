"""What the doctor saw, written down as it goes, so that another process can tell of it."""

# Bound here and now: the script that is looked at may replace what it likes in these modules.
from contextlib import suppress
from dataclasses import dataclass, field
from json import dumps, loads
from os import O_APPEND, O_WRONLY, close, fstat, getpid, unlink, write
from os import open as open_file
from typing import Any


class Journal:
    """Lines of JSON that are added to a file, which has to be there; what is written stays.

    The file is opened for each line: a script may close every descriptor. Where a line cannot be
    written the file is removed, which tells the reader; nothing here raises an exception.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.process = getpid()  # a forked child adds its calls, and says nothing of the script

    def began(self) -> None:
        """The script begins."""
        self._write(began=True)

    def cell(self, number: int) -> None:
        """A notebook's cell begins; number: from 1, code cells alone."""
        if getpid() == self.process:
            self._write(cell=number)

    def ended(self, raised: str | None, exit_of: str | None, left_open: list[str]) -> None:
        """The script's last line has run; Python may still wait for what it left open.

        raised, exit_of: the exception that ended it, in words: any other, or SystemExit.
        """
        if getpid() == self.process:
            self._write(ended=True, raised=raised, exit_of=exit_of, left_open=left_open)

    def doctor_failed(self, why: str) -> None:
        """The doctor itself cannot go on."""
        self._write(doctor_failed=why)

    def running(self, change: int) -> None:
        """A call to `generate` begins (1), or has ended (-1)."""
        self._write(running=change)

    def call(self, number: int, call: dict[str, Any], findings: list[dict]) -> None:
        """A call was looked at; a later line of the same number stands in place of this one."""
        self._write(call=f"{getpid()}.{number}", at=call, findings=findings)

    def loop(self, finding: dict[str, Any]) -> None:
        """Something was found in a loop written by hand."""
        self._write(loop=finding)

    def failure(self, sentence: str) -> None:
        """Something could not be looked at."""
        self._write(failure=sentence)

    def replaced(self, one: dict[str, Any]) -> None:
        """The stand-in was read, or something else stands in place of what was asked for."""
        self._write(replaced=one)

    def _write(self, **record: Any) -> None:
        try:
            line = dumps(record).encode() + b"\n"
            descriptor = open_file(self.path, O_WRONLY | O_APPEND)
            try:
                if write(descriptor, line) != len(line):
                    raise OSError("not all of it could be written")
            finally:
                close(descriptor)
        except Exception:  # a full disk; or the script broke what this needs
            with suppress(Exception):
                unlink(self.path)


@dataclass
class Seen:
    """What a journal says so far."""

    file: Any  # the journal, open for reading
    began: bool = False  # whether the script began
    cell: int | None = None  # the last cell that began; None for a script
    ended: bool = False  # whether its last line has run
    raised: str | None = None  # the exception that ended it, in words; None for SystemExit
    exit_of: str | None = None  # the SystemExit that ended it, in words
    left_open: list[str] = field(default_factory=list)  # threads that still ran then, by name
    doctor_failed: str | None = None  # why the doctor could not go on
    running: int = 0  # calls to `generate` that have begun and not ended
    calls: dict[str, dict] = field(
        default_factory=dict
    )  # `at` and `findings`, by process and number
    loops: list[dict] = field(default_factory=list)  # findings in loops written by hand
    failures: list[str] = field(default_factory=list)  # what could not be looked at
    replaced: list[dict] = field(default_factory=list)  # what the stand-in was read for
    _rest: bytes = b""  # the beginning of a line that is still being written

    @property
    def lost(self) -> bool:
        """Whether the journal was removed: by its writer, who could not go on, or by others."""
        return fstat(self.file.fileno()).st_nlink == 0

    def read_on(self) -> bool:
        """Read what was added; return whether there was anything."""
        added = self.file.read()
        *lines, self._rest = (self._rest + added).split(b"\n")
        for line in lines:
            self._take(loads(line))
        return bool(added)

    def _take(self, record: dict[str, Any]) -> None:
        if "call" in record:
            self.calls[record["call"]] = record
        elif "running" in record:
            self.running += record["running"]
        elif "loop" in record:
            self.loops.append(record["loop"])
        elif "replaced" in record:
            self.replaced.append(record["replaced"])
        elif "failure" in record:
            self.failures.append(record["failure"])
        else:  # of the script as a whole: each has the name of its field
            for name, value in record.items():
                setattr(self, name, value)

"""A rung of the ladder as a running process: started, asked, suspended between its turns."""

import json
import os
import queue
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
START = 600  # seconds to wait for "ready" and for the first answer: some rungs compile
TURN = 300  # seconds to wait for another answer


class RungFailed(Exception):
    """A rung that ended, said nothing for too long, or said what is not in the protocol."""


@dataclass(frozen=True)
class Rung:
    """How one rung is started."""

    name: str
    command: tuple[str, ...]
    compiled: bool = False  # whether it compiles first, for a minute or so
    environment: dict[str, str] = field(default_factory=dict)  # besides ours


@dataclass(frozen=True)
class Turn:
    """One answer."""

    tokens: tuple[int, ...]  # the new ones
    first: float  # seconds to the first of them
    rest: float  # seconds from there to the last

    @property
    def speed(self) -> float:
        """Tokens a second after the first."""
        return (len(self.tokens) - 1) / self.rest


class RungProcess:
    """A process that computes while it is asked, and is suspended else.

    A suspended process takes nothing from the one that computes, not even by threads that spin. If
    this program is killed the system ends it: it stands in a process group of its own, which is
    then an orphan. Raises RungFailed wherever the process does not do its part.
    """

    def __init__(self, rung: Rung):
        self.rung = rung
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                rung.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.said,
                cwd=ROOT,
                env={**os.environ, **rung.environment},
                text=True,
                encoding="utf-8",
                process_group=0 if os.name == "posix" else None,  # Ctrl-C is for us alone
            )
        except OSError as error:
            self.said.close()
            raise RungFailed(f"{rung.command[0]} cannot be run: {error.strerror}") from None
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait = START
        self.ready: dict = {}

    def _read(self) -> None:
        with suppress(ValueError):  # closed while it was read
            for line in self.process.stdout:
                self.lines.put(line)
        self.lines.put(None)

    def start(self) -> None:
        """Wait until the process is ready, and suspend it."""
        self.ready = self._answer({"ready", "name", "weight_bytes", "version", "threads"})
        self._suspend()

    def ask(self, prompt: list[int], new_tokens: int) -> Turn:
        """Have it generate, and suspend it again."""
        self._resume()
        try:
            self.process.stdin.write(
                json.dumps({"prompt": prompt, "new_tokens": new_tokens}) + "\n"
            )
            self.process.stdin.flush()
        except OSError:
            raise RungFailed(self._last_words()) from None
        given = self._answer({"tokens", "first", "rest"})
        self.wait = TURN
        self._suspend()
        turn = Turn(tuple(given["tokens"]), given["first"], given["rest"])
        if len(turn.tokens) != new_tokens or turn.rest <= 0:
            raise RungFailed(f"it gave {len(turn.tokens)} tokens of {new_tokens}, in {turn.rest} s")
        return turn

    def close(self) -> None:
        """End the process: its input closes, and if that does not help it is killed."""
        self._resume()
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5 if self.ready else 0.1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.said.close()

    def _answer(self, keys: set[str]) -> dict:
        try:
            line = self.lines.get(timeout=self.wait)
        except queue.Empty:
            raise RungFailed(f"it said nothing for {self.wait} s") from None
        if line is None:
            raise RungFailed(self._last_words())
        try:
            given = json.loads(line)
        except json.JSONDecodeError:
            given = None
        if not isinstance(given, dict) or not keys <= given.keys():
            raise RungFailed(f"it said {line.strip()[:200]!r}")
        return given

    def _last_words(self) -> str:
        """Return how the process ended, with the last line of what it wrote to stderr."""
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            status = "unknown"
        self.said.seek(0)
        lines = [line.strip() for line in self.said if line.strip()]
        how = f"signal {-status}" if isinstance(status, int) and status < 0 else f"status {status}"
        return f"it ended with {how}" + (f": {lines[-1][:300]}" if lines else "")

    def _suspend(self) -> None:
        with suppress(psutil.Error):
            psutil.Process(self.process.pid).suspend()

    def _resume(self) -> None:
        with suppress(psutil.Error):
            psutil.Process(self.process.pid).resume()

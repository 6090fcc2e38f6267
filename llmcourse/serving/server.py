"""Start a server on this machine, wait until it answers, and end it whatever happens.

    >>> with running_server(folder) as server:      # `transformers serve` with a model's folder
    ...     httpx.get(server.url + "/health")

In a notebook, where a block would have to be one cell:

    >>> server = running_server(folder)
    >>> server.stop()

It ends with this process too, however that ends: `keeper` watches. Any command will do that takes a
host and a port, vLLM's too: `running_server(vllm(folder, python=...))`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from llmcourse.serving import keeper
from llmcourse.show import printable

HOST = "127.0.0.1"
LAST_LINES = 15  # of a log that an error shows
LOOK_EVERY = 0.1  # seconds between two looks at whether it answers


class ServerFailed(OSError):
    """A server did not come up; the message ends with what it said last."""


@dataclass(frozen=True)
class Command:
    """How to start a server; `{host}` and `{port}` in its words are filled in."""

    words: tuple[str, ...]
    model: str = ""  # what requests call its model
    health: str = "/health"  # a path that answers 200 once it is ready


def transformers_serve(
    model: str | Path,
    *more: str,
    continuous_batching: bool = False,
    python: str | Path = sys.executable,
) -> Command:
    """Return the command of `transformers serve` with one model, on a CPU, float32.

    model: a folder or a hub id, which is also what requests have to call it. more: options of its
    own. continuous_batching: with a cache of 64 pages and 512 tokens a step; without these two
    limits it takes most of the memory there is.
    """
    words = [str(python), "-m", "transformers.cli.transformers", "serve", str(model)]
    words += ["--host", "{host}", "--port", "{port}"]
    for option, value in (("--device", "cpu"), ("--dtype", "float32")):
        words += [] if option in more else [option, value]
    if continuous_batching:
        words += ["--continuous-batching", "--cb-num-blocks", "64", "--cb-max-batch-tokens", "512"]
    return Command((*words, *more), str(model))


def vllm(model: str | Path, *more: str, python: str | Path) -> Command:
    """Return the command of vLLM's server, of the environment that `python` belongs to.

    Requests have to call the model by its folder or hub id, as with `transformers serve`.
    """
    words = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    words += ["--host", "{host}", "--port", "{port}", "--dtype", "float32"]
    return Command((*words, *more), str(model))


class Server:
    """A server that runs as a child of this process; made by `running_server`."""

    def __init__(self, command: Command, settings: Mapping[str, str]):
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.model = command.model  # what requests call its model
        self._folder = tempfile.TemporaryDirectory(prefix="server-", ignore_cleanup_errors=True)
        self.log = Path(self._folder.name, "log")  # what it printed; gone when this object is
        words = [_filled(word, self.port) for word in command.words]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, keeper.__file__, *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **settings},
                start_new_session=True,  # Ctrl-C in a notebook interrupts the cell, not the server
            )
        self._end = weakref.finalize(self, _end, self._process)

    def stop(self) -> None:
        """End it, and all that it started; nothing happens where it has ended."""
        self._end()

    def kill(self) -> None:
        """End it at once, as a crash would: no answer is finished."""
        _kill_group(self._process)
        self._process.wait()
        self._end()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self, lines: int = LAST_LINES) -> str:
        """Return the last lines of what it printed, as text that is safe to show."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(printable(line, 200) for line in text.splitlines()[-lines:])

    def used(self) -> tuple[float, int]:
        """Return the seconds of processor that it has used so far, and the bytes of memory it has.

        Of all its processes that still run.
        """
        import psutil

        seconds, size = 0.0, 0
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
                size += process.memory_info().rss
        return seconds, size

    def stop_when_a_cell_fails(self) -> "Server":
        """In a notebook, end it after a cell that raised; elsewhere nothing changes."""
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if shell is not None:
            shell.events.register("post_run_cell", _stop_after_failure(weakref.ref(self)))
        return self

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "ended"
        return f"Server({self.url}, {state}, model {printable(self.model)})"


def running_server(
    what: "Command | str | Path | Sequence[str]",
    *,
    settings: Mapping[str, str] | None = None,
    seconds: float = 180,
) -> Server:
    """Start a server on a free port of this machine, and return it once it answers.

    what: a model's folder or hub id for `transformers serve`, or a Command, or the words of one.
    settings: environment variables for it; a model in a folder gets HF_HUB_OFFLINE=1, so that
    nothing is fetched. seconds: how long it may take. Raises ServerFailed, with the end of its log,
    if it ends before it answers, or does not in time.
    """
    command = _command(what)
    offline = {"HF_HUB_OFFLINE": "1"} if os.path.isdir(command.model) else {}
    server = Server(command, {**offline, **(settings or {})})
    try:
        _wait_until_it_answers(server, command.health, seconds)
    except BaseException:
        server.stop()
        raise
    return server


def free_port() -> int:
    """Return a port of this machine that nobody listens on, just now."""
    with socket.socket() as tried:
        tried.bind((HOST, 0))
        return tried.getsockname()[1]


def _command(what: "Command | str | Path | Sequence[str]") -> Command:
    if isinstance(what, Command):
        return what
    return transformers_serve(what) if isinstance(what, str | Path) else Command(tuple(what))


def _filled(word: str, port: int) -> str:
    return word.replace("{host}", HOST).replace("{port}", str(port))


def _wait_until_it_answers(server: Server, health: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not server.running:
            raise ServerFailed(f"The server ended before it answered. It said:\n{server.said()}")
        if answers(server.url + health):
            return
        time.sleep(LOOK_EVERY)
    raise ServerFailed(f"No answer within {seconds:g} s. The server said:\n{server.said()}")


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _end(process: subprocess.Popen) -> None:
    """Close the pipe, upon which the keeper ends all; make sure of it after a while."""
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(keeper.TO_END + 5)
    _kill_group(process)  # what a keeper that was killed left behind
    process.wait()


def _kill_group(process: subprocess.Popen) -> None:
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _stop_after_failure(server: "weakref.ref[Server]"):
    def after_cell(result) -> None:
        there = server()
        if there is not None and not result.success:
            there.stop()

    return after_cell

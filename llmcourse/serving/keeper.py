"""Run a server as a child, and end it when whoever started this process is gone.

    python keeper.py COMMAND ...

Standard input is a pipe that the starter keeps open. When the starter closes it, or dies in
whatever way, SIGKILL included, the pipe ends, and so does the server. This file is run by its path
and imports the standard library alone, so that it keeps watch at once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

TO_END = 3.0  # seconds that a server gets to end by itself


def main(command: list[str]) -> int:
    """Run `command` until it ends, or until standard input does; return its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # the group's is for the server; we go last
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    starter_gone = threading.Event()
    ending = threading.Thread(target=_end_after, args=(starter_gone, server), daemon=True)
    ending.start()
    status = server.wait()
    if starter_gone.is_set():
        ending.join()
    return status


def _end_after(starter_gone: threading.Event, server: subprocess.Popen) -> None:
    """Wait for the end of standard input, then end the server and all that it started.

    On POSIX they are this process's group; a server may have workers that outlive it.
    """
    while os.read(0, 1024):
        pass
    starter_gone.set()
    if os.name != "posix":
        server.kill()
        return
    os.killpg(0, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(TO_END)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

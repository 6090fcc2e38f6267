"""A rung of the ladder that pretends: it speaks the protocol, and fails where it is told to.

    python -m tests.benchmarks.fake_rung NAME [MILLISECONDS A TOKEN] [dies | hangs | stutters]

It dies in its third turn; writes no JSON when it is ready; or says nothing more.
"""

import os
import signal
import sys
import time

from benchmarks.protocol import serve


def main(name: str, milliseconds: str = "1", fault: str = "") -> None:
    turns = 0

    def stream(prompt, new_tokens):
        nonlocal turns
        turns += 1
        if fault == "dies" and turns == 3:
            print("the weights ran away", file=sys.stderr)
            sys.exit(3)
        if fault == "is killed" and turns == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        print("printed by a library")
        for number in range(new_tokens - (fault == "is short")):
            time.sleep(float(milliseconds) / 1000)
            yield len(prompt) + number

    if fault == "stutters":
        print("loading")
    if fault == "hangs":
        time.sleep(600)
    serve(stream, name=name, weight_bytes=10**8, version="torch 0.0", threads=1)


if __name__ == "__main__":
    main(*sys.argv[1:])

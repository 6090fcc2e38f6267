"""One answer at a time: whoever asks anew ends an answer that is still open, or is refused."""

import threading
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager

_BUSY = "An answer is being written; wait for it, or stop it first."


class OneAnswer:
    """Knows the answer that is open, and which thread asked for it."""

    def __init__(self):
        self._claimed = threading.Lock()
        self._pieces, self._thread = lambda: None, None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one to change the conversation.

        An answer that this thread left open is closed, as its own `close` would do. Raises
        ValueError where it is being written: in another thread, or by who calls this.
        """
        if not self._claimed.acquire(blocking=False):
            raise ValueError(_BUSY)
        try:
            self._close()
            yield
        finally:
            self._claimed.release()

    def begin(self, pieces: Generator[str]) -> Generator[str]:
        """Note an answer that was asked for, and return it with its first, empty piece taken.

        A generator that has begun clears up when it is closed or forgotten, one that has not does
        nothing.
        """
        next(pieces)
        self._pieces, self._thread = weakref.ref(pieces), threading.current_thread()
        return pieces

    def _close(self) -> None:
        pieces = self._pieces()
        if pieces is None or pieces.gi_frame is None:  # forgotten, or at its end
            return
        elsewhere = self._thread is not threading.current_thread() and self._thread.is_alive()
        if elsewhere or pieces.gi_running:
            raise ValueError(_BUSY)
        pieces.close()

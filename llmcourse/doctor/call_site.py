"""Where a call stands: the line of the user's own code that led to it.

Between that line and a method of the library lie frames of this package, of the libraries and of
whatever else is installed; `site_of` walks up to the first that is the user's.
"""

import functools
import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import transformers

import llmcourse

_LIBRARIES = ("llmcourse", "transformers", "torch")


@dataclass(frozen=True)
class Site:
    """A line of the user's code."""

    file: str | None = None  # as Python names it
    line: int | None = None  # from 1


def is_of_a_library(frame: FrameType) -> bool:
    """Tell whether a frame is of this package, transformers or torch."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _LIBRARIES


def site_of(frame: FrameType | None) -> Site:
    """Return the user's line that led to `frame`.

    The first frame outside llmcourse, transformers and torch, and if there is one also outside the
    standard library and other installed packages. A thread that starts in the library has none:
    then what another thread, the main one first, is at, which is the line that started it.
    """
    outside = [call for call in calls_up_from(frame) if not is_of_a_library(call)]
    found = next((call for call in outside if not _is_installed(call)), None)
    if found is None and threading.current_thread() is not threading.main_thread():
        found = _own_frame_of_another_thread()
    found = found or next(iter(outside), None)
    return Site() if found is None else Site(found.f_code.co_filename, found.f_lineno)


def calls_up_from(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame, its caller, the caller's caller ..."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _own_frame_of_another_thread() -> FrameType | None:
    frames = sys._current_frames()
    frames.pop(threading.get_ident(), None)
    first = threading.main_thread().ident
    for _, frame in sorted(frames.items(), key=lambda item: item[0] != first):
        for call in calls_up_from(frame):
            if not _is_installed(call):
                return call
    return None


def _folders_of_packages() -> tuple[str, ...]:
    """Return where installed packages lie, and this one, each with a separator at its end."""
    places = {
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        *(Path(library.__file__).parent.parent for library in (transformers, torch)),
        Path(llmcourse.__file__).parent,
    }
    return tuple(f"{place}{os.sep}" for place in places if place)


_INSTALLED = _folders_of_packages()


@functools.cache
def is_installed(file: str) -> bool:
    """Tell whether a file of Python code belongs to a package or to Python, not to the user."""
    return file.startswith((*_INSTALLED, "<frozen ")) or "site-packages" in Path(file).parts


def _is_installed(frame: FrameType) -> bool:
    return is_installed(frame.f_code.co_filename)

"""What the doctor does itself: nobody hears the library's advice, no draw is used up.

Its tensors are on the CPU, whatever a script has made the default.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_in_quiet = threading.local()


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the library's advice out of a call that the caller did not make.

    What it says once per process it can still say later: `warning_once` is not asked in between.
    Other threads are heard as before.
    """
    handlers = logging.getLogger("transformers").handlers
    once = logging.Logger.warning_once

    def mute(record) -> bool:
        return not getattr(_in_quiet, "on", False)

    def not_now(self, *arguments, **keywords) -> None:
        if not getattr(_in_quiet, "on", False):
            once(self, *arguments, **keywords)

    before = getattr(_in_quiet, "on", False)
    _in_quiet.on = True
    for handler in handlers:
        handler.addFilter(mute)
    logging.Logger.warning_once = not_now
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.Logger.warning_once = once
        for handler in handlers:
            handler.removeFilter(mute)
        _in_quiet.on = before


@contextmanager
def same_draws() -> Iterator[None]:
    """Leave torch's generators, those of every GPU too, as they were before."""
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        yield


def on_the_cpu() -> AbstractContextManager:
    """Return a context in which new tensors are on the CPU, after `set_default_device` too."""
    usual = torch.get_default_device().type == "cpu"
    return nullcontext() if usual else torch.device("cpu")

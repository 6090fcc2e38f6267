"""A real JupyterLab and the browser that looks at it: for the browser's tests and the pictures."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.resources import files
from pathlib import Path

REPO = Path(__file__).parent.parent.parent

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]


def chromium() -> str | None:
    """Return where the browser is: LLMCOURSE_CHROMIUM, or what PATH has."""
    return os.environ.get("LLMCOURSE_CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES)), None
    )


class Lab:
    """A JupyterLab server on notebooks of its own, which trusts none of them."""

    def __init__(self, folder: Path):
        self.root, self.folder = folder / "notebooks", folder
        self.root.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def start(self) -> subprocess.Popen:
        """Start the server and wait until it answers."""
        settings = self.folder / "settings" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        # Every cell is drawn, on screen or not.
        windowing = json.dumps({"windowingMode": "none"})
        (settings / "tracker.jupyterlab-settings").write_text(windowing)
        own = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
        environment = {
            **os.environ,
            **{f"JUPYTER_{name}": str(self.folder / name.lower()) for name in own},
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings"),
            "PYTHONPATH": os.pathsep.join(
                [str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
        options = [
            f"--port={self.url.rpartition(':')[2]}",
            "--IdentityProvider.token=",
            "--ServerApp.disable_check_xsrf=True",
            "--LabApp.expose_app_in_browser=True",
            f"--notebook-dir={self.root}",
        ]
        root = ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        self.log = self.folder / "lab.log"
        with self.log.open("w") as log:
            server = subprocess.Popen(
                [*command, *options, *root], env=environment, stdout=log, stderr=log
            )
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{self.url}/api", timeout=5).close()
                return server
            except OSError:
                if server.poll() is not None:
                    break
                time.sleep(0.3)
        server.kill()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")

    def write(self, name: str, *cells: str) -> str:
        """Write a notebook of code cells that were never run."""
        import nbformat

        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        made.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(made, self.root / name)
        return name

    def open(self, page, name: str) -> None:
        """Open a notebook, as a stranger's: nothing of it is trusted."""
        page.goto(f"{self.url}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.evaluate("jupyterapp.shell.collapseLeft()")
        page.wait_for_function(
            "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus"
            " === 'connected'",
            timeout=60_000,
        )

    def run_all(self, page) -> None:
        """Run all cells and wait for the last one."""
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(
            """() => {
                const cells = jupyterapp.shell.currentWidget.content.widgets;
                const code = cells.filter(cell => cell.model.type === 'code');
                return code.every(cell => cell.model.executionState === 'idle'
                                          && cell.model.executionCount !== null);
            }""",
            timeout=120_000,
        )


def settle(page) -> None:
    """Wait until the kernel has nothing to do.

    What is typed while it works is sent when it has answered, and a click may overtake it.
    """
    page.wait_for_timeout(300)
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )
    page.wait_for_timeout(300)


def serious(page, where) -> list[tuple[str, str, list[str]]]:
    """Return what axe-core finds serious or critical. where: an element, or a context of axe."""
    # Axe judges no colour of what it takes for clipped, as all is in a body of no height.
    page.add_style_tag(
        content="html, body { height: 100vh !important }"
        ".lm-Widget, .jp-ThemedContainer { overflow: visible !important; contain: none !important }"
    )
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    found = page.evaluate("where => axe.run(where)", where)
    judged = {one["id"]: len(one["nodes"]) for one in found["passes"]}
    assert judged.get("color-contrast", 0) > 20, judged
    return [
        (one["id"], one["help"], [node["html"][:200] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]

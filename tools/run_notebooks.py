"""Run notebooks from top to bottom, in place, and store their outputs: `make notebooks`.

A script, since `jupyter nbconvert --execute` writes the kernel's patch version into every notebook,
and keeps a notebook's own kernel name. What is stored here changes only when an output does.

    python -m tools.run_notebooks notebooks/01_forward_pass.ipynb ...
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools import addresses, first_cell, lesson, minutes, teaching_page

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
CELL_SECONDS = 300
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute all cells in `folder`; raises CellExecutionError at the first that fails."""
    notebook.metadata.kernelspec = dict(KERNEL)
    NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name=KERNEL["name"],
        # not the kernel's remarks on its own transport, which would go to this terminal
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
    ).execute()


def without_noise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run or from machine to machine, and shows nothing."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            # A widget's number means nothing without its state; its text says what it was.
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def write_what_is_made(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write into a notebook of the course what stands elsewhere: address, first cell, minutes."""
    if path in lesson.notebooks():
        first_cell.write_into(notebook)
    if path in lesson.lessons():
        minutes.write_into(notebook)
    if path.is_relative_to(addresses.ROOT):
        addresses.write_into(notebook, path.relative_to(addresses.ROOT).as_posix())


def store(path: Path) -> None:
    """Run the notebook at `path` and write it back, whole or not at all."""
    notebook = nbformat.read(path, as_version=4)
    write_what_is_made(notebook, path.resolve())
    run(notebook, path.parent)
    half_made = path.with_suffix(".new")
    nbformat.write(without_noise(notebook), half_made)
    half_made.replace(path)


def main(paths: list[str]) -> int:
    addresses.write_pages()
    failed = 0
    for path in map(Path, paths):
        started = time.monotonic()
        print(f"{path.name}: ", end="", flush=True)
        try:
            store(path)
        except CellExecutionError as error:
            failed += 1
            print(f"failed, and left as it was\n{error}")
        else:
            print(f"{time.monotonic() - started:.0f} s", flush=True)
    if set(map(Path.resolve, map(Path, paths))) & set(lesson.lessons()):
        minutes.write_readme()
        teaching_page.write()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The first code cell, the same in every notebook: it stands here, and is written into them.

python -m tools.first_cell     # without running a notebook; `make notebooks` does it too
"""

import nbformat
from nbformat import NotebookNode

from tools import addresses
from tools.lesson import notebooks, read

SOURCE = """\
# Run this first. It installs the course where it is missing (Colab) and does nothing elsewhere.
# What the cells printed is stored beneath them. To predict before you see it, clear that now:
# in Colab "Edit > Clear all outputs", in JupyterLab "Edit > Clear Outputs of All Cells".
# (`make lab` opens copies in which it is cleared.)
import importlib.util
import pathlib

if importlib.util.find_spec("llmcourse") is None:
    here = pathlib.Path("../pyproject.toml").exists()
    source = ".." if here else "git+REPOSITORY"
    %pip install -q {source}
    importlib.invalidate_caches()
try:
    importlib.import_module("llmcourse")  # before transformers: it drops advice that nobody needs
except ModuleNotFoundError:
    raise ImportError(
        "The course is still missing: pip's lines above say why. If the repository is out of "
        "reach, get its ZIP elsewhere, upload it here, and run `%pip install NAME.zip` in a cell."
    ) from None"""


def source() -> str:
    """Return the source of the first code cell, with the repository's address in it."""
    return SOURCE.replace("REPOSITORY", addresses.repository())


def write_into(notebook: NotebookNode) -> None:
    """Put it into the first code cell of a notebook."""
    next(cell for cell in notebook.cells if cell.cell_type == "code").source = source()


def main() -> None:
    for path in notebooks():
        notebook = read(path)
        write_into(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()

"""Write the repository's address, which stands in pyproject.toml alone, into lessons and pages.

    python -m tools.addresses     # without running a notebook; `make notebooks` does it too

A lesson has a line of links that open it elsewhere, links to pages in `docs/`, which it may be far
away from, and installs the course from the repository; the README's table has the same links,
CITATION.cff the address.
"""

import re
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
# How each service opens a notebook of a public repository: what comes before owner/name/blob/...
SERVICES = {
    "Colab": "https://colab.research.google.com/github/",
    "Kaggle": "https://kaggle.com/kernels/welcome?src=https://github.com/",
    "ModelScope": "https://modelscope.cn/notebook/share/github/",
}
PICTURES = {
    "Colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "Kaggle": "https://kaggle.com/static/images/open-in-kaggle.svg",
}
INSTALL = re.compile(r'git\+https://[^"]+')
LINKS = re.compile(r"^\[!?\[?Open .*$", re.M)
PAGE = re.compile(rf"https://github\.com/[\w.-]+/[\w.-]+/blob/{BRANCH}/(docs/[\w.-]+)")
ROW = re.compile(r"^(\|.*\]\((notebooks/[^)]+\.ipynb)\).*\|)[^|]*\|$", re.M)


def repository() -> str:
    """Return the address of the repository, `https://github.com/owner/name`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def opens(service: str, path: str) -> str:
    """Return the address that opens the notebook at `path`, from the root, in a service."""
    name = repository().removeprefix("https://github.com/")
    return f"{SERVICES[service]}{name}/blob/{BRANCH}/{path}"


def buttons(path: str) -> str:
    """Return the line of a lesson that opens it elsewhere: pictures where a service has one."""
    shown = {
        service: f"![Open in {service}]({PICTURES[service]})"
        if service in PICTURES
        else f"Open in {service}"
        for service in SERVICES
    }
    return " ".join(f"[{text}]({opens(service, path)})" for service, text in shown.items())


def page(found: re.Match) -> str:
    """Return the address of a page of ours; another project's stays as it is."""
    ours = (ROOT / found[1]).is_file()
    return f"{repository()}/blob/{BRANCH}/{found[1]}" if ours else found[0]


def write_into(notebook: nbformat.NotebookNode, path: str) -> None:
    """Put the address into a notebook's links and into what its first code cell installs."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = PAGE.sub(page, cell.source)
    title = notebook.cells[0]
    title.source = LINKS.sub(lambda _: buttons(path), title.source, count=1)
    first = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if first is not None:
        first.source = INSTALL.sub(lambda _: f"git+{repository()}", first.source)


def in_readme(text: str) -> str:
    """Return the README with the links of each lesson in the last column of its table."""

    def row(found: re.Match) -> str:
        links = " · ".join(f"[{service}]({opens(service, found[2])})" for service in SERVICES)
        return f"{found[1]} {links} |"

    return ROW.sub(row, text)


def in_citation(text: str) -> str:
    """Return CITATION.cff with the address in it."""
    return re.sub(r"^(repository-code: ).*$", rf'\1"{repository()}"', text, flags=re.M)


PAGES = {"README.md": in_readme, "CITATION.cff": in_citation}


def write_pages() -> None:
    for name, written in PAGES.items():
        page = ROOT / name
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> None:
    write_pages()
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            notebook = nbformat.read(path, as_version=4)
            write_into(notebook, path.relative_to(ROOT).as_posix())
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()

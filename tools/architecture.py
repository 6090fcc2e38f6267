"""Write the list of files in docs/architecture.md from the first line of each: `make docs`.

A test compares the page with what this makes, so that the page says what the files say.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
FOLDERS = ("llmcourse", "tests/support", "tools", "benchmarks")
BEGIN = "<!-- From the first line of each file: `make docs` writes it. -->\n"
END = "<!-- End of what `make docs` writes. -->\n"


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring; raises ValueError if there is none."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not said:
        raise ValueError(f"{path}: the first line should say what the file is for")
    return said.splitlines()[0]


def rows(folder: Path, depth: int = 0) -> list[str]:
    """Return a line for each module of a folder, then those of the folders in it."""
    indent = "  " * depth
    made = []
    for path in sorted(folder.glob("*.py")):
        link = f"../{path.relative_to(ROOT).as_posix()}"
        if path.name != "__init__.py":
            made.append(f"{indent}- [`{path.name}`]({link}): {first_line(path)}")
        elif depth == 0:
            made.append(f"{indent}- [`__init__.py`]({link}): {first_line(path)}")
    for room in sorted(path.parent for path in folder.glob("*/__init__.py")):
        said = first_line(room / "__init__.py")
        link = f"../{room.relative_to(ROOT).as_posix()}"
        made += [f"{indent}- [`{room.name}/`]({link}): {said}", *rows(room, depth + 1)]
    return made


def listing() -> str:
    """Return the list of all files, a heading a folder."""
    parts = ["\n".join([f"### {name}/\n", *rows(ROOT / name)]) for name in FOLDERS]
    return "\n\n".join(parts) + "\n"


def page() -> str:
    """Return the page with the list made anew; the rest of it stays."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{listing()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

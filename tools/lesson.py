"""A lesson taken apart: its sections and exercises, and which of its cells are whose."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
ENDINGS = ("What you saw", "Exercises", "Quiz", "Read more")
CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.S)
FENCE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.M | re.S)
HEADING = re.compile(r"^## +(.+?) *$", re.M)
MARK = re.compile(r"^\*(\d+) minutes? · (core|optional)\*$", re.M)
EXERCISE = re.compile(r"^\*\*(\d+)\. .+?\*\* \*(\d+) minutes? · optional\.\*", re.M)
PREDICT = "**Predict:**"
STUB = "raise NotImplementedError"


@dataclass(frozen=True)
class Piece:
    """A code cell, or as much of a markdown cell as belongs to one section."""

    cell: NotebookNode  # the whole cell
    number: int  # its place in the notebook, from 0
    text: str  # of a code cell its source, of a markdown cell the part in this section

    @property
    def is_code(self) -> bool:
        return self.cell.cell_type == "code"


@dataclass(frozen=True)
class Section:
    """What stands beneath a heading of the second level, up to the next one."""

    title: str  # without the signs in front; "" before the first heading
    pieces: list[Piece]  # in order; the first begins with the heading

    @property
    def is_ending(self) -> bool:
        return self.title in ENDINGS

    @property
    def prose(self) -> str:
        return "\n\n".join(piece.text for piece in self.pieces if not piece.is_code)

    @property
    def code(self) -> list[NotebookNode]:
        return [piece.cell for piece in self.pieces if piece.is_code]


def lessons() -> list[Path]:
    """Return the notebooks of the lessons, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def notebooks() -> list[Path]:
    """Return the lessons, the gallery and the notebooks in docs/."""
    return [
        path for room in ("notebooks", "docs") for path in sorted((ROOT / room).glob("*.ipynb"))
    ]


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def blanked(text: str, pattern: re.Pattern) -> str:
    """Return `text` with spaces in place of what matches, so that all else stays where it is."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def headings(text: str) -> list[re.Match]:
    """Find the headings of the second level in markdown; none of those inside code fences."""
    return list(HEADING.finditer(blanked(text, FENCE)))


def sections(notebook: NotebookNode) -> list[Section]:
    """Return the sections of a lesson. The first has no title: what stands before them all."""
    made = [Section("", [])]
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            made[-1].pieces.append(Piece(cell, number, cell.source))
            continue
        found = headings(cell.source)
        cuts = [0, *(heading.start() for heading in found), len(cell.source)]
        texts = [cell.source[a:b] for a, b in itertools.pairwise(cuts)]
        if texts[0].strip():
            made[-1].pieces.append(Piece(cell, number, texts[0]))
        for heading, text in zip(found, texts[1:], strict=True):
            made.append(Section(heading[1], [Piece(cell, number, text)]))
    return made


def section(notebook: NotebookNode, title: str) -> Section:
    """Return the section of that title; an empty one where there is none."""
    return next((one for one in sections(notebook) if one.title == title), Section(title, []))


def paragraphs(text: str) -> list[str]:
    """Return the blocks of a markdown cell between blank lines, none of them empty."""
    return [block.strip("\n") for block in re.split(r"\n[ \t]*\n", text) if block.strip()]


def is_ours(cell: NotebookNode) -> bool:
    """Tell whether a cell holds our version of what the learner writes."""
    return "ours" in cell.metadata.get("tags", []) or cell.source.startswith("# @title Our version")


def is_stub(cell: NotebookNode) -> bool:
    """Tell whether a code cell leaves something for the learner to write."""
    return cell.cell_type == "code" and STUB in cell.source


def predictions(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield (place of the cell, question) of each prediction that a lesson asks for."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for block in paragraphs(cell.source):
                if PREDICT in block:
                    yield number, block[block.index(PREDICT) :]

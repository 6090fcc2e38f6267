"""Reckon how many minutes a lesson takes, section by section, and write them where they stand.

    python -m tools.minutes     # all lessons and the README; `make notebooks` does it too

These minutes are reckoned from the text; nobody was timed. The rates are guesses, the same for all
lessons: words as in technical prose, not as in a novel; lines of code, ours included, at a glance
each; time to think for each prediction and each question of the quiz, and to write for each stub.
What the cells need to run is left out: it differs from machine to machine, and is not stored. What
there is to read more is left out too. Only an exercise says its minutes itself.

A section's minutes are rounded, one at least, and stand beneath its heading. In the title's line
the core has what stands before the first section, the core sections, and what you saw; the rest has
the optional sections and the quiz. The README's table has both together.
"""

import re
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode

from tools.lesson import (
    EXERCISE,
    FENCE,
    MARK,
    PREDICT,
    ROOT,
    Section,
    blanked,
    is_stub,
    lessons,
    read,
    section,
    sections,
)

WORDS_A_MINUTE = 150
SECONDS_A_LINE = 3  # of code
SECONDS_A_PREDICTION = 30
SECONDS_A_QUESTION = 30  # of the quiz
SECONDS_A_STUB = 4 * 60

TITLE = re.compile(r"\*\*Minutes:\*\* \d[^.]*\.")
UNREAD = [
    TITLE,  # or the minutes would depend on how they are said
    re.compile(r"<!--.*?-->", re.S),
    re.compile(r"</?[A-Za-z][^>]*>"),
    re.compile(r"\]\([^)]*\)"),
]
ROW = re.compile(r"^(\|.*\]\(notebooks/([^)]+\.ipynb)\).*\| )(\d+)( \|[^|]*\|)$", re.M)


@dataclass(frozen=True)
class Minutes:
    """What a lesson takes."""

    core: int  # what stands before the sections, the core sections, what you saw
    rest: int  # the optional sections and the quiz
    exercises: int  # as each of them says itself

    def __str__(self) -> str:
        return (
            f"**Minutes:** {self.core} for the core, {self.rest} for the rest, "
            f"{self.exercises} for exercises."
        )


def words(text: str) -> int:
    """Count the words that one reads in markdown, code fences left out."""
    for pattern in (FENCE, *UNREAD):
        text = blanked(text, pattern)
    return len(re.findall(r"\S*\w\S*", text))


def code_lines(one: Section) -> int:
    """Count the lines in the code cells and the code fences of a section that hold something."""
    fenced = ["\n".join(found[0].splitlines()[1:-1]) for found in FENCE.finditer(one.prose)]
    code = "\n".join([*(cell.source for cell in one.code), *fenced])
    return sum(bool(line.strip()) for line in code.splitlines())


def section_minutes(one: Section) -> int:
    """Return the minutes of a section: read, predict, write."""
    seconds = (
        words(one.prose) * 60 / WORDS_A_MINUTE
        + code_lines(one) * SECONDS_A_LINE
        + one.prose.count(PREDICT) * SECONDS_A_PREDICTION
        + one.prose.count("<summary>Answer</summary>") * SECONDS_A_QUESTION
        + sum(map(is_stub, one.code)) * SECONDS_A_STUB
    )
    return max(1, int(seconds / 60 + 0.5))


def lesson_minutes(notebook: NotebookNode) -> Minutes:
    """Return the minutes of a lesson."""
    core, rest = 0, 0
    for one in sections(notebook):
        mark = MARK.search(one.prose)
        if one.title in ("", "What you saw") or (mark and mark[2] == "core"):
            core += section_minutes(one)
        elif mark or one.title == "Quiz":
            rest += section_minutes(one)
    stated = EXERCISE.finditer(section(notebook, "Exercises").prose)
    return Minutes(core, rest, sum(int(start[2]) for start in stated))


def write_into(notebook: NotebookNode) -> None:
    """Put the minutes beneath each heading that has a line for them, and into the title's line."""
    total = lesson_minutes(notebook)
    notebook.cells[0].source = TITLE.sub(str(total), notebook.cells[0].source, count=1)
    for one in sections(notebook):
        if MARK.search(one.prose):
            needed = section_minutes(one)
            line = f"*{needed} minute{'s' if needed > 1 else ''} · "
            for piece in one.pieces:
                if not piece.is_code:
                    text = MARK.sub(lambda mark, line=line: f"{line}{mark[2]}*", piece.text)
                    piece.cell.source = piece.cell.source.replace(piece.text, text)


def in_readme(text: str, minutes: dict[str, Minutes]) -> str:
    """Return the README with the minutes of each lesson, without exercises, in its table."""

    def row(found: re.Match) -> str:
        known = minutes.get(found[2])
        return f"{found[1]}{known.core + known.rest}{found[4]}" if known else found[0]

    return ROW.sub(row, text)


def write_readme() -> None:
    readme = ROOT / "README.md"
    minutes = {path.name: lesson_minutes(read(path)) for path in lessons()}
    readme.write_text(in_readme(readme.read_text(encoding="utf-8"), minutes), encoding="utf-8")


def main() -> None:
    for path in lessons():
        notebook = read(path)
        write_into(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {str(lesson_minutes(notebook)).removeprefix('**Minutes:** ')}")
    write_readme()


if __name__ == "__main__":
    main()

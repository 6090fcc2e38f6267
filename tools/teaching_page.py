"""Write when each part of a plan begins, and its minutes, into docs/teaching.md.

    python -m tools.teaching_page     # `make docs` and `make notebooks` do it too

A plan is a table: `| From | Minutes | What | ...`. A part that links to a lesson takes the minutes
that stand in the lesson: those of the section that is linked, or what the words behind the link
say: `, core`, `, sections 1 and 3 to 7` or `, exercise 2`. Every other part keeps its minutes.
"""

import functools
import re

from nbformat import NotebookNode

from tools.lesson import EXERCISE, MARK, ROOT, read, section, sections
from tools.minutes import lesson_minutes

PAGE = ROOT / "docs" / "teaching.md"
HEADER = "| From | Minutes | What"
ROW = re.compile(r"^\| (\d+:\d\d) \| (\d+) \| ([^|]*) \|", re.M)
SOME = r"\d+(?:(?:, | and | to )\d+)*"
LINK = re.compile(
    r"\]\(\.\./notebooks/([^)#]+\.ipynb)(?:#([^)]+)\)|\)"
    rf"(?:, (core)|, sections? ({SOME})|, exercises? ({SOME})))"
)


def anchor(title: str) -> str:
    """Return the name under which notebooks and their pages have a heading."""
    return title.replace(" ", "-")


def numbers(text: str) -> list[int]:
    """Return the numbers that are named: "1 and 3 to 5" are 1, 3, 4 and 5."""
    named = []
    for part in re.split(r", | and ", text):
        first, _, last = part.partition(" to ")
        named += range(int(first), int(last or first) + 1)
    return named


def minutes_by_section(notebook: NotebookNode) -> dict[str, int]:
    """Return the minutes that stand beneath each heading, by the heading's name in a link."""
    marks = {anchor(one.title): MARK.search(one.prose) for one in sections(notebook)}
    return {name: int(mark[1]) for name, mark in marks.items() if mark}


def linked_minutes(link: re.Match, notebook: NotebookNode) -> int:
    """Return the minutes of what is linked; raises KeyError where the lesson has no such part."""
    _, name, core, some_sections, some_exercises = link.groups()
    by_section = minutes_by_section(notebook)
    if name:
        return by_section[name]
    if core:
        return lesson_minutes(notebook).core
    if some_sections:
        by_number = {int(title.split(".")[0]): time for title, time in by_section.items()}
        return sum(by_number[number] for number in numbers(some_sections))
    stated = EXERCISE.finditer(section(notebook, "Exercises").prose)
    by_number = {int(start[1]): int(start[2]) for start in stated}
    return sum(by_number[number] for number in numbers(some_exercises))


def with_minutes(page: str) -> str:
    """Return the page with the plans made anew; the rest of it stays."""
    notebook_of = functools.cache(lambda file: read(ROOT / "notebooks" / file))
    clock, lines = 0, []
    for line in page.splitlines(keepends=True):
        if line.startswith(HEADER):
            clock = 0
        if row := ROW.match(line):
            links = list(LINK.finditer(row[3]))
            linked = [linked_minutes(link, notebook_of(link[1])) for link in links]
            takes = sum(linked) if links else int(row[2])
            begins = f"{clock // 60}:{clock % 60:02}"
            line = f"| {begins} | {takes} | {row[3]} |{line[row.end() :]}"
            clock += takes
        lines.append(line)
    return "".join(lines)


def write() -> None:
    PAGE.write_text(with_minutes(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()

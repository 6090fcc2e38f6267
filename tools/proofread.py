"""Find what is wrong with the form of a lesson: folds, minutes, whose cell, numbers in prose.

    python -m tools.proofread notebooks/01_forward_pass.ipynb ...     # all lessons without a name

tests/lessons/test_prose.py asks that there is nothing. CONTRIBUTING.md says what a lesson has.
"""

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools.lesson import (
    EXERCISE,
    MARK,
    PREDICT,
    is_ours,
    is_stub,
    lessons,
    paragraphs,
    read,
    section,
    sections,
)
from tools.lesson_numbers import number_faults, timing_faults

SEEN = "<details><summary>What was seen</summary>\n\n"
# JupyterLab gives a fold no margin, but a paragraph; elsewhere the two margins fall into one.
FOLD_ENDS = "</details><p></p>"
CRAMPED = re.compile(r"</details>(?!<p></p>)\s*\S")
OURS_FIRST = "# @title Our version: open it when yours is written"
OURS = {"jupyter": {"source_hidden": True}, "cellView": "form", "tags": ["ours"]}
CHOOSES = re.compile(r"^(\w+) = yours_or_ours\(\1, our_\1\)$")
TURN = "# Your turn: exercise "
SOLUTION = re.compile(
    r"<details>\s*<summary>Solution</summary>\s*(?:~~~|```)python\n(.*?)(?:~~~|```)", re.S
)
NEXT = re.compile(r"\*\*Next:\*\* \[lesson (\d+)\]\(([\w.]+)\): \S")


# Predictions and what answers them


def fold_faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each prediction whose answer is not folded where it belongs.

    And for each cell in which JupyterLab would leave no space beneath a fold.
    """
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            if CRAMPED.search(cell.source):
                yield f"cell {cell.id}: a fold that something follows should end with {FOLD_ENDS}"
            blocks = paragraphs(cell.source)
            asked = [place for place, block in enumerate(blocks) if PREDICT in block]
            for place in asked:
                question = " ".join(blocks[place].split())[:90]
                if not all(map(is_list, blocks[place + 1 :])):
                    yield f"cell {cell.id}: is not the last paragraph of its cell: '{question}'"
                elif wrong := after_the_question(notebook.cells[number + 1 :]):
                    yield f"cell {cell.id}: {wrong}: '{question}'"


def is_list(block: str) -> bool:
    return bool(re.match(r"\s*(?:[-*+]|\d+[.)]) ", block))


def after_the_question(cells: list[NotebookNode]) -> str | None:
    """Return what is wrong with what follows a prediction, or None."""
    kinds = [cell.cell_type for cell in cells]
    if kinds[:1] != ["code"]:
        return "no code cell follows"
    if "markdown" not in kinds:
        return "nothing says what was seen"
    answer = cells[kinds.index("markdown")]
    if not answer.source.startswith(SEEN):
        return f"its answer in cell {answer.id} does not begin with {SEEN.strip()} and a blank line"
    if "\n\n</details>" not in answer.source:
        return f"the fold of cell {answer.id} has no blank line and </details> at its end"
    return None


# The order of a lesson


def order_faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each section without number or minutes, and each ending out of place."""
    all_sections = sections(notebook)[1:]
    body = [one for one in all_sections if not one.is_ending]
    for number, one in enumerate(body, start=1):
        if not re.match(rf"{number}\. \S", one.title):
            yield f"'## {one.title}' should be '## {number}. ...'"
        if not re.match(r"## .*\n\n\*\d+ minutes? · (core|optional)\*(\n\n|\n?\Z)", one.prose):
            yield f"'## {one.title}' has no line '*N minutes · core*' or '· optional*' beneath it"
    if body and not any(mark[2] == "core" for one in body if (mark := MARK.search(one.prose))):
        yield "no section is core"
    last = [one.title for one in all_sections[len(body) :]]
    if last != ["What you saw", "Exercises", "Quiz", "Read more"]:
        yield f"it should end with What you saw, Exercises, Quiz, Read more, not with {last}"


def exercise_faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each exercise without its minutes, its cell or its check."""
    exercises = section(notebook, "Exercises")
    found = [int(start[1]) for start in EXERCISE.finditer(exercises.prose)]
    if found != [1, 2, 3]:
        yield (
            "three exercises should begin '**1. Title.** *10 minutes · optional.*'; "
            f"these do: {found}"
        )
    turns = [re.match(rf"{TURN}(\d)", cell.source) for cell in exercises.code]
    turns = [int(turn[1]) for turn in turns if turn]
    if turns != [1, 2, 3]:
        yield f"three cells should begin '# Your turn: exercise 1' and so on; these do: {turns}"
    for cell in exercises.code:
        if cell.source.startswith(TURN) and not ends_with_a_check(cell.source):
            yield f"cell {cell.id}: an exercise should end with its check, check_...(...)"
    for number, solution in enumerate(SOLUTION.findall(exercises.prose), start=1):
        if not has_a_check(solution):
            yield f"the solution of exercise {number} has neither a check nor an assert"


def has_a_check(code: str) -> bool:
    """Tell whether code asserts something or calls a `check_...`."""
    inside = itertools.chain.from_iterable(map(ast.walk, statements(code)))
    return any(isinstance(one, ast.Assert) or is_check(one) for one in inside)


def is_check(statement: ast.AST) -> bool:
    """Tell whether a statement is `check_...(...)`, of a module or not."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))):
            return name.startswith("check_")
    return False


def statements(code: str) -> list[ast.stmt]:
    """Return the statements of a cell, none if it is no Python; IPython's own lines do nothing."""
    plain = re.sub(r"^( *)[%!].*$", r"\1pass", code, flags=re.M)
    try:
        return ast.parse(plain).body
    except SyntaxError:
        return []


def ends_with_a_check(code: str) -> bool:
    """Tell whether the last statement of a cell is a call of `check_...`."""
    return any(map(is_check, statements(code)[-1:]))


def quiz_faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence if there are not four or five answers, each folded away."""
    quiz = section(notebook, "Quiz")
    folded = quiz.prose.count("<details><summary>Answer</summary>\n\n")
    if not 4 <= folded <= 5:
        yield (
            "the quiz should have four or five answers, each in <details><summary>Answer</summary> "
            f"and a blank line; it has {folded}"
        )


def next_faults(notebook: NotebookNode, following: Path | None) -> Iterator[str]:
    """Yield a sentence if the last line does not lead to the next lesson; None is the last."""
    line = notebook.cells[-1].source.rstrip().rpartition("\n")[2]
    if following is None:
        return
    said, wanted = NEXT.match(line), (str(int(following.name[:2])), following.name)
    if not said or said.groups() != wanted:
        yield f"the last line should be '**Next:** [lesson {wanted[0]}]({wanted[1]}): ...'"


# Whose cell


def whose_faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each stub without a check or our version, and each odd one of ours."""
    code = [cell for one in sections(notebook) if one.title != "Exercises" for cell in one.code]
    for cell, following in zip(code, [*code[1:], None], strict=True):
        if is_ours(cell):
            yield from about_ours(cell)
        elif is_stub(cell):
            if not ends_with_a_check(cell.source):
                yield f"cell {cell.id}: a stub should end with its check, check_...(...)"
            if following is None or not is_ours(following):
                yield f"cell {cell.id}: our version should be the next code cell after a stub"


def about_ours(cell: NotebookNode) -> Iterator[str]:
    if not cell.source.startswith(OURS_FIRST + "\n"):
        yield f"cell {cell.id}: our version should begin with {OURS_FIRST!r}"
    if cell.metadata != OURS:
        yield f"cell {cell.id}: the metadata of our version should be {OURS}"
    if not CHOOSES.match(cell.source.rstrip().rpartition("\n")[2]):
        yield f"cell {cell.id}: our version should end with 'x = yours_or_ours(x, our_x)'"


FINDERS = {
    "folds": fold_faults,
    "order": order_faults,
    "exercises": exercise_faults,
    "quiz": quiz_faults,
    "whose": whose_faults,
    "numbers": number_faults,
    "timings": timing_faults,
}


def main(names: list[str]) -> int:
    count = 0
    for path in [Path(name) for name in names] or lessons():
        notebook, others = read(path), sorted(path.parent.glob("[0-9]*.ipynb"))
        found = {kind: list(find(notebook)) for kind, find in FINDERS.items()}
        following = next((one for one in others if one.name > path.name), None)
        found["next"] = list(next_faults(notebook, following))
        count += sum(map(len, found.values()))
        for kind, faults in found.items():
            for fault in faults:
                print(f"{path.stem}: {kind}: {fault}")
    print(f"{count} faults")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

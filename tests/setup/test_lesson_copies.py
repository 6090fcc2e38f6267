"""The learner's copies: made once, never written over, and from any state nothing is half made."""

import copy
import errno
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import lesson, lesson_copies, proofread, run_notebooks

ROOT = Path(__file__).parent.parent.parent
LESSON = "01_a.ipynb"


@pytest.fixture
def course(tmp_path):
    """A course of two lessons with outputs, and no copies yet."""
    for name in (LESSON, "02_b.ipynb"):
        store(tmp_path / "notebooks" / name, text="A claim.")
    return tmp_path


def store(path, text):
    path.parent.mkdir(exist_ok=True)
    output = new_output("stream", name="stdout", text="42\n")
    ours = new_code_cell("# @title Our version", metadata=copy.deepcopy(proofread.OURS))
    cells = [
        new_markdown_cell(text),
        new_code_cell("6 * 7", execution_count=1, outputs=[output], metadata={"execution": {}}),
        ours,
    ]
    for number, cell in enumerate(cells):
        cell.id = f"01-{number:02}"
    nbformat.write(
        new_notebook(
            cells=cells, metadata={"widgets": {}, "kernelspec": dict(run_notebooks.KERNEL)}
        ),
        path,
    )


def run(course, which="mine"):
    lessons = sorted((course / "notebooks").glob("*.ipynb"))
    return lesson_copies.main(which, lessons, course / "my_lessons")


def files(course):
    return sorted(path.name for path in (course / "my_lessons").glob("[!.]*"))


def read(course, name=LESSON):
    return nbformat.read(course / "my_lessons" / name, as_version=4)


def write_in(course, name=LESSON, text="mine = 1"):
    """Do what a learner does in JupyterLab; return the bytes that are then there."""
    notebook = read(course, name)
    notebook.cells.append(new_code_cell(text))
    path = course / "my_lessons" / name
    nbformat.write(notebook, path)
    return path.read_bytes()


# Copies


def test_copies_are_made_without_outputs_and_hold_all_that_was_written(course, capsys):
    assert run(course) == 0
    assert files(course) == [LESSON, "02_b.ipynb"]
    stored, made = nbformat.read(course / "notebooks" / LESSON, as_version=4), read(course)
    nbformat.validate(made)
    assert [cell.source for cell in made.cells] == [cell.source for cell in stored.cells]
    assert [cell.id for cell in made.cells] == [cell.id for cell in stored.cells]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in made.cells)
    assert "widgets" not in made.metadata and "execution" not in made.cells[1].metadata
    assert made.cells[2].metadata == proofread.OURS
    assert "Made in my_lessons/, without outputs" in capsys.readouterr().out


def test_a_second_run_does_and_says_nothing(course, capsys):
    run(course)
    before = {path: path.read_bytes() for path in (course / "my_lessons").glob("*.ipynb")}
    written = write_in(course)
    capsys.readouterr()
    assert run(course) == 0
    assert (course / "my_lessons" / LESSON).read_bytes() == written != before
    assert capsys.readouterr() == ("", "")


def test_a_copy_that_was_deleted_is_made_again(course):
    run(course)
    (course / "my_lessons" / LESSON).unlink()
    run(course)
    assert files(course) == [LESSON, "02_b.ipynb"]


def test_the_stored_lessons_are_opened_without_copies(course):
    assert run(course, "stored") == 0
    assert not (course / "my_lessons").exists()


def test_lessons_of_an_unknown_kind_are_refused(course, capsys):
    assert run(course, "old") == 2
    assert "LESSONS=old is not known; it is one of mine, new, stored." in capsys.readouterr().err


# An update of the course


def test_a_copy_in_which_nothing_was_written_is_brought_up_to_date(course, capsys):
    run(course)
    store(course / "notebooks" / LESSON, text="A better claim.")
    capsys.readouterr()
    assert run(course) == 0
    assert read(course).cells[0].source == "A better claim."
    assert "as you had not begun them: 01_a.ipynb." in capsys.readouterr().out
    assert files(course) == [LESSON, "02_b.ipynb"]


def test_other_outputs_are_no_change(course, capsys):
    run(course)
    write_in(course)
    path = course / "notebooks" / LESSON
    path.write_text(path.read_text().replace("42", "43"))
    capsys.readouterr()
    run(course)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("begun", ["written", "run"])
def test_what_was_begun_stays_and_the_new_lesson_is_put_beside_it_when_asked_for(
    course, capsys, begun
):
    run(course)
    path = course / "my_lessons" / LESSON
    if begun == "written":
        write_in(course)
    else:
        notebook = read(course)
        notebook.cells[1].execution_count = 1
        nbformat.write(notebook, path)
    mine = path.read_bytes()
    store(course / "notebooks" / LESSON, text="A better claim.")
    for _ in range(2):
        capsys.readouterr()
        assert run(course) == 0
        said = capsys.readouterr().out
        assert "Changed in the course" in said and f"my_lessons/: {LESSON}." in said
        assert "make lab LESSONS=new" in said and "02_b" not in said
        assert files(course) == [LESSON, "02_b.ipynb"]
    assert run(course, "new") == 0
    assert "as the lesson is now: 01_a.new.ipynb." in capsys.readouterr().out
    assert read(course, "01_a.new.ipynb").cells[0].source == "A better claim."
    run(course)
    run(course, "new")
    assert capsys.readouterr().out == ""
    assert path.read_bytes() == mine
    assert files(course) == [LESSON, "01_a.new.ipynb", "02_b.ipynb"]


def test_what_was_written_in_the_new_one_is_not_written_over_either(course):
    run(course)
    write_in(course)
    store(course / "notebooks" / LESSON, text="Second.")
    run(course, "new")
    store(course / "notebooks" / LESSON, text="Third.")
    run(course, "new")  # nothing was written in the second
    assert read(course, "01_a.new.ipynb").cells[0].source == "Third."
    mine = write_in(course, "01_a.new.ipynb")
    store(course / "notebooks" / LESSON, text="Fourth.")
    run(course, "new")
    assert (course / "my_lessons" / "01_a.new.ipynb").read_bytes() == mine
    assert read(course, "01_a.new2.ipynb").cells[0].source == "Fourth."


# A lesson that was renamed or removed


def rename(course, old, new):
    (course / "notebooks" / old).rename(course / "notebooks" / new)


def said_of_gone(course, capsys, which="mine"):
    """Run, and return the lines about copies without a lesson."""
    capsys.readouterr()
    assert run(course, which) == 0
    return [line for line in capsys.readouterr().out.splitlines() if "no lesson any more" in line]


def test_a_copy_whose_lesson_was_renamed_stays_and_is_named_with_the_new_lesson(course, capsys):
    run(course)
    mine = write_in(course)
    rename(course, LESSON, "01_better.ipynb")
    for which in ("mine", "new", "mine"):
        assert said_of_gone(course, capsys, which) == [
            "The course has no lesson any more for these in my_lessons/: 01_a.ipynb (now "
            "01_better.ipynb). They stay as they are."
        ]
    assert (course / "my_lessons" / LESSON).read_bytes() == mine
    assert files(course) == [LESSON, "01_better.ipynb", "02_b.ipynb"]


def test_a_copy_whose_lesson_was_removed_stays_and_is_named_begun_or_not(course, capsys):
    run(course)
    before = (course / "my_lessons" / LESSON).read_bytes()
    (course / "notebooks" / LESSON).unlink()
    (line,) = said_of_gone(course, capsys)
    assert "my_lessons/: 01_a.ipynb. They stay" in line
    assert (course / "my_lessons" / LESSON).read_bytes() == before


@pytest.mark.parametrize(
    ("gone", "lessons", "now"),
    [
        ("02_b", ["02_c"], "02_c"),
        ("02_b", ["02_c", "03_b"], "03_b"),  # one was put in front of it
        ("02_b", ["2_c"], "2_c"),
        ("02_b", ["01_a", "20_c", "gallery"], None),
        ("02_b", ["02"], None),
        ("9" * 5000 + "_b", ["02_c"], None),  # of a notebook that somebody changed
        ("gallery", ["gallery_of_pictures", "01_gallery"], None),
    ],
)
def test_a_lesson_is_replaced_by_that_of_its_name_or_else_of_its_number(gone, lessons, now):
    found = lesson_copies.replacement(gone, [Path(f"{name}.ipynb") for name in lessons])
    assert found == (now and f"{now}.ipynb")


def test_what_was_put_beside_such_a_copy_is_named_in_the_same_line(course, capsys):
    run(course)
    write_in(course)
    store(course / "notebooks" / LESSON, text="A better claim.")
    run(course, "new")
    write_in(course, "02_b.ipynb")
    for name in (LESSON, "02_b.ipynb"):
        (course / "notebooks" / name).unlink()
    (line,) = said_of_gone(course, capsys)
    assert "my_lessons/: 01_a.ipynb, 01_a.new.ipynb, 02_b.ipynb. They stay" in line


def forget_the_lesson(path):
    """Make of a copy what copies were before they said of which lesson they are."""
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata[lesson_copies.LESSON]
    nbformat.write(notebook, path)


@pytest.mark.parametrize("name", ["01_a-Copy1.ipynb", "mine.ipynb", "02_mine.ipynb"])
def test_a_copy_under_the_learners_own_name_has_the_lesson_that_it_was_made_of(
    course, capsys, name
):
    run(course)
    (course / "my_lessons" / name).write_bytes((course / "my_lessons" / LESSON).read_bytes())
    assert said_of_gone(course, capsys) == []
    rename(course, LESSON, "01_better.ipynb")
    (line,) = said_of_gone(course, capsys)
    assert f"{name} (now 01_better.ipynb)" in line


@pytest.mark.parametrize("name", [LESSON, "01_a-Copy1.ipynb", "01_a.new.ipynb", "01_a.new2.ipynb"])
def test_a_copy_that_does_not_name_its_lesson_goes_by_its_own_name(course, capsys, name):
    run(course)
    (course / "my_lessons" / LESSON).rename(course / "my_lessons" / name)
    forget_the_lesson(course / "my_lessons" / name)
    assert said_of_gone(course, capsys) == []
    rename(course, LESSON, "01_better.ipynb")
    (line,) = said_of_gone(course, capsys)
    assert f"{name} (now 01_better.ipynb)" in line


@pytest.mark.parametrize("what", ["a notebook", "broken", "a folder"])
def test_what_is_no_copy_is_not_named(course, capsys, what):
    run(course)
    path = course / "my_lessons" / "03_own.ipynb"
    if what == "a notebook":
        nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    elif what == "broken":
        path.write_text("{")
    else:
        path.mkdir()
    assert said_of_gone(course, capsys) == []


@pytest.mark.parametrize("mark", [1, ["01_a"], None, ""])
def test_a_lessons_name_of_another_kind_is_passed_over(course, capsys, mark):
    run(course)
    notebook = read(course)
    notebook.metadata[lesson_copies.LESSON] = mark
    nbformat.write(notebook, course / "my_lessons" / "01_a-Copy1.ipynb")
    assert said_of_gone(course, capsys) == []


# Odd states


@pytest.mark.parametrize("mark", ["gone", "of another kind", "unknown"])
def test_a_copy_that_does_not_say_what_it_was_made_of_is_compared_by_its_text(course, capsys, mark):
    run(course)
    notebook = read(course)
    if mark == "gone":
        del notebook.metadata[lesson_copies.MADE_OF]
    else:
        notebook.metadata[lesson_copies.MADE_OF] = ["x"] if mark == "of another kind" else "x"
    path = course / "my_lessons" / LESSON
    nbformat.write(notebook, path)
    capsys.readouterr()
    assert run(course) == 0
    assert capsys.readouterr().out == ""
    mine = write_in(course)
    assert run(course) == 0
    assert "Changed in the course" in capsys.readouterr().out
    assert path.read_bytes() == mine


BROKEN = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"cells": 1, "metadata": {}}',
    b'{"cells": [1], "metadata": {}}',
    b'{"cells": [{"cell_type": "code", "source": 1}], "metadata": {}}',
    b"[" * 100_000,
    b'{"cells": []}',
]


@pytest.mark.parametrize("content", BROKEN)
def test_a_copy_that_cannot_be_read_stays_and_is_named(course, capsys, content):
    run(course)
    path = course / "my_lessons" / LESSON
    path.write_bytes(content)
    capsys.readouterr()
    assert run(course) == 0
    assert "can be read, in my_lessons/: 01_a.ipynb." in capsys.readouterr().out
    assert run(course, "new") == 0
    assert path.read_bytes() == content
    assert read(course, "01_a.new.ipynb").cells[0].source == "A claim."


@pytest.mark.parametrize("content", BROKEN)
def test_a_lesson_that_cannot_be_read_is_named_and_the_others_are_copied(course, capsys, content):
    (course / "notebooks" / LESSON).write_bytes(content)
    assert run(course) == 0
    assert "is not copied, in notebooks/: 01_a.ipynb." in capsys.readouterr().out
    assert files(course) == ["02_b.ipynb"]


def test_what_has_a_copys_name_and_is_none_stays(course):
    (course / "my_lessons" / LESSON).mkdir(parents=True)
    assert run(course) == 0
    assert (course / "my_lessons" / LESSON).is_dir()


def test_a_file_where_the_folder_should_be_is_named(course, capsys):
    (course / "my_lessons").write_text("notes")
    assert run(course) == 1
    said = capsys.readouterr().err
    assert f"{course / 'my_lessons'} cannot be written: File exists." in said
    assert "make lab LESSONS=stored" in said
    assert (course / "my_lessons").read_text() == "notes"


def no_space(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_nothing_half_made(course, capsys, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_space)
        assert run(course) == 1
    assert "No space left on device. `make lab LESSONS=stored`" in capsys.readouterr().err
    assert list((course / "my_lessons").glob("*.ipynb*")) == []
    assert not list((course / "my_lessons").glob("*.part"))
    assert run(course) == 0


def test_a_full_disk_at_an_update_leaves_the_copy_and_opens_it(course, capsys, monkeypatch):
    run(course)
    before = (course / "my_lessons" / LESSON).read_bytes()
    store(course / "notebooks" / LESSON, text="A better claim.")
    monkeypatch.setattr(os, "fsync", no_space)
    assert run(course) == 0
    assert "No space left" in capsys.readouterr().err
    assert (course / "my_lessons" / LESSON).read_bytes() == before


def test_a_folder_that_is_read_only_is_named_and_complete_copies_are_opened(course, capsys):
    run(course)
    (course / "my_lessons").chmod(0o500)
    if os.access(course / "my_lessons", os.W_OK):
        pytest.skip("nothing is read-only to root, or to Windows")
    try:
        assert run(course) == 0
        store(course / "notebooks" / LESSON, text="A better claim.")
        assert run(course) == 0
        assert "cannot be written: Permission denied" in capsys.readouterr().err
    finally:
        (course / "my_lessons").chmod(0o700)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
RUN = """
import os, sys
from pathlib import Path
from tools import lesson_copies
if sys.argv[2] == "die":
    os.fsync = lambda number: os._exit(9)
course = Path(sys.argv[1])
lessons = sorted((course / "notebooks").glob("*.ipynb"))
sys.exit(lesson_copies.main("mine", lessons, course / "my_lessons"))
"""


def start(course, how="live"):
    return subprocess.Popen([sys.executable, "-c", RUN, course, how], env=ENVIRONMENT, cwd=course)


def test_a_run_that_is_killed_leaves_nothing_half_made_and_the_next_one_succeeds(course):
    assert start(course, "die").wait() == 9
    assert files(course) == []
    assert run(course) == 0
    assert files(course) == [LESSON, "02_b.ipynb"]
    assert not list((course / "my_lessons").glob(".*.part"))


def test_a_console_that_cannot_print_a_copys_name_shows_its_codes(course):
    run(course)
    (course / "my_lessons" / LESSON).rename(course / "my_lessons" / "第一课.ipynb")
    rename(course, LESSON, "01_better.ipynb")
    command, plain = [sys.executable, "-c", RUN, course, "live"], {"PYTHONIOENCODING": "ascii"}
    environment = {**ENVIRONMENT, **plain}
    done = subprocess.run(command, env=environment, cwd=course, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert r"\u7b2c\u4e00\u8bfe.ipynb (now 01_better.ipynb)" in done.stdout


def test_a_copy_that_another_run_makes_during_the_look_is_looked_at_again(course, monkeypatch):
    look = lesson_copies.copies

    def then_another_made_it(lesson, folder):
        found = look(lesson, folder)
        folder.mkdir(exist_ok=True)
        (folder / lesson.name).write_text("{}", encoding="utf-8")
        return found

    monkeypatch.setattr(lesson_copies, "copies", then_another_made_it)
    lesson = min((course / "notebooks").glob("*.ipynb"))
    task = lesson_copies.task(lesson, course / "my_lessons", beside=False)
    assert task.what == "make"


@pytest.mark.slow
def test_several_runs_at_once_make_one_whole_copy_each(course):
    runs = [start(course) for _ in range(4)]
    assert [one.wait() for one in runs] == [0] * 4
    assert files(course) == [LESSON, "02_b.ipynb"]
    for name in files(course):
        nbformat.validate(read(course, name))


# The course's own lessons


@pytest.fixture(scope="module")
def own_copies():
    """{name: the copy} of each of the course's notebooks."""
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return {path.name: lesson_copies.cleared(path) for path in paths}


def test_every_link_and_picture_of_a_copy_is_found_from_the_folder_of_copies(own_copies):
    for name, made in own_copies.items():
        for cell in made["cells"]:
            if cell["cell_type"] == "markdown":
                for target in relative_links("".join(cell["source"])):
                    there = (ROOT / lesson_copies.NAME / target).resolve()
                    is_copy = there.parent.name == lesson_copies.NAME and there.name in own_copies
                    assert is_copy or there.exists(), f"{name}: {target}"


def relative_links(text):
    text = lesson.blanked(lesson.blanked(text, lesson.FENCE), lesson.CODE_SPAN)
    links = re.findall(r"""(?:\]\(|\b(?:src|href)=["'])([^)\s"']+)""", text)
    return [link.partition("#")[0] for link in links if not re.match(r"\w+:|#", link)]


def test_no_code_asks_for_a_file_beside_the_stored_lessons(own_copies):
    beside = [path.name for path in (ROOT / "notebooks").iterdir() if path.suffix != ".ipynb"]
    for name, made in own_copies.items():
        for cell in made["cells"]:
            if cell["cell_type"] == "code":
                asked = re.findall(r"""["']([\w./-]+)["']""", "".join(cell["source"]))
                assert not [one for one in asked if one.split("/")[0] in beside], name


@pytest.mark.parametrize(
    ("link", "moved"),
    [
        ("![a](images/loop.png)", "![a](../notebooks/images/loop.png)"),
        ('<img alt="a" src="images/loop.png">', '<img alt="a" src="../notebooks/images/loop.png">'),
        ("[a](01_forward_pass.ipynb)", "[a](01_forward_pass.ipynb)"),
        ("[a](gallery.ipynb#c)", "[a](gallery.ipynb#c)"),
        ("[a](../docs/pitfalls.md)", "[a](../docs/pitfalls.md)"),
        ("[a](https://x.org/images/loop.png)", "[a](https://x.org/images/loop.png)"),
        ("[a](#images)", "[a](#images)"),
        ("[a](no_such_file.png)", "[a](no_such_file.png)"),
    ],
)
def test_a_link_to_what_is_not_copied_leads_to_the_stored_lessons(link, moved):
    assert lesson_copies.from_elsewhere(link, ROOT / "notebooks") == moved


def test_git_and_ruff_leave_the_copies_alone_and_make_opens_them():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{lesson_copies.NAME}/" in ignored
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert lesson_copies.NAME in settings["tool"]["ruff"]["extend-exclude"]
    assert f",notebooks,{lesson_copies.NAME})" in (ROOT / "Makefile").read_text(encoding="utf-8")

"""The stored outputs of the notebooks are complete and clean, and a changed one is found.

nbval compares what is stored with what runs now, and `make test` runs it. It does not look at cells
that were never run, at pictures, or at what a notebook says about itself: `problems` does.
"""

import copy
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import run_notebooks

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9]*.ipynb"))
NOTEBOOKS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("solutions/*.ipynb")])
MOST_BYTES = 1_000_000


# What a notebook is held against


def problems(notebook):
    """Everything that is wrong with a notebook, as sentences; none for a good one."""
    for check in (about_itself, runs, switches, streams, folders, pictures):
        yield from check(notebook)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def about_itself(notebook):
    if notebook.metadata.get("kernelspec") != run_notebooks.KERNEL:
        yield "the kernel is not plain Python 3: JupyterLab would ask which one to take"
    if "widgets" in notebook.metadata:
        yield "metadata.widgets is stored: GitHub refuses to show the notebook"
    if "version" in notebook.metadata.get("language_info", {}):
        yield "Python's patch version is stored: it changes without a change"


def runs(notebook):
    """A cell that has no count and no output is not compared by nbval: it would pass unseen."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells were not run once each, from top to bottom: {counts}"


def switches(notebook):
    for cell in code_cells(notebook):
        tags = cell.metadata.get("tags", [])
        if "nbval-skip" in tags or re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE)", cell.source):
            yield f"cell {cell.execution_count} is kept from being checked"
        if "nbval-ignore-output" in tags and not cell.metadata.get("reason"):
            yield f"cell {cell.execution_count} has an unchecked output, and metadata has no reason"


def streams(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {cell.execution_count} writes to stderr: {output.text[:80]!r}"
            raises = "raises-exception" in cell.metadata.get("tags", [])
            if output.output_type == "error" and not raises:
                yield f"cell {cell.execution_count} fails: {output.ename}"


ONE_MACHINE = re.compile(r"(/home/|/Users/|/root/|/tmp/|/site-packages/|[A-Z]:\\+Users)[^\s'\"]*")


def folders(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if found := ONE_MACHINE.search("\n".join(texts(output))):
                yield f"cell {cell.execution_count} shows a folder of one machine: {found[0]}"


def texts(output):
    """All that an output shows as text: streams, tracebacks, and every textual form of data."""
    yield output.get("text", "")
    yield from output.get("traceback", [])
    for kind, data in output.get("data", {}).items():
        if not kind.startswith("image/"):
            yield str(data)


class PicturesWithoutAltText(HTMLParser):
    """Counts `<img>` whose `alt` is missing or empty."""

    count = 0

    def handle_starttag(self, tag, attrs):
        self.count += tag == "img" and not (dict(attrs).get("alt") or "").strip()


def pictures(notebook):
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and (
            re.search(r"!\[\s*\]", cell.source) or silent_pictures(cell.source)
        ):
            yield f"the text of cell {number} has a picture without alt text"
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if any(kind.startswith("image/") for kind in data):
                yield f"cell {cell.execution_count} shows a bare picture, which has no alt text"
            if silent_pictures(str(data.get("text/html", ""))):
                yield f"cell {cell.execution_count} shows a picture without alt text"


def silent_pictures(html):
    parser = PicturesWithoutAltText()
    parser.feed(html)
    return parser.count


# The notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_complete_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert list(problems(notebook)) == []
    assert path.stat().st_size < MOST_BYTES


def test_all_lessons_start_with_the_same_code_cell():
    firsts = {
        path.name: code_cells(nbformat.read(path, as_version=4))[0].source for path in LESSONS
    }
    odd = [name for name, source in firsts.items() if source != firsts[LESSONS[0].name]]
    assert odd == []


def test_the_first_cell_says_what_to_do_where_the_course_could_not_be_installed(monkeypatch):
    """As pip does when it cannot reach the repository: it prints, and raises nothing."""
    first = code_cells(nbformat.read(LESSONS[0], as_version=4))[0].source
    source, pips = re.subn(
        r"^( *)%pip install -q {source}$", r"\1asked.append(source)", first, flags=re.M
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "llmcourse", None)  # an import of it fails
    asked = []
    with pytest.raises(ImportError, match=r"still missing.*get its ZIP.*%pip install"):
        exec(source, {"asked": asked})
    assert pips == len(asked) == 1


# The checks have teeth


def good_notebook():
    return new_notebook(
        metadata={"kernelspec": dict(run_notebooks.KERNEL)},
        cells=[
            new_markdown_cell("A claim. ![a curve that falls](curve.png)"),
            new_code_cell(
                "print(6 * 7)",
                execution_count=1,
                outputs=[new_output("stream", name="stdout", text="42\n")],
            ),
            new_code_cell("answer = 42", execution_count=2),
        ],
    )


def spoilt(change):
    notebook = good_notebook()
    change(notebook, notebook.cells[1])
    return list(problems(notebook))


def shows(**output):
    """A change to a notebook: its first code cell shows this output as well."""
    return lambda notebook, cell: cell.outputs.append(new_output(**output))


def html(text):
    return shows(output_type="display_data", data={"text/html": text})


def test_a_good_notebook_has_no_problems():
    assert list(problems(good_notebook())) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda notebook, cell: notebook.metadata.pop("kernelspec"), "kernel"),
        (lambda notebook, cell: notebook.metadata.update(widgets={}), "metadata.widgets"),
        (lambda notebook, cell: notebook.metadata.update(language_info={"version": "3"}), "patch"),
        (lambda notebook, cell: cell.update(execution_count=None), "[None, 2]"),
        (lambda notebook, cell: cell.update(execution_count=3), "[3, 2]"),
        (lambda notebook, cell: cell.metadata.update(tags=["nbval-skip"]), "kept from"),
        (lambda notebook, cell: cell.update(source="# NBVAL_IGNORE_OUTPUT\n1"), "kept from"),
        (lambda notebook, cell: cell.metadata.update(tags=["nbval-ignore-output"]), "no reason"),
        (shows(output_type="stream", name="stderr", text="Warning"), "stderr"),
        (shows(output_type="error", ename="ValueError", evalue=""), "fails: ValueError"),
        (shows(output_type="stream", name="stdout", text="in /home/ada/x"), "/home/ada/x"),
        (shows(output_type="display_data", data={"image/png": "iVBORw0KGgo="}), "bare picture"),
        (html("<img src='data:,'>"), "without alt text"),
        (html("<img alt=' ' src='data:,'>"), "without alt text"),
        (lambda notebook, cell: notebook.cells[0].update(source="![](x.png)"), "text of cell 0"),
    ],
)
def test_a_spoilt_notebook_is_found_out(change, problem):
    (said,) = spoilt(change)
    assert problem in said


# A changed output fails


def printed(cell):
    """The outputs of a cell that hold printed text."""
    return [output for output in cell.get("outputs", []) if output.get("name") == "stdout"]


def small_copy():
    """The first lesson as far as its first printed output; a notebook of two cells without one."""
    for path in LESSONS:
        notebook = nbformat.read(path, as_version=4)
        for end, cell in enumerate(notebook.cells, start=1):
            if printed(cell):
                notebook.cells = notebook.cells[:end]
                return notebook
    notebook = good_notebook()
    run_notebooks.run(notebook, ROOT)
    return notebook


def changed_by_hand(notebook):
    """A copy in which one letter or digit of a printed output is another one."""
    notebook = copy.deepcopy(notebook)
    output = next(output for cell in notebook.cells for output in printed(cell))
    output.text = re.sub(r"\w", lambda one: "1" if one[0] == "0" else "0", output.text, count=1)
    return notebook


def nbval_failures(folder):
    """Run the notebooks in `folder` as `make test` does; notebook name -> what its failures say.

    In one process: other workers are busy meanwhile, and a kernel that starves does not start.
    """
    ours = {name: v for name, v in os.environ.items() if not name.startswith(("PYTEST", "MAKE"))}
    ours["PYTHONPATH"] = str(ROOT)
    flags = subprocess.run(
        ["make", "-s", "print-NBVAL"],
        cwd=ROOT,
        env=ours,
        capture_output=True,
        text=True,
        check=True,
    )
    command = [sys.executable, "-m", "pytest", *shlex.split(flags.stdout), "-n0"]
    subprocess.run([*command, "--junitxml=results.xml", "."], cwd=folder, env=ours, check=False)
    failures = {path.stem: [] for path in folder.glob("*.ipynb")}
    for case in ElementTree.parse(folder / "results.xml").iter("testcase"):
        name = next(stem for stem in failures if stem in case.get("classname"))
        failures[name] += [found.text for found in case.iter() if found.tag in ("failure", "error")]
    return failures


@pytest.mark.slow
def test_an_output_that_is_changed_by_hand_makes_the_notebook_fail(tmp_path):
    notebook = small_copy()
    nbformat.write(notebook, tmp_path / "untouched.ipynb")
    nbformat.write(changed_by_hand(notebook), tmp_path / "edited.ipynb")
    failures = nbval_failures(tmp_path)
    if any("Cell outputs differ" not in text for texts in failures.values() for text in texts):
        failures = nbval_failures(
            tmp_path
        )  # a kernel did not start or died, which compares nothing
    assert failures["untouched"] == []
    (said,) = failures["edited"]
    assert "Cell outputs differ" in said


# Storing outputs


@pytest.mark.slow
def test_storing_outputs_twice_gives_the_same_bytes_and_no_problems(tmp_path):
    path = tmp_path / "small.ipynb"
    notebook = good_notebook()
    notebook.cells.append(new_code_cell("import ipywidgets; ipywidgets.IntSlider()"))
    nbformat.write(notebook, path)
    run_notebooks.store(path)
    once = path.read_bytes()
    run_notebooks.store(path)
    assert path.read_bytes() == once
    assert list(problems(nbformat.read(path, as_version=4))) == []


@pytest.mark.slow
def test_a_notebook_that_fails_is_left_as_it_was(tmp_path, capsys):
    path = tmp_path / "wrong.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert run_notebooks.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().out

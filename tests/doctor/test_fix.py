"""`doctor --fix`: fixes in the script's own names, and as a diff where they are one argument."""

import subprocess
from pathlib import Path

import nbformat
import pytest

from llmcourse.__main__ import main
from llmcourse.doctor import fix, static
from llmcourse.doctor.finding import CERTAIN, NOTE, WARNING, Finding
from llmcourse.doctor.own_names import in_own_names, renamed

SCRIPT = """\
import llmcourse
lm, tok = llmcourse.load()
question = "A list of colors: red, blue"
batch = tok(question, return_tensors="pt").to(lm.device)
answer = lm.generate(**batch, temperature=0.5)
ids = batch["input_ids"]
again = lm.generate(
    ids,
    max_length=9,
)
print(tok.decode(answer[0]))
"""


def finding(line: int, repaired: str, severity: str = WARNING, file: str = "a.py") -> Finding:
    return Finding(
        code="no-length",
        severity=severity,
        confidence=CERTAIN,
        what="What.",
        why="Why.",
        fix=repaired,
        line=line,
        file=file,
    )


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize(
    ("line", "said", "own"),
    [
        (5, "model.generate(..., max_new_tokens=9)", "lm.generate(..., max_new_tokens=9)"),
        (5, "model.generate(**inputs, ...)  # model", "lm.generate(**batch, ...)  # model"),
        (8, "model.generate(**inputs, ...)", "lm.generate(**batch, ...)"),
        (5, 'inputs = tokenizer(text, a="text")', 'batch = tok(question, a="text")'),
        (5, "f(model=model, x=a.model)", "f(model=lm, x=a.model)"),
        (5, "what (is no Python", "what (is no Python"),
        (
            11,
            'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:])',
            'tok.decode(answer[0, batch["input_ids"].shape[1]:])',
        ),
        (1, "model.generate()", "model.generate()"),
    ],
)
def test_a_fix_is_in_the_names_of_its_line(script, line, said, own):
    found = finding(line, said, file=str(script))
    (changed,) = in_own_names([found], *static.parsed(str(script)))
    assert changed.fix == own


def test_a_line_with_two_calls_of_a_kind_keeps_the_fix_as_it_is(tmp_path):
    path = tmp_path / "two.py"
    path.write_text("a.generate(x), b.generate(y)\n")
    found = finding(1, "model.generate(...)", file=str(path))
    assert in_own_names([found], *static.parsed(str(path))) == [found]


def test_a_fix_in_a_notebook_has_its_names_too(tmp_path):
    cells = [nbformat.v4.new_code_cell(cell) for cell in ("x = 1", "gpt.generate(a, b=1)")]
    path = tmp_path / "own.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    found = finding(1, "model.generate(...)", file=f"{path}:2")
    assert in_own_names([found], *static.parsed(str(path)))[0].fix == "gpt.generate(...)"


def test_names_are_replaced_and_attributes_keywords_and_texts_are_not():
    own = {"model": "lm", "inputs": "a[0]"}
    assert renamed("model.x(inputs, model=x.model, y='model')", own) == (
        "lm.x(a[0], model=x.model, y='model')"
    )


def changed(script: Path, *findings: Finding) -> str:
    return fix.fixed(str(script), findings)[1]


@pytest.mark.parametrize(
    ("line", "said", "old", "new"),
    [
        (5, "lm.generate(..., do_sample=True)", "0.5)", "0.5, do_sample=True)"),
        (5, "lm.generate(..., do_sample=True, temperature=0.5)", "0.5)", "0.5, do_sample=True)"),
        (5, "lm.generate(..., temperature=1.0)  # or so", "temperature=0.5", "temperature=1.0"),
        (7, "lm.generate(..., max_new_tokens=20)", "max_length=9", "max_new_tokens=20"),
        (7, "lm.generate(..., use_cache=True)", "max_length=9", "max_length=9, use_cache=True"),
        (5, "batch = tok(question, padding=True)", '="pt")', '="pt", padding=True)'),
    ],
)
def test_one_argument_is_added_or_changed_and_nothing_else(script, line, said, old, new):
    assert changed(script, finding(line, said, file=str(script))) == SCRIPT.replace(old, new, 1)


@pytest.mark.parametrize(
    "said",
    [
        "lm.eval()",
        "lm.generate(..., do_sample=True, top_p=0.9)",
        "lm.generate(**batch, ...)",
        "# see the message",
        'tok.padding_side = "left"; x = 1',
    ],
)
def test_what_is_more_or_less_than_one_argument_is_left_to_the_reader(script, said):
    assert changed(script, finding(5, said, file=str(script))) == SCRIPT


def test_notes_change_nothing_and_the_gravest_of_two_fixes_holds(script):
    asks = [f"lm.generate(..., max_new_tokens={number})" for number in (7, 8)]
    assert changed(script, finding(5, asks[0], NOTE, str(script))) == SCRIPT
    both = [finding(5, each, file=str(script)) for each in asks]
    assert changed(script, *both) == SCRIPT.replace("0.5)", "0.5, max_new_tokens=7)")


def test_an_argument_given_in_two_ways_is_given_in_one(tmp_path):
    path = tmp_path / "both.py"
    for given in ("x, max_length=9, max_new_tokens=5", "max_length=9, x=x, max_new_tokens=5"):
        path.write_text(f"é = model.generate({given})  # é\n")
        assert main(["doctor", "--static", "--fix", "--write", str(path)]) == 0
        one = given.replace("max_length=9, ", "")
        assert path.read_text() == f"é = model.generate({one})  # é\n"


def test_the_diff_is_shown_and_the_file_stays_unless_writing_is_asked_for(tmp_path, capfd):
    path = tmp_path / "both.py"
    source = "model.generate(x,\r\n    max_new_tokens=5, max_length=9)\r\n"
    path.write_bytes(source.encode())
    main(["doctor", "--static", "--fix", str(path)])
    shown = capfd.readouterr().out
    assert "\n-    max_new_tokens=5, max_length=9)" in shown
    assert "\n+    max_new_tokens=5)" in shown and path.read_bytes() == source.encode()
    main(["doctor", "--static", "--fix", "--write", str(path)])
    assert path.read_bytes() == source.replace(", max_length=9", "").encode()


def test_the_diff_can_be_applied(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("both.py")
    path.write_text("x = 1\n\nmodel.generate(x, max_length=9, max_new_tokens=5)\n")
    main(["doctor", "--static", "--fix", str(path)])
    shown = capfd.readouterr().out
    patch = shown[shown.index("--- ") :]
    subprocess.run(["git", "apply", "-p0"], input=patch.encode(), check=True, cwd=tmp_path)
    assert "max_length" not in path.read_text()


def test_nothing_to_change_and_notebooks_are_said(tmp_path, capfd):
    path = tmp_path / "sound.py"
    path.write_text("x = 1\n")
    assert main(["doctor", "--static", "--fix", str(path)]) == 0
    assert "no fix here is one argument" in capfd.readouterr().out
    notebook = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), notebook)
    assert main(["doctor", "--static", "--fix", str(notebook)]) == 0
    assert "--fix changes scripts" in capfd.readouterr().out


@pytest.mark.parametrize("options", [["--write"], ["--fix", "--json"]])
def test_options_that_do_not_go_together_are_refused(tmp_path, capfd, options):
    assert main(["doctor", "--static", *options, "x.py"]) == 2
    assert "--fix" in capfd.readouterr().err


@pytest.mark.slow
def test_a_run_speaks_in_the_scripts_names_and_shows_the_change(course_model, tmp_path, capfd):
    path = tmp_path / "own.py"
    path.write_text(SCRIPT.split("ids =")[0])
    main(["doctor", "--fix", str(path)])
    shown = capfd.readouterr().out
    assert "sampling-ignored" in shown and "| fix: lm.generate(..., " in shown
    assert "+answer = lm.generate(**batch, temperature=0.5, " in shown
    assert path.read_text() == SCRIPT.split("ids =")[0]

"""`python -m llmcourse doctor`: a user's script or notebook, run and looked at."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from llmcourse.__main__ import main
from llmcourse.doctor.explain import every_code

CODES = tuple(every_code())
ROOT = Path(__file__).parent.parent.parent

LOADS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained({folder!r}, dtype="float32")
tokenizer = AutoTokenizer.from_pretrained({folder!r}, padding_side={side!r})
"""
ASKS = """\
inputs = tokenizer(["1, 2, 3", "A, B, C, D, E"], padding=True, return_tensors="pt")
ids = model.generate(**inputs, do_sample=False, max_new_tokens=4)
print(tokenizer.batch_decode(ids[:, inputs.input_ids.shape[1]:])[0])
"""


@pytest.fixture
def script(course_model, tmp_path):
    """Make a script that pads on a side; the model is the course's own."""

    def make(side: str, more: str = "") -> Path:
        folder = course_model[0].name_or_path
        path = tmp_path / "script.py"
        path.write_text(LOADS.format(folder=folder, side=side) + ASKS + more)
        return path

    return make


def test_a_faulty_script_is_told_by_file_and_line_and_exits_with_1(script, capfd):
    path = script("right")
    assert main(["doctor", str(path)]) == 1
    out = capfd.readouterr().out
    assert re.search(rf"^{re.escape(str(path))}:5: error padding-side: .* \| fix: ", out, re.M)
    assert "looked at 1 call to generate: 1 error, 0 warnings," in out.splitlines()[-1]


def test_a_sound_script_exits_with_0(script, capfd):
    assert main(["doctor", str(script("left"))]) == 0
    assert "0 errors, 0 warnings" in capfd.readouterr().out


def test_warnings_can_count_as_errors(script, capfd):
    path = script("left", "model.generate(**inputs, temperature=0.5, max_new_tokens=2)\n")
    assert main(["doctor", str(path)]) == 0
    assert main(["doctor", "--warnings-as-errors", str(path)]) == 1
    assert "warning sampling-ignored" in capfd.readouterr().out


def test_an_error_of_torch_has_no_frame_of_ours(tmp_path, capfd):
    path = tmp_path / "script.py"
    path.write_text("import torch, transformers\ntorch.ones(2) @ torch.ones(3)\n")
    assert main(["doctor", str(path)]) == 2
    shown = capfd.readouterr().err
    assert "line 2" in shown and "__torch_function__" not in shown


def test_a_script_that_fails_exits_with_2_and_shows_its_traceback(script, capfd):
    path = script("left", "raise RuntimeError('<b>my own</b>')\n")
    assert main(["doctor", str(path)]) == 2
    shown = capfd.readouterr()
    assert "RuntimeError: <b>my own</b>" in shown.err and 'script.py", line 7' in shown.err
    assert "watching.py" not in shown.err, "its own lines alone"


def test_json_stands_alone_on_stdout(script):
    path = script("right")
    command = [sys.executable, "-m", "llmcourse", "doctor", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    plain = json.loads(done.stdout)
    assert done.returncode == 1 and plain["findings"][0]["code"] == "padding-side"
    assert plain["file"] == str(path) and plain["failed"] is None


def test_a_script_gets_its_own_arguments(tmp_path, capfd):
    path = tmp_path / "says.py"
    path.write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    assert main(["doctor", str(path), "--json", "two"]) == 0
    out = capfd.readouterr().out
    assert "__main__ ['--json', 'two']" in out
    assert "no call to generate was made" in out


def test_a_notebook_is_told_by_cell_and_line(course_model, tmp_path, capfd):
    folder = course_model[0].name_or_path
    cells = [LOADS.format(folder=folder, side="right"), "%matplotlib agg\n1 + 1", ASKS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = tmp_path / "mine.ipynb"
    nbformat.write(notebook, path)
    assert main(["doctor", str(path)]) == 1
    assert "mine.ipynb:3:2: error padding-side" in capfd.readouterr().out


def test_a_cell_that_fails_ends_the_notebook_unless_it_may(tmp_path, capfd):
    may = nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]})
    fails = nbformat.v4.new_code_cell("[][1]")
    path = tmp_path / "fails.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[may, fails]), path)
    assert main(["doctor", str(path)]) == 2
    assert "cell 2: IndexError" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["nowhere.py", "text.txt"])
def test_a_file_that_is_none_exits_with_2(tmp_path, capfd, name):
    (tmp_path / "text.txt").write_text("hello")
    assert main(["doctor", str(tmp_path / name)]) == 2
    assert name in capfd.readouterr().err


def test_each_code_has_its_section_and_each_section_a_code():
    page = (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^## (.*)$", page, re.M)) == sorted(CODES)
    table = re.findall(r"\[([a-z0-9-]+)\]\(#([a-z0-9-]+)\)", page)
    assert {name for name, _ in table} == set(CODES)
    assert all(name == anchor for name, anchor in table)


@pytest.mark.parametrize("code", CODES)
def test_a_section_says_symptom_cause_and_fix(code):
    page = (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {code}\n", 1)[1].split("\n## ", 1)[0]
    for word in ("**Symptom.**", "**Cause.**", "**Fix.**", "**How sure.**"):
        assert word in section, f"{code}: {word}"


def test_cells_share_an_event_loop_that_goes_on(tmp_path, capfd):
    cells = [
        "import asyncio\nloop = asyncio.get_running_loop()\nsays = asyncio.Queue()",
        "async def work():\n    says.put_nowait('done')\ntask = asyncio.create_task(work())",
        "print('from another cell:', await asyncio.wait_for(says.get(), 5))",
        "assert asyncio.get_running_loop() is loop",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = tmp_path / "mine.ipynb"
    nbformat.write(notebook, path)
    assert main(["doctor", str(path)]) == 0
    assert "from another cell: done" in capfd.readouterr().out

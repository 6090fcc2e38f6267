"""`doctor --format sarif`: what code hosts read, checked against what SARIF 2.1.0 requires."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from llmcourse.__main__ import main
from llmcourse.doctor.child_process import Visit
from llmcourse.doctor.explain import every_code
from llmcourse.doctor.finding import CERTAIN, ERROR, Finding
from llmcourse.doctor.sarif import as_sarif

FAULTY = """\
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("some/model")
tokenizer = AutoTokenizer.from_pretrained("some/model")
inputs = tokenizer("é \\"quoted\\"")
model.generate(inputs, max_length=9, max_new_tokens=5)
"""
LEVELS = ("none", "note", "warning", "error")


def require(thing: dict, **kinds) -> None:
    """Require properties of these types in an object."""
    for name, kind in kinds.items():
        assert isinstance(thing[name], kind), name


def require_sarif(log: dict) -> None:
    """Require what the schema of SARIF 2.1.0 does, of all that the doctor writes."""
    require(log, version=str, runs=list)
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        require(driver, name=str, rules=list)
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids))
        for rule in driver["rules"]:
            for words in ("shortDescription", "fullDescription", "help"):
                require(rule[words], text=str)
                assert rule[words]["text"]
            assert rule["defaultConfiguration"]["level"] in LEVELS
        for result in run["results"]:
            require_result(result, ids)
        for invocation in run["invocations"]:
            require(invocation, executionSuccessful=bool)
            for said in invocation["toolExecutionNotifications"]:
                require(said["message"], text=str)


def require_result(result: dict, ids: list[str]) -> None:
    require(result["message"], text=str)
    assert ids[result["ruleIndex"]] == result["ruleId"]
    assert result["level"] in LEVELS and result["occurrenceCount"] >= 1
    for location in result["locations"]:
        place = location["physicalLocation"]
        uri = urlsplit(place["artifactLocation"]["uri"])
        assert uri.path and " " not in uri.path and "\\" not in uri.path
        assert place["region"]["startLine"] >= 1


def log_of(capfd, *arguments: str) -> dict:
    main(["doctor", "--format", "sarif", *arguments])
    log = json.loads(capfd.readouterr().out)
    require_sarif(log)
    return log


def test_findings_have_rules_levels_and_paths_from_here(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("of scripts")
    folder.mkdir()
    (folder / "a.py").write_text(FAULTY)
    log = log_of(capfd, "--static", str(folder / "a.py"), str(tmp_path / "of scripts" / "a.py"))
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(every_code())
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == 2 * [
        ("inputs-by-position", "error"),
        ("two-lengths", "warning"),
    ]
    places = [one["locations"][0]["physicalLocation"] for one in run["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {"of%20scripts/a.py"}
    assert {place["region"]["startLine"] for place in places} == {5}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_cells_line_is_one_of_the_notebooks_file(tmp_path, capfd, indent):
    cells = [nbformat.v4.new_code_cell("x = 1\nx = 1"), nbformat.v4.new_code_cell(FAULTY)]
    cells.insert(1, nbformat.v4.new_markdown_cell("words"))
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    written = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(json.loads(written), indent=indent, ensure_ascii=False))
    result = log_of(capfd, "--static", str(path))["runs"][0]["results"][0]
    location = result["locations"][0]
    line = location["physicalLocation"]["region"]["startLine"]
    shown = path.read_text(encoding="utf-8").split("\n")[line - 1]
    assert "model.generate(inputs" in shown and (indent is None or "import" not in shown)
    assert location["logicalLocations"] == [{"fullyQualifiedName": "cell 2, line 5"}]
    assert result["message"]["text"].startswith("Cell 2, line 5: ")


def test_a_line_that_is_not_found_in_a_notebook_is_its_first(tmp_path):
    found = Finding(
        code="no-eos",
        severity=ERROR,
        confidence=CERTAIN,
        what="<b>\x1b[31m",
        why="w",
        fix="f",
        line=3,
        file=f"{tmp_path}/gone.ipynb:2",
    )
    log = json.loads(as_sarif([Visit("gone.ipynb", findings=(found,))]))
    require_sarif(log)
    (result,) = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 1
    assert "\x1b" not in result["message"]["text"], "printable"


def test_what_failed_is_a_notification(tmp_path, capfd):
    (tmp_path / "broken.py").write_text("def (")
    log = log_of(capfd, "--static", str(tmp_path / "broken.py"), str(tmp_path / "none.py"))
    broken, none = log["runs"][0]["invocations"]
    assert not broken["executionSuccessful"] and broken["exitCode"] == none["exitCode"] == 2
    assert "SyntaxError" in broken["toolExecutionNotifications"][0]["message"]["text"]
    assert "none.py" in none["toolExecutionNotifications"][0]["message"]["text"]


def test_a_script_that_ran_is_reported_as_sarif_and_what_it_prints_is_not(tmp_path, capfd):
    path = tmp_path / "says.py"
    path.write_text("print('hello')\n")
    assert log_of(capfd, str(path))["runs"][0]["results"] == []

"""The ranges, the pins, environment.yml and the targets of make say the same thing."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import (
    bootstrap,
    colab,
    known_differences,
    other_versions,
    pins,
    threads,
    versions_page,
)

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {
    name: [Requirement(line) for line in lines]
    for name, lines in PROJECT["optional-dependencies"].items()
}
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
BINDER = yaml.safe_load((ROOT / ".binder/environment.yml").read_text(encoding="utf-8"))

# What Colab has imported, or may have, before a lesson starts. Replacing any of it asks the learner
# to restart.
COLAB = colab.pins()

made_by_make = pytest.mark.skipif(
    Path(sys.prefix).resolve() != bootstrap.VENV, reason="holds for the .venv that make built"
)


# Pins


def pinned():
    """Lines of constraints.txt as (name, version, marker or None)."""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pin, _, marker = line.partition(" ; ")
            name, version = pin.split("==")
            yield name, version, Marker(marker) if marker else None


PINS = {name: version for name, version, marker in pinned() if marker is None or marker.evaluate()}
ELSEWHERE = {name for name, *_ in pinned()} - set(PINS)


def closure(requirements):
    """Names of all that these requirements need here, and that PyTorch's GPU libraries are not."""
    needed, todo = set(), [(requirement, "") for requirement in requirements]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not applies or pins.LEFT_OUT.match(f"{name}="):
            continue
        seen = {(name, wanted) for wanted in {"", *requirement.extras}}
        if seen <= needed:
            continue
        needed |= seen
        lines = importlib.metadata.requires(name) or []
        todo += [(Requirement(line), wanted) for line in lines for _, wanted in seen]
    return {name for name, _ in needed}


def test_pins_are_names_and_versions_in_order():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    body = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*( ; [^;@]+)?", line) for line in body)
    assert [line.split("==")[0] for line in body] == sorted(line.split("==")[0] for line in body)


def test_pins_are_within_the_ranges():
    for requirement in [*CORE, *chain(*EXTRAS.values())]:
        assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)]), (
            requirement
        )


@made_by_make
def test_every_package_that_make_installs_is_pinned():
    assert closure([*CORE, *EXTRAS["lab"], *EXTRAS["test"]]) - set(PINS) == set()


@made_by_make
def test_every_pin_is_what_make_installed():
    optional = {"uv"}  # fetched only where it is what finds PyTorch
    for name, version in PINS.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            assert name in optional, f"{name} is pinned, and nothing needs it"
        else:
            assert installed.split("+")[0] == version, name


def test_what_only_other_systems_need_is_pinned_too():
    everywhere = set(PINS) | ELSEWHERE
    assert {"appnope", "colorama", "pexpect", "pywinpty"} <= everywhere


# Ranges


@made_by_make  # a hosted notebook takes the newest of what it lacks, as `make` does
@pytest.mark.parametrize("requirement", CORE, ids=str)
def test_a_hosted_notebook_keeps_what_it_has(requirement):
    if requirement.name in COLAB:
        assert requirement.specifier.contains(COLAB[requirement.name])
        return
    for line in importlib.metadata.requires(requirement.name) or []:
        needed = Requirement(line)
        if needed.name in COLAB and (
            needed.marker is None or needed.marker.evaluate({"extra": ""})
        ):
            assert needed.specifier.contains(COLAB[needed.name]), f"{requirement.name}: {needed}"


def test_what_a_lesson_does_not_import_is_in_an_extra():
    core = {requirement.name for requirement in CORE}
    assert core & {"ipykernel", "jupyterlab", "nbval", "notebook", "numpy", "pytest"} == set()


# environment.yml


def conda_lines(environment):
    return [line for line in environment["dependencies"] if isinstance(line, str)]


def pip_lines(environment):
    return [
        line
        for block in environment["dependencies"]
        if isinstance(block, dict)
        for line in block["pip"]
    ]


def test_conda_supplies_python_and_pip_and_pip_the_pins():
    assert {line.split("=")[0].rstrip(">") for line in conda_lines(ENVIRONMENT)} == {
        "python",
        "pip",
    }
    assert pip_lines(ENVIRONMENT) == ["-c constraints.txt", "-e .[lab,test]"]


def test_binder_has_the_same_python_and_installs_as_make_does():
    assert conda_lines(BINDER) == conda_lines(ENVIRONMENT)
    assert BINDER["name"] == ENVIRONMENT["name"]
    assert "tools/bootstrap.py --here" in (ROOT / ".binder/postBuild").read_text(encoding="utf-8")
    assert os.access(ROOT / ".binder/postBuild", os.X_OK)


def test_conda_understands_every_line_and_its_bounds_are_ours():
    rattler = pytest.importorskip("rattler")
    specs = {
        spec.name.normalized: spec for spec in map(rattler.MatchSpec, conda_lines(ENVIRONMENT))
    }
    python = str(specs["python"].version).removeprefix("==").removesuffix(".*")
    assert re.fullmatch(r"3\.\d+", python), "Binder reads a plain version alone"
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    (pip,) = [requirement for requirement in EXTRAS["setup"] if requirement.name == "pip"]
    assert str(specs["pip"].version) == str(pip.specifier)


@made_by_make
@pytest.mark.slow
def test_the_pip_block_asks_for_what_make_installed(tmp_path):
    """As conda does it: a requirements file beside the repository's own files."""
    copy = shutil.copytree(
        ROOT, tmp_path / "course", ignore=shutil.ignore_patterns(".*", "notebooks")
    )
    (copy / "pip-block.txt").write_text("\n".join(pip_lines(ENVIRONMENT)))
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report=report.json"]
    # The setuptools that is here builds the package, so that this needs no network.
    subprocess.run([*pip, "--no-build-isolation", "-r", "pip-block.txt"], cwd=copy, check=True)
    report = json.loads((copy / "report.json").read_text(encoding="utf-8"))
    assert [new["metadata"]["name"] for new in report["install"]] == ["llmcourse"]


# make


def make(*arguments, **environment):
    """Run make without what an outer make handed down."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MAKE") and name not in {"MFLAGS", "PYTHON"}
    }
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env={**ours, **environment}, capture_output=True, text=True
    )


MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()


def test_make_lists_every_target_in_a_line():
    listed = re.findall(r"^  make ([a-z-]+) +\S.*$", make().stdout, re.MULTILINE)
    assert sorted(listed) == sorted(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_plan(target):
    plan = make("-n", target)
    assert plan.returncode == 0
    assert plan.stderr == ""


def in_order(text, *parts):
    return re.search(".*".join(map(re.escape, parts)), text, re.DOTALL)


@pytest.mark.parametrize("target", ["lab", "test"])
def test_the_two_commands_set_up_and_fetch_the_model_first(target):
    last = {
        "lab": "-m jupyterlab --notebook-dir=.",
        "test": "-m pytest --nbval",
    }[target]
    plan = make("-n", target).stdout
    assert in_order(plan, "tools/bootstrap.py", "-m llmcourse fetch", last)


def test_lab_opens_the_first_lesson_with_the_options_of_the_user():
    plan = make("-n", "lab", "LAB_ARGS=--no-browser --port=8899").stdout
    first = min((path.name for path in ROOT.glob("notebooks/[0-9]*.ipynb")), default="")
    url = f"--LabApp.default_url=/lab/tree/my_lessons/{first} "
    assert in_order(plan, "tools.lesson_copies mine\n", url, "--no-browser --port=8899")
    assert ("--allow-root" in plan) == (hasattr(os, "getuid") and os.getuid() == 0)


def test_lab_opens_the_stored_lessons_when_they_are_asked_for():
    plan = make("-n", "lab", "LESSONS=stored").stdout
    assert in_order(
        plan, "tools.lesson_copies stored\n", "--LabApp.default_url=/lab/tree/notebooks/0"
    )


def test_a_python_that_is_named_in_either_way_is_the_one_that_is_used():
    for plan in (make("-n", "lab", PYTHON="python3.12"), make("-n", "lab", "PYTHON=python3.12")):
        assert '"python3.12" tools/bootstrap.py' in plan.stdout
        assert "--rebuild-for-this-python" in plan.stdout
    assert "--rebuild-for-this-python" not in make("-n", "lab").stdout


def test_without_python_make_says_what_to_do():
    run = make("setup", "PYTHON=no-such-python")
    assert run.returncode != 0
    assert in_order(run.stdout, "no no-such-python here", "make lab PYTHON=python3.12")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_with_an_old_python_make_says_what_to_do(tmp_path):
    old = tmp_path / "python3"
    pretend = "import sys; sys.version_info = (3, 10, 13); sys.version = '3.10.13 (old)'; "
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}exec(sys.argv[1])" "$2"\n')
    old.chmod(0o755)
    run = make("setup", f"PYTHON={old}")
    assert run.returncode != 0
    assert in_order(run.stderr, "Python 3.11 or newer", "is 3.10.13", "make lab PYTHON=python3.12")


def test_readme_names_no_target_that_is_not_there():
    readme = ROOT / "README.md"
    named = re.findall(
        r"^\s*\$? ?make ([a-z][a-z-]*)|`make ([a-z][a-z-]*)",
        readme.read_text("utf-8"),
        re.MULTILINE,
    )
    assert {line or inline for line, inline in named} <= set(TARGETS)


# make threads


def test_threads_asks_only_for_what_this_cpu_has(monkeypatch, capsys):
    monkeypatch.setattr(threads, "supported", lambda: ("default", "avx2"))
    asked = []
    monkeypatch.setattr(threads, "check", lambda *row: asked.append(row[:2]) or row[0] == 1)
    assert threads.main(["notebooks"]) == 1
    assert asked == [(1, "default"), (2, "default"), (1, "avx2"), (2, "avx2")]
    table = capsys.readouterr().out
    assert table.count("the same") == table.count("DIFFERENT") == 2
    assert table.count("skipped: this CPU has no avx512") == 2


@pytest.mark.slow
def test_the_plainest_vectors_are_always_supported():
    assert threads.supported()[0] == "default"


# make test-oldest, make test-newest


@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_another_version_runs_the_lessons_and_all_tests_but_those_about_the_setup(which):
    plan = make("-n", f"test-{which}").stdout
    assert in_order(plan, f"-m tools.other_versions {which} --nbval ", "notebooks/01_")
    options = ["--nbval", "notebooks/01.ipynb"]
    command = other_versions.tests(Path("python"), which, "torch==2.11.0", options)
    assert command[:3] == ["python", "-m", "pytest"]
    assert command[-3:] == ["--nbval", "notebooks/01.ipynb", "tests"]
    assert f"--versions={which}" in command
    assert "--packages=torch==2.11.0" in command
    assert any(part.endswith(f"results/{which}.json") for part in command)
    left_out = [part.removeprefix("--ignore=") for part in command if "--ignore=" in part]
    assert left_out and all((ROOT / path).exists() for path in left_out)


# make colab


def test_what_colab_holds_is_pinned_with_its_date_and_source():
    facts = colab.facts()
    assert re.fullmatch(r"3\.\d+", facts["python"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["date"])
    assert re.fullmatch(r"[0-9a-f]{40}", facts["commit"])
    assert facts["source"].startswith("https://github.com/googlecolab/")
    needed = {requirement.name for requirement in CORE}
    brought = {"bitsandbytes", "gguf", "llguidance"}  # by the first cell
    assert needed - set(COLAB) == brought
    assert {"peft", "ipykernel", "ipython", "tokenizers", "numpy"} <= set(COLAB)


def test_the_lessons_run_in_colabs_environment_without_the_repository(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(colab.subprocess, "run", lambda command, **_: asked.append(command) or Done)
    options = ["--nbval", "--nbval-current-env", "-n", "2", "notebooks/01.ipynb"]
    assert colab.run_lessons(options, tmp_path, "torch==2.11.0") == 0
    (command,) = asked
    assert command[-4:] == ["--nbval", "-n", "2", str(tmp_path / "01.ipynb")]
    assert {"--versions=colab", "--nbval-kernel-name=colab"} <= set(command)
    assert "--nbval-current-env" not in command, "it would run them where pytest runs"


class Done:
    returncode = 0


def test_colabs_kernel_takes_the_clone_for_the_repository_and_does_not_find_this_one(tmp_path):
    colab.kernel(tmp_path, tmp_path / "clone")
    made = json.loads((tmp_path / "kernels" / "colab" / "kernel.json").read_text("utf-8"))
    assert made["env"]["PYTHONPATH"] == ""
    config = ["git", "config", "--get-regexp", "^url"]
    said = subprocess.run(config, env={**os.environ, **made["env"]}, capture_output=True, text=True)
    repository = PROJECT["urls"]["Repository"]
    assert said.stdout == f"url.{(tmp_path / 'clone').as_uri()}.insteadof {repository}\n"


def test_a_lesson_that_was_not_run_to_its_end_is_named(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in ("1", "2", "")]
    notebooks = [tmp_path / "01_whole.ipynb", tmp_path / "02_half.ipynb", tmp_path / "03_not.ipynb"]
    for path in notebooks:
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    results = tmp_path / "colab.json"
    ran = {"01_whole": {"cells": 2}, "02_half": {"cells": 1}}
    results.write_text(json.dumps({"notebooks": ran}))
    assert colab.cut_short(notebooks, results) == ["02_half", "03_not"]


def test_a_package_of_colab_that_is_replaced_or_gone_is_named():
    before = {"numpy": "2.1.3", "torch": "2.11.0", "pillow": "11.3.0"}
    after = {"numpy": "2.5.0", "torch": "2.11.0", "gguf": "0.17"}
    assert colab.replaced(before, after) == [
        "numpy 2.1.3 became 2.5.0",
        "pillow 11.3.0 became nothing",
    ]


# What was run: docs/versions.md


@pytest.mark.parametrize("lane", versions_page.LANES)
def test_a_lane_ran_every_lesson_and_only_listed_cells_differed(lane):
    made = versions_page.read(lane)
    assert set(made["notebooks"]) == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    differed = {(name, cell) for name, one in made["notebooks"].items() for cell in one["differ"]}
    assert differed == set(known_differences.known(lane))
    assert not any(one["failed"] for one in made["notebooks"].values())


@pytest.mark.parametrize("name", ["torch", "transformers"])
def test_the_floors_are_what_was_run_and_no_version_that_was_run_is_outside(name):
    (range_,) = [requirement.specifier for requirement in CORE if requirement.name == name]
    (floor,) = [part.version for part in range_ if part.operator == ">="]
    ran = {lane: versions_page.read(lane)["packages"][name] for lane in versions_page.LANES}
    assert ran["oldest"].split("+")[0] in (floor, f"{floor}.0")
    assert all(range_.contains(version) for version in ran.values())


def test_the_page_of_versions_says_what_was_run():
    assert (ROOT / "docs" / "versions.md").read_text("utf-8") == versions_page.page(), (
        "run `make docs`"
    )


# make quick


def test_quick_leaves_out_what_is_marked():
    plan = make("-n", "quick").stdout
    assert in_order(plan, "ruff check", "ruff format", '-m "not needs_model and not slow"')
    assert "llmcourse fetch" not in plan

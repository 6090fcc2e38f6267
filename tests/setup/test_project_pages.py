"""The pages about the project are valid, name what exists, and say what the files say."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_markdown_cell, new_notebook

from tools import addresses, architecture

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[1].split())
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/teaching.md",
    "docs/versions.md",
)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))  # not config.yml
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/*.ipynb"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def targets(commands: str) -> set[str]:
    """The targets that a script or a page asks make for."""
    return set(re.findall(r"(?:^|[`\"]|stage )make(?: -\w+)* ([a-z][a-z-]*)", commands, re.M))


# Pages


@pytest.mark.parametrize("name", PAGES)
def test_a_page_links_and_names_only_what_exists(name):
    page = text(name)
    folder = (ROOT / name).parent
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page):
        assert (folder / link).exists(), link
    for named in re.findall(r"`((?:\.ci|tests|llmcourse|tools|docs|LICENSES)/[\w./-]*)`", page):
        new = "NN_" in named or "your_" in named
        assert new or (ROOT / named).exists(), named


@pytest.mark.parametrize("name", [*PAGES, ".ci/run", ".devcontainer/devcontainer.json"])
def test_every_make_target_that_is_named_exists(name):
    assert targets(text(name)) <= TARGETS


def test_contributing_explains_every_lane():
    lanes = {
        "quick",
        "test",
        "test-browser",
        "test-oldest",
        "test-newest",
        "colab",
        "threads",
        "parity",
    }
    assert lanes <= targets(text("CONTRIBUTING.md"))


def test_the_architecture_lists_every_file_by_its_first_line():
    assert text("docs/architecture.md") == architecture.page(), "run `make docs`"


def test_a_file_without_a_first_line_is_refused(tmp_path):
    (tmp_path / "silent.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"silent\.py: the first line should say"):
        architecture.first_line(tmp_path / "silent.py")


def test_the_changelog_has_its_form():
    headings = re.findall(r"^## (.*)$", text("CHANGELOG.md"), re.M)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", one) for one in headings[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text("CHANGELOG.md"), re.M)) <= kinds


def test_the_citation_is_of_this_version_and_has_what_its_format_asks_for():
    """The keys that the Citation File Format 1.2.0 requires, and no others than it knows."""
    cited = yaml.safe_load(text("CITATION.cff"))
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert cited["message"] and cited["title"]
    assert cited["authors"] and all(
        set(one) <= {"name", "family-names", "given-names", "orcid", "website"}
        for one in cited["authors"]
    )
    assert str(cited["version"]) == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    assert cited["repository-code"] == addresses.repository()
    known = "abstract authors cff-version keywords license message repository-code title type"
    assert cited.keys() <= {*known.split(), "version", "date-released", "doi", "url"}


def test_the_licence_of_the_prose_is_the_whole_text():
    licence = text("LICENSES/CC-BY-4.0.txt")
    assert licence.startswith("Attribution 4.0 International")
    assert [int(n) for n in re.findall(r"^Section (\d) -- ", licence, re.M)] == list(range(1, 9))


# Forms and workflows


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_valid(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form.keys() <= {"name", "description", "title", "labels", "body"}
    assert form["name"] and form["description"]
    identities = [field["id"] for field in form["body"]]
    assert len(set(identities)) == len(identities)
    for field in form["body"]:
        assert field["type"] in {"input", "textarea", "dropdown"}
        assert field["attributes"]["label"] and field["validations"]["required"] is True
        assert ("options" in field["attributes"]) == (field["type"] == "dropdown")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_valid_and_runs_what_exists(path):
    flow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert flow[True], "YAML reads the key `on` as true"
    for job in flow["jobs"].values():
        assert job["runs-on"] and job["timeout-minutes"] <= 90
        commands = [step["run"] for step in job["steps"] if "run" in step]
        assert commands
        for command in commands:
            first, *rest = command.split()
            assert rest[0] in TARGETS if first == "make" else os.access(ROOT / first, os.X_OK)


def test_a_workflow_runs_all_of_ci_and_another_the_newest_versions():
    runs = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert "run: .ci/run\n" in runs and "run: make test-newest\n" in runs
    assert "test" in targets(text(".ci/run"))


def test_the_devcontainer_sets_up_with_make():
    made = json.loads(text(".devcontainer/devcontainer.json"))
    assert made["postCreateCommand"] == "make model"


# The address of the repository

ADDRESS = re.compile(
    r"(?:github\.com|githubusercontent\.com|google\.com/github|share/github)/([\w.-]+/[\w.-]+)"
)
OURS = addresses.repository().removeprefix("https://github.com/")


def tracked(*options: str) -> list[Path]:
    command = ["git", "ls-files", "-z", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_that_git_is_to_ignore_is_kept_in_it():
    assert tracked("--cached", "--ignored", "--exclude-standard") == []


def test_the_address_is_the_same_in_every_file():
    """Of all addresses on GitHub, those that end in this project's name or stand in a badge."""
    names = {PROJECT["name"], OURS.split("/")[1]}
    wrong = [
        f"{path.relative_to(ROOT)}: {found}"
        for path in tracked()
        if path.suffix not in {".png", ".svg"}
        for found in ADDRESS.findall(path.read_text(encoding="utf-8"))
        if found.removesuffix(".git").split("/")[1] in names and found.removesuffix(".git") != OURS
    ]
    assert wrong == []


def test_the_readme_says_what_the_library_tests_gave():
    (all_of_them,) = re.findall(r"\| \*\*all\*\* \|(.*)", text("benchmarks/library_tests.md"))
    passed, refused, failed, encoders = map(int, re.findall(r"\d+", all_of_them))
    assert f"{passed:,} pass, {refused} are refused by name" in text("README.md")
    assert f"{encoders} are of encoder-decoder models, none fails" in text("README.md")
    assert failed == 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_the_address_and_opens_itself_elsewhere(path):
    notebook = nbformat.read(path, as_version=4)
    assert addresses.buttons(path.relative_to(ROOT).as_posix()) in notebook.cells[0].source
    sources = [cell.source for cell in notebook.cells]
    addresses.write_into(notebook, path.relative_to(ROOT).as_posix())
    assert [cell.source for cell in notebook.cells] == sources, "run `python -m tools.addresses`"


@pytest.mark.parametrize("name", addresses.PAGES)
def test_a_page_has_the_address(name):
    assert addresses.PAGES[name](text(name)) == text(name), "run `python -m tools.addresses`"


def test_a_link_to_a_page_of_ours_gets_the_address_and_other_projects_keep_theirs(monkeypatch):
    monkeypatch.setattr(addresses, "repository", lambda: "https://github.com/ada/course")
    other = "https://github.com/huggingface/transformers/blob/main/docs/source/en/index.md"
    ours = "https://github.com/old/place/blob/main/docs/pitfalls.md#no-cache"
    cells = [new_markdown_cell("# A lesson"), new_markdown_cell(f"[a]({ours}), [b]({other})")]
    notebook = new_notebook(cells=cells)
    addresses.write_into(notebook, "notebooks/01_lesson.ipynb")
    new = "https://github.com/ada/course/blob/main/docs/pitfalls.md#no-cache"
    assert notebook.cells[1].source == f"[a]({new}), [b]({other})"


def test_another_address_is_written_everywhere(monkeypatch):
    """To a fork: lessons, README and citation, and nothing of the old one stays."""
    monkeypatch.setattr(addresses, "repository", lambda: "https://github.com/ada/course")
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    addresses.write_into(notebook, NOTEBOOKS[0].relative_to(ROOT).as_posix())
    written = [cell.source for cell in notebook.cells]
    written += [change(text(name)) for name, change in addresses.PAGES.items()]
    assert "github/ada/course/blob/main/notebooks/" in written[0]
    assert 'git+https://github.com/ada/course"' in "".join(written)
    assert OURS not in "".join(written)

"""The page for teachers: its plans, commands, questions and quotes are what the lessons say."""

import ast
import copy
import re
import shlex

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_notebook

from llmcourse import __main__ as command_line
from llmcourse import checks
from llmcourse.models import fetch
from tests.support.toy_models import save_unlike_the_course
from tools import lesson, teaching_page
from tools.minutes import lesson_minutes

ROOT = lesson.ROOT
PAGE = teaching_page.PAGE.read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
LESSONS = {int(path.stem[:2]): path for path in lesson.lessons()}
NOTEBOOKS = {number: lesson.read(path) for number, path in LESSONS.items()}
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()
]
COMMANDS += re.findall(r"`(make [^`]+|\.venv/bin/python [^`]+)`", PAGE)
LINKS = re.findall(r"\[([^\]]+)\]\(([^)#]*)#?([^)]*)\)", PAGE)


def rows(part):
    return teaching_page.ROW.findall(PARTS[part])


def sections(number):
    """The numbered sections of a lesson, by their number."""
    found = lesson.sections(NOTEBOOKS[number])
    return {int(one.title.split(".")[0]): one for one in found if one.title[:1].isdigit()}


def everything_in(section):
    """What stands in a section: its text, its code, and what was printed."""
    texts = [piece.text for piece in section.pieces]
    for cell in section.code:
        for output in cell.get("outputs", []):
            texts.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)


# Plans


def test_the_plans_have_the_minutes_that_stand_in_the_lessons():
    assert teaching_page.with_minutes(PAGE) == PAGE, "run `python -m tools.teaching_page`"


def test_an_hour_is_no_longer_than_an_hour():
    assert 45 <= sum(int(minutes) for _, minutes, _ in rows("One hour")) <= 60


def test_half_a_day_and_a_day_end_in_time():
    for part, most in (("Half a day", 240), ("Two days", 2 * 390), ("A third day", 390)):
        assert sum(int(minutes) for _, minutes, _ in rows(part)) <= most


def test_the_hour_names_sections_by_their_titles():
    named = re.findall(r"Lesson (\d+): \[(.+?)\]\(\.\./notebooks/(.+?)#(.+?)\)", PARTS["One hour"])
    assert len(named) == len(re.findall(r"\]\(", PARTS["One hour"])) >= 5
    for number, title, file, name in named:
        assert title in [one.title for one in sections(int(number)).values()]
        assert file == LESSONS[int(number)].name and name == teaching_page.anchor(title)


def test_two_days_and_a_third_day_are_the_core_of_every_lesson():
    days = PARTS["Two days"] + PARTS["A third day"]
    for number, path in LESSONS.items():
        assert f"[Lesson {number}](../notebooks/{path.name}), core" in days


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_what_the_hour_leaves_out_is_not_missed(number, tmp_path, monkeypatch):
    """The cells of the named sections run in order, with a tiny model in place of the course's."""
    save_unlike_the_course(tmp_path / "model", (ROOT / "README.md").read_text(encoding="utf-8"))
    monkeypatch.setenv("LLMCOURSE_MODEL", str(tmp_path / "model"))
    named = {int(found) for found in re.findall(rf"Lesson {number}: \[(\d+)\.", PARTS["One hour"])}
    if number == 2:
        assert "From section 2 to section 4 of lesson 2" in PARTS["One hour"]
        named.add(3)  # run unread, as the page says
    cells = list(lesson.section(NOTEBOOKS[number], "").code)
    for one in sorted(named):
        cells += sections(number)[one].code
    where = {"metadata": {"path": ROOT / "notebooks"}}
    NotebookClient(new_notebook(cells=copy.deepcopy(cells)), timeout=600, resources=where).execute()


# Links and commands


def slug(heading):
    """The name that GitHub gives a heading of a page."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_link_leads_to_a_heading_that_is_there():
    for text, file, name in LINKS:
        target = (ROOT / "docs" / file).resolve()
        assert target.exists(), file
        if number := re.match(r"Lesson (\d+)$", text):
            assert target == LESSONS[int(number[1])]
        if name and target.suffix == ".ipynb":
            titles = [one.title for one in lesson.sections(lesson.read(target))]
            assert name in map(teaching_page.anchor, titles), name
        elif name:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert name in map(slug, headings), name


def test_readme_and_this_page_lead_to_each_other_and_to_the_glossary():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/teaching.md)" in readme and "(docs/glossary.md)" in readme
    assert "(glossary.md)" in PAGE


def test_every_command_is_one_that_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:.*## ", makefile, re.M), command
            continue
        assert words[:2] == [".venv/bin/python", "-m"], command
        if words[2] == "llmcourse":
            name, *rest = words[3:]
            more = [] if name != "doctor" or rest else ["script.py"]
            assert command_line.parser().parse_args([name, *rest, *more]).command
        else:
            assert words[2:4] == ["pip", "download"] and words[-1] == fetch.REQUIREMENT


def test_what_is_said_of_the_model_is_what_its_module_says():
    source = (ROOT / "llmcourse" / "models" / "fetch.py").read_text(encoding="utf-8")
    named = set(re.findall(r"`?((?:LLMCOURSE|PIP)_[A-Z_]+)", PAGE))
    assert named == {"LLMCOURSE_CACHE", "PIP_FIND_LINKS"}
    assert all(name in source for name in named)
    assert f"takes {fetch.FOLDER_MB} MB" in PAGE


def test_the_summary_is_quoted_as_it_is_printed(monkeypatch, capsys):
    names = [
        name
        for cell in NOTEBOOKS[1].cells
        for name in re.findall(r"^(\w+) = yours_or_ours\(", cell.source, re.M)
    ]
    monkeypatch.setattr(checks, "_goes_on", set(names))
    for right in (names[:1], names):
        state = {name: checks.RIGHT if name in right else checks.OURS for name in names}
        monkeypatch.setattr(checks, "_state", state)
        checks.summary()
        assert f"`{capsys.readouterr().out.strip()}`" in PAGE
    assert "`llmcourse.checks.summary()`" in PAGE


# Questions and wrong guesses

ABOUT = {
    int(number): text
    for number, text in re.findall(
        r"^### Lesson (\d+), [^\n]+\n(.*?)(?=^### |\Z)",
        PARTS["Questions, and wrong guesses"],
        re.M | re.S,
    )
}
BULLET = re.compile(r"^- (.+) \(section (\d+)\)$", re.M)
BULLETS = [
    pytest.param(number, text, int(section), id=f"{number}.{section} {text[:30]}")
    for number, about in ABOUT.items()
    for text, section in BULLET.findall(about)
]
QUOTES = [
    (number, quote)
    for number, about in ABOUT.items()
    for line in re.findall(r"^The checks name: (.+)$", about, re.M)
    for quote in re.findall(r'"([^"]+)"', line)
]
MODULES = (
    "forward_pass",
    "decoding_loop",
    "choosing_tokens",
    "pitfalls",
    "chat_templates",
    "streaming",
    "structured_output",
    "speed_and_memory",
    "quantization",
    "measuring",
    "serving",
)
NUMBER = re.compile(r"(?<![\w.,-])\d+(?:[.,]\d+)*%?")


def test_every_lesson_has_questions_guesses_and_what_its_checks_name():
    assert list(ABOUT) == list(LESSONS)
    for number, text in ABOUT.items():
        questions, guesses = text.split("Wrong guesses:")
        assert len(BULLET.findall(questions)) == questions.count("\n- ") in (2, 3)
        assert len(BULLET.findall(guesses)) == guesses.count("\n- ") >= 3
        assert questions.count("?") >= 2
        assert number in dict(QUOTES)


@pytest.mark.parametrize(("number", "text", "section"), BULLETS)
def test_what_is_said_stands_in_the_section_that_is_named(number, text, section):
    """Its numbers, and the texts that it quotes."""
    assert section in sections(number)
    stands = everything_in(sections(number)[section])
    for one in NUMBER.findall(re.sub(r"`[^`]*`", "", text)):
        assert re.search(rf"(?<![\d.,]){re.escape(one)}(?![\d%]|[.,]\d)", stands), one
    for one in re.findall(r"`([^`]+)`", text):
        assert one in stands, one


@pytest.mark.parametrize(("number", "quote"), QUOTES)
def test_what_a_check_is_said_to_name_stands_in_it(number, quote):
    module = ROOT / "llmcourse" / "checks" / MODULES[number - 1]  # a file, or a folder of files
    paths = [module.with_suffix(".py"), *module.glob("*.py")]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    parts = [part for tree in trees for part in ast.walk(tree)]
    said = [part.value for part in parts if isinstance(part, ast.Constant)]
    assert any(quote in one for one in said if isinstance(one, str))


def test_the_slide_has_every_lesson():
    last = re.findall(r"\| ([\d, ]+) \|$", PARTS["The road map, as a slide"], re.M)
    assert {int(one) for cell in last for one in cell.split(", ")} == set(LESSONS)


# How plans are made


@pytest.mark.parametrize(
    ("text", "named"), [("3", [3]), ("1 and 3 to 5", [1, 3, 4, 5]), ("1, 2 and 4", [1, 2, 4])]
)
def test_numbers_are_read_as_they_are_said(text, named):
    assert teaching_page.numbers(text) == named


BOOK = "](../notebooks/01_forward_pass.ipynb"


def made(*parts):
    """What becomes of the rows of a plan, each given by what it is about."""
    page = f"{teaching_page.HEADER} |\n|---|---|---|\n"
    page += "".join(f"| 0:00 | 70 | {part} | x |\n" for part in parts)
    return [row[:2] for row in teaching_page.ROW.findall(teaching_page.with_minutes(page))]


def test_a_part_without_a_lesson_keeps_its_minutes_and_the_clock_goes_on():
    assert made("Open", "Break") == [("0:00", "70"), ("1:10", "70")]


def test_a_part_takes_the_minutes_of_the_lesson():
    notebook = NOTEBOOKS[1]
    by_section = {n: int(lesson.MARK.search(one.prose)[1]) for n, one in sections(1).items()}
    name = teaching_page.anchor(sections(1)[4].title)
    for part, minutes in (
        (f"[x{BOOK}#{name})", by_section[4]),
        (f"[x{BOOK}), core", lesson_minutes(notebook).core),
        (f"[x{BOOK}), sections 1 and 3 to 5", sum(by_section[n] for n in (1, 3, 4, 5))),
        (f"[x{BOOK}), section 3; [y{BOOK}), section 5", by_section[3] + by_section[5]),
        (f"[x{BOOK}), exercises 1 to 3", lesson_minutes(notebook).exercises),
    ):
        assert made(part) == [("0:00", str(minutes))]


def test_a_part_that_the_lesson_does_not_have_is_refused():
    for part in (f"[x{BOOK}#99.-Nothing)", f"[x{BOOK}), section 99", f"[x{BOOK}), exercise 9"):
        with pytest.raises(KeyError):
            made(part)

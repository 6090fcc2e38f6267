"""The learner's own copies of the lessons, in my_lessons/, without outputs: `make lab` opens them.

    python -m tools.lesson_copies mine     make those that are missing
    python -m tools.lesson_copies new      and put what changed since beside what the learner wrote
    python -m tools.lesson_copies stored   none: the stored lessons are to be opened

A copy says in its metadata of which lesson, and of which state of it, it was made. There is no
other record, so none can be lost, broken, or of another opinion. A copy in which nothing was
written or run is brought up to date; any other is never touched again, nor is one whose lesson the
course has no more, which is only named. A file appears whole or not at all.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

ROOT = Path(__file__).resolve().parent.parent
NAME = "my_lessons"
WHICH = ("mine", "new", "stored")
MADE_OF = "llmcourse_made_of"  # in a copy's metadata: the fingerprint of what was copied
LESSON = "llmcourse_lesson"  # there, too: the lesson's name without .ipynb
LOCK_SECONDS = 60
NUMBERED = re.compile(r"0*(?P<number>\d+)_(?P<name>.+)")  # the name of a lesson
BESIDE = re.compile(r"(\.new\d*|-Copy\d+)+$")  # what we, or JupyterLab, put behind a copy's name
LINK = re.compile(r"""(\]\(|\b(?:src|href)=["'])(?!\w+:|[#/.])([^)\s"'#]+)""")


@dataclass(frozen=True)
class Copy:
    """A notebook of the learner's."""

    path: Path
    made_of: str | None  # the fingerprint of what was copied; None if it does not say
    lesson: str  # the name of its lesson, which may be gone; from the file's name if it says none
    content: str | None  # the fingerprint of what stands there now; None if it cannot be read
    was_run: bool  # an output or a count is there

    @property
    def is_untouched(self) -> bool:
        return self.content is not None and self.content == self.made_of and not self.was_run

    def is_of(self, lesson: dict) -> bool:
        """Tell whether it was made of this state of the lesson, or reads the same."""
        return lesson["metadata"][MADE_OF] in (self.made_of, self.content)


def source(cell: dict) -> str:
    """Return a cell's source, which a notebook holds as one text or as a list of lines."""
    return "".join(cell["source"])


def fingerprint(notebook: dict) -> str:
    """Return a hash of what somebody wrote in a notebook: its cells, without outputs."""
    written = [[cell["cell_type"], source(cell)] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()


def from_elsewhere(text: str, folder: Path) -> str:
    """Let links to what is not copied from `folder`, as pictures, lead there from beside it."""

    def moved(link: re.Match) -> str:
        target = folder / link[2]
        is_copied = target.parent == folder and target.suffix == ".ipynb"
        up = "" if is_copied or not target.exists() else f"../{folder.name}/"
        return f"{link[1]}{up}{link[2]}"

    return LINK.sub(moved, text)


def cleared(lesson: Path) -> dict:
    """Return a lesson without outputs, as a copy is to be; raises OSError or ValueError."""
    notebook = parsed(lesson)
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        cell.get("metadata", {}).pop("execution", None)
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
        else:
            cell["source"] = from_elsewhere(source(cell), lesson.parent).splitlines(keepends=True)
    notebook["metadata"].update({MADE_OF: fingerprint(notebook), LESSON: lesson.stem})
    return notebook


def parsed(path: Path) -> dict:
    """Return a notebook; raises OSError, or ValueError if it is none."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["metadata"].items()
        fingerprint(notebook)
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no notebook: {error!r}") from None
    return notebook


def look(path: Path) -> Copy:
    """Look at a notebook of the learner's, in whatever state it is."""
    by_name = BESIDE.sub("", path.stem)
    try:
        notebook = parsed(path)
    except (OSError, ValueError):
        return Copy(path, made_of=None, lesson=by_name, content=None, was_run=False)
    said = notebook["metadata"].get(LESSON)
    return Copy(
        path,
        made_of=notebook["metadata"].get(MADE_OF),
        lesson=said if said and isinstance(said, str) else by_name,
        content=fingerprint(notebook),
        was_run=any(
            cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"]
        ),
    )


def new_names(stem: str) -> Iterator[str]:
    """Yield the names of what is put beside a copy: x.new.ipynb, x.new2.ipynb, ..."""
    yield f"{stem}.new.ipynb"
    for number in range(2, 100):
        yield f"{stem}.new{number}.ipynb"


def copies(lesson: Path, folder: Path) -> list[Copy]:
    """Return the learner's copies of a lesson: their own first, then what was put beside it."""
    beside = [folder / name for name in new_names(lesson.stem)]
    found = [path for path in (folder / lesson.name, *beside) if os.path.lexists(path)]
    return [look(path) for path in found]


@dataclass(frozen=True)
class Task:
    """What is to be done about a lesson, or to be said."""

    what: str  # "make", "update", "beside"; only to be said: the other keys of SAID
    path: Path  # of the copy; of the lesson where that cannot be read
    notebook: dict | None = None  # what is to be written there
    now: str | None = None  # for a copy whose lesson is gone, the file that replaces that

    @property
    def name(self) -> str:
        return f"{self.path.name} (now {self.now})" if self.now else self.path.name


def task(lesson: Path, folder: Path, *, beside: bool) -> Task | None:
    """Return what is to be done about a lesson; None if the learner has it as it is now.

    beside: put a lesson that changed beside what the learner wrote.
    """
    try:
        notebook = cleared(lesson)
    except (OSError, ValueError):
        return Task("no lesson", lesson)
    main, own = folder / lesson.name, copies(lesson, folder)
    if main not in {copy.path for copy in own}:  # by one look: another run may make it meanwhile
        return Task("make", main, notebook)
    if any(copy.is_of(notebook) for copy in own):
        return None
    if untouched := [copy for copy in own if copy.is_untouched]:
        return Task("update", untouched[-1].path, notebook)
    if beside:
        free = next(n for n in new_names(lesson.stem) if not os.path.lexists(folder / n))
        return Task("beside", folder / free, notebook)
    return Task("unreadable" if own[0].content is None else "changed", main)


def replacement(gone: str, lessons: list[Path]) -> str | None:
    """Return the file of the lesson with the name of one that is gone, or else with its number."""
    old = NUMBERED.fullmatch(gone)
    new = [(lesson.name, NUMBERED.fullmatch(lesson.stem)) for lesson in lessons]
    numbered = [(name, parts) for name, parts in new if old and parts]
    same_name = [name for name, parts in numbered if parts["name"] == old["name"]]
    same_number = [name for name, parts in numbered if parts["number"] == old["number"]]
    return next(iter(same_name + same_number), None)


def without_a_lesson(lessons: list[Path], folder: Path) -> list[Task]:
    """Return, to be said, the copies whose lesson is gone, and what replaces it."""
    there = {lesson.stem for lesson in lessons}
    others = (path for path in sorted(folder.glob("*.ipynb")) if path.stem not in there)
    made_here = (copy for copy in map(look, others) if copy.made_of is not None)
    return [
        Task("gone", copy.path, now=replacement(copy.lesson, lessons))
        for copy in made_here
        if copy.lesson not in there
    ]


WRITES = ("make", "update", "beside")


def write(notebook: dict, path: Path) -> None:
    """Write a notebook, whole or not at all; raises OSError."""
    half_made = path.with_name(f".{path.name}.part")
    try:
        with half_made.open("w", encoding="utf-8", newline="\n") as file:
            json.dump(notebook, file, ensure_ascii=False, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        half_made.replace(path)
    except OSError:
        half_made.unlink(missing_ok=True)
        raise


def tasks(lessons: list[Path], folder: Path, *, beside: bool) -> list[Task]:
    """Return what is to be done or said."""
    todo = [one for lesson in lessons if (one := task(lesson, folder, beside=beside))]
    return todo + without_a_lesson(lessons, folder)


def bring_up_to_date(lessons: list[Path], folder: Path, *, beside: bool) -> list[Task]:
    """Do what is to be done, and return it; raises OSError.

    Another run may do the same at the same time: who comes second looks again, and finds it done.
    """
    todo = tasks(lessons, folder, beside=beside)
    if not any(one.what in WRITES for one in todo):
        return todo
    folder.mkdir(exist_ok=True)
    with filelock.FileLock(folder / ".lock", timeout=LOCK_SECONDS):
        for left in folder.glob(".*.ipynb.part"):  # by a run that was killed
            left.unlink()
        todo = tasks(lessons, folder, beside=beside)
        for one in todo:
            if one.what in WRITES:
                write(one.notebook, one.path)
    return todo


SAID = {
    "make": "Made in {folder}/, without outputs, for you to write in: {names}.",
    "update": "Brought up to date in {folder}/, as you had not begun them: {names}.",
    "beside": "Put beside yours in {folder}/, as the lesson is now: {names}.",
    "changed": "Changed in the course since you copied it to {folder}/: {names}. Yours stays as it "
    "is; `make lab LESSONS=new` puts the new one beside it.",
    "unreadable": "Not a notebook that can be read, in {folder}/: {names}. It stays as it is; "
    "`make lab LESSONS=new` puts the lesson beside it.",
    "no lesson": "A lesson that cannot be read, and is not copied, in {folder}/: {names}. "
    "`git status` may say what happened to it.",
    "gone": "The course has no lesson any more for these in {folder}/: {names}. They stay as they "
    "are.",
}


def sentences(done: list[Task]) -> Iterator[str]:
    """Yield what to tell the learner, a sentence for each kind of task."""
    for what, sentence in SAID.items():
        if these := [one for one in done if one.what == what]:
            names = ", ".join(one.name for one in these)
            yield sentence.format(folder=these[0].path.parent.name, names=names)


def main(which: str, lessons: list[Path] | None = None, folder: Path = ROOT / NAME) -> int:
    """Make the copies and say what was done; 0 if there is something to open."""
    if which not in WHICH:
        print(f"LESSONS={which} is not known; it is one of {', '.join(WHICH)}.", file=sys.stderr)
        return 2
    if which == "stored":
        return 0
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb")) if lessons is None else lessons
    try:
        done = bring_up_to_date(lessons, folder, beside=which == "new")
    except OSError as error:  # a lock that is not given up is one too
        print(
            f"{error.filename or folder} cannot be written: {error.strerror or error}. "
            "`make lab LESSONS=stored` opens the stored lessons.",
            file=sys.stderr,
        )
        return 0 if all((folder / lesson.name).exists() for lesson in lessons) else 1
    encoding = sys.stdout.encoding or "utf-8"
    for sentence in sentences(done):  # which a console must not stop at: a file may have any name
        print(sentence.encode(encoding, "backslashreplace").decode(encoding))
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["mine"])))

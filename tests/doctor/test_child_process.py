"""The doctor's report comes once, whole, and with the right status, however a script ends."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import pytest

from llmcourse.__main__ import main
from llmcourse.doctor import child_process
from llmcourse.doctor.journal import Journal

ROOT = Path(__file__).parent.parent.parent
PYTHON = repr(sys.executable)

# What a script does at its end: its source, the exit status of the doctor, and why it failed.
ENDINGS = {
    "falls off": ("", 0, None),
    "exits well": ("sys.exit()", 0, None),
    "exits with 0": ("sys.exit(False)", 0, None),
    "exits with 3": ("sys.exit(3)", 2, "SystemExit: 3"),
    "exits with -1": ("sys.exit(-1)", 2, "SystemExit: -1"),
    "exits with words": ("sys.exit('no more')", 2, "SystemExit: no more"),
    "exits with an object": ("sys.exit([object, 1.5])", 2, "SystemExit: [<class 'object'>, 1.5]"),
    "raises": ("1 / 0", 2, "ZeroDivisionError: division by zero"),
    "raises a BaseException": (
        "class Odd(BaseException): pass\nraise Odd('x')",
        2,
        "Odd: x",
    ),
    "raises GeneratorExit": ("raise GeneratorExit", 2, "GeneratorExit:"),
    "raises a group": (
        "raise BaseExceptionGroup('all', [ValueError(1), KeyboardInterrupt()])",
        2,
        "BaseExceptionGroup: all (2 sub-exceptions)",
    ),
    "raises what cannot speak": (
        "class Mute(Exception):\n    def __str__(self): raise RuntimeError\n"
        "    __repr__ = __str__\nraise Mute",
        2,
        "Mute: (its message cannot be read: RuntimeError)",
    ),
    "recurses": ("def again(): again()\nagain()", 2, "RecursionError: maximum recursion depth"),
    "is no Python": ("exec('a b')", 2, "SyntaxError: invalid syntax (<string>, line 1)"),
    "leaves at once": ("os._exit(0)", 0, None),
    "leaves at once with 7": ("os._exit(7)", 2, "ended with status 7"),
    "becomes another": (f"os.execv({PYTHON}, [{PYTHON}, '-c', 'pass'])", 0, None),
    "becomes another that fails": (
        f"os.execv({PYTHON}, [{PYTHON}, '-c', 'raise SystemExit(5)'])",
        2,
        "ended with status 5",
    ),
    "aborts": ("os.abort()", 2, "ended by SIGABRT"),
    "kills itself": ("os.kill(os.getpid(), 9)", 2, "ended by SIGKILL"),
    "is terminated": ("os.kill(os.getpid(), 15)", 2, "ended by SIGTERM"),
    "is interrupted": ("os.kill(os.getpid(), 2); time.sleep(9)", 130, "KeyboardInterrupt"),
    "takes an interrupt well": (
        "try:\n    os.kill(os.getpid(), 2); time.sleep(9)\nexcept KeyboardInterrupt: pass",
        0,
        None,
    ),
    "leaves a forked child": ("os.fork()", 0, None),
    "leaves a forked child that fails": ("if os.fork() == 0: 1 / 0", 0, None),
    "leaves a pool of threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(2); pool.submit(time.sleep, 0.1)",
        0,
        None,
    ),
    "leaves a pool of processes": (
        "import multiprocessing\n"
        "pool = multiprocessing.get_context('fork').Pool(1); pool.apply_async(time.sleep, (60,))",
        0,
        None,
    ),
    "leaves a thread behind": (
        "import threading\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        0,
        None,
    ),
    "fails at its very end": ("import atexit\natexit.register(os._exit, 4)", 2, "with status 4"),
}

# What it has done to its process before.
DEEDS = {
    "nothing": "",
    "stdout replaced": "import io\nsys.stdout = io.StringIO(); sys.stderr = io.StringIO()",
    "stdout None": "sys.stdout = sys.stderr = sys.__stdout__ = None",
    "stdout closed": "sys.stdout.close()",
    "descriptors closed": "os.closerange(0, 256)",
    "descriptor 1 elsewhere": "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
    "builtins replaced": "import builtins\nbuiltins.print = builtins.open = lambda *_, **__: 1 / 0",
    "modules replaced": "import json\njson.dumps = os.write = os.open = lambda *_, **__: 1 / 0",
    "path gone": "sys.path = None",
    "modules forgotten": "kept = dict(sys.modules); sys.modules.pop('json'); "
    "sys.modules.pop('llmcourse')",
    "hooks that fail": "sys.excepthook = lambda *_: 1 / 0\nsys.unraisablehook = sys.excepthook",
    "another folder, gone": "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "another name": "sys.argv[:] = []; __name__ = 'other'; del __file__",
}


def said(path: Path, capfd, *options: str) -> tuple[int, dict]:
    """Return the doctor's exit status and the one JSON object on stdout."""
    status = main(["doctor", "--json", *options, str(path)])
    return status, json.loads(capfd.readouterr().out)


def write(folder: Path, *parts: str) -> Path:
    path = folder / "script.py"
    path.write_text("\n".join(["import os, sys, time", *parts]))
    return path


def check_report(plain: dict, status: int, expected: int, failed: str | None) -> None:
    assert plain["doctor_failed"] is None
    assert (status, plain["failed"] is None) == (expected, failed is None), plain
    assert (failed or "") in (plain["failed"] or "")


FEW = ("falls off", "raises what cannot speak", "leaves at once", "is interrupted", "is terminated")


@pytest.mark.parametrize(
    "ending",
    [pytest.param(ending, marks=[] if ending in FEW else pytest.mark.slow) for ending in ENDINGS],
)
def test_however_a_script_ends_there_is_one_report(ending, tmp_path, capfd):
    source, expected, failed = ENDINGS[ending]
    status, plain = said(write(tmp_path, source), capfd)
    check_report(plain, status, expected, failed)
    assert plain["calls"] == plain["findings"] == []


def _deeds_and_endings() -> list[tuple[str, str]]:
    """Return every deed with some endings, each ending several times."""
    endings = itertools.cycle(ENDINGS)
    return [(deed, next(endings)) for deed in DEEDS for _ in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("deed, ending", _deeds_and_endings())
def test_whatever_it_did_before_the_report_is_the_same(deed, ending, tmp_path, monkeypatch, capfd):
    source, expected, failed = ENDINGS[ending]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = write(tmp_path, DEEDS[deed], textwrap.dedent(source))
    status, plain = said(path, capfd)
    check_report(plain, status, expected, failed)


@pytest.mark.slow
def test_the_report_in_lines_ends_with_one_summary_after_what_the_script_prints_last(
    tmp_path, capfd
):
    source = "import atexit, logging, warnings\natexit.register(print, 'last words')\n"
    source += "warnings.warn('mind this'); logging.error('and this')\nprint('first words')\n"
    path = write(tmp_path, source, "if os.fork() == 0: sys.stdout.flush()")
    assert main(["doctor", str(path)]) == 0
    shown = capfd.readouterr()
    lines = shown.out.splitlines()
    assert "last words" in lines and "first words" in lines
    summary = f"{path}: no call to generate was made, so there was nothing to look at."
    assert lines.count(summary) == 1 and "mind this" in shown.err and "and this" in shown.err


def test_a_message_of_50_megabytes_is_cut_and_costs_nothing(tmp_path, capfd):
    path = write(tmp_path, "sys.stderr = None", "raise ValueError('\\x07 ' * 25_000_000)")
    started = time.monotonic()
    assert main(["doctor", str(path)]) == 2
    assert time.monotonic() - started < 10
    out = capfd.readouterr().out
    assert "failed (ValueError: \\u0007" in out and len(out) < 2000


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "{}", "[1]", '{"cells": [1]}', "\udcff"],
    ids=["deep", "empty", "list", "no_cell", "no_text"],  # short: pytest hands them to the child
)
def test_a_notebook_that_is_none_has_failed_itself(text, tmp_path, capfd):
    path = tmp_path / "odd.ipynb"
    path.write_bytes(text.encode(errors="surrogateescape"))
    status, plain = said(path, capfd)
    check_report(plain, status, 2, "is not a notebook (format 4)")


@pytest.mark.slow
def test_the_cell_that_ended_a_notebook_is_named_even_if_nothing_was_raised(tmp_path, capfd):
    cells = ["import os", "import sys; sys.exit(0)", "os.kill(os.getpid(), 9)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    status, plain = said(tmp_path / "mine.ipynb", capfd)
    check_report(plain, status, 2, "cell 3: ended by SIGKILL")


@pytest.mark.parametrize("name", ["nowhere.py", "text.txt"])
def test_a_file_that_cannot_be_run_is_json_too(name, tmp_path, capfd):
    (tmp_path / "text.txt").write_text("hello")
    status, plain = said(tmp_path / name, capfd)
    check_report(plain, status, 2, name)


def test_a_script_without_the_library_is_run_without_it(tmp_path, capfd):
    path = write(tmp_path, "print({'torch', 'transformers'} & set(sys.modules))")
    assert main(["doctor", str(path)]) == 0
    assert "set()" in capfd.readouterr().out


@pytest.mark.slow
def test_it_is_run_as_python_would_run_it(tmp_path, capfd):
    source = "print(__name__, __file__, sys.argv, sys.path[0], __spec__)\n"
    source += "import pickle\ndef own(): pass\n"
    source += "import atexit\natexit.register(lambda: print(pickle.loads(pickle.dumps(own))))\n"
    source += "print(sys.stdin.read())"
    path = write(tmp_path, source)
    ran = [[sys.executable, path, "-x", "y"], [sys.executable, "-m", "llmcourse", "doctor", path]]
    ran[1] += ["-x", "y"]
    plain, doctored = (
        subprocess.run(one, input="typed", capture_output=True, text=True, cwd=ROOT).stdout
        for one in ran
    )
    addresses = [out.split(" at 0x")[0] for out in (plain, doctored)]
    assert addresses[0] == addresses[1] and "function own" in plain


# Signals from outside


def start(path: Path, *options: str, **popen) -> subprocess.Popen:
    """Start the doctor without a terminal; wait until the script prints `ready`."""
    command = [sys.executable, "-m", "llmcourse", "doctor", *options, str(path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": ROOT}
    process = subprocess.Popen(command, start_new_session=True, **pipes, **popen)
    while "ready" not in process.stdout.readline():
        assert process.poll() is None
    return process


READY = "print('ready', flush=True)"


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 2)])
def test_a_signal_to_the_doctor_reaches_the_script_and_is_reported(number, expected, tmp_path):
    process = start(write(tmp_path, READY, "time.sleep(60)"))
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == expected
    assert "half-made" not in out
    words = "was interrupted after 0 calls" if number == signal.SIGINT else "ended by SIGTERM"
    assert words in out.splitlines()[-1]


@pytest.mark.slow
def test_a_script_that_takes_a_signal_goes_on(tmp_path):
    source = "import signal\ntaken = []\nsignal.signal(signal.SIGTERM, lambda *_: taken.append(1))"
    path = write(tmp_path, source, READY, "while not taken: time.sleep(0.01)", "print('went on')")
    process = start(path)
    process.terminate()
    assert "went on" in process.communicate(timeout=20)[0] and process.returncode == 0


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_the_script_once(tmp_path):
    """In a terminal the keys go to both processes, and the doctor sends nothing on."""
    pty = pytest.importorskip("pty")
    source = f"try:\n    {READY}\n    time.sleep(60)\n"
    source += "except KeyboardInterrupt:\n    print('once', flush=True)\n"
    source += "    try: time.sleep(1)\n    except KeyboardInterrupt: print('twice', flush=True)"
    path = write(tmp_path, source)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "llmcourse", "doctor", str(path)])
    out = read_terminal(terminal, until=b"ready")
    os.write(terminal, b"\x03")
    out += read_terminal(terminal, until=b"nothing to look at")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"once" in out and b"twice" not in out


def read_terminal(terminal: int, until: bytes) -> bytes:
    out = b""
    while until not in out:
        try:
            out += os.read(terminal, 4096)
        except OSError:  # nobody is left who could write
            return out
    return out


# What is left open


@pytest.mark.slow
@pytest.mark.parametrize(
    "left",
    [
        "import threading\nthreading.Thread(target=time.sleep, args=(600,), name='slow').start()",
        "import multiprocessing\ncontext = multiprocessing.get_context('fork')\n"
        "context.Process(target=time.sleep, args=(20,)).start()",
        "import atexit\natexit.register(time.sleep, 600)",
    ],
)
def test_what_never_ends_is_ended_and_said(left, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(child_process, "PATIENCE", 2)
    monkeypatch.setattr(child_process, "_SAID_AFTER", 0.5)
    started = time.monotonic()
    assert main(["doctor", "--json", str(write(tmp_path, left))]) == 0
    assert time.monotonic() - started < 15
    shown = capfd.readouterr()
    plain = json.loads(shown.out)
    assert "still ran after 2 s; ended" in plain["failures"][0] and plain["failed"] is None
    assert ("slow" in plain["failures"][0]) == ("slow" in left)
    assert "The doctor waits for it, up to 2 s without news" in shown.err


# The doctor's own faults


def test_a_fault_of_the_doctors_own_is_said_to_be_its_own(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(child_process.subprocess, "Popen", lambda *_, **__: 1 / 0)
    path = write(tmp_path)
    assert main(["doctor", str(path)]) == 2
    assert "the doctor itself failed: ZeroDivisionError" in capfd.readouterr().out
    status, plain = said(path, capfd)
    assert status == 2 and plain["failed"] is None
    assert plain["doctor_failed"] == "ZeroDivisionError: division by zero"


def test_a_fault_while_the_report_is_made_is_the_doctors_own_too(tmp_path, monkeypatch, capfd):
    made = child_process.report

    def fails_at_first(visits, form):
        return 1 / 0 if visits[0].doctor_failed is None else made(visits, form)

    monkeypatch.setattr(child_process, "report", fails_at_first)
    status, plain = said(write(tmp_path), capfd)
    assert status == 2 and plain["doctor_failed"] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "start, words",
    [("raise SystemExit(3)", "status 3 before the script began"), ("import nowhere", "status 1")],
)
def test_a_child_that_does_not_begin_is_the_doctors_fault(
    start, words, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(child_process, "_START", start)
    status, plain = said(write(tmp_path), capfd)
    assert status == 2 and plain["failed"] is None and words in plain["doctor_failed"]


def test_a_journal_that_cannot_be_written_is_the_doctors_fault(tmp_path, capfd):
    remove = "import glob, tempfile\nfor one in glob.glob(tempfile.gettempdir() + '/*/journal'):\n"
    remove += "    if str(os.getppid()) in one or one == sys.orig_argv[-2]: os.unlink(one)"
    status, plain = said(write(tmp_path, remove), capfd)
    assert status == 2 and plain["failed"] is None
    assert "could not be written down" in plain["doctor_failed"]


def test_a_line_that_cannot_be_written_removes_the_journal_and_raises_nothing(tmp_path):
    path = tmp_path / "journal"
    path.touch()
    Journal(str(path)).failure(object())
    assert not path.exists()
    Journal(str(path)).failure("nowhere to write")


# Where the report goes


@pytest.mark.parametrize("end", [">&-", "> /dev/full", ">&- 2>&-"])
def test_a_stdout_that_takes_nothing_is_said_on_stderr_and_exits_with_2(end, tmp_path):
    path = write(tmp_path)
    command = f"{sys.executable} -m llmcourse doctor {path} {end}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and done.stdout == ""
    if "2>" not in end:
        assert "no call to generate was made" in done.stderr
        assert "the doctor itself failed: stdout cannot be written" in done.stderr


def test_a_reader_who_has_read_enough_changes_no_status(tmp_path):
    command = (
        f"{sys.executable} -m llmcourse doctor {write(tmp_path)} | true; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_console_that_cannot_say_it_gets_it_in_escapes(tmp_path):
    path = tmp_path / "größe.py"
    path.write_text("")
    command = [sys.executable, "-m", "llmcourse", "doctor"]
    plain, in_json = (
        subprocess.run(
            [*command, *options, str(path)],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            cwd=ROOT,
        )
        for options in ([], ["--json"])
    )
    assert plain.returncode == 0 and b"gr\\xf6\\xdfe.py: no call" in plain.stdout
    assert json.loads(in_json.stdout)["file"] == str(path)


# With calls: what was found before the end is told, whatever the end

CALLS = """\
import torch, transformers
torch.set_num_threads(1)  # with more, torch hangs in a forked process
config = transformers.LlamaConfig(
    vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
    num_attention_heads=4, eos_token_id=None)
model = transformers.LlamaForCausalLM(config).eval()
ids = torch.tensor([[7, 8]])
def ask():
    return model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=2, top_p=0.5)
ask(); ask()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "ending, expected",
    [
        ("sys.stdout = None", 1),
        ("os._exit(0)", 1),
        (f"os.execv({PYTHON}, [{PYTHON}, '-c', 'pass'])", 1),
        ("os.kill(os.getpid(), 11)", 2),
        ("os.kill(os.getpid(), 2); time.sleep(9)", 130),
        ("class Odd(BaseException): pass\nraise Odd", 2),
        ("if os.fork() == 0:\n    ask()\n    sys.exit(0)\nos.wait()", 1),
        ("from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1).submit(ask)", 1),
        ("import atexit\natexit.register(ask)", 1),
    ],
)
def test_findings_are_told_with_how_often_they_were_there(ending, expected, tmp_path, capfd):
    path = write(tmp_path, CALLS, ending)
    status, plain = said(path, capfd, "--warnings-as-errors")
    assert status == expected, plain
    later = 1 if "ask" in ending else 0
    assert len(plain["calls"]) == 2 + later
    found = {one["code"]: one for one in plain["findings"]}
    assert found["sampling-ignored"]["count"] == 2 + later
    assert found["sampling-ignored"]["file"] == str(path)
    assert plain["doctor_failed"] is None


@pytest.mark.slow
def test_what_breaks_the_doctor_inside_a_script_is_not_the_scripts_fault(tmp_path, capfd):
    breaks = "import sys, llmcourse\nsys.modules['llmcourse.doctor.watch'] = None\n"
    path = write(tmp_path, breaks + CALLS)
    status, plain = said(path, capfd)
    assert status == 2 and plain["failed"] is None
    assert "llmcourse.doctor.watch" in plain["doctor_failed"]
    assert main(["doctor", str(path)]) == 2
    assert "the doctor itself failed: " in capfd.readouterr().out

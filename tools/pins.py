"""Make constraints.txt again from the ranges in pyproject.toml: `make pins`.

Versions already in the file stay unless asked otherwise: the arguments are those of
`uv pip compile`, such as --upgrade or --upgrade-package=torch.
"""

import re
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path("constraints.txt")
# PyTorch names the exact versions of its GPU libraries, and other ones in each of its builds.
# What a browser's Python needs is not for us.
LEFT_OUT = re.compile(r"(nvidia|cuda)-|triton=|.*; .*sys_platform == 'emscripten'")


def resolved(options: list[str], old_pins: str) -> list[str]:
    """All packages of all extras, on every platform, as lines `name==version ; marker`."""
    work = Path(".venv/pins.txt")
    work.write_text(old_pins, encoding="utf-8")
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    what = ["--universal", "--python-version=3.11", "--all-extras", "pyproject.toml"]
    subprocess.run([*uv, *what, f"--output-file={work}", *options], check=True)
    return work.read_text(encoding="utf-8").splitlines(keepends=True)


def main(options: list[str]) -> int:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS)]
    subprocess.run([*install, "uv"], check=True)
    old = CONSTRAINTS.read_text(encoding="utf-8")
    header = [line for line in old.splitlines(keepends=True) if line.startswith("#")]
    pins = [line for line in resolved(options, old) if not LEFT_OUT.match(line)]
    CONSTRAINTS.write_text("".join(header + pins), encoding="utf-8")
    print(f"{CONSTRAINTS}: {len(pins)} pins")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

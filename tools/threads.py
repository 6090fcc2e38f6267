"""Check stored outputs under 1 and 2 threads and every set of vector instructions: `make threads`.

The arguments are pytest's: nbval's options and the notebooks. Prints a table; fails if a row does.
"""

import os
import subprocess
import sys
import tempfile
import time

THREADS = (1, 2)
CAPABILITIES = ("default", "avx2", "avx512")  # each includes the ones before


def supported() -> tuple[str, ...]:
    """The vector instructions that PyTorch would choose from on this CPU.

    Asked without ATEN_CPU_CAPABILITY, which PyTorch believes even where the CPU has no such thing.
    """
    ask = "import torch; print(torch.backends.cpu.get_cpu_capability().lower())"
    free = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    answer = subprocess.run(
        [sys.executable, "-c", ask], env=free, capture_output=True, text=True, check=True
    )
    best = answer.stdout.strip()
    return CAPABILITIES[: CAPABILITIES.index(best) + 1] if best in CAPABILITIES else ("default",)


def check(threads: int, capability: str, arguments: list[str]) -> bool:
    """Run pytest under one combination; its output is shown only if it fails.

    As many workers as there is room for on two cores: more threads than cores wait for each other.
    What `torch.compile` makes is kept apart: torch takes what it compiled for other instructions
    out of its cache, and such code gives wrong numbers.
    """
    with tempfile.TemporaryDirectory() as compiled:
        setting = {"OMP_NUM_THREADS": str(threads), "ATEN_CPU_CAPABILITY": capability}
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "--quiet", *arguments, "-n", str(2 // threads)],
            env={**os.environ, **setting, "TORCHINDUCTOR_CACHE_DIR": compiled},
            capture_output=True,
            text=True,
        )
    if run.returncode:
        print(run.stdout[-6000:], run.stderr[-2000:], sep="\n")
    return run.returncode == 0


def main(arguments: list[str]) -> int:
    here = supported()
    failed = 0
    print(f"{'threads':>7}  {'vectors':8} stored outputs")
    for capability in CAPABILITIES:
        for threads in THREADS:
            row = f"{threads:>7}  {capability:8}"
            if capability not in here:
                print(f"{row} skipped: this CPU has no {capability}")
                continue
            started = time.monotonic()
            same = check(threads, capability, arguments)
            failed += not same
            verdict = "the same" if same else "DIFFERENT (see above)"
            print(f"{row} {verdict}, {time.monotonic() - started:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The same from a notebook's cell: accelerate starts the processes, and a function runs in each.

python -m benchmarks.scale.from_a_notebook prompts.json answers.json
"""

import sys

from accelerate import notebook_launcher

from benchmarks.scale.data_parallel import main

if __name__ == "__main__":
    notebook_launcher(main, tuple(sys.argv[1:]), num_processes=2)

"""Several processes share each matrix of one model: its attention heads, its hidden units.

    torchrun --nproc-per-node 3 -m benchmarks.scale.tensor_parallel prompts.json answers.json

The number of processes has to divide the heads: the course's model has 9, of which 3 have keys.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.distributed import DistributedConfig

from benchmarks.scale.data_parallel import answer
from llmcourse.models import fetch


def main(asked: str, answered: str) -> None:
    folder, processes = fetch.course_model(), int(os.environ["WORLD_SIZE"])
    shared = DistributedConfig(tp_size=processes)  # tp_plan="auto", as it was called before
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", distributed_config=shared)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = json.loads(Path(asked).read_text(encoding="utf-8"))
    started = time.perf_counter()
    answers = [answer(model, tokenizer, prompt) for prompt in prompts]  # all compute each token
    if os.environ["RANK"] == "0":
        made = {"processes": processes, "seconds": time.perf_counter() - started}
        made |= {"threads": torch.get_num_threads()}
        Path(answered).write_text(json.dumps(made | {"answers": answers}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

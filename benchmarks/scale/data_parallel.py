"""Several processes, each with the whole model, share the prompts; the answers come in order.

    torchrun --nproc-per-node 2 -m benchmarks.scale.data_parallel prompts.json answers.json

Run by Python alone it is one process, and the answers are the same.
"""

import json
import sys
import time
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

import llmcourse


def answer(model, tokenizer, prompt: str) -> list[int]:
    """Return the ids of a greedy answer."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    whole = model.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=None)
    return whole[0, ids.shape[1] :].tolist()


def main(asked: str, answered: str) -> None:
    model, tokenizer = llmcourse.load()  # first: what it imports would keep the group alive
    # Where there is no GPU each process believes that it is alone, unless that is said.
    state = PartialState(cpu=not torch.cuda.is_available())
    prompts = json.loads(Path(asked).read_text(encoding="utf-8"))
    state.wait_for_everyone()
    started = time.perf_counter()
    with state.split_between_processes(prompts) as mine:
        answers = [answer(model, tokenizer, prompt) for prompt in mine]
    answers = gather_object(answers)  # of all processes, in their order
    if state.is_main_process:
        made = {"processes": state.num_processes, "seconds": time.perf_counter() - started}
        made |= {"threads": torch.get_num_threads(), "answers": answers}
        Path(answered).write_text(json.dumps(made), encoding="utf-8")
    state.wait_for_everyone()  # who leaves first may take the others down
    state.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

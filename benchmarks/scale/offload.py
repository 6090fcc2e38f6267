"""One process, and a model in several places: a device map says where each layer stays.

    python -m benchmarks.scale.offload prompts.json answers.json

Here half of the layers stay on the disk, from where each is read for each token. With GPUs in the
map layers of one follow those of another: a pipeline in which one works at a time.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.scale.data_parallel import answer
from llmcourse.models import fetch


def main(asked: str, answered: str) -> None:
    folder = fetch.course_model()
    prompts = json.loads(Path(asked).read_text(encoding="utf-8"))
    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu"}
    places |= {"lm_head": "cpu"}
    places |= {f"model.layers.{number}": "disk" if number % 2 else "cpu" for number in range(30)}
    with tempfile.TemporaryDirectory() as offloaded:
        settings = {"dtype": torch.float32, "device_map": places, "offload_folder": offloaded}
        model = AutoModelForCausalLM.from_pretrained(folder, **settings)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        started = time.perf_counter()
        answers = [answer(model, tokenizer, prompt) for prompt in prompts]
        made = {"processes": 1, "seconds": time.perf_counter() - started, "answers": answers}
        made |= {"threads": torch.get_num_threads()}
    Path(answered).write_text(json.dumps(made), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

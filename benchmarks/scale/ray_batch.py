"""Answer each line of a large file by Ray Data: resumable, in order, on one machine or a cluster.

    python -m benchmarks.scale.ray_batch prompts.jsonl answers.jsonl
    python -m benchmarks.scale.ray_batch prompts.jsonl answers.jsonl --address auto

Each line of prompts.jsonl is {"prompt": "..."}. Its number goes with it, for the answers come as
they are ready, and are written down as they come. A run that was ended is started again: it does
what is missing, or whose prompt is another now. In the end the answers stand in the prompts' order.

On a cluster what changes is the address, and the number of workers; each of its machines needs this
package, the model, and the cluster's token: RAY_AUTH_MODE=token, and ~/.ray/auth_token, which
`ray get-auth-token --generate` makes on one of them. Only the program that asks reads and writes
files; it holds all prompts.
"""

import argparse
import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

ROWS = 4  # prompts that a worker answers at once


class Answers:
    """A worker: it loads the model once, and is started anew by Ray if it is killed."""

    def __init__(self, new_tokens: int):
        import llmcourse

        self.model, self.tokenizer = llmcourse.load()
        self.tokenizer.padding_side = "left"
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        self.new_tokens = new_tokens

    def __call__(self, batch: dict) -> dict:
        """Return a batch of rows with their answers, greedily; the rows' numbers stay theirs."""
        read = self.tokenizer(list(batch["prompt"]), return_tensors="pt", padding=True)
        asked = {"max_new_tokens": self.new_tokens, "do_sample": False, "pad_token_id": 0}
        whole = self.model.generate(**read, **asked, eos_token_id=None)
        answers = whole[:, read["input_ids"].shape[1] :]
        texts = self.tokenizer.batch_decode(answers)
        return batch | {"answer": texts, "tokens": answers.numpy()}


def answered(rows: Sequence[dict], workers: int, new_tokens: int, address: str | None) -> Iterable:
    """Yield rows with their answers, as they are ready.

    A machine of one's own is given a core more than there are workers: what feeds them needs one.
    """
    import ray

    here = {"num_cpus": workers + 1, "object_store_memory": 10**8, "include_dashboard": False}
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    ray.init(address=address or "local", **quiet, **({} if address else here))
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = min(-(-len(rows) // ROWS), 10_000)  # what is done again if its worker is killed
    data = ray.data.from_items(list(rows), override_num_blocks=blocks)
    data = data.map_batches(
        Answers,
        fn_constructor_args=(new_tokens,),
        batch_size=ROWS,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    yield from data.iter_rows()


def prompts_of(file: Path) -> list[str]:
    """Return the prompt of each line. Raises SystemExit for a line that has none, by its number."""
    prompts = []
    for number, line in enumerate(file.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
        try:
            prompts.append(json.loads(line)["prompt"] + "")
        except (ValueError, KeyError, TypeError):
            raise SystemExit(f'{file}, line {number}: not {{"prompt": "..."}}') from None
    return prompts


def kept(file: Path, prompts: Sequence[str]) -> dict[int, dict]:
    """Return the answers that a file holds to these prompts, by number; a half line is none."""
    held = {}
    for line in file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else ():
        row = json.loads(line)
        if row["number"] < len(prompts) and row["prompt"] == prompts[row["number"]]:
            held[row["number"]] = row
    return held


def written(file: Path, rows: Iterable[dict]) -> None:
    """Write rows as lines of JSON, all or nothing."""
    half = file.with_name(file.name + ".new")
    half.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    half.replace(file)


def main(arguments: Sequence[str] | None = None, answer=answered) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=Path, help="lines of JSON with a prompt each")
    parser.add_argument("answers", type=Path, help="where they go, or some are already")
    parser.add_argument("--address", help="of a Ray cluster; without it, this machine")
    parser.add_argument("--workers", type=int, default=2, help="each with a core and the model")
    parser.add_argument("--new-tokens", type=int, default=24)
    args = parser.parse_args(arguments)
    prompts = prompts_of(args.prompts)
    done = kept(args.answers, prompts)
    written(args.answers, done.values())  # without half a line
    missing = [{"number": n, "prompt": text} for n, text in enumerate(prompts) if n not in done]
    print(f"{len(done)} of {len(prompts)} are answered; {len(missing)} are missing.", flush=True)
    with args.answers.open("a", encoding="utf-8") as file:
        for row in answer(missing, args.workers, args.new_tokens, args.address) if missing else ():
            whole = row | {"number": int(row["number"]), "tokens": list(map(int, row["tokens"]))}
            done[whole["number"]] = whole
            file.write(json.dumps(whole) + "\n")
            file.flush()
    written(args.answers, [done[number] for number in range(len(prompts))])


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main()

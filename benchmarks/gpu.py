"""What needs a GPU: parity of compiled static caches, bfloat16 and 4 bits, and the memory's limit.

    python -m benchmarks.gpu                 ten minutes; random Llamas, nothing is downloaded
    python -m benchmarks.gpu --shape 8B      the speeds of a larger one, 16 GB of weights
    python -m benchmarks.gpu --json FILE     what was measured as JSON, too, after each row anew
    python -m benchmarks.gpu --page          write all results into benchmarks/README.md

Parity: are the tokens and the raw logits those of `generate`, bit for bit, and how many tokens a
second do both make (the median of the rounds, after a warm-up that compiles). Speeds: bfloat16 at
batch 1, eager, with a static cache and `torch.compile`, by the hand-written step, in 4 bits; then
batches up to 256; each beside the limit that reading memory sets on this GPU.
"""

import argparse
import datetime
import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig
from transformers.utils import logging

import llmcourse
from benchmarks import readme
from llmcourse.measure import Figure, describe_machine, pace, read_bandwidth, reads
from llmcourse.measure.figure import digits, in_turns, ratios
from llmcourse.measure.limit import Reads, fraction_of_limit
from llmcourse.measure.pace import some_ids, wait_for
from llmcourse.measure.report import figure, read_json
from llmcourse.measure.settings import CALLED

SCHEMA = 2  # goes up when a field changes its meaning or goes
NEW_TOKENS, ROUNDS = 64, 7
NOTHING = "Nothing is kept yet: `python -m benchmarks.gpu --json` measures it where there is a GPU."
PARITY_HEAD = """\
| way | tokens | logits | tokens/s of `generate` | the loop beside it |
|---|---|---|---|---|"""
SPEED_HEAD = "| way | rows | tokens/s | limit | share of it |\n|---|---|---|---|---|"
SIZES = dict(
    vocab_size=32_000,
    hidden_size=1024,
    intermediate_size=2816,
    num_hidden_layers=12,
    num_attention_heads=16,
    num_key_value_heads=8,
    max_position_embeddings=512,
    eos_token_id=None,
)
SHAPES = {  # of the Llamas of that size, as far as speed depends on it
    "1B": SIZES
    | dict(vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16)
    | dict(num_attention_heads=32, tie_word_embeddings=True),
    "8B": SIZES
    | dict(vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32)
    | dict(num_attention_heads=32),
}
BATCHES = (1, 4, 16, 64, 256)
IDS = torch.arange(2, 34)[None]
PADDED = torch.cat([IDS, torch.cat([torch.zeros(1, 8, dtype=torch.int64), IDS[:, :24]], 1)])
BATCH = {"input_ids": PADDED, "attention_mask": (PADDED != 0).long()}
WAYS = {
    "dynamic cache": {},
    "static cache, compiled": {"cache_implementation": "static"},
    "static cache, not compiled": {"cache_implementation": "static", "disable_compile": True},
    "sampling": {"do_sample": True, "top_k": 40},
    "4 beams": {"num_beams": 4},
    "prompt lookup": {"prompt_lookup_num_tokens": 5},
}


def llama(sizes: dict = SIZES, dtype=torch.float32, device: str = "cuda"):
    """Return a random Llama, made where it stays."""
    with torch.device(device):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(LlamaConfig(**sizes), dtype=dtype)
    for weights in model.parameters():
        if weights.dim() > 1:
            weights.data.normal_(0, 0.06)
    return model.eval()


def in_four_bits(model):
    """Return a model with its weights as NF4, computing in bfloat16."""
    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype="bfloat16"
    )
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        options = {"device_map": model.device.type, "quantization_config": four}
        return AutoModelForCausalLM.from_pretrained(folder, **options).eval()


# Parity


def seconds(run, device: torch.device) -> float:
    wait_for(device)
    started = time.perf_counter()
    run()
    wait_for(device)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Parity:
    """One way to decode, by `generate` and by the loop."""

    way: str
    same_tokens: bool
    apart: float  # of the raw logits, the largest difference; 0 where they are equal bit for bit
    library: Figure  # tokens/s of `generate`
    loop: Figure  # times as fast as `generate`, round by round

    def __str__(self) -> str:
        same = "the same" if self.same_tokens else "DIFFERENT"
        logits = f"within {self.apart:.1e}" if self.apart else "bit for bit"
        low, high = map(digits, self.loop.quartiles)
        beside = f"{digits(self.loop.median)} ({low} - {high})"
        return f"| {self.way} | {same} | {logits} | {digits(self.library.median)} | {beside} |"


def compare(
    model, way: str, inputs: dict, settings: dict, new_tokens: int = NEW_TOKENS, rounds=ROUNDS
) -> Parity:
    """Compare one way in `generate` and in the loop: what is equal, and the speed of both."""
    call = {name: ids.to(model.device) for name, ids in inputs.items()}
    call |= dict(max_new_tokens=new_tokens, pad_token_id=0, **settings)
    wanted = dict(return_dict_in_generate=True, output_logits=True)

    def by_library(**more):
        torch.manual_seed(1)
        return model.generate(**call, **more)

    def by_loop(**more):
        torch.manual_seed(1)
        return llmcourse.generate(model, **call, **more)

    theirs, ours = by_library(**wanted), by_loop(**wanted)
    pairs = zip(theirs.logits, ours.logits, strict=False)
    runs = {"library": by_library, "loop": by_loop}
    timed = {name: lambda run=run: seconds(run, model.device) for name, run in runs.items()}
    done = list(in_turns(timed, rounds))
    library, loop = ([each[name] for each in done] for name in runs)
    return Parity(
        way,
        same_tokens=torch.equal(theirs.sequences, ours.sequences),
        apart=max((one - other).abs().max().item() for one, other in pairs),
        library=Figure(tuple(new_tokens / each for each in library), "tokens/s"),
        loop=ratios(library, loop),
    )


def ways() -> Iterator[tuple]:
    """Yield the arguments of `compare` for each row of the first table."""
    one, batch = {"input_ids": IDS}, BATCH
    model = llama()
    for way, settings in WAYS.items():
        yield model, f"float32, {way}", one, settings
    for way in ("dynamic cache", "static cache, compiled"):
        yield model, f"float32, two padded prompts, {way}", batch, WAYS[way]
    half = llama(dtype=torch.bfloat16)
    for way in ("dynamic cache", "static cache, compiled"):
        yield half, f"bfloat16, {way}", one, WAYS[way]
    yield in_four_bits(half), "4 bits (NF4), dynamic cache", one, {}


def parity(ways: Iterable[tuple], **few) -> Iterator[Parity]:
    """Yield a row for each way; one that fails is said and left out.

    ways: arguments of `compare`; few: its new_tokens and rounds.
    """
    for model, way, inputs, settings in ways:
        try:
            yield compare(model, way, inputs, settings, **few)
        except Exception as error:  # whatever a compiler or a kernel does
            _left_out(way, error)


def _left_out(way: str, error: Exception) -> None:
    print(f"{way}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr, flush=True)


# Speeds beside the limit


@dataclass(frozen=True)
class Speed:
    """One way to decode."""

    way: str
    rows: int  # of the batch
    decode: Figure  # tokens/s of all rows after the first token
    reads: Reads  # what a step reads
    gb_per_second: float  # that this device was seen to read

    @property
    def fraction(self) -> float:
        """The share of the limit that was reached."""
        return fraction_of_limit(self.decode.median, self.reads, self.gb_per_second)

    def __str__(self) -> str:
        limit = digits(self.reads.limit(self.gb_per_second))
        low, high = map(digits, self.decode.quartiles)
        said = f"{digits(self.decode.median)} ({low} - {high})"
        return f"| {self.way} | {self.rows} | {said} | {limit} | {self.fraction:.2f} |"


def by_loop(model, rows: int, prompt_tokens: int, new_tokens: int, settings: dict) -> Callable:
    """Return a run of the visible loop: tokens a second of all rows."""
    sizes = {"rows": rows, "prompt_tokens": prompt_tokens, "new_tokens": new_tokens}
    return lambda: rows * pace(model, **sizes, **settings).decode_speed


def by_hand(model, prompt_tokens: int, new_tokens: int, compiled: bool = True) -> Callable | None:
    """Return a run of the hand-written step; None where this version has none."""
    try:
        module = importlib.import_module("llmcourse.decoding.by_hand.decode_step")
    except ImportError:
        return None
    longest, kind = prompt_tokens + new_tokens, str(model.dtype).removeprefix("torch.")
    step = module.DecodeStep(model, max_length=longest, weights=kind, compiled=compiled)
    prompt = some_ids(model, 1, prompt_tokens)[0].tolist()

    def run() -> float:
        for made, _ in enumerate(step.stream(prompt, new_tokens)):
            if made == 0:
                wait_for(model.device)
                started = time.perf_counter()
        wait_for(model.device)
        return (new_tokens - 1) / (time.perf_counter() - started)

    return run


def speeds(
    model,
    gb_per_second: float,
    runs: dict[tuple[str, int], Callable],
    *,
    length: int,
    rounds: int = ROUNDS,
) -> Iterator[Speed]:
    """Yield the speed of each run, which take turns; one that fails is said and left out.

    runs: by (way, rows), each returns tokens a second. length: tokens of a row in the middle.
    """
    able = {}
    for (way, rows), run in runs.items():
        try:
            run()  # warm up, and compile
            able[way, rows] = run
        except Exception as error:
            _left_out(f"{way}, rows {rows}", error)
    done = list(in_turns(able, rounds, warmup=0)) if able else []
    for way, rows in able:
        figure = Figure(tuple(each[way, rows] for each in done), "tokens/s")
        yield Speed(way, rows, figure, reads(model, length, rows), gb_per_second)


def batch_1(model, *, new_tokens: int, prompt_tokens: int = 64, compiled: bool = True) -> dict:
    """Return the ways of decoding one row."""
    sizes = (1, prompt_tokens, new_tokens)
    runs = {("eager", 1): by_loop(model, *sizes, {})}
    if compiled:
        runs["static cache, compiled", 1] = by_loop(model, *sizes, CALLED["compiled"])
    hand = by_hand(model, prompt_tokens, new_tokens, compiled)
    return runs | ({("hand-written step", 1): hand} if hand else {})


def batches(model, sizes: tuple[int, ...], *, new_tokens: int, prompt_tokens: int = 64) -> dict:
    """Return runs of several rows, eager."""
    return {("eager", rows): by_loop(model, rows, prompt_tokens, new_tokens, {}) for rows in sizes}


def all_speeds(shape: str, rounds: int = ROUNDS) -> Iterator[Speed]:
    """Yield every speed of a random Llama in bfloat16, and in 4 bits."""
    read = max(read_bandwidth("cuda", size=4 * 10**9).values)
    model = llama(SHAPES[shape], torch.bfloat16)
    few = {"length": 64 + NEW_TOKENS // 2, "rounds": rounds}
    yield from speeds(model, read, batches(model, BATCHES[1:], new_tokens=NEW_TOKENS), **few)
    yield from speeds(model, read, batch_1(model, new_tokens=NEW_TOKENS), **few)
    small = in_four_bits(model)
    del model
    four = {("4 bits (NF4), eager", 1): by_loop(small, 1, 64, NEW_TOKENS, {})}
    yield from speeds(small, read, four, **few)


# What was measured, kept and shown


def to_json(shape: str, parity: list[Parity], speeds: list[Speed], device: str = "cuda") -> str:
    """Return what was measured as JSON."""
    said = {"schema": SCHEMA, "machine": describe_machine(device), "shape": shape}
    said |= {"date": datetime.date.today().isoformat(), "parity": [asdict(row) for row in parity]}
    said["speeds"] = [{**asdict(row), "fraction": row.fraction} for row in speeds]
    return json.dumps(said, indent=1) + "\n"


def page(path: Path) -> str:
    """Return the two tables of a file of results, for benchmarks/README.md."""

    def tables(given: dict) -> str:
        machine = given["machine"]
        head = (
            f"{machine['device']}; Python {machine['python']}, torch {machine['torch']}, "
            f"transformers {machine['transformers']}; {given['date']}; "
            f"[`{path.name}`](results/{path.name})."
        )
        same = [_parity(row) for row in given["parity"]]
        fast = [_speed(row) for row in given["speeds"]]
        parts = [head]
        parts += ["\n".join([PARITY_HEAD, *map(str, same)])] if same else []
        parts += [f"A random Llama of {given['shape']}, in bfloat16 unless it says otherwise:"]
        parts += ["\n".join([SPEED_HEAD, *map(str, fast)])]
        return "\n\n".join(parts if fast else parts[:-2])

    return read_json(path, "result of `python -m benchmarks.gpu`", SCHEMA, tables)


def _parity(row: dict) -> Parity:
    return Parity(**row | {name: figure(row[name]) for name in ("library", "loop")})


def _speed(row: dict) -> Speed:
    kept = {name: value for name, value in row.items() if name != "fraction"}
    return Speed(**kept | {"decode": figure(row["decode"]), "reads": Reads(**row["reads"])})


def write_page() -> None:
    """Write all results into benchmarks/README.md."""
    text = readme.README.read_text(encoding="utf-8")
    made = readme.written(text, "gpu", readme.RESULTS, page, NOTHING)
    readme.README.write_text(made, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="1B", help="of the speeds; default 1B")
    parser.add_argument("--only", choices=["parity", "speeds"], help="one of the two tables")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--json", type=Path, help="a file for what is measured")
    parser.add_argument("--page", action="store_true", help="write the README's tables, no more")
    args = parser.parse_args()
    if args.page:
        return write_page()
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu needs a CUDA GPU, and torch finds none here.")
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    kept = {"parity": [], "speeds": []}
    tables = {
        "parity": (PARITY_HEAD, lambda: parity(ways(), rounds=args.rounds)),
        "speeds": (SPEED_HEAD, lambda: all_speeds(args.shape, args.rounds)),
    }
    for name, (head, rows) in tables.items():
        if args.only in (None, name):
            print(f"{head}", flush=True)
            for row in rows():
                kept[name].append(row)
                print(row, flush=True)
                if args.json:
                    args.json.write_text(to_json(args.shape, **kept), encoding="utf-8")


if __name__ == "__main__":
    main()

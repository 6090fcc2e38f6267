"""What needs a GPU, beside `generate`: compiled static caches, bfloat16, 4 bits.

    python -m benchmarks.gpu            # a random Llama of 12 layers; nothing is downloaded

For each way: are the tokens and the raw logits those of `generate`, bit for bit, and how many
tokens a second do both make (the median of the rounds, after a warm-up that compiles).
"""

import statistics
import time
import warnings

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig
from transformers.utils import logging

import llmcourse

NEW_TOKENS, ROUNDS = 64, 7
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


def llama(dtype=torch.float32, folder: str | None = None, **options):
    """Return a random Llama on the GPU; with `folder` it is saved there and loaded with options."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SIZES), dtype=dtype)
    for weights in model.parameters():
        if weights.dim() > 1:
            weights.data.normal_(0, 0.06)
    if folder is None:
        return model.to("cuda").eval()
    model.save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, device_map="cuda", **options).eval()


def seconds(run) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def compare(model, title: str, inputs: dict, settings: dict) -> None:
    """Print a row: what is equal, and the speed of both."""
    call = {name: ids.to("cuda") for name, ids in inputs.items()}
    call |= dict(max_new_tokens=NEW_TOKENS, pad_token_id=0, **settings)
    wanted = dict(return_dict_in_generate=True, output_logits=True)

    def by_library(**more):
        torch.manual_seed(1)
        return model.generate(**call, **more)

    def by_loop(**more):
        torch.manual_seed(1)
        return llmcourse.generate(model, **call, **more)

    try:
        theirs, ours = by_library(**wanted), by_loop(**wanted)
        tokens = torch.equal(theirs.sequences, ours.sequences)
        pairs = list(zip(theirs.logits, ours.logits, strict=False))
        bits = all(torch.equal(a, b) for a, b in pairs)
        far = max((a - b).abs().max().item() for a, b in pairs)
        times = {"library": [], "loop": []}
        for _ in range(ROUNDS):
            times["library"].append(seconds(by_library))
            times["loop"].append(seconds(by_loop))
        library, loop = (statistics.median(times[name]) for name in times)
    except Exception as error:
        print(f"| {title} | {type(error).__name__}: {str(error)[:120]} | | | |", flush=True)
        return
    same = "the same" if tokens else "DIFFERENT"
    logits = "bit for bit" if bits else f"within {far:.1e}"
    rates = f"{NEW_TOKENS / library:.0f} | {library / loop:.2f}"
    print(f"| {title} | {same} | {logits} | {rates} |", flush=True)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print("\n| | tokens | logits | tokens/s of `generate` | the loop beside it |")
    print("|---|---|---|---|---|")
    model = llama()
    for way, settings in WAYS.items():
        compare(model, f"float32, {way}", {"input_ids": IDS}, settings)
    for way in ("dynamic cache", "static cache, compiled"):
        compare(model, f"float32, two padded prompts, {way}", BATCH, WAYS[way])
    del model
    model = llama(torch.bfloat16)
    for way in ("dynamic cache", "static cache, compiled"):
        compare(model, f"bfloat16, {way}", {"input_ids": IDS}, WAYS[way])
    del model
    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype="bfloat16"
    )
    model = llama(torch.bfloat16, folder="/tmp/llama_for_4_bits", quantization_config=four)
    compare(model, "4 bits (NF4), dynamic cache", {"input_ids": IDS}, {})


if __name__ == "__main__":
    main()

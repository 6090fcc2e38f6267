"""Pitfalls in how a model was loaded: its mode, its numbers, its vocabulary, its code."""

from collections.abc import Iterator
from pathlib import Path

import torch

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair

# How many levels a block of weights has that were kept in 4 bits, and the blocks' usual length.
_LEVELS, _BLOCK, _BLOCKS = 16, 32, 64


def embedding_size(case: Case) -> Iterator[Finding]:
    """The model knows fewer tokens than the tokenizer makes, or more."""
    if case.tokenizer is None:
        return
    rows, tokens = case.model.get_input_embeddings().weight.shape[0], len(case.tokenizer)
    fix = "model.resize_token_embeddings(len(tokenizer))"
    if rows < tokens:
        ids = case.input_ids
        hit = ids is not None and bool((ids >= rows).any())
        yield Finding(
            "embedding-size",
            ERROR if hit else WARNING,
            CERTAIN,
            f"The tokenizer makes {tokens} tokens and the model has embeddings for {rows}"
            + (f"; this prompt holds token {int(ids.max())}." if hit else "."),
            "A token beyond that fails with an IndexError.",
            fix + "  # and train the new rows, or take the model's own tokenizer",
        )
    elif rows > tokens:
        yield Finding(
            "embedding-size",
            NOTE,
            CERTAIN,
            f"The model has {rows} embeddings and the tokenizer {tokens} tokens.",
            f"Ids from {tokens} on mean nothing; sampling at a high temperature may draw one. "
            "Models are often padded so on purpose.",
            f"model.generate(..., suppress_tokens=list(range({tokens}, {rows})))",
        )


def train_mode(case: Case) -> Iterator[Finding]:
    """Dropout is on."""
    if not case.model.training:
        return
    drops = _dropout(case.model)
    yield Finding(
        "train-mode",
        ERROR if drops else WARNING,
        CERTAIN,
        "The model is in train mode"
        + (f", with dropout of up to {drops:g}." if drops else "; its dropout happens to be 0."),
        "Dropout changes the logits at random: greedy decoding gives another text each time."
        if drops
        else "Nothing changes in this model; in one with dropout the text would be another.",
        "model.eval()",
        repair=lambda: Repair(case.inputs, case.call, in_eval_mode=True),
    )


def _dropout(model) -> float:
    """Return the largest dropout probability of a model, attention's included."""
    rates = [
        part.p for part in model.modules() if isinstance(part, torch.nn.Dropout) and part.training
    ]
    config = model.config.get_text_config()
    rates.append(getattr(config, "attention_dropout", 0) or 0)
    return float(max(rates))


def float16_on_cpu(case: Case) -> Iterator[Finding]:
    """Half precision where processors do not compute in it."""
    model = case.model
    if model.dtype != torch.float16 or model.device.type != "cpu" or _is_quantized(model):
        return
    yield Finding(
        "float16-on-cpu",
        WARNING,
        CERTAIN,
        "The model's weights are float16, on a CPU.",
        "Most CPUs convert float16 for every product, which is slow, and values above 65,504 "
        "overflow to inf.",
        'AutoModelForCausalLM.from_pretrained(name, dtype="float32")  # or "bfloat16"',
    )


def _is_quantized(model) -> bool:
    return getattr(model.config, "quantization_config", None) is not None


def quantized_twice(case: Case) -> Iterator[Finding]:
    """4- or 8-bit weights made of weights that had been rounded before."""
    model = case.model
    recorded = [load for load in case.loads if load.get("quantization_config") is not None]
    from_gguf = [load["gguf_file"] for load in recorded if load.get("gguf_file")]
    if not _by_bitsandbytes(model) and not from_gguf:
        return
    if from_gguf:
        how = f"they came from {Path(str(from_gguf[0])).name}, whose weights are rounded already"
    elif _rounded_blocks(Path(model.name_or_path)):
        how = f"each block of {_BLOCK} of the file's weights has at most {_LEVELS} values already"
    else:
        return
    yield Finding(
        "quantized-twice",
        WARNING,
        CERTAIN,
        f"The weights were quantized on loading, and {how}.",
        "Rounding what was rounded adds a second error and wins nothing that the first has lost.",
        "AutoModelForCausalLM.from_pretrained(name)  # or quantize the original weights",
    )


def _by_bitsandbytes(model) -> bool:
    method = getattr(getattr(model.config, "quantization_config", None), "quant_method", None)
    return getattr(method, "value", method) == "bitsandbytes"


def _rounded_blocks(folder: Path) -> bool:
    """Tell whether a model's folder holds weights of at most 16 levels a block.

    Looks at the first rows of one matrix of a layer; floats as trained have 32 values in 32.
    """
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        with safe_open(file, framework="pt") as weights:
            for name in list(weights.keys()):
                if "layers." in name and name.endswith("proj.weight"):
                    rows = weights.get_slice(name)[:4].flatten()
                    blocks = rows[: len(rows) // _BLOCK * _BLOCK].view(-1, _BLOCK)[:_BLOCKS]
                    counts = [len(block.unique()) for block in blocks]
                    return bool(counts) and max(counts) <= _LEVELS
    return False


def trust_remote_code(case: Case) -> Iterator[Finding]:
    """A repository's own code runs where the library has that model itself."""
    from transformers import CONFIG_MAPPING

    kind = getattr(case.model.config, "model_type", None)
    native = kind in CONFIG_MAPPING
    remote = type(case.model).__module__.startswith("transformers_modules")
    asked = any(load.get("trust_remote_code") for load in case.loads)
    if not native or not (remote or asked):
        return
    yield Finding(
        "trust-remote-code",
        WARNING,
        CERTAIN if not remote else LIKELY,
        f"trust_remote_code=True, and transformers has {kind!r} itself.",
        "Whoever can write to that repository can run code on this machine; and its copy of the "
        "model misses what the library has mended since.",
        "AutoModelForCausalLM.from_pretrained(name)  # without trust_remote_code",
    )

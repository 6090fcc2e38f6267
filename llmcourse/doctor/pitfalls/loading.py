"""Pitfalls in how a model was loaded: its mode, its numbers, its vocabulary, its code."""

from collections.abc import Iterator
from pathlib import Path

import torch

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall

# How many levels a block of weights has that were kept in 4 bits, and the blocks' usual length.
_LEVELS, _BLOCK = 16, 32
_ROWS, _BLOCKS = 4, 64  # how much of a matrix is looked at: its first rows, the first blocks there


@pitfall(
    "embedding-size",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.CALL, Needs.FORWARDS),
    explains_refusal=True,
    symptom="An IndexError, or tokens that decode to nothing.",
    cause="""
        The tokenizer can make ids for which the model has no embedding (an error), or the model has
        rows that no token uses (a note: often only padding to a round number).
    """,
    fix="After adding tokens, resize, and train the new rows.",
    example="model.resize_token_embeddings(len(tokenizer))",
    how_sure="Certain about the sizes, and about the ids of a call or a forward pass.",
)
def embedding_size(case: Case) -> Iterator[Finding]:
    """The model knows fewer tokens than the tokenizer makes, or more."""
    for step in case.forwards:
        embeddings = getattr(case.model, "get_input_embeddings", lambda: None)()
        rows = len(getattr(embeddings, "weight", ()))
        ids = step.input_ids if rows else None
        if ids is None or not ids.numel() or int(ids.max()) < rows:
            continue
        yield Finding(
            code="embedding-size",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The ids hold token {int(ids.max())}, and the model has embeddings for {rows}.",
            why="A token beyond the last row of embeddings fails with an IndexError.",
            fix="model.resize_token_embeddings(len(tokenizer))  # after adding tokens",
            file=step.file,
            line=step.line,
        )
    if case.forwards:
        return
    if case.tokenizer is None:
        return
    rows, tokens = case.model.get_input_embeddings().weight.shape[0], len(case.tokenizer)
    fix = "model.resize_token_embeddings(len(tokenizer))"
    if rows < tokens:
        ids = case.input_ids
        hit = ids is not None and bool((ids >= rows).any())
        yield Finding(
            code="embedding-size",
            severity=ERROR if hit else WARNING,
            confidence=CERTAIN,
            what=(
                f"The tokenizer makes {tokens} tokens and the model has embeddings for {rows}"
                + (f"; this prompt holds token {int(ids.max())}." if hit else ".")
            ),
            why="A token beyond that fails with an IndexError.",
            fix=fix + "  # and train the new rows, or take the model's own tokenizer",
        )
    elif rows > tokens:
        yield Finding(
            code="embedding-size",
            severity=NOTE,
            confidence=CERTAIN,
            what=f"The model has {rows} embeddings and the tokenizer {tokens} tokens.",
            why=(
                f"Ids from {tokens} on mean nothing; sampling at a high temperature may draw one. "
                "Models are often padded so on purpose."
            ),
            fix=f"model.generate(..., suppress_tokens=list(range({tokens}, {rows})))",
        )


@pitfall(
    "train-mode",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    needs=(Needs.CALL, Needs.FORWARDS),
    symptom="Greedy decoding gives another text each time, and worse ones.",
    cause="In train mode dropout switches parts of the model off at random.",
    example="model.eval()",
    how_sure="Certain: `model.training` is set. `from_pretrained` returns a model in eval mode.",
)
def train_mode(case: Case) -> Iterator[Finding]:
    """Dropout is on."""
    if not case.model.training or any(step.learns for step in case.forwards):
        return
    drops = _dropout(case.model)
    if case.forwards and not drops:
        return
    yield Finding(
        code="train-mode",
        severity=ERROR if drops else WARNING,
        confidence=CERTAIN,
        what=(
            "The model is in train mode"
            + (f", with dropout of up to {drops:g}." if drops else "; its dropout happens to be 0.")
        ),
        why=(
            "Dropout changes the logits at random: greedy decoding gives another text each time."
            if drops
            else "Nothing changes in this model; in one with dropout the text would be another."
        ),
        fix="model.eval()",
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


@pitfall(
    "float16-on-cpu",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="Very slow generation, or an error about an operation that is missing.",
    cause="Processors compute float16 badly; bfloat16 has the same size and a wider range.",
    example="AutoModelForCausalLM.from_pretrained(name, dtype=torch.bfloat16)",
    how_sure="Certain about type and device.",
)
def float16_on_cpu(case: Case) -> Iterator[Finding]:
    """Half precision where processors do not compute in it."""
    model = case.model
    if model.dtype != torch.float16 or model.device.type != "cpu" or _is_quantized(model):
        return
    yield Finding(
        code="float16-on-cpu",
        severity=WARNING,
        confidence=CERTAIN,
        what="The model's weights are float16, on a CPU.",
        why=(
            "Most CPUs convert float16 for every product, which is slow, and values above 65,504 "
            "overflow to inf."
        ),
        fix='AutoModelForCausalLM.from_pretrained(name, dtype="float32")  # or "bfloat16"',
    )


def _is_quantized(model) -> bool:
    return getattr(model.config, "quantization_config", None) is not None


@pitfall(
    "quantized-twice",
    subject=Subject.MODEL,
    severities=(WARNING, NOTE),
    needs=(Needs.CALL, Needs.LOADS),
    symptom="Texts are clearly worse than the quantized model's reputation.",
    cause="""
        Weights that had been rounded to few bits are rounded again to another grid: the errors add
        up.
    """,
    fix="Quantize the original weights once.",
    example="AutoModelForCausalLM.from_pretrained(original, quantization_config=config)",
    how_sure="""
        Certain where the file's name says that it is quantized. Where it is read from the weights'
        values, in a folder that does not say so, it is likely and a note: who made that folder
        rounded them on purpose, as the course did with its small model.
    """,
)
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
        code="quantized-twice",
        severity=WARNING if from_gguf else NOTE,
        confidence=CERTAIN if from_gguf else LIKELY,
        what=f"The weights were quantized on loading, and {how}.",
        why=(
            "Rounding what was rounded adds a second error and wins nothing that the first has "
            "lost."
        ),
        fix="AutoModelForCausalLM.from_pretrained(name)  # or quantize the original weights",
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
                    rows = weights.get_slice(name)[:_ROWS].flatten()
                    blocks = rows[: len(rows) // _BLOCK * _BLOCK].view(-1, _BLOCK)[:_BLOCKS]
                    counts = [len(block.unique()) for block in blocks]
                    return bool(counts) and max(counts) <= _LEVELS
    return False


@pitfall(
    "trust-remote-code",
    subject=Subject.MODEL,
    severities=(WARNING,),
    needs=(Needs.CALL, Needs.LOADS),
    symptom="None, until somebody changes the repository: its Python files run on your machine.",
    cause="`trust_remote_code=True` where the library has its own code for this kind of model.",
    fix="Leave it out.",
    example="AutoModelForCausalLM.from_pretrained(name)",
    how_sure="""
        Certain where the loaded class is the library's own; likely where it is the repository's, as
        that may be what you want.
    """,
)
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
        code="trust-remote-code",
        severity=WARNING,
        confidence=CERTAIN if not remote else LIKELY,
        what=f"trust_remote_code=True, and transformers has {kind!r} itself.",
        why=(
            "Whoever can write to that repository can run code on this machine; and its copy of "
            "the model misses what the library has mended since."
        ),
        fix="AutoModelForCausalLM.from_pretrained(name)  # without trust_remote_code",
    )

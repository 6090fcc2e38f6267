"""Which model, and how it is loaded: the course's own, one from a hub, or one from a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcourse.models import fetch

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("float32", "bfloat16", "float16")


def load(
    name: str | os.PathLike | None = None,
    *,
    quantize: str | None = None,
    dtype: "str | torch.dtype | None" = None,
    device: "str | torch.device | None" = None,
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Return (model, tokenizer), ready for `generate`: in eval mode, padding on the left.

    name: a folder or a hub id; None is LLMCOURSE_MODEL if that is set, else the course's own model,
    SmolLM2-135M-Instruct (Apache-2.0), which is fetched and converted by the first call.
    quantize: "4bit" (NF4), "8bit" or None.
    dtype: "float32", "bfloat16", "float16", a torch.dtype, or "auto" for what the weights are
    stored in; None is "auto", but for the course's model float32, or float16 with 8 bits.
    device: "cpu", "cuda", "cuda:1", "mps", or "auto" to spread over what is there; None is the CPU,
    or for quantized weights the GPU if there is one.
    Raises ValueError for an argument that does not fit, OSError where there is no model to be had.
    """
    quantize, dtype, device = known_quantize(quantize), known_dtype(dtype), known_device(device)
    name = name if name is not None else os.environ.get("LLMCOURSE_MODEL") or None
    own = name is None
    if own and dtype is None:
        dtype = "float16" if quantize == "8bit" else "float32"
    options = {"dtype": dtype or "auto"}
    if device not in (None, "cpu") or (quantize and device):
        options["device_map"] = device
    if quantize:
        options["quantization_config"] = quantization(quantize, dtype)
    return read(fetch.course_model() if own else folder_or_hub_id(name), options)


def read(source: Path | str, options: dict[str, Any]):
    """Read model and tokenizer from a folder (Path) or from the hub (str)."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    # False, not None: with None transformers would ask on stdin whether to run a repository's code.
    only = {"trust_remote_code": False, "local_files_only": isinstance(source, Path)}
    with explained_errors(source), without_progress_bars(isinstance(source, Path)):
        config = AutoConfig.from_pretrained(source, **only)
        if config.is_encoder_decoder:
            raise ValueError(
                f"name={str(source)!r} is an encoder-decoder model ({config.model_type}); pass one "
                "that only decodes, such as a Llama, Qwen, Mistral, Gemma or GPT-2."
            )
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", **only)
        model = AutoModelForCausalLM.from_pretrained(
            source, config=config, use_safetensors=True, **options, **only
        )
    agree_on_padding(model, tokenizer, source)
    compute_as_asked(model)
    return model.eval(), tokenizer


def agree_on_padding(model, tokenizer, source: Path | str) -> None:
    """Give the tokenizer a padding token, the end-of-text token if need be; the model the same."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ValueError(
                f"name={str(source)!r} has a tokenizer with neither a padding nor an end-of-text "
                "token, so prompts cannot be batched; set `pad_token` in its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    model.generation_config.pad_token_id = tokenizer.pad_token_id


def quantization(quantize: str, dtype: str | None):
    """The `BitsAndBytesConfig` for "4bit" or "8bit"; 4-bit weights compute in `dtype`."""
    import torch
    from transformers import BitsAndBytesConfig

    import_bitsandbytes(quantize)
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    if dtype in (None, "auto"):
        old_gpu = torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0)
        dtype = "float16" if old_gpu else "bfloat16"  # before Ampere, bfloat16 is emulated
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )


def compute_as_asked(model) -> None:
    """Keep 4-bit layers in float32 where that was asked for, so that outputs can be compared.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 would compute in bfloat16 all the same.
    """
    import torch

    for part in model.modules():
        if getattr(part, "compute_dtype", None) == torch.float32:
            part.support_avx512bf16_for_cpu = False


def import_bitsandbytes(quantize: str) -> None:
    """Import bitsandbytes; its advice on optional kernels is dropped in llmcourse/__init__.py."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"quantize={quantize!r} needs bitsandbytes: `pip install bitsandbytes`."
        ) from error


def folder_or_hub_id(name: str | os.PathLike) -> Path | str:
    """Return a folder that holds a model as a Path, and what can only be a hub id as a str."""
    if not isinstance(name, str | os.PathLike) or not os.fspath(name):
        raise ValueError(f"name={name!r} is not a model; pass a hub id, a folder, or None.")
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        return require_model_files(folder)
    if isinstance(name, str) and not folder.is_absolute() and name[0] not in ".~":
        return name
    raise OSError(f"There is no folder {str(folder)!r}.\n{fetch.THREE_WAYS}")


def require_model_files(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise OSError(f"The folder {str(folder)!r} holds no config.json, so it is not a model.")
    if not any(folder.glob("*.safetensors")):
        raise OSError(
            f"The folder {str(folder)!r} holds no *.safetensors. Other weight files can run code "
            "when they are read; save the model again with `model.save_pretrained(folder)`."
        )
    return folder


@contextmanager
def explained_errors(source: Path | str) -> Iterator[None]:
    """Say what happened, and what to do, where `transformers` cannot know."""
    try:
        yield
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        where = (
            "from that folder" if isinstance(source, Path) else "from the hub, nor is it a folder"
        )
        raise OSError(
            f"{str(source)!r} could not be loaded {where}: {reason}\n{fetch.THREE_WAYS}"
        ) from error
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ValueError(
            f"name={str(source)!r} runs code from its own repository, which load() never allows; "
            "pick a model whose code is in transformers."
        ) from error


@contextmanager
def without_progress_bars(quiet: bool) -> Iterator[None]:
    """Keep bars that are gone in a moment out of stored outputs; downloads show theirs."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
    from transformers.utils import logging

    if not quiet or not logging.is_progress_bar_enabled():
        yield
        return
    hub_was_quiet = are_progress_bars_disabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
        if hub_was_quiet:
            disable_progress_bars()


def known_quantize(quantize: str | None) -> str | None:
    if quantize not in (None, "4bit", "8bit"):
        raise ValueError(f'quantize={quantize!r} is not known; pass "4bit", "8bit" or None.')
    return quantize


def known_dtype(dtype: "str | torch.dtype | None") -> str | None:
    """Return the name of a floating point type that a model can run in, "auto", or None."""
    name = str(dtype).removeprefix("torch.")
    if dtype is not None and name not in (*DTYPES, "auto"):
        choices = ", ".join(f'"{choice}"' for choice in DTYPES)
        raise ValueError(f'dtype={dtype!r} is not known; pass {choices}, "auto" or None.')
    return None if dtype is None else name


def known_device(device: "str | torch.device | None") -> str | None:
    """Return the device's name if this machine has it, "auto", or None."""
    if device is None or device == "auto":
        return device
    import torch

    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        wanted = None
    if wanted is None or wanted.type not in ("cpu", "cuda", "mps"):
        raise ValueError(
            f'device={device!r} is not known; pass "cpu", "cuda", "mps", "auto" or None.'
        )
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": torch.backends.mps.is_available()}
    if (wanted.index or 0) >= there[wanted.type]:
        raise ValueError(
            f"device={device!r} is not on this machine (`python -m llmcourse check` says what is); "
            'pass "cpu" or None.'
        )
    return str(wanted)

"""The settings that `python -m llmcourse measure` knows: how a model is loaded, and called."""

from dataclasses import dataclass, field

from transformers import CompileConfig


def _on_any_device() -> CompileConfig:
    """Return the library's settings for `torch.compile`, which it uses by itself on GPUs alone."""
    config = CompileConfig()
    config._compile_all_devices = True
    return config


LOADED = {  # arguments of `llmcourse.load`
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
    "4bit": {"quantize": "4bit"},
    "8bit": {"quantize": "8bit"},
}
CALLED = {  # arguments of `llmcourse.steps`
    "no-cache": {"use_cache": False},
    "static": {"cache_implementation": "static", "disable_compile": True},
    "compiled": {"cache_implementation": "static", "compile_config": _on_any_device()},
    "quantized": {"cache_implementation": "quantized", "cache_config": {"backend": "fp8"}},
    "lookup": {"prompt_lookup_num_tokens": 5},
}


@dataclass(frozen=True, eq=False)
class Setting:
    """One way to run a model."""

    name: str  # as it was asked for, such as "bfloat16+static"
    loaded: dict = field(default_factory=dict)  # arguments of `llmcourse.load`
    called: dict = field(default_factory=dict)  # arguments of `llmcourse.steps`


def parse(name: str) -> Setting:
    """Return the setting of a name: parts of LOADED (at most one) and CALLED, joined by `+`.

    Raises ValueError for a part that is not known, and for two that say the same thing.
    """
    loaded, called = {}, {}
    for part in name.split("+"):
        wanted, found = (LOADED, loaded) if part in LOADED else (CALLED, called)
        if part not in wanted:
            known = ", ".join([*LOADED, *CALLED])
            raise ValueError(
                f"settings: {part!r} is no setting; join some of these with +, such as "
                f"bfloat16+static: {known}."
            )
        if found.keys() & wanted[part] or (wanted is LOADED and loaded):
            raise ValueError(f"settings: {name!r} says one thing twice; leave out {part!r}.")
        found |= wanted[part]
    return Setting(name, loaded or LOADED["float32"], called)

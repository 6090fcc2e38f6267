"""The course's small model in place of every hub model that a script asks for: `--stand-in`.

So a call can be checked where its model cannot be had. A loader that is asked for a hub id reads
the stand-in, and says so; a folder is read as it is. What this machine or the stand-in cannot do
(a quantization, a GPU, a way to attend) is left out, and that is said too. It lasts as long as the
process, in which nothing asks the hub.
"""

import functools
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any

from llmcourse.models import fetch

_HUB_ID = re.compile(r"(?![.-])[\w.-]+(/[\w.-]+)?")
# Where a model's files lie on the hub and how they are got: a folder needs none of it.
_OF_THE_HUB = (
    "adapter_kwargs",
    "cache_dir",
    "code_revision",
    "force_download",
    "gguf_file",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
    "trust_remote_code",
    "use_auth_token",
    "use_safetensors",
    "variant",
)
_PLACES = ("cuda", "mps", "xpu")  # kinds of devices that may be missing
_STAYS = "stays on the CPU: there is no such device here"
_NOT_REPLACED = "is not replaced ({})"
_TASKS = (None, "text-generation")  # pipelines of models that only decode

_left_alone = ContextVar("left_alone", default=False)  # whether what is loaded now is as it is


@dataclass(frozen=True)
class Replaced:
    """Something that a script asked for and did not get."""

    call: str  # what it asked: `AutoTokenizer.from_pretrained('gpt2')`
    became: str = "reads the stand-in"  # what came of it
    left_out: tuple[str, ...] = ()  # arguments that were dropped: `device_map='cuda'`
    file: str | None = None  # of the line that asked
    line: int | None = None  # from 1

    @property
    def sentence(self) -> str:
        """The same in words, without the line."""
        left_out = f", without {', '.join(self.left_out)}" if self.left_out else ""
        return f"{self.call} {self.became}{left_out}."

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**asdict(self), "left_out": list(self.left_out), "sentence": self.sentence}


def model() -> str:
    """Return what stands in: LLMCOURSE_MODEL, or the folder of the course's model.

    Raises OSError where the latter cannot be had.
    """
    return os.environ.get("LLMCOURSE_MODEL") or str(fetch.course_model())


def stay_off_the_hub() -> None:
    """Keep the hub's client, once it is imported, from asking the network for anything."""
    os.environ["HF_HUB_OFFLINE"] = "1"


def skip_logins() -> None:
    """Let a script log in to the hub, in words: gated models are not asked for."""
    import huggingface_hub

    for name in ("login", "notebook_login", "interpreter_login"):
        setattr(huggingface_hub, name, lambda *_, **__: None)


def install(source: str, say: Callable[[Replaced], None]) -> None:
    """Have transformers read `source` for every hub id, and tell `say` of each; call it once."""
    stand_in = _StandIn(source, say)
    stand_in.replace_loaders()
    stand_in.replace_pipeline()
    stand_in.keep_on_this_machine()


@dataclass(frozen=True)
class _StandIn:
    """What `install` puts in place."""

    source: str  # a folder, or a hub id that is in the cache
    say: Callable[[Replaced], None]
    said: set[Replaced] = field(default_factory=set)  # each is said once

    def is_asked_of_the_hub(self, name: Any) -> bool:
        """Tell whether a name is a hub id, and not a file, a folder, or the stand-in itself."""
        if _left_alone.get():
            return False
        hub_id = isinstance(name, str) and _HUB_ID.fullmatch(name)
        return bool(hub_id) and name != self.source and not os.path.exists(name)

    def tell(self, call: str, **more: Any) -> None:
        """Say what was replaced, with the user's line, unless that has been said."""
        from llmcourse.doctor.call_site import site_of

        site = site_of(sys._getframe())
        one = Replaced(call=call, file=site.file, line=site.line, **more)
        if one not in self.said:
            self.said.add(one)
            self.say(one)

    def replace_loaders(self) -> None:
        """Replace `from_pretrained` of all classes that read a model or a part of it."""
        import transformers

        tokenizer, config = transformers.AutoTokenizer, transformers.AutoConfig
        for loader, in_its_place in (
            *((loader, None) for loader in _auto_classes()),
            (transformers.PreTrainedModel, None),
            (tokenizer, tokenizer),
            (transformers.PreTrainedTokenizerBase, tokenizer),
            (transformers.AutoProcessor, tokenizer),
            (config, config),
            (transformers.PreTrainedConfig, config),
            (transformers.GenerationConfig, transformers.GenerationConfig),
        ):
            self._replace_loader(loader, in_its_place)

    def _replace_loader(self, loader: type, in_its_place: type | None) -> None:
        """Let a class read the stand-in by way of another; None: one that fits the model."""
        original = vars(loader)["from_pretrained"].__func__

        @functools.wraps(original)
        def from_pretrained(cls, *arguments, **keywords):
            named = "pretrained_model_name_or_path"
            asked = arguments[0] if arguments else keywords.get(named)
            if not self.is_asked_of_the_hub(asked):
                return original(cls, *arguments, **keywords)
            call = f"{cls.__name__}.from_pretrained({asked!r})"
            reader = in_its_place or _reader_of(cls)
            if reader is None:
                self.tell(call, became=_NOT_REPLACED.format("no model that continues a text"))
                with _leaving_alone():
                    return original(cls, *arguments, **keywords)
            keywords.pop(named, None)
            kept, left_out = what_can_be_had(keywords)
            self.tell(call, left_out=left_out)
            kept = {**kept, **self._named_config(kept)}
            return reader.from_pretrained(self.source, *arguments[1:], **kept)

        loader.from_pretrained = classmethod(from_pretrained)

    def _named_config(self, keywords: dict[str, Any]) -> dict[str, str]:
        """Return the config to read where an argument names that of a hub model."""
        hub = self.is_asked_of_the_hub(keywords.get("config"))
        return {"config": self.source} if hub else {}

    def replace_pipeline(self) -> None:
        """Replace `pipeline`, in both places from which it is imported."""
        import transformers
        from transformers import pipelines

        original = pipelines.pipeline

        @functools.wraps(original)
        def pipeline(*arguments, **keywords):
            named = _by_name(original, arguments, keywords)
            asked = {name: named.get(name) for name in ("model", "tokenizer", "config")}
            hub = [name for name, part in asked.items() if self.is_asked_of_the_hub(part)]
            if asked["model"] is None and "task" in named:  # its default model is one of the hub
                hub.append("model")
            if not hub:
                return original(*arguments, **keywords)
            parts = ", ".join(f"{name}={asked[name]!r}" for name in hub)
            call, task = f"pipeline({parts})", named.get("task")
            if task not in _TASKS:
                self.tell(call, became=_NOT_REPLACED.format(f"{task!r} does not continue a text"))
                with _leaving_alone():
                    return original(*arguments, **keywords)
            kept, left_out = what_can_be_had(named)
            self.tell(call, left_out=left_out)
            whole = {**kept, **dict.fromkeys(hub, self.source), "task": "text-generation"}
            return original(**whole)

        pipelines.pipeline = transformers.pipeline = pipeline

    def keep_on_this_machine(self) -> None:
        """Let `.to("cuda")` and `.cuda()` leave things where they are, if there is no such device.

        Models, tensors and what a tokenizer returns all pass here.
        """
        import torch

        for owner in (torch.nn.Module, torch.Tensor):
            self._replace_to(owner)
            if not torch.cuda.is_available():
                self._replace_cuda(owner)

    def _replace_to(self, owner: type) -> None:
        original = owner.to

        @functools.wraps(original)
        def to(thing, *arguments, **keywords):
            missing = [each for each in (*arguments, *keywords.values()) if is_missing(each)]
            if not missing:
                return original(thing, *arguments, **keywords)
            self.tell(f".to({str(missing[0])!r})", became=_STAYS)
            arguments = tuple("cpu" if is_missing(each) else each for each in arguments)
            keywords = {
                name: "cpu" if is_missing(each) else each for name, each in keywords.items()
            }
            return original(thing, *arguments, **keywords)

        owner.to = to

    def _replace_cuda(self, owner: type) -> None:
        @functools.wraps(owner.cuda)
        def cuda(thing, *_, **__):
            self.tell(".cuda()", became=_STAYS)
            return thing

        owner.cuda = cuda


@contextmanager
def _leaving_alone() -> Iterator[None]:
    """Replace nothing of what a loader that is not replaced loads itself."""
    token = _left_alone.set(True)
    try:
        yield
    finally:
        _left_alone.reset(token)


def _auto_classes() -> list[type]:
    """Return the classes that choose a model's class: each has a `from_pretrained` of its own."""
    import transformers.models.auto.modeling_auto  # noqa: F401  defines them
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    every = [_BaseAutoModelClass]
    for one in every:  # grows while it is gone through
        every += one.__subclasses__()
    return [one for one in dict.fromkeys(every) if "from_pretrained" in vars(one)]


def _reader_of(cls: type) -> type | None:
    """Return the class that reads the stand-in for a model class; None if that does not generate.

    Any class of a decoder-only model with a head for text will do, whichever family it is of.
    """
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    generates = {"AutoModelForCausalLM", *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()}
    own_names = {base.__name__ for base in cls.__mro__}
    return AutoModelForCausalLM if own_names & generates else None


def what_can_be_had(keywords: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the arguments of a loader that hold here, and the others in words.

    What only says how to get files from the hub goes without a word.
    """
    kept = {name: value for name, value in keywords.items() if name not in _OF_THE_HUB}
    out = {name: value for name, value in kept.items() if _cannot_be_had(name, value)}
    kept = {name: value for name, value in kept.items() if name not in out}
    left_out = [f"{name}={_shortly(value)}" for name, value in out.items()]
    if isinstance(kept.get("model_kwargs"), dict):  # a pipeline's, for its model
        kept["model_kwargs"], inside = what_can_be_had(kept["model_kwargs"])
        left_out += inside
    return kept, tuple(left_out)


def _cannot_be_had(name: str, value: Any) -> bool:
    """Tell whether an argument of a loader asks for what is not there, on this machine."""
    import torch

    if value is None:
        return False
    gpu = torch.cuda.is_available()
    if name == "quantization_config":
        return not (_by_bitsandbytes(value) and _is_installed("bitsandbytes"))
    if name in ("device_map", "device"):
        places = value.values() if isinstance(value, dict) else [value]
        needs_accelerate = name == "device_map" and not _is_installed("accelerate")
        return needs_accelerate or any(map(is_missing, places))
    if name in ("dtype", "torch_dtype"):
        return not gpu and value in (torch.float16, "float16", "torch.float16")
    if name == "attn_implementation":
        return not (value in ("eager", "sdpa") or (gpu and "flash" not in str(value)))
    return name in ("max_memory", "offload_folder") and not gpu


def _by_bitsandbytes(config: Any) -> bool:
    method = getattr(config, "quant_method", None)
    return str(getattr(method, "value", method)) == "bitsandbytes"


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def is_missing(place: Any) -> bool:
    """Tell whether something names a device that this machine does not have; a dtype does not."""
    import torch

    if isinstance(place, int) and not isinstance(place, bool):
        return place >= 0 and not torch.cuda.is_available()
    if not isinstance(place, str | torch.device):
        return False
    kind = str(place).partition(":")[0]
    if kind not in _PLACES:
        return False
    return not getattr(torch, kind).is_available()


def _shortly(value: Any) -> str:
    """Return an argument as it may have been written; of an object, its class."""
    import torch

    if isinstance(value, str | int | float | bool | dict):
        return repr(value)
    return (
        str(value)
        if isinstance(value, torch.dtype | torch.device)
        else f"{type(value).__name__}(...)"
    )


def _by_name(function: Callable, arguments: tuple, keywords: dict[str, Any]) -> dict[str, Any]:
    """Return all arguments of a call by name, in the order of the function's parameters."""
    names = list(inspect.signature(function).parameters)
    return {**dict(zip(names, arguments, strict=False)), **keywords}

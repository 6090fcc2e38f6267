"""Loads of models, by the class whose `from_pretrained` is called."""

import ast
import re

from llmcourse.doctor.static.reading.source import is_true, keyword, loaded_by, name_of

_OTHER_LIBRARIES = re.compile(r"^(ORT|OV|AutoGPTQ|AutoAWQ|INC|IPEX|Neuron|Peft|AutoPeft|TF|Flax)")
_A_MODEL = re.compile(r"^AutoModel($|For)|ForCausalLM$|LMHeadModel$")


def is_load_of_a_model(call: ast.Call) -> bool:
    """Tell whether a call is `from_pretrained` of one of transformers' models."""
    loader = loaded_by(call)
    known = _A_MODEL.search(loader) and not _OTHER_LIBRARIES.search(loader)
    return name_of(call) == "from_pretrained" and bool(known)


def is_quantized(load: ast.Call) -> bool:
    """Tell whether a load says that weights are to be quantized."""
    flags = [keyword(load, name) for name in ("load_in_4bit", "load_in_8bit")]
    return any(map(is_true, flags)) or keyword(load, "quantization_config") is not None

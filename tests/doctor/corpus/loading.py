"""Models as they were loaded, and what loading left open."""

import torch

from llmcourse.doctor.case import LoadReport
from tests.doctor.corpus.calls import (
    LENGTH,
    USER,
    Call,
    either,
    faulty,
    model_for,
    plain,
    sound,
    unigram,
)
from tests.support.families import build


def _in_mode(training: bool, **changes) -> Call:
    tokenizer = unigram()
    model = model_for(tokenizer, settings={}, **changes)
    return Call(model.train(training), tokenizer, "a text", LENGTH)


def _in_dtype(dtype) -> Call:
    tokenizer = unigram()
    return Call(model_for(tokenizer, settings={}).to(dtype), tokenizer, "a text", LENGTH)


def _of_size(change: int) -> Call:
    tokenizer = unigram()
    size = len(tokenizer) + change
    ids = {"eos_token_id": 2, "pad_token_id": 0, "bos_token_id": 1}
    return Call(build("llama", vocab_size=size, **ids), tokenizer, "a text", LENGTH)


def _recorded(**load) -> Call:
    model, tokenizer = plain()
    return Call(model, tokenizer, "a text", LENGTH, {"loads": [load]})


either("train-mode", "train mode with dropout", lambda: _in_mode(True, attention_dropout=0.1))

either("train-mode", "train mode without dropout", lambda: _in_mode(True))

either(None, "eval mode with dropout", lambda: _in_mode(False, attention_dropout=0.1))

either("float16-on-cpu", "float16", lambda: _in_dtype(torch.float16))

either(None, "bfloat16", lambda: _in_dtype(torch.bfloat16))

either("embedding-size", "fewer embeddings than tokens", lambda: _of_size(-5))

either("embedding-size", "far fewer embeddings than tokens", lambda: _of_size(-150))

either("embedding-size", "more embeddings than tokens", lambda: _of_size(11))

either(None, "as many embeddings as tokens", lambda: _of_size(0))

either(
    "quantized-twice",
    "4 bits of a GGUF file",
    lambda: _recorded(gguf_file="model.Q4_1.gguf", quantization_config="4bit"),
)

either(None, "a GGUF file, not quantized again", lambda: _recorded(gguf_file="model.Q4_1.gguf"))

either("trust-remote-code", "remote code for a Llama", lambda: _recorded(trust_remote_code=True))

either(None, "remote code refused", lambda: _recorded(trust_remote_code=False))


@faulty("prompt-too-long", "a prompt beyond the window")
def _():
    return Call(*plain(), "a " * 200, LENGTH)


@sound("a prompt within the window")
def _():
    return Call(*plain(), "a" + " a" * 49, LENGTH)


@faulty("base-model-chat", "messages for a base model")
def _():
    return Call(*plain(), [USER], LENGTH)


@faulty("base-model-chat", "ChatML for a base model")
def _():
    return Call(*plain("byte level"), "<|im_start|>user\nhi<|im_end|>\n", LENGTH)


@sound("questions and answers for a base model")
def _():
    return Call(*plain("byte level"), "Q: What is the capital of Peru?\nA:", LENGTH)


def _reported(**report) -> Call:
    model, tokenizer = plain()
    return Call(model, tokenizer, "a text", LENGTH, {"load_reports": [LoadReport(**report)]})


_HEAD, _NORM = ("lm_head.weight",), ("model.norm.weight",)

_OTHER = ("transformer.h.0.attn.c_attn.weight", "transformer.wte.weight")

_PLACELESS = ("model.layers.0.self_attn.q_norm.weight",)

_SCALES = ("model.layers.0.self_attn.k_scale", "model.layers.9.eh_proj.weight", *_OTHER[1:])

faulty("weights-made-anew", "a head that is not in the files")(lambda: _reported(made_anew=_HEAD))

faulty("weights-made-anew", "a head of another size")(
    lambda: _reported(made_anew=_HEAD, other_shapes={"lm_head.weight": ((9, 8), (7, 8))})
)

faulty("weights-made-anew", "another architecture's files")(
    lambda: _reported(made_anew=_HEAD + _NORM, left_out=_OTHER)
)

faulty("weights-made-anew", "a norm that is not in the files")(lambda: _reported(made_anew=_NORM))

faulty("weights-made-anew", "weights of a layer without a place")(
    lambda: _reported(left_out=_PLACELESS)
)

sound("files with more than the model needs")(lambda: _reported(left_out=_SCALES))

sound("fewer layers than the files have, as asked")(
    lambda: Call(*plain(), "a text", LENGTH, _cut_as_asked())
)


def _cut_as_asked() -> dict:
    report = LoadReport(left_out=_PLACELESS)
    return {"loads": [{"num_hidden_layers": 1}], "load_reports": [report]}


def _given(names: tuple[str, ...], given: int) -> Call:
    return _reported(left_out=names, given=given, from_state_dict=True)


faulty("state-dict-not-loaded", "names with a wrapper's prefix")(
    lambda: _given(("module.lm_head.weight", "module.model.norm.weight"), 2)
)

faulty("state-dict-not-loaded", "half of the names")(lambda: _given(("module.a", "b"), 4))

sound("a value head beside the model's weights")(lambda: _given(("v_head.weight",), 20))

sound("two names of many")(lambda: _given(("a", "b"), 20))


def _adapted(second: float, **config) -> Call:
    tokenizer = unigram()
    model = model_for(tokenizer, settings={})
    for layer in model.model.layers:
        layer.self_attn.q_proj.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 2)})
        torch.nn.init.constant_(layer.self_attn.q_proj.lora_B["default"].weight, second)
    if config:
        model.peft_config = config
    return Call(model, tokenizer, "a text", LENGTH)


faulty("adapter-without-effect", "an adapter that was never trained")(
    lambda: _adapted(0, default=1)
)

sound("an adapter that was trained")(lambda: _adapted(0.1, default=1))

sound("a part of that name, and no adapter")(lambda: _adapted(0))

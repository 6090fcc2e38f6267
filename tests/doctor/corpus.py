"""Calls to `generate`, by name: faulty ones with the code expected of them, and sound ones.

FAULTY maps a name to (code, make), SOUND to make; `make()` returns a Call. The models are tiny and
random; the templates are published formats, the tokenizers one small one of each kind.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import GenerationConfig, PreTrainedTokenizerFast

from llmcourse.doctor.case import Decoded, Forward, TemplateCall
from tests.support.chat_templates import TEMPLATES, letters
from tests.support.families import build

LENGTH = {"max_new_tokens": 4}
WITH_BOS = ("llama 2", "llama 3", "mistral", "gemma")
WITH_PROMPT = ("chatml", "chatml with a default", "llama 3", "zephyr", "gemma")
OWN_END = {
    "chatml": "<|im_end|>",
    "chatml with a default": "<|im_end|>",
    "llama 3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
}
USER = {"role": "user", "content": "What is the capital of Peru?"}
REPLY = {"role": "assistant", "content": "Lima."}
SYSTEM = {"role": "system", "content": "Be brief."}
TEXTS = ["ab", "a longer text"]


@dataclass
class Call:
    """A call: what `diagnose` takes; facts: what somebody who watches it would have recorded."""

    model: Any
    tokenizer: Any
    prompt: Any
    call: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    run: bool = False
    repeatable: bool = False
    seed: int | None = None


def vocabulary() -> dict[str, int]:
    """Letters with and without a word's start, and a few special tokens."""
    letters_ = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:?! "
    names = ["<pad>", "<s>", "</s>", "<unk>", "▁", *letters_]
    names += ["##" + letter for letter in letters_] + ["▁" + letter for letter in letters_]
    return {name: place for place, name in enumerate(names)}


def _wrapped(backend: Tokenizer, **special) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


_ALL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def sentencepiece(**special) -> PreTrainedTokenizerFast:
    """BPE over `▁` for spaces, with BOS before every text, as Llama 2 has it."""
    backend = Tokenizer(models.BPE(vocabulary(), [], unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = _wrapped(backend, **(_ALL | special))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def wordpiece(**special) -> PreTrainedTokenizerFast:
    """WordPiece, `##` inside words, no BOS."""
    backend = Tokenizer(models.WordPiece(vocabulary(), unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece()
    return _wrapped(backend, **({**_ALL, "bos_token": None} | special))


def unigram(**special) -> PreTrainedTokenizerFast:
    """Unigram over `▁`, without BOS."""
    backend = Tokenizer(models.Unigram([(name, -1.0) for name in vocabulary()], unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return _wrapped(backend, **(_ALL | special))


def byte_level(**special) -> PreTrainedTokenizerFast:
    """A token for each byte, one special token for all, as GPT-2 has it."""
    tokenizer = letters("", adds_bos=False)
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    tokenizer.chat_template = None
    for name, value in ({"bos_token": "</s>"} | special).items():
        setattr(tokenizer, name, value)
    return tokenizer


KINDS = {
    "byte level": byte_level,
    "sentencepiece": sentencepiece,
    "wordpiece": wordpiece,
    "unigram": unigram,
}


@cache
def _model(family: str, size: int, eos, pad, bos, changes: tuple):
    ids = {"eos_token_id": eos, "pad_token_id": pad, "bos_token_id": bos}
    return build(family, vocab_size=size, **ids, **dict(changes))


def model_for(tokenizer, family: str = "llama", eos=None, settings=None, **changes):
    """Return a tiny model with the tokenizer's vocabulary; settings: for its generation_config."""
    eos = tokenizer.eos_token_id if eos is None else eos
    ids = (eos, tokenizer.pad_token_id, tokenizer.bos_token_id)
    if settings is None:
        return _model(family, len(tokenizer), *ids, tuple(changes.items()))
    names = ("eos_token_id", "pad_token_id", "bos_token_id")
    made = build(family, vocab_size=len(tokenizer), **dict(zip(names, ids, strict=True)), **changes)
    for name, value in settings.items():
        setattr(made.generation_config, name, value)
    return made


def chat(name: str, sound_end: bool = True, settings=None):
    """Return (model, tokenizer) of a chat template, by its name."""
    tokenizer = letters(TEMPLATES[name], adds_bos=name in WITH_BOS)
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    tokenizer.padding_side = "left"
    ends = [tokenizer.eos_token_id]
    if sound_end and name in OWN_END:
        ends.append(tokenizer.convert_tokens_to_ids(OWN_END[name]))
    settings = {"eos_token_id": ends if len(ends) > 1 else ends[0]} | (settings or {})
    return model_for(tokenizer, settings=settings, max_position_embeddings=1024), tokenizer


def plain(kind: str = "unigram", side: str = "left", settings=None, **changes):
    """Return (model, tokenizer) of a base model, by the kind of its tokenizer."""
    tokenizer = KINDS[kind]()
    tokenizer.padding_side = side
    return model_for(tokenizer, settings=settings, **changes), tokenizer


def rendered(tokenizer, messages, **options) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def tensors(tokenizer, text, **options) -> dict:
    made = tokenizer(text, return_tensors="pt", **options)
    return {name: made[name] for name in ("input_ids", "attention_mask")}


FAULTY, SOUND = {}, {}


def faulty(code: str, name: str):
    def put(make):
        assert name not in FAULTY, name
        FAULTY[name] = (code, make)
        return make

    return put


def sound(name: str):
    def put(make):
        assert name not in SOUND, name
        SOUND[name] = make
        return make

    return put


def _chats() -> None:
    for name in TEMPLATES:

        @faulty("bare-prompt", f"{name}: a bare question")
        def _(name=name):
            return Call(*chat(name), USER["content"], LENGTH)

        @faulty("bare-prompt", f"{name}: an instruction format of another model")
        def _(name=name):
            return Call(*chat(name), "### Instruction:\nName a city.\n### Response:\n", LENGTH)

        @sound(f"{name}: messages")
        def _(name=name):
            return Call(*chat(name), [USER], LENGTH)

        @sound(f"{name}: a longer chat")
        def _(name=name):
            return Call(*chat(name), [USER, REPLY, USER], LENGTH)

        @sound(f"{name}: rendered text without special tokens once more")
        def _(name=name):
            model, tokenizer = chat(name)
            text = rendered(tokenizer, [USER], add_generation_prompt=True)
            return Call(
                model, tokenizer, tensors(tokenizer, text, add_special_tokens=False), LENGTH
            )

        @sound(f"{name}: a beginning to be completed")
        def _(name=name):
            return Call(*chat(name), "A list of colors: red, blue", LENGTH)

        @sound(f"{name}: a batch of chats, padded on the left")
        def _(name=name):
            model, tokenizer = chat(name)
            chats = [[USER], [USER, REPLY, USER]]
            texts = [rendered(tokenizer, one, add_generation_prompt=True) for one in chats]
            made = tensors(tokenizer, texts, padding=True, add_special_tokens=False)
            return Call(model, tokenizer, made, LENGTH)

    for name in WITH_BOS:

        @faulty("doubled-bos", f"{name}: rendered text with special tokens once more")
        def _(name=name):
            model, tokenizer = chat(name)
            text = rendered(tokenizer, [USER], add_generation_prompt=True)
            return Call(model, tokenizer, text, LENGTH)

    for name in WITH_PROMPT:

        @faulty("no-generation-prompt", f"{name}: no generation prompt")
        def _(name=name):
            model, tokenizer = chat(name)
            text = rendered(tokenizer, [USER])
            return Call(
                model, tokenizer, tensors(tokenizer, text, add_special_tokens=False), LENGTH
            )

        @faulty("generation-prompt-misplaced", f"{name}: a reply, then a generation prompt")
        def _(name=name):
            return Call(*chat(name), [USER, REPLY], LENGTH)

        @faulty("generation-prompt-misplaced", f"{name}: the user goes on after it")
        def _(name=name):
            model, tokenizer = chat(name)
            text = rendered(tokenizer, [USER], add_generation_prompt=True) + "And of Chile?"
            return Call(
                model, tokenizer, tensors(tokenizer, text, add_special_tokens=False), LENGTH
            )

        @sound(f"{name}: a reply that the caller begins")
        def _(name=name):
            model, tokenizer = chat(name)
            text = rendered(tokenizer, [USER], add_generation_prompt=True) + "The capital is"
            return Call(
                model, tokenizer, tensors(tokenizer, text, add_special_tokens=False), LENGTH
            )

    for name in OWN_END:

        @faulty("eos-not-of-template", f"{name}: the end of a reply ends nothing")
        def _(name=name):
            return Call(*chat(name, sound_end=False), [USER], LENGTH)

        @sound(f"{name}: the end of a reply as a stop string")
        def _(name=name):
            end = {"stop_strings": [OWN_END[name]]}
            return Call(*chat(name, sound_end=False), [USER], LENGTH | end)

    for name in ("mistral", "gemma"):

        @faulty("system-dropped", f"{name}: a system message")
        def _(name=name):
            return Call(*chat(name), [SYSTEM, USER], LENGTH)

    for name in ("chatml", "chatml with a default", "llama 2", "llama 3", "zephyr"):

        @sound(f"{name}: a system message")
        def _(name=name):
            return Call(*chat(name), [SYSTEM, USER], LENGTH)


_chats()


_TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def _with_tools(tools, writes: bool = False) -> Call:
    """Return a call whose template was given tools; writes: whether it writes them."""
    model, tokenizer = chat("chatml")
    if writes:
        tokenizer.chat_template = "{% if tools %}{{ tools }}{% endif %}" + tokenizer.chat_template
    text = rendered(tokenizer, [USER], add_generation_prompt=True, tools=tools)
    made = tensors(tokenizer, text, add_special_tokens=False)
    recorded = {"template_calls": [TemplateCall([USER], {"tools": tools}, text)]}
    return Call(model, tokenizer, made, LENGTH, recorded)


@faulty("tools-dropped", "tools that the template does not write")
def _():
    return _with_tools([_TOOL])


@sound("tools that the template writes")
def _():
    return _with_tools([_TOOL], writes=True)


@sound("no tools for a template without")
def _():
    return _with_tools(None)


@faulty("system-dropped", "a template that passes over the system")
def _():
    model, tokenizer = chat("zephyr")
    tokenizer.chat_template = TEMPLATES["zephyr"].replace("'system', ", "")
    return Call(model, tokenizer, [SYSTEM, USER], LENGTH)


@faulty("system-dropped", "a recorded template call that loses the system")
def _():
    model, tokenizer = chat("zephyr")
    tokenizer.chat_template = TEMPLATES["zephyr"].replace("'system', ", "")
    text = rendered(tokenizer, [SYSTEM, USER], add_generation_prompt=True)
    made = tensors(tokenizer, text, add_special_tokens=False)
    recorded = {"template_calls": [TemplateCall([SYSTEM, USER], {}, text)]}
    return Call(model, tokenizer, made, LENGTH, recorded)


def _paddings() -> None:
    for kind in KINDS:

        @faulty("padding-side", f"{kind}: a batch padded on the right")
        def _(kind=kind):
            return Call(*plain(kind, "right"), TEXTS, LENGTH)

        @faulty("padding-side", f"{kind}: ids padded on the right, no mask")
        def _(kind=kind):
            model, tokenizer = plain(kind, "right")
            ids = tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids
            return Call(model, tokenizer, ids, LENGTH)

        @faulty("no-mask", f"{kind}: padded ids, no mask")
        def _(kind=kind):
            model, tokenizer = plain(kind)
            ids = tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids
            return Call(model, tokenizer, ids, LENGTH)

        @faulty("no-mask", f"{kind}: padded ids, a mask of ones")
        def _(kind=kind):
            model, tokenizer = plain(kind)
            ids = tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return Call(model, tokenizer, inputs, LENGTH)

        @faulty("mask-hides-tokens", f"{kind}: a mask that hides the first token")
        def _(kind=kind):
            model, tokenizer = plain(kind)
            inputs = tensors(tokenizer, "a text")
            inputs["attention_mask"][0, 0] = 0
            return Call(model, tokenizer, inputs, LENGTH)

        @sound(f"{kind}: a batch padded on the left")
        def _(kind=kind):
            return Call(*plain(kind), TEXTS, LENGTH)

        @sound(f"{kind}: one text, the tokenizer pads on the right")
        def _(kind=kind):
            return Call(*plain(kind, "right"), TEXTS[0], LENGTH)

        @sound(f"{kind}: equal lengths, no mask")
        def _(kind=kind):
            model, tokenizer = plain(kind, "right")
            ids = tokenizer(["ab cd", "cd ab"], return_tensors="pt").input_ids
            return Call(model, tokenizer, ids, LENGTH)


_paddings()


@faulty("pad-is-eos", "pad is eos and no mask")
def _():
    model, tokenizer = plain("byte level")
    return Call(
        model, tokenizer, tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids, LENGTH
    )


@sound("pad is eos, with the mask")
def _():
    model, tokenizer = plain("byte level")
    return Call(model, tokenizer, tensors(tokenizer, TEXTS, padding=True), LENGTH)


@sound("one end-of-text token begins the prompt, as GPT-2 was trained")
def _():
    model, tokenizer = plain("byte level")
    return Call(model, tokenizer, "</s>a text", LENGTH)


@faulty("mask-hides-tokens", "a mask that hides the ends of turns, which are the padding token too")
def _():
    model, tokenizer = chat("chatml")
    tokenizer.pad_token = "<|im_end|>"
    ids = tokenizer(rendered(tokenizer, [USER], add_generation_prompt=True), return_tensors="pt")
    mask = (ids.input_ids != tokenizer.pad_token_id).long()
    return Call(model, tokenizer, {"input_ids": ids.input_ids, "attention_mask": mask}, LENGTH)


def _positioned(family: str, ignoring: bool) -> Call:
    model, tokenizer = plain("unigram", family=family)
    inputs = tensors(tokenizer, TEXTS, padding=True)
    mask = inputs["attention_mask"]
    right = (mask.cumsum(-1) - 1).clamp(min=0)
    wrong = torch.arange(mask.shape[1]).expand_as(mask)
    return Call(model, tokenizer, inputs | {"position_ids": wrong if ignoring else right}, LENGTH)


for _family in ("llama", "gpt2"):

    @faulty("position-ids", f"{_family}: positions that count the padding")
    def _(family=_family):
        return _positioned(family, True)

    @sound(f"{_family}: positions that skip the padding")
    def _(family=_family):
        return _positioned(family, False)


def _stepped(positions: bool) -> Call:
    model, tokenizer = plain("unigram", family="gpt2")
    inputs = tensors(tokenizer, TEXTS, padding=True)
    mask = inputs["attention_mask"]
    right = (mask.cumsum(-1) - 1).clamp(min=0) if positions else None
    step = Forward(inputs["input_ids"], mask, right, 12, "loop.py")
    return Call(model, tokenizer, inputs, LENGTH, {"forwards": [step]})


@faulty("position-ids", "a loop of one's own without positions")
def _():
    return _stepped(False)


@sound("a loop of one's own with positions")
def _():
    return _stepped(True)


def _setting(code: str | None, name: str, call: dict, settings=None, **options) -> None:
    def make():
        model, tokenizer = plain("unigram", settings=settings)
        return Call(model, tokenizer, "a text that goes on", call, **options)

    (sound(name) if code is None else faulty(code, name))(make)


_SAMPLE = LENGTH | {"do_sample": True}
for _code, _name, _call, _settings in (
    ("no-length", "no length", {}, None),
    ("no-length", "no length, sampling", {"do_sample": True}, None),
    (None, "a length in the model's generation_config", {}, {"max_new_tokens": 9}),
    ("max-length-counts-prompt", "max_length little above the prompt", {"max_length": 24}, None),
    ("max-length-below-prompt", "max_length below the prompt", {"max_length": 5}, None),
    (None, "max_length far above the prompt", {"max_length": 100}, None),
    ("beyond-context", "a limit beyond the context", {"max_new_tokens": 120}, None),
    (None, "a limit just within the context", {"max_new_tokens": 100}, None),
    ("sampling-ignored", "temperature without sampling", LENGTH | {"temperature": 0.7}, None),
    ("sampling-ignored", "top_p without sampling", LENGTH | {"top_p": 0.9}, None),
    ("sampling-ignored", "top_k without sampling", LENGTH | {"top_k": 5}, None),
    ("sampling-ignored", "min_p in beam search", LENGTH | {"min_p": 0.1, "num_beams": 2}, None),
    (
        "sampling-ignored",
        "a config's temperature without sampling",
        {"generation_config": GenerationConfig(temperature=0.7, max_new_tokens=4)},
        None,
    ),
    (
        None,
        "sampling switched off, neutral values",
        LENGTH | {"do_sample": False, "top_p": 1.0},
        None,
    ),
    (
        None,
        "a model's own temperature, greedy call",
        LENGTH | {"do_sample": False},
        {"temperature": 0.6},
    ),
    ("hidden-top-k", "top_p beside the hidden top_k", _SAMPLE | {"top_p": 0.95}, None),
    ("hidden-top-k", "temperature beside the hidden top_k", _SAMPLE | {"temperature": 1.2}, None),
    (None, "top_p, top_k switched off", _SAMPLE | {"top_p": 0.95, "top_k": 0}, None),
    ("top-p-above-one", "top_p in percent", _SAMPLE | {"top_p": 95}, None),
    (None, "top_p 1", _SAMPLE | {"top_p": 1.0}, None),
    (None, "top_p in percent, nothing drawn", LENGTH | {"do_sample": False}, {"top_p": 95}),
    ("temperature-too-high", "temperature 5", _SAMPLE | {"temperature": 5.0}, None),
    ("temperature-too-low", "temperature 0.01", _SAMPLE | {"temperature": 0.01}, None),
    ("temperature-too-low", "temperature 0 with sampling", _SAMPLE | {"temperature": 0.0}, None),
    (None, "temperature 0.7", _SAMPLE | {"temperature": 0.7}, None),
    (None, "temperature 0.1", _SAMPLE | {"temperature": 0.1}, None),
    (None, "temperature 1.5 and min_p", _SAMPLE | {"temperature": 1.5, "min_p": 0.1}, None),
    ("hidden-repetition-penalty", "the model's penalty", LENGTH, {"repetition_penalty": 1.3}),
    (
        "hidden-repetition-penalty",
        "the model's penalty, sampling",
        _SAMPLE,
        {"repetition_penalty": 1.1},
    ),
    (None, "the call's own penalty", LENGTH | {"repetition_penalty": 1.2}, None),
    (
        None,
        "the model's penalty, named in the call",
        LENGTH | {"repetition_penalty": 1.3},
        {"repetition_penalty": 1.3},
    ),
    ("no-eos", "no eos", LENGTH, {"eos_token_id": None}),
    (None, "no eos, a stop string", LENGTH | {"stop_strings": ["."]}, {"eos_token_id": None}),
    (
        "unknown-token-among-eos",
        "eos by a name that is not there",
        LENGTH | {"eos_token_id": [2, 3]},
        None,
    ),
    ("unknown-token-among-eos", "eos unknown alone", LENGTH | {"eos_token_id": 3}, None),
    (None, "eos of two known tokens", LENGTH | {"eos_token_id": [2, 5]}, None),
    ("stop-string-empty", "an empty stop string", LENGTH | {"stop_strings": ["b", ""]}, None),
    ("stop-string-empty", "a stop string of None", LENGTH | {"stop_strings": [None]}, None),
    (None, "two stop strings", LENGTH | {"stop_strings": ["b", "c"]}, None),
    ("no-cache", "the cache off in the call", LENGTH | {"use_cache": False}, None),
    ("no-cache", "the cache off in the model", LENGTH, {"use_cache": False}),
    (None, "the cache off for one token", {"max_new_tokens": 1, "use_cache": False}, None),
    ("refused", "max_new_tokens 0", {"max_new_tokens": 0}, None),
    ("refused", "several greedy sequences", LENGTH | {"num_return_sequences": 2}, None),
    ("refused", "a misspelt argument", LENGTH | {"max_tokens": 9}, None),
    (
        None,
        "several beams, several sequences",
        LENGTH | {"num_return_sequences": 2, "num_beams": 2},
        None,
    ),
    (None, "a penalty and an n-gram block", LENGTH | {"no_repeat_ngram_size": 3}, None),
    (None, "prompt lookup", LENGTH | {"prompt_lookup_num_tokens": 3}, None),
    (None, "typical sampling", _SAMPLE | {"typical_p": 0.9}, None),
):
    _setting(_code, _name, _call, _settings)
_setting("no-seed", "no seed where it is expected", _SAMPLE, repeatable=True)
_setting(None, "a seed where it is expected", _SAMPLE, repeatable=True, seed=3)
_setting(None, "greedy where the same is expected", LENGTH, repeatable=True)


def _loaded(code: str | None, name: str, make) -> None:
    (sound(name) if code is None else faulty(code, name))(make)


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


_loaded("train-mode", "train mode with dropout", lambda: _in_mode(True, attention_dropout=0.1))
_loaded("train-mode", "train mode without dropout", lambda: _in_mode(True))
_loaded(None, "eval mode with dropout", lambda: _in_mode(False, attention_dropout=0.1))
_loaded("float16-on-cpu", "float16", lambda: _in_dtype(torch.float16))
_loaded(None, "bfloat16", lambda: _in_dtype(torch.bfloat16))
_loaded("embedding-size", "fewer embeddings than tokens", lambda: _of_size(-5))
_loaded("embedding-size", "far fewer embeddings than tokens", lambda: _of_size(-150))
_loaded("embedding-size", "more embeddings than tokens", lambda: _of_size(11))
_loaded(None, "as many embeddings as tokens", lambda: _of_size(0))
_loaded(
    "quantized-twice",
    "4 bits of a GGUF file",
    lambda: _recorded(gguf_file="model.Q4_1.gguf", quantization_config="4bit"),
)
_loaded(None, "a GGUF file, not quantized again", lambda: _recorded(gguf_file="model.Q4_1.gguf"))
_loaded("trust-remote-code", "remote code for a Llama", lambda: _recorded(trust_remote_code=True))
_loaded(None, "remote code refused", lambda: _recorded(trust_remote_code=False))


@faulty("prompt-too-long", "a prompt beyond the window")
def _():
    return Call(*plain(), "a " * 200, LENGTH)


@sound("a prompt within the window")
def _():
    return Call(*plain(), "a " * 50, LENGTH)


@faulty("base-model-chat", "messages for a base model")
def _():
    return Call(*plain(), [USER], LENGTH)


@faulty("base-model-chat", "ChatML for a base model")
def _():
    return Call(*plain("byte level"), "<|im_start|>user\nhi<|im_end|>\n", LENGTH)


@sound("questions and answers for a base model")
def _():
    return Call(*plain("byte level"), "Q: What is the capital of Peru?\nA:", LENGTH)


def _decoded(whole: bool, pieces: bool = False) -> Call:
    model, tokenizer = plain("sentencepiece")
    inputs = tensors(tokenizer, "a text")
    new = torch.tensor([tokenizer("go on so").input_ids[1:]])
    output = torch.cat([inputs["input_ids"], new], dim=1)
    length = 0 if whole else inputs["input_ids"].shape[1]
    ids = output[0, length:].tolist()
    each = [[token] for token in ids] if pieces else [ids]
    decoded = [Decoded(one, {}, tokenizer.decode(one)) for one in each]
    return Call(model, tokenizer, inputs, LENGTH, {"output": output, "decoded": decoded})


faulty("prompt-in-output", "the prompt decoded too")(lambda: _decoded(True))
sound("only the new tokens decoded")(lambda: _decoded(False))
faulty("piecewise-decoding", "tokens decoded one by one")(lambda: _decoded(False, pieces=True))


def _made(new: list[int], length: int = 24, **call) -> Call:
    model, tokenizer = plain()
    inputs = tensors(tokenizer, "a text")
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    return Call(model, tokenizer, inputs, {"max_new_tokens": length} | call, {"output": output})


faulty("greedy-loop", "three tokens over and over")(lambda: _made([9, 7, 8] * 6))
faulty("greedy-loop", "a text, then one token over and over")(
    lambda: _made([9, 7, 8, 11, 30, 31, *[12] * 14])
)
sound("no loop: other tokens each time")(lambda: _made([*range(8, 28), 2]))
sound("no loop: a short repetition, then an end")(lambda: _made([9, 7, 9, 7, 9, 7, 2]))
sound("a loop while sampling")(lambda: _made([9, 7, 8] * 6, do_sample=True, top_k=0))
faulty("cut-off", "as long as it may be, no end")(lambda: _made([*range(8, 20)], length=12))
sound("the end comes with the last token")(lambda: _made([*range(8, 19), 2], length=12))


def _beginning(name: str, text: str) -> None:
    sound(name)(lambda: Call(*chat("chatml"), text, LENGTH))


_beginning("a story that ends with somebody's question", "There was a king. He said: why?")
_beginning("an order with an arrow to be completed", "Translate to French: cheese =>")
_beginning("questions and answers to be completed", "Q: 2+2?\nA: 4\nQ: 3+3?\nA:")


def _begins_with(bos: bool, padded: bool = False) -> Call:
    model, tokenizer = plain("sentencepiece")
    made = tensors(tokenizer, TEXTS if padded else "a text", padding=padded, add_special_tokens=bos)
    return Call(model, tokenizer, made, LENGTH)


faulty("missing-bos", "ids without the token that begins texts")(lambda: _begins_with(False))
faulty("missing-bos", "a padded batch without it")(lambda: _begins_with(False, padded=True))
sound("a padded batch that begins as in training")(lambda: _begins_with(True, padded=True))


@sound("a tokenizer that begins texts with nothing")
def _():
    model, tokenizer = plain("unigram")
    return Call(model, tokenizer, tensors(tokenizer, "a text", add_special_tokens=False), LENGTH)


def _with_cache_of(text: str, asked: str) -> Call:
    model, tokenizer = plain()
    with torch.no_grad():
        cache = model(**tensors(tokenizer, text), use_cache=True).past_key_values
    return Call(model, tokenizer, tensors(tokenizer, asked), LENGTH | {"past_key_values": cache})


faulty("cache-already-filled", "the same prompt again, with its cache")(
    lambda: _with_cache_of("a text", "a text")
)
faulty("cache-already-filled", "a shorter prompt with another's cache")(
    lambda: _with_cache_of("a longer text", "a b")
)
sound("a cache of the prompt's beginning")(lambda: _with_cache_of("a text", "a text that goes on"))


def _ends(tokenizer) -> list[int]:
    return [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(OWN_END["chatml"])]


def _thinks(closed: bool = False, **call) -> Call:
    model, tokenizer = chat("chatml")
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=False)
    model = model_for(tokenizer, settings={"eos_token_id": _ends(tokenizer)}, **_LONG)
    text = rendered(tokenizer, [USER], add_generation_prompt=True) + "<think>\n"
    inputs = tensors(tokenizer, text + "\n</think>\n" * closed, add_special_tokens=False)
    new = torch.tensor([[*range(8, 14)]])
    output = torch.cat([inputs["input_ids"], new], dim=1)
    return Call(model, tokenizer, inputs, {"max_new_tokens": 24} | call, {"output": output})


_LONG = {"max_position_embeddings": 1024}
faulty("thinking-greedy", "thinking, greedily")(_thinks)
sound("thinking that is drawn")(lambda: _thinks(do_sample=True, top_k=0))
sound("thinking switched off")(lambda: _thinks(closed=True))


def _with_a_mark(*skips: bool, mark: str = "[CALL]") -> Call:
    model, tokenizer = chat("chatml")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[CALL]"]})
    model = model_for(tokenizer, settings={"eos_token_id": _ends(tokenizer)}, **_LONG)
    text = rendered(tokenizer, [USER], add_generation_prompt=True)
    inputs = tensors(tokenizer, text, add_special_tokens=False)
    ids = [*tokenizer(f"{mark}f(1)", add_special_tokens=False)["input_ids"]]
    output = torch.cat([inputs["input_ids"], torch.tensor([[*ids, tokenizer.eos_token_id]])], dim=1)
    decoded = [
        Decoded(ids, {"skip_special_tokens": skip}, tokenizer.decode(ids, skip_special_tokens=skip))
        for skip in skips
    ]
    return Call(model, tokenizer, inputs, LENGTH, {"output": output, "decoded": decoded})


faulty("needed-token-skipped", "a call's mark, dropped")(lambda: _with_a_mark(True))
sound("a call's mark, kept")(lambda: _with_a_mark(False))
sound("a call's mark, dropped for people and kept for a parser")(lambda: _with_a_mark(True, False))
sound("a turn's mark, dropped")(lambda: _with_a_mark(True, mark="<|im_end|>"))


@sound("only the answer to embeddings, decoded for people")
def _():
    made = _with_a_mark(True, mark="<|im_end|>")
    ids = made.prompt.pop("input_ids")
    made.prompt["inputs_embeds"] = made.model.get_input_embeddings()(ids)
    return made


def _ended(*skips: bool) -> Call:
    made = _with_a_mark(*skips, mark="")
    ids = made.facts["output"][0, made.prompt["input_ids"].shape[1] :].tolist()
    made.facts["decoded"] = [
        Decoded(one.ids, one.kwargs, made.tokenizer.decode(ids, **one.kwargs))
        for one in [Decoded(ids, {"skip_special_tokens": skip}, "") for skip in skips]
    ]
    return made


faulty("end-token-in-text", "an answer with its end")(lambda: _ended(False))
sound("an answer with its end, and without")(lambda: _ended(False, True))


# Settings by who set them, of the wrong kind, without effect, and penalties: one line each.
def _always(_row, _ids):
    return [7, 8]


def _static_cache(places: int) -> dict:
    model, _ = plain("unigram")
    return {"past_key_values": transformers.StaticCache(model.config, max_cache_len=places)}


_TEMPERED = transformers.TemperatureLogitsWarper(0.5)
for _code, _name, _call, _settings in (
    ("sampling-unasked", "the model's own sampling", LENGTH, {"do_sample": True, "top_k": 5}),
    ("sampling-unasked", "a config that leaves sampling open", LENGTH, {"do_sample": True}),
    (None, "sampling that the call asks for", _SAMPLE, {"do_sample": True}),
    (
        None,
        "the model's own sampling, switched off",
        LENGTH | {"do_sample": False},
        _OWN := {"do_sample": True},
    ),
    (
        "beam-sampling",
        "beams in a call that the model makes sample",
        LENGTH | {"num_beams": 2},
        _OWN,
    ),
    ("beam-sampling", "beams and sampling", _SAMPLE | {"num_beams": 2}, None),
    (
        None,
        "beams, the model's own sampling switched off",
        LENGTH | {"num_beams": 2, "do_sample": False},
        _OWN,
    ),
    (None, "one beam and sampling", _SAMPLE | {"num_beams": 1}, None),
    ("one-candidate", "a top-k of 1", _SAMPLE | {"top_k": 1}, None),
    ("one-candidate", "a top-p of 0", _SAMPLE | {"top_p": 0.0}, None),
    (None, "a top-k of 2", _SAMPLE | {"top_k": 2}, None),
    (None, "a small nucleus", _SAMPLE | {"top_p": 0.1}, None),
    ("argument-of-wrong-kind", "sampling off as a text", LENGTH | {"do_sample": "False"}, None),
    ("argument-of-wrong-kind", "a temperature as a text", _SAMPLE | {"temperature": "0.7"}, None),
    ("argument-of-wrong-kind", "a length as a text", {"max_new_tokens": "4"}, None),
    ("argument-of-wrong-kind", "a whole temperature", _SAMPLE | {"temperature": 2}, None),
    ("argument-of-wrong-kind", "a whole penalty", LENGTH | {"repetition_penalty": 2}, None),
    ("argument-of-wrong-kind", "a broken top-k", _SAMPLE | {"top_k": 10.0}, None),
    ("argument-of-wrong-kind", "an end token by its name", LENGTH | {"eos_token_id": "</s>"}, None),
    ("argument-of-wrong-kind", "end tokens by name", LENGTH | {"eos_token_id": ["</s>"]}, None),
    ("argument-of-wrong-kind", "one processor", LENGTH | {"logits_processor": _TEMPERED}, None),
    (
        "argument-of-wrong-kind",
        "a processor's class",
        LENGTH | {"logits_processor": [type(_TEMPERED)]},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a criterion alone",
        LENGTH | {"stopping_criteria": lambda ids, _: False},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a stop word as a criterion",
        LENGTH | {"stopping_criteria": ["###"]},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a streamer's class",
        LENGTH | {"streamer": transformers.TextStreamer},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a list of allowed tokens",
        LENGTH | {"prefix_allowed_tokens_fn": [7]},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a dictionary as config",
        {"generation_config": {"max_new_tokens": 4}},
        None,
    ),
    (
        None,
        "sampling on as a number",
        LENGTH | {"do_sample": 1, "temperature": 1, "top_k": 9},
        None,
    ),
    (None, "a list of one processor", LENGTH | {"logits_processor": [_TEMPERED]}, None),
    (None, "a list of one function", LENGTH | {"stopping_criteria": [lambda ids, _: False]}, None),
    (None, "an end token as a tensor", LENGTH | {"eos_token_id": torch.tensor([2])}, None),
    (
        "setting-without-effect",
        "a negative prompt alone",
        LENGTH | {"negative_prompt_ids": torch.tensor([[9]])},
        None,
    ),
    ("setting-without-effect", "low memory", LENGTH | {"low_memory": True}, None),
    ("setting-without-effect", "groups without beams", LENGTH | {"diversity_penalty": 0.5}, None),
    (
        "setting-without-effect",
        "a token that begins another model's text",
        LENGTH | {"forced_bos_token_id": 5},
        None,
    ),
    ("setting-without-effect", "drafts of nobody", LENGTH | {"num_assistant_tokens": 5}, None),
    (
        "setting-without-effect",
        "scores of which nothing comes back",
        LENGTH | {"output_scores": True},
        None,
    ),
    (
        "setting-without-effect",
        "an end that is pushed after the limit",
        LENGTH | {"exponential_decay_length_penalty": (9, 1.1)},
        None,
    ),
    (
        "setting-without-effect",
        "the end token as a bad word",
        LENGTH | {"bad_words_ids": [[2]]},
        None,
    ),
    (
        None,
        "a negative prompt with guidance",
        LENGTH | {"negative_prompt_ids": torch.tensor([[9]]), "guidance_scale": 1.5},
        None,
    ),
    (
        None,
        "scores in an object",
        LENGTH | {"output_scores": True, "return_dict_in_generate": True},
        None,
    ),
    (
        None,
        "draft tokens of prompt lookup",
        LENGTH | {"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 2},
        None,
    ),
    (
        None,
        "an end that is pushed early",
        LENGTH | {"exponential_decay_length_penalty": (1, 1.1)},
        None,
    ),
    (None, "a bad word", LENGTH | {"bad_words_ids": [[9]]}, None),
    ("beam-settings-ignored", "a length penalty, one beam", LENGTH | {"length_penalty": 2.0}, None),
    ("beam-settings-ignored", "early stopping, one beam", LENGTH | {"early_stopping": True}, None),
    (None, "a length penalty and beams", LENGTH | {"length_penalty": 2.0, "num_beams": 2}, None),
    (None, "a neutral length penalty", LENGTH | {"length_penalty": 1.0}, None),
    (None, "a length penalty of the model's, one beam", LENGTH, {"length_penalty": 2.0}),
    (
        "guidance-without-negative",
        "guidance away from nothing",
        LENGTH | {"guidance_scale": 1.5},
        None,
    ),
    (
        "attentions-not-made",
        "attentions of sdpa",
        LENGTH | {"output_attentions": True, "return_dict_in_generate": True},
        None,
    ),
    ("cache-too-short", "a static cache of few places", LENGTH | _static_cache(6), None),
    (None, "a static cache of enough places", LENGTH | _static_cache(60), None),
    (None, "a static cache that generate makes", LENGTH | {"cache_implementation": "static"}, None),
    (
        "penalty-hits-the-prompt",
        "a penalty on a prompt",
        LENGTH | {"repetition_penalty": 1.5},
        None,
    ),
    (None, "a mild penalty", LENGTH | {"repetition_penalty": 1.1}, None),
    (None, "a neutral penalty", LENGTH | {"repetition_penalty": 1.0}, None),
    ("penalty-rewards", "a penalty below 1", LENGTH | {"repetition_penalty": 0.5}, None),
    (
        "penalty-rewards",
        "a penalty of the encoder's",
        LENGTH | {"encoder_repetition_penalty": 1.5},
        None,
    ),
    (
        None,
        "a penalty of the encoder's that penalizes",
        LENGTH | {"encoder_repetition_penalty": 0.8},
        None,
    ),
    ("end-token-banned", "the end token suppressed", LENGTH | {"suppress_tokens": [2, 9]}, None),
    (
        "end-token-banned",
        "a bias against the end token",
        LENGTH | {"sequence_bias": {(2,): -50.0}},
        None,
    ),
    (None, "other tokens suppressed", LENGTH | {"suppress_tokens": [9]}, None),
    (
        None,
        "the end token suppressed at the beginning",
        LENGTH | {"begin_suppress_tokens": [2]},
        None,
    ),
    (None, "a bias for the end token", LENGTH | {"sequence_bias": {(2,): 5.0}}, None),
    (
        "end-beyond-vocabulary",
        "an end token of a larger model",
        LENGTH | {"eos_token_id": 50256},
        None,
    ),
    (None, "an end token that never comes, on purpose", LENGTH | {"eos_token_id": -1}, None),
    (None, "one of two end tokens of a larger model", LENGTH | {"eos_token_id": [2, 50256]}, None),
    (
        "eos-from-encode",
        "the token that begins texts as an end",
        LENGTH | {"eos_token_id": [1, 9]},
        None,
    ),
    (
        "eos-from-encode",
        "a word in pieces as an end",
        LENGTH | {"eos_token_id": [128, 19, 18]},
        None,
    ),
    (None, "punctuation as ends", LENGTH | {"eos_token_id": [57, 60, 61]}, None),
    (None, "one letter as an end", LENGTH | {"eos_token_id": [2, 9]}, None),
    ("min-beyond-limit", "a minimum above the limit", LENGTH | {"min_new_tokens": 9}, None),
    (
        "min-beyond-limit",
        "a minimum with the prompt, above the hidden limit",
        {"min_length": 90},
        None,
    ),
    (None, "a minimum as large as the limit", LENGTH | {"min_new_tokens": 4}, None),
    (None, "a minimum with the prompt, below the limit", LENGTH | {"min_length": 5}, None),
):
    _setting(_code, _name, _call, _settings)


def _written(new: list[int], name: str | None = None, prompt: str = "a text", **call) -> Call:
    """Return a call whose first row wrote these tokens; name: a chat's, by its template."""
    model, tokenizer = plain() if name is None else chat(name)
    text = prompt if name is None else rendered(tokenizer, [USER], add_generation_prompt=True)
    inputs = tensors(tokenizer, text, add_special_tokens=name is None)
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    return Call(model, tokenizer, inputs, {"max_new_tokens": 24} | call, {"output": output})


_ENDLESS = [*range(8, 32)]
faulty("penalty-hits-the-prompt", "a penalty on a chat's marks, and no end")(
    lambda: _written(_ENDLESS, "chatml", repetition_penalty=1.2)
)
sound("a mild penalty in a chat that ends")(
    lambda: _written([9, 10, 11, chat("chatml")[1].eos_token_id], "chatml", repetition_penalty=1.05)
)
sound("a mild penalty in a story without an end")(
    lambda: _written(_ENDLESS, repetition_penalty=1.1)
)
faulty("ngram-ban-hits-the-prompt", "what the prompt says comes again, and may not")(
    lambda: _written(
        [*tensors(plain()[1], "a tex")["input_ids"][0].tolist(), 9], no_repeat_ngram_size=3
    )
)
sound("an n-gram ban in a text of other words")(
    lambda: _written([*range(30, 40)], no_repeat_ngram_size=3)
)
sound("an n-gram ban, and nothing of the prompt was begun")(
    lambda: _written([9, 10, 9, 10, 9], prompt="b", no_repeat_ngram_size=2)
)
faulty("never-allowed-to-end", "allowed tokens without an end")(
    lambda: _written([7, 8] * 12, prefix_allowed_tokens_fn=_always, do_sample=True, top_k=0)
)
sound("allowed tokens, and an end")(lambda: _written([7, 8, 2], prefix_allowed_tokens_fn=_always))
sound("one token of some that are allowed")(
    lambda: _written([7], prefix_allowed_tokens_fn=_always, max_new_tokens=1)
)
faulty("only-special-tokens", "a row of padding")(lambda: _written([0] * 6))
faulty("only-special-tokens", "an answer of nothing but its end")(
    lambda: _written([chat("chatml")[1].eos_token_id], "chatml")
)
sound("a text that comes to its end at once")(lambda: _written([2]))
sound("a short answer, then its end and padding")(lambda: _written([9, 2, 0, 0]))
sound("a word, over and over")(lambda: _written([9, 9, 9, 2]))


def _ends_at_once(_ids, _scores):
    return True


faulty("stopped-at-once", "a criterion that is true from the start")(
    lambda: _written([9], stopping_criteria=[_ends_at_once])
)
sound("a criterion that is true later")(
    lambda: _written([9, 10, 11], stopping_criteria=[_ends_at_once])
)
sound("a criterion, and one token is all that is asked for")(
    lambda: _written([9], stopping_criteria=[_ends_at_once], max_new_tokens=1)
)
sound("a criterion, and a text that ends at once")(
    lambda: _written([2], stopping_criteria=[_ends_at_once])
)


def _stopped(text: str) -> Call:
    made = _written([9, 10, 60], stop_strings=["."])
    made.facts["decoded"] = [Decoded([9, 10, 60], {}, text)]
    return made


faulty("stop-string-in-text", "an answer with its stop string")(lambda: _stopped("on."))
sound("an answer without its stop string")(lambda: _stopped("on"))

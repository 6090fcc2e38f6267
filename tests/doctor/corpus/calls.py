"""What calls to `generate` are made of: tiny random models, small tokenizers, published templates.

`faulty(code, name)` and `sound(name)` register a function that returns a Call.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    PreTrainedTokenizerFast,
)

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


def either(code: str | None, name: str, make) -> None:
    (sound(name) if code is None else faulty(code, name))(make)


def written(new: list[int], length: int = 24, **call) -> Call:
    model, tokenizer = plain()
    inputs = tensors(tokenizer, "a text")
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    return Call(model, tokenizer, inputs, {"max_new_tokens": length} | call, {"output": output})


LONG = {"max_position_embeddings": 1024}


# Settings by who set them, of the wrong kind, without effect, and penalties: one line each.
def always(_row, _ids):
    return [7, 8]

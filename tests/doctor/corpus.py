"""Calls to `generate`, by name: faulty ones with the code expected of them, and sound ones.

FAULTY maps a name to (code, make), SOUND to make; `make()` returns a Call. The models are tiny and
random; the templates are published formats, the tokenizers one small one of each kind.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
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


_ZEROS = torch.tensor([[9, 8, 7, 3, 3, 3], [9, 8, 7, 6, 5, 9]])


@faulty("padding-side", "rows that are filled up with another special token on the right")
def _():
    model, tokenizer = plain("unigram")
    return Call(model, tokenizer, _ZEROS, LENGTH)


@sound("one row that ends in a special token")
def _():
    model, tokenizer = plain("unigram")
    return Call(model, tokenizer, _ZEROS[:, [0, 1, 2, 5]], LENGTH)


@sound("a row that ends in the same word twice")
def _():
    model, tokenizer = plain("unigram")
    return Call(model, tokenizer, _ZEROS + 10, LENGTH)


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


def _passed(code: str | None, name: str, step: Forward, ids=None, **options) -> None:
    """Register a forward pass of one's own beside a sound call."""

    def make():
        model, tokenizer = plain("unigram", settings={"eos_token_id": 2}, **options)
        return Call(model, tokenizer, "a text", LENGTH, {"forwards": [step]})

    (sound(name) if code is None else faulty(code, name))(make)


_READ = torch.tensor([[9, 8, 7, 6, 5, 9]])
_NEXT = torch.tensor([[4]])
_RIGHT = torch.tensor([[9, 8, 7, 0], [9, 8, 7, 6]])
_RIGHT_MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
_NO_LABEL = _RIGHT.masked_fill(_RIGHT_MASK == 0, -100)
_TURN = torch.arange(20)[None] + 3
_BESIDE = {"has_cache": True, "cached": 6}
_ANOTHER = torch.cat([_READ[:, :5], _NEXT, _NEXT], dim=1)
for _code, _name, _step in (
    ("text-fed-again", "all ids, beside their cache", Forward(_READ, fed=_READ, **_BESIDE)),
    (
        "text-fed-again",
        "all ids and a new one, beside a cache",
        Forward(torch.cat([_READ, _NEXT], dim=1), fed=_READ, **_BESIDE),
    ),
    (
        "cache-of-another-prompt",
        "another prompt with the same beginning beside a cache",
        Forward(_TURN[:, :18], fed=_TURN[:, [*range(15), 1, 1, 1]], has_cache=True, cached=18),
    ),
    (
        None,
        "a next turn that begins alike",
        Forward(_TURN[:, [0, 1, 2, 9, 9, 8]], fed=_TURN[:, :18], has_cache=True, cached=18),
    ),
    (None, "other ids beside a cache", Forward(_ANOTHER, fed=_READ, **_BESIDE)),
    (None, "a new token beside a cache", Forward(_NEXT, **_BESIDE)),
    (
        "positions-start-again",
        "a position of 0 beside a cache",
        Forward(_NEXT, position_ids=torch.tensor([[0]]), **_BESIDE),
    ),
    (
        "positions-start-again",
        "positions that stay, beside a mask",
        Forward(_NEXT, torch.ones(1, 7).long(), torch.tensor([[5]]), **_BESIDE),
    ),
    (
        None,
        "a position after the cache",
        Forward(_NEXT, position_ids=torch.tensor([[6]]), **_BESIDE),
    ),
    (
        None,
        "a position after a padded cache",
        Forward(_NEXT, torch.tensor([[0, 0, 1, 1, 1, 1, 1]]), torch.tensor([[4]]), **_BESIDE),
    ),
    (
        None,
        "a position further on: the cache dropped some",
        Forward(_NEXT, position_ids=torch.tensor([[60]]), **_BESIDE),
    ),
    (
        "mask-does-not-grow",
        "the prompt's mask beside a longer text",
        Forward(_READ, torch.ones(1, 4).long()),
    ),
    (
        "mask-does-not-grow",
        "a new token's mask beside a cache",
        Forward(_NEXT, torch.ones(1, 1).long(), **_BESIDE),
    ),
    (None, "a mask of cache and token", Forward(_NEXT, torch.ones(1, 7).long(), **_BESIDE)),
    (None, "a mask of the text", Forward(_READ, torch.ones(1, 6).long())),
    (
        "cache-not-fed-back",
        "one token, and the whole text's mask",
        Forward(_NEXT, torch.ones(1, 7).long()),
    ),
    (
        None,
        "one token, and a state of another kind",
        Forward(_NEXT, torch.ones(1, 7).long(), has_cache=True),
    ),
    (
        "padding-in-the-loss",
        "ids as labels, padding and all",
        Forward(_RIGHT, _RIGHT_MASK, labels=_RIGHT),
    ),
    (None, "labels without padding", Forward(_RIGHT, _RIGHT_MASK, labels=_NO_LABEL)),
    (None, "labels of a text", Forward(_READ, torch.ones(1, 6).long(), labels=_READ)),
    (
        "labels-shifted-twice",
        "labels moved by one",
        Forward(_READ, labels=torch.cat([_READ[:, 1:], _NEXT], dim=1)),
    ),
    (
        None,
        "labels of one token again and again",
        Forward(torch.full((1, 6), 9), labels=torch.full((1, 6), 9)),
    ),
    (
        "logits-of-padding",
        "the last place of rows padded on the right",
        Forward(_RIGHT, _RIGHT_MASK, reads_last=True),
    ),
    (None, "all places of rows padded on the right", Forward(_RIGHT, _RIGHT_MASK)),
    ("no-mask", "a pass of padded rows without a mask", Forward(_RIGHT.flip(1))),
    (None, "a pass of rows padded on the right", Forward(_RIGHT)),
    (None, "a pass of rows of one length", Forward(_RIGHT[:, :3])),
    (
        "loop-past-the-end",
        "tokens after the end",
        Forward(_NEXT, written=((8,), (2,), (7,), (9,)), **_BESIDE),
    ),
    (
        "loop-past-the-end",
        "tokens after the end of all rows",
        Forward(_RIGHT[:, :1], written=((2, 8), (7, 2), (7, 9), (7, 5)), **_BESIDE),
    ),
    (None, "a row that has ended", Forward(_NEXT, written=((2, 8), (7, 9), (7, 9)), **_BESIDE)),
    (
        None,
        "rows that have ended, filled up",
        Forward(_NEXT, written=((2, 8), (0, 2), (0, 0), (0, 0)), **_BESIDE),
    ),
    (None, "an end that is read back", Forward(_NEXT, written=((8,), (2,)), **_BESIDE)),
    (
        "forward-argument-unknown",
        "a cache under its old name",
        Forward(_NEXT, names=("input_ids", "past")),
    ),
    (
        "forward-argument-unknown",
        "a misspelt mask",
        Forward(_READ, names=("input_ids", "attention_masks")),
    ),
    (
        None,
        "arguments that go further down",
        Forward(_READ, names=("input_ids", "num_items_in_batch", "output_attentions")),
    ),
):
    _passed(_code, _name, _step)


def _in_train_mode(learns: bool) -> Call:
    model, tokenizer = plain("unigram", settings={}, attention_dropout=0.1)
    model.train(not learns)
    step = Forward(_READ, torch.ones(1, 6).long(), learns=learns)
    return Call(model, tokenizer, "a text", LENGTH, {"forwards": [step]})


faulty("train-mode", "dropout in a loop of one's own")(lambda: _in_train_mode(False))


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


def _read_by(code: str | None, name: str, start=None, encoded_by=None, **kwargs) -> None:
    """Register what was decoded of an output from some place on, with some arguments."""

    def make():
        model, tokenizer = plain("unigram")
        prompts = ["ab", "a longer text"]
        inputs = tensors(tokenizer, prompts, padding=True)
        new = torch.tensor([tokenizer("go on so").input_ids] * 2)
        output = torch.cat([inputs["input_ids"], new], dim=1)
        at = inputs["input_ids"].shape[1] if start is None else start(inputs, prompts)
        ids = output[0, at:].tolist()
        text = tokenizer.decode(ids, skip_special_tokens=True)
        other = None if encoded_by is None else encoded_by()
        shown = Decoded(ids, kwargs, text, tokenizer=tokenizer)
        facts = {"output": output, "decoded": [shown], "encoded_by": other or tokenizer}
        return Call(model, tokenizer, inputs, LENGTH, facts)

    (sound(name) if code is None else faulty(code, name))(make)


_SKIP = {"skip_special_tokens": True}
_MISSPELT = {"skip_special_token": True}
_read_by("decode-argument-unknown", "a misspelt argument of decode", **_MISSPELT)
_read_by("decode-argument-unknown", "an argument of encode", add_special_tokens=False)
_read_by(None, "decode with arguments of its own", clean_up_tokenization_spaces=False, **_SKIP)
_read_by(None, "decode with an argument of another tokenizer", group_tokens=True, **_SKIP)
_read_by("decoded-by-another-tokenizer", "decoded by another model's", encoded_by=byte_level)
_read_by(None, "decoded by a second one of the same", encoded_by=unigram, **_SKIP)
_read_by(
    "answer-cut-elsewhere",
    "cut at the row's own length",
    lambda inputs, prompts: int(inputs["attention_mask"][0].sum()),
)
_read_by(None, "cut where the new tokens begin", **_SKIP)
_read_by(
    None,
    "cut after the first new token",
    lambda inputs, prompts: inputs["input_ids"].shape[1] + 1,
    **_SKIP,
)


def _cleaned(code: str | None, name: str, text: str) -> None:
    def make():
        model, tokenizer = plain("byte level")
        inputs = tensors(tokenizer, "a text")
        new = torch.tensor([tokenizer("f(a , b)").input_ids])
        output = torch.cat([inputs["input_ids"], new], dim=1)
        kwargs = {"clean_up_tokenization_spaces": True}
        facts = {"output": output, "decoded": [Decoded(new[0].tolist(), kwargs, text)]}
        return Call(model, tokenizer, inputs, LENGTH, facts)

    (sound(name) if code is None else faulty(code, name))(make)


_cleaned("spaces-cleaned-up", "spaces taken away in decoding", "f(a, b)")
_cleaned(None, "spaces that stayed", "f(a , b)")


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

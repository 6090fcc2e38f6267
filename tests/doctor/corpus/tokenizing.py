"""Calls of a tokenizer."""

import torch

from llmcourse.doctor.case import TemplateCall, TokenizerCall
from tests.doctor.corpus.calls import (
    KINDS,
    LENGTH,
    LONG,
    USER,
    Call,
    faulty,
    model_for,
    sound,
)
from tests.doctor.corpus.chats import chatted


def _tokenized(text, kind: str = "byte level", side: str = "right", **options) -> Call:
    tokenizer = KINDS[kind]()
    tokenizer.padding_side, tokenizer.truncation_side = "left", side
    made = tokenizer(text, return_tensors="pt", **options)
    inputs = {name: made[name] for name in ("input_ids", "attention_mask")}
    facts = {"tokenizer_calls": [TokenizerCall(text, options, made["input_ids"].tolist())]}
    return Call(model_for(tokenizer, settings={}, **LONG), tokenizer, inputs, LENGTH, facts)


_CUT = {"truncation": True, "max_length": 20}

_LONG_TEXT = "A long story of a king and a queen."

faulty("prompt-truncated", "a question that was cut off")(
    lambda: _tokenized(_LONG_TEXT + "Question: who?", **_CUT)
)

faulty("prompt-truncated", "a question that max_length cut off by itself")(
    lambda: _tokenized(_LONG_TEXT + "Question: who?", max_length=_CUT["max_length"])
)

sound("a story that was cut")(lambda: _tokenized(_LONG_TEXT, **_CUT))

sound("a story that was cut on the left")(
    lambda: _tokenized(_LONG_TEXT + "Who?", side="left", **_CUT)
)

sound("a question that was short enough")(lambda: _tokenized("Who?", **_CUT))


def _cut_chat(length: int) -> Call:
    made = chatted([USER])
    made.tokenizer.truncation_side = "right"
    options = {"add_generation_prompt": True, "truncation": True, "max_length": length}
    ids = made.tokenizer.apply_chat_template([USER], **options)["input_ids"]
    made.prompt = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))}
    made.facts["template_calls"] = [TemplateCall([USER], options, {"input_ids": ids})]
    return made


faulty("prompt-truncated", "a chat that lost its header")(lambda: _cut_chat(30))

sound("a chat that was short enough")(lambda: _cut_chat(500))

faulty("text-pair", "a question as a second text")(
    lambda: _tokenized("Lima is a city.", text_pair="Where is it?")
)

sound("a single text")(lambda: _tokenized("Lima is a city. Where is it?", text_pair=None))

faulty("text-in-pieces", "a text taken for a list")(lambda: _tokenized(list("hello"), padding=True))

faulty("text-in-pieces", "words that lose their spaces")(
    lambda: _tokenized(["what", "is", "it"], is_split_into_words=True)
)

sound("words, a prompt each")(lambda: _tokenized(["hello", "bye", "what", "who"], padding=True))

sound("short texts")(lambda: _tokenized(["a b", "b", "c", "d"], padding=True))

faulty("padding-nobody-needs", "a text that is padded far")(
    lambda: _tokenized("Lima", padding="max_length", max_length=64)
)

sound("rows to a round number")(
    lambda: _tokenized("Lima is it", padding=True, pad_to_multiple_of=8)
)

sound("one long row and a short one")(lambda: _tokenized([_LONG_TEXT * 3, "Lima"], padding=True))

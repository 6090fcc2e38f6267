"""Another model's tokenizer, and tokens that were never trained."""

import torch
from transformers import (
    TextIteratorStreamer,
    TextStreamer,
)

from llmcourse.doctor.case import Decoded
from tests.doctor.corpus.calls import (
    LENGTH,
    Call,
    byte_level,
    faulty,
    model_for,
    plain,
    sound,
    tensors,
    unigram,
    written,
)
from tests.support.families import build


def _with_rows(rows: int) -> Call:
    tokenizer = unigram()
    ids = {"eos_token_id": 2, "pad_token_id": 0, "bos_token_id": 1}
    return Call(build("llama", vocab_size=rows, **ids), tokenizer, "a text", LENGTH)


def _named(model_name: str, name: str, begin: int = 1, end: int = 2) -> Call:
    tokenizer = unigram()
    model = model_for(tokenizer, settings={})
    model.config._name_or_path, tokenizer.name_or_path = model_name, name
    model.name_or_path = model_name
    model.config.bos_token_id, model.config.eos_token_id = begin, end
    model.generation_config.eos_token_id = end
    return Call(model, tokenizer, "a text", LENGTH)


def _read_by(tokenizer, guess: bool = False) -> Call:
    made = written([9, 7, 8, 11, 2])
    ids = made.facts["output"][0, -5:].tolist()
    made.facts["decoded"] = [Decoded(ids, {}, "", 7, "a.py", tokenizer)]
    made.facts["tokenizer_is_a_guess"] = guess
    return made


def _streamed(tokenizer, **call) -> Call:
    model, own = plain()
    streamer = TextStreamer(tokenizer or own, skip_prompt=True, skip_special_tokens=True)
    return Call(model, own, "a text", LENGTH | {"streamer": streamer})


_FOREIGN = "tokenizer-of-another-model"

faulty(_FOREIGN, "a tokenizer of few tokens")(lambda: _with_rows(5000))

faulty(_FOREIGN, "a streamer of another tokenizer")(lambda: _streamed(byte_level()))

faulty(_FOREIGN, "other names, other begins and ends")(lambda: _named("a/llama", "gpt2", 7, 8))

sound("a streamer of the same tokenizer, loaded again")(lambda: _streamed(unigram()))

sound("a tokenizer under the base model's name")(lambda: _named("me/tuned", "base"))

sound("another end than the base model's")(lambda: _named("me/tuned", "base", 1, 8))

faulty(_FOREIGN, "an output that another tokenizer decodes")(lambda: _read_by(byte_level()))

sound("an output that the same tokenizer decodes, loaded again")(lambda: _read_by(unigram()))

sound("an output that some tokenizer decodes, where the prompt's is a guess")(
    lambda: _read_by(byte_level(), guess=True)
)

sound("a table with rows to a round number")(lambda: _with_rows(1000))


def _with_marks(trained: bool, mark: str = "<note>", many: int = 1) -> Call:
    tokenizer = unigram()
    model = model_for(tokenizer, settings={})
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    tokenizer.add_tokens(["<note>", "<other>"][:many], special_tokens=True)
    model.resize_token_embeddings(len(tokenizer))
    with torch.no_grad():
        if trained:
            torch.nn.init.normal_(model.get_input_embeddings().weight[-many:])
    return Call(model, tokenizer, f"{mark} a text", LENGTH)


faulty("untrained-token", "a token that was added")(lambda: _with_marks(False))

faulty("untrained-token", "two tokens that were added")(lambda: _with_marks(False, many=2))

sound("an added token that was trained")(lambda: _with_marks(True))

sound("an added token that the prompt has not")(lambda: _with_marks(False, mark="a"))

faulty("pad-token-chosen", "the padding over and over")(lambda: written([0] * 12))

faulty("pad-token-chosen", "padding in the middle")(lambda: written([9, 7, 8, 0, 11, 30, 2]))

sound("padding after the end")(lambda: written([9, 7, 8, 2, 0, 0, 0]))

sound("padding after a stop string")(lambda: written([9, 7, 8, 0, 0], stop_strings=["b"]))


def _assisted(assistant=None, **call) -> Call:
    model, tokenizer = plain(settings={})
    assistant = model if assistant == "itself" else assistant
    if assistant is not None:
        call["assistant_model"] = assistant
    return Call(model, tokenizer, "a text", LENGTH | call)


def _small(training: bool = False, tokens: int | None = None):
    model = model_for(unigram(), settings={}, num_hidden_layers=1)
    if tokens is not None:
        model.generation_config.num_assistant_tokens = tokens
    return model.train(training)


_NO_GAIN, _IGNORED = "assistant-without-gain", "assistant-settings-ignored"

faulty(_NO_GAIN, "the model as its own assistant")(lambda: _assisted("itself"))

faulty(_NO_GAIN, "an assistant as large")(lambda: _assisted(model_for(unigram(), settings={})))

faulty(_NO_GAIN, "an assistant in train mode")(lambda: _assisted(_small(training=True)))

faulty(_IGNORED, "assistant tokens in the call")(
    lambda: _assisted(_small(), num_assistant_tokens=3)
)

faulty(_IGNORED, "assistant tokens without an assistant")(lambda: _assisted(num_assistant_tokens=3))

sound("a smaller assistant")(lambda: _assisted(_small()))

sound("assistant tokens of the assistant")(lambda: _assisted(_small(tokens=3)))

sound("assistant tokens on both")(lambda: _assisted(_small(tokens=3), num_assistant_tokens=3))


def _in_a_queue(new: list[int], read: bool = False, timeout=None, **call) -> Call:
    model, tokenizer = plain()
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=timeout, **_SKIPS)
    for _ in range(0 if read else len(new)):
        streamer.text_queue.put("a")
    inputs = tensors(tokenizer, "a text")
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    call = LENGTH | {"streamer": streamer} | call
    return Call(model, tokenizer, inputs, call, {"output": output} if new else {})


_SKIPS = {"skip_special_tokens": True}

faulty("stream-read-late", "a queue that nobody read")(lambda: _in_a_queue([9, 7, 8, 11, 2]))

sound("a queue that was read")(lambda: _in_a_queue([9, 7, 8, 11, 2], read=True))

sound("a queue of one piece")(lambda: _in_a_queue([2]))

faulty("stream-left-waiting", "a call that fails, read without a timeout")(
    lambda: _in_a_queue([], max_tokens=3)
)

sound("a stream without a timeout, and nothing fails")(lambda: _in_a_queue([]))


def _shown(new: list[int], **options) -> Call:
    made = written(new)
    made.call["streamer"] = TextStreamer(made.tokenizer, skip_prompt=True, **options)
    return made


faulty("marks-in-the-stream", "an end token that is streamed")(lambda: _shown([9, 7, 2]))

sound("an end token that is skipped")(lambda: _shown([9, 7, 2], **_SKIPS))


def _closed(*texts: str, **special) -> Call:
    tokenizer = unigram(**special)
    tokenizer.padding_side = "left"
    made = tensors(tokenizer, list(texts), padding=True)
    return Call(model_for(tokenizer), tokenizer, made, LENGTH)


_ENDS = "eos-in-prompt"

faulty(_ENDS, "a prompt that is closed")(lambda: _closed("a text</s>"))

faulty(_ENDS, "a batch of closed prompts")(lambda: _closed("ab</s>", "a longer text</s>"))

sound("examples that are closed, and a question")(lambda: _closed("ab</s>cd</s>ef"))

sound("turns that end so, where texts begin so too")(
    lambda: _closed("a text</s>", bos_token="</s>")
)

sound("a padded batch that is not closed")(lambda: _closed("ab", "a longer text"))


def _laid_out(**places) -> Call:
    tokenizer = unigram()
    model = model_for(tokenizer, settings={})
    model.hf_device_map = places
    return Call(model, tokenizer, "a text", LENGTH)


_ELSEWHERE = "layers-elsewhere"

faulty(_ELSEWHERE, "layers on the disk")(lambda: _laid_out(a=0, b="cpu", c="disk"))

faulty(_ELSEWHERE, "layers beside the graphics card")(lambda: _laid_out(a=0, b="cpu"))

sound("layers on two graphics cards")(lambda: _laid_out(a=0, b=1))

sound("all layers on the processor")(lambda: _laid_out(a="cpu"))

sound("a tokenizer's end that is the padding, and is not heeded")(
    lambda: Call(*_padded_with_the_end())
)


def _padded_with_the_end() -> tuple:
    made = written([9, 2, 8, 11], eos_token_id=5, pad_token_id=2)
    made.tokenizer.pad_token = made.tokenizer.eos_token
    return made.model, made.tokenizer, made.prompt, made.call, made.facts


def _asked_plainly(text: str, new: int = 20, limit: int = 20, **call) -> Call:
    model, tokenizer = plain("byte level")
    inputs = tensors(tokenizer, text)
    output = torch.cat([inputs["input_ids"], torch.arange(70, 70 + new)[None]], dim=1)
    call = {"max_new_tokens": limit} | call
    return Call(model, tokenizer, inputs, call, {"output": output})


faulty("base-model-never-ends", "a question to a model without a template")(
    lambda: _asked_plainly("What is the capital of Peru?")
)

faulty("base-model-never-ends", "an order to a model without a template")(
    lambda: _asked_plainly("Translate this into French: cheese is good.")
)

sound("a story by a model without a template")(lambda: _asked_plainly("There was once a king"))

sound("examples to be completed by such a model")(
    lambda: _asked_plainly("Q: 2+2?\nA: 4\nQ: 3?\nA:")
)

sound("an answer of such a model that ends before the limit")(
    lambda: _asked_plainly("What is the capital of Peru?", new=12)
)

sound("a question to such a model, and a stop string")(
    lambda: _asked_plainly("What is the capital of Peru?", stop_strings=["\n"])
)


@sound("questions that are padded behind a cache that they share")
def _():
    model, tokenizer = plain(settings={}, kind="unigram")
    tokenizer.pad_token = tokenizer.eos_token
    shared = tensors(tokenizer, "a text that is shared")["input_ids"]
    with torch.no_grad():
        cache = model(shared, use_cache=True).past_key_values
    own = tokenizer("ab").input_ids
    ids = torch.tensor([[*shared[0].tolist(), tokenizer.eos_token_id, *own]])
    mask = (torch.arange(ids.shape[1])[None] != shared.shape[1]).long()
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Call(model, tokenizer, inputs, LENGTH | {"past_key_values": cache})

"""How texts end: loops, limits, ends and stop strings."""

import copy

import torch

from llmcourse.doctor.case import Decoded, Streamed
from tests.doctor.corpus.calls import (
    LENGTH,
    LONG,
    OWN_END,
    TEXTS,
    USER,
    Call,
    always,
    byte_level,
    chat,
    faulty,
    model_for,
    plain,
    rendered,
    sound,
    tensors,
    written,
)

faulty("greedy-loop", "three tokens over and over")(lambda: written([9, 7, 8] * 6))

faulty("greedy-loop", "a text, then one token over and over")(
    lambda: written([9, 7, 8, 11, 30, 31, *[12] * 14])
)

sound("no loop: other tokens each time")(lambda: written([*range(8, 28), 2]))

sound("no loop: a short repetition, then an end")(lambda: written([9, 7, 9, 7, 9, 7, 2]))

sound("a loop while sampling")(lambda: written([9, 7, 8] * 6, do_sample=True, top_k=0))

faulty("cut-off", "as long as it may be, no end")(lambda: written([*range(8, 20)], length=12))

sound("the end comes with the last token")(lambda: written([*range(8, 19), 2], length=12))


def answered(new: int, length: int, rows: tuple[bool, ...] = (), **call) -> Call:
    """An answer of so many tokens in a chat; rows: decoded with the prompt, or without it."""
    model, tokenizer = chat("chatml")
    text = rendered(tokenizer, [USER], add_generation_prompt=True)
    inputs = tensors(tokenizer, text, add_special_tokens=False)
    output = torch.cat([inputs["input_ids"], torch.arange(70, 70 + new)[None]], dim=1)
    starts = [0 if whole else inputs["input_ids"].shape[1] for whole in rows]
    each = [output[0, start:].tolist() for start in starts]
    decoded = [Decoded(ids, {}, tokenizer.decode(ids)) for ids in each]
    facts = {"output": output, "decoded": decoded}
    return Call(model, tokenizer, inputs, {"max_new_tokens": length} | call, facts)


faulty("cut-off", "an answer that is as long as it may be")(lambda: answered(12, 12))

sound("one token is asked for")(lambda: answered(1, 1))

sound("as many tokens at least as at most")(lambda: answered(12, 12, min_new_tokens=12))

faulty("prompt-in-output", "a question decoded with its answer")(lambda: answered(4, 24, (True,)))

sound("the whole row for a log, then the answer")(lambda: answered(4, 24, (True, False)))


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


def _thinks(closed: bool = False, ends: bool = False, **call) -> Call:
    model, tokenizer = chat("chatml")
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=False)
    model = model_for(tokenizer, settings={"eos_token_id": _ends(tokenizer)}, **LONG)
    text = rendered(tokenizer, [USER], add_generation_prompt=True) + "<think>\n"
    inputs = tensors(tokenizer, text + "\n</think>\n" * closed, add_special_tokens=False)
    new = [*range(8, 14), *tokenizer("</think>").input_ids * ends]
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    return Call(model, tokenizer, inputs, {"max_new_tokens": 24} | call, {"output": output})


faulty("thinking-greedy", "thinking, greedily")(_thinks)

sound("thinking that is drawn")(lambda: _thinks(do_sample=True, top_k=0))

sound("thinking switched off")(lambda: _thinks(closed=True))

sound("a thought that came to its end greedily")(lambda: _thinks(ends=True))


def _with_a_mark(*skips: bool, mark: str = "[CALL]") -> Call:
    model, tokenizer = chat("chatml")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[CALL]"]})
    model = model_for(tokenizer, settings={"eos_token_id": _ends(tokenizer)}, **LONG)
    text = rendered(tokenizer, [USER], add_generation_prompt=True)
    inputs = tensors(tokenizer, text, add_special_tokens=False)
    ids = [*tokenizer(f"{mark}f(1)", add_special_tokens=False)["input_ids"]]
    output = torch.cat([inputs["input_ids"], torch.tensor([[*ids, tokenizer.eos_token_id]])], dim=1)
    decoded = [
        Decoded(ids, {"skip_special_tokens": skip}, tokenizer.decode(ids, skip_special_tokens=skip))
        for skip in skips
    ]
    return Call(model, tokenizer, inputs, LENGTH, {"output": output, "decoded": decoded})


def _wrote(name: str, code: str | None, text: str) -> None:
    def make():
        made = answered(4, 24, (False,))
        made.facts["decoded"] = [Decoded(made.facts["decoded"][0].ids, {}, text)]
        return made

    (sound(name) if code is None else faulty(code, name))(make)


_wrote("JSON in a fence", "json-in-a-fence", '```json\n{"city": "Lima"}\n```')

_wrote("JSON alone", None, '{"city": "Lima"}')

_wrote("code in a fence", None, "```python\nprint(1)\n```")

faulty("needed-token-skipped", "a call's mark, dropped")(lambda: _with_a_mark(True))

sound("a call's mark, kept")(lambda: _with_a_mark(False))

sound("a call's mark, dropped for people and kept for a parser")(lambda: _with_a_mark(True, False))

sound("a turn's mark, dropped")(lambda: _with_a_mark(True, mark="<|im_end|>"))


def _cut_at_an_end(of_prompt: bool, and_answer: bool = False) -> Call:
    """A row decoded up to its first end token, which is the prompt's, or the answer's alone."""
    made = answered(4, 24)
    row, new = made.facts["output"][0].tolist(), made.prompt["input_ids"].shape[1]
    first = next(n for n, one in enumerate(row) if one in made.model.generation_config.eos_token_id)
    cuts = [row[:first] if of_prompt else row[new:], *([row[new:]] if and_answer else [])]
    made.facts["decoded"] = [Decoded(cut, {}, made.tokenizer.decode(cut)) for cut in cuts]
    return made


faulty("cut-at-the-prompts-end-token", "a row up to its first end")(lambda: _cut_at_an_end(True))

sound("an answer up to its end")(lambda: _cut_at_an_end(False))

sound("a first turn, shown beside the answer")(lambda: _cut_at_an_end(True, and_answer=True))


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


def _with_an_added(mark: str, special: bool = False) -> Call:
    made = _ended(True)
    tokenizer = copy.deepcopy(made.tokenizer)
    tokenizer.add_tokens([mark], special_tokens=special)
    ids = [*made.facts["decoded"][0].ids[:3], tokenizer.convert_tokens_to_ids(mark)]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    skips = {"skip_special_tokens": True}
    made.facts["decoded"] = [Decoded(ids, skips, text, tokenizer=tokenizer)]
    return made


faulty("end-token-in-text", "a mark that was added as a word")(lambda: _with_an_added("[SEP]"))

sound("a mark that was added as a special token")(lambda: _with_an_added("[SEP]", special=True))
sound("a tag that the answer is to have")(lambda: _with_an_added("<answer>"))


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
    lambda: _written([7, 8] * 12, prefix_allowed_tokens_fn=always, do_sample=True, top_k=0)
)

sound("allowed tokens, and an end")(lambda: _written([7, 8, 2], prefix_allowed_tokens_fn=always))

sound("one token of some that are allowed")(
    lambda: _written([7], prefix_allowed_tokens_fn=always, max_new_tokens=1)
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


def _ending_at(end: str, text: str, **call) -> Call:
    """Return a call whose text was to end at the token for `end`; "he" is another token."""
    tokenizer = byte_level()
    tokenizer.add_tokens(["he"], special_tokens=False)
    model = model_for(tokenizer)
    (token,) = tokenizer(end, add_special_tokens=False)["input_ids"]
    new = tokenizer(text, add_special_tokens=False)["input_ids"]
    inputs = tensors(tokenizer, "a text")
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    call = {"max_new_tokens": 24, "eos_token_id": token} | call
    return Call(model, tokenizer, inputs, call, {"output": output})


faulty("end-inside-a-token", "a letter that ends a text, inside another token")(
    lambda: _ending_at("e", "there")
)

sound("a letter that ends a text where it comes alone")(lambda: _ending_at("e", "a b e"))

sound("a letter that is no end")(lambda: _ending_at("e", "there", eos_token_id=2))


def _goes_on(text: str, prompt: str = "Q: a\nA: b\nQ: c\nA:", **call) -> Call:
    """Return a call that goes on with what its prompt is made of."""
    model, tokenizer = plain("byte level")
    inputs = tensors(tokenizer, prompt)
    new = tokenizer(text, add_special_tokens=False)["input_ids"]
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    return Call(model, tokenizer, inputs, {"max_new_tokens": 64} | call, {"output": output})


faulty("next-turn-written", "a next question")(lambda: _goes_on(" d\nQ: e\nA: f"))

faulty("next-turn-written", "the other's next turn")(
    lambda: _goes_on(" Hello.\nHuman: And you?", "\n\nHuman: hi\nAssistant:")
)

sound("an answer that ends before the next question")(lambda: _goes_on(" d\n\nIt is so."))

sound("a stop string, the label of the next question")(
    lambda: _goes_on(" d\nQ:", stop_strings=["\nQ:"])
)

sound("a list of things with a colon")(
    lambda: _goes_on(" a river.\nLength: 777 km", "Tell me about the Seine.\nNote: be short.\n")
)


def _stopped_in_a_chat(text: str, kind: str = "chatml", **call) -> Call:
    model, tokenizer = chat(kind) if kind else plain("byte level")
    prompt = rendered(tokenizer, [USER], add_generation_prompt=True) if kind else "a text"
    inputs = tensors(tokenizer, prompt, add_special_tokens=False)
    new = tokenizer(text, add_special_tokens=False)["input_ids"]
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    call = {"max_new_tokens": 64, "stop_strings": ["\n\n"]} | call
    return Call(model, tokenizer, inputs, call, {"output": output})


faulty("stopped-at-a-blank-line", "a list that was to come in a chat")(
    lambda: _stopped_in_a_chat("Here are the steps:\n\n")
)

sound("a line's end stops in a chat")(lambda: _stopped_in_a_chat("one line\n", stop_strings=["\n"]))

sound("a blank line stops an answer of a base model")(
    lambda: _stopped_in_a_chat("Lima.\n\n", kind="")
)

_STEPS = "Q: 1 + 1?\nA: Add.\n\nIt is 2.\n\nQ: 2 + 2?\nA: Add.\n\nIt is 4.\n\nQ: 3 + 3?\nA:"

_ALONE = "Q: 1 + 1?\nA: 2\n\nQ: 2 + 2?\nA: 4\n\nQ: 3 + 3?\nA:"


def _stopped_behind(prompt: str):
    model, tokenizer = plain("byte level")
    inputs = tensors(tokenizer, prompt)
    new = tokenizer(" Add.\n\n", add_special_tokens=False)["input_ids"]
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    call = {"max_new_tokens": 64, "stop_strings": ["\n\n"]}
    return Call(model, tokenizer, inputs, call, {"output": output})


faulty("stopped-at-a-blank-line", "examples of several paragraphs")(lambda: _stopped_behind(_STEPS))

sound("examples with a blank line between them alone")(lambda: _stopped_behind(_ALONE))

sound("a blank line that never came")(lambda: _stopped_in_a_chat("Lima.<|im_end|>"))


def _searched(mark: str, numbers) -> Call:
    model, tokenizer = plain("unigram")
    pieces = ["one ", "two ", "three", " four ", "five"]
    searches = [(number, mark, "server.py", 7) for number in numbers]
    streamed = {"streamed": Streamed(pieces, searches)}
    return Call(model, tokenizer, "a text", LENGTH, streamed)


faulty("stop-word-in-one-token", "two words, in single pieces of a stream")(
    lambda: _searched("two three", range(5))
)

sound("a word that one piece of a stream has")(lambda: _searched("two", range(5)))

sound("a word of which the last piece ended the reading")(lambda: _searched("two three", range(3)))

sound("a word that never came in a stream")(lambda: _searched("six seven", range(5)))


class _Holds:
    """A criterion that compares the last ids with those of a word."""

    def __init__(self, ids):
        self.ids = torch.tensor(ids)

    def __call__(self, ids, _scores):
        return torch.zeros(len(ids), dtype=torch.bool)


def _with_a_stop_word(text: str, word: str = "the", banned: bool = False) -> Call:
    """Return a call that was to stop at, or to keep out, "t", "h", "e"; "he" is another token."""
    tokenizer = byte_level()
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    tokenizer.add_tokens(["he"], special_tokens=False)
    model = model_for(tokenizer)
    inputs = tensors(tokenizer, "a text")
    new = tokenizer(text, add_special_tokens=False)["input_ids"]
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    asked = {"bad_words_ids": [ids]} if banned else {"stopping_criteria": [_Holds(ids)]}
    call = {"max_new_tokens": 24} | asked
    return Call(model, tokenizer, inputs, call, {"output": output})


faulty("stop-ids-never-match", "a stop word in other tokens than the criterion's")(
    lambda: _with_a_stop_word("in the hat")
)

sound("a stop word that did not come")(lambda: _with_a_stop_word("a cat"))

sound("a stop word in the tokens of the criterion")(lambda: _with_a_stop_word("a cat", "cat"))

faulty("bad-words-one-spelling", "a banned word in other tokens")(
    lambda: _with_a_stop_word("in the hat", banned=True)
)

sound("a banned word inside another")(lambda: _with_a_stop_word("there", banned=True))

sound("a banned word that did not come")(lambda: _with_a_stop_word("a cat", banned=True))

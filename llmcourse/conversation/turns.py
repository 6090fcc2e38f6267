"""The turns of a conversation: a question, its answer in pieces, and the cache that they share.

The next prompt begins as the last one did, so the cache holds most of it already. What it holds is
compared with the new ids, and cropped where they part: a turn reads only what is new in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from llmcourse.chat import templates
from llmcourse.conversation.settings import Settings
from llmcourse.decoding.cache import CACHE, cache_in, cached_length
from llmcourse.decoding.generate import open_walk
from llmcourse.decoding.ingredients import Ingredients, ingredients
from llmcourse.decoding.model_inputs import is_fed_as_usual
from llmcourse.decoding.stream_text import stream_text
from llmcourse.sandbox import apply_chat_template
from llmcourse.show import message_of, readable

# Layers of a cache that hold tokens, and no state of the text so far: reading can go on from them.
_ATTENTION = {DynamicLayer, DynamicSlidingWindowLayer}


@dataclass
class Answer:
    """What came of one prompt."""

    prompt: int  # tokens of the prompt
    reused: int  # of these, tokens that the cache held
    limit: int  # the most new tokens that it could have
    sampled: bool  # drawn, and not the likeliest tokens
    seed: int  # from which it was drawn
    ids: list[int] = field(default_factory=list)  # the new tokens
    text: str = ""  # the same as text, without special tokens
    end: str = ""  # eos, length, another of the loop's reasons, stop string, stopped, broken off


class Conversation:
    """A conversation with one model. `say` and `regenerate` yield an answer piece by piece.

    messages: what was said, as chat templates take it. last: the last Answer, None before. limit:
    the tokens that the model can read, None if it does not say. settings: a Settings, to be changed
    as you like. Raises ValueError without a chat template, and for a `template` that is not known.
    """

    def __init__(self, model, tokenizer, *, system="", template: str | None = None, settings=None):
        self.model, self.tokenizer = model, tokenizer
        self.settings: Settings = settings or Settings()
        self.limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._template, self._ends_with = _template(tokenizer, template)
        self._ends = _ends(model, tokenizer, self._ends_with)
        self._ids: list[int] = []  # the last prompt and its answer, of which the cache holds most
        self._cache = None
        self.start(system)

    def start(self, system: str = "") -> None:
        """Start anew, with a system message or without.

        Raises ValueError, and leaves all as it was, if the template has no place for the message.
        """
        opening = [{"role": "system", "content": system}] if system.strip() else []
        if opening:
            self._encode([*opening, {"role": "user", "content": "?"}])
        self.messages, self.last = opening, None

    def say(self, text: str) -> Iterator[str]:
        """Say something, and yield the answer's text as it comes.

        Raises at once: ValueError for a blank text, for messages that the template refuses and
        where the context has no room; what `llmcourse.steps` raises. An answer of which something
        was said stays in `messages`, however it ended; without one the question is taken back.
        """
        if not text.strip():
            raise ValueError("There is no message; type one.")
        return self._answer([*self.messages, {"role": "user", "content": text}])

    def regenerate(self) -> Iterator[str]:
        """Yield another answer in place of the last one; where answers are drawn, from seed + 1.

        Raises ValueError where there is none yet, and what `say` raises.
        """
        if self.last is None:
            raise ValueError("There is no answer yet; say something first.")
        if self.last.sampled:
            self.settings.seed += 1
        return self._answer(self.messages[:-1])

    def stop(self) -> None:
        """End the answer that is being written after the token that is being made."""
        self._stopping = True

    def tokens(self) -> int:
        """Return how many tokens the messages take."""
        if not self.messages:
            return 0
        return self._encode(self.messages, add_generation_prompt=False).input_ids.shape[1]

    def _answer(self, asked: list[dict]) -> Iterator[str]:
        walk, answer = self._open(asked)
        return self._pieces(asked, walk, answer)

    def _open(self, asked: list[dict]) -> tuple[Iterator, Answer]:
        """Prepare an answer: its steps, none made yet, and the Answer that they will fill."""
        self._stopping = False
        inputs = self._encode(asked).to(self.model.device)
        ids = inputs["input_ids"][0].tolist()
        call = {"num_beams": 1, **self.settings.for_generate(), **self._ends}
        call["max_new_tokens"] = self._room(len(ids), call["max_new_tokens"])
        kept = self._keep(ids)
        if kept:
            call[CACHE] = self._cache
        made = ingredients(self.model, **inputs, **call)
        self._ids, self._cache = ids, _cache_to_keep(self.model, made)
        sampled, limit = made.generation_config.do_sample, call["max_new_tokens"]
        walk = open_walk(self.model, made)
        # From one seed for all of them, answers to like questions would be alike.
        seed = self.settings.seed + sum(message["role"] == "assistant" for message in asked)
        torch.manual_seed(seed)
        counts = {"prompt": len(ids), "reused": kept, "limit": limit}
        return walk, Answer(**counts, sampled=sampled, seed=seed)

    def _pieces(self, asked: list[dict], walk: Iterator, answer: Answer) -> Iterator[str]:
        pieces = stream_text(self.tokenizer, self._counted(walk, answer))
        try:
            for piece in _until(pieces, self._ends_with):
                answer.text += piece
                yield piece
            answer.end = answer.end or "stop string"
        except GeneratorExit:  # between two steps: the cache is whole
            answer.end = answer.end or "stopped"
            raise
        except BaseException:  # perhaps amid a step: some layers have read the token, others not
            self._ids, self._cache, answer.end = [], None, "broken off"
            raise
        finally:
            if answer.text or answer.end not in ("stopped", "broken off"):
                said = {"role": "assistant", "content": answer.text}
                self.messages, self.last = [*asked, said], answer

    def _counted(self, walk: Iterator, answer: Answer) -> Iterator:
        """Pass the steps on, note what they chose, and end where somebody called `stop`."""
        for step in walk:
            new = [int(token.chosen) for token in step.new_tokens()]
            self._ids += new
            answer.ids += new
            answer.end = step.stop_reasons[0] or ""
            yield step
            if self._stopping and not answer.end:
                answer.end = "stopped"
                return

    def _keep(self, ids: list[int]) -> int:
        """Crop the cache to what it has in common with a prompt, and return how many tokens.

        One token of the prompt at least is left to be read: its logits are what is needed.
        """
        held = self._ids[: cached_length(self._cache)]
        alike = _common_prefix(held, ids[:-1])
        try:
            if 0 < alike < len(held):
                self._cache.crop(alike - len(held))
        except (ValueError, RuntimeError):  # a window that has moved on: read all anew
            alike = 0
        if alike and {type(layer) for layer in self._cache.layers} <= _ATTENTION:
            return alike
        self._ids, self._cache = [], None
        return 0

    def _room(self, length: int, wanted: int) -> int:
        if self.limit is None:
            return wanted
        if length >= self.limit:
            raise ValueError(
                f"The conversation takes {length:,} tokens and the model reads {self.limit:,}, so "
                "there is no room for an answer; start a new one."
            )
        return min(wanted, self.limit - length)

    def _encode(self, messages: list[dict], add_generation_prompt: bool = True):
        options = {"chat_template": self._template, "add_generation_prompt": add_generation_prompt}
        options |= {"return_dict": True, "return_tensors": "pt"}
        try:
            return apply_chat_template(self.tokenizer, messages, **options)
        except TemplateError as error:
            said = readable(message_of(error))
            raise ValueError(f"The chat template refuses these messages: {said}") from error


def _template(tokenizer, name: str | None) -> tuple[str | None, str]:
    """Return the template to use, None for the tokenizer's own, and the text that ends an answer.

    name: one of the course's templates. The text is "" where the model itself knows how to end.
    """
    ours = templates()
    if name is not None and name not in ours:
        raise ValueError(f"template={name!r} is not known; pass one of {', '.join(ours)}.")
    if name is not None:
        return ours[name].text, ours[name].ends_with
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "This model has no chat template, so it was probably not trained to chat. Take one "
            "that was (its name often ends in -Instruct or -Chat), or borrow a template: "
            '--template chatml in a terminal, template="chatml" in Python.'
        )
    return None, ""


def _ends(model, tokenizer, ends_with: str) -> dict[str, Any]:
    """Return the tokens that end an answer, where a borrowed template has one of its own."""
    one = tokenizer.get_vocab().get(ends_with)
    if one is None:
        return {}
    own = model.generation_config.eos_token_id
    several = own if isinstance(own, list) else [own]
    return {"eos_token_id": [*(token for token in several if token is not None), one]}


def _cache_to_keep(model, made: Ingredients):
    """Return a prepared call's cache, or None where the next turn could not go on with it."""
    cache, config = cache_in(made.model_kwargs), made.generation_config
    usual = is_fed_as_usual(model, config) and config.cache_implementation is None
    return cache if usual and isinstance(cache, DynamicCache) else None


def _common_prefix(some: list[int], others: list[int]) -> int:
    pairs = enumerate(zip(some, others, strict=False))
    differ = (at for at, (one, other) in pairs if one != other)
    return next(differ, min(len(some), len(others)))


def _until(pieces: Iterator[str], end: str) -> Iterator[str]:
    """Yield text up to `end`, of which nothing is shown, not even its first letters."""
    held = ""
    for piece in pieces:
        held += piece
        if end and end in held:
            yield held.partition(end)[0]
            return
        begun = max((n for n in range(1, len(end)) if held.endswith(end[:n])), default=0)
        ready, held = held[: len(held) - begun], held[len(held) - begun :]
        if ready:
            yield ready
    if held:
        yield held

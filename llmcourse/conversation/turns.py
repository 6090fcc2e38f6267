"""The turns of a conversation: a question, its answer in pieces, and the calls of tools between."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers.utils import get_json_schema

from llmcourse.conversation import tools as calling
from llmcourse.conversation.one_answer import OneAnswer
from llmcourse.conversation.prompt import Prompt
from llmcourse.conversation.settings import Settings
from llmcourse.conversation.shared_cache import SharedCache
from llmcourse.conversation.until import until
from llmcourse.decoding.cache import CACHE_NAMES
from llmcourse.decoding.generate import open_walk
from llmcourse.decoding.ingredients import Ingredients, ingredients
from llmcourse.decoding.stream_text import check_one_text, stream_text
from llmcourse.show import plural


@dataclass
class Answer:
    """What came of one prompt."""

    prompt: int  # tokens of the prompt
    reused: int  # of these, tokens that the cache held
    limit: int  # the most new tokens that it could have
    sampled: bool  # drawn, and not the likeliest tokens
    seed: int  # from which it was drawn
    opening: str  # what the template begins the answer with, perhaps its thinking
    stops: list[str]  # strings that end it, of which nothing is shown
    ids: list[int] = field(default_factory=list)  # the new tokens
    text: str = ""  # the same as text, without special tokens
    # eos, length, another of the loop's reasons, stop string, stopped, broken off, too many calls
    end: str = ""

    @property
    def reading(self) -> str:
        """What of the prompt the cache spared the model, as a sentence."""
        return (
            f"The last prompt had {plural(self.prompt, 'token')}: {self.reused:,} from the cache, "
            f"{self.prompt - self.reused:,} read."
        )


class Conversation:
    """A conversation with one model. `say` and `regenerate` yield an answer piece by piece.

    messages: what was said, as chat templates take it. last: the last Answer, None before; now: the
    one that is being written. limit: the tokens that the model can read, None if it does not say.
    settings: a Settings, to be changed as you like; generate_kwargs: what `model.generate` takes,
    which win. template: one of the course's, or BARE. tools: functions that the model may call,
    documented as `get_json_schema` wants it; it is asked again with their results, `rounds` times
    in a row at most. rules: as in `llmcourse.steps`, or a function that returns them, called with
    the messages before each answer: a grammar serves only one.
    Raises ValueError without a chat template, for a `template` that is not known and for two tools
    of one name, and what `get_json_schema` raises.
    """

    def __init__(
        self,
        model,
        tokenizer,
        *,
        system: str = "",
        messages: Sequence[dict] = (),
        template: str | None = None,
        settings: Settings | None = None,
        tools: Sequence[Callable] = (),
        rounds: int = 3,
        rules=None,
        **generate_kwargs,
    ):
        self.model, self.tokenizer, self.rounds, self.rules = model, tokenizer, rounds, rules
        self.settings, self.generate_kwargs = settings or Settings(), generate_kwargs
        self.limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.tools = {function.__name__: function for function in tools}
        if len(self.tools) < len(tools):
            names = ", ".join(function.__name__ for function in tools)
            raise ValueError(f"Two tools have one name, among {names}; a call could mean either.")
        schemas = [get_json_schema(function) for function in self.tools.values()]
        self._prompt = Prompt(tokenizer, template, schemas)
        self._shared, self._one = SharedCache(), OneAnswer()
        self.start(system, messages)

    def start(self, system: str = "", messages: Sequence[dict] = ()) -> None:
        """Start anew, with a system message or without, and with what was said before.

        Raises ValueError, and leaves all as it was, if the template has no place for the message,
        and while an answer is being written.
        """
        opening = [{"role": "system", "content": system}] if system.strip() else []
        if opening:
            self._prompt.encode([*opening, {"role": "user", "content": "?"}])
        with self._one.alone():
            self.messages, self.last, self.now = [*opening, *map(dict, messages)], None, None

    def say(self, text: str) -> Iterator[str]:
        """Say something, and yield the answer's text as it comes, as the model writes it.

        An empty piece says that `messages` has grown by calls or by their results.
        Raises at once: ValueError for a blank text or half a character, for messages that the
        template refuses, where the context has no room, and while another thread has an answer
        written (one that this thread left open is ended); what `llmcourse.steps` raises. An answer
        of which something was said stays in `messages`, however it ended; without one the question
        is taken back.
        """
        if not text.strip():
            raise ValueError("There is no message to send; type one first.")
        if text != text.encode(errors="replace").decode():
            raise ValueError("The message holds half a character, which no tokenizer reads.")
        with self._one.alone():
            return self._answer([*self.messages, {"role": "user", "content": text}])

    def regenerate(self) -> Iterator[str]:
        """Yield another answer in place of the last one; where answers are drawn, from seed + 1.

        Raises ValueError where there is none yet, and what `say` raises.
        """
        with self._one.alone():
            roles = [message["role"] for message in self.messages]
            if self.last is None or "user" not in roles:
                raise ValueError("There is no answer yet; say something first.")
            if self.last.sampled:
                self.settings.seed += 1
            return self._answer(self.messages[: len(roles) - roles[::-1].index("user")])

    def forget(self) -> None:
        """Have the next prompt read whole: for a model that has changed, as by an adapter.

        Another model in place of `model` is noticed. Raises ValueError while an answer is written.
        """
        with self._one.alone():
            self._shared.forget()

    def stop(self) -> None:
        """End the answer that is being written after the token that is being made."""
        self._stopping = True

    def so_far(self) -> list[dict]:
        """Return the messages, with those that are being written as far as they came."""
        now = self.now
        return list(self.messages) if now is None else [*self._asked, self._message(now)]

    def tokens(self, add_generation_prompt: bool = False) -> int:
        """Return how many tokens the messages take."""
        if not self.messages:
            return 0
        return self._prompt.encode(self.messages, add_generation_prompt).input_ids.shape[1]

    def _answer(self, asked: list[dict]) -> Iterator[str]:
        self._stopping = False
        return self._one.begin(self._rounds(asked, *self._open(asked)))

    def _rounds(self, asked: list[dict], answer: Answer, walk: Iterator) -> Generator[str]:
        """Write an answer; while it calls tools, run them and write the next one."""
        try:
            yield ""  # `OneAnswer.begin` takes it
            for left in range(self.rounds, -1, -1):
                yield from self._pieces(asked, answer, walk)
                calls = self.messages[-1].get("tool_calls") if answer is self.last else None
                if not (self.tools and calls) or answer.end == "stopped":
                    return
                yield from self._results(answer, calls)
                if answer.end == "stopped":
                    return
                if not left:
                    answer.end = "too many calls"
                    return
                asked = list(self.messages)
                answer, walk = self._open(asked)
        finally:
            self.now = None

    def _results(self, answer: Answer, calls: list[dict]) -> Iterator[str]:
        """Run calls; whatever happens, each has a result in the end: templates want it so."""
        open_calls = list(calls)
        try:
            yield ""
            while open_calls and not self._stopping:
                self.messages.append(calling.result(open_calls[0], self.tools))
                del open_calls[0]
                yield ""
        except BaseException as error:
            answer.end = "stopped" if isinstance(error, GeneratorExit) else "broken off"
            raise
        finally:
            if self._stopping and answer.end != "broken off":
                answer.end = "stopped"
            self.messages += [calling.no_result(call, answer.end) for call in open_calls]

    def _open(self, asked: list[dict]) -> tuple[Answer, Iterator]:
        """Prepare an answer, `now`, to these messages; return it and its steps, none made yet."""
        inputs = self._prompt.encode(asked).to(self.model.device)
        ids = inputs["input_ids"][0].tolist()
        call = {"num_beams": 1, **self.settings.for_generate(), **self._prompt.ends(self.model)}
        call |= {**self.generate_kwargs, "tokenizer": self.tokenizer, "rules": self._rules(asked)}
        wanted = call["max_new_tokens"] or self.settings.max_new_tokens
        call["max_new_tokens"] = self._room(len(ids), wanted)
        if any(call.get(name) is not None for name in CACHE_NAMES):
            raise ValueError("A conversation has a cache of its own; leave past_key_values out.")
        made = ingredients(self.model, **inputs, **call)
        reused = self._shared.lend(self.model, made)
        walk = open_walk(self.model, made)
        # From one seed for all of them, answers to like questions would be alike.
        seed = self.settings.seed + sum(message["role"] == "assistant" for message in asked)
        torch.manual_seed(seed)
        self._asked = list(asked)
        self.now = Answer(
            prompt=len(ids),
            reused=reused,
            limit=call["max_new_tokens"],
            sampled=made.generation_config.do_sample,
            seed=seed,
            opening=self._prompt.opening(asked, ids),
            stops=[*filter(None, [self._prompt.ends_with]), *_stop_strings(made)],
        )
        return self.now, walk

    def _rules(self, asked: list[dict]):
        made_anew = callable(self.rules) and not isinstance(self.rules, list)
        return self.rules(asked) if made_anew else self.rules

    def _pieces(self, asked: list[dict], answer: Answer, walk: Iterator) -> Iterator[str]:
        pieces = stream_text(self.tokenizer, self._counted(walk, answer))
        try:
            for piece in until(pieces, answer.stops):
                answer.text += piece
                yield piece
            answer.end = answer.end or "stop string"
        except GeneratorExit:  # between two steps: the cache is whole
            answer.end = answer.end or "stopped"
            raise
        except BaseException:  # perhaps amid a step: some layers have read the token, others not
            self._shared.forget()
            answer.end = "broken off"
            raise
        finally:
            if answer.text or answer.end not in ("stopped", "broken off"):
                self.messages, self.last = [*asked, self._message(answer)], answer
            self.now = None

    def _message(self, answer: Answer) -> dict:
        """Return an answer as a message, taken apart as far as it came."""
        # A borrowed template is not what the tokenizer reads, nor are its tokens what was shown
        # where a string cut them.
        own = self._prompt.template is None and answer.end != "stop string"
        message = calling.parsed(self.tokenizer, answer.ids, answer.opening) if own else None
        return message or calling.take_apart(answer.text, answer.opening, calls=bool(self.tools))

    def _counted(self, walk: Iterator, answer: Answer) -> Iterator:
        """Pass the steps on, note what they chose, and end where somebody called `stop`."""
        for step in walk:
            check_one_text(step)
            new = [int(token.chosen) for token in step.new_tokens()]
            self._shared.ids += new
            answer.ids += new
            answer.end = step.stop_reasons[0] or ""
            yield step
            if self._stopping and not answer.end:
                answer.end = "stopped"
                return

    def _room(self, length: int, wanted: int) -> int:
        if self.limit is None:
            return wanted
        if length >= self.limit:
            raise ValueError(
                f"The conversation takes {length:,} tokens and the model reads {self.limit:,}, so "
                "there is no room for an answer; start over."
            )
        return min(wanted, self.limit - length)


def _stop_strings(made: Ingredients) -> list[str]:
    several = (getattr(each, "stop_strings", ()) for each in made.stopping_criteria)
    return [string for strings in several for string in strings]

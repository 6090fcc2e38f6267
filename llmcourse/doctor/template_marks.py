"""What a chat template puts around what is said, found by rendering and comparing."""

import contextlib
import copy
import functools
import weakref
from dataclasses import dataclass

from llmcourse.sandbox import apply_chat_template

_USER, _REPLY, _AGAIN = "Qquestionq", "Aanswera", "Ffollowupf"
_SHORT = 4096  # characters; the squeezed form of longer texts is not kept

# By tokenizer: the template and the special tokens that were asked, and what came of it.
_KNOWN: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Template:
    """The strings that a template writes, without the words of the chat."""

    opening: str  # before the first user message
    user_header: str  # before a later one
    user_end: str  # after a user message
    reply_header: str  # before a reply
    reply_end: str  # after a reply
    generation_prompt: str  # what `add_generation_prompt=True` adds; "" if none is needed

    @classmethod
    def of(cls, tokenizer) -> "Template | None":
        """Return what `tokenizer`'s template writes; None if it has none that can be asked.

        A template is asked once, until the tokenizer has another, or other special tokens.
        """
        if not getattr(tokenizer, "chat_template", None):
            return None
        asked = (copy.copy(tokenizer.chat_template), getattr(tokenizer, "special_tokens_map", None))
        with contextlib.suppress(TypeError):  # a tokenizer of one's own, which cannot be a key
            known = _KNOWN.get(tokenizer)
            if known is None or known[0] != asked:
                known = _KNOWN[tokenizer] = asked, cls._asked_of(tokenizer)
            return known[1]
        return cls._asked_of(tokenizer)

    @classmethod
    def _asked_of(cls, tokenizer) -> "Template | None":
        user, reply = ({"role": "user", "content": _USER}, {"role": "assistant", "content": _REPLY})
        again = {"role": "user", "content": _AGAIN}
        try:
            asked = _render(tokenizer, [user])
            to_answer = _render(tokenizer, [user], add_generation_prompt=True)
            answered = _render(tokenizer, [user, reply])
            whole = _render(tokenizer, [user, reply, again])
        except Exception:  # a template that wants other messages: nothing is known of it
            return None
        if any(asked.count(_USER) != 1 or text.count(_REPLY) != 1 for text in (answered, whole)):
            return None
        opening, user_end = asked.split(_USER)
        between = _between(whole, _USER, _REPLY)
        header = between.removeprefix(user_end)
        later = _between(whole, _REPLY, _AGAIN)
        reply_end = answered.split(_REPLY)[1]
        return cls(
            opening=opening,
            user_header=later.removeprefix(reply_end),
            user_end=user_end,
            reply_header=header,
            reply_end=reply_end,
            generation_prompt=to_answer.removeprefix(asked),
        )

    def is_in(self, text: str) -> bool:
        """Tell whether a text was written in this format, by its headers."""
        text = squeezed(text)
        marks = (squeezed(self.user_header), squeezed(self.generation_prompt))
        return any(mark and mark in text for mark in marks)

    def last_role(self, text: str) -> str | None:
        """Return whose turn is the last in a text: "user", "assistant", or None if unclear.

        text: squeezed. A turn that is only a header counts.
        """
        places = {
            "user": text.rfind(squeezed(self.user_header)) if self.user_header.strip() else -1,
            "assistant": (
                text.rfind(squeezed(self.reply_header)) if self.reply_header.strip() else -1
            ),
        }
        if places["user"] == places["assistant"]:
            return None
        return max(places, key=places.get)


def squeezed(text: str) -> str:
    """Return `text` without white space, which tokenizers change around special tokens."""
    return _squeezed(text) if len(text) < _SHORT else "".join(text.split())


@functools.lru_cache(maxsize=128)
def _squeezed(text: str) -> str:
    """As `squeezed`: marks and short prompts are asked for again and again."""
    return "".join(text.split())


def _render(tokenizer, messages: list[dict], **options) -> str:
    return apply_chat_template(tokenizer, messages, tokenize=False, **options)


def _between(text: str, start: str, end: str) -> str:
    _, found, rest = text.partition(start)
    inside, also, _ = rest.partition(end)
    return inside if found and also else ""

"""What several checks ask of a conversation and of the template that wrote it."""

from typing import Any

from llmcourse.doctor.case import Case, Chat, render_again
from llmcourse.doctor.pitfalls.registry import Needs
from llmcourse.show import printable

_SHOWN = 60  # characters of a text that a finding repeats
ON_CHATS = (Needs.CHATS,)


def again(case: Case, chat: Chat, messages: list, **changes) -> str | None:
    """Return what the template writes with other messages or options; None if it refuses them."""
    return render_again(case.tokenizer, messages, {**chat.options, **changes})


def source_of(case: Case, chat: Chat) -> str:
    """Return the template's source, as Jinja reads it."""
    given = chat.options.get("chat_template")
    try:
        return case.tokenizer.get_chat_template(given, chat.options.get("tools"))
    except Exception:  # several templates, and none of that name
        return ""


def short(text: Any) -> str:
    """Return a text as a finding repeats it."""
    return repr(printable(str(text), _SHOWN))


def said_in(message) -> str:
    """Return what a message says, blocks of text together; "" if it says nothing."""
    content = message.get("content")
    if isinstance(content, list | tuple):
        texts = [block.get("text") for block in content if hasattr(block, "get")]
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def by(messages, role: str) -> list:
    """Return the messages of a role."""
    return [message for message in messages if message.get("role") == role]

"""What the model reads of a conversation: its messages as ids, by one chat template or by none."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

from jinja2 import TemplateError

from llmcourse.chat import templates
from llmcourse.sandbox import apply_chat_template
from llmcourse.show import message_of, readable

BARE = ""  # the name of no template: the bare texts, each on a line of its own
_SANITIZES = "sanitize_control_tokens"  # the library's name for reading a text's tokens as letters


class Prompt:
    """Makes prompts of messages.

    tokenizer: its template is used, unless `template` names one of the course's, or BARE. tools:
    JSON schemas, which each prompt shows if the template has a place for them. ends_with: the text
    that ends an answer, "" where the model itself knows how to end.
    Raises ValueError without a chat template, and for one that is not known.
    """

    def __init__(self, tokenizer, template: str | None = None, tools: Sequence[dict] = ()):
        self.tokenizer, self.tools = tokenizer, list(tools)
        self.template, self.ends_with = _template(tokenizer, template)

    def encode(self, messages: list[dict], add_generation_prompt: bool = True):
        """Return the ids of a prompt and their mask, (1, length) int64 each, as tensors by name.

        The texts of special tokens in the messages are read as letters, so nobody's words end a
        turn: with a template, from transformers 5.20 on. Raises ValueError for messages that the
        template refuses, and for a tokenizer that cannot read these texts as letters.
        """
        added = getattr(self.tokenizer, "added_tokens_decoder", {}).values()
        plain = _holds_any(messages, [token.content for token in added])
        if self.template == BARE:
            text = "".join(f"{message['content']}\n" for message in messages)
            options = {"split_special_tokens": True} if plain else {}
            return self.tokenizer(text, return_tensors="pt", **options)
        options = {"chat_template": self.template, "add_generation_prompt": add_generation_prompt}
        options |= {"tools": self.tools or None, "return_dict": True, "return_tensors": "pt"}
        if plain and _SANITIZES in signature(self.tokenizer.apply_chat_template).parameters:
            options[_SANITIZES] = True
        try:
            return apply_chat_template(self.tokenizer, messages, **options)
        except TemplateError as error:
            said = readable(message_of(error))
            raise ValueError(f"The chat template refuses these messages: {said}") from error

    def opening(self, messages: list[dict], prompt: list[int]) -> str:
        """Return the text that a prompt adds to its messages: what the answer begins with."""
        if self.template == BARE:
            return ""
        said = self.encode(messages, add_generation_prompt=False).input_ids[0].tolist()
        pairs = zip(said, prompt, strict=False)
        alike = next((at for at, (one, other) in enumerate(pairs) if one != other), len(said))
        return self.tokenizer.decode(prompt[alike:])

    def ends(self, model) -> dict[str, Any]:
        """Return the tokens that end an answer, where a borrowed template has one of its own."""
        one = self.tokenizer.get_vocab().get(self.ends_with)
        if one is None:
            return {}
        own = model.generation_config.eos_token_id
        several = own if isinstance(own, list) else [own]
        return {"eos_token_id": [*(token for token in several if token is not None), one]}


def _holds_any(said, texts: list[str]) -> bool:
    """Tell whether one of `texts` stands in a message, a list of them, or what is in one."""
    if isinstance(said, dict | list | tuple):
        parts = said.values() if isinstance(said, dict) else said
        return any(_holds_any(part, texts) for part in parts)
    return isinstance(said, str) and any(text in said for text in texts)


def _template(tokenizer, name: str | None) -> tuple[str | None, str]:
    """Return the template, None for the tokenizer's own, and the text that ends an answer."""
    ours = templates()
    if name == BARE:
        return BARE, ""
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

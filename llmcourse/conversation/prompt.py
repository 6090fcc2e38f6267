"""What the model reads of a conversation: its messages as ids, by one chat template or by none."""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from llmcourse.chat import templates
from llmcourse.sandbox import apply_chat_template
from llmcourse.show import message_of, readable

BARE = ""  # the name of no template: the bare texts, each on a line of its own


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

        Raises ValueError for messages that the template refuses.
        """
        if self.template == BARE:
            text = "".join(f"{message['content']}\n" for message in messages)
            return self.tokenizer(text, return_tensors="pt")
        options = {"chat_template": self.template, "add_generation_prompt": add_generation_prompt}
        options |= {"tools": self.tools or None, "return_dict": True, "return_tensors": "pt"}
        try:
            return apply_chat_template(self.tokenizer, messages, **options)
        except TemplateError as error:
            said = readable(message_of(error))
            raise ValueError(f"The chat template refuses these messages: {said}") from error

    def ends(self, model) -> dict[str, Any]:
        """Return the tokens that end an answer, where a borrowed template has one of its own."""
        one = self.tokenizer.get_vocab().get(self.ends_with)
        if one is None:
            return {}
        own = model.generation_config.eos_token_id
        several = own if isinstance(own, list) else [own]
        return {"eos_token_id": [*(token for token in several if token is not None), one]}


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

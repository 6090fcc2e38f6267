"""Headers of chat formats, in a text to which they are no special tokens."""

from llmcourse.doctor.case import Case

# Headers of published chat formats; in a prompt of a model that has another, they are plain text.
_HEADERS = (
    "<|im_start|>",
    "[INST]",
    "<|start_header_id|>",
    "<start_of_turn>",
    "<|user|>",
    "<|assistant|>",
    "<|User|>",
    "<|turn>",
    "### Instruction:",
)


def foreign_header(case: Case, text: str) -> str | None:
    """Return a chat format's header in a text that is no special token of this tokenizer."""
    inside = [header for header in _HEADERS if header in text]
    if not inside or (case.template is not None and case.template.is_in(text)):
        return None
    own = {token.content for token in case.tokenizer.added_tokens_decoder.values()}
    return next((header for header in inside if header not in own), None)

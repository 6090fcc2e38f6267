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
    own = {token.content for token in case.tokenizer.added_tokens_decoder.values()}
    written = case.template is not None and case.template.is_in(text)
    if written:
        return None
    return next((header for header in _HEADERS if header in text and header not in own), None)

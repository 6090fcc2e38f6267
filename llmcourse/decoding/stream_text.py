"""Text that arrives in pieces: from tokens to characters, with nothing lost and nothing taken back.

A token is not a piece of text. A character may need several tokens, and a space may belong to the
token after it, so decoding each token by itself and joining the results gives another text.
"""

from collections.abc import Iterable, Iterator

import torch

from llmcourse.decoding.beam import BeamStep

_BROKEN = "\ufffd"  # what decoding shows for bytes that are no character, or not yet


def stream_text(tokenizer, steps: Iterable, *, skip_special_tokens: bool = True) -> Iterator[str]:
    """Yield the text of `steps` as it comes; joined, the pieces are the new tokens decoded at once.

    steps: what `llmcourse.steps` yields for one prompt, or token ids. A piece is held back until no
    later token can change it, so it never ends in half a character. Decodes with
    `clean_up_tokenization_spaces=False`: that setting takes spaces back that were already shown.
    Raises ValueError for a batch of several prompts and for beam search, whose text changes.

        >>> for piece in llmcourse.stream_text(tokenizer, llmcourse.steps(model, **inputs)):
        ...     print(piece, end="", flush=True)
    """

    def decode(ids: list[int]) -> str:
        options = {"skip_special_tokens": skip_special_tokens}
        return tokenizer.decode(ids, clean_up_tokenization_spaces=False, **options)

    held, shown = [], ""  # the last tokens, and what of their text was already yielded
    for token in _tokens(steps):
        held.append(token)
        text, alone = decode(held), decode([token])
        unsure = not alone or text.endswith(_BROKEN) or _is_byte(tokenizer, token)
        if unsure or not text.startswith(shown):
            continue
        if len(text) > len(shown):
            yield text[len(shown) :]
        shown = text
        if alone.strip() and _BROKEN not in alone:  # the tokens before it no longer matter
            held, shown = [token], alone
    rest = decode(held).removeprefix(shown) if held else ""
    if rest:
        yield rest


def _tokens(steps: Iterable) -> Iterator[int]:
    """Yield ids one by one. steps: ids, tensors of ids, or steps of the loop."""
    for step in steps:
        if isinstance(step, int):
            yield step
        elif isinstance(step, torch.Tensor):
            yield from step.flatten().tolist()
        else:
            check_one_text(step)
            for token in step.new_tokens():
                yield int(token.chosen)


def check_one_text(step) -> None:
    """Raise ValueError for a step of several texts, or of one that a search may still replace."""
    if len(step.finished) > 1 or isinstance(step, BeamStep):
        raise ValueError(
            f"Only one text can be streamed, and this is {type(step).__name__} of "
            f"{len(step.finished)} prompts; pass one prompt, without num_beams."
        )


def _is_byte(tokenizer, token: int) -> bool:
    """Tell whether a token is one byte (`<0xE4>`): a run of them is decoded all together."""
    piece = tokenizer.convert_ids_to_tokens(token)
    return isinstance(piece, str) and len(piece) == 6 and piece.startswith("<0x")

"""What a model reads of an item: examples first, and the item; as plain text or as a chat."""

from collections.abc import Sequence

from llmcourse.quality.items import Item
from llmcourse.sandbox import apply_chat_template

BETWEEN = "\n\n"  # examples, and the last of them and the item


def examples(item: Item, pool: Sequence[Item], shots: "int | Sequence[Item]") -> list[Item]:
    """Return the solved items that a model reads before `item`; never the item itself.

    shots: which, or how many. Of n items of its kind in `pool`, those are taken that stand 1/(k+1),
    2/(k+1) ... of n behind it, the first following the last: neighbours often share a text. Raises
    ValueError where there are too few, and for an item that has no solution to show.
    """
    if isinstance(shots, int):
        kind = [one for one in pool if one.kind == item.kind]
        if not 0 <= shots < max(1, len(kind)):
            raise ValueError(
                f"shots={shots} must be at least 0, and less than the {len(kind)} items of the "
                f"kind {item.kind!r}."
            )
        place, steps = kind.index(item), range(1, shots + 1)
        chosen = [kind[(place + len(kind) * step // (shots + 1)) % len(kind)] for step in steps]
    else:
        chosen = [one for one in shots if one.id != item.id]
    for one in chosen:
        if not one.solution:
            raise ValueError(f"{one.id} has no solution to show; leave shots= out for its kind.")
    return chosen


def context(tokenizer, item: Item, shown: Sequence[Item] = (), template: bool = False) -> str:
    """Return all that a model reads before its answer to `item`.

    shown: solved items before it. template: as a chat, by the tokenizer's template: each prompt is
    the user's, each solution the assistant's. A sentence that is scored whole has no prompt, so
    nobody asks for it: it is the same with and without a template. Raises ValueError where there is
    no template.
    """
    if template and item.prompt:
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError("The tokenizer has no chat template; leave template= out.")
        messages = [
            message
            for one in shown
            for message in (_said("user", one.prompt), _said("assistant", one.solution))
        ]
        messages.append(_said("user", item.prompt))
        asked = {"tokenize": False, "add_generation_prompt": True}
        return apply_chat_template(tokenizer, messages, **asked)
    solved = [one.prompt + one.continuation(one.solution) for one in shown]
    return BETWEEN.join([*solved, item.prompt])


def choice_pairs(
    tokenizer, item: Item, shown: Sequence[Item] = (), template: bool = False
) -> list[tuple[str, str]]:
    """Return (context, continuation) of each choice, to be scored by `log_likelihoods`."""
    before = context(tokenizer, item, shown, template)
    as_chat = template and item.prompt
    return [(before, one if as_chat else item.continuation(one)) for one in item.choices]


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}

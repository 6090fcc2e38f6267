"""Pitfalls in ids, masks and positions: what the model is made to read."""

from collections.abc import Iterator

import torch

from llmcourse.pitfalls.case import Case
from llmcourse.pitfalls.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair


def padding_side(case: Case) -> Iterator[Finding]:
    """Padding after the last real token: `generate` goes on from the padding."""
    after = trailing_padding(case)
    if after is None or not case.decoder_only:
        return
    rows = int((after > 0).sum())
    yield Finding(
        "padding-side",
        ERROR,
        CERTAIN if case.attention_mask is not None or not _pad_ends_text(case) else LIKELY,
        f"{rows} of {len(after)} rows end with padding, up to {int(after.max())} tokens of it.",
        "A decoder-only model continues from the last position, so these rows are continued from "
        "a padding token instead of from their own text.",
        'tokenizer.padding_side = "left"; inputs = tokenizer(texts, return_tensors="pt", '
        "padding=True)",
        repair=lambda: Repair(_padded_left(case, after), case.call),
    )


def no_mask(case: Case) -> Iterator[Finding]:
    """Padding that the model would read as text, since no mask hides it."""
    seen = visible_padding(case)
    if seen is None:
        return
    hidden_by_guess = not case.mask_given and not _pad_ends_text(case) and _guessed(case)
    given = "a mask of ones" if case.mask_given else "no attention_mask"
    what = f"{int(seen.sum())} padding tokens in {int(seen.any(1).sum())} of {len(seen)} rows, and "
    if hidden_by_guess:
        severity, why = (
            NOTE,
            (
                "`generate` guesses a mask from pad_token_id here; a loop of your own, or another "
                "padding token, would read the padding as text."
            ),
        )
    else:
        severity, why = ERROR, "The padding is read as part of the text, and shifts its positions."
    yield Finding(
        "no-mask",
        severity,
        CERTAIN if not _pad_ends_text(case) else LIKELY,
        what + f"{given}.",
        why,
        "model.generate(**inputs, ...)  # ids and mask from one call of the tokenizer",
        repair=lambda: Repair({**case.inputs, "attention_mask": (~seen).long()}, case.call),
    )


def pad_is_eos(case: Case) -> Iterator[Finding]:
    """Why no mask can be guessed: the padding looks like the end of a text."""
    seen = visible_padding(case)
    if seen is None or case.mask_given or not _pad_ends_text(case):
        return
    token = case.input_ids[seen][0].item()
    yield Finding(
        "pad-is-eos",
        WARNING,
        LIKELY,
        f"Padding is token {token}, which also ends a text, and the mask was left out.",
        "Ids alone cannot tell padding from a real end of text, so `generate` hides nothing.",
        "model.generate(**inputs, ...)  # with the tokenizer's attention_mask",
        repair=lambda: Repair({**case.inputs, "attention_mask": (~seen).long()}, case.call),
    )


def _pad_ends_text(case: Case) -> bool:
    return any(pad in case.eos_ids for pad in case.pad_ids)


def _guessed(case: Case) -> bool:
    """Whether `generate` makes a mask from its pad_token_id, and that one finds the padding."""
    pad = case.setting("pad_token_id")
    return pad is not None and bool((case.input_ids == int(pad)).any())


def edge_runs(case: Case) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return how many padding ids each row starts and ends with, (batch,) int64 each, or None."""
    ids = case.input_ids
    if ids is None or not case.pad_ids or ids.shape[1] == 0:
        return None
    pads = torch.isin(ids, torch.tensor(case.pad_ids, device=ids.device))
    leading = pads.long().cumprod(1).sum(1)
    trailing = pads.flip(1).long().cumprod(1).sum(1)
    return leading, trailing.masked_fill(leading == ids.shape[1], 0)


def trailing_padding(case: Case) -> torch.Tensor | None:
    """Return how many positions after the last real token each row has, (batch,), None if none."""
    mask = case.attention_mask
    if mask is not None:
        after = (mask == 0).flip(1).long().cumprod(1).sum(1)
        after = after.masked_fill(after == mask.shape[1], 0)
        return after if after.any() else None
    runs = edge_runs(case)
    if runs is None:
        return None
    after = runs[1]
    if _pad_ends_text(case):  # a text may end with the token that ends texts, padding is unequal
        after = after - after.min() if len(after) > 1 else (after - 1).clamp(min=0)
    return after if after.any() else None


def visible_padding(case: Case) -> torch.Tensor | None:
    """Return which positions hold padding that no passed mask hides, (batch, length) bool.

    None if there is none. Padding is what rows have more of, at their start or end, than real text
    may have: one BOS or EOS that is also the padding token is text.
    """
    runs = edge_runs(case)
    if runs is None:
        return None
    ids, mask = case.input_ids, case.attention_mask
    leading, trailing = runs
    own = _pad_ends_text(case) or getattr(case.tokenizer, "bos_token_id", None) in case.pad_ids
    places = torch.arange(ids.shape[1], device=ids.device)
    seen = places < leading[:, None]
    seen |= places >= ids.shape[1] - trailing[:, None]
    if mask is not None:
        seen &= mask != 0
    if own:
        counts = seen.sum(1)
        least = int(counts.min()) if len(ids) > 1 else min(1, int(counts.min()))
        slack = 1 if mask is not None else 0
        extra = counts - least
        if not (extra > slack).any():
            return None
        # what is text stands nearest to the text: at the end of the leading run
        kept = (places >= leading[:, None] - least) & (places < leading[:, None])
        seen &= ~kept if least and bool((leading >= least).all()) else torch.ones_like(seen)
    return seen if seen.any() else None


def _padded_left(case: Case, after: torch.Tensor) -> dict:
    """Return the inputs with each row's trailing padding moved before its text."""
    ids, mask = case.input_ids, case.attention_mask
    if mask is None:
        places = torch.arange(ids.shape[1], device=ids.device)
        mask = (places < ids.shape[1] - after[:, None]).long()
    rolled = [
        [row.roll(int(by)) for row, by in zip(rows, after, strict=True)] for rows in (ids, mask)
    ]
    left, hidden = map(torch.stack, rolled)
    inputs = {name: value for name, value in case.inputs.items() if name != "position_ids"}
    return inputs | {"input_ids": left, "attention_mask": hidden}

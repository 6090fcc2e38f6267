"""Pitfalls in ids, masks and positions: what the model is made to read."""

from collections.abc import Iterator

import torch

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair


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
        f"{rows} of {len(after)} rows end with padding, at most {int(after.max())} tokens.",
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


def mask_hides_tokens(case: Case) -> Iterator[Finding]:
    """A mask of 0 over tokens that are no padding."""
    hidden = hidden_text(case)
    if hidden is None:
        return
    row = int(hidden.any(1).nonzero()[0])
    token = int(case.input_ids[row][hidden[row]][0])
    name = case.tokenizer.convert_ids_to_tokens(token) if case.tokenizer is not None else None
    repaired = case.attention_mask.clone()
    repaired[hidden] = 1
    yield Finding(
        "mask-hides-tokens",
        ERROR,
        CERTAIN,
        f"attention_mask is 0 at {int(hidden.sum())} tokens that are no padding, the first of them "
        f"token {token} ({name!r}) in row {row}.",
        "The model does not see these tokens, and the positions of those after them are wrong.",
        "model.generate(**inputs, ...)  # the tokenizer's own mask",
        repair=lambda: Repair({**case.inputs, "attention_mask": repaired}, case.call),
    )


def hidden_text(case: Case) -> torch.Tensor | None:
    """Return where a mask hides text, (batch, length) bool; None if nowhere.

    Other ids than padding are text, unless the tokenizer has no padding token and the hidden ids at
    an edge are all the same. So is one end of text between visible tokens, where it is the padding
    token too: padding in the middle stands after an end that is visible.
    """
    ids, mask = case.input_ids, case.attention_mask
    if mask is None or not mask.any():
        return None
    zero = mask == 0
    if not zero.any():
        return None
    first, last = mask.long().argmax(1), mask.shape[1] - 1 - mask.flip(1).long().argmax(1)
    places = torch.arange(ids.shape[1], device=ids.device)
    inside = (places > first[:, None]) & (places < last[:, None])
    edges = ids[zero & ~inside].unique().tolist()
    padding = {case.pad_id} - {None}
    if not padding and len(edges) == 1:
        padding = set(edges)
    text = zero.clone()
    for pad in padding:
        text &= ids != pad
    if _pad_ends_text(case):
        after_text = torch.zeros_like(zero)
        after_text[:, 1:] = (mask[:, :-1] != 0) & (ids[:, :-1] != case.pad_id)
        text |= zero & inside & (ids == case.pad_id) & after_text
    return text if text.any() else None


def position_ids(case: Case) -> Iterator[Finding]:
    """Positions that count padding: passed to `generate`, or in a loop of one's own."""
    given = case.inputs.get("position_ids", case.call.get("position_ids"))
    looked_at = (
        [(case.input_ids, case.attention_mask, given, None, None)] if given is not None else []
    )
    looked_at += [
        (step.input_ids, step.attention_mask, step.position_ids, step.line, step.file)
        for step in case.forwards
    ]
    for ids, mask, positions, line, file in looked_at:
        shift = ignored_padding(ids, mask, positions)
        if not shift:
            continue
        learned = learns_positions(case.model)
        what = "are missing" if positions is None else "count the padding"
        right = _positions(mask)
        yield Finding(
            "position-ids",
            ERROR if learned else WARNING,
            CERTAIN,
            f"position_ids {what}: a row begins with {shift} padding tokens, and its text is put "
            f"at position {shift} instead of 0.",
            "This model learned a vector for each position, so every logit changes."
            if learned
            else "Rotary positions only shift together: logits move in their last digits, and in "
            "bfloat16 tokens change.",
            "position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)",
            line=line,
            file=file,
            repair=None if given is None else lambda right=right: _with_positions(case, right),
        )
        return


def _with_positions(case: Case, positions: torch.Tensor) -> Repair:
    call = {name: value for name, value in case.call.items() if name != "position_ids"}
    return Repair({**case.inputs, "position_ids": positions}, call)


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def ignored_padding(ids, mask, positions) -> int:
    """Return by how much positions are too large because of padding on the left; 0 if they fit.

    All (batch, length); in a step with a cache the mask is longer than ids and positions, of which
    the last tokens count. positions=None: the model counts from 0, padding included.
    """
    if not isinstance(mask, torch.Tensor) or mask.dim() != 2 or not (mask[:, -1] != 0).any():
        return 0
    given = isinstance(positions, torch.Tensor)
    length = positions.shape[-1] if given else mask.shape[1] if ids is None else ids.shape[-1]
    if length > mask.shape[1]:
        return 0
    seen = mask[:, -length:] != 0
    right = _positions(mask)[:, -length:]
    counted = torch.arange(mask.shape[1], device=mask.device)[-length:].expand_as(right)
    wrong = ((positions if given else counted) - right).masked_fill(~seen, 0)
    return int(wrong.max())


def learns_positions(model) -> bool:
    """Tell whether a model has a learned vector for each position, as GPT-2 has."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not most:
        return False
    tables = (part for part in model.modules() if isinstance(part, torch.nn.Embedding))
    vocabulary = model.get_input_embeddings()
    return any(
        table is not vocabulary and 0 <= table.num_embeddings - most <= 2 for table in tables
    )


def doubled_bos(case: Case) -> Iterator[Finding]:
    """Special tokens twice: a rendered template was tokenized with special tokens once more."""
    ids, bos = case.input_ids, getattr(case.tokenizer, "bos_token_id", None)
    if ids is None or ids.shape[1] < 2 or case.tokenizer is None:
        return
    twice = None if bos is None else _begins_twice(case, bos)
    if twice is not None and twice.any():
        yield Finding(
            "doubled-bos",
            ERROR,
            CERTAIN,
            f"{int(twice.sum())} of {len(ids)} prompts begin with {case.tokenizer.bos_token!r} "
            "twice: once from the text, once from the tokenizer.",
            "No training text begins so; the extra token moves the distribution of what follows.",
            'inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
            repair=lambda: Repair(_without_first_bos(case, twice), case.call),
        )
    elif _closed_by_tokenizer(case):
        name = case.tokenizer.convert_ids_to_tokens(int(ids[0, -1]))
        yield Finding(
            "doubled-bos",
            ERROR,
            CERTAIN,
            f"The tokenizer put {name!r} after the prompt, which its template did not.",
            "The prompt looks finished, so the model begins something new after it.",
            'inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
            repair=lambda: Repair(
                {name: value[:, :-1] for name, value in case.inputs.items()}, case.call
            ),
        )


def _begins_twice(case: Case, bos: int) -> torch.Tensor | None:
    """Return which rows begin with two BOS, (batch,) bool, padding apart."""
    ids, mask = case.input_ids, case.attention_mask
    if mask is not None:
        start = mask.long().argmax(1)
    elif bos == case.pad_id:
        return None  # padding cannot be told from BOS
    elif case.pad_id is None:
        start = torch.zeros(len(ids), dtype=torch.long, device=ids.device)
    else:
        start = (ids == case.pad_id).long().cumprod(1).sum(1)
    start = start.clamp(max=ids.shape[1] - 2)
    pair = torch.stack([start, start + 1], dim=1)
    return (ids.gather(1, pair) == bos).all(1)


def _without_first_bos(case: Case, twice: torch.Tensor) -> dict:
    """Return the inputs without the first BOS of such rows; hidden, where other rows need it."""
    if twice.all() and case.attention_mask is not None and case.attention_mask[:, 0].all():
        whole = ("input_ids", "attention_mask", "position_ids")
        return {
            name: value[:, 1:] if name in whole else value for name, value in case.inputs.items()
        }
    ids = case.input_ids
    mask = case.attention_mask
    mask = torch.ones_like(ids) if mask is None else mask.clone()
    rows = twice.nonzero().flatten()
    mask[rows, mask[rows].argmax(1)] = 0
    inputs = {name: value for name, value in case.inputs.items() if name != "position_ids"}
    return inputs | {"attention_mask": mask}


def _closed_by_tokenizer(case: Case) -> bool:
    """Whether a template's text was given, and the tokenizer added a token after it."""
    if not isinstance(case.prompt, str) or not case.is_chat:
        return False
    last = int(case.input_ids[0, -1])
    ends = {case.tokenizer.eos_token_id, getattr(case.tokenizer, "sep_token_id", None)} - {None}
    return last in ends and not case.prompt.rstrip().endswith(
        case.tokenizer.convert_ids_to_tokens(last)
    )


def prompt_too_long(case: Case) -> Iterator[Finding]:
    """More tokens than the model has positions for."""
    length, window = _longest(case), case.window
    if window is None or length <= window:
        return
    keep = max(1, window - (_room(case) or 1))
    yield Finding(
        "prompt-too-long",
        ERROR,
        CERTAIN,
        f"The prompt has {length} tokens and the model was made for {window}.",
        "Positions beyond that were never trained: the model fails, or its text falls apart.",
        f'inputs = tokenizer(text, truncation=True, max_length={keep}, return_tensors="pt")',
        repair=None
        if learns_positions(case.model)
        else lambda: Repair(
            {name: value[:, -keep:] for name, value in case.inputs.items()}, case.call
        ),
    )


def beyond_context(case: Case) -> Iterator[Finding]:
    """A limit that lets the text grow past the model's positions."""
    length, window, room = _longest(case), case.window, _room(case)
    if window is None or room is None or length > window or length + room <= window:
        return
    left = max(1, window - length)
    fails = learns_positions(case.model)
    yield Finding(
        "beyond-context",
        WARNING,
        CERTAIN,
        f"{length} tokens of prompt and up to {room} new ones make {length + room}, and the model "
        f"was made for {window}.",
        "The loop fails with an IndexError when it gets there."
        if fails
        else "Text beyond that is written at positions that were never trained.",
        f"model.generate(..., max_new_tokens={left})",
    )


def _longest(case: Case) -> int:
    """Return the tokens of the longest prompt, without padding that a mask hides."""
    if case.attention_mask is not None:
        return int((case.attention_mask != 0).sum(1).max())
    return case.prompt_length


def _room(case: Case) -> int | None:
    """Return how many tokens may be added, None if nothing says so."""
    most = case.setting("max_length")
    if case.config is None:
        new = case.setting("max_new_tokens")
        return new if isinstance(new, int) else None
    return None if most is None else int(most) - case.prompt_length


def _pad_ends_text(case: Case) -> bool:
    return case.pad_id in case.eos_ids


def _guessed(case: Case) -> bool:
    """Whether `generate` makes a mask from its pad_token_id, and that one finds the padding."""
    pad = case.setting("pad_token_id")
    return pad is not None and int(pad) == case.pad_id


def edge_runs(case: Case) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return how many padding ids each row starts and ends with, (batch,) int64 each, or None."""
    ids = case.input_ids
    if ids is None or case.pad_id is None or ids.shape[1] == 0:
        return None
    pads = ids == case.pad_id
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
    places = torch.arange(ids.shape[1], device=ids.device)
    seen = places < leading[:, None]
    seen |= places >= ids.shape[1] - trailing[:, None]
    if mask is not None:
        seen &= mask != 0
    begins_text = getattr(case.tokenizer, "bos_token_id", None) == case.pad_id
    if _pad_ends_text(case) or begins_text:
        counts = seen.sum(1)
        least = int(counts.min()) if len(ids) > 1 else min(1, int(counts.min()))
        if int(counts.max()) - least <= (0 if mask is None else 1):
            return None
        if begins_text and bool((leading >= least).all()):  # the last of them begin the text
            first = leading[:, None] - least
            seen &= ~((places >= first) & (places < leading[:, None]))
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

"""Pitfalls in ids, masks and positions: what the model is made to read."""

from collections.abc import Iterator

import torch

from llmcourse.doctor.case import Case, Forward
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall

# Rows that a table of positions may have besides: the first two of OPT's and BART's are not used.
_MOST_UNUSED = 2


@pitfall(
    "padding-side",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    symptom="In a batch, the longest prompt is continued well and the shorter ones with nonsense.",
    cause="""
        A decoder-only model continues after the *last* position of a row. With padding on the right
        that position holds a pad token, so the first new token is chosen after padding, and all new
        tokens stand behind a gap.
    """,
    fix="Set the side before tokenizing.",
    example="""
        tokenizer.padding_side = "left"
        inputs = tokenizer(prompts, padding=True, return_tensors="pt")
    """,
    how_sure="""
        Certain: the mask, or the pad tokens at the end of a row, show it. Likely where there is no
        mask and the pad token also ends texts.
    """,
)
def padding_side(case: Case) -> Iterator[Finding]:
    """Padding after the last real token: `generate` goes on from the padding."""
    after = trailing_padding(case)
    inferred = after is None
    if inferred:
        after = _filled(case)
    if after is None or not case.decoder_only:
        return
    rows = int((after > 0).sum())
    yield Finding(
        code="padding-side",
        severity=ERROR,
        confidence=LIKELY
        if inferred or (case.attention_mask is None and _pad_ends_text(case))
        else CERTAIN,
        what=f"{rows} of {len(after)} rows end with padding, at most {int(after.max())} tokens.",
        why=(
            "A decoder-only model continues from the last position, so these rows are continued "
            "from a padding token instead of from their own text."
        ),
        fix=(
            'tokenizer.padding_side = "left"; inputs = tokenizer(texts, return_tensors="pt", '
            "padding=True)"
        ),
        repair=lambda: Repair(_padded_left(case, after), case.call),
    )


@pitfall(
    "no-mask",
    subject=Subject.BATCHES,
    severities=(ERROR, NOTE),
    needs=(Needs.CALL, Needs.FORWARDS),
    symptom="A padded batch gives other texts than the prompts one by one.",
    cause="""
        Without `attention_mask` the loop has to guess what is padding. It can only where the pad
        token is not also a token that ends texts; else pads are attended to like words, and
        positions are counted from the first pad.
    """,
    fix="Pass everything that the tokenizer returns.",
    example="model.generate(**inputs)  # not model.generate(inputs.input_ids)",
    how_sure="""
        Certain where padding is a token of its own; likely where it also ends texts, as the ids
        could mean just that. A single prompt without padding needs no mask and gets no finding.
    """,
)
def no_mask(case: Case) -> Iterator[Finding]:
    """Padding that the model would read as text, since no mask hides it."""
    for step in case.forwards:
        count, of_text = _unhidden(case, step)
        if not count:
            continue
        yield Finding(
            code="no-mask",
            severity=ERROR,
            confidence=LIKELY if of_text else CERTAIN,
            what=f"{count} of {len(step.input_ids)} rows begin with padding, and have no mask.",
            why="The padding is read as part of the text, and shifts its positions.",
            fix="model(**inputs)  # ids and mask from one call of the tokenizer",
            line=step.line,
            file=step.file,
        )
    seen = visible_padding(case)
    if seen is None:
        return
    hidden_by_guess = not case.mask_given and not _pad_ends_text(case) and _guessed(case)
    if hidden_by_guess:
        severity, why = NOTE, _GUESSED
    else:
        severity, why = ERROR, "The padding is read as part of the text, and shifts its positions."
    given = "a mask of ones" if case.mask_given else "no attention_mask"
    count, rows = int(seen.sum()), int(seen.any(1).sum())
    yield Finding(
        code="no-mask",
        severity=severity,
        confidence=CERTAIN if not _pad_ends_text(case) else LIKELY,
        what=f"{count} padding tokens in {rows} of {len(seen)} rows, and {given}.",
        why=why,
        fix="model.generate(**inputs, ...)  # ids and mask from one call of the tokenizer",
        repair=lambda: Repair({**case.inputs, "attention_mask": (~seen).long()}, case.call),
    )


_MANY = 3  # pads at the beginning of a single row: no text begins so


def _unhidden(case: Case, step: Forward) -> tuple[int, bool]:
    """Return how many rows of a pass are padded without a mask; whether texts may begin so."""
    ids, pad = step.input_ids, case.pad_id
    if step.attention_mask is not None or step.cached or ids is None or pad is None:
        return 0, False
    if ids.dim() != 2 or ids.shape[1] < 2:
        return 0, False
    before = (ids == pad).long().cumprod(1).sum(1)  # of each row
    named = (getattr(case.tokenizer, name, None) for name in ("bos_token_id", "eos_token_id"))
    of_text = pad in named
    padded = (before >= 1 + of_text) & (before < ids.shape[1])
    if len(ids) == 1:  # padded by hand: nothing but the number of pads shows it
        return int(padded.sum()) if int(before.max()) >= _MANY else 0, of_text
    return (0 if int(before.min()) == int(before.max()) else int(padded.sum())), of_text


_GUESSED = (
    "`generate` guesses a mask from pad_token_id here; a loop of your own, or another padding "
    "token, would read the padding as text."
)


@pitfall(
    "pad-is-eos",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="As for [no-mask](#no-mask): rows of a padded batch go astray.",
    cause="""
        `pad_token = eos_token` is a common remedy for a missing pad token, and harmless *with* a
        mask. Without one, `generate` cannot tell padding from ends of texts and attends to all of
        it.
    """,
    fix="Keep the remedy, and pass the mask.",
    example="""
        tokenizer.pad_token = tokenizer.eos_token
        inputs = tokenizer(prompts, padding=True, return_tensors="pt")
        model.generate(**inputs)
    """,
    how_sure="""
        Likely: the mask is absent, and what looks like padding could be real ends of texts.
    """,
)
def pad_is_eos(case: Case) -> Iterator[Finding]:
    """Why no mask can be guessed: the padding looks like the end of a text."""
    seen = visible_padding(case)
    if seen is None or case.mask_given or not _pad_ends_text(case):
        return
    token = case.input_ids[seen][0].item()
    yield Finding(
        code="pad-is-eos",
        severity=WARNING,
        confidence=LIKELY,
        what=f"Padding is token {token}, which also ends a text, and the mask was left out.",
        why="Ids alone cannot tell padding from a real end of text, so `generate` hides nothing.",
        fix="model.generate(**inputs, ...)  # with the tokenizer's attention_mask",
        repair=lambda: Repair({**case.inputs, "attention_mask": (~seen).long()}, case.call),
    )


@pitfall(
    "mask-hides-tokens",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    symptom="The answer ignores a part of the prompt.",
    cause="""
        The mask has a 0 over a token that is no padding. The model cannot attend to it in any step.
    """,
    fix="""
        Take mask and ids from the same call of the tokenizer; a mask made by hand is 1 wherever the
        text is.
    """,
    example='inputs = tokenizer(prompts, padding=True, return_tensors="pt")',
    how_sure="Certain if the hidden id is not the pad token.",
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
        code="mask-hides-tokens",
        severity=ERROR,
        confidence=CERTAIN,
        what=(
            f"attention_mask is 0 at {int(hidden.sum())} tokens that are no padding, the first of "
            f"them token {token} ({name!r}) in row {row}."
        ),
        why="The model does not see these tokens, and the positions of those after them are wrong.",
        fix="model.generate(**inputs, ...)  # the tokenizer's own mask",
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
        after_text &= places != (case.cached or -1)  # padded behind what a cache holds
        text |= zero & inside & (ids == case.pad_id) & after_text
    return text if text.any() else None


@pitfall(
    "position-ids",
    subject=Subject.BATCHES,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.CALL, Needs.FORWARDS),
    symptom="""
        A loop written by hand around `model(...)` differs from `generate` as soon as a row is
        padded.
    """,
    cause="""
        Without `position_ids` the forward pass counts positions from the first column, padding
        included. `generate` counts from the first real token. A model with learned positions
        (GPT-2) then reads each word as if it stood further right; one with rotary positions sees
        the same distances, but rounds differently, which changes tokens in bfloat16.
    """,
    fix="Count as `generate` does; in later steps add 1.",
    example="""
        position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        logits = model(input_ids, attention_mask=attention_mask, position_ids=position_ids).logits
    """,
    how_sure="""
        Certain: the positions are in the call. With a table of learned positions it is an error;
        with rotary positions a warning in half precision, where tokens change, and a note in
        float32, where that takes two tokens that are all but tied. Only `watch` and
        `python -m llmcourse doctor` see loops.
    """,
)
def position_ids(case: Case) -> Iterator[Finding]:
    """Positions that count padding: passed to `generate`, or in a loop of one's own."""
    given = case.inputs.get("position_ids", case.call.get("position_ids"))
    passed = Forward(case.input_ids, case.attention_mask, given)
    steps = case.forwards if given is None else [passed, *case.forwards]
    for step in steps:
        shift = ignored_padding(step.input_ids, step.attention_mask, step.position_ids)
        if not shift:
            continue
        learned = learns_positions(case.model)
        does = "are missing" if step.position_ids is None else "count the padding"
        right = _positions(step.attention_mask)
        yield Finding(
            code="position-ids",
            severity=ERROR if learned else NOTE if _in_float32(case.model) else WARNING,
            confidence=CERTAIN,
            what=(
                f"position_ids {does}: a row begins with {shift} padding tokens, and its text is "
                f"put at position {shift} instead of 0."
            ),
            why=_LEARNED if learned else _ROTARY,
            fix="position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)",
            line=step.line,
            file=step.file,
            repair=None if given is None else lambda right=right: _with_positions(case, right),
        )
        return


_LEARNED = "This model learned a vector for each position, so every logit changes."
_ROTARY = (
    "Rotary positions only shift together: logits move in their last digits, and in bfloat16 "
    "tokens change."
)


def _in_float32(model) -> bool:
    return getattr(model, "dtype", None) == torch.float32


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
    sizes = range(most, most + _MOST_UNUSED + 1)
    return any(table is not vocabulary and table.num_embeddings in sizes for table in tables)


@pitfall(
    "doubled-bos",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom="""
        Answers are a little worse, or differ from those of a server that runs the same model.
    """,
    cause="""
        The template writes the first special token into the text, and tokenizing that text adds it
        again.
    """,
    fix="Let the template tokenize, or add nothing the second time.",
    example='inputs = tokenizer(rendered, add_special_tokens=False, return_tensors="pt")',
    how_sure="Certain: the ids begin with the token twice.",
)
def doubled_bos(case: Case) -> Iterator[Finding]:
    """Special tokens twice: a rendered template was tokenized with special tokens once more."""
    ids, bos = case.input_ids, getattr(case.tokenizer, "bos_token_id", None)
    if ids is None or ids.shape[1] < 2 or case.tokenizer is None:
        return
    twice = None if bos is None else _begins_twice(case, bos)
    if twice is not None and twice.any():
        yield Finding(
            code="doubled-bos",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"{int(twice.sum())} of {len(ids)} prompts begin with {case.tokenizer.bos_token!r} "
                "twice: once from the text, once from the tokenizer."
            ),
            why=(
                "No training text begins so; the extra token moves the distribution of what "
                "follows."
            ),
            fix='inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
            repair=lambda: Repair(_without_first_bos(case, twice), case.call),
        )
    elif _closed_by_tokenizer(case):
        name = case.tokenizer.convert_ids_to_tokens(int(ids[0, -1]))
        yield Finding(
            code="doubled-bos",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The tokenizer put {name!r} after the prompt, which its template did not.",
            why="The prompt looks finished, so the model begins something new after it.",
            fix='inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
            repair=lambda: Repair(
                {name: value[:, :-1] for name, value in case.inputs.items()}, case.call
            ),
        )


def _begins_twice(case: Case, bos: int) -> torch.Tensor | None:
    """Return which rows begin with two BOS, (batch,) bool, padding apart."""
    ids = case.input_ids
    if case.attention_mask is None and bos == case.pad_id:
        return None  # padding cannot be told from BOS
    starts = [min(start, ids.shape[1] - 2) for start in case.starts]
    rows = zip(case.id_rows, starts, strict=True)
    return torch.tensor([row[start] == row[start + 1] == bos for row, start in rows])


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


@pitfall(
    "missing-bos",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="Answers are worse than those of the same model elsewhere, from the first word on.",
    cause="""
        The tokenizer begins a text with a token of its own, as in training, and these ids were made
        with `add_special_tokens=False`, joined by hand, or cut at their beginning.
    """,
    fix="Let the tokenizer add it, or its template; and cut a long text before that.",
    example='inputs = tokenizer(text, return_tensors="pt")  # adds it',
    how_sure="""
        Likely: that the token is missing is sure; a template may leave it out for a model that was
        trained so, and then nothing is said.
    """,
)
def missing_bos(case: Case) -> Iterator[Finding]:
    """The tokenizer begins texts with BOS, and a prompt does not."""
    ids, bos = case.input_ids, getattr(case.tokenizer, "bos_token_id", None)
    if ids is None or bos is None or not ids.shape[1] or not case.decoder_only or case.cached:
        return
    if not _opens_with_bos(case):
        return
    rows = zip(case.id_rows, case.starts, strict=True)
    without = sum(row[min(start, len(row) - 1)] != bos for row, start in rows)
    if not without or not _adds_bos(case.tokenizer, bos):
        return
    yield Finding(
        code="missing-bos",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"{without} of {len(ids)} prompts are missing {case.tokenizer.bos_token!r}, "
            "with which this tokenizer begins every text."
        ),
        why="The model was trained on texts that begin with it: without it everything moves.",
        fix='inputs = tokenizer(text, return_tensors="pt")  # not add_special_tokens=False',
    )


def _adds_bos(tokenizer, bos: int) -> bool:
    return tokenizer("a")["input_ids"][:1] == [bos]


def _opens_with_bos(case: Case) -> bool:
    """Tell whether this kind of prompt begins with BOS: a chat does if its template writes it."""
    return not case.is_chat or case.tokenizer.bos_token in case.template.opening


@pitfall(
    "beyond-context",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="""
        A long output turns to nonsense after a point, or an IndexError comes from the position
        table.
    """,
    cause="""
        Prompt and new tokens together go beyond the positions that the model has been trained on
        (`max_position_embeddings`). Learned positions end there; rotary ones go on, untrained.
    """,
    fix="Ask for fewer tokens, or shorten the prompt.",
    example="""
        room = model.config.max_position_embeddings - inputs.input_ids.shape[1]
        model.generate(**inputs, max_new_tokens=min(200, room))
    """,
    how_sure="Certain that the limit lies beyond; a text that ends earlier never gets there.",
)
def beyond_context(case: Case) -> Iterator[Finding]:
    """A limit that lets the text grow past the model's positions."""
    window, room = case.window, _room(case)
    if window is None or room is None or case.prompt_length + room <= window:
        return
    length = _longest(case)
    if length > window or length + room <= window:
        return
    left = max(1, window - length)
    fails = learns_positions(case.model)
    yield Finding(
        code="beyond-context",
        severity=WARNING,
        confidence=CERTAIN,
        what=(
            f"{length} tokens of prompt and up to {room} new ones make {length + room}, and the "
            f"model was made for {window}."
        ),
        why=(
            "The loop fails with an IndexError when it gets there."
            if fails
            else "Text beyond that is written at positions that were never trained."
        ),
        fix=f"model.generate(..., max_new_tokens={left})",
    )


@pitfall(
    "prompt-too-long",
    subject=Subject.LENGTH,
    severities=(ERROR,),
    explains_refusal=True,
    symptom="As for [beyond-context](#beyond-context), but from the first new token on.",
    cause="The prompt is longer than the model's window by itself.",
    fix="Shorten the text, or keep its end.",
    example="""
        tokenizer.truncation_side = "left"
        inputs = tokenizer(text, truncation=True, max_length=1000, return_tensors="pt")
    """,
    how_sure="Certain: the number of tokens and the window are in the finding.",
)
def prompt_too_long(case: Case) -> Iterator[Finding]:
    """More tokens than the model has positions for."""
    window = case.window
    if window is None or case.prompt_length <= window or (length := _longest(case)) <= window:
        return
    keep = max(1, window - (_room(case) or 1))
    yield Finding(
        code="prompt-too-long",
        severity=ERROR,
        confidence=CERTAIN,
        what=f"The prompt has {length} tokens and the model was made for {window}.",
        why="Positions beyond that were never trained: the model fails, or its text falls apart.",
        fix=f'inputs = tokenizer(text, truncation=True, max_length={keep}, return_tensors="pt")',
        repair=None
        if learns_positions(case.model)
        else lambda: Repair(
            {name: value[:, -keep:] for name, value in case.inputs.items()}, case.call
        ),
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
    """Return how many padding ids each row starts and ends with, (batch,) int64; None for none."""
    ids = case.input_ids
    if ids is None or ids.shape[1] == 0:
        return None
    if not any(case.pad_id in (row[0], row[-1]) for row in case.id_rows):
        return None
    pads = ids == case.pad_id
    leading = pads.long().cumprod(1).sum(1)
    trailing = pads.flip(1).long().cumprod(1).sum(1)
    return leading, trailing.masked_fill(leading == ids.shape[1], 0)


def trailing_padding(case: Case) -> torch.Tensor | None:
    """Return how many positions after the last real token each row has, (batch,), None if none."""
    mask = case.attention_mask
    if mask is not None:
        if bool(mask[:, -1].all()):
            return None
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


def _filled(case: Case) -> torch.Tensor | None:
    """Return how many ids of one kind, other than the padding token's, fill up rows' ends.

    (batch,), None if there are none, or a mask was passed. It is a special token twice or more, or
    token 0 more often, at the end of some rows and not of others: no text ends so.
    """
    ids = case.input_ids
    if ids is None or case.mask_given or len(ids) < 2 or ids.shape[1] < 3:
        return None
    doubled = ids[:, -1] == ids[:, -2]
    if not doubled.any() or doubled.all():
        return None
    fills = ids[doubled, -1].unique().tolist()
    special = set(getattr(case.tokenizer, "all_special_ids", ())) - {case.pad_id}
    if len(fills) != 1 or (fills[0] not in special and fills[0] != 0) or fills[0] == case.pad_id:
        return None
    after = (ids == fills[0]).flip(1).long().cumprod(1).sum(1)
    fewest = 2 if fills[0] in special else 4
    ends = after.masked_fill(after < fewest, 0)
    return ends if ends.any() and not after.all() else None


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

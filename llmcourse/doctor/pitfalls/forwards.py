"""Pitfalls of a loop written by hand: what each forward pass reads, and what it goes on from."""

import difflib
import functools
import inspect
from collections.abc import Iterator

import torch

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import printable

_IGNORED = -100  # labels of this value count for nothing
_BEGINNING = 12  # tokens: a template's system message, which no turn after the first repeats
_SHORTEST = 4  # tokens by which labels are seen to be the ids moved by one
_ON = 2  # tokens after an end that show that nobody looked for it
_SHOWN = 40  # characters of a token's name or an argument's
_USUAL = {
    *("input_ids", "attention_mask", "position_ids", "past_key_values", "labels", "use_cache"),
    *("inputs_embeds", "output_hidden_states", "output_attentions", "return_dict"),
    *("logits_to_keep", "cache_position", "token_type_ids"),
}
# Arguments of former versions, and of other libraries, with today's.
_OLD = {"past": "past_key_values", "mask": "attention_mask", "targets": "labels"}


@pitfall(
    "text-fed-again",
    subject=Subject.MODEL,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="A loop with a cache repeats words, or drifts into nonsense after a few tokens.",
    cause="""
        A cache holds what was read; a step reads what comes after it. Fed the whole text again, the
        model reads it as a second copy behind the first, at positions further on.
    """,
    fix="After the first step, feed the new token alone.",
    example="""
        made = model(token, past_key_values=cache, use_cache=True)
        cache, token = made.past_key_values, made.logits[:, -1:].argmax(-1)
    """,
    how_sure="Certain where the loop was seen: the ids begin with those that are in the cache.",
)
def text_fed_again(case: Case) -> Iterator[Finding]:
    """The ids begin with all that the cache holds."""
    for step in case.forwards:
        ids, fed = step.input_ids, step.fed
        if fed is None or ids is None or ids.shape[0] != fed.shape[0]:
            continue
        held = fed.shape[1]
        if ids.shape[1] < held or not torch.equal(ids[:, :held], fed.to(ids.device)):
            continue
        yield Finding(
            code="text-fed-again",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The ids begin with the {held} tokens that the cache already holds.",
            why="The model reads them a second time, behind the first, at positions further on.",
            fix=f"model(ids[:, {held}:], past_key_values=cache)  # what is new alone",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "cache-of-another-prompt",
    subject=Subject.MODEL,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="The first answer is good; later ones mix in the prompts before them.",
    cause="""
        The cache is made before the loop over the prompts, and nothing empties it: each prompt is
        read behind all that came before it.
    """,
    fix="Begin each prompt with a new cache.",
    example="""
        for prompt in prompts:
            cache = DynamicCache()
    """,
    how_sure="""
        Likely: what is read begins as the cache's text does, with the same many tokens, and goes on
        otherwise.
    """,
)
def cache_of_another_prompt(case: Case) -> Iterator[Finding]:
    """A text that begins as the cache's does, read behind it."""
    for step in case.forwards:
        ids, fed = step.input_ids, step.fed
        if fed is None or ids is None or ids.shape[0] != fed.shape[0]:
            continue
        both = min(ids.shape[1], fed.shape[1])
        alike = ids[:, :both] == fed[:, :both].to(ids.device)
        shared = int(alike.all(0).long().cumprod(0).sum())
        if shared < _BEGINNING or shared == fed.shape[1]:
            continue
        yield Finding(
            code="cache-of-another-prompt",
            severity=ERROR,
            confidence=LIKELY,
            what=(
                f"The cache holds {fed.shape[1]} tokens, and the ids begin a text of their own, "
                f"with the same {shared} tokens."
            ),
            why="The model reads the new prompt as going on from the old one.",
            fix="cache = DynamicCache()  # a new one for each prompt",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "positions-start-again",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="A loop with a cache goes astray after its first token, or repeats it.",
    cause="""
        Positions count the whole text, what is in the cache included. Counted from 0 in each step,
        a new token is put where the first one stands.
    """,
    fix="Begin where the cache ends, or leave `position_ids` to the model where nothing is padded.",
    example="""
        start = cache.get_seq_length()
        position_ids = torch.arange(start, start + ids.shape[1])[None]
    """,
    how_sure="Certain: the cache's tokens are counted, and the positions are in the call.",
)
def positions_start_again(case: Case) -> Iterator[Finding]:
    """Positions that lie before the cache's end."""
    for step in case.forwards:
        given, mask = step.position_ids, step.attention_mask
        if not step.cached or given is None or given.dim() > 2:
            continue
        first = torch.atleast_2d(given)[:, 0]
        expected = torch.full_like(first, step.cached)
        if mask is not None:
            if mask.dim() != 2 or mask.shape[1] <= step.cached or len(mask) != len(first):
                continue
            expected = mask[:, : step.cached].sum(1).to(first)
        behind = first < expected
        if not behind.any():
            continue
        row = int(behind.nonzero()[0])
        yield Finding(
            code="positions-start-again",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"position_ids begin at {int(first[row])}, and the cache holds "
                f"{int(expected[row])} tokens of that row."
            ),
            why="The new token is put among the old ones, and its distances to them are wrong.",
            fix="position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "mask-does-not-grow",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="A loop written by hand goes astray after its first token.",
    cause="""
        The mask covers the prompt, and the loop appends tokens: what lies beyond the mask is not
        attended to, so the model never sees what it has written.
    """,
    fix="Append a 1 for each new token.",
    example="""
        ids = torch.cat([ids, token], dim=1)
        mask = torch.cat([mask, torch.ones_like(token)], dim=1)
    """,
    how_sure="Certain where the loop was seen: the mask, the ids and the cache are counted.",
)
def mask_does_not_grow(case: Case) -> Iterator[Finding]:
    """A mask that is shorter than cache and ids together."""
    for step in case.forwards:
        ids, mask = step.input_ids, step.attention_mask
        if ids is None or mask is None or ids.dim() != 2 or mask.dim() != 2:
            continue
        if step.has_cache and not step.cached:
            continue  # a state of another kind
        whole = step.cached + ids.shape[1]
        if mask.shape[1] >= whole:
            continue
        held = f", {step.cached} of them in the cache" if step.cached else ""
        yield Finding(
            code="mask-does-not-grow",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"attention_mask covers {mask.shape[1]} tokens, and the text has {whole}{held}.",
            why="A mask counts from the text's first token, the cache's too: what lies beyond is "
            "not attended to.",
            fix="mask = torch.cat([mask, torch.ones_like(token)], dim=1)  # in each step",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "cache-not-fed-back",
    subject=Subject.MODEL,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="A loop written by hand writes nonsense that has nothing to do with the prompt.",
    cause="""
        The loop feeds the last token alone, as one does with a cache, and passes no cache: the
        model sees a text of one token in each step.
    """,
    fix="Pass on the cache that the step before returned, or feed all ids.",
    example="""
        made = model(token, past_key_values=cache, use_cache=True)
        cache = made.past_key_values
    """,
    how_sure="""
        Certain where the loop was seen with its mask: that covers more tokens than the model got.
    """,
)
def cache_not_fed_back(case: Case) -> Iterator[Finding]:
    """A mask of the whole text, one token, and no cache."""
    for step in case.forwards:
        ids, mask = step.input_ids, step.attention_mask
        if ids is None or mask is None or ids.dim() != 2 or mask.dim() != 2:
            continue
        if step.has_cache or mask.shape[1] <= ids.shape[1]:
            continue
        yield Finding(
            code="cache-not-fed-back",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"attention_mask covers {mask.shape[1]} tokens, the ids are {ids.shape[1]}, and no "
                "cache is passed."
            ),
            why="The model sees these ids and nothing of the text before them.",
            fix="model(token, attention_mask=mask, past_key_values=cache, use_cache=True)",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "padding-in-the-loss",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="Loss or perplexity depend on the batch: short texts have other values than alone.",
    cause="""
        `labels` are the ids, padding included, and each label counts unless it is -100. The model
        is asked how likely padding is after a text's end.
    """,
    fix="Set the labels to -100 where the mask is 0.",
    example="""
        labels = ids.masked_fill(mask == 0, -100)
        loss = model(ids, attention_mask=mask, labels=labels).loss
    """,
    how_sure="Certain: mask and labels are in the call, and compared.",
)
def padding_in_the_loss(case: Case) -> Iterator[Finding]:
    """Labels that are not -100 where the mask hides the token."""
    for step in case.forwards:
        labels, mask, ids = step.labels, step.attention_mask, step.input_ids
        if labels is None or mask is None or ids is None:
            continue
        if labels.shape != mask.shape or labels.shape != ids.shape or labels.dim() != 2:
            continue
        # The first of a row is predicted by nothing.
        counted = ((mask == 0) & (labels != _IGNORED) & (labels == ids))[:, 1:]
        count = int(counted.sum())
        if not count:
            continue
        yield Finding(
            code="padding-in-the-loss",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"labels hold {count} padding tokens in {int(counted.any(1).sum())} rows.",
            why="The loss is a mean over them too: it says how well padding is predicted.",
            fix="labels = input_ids.masked_fill(attention_mask == 0, -100)",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "labels-shifted-twice",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="The loss is that of guessing, however good the model; trained so, it skips words.",
    cause="""
        The model moves `labels` by one itself, to compare each place with the token after it. Moved
        before, each place is compared with the token after the next.
    """,
    fix="Pass the ids themselves as labels; move them only where you compute the loss.",
    example="loss = model(ids, labels=ids).loss",
    how_sure="Certain where the pass was seen: the labels are its ids, one place further.",
)
def labels_shifted_twice(case: Case) -> Iterator[Finding]:
    """Labels that are the ids moved by one."""
    for step in case.forwards:
        labels, ids = step.labels, step.input_ids
        if labels is None or ids is None or labels.shape != ids.shape or labels.dim() != 2:
            continue
        counts = labels[:, :-1] != _IGNORED
        if int(counts.sum()) < _SHORTEST:
            continue
        if not ((labels[:, :-1] == ids[:, 1:]) | ~counts).all():
            continue
        if ((labels[:, :-1] == ids[:, :-1]) | ~counts).all():
            continue  # one token again and again
        yield Finding(
            code="labels-shifted-twice",
            severity=ERROR,
            confidence=CERTAIN,
            what="labels are the input_ids, moved by one place, and the model moves them again.",
            why="Each place is compared with the token after the next.",
            fix="model(ids, labels=ids)  # or compute the loss from the logits",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "logits-of-padding",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="The longest text of a batch gets a sensible next token, the shorter ones nonsense.",
    cause="""
        With padding on the right, a row's last place holds padding. What the model predicts there,
        or its hidden state, is not that of the text's last token.
    """,
    fix="Take each row's last real place, or pad on the left.",
    example="""
        last = attention_mask.sum(1) - 1
        logits = model(ids, attention_mask=attention_mask).logits
        logits[torch.arange(len(ids)), last]
    """,
    how_sure="""
        Likely: the mask ends with zeros, and that the last place is read is seen in the source.
    """,
)
def logits_of_padding(case: Case) -> Iterator[Finding]:
    """Padding on the right, and the last place is read."""
    for step in case.forwards:
        if not step.reads_last or step.attention_mask is None:
            continue
        padded = int((step.attention_mask[:, -1] == 0).sum())
        yield Finding(
            code="logits-of-padding",
            severity=ERROR,
            confidence=LIKELY,
            what=(
                f"{padded} of {len(step.attention_mask)} rows end with padding, and the last place "
                "is read."
            ),
            why="There these rows have padding: the prediction is what comes after it.",
            fix="logits[torch.arange(len(logits)), attention_mask.sum(1) - 1]  # or pad left",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "loop-past-the-end",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.FORWARDS,),
    symptom="After its answer the model goes on: another turn, another text, or nonsense.",
    cause="""
        A loop written by hand ends when it says so. The token that ends a text was written, and the
        loop fed it back and went on, or looks for another one: a chat's turns end with a token of
        their own, and a model may have several.
    """,
    fix="Break when each row has written one of the model's ends.",
    example="""
        ends = torch.as_tensor(model.generation_config.eos_token_id)
        if torch.isin(token, ends).all():
            break
    """,
    how_sure="""
        Likely: the loop was seen to feed an end and two more tokens, one by one, in every row. A
        loop that reads a given text token by token does that too.
    """,
)
def loop_past_the_end(case: Case) -> Iterator[Finding]:
    """A loop that writes on after the end of all its rows."""
    for step in case.forwards:
        written = step.written
        if len(written) <= _ON or not set(written[-_ON - 1]) & set(_ends(case)):
            continue
        ends, fill = set(_ends(case)), {case.pad_id}
        ended = [any(token in ends for token in row) for row in zip(*written[:-_ON], strict=True)]
        after = {token for tokens in written[-_ON:] for token in tokens}
        if not all(ended) or after <= ends | fill:
            continue
        token = next(token for token in written[-_ON - 1] if token in ends)
        name = "" if case.tokenizer is None else case.tokenizer.convert_ids_to_tokens(token)
        said = f"{printable(name, _SHOWN)!r}, token {token}" if name else f"token {token}"
        yield Finding(
            code="loop-past-the-end",
            severity=WARNING,
            confidence=LIKELY,
            what=f"The loop wrote {said}, an end of the text, and did not stop.",
            why="What comes after the end belongs to another turn or text, and to nobody's answer.",
            fix=f"if token.item() in {sorted(ends)}: break  # eos, and a turn's end",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "loop-without-no-grad",
    subject=Subject.MODEL,
    severities=(NOTE,),
    needs=(Needs.FORWARDS,),
    symptom="Memory grows with each text until there is none left.",
    cause="""
        A forward pass keeps what a backward pass would need. Whoever keeps its output, or its
        cache, keeps all of that too.
    """,
    fix="Say that nothing is to be learned.",
    example="""
        with torch.inference_mode():
            output = model(**inputs)
    """,
    how_sure="""
        Certain in a run that the steps of a loop keep their graph in its cache; a note, since a
        short loop does no harm by it.
    """,
)
def loop_without_no_grad(case: Case) -> Iterator[Finding]:
    """A loop with a cache writes token after token, and gradients are on."""
    for step in case.forwards:
        if not step.learns or not step.cached or len(step.written) < _SHORTEST:
            continue
        if step.labels is not None or not any(one.requires_grad for one in _weights(case.model)):
            continue
        yield Finding(
            code="loop-without-no-grad",
            severity=NOTE,
            confidence=CERTAIN,
            what=(
                f"{len(step.written)} steps of this loop ran with gradients on, and the cache "
                f"keeps the graph of each, over {step.cached} tokens."
            ),
            why="What a backward pass would need stays in memory: torch.no_grad() leaves it out.",
            fix="with torch.inference_mode():  # around the loop",
            file=step.file,
            line=step.line,
        )


def _weights(model) -> Iterator[torch.Tensor]:
    return getattr(model, "parameters", lambda: iter(()))()


@pitfall(
    "prompt-truncated",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=(Needs.FORWARDS,),
    symptom="The model knows nothing of what stood at the beginning.",
    cause="The loop feeds the last tokens alone.",
    how_sure="""
        Likely in a loop by hand: a pass was fed the last one's tokens without the first, and the
        model has room for more; a window may be narrow on purpose.
    """,
)
def window_slides(case: Case) -> Iterator[Finding]:
    """A loop without a cache reads the last tokens of its text, fewer than the model can."""
    for step in case.forwards:
        room, length = case.window, 0 if step.input_ids is None else step.input_ids.shape[1]
        if not step.slid or step.labels is not None or room is None or length >= room:
            continue
        yield Finding(
            code="prompt-truncated",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"The loop feeds the last {length} tokens of its text alone: the beginning, the "
                f"prompt's first, is never read. The model has room for {room}."
            ),
            why="It cannot know what it does not read, and nothing else is kept of it.",
            fix=f"model(ids[:, -{room}:])  # or all of them, and a cache",
            file=step.file,
            line=step.line,
        )


@pitfall(
    "ends-not-kept",
    subject=Subject.ENDS,
    severities=(NOTE,),
    needs=(Needs.FORWARDS,),
    symptom="Rows of a batch go on behind their end, until all of them end in the same step.",
    cause="""
        Rows end at different steps. A condition on this step's tokens alone is true only when all
        rows choose the end token at once, and a row that has ended keeps choosing tokens.
    """,
    fix="Keep which rows have ended, and give those padding.",
    example="""
        token = torch.where(ended, pad_id, token)
        ended |= token == eos_id
        if ended.all():
            break
    """,
    how_sure="""
        Certain that a row was fed other tokens behind its end, while others had not ended; who cuts
        each row at its end afterwards loses time alone.
    """,
)
def ends_not_kept(case: Case) -> Iterator[Finding]:
    """A row of a batch that has ended writes on, while others have not."""
    for step in case.forwards:
        rows = list(zip(*step.written, strict=True))
        ends, fill = set(_ends(case)), {case.pad_id}
        after = [_behind(row, ends) for row in rows]
        on = [at for at, row in enumerate(after) if len(set(row) - ends - fill) >= _ON]
        if len(rows) < 2 or not on or all(row is not None for row in map(_end_of(ends), rows)):
            continue
        yield Finding(
            code="ends-not-kept",
            severity=NOTE,
            confidence=CERTAIN,
            what=(
                f"Row {on[0]} of {len(rows)} wrote its end (eos), and the loop went on with "
                f"{len(after[on[0]])} more tokens for it, since other rows had not ended."
            ),
            why="Nothing keeps which rows have ended: what they write behind it is no answer's.",
            fix="token = torch.where(ended, pad_id, token)  # ended |= token == eos_id",
            file=step.file,
            line=step.line,
        )


def _end_of(ends: set[int]):
    """Return what tells the place of a row's first end; None where it has none."""
    return lambda row: next((at for at, token in enumerate(row) if token in ends), None)


def _behind(row: tuple[int, ...], ends: set[int]) -> tuple[int, ...]:
    """Return the tokens behind a row's first end."""
    at = _end_of(ends)(row)
    return () if at is None else row[at + 1 :]


def _ends(case: Case) -> tuple[int, ...]:
    own = getattr(case.tokenizer, "eos_token_id", None)
    return (*case.eos_ids, *([] if own is None else [own]))


@pitfall(
    "forward-argument-unknown",
    subject=Subject.CALL,
    severities=(ERROR,),
    needs=(Needs.FORWARDS,),
    symptom="An argument of a forward pass changes nothing.",
    cause="""
        A model's `forward` takes any keyword and passes it down; one that nobody knows is dropped
        without a word, a misspelt one and one of a former version too.
    """,
    fix="Spell it as the model does.",
    example="model(token, past_key_values=cache, attention_mask=mask)",
    how_sure="""
        Certain that `forward` does not name it; that another one is meant is inferred from its
        name.
    """,
)
def forward_argument_unknown(case: Case) -> Iterator[Finding]:
    """A keyword that is nearly one of the model's."""
    for step in case.forwards:
        for name in set(step.names) - _USUAL:
            known = _arguments(type(case.model).forward)
            if name in known:
                continue
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            meant = _OLD.get(name) if _OLD.get(name) in known else (near or [None])[0]
            if meant is None or meant in step.names:
                continue
            said = printable(name, _SHOWN)
            yield Finding(
                code="forward-argument-unknown",
                severity=ERROR,
                confidence=CERTAIN,
                what=f"{said}= is no argument of this model's forward, and is dropped.",
                why=f"{meant}= is what it knows; without it the pass runs as if nothing was said.",
                fix=f"model(..., {meant}=...)",
                file=step.file,
                line=step.line,
            )


@functools.lru_cache(maxsize=16)
def _arguments(forward) -> tuple[str, ...]:
    return tuple(inspect.signature(forward).parameters)

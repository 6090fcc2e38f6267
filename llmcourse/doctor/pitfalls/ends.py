"""Pitfalls of ends: tokens that cannot come, that came from `encode`, and texts of nothing else."""

import itertools
import re
from collections.abc import Iterator

from llmcourse.decoding.ingredients import CALL
from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.held import held_by, numbers, runs_of_ids, texts
from llmcourse.doctor.pitfalls.facts import changed, ends_otherwise, named, never_ends, room_of
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import printable

_ALLOWED = "prefix_allowed_tokens_fn"
_BANNED = -10.0  # a bias from which on a token does not come
_SHOWN = 40  # characters of a token or text that a finding repeats
_LONGEST_RUN = 12  # ids of a stop word that a criterion holds
_STEPS = 3  # of a processor, from which on it counts as always
_OF_IDS = ("id", "token", "stop", "eos", "end")  # names that a single id goes by
_SHORTEST_WORD = 3  # characters of a word that such an id stands for
# What a turn, a question or a record begins with: "Human:", "### Question:", "Q:".
_LABEL = re.compile(r"^[ \t]*(#{0,4} ?[A-Z][\w' ]{0,20}):", re.MULTILINE)
_KINDS = 3  # different tokens that a row of special tokens has at most


@pitfall(
    "end-token-banned",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="Every text runs until the limit, and rambles after its answer.",
    cause="""
        `suppress_tokens`, `sequence_bias` and processors put tokens out of reach. Where they hold
        every token that ends a text (often as one special token among all of them), none can end.
    """,
    fix="Take the end tokens out of the list.",
    example="""
        banned = [token for token in banned if token != tokenizer.eos_token_id]
        model.generate(**inputs, suppress_tokens=banned)
    """,
    how_sure="""
        Certain that no end token can be chosen; whoever measures speed may want just that.
    """,
)
def end_token_banned(case: Case) -> Iterator[Finding]:
    """No token that ends a text can be chosen."""
    if case.config is None or not case.eos_ids or ends_otherwise(case):
        return
    for name, banned in _bans(case):
        if not set(case.eos_ids) <= banned:
            continue
        yield Finding(
            code="end-token-banned",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"{_set_by(case, name)} puts every end token out of reach: "
                f"{_names(case, case.eos_ids)}."
            ),
            why="Nothing but the limit ends the text: the model goes on after its answer.",
            fix=f"model.generate(..., {name}=...)  # without {list(case.eos_ids)}"
            if case.asked(name) is not None
            else f"# leave {list(case.eos_ids)} out of what it bans",
            repair=(lambda name=name: changed(case, **{name: None}))
            if case.asked(name) is not None
            else None,
        )


def _set_by(case: Case, name: str) -> str:
    if name in ("suppress_tokens", "sequence_bias"):
        return f"{name}, which {case.set_by(name)},"
    return f"{name}, a processor,"


def _bans(case: Case) -> Iterator[tuple[str, set[int]]]:
    """Yield (setting, the tokens that it puts out of reach)."""
    suppressed = case.setting("suppress_tokens")
    if suppressed is not None:
        yield "suppress_tokens", set(getattr(suppressed, "tolist", lambda: suppressed)())
    bias = case.setting("sequence_bias")
    pairs = bias.items() if isinstance(bias, dict) else bias or ()
    low = {ids[0] for ids, by in pairs if len(ids) == 1 and by <= _BANNED}
    if low:
        yield "sequence_bias", low
    for called in case.called:
        edits = [edit for step in called.steps for edit in step.edits]
        if called.whole and len(edits) >= _STEPS:
            yield printable(called.name, _SHOWN), set.intersection(*(set(e.banned) for e in edits))


def _names(case: Case, ids) -> str:
    """Return tokens as a finding shows them."""
    if case.tokenizer is None:
        return ", ".join(map(str, ids))
    return ", ".join(f"{named(case, one)} ({one})" for one in ids)


@pitfall(
    "end-beyond-vocabulary",
    subject=Subject.ENDS,
    severities=(WARNING, NOTE),
    symptom="Every answer runs until the limit.",
    cause="""
        The id that should end texts is of another model or tokenizer: this model has fewer tokens,
        so it never comes.
    """,
    example="model.generate(**inputs, eos_token_id=tokenizer.eos_token_id)",
    how_sure="""
        Certain: the ids and the size of the vocabulary are in the finding. A note where the call
        itself sets a round number, 100000: so some switch the end off, for texts of one length.
    """,
)
def end_beyond_vocabulary(case: Case) -> Iterator[Finding]:
    """Every token that ends a text has an id that the model lacks."""
    if case.config is None or not case.eos_ids or ends_otherwise(case):
        return
    size = getattr(case.model.config.get_text_config(), "vocab_size", None)
    if not isinstance(size, int) or min(case.eos_ids) < size:
        return
    yield Finding(
        code="end-beyond-vocabulary",
        severity=NOTE if _is_on_purpose(case) else WARNING,
        confidence=CERTAIN,
        what=(
            f"eos_token_id={list(case.eos_ids)}, which {case.set_by('eos_token_id')}, is beyond "
            f"the model's {size} tokens."
        ),
        why="Such a token never comes: nothing but the limit ends the text.",
        fix="model.generate(..., eos_token_id=tokenizer.eos_token_id)",
    )


def _is_on_purpose(case: Case) -> bool:
    """Tell whether the call sets a round number for an id that never comes."""
    return case.origin("eos_token_id") == CALL and all(one % 1000 == 0 for one in case.eos_ids)


@pitfall(
    "eos-from-encode",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="Answers end at a colon or after a word; or they never end.",
    cause="""
        `tokenizer.encode("Human:")` gives several ids, and each id in `eos_token_id` ends the text
        by itself. Some tokenizers put the token that begins texts first, or a bare space: the list,
        or its first id, is then not what was meant.
    """,
    fix="Use `stop_strings` for what is a text; `eos_token_id` is for single tokens.",
    example='model.generate(**inputs, stop_strings=["Human:"], tokenizer=tokenizer)',
    how_sure="""
        Likely: the ids spell a word in several pieces, or hold the token that begins texts, or one
        that is nothing but a space.
    """,
)
def eos_from_encode(case: Case) -> Iterator[Finding]:
    """The ids that end a text are the pieces of a word, or what `encode` puts before it."""
    if case.config is None or case.tokenizer is None or not case.asked_here("eos_token_id"):
        return
    if not case.eos_ids or min(case.eos_ids) < 0:
        return
    reason = _begins(case) or _spells(case)
    if reason is None:
        return
    what, word = reason
    stop = repr(word) if word.strip() else "stop"
    yield Finding(
        code="eos-from-encode",
        severity=WARNING,
        confidence=LIKELY,
        what=f"eos_token_id={list(case.eos_ids)} {what}.",
        why="Each of these ids ends the text by itself, and all others do not.",
        fix=f"model.generate(..., stop_strings=[{stop}], tokenizer=tokenizer)",
    )


def _begins(case: Case) -> tuple[str, str] | None:
    """Return what is wrong where the ids hold what begins a text, and the word that they spell."""
    bos, eos = (getattr(case.tokenizer, f"{name}_token_id", None) for name in ("bos", "eos"))
    own = case.model.generation_config.eos_token_id
    known = {eos, *(own if isinstance(own, list) else [own])}
    if bos in case.eos_ids and bos not in known:
        word = _decoded(case, [one for one in case.eos_ids if one != bos])
        return f"holds {_names(case, [bos])}, the token that begins texts", word
    first = case.eos_ids[0]
    if first not in known and str(case.tokenizer.convert_ids_to_tokens(first)) in ("▁", "Ġ"):
        return f"begins with {_names(case, [first])}, a bare space", ""
    return None


def _spells(case: Case) -> tuple[str, str] | None:
    """Return what is wrong where several ids are the pieces of one text, and that text."""
    if len(case.eos_ids) < 2:
        return None
    special = case.tokenizer.all_special_ids
    plain = [one for one in case.eos_ids if one not in special]
    word = _decoded(case, plain) if len(plain) > 1 else ""
    if not any(map(str.isalpha, word)) and "#" not in word:
        return None
    if case.tokenizer(word, add_special_tokens=False)["input_ids"] != plain:
        return None
    shown = printable(word, _SHOWN)
    return f"is {shown!r} in pieces: {_names(case, plain)}", word


def _decoded(case: Case, ids: list[int]) -> str:
    return case.tokenizer.decode(ids, clean_up_tokenization_spaces=False) if ids else ""


@pitfall(
    "min-beyond-limit",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="Texts are shorter than the minimum that was asked for.",
    cause="""
        A minimum only keeps the end token out. The limit holds all the same: that of the call, or
        20 new tokens where nobody set one.
    """,
    example="model.generate(**inputs, min_new_tokens=50, max_new_tokens=200)",
    how_sure="Certain: both numbers are in the finding.",
)
def min_beyond_limit(case: Case) -> Iterator[Finding]:
    """More tokens are asked for than the limit allows."""
    if case.config is None or not case.decoder_only:
        return
    name = next((one for one in ("min_new_tokens", "min_length") if case.asked_here(one)), None)
    least, most = (0 if name is None else case.asked(name)), case.setting("max_length")
    if not isinstance(least, int) or not isinstance(most, int) or not least:
        return
    if name == "min_new_tokens":
        least += case.prompt_length
    if least <= most:
        return
    counted = "" if name == "min_new_tokens" else ", with the prompt"
    room = most - case.prompt_length
    longer = max(2 * (least - case.prompt_length), 1)
    yield Finding(
        code="min-beyond-limit",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"{name}={case.asked(name)}{counted}, and the limit is {room} new tokens.",
        why="The limit holds, so the text is shorter than the minimum, and has no end of its own.",
        fix=f"model.generate(..., max_new_tokens={longer})",
        repair=lambda: changed(case, max_new_tokens=longer, max_length=None),
    )


@pitfall(
    "never-allowed-to-end",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="With `prefix_allowed_tokens_fn` the text goes on until the limit.",
    cause="""
        The function says which tokens may come next, and the end token is one of them: where it
        never returns that, the text cannot end.
    """,
    example="""
        def allowed(row, ids):
            return after.get(tuple(ids[length:].tolist()), [tokenizer.eos_token_id])
    """,
    how_sure="""
        Certain where each list that it returned was seen. Likely else: every row ran to its limit
        with such a function, and no row has an end.
    """,
)
def never_allowed_to_end(case: Case) -> Iterator[Finding]:
    """A function of allowed tokens, and no text came to an end."""
    if case.call.get("prefix_allowed_tokens_fn") is None or not case.eos_ids:
        return
    if case.config is None or ends_otherwise(case) or not never_ends(case):
        return
    count = len(case.new_rows[0])
    steps = [one for called in case.called if called.kind == _ALLOWED for one in called.steps]
    if any(one.ends for one in steps):
        return  # it allowed the end, and the model went on
    yield Finding(
        code="never-allowed-to-end",
        severity=WARNING,
        confidence=CERTAIN if steps else LIKELY,
        what=(
            f"With prefix_allowed_tokens_fn every row ran to its limit of {count} new tokens; "
            f"{_names(case, case.eos_ids)} "
            + (f"was allowed in none of {len(steps)} calls." if steps else "never came.")
        ),
        why="A text can end only where the function allows the end token.",
        fix="return allowed or [tokenizer.eos_token_id]  # in prefix_allowed_tokens_fn",
    )


@pitfall(
    "only-special-tokens",
    subject=Subject.ENDS,
    severities=(WARNING, NOTE),
    needs=(Needs.OUTPUT,),
    symptom="The answer is empty; or it is a row of `[PAD]`, `<unk>` or another special token.",
    cause="""
        The model ended the text with its first token, or wrote nothing but tokens that decoding
        skips. An empty answer comes from a prompt that is closed already, such as one that ends
        with the token which ends a text. A row of one special token comes from an embedding that
        was added and never trained, and beats all others, or from weights that do not fit.
    """,
    fix="""
        Look at the end of the prompt; give new tokens the mean of the other embeddings; or leave
        the vocabulary as it is and pad with a token that exists.
    """,
    example="""
        tokenizer.pad_token = tokenizer.eos_token  # and no resize_token_embeddings
        model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    """,
    how_sure="""
        Certain that nothing else was written. A note where only some rows of a batch are so, or
        where a text was asked of a prompt that is no chat: it may have come to its end.
    """,
)
def only_special_tokens(case: Case) -> Iterator[Finding]:
    """Nothing was written but special tokens."""
    rows = case.new_rows
    if case.tokenizer is None or not rows or not rows[0] or case.config is None:
        return
    few = [row for row in rows if row and len(set(row)) <= _KINDS]
    special = {*case.tokenizer.all_special_ids, *case.eos_ids, case.pad_id} if few else set()
    empty = [row for row in few if special.issuperset(row)]
    if not empty:
        return
    first = empty[0][0]
    ended = first in case.eos_ids
    all_rows = len(empty) == len(rows)
    grave = all_rows and (not ended or case.is_chat)
    yield Finding(
        code="only-special-tokens",
        severity=WARNING if grave else NOTE,
        confidence=CERTAIN,
        what=(
            f"{len(empty)} of {len(rows)} texts hold nothing but special tokens: "
            + (f"{_names(case, [first])} came first and ended them." if ended else "")
            + ("" if ended else f"{_names(case, [first])} first, {len(empty[0])} in all.")
        ),
        why=_why_empty(case, ended),
        fix="# look at the end of the prompt, tokenizer.decode(ids[0][-10:])"
        if ended
        else "model.resize_token_embeddings(len(tokenizer), mean_resizing=True)",
    )


def _why_empty(case: Case, ended: bool) -> str:
    if not ended:
        return "Such a token was added and never trained, or the weights are not this tokenizer's."
    last = None if case.input_ids is None else int(case.input_ids[0, -1])
    if last in case.eos_ids:
        return "The prompt ends with the token that ends a text: there is nothing left to say."
    return "The model took the prompt for a text that is complete."


@pitfall(
    "stopped-at-once",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="Every answer is one token long, or one word.",
    cause="""
        A criterion was true from the start. It finds its stop word in the prompt, which it gets
        too; or the stop word is empty, and every text ends with that; or it compares the wrong way
        round. A stop string that is a line's end is met by an answer that begins with one.
    """,
    fix="Look at the new tokens alone, and leave out what is empty.",
    example="""
        stops = [stop for stop in stops if stop]
        model.generate(**inputs, stop_strings=stops, tokenizer=tokenizer)
    """,
    how_sure="""
        Likely: every row stopped after its first token, without an end token and with room for
        more; a criterion of one's own may be meant to do that.
    """,
)
def stopped_at_once(case: Case) -> Iterator[Finding]:
    """Nothing but one token, since something stopped it."""
    rows = case.new_rows
    if case.config is None or not rows or len(rows[0]) != 1 or room_of(case) < 2:
        return
    if any(row[0] in case.eos_ids for row in rows):
        return
    own, strings = _own_criteria(case), case.asked("stop_strings")
    if not own and not strings:
        return
    name = _name_of(own[0]) if own else "stop_strings"
    yield Finding(
        code="stopped-at-once",
        severity=WARNING,
        confidence=LIKELY,
        what=(f"{name} stopped every text after its first token; {room_of(case)} were allowed."),
        why=(
            _why_true(own[0])
            if own
            else "The first token has a stop string in it, or one of them is empty."
        ),
        fix="stops = [stop for stop in stops if stop]  # and look at ids[:, prompt_length:] alone",
    )


def _why_true(criterion) -> str:
    """Return why a criterion was true from the start, as far as what it holds shows it."""
    if any(not text for _, text, alone in texts(held_by(criterion)) if not alone):
        return "One of its stop words is empty, and every text ends with that."
    return "It was true from the start: it sees the prompt too, or one of its stop words is empty."


@pitfall(
    "stop-string-in-text",
    subject=Subject.READING,
    severities=(NOTE,),
    needs=(Needs.DECODINGS,),
    symptom="The answer ends with the stop word.",
    cause="""
        `stop_strings` stops after the string is written, so it is part of the output; no option of
        `decode` takes plain words away.
    """,
    example='text = tokenizer.decode(new_ids, skip_special_tokens=True).removesuffix("User:")',
    how_sure="Certain that it ends the decoded text; what is done with it later is not seen.",
)
def stop_string_in_text(case: Case) -> Iterator[Finding]:
    """What stopped the text is shown with it."""
    given = case.asked("stop_strings")
    strings = [given] if isinstance(given, str) else list(given or ())
    for decoded in case.decoded if strings else ():
        text = decoded.text.rstrip()
        stop = next((one for one in strings if one and text.endswith(one.rstrip())), None)
        if stop is None or not stop.strip() or len(decoded.ids) < 2:
            continue
        said = printable(stop, _SHOWN)
        yield Finding(
            code="stop-string-in-text",
            severity=NOTE,
            confidence=CERTAIN,
            what=f"The decoded text ends with {said!r}, the stop string.",
            why="generate stops after it; whoever reads or parses the text finds it there.",
            fix=f"text = text.removesuffix({said!r})",
            file=decoded.file,
            line=decoded.line,
        )
        return


@pitfall(
    "end-inside-a-token",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="Meant to end at the end of a line, a text goes on over several.",
    cause="""
        `eos_token_id` is one token, and a text that is to end something is written by many: a line
        end also stands inside the tokens for two of them, or for one and the spaces after it.
    """,
    fix="End at the text, not at one of its tokens.",
    example='model.generate(**inputs, stop_strings=["\\n"], tokenizer=tokenizer)',
    how_sure="""
        Certain that the text of the end token was written by other tokens, and ended nothing.
        Special tokens have no such text.
    """,
)
def end_inside_a_token(case: Case) -> Iterator[Finding]:
    """What the end token writes was written by another token, which does not end the text."""
    if case.config is None or case.tokenizer is None or not case.asked_here("eos_token_id"):
        return
    special = case.tokenizer.all_special_ids
    plain = [one for one in case.eos_ids if one >= 0 and one not in special]
    for end, row in ((end, row) for end in plain for row in case.new_rows):
        text = _decoded(case, [end])
        others = sorted({one for one in row if one not in case.eos_ids}) if text else []
        holding = [one for one in others if one not in special and text in _decoded(case, [one])]
        if not holding:
            continue
        shown = printable(text, _SHOWN)
        yield Finding(
            code="end-inside-a-token",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"{shown!r} ends the text as token {end} alone; it was also written inside another "
                f"token, {_decoded(case, holding[:1])!r}, which ended nothing."
            ),
            why="eos_token_id compares ids: the same text in other tokens goes by unseen.",
            fix=f"model.generate(..., stop_strings=[{text!r}], tokenizer=tokenizer)",
        )
        return


@pitfall(
    "stopped-at-a-blank-line",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="Answers of a chat model end after their first sentence: 'Here are the steps:'.",
    cause="""
        A blank line separates the examples of a prompt for a base model, and is what ends its
        answer. A chat model writes paragraphs and lists, with blank lines between them.
    """,
    fix="Leave it to the model's own end token where a template frames the question.",
    example="model.generate(**inputs, max_new_tokens=400)  # without stop_strings",
    how_sure="""
        Likely: an answer in a chat, or behind examples with blank lines of their own, broke off at
        a stop string of nothing but line ends, with room for more. Who wants the first paragraph
        alone is right to stop there.
    """,
)
def stopped_at_a_blank_line(case: Case) -> Iterator[Finding]:
    """A stop string of line ends ended an answer in a chat, or one of several paragraphs."""
    strings = case.asked("stop_strings")
    strings = [strings] if isinstance(strings, str) else list(strings or ())
    blank = [one for one in strings if one and not one.strip() and one.count("\n") > 1]
    if not blank or case.tokenizer is None or case.config is None:
        return
    by_example = not case.is_chat and any(map(_examples_have_paragraphs, case.texts))
    if not case.is_chat and not by_example:
        return
    rows = [row for row in case.new_rows if 0 < len(row) < room_of(case)]
    texts = [_decoded(case, row) for row in rows if not set(row) & set(case.eos_ids)]
    cut = [text for text in texts if blank[0] in text[-len(blank[0]) - _SHOWN :]]
    if not cut:
        return
    shown = printable(cut[0].strip()[-_SHOWN:], _SHOWN)
    yield Finding(
        code="stopped-at-a-blank-line",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"The stop string {blank[0]!r}, a blank line, ended {len(cut)} of "
            f"{len(case.new_rows)} answers: it follows {shown!r}."
        ),
        why="The prompt's examples have blank lines inside their answers, and so has this one."
        if by_example
        else "A chat model's answers have paragraphs: all of them but the first is lost.",
        fix="model.generate(**inputs, ...)  # the end token ends an answer; no stop_strings",
    )


def _examples_have_paragraphs(prompt: str) -> bool:
    """Tell whether examples that begin alike, "Question: ...", have blank lines inside of them."""
    blocks = [one.strip() for one in prompt.split("\n\n") if one.strip()]
    heads = [one.split(":")[0] if ":" in one.split("\n")[0] else "" for one in blocks]
    begin = next((one for one in heads if one and heads.count(one) > 1), None)
    if begin is None or not blocks[-1].startswith(begin):
        return False
    first, examples = heads.index(begin), heads.count(begin) - 1
    inside = [head for head in heads[first:] if not head]
    return len(inside) >= examples


@pitfall(
    "next-turn-written",
    subject=Subject.ENDS,
    severities=(NOTE,),
    needs=(Needs.OUTPUT,),
    symptom="The model answers, then asks itself the next question, and answers that too.",
    cause="""
        The prompt is a text with turns or examples, "Question: ... Answer:", and the model goes on
        with it: behind an answer comes the next question. No end token stands there, and nothing
        stops the text at the label.
    """,
    fix="Stop at the label that begins the next turn, or cut the text there.",
    example='model.generate(**inputs, stop_strings=["\\nQuestion:"], tokenizer=tokenizer)',
    how_sure="""
        Certain: the new text has a line that begins with a label of the prompt, other than the one
        that the prompt ends with, and goes on behind it. A script that cuts the text there is
        sound.
    """,
)
def next_turn_written(case: Case) -> Iterator[Finding]:
    """Behind the answer the model writes what the prompt's other lines begin with."""
    rows = case.new_rows if case.tokenizer is not None and case.config is not None else []
    for number, row in enumerate(rows):
        prompt = case.texts[number * len(case.texts) // len(rows)] if case.texts else ""
        lines = prompt.rstrip().splitlines() or [""]
        mine = _LABEL.match(lines[-1])
        labels = {one.strip() for one in _LABEL.findall(prompt)} - {mine and mine[1].strip()}
        end = next((at for at, one in enumerate(row) if one in case.eos_ids), len(row))
        text = _decoded(case, row[:end]) if mine and labels else ""
        for turn in _LABEL.finditer(text):
            answer, goes_on = text[: turn.start()].strip(), text[turn.end() :].strip()
            if turn[1].strip() not in labels or not answer or not goes_on:
                continue
            label = printable(turn[1].strip(), _SHOWN)
            yield Finding(
                code="next-turn-written",
                severity=NOTE,
                confidence=CERTAIN,
                what=(
                    f"Behind its answer the model writes the next turn: "
                    f"{printable(text[turn.start() :].strip(), _SHOWN)!r}, after {label + ':'!r} "
                    "in the prompt."
                ),
                why="It goes on with the prompt's pattern: nothing stops it where its turn ends.",
                fix=f"model.generate(..., stop_strings=[{chr(10) + label + ':'!r}], tokenizer=...)",
            )
            return


@pitfall(
    "stop-ids-never-match",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="A stopping criterion never stops, though its word is in the text.",
    cause="""
        The word was encoded alone. In a text it comes after a space or a line's end, and is other
        tokens there.
    """,
    fix="Compare text, or use `stop_strings`, which finds every spelling.",
    example='model.generate(**inputs, stop_strings=["seven"], tokenizer=tokenizer)',
    how_sure="""
        Certain where ids that a criterion holds were not written, and their text was, in other
        tokens.
    """,
)
def stop_ids_never_match(case: Case) -> Iterator[Finding]:
    """The text of a criterion's ids was written, in other tokens."""
    own = _own_criteria(case) if case.tokenizer is not None and case.new_rows else []
    for criterion, run in ((one, run) for one in own for run in _ids_held(one)):
        word = _word_of(case, run)
        if len(word) < (2 if len(run) > 1 else _SHORTEST_WORD) or _was_true(case, criterion):
            continue
        for row in case.new_rows:
            written = any(row[at : at + len(run)] == run for at in range(len(row)))
            if written or word not in _decoded(case, row):
                continue
            shown = printable(word, _SHOWN)
            yield Finding(
                code="stop-ids-never-match",
                severity=WARNING,
                confidence=CERTAIN,
                what=(
                    f"{_name_of(criterion)} holds the ids of {shown!r}, encoded alone; the word "
                    "was written in other tokens, and did not stop the text."
                ),
                why="After a space or a line's end the same word is other ids: these never come.",
                fix=f"model.generate(..., stop_strings=[{shown!r}], tokenizer=tokenizer)",
            )
            return


def _word_of(case: Case, run: list[int]) -> str:
    """Return the word that ids spell; "" where one of them is none of the tokenizer's."""
    known = range(len(case.tokenizer))
    return _decoded(case, run).strip() if all(one in known for one in run) else ""


def _was_true(case: Case, criterion) -> bool:
    """Tell whether a criterion was seen to be true in some step."""
    steps = [step for one in case.called if one.what is criterion for step in one.steps]
    return any(any(step.said) for step in steps)


def _own_criteria(case: Case) -> list:
    """Return the call's stopping criteria that are none of the library's."""
    criteria = case.call.get("stopping_criteria") or ()
    return [one for one in criteria if not type(one).__module__.startswith("transformers.")]


def _name_of(criterion) -> str:
    return printable(getattr(criterion, "__name__", type(criterion).__name__), _SHOWN)


def _ids_held(criterion) -> list[list[int]]:
    """Return the short runs of ids that a criterion holds, and single ones that are called so."""
    held = held_by(criterion)
    named = [
        [number]
        for name, number in numbers(held)
        if any(word in name.lower() for word in _OF_IDS) and number >= 0
    ]
    return [run for _, run in runs_of_ids(held, _LONGEST_RUN)] + named


@pitfall(
    "stop-word-in-one-token",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.STREAMED,),
    symptom="A stopping criterion, or who reads a stream, never stops, though its word came.",
    cause="""
        The last token, or piece of a stream, is compared with a word. A word of several pieces is
        never one of them, and a token after a space has that space in its text.
    """,
    fix="Look at the end of the text, or use `stop_strings`.",
    example='model.generate(**inputs, stop_strings=["User:"], tokenizer=tokenizer)',
    how_sure="""
        Certain in a run: the word stands in the stream and in no piece of it, and pieces behind it
        were searched too.
    """,
)
def stop_word_in_one_token(case: Case) -> Iterator[Finding]:
    """A word goes by in a stream, in several pieces, of which each is searched for it alone."""
    pieces = case.streamed.pieces
    for mark in dict.fromkeys(mark for _, mark, *_ in case.streamed.searches if len(mark) > 1):
        at = "".join(pieces).find(mark)
        if at < 0 or any(mark in piece for piece in pieces):
            continue
        lengths = itertools.accumulate(map(len, pieces))
        whole_in = next(number for number, end in enumerate(lengths) if end >= at + len(mark))
        behind = [one for one in case.streamed.searches if one[1] == mark and one[0] > whole_in]
        if not behind:
            continue
        shown = printable(mark, _SHOWN)
        yield Finding(
            code="stop-word-in-one-token",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"Each piece of the stream is searched for {shown!r}, which came across several "
                "pieces: no single one has it, and the stream went on behind it."
            ),
            why="A streamer gives out a word or a few letters at a time: put them together first.",
            fix=f"model.generate(..., stop_strings=[{shown!r}], tokenizer=tokenizer)",
            file=behind[0][2],
            line=behind[0][3],
        )
        return

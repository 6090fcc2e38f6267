"""Pitfalls of penalties and bans: what they take for a repetition, and what they reward."""

import re
from collections.abc import Iterator

from llmcourse.decoding.ingredients import MODEL
from llmcourse.doctor.case import MOST_ROWS, Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.facts import changed, named, never_ends
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import printable

_MILD = 1.1  # a penalty up to which nothing is said unless the end is hit
_STRONG = 1.5  # from here on the words of a prompt hardly come again
_BANNED = -10.0  # a bias from which on a token does not come
_SOME = 8  # tokens: a prompt of fewer has little that could be quoted
_SHOWN = 40  # characters of a text that a finding repeats


@pitfall(
    "penalty-hits-the-prompt",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    needs=(Needs.CALL, Needs.OUTPUT),
    symptom="Names, numbers and code of the prompt come out changed; or the answer never ends.",
    cause="""
        `repetition_penalty` counts every token before the next one, the prompt's included. The
        template's marks are among them: a chat's prompt holds the token that ends a turn, and so
        the end of the answer gets less likely, too.
    """,
    fix="Leave it at 1.0 where words are quoted, and in chats; sample against repetitions.",
    example="model.generate(**inputs, repetition_penalty=1.0, do_sample=True, temperature=0.7)",
    how_sure="""
        Certain that the prompt's tokens are penalized, and which of them end a text. A warning
        where the penalty is strong, or where no answer came to its end; likely then.
    """,
)
def penalty_hits_the_prompt(case: Case) -> Iterator[Finding]:
    """A repetition penalty that holds for what the prompt says, its end tokens among it."""
    penalty = case.setting("repetition_penalty")
    if case.config is None or not isinstance(penalty, int | float) or penalty <= 1:
        return
    if case.input_ids is None or not case.decoder_only:
        return
    ends = ends_in_prompt(case)
    endless = bool(ends) and never_ends(case)
    if case.origin("repetition_penalty") == MODEL and not endless:
        return  # hidden-repetition-penalty says it
    if not ends and (penalty <= _MILD or case.prompt_length < _SOME):
        return
    marks = f", among them the end token {named(case, ends[0])}" if ends else ""
    yield Finding(
        code="penalty-hits-the-prompt",
        severity=WARNING if endless or (ends and penalty >= _STRONG) else NOTE,
        confidence=LIKELY if endless else CERTAIN,
        what=(
            f"repetition_penalty={penalty} holds for the {case.prompt_length} tokens of the prompt "
            f"too{marks}."
        ),
        why=(
            "The end of the answer is penalized like any token of the prompt: no answer came to it."
            if endless
            else "Words, numbers and code that the answer has to repeat get less likely"
            + (", and so does its end." if ends else ".")
        ),
        fix="model.generate(..., repetition_penalty=1.0)",
        repair=lambda: changed(case, repetition_penalty=1.0),
    )


def ends_in_prompt(case: Case) -> list[int]:
    """Return the tokens that end a text and stand in the prompts, padding left out."""
    ids, mask = case.input_ids, case.attention_mask
    if mask is not None:
        ids = ids[mask.bool()]
    return [end for end in case.eos_ids if bool((ids == end).any())]


@pitfall(
    "ngram-ban-hits-the-prompt",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    needs=(Needs.OUTPUT,),
    symptom="A name, a line of code or a format of the prompt is changed where it comes again.",
    cause="""
        `no_repeat_ngram_size=n` forbids every run of n tokens that was there before, in the prompt
        too: after n - 1 tokens of it the next one cannot be chosen, whatever its probability. With
        a chat's marks that may be the token that ends the answer.
    """,
    fix="""
        Larger n, or none: names take three to six tokens, lines of code more. Against loops,
        sample.
    """,
    example="model.generate(**inputs, do_sample=True, temperature=0.7)  # no_repeat_ngram_size=0",
    how_sure="""
        Certain that the token was forbidden at that place; whether the model would have chosen it
        is not known. A warning where it is the end of a text that then never ended.
    """,
)
def ngram_ban_hits_the_prompt(case: Case) -> Iterator[Finding]:
    """The text came to what the prompt says, and could not go on as it does."""
    size = case.setting("no_repeat_ngram_size")
    if not isinstance(size, int) or size < 1 or case.input_ids is None:
        return
    hits = [
        hit
        for row, new in enumerate(case.new_rows[:MOST_ROWS])
        for hit in _forbidden(_prompt_of(case, row), new, size)
    ]
    if not hits:
        return
    ends = [hit for hit in hits if hit[1] in case.eos_ids]
    endless = bool(ends) and never_ends(case)
    before, token = (ends if endless else hits)[0]
    yield Finding(
        code="ngram-ban-hits-the-prompt",
        severity=WARNING if endless else NOTE,
        confidence=CERTAIN,
        what=(
            f"no_repeat_ngram_size={size} forbade {named(case, token)}"
            + (f" after {_text(case, before)}" if before else "")
            + f", as the prompt has it; {len(hits)} such places."
        ),
        why="The token that ends the answer could not be chosen there."
        if endless
        else "Names, code and formats of the prompt cannot come again as they are.",
        fix="model.generate(..., no_repeat_ngram_size=0)",
        repair=lambda: changed(case, no_repeat_ngram_size=0),
    )


def _prompt_of(case: Case, row: int) -> list[int]:
    """Return a row's prompt without its padding; rows of one prompt follow one another."""
    prompts = len(case.input_ids)
    place = row * prompts // len(case.output)
    ids = case.input_ids[place]
    if case.attention_mask is not None:
        ids = ids[case.attention_mask[place].bool()]
    return ids.tolist()


def _forbidden(prompt: list[int], new: list[int], size: int) -> Iterator[tuple[list[int], int]]:
    """Yield (what was written before, the token that the prompt forbids there)."""
    after: dict[tuple, int] = {}
    for place in range(len(prompt) - size + 1):
        after.setdefault(tuple(prompt[place : place + size - 1]), prompt[place + size - 1])
    whole = prompt + new
    for place in range(len(prompt) + size - 1, len(whole)):  # n - 1 tokens of the text's own
        before = whole[place - size + 1 : place]
        token = after.get(tuple(before))
        if token is not None and size > 1:
            yield before, token


def _text(case: Case, ids: list[int]) -> str:
    if case.tokenizer is None:
        return str(ids)
    text = case.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    return repr(printable(text, _SHOWN))


@pitfall(
    "penalty-rewards",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="The text repeats itself, or the prompt, more than without the penalty.",
    cause="""
        Scores of what was there are divided by `repetition_penalty`: 1.0 is off, and below 1 it
        makes repetitions likelier. Presence and frequency penalties of other libraries are
        subtracted, and small numbers are mild there. `encoder_repetition_penalty` is the other way
        round: above 1 it rewards the words of the prompt.
    """,
    example="model.generate(**inputs, repetition_penalty=1.1)",
    how_sure="Likely: that it rewards what was there is sure, that it was not meant is inferred.",
)
def penalty_rewards(case: Case) -> Iterator[Finding]:
    """A penalty that makes repetitions likelier."""
    for name, rewards in (("repetition_penalty", "below"), ("encoder_repetition_penalty", "above")):
        value = case.setting(name)
        if not isinstance(value, int | float) or not case.decoder_only or value <= 0:
            continue
        if not (value < 1 if rewards == "below" else value > 1 and case.asked_here(name)):
            continue
        yield Finding(
            code="penalty-rewards",
            severity=WARNING,
            confidence=LIKELY,
            what=f"{name}={value}, which {case.set_by(name)}, is {rewards} 1: it is a reward.",
            why="What stands in the prompt"
            + (" or text" if rewards == "below" else "")
            + " gets likelier with it, not less likely; 1.0 is off.",
            fix=f"model.generate(..., {name}=1.0)",
            repair=lambda name=name: changed(case, **{name: 1.0}),
        )


@pitfall(
    "banned-with-special-tokens",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="A banned word comes all the same, or a word's bias changes nothing.",
    cause="""
        `bad_words_ids` and `sequence_bias` look for a whole run of ids. A word that was tokenized
        as a text of its own has the token that begins texts before it (or padding after it), and
        such a run does not come in the middle of a text.
    """,
    fix="Tokenize the words without special tokens, and without padding.",
    example="""
        bad = tokenizer(words, add_special_tokens=False).input_ids
        model.generate(**inputs, bad_words_ids=bad)
    """,
    how_sure="Certain: the special token is in the ids that the call is given.",
)
def banned_with_special_tokens(case: Case) -> Iterator[Finding]:
    """A banned run of ids begins or ends with a token that only stands at a text's ends."""
    banned = list(_runs(case))
    first, last = _tokens_at_ends(case) if banned else ((), ())
    for name, runs in banned:
        long = [run for run in runs if len(run) > 1]
        hit = next((run for run in long if run[0] in first or run[-1] in last), None)
        if hit is None:
            continue
        token = hit[0] if hit[0] in first else hit[-1]
        yield Finding(
            code="banned-with-special-tokens",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"{name} holds {hit[:6]}, which begins or ends with the special token "
                f"{named(case, token)} ({token})."
            ),
            why="A word in a text has no such token beside it: this run of ids never matches.",
            fix=f"tokenizer(words, add_special_tokens=False).input_ids  # for {name}",
        )


@pitfall(
    "bad-words-one-spelling",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="A banned word comes all the same.",
    cause="""
        `bad_words_ids`, `sequence_bias` and processors ban ids, not words. With the space before it
        a word is other ids than without, and other pieces may spell it too.
    """,
    fix="Ban both spellings; check the text for what may not occur.",
    example="""
        bad = [tokenizer(w, add_special_tokens=False).input_ids for w in ("Paris", " Paris")]
        model.generate(**inputs, bad_words_ids=bad)
    """,
    how_sure="Certain where a banned word stands in what was written, in other tokens.",
)
def bad_words_one_spelling(case: Case) -> Iterator[Finding]:
    """A banned word was written, in tokens that are not banned."""
    if case.tokenizer is None or not case.new_rows:
        return
    texts = [case.tokenizer.decode(row, skip_special_tokens=True) for row in case.new_rows]
    for name, runs in _banned_in(case):
        words = {case.tokenizer.decode(run).strip() for run in runs}
        for word in sorted(one for one in words if len(one) > 1 and any(map(str.isalpha, one))):
            whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
            row = next((row for row, text in enumerate(texts) if whole.search(text)), None)
            if row is None:
                continue
            shown = printable(word, _SHOWN)
            yield Finding(
                code="bad-words-one-spelling",
                severity=WARNING,
                confidence=CERTAIN,
                what=f"{name} bans {shown!r} in one spelling, and row {row} has the word.",
                why="With the space before it the word is other tokens, which are not banned.",
                fix=f"tokenizer([{shown!r}, {' ' + shown!r}], add_special_tokens=False).input_ids",
            )
            return


def _banned_in(case: Case) -> Iterator[tuple[str, list[list[int]]]]:
    """Yield (what bans, the runs of ids that it keeps out of the text)."""
    known = range(len(case.tokenizer))
    yield "bad_words_ids", dict(_runs(case)).get("bad_words_ids", [])
    yield "sequence_bias", [run for run, bias in _biases(case) if bias <= _BANNED]
    suppressed = case.asked("suppress_tokens")
    if isinstance(suppressed, list | tuple):
        yield "suppress_tokens", [[one] for one in suppressed if one in known]
    for called in case.called:
        bans = [set(edit.banned) for step in called.steps for edit in step.edits]
        always = set.intersection(*bans) if bans else set()
        yield printable(called.name, _SHOWN), [[one] for one in sorted(always) if one in known]


def _biases(case: Case) -> list[tuple[list[int], float]]:
    """Return (ids, bias) of each run that `sequence_bias` is about."""
    bias = case.asked("sequence_bias")
    pairs = list(bias.items()) if isinstance(bias, dict) else list(bias or ())
    fit = [one for one in pairs if isinstance(one, list | tuple) and len(one) == 2]
    return [
        (list(ids), by)
        for ids, by in fit
        if isinstance(ids, list | tuple) and isinstance(by, int | float)
    ]


def _tokens_at_ends(case: Case) -> tuple[set[int], set[int]]:
    """Return the tokens that a tokenizer puts before a text, and those that it fills it up with.

    An end token at a run's end is left out: who bans it means that no text ends there.
    """
    known = {
        name: getattr(case.tokenizer, f"{name}_token_id", None)
        for name in ("bos", "cls", "pad", "sep", "eos")
    }
    first = {known["bos"], known["cls"], known["pad"]} - {None}
    return first, {known["pad"], known["sep"]} - {None, known["eos"]}


def _runs(case: Case) -> Iterator[tuple[str, list[list[int]]]]:
    """Yield (setting, the runs of ids that it is about)."""
    bad = case.asked("bad_words_ids")
    if isinstance(bad, list | tuple):
        yield "bad_words_ids", [list(one) for one in bad if isinstance(one, list | tuple)]
    keys = [ids for ids, _ in _biases(case)]
    if keys:
        yield "sequence_bias", keys

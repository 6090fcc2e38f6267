"""Pitfalls in the arguments of `generate`: lengths, sampling, penalties, ends, cache and seed."""

from collections.abc import Iterator
from functools import partial

import torch

from llmcourse.decoding.ingredients import HIDDEN, MODEL
from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.facts import changed, ends_otherwise, room_of
from llmcourse.doctor.pitfalls.registry import Subject, pitfall
from llmcourse.doctor.remembered import asked_once

# What only sampling reads, and the values at which it does nothing.
_SAMPLING = {
    "temperature": (1.0,),
    "top_k": (0, 50),
    "top_p": (1.0,),
    "min_p": (0.0,),
    "typical_p": (1.0,),
    "top_h": (),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
}
LOWEST, HIGHEST = 0.05, 2.0  # temperatures outside are all but greedy, or all but uniform
HIGHEST_WITH_MIN_P = 4.0  # min-p keeps what is likely; its paper goes to 3 (arXiv:2407.01082)
STRICT_MIN_P = 0.05  # from here on min-p carries such a temperature
_LIVELY = 0.8  # the temperature that a fix proposes
_ENOUGH = 200  # new tokens that a fix proposes where nothing better is known


@pitfall(
    "no-length",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="The text stops in the middle of a sentence, after about 15 words.",
    cause="""
        Neither the call nor the model's `generation_config` sets a length, and the hidden default
        is 20 new tokens.
    """,
    example="model.generate(**inputs, max_new_tokens=200)",
    how_sure="Certain: no source sets a length.",
)
def no_length(case: Case) -> Iterator[Finding]:
    """Nobody says how long the text may get: 20 new tokens."""
    if case.config is None or _asked_length(case) or case.origin("max_time") != HIDDEN:
        return
    yield Finding(
        code="no-length",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"No length is given, so generate stops after {room_of(case)} new tokens.",
        why="Longer answers are cut off in the middle of a sentence.",
        fix=f"model.generate(..., max_new_tokens={_ENOUGH})",
        repair=lambda: changed(case, max_new_tokens=_ENOUGH),
    )


def _asked_length(case: Case) -> bool:
    return any(case.origin(name) != HIDDEN for name in ("max_new_tokens", "max_length"))


@pitfall(
    "max-length-counts-prompt",
    subject=Subject.LENGTH,
    severities=(WARNING, NOTE),
    symptom="The longer the prompt, the shorter the answer.",
    cause="`max_length` counts prompt and new tokens together.",
    example="model.generate(**inputs, max_new_tokens=100)  # not max_length=100",
    how_sure="Certain that it counts so; the finding says how many new tokens are left.",
)
def max_length_counts_prompt(case: Case) -> Iterator[Finding]:
    """`max_length` counts the prompt, and leaves less for new text than it says."""
    most = _max_length(case)
    left = 0 if most is None else most - case.prompt_length
    from_model = case.origin("max_length") == MODEL
    if left <= 0 or (from_model and left >= case.prompt_length):
        return
    yield Finding(
        code="max-length-counts-prompt",
        severity=WARNING if left < case.prompt_length else NOTE,
        confidence=CERTAIN,
        what=(
            f"{_said_max_length(case)} counts the {case.prompt_length} tokens of the prompt: "
            f"{left} are left for new text."
        ),
        why="The longer the prompt, the shorter the answer, down to an error.",
        fix=f"model.generate(..., max_new_tokens={most})",
        repair=lambda: changed(case, max_length=None, max_new_tokens=most),
    )


@pitfall(
    "max-length-below-prompt",
    subject=Subject.LENGTH,
    severities=(ERROR,),
    explains_refusal=True,
    symptom="One new token or none, or a ValueError.",
    cause="The prompt alone reaches `max_length`.",
    example="model.generate(**inputs, max_new_tokens=100)",
    how_sure="Certain: both numbers are in the finding.",
)
def max_length_below_prompt(case: Case) -> Iterator[Finding]:
    """`max_length` counts the prompt, and leaves nothing."""
    most = _max_length(case)
    if most is None or most > case.prompt_length:
        return
    yield Finding(
        code="max-length-below-prompt",
        severity=ERROR,
        confidence=CERTAIN,
        what=(
            f"{_said_max_length(case)} counts the prompt, which has {case.prompt_length} tokens "
            "already."
        ),
        why="Nothing can be added: generate refuses the call.",
        fix=f"model.generate(..., max_new_tokens={max(most, 1)})",
    )


def _max_length(case: Case) -> int | None:
    """Return the `max_length` that somebody asked for, None where it does not count."""
    most = case.asked("max_length")
    if not isinstance(most, int) or case.asked("max_new_tokens") is not None:
        return None
    return most if case.input_ids is not None and case.decoder_only else None


def _said_max_length(case: Case) -> str:
    from_model = case.origin("max_length") == MODEL
    where = " from the model's generation_config" if from_model else ""
    return f"max_length={case.asked('max_length')}{where}"


@pitfall(
    "sampling-ignored",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="`temperature`, `top_p` or `top_k` change nothing.",
    cause="""
        They shape a distribution that tokens are *drawn* from. Without `do_sample=True` the
        likeliest token is taken, whatever the shape.
    """,
    fix="Draw, or leave the setting out.",
    example="model.generate(**inputs, do_sample=True, temperature=0.7)",
    how_sure="Certain.",
)
def sampling_ignored(case: Case) -> Iterator[Finding]:
    """Sampling settings in a call that does not sample."""
    if case.setting("do_sample") or _assisted(case) or case.asked("penalty_alpha"):
        return
    idle = {
        name: case.setting(name)
        for name, off in _SAMPLING.items()
        if case.asked_here(name) and case.setting(name) not in off
    }
    if idle.get("temperature") == 0:  # asks for greedy decoding, and gets it
        del idle["temperature"]
    if not idle:
        return
    said = ", ".join(f"{name}={value}" for name, value in idle.items())
    yield Finding(
        code="sampling-ignored",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"{said} and do_sample=False: the likeliest token is taken at every step.",
        why="These settings change nothing; the text is the same at every run.",
        fix=f"model.generate(..., do_sample=True, {said})",
        repair=lambda: changed(case, do_sample=True),
    )


def _assisted(case: Case) -> bool:
    return case.call.get("custom_generate") is not None


@pitfall(
    "hidden-top-k",
    subject=Subject.CHOOSING,
    severities=(NOTE,),
    symptom="Samples are less varied than the temperature or the nucleus would allow.",
    cause="""
        When sampling, `generate` keeps the 50 likeliest tokens unless somebody sets `top_k`: a
        top-p of 0.95 works on those 50.
    """,
    fix="Say what you want.",
    example="model.generate(**inputs, do_sample=True, top_p=0.95, top_k=0)",
    how_sure="""
        Certain that it is in force and that nobody asked for it; how much it removes depends on the
        prompt.
    """,
)
def hidden_top_k(case: Case) -> Iterator[Finding]:
    """The top-k of 50 that nobody asked for, beside rules that somebody did."""
    if case.config is None or not case.setting("do_sample"):
        return
    top_k = case.setting("top_k")
    others = [name for name in _SAMPLING if name != "top_k" and case.asked_here(name)]
    others = [name for name in others if case.setting(name) not in _SAMPLING[name]]
    if not top_k or case.origin("top_k") != HIDDEN or not others:
        return
    said = ", ".join(f"{name}={case.setting(name)}" for name in others)
    yield Finding(
        code="hidden-top-k",
        severity=NOTE,
        confidence=CERTAIN,
        what=(
            f"top_k={top_k} is in force beside {said}, which {case.set_by(others[0])}: a hidden "
            "default of generate."
        ),
        why=f"Never are more than {top_k} tokens in the draw, whatever the other rules keep.",
        fix="model.generate(..., top_k=0)  # or say top_k=50, if you want it",
        repair=lambda: changed(case, top_k=0),
    )


@pitfall(
    "top-p-above-one",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Samples are as wild as without `top_p`.",
    cause="""
        `top_p` is a share, from 0 to 1. Above 1, as in 95 for 95%, all tokens together never reach
        it: no token is removed, and `generate` says nothing.
    """,
    example="model.generate(**inputs, do_sample=True, top_p=0.95)",
    how_sure="Certain: the number is in the settings.",
)
def top_p_above_one(case: Case) -> Iterator[Finding]:
    """A nucleus that is given in percent."""
    value = case.setting("top_p")
    if not isinstance(value, int | float) or value <= 1 or not case.setting("do_sample"):
        return
    share = value / 100 if value <= 100 else 0.95
    yield Finding(
        code="top-p-above-one",
        severity=WARNING,
        confidence=CERTAIN,
        what=(
            f"top_p={value}, which {case.set_by('top_p')}, is more than all tokens have together, "
            "which is 1."
        ),
        why="It removes no token.",
        fix=f"model.generate(..., do_sample=True, top_p={share:g})",
        repair=lambda: changed(case, top_p=share),
    )


@pitfall(
    "temperature-too-high",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Word salad.",
    cause="""
        Logits are divided by the temperature. Far above 1 nearly all tokens become alike, and most
        of a vocabulary fits nowhere.
    """,
    fix="Values of 0.6 to 1.2 do most work; add a nucleus if you go higher.",
    example="model.generate(**inputs, do_sample=True, temperature=1.0, top_p=0.9)",
    how_sure="Likely: a strict filter such as `min_p` can carry a high temperature.",
)
def temperature_too_high(case: Case) -> Iterator[Finding]:
    """A temperature at which sampling is noise."""
    value = _sampling_temperature(case)
    filtered = (case.setting("min_p") or 0) >= STRICT_MIN_P
    if value is None or value < (HIGHEST_WITH_MIN_P if filtered else HIGHEST):
        return
    yield Finding(
        code="temperature-too-high",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"temperature={value}, which {case.set_by('temperature')}, divides every logit by "
            f"{value}."
        ),
        why="Unlikely tokens come nearly as often as likely ones, and the text falls apart.",
        fix=f"model.generate(..., do_sample=True, temperature={_LIVELY})",
        repair=lambda: changed(case, temperature=_LIVELY),
    )


@pitfall(
    "temperature-too-low",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    explains_refusal=True,
    symptom="Sampling gives the same text each time.",
    cause="""
        Close to 0 the likeliest token has a probability of practically 1: it is greedy decoding, at
        the price of sampling.
    """,
    example="model.generate(**inputs, do_sample=False)",
    how_sure="""
        Certain at 0 and below, which `generate` refuses; likely just above, where the setting
        leaves no choice worth the name.
    """,
)
def temperature_too_low(case: Case) -> Iterator[Finding]:
    """A temperature at which sampling is greedy decoding, or an error."""
    value = _sampling_temperature(case)
    if value is None or value >= LOWEST:
        return
    greedy = {"do_sample": False, "temperature": None}
    if value <= 0:
        yield Finding(
            code="temperature-too-low",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"temperature={value}, which {case.set_by('temperature')}, with do_sample=True, "
                f"which {case.set_by('do_sample')}: logits cannot be divided by it."
            ),
            why="generate refuses the call; a temperature near 0 means greedy decoding.",
            fix="model.generate(..., do_sample=False)",
            repair=lambda: changed(case, **greedy),
        )
        return
    yield Finding(
        code="temperature-too-low",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"temperature={value}, which {case.set_by('temperature')}, multiplies every logit by "
            f"{1 / value:.0f}."
        ),
        why="All probability goes to the likeliest token: greedy decoding with a draw for show.",
        fix="model.generate(..., do_sample=False)",
        repair=lambda: changed(case, **greedy),
    )


def _sampling_temperature(case: Case) -> int | float | None:
    """Return the temperature in a call that samples, None in another."""
    value = case.setting("temperature")
    return value if isinstance(value, int | float) and case.setting("do_sample") else None


@pitfall(
    "hidden-repetition-penalty",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="The model avoids words of the prompt: names, code and lists come out wrong.",
    cause="""
        The model's own `generation_config` brings a `repetition_penalty`, which holds for the
        tokens of the prompt too.
    """,
    fix="Switch it off where copying is wanted.",
    example="model.generate(**inputs, repetition_penalty=1.0)",
    how_sure="""
        Likely: that it comes from the model's config is sure, that nobody meant it is inferred.
    """,
)
def hidden_repetition_penalty(case: Case) -> Iterator[Finding]:
    """A repetition penalty that the model's generation_config brings along."""
    penalty = case.setting("repetition_penalty")
    if penalty in (None, 1, 1.0) or case.origin("repetition_penalty") != MODEL:
        return
    yield Finding(
        code="hidden-repetition-penalty",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"repetition_penalty={penalty} comes from the model's generation_config, not the call."
        ),
        why=(
            "Every token that was in the prompt or text gets less likely: names, code and numbers "
            "that should be repeated are changed, in greedy decoding too."
        ),
        fix=f"model.generate(..., repetition_penalty=1.0)  # or say {penalty}, if you want it",
        repair=lambda: changed(case, repetition_penalty=1.0),
    )


@pitfall(
    "no-eos",
    subject=Subject.ENDS,
    severities=(WARNING, NOTE),
    symptom="Every answer runs until the limit.",
    cause="No source names a token that ends the text, so the loop has nothing to stop at.",
    example="model.generate(**inputs, eos_token_id=tokenizer.eos_token_id)",
    how_sure="Certain.",
)
def no_eos(case: Case) -> Iterator[Finding]:
    """No token ends the text."""
    if case.config is None or case.eos_ids or ends_otherwise(case):
        return
    own = getattr(case.tokenizer, "eos_token_id", None)
    known = own is not None
    yield Finding(
        code="no-eos",
        severity=WARNING if known else NOTE,
        confidence=CERTAIN,
        what=(
            "eos_token_id is not set, neither in the call nor in the model's generation_config"
            + (f"; the tokenizer ends texts with token {own}." if known else ".")
        ),
        why="Nothing but the length ends the text: the model goes on after its answer.",
        fix=f"model.generate(..., eos_token_id={own if known else 'tokenizer.eos_token_id'})",
        repair=(lambda: changed(case, eos_token_id=own)) if known else None,
    )


@pitfall(
    "unknown-token-among-eos",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="Answers run on, or end at a word that the tokenizer does not know.",
    cause="""
        `convert_tokens_to_ids` gives the unknown token's id for a name that the vocabulary lacks,
        such as another model's end token. That token then ends texts, and the one that was meant
        does not exist.
    """,
    fix="Name the end tokens that this tokenizer has.",
    example="""
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert end != tokenizer.unk_token_id
    """,
    how_sure="""
        Likely: the unknown token is among those that end the text. Where it is an end token of the
        tokenizer too, only if it is there twice.
    """,
)
def unknown_token_among_eos(case: Case) -> Iterator[Finding]:
    """A text ends at the unknown token, which a name that is not there was turned into."""
    unknown = getattr(case.tokenizer, "unk_token_id", None)
    if case.config is None or unknown is None or not case.asked_here("eos_token_id"):
        return
    known = [getattr(case.tokenizer, f"{name}_token_id", None) for name in ("eos", "bos", "pad")]
    times = case.eos_ids.count(unknown)
    plain = unknown not in known and not _ends_texts(case, unknown)
    if times == 0 or (times == 1 and not plain):
        return
    name = case.tokenizer.unk_token
    ends = tuple(dict.fromkeys(id for id in case.eos_ids if id != unknown or not plain))
    yield Finding(
        code="unknown-token-among-eos",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"eos_token_id={list(case.eos_ids)} holds the tokenizer's unknown token {name!r} "
            f"({unknown})."
        ),
        why="A name that the vocabulary lacks becomes that token: the end that was meant is none.",
        fix=f"model.generate(..., eos_token_id={list(ends) or 'tokenizer.eos_token_id'})",
    )


def _ends_texts(case: Case, token: int) -> bool:
    """Tell whether a token has the name of an end, as in `<|endoftext|>`."""
    return "end" in str(case.tokenizer.convert_ids_to_tokens(token)).lower()


@pitfall(
    "stop-string-empty",
    subject=Subject.ENDS,
    severities=(ERROR,),
    explains_refusal=True,
    symptom="Every answer is one token long; or an AttributeError about `encode`.",
    cause="""
        A list of stop strings was put together from settings, and one of them is empty or None.
        Every text ends with the empty string, so the loop stops after its first token.
    """,
    fix="Leave out what is empty.",
    example="""
        stops = [stop for stop in stops if stop]
        model.generate(**inputs, stop_strings=stops or None, tokenizer=tokenizer)
    """,
    how_sure="Certain: the string is in the call.",
)
def stop_string_empty(case: Case) -> Iterator[Finding]:
    """A stop string of nothing."""
    given = case.asked("stop_strings")
    strings = given if isinstance(given, list | tuple) else [given]
    if given is None or all(strings):
        return
    empty = next(one for one in strings if not one)
    yield Finding(
        code="stop-string-empty",
        severity=ERROR,
        confidence=CERTAIN,
        what=f"stop_strings={given!r} holds {'None' if empty is None else 'an empty string'}.",
        why="Every text ends with the empty string: the answer stops after one token."
        if empty is not None
        else "generate fails: None is no text.",
        fix="model.generate(..., stop_strings=[stop for stop in stops if stop])",
        repair=lambda: changed(case, stop_strings=[one for one in strings if one] or None),
    )


@pitfall(
    "eos-not-of-template",
    subject=Subject.ENDS,
    severities=(ERROR, NOTE),
    symptom="""
        The answer is right, and then the model goes on with a next turn. As a note: complete
        answers are counted as cut off.
    """,
    cause="""
        The template closes a turn with one token, and `generate` waits for another. As a note:
        `generate` knows the right one, and the tokenizer's `eos_token` is another, which code that
        looks for `tokenizer.eos_token_id` never meets.
    """,
    fix="Stop at both.",
    example="""
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        model.generate(**inputs, eos_token_id=[tokenizer.eos_token_id, end])
    """,
    how_sure="Certain that the token which closes a rendered answer is not among those that stop.",
)
def eos_not_of_template(case: Case) -> Iterator[Finding]:
    """The template ends a reply with a token that does not end the text."""
    if case.config is None or not case.is_chat or ends_otherwise(case):
        return
    token = end_of_reply(case)
    if token is None:
        return
    own = case.tokenizer.eos_token_id
    ended = [row[-1] for row in case.new_rows if row and own not in row].count(token)
    if token in case.eos_ids and own not in (None, token) and ended:
        names = case.tokenizer.convert_ids_to_tokens([token, own])
        yield Finding(
            code="eos-not-of-template",
            severity=NOTE,
            confidence=CERTAIN,
            what=(
                f"{ended} of {len(case.new_rows)} answers end with {names[0]!r} ({token}), the end "
                f"token of the template; tokenizer.eos_token is {names[1]!r} ({own}), another."
            ),
            why="Code that looks for tokenizer.eos_token_id takes complete answers for cut off.",
            fix=f"ended = (new_ids == {token}).any(1)  # not tokenizer.eos_token_id",
        )
    if token in case.eos_ids:
        return
    name = case.tokenizer.convert_ids_to_tokens(token)
    both = [*case.eos_ids, token]
    yield Finding(
        code="eos-not-of-template",
        severity=ERROR,
        confidence=CERTAIN,
        what=(
            f"The chat template ends a reply with {name!r} ({token}), and eos_token_id is "
            f"{list(case.eos_ids)}."
        ),
        why="The model ends its reply, and is then made to go on: it writes turns of its own.",
        fix=f"model.generate(..., eos_token_id={both})",
        repair=lambda: changed(case, eos_token_id=both),
    )


def end_of_reply(case: Case) -> int | None:
    """Return the special token that the template puts after a reply, None if it puts none."""
    end = case.template.reply_end.strip() if case.template is not None else ""
    if not end:
        return None
    ask = partial(_first_token_of, case.tokenizer, end)
    return asked_once(case.tokenizer, "the token that ends a reply", ask, end)


def _first_token_of(tokenizer, end: str) -> int | None:
    """Return the added token that a text begins with, None if it begins with none."""
    ids = tokenizer(end, add_special_tokens=False)["input_ids"]
    special = tokenizer.added_tokens_decoder
    first = next((token for token in ids if token in special), None)
    starts = first is not None and end.startswith(tokenizer.convert_ids_to_tokens(first))
    return first if starts else None


@pitfall(
    "no-cache",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="The longer the text, the slower each token.",
    cause="Without the key-value cache the loop feeds the whole text again in every step.",
    example="model.generate(**inputs, use_cache=True)",
    how_sure="""
        Certain where the model's config switches it off; likely where the call does, which may be
        meant.
    """,
)
def no_cache(case: Case) -> Iterator[Finding]:
    """The key-value cache is off."""
    if case.config is None or case.setting("use_cache") is not False or room_of(case) <= 1:
        return
    here = case.asked_here("use_cache")
    where = "The call says" if here else "The model's generation_config says"
    length = case.prompt_length
    yield Finding(
        code="no-cache",
        severity=WARNING,
        confidence=LIKELY if here else CERTAIN,
        what=(
            f"{where} use_cache=False: each new token reads all {length} tokens of the prompt "
            "again."
        ),
        why="The text is the same, and takes as many times longer as it is long.",
        fix="model.generate(..., use_cache=True)",
        repair=lambda: changed(case, use_cache=True),
    )


@pitfall(
    "cache-already-filled",
    subject=Subject.MODEL,
    severities=(ERROR,),
    symptom="The second answer mixes in the first question, goes on from it, or the call fails.",
    cause="""
        `generate` writes into the cache that it is given. Handed in again with another text, or
        with the same one, it still holds the first call's tokens; nobody compares
        them with the ids.
    """,
    fix="Give each text a copy of the prefix's cache, or a new cache.",
    example="model.generate(**inputs, past_key_values=copy.deepcopy(prefix_cache))",
    how_sure="""
        Certain where the call was seen: tokens in the cache and ids are counted, and compared where
        it was seen what the cache was fed.
    """,
)
def cache_already_filled(case: Case) -> Iterator[Finding]:
    """A cache that holds as many tokens as the call has ids, or more, or those of another text."""
    if not case.cached or case.input_ids is None:
        return
    if case.cached >= case.prompt_length:
        said = (
            f"The cache already holds {case.cached} tokens, and the ids are {case.prompt_length}: "
            "nothing of them is new to it.",
            "The model goes on from what the cache holds, not from these ids.",
        )
    elif (shared := _shared_with_cache(case)) is not None:
        said = (
            f"The cache holds {case.cached} tokens of another text, of which the first {shared} "
            "are those of the ids.",
            "The model reads the cache's text, not these ids, as far as the cache goes.",
        )
    else:
        return
    yield Finding(
        code="cache-already-filled",
        severity=ERROR,
        confidence=CERTAIN,
        what=said[0],
        why=said[1],
        fix="model.generate(..., past_key_values=copy.deepcopy(prefix_cache))  # or a new cache",
    )


def _shared_with_cache(case: Case) -> int | None:
    """Return how many ids a cache of another text has in common; None where it is the same text.

    None also where it was not seen what the cache was fed, or where padding may differ.
    """
    ids, held, mask = case.input_ids, case.held, case.attention_mask
    if held is None or len(held) != len(ids) or (mask is not None and not mask.all()):
        return None
    length = min(ids.shape[1], held.shape[1])
    alike = (ids[:, :length] == held[:, :length].to(ids.device)).all(0)
    return None if alike.all() else int(alike.long().argmin())


# A fresh process begins with 53 or 64 random bits, or with torch's own 67280421310721; a seed that
# somebody chose is nearly always one that `set_seed` takes, of 32 bits.
_LARGEST_CHOSEN = 2**32 - 1


@pitfall(
    "no-seed",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="A test or an experiment gives another text in each run.",
    cause="Sampling draws from the global random generator, and nobody has set it.",
    fix="Seed right before the call, and keep the batch the same: its rows share the draws.",
    example="""
        torch.manual_seed(0)
        model.generate(**inputs, do_sample=True)
    """,
    how_sure="""
        Likely: a state of the generator that no seed of 32 bits gives counts as unseeded. Reported
        only where repeatability was asked for (`repeatable=True`).
    """,
)
def no_seed(case: Case) -> Iterator[Finding]:
    """The same text is expected again, and the draws begin anywhere."""
    if not case.repeatable or not case.setting("do_sample"):
        return
    if torch.initial_seed() <= _LARGEST_CHOSEN:
        return
    yield Finding(
        code="no-seed",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"The call samples by do_sample=True, which {case.set_by('do_sample')}; the same text "
            "is expected again, and no seed was set."
        ),
        why="Each run draws other tokens, and so will every comparison of two settings.",
        fix="transformers.set_seed(0)  # right before the call; or do_sample=False",
    )

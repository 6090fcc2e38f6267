"""Pitfalls in the arguments of `generate`: lengths, sampling, penalties, ends, cache and seed."""

from collections.abc import Iterator

import torch

from llmcourse.decoding.ingredients import HIDDEN, MODEL
from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair

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
_ENOUGH = 200  # new tokens that a fix proposes where nothing better is known


def no_length(case: Case) -> Iterator[Finding]:
    """Nobody says how long the text may get: 20 new tokens."""
    if case.config is None or _asked_length(case) or case.origin("max_time") != HIDDEN:
        return
    yield Finding(
        "no-length",
        WARNING,
        CERTAIN,
        f"No length is given, so generate stops after {_room(case)} new tokens.",
        "Longer answers are cut off in the middle of a sentence.",
        f"model.generate(..., max_new_tokens={_ENOUGH})",
        repair=lambda: _with(case, max_new_tokens=_ENOUGH),
    )


def _asked_length(case: Case) -> bool:
    return any(case.origin(name) != HIDDEN for name in ("max_new_tokens", "max_length"))


def _room(case: Case) -> int:
    return int(case.setting("max_length")) - case.prompt_length


def max_length(case: Case) -> Iterator[Finding]:
    """`max_length` counts the prompt: little is left, or nothing."""
    most = case.asked("max_length")
    if not isinstance(most, int) or case.asked("max_new_tokens") is not None:
        return
    if case.input_ids is None or not case.decoder_only:
        return
    length, left = case.prompt_length, most - case.prompt_length
    asked = " from the model's generation_config" if case.origin("max_length") == MODEL else ""
    fix = f"model.generate(..., max_new_tokens={max(most, 1)})"
    if left <= 0:
        yield Finding(
            "max-length-below-prompt",
            ERROR,
            CERTAIN,
            f"max_length={most}{asked} counts the prompt, which has {length} tokens already.",
            "Nothing can be added: generate refuses the call.",
            fix,
            repair=None,
        )
    elif asked == "" or left < length:
        yield Finding(
            "max-length-counts-prompt",
            WARNING if left < length else NOTE,
            CERTAIN,
            f"max_length={most}{asked} counts the {length} tokens of the prompt: {left} are left "
            "for new text.",
            "The longer the prompt, the shorter the answer, down to an error.",
            fix,
            repair=lambda: _with(case, max_length=None, max_new_tokens=most),
        )


def sampling_ignored(case: Case) -> Iterator[Finding]:
    """Sampling settings in a call that does not sample."""
    if case.setting("do_sample") or _assisted(case):
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
        "sampling-ignored",
        WARNING,
        CERTAIN,
        f"{said} and do_sample=False: the likeliest token is taken at every step.",
        "These settings change nothing; the text is the same at every run.",
        f"model.generate(..., do_sample=True, {said})",
        repair=lambda: _with(case, do_sample=True),
    )


def _assisted(case: Case) -> bool:
    return case.call.get("custom_generate") is not None


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
        "hidden-top-k",
        NOTE,
        CERTAIN,
        f"top_k={top_k} is in force beside {said}, a default that the call does not mention.",
        f"Never are more than {top_k} tokens in the draw, whatever the other rules keep.",
        "model.generate(..., top_k=0)  # or say top_k=50, if you want it",
        repair=lambda: _with(case, top_k=0),
    )


def temperature(case: Case) -> Iterator[Finding]:
    """A temperature at which sampling is greedy decoding, or noise, or an error."""
    value = case.setting("temperature")
    if not isinstance(value, int | float) or not case.setting("do_sample"):
        return
    min_p = case.setting("min_p") or 0
    highest = HIGHEST_WITH_MIN_P if min_p >= 0.05 else HIGHEST
    if value <= 0:
        yield Finding(
            "temperature-too-low",
            ERROR,
            CERTAIN,
            f"temperature={value} with do_sample=True: logits cannot be divided by it.",
            "generate refuses the call; a temperature near 0 means greedy decoding.",
            "model.generate(..., do_sample=False)",
            repair=lambda: _with(case, do_sample=False, temperature=None),
        )
    elif value < LOWEST:
        yield Finding(
            "temperature-too-low",
            WARNING,
            LIKELY,
            f"temperature={value} multiplies every logit by {1 / value:.0f}.",
            "All probability goes to the likeliest token: greedy decoding with a draw for show.",
            "model.generate(..., do_sample=False)",
            repair=lambda: _with(case, do_sample=False, temperature=None),
        )
    elif value >= highest:
        yield Finding(
            "temperature-too-high",
            WARNING,
            LIKELY,
            f"temperature={value} divides every logit by {value}.",
            "Unlikely tokens come nearly as often as likely ones, and the text falls apart.",
            "model.generate(..., do_sample=True, temperature=0.8)",
            repair=lambda: _with(case, temperature=0.8),
        )


def hidden_repetition_penalty(case: Case) -> Iterator[Finding]:
    """A repetition penalty that the model's generation_config brings along."""
    penalty = case.setting("repetition_penalty")
    if penalty in (None, 1, 1.0) or case.origin("repetition_penalty") != MODEL:
        return
    yield Finding(
        "hidden-repetition-penalty",
        WARNING,
        LIKELY,
        f"repetition_penalty={penalty} comes from the model's generation_config, not the call.",
        "Every token that was in the prompt or text gets less likely: names, code and numbers "
        "that should be repeated are changed, in greedy decoding too.",
        f"model.generate(..., repetition_penalty=1.0)  # or say {penalty}, if you want it",
        repair=lambda: _with(case, repetition_penalty=1.0),
    )


def no_eos(case: Case) -> Iterator[Finding]:
    """No token ends the text."""
    if case.config is None or case.eos_ids or _ends_otherwise(case):
        return
    own = getattr(case.tokenizer, "eos_token_id", None)
    known = own is not None
    yield Finding(
        "no-eos",
        WARNING if known else NOTE,
        CERTAIN,
        "eos_token_id is not set, neither in the call nor in the model's generation_config"
        + (f"; the tokenizer ends texts with token {own}." if known else "."),
        "Nothing but the length ends the text: the model goes on after its answer.",
        f"model.generate(..., eos_token_id={own if known else 'tokenizer.eos_token_id'})",
        repair=(lambda: _with(case, eos_token_id=own)) if known else None,
    )


def _ends_otherwise(case: Case) -> bool:
    criteria = case.call.get("stopping_criteria")
    return bool(case.asked("stop_strings")) or bool(criteria is not None and len(criteria))


def eos_not_of_template(case: Case) -> Iterator[Finding]:
    """The template ends a reply with a token that does not end the text."""
    if case.config is None or not case.is_chat or _ends_otherwise(case):
        return
    token = end_of_reply(case)
    if token is None or token in case.eos_ids:
        return
    name = case.tokenizer.convert_ids_to_tokens(token)
    both = [*case.eos_ids, token]
    yield Finding(
        "eos-not-of-template",
        ERROR,
        CERTAIN,
        f"The chat template ends a reply with {name!r} ({token}), and eos_token_id is "
        f"{list(case.eos_ids)}.",
        "The model ends its reply, and is then made to go on: it writes turns of its own.",
        f"model.generate(..., eos_token_id={both})",
        repair=lambda: _with(case, eos_token_id=both),
    )


def end_of_reply(case: Case) -> int | None:
    """Return the special token that the template puts after a reply, None if it puts none."""
    end = case.template.reply_end.strip() if case.template is not None else ""
    if not end:
        return None
    ids = case.tokenizer(end, add_special_tokens=False)["input_ids"]
    special = case.tokenizer.added_tokens_decoder
    first = next((token for token in ids if token in special), None)
    starts = first is not None and end.startswith(case.tokenizer.convert_ids_to_tokens(first))
    return first if starts else None


def no_cache(case: Case) -> Iterator[Finding]:
    """The key-value cache is off."""
    if case.config is None or case.setting("use_cache") is not False or _room(case) <= 1:
        return
    here = case.asked_here("use_cache")
    where = "The call says" if here else "The model's generation_config says"
    length = case.prompt_length
    yield Finding(
        "no-cache",
        WARNING,
        LIKELY if here else CERTAIN,
        f"{where} use_cache=False: each new token reads all {length} tokens of the prompt again.",
        "The text is the same, and takes as many times longer as it is long.",
        "model.generate(..., use_cache=True)",
        repair=lambda: _with(case, use_cache=True),
    )


# A fresh process begins with 53 or 64 random bits, or with torch's own 67280421310721; a seed that
# somebody chose is nearly always one that `set_seed` takes, of 32 bits.
_LARGEST_CHOSEN = 2**32 - 1


def no_seed(case: Case) -> Iterator[Finding]:
    """The same text is expected again, and the draws begin anywhere."""
    if not case.repeatable or not case.setting("do_sample"):
        return
    if torch.initial_seed() <= _LARGEST_CHOSEN:
        return
    yield Finding(
        "no-seed",
        WARNING,
        LIKELY,
        "The call samples, the same text is expected again, and no seed was set.",
        "Each run draws other tokens, and so will every comparison of two settings.",
        "transformers.set_seed(0)  # right before the call",
    )


def refused(case: Case) -> Iterator[Finding]:
    """The call fails in the tokenizer, its template or `generate`; said in its own words."""
    if case.refusal is None:
        return
    kind = type(case.refusal).__name__
    words = " ".join(str(case.refusal).split()) or "no message"
    yield Finding(
        "refused",
        ERROR,
        CERTAIN,
        f"The call fails with {kind}: {words[:500]}",
        "There is no output.",
        "# see the message",
    )


def _with(case: Case, **changes) -> Repair:
    """Return the call with other settings; None takes one away."""
    call = {**case.call, **changes}
    return Repair(case.inputs, {name: value for name, value in call.items() if value is not None})

"""Settings that nothing reads in a call, caches that are too short, and what is asked in vain."""

from collections.abc import Iterator

from llmcourse.decoding.ingredients import CALL
from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.facts import changed, room_of
from llmcourse.doctor.pitfalls.registry import Subject, pitfall
from llmcourse.show import printable

_ASSISTED = (
    *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_lookbehind", "target_lookbehind"),
)
_OUTPUTS = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")
_BEAMS = {"length_penalty": (1.0,), "early_stopping": (False,)}


@pitfall(
    "setting-without-effect",
    subject=Subject.CALL,
    severities=(WARNING, NOTE),
    symptom="A setting changes nothing, whatever its value.",
    cause="""
        Many settings are read by one way of decoding alone: a negative prompt by guidance, a number
        of draft tokens by assisted decoding, a start token by models with an encoder. Some belong
        to ways that left the library. `generate` takes them all, and says nothing.
    """,
    fix="Leave it out, or give what it belongs to.",
    example="model.generate(**inputs, negative_prompt_ids=negative, guidance_scale=1.5)",
    how_sure="Certain: what would read the setting is not in the call.",
)
def setting_without_effect(case: Case) -> Iterator[Finding]:
    """A setting of another way of decoding, or of another kind of model."""
    if case.config is None or case.refusal or case.call.get("custom_generate") is not None:
        return
    for name, why, fix, grave in _without_effect(case):
        value = case.call.get(name)
        shown = printable(repr(value), 40) if isinstance(value, str | int | float | list) else "..."
        yield Finding(
            code="setting-without-effect",
            severity=WARNING if grave else NOTE,
            confidence=CERTAIN,
            what=f"{name}={shown} changes nothing here: {why}.",
            why="The text is the same with it and without.",
            fix=fix,
        )


def _without_effect(case: Case) -> Iterator[tuple[str, str, str, bool]]:
    """Yield (setting, why nothing reads it, what to write, whether it is a warning)."""
    given = case.call
    scale = case.setting("guidance_scale")
    if given.get("negative_prompt_ids") is not None and scale in (None, 1):
        said = "not set" if scale is None else f"{scale}, which is none"
        why = f"a negative prompt is read by guidance, and guidance_scale is {said}"
        fix = "model.generate(..., guidance_scale=1.5)"
        yield "negative_prompt_ids", why, fix, not case.asked_here("guidance_scale")
    for name in ("diversity_penalty", "num_beam_groups", "low_memory"):
        value = given.get(name)
        if value is True or value not in (None, False, 0, 1):
            why = "the way of decoding that read it has left the library"
            yield name, why, f"# without {name}", True
    if case.decoder_only:
        yield from _of_an_encoder(case)
    drafts = case.setting("prompt_lookup_num_tokens") or case.setting("assistant_early_exit")
    drafts = drafts or case.setting("use_mtp") or given.get("assistant_model") is not None
    for name in _ASSISTED if not drafts else ():
        if given.get(name) is not None:
            yield name, "nothing drafts tokens in this call", "# give an assistant_model", True
    if given.get("max_matching_ngram_size") and not case.setting("prompt_lookup_num_tokens"):
        why = "it is read by prompt lookup, and prompt_lookup_num_tokens is not set"
        yield (
            "max_matching_ngram_size",
            why,
            "model.generate(..., prompt_lookup_num_tokens=5)",
            True,
        )
    decay = given.get("exponential_decay_length_penalty")
    if isinstance(decay, list | tuple) and len(decay) == 2 and decay[0] >= room_of(case) > 0:
        why = f"it begins after {decay[0]} new tokens, and the limit is {room_of(case)}"
        fix = f"model.generate(..., exponential_decay_length_penalty=({room_of(case) // 2}, 1.05))"
        yield "exponential_decay_length_penalty", why, fix, True
    banned = given.get("bad_words_ids")
    if isinstance(banned, list) and any(banned == [[end]] for end in case.eos_ids):
        why = "generate takes the end token out of the banned words"
        yield "bad_words_ids", why, f"model.generate(..., suppress_tokens={banned[0]})", True
    if not case.setting("return_dict_in_generate"):
        for name in _OUTPUTS:
            if given.get(name):
                why = "only ids come back unless return_dict_in_generate=True"
                yield name, why, "model.generate(..., return_dict_in_generate=True)", False


def _of_an_encoder(case: Case) -> Iterator[tuple[str, str, str, bool]]:
    """Yield what models with an encoder read."""
    why = "it begins the output of models with an encoder, and this one goes on from the prompt"
    for name in ("decoder_start_token_id", "forced_bos_token_id"):
        forces = name == "forced_bos_token_id" and case.prompt_length <= 1
        if case.call.get(name) is not None and case.origin(name) == CALL and not forces:
            yield name, why, "# put the token at the end of the prompt", True


@pitfall(
    "beam-settings-ignored",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="`length_penalty` or `early_stopping` changes neither length nor text.",
    cause="""
        Both are rules for beam search: how finished beams are compared, and when the search ends.
        With one beam there is nothing to compare.
    """,
    fix="Search with beams, or limit the length by its own settings.",
    example="model.generate(**inputs, num_beams=4, length_penalty=2.0)",
    how_sure="Certain where the call was seen: it has one beam, whoever set that.",
)
def beam_settings_ignored(case: Case) -> Iterator[Finding]:
    """Settings of beam search, and one beam."""
    if case.config is None or case.setting("num_beams") not in (None, 1):
        return
    if case.call.get("custom_generate") is not None:
        return
    idle = {
        name: case.setting(name)
        for name, off in _BEAMS.items()
        if case.asked_here(name) and case.setting(name) not in off
    }
    if not idle:
        return
    said = ", ".join(f"{name}={value!r}" for name, value in idle.items())
    yield Finding(
        code="beam-settings-ignored",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"{said} is a setting of beam search, and the call has one beam.",
        why="Without num_beams above 1 it changes nothing.",
        fix="model.generate(..., num_beams=4)",
        repair=lambda: changed(case, num_beams=4),
    )


@pitfall(
    "cache-too-short",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    explains_refusal=True,
    symptom="`IndexError: index_copy_(): index ... is out of bounds`, after some tokens.",
    cause="""
        A static cache has all its places from the start: one for each token of the prompt and of
        the answer, but for the last. It does not grow.
    """,
    example="""
        cache = StaticCache(config=model.config, max_cache_len=prompt_length + new_tokens)
        model.generate(**inputs, past_key_values=cache, max_new_tokens=new_tokens)
    """,
    how_sure="""
        Certain: places and tokens are counted. An error where the prompt alone is longer, or the
        call failed; a warning where the text may end before.
    """,
)
def cache_too_short(case: Case) -> Iterator[Finding]:
    """A static cache with fewer places than tokens will come."""
    cache = case.call.get("past_key_values")
    if cache is None or case.input_ids is None or case.config is None:
        return
    sizes = [
        layer.max_cache_len
        for layer in getattr(cache, "layers", None) or ()
        if isinstance(getattr(layer, "max_cache_len", None), int)
        and not getattr(layer, "is_sliding", False)
    ]
    needed = case.prompt_length + room_of(case) - 1
    if not sizes or min(sizes) >= needed:
        return
    places = min(sizes)
    fails = places < case.prompt_length or case.refusal is not None
    yield Finding(
        code="cache-too-short",
        severity=ERROR if fails else WARNING,
        confidence=CERTAIN,
        what=(
            f"The static cache has {places} places; the prompt takes {case.prompt_length}, and "
            f"with the new tokens there may be {needed}."
        ),
        why="It does not grow: the call fails with an IndexError when the places are used up.",
        fix=f"StaticCache(config=model.config, max_cache_len={needed + 1})",
    )


@pitfall(
    "attentions-not-made",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="`attentions` is a tuple of empty tuples: `tuple index out of range`.",
    cause="""
        The fast kernels (sdpa, flash) never write the attention weights down, so there are none to
        return, whatever `output_attentions` says.
    """,
    fix="Load the model with eager attention; it is slower.",
    example='AutoModelForCausalLM.from_pretrained(name, attn_implementation="eager")',
    how_sure="Certain: the model's own setting is in the finding.",
)
def attentions_not_made(case: Case) -> Iterator[Finding]:
    """Attentions are asked of a kernel that makes none."""
    if case.config is None or not case.setting("output_attentions"):
        return
    kernel = getattr(case.model.config, "_attn_implementation", None)
    if not case.setting("return_dict_in_generate") or kernel in (None, "eager"):
        return
    yield Finding(
        code="attentions-not-made",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"output_attentions=True, and the model's attention is {printable(str(kernel))!r}.",
        why="That kernel writes no attention weights: what comes back is empty.",
        fix='model.set_attn_implementation("eager")  # or load it so',
    )


@pitfall(
    "guidance-without-negative",
    subject=Subject.CHOOSING,
    severities=(NOTE,),
    symptom="Each token takes twice the time, and the text drifts from the prompt's topic.",
    cause="""
        Guidance pushes away from what the model would say to another prompt. Where none is given,
        that is the prompt's last token alone.
    """,
    fix="Say what to keep away from.",
    example="model.generate(**inputs, guidance_scale=1.5, negative_prompt_ids=negative)",
    how_sure="Certain: the call has no negative prompt.",
)
def guidance_without_negative(case: Case) -> Iterator[Finding]:
    """Guidance away from the last token."""
    scale = case.setting("guidance_scale")
    if case.config is None or scale in (None, 1) or not case.decoder_only:
        return
    if case.call.get("negative_prompt_ids") is not None:
        return
    yield Finding(
        code="guidance-without-negative",
        severity=NOTE,
        confidence=CERTAIN,
        what=f"guidance_scale={scale} without a negative prompt: it guides away from the prompt's "
        "last token alone.",
        why="The model runs twice for each token.",
        fix="model.generate(..., negative_prompt_ids=negative)",
    )


@pitfall(
    "min-length-counts-prompt",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="`min_length` is set, and after a long prompt the answer is shorter.",
    cause="""
        `min_length` counts the prompt's tokens too, as `max_length` does. A prompt that is as long
        has reached it before the first new token.
    """,
    fix="Say how many *new* tokens there should be at least.",
    example="model.generate(**inputs, min_new_tokens=60)",
    how_sure="Certain: the prompt's tokens are counted.",
)
def min_length_counts_prompt(case: Case) -> Iterator[Finding]:
    """A least length that the prompt alone has."""
    if case.config is None or not case.decoder_only or not case.asked_here("min_length"):
        return
    least, length = case.setting("min_length"), case.prompt_length
    if not isinstance(least, int) or not 1 < least <= length or case.asked("min_new_tokens"):
        return
    yield Finding(
        code="min-length-counts-prompt",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"min_length={least} counts the prompt, which has {length} tokens by itself.",
        why="The minimum is reached before the first new token: it changes nothing.",
        fix=f"model.generate(..., min_new_tokens={least})",
        repair=lambda: changed(case, min_length=None, min_new_tokens=least),
    )

"""Arguments of the wrong kind, and what is behind the words in which `generate` refuses a call."""

from collections.abc import Iterator

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, Finding
from llmcourse.doctor.pitfalls.registry import Subject, pitfall
from llmcourse.show import message_of, printable

_FLAGS = ("do_sample", "use_cache", "early_stopping", "output_scores", "return_dict_in_generate")
_NUMBERS = (
    *("temperature", "top_p", "min_p", "typical_p", "repetition_penalty", "length_penalty"),
    *("guidance_scale", "max_time"),
)
_WHOLE = (
    *("max_new_tokens", "max_length", "min_new_tokens", "min_length", "num_beams"),
    *("num_return_sequences", "top_k", "no_repeat_ngram_size", "prompt_lookup_num_tokens"),
)
_TOKENS = ("eos_token_id", "pad_token_id", "bos_token_id")
_LISTS = ("logits_processor", "stopping_criteria")
_FALSE = ("false", "no", "off", "0", "none")
_SHOWN = 60  # characters of a value that a finding repeats


@pitfall(
    "argument-of-wrong-kind",
    subject=Subject.CALL,
    severities=(ERROR,),
    explains_refusal=True,
    symptom='A TypeError deep in `generate`, or sampling that was switched off by `"False"`.',
    cause="""
        Settings that come from a form, a file or the command line are texts, and `generate` takes
        them as they are: it compares `"5"` with numbers, and every text but the empty one counts as
        true. It wants ids of tokens, not their names; lists of processors and criteria, not one;
        objects, not their classes.
    """,
    fix="Convert what comes from outside; put a single processor into a list.",
    example="""
        model.generate(**inputs, do_sample=args.sample == "true", temperature=float(args.temp))
        model.generate(**inputs, eos_token_id=tokenizer.eos_token_id, logits_processor=[mine])
    """,
    how_sure="Certain: the value is in the call.",
)
def argument_of_wrong_kind(case: Case) -> Iterator[Finding]:
    """A text for a number, a name for an id, a class for an object."""
    for name, why, fix in _wrong(case):
        value = case.call.get(name)
        value = case.asked(name) if value is None else value
        yield Finding(
            code="argument-of-wrong-kind",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"{name}={_shown(value)} {why[0]}.",
            why=why[1],
            fix=fix if "  # " in fix else f"model.generate(..., {fix})",
        )


_FAILS = "generate fails: it wants a number there, and makes none of what it gets."


def _wrong(case: Case) -> Iterator[tuple[str, tuple[str, str], str]]:
    """Yield (name, (what it is, what happens then), what to write) for each wrong argument."""
    for name in _FLAGS:
        value = case.asked(name)
        if isinstance(value, str) and value.strip().lower() in _FALSE:
            said = ("is a text, and counts as true", f"{name} is on, though the text says off.")
            yield name, said, f"{name}=False"
    for name in (*_NUMBERS, *_WHOLE):
        value = case.asked(name)
        if isinstance(value, str):
            yield name, ("is a text, not a number", _FAILS), f"{name}={_as_number(name, value)}"
    if case.refusal is not None:
        yield from _refused_numbers(case)
    for name in _TOKENS:
        value = case.asked(name)
        if isinstance(value, str) or (isinstance(value, list | tuple) and _has_text(value)):
            said = ("is a text, where the id of a token belongs", "generate fails: it wants ids.")
            own = name.removesuffix("_id")
            if _text_in(value).isdigit():
                yield name, said, f"{name}={_text_in(value)}"
                continue
            named = value == getattr(case.tokenizer, own, None)
            way = name if named else f"convert_tokens_to_ids({printable(_text_in(value), 30)!r})"
            yield name, said, f"{name}=tokenizer.{way}"
    yield from _wrong_objects(case)


def _refused_numbers(case: Case) -> Iterator[tuple[str, tuple[str, str], str]]:
    """Yield what is a number of the other kind, in a call that is refused for it."""
    words = message_of(case.refusal)[:500]
    for name in ("temperature", "repetition_penalty", "encoder_repetition_penalty"):
        value = case.asked(name)
        if type(value) is int and value > 0 and "float" in words and str(value) in words:
            said = (f"is a whole number, and generate wants {float(value)}", "It refuses the call.")
            yield name, said, f"{name}={float(value)}"
    for name in ("top_k", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"):
        value = case.asked(name)
        if isinstance(value, float) and "integer" in words:
            said = ("is not a whole number", "generate refuses the call.")
            yield name, said, f"{name}={int(value)}"


def _wrong_objects(case: Case) -> Iterator[tuple[str, tuple[str, str], str]]:
    """Yield processors, criteria and the like that are not what `generate` can call."""
    for name in _LISTS:
        value = case.call.get(name)
        if value is None:
            continue
        if not isinstance(value, list | tuple) and (isinstance(value, type) or callable(value)):
            made = _name_of(value) + "()" if isinstance(value, type) else "mine"
            said = ("is no list", "generate goes through a list of them, and fails.")
            yield name, said, f"{name}=[{made}]  # a list"
            continue
        texts = [one for one in value if isinstance(one, str)] if _is_list(value) else []
        if texts or isinstance(value, str):
            said = (
                "holds a text",
                "generate calls it at each step, and fails: a text is no function.",
            )
            word = printable((texts or [value])[0], 30)
            yield name, said, f"stop_strings=[{word!r}], tokenizer=tokenizer  # not {name}"
            continue
        classes = [one for one in value if isinstance(one, type)] if _is_list(value) else []
        if classes:
            said = (
                "holds a class, not an object of it",
                "generate calls it at each step: it fails.",
            )
            yield name, said, f"{name}=[{_name_of(classes[0])}(...)]  # an object"
    streamer, allowed = case.call.get("streamer"), case.call.get("prefix_allowed_tokens_fn")
    if isinstance(streamer, type):
        said = ("is a class, not an object of it", "generate puts tokens into an object: it fails.")
        yield "streamer", said, f"streamer={_name_of(streamer)}(tokenizer)"
    if allowed is not None and not callable(allowed):
        said = ("is no function", "generate calls it at each step with a row's number and its ids.")
        yield (
            "prefix_allowed_tokens_fn",
            said,
            "def allowed(row, ids): ...  # returns a list of ids",
        )
    if isinstance(case.call.get("generation_config"), dict):
        said = ("is a dictionary, not a GenerationConfig", "generate fails: it reads attributes.")
        yield "generation_config", said, "GenerationConfig(**config)  # or generate(**config)"


def _is_list(value) -> bool:
    return isinstance(value, list | tuple)


def _has_text(value) -> bool:
    return any(isinstance(one, str) for one in value)


def _text_in(value) -> str:
    return value if isinstance(value, str) else next(one for one in value if isinstance(one, str))


def _as_number(name: str, text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return "a number"
    return str(int(number)) if name in _WHOLE and number.is_integer() else str(number)


def _name_of(value) -> str:
    return printable(getattr(value, "__name__", type(value).__name__), 40)


def _shown(value) -> str:
    if isinstance(value, str | int | float | list | tuple | dict):
        return printable(repr(value), _SHOWN)
    return _name_of(value)

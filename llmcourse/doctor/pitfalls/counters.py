"""Pitfalls of callables that count on from an earlier text, or from the prompt; or do nothing."""

from collections.abc import Iterator
from types import CodeType

from llmcourse.doctor.case import Called, Case, Step
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.held import code_of, held_by, numbers
from llmcourse.doctor.pitfalls.called import (
    ALLOWED,
    CRITERION,
    PROCESSOR,
    SHOWN,
    carried,
    edits,
    goes_on,
    named,
    of_kinds,
    raised_in,
)
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import in_words, plural, printable

_STEPS = 3  # from which on a processor that did nothing is spoken of
_STARTS = ("prompt", "start", "begin")  # what a number is called where new tokens begin
_MEASURES = {"shape", "size", "len", "numel"}  # by which code asks how long the ids are


@pitfall(
    "stateful-processor",
    subject=Subject.CALL,
    severities=(ERROR, WARNING),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="Only the first text keeps to the format; later ones are free, or fail.",
    cause="""
        A processor that counts its steps in itself goes on counting in the next call: `generate`
        does not tell it that a new text begins. So does a criterion, and a
        `prefix_allowed_tokens_fn` that remembers how far it was.
    """,
    fix="Make one for each call, or work from the length of `input_ids`.",
    example="model.generate(**inputs, logits_processor=[Format(ids)])",
    how_sure="""
        Certain where the same ids got another answer in an earlier call, or in another row, and the
        object had changed by itself in between. Likely where it fell silent, stopped at once, or
        failed, after a call that left it changed; the prompts were others then.
    """,
)
def stateful_processor(case: Case) -> Iterator[Finding]:
    """An object that one call leaves changed, and that behaves otherwise in the next."""
    for called in case.called:
        sign = _answers_differ(called) or goes_on(case, called)
        if sign is None:
            continue
        said, certain = sign
        failed = raised_in(case, called)
        yield Finding(
            code="stateful-processor",
            severity=ERROR if failed else WARNING,
            confidence=CERTAIN if certain else LIKELY,
            what=f"{named(called)} keeps a state ({_changed_in(called)}) between texts: {said}.",
            why=(
                "generate does not tell it that a new text begins: it goes on where the last one "
                "ended."
            ),
            fix=f"model.generate(..., {called.kind}=...)  # a new {named(called)} for each call",
        )


def _changed_in(called: Called) -> str:
    """Return the names of what a call changes in an object."""
    pairs = [(one.before, one.after) for one in (*called.earlier, called)]
    names = {name for old, new in pairs for name in {*old, *new} if old.get(name) != new.get(name)}
    short = sorted(names, key=lambda name: (name.count("."), name))
    return printable(", ".join(short[:3]), SHOWN) or "its own"


def _by_text(steps: list[Step]) -> Iterator[tuple[bytes, object]]:
    for step in steps:
        yield from zip(step.texts, step.said, strict=False)


def _answers_differ(called: Called) -> tuple[str, bool] | None:
    """Return in words that the same ids got two answers, in two calls or in two rows."""
    now = dict(_by_text(called.steps))
    for earlier in called.earlier:
        if not carried(earlier, called):
            continue
        before = dict(_by_text(earlier.steps))
        differ = [text for text, said in now.items() if text in before and before[text] != said]
        if differ:
            return "for the same ids it gave another answer than in an earlier call", True
        if called.error is not None and now.keys() < before.keys():
            failed = printable(in_words(called.error), 80)
            return f"the ids that it answered in an earlier call now end in {failed}", True
    if called.kind != ALLOWED or called.before == called.after:
        return None
    first: dict[bytes, object] = {}
    for text, said in _by_text(called.steps):
        if first.setdefault(text, said) != said:
            return "for the same ids it gave two answers, row by row", True
    return None


@pitfall(
    "processor-counts-prompt",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    needs=(Needs.CALLED,),
    symptom="A rule for the first new tokens never holds, or a limit of new tokens ends at once.",
    cause="""
        The ids that a processor or a criterion gets begin with the prompt, padding included. Their
        length is not the number of new tokens.
    """,
    fix="Take the prompt's length away: hand it to the object.",
    example="new_tokens = input_ids.shape[1] - self.prompt_length",
    how_sure="""
        Likely where it was seen: it asks for the length of the ids and holds a number below the
        prompt's length, and a processor changed nothing in any step, or a criterion was true at
        the first.
    """,
)
def processor_counts_prompt(case: Case) -> Iterator[Finding]:
    """A number of new tokens is compared with the length of all."""
    length = case.prompt_length
    for called in of_kinds(case, PROCESSOR, CRITERION):
        if not called.steps or length < 2 or called.error is not None:
            continue
        silent = called.kind == PROCESSOR and _is_silent(called)
        at_once = called.kind == CRITERION and all(called.steps[0].said)
        if not (silent or (at_once and called.steps[0].said)):
            continue
        limit = _limit_in(called, length)
        if limit is None:
            continue
        name, number = limit
        did = "changed no score in any step" if silent else "was true at the first step"
        yield Finding(
            code="processor-counts-prompt",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"{named(called)} looks at the length of input_ids, which begins with the "
                f"prompt's {length} tokens; with {printable(name, SHOWN)}={number} it {did}."
            ),
            why="The prompt's tokens are counted as new ones: the number is reached before the "
            "first.",
            fix="input_ids.shape[1] - prompt_length  # the number of new tokens",
        )


def _is_silent(called: Called) -> bool:
    """Tell whether a processor changed nothing in all steps of a call."""
    enough = called.whole and len(called.steps) >= _STEPS and called.error is None
    return enough and not any(edit.changed for _, _, edit in edits(called))


def _limit_in(called: Called, length: int) -> tuple[str, int] | None:
    """Return a number that a callable compares with a length, below the prompt's, and its name."""
    code = code_of(called.what)
    if code is None or not _MEASURES & set(_names(code)):
        return None
    held = dict(numbers(held_by(called.what)))
    if any(length - 1 <= number <= length + 1 for number in held.values()):
        return None  # it knows the prompt's length
    starts = [number for name, number in held.items() if any(one in name for one in _STARTS)]
    if any(number > 1 for number in starts):
        return None
    words = ("min", "max", "new", "len", "limit", "step", "tokens", "count", "after", "until", "n")
    fit = {
        name: number
        for name, number in held.items()
        if 1 < number < length and any(word in name.lower().split("_") for word in words)
    }
    return next(iter(fit.items()), None)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@pitfall(
    "processor-changes-nothing",
    subject=Subject.CHOOSING,
    severities=(NOTE,),
    needs=(Needs.CALLED,),
    symptom="A logits processor is passed, and the text is the same without it.",
    cause="""
        It returned the scores as they came, in every step. It changes a copy and returns the
        scores, waits for a token that comes in another spelling, compares with a length that the
        prompt has already passed, or had nothing to do with this text.
    """,
    fix="Look at what it compares: the ids begin with the prompt, and a word has many spellings.",
    example="print(input_ids.shape, tokenizer.decode(input_ids[0, -3:]))  # in the processor",
    how_sure="Certain that no score changed. A rule that this text never met changes none, too.",
)
def processor_changes_nothing(case: Case) -> Iterator[Finding]:
    """A processor returned all scores as they came, or a function allowed every token."""
    for called, did in _idle(case):
        yield Finding(
            code="processor-changes-nothing",
            severity=NOTE,
            confidence=CERTAIN,
            what=f"{named(called)} {did} in all {plural(len(called.steps), 'step')}.",
            why="The text is the one that comes without it.",
            fix="# what does it wait for? the ids that it gets begin with the prompt",
        )


def _idle(case: Case) -> Iterator[tuple[Called, str]]:
    """Yield (callable, what it did) of those that changed nothing, for no reason known."""
    for called in of_kinds(case, ALLOWED):
        if called.whole and called.steps and all(one.everything for one in called.steps):
            yield called, "allowed the whole vocabulary"
    for called in of_kinds(case, PROCESSOR):
        explained = _is_silent(called) and _limit_in(called, case.prompt_length) is not None
        if not _is_silent(called) or explained or goes_on(case, called) is not None:
            continue
        if not any(one.returned for one in called.steps):
            yield called, "returned the scores as they came"

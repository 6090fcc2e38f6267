"""Pitfalls of functions of allowed tokens, and of words that may be the answer."""

from collections.abc import Iterator

from llmcourse.doctor.case import Called, Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.held import held_by, numbers
from llmcourse.doctor.pitfalls.called import (
    ALLOWED,
    OUT_OF_PLACE,
    PROCESSOR,
    SHOWN,
    goes_on,
    named,
    of_kinds,
    raised_in,
)
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import in_words, printable


@pitfall(
    "answer-without-its-space",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    needs=(Needs.CALLED,),
    symptom="Yes and No, or A to D, have tiny probabilities; the accuracy is that of guessing.",
    cause="""
        After a prompt that ends with a colon, the answer begins with a space, and the word with its
        space is another token than the word alone: " Yes" and "Yes" have two ids. The probability
        is at the one with the space. In a chat it is the other way round.
    """,
    fix="Encode the word as it follows the prompt, with its space.",
    example='(yes,) = tokenizer(" Yes", add_special_tokens=False).input_ids',
    how_sure="""
        Certain where the likeliest token was the same word with its space, or without, and was kept
        out: its spelling and the probability of what was allowed are in the finding.
    """,
)
def answer_without_its_space(case: Case) -> Iterator[Finding]:
    """The words that were allowed are in another spelling than the one that the model chose."""
    for called in of_kinds(case, PROCESSOR, ALLOWED) if case.tokenizer is not None else ():
        for best, left, mass in called.first_choice:
            spelt = case.tokenizer.decode([best])
            words = [case.tokenizer.decode([one]) for one in left] if best not in left else []
            bare = spelt.strip()
            same = next((one for one in words if one.strip() == bare and one != spelt), None)
            if same is None or not bare or mass > 0.5:
                continue
            yield Finding(
                code="answer-without-its-space",
                severity=WARNING,
                confidence=CERTAIN,
                what=(
                    f"{named(called)} allows {printable(same, SHOWN)!r}, and the likeliest token "
                    f"is {printable(spelt, SHOWN)!r}, the same word in another spelling; what is "
                    f"allowed had a probability of {mass:.2g}."
                ),
                why="With its space a word is another token: the model's choice is kept out.",
                fix=f"tokenizer({printable(spelt, SHOWN)!r}, add_special_tokens=False).input_ids",
            )
            return


@pitfall(
    "allowed-returns-no-ids",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="A TypeError or ValueError about tensors, deep in `generate`.",
    cause="""
        `generate` calls `prefix_allowed_tokens_fn(row, ids)` at each step, and wants a flat list of
        token ids back. Texts, or a list of lists as a tokenizer gives it for several words, are
        none; what is called in the call of `generate` is its result, not the function. An id
        beyond the vocabulary is of another tokenizer.
    """,
    fix="Pass the function itself, and return ids.",
    example="""
        yes_no = [tokenizer(word, add_special_tokens=False).input_ids[0] for word in words]
        model.generate(**inputs, prefix_allowed_tokens_fn=lambda row, ids: yes_no)
    """,
    how_sure="Certain where it was seen to return something else.",
)
def allowed_returns_no_ids(case: Case) -> Iterator[Finding]:
    """A function of allowed tokens returned no ids, or ids that the model lacks."""
    for called in of_kinds(case, ALLOWED):
        wrong = [
            step
            for step in called.steps
            if step.beyond is not None or step.returned not in ("", "None", "an empty list")
        ]
        if not wrong or case.refusal is None:
            continue
        step = wrong[0]
        said = step.returned or f"the id {step.beyond}, which the model's vocabulary lacks"
        yield Finding(
            code="allowed-returns-no-ids",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"{named(called)} returned {said}; generate wants a flat list of token ids.",
            why="The list picks the logits that may stay: each entry is one id of the vocabulary.",
            fix="tokenizer(word, add_special_tokens=False).input_ids  # ids, one list",
        )


@pitfall(
    "allowed-counts-prompt",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="The rule is skipped, or begins in its middle; or nothing is allowed, an error.",
    cause="""
        The ids that `prefix_allowed_tokens_fn` gets begin with the prompt, padding included. Their
        number is not the number of the step, and a trie of answers does not hold the prompt.
    """,
    fix="Take the prompt's length away.",
    example='step = len(input_ids) - inputs["input_ids"].shape[1]',
    how_sure="""
        Likely where it was seen: at the very first step it allowed nothing, or the end alone, or
        looked up what is not there, and it holds no number that is the prompt's length.
    """,
)
def allowed_counts_prompt(case: Case) -> Iterator[Finding]:
    """A function of allowed tokens finds nothing for the prompt."""
    length = case.prompt_length
    for called in of_kinds(case, ALLOWED):
        if length < 2 or goes_on(case, called) is not None:
            continue
        raised = raised_in(case, called) and isinstance(called.error, OUT_OF_PLACE)
        at_once = _ends_at_once(case, called)
        empty = [one.returned for one in called.steps] == ["an empty list"]
        nothing = case.refusal is not None and (not called.steps if raised else empty)
        knows = length in dict(numbers(held_by(called.what))).values()
        if knows or not (nothing or at_once):
            continue
        did = f"raised {printable(in_words(called.error), 80)}" if raised else "allowed no token"
        did = "allowed the end alone" if at_once else did
        yield Finding(
            code="allowed-counts-prompt",
            severity=WARNING if at_once else ERROR,
            confidence=LIKELY,
            what=(
                f"{named(called)} {did} at the first step: the ids that it gets are the prompt's "
                f"{length} tokens, not none."
            ),
            why="The ids begin with the prompt: what is looked up by all of them is not there.",
            fix="written = ids[prompt_length:].tolist()  # what was generated so far",
        )


def _ends_at_once(case: Case, called: Called) -> bool:
    """Tell whether a function allowed nothing but the end at the first step."""
    first = called.steps[0] if called.steps else None
    return first is not None and bool(first.ids) and set(first.ids) <= set(case.eos_ids)

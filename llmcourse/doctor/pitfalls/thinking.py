"""Pitfalls with models that think before they answer."""

from collections.abc import Iterator

from llmcourse.doctor.case import Case, Use
from llmcourse.doctor.finding import CERTAIN, LIKELY, NOTE, WARNING, Finding, Repair
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.pitfalls.uses import mark_of

_BEGIN, _END = "<think>", "</think>"
_BEGINNING = 12  # tokens in which that mark is, if an answer begins with it
_ASKS = ("in", "not in", "str.count", "str.find", "str.rfind")
_ENOUGH = 8192  # new tokens that a fix proposes at least


@pitfall(
    "thinking-greedy",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    needs=(Needs.OUTPUT,),
    symptom="The model thinks on and on, in circles, and never comes to its answer.",
    cause="""
        Models that think are trained on, and made for, sampling: the likeliest token at each step
        leads long thoughts into loops.
    """,
    fix="Draw, as the model's card says; or switch thinking off in its template.",
    example="model.generate(**inputs, do_sample=True, temperature=0.6, top_p=0.95)",
    how_sure="""
        Likely: the prompt ends, or the answer begins, with the mark that opens a thought, and
        nothing was drawn. A note where every thought came to its end.
    """,
)
def thinking_greedy(case: Case) -> Iterator[Finding]:
    """A block of thinking, decoded greedily."""
    if case.output is None or case.tokenizer is None or case.setting("do_sample"):
        return
    if (case.setting("num_beams") or 1) > 1:
        return
    thinks, ended = False, True
    for prompt, new in zip(case.texts, case.new_rows, strict=False):
        if _thinks(case, prompt, new):
            thinks, ended = True, ended and _is_over(case, new)
    if not thinks:
        return
    yield Finding(
        code="thinking-greedy",
        severity=NOTE if ended else WARNING,
        confidence=LIKELY,
        what=f"The model thinks ({_BEGIN}), and greedy decoding takes the likeliest token.",
        why="Long thoughts come round to where they were, and the answer never comes.",
        fix="model.generate(..., do_sample=True, temperature=0.6, top_p=0.95)",
        repair=lambda: Repair(
            case.inputs, {**case.call, "do_sample": True, "temperature": 0.6, "top_p": 0.95}
        ),
    )


@pitfall(
    "thinking-cut-off",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    needs=(Needs.OUTPUT, Needs.USES),
    symptom="There is no answer: the text is a train of thought that breaks off, or is empty.",
    cause="""
        `max_new_tokens` counts the thinking too, which takes hundreds or thousands of tokens. The
        limit was reached before the mark that ends it.
    """,
    fix="Allow far more tokens, or switch thinking off in the template.",
    example="model.generate(**inputs, max_new_tokens=8192)",
    how_sure="Certain: the thought was opened, the limit reached, and no mark closes it.",
)
def thinking_cut_off(case: Case) -> Iterator[Finding]:
    """The limit came before the end of the thinking."""
    for use in case.uses:
        if not (use.origin.at_limit and _looks_for_pair(use)) or _END in use.text:
            continue
        if _BEGIN not in use.text[use.new_at :] or use.origin.has_end:
            continue
        yield Finding(
            code="thinking-cut-off",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"The text opens a thought ({_BEGIN}) and the limit, max_new_tokens, came before "
                f"{_END}: the pattern for the pair finds nothing, and the thought is left standing."
            ),
            why="The answer comes after the thinking, and was never begun.",
            fix=f"model.generate(..., max_new_tokens={_ENOUGH})  # and look for a lone {_BEGIN}",
            file=use.file,
            line=use.line,
        )
        return
    if case.uses or not case.new_rows or case.tokenizer is None or case.config is None:
        return  # with uses it is asked a second time, about these
    limit = int(case.setting("max_length") or 0) - case.prompt_length
    for row, (prompt, new) in enumerate(zip(case.texts, case.new_rows, strict=False)):
        if len(new) < limit or any(token in case.eos_ids for token in new):
            continue
        if not _thinks(case, prompt, new) or _is_over(case, new):
            continue
        yield Finding(
            code="thinking-cut-off",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"Row {row} reached the limit of {limit} new tokens while it was still thinking.",
            why="The answer comes after the thinking, and was never begun.",
            fix=f"model.generate(..., max_new_tokens={max(_ENOUGH, 2 * limit)})",
            repair=lambda: Repair(case.inputs, {**case.call, "max_new_tokens": 2 * limit}),
        )
        return


def _thinks(case: Case, prompt: str, new: list[int]) -> bool:
    """Tell whether a thought is opened, at the prompt's end or the answer's beginning."""
    begun = case.tokenizer.decode(new[:_BEGINNING], clean_up_tokenization_spaces=False)
    return _opened(prompt) or begun.lstrip().startswith(_BEGIN)


def _is_over(case: Case, new: list[int]) -> bool:
    """Tell whether an answer has the mark that closes a thought."""
    return _END in case.tokenizer.decode(new, clean_up_tokenization_spaces=False)


def _opened(prompt: str) -> bool:
    """Whether a prompt ends inside a thought that it opened itself."""
    return prompt.rstrip().endswith(_BEGIN)


@pitfall(
    "thinking-half-marked",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    needs=(Needs.DECODINGS, Needs.USES),
    symptom="The thinking is shown with the answer; an expression for `<think>...</think>` fails.",
    cause="""
        Where the template opens the thought in the prompt, the new text has only the mark that
        closes it, and a pattern that wants both finds nothing. A thought goes over many lines, too,
        where `.` stops without `re.DOTALL`.
    """,
    fix="Cut at the mark that closes it; or parse with the prompt as `prefix`.",
    example="""
        thought, _, answer = text.rpartition("</think>")
    """,
    how_sure="""
        Certain: the new text has the closing mark alone. A note, as who cuts there is right; a
        warning where a script looks for the pair. A note, too, where a script asks for the mark and
        neither the text nor the vocabulary has it: a text without it is an answer.
    """,
)
def thinking_half_marked(case: Case) -> Iterator[Finding]:
    """Decoded text that closes a thought which the prompt opened; a mark that no text has."""
    for use in case.uses:
        if mark_of(use) != _END or use.name not in _ASKS or not _never_thinks(use):
            continue
        yield Finding(
            code="thinking-half-marked",
            severity=NOTE,
            confidence=CERTAIN,
            what=(
                f"The script asks whether the text has {_END!r}, and it has none: this model does "
                "not think, and its vocabulary has no such mark."
            ),
            why="Who takes a text without the mark for thought loses the answer: it is all answer.",
            fix=f'thought, _, answer = text.rpartition("{_END}")  # without it, all is answer',
            file=use.file,
            line=use.line,
        )
        return
    for use in case.uses:
        if not _looks_for_pair(use) or _END not in use.text or _BEGIN in use.text:
            continue
        yield Finding(
            code="thinking-half-marked",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"The pattern wants {_BEGIN!r} and {_END!r}, and the text has only the closing "
                "tag: the template opened the thought in the prompt."
            ),
            why="Nothing is found, and the thinking is taken for answer.",
            fix=f'thought, _, answer = text.rpartition("{_END}")',
            file=use.file,
            line=use.line,
        )
        return
    if case.output is None or case.tokenizer is None or not any(map(_opened, case.texts)):
        return
    for decoded in case.decoded:
        if _END not in decoded.text or _BEGIN in decoded.text:
            continue
        yield Finding(
            code="thinking-half-marked",
            severity=NOTE,
            confidence=CERTAIN,
            what=f"The decoded text has {_END!r} and no {_BEGIN!r}: the prompt has that one.",
            why="A parser that looks for the pair finds nothing, and shows the thinking.",
            fix=f'thought, _, answer = text.rpartition("{_END}")',
            file=decoded.file,
            line=decoded.line,
        )
        return


def _never_thinks(use: Use) -> bool:
    """Tell whether neither a text nor the tokenizer that decoded it has a mark of thinking."""
    tokenizer = use.origin.tokenizer
    template = str(getattr(tokenizer, "chat_template", None) or "")
    marked = any(mark in text for mark in (_BEGIN, _END) for text in (use.origin.text, template))
    return not marked and _END not in getattr(tokenizer, "get_vocab", dict)()


def _looks_for_pair(use: Use) -> bool:
    """Tell whether an expression for an opening and a closing mark finds nothing in a text."""
    if not use.name.startswith("re.") or not use.ended:
        return False
    found = use.result is not None and use.result != [] and use.result != use.text
    if found and use.result != (use.text, 0):
        return False
    sought = use.pattern.pattern
    return isinstance(sought, str) and _BEGIN in sought and _END in sought

"""Pitfalls of looking for something in a decoded text: it is the prompt's, or part of a word."""

import re
from collections.abc import Iterator

from llmcourse.doctor.case import Case, Use
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.pitfalls.uses import (
    CUTS,
    FINDS,
    mark_of,
    parts_taken,
    said,
    spans_of,
    special_tokens,
)

_CUT_IDS = 'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)'
_SEARCHES = ("re.search", "re.match", "re.fullmatch")
_FORMAT_MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "[INST]", "[/INST]")
_CONCLUDES = re.compile(r"####|boxed|[A-Za-z]{2,}(?: |\\s[*+]?)[A-Za-z]{2,}")  # after reasoning
_LONGEST_LABEL = 12  # characters
_LONGEST_MARK = 40  # characters of a word, a label or a mark
_HEADER = 24  # characters in front of an answer that may be its header


@pitfall(
    "found-in-the-prompt",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="The answer is the prompt's example, a number of the question, or yes every time.",
    cause="""
        A decoded row of `generate` begins with the prompt. A label, a number, a mark or a brace
        that is looked for in it is found there first.
    """,
    fix="Cut the prompt's tokens off, then decode and look.",
    example="""
        new = output[0, inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True)
    """,
    how_sure="Certain: what was found, and taken, stands in the prompt's part of the text.",
)
def found_in_the_prompt(case: Case) -> Iterator[Finding]:
    """What was found in a text lies in its prompt."""
    for use in case.uses:
        if use.origin.runs or not use.begins_with_prompt or not use.ended:
            continue
        what = _part(use) or _match(use) or _contained(case, use) or _place(use)
        if what is None:
            continue
        yield Finding(
            code="found-in-the-prompt",
            severity=ERROR,
            confidence=CERTAIN,
            what=what,
            why="The text begins with the prompt: what the prompt says is taken for the model's "
            "answer.",
            fix=_CUT_IDS,
            file=use.file,
            line=use.line,
        )
        return


def _part(use: Use) -> str | None:
    """Return in words that a part of a split text, or a finding, is the prompt's alone."""
    taken = parts_taken(use)
    if taken is None or not isinstance(use.result, str) or not use.result.strip():
        return None
    split, index = taken
    spans = spans_of(split)
    if not -len(spans) <= index < len(spans) or spans[index][1] > split.new_at:
        return None
    if split.name == "str.splitlines" or (
        split.name in CUTS and not (mark_of(split) or "").strip()
    ):
        return None  # a script that reads its own prompt, line by line or word by word
    name = split.name.partition(".")[2]
    sought = split.pattern.pattern if split.name == "re.findall" else mark_of(split)
    if split.name in CUTS and index == 0 and sought not in split.text[split.new_at :]:
        return None  # it may be the prompt that is wanted
    return f"{name}({said(str(sought))})[{index}] is {said(use.result)}, which the prompt says."


def _match(use: Use) -> str | None:
    """Return in words that an expression's finding is the prompt's alone."""
    found = use.result
    if use.name not in _SEARCHES or not isinstance(found, re.Match):
        return None
    held = use.new_at
    if found.end() > held or not found.group().strip() or _is_header(use.text, found.end(), held):
        return None
    later = use.pattern.search(use.text, held)
    answers = "nothing like it" if later is None else said(later.group())
    return (
        f"{said(use.pattern.pattern)} is found in the prompt, {said(found.group())}; in the answer "
        f"there is {answers}."
    )


def _contained(case: Case, use: Use) -> str | None:
    """Return in words that a word is in the prompt's part of a text alone."""
    mark, held = mark_of(use), use.new_at
    if use.name not in ("in", "not in") or mark is None or mark not in use.text[:held]:
        return None
    if len(mark) > _LONGEST_MARK or "\n" in mark:
        return None  # the prompt itself
    if mark in use.text[max(0, held - len(mark) + 1) :]:
        return None  # in the answer too
    if _is_header(use.text, use.text.rfind(mark, 0, held) + len(mark), held):
        return None
    if not any(map(str.isalnum, mark)) or _is_cut_at(case, use, mark):
        return None
    return f"{said(mark)} is in the text, and in the prompt's part of it alone."


def _place(use: Use) -> str | None:
    """Return in words that `find` finds in the prompt what the answer has as well."""
    mark, held = mark_of(use), use.new_at
    if use.name not in ("str.find", "str.index") or mark is None or len(use.inputs) > 2:
        return None
    at = use.result
    if at < 0 or at + len(mark) > held or _is_header(use.text, at + len(mark), held):
        return None
    if mark not in use.text[held:]:
        return None
    return f"{said(mark)} is found at {at}, in the prompt; the answer begins at {held}, and has it."


def _is_header(text: str, end: int, held: int) -> bool:
    """Tell whether the prompt ends there, or soon after: what was found opens the answer."""
    rest = text[end:held].strip()
    return not rest or (len(rest) <= _HEADER and not any(map(str.isalnum, rest)))


def _is_cut_at(case: Case, use: Use, mark: str) -> bool:
    """Tell whether a text is cut at the same mark, for which it was only looked before."""
    names = (*CUTS, *FINDS, "str.replace")
    return any(one.name in names and one.argument(0) == mark for one in case.uses if one is not use)


@pitfall(
    "stop-reads-the-prompt",
    subject=Subject.ENDS,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="Generation stops at once, or in the middle of a sentence.",
    cause="""
        A criterion gets prompt and new tokens in one row. Looking for a word, or its pieces,
        anywhere in the row finds those of the prompt, and pieces in any order.
    """,
    fix="Look at what is new.",
    example="""
        text = tokenizer.decode(input_ids[0, prompt_length:])
        return stop in text
    """,
    how_sure="Certain: the word was found in the text, and stands in the prompt alone.",
)
def stop_reads_the_prompt(case: Case) -> Iterator[Finding]:
    """A criterion that finds its stop word in the prompt."""
    for use in case.uses:
        mark, held = mark_of(use), use.new_at
        if not use.origin.runs or use.name not in ("in", *FINDS) or mark is None:
            continue
        if mark not in use.text[:held] or mark in use.text[max(0, held - len(mark) + 1) :]:
            continue
        yield Finding(
            code="stop-reads-the-prompt",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"The criterion finds {said(mark)} in the prompt, {held} of the text's "
                f"{len(use.text)} characters, and not in what is new."
            ),
            why="A criterion gets the prompt too: the text is ended by a word that the model did "
            "not write.",
            fix="text = tokenizer.decode(input_ids[0, prompt_length:])  # what is new",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "label-inside-words",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="Answers are counted as no, unsafe or A that say nothing of the kind.",
    cause="""
        `in`, `find` and a pattern of letters look for characters, not for words: `no` is in `know`,
        `safe` in `unsafe`, and the A of an answer's first word is no choice of A.
    """,
    fix="Look for whole words.",
    example=r'label = re.search(r"\\b(yes|no)\\b", text.lower())',
    how_sure="Certain: the label was found, and stands within other words alone.",
)
def label_inside_words(case: Case) -> Iterator[Finding]:
    """A label that was found within a word."""
    for use in case.uses:
        sought, word = _within(use)
        if word is None:
            continue
        yield Finding(
            code="label-inside-words",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"{said(sought)} is found in {said(word)}, and nowhere as a word of its own.",
            why="Characters are looked for, not words: the answer does not say that.",
            fix=rf're.search(r"\b{re.escape(sought)}\b", text)',
            file=use.file,
            line=use.line,
        )
        return


def _within(use: Use) -> tuple[str, str | None]:
    """Return what was looked for, and the word within which alone it was found; else None."""
    text = use.text
    if use.name == "in" and use.result is True and not use.new_at:
        sought = mark_of(use) or ""
        short = sought.isalpha() and sought.isascii() and len(sought) <= _LONGEST_LABEL
        short = short and (len(sought) > 1 or sought.isupper())
        places = [one.span() for one in re.finditer(re.escape(sought), text)] if short else []
    elif use.name in _SEARCHES and isinstance(use.result, re.Match) and not use.new_at:
        sought = use.result.group()
        places = [use.result.span()] if len(sought) == 1 and sought.isalpha() else []
    else:
        return "", None
    if not places or not all(_is_inside(text, *place) for place in places):
        return sought, None
    return sought, _word_at(text, *places[0])


def _is_inside(text: str, start: int, end: int) -> bool:
    """Tell whether a word goes on around a place; a word that only begins there is a form of it."""
    begins = start == 0 or not text[start - 1].isalpha()
    goes_on = end < len(text) and text[end].isalpha()
    return not begins or (goes_on and end - start <= 2)


def _word_at(text: str, start: int, end: int) -> str:
    while start > 0 and text[start - 1].isalpha():
        start -= 1
    while end < len(text) and text[end].isalpha():
        end += 1
    return text[start:end]


@pitfall(
    "pattern-stops-at-line-end",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="A pattern finds nothing, or half of what is there, in an answer of several lines.",
    cause="""
        A dot in a regular expression stops at the end of a line. Models write JSON, code and what
        stands between tags over several lines.
    """,
    fix="`re.DOTALL` lets it go on.",
    example='found = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)',
    how_sure="Certain: the expression finds nothing, and with `re.DOTALL` it does.",
)
def pattern_stops_at_line_end(case: Case) -> Iterator[Finding]:
    """An expression that finds nothing because of a line's end."""
    for number, use in enumerate(case.uses):
        if use.name not in (*_SEARCHES, "re.findall") or not use.ended or use.result:
            continue
        if any(one.name.startswith("re.") and one.result for one in case.uses[number + 1 :]):
            continue
        pattern = use.pattern
        if pattern.flags & re.DOTALL or not isinstance(pattern.pattern, str):
            continue
        method = "search" if use.name == "re.findall" else use.name[3:]
        over = getattr(re.compile(pattern.pattern, pattern.flags | re.DOTALL), method)(use.text)
        # Between tags, braces or fences; else it may be one line that is wanted.
        if over is None or over.group()[:1].isalnum() or over.group()[-1:].isalnum():
            continue
        yield Finding(
            code="pattern-stops-at-line-end",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"{said(pattern.pattern)} finds nothing; with re.DOTALL it finds "
                f"{said(over.group())}."
            ),
            why="A dot stops at the end of a line, and this goes over several lines.",
            fix="re.search(pattern, text, re.DOTALL)",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "mark-read-as-pattern",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="An answer ends at its first capital letter or at a `<`, or keeps half a mark.",
    cause="""
        `re.split`, `re.sub` and `re.search` read a mark as a regular expression: `<|im_end|>` is
        `<`, or `im_end`, or `>`, and `[INST]` is one of the letters I, N, S and T.
    """,
    fix="Escape the marks.",
    example='text = re.split("|".join(map(re.escape, stops)), text)[0]',
    how_sure="Certain: the expression has a mark in it that is not escaped.",
)
def mark_read_as_pattern(case: Case) -> Iterator[Finding]:
    """A chat format's mark, or a special token, stands in an expression as it is."""
    for use in case.uses:
        pattern = use.pattern.pattern if use.name.startswith("re.") else ""
        marks = {*special_tokens(use.origin), *_FORMAT_MARKS} if isinstance(pattern, str) else ()
        mark = next((one for one in sorted(marks) if one in pattern and _means_more(one)), None)
        if mark is None:
            continue
        alone = re.compile(mark).search(use.text)
        yield Finding(
            code="mark-read-as-pattern",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"`{use.name}` reads {said(mark)} as a regular expression"
                + (f": it is met by {said(alone[0])}." if alone else ".")
            ),
            why="`|` parts alternatives and `[...]` is one of some characters: it is no text.",
            fix=f"re.escape({said(mark)})",
            file=use.file,
            line=use.line,
        )
        return


def _means_more(mark: str) -> bool:
    """Tell whether a mark is an expression that does not stand for itself."""
    try:
        return re.fullmatch(mark, mark) is None
    except re.error:
        return False


@pitfall(
    "stopped-at-a-blank-line",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="The reasoning breaks off before the answer that is looked for.",
    cause="A line's end is among the ends of a text, and an answer of several lines has more.",
    fix="Leave a line's end out of them.",
    how_sure="""
        Likely also where a line's end was the end token, and what the script looks for in the text
        is not there.
    """,
)
def stopped_before_what_is_sought(case: Case) -> Iterator[Finding]:
    """A line's end ended the text, and nothing that is looked for in it was found."""
    searches = [use for use in case.uses if use.name in _SEARCHES and use.ended]
    for use in searches:
        origin = use.origin
        last = origin.tokenizer.decode(origin.ids[-1:]) if origin.ids else ""
        if last.strip() or "\n" not in last or origin.ids[-1] not in case.eos_ids:
            continue
        if any(one.origin is origin and one.result is not None for one in searches):
            continue
        if not _CONCLUDES.search(use.pattern.pattern):
            continue  # a form of the whole answer, which may have but one line
        yield Finding(
            code="stopped-at-a-blank-line",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"A line's end, token {origin.ids[-1]}, ended the text after {said(origin.new)}, "
                f"and `{use.name}` finds nothing in it."
            ),
            why="An answer with its reasoning has several lines: all but the first is lost.",
            fix="model.generate(..., eos_token_id=tokenizer.eos_token_id)",
            file=use.file,
            line=use.line,
        )
        return

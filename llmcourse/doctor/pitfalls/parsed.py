"""Pitfalls of reading a decoded text as data: as JSON, as a number, as one of some labels."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.case import Case, Use
from llmcourse.doctor.finding import CERTAIN, ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.pitfalls.uses import (
    bare,
    in_a_fence,
    is_json,
    json_in,
    labels_of,
    read_in_vain,
    said,
    special_tokens,
    without_special,
)

_JSON = ("json.loads", "ast.literal_eval", "eval")
_NUMBERS = ("int", "float")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
# `\((.*?)\)` or `\([^)]*\)` in an expression.
_LAZY_BRACKETS = re.compile(r"\\\(\(?(?:\.[*+]\?|\[\^\\?\)\][*+]\??)\)?\\\)")
_LONGEST_LABEL = 40  # characters
_MOST_WORDS = 6  # of an answer that is one of the labels, and little besides


@pitfall(
    "answer-form-assumed",
    subject=Subject.READING,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.USES,),
    symptom="`Expecting value`, `invalid literal for int()` or an IndexError at some answers.",
    cause="""
        A model is asked for a form, and does not always keep to it: it adds a word, a fence or a
        point, and an answer that was cut off lacks its end.
    """,
    fix="Look for what is wanted, and say what happens where it is missing.",
    example="""
        found = re.search(r"\\d+", text)
        rating = int(found[0]) if found else None
    """,
    how_sure="""
        Certain: the answer was read and that failed, and what was wanted stands in it. An error
        where the script ended there, a note where it went on; a warning where the answer was
        compared with a label that it only begins with.
    """,
)
def answer_form_assumed(case: Case) -> Iterator[Finding]:
    """What is wanted stands in the answer, with something else around it."""
    for use, what in (*_read_whole(case), *_compared_whole(case)):
        grave = WARNING if labels_of(use) else NOTE
        yield Finding(
            code="answer-form-assumed",
            severity=ERROR if use.ended_it else grave,
            confidence=CERTAIN,
            what=what,
            why="A model keeps to a form most of the time, and adds words, points or lines else.",
            fix='found = re.search(r"...", text)  # look for it, and say what if it is not there',
            file=use.file,
            line=use.line,
        )
        return


def _read_whole(case: Case) -> Iterator[tuple[Use, str]]:
    for use in read_in_vain(case.uses, _JSON):
        text = use.inputs[use.at]
        if in_a_fence(text) or use.new_at or _cut_short(use) is not None:
            continue
        if is_json(without_special(text, use.origin)):
            continue
        held = json_in(text)
        if held is not None:
            yield use, f"{use.name} gets more than its JSON {said(held)}: {said(text)}."
    for use in read_in_vain(case.uses, _NUMBERS):
        text = use.inputs[use.at]
        found = _NUMBER.search(text)
        if found is not None and not use.new_at and found.group() != text.strip():
            yield (
                use,
                f"{use.name}() gets more than the number {said(found.group())}: {said(text)}.",
            )


def _compared_whole(case: Case) -> Iterator[tuple[Use, str]]:
    for use, labels in _compared_in_vain(case):
        text = without_special(use.text, use.origin)
        first = text.strip().split("\n")[0]
        for label in labels:
            begins = re.match(rf"{re.escape(bare(label))}\b", bare(text))
            alone = bare(first) == bare(label) or len(bare(first).split()) <= _MOST_WORDS
            folded = text.strip().casefold() == label.strip().casefold()
            if not folded and bare(label).isalpha() and begins and alone:
                said_of = f"The whole answer {said(text)} is compared with {said(label)}"
                yield use, f"{said_of}, with which it only begins."
                break


def _compared_in_vain(case: Case) -> Iterator[tuple[Use, list[str]]]:
    """Yield the comparisons of an answer with labels, where it is equal to none of any."""
    compared = [(use, _labels(case, use)) for use in case.uses]
    compared = [(use, labels) for use, labels in compared if labels]
    if not any(use.text in labels for use, labels in compared):
        yield from ((use, labels) for use, labels in compared if not use.new_at)


def _labels(case: Case, use: Use) -> list[str]:
    """Return the short texts that an answer is compared with, and that were not made of it."""
    made = {id(one.result) for one in case.uses} | {id(case.uses[0].origin.text)}
    return [
        one for one in labels_of(use) or () if len(one) <= _LONGEST_LABEL and id(one) not in made
    ]


@pitfall(
    "compared-with-its-space",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="Right answers are counted as wrong, all of them; a label is a KeyError.",
    cause="""
        A continuation begins with its space: after "Answer:" the token is " Yes". Decoded it has
        the space, or the special token that ended the text, and is not equal to "Yes".
    """,
    fix="Decode without special tokens, and strip what was decoded, before it is compared.",
    example="answer = tokenizer.decode(new_ids, skip_special_tokens=True).strip()",
    how_sure="Certain: the two differ by white space or a special token, and by nothing else.",
)
def compared_with_its_space(case: Case) -> Iterator[Finding]:
    """An answer that equals a label but for its edges."""
    for use, labels in _compared_in_vain(case):
        text = without_special(use.text, use.origin).strip()
        label = next((one for one in labels if one.strip() == text), None)
        if label is None:
            continue
        marked = any(one in use.text for one in special_tokens(use.origin))
        yield Finding(
            code="compared-with-its-space",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The answer {said(use.text)} is compared with {said(label)}, and is not equal.",
            why="The special token that ended it is part of the text."
            if marked
            else "A continuation has its own space or line end, and the label has none.",
            fix="answer = tokenizer.decode(new_ids, skip_special_tokens=True).strip()",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "compared-with-its-space",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="Right answers are counted as wrong, all of them.",
    cause="The answer was stripped, and the label that it is compared with was not.",
    how_sure="Certain also that a stripped text is compared with white space at an edge.",
)
def label_with_its_space(case: Case) -> Iterator[Finding]:
    """A text that was stripped is compared with labels that all have white space at an edge."""
    for use, labels in _compared_in_vain(case):
        strips = [one for one in case.uses if one.name == "str.strip" and one.result is use.text]
        if not strips or any(one == one.strip() for one in labels):
            continue
        yield Finding(
            code="compared-with-its-space",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The answer {said(use.text)} was stripped, and is compared with "
            f"{said(labels[0])}, which has white space at its edge.",
            why="The two are never equal, whatever the model says.",
            fix="label.strip()",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "case-not-folded",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="Answers that are right are counted as wrong, or as neither.",
    cause="""
        An answer begins with a capital, as a sentence does. Compared with a label in small letters
        it is another text.
    """,
    fix="Compare both in small letters.",
    example="right = answer.strip().lower() == label.lower()",
    how_sure="Certain: the two differ in their capitals.",
)
def case_not_folded(case: Case) -> Iterator[Finding]:
    """An answer that equals a label but for its case."""
    for use, labels in _compared_in_vain(case):
        text = without_special(use.text, use.origin).strip()
        label = next((one for one in labels if one.strip().casefold() == text.casefold()), None)
        if label is None or label.strip() == text:
            continue
        yield Finding(
            code="case-not-folded",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"The answer {said(use.text)} is compared with {said(label)}: the case differs.",
            why="Capitals and small letters are different characters, so the two are not equal.",
            fix="answer.strip().lower() == label.lower()",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "json-cut-at-first-brace",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    needs=(Needs.USES,),
    symptom="JSON with an object inside another does not parse, and flat JSON does.",
    cause="""
        A lazy pattern, or one without braces inside, ends at the first closing brace. That is the
        inner object's.
    """,
    fix="Let a parser find the end.",
    example='data, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])',
    how_sure="""
        Certain: what was cut out does not parse, and goes on to JSON that does. An error where the
        script ended there.
    """,
)
def json_cut_at_first_brace(case: Case) -> Iterator[Finding]:
    """JSON that was cut out too short."""
    for use in read_in_vain(case.uses, _JSON):
        text, whole = use.inputs[use.at], _cut_short(use)
        if whole is None:
            continue
        yield Finding(
            code="json-cut-at-first-brace",
            severity=ERROR if use.ended_it else WARNING,
            confidence=CERTAIN,
            what=f"{said(text)} was cut out of JSON that goes on: {said(whole)}.",
            why="It ends at the first closing brace, which is that of an inner object.",
            fix='data, _ = json.JSONDecoder().raw_decode(text[text.index("{"):])',
            file=use.file,
            line=use.line,
        )
        return


def _cut_short(use: Use) -> str | None:
    """Return the JSON of which a text is the beginning, up to some closing brace; or None."""
    text, origin = use.inputs[use.at].strip(), use.origin.text
    if use.span is None or not text.endswith(("}", "]")):
        return None
    start = origin.find(text, use.span[0])
    whole = json_in(origin, start) if start >= 0 else None
    goes_on = whole is not None and whole.startswith(text) and len(whole) > len(text)
    return whole if goes_on else None


@pitfall(
    "json-cut-at-first-brace",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="The arguments of a call that the model writes are cut off at a bracket in a text.",
    cause="So does one for `name(...)`: it ends at the first closing bracket inside.",
    how_sure="Certain also that what a lazy pattern found opens a bracket that it does not close.",
)
def call_cut_at_first_bracket(case: Case) -> Iterator[Finding]:
    """A lazy pattern in brackets that ends at the bracket of something inside."""
    for use in case.uses:
        found = use.result
        if use.name not in ("re.search", "re.match") or not isinstance(found, re.Match):
            continue
        rest, lazy = use.text[found.end() :], _LAZY_BRACKETS.search(use.pattern.pattern)
        if lazy is None or found[0].count("(") != found[0].count(")") + 1:
            continue
        if not found[0].endswith(")") or not rest.partition("\n")[0].rstrip().endswith(")"):
            continue
        yield Finding(
            code="json-cut-at-first-brace",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"{lazy[0]!r} ends at the first closing bracket, in {said(found[0])}.",
            why="That one closes a bracket inside; what is behind it is lost.",
            fix="json.loads(...)  # ask for the call as JSON, and let a parser find its end",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "quotes-made-json",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    needs=(Needs.USES,),
    symptom="Answers parse until one of them has an apostrophe in it.",
    cause="""
        A dictionary in Python's spelling is made JSON by replacing each single quote. An apostrophe
        within a text becomes a quote too, and ends the text there.
    """,
    fix="Read Python's spelling as Python's.",
    example="data = ast.literal_eval(text)",
    how_sure="""
        Certain: the text parsed until its quotes were replaced. An error where the script ended
        there.
    """,
)
def quotes_made_json(case: Case) -> Iterator[Finding]:
    """A text that parsed before its quotes were replaced."""
    for use in read_in_vain(case.uses, ("json.loads",)):
        made = [one for one in use.done if one.name == "str.replace" and one.argument(0) == "'"]
        if not made or not (is_json(made[0].text) or _is_python(made[0].text)):
            continue
        yield Finding(
            code="quotes-made-json",
            severity=ERROR if use.ended_it else WARNING,
            confidence=CERTAIN,
            what=f"replace made {said(use.text)} of {said(made[0].text)}.",
            why="An apostrophe inside a text became a quote as well, and ends it there.",
            fix="data = ast.literal_eval(text)  # or json.loads, without the replacement",
            file=use.file,
            line=use.line,
        )
        return


def _is_python(text: str) -> bool:
    try:
        return isinstance(ast.literal_eval(text.strip()), dict | list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


@pitfall(
    "number-with-commas",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    needs=(Needs.USES,),
    symptom="`could not convert string to float: '1,200'`",
    cause="""
        The pattern takes the commas within a number along, and neither `int` nor `float` knows
        them.
    """,
    fix="Take them out.",
    example='value = float(found.replace(",", ""))',
    how_sure="""
        Certain: without its commas the number is read. An error where the script ended there.
    """,
)
def number_with_commas(case: Case) -> Iterator[Finding]:
    """A number that is not read because of its commas."""
    for use in read_in_vain(case.uses, _NUMBERS):
        text = use.inputs[use.at].strip()
        if not re.fullmatch(r"[-+$]?\d[\d.]*(,\d+)+(\.\d+)?", text):
            continue
        yield Finding(
            code="number-with-commas",
            severity=ERROR if use.ended_it else WARNING,
            confidence=CERTAIN,
            what=f"{use.name}() gets {said(text)}, a number with commas in it.",
            why="Neither int nor float reads commas.",
            fix=f'{use.name}(text.replace(",", ""))',
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "number-with-commas",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="Right numbers are counted as wrong: '10.' is not '10', and '$8' is not '8'.",
    cause="Compared as a text, a number is another with its point, its comma or its currency.",
    how_sure="Certain also that a number and what it is compared with differ by such marks alone.",
)
def number_compared_with_its_marks(case: Case) -> Iterator[Finding]:
    """A number that equals a label but for a point, commas or a sign of money."""
    for use, labels in _compared_in_vain(case):
        number = _plain_number(use.text)
        label = next((one for one in labels if number and _plain_number(one) == number), None)
        if label is None or label.strip() == use.text.strip():
            continue
        yield Finding(
            code="number-with-commas",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"The number {said(use.text)} is compared, as a text, with {said(label)}.",
            why="A point behind it, a comma or a sign of money makes it another text.",
            fix='float(answer.strip(" .$%").replace(",", "")) == float(label)',
            file=use.file,
            line=use.line,
        )
        return


def _plain_number(text: str) -> str | None:
    """Return a number without commas, signs of money and a last point; None for another text."""
    text = text.strip().strip("$€£%").rstrip(".").replace(",", "")
    return text if re.fullmatch(r"[-+]?\d+(\.\d+)?", text) else None


@pitfall(
    "number-without-digit",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    needs=(Needs.USES,),
    symptom="`could not convert string to float: '.'`, at answers that end with a point.",
    cause="""
        A class of digits, commas and points, as in `[\\d,.]+`, also matches a comma or a point
        alone. The last finding in `72, altogether.` is the comma.
    """,
    fix="Let the pattern begin with a digit.",
    example=r'found = re.findall(r"-?\\d[\\d,]*(?:\\.\\d+)?", text)',
    how_sure="""
        Certain: what was found has no digit. An error where the script ended there.
    """,
)
def number_without_digit(case: Case) -> Iterator[Finding]:
    """A point or a comma that was taken for a number."""
    for use in case.uses:
        text = use.inputs[use.at]
        if use.name not in _NUMBERS or use.ended or not isinstance(text, str):
            continue
        if not text.strip() or text.strip("+-,. $"):
            continue
        yield Finding(
            code="number-without-digit",
            severity=ERROR if use.ended_it else WARNING,
            confidence=CERTAIN,
            what=f"{use.name}() gets {said(text)}: the pattern found marks without a digit.",
            why="A class of digits, commas and points also matches a point alone.",
            fix=r'numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)',
            file=use.file,
            line=use.line,
        )
        return

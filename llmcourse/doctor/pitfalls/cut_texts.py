"""Pitfalls of what a script cuts out of a decoded text: by characters, by marks, by lines."""

import re
from collections.abc import Iterator

from llmcourse.doctor.case import Case, Use, shared
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.pitfalls.uses import (
    CUTS,
    FINDS,
    mark_of,
    parts_taken,
    put_behind_prompt,
    said,
    skips_special,
    spans_of,
    special_tokens,
    stripped_before,
)

_FENCE = re.compile(r"\s*```\w*\s*")
_ASKS = ("str.startswith", "==", "!=", "in", "not in", "re.match")
_SHORTEST = 4  # characters of a prompt whose number is not met by chance
_EXAMPLES = 3  # of one form in a prompt, before they are taken for examples
_RULE = re.compile(r"[^\w\s`\"'(){}\[\]]{3,}")  # a line of signs: =====, ###
_HEAD = re.compile(r"[A-Z][\w ]{0,20}:")
_REMOVERS = ("str.replace", "str.removeprefix", "str.split", "str.partition")
_CUT_IDS = 'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)'


@pitfall(
    "prompt-cut-by-characters",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="Answers lose their first letters, or begin with the prompt's last ones.",
    cause="""
        The decoded prompt is not the prompt: special tokens are skipped or added, a template frames
        it, and some tokenizers change spaces. So its characters are not where they were, and
        neither its length nor a search for it finds the answer's beginning.
    """,
    fix="Cut the ids, then decode.",
    example="""
        new = output[:, inputs["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
    """,
    how_sure="Certain: the decoded text does not begin with the prompt that was taken away.",
)
def prompt_cut_by_characters(case: Case) -> Iterator[Finding]:
    """A text that is cut by its prompt, and does not begin with it."""
    for use in case.uses:
        held = use.new_at
        what = _cut_by_length(use, held) if use.name == "[:]" else _not_found(use, held)
        if not held or what is None:
            continue
        yield Finding(
            code="prompt-cut-by-characters",
            severity=ERROR,
            confidence=CERTAIN,
            what=what,
            why="Decoding leaves special tokens out or adds them, and changes spaces: the decoded "
            "prompt is another text than the prompt.",
            fix=_CUT_IDS,
            file=use.file,
            line=use.line,
        )
        return


def _cut_by_length(use: Use, held: int) -> str | None:
    """Return in words what a cut by the prompt's length does; None where it does no harm."""
    start = use.named("lower")
    if use.at != 0 or not isinstance(start, int) or start == held or use.named("upper"):
        return None
    prompts = [one for one in use.origin.prompts if len(one) == start >= _SHORTEST]
    if not prompts or use.text.startswith(tuple(prompts)):
        return None
    wrongly = use.text[min(start, held) : max(start, held)]
    if not wrongly.strip():
        return None
    lost = "is cut off with it" if start > held else "of the prompt is left"
    return (
        f"The prompt's length, {start} characters, is cut off the decoded text, in which the "
        f"prompt takes {held}: {said(wrongly)} {lost}."
    )


def _not_found(use: Use, held: int) -> str | None:
    """Return in words that a prompt is looked for in vain; None where it is there."""
    sought = use.argument(0)
    if use.at != 0 or use.name not in _REMOVERS or not isinstance(sought, str):
        return None
    if sought not in use.origin.prompts or len(sought) < _SHORTEST or sought in use.text:
        return None
    alike = shared(sought, use.text)
    return (
        f"{use.name.partition('.')[2]} looks for the prompt in the decoded text, which begins with "
        f"{said(use.text[:held])} instead: the two differ from character {alike} on."
    )


@pitfall(
    "prompt-cut-twice",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="Answers lose their beginning, or are empty where they are shorter than the prompt.",
    cause="""
        The text is the new one alone: the prompt's ids were cut off, or a pipeline was called with
        `return_full_text=False`. Cut by the prompt's length once more, it loses as many characters
        of the answer.
    """,
    fix="Cut it once.",
    example='answer = pipe(prompt, return_full_text=False)[0]["generated_text"]',
    how_sure="Certain: the text has nothing of the prompt, and is cut by the prompt's length.",
)
def prompt_cut_twice(case: Case) -> Iterator[Finding]:
    """A text without its prompt that is cut by the prompt's length."""
    for use in case.uses:
        start = use.named("lower")
        if use.name != "[:]" or use.at != 0 or not isinstance(start, int) or use.named("upper"):
            continue
        prompts = [one for one in use.origin.prompts if len(one) == start >= _SHORTEST]
        if not prompts or use.origin.new_at or use.span is None or use.span[0]:
            continue
        if use.text.startswith(tuple(prompts)):
            continue
        yield Finding(
            code="prompt-cut-twice",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"The prompt's length, {start} characters, is cut off a text that does not hold "
                f"the prompt: {said(use.text[:start])} of the answer is lost."
            ),
            why="The prompt was cut away before; the second cut takes the answer's beginning.",
            fix="answer = text  # as it is",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "cut-at-minus-one",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="The last character of an answer is missing, or all of it but that.",
    cause="""
        `find` returns -1 where there is nothing to find. As the end of a slice that leaves out the
        last character, as its beginning it leaves nothing else.
    """,
    fix="`partition`, which leaves the text whole where the mark is not in it.",
    example='answer = text.partition("###")[0]',
    how_sure="Certain: `find` returned -1, and the text was cut there.",
)
def cut_at_minus_one(case: Case) -> Iterator[Finding]:
    """A text that is cut where `find` found nothing."""
    missed: list[Use] = []
    for use in case.uses:
        if use.name in FINDS and use.result == -1:
            missed.append(use)
        if use.name != "[:]" or use.at != 0 or not missed:
            continue
        ends = (use.named("lower"), use.named("upper"))
        for find in missed:
            beyond = len(mark_of(find) or "") - 1
            if find.text is not use.text or not (-1 in ends or (beyond and ends[0] == beyond)):
                continue
            yield Finding(
                code="cut-at-minus-one",
                severity=ERROR,
                confidence=CERTAIN,
                what=(
                    f"{said(mark_of(find) or '')} is not in the text, find returns -1, and the "
                    f"text is cut there: {said(str(use.result))} is left."
                ),
                why="-1 counts from the end: a slice up to it loses the last character, one from "
                "it keeps that alone.",
                fix=f"text = text.partition({said(mark_of(find) or '')})[0]",
                file=use.file,
                line=use.line,
            )
            return


@pitfall(
    "cut-at-minus-one",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="All of an answer is missing, where the mark at which it is cut is not in it.",
    cause="A text that is split at a mark that it lacks is one part, which is dropped as the last.",
    how_sure="Certain also that a text's parts, up to a number from the end, are none.",
)
def all_parts_dropped(case: Case) -> Iterator[Finding]:
    """The last parts of a split text are left out, and there are no others."""
    for use in case.uses:
        split, upper = use.done[-1] if use.done else None, use.named("upper")
        if use.name != "[:]" or split is None or use.inputs[0] is not split.result:
            continue
        parts = use.inputs[0]
        if not isinstance(upper, int) or upper >= 0 or use.named("lower") or not use.ended:
            continue
        if not isinstance(parts, list) or use.result or not any(one.strip() for one in parts):
            continue
        yield Finding(
            code="cut-at-minus-one",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"`[:{upper}]` leaves none of the text's {len(parts)} parts: "
                f"{said(split.text)} is gone."
            ),
            why="The mark is not in the text, which is one part, the last: all of it is dropped.",
            fix="text = text if len(parts) == 1 else ...  # nothing is to be cut off",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "first-line-empty",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="Answers are empty, though the model wrote some.",
    cause="""
        A continuation may begin with the end of a line. What stands before the first line's end is
        nothing then.
    """,
    fix="Strip the text, then take the first line.",
    example='answer = text.strip().split("\\n")[0]',
    how_sure="Certain: the first line that was taken is empty, and the text is not.",
)
def first_line_empty(case: Case) -> Iterator[Finding]:
    """The first line of a text that begins with a line's end."""
    for use in case.uses:
        taken = parts_taken(use)
        if taken is None or taken[1] != 0 or not use.ended or use.result != "":
            continue
        split = taken[0]
        mark = "\n" if split.name == "str.splitlines" else mark_of(split)
        if mark is None or mark.strip() or "\n" not in mark or not split.text.strip():
            continue
        yield Finding(
            code="first-line-empty",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The first line of {said(split.text)} is empty, and is what is taken.",
            why="The answer begins with the end of a line, and stands behind it.",
            fix=f"answer = text.strip().split({mark!r})[0]",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "first-line-empty",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="An answer with code is nothing but three backticks.",
    cause="A chat model puts code in a fence, whose first line says the language and nothing else.",
    fix="Look for what stands within the fence.",
    how_sure="Certain also that what was taken is the line that opens a fence, alone.",
)
def fence_taken(case: Case) -> Iterator[Finding]:
    """What stands before the first mark is the line that opens a fence."""
    for number, use in enumerate(case.uses):
        taken, kept = parts_taken(use), use.result
        if taken is None or taken[1] != 0 or not isinstance(kept, str) or not use.ended:
            continue
        if not _FENCE.fullmatch(kept) or len(taken[0].text.strip()) <= len(kept.strip()):
            continue
        if any(one.text == kept and one.name in _ASKS for one in case.uses[number:]):
            continue  # a script that takes the fence off
        yield Finding(
            code="first-line-empty",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"{said(kept.strip())} is all that is taken of {said(taken[0].text)}.",
            why="It is the line that opens a code fence; the answer's code stands behind it.",
            fix='code = re.search(r"```\\w*\\n(.*?)```", text, re.S)[1]',
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "split-by-a-mark",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="The answer is the whole text, an IndexError, or breaks off at a word.",
    cause="""
        The answer is cut out of the decoded text by a mark of the template or of the prompt.
        Special tokens are not in a text that was decoded without them; a mark of the prompt is not
        in the new text; and a plain word like `assistant` may stand in any answer.
    """,
    fix="Cut the ids, then decode.",
    example="""
        new = output[0, inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True)
    """,
    how_sure="""
        Certain: the part was taken, and the mark is not in the text, or is in the answer too.
    """,
)
def split_by_a_mark(case: Case) -> Iterator[Finding]:
    """A part behind a mark that the text lacks, or that the answer has as well."""
    for use in case.uses:
        taken = parts_taken(use)
        if taken is None or taken[1] == 0 or taken[0].name not in CUTS:
            continue
        split, index = taken
        what = _mark_missing(split, use, index) or _mark_in_answer(split, use, index)
        if what is None:
            continue
        yield Finding(
            code="split-by-a-mark",
            severity=ERROR,
            confidence=CERTAIN,
            what=what,
            why="The answer is not what stands behind that mark.",
            fix=_CUT_IDS,
            file=use.file,
            line=use.line,
        )
        return


def _mark_missing(split: Use, use: Use, index: int) -> str | None:
    """Return in words that a mark is not in a text, where its absence does harm."""
    mark = mark_of(split)
    if mark is None or not mark.strip() or mark in split.text:
        return None
    if use.ended and use.result and not split.begins_with_prompt:
        return None  # the last part is the whole text, and that is the answer
    name = split.name.partition(".")[2]
    comes = "the whole text with its prompt is taken" if use.result else "nothing is taken"
    comes = comes if use.ended else f"there is no part {index}"
    skipped = skips_special(split.origin) and mark.strip() in split.origin.written
    if skipped or (skips_special(split.origin) and _has_special(mark, split)):
        return f"{name}({said(mark)}): skip_special_tokens=True left this mark out, and {comes}."
    if any(mark in prompt for prompt in split.origin.prompts) and not split.begins_with_prompt:
        return (
            f"{name}({said(mark)}): the mark stands in the prompt, the text is what the model "
            f"wrote after it, and {comes}."
        )
    return None


def _has_special(mark: str, use: Use) -> bool:
    return any(token in mark for token in special_tokens(use.origin))


def _mark_in_answer(split: Use, use: Use, index: int) -> str | None:
    """Return in words that a part begins behind a mark which the model wrote itself."""
    mark, held = mark_of(split), split.new_at
    if index != -1 or not held or not use.ended or mark is None or not mark.strip():
        return None
    if mark not in split.text[:held]:
        return None
    start, _ = spans_of(split)[-1]
    lost = split.text[held : max(held, start - len(mark))]
    if start <= held or not lost.strip():
        return None
    return (
        f"The last part behind {said(mark)} is taken, and the model wrote that mark too: "
        f"{said(lost)}, with which the answer begins, is lost."
    )


@pitfall(
    "strip-takes-characters",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="First or last letters are missing from some answers.",
    cause="""
        `strip`, `lstrip` and `rstrip` take a set of characters, not a word: each of them is removed
        as long as one stands at the edge.
    """,
    fix="`removeprefix` and `removesuffix` take a word.",
    example='answer = text.removeprefix("Answer:").strip()',
    how_sure="Certain: letters were removed that are not the word.",
)
def strip_takes_characters(case: Case) -> Iterator[Finding]:
    """More was stripped off than the word."""
    for use in case.uses:
        word = use.argument(0) if use.at == 0 else None
        sides = {"str.strip": "lr", "str.lstrip": "l", "str.rstrip": "r"}.get(use.name, "")
        if not sides or not isinstance(word, str) or sum(map(str.isalpha, word)) < 2:
            continue
        left = len(use.text) - len(use.text.lstrip(word)) if "l" in sides else 0
        right = len(use.text.rstrip(word)) if "r" in sides else len(use.text)
        lost = [one for one in (use.text[:left], use.text[max(left, right) :]) if one]
        lost = [
            one for one in lost if one.replace(word, "").strip() and one.strip() != word.strip()
        ]
        if not any(any(map(str.isalpha, one)) for one in lost):
            continue
        yield Finding(
            code="strip-takes-characters",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"{use.name[4:]}({said(word)}) took {said(lost[0])} off {said(use.text)}.",
            why="It takes a set of characters: each of them goes, as long as one is at the edge.",
            fix=f"text.removeprefix({said(word)})  # or removesuffix",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "continuation-stripped",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="Completed code has a wrong indentation, and words stick together.",
    cause="""
        The first token of a continuation has its own white space: a space before the next word, the
        indentation of a line. `strip()` takes it away, and the two texts no longer fit.
    """,
    fix="Join what was decoded, as it is; strip what is shown by itself.",
    example="completed = prompt + tokenizer.decode(new_ids, skip_special_tokens=True)",
    how_sure="Certain: the text was stripped, and then put behind its prompt.",
)
def continuation_stripped(case: Case) -> Iterator[Finding]:
    """A stripped text is put behind the prompt that it continues."""
    for use in case.uses:
        prompt = put_behind_prompt(use)
        text = use.inputs[use.at]
        lost = stripped_before(use) if prompt is not None else ""
        if not lost or not isinstance(text, str) or not text:
            continue
        indented = "  " in lost.rpartition("\n")[2] or "\t" in lost
        glued = prompt[-1:].isalnum() and text[:1].isalnum()
        if not (indented or glued):
            continue
        yield Finding(
            code="continuation-stripped",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"The white space at the continuation's beginning, {lost!r}, was stripped off, and "
                "the rest is put behind the prompt."
            ),
            why="The indentation of its first line is gone."
            if indented
            else f"Two words stick together: {said(prompt[-10:] + text[:10])}.",
            fix="completed = prompt + text  # without strip()",
            file=use.file,
            line=use.line,
        )
        return


@pitfall(
    "first-space-dropped",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.USES,),
    symptom="The first line of completed code stands one column off, or two words stick together.",
    cause="""
        Tokenizers after SentencePiece write a space into a word's first token, and drop the space
        in front of the first token that they decode: it would be that of the text's beginning. New
        ids that are decoded alone begin in the middle of a text, and lose theirs too.
    """,
    fix="Decode the whole row, and the prompt, and take what the row has more.",
    example="""
        whole = tokenizer.decode(output[0], skip_special_tokens=True)
        text = whole[len(tokenizer.decode(output[0, :length], skip_special_tokens=True)) :]
    """,
    how_sure="""
        Certain: the new ids were decoded alone and put behind the prompt, and decoded with it they
        begin with a space.
    """,
)
def first_space_dropped(case: Case) -> Iterator[Finding]:
    """New ids lost their first space where they were decoded alone, and are put behind a prompt."""
    for use in case.uses:
        prompt = put_behind_prompt(use)
        if prompt is None or use.done or use.origin.new_at or not prompt[-1:].strip(" "):
            continue
        lost = _space_lost(case, use)
        if not lost:
            continue
        yield Finding(
            code="first-space-dropped",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"decode drops the leading space of the first token, {lost!r}: alone the new ids "
                f"give {said(use.text[:20])}, and behind the prompt {said(lost + use.text[:20])}."
            ),
            why="Put behind the prompt, the text stands one column off, or sticks to its last "
            "word.",
            fix="text = tokenizer.decode(output[0])[len(tokenizer.decode(output[0, :length])):]",
            file=use.file,
            line=use.line,
        )
        return


def _space_lost(case: Case, use: Use) -> str:
    """Return the white space that new ids have behind their prompt, and have not alone."""
    origin, length = use.origin, case.prompt_length
    for row in case.rows if case.decoder_only else ():
        if row[length : length + len(origin.ids)] != origin.ids:
            continue
        head = origin.tokenizer.decode(row[:length], **origin.options)
        whole = origin.tokenizer.decode(row[: length + len(origin.ids)], **origin.options)
        new = whole[len(head) :]
        if whole.startswith(head) and new != origin.text and new.lstrip() == origin.text.lstrip():
            return new.removesuffix(origin.text) if new.endswith(origin.text) else ""
    return ""


@pitfall(
    "base-model-never-ends",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.USES,),
    symptom="The answer is followed by another example.",
    cause="The model goes on with the next example of its prompt.",
    how_sure="""
        Likely in a script's own cuts: what begins or separates the prompt's examples stands in the
        new text, and no mark at which the script cuts comes before it.
    """,
)
def next_example_stays(case: Case) -> Iterator[Finding]:
    """A text is cut at stop words, and what separates the prompt's examples is none of them."""
    cuts = [use for use in case.uses if use.name in (*CUTS, *FINDS) and mark_of(use)]
    origin = cuts[0].origin if cuts else None
    for mark in _between_examples(origin.prompts) if origin is not None else ():
        at = origin.new.find(mark)
        written = origin.new[:at].strip()
        places = [origin.new.find(mark_of(use)) for use in cuts]
        if not written or any(0 <= place <= at for place in places):
            continue
        if any(mark.strip() in mark_of(use) for use in cuts) or _cut_by_a_pattern(case):
            continue
        yield Finding(
            code="base-model-never-ends",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"The new text goes on with {said(mark.strip())}, as the prompt's examples do, and "
                f"none of the stop words that it is cut at is that: {said(mark_of(cuts[0]))}, ..."
            ),
            why="The model writes the next example behind its answer: it stays in the answer.",
            fix=f"text = text.split({mark!r})[0]",
            file=cuts[0].file,
            line=cuts[0].line,
        )
        return


def _cut_by_a_pattern(case: Case) -> bool:
    return any(use.name.startswith(("re.", "match.")) for use in case.uses)


def _between_examples(prompts: tuple[str, ...]) -> Iterator[str]:
    """Yield lines of signs, or the first words of lines, that come in a prompt again and again."""
    for prompt in prompts:
        lines = [line.rstrip() for line in prompt.split("\n")]
        rules = [line for line in lines if _RULE.fullmatch(line)]
        heads = [found.group() for found in map(_HEAD.match, lines) if found]
        for one in dict.fromkeys((*rules, *heads[:1])):
            if (rules + heads).count(one) >= _EXAMPLES:
                yield f"\n{one}"

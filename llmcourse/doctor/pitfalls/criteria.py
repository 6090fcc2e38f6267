"""Pitfalls of stopping criteria, seen in their verdicts and in the text that was written."""

import dis
from collections.abc import Iterator

from llmcourse.doctor.case import Called, Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, WARNING, Finding
from llmcourse.doctor.held import code_of, held_by, numbers, reads_ids, runs_of_ids, texts
from llmcourse.doctor.pitfalls.called import CRITERION, SHOWN, named
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import plural, printable

_LONGEST = 40  # characters of a text that may be a stop word
_RUN = 12  # ids of one
_NO_STOP_WORDS = ("prompt", "name", "device", "path", "dtype", "system", "role", "question")


def _criteria(case: Case) -> list[Called]:
    """Return the user's criteria that were asked, where rows are texts: not in a beam search."""
    if (case.setting("num_beams") or 1) != 1 or case.tokenizer is None:
        return []
    return [one for one in case.called if one.kind == CRITERION and one.steps]


def _words(called: Called) -> dict[str, bool]:
    """Return the texts that a criterion holds and may look for: whether each stands alone."""
    held = held_by(called.what)
    fit = {
        text: alone
        for name, text, alone in texts(held)
        if not any(word in name.lower() for word in _NO_STOP_WORDS)
    }
    return {text: alone for text, alone in fit.items() if len(text) <= _LONGEST}


def _ids(called: Called) -> list[list[int]]:
    held = held_by(called.what)
    return [run for _, run in runs_of_ids(held, _RUN)] + [[one] for _, one in numbers(held)]


def _knows_the_prompt(case: Case, called: Called) -> bool:
    """Tell whether a criterion holds the prompt's length, and can leave it out."""
    return any(abs(number - case.prompt_length) <= 1 for _, number in numbers(held_by(called.what)))


def _new_text(case: Case, row: int, steps: int | None = None) -> str:
    """Return what was written in a row, in its first steps, special tokens included."""
    return case.tokenizer.decode(case.new_rows[row][:steps], clean_up_tokenization_spaces=False)


def _holds_run(row: list[int], run: list[int]) -> bool:
    return any(row[at : at + len(run)] == run for at in range(len(row) - len(run) + 1))


@pitfall(
    "stop-reads-the-prompt",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.CALLED,),
    symptom="It stops at once or too early, though the stop word has not been written.",
    cause="""
        A criterion gets prompt and new tokens in one row. Looking for a word, or its pieces,
        anywhere in the row finds those of the prompt, and pieces in any order.
    """,
    fix="Look at the end of the row, or use `stop_strings`.",
    example='model.generate(**inputs, stop_strings=["###"], tokenizer=tokenizer)',
    how_sure="""
        Likely where it was seen: true at the first step, and what it holds stands in the prompt and
        not in what was written.
    """,
)
def stop_reads_the_prompt(case: Case) -> Iterator[Finding]:
    """A criterion is true at the first step, by what stands in the prompt."""
    for called in _criteria(case) if case.new_rows else ():
        if not any(called.steps[0].said) or _knows_the_prompt(case, called):
            continue
        if "" in _words(called):  # which every text ends with: stopped-at-once says it
            continue
        row = called.steps[0].said.index(True)
        if row >= min(len(case.texts), len(case.new_rows)):
            continue
        prompt, new, ids = case.texts[row], _new_text(case, row, 1), case.new_rows[row][:1]
        words = [one for one in _words(called) if one.strip()]
        runs = [one for one in _ids(called) if len(one) > 1]
        written = any(one in new for one in words) or ids in _ids(called)
        prompt_ids = case.input_ids[row].tolist()
        hit = next((one for one in words if len(one.strip()) > 1 and one in prompt), None)
        run = next((one for one in runs if _holds_run(prompt_ids, one)), None)
        if hit is None and run is not None:
            hit = case.tokenizer.decode(run)
        if written or hit is None:
            continue
        yield Finding(
            code="stop-reads-the-prompt",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"{named(called)} was true after the first token, {printable(new, SHOWN)!r}: its "
                f"{printable(hit, SHOWN)!r} stands in the prompt, and was not written."
            ),
            why="input_ids holds the prompt too: what is looked for in all of it is found there.",
            fix="input_ids[:, prompt_length:]  # the new tokens alone",
        )


@pitfall(
    "stop-text-in-letters",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.CALLED,),
    symptom="Answers break off within their first words, at any letter of the stop word.",
    cause="""
        A criterion goes through a list of stop words, and was given one text in its place. Going
        through a text gives its letters, and each of them stops the answer.
    """,
    fix="Put the stop word into a list.",
    example="stops = [stop] if isinstance(stop, str) else stop",
    how_sure="""
        Likely: it was true as soon as one letter of a text that it holds was written, and the whole
        text was not; its code goes through something.
    """,
)
def stop_text_in_letters(case: Case) -> Iterator[Finding]:
    """A criterion is true at a letter of its stop word."""
    for called in _criteria(case) if case.new_rows else ():
        code = code_of(called.what)
        if code is None or not _goes_through(code):
            continue
        place = next((at for at, one in enumerate(called.steps) if any(one.said)), None)
        if place is None:
            continue
        row = called.steps[place].said.index(True)
        if row >= len(case.new_rows):
            continue
        new, before = _new_text(case, row, place + 1), _new_text(case, row, place)
        for word, alone in _words(called).items():
            whole = len(word.strip()) < 2 or not alone or word in new
            in_prompt = any(word in text for text in case.texts)
            if whole or (in_prompt and not _knows_the_prompt(case, called)):
                continue
            letters = [one for one in new if one in word]
            if not letters or any(one in word for one in before):
                continue
            yield Finding(
                code="stop-text-in-letters",
                severity=WARNING,
                confidence=LIKELY,
                what=(
                    f"{named(called)} was true at {printable(letters[0])!r}, one letter of its "
                    f"stop text {printable(word, SHOWN)!r}, which was not written."
                ),
                why="A text is gone through letter by letter: each of them counts as a stop word.",
                fix=f"[{printable(word, SHOWN)!r}]  # a list of stop words, not the text itself",
            )
            break


def _goes_through(code) -> bool:
    """Tell whether code has a loop, or what is inside it has."""
    inside = [one for one in code.co_consts if hasattr(one, "co_code")]
    loops = any(one.opname in ("GET_ITER", "FOR_ITER") for one in dis.get_instructions(code))
    return loops or any(map(_goes_through, inside))


@pitfall(
    "criterion-never-true",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.CALLED,),
    symptom="A stopping criterion is asked at every step, and nothing ever stops.",
    cause="""
        What it looks for was written, and it was not true. It compares the last token's text with a
        word of several pieces, ids with those of another spelling, or the whole text where the word
        stands at its end. Or a list gets False for every row, whatever was found, and the criterion
        is true only if all in it are: often a `break` leaves the inner loop alone, and the line
        after it still runs.
    """,
    fix="Look at the end of the decoded text, or use `stop_strings`.",
    example="""
        ends = [any(row[-len(s) :].tolist() == s for s in sequences) for row in input_ids]
        return torch.tensor(ends, device=input_ids.device)
    """,
    how_sure="""
        Likely where it was seen: a text that the criterion holds, or ids, were written, and it was
        false at every step.
    """,
)
def criterion_never_true(case: Case) -> Iterator[Finding]:
    """What a criterion holds was written, and it was never true."""
    for called in _criteria(case) if case.new_rows else ():
        if not called.whole or any(any(step.said) for step in called.steps):
            continue
        if any(step.returned not in ("", "one for all") for step in called.steps):
            continue
        sign = _written_in_vain(case, called)
        if sign is None:
            continue
        word, row, pieces = sign
        if _waits_for_all(case, called, row):  # criterion-of-one-row says it
            continue
        yield Finding(
            code="criterion-never-true",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"{named(called)} was asked in {plural(len(called.steps), 'step')} and never "
                f"true; {printable(word, SHOWN)!r}, which it holds, was written in row {row}"
                + (f", in {pieces} tokens." if pieces > 1 else ".")
            ),
            why=(
                "A stop word is written in several tokens, and with the space before it: the last "
                "token's text, or ids encoded alone, are never equal to it."
            ),
            fix=f"model.generate(..., stop_strings=[{printable(word, SHOWN)!r}], "
            "tokenizer=tokenizer)",
        )


def _waits_for_all(case: Case, called: Called, row: int) -> bool:
    """Tell whether a row has what a criterion looks for, which answers once for several rows.

    row: the first one that has it. Rows that have it not, or have ended otherwise, keep it false.
    """
    rows = case.new_rows[: len(called.steps[0].said)]
    if len(rows) < 2 or any(step.returned != "one for all" for step in called.steps):
        return False
    if all(_is_met(case, called, at, ids) for at, ids in enumerate(rows)):
        return False
    code = code_of(called.what)
    return row > 0 or (code is not None and _goes_through(code))


def _written_in_vain(case: Case, called: Called) -> tuple[str, int, int] | None:
    """Return (word, row, tokens) of a word that a criterion holds and that was written."""
    words = [one for one in _words(called) if len(one.strip()) > 1 or "\n" in one]
    runs = [run for _, run in runs_of_ids(held_by(called.what), _RUN)]
    for row, ids in enumerate(case.new_rows[: len(called.steps[0].said)]):
        text = _new_text(case, row)
        word = next((one for one in words if one in text), None)
        if word is not None:
            return word, row, _pieces(case, ids, word)
        run = next((one for one in runs if _holds_run(ids, one)), None)
        if run is not None:
            return case.tokenizer.decode(run), row, len(run)
    return None


def _pieces(case: Case, ids: list[int], word: str) -> int:
    """Return in how many tokens a word was first written."""
    end = next(at for at in range(1, len(ids) + 1) if word in case.tokenizer.decode(ids[:at]))
    begin = next(
        (at for at in range(end - 1, -1, -1) if word in case.tokenizer.decode(ids[at:end])), 0
    )
    return end - begin


@pitfall(
    "criterion-of-one-row",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.CALLED,),
    symptom="In a batch the other answers break off as soon as the first has ended, or never do.",
    cause="""
        A criterion that looks at row 0, or at any, and returns one True or False ends all rows with
        it; one that waits until all have come to their end lets the first go on behind theirs.
        `generate` takes an answer for each row.
    """,
    fix="Return a tensor with a True or False for each row.",
    example="""
        def __call__(self, input_ids, scores, **kwargs):
            return input_ids[:, -1] == self.token
    """,
    how_sure="""
        Certain where it was one True for several rows, and what the criterion holds was written in
        some of them alone, or rows went on behind it. Likely where it reads the ids, and other
        rows had no end.
    """,
)
def criterion_of_one_row(case: Case) -> Iterator[Finding]:
    """One answer for all: rows ended before their end, or went on behind it."""
    for called in _criteria(case) if len(case.new_rows) > 1 else ():
        last = called.steps[-1]
        sign = _written_in_vain(case, called) if called.whole and last.rows > 1 else None
        never = not any(any(step.said) for step in called.steps)
        if sign is not None and never and _waits_for_all(case, called, sign[1]):
            yield Finding(
                code="criterion-of-one-row",
                severity=WARNING,
                confidence=LIKELY,
                what=(
                    f"{named(called)} returns one answer for {last.rows} rows; row {sign[1]} has "
                    f"its {printable(sign[0], SHOWN)!r} and goes on behind it."
                ),
                why="It is true only once every row has come to it, and some end otherwise.",
                fix="return torch.tensor([ends(row) for row in input_ids], "
                "device=input_ids.device)",
            )
            continue
        if last.returned != "one for all" or not all(last.said) or last.rows < 2:
            continue
        count = len(called.steps)
        rows = [row[:count] for row in case.new_rows[: len(last.said)]]
        open_rows = [at for at, row in enumerate(rows) if not set(row) & set(case.eos_ids)]
        stopped = [at for at, row in enumerate(rows) if _is_met(case, called, at, row)]
        broken = [at for at in open_rows if at not in stopped]
        certain = bool(stopped)
        if not broken or not (certain or (len(open_rows) > 1 and reads_ids(called.what))):
            continue
        met = f", met by row {stopped[0]}" if certain else ""
        yield Finding(
            code="criterion-of-one-row",
            severity=WARNING,
            confidence=CERTAIN if certain else LIKELY,
            what=(
                f"{named(called)} returned one True for {last.rows} rows in step {count}{met}; "
                f"{plural(len(broken), 'row')} had not come to an end, row {broken[0]} first."
            ),
            why="One True ends every row of the batch: the other texts break off there.",
            fix="return torch.tensor([ends(row) for row in input_ids], device=input_ids.device)",
        )


def _is_met(case: Case, called: Called, at: int, row: list[int]) -> bool:
    """Tell whether what a criterion holds was written in a row."""
    text = case.tokenizer.decode(row, clean_up_tokenization_spaces=False)
    words = [one for one in _words(called) if one.strip() and one in text]
    runs = [run for run in _ids(called) if _holds_run(row[-len(run) :], run)]
    return bool(words or runs)


@pitfall(
    "criterion-of-wrong-form",
    subject=Subject.ENDS,
    severities=(ERROR,),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="A TypeError within `generate`, at the first step.",
    cause="""
        `generate` calls a criterion with ids and scores, and joins what it returns with a tensor:
        True, False, or a tensor with one of them for each row. A list cannot be joined.
    """,
    fix="Take both arguments, and return a tensor.",
    example="""
        def __call__(self, input_ids, scores, **kwargs):
            ends = [self.has_ended(row) for row in input_ids]
            return torch.tensor(ends, device=input_ids.device)
    """,
    how_sure="Certain where it was seen to return something else.",
)
def criterion_of_wrong_form(case: Case) -> Iterator[Finding]:
    """A criterion returned what cannot be joined with a tensor."""
    for called in case.called:
        if called.kind != "stopping_criteria" or case.refusal is None:
            continue
        wrong = [one for one in called.steps if one.returned not in ("", "None", "one for all")]
        if not wrong:
            continue
        yield Finding(
            code="criterion-of-wrong-form",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"{named(called)} returned {wrong[0].returned}, for {wrong[0].rows} rows.",
            why="generate joins it with a tensor that has a True or False for each row.",
            fix="return torch.tensor(ends, device=input_ids.device)  # (rows,) bool",
        )


@pitfall(
    "stop-ids-begin-a-text",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.CALLED,),
    symptom="A stopping criterion never stops, though its words are in the text.",
    cause="""
        Many tokenizers put a begin token before what they encode, and SentencePiece a piece for a
        space. A stop word's ids then begin with it, and within a text it does not come there.
    """,
    fix="Encode without special tokens, or use `stop_strings`.",
    example="ids = tokenizer(word, add_special_tokens=False).input_ids",
    how_sure="""
        Certain where the ids that a criterion holds begin with a special token, and their text was
        written without it.
    """,
)
def stop_ids_begin_a_text(case: Case) -> Iterator[Finding]:
    """A criterion's ids begin with a special token, and the rest was written."""
    special = set(case.tokenizer.all_special_ids) if case.tokenizer is not None else set()
    for called in _criteria(case) if case.new_rows else ():
        if any(any(step.said) for step in called.steps):
            continue
        written = [_new_text(case, row) for row in range(len(case.new_rows))]
        for run in _ids(called):
            word = case.tokenizer.decode(run[1:]).strip() if run[0] in special else ""
            if not word or not any(word in text for text in written):
                continue
            first = case.tokenizer.convert_ids_to_tokens(run[0])
            yield Finding(
                code="stop-ids-begin-a-text",
                severity=WARNING,
                confidence=CERTAIN,
                what=(
                    f"{named(called)} holds the ids of {printable(word, SHOWN)!r} with "
                    f"{printable(str(first), SHOWN)!r} before them; the word was written without."
                ),
                why="The tokenizer put its begin token first, which does not come within a text.",
                fix=f"tokenizer({printable(word, SHOWN)!r}, add_special_tokens=False).input_ids",
            )
            break

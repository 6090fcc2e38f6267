"""Pitfalls of logits processors and functions of allowed tokens, seen in what they return."""

from collections.abc import Iterator
from types import CodeType

from llmcourse.doctor.case import Called, Case, Edit, Step
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.held import code_of, held_by, numbers, reads_ids
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import in_words, plural, printable

PROCESSOR, CRITERION = "logits_processor", "stopping_criteria"
ALLOWED = "prefix_allowed_tokens_fn"
_SHOWN = 40  # characters of a name that a finding repeats
_STEPS = 3  # from which on a processor that did nothing, or changed one row, is spoken of
_MUCH = 0.01  # the probability of tokens from which on they are drawn now and then
_OUT_OF_PLACE = (IndexError, KeyError, StopIteration, ValueError)  # of who looks up too far
_STARTS = ("prompt", "start", "begin")  # what a number is called where new tokens begin
_MEASURES = {"shape", "size", "len", "numel"}  # by which code asks how long the ids are


def _of(case: Case, *kinds: str) -> list[Called]:
    return [one for one in case.called if one.kind in kinds]


def _named(called: Called) -> str:
    return printable(called.name, _SHOWN)


def _edits(called: Called) -> Iterator[tuple[int, int, Edit]]:
    """Yield (step from 1, row, what was done there)."""
    for place, step in enumerate(called.steps, 1):
        for row, edit in enumerate(step.edits):
            yield place, row, edit


def _raised_in(case: Case, called: Called) -> bool:
    """Tell whether the call failed by what a callable raised itself."""
    return called.error is not None and case.refusal is called.error


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
        sign = _answers_differ(called) or _goes_on(case, called)
        if sign is None:
            continue
        said, certain = sign
        failed = _raised_in(case, called)
        yield Finding(
            code="stateful-processor",
            severity=ERROR if failed else WARNING,
            confidence=CERTAIN if certain else LIKELY,
            what=f"{_named(called)} keeps a state ({_changed_in(called)}) between texts: {said}.",
            why=(
                "generate does not tell it that a new text begins: it goes on where the last one "
                "ended."
            ),
            fix=f"model.generate(..., {called.kind}=...)  # a new {_named(called)} for each call",
        )


def _carried(earlier: Called, called: Called) -> bool:
    """Tell whether a state came from an earlier call as that left it, and is not how it began."""
    last = called.earlier[-1]
    return last.after == called.before and earlier.before != called.before


def _changed_in(called: Called) -> str:
    """Return the names of what a call changes in an object."""
    pairs = [(one.before, one.after) for one in (*called.earlier, called)]
    names = {name for old, new in pairs for name in {*old, *new} if old.get(name) != new.get(name)}
    short = sorted(names, key=lambda name: (name.count("."), name))
    return printable(", ".join(short[:3]), _SHOWN) or "its own"


def _by_text(steps: list[Step]) -> Iterator[tuple[bytes, object]]:
    for step in steps:
        yield from zip(step.texts, step.said, strict=False)


def _answers_differ(called: Called) -> tuple[str, bool] | None:
    """Return in words that the same ids got two answers, in two calls or in two rows."""
    now = dict(_by_text(called.steps))
    for earlier in called.earlier:
        if not _carried(earlier, called):
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


def _goes_on(case: Case, called: Called) -> tuple[str, bool] | None:
    """Return in words that an object is silent, stops or fails where it did not before."""
    for earlier in called.earlier:
        if not earlier.steps or not _carried(earlier, called):
            continue
        kept = _length_kept(earlier, called)
        if kept is not None:
            return f"{kept}, and this prompt has {called.steps[0].length}", True
        if called.kind == PROCESSOR and called.steps and _went_silent(earlier, called):
            return "it changed the first scores of an earlier call, and none of this one", False
        if called.kind == CRITERION and _counts_on(earlier, called):
            return (
                f"it stopped this text in step {len(called.steps)}, and an earlier one not",
                False,
            )
        first = not called.steps and isinstance(called.error, _OUT_OF_PLACE)
        if first and _raised_in(case, called):
            failed = printable(in_words(called.error), 80)
            return (
                f"at the first step of this text it raises {failed}, and before it did not",
                False,
            )
    return None


def _length_kept(earlier: Called, called: Called) -> str | None:
    """Return in words that the length of an earlier prompt is taken for that of this one."""
    if not called.steps or called.steps[0].length == earlier.steps[0].length:
        return None
    length = earlier.steps[0].length
    for name, now in called.before.items():
        if isinstance(now, bool) or now != length or not isinstance(now, int):
            continue
        if earlier.before.get(name) != now and called.after.get(name) == now:
            shown = printable(name, _SHOWN)
            return f"{shown}={now} is the length of an earlier prompt"
    return None


def _counts_on(earlier: Called, called: Called) -> bool:
    """Tell whether a criterion was true in a step of this call, and not in that of an earlier one.

    One that reads the ids may have its reason there: it has to be the first step, and a number or a
    flag that the object carries along.
    """
    pairs = list(zip(earlier.steps, called.steps, strict=False))
    if reads_ids(called.what):
        old, new = earlier.before, called.before
        counts = [name for name in new if old.get(name) != new[name] and _is_number(new[name])]
        pairs = pairs[:1] if counts and len(earlier.steps) > 1 else []
    return any(all(new.said) and not any(old.said) and new.said for old, new in pairs)


def _is_number(value) -> bool:
    return isinstance(value, bool | int)


def _went_silent(earlier: Called, called: Called) -> bool:
    """Tell whether it acted in an unbroken run of first steps, and later in none."""
    acted = [any(edit.changed for edit in step.edits) for step in earlier.steps]
    count = acted.index(False) if False in acted else len(acted)
    return (
        count > 0
        and not any(acted[count:])
        and not any(edit.changed for _, _, edit in _edits(called))
    )


@pitfall(
    "processor-returns-none",
    subject=Subject.CALL,
    severities=(ERROR,),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="`'NoneType' object has no attribute ...`, deep in `generate`.",
    cause="""
        `generate` goes on with what a processor returns, and stops by what a criterion returns. A
        `__call__` without `return`, or with one in an `if` alone, returns None, also where it
        changes the scores in place.
    """,
    fix="Return the scores; a criterion returns True or False for each row.",
    example="""
        def __call__(self, input_ids, scores):
            scores[:, self.ids] -= self.by
            return scores
    """,
    how_sure="Certain where it was seen to return None.",
)
def processor_returns_none(case: Case) -> Iterator[Finding]:
    """A callable returned None."""
    for called in case.called:
        place = next((at for at, one in enumerate(called.steps, 1) if one.returned == "None"), None)
        if place is None:
            continue
        wanted = {
            PROCESSOR: "the scores, (rows, vocabulary)",
            CRITERION: "True or False for each row",
            ALLOWED: "a list of token ids",
        }[called.kind]
        yield Finding(
            code="processor-returns-none",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"{_named(called)} returned None in step {place}; generate wants {wanted}.",
            why="A way through it has no return: what it did to its arguments is not looked at.",
            fix=f"return {'scores' if called.kind == PROCESSOR else '...'}  # at the end of it",
        )


@pitfall(
    "processor-returns-no-scores",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="Sampling draws nearly any token; or always the one with the lowest id comes.",
    cause="""
        `generate` takes what a processor returns for logits, and does the softmax itself. After a
        softmax all values lie between 0 and 1, and a second one makes them almost alike. A mask of
        0 and -inf alone makes all allowed tokens equally likely: the model has no say.
    """,
    fix="Return scores: masked, shifted, or the logarithm of probabilities.",
    example="return scores + mask  # 0 where allowed, -inf elsewhere",
    how_sure="""
        Certain: what came back was looked at. A note where the call takes the likeliest token, and
        probabilities change nothing about that.
    """,
)
def processor_returns_no_scores(case: Case) -> Iterator[Finding]:
    """What came back are probabilities, a mask, or nothing of the scores' shape."""
    for called in _of(case, PROCESSOR):
        sign = _no_scores(case, called)
        if sign is None:
            continue
        severity, said, why, fix = sign
        yield Finding(
            code="processor-returns-no-scores",
            severity=severity,
            confidence=CERTAIN,
            what=f"{_named(called)} returned {said}.",
            why=why,
            fix=fix,
        )


def _no_scores(case: Case, called: Called) -> tuple[str, str, str, str] | None:
    wrong = next((one for one in called.steps if one.returned not in ("", "None")), None)
    if wrong is not None:
        said = f"{wrong.returned}, not scores of shape ({wrong.rows}, vocabulary)"
        why = "generate chooses a token of each row from what a processor returns."
        return ERROR, said, why, "return scores  # (rows, vocabulary), as they came"
    for place, row, edit in _edits(called):
        at = f" for row {row} in step {place}"
        if "probabilities" in edit.faults:
            drawn = bool(case.setting("do_sample"))
            why = "generate takes them for logits and does a softmax itself: " + (
                "a second one makes all tokens nearly equally likely."
                if drawn
                else "the order stays, and sampling would draw nearly any token."
            )
            said = "probabilities (0 to 1, with a sum of 1) where logits are expected" + at
            return WARNING if drawn else NOTE, said, why, "return probabilities.log()"
    masks = [(place, row, one) for place, row, one in _edits(called) if "mask" in one.faults]
    if masks:
        place, row, _ = masks[0]
        said = (
            f"one and the same score for all tokens that it leaves, for row {row} in step {place}"
        )
        why = "That is the mask alone: the model's logits are gone, and the lowest id wins a tie."
        return WARNING, said, why, "return scores + mask  # 0 where allowed, -inf elsewhere"
    return None


@pitfall(
    "forced-by-infinity",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="`probability tensor contains either inf, nan or element < 0`, or nan scores.",
    cause="""
        A softmax of a row that holds +inf is nan everywhere: inf minus inf. Greedy decoding still
        finds the largest; sampling, beams and log-probabilities do not.
    """,
    fix="Force a token by -inf for all others.",
    example="""
        forced = torch.full_like(scores, -float("inf"))
        forced[:, token] = 0
    """,
    how_sure="Certain where +inf was seen in the scores. An error where the call failed.",
)
def forced_by_infinity(case: Case) -> Iterator[Finding]:
    """A processor put +inf into the scores."""
    for called in _of(case, PROCESSOR):
        hit = next(((at, row) for at, row, one in _edits(called) if "infinite" in one.faults), None)
        if hit is None:
            continue
        yield Finding(
            code="forced-by-infinity",
            severity=ERROR if case.refusal is not None else WARNING,
            confidence=CERTAIN,
            what=f"{_named(called)} put +inf into the scores of row {hit[1]} in step {hit[0]}.",
            why="The softmax of such a row is nan: no token can be drawn from it.",
            fix='scores = scores.masked_fill(others, float("-inf"))  # in place of +inf',
        )


@pitfall(
    "all-tokens-banned",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="""
        The token with id 0 comes over and over (`!`, `<unk>`, `<pad>`), or `probability tensor
        contains either inf, nan or element < 0`.
    """,
    cause="""
        A logits processor set all scores of a row to -inf, or made them nan. Nothing is left to
        choose: greedy decoding takes the first id of the vocabulary, and sampling fails.
    """,
    fix="Leave at least one token, or the end token, for each row.",
    example="""
        dead = scores.isneginf().all(-1)
        scores[dead, tokenizer.eos_token_id] = 0
    """,
    how_sure="Certain: the scores were looked at, of rows that had not ended.",
)
def all_tokens_banned(case: Case) -> Iterator[Finding]:
    """A processor left a row no token to choose."""
    for called in _of(case, PROCESSOR):
        hit = next(
            (
                (place, row, one)
                for place, row, one in _edits(called)
                if one.faults & {"none left", "nan"} and not _has_ended(case, row, place)
            ),
            None,
        )
        if hit is None or any("infinite" in one.faults for _, _, one in _edits(called)):
            continue
        place, row, edit = hit
        nan = "nan" in edit.faults
        did = "made scores nan" if nan else "set every score to -inf: it banned all tokens"
        failed = case.refusal is not None
        yield Finding(
            code="all-tokens-banned",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"{_named(called)} {did}, of row {row} in step {place}.",
            why="No token is left to choose"
            + (": sampling fails." if failed else ", and the first id of the vocabulary comes."),
            fix="scores[scores.isneginf().all(-1), tokenizer.eos_token_id] = 0",
        )


def _has_ended(case: Case, row: int, place: int) -> bool:
    """Tell whether a row had its end before a step, from 1; its scores are then not read."""
    written = case.new_rows[row][: place - 1] if row < len(case.new_rows) else []
    return not set(case.eos_ids).isdisjoint(written)


@pitfall(
    "processor-of-one-row",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    needs=(Needs.CALLED,),
    symptom="In a batch, or with beams, only the first text keeps to the rule.",
    cause="""
        A processor gets all rows at once: `scores` is (rows, vocabulary), `input_ids` (rows,
        length). With several prompts, beams or `num_return_sequences` there are rows beside row 0.
    """,
    fix="Write to all rows, or go through them.",
    example="""
        for row, ids in enumerate(input_ids):
            if ids[-1] == self.token:
                scores[row, self.banned] = -float("inf")
    """,
    how_sure="""
        Certain where two rows had the same ids, and only the first was changed. Likely where row 0
        was changed in every step and no other ever was.
    """,
)
def processor_of_one_row(case: Case) -> Iterator[Finding]:
    """A processor changed row 0 alone."""
    for called in _of(case, PROCESSOR):
        steps = [step for step in called.steps if len(step.edits) > 1]
        first = [bool(step.edits[0].changed) for step in steps]
        if not any(first) or any(one.changed for step in steps for one in step.edits[1:]):
            continue
        alike = any(step.edits[0].changed and step.texts[0] in step.texts[1:] for step in steps)
        if not alike and not (all(first) and len(steps) >= _STEPS):
            continue
        rows = steps[0].rows
        yield Finding(
            code="processor-of-one-row",
            severity=WARNING,
            confidence=CERTAIN if alike else LIKELY,
            what=(
                f"{_named(called)} changed the scores of row 0 in {plural(sum(first), 'step')}, "
                f"and never those of the other {rows - 1} rows."
            ),
            why="scores is (rows, vocabulary): the other texts of the batch are free of its rule.",
            fix='scores[:, banned] = -float("inf")  # all rows, not scores[0]',
        )


@pitfall(
    "removed-by-zero",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    needs=(Needs.CALLED,),
    symptom="Tokens that were filtered out still come, and more often than before.",
    cause="""
        A logit of 0 is no chance of 0: it is above every negative logit. Only -inf takes a token
        away; a small finite number makes it rare at best.
    """,
    fix="Write -inf into logits, 0 into chances.",
    example='logits = logits.masked_fill(drop, float("-inf"))',
    how_sure="""
        Certain that tokens got one finite score and may still be drawn: their probability is in the
        finding. That they were to be taken away is inferred.
    """,
)
def removed_by_zero(case: Case) -> Iterator[Finding]:
    """Tokens were given a small finite score, and may still come."""
    for called in _of(case, PROCESSOR):
        flats = [(place, row, one.flat) for place, row, one in _edits(called) if one.flat]
        hits = [hit for hit in flats if hit[2][3] >= _MUCH]
        if not hits:
            continue
        place, row, (score, count, was, now) = max(hits, key=lambda hit: hit[2][3])
        yield Finding(
            code="removed-by-zero",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"{_named(called)} set {plural(count, 'logit')} to {score:g} (row {row}, step "
                f"{place}): these tokens had a probability of {was:.2g} and now have {now:.2g}."
            ),
            why="A logit of 0, or another finite one, removes nothing: only -inf does.",
            fix='scores = scores.masked_fill(drop, float("-inf"))',
        )


@pitfall(
    "penalty-divides-negative",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    needs=(Needs.CALLED,),
    symptom="A repetition penalty makes repetitions more frequent.",
    cause="""
        A repetition penalty divides positive logits and multiplies negative ones. A negative logit
        that is divided, or from which a multiple of itself is subtracted, comes closer to 0: the
        token gets likelier.
    """,
    fix="Ask for the sign.",
    example="logits = torch.where(logits < 0, logits * penalty, logits / penalty)",
    how_sure="""
        Certain where a processor lowered the positive logits of tokens that stand in the text, and
        raised the negative ones.
    """,
)
def penalty_divides_negative(case: Case) -> Iterator[Finding]:
    """Tokens of the text were penalized where their logit was positive, and rewarded elsewhere."""
    for called in _of(case, PROCESSOR):
        every = [one.signs for _, _, one in _edits(called) if one.signs is not None]
        edits = [one for _, _, one in _edits(called) if one.changed]
        factors = [one.factor for _, _, one in _edits(called) if one.factor is not None]
        shrunk = len(factors) == len(every) and all(0 < one < 1 for one in factors)
        rose, fell, up, down = (
            (sum(signs) for signs in zip(*every, strict=True)) if every else [0] * 4
        )
        if not rose or not (down or shrunk) or fell or up or len(every) < len(edits):
            continue
        yield Finding(
            code="penalty-divides-negative",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"{_named(called)} lowered {down} positive logits of tokens in the text, and "
                f"raised {rose} negative ones: it rewards them."
            ),
            why="A negative logit that is divided by a penalty comes closer to 0, and is likelier.",
            fix="torch.where(scores < 0, scores * penalty, scores / penalty)",
        )


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
    for called in _of(case, PROCESSOR, CRITERION):
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
                f"{_named(called)} looks at the length of input_ids, which begins with the "
                f"prompt's {length} tokens; with {printable(name, _SHOWN)}={number} it {did}."
            ),
            why="The prompt's tokens are counted as new ones: the number is reached before the "
            "first.",
            fix="input_ids.shape[1] - prompt_length  # the number of new tokens",
        )


def _is_silent(called: Called) -> bool:
    """Tell whether a processor changed nothing in all steps of a call."""
    enough = called.whole and len(called.steps) >= _STEPS and called.error is None
    return enough and not any(edit.changed for _, _, edit in _edits(called))


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
            what=f"{_named(called)} {did} in all {plural(len(called.steps), 'step')}.",
            why="The text is the one that comes without it.",
            fix="# what does it wait for? the ids that it gets begin with the prompt",
        )


def _idle(case: Case) -> Iterator[tuple[Called, str]]:
    """Yield (callable, what it did) of those that changed nothing, for no reason known."""
    for called in _of(case, ALLOWED):
        if called.whole and called.steps and all(one.everything for one in called.steps):
            yield called, "allowed the whole vocabulary"
    for called in _of(case, PROCESSOR):
        explained = _is_silent(called) and _limit_in(called, case.prompt_length) is not None
        if not _is_silent(called) or explained or _goes_on(case, called) is not None:
            continue
        if not any(one.returned for one in called.steps):
            yield called, "returned the scores as they came"


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
    for called in _of(case, PROCESSOR, ALLOWED) if case.tokenizer is not None else ():
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
                    f"{_named(called)} allows {printable(same, _SHOWN)!r}, and the likeliest token "
                    f"is {printable(spelt, _SHOWN)!r}, the same word in another spelling; what is "
                    f"allowed had a probability of {mass:.2g}."
                ),
                why="With its space a word is another token: the model's choice is kept out.",
                fix=f"tokenizer({printable(spelt, _SHOWN)!r}, add_special_tokens=False).input_ids",
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
    for called in _of(case, ALLOWED):
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
            what=f"{_named(called)} returned {said}; generate wants a flat list of token ids.",
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
    for called in _of(case, ALLOWED):
        if length < 2 or _goes_on(case, called) is not None:
            continue
        raised = _raised_in(case, called) and isinstance(called.error, _OUT_OF_PLACE)
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
                f"{_named(called)} {did} at the first step: the ids that it gets are the prompt's "
                f"{length} tokens, not none."
            ),
            why="The ids begin with the prompt: what is looked up by all of them is not there.",
            fix="written = ids[prompt_length:].tolist()  # what was generated so far",
        )


def _ends_at_once(case: Case, called: Called) -> bool:
    """Tell whether a function allowed nothing but the end at the first step."""
    first = called.steps[0] if called.steps else None
    return first is not None and bool(first.ids) and set(first.ids) <= set(case.eos_ids)

"""Pitfalls of logits processors, seen in the scores that they return."""

from collections.abc import Iterator

from llmcourse.doctor.case import Called, Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.called import ALLOWED, CRITERION, PROCESSOR, edits, named, of_kinds
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import plural

_STEPS = 3  # from which on a processor that changed one row is spoken of
_MUCH = 0.01  # the probability of tokens from which on they are drawn now and then


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
            what=f"{named(called)} returned None in step {place}; generate wants {wanted}.",
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
    for called in of_kinds(case, PROCESSOR):
        sign = _no_scores(case, called)
        if sign is None:
            continue
        severity, said, why, fix = sign
        yield Finding(
            code="processor-returns-no-scores",
            severity=severity,
            confidence=CERTAIN,
            what=f"{named(called)} returned {said}.",
            why=why,
            fix=fix,
        )


def _no_scores(case: Case, called: Called) -> tuple[str, str, str, str] | None:
    wrong = next((one for one in called.steps if one.returned not in ("", "None")), None)
    if wrong is not None:
        said = f"{wrong.returned}, not scores of shape ({wrong.rows}, vocabulary)"
        why = "generate chooses a token of each row from what a processor returns."
        return ERROR, said, why, "return scores  # (rows, vocabulary), as they came"
    for place, row, edit in edits(called):
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
    masks = [(place, row, one) for place, row, one in edits(called) if "mask" in one.faults]
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
    for called in of_kinds(case, PROCESSOR):
        hit = next(((at, row) for at, row, one in edits(called) if "infinite" in one.faults), None)
        if hit is None:
            continue
        yield Finding(
            code="forced-by-infinity",
            severity=ERROR if case.refusal is not None else WARNING,
            confidence=CERTAIN,
            what=f"{named(called)} put +inf into the scores of row {hit[1]} in step {hit[0]}.",
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
    for called in of_kinds(case, PROCESSOR):
        hit = next(
            (
                (place, row, one)
                for place, row, one in edits(called)
                if one.faults & {"none left", "nan"} and not _has_ended(case, row, place)
            ),
            None,
        )
        if hit is None or any("infinite" in one.faults for _, _, one in edits(called)):
            continue
        place, row, edit = hit
        nan = "nan" in edit.faults
        did = "made scores nan" if nan else "set every score to -inf: it banned all tokens"
        failed = case.refusal is not None
        yield Finding(
            code="all-tokens-banned",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"{named(called)} {did}, of row {row} in step {place}.",
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
    for called in of_kinds(case, PROCESSOR):
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
                f"{named(called)} changed the scores of row 0 in {plural(sum(first), 'step')}, "
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
    for called in of_kinds(case, PROCESSOR):
        flats = [(place, row, one.flat) for place, row, one in edits(called) if one.flat]
        hits = [hit for hit in flats if hit[2][3] >= _MUCH]
        if not hits:
            continue
        place, row, (score, count, was, now) = max(hits, key=lambda hit: hit[2][3])
        yield Finding(
            code="removed-by-zero",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"{named(called)} set {plural(count, 'logit')} to {score:g} (row {row}, step "
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
    for called in of_kinds(case, PROCESSOR):
        every = [one.signs for _, _, one in edits(called) if one.signs is not None]
        changes = [one for _, _, one in edits(called) if one.changed]
        factors = [one.factor for _, _, one in edits(called) if one.factor is not None]
        shrunk = len(factors) == len(every) and all(0 < one < 1 for one in factors)
        rose, fell, up, down = (
            (sum(signs) for signs in zip(*every, strict=True)) if every else [0] * 4
        )
        if not rose or not (down or shrunk) or fell or up or len(every) < len(changes):
            continue
        yield Finding(
            code="penalty-divides-negative",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"{named(called)} lowered {down} positive logits of tokens in the text, and "
                f"raised {rose} negative ones: it rewards them."
            ),
            why="A negative logit that is divided by a penalty comes closer to 0, and is likelier.",
            fix="torch.where(scores < 0, scores * penalty, scores / penalty)",
        )

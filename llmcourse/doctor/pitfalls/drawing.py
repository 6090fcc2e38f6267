"""Pitfalls of drawing: who asked for it, and draws among one token, or in a search."""

from collections.abc import Iterator

import torch

from llmcourse.decoding.ingredients import HIDDEN
from llmcourse.doctor.case import PIPELINE, Case
from llmcourse.doctor.finding import CERTAIN, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.facts import changed
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall

_AGAIN = 2  # earlier calls that were alike, from which on somebody waits for another text
_NO_NUCLEUS = 0.01  # a top-p up to which the likeliest token is alone


@pitfall(
    "sampling-unasked",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    needs=(Needs.CALL, Needs.OUTPUT),
    symptom="Each run gives another text, though nobody asked for sampling.",
    cause="""
        `do_sample` need not come from the call. Many chat models bring it along in their
        `generation_config`, and a text-generation `pipeline` samples by defaults of its own, at a
        temperature of 0.7. A `GenerationConfig` that is passed does not change that: what it leaves
        open is filled in from the model's.
    """,
    fix="Say it in the call, either way.",
    example="""
        pipe(prompt, do_sample=False)
        model.generate(**inputs, do_sample=False)
    """,
    how_sure="""
        Certain that the call samples, and by whom. A note, as that is often welcome; a warning
        where the same prompt was asked before and got another text.
    """,
)
def sampling_unasked(case: Case) -> Iterator[Finding]:
    """The call samples, and does not say so."""
    if case.config is None or not case.setting("do_sample") or case.asked_here("do_sample"):
        return
    if case.origin("do_sample") == HIDDEN:  # a setting of another way
        return
    shaped = [name for name in ("temperature", "top_p", "top_k") if not case.asked_here(name)]
    shaped = [f"{name}={case.setting(name)}" for name in shaped if case.origin(name) != HIDDEN]
    beside = f", with {', '.join(shaped)}" if shaped else ""
    differs = _differs(case)
    by_pipeline = case.origin("do_sample") == PIPELINE
    called = "pipe" if by_pipeline else "model.generate"
    yield Finding(
        code="sampling-unasked",
        severity=WARNING if differs else NOTE,
        confidence=CERTAIN,
        what=(
            "The call does not say do_sample, and samples: by do_sample=True, which "
            f"{case.set_by('do_sample')}{beside}."
        ),
        why="The same prompt was asked before, and got another text."
        if differs
        else "The text is another at each run; do_sample=False in the call turns it off.",
        fix=f"{called}(..., do_sample=False)  # or say do_sample=True, if you want it",
        repair=lambda: changed(case, do_sample=False),
    )


def _differs(case: Case) -> bool:
    """Tell whether the same ids gave another text before."""
    if case.output is None or case.earlier is None:
        return False
    length = min(case.output.shape[1], case.earlier.shape[1])
    alike = case.output.shape[0] == case.earlier.shape[0] and torch.equal(
        case.output[:, :length], case.earlier[:, :length]
    )
    return not alike


@pitfall(
    "beam-sampling",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    symptom="Beam search gives another text at each run, and worse ones than expected.",
    cause="""
        With `do_sample=True` beams are *drawn*: the search keeps random continuations, not the
        likeliest. Where a pipeline or the model's `generation_config` samples, `num_beams` alone
        gives that.
    """,
    fix="Search or sample: one of the two.",
    example="model.generate(**inputs, num_beams=4, do_sample=False)",
    how_sure="""
        Certain that both are in force. A warning where the call asks for beams and somebody else
        for sampling; a note where it asks for both.
    """,
)
def beam_sampling(case: Case) -> Iterator[Finding]:
    """Beams that are drawn."""
    beams = case.setting("num_beams")
    if case.config is None or not case.setting("do_sample") or not isinstance(beams, int):
        return
    if beams < 2:
        return
    unasked = case.asked_here("num_beams") and not case.asked_here("do_sample")
    yield Finding(
        code="beam-sampling",
        severity=WARNING if unasked else NOTE,
        confidence=CERTAIN,
        what=(
            f"num_beams={beams} with do_sample=True, which {case.set_by('do_sample')}: the beams' "
            "tokens are drawn."
        ),
        why="It is no search for the likeliest text, and gives another one at each run.",
        fix=f"model.generate(..., num_beams={beams}, do_sample=False)",
        repair=lambda: changed(case, do_sample=False),
    )


@pitfall(
    "one-candidate",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Sampling gives the same text each time, at any temperature.",
    cause="""
        `top_k=1` keeps one token, the likeliest, and so does a `top_p` of 0. A draw among one is
        greedy decoding.
    """,
    fix="Leave more to draw from, or decode greedily and say so.",
    example="model.generate(**inputs, do_sample=True, top_k=50)",
    how_sure="Certain where the call was seen: the number is in its settings.",
)
def one_candidate(case: Case) -> Iterator[Finding]:
    """Sampling from one token."""
    if case.config is None or not case.setting("do_sample") or not case.asked_here("do_sample"):
        return
    top_k, top_p = case.setting("top_k"), case.setting("top_p")
    low = isinstance(top_p, int | float) and top_p <= _NO_NUCLEUS
    if top_k != 1 and not low:
        return
    name, value = ("top_k", top_k) if top_k == 1 else ("top_p", top_p)
    yield Finding(
        code="one-candidate",
        severity=WARNING,
        confidence=CERTAIN,
        what=(
            f"do_sample=True draws from one token: {name}={value}, which {case.set_by(name)}, "
            "leaves no other."
        ),
        why="The text is the greedy one, and no seed or temperature changes it.",
        fix=f"model.generate(..., do_sample=False)  # or a larger {name}",
        repair=lambda: changed(case, do_sample=False, **{name: None}),
    )


@pitfall(
    "seed-without-sampling",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="Another seed gives the same text.",
    cause="Greedy decoding and beams take the likeliest token: they draw nothing, from any seed.",
    fix="Ask for sampling, or leave the seed.",
    example="model.generate(**inputs, do_sample=True, temperature=0.7)",
    how_sure="""
        Certain where the same prompt was asked under another seed before, and got the same text,
        since the call does not sample.
    """,
)
def seed_without_sampling(case: Case) -> Iterator[Finding]:
    """Another seed was set since the same prompt was asked, and nothing is drawn."""
    if case.config is None or case.setting("do_sample") or case.earlier is None:
        return
    seeds = (case.earlier_seed, case.seed)
    if None in seeds or seeds[0] == seeds[1] or _differs(case):
        return
    yield Finding(
        code="seed-without-sampling",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"Seed {seeds[1]} was set after {seeds[0]}, and the same prompt got the same text.",
        why="The call does not sample (do_sample is False): it draws nothing, whatever the seed.",
        fix="model.generate(..., do_sample=True)",
        repair=lambda: changed(case, do_sample=True),
    )


@pitfall(
    "asked-again-greedily",
    subject=Subject.CHOOSING,
    severities=(NOTE,),
    needs=(Needs.OUTPUT,),
    symptom="A new try, or a vote among several answers, has the same answer each time.",
    cause="""
        Greedy decoding takes the likeliest token: the same prompt gets the same text in every call.
        Who asks again, for another answer or for a vote among several, has to sample.
    """,
    fix="Sample, or ask for several answers in one call.",
    example="model.generate(**inputs, do_sample=True, temperature=0.7, num_return_sequences=5)",
    how_sure="""
        Certain that a third call at one line had the same prompt and settings, and got the same
        text; who measures time may want just that.
    """,
)
def asked_again_greedily(case: Case) -> Iterator[Finding]:
    """The same prompt a third time, and nothing is drawn."""
    if case.config is None or case.setting("do_sample") or case.asked_alike < _AGAIN:
        return
    seeds = (case.earlier_seed, case.seed)
    if case.earlier is None or case.output is None or _differs(case) or seeds[0] != seeds[1]:
        return
    yield Finding(
        code="asked-again-greedily",
        severity=NOTE,
        confidence=CERTAIN,
        what=(
            f"The same prompt was asked {case.asked_alike + 1} times at this line, with the same "
            "settings, and got the same text: do_sample is False."
        ),
        why="Greedy decoding draws nothing: another try, or a vote, needs samples.",
        fix="model.generate(..., do_sample=True, temperature=0.7)",
        repair=lambda: changed(case, do_sample=True),
    )


@pitfall(
    "same-seed-each-call",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    needs=(Needs.OUTPUT,),
    symptom="Several samples are one and the same text.",
    cause="""
        The seed is set again before each call, to the same number: each draws the same random
        numbers for the same inputs.
    """,
    fix="Set it once, before the loop; or draw all in one call.",
    example="""
        set_seed(42)
        model.generate(**inputs, do_sample=True, num_return_sequences=4)
    """,
    how_sure="""
        Certain where calls of the same prompt and settings were seen to begin with the same state
        of torch's generator. A note for two calls, which may be there to show just that; a warning
        from the third at one line on.
    """,
)
def same_seed_each_call(case: Case) -> Iterator[Finding]:
    """Calls that sample begin with the same random state, for the same prompt."""
    if case.config is None or not case.setting("do_sample") or not case.asked_alike:
        return
    if case.earlier is None or _differs(case) or case.output is None:
        return
    several = case.asked_alike > 1
    yield Finding(
        code="same-seed-each-call",
        severity=WARNING if several else NOTE,
        confidence=CERTAIN,
        what=(
            f"The seed was set to {case.seed} again before the same prompt was asked: "
            f"{case.asked_alike + 1} calls that sample drew the same random numbers."
        ),
        why="Their texts are one and the same; more of them are no other samples.",
        fix="torch.manual_seed(...)  # once, before the loop; or num_return_sequences",
    )

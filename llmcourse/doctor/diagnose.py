"""Find the known pitfalls in a call to `generate`: what is wrong, why it matters, and the fix."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from llmcourse.doctor import listen
from llmcourse.doctor.case import Case, complete, with_own_cache
from llmcourse.doctor.evidence import measure
from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding, in_order
from llmcourse.doctor.pitfalls import PITFALLS, Needs, Pitfall, facts_in
from llmcourse.doctor.pitfalls.outputs import refused, tokenizer_refused
from llmcourse.doctor.quiet import on_the_cpu, quietly, same_draws
from llmcourse.doctor.report import as_json, findings_as_html, findings_as_text

SCHEMA = "llmcourse.diagnosis/1"


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found in one call."""

    findings: tuple[Finding, ...]  # errors first, then warnings, then notes
    seconds: float  # what the checks took, without the model
    # (rows, length) int64, what `generate` returned, prompt included, with `run=True`
    output: torch.Tensor | None = None
    text: str | None = None  # the new text of the first row then

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of all findings, in their order."""
        return tuple(finding.code for finding in self.findings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings by which the output is wrong."""
        return self._of(ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings of what was probably not meant."""
        return self._of(WARNING)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing about a call that may be sound."""
        return self._of(NOTE)

    def _of(self, severity: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def to_json(self) -> str:
        """Return the diagnosis as JSON with stable keys."""
        seconds = round(self.seconds, 6)
        return as_json(SCHEMA, findings=self.findings, seconds=seconds, text=self.text)

    def __repr__(self) -> str:
        return findings_as_text(self.findings)

    def _repr_html_(self) -> str:
        return findings_as_html(self.findings)


def diagnose(
    model,
    tokenizer,
    prompt_or_inputs,
    *,
    run: bool = False,
    evidence: bool = False,
    repeatable: bool = False,
    **generate_kwargs,
) -> Diagnosis:
    """Look at a call to `model.generate` before it is made, and with `run=True` after it.

    prompt_or_inputs: a text, a list of texts, a list of messages, ids of shape (batch, length), or
    what a tokenizer returns. generate_kwargs: the call's other arguments. evidence: measure what
    each fix changes on this input, which runs the model again for each. repeatable: whether you
    expect the same text again. Nothing is changed: neither model, tokenizer nor the state of
    torch's generators. Raises TypeError for a prompt that is none of the above.
    """
    with listen.unheard():
        started = time.perf_counter()
        case = complete(model, tokenizer, prompt_or_inputs, generate_kwargs, repeatable)
        found = check(case)
        seconds = time.perf_counter() - started
        if run and case.refusal is None:
            _run(case)
            started = time.perf_counter()
            found = check(case)
            seconds += time.perf_counter() - started
        if evidence:
            found = tuple(replace(each, evidence=measure(case, each)) for each in found)
        return Diagnosis(findings=found, seconds=seconds, output=case.output, text=new_text(case))


def check(
    case: Case,
    only: Iterable[Needs] = Needs,
    failed: Callable[[Pitfall, Exception], None] | None = None,
) -> tuple[Finding, ...]:
    """Return what the registered checks find in a case, the gravest first.

    A check runs where the case has one of the facts that it needs; only: of these facts. failed:
    told of a check that fails, and of its error, which is raised where nobody is to be told.
    """
    there = frozenset(facts_in(case).intersection(only))
    found = []
    with on_the_cpu():
        for pitfall in _that_look_at(there, tuple(PITFALLS.values())):
            try:
                found += [(pitfall, finding) for finding in pitfall(case)]
            except Exception as error:
                if failed is None:
                    raise
                failed(pitfall, error)
    explained = any(
        pitfall.explains_refusal and finding.severity == ERROR for pitfall, finding in found
    )
    return in_order(
        finding
        for pitfall, finding in found
        if not (explained and pitfall in (refused, tokenizer_refused))
    )


@lru_cache(maxsize=32)
def _that_look_at(facts: frozenset[Needs], pitfalls: tuple[Pitfall, ...]) -> tuple[Pitfall, ...]:
    """Return the pitfalls that need one of these facts."""
    return tuple(one for one in pitfalls if not facts.isdisjoint(one.needs))


def _run(case: Case) -> None:
    """Fill in the case's output, or its refusal; caches and generators are left as they were."""
    call = with_own_cache({**case.inputs, **case.call, **case.for_stop_strings})
    try:
        with same_draws(), quietly():
            made = case.model.generate(**call)
    except Exception as error:  # whatever the model raises on its way
        case.refusal = error
        return
    case.output = getattr(made, "sequences", made)


def new_text(case: Case) -> str | None:
    """Return the new text of the first row; None if the call was not run, or has no tokenizer."""
    if case.output is None or case.tokenizer is None:
        return None
    return case.tokenizer.decode(case.output[0, case.prompt_length :], skip_special_tokens=True)

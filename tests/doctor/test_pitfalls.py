"""The registry of pitfalls: what is registered runs everywhere, and docs/pitfalls.md lists it."""

import inspect
import re
from collections.abc import Iterator
from types import FunctionType

import pytest
import torch

import llmcourse
from llmcourse.doctor.case import TemplateCall, complete
from llmcourse.doctor.diagnose import check
from llmcourse.doctor.finding import CERTAIN, SEVERITIES, WARNING, Finding
from llmcourse.doctor.pitfalls import PITFALLS, Needs, Subject
from llmcourse.doctor.pitfalls.registry import pitfall
from tests.doctor.corpus import FAULTY
from tests.doctor.corpus.calls import LENGTH, USER, plain, tensors
from tests.doctor.test_diagnose import found_in
from tools import pitfalls_page

MODULES = sorted({inspect.getmodule(known.check) for known in PITFALLS.values()}, key=str)


def new_pitfall(monkeypatch, needs: Needs, fails: bool = False) -> list:
    """Register a pitfall that finds something in every case; return the cases that it looked at."""
    seen = []

    @pitfall(
        "always-there",
        subject=Subject.READING,
        severities=(WARNING,),
        needs=(needs,),
        symptom="You see it everywhere.",
        cause="It was made for a test.",
        how_sure="Certain.",
    )
    def always_there(case):
        """Something that every case has."""
        seen.append(case)
        if fails:
            raise ZeroDivisionError
        yield Finding(
            code="always-there",
            severity=WARNING,
            confidence=CERTAIN,
            what="It is there.",
            why="It is a test.",
            fix="# none",
        )

    monkeypatch.setitem(PITFALLS, "always-there", always_there)
    return seen


def test_a_new_pitfall_runs_before_the_call_and_after_it(monkeypatch):
    model, tokenizer = plain()
    seen = new_pitfall(monkeypatch, Needs.CALL)
    assert "always-there" in llmcourse.diagnose(model, tokenizer, "a text", **LENGTH).codes
    with llmcourse.watch(model, tokenizer) as watched:
        model.generate(**tensors(tokenizer, "a text"), **LENGTH)
    assert watched.codes.count("always-there") == 1
    assert len(seen) == 2


def test_a_new_pitfall_of_the_output_waits_for_the_run(monkeypatch):
    model, tokenizer = plain()
    seen = new_pitfall(monkeypatch, Needs.OUTPUT)
    assert "always-there" not in llmcourse.diagnose(model, tokenizer, "a text", **LENGTH).codes
    assert not seen
    assert (
        "always-there" in llmcourse.diagnose(model, tokenizer, "a text", run=True, **LENGTH).codes
    )
    assert seen[0].output.shape[0] == 1


def test_a_new_pitfall_of_decodings_runs_under_watch_and_has_the_settings(monkeypatch):
    model, tokenizer = plain()
    seen = new_pitfall(monkeypatch, Needs.DECODINGS)
    with llmcourse.watch(model, tokenizer) as watched:
        ids = model.generate(**tensors(tokenizer, "a text"), **LENGTH)
        assert "always-there" not in watched.codes
        tokenizer.decode(ids[0])
    (found,) = [found for found in watched.findings if found.code == "always-there"]
    assert found.file == __file__ and found.line is not None
    case = seen[-1]
    assert case.decoded[0].ids == ids[0].tolist() and torch.equal(case.output, ids)
    assert case.asked("max_new_tokens") == LENGTH["max_new_tokens"]
    assert case.eos_ids == (model.generation_config.eos_token_id,)
    assert not isinstance(case.model, torch.nn.Module)  # the weights are not kept alive
    assert watched.failures == []


def test_a_new_pitfall_of_loops_runs_under_watch_once_for_each_line(monkeypatch):
    model, tokenizer = plain()
    seen = new_pitfall(monkeypatch, Needs.FORWARDS)
    with llmcourse.watch(model, tokenizer) as watched, torch.no_grad():
        for _ in range(3):
            model(**tensors(tokenizer, "a text"))
    assert watched.codes == ("always-there",)
    assert seen[0].forwards[0].attention_mask is not None


@pytest.mark.parametrize(
    ("needs", "recorded"),
    [(Needs.LOADS, {"gguf_file": "a.gguf"}), (Needs.TEMPLATE_CALLS, TemplateCall([USER], {}, ""))],
)
def test_a_new_pitfall_of_what_came_before_runs_where_it_was_recorded(monkeypatch, needs, recorded):
    new_pitfall(monkeypatch, needs)
    case = complete(*plain(), "a text", LENGTH)
    assert "always-there" not in [found.code for found in check(case)]
    setattr(case, needs, [recorded])
    assert "always-there" in [found.code for found in check(case)]


def test_what_a_check_of_decodings_fails_at_breaks_nothing_and_is_said_once(monkeypatch):
    model, tokenizer = plain()
    new_pitfall(monkeypatch, Needs.DECODINGS, fails=True)
    with llmcourse.watch(model, tokenizer) as watched:
        tokenizer.decode(model.generate(**tensors(tokenizer, "a text"), **LENGTH)[0])
    assert len(watched.diagnoses) == len(watched.diagnoses) == 1
    (failure,) = watched.failures
    assert "ZeroDivisionError" in failure and __file__ in failure


def test_a_new_pitfall_is_on_the_page(monkeypatch):
    new_pitfall(monkeypatch, Needs.DECODINGS)
    page = pitfalls_page.page()
    assert "[always-there](#always-there)" in page
    assert "\n## always-there\n\n*Warning, seen where the output is decoded" in page
    assert "**Symptom.** You see it everywhere." in page


def test_the_page_is_what_is_made_of_the_registry():
    made = pitfalls_page.page()
    stored = pitfalls_page.PAGE.read_text(encoding="utf-8")
    assert stored == made, "run `make docs`"


@pytest.mark.parametrize("name", FAULTY)
def test_a_finding_has_a_code_and_a_severity_that_its_pitfall_declares(name):
    for found in found_in(FAULTY[name][1]()):
        assert found.severity in PITFALLS[found.code].severities


def source_of(code: str) -> str:
    """Return the source of a code's checks."""
    known = PITFALLS[code]
    return "\n".join(map(inspect.getsource, (known.check, *known.also)))


@pytest.mark.parametrize("code", PITFALLS)
def test_a_check_yields_the_code_that_it_is_registered_under(code):
    assert PITFALLS[code].code == code
    source = source_of(code)
    assert {code} == set(re.findall(r'code="([a-z0-9-]+)"', source))
    assert set(PITFALLS[code].severities) <= set(SEVERITIES)


@pytest.mark.parametrize("code", PITFALLS)
def test_the_page_says_how_sure_a_finding_is_as_the_check_does(code):
    source = source_of(code)
    given = {name.lower() for name in re.findall(r"\b(CERTAIN|LIKELY)\b", source)}
    assert set(re.findall(r"\b(certain|likely)\b", PITFALLS[code].how_sure.lower())) == given


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_check_stands_there_without_being_registered(module):
    functions = [each for each in vars(module).values() if isinstance(each, FunctionType)]
    returned = {each.__name__: each.__annotations__.get("return") for each in functions}
    assert Iterator[Finding] not in returned.values(), returned

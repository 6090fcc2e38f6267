"""Processors, criteria, functions and streamers of the user's, followed while a script runs."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteriaList

import llmcourse
from llmcourse.doctor.followed.callables import Callables
from llmcourse.doctor.held import held_by, name_of, reads_ids, state_of
from llmcourse.doctor.watch import Watch
from tests.doctor.corpus.calls import LENGTH, plain, tensors

ROOT = Path(__file__).parent.parent.parent
GONE = -float("inf")


@pytest.fixture
def pair():
    return plain("byte level")


def following(*pair) -> Watch:
    return Watch(*pair, callables=Callables())


class Format(LogitsProcessor):
    def __init__(self, ids):
        self.ids, self.place = ids, 0

    def __call__(self, input_ids, scores):
        if self.place < len(self.ids):
            scores = torch.full_like(scores, GONE).index_fill(
                1, torch.tensor(self.ids[self.place]), 0.0
            )
            self.place += 1
        return scores


def a_closure(ids):
    place = 0

    def processor(input_ids, scores):
        nonlocal place
        if place < len(ids):
            scores = torch.full_like(scores, GONE).index_fill(1, torch.tensor(ids[place]), 0.0)
            place += 1
        return scores

    return processor


def a_partial(ids):
    def processor(state, input_ids, scores):
        if state["place"] < len(ids):
            token = torch.tensor(ids[state["place"]])
            scores = torch.full_like(scores, GONE).index_fill(1, token, 0.0)
            state["place"] += 1
        return scores

    return functools.partial(processor, {"place": 0})


def a_method(ids):
    made = Format(ids)
    return made.__call__


@pytest.mark.parametrize("make", [Format, a_closure, a_partial, a_method])
def test_a_state_is_seen_whichever_way_the_processor_is_written(pair, make):
    model, tokenizer = pair
    form = make([9, 10])
    with following(*pair) as watched:
        for text in ("a b c", "d e f g"):
            call = {**LENGTH, "do_sample": False, "logits_processor": [form]}
            model.generate(**tensors(tokenizer, text), **call)
    (found,) = [one for one in watched.findings if one.code == "stateful-processor"]
    assert ("place" in found.what or "state (state)" in found.what) and found.severity == "warning"
    assert watched.failures == []


@pytest.mark.parametrize("make", [Format, a_closure, a_partial])
def test_one_that_is_made_anew_for_each_call_keeps_no_state(pair, make):
    model, tokenizer = pair
    with following(*pair) as watched:
        for text in ("a b c", "a b c", "d e f g"):
            call = {**LENGTH, "do_sample": False, "logits_processor": [make([9, 10])]}
            model.generate(**tensors(tokenizer, text), **call)
    assert "stateful-processor" not in watched.codes


def test_one_that_the_user_resets_keeps_no_state(pair):
    model, tokenizer = pair
    form = Format([9, 10])
    with following(*pair) as watched:
        for _ in range(2):
            form.place = 0
            call = {**LENGTH, "do_sample": False, "logits_processor": [form]}
            model.generate(**tensors(tokenizer, "a b c"), **call)
    assert "stateful-processor" not in watched.codes


class Measures:
    def __init__(self):
        self.begin = None

    def __call__(self, ids, scores):
        if self.begin is None:
            self.begin = ids.shape[1]
        return scores.index_fill(1, torch.tensor(9 + (ids.shape[1] - self.begin) % 20), GONE)


def test_the_length_of_an_earlier_prompt_is_named(pair):
    model, tokenizer = pair
    measures = Measures()
    with following(*pair) as watched:
        for text in ("a b c", "d e f g"):
            call = {**LENGTH, "do_sample": False, "logits_processor": [measures]}
            model.generate(**tensors(tokenizer, text), **call)
    (found,) = [one for one in watched.findings if one.code == "stateful-processor"]
    assert "begin=5" in found.what and "this prompt has 7" in found.what


class Everything:
    """A processor, a criterion, a function and a streamer that do nothing."""

    def __init__(self):
        self.seen = []

    def process(self, input_ids, scores):
        self.seen.append(type(scores))
        return scores

    def stop(self, input_ids, scores, **kwargs):
        return torch.zeros(len(input_ids), dtype=torch.bool)

    def allow(self, row, ids):
        return range(3, 40)

    def put(self, value):
        self.seen.append(tuple(value.shape))

    def end(self):
        self.seen.append("end")


def _everything(model, tokenizer, **call):
    given = Everything()
    made = model.generate(
        **tensors(tokenizer, "a b c"),
        **LENGTH,
        logits_processor=LogitsProcessorList([given.process]),
        stopping_criteria=StoppingCriteriaList([given.stop]),
        prefix_allowed_tokens_fn=given.allow,
        streamer=given,
        **call,
    )
    return made, given.seen, torch.get_rng_state()


@pytest.mark.parametrize("drawn", [False, True])
def test_tokens_draws_and_what_the_callables_see_are_what_they_are_without_it(pair, drawn):
    torch.manual_seed(5)
    alone = _everything(*pair, do_sample=drawn)
    torch.manual_seed(5)
    with following(*pair) as watched:
        followed = _everything(*pair, do_sample=drawn)
    assert torch.equal(alone[0], followed[0]) and torch.equal(alone[2], followed[2])
    assert alone[1] == followed[1] and watched.failures == []


def test_after_the_block_the_lists_and_the_streamer_are_what_they_were(pair):
    before = LogitsProcessorList.__call__, StoppingCriteriaList.__call__, Everything.put
    with following(*pair):
        _everything(*pair, do_sample=False)
        assert LogitsProcessorList.__call__ is not before[0]
        assert Everything.put is not before[2]
    assert before == (LogitsProcessorList.__call__, StoppingCriteriaList.__call__, Everything.put)


def test_watch_follows_nobody(pair):
    before = LogitsProcessorList.__call__
    with llmcourse.watch(*pair) as watched:
        assert LogitsProcessorList.__call__ is before
        _everything(*pair, do_sample=False)
    assert watched.calls[0].case.called == []


@pytest.mark.parametrize(
    "given",
    [
        {"logits_processor": [lambda ids, scores: 1 / 0]},
        {"stopping_criteria": [lambda ids, scores, **kwargs: 1 / 0]},
        {"prefix_allowed_tokens_fn": lambda row, ids: 1 / 0},
    ],
)
def test_what_a_callable_raises_is_raised(pair, given):
    model, tokenizer = pair
    with following(*pair) as watched, pytest.raises(ZeroDivisionError):
        model.generate(**tensors(tokenizer, "a b c"), **LENGTH, **given)
    assert "refused" in watched.codes and watched.failures == []


def test_what_cannot_be_noted_is_a_failure_and_no_error(pair, monkeypatch):
    model, tokenizer = pair
    monkeypatch.setattr("llmcourse.doctor.followed.step_notes.edit", lambda *_: 1 / 0)
    with following(*pair) as watched:
        call = {**LENGTH, "logits_processor": [Format([9])]}
        assert model.generate(**tensors(tokenizer, "a b c"), **call).shape[0] == 1
    assert len(watched.failures) == 1 and "ZeroDivisionError" in watched.failures[0]


def test_the_library_s_own_processors_are_not_looked_at(pair):
    model, tokenizer = pair
    with following(*pair) as watched:
        call = {**LENGTH, "repetition_penalty": 1.3, "min_new_tokens": 2}
        model.generate(**tensors(tokenizer, "a b c"), **call)
    assert watched.failures == []
    assert not {"penalty-divides-negative", "processor-changes-nothing"} & set(watched.codes)


def test_a_streamer_that_decodes_pieces_alone_is_found(course_model):
    model, tokenizer = course_model

    class Pieces:
        def __init__(self):
            self.first = True

        def put(self, value):
            if not self.first:
                tokenizer.decode(value)
            self.first = False

        def end(self):
            pass

    glove = tokenizer("🥊🥊", add_special_tokens=False).input_ids
    inputs = tokenizer("Look: ", return_tensors="pt")
    length = inputs.input_ids.shape[1]

    def only_the_glove(row, ids):
        return [glove[min(len(ids) - length, len(glove) - 1)]]

    with following(model, tokenizer) as watched:
        model.generate(
            **inputs,
            max_new_tokens=len(glove),
            do_sample=False,
            streamer=Pieces(),
            prefix_allowed_tokens_fn=only_the_glove,
        )
    assert "piecewise-decoding" in watched.codes and "prompt-put-first" not in watched.codes


def test_words_from_outside_are_escaped(pair):
    model, tokenizer = pair

    def evil(ids, scores):
        return None

    evil.__qualname__ = "<script>\x1b[2J"
    with following(*pair) as watched, pytest.raises(TypeError):
        model.generate(**tensors(tokenizer, "a b c"), **LENGTH, logits_processor=[evil])
    assert "processor-returns-none" in watched.codes
    assert "\x1b" not in repr(watched) and "<script>" not in watched._repr_html_()


SCRIPT = """\
import torch
import llmcourse
from transformers import GPT2Config, GPT2LMHeadModel
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=50)).eval()
def ask(seed, options):
    torch.manual_seed(seed)
    ids = torch.tensor([[3, 4, 5]])
    mask = torch.ones_like(ids)
    return model.generate(ids, attention_mask=mask, max_new_tokens=4, pad_token_id=0, **options)
for seed in (1, 2, 3):
    ask(seed, {options})
"""


def codes_of(path: Path, text: str) -> list[str]:
    path.write_text(text)
    command = [sys.executable, "-m", "llmcourse", "doctor", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return [one["code"] for one in json.loads(done.stdout)["findings"]]


def test_a_seed_without_effect_is_said_once(tmp_path):
    codes = codes_of(tmp_path / "seeds.py", SCRIPT.replace("{options}", '{"do_sample": False}'))
    assert codes.count("seed-without-sampling") == 1


def test_a_script_s_callables_are_followed(tmp_path):
    options = '{"logits_processor": [lambda i, s: s * float("-inf")]}'
    text = SCRIPT.replace("{options}", options)
    codes = codes_of(tmp_path / "banned.py", text)
    assert "all-tokens-banned" in codes or "forced-by-infinity" in codes


def test_what_a_callable_holds_is_found_behind_every_spelling():
    class Settings:
        def __init__(self):
            self.limit = 7

    class Own:
        kind = "of the class"
        __slots__ = ("settings",)

        def __init__(self):
            self.settings = Settings()

        def __call__(self, ids, scores):
            return scores

    own = Own()
    held = held_by(own)
    assert held["settings.limit"] == 7 and held["kind"] == "of the class"
    assert held_by(functools.partial(lambda by, ids, scores: scores, 3))["by"] == 3
    assert held_by(lambda ids, scores, by=2.0: own)["by"] == 2.0
    assert held_by(own.__call__)["settings.limit"] == 7
    before = state_of(own)
    own.settings.limit = 8
    assert before != state_of(own)


def test_a_circle_of_objects_is_gone_through_once():
    class Node:
        pass

    one, other = Node(), Node()
    one.next, other.next = other, one
    assert set(held_by(one)) == {"next", "next.next"}


def test_names_are_the_callables_own():
    assert name_of(Format([1])) == "Format"
    assert name_of(functools.partial(a_closure, [1])) == "a_closure"
    assert name_of(a_closure([1])) == "processor"


def test_code_that_asks_for_a_shape_reads_no_ids():
    assert not reads_ids(lambda ids, scores: ids.shape[1] > 3)
    assert not reads_ids(lambda ids, scores: len(ids) > 3)
    assert reads_ids(lambda ids, scores: ids[0, -1] == 3)
    assert reads_ids(Format([1])) is False

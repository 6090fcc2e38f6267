"""What the loop promises beside equal tokens: steps that can be read, laziness, few lines."""

import dataclasses
import gc
import inspect
import subprocess
import sys
import weakref
from itertools import pairwise

import pytest
import torch
from transformers import DynamicCache

import llmcourse
from llmcourse.decoding import loop
from tests.support.families import PAD, VOCAB, build, tiny

IDS = torch.tensor([[7, 8, 9, 10, 11]])
BATCH = torch.tensor([[7, 8, 9, 10, 11], [PAD, PAD, 12, 13, 14], [PAD, 30, 31, 32, 33]])
MASK = BATCH.ne(PAD).long()
CALL = {"input_ids": BATCH, "attention_mask": MASK, "max_new_tokens": 6, "eos_token_id": None}


def ended_early(**more) -> tuple[list, int]:
    """Return the steps of a batch whose first row ends after two tokens, and the EOS id."""
    free = list(llmcourse.steps(tiny("llama"), **CALL, **more))
    eos = free[1].chosen[0].item()
    assert eos not in [step.chosen[0].item() for step in free[:1]]
    return list(llmcourse.steps(tiny("llama"), **{**CALL, "eos_token_id": eos}, **more)), eos


def test_a_step_reads_as_one_line():
    steps, _ = ended_early()
    for step in steps:
        line = repr(step)
        assert "\n" not in line and "tensor" not in line
        assert len(line) < 160
        assert line.startswith(f"Step {step.index}: fed ")
        for token in step.chosen.tolist():
            assert str(token) in line
    assert "fed (3, 5)" in repr(steps[0])
    assert "fed (3, 1)" in repr(steps[1])
    assert "stopped" not in repr(steps[0])
    assert "stopped: eos" in repr(steps[1])
    assert "length" in repr(steps[-1])


def test_a_step_of_many_rows_still_reads_as_one_short_line():
    step = next(llmcourse.steps(tiny("llama"), input_ids=IDS.repeat(50, 1), max_new_tokens=2))
    assert len(repr(step)) < 200
    assert "..." in repr(step)


def test_a_step_cannot_be_changed():
    step = next(llmcourse.steps(tiny("llama"), **CALL))
    assert dataclasses.is_dataclass(step)
    for field in dataclasses.fields(step):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(step, field.name, None)


def test_steps_can_be_put_in_a_set():
    """Two steps are equal if they are the same object; comparing tensors would raise."""
    first, second = list(llmcourse.steps(tiny("llama"), **CALL))[:2]
    assert first == first and first != second
    assert len({first, second}) == 2


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_fields_have_the_stated_shapes_and_types(use_cache):
    steps = list(llmcourse.steps(tiny("llama"), **CALL, use_cache=use_cache))
    rows, length = BATCH.shape
    for index, step in enumerate(steps):
        assert step.index == index
        assert step.fed.dtype == torch.int64
        for field in (step.logits, step.scores, step.probs):
            assert field.shape == (rows, VOCAB) and field.dtype == torch.float32
        assert torch.allclose(step.probs.sum(-1), torch.ones(rows))
        assert step.chosen.shape == (rows,) and step.chosen.dtype == torch.int64
        assert step.finished.shape == (rows,) and step.finished.dtype == torch.bool
        assert isinstance(step.stop_reasons, tuple) and len(step.stop_reasons) == rows
        assert isinstance(step.seconds, float) and step.seconds > 0
        assert isinstance(step.cache_length, int)
        assert step.cache_length == (length + index if use_cache else 0)
        assert not any(field.requires_grad for field in (step.logits, step.scores, step.probs))
    assert torch.equal(steps[0].fed, BATCH)
    for before, after in pairwise(steps):
        if use_cache:
            assert torch.equal(after.fed, before.chosen[:, None])
        else:
            assert torch.equal(after.fed, torch.cat([before.fed, before.chosen[:, None]], dim=1))


def test_a_step_is_not_changed_by_the_steps_after_it():
    copies, steps = [], []
    for step in llmcourse.steps(tiny("llama"), **CALL, do_sample=True, repetition_penalty=1.3):
        steps.append(step)
        tensors = {k: v for k, v in vars(step).items() if isinstance(v, torch.Tensor)}
        copies.append({name: tensor.clone() for name, tensor in tensors.items()})
    for step, copy in zip(steps, copies, strict=True):
        assert all(torch.equal(getattr(step, name), tensor) for name, tensor in copy.items())


def test_the_rules_change_the_scores_and_leave_the_logits_alone():
    step = next(llmcourse.steps(tiny("llama"), **CALL, do_sample=True, top_k=5, temperature=2.0))
    assert step.logits.isfinite().all()
    assert step.scores.isfinite().sum(-1).tolist() == [5, 5, 5]
    kept = step.scores.isfinite()
    assert torch.equal(step.scores[kept], step.logits[kept] / 2.0)


def test_rules_of_ones_own_replace_those_that_generate_would_prepare():
    def only_42(ids, scores):
        return torch.full_like(scores, float("-inf")).index_fill(1, torch.tensor([42]), 0.0)

    for rules in ([only_42], (only_42,)):
        steps = list(llmcourse.steps(tiny("llama"), **CALL, repetition_penalty=9.0, rules=rules))
        assert all(step.chosen.tolist() == [42, 42, 42] for step in steps)
    bare = next(llmcourse.steps(tiny("llama"), **CALL, do_sample=True, rules=[]))
    assert torch.equal(bare.scores, bare.logits), "no rules at all, not even the hidden top_k=50"


def count_forwards(model, run) -> list:
    ran = []
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        run(ran)
    finally:
        handle.remove()
    return ran


def test_the_model_runs_once_for_each_step_that_is_asked_for_and_no_more():
    def run(ran):
        walk = llmcourse.steps(tiny("llama"), **CALL)
        assert not ran, "nothing runs before the first step is asked for"
        for expected in (1, 2, 3):
            next(walk)
            assert len(ran) == expected
        walk.close()

    assert len(count_forwards(tiny("llama"), run)) == 3
    everything = count_forwards(
        tiny("llama"), lambda _: list(llmcourse.steps(tiny("llama"), **CALL))
    )
    assert len(everything) == 6


def test_a_walk_that_is_abandoned_leaves_nothing_behind():
    model = build("llama")
    hooks = len(model._forward_hooks) + len(model._forward_pre_hooks)
    expected = model.generate(**CALL)
    config = model.generation_config.to_dict()
    for step in llmcourse.steps(model, **CALL, do_sample=True, temperature=0.5):
        if step.index == 2:
            break
    walk = llmcourse.steps(model, **CALL)
    logits = weakref.ref(next(walk).logits)
    walk.close()
    gc.collect()
    assert logits() is None
    assert torch.is_grad_enabled()
    assert model.generation_config.to_dict() == config
    assert len(model._forward_hooks) + len(model._forward_pre_hooks) == hooks
    assert torch.equal(model.generate(**CALL), expected)
    assert list(walk) == []


def test_two_walks_side_by_side_do_not_disturb_each_other():
    model = tiny("llama")
    other = {**CALL, "input_ids": BATCH.flip(0), "attention_mask": MASK.flip(0)}
    apart = [[step.chosen for step in llmcourse.steps(model, **call)] for call in (CALL, other)]
    pairs = zip(llmcourse.steps(model, **CALL), llmcourse.steps(model, **other), strict=True)
    for (one, two), *expected in zip(pairs, *apart, strict=True):
        assert torch.equal(one.chosen, expected[0])
        assert torch.equal(two.chosen, expected[1])


def test_gradients_stay_on_for_whoever_reads_the_steps():
    assert torch.is_grad_enabled()
    for step in llmcourse.steps(tiny("llama"), **CALL):
        assert torch.is_grad_enabled()
        weight = torch.ones(VOCAB, requires_grad=True)
        (step.logits * weight).sum().backward()
        assert weight.grad is not None
    assert torch.is_grad_enabled()


def test_gradients_stay_off_for_whoever_switched_them_off():
    with torch.no_grad():
        for _ in llmcourse.steps(tiny("llama"), **CALL):
            assert not torch.is_grad_enabled()
    with torch.inference_mode():
        ids = llmcourse.generate(tiny("llama"), **CALL)
    assert torch.equal(ids, tiny("llama").generate(**CALL))


def test_the_models_mode_is_left_as_it_is():
    model = build("llama").train()
    llmcourse.generate(model, **CALL)
    assert model.training


def test_the_inputs_are_left_as_they_are():
    ids, mask = BATCH.clone(), MASK.clone()
    call = {**CALL, "input_ids": ids, "attention_mask": mask, "stopping_criteria": []}
    names = set(call)
    llmcourse.generate(tiny("llama"), **call)
    assert torch.equal(ids, BATCH) and torch.equal(mask, MASK)
    assert set(call) == names and call["stopping_criteria"] == []


def sampled(seed: int, **more) -> list:
    torch.manual_seed(seed)
    return llmcourse.generate(tiny("llama"), **CALL, do_sample=True, **more).tolist()


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others():
    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_greedy_decoding_draws_no_random_numbers():
    before = torch.get_rng_state()
    llmcourse.generate(tiny("llama"), **CALL)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_finished_row_keeps_drawing():
    """Without its draws, the rows beside it would get other tokens than in `generate`."""
    torch.manual_seed(0)
    free = list(llmcourse.steps(tiny("llama"), **CALL, do_sample=True))
    state = torch.get_rng_state()
    eos = free[1].chosen[0].item()
    others = [token for step in free for token in step.chosen[1:].tolist()]
    assert eos not in others, "only the first row ends early"
    torch.manual_seed(0)
    call = {**CALL, "eos_token_id": eos, "do_sample": True}
    steps = list(llmcourse.steps(tiny("llama"), **call))
    assert steps[-1].stop_reasons == ("eos", "length", "length")
    assert [token for step in steps for token in step.chosen[1:].tolist()] == others
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(0)
    tiny("llama").generate(**call)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_finished_row_gets_padding_and_its_reason_stays():
    steps, eos = ended_early()
    assert steps[1].chosen[0] == eos and steps[1].finished.tolist()[0]
    for step in steps[2:]:
        assert step.chosen[0] == PAD
        assert step.finished[0] and step.stop_reasons[0] == "eos"
    assert len(steps) == 6, "the others go on"


@pytest.mark.parametrize("use_cache", [True, False])
def test_what_the_caller_does_not_keep_is_freed(use_cache):
    call = {**CALL, "max_new_tokens": 20, "use_cache": use_cache}
    earlier = []
    for step in llmcourse.steps(tiny("llama"), **call):
        alive = [step.index for ref in earlier[:-1] if ref() is not None]
        assert not alive, "a step from before the last one is still in memory"
        earlier.append(weakref.ref(step.logits))
        del step
    assert len(earlier) == 20


TENSORS = (torch.Tensor, torch.nn.Parameter)  # and no stand-in of a compiler, which has no bytes


def bytes_alive(cache) -> int:
    """Return what all tensors take that are alive, less the cache."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if type(thing) in TENSORS]
    sizes = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    parts = [part for layer in cache.layers for part in (layer.keys, layer.values)]
    return sum(sizes.values()) - sum(part.untyped_storage().nbytes() for part in parts)


def test_memory_grows_by_the_ids_alone_however_long_the_text():
    """For each row and step: an id, a place in the mask and a position, 8 bytes each."""
    cache = DynamicCache(config=tiny("llama").config)
    alive = {}
    for step in llmcourse.steps(
        tiny("llama"), **{**CALL, "max_new_tokens": 61}, past_key_values=cache
    ):
        if step.index in (10, 60):
            alive[step.index] = bytes_alive(cache)
        del step
    assert 0 <= alive[60] - alive[10] <= 50 * 3 * 3 * 8


def test_the_glass_box_keeps_no_scores_that_were_not_asked_for(monkeypatch):
    seen, decode = [], loop.decode

    def watched(*args, **kwargs):
        for step in decode(*args, **kwargs):
            seen.append(weakref.ref(step.scores))
            yield step

    monkeypatch.setattr(loop, "decode", watched)
    llmcourse.generate(tiny("llama"), **CALL)
    gc.collect()
    assert len(seen) == 6
    assert not [ref for ref in seen if ref() is not None]


def test_the_loop_fits_on_one_screen():
    lines = inspect.getsource(loop.decode).splitlines()
    assert lines[0] == "@torch.no_grad()"
    assert len(lines) <= 80
    body = lines[next(i for i, line in enumerate(lines) if '"""' in line) + 1 :]
    code = [line for line in body if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= 50
    assert max(map(len, lines)) <= 100


def test_the_loop_has_a_numbered_comment_for_each_of_its_steps():
    source = inspect.getsource(loop.decode)
    assert [f"# {n}. " in source for n in range(1, 8)] == [True] * 7


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_does_not_import_torch():
    heavy = "torch transformers numpy matplotlib ipywidgets"
    code = f"import sys, llmcourse; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert run_python(code) == "[]"


@pytest.mark.slow
def test_a_name_of_the_package_is_the_thing_itself_whatever_was_imported_first():
    code = """
import llmcourse.decoding.loop, llmcourse.decoding.stops, llmcourse
print(callable(llmcourse.steps), callable(llmcourse.generate), callable(llmcourse.ingredients))
print(all(hasattr(llmcourse, name) for name in llmcourse.__all__))
"""
    assert run_python(code).split() == ["True"] * 4
    with pytest.raises(AttributeError, match="no attribute 'beam_me_up'"):
        llmcourse.beam_me_up  # noqa: B018


# How a step, a round and a step of beam search give their tokens.


def test_a_step_gives_one_token_of_each_row_and_what_it_was_chosen_from():
    for step in llmcourse.steps(tiny("llama"), **CALL):
        (token,) = step.new_tokens()
        assert token.chosen is step.chosen
        assert torch.equal(token.probs, token.scores.softmax(-1))
        assert torch.equal(token.logits, step.logits)


def test_rounds_give_the_tokens_that_steps_give():
    ids = torch.tensor([[7, 8, 9, 7, 8, 9, 7, 8]])
    call = dict(input_ids=ids, max_new_tokens=12, do_sample=False, eos_token_id=None)
    plain = [
        token for step in llmcourse.steps(tiny("llama"), **call) for token in step.new_tokens()
    ]
    rounds = list(llmcourse.steps(tiny("llama"), **call, prompt_lookup_num_tokens=3))
    drafted = [token for one in rounds for token in one.new_tokens()]
    assert [t.chosen.tolist() for t in drafted] == [t.chosen.tolist() for t in plain]
    for ours, theirs in zip(drafted, plain, strict=True):
        assert ours.logits.shape == theirs.logits.shape
        torch.testing.assert_close(ours.logits, theirs.logits)


def test_a_step_of_beam_search_has_no_tokens_of_a_row_but_the_winner_at_the_end():
    call = dict(input_ids=torch.tensor([[7, 8], [9, 7]]), max_new_tokens=5, num_beams=3)
    walk = list(llmcourse.steps(tiny("llama"), **call, eos_token_id=5))
    with pytest.raises(ValueError, match="no row is one text"):
        walk[0].new_tokens()
    texts = llmcourse.generate(tiny("llama"), **call, eos_token_id=5)[:, 2:].tolist()
    for prompt, text in enumerate(texts):
        ids, rows = walk[-1].best(prompt)
        assert text[: len(ids)] == ids
        assert len(rows) == len(ids)
        assert all(3 * prompt <= row < 3 * prompt + 3 for row in rows)

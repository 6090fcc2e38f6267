"""A spread of the drawn parity grid; `make parity` runs thousands of its cells.

A failure prints cells that run again by name: `make parity PARITY_ARGS='--cell "<name>"'`.
"""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache, wraps

import pytest
import torch
from transformers import LogitsProcessorList

from tests.support import grid
from tests.support.families import CONFIGS
from tests.support.grid import Cell, Run, cells, run
from tests.support.grid_space import NOT_HANDED_ON, PROMPTS, SETTINGS

CELLS = cells(540, seed=0)
verdict_of = cache(lambda index: run(CELLS[index]))


@pytest.mark.slow
@pytest.mark.parametrize("family", CONFIGS)
def test_every_drawn_cell_is_equal_or_fails_alike_or_is_refused_by_name(family):
    indices = [index for index, cell in enumerate(CELLS) if cell.family == family]
    verdicts = {str(CELLS[index]): verdict_of(index) for index in indices}
    different = {
        name: str(verdict) for name, verdict in verdicts.items() if verdict.kind == "DIFFERENT"
    }
    assert not different
    assert len(verdicts) >= 15
    assert "equal" in {verdict.kind for verdict in verdicts.values()}


@pytest.mark.slow
def test_the_grid_is_not_vacuous():
    """A grid of refusals, or of models that repeat one token, would find nothing."""
    verdicts = [verdict_of(index) for index in range(len(CELLS))]
    equal = [verdict for verdict in verdicts if verdict.kind == "equal"]
    print(grid.tally(verdicts), f"{sum(it.staggered for it in equal)} end row by row")
    assert len(equal) > 0.6 * len(verdicts)
    assert sum(verdict.varied for verdict in equal) > 0.8 * len(equal)
    assert sum(verdict.changed for verdict in equal) > 0.5 * len(equal)
    assert sum(verdict.staggered for verdict in equal) > 0.05 * len(equal)


def test_the_grid_is_the_same_each_time_and_its_start_is_part_of_a_longer_one():
    assert cells(60, seed=5) == cells(90, seed=5)[:60] != cells(60, seed=6)


def test_the_start_of_the_grid_already_holds_everything():
    alone = {name for cell in CELLS if len(cell.settings) <= 3 for name in cell.settings}
    assert alone >= SETTINGS.keys()
    assert {cell.family for cell in CELLS[: 3 * len(CONFIGS)]} == set(CONFIGS)
    assert {cell.prompt for cell in CELLS[: 3 * len(PROMPTS)]} == set(PROMPTS)
    assert {cell.door for cell in CELLS[:9]} == set(grid.DOORS)
    assert len({str(cell) for cell in CELLS}) > 0.98 * len(CELLS) > 400


def test_a_cell_is_its_name():
    for cell in CELLS:
        assert Cell.parse(str(cell)) == cell


def test_the_box_is_not_asked_for_what_generate_keeps_from_a_function():
    assert not any(NOT_HANDED_ON & cell.settings.keys() for cell in CELLS if cell.door == "box")


@pytest.mark.slow
def test_generate_held_against_itself_is_equal(monkeypatch):
    """So what is compared does not vary by chance, beams and drafts included."""
    monkeypatch.setitem(grid.DOORS, "generate", lambda model, call: model.generate(**call))
    chosen = [replace(cell, door="generate") for cell in CELLS[-160:]]
    # The library's early exit leaves a changed model behind where it fails.
    chosen = [cell for cell in chosen if "assistant_early_exit" not in cell.settings]
    verdicts = {str(cell): run(cell) for cell in chosen}
    assert {verdict.kind for verdict in verdicts.values()} == {"equal", "both raise"}
    for name in ("num_beams", "assistant_model", "prompt_lookup_num_tokens", "prefill_chunk_size"):
        assert any(it.kind == "equal" for cell, it in verdicts.items() if name in cell), name


# A loop that is broken on purpose: what the model is fed, the rules, the draws, the end of a row.


def feeding(change):
    """Break what the model is fed after the prefill."""

    @contextmanager
    def broken(model):
        right = model.forward

        @wraps(right)
        def wrong(input_ids=None, **inputs):
            return right(input_ids, **(change(inputs) if input_ids.shape[1] == 1 else inputs))

        model.forward = wrong
        try:
            yield
        finally:
            del model.forward

    return broken


def patching(where, name: str, make):
    @contextmanager
    def broken(model):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(where, name, make(getattr(where, name)))
            yield

    return broken


def stand_still(inputs: dict) -> dict:
    if inputs.get("position_ids") is None:
        return inputs
    return {**inputs, "position_ids": inputs["position_ids"] - 1}


def forget_the_mask(inputs: dict) -> dict:
    return {**inputs, "attention_mask": None}


def skip_the_first_rule(right):
    return lambda rules, *args, **kwargs: right(LogitsProcessorList(rules[1:]), *args, **kwargs)


def run_the_rules_backwards(right):
    return lambda rules, *args, **kwargs: right(LogitsProcessorList(rules[::-1]), *args, **kwargs)


def draw_the_likeliest(right):
    return lambda probs, *args, **kwargs: probs.argmax(-1, keepdim=True)


def draw_once_too_often(right):
    def wrong(*args, **kwargs):
        drawn = right(*args, **kwargs)
        torch.rand(1)
        return drawn

    return wrong


BROKEN = {
    "positions_stand_still": feeding(stand_still),
    "mask_forgotten": feeding(forget_the_mask),
    "rule_skipped": patching(LogitsProcessorList, "__call__", skip_the_first_rule),
    "rules_backwards": patching(LogitsProcessorList, "__call__", run_the_rules_backwards),
    "draw_missing": patching(torch, "multinomial", draw_the_likeliest),
    "draw_too_many": patching(torch, "multinomial", draw_once_too_often),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", BROKEN)
def test_a_loop_that_is_broken_on_purpose_is_noticed(how):
    noticed = [cell for cell in CELLS[:120] if run(cell, BROKEN[how]).kind == "DIFFERENT"]
    print(f"{len(noticed)} of 120 cells notice that {how}")
    assert len(noticed) >= 3
    assert all(run(cell).kind != "DIFFERENT" for cell in noticed[:5]), "and nothing stays broken"


def judged(ours: Run, theirs: Run) -> str:
    settings = {"num_beams": 2, "offload_or_quantize": "offloaded"}
    return grid._judge(Cell("llama", "one", "generate", settings), ours, theirs)[0]


def test_the_verdict_on_errors_and_refusals():
    ran, names_it = Run(result=torch.ones(1, 1)), ValueError("num_beams=2 is not built")
    assert judged(Run(error=names_it), ran) == "refused"
    assert judged(Run(error=ValueError("cache_implementation=offloaded")), ran) == "refused"
    assert judged(Run(error=ValueError("use another num_beams_")), ran) == "DIFFERENT"
    assert judged(Run(error=TypeError("num_beams")), ran) == "DIFFERENT"
    assert judged(Run(error=names_it, forwards=1), ran) == "DIFFERENT", "not before it computed"
    assert judged(Run(error=names_it, drew=True), ran) == "DIFFERENT"
    assert judged(Run(error=IndexError()), Run(error=IndexError("other"))) == "both raise"
    assert judged(Run(error=IndexError()), Run(error=KeyError())) == "DIFFERENT"
    assert judged(ran, Run(error=KeyError())) == "DIFFERENT", "it should have failed"
    assert judged(ran, Run(ran.result, after=torch.ones(1))) == "DIFFERENT", "random numbers"
    assert judged(Run(result=ran.result, meddled=True), ran) == "DIFFERENT"
    assert judged(ran, ran) == "equal"
    other = Run(result=torch.zeros(1, 1))
    assert judged(other, ran) == "DIFFERENT"

"""A plan on paper: each figure is what one reckons by hand."""

from dataclasses import replace

import pytest

from llmcourse.measure import weight_bytes
from llmcourse.serving.capacity import DAY, Plan, Replica, Traffic
from tests.support.toy_models import quick_llama

# Two conversations a second at the peak, of two turns: four requests a second.
TRAFFIC = Traffic(
    conversations_a_day=DAY,
    peak_factor=2,
    turns=2,
    shared_tokens=100,
    question_tokens=10,
    answer_tokens=20,
    pause_seconds=30,
)
REPLICA = Replica(
    prompt_speed=1000,
    answer_speed=80,
    rows=8,
    weight_bytes=1e9,
    cache_bytes_per_token=1e6,
    memory_bytes=3e9,
    price_per_hour=0.5,
    busy=0.75,
)
PLAN = Plan(TRAFFIC, REPLICA)


def test_a_later_turn_repeats_what_the_turns_before_it_said():
    assert PLAN.repeated_tokens == (100 + (100 + 10 + 20)) / 2
    assert PLAN.read_tokens == 10 + 115


def test_replicas_follow_from_the_peak_and_a_request_s_time():
    assert PLAN.peak_requests == 4
    assert PLAN.seconds == 125 / 1000 + 20 / 80
    assert PLAN.replicas == 2  # 4 x 0.375 = 1.5 are busy, three quarters of 2
    assert replace(PLAN, replica=replace(REPLICA, busy=0.74)).replicas == 3


def test_requests_in_flight_obey_littles_law_and_fit_the_rows():
    assert PLAN.latency == 8 * 0.375
    assert PLAN.in_flight == 4 * 3
    assert PLAN.in_flight / PLAN.replicas <= REPLICA.rows * REPLICA.busy


def test_a_prefix_cache_saves_reading_and_takes_memory():
    kept = replace(PLAN, prefix_hits=1.0)
    assert kept.read_tokens == 10
    assert kept.seconds == 10 / 1000 + 20 / 80
    assert kept.replicas == 2 and kept.without_prefix_cache == PLAN
    # One pause of 30 s in each of 2 conversations a second, shared by 2 replicas; 130 tokens each.
    assert kept.waiting == 30
    assert kept.kept_bytes == 30 * 130 * 1e6
    assert PLAN.kept_bytes == 0


def test_memory_is_weights_and_the_caches_of_all_rows_at_their_longest():
    assert PLAN.longest == 100 + 2 * 30
    assert PLAN.memory == 1e9 + 8 * 160 * 1e6
    assert PLAN.fits
    assert not replace(PLAN, replica=replace(REPLICA, memory_bytes=2e9)).fits


def test_money_is_for_machines_that_run_day_and_night():
    assert PLAN.cost_a_day == 2 * 24 * 0.5
    assert PLAN.cost_per_million == pytest.approx(24 / (DAY * 2 * 20) * 1e6)


def test_the_table_shows_each_step_with_the_numbers_that_made_it():
    said = repr(PLAN)
    assert "86,400 conversations x 2.00 turns / 86,400 s x 2.00" in said
    assert "125 / 1,000 a second + 20.0 / 80.0 a second" in said
    assert "4.00 a second x 3.00 s" in said and "12.0, 6.00 a replica" in said
    assert "2.3 GB: fits 3.0 GB" in said
    crowded = replace(PLAN, replica=replace(REPLICA, memory_bytes=2e9))
    assert "does not fit" in repr(crowded)
    assert "<table" in PLAN._repr_html_()


def test_weights_and_cache_of_a_replica_are_those_of_its_model():
    model = quick_llama()
    measured = {"prompt_speed": 1, "answer_speed": 1, "rows": 1, "memory_bytes": 1}
    one = Replica.of(model, **measured, price_per_hour=1)
    config = model.config
    head = config.hidden_size // config.num_attention_heads
    heads = config.num_key_value_heads * config.num_hidden_layers
    assert one.weight_bytes == weight_bytes(model)
    assert one.cache_bytes_per_token == 2 * heads * head * 4


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(TRAFFIC, turns=0.5), "turns=0.5"),
        (lambda: replace(TRAFFIC, answer_tokens=0), "answer_tokens=0 must be more than 0"),
        (lambda: replace(TRAFFIC, pause_seconds=-1), "pause_seconds=-1 must be 0 or more"),
        (lambda: replace(TRAFFIC, conversations_a_day=float("nan")), "conversations_a_day=nan"),
        (lambda: replace(REPLICA, busy=1), "the queue never ends"),
        (lambda: replace(PLAN, prefix_hits=2), "prefix_hits=2 is not a share"),
    ],
)
def test_an_assumption_that_cannot_be_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()

"""When tokens come: as many as were asked for, whatever the model would have ended at."""

import pytest
import torch

from llmcourse.measure import Pace, fraction_of_limit, pace, read_bandwidth, reads
from llmcourse.measure.machine import describe_machine, machine_name, processor
from tests.support.families import tiny


def test_each_new_token_has_its_time():
    seen = pace(tiny("llama"), rows=3, prompt_tokens=5, new_tokens=6)
    assert (seen.rows, seen.prompt_tokens, seen.tokens) == (3, 5, (1,) * 6)
    assert seen.first > 0 and len(seen.between) == 5 and min(seen.between) > 0


def test_speeds_follow_from_the_times():
    seen = Pace(rows=2, prompt_tokens=10, first=0.5, between=(0.1, 0.3), tokens=(1, 1, 1))
    assert seen.decode_speed == pytest.approx(2 / 0.4)
    assert seen.throughput == pytest.approx(2 * 3 / 0.9)
    assert seen.prefill_speed == pytest.approx(2 * 10 / 0.5)
    assert "500 ms" in repr(seen) and "5.0 tokens/s a row" in repr(seen)


def test_a_draft_gives_several_tokens_at_once():
    ids = torch.tensor([[7, 8, 9, 7, 8, 9, 7, 8]])
    seen = pace(tiny("llama"), ids, new_tokens=20, prompt_lookup_num_tokens=3)
    assert sum(seen.tokens) == 20 and len(seen.between) == len(seen.tokens) - 1


def test_no_text_ends_early():
    model = tiny("llama")
    first = model.generate(torch.tensor([[7, 8]]), max_new_tokens=1)[0, -1].item()
    model.generation_config.eos_token_id = first
    try:
        assert len(pace(model, torch.tensor([[7, 8]]), new_tokens=4).tokens) == 4
    finally:
        model.generation_config.eos_token_id = 5


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"prompt_tokens": 0}, {"new_tokens": 0}])
def test_nothing_is_not_measured(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        pace(tiny("llama"), **wrong)


def test_one_step_has_no_decode_speed():
    assert pace(tiny("llama"), new_tokens=1).decode_speed != pytest.approx(1)


def test_bandwidth_is_a_figure_in_gb_a_second():
    figure = read_bandwidth(size=10**7, rounds=3)
    assert figure.unit == "GB/s" and len(figure.values) == 3 and min(figure.values) > 0
    with pytest.raises(ValueError, match="1,000,000"):
        read_bandwidth(size=10)


def test_the_fraction_is_a_share_of_what_reading_allows():
    read = reads(tiny("llama"), 10)
    assert fraction_of_limit(read.limit(20.0) / 4, read, 20.0) == pytest.approx(0.25)


def test_a_machine_is_described_in_words_and_numbers(tmp_path):
    described = describe_machine()
    assert (
        described["threads"] >= 1
        and described["torch"].split("+")[0] == torch.__version__.split("+")[0]
    )
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: A Fast One\nmodel name\t: A Fast One\n")
    assert processor(info) == "A Fast One"
    assert processor(tmp_path / "none")


@pytest.mark.parametrize(
    ("processor", "device", "name"),
    [
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", "cpu", "intel-xeon-2-threads"),
        ("AMD EPYC 9B14 96-Core Processor", "cpu", "amd-epyc-9b14-96-core-2-threads"),
        ("Any", "NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
    ],
)
def test_a_machine_has_a_short_name_for_files(processor, device, name):
    assert machine_name({"processor": processor, "device": device, "threads": 2}) == name

"""The benchmarks run, on toys and for a moment: what they measure, keep and show."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

import llmcourse
from benchmarks import gpu, loop
from benchmarks import views as drawn
from benchmarks.readme import README, RESULTS, marks
from llmcourse import views
from tests.support.chat_templates import CHATML
from tests.support.toy_models import quick_llama
from tests.support.toy_tokenizers import numbered

WAYS = ["generate", "glass_box", "steps"]


# The loop beside generate


@pytest.fixture(scope="module")
def cases():
    few = {"rows": (1, 3), "contexts": (4, 20), "new_tokens": 2, "rounds": 2, "threads": 1}
    threads = torch.get_num_threads()
    try:
        return list(loop.context_cases(quick_llama(), "toy", **few))
    finally:
        torch.set_num_threads(threads)


def test_each_batch_and_context_is_measured_in_each_way(cases):
    sizes = [(case.rows, case.context) for case in cases]
    assert sizes == [(1, 4), (1, 20), (3, 4), (3, 20)]
    assert all(list(case.seconds) == WAYS for case in cases)
    assert all(len(times) == 2 for case in cases for times in case.seconds.values())
    assert "tokens in the cache" in repr(cases[0])


def test_a_run_leaves_the_cache_as_long_as_it_was(monkeypatch):
    lengths, cut_back = [], loop.cut_back

    def watched(cache, keep):
        before = cache.get_seq_length()
        cut_back(cache, keep)
        lengths.append((before, cache.get_seq_length()))

    monkeypatch.setattr(loop, "cut_back", watched)
    few = {"rows": (2,), "contexts": (6,), "new_tokens": 3, "rounds": 1, "threads": 1}
    list(loop.context_cases(quick_llama(), "toy", **few))
    assert lengths == [(6, 6)] + [(9, 6)] * 6, "made; three ways warm up, and take a turn"


def test_memory_is_counted_beside_the_cache():
    model, call = quick_llama(), {"input_ids": torch.tensor([[7, 8, 9]]), "max_new_tokens": 4}
    first, last = loop.memory(model, call, at=(1, 3))
    assert (first["step"], last["step"]) == (1, 3)
    assert last["cache"] * 4 == first["cache"] * 6, "4 tokens, then 6"
    # Some versions of the library keep a mask of ones, others drop it.
    mask = llmcourse.ingredients(model, **call).model_kwargs["attention_mask"]
    numbers = 2 if mask is None else 3
    assert last["beside"] - first["beside"] == 2 * 8 * numbers, "an id, a position, perhaps a mask"


def test_results_are_read_back_and_make_tables(cases, tmp_path):
    file = tmp_path / "loop-toy.json"
    file.write_text(loop.to_json({"processor": "A"}, cases, complete=True), encoding="utf-8")
    made, again = loop.read(file)
    assert made["complete"] and [(one.rows, one.context) for one in again] == [
        (one.rows, one.context) for one in cases
    ]
    for one, other in zip(again, cases, strict=True):
        assert one.speed("steps").median == pytest.approx(other.speed("steps").median, rel=1e-3)
    file.write_text(file.read_text(encoding="utf-8").replace('"schema": 1', '"schema": 0'))
    with pytest.raises(ValueError, match="schema 0"):
        loop.read(file)


def test_the_tables_stand_between_their_marks(cases, tmp_path):
    machine = {"processor": "A Fast One", "cores": 2, "vectors": "AVX", "memory_gb": 8.1}
    machine |= {"python": "3", "torch": "2", "transformers": "5"}
    file = tmp_path / "loop-toy.json"
    file.write_text(loop.to_json(machine, cases, complete=True), encoding="utf-8")
    before = "a\n<!-- loop: made by x -->\nold\n<!-- end -->\nb\n"
    after = loop.written(before, tmp_path)
    assert after.startswith("a\n<!-- loop: made by x -->\n\nA Fast One") and after.endswith("\nb\n")
    assert "old" not in after and "| 3 | 20 |" in after
    assert loop.written(after, tmp_path) == after


def test_the_page_shows_what_was_measured():
    page = README.read_text(encoding="utf-8")
    assert marks("loop").search(page)
    made = loop.written(page, RESULTS)
    assert made == page, "run `python -m benchmarks.loop --page`"


def test_ctrl_c_keeps_what_was_measured(cases, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        yield cases[0]
        raise KeyboardInterrupt

    file = tmp_path / "loop.json"
    monkeypatch.setattr(loop, "chosen", interrupted)
    monkeypatch.setattr(sys, "argv", ["loop", "--json", str(file)])
    loop.main()
    made, kept = loop.read(file)
    assert not made["complete"] and len(kept) == 1
    assert "Interrupted" in capsys.readouterr().out


# The views


@pytest.mark.slow
def test_every_public_view_is_drawn(monkeypatch):
    small = {"VOCABULARY": 97, "LENGTH": 48, "ROWS": 3, "BEAMS": 2}
    for name, size in small.items():
        monkeypatch.setattr(drawn, name, size)
    tokenizer = numbered("w")
    tokenizer.chat_template, tokenizer.pad_token = CHATML, "w0"
    made = drawn.cases(tokenizer)
    assert set(made) == {name for name in views.__all__ if name[0].islower()} - {"chart"}
    for name, draw in made.items():
        seconds, size = drawn.timed(draw)
        assert seconds > 0 and size > 0, name


def test_the_page_has_a_row_for_every_view():
    page = README.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+)(?:, a redraw)? \| \d+ \| \d+ \|$", page, re.M)
    assert set(rows) == {name for name in views.__all__ if name[0].islower()} - {"chart"}


# On a GPU


@pytest.fixture(scope="module")
def small():
    sizes = dict(vocab_size=97, hidden_size=64, intermediate_size=128, num_hidden_layers=2)
    heads = dict(num_attention_heads=4, num_key_value_heads=2)
    return gpu.llama(gpu.SIZES | sizes | heads, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_that_is_said_in_a_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="needs a CUDA GPU"):
        gpu.main()


@pytest.mark.parametrize("way", [way for way in gpu.WAYS if way != "static cache, compiled"])
def test_the_parity_of_a_way_is_a_row(small, way):
    row = gpu.compare(small, way, {"input_ids": gpu.IDS}, gpu.WAYS[way], new_tokens=4, rounds=1)
    assert row.same_tokens and row.apart == 0
    assert str(row).startswith(f"| {way} | the same | bit for bit |") and str(row).count("|") == 6


def test_other_tokens_and_logits_would_be_said():
    once = gpu.Figure((1.0,), "")
    row = str(gpu.Parity("a way", same_tokens=False, apart=0.25, library=once, loop=once))
    assert "DIFFERENT" in row and "within 2.5e-01" in row


def test_a_way_that_fails_is_said_and_the_next_one_is_run(small, capsys):
    ids, few = {"input_ids": gpu.IDS}, {"new_tokens": 2, "rounds": 1}
    ways = [(small, "none", ids, {"cache_implementation": "none such"}), (small, "plain", ids, {})]
    assert [row.way for row in gpu.parity(ways, **few)] == ["plain"]
    assert "none: ValueError" in capsys.readouterr().err


def test_speeds_stand_beside_the_limit(small, capsys):
    runs = gpu.batch_1(small, new_tokens=3, prompt_tokens=4, compiled=False)
    runs |= gpu.batches(small, (4,), new_tokens=3, prompt_tokens=4)
    runs["broken", 1] = lambda: 1 / 0
    made = list(gpu.speeds(small, 10.0, runs, length=5, rounds=2))
    assert (made[0].way, made[0].rows) == ("eager", 1) and made[-1].rows == 4
    assert all(len(one.decode.values) == 2 and one.fraction > 0 for one in made)
    assert "broken, rows 1: ZeroDivisionError" in capsys.readouterr().err
    kept = json.loads(gpu.to_json("toy", [], made, device="cpu"))
    assert kept["speeds"][0]["fraction"] == pytest.approx(made[0].fraction)
    assert str(made[0]).count("|") == 6


def test_a_gpu_result_becomes_the_tables_that_were_printed(small, tmp_path):
    ids, few = {"input_ids": gpu.IDS}, {"new_tokens": 2, "rounds": 1}
    same = list(gpu.parity([(small, "plain", ids, {})], **few))
    runs = gpu.batches(small, (4,), new_tokens=3, prompt_tokens=4)
    fast = list(gpu.speeds(small, 10.0, runs, length=5, rounds=2))
    path = tmp_path / "gpu-toy.json"
    path.write_text(gpu.to_json("toy", same, fast, device="cpu"), encoding="utf-8")
    lines = gpu.page(path).splitlines()
    assert str(same[0]) in lines and str(fast[0]) in lines


def test_the_hand_written_step_is_there_where_the_package_has_it(small):
    folder = Path(gpu.llmcourse.__file__).parent / "decoding"
    there = (folder / "by_hand" / "decode_step.py").exists()
    run = gpu.by_hand(small, 4, 3, compiled=False)
    assert (run is not None) == there
    assert run is None or run() > 0

"""Libraries that quantize: a row for each, measured or with the reason, in the README."""

import copy
import json
from dataclasses import asdict, replace

import pytest
import torch

from benchmarks import quantizers
from benchmarks.quantizers import BASE, PINS, QUANTIZERS, Row
from benchmarks.readme import README, RESULTS, marks
from benchmarks.rivals.install import pinned
from llmcourse.measure import weight_bytes
from llmcourse.measure.machine import machine_name
from tests.support.toy_models import quick_llama

FILES = sorted(RESULTS.glob("quantizers-*.json"))
IDS = torch.tensor([[7, 8, 9, 10]])
FEW = {"rounds": 2, "new_tokens": 3, "say": lambda line: None}


def refuses():
    raise NotImplementedError("not | yet")


def breaks():
    """Return a model that reads, and does not generate."""
    model = quick_llama()
    model.generate = None
    return model


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    model = quick_llama()
    small = copy.deepcopy(model).bfloat16()
    made = {BASE: lambda: model, "half": lambda: small, "none": refuses, "mute": breaks}
    ways = {name: ("torch", make) for name, make in made.items()}
    return quantizers.measured(ways, [IDS, IDS[:, :2]], IDS, **FEW)


def test_each_way_is_measured_beside_the_first(rows):
    base, half = rows[:2]
    assert (base.divergence, base.same_best) == (0, 1)
    assert base.weight_bytes == weight_bytes(quick_llama()) > 1.9 * half.weight_bytes
    assert 0 < half.divergence < 0.01 and 0 < half.same_best <= 1
    assert len(base.speeds) == len(half.speeds) == 2
    assert f"torch {torch.__version__}".startswith(base.version)  # which may lack its +cpu


def test_what_a_library_cannot_do_is_a_row_with_the_reason(rows):
    none, mute = rows[2:]
    assert none.failed == "NotImplementedError: not | yet"
    assert mute.failed.startswith("TypeError: 'NoneType'")
    assert not none.speeds and not mute.speeds


def test_without_the_first_there_is_nothing_to_compare_with():
    with pytest.raises(NotImplementedError):
        quantizers.measured({BASE: ("torch", refuses)}, [IDS], IDS, **FEW)


def test_what_could_not_be_installed_says_so_in_place_of_loading():
    with pytest.raises(ImportError, match="depends on torch"):
        quantizers.loaded("4 bits, hqq", {"hqq": "hqq 9 depends on torch>=9"})


def written(rows: list[Row], folder) -> str:
    machine = {"processor": "Abacus", "cores": 2, "threads": 1, "vectors": "AVX", "torch": "2"}
    made = {"schema": 1, "machine": machine | {"transformers": "5"}, "date": "2026-01-02"}
    made |= {"note": "A note.", "passage_tokens": 6, "prompt_tokens": 4, "new_tokens": 3}
    made["rows"] = [asdict(row) for row in rows]
    (folder / "quantizers-toy.json").write_text(json.dumps(made), encoding="utf-8")
    return quantizers.written("a\n<!-- quantizers: made by x -->\n<!-- end -->\nb\n", folder)


def test_the_table_has_the_reason_in_the_row_and_stays_a_table(rows, tmp_path):
    slow = replace(rows[0], name="slow", speeds=[each / 2 for each in rows[0].speeds])
    text = written([*rows, slow], tmp_path)
    assert "A note." in text and "| 0.500 (0.500 to 0.500) |" in text
    assert "could not be run: NotImplementedError: not / yet |" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 5 and {line.count("|") for line in table} == {9}
    assert quantizers.written(text, tmp_path) == text


def test_a_result_of_another_schema_is_refused(tmp_path):
    file = tmp_path / "result.json"
    file.write_text('{"schema": 0}', encoding="utf-8")
    with pytest.raises(ValueError, match="schema 0"):
        quantizers.read(file)


def test_what_is_pinned_is_what_is_measured():
    ours = {"torch", "bitsandbytes"}  # constraints.txt pins them
    assert {package for package, _ in QUANTIZERS.values()} == ours | pinned(PINS).keys()
    assert next(iter(QUANTIZERS)) == BASE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_committed_result_is_read_and_named_after_its_machine(path):
    made, rows = quantizers.read(path)
    assert path.name == f"quantizers-{machine_name(made['machine'])}.json"
    assert [row.name for row in rows] == list(QUANTIZERS)
    assert "/" not in "".join(row.failed for row in rows), "no paths of a machine"


def test_the_readme_shows_the_committed_results():
    text = README.read_text(encoding="utf-8")
    assert marks("quantizers").search(text)
    assert quantizers.written(text, RESULTS) == text, "run `python -m benchmarks.quantizers --page`"

"""What lessons 10 and 11 show of the benchmarks' results is what is kept of them."""

import pytest

from tools import recorded_runs


@pytest.mark.parametrize("file", recorded_runs.COPIES, ids=lambda file: file.name)
def test_what_the_package_brings_is_of_the_committed_results(file):
    made = recorded_runs.COPIES[file]()
    assert file.read_text(encoding="utf-8") == made, "run `python -m tools.recorded_runs`"

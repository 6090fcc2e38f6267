"""What lesson 10 shows of the benchmarks is what is kept of them."""

import pytest

from tools import lesson_results


@pytest.mark.parametrize("name", lesson_results.KEPT)
def test_what_the_package_brings_is_of_the_committed_result(name):
    brought = (lesson_results.TEXTS / name).read_text(encoding="utf-8")
    assert brought == lesson_results.KEPT[name](), "run `python -m tools.lesson_results`"

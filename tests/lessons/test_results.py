"""What lesson 10 shows of the harness is what is kept of it."""

import pytest

from tools import lesson_results


@pytest.mark.skipif(
    not any(lesson_results.RESULTS.glob("lm-eval-*.json")), reason="`make lm-eval` was not run"
)
def test_what_the_package_brings_is_of_the_committed_result():
    brought = lesson_results.FILE.read_text(encoding="utf-8")
    assert brought == lesson_results.harness(), "run `python -m tools.lesson_results`"

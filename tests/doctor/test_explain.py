"""`doctor --explain CODE`: what docs/pitfalls.md says about a code, in the terminal."""

from pathlib import Path

import pytest

from llmcourse.__main__ import main
from llmcourse.doctor.explain import UnknownCode, every_code, explain
from llmcourse.doctor.followed import IN_A_RUN
from llmcourse.doctor.pitfalls import PITFALLS
from llmcourse.doctor.static import IN_THE_SOURCE

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8")


def test_every_code_is_there_once():
    assert set(every_code()) == {*PITFALLS, *IN_THE_SOURCE, *IN_A_RUN}


@pytest.mark.parametrize("code", every_code())
def test_a_code_is_explained_as_on_the_page(code):
    said = explain(code)
    assert said.startswith(f"## {code}\n") and said in PAGE


def test_the_command_prints_it_and_needs_no_file(capfd):
    with pytest.raises(SystemExit) as leaving:
        main(["doctor", "--explain", "padding-side"])
    assert not leaving.value.code
    assert capfd.readouterr().out == explain("padding-side")


def test_an_unknown_code_gets_the_nearest_names_and_exits_with_2(capfd):
    with pytest.raises(SystemExit) as leaving:
        main(["doctor", "--explain", "pading-sides"])
    assert leaving.value.code == 2
    shown = capfd.readouterr()
    assert shown.out == "" and "Did you mean padding-side" in shown.err


def test_a_code_like_no_other_gets_the_list():
    with pytest.raises(UnknownCode, match=r"There are .*padding-side"):
        explain("%%%")


def test_a_section_says_what_the_source_alone_can_show():
    assert "seen in the source" in explain("two-lengths")
    both = explain("piecewise-decoding")
    assert "*Error or warning, seen where the output is decoded" in both
    assert "only the source was read" in both

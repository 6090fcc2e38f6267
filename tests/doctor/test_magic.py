"""`%%doctor`: a cell is run as it is, and what was found is shown beneath."""

import re

import pytest
from IPython.utils.capture import capture_output

from llmcourse.doctor import listen
from llmcourse.doctor.run_script import _shell
from tests.doctor.corpus.calls import plain

ASKS = 'inputs = tokenizer("a text", return_tensors="pt")\nids = model.generate(**inputs)\n'


@pytest.fixture
def shell(tmp_path):
    """An IPython with the extension, a tiny model and its tokenizer."""
    with _shell(str(tmp_path)) as made:
        made.run_cell("%load_ext llmcourse").raise_error()
        made.user_ns["model"], made.user_ns["tokenizer"] = plain()
        del made.showtraceback, made.showsyntaxerror
        yield made


def test_what_was_found_is_shown_as_html_with_the_cells_own_line(shell):
    shell.execution_count = 7
    with capture_output() as shown:
        shell.run_cell("%%doctor\n" + ASKS).raise_error()
    (page,) = [one.data["text/html"] for one in shown.outputs]
    assert "Looked at 1 call" in page and "no-length" in page and "cell 7:3" in page
    assert shell.user_ns["ids"].shape[0] == 1, "the cell ran in the notebook's own names"
    assert not listen._listeners


def test_an_error_is_shown_once_and_fails_the_cell(shell):
    with capture_output() as shown:
        ran = shell.run_cell("%%doctor\n" + ASKS + "1 / 0")
    assert isinstance(ran.error_in_exec, ZeroDivisionError)
    said = re.sub(r"\x1b\[[0-9;]*m", "", shown.stdout + shown.stderr)
    assert said.count("ZeroDivisionError: division by zero") == 1
    assert "no-length" in shown.outputs[0].data["text/html"], "what came before is told"
    assert not listen._listeners


def test_the_value_of_the_last_line_is_shown_as_without(shell):
    with capture_output() as shown:
        shell.run_cell("%%doctor\n6 * 7").raise_error()
    assert "42" in shown.stdout + str([one.data for one in shown.outputs])


def test_another_magic_may_follow(shell):
    with capture_output() as shown:
        shell.run_cell("%%doctor\n%%time\n" + ASKS).raise_error()
    assert "Wall time" in shown.stdout and "no-length" in shown.outputs[0].data["text/html"]


def test_words_after_it_are_refused(shell):
    with capture_output():
        ran = shell.run_cell("%%doctor now\n1")
    assert "takes no words" in str(ran.error_in_exec)


def test_unloading_takes_it_away(shell):
    shell.run_cell("%unload_ext llmcourse").raise_error()
    assert shell.find_cell_magic("doctor") is None


def test_a_name_that_the_code_has_stays(shell):
    shell.compile.get_code_name = lambda *_: "mine.ipynb:1"
    with capture_output() as shown:
        shell.run_cell("%%doctor\n" + ASKS).raise_error()
    assert "mine.ipynb:1:3" in shown.outputs[0].data["text/html"]
    assert "get_code_name" in vars(shell.compile)

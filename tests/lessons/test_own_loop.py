"""Lesson 2 goes on with what the learner wrote, and proves that."""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.toy_models import save_unlike_the_course

ROOT = Path(__file__).parent.parent.parent
LESSON = ROOT / "notebooks" / "02_decoding_loop.ipynb"


def written(stub, ours):
    """Return a stub's cell with our version in it, under the learner's names."""
    checks = [line for line in stub.splitlines() if line.startswith("decoding_loop.check_")]
    answer = re.sub(r"(?m)^\w+ = yours_or_ours\(.*\)$", "", ours).replace("def our_", "def ")
    return "\n".join([answer, *checks])


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What lesson 2 prints up to its proof when every stub was written by the learner."""
    folder = tmp_path_factory.mktemp("another") / "model"
    save_unlike_the_course(folder, (ROOT / "README.md").read_text(encoding="utf-8"))
    notebook = nbformat.read(LESSON, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    proof = next(n for n, cell in enumerate(code) if "pieces of yours" in cell.source)
    for stub, ours in pairwise(code):
        if "raise NotImplementedError" in stub.source:
            stub.source = written(stub.source, ours.source)
    notebook.cells = code[: proof + 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMCOURSE_MODEL", str(folder))
        NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": LESSON.parent}}
        ).execute()
    return "".join(
        out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", [])
    )


@pytest.mark.slow
def test_a_loop_that_the_learner_wrote_is_the_one_that_is_proved(outputs):
    assert "4 pieces of yours, 0 of ours" in outputs
    assert "nothing to check yet" not in outputs


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["append_and_repeat", "until_eos", "with_cache", "left_padded"])
def test_each_piece_that_the_learner_wrote_goes_on(outputs, piece):
    assert f"{piece}: yours\n" in outputs
    assert f"check_{piece}: " in outputs

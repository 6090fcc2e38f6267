"""docs/surface.md goes through the whole surface, and names checks that are there."""

import inspect
import re

import pytest
import transformers
from transformers import (
    AsyncTextIteratorStreamer,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from llmcourse.doctor.explain import every_code
from tools import surface_page
from tools.lesson import ROOT


def arguments(function) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "model_args"}


def documented(function) -> set[str]:
    """Return the arguments that a docstring explains: those that `**kwargs` takes too."""
    return set(re.findall(r"^\s*(\w+) \(`", inspect.getdoc(function), re.MULTILINE))


SURFACE = {
    "GenerationConfig": {name for name in vars(GenerationConfig()) if not name.startswith("_")},
    "generate": arguments(GenerationMixin.generate),
    "tokenizer": arguments(PreTrainedTokenizerBase.__call__) - {"kwargs", "tokenizer_kwargs"},
    "apply_chat_template": arguments(PreTrainedTokenizerBase.apply_chat_template),
    "decode": arguments(PreTrainedTokenizerBase.decode)
    | arguments(PreTrainedTokenizerBase.batch_decode),
    "pipeline": arguments(transformers.pipeline),
    "from_pretrained": (
        arguments(PreTrainedModel.from_pretrained) | documented(PreTrainedModel.from_pretrained)
    )
    - {"kwargs"},
    "streamers": arguments(AsyncTextIteratorStreamer.__init__),
}
PINNED = f"transformers=={transformers.__version__}"


def test_every_field_and_argument_has_a_row():
    if PINNED not in (ROOT / "constraints.txt").read_text(encoding="utf-8").split():
        pytest.skip("another version has other fields")
    rows = {part.of: part.names for part in surface_page.parts()}
    missing = {of: sorted(names - rows[of]) for of, names in SURFACE.items()}
    assert not any(missing.values()), missing


def test_every_code_of_the_doctor_has_a_place_on_it():
    named = {code for part in surface_page.parts() for row in part.rows for code in row.codes}
    assert named == set(every_code())


def test_a_code_that_is_gone_is_an_error(monkeypatch):
    row = surface_page.Row(("top_k",), "a", "b", "before", "error", ("no-such-code",))
    part = surface_page.Part("Settings", "GenerationConfig", (row,))
    monkeypatch.setattr(surface_page, "parts", lambda: [part])
    with pytest.raises(LookupError, match="no-such-code"):
        surface_page.page()


def test_what_nobody_looks_for_is_said():
    assert "not looked for" in surface_page.page()


def test_the_page_is_as_it_would_be_made():
    stored = surface_page.PAGE.read_text(encoding="utf-8")
    assert stored == surface_page.page(), "run `make docs`"

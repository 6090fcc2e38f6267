"""The course's chat templates: what they say of themselves, and the strings that they make."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError

from llmcourse import views
from llmcourse.chat import render, templates
from tests.support.chat_templates import letters

ROOT = Path(__file__).parent.parent
TEMPLATES = templates()
PUBLISHED = tomllib.loads((ROOT / "tests" / "published" / "chats.toml").read_text(encoding="utf-8"))
OF_LETTERS = {"bos_token": "<s>", "eos_token": "</s>"}
ROLES = {"s": "system", "u": "user", "a": "assistant"}
SAID = ("Be brief.", "Hello {{ 1 }} é", "Yes <b>", "Thanks\n", "Bye")
CITY = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather — now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def talk(roles: str) -> list[dict]:
    return [{"role": ROLES[r], "content": text} for r, text in zip(roles, SAID, strict=False)]


def of_the_library(tokenizer, messages, generation, **more):
    call = {"tokenize": False, "return_dict": False, "add_generation_prompt": generation}
    return tokenizer.apply_chat_template(messages, **call, **more)


@pytest.mark.parametrize("generation", [True, False])
@pytest.mark.parametrize("roles", ["u", "su", "uau", "suaua", "uu", "au"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_render_gives_the_string_of_apply_chat_template_or_refuses_with_it(name, roles, generation):
    template, messages = TEMPLATES[name].text, talk(roles)
    try:
        theirs = of_the_library(letters(template), messages, generation)
    except TemplateError as error:
        with pytest.raises(TemplateError, match=re.escape(str(error))):
            render(template, messages, add_generation_prompt=generation, **OF_LETTERS)
    else:
        ours = render(template, messages, add_generation_prompt=generation, **OF_LETTERS)
        assert ours == theirs


def test_render_gives_what_the_course_models_template_gives(course_model):
    _, tokenizer = course_model
    theirs = of_the_library(tokenizer, talk("ua"), True)
    assert render(tokenizer.chat_template, talk("ua")) == theirs


def test_tools_calls_and_documents_are_rendered_as_the_library_renders_them():
    template = TEMPLATES["chatml with tools"].text
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it cold?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "name": "weather", "content": "-3 °C"},
    ]
    more = {"tools": [CITY], "documents": [{"title": "Oslo", "text": "A city."}]}
    text = render(template, messages, **more)
    assert text == of_the_library(letters(template), messages, True, **more)
    assert text.startswith("<|im_start|>system\nBe brief.\nYou may call these functions.\n<tools>")
    assert "Tell the weather — now." in text
    assert "[1] Oslo: A city.\n</documents><|im_end|>\n<|im_start|>user\nIs it cold?" in text
    assert '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>' in text
    assert text.endswith(
        "<tool_response>\n-3 °C\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "one", PUBLISHED["rendering"], ids=lambda one: f"{one['template']}: {one['page']}"
)
def test_a_template_makes_the_string_that_its_format_is_published_with(one):
    template = TEMPLATES[one["template"]]
    messages = [{"role": role, "content": content} for role, content in one["messages"]]
    text = render(template, messages, add_generation_prompt=one["generation_prompt"])
    assert text == one["left_out"] + one["text"]
    assert one["left_out"] in ("", template.bos)


def test_each_format_is_compared_with_a_published_string_unless_its_words_are_ours():
    compared = {one["template"] for one in PUBLISHED["rendering"]}
    in_test_tool_templates = {"qwen 2.5 with tools", "hermes 2 pro with tools"}
    assert set(TEMPLATES) - compared - in_test_tool_templates == {"chatml with tools"}
    assert "the sentences are ours" in TEMPLATES["chatml with tools"].about
    assert all(one["page"].startswith("https://") and one["read"] for one in PUBLISHED["rendering"])


def test_the_two_mistrals_differ_in_their_spaces():
    v01, v03 = (render(TEMPLATES[name], talk("uau")) for name in ("mistral", "mistral v0.3"))
    assert v01 == "<s>[INST] Be brief. [/INST]Hello {{ 1 }} é</s> [INST] Yes <b> [/INST]"
    assert v03 == "<s>[INST] Be brief.[/INST] Hello {{ 1 }} é</s>[INST] Yes <b>[/INST]"


def test_a_template_brings_its_own_bos_and_eos_and_a_string_brings_none():
    hello = talk("u")
    assert render(TEMPLATES["gemma"], hello).startswith("<bos><start_of_turn>user\n")
    assert render(TEMPLATES["llama 3"], hello).startswith("<|begin_of_text|><|start_header_id|>")
    assert render(TEMPLATES["gemma"].text, hello).startswith("<start_of_turn>user\n")
    assert render(TEMPLATES["gemma"], hello, bos_token="<x>").startswith("<x><start_of_turn>")
    with pytest.raises(TemplateError, match="eos_token"):  # as in the library, without such a token
        render(TEMPLATES["zephyr"].text, hello)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_says_where_its_format_is_from_and_how_a_turn_ends(name):
    one = TEMPLATES[name]
    assert one.about and one.published.startswith("https://")
    assert one.licence.startswith("Apache-2.0")
    assert "{#" not in one.text
    assert one.ends_with in render(one, talk("ua"), add_generation_prompt=False)
    assert one.eos and "none" not in (one.bos, one.eos)
    assert render(one, talk("ua")).startswith(one.bos) or name == "zephyr"


def test_a_template_cannot_reach_outside_its_sandbox():
    with pytest.raises(SecurityError):
        render("{{ ''.__class__.__mro__ }}", talk("u"))
    with pytest.raises(SecurityError):
        render("{{ messages.append(1) }}", talk("u"))


def test_content_is_never_run_as_a_template():
    assert "Hello {{ 1 }} é" in render(TEMPLATES["chatml"].text, talk("su"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_can_be_drawn(name):
    shown = views.chat(letters(TEMPLATES[name].text), talk("ua"))
    assert "".join(part.text for part in shown.parts) == shown.text != ""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that pip builds of a copy of the package, without the network."""
    pytest.importorskip("setuptools", minversion="77")  # what pyproject.toml builds with
    pytest.importorskip("packaging.licenses")  # and what that setuptools needs
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "llmcourse", source / "llmcourse")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *flags, str(source)], check=True)
    return next(folder.glob("*.whl"))


def test_the_templates_are_in_the_wheel(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".jinja")}
    in_the_tree = (ROOT / "llmcourse" / "templates").glob("*.jinja")
    assert inside == {f"llmcourse/templates/{path.name}" for path in in_the_tree} != set()

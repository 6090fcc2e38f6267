"""The course's chat templates: what they say of themselves, and the strings that they make."""

import re
import shutil
import subprocess
import sys
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
            render(template, messages, add_generation_prompt=generation)
    else:
        assert render(template, messages, add_generation_prompt=generation) == theirs


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
    ("name", "text"),
    [
        (
            "chatml",
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n"
            "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "chatml with a default",
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n"
            "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "gemma",
            "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
        ),
        ("llama 2", "<s>[INST] Hi [/INST] Yes </s><s>[INST] Bye [/INST]"),
        (
            "llama 3",
            "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nYes<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("mistral", "<s>[INST] Hi [/INST]Yes</s>[INST] Bye [/INST]"),
        ("zephyr", "<|user|>\nHi</s>\n<|assistant|>\nYes</s>\n<|user|>\nBye</s>\n<|assistant|>\n"),
    ],
)
def test_a_template_makes_the_string_that_its_format_is_published_with(name, text):
    messages = [
        {"role": role, "content": content}
        for role, content in (("user", "Hi"), ("assistant", "Yes"), ("user", "Bye"))
    ]
    assert render(TEMPLATES[name].text, messages) == text


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_says_where_its_format_is_from_and_how_a_turn_ends(name):
    one = TEMPLATES[name]
    assert one.about and one.published.startswith("https://")
    assert one.licence.startswith("Apache-2.0")
    assert "{#" not in one.text
    assert one.ends_with in render(one.text, talk("ua"), add_generation_prompt=False)


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

"""The templates with tools make the strings that their formats are published with."""

import ast
import json
import re
from pathlib import Path

import nbformat
from transformers.utils import get_json_schema

from llmcourse.chat import render, templates

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "tests" / "published"
LESSON = ROOT / "notebooks" / "07_structured_output_and_tools.ipynb"


def published(name: str) -> str:
    return (PUBLISHED / f"{name}.txt").read_text(encoding="utf-8")


def call(name: str, **arguments) -> dict:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def from_the_lesson() -> dict:
    """What the cells define in which lesson 7 keeps the recorded answers, and their functions."""
    names, found = {"json": json}, 0
    for cell in nbformat.read(LESSON, as_version=4).cells:
        if re.match(r"def get_current_temperature|recorded = ", cell.source):
            exec(cell.source, names)
            found += 1
    assert found == 2
    return names


def test_qwens_template_makes_the_published_string_of_lesson_7s_conversation():
    lesson = from_the_lesson()
    place, tomorrow = "San Francisco, CA, USA", "2024-10-01"
    functions = lesson["get_current_temperature"], lesson["get_temperature_date"]
    made = (functions[0](place), functions[1](place, tomorrow))
    messages = [
        *lesson["talk"],
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                call("get_current_temperature", location=place),
                call("get_temperature_date", location=place, date=tomorrow),
            ],
        },
        *(
            {"role": "tool", "name": one.__name__, "content": json.dumps(result)}
            for one, result in zip(functions, made, strict=True)
        ),
        {"role": "assistant", "content": lesson["recorded"][1]},
    ]
    tools = [get_json_schema(one) for one in functions]
    template = templates()["qwen 2.5 with tools"].text
    text = render(template, messages, tools=tools, add_generation_prompt=False)
    assert text == published("qwen_2.5_with_tools")


def test_what_lesson_7_calls_recorded_was_published():
    lesson, text = from_the_lesson(), published("qwen_2.5_with_tools")
    for answer in lesson["recorded"]:
        assert f"<|im_start|>assistant\n{answer}<|im_end|>\n" in text


def test_what_lesson_7_calls_smollm3s_answer_was_published():
    (cell,) = (
        cell.source
        for cell in nbformat.read(LESSON, as_version=4).cells
        if cell.source.startswith("thoughtful = ")
    )
    names = {}
    exec(cell, names)
    assert names["thoughtful"] + "\n" == published("smollm3_answer")


def test_hermes_template_makes_the_published_string():
    text = published("hermes_2_pro_with_tools")
    tools = ast.literal_eval(re.search(r"<tools> (\[.*\]) </tools>", text)[1])
    result = re.search(r'"content": (\{.*\})\}\n</tool_response>', text)[1]
    *_, answer = re.findall(r"<\|im_start\|>assistant\n(.*?)<\|im_end\|>", text, re.S)
    messages = [
        {"role": "user", "content": "Fetch the stock fundamentals data for Tesla (TSLA)"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [call("get_stock_fundamentals", symbol="TSLA")],
        },
        {"role": "tool", "name": "get_stock_fundamentals", "content": result},
        {"role": "assistant", "content": answer},
    ]
    template = templates()["hermes 2 pro with tools"].text
    assert render(template, messages, tools=tools, add_generation_prompt=False) == text


def test_qwens_template_takes_what_servers_hand_on():
    """Text beside a call, a call without its wrapper, no content, no tools."""
    template = templates()["qwen 2.5 with tools"].text
    bare = {"name": "add", "arguments": {"a": 1, "b": 2}}
    messages = [
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [bare]},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": None},
    ]
    text = render(template, messages, add_generation_prompt=False)
    assert text.startswith("<|im_start|>system\nYou are Qwen")
    assert "# Tools" not in text
    assert (
        "<|im_start|>assistant\nLet me see.\n<tool_call>\n"
        '{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call><|im_end|>\n' in text
    )
    assert "<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n" in text
    assert text.endswith("<|im_start|>assistant\n<|im_end|>\n")

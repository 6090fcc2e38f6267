"""An answer taken apart: what is found, what stays text, and what comes of a call."""

import json

import pytest

from llmcourse.conversation import tools
from tests.support.toy_chats import add, call_of

SUM = call_of("add", '{"a": 17, "b": 25}')
ADDED = {"type": "function", "function": {"name": "add", "arguments": {"a": 17, "b": 25}}}


def said(content: str, **more) -> dict:
    return {"role": "assistant", "content": content, **more}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" Yes.\n", said(" Yes.\n")),
        ("<think>\nHm.\n</think>\n\nYes.", said("Yes.", reasoning_content="Hm.")),
        ("<think>Hm", said("", reasoning_content="Hm")),
        ("<think>\n\n</think>\n\nYes.", said("Yes.")),
        ("Yes. <think>Hm.</think>", said("Yes. <think>Hm.</think>")),
        (SUM, said("", tool_calls=[ADDED])),
        (f"Well.\n{SUM}\n{SUM}", said("Well.", tool_calls=[ADDED, ADDED])),
        (f"<think>Hm.</think>{SUM}", said("", reasoning_content="Hm.", tool_calls=[ADDED])),
        (f"<think>{SUM}", said("", reasoning_content=SUM)),
    ],
)
def test_an_answer_is_taken_apart(text, message):
    assert tools.take_apart(text) == message


def test_thinking_that_the_prompt_has_begun_ends_in_the_answer():
    opened = "<|im_start|>assistant\n<think>\n"
    message = said("Yes.", reasoning_content="Hm.")
    assert tools.take_apart("Hm.\n</think>\n\nYes.", opened) == message
    assert tools.take_apart("Yes.", f"{opened}</think>\n") == said("Yes.")


@pytest.mark.parametrize(
    "body",
    [
        "add(17, 25)",
        "[]",
        "7",
        '{"arguments": {}}',
        '{"name": "add", "arguments": {"a": "\\ud800"}}',
        "[" * 100_000,
        '{"function": 7}',
    ],
)
def test_what_is_no_call_stays_text(body):
    text = f"<tool_call>{body}</tool_call> Yes. <tool_call>"
    assert tools.take_apart(text) == said(text)


def test_arguments_that_are_written_as_a_string_are_read():
    text = call_of("add", json.dumps('{"a": 17, "b": 25}'))
    assert tools.take_apart(text)["tool_calls"] == [ADDED]
    odd = tools.take_apart(call_of("add", '"17, 25"'))["tool_calls"][0]["function"]
    assert odd["arguments"] == "17, 25"


def test_many_marks_are_read_in_no_time():
    text = "<tool_call>" * 100_000
    assert tools.take_apart(text) == said(text)


def called(name: str, arguments, **more) -> dict:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def surprise(a: int) -> dict:
    """Return what no JSON has, or fail.

    Args:
        a: 0 to fail.
    """
    if not a:
        raise RuntimeError("out of\x1b[2J luck")
    return {"set": {7}, "half": "\ud800"} if a == 1 else "half \ud800"


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("add", {"a": 17, "b": 25}, "42"),
        ("sub", {}, "There is no tool 'sub'; there are add, surprise."),
        ("add", [17, 25], "The arguments of add must be an object."),
        ("add", {"a": 17}, "add was not called: missing a required argument: 'b'."),
        ("add", {"a": 1, "b": 2, "c": 3}, "add was not called: got an unexpected keyword"),
        ("add", {"a": "x", "b": 2}, "add failed. TypeError: can only concatenate str"),
        ("surprise", {"a": 0}, r"surprise failed. RuntimeError: out of\u001b[2J luck"),
        ("surprise", {"a": 1}, '{"set": "{7}", "half": "?"}'),
        ("surprise", {"a": 2}, "half ?"),
    ],
)
def test_a_result_says_what_came_of_a_call(name, arguments, result):
    message = tools.result(called(name, arguments), {"add": add, "surprise": surprise})
    assert message["content"].startswith(result)
    assert (message["role"], message["name"]) == ("tool", name)


def test_a_tool_that_changes_its_arguments_leaves_the_call_as_it_was():
    def shorten(words: list) -> int:
        words.clear()
        return 0

    call = called("shorten", {"words": ["a", "b"]})
    assert tools.result(call, {"shorten": shorten})["content"] == "0"
    assert call == called("shorten", {"words": ["a", "b"]})


def test_a_tool_that_exits_has_failed():
    def leave():
        raise SystemExit(3)

    message = tools.result(called("leave", {}), {"leave": leave})
    assert message["content"].startswith("leave failed. SystemExit")


def test_a_result_repeats_the_id_of_its_call():
    assert tools.result(called("add", {"a": 1, "b": 2}, id="9x"), {"add": add}) == {
        "role": "tool",
        "name": "add",
        "content": "3",
        "tool_call_id": "9x",
    }
    text = '<tool_call>{"id": "9x", "name": "add", "arguments": {}}</tool_call>'
    assert tools.take_apart(text)["tool_calls"][0]["id"] == "9x"


def test_a_call_is_shown_as_one_would_write_it():
    assert tools.in_a_line(called("add", {"a": 17, "b": "x"})) == 'add(a=17, b="x")'
    assert tools.in_a_line(called("add", [17])) == "add([17])"
    assert tools.in_a_line({"name": "now", "arguments": {}}) == "now()"
    assert tools.in_a_line({"function": {"name": "now"}}) == "now()"


class Tokenizer:
    """One that takes answers apart itself."""

    def __init__(self, parts):
        self.parts, self.response_template = parts, {"fields": {}}

    def parse_response(self, ids, prefix):
        if isinstance(self.parts, Exception):
            raise self.parts
        return self.parts


def test_a_tokenizer_with_a_response_template_takes_an_answer_apart_itself():
    parts = {"thinking": "Hm.", "tool_calls": [{"name": "add", "arguments": {"a": 17, "b": 25}}]}
    message = said("", reasoning_content="Hm.", tool_calls=[ADDED])
    assert tools.parsed(Tokenizer(parts), [7], "") == message
    nested = {"content": "Well.", "tool_calls": [json.loads(json.dumps(ADDED))]}
    assert tools.parsed(Tokenizer(nested), [7], "") == said("Well.", tool_calls=[ADDED])


@pytest.mark.parametrize("parts", [ValueError("no"), {"tool_calls": [7]}, None])
def test_a_response_template_that_fails_is_passed_over(parts):
    assert tools.parsed(Tokenizer(parts), [7], "") is None
    assert tools.parsed(object(), [7], "") is None

"""What is in an answer: thinking, calls of tools and content; and what comes of a call.

What is written and read here is Hermes' and Qwen's format: `<think>` and `</think>` around the
thinking, `<tool_call>` and `</tool_call>` around each call. A tokenizer that has a
`response_template` says itself how its model's answers are taken apart.
"""

import contextlib
import copy
import inspect
import json
from collections.abc import Callable

from llmcourse.show import in_words

_THINKS, _THOUGHT = "<think>", "</think>"
_CALLS, _CALLED = "<tool_call>", "</tool_call>"
_REASONING = ("reasoning_content", "thinking", "reasoning")  # the first is what templates read


def take_apart(text: str, opening: str = "", *, calls: bool = True) -> dict:
    """Return an answer as a message: content, and reasoning_content and tool_calls if it has any.

    opening: how the prompt ends; a `<think>` there is the answer's. calls: whether to look for
    calls. What is no JSON object with a name is no call, and stays text; so does all of a text in
    which nothing is found.
    """
    thinking, content = _thinking(text, opening)
    found, content = _calls(content) if calls else ([], content)
    return _message(thinking, found, content if content == text else content.strip())


def parsed(tokenizer, ids: list[int], opening: str) -> dict | None:
    """Return an answer as a message, by the tokenizer's own `response_template`.

    ids: the answer's tokens. None if the tokenizer has no such template, or if that fails.
    """
    if getattr(tokenizer, "response_template", None) is None:
        return None
    try:
        parts = tokenizer.parse_response(ids, prefix=opening)
        thinking = next((parts[name] for name in _REASONING if parts.get(name)), None)
        calls = [_as_templates_take_it(call) for call in parts.get("tool_calls") or []]
        return _message(thinking, calls, parts.get("content") or "")
    except Exception:  # the template is somebody else's, and the answer a model's
        return None


def result(call: dict, tools: dict[str, Callable]) -> dict:
    """Run a call, and return its result as a message; what goes wrong is a result too.

    call: one of a message's tool_calls. tools: the functions by name.
    """
    return _answered(call, _outcome(call["function"], tools))


def no_result(call: dict, why: str) -> dict:
    """Return the message that stands for the result of a call that has none. why: `stopped`."""
    name = call["function"]["name"]
    return _answered(call, f"{name} gave no result: {why}.")


def in_a_line(call: dict) -> str:
    """Return a call as one would write it in Python: `add(a=17, b=25)`."""
    function = call.get("function", call)
    name, arguments = function["name"], function.get("arguments", {})
    if not isinstance(arguments, dict):
        arguments = {"": arguments}
    values = [(each, json.dumps(value, ensure_ascii=False)) for each, value in arguments.items()]
    return f"{name}({', '.join('='.join(filter(None, pair)) for pair in values)})"


def begins_thinking(opening: str) -> bool:
    """Tell whether a prompt that ends so has begun the answer's thinking."""
    return opening.rstrip().endswith(_THINKS)


def _thinking(text: str, opening: str) -> tuple[str | None, str]:
    start = text.lstrip()
    if not begins_thinking(opening):
        if not start.startswith(_THINKS):
            return None, text
        start = start.removeprefix(_THINKS)
    thinking, _, rest = start.partition(_THOUGHT)
    return thinking.strip(), rest


def _calls(text: str) -> tuple[list[dict], str]:
    content, *parts = text.split(_CALLS)
    found = []
    for part in parts:
        body, closed, after = part.partition(_CALLED)
        call = _read(body) if closed else None
        if call is None:
            content += _CALLS + part
        else:
            found.append(call)
            content += after
    return found, content


def _read(body: str) -> dict | None:
    try:
        return _as_templates_take_it(json.loads(body))
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None


def _as_templates_take_it(call: dict) -> dict:
    """Return a call with its function by itself, and its id if it has one. Raises if it is none."""
    json.dumps(call, ensure_ascii=False).encode()  # half a character could not be sent back
    given = call.get("function", call)
    arguments = given.get("arguments", {})
    if isinstance(arguments, str):  # OpenAI's way: an object, written as JSON
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    function = {"name": str(given["name"]), "arguments": arguments}
    own = {"id": call["id"]} if call.get("id") is not None else {}
    return own | {"type": "function", "function": function}


def _message(thinking: str | None, calls: list[dict], content: str) -> dict:
    thought = {"reasoning_content": thinking} if thinking else {}
    called = {"tool_calls": calls} if calls else {}
    return {"role": "assistant", "content": content} | thought | called


def _answered(call: dict, content: str) -> dict:
    message = {"role": "tool", "name": call["function"]["name"], "content": content}
    return message | ({"tool_call_id": call["id"]} if "id" in call else {})


def _outcome(function: dict, tools: dict[str, Callable]) -> str:
    name = function["name"]
    # A copy: what was said stays as it was, whatever a tool does to it.
    arguments = copy.deepcopy(function.get("arguments", {}))
    if name not in tools:
        return f"There is no tool {name!r}; there are {', '.join(tools)}."
    if not isinstance(arguments, dict):
        return f"The arguments of {name} must be an object."
    try:
        inspect.signature(tools[name]).bind(**arguments)
    except TypeError as error:
        return f"{name} was not called: {error}."
    try:
        made = tools[name](**arguments)
        text = made if isinstance(made, str) else json.dumps(made, ensure_ascii=False, default=str)
    except (Exception, SystemExit) as error:
        return f"{name} failed. {in_words(error)}"
    return text.encode(errors="replace").decode()

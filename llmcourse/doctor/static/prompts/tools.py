"""Tools in a chat: their schema, their calls, their results, and a loop that has to end."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.messages import ADDS, appended, entry_of, role_of, talks
from llmcourse.doctor.static.reading.patterns import TAKES_A_PATTERN
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_string,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_REACT = re.compile(r"Observation\s*\d*\s*:")


@in_the_source(
    "tool-without-schema",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom="`apply_chat_template` raises an error about a docstring, a type hint, or tools.",
    cause="""
        A function in `tools` is described by its docstring and its type hints, which are read into
        a schema. Where one is missing there is nothing to read.
    """,
    fix="Give the function a docstring with `Args:`, and each argument a type.",
    example='''
        def weather(city: str) -> str:
            """Look up today's weather.

            Args:
                city: The name of the city.
            """
    ''',
    how_sure="Likely: only the source was read, where the function or the text stands.",
    explains_refusal=True,
)
def tool_without_schema(source: Source) -> Iterator[Finding]:
    """A tool without a docstring or types, or one that is a text."""
    functions = {node.name: node for node in source.scopes if isinstance(node, ast.FunctionDef)}
    for call in source.calls:
        tools = keyword(call, "tools") if name_of(call) == "apply_chat_template" else None
        listed = source.value(tools) if tools is not None else None
        for tool in listed.elts if isinstance(listed, ast.List) else []:
            missing = _missing(source, tool, functions)
            if missing is None:
                continue
            yield found(
                "tool-without-schema",
                ERROR,
                call,
                what=f"The tool {source.words(tool)[:60]} {missing}.",
                why="No schema can be made of it, and the call is refused.",
                fix='def tool(city: str) -> str:  # and """..., Args: city: The city."""',
            )
            return


def _missing(source: Source, tool: ast.AST, functions: dict) -> str | None:
    """Return in words what a tool lacks; None where nothing is seen to be missing."""
    value = source.value(tool)
    text = is_string(value)
    if text or (name_of(value) == "dumps"):
        return "is a text; tools are functions or dictionaries"
    function = functions.get(last_name(tool)) if isinstance(tool, ast.Name) else None
    if function is None or function.decorator_list:
        return None
    words = ast.get_docstring(function)
    if not words:
        return "has no docstring"
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    bare = [one.arg for one in arguments if one.annotation is None]
    if bare:
        return f"has an argument without a type, {bare[0]}"
    untold = [one.arg for one in arguments if not re.search(rf"\b{one.arg}\b.*:", words)]
    return f"does not say in its docstring what {untold[0]} is" if untold else None


@in_the_source(
    "tool-call-miswritten",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the arguments of a call in a message are made a
        string of JSON. Some templates write such a string as it is.
    """,
)
def tool_call_miswritten(source: Source) -> Iterator[Finding]:
    """The arguments of a call are a text in the message that the template gets."""
    if not any(name_of(call) == "apply_chat_template" for call in source.calls):
        return
    for node in source.scopes:
        given = entry_of(source, node, "arguments") if isinstance(node, ast.Dict) else None
        if given is None or entry_of(source, node, "name") is None:
            continue
        value = source.value(given)
        dumped = name_of(value) == "dumps"
        texts = [one for one in source.constants(value) if isinstance(one, str)]
        written = bool(texts) and re.match(r'\s*\{\s*"', texts[0]) is not None
        if not (dumped or written) or not _is_in_a_call(source, node):
            continue
        yield found(
            "tool-call-miswritten",
            WARNING,
            given,
            what=f"The arguments of a tool call are a string of JSON, {source.words(given)[:50]}.",
            why="The template writes them as JSON once more: the model reads quotes inside quotes.",
            fix='"arguments": {...}  # the dictionary itself, without json.dumps',
        )
        return


def _is_in_a_call(source: Source, node: ast.AST) -> bool:
    """Whether a dictionary stands in an entry `function`, or among `tool_calls`."""
    for above in source.above(node):
        if isinstance(above, ast.Dict):
            keys = [one for key in above.keys if key is not None for one in source.constants(key)]
            if "tool_calls" in keys or "function" in keys:
                return True
        if isinstance(above, ast.stmt):
            return "tool_calls" in source.words(above)
    return False


@in_the_source(
    "tools-forgotten",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="After a tool's result the model knows no tools, or answers as if there were none.",
    cause="""
        The first prompt is rendered with `tools`, the one after the result without: the prompt no
        longer says which tools there are, and a cached beginning fits no more.
    """,
    fix="Pass `tools` each time.",
    example="tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)",
    how_sure="""
        Likely: only the source was read, where the same messages are rendered with tools and, after
        a result, without.
    """,
)
def tools_forgotten(source: Source) -> Iterator[Finding]:
    """The chat is rendered again without its tools."""
    if not any(role == "tool" for _, role, _ in appended(source)):
        return
    seen: dict[str, str] = {}  # the messages that were rendered with tools, and with which
    for call in source.calls:
        if name_of(call) != "apply_chat_template" or not call.args:
            continue
        messages, tools = ast.unparse(call.args[0]), keyword(call, "tools")
        if tools is not None:
            seen[messages] = source.words(tools)
        elif messages in seen and not any(each.arg is None for each in call.keywords):
            yield found(
                "tools-forgotten",
                WARNING,
                call,
                what=f"{messages} is rendered here without tools=, and was with them before.",
                why="This prompt no longer says which tools there are.",
                fix=f"{source.words(call.func)}({messages}, tools={seen[messages]}, ...)",
            )


@in_the_source(
    "tool-result-without-call",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: results are appended in the role of a tool, and no
        message of the assistant is.
    """,
)
def tool_result_without_call(source: Source) -> Iterator[Finding]:
    """A tool's result is appended, and the call that it answers is not."""
    results = [call for call, role, _ in appended(source) if role == "tool"]
    if not results or not talks(source) or _keeps_calls(source, last_name(owner_of(results[0]))):
        return
    yield found(
        "tool-result-without-call",
        WARNING,
        results[0],
        what="A tool's result is appended to the messages, and the model's call is not.",
        why="The model reads a result that it never asked for: it calls again, or is confused.",
        fix=f'{source.words(owner_of(results[0]))}.append({{"role": "assistant", '
        '"tool_calls": [...]})  # before the result',
    )


def _keeps_calls(source: Source, name: str) -> bool:
    """Tell whether anything may put the assistant's message into a list."""
    if '"assistant"' in source.text or "'assistant'" in source.text or "tool_calls" in source.text:
        return True
    for call in source.calls:
        grows = name_of(call) in ADDS and last_name(owner_of(call)) == name
        if grows and role_of(source, call.args[-1] if call.args else None) is None:
            return True
    return any(
        isinstance(node, ast.AugAssign) and last_name(node.target) == name for node in source.scopes
    )


def _pattern(source: Source, call: ast.Call) -> str | None:
    """Return the regular expression that a call of `re` gets; None for other calls."""
    if name_of(call) not in TAKES_A_PATTERN or not call.args or last_name(owner_of(call)) != "re":
        return None
    patterns = [one for one in source.constants(call.args[0]) if isinstance(one, str)]
    return patterns[0] if len(patterns) == 1 else None


@in_the_source(
    "observation-made-up",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="An agent's tool is never called, or its results are invented by the model.",
    cause="""
        The prompt shows turns of `Action:` and `Observation:`, and the model goes on with the
        pattern: after its action it writes the observation too, which only the tool can know.
    """,
    fix="Stop where the observation begins, and append the tool's own.",
    example="""
        model.generate(**inputs, stop_strings=["Observation:"], tokenizer=tokenizer)
    """,
    how_sure="""
        Likely: only the source was read, where a prompt has both words, and nothing stops there.
    """,
)
def observation_made_up(source: Source) -> Iterator[Finding]:
    """A prompt of actions and observations, and nothing that stops at the observation."""
    texts = [node.value for node in source.scopes if is_string(node)]
    shown = [one for one in texts if _REACT.search(one) and "\n" in one and "Action" in one]
    if not shown or "Stop" in source.text or re.search(r"\bstop", source.text):
        return
    if any(re.search(r"split|partition|index|find", source.words(one)) for one in _cuts(source)):
        return
    for asked in every_asked(source):
        whole = asked.is_whole and asked.kind in ("generate", "pipeline") and asked.call.args
        unpacked = asked.kind == "generate" and asked.is_whole
        if not (whole or unpacked) or "eos_token_id" in asked.given:
            continue
        yield found(
            "observation-made-up",
            WARNING,
            asked.call,
            what="The prompt shows Action: and Observation:, and nothing stops at Observation:.",
            why="The model writes the observation itself, and goes on as if a tool had said it.",
            fix=f'{asked.words}(..., stop_strings=["Observation:"], tokenizer=tokenizer)',
        )
        return


def _cuts(source: Source) -> list[ast.Call]:
    """Return the calls that cut or look for `Observation`."""
    return [
        call
        for call in source.calls
        if any("Observation" in str(one) for given in call.args for one in source.constants(given))
    ]


@in_the_source(
    "first-call-only",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="The model asks for two tools at once, and one of them is never called.",
    cause="""
        Models write several calls in one answer, each in a block of its own. `re.search` finds the
        first; the others are dropped, and stand unanswered in the history.
    """,
    fix="Go through all blocks.",
    example="""
        for call in re.findall(r"<tool_call>(.*?)</tool_call>", text, re.DOTALL):
            run(json.loads(call))
    """,
    how_sure="""
        Likely, and a note: only the source was read. Where an answer is stopped after its first
        call it is sound.
    """,
)
def first_call_only(source: Source) -> Iterator[Finding]:
    """Of several calls of tools in an answer the first is read."""
    if not talks(source) or re.search(r"\bstop|Stop|finditer|findall", source.text):
        return
    for call in source.calls:
        mark = _opens_a_call(source, call)
        if mark is None:
            continue
        yield found(
            "first-call-only",
            NOTE,
            call,
            what=f"{source.words(call)[:70]} finds one call of a tool, the first.",
            why="A model may write several in one answer: the others are never made.",
            fix='re.findall(r"<tool_call>(.*?)</tool_call>", text, re.DOTALL)',
        )
        return


def _opens_a_call(source: Source, call: ast.Call) -> str | None:
    """Return the mark of a tool's call that one search, or one split, is after."""
    if name_of(call) in ("search", "match"):
        pattern = _pattern(source, call)
        return pattern if pattern is not None and "tool_call>" in pattern else None
    if name_of(call) != "split" or not call.args:
        return None
    above = source.parents.get(call)
    first = isinstance(above, ast.Subscript) and source.constants(above.slice) == [1]
    return "<tool_call>" if first and source.constants(call.args[0]) == ["<tool_call>"] else None


@in_the_source(
    "agent-without-limit",
    subject=Subject.ENDS,
    severities=(NOTE,),
    symptom="An agent calls the same tool again and again, and the program does not end.",
    cause="""
        The loop goes on until an answer has no call in it. A model that repeats its call, or whose
        answer cannot be read, never gives one.
    """,
    fix="Count the steps, and stop at a number of them.",
    example="""
        for step in range(max_steps):
            ...
    """,
    how_sure="""
        Likely, and a note: only the source was read, where nothing but the model's words ends the
        loop.
    """,
)
def agent_without_limit(source: Source) -> Iterator[Finding]:
    """A loop of tool calls that only the model can end."""
    for loop in source.loops:
        endless = isinstance(loop, ast.While) and is_true(loop.test)
        inside = list(ast.walk(loop)) if endless else []
        calls = {name_of(node) for node in inside if isinstance(node, ast.Call)}
        counts = any(isinstance(node, ast.AugAssign) for node in inside) or "input" in calls
        words = ast.unparse(loop) if endless else ""
        tools = re.search(r"tool|Action|function_call", words)
        if not endless or counts or not tools or not calls & {"generate", "pipe", "chat", "llm"}:
            continue
        yield found(
            "agent-without-limit",
            NOTE,
            loop,
            what="The loop of tool calls ends when the model's answer has no call, and only then.",
            why="A model that repeats its call, or one that cannot be parsed, keeps it going.",
            fix="for step in range(max_steps):",
        )
        return

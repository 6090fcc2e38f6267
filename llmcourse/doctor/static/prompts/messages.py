"""Chats that a script keeps: lists that are shared, trimmed, or put together wrongly."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.messages import (
    LOOPS,
    appended,
    chats_written,
    kept_answers,
    loop_around,
    role_of,
    talks,
)
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DATA = re.compile(r"dataset|data\b|samples?\b|examples\b|problems\b|rows\b|df\.|test_?set")
_ADDS = ("append", "extend", "insert")


@in_the_source(
    "history-shared",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="A new conversation knows what was said in another, and prompts grow with each.",
    cause="""
        The list of messages is one object for all conversations: a default argument, `history=[]`,
        is made once, as is a list in a class's body, and `messages = start` is a second name for
        the same list. What is appended in one call is there in the next.
    """,
    fix="Make a new list for each conversation.",
    example="""
        def chat(text, history=None):
            history = [] if history is None else history
    """,
    how_sure="Likely: only the source was read, where the list is made once and appended to.",
)
def history_shared(source: Source) -> Iterator[Finding]:
    """Messages are appended to a list that other conversations have too."""
    if not talks(source):
        return
    shared_lists = (*_defaults(source), *_of_classes(source), *_aliases(source))
    for node, name, shared, fix in (*shared_lists, *_of_data_sets(source)):
        yield found(
            "history-shared",
            WARNING,
            node,
            what=f"{name} is {shared}, and messages are appended to it.",
            why="It is one list for all calls: a new conversation has the history of the others.",
            fix=fix,
        )


def _defaults(source: Source) -> Iterator[tuple[ast.AST, str, str, str]]:
    """Yield arguments whose default is a list that the function appends to."""
    for node in source.scopes:
        if not isinstance(node, _FUNCTIONS):
            continue
        every = [*node.args.posonlyargs, *node.args.args]
        last = every[len(every) - len(node.args.defaults) :]
        pairs = [*zip(last, node.args.defaults, strict=True)]
        pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        for argument, default in pairs:
            name = argument.arg
            if isinstance(default, ast.List) and _appends(node, name) and not _rebound(node, name):
                yield (
                    default,
                    name,
                    f"the default of an argument, {name}={source.words(default)[:40]}",
                    f"def {node.name}(..., {name}=None):  # {name} = [] if {name} is None",
                )


def _rebound(function: ast.AST, name: str) -> bool:
    """Tell whether a name gets another list in a function."""
    return any(
        isinstance(node, ast.Assign) and any(last_name(one) == name for one in node.targets)
        for node in ast.walk(function)
    )


def _appends(function: ast.AST, name: str) -> bool:
    """Tell whether messages are added to a name: a role, or a call of a model beside it."""
    return any(
        isinstance(node, ast.Call)
        and name_of(node) in _ADDS
        and ast.unparse(owner_of(node)) == name
        and ("role" in ast.unparse(node) or "history" in name or "messages" in name)
        for node in ast.walk(function)
    )


def _of_classes(source: Source) -> Iterator[tuple[ast.AST, str, str, str]]:
    """Yield lists in a class's body to which its methods append, `self.messages.append(...)`."""
    for node in source.scopes:
        if not isinstance(node, ast.ClassDef) or any("dataclass" in d for d in _words(node)):
            continue
        for one in node.body:
            if not isinstance(one, ast.Assign) or not isinstance(one.value, ast.List):
                continue
            name = f"self.{last_name(one.targets[0])}"
            body = ast.unparse(node)
            if _appends(node, name) and f"{name} = " not in body and not node.bases:
                yield (
                    one,
                    last_name(one.targets[0]),
                    f"a list of the class {node.name}, not of its objects",
                    f"{name} = []  # in __init__",
                )


def _words(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(one) for one in node.decorator_list]


def _aliases(source: Source) -> Iterator[tuple[ast.AST, str, str, str]]:
    """Yield `messages = start` in a loop or function, where start is a list made outside of it."""
    for node in source.scopes:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Name):
            continue
        name, made = last_name(node.targets[0]), source.value(node.value)
        if not name or not isinstance(made, ast.List) or not made.elts:
            continue
        if role_of(source, made.elts[0]) is None or not _is_outside(source, node, made):
            continue
        if any(
            last_name(owner_of(call)) == name and source.scopes[call] is source.scopes[node]
            for call, _, _ in appended(source)
        ):
            yield (
                node,
                name,
                f"a second name for {node.value.id}",
                f"{name} = list({node.value.id})",
            )


def _of_data_sets(source: Source) -> Iterator[tuple[ast.AST, str, str, str]]:
    """Yield lists that a loop over a data set goes on filling, questions and answers."""
    for call, role, _ in appended(source):
        loop, name = loop_around(source, call), last_name(owner_of(call))
        if role != "user" or not isinstance(loop, ast.For) or not name:
            continue
        made = source.value(owner_of(call))
        if not _DATA.search(ast.unparse(loop.iter)) or not isinstance(made, ast.List):
            continue
        changed = {ast.unparse(owner_of(one)) + name_of(one) for one in source.calls}
        emptied = {f"{name}clear", f"{name}pop"} & changed or f"del {name}" in source.text
        kept = any(
            other == "assistant" and loop_around(source, one) is loop
            for one, other, _ in appended(source)
        )
        if kept and not emptied and loop not in source.above(made):
            yield (
                call,
                name,
                f"one list for all of {ast.unparse(loop.iter)}",
                f"{name} = []  # inside the loop, for each of them",
            )
            return


def _is_outside(source: Source, node: ast.AST, made: ast.AST) -> bool:
    """Tell whether a list is made once where a statement runs often: in a function, or a loop."""
    if source.scopes.get(made) is not source.scopes[node]:
        return True
    loop = loop_around(source, node)
    return loop is not None and loop not in source.above(made)


@in_the_source(
    "system-trimmed",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="In a long chat the model forgets its instructions, all at once.",
    cause="""
        The history is cut to its last messages, and the system message is the first one: it is
        trimmed away with the oldest turns.
    """,
    fix="Keep the first message, and cut what comes after it.",
    example="messages = messages[:1] + messages[1:][-10:]",
    how_sure="""
        Likely: only the source was read, where a list that begins with a system message is cut at
        its beginning.
    """,
)
def system_trimmed(source: Source) -> Iterator[Finding]:
    """A history that begins with a system message loses its beginning."""
    chats = {
        name for name, made in chats_written(source) if role_of(source, made.elts[0]) == "system"
    }
    for node in source.scopes:
        name = _cut_at_its_beginning(source, node)
        if name not in chats or _is_put_back(source, name):
            continue
        yield found(
            "system-trimmed",
            WARNING,
            node,
            what=f"{source.words(node)[:80]} trims {name}, whose first message is the system's.",
            why="The system message goes with the oldest turns: its instructions are forgotten.",
            fix=f"{name} = {name}[:1] + {name}[1:][-10:]",
        )
        return


def _cut_at_its_beginning(source: Source, node: ast.AST) -> str:
    """Return the name of the list that a node takes the first messages off; "" for others."""
    if (
        isinstance(node, ast.Call)
        and name_of(node) == "pop"
        and source.constants(node.args[0] if node.args else None) == [0]
    ):
        return last_name(owner_of(node))
    if isinstance(node, ast.Delete):
        first = node.targets[0]
        whole = isinstance(first, ast.Subscript)
        places = ast.unparse(first.slice) if whole else ""
        return last_name(first.value) if places == "0" or places.startswith(":") else ""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
        return ""
    lower, name = node.slice.lower, last_name(node.value)
    last = isinstance(lower, ast.UnaryOp) and isinstance(lower.op, ast.USub)
    first = isinstance(lower, ast.Constant) and lower.value in (1, 2)
    last |= first and isinstance(loop_around(source, node), ast.While)
    if not last or node.slice.upper is not None or isinstance(node.ctx, ast.Del):
        return ""
    return name if _becomes_the_chat(source, node, name) else ""


def _becomes_the_chat(source: Source, node: ast.AST, name: str) -> bool:
    """Tell whether a part of a list takes its place, or is what the template gets."""
    above = source.parents.get(node)
    if isinstance(above, ast.Assign):
        if last_name(above.targets[0]) == name:
            return True
        return any(
            source.value(call.args[0]) is node
            for call in source.calls
            if name_of(call) == "apply_chat_template" and call.args
        )
    return isinstance(above, ast.Call) and name_of(above) == "apply_chat_template"


def _is_put_back(source: Source, name: str) -> bool:
    """Tell whether something is put before a list, or its first message looked at again."""
    inserts = any(
        name_of(call) == "insert" and last_name(owner_of(call)) == name for call in source.calls
    )
    joined = any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and last_name(node.right) == name
        for node in source.scopes
    )
    return inserts or joined


@in_the_source(
    "message-not-appended",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom="`TypeError: 'NoneType' object is not iterable`, or an error about `str` and `role`.",
    cause="""
        `append` changes the list and returns None, so `messages = messages.append(...)` throws the
        chat away. `+=` and `extend` take a list: of a dictionary they add its keys, the texts
        "role" and "content".
    """,
    fix="Append the message, on a line of its own.",
    example='messages.append({"role": "user", "content": text})',
    how_sure="Likely: only the source was read, where the message is a dictionary with a role.",
    explains_refusal=True,
)
def message_not_appended(source: Source) -> Iterator[Finding]:
    """A message is added to a chat in a way that spoils the list."""
    for node in source.scopes:
        said = _spoilt(source, node)
        if said is None:
            continue
        what, why, name, message = said
        yield found(
            "message-not-appended",
            ERROR,
            node,
            what=what,
            why=why,
            fix=f"{name}.append({source.words(message)[:80]})",
        )


def _spoilt(source: Source, node: ast.AST) -> tuple[str, str, str, ast.AST] | None:
    """Return what a statement does to a chat, why that is wrong, the chat and the message."""
    value = getattr(node, "value", None)
    if isinstance(node, ast.Assign | ast.Return) and _adds_a_message(source, value):
        what = f"{source.words(node)[:70]} takes what {name_of(value)} returns."
        why = "That is None: the chat is lost."
        return what, why, source.words(owner_of(value)), value.args[-1]
    if isinstance(node, ast.AugAssign) and role_of(source, value) is not None:
        name = source.words(node.target)
        return f"{name} += takes a dictionary for a list.", _KEYS, name, value
    extends = isinstance(node, ast.Call) and name_of(node) == "extend" and len(node.args) == 1
    if extends and role_of(source, node.args[0]) is not None:
        name = source.words(owner_of(node))
        return f"{name}.extend takes a dictionary for a list.", _KEYS, name, node.args[0]
    adds = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
    adds = adds and not isinstance(source.parents.get(node), ast.AugAssign)  # that is seen above
    if adds and isinstance(node.right, ast.Dict) and role_of(source, node.right) is not None:
        name = source.words(node.left)
        return f"{name} + takes a dictionary for a list.", _REFUSED, name, node.right
    return None


def _adds_a_message(source: Source, value: ast.AST | None) -> bool:
    """Tell whether an expression is a call that adds a message to a list, and returns None."""
    if not isinstance(value, ast.Call) or name_of(value) not in _ADDS or not value.args:
        return False
    return isinstance(value.func, ast.Attribute) and _has_role(source, value.args[-1])


_REFUSED = "A list and a dictionary cannot be added: a TypeError."


_KEYS = 'It adds the keys, "role" and "content", as two texts, and not the message.'


def _has_role(source: Source, node: ast.AST) -> bool:
    value = source.value(node)
    inner = value.elts if isinstance(value, ast.List) else [value]
    return any(role_of(source, one) is not None for one in inner)


@in_the_source(
    "answer-as-user",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The model answers itself, or takes what it said for the user's words.",
    cause="""
        The decoded answer is appended in the role of the user. The model reads that somebody else
        said it, and two messages of the user follow each other.
    """,
    fix="Keep answers in the role of the assistant.",
    example='messages.append({"role": "assistant", "content": answer})',
    how_sure="""
        Likely: only the source was read, where decoded text goes into a user's message and none
        into an assistant's. Two models that talk to each other may be built so.
    """,
)
def answer_as_user(source: Source) -> Iterator[Finding]:
    """A decoded answer is kept as the user's message."""
    roles = [role_of(source, node) for node in source.scopes if isinstance(node, ast.Dict)]
    if "assistant" in roles or "model" in roles or _several_models(source):
        return
    for call, _ in kept_answers(source, "user"):
        yield found(
            "answer-as-user",
            WARNING,
            call,
            what='What the model wrote is appended with the role "user".',
            why="The model reads its own answer as if the user had said it.",
            fix=f'{source.words(call.func)}({{"role": "assistant", "content": answer}})',
        )
        return


def _several_models(source: Source) -> bool:
    loads = [call for call in source.calls if name_of(call) == "from_pretrained"]
    return sum("Model" in ast.unparse(call.func) for call in loads) > 1


@in_the_source(
    "rendered-in-pieces",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the template gets a list of one message of a loop
        and what it writes is joined. Some templates have nothing at their beginning.
    """,
)
def rendered_in_pieces(source: Source) -> Iterator[Finding]:
    """The template is applied message by message, and the pieces are joined."""
    for call in source.calls:
        given = call.args[0] if call.args else keyword(call, "conversation")
        if name_of(call) != "apply_chat_template" or not isinstance(given, ast.List):
            continue
        loop = _loop_of(source, given.elts[0]) if len(given.elts) == 1 else None
        if loop is None or not _is_joined(source, call, loop):
            continue
        yield found(
            "rendered-in-pieces",
            WARNING,
            call,
            what=f"The chat template is applied to one message at a time, "
            f"{source.words(given)}, and the pieces are joined.",
            why="Each piece may bring a begin token and a default system message of its own.",
            fix=f"{source.words(call.func)}({source.words(loop.iter)}, add_generation_prompt=True)",
        )
        return


def _loop_of(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the loop whose variable a node is."""
    if not isinstance(node, ast.Name):
        return None
    for above in source.above(node):
        loops = [above] if isinstance(above, ast.For) else getattr(above, "generators", [])
        for loop in loops:
            if any(part.id == node.id for part in ast.walk(loop.target) if _is_name(part)):
                return loop
    return None


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


def _is_joined(source: Source, call: ast.Call, loop: ast.AST) -> bool:
    """Tell whether what a call in a loop returns is added to one text, or one row of ids."""
    for above in source.above(call):
        if isinstance(above, ast.AugAssign):
            return True
        if isinstance(above, ast.Call) and name_of(above) == "extend":
            return True
        if isinstance(above, ast.Call) and name_of(above) == "join":
            return True
        if isinstance(above, ast.Assign):
            return _is_added(loop, last_name(above.targets[0]))
        if isinstance(above, LOOPS):
            return False
    return False


def _is_added(loop: ast.AST, name: str) -> bool:
    """Tell whether a name is added to something in a loop, `text += piece`."""
    for node in ast.walk(loop):
        if isinstance(node, ast.AugAssign) and name in ast.unparse(node.value):
            return True
        if isinstance(node, ast.Call) and name_of(node) == "extend":
            return name in ast.unparse(node)
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
        grows = name_of(call) in _ADDS and last_name(owner_of(call)) == name
        if grows and role_of(source, call.args[-1] if call.args else None) is None:
            return True
    return any(
        isinstance(node, ast.AugAssign) and last_name(node.target) == name for node in source.scopes
    )


@in_the_source(
    "message-unpacked",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom='The prompt says "role" and "content", and nothing that anybody said.',
    cause="""
        A message is a dictionary, and `for role, content in messages` unpacks its keys: the two
        names stand for the texts "role" and "content". With pairs, as older chat interfaces keep
        them, the same loop is right.
    """,
    fix="Read the entries by name.",
    example="""
        for message in messages:
            role, content = message["role"], message["content"]
    """,
    how_sure="Likely: only the source was read, where the list of messages is seen.",
)
def message_unpacked(source: Source) -> Iterator[Finding]:
    """A loop unpacks messages as if they were pairs."""
    chats = {name for name, _ in chats_written(source)} | {
        last_name(owner_of(call)) for call, _, _ in appended(source)
    }
    for node in source.scopes:
        if not isinstance(node, ast.For | ast.comprehension):
            continue
        pair = isinstance(node.target, ast.Tuple) and len(node.target.elts) == 2
        name = last_name(node.iter)
        if not pair or name not in chats or not name:
            continue
        whole = source.value(node.iter)
        if isinstance(whole, ast.List) and any(
            not isinstance(source.value(one), ast.Dict) for one in whole.elts
        ):
            continue
        words = source.words(node.target).strip("()")
        yield found(
            "message-unpacked",
            ERROR,
            node.target,
            what=f"for {words} in {name} unpacks the keys of each message.",
            why=f'{words} are the texts "role" and "content": what was said is not read.',
            fix=f'for message in {name}: message["role"], message["content"]',
        )
        return

"""A conversation from turn to turn: what is kept of it, passed on, shared and trimmed."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.functions import defaults_of
from llmcourse.doctor.static.reading.messages import (
    ADDS,
    LOOPS,
    appended,
    chats_written,
    kept_answers,
    loop_around,
    role_of,
    talks,
)
from llmcourse.doctor.static.reading.pipelines import generated_texts
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_HISTORY = re.compile(r"^(chat_|conversation_|message_)?history$")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DATA = re.compile(r"dataset|data\b|samples?\b|examples\b|problems\b|rows\b|df\.|test_?set")


@in_the_source(
    "answers-not-kept",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: in a loop, or a function that is called for each
        turn, the user's messages are appended to a list, and nothing else is.
    """,
)
def answers_not_kept(source: Source) -> Iterator[Finding]:
    """A loop, or a function, that appends what the user says, and never an answer."""
    if re.search(r"['\"](assistant|model|ai)['\"]", source.text):
        return
    for call, role, _ in appended(source):
        turn, name = _turn_around(source, call), last_name(owner_of(call))
        if role != "user" or turn is None or not name or _rebound(turn, name):
            continue
        if _changed_otherwise(source, name, call) or not _is_asked(source, turn):
            continue
        yield found(
            "answers-not-kept",
            WARNING,
            call,
            what=f"Each turn appends its question to {name}, and no answer.",
            why="The model reads all questions as asked at once, and answers them again.",
            fix=f'{name}.append({{"role": "assistant", "content": answer}})',
        )
        return


def _turn_around(source: Source, call: ast.Call) -> ast.AST | None:
    """Return what runs for each turn of a chat: a loop, or a function whose list is outside."""
    loop = loop_around(source, call)
    scope, owner = source.scopes[call], owner_of(call)
    if loop is not None or scope is source.module:
        return loop
    if isinstance(owner, ast.Attribute):
        return scope.node if getattr(scope.node, "name", "") != "__init__" else None
    made = source.module.bound.get(last_name(owner), [None])
    own = [one for one in scope.bound.get(last_name(owner), ()) if one is not None]
    argument = last_name(owner) in [one.arg for one in ast.walk(scope.node.args) if _is_arg(one)]
    outside = len(made) == 1 and isinstance(made[0], ast.List)
    return scope.node if outside and not own and not argument else None


def _is_arg(node: ast.AST) -> bool:
    return isinstance(node, ast.arg)


def _changed_otherwise(source: Source, name: str, but: ast.Call) -> bool:
    """Whether a list is changed, or handed to a function, anywhere else."""
    others = ("append", "extend", "insert", "pop", "clear", "remove")
    for call in source.calls:
        if call is but:
            continue
        if name_of(call) in others and last_name(owner_of(call)) == name:
            return True
    return any(
        isinstance(node, ast.AugAssign | ast.Delete) and name in ast.unparse(node)
        for node in source.scopes
    )


def _is_asked(source: Source, loop: ast.AST) -> bool:
    """Whether a loop asks a model."""
    asks = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any(name_of(call) == "generate" for call in asks) or any(
        name_of(call) == "apply_chat_template" for call in asks
    )


@in_the_source(
    "history-not-passed",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read: a function that answers is given the history, and
        does not read it. A note where a loop that goes on asking makes its messages anew each time:
        questions that do not hang together may be asked so.
    """,
)
def history_not_passed(source: Source) -> Iterator[Finding]:
    """A dialogue whose messages begin anew each turn, or whose history nobody reads."""
    yield from _histories_unread(source)
    for call in source.calls:
        if not _gets_messages(source, call):
            continue
        loop = loop_around(source, call)
        if not isinstance(loop, ast.While):
            continue
        asks = any(name_of(node) == "input" for node in ast.walk(loop))
        messages = source.value(call.args[0])
        if not asks or not isinstance(messages, ast.List) or not messages.elts:
            continue
        if loop is not loop_around(source, messages):
            continue
        roles = [role_of(source, one) for one in messages.elts]
        if not roles or None in roles or "assistant" in roles:
            continue
        yield found(
            "history-not-passed",
            NOTE,
            call,
            what="Each turn of the loop makes a chat of the last question alone.",
            why="The model remembers nothing of earlier calls.",
            fix="messages += [...]  # one list, made before the loop: questions and answers",
        )
        return


def _gets_messages(source: Source, call: ast.Call) -> bool:
    """Whether a call renders a chat, or is a pipeline's."""
    piped = source.pipeline(call.func) is not None
    return bool(call.args) and (name_of(call) == "apply_chat_template" or piped)


def _histories_unread(source: Source) -> Iterator[Finding]:
    """Yield functions that answer a message, get the history too, and never read it."""
    for node in source.scopes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.decorator_list:
            continue
        names = [one.arg for one in node.args.args if _HISTORY.search(one.arg)]
        inside = [part for statement in node.body for part in ast.walk(statement)]
        read = {part.id for part in inside if isinstance(part, ast.Name)}
        unread = [name for name in names if name not in read and "locals" not in read]
        if not unread or len(node.args.args) < 2 or not _is_asked(source, node):
            continue
        yield found(
            "history-not-passed",
            WARNING,
            node,
            what=f"{node.name} is given {unread[0]}, and does not read it.",
            why="The prompt has the last message alone: the model forgets what was said before.",
            fix=f'messages = [*{unread[0]}, {{"role": "user", "content": message}}]',
        )


@in_the_source(
    "message-twice",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the system message is appended inside a loop, or a
        function, to a list that was made outside of it.
    """,
)
def message_twice(source: Source) -> Iterator[Finding]:
    """A system message that each turn appends."""
    for call, role, _ in appended(source):
        turn, name = _turn_around(source, call), last_name(owner_of(call))
        if role != "system" or turn is None or not name or _rebound(turn, name):
            continue
        if not isinstance(turn, LOOPS) and not _is_asked(source, turn):
            continue
        if any(isinstance(one, ast.If) for one in source.above(call)):
            continue
        if any(
            name_of(other) == "clear" and last_name(owner_of(other)) == name
            for other in source.calls
        ):
            continue
        yield found(
            "message-twice",
            WARNING,
            call,
            what=f"Each turn appends the system message to {name} again.",
            why="The chat has it as often as there are turns.",
            fix=f'{name} = [{{"role": "system", "content": system}}]  # before the loop',
        )
        return


@in_the_source(
    "prompt-in-history",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: what is appended is decoded from a whole row.
    """,
)
def prompt_in_history(source: Source) -> Iterator[Finding]:
    """A whole row of the output, decoded and appended as an answer, or to the next prompt."""
    yield from _prompts_doubled(source)
    for call, decode in kept_answers(source, "assistant"):
        if decode.args and source.is_output_row(decode.args[0]):
            yield found(
                "prompt-in-history",
                WARNING,
                call,
                what="The answer that is appended is decoded from the whole row, prompt and all.",
                why="The next prompt has the chat twice, the second time as the model's words.",
                fix="tokenizer.decode(out[0, prompt_length:], skip_special_tokens=True)",
            )
            return


def _prompts_doubled(source: Source) -> Iterator[Finding]:
    """Yield `prompt += ...` with a text that begins with the prompt."""
    for node in source.scopes:
        if not isinstance(node, ast.AugAssign) or not isinstance(node.target, ast.Name):
            continue
        parts = [node.value]
        while isinstance(parts[-1], ast.BinOp):
            parts[-1:] = [parts[-1].right, parts[-1].left]
        prompt = node.target.id
        if not any(_brings_its_prompt(source, part, prompt) for part in parts):
            continue
        yield found(
            "prompt-in-history",
            WARNING,
            node,
            what=f"{source.words(node)[:70]} appends the whole text, prompt and all, to the "
            "prompt.",
            why="The next prompt has the conversation twice, and then four times.",
            fix=f"{prompt} += answer  # decoded from the new tokens alone",
        )


def _brings_its_prompt(source: Source, node: ast.AST, prompt: str) -> bool:
    """Whether a text is a whole row, decoded, or a pipeline's text, of a prompt of this name."""
    value = source.value(node)
    if source.is_decode(value) and source.is_output_row(value.args[0]):
        read = source.tokenized
        return any(last_name(one) == prompt for one in read)
    for text, call in generated_texts(source):
        if text is value and call.args and last_name(call.args[0]) == prompt:
            told = [one for one in (call, source.pipeline(call.func)) if one is not None]
            return all(keyword(one, "return_full_text") is None for one in told)
    return False


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
        for name, default in defaults_of(node).items():
            if isinstance(default, ast.List) and _appends(node, name) and not _rebound(node, name):
                yield (
                    default,
                    name,
                    f"the default of an argument, {name}={source.words(default)[:40]}",
                    f"def {node.name}(..., {name}=None):  # {name} = [] if {name} is None",
                )


def _rebound(inside: ast.AST, name: str) -> bool:
    """Tell whether a name gets another value inside a loop or a function."""
    return any(
        isinstance(node, ast.Assign) and any(last_name(one) == name for one in node.targets)
        for node in ast.walk(inside)
    )


def _appends(function: ast.AST, name: str) -> bool:
    """Tell whether messages are added to a name: a role, or a call of a model beside it."""
    return any(
        name_of(node) in ADDS
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
    if name_of(node) == "pop" and source.constants(node.args[0] if node.args else None) == [0]:
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
    return name_of(above) == "apply_chat_template"


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

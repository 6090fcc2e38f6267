"""Messages as a script writes them: dictionaries with a role, and what is appended to a chat."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of

LOOPS = (ast.For, ast.While, ast.AsyncFor)
ADDS = ("append", "extend", "insert")


def entry_of(source: Source, node: ast.AST | None, name: str) -> ast.AST | None:
    """Return an entry of a message that is written as a dictionary; None where it has none."""
    message = source.value(node) if node is not None else None
    if not isinstance(message, ast.Dict):
        return None
    pairs = zip(message.keys, message.values, strict=True)
    named = [one for key, one in pairs if key is not None and source.constants(key) == [name]]
    return named[0] if named else None


def role_of(source: Source, node: ast.AST | None) -> str | None:
    """Return the role of a message that is written as a dictionary."""
    role = entry_of(source, node, "role")
    roles = source.constants(role) if role is not None else []
    return roles[0] if len(roles) == 1 and isinstance(roles[0], str) else None


def content_of(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the content of a message that is written as a dictionary."""
    return entry_of(source, node, "content")


def appended(source: Source) -> list[tuple[ast.Call, str, ast.AST]]:
    """Return each `messages.append({...})`, with the role and the message."""
    made = []
    for call in source.calls:
        if name_of(call) == "append" and len(call.args) == 1:
            role = role_of(source, call.args[0])
            if role is not None:
                made.append((call, role, call.args[0]))
    return made


def kept_answers(source: Source, kept_as: str) -> Iterator[tuple[ast.Call, ast.Call]]:
    """Yield what is appended in a role, and the call that decoded it."""
    for call, role, message in appended(source):
        content = content_of(source, message) if role == kept_as else None
        value = source.value(content) if content is not None else None
        while name_of(value) in ("strip", "lstrip", "rstrip"):
            value = source.value(owner_of(value))
        if isinstance(value, ast.Subscript):
            value = source.value(value.value)
        named = name_of(value) in ("decode", "batch_decode")
        if named and source.is_tokenizer(owner_of(value)):
            yield call, value


def chats_written(source: Source) -> Iterator[tuple[str, ast.List]]:
    """Yield each list of messages that a name, or an attribute, is given, with that name."""
    for node in source.scopes:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.List):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        first = node.value.elts[0] if node.value.elts else None
        if last_name(targets[0]) and role_of(source, first) is not None:
            yield last_name(targets[0]), node.value


def loop_around(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the innermost loop around a node in its function."""
    return next((one for one in source.above(node) if isinstance(one, LOOPS)), None)


def talks(source: Source) -> bool:
    """Tell whether a source asks a model for text anywhere."""
    asks = ("generate", "pipeline", "apply_chat_template")
    return any(name_of(call) in asks for call in source.calls)

"""One message of a chat: its form, its role, its text, and how it gets into the list."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.messages import (
    ADDS,
    appended,
    chats_written,
    content_of,
    kept_answers,
    role_of,
)
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

# Roles of other libraries and data sets, and what templates call them.
_ROLES_ELSEWHERE = {
    **{name: "user" for name in ("human", "Human", "User", "USER", "question", "customer")},
    **{name: "assistant" for name in ("bot", "ai", "AI", "Assistant", "gpt", "chatbot", "answer")},
    **{name: "system" for name in ("System", "SYSTEM", "instruction")},
}


@in_the_source(
    "control-token-in-message",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: what is appended was decoded with its special tokens.
    """,
)
def control_token_in_message(source: Source) -> Iterator[Finding]:
    """An answer that is decoded with its special tokens, and kept so."""
    for call, decode in kept_answers(source, "assistant"):
        skips = keyword(decode, "skip_special_tokens")
        unpacked = any(each.arg is None for each in decode.keywords)
        if unpacked or len(decode.args) > 1 or not (skips is None or is_false(skips)):
            continue
        yield found(
            "control-token-in-message",
            WARNING,
            call,
            what="The answer that is appended was decoded with its special tokens.",
            why="Its end is in what it says, and the template writes another one after it.",
            fix=f"{source.words(decode.func)}(..., skip_special_tokens=True)",
        )
        return


@in_the_source(
    "content-not-text",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a comma makes the content of a message a tuple.
    """,
)
def content_not_text(source: Source) -> Iterator[Finding]:
    """A content that is a tuple."""
    for node in source.scopes:
        content = content_of(source, node) if role_of(source, node) is not None else None
        if content is None or not isinstance(source.value(content), ast.Tuple):
            continue
        yield found(
            "content-not-text",
            WARNING,
            content,
            what="The content of a message is a tuple: there is a comma after it.",
            why="A template for texts fails with it, or writes it as Python spells it.",
            fix='{"role": "user", "content": text}  # a string',
        )
        return


@in_the_source(
    "unknown-role",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the role is one of other libraries, and goes into
        `apply_chat_template`.
    """,
)
def unknown_role(source: Source) -> Iterator[Finding]:
    """A role that templates do not know."""
    if not any(name_of(call) == "apply_chat_template" for call in source.calls):
        return
    for node in source.scopes:
        role = role_of(source, node) if isinstance(node, ast.Dict) else None
        if role not in _ROLES_ELSEWHERE or content_of(source, node) is None:
            continue
        yield found(
            "unknown-role",
            WARNING,
            node,
            what=f"A message has the role {role!r}, which chat templates do not know.",
            why="The template refuses it, leaves it out, or writes a header that the model has "
            "never read.",
            fix=f'{{"role": "{_ROLES_ELSEWHERE[role]}", "content": ...}}',
        )
        return


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
    extends = name_of(node) == "extend" and len(node.args) == 1
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
    if name_of(value) not in ADDS or not value.args:
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
    severities=(WARNING,),
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

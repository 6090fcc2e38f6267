"""Pitfalls in the messages of a chat: what a template leaves out, misreads or writes twice."""

import re
from collections.abc import Iterator

from llmcourse.doctor.case import Case, Chat
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.messages import ON_CHATS, again, by, said_in, short, source_of
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.template_marks import squeezed

_WORD = "Qmarkq"  # a word that no template writes by itself
_AN_ANSWER = 4  # characters without spaces; a shorter one may be there by chance
_ROLES = ("system", "user", "assistant")  # those that every template means
_OTHER_NAMES = {
    "ai bot chatbot gpt llm model response answer": "assistant",
    "human me customer person question instruction input": "user",
    "developer prompt": "system",
    "function ipython observation": "tool",
}
# Headers of other formats that stand for a turn wherever they are.
_FOREIGN = ("[INST]", "<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|user|>")
_SPEAKER = re.compile(r"^\W{0,4}(\w+)\W{0,2}\s*:\W{0,3}(.*)$")
_ASKING = ("user", "human", "me", "customer", "student", "person", "you")
_ANSWERING = ("assistant", "ai", "bot", "chatbot", "model", "gpt", "agent")


@pitfall(
    "message-dropped",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    needs=ON_CHATS,
    symptom="The model answers as if a part of the conversation had never been said.",
    cause="""
        A template writes the roles and keys that it knows. What stands under another role ("bot",
        "function") or another key ("text", "value") it may pass over without a word.
    """,
    fix="""
        Use the roles that the template knows, and `content` for what is said; look at the rendered
        text.
    """,
    example="""
        messages.append({"role": "assistant", "content": answer})
        print(tokenizer.apply_chat_template(messages, tokenize=False))
    """,
    how_sure="""
        Certain: with another word in the message's place, the template writes the same text. For a
        system message at the beginning see [system-dropped](#system-dropped).
    """,
)
def message_dropped(case: Case) -> Iterator[Finding]:
    """The template leaves out what a message says."""
    for chat in case.chats:
        for place, message in enumerate(chat.messages):
            first_of_system = place == 0 and message.get("role") == "system"
            key = _key_of_words(message)
            if key is None or (first_of_system and key == "content"):
                continue
            if squeezed(message[key]) in chat.squeezed or not _is_dropped(case, chat, place, key):
                continue
            role = message.get("role")
            wrong_key = key != "content"
            yield Finding(
                code="message-dropped",
                severity=ERROR,
                confidence=CERTAIN,
                what=(
                    f"The chat template leaves out message {place}, of role {role!r}: "
                    f"{short(message[key])}."
                    if not wrong_key
                    else f"Message {place} has its words under {key!r}, which the chat template "
                    f"does not write: {short(message[key])}."
                ),
                why="The model never reads it.",
                fix=(
                    f'messages[{place}]["content"] = messages[{place}].pop({key!r})'
                    if wrong_key
                    else f'messages[{place}]["role"] = {_likely_role(role)!r}'
                ),
            )
            return


def _key_of_words(message) -> str | None:
    """Return the key of what a message says; None where it calls tools, or says nothing."""
    if message.get("tool_calls") or message.get("function_call"):
        return None
    if isinstance(message.get("content"), str):
        return "content" if len(squeezed(message["content"])) > 1 else None
    if message.get("content") is not None:
        return None
    others = [
        key
        for key, value in message.items()
        if isinstance(value, str) and key in ("text", "value", "message", "body", "prompt", "msg")
    ]
    return others[0] if others else None


def _is_dropped(case: Case, chat: Chat, place: int, key: str) -> bool:
    changed = [*chat.messages]
    changed[place] = {**chat.messages[place], key: _WORD}
    text = again(case, chat, changed)
    return text is not None and _WORD not in text


def _likely_role(role) -> str:
    """Return the role that is meant by a name that a template does not know."""
    name = str(role).lower()
    if name in _ROLES:
        return name
    return next((meant for names, meant in _OTHER_NAMES.items() if name in names.split()), "user")


@pitfall(
    "unknown-role",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    needs=ON_CHATS,
    symptom="The model answers its own words, or goes on in the role of somebody else.",
    cause="""
        A template that writes whatever role it is given makes headers that the model never read in
        training: "bot" is not "assistant" to it, and "User" is not "user".
    """,
    fix='Say "system", "user" and "assistant"; other roles where the template names them.',
    example='messages.append({"role": "assistant", "content": answer})',
    how_sure="""
        Likely: the template's source does not name the role, and writes it into the prompt. A note
        for "tool", which some models know though their template does not say so.
    """,
)
def unknown_role(case: Case) -> Iterator[Finding]:
    """A role that the template does not name, and writes all the same."""
    for chat in case.chats:
        for place, message in enumerate(chat.messages):
            role = message.get("role")
            if not isinstance(role, str) or role in _ROLES:
                continue
            source = source_of(case, chat)
            if (
                not source
                or re.search(rf"['\"]{re.escape(role)}['\"]", source)
                or role not in chat.text
            ):
                continue
            changed = [*chat.messages]
            changed[place] = {**message, "role": _likely_role(role)}
            if again(case, chat, changed) == chat.text:
                continue
            yield Finding(
                code="unknown-role",
                severity=NOTE if role == "tool" else WARNING,
                confidence=LIKELY,
                what=f"Message {place} has the role {short(role)}, which its template lacks.",
                why="Its header is one that the model was not trained on.",
                fix=f'messages[{place}]["role"] = {_likely_role(role)!r}',
            )
            return


@pitfall(
    "content-not-text",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    needs=(*ON_CHATS, Needs.FAILED),
    explains_refusal=True,
    symptom="""
        The model speaks of brackets, quotes or 'type': 'text'; or the template fails with a
        TypeError.
    """,
    cause="""
        A template for texts writes a list, a tuple or a dictionary as Python spells it, or fails
        where it puts texts together. Lists of
        blocks are for templates that go through them, mostly those of models that see images.
    """,
    fix="Pass the text itself.",
    example='messages = [{"role": "user", "content": "Name three rivers."}]',
    how_sure="""
        Certain: Python's spelling of the content stands in the prompt, or the template fails with
        it and not with a text in its place.
    """,
)
def content_not_text(case: Case) -> Iterator[Finding]:
    """A content that is no text: written as Python spells it, or refused."""
    if case.refusal is not None and case.messages is not None:
        chat = Chat(case.messages, text="", options={})
        place = _refused_content(case, chat)
        if place is not None:
            content = case.messages[place]["content"]
            yield Finding(
                code="content-not-text",
                severity=ERROR,
                confidence=CERTAIN,
                what=(
                    f"The content of message {place} is a {type(content).__name__}, "
                    f"{short(content)}, and the chat template takes texts alone."
                ),
                why="It puts texts together, and fails with anything else: there is no prompt.",
                fix=f'messages[{place}]["content"] = text  # a string',
            )
            return
    for chat in case.chats:
        for place, message in enumerate(chat.messages):
            content = message.get("content")
            if not isinstance(content, list | tuple | dict | set | bytes) or not content:
                continue
            spelt = {squeezed(str(content))}
            spelt |= {squeezed(str(list(content)))} if isinstance(content, tuple) else set()
            if not any(one in chat.squeezed for one in spelt):
                continue
            kind = type(content).__name__
            words = said_in(message)
            inner = f": {short(words)}" if words else ""
            yield Finding(
                code="content-not-text",
                severity=ERROR,
                confidence=CERTAIN,
                what=(
                    f"The content of message {place} is a {kind}, and the template writes it as "
                    f"Python does, {short(content)}."
                ),
                why="The model reads the brackets and quotes as what was said.",
                fix=f'messages[{place}]["content"] = text  # a string{inner}',
            )
            return


def _refused_content(case: Case, chat: Chat) -> int | None:
    """Return which message's content makes the template fail, since it is no text."""
    wrong = [
        place
        for place, message in enumerate(chat.messages)
        if isinstance(message.get("content"), list | tuple | dict | set | bytes)
    ]
    as_texts = [
        {**message, "content": _WORD} if place in wrong else message
        for place, message in enumerate(chat.messages)
    ]
    if not wrong or again(case, chat, as_texts) is None:
        return None
    return wrong[0] if again(case, chat, chat.messages) is None else None


@pitfall(
    "control-token-in-message",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="""
        Turns that nobody wrote: a reader's words open another role, or answers end twice.
    """,
    cause="""
        `<|im_end|>`, `</s>` and the like inside what a message says are read as the tokens that end
        or open turns. They come with answers that were decoded with their special tokens, with
        texts that a template has already been through, or from somebody who means to.
    """,
    fix="""
        Decode answers with `skip_special_tokens=True`; render what strangers write with
        `sanitize_control_tokens=True`.
    """,
    example="""
        answer = tokenizer.decode(new_ids, skip_special_tokens=True)
        inputs = tokenizer.apply_chat_template(messages, sanitize_control_tokens=True, ...)
    """,
    how_sure="Certain: the mark is a special token of this tokenizer, and its template's.",
)
def control_token_in_message(case: Case) -> Iterator[Finding]:
    """A special token of the template inside what a message says."""
    if case.template is None:
        return
    marks = None
    for chat in case.chats:
        for place, message in enumerate(chat.messages):
            said = said_in(message)
            if chat.sanitized or not re.search(r"[<\[|]", said):
                continue
            marks = _control_tokens(case) if marks is None else marks
            inside = next((mark for mark in marks if mark in said), None)
            if inside is None:
                continue
            answer = message.get("role") == "assistant"
            yield Finding(
                code="control-token-in-message",
                severity=WARNING,
                confidence=CERTAIN,
                what=(
                    f"Message {place}, of role {message.get('role')!r}, has {short(inside)} in "
                    "what it says, which is read as the token that ends or opens a turn."
                ),
                why=(
                    "The answer was kept with its special tokens, and the template writes its own "
                    "besides."
                    if answer
                    else "Whoever wrote the message has written turns of others, too."
                ),
                fix=(
                    "answer = tokenizer.decode(new_ids, skip_special_tokens=True)"
                    if answer
                    else "tokenizer.apply_chat_template(messages, sanitize_control_tokens=True)"
                ),
            )
            return


def _control_tokens(case: Case) -> list[str]:
    """Return the special tokens that a template writes around turns, and those of texts."""
    tokenizer = case.tokenizer
    turns = "".join(vars(case.template).values())
    named = (tokenizer.bos_token, tokenizer.eos_token)
    return [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special and (token.content in turns or token.content in named)
    ]


@pitfall(
    "dialogue-in-message",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="The model writes both sides of the dialogue, or answers about it instead of in it.",
    cause="""
        A whole dialogue stands in one message, as text: "User: ... Assistant: ...", or in the marks
        of another format. To the model it is one thing that the user said.
    """,
    fix="Make a message of each turn.",
    example="""
        messages = [
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello! What can I do?"},
            {"role": "user", "content": "Name three rivers."},
        ]
    """,
    how_sure="""
        Likely: it is read from the names before colons, from marks of known formats, or from the
        last call: the message begins with what was asked there and what was answered, and goes on.
    """,
)
def dialogue_in_message(case: Case) -> Iterator[Finding]:
    """A dialogue flattened into what one message says."""
    for chat in case.chats:
        own = None
        for place, message in enumerate(chat.messages):
            if message.get("role") == "assistant":
                continue
            said = said_in(message)
            mark = next((mark for mark in _FOREIGN if mark in said), None)
            if mark is not None:
                own = set(_control_tokens(case)) if own is None and case.template else own or set()
            written = mark if mark is not None and mark not in own else speakers(said)
            written = written or _answer_inside(said, case.answers)
            if not written:
                continue
            yield Finding(
                code="dialogue-in-message",
                severity=WARNING,
                confidence=LIKELY,
                what=(
                    f"Message {place} holds turns of a dialogue as text: {short(written)} in "
                    f"{short(said)}."
                ),
                why="The template frames all of it as one turn; the turns inside are plain words.",
                fix=(
                    'messages = [{"role": "user", "content": ...}, {"role": "assistant", '
                    '"content": ...}, ...]  # a message for each turn'
                ),
            )
            return


def _answer_inside(said: str, answers: list[tuple[list, str]]) -> str | None:
    """Return an earlier answer that a message repeats after its question, before more is said."""
    tight = squeezed(said)
    for earlier, text in reversed(answers):
        asked, answered = squeezed(said_in(earlier[-1])), squeezed(text)
        begins = bool(asked) and len(answered) >= _AN_ANSWER and tight.startswith(asked + answered)
        if begins and len(tight) >= len(asked + answered) + _AN_ANSWER:
            return text
    return None


def speakers(text: str) -> str | None:
    """Return the name before the last turn of a text that is a dialogue; None if it is none.

    Such a text ends with an open turn of the one who answers, after one of somebody who asks; or it
    begins with a turn, and both have one and it ends with a question again.
    """
    turns = [
        (match.group(1), bool(match.group(2).strip()), number == 0)
        for number, line in enumerate(text.strip().splitlines())
        if (match := _SPEAKER.match(line.strip()))
        and match.group(1).lower() in (*_ASKING, *_ANSWERING)
    ]
    if len(turns) < 2:
        return None
    asks = [name.lower() in _ASKING for name, _, _ in turns]
    last, has_words, _ = turns[-1]
    ends_here = (
        text.rstrip().splitlines()[-1].strip().lower().lstrip("#*<[ ").startswith(last.lower())
    )
    if not asks[-1] and not has_words and ends_here and any(asks):
        return last
    begins, alternates = turns[0][2], not all(asks) and asks[-1] and len(turns) > 2
    return last if begins and alternates else None


@pitfall(
    "no-user-message",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="The model greets, asks what it can do, or answers something that nobody asked.",
    cause="""
        The question stands in a system message, or nothing does: a chat model answers the last
        message of a user, and there is none, or it is empty.
    """,
    fix="Put what is asked into a message of the user.",
    example='messages = [{"role": "user", "content": question}]',
    how_sure="""
        Certain that no message of a user says anything; that this was not meant is inferred.
    """,
)
def no_user_message(case: Case) -> Iterator[Finding]:
    """Nothing that a user says, or nothing in the last message."""
    for chat in case.chats:
        asked = by(chat.messages, "user")
        last = chat.messages[-1]
        roles = {message.get("role") for message in chat.messages}
        if not asked and roles <= {"system", "developer"}:
            what = (
                f"The chat has no message of a user: all is said by {chat.messages[0]['role']!r}."
            )
        elif last.get("role") == "user" and _says_nothing(last):
            what = f"The last message, of the user, is empty: {short(last.get('content'))}."
        else:
            continue
        yield Finding(
            code="no-user-message",
            severity=WARNING,
            confidence=CERTAIN,
            what=what,
            why="A chat model answers what a user says last, and here nobody asks anything.",
            fix='messages.append({"role": "user", "content": question})',
        )
        return


def _says_nothing(message) -> bool:
    """Whether a message has neither words nor anything else, such as an image."""
    content = message.get("content")
    if isinstance(content, list | tuple):
        return not content
    others = [key for key in message if key not in ("role", "content", "name", "id")]
    return not others and (content is None or (isinstance(content, str) and not content.strip()))

"""Pitfalls in what a chat template is given besides messages, and in the marks that it writes."""

import difflib
import inspect
import json
import re
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.messages import ON_CHATS, again, said_in, short, source_of
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.template_marks import squeezed
from llmcourse.show import printable

_KNOWN = set(inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters)
_A_MESSAGE = 30  # characters: a beginning so long is more than a token and a header
_THINKING = re.compile(r"think|reason", re.IGNORECASE)
# Marks that are tokens in every model that was trained with them; `<|user|>` and `[INST]` are plain
# text in some.
_TOKENS = re.compile(
    r"<\|(?:im_start|im_end|start_header_id|end_header_id|eot_id|begin_of_text|turn|end|endoftext"
    r"|end_of_text|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN)\|?>|<(?:start|end)_of_turn>"
)


@pitfall(
    "documents-dropped",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    needs=(Needs.TEMPLATE_CALLS,),
    symptom="The model answers from what it learned, or says that it has no documents.",
    cause="""
        Few templates write `documents`; the others leave them out, and `apply_chat_template` says
        nothing.
    """,
    fix="Put the documents into a message.",
    example=r"""
        context = "\n\n".join(f"{one['title']}\n{one['text']}" for one in documents)
        messages[-1]["content"] = context + "\n\n" + question
    """,
    how_sure="Certain: the template writes the same text without them.",
)
def documents_dropped(case: Case) -> Iterator[Finding]:
    """The template leaves the documents out."""
    for chat in case.chats:
        documents = chat.options.get("documents")
        if not documents or again(case, chat, chat.messages, documents=None) != chat.text:
            continue
        yield Finding(
            code="documents-dropped",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The chat template does not write the documents that it was given, "
            f"{len(documents)} of them.",
            why="The model never reads them.",
            fix='messages[-1]["content"] = context + "\\n\\n" + question  # their texts',
        )
        return


@pitfall(
    "template-argument-ignored",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    needs=(Needs.TEMPLATE_CALLS,),
    symptom="A switch such as `enable_thinking=False` changes nothing.",
    cause="""
        What `apply_chat_template` does not know itself it hands to the template. If that does not
        read a variable of this name, nothing happens, and nobody says so.
    """,
    fix="Use the name that the template reads: it stands in `tokenizer.chat_template`.",
    example="print(tokenizer.chat_template)",
    how_sure="""
        Certain: the name is nowhere in the template. A note where a model that does not think is
        told not to.
    """,
)
def template_argument_ignored(case: Case) -> Iterator[Finding]:
    """An argument that the template never reads."""
    for chat in case.chats:
        others = set(chat.options) - _KNOWN
        source = source_of(case, chat) if others else ""
        read = set(re.findall(r"\w+", source))
        for name in sorted(others - read) if source else []:
            near = difflib.get_close_matches(name, sorted(_KNOWN), 1, 0.75)
            near += _near_in_template(name, read)
            value = chat.options[name]
            harmless = value is False and _THINKING.search(name) and not _THINKING.search(source)
            meant = f"; {near[0]} may be meant" if near else ""
            yield Finding(
                code="template-argument-ignored",
                severity=NOTE if harmless else WARNING,
                confidence=CERTAIN,
                what=(
                    f"{printable(name, 40)}={printable(repr(value), 40)} is passed to the chat "
                    f"template, which reads no such variable{meant}."
                ),
                why="It changes nothing, and no error says so.",
                fix=f"tokenizer.apply_chat_template(messages, {near[0]}=...)"
                if near
                else "tokenizer.apply_chat_template(messages, ...)  # without it",
            )
            return


def _near_in_template(name: str, read: set[str]) -> list[str]:
    """Return variables of a template that may be meant by a name."""
    if _THINKING.search(name):
        switches = [word for word in sorted(read) if _THINKING.search(word) and word != "think"]
        named = [word for word in switches if re.search(r"enable|thinking$|effort|mode", word)]
        return named[:1]
    return difflib.get_close_matches(name, sorted(word for word in read if len(word) > 3), 1, 0.8)


@pitfall(
    "tool-call-miswritten",
    subject=Subject.PROMPTS,
    severities=(WARNING, ERROR),
    needs=ON_CHATS,
    symptom="After its first call of a tool the model writes calls with quotes inside quotes.",
    cause="""
        `tool_calls` of an OpenAI client have their arguments as a string of JSON. A template turns
        a dictionary into JSON, and such a string into a string of a string. Others write no calls
        at all.
    """,
    fix="Pass the arguments as a dictionary.",
    example="""
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    """,
    how_sure="""
        Certain: the escaped string stands in the prompt, or the function's name does not.
    """,
)
def tool_call_miswritten(case: Case) -> Iterator[Finding]:
    """Arguments of a call that are JSON twice over, or a call that is left out."""
    for chat in case.chats:
        for place, message in enumerate(chat.messages):
            for function in _functions(message):
                given, name = function.get("arguments"), function.get("name")
                twice = isinstance(given, str) and '"' in given and json.dumps(given) in chat.text
                lost = isinstance(name, str) and name and name not in chat.text
                if not twice and not lost:
                    continue
                yield Finding(
                    code="tool-call-miswritten",
                    severity=ERROR if lost else WARNING,
                    confidence=CERTAIN,
                    what=(
                        f"The chat template does not write the call of {short(name)} in message "
                        f"{place}."
                        if lost
                        else f"The arguments of {short(name)} in message {place} are a string, "
                        f"which the template writes as JSON once more: {short(json.dumps(given))}."
                    ),
                    why="The model does not read that it called the tool."
                    if lost
                    else "The model reads quotes inside quotes, and writes its next call so.",
                    fix=(
                        f'messages[{place}]["content"] = call_as_text'
                        if lost
                        else 'call["function"]["arguments"] = json.loads(call["function"]'
                        '["arguments"])'
                    ),
                )
                return


def _functions(message) -> list:
    """Return the functions that a message calls, as dictionaries."""
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list | tuple) else []
    functions = [call.get("function", call) for call in calls if hasattr(call, "get")]
    return [one for one in functions if hasattr(one, "get")]


@pitfall(
    "tool-result-as-user",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="The model calls the tool again, or thanks the user for the result.",
    cause="""
        After the call of a tool its result comes as a message of the user, where the template has a
        role of its own for results.
    """,
    fix='Give results the role "tool".',
    example="""
        messages.append({"role": "tool", "name": "get_weather", "content": json.dumps(result)})
    """,
    how_sure="""
        Likely: the message after a call is the user's, and the template names the role "tool".
    """,
)
def tool_result_as_user(case: Case) -> Iterator[Finding]:
    """A user's message where the result of a call should stand."""
    for chat in case.chats:
        for place, message in enumerate(chat.messages[:-1]):
            follows = chat.messages[place + 1]
            calls = _functions(message) or re.search(
                r"<tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>", said_in(message)
            )
            if message.get("role") != "assistant" or not calls or follows.get("role") != "user":
                continue
            if not re.search(r"['\"]tool['\"]", source_of(case, chat)):
                continue
            yield Finding(
                code="tool-result-as-user",
                severity=WARNING,
                confidence=LIKELY,
                what=(
                    f"Message {place} calls a tool, and message {place + 1} is the user's: "
                    f"{short(said_in(follows))}."
                ),
                why="The model waits for the tool's result, and reads a new request.",
                fix='messages.append({"role": "tool", "name": name, "content": result})',
            )
            return


@pitfall(
    "marks-as-text",
    subject=Subject.PROMPTS,
    severities=(ERROR, WARNING),
    symptom="The model does not see turns; it answers badly and never ends its answer.",
    cause="""
        The marks of the template are single tokens to the model that was trained with them. Here
        they are several pieces of plain text: the template is another model's, or the tokenizer was
        told to split special tokens.
    """,
    fix="""
        Use the template that came with the tokenizer, and let it tokenize; new marks have to be
        added as tokens, and trained.
    """,
    example='tokenizer = AutoTokenizer.from_pretrained("the/chat-model")  # with its own template',
    how_sure="""
        Certain where the token is there and the prompt does not have it; likely where the tokenizer
        has no such token, as somebody may have trained a model so.
    """,
)
def marks_as_text(case: Case) -> Iterator[Finding]:
    """A template's marks that are plain text in this prompt."""
    if case.template is None or case.input_ids is None or not case.is_chat or not case.texts:
        return
    text, tokenizer = squeezed(case.texts[0]), case.tokenizer
    ids = case.id_rows[0]
    for mark in dict.fromkeys(_TOKENS.findall("".join(vars(case.template).values()))):
        if mark not in text:
            continue
        token = tokenizer.convert_tokens_to_ids(mark)
        there = token is not None and token != tokenizer.unk_token_id
        there = there or tokenizer.convert_ids_to_tokens(token or 0) == mark
        if there and token in ids:
            continue
        yield Finding(
            code="marks-as-text",
            severity=ERROR if there else WARNING,
            confidence=CERTAIN if there else LIKELY,
            what=(
                f"{mark!r} is a token of this tokenizer, and the prompt has it in pieces."
                if there
                else f"The template writes {mark!r}, which is no token of this tokenizer."
            ),
            why="The model reads letters and brackets where its turns should be marked.",
            fix="inputs = tokenizer(text, split_special_tokens=False, add_special_tokens=False)"
            if there
            else 'AutoTokenizer.from_pretrained("the/chat-model")  # keep its own chat_template',
        )
        return


@pitfall(
    "template-applied-twice",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    needs=ON_CHATS,
    symptom="The prompt has a whole conversation within a question, and is nearly twice as long.",
    cause="""
        A text that a template has written already is passed as what a message says, to a pipeline
        or another `apply_chat_template`, which writes the headers again around it.
    """,
    fix="Apply the template once: pass the messages, or the rendered text as a prompt.",
    example="answer = pipe(messages, max_new_tokens=200)  # it applies the template itself",
    how_sure="""
        Certain: what a message says begins as this template begins a chat, and ends with the header
        of an answer.
    """,
)
def template_applied_twice(case: Case) -> Iterator[Finding]:
    """A message that says a whole rendered prompt."""
    if case.template is None:
        return
    opening = squeezed(case.template.user_header) or squeezed(case.template.opening)
    header = squeezed(case.template.generation_prompt)
    if not opening or not header:
        return
    for chat in case.chats:
        for place, message in enumerate(chat.messages):
            said = squeezed(said_in(message))
            if chat.sanitized or not said.endswith(header) or opening not in said:
                continue
            yield Finding(
                code="template-applied-twice",
                severity=ERROR,
                confidence=CERTAIN,
                what=(
                    f"Message {place}, of role {message.get('role')!r}, is a prompt that the chat "
                    "template has written already; it is applied a second time."
                ),
                why="The model reads a whole conversation, headers and all, within one message.",
                fix="apply_chat_template(messages)  # once; or pass the rendered text as a prompt",
            )
            return


@pitfall(
    "header-differs",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    symptom="""
        A prompt written by hand gets worse answers than the same messages by the template, or
        answers that begin with an empty line.
    """,
    cause="""
        The marks are right and the white space is not: the line end after a role's name is missing,
        or was stripped off. To the model these are other tokens than those it was trained on.
    """,
    fix="Let the template write the prompt.",
    example="""
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    """,
    how_sure="""
        Certain: the template's header is in the prompt without its line ends. A note where only
        the end of the last header is missing, as most models write it themselves.
    """,
)
def header_differs(case: Case) -> Iterator[Finding]:
    """A header of the template with other line ends."""
    if case.template is None:
        return
    last = case.template.generation_prompt or case.template.reply_header
    for text in case.texts:
        for header in dict.fromkeys((case.template.user_header, case.template.reply_header, last)):
            if "\n" not in header or not _has_other_lines(text, header):
                continue
            stripped = header is last and text.endswith(header.rstrip())
            yield Finding(
                code="header-differs",
                severity=NOTE if stripped else WARNING,
                confidence=CERTAIN,
                what=(
                    f"The prompt ends in {short(header.rstrip())}, without the line end that the "
                    "chat template writes after it."
                    if stripped
                    else f"The chat template writes {short(header)}, and the prompt has it with "
                    "other line ends."
                ),
                why="The model was trained on the template's headers, white space and all.",
                fix="tokenizer.apply_chat_template(messages, add_generation_prompt=True, ...)",
            )
            return


def _has_other_lines(text: str, header: str) -> bool:
    """Tell whether a text has a header, and nowhere with the line ends that belong to it."""
    if header in text or squeezed(header) not in squeezed(text):
        return False
    plain, wanted = (re.sub(r"[ \t]+", "", one) for one in (text, header))
    return wanted not in plain


@pitfall(
    "tool-result-without-call",
    subject=Subject.PROMPTS,
    severities=(ERROR, WARNING),
    needs=(*ON_CHATS, Needs.FAILED),
    explains_refusal=True,
    symptom="After a tool's result the model calls the tool again, or does not know what it is.",
    cause="""
        The result was appended to the messages, and the assistant's message with the call was not.
        The model reads an answer to a question that it never asked.
    """,
    fix="Append the assistant's message first, with its `tool_calls`.",
    example="""
        messages.append({"role": "assistant", "tool_calls": [{"type": "function", "function": f}]})
        messages.append({"role": "tool", "name": f["name"], "content": json.dumps(result)})
    """,
    how_sure="Certain: the message before the result is not the assistant's.",
)
def tool_result_without_call(case: Case) -> Iterator[Finding]:
    """A message of a tool after one of the user."""
    refused = case.messages if case.failed is not None else None
    for messages in [refused or [], *(chat.messages for chat in case.chats)]:
        roles = [message.get("role") for message in messages]
        for place, role in enumerate(roles):
            before = [one for one in roles[:place] if one not in ("tool", "ipython", "function")]
            if role not in ("tool", "ipython") or (before and before[-1] == "assistant"):
                continue
            yield Finding(
                code="tool-result-without-call",
                severity=WARNING if refused is None else ERROR,
                confidence=CERTAIN,
                what=f"Message {place} is a tool's result, and the assistant's message with the "
                "tool call is missing before it"
                + (": it was not passed." if refused is None else ": the template refuses that."),
                why="The model reads a result that it never asked for, and calls again.",
                fix='messages.append({"role": "assistant", "tool_calls": [...]})  # before it',
            )
            return


@pitfall(
    "rendered-in-pieces",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The prompt has several system messages that nobody wrote.",
    cause="""
        The chat template was applied to parts of the conversation, and the pieces were joined. It
        begins each text that it writes with its own system message.
    """,
    fix="Apply the template to the whole conversation.",
    example="tokenizer.apply_chat_template(messages, add_generation_prompt=True)",
    how_sure="Certain: the beginning that the template writes is in the prompt more than once.",
)
def rendered_in_pieces(case: Case) -> Iterator[Finding]:
    """The template's own beginning in the middle of a prompt."""
    if case.template is None:
        return
    opening, header = squeezed(case.template.opening), squeezed(case.template.user_header)
    own = opening.removesuffix(header)
    if len(own) < _A_MESSAGE or not opening.endswith(header):
        return
    for text in case.texts:
        times = squeezed(text).count(own)
        if times < 2:
            continue
        yield Finding(
            code="rendered-in-pieces",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"The prompt has the chat template's own beginning {times} times.",
            why="The template was applied to parts of the chat: each brings its system message.",
            fix="tokenizer.apply_chat_template(messages, add_generation_prompt=True)  # all of it",
        )
        return

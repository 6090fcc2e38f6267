"""Pitfalls in a chat's history: answers that are not in it, or more of them than was said."""

import re
from collections.abc import Iterator
from itertools import pairwise

from llmcourse.doctor.case import Case, Chat, Unused
from llmcourse.doctor.finding import CERTAIN, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.messages import ON_CHATS, again, by, said_in, short
from llmcourse.doctor.pitfalls.registry import Subject, pitfall
from llmcourse.doctor.template_marks import squeezed
from llmcourse.show import printable

_SHORTEST = 8  # characters of a message that are looked for in another one
_END_OF_THOUGHT = "</think>"
# What refers to something that was said before, in a message's first words or anywhere in it.
_FOLLOWS = re.compile(
    r"^\s*(and (what|how|who|where|when|why|which|in|for|of|the|if|is)\b"
    r"|(what|how) about\b|why\?|go on\b|continue\b\W*$"
    r"|tell me more\b|explain that\b|are you sure\b)",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"\b((what('s| is| was)|remember|know|say|tell me) my name|did i (just )?(say|tell|ask|mention)"
    r"|(you|i|we) (just )?(said|told|mentioned|talked|discussed)\b.{0,20}"
    r"(before|earlier|just now|above)?|(your|my) (last|previous|first|earlier) "
    r"(answer|question|message|reply)|my favou?rite \w+ (again)?\?)",
    re.IGNORECASE,
)
_SAYS_ITSELF = re.compile(r"\b(my name is|i am|i'm|call me|my favou?rite \w+ is)\b", re.IGNORECASE)
# A question of so many words, this share of which stand in a statement of at most so many.
_FEWEST, _MOSTLY, _A_SENTENCE = 4, 0.75, 30
_APPEND = 'messages.append({"role": "assistant", "content": answer})'


@pitfall(
    "answers-not-kept",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="The model answers old questions again, or does not know what it said.",
    cause="""
        Only what the user says is appended to the messages. To the model all of it was said at once
        and nothing was answered.
    """,
    fix="Append each answer, before the next question.",
    example="""
        messages.append({"role": "user", "content": question})
        ...
        messages.append({"role": "assistant", "content": answer})
    """,
    how_sure="""
        Likely: the chat that was asked before is the beginning of this one, and its answer is not
        there; or three messages and more are all the user's.
    """,
)
def answers_not_kept(case: Case) -> Iterator[Finding]:
    """Questions one after another, without the answers to them."""
    for chat in case.chats:
        asked = [message for message in chat.messages if message.get("role") != "system"]
        kept_as_user = [
            earlier for earlier, text in case.answers if _said_back(earlier, text, chat)
        ]
        goes_on = [one for one in case.earlier_chats if _goes_on(one, chat.messages)]
        unanswered = [one for one in goes_on if one not in kept_as_user]
        only_users = len(asked) > 2 and all(one.get("role") == "user" for one in asked)
        if not unanswered and not only_users:
            continue
        first = said_in(unanswered[-1][-1] if unanswered else asked[0])
        yield Finding(
            code="answers-not-kept",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"The answer to {short(first)} is not in the chat, which goes on with the user."
                if unanswered
                else f"{len(asked)} messages of the user follow one another, without an answer."
            ),
            why="The model does not know that it answered, and answers all of them at once.",
            fix=_APPEND,
        )
        return


def _goes_on(earlier: list, messages: list) -> bool:
    """Whether a chat that was asked before is followed by another message of the user here."""
    length = len(earlier)
    return (
        0 < length < len(messages)
        and earlier[-1].get("role") == "user"
        and messages[length].get("role") == "user"
        and messages[:length] == earlier
    )


@pitfall(
    "answer-as-user",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="The model answers itself, or takes what it said for the user's words.",
    cause="""
        The decoded answer is appended in the role of the user. The model reads that somebody else
        said it, and two messages of the user follow each other.
    """,
    fix="Keep answers in the role of the assistant.",
    example='messages.append({"role": "assistant", "content": answer})',
    how_sure="""
        Certain: the chat that was asked before is the beginning of this one, and what was decoded
        of its answer follows as the user's message.
    """,
)
def answer_as_user(case: Case) -> Iterator[Finding]:
    """The answer to an earlier chat follows it as a message of the user."""
    for chat in case.chats:
        back = [pair for pair in case.answers if _said_back(*pair, chat)]
        if not back:
            continue
        earlier, text = back[-1]
        yield Finding(
            code="answer-as-user",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"Message {len(earlier)} is what the model answered, {short(text)}, and has the "
            'role "user".',
            why="The model reads its own answer as if the user had said it.",
            fix=_APPEND,
        )
        return


def _said_back(earlier: list, text: str, chat: Chat) -> bool:
    """Tell whether a chat goes on from an earlier one with its answer, in the user's role."""
    length = len(earlier)
    if not 0 < length < len(chat.messages) or chat.messages[:length] != earlier:
        return False
    then = chat.messages[length]
    said = squeezed(said_in(then))
    return then.get("role") == "user" and len(said) >= _SHORTEST and said == squeezed(text)


@pitfall(
    "history-not-passed",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="The model does not know what was said a moment ago.",
    cause="""
        A model keeps nothing between two calls. What it should know of the conversation has to be
        in the messages, each time.
    """,
    fix="Keep one list of messages, and append to it.",
    example="""
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": more}]
        inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, ...)
    """,
    how_sure="""
        Likely: the message speaks of something said before, or asks in its words for a name that
        it gave; the chat has nothing before it, and another chat was answered earlier. Or, in a
        script, a list of turns was passed to the function, or grows from call to call, and none of
        them is in the messages.
    """,
)
def history_not_passed(case: Case) -> Iterator[Finding]:
    """A follow-up to an earlier chat, alone."""
    for chat in case.chats:
        if chat.unused is not None:
            yield _kept_and_not_passed(chat.unused)
            return
    for chat in case.chats if case.earlier_chats else []:
        said = [message for message in chat.messages if message.get("role") != "system"]
        if len(said) != 1 or said[0].get("role") != "user":
            continue
        text = said_in(said[0])
        others = [said_in(one) for earlier in case.earlier_chats for one in by(earlier, "user")]
        if not others or text in others:
            continue
        refers = _REFERS.search(text) and not _SAYS_ITSELF.search(text)
        told = [text_ for text_ in others if _tells(text_, text)]
        if len(text) > 300 or not (refers or _FOLLOWS.search(text) or told):
            continue
        yield Finding(
            code="history-not-passed",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"{short(text)} asks for what an earlier message says, {short(told[0])}, which is "
                "not in the messages: the chat has no earlier turn."
                if told
                else f"{short(text)} speaks of what was said before, and the chat has no earlier "
                "turn."
            ),
            why="A model remembers nothing of earlier calls; it reads these messages alone.",
            fix=f'{_APPEND}; messages.append({{"role": "user", "content": question}})',
        )
        return


def _kept_and_not_passed(unused: Unused) -> Finding:
    """Return the finding of turns that stand in a list of the script's and in no message."""
    how = "was passed to this function" if unused.given else "grows from call to call"
    return Finding(
        code="history-not-passed",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"The conversation so far is in {printable(unused.name, 40)} ({unused.turns} turns, "
            f"which {how}), and the messages for the chat template hold the last question alone: "
            f"{short(unused.said)} is not in the prompt."
        ),
        why="A model remembers nothing of earlier calls; it reads these messages alone.",
        fix=f"messages = [*history, question]; apply_chat_template(messages); {_APPEND}",
    )


def _tells(statement: str, question: str) -> bool:
    """Tell whether a question asks, in a statement's own words, for a name or number in it."""
    asked = set(re.findall(r"\w+", question.casefold()))
    words = re.findall(r"\w+", statement)
    if not question.rstrip().endswith(("?", "？")) or statement.rstrip().endswith(("?", "？", ":")):
        return False
    if len(asked) < _FEWEST or len(words) > _A_SENTENCE:
        return False
    same = asked & {word.casefold() for word in words}
    new = [word for word in words[1:] if word.casefold() not in asked and word.lower() != word]
    new += [word for word in words if word.isdigit() and word not in asked]
    return len(same) >= max(_FEWEST - 1, _MOSTLY * len(asked)) and bool(new)


@pitfall(
    "message-twice",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="Prompts grow faster than the chat, and the model repeats itself.",
    cause="""
        The same message was appended twice, or the system message with each turn.
    """,
    fix="Put the system message first, once; append each message in one place.",
    example="""
        messages = [{"role": "system", "content": system}]  # before the loop
    """,
    how_sure="Certain that it is there twice; that it was not meant is inferred.",
)
def message_twice(case: Case) -> Iterator[Finding]:
    """A system message that comes again, or a message right after itself."""
    for chat in case.chats:
        systems = [said_in(one) for one in by(chat.messages, "system")]
        pairs = zip(chat.messages, chat.messages[1:], strict=False)
        twice = [said_in(one) for one, other in pairs if one == other and said_in(one)]
        again_ = next((text for text in systems if text and systems.count(text) > 1), None)
        if again_ is None and not twice:
            continue
        yield Finding(
            code="message-twice",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"The system message {short(again_)} is in the chat {systems.count(again_)} times."
                if again_ is not None
                else f"The message {short(twice[0])} follows itself."
            ),
            why="What is said twice counts more than was meant, and takes room.",
            fix='messages = [{"role": "system", "content": system}]  # once, before the loop'
            if again_ is not None
            else "messages.append(message)  # in one place",
        )
        return


@pitfall(
    "prompt-in-history",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="Each turn doubles the prompt; the model repeats the question before it answers.",
    cause="""
        The answer was decoded together with its prompt, and all of it was appended as what the
        assistant said.
    """,
    fix="Decode the new tokens alone, and append these.",
    example="""
        new = output[0, inputs["input_ids"].shape[1] :]
        answer = tokenizer.decode(new, skip_special_tokens=True)
        messages.append({"role": "assistant", "content": answer})
    """,
    how_sure="""
        Certain: what the assistant said begins with the text of the messages before it, headers
        and all.
    """,
)
def prompt_in_history(case: Case) -> Iterator[Finding]:
    """An answer in the history that begins with its prompt."""
    for chat in case.chats:
        for place, message in enumerate(chat.messages[1:], 1):
            said, asked = said_in(message), said_in(chat.messages[place - 1])
            if message.get("role") != "assistant" or len(squeezed(asked)) < _SHORTEST:
                continue
            if squeezed(asked) not in squeezed(said):
                continue
            prompt = again(case, chat, chat.messages[:place], add_generation_prompt=True)
            if prompt is None or not _begins_with(case, said, prompt):
                continue
            yield Finding(
                code="prompt-in-history",
                severity=WARNING,
                confidence=CERTAIN,
                what=f"Message {place}, of the assistant, begins with its prompt: {short(said)}.",
                why="The chat is in the prompt twice, the second time as the model's own words.",
                fix=(
                    'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], '
                    "skip_special_tokens=True)"
                ),
            )
            return


def _begins_with(case: Case, said: str, prompt: str) -> bool:
    """Whether a text begins with a prompt, with or without its special tokens."""
    for token in case.tokenizer.added_tokens_decoder.values():
        if token.special:
            prompt, said = prompt.replace(token.content, ""), said.replace(token.content, "")
    return squeezed(said).startswith(squeezed(prompt))


@pitfall(
    "thinking-in-history",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="Prompts grow by thousands of tokens, and later answers get worse or think no more.",
    cause="""
        The thoughts of former turns are passed back as part of the answers. Models that think are
        trained on histories without them; most of their templates cut them, this one does not.
    """,
    fix="Keep what comes after the thought.",
    example="""
        answer = text.rpartition("</think>")[2].strip()
        messages.append({"role": "assistant", "content": answer})
    """,
    how_sure="""
        Certain that the thought of a former turn stands in the prompt; a model may have been
        trained so, which its card would say.
    """,
)
def thinking_in_history(case: Case) -> Iterator[Finding]:
    """Thinking of former turns that the template does not cut."""
    for chat in case.chats:
        if _END_OF_THOUGHT not in chat.text:
            continue
        roles = [message.get("role") for message in chat.messages]
        last_asked = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else 0
        for place, message in enumerate(chat.messages[:last_asked]):
            thought = said_in(message).partition(_END_OF_THOUGHT)
            if message.get("role") != "assistant" or not thought[1]:
                continue
            inner = squeezed(thought[0].removeprefix("<think>"))
            if not inner or inner not in chat.squeezed:
                continue
            yield Finding(
                code="thinking-in-history",
                severity=WARNING,
                confidence=CERTAIN,
                what=(
                    f"Message {place}, of the assistant, has its thinking in it, and so has the "
                    "prompt."
                ),
                why="Models that think are trained on histories without earlier thoughts.",
                fix='answer = text.rpartition("</think>")[2].strip()  # what is appended',
            )
            return


@pitfall(
    "system-misplaced",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    needs=ON_CHATS,
    symptom="Instructions have no effect, or the model answers them; other templates refuse them.",
    cause="""
        The system message stands after messages of the user, or there are several. Models were
        trained with one, at the beginning; a template that writes them anywhere makes a prompt
        that they hardly know.
    """,
    fix="Put one system message first.",
    example="""
        messages = [{"role": "system", "content": rules}, *messages]
    """,
    how_sure="""
        Likely, as models differ: the message stands where few templates expect it. A note for
        several at the beginning.
    """,
)
def system_misplaced(case: Case) -> Iterator[Finding]:
    """A system message that is not the first message."""
    for chat in case.chats:
        roles = [message.get("role") for message in chat.messages]
        places = [place for place, role in enumerate(roles) if role == "system"]
        late = [place for place in places if set(roles[:place]) - {"system"}]
        if len(places) < 2 and not late:
            continue
        place = late[0] if late else places[1]
        yield Finding(
            code="system-misplaced",
            severity=WARNING if late else NOTE,
            confidence=LIKELY,
            what=f"Message {place} is a system message, "
            + ("after others of the chat." if late else "the second one."),
            why="Models are trained with one system message, at the beginning of the chat.",
            fix='messages = [{"role": "system", "content": rules}, *messages]',
        )
        return


@pitfall(
    "answer-after-answer",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=ON_CHATS,
    symptom="The model's answers get worse, or a template asks that roles alternate.",
    cause="""
        Two messages of the assistant follow each other: an answer was appended twice, a question
        was lost, or the parts of one answer became messages.
    """,
    fix="Keep the user's message between them, or make one message of both.",
    example="""
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    """,
    how_sure="Certain that they follow each other; calls of tools between them are left out.",
)
def answer_after_answer(case: Case) -> Iterator[Finding]:
    """Two messages of the assistant in a row."""
    for chat in case.chats:
        for place, (first, second) in enumerate(pairwise(chat.messages)):
            both = first.get("role") == second.get("role") == "assistant"
            if not both or first.get("tool_calls") or second.get("tool_calls"):
                continue
            yield Finding(
                code="answer-after-answer",
                severity=WARNING,
                confidence=CERTAIN,
                what=f"Messages {place} and {place + 1} are both the assistant's.",
                why="The roles of user and assistant do not alternate, as they did in training.",
                fix='messages.insert(..., {"role": "user", "content": question})',
            )
            return

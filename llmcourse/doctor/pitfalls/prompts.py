"""Pitfalls in the prompt's form: chat templates that are missing, half applied, or not obeyed."""

import re
from collections.abc import Iterator

from llmcourse.doctor.case import Case, tensors_for
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair
from llmcourse.doctor.pitfalls.facts import ends_otherwise, never_ends
from llmcourse.doctor.pitfalls.headers import foreign_header
from llmcourse.doctor.pitfalls.messages import short
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.template_marks import Template, squeezed
from llmcourse.sandbox import apply_chat_template
from llmcourse.show import visible

_ORDERS = (
    "answer calculate classify compare compose compute correct create define describe draft "
    "explain extract find fix generate give help implement list make name paraphrase please "
    "prove provide rate recommend rewrite say show solve suggest sum summarise summarize tell "
    "think translate write"
)
_QUESTIONS = (
    "are can could did do does how is should was were what when where which who whom whose why "
    "will would"
)


def reads_as_request(text: str) -> bool:
    """Tell whether a text asks for an answer rather than begins one.

    Its last sentence is a question, alone or with a question word first ("He said: why?" at the end
    of a story is none), or its last line begins with a verb that asks for something, such as
    "Write". "Q: ... A:" and other beginnings to be completed end with a colon, a comma, an arrow, a
    quote or in mid-sentence.
    """
    text = text.strip()
    if text.endswith(("?", "？")):
        sentences = re.split(r"(?<=[.!?])\s+", text)
        first = re.match(r"[A-Za-z]*", sentences[-1].lower()).group()
        return len(sentences) == 1 or first in _QUESTIONS.split()
    last = text.splitlines()[-1].strip() if text else ""
    words = re.findall(r"[A-Za-z']+", last.lower())
    if not words or last.endswith((":", ",", ";", '"', "'", "(", "-", "=", ">", "{")):
        return False
    if words[0] in _ORDERS.split():
        return True
    return words[0] in _QUESTIONS.split() and last.endswith((".", "!"))


@pitfall(
    "bare-prompt",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    symptom="A chat model continues the question, or goes on with a dialogue of its own.",
    cause="""
        It has learned answers that follow its template's markers. Without them it completes text
        like any model.
    """,
    example="""
        messages = [{"role": "user", "content": "Name three rivers."}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    """,
    how_sure="Likely: the markers are absent, and that this was not meant is inferred.",
)
def bare_prompt(case: Case) -> Iterator[Finding]:
    """A chat model is given text outside its template."""
    if case.template is None or case.is_chat or not case.texts or case.messages is not None:
        return
    texts = [text for text in case.texts if text.strip()]
    requests = [text for text in texts if reads_as_request(_without_bos(case, text))]
    foreign = [header for text in texts if (header := foreign_header(case, text))]
    if not texts:
        return
    if foreign:
        what = (
            f"The prompt holds {foreign[0]!r}, which is no token of this model, and nothing of its "
            "own chat format."
        )
    elif requests:
        said = short(_without_bos(case, requests[0]))
        what = f"The model has a chat template, and the prompt is a bare request: {said}."
    else:
        what = f"The model has a chat template, and the prompt is bare: {short(texts[0])}."
    yield Finding(
        code="bare-prompt",
        severity=WARNING if foreign or requests else NOTE,
        confidence=LIKELY,
        what=what,
        why=(
            "A chat model answers what its template frames; bare text it continues, often with "
            "more of the same question."
        ),
        fix=(
            'tokenizer.apply_chat_template([{"role": "user", "content": text}], '
            'add_generation_prompt=True, return_dict=True, return_tensors="pt")'
        ),
        repair=_in_template(case, texts) if requests and not foreign else None,
    )


def _without_bos(case: Case, text: str) -> str:
    bos = getattr(case.tokenizer, "bos_token", None)
    return text.removeprefix(bos) if bos else text


def _in_template(case: Case, texts: list[str]):
    """Return the repair for one prompt; for a batch there is none, its rows would differ."""
    if len(texts) != 1 or case.input_ids is None or len(case.input_ids) != 1:
        return None
    return lambda: _rendered(case, [{"role": "user", "content": _without_bos(case, texts[0])}])


def _rendered(case: Case, messages: list[dict], **options) -> Repair:
    options = options or {"add_generation_prompt": True}
    text = apply_chat_template(case.tokenizer, messages, tokenize=False, **options)
    return _from_text(case, text)


def _from_text(case: Case, text: str) -> Repair:
    made = case.tokenizer(text, add_special_tokens=False, return_tensors="pt")
    return Repair(tensors_for(case.model, made), case.call)


@pitfall(
    "base-model-chat",
    subject=Subject.PROMPTS,
    severities=(ERROR, WARNING),
    needs=(Needs.CALL, Needs.FAILED),
    explains_refusal=True,
    symptom="The model continues the conversation for both sides and never stops.",
    cause="""
        It was not trained on a chat: the tokenizer has no template, and the markers are ordinary
        text to it.
    """,
    fix="Take the instruction-tuned version, or write a prompt that a text would continue.",
    example=r"""
        prompt = "Question: Which river flows through Paris?\nAnswer:"
    """,
    how_sure="""
        Certain where messages were passed; likely where it is inferred from a tokenizer without a
        template and a prompt with turns.
    """,
)
def base_model_chat(case: Case) -> Iterator[Finding]:
    """A chat for a model that has no template."""
    if case.tokenizer is None or getattr(case.tokenizer, "chat_template", None):
        return
    if case.messages is not None:
        what = "Messages were given, and the tokenizer has no chat template."
    else:
        found = [header for text in case.texts if (header := foreign_header(case, text))]
        if not found:
            return
        what = f"The prompt holds {found[0]!r}, and the tokenizer knows no such token."
    yield Finding(
        code="base-model-chat",
        severity=ERROR if case.messages is not None else WARNING,
        confidence=CERTAIN if case.messages is not None else LIKELY,
        what=what,
        why=(
            "A base model was never shown a chat: it continues the text, headers and all, and does "
            "not end its turn."
        ),
        fix=(
            "Load the model's chat version (-Instruct, -chat), or write a text to be continued, "
            'such as "Q: ...\\nA:"'
        ),
    )


@pitfall(
    "base-model-never-ends",
    subject=Subject.ENDS,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="The answer is followed by more questions and answers, or by itself over and over.",
    cause="""
        A base model continues texts. It was never shown that an answer ends, so it writes its end
        token where a document would end: as a rule not before the limit.
    """,
    fix="""
        Take the instruction-tuned version. With a base model, give examples of a form that has an
        end, such as a line each, and stop there.
    """,
    example=r"""
        prompt = "Q: Which river flows through Paris?\nA: The Seine.\nQ: And through London?\nA:"
        model.generate(**inputs, stop_strings=["\n"], tokenizer=tokenizer)
    """,
    how_sure="""
        Likely: the tokenizer has no template, a prompt asks for something, and no row has an end
        before the limit.
    """,
)
def base_model_never_ends(case: Case) -> Iterator[Finding]:
    """A model without a template is asked something, and no answer has an end."""
    if case.tokenizer is None or getattr(case.tokenizer, "chat_template", None):
        return
    if case.config is None or ends_otherwise(case) or not never_ends(case):
        return
    asked = [text for text in case.texts if reads_as_request(_without_bos(case, text))]
    if not asked:
        return
    yield Finding(
        code="base-model-never-ends",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"The tokenizer has no chat template, as that of a base model, and {short(asked[0])} "
            f"asks for an answer: none of {len(case.new_rows)} ended within "
            f"{len(case.new_rows[0])} tokens."
        ),
        why="A base model continues texts, and has no end of an answer: it goes on to its limit.",
        fix=(
            "Load the model's chat version (-Instruct, -chat), or stop_strings=['\\n'] after "
            "examples of one line"
        ),
    )


@pitfall(
    "no-generation-prompt",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom="The model writes another turn of the user, or opens the answer's header itself.",
    cause="""
        The rendered text ends after the user's message; the header that opens the answer is
        missing.
    """,
    example="tokenizer.apply_chat_template(messages, add_generation_prompt=True)",
    how_sure="""
        Certain: the text ends with a closed turn of the user, and the template has a header.
    """,
)
def no_generation_prompt(case: Case) -> Iterator[Finding]:
    """The chat ends with the user's turn, and nothing opens the model's."""
    template = case.template
    if template is None or not template.generation_prompt.strip() or case.messages is not None:
        return
    end = squeezed(template.user_end)
    for text in case.texts:
        tight = squeezed(text)
        if not template.is_in(text) or template.last_role(tight) != "user":
            continue
        if end and not tight.endswith(end):
            continue
        prompt = template.generation_prompt
        yield Finding(
            code="no-generation-prompt",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The prompt ends with the user's turn, without {visible(prompt)!r} after it.",
            why="The model has to open its own turn, and may as well go on as the user.",
            fix="tokenizer.apply_chat_template(messages, add_generation_prompt=True, ...)",
            repair=_completed(case, text + prompt),
        )
        return


def _completed(case: Case, text: str):
    """Return the repair that puts `text` in the only prompt's place; None for a batch."""
    return (lambda: _from_text(case, text)) if len(case.texts) == 1 else None


@pitfall(
    "generation-prompt-misplaced",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The answer speaks as the user, or answers twice.",
    cause="""
        The header of an answer was opened and then something else follows: the user's words, an
        answer that was to be continued, or the header again, or a mark that it ends with already.
    """,
    fix="Render all messages first, the header last; to continue an answer, ask for that.",
    example="tokenizer.apply_chat_template(messages, continue_final_message=True)",
    how_sure="Likely: it is read from the order of the markers.",
)
def generation_prompt_misplaced(case: Case) -> Iterator[Finding]:
    """The model's turn is opened where it does not belong, or the user writes in it."""
    template = case.template
    prompt = squeezed(template.generation_prompt) if template is not None else ""
    if not prompt:
        return
    for text in case.texts:
        what = _misplaced(template, text)
        if what is None:
            continue
        yield Finding(
            code="generation-prompt-misplaced",
            severity=WARNING,
            confidence=LIKELY,
            what=what,
            why=(
                "What follows a generation prompt is the model's own beginning of a reply; words "
                "of the user belong before it, in a message."
            ),
            fix=(
                "messages.append({...}); tokenizer.apply_chat_template(messages, "
                "add_generation_prompt=True)  # or continue_final_message=True"
            ),
            repair=_continued(case),
        )
        return


def _misplaced(template: Template, text: str) -> str | None:
    """Return in words what is wrong with the generation prompts in a text, if anything is."""
    tight, prompt = squeezed(text), squeezed(template.generation_prompt)
    header = squeezed(template.user_header)
    before, found, after = tight.rpartition(prompt)
    if header and prompt + header in tight:
        return "A generation prompt is followed by another turn of the user."
    if found and not after and _ends_with_reply(template, before):
        return "The chat ends with the model's reply, and a generation prompt opens another."
    again = prompt if found and not after and before.endswith(prompt) else after
    if len(again) > 1 and prompt.endswith(again) and not again.isalnum():
        return f"{short(again)} stands twice at the prompt's end: the template has written it."
    tail = _tail(text, template.generation_prompt)
    if found and after and reads_as_request(tail):
        return f"After the generation prompt stands a request: {short(tail)}."
    return None


def _ends_with_reply(template: Template, tight: str) -> bool:
    """Whether the model's reply is the last turn of a squeezed text; a tool's may come after it."""
    if template.last_role(tight) != "assistant":
        return False
    end = squeezed(template.reply_end)
    return not end or tight.rpartition(squeezed(template.reply_header))[2].count(end) < 2


def _tail(text: str, prompt: str) -> str:
    """Return what stands after the last generation prompt, white space around it apart."""
    return text.rpartition(prompt.strip())[2].strip()


def _continued(case: Case):
    if case.messages is None or case.messages[-1]["role"] != "assistant":
        return None
    return lambda: _rendered(case, case.messages, continue_final_message=True)


@pitfall(
    "system-dropped",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    needs=(Needs.CALL, Needs.TEMPLATE_CALLS, Needs.FAILED),
    explains_refusal=True,
    symptom="Instructions in the system message have no effect.",
    cause="Some templates know no system role and leave the message out (others refuse it).",
    fix="Put it before the first user message.",
    example=r"""
        messages = [{"role": "user", "content": system + "\n\n" + question}]
    """,
    how_sure="Certain: the rendered text does not hold the message.",
)
def system_dropped(case: Case) -> Iterator[Finding]:
    """The template leaves the system message out, or refuses it."""
    chats = [case.messages] if case.messages is not None else []
    chats += [call.messages for call in case.template_calls]
    for messages in chats:
        if not messages or not getattr(case.tokenizer, "chat_template", None):
            continue
        if messages[0].get("role") != "system" or len(messages) < 2:
            continue
        said = str(messages[0].get("content", ""))
        without = _try_to_render(case, messages[1:])
        whole = _try_to_render(case, messages)
        if without is None or (whole is not None and whole != without):
            continue
        does = "refuses" if whole is None else "leaves out"
        yield Finding(
            code="system-dropped",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The chat template {does} the system message: {short(said)}.",
            why=(
                "The model never reads it."
                if whole is not None
                else "There is no prompt until it is moved."
            ),
            fix=(
                'messages[1]["content"] = messages[0]["content"] + "\\n\\n" + '
                'messages[1]["content"]; del messages[0]'
            ),
            repair=lambda messages=messages: _rendered(case, _moved(messages)),
        )
        return


@pitfall(
    "tools-dropped",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    needs=(Needs.TEMPLATE_CALLS,),
    symptom="The model calls no tool, and says that it has none.",
    cause="""
        A template that does not write `tools` leaves them out, and `apply_chat_template` says
        nothing.
    """,
    fix="Describe the tools in a message, or take a model whose template writes them.",
    example=r"""
        described = "\n".join(json.dumps(get_json_schema(tool)) for tool in tools)
        messages[0]["content"] += "\n\nYou may call these tools:\n" + described
    """,
    how_sure="Certain: the text is the same with the tools and without.",
)
def tools_dropped(case: Case) -> Iterator[Finding]:
    """The template leaves the tools out."""
    for call in case.template_calls:
        tools = call.kwargs.get("tools")
        if not tools or not getattr(case.tokenizer, "chat_template", None):
            continue
        without = _try_to_render(case, call.messages)
        if without is None or without != _try_to_render(case, call.messages, tools=tools):
            continue
        yield Finding(
            code="tools-dropped",
            severity=ERROR,
            confidence=CERTAIN,
            what=f"The chat template does not write the {len(tools)} tools that it was given."
            if len(tools) > 1
            else "The chat template does not write the tool that it was given.",
            why="The model knows of none, so it cannot call any.",
            fix='messages[0]["content"] += described  # the tools, as JSON',
        )
        return


def _try_to_render(case: Case, messages: list[dict], **options) -> str | None:
    try:
        return apply_chat_template(case.tokenizer, messages, tokenize=False, **options)
    except Exception:  # a template may raise what it likes
        return None


def _moved(messages: list[dict]) -> list[dict]:
    """Return the chat with the system message put into the first one after it."""
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]

"""Pitfalls in what a prompt says: its last space, its placeholders, its examples, its ends."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, LIKELY, NOTE, WARNING, Finding, Repair
from llmcourse.doctor.pitfalls.headers import foreign_header
from llmcourse.doctor.pitfalls.messages import short
from llmcourse.doctor.pitfalls.registry import Subject, pitfall
from llmcourse.doctor.template_marks import squeezed

_SPACES = ("Ġ", "▁", " ")  # a space that is a token of its own, as vocabularies spell it
# Names that stand for a text to come; others may be code that the prompt is about.
_NAMES = (
    "question questions context input inputs user_input text query prompt document documents topic "
    "instruction message user_message chat_history history conversation article passage sentence "
    "user_query user_question user_prompt input_text system_prompt"
)
_PLACEHOLDER = re.compile(r"(?<![\\\w$#{}%^])\{\{?\s*([A-Za-z_]\w*)\s*\}?\}(?![\w}])")
_CODE = re.compile(r"\bf[\"']|\bdef |\bimport |```|\$\{|\bfunction\b|\bformat\(|\btemplate", re.I)
_ESCAPED = re.compile(r"\\n\s*(?:\\n|[A-Z#<\[-]|\d+[.)]|$)")
_LABEL = re.compile(r"^\s*([A-Z][A-Za-z ]{0,20}):(.*)$", re.MULTILINE)


@pitfall(
    "trailing-space",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    symptom="The answer begins oddly: an empty line, a half word, or the prompt's words again.",
    cause="""
        Words bring their space along: after a prompt that ends in one, the model would have to
        begin with a word that has none, which it has hardly ever seen.
    """,
    fix="End the prompt without a space.",
    example='prompt = f"Question: {question}\\\\nAnswer:"',
    how_sure="""
        Certain: the last token is a lone space; a note where a sentence ended before it, as in a
        text that was cut. Nothing is said of a template's own space, nor of indented code.
    """,
)
def trailing_space(case: Case) -> Iterator[Finding]:
    """A prompt whose last token is a space."""
    if case.input_ids is None or case.tokenizer is None:
        return
    prompt = "" if case.template is None else case.template.generation_prompt
    for row, text in enumerate(case.texts):
        ends = text.endswith(" ") and not text[-2:].isspace() and bool(text.strip())
        if not ends or (prompt and text.endswith(prompt)) or text.endswith(("] ", "> ")):
            continue
        last = _last_id(case, row)
        if last is None or case.tokenizer.convert_ids_to_tokens(last) not in _SPACES:
            continue
        yield Finding(
            code="trailing-space",
            severity=NOTE if text[-2] in ".!?" else WARNING,
            confidence=CERTAIN,
            what=f"The prompt ends in a space, which is a token of its own: {short(text[-20:])}.",
            why="Words bring their own space, so the next token is one that hardly fits.",
            fix='inputs = tokenizer(text.rstrip(), return_tensors="pt")',
            repair=_without_last(case),
        )
        return


def _last_id(case: Case, row: int) -> int | None:
    """Return the last token of a row that is no padding; None if padding follows it."""
    if case.attention_mask is not None and not case.attention_mask[row, -1]:
        return None
    return case.id_rows[row][-1] if case.prompt_length else None


def _without_last(case: Case):
    """Return the repair that drops the last token of a single prompt; None for a batch."""
    if len(case.input_ids) != 1 or case.prompt_length < 2:
        return None
    names = ("input_ids", "attention_mask")
    return lambda: Repair(
        {name: case.inputs[name][:, :-1] for name in names if name in case.inputs}, case.call
    )


@pitfall(
    "placeholder-left",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The model answers in general, or asks for the text that it was to be given.",
    cause="""
        The prompt still has `{question}` in it: an `f` before the quotes is missing, or `.format`
        was not called, or braces were doubled.
    """,
    fix="Fill it in, and look at the text that is tokenized.",
    example="""
        prompt = f"Question: {question}"
        print(repr(prompt))
    """,
    how_sure="""
        Likely: a name in braces stands in the prompt, one that is mostly used for texts to come, or
        that of a variable of the script, whose value is not in the prompt.
    """,
)
def placeholder_left(case: Case) -> Iterator[Finding]:
    """A name in braces, where a text was to be."""
    for text in case.texts:
        known = {*_NAMES.split(), *case.unfilled}
        names = [name for name in _PLACEHOLDER.findall(text) if name in known]
        if not names or _CODE.search(text):
            continue
        yield Finding(
            code="placeholder-left",
            severity=WARNING,
            confidence=LIKELY,
            what=f"The prompt has {'{' + names[0] + '}'!r} in it, which nothing was put in for.",
            why="The model reads the name in braces, not the text.",
            fix=f'prompt = f"... {{{names[0]}}} ..."  # with the f, or .format({names[0]}=...)',
        )
        return


@pitfall(
    "newline-escaped",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The model writes `\\n` as two characters, or takes the prompt for one line of code.",
    cause="""
        A backslash and an n stand in the prompt where lines should end: the text was escaped twice,
        read from a file or a command line, or written as a raw string.
    """,
    fix="Put real ends of lines in.",
    example=r"""
        prompt = prompt.replace("\\n", "\n")
    """,
    how_sure="Likely: there is no real end of a line in what is said, and such pairs instead.",
)
def newline_escaped(case: Case) -> Iterator[Finding]:
    """A backslash and an n, where a line should end."""
    said = [str(one.get("content")) for chat in case.chats[:1] for one in chat.messages]
    for text in said or ([] if case.is_chat else case.texts):
        if "\n" in text.strip() or not _ESCAPED.search(text) or re.search(r"[\"'`(]", text):
            continue
        yield Finding(
            code="newline-escaped",
            severity=WARNING,
            confidence=LIKELY,
            what=f"The prompt has a backslash and an n where lines should end: {short(text)}.",
            why="They are two characters to the model, not the end of a line.",
            fix='prompt = prompt.replace("\\\\n", "\\n")',
        )
        return


@pitfall(
    "examples-differ",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="With examples in the prompt the model answers no better, or in another form.",
    cause="""
        The examples have one form ("Review: ... Sentiment: ...") and what is to be completed has
        another ("Label:"). A model goes on with the pattern that it sees, and here there is none.
    """,
    fix="Write the question exactly as the examples are written, up to the answer.",
    example=r"""
        shots = "".join(f"Review: {text}\nSentiment: {label}\n\n" for text, label in examples)
        prompt = shots + f"Review: {text}\nSentiment:"
    """,
    how_sure="""
        Likely: at least two examples have the same names before their colons, and the open one at
        the end is none of these.
    """,
)
def examples_differ(case: Case) -> Iterator[Finding]:
    """An open label at the end that the examples before it do not have."""
    for text in case.texts:
        tail = text.rstrip()
        if case.is_chat or not tail.endswith(":"):
            continue
        labels = [(name.strip(), bool(rest.strip())) for name, rest in _LABEL.findall(tail)]
        if len(labels) < 5 or labels[-1][1]:
            continue
        counts = Counter(name for name, _ in labels[:-1])
        repeated = [name for name, count in counts.items() if count >= 2]
        open_one = labels[-1][0]
        if len(repeated) < 2 or open_one in counts or not tail.endswith(open_one + ":"):
            continue
        yield Finding(
            code="examples-differ",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"The prompt's examples have {short(repeated[-1] + ':')}, and its end has "
                f"{short(open_one + ':')}."
            ),
            why="The model continues a pattern, and the last one is not that of the examples.",
            fix=f'prompt = examples + f"...\\n{repeated[-1]}:"',
        )
        return


@pitfall(
    "eos-in-prompt",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    symptom="The model does not continue the prompt: it begins another text, or writes nothing.",
    cause="""
        The prompt ends with the token that ends texts: a tokenizer that was set up for training
        (`add_eos_token=True`) put it there, or the text has it. To the model all is said.
    """,
    fix="Tokenize a prompt without it.",
    example="""
        tokenizer.add_eos_token = False
        inputs = tokenizer(text, return_tensors="pt")
    """,
    how_sure="""
        Certain that it is there. A note where it stands inside the prompt: some formats have it
        between their turns. Nothing is said where one token begins and ends texts.
    """,
)
def eos_in_prompt(case: Case) -> Iterator[Finding]:
    """The token that ends texts, at the prompt's end or inside it."""
    tokenizer = case.tokenizer
    end = getattr(tokenizer, "eos_token_id", None)
    if end is None or end == tokenizer.bos_token_id or case.input_ids is None:
        return
    if not case.decoder_only or foreign_format(case):
        return
    for row, text in enumerate(case.texts):
        at_end = _last_id(case, row) == end and case.prompt_length > 1
        if case.is_chat:
            opened = "" if case.template is None else squeezed(case.template.generation_prompt)
            body = text.strip().removesuffix(tokenizer.eos_token) if at_end else ""
            if not (at_end and opened and squeezed(body).endswith(opened)):
                continue
        elif not at_end and not _inside(case, row, end):
            continue
        yield Finding(
            code="eos-in-prompt",
            severity=WARNING if at_end else NOTE,
            confidence=CERTAIN,
            what=f"The prompt ends with {tokenizer.eos_token!r}, the token that ends texts."
            if at_end
            else f"{tokenizer.eos_token!r}, which ends texts, stands inside the prompt.",
            why="What comes after it is another text to the model, not this one's continuation.",
            fix="tokenizer.add_eos_token = False  # or input_ids[:, :-1]",
            repair=_without_last(case) if at_end else None,
        )
        return


def _inside(case: Case, row: int, token: int) -> bool:
    """Whether a token stands between others of a row, padding apart."""
    if token == case.pad_id and case.attention_mask is None:
        return False
    ids = case.input_ids[row]
    if case.attention_mask is not None:
        ids = ids[case.attention_mask[row].bool()]
    return bool((ids[1:-1] == token).any())


def foreign_format(case: Case) -> bool:
    """Whether a prompt has a chat format's headers that are not this tokenizer's."""
    return any(foreign_header(case, text) for text in case.texts)


@pitfall(
    "bos-inside",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The model forgets what stands before some place in the prompt.",
    cause="""
        Pieces were tokenized one by one and joined: each call of the tokenizer put the token that
        begins texts before its piece, and after it the model reads a new text.
    """,
    fix="Join the texts and tokenize once, or add no special tokens to the later pieces.",
    example="""
        first = tokenizer(context).input_ids
        ids = first + tokenizer(question, add_special_tokens=False).input_ids
    """,
    how_sure="""
        Certain that it stands inside the prompt; nothing is said where the template writes it
        before later turns, or where the same token ends texts.
    """,
)
def bos_inside(case: Case) -> Iterator[Finding]:
    """The token that begins texts, again inside the prompt."""
    tokenizer = case.tokenizer
    begin = getattr(tokenizer, "bos_token_id", None)
    if begin is None or begin in (tokenizer.eos_token_id, case.pad_id) or case.input_ids is None:
        return
    if case.template is not None:
        later = [value for name, value in vars(case.template).items() if name != "opening"]
        if any(tokenizer.bos_token in value for value in later):
            return
    if not case.decoder_only or foreign_format(case):
        return
    for ids in case.id_rows[: len(case.texts)]:
        if ids.count(begin) < 2:
            continue
        places = [place for place, token in enumerate(ids) if token == begin]
        apart = [b for a, b in pairwise(places) if b - a > 1]
        if not apart:
            continue
        yield Finding(
            code="bos-inside",
            severity=WARNING,
            confidence=CERTAIN,
            what=f"{tokenizer.bos_token!r}, which begins texts, stands inside the prompt, as token "
            f"{apart[0]}.",
            why="It tells the model that a new text begins, and that what came before is another.",
            fix="ids = first + tokenizer(more, add_special_tokens=False).input_ids",
        )
        return


# How Python spells objects that are no texts.
_OBJECTS = re.compile(
    r"<(?:generator|zip|map|filter|function|bound method|built-in|class|coroutine)\b[^>\n]*>"
    r"|<[\w.]+ object at 0x[0-9a-f]+>|\btensor\(\[+[-\d.]|\bDocument\((?:id|page_content|metadata)="
    r"|\{'role': ?['\"]\w+['\"], ?'content':|\{'input_ids':"
)
_FILLED = (
    "Context|Question|Text|Input text|Document|Documents|Passage|Article|Query|Sentence|Review|"
    "Abstract|Code|History"
)
_NOTHING = re.compile(rf"^[#* ]*({_FILLED}):[ \t]*(None|nan|\[\]|\{{\}})[ \t]*$", re.MULTILINE)
_LISTED = re.compile(r"\['[^'\]\n]{20,}'(?:, '[^'\]\n]+')*\]")
_EMPTY = re.compile(
    rf"^[#* ]*({_FILLED}):[ \t]*\n(?=\s*(?:[#* ]*[A-Z]\w+(?: \w+)?:))", re.MULTILINE
)


@pitfall(
    "object-in-prompt",
    subject=Subject.PROMPTS,
    severities=(WARNING, NOTE),
    symptom="The model answers past the question, or speaks of lists, brackets and None.",
    cause="""
        An object was put into the prompt's text, and Python wrote it as it spells it: a list of
        messages or documents with brackets and quotes, `<generator object ...>`, `tensor([...])`,
        or None where something was not found.
    """,
    fix="Make a text of it first.",
    example=r"""
        context = "\n\n".join(documents)
        prompt = f"Context: {context}\n\nQuestion: {question}\nAnswer:"
    """,
    how_sure="""
        Likely: the prompt has a text that Python writes for an object. A note for a list of texts,
        which may be meant. Nothing is said of prompts with code.
    """,
)
def object_in_prompt(case: Case) -> Iterator[Finding]:
    """Python's spelling of an object in a prompt."""
    for text in case.texts:
        shown = _OBJECTS.search(text) or _NOTHING.search(text) or _LISTED.search(text)
        if shown is None or _CODE.search(text) or ">>>" in text:
            continue
        listed = not (_OBJECTS.search(text) or _NOTHING.search(text))
        yield Finding(
            code="object-in-prompt",
            severity=NOTE if listed else WARNING,
            confidence=LIKELY,
            what=f"The prompt has an object as Python spells it: {short(shown[0])}.",
            why="The model reads brackets, quotes and names of classes, not the text in them.",
            fix='prompt = f"... {chr(10).join(texts)} ..."  # a text of the object',
        )
        return


@pitfall(
    "field-empty",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The model makes the context up, or says that there is none.",
    cause="""
        A label of the prompt has nothing after it, and the next label follows: the text that
        belongs there was empty, or went into another variable.
    """,
    fix="Look at the text that is tokenized, and at where it is made.",
    example="print(repr(prompt))",
    how_sure="""
        Likely: a label such as "Context:" is followed by the next label; only the last one may be
        open.
    """,
)
def field_empty(case: Case) -> Iterator[Finding]:
    """A label in the prompt without its text."""
    for text in case.texts:
        empty = _EMPTY.search(text) if ":" in text else None
        if empty is None or _CODE.search(text):
            continue
        yield Finding(
            code="field-empty",
            severity=WARNING,
            confidence=LIKELY,
            what=f"The prompt has {empty[1] + ':'!r} with nothing after it.",
            why="The text that belongs there is not in the prompt.",
            fix="print(repr(prompt))  # and see where that text is lost",
        )
        return

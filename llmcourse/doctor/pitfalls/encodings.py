"""Pitfalls in a tokenizer's call: what it cut off, joined, or took apart."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.messages import short
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.template_marks import squeezed

_LEAST_PADDING = 16  # tokens that no row needs, before anything is said about them
_LEAST_ROWS = 4  # rows of a single letter or word each, before a text is taken to be in pieces


@pitfall(
    "prompt-truncated",
    subject=Subject.PROMPTS,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.TOKENIZER_CALLS, Needs.TEMPLATE_CALLS),
    symptom="The model continues the document, or answers a question that was not asked.",
    cause="""
        `truncation=True`, or `max_length` alone, cuts what is beyond `max_length`, on the right
        where nobody says otherwise: the end of a prompt, which is what the model goes on from. A
        question or the header of the answer stood there. A loop by hand that feeds `ids[:, -n:]`
        cuts the beginning.
    """,
    fix="""
        Shorten the document before it goes into the prompt; or raise `max_length`; or cut on the
        left.
    """,
    example="""
        ids = tokenizer(document, truncation=True, max_length=1500).input_ids
        prompt = f"{tokenizer.decode(ids, skip_special_tokens=True)}\\n\\nQuestion: {question}"
    """,
    how_sure="""
        Certain: the same text has more tokens. An error where a chat lost the header of its answer,
        a warning where the end looks like a question, and else a note.
    """,
)
def prompt_truncated(case: Case) -> Iterator[Finding]:
    """The end of the prompt was cut off by the tokenizer."""
    for text, options, row, of_chat in _cut_texts(case):
        limit = options.get("max_length") or case.tokenizer.model_max_length
        side = options.get("truncation_side") or case.tokenizer.truncation_side
        if not _truncates(options) or len(row) != limit:
            continue
        special = options.get("add_special_tokens", not of_chat)
        whole = case.tokenizer(text, add_special_tokens=special).input_ids
        if len(whole) <= len(row) or (side == "left" and not of_chat):
            continue
        asks = text.rstrip().endswith(("?", ":", "]", ">", "=", '?"', "？"))
        yield Finding(
            code="prompt-truncated",
            severity=NOTE
            if side == "left"
            else ERROR
            if of_chat
            else WARNING
            if asks or case.is_chat
            else NOTE,
            confidence=CERTAIN,
            what=(
                f"The prompt has {len(whole)} tokens and was cut to {len(row)} on the {side}: "
                + (
                    f"{short(text[-40:])} is not in it."
                    if side == "right"
                    else "its beginning is not in it."
                )
            ),
            why="The model goes on from wherever the text was cut."
            if side == "right"
            else "The system message and the first header are cut off.",
            fix='tokenizer.truncation_side = "left"  # or a larger max_length, or a shorter text',
        )
        return


def _truncates(options: dict[str, Any]) -> bool:
    """Tell whether a tokenizer cuts; `max_length` alone has it cut too, where nothing is padded."""
    if options.get("truncation") is None and not options.get("padding"):
        return options.get("max_length") is not None
    return bool(options.get("truncation"))


def _cut_texts(case: Case) -> Iterator[tuple[str, dict[str, Any], list[int], bool]]:
    """Yield texts that were tokenized into the prompt: arguments, ids, whether that was a chat."""
    for call in case.tokenizer_calls:
        texts = [call.text] if isinstance(call.text, str) else call.text
        if isinstance(texts, list | tuple) and all(isinstance(one, str) for one in texts):
            for text, row in zip(texts, call.rows, strict=False):
                yield text, call.kwargs, row, False
    calls = [call for call in case.template_calls if call.kwargs.get("truncation")]
    if not calls or len(calls) != len(case.chats):
        return
    for call, chat in zip(calls, case.chats, strict=True):
        made = call.result.get("input_ids") if isinstance(call.result, Mapping) else call.result
        made = made.tolist() if hasattr(made, "tolist") else made
        if isinstance(made, list) and made:
            row = made[0] if isinstance(made[0], list) else made
            yield chat.text, call.kwargs, row, True


@pitfall(
    "text-pair",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    needs=(Needs.TOKENIZER_CALLS,),
    symptom="Question and context run into each other, or a begin token stands between them.",
    cause="""
        A second text is `text_pair`: it is for models that compare two texts. A model that writes
        gets both with nothing between them, or with a token that it does not expect.
    """,
    fix="Write one text, with what belongs between.",
    example=r"""
        inputs = tokenizer(f"{context}\n\nQuestion: {question}\nAnswer:", return_tensors="pt")
    """,
    how_sure="""
        Likely: a second text was passed and is in the prompt; that it was not meant to follow
        directly is inferred.
    """,
)
def text_pair(case: Case) -> Iterator[Finding]:
    """Two texts in one call of the tokenizer."""
    for call in case.tokenizer_calls:
        pair = call.kwargs.get("text_pair")
        if not pair or not case.decoder_only:
            continue
        second = pair if isinstance(pair, str) else pair[0] if isinstance(pair[0], str) else ""
        yield Finding(
            code="text-pair",
            severity=WARNING,
            confidence=LIKELY,
            what=f"The tokenizer got a second text, {short(second)}, as text_pair.",
            why="They follow each other without a space or a line between them.",
            fix='inputs = tokenizer(first + "\\n\\n" + second, return_tensors="pt")',
        )
        return


@pitfall(
    "text-in-pieces",
    subject=Subject.BATCHES,
    severities=(WARNING, NOTE),
    needs=(Needs.CALL, Needs.TOKENIZER_CALLS),
    symptom="A batch comes back, one short text for each word or letter of the prompt.",
    cause="""
        A tokenizer takes a list for texts, one row each: a list of words, or a string that was made
        a list, is a batch of them. With `is_split_into_words=True` they are one text, which loses
        its spaces with some tokenizers.
    """,
    fix="Pass the text as one string.",
    example='inputs = tokenizer(" ".join(words), return_tensors="pt")',
    how_sure="""
        Certain that the rows are letters or words, or that the spaces are lost; that one text was
        meant is inferred, and a note for words.
    """,
)
def text_in_pieces(case: Case) -> Iterator[Finding]:
    """Rows of a word or a letter each; or words without the spaces between them."""
    joined = _words_without_spaces(case)
    texts = [_plain(case, text) for text in case.texts]
    many = len(texts) >= _LEAST_ROWS and not case.is_chat
    letters = many and all(len(text) <= 1 for text in texts) and len(set(texts)) > 1
    words = many and any(
        isinstance(call.text, list) and all(_is_word(one) for one in call.text)
        for call in case.tokenizer_calls
    )
    if not (joined or letters or words):
        return
    yield Finding(
        code="text-in-pieces",
        severity=WARNING if joined or letters else NOTE,
        confidence=CERTAIN,
        what=f"The words were joined without spaces: {short(joined)}."
        if joined
        else f"Each of {len(case.input_ids)} rows is one {'letter' if letters else 'word'}, such "
        f"as {short(texts[0])} and {short(texts[1])}.",
        why="The model reads another text than was meant."
        if joined
        else "Each row is continued by itself; no row has the whole text.",
        fix='inputs = tokenizer(" ".join(words), return_tensors="pt")',
    )


def _plain(case: Case, text: str) -> str:
    begin = getattr(case.tokenizer, "bos_token", None) or ""
    return text.removeprefix(begin).strip()


def _is_word(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip()) and not any(map(str.isspace, text.strip()))


def _words_without_spaces(case: Case) -> str | None:
    """Return the beginning of a prompt whose words lost their spaces; None if they did not."""
    for call in case.tokenizer_calls:
        words = call.text
        if not call.kwargs.get("is_split_into_words") or not isinstance(words, list):
            continue
        if not all(isinstance(word, str) for word in words) or len(words) < 2 or not case.texts:
            continue
        text = case.texts[0]
        if " ".join(words) not in text and squeezed("".join(words)) in text:
            return text
    return None


@pitfall(
    "padding-nobody-needs",
    subject=Subject.BATCHES,
    severities=(NOTE,),
    symptom="A short prompt takes as long as a long one, and memory as well.",
    cause="""
        `padding="max_length"` fills each row up to the limit, also where no row of the batch is so
        long. The model computes all of it, and the mask hides it.
    """,
    fix="Pad to the longest row, or not at all for one text.",
    example='inputs = tokenizer(texts, padding=True, return_tensors="pt")',
    how_sure="Certain: every row begins with that much padding.",
)
def padding_nobody_needs(case: Case) -> Iterator[Finding]:
    """Padding at the beginning of every row."""
    mask = case.attention_mask
    if mask is None or not mask.numel() or mask[:, 0].any():
        return
    spare = int((mask != 0).long().argmax(1).min())
    if spare < _LEAST_PADDING or spare * 2 < mask.shape[1]:
        return
    yield Finding(
        code="padding-nobody-needs",
        severity=NOTE,
        confidence=CERTAIN,
        what=f"Every row begins with {spare} padding tokens of {mask.shape[1]}.",
        why="The model computes them for nothing.",
        fix='inputs = tokenizer(texts, padding=True, return_tensors="pt")  # not "max_length"',
    )

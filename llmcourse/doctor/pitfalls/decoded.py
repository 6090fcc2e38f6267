"""Pitfalls of decoding an output: by whom, with which arguments, from which token on."""

import difflib
import json
import re
from collections.abc import Iterator

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.pitfalls.uses import in_a_fence, read_in_vain, said
from llmcourse.show import printable

_KNOWN = ("skip_special_tokens", "clean_up_tokenization_spaces", "spaces_between_special_tokens")
_OTHERS = {"add_special_tokens": "skip_special_tokens"}  # of other methods, with what is meant
_NEAR = 0.75  # of 1: how like a known argument a misspelt one is
_ENOUGH = 4  # ids that are not in an output by chance
_FENCED = re.compile(r"```(?:json)?\s(.*)```", re.DOTALL | re.IGNORECASE)
_SHOWN = 60  # characters of a text that a finding repeats


@pitfall(
    "decode-argument-unknown",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.DECODINGS,),
    symptom="Special tokens are in the text, though they were to be skipped.",
    cause="`decode` takes any keyword, and drops those that it does not know without a word.",
    fix="Spell it as the library does.",
    example="tokenizer.decode(new_ids, skip_special_tokens=True)",
    how_sure="Certain that `decode` has no such argument; which one is meant is inferred.",
)
def decode_argument_unknown(case: Case) -> Iterator[Finding]:
    """A keyword that is nearly one of decode's."""
    for one in case.decoded:
        for name in one.kwargs.keys() - set(_KNOWN):
            near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=_NEAR)
            meant = _OTHERS.get(name, near[0] if near else None)
            if meant is None or name.startswith(_KNOWN[1]):
                continue
            said = printable(name, _SHOWN)
            yield Finding(
                code="decode-argument-unknown",
                severity=ERROR,
                confidence=CERTAIN,
                what=f"{said}= is no argument of decode, which drops it.",
                why=f"The text is as if it was not said; {meant}= is what there is.",
                fix=f"tokenizer.decode(ids, {meant}={one.kwargs[name]!r})",
                file=one.file,
                line=one.line,
            )
            return


@pitfall(
    "decoded-by-another-tokenizer",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.DECODINGS,),
    symptom="The output is words of nobody, or of another language.",
    cause="""
        Ids are numbers in one vocabulary. Another model's tokenizer has other words at the same
        numbers.
    """,
    fix="Decode with the tokenizer that made the prompt's ids.",
    example="tokenizer = AutoTokenizer.from_pretrained(model.config.name_or_path)",
    how_sure="""
        Certain: one tokenizer made the ids, another decoded the output, and the two texts differ.
    """,
)
def decoded_by_another_tokenizer(case: Case) -> Iterator[Finding]:
    """The ids were made by one tokenizer, and the output is decoded by another."""
    if case.encoded_by is None:
        return
    for one in case.decoded:
        if one.tokenizer is None or one.tokenizer is case.encoded_by or len(one.ids) < _ENOUGH:
            continue
        right = case.encoded_by.decode(one.ids, **one.kwargs)
        if right == one.text:
            continue
        yield Finding(
            code="decoded-by-another-tokenizer",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"Another tokenizer than the one that made the prompt's ids decodes the output: "
                f"{printable(one.text, _SHOWN)!r}."
            ),
            why=f"By the prompt's own it is {printable(right, _SHOWN)!r}.",
            fix="tokenizer.decode(...)  # the one that encoded the prompt",
            file=one.file,
            line=one.line,
        )
        return


@pitfall(
    "answer-cut-elsewhere",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.DECODINGS,),
    symptom="""
        Answers begin with the prompt's last words, or in their middle, or are empty; in a batch,
        those to short prompts.
    """,
    cause="""
        `generate` puts the new tokens after the prompt as it was passed, padding included. Cut by
        the row's own length without padding, or by the prompt's characters, the row is cut
        elsewhere.
    """,
    fix="Cut every row at the ids' second dimension.",
    example="""
        new = output[:, inputs["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
    """,
    how_sure="""
        Certain where what was decoded begins at exactly that place of its row; likely where nothing
        was left to decode.
    """,
)
def answer_cut_elsewhere(case: Case) -> Iterator[Finding]:
    """What was decoded begins at the prompt's length without padding, or in characters."""
    if case.output is None or case.input_ids is None or not case.decoder_only:
        return
    rows = case.rows
    for one in case.decoded:
        for row, ids in enumerate(rows):
            start = len(ids) - len(one.ids)
            if not (start > 0 and ids[start:] == one.ids) or start == case.prompt_length:
                continue
            measure = _measure(case, row, start)
            if measure is None:
                continue
            yield Finding(
                code="answer-cut-elsewhere",
                severity=ERROR,
                confidence=CERTAIN if one.ids else LIKELY,
                what=(
                    f"Row {row} is cut at {start}, {measure}, and its new tokens begin at "
                    f"{case.prompt_length}."
                ),
                why="The prompt's end is in the answer."
                if start < case.prompt_length
                else "The answer's first tokens are missing.",
                fix='output[:, inputs["input_ids"].shape[1]:]  # padding included, in tokens',
                file=one.file,
                line=one.line,
            )
            return


def _measure(case: Case, row: int, start: int) -> str | None:
    """Return what else than the prompt a place in a row is the length of, in words."""
    each = max(1, len(case.output) // len(case.input_ids))  # rows of one prompt
    prompt = row // each
    mask = case.attention_mask
    if mask is not None and prompt < len(mask) and start < case.prompt_length:
        return "its length without padding" if int(mask[prompt].sum()) == start else None
    if prompt >= len(case.texts) or start < case.prompt_length:
        return None
    characters = len(case.texts[prompt])
    cut = characters == start or (start == len(case.output[row]) and characters > start)
    return "its length in characters" if cut else None


@pitfall(
    "spaces-cleaned-up",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.DECODINGS,),
    symptom="Code does not run, and texts differ from their tokens: `a ,b` has become `a,b`.",
    cause="""
        Cleaning up takes away spaces before punctuation and short forms, as WordPiece needs it.
        Other tokenizers write exactly the spaces that the model meant.
    """,
    fix="Leave it off.",
    example="tokenizer.decode(new_ids, clean_up_tokenization_spaces=False)",
    how_sure="Certain that the text differs from what the tokens say.",
)
def spaces_cleaned_up(case: Case) -> Iterator[Finding]:
    """A text that lost spaces by cleaning up, and was not made of WordPiece."""
    for one in case.decoded:
        tokenizer = case.tokenizer if one.tokenizer is None else one.tokenizer
        asked = [name for name in one.kwargs if name.startswith(_KNOWN[1]) and one.kwargs[name]]
        if tokenizer is None or not asked or _is_word_piece(tokenizer):
            continue
        others = {name: value for name, value in one.kwargs.items() if name not in asked}
        plain = tokenizer.decode(one.ids, clean_up_tokenization_spaces=False, **others)
        if plain == one.text:
            continue
        at = next((n for n, (a, b) in enumerate(zip(plain, one.text, strict=False)) if a != b), 0)
        near = slice(max(0, at - 10), at + 10)
        yield Finding(
            code="spaces-cleaned-up",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"{asked[0]}=True made {printable(one.text[near], _SHOWN)!r} of "
                f"{printable(plain[near], _SHOWN)!r}."
            ),
            why="The model wrote those spaces: code and numbers may mean something else now.",
            fix="tokenizer.decode(ids, clean_up_tokenization_spaces=False)",
            file=one.file,
            line=one.line,
        )
        return


def _is_word_piece(tokenizer) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return type(getattr(backend, "model", None)).__name__ == "WordPiece"


@pitfall(
    "cut-at-the-prompts-end-token",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.DECODINGS,),
    symptom="There is no answer: what is left of the text stops in the middle of the prompt.",
    cause="""
        In many formats the token that ends an answer ends the turns of the prompt too. Looked for
        in the whole row, the first one stands in the prompt, and all behind it is cut away.
    """,
    fix="Take the prompt away first, and look for the end in what is new.",
    example="""
        new = output[0, inputs["input_ids"].shape[1] :]
        ends = (new == tokenizer.eos_token_id).nonzero()
        answer = new[: ends[0, 0]] if len(ends) else new
    """,
    how_sure="""
        Certain that what was decoded of the output is the prompt's beginning, up to its first end
        token, and that nothing else of the row was decoded.
    """,
)
def cut_at_the_prompts_end_token(case: Case) -> Iterator[Finding]:
    """What was decoded of a row stops at an end token of the prompt."""
    if case.output is None or not case.decoder_only or len(case.decoded) != 1:
        return
    one = case.decoded[0]
    size = len(one.ids)
    if not 0 < size < case.prompt_length:
        return
    for ids in case.rows:
        if ids[:size] != one.ids or ids[size] not in case.eos_ids or ids[size] in one.ids:
            continue
        yield Finding(
            code="cut-at-the-prompts-end-token",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"The text is cut at the first end token, {ids[size]} at place {size}, which is "
                f"the prompt's: new tokens begin at {case.prompt_length}."
            ),
            why="The whole row was searched, and the prompt has end tokens too: no answer is left.",
            fix="# cut the prompt's tokens off first, then look for the end token in the rest",
            file=one.file,
            line=one.line,
        )
        return


@pitfall(
    "json-in-a-fence",
    subject=Subject.READING,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.DECODINGS, Needs.USES),
    symptom="`Expecting value: line 1 column 1 (char 0)`, and the JSON in the text is flawless.",
    cause="""
        Chat models write JSON as they would for a reader: within a fence of three backticks.
        `json.loads` takes the JSON alone.
    """,
    fix="Take the fence away before the text is parsed, or ask for JSON without one.",
    example="""
        inside = re.search(r"```(?:json)?\\s*(.*?)```", text, re.DOTALL)
        data = json.loads(inside[1] if inside else text)
    """,
    how_sure="""
        Certain that the answer is JSON within a fence: a note. Where a script gave it to
        `json.loads` with its fence, and read it in no other way later, it is a warning, and an
        error where the script ended there.
    """,
)
def json_in_a_fence(case: Case) -> Iterator[Finding]:
    """An answer that is JSON, but for the fence around it."""
    for use in read_in_vain(case.uses, ("json.loads", "ast.literal_eval")):
        if use.new_at or in_a_fence(use.inputs[use.at]) is None:
            continue
        yield Finding(
            code="json-in-a-fence",
            severity=ERROR if use.ended_it else WARNING,
            confidence=CERTAIN,
            what=f"{use.name} gets JSON in a fence of backticks: {said(use.inputs[use.at])}.",
            why="It fails at the fence: it takes the JSON alone.",
            fix='json.loads(re.search(r"```(?:json)?(.*?)```", text, re.DOTALL)[1])',
            file=use.file,
            line=use.line,
        )
        return
    for one in case.decoded:
        text = one.text.strip()
        fenced = _FENCED.fullmatch(text) if text.startswith("```") else None
        if fenced is None or not _is_json(fenced[1]):
            continue
        yield Finding(
            code="json-in-a-fence",
            severity=NOTE,
            confidence=CERTAIN,
            what=f"The answer is JSON in a fence of backticks: {printable(text, _SHOWN)!r}.",
            why="json.loads fails at the fence: it takes the JSON alone.",
            fix='json.loads(re.search(r"```(?:json)?(.*?)```", text, re.DOTALL)[1])',
            file=one.file,
            line=one.line,
        )
        return


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False

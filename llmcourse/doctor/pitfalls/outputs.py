"""Pitfalls that show in the output: cut off, in a loop, decoded so that it reads wrong, or none."""

import re
from collections.abc import Iterator
from functools import partial

from llmcourse.doctor.case import Case, Decoded, Use
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding, Repair
from llmcourse.doctor.pitfalls.facts import ends_otherwise, room_of
from llmcourse.doctor.pitfalls.refusals import behind
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.doctor.pitfalls.uses import (
    CUTS,
    FINDS,
    bare,
    in_a_fence,
    is_json,
    labels_of,
    mark_of,
    put_behind_prompt,
    read_in_vain,
    said,
    skips_special,
    without_special,
)
from llmcourse.doctor.remembered import asked_once
from llmcourse.sandbox import LimitReached
from llmcourse.show import message_of, printable

# A loop is the same tokens at least 3 times over at the end, 12 tokens or more: shorter ones are
# "ha ha ha", or a row of zeros.
ROUNDS, SHORTEST = 3, 12
FEW = 3  # new tokens; who asks for so few wants a word, a letter or a score, and no text
MOST_IN_A_PIECE = 4  # tokens; what is decoded with more at once is a text, not a piece
_SHOWN = 60  # characters of a text that a finding repeats
# How tokens are named that mark a text's ends and parts: not the tags that an answer is to have.
_MARK = re.compile(
    r"</?s>|[<\[](pad|eos|bos|sep|cls|mask|unk|end\w*|start\w*)[>\]]|<\|[^|]+\|>", re.IGNORECASE
)
_PLAIN = ("bos", "eos", "pad", "unk", "sep", "cls", "mask")  # special tokens with a known part
_OF_THE_MODEL = ("assistant", "model", "bot", "ai")  # roles of answers
LONGEST_MESSAGE = 500  # characters of an error that a finding repeats


@pitfall(
    "cut-off",
    subject=Subject.LENGTH,
    severities=(WARNING, NOTE),
    needs=(Needs.OUTPUT,),
    symptom="The text breaks off.",
    cause="""
        The loop stopped because the limit was reached, not because the model ended the text with
        `eos`.
    """,
    fix="Raise `max_new_tokens`, or ask for less in the prompt.",
    example="model.generate(**inputs, max_new_tokens=400)",
    how_sure="""
        Certain that these rows did not end by `eos`; whether you wanted more is for you to say. A
        warning where all answers of a chat break off at a limit that the call does not name: the
        model's own, a pipeline's, or that of `generate`. Where the call names it, where others came
        to their end, where a rule of yours decides what may come, or outside a chat it is a note;
        and nothing is said where three tokens or fewer are asked for, or as many at least as at
        most.
    """,
)
def cut_off(case: Case) -> Iterator[Finding]:
    """The text ended because of its length."""
    rows = [row for row, new in enumerate(case.new_rows) if _is_cut(case, new)]
    if not rows or case.config is None:
        return
    room = room_of(case)
    total = len(case.output)
    is_meant = case.asked_here("max_new_tokens") or case.asked_here("max_length")
    probably_not = case.is_chat and len(rows) == total and not is_meant and not _is_led(case)
    yield Finding(
        code="cut-off",
        severity=WARNING if probably_not else NOTE,
        confidence=CERTAIN,
        what=(
            f"{len(rows)} of {total} texts reached the limit of {room} new tokens before their end."
        ),
        why="The text stops wherever it was, often in mid-sentence.",
        fix=f"model.generate(..., max_new_tokens={2 * room})",
        repair=lambda: _longer(case, 2 * room),
    )


def _is_led(case: Case) -> bool:
    """Tell whether a rule of the caller's decides which tokens may come."""
    return any(case.call.get(name) for name in ("logits_processor", "prefix_allowed_tokens_fn"))


def _longer(case: Case, tokens: int) -> Repair:
    call = {name: value for name, value in case.call.items() if name != "max_length"}
    return Repair(case.inputs, {**call, "max_new_tokens": tokens})


def _is_cut(case: Case, new: list[int]) -> bool:
    limit = room_of(case)
    if limit <= FEW or case.setting("min_new_tokens") == limit:
        return False  # so few, or so many in any case, are asked for on purpose
    ended = any(token in case.eos_ids for token in new)
    return bool(case.eos_ids) and not ended and not ends_otherwise(case) and len(new) >= limit


def period_at_end(tokens: list[int]) -> tuple[int, int]:
    """Return (period, length) of the longest stretch at the end that repeats with that period.

    It is `ROUNDS` periods or more, and at least `SHORTEST` tokens; (0, 0) if there is none.
    """
    best = (0, 0)
    for period in range(1, len(tokens) // ROUNDS + 1):
        length = period
        while length < len(tokens) and tokens[-length - 1] == tokens[-length - 1 + period]:
            length += 1
        if length >= max(ROUNDS * period, SHORTEST) and length > best[1]:
            best = (period, length)
    return best


@pitfall(
    "greedy-loop",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="The output repeats a sentence, or a few words, until the limit.",
    cause="""
        The likeliest continuation of a text that repeats itself is one more repetition; greedy
        decoding and beams cannot leave the loop.
    """,
    fix="""
        Draw. To forbid repeats stops the loop too, and does harm where a text has to repeat itself:
        names, code, lists.
    """,
    example="""
        model.generate(**inputs, do_sample=True, temperature=0.7)
        model.generate(**inputs, no_repeat_ngram_size=3)
    """,
    how_sure="""
        Likely: the output repeats, and the finding shows the phrase and how often it comes; that it
        was not meant is inferred.
    """,
)
def greedy_loop(case: Case) -> Iterator[Finding]:
    """Without sampling, the text came round to where it had been."""
    if case.setting("do_sample"):
        return
    for row, new in enumerate(case.new_rows):
        text = _before_end(new, case.eos_ids)
        period, length = period_at_end(text)
        if not period:
            continue
        again = str(text[-period:])
        if case.tokenizer is not None:
            again = case.tokenizer.decode(text[-period:], clean_up_tokenization_spaces=False)
        said = repr(printable(again, _SHOWN))
        yield Finding(
            code="greedy-loop",
            severity=WARNING,
            confidence=LIKELY,
            what=(
                f"Row {row} ends in a loop: its last {length} tokens are {said}, "
                f"{length // period} times."
            ),
            why="Each round makes the next more likely, and the likeliest token never leaves it.",
            fix="model.generate(..., do_sample=True, temperature=0.7)  # or no_repeat_ngram_size=3",
            repair=lambda: Repair(case.inputs, {**case.call, "no_repeat_ngram_size": 3}),
        )
        return


def _before_end(new: list[int], eos_ids: tuple[int, ...]) -> list[int]:
    """Return a row's new tokens up to its end: what follows is padding."""
    end = next((place for place, token in enumerate(new) if token in eos_ids), len(new))
    return new[:end]


@pitfall(
    "prompt-in-output",
    subject=Subject.READING,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.DECODINGS, Needs.USES),
    symptom="The answer begins with the question.",
    cause="For decoder-only models `generate` returns prompt and new tokens in one row.",
    fix="Decode what comes after the prompt.",
    example="""
        new = ids[:, inputs["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
    """,
    how_sure="""
        Certain that the decoded ids begin with the prompt's. To show prompt and continuation
        together may be what you want, so outside a chat it is a note; nothing is said where the
        answer was decoded by itself too. An error where a script puts such a text behind its
        prompt, or reads it as JSON, a number or a label, and that fails because of the prompt.
    """,
)
def prompt_in_output(case: Case) -> Iterator[Finding]:
    """The prompt was decoded along with the answer."""
    for use, what in _used_with_prompt(case.uses):
        yield Finding(
            code="prompt-in-output",
            severity=ERROR,
            confidence=CERTAIN,
            what=what,
            why="generate returns prompt and new text together, and both were decoded as one.",
            fix=(
                'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], '
                "skip_special_tokens=True)"
            ),
            file=use.file,
            line=use.line,
        )
        return
    if case.output is None or case.input_ids is None or not case.decoder_only:
        return
    length, prompts, rows = case.prompt_length, case.id_rows, case.rows
    answers = [row[length:] for row in rows]
    if any(_is_beginning(decoded.ids, answers) for decoded in case.decoded):
        return  # the answer was decoded by itself too: the whole row is for a log
    for decoded in case.decoded:
        with_prompt = len(decoded.ids) > length and decoded.ids[:length] in prompts
        if not (with_prompt and _is_beginning(decoded.ids, rows)):
            continue
        yield Finding(
            code="prompt-in-output",
            severity=WARNING if case.is_chat else NOTE,
            confidence=CERTAIN,
            what=f"The decoded text begins with the {length} tokens of the prompt.",
            why=(
                "generate returns prompt and new text together; decoded as one, the answer repeats "
                "the question."
            ),
            fix=(
                'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], '
                "skip_special_tokens=True)"
            ),
            file=decoded.file,
            line=decoded.line,
        )
        return


def _is_beginning(ids: list[int], rows: list[list[int]]) -> bool:
    """Tell whether ids are the beginning of a row."""
    return bool(ids) and any(row[: len(ids)] == ids for row in rows)


@pitfall(
    "piecewise-decoding",
    subject=Subject.READING,
    severities=(ERROR,),
    needs=(Needs.DECODINGS,),
    symptom="Spaces are missing between words, or characters come out as `�`.",
    cause="""
        A token is a piece of *bytes*. Some tokenizers drop the space of the first token that they
        decode; an emoji or a Chinese character may take two or three tokens, none of which is text
        by itself.
    """,
    fix="Decode the whole row; while a text arrives, let a streamer hold back what is incomplete.",
    example="""
        text = tokenizer.decode(new_ids)
        streamer = transformers.TextStreamer(tokenizer, skip_prompt=True)
    """,
    how_sure="Certain: the doctor puts the pieces together and compares them with the whole.",
)
def piecewise_decoding(case: Case) -> Iterator[Finding]:
    """Tokens were decoded one by one, and their texts do not make the whole text."""
    pieces, whole = _pieces(case)
    if len(pieces) < 2:
        return
    joined = "".join(piece.text for piece in pieces)
    if joined == whole:
        return
    yield Finding(
        code="piecewise-decoding",
        severity=ERROR,
        confidence=CERTAIN,
        what=(
            f"{len(pieces)} pieces decoded one by one give {printable(joined, _SHOWN)!r} and all "
            f"together {printable(whole, _SHOWN)!r}."
        ),
        why=(
            "A token's text depends on its neighbours: alone it loses its space, or is half a "
            "character."
        ),
        fix="tokenizer.decode(ids)  # all of them; or TextIteratorStreamer for text as it comes",
        file=pieces[0].file,
        line=pieces[0].line,
    )


def _pieces(case: Case) -> tuple[list[Decoded], str]:
    """Return the recorded pieces that follow one another in a row of the output, and their text."""
    short = [piece for piece in case.decoded if 0 < len(piece.ids) <= MOST_IN_A_PIECE]
    rows = case.rows if len(short) > 1 else []
    chains = [
        _chain(row, start, short)
        for row in rows
        for start in range(case.prompt_length, len(row))
        if row[start : start + len(short[0].ids)] == short[0].ids
    ]
    found = max(chains, key=len, default=[])
    if len(found) < 2:
        return [], ""
    ids = [token for piece in found for token in piece.ids]
    return found, case.tokenizer.decode(ids, **found[0].kwargs)


def _chain(row: list[int], start: int, pieces: list[Decoded]) -> list[Decoded]:
    """Return the pieces that follow one another in a row from `start` on."""
    found = []
    for piece in pieces:
        if row[start : start + len(piece.ids)] == piece.ids:
            found.append(piece)
            start += len(piece.ids)
    return found


def _used_with_prompt(uses: list[Use]) -> Iterator[tuple[Use, str]]:
    """Yield the uses that a prompt at the text's beginning makes wrong, each in words."""
    equal = any(use.text in (labels_of(use) or ()) for use in uses)
    failed = [*read_in_vain(uses, ("json.loads",)), *read_in_vain(uses, ("int", "float"))]
    for use in uses:
        held, whole = use.new_at, said(use.text)
        new = without_special(use.text[held:], use.origin).strip()
        if not held or not new:
            continue
        label = next((one for one in labels_of(use) or () if bare(one) == bare(new)), None)
        reads = use.name in ("int", "float") or is_json(in_a_fence(new) or new)
        if _begins_with(put_behind_prompt(use), use):
            yield (
                use,
                (
                    f"The decoded text begins with the prompt, {held} characters, and is put "
                    f"behind the prompt, which stands there twice: {whole}."
                ),
            )
        elif use.name == "{}" and use.named("role") in _OF_THE_MODEL and _has_content(use):
            yield (
                use,
                (
                    f"The message of the assistant begins with the prompt, {held} characters: "
                    f"{whole}."
                ),
            )
        elif label is not None and not equal:
            yield (
                use,
                (
                    f"Prompt and answer together, {len(use.text)} characters, are compared with "
                    f"{said(label)}; the answer alone, {said(new)}, is what could be equal."
                ),
            )
        elif use in failed and reads:
            yield use, f"{use.name} gets prompt and answer, {whole}; the answer is {said(new)}."


def _begins_with(prompt: str | None, use: Use) -> bool:
    """Tell whether a text that is put behind a prompt has that prompt at its own beginning."""
    if prompt is None:
        return False
    whole = use.span == (0, len(use.origin.text)) and not use.done
    return whole or use.text.startswith(prompt)


def _has_content(use: Use) -> bool:
    return use.names[use.at] == "content" and use.span is not None and use.span[0] == 0


@pitfall(
    "needed-token-skipped",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    needs=(Needs.DECODINGS, Needs.USES),
    symptom="A parser finds no call, or thinking and answer run into each other.",
    cause="""
        `skip_special_tokens=True` drops every special token, and with some models the marks around
        a call or around thinking are special.
    """,
    fix="Decode with them, read what they enclose, and drop the others afterwards.",
    example='text = tokenizer.decode(new_ids, skip_special_tokens=False).removesuffix("</s>")',
    how_sure="""
        Certain that the mark was written and is not in the text; no other text of the same tokens
        has it. Tokens that only open or close texts and turns do not count. An error where a script
        looks for the mark in the text.
    """,
)
def needed_token_skipped(case: Case) -> Iterator[Finding]:
    """A special token that is no end and no header was written, and dropped in decoding."""
    for use in case.uses:
        mark = _lost_mark(case, use)
        if mark is None:
            continue
        yield Finding(
            code="needed-token-skipped",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"{use.name.rpartition('.')[2]} looks for {said(mark)}: the model wrote it, and "
                "skip_special_tokens=True drops it."
            ),
            why="It is a special token: the text does not have it, and what it separates runs "
            "together.",
            fix="text = tokenizer.decode(new_ids, skip_special_tokens=False)",
            file=use.file,
            line=use.line,
        )
        return
    if case.output is None or case.tokenizer is None:
        return
    special = asked_once(case.tokenizer, "special tokens", partial(_special, case.tokenizer))
    if all(special.keys().isdisjoint(one.ids) for one in case.decoded):
        return
    marks = _marks(case)
    kept = {mark for one in case.decoded for mark in marks.values() if mark in one.text}
    for decoded in case.decoded:
        if not decoded.kwargs.get("skip_special_tokens"):
            continue
        new = decoded.ids[case.prompt_length :] if _has_prompt(case, decoded) else decoded.ids
        lost = [marks[token] for token in new if token in marks and marks[token] not in kept]
        if not lost:
            continue
        yield Finding(
            code="needed-token-skipped",
            severity=WARNING,
            confidence=CERTAIN,
            what=(
                f"{printable(lost[0], _SHOWN)!r} was written, and skip_special_tokens=True drops "
                "it."
            ),
            why="It marks where something begins or ends that a program has to find.",
            fix="text = tokenizer.decode(new_ids, skip_special_tokens=False)",
            file=decoded.file,
            line=decoded.line,
        )
        return


def _fails_by_special(uses: list[Use]) -> Iterator[tuple[Use, str]]:
    """Yield what fails with a text because of a special token at its end, each in words."""
    failed = list(read_in_vain(uses, ("json.loads",)))
    found = [one for one in uses if one.name.startswith("re.") and one.result]
    for use in uses:
        plain = without_special(use.text, use.origin)
        if plain == use.text or not use.text.startswith(plain.rstrip()):
            continue
        name = said(use.text[len(plain.rstrip()) :].strip())
        if use in failed and is_json(plain):
            yield use, f"json.loads gets the special token {name} behind the JSON."
        elif use.name in ("re.search", "re.match", "re.fullmatch") and use.ended and not found:
            method = getattr(use.pattern, use.name[3:])
            if method(use.text) is None and method(plain.rstrip()) is not None:
                yield (
                    use,
                    (
                        f"{said(use.pattern.pattern)} finds nothing: the text ends with the "
                        f"special token {name}, and without it the expression matches."
                    ),
                )


def _lost_mark(case: Case, use: Use) -> str | None:
    """Return the mark that is looked for in a text from which it was dropped in decoding."""
    sought = mark_of(use)
    if use.name in ("re.search", "re.findall", "re.split") and use.ended and not use.result:
        sought = use.pattern.pattern
    origin = use.origin
    if case.tokenizer is None or not isinstance(sought, str) or not skips_special(origin):
        return None
    sought_by = (*CUTS, *FINDS, "in", "not in", "str.startswith", "str.removeprefix")
    if use.name not in (*sought_by, "re.search", "re.findall", "re.split"):
        return None
    marks = [one for one in _marks(case).values() if one in sought or re.escape(one) in sought]
    lost = [one for one in marks if one not in use.text and one in origin.written]
    written = origin.tokenizer.decode(case.input_ids[0].tolist()) if use.new_at else ""
    return next((one for one in lost if origin.written.count(one) > written.count(one)), None)


def _marks(case: Case) -> dict[int, str]:
    """Return the special tokens that do more than open or close a text or a turn, by id."""
    tokenizer, template = case.tokenizer, case.template
    named = [getattr(tokenizer, f"{name}_token", None) for name in _PLAIN]
    turns = "" if template is None else "".join(vars(template).values())
    special = asked_once(tokenizer, "special tokens", partial(_special, tokenizer))
    return {
        id: content
        for id, content in special.items()
        if content not in named and content not in turns and id not in case.eos_ids
    }


def _special(tokenizer) -> dict[int, str]:
    added = tokenizer.added_tokens_decoder.items()
    return {id: token.content for id, token in added if token.special}


def _has_prompt(case: Case, decoded: Decoded) -> bool:
    length = case.prompt_length
    if case.input_ids is None or len(decoded.ids) < length:
        return False
    return decoded.ids[:length] in case.id_rows


@pitfall(
    "end-token-in-text",
    subject=Subject.READING,
    severities=(ERROR, WARNING, NOTE),
    needs=(Needs.DECODINGS, Needs.USES),
    symptom="`<|im_end|>` or `</s>` at the end of what is shown, or of what a parser reads.",
    cause="""
        The new tokens hold the one that ended the text, and `decode` writes it out. A mark that was
        added by `add_tokens` is a word like any other, which `skip_special_tokens` leaves in.
    """,
    fix="Drop special tokens, if nothing else among them is needed; add marks as special tokens.",
    example="text = tokenizer.decode(new_ids, skip_special_tokens=True)",
    how_sure="""
        Certain that it is there; to look at the raw text may be what you want. Nothing is said
        where the same tokens are decoded without it, too. A warning where an expression or a
        parser fails because of it, an error where the script ended there. Likely, and a warning,
        where special tokens are skipped and the mark was added as an ordinary one.
    """,
)
def end_token_in_text(case: Case) -> Iterator[Finding]:
    """The token that ends an answer is part of the decoded text."""
    for use, what in _fails_by_special(case.uses):
        yield Finding(
            code="end-token-in-text",
            severity=ERROR if use.ended_it else WARNING,
            confidence=CERTAIN,
            what=what,
            why="decode writes special tokens out unless it is told to skip them.",
            fix="text = tokenizer.decode(new_ids, skip_special_tokens=True)",
            file=use.file,
            line=use.line,
        )
        return
    if case.output is None or case.tokenizer is None:
        return
    for decoded in case.decoded:
        mark = _added_as_a_word(decoded, decoded.tokenizer or case.tokenizer)
        if mark is not None:
            yield Finding(
                code="end-token-in-text",
                severity=WARNING,
                confidence=LIKELY,
                what=f"{printable(mark, _SHOWN)!r} stays in the text: it was added as a word.",
                why="skip_special_tokens leaves out special tokens alone; add_tokens makes others.",
                fix=f"tokenizer.add_tokens([{printable(mark, _SHOWN)!r}], special_tokens=True)",
                file=decoded.file,
                line=decoded.line,
            )
            return
    if any(one.kwargs.get("skip_special_tokens") for one in case.decoded) or not case.is_chat:
        return
    for decoded in case.decoded:
        end = next((token for token in decoded.ids[-1:] if token in case.eos_ids), None)
        if end is None or len(decoded.ids) < 2:
            continue
        name = case.tokenizer.convert_ids_to_tokens(end)
        if not decoded.text.rstrip().endswith(name):
            continue
        yield Finding(
            code="end-token-in-text",
            severity=NOTE,
            confidence=CERTAIN,
            what=f"The decoded text ends with {printable(name, _SHOWN)!r}, a special token.",
            why="It ends the text for the model; whoever reads or parses it finds it there.",
            fix="tokenizer.decode(new_ids, skip_special_tokens=True)",
            file=decoded.file,
            line=decoded.line,
        )
        return


def _added_as_a_word(decoded: Decoded, tokenizer) -> str | None:
    """Return a mark in a text without special tokens that was added after loading, as no such."""
    if not decoded.kwargs.get("skip_special_tokens"):
        return None
    loaded = getattr(tokenizer, "init_kwargs", {}).get("added_tokens_decoder") or {}
    known = {int(id) for id in loaded}
    for id, token in tokenizer.added_tokens_decoder.items():
        ordinary = id not in known and not token.special and id in decoded.ids
        if ordinary and _MARK.fullmatch(token.content) and token.content in decoded.text:
            return token.content
    return None


@pitfall(
    "refused",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`generate` raises an error.",
    cause="""
        The settings contradict each other or the input; the finding repeats the library's words and
        names the argument.
    """,
    fix="As the finding says.",
    how_sure="""
        Certain: the call was prepared, up to the first forward pass, and failed. Likely, where a
        chat template was stopped since it did or made too much.
    """,
)
def refused(case: Case) -> Iterator[Finding]:
    """The call fails in the tokenizer, its template or `generate`; said in its own words."""
    if case.refusal is None:
        return
    kind = type(case.refusal).__name__
    # White space counts as one space; no more is read than could be needed.
    words = " ".join(message_of(case.refusal)[: 10 * LONGEST_MESSAGE].split()) or "no message"
    what, why = f"The call fails with {kind}: {words[:LONGEST_MESSAGE]}", "There is no output."
    stopped = isinstance(case.refusal, LimitReached)
    cause = behind(case)
    if cause is not None:
        why = f"There is no output. {cause[0]}"
    if stopped:
        what = f"The chat template was stopped on its way: {words[:LONGEST_MESSAGE]}."
        why = "The doctor renders a template within limits; the library has none and goes on."
    yield Finding(
        code="refused",
        severity=ERROR,
        confidence=LIKELY if stopped else CERTAIN,
        what=what,
        why=why,
        fix="# see the message" if cause is None else cause[1],
    )


# What a tokenizer's error says, and what mends it.
_REMEDIES = (
    (r"alternate", 'messages.append({"role": "assistant", "content": answer})  # between two'),
    (r"not have a padding token", "tokenizer.pad_token = tokenizer.eos_token"),
    (r"truncation and/or padding", 'tokenizer(texts, padding=True, return_tensors="pt")'),
    (r"has no attribute '(role|content)'", '{"role": "user", "content": text}  # in each message'),
    (r"'str' object has no|be dicts", 'messages = [{"role": "user", "content": text}]'),
    (
        r"docstring|type hint",
        '"""Say what it does.\n\nArgs:\n    city: The city.\n"""  # and city: str',
    ),
    (
        r"exclude|not compatible",
        "tokenizer.apply_chat_template(messages, continue_final_message=True)",
    ),
    (r"TextEncodeInput|of type `?str|valid text", "tokenizer(text)  # a string, or a list of them"),
    (
        r"negative|out of range|overflow|OverflowError",
        "tokenizer.decode([id for id in ids if id >= 0])",
    ),
    (r"prefix=", 'tokenizer.parse_response(new_ids, prefix=inputs["input_ids"][0])'),
    (r"empty conversation", 'messages = [{"role": "user", "content": text}]'),
)


@pitfall(
    "tokenizer-refused",
    subject=Subject.CALL,
    severities=(ERROR,),
    needs=(Needs.FAILED,),
    symptom="A tokenizer's call or its chat template raises an error, and the program ends.",
    cause="""
        What was passed is none of what the call takes, or the template refuses the messages; the
        finding repeats the error's words, and says what was passed.
    """,
    fix="As the finding says.",
    how_sure="Certain: the call was made, and its error ended the program or the block.",
)
def tokenizer_refused(case: Case) -> Iterator[Finding]:
    """A call of the tokenizer whose error ended the program, said in its own words."""
    if case.refusal is None or case.failed is None:
        return
    name, given = case.failed
    kind = type(case.refusal).__name__
    words = " ".join(message_of(case.refusal)[: 10 * LONGEST_MESSAGE].split()) or "no message"
    first = next(iter(given.values()), None)
    said = f"{kind}: {words}"
    remedies = (fix for pattern, fix in _REMEDIES if re.search(pattern, said, re.IGNORECASE))
    yield Finding(
        code="tokenizer-refused",
        severity=ERROR,
        confidence=CERTAIN,
        what=f"The tokenizer's {name} fails with {printable(said, LONGEST_MESSAGE)}",
        why=f"It was given {_described(first)}; there is no result.",
        fix=next(remedies, "# see the message"),
    )


def _described(value) -> str:
    """Return in words what a tokenizer was given."""
    kind = type(value).__name__
    if isinstance(value, list | tuple) and value:
        roles = [one.get("role") for one in value if hasattr(one, "get")]
        if len(roles) == len(value):
            return printable(f"messages of the roles {', '.join(map(str, roles))}", 200)
        return printable(f"a {kind} of {len(value)}, first {value[0]!r}", 200)
    return printable(f"a {kind}, {value!r}", 200)

"""How an output is read: where it is cut, what its scores are paired with, what is counted."""

import ast
import difflib
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.answers.texts import answer_at
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import followed, name_at, parts_followed
from llmcourse.doctor.subject import Subject

_DECODES = ("decode", "batch_decode")
_KNOWN = ("skip_special_tokens", "clean_up_tokenization_spaces", "spaces_between_special_tokens")
_STREAMERS = ("TextStreamer", "TextIteratorStreamer", "AsyncTextIteratorStreamer")
_OF_STREAMERS = ("tokenizer", "skip_prompt", "timeout")
_NOT_OF_DECODE = {"add_special_tokens": "skip_special_tokens"}
# Marks that are special tokens wherever they are in use.
_SPECIAL = re.compile(
    r"<\|(im_start|im_end|start_header_id|end_header_id|eot_id|begin_of_text|endoftext)\|>"
    r"|<(start|end)_of_turn>|</?s>|<bos>|<eos>"
)
_SPLITS = ("split", "rsplit", "partition", "rpartition", "index", "find", "rfind", "rindex")
_ROLE = re.compile(r"^\s*(assistant|model|user|Assistant|bot)\s*$")
_PER_TIME = re.compile(r"time|elapsed|sec|dur|took|^dt$|perf_counter", re.IGNORECASE)
_TOKENS = re.compile(r"tok(en)?s?(_|\b|/)|(^|_)tps\b|n_tok", re.IGNORECASE)
_CHANCES = re.compile(r"prob|chance|likelihood|ppl|perplexity", re.IGNORECASE)
_WORD = re.compile(r"^ ?[A-Za-z]+$")
_NO_PADDING = re.compile(r"(!=|\.ne\().*pad")


@in_the_source(
    "decode-argument-unknown",
    severities=(ERROR,),
    how_sure="Likely where only the source was read: another argument is meant, by its name.",
)
def decode_argument_unknown(source: Source) -> Iterator[Finding]:
    """A keyword of `decode`, or of a streamer, that is nearly one it has."""
    yield from _streamers_keywords(source)
    for call in source.calls:
        if name_of(call) not in _DECODES or not source.is_tokenizer(owner_of(call)):
            continue
        for each in call.keywords:
            meant = _meant(each.arg)
            if meant is None:
                continue
            yield found(
                "decode-argument-unknown",
                ERROR,
                call,
                what=f"{each.arg}= is no argument of decode, which drops it.",
                why=f"The text is as if it was not said; {meant}= is what there is.",
                fix=f"{source.words(call.func)}(ids, {meant}={source.words(each.value)})",
            )


def _streamers_keywords(source: Source) -> Iterator[Finding]:
    """Yield where a streamer gets a keyword that is nearly one of its own, or of decode's."""
    for call in source.calls:
        for each in call.keywords if name_of(call) in _STREAMERS else ():
            if each.arg is None or each.arg in (*_OF_STREAMERS, *_KNOWN):
                continue
            names = (*_OF_STREAMERS, *_KNOWN)
            near = difflib.get_close_matches(each.arg.lower(), names, n=1, cutoff=0.75)
            if not near:
                continue
            yield found(
                "decode-argument-unknown",
                ERROR,
                call,
                what=f"{each.arg}= is no argument of {name_of(call)}, which hands it to decode.",
                why=f"decode drops it; {near[0]}= is what there is.",
                fix=f"{name_of(call)}(tokenizer, {near[0]}={source.words(each.value)})",
            )


def _meant(name: str | None) -> str | None:
    """Return the argument of `decode` that a name is nearly; None if it is one, or none."""
    if name is None or name in _KNOWN or name.startswith("clean_up_tokenization_spaces"):
        return None
    near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.75)
    return _NOT_OF_DECODE.get(name, near[0] if near else None)


@in_the_source(
    "answer-cut-elsewhere",
    severities=(ERROR,),
    how_sure="""
        Likely where only the source was read: ids are cut by the length of a text, by the number of
        rows or fields, or by a length without the padding; or a text by a number of tokens.
    """,
)
def answer_cut_elsewhere(source: Source) -> Iterator[Finding]:
    """An output is cut by a length that is not the prompt's, padding included, in tokens."""
    yield from _texts_cut_by_tokens(source)
    for node in list(source.scopes):
        lower = _cut_from(source, node)
        if lower is None:
            continue
        measure = _measures(source, lower)
        if measure is None:
            continue
        yield found(
            "answer-cut-elsewhere",
            ERROR,
            node,
            what=f"{source.words(node)} cuts ids by {measure}, not by the prompt's tokens.",
            why="The answer's beginning is missing, or the prompt's end is still there.",
            fix=f'{source.words(node.value)}[..., inputs["input_ids"].shape[1]:]',
        )


def _cut_from(source: Source, node: ast.AST) -> ast.AST | None:
    """Return where a slice of an output's ids begins; None for other nodes."""
    if not isinstance(node, ast.Subscript):
        return None
    part = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
    if not isinstance(part, ast.Slice) or part.lower is None:
        return None
    whole = not isinstance(node.slice, ast.Tuple) and _is_row(source, node.value)
    return part.lower if whole or source.is_output(node.value) else None


def _is_row(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a whole row of an output, one that a loop counts too."""
    value = source.value(node)
    counted = isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Name)
    return source.is_output_row(node) or (counted and source.is_output(value.value))


def _measures(source: Source, lower: ast.AST) -> str | None:
    """Return what a length measures, in words, where that is not the prompt in tokens."""
    value = followed(source, lower)
    while isinstance(value, ast.Call | ast.Subscript):  # a row's of the lengths of all rows
        whole = isinstance(value, ast.Subscript) or name_of(value) in ("item", "tolist", "int")
        if not whole or (isinstance(value, ast.Call) and value.args):
            break
        value = followed(
            source, value.value if isinstance(value, ast.Subscript) else owner_of(value)
        )
    value = value.elt if isinstance(value, ast.ListComp) else value
    if not isinstance(value, ast.Call):
        return None
    words = ast.unparse(value)
    if name_of(value) == "sum" and _pads(source):
        if "attention_mask" in words:
            return "the sum of its mask, which leaves padding out"
        return "its tokens without padding" if _NO_PADDING.search(words) else None
    if last_name(value.func) != "len" or len(value.args) != 1:
        return None
    measured = value.args[0]
    if _pads(source) and _encodes_again(source, measured):
        return "the length of one prompt without the batch's padding"
    if source.is_encoding(followed(source, measured)):
        return "the number of fields of the inputs"
    if _is_batch_of_ids(source, measured):
        return "the number of prompts"
    return "the prompt's characters" if _is_text(source, measured) else None


def _texts_cut_by_tokens(source: Source) -> Iterator[Finding]:
    """Yield where a decoded text is cut by a number of tokens."""
    for node in list(source.scopes):
        cut = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
        lower = followed(source, node.slice.lower) if cut and node.slice.lower else None
        if lower is None or not _counts_tokens(source, lower):
            continue
        answer = answer_at(source, node.value)
        if answer is None or answer.many or not answer.is_decoded or answer.has_prompt is False:
            continue
        yield found(
            "answer-cut-elsewhere",
            ERROR,
            node,
            what=f"{source.words(node)[:80]} cuts a text's characters by a number of tokens.",
            why="A token is several characters: most of the prompt is still there.",
            fix='tokenizer.decode(output[0, inputs["input_ids"].shape[1]:])',
        )


def _counts_tokens(source: Source, length: ast.AST) -> bool:
    """Tell whether a length is that of the prompt's ids."""
    if isinstance(length, ast.Subscript):
        return isinstance(length.value, ast.Attribute) and length.value.attr == "shape"
    if not isinstance(length, ast.Call) or not length.args or last_name(length.func) != "len":
        return False
    return _owner_of_ids(followed(source, length.args[0])) is not None or (
        isinstance(length.args[0], ast.Subscript)
        and _owner_of_ids(followed(source, length.args[0].value)) is not None
    )


def _encodes_again(source: Source, node: ast.AST) -> bool:
    """Tell whether ids are those of one text, as they are without the batch's padding."""
    value = followed(source, node)
    several = isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)
    if several and isinstance(value.slice.value, int):  # one of the ids of all texts
        value = followed(source, value.value)
        value = value.elt if isinstance(value, ast.ListComp) else value
    value = followed(source, _owner_of_ids(value) or value)
    if not isinstance(value, ast.Call) or not value.args or keyword(value, "padding"):
        return False
    if keyword(value, "return_tensors") is not None and several:
        return False  # rows of one tensor have one length
    known = name_of(value) == "encode" and source.is_tokenizer(owner_of(value))
    listed = isinstance(followed(source, value.args[0]), ast.List | ast.ListComp)
    return (several or not listed) and (known or source.is_tokenizer(value.func))


def _pads(source: Source) -> bool:
    return any(keyword(call, "padding") is not None for call in source.calls)


def _is_batch_of_ids(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is all ids of a batch: `inputs["input_ids"]`, as tensors."""
    owner = _owner_of_ids(followed(source, node))
    inner = None if owner is None else source.placed(followed(source, owner))
    if not isinstance(inner, ast.Call) or not source.is_encoding(inner):
        return False
    return keyword(inner, "return_tensors") is not None


def _owner_of_ids(node: ast.AST) -> ast.AST | None:
    """Return `a` of `a["input_ids"]` and of `a.input_ids`; None for other nodes."""
    entry = isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "'input_ids'"
    field = isinstance(node, ast.Attribute) and node.attr == "input_ids"
    return node.value if entry or field else None


def _is_text(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a text: written there, rendered, or what a tokenizer reads."""
    value = followed(source, node)
    if isinstance(value, ast.JoinedStr):
        return True
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    if isinstance(value, ast.Call) and name_of(value) == "apply_chat_template":
        asks = keyword(value, "tokenize")
        return isinstance(asks, ast.Constant) and asks.value is False
    given = [call.args[0] for call in source.calls if call.args and source.is_tokenizer(call.func)]
    return isinstance(node, ast.Name) and node.id in [name_at(one) for one in given]


@in_the_source(
    "split-by-a-mark",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    symptom="The answer is the whole text, an IndexError, or breaks off at a word.",
    cause="""
        The answer is cut out of the decoded text by a mark of the template. Special tokens are not
        in a text that was decoded without them; a plain word like `assistant` may stand in any
        answer.
    """,
    fix="Cut the ids, then decode.",
    example="""
        new = output[0, inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True)
    """,
    how_sure="""
        Likely: only the source was read. An error where the mark is a special token that decoding
        dropped, a warning where it is a role's name.
    """,
)
def split_by_a_mark(source: Source) -> Iterator[Finding]:
    """A decoded text is split at a mark that is not in it, or may be in it anywhere."""
    for call in source.calls:
        splits = name_of(call) in _SPLITS
        mark = call.args[0] if splits and call.args else None
        if not isinstance(mark, ast.Constant) or not isinstance(mark.value, str):
            continue
        decoded = _decoding(source, owner_of(call))
        if decoded is None:
            continue
        skipped = is_true(keyword(decoded, "skip_special_tokens")) and _SPECIAL.search(mark.value)
        if not skipped and not (_ROLE.match(mark.value) and _is_whole(source, decoded)):
            continue
        yield found(
            "split-by-a-mark",
            ERROR if skipped else WARNING,
            call,
            what=f"The text is split at {mark.value!r}, "
            + ("which skip_special_tokens=True leaves out." if skipped else "a plain word."),
            why="It is not found, and nothing is cut off."
            if skipped
            else "Where the prompt or the answer has that word, another part is taken.",
            fix='tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], '
            "skip_special_tokens=True)",
        )


def _decoding(source: Source, text: ast.AST) -> ast.Call | None:
    """Return the call that decoded a text, one of a list of texts too."""
    value = followed(source, text)
    if isinstance(value, ast.Subscript):
        value = followed(source, value.value)
    if isinstance(value, ast.Call) and name_of(value) in ("strip", "lstrip", "rstrip"):
        return _decoding(source, owner_of(value))
    decodes = isinstance(value, ast.Call) and name_of(value) in _DECODES and bool(value.args)
    return value if decodes and source.is_tokenizer(owner_of(value)) else None


def _is_whole(source: Source, decoded: ast.Call) -> bool:
    rows = decoded.args[0]
    return source.is_output(rows) or source.is_output_row(rows)


@in_the_source(
    "scores-begin-after-prompt",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="An IndexError, an empty list, or scores of other tokens than those beside them.",
    cause="""
        `scores` and `logits` of a call have one entry for each *new* token; `sequences` begin with
        the prompt.
    """,
    fix="Cut the prompt off the sequences, and leave the scores as they are.",
    example="""
        new = made.sequences[0, inputs["input_ids"].shape[1] :]
        for token, scores in zip(new, made.scores):
    """,
    how_sure="Likely: only the source was read, where a place in the whole row picks a score.",
)
def scores_begin_after_prompt(source: Source) -> Iterator[Finding]:
    """Scores are cut by the prompt's length, or paired with the whole row."""
    for node in list(source.scopes):
        taken = _is_cut_by_prompt(source, node) or _goes_with_the_row(source, node)
        if not taken:
            continue
        yield found(
            "scores-begin-after-prompt",
            ERROR,
            node,
            what=f"{source.words(node)} takes the scores' places for those of the whole row.",
            why="There is a score for each new token, and none for the prompt's.",
            fix='made.sequences[0, inputs["input_ids"].shape[1]:]  # goes with made.scores',
        )


def _is_scores(source: Source, node: ast.AST) -> bool:
    value = followed(source, node)
    named = isinstance(value, ast.Attribute) and value.attr in ("scores", "logits")
    return named and source.is_generate(source.placed(value.value))


def _is_cut_by_prompt(source: Source, node: ast.AST) -> bool:
    if not isinstance(node, ast.Subscript) or not _is_scores(source, node.value):
        return False
    place = node.slice.lower if isinstance(node.slice, ast.Slice) else node.slice
    if place is None or isinstance(place, ast.Constant | ast.UnaryOp):
        return False
    if isinstance(node.slice, ast.Name) and _counts_the_row(source, node.slice):
        return True
    if isinstance(place, ast.BinOp) and isinstance(place.op, ast.Sub):
        return False
    measured = [ast.unparse(part) for part in parts_followed(source, place, 3)]
    return any("input_ids" in one and ("shape" in one or "len(" in one) for one in measured)


def _counts_the_row(source: Source, name: ast.Name) -> bool:
    """Tell whether a name is the number in an `enumerate` of a whole row."""
    for above in source.above(name):
        loops = [above] if isinstance(above, ast.For) else getattr(above, "generators", [])
        for loop in loops:
            target, through = loop.target, loop.iter
            counts = isinstance(through, ast.Call) and last_name(through.func) == "enumerate"
            if not counts or not isinstance(target, ast.Tuple) or not through.args:
                continue
            if name_at(target.elts[0]) == name.id:
                return source.is_output_row(through.args[0])
    return False


def _goes_with_the_row(source: Source, node: ast.AST) -> bool:
    """Tell whether `zip` pairs scores with a whole row."""
    if not isinstance(node, ast.Call) or last_name(node.func) != "zip":
        return False
    scored = any(_is_scores(source, one) for one in node.args)
    return scored and any(source.is_output_row(one) for one in node.args)


@in_the_source(
    "transition-scores-raw",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    symptom="Chances above 1, or sums that are no log-probabilities.",
    cause="""
        `compute_transition_scores` gives what is in `scores`: raw numbers, unless
        `normalize_logits=True`. Of beams they are normalized, and `beam_indices` say which beam
        each token came from.
    """,
    fix="Ask for normalized ones; with beams, hand over the indices.",
    example="""
        model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)
    """,
    how_sure="""
        Likely: only the source was read. An error for beams without their indices, a warning where
        raw scores are taken for chances.
    """,
)
def transition_scores_raw(source: Source) -> Iterator[Finding]:
    """Transition scores that are not normalized, or of the wrong beams."""
    by_call = {asked.call: asked for asked in every_asked(source)}
    for call in source.calls:
        if name_of(call) != "compute_transition_scores" or not call.args:
            continue
        made = followed(source, call.args[0])
        made = source.placed(made.value) if isinstance(made, ast.Attribute) else made
        asked = by_call.get(made)
        if asked is None or any(each.arg is None for each in call.keywords):
            continue
        beams = source.constants(asked.given.get("num_beams"))
        several = any(isinstance(one, int) and one > 1 for one in beams)
        indices = keyword(call, "beam_indices") is not None or len(call.args) > 2
        lost = several and not indices
        raw = not several and not beams and len(call.args) < 4
        raw &= not is_true(keyword(call, "normalize_logits")) and _are_chances(source, call)
        if not lost and not raw:
            continue
        yield found(
            "transition-scores-raw",
            ERROR if lost else WARNING,
            call,
            what="The scores are of beams, and beam_indices= are not given."
            if lost
            else "Transition scores without normalize_logits=True are taken for log-chances.",
            why="Each score is read from the beam of that number, not the one the token is of."
            if lost
            else "They are raw scores: their exponent is no chance.",
            fix=f"{source.words(call.func)}(made.sequences, made.scores, "
            + ("made.beam_indices)" if lost else "normalize_logits=True)"),
        )


def _are_chances(source: Source, call: ast.Call) -> bool:
    """Tell whether what a call gives, or the name that it gets, is put into `exp` or named so."""
    statement = next((one for one in source.above(call) if isinstance(one, ast.stmt)), None)
    if not isinstance(statement, ast.Assign):
        return statement is not None and "exp(" in ast.unparse(statement)
    name = last_name(statement.targets[0])
    if _CHANCES.search(name):
        return True
    exponents = [node for node in source.calls if name_of(node) in ("exp", "exp_")]
    return any(
        name_at(part) == name for node in exponents for part in parts_followed(source, node, 2)
    )


@in_the_source(
    "words-counted-as-tokens",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Tokens per second that no other tool agrees with.",
    cause="A token is a piece of a word: words, or characters, of a text are not its tokens.",
    fix="Count ids.",
    example='tokens = output.shape[1] - inputs["input_ids"].shape[1]',
    how_sure="Likely: only the source was read; that tokens are meant is inferred from a name.",
)
def words_counted_as_tokens(source: Source) -> Iterator[Finding]:
    """Words or characters of a decoded text are called tokens."""
    for call in source.calls:
        if last_name(call.func) != "len" or len(call.args) != 1:
            continue
        counted = followed(source, call.args[0])
        words = isinstance(counted, ast.Call) and name_of(counted) == "split" and not counted.args
        text = owner_of(counted) if words else call.args[0]
        if _decoding(source, text) is None or not _called_tokens(source, call):
            continue
        given = followed(source, text)
        if isinstance(given, ast.Call) and name_of(given) == "batch_decode":
            continue  # how many texts
        of = "words" if words else "characters"
        yield found(
            "words-counted-as-tokens",
            WARNING,
            call,
            what=f"{source.words(call)} counts {of}, and they are called tokens.",
            why="A token is a piece of a word: the number is another for each text and tokenizer.",
            fix='output.shape[1] - inputs["input_ids"].shape[1]',
        )


def _called_tokens(source: Source, call: ast.Call) -> bool:
    """Tell whether a count gets a name of tokens, or makes a rate of tokens."""
    for above in source.above(call):
        if isinstance(above, ast.Compare | ast.IfExp | ast.Subscript | ast.Slice):
            return False
        if isinstance(above, ast.JoinedStr):
            return bool(_TOKENS.search(ast.unparse(above)))
        if isinstance(above, ast.Assign):
            return bool(_TOKENS.search(last_name(above.targets[0])))
        if isinstance(above, ast.AugAssign):
            return bool(_TOKENS.search(last_name(above.target)))
        if isinstance(above, ast.stmt):
            return bool(_TOKENS.search(ast.unparse(above))) and _PER_TIME.search(ast.unparse(above))
    return False


@in_the_source(
    "first-id-of-a-word",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="Yes and No are equally likely, or never; `convert_tokens_to_ids` gives unknown.",
    cause="""
        The first id of an encoded word may be the begin token, which some tokenizers put before
        every text, or a piece of the word. After a space the word is another token than alone, and
        the vocabulary spells that space with a marker.
    """,
    fix="Encode the word as it stands in the text, without special tokens; see that it is one.",
    example="""
        (yes,) = tokenizer(" Yes", add_special_tokens=False).input_ids
    """,
    how_sure="""
        Likely: only the source was read. A note where it depends on the tokenizer; a warning where
        a token is looked up by its text with a space.
    """,
)
def first_id_of_a_word(source: Source) -> Iterator[Finding]:
    """A word's chance is read at its first id, special tokens included."""
    for node in list(source.scopes):
        looked_up = _looked_up_with_space(source, node)
        word = looked_up or _first_id_of(source, node)
        if word is None:
            continue
        yield found(
            "first-id-of-a-word",
            WARNING if looked_up else NOTE,
            node,
            what=f"{source.words(node)} looks up a token by a text with a space."
            if looked_up
            else f"{source.words(node)} is the first id of {word!r}, special tokens included.",
            why="Vocabularies spell the space with a marker: it is not found."
            if looked_up
            else "Where the tokenizer begins texts with a token, it is that one for every word.",
            fix=f"(token,) = tokenizer({word!r}, add_special_tokens=False).input_ids",
        )


def _looked_up_with_space(source: Source, node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call) or name_of(node) != "convert_tokens_to_ids" or not node.args:
        return None
    words = [one for one in source.constants(node.args[0]) if isinstance(one, str)]
    return next((word for word in words if word.startswith(" ") and word.strip()), None)


def _first_id_of(source: Source, node: ast.AST) -> str | None:
    """Return the word whose first id a node takes: `tokenizer("Yes").input_ids[0]`."""
    if not isinstance(node, ast.Subscript) or ast.unparse(node.slice) != "0":
        return None
    if isinstance(above := source.parents.get(node), ast.keyword) and above.arg == "eos_token_id":
        return None  # as the end of a text: a mistake of its own
    encodes = isinstance(node.value, ast.Call) and name_of(node.value) == "encode"
    value = node.value if encodes else _owner_of_ids(node.value)
    if not isinstance(value, ast.Call) or not value.args:
        return None
    if isinstance(followed(source, value.args[0]), ast.List | ast.ListComp):
        return None  # a batch, of which this is the first row
    known = source.is_tokenizer(value.func) or source.is_tokenizer(owner_of(value))
    if not known or keyword(value, "add_special_tokens") or keyword(value, "return_tensors"):
        return None
    words = [one for one in source.constants(value.args[0]) if isinstance(one, str)]
    return next((word for word in words if _WORD.match(word)), None)


@in_the_source(
    "windows-overlap",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="A perplexity that changes with the stride, and agrees with no published one.",
    cause="""
        A long text is read in windows that overlap, so that each token has a context. Where all of
        a window's tokens are labels, those in the overlap are counted twice.
    """,
    fix="Set the labels of what was counted before to -100.",
    example="labels[:, :-new_tokens] = -100",
    how_sure="""
        Likely: only the source was read, where the step differs from the window's length and no
        label is set to -100.
    """,
)
def windows_overlap(source: Source) -> Iterator[Finding]:
    """Windows with a stride of their own, whose ids are all labels."""
    if "-100" in source.text or "trg_len" in source.text:
        return
    for call in source.calls:
        if keyword(call, "labels") is None or not source.is_forward(call):
            continue
        for above in source.above(call):
            through = above.iter if isinstance(above, ast.For) else None
            if not isinstance(through, ast.Call) or len(through.args) != 3:
                continue
            if last_name(through.func) != "range" and name_of(through) != "tqdm":
                continue
            lengths = _lengths(above)
            step = ast.unparse(through.args[2])
            if not lengths or step in lengths or not _is_shorter(source, through.args[2], lengths):
                continue
            yield found(
                "windows-overlap",
                WARNING,
                call,
                what=f"Windows of {lengths[0]} tokens begin every {step}, and all are labels.",
                why="Tokens where windows overlap are counted twice, once with little context.",
                fix="labels[:, :-new_tokens] = -100",
            )
            return


def _lengths(loop: ast.For) -> list[str]:
    """Return how long a loop's windows are: what is added to its variable."""
    begin = name_at(loop.target)
    return [
        ast.unparse(node.right)
        for statement in loop.body
        for node in ast.walk(statement)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and name_at(node.left) == begin
    ]


def _is_shorter(source: Source, step: ast.AST, lengths: list[str]) -> bool:
    """Tell whether a step is shorter than a window, by its number or by being called a stride."""
    number = followed(source, step)
    known = isinstance(number, ast.Constant) and isinstance(number.value, int)
    if known and lengths[0].isdigit():
        return number.value < int(lengths[0])
    return "stride" in ast.unparse(step)


_OF_NEW_TOKENS = re.compile(
    r"^(num|n|nr|total|count)?_?(new|generated|gen|completion|output|answer|response)_?"
    r"(tokens?|toks?|length|len|count)(_count)?$|^tokens_generated$",
    re.IGNORECASE,
)


@in_the_source(
    "tokens-counted-anew",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="Scores of tokens that are not in the text, or a few tokens more or fewer than made.",
    cause="""
        A text that is decoded and encoded again need not have the tokens that the model wrote:
        special tokens are left out or added, white space is stripped, and a word can be cut into
        other pieces.
    """,
    fix="Count the ids of the output.",
    example='new_tokens = out[0, inputs["input_ids"].shape[1] :].shape[0]',
    how_sure="""
        Likely: only the source was read, where the text is decoded from an output. A note where the
        number is only a count.
    """,
)
def tokens_counted_anew(source: Source) -> Iterator[Finding]:
    """The tokens of a decoded text are counted by encoding it again."""
    for count in list(source.scopes):
        text = _encoded_text(source, _whose_tokens_are_counted(count))
        if text is None or not _is_decoded_output(source, text):
            continue
        slices = _slices_by(source, count)
        if not slices and not _called_new_tokens(source, count):
            continue
        words = source.words(text)
        yield found(
            "tokens-counted-anew",
            WARNING if slices else NOTE,
            count,
            what=f"{source.words(count)[:80]} counts tokens by encoding the decoded text {words} "
            "again.",
            why="A text tokenized again can have more or fewer tokens than were generated: a "
            "length of other tokens.",
            fix='output[0, inputs["input_ids"].shape[1]:].shape[0]  # ids of the output itself',
        )


def _whose_tokens_are_counted(node: ast.AST) -> ast.AST | None:
    """Return `x` of `len(x)`, `x.shape[1]` and `x.numel()`; None for other nodes."""
    if isinstance(node, ast.Call) and last_name(node.func) == "len" and len(node.args) == 1:
        return node.args[0]
    if isinstance(node, ast.Call) and name_of(node) in ("numel", "size"):
        return owner_of(node)
    of_shape = isinstance(node, ast.Subscript) and last_name(node.value) == "shape"
    return node.value.value if of_shape and isinstance(node.value, ast.Attribute) else None


def _encoded_text(source: Source, node: ast.AST | None) -> ast.AST | None:
    """Return the text whose ids an expression is; None for other expressions."""
    if node is None:
        return None
    value = followed(source, node)
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        value = followed(source, value.value) if value.slice.value == 0 else value
    value = followed(source, _owner_of_ids(value) or value)
    if not isinstance(value, ast.Call) or not value.args:
        return None
    method = name_of(value) in ("encode", "tokenize") and source.is_tokenizer(owner_of(value))
    return value.args[0] if method or source.is_tokenizer(value.func) else None


def _is_decoded_output(source: Source, text: ast.AST, depth: int = 8) -> bool:
    """Tell whether a text is decoded from what `generate` returned, stripped or split since."""
    value = followed(source, text)
    if not depth:
        return False
    if isinstance(value, ast.Subscript):
        return _is_decoded_output(source, value.value, depth - 1)
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
        return False
    if name_of(value) in ("strip", "rstrip", "lstrip", "split", "replace", "removeprefix"):
        return _is_decoded_output(source, owner_of(value), depth - 1)
    decodes = name_of(value) in ("decode", "batch_decode") and source.is_tokenizer(owner_of(value))
    return (
        decodes
        and bool(value.args)
        and any(source.is_generate(part) for part in parts_followed(source, value.args[0]))
    )


def _slices_by(source: Source, count: ast.expr) -> bool:
    """Tell whether a number is where a slice begins or ends."""
    for node in source.scopes[count].nodes:
        if isinstance(node, ast.Slice):
            ends = [one for one in (node.lower, node.upper) if one is not None]
            inner = [one.operand if isinstance(one, ast.UnaryOp) else one for one in ends]
            if any(followed(source, one) is count for one in inner):
                return True
    return False


def _called_new_tokens(source: Source, count: ast.expr) -> bool:
    """Tell whether a number is called one of new tokens, or is divided by a time."""
    above = source.parents.get(count)
    if isinstance(above, ast.Assign):
        return bool(_OF_NEW_TOKENS.match(last_name(above.targets[0])))
    if isinstance(above, ast.keyword):
        return bool(_OF_NEW_TOKENS.match(above.arg or ""))
    if isinstance(above, ast.Dict) and count in above.values:
        key = above.keys[above.values.index(count)]
        return isinstance(key, ast.Constant) and bool(_OF_NEW_TOKENS.match(str(key.value)))
    return isinstance(above, ast.BinOp) and isinstance(above.op, ast.Div) and above.left is count

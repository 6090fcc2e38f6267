"""Scores of the tokens that were written: with which they are paired, raw, processed or padded."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, asked_of, every_asked
from llmcourse.doctor.static.reading.fields import field_of, is_field
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import OF_A_TENSOR, tensor_of
from llmcourse.doctor.subject import Subject

# Settings that put tokens at -inf or shift them, so that scores are not the model's own.
_SHAPING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "bad_words_ids")
_CHANCES = re.compile(r"prob|chance|likelihood|ppl|perplexity", re.IGNORECASE)


@in_the_source(
    "scores-are-processed",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="Most scores are -inf, and the rest do not agree with the model's probabilities.",
    cause="""
        `scores` are what the token was drawn from: after temperature, top-k, top-p and penalties.
        The model's own values are the `logits`.
    """,
    fix="Ask for the logits.",
    example="""
        made = model.generate(**inputs, output_logits=True, return_dict_in_generate=True)
        made.logits[0].softmax(-1)
    """,
    how_sure="""
        Likely: only the source was read, where the call samples or shapes and its scores go through
        a softmax. Who wants the chances within the draw is right to do so.
    """,
)
def scores_are_processed(source: Source) -> Iterator[Finding]:
    """A softmax of the scores of a call that shapes them."""
    by_call = {asked.call: asked for asked in every_asked(source)}
    for node in list(source.scopes):
        if not isinstance(node, ast.Attribute) or node.attr != "scores":
            continue
        asked = by_call.get(source.value(node.value))
        if asked is None or not _shapes(source, asked) or not _goes_to_softmax(source, node):
            continue
        yield found(
            "scores-are-processed",
            NOTE,
            node,
            what=f"A softmax of {source.words(node)}, which the call's own settings have shaped.",
            why="What top-k and top-p cut is at -inf there. The model's own values are the logits.",
            fix=f"{asked.words}(..., output_logits=True)  # and {source.words(node.value)}.logits",
        )
        return


def _shapes(source: Source, asked: Asked) -> bool:
    if asked.says_sampling:  # with a top-k of 50, unless the call says otherwise
        return source.constants(asked.given.get("top_k")) != [0] or "top_p" in asked.given
    return any(name in asked.given for name in _SHAPING[-2:])


def _goes_to_softmax(source: Source, node: ast.AST) -> bool:
    for above in source.above(node):
        if name_of(above) in ("softmax", "log_softmax"):
            return True
        if isinstance(above, ast.stmt):
            return False
    return False


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
        several = source.is_above_one(asked.given.get("num_beams"))
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
    "scores-of-padding",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Short answers of a batch get other scores than alone, often far lower ones.",
    cause="""
        A row that has ended is filled up with padding until the longest row ends, and
        `compute_transition_scores` gives a number for these places too. A mean or sum over all
        steps counts them.
    """,
    fix="Count the new tokens of each row alone.",
    example="""
        new = out.sequences[:, inputs["input_ids"].shape[1] :]
        counts = new != tokenizer.pad_token_id
        mean = steps.masked_fill(~counts, 0).sum(1) / counts.sum(1)
    """,
    how_sure="""
        Likely: only the source was read, where the call has several rows and nothing leaves
        padding out. Of beams the padded places count 0, which a sum may hold.
    """,
)
def scores_of_padding(source: Source) -> Iterator[Finding]:
    """Transition scores are added up over all steps, the padded ones too."""
    if _LEAVES_OUT.search(source.text):
        return
    for call in source.calls:
        if name_of(call) not in ("mean", "sum") or tensor_of(call) is None:
            continue
        made = _transitions(source, tensor_of(call))
        if made is None or not made.args or not _has_several_rows(source, made):
            continue
        if name_of(call) == "sum" and _of_beams(made):
            continue  # padding counts 0 there
        yield found(
            "scores-of-padding",
            WARNING,
            call,
            what=f"{source.words(call)} counts the places after a row's end too: padding.",
            why="Rows end at different steps, and padding has transition scores like any token.",
            fix="steps.masked_fill(new == tokenizer.pad_token_id, 0).sum(1)  # per row's tokens",
        )
        return


_LEAVES_OUT = re.compile(
    r"isinf|isfinite|masked_fill|pad_token_id\s*\)?[\]:)]|< 0|where"
    r"|(!=|==|\.ne\()\s*\w*\.?(pad|eos)"
)


def _of_beams(made: ast.Call) -> bool:
    """Tell whether the indices of beams are handed over: what is behind an end then counts 0."""
    return "beam_indices" in ast.unparse(made)


def _transitions(source: Source, node: ast.AST) -> ast.Call | None:
    """Return the `compute_transition_scores` of which an expression is all scores, as they are."""
    made = followed(source, node)
    while name_of(made) in (*OF_A_TENSOR, "exp"):
        made = followed(source, owner_of(made))
    transitions = name_of(made) == "compute_transition_scores"
    return made if transitions else None


def _has_several_rows(source: Source, made: ast.Call) -> bool:
    """Tell whether the call whose scores these are has several rows: prompts, or sequences."""
    field = field_of(source, made.args[0])
    if field is None or not field.generates:
        return False
    asked = asked_of(source, field.call)
    if asked and source.is_above_one(asked.given.get("num_return_sequences")):
        return True
    opened = [source.placed(each.value) for each in field.call.keywords if each.arg is None]
    return any(isinstance(one, ast.Call) and keyword(one, "padding") is not None for one in opened)


@in_the_source(
    "sequence-scores-averaged",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="`sequences_scores` is not the sum of the tokens' log-probabilities.",
    cause="""
        A beam's score is that sum divided by the number of new tokens to the power of
        `length_penalty`, which is 1 by default: a mean.
    """,
    fix="Sum the transition scores, or search with `length_penalty=0.0`.",
    example="""
        steps = model.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
        steps.sum(dim=1)
    """,
    how_sure="""
        Likely: only the source was read. A warning beside the sum of transition scores, a note
        where the score's exponential is taken, which is right for a mean probability of a token.
    """,
)
def sequence_scores_averaged(source: Source) -> Iterator[Finding]:
    """A mean of log-probabilities is taken for their sum."""
    reads = [one for one in source.scopes if is_field(one, "sequences_scores")]
    if not reads or "length_penalty" in source.text:
        return
    divided = any(
        isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div) for one in source.scopes
    )
    summed = [one for one in source.calls if name_of(one) == "sum" and _of_transitions(source, one)]
    exps = [one for one in source.calls if name_of(one) == "exp" and _reads(source, one, reads)]
    if divided or not (summed or exps):
        return
    read = source.words(reads[0])
    yield found(
        "sequence-scores-averaged",
        WARNING if summed else NOTE,
        reads[0] if summed else exps[0],
        what=f"{read} is a mean over the new tokens: their sum divided by the length.",
        why="With length_penalty=1.0, the default, it is not the log-probability of the sequence.",
        fix="model.generate(..., length_penalty=0.0)  # then the score is the sum",
    )


def _of_transitions(source: Source, call: ast.Call) -> bool:
    """Tell whether a call sums transition scores themselves, not what was made of them."""
    made = source.value(owner_of(call))
    if isinstance(made, ast.Name) and call.args:  # torch.sum(steps)
        made = source.value(call.args[0])
    return name_of(made) == "compute_transition_scores"


def _reads(source: Source, call: ast.Call, reads: list[ast.AST]) -> bool:
    """Tell whether a call is of one of these attributes, as owner or argument."""
    given = [owner_of(call), *call.args]
    given = [source.value(one) for one in given]
    given = [one.value if isinstance(one, ast.Subscript) else one for one in given]
    return any(one in reads for one in given)

"""Fields of an output that are not there: not asked for, or read of a tensor."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, Finding
from llmcourse.doctor.static.reading.asked import Asked, asked_of, every_asked, is_set_elsewhere
from llmcourse.doctor.static.reading.fields import (
    PER_LAYER,
    PER_STEP,
    Field,
    fields,
    is_asked_about,
)
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_string,
    keyword,
    last_name,
    name_of,
)
from llmcourse.doctor.subject import Subject

_LOOKS = ("hasattr", "getattr", "isinstance", "keys", "get")
_FIELDS = (
    *("sequences", "scores", "logits", "past_key_values", "attentions", "hidden_states"),
    *("sequences_scores", "beam_indices"),
)


@in_the_source(
    "output-not-asked-for",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`TypeError: 'NoneType' object is not subscriptable`, or None where values should be.",
    cause="""
        Scores, logits, hidden states and attentions are only kept if they are asked for, each by a
        switch of its own: `output_scores`, `output_logits`, `output_hidden_states`,
        `output_attentions`. Otherwise the field is None. `sequences_scores` are of beam search.
    """,
    fix="Ask for the field, in the call that is to return it.",
    example="""
        out = model.generate(**inputs, return_dict_in_generate=True, output_hidden_states=True)
        out = model(**inputs, output_hidden_states=True)
    """,
    how_sure="""
        Likely: only the source was read, where nothing asks for the field. A model's own config
        may.
    """,
)
def output_not_asked_for(source: Source) -> Iterator[Finding]:
    """A field is read that the call does not return."""
    told = set()
    for field in fields(source, *PER_STEP, *PER_LAYER, "sequences_scores"):
        missing = _missing(source, field)
        if missing is None or (field.call, field.name) in told or _is_looked_at(source, field):
            continue
        told.add((field.call, field.name))
        yield found(
            "output-not-asked-for",
            ERROR,
            field.node,
            what=f"{source.words(field.node)} is None: {source.words(field.call.func)} was not "
            f"asked for {field.name}.",
            why="The field is only kept with its own switch; reading it gives a TypeError."
            if field.name != "sequences_scores"
            else "They are the scores of beams: greedy decoding and sampling have none.",
            fix=f"{source.words(field.call.func)}(..., {missing})",
        )


def _missing(source: Source, field: Field) -> str | None:
    """Return the switch that a call lacks for a field; None where it may be set."""
    if not field.generates:
        return _missing_of_pass(source, field)
    asked = asked_of(source, field.call)
    if asked is None or not asked.is_whole or "return_dict_in_generate" not in asked.given:
        return None
    if field.name == "sequences_scores":
        lone = "num_beams" not in asked.given or source.constants(asked.given["num_beams"]) == [1]
        return None if not lone or "num_beams" in _set_elsewhere(source) else "num_beams=4"
    switch = f"output_{field.name}"
    off = switch not in asked.given or is_false(asked.given[switch])
    return f"{switch}=True" if off and switch not in _set_elsewhere(source) else None


def _missing_of_pass(source: Source, field: Field) -> str | None:
    switch = f"output_{field.name}"
    if field.name not in PER_LAYER or _defines_a_forward(source):
        return None
    given = keyword(field.call, switch)
    opened = [each.value for each in field.call.keywords if each.arg is None]
    plain = all(source.is_encoding(one) or "input" in last_name(one) for one in opened)
    if given is not None or not plain or switch in _set_elsewhere(source):
        return None
    return f"{switch}=True"


def _defines_a_forward(source: Source) -> bool:
    """Tell whether the source has a model of its own, which may return what it likes."""
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "forward" for node in source.scopes
    )


def _set_elsewhere(source: Source) -> set[str]:
    """Return what is set outside the calls that generate or are a pass: in configs, at loading."""
    names = {
        each.arg
        for call in source.calls
        if not source.is_generate(call) and not source.is_forward(call)
        for each in call.keywords
        if each.arg
    }
    for node in list(source.scopes):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif is_string(node):
            names.add(node.value)
    return names


def _is_looked_at(source: Source, field: Field) -> bool:
    """Tell whether the source asks if a field is there: `if out.scores is not None`."""
    words = ast.unparse(field.node)
    for node in list(source.scopes):
        tests = node.test if isinstance(node, ast.If | ast.IfExp | ast.Assert) else None
        if tests is not None and words in ast.unparse(tests):
            return True
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == words:
            return True
    looks = [call for call in source.calls if name_of(call) in _LOOKS]
    return any(ast.unparse(field.owner) in ast.unparse(call) for call in looks)


@in_the_source(
    "output-is-a-tensor",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`'Tensor' object has no attribute 'past_key_values'` (or `scores`, or `sequences`).",
    cause="""
        `generate` returns the ids alone, as a tensor. Scores, cache and hidden states come in an
        object, and only if that is asked for.
    """,
    fix="Ask for the object, and for what it should hold.",
    example="""
        made = model.generate(**inputs, return_dict_in_generate=True, output_scores=True)
        made.sequences, made.scores, made.past_key_values
    """,
    how_sure="""
        Likely: only the source was read. A model's own `generation_config` may ask for it.
    """,
)
def output_is_a_tensor(source: Source) -> Iterator[Finding]:
    """A field is read of what is a tensor."""
    if is_set_elsewhere(source, "return_dict_in_generate"):
        return
    by_call = {asked.call: asked for asked in every_asked(source)}
    for node in list(source.scopes):
        field = _field_of(node)
        if field not in _FIELDS:
            continue
        asked = by_call.get(source.value(node.value))
        if asked is None or "return_dict_in_generate" in asked.given:
            continue
        if not asked.is_whole and not _leaves_it(source, asked):
            continue
        if is_asked_about(source, node.value):
            continue
        yield found(
            "output-is-a-tensor",
            ERROR,
            node,
            what=f"{source.words(node)} is read, and {asked.words} returned a tensor of ids.",
            why="A tensor has no such attribute; return_dict_in_generate=True gives the object.",
            fix=f"{asked.words}(..., return_dict_in_generate=True{_also(field)})",
        )


def _leaves_it(source: Source, asked: Asked) -> bool:
    """Tell whether the config that a call gets is made in the source, and does not ask for it."""
    config = asked.given.get("generation_config")
    config = source.placed(config) if config is not None else None
    if name_of(config) != "GenerationConfig":
        return False
    said = {each.arg for each in (*config.keywords, *asked.call.keywords)}
    unpacked = [each.value for each in asked.call.keywords if each.arg is None]
    whole = not config.args and all(each.arg for each in config.keywords)
    return (
        whole and all(map(source.is_encoding, unpacked)) and "return_dict_in_generate" not in said
    )


def _field_of(node: ast.AST) -> str:
    """Return the field that is read: of `out.scores`, and of `out["scores"]`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    named = isinstance(node, ast.Subscript) and is_string(node.slice)
    return node.slice.value if named else ""


def _also(field: str) -> str:
    """Return what else has to be asked for so that a field is there."""
    fields = ("scores", "logits", "attentions", "hidden_states")
    return f", output_{field}=True" if field in fields else ""

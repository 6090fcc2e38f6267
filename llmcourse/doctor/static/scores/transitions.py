"""What a call returned, taken for something else: a tensor's fields, raw tokens, scores."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.answers.decoding import joins_words
from llmcourse.doctor.static.reading.asked import Asked, every_asked, is_set_elsewhere
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_FIELDS = (
    *("sequences", "scores", "logits", "past_key_values", "attentions", "hidden_states"),
    *("sequences_scores", "beam_indices"),
)
_OF_A_TENSOR = ("shape", "size", "ndim", "dim", "dtype", "tolist", "unsqueeze", "squeeze", "view")
_LOOKS = ("hasattr", "isinstance", "getattr")
# Settings that put tokens at -inf or shift them, so that scores are not the model's own.
_SHAPING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "bad_words_ids")


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
        if not isinstance(node, ast.Attribute) or node.attr not in _FIELDS:
            continue
        asked = by_call.get(source.value(node.value))
        if asked is None or not asked.is_whole or "return_dict_in_generate" in asked.given:
            continue
        if _is_looked_at(source, node.value):
            continue
        yield found(
            "output-is-a-tensor",
            ERROR,
            node,
            what=f"{source.words(node)} is read, and {asked.words} returned a tensor of ids.",
            why="A tensor has no such attribute; return_dict_in_generate=True gives the object.",
            fix=f"{asked.words}(..., return_dict_in_generate=True{_also(node.attr)})",
        )


def _also(field: str) -> str:
    """Return what else has to be asked for so that a field is there."""
    fields = ("scores", "logits", "attentions", "hidden_states")
    return f", output_{field}=True" if field in fields else ""


def _is_looked_at(source: Source, node: ast.AST) -> bool:
    """Tell whether the source asks what a name is: `hasattr(out, "sequences")`."""
    looks = [call for call in source.calls if name_of(call) in _LOOKS and call.args]
    return any(ast.unparse(call.args[0]) == ast.unparse(node) for call in looks)


@in_the_source(
    "encoding-has-no-shape",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom="`AttributeError: shape`, or `KeyError: 'shape'`, where ids were expected.",
    cause="""
        A tokenizer returns a dictionary of ids and mask, and so does `apply_chat_template` since
        version 5 of transformers. The tensor is one of its entries.
    """,
    fix='Take `inputs["input_ids"]`, or ask the template for ids alone with `return_dict=False`.',
    example="""
        inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
        length = inputs["input_ids"].shape[1]
    """,
    how_sure="Likely: only the source was read, where the name stands for a tokenizer's output.",
)
def encoding_has_no_shape(source: Source) -> Iterator[Finding]:
    """The dictionary is used as if it were a tensor, or a list of ids."""
    yield from _encodings_as_lists(source)
    for node in list(source.scopes):
        if not isinstance(node, ast.Attribute) or node.attr not in _OF_A_TENSOR:
            continue
        if not _is_only_an_encoding(source, node.value) or _is_looked_at(source, node.value):
            continue
        name = source.words(node.value) if isinstance(node.value, ast.Name) else "inputs"
        yield found(
            "encoding-has-no-shape",
            ERROR,
            node,
            what=f"{name} is a dictionary of ids and mask, and {name}.{node.attr} is read.",
            why="It has none: input_ids is its tensor. return_dict=False gives ids alone.",
            fix=f'{name}["input_ids"].{node.attr}',
        )
        return


def _encodings_as_lists(source: Source) -> Iterator[Finding]:
    """Yield where ids are put together, cut or made a tensor, and an encoding is meant as such."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Name | ast.Call) or not _is_a_list_there(source, node):
            continue
        if not _is_only_an_encoding(source, node) or _is_looked_at(source, node):
            continue
        if _has_more_arguments(source, node):
            continue
        name = source.words(node) if isinstance(node, ast.Name) else "inputs"
        yield found(
            "encoding-has-no-shape",
            ERROR,
            node,
            what=f"{source.words(source.parents[node])[:70]} takes {name} for a list of ids, and "
            "it is a dictionary of ids and mask.",
            why="The ids are its input_ids; return_dict=False has the template give ids alone.",
            fix=f'{name}["input_ids"]',
        )
        return


def _has_more_arguments(source: Source, node: ast.AST) -> bool:
    """Tell whether what made an encoding has arguments that are not seen, `**options`."""
    made = [one for one in source.values(node) if isinstance(one, ast.Call)]
    return any(each.arg is None for one in made for each in one.keywords)


def _is_a_list_there(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is used where a list of ids belongs."""
    above = source.parents.get(node)
    if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Add):
        return True
    if isinstance(above, ast.Subscript) and above.value is node:
        whole = ast.unparse(above.slice).lstrip("-")
        return isinstance(above.slice, ast.Slice) or whole.isdigit()
    if isinstance(above, ast.List) and len(above.elts) == 1:
        above = source.parents.get(above)
    makes = ("tensor", "LongTensor", "as_tensor", "extend")
    return isinstance(above, ast.Call) and name_of(above) in makes and bool(above.args)


def _is_only_an_encoding(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a tokenizer's output when it is read: not rebound above."""
    if source.is_encoding(node):
        return True
    if not isinstance(node, ast.Name):
        return False
    scope = source.scopes[node]
    bound = scope.bound.get(node.id, [])
    first = bound[0] if bound else None
    here = [node, *source.above(node)]  # what a name is given here, it is not yet
    later = [value for value in bound[1:] if getattr(value, "lineno", 0) <= node.lineno]
    later = [value for value in later if value not in here]
    inside = any(isinstance(above, ast.For | ast.While) for above in source.above(node))
    return first is not None and not later and not inside and source.is_encoding(first)


@in_the_source(
    "raw-tokens-joined",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="The text has Ġ, Ċ or ▁ in it, or no spaces; letters with accents are broken.",
    cause="""
        `convert_ids_to_tokens` gives the vocabulary's own spelling: a marker for a space, bytes as
        letters that stand for them. Only decoding turns them back into text.
    """,
    fix="Decode the ids; or give the tokens to `convert_tokens_to_string`.",
    example="text = tokenizer.decode(ids, skip_special_tokens=True)",
    how_sure="Likely: only the source was read, where the output's tokens are joined to a text.",
)
def raw_tokens_joined(source: Source) -> Iterator[Finding]:
    """The output's raw tokens are put together."""
    for call in source.calls:
        tokens = source.value(call.args[0]) if joins_words(call) else None
        if not isinstance(tokens, ast.Call) or name_of(tokens) != "convert_ids_to_tokens":
            continue
        if not tokens.args or not comes_from_output(source, tokens.args[0]):
            continue
        owner = source.words(owner_of(tokens))
        yield found(
            "raw-tokens-joined",
            WARNING,
            call,
            what=f"{source.words(call)} joins what convert_ids_to_tokens gave.",
            why="These are the vocabulary's spellings: markers for spaces, bytes for letters.",
            fix=f"{owner}.decode({source.words(tokens.args[0])})",
        )


def comes_from_output(source: Source, node: ast.AST, depth: int = 4) -> bool:
    """Tell whether an expression is made of what `generate` returned."""
    for part in ast.walk(node):
        if source.is_generate(part):
            return True
        value = source.value(part) if isinstance(part, ast.Name) else part
        if value is not part and depth and comes_from_output(source, value, depth - 1):
            return True
    return False


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
        if isinstance(above, ast.Call) and name_of(above) in ("softmax", "log_softmax"):
            return True
        if isinstance(above, ast.stmt):
            return False
    return False


@in_the_source(
    "embeds-output-sliced",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The answer is empty, or begins in its middle.",
    cause="""
        From `inputs_embeds` alone `generate` has no ids of the prompt, and returns the new tokens
        only: the slice takes away the answer's beginning.
    """,
    fix="Decode the row as it is.",
    example="""
        output = model.generate(inputs_embeds=embeds, attention_mask=mask)
        text = tokenizer.decode(output[0])
    """,
    how_sure="Likely: only the source was read, where the call gets no `input_ids`.",
)
def embeds_output_sliced(source: Source) -> Iterator[Finding]:
    """A prompt's length is cut off an output that holds no prompt."""
    for asked in every_asked(source):
        ids = asked.call.args or "input_ids" in asked.given or "inputs" in asked.given
        if "inputs_embeds" not in asked.given or ids or not asked.is_whole:
            continue
        if any(each.arg is None for each in asked.call.keywords):
            continue
        for node in list(source.scopes):
            if not isinstance(node, ast.Subscript) or not _is_cut(node):
                continue
            if source.value(_whole(source, node.value)) is asked.call:
                name = source.words(node.value)
                yield found(
                    "embeds-output-sliced",
                    ERROR,
                    node,
                    what=f"{source.words(node)} cuts a prompt off, and {name} holds none.",
                    why="From inputs_embeds alone generate returns only the new tokens.",
                    fix=f"{name}[0]" if isinstance(node.slice, ast.Tuple) else name,
                )


def _whole(source: Source, node: ast.AST) -> ast.AST:
    """Return the output of a row or of `.sequences`."""
    value = source.value(node)
    if isinstance(value, ast.Subscript) or (
        isinstance(value, ast.Attribute) and value.attr == "sequences"
    ):
        return _whole(source, value.value)
    return node


def _is_cut(node: ast.Subscript) -> bool:
    """Tell whether a slice begins after some length: `[0, n:]`, `[:, n:]`, `[n:]`."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    last = parts[-1]
    if not isinstance(last, ast.Slice) or last.lower is None:
        return False
    lengths = [last_name(part) for part in ast.walk(last.lower)]
    return bool({"shape", "len", "length", "prompt_length", "input_length"} & set(lengths))

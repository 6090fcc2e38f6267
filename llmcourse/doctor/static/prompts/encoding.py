"""How a prompt goes through the tokenizer: its arguments, its last space, what it gives back."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.fields import is_asked_about
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.static.reading.spelling import misspelt
from llmcourse.doctor.subject import Subject

_OF_A_TENSOR = ("shape", "size", "ndim", "dim", "dtype", "tolist", "unsqueeze", "squeeze", "view")
_OF_TOKENIZERS = (
    "text text_pair text_target text_pair_target add_special_tokens padding truncation max_length "
    "stride is_split_into_words pad_to_multiple_of padding_side return_tensors "
    "return_token_type_ids return_attention_mask return_overflowing_tokens "
    "return_special_tokens_mask return_offsets_mapping return_length verbose "
    "split_special_tokens tokenizer_kwargs truncation_side"
)
_OF_GENERATE = (
    "max_new_tokens do_sample temperature top_p top_k num_beams repetition_penalty "
    "skip_special_tokens stop_strings"
)
_OF_TEMPLATES_ALONE = "enable_thinking add_generation_prompt continue_final_message chat_template"
_GONE = (
    *("encode_plus", "batch_encode_plus", "as_target_tokenizer", "prepare_for_model"),
    *("build_inputs_with_special_tokens", "prepare_seq2seq_batch"),
)
# Prompts whose templates end in a space: Llama 2's and Mistral's.
_SPACE_OF_A_TEMPLATE = re.compile(r"(\]|>) $")


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
        if not _is_only_an_encoding(source, node.value) or is_asked_about(source, node.value):
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
        if not _is_only_an_encoding(source, node) or is_asked_about(source, node):
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
    "tokenizer-argument-ignored",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="A tokenizer's call does not do what its argument asks, and says nothing.",
    cause="""
        A tokenizer passes over keywords that it does not know: `return_tensor="pt"` gives lists,
        `max_lenght` cuts nothing, and settings of `generate` belong into its call.
    """,
    fix="Spell it as the documentation does.",
    example='inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)',
    how_sure="""
        Likely: only the source was read, where a name is nearly a known one, or one of `generate`.
    """,
)
def tokenizer_argument_ignored(source: Source) -> Iterator[Finding]:
    """An argument of a tokenizer's call that it does not know."""
    for call in source.calls:
        encodes = isinstance(call.func, ast.Name | ast.Attribute) and (
            source.is_tokenizer(call.func)
            or (name_of(call) == "encode" and source.is_tokenizer(owner_of(call)))
        )
        if not encodes or last_name(call.func)[:1].isupper():  # a class is made, not called
            continue
        names = {each.arg for each in call.keywords}
        foreign = sorted(names & set(_OF_GENERATE.split()))
        of_templates = sorted(names & set(_OF_TEMPLATES_ALONE.split()))
        wrong = [(name, "") for name in foreign + of_templates]
        wrong += misspelt(call, _OF_TOKENIZERS.split())
        for name, meant in wrong[:1]:
            place = "apply_chat_template" if name in of_templates else "generate or decode"
            takes = "tokenizer.apply_chat_template" if name in of_templates else "model.generate"
            yield found(
                "tokenizer-argument-ignored",
                WARNING,
                call,
                what=f"{name} is no argument of a tokenizer's call"
                + (f"; {meant} may be meant." if meant else f", but of {place}."),
                why="It is passed over without a word.",
                fix=f"{source.words(call.func)}(..., {meant}=...)"
                if meant
                else f"{takes}(..., {name}=...)",
            )


@in_the_source(
    "text-pair",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a tokenizer whose ids a model continues gets two
        texts by position.
    """,
)
def text_pair(source: Source) -> Iterator[Finding]:
    """Two texts by position in a call of the tokenizer."""
    read = {
        value
        for call in source.generate_calls
        for part in ast.walk(call)
        if isinstance(part, ast.Name | ast.Call)
        and isinstance(value := source.placed(part), ast.Call)
    }
    for call in source.calls:
        if call not in read or not source.is_tokenizer(call.func):
            continue
        second = call.args[1] if len(call.args) > 1 else keyword(call, "text_pair")
        if second is None or any(isinstance(one, ast.Starred) for one in call.args):
            continue
        yield found(
            "text-pair",
            WARNING,
            call,
            what=f"The tokenizer gets a second text, {source.words(second)[:40]}, as text_pair.",
            why="They follow each other without a space or a line between them.",
            fix=f'{source.words(call.func)}(first + "\\n\\n" + second, return_tensors="pt")',
        )


@in_the_source(
    "tokenizer-method-gone",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`AttributeError: ... has no attribute encode_plus`.",
    cause="""
        Version 5 of transformers has one way to tokenize, the call itself; the older methods are
        gone.
    """,
    fix="Call the tokenizer.",
    example='inputs = tokenizer(text, padding=True, truncation=True, return_tensors="pt")',
    how_sure="Likely: only the source was read; transformers before version 5 has the methods.",
    explains_refusal=True,
)
def tokenizer_method_gone(source: Source) -> Iterator[Finding]:
    """A tokenizer's method that left the library."""
    for call in source.calls:
        if name_of(call) not in _GONE or not source.is_tokenizer(owner_of(call)):
            continue
        tokenizer = source.words(owner_of(call))
        first = source.words(call.args[0])[:60] if call.args else "text"
        yield found(
            "tokenizer-method-gone",
            ERROR,
            call,
            what=f"{source.words(call.func)} is no method of a tokenizer since version 5 of "
            "transformers.",
            why="The call fails with an AttributeError.",
            fix=f'{tokenizer}({first}, return_tensors="pt")',
        )


@in_the_source(
    "trailing-space",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where the text ends in a space. Some tokenizers drop it.
    """,
)
def trailing_space(source: Source) -> Iterator[Finding]:
    """A prompt ends in a space."""
    for call in _encodings_read(source):
        for text in _ends_of(source, call.args[0]):
            if not text.endswith(" ") or text.endswith("  ") or not text.strip():
                continue
            if _SPACE_OF_A_TEMPLATE.search(text):
                continue
            yield found(
                "trailing-space",
                WARNING,
                call,
                what=f"The prompt ends in a space: {text[-20:]!r}.",
                why="Words bring their own space, so the next token is one that hardly fits.",
                fix=f"{source.words(call.func)}(prompt.rstrip(), ...)",
            )
            break


def _encodings_read(source: Source) -> list[ast.Call]:
    """Return the calls that tokenize for `generate`, a pipeline's among them, each once."""
    read: list[ast.Call] = []
    for asked in every_asked(source):
        for part in ast.walk(asked.call):
            value = source.placed(part) if isinstance(part, ast.Name | ast.Call) else part
            if isinstance(value, ast.Attribute | ast.Subscript):
                value = source.placed(value.value)
            encodes = isinstance(value, ast.Call) and source.is_tokenizer(value.func)
            if encodes and value.args and value not in read:
                read.append(value)
        if source.pipeline(asked.call.func) is not None and asked.call.args:
            read.append(asked.call)
    return read


def _ends_of(source: Source, node: ast.AST, depth: int = 5) -> list[str]:
    """Return the last pieces of text that a prompt may end with, as far as they are written."""
    value = source.value(node)
    if isinstance(value, ast.Subscript):
        value = source.value(value.value)
    if depth == 0:
        return []
    if isinstance(value, ast.Constant):
        return [value.value] if isinstance(value.value, str) else []
    if isinstance(value, ast.JoinedStr) and value.values:
        return _ends_of(source, value.values[-1], depth - 1)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _ends_of(source, value.right, depth - 1)
    if name_of(value) == "format":
        return _ends_of(source, owner_of(value), depth - 1)
    inner = value.elts if isinstance(value, ast.List | ast.Tuple) else []
    inner = [value.elt] if isinstance(value, ast.ListComp) else inner
    return [text for one in inner for text in _ends_of(source, one, depth - 1)]

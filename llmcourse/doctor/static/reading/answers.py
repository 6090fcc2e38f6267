"""Texts that a model wrote, as a script has them: decoded, cut, stripped, handed to a function."""

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.functions import given_to, places_of, returns_of
from llmcourse.doctor.static.reading.pipelines import PARSES, generated_texts
from llmcourse.doctor.static.reading.source import (
    Source,
    ids_of,
    is_false,
    is_string,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
    parts_of_index,
    values_given,
)
from llmcourse.doctor.static.reading.streams import ITERATORS

DECODES = ("decode", "batch_decode")
_STRIPS = ("strip", "lstrip", "rstrip")
_CASES = {"lower": "lower", "casefold": "lower", "upper": "upper"}
_LEAVES_A_TEXT = (*_STRIPS, *_CASES, "replace", "removeprefix", "removesuffix", "rstrip")
_CUTS = ("split", "rsplit", "partition", "rpartition", "splitlines", "replace", "removeprefix")
LOOKS = ("find", "rfind", "index", "count")
# Names of arguments that are what a model wrote, where a source has one.
_CALLED = re.compile(
    r"^(model_|llm_)?(response|reply|completion|generation|generated)(_text|_str)?$"
    r"|^(model|llm|raw)_(output|answer)$|^(output|answer)_text$"
)
_SERVED = re.compile(r"\.choices\[0\]\.(message\.content|text)\b|\.outputs\[0\]\.text\b")
_RULES = ("logits_processor", "prefix_allowed_tokens_fn", "constraints", "guidance")
_ROLES = ("role", "content", "system", "user", "assistant")
_MAKES_A_LIST = ("split", "rsplit", "partition", "rpartition", "splitlines")
_DEEP = 9
_HOP = 3  # what a step into a function or out of it counts


@dataclass(frozen=True, eq=False)
class Answer:
    """A text that a model wrote, or a list of such."""

    made: ast.AST  # the call that decoded it, or what a pipeline's text is taken from
    has_prompt: bool | None  # whether the prompt stands before it; None: that is not seen
    stripped: bool = False  # whether white space was taken off
    case: str = ""  # "lower" or "upper" after such a call
    skips: bool = True  # whether special tokens were left out
    many: bool = False  # whether it is a list of texts, or of pieces of one

    @property
    def is_decoded(self) -> bool:
        """Whether a tokenizer's `decode` made it: no pipeline, and no streamer."""
        return name_of(self.made) in DECODES

    def cut(self) -> "Answer":
        """Return the answer after a part was taken away."""
        return replace(self, has_prompt=False if self.has_prompt is False else None)


@functools.lru_cache(maxsize=64)
def has_answers(source: Source) -> bool:
    """Tell whether a source has anything that gives a model's text."""
    names = {name_of(call) for call in source.calls}
    gives = {"decode", "batch_decode", "pipeline", *ITERATORS, "generate"}
    return bool(names & gives) or bool(_SERVED.search(source.text))


def answer_at(source: Source, node: ast.AST, depth: int = _DEEP) -> Answer | None:
    """Return what an expression has of a model's text; None where that is not seen."""
    if depth <= 0 or not has_answers(source):
        return None
    value = followed(source, node)
    if isinstance(value, ast.List) and not value.elts:
        return _of_appended(source, node, depth)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _of_pieces(source, value)
    if isinstance(value, ast.Name):
        return _of_argument(source, value, depth)
    if isinstance(value, ast.Subscript):
        return _of_part(source, value, depth)
    if isinstance(value, ast.ListComp | ast.GeneratorExp):
        text = answer_at(source, value.elt, depth - 1)
        return None if text is None else replace(text, many=True)
    if isinstance(value, ast.Call):
        return _of_call(source, value, depth)
    if isinstance(value, ast.Attribute) and _is_served(value):
        return Answer(value, False)
    return None


def _is_served(value: ast.Attribute) -> bool:
    """Tell whether an expression is the text in what a server, or vLLM, answered."""
    if value.attr not in ("content", "text"):
        return False
    words = ast.unparse(value)
    match = _SERVED.search(words)
    return match is not None and match.end() == len(words)


def _of_call(source: Source, call: ast.Call, depth: int) -> Answer | None:
    name = name_of(call)
    if name in DECODES and call.args and _decodes(source, call):
        return _decoded(source, call)
    if name == "str" and len(call.args) == 1:
        return answer_at(source, call.args[0], depth - 1)
    if name == "join" and len(call.args) == 1:
        return _streamed(source, call.args[0])
    if isinstance(call.func, ast.Attribute) and name in (*_LEAVES_A_TEXT, *_CUTS):
        text = answer_at(source, call.func.value, depth - 1)
        if text is None:
            return None
        text = text.cut() if name in _CUTS else text
        return replace(
            text,
            stripped=text.stripped or name in _STRIPS or (name == "split" and not call.args),
            case=_CASES.get(name, text.case),
            many=name in _MAKES_A_LIST,
        )
    return _returned(source, call, depth)


def _decodes(source: Source, call: ast.Call) -> bool:
    """Tell whether a call is a tokenizer's, or a processor's that has one and gets an output."""
    if source.is_tokenizer(owner_of(call)):
        return True
    named = "processor" in last_name(owner_of(call)).lower()
    return named and rows_have_prompt(source, call.args[0]) is not None


def _decoded(source: Source, call: ast.Call) -> Answer | None:
    """Return what a decoding gives; None of ids that were encoded, and not generated."""
    rows = call.args[0]
    has_prompt = rows_have_prompt(source, rows)
    if has_prompt is None and (_was_encoded(source, rows) or _is_one_token(source, rows)):
        return None
    skips = keyword(call, "skip_special_tokens")
    skips = skips if skips is not None or len(call.args) < 2 else call.args[1]
    skips = skips is not None and not is_false(skips)
    whole = source.is_output(followed(source, rows))  # several rows, also for `decode`
    return Answer(call, has_prompt, skips=skips, many=whole or name_of(call) == "batch_decode")


def rows_have_prompt(source: Source, rows: ast.AST) -> bool | None:
    """Tell whether ids begin with the prompt: whole rows of `generate`; None if it is not seen."""
    value = followed(source, rows)
    while name_of(value) in ("tolist", "cpu", "numpy", "squeeze"):
        value = followed(source, owner_of(value))
    if source.is_output(value):
        return _returns_prompt(source, value)
    if isinstance(value, ast.ListComp):
        return rows_have_prompt(source, value.elt)
    if not isinstance(value, ast.Subscript):
        return None
    parts = parts_of_index(value)
    if any(isinstance(part, ast.Slice) and part.lower is not None for part in parts):
        return False
    whole = isinstance(parts[-1], ast.Constant | ast.Slice | ast.Name)
    return rows_have_prompt(source, value.value) if whole else None


def _returns_prompt(source: Source, output: ast.AST) -> bool | None:
    """Tell whether an output begins with its prompt: not that of embeddings alone."""
    value = source.placed(output)
    value = source.placed(value.value) if isinstance(value, ast.Attribute) else value
    names = [each.arg for each in value.keywords]
    return None if "inputs_embeds" in names or source.has_two_sequences else True


def _was_encoded(source: Source, rows: ast.AST) -> bool:
    """Tell whether ids are a tokenizer's own: a prompt's, or labels'."""
    value = followed(source, rows)
    while isinstance(value, ast.Subscript | ast.Attribute):
        value = followed(source, value.value)
    encodes = name_of(value) == "encode"
    return encodes or source.is_encoding(value)


def _is_one_token(source: Source, rows: ast.AST) -> bool:
    """Tell whether ids are the last token alone: `ids[0, -1]`."""
    value = followed(source, rows)
    part = value.slice if isinstance(value, ast.Subscript) else None
    part = part.elts[-1] if isinstance(part, ast.Tuple) else part
    return isinstance(part, ast.UnaryOp)


def _streamed(source: Source, pieces: ast.AST) -> Answer | None:
    """Return the text that a streamer's pieces are; None for other lists."""
    made = followed(source, pieces)
    if name_of(made) not in ITERATORS:
        return None
    return Answer(made, False if is_true(keyword(made, "skip_prompt")) else None)


def _of_part(source: Source, part: ast.Subscript, depth: int) -> Answer | None:
    if is_string(part.slice):
        return _of_field(source, part)
    text = answer_at(source, part.value, depth - 1)
    if text is None or text.many:
        return text if text is None else replace(text, many=isinstance(part.slice, ast.Slice))
    return text.cut()


def _of_field(source: Source, part: ast.Subscript) -> Answer | None:
    """Return a pipeline's text: of `[...]["generated_text"]`, or of the last message in it."""
    if part.slice.value == "content":
        inner = followed(source, part.value)
        inner = followed(source, inner.value) if isinstance(inner, ast.Subscript) else inner
        message = isinstance(inner, ast.Subscript) and _pipeline_of(source, inner) is not None
        return Answer(inner, False) if message else None
    call = _pipeline_of(source, part)
    if call is None:
        return None
    both = [one for one in (call, source.pipeline(call.func)) if one is not None]
    told = [keyword(one, "return_full_text") for one in both]
    said = next((one for one in told if one is not None), None)
    return Answer(part, True if said is None else None if is_true(said) else False)


def _pipeline_of(source: Source, node: ast.Subscript) -> ast.Call | None:
    return next((call for one, call in generated_texts(source) if one is node), None)


def _of_appended(source: Source, name: ast.AST, depth: int) -> Answer | None:
    """Return the texts of a list that begins empty, and to which a function appends them."""
    for call in source.calls:
        appends = name_of(call) == "append" and len(call.args) == 1
        if not appends or not last_name(name) or last_name(owner_of(call)) != last_name(name):
            continue
        if source.scopes[call] is source.scopes.get(name):
            text = answer_at(source, call.args[0], depth - 1)
            if text is not None:
                return replace(text, many=True)
    return None


def _of_pieces(source: Source, added: ast.BinOp) -> Answer | None:
    """Return the text that a streamer's pieces are added up to; None of other sums."""
    piece = source.value(added.right)
    return _streamed(source, piece.value) if isinstance(piece, ast.Subscript) else None


def _of_argument(source: Source, name: ast.Name, depth: int) -> Answer | None:
    """Return what a function's argument is, where it gets a model's text, or is named so."""
    scope = source.scopes.get(name, source.module)
    function = scope.node
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    if scope.bound.get(name.id) != [None] or name.id not in places_of(function):
        return None
    for argument, given in given_to(source, function):
        text = answer_at(source, given, depth - _HOP) if argument == name.id else None
        if text is not None:
            return text
    named = _CALLED.search(name.id) and source.generate_calls
    return Answer(name, None) if named else None


def _returned(source: Source, call: ast.Call, depth: int) -> Answer | None:
    """Return the text that a function of the source returns."""
    plain = isinstance(call.func, ast.Name) or last_name(owner_of(call)) == "self"
    if not plain:
        return None
    for value in returns_of(source, last_name(call.func)):
        text = answer_at(source, value, depth - _HOP)
        if text is not None:
            return text
    return None


def prompt_of(source: Source, answer: Answer) -> str:
    """Return the words that an answer's prompt is seen to hold, as far as they are written."""
    if isinstance(answer.made, ast.Subscript):
        call = _pipeline_of(source, answer.made)
        texts = call.args[:1] if call is not None else []
    else:
        calls = [part for part in parts_followed(source, answer.made) if source.is_generate(part)]
        parts = [
            part
            for call in calls
            for given in values_given(call)
            for part in parts_followed(source, given)
        ]
        texts = [one.args[0] for one in parts if _encodes(source, one)]
    words = dict.fromkeys(part for text in texts for part in parts_followed(source, text))
    written = [part.value for part in words if isinstance(part, ast.Constant)]
    return "\n".join(one for one in written if isinstance(one, str) and one not in _ROLES)


def prompt_length(source: Source, output: ast.AST) -> str:
    """Return the prompt's length in the call's own names."""
    call = source.placed(output)
    call = source.placed(call.value) if isinstance(call, ast.Attribute) else call
    given = [each.value for each in call.keywords if each.arg is None]
    ids = ids_of(call)
    if ids is not None:
        return f"{source.words(ids)}.shape[1]"
    name = source.words(given[0]) if given and isinstance(given[0], ast.Name) else "inputs"
    return f'{name}["input_ids"].shape[1]'


def without_prompt(source: Source, answer: Answer) -> str:
    """Return what decodes an answer without its prompt, in the source's own names."""
    call = answer.made
    rows = call.args[0] if isinstance(call, ast.Call) and call.args else None
    value = None if rows is None else followed(source, rows)
    if value is None:
        return f"{source.words(call)}  # of a call with return_full_text=False"
    output = value.value if isinstance(value, ast.Subscript) else value
    output = rows if source.is_output(rows) else output
    if not source.is_output(output):
        return 'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:])'
    row = "" if source.is_output(rows) or isinstance(rows, ast.Name) else "[0]"
    words = source.words(output) if row else source.words(rows)
    cut = f"{words}[:, {{}}:]" if source.is_output(rows) else f"{words}{row}[{{}}:]"
    cut = cut.format(prompt_length(source, output))
    more = [f"{each.arg}={source.words(each.value)}" for each in call.keywords if each.arg]
    return f"{source.words(call.func)}({', '.join([cut, *more])})"


def _encodes(source: Source, call: ast.AST) -> bool:
    """Tell whether a node is a call that makes ids, or a prompt, of its first argument."""
    if not isinstance(call, ast.Call) or not call.args:
        return False
    return name_of(call) in ("apply_chat_template", "encode") or source.is_tokenizer(call.func)


def looked_for(source: Source) -> Iterator[tuple[ast.AST, list[str], Answer]]:
    """Yield where a text is looked for in an answer: the place, what is looked for, the answer."""
    for node in list(source.scopes):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            label, text = node.left, node.comparators[0]
        elif name_of(node) in LOOKS and node.args:
            label, text = node.args[0], owner_of(node)
        else:
            continue
        labels = texts_at(source, label)
        answer = answer_at(source, text) if labels else None
        if answer is not None:
            yield node, labels, answer


def texts_at(source: Source, node: ast.AST) -> list[str]:
    """Return the texts that an expression may be: a loop's through a list, or through letters."""
    value = followed(source, node)
    each = isinstance(value, ast.Subscript) and isinstance(value.value, ast.Constant)
    if each and isinstance(value.value.value, str):
        return list(value.value.value)
    return [one for one in source.constants(node) if isinstance(one, str)]


def prompts_parsed(source: Source) -> Iterator[tuple[ast.AST, str, Answer]]:
    """Yield where a text with its prompt is read as the answer alone: the place, the use, it."""
    for node in list(source.scopes) if has_answers(source) else ():
        read = _read_at(node)
        answer = None if read is None else answer_at(source, read[0])
        if answer is None or not answer.has_prompt or not answer.is_decoded or answer.many:
            continue
        if read[1] == "its beginning is looked at" and not _is_label(source, node.args[0]):
            continue
        yield node, read[1], answer


def _read_at(node: ast.AST) -> tuple[ast.AST, str] | None:
    """Return the text that a place parses or compares, and how; None for other places."""
    if name_of(node) in PARSES and node.args:
        return node.args[0], f"{ast.unparse(node.func)} reads it"
    if name_of(node) == "startswith" and node.args:
        return owner_of(node), "its beginning is looked at"
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
        return node.left, "it is compared with a text"
    return None


def _is_label(source: Source, node: ast.AST) -> bool:
    """Tell whether a text is written there, and is not the prompt, which may be cut off so."""
    return bool(texts_at(source, node)) and source.words(node) not in _given(source)


def _given(source: Source) -> set[str]:
    """Return what tokenizers are given, as it is written."""
    return {source.words(call.args[0]) for call in source.calls if _encodes(source, call)}


def is_constrained(source: Source, answer: Answer) -> bool:
    """Tell whether a call lets the model write only what some rule allows."""
    calls = [part for part in parts_followed(source, answer.made) if source.is_generate(part)]
    given = [one for call in calls for one in call.keywords]
    words = [each.arg or ast.unparse(followed(source, each.value)) for each in given]
    return any(rule in one for one in words for rule in _RULES)


def is_guarded(source: Source, node: ast.AST) -> bool:
    """Tell whether a place stands in a `try`, or where something was asked before."""
    kinds = (ast.Try, ast.If, ast.IfExp, ast.While, ast.BoolOp)
    return any(isinstance(above, kinds) for above in source.above(node))


def decoding(source: Source, text: ast.AST) -> ast.Call | None:
    """Return the call that decoded a text, one of a list of texts too."""
    value = followed(source, text)
    if isinstance(value, ast.Subscript):
        value = followed(source, value.value)
    if name_of(value) in _STRIPS:
        return decoding(source, owner_of(value))
    decodes = name_of(value) in DECODES and bool(value.args)
    return value if decodes and source.is_tokenizer(owner_of(value)) else None

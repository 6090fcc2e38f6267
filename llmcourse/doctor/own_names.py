"""A finding's fix in the names of the script that it is about, where its source is at hand.

The checks write `model.generate(**inputs, ...)`; a script whose call is `lm.generate(**batch)` is
told `lm.generate(**batch, ...)`.
"""

import ast
import io
import tokenize
from collections.abc import Iterable
from dataclasses import replace

from llmcourse.doctor.finding import Finding
from llmcourse.doctor.static import Text
from llmcourse.doctor.static.reading.source import Source, name_of

_TOKENIZER_CALLS = ("decode", "batch_decode", "encode", "apply_chat_template")


def in_own_names(findings: Iterable[Finding], source: Source, text: Text) -> list[Finding]:
    """Return findings with each fix in the names that the call's line uses."""
    return [_in_own_names(one, source, text) for one in findings]


def _in_own_names(found: Finding, source: Source, text: Text) -> Finding:
    if found.source_only or found.line is None:
        return found
    call = call_at(source, text, found)
    return found if call is None else replace(found, fix=renamed(found.fix, names(source, call)))


def call_at(source: Source, text: Text, found: Finding) -> ast.Call | None:
    """Return the call that a finding is about: the only one of its kind that its line is in."""
    place = (found.file, found.line)
    if place not in text.places:
        return None
    line = text.places.index(place) + 1
    near = [call for call in source.calls if call.lineno <= line <= (call.end_lineno or 0)]
    for is_it in (_is_generate, lambda call: _is_of_tokenizer(source, call)):
        there = [call for call in near if is_it(call)]
        if there:
            return there[0] if len(there) == 1 else None
    return None


def _is_generate(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "generate"


def _is_of_tokenizer(source: Source, call: ast.Call) -> bool:
    return source.is_tokenizer(tokenizer_of(call))


def tokenizer_of(call: ast.Call) -> ast.AST:
    """Return what would be the tokenizer of a call: what is called, or whose method is."""
    return call.func.value if name_of(call) in _TOKENIZER_CALLS else call.func


def names(source: Source, call: ast.Call) -> dict[str, str]:
    """Return the script's words for `model`, `tokenizer`, `inputs`, `output` and `text`."""
    if _is_generate(call):
        return _names_of_generate(source, call)
    found = {"tokenizer": source.words(tokenizer_of(call))}
    if name_of(call) not in ("decode", "batch_decode") or not call.args:
        return found
    made = source.value(_whole(call.args[0]))
    if isinstance(made, ast.Call) and _is_generate(made):
        found = {**_names_of_generate(source, made), **found}
    if isinstance(_whole(call.args[0]), ast.Name):
        found["output"] = _whole(call.args[0]).id
    return found


def _whole(node: ast.AST) -> ast.AST:
    """Return `out` of `out[0]`, `out[:, 5:]` and `out.sequences[0]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _names_of_generate(source: Source, call: ast.Call) -> dict[str, str]:
    found = {"model": source.words(call.func.value)}
    target = source.parents.get(call)
    if isinstance(target, ast.Assign) and isinstance(target.targets[0], ast.Name):
        found["output"] = target.targets[0].id
    inputs, made = _inputs(source, call)
    if inputs is not None:
        found["inputs"] = inputs.id
    if made is not None:
        found["tokenizer"] = source.words(tokenizer_of(made))
        if made.args and isinstance(made.args[0], ast.Name):
            kind = "messages" if name_of(made) == "apply_chat_template" else "text"
            found[kind] = made.args[0].id
    return found


def tokenizer_call(source: Source, call: ast.Call) -> ast.Call | None:
    """Return the tokenizer's call that made the inputs of a call of `generate`."""
    return _inputs(source, call)[1]


def _inputs(source: Source, call: ast.Call) -> tuple[ast.Name | None, ast.Call | None]:
    """Return the name of what a tokenizer made for a call of `generate`, and the call that did."""
    unpacked = [each.value for each in call.keywords if each.arg is None]
    name = None
    for node in [*unpacked, *call.args[:1]][:1]:
        while isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            name = node if isinstance(node, ast.Name) else None
            further = source.placed(node) if name is not None else node.value
            if further is node:
                return name if unpacked else None, None
            node = further
        if isinstance(node, ast.Call) and _is_of_tokenizer(source, node):
            return name, node
    return None, None


def renamed(code: str, own: dict[str, str]) -> str:
    """Return a line of code with other names for its variables; comments and texts stay."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return code
    for place in reversed(range(len(tokens) - 1)):
        token = tokens[place]
        before = tokens[place - 1].string if place else ""
        is_keyword = tokens[place + 1].string == "=" and before in ("(", ",")
        if token.string in own and token.type == tokenize.NAME and before != "." and not is_keyword:
            code = code[: token.start[1]] + own[token.string] + code[token.end[1] :]
    return code

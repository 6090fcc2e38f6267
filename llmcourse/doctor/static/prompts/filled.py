"""Prompts that are filled in: fields that fit nothing, braces that are read, an f forgotten."""

import ast
import re
import string
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.functions import what_it_may_be
from llmcourse.doctor.static.reading.messages import talks
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_string, name_of, owner_of
from llmcourse.doctor.subject import Subject

_AS_THEY_ARE = ("strip", "lstrip", "rstrip", "dedent", "cleandoc")
_PLACEHOLDER = re.compile(r"^(\{\{?\s*\w+\s*\}?\}|<\w+>|\[\[?[A-Z_]+\]?\]|%\w+%|\$\w+|__\w+__)$")
_FORMAT_SPEC = re.compile(r"^.?[<>=^]?[-+ ]?#?0?[\w,.]*%?$", re.DOTALL)
_BRACES = re.compile(r"(?<![\\{$%])\{([A-Za-z_]\w*)\}(?!\})")
# A piece without an f, of a text that is written in several: f"... {a}" "... {b}".
_PLAIN_PIECE = re.compile(r"""(?<![\w"'\\])(?:"[^"\n]*"|'[^'\n]*')(?=\s|$|\))""")


@in_the_source(
    "format-without-place",
    subject=Subject.PROMPTS,
    severities=(WARNING,),
    symptom="The model answers about anything but the text that it was given.",
    cause="""
        `format` leaves out an argument for which the template has no field, and `replace` changes
        nothing where the placeholder is not in the template. The text never gets into the prompt.
    """,
    fix="Put a field for it into the template, spelt as the argument is.",
    example=r"""
        TEMPLATE = "Context: {context}\nQuestion: {question}\nAnswer:"
        prompt = TEMPLATE.format(context=context, question=question)
    """,
    how_sure="Likely: only the source was read, where both the template and the call stand.",
)
def format_without_place(source: Source) -> Iterator[Finding]:
    """A text is filled into a template that has no place for it."""
    if not talks(source):
        return
    for call in source.calls:
        template = _template_of(source, call)
        lost = None if template is None else _left_out(source, call, template)
        if lost is None:
            continue
        yield found(
            "format-without-place",
            WARNING,
            call,
            what=f"{source.words(call)[:70]}: the template has no placeholder for {lost}.",
            why=f"{name_of(call)} leaves it out, without a word: it is not in the prompt.",
            fix=f"print(repr({source.words(call)[:80]}))  # and put {lost} into the template",
        )


def _template_of(source: Source, call: ast.Call) -> str | None:
    """Return the text that `format` or `replace` is called on, where it is written there."""
    if name_of(call) not in ("format", "replace") or not isinstance(call.func, ast.Attribute):
        return None
    return _text(source, owner_of(call))


def _text(source: Source, node: ast.AST, depth: int = 6) -> str | None:
    """Return a text as it is written, in one piece or several; None where a part is not known."""
    value = source.value(node)
    if depth == 0:
        return None
    if isinstance(value, ast.Constant):
        return value.value if isinstance(value.value, str) else None
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        parts = [_text(source, one, depth - 1) for one in (value.left, value.right)]
        return None if None in parts else "".join(parts)
    if name_of(value) in _AS_THEY_ARE:
        inner = value.args[0] if value.args else owner_of(value)
        return _text(source, inner, depth - 1)
    return None


def _left_out(source: Source, call: ast.Call, template: str) -> str | None:
    """Return what a call does not find a place for, as it is written; None where all have one."""
    if name_of(call) == "replace":
        known = _text(source, call.args[0]) if len(call.args) > 1 else None
        asked = known is not None and _PLACEHOLDER.match(known) and known not in template
        return source.words(call.args[0]) if asked else None
    fields = _fields(template)
    if fields is None or any(isinstance(one, ast.Starred) for one in call.args):
        return None
    names = {re.split(r"[.\[]", one)[0] for one in fields}
    lost = [each.arg for each in call.keywords if each.arg is not None and each.arg not in names]
    if lost:
        return f"{lost[0]}="
    numbered = [one for one in names if one.isdigit()]
    places = int(max(numbered, key=int)) + 1 if numbered else fields.count("")
    return source.words(call.args[places]) if len(call.args) > places else None


def _fields(template: str) -> list[str] | None:
    """Return the fields of a template for `format`; None where it is none."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        return None
    names = [name for _, name, _, _ in parsed if name is not None]
    nested = [spec for _, _, spec, _ in parsed if spec and "{" in spec]
    return names + [one for spec in nested for one in _fields(spec) or ()]


@in_the_source(
    "braces-in-template",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom="""`KeyError: '"name"'`, or `ValueError: Invalid format specifier`.""",
    cause="""
        Braces in a template are fields to `format`, and to an f-string expressions. Those of a JSON
        example, of a set or of code in the prompt are taken for fields too, and there is nothing to
        fill in.
    """,
    fix="Double the braces that are meant as such, or fill in with `replace`.",
    example="""
        TEMPLATE = 'Answer as JSON: {{"name": "..."}}. Text: {text}'
        prompt = TEMPLATE.format(text=text)
    """,
    how_sure="Likely: only the source was read, where both the template and the call stand.",
)
def braces_in_template(source: Source) -> Iterator[Finding]:
    """Braces of JSON in a template that `format` reads, or in an f-string."""
    for call in source.calls:
        if name_of(call) not in ("format", "format_map") or call.func is owner_of(call):
            continue
        template = _text(source, owner_of(call))
        if template is not None and name_of(call) == "format":
            fields = [_without_value(call, template)]
        else:
            texts = [_text(source, one) for one in what_it_may_be(source, owner_of(call))]
            fields = [_json_field(one) for one in texts if one is not None]
        field = next((one for one in fields if one is not None), None)
        if field is not None:
            yield _braces(source, call, field, "format raises a KeyError or a ValueError")
    for node in source.scopes:
        if isinstance(node, ast.FormattedValue) and _is_json(node):
            field = ast.unparse(node.value) + ":" + _spec(node)
            yield _braces(source, node, field, "the f-string raises a ValueError")


def _json_field(template: str) -> str | None:
    """Return what stands in the braces of a JSON example in a template; None where none does."""
    if not re.search(r"(?<!\{)\{\s*[\"']", template):
        return None
    fields = _fields(template)
    if fields is None:
        return "a single brace"
    return next((one for one in fields if re.match(r"\s*[\"']", one)), None)


def _braces(source: Source, node: ast.AST, field: str, error: str) -> Finding:
    shown = field.strip()[:40]
    return found(
        "braces-in-template",
        ERROR,
        node,
        what=f"The braces around {shown!r} in the prompt are read as a field.",
        why=f"There is no value for it: {error}.",
        fix="'{{' and '}}'  # for braces of JSON or code in a template",
    )


def _without_value(call: ast.Call, template: str) -> str | None:
    """Return a field of a template for which a call has no value; None where all have one."""
    if any(each.arg is None for each in call.keywords) or any(
        isinstance(one, ast.Starred) for one in call.args
    ):
        return None
    fields = _fields(template)
    if fields is None:
        return "a single brace"
    given = {each.arg for each in call.keywords}
    for field in fields:
        name = re.split(r"[.\[]", field)[0]
        if name == "" or name.isdigit():
            if not call.args:
                return field or "{}"
        elif name not in given:
            return field
    return None


def _is_json(node: ast.FormattedValue) -> bool:
    """Tell whether an f-string's field is a quoted name and a format that is none."""
    named = is_string(node.value)
    return named and node.format_spec is not None and not _FORMAT_SPEC.match(_spec(node))


def _spec(node: ast.FormattedValue) -> str:
    parts = getattr(node.format_spec, "values", [])
    return "".join(one.value if isinstance(one, ast.Constant) else "{}" for one in parts)


@in_the_source(
    "placeholder-left",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a text has a variable's name in braces, and neither
        an f before it nor a call of format.
    """,
)
def placeholder_left(source: Source) -> Iterator[Finding]:
    """A text that looks as if an f before it was forgotten."""
    for node in source.scopes:
        names = _in_braces(source, node)
        bound = {*source.module.bound, *source.scopes[node].bound}
        missing = [name for name in names if name in bound]
        if not missing or len(missing) != len(names) or not _is_tokenized(source, node):
            continue
        yield found(
            "placeholder-left",
            WARNING,
            node,
            what=f"The prompt has {'{' + missing[0] + '}'!r} in it, and no f before its quotes.",
            why="The model reads the name in braces, not the text.",
            fix=f'f"... {{{missing[0]}}} ..."',
        )


def _in_braces(source: Source, node: ast.AST) -> list[str]:
    """Return the names in braces in a text without an f; of a text in pieces, in such a piece."""
    if isinstance(source.parents.get(node), ast.JoinedStr):
        return []
    if is_string(node):
        return _BRACES.findall(node.value)
    if not isinstance(node, ast.JoinedStr):
        return []
    pieces = _PLAIN_PIECE.findall(source.words(node))
    return [name for piece in pieces for name in _BRACES.findall(piece)]


def _is_tokenized(source: Source, text: ast.AST) -> bool:
    """Whether a text goes as it is into a tokenizer, a message or a pipeline."""
    node = text
    while isinstance(parent := source.parents.get(node), ast.BinOp | ast.List | ast.Tuple):
        node = parent
    if isinstance(parent, ast.Dict):
        return any(
            value is node and key is not None and source.constants(key) == ["content"]
            for key, value in zip(parent.keys, parent.values, strict=True)
        )
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        name = parent.targets[0].id
        uses = [
            one
            for one in source.scopes
            if isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Load)
        ]
        return bool(uses) and all(_is_read_as_it_is(source, use) for use in uses)
    if isinstance(parent, ast.Return):
        return _is_made_by_a_function(source, parent)
    return isinstance(parent, ast.Call) and _reads_text(source, parent, node)


def _is_made_by_a_function(source: Source, returned: ast.Return) -> bool:
    """Whether what a function returns is tokenized, and its own arguments stand in the braces."""
    function = source.scopes[returned].node
    name = getattr(function, "name", "")
    calls = [call for call in source.calls if name and name_of(call) == name]
    arguments = source.scopes[returned].bound
    own = [one for one in _BRACES.findall(ast.unparse(returned)) if one in arguments]
    return bool(own and calls) and all(_is_used_as_it_is(source, call) for call in calls)


def _is_used_as_it_is(source: Source, call: ast.Call) -> bool:
    """Whether what a call returns is not filled in afterwards."""
    parent = source.parents.get(call)
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        filled = rf"\b{parent.targets[0].id}\.(format|replace|format_map|safe_substitute)\b"
        return not re.search(filled, source.text)
    if isinstance(parent, ast.Dict):
        return True
    return isinstance(parent, ast.Call) and _reads_text(source, parent, call)


def _is_read_as_it_is(source: Source, use: ast.Name) -> bool:
    parent = source.parents.get(use)
    if isinstance(parent, ast.Dict):
        return True
    if isinstance(parent, ast.List):
        parent, use = source.parents.get(parent), parent
    if name_of(parent) in ("print", "len", "repr"):
        return True
    return isinstance(parent, ast.Call) and _reads_text(source, parent, use)


def _reads_text(source: Source, call: ast.Call, text: ast.AST) -> bool:
    """Whether a call tokenizes its first argument."""
    encodes = source.is_tokenizer(call.func) or (
        name_of(call) == "encode" and source.is_tokenizer(owner_of(call))
    )
    encodes |= source.pipeline(call.func) is not None
    return bool(encodes and call.args) and call.args[0] is text

"""Prompts that are put together as text: fields that fit nothing, and marks written by hand."""

import ast
import re
import string
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.messages import talks
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_HOLE = "\x00"  # a value in a text that is not known
_AS_THEY_ARE = ("strip", "lstrip", "rstrip", "dedent", "cleandoc")
_PLACEHOLDER = re.compile(r"^(\{\{?\s*\w+\s*\}?\}|<\w+>|\[\[?[A-Z_]+\]?\]|%\w+%|\$\w+|__\w+__)$")
_FORMAT_SPEC = re.compile(r"^.?[<>=^]?[-+ ]?#?0?[\w,.]*%?$", re.DOTALL)


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
    if isinstance(value, ast.Call) and name_of(value) in _AS_THEY_ARE:
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
            texts = [_text(source, one) for one in _what_it_may_be(source, owner_of(call))]
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


def _what_it_may_be(source: Source, node: ast.AST, depth: int = 4) -> list[ast.AST]:
    """Return the expressions that an expression is seen to be given: as argument, as attribute."""
    value = source.value(node)
    if not depth:
        return []
    if isinstance(value, ast.Constant | ast.BinOp | ast.Call):
        return [value]
    if isinstance(value, ast.Dict):
        given = value.values
    elif isinstance(value, ast.IfExp):
        given = [value.body, value.orelse]
    elif isinstance(value, ast.Subscript):
        given = [value.value]
    elif isinstance(value, ast.Attribute):
        given = _given_to_attribute(source, value.attr)
    elif isinstance(value, ast.Name):
        bound = source.scopes.get(value, source.module).bound.get(value.id, [])
        given = [one for one in bound if one is not None] + _handed_in(source, value)
    else:
        given = []
    return [
        one
        for each in given
        if each is not node
        for one in _what_it_may_be(source, each, depth - 1)
    ]


def _given_to_attribute(source: Source, name: str) -> list[ast.AST]:
    """Return what is assigned to attributes of a name, in classes and of objects."""
    given: list[ast.AST] = []
    for node in list(source.scopes):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            of_class = isinstance(source.parents.get(node), ast.ClassDef)
            for one, value in pairs:
                attribute = isinstance(one, ast.Attribute) or of_class
                if attribute and last_name(one) == name and value is not None:
                    given.append(value)
        owner = source.parents.get(node)
        field = isinstance(node, ast.AnnAssign) and isinstance(owner, ast.ClassDef)
        if field and last_name(node.target) == name:  # of a dataclass
            given += _fields_given(source, owner, name)
    return given


def _fields_given(source: Source, owner: ast.ClassDef, name: str) -> list[ast.AST]:
    """Return what the calls of a dataclass give for a field."""
    names = [last_name(one.target) for one in owner.body if isinstance(one, ast.AnnAssign)]
    return _arguments(source, owner.name, names, name)


def _handed_in(source: Source, node: ast.Name) -> list[ast.AST]:
    """Return what the calls of its function give for an argument, and its default."""
    function = source.scopes[node].node if node in source.scopes else None
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    places = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    if node.id not in (*places, *(one.arg for one in function.args.kwonlyargs)):
        return []
    owner, name = source.parents.get(function), function.name
    if isinstance(owner, ast.ClassDef):
        places = places[1:]
        name = owner.name if name == "__init__" else name
    defaults = dict(zip(reversed(places), reversed(function.args.defaults), strict=False))
    given = _arguments(source, name, places, node.id)
    return given + ([defaults[node.id]] if node.id in defaults else [])


def _arguments(source: Source, function: str, places: list[str], name: str) -> list[ast.AST]:
    """Return what the calls of a function give for one of its arguments."""
    given: list[ast.AST] = []
    for call in source.calls:
        if name_of(call) != function or any(isinstance(one, ast.Starred) for one in call.args):
            continue
        given += [each.value for each in call.keywords if each.arg == name]
        given += [one for at, one in zip(places, call.args, strict=False) if at == name]
    return given


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
    named = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return named and node.format_spec is not None and not _FORMAT_SPEC.match(_spec(node))


def _spec(node: ast.FormattedValue) -> str:
    parts = getattr(node.format_spec, "values", [])
    return "".join(one.value if isinstance(one, ast.Constant) else "{}" for one in parts)


# What is wrong in a hand-written format: the pattern, and what it is in words.
_BY_HAND = (
    (
        r"<\|end_header_id\|>(?!\n\n)(?=[^\n]|\n[^\n])",
        "after <|end_header_id|> there are no two ends of lines",
        r"<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
    ),
    (
        r"<\|im_start\|>(?:system|user|assistant|tool)(?=[^\n\w|<])",
        "after <|im_start|> and the role there is no end of a line",
        r"<|im_start|>user\n{text}<|im_end|>\n",
    ),
    (
        r"<\|im_start\|>.*(?<![\n>])\n<\|im_end\|>",
        "an end of a line stands before <|im_end|>",
        r"<|im_start|>user\n{text}<|im_end|>\n",
    ),
    (
        r"<\|im_start\|>(?:system|user|assistant)\b(?:(?!<\|im_end\|>).)+<\|im_start\|>",
        "a turn is opened before <|im_end|> has closed the last one",
        r"<|im_start|>user\n{text}<|im_end|>\n",
    ),
    (
        r"<start_of_turn>(?:user|model)(?=[^\n\w<])",
        "after <start_of_turn> and the role there is no end of a line",
        r"<start_of_turn>user\n{text}<end_of_turn>\n",
    ),
    (
        r"<\|(?:user|assistant|system)\|>(?=[^\s<])",
        "after the role's mark there is no end of a line",
        r"<|user|>\n{text}<|end|>\n",
    ),
    (
        r"\[INST\](?:(?!\[/INST\]).)*\[INST\]",
        "[INST] is opened again before [/INST] has closed it",
        "[INST] <<SYS>>\\n{system}\\n<</SYS>>\\n\\n{text} [/INST]",
    ),
    (r"\[\\INST\]", "[\\INST] is no mark; it is [/INST]", "[INST] {text} [/INST]"),
    (
        r"<\|start_header_id\|>\s*<\|start_header_id\|>",
        "<|start_header_id|> is opened twice",
        r"<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
    ),
)


_PATTERNS = tuple((re.compile(one, re.DOTALL), words, right) for one, words, right in _BY_HAND)


@in_the_source(
    "header-differs",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a published format's marks are written by hand, and
        not as its template writes them.
    """,
)
def header_differs(source: Source) -> Iterator[Finding]:
    """A chat format that is written by hand, with other white space or marks than its template."""
    if not talks(source):
        return
    for node in source.scopes:
        text = _with_holes(source, node)
        if text is None or "{%" in text or "{{" in text:
            continue
        wrong = next((one for one in _PATTERNS if one[0].search(text)), None)
        if wrong is None or _is_only_looked_for(source, node):
            continue
        yield found(
            "header-differs",
            WARNING,
            node,
            what=f"The prompt is written by hand, and {wrong[1]}.",
            why="The model was trained on its chat template's own headers and line ends, token "
            "for token.",
            fix=f'"{wrong[2]}"  # or tokenizer.apply_chat_template(messages, ...)',
        )
        return


def _with_holes(source: Source, node: ast.AST) -> str | None:
    """Return a text that is written in the source, with a sign for each value in an f-string."""
    above = source.parents.get(node)
    if isinstance(above, ast.JoinedStr | ast.FormattedValue | ast.Expr):
        return None  # a part of one, or a docstring
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    return "".join(
        str(one.value) if isinstance(one, ast.Constant) else _HOLE for one in node.values
    )


def _is_only_looked_for(source: Source, node: ast.AST) -> bool:
    """Tell whether a text is what something is split, searched or compared with."""
    above = source.parents.get(node)
    if isinstance(above, ast.Compare):
        return True
    looks = ("split", "replace", "find", "index", "search", "sub", "findall", "match", "compile")
    return isinstance(above, ast.Call) and name_of(above) in looks

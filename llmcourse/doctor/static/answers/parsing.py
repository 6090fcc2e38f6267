"""How an answer is taken apart: JSON, parts and numbers that may be missing, characters cut."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.answers import answer_at, is_constrained, is_guarded
from llmcourse.doctor.static.reading.following import followed, is_written, parts_followed
from llmcourse.doctor.static.reading.patterns import searches
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

# A JSON object that ends at its first brace: lazy, or without braces inside, and nothing after it.
_FIRST_BRACE = re.compile(r"\\?\{\(?((\.|\[\\s\\S\])[*+]\?|\[\^\\?\{?\\?\}\][*+]\??)\)?\\?\}\)?$")
_PARSES = ("loads", "parse_raw", "model_validate_json", "validate_json")
_MARK = re.compile(r"\w|[#<>\[\]`]")


@in_the_source(
    "cut-at-minus-one",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where nothing asks whether the mark was found.",
)
def cut_at_minus_one(source: Source) -> Iterator[Finding]:
    """A text is cut where `find` says, also where it found nothing."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
            continue
        bounds = [one for one in (node.slice.lower, node.slice.upper) if one is not None]
        call = followed(source, bounds[0]) if len(bounds) == 1 else None
        if isinstance(call, ast.BinOp) and isinstance(call.op, ast.Add):  # find(mark) + len(mark)
            call = followed(source, call.left)
        if name_of(call) not in ("find", "rfind"):
            continue
        if ast.unparse(owner_of(call)) != ast.unparse(node.value) or is_guarded(source, node):
            continue
        answer = answer_at(source, node.value)
        if answer is None or answer.has_prompt or _is_tested(source, bounds[0], call):
            continue
        yield found(
            "cut-at-minus-one",
            WARNING,
            node,
            what=f"{source.words(node)[:80]} cuts where find says, also where it says -1.",
            why="-1 is the last character's place: without the mark a character is lost, or all.",
            fix=f"{source.words(node.value)}.partition({source.words(call.args[0])})"
            + ("[0]" if node.slice.lower is None else "[2]")
            if call.args
            else "text.partition(mark)[0]",
        )


def _is_tested(source: Source, bound: ast.AST, call: ast.Call) -> bool:
    """Tell whether the function asks about a place that was found, or about the mark."""
    name, mark = last_name(bound), ast.unparse(call.args[0]) if call.args else ""
    tests = [
        ast.unparse(one.test)
        for one in source.scopes[bound].nodes
        if isinstance(one, ast.If | ast.IfExp | ast.Assert | ast.While)
    ]
    return any((name and name in one) or mark in one for one in tests)


@in_the_source(
    "json-cut-at-first-brace",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where what the pattern finds is an answer's, or is parsed.
    """,
)
def json_cut_at_first_brace(source: Source) -> Iterator[Finding]:
    """A pattern for JSON that ends at the first closing brace."""
    for one in searches(source):
        if not _FIRST_BRACE.search(one.pattern):
            continue
        if answer_at(source, one.text) is None or not _is_parsed(source, one.call):
            continue
        yield found(
            "json-cut-at-first-brace",
            WARNING,
            one.call,
            what=f"The pattern {one.pattern[:60]!r}, not greedy, ends at the first closing brace.",
            why="Of JSON with a nested object it takes a part, and json.loads fails.",
            fix=_first_value(source.words(one.text)),
        )
    parses = any(name_of(call) in _PARSES for call in source.calls)
    for node in _slices_to_a_brace(source) if parses else ():
        yield found(
            "json-cut-at-first-brace",
            WARNING,
            node,
            what=f"{source.words(node)[:70]} ends at the first closing brace.",
            why="Of JSON with a nested object it takes a part, and json.loads fails.",
            fix=_first_value(source.words(node.value)),
        )


def _slices_to_a_brace(source: Source) -> Iterator[ast.Subscript]:
    """Yield slices of a text up to where it has its first closing brace."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
            continue
        upper = node.slice.upper
        parts = [] if upper is None else [source.value(one) for one in ast.walk(upper)]
        finds = [one for one in parts if name_of(one) in ("find", "index") and one.args]
        if any(source.constants(one.args[0]) == ["}"] for one in finds):
            yield node


def _first_value(text: str) -> str:
    """Return what reads the first JSON value of a text, and leaves the rest."""
    return f'json.JSONDecoder().raw_decode({text}[{text}.index("{{"):])[0]'


def _is_parsed(source: Source, call: ast.Call) -> bool:
    """Tell whether something that a call found is read as JSON, in its function or the module."""
    return any(
        name_of(one) in _PARSES
        and one.args
        and (
            call in parts_followed(source, one.args[0]) or source.scopes[one] is source.scopes[call]
        )
        for one in source.calls
    )


@in_the_source(
    "answer-evaluated",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="`NameError: name 'true' is not defined`, or the program does what a text said.",
    cause="""
        `eval` runs what the model wrote as Python. JSON's true, false and null are no names there,
        and a prompt's author may have the model write a command.
    """,
    fix="Parse it: `json.loads` for JSON, `ast.literal_eval` for Python's literals.",
    example="value = json.loads(text)",
    how_sure="Likely: only the source was read, where a decoded text goes into eval.",
)
def answer_evaluated(source: Source) -> Iterator[Finding]:
    """What a model wrote is run as Python."""
    for call in source.calls:
        runs = isinstance(call.func, ast.Name) and call.func.id == "eval"
        if not runs or not call.args or answer_at(source, call.args[0]) is None:
            continue
        text = source.words(call.args[0])
        yield found(
            "answer-evaluated",
            WARNING,
            call,
            what=f"{source.words(call)} runs what the model wrote as Python.",
            why="JSON's true and null are no names in Python, and a command in it is carried out.",
            fix=f"json.loads({text})  # or ast.literal_eval({text})",
        )


@in_the_source(
    "quotes-made-json",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where every single quote is replaced.",
)
def quotes_made_json(source: Source) -> Iterator[Finding]:
    """Single quotes are replaced before the text is parsed."""
    for call in source.calls:
        if name_of(call) not in _PARSES or not call.args:
            continue
        for part in parts_followed(source, call.args[0]):
            replaces = name_of(part) == "replace"
            if not replaces or [source.constants(one) for one in part.args] != [["'"], ['"']]:
                continue
            if answer_at(source, owner_of(part)) is None:
                continue
            yield found(
                "quotes-made-json",
                WARNING,
                part,
                what="Every single quote of the answer is made a double one before it is parsed.",
                why="An apostrophe within a text then ends it, and json.loads fails.",
                fix=f"ast.literal_eval({source.words(owner_of(part))})",
            )
            break


@in_the_source(
    "strip-takes-characters",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where a word, or the prompt, is stripped.",
)
def strip_takes_characters(source: Source) -> Iterator[Finding]:
    """A word is given to `strip`."""
    for call in source.calls:
        if name_of(call) not in ("strip", "lstrip", "rstrip") or len(call.args) != 1:
            continue
        if not _is_word(source, call.args[0]):
            continue
        if not _is_mark(source, call.args[0]) and answer_at(source, owner_of(call)) is None:
            continue
        word = source.words(call.args[0])
        side = "removesuffix" if name_of(call) == "rstrip" else "removeprefix"
        yield found(
            "strip-takes-characters",
            WARNING,
            call,
            what=f"{name_of(call)}({word}) strips a set of characters, not the word as a prefix.",
            why="Letters of the answer that are among them are lost too.",
            fix=f"{source.words(owner_of(call))}.{side}({word})",
        )


def _is_mark(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a tokenizer's special token: `tokenizer.bos_token`."""
    value = followed(source, node)
    named = isinstance(value, ast.Attribute) and value.attr in ("bos_token", "eos_token")
    return named and source.is_tokenizer(value.value)


def _is_word(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a word, a mark, the prompt or a special token."""
    value = followed(source, node)
    if isinstance(value, ast.Constant):
        text = value.value
        return isinstance(text, str) and len(text) > 1 and any(map(str.isalpha, text))
    return bool(re.search(r"prompt$|(eos|bos|pad)_token$", last_name(node)))


@in_the_source(
    "answer-form-assumed",
    severities=(NOTE,),
    how_sure="""
        Likely, and a note: only the source was read, where nothing asks whether the form was found.
    """,
)
def answer_form_assumed(source: Source) -> Iterator[Finding]:
    """A part, a number or a value is taken, and nobody asks whether it is there."""
    for node in _read_as_numbers(source):
        yield found(
            "answer-form-assumed",
            NOTE,
            node,
            what=f"{source.words(node)[:80]} takes the whole answer for one, and nothing else.",
            why="A word, a point or a fence beside it, and this fails with a ValueError.",
            fix=rf'found = re.search(r"-?\d+", {source.words(node.args[0])})  # and if found: ...'
            if name_of(node) != "loads"
            else _first_value(source.words(node.args[0])),
        )
    for node in list(source.scopes):
        taken = _taken_from(source, node)
        if taken is None or is_guarded(source, node) or _is_asked(source, node, taken):
            continue
        yield found(
            "answer-form-assumed",
            NOTE,
            node,
            what=f"{source.words(node)[:80]} is taken, whether or not the answer has it.",
            why="The model may not keep to the form, and this fails where nothing was found.",
            fix=f"found = {source.words(taken)[:70]}  # and if it is there: ...",
        )


def _read_as_numbers(source: Source) -> Iterator[ast.Call]:
    """Yield where a whole answer is read as a number or as JSON, outside of a `try`."""
    for call in source.calls:
        if last_name(call.func) not in ("int", "float", "loads") or len(call.args) != 1:
            continue
        if is_guarded(source, call) or answer_at(source, call.args[0]) is None:
            continue
        cut = [
            one for one in parts_followed(source, call.args[0]) if isinstance(one, ast.Subscript)
        ]
        answer = answer_at(source, call.args[0])
        ruled = any(map(_is_slice_of_text, cut)) or is_constrained(source, answer)
        if not answer.many and not answer.has_prompt and not ruled:
            yield call


def _is_slice_of_text(node: ast.Subscript) -> bool:
    """Tell whether a text is cut by its braces: `text[text.find("{") :]`."""
    words = ast.unparse(node.slice) if isinstance(node.slice, ast.Slice) else ""
    return "find(" in words or "index(" in words


def _taken_from(source: Source, node: ast.AST) -> ast.Call | None:
    """Return the call whose finding a node takes: a split's second part, a match's group."""
    if name_of(node) in ("group", "groups"):
        made = followed(source, owner_of(node))
        kinds = ("search", "match", "fullmatch")
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        made = followed(source, node.value)
        places = source.constants(node.slice) if not isinstance(node.slice, ast.Slice) else []
        kinds = ("search", "match", "findall") if places else ()
        if places and isinstance(places[0], int) and places[0] > 0:
            kinds = (*kinds, "split")
    else:
        return None
    if not isinstance(made, ast.Call) or name_of(made) not in kinds or not made.args:
        return None
    patterned = next((one.text for one in searches(source) if one.call is made), None)
    text = owner_of(made) if patterned is None and name_of(made) == "split" else patterned
    marks = [one for one in source.constants(made.args[0]) if isinstance(one, str)]
    if any("think" in one for one in marks):  # thoughts have a check of their own
        return None
    marked = patterned is not None or any(map(_MARK.search, marks))
    answer = answer_at(source, text) if text is not None and marked else None
    if answer is None or answer.has_prompt or (patterned is None and answer.has_prompt is None):
        return None  # the mark may be the prompt's
    return made


def _is_asked(source: Source, node: ast.AST, made: ast.Call) -> bool:
    """Tell whether the function asks about what was found, or about the mark, anywhere."""
    scope = source.scopes[node]
    taken = owner_of(node) if isinstance(node, ast.Call) else node.value
    name = last_name(taken)
    mark = ast.unparse(made.args[0]) if name_of(made) == "split" else None
    tests = [
        one.test
        for one in scope.nodes
        if isinstance(one, ast.If | ast.IfExp | ast.Assert | ast.While)
    ]
    words = [ast.unparse(test) for test in tests]
    named = bool(name) and any(re.search(rf"\b{re.escape(name)}\b", one) for one in words)
    return named or (mark is not None and any(mark in one for one in words))


@in_the_source(
    "first-line-empty",
    severities=(NOTE,),
    how_sure="Likely, and a note: only the source was read, where nothing is stripped before.",
)
def first_line_empty(source: Source) -> Iterator[Finding]:
    """The first line of an answer that was not stripped."""
    for node in list(source.scopes):
        taken = isinstance(node, ast.Subscript) and source.constants(node.slice) == [0]
        taken &= is_written(source, node)
        call = followed(source, node.value) if taken else None
        if name_of(call) not in ("split", "partition"):
            continue
        marks = [one for arg in call.args[:1] for one in source.constants(arg)]
        answer = answer_at(source, owner_of(call)) if marks in (["\n"], ["\n\n"]) else None
        if answer is None or answer.stripped or answer.has_prompt or answer.many:
            continue
        yield found(
            "first-line-empty",
            NOTE,
            node,
            what=f"{source.words(node)[:80]} is empty where the answer begins with a line's end.",
            why="A continuation may begin with white space, and nothing takes it away before.",
            fix=f"{source.words(owner_of(call))}.strip().split({marks[0]!r})[0]",
        )

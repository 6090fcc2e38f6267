"""Stopping criteria: never true, true of the prompt, or asked of one row."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked, prompts_of, rows_asked
from llmcourse.doctor.static.reading.classes import Written, written
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    last_name,
    name_of,
    owner_of,
    values_given,
)

_DECODES = ("decode", "convert_ids_to_tokens")
# Words of several pieces with every tokenizer: letters with other signs, words, or a long one.
_SEVERAL = re.compile(r"\w[^\w\s]|[^\w\s]\w|\w\s+\w|\n\S|\w{12}")
_FLATTENS = ("ravel()", "flatten()", "view(-1)", "reshape(-1)")


@in_the_source(
    "criterion-never-true",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where False is appended in each turn.",
)
def criterion_never_true(source: Source) -> Iterator[Finding]:
    """`all` of a list that gets False in each turn."""
    tested = {
        call.args[0].id: source.scopes[call]
        for call in source.calls
        if name_of(call) == "all" and call.args and isinstance(call.args[0], ast.Name)
    }
    for loop in source.loops:
        method = source.scopes[loop].node
        if getattr(method, "name", "") != "__call__":
            continue
        for statement in loop.body:
            appended = _appends_false(statement)
            if appended is None or tested.get(appended) is not source.scopes[loop]:
                continue
            if _may_skip(loop):
                continue
            yield found(
                "criterion-never-true",
                WARNING,
                statement,
                what=f"The criterion's __call__ is never true: {appended} gets False in each turn.",
                why=f"A break leaves the inner loop alone; all({appended}) then finds this False.",
                fix=f"{appended}.append(any(...))  # once for each row",
            )


def _appends_false(statement: ast.stmt) -> str | None:
    """Return the list that a statement appends False to, or None."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if name_of(call) != "append" or len(call.args) != 1:
        return None
    return last_name(owner_of(call)) if is_false(call.args[0]) else None


def _may_skip(loop: ast.AST) -> bool:
    """Tell whether a turn may end early: `continue` or `break` of this loop, or a return in it."""
    waiting = list(loop.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Continue | ast.Break | ast.Return):
            return True
        if isinstance(node, ast.For | ast.While):
            inner = [*node.orelse, *(one for one in ast.walk(node) if isinstance(one, ast.Return))]
            waiting.extend(inner)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return False


@in_the_source(
    "stop-word-in-one-token",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where the word has letters and other signs, or is long.
    """,
)
def stop_word_in_one_token(source: Source) -> Iterator[Finding]:
    """The last token's text is compared with a word of several pieces."""
    for one in written(source):
        for node in ast.walk(one.call) if not one.is_processor else ():
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.In):
                continue
            if not _is_last_tokens_text(source, node.left, one.ids):
                continue
            word = next(filter(_SEVERAL.search, _words_of(source, node.comparators[0], one)), None)
            if word is None:
                continue
            yield found(
                "stop-word-in-one-token",
                WARNING,
                node,
                what=f"{source.words(node)} compares one token's text with {word!r}.",
                why="That is several tokens: no single one is ever equal, and nothing stops.",
                fix=f"model.generate(..., stop_strings=[{word!r}], tokenizer=tokenizer)",
            )
            break


def _is_last_tokens_text(source: Source, node: ast.AST, ids: str) -> bool:
    """Tell whether an expression is the last token decoded: `decode(input_ids[0, -1])`."""
    text = source.value(node)
    while name_of(text) in ("strip", "lower"):
        text = source.value(owner_of(text))
    if name_of(text) not in _DECODES or not text.args:
        return False
    token = ast.unparse(source.value(text.args[0])).replace(" ", "")
    return token in {f"{ids}[0,-1]", f"{ids}[0][-1]", f"{ids}[0,-1:]", f"{ids}[0][-1:]"}


def _words_of(source: Source, node: ast.AST, one: Written) -> list[str]:
    """Return the words that a place stands for: written there, or given to the class."""
    words = [text for text in source.constants(node) if isinstance(text, str)]
    if words or last_name(getattr(node, "value", ast.Constant(None))) != "self":
        return words
    given = [
        value
        for call in source.calls
        if last_name(call.func) == one.node.name
        for value in values_given(call)
    ]
    return [text for value in given for text in source.constants(value) if isinstance(text, str)]


@in_the_source(
    "stop-reads-the-prompt",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where the whole row is searched.",
)
def stop_reads_the_prompt(source: Source) -> Iterator[Finding]:
    """A criterion searches all of the row, the prompt included."""
    for one in written(source):
        if one.is_processor:
            continue
        for node in ast.walk(one.call):
            if not _searches_a_row(source, node, one.ids):
                continue
            yield found(
                "stop-reads-the-prompt",
                WARNING,
                node,
                what=f"{source.words(node)} looks for the stop word anywhere, the prompt included.",
                why="What the prompt holds stops the text, as do a word's tokens in any order.",
                fix="model.generate(..., stop_strings=[word], tokenizer=tokenizer)",
            )
            break


def _searches_a_row(source: Source, node: ast.AST, ids: str) -> bool:
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
        return _holds_the_row(source, node.comparators[0], ids)
    if not isinstance(node, ast.Call):
        return False
    if name_of(node) == "isin" and len(node.args) == 2:
        return _is_whole_row(node.args[1], ids)
    if name_of(node) in ("search", "findall") and len(node.args) == 2:
        return _holds_the_row(source, node.args[1], ids)
    if name_of(node) == "any" and isinstance(owner_of(node), ast.Compare):  # (ids == 13).any()
        asked = owner_of(node).left
        return last_name(asked) == ids or _is_whole_row(asked, ids)
    finds = name_of(node) in ("find", "count") and bool(node.args)
    return finds and _holds_the_row(source, owner_of(node), ids)


def _holds_the_row(source: Source, node: ast.AST, ids: str) -> bool:
    """Tell whether an expression is a whole row, its text, or the text of one row of all."""
    text = source.value(node)
    if name_of(text) in ("lower", "upper", "strip"):
        text = source.value(owner_of(text))
    if isinstance(text, ast.Subscript) and isinstance(text.slice, ast.Constant):
        texts = source.value(text.value)
        if name_of(texts) == "batch_decode" and texts.args:
            return last_name(texts.args[0]) == ids
    decodes = name_of(text) == "decode" and text.args
    return _is_whole_row(source.value(text.args[0]) if decodes else text, ids)


def _is_whole_row(node: ast.AST, ids: str) -> bool:
    """Tell whether a node is `input_ids[0]`, or a list of it."""
    while name_of(node) in ("tolist", "cpu"):
        node = getattr(node.func, "value", ast.Constant(None))
    row = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    return row and last_name(node.value) == ids


@in_the_source(
    "criterion-of-one-row",
    severities=(WARNING,),
    how_sure="Likely: only the source was read, where a batch is padded for such a call.",
)
def criterion_of_one_row(source: Source) -> Iterator[Finding]:
    """A criterion that looks at the first row, in a call of several."""
    classes = {one.node.name: one for one in written(source) if not one.is_processor}
    for asked in every_asked(source):
        given = source.value(asked.given.get("stopping_criteria", ast.Constant(None)))
        several = prompts_of(source, asked) or rows_asked(source, asked)
        if isinstance(given, ast.Constant) or several is None:
            continue
        made = [part for part in ast.walk(given) if isinstance(part, ast.Name | ast.Call)]
        names = {name_of(one) for one in map(source.value, made) if isinstance(one, ast.Call)}
        for name in names & classes.keys():
            text = ast.unparse(classes[name].call)
            ids = classes[name].ids
            first = f"{ids}[0]" in text or f"{ids}[0, " in text
            first &= "for " not in text and f"{ids}[:, " not in text
            flat = any(f"{ids}.{how}" in text for how in _FLATTENS)
            if not first and not flat and not _asks_any_row(classes[name].call, ids):
                continue
            what = f"{ids}[0]" if first else f"all rows of {ids} as one"
            yield found(
                "criterion-of-one-row",
                WARNING,
                classes[name].call,
                what=f"{name} looks at {what}, and the call has several rows.",
                why="What it says of one row ends all of them.",
                fix=f"return ...  # a True or False for each row of {ids}",
            )


def _asks_any_row(call: ast.FunctionDef, ids: str) -> bool:
    """Tell whether a criterion is true of all as soon as it is of any row."""
    for node in ast.walk(call):
        value = node.value if isinstance(node, ast.Return) else None
        while name_of(value) in ("bool", "item"):
            value = value.args[0] if value.args else owner_of(value)
        if value is None or f"{ids}[:, -" not in ast.unparse(value):
            continue
        listed = isinstance(value, ast.Compare) and isinstance(value.ops[0], ast.In)
        if listed and ast.unparse(value.comparators[0]).endswith("tolist()"):
            return True
        whole = isinstance(value, ast.Call) and not value.args and not value.keywords
        if whole and name_of(value) == "any":
            return True
    return False

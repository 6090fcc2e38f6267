"""Stopping criteria that cannot stop anything, and stop words that never come."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_false, last_name, name_of, owner_of
from llmcourse.doctor.static.rules.states import Written, written
from llmcourse.doctor.subject import Subject

_DECODES = ("decode", "convert_ids_to_tokens")
_STOPS = ("stop_strings", "stop_sequence", "stop")
_ESCAPED = re.compile(r"\\[nrt]")
# Words of several pieces with every tokenizer: letters with other signs, words, or a long one.
_SEVERAL = re.compile(r"\w[^\w\s]|[^\w\s]\w|\w\s+\w|\n\S|\w{12}")


@in_the_source(
    "criterion-never-true",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="A stopping criterion is asked at every step, and nothing ever stops.",
    cause="""
        A list gets False for every row, whatever was found, and the criterion is true only if all
        in it are. Often a `break` leaves the inner loop alone, and the line after it still runs.
    """,
    fix="Append once for each row; `any` looks at its sequences.",
    example="""
        ends = [any(row[-len(s) :].tolist() == s for s in sequences) for row in input_ids]
        return torch.tensor(ends, device=input_ids.device)
    """,
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
    if not isinstance(call, ast.Call) or name_of(call) != "append" or len(call.args) != 1:
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
    "criterion-of-wrong-form",
    subject=Subject.ENDS,
    severities=(ERROR,),
    symptom="A TypeError within `generate`, at the first step.",
    cause="""
        `generate` calls a criterion with ids and scores, and joins what it returns with a tensor:
        True, False, or a tensor with one of them for each row. A list cannot be joined.
    """,
    fix="Take both arguments, and return a tensor.",
    example="""
        def __call__(self, input_ids, scores, **kwargs):
            ends = [self.has_ended(row) for row in input_ids]
            return torch.tensor(ends, device=input_ids.device)
    """,
    how_sure="Likely: only the source was read, where the class stands.",
)
def criterion_of_wrong_form(source: Source) -> Iterator[Finding]:
    """A criterion that returns a list, or takes no scores."""
    for one in written(source):
        if one.is_processor:
            continue
        arguments = one.call.args
        several = len(arguments.posonlyargs) + len(arguments.args) > 2 or arguments.vararg
        listed = next((node for node in ast.walk(one.call) if _returns_list(source, node)), None)
        if several and listed is None:
            continue
        yield found(
            "criterion-of-wrong-form",
            ERROR,
            listed or one.call,
            what=f"{one.node.name}.__call__ returns a list."
            if several
            else f"{one.node.name}.__call__ takes no scores.",
            why="generate joins what it returns with a tensor of one True or False for each row."
            if several
            else "generate calls it with ids and scores.",
            fix="return torch.tensor(ends, device=input_ids.device)"
            if several
            else "def __call__(self, input_ids, scores, **kwargs):",
        )


def _returns_list(source: Source, node: ast.AST) -> bool:
    value = source.value(node.value) if isinstance(node, ast.Return) and node.value else None
    return isinstance(value, ast.List | ast.ListComp)


@in_the_source(
    "stop-word-in-one-token",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="A stopping criterion never stops, though its word is in the text.",
    cause="""
        The criterion decodes the last token and compares it with a word. A word of several pieces
        is never one token, and a token after a space has that space in its text.
    """,
    fix="Look at the end of the text, or use `stop_strings`.",
    example='model.generate(**inputs, stop_strings=["User:"], tokenizer=tokenizer)',
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
    while isinstance(text, ast.Call) and name_of(text) in ("strip", "lower"):
        text = source.value(owner_of(text))
    if not isinstance(text, ast.Call) or name_of(text) not in _DECODES or not text.args:
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
        for value in (*call.args, *(each.value for each in call.keywords))
    ]
    return [text for value in given for text in source.constants(value) if isinstance(text, str)]


@in_the_source(
    "stop-string-with-backslash",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="A stop at the end of a line never comes.",
    cause=r"""
        `"\\n"` and `r"\n"` are two characters, a backslash and an n. The model writes the one
        character that ends a line.
    """,
    fix="Write it with one backslash; decode what comes from a shell or a file.",
    example=r"""
        model.generate(**inputs, stop_strings=["\n"], tokenizer=tokenizer)
    """,
    how_sure="Likely: only the source was read, where a backslash and an n stand in a stop word.",
)
def stop_string_with_backslash(source: Source) -> Iterator[Finding]:
    """A stop string with an escape that was escaped."""
    for asked in every_asked(source):
        stops = [one for name in _STOPS for one in source.constants(asked.given.get(name))]
        wrong = next((one for one in stops if isinstance(one, str) and _ESCAPED.search(one)), None)
        if wrong is None:
            continue
        right = wrong.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")
        yield found(
            "stop-string-with-backslash",
            WARNING,
            asked.call,
            what=f"The stop string {wrong!r} has a backslash and a letter in it.",
            why="The model writes the end of a line as one character: these two never come.",
            fix=f"stop_strings=[{right!r}]",
        )

"""What a pipeline's call gives, and whether its text is used with the prompt in it."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of

OF_TEXTS = ("strip", "split", "lower", "upper", "replace", "startswith", "endswith", "find")
OF_TEXTS += ("splitlines", "removeprefix", "partition", "rsplit", "encode", "lstrip", "rstrip")
PARSES = ("loads", "int", "float", "literal_eval")
_ANSWER = re.compile(r"answer|reply|response|completion|summary|translation", re.IGNORECASE)


def pipelines_with_the_prompt(source: Source) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield where a pipeline's text is used as the answer alone: the node, how grave, and the use.

    The text begins with the prompt, unless `return_full_text=False` is said.
    """
    for node, call in generated_texts(source):
        made = source.pipeline(call.func)
        told = [keyword(one, "return_full_text") for one in (call, made) if one is not None]
        unpacked = any(each.arg is None for each in call.keywords)
        if any(one is not None for one in told) or unpacked or not _gets_text(source, call):
            continue
        used = [_use_of_an_answer(source, use) for use in source.uses(node)]
        used = sorted((one for one in used if one is not None), key=lambda one: one[0] == NOTE)
        if used:
            yield node, *used[0]


def _use_of_an_answer(source: Source, node: ast.AST) -> tuple[str, str] | None:
    """Return how grave it is that a text begins with its prompt, and how it is used, or None."""
    use = source.parents.get(node)
    if name_of(use) in PARSES and node in use.args:
        return WARNING, f"{name_of(use)} reads it"
    if isinstance(use, ast.Compare) and isinstance(use.ops[0], ast.Eq):
        return WARNING, "it is compared with a text"
    if isinstance(use, ast.Attribute) and use.attr == "startswith":
        return WARNING, "its beginning is looked at"
    if _kept_as_answer(source, use):
        return WARNING, "it is kept as the assistant's message"
    if isinstance(use, ast.Assign) and _ANSWER.search(last_name(use.targets[0])):
        return NOTE, f"it is called {last_name(use.targets[0])}"
    if isinstance(use, ast.Return) and not isinstance(node, ast.Name):
        return NOTE, "it is returned"
    return None


def _kept_as_answer(source: Source, use: ast.AST) -> bool:
    """Tell whether a name is bound to what becomes the content of an assistant's message."""
    if not isinstance(use, ast.Assign) or not isinstance(use.targets[0], ast.Name):
        return False
    for node in source.scopes:
        if isinstance(node, ast.Dict) and source.scopes[node] is source.scopes[use]:
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            says = dict(zip(keys, node.values, strict=True))
            if source.constants(says.get("role")) == ["assistant"]:
                content = says.get("content")
                if isinstance(content, ast.Name) and source.value(content) is use.value:
                    return True
    return False


def generated_texts(source: Source) -> Iterator[tuple[ast.Subscript, ast.Call]]:
    """Yield each `[...]["generated_text"]` with the pipeline's call that it comes from."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
            continue
        if node.slice.value != "generated_text" or isinstance(node.ctx, ast.Store):
            continue
        value = source.value(node.value)
        while isinstance(value, ast.Subscript):
            value = source.value(value.value)
        if not isinstance(value, ast.Call):
            continue
        if source.pipeline(value.func) is not None:
            yield node, value


def _gets_text(source: Source, call: ast.Call) -> bool:
    """Tell whether a pipeline is given one text, as far as that is seen."""
    if not call.args:
        return False
    value = source.value(call.args[0])
    if isinstance(value, ast.JoinedStr):
        return True
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    return "prompt" in last_name(call.args[0]).lower()

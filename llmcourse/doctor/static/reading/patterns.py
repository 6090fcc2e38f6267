"""Regular expressions of a script: each with its pattern, its flags and the text that it reads."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.doctor.static.reading.following import followed
from llmcourse.doctor.static.reading.source import Source, is_string, last_name, name_of, owner_of

_SEARCHES = ("search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split")
_REPLACES = ("sub", "subn")
TAKES_A_PATTERN = ("search", "match", "findall", "sub", "finditer", "split", "compile", "fullmatch")


@dataclass(frozen=True, eq=False)
class Search:
    """One use of a regular expression."""

    call: ast.Call  # `re.search(...)`, or `pattern.search(...)`
    pattern: str
    text: ast.AST  # what is searched
    flags: str  # as they are written, with what else follows the text

    @property
    def dot_is_everything(self) -> bool:
        """Whether a dot goes on over the end of a line."""
        said = self.flags.replace("regex.", "re.")
        return "DOTALL" in said or said.endswith("re.S") or "re.S " in said or "(?s" in self.pattern


def searches(source: Source) -> Iterator[Search]:
    """Yield the regular expressions that are written out, in the order of their lines."""
    for call in source.calls:
        if name_of(call) not in _SEARCHES or not isinstance(call.func, ast.Attribute):
            continue
        found = _of_module(source, call) or _of_compiled(source, call)
        if found is not None:
            yield found


def _of_module(source: Source, call: ast.Call) -> Search | None:
    """Return what `re.search(pattern, text, flags)` is."""
    place = 2 if name_of(call) in _REPLACES else 1
    if last_name(owner_of(call)) not in ("re", "regex") or len(call.args) <= place:
        return None
    pattern = _written(source, call.args[0])
    flags = _words([*call.args[place + 1 :], *(each.value for each in call.keywords)])
    return None if pattern is None else Search(call, pattern, call.args[place], flags)


def _of_compiled(source: Source, call: ast.Call) -> Search | None:
    """Return what `pattern.search(text)` is, with a pattern that was compiled."""
    made = followed(source, owner_of(call))
    place = 1 if name_of(call) in _REPLACES else 0
    if name_of(made) != "compile" or len(call.args) <= place:
        return None
    pattern = _written(source, made.args[0]) if made.args else None
    flags = _words([*made.args[1:], *(each.value for each in made.keywords)])
    return None if pattern is None else Search(call, pattern, call.args[place], flags)


def _written(source: Source, node: ast.AST) -> str | None:
    value = followed(source, node)
    text = is_string(value)
    return value.value if text else None


def _words(nodes: list[ast.AST]) -> str:
    return " ".join(map(ast.unparse, nodes))

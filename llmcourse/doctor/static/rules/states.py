"""Logits processors and stopping criteria that somebody wrote: what they return, keep and read."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_PROCESSOR = re.compile(r"Logits(Processor|Warper)$")
_CRITERION = re.compile(r"StoppingCriteria$")


@dataclass(frozen=True, eq=False)
class Written:
    """A class of the source that `generate` calls at each step."""

    node: ast.ClassDef
    call: ast.FunctionDef  # its __call__

    @property
    def is_processor(self) -> bool:
        """Whether it changes scores, and does not decide about the end."""
        return any(_PROCESSOR.search(last_name(base)) for base in self.node.bases)

    @property
    def ids(self) -> str:
        """What its __call__ names the ids."""
        arguments = self.call.args.args
        return arguments[1].arg if len(arguments) > 1 else ""

    @property
    def scores(self) -> str:
        """What its __call__ names the scores."""
        arguments = self.call.args.args
        return arguments[2].arg if len(arguments) > 2 else ""


def written(source: Source) -> Iterator[Written]:
    """Yield the processors and criteria that a source defines for `generate`."""
    if of_another_library(source):
        return
    for node in list(source.scopes):
        if not isinstance(node, ast.ClassDef):
            continue
        kinds = [last_name(base) for base in node.bases]
        known = any(_PROCESSOR.search(kind) or _CRITERION.search(kind) for kind in kinds)
        for method in node.body if known else ():
            if isinstance(method, ast.FunctionDef) and method.name == "__call__":
                yield Written(node, method)


def of_another_library(source: Source) -> bool:
    """Tell whether processors or criteria come from elsewhere than transformers.

    Other engines call them in their own way, with other arguments.
    """
    for node in list(source.scopes):
        if isinstance(node, ast.ClassDef) and node.name in ("LogitsProcessor", "StoppingCriteria"):
            return True
        if not isinstance(node, ast.ImportFrom) or (node.module or "").startswith("transformers"):
            continue
        if any(one.name in ("LogitsProcessor", "StoppingCriteria") for one in node.names):
            return True
    return False


@in_the_source(
    "processor-returns-none",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`'NoneType' object has no attribute ...`, deep in `generate`.",
    cause="""
        `generate` goes on with what a processor returns, and stops by what a criterion returns. A
        `__call__` without `return`, or with one in an `if` alone, returns None, also where it
        changes the scores in place.
    """,
    fix="Return the scores; a criterion returns True or False for each row.",
    example="""
        def __call__(self, input_ids, scores):
            scores[:, self.ids] -= self.by
            return scores
    """,
    how_sure="""
        Likely: only the source was read, where `__call__` has no `return` with a value, or one on
        some of its ways alone.
    """,
)
def processor_returns_none(source: Source) -> Iterator[Finding]:
    """A `__call__` that returns nothing."""
    for one in written(source):
        inside = list(ast.walk(one.call))
        returns = any(isinstance(node, ast.Return) and node.value is not None for node in inside)
        open_end = any(isinstance(node, ast.Raise | ast.Yield) for node in inside)
        last = one.call.body[-1]
        words = isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant)
        empty = words or isinstance(last, ast.Pass)  # not written yet
        if open_end or empty or (returns and not may_end_without_return(one.call.body)):
            continue
        what = "scores" if one.is_processor else "True or False for each row"
        yield found(
            "processor-returns-none",
            ERROR,
            one.call,
            what=f"{one.node.name}.__call__ has no return, so it returns None."
            if not returns
            else f"{one.node.name}.__call__ does not return on all ways: it returns None there.",
            why=f"generate goes on with what it returns: {what}.",
            fix="return scores" if one.is_processor else "return is_done",
        )


def may_end_without_return(body: list[ast.stmt]) -> bool:
    """Tell whether a function's end can be reached: its last statement returns on some ways."""
    last = body[-1]
    if isinstance(last, ast.Return):
        return last.value is None
    if isinstance(last, ast.Raise | ast.While | ast.Match):
        return False
    if isinstance(last, ast.If):
        return not last.orelse or any(map(may_end_without_return, (last.body, last.orelse)))
    if isinstance(last, ast.With):
        return may_end_without_return(last.body)
    if isinstance(last, ast.Try):
        ways = [last.orelse or last.body, *(handler.body for handler in last.handlers)]
        ways = [last.finalbody] if last.finalbody else ways
        return any(map(may_end_without_return, ways))
    return True


@in_the_source(
    "stateful-processor",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="Only the first text keeps to the format; later ones are free, or fail.",
    cause="""
        A processor that counts its steps in itself goes on counting in the next call: `generate`
        does not tell it that a new text begins. So does a `prefix_allowed_tokens_fn` that
        remembers how far it was.
    """,
    fix="Make one for each call, or work from the length of `input_ids`.",
    example="model.generate(**inputs, logits_processor=[Format(ids)])",
    how_sure="""
        Likely: only the source was read, where one object with a state of its own goes into several
        calls, and has no `reset`.
    """,
)
def stateful_processor(source: Source) -> Iterator[Finding]:
    """One processor with a state of its own, in several calls."""
    classes = {one.node.name: one for one in written(source) if _keeps_state(one)}
    uses: dict[str, list[ast.Call]] = {}
    for asked in every_asked(source):
        for name in ("logits_processor", "stopping_criteria"):
            value = source.value(asked.given.get(name, ast.Constant(None)))
            for part in ast.walk(value):
                made = source.value(part) if isinstance(part, ast.Name) else None
                if isinstance(made, ast.Call) and name_of(made) in classes:
                    uses.setdefault(part.id, []).append(asked.call)
                    uses[part.id] += [asked.call] if _repeats(source, asked.call, made) else []
    yield from _stateful_functions(source)
    for name, calls in uses.items():
        if len(calls) < 2:
            continue
        yield found(
            "stateful-processor",
            WARNING,
            calls[-1],
            what=f"The processor {name} keeps a state of its own, and goes into several calls.",
            why="It is not made new for each text: it goes on where the text before ended.",
            fix=f"{name} = ...  # a new one for each call",
        )


def _stateful_functions(source: Source) -> Iterator[Finding]:
    """Yield where a `prefix_allowed_tokens_fn` remembers what it was called with before."""
    makers = {name: ways for name, ways in map(_what_remembers, source.scopes) if ways}
    functions = _remembering_functions(source)
    uses: dict[str, list[ast.Call]] = {}
    for asked in every_asked(source):
        given = asked.given.get("prefix_allowed_tokens_fn")
        for one, way in _objects(given) if given is not None else ():
            made, name = _made(source, one), ast.unparse(one)
            known = isinstance(made, ast.Call) and way in makers.get(name_of(made), ())
            if not known and (name not in functions or way != "__call__"):
                continue
            if _is_set_back(source, name):
                continue
            outside = not known or source.scopes.get(made) is not source.scopes[asked.call]
            again = _repeats(source, asked.call, made if known else source.tree)
            again |= outside and _runs_again(source, asked.call)
            uses.setdefault(name, []).extend([asked.call] * (1 + again))
    for name, calls in uses.items():
        if len(calls) > 1:
            yield found(
                "stateful-processor",
                WARNING,
                calls[-1],
                what=f"prefix_allowed_tokens_fn={name} keeps a state between calls of generate.",
                why="The function is not told that a new text begins: with the same prompt, or in "
                "the next call, it goes on where the last call ended.",
                fix=f"prefix_allowed_tokens_fn=...  # made anew for each call, in place of {name}",
            )


def _objects(given: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield an object that is called, with its method: of `allowed`, `trie.next`, and a lambda."""
    if isinstance(given, ast.Lambda) and isinstance(given.body, ast.Call):
        given = given.body.func
    if isinstance(given, ast.Name | ast.Attribute):
        yield given, "__call__"
    if isinstance(given, ast.Attribute) and isinstance(given.value, ast.Name | ast.Attribute):
        yield given.value, given.attr


def _made(source: Source, one: ast.AST) -> ast.AST:
    """Return what a name or an attribute is given, where that is seen once."""
    if not isinstance(one, ast.Attribute):
        return source.value(one)
    made = [
        node.value
        for node in source.scopes
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(one)
    ]
    return made[0] if len(made) == 1 else one


def _is_set_back(source: Source, name: str) -> bool:
    """Tell whether something of an object is assigned from outside: `allowed.at = 0`."""
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == name
        for node in source.scopes
    )


def _runs_again(source: Source, call: ast.Call) -> bool:
    """Tell whether the function that a call stands in is called in a loop, or twice."""
    name = getattr(source.scopes[call].node, "name", None)
    calls = [one for one in source.calls if name is not None and last_name(one.func) == name]
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.DictComp)
    return len(calls) > 1 or any(
        isinstance(above, loops) for one in calls for above in source.above(one)
    )


def _what_remembers(node: ast.AST) -> tuple[str, set[str]]:
    """Return a class's name and those of its methods that keep a state, where nothing resets it.

    Or that of a function which returns a function that does, and "__call__".
    """
    if isinstance(node, ast.ClassDef):
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        if any(one.name.startswith("reset") for one in methods):
            return node.name, set()
        return node.name, {one.name for one in methods if _remembers(one)}
    if not isinstance(node, ast.FunctionDef):
        return "", set()
    inner = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    returned = {ast.unparse(one.value) for one in node.body if _gives(one)}
    kept = {name for one in node.body for name in _assigned(one)}
    remembers = any(one.name in returned and _remembers_names(one, kept) for one in inner)
    return node.name, {"__call__"} if remembers else set()


def _assigned(node: ast.AST) -> set[str]:
    """Return the names that a statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {one.id for one in targets if isinstance(one, ast.Name)}


def _gives(node: ast.AST) -> bool:
    return isinstance(node, ast.Return) and node.value is not None


def _remembering_functions(source: Source) -> set[str]:
    """Return the names of the functions that change a global name which they alone set."""
    functions = [one for one in source.scopes if isinstance(one, ast.FunctionDef)]
    said = [name for one in source.scopes if isinstance(one, ast.Global) for name in one.names]
    bound = source.module.bound
    kept = {name for name, values in bound.items() if len(values) == 1 and said.count(name) < 2}
    return {one.name for one in functions if _remembers_names(one, kept)}


def _remembers_names(function: ast.FunctionDef, kept: set[str]) -> bool:
    """Tell whether a function changes names of those around it, and reads them."""
    if len(function.args.args) != 2 or _looks_at_length(function):
        return False
    stored, read = _stored_and_read(function)
    said = (ast.Nonlocal, ast.Global)
    names = {name for one in ast.walk(function) if isinstance(one, said) for name in one.names}
    cells = {
        one.target.value.id  # of `step[0] += 1`
        for one in ast.walk(function)
        if isinstance(one, ast.AugAssign)
        and isinstance(one.target, ast.Subscript)
        and isinstance(one.target.slice, ast.Constant)
        and isinstance(one.target.value, ast.Name)
    }
    return bool(kept & read & ((names & stored) | (cells - stored)))


def _remembers(method: ast.FunctionDef) -> bool:
    """Tell whether a method that gets two things reads what it changed of its own object."""
    if method.name == "__init__" or len(method.args.args) != 3 or _looks_at_length(method):
        return False
    stored, read = _stored_and_read(method)
    return any(one.startswith("self.") for one in stored & read)


def _looks_at_length(function: ast.FunctionDef) -> bool:
    """Tell whether a function works from the length of the ids that it gets, the last argument."""
    ids = function.args.args[-1].arg if function.args.args else ""
    text = ast.unparse(function)
    return f"len({ids})" in text or f"{ids}.shape" in text or f"{ids}.size(" in text


def _stored_and_read(function: ast.FunctionDef) -> tuple[set[str], set[str]]:
    """Return what a function assigns, but where it is None yet, and what it reads."""
    if_none = {
        part
        for one in ast.walk(function)
        if isinstance(one, ast.If) and re.search(r" is None$|^not ", ast.unparse(one.test))
        for part in ast.walk(one)
    }
    kinds = (ast.Attribute, ast.Name)
    stored = {
        ast.unparse(one)
        for one in ast.walk(function)
        if isinstance(one, kinds) and isinstance(one.ctx, ast.Store) and one not in if_none
    }
    read = {
        ast.unparse(one)
        for one in ast.walk(function)
        if isinstance(one, kinds) and isinstance(one.ctx, ast.Load)
    }
    return stored, read


def _keeps_state(one: Written) -> bool:
    """Tell whether `__call__` changes what the object holds, and nothing sets it back."""
    methods = [node.name for node in one.node.body if isinstance(node, ast.FunctionDef)]
    text = ast.unparse(one.call)
    begins_anew = "shape" in text or ("len(" in text and f"len({one.ids}" in text)
    if "reset" in methods or begins_anew:
        return False
    for node in ast.walk(one.call):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if stored and last_name(node.value) == "self":
            return True
        steps = isinstance(node, ast.Call) and name_of(node) in ("next", "pop", "popleft")
        if steps and "self." in ast.unparse(node):
            return True
    return False


def _repeats(source: Source, call: ast.Call, made: ast.Call) -> bool:
    """Tell whether a call stands in a loop, and the object was made outside of it."""
    loops = [above for above in source.above(call) if isinstance(above, ast.For | ast.While)]
    around = list(source.above(made))
    return any(loop not in around for loop in loops)


@in_the_source(
    "stop-reads-the-prompt",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="It stops at once or too early, though the stop word has not been written.",
    cause="""
        A criterion gets prompt and new tokens in one row. Looking for a word, or its pieces,
        anywhere in the row finds those of the prompt, and pieces in any order.
    """,
    fix="Look at the end of the row, or use `stop_strings`.",
    example='model.generate(**inputs, stop_strings=["###"], tokenizer=tokenizer)',
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
    if isinstance(text, ast.Call) and name_of(text) in ("lower", "upper", "strip"):
        text = source.value(owner_of(text))
    if isinstance(text, ast.Subscript) and isinstance(text.slice, ast.Constant):
        texts = source.value(text.value)
        if isinstance(texts, ast.Call) and name_of(texts) == "batch_decode" and texts.args:
            return last_name(texts.args[0]) == ids
    decodes = isinstance(text, ast.Call) and name_of(text) == "decode" and text.args
    return _is_whole_row(source.value(text.args[0]) if decodes else text, ids)


def _is_whole_row(node: ast.AST, ids: str) -> bool:
    """Tell whether a node is `input_ids[0]`, or a list of it."""
    while isinstance(node, ast.Call) and name_of(node) in ("tolist", "cpu"):
        node = getattr(node.func, "value", ast.Constant(None))
    row = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    return row and last_name(node.value) == ids

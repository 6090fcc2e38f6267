"""Processors and criteria as `generate` calls them: their arguments, results and lists."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.classes import Written, of_another_library, written
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of
from llmcourse.doctor.subject import Subject

_NAMES = re.compile(r"Logits(Processor|Warper)$")


@in_the_source(
    "processor-returns-none",
    severities=(ERROR,),
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
    "processor-not-called",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="A NotImplementedError, a TypeError about arguments, or scores that look like ids.",
    cause="""
        `generate` calls a processor as `processor(input_ids, scores)`, by position. A class needs a
        `__call__` that takes both, in this order; a method of another name is never called.
    """,
    fix="Give the class the method that is called.",
    example="""
        def __call__(self, input_ids, scores):
            return scores
    """,
    how_sure="Likely: only the source was read, where the class and its methods stand.",
)
def processor_not_called(source: Source) -> Iterator[Finding]:
    """A processor without `__call__`, or with other arguments than it gets."""
    if of_another_library(source):
        return
    for node in list(source.scopes):
        if not isinstance(node, ast.ClassDef) or not _derives(node) or _is_a_base(source, node):
            continue
        methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
        fault = _fault_of(methods)
        if fault is None:
            continue
        yield found(
            "processor-not-called",
            ERROR,
            methods.get("__call__", node),
            what=f"{node.name} {fault}",
            why="generate calls processor(input_ids, scores), by position, and goes on with what "
            "comes back.",
            fix="def __call__(self, input_ids, scores): ...  # and return scores",
        )


def _derives(node: ast.ClassDef) -> bool:
    return any(_NAMES.search(last_name(base)) for base in node.bases)


def _is_a_base(source: Source, node: ast.ClassDef) -> bool:
    """Tell whether a class is another one's base, or has bases beside the library's."""
    classes = [one for one in source.scopes if isinstance(one, ast.ClassDef)]
    used = any(last_name(base) == node.name for one in classes for base in one.bases)
    return used or len(node.bases) > 1


def _fault_of(methods: dict[str, ast.FunctionDef]) -> str | None:
    """Return what is wrong with a processor's methods, in words; None if nothing is."""
    call = methods.get("__call__")
    if call is None:
        others = [name for name in methods if not name.startswith("_")]
        return f"has {others[0]}, and no __call__." if others else None
    given = call.args
    names = [one.arg for one in (*given.posonlyargs, *given.args)][1:]
    if given.vararg is not None or any(map(_is_static, call.decorator_list)):
        return None
    if len(names) < 2:
        return "takes one argument in __call__, and gets two: ids and scores."
    swapped = re.search(r"score|logit", names[0]) and re.search(r"(^|_)ids?$|input|token", names[1])
    return (
        f"takes {names[0]} first and {names[1]} second: they come the other way."
        if swapped
        else None
    )


def _is_static(node: ast.AST) -> bool:
    return last_name(node) in ("staticmethod", "overload")


@in_the_source(
    "criterion-reads-scores",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="`'NoneType' object is not subscriptable` in a stopping criterion, or a tuple's error.",
    cause="""
        A criterion's `scores` are those that the call keeps: None unless it is asked for
        `output_scores` with `return_dict_in_generate`, and then a tuple with one tensor a step.
    """,
    fix="Ask the call for them, and take the last step's; or use a processor, which gets scores.",
    example="""
        model.generate(..., output_scores=True, return_dict_in_generate=True)
        scores[-1].softmax(-1)  # in the criterion
    """,
    how_sure="Likely: only the source was read, where nothing asks for `output_scores`.",
)
def criterion_reads_scores(source: Source) -> Iterator[Finding]:
    """A criterion uses scores that nobody keeps."""
    if "output_scores" in source.text:
        return
    for one in written(source):
        if one.is_processor or not one.scores:
            continue
        node = next((part for part in ast.walk(one.call) if _uses_values(source, part, one)), None)
        if node is None or f"{one.scores} is" in ast.unparse(one.call):
            continue
        yield found(
            "criterion-reads-scores",
            WARNING,
            node,
            what=f"{source.words(node)} in {one.node.name}: the scores that a stopping criterion "
            "gets are None.",
            why="generate keeps them only where output_scores=True asks for it.",
            fix="model.generate(..., output_scores=True, return_dict_in_generate=True)",
        )


def _uses_values(source: Source, node: ast.AST, one: Written) -> bool:
    """Tell whether a node takes something of the scores: an entry, a method, a function's value."""
    if isinstance(node, ast.Subscript | ast.Attribute):
        return name_at(node.value) == one.scores
    made = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return made and any(
        name_at(part) == one.scores for arg in node.args for part in parts_followed(source, arg, 0)
    )


@in_the_source(
    "list-of-no-list",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`TypeError: 'MyProcessor' object is not iterable`.",
    cause="""
        `LogitsProcessorList` and `StoppingCriteriaList` are made of a list, as `list(...)` is: one
        object by itself is none.
    """,
    fix="Put it into brackets.",
    example="LogitsProcessorList([MyProcessor(tokenizer)])",
    how_sure="Likely: only the source was read, where one object is made in the list's place.",
)
def list_of_no_list(source: Source) -> Iterator[Finding]:
    """A list of processors or criteria is made of one object."""
    own = {one.node.name for one in written(source)}
    for call in source.calls:
        if name_of(call) not in ("LogitsProcessorList", "StoppingCriteriaList") or not call.args:
            continue
        made = followed(source, call.args[0])
        if not isinstance(made, ast.Call) or not (
            name_of(made) in own or _IS_ONE.search(name_of(made))
        ):
            continue
        words = source.words(call.args[0])
        yield found(
            "list-of-no-list",
            ERROR,
            call,
            what=f"{name_of(call)} is made of one object, {words}, and not of a list.",
            why="It goes through what it is given, and fails: one object is not iterable.",
            fix=f"{name_of(call)}([{words}])",
        )


_IS_ONE = re.compile(r"(LogitsProcessor|LogitsWarper|Criteria)$")


@in_the_source(
    "processor-counts-prompt",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where the length is compared with a small number, or with
        one that is called a number of new tokens, and nothing there is called a prompt.
    """,
)
def processor_counts_prompt(source: Source) -> Iterator[Finding]:
    """The length of all ids is taken for the number of new tokens."""
    for one in written(source):
        if _KNOWS_PROMPT.search(ast.unparse(one.node)):
            continue
        node = next((part for part in ast.walk(one.call) if _counts_all(source, part, one)), None)
        if node is None:
            continue
        yield found(
            "processor-counts-prompt",
            WARNING,
            node,
            what=f"{source.words(node)} in {one.node.name} counts the prompt's tokens too.",
            why=f"{one.ids} begins with the prompt: its length is not the number of new tokens.",
            fix=f"{one.ids}.shape[1] - self.prompt_length",
        )


_KNOWS_PROMPT = re.compile(
    r"prompt|prefix|start|begin|offset|context|input_?len|initial|seq_?len|max_length|base|orig"
)


_OF_NEW = re.compile(r"new|min_?(tok|len)|max_?tok|limit|n_tokens|num_tokens|steps?$|budget")


def _counts_all(source: Source, node: ast.AST, one: Written) -> bool:
    """Tell whether a node compares the ids' length with a number of new tokens."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not one.ids:
        return False
    if not isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq):
        return False
    length = ast.unparse(followed(source, node.left))
    all_ids = length in (
        *(f"{one.ids}.shape[1]", f"{one.ids}.shape[-1]", f"{one.ids}.size(1)"),
        *(f"{one.ids}.size(-1)", f"len({one.ids}[0])"),
    )
    number = followed(source, node.comparators[0])
    written_there = isinstance(number, ast.Constant) and isinstance(number.value, int)
    small = written_there and number.value >= _SOME
    return all_ids and (small or bool(_OF_NEW.search(last_name(node.comparators[0]))))


_SOME = 8  # ids: a shorter row may be asked for the sake of its last tokens


@in_the_source(
    "criterion-of-wrong-form",
    severities=(ERROR,),
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

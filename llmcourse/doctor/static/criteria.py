"""Stopping criteria that cannot stop anything."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.registry import found, in_the_source
from llmcourse.doctor.static.source import Source, is_false, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject


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

"""Beam searches by hand: how scores add up, and which beam is kept."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import CHANCES, LOG_CHANCES, LOGITS, kind, own_names
from llmcourse.doctor.subject import Subject


@in_the_source(
    "beam-scores-misbuilt",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    symptom="Beam search by hand finds worse texts than greedy decoding.",
    cause="""
        A beam's score is the sum of its tokens' log-probabilities, and the beams with the largest
        sums stay. Probabilities that are added, log-probabilities that are multiplied and raw
        logits are no such sum; sorting from the smallest keeps the worst beams.
    """,
    fix="Add log-probabilities, and keep the largest.",
    example="""
        scores = beam_scores[:, None] + logits.log_softmax(-1)
        beam_scores, best = scores.flatten().topk(num_beams)
    """,
    how_sure="Likely: only the source was read, where beams are named and scores are summed.",
)
def beam_scores_misbuilt(source: Source) -> Iterator[Finding]:
    """Beam scores that are no sum of log-probabilities, or the smallest of them."""
    if not re.search(r"beam", source.text, re.IGNORECASE):
        return
    yield from _summed_scores(source)
    yield from _worst_kept(source)
    yield from _worst_returned(source)


_SCORE = re.compile(
    r"score|(^|_)(cum|total|acc|running|sum)(_|$|ulative)|(^|_)log_?p|^(p|prob|probability|s)$",
    re.I,
)


def _update(node: ast.AST) -> tuple[ast.operator, ast.AST, ast.AST] | None:
    """Return operator and sides of a sum or product."""
    if isinstance(node, ast.AugAssign):
        return node.op, node.target, node.value
    return (node.op, node.left, node.right) if isinstance(node, ast.BinOp) else None


def _summed_scores(source: Source) -> Iterator[Finding]:
    for node in list(source.scopes):
        update = _update(node)
        if update is None:
            continue
        operator, left, right = update
        scored = [
            (one, other)
            for one, other in ((left, right), (right, left))
            if _SCORE.search(own_names(one)[0]) and _is_carried(source, one)
        ]
        fault = _fault_of_sum(source, operator, scored[0][1]) if scored else None
        if fault is None:
            continue
        severity, what, why = fault
        yield found(
            "beam-scores-misbuilt",
            severity,
            node,
            what=f"{source.words(node)[:80]} {what}",
            why=why,
            fix=f"{source.words(scored[0][0])} + logits.log_softmax(-1)",
        )
        return


def _is_carried(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a number carried from step to step, not a pass's own."""
    return kind(source, node) not in (LOGITS, CHANCES) or not any(
        source.is_forward(part) for part in parts_followed(source, node)
    )


def _fault_of_sum(source: Source, operator: ast.operator, other: ast.AST) -> tuple | None:
    of = kind(source, other)
    if not any(source.is_forward(part) for part in parts_followed(source, other)):
        return None
    if isinstance(operator, ast.Add) and of == CHANCES:
        what = "adds probabilities, and a beam's score is a sum of log-probabilities."
        return ERROR, what, "The chances of tokens in a row are multiplied: their logs are added."
    if isinstance(operator, ast.Mult) and of == LOG_CHANCES:
        what = "multiplies log-probabilities, which are added."
        return ERROR, what, "Two negative numbers give a positive one: unlikely beams win."
    if isinstance(operator, ast.Add) and of == LOGITS:
        what = "adds raw logits, not log-probabilities."
        why = "Logits of two steps have no common scale: a log_softmax gives them one."
        return WARNING, what, why
    return None


def _worst_kept(source: Source) -> Iterator[Finding]:
    costs = re.search(r"nll|neg|cost|loss|-\s*(torch|math|np)\.log|-\s*log", source.text)
    for call in source.calls:
        smallest = isinstance(largest := keyword(call, "largest"), ast.Constant)
        smallest = name_of(call) == "topk" and smallest and largest.value is False
        smallest |= name_of(call) == "nsmallest"
        if not smallest and not _sorts_upwards(source, call):
            continue
        if costs or not _ranks_beams(source, call):
            continue
        yield found(
            "beam-scores-misbuilt",
            ERROR,
            call,
            what=f"{source.words(call)[:80]} keeps the beams with the smallest scores.",
            why="Log-probabilities are negative: the largest, closest to 0, is the likeliest.",
            fix=f"{source.words(call.func)}(..., reverse=True)",
        )
        return


_COSTS = re.compile(r"nll|neg|cost|loss|perplex|-\s*(torch|math|np)\.log|-\s*log")


_WORST = re.compile(r"worst|low|min|thresh|last|weak|limit|bound", re.IGNORECASE)


def _worst_returned(source: Source) -> Iterator[Finding]:
    """Yield where the last of beams sorted best first is the result, or the smallest score's."""
    if _COSTS.search(source.text) or not re.search(r"log_?softmax|\.log\(", source.text):
        return
    for node in list(source.scopes):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            worst, best = _last_of_the_best(source, node), f"{source.words(node.value)}[0]"
            says = "is the last of the beams, which are sorted best first: the worst."
        elif isinstance(node, ast.Call) and last_name(node.func) == "min":
            worst, best = _smallest_of_beams(node), source.words(node).replace("min(", "max(", 1)
            says = "takes the beam with the lowest score: the worst."
        else:
            continue
        if not worst or not _is_the_result(source, node):
            continue
        yield found(
            "beam-scores-misbuilt",
            ERROR,
            node,
            what=f"{source.words(node)[:80]} {says}",
            why="Log-probabilities are negative: the largest sum, closest to 0, is the likeliest.",
            fix=best,
        )
        return


def _last_of_the_best(source: Source, node: ast.Subscript) -> bool:
    """Tell whether an expression is `beams[-1]`, where beams are sorted from the largest on."""
    if ast.unparse(node.slice) != "-1" or not _BEAMS.search(ast.unparse(node.value)):
        return False
    value = followed(source, node.value)
    cut = isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice)
    names = {ast.unparse(node.value), ast.unparse(value.value if cut else value)}
    ways = [_sorts(source, call, name) for call in source.calls for name in names]
    return any(way is True for way in ways) and False not in ways


_BEAMS = re.compile(r"beam|cand|hyp|finished|complet|sequences", re.IGNORECASE)


def _sorts(source: Source, call: ast.Call, name: str) -> bool | None:
    """Return whether a call sorts a list of that name best first; None where it sorts another."""
    if name_of(call) == "sort" and call.func is not owner_of(call):
        return is_true(keyword(call, "reverse")) if ast.unparse(owner_of(call)) == name else None
    if name_of(call) not in ("sorted", "nlargest"):
        return None
    above = source.parents.get(call)
    above = source.parents.get(above) if isinstance(above, ast.Subscript) else above
    if not isinstance(above, ast.Assign) or ast.unparse(above.targets[0]) != name:
        return None
    key = keyword(call, "key")
    upwards = isinstance(key, ast.Lambda) and isinstance(key.body, ast.UnaryOp)
    return not upwards and (name_of(call) == "nlargest" or is_true(keyword(call, "reverse")))


def _smallest_of_beams(call: ast.Call) -> bool:
    """Tell whether a call is `min(beams, key=lambda beam: beam[0])`."""
    key = keyword(call, "key")
    negated = isinstance(key, ast.Lambda) and isinstance(key.body, ast.UnaryOp)
    plain = isinstance(key, ast.Lambda) or ast.unparse(key or call).endswith(".get")
    beams = bool(call.args) and _BEAMS.search(ast.unparse(call.args[0]))
    plain = plain or (name_of(key) == "itemgetter")
    return isinstance(call.func, ast.Name) and bool(beams) and plain and not negated


def _is_the_result(source: Source, node: ast.AST) -> bool:
    """Tell whether a beam is returned or decoded, or gets a name that does not say the worst."""
    for above in source.above(node):
        if isinstance(above, ast.Compare | ast.BinOp | ast.If | ast.While | ast.Lambda):
            return False
        if isinstance(above, ast.Return):
            return True
        if isinstance(above, ast.Call):
            return name_of(above) in ("decode", "append", "print")
        if isinstance(above, ast.Assign):
            names = ast.unparse(above.targets[0])
            inside_loop = any(isinstance(one, ast.For | ast.While) for one in source.above(above))
            return not _WORST.search(names) and not inside_loop
        if isinstance(above, ast.stmt):
            return False
    return False


def _sorts_upwards(source: Source, call: ast.Call) -> bool:
    """Tell whether a call sorts by a key from the smallest on, and the first ones are kept."""
    if name_of(call) not in ("sorted", "sort") or is_true(keyword(call, "reverse")):
        return False
    key = keyword(call, "key")
    if not isinstance(key, ast.Lambda) or isinstance(key.body, ast.UnaryOp):
        return False
    if keyword(call, "reverse") is not None:
        return False
    if name_of(call) == "sorted":
        return _keeps_first(source.parents.get(call)) or _kept_later(source, call)
    name = last_name(owner_of(call))
    return any(
        last_name(node.value) == name and _keeps_first(node)
        for node in source.scopes[call].nodes
        if isinstance(node, ast.Subscript)
    )


def _kept_later(source: Source, call: ast.Call) -> bool:
    above = source.parents.get(call)
    name = name_at(above.targets[0]) if isinstance(above, ast.Assign) else ""
    return bool(name) and any(
        name_at(node.value) == name and _keeps_first(node)
        for node in source.scopes[call].nodes
        if isinstance(node, ast.Subscript)
    )


def _keeps_first(node: ast.AST | None) -> bool:
    """Tell whether an index is `[:k]`."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
        return False
    return node.slice.lower is None and isinstance(node.slice.upper, ast.Name | ast.Attribute)


def _ranks_beams(source: Source, call: ast.Call) -> bool:
    """Tell whether what is sorted are beams, by the names around, or by what gets the first."""
    beams = re.compile(r"beam|cand|hyp|score|seq", re.IGNORECASE)
    if beams.search(ast.unparse(call)):
        return True
    name = last_name(owner_of(call))
    return any(
        isinstance(node, ast.Assign)
        and _keeps_first(node.value)
        and last_name(node.value.value) == name
        and bool(beams.search(ast.unparse(node.targets[0])))
        for node in source.scopes[call].nodes
    )

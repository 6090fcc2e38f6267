"""From logits to probabilities: not normalized, no logarithms, sorted upwards, in 16 bits."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.fields import index_chain, names_in
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.functions import handed_in
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import (
    CHANCES,
    LOG_CHANCES,
    LOGITS,
    OF_ONE_NUMBER,
    axes,
    does,
    kind,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_OF_ENTRIES = (*OF_ONE_NUMBER, "sum", "unsqueeze", "view", "max")
_PROBABILITY = re.compile(
    r"log_?p(rob|s?$)|prob(s|abilit|$|_)|log_?lik|likelihood|nll|ppl|perplex|confidence",
    re.IGNORECASE,
)
_NORMALIZES = ("softmax", "log_softmax", "logsumexp", "Softmax", "LogSoftmax", "cross_entropy")
_NORMALIZES += ("Categorical", "CrossEntropyLoss", "sigmoid", "logsigmoid")
_LOG_LOSSES = {"nll_loss", "NLLLoss", "kl_div", "KLDivLoss"}
_IN_WORDS = {LOGITS: "logits", CHANCES: "probabilities", LOG_CHANCES: "log-probabilities"}
_GUARDS = ("nan_to_num", "nansum", "xlogy", "clamp", "clamp_min", "where", "entr", "masked_fill")
_GUARDS += ("isfinite", "clip", "maximum")


@in_the_source(
    "logits-not-normalized",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="Probabilities above 1, log-probabilities above 0, or a perplexity below 1.",
    cause="""
        Logits, and the `scores` of `generate`, are raw numbers: only a softmax over the vocabulary
        makes them probabilities, and a log_softmax log-probabilities. The exponential of a logit,
        or a sum of logits, is neither.
    """,
    fix="Take the log_softmax over the vocabulary first, then the tokens' entries.",
    example="""
        log_probs = model(ids).logits[:, :-1].log_softmax(-1)
        log_probs.gather(2, ids[:, 1:, None]).sum()
    """,
    how_sure="""
        Likely: only the source was read, where logits go into `exp` or `log`, or get the name of a
        probability, and nothing normalizes them.
    """,
)
def logits_not_normalized(source: Source) -> Iterator[Finding]:
    """Logits are taken for probabilities or log-probabilities."""
    for node in list(source.scopes):
        given = _into_exp(node) or _into_share(source, node)
        taken = given if given is not None else _named_probability(source, node)
        if taken is None or kind(source, taken) != LOGITS or _is_normalized(source, node, taken):
            continue
        yield found(
            "logits-not-normalized",
            ERROR,
            node,
            what=f"{source.words(node)} takes raw logits for probabilities or log-probabilities.",
            why="Without a softmax over the vocabulary, exp of a logit or a sum of logits is no "
            "probability.",
            fix="log_probs = logits.log_softmax(-1)  # before a token's entry is picked",
        )
        return


def _into_exp(node: ast.AST) -> ast.AST | None:
    """Return what goes into an exponential or a logarithm."""
    exponents = name_of(node) in ("exp", "exp_", "log")
    return tensor_of(node) if exponents and not isinstance(node.func, ast.Name) else None


def _into_share(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the logit that is divided by its sum with others: `yes / (yes + no)`."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return None
    total = followed(source, node.right)
    added = isinstance(total, ast.BinOp) and isinstance(total.op, ast.Add)
    own = ast.unparse(node.left)
    parts = [ast.unparse(one) for one in (total.left, total.right)] if added else []
    return node.left if own in parts else None


def _named_probability(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the picked logits that a name of a probability gets, or that are added up."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return _picked(source, node.value)
    if isinstance(node, ast.Assign):
        target, value = node.targets[0], node.value
    elif name_of(node) == "append" and len(node.args) == 1:
        target, value = owner_of(node), node.args[0]
    else:
        return None
    if isinstance(value, ast.Call) and last_name(value.func) == "sum" and value.args:
        value = getattr(value.args[0], "elt", value)  # sum(... for token in ...)
    while isinstance(value, ast.UnaryOp):
        value = value.operand
    named = _PROBABILITY.search(last_name(target)) and "logit" not in last_name(target)
    return _picked(source, value) if named else None


def _picked(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the tensor's entries that a number is made of: single tokens', or the largest."""
    while name_of(node) in _OF_ENTRIES:
        largest = name_of(node) == "max" and not node.args and not node.keywords
        node = tensor_of(node)
        if node is None or largest:
            return node
    value = followed(source, node)
    if isinstance(value, ast.Call):
        return value if name_of(value) == "gather" else None
    base, parts = index_chain(value)
    whole = axes(source, base)
    single = whole is not None and len(parts) == len(whole)
    return value if single and not isinstance(parts[-1], ast.Slice) else None


def _is_normalized(source: Source, node: ast.AST, taken: ast.AST) -> bool:
    """Tell whether logits are made probabilities, before or after: a softmax, or a sum."""
    parts = list(parts_followed(source, taken))
    if any(_is_difference(source, one) for one in parts):
        return True  # odds, or a maximum taken away
    if any(name_of(one) in _NORMALIZES for one in parts):
        return True
    statement = next((one for one in source.above(node) if isinstance(one, ast.stmt)), node)
    target = getattr(statement, "targets", [getattr(statement, "target", None)])[0]
    names = {name_at(one) for one in parts} | {last_name(target)} - {""}
    scope = list(source.scopes[node].nodes)
    if isinstance(node, ast.Call) and any(
        _adds_up(source, one, last_name(target)) for one in scope
    ):
        return True
    return any(_normalizes(one, names, node.lineno) for one in scope)


def _is_difference(source: Source, node: ast.AST) -> bool:
    """Tell whether a node takes something away from logits."""
    takes = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    return takes and kind(source, node.left) == LOGITS


def _normalizes(node: ast.AST, names: set[str], line: int) -> bool:
    """Tell whether a node divides by a sum, or takes a softmax of these names below a line."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return "sum" in names_in(node.right)
    later = name_of(node) in _NORMALIZES and node.lineno > line
    return later and bool(names_in(node) & names)


def _adds_up(source: Source, node: ast.AST, name: str) -> bool:
    """Tell whether a node divides by a sum that a name is a part of: `yes / (yes + no)`."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return False
    total = followed(source, node.right)
    added = isinstance(total, ast.BinOp) and isinstance(total.op, ast.Add)
    return added and bool(name) and name in names_in(total)


@in_the_source(
    "loss-wants-log-probabilities",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="A negative loss or divergence, or one that says nothing.",
    cause="""
        `nll_loss` and the first argument of `kl_div` are log-probabilities: neither takes logits or
        probabilities. `kl_div` wants probabilities as its second, unless `log_target=True`.
    """,
    fix="Give a log_softmax; for logits there is `cross_entropy`.",
    example="""
        F.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
    """,
    how_sure="Likely: only the source was read, where what goes in can be followed.",
)
def loss_wants_log_probabilities(source: Source) -> Iterator[Finding]:
    """A loss of log-probabilities gets logits or probabilities."""
    for call in source.calls:
        loss = _loss_of(source, call)
        if loss is None or not call.args:
            continue
        doing, logs = loss
        given = kind(source, call.args[0])
        target = (
            kind(source, call.args[1]) if len(call.args) > 1 and "kl" in doing.lower() else None
        )
        first_wrong = given in (LOGITS, CHANCES)
        wanted = LOG_CHANCES if logs else CHANCES
        if not first_wrong and target in (None, wanted):
            continue
        wrong = given if first_wrong else target
        which = "first" if first_wrong else "second"
        right = "log-probabilities" if first_wrong or logs else "probabilities"
        yield found(
            "loss-wants-log-probabilities",
            ERROR,
            call,
            what=f"{source.words(call.func)} gets {_IN_WORDS[wrong]} as its {which} argument, and "
            f"wants {right} there.",
            why="Its first argument is a log_softmax; of other numbers the loss means nothing.",
            fix=f"{source.words(call.func)}(logits.log_softmax(-1), ...)"
            if first_wrong
            else f"{source.words(call.func)}(..., log_target=True)  # or a softmax as the target",
        )


def _loss_of(source: Source, call: ast.Call) -> tuple[str, bool] | None:
    """Return a loss's name, and whether its target is logarithms; None for other calls."""
    made = followed(source, call.func) if isinstance(call.func, ast.Name) else None
    if isinstance(made, ast.Call) and name_of(made) in _LOG_LOSSES:
        pass  # a name of one's own: `kl_div = nn.KLDivLoss(log_target=True)`
    elif name_of(call) not in _LOG_LOSSES:
        made = followed(source, call.func)
        if not isinstance(made, ast.Call):
            return None
    elif name_of(call)[0].isupper():
        return None  # the loss is made there, not called
    else:
        made = call
    name = name_of(made)
    return (name, is_true(keyword(made, "log_target"))) if name in _LOG_LOSSES else None


@in_the_source(
    "log-probabilities-in-half",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="Options have exactly the same log-likelihood; sums differ with the batch.",
    cause="""
        bfloat16 has 8 bits for a number: near 20, its logits are multiples of 0.125, and
        log-probabilities taken of them in the same type are as coarse. Different options get the
        same one.
    """,
    fix="Turn the logits into float32 before the softmax.",
    example="log_probs = model(ids).logits.float().log_softmax(-1)",
    how_sure="""
        Likely: only the source was read, where the model is loaded in 16 bits and nothing turns the
        logits into float32. Who only wants the likeliest token needs none of it.
    """,
)
def log_probabilities_in_half(source: Source) -> Iterator[Finding]:
    """A log_softmax of 16-bit logits."""
    for call in source.calls:
        tensor = tensor_of(call) if name_of(call) == "log_softmax" else None
        if tensor is None or keyword(call, "dtype") is not None or kind(source, tensor) != LOGITS:
            continue
        parts = list(parts_followed(source, tensor))
        widened = any(name_of(one) in _WIDENS for one in parts)
        in_half = any(source.is_forward(one) and _is_of_half(source, one.func) for one in parts)
        if widened or not in_half or any(last_name(one) == "float32" for one in parts):
            continue
        yield found(
            "log-probabilities-in-half",
            NOTE,
            call,
            what=f"{source.words(call)} takes log-probabilities of 16-bit logits.",
            why="They are as coarse as the logits: different options can get the same number.",
            fix=f"{source.words(tensor)}.float().log_softmax(-1)",
        )
        return


_WIDENS = ("float", "double", "upcast")


def _is_of_half(source: Source, model: ast.AST) -> bool:
    """Tell whether a model is seen to be loaded in 16 bits."""
    made = source.placed(model)
    if name_of(made) != "from_pretrained":
        return False
    dtype = keyword(made, "dtype") or keyword(made, "torch_dtype")
    named = "" if dtype is None else ast.unparse(dtype)
    return named.endswith(("bfloat16", "float16", "half", "bfloat16'", "float16'"))


@in_the_source(
    "entropy-is-nan",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The entropy of the next token is nan.",
    cause="""
        Tokens that top-k, top-p or a mask took out have a logit of -inf: their probability is 0 and
        its log -inf, and 0 times -inf is nan, which the sum takes over.
    """,
    fix="Take the entropy of the raw logits, or let such tokens count 0.",
    example="""
        entropy = torch.special.entr(scores.softmax(-1)).sum(-1)  # or of out.logits
    """,
    how_sure="Likely: only the source was read, where scores were filtered before.",
)
def entropy_is_nan(source: Source) -> Iterator[Finding]:
    """`p * log p` of what has tokens taken out."""
    for node in list(source.scopes):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
            continue
        sides = [_log_or_chance(source, one) for one in (node.left, node.right)]
        if sorted(map(str, sides)) != ["chance", "log"] or _is_guarded(source, node):
            continue
        if not _has_removed(source, node):
            continue
        yield found(
            "entropy-is-nan",
            ERROR,
            node,
            what=f"{source.words(node)} is 0 times -inf, nan, for each token that was filtered "
            "out.",
            why="Scores after top-k or a mask have -inf: the entropy's sum is nan.",
            fix="torch.special.entr(probabilities).sum(-1)  # or the entropy of the raw logits",
        )
        return


def _log_or_chance(source: Source, node: ast.AST) -> str | None:
    """Return whether an expression is a probability or its log, however it was made."""
    while isinstance(node, ast.UnaryOp):
        node = node.operand
    value = followed(source, node)
    if not isinstance(value, ast.Call):
        return None
    if does(value) in ("softmax", "exp"):
        return "chance"
    if does(value) == "log_softmax":
        return "log"
    logs = does(value) in ("log", "log2") and tensor_of(value) is not None
    inner = tensor_of(value) if logs else None
    plain = inner is not None and not isinstance(followed(source, inner), ast.BinOp)
    return "log" if plain else None


def _is_guarded(source: Source, node: ast.AST) -> bool:
    near = [*source.above(node), *parts_followed(source, node, 3)]
    return any(name_of(one) in _GUARDS for one in near)


def _has_removed(source: Source, node: ast.AST) -> bool:
    """Tell whether what an entropy is of was filtered: a sampling call's scores, or -inf in it."""
    sampled = {asked.call for asked in every_asked(source) if asked.says_sampling}
    names = _names_in(source, node)
    handed = [given for name in names for given in handed_in(source, name)]
    for part in [*parts_followed(source, node), *handed]:
        if _is_field_of(source, part, sampled):
            return True
        name = last_name(part) if isinstance(part, ast.Name) else ""
        if name and any(
            _removes(one, name) for one in source.scopes.get(part, source.module).nodes
        ):
            return True
    return False


def _names_in(source: Source, node: ast.AST) -> list[ast.AST]:
    parts = parts_followed(source, node)
    return [part for part in parts if isinstance(part, ast.Name) and part in source.scopes]


def _is_field_of(source: Source, part: ast.AST, sampled: set[ast.AST]) -> bool:
    """Tell whether an expression is `out.scores` of a call that samples, or a step of it."""
    value = followed(source, part)
    while isinstance(value, ast.Subscript):
        value = followed(source, value.value)
    field = isinstance(value, ast.Attribute) and value.attr == "scores"
    return field and source.placed(followed(source, value.value)) in sampled


def _removes(node: ast.AST, name: str) -> bool:
    """Tell whether a statement writes -inf into a part of a name."""
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    stored = isinstance(target, ast.Subscript) and last_name(target.value) == name
    return stored and bool(re.search(r"-\s*(float\(|\w*\.?inf)|'-inf'", ast.unparse(node.value)))


@in_the_source(
    "least-likely-first",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The 'top' tokens are rare signs and pieces, with probabilities near zero.",
    cause="""
        `sort` and `argsort` go from the smallest up unless `descending=True` says otherwise, in
        NumPy always. The first entries are the least likely tokens.
    """,
    fix="Use `topk`, or sort descending.",
    example="values, ids = probs.topk(5)",
    how_sure="""
        Likely: only the source was read, where the first entries of an ascending sort are taken.
    """,
)
def least_likely_first(source: Source) -> Iterator[Finding]:
    """The first entries of logits or probabilities that were sorted upwards."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or not _takes_beginning(node):
            continue
        ranked = _sorted(source, node.value)
        if ranked is None or kind(source, tensor_of(ranked)) is None:
            continue
        if "cumsum" in source.text:  # a nucleus, which has a check of its own
            return
        words = source.words(ranked)
        yield found(
            "least-likely-first",
            ERROR,
            node,
            what=f"{source.words(node)} takes the least likely tokens: {words} sorts upwards.",
            why="sort and argsort ascend unless descending=True says otherwise.",
            fix=f"{source.words(tensor_of(ranked))}.topk(k)",
        )
        return


def _takes_beginning(node: ast.Subscript) -> bool:
    """Tell whether a slice is `[:k]` or `[..., :k]`, with a k that is no negative number."""
    part = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
    if not isinstance(part, ast.Slice) or part.lower is not None or part.upper is None:
        return False
    return part.step is None and not isinstance(part.upper, ast.UnaryOp)


def _sorted(source: Source, node: ast.AST) -> ast.Call | None:
    """Return the ascending sort of which an expression is the values or the indices."""
    value = followed(source, node)
    while name_of(value) in ("tolist", "cpu", "numpy"):
        value = followed(source, owner_of(value))
    named = isinstance(value, ast.Attribute) and value.attr in ("values", "indices")
    if named or (isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)):
        value = followed(source, value.value)
    if name_of(value) not in ("sort", "argsort"):
        return None
    falls = keyword(value, "descending") is not None or any(map(is_true, value.args))
    return None if falls or tensor_of(value) is None or last_name(value.func) == "" else value

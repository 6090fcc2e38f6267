"""How a text's likelihood is computed: from what, in which base, and which of them is the best."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.fields import field_of, index_chain, names_in
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
    axes,
    followed,
    kind,
    name_at,
    parts_followed,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_PLAIN = ("item", "detach", "cpu", "float", "double", "numpy", "squeeze", "to", "tolist", "mean")
_OF_ENTRIES = (*_PLAIN, "sum", "unsqueeze", "view", "max")
_PROBABILITY = re.compile(
    r"log_?p(rob|s?$)|prob(s|abilit|$|_)|log_?lik|likelihood|nll|ppl|perplex|confidence",
    re.IGNORECASE,
)
_NORMALIZES = ("softmax", "log_softmax", "logsumexp", "Softmax", "LogSoftmax", "cross_entropy")
_NORMALIZES += ("Categorical", "CrossEntropyLoss", "sigmoid", "logsigmoid")
_LOG_LOSSES = {"nll_loss", "NLLLoss", "kl_div", "KLDivLoss"}
_IN_WORDS = {LOGITS: "logits", CHANCES: "probabilities", LOG_CHANCES: "log-probabilities"}
_BEST = re.compile(
    r"best|pred|answer|choice|chosen|winner|guess|select|label|top|rank", re.IGNORECASE
)


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
    exponents = isinstance(node, ast.Call) and name_of(node) in ("exp", "exp_", "log")
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
    elif isinstance(node, ast.Call) and name_of(node) == "append" and len(node.args) == 1:
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
    while isinstance(node, ast.Call) and name_of(node) in _OF_ENTRIES:
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
    if any(isinstance(one, ast.Call) and name_of(one) in _NORMALIZES for one in parts):
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
    later = isinstance(node, ast.Call) and name_of(node) in _NORMALIZES and node.lineno > line
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
    made = call
    if name_of(call) not in _LOG_LOSSES:
        made = followed(source, call.func)
        if not isinstance(made, ast.Call):
            return None
    elif name_of(call)[0].isupper():
        return None  # the loss is made there, not called
    name = name_of(made)
    return (name, is_true(keyword(made, "log_target"))) if name in _LOG_LOSSES else None


@in_the_source(
    "perplexity-misbuilt",
    subject=Subject.READING,
    severities=(ERROR, NOTE),
    symptom="A perplexity that agrees with no published one.",
    cause="""
        A loss is in nats, the natural logarithm, so the perplexity is its exponential; 2 or 10 to
        the power of it is another number. Of several texts it is the exponential of the *mean* loss
        over all tokens: a mean of perplexities is larger, and one odd text decides it.
    """,
    fix="Add up losses and tokens, and take the exponential at the end.",
    example="perplexity = math.exp(total_loss / total_tokens)",
    how_sure="""
        Likely: only the source was read. An error where the base is not e; a note where
        perplexities are averaged, which a mean per text may be meant to be.
    """,
)
def perplexity_misbuilt(source: Source) -> Iterator[Finding]:
    """A perplexity in another base, or a mean of exponentials."""
    for node in list(source.scopes):
        loss = _raised(node)
        based = loss is not None and _is_loss(source, loss)
        if not based and not _is_mean_of_exps(source, node) and not _adds_exps(source, node):
            continue
        words = source.words(node)
        yield found(
            "perplexity-misbuilt",
            ERROR if based else NOTE,
            node,
            what=f"{words} takes the loss for one in another base: it is in nats."
            if based
            else f"{words} averages perplexities, exp of each loss.",
            why="The perplexity is e to the power of the mean negative log-probability."
            if based
            else "That of all texts is exp of the mean loss over tokens, which is smaller.",
            fix=f"torch.exp({source.words(loss)})" if based else "exp(total_loss / total_tokens)",
        )


def _raised(node: ast.AST) -> ast.AST | None:
    """Return the exponent of 2 or 10: `2 ** loss`, `torch.pow(2, loss)`, `np.exp2(loss)`."""
    base = exponent = None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        base, exponent = node.left, node.right
    elif isinstance(node, ast.Call) and name_of(node) in ("pow", "power") and len(node.args) == 2:
        base, exponent = node.args
    elif isinstance(node, ast.Call) and name_of(node) == "exp2":
        return tensor_of(node)
    of_two = isinstance(base, ast.Constant) and base.value in (2, 10, 2.0, 10.0)
    return exponent if of_two else None


def _bare(source: Source, node: ast.AST) -> ast.AST:
    """Return what a number is made of, without `.item()`, a minus and the like."""
    for _ in range(12):
        node = followed(source, node)
        if isinstance(node, ast.Call) and (
            name_of(node) in _PLAIN or last_name(node.func) == "float"
        ):
            inner = tensor_of(node) if isinstance(node.func, ast.Attribute) else node.args[:1]
            node = (inner[0] if inner else node) if isinstance(inner, list) else inner
            if node is None:
                return ast.Constant(None)
        else:
            break
    return node


def _is_loss(source: Source, node: ast.AST) -> bool:
    """Tell whether a number is a loss as it comes from a forward pass, or a cross entropy."""
    bare = _bare(source, node)
    if isinstance(bare, ast.Subscript) and isinstance(bare.slice, ast.Constant):
        made = followed(source, bare.value)
        first = bare.slice.value == 0 and source.is_forward(made)
        return first and keyword(made, "labels") is not None
    if isinstance(bare, ast.Call):
        made = followed(source, bare.func)
        of_class = isinstance(made, ast.Call) and name_of(made) == "CrossEntropyLoss"
        return name_of(bare) == "cross_entropy" or of_class
    field = field_of(source, bare)
    return field is not None and field.name == "loss" and not field.generates


def _is_mean_of_exps(source: Source, node: ast.AST) -> bool:
    """Tell whether a node is a mean of a list of exponentials of losses."""
    if not isinstance(node, ast.Call) or name_of(node) not in ("mean", "fmean", "average"):
        return False
    listed = tensor_of(node)
    while isinstance(listed, ast.Call) and last_name(listed.func) in ("tensor", "array", "stack"):
        listed = listed.args[0] if listed.args else None
    if not isinstance(listed, ast.Name):
        return False
    return any(_is_exp_of_loss(source, one) for one in _put_into(source, listed))


def _adds_exps(source: Source, node: ast.AST) -> bool:
    """Tell whether exponentials of losses are added up: `total += torch.exp(loss)`."""
    adds = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
    return adds and _is_exp_of_loss(source, node.value)


def _is_exp_of_loss(source: Source, node: ast.AST) -> bool:
    bare = _bare(source, node)
    exp = isinstance(bare, ast.Call) and name_of(bare) == "exp" and tensor_of(bare) is not None
    return exp and _is_loss(source, tensor_of(bare))


def _put_into(source: Source, name: ast.Name) -> Iterator[ast.AST]:
    """Yield what is put into a list or dictionary: appended, stored, or written out at once."""
    for node in source.scopes[name].nodes:
        appends = isinstance(node, ast.Call) and name_of(node) == "append" and node.args
        if appends and name_at(owner_of(node)) == name.id:
            yield node.args[0]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            if name_at(node.targets[0].value) == name.id:
                yield node.value
        elif isinstance(node, ast.Assign) and name_at(node.targets[0]) == name.id:
            inner = getattr(node.value, "elt", None) or getattr(node.value, "value", None)
            if isinstance(node.value, ast.ListComp | ast.DictComp | ast.GeneratorExp):
                yield inner


@in_the_source(
    "largest-loss-chosen",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The least likely option wins: accuracy below that of guessing.",
    cause="""
        A loss is the *negative* mean log-probability: the likeliest option has the smallest loss.
        `argmax` and `max` take the largest.
    """,
    fix="Take the smallest, or put a minus before the loss.",
    example="best = min(options, key=loss_of)",
    how_sure="""
        Likely: only the source was read, where the largest of losses becomes a prediction.
    """,
)
def largest_loss_chosen(source: Source) -> Iterator[Finding]:
    """The option with the largest loss is taken for the best."""
    for call in source.calls:
        listed = _largest_of(source, call)
        if listed is None or not _becomes_prediction(source, call):
            continue
        if not _holds_losses(source, listed):
            continue
        words = source.words(call)
        fix = words.replace("argmax", "argmin").replace("max(", "min(")
        yield _of_the_largest(call, words, fix.replace("reverse=True", "reverse=False"))
    for node in list(source.scopes):
        if _keeps_larger(source, node):
            words = source.words(node.test)
            yield _of_the_largest(node, f"if {words}", f"if {words.replace('>', '<')}")


def _of_the_largest(node: ast.AST, words: str, fix: str) -> Finding:
    return found(
        "largest-loss-chosen",
        ERROR,
        node,
        what=f"{words} takes the option with the largest loss.",
        why="A loss is a negative log-probability: the largest one is the least likely option.",
        fix=fix,
    )


def _keeps_larger(source: Source, node: ast.AST) -> bool:
    """Tell whether a loop keeps the larger of two losses: `if loss > best: best = loss`."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    test = node.test
    larger, kept = test.left, test.comparators[0]
    if isinstance(test.ops[0], ast.Lt | ast.LtE):
        larger, kept = kept, larger
    elif not isinstance(test.ops[0], ast.Gt | ast.GtE):
        return False
    if not _BEST.search(name_at(kept)) or not _gives_loss(source, larger):
        return False
    stored = {
        name_at(one)
        for part in node.body
        for one in ast.walk(part)
        if isinstance(getattr(one, "ctx", None), ast.Store)
    }
    return name_at(kept) in stored


def _largest_of(source: Source, call: ast.Call) -> ast.AST | None:
    """Return what a call takes the largest of: a list, or the function that is its key."""
    if last_name(call.func) == "sorted" and is_true(keyword(call, "reverse")):
        return keyword(call, "key")
    if last_name(call.func) == "max" and isinstance(call.func, ast.Name) and call.args:
        key = keyword(call, "key")
        if isinstance(key, ast.Attribute) and key.attr == "get":
            return key.value
        if key is not None:
            return key
        return call.args[0] if name_of(_outer(source, call)) == "index" else None
    if name_of(call) != "argmax":
        return None
    listed = tensor_of(call)
    while isinstance(listed, ast.Call) and last_name(listed.func) in ("tensor", "array", "stack"):
        listed = listed.args[0] if listed.args else None
    return listed


def _outer(source: Source, call: ast.Call) -> ast.Call:
    above = source.parents.get(call)
    return above if isinstance(above, ast.Call) else call


def _becomes_prediction(source: Source, call: ast.Call) -> bool:
    """Tell whether the largest gets the name of a choice, is returned, or compared."""
    for above in source.above(call):
        if isinstance(above, ast.Compare | ast.Return):
            return True
        if isinstance(above, ast.Assign):
            return bool(_BEST.search(last_name(above.targets[0])))
        if isinstance(above, ast.Call) and name_of(above) == "append":
            return bool(_BEST.search(last_name(owner_of(above))))
        if isinstance(above, ast.stmt):
            return False
    return False


def _holds_losses(source: Source, listed: ast.AST) -> bool:
    if isinstance(listed, ast.Lambda):
        return _gives_loss(source, listed.body)
    if isinstance(listed, ast.ListComp):
        return _gives_loss(source, listed.elt)
    if isinstance(listed, ast.Name):
        function = _function(source, listed.id)
        if function is not None:
            return _returns_loss(source, function)
        return any(_gives_loss(source, one) for one in _put_into(source, listed))
    return False


def _gives_loss(source: Source, node: ast.AST) -> bool:
    bare = _bare(source, node)
    if _is_loss(source, bare):
        return True
    function = _function(source, name_at(bare.func)) if isinstance(bare, ast.Call) else None
    return function is not None and _returns_loss(source, function)


def _function(source: Source, name: str) -> ast.FunctionDef | None:
    functions = (one for one in source.scopes if isinstance(one, ast.FunctionDef))
    return next((one for one in functions if one.name == name), None)


def _returns_loss(source: Source, function: ast.FunctionDef) -> bool:
    returns = [one for one in ast.walk(function) if isinstance(one, ast.Return) and one.value]
    return bool(returns) and all(_is_loss(source, one.value) for one in returns)


@in_the_source(
    "loss-taken-for-logits",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`IndexError: too many indices for tensor of dimension 0`.",
    cause="""
        The first entry of a pass's output is its loss where `labels` were given, and the logits
        only where not.
    """,
    fix="Say the name: `.logits`.",
    example="logits = model(ids, labels=ids).logits",
    how_sure="Likely: only the source was read, where the entry gets the name of logits.",
)
def loss_taken_for_logits(source: Source) -> Iterator[Finding]:
    """`output[0]` of a pass with labels is called logits."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Subscript) or ast.unparse(node.slice) != "0":
            continue
        made = followed(source, node.value)
        if not source.is_forward(made) or keyword(made, "labels") is None:
            continue
        above = source.parents.get(node)
        named = isinstance(above, ast.Assign) and "logits" in last_name(above.targets[0])
        indexed = isinstance(above, ast.Subscript) and isinstance(above.slice, ast.Tuple)
        if not named and not indexed:
            continue
        yield found(
            "loss-taken-for-logits",
            ERROR,
            node,
            what=f"{source.words(node)} is the loss, as labels= was given, and is used as logits.",
            why="With labels the output begins with the loss, one number; the logits are second.",
            fix=f"{source.words(node.value)}.logits",
        )


@in_the_source(
    "mask-not-shifted",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="A text's log-probability counts a padding token, and leaves its last token out.",
    cause="""
        The log-probability at place i, of `logits[:, :-1]` and `ids[:, 1:]`, is of token i + 1. The
        mask has to say whether *that* token counts: `mask[:, 1:]`, as the ids.
    """,
    fix="Shift the mask as the labels are shifted.",
    example="(log_probs * attention_mask[:, 1:]).sum(-1)",
    how_sure="Likely: only the source was read, where shifted tokens meet the unshifted mask.",
)
def mask_not_shifted(source: Source) -> Iterator[Finding]:
    """Tokens' log-probabilities are masked by the places that predict them."""
    for node in list(source.scopes):
        pair = _masked(node)
        if pair is None or not _cuts_last(source, pair[1]) or not _of_next_tokens(source, pair[0]):
            continue
        words = source.words(pair[1])
        yield found(
            "mask-not-shifted",
            WARNING,
            node,
            what=f"{words} masks log-probabilities by the place that predicts, not by the token.",
            why="Each is of the next token: the mask has to be shifted as the labels are, by one.",
            fix=f"{words.replace(':-1]', '1:]')}",
        )
        return


def _masked(node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return (what is masked, the mask) of a product, or of an index by a mask."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        swapped = "mask" in ast.unparse(node.left).lower()
        return (node.right, node.left) if swapped else (node.left, node.right)
    if isinstance(node, ast.Call) and name_of(node) in ("masked_select", "masked_fill"):
        return (tensor_of(node), node.args[-1]) if node.args and tensor_of(node) else None
    return None


def _cuts_last(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a mask without its last place: `mask[:, :-1]`."""
    node = followed(source, node)
    while isinstance(node, ast.Call) and name_of(node) in (*_PLAIN, "bool", "contiguous"):
        node = followed(source, owner_of(node))
    if not isinstance(node, ast.Subscript) or "mask" not in ast.unparse(node.value).lower():
        return False
    return ast.unparse(node).endswith((":, :-1]", "..., :-1]"))


def _of_next_tokens(source: Source, node: ast.AST) -> bool:
    """Tell whether tokens' entries are gathered by ids without their first place."""
    for part in parts_followed(source, node):
        if isinstance(part, ast.Call) and name_of(part) in ("gather", "cross_entropy", "nll_loss"):
            for one in part.args:
                texts = [ast.unparse(inner) for inner in parts_followed(source, one)]
                if any(text.endswith(("[:, 1:]", "[..., 1:]", "[:, 1:, None]")) for text in texts):
                    return True
    return False


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
        widened = any(isinstance(one, ast.Call) and name_of(one) in _WIDENS for one in parts)
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
    if not isinstance(made, ast.Call) or name_of(made) != "from_pretrained":
        return False
    dtype = keyword(made, "dtype") or keyword(made, "torch_dtype")
    named = "" if dtype is None else ast.unparse(dtype)
    return named.endswith(("bfloat16", "float16", "half", "bfloat16'", "float16'"))

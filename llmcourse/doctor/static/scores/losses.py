"""Losses and perplexities by hand: of what they are the mean, and which of them is the best."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.fields import field_of, is_field
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
from llmcourse.doctor.static.reading.tensors import OF_ONE_NUMBER, PLAIN, tensor_of
from llmcourse.doctor.subject import Subject

_BEST = re.compile(
    r"best|pred|answer|choice|chosen|winner|guess|select|label|top|rank", re.IGNORECASE
)


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
    elif name_of(node) in ("pow", "power") and len(node.args) == 2:
        base, exponent = node.args
    elif name_of(node) == "exp2":
        return tensor_of(node)
    of_two = isinstance(base, ast.Constant) and base.value in (2, 10, 2.0, 10.0)
    return exponent if of_two else None


def _bare(source: Source, node: ast.AST) -> ast.AST:
    """Return what a number is made of, without `.item()`, a minus and the like."""
    for _ in range(12):
        node = followed(source, node)
        if isinstance(node, ast.Call) and (
            name_of(node) in OF_ONE_NUMBER or last_name(node.func) == "float"
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
        of_class = name_of(made) == "CrossEntropyLoss"
        return name_of(bare) == "cross_entropy" or of_class
    field = field_of(source, bare)
    return field is not None and field.name == "loss" and not field.generates


def _is_mean_of_exps(source: Source, node: ast.AST) -> bool:
    """Tell whether a node is a mean of a list of exponentials of losses."""
    if name_of(node) not in ("mean", "fmean", "average"):
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
    exp = name_of(bare) == "exp" and tensor_of(bare) is not None
    return exp and _is_loss(source, tensor_of(bare))


def _put_into(source: Source, name: ast.Name) -> Iterator[ast.AST]:
    """Yield what is put into a list or dictionary: appended, stored, or written out at once."""
    for node in source.scopes[name].nodes:
        appends = name_of(node) == "append" and node.args
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
        if name_of(above) == "append":
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
    "mean-of-mean-losses",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="A perplexity that differs from that of the whole text, or of another batch size.",
    cause="""
        The loss of a pass is a mean over its own tokens. A mean of such means counts a short text's
        tokens for more than those of a long one.
    """,
    fix="Weight each loss by its number of predicted tokens.",
    example="""
        total += out.loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
        perplexity = math.exp(total / count)
    """,
    how_sure="""
        Likely, and a note: only the source was read; for passes of one length both are the same.
    """,
)
def mean_of_mean_losses(source: Source) -> Iterator[Finding]:
    """The exponential of a mean of passes' losses."""
    lists = _lists_of_losses(source)
    for call in source.calls if lists else ():
        if name_of(call) != "exp":
            continue
        inner = tensor_of(call) or (call.args[0] if call.args else None)
        inner = call.args[0] if last_name(getattr(call.func, "value", None)) == "math" else inner
        value = followed(source, inner) if inner is not None else None
        averaged = value is not None and _averages(value, lists)
        if not averaged:
            continue
        yield found(
            "mean-of-mean-losses",
            NOTE,
            call,
            what=f"{source.words(call)} averages losses that are means over texts of their own "
            "lengths.",
            why="A short text's tokens count for more: it is not the perplexity over all tokens.",
            fix="math.exp(sum(loss * tokens) / sum(tokens))  # each loss by its predicted tokens",
        )
        return


def _lists_of_losses(source: Source) -> set[str]:
    """Return the names of lists to which a loop appends the losses of passes, as they are."""
    names = set()
    for call in source.calls:
        if name_of(call) != "append" or not call.args:
            continue
        parts = list(parts_followed(source, call.args[0], 3))
        weighted = any(isinstance(one, ast.BinOp) for one in parts[:6])
        losses = [one for one in parts if isinstance(one, ast.Attribute) and one.attr == "loss"]
        passes = [one for one in losses if source.is_forward(followed(source, one.value))]
        if passes and not weighted and any(isinstance(a, ast.For) for a in source.above(call)):
            names.add(last_name(call.func.value))
    return names


def _averages(value: ast.AST, lists: set[str]) -> bool:
    """Tell whether an expression is a mean of one of these lists."""
    if name_of(value) in ("item", "mean", "fmean"):
        return bool(lists & {last_name(one) for one in ast.walk(value)}) and (
            name_of(value) != "item" or "mean" in ast.unparse(value)
        )
    divides = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div)
    if not divides or "len(" not in ast.unparse(value.right):
        return False
    return bool(lists & {last_name(one) for one in ast.walk(value.left)})


@in_the_source(
    "loss-times-all-tokens",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="A text's log-probability from its loss is lower than the sum over its tokens.",
    cause="""
        The loss is the mean over the tokens that are predicted: all but the first, and without
        those whose label is -100. Times the number of *all* tokens it is too much.
    """,
    fix="Multiply by the number of predicted tokens.",
    example="total = -out.loss * (ids.shape[1] - 1)",
    how_sure="Likely: only the source was read, where the loss is multiplied by the ids' length.",
)
def loss_times_all_tokens(source: Source) -> Iterator[Finding]:
    """The mean loss is multiplied by one token too many."""
    for node in list(source.scopes):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
            continue
        kept = [source.parents.get(node), source.parents.get(source.parents.get(node))]
        if any(isinstance(one, ast.AugAssign) for one in kept):
            continue  # a weight in a mean over texts
        for loss, count in ((node.left, node.right), (node.right, node.left)):
            made = _pass_of_loss(source, loss)
            if made is None or not _is_length_of(source, count, made):
                continue
            counted = source.words(count)
            yield found(
                "loss-times-all-tokens",
                WARNING,
                node,
                what=f"The loss is a mean, and {counted} counts the first token too, which nothing "
                "predicts.",
                why="The product is not the text's log-probability: one token too many is counted.",
                fix=f"{source.words(loss)} * ({counted} - 1)",
            )


def _pass_of_loss(source: Source, node: ast.AST) -> ast.Call | None:
    """Return the forward pass with labels whose loss an expression is."""
    node = source.value(node)
    while True:
        if isinstance(node, ast.UnaryOp):
            node = node.operand
        elif name_of(node) in PLAIN:
            node = owner_of(node)
        elif isinstance(node, ast.Name) and source.value(node) is not node:
            node = source.value(node)
        else:
            break
    of_first = isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "0"
    if not is_field(node, "loss") and not of_first:
        return None
    made = source.value(node.value)
    has_labels = source.is_forward(made) and keyword(made, "labels") is not None
    return made if has_labels else None


def _is_length_of(source: Source, node: ast.AST, made: ast.Call) -> bool:
    """Tell whether an expression is the number of a pass's tokens: `ids.shape[1]`."""
    node = source.value(node)
    labels = keyword(made, "labels")
    ids = [*made.args[:1], keyword(made, "input_ids"), labels]
    own = {ast.unparse(one) for one in ids if one is not None}
    for one in own:
        if ast.unparse(node) in (
            *(f"{one}.shape[1]", f"{one}.shape[-1]", f"{one}.size(1)", f"{one}.size(-1)"),
            *(f"{one}.numel()", f"len({one}[0])"),
        ):
            return True
    counted = node.args[0] if name_of(node) == "len" and len(node.args) == 1 else None
    return isinstance(counted, ast.Name) and _are_labels(source, counted.id, labels)


def _are_labels(source: Source, tokens: str, labels: ast.AST) -> bool:
    """Tell whether labels are made of a list of tokens, and of nothing else beside it."""
    parts = list(parts_followed(source, labels))
    if any(isinstance(one, ast.BinOp | ast.Starred) for one in parts):
        return False  # [bos, *tokens]
    encodes = any(name_of(one) in ("tokenize", "encode") for one in parts)
    return encodes and any(name_at(one) == tokens for one in parts)


@in_the_source(
    "windows-overlap",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="A perplexity that changes with the stride, and agrees with no published one.",
    cause="""
        A long text is read in windows that overlap, so that each token has a context. Where all of
        a window's tokens are labels, those in the overlap are counted twice.
    """,
    fix="Set the labels of what was counted before to -100.",
    example="labels[:, :-new_tokens] = -100",
    how_sure="""
        Likely: only the source was read, where the step differs from the window's length and no
        label is set to -100.
    """,
)
def windows_overlap(source: Source) -> Iterator[Finding]:
    """Windows with a stride of their own, whose ids are all labels."""
    if "-100" in source.text or "trg_len" in source.text:
        return
    for call in source.calls:
        if keyword(call, "labels") is None or not source.is_forward(call):
            continue
        for above in source.above(call):
            through = above.iter if isinstance(above, ast.For) else None
            if not isinstance(through, ast.Call) or len(through.args) != 3:
                continue
            if last_name(through.func) != "range" and name_of(through) != "tqdm":
                continue
            lengths = _lengths(above)
            step = ast.unparse(through.args[2])
            if not lengths or step in lengths or not _is_shorter(source, through.args[2], lengths):
                continue
            yield found(
                "windows-overlap",
                WARNING,
                call,
                what=f"Windows of {lengths[0]} tokens begin every {step}, and all are labels.",
                why="Tokens where windows overlap are counted twice, once with little context.",
                fix="labels[:, :-new_tokens] = -100",
            )
            return


def _lengths(loop: ast.For) -> list[str]:
    """Return how long a loop's windows are: what is added to its variable."""
    begin = name_at(loop.target)
    return [
        ast.unparse(node.right)
        for statement in loop.body
        for node in ast.walk(statement)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and name_at(node.left) == begin
    ]


def _is_shorter(source: Source, step: ast.AST, lengths: list[str]) -> bool:
    """Tell whether a step is shorter than a window, by its number or by being called a stride."""
    number = followed(source, step)
    known = isinstance(number, ast.Constant) and isinstance(number.value, int)
    if known and lengths[0].isdigit():
        return number.value < int(lengths[0])
    return "stride" in ast.unparse(step)

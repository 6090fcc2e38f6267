"""Masks over log-probabilities and labels: inverted, or left out of a mean or a sum."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.passes import reads_batch
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    ids_of,
    is_string,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.tensors import (
    CHANCES,
    LOG_CHANCES,
    LOGITS,
    PLACE,
    axis,
    dimension,
    kind,
    tensor_of,
)
from llmcourse.doctor.subject import Subject

_PER_TOKEN = re.compile(
    r"log_?p(rob)?s?($|_)|logprob|^lps?$|nll|token_?loss|per_?token|losses$|^ce$|entrop|"
    r"(^|_)kl(d|_div)?s?$",
    re.IGNORECASE,
)
_MASK = re.compile(r"mask", re.IGNORECASE)
_OF_THE_TEXT = re.compile(
    r"^(attention_?|attn_?|loss_?|label_?|token_?|completion_?|response_?|answer_?|pad(ding)?_?|"
    r"valid_?)?mask$",
    re.IGNORECASE,
)
_HIDES = re.compile(r"pad|ignore|invalid", re.IGNORECASE)
_IGNORED = ("-100", "IGNORE_INDEX", "IGNORE_ID", "ignore_index", "ignore_id")
# Calls that leave a mask what it is.
_PLAIN = ("float", "to", "type", "bool", "int", "long", "half", "double", "unsqueeze", "type_as")
_PLAIN += ("squeeze", "contiguous", "clone", "cpu", "cuda", "detach", "expand_as", "view")
_IGNORES = re.compile(r"-100|ignore_index|masked_fill|Collator|CrossEntropy|cross_entropy")


@in_the_source(
    "mask-inverted",
    subject=Subject.BATCHES,
    severities=(ERROR,),
    symptom="The loss or a text's log-probability is that of its padding, or exactly 0.",
    cause="""
        What is multiplied by a mask counts where the mask is 1. A mask that is true where labels
        are -100, or where the attention mask is 0, keeps the ignored places and drops the text; and
        labels that are set to -100 where the attention mask is 1 leave nothing to learn.
    """,
    fix="Multiply by a mask of the tokens that count; write -100 at those that do not.",
    example="""
        mask = labels != -100
        log_prob = (token_log_probs * mask).sum(-1)
    """,
    how_sure="Likely: only the source was read, where the mask is compared the other way round.",
)
def mask_inverted(source: Source) -> Iterator[Finding]:
    """Log-probabilities times a mask of the padding, or labels ignored where the text is."""
    for node in list(source.scopes):
        hidden = _keeps_hidden(source, node) or _ignores_text(source, node)
        if hidden is None:
            continue
        labels = _ignores_text(source, node) is not None
        yield found(
            "mask-inverted",
            ERROR,
            node,
            what=f"{source.words(node)[:90]} "
            + ("ignores the text's own tokens: " if labels else "keeps the ignored tokens: ")
            + f"the mask is inverted, {hidden}.",
            why="All labels of the text are -100, and nothing is learned from it."
            if labels
            else "Padding and ignored labels are counted, and the answer's tokens are not.",
            fix="labels = labels.masked_fill(attention_mask == 0, -100)"
            if labels
            else "mask = labels != -100  # 1 where a token counts",
        )


def _keeps_hidden(source: Source, node: ast.AST) -> str | None:
    """Return in words which mask of ignored places a product keeps, or None."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        pairs = [(node.value, node.slice)]
    elif (sides := _factors(node)) is not None:
        pairs = [sides, sides[::-1]]
    else:
        return None
    for numbers, mask in pairs:
        hidden = _hides(source, mask)
        if hidden is not None and _is_per_token(source, numbers):
            return hidden
    return None


def _factors(node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return what is multiplied: by `*`, `*=`, `torch.mul(a, b)` or `a.mul(b)`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return node.left, node.right
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult):
        return node.target, node.value
    if name_of(node) in ("mul", "mul_", "multiply") and node.args:
        tensor = tensor_of(node)
        return (tensor, node.args[-1]) if tensor is not node.args[-1] else None
    return None


def _hides(source: Source, mask: ast.AST) -> str | None:
    """Return in words what a mask is, where it is true at ignored places; None if it is not."""
    value = _bare(source, mask)
    if isinstance(value, ast.Compare) and len(value.ops) == 1:
        sides = [value.left, value.comparators[0]]
        equal = isinstance(value.ops[0], ast.Eq)
        words = [ast.unparse(one) for one in sides]
        if equal and any(one.split(".")[-1] in _IGNORED for one in words):
            return f"`{source.words(value)}` is true where labels are ignored"
        if equal and any(last_name(one) == "pad_token_id" for one in sides):
            return f"`{source.words(value)}` is true where padding is"
        if equal and words[1] == "0" and _OF_THE_TEXT.search(last_name(_base(sides[0]))):
            return None if _HIDES.search(words[0]) else f"`{source.words(value)}` is of the padding"
        return None
    inner = None
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Invert):
        inner = value.operand
    elif name_of(value) == "logical_not":
        inner = tensor_of(value)
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Sub):
        inner = value.right if ast.unparse(value.left) in ("1", "1.0") else None
    if inner is None:
        return None
    name = last_name(_base(_unwrapped(inner)))
    shows = name in ("attention_mask", "loss_mask", "attn_mask", "completion_mask", "response_mask")
    return f"`{source.words(value)}` is of the padding" if shows else None


def _unwrapped(node: ast.AST) -> ast.AST:
    """Return a mask without the calls and indices around it that leave it what it is."""
    while True:
        if name_of(node) in _PLAIN:
            if owner_of(node) is node.func:
                return node
            node = owner_of(node)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple | ast.Slice):
            node = node.value
        else:
            return node


def _bare(source: Source, node: ast.AST) -> ast.AST:
    """Return what a mask stands for, without casts."""
    for _ in range(6):
        bare = _unwrapped(node)
        value = followed(source, bare)
        if value is node:
            return value
        node = value
    return node


def _base(node: ast.AST) -> ast.AST:
    """Return what is indexed: `mask` of `mask[:, 1:]`; of `batch["mask"]` itself, as a name."""
    while isinstance(node, ast.Subscript):
        if is_string(node.slice):
            return ast.Name(node.slice.value, ast.Load())
        node = node.value
    return node


def _is_per_token(source: Source, node: ast.AST, depth: int = 5) -> bool:
    """Tell whether an expression is a log-probability or a loss for each token."""
    named = _PER_TOKEN.search(last_name(_base(node)))
    value = followed(source, node)
    if kind(source, node) == LOG_CHANCES:
        return True
    if isinstance(value, ast.Name | ast.Attribute):
        return bool(named)
    if not depth:
        return False
    if isinstance(value, ast.UnaryOp):
        return _is_per_token(source, value.operand, depth - 1)
    if isinstance(value, ast.Subscript):
        return _is_per_token(source, value.value, depth - 1)
    if isinstance(value, ast.BinOp):
        return any(_is_per_token(source, one, depth - 1) for one in (value.left, value.right))
    if not isinstance(value, ast.Call):
        return bool(named)
    if _keeps_each(source, value):
        return True
    inner = tensor_of(value)
    through = ("gather", "squeeze", "view", "reshape", "float", "neg", "exp", "take_along_dim")
    if name_of(value) in through and inner is not None:
        return _is_per_token(source, inner, depth - 1)
    return bool(named) and name_of(value) not in ("mean", "sum", "item")


def _keeps_each(source: Source, call: ast.Call) -> bool:
    """Tell whether a call is a cross entropy that gives a number for each token."""
    made = followed(source, call.func) if isinstance(call.func, ast.Name) else call.func
    made = call if name_of(call) == "cross_entropy" else made
    reduction = keyword(made, "reduction") if isinstance(made, ast.Call) else None
    return isinstance(reduction, ast.Constant) and reduction.value == "none"


def _ignores_text(source: Source, node: ast.AST) -> str | None:
    """Return in words where -100 is written, if that is where the text is; None if it is not."""
    place = None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        place = node.targets[0].slice if _is_ignored(node.value) else None
    elif name_of(node) in ("masked_fill", "masked_fill_"):
        given = node.args
        place = given[0] if len(given) > 1 and _is_ignored(given[1]) else None
    elif name_of(node) == "where" and len(node.args) == 3:
        place = node.args[0] if _is_ignored(node.args[1]) else None
    if place is None:
        return None
    value = followed(source, place)
    if isinstance(value, ast.Compare) and len(value.ops) == 1:
        right, left = ast.unparse(value.comparators[0]), value.left
        shown = (isinstance(value.ops[0], ast.Eq) and right in ("1", "True")) or (
            isinstance(value.ops[0], ast.NotEq) and right == "0"
        )
        if shown and last_name(_base(left)) == "attention_mask":
            return f"`{source.words(value)}` is true where the text is"
        other = isinstance(value.ops[0], ast.NotEq)
        if other and last_name(value.comparators[0]) in ("pad_token_id", "pad_id"):
            return f"`{source.words(value)}` is true where the text is"
        return None
    cast = name_of(value) == "bool"
    if cast and last_name(_base(owner_of(value))) == "attention_mask":
        return f"`{source.words(value)}` is true where the text is"
    return None


def _is_ignored(node: ast.AST) -> bool:
    return ast.unparse(node).split(".")[-1] in _IGNORED


@in_the_source(
    "mean-counts-masked",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="A text's mean log-probability, or its loss, depends on how far it was padded.",
    cause="""
        Masked places are 0 after the product, and `mean` still divides by all of them: the more
        padding or prompt a row has, the closer to 0 its mean comes.
    """,
    fix="Divide the sum by the mask's own.",
    example="mean = (token_log_probs * mask).sum(-1) / mask.sum(-1)",
    how_sure="Likely: only the source was read, where what a mask was multiplied with is averaged.",
)
def mean_counts_masked(source: Source) -> Iterator[Finding]:
    """`(log_probs * mask).mean()`."""
    for call in source.calls:
        tensor = tensor_of(call) if name_of(call) in ("mean", "nanmean") else None
        if tensor is None:
            continue
        product = followed(source, tensor)
        sides = _factors(product)
        if sides is None or _is_corrected(source, call):
            continue
        pairs = [(one, other) for one, other in (sides, sides[::-1]) if _is_mask(source, other)]
        numbers = [one for one, _ in pairs if _is_per_token(source, one)]
        if not numbers:
            continue
        mask = source.words(pairs[0][1])
        yield found(
            "mean-counts-masked",
            WARNING,
            call,
            what=f"{source.words(call)} divides by all places, those that the mask set to 0 too.",
            why="Padding and prompt are in the number it is divided by: short texts come out "
            "closer to 0.",
            fix=f"({source.words(numbers[0])} * {mask}).sum(-1) / {mask}.sum(-1)",
        )


def _is_mask(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a mask of tokens, by its name or by what it compares."""
    if _MASK.search(last_name(_base(_unwrapped(node)))):
        return True
    value = _bare(source, node)
    return isinstance(value, ast.Compare) and _hides_or_shows(value)


def _hides_or_shows(value: ast.Compare) -> bool:
    sides = [value.left, *value.comparators]
    return any(_is_ignored(one) or last_name(one) == "pad_token_id" for one in sides)


def _is_corrected(source: Source, call: ast.Call) -> bool:
    """Tell whether a mean is divided by the mask's mean, or the like, in its statement."""
    for above in source.above(call):
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Div | ast.Mult):
            other = above.right if call in ast.walk(above.left) else above.left
            if _MASK.search(ast.unparse(other)) or "numel" in ast.unparse(other):
                return True
        if isinstance(above, ast.stmt):
            return False
    return False


@in_the_source(
    "padding-in-the-loss",
    severities=(ERROR, WARNING),
    how_sure="""
        Likely, and a warning, where only the source was read: it pads, gives the ids as labels, and
        names nothing that would leave the padding out.
    """,
)
def padding_in_the_loss(source: Source) -> Iterator[Finding]:
    """A padded batch, whose ids are its labels."""
    yield from _padding_summed(source)
    if _IGNORES.search(source.text):
        return
    yield from _padding_in_an_entry(source)
    for call in source.calls:
        labels = keyword(call, "labels")
        if labels is None or not source.is_forward(call) or not reads_batch(source, call):
            continue
        value = followed(source, labels)
        copied = name_of(value) in ("clone", "copy", "to")
        value = followed(source, owner_of(value)) if copied else value
        entry = isinstance(value, ast.Subscript) and ast.unparse(value.slice) == "'input_ids'"
        if not entry and last_name(value) != "input_ids" and not _same_as_ids(call, labels):
            continue
        yield found(
            "padding-in-the-loss",
            WARNING,
            call,
            what=f"labels={source.words(labels)} holds the padding of a padded batch.",
            why="Each label but -100 counts: the loss also says how well padding is predicted.",
            fix="labels = input_ids.masked_fill(attention_mask == 0, -100)",
        )


def _padding_in_an_entry(source: Source) -> Iterator[Finding]:
    """Yield where a padded batch gets its own ids as `batch["labels"]`."""
    for node in list(source.scopes):
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if not isinstance(target, ast.Subscript) or ast.unparse(target.slice) != "'labels'":
            continue
        value = node.value
        while name_of(value) in ("clone", "copy", "deepcopy"):
            value = value.args[0] if value.args else owner_of(value)
        entry = isinstance(value, ast.Subscript) and ast.unparse(value.slice) == "'input_ids'"
        if not entry and not (isinstance(value, ast.Attribute) and value.attr == "input_ids"):
            continue
        made = followed(source, value.value)
        padding = keyword(made, "padding") if isinstance(made, ast.Call) else None
        if padding is None or getattr(padding, "value", True) is False:
            continue
        yield found(
            "padding-in-the-loss",
            WARNING,
            node,
            what=f"{source.words(node)} makes labels of a padded batch, its padding among them.",
            why="Each label but -100 counts: the loss is also about predicting padding.",
            fix='batch["labels"][batch["attention_mask"] == 0] = -100',
        )
        return


def _padding_summed(source: Source) -> Iterator[Finding]:
    """Yield where the chances of a padded batch are summed, and no mask leaves its padding out."""
    if "-100" in source.text or "ignore_index" in source.text or _uses_mask(source):
        return
    for call in source.calls:
        loss = name_of(call) == "cross_entropy" and len(call.args) > 1
        chances = name_of(call) == "gather" and tensor_of(call) is not None
        if not loss and not chances:
            continue
        tensor = call.args[0] if loss else tensor_of(call)
        if kind(source, tensor) not in ((LOGITS,) if loss else (LOG_CHANCES, CHANCES)):
            continue
        passes = [part for part in parts_followed(source, tensor) if source.is_forward(part)]
        if not any(reads_batch(source, one) for one in passes):
            continue
        yield found(
            "padding-in-the-loss",
            WARNING,
            call,
            what=f"{source.words(call)} counts the padding of a padded batch.",
            why="Nothing here leaves it out: short texts get the chances of padding besides.",
            fix="(log_chances * attention_mask[:, 1:]).sum(-1)",
        )
        return


def _uses_mask(source: Source) -> bool:
    """Tell whether a source does more with a mask than to hand it to a model."""
    for node in source.scopes:
        entry = is_string(node)
        words = node.value if entry else last_name(node)
        if "mask" not in words:
            continue
        if not isinstance(source.parents[node], ast.keyword | ast.Subscript):
            return True
        if isinstance(source.parents[node], ast.Subscript):
            outer = source.parents[source.parents[node]]
            if not isinstance(outer, ast.keyword):
                return True
    return False


def _same_as_ids(call: ast.Call, labels: ast.AST) -> bool:
    ids = ids_of(call)
    return ids is not None and ast.unparse(ids) == ast.unparse(labels)


@in_the_source(
    "mean-over-padding",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="A text's vector, or its mean chance, depends on the other texts of its batch.",
    cause="A mean over all places of a padded batch counts those of the padding too.",
    fix="Weight the places with the mask.",
    example="""
        mask = attention_mask[..., None]
        vectors = (hidden * mask).sum(1) / mask.sum(1)
    """,
    how_sure="Likely: only the source was read, where rows are padded and no mask is used.",
)
def mean_over_padding(source: Source) -> Iterator[Finding]:
    """A mean over the places of padded rows."""
    if _uses_mask(source):
        return
    for call in source.calls:
        tensor = tensor_of(call) if name_of(call) == "mean" else None
        if tensor is None or axis(source, tensor, dimension(call, 0)) != PLACE:
            continue
        passes = [part for part in parts_followed(source, tensor) if source.is_forward(part)]
        if not any(reads_batch(source, one) for one in passes):
            continue
        words = source.words(tensor)
        yield found(
            "mean-over-padding",
            WARNING,
            call,
            what=f"{source.words(call)} is a mean over all places, and the rows are padded.",
            why="The longer the batch's longest text, the more padding the others' means hold.",
            fix=f"({words} * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)",
        )
        return

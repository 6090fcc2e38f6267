"""Numbers of an output taken for others: a mean for a sum, a step's vectors for a token's."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, name_of, owner_of
from llmcourse.doctor.subject import Subject

_PLAIN = ("item", "detach", "cpu", "float", "double", "numpy", "squeeze", "to")


@in_the_source(
    "sequence-scores-averaged",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="`sequences_scores` is not the sum of the tokens' log-probabilities.",
    cause="""
        A beam's score is that sum divided by the number of new tokens to the power of
        `length_penalty`, which is 1 by default: a mean.
    """,
    fix="Sum the transition scores, or search with `length_penalty=0.0`.",
    example="""
        steps = model.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
        steps.sum(dim=1)
    """,
    how_sure="""
        Likely: only the source was read. A warning beside the sum of transition scores, a note
        where the score's exponential is taken, which is right for a mean probability of a token.
    """,
)
def sequence_scores_averaged(source: Source) -> Iterator[Finding]:
    """A mean of log-probabilities is taken for their sum."""
    reads = [one for one in source.scopes if _is_field(one, "sequences_scores")]
    if not reads or "length_penalty" in source.text:
        return
    divided = any(
        isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div) for one in source.scopes
    )
    summed = [one for one in source.calls if name_of(one) == "sum" and _of_transitions(source, one)]
    exps = [one for one in source.calls if name_of(one) == "exp" and _reads(source, one, reads)]
    if divided or not (summed or exps):
        return
    read = source.words(reads[0])
    yield found(
        "sequence-scores-averaged",
        WARNING if summed else NOTE,
        reads[0] if summed else exps[0],
        what=f"{read} is a mean over the new tokens: their sum divided by the length.",
        why="With length_penalty=1.0, the default, it is not the log-probability of the sequence.",
        fix="model.generate(..., length_penalty=0.0)  # then the score is the sum",
    )


def _is_field(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)


def _of_transitions(source: Source, call: ast.Call) -> bool:
    """Tell whether a call sums transition scores themselves, not what was made of them."""
    made = source.value(owner_of(call))
    if isinstance(made, ast.Name) and call.args:  # torch.sum(steps)
        made = source.value(call.args[0])
    return isinstance(made, ast.Call) and name_of(made) == "compute_transition_scores"


def _reads(source: Source, call: ast.Call, reads: list[ast.AST]) -> bool:
    """Tell whether a call is of one of these attributes, as owner or argument."""
    given = [owner_of(call), *call.args]
    given = [source.value(one) for one in given]
    given = [one.value if isinstance(one, ast.Subscript) else one for one in given]
    return any(one in reads for one in given)


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
        elif isinstance(node, ast.Call) and name_of(node) in _PLAIN:
            node = owner_of(node)
        elif isinstance(node, ast.Name) and source.value(node) is not node:
            node = source.value(node)
        else:
            break
    of_first = isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "0"
    if not _is_field(node, "loss") and not of_first:
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
    return False


@in_the_source(
    "hidden-states-misaligned",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="One hidden state too few, and the first has another shape than the others.",
    cause="""
        `hidden_states` has one entry for each step, not for each token. The first is of the whole
        prompt; a later one is of the token written before, from which the next is predicted. The
        last token was never read and has none.
    """,
    fix="Take the last place of each step: from it this step's token was predicted.",
    example="""
        before = [step[-1][0, -1] for step in out.hidden_states]  # predicts new[i]
        own = before[1:]  # of new[:-1] itself
    """,
    how_sure="Likely: only the source was read, where tokens and whole steps are paired.",
)
def hidden_states_misaligned(source: Source) -> Iterator[Finding]:
    """New tokens are paired with the steps' hidden states, the prompt's among them."""
    for call in source.calls:
        if name_of(call) not in ("zip", "stack"):
            continue
        given = call.args if name_of(call) == "zip" else call.args[:1]
        given = [source.value(one) for one in given]
        steps = [one for one in given if _whole_steps(source, one)]
        of_tokens = any("sequences" in ast.unparse(source.value(_base(one))) for one in given)
        if not steps or (name_of(call) == "zip" and not of_tokens):
            continue
        yield found(
            "hidden-states-misaligned",
            WARNING,
            call,
            what="hidden_states has an entry for each step: the first is of the whole prompt, a "
            "later one of the token before.",
            why="Paired with the new tokens each vector is another token's; the last has none.",
            fix="[step[-1][:, -1] for step in out.hidden_states]  # predicts that step's token",
        )


def _base(node: ast.AST) -> ast.AST:
    """Return what is indexed, to the innermost."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _whole_steps(source: Source, node: ast.AST) -> bool:
    """Tell whether a list has each step's states with all their places: `[step[-1] for ...]`."""
    if not isinstance(node, ast.ListComp | ast.GeneratorExp) or len(node.generators) != 1:
        return False
    each = node.generators[0]
    over = source.value(each.iter)
    if each.ifs or not _is_field(over, "hidden_states") or not source.is_output(over.value):
        return False
    taken, levels = node.elt, 0
    while isinstance(taken, ast.Subscript | ast.Call):
        if isinstance(taken, ast.Call):
            if name_of(taken) not in _PLAIN:
                return False
            taken = owner_of(taken)
            continue
        if isinstance(taken.slice, ast.Tuple | ast.Slice):
            return False
        taken, levels = taken.value, levels + 1
    is_step = isinstance(taken, ast.Name) and ast.unparse(taken) == ast.unparse(each.target)
    return is_step and levels in (1, 2)


@in_the_source(
    "limit-taken-for-count",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="Tokens per second that are higher the shorter the answers are.",
    cause="""
        `max_new_tokens` is a limit. A text that ends by itself has fewer tokens, and the limit
        divided by the time counts tokens that were never made.
    """,
    fix="Count what was made.",
    example="""
        new_tokens = output.shape[1] - inputs["input_ids"].shape[1]
        print(new_tokens / seconds)
    """,
    how_sure="""
        Likely, and a note: only the source was read; a text that reaches the limit has that many.
    """,
)
def limit_taken_for_count(source: Source) -> Iterator[Finding]:
    """`max_new_tokens` divided by a time."""
    for node in list(source.scopes):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
            continue
        factors = _factors_of(node.left)
        asked = [one for one in source.generate_calls if _limits(source, one, factors)]
        if not asked or not _is_a_time(source, node.right):
            continue
        yield found(
            "limit-taken-for-count",
            NOTE,
            node,
            what=f"{source.words(node)} takes max_new_tokens for the number of new tokens.",
            why="It is a limit: a text that ends earlier has fewer, and the rate is too high.",
            fix='output.shape[1] - inputs["input_ids"].shape[1]  # the tokens that were made',
        )


def _factors_of(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors_of(node.left), *_factors_of(node.right)]
    return [node]


def _limits(source: Source, call: ast.Call, numbers: list[ast.AST]) -> bool:
    """Tell whether a call's limit is one of these numbers, and the text may end before it."""
    limit = keyword(call, "max_new_tokens")
    names = {each.arg for each in call.keywords}
    if limit is None or names & {"min_new_tokens", "eos_token_id", "generation_config"}:
        return False
    return any(ast.unparse(one) == ast.unparse(limit) for one in numbers)


_CLOCKS = ("time", "perf_counter", "monotonic", "elapsed_time", "process_time")


def _is_a_time(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a difference of two readings of a clock."""
    seen = [node, source.value(node)]
    for part in [inner for one in seen for inner in ast.walk(one)]:
        value = source.value(part) if isinstance(part, ast.Name) else part
        for one in ast.walk(value):
            if isinstance(one, ast.Call) and name_of(one) in _CLOCKS:
                return True
    return False

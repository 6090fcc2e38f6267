"""What `generate` returns beside the ids: which axis is which, and which entry is whose."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, Finding
from llmcourse.doctor.static.reading.asked import has_beams
from llmcourse.doctor.static.reading.fields import (
    PER_LAYER,
    PER_STEP,
    Field,
    field_of,
    fields,
    index_chain,
    named_field,
)
from llmcourse.doctor.static.reading.following import followed, name_at, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of
from llmcourse.doctor.static.reading.tensors import OF_A_TENSOR, does, tensor_of
from llmcourse.doctor.subject import Subject


@in_the_source(
    "steps-taken-for-rows",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="Scores of other texts than those beside them, or an error of sizes or indices.",
    cause="""
        `scores` and `logits` of `generate` are tuples with one entry for each *step*: a tensor
        (rows, vocabulary). They are not one entry for each row, as `sequences` are, and stacked as
        they are the steps come first.
    """,
    fix="Stack them along the second axis, so that rows come first.",
    example="""
        scores = torch.stack(out.scores, dim=1)  # (rows, steps, vocabulary)
        log_probs = scores.log_softmax(-1)
    """,
    how_sure="Likely: only the source was read, where steps are paired with rows.",
)
def steps_taken_for_rows(source: Source) -> Iterator[Finding]:
    """A step's scores are taken for a row's."""
    for node in list(source.scopes):
        field = _zipped_with_rows(source, node) or _counted_by_row(source, node)
        field = field or _stacked_steps_first(source, node)
        if field is None:
            continue
        name = source.words(field.node)
        yield found(
            "steps-taken-for-rows",
            ERROR,
            node,
            what=f"{name} has one entry for each step, and is read as if it had one for each row.",
            why="Entry i is of step i: a tensor of shape (rows, vocabulary), for all sequences.",
            fix=f"torch.stack({name}, dim=1)  # (rows, steps, vocabulary)",
        )


def _per_step(source: Source, node: ast.AST) -> Field | None:
    """Return the scores or logits of `generate` that an expression is."""
    field = field_of(source, node)
    return field if field and field.generates and field.name in PER_STEP else None


def _are_rows(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is all rows of an output, or what they were decoded to."""
    value = followed(source, node)
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Tuple):
        whole = isinstance(value.slice.elts[0], ast.Slice)
        return whole and _are_rows(source, value.value)
    if name_of(value) == "batch_decode" and value.args:
        return _are_rows(source, value.args[0])
    return source.is_output(value) or _are_prompts(source, node)


def _are_prompts(source: Source, node: ast.AST) -> bool:
    """Tell whether a name is a list of texts that a tokenizer pads to a batch."""
    return bool(name_at(node)) and any(
        source.is_tokenizer(call.func) and call.args and name_at(call.args[0]) == name_at(node)
        for call in source.calls
        if keyword(call, "padding") is not None
    )


def _zipped_with_rows(source: Source, node: ast.AST) -> Field | None:
    if not isinstance(node, ast.Call) or last_name(node.func) != "zip":
        return None
    steps = [_per_step(source, one) for one in node.args]
    if not any(_are_rows(source, one) for one in node.args):
        return None
    return next((one for one in steps if one is not None), None)


def _counted_by_row(source: Source, node: ast.AST) -> Field | None:
    """Return scores that are read by the number of a row: `enumerate(out.sequences)`."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Name):
        return None
    field = _per_step(source, node.value)
    if field is None:
        return None
    for above in source.above(node):
        loops = [above] if isinstance(above, ast.For) else getattr(above, "generators", [])
        for loop in loops:
            through = _counted_by(loop, node.slice.id)
            if through is not None:
                return field if _are_rows(source, through) else None
    return None


def _counted_by(loop: ast.For | ast.comprehension, name: str) -> ast.AST | None:
    """Return what a loop goes through by the number of that name: of `enumerate`, or a range."""
    if not isinstance(loop.iter, ast.Call) or not loop.iter.args:
        return None
    first = getattr(loop.target, "elts", [loop.target])[0]
    through = loop.iter.args[0]
    if name_at(first) != name:
        return None
    if last_name(loop.iter.func) == "enumerate":
        return through
    ranged = last_name(loop.iter.func) == "range" and len(loop.iter.args) == 1
    measured = ranged and isinstance(through, ast.Call) and last_name(through.func) == "len"
    return through.args[0] if measured and through.args else None


def _stacked_steps_first(source: Source, node: ast.AST) -> Field | None:
    """Return scores that were stacked steps first, and from which rows' ids are gathered."""
    gathers = name_of(node) == "gather" and len(node.args) > 1
    if not gathers or tensor_of(node) is None:
        return None
    moved = [one for one in parts_followed(source, tensor_of(node)) if _moves(one)]
    if moved or any(_moves(one) for one in parts_followed(source, node.args[-1])):
        return None
    for part in parts_followed(source, tensor_of(node)):
        if name_of(part) == "stack" and part.args:
            dim = keyword(part, "dim") or next(iter(part.args[1:]), ast.Constant(0))
            first = isinstance(dim, ast.Constant) and dim.value == 0
            field = _per_step(source, part.args[0])
            if first and field is not None and _is_of_rows(source, node.args[-1]):
                return field
    return None


def _moves(node: ast.AST) -> bool:
    moves = ("permute", "transpose", "swapaxes", "movedim", "t", "rearrange", "squeeze")
    return (isinstance(node, ast.Call) and name_of(node) in moves) or (
        isinstance(node, ast.Attribute) and node.attr in ("T", "mT")
    )


def _is_of_rows(source: Source, node: ast.AST) -> bool:
    """Tell whether ids are those of an output's rows, rows first."""
    for part in parts_followed(source, node):
        if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Tuple):
            return isinstance(part.slice.elts[0], ast.Slice) and any(
                source.is_output(one) for one in parts_followed(source, part.value)
            )
    return False


@in_the_source(
    "steps-are-no-tensor",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`'tuple' object has no attribute 'softmax'`, or `indices must be integers or slices`.",
    cause="""
        A forward pass returns `logits` as one tensor (rows, places, vocabulary). `generate` returns
        `logits` and `scores` as a *tuple*, with one tensor (rows, vocabulary) for each new token.
    """,
    fix="Take a step's tensor, or stack them.",
    example="""
        first = out.logits[0]  # (rows, vocabulary), of the first new token
        every = torch.stack(out.logits, dim=1)  # (rows, steps, vocabulary)
    """,
    how_sure="Likely: only the source was read, where the tuple is used as a tensor.",
)
def steps_are_no_tensor(source: Source) -> Iterator[Finding]:
    """The tuple of a call's steps is used as one tensor."""
    for node in list(source.scopes):
        used = _used_as_tensor(node)
        field = _per_step(source, used) if used is not None else None
        if field is None or not _may_be_used(source, used):
            continue
        name = source.words(field.node)
        yield found(
            "steps-are-no-tensor",
            ERROR,
            node,
            what=f"{source.words(node)} uses {name} as a tensor, and it is a tuple: one tensor for "
            "each new token.",
            why="generate keeps a tensor (rows, vocabulary) for each step; a tuple has no shape.",
            fix=f"torch.stack({name}, dim=1)  # (rows, steps, vocabulary); {name}[0]: first step",
        )
        return


_TAKES_A_TENSOR = ("softmax", "log_softmax", "argmax", "topk", "exp", "log", "max", "sort")


def _used_as_tensor(node: ast.AST) -> ast.AST | None:
    """Return what is used as one tensor: `a` of `a.shape`, `a[:, -1]`, `torch.softmax(a, -1)`."""
    if isinstance(node, ast.Attribute) and node.attr in (*OF_A_TENSOR, *_TAKES_A_TENSOR):
        return node.value
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        return node.value
    if name_of(node) in _TAKES_A_TENSOR and node.args:
        plain = isinstance(node.func, ast.Attribute) and last_name(node.func.value) != "np"
        return node.args[0] if plain else None
    return None


def _may_be_used(source: Source, used: ast.AST) -> bool:
    """Tell whether a use is the tuple's own: not one of what a loop or a call makes of it."""
    if not isinstance(used, ast.Name | ast.Attribute | ast.Subscript):
        return False
    value = followed(source, used)
    return named_field(value)[0] in PER_STEP


@in_the_source(
    "beam-scores-by-row",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="Scores of beam search that do not belong to the tokens, some of them -inf.",
    cause="""
        With beams, a row of `scores` is a beam of that step, and beams change places: the text that
        wins has come from other rows. Which ones is in `beam_indices`.
    """,
    fix="Let `compute_transition_scores` look them up, with the indices.",
    example="""
        steps = model.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
    """,
    how_sure="""
        Likely: only the source was read, where the call has several beams and nothing reads
        `beam_indices`.
    """,
)
def beam_scores_by_row(source: Source) -> Iterator[Finding]:
    """The scores of beam search are read at a fixed row."""
    if "beam_indices" in source.text:
        return
    for node in list(source.scopes):
        field = _picked_at_row(source, node) or _gathered_by_row(source, node)
        if field is None or not has_beams(source, field.call):
            continue
        name = source.words(field.owner)
        yield found(
            "beam-scores-by-row",
            ERROR,
            node,
            what=f"{source.words(node)} reads beam search's scores at a fixed row.",
            why="Beams change places: beam_indices say which row a token's score is in.",
            fix="model.compute_transition_scores("
            f"{name}.sequences, {name}.scores, {name}.beam_indices)",
        )
        return


def _picked_at_row(source: Source, node: ast.AST) -> Field | None:
    """Return the scores that a step, a row and a token are picked of: `out.scores[i][0, token]`."""
    if not isinstance(node, ast.Subscript) or isinstance(source.parents.get(node), ast.Subscript):
        return None
    parts: list[ast.AST] = []
    inner: ast.AST | None = node
    for _ in range(8):
        if isinstance(inner, ast.Subscript):
            inner, more = index_chain(inner)
            parts = more + parts
        elif isinstance(inner, ast.Call) and does(inner) in _KEEPS_ROWS:
            inner = tensor_of(inner)
        else:
            break
        if inner is None:
            return None
        field = _per_step(source, inner)
        if field is not None:
            return field if len(parts) == 3 and not _is_fixed(parts[-1]) else None
        inner = followed(source, inner)
    return None


_KEEPS_ROWS = ("softmax", "log_softmax", "float", "cpu", "exp", "detach")


def _is_fixed(node: ast.AST) -> bool:
    return isinstance(node, ast.Slice | ast.Constant)


def _gathered_by_row(source: Source, node: ast.AST) -> Field | None:
    """Return scores that were stacked, and from which the sequences' ids are gathered."""
    if name_of(node) != "gather" or tensor_of(node) is None:
        return None
    if not node.args or not _is_of_rows(source, node.args[-1]):
        return None
    for part in parts_followed(source, tensor_of(node)):
        if name_of(part) == "stack" and part.args:
            return _per_step(source, part.args[0])
    return None


@in_the_source(
    "step-taken-for-layer",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`AttributeError: 'tuple' object has no attribute 'shape'`, or a TypeError of indices.",
    cause="""
        `hidden_states` and `attentions` of `generate` are a tuple of *steps*, and each step is a
        tuple of layers. The last entry is the last step with all its layers, not the last layer. A
        forward pass returns the layers alone.
    """,
    fix="Say the step first, then the layer.",
    example="""
        last_layer = out.hidden_states[0][-1]  # of the first step: (rows, prompt, width)
    """,
    how_sure="Likely: only the source was read, where a step is used as if it were a tensor.",
)
def step_taken_for_layer(source: Source) -> Iterator[Finding]:
    """A step's tuple of layers is used as a tensor."""
    for field in fields(source, *PER_LAYER):
        used = next(_uses_as_tensor(source, field), None) if field.generates else None
        if used is None:
            continue
        name = source.words(field.node)
        yield found(
            "step-taken-for-layer",
            ERROR,
            used,
            what=f"{source.words(used)} takes an entry of {name} for a layer's tensor: it is a "
            "step, a tuple of all layers.",
            why="Of generate, these are steps first, then layers; a tuple has no shape.",
            fix=f"{name}[step][layer]  # {name}[0][-1]: the last layer, over the prompt",
        )
        return


def _uses_as_tensor(source: Source, field: Field) -> Iterator[ast.AST]:
    """Yield where one entry of a field is used as a tensor."""
    same = [
        node
        for node in source.scopes
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
    ]
    for node in same:
        entry = followed(source, node.value)
        if isinstance(node.slice, ast.Tuple) and _is_entry(source, entry, field):
            yield node
    for node in list(source.scopes):
        if isinstance(node, ast.Attribute) and node.attr in OF_A_TENSOR:
            if _is_entry(source, followed(source, node.value), field):
                yield node
        elif isinstance(node, ast.Call) and last_name(node.func) == "stack" and node.args:
            stacked = field_of(source, node.args[0])
            if stacked is not None and stacked.node is field.node:
                yield node


def _is_entry(source: Source, node: ast.AST, field: Field) -> bool:
    """Tell whether a node is one entry of a field: `out.hidden_states[-1]`."""
    if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Tuple | ast.Slice):
        return False
    of = field_of(source, node.value)
    return of is not None and of.node is field.node

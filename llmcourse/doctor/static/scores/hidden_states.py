"""Hidden states: paired with other tokens, without their norm, or normed twice."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.fields import is_field
from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.static.reading.tensors import PLAIN
from llmcourse.doctor.subject import Subject


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
    if each.ifs or not is_field(over, "hidden_states") or not source.is_output(over.value):
        return False
    taken, levels = node.elt, 0
    while isinstance(taken, ast.Subscript | ast.Call):
        if isinstance(taken, ast.Call):
            if name_of(taken) not in PLAIN:
                return False
            taken = owner_of(taken)
            continue
        if isinstance(taken.slice, ast.Tuple | ast.Slice):
            return False
        taken, levels = taken.value, levels + 1
    is_step = isinstance(taken, ast.Name) and ast.unparse(taken) == ast.unparse(each.target)
    return is_step and levels in (1, 2)


@in_the_source(
    "lens-without-norm",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Layers seem to predict nonsense until the last one.",
    cause="""
        `lm_head` reads what the model's last norm gives. The hidden states of the layers below have
        not been through it; the last of `hidden_states` has.
    """,
    fix="Put them through the norm first, all but the last.",
    example="logits = model.lm_head(model.model.norm(hidden))",
    how_sure="Likely: only the source was read, where no norm is named.",
)
def lens_without_norm(source: Source) -> Iterator[Finding]:
    """Hidden states of each layer go into the head as they are."""
    if re.search(r"norm\b|ln_f|layernorm", source.text, re.IGNORECASE):
        return
    for call in source.calls:
        head = call.func.func if isinstance(call.func, ast.Call) else call.func
        if (
            last_name(head) not in ("lm_head", "get_output_embeddings", "embed_out")
            or not call.args
        ):
            continue
        if not _of_a_layer(source, call.args[0]):
            continue
        yield found(
            "lens-without-norm",
            WARNING,
            call,
            what=f"{source.words(call)} reads a layer's hidden states without the last norm.",
            why="The head was trained on what that norm gives: its numbers mean little here.",
            fix="model.lm_head(model.model.norm(hidden))  # ln_f in GPT-2",
        )
        return


def _of_a_layer(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is made of the hidden states of some layer, not the last."""
    for part in parts_followed(source, node):
        if isinstance(part, ast.Attribute) and part.attr == "hidden_states":
            return "hidden_states[-1]" not in source.text
    return False


@in_the_source(
    "norm-twice",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="A lens at the last layer does not agree with the model's own logits.",
    cause="""
        The last entry of `hidden_states` has been through the model's last norm already. The norm
        once more gives other logits than the model's.
    """,
    fix="Give the last entry to the head as it is.",
    example="""
        logits = model.lm_head(out.hidden_states[-1])  # the others: through the norm
    """,
    how_sure="""
        Likely: only the source was read. A warning where the last entry is named, a note where a
        loop puts all of them through the norm.
    """,
)
def norm_twice(source: Source) -> Iterator[Finding]:
    """The last hidden states go through the last norm again."""
    for call in source.calls:
        if last_name(call.func) not in _LAST_NORMS or len(call.args) != 1:
            continue
        if not any(source.is_model(one) for one in ast.walk(call.func)):
            continue
        last, all_of_them = _of_the_last(source, call.args[0])
        if not last and not all_of_them:
            continue
        yield found(
            "norm-twice",
            WARNING if last else NOTE,
            call,
            what=f"{source.words(call)} puts the last hidden states through the last norm again.",
            why="hidden_states[-1] has been through it: the logits are not the model's own."
            if last
            else "The last of hidden_states has been through it; the layers below have not.",
            fix="model.lm_head(out.hidden_states[-1])  # without the norm",
        )
        return


_LAST_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm")


def _of_the_last(source: Source, node: ast.AST) -> tuple[bool, bool]:
    """Tell whether an expression is of the last hidden states, or of all in a loop."""
    for _ in range(8):
        node = followed(source, node)
        if not isinstance(node, ast.Subscript):
            break
        held = followed(source, node.value)
        if isinstance(held, ast.Attribute) and held.attr == "hidden_states":
            if not source.is_forward(followed(source, held.value)):
                return False, False
            index = ast.unparse(node.slice)
            return index == "-1", index == "0" and "hidden_states[0]" not in source.text
        node = node.value
    return False, False

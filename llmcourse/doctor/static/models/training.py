"""What a training teaches: labels with the prompt in them, ends that are never learned."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed, name_at
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_string,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_PAD, _EOS = ("pad_token", "pad_token_id"), ("eos_token", "eos_token_id")
_QUESTION = re.compile(r"question|instruction|prompt|input|query|context|article|source", re.I)
_ANSWER = re.compile(r"answer|output|response|completion|target|summary|reply|solution", re.I)
_ENDS = re.compile(r"eos|im_end|</s>|eot|endoftext|end_of_turn|apply_chat_template|\[SEP\]", re.I)
_LEAVES_OUT = re.compile(
    r"-100|ignore_index|IGNORE|completion_only|assistant_only|responses_only|loss_mask|"
    r"assistant_tokens_mask|prompt_completion|completion_mask|CompletionOnly"
)
# Calls that have no weights of their own: what goes in has a graph, or what comes out has none.
_WITHOUT_WEIGHTS = (
    *("decode", "batch_decode", "mean", "sum", "log", "exp", "stack", "cat", "softmax", "view"),
    *("log_softmax", "gather", "squeeze", "unsqueeze", "tensor", "range", "len", "float", "size"),
    *("cross_entropy", "mse_loss", "enumerate", "zip", "from_pretrained", "eval", "cuda", "to"),
    *("compute_transition_scores", "requires_grad_", "item", "reshape", "argmax", "clamp", "load"),
    *(
        "max",
        "min",
        "amax",
        "topk",
        "prod",
        "pow",
        "abs",
        "mul",
        "logsumexp",
        "contiguous",
        "float",
    ),
)


@in_the_source(
    "end-masked-in-training",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="After its training the model never ends: each answer runs until the limit.",
    cause="""
        The padding token is the end token, and labels that are padding are taken out of the loss.
        So each text's own end is taken out too, and the model never learns to write it.
        `DataCollatorForLanguageModeling(mlm=False)` masks labels so.
    """,
    fix="Pad with another token, or mask labels by the attention mask.",
    example="""
        labels = input_ids.masked_fill(attention_mask == 0, -100)
    """,
    how_sure="Likely: only the source was read, where padding is the end and masks labels.",
)
def end_masked_in_training(source: Source) -> Iterator[Finding]:
    """Labels that are padding are masked, and padding is the end token."""
    if not any(_pads_with_the_end(source, node) for node in source.scopes):
        return
    for node in list(source.scopes):
        how = _masks_padding(source, node)
        if how is None:
            continue
        yield found(
            "end-masked-in-training",
            WARNING,
            node,
            what=f"{how} takes padding out of the loss, and the padding token is the end token.",
            why="So does it with each text's own end: the model never learns to end its texts.",
            fix="labels = input_ids.masked_fill(attention_mask == 0, -100)  # or another pad token",
        )
        return


def _pads_with_the_end(source: Source, node: ast.AST) -> bool:
    """Tell whether a statement makes the end token the padding token."""
    if not isinstance(node, ast.Assign):
        return False
    targets = [one.attr for one in node.targets if isinstance(one, ast.Attribute)]
    value = node.value.attr if isinstance(node.value, ast.Attribute) else ""
    return bool(set(targets) & set(_PAD)) and value in _EOS


def _masks_padding(source: Source, node: ast.AST) -> str | None:
    """Return in words what takes padding out of the loss, or None."""
    if name_of(node) == "DataCollatorForLanguageModeling":
        return "DataCollatorForLanguageModeling" if is_false(keyword(node, "mlm")) else None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        place = node.targets[0].slice
        return source.words(node)[:60] if _ignored(node.value) and _is_pad(place) else None
    if isinstance(node, ast.IfExp) and _ignored(node.body):
        return source.words(node)[:60] if _is_pad(node.test) else None
    if name_of(node) in ("CrossEntropyLoss", "cross_entropy"):
        ignored = keyword(node, "ignore_index")
        return source.words(node)[:60] if ignored and last_name(ignored) in _PAD else None
    if name_of(node) in ("where", "masked_fill"):
        masks = any(map(_ignored, node.args)) and any(map(_is_pad, node.args))
        return source.words(node)[:60] if masks else None
    return None


def _ignored(node: ast.AST) -> bool:
    return ast.unparse(node) == "-100"


def _is_pad(test: ast.AST) -> bool:
    """Tell whether a comparison is with the padding token."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], ast.Eq)
        and any(last_name(one) in _PAD for one in (test.left, *test.comparators))
    )


def _trains(source: Source) -> bool:
    """Tell whether a source trains a model by labels: by hand, or by a trainer."""
    names = [name_of(one) for one in source.calls]
    return "backward" in names or any(name.endswith("Trainer") for name in names)


def _two_parts(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a text put together of a question and an answer."""
    value = followed(source, node)
    for part in ast.walk(value):
        if isinstance(part, ast.JoinedStr) or (
            isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add)
        ):
            names = _names_of(part)
            asks = any(map(_QUESTION.search, names))
            if asks and any(map(_ANSWER.search, names)):
                return True
    return False


def _names_of(node: ast.AST) -> list[str]:
    """Return the names and keys within an expression."""
    names = []
    for part in ast.walk(node):
        if isinstance(part, ast.Name | ast.Attribute):
            names.append(last_name(part))
        elif isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant):
            names.append(str(part.slice.value))
    return names


def _examples(source: Source) -> list[ast.AST]:
    """Return where texts of a question and an answer are put together."""
    kinds = (ast.JoinedStr, ast.BinOp)
    return [
        node
        for node in list(source.scopes)
        if isinstance(node, kinds)
        and not isinstance(source.parents.get(node), ast.BinOp | ast.FormattedValue)
        and _is_text_of_parts(node)
        and not _is_said(source, node)
        and _two_parts(source, node)
    ]


def _is_said(source: Source, node: ast.AST) -> bool:
    """Tell whether a text is for a reader: printed, logged, or of an error."""
    above = list(source.above(node))
    calls = [name_of(one) for one in above if isinstance(one, ast.Call)]
    said = ("print", "info", "warning", "debug", "error", "log", "write", "warn", "set_description")
    return any(isinstance(one, ast.Raise) for one in above) or bool(set(said) & set(calls))


def _is_text_of_parts(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return True
    if not isinstance(node.op, ast.Add):
        return False
    return any(is_string(part) for part in ast.walk(node))


@in_the_source(
    "end-never-taught",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="After its training the model goes on behind each answer, and never ends.",
    cause="""
        Most tokenizers of decoder-only models put no end token behind a text. A model that is
        trained on texts without one never learns to write it.
    """,
    fix="End each text of the training with the end token.",
    example="text = question + answer + tokenizer.eos_token",
    how_sure="""
        Likely: only the source was read, where questions and answers are trained on, and nothing
        names an end token or a template that writes one.
    """,
)
def end_never_taught(source: Source) -> Iterator[Finding]:
    """Texts of a training without an end token."""
    ours = [name_of(one) for one in source.calls if name_of(one).endswith("Trainer")]
    if not _trains(source) or _ENDS.search(source.text) or source.has_two_sequences:
        return
    if not any(source.is_tokenizer(call.func) for call in source.calls):
        return
    if any(name != "Trainer" for name in ours) or not _labels_texts(source):
        return
    for node in _examples(source):
        yield found(
            "end-never-taught",
            WARNING,
            node,
            what=f"{source.words(node)[:80]} is trained on without an end token (eos).",
            why="The model never sees a text end: it writes on behind each answer.",
            fix=f"{source.words(node)[:60]} + tokenizer.eos_token",
        )
        return


def _labels_texts(source: Source) -> bool:
    """Tell whether labels are made of ids: `labels=ids`, or the entry `"labels"`."""
    given = any(keyword(call, "labels") is not None for call in source.calls)
    return given or any(
        isinstance(node, ast.Constant) and node.value == "labels" for node in source.scopes
    )


@in_the_source(
    "prompt-in-the-loss",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="The fine-tuned model repeats its questions, or learns its answers slowly.",
    cause="""
        Labels that are a copy of the ids hold the prompt too: the loss is mostly about predicting
        the question. -100 leaves tokens out.
    """,
    fix="Ignore the labels of the prompt.",
    example="labels[:, :prompt_length] = -100",
    how_sure="""
        Likely, and a note: only the source was read; training on the whole text is a choice that
        some make.
    """,
)
def prompt_in_the_loss(source: Source) -> Iterator[Finding]:
    """Labels that hold the prompt beside the answer."""
    if not _trains(source) or _LEAVES_OUT.search(source.text) or not _examples(source):
        return
    for node in list(source.scopes):
        ids = _copied(source, node)
        if ids is None:
            continue
        yield found(
            "prompt-in-the-loss",
            NOTE,
            node,
            what=f"{source.words(node)[:80]} makes labels of all ids, the prompt's tokens among "
            "them.",
            why="The loss is about the question too; -100 would leave the prompt out.",
            fix="labels[:, :prompt_length] = -100",
        )
        return


def _copied(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the ids of which a statement makes labels, or None."""
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        entry = isinstance(target, ast.Subscript) and ast.unparse(target.slice) == "'labels'"
        value = node.value if entry or last_name(target) == "labels" else None
    elif isinstance(node, ast.keyword):
        value = node.value if node.arg == "labels" else None
    else:
        return None
    while name_of(value) in ("clone", "copy", "deepcopy"):
        value = value.args[0] if value.args else owner_of(value)
    return value if value is not None and "input_ids" in _names_of(value) else None


@in_the_source(
    "no-gradient-through-generate",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`RuntimeError: element 0 of tensors does not require grad`.",
    cause="""
        `generate` runs without gradients, and choosing tokens has none: neither its sequences nor
        its scores lead back to the weights.
    """,
    fix="Feed what was generated in a forward pass, and take the loss of that.",
    example="""
        made = model.generate(**inputs, do_sample=True)
        loss = -model(made).logits[:, :-1].log_softmax(-1).gather(2, made[:, 1:, None]).mean()
    """,
    how_sure="Likely: only the source was read, where the loss is made of the output of generate.",
)
def no_gradient_through_generate(source: Source) -> Iterator[Finding]:
    """A loss of what `generate` returned."""
    for call in source.calls:
        if name_of(call) != "backward" or not isinstance(call.func, ast.Attribute):
            continue
        loss = call.func.value
        if isinstance(loss, ast.Name) and _adds_up(source, loss):
            continue
        parts = list(_parts_until_generate(source, loss))
        made = [part for part in parts if source.is_generate(part)]
        if not made or any(_may_have_a_graph(source, part) for part in parts):
            continue
        yield found(
            "no-gradient-through-generate",
            ERROR,
            call,
            what=f"{source.words(call)} goes back to {source.words(made[0].func)}, which keeps no "
            "gradients.",
            why="generate runs under torch.no_grad(): its scores and ids have no graph.",
            fix="logits = model(generated_ids).logits  # a forward pass of what was generated",
        )
        return


def _adds_up(source: Source, name: ast.Name) -> bool:
    """Tell whether a name is added to: what went in before is not followed."""
    nodes = source.scopes[name].nodes
    return any(isinstance(one, ast.AugAssign) and name_at(one.target) == name.id for one in nodes)


def _parts_until_generate(source: Source, node: ast.AST, depth: int = 8) -> Iterator[ast.AST]:
    """Yield the parts that a loss is made of, what names stand for too, but no call's inputs."""
    yield node
    if source.is_generate(node):
        return
    value = followed(source, node) if isinstance(node, ast.Name) else node
    if value is not node and depth:
        yield from _parts_until_generate(source, value, depth - 1)
    for child in ast.iter_child_nodes(node):
        yield from _parts_until_generate(source, child, depth)


def _may_have_a_graph(source: Source, part: ast.AST) -> bool:
    """Tell whether a part is a forward pass, or a call of what is not known."""
    if not isinstance(part, ast.Call) or source.is_generate(part):
        return False
    if source.is_forward(part):
        return True
    if name_of(part) in _WITHOUT_WEIGHTS or source.is_tokenizer(part.func):
        return False
    return not name_of(part).endswith("Loss") and not isinstance(part.func, ast.Call)

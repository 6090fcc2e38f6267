"""What a training leaves behind for the texts that follow it, and how they are judged."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.loads import is_load_of_a_model
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_LABELS = re.compile(r"label")
_MENDS = re.compile(r"-\s*100|IGNORE|ignore_index|< 0|>= 0|!= tokenizer|clip")


@in_the_source(
    "gradient-checkpointing-left-on",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="Samples between training steps are slow, or differ from those after the training.",
    cause="""
        Gradient checkpointing computes activations again for a backward pass, and switches the
        key-value cache off while the model is in training mode.
    """,
    fix="Call `model.eval()` before generating, and `model.train()` afterwards.",
    example="""
        model.eval()
        model.generate(**inputs)
        model.train()
    """,
    how_sure="""
        Likely: only the source was read, where checkpointing is enabled and neither disabled nor
        followed by `eval()` before the call.
    """,
)
def gradient_checkpointing_left_on(source: Source) -> Iterator[Finding]:
    """Checkpointing is on when the model generates."""
    for call in source.generate_calls:
        scope = source.scopes[call]
        before = [
            one
            for one in source.calls
            if one.lineno < call.lineno and source.scopes[one] in (scope, source.module)
        ]
        named = [name_of(one) for one in before]
        ends = [n for n, name in enumerate(named) if name in _ENDS]
        starts = [n for n, name in enumerate(named) if name == "gradient_checkpointing_enable"]
        trains = "train" in named
        if not starts or not trains or (ends and ends[-1] > starts[-1]):
            continue
        yield found(
            "gradient-checkpointing-left-on",
            WARNING,
            call,
            what="Gradient checkpointing is on, and the model in training mode, when it generates.",
            why="It computes everything again at each step, without a cache.",
            fix=f"{source.words(owner_of(call))}.eval()  # before generate",
        )
        return


_ENDS = ("gradient_checkpointing_disable", "eval")


@in_the_source(
    "eval-mode-left-on",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="After the first samples the training goes on without dropout, and overfits.",
    cause="""
        `model.eval()` before samples or an evaluation stays in force. The steps after it train a
        model in evaluation mode, until somebody calls `model.train()`.
    """,
    fix="Call `model.train()` after the samples.",
    example="""
        model.eval()
        samples = model.generate(**inputs)
        model.train()
    """,
    how_sure="""
        Likely: only the source was read, where a loop trains and calls `eval()`, and nothing in it
        calls `train()`.
    """,
)
def eval_mode_left_on(source: Source) -> Iterator[Finding]:
    """A training loop that goes into eval mode and never back."""
    for loop in source.loops:
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        calls = [node for node in inside if isinstance(node, ast.Call)]
        steps = [one for one in calls if name_of(one) == "backward"]
        evals = [one for one in calls if _goes_to_eval(source, one)]
        if not steps or not evals or _has_inner(inside, steps[0], evals[0]):
            continue
        if any(_goes_to_train(source, one) for one in calls):
            continue
        yield found(
            "eval-mode-left-on",
            WARNING,
            evals[0],
            what=f"{source.words(evals[0])[:60]} puts the model into eval mode in the training "
            "loop, and no train() puts it back.",
            why="The steps after it train without dropout: eval mode stays on.",
            fix="model.train()  # after the evaluation",
        )
        return


def _has_inner(inside: list[ast.AST], *nodes: ast.AST) -> bool:
    """Tell whether a loop within a loop holds all nodes."""
    inner = [node for node in inside if isinstance(node, ast.For | ast.While)]
    return any(all(node in ast.walk(one) for node in nodes) for one in inner)


def _body_calls(source: Source, call: ast.Call) -> list[ast.Call]:
    """Return the calls in the function of the source that is called, itself among them.

    Also in a method: of `self.evaluate()`.
    """
    own = isinstance(call.func, ast.Attribute) and last_name(call.func.value) == "self"
    if not isinstance(call.func, ast.Name) and not own:
        return [call]
    bodies = [
        node
        for node in source.scopes
        if isinstance(node, ast.FunctionDef) and node.name == name_of(call)
    ]
    return [call, *(one for body in bodies for one in ast.walk(body) if isinstance(one, ast.Call))]


def _sets_mode(call: ast.Call, name: str) -> bool:
    named = isinstance(call.func, ast.Attribute) and call.func.attr == name
    if name == "eval":
        return named and not call.args and last_name(owner_of(call)) not in ("pd", "df", "ast")
    return named and (not call.args or ast.unparse(call.args[0]) != "False")


def _goes_to_eval(source: Source, call: ast.Call) -> bool:
    """Tell whether a call is `model.eval()`, or of a function that ends in eval mode."""
    calls = _body_calls(source, call)
    back = any(_sets_mode(one, "train") for one in calls)
    return any(_sets_mode(one, "eval") for one in calls) and not back


def _goes_to_train(source: Source, call: ast.Call) -> bool:
    return any(_sets_mode(one, "train") for one in _body_calls(source, call))


@in_the_source(
    "judged-by-teacher-forcing",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="The metrics of the training are good, and the texts that the model writes are not.",
    cause="""
        The logits of an evaluation were computed with the right answer before each place. Their
        argmax is no text that the model would write by itself; a decoder-only model's
        `predict_with_generate` continues a text that holds the answer already.
    """,
    fix="Generate from the prompt alone, and compare that.",
    example="""
        out = model.generate(**prompts, max_new_tokens=100)
        texts = tokenizer.batch_decode(out[:, prompts["input_ids"].shape[1] :])
    """,
    how_sure="""
        Likely: only the source was read, where the argmax of logits is decoded and compared, or a
        trainer for two sequences gets a decoder-only model.
    """,
)
def judged_by_teacher_forcing(source: Source) -> Iterator[Finding]:
    """What is evaluated is not what the model generates."""
    for call in source.calls:
        of_one = any(map(is_load_of_a_model, source.calls)) and not source.has_two_sequences
        if is_true(keyword(call, "predict_with_generate")) and of_one:
            yield found(
                "judged-by-teacher-forcing",
                WARNING,
                call,
                what="predict_with_generate=True evaluates a decoder-only model.",
                why="Its inputs hold the answer: it is judged by what it writes after it.",
                fix="model.generate(**prompts)  # of the prompts alone, and compare that",
            )
    for node in list(source.scopes):
        if not isinstance(node, ast.FunctionDef) or "metrics" not in node.name:
            continue
        calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
        names = [name_of(one) for one in calls]
        if "argmax" not in names or "batch_decode" not in names or "generate" in names:
            continue
        yield found(
            "judged-by-teacher-forcing",
            WARNING,
            calls[names.index("argmax")],
            what=f"{node.name} decodes the argmax of an evaluation's logits as if it were a text.",
            why="Each place had the right answer before it: the model did not write that.",
            fix="model.generate(**prompts)  # of the prompts alone, and compare that",
        )


@in_the_source(
    "ignored-labels-decoded",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`OverflowError: out of range integral type conversion attempted`, in an evaluation.",
    cause="""
        Labels are -100 where no loss is counted, and a trainer fills up predictions with it too. No
        token has that id.
    """,
    fix="Put the padding's id there first.",
    example="""
        labels = np.where(labels == -100, tokenizer.pad_token_id, labels)
        texts = tokenizer.batch_decode(labels, skip_special_tokens=True)
    """,
    how_sure="""
        Likely: only the source was read, where a function for metrics decodes its labels and names
        no -100.
    """,
)
def ignored_labels_decoded(source: Source) -> Iterator[Finding]:
    """Labels are decoded with their -100."""
    for call in source.calls:
        if name_of(call) not in ("decode", "batch_decode") or not call.args:
            continue
        function = source.scopes[call].node
        labels = source.words(call.args[0])
        if not isinstance(function, ast.FunctionDef) or not _LABELS.search(labels):
            continue
        if not source.is_tokenizer(owner_of(call)) or not _gets_an_evaluation(function):
            continue
        if _MENDS.search(source.words(function)):
            continue
        yield found(
            "ignored-labels-decoded",
            ERROR,
            call,
            what=f"{labels} is decoded as a trainer gives it, -100 included.",
            why="-100 marks what the loss leaves out, and is no token's id: decoding fails.",
            fix=f"{labels} = np.where({labels} == -100, tokenizer.pad_token_id, {labels})",
        )


def _gets_an_evaluation(function: ast.FunctionDef) -> bool:
    """Tell whether a function is one for metrics: by its name, or by its argument's."""
    names = [function.name, *(one.arg for one in function.args.args)]
    return any(re.search(r"metric|eval_pred|eval_preds|EvalPrediction", one) for one in names)

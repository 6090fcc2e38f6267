"""What a training leaves behind: ends that were never learned, adapters that were never trained."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.models.loads import is_load_of_a_model
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_TRAINS = re.compile(
    r"(?<!pre)train|^fit$|^backward$|^step$|load_(adapter|state_dict|checkpoint)|set_peft"
)
_LABELS = re.compile(r"label")
_MENDS = re.compile(r"-\s*100|IGNORE|ignore_index|< 0|>= 0|!= tokenizer|clip")
_PAD, _EOS = ("pad_token", "pad_token_id"), ("eos_token", "eos_token_id")


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
    if isinstance(node, ast.Call) and name_of(node) == "DataCollatorForLanguageModeling":
        return "DataCollatorForLanguageModeling" if is_false(keyword(node, "mlm")) else None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        place = node.targets[0].slice
        return source.words(node)[:60] if _ignored(node.value) and _is_pad(place) else None
    if isinstance(node, ast.IfExp) and _ignored(node.body):
        return source.words(node)[:60] if _is_pad(node.test) else None
    if isinstance(node, ast.Call) and name_of(node) in ("CrossEntropyLoss", "cross_entropy"):
        ignored = keyword(node, "ignore_index")
        return source.words(node)[:60] if ignored and last_name(ignored) in _PAD else None
    if isinstance(node, ast.Call) and name_of(node) in ("where", "masked_fill"):
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


@in_the_source(
    "adapter-without-effect",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: an adapter is made, and nothing trains or loads it.
    """,
)
def adapter_without_effect(source: Source) -> Iterator[Finding]:
    """A fresh adapter is put on the model, which then generates."""
    made = [one for one in source.calls if name_of(one) in ("get_peft_model", "add_adapter")]
    if not made or not source.generate_calls:
        return
    if any(_TRAINS.search(name_of(one)) for one in source.calls if one not in made):
        return
    if not isinstance(source.parents.get(made[0]), ast.Assign | ast.Expr):
        return
    if name_of(made[0]) == "get_peft_model" and isinstance(source.parents[made[0]], ast.Expr):
        return
    yield found(
        "adapter-without-effect",
        WARNING,
        made[0],
        what=f"{name_of(made[0])} makes a new adapter, and nothing here trains or loads it.",
        why="A new adapter adds zero: the texts are the base model's.",
        fix="PeftModel.from_pretrained(model, folder)  # the trained adapter",
    )


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
    "embedding-size",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: tokens are added and no embeddings, or the size is
        `vocab_size`, which leaves added tokens out.
    """,
)
def embedding_size(source: Source) -> Iterator[Finding]:
    """Tokens are added, and the embeddings do not follow."""
    resizes = [one for one in source.calls if name_of(one) == "resize_token_embeddings"]
    for call in resizes:
        size = source.value(call.args[0]) if call.args else None
        of_words = isinstance(size, ast.Attribute) and size.attr == "vocab_size"
        if not of_words or not source.is_tokenizer(size.value):
            continue
        yield found(
            "embedding-size",
            WARNING,
            call,
            what=f"{source.words(call.args[0])} leaves the added tokens out.",
            why="Special tokens are often among them: their ids are beyond the embeddings.",
            fix=f"{source.words(call.func)}(len({source.words(size.value)}))",
        )
    if resizes or not source.generate_calls:
        return
    for call in source.calls:
        if name_of(call) not in ("add_tokens", "add_special_tokens") or not call.args:
            continue
        if not source.is_tokenizer(owner_of(call)) or not _new_tokens(source, call.args[0]):
            continue
        model = source.words(owner_of(source.generate_calls[0]))
        yield found(
            "embedding-size",
            WARNING,
            call,
            what="Tokens are added to the tokenizer, and no embeddings to the model.",
            why="Their ids are beyond its rows, an IndexError, or rows that were never trained.",
            fix=f"{model}.resize_token_embeddings(len({source.words(owner_of(call))}))",
        )


def _new_tokens(source: Source, node: ast.AST) -> bool:
    """Tell whether an argument is seen to be texts: as a list, a set or a dictionary of them."""
    value = source.value(node)
    parts = value.values if isinstance(value, ast.Dict) else getattr(value, "elts", [value])
    parts = [one for part in parts for one in getattr(part, "elts", [part])]
    return bool(parts) and all(
        isinstance(one, ast.Constant) and isinstance(one.value, str) for one in parts
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

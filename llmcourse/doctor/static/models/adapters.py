"""Adapters of peft, as they are put on, merged, chosen and trained."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.loads import is_load_of_a_model, is_quantized
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    keyword,
    loaded_by,
    name_of,
    owner_of,
    values_given,
)
from llmcourse.doctor.subject import Subject

_PEFT = re.compile(r"^PeftModel")
_ONLY_LOOK = ("print", "len", "type", "isinstance", "id")
_TAKES_OFF = re.compile(
    r"deepcopy|disable_adapter|\.unload\(|merge_and_unload|delete_adapter|get_base_model"
)
_TRAINS = re.compile(
    r"(?<!pre)train|^fit$|^backward$|^step$|load_(adapter|state_dict|checkpoint)|set_peft"
)


def _puts_on(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the model that a call puts an adapter on, or None."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    loads = name_of(node) == "from_pretrained" and _PEFT.search(loaded_by(node))
    wraps = name_of(node) == "get_peft_model" or _PEFT.search(name_of(node))
    return node.args[0] if loads or wraps else None


@in_the_source(
    "adapter-changes-the-base",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    symptom="The base model and the fine-tuned one write the same texts.",
    cause="""
        `PeftModel.from_pretrained(base, ...)` and `get_peft_model(base, ...)` do not copy the
        model: they put the adapter's layers into `base` itself. From then on both names are of one
        model, and a second adapter goes on top of the first.
    """,
    fix="Switch the adapter off for the base model's texts, or load the base model twice.",
    example="""
        with model.disable_adapter():
            base_out = model.generate(**inputs)
        out = model.generate(**inputs)
    """,
    how_sure="""
        Likely: only the source was read. An error where the base model and the adapted one both
        write texts, a warning where a second adapter is put on the same model.
    """,
)
def adapter_changes_the_base(source: Source) -> Iterator[Finding]:
    """The base model is used beside the adapted one, as if it had stayed as it was."""
    if _TAKES_OFF.search(source.text):
        return
    put_on = [(call, _puts_on(source, call)) for call in source.calls]
    put_on = [(call, base) for call, base in put_on if isinstance(base, ast.Name | ast.Attribute)]
    for number, (call, base) in enumerate(put_on):
        name, target = ast.unparse(base), source.parents.get(call)
        adapted = ast.unparse(target.targets[0]) if isinstance(target, ast.Assign) else ""
        if not adapted:
            continue
        again = [one for one, other in put_on[:number] if ast.unparse(other) == name]
        again = [one for one in again if _follows(source, one, call)]
        again = [one for one in again if not _given_between(source, name, one, call)]
        both = adapted != name and all(_writes(source, one, call) for one in (name, adapted))
        if not both and not again and not _is_in_a_loop(source, call, name):
            continue
        yield found(
            "adapter-changes-the-base",
            ERROR if both else WARNING,
            call,
            what=f"{source.words(call.func)} puts the adapter into {name} itself"
            + (f", which still writes texts beside {adapted}." if both else ", again."),
            why="Both names are of one model: the base model's texts are the adapter's too."
            if both
            else "The adapters of both stand in one model: the base was not copied.",
            fix=f"with {adapted}.disable_adapter(): ...  # the base model's texts",
        )
        return


def _follows(source: Source, first: ast.Call, second: ast.Call) -> bool:
    """Tell whether two calls of one function run one after the other, not in two arms of an if."""
    if source.scopes[first] is not source.scopes[second]:
        return False
    above = list(source.above(second))
    inner: ast.AST = first
    for outer in source.above(first):
        if isinstance(outer, ast.If) and outer in above:
            place = above.index(outer)
            other = above[place - 1] if place else second
            return (inner in outer.body) == (other in outer.body)
        inner = outer
    return True


def _given_between(source: Source, name: str, first: ast.AST, second: ast.AST) -> bool:
    """Tell whether a name gets another model between two lines."""
    return any(
        isinstance(node, ast.Assign)
        and first.lineno < node.lineno < second.lineno
        and name in [ast.unparse(one) for one in node.targets]
        for node in source.scopes
    )


def _is_in_a_loop(source: Source, call: ast.Call, name: str) -> bool:
    """Tell whether a loop puts several adapters on a model that was loaded before it."""
    loop = next((one for one in source.above(call) if isinstance(one, ast.For)), None)
    if loop is None or name_of(call) != "from_pretrained":
        return False
    made = [
        one
        for one in ast.walk(loop)
        if isinstance(one, ast.Assign) and name in [ast.unparse(each) for each in one.targets]
    ]
    return all(_puts_on(source, one.value) is not None for one in made)


def _writes(source: Source, name: str, after: ast.Call) -> bool:
    """Tell whether a model is called, generates, or is handed on below a line."""
    for call in source.calls:
        if call.lineno <= after.lineno or _puts_on(source, call) is not None:
            continue
        if source.scopes[call] is not source.scopes[after]:
            continue
        if _given_between(source, name, after, call):
            return False
        if ast.unparse(call.func) in (name, f"{name}.generate", f"{name}.forward"):
            return True
        handed = values_given(call)
        asks = isinstance(call.func, ast.Name) and call.func.id not in _ONLY_LOOK
        if asks and name in [ast.unparse(one) for one in handed]:
            return True
    return False


@in_the_source(
    "merged-into-quantized",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="The merged model writes worse texts than the base with its adapter beside it.",
    cause="""
        `merge_and_unload` on a model in 4 or 8 bits adds the adapter to the weights and rounds the
        sum to few bits again: much of a small change is lost in the rounding.
    """,
    fix="Load the base model in 16 bits, merge, and quantize what comes out.",
    example="""
        base = AutoModelForCausalLM.from_pretrained(name, dtype=torch.bfloat16)
        merged = PeftModel.from_pretrained(base, adapter).merge_and_unload()
    """,
    how_sure="Likely: only the source was read, where the base model is loaded in 4 or 8 bits.",
)
def merged_into_quantized(source: Source) -> Iterator[Finding]:
    """An adapter is merged into quantized weights."""
    for call in source.calls:
        if name_of(call) not in ("merge_and_unload", "merge_adapter"):
            continue
        quantized = any(_is_quantized(source, one) for one in _bases(source, owner_of(call)))
        if not quantized or "dequantize" in source.text:
            continue
        yield found(
            "merged-into-quantized",
            WARNING,
            call,
            what=f"{source.words(call)} merges the adapter into quantized weights.",
            why="The sum is rounded to 4 or 8 bits again, and much of the adapter is lost.",
            fix="AutoModelForCausalLM.from_pretrained(name, dtype=torch.bfloat16)  # then merge",
        )


def _bases(source: Source, node: ast.AST, depth: int = 5) -> Iterator[ast.Call]:
    """Yield the loads that a model with an adapter may come from."""
    for value in source.values(node):
        if not isinstance(value, ast.Call) or not depth:
            continue
        base = _puts_on(source, value)
        if base is not None:
            yield from _bases(source, base, depth - 1)
        elif name_of(value) == "from_pretrained":
            yield value
        elif name_of(value).startswith("prepare_model_for") and value.args:
            yield from _bases(source, value.args[0], depth - 1)


def _is_quantized(source: Source, load: ast.Call) -> bool:
    known = is_load_of_a_model(load) or loaded_by(load).startswith("AutoPeftModel")
    return known and is_quantized(load)


@in_the_source(
    "adapter-not-set",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="A second adapter is loaded, and the texts are still those of the first.",
    cause="""
        `PeftModel.load_adapter` reads another adapter and leaves the active one as it is.
    """,
    fix="Say which adapter is to be used.",
    example="""
        model.load_adapter(folder, adapter_name="second")
        model.set_adapter("second")
    """,
    how_sure="Likely: only the source was read, where nothing sets an adapter.",
)
def adapter_not_set(source: Source) -> Iterator[Finding]:
    """A second adapter is loaded and never made the active one."""
    sets = ("set_adapter", "add_weighted_adapter", "adapter_names", "active_adapter", "hotswap")
    if any(word in source.text for word in sets):
        return
    for call in source.calls:
        if name_of(call) != "load_adapter" or not isinstance(call.func, ast.Attribute):
            continue
        values = source.values(owner_of(call))
        if not any(_puts_on(source, one) is not None for one in values):
            continue
        given = keyword(call, "adapter_name") or (call.args[1] if len(call.args) > 1 else None)
        name = source.words(given) if given is not None else '"second"'
        model = source.words(owner_of(call))
        yield found(
            "adapter-not-set",
            WARNING,
            call,
            what=f"{source.words(call)[:80]} loads an adapter, and no set_adapter makes it active.",
            why="The first adapter stays the active one: the texts are its.",
            fix=f"{model}.set_adapter({name})",
        )
        return


@in_the_source(
    "new-tokens-not-trained",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="After LoRA training the new special tokens are never written, or mean nothing.",
    cause="""
        A LoRA adapter trains the layers that it names. The embeddings and the head are not among
        them by default, so the rows of tokens that were added stay as they were made, and are not
        saved with the adapter.
    """,
    fix="Train the new rows too.",
    example="""
        LoraConfig(r=8, modules_to_save=["embed_tokens", "lm_head"])
        LoraConfig(r=8, trainable_token_indices=new_ids)  # or those rows alone
    """,
    how_sure="Likely: only the source was read, where tokens are added and an adapter is trained.",
)
def new_tokens_not_trained(source: Source) -> Iterator[Finding]:
    """Tokens are added, and the adapter leaves their embeddings out."""
    if not re.search(r"\btrain\(|Trainer|backward\(", source.text):
        return
    named = re.search(r"modules_to_save|trainable_token|embed_tokens|lm_head|wte", source.text)
    adds = [call for call in source.calls if _adds_tokens(source, call)]
    if named or not adds:
        return
    for call in source.calls:
        if name_of(call) not in ("LoraConfig", "LoKrConfig", "LoHaConfig"):
            continue
        yield found(
            "new-tokens-not-trained",
            WARNING,
            call,
            what=f"{name_of(call)} leaves the embeddings of the added tokens out of the training.",
            why="Their rows stay as they were made: the new tokens mean nothing to the model.",
            fix='LoraConfig(..., modules_to_save=["embed_tokens", "lm_head"])',
        )
        return


def _adds_tokens(source: Source, call: ast.Call) -> bool:
    """Tell whether a call adds tokens to a tokenizer, other than one for padding."""
    if name_of(call) not in ("add_tokens", "add_special_tokens") or not call.args:
        return False
    if not source.is_tokenizer(owner_of(call)):
        return False
    value = source.value(call.args[0])
    if not isinstance(value, ast.Dict | ast.List | ast.Constant):
        return False
    keys = value.keys if isinstance(value, ast.Dict) else []
    return [getattr(key, "value", None) for key in keys] != ["pad_token"]


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

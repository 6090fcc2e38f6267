"""What is computed and dropped: calls that give back something new, on a line of their own."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

# Context managers: on a line of their own they are made, and never entered.
_CONTEXTS = ("no_grad", "inference_mode", "autocast", "disable_adapter")
# Functions that give back something new, by what they are called on.
_OF_MODULES = {
    "torch": ("compile", "cat", "softmax", "where", "argmax", "stack", "masked_fill"),
    "copy": ("copy", "deepcopy"),
}
_FUNCTIONS = ("get_peft_model", "deepcopy")
# Methods of tensors without the underscore at the end.
_OF_TENSORS = (
    *("masked_fill", "index_fill", "index_add", "index_copy", "clamp", "softmax"),
    *("log_softmax", "unsqueeze", "squeeze", "reshape", "transpose", "permute"),
)
_OF_TEXTS = ("strip", "lstrip", "rstrip", "removeprefix", "removesuffix", "lower", "upper", "title")
_PLACES = ("to", "cuda", "cpu")
_SAVES = ("save_pretrained", "push_to_hub")


@in_the_source(
    "result-dropped",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="A line changes nothing: as slow, as long, and the banned token still comes.",
    cause="""
        `torch.compile`, a tensor's `masked_fill` or `to`, a text's `strip` give back something new
        and leave what they are called on as it is. `torch.no_grad()` counts in a `with` alone.
    """,
    fix="Keep what is returned.",
    example="""
        model = torch.compile(model)
        scores = scores.masked_fill(banned, float("-inf"))
        with torch.no_grad():
            ...
    """,
    how_sure="Likely: only the source was read, where nothing takes what the call returns.",
)
def result_dropped(source: Source) -> Iterator[Finding]:
    """A call's result is not used, and it does nothing else."""
    for call in source.calls:
        if not isinstance(source.parents.get(call), ast.Expr):
            continue
        said = _said(source, call)
        if said is None:
            continue
        why, fix = said
        yield found(
            "result-dropped",
            WARNING,
            call,
            what=f"{source.words(call)[:80]} stands on a line of its own.",
            why=why,
            fix=fix,
        )


def _said(source: Source, call: ast.Call) -> tuple[str, str] | None:
    """Return why a dropped result is missed, and what to write; None where nothing is."""
    name, owner, words = name_of(call), owner_of(call), source.words(call)[:100]
    kept = f"{source.words(owner)} = {words}"
    if name in _CONTEXTS and isinstance(call.func, ast.Attribute):
        return "It takes effect in a with statement alone.", f"with {words}: ..."
    if name in _OF_MODULES.get(last_name(owner), ()) or (
        name in _FUNCTIONS and isinstance(call.func, ast.Name)
    ):
        first = source.words(call.args[0])[:60] if call.args else "result"
        return "It returns something new, and changes nothing.", f"{first} = {words}"
    if not isinstance(call.func, ast.Attribute):
        return None
    if name in _OF_TENSORS and _is_inside(source, call):
        return "It returns a new tensor, and leaves this one as it was.", kept
    if name in _PLACES and _is_a_tensor(source, owner):
        return "A tensor's .to returns a new tensor, and leaves this one where it was.", kept
    if name in _OF_TEXTS and _is_inside(source, call) and _is_a_text(source, owner):
        return "It returns a new text, and leaves this one as it was.", kept
    if name == "merge_and_unload" and _is_saved(source, owner):
        return "It returns the merged model; this one is saved as an adapter.", kept
    return None


def _is_inside(source: Source, call: ast.Call) -> bool:
    """Tell whether a call is in a function or a loop: at a cell's end its result is shown."""
    loops = any(isinstance(one, ast.For | ast.While) for one in source.above(call))
    return loops or source.scopes[call] is not source.module


def _is_a_tensor(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a tokenizer's tensor, not the dictionary around it."""
    if isinstance(node, ast.Attribute) and node.attr in ("input_ids", "attention_mask"):
        return True
    if isinstance(node, ast.Subscript) and source.constants(node.slice) in (
        ["input_ids"],
        ["attention_mask"],
    ):
        return True
    value = source.value(node)
    if value is not node:
        return _is_a_tensor(source, value)
    encodes = isinstance(value, ast.Call) and name_of(value) == "encode"
    return encodes and keyword(value, "return_tensors") is not None


def _is_a_text(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a text that was decoded, or named as one."""
    value = source.value(node)
    if isinstance(value, ast.Call) and name_of(value) in ("decode", "batch_decode"):
        return True
    return last_name(node) in ("text", "answer", "response", "output_text", "generated_text")


def _is_saved(source: Source, node: ast.AST) -> bool:
    """Tell whether what is called is saved later under the same name."""
    return any(
        name_of(one) in _SAVES
        and one.lineno > node.lineno
        and ast.unparse(owner_of(one)) == ast.unparse(node)
        for one in source.calls
    )

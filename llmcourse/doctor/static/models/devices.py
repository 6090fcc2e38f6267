"""Where things are, and when they are done: inputs left on the processor, clocks read too early."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed
from llmcourse.doctor.static.reading.loads import is_load_of_a_model
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

_MOVES = ("to", "cuda")
_WAITS = re.compile(r"synchronize|cuda\.Event|\.item\(|\.cpu\(|\.tolist\(|\.numpy\(|decode\(")
_CLOCKS = ("time", "perf_counter", "monotonic", "process_time")


@in_the_source(
    "inputs-on-another-device",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`RuntimeError: Expected all tensors to be on the same device, cuda:0 and cpu`.",
    cause="""
        The model was moved to the graphics card. A tokenizer makes its tensors on the processor,
        and they stay there until somebody moves them.
    """,
    fix="Move the inputs to the model's device.",
    example='inputs = tokenizer(text, return_tensors="pt").to(model.device)',
    how_sure="Likely: only the source was read, where the model is moved and the inputs are not.",
)
def inputs_on_another_device(source: Source) -> Iterator[Finding]:
    """The model is moved to another device, and what it reads is not."""
    if re.search(r"device_map|set_default_device|accelerator|dispatch_model", source.text):
        return
    for call in source.calls:
        generates = source.is_generate(call)
        if not generates and not source.is_forward(call):
            continue
        model = owner_of(call) if generates else call.func
        move = _moved(source, model, call)
        inputs = next((one for one in _read(call) if _is_left(source, one)), None)
        if move is None or inputs is None:
            move, inputs = _the_only_move(source, model), next(iter(_read(call)), None)
            move = move if isinstance(inputs, ast.Name) else None
        if move is None:
            continue
        words = source.words(inputs)
        yield found(
            "inputs-on-another-device",
            ERROR,
            call,
            what=f"{source.words(move)[-60:]} moves the model, and {words} stays on the CPU, "
            "another device.",
            why="The embedding looks ids of the CPU up on another device: a RuntimeError.",
            fix=f"{words} = {words}.to({source.words(model)}.device)",
        )
        return


def _read(call: ast.Call) -> list[ast.AST]:
    """Return what a call reads: what is unpacked in it, and its ids."""
    given = [each.value for each in call.keywords if each.arg in (None, "input_ids", "inputs")]
    return [*call.args[:1], *given]


def _moved(source: Source, model: ast.AST, call: ast.Call) -> ast.Call | None:
    """Return where a model is moved to a device above a call, or None."""
    value = followed(source, model)
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if _goes_elsewhere(source, value):
            return value
        if name_of(value) in ("from_pretrained", "load"):
            break
        value = followed(source, value.func.value)
    for one in source.calls:
        above = isinstance(one.func, ast.Attribute) and one.lineno <= call.lineno
        same = above and ast.unparse(one.func.value) == ast.unparse(model)
        if same and _goes_elsewhere(source, one):
            return one
    return None


def _the_only_move(source: Source, model: ast.AST) -> ast.Call | None:
    """Return where a model is moved, if nothing else is moved anywhere in a source, in no way."""
    if re.search(r"Trainer|pipeline\(|DataLoader|device=|(?<!torch)\.device\b", source.text):
        return None
    moves = [
        one for one in source.calls if name_of(one) in _MOVES and owner_of(one) is not one.func
    ]
    elsewhere = [one for one in moves if _goes_elsewhere(source, one)]
    same = all(last_name(owner_of(one)) == last_name(model) for one in moves)
    encodes = re.search(r"return_tensors=|torch\.tensor\(", source.text)
    return elsewhere[0] if elsewhere and same and encodes and last_name(model) else None


def _goes_elsewhere(source: Source, call: ast.Call) -> bool:
    """Tell whether a call moves something to a graphics card, or to a device that is chosen."""
    if name_of(call) == "cuda":
        return True
    if name_of(call) != "to" or not call.args:
        return False
    to = source.value(call.args[0])
    if isinstance(to, ast.Constant):
        return isinstance(to.value, str) and to.value.startswith(("cuda", "mps", "xpu"))
    return bool(re.search(r"cuda|mps", ast.unparse(to)))


def _is_left(source: Source, node: ast.AST, depth: int = 8) -> bool:
    """Tell whether an expression is what a tokenizer made, and nothing moved it."""
    if not depth:  # a name that is made of itself
        return False
    if isinstance(node, ast.Subscript | ast.Attribute):
        fields = ("'input_ids'", "input_ids")
        field = node.attr if isinstance(node, ast.Attribute) else ast.unparse(node.slice)
        return field in fields and _is_left(source, node.value, depth - 1)
    made = followed(source, node)
    if isinstance(made, ast.Subscript | ast.Attribute) and made is not node:
        return _is_left(source, made, depth - 1) and not _is_moved(source, node)
    encodes = name_of(made) == "encode"
    tokenizes = isinstance(made, ast.Call) and (
        source.is_tokenizer(made.func) or (encodes and source.is_tokenizer(owner_of(made)))
    )
    if not tokenizes or keyword(made, "return_tensors") is None:
        return False
    return not _is_moved(source, node)


def _is_moved(source: Source, node: ast.AST) -> bool:
    """Tell whether a name, or a part of it, is moved anywhere in the source."""
    name = last_name(node)
    return any(
        name_of(one) in _MOVES and name in {last_name(part) for part in ast.walk(one.func)}
        for one in source.calls
        if isinstance(one.func, ast.Attribute)
    )


@in_the_source(
    "timed-before-done",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Forward passes that take next to no time, whatever the size of the model.",
    cause="""
        Work on a graphics card is only queued when a call returns. A clock that is read then
        measures how long the queueing took.
    """,
    fix="Wait for the device before the clock is read.",
    example="""
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    """,
    how_sure="Likely: only the source was read, where nothing between the two readings waits.",
)
def timed_before_done(source: Source) -> Iterator[Finding]:
    """A clock around forward passes on a graphics card, and nothing that waits."""
    if "cuda" not in source.text or re.search(r"synchronize|cuda\.Event", source.text):
        return
    for node in list(source.scopes):
        begun = _begun(source, node)
        if begun is None:
            continue
        timed = [
            one
            for one in source.scopes[node].nodes
            if isinstance(one, ast.stmt) and begun.lineno < one.lineno < node.lineno
        ]
        passes = [part for one in timed for part in ast.walk(one) if source.is_forward(part)]
        waits = any(_WAITS.search(ast.unparse(one)) for one in timed)
        if not passes or waits:
            continue
        yield found(
            "timed-before-done",
            WARNING,
            node,
            what=f"{source.words(node)} is read before the forward passes on the GPU are done.",
            why="They are queued, not finished, when the call returns: the time is too short.",
            fix="torch.cuda.synchronize()  # before each reading of the clock",
        )
        return


def _begun(source: Source, node: ast.AST) -> ast.Assign | None:
    """Return where the clock was read first, of a difference of two readings; None for others."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
        return None
    ends = followed(source, node.left)
    if name_of(ends) not in _CLOCKS:
        return None
    if not isinstance(node.right, ast.Name):
        return None
    for one in source.scopes[node].nodes:
        given = isinstance(one, ast.Assign) and last_name(one.targets[0]) == node.right.id
        if given and name_of(one.value) in _CLOCKS:
            return one
    return None


@in_the_source(
    "placed-twice",
    subject=Subject.MODEL,
    severities=(ERROR, NOTE),
    symptom="`RuntimeError: You can't move a model ...`, or memory runs out on one device.",
    cause="""
        `device_map` has laid the layers out over the devices there are. `.to(device)` after it asks
        for all of them on one.
    """,
    fix="Choose one of them.",
    example='model = AutoModelForCausalLM.from_pretrained(name, device_map="auto")',
    how_sure="""
        Likely: only the source was read. A note: with one device that holds all, nothing happens.
        An error where a pipeline is asked to move such a model, which it refuses.
    """,
)
def placed_twice(source: Source) -> Iterator[Finding]:
    """A model that was laid out over devices is moved to one."""
    yield from _moved_by_a_pipeline(source)
    for call in source.calls:
        moves = name_of(call) == "cuda" or (name_of(call) == "to" and _to_a_device(call))
        if not moves or not isinstance(call.func, ast.Attribute):
            continue
        loads = [one for one in source.values(owner_of(call)) if isinstance(one, ast.Call)]
        mapped = [one for one in loads if is_load_of_a_model(one) and _is_laid_out(source, one)]
        if mapped:
            yield found(
                "placed-twice",
                NOTE,
                call,
                what=f"{source.words(call)[:80]} moves a model that device_map has placed.",
                why="Where it is spread over devices, moving it is refused or undoes that.",
                fix=f"{source.words(mapped[0])[:120]}  # without .{name_of(call)}(...)",
            )


def _moved_by_a_pipeline(source: Source) -> Iterator[Finding]:
    """Yield `pipeline(..., device=...)` for a model that was laid out."""
    for call in source.calls:
        given = keyword(call, "model") or (call.args[1] if len(call.args) > 1 else None)
        device = keyword(call, "device") if name_of(call) == "pipeline" else None
        load = source.placed(given) if device is not None and given is not None else None
        laid_out = isinstance(load, ast.Call) and is_load_of_a_model(load)
        if not laid_out or not _is_laid_out(source, load):
            continue
        yield found(
            "placed-twice",
            ERROR,
            call,
            what=f"The pipeline gets device={source.words(device)}, and a model that device_map "
            "has placed.",
            why="accelerate has laid its layers out: the pipeline may not move them, and refuses.",
            fix=f"{source.words(call.func)}(..., model={source.words(given)})  # without device=",
        )


def _to_a_device(call: ast.Call) -> bool:
    given = [*call.args, *(each.value for each in call.keywords if each.arg == "device")]
    return any("float" not in ast.unparse(one) and "half" not in ast.unparse(one) for one in given)


def _is_laid_out(source: Source, load: ast.Call) -> bool:
    value = keyword(load, "device_map")
    return value is not None and source.constants(value) in (["auto"], ["balanced"], ["sequential"])

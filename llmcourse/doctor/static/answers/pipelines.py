"""Pipelines as they are made and read: lists in lists, chats as texts, arguments too late."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.loads import is_load_of_a_model
from llmcourse.doctor.static.reading.messages import role_of
from llmcourse.doctor.static.reading.pipelines import OF_TEXTS, PARSES, generated_texts
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_string, keyword, last_name, name_of
from llmcourse.doctor.subject import Subject

ONE, MANY = "one", "many"
_OF_A_LOAD = ("torch_dtype", "dtype", "revision", "trust_remote_code")
_MESSAGES = re.compile(r"^(messages|chats?|conversation|dialogue?|history)$")


@in_the_source(
    "pipeline-lists-in-lists",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`TypeError: list indices must be integers or slices, not str`, or `KeyError: 0`.",
    cause="""
        For one prompt a text-generation pipeline returns a list of its answers. For a list of
        prompts it returns such a list for each: `[[{"generated_text": ...}], ...]`.
    """,
    fix="Take the first answer of each prompt.",
    example="""
        for prompt, answers in zip(prompts, pipe(prompts)):
            print(answers[0]["generated_text"])
    """,
    how_sure="""
        Certain where the script ended in an error about such a list. Likely where only the source
        was read, where it is seen what goes in.
    """,
)
def pipeline_lists_in_lists(source: Source) -> Iterator[Finding]:
    """A batch's results are read as one prompt's, or the other way round."""
    for node, call in generated_texts(source):
        given = _how_many(source, call)
        wanted = {ONE: 1, MANY: 2}.get(given)
        if wanted is None or not _is_text_generation(source, call):
            continue
        depth = _depth(source, node, call)
        if depth == wanted:
            continue
        yield found(
            "pipeline-lists-in-lists",
            ERROR,
            node,
            what=f"{source.words(node)} reads the pipeline's result as if it got "
            + ("one prompt." if given == MANY else "several prompts."),
            why="Given a list of prompts a pipeline returns a list of answers for each; here it "
            f"got {'a list' if given == MANY else 'one'}.",
            fix='for answers in pipe(prompts): answers[0]["generated_text"]'
            if given == MANY
            else 'pipe(prompt)[0]["generated_text"]',
        )


def _how_many(source: Source, call: ast.Call) -> str | None:
    """Return whether a call of a pipeline gets one prompt or several; None where it is not seen."""
    value = source.value(call.args[0]) if call.args else None
    if isinstance(value, ast.JoinedStr) or (is_string(value)):
        return ONE
    if isinstance(value, ast.ListComp):
        return None if role_of(source, value.elt) is not None else MANY
    if not isinstance(value, ast.List) or not value.elts:
        return None
    first = source.value(value.elts[0])
    if isinstance(first, ast.Dict):
        return ONE if role_of(source, first) is not None else None
    if isinstance(first, ast.List | ast.JoinedStr):
        return MANY
    text = is_string(first)
    return MANY if text else None


def _is_text_generation(source: Source, call: ast.Call) -> bool:
    made = source.pipeline(call.func)
    if made is None:
        return False
    task = made.args[0] if made.args else keyword(made, "task")
    return task is not None and source.constants(task) == ["text-generation"]


def _depth(source: Source, node: ast.Subscript, call: ast.Call) -> int:
    """Return how many lists are opened between a pipeline's result and its text."""
    depth, value = 0, source.value(node.value)
    while isinstance(value, ast.Subscript) and value is not call:
        depth, value = depth + 1, source.value(value.value)
    return depth


@in_the_source(
    "pipeline-without-tokenizer",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`Impossible to guess which tokenizer to use.`",
    cause="""
        A pipeline that gets a model's name loads its tokenizer too. Given a model that is loaded
        already, it does not know which tokenizer belongs to it.
    """,
    fix="Pass the tokenizer as well.",
    example='pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)',
    how_sure="Likely: only the source was read, where the model is loaded before.",
    explains_refusal=True,
)
def pipeline_without_tokenizer(source: Source) -> Iterator[Finding]:
    """A pipeline gets a loaded model, and no tokenizer."""
    for call, _ in _of_loaded_models(source):
        unpacked = any(each.arg is None for each in call.keywords)
        if unpacked or keyword(call, "tokenizer") is not None or len(call.args) > 2:
            continue
        yield found(
            "pipeline-without-tokenizer",
            ERROR,
            call,
            what="The pipeline gets a model that is loaded already, and no tokenizer.",
            why="It cannot know which tokenizer belongs to it, and is refused.",
            fix=f"{source.words(call.func)}(..., tokenizer=tokenizer)",
        )


def _of_loaded_models(source: Source) -> Iterator[tuple[ast.Call, ast.Call]]:
    """Yield each pipeline that is made with a model which the source has loaded, and the load."""
    for call in source.calls:
        given = keyword(call, "model") or (call.args[1] if len(call.args) > 1 else None)
        if name_of(call) != "pipeline" or given is None:
            continue
        load = source.placed(given)
        if isinstance(load, ast.Subscript) and name_of(load.value) == "load":
            load = load.value
        if isinstance(load, ast.Call) and (is_load_of_a_model(load) or name_of(load) == "load"):
            yield call, load


@in_the_source(
    "pipeline-loads-nothing",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="The model needs as much memory as before, whatever dtype the pipeline gets.",
    cause="""
        `dtype`, `model_kwargs` and the like are for the load. A pipeline that is given a loaded
        model loads nothing, and leaves them aside without a word.
    """,
    fix="Pass them where the model is loaded.",
    example="""
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.bfloat16)
        pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)
    """,
    how_sure="""
        Likely: only the source was read, where the model is loaded before, without the argument.
    """,
)
def pipeline_loads_nothing(source: Source) -> Iterator[Finding]:
    """Arguments of a load go to a pipeline whose model is loaded."""
    for call, load in _of_loaded_models(source):
        if any(each.arg is None for each in load.keywords) or name_of(load) == "load":
            continue
        known = {each.arg for each in load.keywords}
        known |= {"torch_dtype", "dtype"} if known & {"torch_dtype", "dtype"} else set()
        late = [each for each in call.keywords if each.arg in _OF_A_LOAD and each.arg not in known]
        late = [each for each in late if each.arg != "trust_remote_code"]
        if not late:
            continue
        said = f"{late[0].arg}={source.words(late[0].value)}"
        yield found(
            "pipeline-loads-nothing",
            WARNING,
            call,
            what=f"The pipeline gets {said}, and a model that is loaded already.",
            why="It loads nothing, and leaves that aside: the weights stay as they are.",
            fix=f"{source.words(load.func)}(..., {said})",
        )


@in_the_source(
    "batch-of-one",
    subject=Subject.BATCHES,
    severities=(NOTE,),
    symptom="A larger `batch_size` makes a pipeline no faster.",
    cause="""
        `batch_size` says how many of the prompts *of one call* go through the model together. A
        loop that calls the pipeline with one prompt at a time has batches of one.
    """,
    fix="Give the pipeline all prompts.",
    example="answers = pipe(prompts, batch_size=8)",
    how_sure="Likely: only the source was read, where a loop hands over its own variable.",
)
def batch_of_one(source: Source) -> Iterator[Finding]:
    """`batch_size` for a pipeline that is called with one prompt at a time."""
    for call in source.calls:
        made = source.pipeline(call.func)
        if made is None or not call.args:
            continue
        size = keyword(call, "batch_size") or keyword(made, "batch_size")
        loop = next((one for one in source.above(call) if isinstance(one, ast.For)), None)
        single = _how_many(source, call) == ONE or _is_target(loop, call.args[0])
        if size is None or source.constants(size) == [1] or loop is None or not single:
            continue
        yield found(
            "batch-of-one",
            NOTE,
            call,
            what=f"batch_size={source.words(size)}, and each turn of the loop asks for one prompt.",
            why="A batch is made of the prompts of one call: here it has one, and saves nothing.",
            fix=f"{source.words(call.func)}({source.words(loop.iter)}, "
            f"batch_size={source.words(size)})  # without the loop",
        )


def _is_target(loop: ast.For | None, node: ast.AST) -> bool:
    """Tell whether a node is a loop's own variable, and that of no loop over batches."""
    if loop is None or not isinstance(node, ast.Name) or not isinstance(loop.target, ast.Name):
        return False
    whole = isinstance(loop.iter, ast.Name | ast.List) and "batch" not in ast.unparse(loop.iter)
    return whole and node.id == loop.target.id and "batch" not in node.id


@in_the_source(
    "pipeline-chat-as-text",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="`AttributeError: 'list' object has no attribute 'strip'`, or a list in place of text.",
    cause="""
        A pipeline that is given messages gives messages back: `generated_text` is the whole chat, a
        list, with the answer as its last message.
    """,
    fix="Take the last message's content.",
    example='answer = pipe(messages)[0]["generated_text"][-1]["content"]',
    how_sure="Likely: only the source was read, where messages go in and text is taken out.",
)
def pipeline_chat_as_text(source: Source) -> Iterator[Finding]:
    """The chat that a pipeline returns is taken for a text."""
    for node, call in generated_texts(source):
        if not _gets_messages(source, call) or keyword(call, "return_full_text") is not None:
            continue
        if not any(_is_used_as_text(source, use) for use in source.uses(node)):
            continue
        yield found(
            "pipeline-chat-as-text",
            ERROR,
            node,
            what=f"{source.words(node)} is a list of messages, and is used as a text.",
            why="Given messages a pipeline returns the chat, with the answer as its last message.",
            fix=f'{source.words(node)}[-1]["content"]',
        )


def _is_used_as_text(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is used as only texts are, or becomes what a message says."""
    use = source.parents.get(node)
    if isinstance(use, ast.Attribute):
        return use.attr in OF_TEXTS
    if isinstance(use, ast.Call):
        return name_of(use) in PARSES and node in use.args
    if isinstance(use, ast.BinOp) and isinstance(use.op, ast.Add):
        other = use.right if use.left is node else use.left
        return any(isinstance(one, str) for one in source.constants(other))
    if isinstance(use, ast.Dict):
        pairs = zip(use.keys, use.values, strict=True)
        return any(
            value is node and source.constants(key) == ["content"]
            for key, value in pairs
            if key is not None
        )
    return False


def _gets_messages(source: Source, call: ast.Call) -> bool:
    """Tell whether a pipeline is given a chat: a list of messages, or a name that says so."""
    if not call.args:
        return False
    value = source.value(call.args[0])
    if isinstance(value, ast.List) and value.elts:
        first = source.value(value.elts[0])
        return isinstance(first, ast.Dict) and any(
            isinstance(key, ast.Constant) and key.value == "role" for key in first.keys
        )
    return bool(_MESSAGES.search(last_name(call.args[0])))

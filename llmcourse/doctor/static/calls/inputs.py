"""What goes into a call: ids by position or by name, caches beside them."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import Asked, every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, name_of, owner_of
from llmcourse.doctor.subject import Subject

_INPUTS = ("input_ids", "inputs", "inputs_embeds")
_GROWS = ("append", "extend", "insert", "cat")
_EMPTIES = ("crop", "reset", "deepcopy", "copy")


@in_the_source(
    "inputs-by-position",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`generate` fails, with an AttributeError about `shape` or a KeyError.",
    cause="""
        A tokenizer returns a dictionary of ids and mask, and so does `apply_chat_template` since
        version 5 of transformers. `generate` takes ids as its first argument, and a dictionary is
        none.
    """,
    fix="Unpack it, which passes the mask too.",
    example="model.generate(**inputs, max_new_tokens=100)",
    how_sure="Likely: only the source was read, where the name stands for a tokenizer's output.",
    explains_refusal=True,
)
def inputs_by_position(source: Source) -> Iterator[Finding]:
    """The tokenizer's output is the first argument."""
    for call in source.generate_calls:
        first = call.args[0] if call.args else None
        if first is None or not source.is_encoding(first):
            continue
        name = first.id if isinstance(first, ast.Name) else "inputs"
        yield found(
            "inputs-by-position",
            ERROR,
            call,
            what=f"{name} is a dictionary of ids and mask, and is passed as if it were ids.",
            why="generate fails: its first argument is a tensor.",
            fix=f"{source.words(call.func)}(**{name}, ...)",
        )


@in_the_source(
    "wrapper-takes-keywords",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`TypeError: generate() takes 1 positional argument but 2 were given`.",
    cause="""
        A class around a model hands on what it was given by name, `def generate(self, **kwargs)`,
        and takes nothing by position. Adapters' libraries had such wrappers too.
    """,
    fix="Give the ids by name.",
    example="wrapped.generate(input_ids=ids, attention_mask=mask, max_new_tokens=100)",
    how_sure="Likely: only the source was read, where the class and its `generate` stand.",
)
def wrapper_takes_keywords(source: Source) -> Iterator[Finding]:
    """Ids by position for a `generate` of one's own that takes keywords alone."""
    for call in source.calls:
        if name_of(call) != "generate" or not call.args:
            continue
        made = [name_of(one) for one in source.values(owner_of(call)) if isinstance(one, ast.Call)]
        name = made[-1] if made else ""
        if not _takes_keywords_alone(source, name):
            continue
        given = source.words(call.args[0])
        yield found(
            "wrapper-takes-keywords",
            ERROR,
            call,
            what=f"{given} is passed by position, and {name}.generate takes keywords alone.",
            why="The call fails with a TypeError before the model is asked.",
            fix=f"{source.words(call.func)}(input_ids={given}, ...)",
        )


def _takes_keywords_alone(source: Source, name: str) -> bool:
    """Tell whether the source has a class of this name whose `generate` takes no positions."""
    classes = (one for one in ast.walk(source.tree) if isinstance(one, ast.ClassDef))
    methods = (
        method
        for one in classes
        if one.name == name
        for method in one.body
        if isinstance(method, ast.FunctionDef) and method.name == "generate"
    )
    wanted = [method.args for method in methods]
    return bool(wanted) and all(
        one.vararg is None and len(one.posonlyargs) + len(one.args) == 1 for one in wanted
    )


@in_the_source(
    "cache-without-ids",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`generate` fails, or goes on from a begin token as if nothing had been said.",
    cause="""
        A cache holds keys and values, not ids. `generate` wants the ids of the whole text, those in
        the cache included, and reads the ones that the cache lacks.
    """,
    fix="Pass the ids of the whole text with the cache.",
    example="model.generate(made.sequences, past_key_values=made.past_key_values)",
    how_sure="Likely: only the source was read, where the call gets a cache and nothing to read.",
)
def cache_without_ids(source: Source) -> Iterator[Finding]:
    """A cache, and no ids."""
    for asked in every_asked(source):
        unpacked = any(each.arg is None for each in asked.call.keywords)
        if asked.kind != "generate" or asked.call.args or unpacked:
            continue
        if "past_key_values" not in asked.given or set(_INPUTS) & set(asked.given):
            continue
        cache = source.words(asked.given["past_key_values"])
        yield found(
            "cache-without-ids",
            ERROR,
            asked.call,
            what=f"past_key_values={cache} is given, and no input_ids.",
            why="generate needs the ids of the whole text, those in the cache included.",
            fix=f"{asked.words}(ids, past_key_values={cache})",
        )


@in_the_source(
    "cache-already-filled",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a loop hands in the same cache, and its text does not
        grow from turn to turn.
    """,
)
def cache_already_filled(source: Source) -> Iterator[Finding]:
    """One cache for several texts in a loop."""
    for asked in every_asked(source):
        cache = asked.given.get("past_key_values")
        loops = [one for one in source.above(asked.call) if isinstance(one, ast.For)]
        if not loops or not isinstance(cache, ast.Name):
            continue
        inside = [node for statement in loops[0].body for node in ast.walk(statement)]
        if _is_renewed(cache.id, inside) or _grows(source, asked, inside):
            continue
        yield found(
            "cache-already-filled",
            WARNING,
            asked.call,
            what=f"The loop hands in {cache.id} again, which already holds the turn before.",
            why="generate writes into the cache; another text is read as going on from that one.",
            fix=f"{asked.words}(..., past_key_values=copy.deepcopy({cache.id}))",
        )


def _is_renewed(cache: str, inside: list[ast.AST]) -> bool:
    """Tell whether a loop makes a cache anew, crops it, or copies it."""
    for node in inside:
        if isinstance(node, ast.Name) and node.id == cache and not isinstance(node.ctx, ast.Load):
            return True
        if name_of(node) in _EMPTIES and cache in ast.unparse(node):
            return True
    return False


def _grows(source: Source, asked: Asked, inside: list[ast.AST]) -> bool:
    """Tell whether what is read in a turn goes on from the turn before: a chat, or ids."""
    read = {node.id for node in ast.walk(asked.call) if isinstance(node, ast.Name)}
    for _ in range(3):  # inputs, of the text, of the messages
        made = [node for node in inside if isinstance(node, ast.Assign)]
        made = [one for one in made if read & _names(one.targets)]
        read |= {name for one in made for name in _names([one.value])}
    for node in inside:
        if isinstance(node, ast.AugAssign) and read & _names([node.target]):
            return True
        if isinstance(node, ast.Assign) and read & _names(node.targets) & _names([node.value]):
            return True
        grows = name_of(node) in _GROWS
        if grows and read & _names([owner_of(node)]):
            return True
    return False


def _names(nodes: list[ast.AST]) -> set[str]:
    return {one.id for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name)}

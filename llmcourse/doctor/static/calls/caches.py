"""Caches that are handed to `generate`: without ids, or filled by another text."""

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
        if isinstance(node, ast.Call) and name_of(node) in _EMPTIES and cache in ast.unparse(node):
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
        grows = isinstance(node, ast.Call) and name_of(node) in _GROWS
        if grows and read & _names([owner_of(node)]):
            return True
    return False


def _names(nodes: list[ast.AST]) -> set[str]:
    return {one.id for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name)}

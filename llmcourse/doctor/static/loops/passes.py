"""What each pass of a loop is given, and what is kept of it: masks, caches, graphs."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    ids_of,
    is_false,
    is_none,
    keyword,
    last_name,
    name_of,
)
from llmcourse.doctor.static.reading.tokens import is_chosen

_NO_GRAPH = ("no_grad", "inference_mode", "set_grad_enabled", "requires_grad_", "enable_grad")
_TRAINS = ("backward", "train", "Trainer", "SFTTrainer", "grad")
# Calls that leave a tensor's graph behind.
_LEAVES = ("detach", "item", "tolist", "argmax", "numpy", "decode", "float", "int", "multinomial")


@dataclass(frozen=True, eq=False)
class Step:
    """A forward pass in a loop."""

    loop: ast.For | ast.While
    call: ast.Call  # of the model
    ids: ast.AST  # what it reads
    assigned: dict[str, list[ast.AST]]  # what the loop gives new values, by name

    def grows(self, name: str) -> bool:
        """Tell whether the loop appends to a name: `ids = torch.cat([ids, token])`."""
        for value in self.assigned.get(name, ()):
            for part in ast.walk(value):
                if name_of(part) in ("cat", "concat", "hstack"):
                    return any(last_name(each) == name for each in ast.walk(part))
        return False


def steps(source: Source) -> Iterator[Step]:
    """Yield the forward passes that a loop makes one after another, on what it has made."""
    for loop in source.loops:
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        for call in inside:
            if not source.is_forward(call) or _innermost(source, call) is not loop:
                continue
            ids = ids_of(call)
            if ids is not None and not isinstance(ids, ast.Starred):
                yield Step(loop, call, ids, _assigned(inside))


def _innermost(source: Source, node: ast.AST) -> ast.AST | None:
    loops = (above for above in source.above(node) if isinstance(above, ast.For | ast.While))
    return next(loops, None)


def _assigned(nodes: list[ast.AST]) -> dict[str, list[ast.AST]]:
    found: dict[str, list[ast.AST]] = {}
    for node in nodes:
        for target in node.targets if isinstance(node, ast.Assign) else ():
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple):
                values = getattr(node.value, "elts", [node.value] * len(target.elts))
                pairs = list(zip(target.elts, values, strict=False))
            for one, value in pairs:
                found.setdefault(ast.unparse(one), []).append(value)
        if isinstance(node, ast.AugAssign | ast.AnnAssign) and node.value is not None:
            found.setdefault(ast.unparse(node.target), []).append(node.value)
    return found


@in_the_source(
    "mask-does-not-grow",
    severities=(ERROR,),
    how_sure="""
        Likely where only the source was read: the ids grow in a loop, and the mask does not, or a
        cache goes in with a mask of the new tokens alone.
    """,
)
def mask_does_not_grow(source: Source) -> Iterator[Finding]:
    """Ids are appended, and the mask stays as long as the prompt, or is of the new ids alone."""
    yield from _mask_of_the_prompt(source)
    yield from _mask_of_the_new_part(source)
    yield from _mask_in_a_dictionary(source)


def _mask_of_the_prompt(source: Source) -> Iterator[Finding]:
    for step in steps(source):
        mask = keyword(step.call, "attention_mask")
        grown = [last_name(node) for node in ast.walk(step.ids) if isinstance(node, ast.Name)]
        grown = [name for name in grown if step.grows(name)]
        if mask is None or not grown or not _stays(source, step, mask):
            continue
        words, ids = source.words(mask), grown[0]
        yield found(
            "mask-does-not-grow",
            ERROR,
            step.call,
            what=f"The loop appends to {ids}, and attention_mask={words} stays as it is.",
            why="New tokens lie beyond the mask, so the model does not attend to them.",
            fix=f"{words} = torch.cat([{words}, {words}.new_ones(len({words}), 1)], dim=1)",
        )


def _mask_of_the_new_part(source: Source) -> Iterator[Finding]:
    """Yield where a filled cache goes in with a mask that leaves out what is in the cache."""
    made_in_loops = {step.call: step.assigned for step in steps(source)}
    for call in source.calls:
        past, mask = keyword(call, "past_key_values"), keyword(call, "attention_mask")
        if past is None or not source.is_forward(call):
            continue
        filled = isinstance(source.value(past), ast.Attribute)  # out.past_key_values
        assigned = made_in_loops.get(call, {}).get(ast.unparse(mask), []) if mask else []
        new = any(_is_ones(value) for value in assigned)
        if mask is not None and filled:
            new |= source.is_encoding(getattr(mask, "value", mask)) or _is_ones(source.value(mask))
        unpacked = [each.value for each in call.keywords if each.arg is None]
        new |= mask is None and filled and any(source.is_encoding(each) for each in unpacked)
        if not new:
            continue
        words = source.words(mask) if mask is not None else "the tokenizer's attention_mask"
        yield found(
            "mask-does-not-grow",
            ERROR,
            call,
            what=f"{words} covers the new tokens alone, and a cache goes in with them.",
            why="The mask counts from the cache's first token, so the new ones lie beyond it.",
            fix="mask = torch.cat([past_mask, new_mask], dim=1)  # the cache's tokens and the new",
        )


def _mask_in_a_dictionary(source: Source) -> Iterator[Finding]:
    """Yield where `inputs["input_ids"]` grows in a loop, and its mask does not."""
    for loop in source.loops:
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        entries = [node for node in inside if _grows_an_entry(node)]
        for call in (one for one in inside if isinstance(one, ast.Call)):
            given = [each.value for each in call.keywords if each.arg is None]
            for node in entries:
                inputs = node.targets[0].value
                same = ast.unparse(inputs) in [ast.unparse(one) for one in given]
                if not same or not source.is_forward(call) or "attention_mask" in ast.unparse(loop):
                    continue
                words = source.words(inputs)
                yield found(
                    "mask-does-not-grow",
                    ERROR,
                    call,
                    what=f'The loop appends to {words}["input_ids"], and its attention_mask stays '
                    "as it is.",
                    why="New tokens lie beyond the mask, so the model does not attend to them.",
                    fix=f'{words}["attention_mask"] = torch.cat([mask, torch.ones_like(token)], 1)',
                )
                return


def _grows_an_entry(node: ast.AST) -> bool:
    """Tell whether a statement appends to `inputs["input_ids"]`."""
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    if not isinstance(target, ast.Subscript) or ast.unparse(target.slice) != "'input_ids'":
        return False
    joins = ("cat", "concat", "hstack")
    return any(isinstance(one, ast.Call) and name_of(one) in joins for one in ast.walk(node.value))


def _is_ones(value: ast.AST) -> bool:
    return name_of(value) in ("ones_like", "ones")


def _stays(source: Source, step: Step, mask: ast.AST) -> bool:
    """Tell whether the mask is a name, or a part of one, that the loop leaves as it is."""
    if not isinstance(mask, ast.Name | ast.Attribute | ast.Subscript):
        return False
    parts = {ast.unparse(node) for node in ast.walk(mask)}
    return not parts & step.assigned.keys()


@in_the_source(
    "cache-not-fed-back",
    severities=(ERROR,),
    how_sure="Likely where only the source was read: the call has no `past_key_values`.",
)
def cache_not_fed_back(source: Source) -> Iterator[Finding]:
    """The last token alone is fed, without a cache."""
    if _CACHE_INSIDE.search(source.text):
        return
    for step in steps(source):
        unpacked = any(each.arg is None for each in step.call.keywords)
        cached = [each.value for each in step.call.keywords if each.arg in _CACHES]
        cached = [one for one in cached if not _is_none_throughout(source, step, one)]
        if unpacked or cached or len(step.call.args) > 1 or not _is_last_token(source, step):
            continue
        words = source.words(step.call.func)
        yield found(
            "cache-not-fed-back",
            ERROR,
            step.call,
            what=f"{source.words(step.ids)} is the last token alone, and no cache is passed.",
            why="The model sees one token and nothing of the text before it.",
            fix=f"{words}({source.words(step.ids)}, past_key_values=cache, use_cache=True)",
        )


def _is_none_throughout(source: Source, step: Step, past: ast.AST) -> bool:
    """Tell whether a cache is None before the loop, and the loop gives its name nothing."""
    value = source.value(past) if isinstance(past, ast.Name) else past
    stays = not isinstance(past, ast.Name) or past.id not in step.assigned
    return stays and is_none(value)


_CACHES = ("past_key_values", "past", "cache_params", "state", "past_states", "cache", "kv_cache")


# A model of one's own that keeps its cache itself.
_CACHE_INSIDE = re.compile(
    r"reset_(kv_)?cache|self\.(kv_cache|cache_k|cache)\b|start_pos|input_pos"
)


def _is_last_token(source: Source, step: Step) -> bool:
    """Tell whether what a step reads is `ids[:, -1:]`, or the token that it has chosen."""
    if isinstance(step.ids, ast.IfExp):  # ids[:, -1:] if step else ids
        return any(_is_slice_of_last(one) for one in (step.ids.body, step.ids.orelse))
    if isinstance(step.ids, ast.Subscript) and isinstance(step.ids.slice, ast.Tuple):
        return _is_slice_of_last(step.ids)
    if not isinstance(step.ids, ast.Name) or step.grows(step.ids.id):
        return False
    values = step.assigned.get(step.ids.id, [])
    return bool(values) and all(_is_token(source, value) for value in values)


def _is_slice_of_last(node: ast.AST) -> bool:
    """Tell whether an expression is `ids[:, -1:]`."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
        return False
    return ast.unparse(node.slice).strip("()").replace(" ", "") in (":,-1:", "...,-1:")


def _is_token(source: Source, value: ast.AST) -> bool:
    """Tell whether a value is a token that was chosen: `token`, `token[:, None]`, `argmax(...)`."""
    calls = [name_of(each) for each in ast.walk(value) if isinstance(each, ast.Call)]
    if {"cat", "concat", "hstack", "append"} & set(calls):
        return False
    names = [
        each for each in ast.walk(value) if isinstance(each, ast.Name) and each in source.scopes
    ]
    return {"argmax", "multinomial"} & set(calls) != set() or any(
        is_chosen(source, name) for name in names
    )


@in_the_source(
    "no-cache",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read. A note where a loop written by hand feeds all of the
        text, as one may do to keep a loop short.
    """,
)
def no_cache(source: Source) -> Iterator[Finding]:
    """The whole text goes in at each step, or a call says `use_cache=False`."""
    for asked in every_asked(source):
        if is_false(asked.given.get("use_cache")):
            yield found(
                "no-cache",
                WARNING,
                asked.call,
                what="The call says use_cache=False: each new token reads the whole text again.",
                why="The text is the same without the cache, and takes many times longer.",
                fix=f"{asked.words}(..., use_cache=True)",
            )
    for step in steps(source):
        off = is_false(keyword(step.call, "use_cache"))
        if not off or not isinstance(step.ids, ast.Name) or not step.grows(step.ids.id):
            continue
        ids = step.ids.id
        yield found(
            "no-cache",
            NOTE,
            step.call,
            what=f"The loop feeds all of {ids} at each step, without a cache.",
            why="Each token takes longer than the last; a cache keeps what was read before.",
            fix=f"{source.words(step.call.func)}({ids}[:, -1:], past_key_values=cache)",
        )


@in_the_source(
    "loop-without-no-grad",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where nothing trains and nothing switches gradients off.
    """,
)
def loop_without_no_grad(source: Source) -> Iterator[Finding]:
    """A loop of forward passes keeps its outputs, with their graphs."""
    if _switches_gradients(source):
        return
    for call in source.calls:
        loops = [one for one in source.above(call) if isinstance(one, ast.For | ast.While)]
        if not loops or not source.is_forward(call) or keyword(call, "labels") is not None:
            continue
        if isinstance(source.parents.get(source.scopes[call].node), ast.ClassDef):
            continue  # a method: whoever calls it may switch gradients off
        inside = [node for statement in loops[0].body for node in ast.walk(statement)]
        kept = _kept(source, call, inside)
        if kept is None:
            continue
        yield found(
            "loop-without-no-grad",
            WARNING,
            call,
            what=f"{source.words(kept)} keeps a forward pass's graph in each turn of the loop.",
            why="What a backward pass would need stays in memory: torch.no_grad() leaves it out.",
            fix=f"with torch.inference_mode(): {source.words(call.func)}(...)",
        )


def _switches_gradients(source: Source) -> bool:
    """Tell whether the source trains, or names anything that switches gradients off."""
    named = {last_name(node) for node in source.scopes}
    return bool(named & {*_NO_GRAPH, *_TRAINS})


def _kept(source: Source, call: ast.Call, inside: list[ast.AST]) -> ast.AST | None:
    """Return what keeps a pass's output beyond its turn of the loop, or None."""
    for node in inside:
        appends = name_of(node) == "append" and node.args
        if appends and _has_graph(source, node.args[0], call):
            return node
        if isinstance(node, ast.AugAssign) and _has_graph(source, node.value, call):
            return node
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            value = getattr(source.parents.get(node), "value", None)
            if value is not None and _has_graph(source, value, call):
                return source.parents[node]
    return None


def _has_graph(source: Source, node: ast.AST, call: ast.Call, depth: int = 4) -> bool:
    """Tell whether an expression is made of a pass's output, and still has its graph."""
    calls = [name_of(one) for one in ast.walk(node) if isinstance(one, ast.Call)]
    if set(calls) & set(_LEAVES):
        return False
    for part in ast.walk(node):
        if part is call:
            return True
        value = source.value(part) if isinstance(part, ast.Name) else part
        if value is not part and depth and _has_graph(source, value, call, depth - 1):
            return True
    return False

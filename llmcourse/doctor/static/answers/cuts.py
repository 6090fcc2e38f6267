"""Texts that are cut or put together as if they held more than they do."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.stopping.streams import generated_texts
from llmcourse.doctor.subject import Subject

_ITERATORS = ("TextIteratorStreamer", "AsyncTextIteratorStreamer")


@in_the_source(
    "prompt-cut-twice",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The beginning of each answer is missing, or all of a short one.",
    cause="""
        With `return_full_text=False` a pipeline returns only the new text. Cut by the prompt's
        length once more, it loses as many characters of the answer.
    """,
    fix="Take the text as it is.",
    example="""
        write = pipeline("text-generation", model=name, return_full_text=False)
        answer = write(prompt)[0]["generated_text"]
    """,
    how_sure="Likely: only the source was read, where the prompt is left out by name.",
)
def prompt_cut_twice(source: Source) -> Iterator[Finding]:
    """The prompt's length is cut off a text that is without the prompt."""
    for node, call in generated_texts(source):
        made = source.pipeline(call.func)
        told = [keyword(one, "return_full_text") for one in (call, made) if one is not None]
        said = [one for one in told if one is not None]
        if not said or not is_false(said[0]) or not call.args:
            continue
        for use in source.uses(node):
            cut = source.parents.get(use)
            if not _begins_at_length_of(source, cut, source.words(call.args[0])):
                continue
            prompt = source.words(call.args[0])
            yield found(
                "prompt-cut-twice",
                ERROR,
                cut,
                what=f"{source.words(cut)} cuts {prompt} off a text that is without it already.",
                why="return_full_text=False leaves the prompt out: the answer's beginning is lost.",
                fix=source.words(use),
            )


def _begins_at_length_of(source: Source, node: ast.AST | None, words: str) -> bool:
    """Tell whether a node is a slice `[len(x):]`, with x as it is written."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
        return False
    lower = node.slice.lower and source.value(node.slice.lower)
    return (
        node.slice.upper is None
        and isinstance(lower, ast.Call)
        and name_of(lower) == "len"
        and len(lower.args) == 1
        and ast.unparse(lower.args[0]) == words
    )


@in_the_source(
    "piece-cut-as-whole",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="A stream begins well, and then shows a letter here and there.",
    cause="""
        A streamer yields what is new. Where that is taken for the whole text so far, and cut by
        what was shown before, nearly all of each piece is thrown away.
    """,
    fix="Show each piece as it comes.",
    example="""
        for piece in streamer:
            print(piece, end="", flush=True)
    """,
    how_sure="Likely: only the source was read, where a piece is cut by a text that grows.",
)
def piece_cut_as_whole(source: Source) -> Iterator[Finding]:
    """A streamer's piece is cut by the length of all the text before it."""
    for loop in source.loops:
        if not isinstance(loop, ast.For) or not isinstance(loop.target, ast.Name):
            continue
        made = source.value(loop.iter)
        if not isinstance(made, ast.Call) or name_of(made) not in _ITERATORS:
            continue
        piece, grown = loop.target.id, _grown_in(loop)
        if len(source.scopes[loop].bound.get(piece, ())) != 1:
            continue
        for node in ast.walk(loop):
            by = next((name for name in grown if _begins_at_length_of(source, node, name)), None)
            if by is None or last_name(node.value) != piece:
                continue
            yield found(
                "piece-cut-as-whole",
                ERROR,
                node,
                what=f"{source.words(node)} takes a piece of the stream for the whole text so far.",
                why=f"A streamer yields only new text: cut by len({by}) nearly all of it is lost.",
                fix=piece,
            )
            break


def _grown_in(loop: ast.For) -> list[str]:
    """Return the names that a loop adds to, or gives another text each time."""
    added = [node.target for node in ast.walk(loop) if isinstance(node, ast.AugAssign)]
    given = [node.targets[0] for node in ast.walk(loop) if isinstance(node, ast.Assign)]
    return [one.id for one in (*added, *given) if isinstance(one, ast.Name)]


@in_the_source(
    "continuation-stripped",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Completed code lacks its first indentation and does not compile; or words run on.",
    cause="""
        The first token of a continuation has its own white space: a space before the next word, the
        indentation of a line. `strip()` takes it away, and the two texts no longer fit.
    """,
    fix="Leave the beginning alone; `rstrip()` takes what stands at the end.",
    example="completion = tokenizer.decode(new_ids, skip_special_tokens=True).rstrip()",
    how_sure="Likely: only the source was read, where nothing is put between the two.",
)
def continuation_stripped(source: Source) -> Iterator[Finding]:
    """A continuation loses its leading white space, and is put behind its prompt."""
    prompts = _encoded(source)
    for node in list(source.scopes):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
            continue
        prompt = last_name(node.left)
        stripped = source.value(node.right)
        if prompt not in prompts or not isinstance(stripped, ast.Call) or stripped.args:
            continue
        decoded = source.value(owner_of(stripped))
        if name_of(stripped) not in ("strip", "lstrip") or not source.is_decode(decoded):
            continue
        yield found(
            "continuation-stripped",
            WARNING,
            stripped,
            what=f"{name_of(stripped)}() takes the leading white space off what follows {prompt}.",
            why="Its indentation, or the space before its first word, is gone in the joined text.",
            fix=f"{source.words(owner_of(stripped))}.rstrip()"
            if isinstance(owner_of(stripped), ast.Name)
            else "tokenizer.decode(...).rstrip()",
        )
        return


def _encoded(source: Source) -> set[str]:
    """Return the names of texts that a tokenizer is given, and that no template has made."""
    given = [call.args[0] for call in source.calls if call.args and source.is_tokenizer(call.func)]
    return {
        one.id for one in given if isinstance(one, ast.Name) and not _is_rendered(source.value(one))
    }


def _is_rendered(value: ast.AST) -> bool:
    return isinstance(value, ast.Call) and name_of(value) == "apply_chat_template"


@in_the_source(
    "needed-token-skipped",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a special token is looked for in a text that a
        pipeline, or a decoding that skips special tokens, returned.
    """,
)
def needed_token_skipped(source: Source) -> Iterator[Finding]:
    """An end marker is looked for in a text without special tokens."""
    texts = [node for node, call in generated_texts(source) if not _keeps(source, call)]
    texts += [call for call in source.calls if source.is_decode(call) and _skips(call)]
    for text in texts:
        for use in source.uses(text):
            mark = _looked_for(source, use)
            if mark is None or _only_guards(source, use):
                continue
            yield found(
                "needed-token-skipped",
                WARNING,
                use,
                what=f"{mark} is looked for in a text that was decoded without special tokens.",
                why="Special tokens are skipped in decoding: it is never there.",
                fix="tokenizer.decode(new_ids, skip_special_tokens=False)  # or look at the ids",
            )
            return


def _only_guards(source: Source, use: ast.AST) -> bool:
    """Tell whether a text is asked about in an `if` without `else`, where no is as good as yes."""
    inner = use
    for above in source.above(use):
        if isinstance(above, ast.If):
            return inner is above.test and not above.orelse
        if isinstance(above, ast.stmt):
            return False
        inner = above
    return False


def _skips(call: ast.Call) -> bool:
    value = keyword(call, "skip_special_tokens")
    return isinstance(value, ast.Constant) and value.value is True


def _keeps(source: Source, call: ast.Call) -> bool:
    """Tell whether a pipeline may decode with special tokens, or return messages."""
    told = ("skip_special_tokens", "return_tensors", "tokenizer_encode_kwargs", "generate_kwargs")
    both = [one for one in (call, source.pipeline(call.func)) if one is not None]
    given = [each.arg for one in both for each in one.keywords]
    return any(name is None or name in told for name in given)


def _looked_for(source: Source, use: ast.AST) -> str | None:
    """Return the special token that a text is asked about: `.endswith(end)`, `end in text`."""
    above = source.parents.get(use)
    if isinstance(above, ast.Compare) and above.comparators == [use]:
        named = isinstance(above.ops[0], ast.In | ast.NotIn)
        return _special(source, above.left) if named else None
    if isinstance(above, ast.Attribute) and above.attr == "endswith":
        call = source.parents.get(above)
        if isinstance(call, ast.Call) and call.args:
            return _special(source, call.args[0])
    return None


def _special(source: Source, node: ast.AST) -> str | None:
    """Return an end marker as it is written; None for other texts."""
    if isinstance(node, ast.Attribute) and node.attr == "eos_token":
        return source.words(node)
    ends = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>", "<end_of_turn>", "<eos>")
    values = source.constants(node)
    return repr(values[0]) if len(values) == 1 and values[0] in ends else None

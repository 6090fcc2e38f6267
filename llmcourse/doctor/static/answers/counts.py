"""What is done with the output: counted, cut or decoded as if it were something else."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.answers.texts import prompt_length
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

# Names of what is meant to count new tokens, and of a time by which it is divided.
_NEW = re.compile(r"new|generated|completion|output|produced|tokens?_out|^counts?$", re.IGNORECASE)
_TIME = re.compile(r"time|elapsed|sec|dur|took|^dt$|^t\d?$|perf_counter|^s$", re.IGNORECASE)
_NEW_IN_WORDS = re.compile(r"new tokens|generated|tok(en)?s?\s?(/|per)\s?s", re.IGNORECASE)


@in_the_source(
    "counts-prompt",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="There are more new tokens than `max_new_tokens`; long prompts seem to be fast.",
    cause="A decoder-only model's `generate` returns prompt and new tokens in one row.",
    fix="Take the prompt's length away.",
    example='new_tokens = output.shape[1] - inputs["input_ids"].shape[1]',
    how_sure="""
        Likely: only the source was read; that new tokens are meant is inferred from the name that
        gets the number, from the words around it, or from a division by a time.
    """,
)
def counts_prompt(source: Source) -> Iterator[Finding]:
    """The whole row's length is taken for the number of new tokens."""
    for node in list(source.scopes):
        output = _counted(source, node)
        if output is None or not _taken_for_new(source, node):
            continue
        words = source.words(node)
        yield found(
            "counts-prompt",
            WARNING,
            node,
            what=f"{words} is taken for the number of new tokens, and counts the prompt's too.",
            why="The longer the prompt, the more it is off.",
            fix=f"{words} - {prompt_length(source, output)}",
        )


def _counted(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the output whose row is counted by `len(out[0])`, `out.shape[1]`, or None."""
    if isinstance(node, ast.Call) and last_name(node.func) == "len" and len(node.args) == 1:
        row = source.value(node.args[0])
        return row.value if source.is_output_row(row) else None
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
        shape, place = node.value, ast.unparse(node.slice)
        if shape.attr == "shape" and place in ("1", "-1") and source.is_output(shape.value):
            return shape.value
    return None


def _taken_for_new(source: Source, node: ast.AST) -> bool:
    """Tell whether a length is used as a number of new tokens, and nothing is taken away."""
    for above in source.above(node):
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Sub):
            return False
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Div):
            return _is_time(source, above.right)
        if isinstance(above, ast.Call) and name_of(above) in ("append", "extend"):
            return bool(_NEW.search(last_name(owner_of(above))))
        if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
            return _name_means_new(source, above.targets[0])
        if isinstance(above, ast.AugAssign):
            return isinstance(above.op, ast.Add) and bool(_NEW.search(last_name(above.target)))
        if isinstance(above, ast.JoinedStr):
            return bool(_NEW_IN_WORDS.search(_words_of(above)))
        if isinstance(above, ast.Subscript | ast.Compare | ast.stmt):
            return False
    return False


def _words_of(text: ast.JoinedStr) -> str:
    return " ".join(each.value for each in text.values if isinstance(each, ast.Constant))


def _name_means_new(source: Source, target: ast.Name) -> bool:
    """Tell whether a name's number is used as that of new tokens: it says so, or makes a rate."""
    uses = [
        node
        for node in source.scopes
        if isinstance(node, ast.Name)
        and node.id == target.id
        and isinstance(node.ctx, ast.Load)
        and source.scopes[node] is source.scopes[target]
    ]
    over = [source.parents[use] for use in uses if isinstance(source.parents[use], ast.BinOp)]
    if any(isinstance(each.op, ast.Sub) for each in over):
        return False
    rate = any(isinstance(each.op, ast.Div) and _is_time(source, each.right) for each in over)
    return rate or bool(_NEW.search(target.id))


def _is_time(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a time: a name that says so, or a difference of two."""
    return any(
        bool(_TIME.search(last_name(each)))
        for each in ast.walk(node)
        if isinstance(each, ast.Name | ast.Attribute)
    )


@in_the_source(
    "prompt-cut-by-characters",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="The answer misses its first characters, or begins with the prompt's last.",
    cause="""
        The decoded prompt is not the prompt: special tokens are skipped or added, a template frames
        it, and some tokenizers change spaces. So its characters are not where they were counted.
    """,
    fix="Cut tokens, then decode.",
    example="""
        new = output[0, inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True)
    """,
    how_sure="""
        Likely: only the source was read; a plain prompt that the tokenizer gives back as it was is
        cut at the right place.
    """,
)
def prompt_cut_by_characters(source: Source) -> Iterator[Finding]:
    """The decoded row is cut by the prompt's length in characters, or by its words."""
    for node in list(source.scopes):
        cut = _cut_text(source, node)
        if cut is None:
            continue
        decoded, prompt = cut
        output, row = _decoded_rows(source, decoded)
        length = prompt_length(source, output)
        more = ", skip_special_tokens=True" if keyword(decoded, "skip_special_tokens") else ""
        yield found(
            "prompt-cut-by-characters",
            WARNING,
            node,
            what=f"The prompt is cut off the decoded text by its characters: {prompt}.",
            why="The decoded prompt may differ from the prompt in special tokens and spaces.",
            fix=f"{source.words(decoded.func)}({source.words(output)}[{row}, {length}:]{more})",
        )


def _cut_text(source: Source, node: ast.AST) -> tuple[ast.Call, str] | None:
    """Return the call that decoded the text which is cut, and the words that cut it, or None."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        cutter, text = _measured(source, node.slice.lower), node.value
    elif isinstance(node, ast.Call) and name_of(node) == "sub" and len(node.args) == 3:
        cutter, text = _without_call(node.args[0], "escape"), node.args[2]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        by_words = node.func.attr in ("replace", "split", "removeprefix") and node.args
        cutter, text = (node.args[0] if by_words else None), node.func.value
    else:
        return None
    if not isinstance(cutter, ast.Name | ast.Attribute | ast.Subscript):
        return None
    decoded = _decoding_of(source, text)
    if decoded is None or _decoded_rows(source, decoded) is None:
        return None
    if source.is_decode(source.value(cutter)) or not _is_prompt(source, cutter):
        return None
    return decoded, source.words(node)


def _measured(source: Source, lower: ast.AST | None) -> ast.AST | None:
    """Return the text whose length a slice begins at, give or take some characters."""
    value = None if lower is None else source.value(lower)
    if isinstance(value, ast.BinOp) and isinstance(value.right, ast.Constant):
        value = source.value(value.left)
    if not isinstance(value, ast.Call) or last_name(value.func) != "len" or not value.args:
        return None
    return _without_call(value.args[0], "strip")


def _without_call(node: ast.AST, name: str) -> ast.AST:
    """Return what a call is about, `x` of `x.strip()` and `re.escape(x)`; else what was given."""
    if not isinstance(node, ast.Call) or name_of(node) != name:
        return node
    return node.args[0] if node.args else owner_of(node)


def _decoding_of(source: Source, text: ast.AST) -> ast.Call | None:
    """Return the call that decoded a text: one by itself, or one of a list of texts."""
    value = source.value(text)
    if source.is_decode(value):
        return value
    if not isinstance(value, ast.Subscript) or not isinstance(value.slice, ast.Constant):
        return None
    texts = source.value(value.value)
    texts = texts.elt if isinstance(texts, ast.ListComp) else texts
    return texts if isinstance(texts, ast.Call) and name_of(texts) in _DECODES else None


_DECODES = ("decode", "batch_decode")


def _decoded_rows(source: Source, decoded: ast.Call) -> tuple[ast.AST, str] | None:
    """Return the output of which whole rows are decoded, and which: "0", or ":" for all."""
    rows = decoded.args[0] if decoded.args else None
    if rows is not None and source.is_output(rows):
        return rows, ":"
    if rows is not None and source.is_output_row(rows):
        return source.value(rows).value, "0"
    return None


def _is_prompt(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is what the source gives to a tokenizer, or one of several."""
    given = [call.args[0] for call in source.calls if call.args and source.is_tokenizer(call.func)]
    parts = [part for one in given for part in ([one, *getattr(one, "elts", [])])]
    value = source.value(node)
    one_of = value.value if isinstance(value, ast.Subscript) else node
    words = {ast.unparse(node), ast.unparse(one_of)}
    said = "prompt" in ast.unparse(node).lower()
    return said or any(ast.unparse(part) in words for part in parts)

"""What is looked for in an answer: marks that are not in it, or stand in its prompt."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.answers import (
    Answer,
    answer_at,
    decoding,
    looked_for,
    prompt_of,
    without_prompt,
)
from llmcourse.doctor.static.reading.patterns import Search, searches
from llmcourse.doctor.static.reading.pipelines import generated_texts
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_string,
    is_true,
    keyword,
    name_of,
    owner_of,
)

Found = tuple[ast.AST, str, bool, Answer]  # where, what, whether the prompt has it, in what text
_OPENS = ("{", "[")  # what an example of JSON in the prompt begins with
# Marks that are special tokens wherever they are in use.
_SPECIAL = re.compile(
    r"<\|(im_start|im_end|start_header_id|end_header_id|eot_id|begin_of_text|endoftext)\|>"
    r"|<(start|end)_of_turn>|</?s>|<bos>|<eos>"
)
_SPLITS = ("split", "rsplit", "partition", "rpartition", "index", "find", "rfind", "rindex")
_ROLE = re.compile(r"^\s*(assistant|model|user|Assistant|bot)\s*$")


@in_the_source(
    "found-in-the-prompt",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely: only the source was read. A warning where the prompt is seen to hold what is looked
        for, a note where the prompt is not seen.
    """,
)
def found_in_the_prompt(source: Source) -> Iterator[Finding]:
    """The whole row is searched, and the prompt has what is looked for."""
    every = (*_labels(source), *_patterns(source), *_marks(source))
    for node, sought, held, text in every:
        yield found(
            "found-in-the-prompt",
            WARNING if held else NOTE,
            node,
            what=f"{source.words(node)[:80]} looks for {sought} in the whole text, "
            + ("and the prompt holds it." if held else "which begins with the prompt."),
            why="generate returns the prompt too: what it says is taken for the model's answer.",
            fix=without_prompt(source, text),
        )


def _whole(source: Source, text: ast.AST) -> Answer | None:
    """Return a text that begins with its prompt; None for others."""
    answer = answer_at(source, text)
    return answer if answer is not None and answer.has_prompt and not answer.many else None


def _labels(source: Source) -> Iterator[Found]:
    """Yield labels that are asked for with `in`, and whether the prompt holds them."""
    for node, labels, text in looked_for(source):
        asks = isinstance(node, ast.Compare) or name_of(node) == "count"
        if not asks or not text.has_prompt or text.many or not labels[0].strip():
            continue
        prompt = prompt_of(source, text)
        if prompt and labels[0].strip() == prompt.strip():  # asks whether the prompt is there
            continue
        held = any(label.lower() in prompt.lower() for label in labels)
        if held or (not prompt and labels[0].isalpha()):
            yield node, repr(labels[0]), held, text


def _patterns(source: Source) -> Iterator[Found]:
    """Yield patterns whose first finding is the prompt's."""
    for one in searches(source):
        text = _whole(source, one.text) if name_of(one.call) in ("search", "findall") else None
        if text is None or _takes_the_last(source, one.call):
            continue
        if _matches(one, prompt_of(source, text)):
            yield one.call, f"the pattern {one.pattern[:40]!r}", True, text


def _matches(search: Search, prompt: str) -> bool:
    try:
        return re.search(search.pattern, prompt[:4000]) is not None
    except re.error:
        return False


def _takes_the_last(source: Source, call: ast.Call) -> bool:
    """Tell whether all findings are used, or the last: `findall(...)[-1]`."""
    if name_of(call) != "findall":
        return False
    taken = [
        node.slice
        for node in source.scopes
        if isinstance(node, ast.Subscript) and source.value(node.value) is call
    ]
    return not any(isinstance(one, ast.Constant) and one.value == 0 for one in taken)


def _marks(source: Source) -> Iterator[Found]:
    """Yield marks that are cut at, and stand in the prompt more often than is counted with."""
    for node in list(source.scopes):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            place, call = _part_of_split(source, node)
        elif name_of(node) in ("find", "index"):
            place, call = _side_of(source, node), node
        else:
            continue
        marks = source.constants(call.args[0]) if call is not None and call.args else []
        mark = marks[0] if len(marks) == 1 and isinstance(marks[0], str) else ""
        text = _whole(source, owner_of(call)) if mark.strip() and place is not None else None
        if text is None or not text.is_decoded:
            continue
        count = prompt_of(source, text).count(mark)
        if count > (0 if mark in _OPENS else place):
            yield node, repr(mark), True, text


def _part_of_split(source: Source, node: ast.Subscript) -> tuple[int | None, ast.Call | None]:
    """Return which part of a split is taken, and the split."""
    call = source.value(node.value)
    places = source.constants(node.slice) if not isinstance(node.slice, ast.Slice) else []
    splits = name_of(call) in ("split", "partition")
    if not splits or not places or not isinstance(places[0], int) or places[0] < 0:
        return None, None
    once = name_of(call) == "partition" or len(call.args) > 1 or keyword(call, "maxsplit")
    return (min(places[0], 1) if once else places[0]), call


def _side_of(source: Source, call: ast.Call) -> int | None:
    """Return 0 where the text is cut before a mark that is found, 1 where it is cut behind it."""
    inner: ast.AST = call
    for above in source.above(call):
        if isinstance(above, ast.Slice):
            return 0 if above.upper is inner else 1
        if isinstance(above, ast.stmt):
            return None
        inner = above
    return None


@in_the_source(
    "split-by-a-mark",
    severities=(ERROR, WARNING),
    how_sure="""
        Likely: only the source was read. An error where the mark is a special token that decoding
        dropped, a warning where it is a role's name.
    """,
)
def split_by_a_mark(source: Source) -> Iterator[Finding]:
    """A decoded text is split at a mark that is not in it, or may be in it anywhere."""
    for call in source.calls:
        splits = name_of(call) in _SPLITS
        mark = call.args[0] if splits and call.args else None
        if not is_string(mark):
            continue
        decoded = decoding(source, owner_of(call))
        if decoded is None:
            continue
        skipped = is_true(keyword(decoded, "skip_special_tokens")) and _SPECIAL.search(mark.value)
        if not skipped and not (_ROLE.match(mark.value) and _is_whole(source, decoded)):
            continue
        yield found(
            "split-by-a-mark",
            ERROR if skipped else WARNING,
            call,
            what=f"The text is split at {mark.value!r}, "
            + ("which skip_special_tokens=True leaves out." if skipped else "a plain word."),
            why="It is not found, and nothing is cut off."
            if skipped
            else "Where the prompt or the answer has that word, another part is taken.",
            fix='tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], '
            "skip_special_tokens=True)",
        )


def _is_whole(source: Source, decoded: ast.Call) -> bool:
    rows = decoded.args[0]
    return source.is_output(rows) or source.is_output_row(rows)


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

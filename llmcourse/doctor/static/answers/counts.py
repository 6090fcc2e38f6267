"""How many tokens an answer has: counted with the prompt, in words, anew, or by its limit."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.answers import decoding, prompt_length
from llmcourse.doctor.static.reading.following import followed, parts_followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.static.reading.tokens import owner_of_ids
from llmcourse.doctor.subject import Subject

# Names of what is meant to count new tokens, and of a time by which it is divided.
_NEW = re.compile(r"new|generated|completion|output|produced|tokens?_out|^counts?$", re.IGNORECASE)
_TIME = re.compile(r"time|elapsed|sec|dur|took|^dt$|^t\d?$|perf_counter|^s$", re.IGNORECASE)
_NEW_IN_WORDS = re.compile(r"new tokens|generated|tok(en)?s?\s?(/|per)\s?s", re.IGNORECASE)
_PER_TIME = re.compile(r"time|elapsed|sec|dur|took|^dt$|perf_counter", re.IGNORECASE)
_TOKENS = re.compile(r"tok(en)?s?(_|\b|/)|(^|_)tps\b|n_tok", re.IGNORECASE)


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
        if name_of(above) in ("append", "extend"):
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
    "words-counted-as-tokens",
    subject=Subject.READING,
    severities=(WARNING,),
    symptom="Tokens per second that no other tool agrees with.",
    cause="A token is a piece of a word: words, or characters, of a text are not its tokens.",
    fix="Count ids.",
    example='tokens = output.shape[1] - inputs["input_ids"].shape[1]',
    how_sure="Likely: only the source was read; that tokens are meant is inferred from a name.",
)
def words_counted_as_tokens(source: Source) -> Iterator[Finding]:
    """Words or characters of a decoded text are called tokens."""
    for call in source.calls:
        if last_name(call.func) != "len" or len(call.args) != 1:
            continue
        counted = followed(source, call.args[0])
        words = name_of(counted) == "split" and not counted.args
        text = owner_of(counted) if words else call.args[0]
        if decoding(source, text) is None or not _called_tokens(source, call):
            continue
        given = followed(source, text)
        if name_of(given) == "batch_decode":
            continue  # how many texts
        of = "words" if words else "characters"
        yield found(
            "words-counted-as-tokens",
            WARNING,
            call,
            what=f"{source.words(call)} counts {of}, and they are called tokens.",
            why="A token is a piece of a word: the number is another for each text and tokenizer.",
            fix='output.shape[1] - inputs["input_ids"].shape[1]',
        )


def _called_tokens(source: Source, call: ast.Call) -> bool:
    """Tell whether a count gets a name of tokens, or makes a rate of tokens."""
    for above in source.above(call):
        if isinstance(above, ast.Compare | ast.IfExp | ast.Subscript | ast.Slice):
            return False
        if isinstance(above, ast.JoinedStr):
            return bool(_TOKENS.search(ast.unparse(above)))
        if isinstance(above, ast.Assign):
            return bool(_TOKENS.search(last_name(above.targets[0])))
        if isinstance(above, ast.AugAssign):
            return bool(_TOKENS.search(last_name(above.target)))
        if isinstance(above, ast.stmt):
            return bool(_TOKENS.search(ast.unparse(above))) and _PER_TIME.search(ast.unparse(above))
    return False


_OF_NEW_TOKENS = re.compile(
    r"^(num|n|nr|total|count)?_?(new|generated|gen|completion|output|answer|response)_?"
    r"(tokens?|toks?|length|len|count)(_count)?$|^tokens_generated$",
    re.IGNORECASE,
)


@in_the_source(
    "tokens-counted-anew",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="Scores of tokens that are not in the text, or a few tokens more or fewer than made.",
    cause="""
        A text that is decoded and encoded again need not have the tokens that the model wrote:
        special tokens are left out or added, white space is stripped, and a word can be cut into
        other pieces.
    """,
    fix="Count the ids of the output.",
    example='new_tokens = out[0, inputs["input_ids"].shape[1] :].shape[0]',
    how_sure="""
        Likely: only the source was read, where the text is decoded from an output. A note where the
        number is only a count.
    """,
)
def tokens_counted_anew(source: Source) -> Iterator[Finding]:
    """The tokens of a decoded text are counted by encoding it again."""
    for count in list(source.scopes):
        text = _encoded_text(source, _whose_tokens_are_counted(count))
        if text is None or not _is_decoded_output(source, text):
            continue
        slices = _slices_by(source, count)
        if not slices and not _called_new_tokens(source, count):
            continue
        words = source.words(text)
        yield found(
            "tokens-counted-anew",
            WARNING if slices else NOTE,
            count,
            what=f"{source.words(count)[:80]} counts tokens by encoding the decoded text {words} "
            "again.",
            why="A text tokenized again can have more or fewer tokens than were generated: a "
            "length of other tokens.",
            fix='output[0, inputs["input_ids"].shape[1]:].shape[0]  # ids of the output itself',
        )


def _whose_tokens_are_counted(node: ast.AST) -> ast.AST | None:
    """Return `x` of `len(x)`, `x.shape[1]` and `x.numel()`; None for other nodes."""
    if isinstance(node, ast.Call) and last_name(node.func) == "len" and len(node.args) == 1:
        return node.args[0]
    if name_of(node) in ("numel", "size"):
        return owner_of(node)
    of_shape = isinstance(node, ast.Subscript) and last_name(node.value) == "shape"
    return node.value.value if of_shape and isinstance(node.value, ast.Attribute) else None


def _encoded_text(source: Source, node: ast.AST | None) -> ast.AST | None:
    """Return the text whose ids an expression is; None for other expressions."""
    if node is None:
        return None
    value = followed(source, node)
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        value = followed(source, value.value) if value.slice.value == 0 else value
    value = followed(source, owner_of_ids(value) or value)
    if not isinstance(value, ast.Call) or not value.args:
        return None
    method = name_of(value) in ("encode", "tokenize") and source.is_tokenizer(owner_of(value))
    return value.args[0] if method or source.is_tokenizer(value.func) else None


def _is_decoded_output(source: Source, text: ast.AST, depth: int = 8) -> bool:
    """Tell whether a text is decoded from what `generate` returned, stripped or split since."""
    value = followed(source, text)
    if not depth:
        return False
    if isinstance(value, ast.Subscript):
        return _is_decoded_output(source, value.value, depth - 1)
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
        return False
    if name_of(value) in ("strip", "rstrip", "lstrip", "split", "replace", "removeprefix"):
        return _is_decoded_output(source, owner_of(value), depth - 1)
    decodes = name_of(value) in ("decode", "batch_decode") and source.is_tokenizer(owner_of(value))
    return (
        decodes
        and bool(value.args)
        and any(source.is_generate(part) for part in parts_followed(source, value.args[0]))
    )


def _slices_by(source: Source, count: ast.expr) -> bool:
    """Tell whether a number is where a slice begins or ends."""
    for node in source.scopes[count].nodes:
        if isinstance(node, ast.Slice):
            ends = [one for one in (node.lower, node.upper) if one is not None]
            inner = [one.operand if isinstance(one, ast.UnaryOp) else one for one in ends]
            if any(followed(source, one) is count for one in inner):
                return True
    return False


def _called_new_tokens(source: Source, count: ast.expr) -> bool:
    """Tell whether a number is called one of new tokens, or is divided by a time."""
    above = source.parents.get(count)
    if isinstance(above, ast.Assign):
        return bool(_OF_NEW_TOKENS.match(last_name(above.targets[0])))
    if isinstance(above, ast.keyword):
        return bool(_OF_NEW_TOKENS.match(above.arg or ""))
    if isinstance(above, ast.Dict) and count in above.values:
        key = above.keys[above.values.index(count)]
        return isinstance(key, ast.Constant) and bool(_OF_NEW_TOKENS.match(str(key.value)))
    return isinstance(above, ast.BinOp) and isinstance(above.op, ast.Div) and above.left is count


@in_the_source(
    "limit-taken-for-count",
    subject=Subject.READING,
    severities=(NOTE,),
    symptom="Tokens per second that are higher the shorter the answers are.",
    cause="""
        `max_new_tokens` is a limit. A text that ends by itself has fewer tokens, and the limit
        divided by the time counts tokens that were never made.
    """,
    fix="Count what was made.",
    example="""
        new_tokens = output.shape[1] - inputs["input_ids"].shape[1]
        print(new_tokens / seconds)
    """,
    how_sure="""
        Likely, and a note: only the source was read; a text that reaches the limit has that many.
    """,
)
def limit_taken_for_count(source: Source) -> Iterator[Finding]:
    """`max_new_tokens` divided by a time."""
    for node in list(source.scopes):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
            continue
        factors = _factors_of(node.left)
        asked = [one for one in source.generate_calls if _limits(source, one, factors)]
        if not asked or not _is_a_time(source, node.right):
            continue
        yield found(
            "limit-taken-for-count",
            NOTE,
            node,
            what=f"{source.words(node)} takes max_new_tokens for the number of new tokens.",
            why="It is a limit: a text that ends earlier has fewer, and the rate is too high.",
            fix='output.shape[1] - inputs["input_ids"].shape[1]  # the tokens that were made',
        )


def _factors_of(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors_of(node.left), *_factors_of(node.right)]
    return [node]


def _limits(source: Source, call: ast.Call, numbers: list[ast.AST]) -> bool:
    """Tell whether a call's limit is one of these numbers, and the text may end before it."""
    limit = keyword(call, "max_new_tokens")
    names = {each.arg for each in call.keywords}
    if limit is None or names & {"min_new_tokens", "eos_token_id", "generation_config"}:
        return False
    return any(ast.unparse(one) == ast.unparse(limit) for one in numbers)


_CLOCKS = ("time", "perf_counter", "monotonic", "elapsed_time", "process_time")


def _is_a_time(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a difference of two readings of a clock."""
    seen = [node, source.value(node)]
    for part in [inner for one in seen for inner in ast.walk(one)]:
        value = source.value(part) if isinstance(part, ast.Name) else part
        for one in ast.walk(value):
            if name_of(one) in _CLOCKS:
                return True
    return False

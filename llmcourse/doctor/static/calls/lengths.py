"""Lengths: two limits in one call, and numbers that are counted in another unit than tokens."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked, number_given
from llmcourse.doctor.static.reading.following import followed
from llmcourse.doctor.static.reading.messages import content_of
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_LIMITS = ("max_length", "max_new_tokens")
_LENGTHS = ("max_length", "max_new_tokens", "min_length", "min_new_tokens")
_TEXT = re.compile(r"(^|_)(text|prompt|question|context|document|article|sentence|query|story)$")
_TOKENS = re.compile(r"tok(en)?s?\b|tok(en)?s?_|(prompt|input|seq|context|query|ctx)_?(len|size)")
_TOKEN_LIMIT = re.compile(
    r"model_max_length|max_position_embeddings|n_positions\b|n_ctx\b|max_seq_len|seq_length"
    r"|max_(new_|input_|prompt_|context_)?tokens?\b|context_(length|window|size)|token_limit",
    re.IGNORECASE,
)
_IDS = re.compile(r"(^|_)(ids?|tokens?|toks?|encod\w*|inputs?|mask)$", re.IGNORECASE)


@in_the_source(
    "two-lengths",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="A change of `max_length` changes nothing.",
    cause="`max_new_tokens` holds where both are given, and `max_length` is ignored.",
    fix="Give one of them.",
    example="model.generate(**inputs, max_new_tokens=100)",
    how_sure="Likely: only the source was read; both stand in the same call.",
)
def two_lengths(source: Source) -> Iterator[Finding]:
    """`max_length` and `max_new_tokens` in one call."""
    for asked in every_asked(source):
        if not all(name in asked.given for name in _LIMITS):
            continue
        length, new = (source.words(asked.given[name]) for name in _LIMITS)
        yield found(
            "two-lengths",
            WARNING,
            asked.call,
            what=f"Both max_length={length} and max_new_tokens={new} are given.",
            why=f"max_new_tokens holds, and max_length={length} is ignored.",
            fix=f"{asked.words}(..., max_new_tokens={new})  # without max_length",
        )


@in_the_source(
    "min-beyond-limit",
    severities=(WARNING,),
    how_sure="Likely where only the source was read: both numbers stand in one call.",
)
def min_beyond_limit(source: Source) -> Iterator[Finding]:
    """A minimum that is larger than the limit beside it."""
    for asked in every_asked(source):
        for least, most in (("min_new_tokens", "max_new_tokens"), ("min_length", "max_length")):
            low, high = (number_given(source, asked, name) for name in (least, most))
            if low is None or high is None or low <= high:
                continue
            yield found(
                "min-beyond-limit",
                WARNING,
                asked.call,
                what=f"{least}={low}, and {most}={high}.",
                why="The limit holds, so the text is shorter than the minimum.",
                fix=f"{asked.words}(..., {most}={2 * low})",
            )


@in_the_source(
    "length-in-other-units",
    subject=Subject.LENGTH,
    severities=(ERROR, WARNING),
    symptom="Answers are far too long or too short, or the call is refused.",
    cause="""
        `max_length`, `max_new_tokens` and their like count tokens. `len` of a text counts
        characters, of ids in a batch rows, and of a tokenizer's output its fields.
    """,
    fix="Count ids along their second dimension.",
    example='model.generate(**inputs, max_length=inputs["input_ids"].shape[1] + 50)',
    how_sure="""
        Likely: only the source was read. An error where rows or fields are counted, a warning for
        characters and words.
    """,
)
def length_in_other_units(source: Source) -> Iterator[Finding]:
    """A length that is counted in something else than tokens."""
    for asked in every_asked(source):
        for name in _LENGTHS:
            unit = _unit(source, asked.given.get(name))
            if unit is None:
                continue
            words = source.words(asked.given[name])
            yield found(
                "length-in-other-units",
                ERROR if unit in ("rows", "fields") else WARNING,
                asked.call,
                what=f"{name}={words} is counted in {unit}, and {name} counts tokens.",
                why="A token is some four characters of English, less than a word; a batch of one "
                "has one row, and the inputs two fields.",
                fix=f'{name}=inputs["input_ids"].shape[1] + 50',
            )


def _unit(source: Source, node: ast.AST | None, depth: int = 4) -> str | None:
    """Return what a length is counted in, where that is not tokens."""
    value = None if node is None else followed(source, node)
    if isinstance(value, ast.BinOp) and depth:
        return _unit(source, value.left, depth - 1) or _unit(source, value.right, depth - 1)
    if not isinstance(value, ast.Call) or len(value.args) < 1:
        return None
    if last_name(value.func) in ("min", "max", "int", "round", "sum") and depth:
        each = [getattr(one, "elt", one) for one in value.args]  # max(len(text) for text in texts)
        return next((unit for one in each if (unit := _unit(source, one, depth - 1))), None)
    if last_name(value.func) != "len":
        return None
    measured = value.args[0]
    counted = followed(source, measured)
    if source.is_encoding(counted):
        return "fields"
    if _is_batch(source, counted):
        return "rows"
    if name_of(counted) == "split":
        return None if counted.args else "words"
    return "characters" if _is_text(source, measured, counted) else None


def _is_batch(source: Source, ids: ast.AST) -> bool:
    """Tell whether an expression is all ids of a batch, as a tensor of two dimensions."""
    entry = isinstance(ids, ast.Subscript) and source.constants(ids.slice) == ["input_ids"]
    if not entry and last_name(ids) != "input_ids":
        encodes = name_of(ids) == "encode"
        return encodes and source.is_tokenizer(owner_of(ids)) and _as_tensor(ids)
    made = source.placed(followed(source, ids.value)) if hasattr(ids, "value") else None
    return isinstance(made, ast.Call) and source.is_encoding(made) and _as_tensor(made)


def _as_tensor(call: ast.Call) -> bool:
    return keyword(call, "return_tensors") is not None


def _is_text(source: Source, node: ast.AST, value: ast.AST) -> bool:
    """Tell whether an expression is a text: written there, or what a tokenizer is given."""
    if isinstance(value, ast.JoinedStr):
        return True
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    given = source.tokenized
    encoded = [one.id for one in given if isinstance(one, ast.Name)]
    if isinstance(value, ast.Subscript):  # one of the texts that a tokenizer is given
        return last_name(value.value) in encoded
    if not isinstance(value, ast.Name):
        return name_of(value) == "format"
    return value.id in encoded and bool(_TEXT.search(last_name(node)))


@in_the_source(
    "prompt-counted-as-new",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="The longer the prompt, the longer the answer may go on.",
    cause="""
        `max_new_tokens` counts the new tokens alone. The prompt's length is no part of it;
        `max_length` is the one that counts both.
    """,
    fix="Leave the prompt's length out.",
    example="model.generate(**inputs, max_new_tokens=50)",
    how_sure="Likely: only the source was read, where the prompt's length is added.",
)
def prompt_counted_as_new(source: Source) -> Iterator[Finding]:
    """The prompt's length is added to the number of new tokens."""
    for asked in every_asked(source):
        given = asked.given.get("max_new_tokens")
        value = None if given is None else followed(source, given)
        if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Add):
            continue
        sides = [(value.left, value.right), (value.right, value.left)]
        rest = next((rest for side, rest in sides if _is_prompts_length(source, side)), None)
        if rest is None:
            continue
        yield found(
            "prompt-counted-as-new",
            WARNING,
            asked.call,
            what=f"max_new_tokens={source.words(given)} adds the prompt's length.",
            why="It counts new tokens alone: the answer may go on for the prompt's length more.",
            fix=f"{asked.words}(..., max_new_tokens={source.words(rest)})",
        )


def _is_prompts_length(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is how many tokens the prompt has."""
    value = followed(source, node)
    words = ast.unparse(value)
    counts = ".shape[" in words or ".size(" in words or words.startswith("len(")
    return counts and "input" in words and not isinstance(value, ast.BinOp)


@in_the_source(
    "length-of-another-thing",
    subject=Subject.LENGTH,
    severities=(ERROR, WARNING),
    symptom="Every prompt has 1, 2 or 3 tokens, however long it is.",
    cause="""
        `len` of what a tokenizer returns counts its fields, `input_ids` and `attention_mask`, and
        so it does of what `apply_chat_template` returns since version 5 of transformers. `len` of a
        tensor of ids, made with `return_tensors`, counts its rows, not the tokens in them.
    """,
    fix="Count the ids of a row.",
    example='prompt_tokens = inputs["input_ids"].shape[1]',
    how_sure="""
        Likely: only the source was read. A warning where rows are counted, and called a length or
        tokens.
    """,
)
def length_of_another_thing(source: Source) -> Iterator[Finding]:
    """The fields of an encoding, or the rows of a tensor, are counted as tokens."""
    for call in source.calls:
        if last_name(call.func) != "len" or len(call.args) != 1 or _cuts(source, call):
            continue
        if any(isinstance(one, ast.keyword) for one in source.above(call)):
            continue  # the length that a call asks for is another check's
        counted = source.value(call.args[0])
        fields = isinstance(counted, ast.Call) and _is_call_of_tokenizer(source, counted)
        rows = not fields and _are_rows(source, counted) and _called_tokens(source, call)
        if not fields and not rows:
            continue
        ids = source.words(call.args[0])
        yield found(
            "length-of-another-thing",
            ERROR if fields else WARNING,
            call,
            what=f"{source.words(call)} counts "
            + ("the fields of an encoding" if fields else "the rows of a tensor")
            + ", not its tokens.",
            why=(
                "An encoding is a dictionary (input_ids, attention_mask): its length "
                if fields
                else "The number of rows of input_ids "
            )
            + "is the same for each prompt, however many tokens it has.",
            fix=f'{ids}["input_ids"].shape[1]' if fields else f"{ids}.shape[1]",
        )


def _is_call_of_tokenizer(source: Source, call: ast.Call) -> bool:
    """Tell whether a call gives a dictionary of fields: `tokenizer(...)`, placed or not."""
    placed = source.placed(call)
    if not isinstance(placed, ast.Call) or any(each.arg is None for each in placed.keywords):
        return False
    if name_of(placed) in ("from_pretrained", "get_vocab", "AutoTokenizer", "Tokenizer"):
        return False
    if name_of(placed) == "apply_chat_template":
        return source.is_encoding(placed)
    return source.is_tokenizer(placed.func) and last_name(placed.func)[:1].islower()


def _are_rows(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a tensor of ids of one text."""
    field = isinstance(node, ast.Attribute) and node.attr == "input_ids"
    entry = isinstance(node, ast.Subscript) and source.constants(node.slice) == ["input_ids"]
    if field or entry:
        made = source.placed(node.value)
    else:
        made = source.placed(node)
        if name_of(made) != "encode":
            return False
    if not isinstance(made, ast.Call) or keyword(made, "return_tensors") is None or not made.args:
        return False
    known = source.is_tokenizer(made.func) or source.is_tokenizer(owner_of(made))
    text = source.value(made.args[0])
    batch = isinstance(text, ast.List | ast.ListComp) or last_name(made.args[0]).endswith("s")
    return known and not batch


def _called_tokens(source: Source, call: ast.Call) -> bool:
    """Tell whether a count is called a number of tokens, or a prompt's length."""
    for above in source.above(call):
        if isinstance(above, ast.Assign):
            return bool(_TOKENS.search(last_name(above.targets[0]).lower()))
        if isinstance(above, ast.Compare | ast.BinOp | ast.JoinedStr):
            others = ast.unparse(above).replace(ast.unparse(call), "")
            return bool(_TOKENS.search(others.lower()) or _TOKEN_LIMIT.search(others))
        if isinstance(above, ast.stmt):
            return False
    return False


def _cuts(source: Source, call: ast.Call) -> bool:
    """Tell whether a length, or the name that it gets, is where a slice begins."""
    above = source.parents.get(call)
    if isinstance(above, ast.Slice):
        return True
    name = last_name(above.targets[0]) if isinstance(above, ast.Assign) else ""
    return bool(name) and any(
        isinstance(node, ast.Slice) and node.lower is not None and last_name(node.lower) == name
        for node in source.scopes
    )


@in_the_source(
    "characters-cut-as-tokens",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="A long document is cut to a quarter of what the model could read, or words break.",
    cause="""
        A string is cut at a limit that counts tokens. A token has some four characters of English
        and less than one of other scripts, so the text is cut far too early, or still too late.
    """,
    fix="Let the tokenizer cut, or cut its ids.",
    example='inputs = tokenizer(text, truncation=True, max_length=2048, return_tensors="pt")',
    how_sure="Likely: only the source was read, where a text is cut at a limit of tokens.",
)
def characters_cut_as_tokens(source: Source) -> Iterator[Finding]:
    """A text is cut by a number of tokens, or its length is compared with one."""
    texts = _texts(source)
    yield from _compared(source, texts)
    for node in source.scopes:
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
            continue
        limit = _limit(source, node.slice)
        if limit is None or not _is_a_string(source, node.value, texts):
            continue
        text = source.words(node.value)
        yield found(
            "characters-cut-as-tokens",
            WARNING,
            node,
            what=f"{source.words(node)} cuts characters at {limit}, a number of tokens.",
            why="A token is several characters, or a part of one: the prompt is cut elsewhere.",
            fix=f"tokenizer({text}, truncation=True, max_length={limit})",
        )


def _compared(source: Source, texts: set[str]) -> Iterator[Finding]:
    """Yield where the length of a text is compared with a limit of tokens."""
    for node in source.scopes:
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Gt | ast.GtE):
            continue
        counted, limit = source.value(node.left), ast.unparse(node.comparators[0])
        if not isinstance(counted, ast.Call) or last_name(counted.func) != "len":
            continue
        scaled = any(isinstance(one, ast.Mult) for one in ast.walk(node.comparators[0]))
        if scaled or not _TOKEN_LIMIT.search(limit) or not counted.args:
            continue
        if not _is_a_string(source, counted.args[0], texts):
            continue
        text = source.words(counted.args[0])
        yield found(
            "characters-cut-as-tokens",
            WARNING,
            node,
            what=f"{source.words(node)} compares characters with {limit}, a number of tokens.",
            why="A token is several characters, or a part of one: the numbers do not compare.",
            fix=f"len(tokenizer({text}).input_ids) > {limit}",
        )


def _limit(source: Source, part: ast.Slice) -> str | None:
    """Return the limit of tokens at which a slice cuts, as it is written, or None."""
    for bound in (part.upper, part.lower):
        if bound is None:
            continue
        bound = bound.operand if isinstance(bound, ast.UnaryOp) else bound
        words = ast.unparse(bound)
        known = ast.unparse(source.value(bound)) if isinstance(bound, ast.Name) else ""
        known += " model_max_length" * (words in _given_as_max_length(source))
        scaled = isinstance(bound, ast.BinOp) and isinstance(bound.op, ast.Mult)
        if not scaled and (_TOKEN_LIMIT.search(words) or _TOKEN_LIMIT.search(known)):
            return words
    return None


def _given_as_max_length(source: Source) -> set[str]:
    """Return the names that tokenizers get as `max_length`, and models as a limit."""
    given = [
        keyword(call, name)
        for call in source.calls
        for name in ("max_length", "max_new_tokens")
        if source.is_tokenizer(call.func) or source.is_generate(call)
    ]
    return {one.id for one in given if isinstance(one, ast.Name)}


def _texts(source: Source) -> set[str]:
    """Return the names of what is tokenized, said in a message, or put into an f-string."""
    given: list[ast.AST | None] = []
    for node in source.scopes:
        if isinstance(node, ast.Call) and node.args and source.is_tokenizer(node.func):
            given.append(node.args[0])
        elif isinstance(node, ast.Dict):
            given.append(content_of(source, node))
        elif isinstance(node, ast.FormattedValue):
            given.append(node.value)
    return {name for one in given if one is not None and (name := _name_in(one))}


def _name_in(node: ast.AST) -> str:
    return last_name(node.value if isinstance(node, ast.Subscript) else node)


def _is_a_string(source: Source, node: ast.AST, texts: set[str]) -> bool:
    """Tell whether what is sliced is a string: written, read, rendered, or tokenized later."""
    value = source.value(node)
    if isinstance(value, ast.JoinedStr):
        return True
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    if isinstance(value, ast.Call):
        rendered = name_of(value) == "apply_chat_template"
        return (rendered and is_false(keyword(value, "tokenize"))) or name_of(value) in (
            *("read", "read_text", "join", "strip", "decode"),
        )
    if isinstance(value, ast.List | ast.ListComp):
        return False
    name = last_name(node)
    return name in texts and not _IDS.search(name)

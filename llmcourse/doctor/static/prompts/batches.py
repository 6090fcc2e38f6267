"""Prompts in batches: parts that are dropped, orders that are lost, lengths of other things."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.messages import content_of, talks
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_ASKS = ("generate", "pipe", "pipeline", "generator", "apply_chat_template")
_TOKENS = re.compile(r"tok(en)?s?\b|tok(en)?s?_|(prompt|input|seq|context|query|ctx)_?(len|size)")
_TOKEN_LIMIT = re.compile(
    r"model_max_length|max_position_embeddings|n_positions\b|n_ctx\b|max_seq_len|seq_length"
    r"|max_(new_|input_|prompt_|context_)?tokens?\b|context_(length|window|size)|token_limit",
    re.IGNORECASE,
)
_IDS = re.compile(r"(^|_)(ids?|tokens?|toks?|encod\w*|inputs?|mask)$", re.IGNORECASE)


@in_the_source(
    "last-batch-dropped",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="The last prompts have no answers, and a list of results is too short.",
    cause="""
        The number of batches is rounded down, `len(prompts) // batch_size`: what does not fill a
        batch is never given to the model. `drop_last=True` does the same.
    """,
    fix="Step through the list by the batch's size; the last batch may be smaller.",
    example="""
        for i in range(0, len(prompts), batch_size):
            batch = prompts[i : i + batch_size]
    """,
    how_sure="Likely: only the source was read, where nothing takes care of the rest.",
)
def last_batch_dropped(source: Source) -> Iterator[Finding]:
    """The prompts after the last full batch are left out."""
    for loop in source.loops:
        if not _asks(source, loop):
            continue
        if isinstance(loop, ast.While):
            lost = _while_there_is_a_whole(source, loop)
        else:
            lost = _rounded_down(source, loop) or _drops_last(source, loop)
        if lost is None:
            continue
        prompts, words = lost
        yield found(
            "last-batch-dropped",
            WARNING,
            loop,
            what=f"The loop goes through full batches alone: {words}.",
            why=f"What is left of {prompts} after the last full batch is never generated for.",
            fix=f"for i in range(0, len({prompts}), batch_size):",
        )


def _asks(source: Source, loop: ast.AST) -> bool:
    """Tell whether a loop asks a model, or tokenizes."""
    calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any(name_of(call) in _ASKS or source.is_tokenizer(call.func) for call in calls)


def _rounded_down(source: Source, loop: ast.For) -> tuple[str, str] | None:
    """Return what a loop over `range(len(x) // n)` goes through, and its range, or None."""
    through = source.value(loop.iter)
    if isinstance(through, ast.Call) and name_of(through) in ("tqdm", "trange") and through.args:
        inner = source.value(through.args[0])
        through = inner if name_of(through) == "tqdm" else through
    counts = isinstance(through, ast.Call) and last_name(through.func) in ("range", "trange")
    if not counts or len(through.args) != 1:
        return None
    number = source.value(through.args[0])
    if isinstance(number, ast.Call) and last_name(number.func) == "int" and number.args:
        number = source.value(number.args[0])
    whole = isinstance(number, ast.BinOp) and isinstance(number.op, ast.FloorDiv | ast.Div)
    counted = source.value(number.left) if whole else None
    if not isinstance(counted, ast.Call) or last_name(counted.func) != "len" or not counted.args:
        return None
    prompts = ast.unparse(counted.args[0])
    sliced = [
        node
        for node in source.scopes
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Slice)
        and ast.unparse(node.value) == prompts
    ]
    inside = [node for node in sliced if loop in source.above(node)]
    rest = len(sliced) > len(inside) or re.search(rf"len\({re.escape(prompts)}\)\s*%", source.text)
    return (prompts, ast.unparse(number)) if inside and not rest else None


def _while_there_is_a_whole(source: Source, loop: ast.While) -> tuple[str, str] | None:
    """Return what `while i + n <= len(x)` goes through in slices, and the test, or None."""
    test = loop.test
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.LtE | ast.Lt):
        return None
    counted = source.value(test.comparators[0])
    steps = isinstance(test.left, ast.BinOp) and isinstance(test.left.op, ast.Add)
    if not steps or not isinstance(counted, ast.Call) or last_name(counted.func) != "len":
        return None
    prompts = ast.unparse(counted.args[0]) if counted.args else ""
    sliced = [
        node
        for node in source.scopes
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Slice)
        and ast.unparse(node.value) == prompts
    ]
    inside = [node for node in sliced if loop in source.above(node)]
    return (prompts, ast.unparse(test)) if inside and len(sliced) == len(inside) else None


def _drops_last(source: Source, loop: ast.For) -> tuple[str, str] | None:
    """Return the data and the words of a loader that drops its last batch, or None."""
    made = source.value(loop.iter)
    if isinstance(made, ast.Call) and name_of(made) == "tqdm" and made.args:
        made = source.value(made.args[0])
    if not isinstance(made, ast.Call) or not is_true(keyword(made, "drop_last")):
        return None
    writes = any(name_of(one) == "generate" for one in ast.walk(loop) if isinstance(one, ast.Call))
    learns = any(
        isinstance(one, ast.Call) and name_of(one) in ("backward", "step") for one in ast.walk(loop)
    )
    data = ast.unparse(made.args[0]) if made.args else "the data"
    return (data, "drop_last=True") if writes and not learns else None


@in_the_source(
    "order-not-restored",
    subject=Subject.BATCHES,
    severities=(WARNING,),
    symptom="Answers stand beside the wrong questions, and every score is near chance.",
    cause="""
        The prompts are sorted by length, so that a batch needs little padding, and the answers come
        in that order. Paired with the prompts in their first order they belong to others.
    """,
    fix="Sort indices, and put each answer at its prompt's index.",
    example="""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        answers = [None] * len(prompts)
        for i, answer in zip(order, answers_in_order):
            answers[i] = answer
    """,
    how_sure="""
        Likely: only the source was read, where the sorted prompts are generated for, and the
        unsorted ones are paired with what came out.
    """,
)
def order_not_restored(source: Source) -> Iterator[Finding]:
    """Sorted prompts' answers are paired with the prompts as they were."""
    if not talks(source):
        return
    for call in source.calls:
        if last_name(call.func) != "zip" or len(call.args) < 2:
            continue
        paired = [last_name(one) for one in call.args]
        for name, original, loop in _sorted_and_asked(source):
            if original not in paired or name in paired or loop.lineno > call.lineno:
                continue
            filled = _filled_in(loop)
            if not any(one in filled for one in paired):
                continue
            yield found(
                "order-not-restored",
                WARNING,
                call,
                what=f"{source.words(call)} pairs {original} with answers in the order of {name}.",
                why=f"{name} was sorted: each answer stands beside another prompt than its own.",
                fix=source.words(call).replace(original, name, 1),
            )
            return


def _sorted_and_asked(source: Source) -> Iterator[tuple[str, str, ast.For]]:
    """Yield each sorted copy's name, that of what was sorted, and the loop that asks with it."""
    for loop in source.loops:
        if not isinstance(loop, ast.For) or not _asks(source, loop):
            continue
        names = {node for node in ast.walk(loop) if isinstance(node, ast.Name)}
        for node in sorted(names, key=lambda one: (one.lineno, one.col_offset)):
            made = source.value(node)
            copied = isinstance(made, ast.Call) and last_name(made.func) == "sorted"
            if copied and made.args and last_name(made.args[0]) not in ("", node.id):
                yield node.id, last_name(made.args[0]), loop


def _filled_in(loop: ast.For) -> set[str]:
    """Return the names of the lists that a loop adds to."""
    added = {ast.unparse(node.target) for node in ast.walk(loop) if isinstance(node, ast.AugAssign)}
    return added | {
        last_name(owner_of(node))
        for node in ast.walk(loop)
        if isinstance(node, ast.Call) and name_of(node) in ("append", "extend")
    }


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
        if not isinstance(made, ast.Call) or name_of(made) != "encode":
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
        if limit is None or not _is_text(source, node.value, texts):
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
        if not _is_text(source, counted.args[0], texts):
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


def _is_text(source: Source, node: ast.AST, texts: set[str]) -> bool:
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

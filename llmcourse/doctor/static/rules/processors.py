"""Logits processors of one's own: which row they change, what they return, and how they begin."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.fields import index_chain
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_true, keyword, last_name, name_of
from llmcourse.doctor.static.reading.tensors import (
    CHANCES,
    LOGITS,
    followed,
    kind,
    name_at,
    parts_followed,
)
from llmcourse.doctor.static.rules.states import Written, of_another_library, written
from llmcourse.doctor.subject import Subject

_TOKENS = re.compile(
    r"(^|_)(tok|id|ids|token|tokens|word|words)(_|s?$)|token_?id|ban|allow|bad|eos"
)
_INFINITE = re.compile(r"^(float\(['\"]\+?inf(inity)?['\"]\)|(torch|math|np|numpy)\.inf)$")
_MASKS = re.compile(r"mask|keep|drop|bool|remove", re.IGNORECASE)
_SEVERAL = re.compile(r"s$|allow|list|valid", re.IGNORECASE)
_NAMES = re.compile(r"Logits(Processor|Warper)$")


@in_the_source(
    "processor-of-one-row",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    symptom="In a batch, or with beams, only the first text keeps to the rule.",
    cause="""
        A processor gets all rows at once: `scores` is (rows, vocabulary), `input_ids` (rows,
        length). With several prompts, beams or `num_return_sequences` there are rows beside row 0.
    """,
    fix="Write to all rows, or go through them.",
    example="""
        for row, ids in enumerate(input_ids):
            if ids[-1] == self.token:
                scores[row, self.banned] = -float("inf")
    """,
    how_sure="""
        Likely: only the source was read. A note where no call of several rows is seen there.
    """,
)
def processor_of_one_row(source: Source) -> Iterator[Finding]:
    """Only the scores, or the ids, of row 0 are looked at."""
    for one in _processors(source):
        node = _of_first_row(one)
        if node is None:
            continue
        several = _has_several_rows(source)
        yield found(
            "processor-of-one-row",
            WARNING if several else NOTE,
            node,
            what=f"{source.words(node)} is of row 0 alone: {one.node.name} leaves the other rows "
            "of the batch out.",
            why="A processor gets the scores of all rows: prompts, beams and returned sequences.",
            fix=f"for row, ids in enumerate({one.ids}): {one.scores}[row, ...] = ...",
        )


def _processors(source: Source) -> Iterator[Written]:
    """Yield the processors that a source defines, with ids and scores by name."""
    yield from (one for one in written(source) if one.is_processor and one.scores and one.ids)


def _of_first_row(one: Written) -> ast.AST | None:
    """Return where row 0 is written or looked at, in a processor that has no other rows."""
    inside = list(ast.walk(one.call))
    if _KNOWS_ROWS.search(ast.unparse(one.node)):
        return None
    if any(
        isinstance(node, ast.For | ast.comprehension) and _is_over_rows(one, node.iter)
        for node in inside
    ):
        return None
    for node in inside:
        if not isinstance(node, ast.Subscript):
            continue
        base, parts = index_chain(node)
        zero = bool(parts) and isinstance(parts[0], ast.Constant) and parts[0].value == 0
        stored = isinstance(node.ctx, ast.Store) and name_at(base) == one.scores
        read = isinstance(node.ctx, ast.Load) and name_at(base) == one.ids
        if zero and (stored or read):
            return node
    return None


_KNOWS_ROWS = re.compile(r"batch|\.n?dim\b|shape\[0\]|num_beams", re.IGNORECASE)


def _is_over_rows(one: Written, through: ast.AST) -> bool:
    """Tell whether a loop goes through the rows: the ids, the scores, or their number."""
    text = ast.unparse(through)
    whole = re.compile(rf"\b({re.escape(one.ids)}|{re.escape(one.scores)})\b(?!\[0)")
    return bool(whole.search(text)) or "batch" in text


def _has_several_rows(source: Source) -> bool:
    """Tell whether a source pads a batch, searches with beams, or wants several sequences."""
    for call in source.calls:
        if is_true(keyword(call, "padding")):
            return True
        for name in ("num_beams", "num_return_sequences"):
            counts = source.constants(keyword(call, name))
            if any(isinstance(count, int) and count > 1 for count in counts):
                return True
    return False


@in_the_source(
    "processor-picks-rows",
    subject=Subject.CHOOSING,
    severities=(ERROR,),
    symptom="An IndexError, or nothing is banned and all scores of a text are -inf.",
    cause="""
        `scores` is (rows, vocabulary): the first index picks rows, the last one tokens. Token ids
        as the first index pick rows by the tokens' numbers. So does `input_ids[-1]`: it is the last
        row, not the last token.
    """,
    fix="Write a colon for the rows.",
    example="""
        scores[:, self.banned] = -float("inf")
        last = input_ids[:, -1]
    """,
    how_sure="Likely: only the source was read; that ids of tokens are meant is in their name.",
)
def processor_picks_rows(source: Source) -> Iterator[Finding]:
    """Token ids, or the last place, stand where the rows' index is."""
    for one in written(source):
        node = next(_picks_rows(source, one), None)
        if node is None:
            continue
        inner = source.words(node.slice)
        base = source.words(node.value)
        of_ids = name_at(node.value) == one.ids
        yield found(
            "processor-picks-rows",
            ERROR,
            node,
            what=f"{source.words(node)} picks "
            + (
                "the last row of the batch, not its last token."
                if of_ids
                else "rows of the batch, not tokens of the vocabulary."
            ),
            why="The first index is of the rows; the last one is of places, or of the vocabulary.",
            fix=f"{base}[:, {inner}]",
        )


def _picks_rows(source: Source, one: Written) -> Iterator[ast.Subscript]:
    for node in ast.walk(one.call):
        if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Tuple):
            continue
        if name_at(node.value) == one.ids and _is_last(node.slice):
            picks = not isinstance(source.parents.get(node), ast.Subscript)
        else:
            of_scores = one.is_processor and name_at(node.value) == one.scores != ""
            picks = of_scores and isinstance(node.ctx, ast.Store)
            picks = picks and _is_of_tokens(source, node.slice)
        if picks:
            yield node


def _is_last(node: ast.AST) -> bool:
    """Tell whether an index is -1, or a slice from a place before the end on."""
    lower = node.lower if isinstance(node, ast.Slice) else node
    negative = isinstance(lower, ast.UnaryOp) and isinstance(lower.op, ast.USub)
    return negative and (not isinstance(node, ast.Slice) or node.upper is None)


def _is_of_tokens(source: Source, node: ast.AST) -> bool:
    """Tell whether an index is ids of tokens, by its name; a mask, or a row's number, is none."""
    if not isinstance(node, ast.Name | ast.Attribute) or _MASKS.search(last_name(node)):
        return False
    value = followed(source, node)
    if isinstance(value, ast.Compare | ast.BinOp | ast.UnaryOp) or _counts_rows(source, node):
        return False
    return bool(_TOKENS.search(last_name(node)))


def _counts_rows(source: Source, node: ast.AST) -> bool:
    """Tell whether a name is a loop's number: that of a `range` or an `enumerate`."""
    for above in source.above(node):
        if not isinstance(above, ast.For):
            continue
        first = getattr(above.target, "elts", [above.target])[0]
        counted = isinstance(above.iter, ast.Call) and last_name(above.iter.func) in (
            "range",
            "enumerate",
        )
        if counted and name_at(first) == name_at(node):
            return True
    return False


@in_the_source(
    "processor-returns-no-scores",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="Sampling draws nearly any token; or always the one with the lowest id comes.",
    cause="""
        `generate` takes what a processor returns for logits, and does the softmax itself. After a
        softmax all values lie between 0 and 1, and a second one makes them almost alike. A mask of
        0 and -inf alone makes all allowed tokens equally likely: the model has no say.
    """,
    fix="Return scores: masked, shifted, or the logarithm of probabilities.",
    example="return scores + mask  # 0 where allowed, -inf elsewhere",
    how_sure="Likely: only the source was read, where what is returned can be followed.",
)
def processor_returns_no_scores(source: Source) -> Iterator[Finding]:
    """A processor returns probabilities, or its mask."""
    for one in _processors(source):
        for node in ast.walk(one.call):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            chances = kind(source, node.value) == CHANCES
            if not chances and not _is_bare_mask(source, one, node.value):
                continue
            words = source.words(node.value)
            yield found(
                "processor-returns-no-scores",
                WARNING,
                node,
                what=f"{one.node.name} returns {words}, which is "
                + (
                    "probabilities after a softmax, not logits."
                    if chances
                    else "the mask alone, without the model's scores."
                ),
                why="generate does the softmax itself: a second one makes tokens almost alike."
                if chances
                else "All allowed tokens are equally likely then, whatever the model says.",
                fix=f"return {words}.log()" if chances else f"return {one.scores} + {words}",
            )
            break


def _is_bare_mask(source: Source, one: Written, node: ast.AST) -> bool:
    """Tell whether a name is a tensor of -inf in which allowed tokens were set to a number."""
    if not isinstance(node, ast.Name) or node.id == one.scores:
        return False
    made = followed(source, node)
    if not isinstance(made, ast.Call) or name_of(made) not in ("full_like", "full"):
        return False
    stores = [
        part
        for part in ast.walk(one.call)
        if isinstance(part, ast.Assign)
        and isinstance(part.targets[0], ast.Subscript)
        and name_at(part.targets[0].value) == node.id
    ]
    fixed = [isinstance(part.value, ast.Constant | ast.UnaryOp) for part in stores]
    several = [bool(_SEVERAL.search(_last_of(part.targets[0]))) for part in stores]
    return bool(stores) and all(fixed) and any(several)


def _last_of(node: ast.Subscript) -> str:
    """Return the name of the last index: `ids` of `mask[:, self.ids]`."""
    last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
    return last_name(last)


@in_the_source(
    "processor-changes-a-copy",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="A logits processor changes nothing.",
    cause="""
        The scores were copied, the copy was changed, and the scores themselves are returned, as
        they were.
    """,
    fix="Return the copy.",
    example="""
        new = scores.clone()
        new[:, self.banned] = -float("inf")
        return new
    """,
    how_sure="Likely: only the source was read, where nothing else reads the copy.",
)
def processor_changes_a_copy(source: Source) -> Iterator[Finding]:
    """A copy of the scores is changed, and dropped."""
    for one in _processors(source):
        for node in ast.walk(one.call):
            copy = _copied(one, node)
            if copy is None or _is_read(one, copy) or not _is_written(one, copy):
                continue
            yield found(
                "processor-changes-a-copy",
                WARNING,
                node,
                what=f"{copy} is a copy of the scores, is changed, and {one.scores} is returned.",
                why="Nothing that was done to the copy reaches generate.",
                fix=f"return {copy}",
            )
            break


def _copied(one: Written, node: ast.AST) -> str | None:
    """Return the name that a copy of the scores gets: `new = scores.clone()`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return None
    call = node.value
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    given = [owner, *call.args]
    copies = name_of(call) in ("clone", "copy", "deepcopy")
    from_scores = copies and any(name_at(part) == one.scores for part in given if part is not None)
    name = name_at(node.targets[0])
    return name if from_scores and name and name != one.scores else None


def _is_read(one: Written, name: str) -> bool:
    """Tell whether a name is used otherwise than as what is stored into."""
    stored = {
        id(node.value)
        for node in ast.walk(one.call)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    return any(
        isinstance(node, ast.Name)
        and node.id == name
        and isinstance(node.ctx, ast.Load)
        and id(node) not in stored
        for node in ast.walk(one.call)
    )


def _is_written(one: Written, name: str) -> bool:
    return any(
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and name_at(node.value) == name
        for node in ast.walk(one.call)
    )


@in_the_source(
    "forced-by-infinity",
    subject=Subject.CHOOSING,
    severities=(WARNING,),
    symptom="`probability tensor contains either inf, nan or element < 0`, or nan scores.",
    cause="""
        A softmax of a row that holds +inf is nan everywhere: inf minus inf. Greedy decoding still
        finds the largest; sampling, beams and log-probabilities do not.
    """,
    fix="Force a token by -inf for all others.",
    example="""
        forced = torch.full_like(scores, -float("inf"))
        forced[:, token] = 0
    """,
    how_sure="Likely: only the source was read, where logits are set to plus infinity.",
)
def forced_by_infinity(source: Source) -> Iterator[Finding]:
    """Logits are set to +inf."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Subscript):
            continue
        target = node.targets[0]
        base, _ = index_chain(target)
        if not _INFINITE.match(ast.unparse(node.value)) or kind(source, base) != LOGITS:
            continue
        if any(name_of(one) == "min" for one in source.calls):
            continue  # left out of a minimum
        yield found(
            "forced-by-infinity",
            WARNING,
            node,
            what=f"{source.words(node)} sets logits to +inf.",
            why="A softmax with +inf in it is nan: sampling and beams fail, probabilities are nan.",
            fix=f"{source.words(base)} with -inf for all other tokens, and 0 for this one",
        )


@in_the_source(
    "processor-not-called",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="A NotImplementedError, a TypeError about arguments, or scores that look like ids.",
    cause="""
        `generate` calls a processor as `processor(input_ids, scores)`, by position. A class needs a
        `__call__` that takes both, in this order; a method of another name is never called.
    """,
    fix="Give the class the method that is called.",
    example="""
        def __call__(self, input_ids, scores):
            return scores
    """,
    how_sure="Likely: only the source was read, where the class and its methods stand.",
)
def processor_not_called(source: Source) -> Iterator[Finding]:
    """A processor without `__call__`, or with other arguments than it gets."""
    if of_another_library(source):
        return
    for node in list(source.scopes):
        if not isinstance(node, ast.ClassDef) or not _derives(node) or _is_a_base(source, node):
            continue
        methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
        fault = _fault_of(methods)
        if fault is None:
            continue
        yield found(
            "processor-not-called",
            ERROR,
            methods.get("__call__", node),
            what=f"{node.name} {fault}",
            why="generate calls processor(input_ids, scores), by position, and goes on with what "
            "comes back.",
            fix="def __call__(self, input_ids, scores): ...  # and return scores",
        )


def _derives(node: ast.ClassDef) -> bool:
    return any(_NAMES.search(last_name(base)) for base in node.bases)


def _is_a_base(source: Source, node: ast.ClassDef) -> bool:
    """Tell whether a class is another one's base, or has bases beside the library's."""
    classes = [one for one in source.scopes if isinstance(one, ast.ClassDef)]
    used = any(last_name(base) == node.name for one in classes for base in one.bases)
    return used or len(node.bases) > 1


def _fault_of(methods: dict[str, ast.FunctionDef]) -> str | None:
    """Return what is wrong with a processor's methods, in words; None if nothing is."""
    call = methods.get("__call__")
    if call is None:
        others = [name for name in methods if not name.startswith("_")]
        return f"has {others[0]}, and no __call__." if others else None
    given = call.args
    names = [one.arg for one in (*given.posonlyargs, *given.args)][1:]
    if given.vararg is not None or any(map(_is_static, call.decorator_list)):
        return None
    if len(names) < 2:
        return "takes one argument in __call__, and gets two: ids and scores."
    swapped = re.search(r"score|logit", names[0]) and re.search(r"(^|_)ids?$|input|token", names[1])
    return (
        f"takes {names[0]} first and {names[1]} second: they come the other way."
        if swapped
        else None
    )


def _is_static(node: ast.AST) -> bool:
    return last_name(node) in ("staticmethod", "overload")


@in_the_source(
    "criterion-reads-scores",
    subject=Subject.ENDS,
    severities=(WARNING,),
    symptom="`'NoneType' object is not subscriptable` in a stopping criterion, or a tuple's error.",
    cause="""
        A criterion's `scores` are those that the call keeps: None unless it is asked for
        `output_scores` with `return_dict_in_generate`, and then a tuple with one tensor a step.
    """,
    fix="Ask the call for them, and take the last step's; or use a processor, which gets scores.",
    example="""
        model.generate(..., output_scores=True, return_dict_in_generate=True)
        scores[-1].softmax(-1)  # in the criterion
    """,
    how_sure="Likely: only the source was read, where nothing asks for `output_scores`.",
)
def criterion_reads_scores(source: Source) -> Iterator[Finding]:
    """A criterion uses scores that nobody keeps."""
    if "output_scores" in source.text:
        return
    for one in written(source):
        if one.is_processor or not one.scores:
            continue
        node = next((part for part in ast.walk(one.call) if _uses_values(source, part, one)), None)
        if node is None or f"{one.scores} is" in ast.unparse(one.call):
            continue
        yield found(
            "criterion-reads-scores",
            WARNING,
            node,
            what=f"{source.words(node)} in {one.node.name}: the scores that a stopping criterion "
            "gets are None.",
            why="generate keeps them only where output_scores=True asks for it.",
            fix="model.generate(..., output_scores=True, return_dict_in_generate=True)",
        )


def _uses_values(source: Source, node: ast.AST, one: Written) -> bool:
    """Tell whether a node takes something of the scores: an entry, a method, a function's value."""
    if isinstance(node, ast.Subscript | ast.Attribute):
        return name_at(node.value) == one.scores
    made = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return made and any(
        name_at(part) == one.scores for arg in node.args for part in parts_followed(source, arg, 0)
    )


@in_the_source(
    "list-of-no-list",
    subject=Subject.CALL,
    severities=(ERROR,),
    symptom="`TypeError: 'MyProcessor' object is not iterable`.",
    cause="""
        `LogitsProcessorList` and `StoppingCriteriaList` are made of a list, as `list(...)` is: one
        object by itself is none.
    """,
    fix="Put it into brackets.",
    example="LogitsProcessorList([MyProcessor(tokenizer)])",
    how_sure="Likely: only the source was read, where one object is made in the list's place.",
)
def list_of_no_list(source: Source) -> Iterator[Finding]:
    """A list of processors or criteria is made of one object."""
    own = {one.node.name for one in written(source)}
    for call in source.calls:
        if name_of(call) not in ("LogitsProcessorList", "StoppingCriteriaList") or not call.args:
            continue
        made = followed(source, call.args[0])
        if not isinstance(made, ast.Call) or not (
            name_of(made) in own or _IS_ONE.search(name_of(made))
        ):
            continue
        words = source.words(call.args[0])
        yield found(
            "list-of-no-list",
            ERROR,
            call,
            what=f"{name_of(call)} is made of one object, {words}, and not of a list.",
            why="It goes through what it is given, and fails: one object is not iterable.",
            fix=f"{name_of(call)}([{words}])",
        )


_IS_ONE = re.compile(r"(LogitsProcessor|LogitsWarper|Criteria)$")


@in_the_source(
    "processor-counts-prompt",
    subject=Subject.LENGTH,
    severities=(WARNING,),
    symptom="A rule for the first new tokens never holds, or a limit of new tokens ends at once.",
    cause="""
        The ids that a processor or a criterion gets begin with the prompt, padding included. Their
        length is not the number of new tokens.
    """,
    fix="Take the prompt's length away: hand it to the object.",
    example="""
        new_tokens = input_ids.shape[1] - self.prompt_length
    """,
    how_sure="""
        Likely: only the source was read, where the length is compared with a small number, or with
        one that is called a number of new tokens, and nothing there is called a prompt.
    """,
)
def processor_counts_prompt(source: Source) -> Iterator[Finding]:
    """The length of all ids is taken for the number of new tokens."""
    for one in written(source):
        if _KNOWS_PROMPT.search(ast.unparse(one.node)):
            continue
        node = next((part for part in ast.walk(one.call) if _counts_all(source, part, one)), None)
        if node is None:
            continue
        yield found(
            "processor-counts-prompt",
            WARNING,
            node,
            what=f"{source.words(node)} in {one.node.name} counts the prompt's tokens too.",
            why=f"{one.ids} begins with the prompt: its length is not the number of new tokens.",
            fix=f"{one.ids}.shape[1] - self.prompt_length",
        )


_KNOWS_PROMPT = re.compile(
    r"prompt|prefix|start|begin|offset|context|input_?len|initial|seq_?len|max_length|base|orig"
)


_OF_NEW = re.compile(r"new|min_?(tok|len)|max_?tok|limit|n_tokens|num_tokens|steps?$|budget")


def _counts_all(source: Source, node: ast.AST, one: Written) -> bool:
    """Tell whether a node compares the ids' length with a number of new tokens."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not one.ids:
        return False
    if not isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq):
        return False
    length = ast.unparse(followed(source, node.left))
    all_ids = length in (
        *(f"{one.ids}.shape[1]", f"{one.ids}.shape[-1]", f"{one.ids}.size(1)"),
        *(f"{one.ids}.size(-1)", f"len({one.ids}[0])"),
    )
    number = followed(source, node.comparators[0])
    written_there = isinstance(number, ast.Constant) and isinstance(number.value, int)
    small = written_there and number.value >= _SOME
    return all_ids and (small or bool(_OF_NEW.search(last_name(node.comparators[0]))))


_SOME = 8  # ids: a shorter row may be asked for the sake of its last tokens

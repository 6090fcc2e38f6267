"""Settings whose values the source shows: of the wrong kind, or against one another."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.names_elsewhere import elsewhere
from llmcourse.doctor.static.reading.asked import Asked, every_asked, is_set_elsewhere
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, keyword, last_name, name_of, owner_of
from llmcourse.doctor.static.rules.states import written
from llmcourse.doctor.subject import Subject

_FLAGS = ("do_sample", "use_cache", "early_stopping", "output_scores", "return_dict_in_generate")
_NUMBERS = (
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "num_beams"),
    *("max_new_tokens", "max_length", "min_new_tokens", "min_length", "num_return_sequences"),
)
_FALSE = ("false", "no", "off", "0", "none")
_ONE = re.compile(r"(Logits(Processor|Warper)|Criteria|Criterion)$")
_LISTS = ("logits_processor", "stopping_criteria")
_ENDS = ("eos_token_id", "all_special_ids")
_MARK = re.compile(r"^\s*(<.*>|\[.*\])\s*$")


@in_the_source(
    "argument-of-wrong-kind",
    severities=(ERROR, WARNING),
    how_sure="""
        Likely where only the source was read: the value stands there. A warning where argparse
        turns a text into `bool`, which is true for every text but the empty one.
    """,
    explains_refusal=True,
)
def argument_of_wrong_kind(source: Source) -> Iterator[Finding]:
    """A text for a number or a flag, a token for its id, one processor for a list."""
    for asked in every_asked(source):
        for name, value, what, fix in _wrong(source, asked):
            yield found(
                "argument-of-wrong-kind",
                ERROR,
                asked.call,
                what=f"{name}={source.words(value)} {what}.",
                why="It is on, though the text says off." if name in _FLAGS else "generate fails.",
                fix=fix,
            )
    yield from _flags_of_a_command_line(source)


def _wrong(source: Source, asked: Asked) -> Iterator[tuple[str, ast.AST, str, str]]:
    """Yield (setting, its value, what that is, what to write) for each of the wrong kind."""
    for name, value in asked.given.items():
        texts = [one for one in source.constants(value) if isinstance(one, str)]
        if name in _FLAGS and texts and texts[0].strip().lower() in _FALSE:
            yield name, value, "is a text, and counts as true", f"{asked.words}(..., {name}=False)"
        elif name in _NUMBERS and texts:
            yield name, value, "is a text, not a number", f"{name}={texts[0]}  # a number"
        elif name in ("eos_token_id", "pad_token_id") and _is_token(source, value, name):
            whose = source.words(source.value(value).value)
            fix = f"{asked.words}(..., {name}={whose}.{name})"
            yield name, value, "is a token's text, where its id belongs", fix
        elif name in ("eos_token_id", "pad_token_id") and texts:
            fix = f"{name}=tokenizer.convert_tokens_to_ids({texts[0]!r})"
            yield name, value, "is a token's text, where its id belongs", fix
        elif name in _LISTS and _is_one(source, value):
            yield name, value, "is one object, not a list", f"{name}=[...]  # a list"


def _is_token(source: Source, node: ast.AST, name: str) -> bool:
    """Tell whether a value is `tokenizer.eos_token`, without the `_id`."""
    value = source.value(node)
    named = isinstance(value, ast.Attribute) and value.attr == name.removesuffix("_id")
    return named and source.is_tokenizer(value.value)


def _is_one(source: Source, node: ast.AST) -> bool:
    value = source.value(node)
    own = {one.node.name for one in written(source)}
    return isinstance(value, ast.Call) and (
        bool(_ONE.search(name_of(value))) or name_of(value) in own
    )


def _flags_of_a_command_line(source: Source) -> Iterator[Finding]:
    """Yield `add_argument("--do_sample", type=bool)`, where such a flag is a setting."""
    for call in source.calls:
        if name_of(call) != "add_argument" or last_name(keyword(call, "type")) != "bool":
            continue
        names = [one for given in call.args for one in source.constants(given)]
        flags = [str(one).lstrip("-").replace("-", "_") for one in names]
        flag = next((one for one in flags if one in _FLAGS), None)
        if flag is None:
            continue
        yield found(
            "argument-of-wrong-kind",
            WARNING,
            call,
            what=f"type=bool makes every text true: --{flag} False is on.",
            why="bool() of a text is false for the empty one alone.",
            fix=f'parser.add_argument("--{flag}", action=argparse.BooleanOptionalAction)',
        )


@in_the_source(
    "refused",
    severities=(ERROR,),
    how_sure="Likely where only the source was read: a name that `generate` has never had.",
)
def refused(source: Source) -> Iterator[Finding]:
    """A setting's name in other libraries."""
    for asked in every_asked(source):
        if asked.kind not in ("generate", "thread"):
            continue
        for name, value in asked.given.items():
            known = elsewhere(name, source.words(value)) if isinstance(name, str) else None
            if known is None or keyword(asked.call, "custom_generate") is not None:
                continue
            if name in ("token_type_ids", "tools", "messages"):  # some models do take them
                continue
            yield found(
                "refused",
                ERROR,
                asked.call,
                what=f"{asked.words} has no argument {name}.",
                why=f"The call is refused. {known[0]}",
                fix=known[1],
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
            low, high = (_number(source, asked, name) for name in (least, most))
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


def _number(source: Source, asked: Asked, name: str) -> int | float | None:
    """Return a setting's only value, None where it is not seen, or there are several."""
    values = source.constants(asked.given.get(name)) if name in asked.given else []
    known = len(values) == 1 and isinstance(values[0], int | float)
    return values[0] if known and not isinstance(values[0], bool) else None


@in_the_source(
    "penalty-rewards",
    severities=(WARNING,),
    how_sure="Likely where only the source was read, and the number stands there.",
)
def penalty_rewards(source: Source) -> Iterator[Finding]:
    """A repetition penalty below 1."""
    for asked in every_asked(source):
        value = _number(source, asked, "repetition_penalty")
        if value is None or not 0 < value < 1:
            continue
        yield found(
            "penalty-rewards",
            WARNING,
            asked.call,
            what=f"repetition_penalty={value} is below 1: it is a reward.",
            why="What stands in the prompt or text gets likelier with it; 1.0 is off.",
            fix=f"{asked.words}(..., repetition_penalty=1.0)",
        )


@in_the_source(
    "beam-sampling",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read. A warning where a pipeline gets beams and nothing
        about sampling: it samples by its own defaults.
    """,
)
def beam_sampling(source: Source) -> Iterator[Finding]:
    """Beams whose tokens are drawn."""
    for asked in every_asked(source):
        beams = _number(source, asked, "num_beams")
        if beams is None or beams < 2:
            continue
        piped = _samples_by_default(source, asked)
        if not asked.says_sampling and not piped:
            continue
        yield found(
            "beam-sampling",
            WARNING if piped else NOTE,
            asked.call,
            what=f"num_beams={beams} and "
            + ("the pipeline's own do_sample=True" if piped else "do_sample=True")
            + ": the beams' tokens are drawn.",
            why="It is no search for the likeliest text, and gives another one at each run.",
            fix=f"{asked.words}(..., num_beams={beams}, do_sample=False)",
        )


def _samples_by_default(source: Source, asked: Asked) -> bool:
    """Tell whether a call of a text-generation pipeline leaves sampling to its defaults."""
    made = source.pipeline(asked.call.func)
    if asked.kind != "pipeline" or made is None or not asked.is_whole:
        return False
    task = source.constants(made.args[0] if made.args else keyword(made, "task"))
    if task != ["text-generation"] or any(one.arg is None for one in made.keywords):
        return False
    said = {one.arg for one in made.keywords} | asked.given.keys()
    said_elsewhere = is_set_elsewhere(source, "do_sample", "generation_config")
    return not said & {"do_sample", "generation_config"} and not said_elsewhere


@in_the_source(
    "end-token-banned",
    severities=(WARNING,),
    how_sure="Likely where only the source was read: the list holds the end token by its name.",
)
def end_token_banned(source: Source) -> Iterator[Finding]:
    """The end token among those that are suppressed."""
    for asked in every_asked(source):
        value = source.value(asked.given.get("suppress_tokens", ast.Constant(None)))
        parts = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        parts = [one.value if isinstance(one, ast.Starred) else one for one in parts]
        held = [
            one for one in parts if last_name(one) in _ENDS and "stop_strings" not in asked.given
        ]
        if not held:
            continue
        yield found(
            "end-token-banned",
            WARNING,
            asked.call,
            what=f"suppress_tokens holds {source.words(held[0])}: the end token cannot come.",
            why="Nothing but the limit ends the text: the model goes on after its answer.",
            fix="[token for token in banned if token != tokenizer.eos_token_id]",
        )


@in_the_source(
    "eos-from-encode",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the end is the ids, or one of the ids, of a word that
        stands there.
    """,
)
def eos_from_encode(source: Source) -> Iterator[Finding]:
    """The ids of a word as ends of a text."""
    for asked in every_asked(source):
        given = asked.given.get("eos_token_id")
        text = None if given is None else _encoded(source, given)
        if text is None or _MARK.match(text) or not re.search(r"\w|##", text):
            continue
        yield found(
            "eos-from-encode",
            WARNING,
            asked.call,
            what=f"eos_token_id={source.words(given)}: ids of {text!r}, each of which ends a text.",
            why="A word may be several tokens, and others in a text; the first may begin texts.",
            fix=f"{asked.words}(..., stop_strings=[{text!r}], tokenizer=tokenizer)",
        )


def _encoded(source: Source, node: ast.AST) -> str | None:
    """Return the text of several characters of which a value is the ids, or the first or last."""
    value = source.value(node)
    if isinstance(value, ast.Subscript) or (
        isinstance(value, ast.Attribute) and value.attr == "input_ids"
    ):
        return _encoded(source, value.value)
    if not isinstance(value, ast.Call) or not value.args:
        return None
    encodes = name_of(value) == "encode" and source.is_tokenizer(owner_of(value))
    if not encodes and not source.is_tokenizer(value.func):
        return None
    texts = source.constants(value.args[0])
    known = len(texts) == 1 and isinstance(texts[0], str) and len(texts[0].strip()) > 1
    return texts[0] if known else None


# What 0 means something for: no sampling, no filter, no penalty, a seed like others.
_MAY_BE_ZERO = re.compile(
    r"^(\w+_)?(temperature|temp|seed|top_k|min_p|length_penalty|penalty_alpha"
    r"|(frequency|presence)_penalty)$",
    re.IGNORECASE,
)


_IS_TEMPERATURE = re.compile(r"temp(erature)?$", re.IGNORECASE)


_AS_TEXT = re.compile(r"environ|getenv|input\(")  # "0" is a text, and true


@in_the_source(
    "zero-taken-for-unset",
    subject=Subject.CHOOSING,
    severities=(WARNING, NOTE),
    symptom="Texts differ from run to run, though temperature 0.0 was asked for.",
    cause="""
        0 and 0.0 count as false. `temperature or default` therefore gives the default where 0 is
        asked for, as if it were not set.
    """,
    fix="Ask whether it is None.",
    example="""
        temperature = self.temperature if temperature is None else temperature
    """,
    how_sure="""
        Likely: only the source was read. A note where the setting is no temperature, and the source
        is not seen to pass 0 for it.
    """,
)
def zero_taken_for_unset(source: Source) -> Iterator[Finding]:
    """A setting that may be 0 gives way to a default where it is false."""
    if not re.search(r"generate|softmax|manual_seed|set_seed", source.text):
        return
    for node in list(source.scopes):
        replaced = _replaced_if_false(source, node)
        if replaced is None:
            continue
        setting, default = replaced
        name = _setting_named(source, setting)
        if not _MAY_BE_ZERO.match(name) or not _is_above_zero(source, default, name):
            continue
        if _AS_TEXT.search(ast.unparse(setting)) or _zero_is_seen_to(source, node, setting):
            continue
        is_temperature = bool(_IS_TEMPERATURE.search(name))
        zero = "0.0" if is_temperature else "0"
        words, other = source.words(setting), source.words(default)
        yield found(
            "zero-taken-for-unset",
            WARNING if is_temperature or _is_passed_as_zero(source, name) else NOTE,
            node,
            what=f"{source.words(node)[:80].splitlines()[0]}: {name}={zero} counts as false, so "
            f"the default {other} takes its place.",
            why=f"A value of {zero} is not the same as unset (None): what is asked for is "
            "replaced without a word.",
            fix=f"{other} if {words} is None else {words}",
        )


def _replaced_if_false(source: Source, node: ast.AST) -> tuple[ast.AST, ast.AST] | None:
    """Return what a default replaces where it is false, and the default; None for other nodes."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        above = source.parents.get(node)
        asks = isinstance(above, ast.If | ast.While | ast.IfExp) and above.test is node
        return None if asks or isinstance(above, ast.BoolOp) else tuple(node.values[:2])
    if isinstance(node, ast.IfExp):
        same = ast.unparse(node.test) == ast.unparse(node.body)
        return (node.body, node.orelse) if same else None
    if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1:
        return None
    test, set_to = node.test, node.body[0]
    if not isinstance(test, ast.UnaryOp) or not isinstance(test.op, ast.Not):
        return None
    if not isinstance(set_to, ast.Assign):
        return None
    same = ast.unparse(set_to.targets[0]) == ast.unparse(test.operand)
    return (test.operand, set_to.value) if same else None


def _setting_named(source: Source, node: ast.AST) -> str:
    """Return a setting's name: of `temperature`, `args.temperature`, `given.get("seed")`."""
    if isinstance(node, ast.Call) and name_of(node) in ("get", "pop") and node.args:
        node = node.args[0]
    elif isinstance(node, ast.Call) and name_of(node) == "getattr" and len(node.args) > 1:
        node = node.args[1]
    elif isinstance(node, ast.Subscript):
        node = node.slice
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return last_name(node)


def _is_above_zero(source: Source, default: ast.AST, name: str) -> bool:
    """Tell whether a default is no 0, None or False, nor as good as 0."""
    value = source.value(default)
    if not isinstance(value, ast.Constant):
        return not isinstance(value, ast.UnaryOp)
    number = isinstance(value.value, int | float) and not isinstance(value.value, bool)
    return number and value.value > (0.05 if _IS_TEMPERATURE.search(name) else 0)


def _zero_is_seen_to(source: Source, node: ast.AST, setting: ast.AST) -> bool:
    """Tell whether the function asks for 0 too, before the default takes its place."""
    words = ast.unparse(setting)
    above = source.parents.get(node)
    given = above.targets[0] if isinstance(above, ast.Assign) else None
    replaced = isinstance(node, ast.If) or (given is not None and ast.unparse(given) == words)
    for other in source.scopes[node].nodes:
        if replaced and getattr(other, "lineno", 0) >= node.lineno:
            continue
        if isinstance(other, ast.Compare) and ast.unparse(other.left) == words:
            if 0 in source.constants(other.comparators[0]):
                return True
        elif isinstance(other, ast.Call) and name_of(other) == "bool" and other.args:
            if ast.unparse(other.args[0]) == words:
                return True
        elif isinstance(other, ast.If | ast.IfExp) and other is not node:
            test = other.test
            negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
            if ast.unparse(test.operand if negated else test) == words:
                return True
    return False


def _is_passed_as_zero(source: Source, name: str) -> bool:
    """Tell whether a call gives 0 for a setting of that name."""
    values = [keyword(call, name) for call in source.calls]
    return any(0 in source.constants(value) for value in values if value is not None)

"""Settings by name and kind: misspelt, of other libraries, of the wrong type, or never used."""

import ast
import difflib
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.names_elsewhere import elsewhere
from llmcourse.doctor.static.reading.asked import Asked, every_asked
from llmcourse.doctor.static.reading.classes import written
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_string,
    keyword,
    last_name,
    name_of,
    owner_of,
)
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
_SETTINGS = (
    *("max_new_tokens", "max_length", "min_new_tokens", "min_length", "do_sample", "temperature"),
    *("top_k", "top_p", "min_p", "typical_p", "num_beams", "num_return_sequences"),
    *("repetition_penalty", "length_penalty", "early_stopping", "no_repeat_ngram_size"),
    *("bad_words_ids", "force_words_ids", "sequence_bias", "suppress_tokens", "stop_strings"),
    *("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id", "use_cache"),
    *("output_scores", "output_logits", "output_attentions", "output_hidden_states"),
    *("return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "max_time"),
    *("renormalize_logits", "guidance_scale", "epsilon_cutoff", "eta_cutoff", "num_beam_groups"),
    *("diversity_penalty", "encoder_repetition_penalty", "begin_suppress_tokens", "cache_config"),
    *("cache_implementation", "prompt_lookup_num_tokens", "penalty_alpha", "generation_config"),
)
_NEAR = 0.87  # how alike two names are from which on one is the other misspelt
_CONFIGS = ("config", "generation_config", "gen_config")
_MADE = re.compile(r"(Logits(Processor|Warper)|StoppingCriteria)(List)?$")


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
    "misspelt-setting",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="A setting changes nothing, or a call is refused as if it had not been made.",
    cause="""
        A config takes attributes of any name, and those it does not know are kept and never read.
        Nothing says that a name is one letter away from a setting.
    """,
    fix="Write the setting's own name; `generate` itself refuses names that it does not know.",
    example="model.generate(**inputs, num_beams=4)",
    how_sure="""
        Likely: only the source was read, where a config gets a name that is very like a setting's
        and is none.
    """,
)
def misspelt_setting(source: Source) -> Iterator[Finding]:
    """A config is given a name that is nearly a setting's."""
    for node, name in _set_by_name(source):
        if name in _SETTINGS:
            continue
        near = difflib.get_close_matches(name, _SETTINGS, n=1, cutoff=_NEAR)
        if not near:
            continue
        yield found(
            "misspelt-setting",
            WARNING,
            node,
            what=f"{name} is no setting of generate; {near[0]} is.",
            why="A config keeps a name that it does not know, and nothing reads it.",
            fix=f"model.generate(..., {near[0]}=...)  # not {name}",
        )


def _set_by_name(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Yield (node, name) of what is set in a config."""
    for node in list(source.scopes):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if _is_config(source, node.value):
                yield node, node.attr
        elif isinstance(node, ast.Call):
            updates = name_of(node) == "update" and _is_config(source, owner_of(node))
            from_dict = name_of(node) == "from_dict"
            updates |= from_dict and last_name(owner_of(node)) == "GenerationConfig"
            if not updates and name_of(node) != "GenerationConfig":
                continue
            yield from ((node, each.arg) for each in node.keywords if each.arg is not None)
            dicts = [source.value(one) for one in node.args]
            dicts += [source.value(each.value) for each in node.keywords if each.arg is None]
            keys = [key for one in dicts for key in getattr(one, "keys", [])]
            for key in keys:
                if is_string(key):
                    yield node, key.value


def _is_config(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a model's config, or one of generation."""
    if isinstance(node, ast.Attribute):
        return node.attr == "generation_config" or (
            node.attr == "config" and source.is_model(node.value)
        )
    value = source.value(node)
    if isinstance(value, ast.Attribute):
        return value.attr in _CONFIGS and _is_config(source, value)
    made = isinstance(value, ast.Call) and "GenerationConfig" in ast.unparse(value.func)
    return made or last_name(node) in _CONFIGS[1:]


@in_the_source(
    "config-never-used",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="Settings change nothing: neither length nor sampling is as asked.",
    cause="""
        A `GenerationConfig`, a logits processor or a stopping criterion is made and put into a
        name, and no call gets it. `generate` then works with the model's own.
    """,
    example="model.generate(**inputs, generation_config=config)",
    how_sure="Likely: only the source was read, where the name is not used again.",
)
def config_never_used(source: Source) -> Iterator[Finding]:
    """A config that nothing reads."""
    calls = [asked for asked in every_asked(source) if asked.kind != "config"]
    used = {
        node.id
        for node in source.scopes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    for call in source.calls if calls else ():
        above = source.parents[call]
        if not _is_for_a_call(source, call) or not isinstance(above, ast.Assign):
            continue
        names = [one.id for one in above.targets if isinstance(one, ast.Name)]
        if len(names) != len(above.targets) or set(names) & used or _is_exported(source, names[0]):
            continue
        yield found(
            "config-never-used",
            WARNING,
            call,
            what=f"{names[0]} is made here, and no call gets it.",
            why="generate works with the model's own settings: nothing of this one holds."
            if name_of(call) == "GenerationConfig"
            else "generate is never told of it, and goes on as if it was not there.",
            fix=f"{calls[0].words}(..., {_argument_for(source, call, names[0])})",
        )


def _is_for_a_call(source: Source, call: ast.Call) -> bool:
    """Tell whether a call makes what has no use but to be given to `generate`."""
    own = [one.node.name for one in written(source)]
    return name_of(call) in ("GenerationConfig", *own) or bool(_MADE.search(name_of(call)))


def _argument_for(source: Source, call: ast.Call, name: str) -> str:
    """Return the argument that an object is for, as it is written."""
    if name_of(call) == "GenerationConfig":
        return f"generation_config={name}"
    given = name if name_of(call).endswith("List") else f"[{name}]"
    processors = [one.node.name for one in written(source) if one.is_processor]
    processes = name_of(call) in processors or "Processor" in name_of(call)
    return f"{'logits_processor' if processes else 'stopping_criteria'}={given}"


def _is_exported(source: Source, name: str) -> bool:
    """Tell whether a name is for others: in `__all__`, global, or used in a text of code."""
    return any(
        isinstance(node, ast.Global | ast.Nonlocal) and name in node.names for node in source.scopes
    ) or (f'"{name}"' in source.text or f"'{name}'" in source.text)

"""What is done to a model before it generates: casts, checkpointing, settings in its config."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.models.loads import is_load_of_a_model
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_CASTS = ("half", "float", "bfloat16", "double")
# What fills a model, trains it, or measures it with whatever weights.
_FILLS = re.compile(
    r"(?<!pre)train|^fit$|^backward$|^step$|^load_|dispatch|convert|init|copy_|time$|perf_counter"
)
_MADE = re.compile(r"(ForCausalLM|LMHeadModel)$")
_LOADS_QUANTIZED = ("load_in_4bit", "load_in_8bit")
# Settings of `generate` that a model's config had in earlier versions.
_SETTINGS = (
    *("max_length", "max_new_tokens", "min_length", "do_sample", "temperature", "top_k", "top_p"),
    *("num_beams", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
    *("eos_token_id", "bad_words_ids", "num_return_sequences"),
)


@in_the_source(
    "quantized-cast",
    subject=Subject.MODEL,
    severities=(ERROR,),
    symptom="`ValueError: .half() is not supported for 4-bit or 8-bit models`, or noise.",
    cause="""
        Quantized weights are integers with scales beside them. Casting them to another type is
        refused, or takes the numbers for weights.
    """,
    fix="Leave the cast out; `dtype` and `bnb_4bit_compute_dtype` say what is computed in.",
    example="""
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
        model = AutoModelForCausalLM.from_pretrained(name, quantization_config=config)
    """,
    how_sure="Likely: only the source was read, where the model is loaded in 4 or 8 bits.",
)
def quantized_cast(source: Source) -> Iterator[Finding]:
    """A quantized model gets another dtype."""
    for call in source.calls:
        if not isinstance(call.func, ast.Attribute) or not _is_cast(call):
            continue
        loads = _loads_of(source, call.func.value)
        if not any(_is_quantized(one) for one in loads):
            continue
        yield found(
            "quantized-cast",
            ERROR,
            call,
            what=f"{source.words(call)} casts a quantized model to another dtype.",
            why="Weights of 4-bit or 8-bit models cannot be cast: generate fails or writes noise.",
            fix=f"{source.words(call.func.value)}  # as it was loaded, without the cast",
        )


def _is_cast(call: ast.Call) -> bool:
    if name_of(call) in _CASTS:
        return not call.args
    given = [*call.args, *(each.value for each in call.keywords)]
    return name_of(call) == "to" and any("float" in last_name(one) for one in given)


def _loads_of(source: Source, node: ast.AST) -> list[ast.AST]:
    """Return the calls that may have loaded a model: also where its name is given back to it."""
    found = [one for one in source.values(node) if isinstance(one, ast.Call)]
    if isinstance(node, ast.Call):
        found.append(node)
    return found


def _is_quantized(load: ast.AST) -> bool:
    if not isinstance(load, ast.Call) or name_of(load) != "from_pretrained":
        return False
    flags = [keyword(load, name) for name in _LOADS_QUANTIZED]
    return any(map(is_true, flags)) or keyword(load, "quantization_config") is not None


@in_the_source(
    "gradient-checkpointing-left-on",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="Samples between training steps are slow, or differ from those after the training.",
    cause="""
        Gradient checkpointing computes activations again for a backward pass, and switches the
        key-value cache off while the model is in training mode.
    """,
    fix="Call `model.eval()` before generating, and `model.train()` afterwards.",
    example="""
        model.eval()
        model.generate(**inputs)
        model.train()
    """,
    how_sure="""
        Likely: only the source was read, where checkpointing is enabled and neither disabled nor
        followed by `eval()` before the call.
    """,
)
def gradient_checkpointing_left_on(source: Source) -> Iterator[Finding]:
    """Checkpointing is on when the model generates."""
    for call in source.generate_calls:
        scope = source.scopes[call]
        before = [
            one
            for one in source.calls
            if one.lineno < call.lineno and source.scopes[one] in (scope, source.module)
        ]
        named = [name_of(one) for one in before]
        ends = [n for n, name in enumerate(named) if name in _ENDS]
        starts = [n for n, name in enumerate(named) if name == "gradient_checkpointing_enable"]
        trains = "train" in named
        if not starts or not trains or (ends and ends[-1] > starts[-1]):
            continue
        yield found(
            "gradient-checkpointing-left-on",
            WARNING,
            call,
            what="Gradient checkpointing is on, and the model in training mode, when it generates.",
            why="It computes everything again at each step, without a cache.",
            fix=f"{source.words(owner_of(call))}.eval()  # before generate",
        )
        return


_ENDS = ("gradient_checkpointing_disable", "eval")


@in_the_source(
    "settings-in-model-config",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="A setting that was set on `model.config` changes nothing, or the call is refused.",
    cause="""
        `generate` reads `model.generation_config`, which is made once, when the model is loaded.
        What is written into `model.config` afterwards does not get there.
    """,
    fix="Set it on `model.generation_config`, or give it to the call.",
    example="model.generation_config.max_new_tokens = 100",
    how_sure="""
        Likely: only the source was read, where nothing sets the same field on a
        `generation_config`.
    """,
)
def settings_in_model_config(source: Source) -> Iterator[Finding]:
    """A setting of `generate` is written into the model's config."""
    if not source.generate_calls:
        return
    stored = [
        node
        for node in source.scopes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    elsewhere = {node.attr for node in stored if last_name(node.value) != "config"}
    elsewhere |= {each.arg for call in source.calls for each in call.keywords}
    yield from _ends_at_loading(source)
    for node in stored:
        config = node.value
        of_model = isinstance(config, ast.Attribute) and source.is_model(config.value)
        if not of_model or config.attr != "config" or node.attr not in _SETTINGS:
            continue
        if node.attr in elsewhere:
            continue
        model = source.words(config.value)
        yield found(
            "settings-in-model-config",
            WARNING,
            node,
            what=f"{source.words(node)} is set, and generate reads {model}.generation_config.",
            why=f"{node.attr} changes nothing there, or is refused.",
            fix=f"{model}.generation_config.{node.attr} = ...",
        )


def _ends_at_loading(source: Source) -> Iterator[Finding]:
    """Yield where a load is given end tokens, which go into the model's config."""
    name = "eos_token_id"
    given = [one for one in source.calls if keyword(one, name) is not None]
    named = any(isinstance(one, ast.Attribute) and one.attr == name for one in source.scopes)
    for call in given:
        if not is_load_of_a_model(call) or len(given) > 1 or named:
            continue
        yield found(
            "settings-in-model-config",
            WARNING,
            call,
            what=f"{name} is given at loading, and goes into the model's config.",
            why="generate reads generation_config, which comes from a file of its own.",
            fix=f"model.generate(..., {name}={source.words(keyword(call, name))})",
        )


@in_the_source(
    "config-without-weights",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="Each run writes another text, and all of them are noise.",
    cause="""
        A config says how large a model is, not what it has learned. `from_config`, or a model's
        class called with a config, makes weights at random; only `from_pretrained` reads them.
    """,
    fix="Load the checkpoint itself.",
    example="model = AutoModelForCausalLM.from_pretrained(name)",
    how_sure="""
        Likely: only the source was read, where the config is a checkpoint's, and nothing trains
        the model or loads weights into it.
    """,
)
def config_without_weights(source: Source) -> Iterator[Finding]:
    """A model is made from a checkpoint's config alone, and generates."""
    if any(_FILLS.search(name_of(call)) for call in source.calls):
        return
    if any(_is_changed_config(source, node) for node in source.scopes):
        return
    told = set()
    for call in source.generate_calls:
        made = source.placed(owner_of(call))
        if made in told or not _is_of_a_config(source, made):
            continue
        told.add(made)
        yield found(
            "config-without-weights",
            WARNING,
            made,
            what=f"{source.words(made.func)} makes a model of a config alone: its weights are "
            "random.",
            why="A config has sizes and no weights: each run writes another noise.",
            fix=f"{_class_of(made)}.from_pretrained(...)  # reads the weights too",
        )


def _class_of(made: ast.Call) -> str:
    from_config = name_of(made) in ("from_config", "_from_config")
    return last_name(made.func.value) if from_config else name_of(made)


def _is_of_a_config(source: Source, made: ast.AST) -> bool:
    """Tell whether a value is a model made of a checkpoint's own config."""
    if not isinstance(made, ast.Call):
        return False
    of_config = name_of(made) in ("from_config", "_from_config")
    if not of_config and not _MADE.search(name_of(made)):
        return False
    given = made.args[0] if made.args else keyword(made, "config")
    config = source.value(given) if given is not None else None
    return (
        isinstance(config, ast.Call)
        and name_of(config) == "from_pretrained"
        and all(each.arg in ("trust_remote_code", "revision") for each in config.keywords)
    )


def _is_changed_config(source: Source, node: ast.AST) -> bool:
    """Tell whether a config, or weights, are assigned to: `config.num_hidden_layers = 2`."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ("config" in last_name(node.value) or node.attr in ("data", "weight"))
    )

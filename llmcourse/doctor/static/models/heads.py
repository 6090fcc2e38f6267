"""Models that cannot generate: without a head or weights, in a wrapper; methods not called."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import assigned_to, followed
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_true,
    keyword,
    last_name,
    loaded_by,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_BARE = re.compile(
    r"^(AutoModel|(GPT2|GPTNeo|GPTNeoX|GPTJ|Llama|Mistral|Mixtral|Qwen2|Qwen3|Gemma\d?|Phi\d?|"
    r"OPT|Bloom|Falcon|Olmo\d?|SmolLM3|StableLm|Cohere\d?)Model)$"
)
_OTHER_TASK = re.compile(r"For(SequenceClassification|TokenClassification|QuestionAnswering)$")
_WRAPPERS = ("DistributedDataParallel", "DDP", "DataParallel")
# What fills a model, trains it, or measures it with whatever weights.
_FILLS = re.compile(
    r"(?<!pre)train|^fit$|^backward$|^step$|^load_|dispatch|convert|init|copy_|time$|perf_counter"
)
_MADE = re.compile(r"(ForCausalLM|LMHeadModel)$")


@in_the_source(
    "model-without-head",
    subject=Subject.MODEL,
    severities=(ERROR,),
    symptom="`AttributeError: ... object has no attribute 'generate'`, or `'logits'`.",
    cause="""
        `AutoModel` and classes such as `GPT2Model` end with hidden states: they have no language
        modeling head, no logits and no `generate`. A class for classification has a head with a
        row for each label, not for each token.
    """,
    fix="Load the class for causal language modeling.",
    example="model = AutoModelForCausalLM.from_pretrained(name)",
    how_sure="Likely: only the source was read, where the model is loaded by such a class.",
)
def model_without_head(source: Source) -> Iterator[Finding]:
    """A model without a language modeling head generates, or is asked for logits."""
    if not any(source.is_tokenizer(call.func) for call in source.calls):
        return
    told: set[ast.AST] = set()
    for node in list(source.scopes):
        asked = _asks(source, node)
        for load in (asked and _loads(source, asked[1])) or ():
            if load in told:
                continue
            told.add(load)
            cls, what = loaded_by(load), asked[0]
            yield found(
                "model-without-head",
                ERROR,
                node,
                what=f"{source.words(node)[:70]}: {cls} has no language modeling head (lm_head), "
                f"and no {what}.",
                why="It returns hidden states, or scores of labels: an AttributeError."
                if _BARE.search(cls)
                else "Its head has a row for each label: it cannot write texts.",
                fix="AutoModelForCausalLM.from_pretrained(...)",
            )


def _asks(source: Source, node: ast.AST) -> tuple[str, ast.AST] | None:
    """Return what is asked of a model, `generate` or `logits`, and the model."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return ("generate", node.func.value) if node.func.attr == "generate" else None
    if isinstance(node, ast.Attribute) and node.attr == "logits":
        made = followed(source, node.value)
        if isinstance(made, ast.Call) and not isinstance(made.func, ast.Call):
            return "logits", made.func
    return None


def _loads(source: Source, model: ast.AST) -> list[ast.Call]:
    """Return the loads by a class without a head that a model comes from, if all do."""
    values = source.values(model)
    if isinstance(model, ast.Attribute):
        values = [source.placed(one) for one in assigned_to(source, model)] or values
    loads = [one for one in values if isinstance(one, ast.Call)]
    loads = [one for one in loads if name_of(one) == "from_pretrained"]
    remote = any(is_true(keyword(one, "trust_remote_code")) for one in loads)
    if remote or not loads or len(loads) != len(values):
        return []
    bare = all(_BARE.search(loaded_by(one)) for one in loads)
    others = all(_OTHER_TASK.search(loaded_by(one)) for one in loads)
    asks_logits = isinstance(source.parents.get(model), ast.Call)
    return loads[:1] if bare or (others and not asks_logits) else []


@in_the_source(
    "generate-of-a-wrapper",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    symptom="`AttributeError: 'DistributedDataParallel' object has no attribute 'generate'`.",
    cause="""
        `DistributedDataParallel` and `DataParallel` wrap a model's forward pass, and have none of
        its other methods. What `accelerator.prepare` returns is such a wrapper as soon as there are
        several processes.
    """,
    fix="Call the model inside.",
    example="""
        accelerator.unwrap_model(model).generate(**inputs)  # or model.module.generate
    """,
    how_sure="""
        Likely: only the source was read. An error for a wrapper that is made there, a warning for
        `accelerator.prepare`, which returns the model itself to a single process.
    """,
)
def generate_of_a_wrapper(source: Source) -> Iterator[Finding]:
    """`generate` of a model that is wrapped for several devices."""
    for call in source.calls:
        if name_of(call) != "generate" or not isinstance(call.func, ast.Attribute):
            continue
        made = _wrapped(source, call.func.value)
        if made is None:
            continue
        prepared = name_of(made) == "prepare"
        if prepared and re.search(r"unwrap_model|\.module\b", source.text):
            continue
        model = source.words(owner_of(call))
        yield found(
            "generate-of-a-wrapper",
            WARNING if prepared else ERROR,
            call,
            what=f"{source.words(call.func)} is called, and {source.words(made.func)} wraps "
            f"{model}.",
            why="With several processes that is DistributedDataParallel, which has no generate."
            if prepared
            else f"{name_of(made)} has a forward pass and no generate: an AttributeError.",
            fix=f"accelerator.unwrap_model({model}).generate(...)"
            if prepared
            else f"{model}.module.generate(...)",
        )
        return


def _wrapped(source: Source, model: ast.AST) -> ast.Call | None:
    """Return the call that wrapped a model, or None."""
    value = followed(source, model)
    if isinstance(model, ast.Attribute):
        given = assigned_to(source, model)
        value = source.placed(given[-1]) if given else value
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        value = value.value
    if not isinstance(value, ast.Call):
        return None
    if name_of(value) in _WRAPPERS:
        return value
    prepares = name_of(value) == "prepare" and "accel" in last_name(owner_of(value)).lower()
    return value if prepares else None


_METHODS = ("eval", "train", "half", "cuda", "bfloat16", "tie_weights", "merge_and_unload")
_METHODS += ("gradient_checkpointing_enable", "gradient_checkpointing_disable", "zero_grad")
_METHODS += ("backward", "empty_cache", "synchronize", "disable_adapter_layers")


@in_the_source(
    "never-called",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="`model.eval` is there, and dropout is still on: each text differs.",
    cause="A method's name without parentheses is the method itself: nothing calls it.",
    fix="Call it.",
    example="model.eval()",
    how_sure="Likely: only the source was read, where a method stands on a line of its own.",
)
def never_called(source: Source) -> Iterator[Finding]:
    """A method without its parentheses."""
    for node in list(source.scopes):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Attribute):
            continue
        if node.value.attr not in _METHODS:
            continue
        words = source.words(node.value)
        yield found(
            "never-called",
            WARNING,
            node,
            what=f"{words} stands there without parentheses, and is not called.",
            why="It names the method and changes nothing: the mode, or the type, stays as it was.",
            fix=f"{words}()",
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
    return name_of(config) == "from_pretrained" and all(
        each.arg in ("trust_remote_code", "revision") for each in config.keywords
    )


def _is_changed_config(source: Source, node: ast.AST) -> bool:
    """Tell whether a config, or weights, are assigned to: `config.num_hidden_layers = 2`."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ("config" in last_name(node.value) or node.attr in ("data", "weight"))
    )

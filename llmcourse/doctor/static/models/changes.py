"""What is done to a model once it is loaded: casts, settings in its config, new tokens."""

import ast
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.loads import is_load_of_a_model, is_quantized
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_string,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
    values_given,
)
from llmcourse.doctor.subject import Subject

_CASTS = ("half", "float", "bfloat16", "double")
# Settings of `generate` that a model's config had in earlier versions.
_SETTINGS = (
    *("max_length", "max_new_tokens", "min_length", "do_sample", "temperature", "top_k", "top_p"),
    *("num_beams", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
    *("eos_token_id", "bad_words_ids", "num_return_sequences"),
)
# Context managers: on a line of their own they are made, and never entered.
_CONTEXTS = ("no_grad", "inference_mode", "autocast", "disable_adapter")
# Functions that give back something new, by what they are called on.
_OF_MODULES = {
    "torch": ("compile", "cat", "softmax", "where", "argmax", "stack", "masked_fill"),
    "copy": ("copy", "deepcopy"),
}
_FUNCTIONS = ("get_peft_model", "deepcopy")
# Methods of tensors without the underscore at the end.
_OF_TENSORS = (
    *("masked_fill", "index_fill", "index_add", "index_copy", "clamp", "softmax"),
    *("log_softmax", "unsqueeze", "squeeze", "reshape", "transpose", "permute"),
)
_OF_TEXTS = ("strip", "lstrip", "rstrip", "removeprefix", "removesuffix", "lower", "upper", "title")
_PLACES = ("to", "cuda", "cpu")
_SAVES = ("save_pretrained", "push_to_hub")


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
        if not any(name_of(one) == "from_pretrained" and is_quantized(one) for one in loads):
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
    given = values_given(call)
    return name_of(call) == "to" and any("float" in last_name(one) for one in given)


def _loads_of(source: Source, node: ast.AST) -> list[ast.AST]:
    """Return the calls that may have loaded a model: also where its name is given back to it."""
    found = [one for one in source.values(node) if isinstance(one, ast.Call)]
    if isinstance(node, ast.Call):
        found.append(node)
    return found


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
    "four-bits-in-32",
    subject=Subject.MODEL,
    severities=(NOTE,),
    symptom="A model in 4 bits is slower than the same one in 16.",
    cause="""
        Weights in 4 bits are turned into `bnb_4bit_compute_dtype` for each product. Left out, that
        is float32, for which graphics cards have no fast units.
    """,
    fix="Name a type of 16 bits.",
    example="BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)",
    how_sure="Likely, and a note: only the source was read; on a processor it is as it should be.",
)
def four_bits_in_32(source: Source) -> Iterator[Finding]:
    """A config for 4 bits does not say what is computed in."""
    for call in source.calls:
        unpacked = any(each.arg is None for each in call.keywords)
        if name_of(call) != "BitsAndBytesConfig" or unpacked:
            continue
        if not is_true(keyword(call, "load_in_4bit")) or keyword(call, "bnb_4bit_compute_dtype"):
            continue
        if not any(
            "cuda" in str(node.value) for node in source.scopes if isinstance(node, ast.Constant)
        ):
            continue
        yield found(
            "four-bits-in-32",
            NOTE,
            call,
            what="load_in_4bit without bnb_4bit_compute_dtype: products are computed in float32.",
            why="Graphics cards are several times faster in 16 bits.",
            fix="BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)",
        )


@in_the_source(
    "embedding-size",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: tokens are added and no embeddings, or the size is
        `vocab_size`, which leaves added tokens out.
    """,
)
def embedding_size(source: Source) -> Iterator[Finding]:
    """Tokens are added, and the embeddings do not follow."""
    resizes = [one for one in source.calls if name_of(one) == "resize_token_embeddings"]
    for call in resizes:
        size = source.value(call.args[0]) if call.args else None
        of_words = isinstance(size, ast.Attribute) and size.attr == "vocab_size"
        if not of_words or not source.is_tokenizer(size.value):
            continue
        yield found(
            "embedding-size",
            WARNING,
            call,
            what=f"{source.words(call.args[0])} leaves the added tokens out.",
            why="Special tokens are often among them: their ids are beyond the embeddings.",
            fix=f"{source.words(call.func)}(len({source.words(size.value)}))",
        )
    if resizes or not source.generate_calls:
        return
    for call in source.calls:
        if name_of(call) not in ("add_tokens", "add_special_tokens") or not call.args:
            continue
        if not source.is_tokenizer(owner_of(call)) or not _new_tokens(source, call.args[0]):
            continue
        model = source.words(owner_of(source.generate_calls[0]))
        yield found(
            "embedding-size",
            WARNING,
            call,
            what="Tokens are added to the tokenizer, and no embeddings to the model.",
            why="Their ids are beyond its rows, an IndexError, or rows that were never trained.",
            fix=f"{model}.resize_token_embeddings(len({source.words(owner_of(call))}))",
        )


def _new_tokens(source: Source, node: ast.AST) -> bool:
    """Tell whether an argument is seen to be texts: as a list, a set or a dictionary of them."""
    value = source.value(node)
    parts = value.values if isinstance(value, ast.Dict) else getattr(value, "elts", [value])
    parts = [one for part in parts for one in getattr(part, "elts", [part])]
    return bool(parts) and all(is_string(one) for one in parts)


@in_the_source(
    "result-dropped",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="A line changes nothing: as slow, as long, and the banned token still comes.",
    cause="""
        `torch.compile`, a tensor's `masked_fill` or `to`, a text's `strip` give back something new
        and leave what they are called on as it is. `torch.no_grad()` counts in a `with` alone.
    """,
    fix="Keep what is returned.",
    example="""
        model = torch.compile(model)
        scores = scores.masked_fill(banned, float("-inf"))
        with torch.no_grad():
            ...
    """,
    how_sure="Likely: only the source was read, where nothing takes what the call returns.",
)
def result_dropped(source: Source) -> Iterator[Finding]:
    """A call's result is not used, and it does nothing else."""
    for call in source.calls:
        if not isinstance(source.parents.get(call), ast.Expr):
            continue
        said = _said(source, call)
        if said is None:
            continue
        why, fix = said
        yield found(
            "result-dropped",
            WARNING,
            call,
            what=f"{source.words(call)[:80]} stands on a line of its own.",
            why=why,
            fix=fix,
        )


def _said(source: Source, call: ast.Call) -> tuple[str, str] | None:
    """Return why a dropped result is missed, and what to write; None where nothing is."""
    name, owner, words = name_of(call), owner_of(call), source.words(call)[:100]
    kept = f"{source.words(owner)} = {words}"
    if name in _CONTEXTS and isinstance(call.func, ast.Attribute):
        return "It takes effect in a with statement alone.", f"with {words}: ..."
    if name in _OF_MODULES.get(last_name(owner), ()) or (
        name in _FUNCTIONS and isinstance(call.func, ast.Name)
    ):
        first = source.words(call.args[0])[:60] if call.args else "result"
        return "It returns something new, and changes nothing.", f"{first} = {words}"
    if not isinstance(call.func, ast.Attribute):
        return None
    if name in _OF_TENSORS and _is_inside(source, call):
        return "It returns a new tensor, and leaves this one as it was.", kept
    if name in _PLACES and _is_a_tensor(source, owner):
        return "A tensor's .to returns a new tensor, and leaves this one where it was.", kept
    if name in _OF_TEXTS and _is_inside(source, call) and _is_a_text(source, owner):
        return "It returns a new text, and leaves this one as it was.", kept
    if name == "merge_and_unload" and _is_saved(source, owner):
        return "It returns the merged model; this one is saved as an adapter.", kept
    return None


def _is_inside(source: Source, call: ast.Call) -> bool:
    """Tell whether a call is in a function or a loop: at a cell's end its result is shown."""
    loops = any(isinstance(one, ast.For | ast.While) for one in source.above(call))
    return loops or source.scopes[call] is not source.module


def _is_a_tensor(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a tokenizer's tensor, not the dictionary around it."""
    if isinstance(node, ast.Attribute) and node.attr in ("input_ids", "attention_mask"):
        return True
    if isinstance(node, ast.Subscript) and source.constants(node.slice) in (
        ["input_ids"],
        ["attention_mask"],
    ):
        return True
    value = source.value(node)
    if value is not node:
        return _is_a_tensor(source, value)
    encodes = name_of(value) == "encode"
    return encodes and keyword(value, "return_tensors") is not None


def _is_a_text(source: Source, node: ast.AST) -> bool:
    """Tell whether an expression is a text that was decoded, or named as one."""
    value = source.value(node)
    if name_of(value) in ("decode", "batch_decode"):
        return True
    return last_name(node) in ("text", "answer", "response", "output_text", "generated_text")


def _is_saved(source: Source, node: ast.AST) -> bool:
    """Tell whether what is called is saved later under the same name."""
    return any(
        name_of(one) in _SAVES
        and one.lineno > node.lineno
        and ast.unparse(owner_of(one)) == ast.unparse(node)
        for one in source.calls
    )

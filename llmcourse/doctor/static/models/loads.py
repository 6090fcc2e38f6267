"""How a model is loaded: arguments of elsewhere, in every turn of a loop, names that differ."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.asked import every_asked
from llmcourse.doctor.static.reading.loads import is_load_of_a_model
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_false, keyword, loaded_by, name_of
from llmcourse.doctor.subject import Subject

_QUANTIZED = "quantization_config=BitsAndBytesConfig({}=True)"
# What is no argument of a model's `from_pretrained` in version 5, and where it belongs.
_ELSEWHERE = {
    "load_in_4bit": _QUANTIZED.format("load_in_4bit"),
    "load_in_8bit": _QUANTIZED.format("load_in_8bit"),
    "use_flash_attention_2": 'attn_implementation="flash_attention_2"',
    "use_auth_token": "token=...",
    "device": "device_map=...",
    "fp16": 'dtype="float16"',
    "bf16": 'dtype="bfloat16"',
}
_OF_A_TOKENIZER = ("padding_side", "truncation_side", "use_fast", "model_max_length", "pad_token")
_OF_GENERATE = (
    *("max_new_tokens", "max_length", "min_length", "do_sample", "temperature", "top_k", "top_p"),
    *("num_beams", "repetition_penalty", "no_repeat_ngram_size", "stop_strings", "min_p"),
    *("num_return_sequences", "length_penalty", "early_stopping", "stopping_criteria"),
)
# Arguments of a tokenizer's call, which its `from_pretrained` keeps and never looks at.
_OF_A_CALL = (
    *("padding", "truncation", "max_length", "return_tensors", "return_attention_mask"),
    *("skip_special_tokens", "add_generation_prompt", "enable_thinking", "return_dict"),
)


@in_the_source(
    "loading-argument",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    symptom="`TypeError: ...__init__() got an unexpected keyword argument`; or no effect at all.",
    cause="""
        A model's `from_pretrained` hands what it does not know to the model's class, which refuses
        it; version 5 of transformers knows less than version 4 did (`load_in_4bit`). A tokenizer's
        keeps what it does not know, and nobody looks at it.
    """,
    fix="Quantization is a config; settings belong to `generate`, padding to the tokenizer's call.",
    example="""
        config = BitsAndBytesConfig(load_in_4bit=True)
        model = AutoModelForCausalLM.from_pretrained(name, quantization_config=config)
    """,
    how_sure="""
        Likely: only the source was read. An error where the load fails, a warning where the
        argument is passed over.
    """,
)
def loading_argument(source: Source) -> Iterator[Finding]:
    """An argument that `from_pretrained` does not know, or does not use."""
    for call, given in _model_arguments(source):
        if any(isinstance(above, ast.Try) for above in source.above(call)):
            continue  # somebody expects that it may fail
        for name, value in given.items():
            belongs = _where(source, call, name)
            if belongs is None or is_false(value):
                continue
            yield found(
                "loading-argument",
                ERROR,
                call,
                what=f"{name} is no argument that a model is loaded with.",
                why="The load fails with a TypeError about the model's __init__.",
                fix=belongs,
            )
    for call in source.calls:
        if name_of(call) != "from_pretrained" or not loaded_by(call).endswith("Tokenizer"):
            continue
        ignored = [name for name in _OF_A_CALL if keyword(call, name) is not None]
        if ignored:
            yield found(
                "loading-argument",
                WARNING,
                call,
                what=f"{', '.join(ignored)}: the tokenizer is loaded with it, and does not use it.",
                why="It is kept and never looked at: these are arguments of the tokenizer's call.",
                fix=f"tokenizer(texts, {ignored[0]}={source.words(keyword(call, ignored[0]))})",
            )


def _model_arguments(source: Source) -> Iterator[tuple[ast.Call, dict[str, ast.AST]]]:
    """Yield the loads of models, and the arguments that a model is loaded with there."""
    foreign = _imported_from_elsewhere(source)
    for call in source.calls:
        if is_load_of_a_model(call) and loaded_by(call) not in foreign:
            yield call, {each.arg: each.value for each in call.keywords if each.arg is not None}
        elif name_of(call) == "pipeline" and keyword(call, "model_kwargs") is not None:
            value = source.value(keyword(call, "model_kwargs"))
            if isinstance(value, ast.Dict):
                pairs = zip(value.keys, value.values, strict=True)
                yield call, {key.value: one for key, one in pairs if isinstance(key, ast.Constant)}


def _imported_from_elsewhere(source: Source) -> set[str]:
    """Return the names that come from other libraries, some of which have the same classes."""
    return {
        alias.asname or alias.name
        for node in source.scopes
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] != "transformers"
        for alias in node.names
    }


def _where(source: Source, call: ast.Call, name: str) -> str | None:
    """Return where an argument belongs, as Python; None if it is right where it is."""
    if name in _ELSEWHERE:
        return f"{source.words(call.func)}(..., {_ELSEWHERE[name]})"
    if name in _OF_A_TOKENIZER:
        return f"AutoTokenizer.from_pretrained(name, {name}=...)"
    return f"model.generate(**inputs, {name}=...)" if name in _OF_GENERATE else None


@in_the_source(
    "loaded-in-a-loop",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="Each answer takes as long as the first, most of it loading; memory runs out.",
    cause="`from_pretrained` or `pipeline` stands where each prompt passes, and reads all weights.",
    fix="Load once, before the loop or at the module's level.",
    example="""
        pipe = pipeline("text-generation", model=name)
        answers = [pipe(prompt) for prompt in prompts]
    """,
    how_sure="Likely: only the source was read, where the same model is loaded in each turn.",
)
def loaded_in_a_loop(source: Source) -> Iterator[Finding]:
    """The same model is loaded again for each text."""
    for call in source.calls:
        if not is_load_of_a_model(call) and not _makes_a_pipeline(call):
            continue
        loop = _loop_around(source, call) or _loop_around_calls(source, call)
        if loop is None or _ends_the_loop(call, source):
            continue
        if not any(asked.kind != "config" for asked in every_asked(source)):
            continue
        yield found(
            "loaded-in-a-loop",
            WARNING,
            call,
            what=f"{source.words(call.func)} loads the same model in each turn of a loop.",
            why="All weights are read again for each text.",
            fix=f"model = {source.words(call)}  # once, before the loop",
        )


def _makes_a_pipeline(call: ast.Call) -> bool:
    return name_of(call) == "pipeline" and isinstance(call.func, ast.Name)


def _loop_around(source: Source, call: ast.AST) -> ast.AST | None:
    """Return the loop around a call, if nothing in the call depends on it."""
    used = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    for above in source.above(call):
        if isinstance(above, ast.For | ast.While):
            bound = _bound_in(above)
            return None if used & bound else above
        if isinstance(above, ast.comprehension | ast.If | ast.Try):
            return None
    return None


def _bound_in(loop: ast.AST) -> set[str]:
    """Return the names that a loop gives values to."""
    stored = [node for node in ast.walk(loop) if isinstance(node, ast.Name)]
    return {node.id for node in stored if isinstance(node.ctx, ast.Store)}


def _loop_around_calls(source: Source, call: ast.Call) -> ast.AST | None:
    """Return a loop that calls the function that loads, if it loads the same each time."""
    function = source.parents.get(call)
    while function is not None and not isinstance(function, ast.FunctionDef):
        if isinstance(function, ast.If | ast.Try | ast.ClassDef):
            return None
        function = source.parents.get(function)
    if function is None or function.decorator_list:
        return None
    given = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
    used = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    if used & given or any(_gives_the_model(source, one) for one in returned if one is not None):
        return None
    calls = [one for one in source.calls if isinstance(one.func, ast.Name)]
    for one in calls:
        if one.func.id != function.name:
            continue
        for above in source.above(one):
            if isinstance(above, ast.For | ast.While | ast.comprehension | ast.ListComp):
                return above
    return None


def _gives_the_model(source: Source, returned: ast.AST) -> bool:
    """Tell whether a function returns what it has loaded."""
    values = [source.placed(one) for one in getattr(returned, "elts", [returned])]
    calls = [one for one in values if isinstance(one, ast.Call)]
    return any(is_load_of_a_model(one) or _makes_a_pipeline(one) for one in calls)


def _ends_the_loop(call: ast.AST, source: Source) -> bool:
    """Tell whether a loop is left as soon as the load has worked: it is tried until it does."""
    for above in source.above(call):
        if isinstance(above, ast.For | ast.While):
            return any(isinstance(node, ast.Break | ast.Return) for node in ast.walk(above))
    return False


# Families of models by words in their names; those of one line share their tokenizer's ids.
_FAMILIES = {
    "gpt2": re.compile(r"gpt-?2|gpt-?j|gpt-?neo-?\d|dialogpt|cerebras"),
    "neox": re.compile(r"neox|pythia|dolly"),
    "llama": re.compile(r"llama|vicuna|alpaca|zephyr|mistral|mixtral"),
    "qwen": re.compile(r"qwen|qwq"),
    "gemma": re.compile(r"gemma"),
    "phi": re.compile(r"\bphi-?\d"),
    "falcon": re.compile(r"falcon"),
    "opt": re.compile(r"\bopt-\d"),
    "bloom": re.compile(r"bloom"),
    "smollm": re.compile(r"smollm"),
    "olmo": re.compile(r"olmo"),
    "starcoder": re.compile(r"starcoder"),
    "t5": re.compile(r"\bt5|flan"),
    "bert": re.compile(r"bert"),
}


@in_the_source(
    "tokenizer-of-another-model",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the two names are of families that have no vocabulary
        in common.
    """,
)
def tokenizer_of_another_model(source: Source) -> Iterator[Finding]:
    """Model and tokenizer are loaded by the names of different families."""
    for call, model_name, name in _pairs(source):
        families = [_family(model_name), _family(name)]
        if not all(families) or families[0] & families[1]:
            continue
        yield found(
            "tokenizer-of-another-model",
            WARNING,
            call,
            what=f"The model is {model_name!r}, and its tokenizer that of {name!r}.",
            why="Their vocabularies differ: the ids mean other tokens to this model.",
            fix=f"AutoTokenizer.from_pretrained({model_name!r})",
        )


def _pairs(source: Source) -> Iterator[tuple[ast.Call, str, str]]:
    """Yield loads of a tokenizer, with the model's name and its own, where each is plain to see."""
    models = [one for one in source.calls if is_load_of_a_model(one)]
    tokenizers = [
        one
        for one in source.calls
        if name_of(one) == "from_pretrained"
        and loaded_by(one).endswith(("Tokenizer", "TokenizerFast"))
    ]
    if len(models) == len(tokenizers) == 1:
        names = [_first_text(source, one) for one in (models[0], tokenizers[0])]
        if all(names):
            yield tokenizers[0], *names
    for call in source.calls:
        if name_of(call) == "pipeline" and keyword(call, "tokenizer") is not None:
            given = [keyword(call, name) for name in ("model", "tokenizer")]
            texts = [source.constants(one) if one is not None else [] for one in given]
            if all(len(one) == 1 and isinstance(one[0], str) for one in texts):
                yield call, texts[0][0], texts[1][0]


def _first_text(source: Source, call: ast.Call) -> str:
    texts = source.constants(call.args[0]) if call.args else []
    return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else ""


def _family(name: str) -> set[str]:
    return {family for family, words in _FAMILIES.items() if words.search(name.lower())}


@in_the_source(
    "pickle-of-strangers",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="None, until somebody changes the file: then its code runs on your machine.",
    cause="A pickle may hold any call. `weights_only=False` makes them when the file is read.",
    fix="Take safetensors, or leave `weights_only` on.",
    example='torch.load(path, weights_only=True, map_location="cpu")',
    how_sure="Likely: only the source was read, where a file that is fetched is read so.",
)
def pickle_of_strangers(source: Source) -> Iterator[Finding]:
    """A file from elsewhere is unpickled with all that it may do."""
    for call in source.calls:
        if not is_false(keyword(call, "weights_only")):
            continue
        fetched = call.args and _is_fetched(source, call.args[0])
        if not is_load_of_a_model(call) and not (name_of(call) == "load" and fetched):
            continue
        yield found(
            "pickle-of-strangers",
            WARNING,
            call,
            what=f"{source.words(call.func)} reads a file of others with weights_only=False.",
            why="Whoever can change that file can run code on this machine.",
            fix=f"{source.words(call.func)}(..., weights_only=True)",
        )


_FETCHES = ("hf_hub_download", "snapshot_download", "cached_download", "urlretrieve", "urlopen")


def _is_fetched(source: Source, node: ast.AST) -> bool:
    value = source.value(node)
    return any(name_of(one) in _FETCHES for one in ast.walk(value))

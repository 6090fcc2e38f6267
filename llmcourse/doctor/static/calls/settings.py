"""Settings that are misspelt where nobody refuses them."""

import ast
import difflib
from collections.abc import Iterator

from llmcourse.doctor.finding import WARNING, Finding
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, last_name, name_of, owner_of
from llmcourse.doctor.subject import Subject

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
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
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

"""Settings: who set them, of the wrong kind, without effect, and penalties."""

import torch
import transformers
from transformers import (
    GenerationConfig,
)

from tests.doctor.corpus.calls import LENGTH, Call, faulty, plain, sound, written


def _setting(code: str | None, name: str, call: dict, settings=None, **options) -> None:
    def make():
        model, tokenizer = plain("unigram", settings=settings)
        return Call(model, tokenizer, "a text that goes on", call, **options)

    (sound(name) if code is None else faulty(code, name))(make)


_SAMPLE = LENGTH | {"do_sample": True}


for _code, _name, _call, _settings in (
    ("no-length", "no length", {}, None),
    ("no-length", "no length, sampling", {"do_sample": True}, None),
    (None, "a length in the model's generation_config", {}, {"max_new_tokens": 9}),
    ("max-length-counts-prompt", "max_length little above the prompt", {"max_length": 24}, None),
    ("max-length-below-prompt", "max_length below the prompt", {"max_length": 5}, None),
    (None, "max_length far above the prompt", {"max_length": 100}, None),
    ("beyond-context", "a limit beyond the context", {"max_new_tokens": 120}, None),
    (None, "a limit just within the context", {"max_new_tokens": 100}, None),
    ("sampling-ignored", "temperature without sampling", LENGTH | {"temperature": 0.7}, None),
    ("sampling-ignored", "top_p without sampling", LENGTH | {"top_p": 0.9}, None),
    ("sampling-ignored", "top_k without sampling", LENGTH | {"top_k": 5}, None),
    ("sampling-ignored", "min_p in beam search", LENGTH | {"min_p": 0.1, "num_beams": 2}, None),
    (
        "sampling-ignored",
        "a config's temperature without sampling",
        {"generation_config": GenerationConfig(temperature=0.7, max_new_tokens=4)},
        None,
    ),
    (
        None,
        "sampling switched off, neutral values",
        LENGTH | {"do_sample": False, "top_p": 1.0},
        None,
    ),
    (
        None,
        "a model's own temperature, greedy call",
        LENGTH | {"do_sample": False},
        {"temperature": 0.6},
    ),
    ("hidden-top-k", "top_p beside the hidden top_k", _SAMPLE | {"top_p": 0.95}, None),
    ("hidden-top-k", "temperature beside the hidden top_k", _SAMPLE | {"temperature": 1.2}, None),
    (None, "top_p, top_k switched off", _SAMPLE | {"top_p": 0.95, "top_k": 0}, None),
    ("top-p-above-one", "top_p in percent", _SAMPLE | {"top_p": 95}, None),
    (None, "top_p 1", _SAMPLE | {"top_p": 1.0}, None),
    (None, "top_p in percent, nothing drawn", LENGTH | {"do_sample": False}, {"top_p": 95}),
    ("temperature-too-high", "temperature 5", _SAMPLE | {"temperature": 5.0}, None),
    ("temperature-too-low", "temperature 0.01", _SAMPLE | {"temperature": 0.01}, None),
    ("temperature-too-low", "temperature 0 with sampling", _SAMPLE | {"temperature": 0.0}, None),
    (None, "temperature 0.7", _SAMPLE | {"temperature": 0.7}, None),
    (None, "temperature 0.1", _SAMPLE | {"temperature": 0.1}, None),
    (None, "temperature 1.5 and min_p", _SAMPLE | {"temperature": 1.5, "min_p": 0.1}, None),
    ("hidden-repetition-penalty", "the model's penalty", LENGTH, {"repetition_penalty": 1.3}),
    (
        "hidden-repetition-penalty",
        "the model's penalty, sampling",
        _SAMPLE,
        {"repetition_penalty": 1.1},
    ),
    (None, "the call's own penalty", LENGTH | {"repetition_penalty": 1.2}, None),
    (
        None,
        "the model's penalty, named in the call",
        LENGTH | {"repetition_penalty": 1.3},
        {"repetition_penalty": 1.3},
    ),
    ("no-eos", "no eos", LENGTH, {"eos_token_id": None}),
    (None, "no eos, a stop string", LENGTH | {"stop_strings": ["."]}, {"eos_token_id": None}),
    (
        "unknown-token-among-eos",
        "eos by a name that is not there",
        LENGTH | {"eos_token_id": [2, 3]},
        None,
    ),
    ("unknown-token-among-eos", "eos unknown alone", LENGTH | {"eos_token_id": 3}, None),
    (None, "eos of two known tokens", LENGTH | {"eos_token_id": [2, 5]}, None),
    ("stop-string-empty", "an empty stop string", LENGTH | {"stop_strings": ["b", ""]}, None),
    ("stop-string-empty", "a stop string of None", LENGTH | {"stop_strings": [None]}, None),
    (None, "two stop strings", LENGTH | {"stop_strings": ["b", "c"]}, None),
    ("no-cache", "the cache off in the call", LENGTH | {"use_cache": False}, None),
    ("no-cache", "the cache off in the model", LENGTH, {"use_cache": False}),
    (None, "the cache off for one token", {"max_new_tokens": 1, "use_cache": False}, None),
    ("refused", "max_new_tokens 0", {"max_new_tokens": 0}, None),
    ("refused", "several greedy sequences", LENGTH | {"num_return_sequences": 2}, None),
    ("refused", "a misspelt argument", LENGTH | {"max_tokens": 9}, None),
    (
        None,
        "several beams, several sequences",
        LENGTH | {"num_return_sequences": 2, "num_beams": 2},
        None,
    ),
    (None, "a penalty and an n-gram block", LENGTH | {"no_repeat_ngram_size": 3}, None),
    (None, "prompt lookup", LENGTH | {"prompt_lookup_num_tokens": 3}, None),
    (None, "typical sampling", _SAMPLE | {"typical_p": 0.9}, None),
):
    _setting(_code, _name, _call, _settings)

_setting("no-seed", "no seed where it is expected", _SAMPLE, repeatable=True)

_setting(None, "a seed where it is expected", _SAMPLE, repeatable=True, seed=3)

_setting(None, "greedy where the same is expected", LENGTH, repeatable=True)


def _static_cache(places: int) -> dict:
    model, _ = plain("unigram")
    return {"past_key_values": transformers.StaticCache(model.config, max_cache_len=places)}


_TEMPERED = transformers.TemperatureLogitsWarper(0.5)


for _code, _name, _call, _settings in (
    ("sampling-unasked", "the model's own sampling", LENGTH, {"do_sample": True, "top_k": 5}),
    ("sampling-unasked", "a config that leaves sampling open", LENGTH, {"do_sample": True}),
    (None, "sampling that the call asks for", _SAMPLE, {"do_sample": True}),
    (
        None,
        "the model's own sampling, switched off",
        LENGTH | {"do_sample": False},
        _OWN := {"do_sample": True},
    ),
    (
        "beam-sampling",
        "beams in a call that the model makes sample",
        LENGTH | {"num_beams": 2},
        _OWN,
    ),
    ("beam-sampling", "beams and sampling", _SAMPLE | {"num_beams": 2}, None),
    (
        None,
        "beams, the model's own sampling switched off",
        LENGTH | {"num_beams": 2, "do_sample": False},
        _OWN,
    ),
    (None, "one beam and sampling", _SAMPLE | {"num_beams": 1}, None),
    ("one-candidate", "a top-k of 1", _SAMPLE | {"top_k": 1}, None),
    ("one-candidate", "a top-p of 0", _SAMPLE | {"top_p": 0.0}, None),
    (None, "a top-k of 2", _SAMPLE | {"top_k": 2}, None),
    (None, "a small nucleus", _SAMPLE | {"top_p": 0.1}, None),
    ("argument-of-wrong-kind", "sampling off as a text", LENGTH | {"do_sample": "False"}, None),
    ("argument-of-wrong-kind", "a temperature as a text", _SAMPLE | {"temperature": "0.7"}, None),
    ("argument-of-wrong-kind", "a length as a text", {"max_new_tokens": "4"}, None),
    ("argument-of-wrong-kind", "a whole temperature", _SAMPLE | {"temperature": 2}, None),
    ("argument-of-wrong-kind", "a whole penalty", LENGTH | {"repetition_penalty": 2}, None),
    ("argument-of-wrong-kind", "a broken top-k", _SAMPLE | {"top_k": 10.0}, None),
    ("argument-of-wrong-kind", "an end token by its name", LENGTH | {"eos_token_id": "</s>"}, None),
    ("argument-of-wrong-kind", "end tokens by name", LENGTH | {"eos_token_id": ["</s>"]}, None),
    ("argument-of-wrong-kind", "one processor", LENGTH | {"logits_processor": _TEMPERED}, None),
    (
        "argument-of-wrong-kind",
        "a processor's class",
        LENGTH | {"logits_processor": [type(_TEMPERED)]},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a criterion alone",
        LENGTH | {"stopping_criteria": lambda ids, _: False},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a stop word as a criterion",
        LENGTH | {"stopping_criteria": ["###"]},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a streamer's class",
        LENGTH | {"streamer": transformers.TextStreamer},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a list of allowed tokens",
        LENGTH | {"prefix_allowed_tokens_fn": [7]},
        None,
    ),
    (
        "argument-of-wrong-kind",
        "a dictionary as config",
        {"generation_config": {"max_new_tokens": 4}},
        None,
    ),
    (
        None,
        "sampling on as a number",
        LENGTH | {"do_sample": 1, "temperature": 1, "top_k": 9},
        None,
    ),
    (None, "a list of one processor", LENGTH | {"logits_processor": [_TEMPERED]}, None),
    (None, "a list of one function", LENGTH | {"stopping_criteria": [lambda ids, _: False]}, None),
    (None, "an end token as a tensor", LENGTH | {"eos_token_id": torch.tensor([2])}, None),
    (
        "setting-without-effect",
        "a negative prompt alone",
        LENGTH | {"negative_prompt_ids": torch.tensor([[9]])},
        None,
    ),
    ("setting-without-effect", "low memory", LENGTH | {"low_memory": True}, None),
    ("setting-without-effect", "groups without beams", LENGTH | {"diversity_penalty": 0.5}, None),
    (
        "setting-without-effect",
        "a token that begins another model's text",
        LENGTH | {"forced_bos_token_id": 5},
        None,
    ),
    ("setting-without-effect", "drafts of nobody", LENGTH | {"num_assistant_tokens": 5}, None),
    (
        "setting-without-effect",
        "scores of which nothing comes back",
        LENGTH | {"output_scores": True},
        None,
    ),
    (
        "setting-without-effect",
        "an end that is pushed after the limit",
        LENGTH | {"exponential_decay_length_penalty": (9, 1.1)},
        None,
    ),
    (
        "setting-without-effect",
        "the end token as a bad word",
        LENGTH | {"bad_words_ids": [[2]]},
        None,
    ),
    (
        None,
        "a negative prompt with guidance",
        LENGTH | {"negative_prompt_ids": torch.tensor([[9]]), "guidance_scale": 1.5},
        None,
    ),
    (
        None,
        "scores in an object",
        LENGTH | {"output_scores": True, "return_dict_in_generate": True},
        None,
    ),
    (
        None,
        "draft tokens of prompt lookup",
        LENGTH | {"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 2},
        None,
    ),
    (
        None,
        "an end that is pushed early",
        LENGTH | {"exponential_decay_length_penalty": (1, 1.1)},
        None,
    ),
    (None, "a bad word", LENGTH | {"bad_words_ids": [[9]]}, None),
    ("beam-settings-ignored", "a length penalty, one beam", LENGTH | {"length_penalty": 2.0}, None),
    ("beam-settings-ignored", "early stopping, one beam", LENGTH | {"early_stopping": True}, None),
    (None, "a length penalty and beams", LENGTH | {"length_penalty": 2.0, "num_beams": 2}, None),
    (None, "a neutral length penalty", LENGTH | {"length_penalty": 1.0}, None),
    (None, "a length penalty of the model's, one beam", LENGTH, {"length_penalty": 2.0}),
    (
        "guidance-without-negative",
        "guidance away from nothing",
        LENGTH | {"guidance_scale": 1.5},
        None,
    ),
    (
        "attentions-not-made",
        "attentions of sdpa",
        LENGTH | {"output_attentions": True, "return_dict_in_generate": True},
        None,
    ),
    ("cache-too-short", "a static cache of few places", LENGTH | _static_cache(6), None),
    (None, "a static cache of enough places", LENGTH | _static_cache(60), None),
    (None, "a static cache that generate makes", LENGTH | {"cache_implementation": "static"}, None),
    (
        "penalty-hits-the-prompt",
        "a penalty on a prompt",
        LENGTH | {"repetition_penalty": 1.5},
        None,
    ),
    (None, "a mild penalty", LENGTH | {"repetition_penalty": 1.1}, None),
    (None, "a neutral penalty", LENGTH | {"repetition_penalty": 1.0}, None),
    ("penalty-rewards", "a penalty below 1", LENGTH | {"repetition_penalty": 0.5}, None),
    (
        "penalty-rewards",
        "a penalty of the encoder's",
        LENGTH | {"encoder_repetition_penalty": 1.5},
        None,
    ),
    (
        None,
        "a penalty of the encoder's that penalizes",
        LENGTH | {"encoder_repetition_penalty": 0.8},
        None,
    ),
    ("end-token-banned", "the end token suppressed", LENGTH | {"suppress_tokens": [2, 9]}, None),
    (
        "end-token-banned",
        "a bias against the end token",
        LENGTH | {"sequence_bias": {(2,): -50.0}},
        None,
    ),
    (None, "other tokens suppressed", LENGTH | {"suppress_tokens": [9]}, None),
    (
        None,
        "the end token suppressed at the beginning",
        LENGTH | {"begin_suppress_tokens": [2]},
        None,
    ),
    (None, "a bias for the end token", LENGTH | {"sequence_bias": {(2,): 5.0}}, None),
    (
        "end-beyond-vocabulary",
        "an end token of a larger model",
        LENGTH | {"eos_token_id": 50256},
        None,
    ),
    (None, "an end token that never comes, on purpose", LENGTH | {"eos_token_id": -1}, None),
    (None, "a round number for an end that never comes", LENGTH | {"eos_token_id": 100_000}, None),
    (None, "one of two end tokens of a larger model", LENGTH | {"eos_token_id": [2, 50256]}, None),
    (
        "eos-from-encode",
        "the token that begins texts as an end",
        LENGTH | {"eos_token_id": [1, 9]},
        None,
    ),
    (
        "eos-from-encode",
        "a word in pieces as an end",
        LENGTH | {"eos_token_id": [128, 19, 18]},
        None,
    ),
    (None, "punctuation as ends", LENGTH | {"eos_token_id": [57, 60, 61]}, None),
    (None, "one letter as an end", LENGTH | {"eos_token_id": [2, 9]}, None),
    ("min-beyond-limit", "a minimum above the limit", LENGTH | {"min_new_tokens": 9}, None),
    (
        "min-beyond-limit",
        "a minimum with the prompt, above the hidden limit",
        {"min_length": 90},
        None,
    ),
    (None, "a minimum as large as the limit", LENGTH | {"min_new_tokens": 4}, None),
    (None, "a minimum with the prompt, below the limit", LENGTH | {"min_length": 17}, None),
    ("min-length-counts-prompt", "a minimum that the prompt has", LENGTH | {"min_length": 2}, None),
    (None, "a minimum of nothing", LENGTH | {"min_length": 0}, None),
    (None, "both minimums", LENGTH | {"min_length": 2, "min_new_tokens": 2}, None),
):
    _setting(_code, _name, _call, _settings)


def _seeded(before: int, now: int, earlier: list[int], **call) -> Call:
    """Return a call whose prompt was asked before, under a seed."""
    made = written([9, 10, 11, 2], **call)
    ids = made.prompt["input_ids"]
    output = torch.cat([ids, torch.tensor([earlier])], dim=1)
    made.facts |= {"earlier": output, "earlier_seed": before, "seed": now}
    return made


faulty("seed-without-sampling", "another seed, and the same text")(
    lambda: _seeded(1, 2, [9, 10, 11, 2])
)

sound("the same seed again")(lambda: _seeded(1, 1, [9, 10, 11, 2]))

sound("another seed, and another text")(lambda: _seeded(1, 2, [9, 12, 11, 2]))

sound("another seed, and a call that samples")(
    lambda: _seeded(1, 2, [9, 10, 11, 2], do_sample=True, top_k=0)
)


def _drawn_again(calls: int, alike: bool = True) -> Call:
    """Return a call that samples, after others of the same prompt that drew the same numbers."""
    made = written([*range(8, 20), 2], do_sample=True, top_k=0)
    made.facts |= {"earlier": made.facts["output"], "asked_alike": calls if alike else 0}
    return made


faulty("same-seed-each-call", "a third call from the same random state")(lambda: _drawn_again(2))

sound("a second call that shows the same text")(lambda: _drawn_again(1))

sound("draws of another state")(lambda: _drawn_again(2, alike=False))


def _asked_again(calls: int) -> Call:
    made = written([*range(8, 20), 2])
    made.facts |= {"earlier": made.facts["output"], "asked_alike": calls}
    made.facts |= {"earlier_seed": 0, "seed": 0}
    return made


faulty("asked-again-greedily", "the same prompt a third time")(lambda: _asked_again(2))

sound("the same prompt a second time")(lambda: _asked_again(1))

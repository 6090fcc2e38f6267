"""What other libraries and servers call a setting, and where an argument belongs instead."""

# What others call a setting, by what `generate` calls it or by where it belongs.
_NEW = ("max_new_tokens", "max_new_tokens={value}")
_STOP = ("stop_strings, beside the tokenizer", "stop_strings={value}, tokenizer=tokenizer")
_SEVERAL = ("num_return_sequences, beside do_sample=True", "num_return_sequences={value}")
_OURS = {
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_gen_len"), _NEW
    ),
    **dict.fromkeys(("n_predict", "num_predict", "max_tokens_to_sample", "new_tokens"), _NEW),
    **dict.fromkeys(("stop", "stop_sequences", "stop_words", "stop_sequence", "stops"), _STOP),
    **dict.fromkeys(("n", "num_samples", "num_sequences", "best_of"), _SEVERAL),
    "stop_token_ids": ("eos_token_id", "eos_token_id={value}"),
    "repeat_penalty": ("repetition_penalty", "repetition_penalty={value}"),
    "rep_pen": ("repetition_penalty", "repetition_penalty={value}"),
    "temp": ("temperature", "do_sample=True, temperature={value}"),
    "beam_size": ("num_beams", "num_beams={value}"),
    "beam_width": ("num_beams", "num_beams={value}"),
    "logprobs": ("output_logits", "output_logits=True, return_dict_in_generate=True"),
    "top_logprobs": ("output_logits", "output_logits=True, return_dict_in_generate=True"),
    "stream": ("streamer", "streamer=TextStreamer(tokenizer, skip_prompt=True)"),
    "logit_bias": ("sequence_bias", "sequence_bias={{(token,): bias}}"),
    "ignore_eos": ("eos_token_id", "eos_token_id=-1"),
}
_NONE_SUCH = {
    "presence_penalty": "generate has none: repetition_penalty divides scores, and 1.0 is off",
    "frequency_penalty": "generate has none: repetition_penalty divides scores, and 1.0 is off",
    "seed": "a seed is set before the call: transformers.set_seed({value})",
    "random_seed": "a seed is set before the call: transformers.set_seed({value})",
    "generator": "generate draws from torch's global generator: transformers.set_seed(0)",
    "response_format": "a format is kept by a logits processor, or by prefix_allowed_tokens_fn",
    "guided_json": "a format is kept by a logits processor, or by prefix_allowed_tokens_fn",
    "mirostat": "generate has none; min_p and typical_p come near it",
}
_OF_OTHERS = {
    **dict.fromkeys(
        ("skip_special_tokens", "clean_up_tokenization_spaces"), "tokenizer.decode(new_ids, ...)"
    ),
    **dict.fromkeys(("return_full_text", "batch_size"), "a pipeline's call"),
    **dict.fromkeys(
        ("truncation", "padding", "return_tensors", "add_special_tokens", "padding_side"),
        "tokenizer(text, ...)",
    ),
    **dict.fromkeys(
        ("add_generation_prompt", "tools", "enable_thinking", "chat_template", "messages"),
        "tokenizer.apply_chat_template(messages, ...)",
    ),
    **dict.fromkeys(
        ("device", "device_map", "torch_dtype", "dtype", "load_in_8bit", "load_in_4bit"),
        "the model's loading, or model.to(...)",
    ),
    "token_type_ids": "other models: tokenizer(text, return_token_type_ids=False) makes none",
}


def elsewhere(name: str, value: str) -> tuple[str, str] | None:
    """Return (what a name is, what to write) for one that `generate` refuses, None if not known.

    value: what was given, as it is written.
    """
    if name in _OURS:
        known, fix = _OURS[name]
        why = f"{name} is what other libraries and servers call it; generate has {known}."
        return why, f"{fix.format(value=value)}  # not {name}"
    if name in _NONE_SUCH:
        why = _NONE_SUCH[name].format(value=value)
        return f"{name} is of other libraries and servers; {why}.", f"# {why}"
    if name in _OF_OTHERS:
        return f"{name} belongs to {_OF_OTHERS[name]}.", f"# {name}: {_OF_OTHERS[name]}"
    return None

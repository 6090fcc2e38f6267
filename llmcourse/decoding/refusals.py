"""What the loop refuses, by name and with the way out, before torch fails in its depths."""

import torch
from transformers import StaticCache
from transformers.generation import GenerationMode

from llmcourse.decoding.cache import CACHE_NAMES, LIBRARY, cache_in, cached_length, is_recurrent
from llmcourse.decoding.model_inputs import is_fed_as_usual, prompt_length

# What the model is fed: by the loop, or as the library prepares it in each step (`unusual_models`).
# Anything else, such as pictures, would need more than that, so it is refused.
_UNDERSTOOD = {
    "attention_mask",
    "position_ids",
    "token_type_ids",
    "inputs_embeds",
    "use_cache",
    "logits_to_keep",
    "output_attentions",
    "output_hidden_states",
    *CACHE_NAMES,
}

# Ways of decoding, and what changes them, that the loop does not have.
NOT_BUILT = (
    "num_beam_groups",
    "constraints",
    "force_words_ids",
    "penalty_alpha",
    "dola_layers",
    "speculation_type",
    "assistant_ensemble_weight",
)

# Named arguments of `generate` that it does not hand on to a `custom_generate` function.
_NOT_HANDED_ON = (
    "synced_gpus",
    "custom_generate",
)


def check_call(model, call: dict) -> None:
    """Refuse a model or a call that `generate` would fail on without a word of explanation.

    call: the keyword arguments meant for `generate`. Raises TypeError, ValueError, IndexError.
    """
    _check_model(model)
    for name in _NOT_HANDED_ON:
        if call.get(name):
            raise ValueError(
                f"{name}= is not built into the visible loop; leave it out, or call "
                f"model.generate({name}=...) for the library's own decoding."
            )
    if call.get("cache_implementation") == "paged":  # `generate` would leave for `generate_batch`
        raise _not_built("cache_implementation", "paged", "leave it out to get the dynamic cache")
    for name in ("input_ids", "inputs"):
        if call.get(name) is not None:
            _check_ids(model, name, call[name])
            _check_mask(name, call)


def holds_something(value) -> bool:
    """Tell whether there is something in an input; of pictures the library may prepare none."""
    return (
        any(map(holds_something, value.values())) if isinstance(value, dict) else value is not None
    )


def _check_model(model) -> None:
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise ValueError(
            f"{type(model).__name__} is an encoder-decoder model; the visible loop runs "
            "decoder-only models. Load one with AutoModelForCausalLM, or call model.generate(...)."
        )
    if not hasattr(model, "generate"):
        raise TypeError(
            f"{type(model).__name__} has no `generate`; load the model with "
            "AutoModelForCausalLM.from_pretrained(...) or llmcourse.load()."
        )
    if getattr(model.generate, "__module__", "").startswith("transformers.models."):
        raise ValueError(
            f"{type(model).__name__} has a `generate` of its own, which does more than the one "
            "that the visible loop opens. Call model.generate(...) for it, or load a model of text "
            "alone with AutoModelForCausalLM."
        )


def _check_ids(model, name: str, ids) -> None:
    if not isinstance(ids, torch.Tensor) or ids.dtype not in (torch.int64, torch.int32):
        kind = f"{ids.dtype} tensor" if isinstance(ids, torch.Tensor) else type(ids).__name__
        raise TypeError(
            f"{name} is a {kind}; pass integer token ids of shape (batch, length), such as "
            'tokenizer(text, return_tensors="pt").input_ids.'
        )
    if ids.dim() != 2:
        raise ValueError(
            f"{name} has shape {tuple(ids.shape)}; pass (batch, length). One prompt: ids[None]."
        )
    if ids.numel() == 0:
        raise ValueError(
            f"{name} has shape {tuple(ids.shape)}: the prompt is empty, so there is no last "
            "position to predict from. Pass at least one token, such as the BOS token."
        )
    vocab = model.get_input_embeddings().weight.shape[0]
    wrong = ids[(ids < 0) | (ids >= vocab)]
    if len(wrong):
        raise IndexError(
            f"{name} holds {wrong[0].item()}, outside the model's vocabulary of {vocab} tokens "
            f"(0 to {vocab - 1}). Does the tokenizer belong to this model?"
        )


def _check_mask(name: str, call: dict) -> None:
    mask, ids = call.get("attention_mask"), call[name]
    if mask is None:
        return
    if not isinstance(mask, torch.Tensor):
        raise TypeError(f"attention_mask is a {type(mask).__name__}; pass a tensor of 0 and 1.")
    longer = cache_in(call) is not None and mask.shape[-1] > ids.shape[1]
    if mask.dim() != 2 or len(mask) != len(ids) or (mask.shape[1] != ids.shape[1] and not longer):
        raise ValueError(
            f"attention_mask has shape {tuple(mask.shape)} but {name} has {tuple(ids.shape)}; "
            "the two must be equal. Pass both from one call of the tokenizer."
        )


def check_prepared(
    model, input_ids, generation_config, model_kwargs: dict, mode: GenerationMode, streamer=None
) -> None:
    """Refuse, by name, each prepared setting that the loop would otherwise ignore.

    mode: what the settings ask for. Raises ValueError with the way out.
    """
    _check_model(model)
    _check_mode(generation_config, mode, streamer)
    if getattr(generation_config, "token_healing", None):
        raise _not_built("token_healing", True, "leave token_healing out")
    for name in sorted(model_kwargs.keys() - _UNDERSTOOD):
        if holds_something(model_kwargs[name]):
            raise _not_built(
                name, "...", f"pass input_ids and attention_mask, and leave {name} out"
            )
    if model_kwargs.get("inputs_embeds") is None:
        _check_ids(model, "input_ids", input_ids)
    if input_ids.device.type != model.device.type:
        raise ValueError(
            f"input_ids is on {input_ids.device} and the model on {model.device}; pass "
            "inputs.to(model.device)."
        )
    _check_cache(model, input_ids, generation_config, model_kwargs, mode)


_BUILT = (
    GenerationMode.GREEDY_SEARCH,
    GenerationMode.SAMPLE,
    GenerationMode.BEAM_SEARCH,
    GenerationMode.BEAM_SAMPLE,
    GenerationMode.ASSISTED_GENERATION,
)


def _check_mode(generation_config, mode: GenerationMode, streamer) -> None:
    beams = mode in (GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE)
    if beams and streamer is not None:
        raise ValueError(
            f"streamer= needs one text that only grows, and num_beams={generation_config.num_beams}"
            " replaces it at every step; leave one of the two out."
        )
    if beams and generation_config.low_memory:
        raise _not_built("low_memory", True, "leave low_memory out")
    check_way(generation_config, mode)


def check_way(generation_config, mode: GenerationMode) -> None:
    """Refuse, by the setting that asks for it, a way of decoding that the loop does not have.

    mode: what the settings ask for. Raises ValueError.
    """
    if mode in _BUILT and mode != GenerationMode.ASSISTED_GENERATION:
        return
    for name in NOT_BUILT:
        value = getattr(generation_config, name, None)
        if value and (name, value) != ("num_beam_groups", 1):
            raise _not_built(name, value, f"leave {name} out")
    if mode not in _BUILT:
        raise _not_built("generation mode", mode.value, "ask for another")


def _check_cache(model, ids, generation_config, model_kwargs: dict, mode) -> None:
    cache = cache_in(model_kwargs)
    like_bert = hasattr(model.config, "add_cross_attention")
    if like_bert and getattr(model.config, "is_decoder", True) is False:  # it reads both ways
        check_without_cache(model, generation_config, mode)
    mask, positions = model_kwargs.get("attention_mask"), model_kwargs.get("position_ids")
    held = cached_length(cache)
    embeds = model_kwargs.get("inputs_embeds")
    if held >= prompt_length(ids if embeds is None else embeds, mask, positions):
        raise ValueError(
            f"past_key_values holds {held} tokens and the prompt has {ids.shape[1]}, so nothing is "
            "left to read. Pass the whole text with at least one token more, or drop the last "
            f"token from the cache: past_key_values.crop(-{held - ids.shape[1] + 1})."
        )
    if (
        getattr(cache, "offloading", False)
        and model.device.type == "cpu"
        and not is_recurrent(cache)
    ):
        raise ValueError(
            f"cache_implementation={generation_config.cache_implementation or 'offloaded'} moves "
            "the cache from the GPU to the computer's memory, and this model is on the cpu; leave "
            "cache_implementation out."
        )
    used = cache if model_kwargs.get("use_cache") else None
    _check_chunks(generation_config.prefill_chunk_size, used)
    if generation_config.prefill_chunk_size is not None and embeds is not None:
        chunk = generation_config.prefill_chunk_size
        raise _not_built("prefill_chunk_size", chunk, "it cuts ids: leave it or inputs_embeds out")


def _check_chunks(chunk: int | None, cache) -> None:
    if chunk is None:
        return
    if cache is None or is_recurrent(cache):
        raise _not_built("prefill_chunk_size", chunk, "it needs a key-value cache: leave it out")
    if cached_length(cache) and LIBRARY < (5, 21):
        raise ValueError(
            f"prefill_chunk_size={chunk} with a cache that holds {cached_length(cache)} tokens: "
            "before 5.21 transformers reads those tokens twice; leave prefill_chunk_size out."
        )


def check_drafting(model, made) -> None:
    """Refuse a draft that the way of decoding would ignore, or cannot verify.

    made: the prepared call. Raises AttributeError for an assistant that is not a model, ValueError
    for all else, with the way out.
    """
    config, assistant = made.generation_config, made.assistant_model
    if assistant is None and made.assistant_tokenizer is not None:
        raise ValueError(
            "assistant_tokenizer= is of an assistant_model, and there is none; leave it out, or "
            "pass assistant_model= too."
        )
    asked = drafts_asked_for(config, assistant)
    if not asked:
        return
    if made.mode != GenerationMode.ASSISTED_GENERATION:
        raise ValueError(
            f"num_beams={config.num_beams} does not go with {asked[0]}=; leave one of them out."
        )
    if len(asked) > 1:
        first, second = (f"{name}={_setting(config, name)}" for name in asked[:2])
        raise ValueError(
            f"{first} and {second} both draft, and `generate` would use the first only; leave one "
            "of the two out."
        )
    if asked == ["use_mtp"] and config.return_dict_in_generate and config.output_hidden_states:
        raise ValueError(
            "output_hidden_states=True fails in `generate` with use_mtp=True, which asks the model "
            "for the last hidden states alone; leave one of the two out."
        )
    _check_verifiable(model, made.input_ids, config, made.model_kwargs)
    if LIBRARY < (5, 23):  # then the library fed such a model a draft in another way
        more = (made.model_kwargs.get(name) for name in ("inputs_embeds", "token_type_ids"))
        if any(value is not None for value in more) or not is_fed_as_usual(model, config):
            raise _has_its_own_way(model)
    if assistant is not None and not hasattr(assistant, "config"):
        raise AttributeError(
            f"assistant_model is a {type(assistant).__name__}, which has no config; pass a "
            "loaded model, such as AutoModelForCausalLM.from_pretrained(...)."
        )
    if asked == ["prompt_lookup_num_tokens"]:
        _check_lookup(config.prompt_lookup_num_tokens, config.max_matching_ngram_size)
    elif LIBRARY < (5, 18):
        raise ValueError(
            f"{asked[0]}= needs transformers 5.18 or newer: before, `generate` loses count of what "
            "its draft model has read, and gives other tokens or fails. Upgrade transformers, or "
            "look drafts up in the text with prompt_lookup_num_tokens=10."
        )
    if assistant is None:
        return
    _check_assistant(model, made)
    if config.cache_implementation is not None and LIBRARY < (5, 24):
        raise ValueError(
            f"cache_implementation={config.cache_implementation} fails in `generate` with an "
            "assistant_model, which gets it along with a cache in its second round; leave "
            "cache_implementation out."
        )


def drafts_asked_for(generation_config, assistant_model) -> list[str]:
    """Return the names of the settings that ask for drafts, the one that `generate` obeys first."""
    exit_layer = getattr(generation_config, "assistant_early_exit", None)
    asked = {
        "assistant_early_exit": exit_layer is not None,
        "prompt_lookup_num_tokens": generation_config.prompt_lookup_num_tokens is not None,
        "use_mtp": bool(getattr(generation_config, "use_mtp", None)),
        "assistant_model": assistant_model is not None,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def _setting(generation_config, name: str) -> str:
    return str(getattr(generation_config, name, ""))  # of a model, its name is enough


def _check_verifiable(model, ids, generation_config, model_kwargs: dict) -> None:
    """Refuse a call whose cache could not be rolled back, or that holds several texts."""
    cache = cache_in(model_kwargs)
    if not model_kwargs.get("use_cache"):
        kind = ValueError if LIBRARY < (5, 24) else RuntimeError  # as in `generate`
        raise kind(
            "use_cache=False: without a cache each pass reads the whole text, and a draft saves "
            "nothing; leave use_cache out."
        )
    if cache is None:
        raise _has_its_own_way(model)
    if len(ids) > 1:
        raise ValueError(
            f"input_ids has {len(ids)} rows, and each would accept another part of its draft; "
            "generate from one prompt at a time, with num_return_sequences=1."
        )
    if isinstance(cache, StaticCache):
        raise ValueError(
            f"{type(cache).__name__} cannot be rolled back to before a draft; leave "
            "cache_implementation out to get the dynamic cache."
        )
    if is_recurrent(cache):
        raise _no_rollback(type(cache).__name__)
    if cached_length(cache):
        raise ValueError(
            f"past_key_values holds {cached_length(cache)} tokens, and with a draft `generate` "
            "reads them twice, which gives wrong tokens; leave past_key_values out."
        )
    if generation_config.prefill_chunk_size is not None:
        raise ValueError(
            f"prefill_chunk_size={generation_config.prefill_chunk_size} is ignored by `generate` "
            "when it drafts; leave it out."
        )


def _check_lookup(tokens: int, longest: int | None) -> None:
    for name, value in (("prompt_lookup_num_tokens", tokens), ("max_matching_ngram_size", longest)):
        if value is not None and (value < 0 or (value == 0 and name == "prompt_lookup_num_tokens")):
            raise ValueError(f"{name}={value} looks up nothing; pass 1 or more, or leave it out.")


def _check_assistant(model, made) -> None:
    assistant = made.assistant_model
    _check_model(assistant)
    mine, its = (one.config.get_text_config().vocab_size for one in (model, assistant))
    if mine == its and made.assistant_tokenizer is not None:
        raise ValueError(
            "assistant_tokenizer= is for an assistant_model of another vocabulary, and both have "
            f"{mine} tokens; leave assistant_tokenizer out."
        )
    if mine != its and (made.tokenizer is None or made.assistant_tokenizer is None):
        raise ValueError(
            f"assistant_model has a vocabulary of {its} tokens and the model one of {mine}, so a "
            "draft's ids would mean something else; pass an assistant with the same tokenizer, or "
            "both tokenizers: tokenizer=, assistant_tokenizer=."
        )


def _has_its_own_way(model) -> ValueError:
    return ValueError(
        f"{type(model).__name__} prepares each step's inputs, or makes its cache, in its own way, "
        "which the visible loop does not follow with a draft; leave the draft out, or call "
        "model.generate(...) without custom_generate."
    )


def check_drafter(model, generation_config, cache) -> None:
    """Refuse a smaller model that the loop cannot feed, or whose drafts could not be forgotten.

    generation_config: the big model's. cache: the smaller one's, still empty. Raises ValueError.
    """
    if not is_fed_as_usual(model, generation_config):
        raise _has_its_own_way(model)
    if cache is None or is_recurrent(cache):
        raise _no_rollback(type(model).__name__)


def check_without_cache(model, generation_config, mode: GenerationMode) -> None:
    """Refuse what needs a cache with a model that gives none back. Raises ValueError."""
    name = type(model).__name__
    if generation_config.prefill_chunk_size is not None:
        chunk = generation_config.prefill_chunk_size
        raise _not_built("prefill_chunk_size", chunk, f"{name} gives no cache back: leave it out")
    if mode == GenerationMode.ASSISTED_GENERATION:
        raise _no_rollback(name)


def check_rollback(model, cache) -> None:
    """Refuse, once the cache is filled, to draft where rejected tokens could not be forgotten.

    Raises ValueError. A recurrent state (of Mamba, or beside attention) has no tokens to take away.
    """
    if hasattr(cache, "is_croppable"):  # from transformers 5.17 on
        can = cache.is_croppable
    else:
        states = (getattr(layer, "is_recurrent_states_initialized", {}) for layer in cache.layers)
        can = not any(any(state.values()) for state in states)
    if not can:
        raise _no_rollback(getattr(model, "called", type(model).__name__))


def _no_rollback(name: str) -> ValueError:
    return ValueError(
        f"{name} keeps a state that cannot be rolled back to before a draft; leave out "
        "assistant_model= and prompt_lookup_num_tokens=."
    )


def _not_built(name: str, value, way_out: str) -> ValueError:
    return ValueError(
        f"{name}={value} is not built into the visible loop; {way_out}, or call "
        "model.generate(...) without custom_generate for the library's own decoding."
    )


def no_distribution(probs: torch.Tensor, error: RuntimeError) -> RuntimeError:
    """Return the error to raise when nothing can be drawn from `probs`, (batch, vocab) float32."""
    broken = (~probs.isfinite()).any(-1).nonzero().flatten().tolist()
    if not broken:
        return error
    return RuntimeError(
        f"The scores of row {broken[0]} are no distribution: they hold nan or inf, or every token "
        "was dropped (-inf). Look at the last step's logits and at your own logits "
        "processors; float16 that overflows is another usual cause."
    )

"""What `generate` prepares before its loop starts, seen through its `custom_generate` door."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StopStringCriteria
from transformers.generation import GenerationMode

from llmcourse.decoding.cache import CACHE_NAMES
from llmcourse.decoding.refusals import NOT_BUILT, check_call, check_way
from llmcourse.show import Table

# Where a setting comes from, the strongest first.
CALL, CONFIG, MODEL, HIDDEN = (
    "the call",
    "the passed config",
    "the model's generation_config",
    "hidden default",
)
PREPARED = "prepared"


@dataclass(frozen=True, eq=False)
class Ingredients:
    """The call to `generate`, completed by the model's own settings and the hidden defaults."""

    input_ids: torch.Tensor  # (batch, length) int64, rows repeated for return sequences and beams
    logits_processor: list  # the rules, in the order in which they run
    stopping_criteria: list
    generation_config: Any  # every setting resolved
    model_kwargs: dict[str, Any]  # attention_mask (None if all ones), position_ids, the cache ...
    assistant_model: Any = None  # the draft model, if the call has one
    tokenizer: Any = None  # the tokenizers of the model and of a draft model, where they differ
    assistant_tokenizer: Any = None
    origins: dict[str, str] = field(default_factory=dict)  # where each setting in force is from

    @property
    def mode(self) -> GenerationMode:
        """The way of decoding that the settings ask for."""
        return self.generation_config.get_generation_mode(self.assistant_model)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in force, by name: from the call, from the model, or a hidden default."""
        every = sorted(self.generation_config.to_dict().items())
        return {
            name: value
            for name, value in every
            if value is not None and name[0] != "_" and name != "transformers_version"
        }

    def for_the_loop(self) -> dict[str, Any]:
        """Return what `decode` and `glass_box` take, by name."""
        names = ("input_ids", "logits_processor", "stopping_criteria", "generation_config")
        prepared = {name: getattr(self, name) for name in names} | self.model_kwargs
        if self.assistant_model is not None:
            prepared["assistant_model"] = self.assistant_model
        return prepared

    def table(self, everything: bool = False) -> Table:
        """Return every setting that is in force, its value, and where it comes from.

        everything: also the hidden defaults that do nothing, such as `top_p=1.0`.
        """
        rows = {"input_ids": _shown(self.input_ids)}
        rows |= {name: _shown_input(name, value) for name, value in self.model_kwargs.items()}
        rows["logits_processor"] = _names(self.logits_processor)
        rows["stopping_criteria"] = _names(self.stopping_criteria)
        if self.assistant_model is not None:
            rows["assistant_model"] = type(self.assistant_model).__name__
        if self.assistant_tokenizer is not None:
            rows["assistant_tokenizer"] = type(self.assistant_tokenizer).__name__
        settings = {name: value for name, value in self.settings.items() if name not in rows}
        idle = {name for name, value in settings.items() if self._is_idle(name, value)}
        shown = settings.keys() - (set() if everything else idle)
        rows |= {name: _shown(value) for name, value in settings.items() if name in shown}
        lines = [
            ("cache" if name in CACHE_NAMES else name, value, self.origins.get(name, PREPARED))
            for name, value in rows.items()
        ]
        more = "" if everything or not idle else f"; {len(idle)} more are off by default"
        caption = f"What generate would work with{more}"
        return Table(caption, ("setting", "value", "from"), lines)

    def _is_idle(self, name: str, value) -> bool:
        """Tell whether a setting is a hidden default that does nothing."""
        return self.origins.get(name) == HIDDEN and not _matters(name, value)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _matters(name: str, value) -> bool:
    """Tell whether a setting does something: 0, 1 and False switch most of them off."""
    if name in ("do_sample", "num_return_sequences") or name.endswith("token_id"):
        return True
    bookkeeping = ("use_cache", "target_lookbehind")
    return value not in (0, 1) and name not in bookkeeping and "assistant" not in name


def inputs_of(model, tokenizer, prompt) -> dict[str, torch.Tensor]:
    """Return a prompt as `generate` takes it, on the model's device: ids, and what goes with them.

    prompt: a text, a list of texts, ids of shape (batch, length), or what a tokenizer returns.
    """
    if isinstance(prompt, torch.Tensor):
        return {"input_ids": prompt.to(model.device)}
    if isinstance(prompt, str | list | tuple):
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        prompt = tokenizer(texts, return_tensors="pt", padding=len(texts) > 1)
        prompt = {name: ids.long() for name, ids in prompt.items()}  # an empty text gives floats
    known = ("input_ids", "attention_mask", "position_ids")
    return {name: prompt[name].to(model.device) for name in known if name in prompt}


def ingredients(
    model, inputs=None, *, tokenizer=None, rules=None, **generate_kwargs
) -> Ingredients:
    """Return what `generate` would work with; no forward pass is run.

    inputs, generate_kwargs: what `model.generate` takes. tokenizer: needed for `stop_strings`, and
    beside an `assistant_tokenizer`. rules: functions of (ids, scores) that replace the processors
    which `generate` would prepare.
    Raises what `generate` raises for a bad call, and says more where ids, masks or the kind of
    model are wrong.
    """
    call = generate_kwargs if inputs is None else {"inputs": inputs, **generate_kwargs}
    check_call(model, call)
    prepared = _with_stop_strings(model, call, tokenizer)
    try:
        made = model.generate(**prepared, custom_generate=_hand_back)
    except Exception:
        _refuse_another_way(model, call)
        raise
    origins = _origins(model, call, made)
    if rules is not None:
        origins["logits_processor"] = CALL
        made = replace(made, logits_processor=LogitsProcessorList(rules))
    drafts = {name: call.get(name) for name in ("assistant_model", "assistant_tokenizer")}
    return replace(made, tokenizer=tokenizer, **drafts, origins=origins)


def _refuse_another_way(model, call: dict) -> None:
    """Refuse a way of decoding that we lack, at which `generate` looks before it prepares more."""
    if not any(list(asked(name, model, call)) for name in NOT_BUILT):
        return
    config = GenerationConfig()
    for name in config.to_dict():
        setattr(config, name, next((value for _, value in asked(name, model, call)), None))
    check_way(config, config.get_generation_mode(call.get("assistant_model")))


def _hand_back(
    model,
    input_ids,
    logits_processor,
    stopping_criteria,
    generation_config,
    **model_kwargs,
) -> Ingredients:
    return Ingredients(
        input_ids, logits_processor, stopping_criteria, generation_config, model_kwargs
    )


def asked(name: str, model, call: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (origin, value) for each who asks for a setting, the strongest first.

    call: the arguments of `generate`, among them perhaps a `generation_config`.
    """
    passed = call.get("generation_config")
    for origin, source in (CALL, call), (CONFIG, passed), (MODEL, model.generation_config):
        value = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
        if value is not None:
            yield origin, value


def _origins(model, call: dict, made: Ingredients) -> dict[str, str]:
    """Return for each setting in force, and each input, where its value comes from."""

    def origin(name: str) -> str:
        return next((origin for origin, _ in asked(name, model, call)), HIDDEN)

    found = {name: origin(name) for name in made.settings}
    if made.generation_config.max_new_tokens is not None:
        found["max_length"] = f"prompt + max_new_tokens, {origin('max_new_tokens')}"
    elif found["max_length"] == HIDDEN:
        found["max_length"] = f"prompt + 20, {HIDDEN}"
    if made.generation_config.min_new_tokens is not None:
        found["min_length"] = f"prompt + min_new_tokens, {origin('min_new_tokens')}"
    given = {name for name, value in call.items() if value is not None}
    inputs = dict.fromkeys(made.model_kwargs.keys() & given, CALL)
    if given & {"input_ids", "inputs"}:
        inputs["input_ids"] = CALL
    return found | inputs


def _with_stop_strings(model, call: dict, tokenizer) -> dict:
    """Make the criterion for `stop_strings` here: `generate` hands a function no tokenizer."""
    strings = _stop_strings(model, call)
    if strings is None:
        return call
    if tokenizer is None:
        raise ValueError(f"stop_strings={strings!r} needs a tokenizer; pass tokenizer=tokenizer.")
    exits = any(True for _ in asked("assistant_early_exit", model, call))
    if call.get("assistant_model") is not None or exits:
        drafter = "assistant_early_exit" if exits else "an assistant_model"
        raise ValueError(
            f"stop_strings={strings!r} fails in `generate` with {drafter}: what drafts gets the "
            "strings without a tokenizer; leave one of the two out."
        )
    criterion = StopStringCriteria(tokenizer=tokenizer, stop_strings=strings)
    criterion.tokenizer = tokenizer  # with it the loop can tell which string it was, and where
    criteria = [*(call.get("stopping_criteria") or []), criterion]
    return {**call, "stop_strings": None, "stopping_criteria": criteria}


def _stop_strings(model, call: dict):
    """Return the stop strings in force: the call's own, or its config's, or the model's."""
    if "stop_strings" in call:
        return call["stop_strings"]
    own = getattr(call.get("generation_config"), "stop_strings", None)
    return model.generation_config.stop_strings if own is None else own


def _shown(value) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)}"
    return type(value).__name__ if hasattr(value, "get_seq_length") else str(value)


def _shown_input(name: str, value) -> str:
    """Show what the model is given; a mask of ones alike, which `generate` drops from 5.18 on."""
    ones = isinstance(value, torch.Tensor) and value.ndim == 2 and bool(value.all())
    if name == "attention_mask" and (ones or value is None):
        return "all ones: no padding"
    return _shown(value)


def _names(things: list) -> str:
    names = [getattr(thing, "__name__", type(thing).__name__) for thing in things]
    return " > ".join(names) or "none"

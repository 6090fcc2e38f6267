"""What `generate` prepares before its loop starts, seen through its `custom_generate` door."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import LogitsProcessorList, StopStringCriteria

from llmcourse.refusals import check_call


@dataclass(frozen=True, eq=False)
class Ingredients:
    """The call to `generate`, completed by the model's own settings and the hidden defaults.

    input_ids: (batch, length) int64, rows repeated for `num_return_sequences`. logits_processor,
    stopping_criteria: lists, in the order in which they run. generation_config: every setting
    resolved. model_kwargs: attention_mask (None if it was all ones), position_ids, the cache ...
    """

    input_ids: torch.Tensor
    logits_processor: list
    stopping_criteria: list
    generation_config: Any
    model_kwargs: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in force, by name: from the call, from the model, or a hidden default."""
        every = sorted(self.generation_config.to_dict().items())
        return {name: value for name, value in every if value is not None and name[0] != "_"}

    def for_the_loop(self) -> dict[str, Any]:
        """Return what `decode` and `glass_box` take, by name."""
        by_name = {name: value for name, value in vars(self).items() if name != "model_kwargs"}
        return {**by_name, **self.model_kwargs}

    def __repr__(self) -> str:
        rows = {"input_ids": _shape(self.input_ids)}
        rows |= {name: _shape(value) for name, value in self.model_kwargs.items()}
        rows["logits_processor"] = _names(self.logits_processor)
        rows["stopping_criteria"] = _names(self.stopping_criteria)
        rows |= {name: value for name, value in self.settings.items() if _matters(name, value)}
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _matters(name: str, value) -> bool:
    """Tell whether a setting does something: 0, 1 and False switch most of them off."""
    if name in ("do_sample", "num_return_sequences") or name.endswith("token_id"):
        return True
    bookkeeping = ("use_cache", "transformers_version", "target_lookbehind")
    return value not in (0, 1) and name not in bookkeeping and "assistant" not in name


def ingredients(
    model, inputs=None, *, tokenizer=None, rules=None, **generate_kwargs
) -> Ingredients:
    """Return what `generate` would work with; no forward pass is run.

    inputs, generate_kwargs: what `model.generate` takes. tokenizer: needed for `stop_strings`.
    rules: functions of (ids, scores) that replace the processors which `generate` would prepare.
    Raises what `generate` raises for a bad call, and says more where ids, masks or the kind of
    model are wrong.
    """
    call = generate_kwargs if inputs is None else {"inputs": inputs, **generate_kwargs}
    check_call(model, call)
    call = _with_stop_strings(model, call, tokenizer)
    made = model.generate(**call, custom_generate=_hand_back)
    return made if rules is None else replace(made, logits_processor=LogitsProcessorList(rules))


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


def _with_stop_strings(model, call: dict, tokenizer) -> dict:
    """Make the criterion for `stop_strings` here: `generate` hands a function no tokenizer."""
    strings = _stop_strings(model, call)
    if strings is None:
        return call
    if tokenizer is None:
        raise ValueError(f"stop_strings={strings!r} needs a tokenizer; pass tokenizer=tokenizer.")
    criterion = StopStringCriteria(tokenizer=tokenizer, stop_strings=strings)
    criteria = [*(call.get("stopping_criteria") or []), criterion]
    return {**call, "stop_strings": None, "stopping_criteria": criteria}


def _stop_strings(model, call: dict):
    """Return the stop strings in force: the call's own, or its config's, or the model's."""
    if "stop_strings" in call:
        return call["stop_strings"]
    own = getattr(call.get("generation_config"), "stop_strings", None)
    return model.generation_config.stop_strings if own is None else own


def _shape(value) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)}"
    return type(value).__name__ if hasattr(value, "get_seq_length") else str(value)


def _names(things: list) -> str:
    names = [getattr(thing, "__name__", type(thing).__name__) for thing in things]
    return " > ".join(names) or "none"

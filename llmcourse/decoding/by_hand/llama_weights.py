"""What a decode step needs of a Llama: that it is one, and a copy of it with rounded matrices."""

import copy
from collections.abc import Callable

import torch
from torch import nn

ROTARY = ("default", "linear", "llama3", "yarn")  # those whose angles do not change on the way


def rounded_copy(model, rounded: Callable, rounded_table: Callable):
    """Return a float32 copy of the model with other matrices.

    rounded: what becomes of a layer's matrix, (out, in) float32; rounded_table: of the embedding
    and of the output matrix. Raises ValueError for a model that is no plain Llama.
    """
    check_architecture(model)
    twin = copy.deepcopy(model).float()
    with torch.no_grad():
        for layer in twin.model.layers.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(rounded(layer.weight))
        table = twin.model.embed_tokens.weight
        table.copy_(rounded_table(table))
        if twin.lm_head.weight is not table:
            twin.lm_head.weight.copy_(rounded_table(twin.lm_head.weight))
    return twin


def check_length(model, max_length: int) -> None:
    """Raise ValueError for texts longer than the model has learned, or of no token."""
    longest = model.config.max_position_embeddings
    if not 1 <= max_length <= longest:
        raise ValueError(
            f"max_length={max_length} must be from 1 to {longest}, the model's "
            "max_position_embeddings."
        )


def check_architecture(model) -> None:
    """Raise ValueError, with what is missing, for a model that `decode_step` does not compute."""
    name, config = type(model).__name__, model.config
    missing = []
    if name != "LlamaForCausalLM":
        missing.append(f"the architecture {name}")
    elif config.rope_parameters["rope_type"] not in ROTARY:
        missing.append(f"rotary embeddings of type {config.rope_parameters['rope_type']!r}")
    elif config.hidden_act != "silu":
        missing.append(f"the activation {config.hidden_act!r}")
    norms = ("model.norm.weight", "_layernorm.weight")
    read = (*norms, "_proj.weight", "embed_tokens.weight", "lm_head.weight")
    unread = [part for part, _ in model.named_parameters() if not part.endswith(read)]
    unread += [part for part, one in model.named_parameters() if not one.is_floating_point()]
    if unread:
        missing.append(f"the parameter {unread[0]}" + " and others" * (len(unread) > 1))
    if missing:
        raise ValueError(
            f"DecodeStep computes LlamaForCausalLM with unquantized weights and no biases; it does "
            f"not have {', '.join(missing)}, which this model needs. Use llmcourse.generate."
        )

"""The space that the parity grid is drawn from: settings, ways of choosing, prompts, objects.

A value is a literal, so that a cell can be printed, read and run again; where `generate` takes an
object (a processor, a criterion, a second model), the literal is its name and `MADE` makes it.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import torch
from transformers import (
    CompileConfig,
    DynamicCache,
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessor,
    StoppingCriteria,
    SynthIDTextWatermarkingConfig,
    WatermarkingConfig,
)
from transformers.generation.candidate_generator import AssistantVocabTranslatorCache

from tests.support.families import BOS, FAMILIES, PAD, VOCAB, build
from tests.support.settings import EQUAL, EVERYTHING, ONE, SOME_EOS, UNEQUAL, masked
from tests.support.toy_tokenizers import letter_pairs, letters_and

NEW_TOKENS = 8
RIGHT_PADDED = torch.tensor([[7, 8, 9, 10, 11, 12], [31, 30, 29, 28, PAD, PAD]])
ECHO = torch.tensor([[7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8]])
ECHOES = torch.tensor([[PAD, PAD, 20, 21, 20, 21, 20, 21, 20], [5, 6, 5, 6, 5, 6, 5, 6, 5]])


PROMPTS = {
    "one": {"input_ids": ONE},
    "equal": masked(EQUAL),
    "padded": masked(UNEQUAL),
    "echo": {"input_ids": ECHO},  # repeats itself: n-gram rules and prompt lookup have work to do
    "one_token": {"input_ids": ONE[:, :1]},
    "no_mask": {"input_ids": UNEQUAL},
    "echoes": masked(ECHOES),
    "right_padded": masked(RIGHT_PADDED),
    "no_prompt": {},
}
SINGLE = ("one", "echo", "one_token")  # what assisted decoding takes


def width(prompt: str) -> int:
    """Return the length of a prompt; a missing one is the BOS token."""
    return PROMPTS[prompt]["input_ids"].shape[1] if PROMPTS[prompt] else 1


@dataclass(frozen=True)
class Setting:
    """One argument of `generate`: where its values come from, and what makes them matter.

    values: literals, or a function of (rng, prompt). needs: one of these comes along, because
    alone the setting does nothing. rare: refused, or failing in the library too, or hiding what is
    compared; combinations hold one at most, so that they still compare something.
    """

    values: tuple | Callable[[Random, str], Any]
    needs: tuple[dict, ...] = ({},)
    rare: bool = False

    def draw(self, rng: Random, prompt: str):
        return self.values(rng, prompt) if callable(self.values) else rng.choice(self.values)


DRAWN = ({"do_sample": True},)
BEAMS = ({"num_beams": 3}, {"num_beams": 2, "do_sample": True})
ASSISTED = ({"assistant_model": "same"}, {"assistant_model": "near"})
SEVERAL = ({"do_sample": True}, {"num_beams": 3}, {"num_beams": 4, "do_sample": True})
MANY_EOS = list(range(2, VOCAB, 4))  # enough for rows to end soon


def _ids(rng: Random, most: int) -> list[int]:
    return sorted(rng.sample(range(1, VOCAB), rng.randint(1, most)))


def _words(rng: Random, prompt: str) -> list[list[int]]:
    single = [[token] for token in _ids(rng, 30)]
    return [*single, [9, 7], rng.sample(range(7, 20), 2), rng.sample(range(1, VOCAB), 3)]


def _biases(rng: Random, prompt: str) -> list:
    return [[word, round(rng.uniform(-9, 9), 2)] for word in _words(rng, prompt)]


SETTINGS = {
    # how a token is chosen
    "do_sample": Setting((True, True, False)),
    "temperature": Setting((0.1, 0.7, 1.4, 100.0), DRAWN),
    "top_k": Setting((0, 1, 5, 50, VOCAB + 40), DRAWN),
    "top_p": Setting((0.0, 0.3, 0.95, 1.0), DRAWN),
    "min_p": Setting((0.0, 0.05, 0.5, 1.0), DRAWN),
    "top_h": Setting((0.2, 0.6, 0.99), DRAWN),
    "typical_p": Setting((0.2, 0.9, 1.0), DRAWN),
    "epsilon_cutoff": Setting((0.0, 0.003, 0.1, 0.9), DRAWN),
    "eta_cutoff": Setting((0.0, 0.003, 0.1, 0.9), DRAWN),
    "num_return_sequences": Setting((2, 3, 1), SEVERAL),
    # rules
    "repetition_penalty": Setting((0.7, 1.0, 1.3, 2.5)),
    "encoder_repetition_penalty": Setting((0.6, 1.5)),
    "no_repeat_ngram_size": Setting((0, 1, 2, 3)),
    "encoder_no_repeat_ngram_size": Setting((1, 2, 3)),
    "bad_words_ids": Setting(_words),
    "sequence_bias": Setting(_biases),
    "prefix_allowed_tokens_fn": Setting(("even_ids", "by_row", "one_id")),
    "forced_bos_token_id": Setting((7, 40)),
    "forced_eos_token_id": Setting((5, 22, [5, 9])),
    "remove_invalid_values": Setting((True, False), ({"logits_processor": "broken"},)),
    "exponential_decay_length_penalty": Setting(((2, 1.8), (0, 1.1), (5, 3.0))),
    "suppress_tokens": Setting(lambda rng, prompt: _ids(rng, 60)),
    "begin_suppress_tokens": Setting(lambda rng, prompt: _ids(rng, 60)),
    "guidance_scale": Setting((0.5, 1.5, 3.0, 1)),
    "negative_prompt_ids": Setting(([40, 41, 42], [7]), ({"guidance_scale": 2.0},)),
    "watermarking_config": Setting(("lefthash", "selfhash", "synthid")),
    "renormalize_logits": Setting((True, False)),
    "logits_processor": Setting(("ban_last", "cool", "counting", "broken")),
    "odd_rule": Setting(lambda rng, prompt: rng.choice(list(ODD_RULES)), rare=True),
    "odd_criterion": Setting(lambda rng, prompt: rng.choice(list(ODD_CRITERIA)), rare=True),
    # lengths and ends
    "min_length": Setting((0, 5, 14, 40), ({"eos_token_id": MANY_EOS},)),
    "min_new_tokens": Setting((1, 6, 30), ({"eos_token_id": MANY_EOS},)),
    "max_length": Setting(lambda rng, prompt: width(prompt) + rng.choice((0, 1, 3, 9))),
    "max_new_tokens": Setting((1, 2, 5, 13, None)),
    "eos_token_id": Setting((None, 11, MANY_EOS, SOME_EOS, MANY_EOS[::2])),
    "pad_token_id": Setting((None, 0, 3, 5), ({"eos_token_id": MANY_EOS},)),
    "bos_token_id": Setting((1, 9, None)),
    "stopping_criteria": Setting(("at_length", "on_a_multiple_of_5", "when_sure", "own_eos")),
    "stop_strings": Setting((["a"], ["ab", "cdc"], ["jj"])),
    "max_time": Setting((1000.0,)),
    # beams
    "num_beams": Setting((1, 2, 3, 4)),
    "length_penalty": Setting((-1.0, 0.0, 0.6, 2.0), BEAMS),
    "early_stopping": Setting((True, False, "never"), BEAMS),
    # drafts
    "prompt_lookup_num_tokens": Setting((1, 3, 10)),
    "max_matching_ngram_size": Setting((1, 2, 3), ({"prompt_lookup_num_tokens": 4},)),
    "assistant_model": Setting(("same", "near", "near", "smaller")),
    "assistant_tokenizer": Setting(("other",), ({"assistant_model": "other_vocabulary"},)),
    "assistant_early_exit": Setting((1, 1, 2)),
    "use_mtp": Setting((True, False), rare=True),
    "num_assistant_tokens": Setting((1, 3, 8), ASSISTED),
    "num_assistant_tokens_schedule": Setting(
        ("constant", "heuristic", "heuristic_transient"), ASSISTED
    ),
    "assistant_confidence_threshold": Setting((0.0, 0.2, 0.9), ASSISTED),
    # the cache and the prefill
    "use_cache": Setting((False, False, True)),
    "cache_implementation": Setting(("dynamic", "static", None, "static")),
    "max_cache_len": Setting((40, 5), ({"cache_implementation": "static"},)),
    "prefill_chunk_size": Setting((1, 3, 4, 50)),
    "past_key_values": Setting(("empty", "first_5")),
    "position_ids": Setting(("shifted",)),
    # how the call is made
    "generation_config": Setting(("whole", "half")),
    "streamer": Setting(("recorder",)),
    "inputs": Setting(("inputs",)),
    "disable_compile": Setting((True, False)),
    "compile_config": Setting(
        ("on_a_gpu",) * 9 + ("everywhere",), ({"cache_implementation": "static"},), rare=True
    ),
    # in which numbers
    "ids_in": Setting(("int32",)),
    "mask_in": Setting(("bool", "float32", "int32")),
    "model_in": Setting(("bfloat16", "bfloat16", "float16")),
    # less is compared
    "return_dict_in_generate": Setting((False,), rare=True),
    "output_scores": Setting((False,), rare=True),
    "output_logits": Setting((False,), rare=True),
    # not built into the loop, or gone from the library
    "offload_or_quantize": Setting(
        ("offloaded", "quantized", "offloaded_static", "hybrid", "sliding_window"), rare=True
    ),
    "output_attentions": Setting((True,), rare=True),
    "output_hidden_states": Setting((True,), rare=True),
    "inputs_embeds": Setting(("of_the_prompt",), rare=True),
    "token_type_ids": Setting(("zeros",), rare=True),
    "token_healing": Setting((True, False), rare=True),
    "low_memory": Setting((True, False), BEAMS, rare=True),
    "penalty_alpha": Setting((0.6, 0.0), ({"top_k": 4},), rare=True),
    "dola_layers": Setting(("low", [0]), rare=True),
    "num_beam_groups": Setting((2,), ({"num_beams": 4},), rare=True),
    "diversity_penalty": Setting((0.5,), ({"num_beams": 4, "num_beam_groups": 2},), rare=True),
    "constraints": Setting(([],), ({"num_beams": 2},), rare=True),
    "force_words_ids": Setting(([[3]],), ({"num_beams": 2},), rare=True),
    "assistant_ensemble_weight": Setting((0.5,), ASSISTED, rare=True),
}
# Two rows of the table may set one argument.
ARGUMENT = {
    "offload_or_quantize": "cache_implementation",
    "odd_rule": "logits_processor",
    "odd_criterion": "stopping_criteria",
}

# A combination is of one of these ways to choose a token, the usual ones more often.
WAYS = (
    {},
    {"do_sample": (True,)},
    {"num_beams": (2, 3, 4)},
    {"do_sample": (True,)},
    {"prompt_lookup_num_tokens": (1, 3, 10)},
    {"num_beams": (2, 3), "do_sample": (True,)},
    {},
    {"do_sample": (True,)},
    {"assistant_model": ("same", "near", "smaller")},
    {"num_beams": (2, 3, 4)},
    {"prompt_lookup_num_tokens": (3,), "do_sample": (True,)},
    {"do_sample": (True,)},
    {"assistant_model": ("same", "near", "smaller"), "do_sample": (True,)},
    {"assistant_early_exit": (1,)},
    {"assistant_early_exit": (1,), "do_sample": (True,)},
    {"assistant_model": ("other_vocabulary",), "assistant_tokenizer": ("other",)},
    {
        "assistant_model": ("cut_vocabulary",),
        "assistant_tokenizer": ("other",),
        "do_sample": (True,),
    },
)
DRAFTS = {
    "prompt_lookup_num_tokens",
    "assistant_model",
    "assistant_tokenizer",
    "assistant_early_exit",
    "use_mtp",
}
CHOOSES = {"do_sample", "num_beams", *DRAFTS}
# by `generate`, to a function
NOT_HANDED_ON = {"streamer", "stop_strings", "assistant_model", "assistant_tokenizer"}


class BanLast(LogitsProcessor):
    def __call__(self, input_ids, scores):
        return scores.scatter(1, input_ids[:, -1:], float("-inf"))


class Counting(LogitsProcessor):
    """Has a memory: each call favours another token, so one call too many shows."""

    def __init__(self):
        self.calls = 0

    def __call__(self, input_ids, scores):
        self.calls += 1
        return scores.index_add(
            1, torch.tensor([self.calls % VOCAB]), torch.full_like(scores, 3)[:, :1]
        )


def cool(input_ids, scores):
    return scores / 0.5


def broken(input_ids, scores):
    """Put nan and inf where `remove_invalid_values` finds them, in half of the steps."""
    if input_ids.shape[1] % 2:
        return scores
    bad = torch.tensor([float("nan"), float("inf")]).expand(len(scores), 2)
    return scores.index_copy(1, torch.tensor([3, 8]), bad)


class AtLength(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return torch.full((len(input_ids),), input_ids.shape[1] >= 13)


class WhenSure(StoppingCriteria):
    """Looks at the scores, as `generate` lets a criterion do where they are asked for."""

    def __call__(self, input_ids, scores, **kwargs):
        sure = scores[-1].softmax(-1).amax(-1) > 0.3
        return sure if len(sure) == len(input_ids) else sure.any().expand(len(input_ids))


def on_a_multiple_of_5(input_ids, scores, **kwargs):
    return input_ids[:, -1] % 5 == 0


# Rules and criteria that misbehave: each a function of what is given, under a name of its own.
def _named(name: str, function: Callable) -> Callable:
    def odd(ids, scores, **_):
        return function(ids, scores)

    odd.__name__ = name
    return odd


def _write_ids(ids, scores):
    ids[:, -1] = 9
    return scores


def _write_scores(ids, scores):
    scores[:, 7] = 50.0
    return scores


def _write_ids_and_vote(ids, scores):
    ids[:, -1] = 9
    return ids[:, -1] < 0


def _raise(kind: type) -> Callable:
    def fail(ids, scores):
        if ids.shape[1] > 12:
            raise kind("mine")
        return scores if isinstance(scores, torch.Tensor) else torch.zeros(len(ids)).bool()

    return fail


def _row_by_row(of: Callable) -> Callable:
    return lambda ids, scores: of(ids[:, -1] % 5 == 0)


_RAISED = (ValueError, KeyError, StopIteration, RuntimeError, IndexError)
ODD_RULES = {
    "writes_ids": _write_ids,
    "writes_scores": _write_scores,
    "returns_none": lambda ids, scores: None,
    "returns_a_list": lambda ids, scores: scores.tolist(),
    "returns_an_array": lambda ids, scores: scores.numpy(),
    "returns_float64": lambda ids, scores: scores.double(),
    "returns_float16": lambda ids, scores: scores.half(),
    "returns_bfloat16": lambda ids, scores: scores.bfloat16(),
    "returns_int64": lambda ids, scores: scores.long(),
    "returns_bool": lambda ids, scores: scores > 1,
    "returns_a_row_more": lambda ids, scores: torch.cat([scores, scores[:1]]),
    "returns_no_rows": lambda ids, scores: scores[:0],
    "returns_a_token_less": lambda ids, scores: scores[:, :-1],
    "returns_a_token_more": lambda ids, scores: torch.cat([scores, scores[:, :1]], 1),
    "returns_one_dimension": lambda ids, scores: scores[0],
    "returns_a_number": lambda ids, scores: scores.max(),
    "returns_three_dimensions": lambda ids, scores: scores[None],
    "returns_strides": lambda ids, scores: scores.t().contiguous().t(),
    "returns_a_gradient": lambda ids, scores: scores.clone().requires_grad_(),
    **{f"raises_{kind.__name__}": _raise(kind) for kind in _RAISED},
}
ODD_CRITERIA = {
    "votes_int64": _row_by_row(lambda yes: yes.long()),
    "votes_int32": _row_by_row(lambda yes: yes.int()),
    "votes_uint8": _row_by_row(lambda yes: yes.byte()),
    "votes_two": _row_by_row(lambda yes: yes.long() * 2),
    "votes_three": _row_by_row(lambda yes: yes.long() * 3),
    "votes_minus_one": _row_by_row(lambda yes: -yes.long()),
    "votes_float": _row_by_row(lambda yes: yes.float()),
    "votes_an_array": _row_by_row(lambda yes: yes.numpy()),
    "votes_a_list": _row_by_row(lambda yes: yes.tolist()),
    "votes_none": _row_by_row(lambda yes: None),
    "votes_a_bool": _row_by_row(lambda yes: bool(yes.all())),
    "votes_an_int": _row_by_row(lambda yes: int(yes.all())),
    "votes_a_number": _row_by_row(lambda yes: float(yes.all())),
    "votes_a_scalar": _row_by_row(lambda yes: yes.all()),
    "votes_a_whole_scalar": _row_by_row(lambda yes: yes.all().long()),
    "votes_one_for_all": _row_by_row(lambda yes: yes.all()[None]),
    "votes_a_column": _row_by_row(lambda yes: yes[:, None]),
    "votes_for_no_row": _row_by_row(lambda yes: yes[:0]),
    "votes_for_more": _row_by_row(lambda yes: torch.cat([yes, yes])),
    "votes_and_writes_ids": _write_ids_and_vote,
    **{f"raises_{kind.__name__}": _raise(kind) for kind in _RAISED},
}


def even_ids(row, ids):
    return list(range(0, VOCAB, 2))


def by_row(row, ids):
    return [10 * (row + 1) + (len(ids) + step) % 9 for step in range(3)]


def one_id(row, ids):
    return [(int(ids[-1]) + 1) % VOCAB]


class Recorder:
    """A streamer that writes down each call."""

    def __init__(self):
        self.calls = []

    def put(self, ids):
        self.calls.append((tuple(ids.shape), str(ids.dtype), ids.tolist()))

    def end(self):
        self.calls.append("end")


OTHER_VOCAB = 60


@cache
def other_pairs():
    """Return a tokenizer of a vocabulary of its own, most of it that of `letter_pairs`."""
    letters = "jihgfedcbaxy"
    words = [*letters, *(one + other for one in letters for other in letters)][:OTHER_VOCAB]
    return letters_and(words)


@cache
def _assistant(family: str, kind: str):
    if kind == "other_vocabulary":
        return build("llama", vocab_size=OTHER_VOCAB, num_hidden_layers=1)
    if kind == "smaller":
        layers = next(name for name in ("num_hidden_layers", "n_layer") if name in FAMILIES[family])
        changes = {"attn_layer_indices": [0]} if family == "bamba" else {}
        return build(family, **{layers: 1}, **changes)
    model = build(family)
    if kind == "near":
        with torch.random.fork_rng():
            torch.manual_seed(4)
            for weights in model.parameters():
                weights.data += 0.03 * torch.randn_like(weights)
    return model


@cache
def _cut_assistant():
    """Return a model of another vocabulary, cut for good to what it shares with `letter_pairs`.

    The library cuts it in the first sampling call, in an order of tokens that is another one in
    each process and for each pair of tokenizers.
    """
    model = build("llama", vocab_size=OTHER_VOCAB, num_hidden_layers=1)
    AssistantVocabTranslatorCache.get_translator(
        letter_pairs(), other_pairs(), VOCAB, assistant_model=model, assistant_prune_lm_head=True
    )
    return model


def assistant(family: str, kind: str):
    """Return a second model whose drafts are all accepted (same), some (near) or few (smaller).

    Or one of another vocabulary: for greedy decoding (other) or sampling (cut).
    `generate` may write to its generation config, so that is a new one each time.
    """
    if kind in ("other_vocabulary", "cut_vocabulary"):
        cut = _cut_assistant()  # so that the tokens of both vocabularies are in one order always
        model = cut if kind == "cut_vocabulary" else _assistant(family, kind)
    else:
        model = _assistant(family, kind)
    model.generation_config = GenerationConfig.from_model_config(model.config)
    return model


def past(model, prompt: str, kind: str) -> DynamicCache:
    """Return a cache that holds nothing, or the first 5 tokens of the prompt."""
    cache, call = DynamicCache(config=model.config), PROMPTS[prompt]
    if kind == "first_5" and call:
        first = {name: tensor[:, :5] for name, tensor in call.items()}
        with torch.no_grad():
            model(**first, past_key_values=cache)
    return cache


def _compile_config(where: str) -> CompileConfig:
    config = CompileConfig(backend="eager", fullgraph=False)
    config._compile_all_devices = where == "everywhere"  # else on a GPU alone
    return config


def _rows(prompt: str) -> int:
    return len(PROMPTS[prompt]["input_ids"]) if PROMPTS[prompt] else 1


PROCESSORS = {"ban_last": BanLast, "counting": Counting}
PROCESSORS |= {"cool": lambda: cool, "broken": lambda: broken}
CRITERIA = {
    "at_length": AtLength,
    "when_sure": WhenSure,
    "on_a_multiple_of_5": lambda: on_a_multiple_of_5,
    "own_eos": lambda: EosTokenCriteria(eos_token_id=MANY_EOS),
}
WATERMARKS = {
    "lefthash": lambda: WatermarkingConfig(bias=2.5),
    "selfhash": lambda: WatermarkingConfig(bias=2.5, seeding_scheme="selfhash", context_width=2),
    "synthid": lambda: SynthIDTextWatermarkingConfig(ngram_len=3, keys=[654, 400, 836, 123]),
}
PREFIXES = {"even_ids": even_ids, "by_row": by_row, "one_id": one_id}

# Functions of (model, family, prompt, literal) that make what `generate` takes, anew each time.
MADE = {
    "logits_processor": lambda model, family, prompt, name: [PROCESSORS[name]()],
    "stopping_criteria": lambda model, family, prompt, name: [CRITERIA[name]()],
    "odd_rule": lambda model, family, prompt, name: [_named(name, ODD_RULES[name])],
    "odd_criterion": lambda model, family, prompt, name: [_named(name, ODD_CRITERIA[name])],
    "assistant_tokenizer": lambda model, family, prompt, name: other_pairs(),
    "compile_config": lambda model, family, prompt, name: _compile_config(name),
    "watermarking_config": lambda model, family, prompt, name: WATERMARKS[name](),
    "prefix_allowed_tokens_fn": lambda model, family, prompt, name: PREFIXES[name],
    "assistant_model": lambda model, family, prompt, kind: assistant(family, kind),
    "past_key_values": lambda model, family, prompt, kind: past(model, prompt, kind),
    "streamer": lambda model, family, prompt, name: Recorder(),
    "position_ids": lambda model, family, prompt, name: torch.arange(3, 3 + width(prompt)).repeat(
        _rows(prompt), 1
    ),
    "token_type_ids": lambda model, family, prompt, name: torch.zeros(
        _rows(prompt), width(prompt), dtype=torch.long
    ),
    "negative_prompt_ids": lambda model, family, prompt, ids: torch.tensor([ids] * _rows(prompt)),
}
OF_THE_ASSISTANT = (
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
)


def call_of(model, family: str, prompt: str, settings: dict) -> dict:
    """Return the keyword arguments for `generate`, nothing in them shared with another call."""
    call = {**EVERYTHING, **copy.deepcopy(PROMPTS[prompt])}
    if "max_length" not in settings:
        call["max_new_tokens"] = NEW_TOKENS
    for name, value in settings.items():
        make, argument = MADE.get(name), ARGUMENT.get(name, name)
        made = make(model, family, prompt, value) if make else copy.deepcopy(value)
        both = argument != name and isinstance(call.get(argument), list)
        call[argument] = call[argument] + made if both else made
    _set_on_the_assistant(call)
    _set_the_numbers(call)
    if "stop_strings" in call or "assistant_tokenizer" in call:
        call["tokenizer"] = letter_pairs()
    if call.pop("inputs", None) and "input_ids" in call:
        call["inputs"] = call.pop("input_ids")
    if "inputs_embeds" in call:
        ids = call.pop("input_ids", torch.tensor([[BOS]]))
        call["inputs_embeds"] = model.get_input_embeddings()(ids).detach()
    return _with_a_config(call)


def _set_the_numbers(call: dict) -> None:
    """Give ids and mask in the numbers asked for; what the model computes in is set elsewhere."""
    call.pop("model_in", None)
    for name, argument in (("ids_in", "input_ids"), ("mask_in", "attention_mask")):
        kind = call.pop(name, None)
        if kind and argument in call:
            call[argument] = call[argument].to(getattr(torch, kind))


def _set_on_the_assistant(call: dict) -> None:
    """The number of drafted tokens and its like are read from the assistant's own config."""
    if "assistant_model" in call:
        for name in OF_THE_ASSISTANT:
            if name in call:
                setattr(call["assistant_model"].generation_config, name, call.pop(name))


def _with_a_config(call: dict) -> dict:
    """Move all settings, or every other one, into a GenerationConfig object if one is asked for."""
    how_much = call.pop("generation_config", None)
    if how_much is None:
        return call
    known = [name for name in sorted(call) if hasattr(GenerationConfig(), name)]
    moved = known if how_much == "whole" else known[::2]
    return {
        **{name: value for name, value in call.items() if name not in moved},
        "generation_config": GenerationConfig(**{name: call[name] for name in moved}),
    }

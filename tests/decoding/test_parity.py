"""The visible loop is equal to `generate`, bit for bit in float32: ids, raw logits, scores.

A cell of the grid is a family, a way of choosing, prompts, with or without cache, and a way to end;
a failure's name is the cell, such as `llama-sampling-unequal-nocache-staggered_eos`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import pytest
import torch
from transformers import (
    DynamicCache,
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

import llmcourse
from llmcourse.decoding.model_inputs import _FED_AS_USUAL
from tests.support.compare import (
    assert_equal_output,
    assert_equal_steps,
    assert_same_call,
    generate_as_the_library,
)
from tests.support.families import BOS, CONFIGS, PAD, VOCAB, WINDOW, build, tiny
from tests.support.grid_space import Recorder
from tests.support.settings import (
    EVERYTHING,
    MODES,
    NO_EOS,
    ONE,
    PROMPTS,
    SAMPLING,
    SEED,
    SOME_EOS,
    UNEQUAL,
)

NEW_TOKENS = 10
# The grid. The first families run in every combination, the others in those that differ most.
THOROUGH = list(CONFIGS)[:9]
ALSO = [family for family in CONFIGS if family not in THOROUGH]


@dataclass(frozen=True)
class Cell:
    family: str
    mode: str
    prompts: str
    cache: str
    stop: str

    def __str__(self) -> str:
        return "-".join([self.family, self.mode, self.prompts, self.cache, self.stop])


def grid() -> Iterator[Cell]:
    both, caches = ("greedy", "sampling"), ("cache", "nocache")
    for family in THOROUGH:
        ends = ("no_eos", "early_eos")
        yield from (Cell(family, *rest) for rest in product(both, ("one",), caches, ends))
        batches, ends = ("equal", "unequal"), ("no_eos", "staggered_eos")
        yield from (Cell(family, *rest) for rest in product(both, batches, caches, ends))
        for mode in both:
            yield Cell(family, mode, "one", "cache", "one_of_several_eos")
            yield Cell(family, mode, "unequal", "cache", "one_of_several_eos")
            yield Cell(family, mode, "unequal", "cache", "early_eos")
            yield Cell(family, f"{mode}_penalties", "unequal", "cache", "staggered_eos")
    for family in ALSO:
        for rest in product(both, ("unequal",), caches, ("staggered_eos",)):
            yield Cell(family, *rest)
        yield Cell(family, "sampling_penalties", "one", "cache", "no_eos")


CELLS = list(grid())


def end_of_each_row(new: torch.Tensor, eos: tuple) -> list[int | None]:
    """Return the step at which each row of `new`, (batch, steps), first has an id of `eos`."""
    return [
        next((step for step, token in enumerate(row) if token in eos), None) for row in new.tolist()
    ]


def choose_eos(new: torch.Tensor, stop: str):
    """Choose EOS ids among what a run without EOS generated, `new`: (batch, steps)."""
    if stop == "no_eos":
        return None
    last = new.shape[1] - 1
    if stop == "staggered_eos":  # one id for each row; each row ends at its own step, not the last
        for ids in product(*new.tolist()):
            ends = end_of_each_row(new, ids)
            apart = len(set(ends)) == len(ends) and 0 < min(ends) and max(ends) < last
            if apart and PAD not in ids:
                return list(dict.fromkeys(ids))
        raise AssertionError(f"no ids end the rows of {new.tolist()} at different steps")
    for step in range(last // 2, 0, -1):  # the first row ends half way, the others later or never
        token = new[0, step].item()
        ends = end_of_each_row(new, (token,))
        if token != PAD and ends[0] == step and all(e is None or e >= step for e in ends):
            break
    else:
        raise AssertionError(f"no id ends the first row of {new.tolist()} half way")
    if stop == "early_eos":
        return token
    never = [id for id in range(2, VOCAB) if id not in new]
    return [never[0], token, never[1]]


@cache
def run_without_eos(family: str, mode: str, prompts: str, cache: str):
    """Return the library's output for a cell without EOS, from which its EOS ids are chosen."""
    return generate_as_the_library(tiny(family), **call_of(family, mode, prompts, cache), **NO_EOS)


def call_of(family: str, mode: str, prompts: str, cache: str) -> dict:
    return {
        **PROMPTS[prompts],
        **MODES[mode],
        "use_cache": cache == "cache",
        "max_new_tokens": NEW_TOKENS,
        "pad_token_id": PAD,
    }


def assert_stops_fit(steps: list, eos) -> None:
    """Hold `finished` and `stop_reasons` against the tokens that the rows got."""
    ids = () if eos is None else tuple(eos) if isinstance(eos, list) else (eos,)
    new = torch.stack([step.chosen for step in steps], dim=1)
    ends = end_of_each_row(new, ids)
    for step in steps:
        full = step.index == NEW_TOKENS - 1
        expected = [
            "eos" if end is not None and end <= step.index else "length" if full else None
            for end in ends
        ]
        assert list(step.stop_reasons) == expected
        assert step.finished.tolist() == [word is not None for word in expected]
    for row, end in enumerate(ends):
        after = new[row, end + 1 :] if end is not None else new[row, :0]
        assert after.eq(PAD).all(), "a finished row gets padding"


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_loop_is_generate_bit_for_bit(cell):
    call = call_of(cell.family, cell.mode, cell.prompts, cell.cache)
    free = run_without_eos(cell.family, cell.mode, cell.prompts, cell.cache)
    length = call["input_ids"].shape[1]
    eos = choose_eos(free.sequences[:, length:], cell.stop)

    steps = assert_same_call(tiny(cell.family), **call, eos_token_id=eos)

    assert_stops_fit(steps, eos)
    new = torch.stack([step.chosen for step in steps], dim=1)
    ends = end_of_each_row(new, tuple(eos) if isinstance(eos, list) else (eos,))
    assert len(new.unique()) > 2, "a model that repeats itself would hide a wrong loop"
    assert len({tuple(row) for row in new.tolist()}) == len(new), "rows should differ"
    if cell.stop == "no_eos":
        assert len(steps) == NEW_TOKENS
    elif cell.stop == "staggered_eos":
        assert len(set(ends)) == len(ends), "every row ends at its own step"
        assert len(steps) == max(ends) + 1 < NEW_TOKENS, "and the batch with the last of them"
    else:
        assert 0 < ends[0] < NEW_TOKENS - 1, "the first row ends early"


def test_the_grid_does_not_shrink_unnoticed():
    print(f"{len(CELLS)} cells, {len(CONFIGS)} families")
    assert len({str(cell) for cell in CELLS}) == len(CELLS) >= 350
    assert {"llama", "gpt2", "qwen3", "mistral", "gemma3_text", "gpt_neox"} <= set(THOROUGH)
    assert {"falcon_h1", "mamba", "phi3"} <= set(THOROUGH)
    assert all(ids["input_ids"].shape[1] > WINDOW for ids in PROMPTS.values())


def test_every_family_that_is_let_through_by_name_is_in_the_grid():
    assert set(CONFIGS) >= _FED_AS_USUAL


@pytest.mark.parametrize("family", CONFIGS)
def test_a_tiny_model_is_not_degenerate(family):
    model, rest = tiny(family), {**PROMPTS["one"], "max_new_tokens": NEW_TOKENS, **NO_EOS}
    greedy = generate_as_the_library(model, **rest)
    sampled = generate_as_the_library(model, **rest, **SAMPLING)
    assert greedy.sequences.tolist() != sampled.sequences.tolist(), "sampling is greedy in disguise"
    spread = torch.stack(greedy.logits).std(-1)
    assert (spread > 0.5).all(), "all tokens are about as likely"
    assert (torch.stack(greedy.scores).softmax(-1).amax(-1) < 0.99).all(), "nothing to draw"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_left_padding_needs_the_mask(family):
    """If padding changed nothing, the unequal cells above would prove nothing."""
    call = {**MODES["greedy"], "max_new_tokens": NEW_TOKENS, **NO_EOS}
    masked = tiny(family).generate(**PROMPTS["unequal"], **call)
    ones = torch.ones_like(UNEQUAL)
    assert not torch.equal(
        masked, tiny(family).generate(input_ids=UNEQUAL, attention_mask=ones, **call)
    )


# What else a call may hold: each is a dict of arguments, or a function that makes one (a cache and
# a processor with a memory are used up by a run).


class BanLastToken(LogitsProcessor):
    def __call__(self, input_ids, scores):
        return scores.scatter(1, input_ids[:, -1:], float("-inf"))


class StopAtLength(StoppingCriteria):
    def __init__(self, length):
        self.length = length

    def __call__(self, input_ids, scores, **kwargs):
        return torch.full((len(input_ids),), input_ids.shape[1] >= self.length)


class StopWhenSure(StoppingCriteria):
    """Ends a row on a likely token; looks at the scores, as `generate` lets a criterion do."""

    def __call__(self, input_ids, scores, **kwargs):
        return scores[-1].softmax(-1).amax(-1) > 0.3


def cool(input_ids, scores):
    return scores / 0.5


def stop_on_a_multiple_of_5(input_ids, scores, **kwargs):
    return input_ids[:, -1] % 5 == 0


def only_even_ids(row, ids):
    return list(range(0, VOCAB, 2))


OTHER_CALLS = {
    "num_return_sequences": {**PROMPTS["one"], **SAMPLING, "num_return_sequences": 3},
    "num_return_sequences_of_a_batch": {
        **PROMPTS["unequal"],
        **SAMPLING,
        "num_return_sequences": 2,
    },
    "own_processor": {
        **PROMPTS["unequal"],
        "logits_processor": LogitsProcessorList([BanLastToken()]),
    },
    "own_processor_function": {**PROMPTS["unequal"], **SAMPLING, "logits_processor": [cool]},
    "own_criterion": {
        **PROMPTS["one"],
        "stopping_criteria": StoppingCriteriaList([StopAtLength(14)]),
    },
    "own_criterion_function": {
        **PROMPTS["unequal"],
        "stopping_criteria": [stop_on_a_multiple_of_5],
    },
    "own_criterion_on_scores": {**PROMPTS["unequal"], "stopping_criteria": [StopWhenSure()]},
    "own_eos_criterion": {
        **PROMPTS["unequal"],
        "stopping_criteria": [EosTokenCriteria(eos_token_id=SOME_EOS)],
    },
    "max_length": {**PROMPTS["unequal"], "max_length": 14, "max_new_tokens": None},
    "no_length_at_all": {**PROMPTS["one"], "max_new_tokens": None},
    "min_new_tokens": {**PROMPTS["unequal"], "min_new_tokens": 8, "eos_token_id": SOME_EOS},
    "eos_list": {**PROMPTS["unequal"], "eos_token_id": SOME_EOS},
    "eos_tensor": {**PROMPTS["unequal"], "eos_token_id": torch.tensor(SOME_EOS)},
    "pad_missing": {**PROMPTS["unequal"], "pad_token_id": None, "eos_token_id": SOME_EOS},
    "pad_and_eos_missing": {**PROMPTS["unequal"], "pad_token_id": None, "eos_token_id": None},
    "mask_missing_one": {"input_ids": ONE},
    "mask_missing_inferred_from_pads": {"input_ids": UNEQUAL},
    "mask_missing_not_inferable": {"input_ids": UNEQUAL, "pad_token_id": 5},
    "mask_of_bools": {"input_ids": UNEQUAL, "attention_mask": UNEQUAL.ne(PAD)},
    "mask_of_floats": {"input_ids": UNEQUAL, "attention_mask": UNEQUAL.ne(PAD).float()},
    "mask_all_zero": {"input_ids": ONE, "attention_mask": torch.zeros_like(ONE)},
    "masked_in_the_middle": {"input_ids": ONE, "attention_mask": ONE.ne(10).long()},
    "positions_given": {"input_ids": ONE, "position_ids": torch.arange(3, 14)[None]},
    "ids_int32": {"input_ids": ONE.int()},
    "one_token": {"input_ids": ONE[:, :1]},
    "inputs": {"inputs": ONE},
    "prompt_missing": {},
    "prompt_missing_sampling": SAMPLING,
    "generation_config": {
        **PROMPTS["unequal"],
        "max_new_tokens": None,
        "generation_config": GenerationConfig(max_new_tokens=6, **SAMPLING),
    },
    "hidden_top_k": {**PROMPTS["unequal"], "do_sample": True},
    "min_p_and_typical": {**PROMPTS["unequal"], "do_sample": True, "min_p": 0.02, "typical_p": 0.9},
    "epsilon_and_eta": {
        **PROMPTS["unequal"],
        "do_sample": True,
        "epsilon_cutoff": 0.005,
        "eta_cutoff": 0.005,
    },
    "penalty_and_bad_words": {
        **PROMPTS["unequal"],
        "repetition_penalty": 1.5,
        "bad_words_ids": [*([id] for id in range(0, VOCAB, 2)), [15, 3], [27, 5]],
    },
    "suppress_and_begin": {
        **PROMPTS["one"],
        "suppress_tokens": list(range(0, VOCAB, 2)),
        "begin_suppress_tokens": list(range(0, VOCAB, 3)),
    },
    "sequence_bias": {
        **PROMPTS["one"],
        "sequence_bias": [[[22], 3.0], [[22, 14], 9.0], [[17], -9.0]],
    },
    "forced_eos": {**PROMPTS["unequal"], "forced_eos_token_id": 5},
    "length_decay": {
        **PROMPTS["unequal"],
        "exponential_decay_length_penalty": (2, 1.8),
        "eos_token_id": 22,
    },
    "renormalize": {**PROMPTS["one"], **SAMPLING, "renormalize_logits": True},
    "guidance": {**PROMPTS["one"], "guidance_scale": 1.5},
    "prefix_allowed_tokens": {
        **PROMPTS["unequal"],
        **SAMPLING,
        "prefix_allowed_tokens_fn": only_even_ids,
    },
    "dynamic_cache_by_name": {**PROMPTS["unequal"], "cache_implementation": "dynamic"},
    "longer_than_the_positions": {**PROMPTS["one"], "max_new_tokens": 130},
}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", OTHER_CALLS)
def test_other_calls_are_generate_bit_for_bit(name, family):
    if (family, name) == ("gpt2", "longer_than_the_positions"):
        pytest.skip("GPT-2 has a table of positions, and `generate` itself fails past its end")
    assert_same_call(tiny(family), **{"max_new_tokens": NEW_TOKENS, **OTHER_CALLS[name]})


def test_calls_that_should_end_early_do_and_for_the_stated_reason():
    def reasons(name):
        call = {"max_new_tokens": NEW_TOKENS, **EVERYTHING, **OTHER_CALLS[name]}
        return list(llmcourse.steps(tiny("llama"), **call))[-1].stop_reasons

    assert reasons("own_criterion") == ("StopAtLength",)
    assert "stop_on_a_multiple_of_5" in reasons("own_criterion_function")
    assert "StopWhenSure" in reasons("own_criterion_on_scores")
    assert "eos" in reasons("own_eos_criterion")
    assert "eos" in reasons("eos_list")
    assert "eos" in reasons("pad_missing")
    assert reasons("max_length") == ("length",) * 3


def test_a_row_that_ends_without_a_padding_token_gets_the_first_eos():
    call = {**OTHER_CALLS["pad_missing"], "max_new_tokens": NEW_TOKENS}
    steps = list(llmcourse.steps(build("llama", pad_token_id=None), **call))
    new = torch.stack([step.chosen for step in steps], dim=1)
    ends = end_of_each_row(new, tuple(SOME_EOS))
    padded = [
        new[row, end + 1 :]
        for row, end in enumerate(ends)
        if end is not None and end + 1 < len(steps)
    ]
    assert padded, "some row ends before the batch does"
    assert all(rest.eq(SOME_EOS[0]).all() for rest in padded)


def prefilled(model, ids: torch.Tensor, mask: torch.Tensor | None = None) -> DynamicCache:
    past = DynamicCache(config=model.config)
    with torch.no_grad():
        model(ids, attention_mask=mask, past_key_values=past)
    return past


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "lfm2"])
@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("known", [0, 1, 6, 10])
def test_a_cache_handed_in_is_continued_with_the_whole_prompt(family, mode, known):
    model = tiny(family)

    def run(generate):
        past = prefilled(model, ONE[:, :known]) if known else DynamicCache(config=model.config)
        torch.manual_seed(SEED)
        call = {"input_ids": ONE, "past_key_values": past, "max_new_tokens": 6, **MODES[mode]}
        return generate(**call, **NO_EOS), past

    theirs, their_cache = run(lambda **call: model.generate(**EVERYTHING, **call))
    boxed, our_cache = run(
        lambda **call: model.generate(**EVERYTHING, **call, custom_generate=llmcourse.glass_box)
    )
    assert_equal_output(boxed, theirs)
    assert our_cache.get_seq_length() == their_cache.get_seq_length() == ONE.shape[1] + 5
    assert boxed.past_key_values is our_cache
    walked, _ = run(lambda **call: list(llmcourse.steps(model, **call)))
    assert_equal_steps(walked, theirs, ONE)
    assert walked[0].fed.tolist() == ONE[:, known:].tolist()


@pytest.mark.parametrize("known", [4, 7])
def test_a_cache_of_a_padded_batch_is_continued(known):
    model, prompts = tiny("llama"), PROMPTS["unequal"]

    def run(generate):
        past = prefilled(
            model, prompts["input_ids"][:, :known], prompts["attention_mask"][:, :known]
        )
        return generate(**prompts, past_key_values=past, max_new_tokens=6, **NO_EOS)

    theirs = run(lambda **call: model.generate(**EVERYTHING, **call))
    assert_equal_steps(run(lambda **call: list(llmcourse.steps(model, **call))), theirs, UNEQUAL)


@pytest.mark.parametrize("masked", [0, 1])
def test_a_cache_is_continued_with_the_new_tokens_alone_and_the_whole_mask(masked):
    model, mask = tiny("llama"), torch.ones_like(ONE)
    mask[:, :masked] = 0

    def run(generate):
        past = prefilled(model, ONE[:, :6], mask[:, :6])
        call = {"input_ids": ONE[:, 6:], "attention_mask": mask, "past_key_values": past}
        return generate(**call, max_new_tokens=6, **NO_EOS)

    theirs = run(lambda **call: model.generate(**EVERYTHING, **call))
    walked = run(lambda **call: list(llmcourse.steps(model, **call)))
    assert_equal_steps(walked, theirs, ONE[:, 6:])


def test_a_cache_that_generate_returned_is_continued():
    model = tiny("llama")
    first = model.generate(
        input_ids=ONE, max_new_tokens=4, **NO_EOS, **EVERYTHING, custom_generate=llmcourse.glass_box
    )
    longer = torch.cat([first.sequences, ONE], dim=1)
    call = {"input_ids": longer, "max_new_tokens": 4, **NO_EOS}
    whole = model.generate(**call)
    continued = model.generate(
        **call, past_key_values=first.past_key_values, custom_generate=llmcourse.glass_box
    )
    assert torch.equal(whole, continued)


@pytest.mark.parametrize("prompts", ["one", "unequal"])
@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_a_streamer_gets_the_same_calls_in_the_same_order(prompts, mode):
    free = run_without_eos("llama", mode, prompts, "cache")
    length = PROMPTS[prompts]["input_ids"].shape[1]
    call = call_of("llama", mode, prompts, "cache")
    call["eos_token_id"] = choose_eos(free.sequences[:, length:], "early_eos")
    model, heard = tiny("llama"), []
    for run in (
        lambda **kwargs: model.generate(**kwargs),
        lambda **kwargs: llmcourse.generate(model, **kwargs),
        lambda **kwargs: list(llmcourse.steps(model, **kwargs)),
    ):
        heard.append(Recorder())
        torch.manual_seed(SEED)
        run(**call, streamer=heard[-1])
    theirs, generated, stepped = (recorder.calls for recorder in heard)
    assert theirs[-1] == "end" and len(theirs) > 3
    assert generated == theirs
    assert stepped == theirs


def test_a_streamer_gets_a_token_before_the_step_is_seen():
    recorder = Recorder()
    walk = llmcourse.steps(tiny("llama"), input_ids=ONE, max_new_tokens=3, streamer=recorder)
    for step in walk:
        assert recorder.calls[-1][-1] == step.chosen.tolist()
    assert recorder.calls[-1] == "end"


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("normalize", [False, True])
def test_transition_scores_are_equal(mode, normalize):
    model, call = tiny("llama"), call_of("llama", mode, "unequal", "cache")
    theirs = generate_as_the_library(model, **call)
    torch.manual_seed(SEED)
    ours = llmcourse.generate(model, **EVERYTHING, **call)
    one, other = (
        model.compute_transition_scores(run.sequences, run.scores, normalize_logits=normalize)
        for run in (ours, theirs)
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("wanted", [(), ("output_scores",), ("output_logits",)])
def test_the_output_holds_what_was_asked_for_and_no_more(wanted):
    model = tiny("llama")
    call = {"input_ids": ONE, "max_new_tokens": 3, "return_dict_in_generate": True}
    call |= dict.fromkeys(wanted, True)
    theirs, ours = model.generate(**call), llmcourse.generate(model, **call)
    assert list(ours.keys()) == list(theirs.keys())
    assert type(ours.past_key_values) is type(theirs.past_key_values)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("family", ["mamba", "mamba2", "falcon_mamba"])
def test_a_state_space_model_returns_its_state_where_others_return_their_cache(family, use_cache):
    """The state goes in as `cache_params` and comes out as `past_key_values`."""
    model, call = tiny(family), {**EVERYTHING, **PROMPTS["one"], "use_cache": use_cache}
    theirs, ours = model.generate(**call), llmcourse.generate(model, **call)
    assert list(ours.keys()) == list(theirs.keys())
    assert type(ours.past_key_values) is type(theirs.past_key_values)
    assert (ours.past_key_values is not None) == use_cache


@pytest.mark.parametrize("family", ["llama", "mamba", "falcon_h1"])
def test_without_a_dict_the_ids_alone_come_back(family):
    model, call = tiny(family), call_of(family, "greedy", "unequal", "cache")
    theirs = model.generate(**call)
    assert torch.equal(llmcourse.generate(model, **call), theirs)
    assert torch.equal(model.generate(**call, custom_generate=llmcourse.glass_box), theirs)


def test_settings_of_the_model_itself_are_honoured():
    model = build("llama")
    model.generation_config.update(do_sample=True, temperature=1.7, top_k=9, max_new_tokens=7)
    model.generation_config.update(repetition_penalty=1.2, eos_token_id=[5, 11], pad_token_id=3)
    assert_same_call(model, **PROMPTS["unequal"])


def test_dropout_in_training_mode_draws_the_same_numbers():
    model = build("llama", attention_dropout=0.3).train()
    assert_same_call(model, **PROMPTS["unequal"], **SAMPLING, max_new_tokens=5)


def test_bfloat16_is_equal_too_with_the_same_kind_of_cache():
    model = build("llama").to(torch.bfloat16)
    steps = assert_same_call(model, **PROMPTS["unequal"], **SAMPLING, max_new_tokens=NEW_TOKENS)
    assert steps[0].logits.dtype == steps[0].probs.dtype == torch.float32


def test_a_prompt_that_is_missing_is_the_bos_token():
    first = next(llmcourse.steps(tiny("llama"), max_new_tokens=2))
    assert first.fed.tolist() == [[BOS]]


# The course's own model.

TEXTS = {
    "colors": "A list of colors: red, blue",
    "numbers": "A sequence of numbers: 1, 2",
    "digits_and_spaces": "    1  22   333 4444    0.5 1e-9",
    "python": "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "html": '<ul>\n  <li class="a">one</li>\n  <li class="b">',
    "json": '{"name": "Ada", "born": 1815, "languages": ["',
    "chinese": "今天天气很好,我们去公园",
    "emoji": "Weather report: ☀️ 🌧️ 👩‍👩‍👧 🏳️‍🌈",
    "accents": "Où êtes-vous allé l'été dernier ? Je suis",
    "arabic": "مرحبا بالعالم",
    "question": "What is the capital of France?",
    "capitals": "THE QUICK BROWN FOX JUMPS OVER",
    "trailing_space": "Once upon a time there was ",
    "newlines": "1.\n\n2.\n\n3.\n\n",
    "tabs": "a\tb\tc\n1\t2\t",
    "one_word": "Hello",
    "punctuation": "?!... --- (((",
    "repetition": "the cat the cat the cat the",
}
CHAT = [{"role": "user", "content": "Name three rivers in Europe."}]
LONG = "The river rose in the night, and by morning the lower road was gone. "
NAMES = [*TEXTS, "chat", "long"]


def encoded(tokenizer, name: str) -> dict:
    if name == "chat":
        return dict(
            tokenizer.apply_chat_template(
                CHAT, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        )
    if name == "long":
        ids = tokenizer(LONG * 20, return_tensors="pt").input_ids[:, :200]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return dict(tokenizer(TEXTS[name], return_tensors="pt"))


def test_the_prompts_for_the_course_model_are_twenty(course_model):
    _, tokenizer = course_model
    lengths = {name: encoded(tokenizer, name)["input_ids"].shape[1] for name in NAMES}
    assert len(lengths) == 20
    assert lengths["long"] == 200
    assert lengths["one_word"] == 1


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("name", NAMES)
def test_the_course_model_runs_equal_in_loop_and_library(course_model, name, mode):
    model, tokenizer = course_model
    call = {**encoded(tokenizer, name), "max_new_tokens": 8, "do_sample": mode == "sampling"}
    theirs = generate_as_the_library(model, **call)
    torch.manual_seed(SEED)
    assert_equal_steps(list(llmcourse.steps(model, **call)), theirs, call["input_ids"])


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_the_course_model_runs_equal_on_a_left_padded_batch(course_model, mode):
    model, tokenizer = course_model
    texts = [TEXTS[name] for name in ("colors", "chinese", "one_word", "python", "emoji")]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
    assert (batch["attention_mask"][:, 0] == 0).any()
    call = {**batch, "max_new_tokens": 8, "do_sample": mode == "sampling"}
    theirs = generate_as_the_library(model, **call)
    ours = generate_as_the_library(model, **call, custom_generate=llmcourse.glass_box)
    assert_equal_output(ours, theirs)
    torch.manual_seed(SEED)
    assert_equal_steps(list(llmcourse.steps(model, **call)), theirs, batch["input_ids"])


def test_the_course_model_stops_at_the_same_string(course_model):
    model, tokenizer = course_model
    call = {**encoded(tokenizer, "numbers"), "max_new_tokens": 12, "stop_strings": [", 5"]}
    theirs = model.generate(**call, **EVERYTHING, tokenizer=tokenizer)
    steps = list(llmcourse.steps(model, **call, tokenizer=tokenizer))
    assert_equal_steps(steps, theirs, call["input_ids"])
    assert steps[-1].stop_reasons == ("stop string",)
    assert len(steps) < 12

"""Drafts that the library makes, and drafts beside other inputs: as in `generate`, bit for bit."""

import functools

import pytest
import torch

import llmcourse
from llmcourse.decoding.cache import LIBRARY
from tests.support import families
from tests.support.families import CONFIGS, FAMILIES, VOCAB, WITH_HEADS, build, tiny
from tests.support.grid_space import assistant, other_pairs
from tests.support.settings import EVERYTHING, SAMPLING, SEED
from tests.support.toy_tokenizers import letter_pairs

PROMPT = torch.tensor([[1, 2, 3, 20, 2, 3, 20, 5, 6, 1, 2]])
CALL = {"input_ids": PROMPT, "max_new_tokens": 12, "eos_token_id": None, "pad_token_id": 0}
MODES = {"greedy": {}, "sampling": SAMPLING, "penalty": {"repetition_penalty": 1.3}}
EMBEDS = {"inputs_embeds": torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(5))}
TYPES = {"token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 0, 1, 0, 1, 1, 0]])}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        LIBRARY < (5, 23),
        reason="the loop follows these from the version that it was compared with",
    ),
]


def outcome(door, model, call: dict):
    """Return what comes of a call with the seed, and the state of torch's generator after it."""
    torch.manual_seed(SEED)
    try:
        return door(model, **EVERYTHING, **call), torch.get_rng_state()
    except Exception as error:
        return error, None


def assert_same_call(model, make_call) -> None:
    """Compare both doors with `generate`. make_call: a function that makes the call anew."""
    theirs, after = outcome(type(model).generate, model, make_call())
    assert not isinstance(theirs, Exception), theirs
    for door in (llmcourse.generate, by_box):
        ours, after_ours = outcome(door, model, make_call())
        assert not isinstance(ours, Exception), ours
        assert torch.equal(ours.sequences, theirs.sequences)
        for name in ("logits", "scores"):
            assert all(map(torch.equal, ours[name], theirs[name])), name
            assert len(ours[name]) == len(theirs[name])
        assert torch.equal(after, after_ours), "the random numbers used differ"


def by_box(model, **call):
    names = ("assistant_model", "assistant_tokenizer", "tokenizer")
    handed_on = {name: call[name] for name in names if name in call}
    return model.generate(
        **call, custom_generate=functools.partial(llmcourse.glass_box, **handed_on)
    )


def assert_fails_alike(model, make_call) -> None:
    theirs, _ = outcome(type(model).generate, model, make_call())
    ours, _ = outcome(llmcourse.generate, model, make_call())
    assert isinstance(theirs, Exception) and type(ours) is type(theirs), ours


def rounds(model, call: dict) -> list:
    torch.manual_seed(SEED)
    return list(llmcourse.steps(model, **call))


# An early exit.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "gemma3_text", "phi3", "mixtral"])
def test_an_early_exit_drafts_as_in_generate(family, mode):
    model = build(family)
    call = {**CALL, **MODES[mode], "assistant_early_exit": 1}
    assert_same_call(model, lambda: dict(call))
    assert model.config.num_hidden_layers == 2, "all layers are there again"
    assert any(len(one.proposed) for one in rounds(model, call))


def test_greedy_decoding_with_an_early_exit_is_plain_greedy_decoding():
    ours = llmcourse.generate(tiny("llama"), **CALL, assistant_early_exit=1)
    assert torch.equal(ours, tiny("llama").generate(**CALL))


def test_an_early_exit_drafts_more_next_time_if_so_scheduled():
    after = []
    for door in (type(tiny("llama")).generate, llmcourse.generate):
        model = build("llama")
        model.generation_config.num_assistant_tokens_schedule = "heuristic"
        model.generation_config.num_assistant_tokens = 3
        door(model, **CALL, assistant_early_exit=1)
        after.append(model.generation_config.num_assistant_tokens)
    assert after[0] == after[1] != 3


def test_a_model_that_cannot_exit_early_fails_as_in_generate():
    assert_fails_alike(build("gpt2"), lambda: {**CALL, "assistant_early_exit": 1})
    model = build("gpt2")
    outcome(llmcourse.generate, model, {**CALL, "assistant_early_exit": 1})
    assert model.config.num_hidden_layers == 2, "ours leaves the model with all its layers"


def test_stop_strings_with_an_early_exit_are_refused_by_name():
    call = {**CALL, "stop_strings": ["ab"], "tokenizer": letter_pairs(), "assistant_early_exit": 1}
    assert_fails_alike(build("llama"), lambda: dict(call))
    with pytest.raises(ValueError, match=r"stop_strings.*assistant_early_exit"):
        llmcourse.steps(tiny("llama"), **call)


# Heads that predict several tokens.

needs_heads = pytest.mark.skipif(WITH_HEADS not in FAMILIES, reason="this version has no use_mtp")
with_heads = functools.cache(families.with_heads)


@needs_heads
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_heads_that_predict_several_tokens_draft_as_in_generate(heads, mode):
    call = {**CALL, **MODES[mode], "use_mtp": True}
    assert_same_call(with_heads(heads), lambda: dict(call))
    first, *others = rounds(with_heads(heads), call)
    assert len(first.proposed) == 0, "there is no hidden state to predict from yet"
    assert {len(one.proposed) for one in others} == {heads}


@needs_heads
def test_a_model_without_heads_fails_as_in_generate():
    assert_fails_alike(tiny("llama"), lambda: {**CALL, "use_mtp": True})


@needs_heads
def test_hidden_states_of_drafting_heads_are_refused_because_generate_fails_on_them():
    call = {**CALL, **EVERYTHING, "use_mtp": True, "output_hidden_states": True}
    with pytest.raises(AttributeError):
        with_heads(2).generate(**call)
    with pytest.raises(ValueError, match=r"output_hidden_states=True.*use_mtp=True"):
        llmcourse.steps(with_heads(2), **call)


# A draft model of another tokenizer.


def another(kind: str, **more) -> dict:
    """Return a call with a draft model of another vocabulary; for sampling it is the cut one."""
    tokenizers = {"tokenizer": letter_pairs(), "assistant_tokenizer": other_pairs()}
    small = assistant("llama", kind)
    small.generation_config.assistant_confidence_threshold = 0.0
    return {**CALL, "assistant_model": small, **tokenizers, **more}


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("mode", ["greedy", "sampling", "penalty"])
def test_a_draft_model_of_another_tokenizer_drafts_as_in_generate(mode, family):
    if family not in CONFIGS:
        pytest.skip("an older version prepares it another way")
    kind = "cut_vocabulary" if mode == "sampling" else "other_vocabulary"
    assert_same_call(tiny(family), lambda: another(kind, **MODES[mode]))
    walk = rounds(tiny(family), another(kind, **MODES[mode]))
    assert any(len(one.proposed) for one in walk)
    drawn = [one.draft_probs for one in walk if len(one.proposed)]
    assert all((probs is not None) == (mode == "sampling") for probs in drawn)


def test_greedy_decoding_with_another_tokenizer_is_plain_greedy_decoding():
    ours = llmcourse.generate(tiny("llama"), **another("other_vocabulary"))
    assert torch.equal(ours, tiny("llama").generate(**CALL))


@pytest.mark.parametrize("missing", ["tokenizer", "assistant_tokenizer"])
def test_another_vocabulary_needs_both_tokenizers(missing):
    def make_call():
        call = another("other_vocabulary")
        del call[missing]
        return call

    assert_fails_alike(tiny("llama"), make_call)
    with pytest.raises(ValueError, match=f"vocabulary of 60 .* of {VOCAB}.*assistant_tokenizer="):
        llmcourse.steps(tiny("llama"), **make_call())


def test_a_tokenizer_that_is_not_needed_is_refused_as_in_generate():
    def make_call():
        return {**another("other_vocabulary"), "assistant_model": assistant("llama", "near")}

    assert_fails_alike(tiny("llama"), make_call)
    with pytest.raises(ValueError, match="leave assistant_tokenizer out"):
        llmcourse.steps(tiny("llama"), **make_call())


@pytest.mark.parametrize("more", [{}, {"prompt_lookup_num_tokens": 2}])
def test_a_tokenizer_of_a_draft_model_that_is_not_there_is_refused_by_name(more):
    call = {**CALL, **more, "assistant_tokenizer": other_pairs()}
    with pytest.raises(ValueError, match=r"assistant_tokenizer= .*leave it out"):
        llmcourse.steps(tiny("llama"), **call)


def test_what_drafts_is_named_among_the_ingredients():
    made = llmcourse.ingredients(tiny("llama"), **another("other_vocabulary"))
    assert "assistant_tokenizer" in repr(made)


# Rules that write, or return other numbers than they were given.


def write_into_the_text(ids, scores):
    ids[:, -1] = 9
    return scores


def write_into_the_scores(ids, scores):
    scores[:, 7] = 50.0
    return scores


ODD_RULES = {
    "text": write_into_the_text,
    "scores": write_into_the_scores,
    "float64": lambda ids, scores: scores.double(),
    "float16": lambda ids, scores: scores.half(),
}


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("drafter", ["model", "text", "exit"])
@pytest.mark.parametrize("rule", ODD_RULES)
def test_what_a_rule_writes_or_returns_counts_in_a_draft_as_in_generate(rule, drafter, mode):
    def make_call():
        how = {
            "model": {"assistant_model": assistant("llama", "near")},
            "text": {"prompt_lookup_num_tokens": 3},
            "exit": {"assistant_early_exit": 1},
        }
        ids = {"input_ids": PROMPT.clone()}
        return {**CALL, **ids, **MODES[mode], **how[drafter], "logits_processor": [ODD_RULES[rule]]}

    assert_same_call(build("llama"), make_call)


@pytest.mark.parametrize("more", [{}, {"do_sample": True}], ids=["beams", "drawn"])
@pytest.mark.parametrize("rule", ["text", "scores"])
def test_what_a_rule_writes_counts_in_a_beam_search_as_in_generate(rule, more):
    def make_call():
        ids = {"input_ids": PROMPT.clone()}
        return {**CALL, **ids, **more, "num_beams": 2, "logits_processor": [ODD_RULES[rule]]}

    assert_same_call(tiny("llama"), make_call)


# A draft beside other inputs, and for models of their own ways.


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
@pytest.mark.parametrize("with_ids", [True, False], ids=["with_ids", "without"])
def test_embeddings_with_looking_up_are_read_as_in_generate(family, mode, with_ids):
    ids = {"input_ids": torch.tensor([[7, 8, 9, 7, 8, 9]])} if with_ids else {"input_ids": None}
    call = {**CALL, **MODES[mode], **ids, **EMBEDS, "prompt_lookup_num_tokens": 3}
    assert_same_call(tiny(family), lambda: {k: v for k, v in call.items() if v is not None})


def test_embeddings_with_a_draft_model_fail_as_in_generate():
    def make_call():
        rest = {name: value for name, value in CALL.items() if name != "input_ids"}
        return {**rest, **EMBEDS, "assistant_model": assistant("llama", "near")}

    assert_fails_alike(tiny("llama"), make_call)


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("drafter", ["model", "text"])
def test_token_types_with_a_draft_are_those_of_generate(drafter, mode):
    def make_call():
        small = {"assistant_model": assistant("gpt2", "near")}
        how = small if drafter == "model" else {"prompt_lookup_num_tokens": 3}
        return {**CALL, **MODES[mode], **TYPES, **how}

    assert_same_call(tiny("gpt2"), make_call)


OWN_WAYS = [name for name in ("ctrl", "openai-gpt", "gpt2:cross") if name in FAMILIES]


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("drafter", ["model", "text"])
@pytest.mark.parametrize("family", OWN_WAYS)
def test_a_model_of_its_own_way_drafts_as_in_generate(family, drafter, mode):
    def make_call():
        small = {"assistant_model": assistant(family, "near")}
        how = small if drafter == "model" else {"prompt_lookup_num_tokens": 3}
        return {**CALL, **MODES[mode], **how}

    theirs, _ = outcome(type(tiny(family)).generate, tiny(family), make_call())
    if isinstance(theirs, Exception):
        assert_fails_alike(tiny(family), make_call)
    else:
        assert_same_call(tiny(family), make_call)

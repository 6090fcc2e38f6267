"""Drafting is equal to `generate`, bit for bit, and changes nothing but the number of passes.

Greedy decoding with a draft gives the tokens of plain greedy decoding; sampling gives, with the
same seed, what `generate` gives with the same draft, and has the distribution of plain sampling.
"""

import copy
import functools

import pytest
import torch
from transformers import DynamicCache, StaticCache
from transformers.generation import GenerationMixin, PromptLookupCandidateGenerator

import llmcourse
from llmcourse.decoding import drafts, speculative
from llmcourse.decoding.cache import CACHE_NAMES, LIBRARY, cache_in
from llmcourse.decoding.ingredients import ingredients
from llmcourse.decoding.loop import draw
from llmcourse.decoding.model_inputs import _FED_AS_USUAL
from tests.support.families import CONFIGS, VOCAB, WINDOW, build, tiny, tiny_t5
from tests.support.grid_space import Recorder
from tests.support.settings import EVERYTHING, PENALTIES, SAMPLING, SEED, modes

PROMPT = torch.arange(7, 18).repeat(1, 2)  # said twice, so that there is something to look up
LENGTH = PROMPT.shape[1]
CALL = {"input_ids": PROMPT, "max_new_tokens": 12, "eos_token_id": None, "pad_token_id": 0}
MODES = modes({**PENALTIES, "no_repeat_ngram_size": 3})
STATEFUL = ("falcon_h1", "mamba", "bamba", "falcon_mamba", "mamba2")
FAMILIES = [family for family in CONFIGS if family not in STATEFUL]

# Before 5.18 the library keeps rejected tokens in a draft model's cache, and often crashes on them;
# the loop refuses a draft model there.
REFUSES_MODELS = LIBRARY < (5, 18)


def smaller(model, kind: str, *, tokens: int = 4, sure: float = 0.0, schedule: str = "constant"):
    """Return a model that drafts for `model`: a copy that is exact, "good", "poor" or "opposed"."""
    if REFUSES_MODELS:
        pytest.skip("this version of transformers cannot draft with a model")
    draft = copy.deepcopy(model)
    noise = {"exact": 0, "good": 0.02, "poor": 0.1, "opposed": 0}[kind]
    generator = torch.Generator().manual_seed(1)
    for weights in draft.parameters():
        if noise and weights.dim() > 1:
            weights.data += noise * torch.randn(weights.shape, generator=generator)
    if kind == "opposed":  # the likeliest token becomes the least likely one
        draft.get_output_embeddings().weight.data.neg_()
    draft.generation_config.update(
        num_assistant_tokens=tokens,
        num_assistant_tokens_schedule=schedule,
        assistant_confidence_threshold=sure,
    )
    return draft


@functools.cache
def repeating():
    """Return a model that mostly goes round in circles of four tokens, so that looking up pays."""
    model = build("llama")
    for layer in model.model.layers:  # what it has read matters little, beside the last token
        layer.self_attn.o_proj.weight.data *= 0.03
        layer.mlp.down_proj.weight.data *= 0.01
    ids = torch.arange(VOCAB)
    after = (ids - ids % 4 + (ids + 1) % 4).clamp(max=VOCAB - 1)
    model.lm_head.weight.data[after] = model.model.embed_tokens.weight.data[ids]
    return model


def run(generate, **call):
    """Run with the seed; return the result and the state of torch's generator after it."""
    torch.manual_seed(SEED)
    return generate(**call), torch.get_rng_state()


def walk(model, **call):
    return run(lambda **kwargs: list(llmcourse.steps(model, **kwargs)), **call)


def new_ids(rounds) -> torch.Tensor:
    return torch.cat([one.chosen for one in rounds], dim=1)


def assert_equal_rounds(rounds, theirs, length: int = LENGTH) -> None:
    assert torch.equal(new_ids(rounds), theirs.sequences[:, length:])
    for name in ("logits", "scores"):
        ours = torch.cat([getattr(one, name) for one in rounds])
        library = torch.cat(getattr(theirs, name))
        assert ours.dtype == library.dtype == torch.float32
        assert torch.equal(ours, library), f"{name} differ by {(ours - library).abs().max():.1e}"


def assert_numbers_add_up(rounds, prompt: torch.Tensor) -> None:
    """Hold every field of every round against the others."""
    text = prompt
    for index, one in enumerate(rounds):
        n, m, last = len(one.proposed), one.chosen.shape[1], one is rounds[-1]
        unread = prompt.shape[1] if index == 0 else 1
        assert one.index == index
        assert one.fed.tolist() == [text[0, -unread:].tolist() + one.proposed.tolist()]
        assert one.chosen[0, : one.accepted].tolist() == one.proposed[: one.accepted].tolist()
        assert one.rejected.tolist() == one.proposed[one.accepted :].tolist()
        assert m == one.accepted + 1 or (last and m == one.accepted), "one token of the model's own"
        assert one.logits.shape == one.scores.shape == one.probs.shape
        assert len(one.logits) == m
        assert torch.equal(one.probs, one.scores.softmax(-1))
        assert one.draft_probs is None or len(one.draft_probs) == n
        text = torch.cat([text, one.chosen], dim=1)
        assert one.cache_length == text.shape[1] - 1, "all but the newest token"
        assert one.finished.tolist() == [last]
        assert (one.stop_reasons == (None,)) == (not last)
        assert 0 <= one.draft_seconds <= one.seconds
        assert "\n" not in repr(one)


def assert_same_call(model, **call) -> list:
    """Run one call in `generate` and in the loop; return the rounds."""
    remembered = copy.deepcopy(call)  # a "heuristic" schedule is written into the draft model
    theirs, state = run(model.generate, **EVERYTHING, **call)
    rounds, our_state = walk(model, **EVERYTHING, **remembered)
    assert_equal_rounds(rounds, theirs, call["input_ids"].shape[1])
    assert torch.equal(our_state, state), "the random numbers used differ"
    assert_numbers_add_up(rounds, call["input_ids"])
    return rounds


def skip_if_not_fed(family: str) -> None:
    """Skip where this version of the library feeds a family in its own way (BLOOM, at first)."""
    usual = GenerationMixin.prepare_inputs_for_generation
    known = family in _FED_AS_USUAL
    if type(tiny(family)).prepare_inputs_for_generation is not usual and not known:
        pytest.skip("this version prepares the inputs of this family in its own way")


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_draft_model_is_generate_bit_for_bit(family, mode):
    skip_if_not_fed(family)
    model = tiny(family)
    rounds = assert_same_call(model, **CALL, **MODES[mode], assistant_model=smaller(model, "good"))
    assert any(len(one.proposed) > 1 for one in rounds)
    if mode == "greedy":
        assert any(len(one.rejected) for one in rounds)
        assert len(rounds) < 12, "the draft saved something"


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("family", FAMILIES)
def test_looking_up_is_generate_bit_for_bit(family, mode):
    skip_if_not_fed(family)
    rounds = assert_same_call(tiny(family), **CALL, **MODES[mode], prompt_lookup_num_tokens=3)
    assert any(len(one.proposed) for one in rounds)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exact", "poor", "opposed"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_good_and_bad_drafts_are_generate_bit_for_bit(family, mode, kind):
    model = tiny(family)
    rounds = assert_same_call(model, **CALL, **MODES[mode], assistant_model=smaller(model, kind))
    if mode == "greedy":
        accepted = {one.accepted for one in rounds[:-2]}
        assert kind != "exact" or accepted == {4}
        assert kind != "opposed" or accepted == {0}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("longest", [None, 1, 3])
def test_looking_up_in_a_text_that_repeats_is_generate_bit_for_bit(mode, longest):
    call = {**CALL, **MODES[mode], "max_new_tokens": 25, "max_matching_ngram_size": longest}
    rounds = assert_same_call(repeating(), **call, prompt_lookup_num_tokens=4)
    if mode == "greedy":
        assert speculative.tokens_per_pass(rounds) > 1.5


OTHER_CALLS = {
    "top_k_by_default": {"do_sample": True},
    "min_length": {"min_length": LENGTH + 6, "eos_token_id": list(range(0, VOCAB, 3))},
    "min_new_tokens": {"min_new_tokens": 5, "eos_token_id": list(range(0, VOCAB, 3))},
    "bad_words": {"bad_words_ids": [[id] for id in range(0, VOCAB, 2)]},
    "suppressed": {**SAMPLING, "suppress_tokens": list(range(0, VOCAB, 2))},
    "forced_eos": {"forced_eos_token_id": 5, "eos_token_id": 5},
    "guidance": {"guidance_scale": 1.5},
    "one_token": {"max_new_tokens": 1},
    "two_tokens": {**SAMPLING, "max_new_tokens": 2},
    "max_length": {**SAMPLING, "max_new_tokens": None, "max_length": LENGTH + 6},
    "mask": {"attention_mask": (torch.arange(LENGTH) > 2).long()[None]},
    "mask_sampling": {**SAMPLING, "attention_mask": (torch.arange(LENGTH) > 2).long()[None]},
    "positions": {"position_ids": torch.arange(3, 3 + LENGTH)[None]},
    "short_prompt": {**SAMPLING, "input_ids": PROMPT[:, :1]},
    "stop_at_a_length": {"stopping_criteria": [lambda ids, _: ids[:, -1] >= 60]},
}


@pytest.mark.parametrize("name", OTHER_CALLS)
@pytest.mark.parametrize("drafter", ["model", "text"])
def test_other_calls_are_generate_bit_for_bit(name, drafter):
    model = tiny("llama") if drafter == "model" else repeating()
    how = {"prompt_lookup_num_tokens": 4}
    how = how if drafter == "text" else {"assistant_model": smaller(model, "good")}
    assert_same_call(model, **{**CALL, **how, **OTHER_CALLS[name]})


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["constant", "heuristic", "heuristic_transient"])
@pytest.mark.parametrize("sure", [0.0, 0.4])
@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_the_length_of_a_draft_follows_its_schedule(schedule, sure, mode):
    model = tiny("llama")
    call = {**CALL, **MODES[mode], "max_new_tokens": 30}
    how = {"schedule": schedule, "sure": sure, "tokens": 3}
    theirs, ours = smaller(model, "good", **how), smaller(model, "good", **how)
    library, state = run(model.generate, **EVERYTHING, **call, assistant_model=theirs)
    rounds, our_state = walk(model, **EVERYTHING, **call, assistant_model=ours)
    assert_equal_rounds(rounds, library)
    assert torch.equal(our_state, state)
    left = [one.generation_config.num_assistant_tokens for one in (theirs, ours)]
    assert left[0] == left[1]
    assert (left[0] == 3) == (schedule != "heuristic"), "a heuristic one is remembered"
    drafted = [len(one.proposed) for one in rounds[:-3]]  # the end of the text cuts the last ones
    if sure:  # an unsure draft stops early; these models are hardly ever sure
        assert min(drafted) == 1
    elif schedule == "constant":
        assert set(drafted) == {3}
    else:
        assert max(drafted) > 3 or min(drafted) < 3


def test_what_counts_as_sure_is_learned_as_in_generate():
    pytest.importorskip("sklearn")  # without it, `generate` does not learn it
    model, call = tiny("llama"), {**CALL, **SAMPLING, "max_new_tokens": 60}
    rounds = assert_same_call(model, **call, assistant_model=smaller(model, "good", sure=0.4))
    assert any(one.accepted for one in rounds)


def test_a_draft_model_with_settings_of_its_own_is_equal():
    model = tiny("llama")
    draft = smaller(model, "good")
    draft.generation_config.update(repetition_penalty=1.5, top_k=3, eos_token_id=9)
    assert_same_call(model, **CALL, **SAMPLING, assistant_model=draft)


@pytest.mark.skipif(REFUSES_MODELS, reason="this version cannot draft with a model")
def test_a_draft_model_of_another_family_is_equal():
    call = {**CALL, **SAMPLING, "assistant_model": build("gpt2")}
    assert_same_call(tiny("llama"), **call)


# Greedy decoding: the same tokens as without a draft, on every version.


@pytest.mark.parametrize("kind", ["exact", "good", "poor", "opposed"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "lfm2"])
def test_greedy_with_a_draft_model_is_plain_greedy(family, kind):
    model = tiny(family)
    plain = model.generate(**CALL)
    rounds, _ = walk(model, **CALL, assistant_model=smaller(model, kind))
    assert torch.equal(new_ids(rounds), plain[:, LENGTH:])
    assert_numbers_add_up(rounds, PROMPT)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_with_looking_up_is_plain_greedy(family):
    skip_if_not_fed(family)
    plain = tiny(family).generate(**CALL)
    assert torch.equal(plain, llmcourse.generate(tiny(family), **CALL, prompt_lookup_num_tokens=3))


# Passes: fewer of them, and each Round is one.


def passes_of(model, **call) -> tuple[list, int]:
    ran = []
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        return walk(model, **call)[0], len(ran)
    finally:
        handle.remove()


def test_a_good_draft_saves_forward_passes_and_a_bad_one_costs_none():
    model, call = tiny("llama"), {**CALL, "max_new_tokens": 20}
    _, plain = passes_of(model, **call)
    good, few = passes_of(model, **call, assistant_model=smaller(model, "exact"))
    bad, many = passes_of(model, **call, assistant_model=smaller(model, "opposed"))
    assert (plain, few, many) == (20, 4, 20)
    assert (len(good), len(bad)) == (few, many)
    assert speculative.tokens_per_pass(good) == 5.0
    assert speculative.tokens_per_pass(bad) == 1.0


def test_looking_up_saves_forward_passes_on_a_text_that_repeats():
    call = {**CALL, "max_new_tokens": 20, "prompt_lookup_num_tokens": 5}
    rounds, passes = passes_of(repeating(), **call)
    assert len(rounds) == passes <= 12


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_both_models_read_what_they_read_in_generate(mode):
    model, draft = tiny("llama"), smaller(tiny("llama"), "good")
    call, read = {**CALL, **MODES[mode], "assistant_model": draft}, []

    def write_down(which, _, inputs):
        read[-1].append((which is draft, inputs["input_ids"].tolist()))

    hooks = [one.register_forward_pre_hook(write_down, with_kwargs=True) for one in (model, draft)]
    try:
        for generate in (model.generate, functools.partial(llmcourse.generate, model)):
            read.append([])
            run(generate, **call)
    finally:
        for hook in hooks:
            hook.remove()
    theirs, ours = read
    assert ours == theirs


# Where a text ends.


def ids_of_plain_greedy(model) -> list[int]:
    return model.generate(**CALL)[0, LENGTH:].tolist()


@pytest.mark.parametrize("place", [0, 1, 3, 4, 5])
def test_eos_within_a_draft_ends_the_text_there(place):
    model = tiny("llama")
    eos = ids_of_plain_greedy(model)[place]
    call = {**CALL, "eos_token_id": eos, "assistant_model": smaller(model, "exact")}
    rounds = assert_same_call(model, **call)
    assert new_ids(rounds)[0].tolist().index(eos) == new_ids(rounds).shape[1] - 1
    assert rounds[-1].stop_reasons == ("eos",)
    assert rounds[-1].chosen.shape[1] == place % 5 + 1


@pytest.mark.parametrize("drafter", ["model", "text"])
def test_sampling_ends_at_eos_as_in_generate(drafter):
    model = tiny("llama") if drafter == "model" else repeating()
    how = {"assistant_model": smaller(model, "exact")}
    how = how if drafter == "model" else {"prompt_lookup_num_tokens": 4}
    for eos in range(3):
        ids = list(range(eos, VOCAB, 5))
        call = {**CALL, **SAMPLING, "max_new_tokens": 30, "eos_token_id": ids}
        assert assert_same_call(model, **call, **how)[-1].stop_reasons == ("eos",)


@pytest.mark.parametrize("tokens", [3, 4, 5, 6, 7])
def test_max_length_within_a_draft_ends_the_text_there(tokens):
    call = {**CALL, "max_new_tokens": tokens, "prompt_lookup_num_tokens": 10}
    rounds = assert_same_call(repeating(), **call)
    assert new_ids(rounds).shape[1] == tokens
    assert rounds[-1].stop_reasons == ("length",)


def test_a_criterion_of_ones_own_ends_the_text_where_generate_ends_it():
    """Only EOS and `max_length` are looked for within a draft; after others some tokens follow."""
    lengths = {}
    for limit in range(2, 12):
        call = {**CALL, "stopping_criteria": [functools.partial(at_least, length=LENGTH + limit)]}
        rounds = assert_same_call(repeating(), **call, prompt_lookup_num_tokens=5)
        assert rounds[-1].stop_reasons == ("partial",)
        lengths[limit] = new_ids(rounds).shape[1]
    assert all(length >= limit for limit, length in lengths.items())
    assert any(length > limit for limit, length in lengths.items())


def at_least(ids: torch.Tensor, scores, *, length: int) -> torch.Tensor:
    return torch.full((len(ids),), ids.shape[1] >= length)


@pytest.mark.skipif(LIBRARY < (5, 18), reason="there, `generate` asks criteria without scores")
def test_a_criterion_sees_the_scores_of_every_token():
    heard = []

    def listen(ids, scores):
        heard[-1].append((ids.shape[1], torch.cat(scores)))
        return torch.zeros(len(ids), dtype=torch.bool)

    call = {**CALL, **EVERYTHING, "stopping_criteria": [listen], "prompt_lookup_num_tokens": 5}
    for generate in (repeating().generate, functools.partial(llmcourse.generate, repeating())):
        heard.append([])
        generate(**call)
    theirs, ours = heard
    assert len(theirs) == len(ours) < 12
    for (length, scores), (our_length, our_scores) in zip(theirs, ours, strict=True):
        assert our_length == length == LENGTH + len(scores)
        assert torch.equal(our_scores, scores)


# The cache.


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text", "lfm2"])
def test_the_cache_holds_what_plain_decoding_would_have_left_in_it(family):
    """All that was rejected is gone: the cache gives the same next logits as a fresh one."""
    model = tiny(family)
    draft = {"prompt_lookup_num_tokens": 4}
    if LIBRARY >= (5, 18):
        draft = {"assistant_model": smaller(model, "good")}
    output = llmcourse.generate(model, **CALL, **EVERYTHING, **draft)
    name = next(name for name in CACHE_NAMES if name in output.keys())  # noqa: SIM118
    cache, text = output[name], output.sequences
    assert cache.get_seq_length() == text.shape[1] - 1 > WINDOW
    with torch.no_grad():
        positions = torch.tensor([[text.shape[1] - 1]])
        ours = model(text[:, -1:], position_ids=positions, **{name: cache}).logits[:, -1]
        fresh = model(text).logits[:, -1]
    assert torch.allclose(ours, fresh, atol=1e-3)


# What is handed over.


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_a_streamer_gets_the_same_calls_in_the_same_order(mode):
    model, heard = repeating(), []
    call = {**CALL, **MODES[mode], "prompt_lookup_num_tokens": 4}
    for generate in (
        model.generate,
        functools.partial(llmcourse.generate, model),
        lambda **kwargs: list(llmcourse.steps(model, **kwargs)),
    ):
        heard.append(Recorder())
        run(generate, **call, streamer=heard[-1])
    theirs, generated, stepped = (recorder.calls for recorder in heard)
    assert theirs[-1] == "end" and any(call[0][1] > 1 for call in theirs[1:-1])
    assert generated == theirs
    assert stepped == theirs


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
@pytest.mark.parametrize("drafter", ["model", "text"])
def test_the_output_is_that_of_generate_with_one_element_for_each_token(mode, drafter):
    model = tiny("llama")
    how = {"assistant_model": smaller(model, "good")}
    how = how if drafter == "model" else {"prompt_lookup_num_tokens": 4}
    call = {**CALL, **MODES[mode], **EVERYTHING, **how}
    theirs, _ = run(model.generate, **call)
    ours, _ = run(functools.partial(llmcourse.generate, model), **call)
    box = functools.partial(llmcourse.glass_box, assistant_model=how.get("assistant_model"))
    boxed, _ = run(model.generate, **call, custom_generate=box)
    for output in (ours, boxed):
        assert type(output) is type(theirs) and list(output.keys()) == list(theirs.keys())
        assert torch.equal(output.sequences, theirs.sequences)
        assert len(output.scores) == len(output.logits) == 12
        for name in ("scores", "logits"):
            pairs = zip(getattr(output, name), getattr(theirs, name), strict=True)
            assert all(torch.equal(one, other) and len(one) == 1 for one, other in pairs)
        assert output.stop_reasons == ("length",)
        one, other = (
            model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
            for out in (output, theirs)
        )
        assert torch.equal(one, other)


def test_without_a_dict_the_ids_alone_come_back():
    call = {**CALL, "prompt_lookup_num_tokens": 4}
    theirs = repeating().generate(**call)
    assert torch.equal(llmcourse.generate(repeating(), **call), theirs)
    boxed = repeating().generate(**call, custom_generate=llmcourse.glass_box)
    assert torch.equal(boxed, theirs)


def test_a_round_is_one_line_that_says_what_happened():
    rounds, _ = walk(repeating(), **CALL, prompt_lookup_num_tokens=4)
    best = max(rounds, key=lambda one: one.accepted)
    assert best.accepted == 4
    assert repr(best).startswith(f"Round {best.index}: proposed 4, accepted 4, chose [")
    assert repr(rounds[-1]).endswith("stopped: length")
    assert isinstance(best, llmcourse.Round)


# Looking up, by itself.


def test_the_longest_match_comes_first_and_then_the_earliest():
    text = torch.tensor([5, 6, 1, 9, 6, 2, 5, 6, 3, 5, 6])
    found = [some.tolist() for some in drafts.look_up(text, tokens=2, longest=2)]
    assert found == [[1, 9], [3, 5], [1, 9], [2, 5], [3, 5]]


@pytest.mark.parametrize("seed", range(40))
def test_looked_up_drafts_are_those_of_the_library(seed):
    """Random texts of few words, so that there are matches, with forbidden words and EOS."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 6, (1, 3 + seed % 20), generator=generator)
    model = tiny("llama")
    longest, tokens = 1 + seed % 3, 1 + seed % 5
    made = ingredients(
        model,
        input_ids=ids,
        max_new_tokens=1 + seed % 4,
        eos_token_id=[5, 40] if seed % 2 else None,
        bad_words_ids=[[4], [2, 3]] if seed % 3 else None,
        prompt_lookup_num_tokens=tokens,
        max_matching_ngram_size=longest,
    )
    config = made.generation_config
    eos = torch.tensor([5, 40]) if seed % 2 else None
    theirs = PromptLookupCandidateGenerator(
        eos, tokens, longest, config.max_length, made.logits_processor, VOCAB
    )
    candidates, _ = theirs.get_candidates(ids)
    lookup = drafts.TextLookup(model, ids, made.logits_processor, config)
    ours, probs = lookup.propose(ids, None, None)
    assert ours.tolist() == candidates[0, ids.shape[1] :].tolist()
    assert probs is None


# Sampling: the distribution of plain sampling. A test's false alarms: 1 in a million, if the counts
# followed the chi-square distribution exactly; the seeds are fixed, so it alarms always or never.

FALSE_ALARMS = 1e-6


def p_value(counts: torch.Tensor, probs: torch.Tensor) -> float:
    """Return the chance of counts at least as far from `probs` (chi-square; rare cells pooled)."""
    expected = counts.sum() * probs.double()
    rare = expected < 10
    seen = torch.cat([counts[~rare].double(), counts[rare].sum()[None].double()])
    hoped = torch.cat([expected[~rare], expected[rare].sum()[None]])
    if hoped[-1] < 10:  # too little even together: into the smallest of the others
        small = hoped[:-1].argmin()
        seen[small], hoped[small] = seen[small] + seen[-1], hoped[small] + hoped[-1]
        seen, hoped = seen[:-1], hoped[:-1]
    distance = ((seen - hoped) ** 2 / hoped).sum()
    freedom = torch.tensor(len(seen) - 1.0, dtype=torch.float64)
    return torch.special.gammaincc(freedom / 2, distance / 2).item()


Q = torch.tensor([[0.5, 0.2, 0.1, 0.1, 0.1], [0.05, 0.05, 0.3, 0.3, 0.3]])
P = torch.tensor([[0.1, 0.3, 0.3, 0.2, 0.1], [0.3, 0.1, 0.2, 0.3, 0.1], [0.2, 0.2, 0.2, 0.1, 0.3]])


def three_tokens(verdict, samples: int) -> torch.Tensor:
    """Return counts, (125,), of three tokens: two drafted from Q, judged, and the rest from P."""
    torch.manual_seed(SEED)
    counts = torch.zeros(125, dtype=torch.int64)
    pairs = torch.multinomial(Q, samples, replacement=True).T
    rests = torch.multinomial(P, samples, replacement=True).T
    for proposed, rest in zip(pairs, rests, strict=True):
        chosen = verdict(proposed, Q, P)
        text = torch.cat([chosen, rest[len(chosen) :]])
        counts[text @ torch.tensor([25, 5, 1])] += 1
    return counts


def accept_always(proposed, q, p):
    return torch.cat([proposed, draw(p[-1:])])


def draw_anew_from_p(proposed, q, p):
    """The rule that everybody writes first: accept rightly, and then draw from all of p."""
    places = torch.arange(len(proposed))
    kept = (torch.rand(len(proposed)) <= p[places, proposed] / q[places, proposed]).tolist()
    accepted = kept.index(False) if False in kept else len(kept)
    return torch.cat([proposed[:accepted], draw(p[accepted][None])])


@pytest.mark.slow
def test_the_verdict_leaves_the_distribution_as_it_was_and_wrong_ones_are_caught():
    joint = torch.einsum("i,j,k->ijk", *P).flatten()
    assert p_value(three_tokens(speculative.weigh, 8000), joint) > FALSE_ALARMS
    assert p_value(three_tokens(accept_always, 8000), joint) < FALSE_ALARMS
    assert p_value(three_tokens(draw_anew_from_p, 8000), joint) < FALSE_ALARMS


TINY = {"vocab_size": 5, "bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}
SHORT = torch.tensor([[1, 2, 3, 4, 1, 2]])
FLAT = {"do_sample": True, "temperature": 4.0, "top_k": 0}


@functools.cache
def of_five_tokens():
    return build("llama", **TINY)


@functools.cache
def exact_joint() -> torch.Tensor:
    """Return the probabilities, (125,), of the next three tokens, from plain forward passes."""
    every = torch.cartesian_prod(*[torch.arange(5)] * 3)
    with torch.no_grad():
        logits = of_five_tokens()(torch.cat([SHORT.expand(125, -1), every], dim=1)).logits
    probs = (logits[:, -4:-1] / FLAT["temperature"]).softmax(-1)
    return probs.gather(2, every[..., None]).squeeze(2).prod(1)


def sample_three(samples: int, **how) -> torch.Tensor:
    """Return counts, (125,), of the next three tokens that `speculative.decode` samples."""
    model = of_five_tokens()
    call = {"input_ids": SHORT, "max_new_tokens": 3, **FLAT, **how}
    made = ingredients(model, **call)
    name = next(name for name in CACHE_NAMES if name in made.model_kwargs)
    counts = torch.zeros(125, dtype=torch.int64)
    torch.manual_seed(SEED)
    for _ in range(samples):
        fresh = {name: DynamicCache(config=model.config)}
        rounds = speculative.decode(model, **{**made.for_the_loop(), **fresh})
        counts[new_ids(list(rounds))[0] @ torch.tensor([25, 5, 1])] += 1
    return counts


@pytest.mark.slow
def test_sampling_with_a_draft_model_has_the_distribution_of_plain_sampling(monkeypatch):
    draft = smaller(of_five_tokens(), "opposed", tokens=2)
    assert p_value(sample_three(500, assistant_model=draft), exact_joint()) > FALSE_ALARMS
    monkeypatch.setattr(speculative, "weigh", accept_always)
    wrong = sample_three(500, assistant_model=draft)
    assert p_value(wrong, exact_joint()) < FALSE_ALARMS, "the test can tell"


@pytest.mark.slow
def test_sampling_with_looking_up_has_the_distribution_of_plain_sampling(monkeypatch):
    how = {"prompt_lookup_num_tokens": 2}
    assert p_value(sample_three(1200, **how), exact_joint()) > FALSE_ALARMS
    monkeypatch.setattr(speculative, "agreement", lambda proposed, wanted: len(proposed))
    assert p_value(sample_three(1200, **how), exact_joint()) < FALSE_ALARMS, "the test can tell"


def test_the_tiny_distribution_is_worth_testing():
    assert exact_joint().sum().item() == pytest.approx(1, abs=1e-5)
    assert (exact_joint() > 0.002).sum() > 40, "no token is all but certain"


# What is refused.

REFUSED = {
    "rows": ({"input_ids": PROMPT.repeat(2, 1)}, ValueError, "one prompt at a time"),
    "returned": ({"num_return_sequences": 2, **SAMPLING}, ValueError, "num_return_sequences"),
    "no_cache": (
        {"use_cache": False},
        ValueError if LIBRARY < (5, 24) else RuntimeError,
        "use_cache",
    ),
    "static": ({"cache_implementation": "static"}, ValueError, "cache_implementation"),
    "chunks": ({"prefill_chunk_size": 4}, ValueError, "prefill_chunk_size=4"),
    "beams": ({"num_beams": 3}, ValueError, "num_beams=3"),
    "early_exit": ({"assistant_early_exit": 1}, ValueError, "assistant_early_exit=1"),
    "mtp": ({"use_mtp": True}, ValueError, "use_mtp=True"),
    "ensemble": ({"assistant_ensemble_weight": 0.5}, ValueError, "assistant_ensemble_weight=0.5"),
    "speculation": ({"speculation_type": "dflash"}, ValueError, "speculation_type=dflash"),
}
DOORS = {
    "generate": llmcourse.generate,
    "steps": lambda model, **call: list(llmcourse.steps(model, **call)),
    "glass_box": lambda model, **call: model.generate(
        **call,
        custom_generate=functools.partial(
            llmcourse.glass_box, assistant_model=call.get("assistant_model")
        ),
    ),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("drafter", ["model", "text"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_setting_that_does_not_go_with_a_draft_is_refused_by_name(case, drafter, door):
    arguments, kind, name = REFUSED[case]
    model = tiny("llama")
    how = {"assistant_model": model} if drafter == "model" else {"prompt_lookup_num_tokens": 2}
    with pytest.raises(kind, match=name) as caught:
        door(model, **{**CALL, **how, **arguments})
    assert type(caught.value) is kind


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("assistant", ["gpt2", 3])
def test_an_assistant_that_is_no_model_is_refused_as_in_generate(door, assistant):
    with pytest.raises(AttributeError, match="config"):
        tiny("llama").generate(**CALL, assistant_model=assistant)
    with pytest.raises(AttributeError, match="assistant_model is a"):
        door(tiny("llama"), **CALL, assistant_model=assistant)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(
    ("assistant", "words"),
    [
        (lambda: build("llama", vocab_size=50), "vocabulary of 50 tokens"),
        (tiny_t5, "encoder-decoder"),
        (lambda: tiny("mamba"), "MambaForCausalLM keeps a state"),
        (lambda: tiny("bamba"), "BambaForCausalLM keeps a state"),
    ],
)
def test_an_assistant_that_cannot_draft_is_refused(door, assistant, words):
    words = f"{words}|assistant_model= needs" if REFUSES_MODELS else words
    with pytest.raises(ValueError, match=words):
        door(tiny("llama"), **CALL, assistant_model=assistant())


@pytest.mark.parametrize("family", STATEFUL)
def test_a_model_that_cannot_be_rolled_back_is_refused(family):
    for door in DOORS.values():
        with pytest.raises(ValueError, match="stateful"):  # by the library, in its own words
            door(tiny(family), **CALL, prompt_lookup_num_tokens=2)
    box = functools.partial(llmcourse.glass_box, assistant_model=tiny("llama"))
    with pytest.raises(
        ValueError, match=r"rolled back|needs transformers 5\.18"
    ):  # which does not know of this draft
        tiny(family).generate(**CALL, custom_generate=box)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_two_kinds_of_draft_at_once_are_refused(door):
    both = {"assistant_model": tiny("llama"), "prompt_lookup_num_tokens": 3}
    with pytest.raises(ValueError, match="leave one of the two out"):
        door(tiny("llama"), **CALL, **both)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_lookup_num_tokens": 0},
        {"prompt_lookup_num_tokens": -1},
        {"prompt_lookup_num_tokens": 2, "max_matching_ngram_size": -1},
    ],
)
def test_looking_up_nothing_is_refused_as_in_generate(door, wrong):
    with pytest.raises(ValueError):
        tiny("llama").generate(**CALL, **wrong)
    with pytest.raises(ValueError, match=f"{list(wrong)[-1]}={list(wrong.values())[-1]}"):
        door(tiny("llama"), **CALL, **wrong)


def test_a_prompt_that_ends_in_eos_is_continued():
    """Before 5.18 `generate` returned it as it is if there was nothing to look up."""
    call = {**CALL, "input_ids": PROMPT[:, :5], "eos_token_id": PROMPT[0, 4].item()}
    rounds, _ = walk(tiny("llama"), **call, prompt_lookup_num_tokens=4)
    assert torch.equal(new_ids(rounds), llmcourse.generate(tiny("llama"), **call)[:, 5:])


def test_a_match_of_no_tokens_means_the_default_as_in_generate():
    how = {"prompt_lookup_num_tokens": 4, "max_matching_ngram_size": 0}
    assert_same_call(repeating(), **CALL, **how)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_cache_that_was_filled_before_is_refused_because_generate_gets_it_wrong(door):
    model = tiny("llama")

    def filled() -> dict:
        made = ingredients(model, **CALL).model_kwargs
        name = next(name for name in CACHE_NAMES if name in made)
        with torch.no_grad():
            model(PROMPT[:, :6], **{name: made[name]})
        return {name: cache_in(made)}

    call = {**CALL, "prompt_lookup_num_tokens": 3}
    assert not torch.equal(model.generate(**call, **filled()), model.generate(**CALL))
    with pytest.raises(ValueError, match="holds 6 tokens"):
        door(model, **call, **filled())


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_static_cache_handed_in_is_refused(door):
    cache = StaticCache(config=tiny("llama").config, max_cache_len=64)
    name = "cache" if LIBRARY >= (5, 24) else "past_key_values"
    with pytest.raises(ValueError, match="StaticCache cannot be rolled back"):
        door(tiny("llama"), **CALL, prompt_lookup_num_tokens=3, **{name: cache})


@pytest.mark.skipif(not REFUSES_MODELS, reason="from 5.18 on it is equal to `generate`")
def test_before_5_18_a_draft_model_is_refused_by_name():
    with pytest.raises(ValueError, match=r"assistant_model= needs transformers 5\.18"):
        llmcourse.generate(tiny("llama"), **CALL, assistant_model=tiny("llama"))


# The course's own model.

LIST = "1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2,"


def test_a_race_with_a_draft_is_shown_token_by_token(course_model):
    model, tokenizer = course_model
    race = llmcourse.race(model, tokenizer, LIST, max_new_tokens=9, prompt_lookup_num_tokens=6)
    assert race.verdict().startswith("Equal, bit for bit")
    assert race.loop.shape == race.library.shape == (1, 9)


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_the_course_model_looks_up_as_generate_does(course_model, mode):
    model, tokenizer = course_model
    call = {**tokenizer(LIST, return_tensors="pt"), "max_new_tokens": 20, "do_sample": False}
    call |= {"do_sample": mode == "sampling", "prompt_lookup_num_tokens": 6}
    rounds = assert_same_call(model, **call)
    if mode == "greedy":
        plain = llmcourse.generate(model, **{**call, "prompt_lookup_num_tokens": None})
        assert torch.equal(plain[:, -20:], new_ids(rounds))
        assert speculative.tokens_per_pass(rounds) > 3


def test_the_course_model_stops_at_a_string_within_a_looked_up_draft(course_model):
    model, tokenizer = course_model
    call = {**tokenizer(LIST, return_tensors="pt"), "max_new_tokens": 20, "stop_strings": ["4, 1"]}
    call |= {"prompt_lookup_num_tokens": 6, "tokenizer": tokenizer}
    theirs = model.generate(**call, **EVERYTHING)
    rounds, _ = walk(model, **call)
    assert_equal_rounds(rounds, theirs, call["input_ids"].shape[1])
    assert rounds[-1].stop_reasons == ("stop string",)


@pytest.mark.skipif(REFUSES_MODELS, reason="this version cannot draft with a model")
def test_the_course_model_drafts_for_itself_in_a_few_passes(course_model):
    model, tokenizer = course_model
    draft = copy.copy(model)  # the same weights, with settings of its own
    draft.generation_config = copy.deepcopy(model.generation_config)
    draft.generation_config.update(num_assistant_tokens=5, assistant_confidence_threshold=0)
    call = {**tokenizer(LIST, return_tensors="pt"), "max_new_tokens": 12}
    rounds = assert_same_call(model, **call, assistant_model=draft)
    assert [one.accepted for one in rounds] == [5, 5]


def test_stop_strings_with_a_draft_model_fail_as_in_generate(course_model):
    """`generate` hands the draft model the strings, and no tokenizer."""
    model, tokenizer = course_model
    call = dict(tokenizer("1, 2, 3", return_tensors="pt"), max_new_tokens=12)
    call |= {"assistant_model": model, "tokenizer": tokenizer, "stop_strings": [", 5"]}
    for generate in (model.generate, functools.partial(llmcourse.generate, model)):
        with pytest.raises(ValueError, match=r"stop.strings"):
            generate(**call)


def test_the_reason_of_a_round_has_its_sentence(course_model):
    model, tokenizer = course_model
    call = dict(tokenizer(LIST, return_tensors="pt"), max_new_tokens=9, prompt_lookup_num_tokens=6)
    output = llmcourse.generate(model, **call, return_dict_in_generate=True)
    assert output.stop_reasons == ("length",)
    assert "max_length=" in output.stop_reasons[0].sentence


@pytest.mark.skipif(REFUSES_MODELS, reason="this version cannot draft with a model")
def test_a_kind_of_cache_by_name_with_a_draft_model_fails_as_in_generate():
    """Found by drawing calls: the draft model gets the name, and its own cache in round two."""
    model = tiny("llama")
    call = {**CALL, "assistant_model": smaller(model, "good"), "cache_implementation": "dynamic"}
    if LIBRARY >= (5, 24):
        assert torch.equal(llmcourse.generate(model, **call), model.generate(**call))
        return
    with pytest.raises(ValueError, match="cache_implementation"):
        model.generate(**call)
    with pytest.raises(ValueError, match="cache_implementation=dynamic fails in `generate`"):
        llmcourse.generate(model, **call)

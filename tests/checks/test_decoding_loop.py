"""The checks of lesson 2 take right loops and name what is wrong with others."""

import math

import pytest
import torch
from transformers import DynamicCache

from llmcourse.checks import decoding_loop as checks
from llmcourse.checks.decoding_loop import exercises, one_row, padded_batches
from llmcourse.checks.stand_in import StandIn, likeliest, text_after
from llmcourse.decoding.cache import LIBRARY

CACHE = "cache" if LIBRARY >= (5, 24) else "past_key_values"


def caught(check, answer) -> str:
    """Return what a check says of a wrong answer."""
    with pytest.raises(AssertionError) as found:
        check(answer)
    return str(found.value)


# The stand-in


def test_a_cache_changes_no_digit_of_the_stand_in():
    ids = torch.tensor([[4, 9, 1, 7]])
    cache, model = DynamicCache(), StandIn()
    parts = [model(ids[:, at : at + 1], **{CACHE: cache}).logits for at in range(4)]
    assert torch.equal(torch.cat(parts, dim=1), model(ids).logits)


def test_a_masked_token_counts_for_nothing_in_the_stand_in():
    mask, positions = torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]])
    padded = StandIn()(torch.tensor([[3, 9, 1]]), mask, positions).logits[:, -1]
    assert torch.equal(padded, StandIn()(torch.tensor([[9, 1]])).logits[:, -1])


def test_without_positions_the_stand_in_counts_the_padding():
    mask = torch.tensor([[0, 1, 1]])
    padded = StandIn()(torch.tensor([[3, 9, 1]]), mask).logits[:, -1]
    assert not torch.equal(padded, StandIn()(torch.tensor([[9, 1]])).logits[:, -1])


# Append and repeat


def append_and_repeat(model, ids, max_new_tokens, at=-1, pick=likeliest):
    for _ in range(max_new_tokens):
        ids = torch.cat([ids, pick(model(ids).logits[:, at])], dim=-1)
    return ids


def newest_alone(model, ids, max_new_tokens):
    for _ in range(max_new_tokens):
        ids = torch.cat([ids, likeliest(model(ids[:, -1:]).logits[:, -1])], dim=-1)
    return ids


def prompt_alone(model, ids, max_new_tokens):
    prompt = ids
    for _ in range(max_new_tokens):
        ids = torch.cat([ids, likeliest(model(prompt).logits[:, -1])], dim=-1)
    return ids


def in_front(model, ids, max_new_tokens):
    for _ in range(max_new_tokens):
        ids = torch.cat([likeliest(model(ids).logits[:, -1]), ids], dim=-1)
    return ids


LOOPS = [
    ("without the prompt", lambda m, ids, n: append_and_repeat(m, ids, n)[:, ids.shape[1] :]),
    ("first position", lambda m, ids, n: append_and_repeat(m, ids, n, at=0)),
    ("newest token alone", newest_alone),
    ("read the prompt each time", prompt_alone),
    ("in front", in_front),
    ("too few", lambda m, ids, n: append_and_repeat(m, ids, n - 1)),
    ("too many", lambda m, ids, n: append_and_repeat(m, ids, n + 1)),
    ("counted the prompt", lambda m, ids, n: append_and_repeat(m, ids, max(0, n - ids.shape[1]))),
    ("you fed ids of shape", lambda m, ids, n: append_and_repeat(m, ids[0], n)),
    ("least likely", lambda m, ids, n: append_and_repeat(m, ids, n, pick=lambda s: likeliest(-s))),
    ("return a tensor of ids", lambda m, ids, n: append_and_repeat(m, ids, n).tolist()),
    ("return (batch, length)", lambda m, ids, n: append_and_repeat(m, ids, n)[0]),
    ("after the prompt [5, 1, 8] come", lambda m, ids, n: append_and_repeat(m, ids, n) * 0),
]


@pytest.mark.parametrize(("misconception", "answer"), LOOPS)
def test_a_wrong_loop_is_named(misconception, answer):
    assert misconception in caught(checks.check_append_and_repeat, answer)


def test_a_right_loop_passes(capsys):
    checks.check_append_and_repeat(append_and_repeat)
    assert "check_append_and_repeat:" in capsys.readouterr().out


# The EOS


def until_eos(model, ids, max_new_tokens, eos):
    for _ in range(max_new_tokens):
        token = likeliest(model(ids).logits[:, -1])
        ids = torch.cat([ids, token], dim=-1)
        if torch.isin(token, eos).all():
            break
    return ids


def dropped_eos(model, ids, max_new_tokens, eos):
    for _ in range(max_new_tokens):
        token = likeliest(model(ids).logits[:, -1])
        if torch.isin(token, eos).all():
            break
        ids = torch.cat([ids, token], dim=-1)
    return ids


def one_more(model, ids, max_new_tokens, eos):
    for turn in range(max_new_tokens):
        token = likeliest(model(ids).logits[:, -1])
        before = turn and torch.isin(ids[:, -1], eos).all()
        ids = torch.cat([ids, token], dim=-1)
        if before:
            break
    return ids


def anywhere(model, ids, max_new_tokens, eos):
    for _ in range(max_new_tokens):
        ids = torch.cat([ids, likeliest(model(ids).logits[:, -1])], dim=-1)
        if torch.isin(ids, eos).any():
            break
    return ids


def while_no_end(model, ids, max_new_tokens, eos):
    length = ids.shape[1]
    while not torch.isin(ids, eos).any() and ids.shape[1] < length + max_new_tokens:
        ids = torch.cat([ids, likeliest(model(ids).logits[:, -1])], dim=-1)
    return ids


def for_ever(model, ids, max_new_tokens, eos):
    while not torch.isin(ids[:, -1], eos).all():
        ids = torch.cat([ids, likeliest(model(ids).logits[:, -1])], dim=-1)
    return ids


STOPS = [
    ("would go on", for_ever),
    ("without the prompt", lambda m, ids, n, eos: until_eos(m, ids, n, eos)[:, ids.shape[1] :]),
    ("before the EOS was appended", dropped_eos),
    ("nothing stopped at EOS", lambda m, ids, n, eos: append_and_repeat(m, ids, n)),
    ("one token after the EOS", one_more),
    ("first id of `eos` only", lambda m, ids, n, eos: until_eos(m, ids, n, eos[:1])),
    ("inside the prompt", anywhere),
    ("inside the prompt", while_no_end),
    ("the text is", lambda m, ids, n, eos: until_eos(m, ids, n - 1, eos)),
]


@pytest.mark.parametrize(("misconception", "answer"), STOPS)
def test_a_wrong_stop_is_named(misconception, answer):
    assert misconception in caught(checks.check_until_eos, answer)


def test_a_right_stop_passes(capsys):
    checks.check_until_eos(until_eos)
    assert "check_until_eos:" in capsys.readouterr().out


# The cache


def with_cache(model, ids, max_new_tokens, eos, choose=likeliest, first=slice(None)):
    cache, fed = DynamicCache(config=model.config), ids[:, first]
    for _ in range(max_new_tokens):
        logits = model(fed, **{CACHE: cache}, use_cache=True).logits[:, -1]
        fed = choose(logits)
        ids = torch.cat([ids, fed], dim=-1)
        if torch.isin(fed, eos).all():
            break
    return ids


def the_models_own_cache(model, ids, max_new_tokens, eos, choose=likeliest):
    cache, fed = None, ids
    for _ in range(max_new_tokens):
        output = model(fed, past_key_values=cache, use_cache=True)
        cache, fed = output.past_key_values, choose(output.logits[:, -1])
        ids = torch.cat([ids, fed], dim=-1)
        if torch.isin(fed, eos).all():
            break
    return ids


def whole_text_too(model, ids, max_new_tokens, eos, choose=likeliest):
    cache = DynamicCache(config=model.config)
    for _ in range(max_new_tokens):
        token = choose(model(ids, **{CACHE: cache}, use_cache=True).logits[:, -1])
        ids = torch.cat([ids, token], dim=-1)
        if torch.isin(token, eos).all():
            break
    return ids


def no_cache(model, ids, max_new_tokens, eos, choose=likeliest):
    return until_eos(model, ids, max_new_tokens, eos)


def a_cache_a_turn(model, ids, max_new_tokens, eos, choose=likeliest):
    fed = ids
    for _ in range(max_new_tokens):
        cache = DynamicCache(config=model.config)
        fed = choose(model(fed, **{CACHE: cache}, use_cache=True).logits[:, -1])
        ids = torch.cat([ids, fed], dim=-1)
    return ids


def drops_the_eos(model, ids, max_new_tokens, eos, choose=likeliest):
    text = with_cache(model, ids, max_new_tokens, eos, choose)
    return text[:, :-1] if torch.isin(text[:, -1], eos).all() else text


CACHED = [
    ("they are read twice", whole_text_too),
    ("nothing was saved", no_cache),
    ("the rest of the text was forgotten", a_cache_a_turn),
    (
        "the first turn read 1",
        lambda *given, **more: with_cache(*given, **more, first=slice(-1, None)),
    ),
    ("before the EOS was appended", drops_the_eos),
    ("call `choose(logits)`", lambda m, ids, n, eos, choose: with_cache(m, ids, n, eos)),
]


@pytest.mark.parametrize(("misconception", "answer"), CACHED)
def test_a_wrong_use_of_the_cache_is_named(misconception, answer):
    assert misconception in caught(checks.check_with_cache, answer)


@pytest.mark.parametrize("answer", [with_cache, the_models_own_cache])
def test_a_right_use_of_the_cache_passes(answer, capsys):
    checks.check_with_cache(answer)
    assert "check_with_cache:" in capsys.readouterr().out


# The draw


def draw(logits):
    return torch.multinomial(logits.softmax(dim=-1), num_samples=1)


def own_generator(logits):
    fresh = torch.Generator()
    fresh.seed()
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=fresh)


def own_seed(logits):
    return torch.multinomial(logits.softmax(-1), 1, generator=torch.Generator().manual_seed(0))


def by_the_running_sum(logits):
    below = logits.softmax(-1).cumsum(-1)
    return (below < torch.rand(len(logits), 1)).sum(-1, keepdim=True).clamp(max=logits.shape[1] - 1)


DRAWS = [
    ("took the likeliest", likeliest),
    ("no probabilities", lambda logits: torch.multinomial(logits, 1)),
    ("negative ones cut off", lambda logits: torch.multinomial(logits.clamp(min=0), 1)),
    ("absolute", lambda logits: torch.multinomial(logits.abs(), 1)),
    ("made positive", lambda logits: torch.multinomial(logits - logits.min(), 1)),
    ("softmax of a softmax", lambda logits: draw(logits.softmax(-1))),
    ("every other", lambda logits: torch.randint(logits.shape[-1], (len(logits), 1))),
    ("in 4000 draws", lambda logits: draw(logits / 2)),
    ("generator of its own", own_generator),
    ("another seed gave the same", own_seed),
    ("a fair draw, but not the one", by_the_running_sum),
    ("ready to be appended", lambda logits: draw(logits)[:, 0]),
    ("return a tensor of ids", lambda logits: draw(logits).tolist()),
]


@pytest.mark.parametrize(("misconception", "answer"), DRAWS)
def test_a_wrong_draw_is_named(misconception, answer):
    assert misconception in caught(checks.check_draw, answer)


def test_a_right_draw_passes_and_the_check_uses_up_no_randomness(capsys):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    checks.check_draw(draw)
    assert torch.equal(torch.get_rng_state(), before)
    assert "check_draw:" in capsys.readouterr().out


# Padding, mask, positions


def left_padded(prompts, pad):
    longest = max(len(prompt) for prompt in prompts)
    gaps = [longest - len(prompt) for prompt in prompts]
    rows = [[pad] * gap + prompt for gap, prompt in zip(gaps, prompts, strict=True)]
    mask = [[0] * gap + [1] * (longest - gap) for gap in gaps]
    return torch.tensor(rows), torch.tensor(mask)


def right_padded(prompts, pad):
    longest = max(map(len, prompts))
    rows = [prompt + [pad] * (longest - len(prompt)) for prompt in prompts]
    mask = [[1] * len(prompt) + [0] * (longest - len(prompt)) for prompt in prompts]
    return torch.tensor(rows), torch.tensor(mask)


def cut(prompts, pad):
    rows = torch.tensor([prompt[-min(map(len, prompts)) :] for prompt in prompts])
    return rows, torch.ones_like(rows)


def by_the_pad(prompts, pad):
    ids, _ = left_padded(prompts, pad)
    return ids, (ids != pad).long()


def turned(prompts, pad):
    ids, mask = left_padded(prompts, pad)
    return ids, 1 - mask


def all_seen(prompts, pad):
    ids, mask = left_padded(prompts, pad)
    return ids, torch.ones_like(mask)


PADDED = [
    ("padded on the right", right_padded),
    ("cut the longer", cut),
    ("stands inside a prompt", by_the_pad),
    ("wrong way round", turned),
    ("1 everywhere", all_seen),
    ("return two tensors", lambda prompts, pad: left_padded(prompts, pad)[0]),
    ("the ids are", lambda prompts, pad: left_padded(prompts, pad + 1)),
]


@pytest.mark.parametrize(("misconception", "answer"), PADDED)
def test_wrong_padding_is_named(misconception, answer):
    assert misconception in caught(checks.check_left_padded, answer)


def by_the_pad_of_a_batch_without_it(prompts, pad):
    ids, mask = left_padded(prompts, pad)
    return ids, mask.bool()


@pytest.mark.parametrize("answer", [left_padded, by_the_pad_of_a_batch_without_it])
def test_right_padding_passes(answer, capsys):
    checks.check_left_padded(answer)
    assert "check_left_padded:" in capsys.readouterr().out


def positions_of(mask):
    return (mask.cumsum(dim=-1) - 1).clamp(min=0)


def padding_included(mask):
    return torch.arange(mask.shape[1]).expand(mask.shape)


POSITIONS = [
    ("padding included", padding_included),
    ("yours is at 1", lambda mask: mask.cumsum(-1)),
    ("returned the mask", lambda mask: mask),
    ("negative position", lambda mask: mask.cumsum(-1) - 1),
    ("shape", lambda mask: positions_of(mask)[:, -1:]),
    ("are not", lambda mask: positions_of(mask) + 5),
]


@pytest.mark.parametrize(("misconception", "answer"), POSITIONS)
def test_wrong_positions_are_named(misconception, answer):
    assert misconception in caught(checks.check_positions, answer)


@pytest.mark.parametrize("filler", [0, 1])
def test_right_positions_pass_whatever_padding_has(filler, capsys):
    checks.check_positions(lambda mask: (mask.cumsum(-1) - 1).masked_fill(mask == 0, filler))
    assert "check_positions:" in capsys.readouterr().out


def grown(mask, positions):
    mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=-1)
    return mask, torch.cat([positions, positions[:, -1:] + 1], dim=-1)


def length_for_position(mask, positions):
    place = torch.full_like(positions[:, :1], positions.shape[1])
    return grown(mask, positions)[0], torch.cat([positions, place], dim=-1)


def hidden(mask, positions):
    return torch.cat([mask, torch.zeros_like(mask[:, :1])], -1), grown(mask, positions)[1]


def stays_at_the_last(mask, positions):
    return grown(mask, positions)[0], torch.cat([positions, positions[:, -1:]], dim=-1)


def mask_alone(mask, positions):
    return grown(mask, positions)[0], positions


def positions_alone(mask, positions):
    return mask, grown(mask, positions)[1]


GROWN = [
    ("the mask did not grow", positions_alone),
    ("the positions did not grow", mask_alone),
    ("padding included", length_for_position),
    ("would not look at what it has just written", hidden),
    ("return two tensors", lambda mask, positions: grown(mask, positions)[0]),
    ("come 3 and 5", stays_at_the_last),
    ("the mask of the old tokens changed", lambda mask, positions: grown(1 - mask, positions)),
]


@pytest.mark.parametrize(("misconception", "answer"), GROWN)
def test_what_grows_wrongly_is_named(misconception, answer):
    assert misconception in caught(checks.check_grown, answer)


def test_what_grows_rightly_passes(capsys):
    checks.check_grown(grown)
    assert "check_grown:" in capsys.readouterr().out


# The whole loop


def my_loop(
    model,
    input_ids,
    attention_mask,
    max_new_tokens,
    eos,
    pad,
    choose=likeliest,
    *,
    grow=grown,
    count=positions_of,
    known=("attention_mask", "position_ids"),
    places=lambda positions, fed: positions[:, -fed.shape[1] :],
    fill=lambda running, chosen, pad: torch.where(running, chosen, pad),
    ends=lambda running: not running.any(),
    before=False,
):
    """The loop of the lesson; whatever comes after `choose` makes it wrong in one place."""
    ids, mask, positions = input_ids, attention_mask, count(attention_mask)
    running = torch.ones(len(ids), 1, dtype=torch.bool)
    cache, fed = DynamicCache(config=model.config), ids
    for _ in range(max_new_tokens):
        given = {"attention_mask": mask, "position_ids": places(positions, fed)}
        given = {name: given[name] for name in known}
        chosen = choose(model(fed, **given, **{CACHE: cache}, use_cache=True).logits[:, -1])
        if before:
            running = running & ~torch.isin(chosen, eos)
        fed = fill(running, chosen, pad)
        ids = torch.cat([ids, fed], dim=-1)
        running = running & ~torch.isin(fed, eos)
        if ends(running):
            break
        mask, positions = grow(mask, positions)
    return ids


def wrong_loop(**changes):
    return lambda *given, **more: my_loop(*given, **more, **changes)


def reads_all_again(model, ids, mask, max_new_tokens, eos, pad, choose=likeliest):
    positions = positions_of(mask)
    for _ in range(max_new_tokens):
        logits = model(ids, attention_mask=mask, position_ids=positions).logits[:, -1]
        ids = torch.cat([ids, choose(logits)], dim=-1)
        mask, positions = grown(mask, positions)
    return ids


def draws_the_running_alone(model, ids, mask, max_new_tokens, eos, pad, choose=likeliest):
    done = torch.zeros(len(ids), dtype=torch.bool)

    def only_running(logits):
        chosen = likeliest(logits)
        chosen[~done] = choose(logits[~done])
        done.logical_or_(torch.isin(chosen[:, 0], eos))
        return chosen

    return my_loop(model, ids, mask, max_new_tokens, eos, pad, choose=only_running)


WHOLE = [
    ("a finished row was not padded", wrong_loop(fill=lambda running, chosen, pad: chosen)),
    ("when the first row was done", wrong_loop(ends=lambda running: not running.all())),
    ("went on to the limit", wrong_loop(ends=lambda running: False)),
    ("the EOS itself was replaced", wrong_loop(before=True)),
    ("got no attention_mask", wrong_loop(known=("position_ids",))),
    ("got no position_ids", wrong_loop(known=("attention_mask",))),
    ("it was not grown", wrong_loop(grow=positions_alone)),
    ("newest tokens stand at", wrong_loop(grow=mask_alone)),
    ("give those of the tokens", wrong_loop(places=lambda positions, fed: positions)),
    ("count the padding", wrong_loop(count=padding_included)),
    ("nothing was saved", reads_all_again),
    ("finished rows too", draws_the_running_alone),
    ("call `choose(logits)`", lambda *given, choose: my_loop(*given)),
    ("without the prompt", lambda *given, **more: my_loop(*given, **more)[:, given[1].shape[1] :]),
]  # fmt: skip


@pytest.mark.parametrize(("misconception", "answer"), WHOLE)
def test_what_is_wrong_with_the_whole_loop_is_named(misconception, answer):
    assert misconception in caught(checks.check_my_loop, answer)


def test_the_right_loop_passes(capsys):
    checks.check_my_loop(my_loop)
    assert "check_my_loop:" in capsys.readouterr().out


def test_the_batches_of_the_check_end_at_different_times():
    cases = padded_batches._batches()
    lengths = [
        [len(text_after(prompt, case.limit, case.ends)) - len(prompt) for prompt in case.prompts]
        for case in cases
    ]
    assert any(len(set(each)) > 1 for each in lengths)
    assert any(max(each) < case.limit for each, case in zip(lengths, cases, strict=True))


# The exercises


def answer_lengths(ids, prompt_length, eos):
    ends = torch.isin(ids[:, prompt_length:], eos)
    return (ends.cumsum(dim=-1) - ends.long() == 0).sum(dim=-1)


def until_the_first(ids, prompt_length, eos):
    ends = torch.isin(ids[:, prompt_length:], eos).int()
    return torch.where(ends.any(-1), ends.argmax(-1) + 1, 0)


def ended(ids, prompt_length, eos):
    return torch.isin(ids[:, prompt_length:], eos).any(dim=-1).long()


LENGTHS = [
    ("the padding", lambda ids, start, eos: torch.full((len(ids),), ids.shape[1] - start)),
    ("left the EOS out", lambda *given: answer_lengths(*given) - ended(*given)),
    ("dropped every EOS", lambda ids, start, eos: (~torch.isin(ids[:, start:], eos)).sum(-1)),
    ("counted the prompt", lambda ids, start, eos: answer_lengths(ids, start, eos) + start),
    ("inside the prompt", lambda ids, start, eos: answer_lengths(ids, 0, eos) - start),
    ("first id of `eos`", lambda ids, start, eos: answer_lengths(ids, start, eos[:1])),
    ("came to the limit", until_the_first),
    ("one number a row", lambda ids, start, eos: answer_lengths(ids, start, eos)[:, None]),
    ("the new texts have", lambda ids, start, eos: answer_lengths(ids, start, eos) + 9),
]  # fmt: skip


@pytest.mark.parametrize(("misconception", "answer"), LENGTHS)
def test_a_wrong_count_is_named(misconception, answer):
    assert misconception in caught(checks.check_answer_lengths, answer)


def forbid(places):
    return lambda ids, scores: scores.scatter(1, ids[:, places], -math.inf)


def for_both_rows(ids, scores):
    return scores.index_fill(1, ids[:, -12:].flatten(), -math.inf)


def in_place(ids, scores):
    return scores.scatter_(1, ids[:, -12:], -math.inf)


RULES = [
    ("in another", for_both_rows),
    ("every token of the text", forbid(slice(None))),
    ("first 12", forbid(slice(12))),
    ("last token alone", forbid(slice(-1, None))),
    ("nothing was forbidden", lambda ids, scores: scores.clone()),
    ("you changed the scores", in_place),
    ("keep their scores", lambda ids, scores: forbid(slice(-12, None))(ids, scores) + 1),
]


@pytest.mark.parametrize(("misconception", "answer"), RULES)
def test_a_wrong_rule_is_named(misconception, answer):
    assert misconception in caught(checks.check_no_recent_token, answer)


def log_probability(steps):
    return sum(step.probs[0, step.chosen[0]].log() for step in steps)


def product(steps):
    return (
        math.log(p)
        if (p := math.prod(step.probs[0, step.chosen[0]] for step in steps))
        else -math.inf
    )


SUMS = [
    ("instead of multiplying", product),
    ("mean", lambda steps: log_probability(steps) / len(steps)),
    ("base 2", lambda steps: log_probability(steps) / math.log(2)),
    ("base 10", lambda steps: log_probability(steps) / math.log(10)),
    ("take the chosen", lambda steps: sum(step.probs.max().log() for step in steps)),
    ("sign", lambda steps: -log_probability(steps)),
    ("added probabilities", lambda steps: sum(step.probs[0, step.chosen[0]] for step in steps)),
    ("the sum is", lambda steps: log_probability(steps[1:])),
]


@pytest.mark.parametrize(("misconception", "answer"), SUMS)
def test_a_wrong_sum_is_named(misconception, answer):
    assert misconception in caught(checks.check_log_probability, answer)


def test_right_answers_to_the_exercises_pass(capsys):
    checks.check_answer_lengths(answer_lengths)
    checks.check_no_recent_token(forbid(slice(-12, None)))
    checks.check_log_probability(log_probability)
    assert len(capsys.readouterr().out.splitlines()) == 3


# Names


def test_every_check_has_its_name_in_the_lessons_module():
    modules = (one_row, padded_batches, exercises)
    made = {
        name: check
        for module in modules
        for name, check in vars(module).items()
        if name.startswith("check_")
    }
    assert set(checks.__all__) == set(made)
    assert all(getattr(checks, name) is check for name, check in made.items())


# Stubs


def stub(*_):
    raise NotImplementedError("Write this.")


@pytest.mark.parametrize("name", [name for name in vars(checks) if name.startswith("check_")])
def test_every_check_passes_over_a_stub(name, capsys):
    getattr(checks, name)(stub)
    assert capsys.readouterr().out == f"{name}: nothing to check yet; write stub above.\n"

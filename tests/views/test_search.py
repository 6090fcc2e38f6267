"""Beams, drafts and races as pictures: they say what the steps say, shortly, and are inert."""

import dataclasses
from html.parser import HTMLParser

import pytest
import torch

import llmcourse
from llmcourse import views
from llmcourse.decoding.stops import Reason
from llmcourse.views.beams import _leaves
from tests.support.families import PAD, VOCAB, build, tiny
from tests.support.pages import INERT, NASTY, tags
from tests.support.toy_tokenizers import numbered

PROMPT = torch.arange(7, 18).repeat(1, 2)  # said twice, so that there is something to look up
PAIR = {
    "input_ids": torch.stack([torch.arange(7, 13), torch.arange(30, 36)]),
    "attention_mask": torch.ones(2, 6, dtype=torch.int64),
}
LIMIT = 300_000


@pytest.fixture(scope="module")
def plain():
    """A tokenizer in which token 7 is `t7`; one without an id is shown as `[96]`."""
    return numbered("t", unk_token="t2", pad_token="t0", eos_token="t5")


def beam_steps(beams=3, tokens=6, **call):
    call = {"eos_token_id": None, "pad_token_id": PAD, **call}
    call = {"input_ids": PROMPT, **call} if "attention_mask" not in call else call
    return list(llmcourse.steps(tiny("llama"), num_beams=beams, max_new_tokens=tokens, **call))


def rounds_of(**call):
    call = {"eos_token_id": None, "pad_token_id": PAD, "max_new_tokens": 24, **call}
    return list(
        llmcourse.steps(tiny("llama"), input_ids=PROMPT, prompt_lookup_num_tokens=4, **call)
    )


class Page(HTMLParser):
    """Reads the tables of a page: captions, and rows of (tag, attributes, text)."""

    def __init__(self, page):
        super().__init__()
        self.captions, self.rows, self.inside = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "caption":
            self.captions.append("")
            self.inside = "caption"
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append([tag, dict(attrs), ""])
            self.inside = "cell"

    def handle_data(self, data):
        if self.inside == "caption":
            self.captions[-1] += data
        elif self.inside == "cell":
            self.rows[-1][-1][2] += data

    def handle_endtag(self, tag):
        if tag in ("caption", "td", "th"):
            self.inside = None


def places(page: Page) -> list[int]:
    """Return how many columns each row of a table fills, cells from the rows above included."""
    owed, filled = {}, []
    for number, row in enumerate(page.rows):
        width = owed.get(number, 0)
        for _, attrs, _ in row:
            width += (across := int(attrs.get("colspan", 1)))
            for below in range(1, int(attrs.get("rowspan", 1))):
                owed[number + below] = owed.get(number + below, 0) + across
        filled.append(width)
    return filled


# Beams


def test_every_candidate_of_every_step_is_in_the_tree_with_its_fate_and_score(plain):
    walk = beam_steps()
    tree = views.beams(plain, walk)
    drawn, todo = [], [(tree.root, -1)]
    while todo:
        node, depth = todo.pop()
        for child in node.children + node.dropped:
            drawn.append((depth + 1, child.token, child.score, child.fate))
            todo.append((child, depth + 1))
    told = [
        (step.index, f"t{each.ids[-1]}", each.score, each.fate)
        for step in walk
        for each in step.hypotheses()
    ]
    assert sorted(drawn) == sorted(told)


@pytest.mark.parametrize("eos", [None, list(range(40, 60))])
def test_a_path_in_the_tree_is_the_text_of_its_hypothesis(plain, eos):
    walk = beam_steps(4, 5, eos_token_id=eos)
    texts = {tuple(each.ids) for step in walk for each in step.hypotheses()}
    todo = [(views.beams(plain, walk).root, ())]
    while todo:
        node, text = todo.pop()
        assert not text or text in texts
        todo += [(one, (*text, int(one.token[1:]))) for one in node.children + node.dropped]


@pytest.mark.parametrize("call", [{}, {"eos_token_id": list(range(40, 60))}, {"do_sample": True}])
@pytest.mark.parametrize("prompt", [0, 1])
def test_the_path_of_the_winner_is_what_generate_returns(plain, call, prompt):
    torch.manual_seed(0)
    call = {"eos_token_id": None, "pad_token_id": PAD, "num_beams": 3, **PAIR, **call}
    walk = list(llmcourse.steps(tiny("llama"), max_new_tokens=6, **call))
    torch.manual_seed(0)
    text = tiny("llama").generate(max_new_tokens=6, **call)[prompt, 6:].tolist()
    tree, path = views.beams(plain, walk, prompt=prompt), []
    node = tree.root
    while winning := [one for one in node.children if one.wins]:
        assert node.children[0] is winning[0], "the winner stands on top"
        (node,) = winning
        path.append(int(node.token[1:]))
    assert path == text[: len(path)]
    assert all(token == PAD for token in text[len(path) :])
    assert node.fate == "finished"
    assert f"The winner, of {len(path)} new tokens" in tree.caption


def test_the_caption_tells_who_won_and_why_the_search_ended(plain):
    shown = repr(views.beams(plain, beam_steps(3, 6)))
    first = shown.splitlines()[0]
    assert first.startswith("Beam search with 3 beams, steps 0 to 5. The winner, of 6 new tokens: ")
    assert "The text reached max_length=28 tokens" in first
    assert first.endswith("The search ended because all candidates of step 5 end.")


def test_a_search_that_ends_early_says_how_many_texts_had_finished(plain):
    walk = beam_steps(2, 40, eos_token_id=list(range(20, 80)), early_stopping=True)
    assert len(walk) < 40
    assert "2 texts had finished, and no live one" in views.beams(plain, walk).caption


def test_a_search_that_is_not_over_has_no_winner_yet(plain):
    shown = views.beams(plain, beam_steps()[:3])
    assert "The search is not over; the best live text so far" in shown.caption


def test_the_tree_is_a_table_in_which_every_row_is_full(plain):
    for start in (0, 2):
        tree = views.beams(plain, beam_steps(4, 6), start=start)
        page = Page(tree._repr_html_())
        assert len(page.captions) == 1
        assert page.captions[0].startswith(tree.caption)
        assert set(places(page)) == {6 if start == 0 else 5}
        assert {cell[1]["scope"] for cell in page.rows[0]} == {"col"}


def test_the_fates_and_the_winner_are_told_by_signs(plain):
    page = views.beams(plain, beam_steps())._repr_html_()
    assert "★ ■" in page and "★ ●" in page and "× t" in page
    shown = repr(views.beams(plain, beam_steps()))
    assert "★ ■" in shown and "winner's path" in shown


def test_a_later_part_begins_with_the_texts_so_far(plain):
    walk = beam_steps(3, 8)
    tree = views.beams(plain, walk, start=4, most=2)
    assert len(tree.root.children) == 3
    assert (tree.first, tree.last, tree.made) == (4, 5, 8)
    assert "before step 4" in tree._repr_html_()
    assert "Drawn are steps 4 to 5 of 0 to 7." in repr(tree)


@pytest.mark.parametrize("most", [10, 24])
def test_sixteen_beams_and_many_steps_stay_small(plain, most):
    tree = views.beams(plain, beam_steps(16, 40), most=most)
    page = tree._repr_html_()
    assert len(page.encode()) < LIMIT
    assert set(places(Page(page))) == {most}
    left_out = len(list(_leaves(tree.root))) - 32
    assert f"{left_out:,} more branches are left out, dropped ones first." in page
    assert "★" in page
    assert len(repr(tree).splitlines()) < 32 * most


def test_one_prompt_of_a_batch_is_drawn_to_its_own_end(plain):
    walk = beam_steps(2, 30, eos_token_id=list(range(20, 60)), **PAIR)
    ends = [next(s.index for s in walk if s.finished[prompt]) for prompt in (0, 1)]
    assert [views.beams(plain, walk, prompt=p).made - 1 for p in (0, 1)] == ends


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"prompt": 1}, ValueError, "prompt=1: the batch has prompts 0 to 0"),
        ({"prompt": -1}, ValueError, "prompt=-1"),
        ({"start": 6}, ValueError, "start=6: there are 6 steps"),
        ({"start": -1}, ValueError, "start=-1"),
        ({"most": 0}, ValueError, "most=0"),
        ({"most": 25}, ValueError, "most=25: pass a start"),
        ({"steps": []}, ValueError, "0 steps"),
        ({"steps": "greedy"}, TypeError, "num_beams"),
    ],
)
def test_beams_that_cannot_be_drawn_are_refused_by_name(plain, change, error, message):
    if change.get("steps") == "greedy":
        change = {"steps": llmcourse.steps(tiny("llama"), input_ids=PROMPT, max_new_tokens=1)}
    with pytest.raises(error, match=message):
        views.beams(plain, **{"steps": beam_steps(), **change})


# Drafts


def test_each_round_shows_what_was_accepted_rejected_and_the_models_own(plain):
    rounds = rounds_of()
    shown = views.drafts(plain, rounds, most=99)
    assert any(one.accepted for one in rounds) and any(len(one.rejected) for one in rounds)
    for one, verdict in zip(rounds, shown.verdicts, strict=True):
        proposed = [f"t{token}" for token in one.proposed.tolist()]
        lost = verdict.rejected + verdict.unused
        assert [*verdict.accepted, *lost] == proposed
        assert [*verdict.accepted, *verdict.own] == [f"t{token}" for token in one.chosen[0]]
        assert verdict.gained == one.chosen.shape[1]


def test_the_saving_is_that_of_the_rounds(plain):
    rounds = rounds_of()
    caption = views.drafts(plain, rounds).caption
    passes, kept = len(rounds), sum(one.accepted for one in rounds)
    drafted = sum(len(one.proposed) for one in rounds)
    assert f"24 tokens in {passes} forward passes" in caption
    assert f"{llmcourse.decoding.speculative.tokens_per_pass(rounds):.2f} tokens a pass" in caption
    assert f"Plain decoding takes 24 passes, so {24 - passes} were saved" in caption
    assert f"Of {drafted} drafted tokens, {kept} were accepted" in caption


def test_a_rejected_token_has_a_sign_and_a_dashed_border_and_can_be_read(plain):
    page = views.drafts(plain, rounds_of())._repr_html_()
    assert "✓ accepted" in page and "✗ rejected" in page
    assert 'border:1px dashed #767676;">✗\u00a0t' in page and "line-through" not in page


def test_a_draft_that_outlives_the_text_is_unused_and_not_rejected(plain):
    whole = next(one for one in rounds_of() if one.accepted)
    cut = dataclasses.replace(
        whole, accepted=1, chosen=whole.chosen[:, :1], stop_reasons=(Reason("eos", "It ended."),)
    )
    shown = views.drafts(plain, [cut])
    assert len(shown.verdicts[0].unused) == len(whole.proposed) - 1
    assert not shown.verdicts[0].rejected
    assert "unused: the text had ended" in repr(shown)
    assert "Stopped by eos: It ended." in shown._repr_html_()


def test_the_rounds_are_a_table_with_headers(plain):
    shown = views.drafts(plain, rounds_of())
    page = Page(shown._repr_html_())
    assert page.captions[0].startswith(shown.caption)
    assert [cell[0] for cell in page.rows[1]] == ["th", "td", "td", "td", "td"]
    assert len(page.rows) == 1 + len(shown.verdicts) + 3


def test_many_rounds_with_long_drafts_stay_small(plain):
    one = rounds_of()[0]
    long = dataclasses.replace(one, proposed=torch.arange(2000) % VOCAB, accepted=0)
    shown = views.drafts(plain, [long] * 2000)
    page = shown._repr_html_()
    assert len(page.encode()) < LIMIT
    assert "1,970 more rounds are left out." in page and "1,970 more rounds" in repr(shown)
    assert "… 1,976 more" in page


def test_drafts_refuse_what_is_no_round(plain):
    with pytest.raises(TypeError, match="prompt_lookup_num_tokens"):
        views.drafts(plain, beam_steps(2, 1))
    with pytest.raises(ValueError, match="rounds is empty"):
        views.drafts(plain, [])
    with pytest.raises(ValueError, match="most=0"):
        views.drafts(plain, rounds_of(), most=0)


# Races


@pytest.fixture(scope="module")
def pair(plain):
    """A race of two texts, equal in both."""
    call = {"max_new_tokens": 10, "eos_token_id": None, "pad_token_id": PAD}
    return llmcourse.race(tiny("llama"), plain, PAIR, **call)


def changed(race, row: int, step: int, token: int):
    library = race.library.clone()
    library[row, step] = token
    return dataclasses.replace(race, library=library)


def test_equal_texts_have_only_equal_signs(pair):
    shown = views.race(pair)
    assert all(same for lane in shown.lanes for *_, same in lane.pairs)
    assert "≠" not in shown._repr_html_()
    assert [lane.pairs[3][1] for lane in shown.lanes] == [f"t{ids[3]}" for ids in pair.loop]
    assert "2 of 2 texts have the same tokens" in repr(shown)
    assert pair.verdict() in repr(shown)


def test_a_difference_has_a_sign_a_frame_and_a_sentence(pair):
    other = 3 if int(pair.loop[1, 4]) != 3 else 4
    shown = views.race(changed(pair, 1, 4, other))
    told = f"They differ from step 4 on: the loop t{int(pair.loop[1, 4])}, generate t{other}."
    assert told in shown.lanes[1].caption
    assert shown._repr_html_().count("<b>≠</b>") == 1
    assert shown._repr_html_().count("border:3px solid") == 2
    assert "1 of 2 texts have the same tokens" in repr(shown)


def test_texts_of_different_length_differ_where_one_has_ended(pair):
    shown = views.race(dataclasses.replace(pair, library=pair.library[:, :-1]))
    assert shown.lanes[0].pairs[-1][2:] == ("(none)", False)


def test_each_text_says_why_it_stopped_in_a_sentence(pair):
    for lane in views.race(pair).lanes:
        assert "Stopped by length: The text reached max_length=16 tokens" in lane.caption


def test_padding_after_a_text_is_counted_and_not_drawn(plain):
    call = {"max_new_tokens": 30, "eos_token_id": list(range(20, 40)), "pad_token_id": PAD}
    race = llmcourse.race(tiny("llama"), plain, PAIR, **call)
    padded = [int((ids == PAD).flip(0).long().cumprod(0).sum()) for ids in race.loop]
    assert max(padded) > 0
    for lane, pads in zip(views.race(race, most=30).lanes, padded, strict=True):
        assert len(lane.pairs) == race.loop.shape[1] - pads
        assert (f"Then {pads} times padding" in repr(lane)) == (pads > 0)


@pytest.mark.parametrize(("ended_by", "padding"), [(5, 2), (9, 3)])
def test_an_eos_that_is_also_the_padding_belongs_to_the_text(pair, plain, ended_by, padding):
    tokenizer = type(plain)(tokenizer_object=plain.backend_tokenizer, eos_token="t5")
    tokenizer.pad_token = "t5"
    ids = pair.loop.clone()
    ids[0, -4:] = torch.tensor([ended_by, 5, 5, 5]) if ended_by != 5 else torch.tensor([9, 5, 5, 5])
    why = Reason("eos", f"The model chose token {ended_by}, which ends a text (eos_token_id).")
    race = dataclasses.replace(
        pair, loop=ids, library=ids, tokenizer=tokenizer, stop_reasons=(why, Reason("length"))
    )
    assert f"Then {padding} times padding" in repr(views.race(race).lanes[0])


def test_a_late_difference_is_shown_and_what_is_left_out_is_told(pair):
    ids = pair.loop.repeat(1, 200)
    race = changed(dataclasses.replace(pair, loop=ids, library=ids), 0, 1500, 96)
    lane = views.race(race).lanes[0]
    assert [step for step, *_, same in lane.pairs if not same] == [1500]
    assert "Steps 0 to 1,496 are left out: equal." in lane.notes
    assert "Steps 1,521 to 1,999 are left out: equal." in lane.notes


def test_thirty_two_long_texts_stay_small_and_the_different_ones_are_shown(pair):
    ids = pair.loop.repeat(16, 200)
    race = dataclasses.replace(pair, loop=ids, library=ids, stop_reasons=(Reason("length"),) * 32)
    shown = views.race(changed(race, 30, 1000, 96))
    assert len(shown._repr_html_().encode()) < LIMIT
    assert len(shown.lanes) == 8
    assert shown.lanes[-1].caption.startswith("Text 31 of 32. They differ from step 1,000 on")
    assert "24 more texts are left out, all equal." in repr(shown)


def test_the_times_are_a_hint_that_can_be_left_out(pair):
    assert "a hint and no measurement" in repr(views.race(pair))
    assert " s:" not in repr(views.race(pair, times=False))
    assert "hint" not in views.race(pair, times=False)._repr_html_()


def test_the_tokens_of_a_race_stand_in_a_table_with_headers(pair):
    shown = views.race(pair)
    page = Page(shown._repr_html_())
    assert [caption.split(" Stopped")[0] for caption in page.captions] == [
        "Text 1 of 2. 10 tokens, the same in both.",
        "Text 2 of 2. 10 tokens, the same in both.",
    ]
    assert [row[0][2] for row in page.rows[:4]] == ["step", "the loop", "equal?", "generate"]
    assert {len(row) for row in page.rows[:4]} == {9}


def test_a_race_refuses_what_is_none(pair):
    with pytest.raises(TypeError, match=r"llmcourse\.race"):
        views.race("text")
    with pytest.raises(ValueError, match="most=0"):
        views.race(pair, most=0)


# All three


def of_each_kind(tokenizer):
    """Return the three views with a tokenizer of 1 + len(NASTY) tokens; other ids are numbers."""
    size = len(NASTY) + 1
    model = build("llama", vocab_size=size, eos_token_id=None, pad_token_id=0, bos_token_id=None)
    ids = {"input_ids": torch.arange(size).repeat(1, 2), "eos_token_id": None, "pad_token_id": 0}
    walk = list(llmcourse.steps(model, **ids, num_beams=2, max_new_tokens=4))
    rounds = list(llmcourse.steps(model, **ids, prompt_lookup_num_tokens=3, max_new_tokens=6))
    proposed = dataclasses.replace(rounds[0], proposed=torch.arange(size), accepted=0)
    call = {name: value for name, value in ids.items() if name != "input_ids"}
    race = llmcourse.race(model, tokenizer, ids["input_ids"], max_new_tokens=4, **call)
    new = torch.arange(size)[None]
    why = (Reason(NASTY[0], NASTY[1]),)
    race = dataclasses.replace(race, loop=new, library=new.flip(1), stop_reasons=why)
    return {
        "beams": views.beams(tokenizer, walk),
        "beams later": views.beams(tokenizer, walk, start=2),
        "drafts": views.drafts(tokenizer, [*rounds, proposed]),
        "race": views.race(race),
    }


@pytest.mark.parametrize("name", ["beams", "beams later", "drafts", "race"])
def test_a_hostile_vocabulary_is_inert_and_readable_in_each(nasty, name):
    shown = of_each_kind(nasty)[name]
    page = shown._repr_html_()
    assert tags(page) <= INERT
    assert "$" not in page and "<style" not in page and " role=" not in page
    assert all(line.isprintable() for line in repr(shown).splitlines())
    assert len(page) < LIMIT


def test_a_beam_search_of_the_course_model_reads_as_text(course_model):
    model, tokenizer = course_model
    inputs = tokenizer("A list of colors: red, blue", return_tensors="pt")
    walk = list(llmcourse.steps(model, **inputs, num_beams=2, max_new_tokens=3))
    shown = repr(views.beams(tokenizer, walk))
    assert "The winner, of 3 new tokens: ,·green, (" in shown
    assert "\n★ ● ,  -0.01 #1\n" in shown

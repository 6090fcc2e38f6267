"""A race tells the truth: equal where it is equal, DIFFERENT where it is not."""

import dataclasses

import pytest
import torch

import llmcourse


@pytest.fixture(scope="module")
def greedy(course_model):
    return llmcourse.race(*course_model, "A list of colors: red, blue", max_new_tokens=4)


def test_the_loop_and_generate_are_equal(greedy):
    assert greedy.equal
    assert greedy.texts == [", and green\n"]
    assert repr(greedy).endswith("Equal, bit for bit: tokens, raw logits and processed scores.")


def test_a_race_leaves_what_the_caller_sees_of_the_seed_to_the_caller(course_model):
    def drawn():
        torch.manual_seed(3)
        return llmcourse.race(*course_model, "Portugal is", do_sample=True, max_new_tokens=4)

    first, second = drawn(), drawn()
    assert first.equal and second.equal
    assert first.loop.tolist() == second.loop.tolist()


def test_a_batch_of_texts_gets_a_table_each(course_model):
    race = llmcourse.race(*course_model, ["1, 2, 3", "A, B, C, D, E"], max_new_tokens=3)
    assert race.equal
    assert len(race.tables()) == 2
    assert race._repr_html_().count("<table") == 2


@pytest.mark.parametrize("kind", ["tensor", "encoding"])
def test_ids_may_be_given_instead_of_text(course_model, kind):
    _, tokenizer = course_model
    inputs = tokenizer("1, 2, 3", return_tensors="pt")
    given = inputs.input_ids if kind == "tensor" else inputs
    assert llmcourse.race(*course_model, given, max_new_tokens=2).equal


def test_stop_strings_work_and_the_reason_is_told(course_model):
    race = llmcourse.race(
        *course_model, "A list of colors: red, blue", max_new_tokens=9, stop_strings=["green"]
    )
    assert race.equal
    assert race.stop_reasons == ("stop string",)
    assert "stopped by stop string" in repr(race)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda race: {"library": race.library + 1}, "tokens"),
        (lambda race: {"library": race.library[:, :-1]}, "tokens"),
        (lambda race: {"same_logits": False}, "logits"),
        (lambda race: {"same_scores": False}, "scores"),
    ],
)
def test_a_difference_is_never_called_equal(greedy, change, word):
    different = dataclasses.replace(greedy, **change(greedy))
    assert not different.equal
    assert f"DIFFERENT: {word}" in repr(different)
    assert "Equal" not in different._repr_html_()


def test_a_token_that_differs_is_marked_in_its_line(greedy):
    library = greedy.library.clone()
    library[0, 2] += 1
    table = dataclasses.replace(greedy, library=library).tables()[0]
    assert [line[-1] for line in table.rows] == ["=", "=", "DIFFERENT", "="]
    assert table.marked == {2}


@pytest.mark.parametrize("empty", ["", torch.zeros(1, 0, dtype=torch.long)], ids=["text", "ids"])
def test_an_empty_prompt_is_refused_in_words(course_model, empty):
    with pytest.raises(ValueError, match="the prompt is empty"):
        llmcourse.race(*course_model, empty)


def test_a_race_of_beams_shows_every_text_that_comes_back(course_model):
    race = llmcourse.race(
        *course_model, "1, 2, 3", num_beams=3, num_return_sequences=2, max_new_tokens=4
    )
    assert race.equal
    assert len(race.tables()) == 2 and race.stop_reasons == ("length", "length")
    assert "DIFFERENT" not in repr(race)


def test_a_text_that_beams_finished_early_has_no_probabilities_after_its_end(course_model):
    race = llmcourse.race(
        *course_model,
        ["1, 2, 3", "A, B, C, D, E"],
        num_beams=2,
        max_new_tokens=6,
        stop_strings=[", F"],
    )
    assert race.equal
    assert "stop string" in race.stop_reasons
    row = race.stop_reasons.index("stop string")
    assert race.loop_probs[row].isnan().any()
    assert race.tables()[row].rows[-1][2] == ""


def test_the_reason_is_told_in_a_sentence(greedy):
    assert "stopped by length: The text reached max_length=" in repr(greedy)

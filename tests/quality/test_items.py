"""The items that ship with the course, and files of items that users write."""

import json
from collections import Counter

import pytest

from llmcourse.quality.items import KINDS, digest, read_items
from llmcourse.quality.written import is_right

ITEMS = read_items()
GOOD = {"id": "a", "kind": "mine", "prompt": "Q?", "choices": ["yes", "no"], "answer": 1}


def write(tmp_path, *items):
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return file


def test_there_are_at_least_45_items_of_each_of_six_kinds_with_a_source():
    counts = Counter(item.kind for item in ITEMS)
    assert list(counts) == list(KINDS) and len(KINDS) == 6
    assert min(counts.values()) >= 45 and len(ITEMS) == 300
    assert {item.source for item in ITEMS} == {"llmcourse"}


def test_no_prompt_is_asked_twice():
    asked = Counter((item.prompt, item.choices) for item in ITEMS)
    assert asked.most_common(1)[0][1] == 1


@pytest.mark.parametrize("kind", ["facts", "grammar", "continuation", "reading"])
def test_neither_length_nor_place_gives_a_choice_away(kind):
    items = [item for item in ITEMS if item.kind == kind]
    chance = 1 / len(items[0].choices)
    for longest_or_shortest in (max, min):
        assert share_by_length(items, longest_or_shortest) < chance + 0.1
    places = Counter(item.answer for item in items)
    assert max(places.values()) / len(items) < chance + 0.05


def share_by_length(items, pick):
    """Return how often the longest, or the shortest, is right; a tie counts in parts."""
    right = 0
    for item in items:
        sizes = [len(choice) for choice in item.choices]
        best = [place for place, size in enumerate(sizes) if size == pick(sizes)]
        right += (item.answer in best) / len(best)
    return right / len(items)


def test_all_items_of_the_course_with_choices_have_as_many_as_their_kind():
    for kind in ("facts", "grammar", "continuation", "reading"):
        assert len({len(item.choices) for item in ITEMS if item.kind == kind}) == 1


def test_the_solution_of_every_item_that_is_written_is_right_by_its_own_check():
    for item in ITEMS:
        if not item.choices and item.solution:
            assert is_right(item.solution, item.answer, item.rules, item.extract), item


def test_the_sums_are_right():
    signs = {"times": "*", "divided by": "/"}
    checked = 0
    for item in ITEMS:
        sum_ = item.prompt.removeprefix("Question: What is ").removesuffix("?\nAnswer:")
        for word, sign in signs.items():
            sum_ = sum_.replace(word, sign)
        if item.kind == "arithmetic" and set(sum_) <= set("0123456789 +-*/"):
            assert eval(sum_) == int(item.answer[0]), item
            checked += 1
    assert checked == 23


def test_a_choice_follows_its_prompt_after_one_space(tmp_path):
    spaced = {**GOOD, "id": "b", "prompt": "Q? "}
    whole = {**GOOD, "id": "c", "prompt": ""}
    one, two, three = read_items(write(tmp_path, GOOD, spaced, whole))
    assert one.continuation("yes") == " yes"
    assert two.continuation("yes") == three.continuation("yes") == "yes"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"prompt": None}, "prompt"),
        ({"choices": ["yes", "yes"]}, "choices"),
        ({"choices": ["yes"]}, "choices"),
        ({"answer": 2}, "answer"),
        ({"answer": True}, "answer"),
        ({"choices": [], "answer": []}, "answer"),
        ({"choices": [], "answer": ["a"], "rules": {"rhymes": 1}}, "rules"),
        ({"extract": "guess"}, "extract"),
        ({"answers": 1}, "answers"),
        ({"id": ""}, "id"),
    ],
)
def test_an_item_that_is_not_whole_is_refused_with_file_line_and_field(tmp_path, changed, field):
    with pytest.raises(ValueError, match=f"mine.jsonl, line 2, field '{field}'"):
        read_items(write(tmp_path, GOOD, {**GOOD, "id": "b", **changed}))


def test_a_missing_field_an_id_twice_and_a_line_that_is_no_json_are_refused(tmp_path):
    with pytest.raises(ValueError, match="line 1, field 'prompt'"):
        read_items(write(tmp_path, {"id": "a", "kind": "mine"}))
    with pytest.raises(ValueError, match=r"line 2: the id 'a' is that of mine\.jsonl, line 1"):
        read_items(write(tmp_path, GOOD, GOOD))
    file = tmp_path / "mine.jsonl"
    file.write_text("[1]\n")
    with pytest.raises(ValueError, match="line 1: an item is a JSON object"):
        read_items(file)
    file.write_text("\n{")
    with pytest.raises(ValueError, match="line 2: no JSON"):
        read_items(file)


def test_a_kind_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'poetry'; there are facts"):
        read_items(kinds=["poetry"])


def test_the_digest_changes_with_any_item(tmp_path):
    other = {**GOOD, "answer": 0}
    first, second = (digest(read_items(write(tmp_path, item))) for item in (GOOD, other))
    assert first != second
    assert first == digest(read_items(write(tmp_path, GOOD)))

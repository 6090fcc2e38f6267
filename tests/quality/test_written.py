"""What is taken out of a written text, and the rules that it must obey."""

import pytest

from llmcourse.quality.written import extract_number, is_right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"),
        ("3 + 4 = 7.", "7"),
        ("It is 1,200 coins.", "1200"),
        ("The sum is 2.50", "2.5"),
        ("7\n\nExplanation: 3 and 4", "7"),
        ("No idea.\nPerhaps 12", "12"),
        ("-5", "-5"),
        ("seven", None),
        ("", None),
    ],
)
def test_the_last_number_of_the_first_line_with_one_is_the_answer(text, number):
    assert extract_number(text) == number


def test_a_strict_extraction_takes_a_number_alone():
    assert extract_number(" 7 ", strict=True) == "7"
    assert extract_number("3 + 4 = 7", strict=True) is None


def test_marks_and_capitals_around_a_short_answer_do_not_count():
    assert is_right('"Cold."', ["cold"], {"words": 1})
    assert not is_right("It is cold.", ["cold"], {"words": 1})
    assert not is_right("colder", ["cold"])


@pytest.mark.parametrize(
    ("rules", "obeys", "breaks"),
    [
        ({"words": 2}, "two words", "one"),
        ({"at_most_words": 2}, "two words", "these are three"),
        ({"sentences": 2}, "One. Two!", "One. Two. Three."),
        ({"sentences": 1}, "It costs 3.50 coins.", "no end"),
        ({"lines": 2}, "a\n\nb", "a\nb\nc"),
        ({"items": 3}, "a, b, c", "a, b"),
        ({"starts_with": "Sure"}, "Sure, yes", "Yes, sure"),
        ({"ends_with": "?"}, "Who?", "Who."),
        ({"contains": ["sea", "blue"]}, "the blue sea", "the sea"),
        ({"without": ["blue"]}, "the sea", "the Blue sea"),
        ({"lowercase": True}, "small", "Small"),
        ({"uppercase": True}, "LARGE", "Large"),
        ({"json": {"color": "red"}}, '{"color": "red"}', "color: red"),
    ],
)
def test_each_rule_lets_through_what_obeys_it_and_nothing_else(rules, obeys, breaks):
    assert is_right(obeys, rules=rules)
    assert not is_right(breaks, rules=rules)


def test_nothing_written_is_never_right():
    assert not is_right("  ", rules={"at_most_words": 5})

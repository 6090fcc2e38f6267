"""The checks of lesson 5 accept right answers and name the misconception of wrong ones."""

import math
import re
from pathlib import Path

import nbformat
import pytest

from llmcourse.chat import render, templates
from llmcourse.checks import chat_templates as checks

LESSON = Path(__file__).parent.parent.parent / "notebooks" / "05_chat_templates.ipynb"


def folded(name: str):
    """The function `name` as a folded solution of the lesson defines it."""
    text = "\n".join(cell.source for cell in nbformat.read(LESSON, as_version=4).cells)
    (code,) = re.findall(
        rf"^def {name}\(.*?\n(?=\S)", text.split("Solution</summary>", 1)[1], re.M | re.S
    )[:1]
    names = {"math": math, "re": re}
    exec(code, names)
    return names[name]


def chatml_again(messages, add_generation_prompt=False):
    return turns(messages) + (OPENING if add_generation_prompt else "")


def of_the_lesson(name: str):
    """The function `our_...` as a cell of the lesson defines it, with what it calls there."""
    names = {"math": math, "chatml": chatml_again}
    for cell in nbformat.read(LESSON, as_version=4).cells:
        if "ours" in cell.metadata.get("tags", []) and f"def our_{name}(" in cell.source:
            exec(cell.source.rsplit("\n", 1)[0], names)
            return names[f"our_{name}"]
    raise LookupError(name)


def turn(message: dict) -> str:
    return f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"


def turns(messages) -> str:
    return "".join(map(turn, messages))


OPENING = "<|im_start|>assistant\n"


# ChatML


def test_the_lessons_chatml_is_accepted(capsys):
    checks.check_chatml(of_the_lesson("chatml"))
    assert capsys.readouterr().out.count("\n") == 1


def test_the_courses_own_template_is_accepted():
    chatml = templates()["chatml"].text
    checks.check_chatml(lambda m, g: render(chatml, m, add_generation_prompt=g))


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda m, g=False: None, "return one string; you returned None"),
        (lambda m, g=False: turns(m) + OPENING, "generation prompt always"),
        (lambda m, g=False: turns(m), "never wrote the generation prompt"),
        (
            lambda m, g=False: turns(m) + (OPENING + "<|im_end|>\n" if g else ""),
            "closed the generation prompt",
        ),
        (lambda m, g=False: turns(m) + OPENING[:-1] * g, "lacks its last newline"),
        (
            lambda m, g=False: turns(m).replace("end|>\n", "end|>") + OPENING * g,
            "newline after <|im_end|>",
        ),
        (
            lambda m, g=False: (
                "".join(f"<|im_start|>{x['role']}{x['content']}<|im_end|>\n" for x in m)
                + OPENING * g
            ),
            "no newline between the role and the content",
        ),
        (
            lambda m, g=False: turns(x for x in m if x["role"] != "system") + OPENING * g,
            "dropped the system message",
        ),
        (
            lambda m, g=False: render(
                templates()["chatml with a default"].text, m, add_generation_prompt=g
            ),
            "in no message",
        ),
        (
            lambda m, g=False: (
                turns({**x, "content": x["content"].strip()} for x in m) + OPENING * g
            ),
            "you stripped the content",
        ),
        (lambda m, g=False: turn(m[-1]) + OPENING * g, "the last message only"),
        (lambda m, g=False: turns(m).upper() + OPENING * g, "the string is"),
    ],
)
def test_a_wrong_chatml_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_chatml(answer)


# An answer begun


def prefills(messages, words):
    return turns(messages) + OPENING + words


def grows_the_list(messages, words):
    messages.append({"role": "assistant", "content": words})
    return prefills(messages[:-1], words)


def test_the_lessons_prefilled_and_another_are_accepted(capsys):
    checks.check_prefilled(of_the_lesson("prefilled"))
    checks.check_prefilled(prefills)
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda m, w: None, "return one string; you returned None"),
        (grows_the_list, "you changed the caller's list"),
        (lambda m, w: prefills(m, w) + "<|im_end|>\n", "you closed the turn; the model finds"),
        (lambda m, w: prefills(m, w) + "<|im_end|>", "the turn is closed by that mark"),
        (lambda m, w: prefills(m, w) + "<|im_end|>\n" + OPENING, "and opened another"),
        (lambda m, w: turns(m) + w, "left out the opening of the assistant's turn"),
        (lambda m, w: turns(m) + OPENING, "you forgot the words"),
        (lambda m, w: prefills(m, " " + w), "between the opening and the words"),
        (lambda m, w: prefills(m, w) + " ", "a space behind the words"),
        (lambda m, w: prefills(m, w) + "\n", "a newline behind the words"),
        (lambda m, w: prefills(m, w.strip()), "you stripped the words"),
        (
            lambda m, w: turns([*m[:-1], {**m[-1], "content": m[-1]["content"] + w}]) + OPENING,
            "into the user's turn",
        ),
        (lambda m, w: prefills(m, w).upper(), "you gave"),
    ],
)
def test_a_wrong_prefilled_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_prefilled(answer)


# What two prompts share


def equal_so_far(before, now):
    """A right answer of another kind."""
    for place, (one, other) in enumerate(zip(before, now, strict=False)):
        if one != other:
            return place
    return min(len(before), len(now))


def test_the_lessons_shared_and_another_are_accepted(capsys):
    checks.check_shared(of_the_lesson("shared"))
    checks.check_shared(equal_so_far)
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda a, b: None, "return how many, a whole number; you returned None"),
        (lambda a, b: sum(x == y for x, y in zip(a, b, strict=False)), "behind the first"),
        (lambda a, b: sum(x in a for x in b), "stands anywhere in the other list"),
        (lambda a, b: len(set(a) & set(b)), "different ids, not places"),
        (lambda a, b: len(a), "the length of what was read before"),
        (lambda a, b: len(b) - equal_so_far(a, b), "you counted what is new"),
        (lambda a, b: equal_so_far(a, b) + 1, "one too many"),
        (lambda a, b: -1, "you counted -1"),
    ],
)
def test_a_wrong_shared_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_shared(answer)


# Marks that fall apart

MARK = re.compile(r"<\|?\w+\|?>|\[/?INST\]")


def broken(string, encode):
    """A right answer of another kind."""
    found = []
    for mark in MARK.findall(string):
        if len(encode(mark)) != 1 and mark not in found:
            found.append(mark)
    return found


def test_the_folded_broken_marks_and_another_are_accepted(capsys):
    checks.check_broken_marks(folded("broken_marks"))
    checks.check_broken_marks(broken)
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda s, e: None, "return a list of marks; you returned None"),
        (lambda s, e: list(dict.fromkeys(MARK.findall(s))), "you returned every mark"),
        (
            lambda s, e: [m for m in dict.fromkeys(MARK.findall(s)) if len(e(m)) == 1],
            "those that are more are broken",
        ),
        (lambda s, e: [m for m in MARK.findall(s) if len(e(m)) > 1], "stands twice in your list"),
        (lambda s, e: broken(s, e)[::-1], "the order in which the marks first appear"),
        (lambda s, e: ["<x>"], "the broken marks are"),
    ],
)
def test_a_wrong_broken_marks_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_broken_marks(answer)


# The likeliest answer


def least(prompt, choices, bits):
    """A right answer of another kind."""
    return sorted(choices, key=lambda choice: sum(bits(prompt, choice)))[0]


def test_the_folded_likeliest_and_another_are_accepted(capsys):
    checks.check_likeliest(folded("likeliest"))
    checks.check_likeliest(least)
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda p, c, b: least("", c, b), "behind the prompt that you were given"),
        (lambda p, c, b: str(b(p, c[0])), "return one of the choices"),
        (lambda p, c, b: max(c, key=lambda x: b(p, x).sum()), "the most bits"),
        (lambda p, c, b: min(c, key=lambda x: b(p, x).mean()), "the mean over tokens"),
        (lambda p, c, b: min(c, key=lambda x: b(p, x)[0]), "the first token only"),
    ],
)
def test_a_wrong_likeliest_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_likeliest(answer)


# A conversation that fits


def keeps(messages, length, budget):
    """A right answer of another kind: try fewer and fewer exchanges."""
    system = [m for m in messages if m["role"] == "system"]
    rest = messages[len(system) :]
    for start in range(0, len(rest), 2):
        if length(system + rest[start:]) <= budget:
            return system + rest[start:]
    raise ValueError("too long")


def loses_system(messages, length, budget):
    return keeps([m for m in messages if m["role"] != "system"], length, budget)


def one_by_one(messages, length, budget):
    system = [m for m in messages if m["role"] == "system"]
    rest = messages[len(system) :]
    while length(system + rest) > budget and len(rest) > 1:
        rest = rest[1:]
    if length(system + rest) > budget:
        raise ValueError("too long")
    return system + rest


def drops_the_newest(messages, length, budget):
    kept = list(messages)
    while length(kept) > budget and len(kept) > 1:
        kept = kept[:-2]
    return kept


def forgets_the_system_when_counting(messages, length, budget):
    system = [m for m in messages if m["role"] == "system"]
    return system + keeps(messages[len(system) :], length, budget)


def never_refuses(messages, length, budget):
    try:
        return keeps(messages, length, budget)
    except ValueError:
        return messages[-1:]


def in_place(messages, length, budget):
    start = 1 if messages[0]["role"] == "system" else 0
    while length(messages) > budget:
        if len(messages) <= start + 2:
            raise ValueError("too long")
        del messages[start : start + 2]
    return messages


def from_the_middle(messages, length, budget):
    kept = keeps(messages, length, budget)
    start = 1 if messages[0]["role"] == "system" else 0
    if len(messages) - len(kept) == 2 and len(kept) > start + 1:
        other = [*messages[: start + 2], *messages[start + 4 :]]
        return other if length(other) <= budget else kept
    return kept


def test_the_folded_keep_recent_and_another_are_accepted(capsys):
    checks.check_keep_recent(folded("keep_recent"))
    checks.check_keep_recent(keeps)
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda m, n, b: None, "return a list of messages; you returned None"),
        (loses_system, "you dropped the system message"),
        (one_by_one, "an answer without its question"),
        (drops_the_newest, "you lost the last question"),
        (lambda m, n, b: m, "you kept"),
        (forgets_the_system_when_counting, "count again after each drop, with the system message"),
        (never_refuses, "raise ValueError instead of cutting it"),
        (in_place, "you changed the caller's list"),
        (from_the_middle, "the oldest go first"),
        (lambda m, n, b: keeps(m, lambda x: n(x) + 1, b + (n(m[-1:]) == n(m))), "stop dropping"),
        (lambda m, n, b: [m[0], m[-1]] if m[0]["role"] == "system" else m[-1:], "stop dropping"),
    ],
)
def test_a_wrong_keep_recent_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_keep_recent(answer)


# The sign test


def split(before, after):
    won = sum(b and not a for a, b in zip(before, after, strict=True))
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    return won, lost


def tail(n, k):
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


def by_both_ends(before, after):
    """A right answer of another kind: add up all splits at least as uneven."""
    won, lost = split(before, after)
    n, fewest = won + lost, min(won, lost)
    return won, lost, sum(math.comb(n, k) for k in range(n + 1) if min(k, n - k) <= fewest) / 2**n


def test_the_lessons_sign_test_and_another_are_accepted(capsys):
    checks.check_sign_test(of_the_lesson("sign_test"))
    checks.check_sign_test(by_both_ends)
    assert capsys.readouterr().out.count("\n") == 2


def with_p(p):
    def answer(before, after):
        won, lost = split(before, after)
        return won, lost, p(won, lost, len(before))

    return answer


@pytest.mark.parametrize(
    ("answer", "misconception"),
    [
        (lambda a, b: 0.5, "return (won, lost, p); you returned 0.5"),
        (lambda a, b: (*split(b, a), by_both_ends(a, b)[2]), "the other way round"),
        (
            lambda a, b: (sum(b), len(b) - sum(b), by_both_ends(a, b)[2]),
            "you counted all items",
        ),
        (lambda a, b: (1, 2, 0.5), "you counted (1, 2)"),
        (with_p(lambda w, x, n: tail(w + x, min(w, x))), "one direction only"),
        (with_p(lambda w, x, n: 2 * tail(w + x, min(w, x))), "above 1"),
        (
            with_p(lambda w, x, n: min(1.0, 2 * math.comb(w + x, w) / 2 ** (w + x))),
            "exactly this split",
        ),
        (with_p(lambda w, x, n: min(1.0, 2 * tail(n, min(w, x)))), "n is won + lost"),
        (with_p(lambda w, x, n: 0.05), "p is"),
    ],
)
def test_a_wrong_sign_test_is_told_what_is_wrong(answer, misconception):
    with pytest.raises(AssertionError, match=re.escape(misconception)):
        checks.check_sign_test(answer)

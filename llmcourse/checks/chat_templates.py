"""Checks for what a learner writes in lesson 5, chat templates.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import copy
import itertools
import re
from collections.abc import Callable, Sequence

import torch

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first
from llmcourse.checks.sign_test import one_side, shares, two_sided


@once_written
def check_chatml(answer: Callable[[list[dict], bool], str]) -> None:
    """Compare a ChatML writer, `answer(messages, add_generation_prompt)`, with the format.

    Raises AssertionError with the misconception that it found.
    """
    for roles, contents in _TALKS:
        messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]
        for generation in (False, True):
            given = answer(copy.deepcopy(messages), generation)
            assert isinstance(given, str), f"return one string; you returned {given!r}"
            wanted = _chatml(messages, generation)
            if given == wanted:
                continue
            for misconception, wrong in _WRONG_CHATML.items():
                assert given != wrong(messages, generation), misconception
            raise AssertionError(f"for {messages} the string is {wanted!r}; you gave {given!r}")
    print("check_chatml: your string is the template's, with and without a generation prompt.")


# Roles and contents of whole conversations. The last one has spaces that belong to the user.
_TALKS = (
    (("user",), ("Hello",)),
    (("system", "user", "assistant", "user"), ("Be brief.", "Hi", "Yes?", "Bye")),
    (("user", "tool"), ("Is it cold?", "-3")),
    (("user",), ("  def f():\n      pass\n",)),
)


def _chatml(messages: list[dict], generation: bool) -> str:
    text = ""
    for message in messages:
        text += "<|im_start|>" + message["role"] + "\n" + message["content"] + "<|im_end|>" + "\n"
    return text + "<|im_start|>assistant\n" if generation else text


def _stripped(messages: list[dict]) -> list[dict]:
    return [{**m, "content": m["content"].strip()} for m in messages]


_DEFAULT = {"role": "system", "content": "You are a helpful assistant."}
_WRONG_CHATML = {
    "you wrote the generation prompt always; only add_generation_prompt=True asks for it": (
        lambda m, g: _chatml(m, True)
    ),
    "you never wrote the generation prompt; with add_generation_prompt=True the string ends in "
    "the opening of the assistant's turn": lambda m, g: _chatml(m, False),
    "you closed the generation prompt; the answer goes into that turn, so it stays open": (
        lambda m, g: _chatml(m, g) + ("<|im_end|>\n" if g else "")
    ),
    "your generation prompt lacks its last newline; the model would have to write it": (
        lambda m, g: _chatml(m, g)[:-1] if g else _chatml(m, g)
    ),
    "you left out the newline after <|im_end|>; it is in the format, so the model expects it": (
        lambda m, g: _chatml(m, g).replace("<|im_end|>\n", "<|im_end|>")
    ),
    "you wrote no newline between the role and the content": (
        lambda m, g: (
            "".join(f"<|im_start|>{x['role']}{x['content']}<|im_end|>\n" for x in m)
            + ("<|im_start|>assistant\n" if g else "")
        )
    ),
    "you dropped the system message; ChatML has a turn for it like for any other": (
        lambda m, g: _chatml([x for x in m if x["role"] != "system"], g)
    ),
    "you added a system message that is in no message; this template has no default": (
        lambda m, g: _chatml(m if m[0]["role"] == "system" else [_DEFAULT, *m], g)
    ),
    "you stripped the content; ChatML keeps a message's spaces and newlines as they are": (
        lambda m, g: _chatml(_stripped(m), g)
    ),
    "you wrote the last message only; the string holds the whole conversation": (
        lambda m, g: _chatml(m[-1:], g)
    ),
}


@once_written
def check_prefilled(answer: Callable[[list[dict], str], str]) -> None:
    """Compare `answer(messages, words)` with ChatML whose last turn is the assistant's, and open.

    Raises AssertionError with the misconception that it found.
    """
    for (roles, contents), words in itertools.product(_TALKS, ("The answer is", "Yes,\n")):
        messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]
        handed = copy.deepcopy(messages)
        given = answer(handed, words)
        assert isinstance(given, str), f"return one string; you returned {given!r}"
        assert handed == messages, "you changed the caller's list; it may be needed again"
        wanted = _chatml(messages, True) + words
        if given == wanted:
            continue
        for misconception, wrong in _WRONG_PREFILLS.items():
            assert given != wrong(messages, words), misconception
        raise AssertionError(f"for {messages} and {words!r} it is {wanted!r}; you gave {given!r}")
    print("check_prefilled: the answer's first words are yours, and its turn is still open.")


def _begun(messages: list[dict], words: str) -> str:
    return _chatml([*messages, {"role": "assistant", "content": words}], False)


_WRONG_PREFILLS = {
    "you closed the turn; the model finds an answer that is finished, and has nothing to add": (
        lambda m, w: _begun(m, w)
    ),
    "you took the newline away and left <|im_end|>; the turn is closed by that mark": (
        lambda m, w: _begun(m, w)[:-1]
    ),
    "you closed the turn and opened another; the words are to be the beginning of this one": (
        lambda m, w: _chatml([*m, {"role": "assistant", "content": w}], True)
    ),
    "you left out the opening of the assistant's turn; your words read as if nobody said them": (
        lambda m, w: _chatml(m, False) + w
    ),
    "you forgot the words; the string ends in what the answer begins with": (
        lambda m, w: _chatml(m, True)
    ),
    "you put something between the opening and the words; a space in front is a token too": (
        lambda m, w: _chatml(m, True) + " " + w
    ),
    "you put a space behind the words; the model's next token brings its own": (
        lambda m, w: _chatml(m, True) + w + " "
    ),
    "you put a newline behind the words; the model goes on right behind them": (
        lambda m, w: _chatml(m, True) + w + "\n"
    ),
    "you stripped the words; they stay as they are given": (
        lambda m, w: _chatml(m, True) + w.strip()
    ),
    "you wrote the words into the user's turn; they are the assistant's": (
        lambda m, w: _chatml([*m[:-1], {**m[-1], "content": m[-1]["content"] + w}], True)
    ),
}


@once_written
def check_shared(answer: Callable[[list[int], list[int]], int]) -> None:
    """Compare `answer(before, now)` with counting equal ids from the first on, until two differ.

    Raises AssertionError with the misconception that it found.
    """
    for before, now in _PROMPTS:
        given = answer(list(before), list(now))
        wanted = max(n for n in range(len(before) + 1) if before[:n] == now[:n])
        if given == wanted:
            continue
        assert isinstance(given, int) and not isinstance(given, bool), (
            f"return how many, a whole number; you returned {given!r}"
        )
        for misconception, wrong in _WRONG_SHARED.items():
            assert given != wrong(before, now), misconception
        raise AssertionError(f"{before} and {now} share {wanted} ids; you counted {given}")
    print("check_shared: you count from the first id on, and stop where the two differ.")


# Ids that were read, and those of the next prompt.
_PROMPTS = (
    ([5, 6, 7], [5, 6, 7, 8, 9]),
    ([5, 6, 7, 8, 9, 1, 3, 0], [5, 9, 7, 8, 6, 6, 2, 2]),
    ([], [1, 2]),
    ([1, 2, 3], [4, 2, 3]),
    ([3, 3, 1, 4], [3, 3]),
    ([2, 4, 4, 6], [2, 4, 5, 6, 2, 4]),
)


def _same_places(before: list[int], now: list[int]) -> int:
    return sum(a == b for a, b in zip(before, now, strict=False))


_WRONG_SHARED = {
    "you counted equal ids behind the first difference too; what stands there was read behind "
    "another text, so its keys and values are others": _same_places,
    "you looked whether an id stands anywhere in the other list; its place matters": (
        lambda before, now: sum(one in before for one in now)
    ),
    "you counted different ids, not places; a token that stands twice is read twice": (
        lambda before, now: len(set(before) & set(now))
    ),
    "you took the length of what was read before; only where the two agree is it worth keeping": (
        lambda before, now: len(before)
    ),
    "you counted what is new; the question is what was read already": (
        lambda before, now: (
            len(now) - max(n for n in range(len(before) + 1) if before[:n] == now[:n])
        )
    ),
    "you counted one too many: the id where they differ is not shared": (
        lambda before, now: 1 + max(n for n in range(len(before) + 1) if before[:n] == now[:n])
    ),
}


@once_written
def check_broken_marks(answer: Callable[[str, Callable[[str], list[int]]], list[str]]) -> None:
    """Compare `answer(string, encode)` with encoding each mark of the string by itself.

    Raises AssertionError with the misconception that it found.
    """
    for string, known in _MARKED:
        given = answer(string, lambda text, known=known: _encoded(text, known))
        marks = list(dict.fromkeys(_MARK.findall(string)))
        wanted = [mark for mark in marks if mark not in known]
        if given == wanted:
            continue
        assert isinstance(given, list), f"return a list of marks; you returned {given!r}"
        assert given != [mark for mark in marks if mark in known] or not given, (
            "you returned the marks that are one token; those that are more are broken"
        )
        assert given != marks, "you returned every mark; those that are one token are whole"
        assert sorted(set(given)) != sorted(wanted) or len(set(given)) == len(given), (
            "a mark stands twice in your list; name each once"
        )
        assert sorted(given) != sorted(wanted), "keep the order in which the marks first appear"
        raise AssertionError(f"in {string!r} the broken marks are {wanted}; you gave {given}")
    print("check_broken_marks: you name each mark once that is more than one token.")


_MARK = re.compile(r"<\|?\w+\|?>|\[/?INST\]")  # as the exercise gives it
# Strings, and the marks that are one token there.
_MARKED = (
    ("<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", ("<start_of_turn>",)),
    ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", ("<|im_start|>", "<|im_end|>")),
    ("<s>[INST] Hi [/INST]Yes</s> [INST] Bye [/INST]", ("<s>",)),
    ("no marks", ()),
)


def _encoded(text: str, known: Sequence[str]) -> list[int]:
    """The ids of a text: one for a known mark, one for each other character."""
    pieces = re.split("|".join(map(re.escape, known)) or "(?!)", text)
    marks = re.findall("|".join(map(re.escape, known)) or "(?!)", text)
    ids = [ord(letter) for letter in pieces[0]]
    for mark, piece in zip(marks, pieces[1:], strict=True):
        ids += [10**6 + known.index(mark), *(ord(letter) for letter in piece)]
    return ids


@once_written
def check_likeliest(answer: Callable) -> None:
    """Compare `answer(prompt, choices, bits)` with adding up the bits of each choice.

    Raises AssertionError with the misconception that it found.
    """
    for costs in _COSTS:
        asked = []

        def bits(prompt: str, choice: str, costs=costs, asked=asked) -> torch.Tensor:
            asked.append(prompt)
            return torch.tensor(costs[choice])

        given = answer("the prompt", list(costs), bits)
        totals = {choice: sum(each) for choice, each in costs.items()}
        wanted = min(totals, key=totals.get)
        assert set(asked) == {"the prompt"}, (
            "measure behind the prompt that you were given: bits(prompt, choice)"
        )
        assert given in costs, f"return one of the choices; you returned {given!r}"
        if given == wanted:
            continue
        mean = min(costs, key=lambda choice: sum(costs[choice]) / len(costs[choice]))
        first = min(costs, key=lambda choice: costs[choice][0])
        assert given != max(totals, key=totals.get), (
            "you took the choice with the most bits; many bits are a great surprise"
        )
        assert given != mean, (
            "you took the mean over tokens; the probability of the whole answer is the sum of bits"
        )
        assert given != first, "you looked at the first token only; add up all of them"
        raise AssertionError(f"with {costs} it is {wanted!r}; you chose {given!r}")
    print("check_likeliest: you take the choice whose bits add up to the least.")


# Bits of each token of each choice.
_COSTS = (
    {"a": [3.0, 1.0], "b": [0.5, 5.0], "c": [9.0]},
    {"x": [2.5, 0.1, 0.1, 0.1], "y": [2.0], "z": [6.0]},
    {"yes": [2.0], "no": [1.5, 0.4], "perhaps": [8.0]},
)


@once_written
def check_keep_recent(answer: Callable[[list[dict], Callable, int], list[dict]]) -> None:
    """Compare `answer(messages, length, budget)` with trying every number of exchanges to drop.

    Raises AssertionError with the misconception that it found.
    """
    cases = list(itertools.product((True, False), (0, 1, 3), _LENGTHS))
    for system, exchanges, length in cases:
        messages = _conversation(system, exchanges)
        for budget in range(length(_newest(messages, 0)), length(messages) + 3):
            given = copy.deepcopy(messages)
            try:
                kept = answer(given, length, budget)
            except ValueError as error:
                raise AssertionError(
                    f"you refused a budget of {budget} tokens, into which the last question fits; "
                    "stop dropping as soon as the messages fit (equal to the budget fits)"
                ) from error
            assert given == messages, "you changed the caller's list; return a new one"
            _compare_kept(kept, messages, length, budget)
    for system, exchanges, length in cases:
        messages = _conversation(system, exchanges)
        try:
            kept = answer(messages, length, length(_newest(messages, 0)) - 1)
        except ValueError:
            continue
        raise AssertionError(
            "the last question alone is over the budget, and you returned "
            f"{len(kept) if kept else kept} messages; raise ValueError instead of cutting it"
        )
    print("check_keep_recent: whole exchanges go, the oldest first, and no more than needed.")


def _letters(messages: list[dict]) -> int:
    return sum(len(message["content"]) for message in messages)


def _letters_and_marks(messages: list[dict]) -> int:
    return 3 + sum(4 + len(message["content"]) for message in messages)


_LENGTHS = (_letters, _letters_and_marks)


def _conversation(system: bool, exchanges: int) -> list[dict]:
    """Messages of different lengths, a question last."""
    first = [{"role": "system", "content": "Be brief."}] if system else []
    turns = [
        {"role": role, "content": f"{role} {number} " + "x" * (3 * number % 7)}
        for number in range(exchanges)
        for role in ("user", "assistant")
    ]
    return [*first, *turns, {"role": "user", "content": "and the last one?"}]


def _newest(messages: list[dict], exchanges: int) -> list[dict]:
    """The system message, the newest `exchanges`, and the last question."""
    system = [m for m in messages if m["role"] == "system"]
    rest = [m for m in messages if m["role"] != "system"]
    return [*system, *rest[len(rest) - 1 - 2 * exchanges :]]


def _compare_kept(kept, messages: list[dict], length: Callable, budget: int) -> None:
    assert isinstance(kept, list), f"return a list of messages; you returned {kept!r}"
    fitting = [
        _newest(messages, n)
        for n in range(len(messages) // 2 + 1)
        if 2 * n < len(messages) and length(_newest(messages, n)) <= budget
    ]
    wanted = max(fitting, key=len)
    if kept == wanted:
        return
    system = messages[0]["role"] == "system"
    assert kept and kept[-1] == messages[-1], (
        "you lost the last question; it is the one that wants an answer, so drop from the front"
    )
    assert not system or messages[0] in kept, (
        "you dropped the system message; it is the oldest, and it stays"
    )
    assert length(kept) <= budget, (
        f"you kept {length(kept)} tokens with a budget of {budget}; count again after each drop, "
        "with the system message"
    )
    first = kept[1 if system else 0]
    assert first["role"] == "user", (
        "you kept an answer without its question; drop a user's message and its answer together"
    )
    places = [messages.index(message) for message in kept[1 if system else 0 :]]
    assert places == list(range(places[0], places[0] + len(places))), (
        "you dropped messages from the middle; the oldest go first"
    )
    raise AssertionError(
        f"{len(wanted)} messages fit into {budget} tokens and you kept {len(kept)}; stop dropping "
        "as soon as they fit (a length equal to the budget fits)"
    )


@once_written
def check_sign_test(answer: Callable[[Sequence[bool], Sequence[bool]], tuple]) -> None:
    """Compare `answer(before, after)` with adding up all splits of a fair coin's tosses.

    Raises AssertionError with the misconception that it found.
    """
    for both, neither, won, lost in _COUNTS:
        before = [True] * both + [False] * neither + [False] * won + [True] * lost
        after = [True] * both + [False] * neither + [True] * won + [False] * lost
        given = answer(before, after)
        assert isinstance(given, tuple) and len(given) == 3, (
            f"return (won, lost, p); you returned {given!r}"
        )
        counts, p = tuple(given[:2]), given[2]
        miscounted = (
            ("you counted the other way round: an item is won if it was wrong before and is right "
             "after", (lost, won)),
            ("you counted all items; those that are right, or wrong, both times say nothing",
             (won + both, lost + neither)),
        )  # fmt: skip
        name_the_first(miscounted, counts, (won, lost))
        assert counts == (won, lost), f"{won} were won and {lost} lost; you counted {counts}"
        wanted = two_sided(won, lost)
        for misconception, wrong in _WRONG_P.items():
            other = wrong(won, lost, both + neither)
            assert _near(p, wanted) or not _near(p, other), misconception
        assert _near(p, wanted), f"for {won} won and {lost} lost p is {wanted:.4f}; you gave {p}"
    print("check_sign_test: you count what changed, both ways, and p is at most 1.")


# (right both times, wrong both times, won, lost)
_COUNTS = ((3, 2, 6, 1), (4, 4, 2, 7), (5, 0, 0, 5), (0, 3, 8, 0), (2, 2, 3, 3), (6, 1, 0, 0))


def _near(one: float, other: float) -> bool:
    return abs(one - other) < 1e-9


def _over_all_items(won: int, lost: int, ties: int) -> float:
    """Return p as if the items that did not change were coins that fell to the won side."""
    return min(1.0, 2 * one_side(max(won, lost) + ties, min(won, lost)))


_WRONG_P = {
    "you looked at one direction only; a split as uneven the other way counts too, so double it": (
        lambda won, lost, ties: one_side(won, lost)
    ),
    "your p is above 1: an even split counts its middle twice when it is doubled; cap p at 1": (
        lambda won, lost, ties: 2 * one_side(won, lost)
    ),
    "you took the probability of exactly this split; splits that are more uneven count too": (
        lambda won, lost, ties: min(1.0, 2 * shares(won + lost)[won])
    ),
    "you tossed a coin for the items that did not change too; n is won + lost": _over_all_items,
}

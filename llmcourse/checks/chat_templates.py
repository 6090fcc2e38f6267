"""Checks for the exercises of lesson 5, chat templates.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import copy
import itertools
from collections.abc import Callable, Sequence


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


def check_sign_test(answer: Callable[[Sequence[bool], Sequence[bool]], tuple]) -> None:
    """Compare `answer(before, after)` with counting all coins that could have fallen.

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
        assert counts == (won, lost) or counts != (lost, won), (
            "you counted the other way round: an item is won if it was wrong before and is right "
            "after"
        )
        assert counts == (won, lost) or counts != (won + both, lost + neither), (
            "you counted all items; those that are right, or wrong, both times say nothing"
        )
        assert counts == (won, lost), f"{won} were won and {lost} lost; you counted {counts}"
        wanted = _all_coins(won + lost, min(won, lost))
        for misconception, wrong in _WRONG_P.items():
            other = wrong(won, lost, both + neither)
            assert _near(p, wanted) or not _near(p, other), misconception
        assert _near(p, wanted), f"for {won} won and {lost} lost p is {wanted:.4f}; you gave {p}"
    print("check_sign_test: you count what changed, both ways, and p is at most 1.")


# (right both times, wrong both times, won, lost): few changes, so that all coins can be listed.
_COUNTS = ((3, 2, 6, 1), (4, 4, 2, 7), (5, 0, 0, 5), (0, 3, 8, 0), (2, 2, 3, 3), (6, 1, 0, 0))


def _near(one: float, other: float) -> bool:
    return abs(one - other) < 1e-9


def _all_coins(coins: int, fewest: int) -> float:
    """How many of all ways for the coins to fall are at least as uneven as the one seen."""
    falls = list(itertools.product((0, 1), repeat=coins))
    uneven = [fall for fall in falls if min(sum(fall), coins - sum(fall)) <= fewest]
    return len(uneven) / len(falls)


def _one_side(won: int, lost: int) -> float:
    falls = list(itertools.product((0, 1), repeat=won + lost))
    return sum(sum(fall) <= min(won, lost) for fall in falls) / len(falls)


def _exactly(won: int, lost: int) -> float:
    falls = list(itertools.product((0, 1), repeat=won + lost))
    return min(1.0, 2 * sum(sum(fall) == min(won, lost) for fall in falls) / len(falls))


def _over_all_items(won: int, lost: int, ties: int) -> float:
    """The tail as if the items that did not change were coins that fell to the won side."""
    coins = won + lost + ties
    return min(1.0, 2 * _below(coins, min(won, lost)))


def _below(coins: int, most: int) -> float:
    row = [1]
    for _ in range(coins):
        row = [a + b for a, b in zip([0, *row], [*row, 0], strict=True)]
    return sum(row[: most + 1]) / 2**coins


_WRONG_P = {
    "you looked at one direction only; a split as uneven the other way counts too, so double it": (
        lambda won, lost, ties: _one_side(won, lost)
    ),
    "your p is above 1: an even split counts its middle twice when it is doubled; cap p at 1": (
        lambda won, lost, ties: 2 * _one_side(won, lost)
    ),
    "you took the probability of exactly this split; splits that are more uneven count too": (
        lambda won, lost, ties: _exactly(won, lost)
    ),
    "you tossed a coin for the items that did not change too; n is won + lost": _over_all_items,
}

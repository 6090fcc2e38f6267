"""Checks for lesson 7, structured output and tools.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import copy
import json
import re
from collections.abc import Callable, Collection, Sequence

import torch

from llmcourse.checks import once_written

_PIECES = ("<eos>", "", "{", '{"', '"', "a", '": ', "1", "12", "}", "1}", "x", '"a": ', " ")
_EOS, _NO_TEXT = 0, 1  # in each of the two vocabularies
_WHOLE = re.compile(r'\{"a": [0-9]{1,3}\}')
_BEGINNING = re.compile(r'(?:\{(?:"(?:a(?:"(?::(?: (?:[0-9]{1,3}\}?)?)?)?)?)?)?)?')


@once_written
def check_allowed_tokens(answer: Callable) -> None:
    """Compare `answer(text, texts, begins, whole, eos)` with trying each token.

    text: what was written so far. texts: the text of each token. begins and whole say of a text
    whether it can become an answer, and whether it is one. The answer returns the ids that may come
    next. Raises AssertionError with the misconception that it found.
    """
    for text in ("", "{", '{"', '{"a', '{"a": ', '{"a": 1', '{"a": 123', '{"a": 12}'):
        given = answer(text, list(_PIECES), _begins, _is_whole, _EOS)
        try:
            given = sorted(given)
        except TypeError:
            raise AssertionError(f"return the ids that may come next; you gave {given!r}") from None
        _compare_allowed(text, given)
    print(
        "check_allowed_tokens: what can still become an answer may come, and EOS after a whole one."
    )


def _begins(text: str) -> bool:
    return _BEGINNING.fullmatch(text) is not None


def _is_whole(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None


def _compare_allowed(text: str, given: list[int]) -> None:
    fits = [token for token, piece in enumerate(_PIECES) if piece and _begins(text + piece)]
    wanted = sorted(fits + [_EOS] * _is_whole(text))
    if given == wanted:
        return
    _compare_ends(text, given, wanted, what="answer")
    alone = [token for token, piece in enumerate(_PIECES) if piece and _begins(piece)]
    assert not text or given not in (alone, sorted([*alone, _EOS])), (
        "you looked at the token alone: what counts is the text with the token behind it"
    )
    whole = [token for token, piece in enumerate(_PIECES) if piece and _is_whole(text + piece)]
    assert given != sorted(whole), (
        "you let through only what makes the answer whole at once; its beginning is enough"
    )
    names = [[_PIECES[token] for token in ids] for ids in (wanted, given)]
    raise AssertionError(f"after {text!r} may come {names[0]}; you allow {names[1]}")


def _compare_ends(text: str, given: Collection[int], wanted: Collection[int], what: str) -> None:
    """Compare the ids that may come after `text` where it would end, or never would."""
    assert _NO_TEXT not in given, (
        "a token without text changes nothing: allow it, and the model may take it for ever"
    )
    assert _EOS in given or _EOS not in wanted, (
        f"{text!r} is a whole {what} and EOS is forbidden: the model cannot end there"
    )
    assert _EOS not in given or _EOS in wanted, f"{text!r} is no {what} yet, and EOS is allowed"


_CHOICE_VOCABULARY = (
    "<eos>",
    "",
    "re",
    "red",
    "d",
    "dish",
    "b",
    "lue",
    "blue",
    "green",
    "x",
    "reddish",
)
_CHOICES = ("red", "blue", "reddish")


@once_written
def check_choice_rule(answer: Callable) -> None:
    """Compare `answer(texts, choices, eos, prompt_length)` with trying every token.

    texts: the text of each token. The answer returns a rule: a function of ids (batch, length)
    int64 and scores (batch, vocab) float32 that sets to -inf what leads away from every choice.
    Raises AssertionError with the misconception that it found.
    """
    everything = [[], [2], [3], [2, 4], [6], [8], [3, 5], [11]]
    for rows in ([new] for new in everything):
        _compare_rule(answer, [9], rows)
    _compare_rule(answer, [2], [[6]])  # a prompt that looks like the start of a choice
    _compare_rule(answer, [], [[2, 4], [6, 7]])
    _compare_rule(answer, [9, 9], [[8, _EOS], [2, 4]])  # a row that has ended gets padding
    print(
        "check_choice_rule: only what can still become a choice stays, and EOS where one is whole."
    )


def _compare_rule(answer: Callable, prompt: list[int], rows: list[list[int]]) -> None:
    ids = torch.tensor([prompt + new for new in rows], dtype=torch.long)
    scores = torch.arange(1.0, len(_CHOICE_VOCABULARY) + 1).repeat(len(rows), 1)
    before = scores.clone()
    made = answer(list(_CHOICE_VOCABULARY), list(_CHOICES), _EOS, len(prompt))(ids, scores)
    assert torch.equal(scores, before), "you changed the scores in place: return new ones"
    for number, new in enumerate(rows):
        kept = {token for token, score in enumerate(made[number].tolist()) if score > -torch.inf}
        _compare_row(new, kept, others=[row for row in rows if row != new], prompt=prompt)
        for token in kept:
            assert made[number, token] == before[number, token], (
                "a token that stays keeps its score: only forbid, or you change the distribution"
            )


def _compare_row(new: list[int], kept: set[int], others: list, prompt: list[int]) -> None:
    if _EOS in new:
        assert kept, "a row that has ended lost every token: sampling from it fails; leave it EOS"
        return
    wanted, text = _allowed(new), "".join(_CHOICE_VOCABULARY[token] for token in new)
    if kept == wanted:
        return
    assert not (prompt and kept == _allowed([*prompt, *new])), (
        "you read the prompt too: the new text starts at prompt_length"
    )
    assert not any(kept == _allowed(other) for other in others), (
        "a row got what another row may do: each row has a text of its own"
    )
    _compare_ends(text, kept, wanted, what="choice")
    assert not (text in _CHOICES and kept == {_EOS}), (
        f"{text!r} is a choice, and the start of a longer one: what leads there must stay"
    )
    names = [{_CHOICE_VOCABULARY[token] for token in ids} for ids in (wanted, kept)]
    raise AssertionError(f"after {text!r} may come {names[0]}; you allow {names[1]}")


def _allowed(new: list[int]) -> set[int]:
    text = "".join(_CHOICE_VOCABULARY[token] for token in new)
    may = {
        token
        for token, piece in enumerate(_CHOICE_VOCABULARY)
        if piece and token != _EOS and any(one.startswith(text + piece) for one in _CHOICES)
    }
    return may | ({_EOS} if text in _CHOICES else set())


def _tool(name: str, required: Sequence[str], **properties: dict) -> dict:
    parameters = {"type": "object", "properties": properties}
    if required:  # as get_json_schema does
        parameters["required"] = list(required)
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


_TOOLS = (
    _tool(
        "weather",
        ["city"],
        city={"type": "string"},
        day={"type": "string", "enum": ["today", "tomorrow"]},
    ),
    _tool("add", ["a", "b"], a={"type": "integer"}, b={"type": "integer"}),
    _tool("heat", ["degrees"], degrees={"type": "number"}, now={"type": "boolean"}),
    _tool("stop", []),
)
_SOUND = (
    ("weather", {"city": "Oslo"}),
    ("weather", {"city": "Oslo", "day": "tomorrow"}),
    ("add", {"a": 17, "b": -25}),
    ("heat", {"degrees": 20.5, "now": True}),
    ("heat", {"degrees": 20}),
    ("stop", {}),
)
# A call, the word that the sentence must hold, and what was overlooked if there is no sentence.
_UNSOUND = (
    ("wether", {"city": "Oslo"}, "wether", "there is no such tool, so nothing could be run"),
    ("weather", {}, "city", "a required argument is missing"),
    ("weather", {"day": "today"}, "city", "a required argument is missing"),
    ("weather", {"city": "Oslo", "unit": "C"}, "unit", "the function has no such argument"),
    ("weather", {"city": 7}, "city", "a number is no string"),
    ("weather", {"city": "Oslo", "day": "Friday"}, "day", "only what `enum` lists is possible"),
    ("add", {"a": "17", "b": 25}, "a", "a string is no integer, though it looks like one"),
    ("add", {"a": 17, "b": 2.5}, "b", "2.5 is no integer"),
    ("add", {"a": True, "b": 25}, "a", "in Python True is an int, in JSON it is none"),
    ("heat", {"degrees": "hot"}, "degrees", "a string is no number"),
    ("heat", {"degrees": 20, "now": 1}, "now", "1 is no boolean"),
    ("add", [17, 25], "arguments", "the arguments are a list, and have no names"),
)


@once_written
def check_problem(answer: Callable[[dict, list[dict]], str | None]) -> None:
    """Compare `answer(call, tools)`, what is wrong with a tool call, with a list of known cases.

    call: {"name": ..., "arguments": ...}, as a model wrote it. tools: JSON schemas, as
    `get_json_schema` makes them. The answer is None for a sound call, and otherwise a sentence that
    names what is wrong. Raises AssertionError with the misconception that it found.
    """
    for name, arguments in _SOUND:
        given = _problem(answer, name, arguments)
        missing = name == "weather" and "day" not in arguments
        assert not (given and missing), (
            f"you refused a call that leaves out `day`, which is not in `required`: {given}"
        )
        assert given is None, f"{name}({arguments}) is sound, return None; you said {given!r}"
    for name, arguments, word, overlooked in _UNSOUND:
        given = _problem(answer, name, arguments)
        assert given, f"you let {name}({arguments}) through: {overlooked}"
        assert isinstance(given, str) and word in given, (
            f"the sentence goes back to the model, so that it can do better; for {name}"
            f"({arguments}) it must name {word!r}, and yours is {given!r}"
        )
    for call in (
        [1],
        "add",
        {"name": "add"},
        {"arguments": {}},
        {"name": ["add"], "arguments": {}},
    ):
        assert _told(answer, copy.deepcopy(call)), (
            f"you let {call} through: JSON may be something else than a name and arguments"
        )
    print("check_problem: sound calls pass, and each of the others is told what is wrong with it.")


def _problem(answer: Callable, name: str, arguments) -> str | None:
    return _told(answer, {"name": name, "arguments": copy.deepcopy(arguments)})


def _told(answer: Callable, call) -> str | None:
    try:
        return answer(call, copy.deepcopy(list(_TOOLS)))
    except Exception as error:
        hint = ""
        if isinstance(error, KeyError) and error.args == ("required",):
            hint = "; a tool that needs no argument has no `required`"
        raise AssertionError(
            f"{call} made your function fail ({type(error).__name__}: {error}): a model can write "
            f"anything, so return a sentence{hint}"
        ) from error


@once_written
def check_results(answer: Callable[[list[dict], dict], list[dict]]) -> None:
    """Compare `answer(calls, functions)`, the messages with what came of some calls.

    calls: [{"name": ..., "arguments": {...}}, ...]. functions: by name. Raises AssertionError with
    the misconception that it found.
    """
    done = []

    def double(number):
        done.append(number)
        return {"twice": 2 * number}

    def city(name):
        done.append(name)
        return f"{name}: rain"

    def broken():
        done.append("broken")
        raise OSError("no network")

    functions = {"double": double, "city": city, "broken": broken}
    calls = [
        {"name": "city", "arguments": {"name": "Oslo"}},
        {"name": "double", "arguments": {"number": 21}},
        {"name": "broken", "arguments": {}},
        {"name": "missing", "arguments": {}},
        {"name": "double", "arguments": {"number": 4}},
    ]
    try:
        given = answer(copy.deepcopy(calls), functions)
    except Exception as error:
        raise AssertionError(
            f"your function failed ({type(error).__name__}: {error}): what goes wrong in a tool is "
            "a result too, and the model should read it"
        ) from error
    assert done == ["Oslo", 21, "broken", 4], f"each call runs once, in order; you ran {done}"
    assert answer([], functions) == [], "no calls, no messages"
    _compare_results(given, calls)
    print("check_results: one message for each call, in order, whatever the tools do.")


def _compare_results(given: list[dict], calls: list[dict]) -> None:
    assert len(given) == len(calls), (
        f"{len(calls)} calls want {len(calls)} messages, also where a tool failed; you gave "
        f"{len(given)}"
    )
    for message, call in zip(given, calls, strict=True):
        assert message.get("role") == "tool", f"the role is 'tool': {message}"
        assert message.get("name") == call["name"], f"the message names its tool: {message}"
        content = message.get("content")
        assert isinstance(content, str), (
            f"a template adds strings together, so the content is text: {message}; json.dumps"
        )
    contents = [message["content"] for message in given]
    assert "Oslo: rain" in contents[0], f"the result of city is its content: {given[0]}"
    assert json.dumps({"twice": 42}) in contents[1], (
        f"write a result that is no text as JSON, as the model reads it everywhere: {contents[1]!r}"
    )
    assert "no network" in contents[2], f"say what went wrong: {contents[2]!r}"
    assert "missing" in contents[3], f"say which tool there is not: {contents[3]!r}"


# (text, whether the prompt ends in an open block): thinking and answer.
_THOUGHTS = (
    ("<think>\n17 + 25 is 42.\n</think>\n\n42.", False, ("17 + 25 is 42.", "42.")),
    ("It is 42.", False, ("", "It is 42.")),
    ("17 + 25 is 42.\n</think>\n\n42.", True, ("17 + 25 is 42.", "42.")),
    ("<think>\n17 + 25 is", False, ("17 + 25 is", "")),
    ("17 + 25 is", True, ("17 + 25 is", "")),
    ("<think>\n\n</think>\n\n42.", False, ("", "42.")),
    ("A block opens with <think> and ends with </think>.", False, None),
    (
        "<think>a</think>The mark </think> ends a <think>.",
        False,
        ("a", "The mark </think> ends a <think>."),
    ),
    ("hint: 42</think>x", True, ("hint: 42", "x")),
)


@once_written
def check_split_thinking(answer: Callable[[str, bool], tuple[str, str]]) -> None:
    """Compare `answer(text, opened)`, which parts thinking and answer, with a list of cases.

    opened: whether the prompt ends in a block that is open already. Raises AssertionError with the
    misconception that it found.
    """
    for text, opened, wanted in _THOUGHTS:
        wanted = wanted or ("", text)
        try:
            given = answer(text, opened)
        except Exception as error:
            raise AssertionError(
                f"{text!r} made your function fail ({type(error).__name__}: {error}): a mark may "
                "be missing, or be there twice; `partition` takes both"
            ) from error
        assert isinstance(given, tuple) and [type(one) for one in given] == [str, str], (
            f"return (thinking, answer), two texts; you returned {given!r}"
        )
        if given == wanted:
            continue
        assert not (opened and given == ("", text)), (
            "the block was opened in the prompt, so the text begins inside of it: see `opened`"
        )
        assert "</think>" in text or wanted[1] or not given[1], (
            f"the block is not closed, the limit came first: {text!r} is all thinking, and showing "
            "it as an answer is the common mistake"
        )
        assert not text.startswith("A block"), (
            "only a block at the beginning is thinking; this answer talks about the marks"
        )
        stripped = tuple(part.strip() for part in given)
        assert stripped != wanted, f"strip the line breaks around both parts: {given!r}"
        raise AssertionError(f"for {text!r}, opened={opened}: {wanted!r}; you gave {given!r}")
    print(
        "check_split_thinking: thinking and answer are parted, also where the block never closed."
    )


# (the ids of the mark that ends a block, how many of them its text needs, the budget) and, for
# each, what was written since the block was opened, with the id that has to come next. As in the
# lesson, the text of a mark is whole before its last id.
_BUDGETS = (
    (
        ([7, 8, 9], 2, 4),
        (
            ([], None),
            ([1, 2, 3], None),
            ([1, 2, 3, 4], 7),
            ([1, 2, 3, 4, 7], 8),
            ([1, 2, 3, 4, 7, 8], 9),
            ([1, 2, 3, 4, 7, 8, 9], None),
            ([1, 2, 3, 4, 7, 8, 9, 5, 6, 1], None),
            ([1, 7, 8, 9], None),
            ([1, 7, 8, 9, 5], None),
            ([7, 8, 9, 5, 6, 1], None),
            ([1, 7, 2, 3], 7),
            ([1, 9, 2, 3], 7),
            ([1, 9, 2, 3, 7], 8),
        ),
    ),
    (
        ([5, 3, 5, 2], 3, 2),
        (([1], None), ([1, 1], 5), ([1, 1, 5], 3), ([1, 1, 5, 3], 5), ([1, 1, 5, 3, 5], 2)),
    ),
)


@once_written
def check_close_thinking(answer: Callable[..., int | None]) -> None:
    """Compare `answer(new, closing, budget, closed)` with what a budget of thinking asks for.

    new: the ids since the block was opened; closing: those of the mark that ends it; budget: how
    many ids the thinking may have; closed: tells whether a list of ids holds the mark. The answer
    is the id that has to come next, or None where the model is free. Raises AssertionError with the
    misconception that it found.
    """
    for (closing, enough, budget), cases in _BUDGETS:

        def closed(ids, mark=closing[:enough]):
            return any(ids[at : at + len(mark)] == mark for at in range(len(ids)))

        for new, wanted in cases:
            case = f"for new={new}, closing={closing}, budget={budget}"
            try:
                given = answer(list(new), list(closing), budget, closed)
            except Exception as error:
                raise AssertionError(
                    f"{case} your function failed ({type(error).__name__}: {error}); behind the "
                    "mark's last id there is none to force"
                ) from error
            assert given == wanted, (
                f"{case}: {_overlooked(new, wanted, given, closing, budget, closed)}"
            )
    print("check_close_thinking: open until the budget is used up, then closed, and only once.")


def _overlooked(new, wanted, given, closing, budget, closed) -> str:
    at = len(new) - budget
    if wanted is None and closed(new[:budget]):
        return (
            "the block was closed within its budget; what comes now is the answer, and nothing is "
            f"forced. You gave {given!r}"
        )
    if at < 0:
        return f"the budget is not used up yet; you gave {given!r}"
    if wanted is None:
        return f"the mark is whole, so the model is free again; you gave {given!r}"
    if given is None and at == 0:
        return (
            f"{budget} ids are the budget, and the block is open: now {wanted} has to come. (A "
            "piece of the mark within the thinking closes nothing; `closed` tells.)"
        )
    if given is None:
        return (
            f"{wanted} has to come: all ids of the mark, one after the other, and not only the "
            "first. Its text is whole before its last id, so ask `closed` about the first "
            f"{budget} ids only"
        )
    if closing[:at] and given == closing[at - 1]:
        return (
            f"{given} stands there already; the next id of the mark is {wanted}, or it would "
            "never be whole"
        )
    return f"{wanted} has to come next; you gave {given!r}"


@once_written
def check_in_order(answer: Callable[[list[dict], dict], list[dict]]) -> None:
    """Compare `answer(calls, arrived)`, the messages with results that arrived in any order.

    calls: [{"id": ..., "function": {"name": ..., "arguments": ...}}, ...], as they stand in the
    assistant's message. arrived: from an id to a text, in the order of arrival. Raises
    AssertionError with the misconception that it found.
    """
    called = (
        ("b7", "weather", {"city": "Oslo"}),
        ("c3", "add", {}),
        ("a1", "weather", {"city": "Rome"}),
    )
    calls = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}}
        for one, name, arguments in called
    ]
    arrived = {"a1": "Rome: sun", "zz": "nobody's", "b7": "Oslo: rain"}
    try:
        given, none = answer(copy.deepcopy(calls), dict(arrived)), answer([], dict(arrived))
    except Exception as error:
        raise AssertionError(
            f"your function failed ({type(error).__name__}: {error}): a result may not have come, "
            "here that of c3; `arrived.get` answers for it"
        ) from error
    assert isinstance(given, list) and all(isinstance(one, dict) for one in given), (
        f"return a list of messages; you returned {given!r}"
    )
    ids = [one.get("tool_call_id") for one in given]
    assert "zz" not in ids, "nobody called zz: a result that belongs to no call is left out"
    assert len(given) == 3, (
        "each call needs a message, also one whose result has not come: a template pairs calls and "
        f"results by their order, so a gap would give the next result to the wrong call. {given}"
    )
    assert ids == ["b7", "c3", "a1"], (
        f"in the order of the calls, each with its call's id as tool_call_id; yours: {ids}"
    )
    for one, (_, name, _) in zip(given, called, strict=True):
        assert one.get("role") == "tool" and one.get("name") == name, (
            f"the role is 'tool' and the name that of the function, {name}: {one}"
        )
        assert isinstance(one.get("content"), str), f"the content is text: {one}"
    assert [given[0]["content"], given[2]["content"]] == ["Oslo: rain", "Rome: sun"], (
        "each call gets its own result: two calls of one function are told apart by their ids, not "
        f"by its name; you gave {[one['content'] for one in given]}"
    )
    late = given[1]["content"]
    assert late not in arrived.values(), f"c3 got a result that is not its own: {late!r}"
    assert late.strip() not in ("", "None"), "say in words that no result came; this says nothing"
    assert none == [], f"no calls, no messages; you gave {none!r}"
    print("check_in_order: each call has the result that bears its id, in the order of the calls.")

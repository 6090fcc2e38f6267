"""The checks of lesson 7 take right answers and name what is wrong with the others."""

import json

import pytest
import torch

from llmcourse.checks.structured_output import (
    check_allowed_tokens,
    check_choice_rule,
    check_problem,
    check_results,
    check_split_thinking,
)

GONE = float("-inf")

# The tokens that may come next


def allowed_tokens(text, texts, begins, whole, eos):
    fits = {token for token, piece in enumerate(texts) if piece and begins(text + piece)}
    return fits | {eos} if whole(text) else fits


def test_the_tokens_that_lead_on_are_right(capsys):
    check_allowed_tokens(allowed_tokens)
    check_allowed_tokens(lambda *call: sorted(allowed_tokens(*call)))
    assert "EOS after a whole one" in capsys.readouterr().out


def with_empty_tokens(text, texts, begins, whole, eos):
    return {token for token, piece in enumerate(texts) if begins(text + piece)}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (with_empty_tokens, "a token without text"),
        (lambda text, texts, begins, whole, eos: {*range(2, len(texts))}, "may come|no answer yet"),
        (lambda *call: allowed_tokens("", *call[1:]), "the token alone"),
        (lambda *call: allowed_tokens(*call) - {call[4]}, "cannot end there"),
        (lambda *call: allowed_tokens(*call) | {call[4]}, "is no answer yet"),
        (
            lambda text, texts, begins, whole, eos: allowed_tokens(text, texts, whole, whole, eos),
            "makes the answer whole at once",
        ),
        (lambda *call: None, "return the ids"),
    ],
)
def test_wrong_tokens_are_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_allowed_tokens(answer)


# A rule that lets only choices through


def rule_maker(
    start=None, first_row=False, empty=False, end=True, early=False, longer=True, padded=True
):
    """Return an answer that is right as it is, and wrong in one way for each setting."""

    def answer(texts, choices, eos, prompt_length):
        def rule(ids, scores):
            made = torch.full_like(scores, GONE)
            for row in range(len(ids)):
                new = ids[0 if first_row else row, prompt_length if start is None else start :]
                text = "".join(texts[token] for token in new.tolist())
                keep = [
                    token
                    for token, piece in enumerate(texts)
                    if (piece or empty) and any(one.startswith(text + piece) for one in choices)
                ]
                if text in choices:
                    keep = (keep if longer else []) + [eos] * end
                if early or (padded and eos in new):
                    keep.append(eos)
                made[row, keep] = scores[row, keep]
            return made

        return rule

    return answer


def by_adding(texts, choices, eos, prompt_length):
    def allowed(text, token):
        if token == eos:
            return text in choices
        return bool(texts[token]) and any(one.startswith(text + texts[token]) for one in choices)

    def rule(ids, scores):
        bans = torch.zeros_like(scores)
        for row, new in enumerate(ids[:, prompt_length:].tolist()):
            if eos in new:
                continue
            text = "".join(texts[token] for token in new)
            for token in range(len(texts)):
                if not allowed(text, token):
                    bans[row, token] = GONE
        return scores + bans

    return rule


@pytest.mark.parametrize("answer", [rule_maker(), by_adding], ids=["by keeping", "by adding"])
def test_a_rule_that_leaves_what_leads_to_a_choice_is_right(answer, capsys):
    check_choice_rule(answer)
    assert "only what can still become a choice" in capsys.readouterr().out


def in_place(*call):
    def rule(ids, scores):
        scores[:] = rule_maker()(*call)(ids, scores)
        return scores

    return rule


def with_equal_scores(*call):
    return lambda ids, scores: rule_maker()(*call)(ids, scores).clamp(max=0.0)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (rule_maker(start=0), "you read the prompt too"),
        (rule_maker(first_row=True), "each row has a text of its own"),
        (rule_maker(empty=True), "a token without text"),
        (rule_maker(end=False), "the model cannot end there"),
        (rule_maker(early=True), "is no choice yet"),
        (rule_maker(longer=False), "the start of a longer one"),
        (rule_maker(padded=False), "a row that has ended lost every token"),
        (in_place, "in place"),
        (with_equal_scores, "keeps its score"),
        (lambda *call: lambda ids, scores: scores, "without text"),
    ],
)
def test_a_wrong_rule_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_choice_rule(answer)


# A tool call

KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


def problem(call, tools, optional=True, unknown=True, types=True, enum=True, bools=True):
    """The right answer, or one that overlooks what is switched off."""
    known = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    if call["name"] not in known:
        return f"there is no tool {call['name']}"
    arguments, parameters = call["arguments"], known[call["name"]]
    if not isinstance(arguments, dict):
        return "arguments must be an object"
    properties = parameters["properties"]
    for name in parameters["required"] if optional else properties:
        if name not in arguments:
            return f"{name} is missing"
    for name, value in arguments.items():
        if name not in properties:
            if unknown:
                return f"there is no argument {name}"
            continue
        one = properties[name]
        wrong = not isinstance(value, KINDS[one["type"]])
        if bools and isinstance(value, bool) and one["type"] != "boolean":
            wrong = True
        if types and wrong:
            return f"{name} must be {one['type']}"
        if enum and "enum" in one and value not in one["enum"]:
            return f"{name} must be one of {one['enum']}"
    return None


def test_what_is_wrong_with_a_call_is_found(capsys):
    check_problem(problem)
    assert "sound calls pass" in capsys.readouterr().out


def failing(call, tools):
    (tool,) = [tool for tool in tools if tool["function"]["name"] == call["name"]]
    return problem(call, [tool])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda call, tools: None, "no such tool"),
        (lambda call, tools: problem(call, tools, optional=False), "leaves out `day`"),
        (lambda call, tools: problem(call, tools, unknown=False), "has no such argument"),
        (lambda call, tools: problem(call, tools, types=False), "a number is no string"),
        (lambda call, tools: problem(call, tools, enum=False), "only what `enum` lists"),
        (lambda call, tools: problem(call, tools, bools=False), "in JSON it is none"),
        (lambda call, tools: problem(call, tools) and "wrong", "goes back to the model"),
        (lambda call, tools: "wrong", "is sound, return None|leaves out"),
        (failing, "made your function fail"),
    ],
)
def test_an_answer_that_overlooks_something_in_a_call_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_problem(answer)


# What came of the calls


def results(calls, functions, safe=True, text=True, known=True):
    messages = []
    for call in calls:
        try:
            value = functions[call["name"]](**call["arguments"])
        except KeyError:
            if not known:
                continue
            value = f"There is no tool {call['name']}."
        except Exception as error:
            if not safe:
                raise
            value = f"Error: {error}"
        content = value if isinstance(value, str) or not text else json.dumps(value)
        messages.append({"role": "tool", "name": call["name"], "content": content})
    return messages


def test_a_message_for_each_call_is_right(capsys):
    check_results(results)
    assert "whatever the tools do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda calls, functions: results(calls, functions, safe=False), "is a result too"),
        (lambda calls, functions: results(calls, functions, known=False), "also where a tool"),
        (lambda calls, functions: results(calls, functions, text=False), "the content is text"),
        (lambda calls, functions: results(calls[::-1], functions), "in order"),
        (lambda calls, functions: results(calls[:1], functions), "runs once"),
        (
            lambda calls, functions: [m | {"role": "user"} for m in results(calls, functions)],
            "the role is 'tool'",
        ),
    ],
)
def test_wrong_results_are_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_results(answer)


# Thinking


def split_thinking(text, opened, unclosed=True, anywhere=False, strip=True):
    if not opened:
        if not (text.startswith("<think>") or (anywhere and "<think>" in text)):
            return "", text
        text = text[text.index("<think>") + len("<think>") :]
    thinking, closed, answer = text.partition("</think>")
    if not closed and not unclosed:
        thinking, answer = "", text
    return (thinking.strip(), answer.strip()) if strip else (thinking, answer)


def test_thinking_and_answer_are_parted(capsys):
    check_split_thinking(split_thinking)
    assert "never closed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda text, opened: split_thinking(text, False), "begins inside of it"),
        (lambda text, opened: split_thinking(text, opened, unclosed=False), "all thinking"),
        (lambda text, opened: split_thinking(text, opened, anywhere=True), "at the beginning"),
        (lambda text, opened: split_thinking(text, opened, strip=False), "strip the line breaks"),
        (lambda text, opened: text, "return .thinking, answer."),
    ],
)
def test_a_wrong_split_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_split_thinking(answer)


def a_stub(*answer):
    raise NotImplementedError("Write this.")


@pytest.mark.parametrize(
    "check",
    [
        check_allowed_tokens,
        check_choice_rule,
        check_problem,
        check_results,
        check_split_thinking,
    ],
)
def test_a_stub_is_passed_over(check, capsys):
    check(a_stub)
    assert "nothing to check yet" in capsys.readouterr().out

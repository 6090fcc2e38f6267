"""The checks of lesson 7 take right answers and name what is wrong with the others."""

import json

import pytest
import torch

from llmcourse.checks.structured_output import (
    check_allowed_tokens,
    check_choice_rule,
    check_close_thinking,
    check_in_order,
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
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return "a call has a name and arguments"
    if call["name"] not in known:
        return f"there is no tool {call['name']}"
    arguments, parameters = call.get("arguments"), known[call["name"]]
    if not isinstance(arguments, dict):
        return "arguments must be an object"
    properties = parameters["properties"]
    for name in parameters.get("required", []) if optional else properties:
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


def test_a_call_that_is_no_object_and_a_tool_without_required_are_tried():
    def trusting(call, tools):
        name, arguments = call["name"], call["arguments"]
        return problem({"name": name, "arguments": arguments}, tools)

    def indexing(call, tools):
        for tool in tools:
            _ = tool["function"]["parameters"]["required"]
        return problem(call, tools)

    with pytest.raises(AssertionError, match="made your function fail"):
        check_problem(trusting)
    with pytest.raises(AssertionError, match="has no `required`"):
        check_problem(indexing)


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


def by_the_last_mark(text, opened):
    if not opened and not text.startswith("<think>"):
        return "", text
    thinking, found, answer = text.removeprefix("<think>").rpartition("</think>")
    return (thinking.strip(), answer.strip()) if found else (answer.strip(), "")


def by_index(text, opened):
    if not opened and not text.startswith("<think>"):
        return "", text
    at = text.index("</think>")
    return text[:at].removeprefix("<think>").strip(), text[at + len("</think>") :].strip()


def by_letters(text, opened):
    return (
        split_thinking("<think>" + text.lstrip("<think>"), False)
        if opened
        else split_thinking(text, opened)
    )


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
        (lambda text, opened: (None, text), "two texts"),
        (by_the_last_mark, "for '<think>a</think>The mark"),
        (by_index, "may be missing"),
        (by_letters, "hint: 42"),
    ],
)
def test_a_wrong_split_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_split_thinking(answer)


# The budget of a thinking block


def close_thinking(new, closing, budget, closed):
    at = len(new) - budget
    return closing[at] if 0 <= at < len(closing) and not closed(new[:budget]) else None


def test_a_block_is_closed_when_its_budget_is_used_up(capsys):
    check_close_thinking(close_thinking)
    assert "only once" in capsys.readouterr().out


def first_only(new, closing, budget, closed):
    return closing[0] if len(new) == budget and not closed(new) else None


def over_and_over(new, closing, budget, closed):
    return closing[0] if len(new) >= budget and not closed(new) else None


def whatever_was_closed(new, closing, budget, closed):
    at = len(new) - budget
    return closing[at] if 0 <= at < len(closing) else None


def after_its_text(new, closing, budget, closed):
    return None if closed(new) else close_thinking(new, closing, budget, closed)


def by_its_first_id(new, closing, budget, closed):
    return None if closing[0] in new[:budget] else whatever_was_closed(new, closing, budget, closed)


def by_its_last_id(new, closing, budget, closed):
    return (
        None if closing[-1] in new[:budget] else whatever_was_closed(new, closing, budget, closed)
    )


def by_heart(new, closing, budget, closed):
    return close_thinking(new, [7, 8, 9], 4, closed)


def past_the_end(new, closing, budget, closed):
    return closing[len(new) - budget] if len(new) >= budget and not closed(new[:budget]) else None


def for_ever(new, closing, budget, closed):
    at = len(new) - budget
    return closing[at % len(closing)] if at >= 0 and not closed(new[:budget]) else None


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (first_only, "all ids of the mark"),
        (over_and_over, "stands there already"),
        (whatever_was_closed, "within its budget"),
        (for_ever, "the model is free again"),
        (after_its_text, "first 4 ids only"),
        (by_its_first_id, "a piece of the mark|A piece of the mark"),
        (by_its_last_id, "A piece of the mark"),
        (by_heart, "5 has to come"),
        (past_the_end, "there is none to force"),
        (lambda new, c, b, closed: close_thinking(new, c, b - 1, closed), "not used up yet"),
        (lambda new, c, b, closed: close_thinking(new, c, b + 1, closed), "now 7 has to come"),
        (lambda new, closing, budget, closed: None, "has to come"),
    ],
)
def test_a_wrong_budget_is_named(answer, named):
    with pytest.raises(AssertionError, match=named):
        check_close_thinking(answer)


# Results that arrive in another order


def in_order(calls, arrived, missing="No result came."):
    return [
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "name": call["function"]["name"],
            "content": arrived.get(call["id"], missing),
        }
        for call in calls
    ]


def as_they_arrived(calls, arrived):
    names = {call["id"]: call["function"]["name"] for call in calls}
    return [
        {"role": "tool", "tool_call_id": one, "name": names[one], "content": text}
        for one, text in arrived.items()
        if one in names
    ]


def by_name(calls, arrived):
    first = {}
    for call in calls:
        first.setdefault(call["function"]["name"], call["id"])
    return [
        one | {"content": arrived.get(first[one["name"]], "No result came.")}
        for one in in_order(calls, arrived)
    ]


def test_results_stand_in_the_order_of_the_calls(capsys):
    check_in_order(in_order)
    assert "in the order of the calls" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (as_they_arrived, "each call needs a message"),
        (by_name, "told apart by their ids"),
        (lambda calls, arrived: in_order(calls, arrived)[:2], "each call needs a message"),
        (lambda calls, arrived: in_order(calls, arrived)[::-1], "in the order of the calls"),
        (lambda calls, arrived: in_order(calls, arrived, missing=""), "this says nothing"),
        (lambda calls, arrived: in_order(calls, arrived, missing=None), "the content is text"),
        (
            lambda calls, arrived: [
                *in_order(calls, arrived),
                {"role": "tool", "tool_call_id": "zz", "name": "", "content": ""},
            ],
            "nobody called zz",
        ),
        (
            lambda calls, arrived: [one | {"role": "user"} for one in in_order(calls, arrived)],
            "the role is 'tool'",
        ),
        (lambda calls, arrived: arrived, "return a list of messages"),
        (lambda calls, arrived: [arrived[call["id"]] for call in calls], "may not have come"),
        (lambda calls, arrived: in_order(calls, arrived, missing="None"), "this says nothing"),
        (lambda calls, arrived: in_order(calls, arrived, missing="nobody's"), "is not its own"),
        (
            lambda calls, arrived: in_order(calls, arrived) if calls else None,
            "no calls, no messages",
        ),
    ],
)
def test_results_for_the_wrong_call_are_named(answer, named):
    with pytest.raises(AssertionError, match=named):
        check_in_order(answer)


def a_stub(*answer):
    raise NotImplementedError("Write this.")


@pytest.mark.parametrize(
    "check",
    [
        check_allowed_tokens,
        check_choice_rule,
        check_close_thinking,
        check_in_order,
        check_problem,
        check_results,
        check_split_thinking,
    ],
)
def test_a_stub_is_passed_over(check, capsys):
    check(a_stub)
    assert "nothing to check yet" in capsys.readouterr().out

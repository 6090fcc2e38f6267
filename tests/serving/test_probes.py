"""Probes tell a server that keeps to the protocol from one that does not: on fake servers."""

import json
import threading
import time

import httpx
import pytest
import torch

from llmcourse.serving import probes
from llmcourse.serving.client import Address
from llmcourse.serving.probes import Probing, Reply, same_as_generate, table

KNOWN = {
    "model", "messages", "prompt", "max_tokens", "temperature", "seed", "stream", "stream_options",
    "stop", "logprobs", "top_logprobs", "n", "response_format", "tools", "tool_choice",
    "reasoning_effort", "chat_template_kwargs",
}  # fmt: skip


def good(request: httpx.Request) -> httpx.Response:
    """Answer as the protocol says."""
    if request.headers.get("authorization") != "Bearer key":
        return httpx.Response(401)
    if request.url.path == "/v1/models":
        return httpx.Response(200, json={"data": [{"id": "m"}]})
    if request.url.path == "/load_model":
        return httpx.Response(404)
    try:
        asked = json.loads(request.content)
    except ValueError:
        return httpx.Response(400)
    return refused(asked) or (streamed if asked.get("stream") else whole)(asked)


def refused(asked: dict) -> httpx.Response | None:
    tokens = asked.get("max_tokens", 1)
    messages = asked.get("messages", [{"role": "user"}])
    wrong = (
        set(asked) - KNOWN
        or asked["model"] != "m"
        or not isinstance(tokens, int)
        or not 0 < tokens < 1000
        or asked.get("temperature", 0) < 0
        or not messages
        or messages[0]["role"] != "user"
        or ("messages" not in asked and "prompt" not in asked)
        or len(asked.get("prompt", "")) > 100
    )
    return httpx.Response(400, json={"error": {"message": "no"}}) if wrong else None


def whole(asked: dict) -> httpx.Response:
    text = f"one two three {asked.get('seed', '')}"
    text = text.split(asked["stop"][0])[0] if "stop" in asked else text
    if "response_format" in asked:
        text = '{"color": "blue"}'
    message = {"content": text}
    if "tool_choice" in asked:
        message = {"tool_calls": [{"function": {"name": "weather"}}]}
    reason = "stop" if "stop" in asked else "length"
    choice = {"message": message, "logprobs": {"content": []}, "finish_reason": reason}
    many = len(asked["prompt"]) if isinstance(asked.get("prompt"), list) else asked.get("n", 1)
    usage = {"completion_tokens": asked["max_tokens"]}
    return httpx.Response(200, json={"choices": [choice] * many, "usage": usage})


def streamed(asked: dict) -> httpx.Response:
    return httpx.Response(200, text='data: {"usage": {"completion_tokens": 8}}\n\ndata: [DONE]\n\n')


def bad(request: httpx.Request) -> httpx.Response:
    """Answer whatever is asked alike."""
    return httpx.Response(200, json={"choices": [{"message": {"content": "\x1b[1m<b>"}}]})


def probing(answer, **more) -> Probing:
    made = Probing(Address("http://127.0.0.1:1", "m", api_key="key"), **more)
    made.client = httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))
    return made


def test_a_server_that_keeps_to_the_protocol_meets_every_probe():
    rows = probing(good, context=100).run()
    assert [row.name for row in rows if not row.met] == []
    assert len({row.name for row in rows}) == len(rows) > 25


def test_one_that_answers_all_alike_meets_the_plain_ones_alone():
    met = {row.name for row in probing(bad, context=100).run() if row.met}
    assert met == {
        "a plain request",
        "tools",
        "reasoning_effort",
        "thinking off",
        "the same seed twice",
        "a plain request, after all that",
    }


def test_what_came_is_shown_without_control_characters_and_escaped():
    rows = probing(bad).run()
    shown = table("a server", rows)
    assert "\x1b" not in repr(shown) and "<b>" not in shown._repr_html_()
    assert len(shown.marked) == sum(not row.met for row in rows)
    assert json.loads(json.dumps(probes.as_fields(rows)))[0]["name"] == "a plain request"


def test_no_answer_is_a_row_too():
    def dies(request):
        raise httpx.ReadError("reset")

    row = probing(dies).one(probes.PROBES[0])
    assert not row.met and row.came.startswith("none: ReadError")


@pytest.mark.parametrize("stops", [True, False])
def test_a_server_that_works_on_after_its_client_left_is_seen_by_its_processor(stops):
    times = {}

    def answer(request):
        if json.loads(request.content)["stream"]:  # how long the whole answer takes
            time.sleep(0.4)
            return httpx.Response(200, text="data: [DONE]")
        times["began"] = time.perf_counter()
        time.sleep(0.05)
        if stops:
            times["ended"] = time.perf_counter()
        raise httpx.ReadTimeout("left")

    def used():  # it works from the request on, and one that stops until the client has left
        ended = times.get("ended", time.perf_counter())
        return ended - times.get("began", ended)

    made = probing(answer, used=used, watch=0.05, settle=0)
    assert made.client_leaves(streams=False).met == stops


def test_a_short_answer_is_watched_for_less_time_than_it_takes():
    answering = threading.Event()  # a server that goes on to its end, whoever has left

    def works(seconds):
        answering.set()
        time.sleep(seconds)
        answering.clear()

    def answer(request):
        if json.loads(request.content)["stream"]:
            works(0.8)
            return httpx.Response(200, text="data: [DONE]")
        threading.Thread(target=works, args=(0.8,)).start()
        time.sleep(request.extensions["timeout"]["read"])
        raise httpx.ReadTimeout("left")

    spent, last = 0.0, time.perf_counter()

    def used():
        nonlocal spent, last
        now = time.perf_counter()
        spent += (now - last) if answering.is_set() else 0
        last = now
        return spent

    made = probing(answer, used=used, watch=3.0, settle=1.0)
    assert not made.client_leaves(streams=False).met


def test_greedy_answers_are_compared_with_those_of_generate():
    from tests.support.chat_templates import CHATML
    from tests.support.toy_models import quick_llama
    from tests.support.toy_tokenizers import numbered

    model, tokenizer = quick_llama(), numbered("w")
    tokenizer.chat_template = CHATML

    def generated(request):
        asked = json.loads(request.content)
        ids = tokenizer.apply_chat_template(
            asked["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            made = model.generate(**ids, do_sample=False, max_new_tokens=asked["max_tokens"])
        text = tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})

    for answer, met in ((generated, True), (bad, False)):
        client = httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))
        row = same_as_generate(
            Address("http://127.0.0.1:1", "m"), model, tokenizer, ["w7 w8"], 3, client=client
        )
        assert row.met is met and row.came == f"{int(met)} of 1 equal"


def test_a_body_that_is_no_json_object_has_no_choices():
    assert Reply(200, "[1]").choices == [] and Reply(200, "{").content == ""

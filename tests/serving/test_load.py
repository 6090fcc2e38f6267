"""A load test sends what it should when it should, and counts what came: on servers of this test.

Times come from a clock that the test moves, so that figures are exact.
"""

import asyncio
import itertools
import json
import math

import httpx
import pytest

from llmcourse import __main__ as command_line
from llmcourse.serving import load_report, load_test
from llmcourse.serving.client import Address, Sent, check_address
from llmcourse.serving.load_report import Load, LoadReport, percentile
from llmcourse.serving.load_test import Limits, Run, arrivals, load

URL = "http://127.0.0.1:8000"


def event(text=None, finish=None, **more) -> str:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], **more})}\n\n"


WHOLE = [event("Blue"), event(" sky"), event(finish="stop"), "data: [DONE]\n\n"]
USAGE = [*WHOLE[:2], event(finish="length", usage={"completion_tokens": 5})]


def server(events=WHOLE, status=200, seen=None):
    """A transport that answers each request with these events."""

    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append((request, json.loads(request.content) if request.content else None))
        return httpx.Response(status, text="".join(events))

    return httpx.MockTransport(answer)


def one_load(transport, **more):
    asked = {"model": "m", "clients": [1], "limits": Limits(requests=2), **more}
    return load(URL, transport=transport, **asked)


# What is read


def test_tokens_are_those_of_usage_else_pieces_and_the_report_says_which():
    [counted] = one_load(server(USAGE)).loads
    assert [(one.tokens, one.counted) for one in counted.sent] == [(5, "usage")] * 2
    report = one_load(server(WHOLE))
    assert [(one.tokens, one.counted) for one in report.loads[0].sent] == [(2, "pieces")] * 2
    assert any("pieces of text are counted" in note for note in report.notes)
    assert report.loads[0].sent[0].text == "Blue sky"


def test_an_answer_may_hold_what_other_readers_take_for_the_end_of_a_line():
    text = "one\u2028two\x85three"
    raw = json.dumps({"choices": [{"text": text, "finish_reason": "stop"}]}, ensure_ascii=False)
    [made] = one_load(server([f"data: {raw}\r\n\r\n"])).loads
    assert made.sent[0].text == text and not made.failed


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (WHOLE[:2], "the stream ended before the answer did"),
        ([WHOLE[0], 'data: {"error": "\\u001b[31mout of memory"}\n\n'], "in the stream"),
        (["data: [1]\n\n"], "AttributeError"),
        (["data: {\n\n"], "JSONDecodeError"),
    ],
)
def test_an_answer_that_breaks_off_is_a_failure_and_not_a_figure(events, said):
    broken = Run(Address(URL, "m"), ["p"], 4, Limits(requests=1), transport=server(events))
    [sent] = asyncio.run(broken.closed_loop(1))
    assert said in sent.error and "\x1b" not in sent.error
    made = Load("closed", 1, (sent,))
    assert made.failed == 1 and made.finished == [] and math.isnan(made.first_ms(0.5))


def test_a_completion_sends_a_prompt_and_a_chat_sends_a_message():
    seen = []
    events = ['data: {"choices": [{"text": "x", "finish_reason": "stop"}]}\n\n']
    [made] = one_load(server(events, seen=seen), chat=False).loads
    assert made.sent[0].text == "x"
    one_load(server(seen=seen))
    (first, prompt), (last, chat) = seen[0], seen[-1]
    assert first.url.path == "/v1/completions" and prompt["prompt"] == load_test.PROMPTS[0]
    assert last.url.path == "/v1/chat/completions" and chat["messages"][0]["role"] == "user"
    assert prompt["stream"] and prompt["temperature"] == 0


def test_the_key_is_sent_and_no_proxy_is_asked(monkeypatch):
    seen = []
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    one_load(server(seen=seen), api_key="secret")
    assert all(request.headers["authorization"] == "Bearer secret" for request, _ in seen)


def test_without_a_name_the_server_is_asked_for_its_model():
    seen = []

    def answer(request):
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "theirs"}]})
        seen.append(json.loads(request.content)["model"])
        return httpx.Response(200, text="".join(WHOLE))

    assert one_load(httpx.MockTransport(answer), model="").model == "theirs"
    assert set(seen) == {"theirs"}
    with pytest.raises(OSError, match=r"names no model .* say which: --model"):
        one_load(server(status=500), model="")


def test_a_server_that_refuses_the_first_request_ends_the_test_with_its_words():
    refusing = server(["no such model"], status=404)
    with pytest.raises(OSError, match="404: no such model"):
        one_load(refusing)


# When it is sent


class Clock:
    """Seconds that go on only where somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_arrivals_are_a_poisson_process_with_a_seed():
    times = arrivals(4.0, 4000, seed=1)
    assert times == arrivals(4.0, 4000, seed=1) != arrivals(4.0, 4000, seed=2)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(pauses) / len(pauses)
    deviation = math.sqrt(sum((pause - mean) ** 2 for pause in pauses) / len(pauses))
    assert times[0] == 0 and abs(mean - 0.25) < 0.02
    assert abs(deviation - mean) < 0.02, "of an exponential distribution they are equal"


def test_an_open_loop_sends_when_it_is_due_though_nothing_was_answered():
    clock, waiting = Clock(), []
    never = asyncio.Event

    async def hang(request):
        waiting.append(clock.now)
        await never().wait()

    limits = Limits(requests=5, timeout=0.05)
    run = Run(
        Address(URL, "m"),
        ["p"],
        4,
        limits,
        transport=httpx.MockTransport(hang),
        clock=clock,
        sleep=clock.sleep,
    )
    sent = asyncio.run(run.open_loop(2.0))
    assert len(waiting) == 5 and [one.due for one in sent] == arrivals(2.0, 5)
    assert all("no end within 0.05 s" in one.error for one in sent)


def test_no_request_is_sent_after_the_seconds_are_over():
    clock = Clock()
    limits = Limits(requests=1000, seconds=3)
    run = Run(
        Address(URL, "m"), ["p"], 4, limits, transport=server(), clock=clock, sleep=clock.sleep
    )
    sent = asyncio.run(run.open_loop(10.0))
    assert len(sent) == sum(due <= 3 for due in arrivals(10.0, 1000)) < 100


def test_a_closed_loop_never_has_more_requests_than_clients():
    now, most = 0, 0

    async def answer(request):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return httpx.Response(200, text="".join(WHOLE))

    report = one_load(httpx.MockTransport(answer), clients=[3], limits=Limits(requests=12))
    assert most == 3 and len(report.loads[0].sent) == 12


# What follows


def answered(due, first, ended, tokens=2):
    return Sent(due=due, pieces=(first, ended), ended=ended, tokens=tokens)


def test_percentiles_are_of_nearest_rank():
    assert percentile(range(1, 101), 0.99) == 99 and percentile(range(1, 201), 0.5) == 100
    assert percentile([5, 1, 3], 0.5) == 3 and percentile([1, 2], 0.99) == 2
    assert math.isnan(percentile([], 0.5))
    with pytest.raises(ValueError, match="share=0"):
        percentile([1], 0)


def test_figures_of_known_requests():
    made = Load("open", 1, (answered(0, 1, 2), answered(1, 2, 5), answered(3, 3.5, 4)))
    assert made.seconds == 5 and made.requests_per_second == 3 / 5
    assert made.tokens_per_second == 6 / 5
    assert (made.first_ms(0.5), made.first_ms(0.99)) == (1000, 1000)
    assert (made.between_ms(0.5), made.whole_ms(0.99)) == (1000, 4000)


def test_littles_law_holds_where_the_server_keeps_up_and_not_where_the_queue_grows():
    steady = Load("open", 1, tuple(answered(at, at + 0.5, at + 2) for at in range(1001)))
    assert steady.in_flight == pytest.approx(2, rel=0.01)
    assert steady.little == pytest.approx(2, rel=0.01)
    late = Load("open", 1, tuple(answered(at, 3 * at + 1, 3 * at + 3) for at in range(1001)))
    assert late.little > 1.2 * late.in_flight


def test_one_request_has_no_rate():
    alone = Load("open", 1, (answered(0, 1, 2),))
    assert math.isnan(alone.in_flight) and math.isnan(alone.little)


def test_of_clients_that_wait_as_many_are_in_flight_as_there_are():
    at_once = Load("closed", 2, tuple(answered(0, 1, 4) for _ in range(2)))
    assert at_once.in_flight == 2 and math.isnan(at_once.little)


# What is kept and shown


def report_of(*loads):
    return LoadReport("fake", "m", {"processor": "p", "cores": 2}, 8, "2026-01-01", loads)


def test_json_comes_back_with_its_figures_and_without_the_texts(tmp_path):
    failed = Sent(due=1, pieces=(), ended=3, tokens=0, error="500: <b>no")
    made = report_of(Load("open", 0.5, (answered(0, 1, 2), failed)), Load("closed", 4, (failed,)))
    path = tmp_path / "load.json"
    path.write_text(made.to_json())
    assert load_report.read(path) == made
    given = json.loads(path.read_text())
    assert given["schema"] == 1 and given["loads"][0]["first_ms"] == {"p50": 1000, "p99": 1000}
    assert given["loads"][1]["first_ms"]["p50"] is None and "text" not in path.read_text()
    path.write_text(json.dumps(given | {"schema": 9}))
    with pytest.raises(ValueError, match="schema 9"):
        load_report.read(path)


def test_table_and_notes_say_what_failed_and_escape_it():
    failed = Sent(due=0, pieces=(), ended=3, tokens=0, error="500: \x1b[31m")
    made = report_of(Load("open", 0.5, (answered(0, 1, 2), failed)))
    assert "1 of 2" in repr(made) and "0.5 a second: 1 request failed" in repr(made)
    assert "\x1b" not in repr(made)
    hostile = LoadReport("<script>", "m", {}, 8, "2026-01-01", made.loads)
    assert "<script>" not in hostile._repr_html_()


def test_a_picture_of_both_kinds(tmp_path):
    both = report_of(Load("open", 1, (answered(0, 1, 2),)), Load("closed", 4, (answered(0, 1, 2),)))
    for reports in ([both], [both, both], [report_of(*both.loads[:1])]):
        load_report.save_picture(reports, tmp_path / "load.png")
        assert (tmp_path / "load.png").stat().st_size > 5000


# What is refused


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1/v1", "http://[::1]:1/"])
def test_this_machine_is_allowed(url):
    assert not check_address(url).endswith(("/", "v1"))


@pytest.mark.parametrize("url", ["http://example.org", "http://10.0.0.1:80", "http://localhost.x"])
def test_another_machine_must_be_asked_for(url):
    with pytest.raises(ValueError, match="is not this machine"):
        check_address(url)
    assert check_address(url, anywhere=True) == url


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"clients": []}, "Name rates"),
        ({"rates": [0]}, "more than 0"),
        ({"rates": [math.nan]}, "more than 0"),
        ({"clients": [0]}, "at least 1"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompts": []}, "a prompt"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        one_load(server(), **asked)


def test_limits_are_bounded():
    for wrong in ({"requests": 0}, {"requests": 10**6}, {"seconds": 0}, {"timeout": -1}):
        with pytest.raises(ValueError):
            Limits(**wrong)


def test_ctrl_c_keeps_the_loads_that_were_done(monkeypatch):
    real, done = load_test.in_own_loop, []

    def interrupted(work):
        if len(done) == 2:  # the warm-up, and one load
            work.close()
            raise KeyboardInterrupt
        done.append(real(work))
        return done[-1]

    monkeypatch.setattr(load_test, "in_own_loop", interrupted)
    report = one_load(server(), clients=[1, 2, 4])
    assert len(report.loads) == 1 and not report.complete
    assert "Interrupted" in repr(report)


def test_it_works_where_an_event_loop_runs_as_in_a_notebook():
    async def cell():
        return one_load(server())

    assert len(asyncio.run(cell()).loads) == 1


# The command


def test_the_command_prints_a_table_and_writes_what_it_was_asked_to(tmp_path, capsys, monkeypatch):
    given = {}

    def fake(url, **asked):
        given.update(asked, url=url)
        return report_of(Load("closed", 4, (answered(0, 1, 2),)))

    monkeypatch.setattr(load_test, "load", fake)
    monkeypatch.setenv("THE_KEY", "secret")
    json_file, picture = tmp_path / "a.json", tmp_path / "a.png"
    words = ["load", URL, "--rates", "0.5,2", "--api-key-from", "THE_KEY"]
    words += ["--json", str(json_file), "--picture", str(picture)]
    assert command_line.main(words) == 0
    assert given["rates"] == [0.5, 2] and given["clients"] == () and given["api_key"] == "secret"
    assert "4 clients" in capsys.readouterr().out
    assert load_report.read(json_file) and picture.exists()
    assert command_line.main(["load", URL]) == 0 and given["clients"] == (1, 4, 16)


def test_the_command_says_what_is_wrong(capsys):
    assert command_line.main(["load", "http://example.org", "--clients", "1"]) == 1
    assert command_line.main(["load", URL, "--api-key-from", "NOT_THERE"]) == 1
    said = capsys.readouterr().err
    assert "is not this machine" in said and "NOT_THERE" in said

"""The checks of lesson 11 take right answers and name what is wrong with the others."""

import hashlib
import itertools
import json

import pytest

from llmcourse.checks.serving import (
    check_admitted,
    check_deltas,
    check_patient,
    check_replica_for,
    check_waits,
)

# The text of a stream


def deltas(lines, *, comments=True, done=True, missing=True, errors=True, whole=True, ends=True):
    """The right answer, or one that leaves out what is switched off."""
    finished = False
    for line in lines:
        if comments and not line.startswith("data:"):
            continue
        data = line.removeprefix("data:")
        if done and data.strip() == "[DONE]":
            continue
        chunk = json.loads(data)
        if errors and "error" in chunk:
            raise RuntimeError(chunk["error"])
        for choice in chunk["choices"]:
            delta, end = choice["delta"], choice.get("finish_reason")
            piece = delta.get("content") if missing else delta["content"]
            if piece and (ends or end is None):
                yield piece
            finished = finished or end is not None
    if whole and not finished:
        raise RuntimeError("it ended early")


def test_the_text_of_every_servers_stream_is_right(capsys):
    check_deltas(deltas)
    assert capsys.readouterr().out.startswith("check_deltas: every piece")


def stripped(lines):
    yield from (piece.strip() for piece in deltas(lines))


def collected(lines):
    yield from list(deltas(lines))


def with_nones(lines):
    for line in lines:
        if line.startswith("data:") and "[DONE]" not in line[:12]:
            for choice in json.loads(line[5:])["choices"]:
                yield choice["delta"].get("content")


def first_choice_of_each(lines):
    for line in lines:
        if line.startswith("data:") and line != "data: [DONE]":
            yield json.loads(line[5:])["choices"][0]["delta"].get("content") or ""


def until_done_is_said(lines):
    for line in lines:
        if "[DONE]" in line:
            return
        if line.startswith("data:"):
            yield from deltas([line], whole=False)


def waiting_for_done(lines):
    lines = list(lines)
    if "data: [DONE]" not in lines:
        raise RuntimeError("no [DONE]")
    yield from deltas(lines)


def with_another_error(lines):
    try:
        yield from deltas(lines)
    except RuntimeError:
        raise RuntimeError("something went wrong") from None


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (stripped, "a space at the beginning of one belongs to the text"),
        (collected, "yield each as it comes"),
        (with_nones, "nothing where a delta has none"),
        (first_choice_of_each, "may have no choice"),
        (until_done_is_said, "you ended at a text that says"),
        (waiting_for_done, "some servers send no"),
        (with_another_error, "say what the server said"),
        (lambda lines: deltas(lines, comments=False), "only what follows `data:`"),
        (lambda lines: deltas(lines, done=False), "only what follows `data:`"),
        (lambda lines: deltas(lines, missing=False), "read them with get"),
        (lambda lines: deltas(lines, ends=False), "the piece that came with the finish_reason"),
        (lambda lines: deltas(lines, errors=False), "raise a RuntimeError that says"),
        (lambda lines: deltas(lines, whole=False), "half an answer for a whole one"),
    ],
)
def test_a_wrong_reading_of_a_stream_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_deltas(answer)


# A queue


def waits(arrivals, services):
    free, waited = 0, []
    for came, service in zip(arrivals, services, strict=True):
        free = max(free, came) + service
        waited.append(free - came)
    return waited


def test_waiting_from_the_arrival_to_the_answer_is_right(capsys):
    check_waits(waits)
    assert "the queue included" in capsys.readouterr().out


def when_it_ends(arrivals, services):
    return [came + one for came, one in zip(arrivals, waits(arrivals, services), strict=True)]


def in_the_queue_alone(arrivals, services):
    return [one - own for one, own in zip(waits(arrivals, services), services, strict=True)]


def never_idle(arrivals, services):
    ends = itertools.accumulate(services, initial=arrivals[0])
    return [end - came for came, end in zip(arrivals, list(ends)[1:], strict=True)]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda arrivals, services: services, "coordinated omission"),
        (when_it_ends, "take off when its request came"),
        (in_the_queue_alone, "the answer itself takes time"),
        (never_idle, "your server never idles"),
        (lambda arrivals, services: [0] * len(arrivals), "you returned"),
    ],
)
def test_a_wrong_way_to_wait_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_waits(answer)


def admitted(arrivals, services, most, *, more=0, refused_stay=False, for_ever=False):
    """The right answer, or one that is wrong in what is switched on."""
    ends, waited = [], []
    for place, (came, service) in enumerate(zip(arrivals, services, strict=True)):
        there = place if for_ever else sum(end > came for end in ends)
        full = there >= most + more
        if not full or refused_stay:
            ends.append(max([came, *ends[-1:]]) + service)
        waited.append(None if full else ends[-1] - came)
    return waited


def test_a_queue_that_is_full_and_says_no_is_right(capsys):
    check_admitted(admitted)
    assert "delays nobody" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda *crowd: admitted(*crowd, more=99), "you let everybody in"),
        (lambda *crowd: admitted(*crowd, more=1), "one too many"),
        (lambda *crowd: admitted(*crowd, refused_stay=True), "the refused delay the others"),
        (lambda *crowd: admitted(*crowd, for_ever=True), "whoever has an answer is gone"),
        (lambda arrivals, *_: [0] * len(arrivals), "you returned"),
    ],
)
def test_a_queue_that_lets_the_wrong_ones_in_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_admitted(answer)


# Asking again


def patient(
    send, wait, tries, *, again=(429, 503), pause=lambda number: 2 ** (number - 1), gone=True
):
    """The right answer, or one that is wrong in what is given."""
    for number in range(tries):
        if number and pause(number):
            wait(pause(number))
        try:
            status, text = send()
        except ConnectionError:
            if gone:
                continue
            raise
        if status == 200:
            return text
        if status not in again:
            raise ValueError(status)
    raise RuntimeError("no answer")


def test_a_client_that_asks_again_where_it_helps_is_right(capsys):
    check_patient(patient)
    assert "gives up" in capsys.readouterr().out


def in_silence(send, wait, tries):
    try:
        return patient(send, wait, tries)
    except (ValueError, RuntimeError):
        return None


def for_ever(send, wait, tries):
    while True:
        send()


def waiting_at_the_end(send, wait, tries):
    for number in range(tries):
        try:
            return patient(send, wait, 1)
        except RuntimeError:
            wait(2**number)
    raise RuntimeError("no answer")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda *given: patient(*given, again=(400, 401, 429, 503)), "as wrong the next time"),
        (lambda *given: patient(*given, again=()), "you gave up after 1 of 2|is due"),
        (lambda *given: patient(*given, pause=lambda number: 0), "asked again at once"),
        (lambda *given: patient(*given, pause=lambda number: 1), "wait longer each time"),
        (lambda *given: patient(*given, pause=lambda number: number), "1 second, then 2, then 4"),
        (lambda *given: patient(*given, gone=False), "as good as a 503"),
        (lambda send, wait, tries: patient(send, wait, 9), "were allowed"),
        (for_ever, "you ask for ever"),
        (waiting_at_the_end, "after the last time, for nothing"),
        (in_silence, "nobody notices a None"),
    ],
)
def test_a_wrong_way_to_ask_again_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_patient(answer)


# Which replica


def number(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def replica_for(conversation, replicas):
    return max(replicas, key=lambda replica: number(f"{conversation} {replica}"))


def test_a_conversation_that_stays_where_its_cache_is_is_right(capsys):
    check_replica_for(replica_for)
    assert "a new replica takes its share alone" in capsys.readouterr().out


def in_turns():
    turn = itertools.count()
    return lambda conversation, replicas: replicas[next(turn) % len(replicas)]


def by_the_salted_hash(conversation, replicas):
    return max(replicas, key=lambda replica: hash((conversation, replica)))


def on_the_first_four(conversation, replicas):
    return sorted(replicas)[number(conversation) % 4]


def by_their_place_in_the_list(conversation, replicas):
    place = max(range(len(replicas)), key=lambda one: number(f"{conversation} {one}"))
    return replicas[place]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda one, replicas: replicas[number(one) % len(replicas)], "a remainder"),
        (in_turns(), "second turn went to another"),
        (by_the_salted_hash, "differs from process to process"),
        (lambda one, replicas: replicas[0], "each replica should have its share"),
        (lambda one, replicas: "amber", "each replica should have its share"),
        (lambda one, replicas: "elder", "return one of the replicas"),
        (on_the_first_four, "no conversation went there"),
        (by_their_place_in_the_list, "the order of the list decided"),
    ],
)
def test_a_router_that_loses_caches_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_replica_for(answer)


def a_stub(*answer):
    raise NotImplementedError("Write this.")


@pytest.mark.parametrize(
    "check", [check_deltas, check_waits, check_admitted, check_patient, check_replica_for]
)
def test_a_stub_is_passed_over(check, capsys):
    check(a_stub)
    assert "nothing to check yet" in capsys.readouterr().out

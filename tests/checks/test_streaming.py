"""The checks of lesson 6 take right answers and name what is wrong with the others."""

import codecs
import json
import queue
import threading

import pytest

from llmcourse.checks.streaming import (
    check_characters,
    check_events,
    check_finish,
    check_hold_back,
    check_hold_back_any,
    check_relay,
    check_reusable,
)

# Text from the bytes of tokens


def with_a_decoder(chunks):
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def with_what_is_left(chunks):
    held = b""
    for chunk in chunks:
        held += chunk
        text = held.decode(errors="ignore")
        held = held[len(text.encode()) :]
        if text:
            yield text
    if held:
        yield held.decode(errors="replace")


@pytest.mark.parametrize("answer", [with_a_decoder, with_what_is_left])
def test_characters_that_come_whole_and_early_are_right(answer, capsys):
    check_characters(answer)
    assert capsys.readouterr().out.startswith("check_characters: nothing lost")


def each_alone(chunks):
    for chunk in chunks:
        yield chunk.decode(errors="replace")


def each_alone_without_what_is_broken(chunks):
    for chunk in chunks:
        yield chunk.decode(errors="ignore")


def all_again(chunks):
    held = b""
    for chunk in chunks:
        held += chunk
        yield held.decode(errors="ignore")


def all_at_the_end(chunks):
    yield b"".join(chunks).decode(errors="replace")


def without_the_last_bytes(chunks):
    decoder = codecs.getincrementaldecoder("utf-8")()
    for chunk in chunks:
        yield decoder.decode(chunk)


def strict_at_the_end(chunks):
    decoder = codecs.getincrementaldecoder("utf-8")()
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def one_chunk_late(chunks):
    last = ""
    for text in with_a_decoder(chunks):
        yield last
        last = text
    yield last


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (each_alone, "not a whole character yet"),
        (each_alone_without_what_is_broken, "missing or doubled"),
        (all_again, "the whole text again"),
        (all_at_the_end, "too late: after 1 of the chunks"),
        (one_chunk_late, "too late: after 1 of the chunks"),
        (without_the_last_bytes, "you lost it"),
        (strict_at_the_end, "what is left at the end"),
    ],
)
def test_a_wrong_way_to_decode_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_characters(answer)


# A stop string that is held back


def hold_back_any(pieces, stops):
    held = ""
    for piece in pieces:
        held += piece
        ends = [(held.index(stop) + len(stop), -len(stop)) for stop in stops if stop in held]
        if ends:
            end, size = min(ends)
            yield held[: end + size]
            return
        longest = max(map(len, stops))
        keep = next(
            (n for n in range(longest, 0, -1) if any(s.startswith(held[-n:]) for s in stops)), 0
        )
        keep = min(keep, len(held))
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held


def hold_back(pieces, stop):
    yield from hold_back_any(pieces, [stop])


def test_text_that_is_held_back_while_it_may_be_a_stop_string_is_right(capsys):
    check_hold_back(hold_back)
    check_hold_back_any(hold_back_any)
    shown = capsys.readouterr().out
    assert "nothing kept too long" in shown and "none is shown" in shown


def as_it_comes(pieces, stop):
    text = ""
    for piece in pieces:
        text += piece
        if stop in text:
            return
        yield piece


def whole_pieces(pieces, stop):
    for piece in pieces:
        if piece == stop:
            return
        yield piece


def with_the_stop_string(pieces, stop):
    came = []
    yield from hold_back((came.append(piece) or piece for piece in pieces), stop)
    if stop in "".join(came):
        yield stop


def never_at_the_end(pieces, stop):
    kept = ""
    for piece in hold_back(pieces, stop):
        yield kept
        kept = piece
    if not stop.startswith(kept):
        yield kept


def always_a_stops_length(pieces, stop):
    held = ""
    for piece in pieces:
        held += piece
        if stop in held:
            yield held[: held.index(stop)]
            return
        yield held[: max(0, len(held) - len(stop) + 1)]
        held = held[max(0, len(held) - len(stop) + 1) :]
    yield held


def reads_on(pieces, stop):
    text = "".join(pieces)
    yield text[: text.index(stop)] if stop in text else text


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (as_it_comes, "on the screen has been read"),
        (whole_pieces, "on the screen has been read"),
        (with_the_stop_string, "it ends the text and is no part"),
        (never_at_the_end, "too late|for ever"),
        (always_a_stops_length, "too late"),
        (reads_on, "asked for another piece|too late"),
        (lambda pieces, stop: iter(pieces), "on the screen has been read"),
    ],
)
def test_a_wrong_way_to_hold_back_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_hold_back(answer)


def only_the_first_stop(pieces, stops):
    yield from hold_back(pieces, stops[0])


def test_holding_back_for_one_of_several_stop_strings_is_named():
    with pytest.raises(AssertionError, match="a stop string of"):
        check_hold_back_any(only_the_first_stop)


# A cache


def common(held, prompt):
    same = 0
    while same < min(len(held), len(prompt) - 1) and held[same] == prompt[same]:
        same += 1
    return same


def test_what_a_cache_can_keep_is_what_begins_alike(capsys):
    check_reusable(common)
    assert "one token is left to read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda held, prompt: len(held), "you keep the whole cache"),
        (lambda held, prompt: common(held, [*prompt, -1]), "keep one less"),
        (
            lambda held, prompt: sum(a == b for a, b in zip(held, prompt[:-1], strict=False)),
            "after the first difference",
        ),
        (lambda held, prompt: 0, "can stay; you said 0"),
    ],
)
def test_a_wrong_count_of_what_a_cache_can_keep_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_reusable(answer)


# Server-sent events


def events(pieces):
    try:
        for piece in pieces:
            yield f"data: {json.dumps({'text': piece})}\n\n"
    except Exception as error:
        yield f"event: error\ndata: {json.dumps({'error': str(error)})}\n\n"
        return
    yield "data: [DONE]\n\n"


def test_events_that_a_browser_can_read_are_right(capsys):
    check_events(events)
    assert "an error that reaches the reader" in capsys.readouterr().out


def as_bare_text(pieces):
    for piece in pieces:
        yield f"data: {piece}\n\n"
    yield "data: [DONE]\n\n"


def with_one_line_end(pieces):
    for event in events(pieces):
        yield event[:-1]


def all_together(pieces):
    yield from list(events(list(pieces)))


def without_an_end(pieces):
    yield from (event for event in events(pieces) if "DONE" not in event)


def letting_errors_through(pieces):
    for piece in pieces:
        yield f"data: {json.dumps({'text': piece})}\n\n"
    yield "data: [DONE]\n\n"


def an_end_after_an_error(pieces):
    failed = False
    for event in events(pieces):
        failed = failed or "error" in event
        yield event
    if failed:
        yield "data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (as_bare_text, "should hold|breaks the event in two"),
        (with_one_line_end, "an empty line"),
        (all_together, "you collected the pieces"),
        (without_an_end, "one for each and the end"),
        (letting_errors_through, "went through you"),
        (an_end_after_an_error, "half an answer for a whole one"),
    ],
)
def test_wrong_events_are_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_events(answer)


# An answer in several calls


def finish(ask, prompt, eos, rounds):
    written = []
    for _ in range(rounds):
        new = ask([*prompt, *written])
        written += new
        if not new or new[-1] in eos:
            break
    return written


def test_an_answer_that_is_asked_for_until_it_ends_is_right(capsys):
    check_finish(finish)
    assert "not once too often" in capsys.readouterr().out


def asking(going_on, context=lambda prompt, written, new: prompt + written, rounds=lambda n: n):
    """An answer that goes on as long as `going_on(new, written, eos)` is true."""

    def answer(ask, prompt, eos, most):
        written, new = [], []
        for _ in range(rounds(most)):
            new = ask(context(prompt, written, new))
            written = written + new
            if not going_on(new, written, eos):
                break
        return written

    return answer


def until_eos_or_nothing(new, written, eos):
    return bool(new) and new[-1] not in eos


def growing_the_prompt(ask, prompt, eos, rounds):
    start = len(prompt)
    for _ in range(rounds):
        new = ask(prompt)
        prompt += new
        if not new or new[-1] in eos:
            break
    return prompt[start:]


def looking_into_the_prompt(ask, prompt, eos, rounds):
    written = []
    while not eos & {*prompt, *written} and rounds:
        written += ask([*prompt, *written])
        rounds -= 1
    return written


def without_the_eos(ask, prompt, eos, rounds):
    written = finish(ask, prompt, eos, rounds)
    return written[:-1] if written[-1] in eos else written


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (asking(lambda new, written, eos: True), "which had ended"),
        (asking(lambda new, written, eos: bool(new) and new[-1] != min(eos)), "which had ended"),
        (asking(lambda new, written, eos: new[-1:] not in [[2], [7]]), "nothing ever will"),
        (asking(until_eos_or_nothing, rounds=lambda n: 99), "more than 2 times"),
        (asking(until_eos_or_nothing, lambda prompt, *_: list(prompt)), "the model begins anew"),
        (
            asking(until_eos_or_nothing, lambda prompt, written, new: prompt + new),
            "and what was written",
        ),
        (asking(until_eos_or_nothing, rounds=lambda n: 1), "you stopped after 1 call,"),
        (looking_into_the_prompt, "an EOS in the prompt ends nothing"),
        (growing_the_prompt, "you changed the prompt"),
        (without_the_eos, "you dropped the EOS"),
        (lambda ask, prompt, *more: prompt + finish(ask, prompt, *more), "without the prompt"),
        (lambda *given: finish(*given)[::-1], "comes .* you gave"),
    ],
)
def test_a_wrong_way_to_the_end_of_an_answer_is_named(answer, told):
    with pytest.raises(AssertionError, match=told):
        check_finish(answer)


# Out of a thread


def relay(work, tells=True, stops=True, errors=True, streams=True):
    """The right answer, or one that leaves out what is switched off."""
    pieces, left = queue.Queue(), threading.Event()

    def run():
        error = None
        try:
            work(lambda piece: pieces.put(("piece", piece)), left.is_set)
        except Exception as raised:
            error = raised
        if tells or error is None:
            pieces.put(("end", error if errors else None))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not streams:
        thread.join()
    try:
        while (one := pieces.get())[0] == "piece":
            yield one[1]
        if one[1] is not None:
            raise one[1]
    finally:
        if stops:
            left.set()


@pytest.fixture
def little_patience(monkeypatch):
    monkeypatch.setattr("llmcourse.checks.streaming._SECONDS", 0.2)


def test_pieces_out_of_a_thread_are_right(capsys):
    check_relay(relay)
    assert "a reader who may leave" in capsys.readouterr().out


def in_the_same_thread(work):
    pieces = []
    work(pieces.append, lambda: False)
    yield from pieces


def none_is_the_end(work):
    for piece in relay(work):
        if piece is None:
            return
        yield piece


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (in_the_same_thread, "the reader's own thread"),
        (none_is_the_end, "and you yielded"),
        (lambda work: relay(work, streams=False), "you collected the pieces"),
        (lambda work: relay(work, tells=False), "waits for ever"),
        (lambda work: relay(work, errors=False), "a text that ended well"),
        (lambda work: relay(work, stops=False), "the work went on to its end"),
    ],
)
def test_a_wrong_relay_is_named(answer, told, little_patience):
    with pytest.raises(AssertionError, match=told):
        check_relay(answer)


def a_stub(*answer):
    raise NotImplementedError("Write this.")


@pytest.mark.parametrize(
    "check",
    [
        check_characters,
        check_hold_back,
        check_hold_back_any,
        check_reusable,
        check_events,
        check_finish,
        check_relay,
    ],
)
def test_a_stub_is_passed_over(check, capsys):
    check(a_stub)
    assert "nothing to check yet" in capsys.readouterr().out

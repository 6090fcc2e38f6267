"""Checks for lesson 6, streaming and applications.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from llmcourse.checks import once_written

# What arrives token by token: bytes that are cut inside of characters, as a vocabulary cuts them.
_ARRIVALS = (
    [b"red", b", ", b"blue"],
    [b"caf", b"\xc3", b"\xa9", b"!"],
    [b"a ", b"\xf0\x9f", b"\xa5", b"\x8a", b" b"],
    [b"\xe4", b"\xbd\xa0\xe5", b"\xa5\xbd", b" x\xc3", b"\xb6y"],
    [b"cut ", b"\xf0\x9f"],  # the limit came in the middle of a character
)


@once_written
def check_characters(answer: Callable[[Iterable[bytes]], Iterator[str]]) -> None:
    """Compare a generator of text, `answer(chunks)`, with decoding everything that has arrived.

    chunks: the bytes of one token after the other; the answer yields each character as soon as it
    is whole, and at the end what is left, as decoding all at once shows it. Raises AssertionError
    with the misconception that it found.
    """
    for chunks in _ARRIVALS:
        told, seen = [], []
        try:
            for piece in answer(_noting(chunks, told, seen)):
                told.append(piece)
        except UnicodeDecodeError as error:
            raise AssertionError(
                f"decoding failed on {error.object!r}: bytes that are no character yet wait for "
                "the next chunk, and what is left at the end is shown as \ufffd"
            ) from error
        _compare_text(told, chunks)
        for arrived, yielded in seen:
            due = b"".join(chunks[:arrived]).decode(errors="ignore")
            assert yielded == due, (
                f"too late: after {arrived} of the chunks {chunks} the text {due!r} is certain, "
                f"and you had yielded {yielded!r} when you asked for the next one"
            )
    print("check_characters: nothing lost, nothing broken, and each character as soon as possible.")


def _noting(pieces: Sequence, told: list[str], seen: list) -> Iterator:
    """Yield the pieces; note in `seen` how many had come, and what was told, at each request."""
    for number, piece in enumerate(pieces):
        seen.append((number, "".join(told)))
        yield piece
    seen.append((len(pieces), "".join(told)))


def _compare_text(told: Sequence[str], chunks: Sequence[bytes]) -> None:
    text, whole = "".join(told), b"".join(chunks).decode(errors="replace")
    assert text.count("\ufffd") <= whole.count("\ufffd"), (
        f"you decoded bytes that are not a whole character yet: {told}; "
        "keep them for the next chunk"
    )
    grown = all(later.startswith(earlier) for earlier, later in pairwise(told))
    assert len(told) < 2 or not (grown and told[-1] == whole), (
        f"you yielded the whole text again each time: {told}; yield only what is new"
    )
    assert text == whole or text + "\ufffd" != whole, (
        f"the text was cut off in the middle of a character, and you lost it: after {chunks} "
        "comes \ufffd at the end, as decoding all at once shows it"
    )
    assert text == whole, f"characters are missing or doubled: {text!r} should be {whole!r}"


# Pieces as they come, and a stop string.
_STREAMS = (
    (["A list", " of", " colors"], "User:"),
    (["Paris.", "\n", "User", ":", " And"], "User:"),
    (["and", " green", " and"], "gre"),
    (["The", " Us", "ual", " thing"], "User:"),
    (["a", "", "a", "a", "b", "c"], "aab"),
    (["one\n", "two\n", "\n", "three"], "\n\n"),
    (["He is", " a", " User"], "User:"),
    (["now", " stop", " here"], " stop here"),
)


@once_written
def check_hold_back(answer: Callable[[Iterable[str], str], Iterator[str]]) -> None:
    """Compare a generator of text, `answer(pieces, stop)`, with looking at all that has arrived.

    pieces: text as a stream gives it. The answer yields what cannot be a part of the stop string
    any more, and ends where that is whole, without it. Raises AssertionError with the misconception
    that it found.
    """
    for pieces, stop in _STREAMS:
        _compare_stream(lambda pieces, stop=stop: answer(pieces, stop), pieces, [stop])
    print("check_hold_back: nothing shown that had to be taken back, and nothing kept too long.")


@once_written
def check_hold_back_any(answer: Callable[[Iterable[str], Sequence[str]], Iterator[str]]) -> None:
    """Compare `answer(pieces, stops)`, which ends at the first of several stop strings.

    Raises AssertionError with the misconception that it found.
    """
    more = (
        (["Yes.", "\n", "User", ":"], ["User:", "\n\n"]),
        (["a b", "c d", " e"], ["c d e", "bc"]),
        (["x", "y", "z", "!"], ["yz", "xyz"]),
        (["Use", " it"], ["User:", "se"]),
    )
    for pieces, stops in (*((pieces, [stop]) for pieces, stop in _STREAMS), *more):
        _compare_stream(lambda pieces, stops=stops: answer(pieces, stops), pieces, stops)
    print("check_hold_back_any: whichever stop string comes first ends it, and none is shown.")


def _compare_stream(answer: Callable, pieces: list[str], stops: list[str]) -> None:
    told, seen = [], []
    for piece in answer(_noting(pieces, told, seen)):
        told.append(piece)
        _compare_shown("".join(told), "".join(pieces), stops)
    for arrived, yielded in seen:
        came = "".join(pieces[:arrived])
        assert not any(stop in came for stop in stops), (
            f"you asked for another piece when {came!r} held a stop string of {stops} already: "
            "each piece is a forward pass"
        )
        due = _due(came, stops)
        assert yielded == due, (
            f"too late: of {came!r} the beginning {due!r} cannot belong to a stop string of "
            f"{stops}, and you had yielded {yielded!r} when you asked for the next piece"
            if due.startswith(yielded)
            else f"too early: of {came!r} only {due!r} is certain, for the rest may be the "
            f"beginning of a stop string of {stops}; you had yielded {yielded!r}"
        )
    text, wanted = "".join(told), _until(_when_over(pieces, stops), stops)
    assert not (text != wanted and wanted.startswith(text)), (
        f"you kept {wanted[len(text) :]!r} for ever: when the pieces {pieces} are over, what was "
        "held back is text after all"
    )
    assert text == wanted, f"for {pieces} with {stops} the text is {wanted!r}; you gave {text!r}"


def _compare_shown(shown: str, everything: str, stops: list[str]) -> None:
    wanted = _until(everything, stops)
    if wanted.startswith(shown):
        return
    for stop in stops:
        assert shown != wanted + stop, (
            f"you showed the stop string {stop!r}: it ends the text and is no part of it"
        )
    assert not everything.startswith(shown), (
        f"you showed {shown!r}, and the text ends with {wanted!r}: of what follows a part may "
        f"be the beginning of a stop string of {stops}; what is on the screen has been read"
    )
    raise AssertionError(f"you showed {shown!r}, which is not how {everything!r} begins")


def _until(text: str, stops: list[str]) -> str:
    """The text up to the stop string that is whole first; all of it where none comes."""
    for end in range(len(text) + 1):
        for stop in sorted(stops, key=len, reverse=True):
            if text[:end].endswith(stop):
                return text[: end - len(stop)]
    return text


def _when_over(pieces: list[str], stops: list[str]) -> str:
    """What had arrived when a stop string was whole, or everything."""
    for count in range(len(pieces) + 1):
        if any(stop in "".join(pieces[:count]) for stop in stops):
            return "".join(pieces[:count])
    return "".join(pieces)


def _due(text: str, stops: list[str]) -> str:
    """The text without the longest end that a stop string begins with."""
    ends = [size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size])]
    return text[: len(text) - max(ends, default=0)]


_CACHES = (
    ([], [1, 2, 3], 0),
    ([1, 2, 3], [1, 2, 3, 4, 5], 3),
    ([1, 2, 3, 4], [1, 2, 9, 4, 5], 2),  # equal again after the difference
    ([1, 2, 3, 4, 5], [1, 2, 3], 2),  # the prompt is shorter: its last token has to be read
    ([1, 2, 3], [1, 2, 3], 2),
    ([7, 1, 2], [1, 2, 7], 0),
    ([5, 5, 5], [5, 5], 1),
    ([4], [4], 0),
)


@once_written
def check_reusable(answer: Callable[[list[int], list[int]], int]) -> None:
    """Compare `answer(held, prompt)`, how many tokens of a cache can stay, with trying each number.

    held: the ids whose keys and values a cache has. prompt: the ids of the next call. Raises
    AssertionError with the misconception that it found.
    """
    for held, prompt, wanted in _CACHES:
        given = answer(list(held), list(prompt))
        if given == wanted:
            continue
        same = [one == other for one, other in zip(held, prompt, strict=False)]
        assert not (given == len(prompt) and all(same)), (
            f"you keep all {len(prompt)} tokens of the prompt: then nothing is left to read, and "
            "without a forward pass there are no logits for the next token; keep one less"
        )
        assert given != sum(same) or all(same), (
            f"you counted equal tokens after the first difference: {held} and {prompt}; what a "
            "key holds depends on all tokens before it"
        )
        assert given != len(held), (
            f"you keep the whole cache, though {held} is not how {prompt} begins"
        )
        raise AssertionError(f"of {held} for {prompt} {wanted} can stay; you said {given!r}")
    print("check_reusable: what begins alike stays, and one token is left to read.")


_ANSWERS = (["Par", "is", "."], ["one\n\ntwo", "\n", "data: x"], ["Zoë 🥊"], [])


@once_written
def check_events(answer: Callable[[Iterable[str]], Iterator[str]]) -> None:
    """Compare `answer(pieces)`, a stream of server-sent events, with reading it as a browser does.

    Raises AssertionError with the misconception that it found.
    """
    for pieces in _ANSWERS:
        told, seen = [], []
        for event in answer(_noting(pieces, told, seen)):
            told.append(event)
        assert len(told) == len(pieces) + 1, (
            f"{len(pieces)} pieces are {len(pieces) + 1} events, one for each and the end; you "
            f"yielded {told}"
        )
        _compare_events(told, pieces)
        waited = [
            number for number, (came, text) in enumerate(seen) if text.count("data: {") < came
        ]
        assert not waited, "you collected the pieces: yield each as soon as it is there"
    _compare_failure(answer)
    print("check_events: each piece at once, a clear end, and an error that reaches the reader.")


def _compare_events(told: list[str], pieces: list[str]) -> None:
    for event, piece in zip(told, pieces, strict=False):
        assert event.endswith("\n\n"), f"an event ends with an empty line, two \\n: {event!r}"
        assert event.count("\n") == 2, (
            f"a line break inside of a piece breaks the event in two: {event!r}; json.dumps writes "
            "it as \\n"
        )
        data = event.removeprefix("data: ")
        assert data != event, f"an event begins with 'data: ': {event!r}"
        try:
            read = json.loads(data)
        except ValueError:
            read = None
        assert read == {"text": piece}, f"{event!r} should hold {{'text': {piece!r}}} as JSON"
    assert told[-1] == "data: [DONE]\n\n", (
        f"the last event is 'data: [DONE]'; yours is {told[-1]!r}"
    )


def _compare_failure(answer: Callable) -> None:
    def failing():
        yield "Par"
        raise RuntimeError("out of memory")

    try:
        told = list(answer(failing()))
    except RuntimeError as error:
        raise AssertionError(
            "an error of the model went through you: the reader would see a broken connection; "
            "send it as an event"
        ) from error
    assert "data: [DONE]\n\n" not in told, (
        "you sent [DONE] after an error: the reader would take half an answer for a whole one"
    )
    assert told and told[-1].startswith("event: error\ndata: ") and "out of memory" in told[-1], (
        f"after an error the last event begins with 'event: error' and says what happened; you "
        f"sent {told[-1:]}"
    )


# Answers that come in several calls: prompt, what the model says, tokens a call, calls, ids wanted.
# The prompt is a chat's, with marks that end a turn; 2 and 7 end an answer.
_LONG = (
    ([5, 6], [1, 3, 4, 1, 2], 2, 9, 5),
    ([5, 2, 6], [1, 3, 7], 4, 9, 3),
    ([5], [1, 3, 4, 1, 3, 4, 2], 2, 2, 4),
    ([5, 7], [1, 3], 2, 9, 2),  # then the context is full: nothing comes
    ([6], [2], 3, 9, 1),
)


@once_written
def check_finish(answer: Callable[[Callable, list[int], set[int], int], list[int]]) -> None:
    """Compare `answer(ask, prompt, eos, rounds)`, ids that come in several calls, with all of them.

    ask(ids) returns what comes next behind `ids`, a few at a time. The answer asks until the last
    of them is in `eos`, none comes, or it has asked `rounds` times, and returns the new ids. Raises
    AssertionError with the misconception that it found.
    """
    for prompt, whole, size, rounds, wanted in _LONG:
        ask, given = _Asked(prompt, whole, size, rounds), list(prompt)
        ids = answer(ask, given, {2, 7}, rounds)
        assert given == prompt, "you changed the prompt that you were given; join two lists anew"
        _compare_finished(list(ids), prompt, whole[:wanted], ask.calls)
    print("check_finish: asked with all that stands there, and not once too often.")


class _Asked:
    """A model that says `whole` behind `prompt`, at most `size` ids a call; it knows misuse."""

    def __init__(self, prompt: list[int], whole: list[int], size: int, rounds: int):
        self.prompt, self.whole, self.size, self.rounds = prompt, whole, size, rounds
        self.said: list[int] = []
        self.calls = 0
        self.dried_up = False  # nothing came

    def __call__(self, ids: list[int]) -> list[int]:
        last = self.said[-1:]
        assert last not in ([2], [7]), (
            f"you asked again behind {self.said}, which had ended: {last[0]} is in eos, {{2, 7}}"
        )
        assert not self.dried_up, (
            f"nothing came behind {self.said}, and you asked again: nothing ever will"
        )
        assert self.calls < self.rounds, (
            f"you asked more than {self.rounds} times: an answer that does not end would never end"
        )
        ids = list(ids)
        assert not self.said or ids != self.prompt, (
            "you asked with the prompt alone again: the model begins anew; add what it has written"
        )
        assert ids == self.prompt + self.said, (
            f"the prompt {self.prompt} and what was written, {self.said}, stand there; you asked "
            f"with {ids}"
        )
        self.calls += 1
        new = self.whole[len(self.said) : len(self.said) + self.size]
        self.said, self.dried_up = self.said + new, not new
        return list(new)


def _compare_finished(ids: list[int], prompt: list[int], wanted: list[int], calls: int) -> None:
    assert ids != prompt + wanted, "return what is new, without the prompt"
    assert ids + wanted[-1:] != wanted or wanted[-1] not in (2, 7), (
        f"you dropped the EOS: {wanted} is what was written, and whoever reads on wants to know "
        "that it ended"
    )
    assert ids == wanted or wanted[: len(ids)] != ids, (
        f"you stopped after {calls} call{'s' if calls > 1 else ''}, with {ids}: the answer had not "
        f"ended, it goes on to {wanted}; an EOS in the prompt ends nothing"
    )
    assert ids == wanted, f"behind {prompt} comes {wanted}; you gave {ids}"


_SECONDS = 5.0  # to wait for a reader, a thread or an event that should come at once


@once_written
def check_relay(answer: Callable[[Callable], Iterator]) -> None:
    """Compare `answer(work)`, which runs `work(put, stopped)` in a thread, with what work does.

    The answer yields what work puts, as it comes, and raises what work raises; when its reader
    leaves, `stopped()` is true. Raises AssertionError with the misconception that it found.
    """
    _in_time(lambda: _compare_relayed(answer), "your generator did not end with its work")
    _in_time(
        lambda: _compare_raised(answer),
        "work raised an error, and the reader waits for ever: put something into the queue for it",
    )
    _in_time(lambda: _compare_left(answer), "when the reader leaves, do not wait for the work")
    print("check_relay: pieces as they come, an error for the reader, and a reader who may leave.")


def _in_time(compare: Callable[[], None], otherwise: str) -> None:
    """Run `compare` in a thread: a reader that waits for ever must not stop the lesson."""
    raised = []

    def run():
        try:
            compare()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(4 * _SECONDS)
    assert not thread.is_alive(), otherwise
    if raised:
        raise raised[0]


def _compare_relayed(answer: Callable) -> None:
    read, where = threading.Event(), []

    def work(put, stopped):
        where.append(threading.current_thread())
        put("a")
        where.append(read.wait(_SECONDS))
        put("")
        put(None)

    told = []
    for piece in answer(work):
        told.append(piece)
        read.set()
    assert told == ["a", "", None], f"work put 'a', '' and None, and you yielded {told}"
    assert where[0] is not threading.current_thread(), "work runs in the reader's own thread"
    assert where[1], "you collected the pieces: yield each as soon as it was put"


def _compare_raised(answer: Callable) -> None:
    def work(put, stopped):
        put("a")
        raise RuntimeError("out of memory")

    told = []
    try:
        for piece in answer(work):
            told.append(piece)
    except RuntimeError as error:
        assert "out of memory" in str(error), f"raise what work raised; you raised {error!r}"
    else:
        raise AssertionError("work raised an error and the reader saw a text that ended well")
    assert told == ["a"], f"what came before the error is text all the same; you yielded {told}"


def _compare_left(answer: Callable) -> None:
    seen, ended = [], threading.Event()

    def work(put, stopped):
        put("a")
        for _ in range(100):
            if stopped():
                break
            time.sleep(_SECONDS / 500)
            put("b")
        seen.append(bool(stopped()))
        ended.set()

    relayed = answer(work)
    next(relayed)
    relayed.close()
    assert ended.wait(_SECONDS) and seen == [True], (
        "the reader left and the work went on to its end: set what `stopped` asks for in `finally`"
    )

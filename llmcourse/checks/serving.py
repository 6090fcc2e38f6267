"""Checks for lesson 11, serving and scale.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first

# The text of a stream


def _chunk(finish_reason: str | None = None, **delta: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps({'choices': [choice]})}"


def _lines(*events: str) -> list[str]:
    """Return the lines of a stream: an empty one ends each event."""
    return [line for event in events for line in [*event.split("\n"), ""]]


_USAGE = 'data: {"choices": [], "usage": {"completion_tokens": 3}}'
_STREAMS = (  # lines, and the pieces of text in them
    (  # as `transformers serve` sends it: a role, pieces, an end
        _lines(
            _chunk(role="assistant"), _chunk(content="The"), _chunk(content=" sky"), _chunk("stop")
        ),
        ["The", " sky"],
    ),
    (  # as vLLM does: an empty piece, an end that has text, tokens counted, [DONE]
        _lines(
            _chunk(role="assistant", content=""),
            _chunk(content="\n\nIt is"),
            _chunk("length", content=" blue"),
            _USAGE,
            "data: [DONE]",
        ),
        ["\n\nIt is", " blue"],
    ),
    (  # with all else that the standard of events allows
        _lines(
            ": are you still there?",
            "event: message\nid: 7\n" + _chunk(content="[DONE]"),
            _chunk(content="data: x").replace("data: ", "data:", 1),
            _chunk("stop", content=None),
            "data: [DONE]",
        ),
        ["[DONE]", "data: x"],
    ),
)
_OUT_OF_MEMORY = 'data: {"error": "out of memory"}'


@once_written
def check_deltas(answer: Callable[[Iterable[str]], Iterable[str]]) -> None:
    """Compare `answer(lines)`, the pieces of text in a stream, with what was put into it.

    lines: of a stream of chat completions, without their line ends. The answer yields each piece as
    soon as its line is there; it raises RuntimeError for an error in the stream, and for a stream
    that ends before a `finish_reason`. Raises AssertionError with the misconception that it found.
    """
    for lines, pieces in _STREAMS:
        _compare_pieces(_collected(answer, lines), pieces)
    _compare_in_time(answer)
    _compare_broken(answer)
    print("check_deltas: every piece, as it comes, of each server; half an answer is none.")


def _collected(answer: Callable, lines: Sequence[str]) -> list[str]:
    try:
        return list(answer(iter(lines)))
    except (KeyError, IndexError, TypeError) as error:
        raise AssertionError(
            f"{error!r}: a chunk may have no choice (it counts tokens), and a delta may have no "
            "content, or None (it names the role, or ends the answer): read them with get"
        ) from error
    except json.JSONDecodeError as error:
        raise AssertionError(
            f"you read {error.doc!r} as JSON: only what follows `data:` is, and [DONE] is not; "
            "empty lines, comments (`: ...`) and other fields say nothing"
        ) from error
    except RuntimeError as error:
        raise AssertionError(
            f"you raised {error!r} on a whole answer: some servers send no [DONE]; the "
            "finish_reason says that it is whole"
        ) from error


def _compare_pieces(given: list, pieces: list[str]) -> None:
    assert all(isinstance(piece, str) for piece in given), (
        f"yield the pieces of text, and nothing where a delta has none; you yielded {given}"
    )
    given = [piece for piece in given if piece]
    wrong = (
        (
            "you stripped the pieces: a space at the beginning of one belongs to the text",
            [one.strip() for one in pieces],
        ),
        (
            "you lost the piece that came with the finish_reason: text and end may come together",
            pieces[:-1],
        ),
        (
            "you ended at a text that says [DONE]: the end is the line `data: [DONE]` itself",
            [],
        ),
    )
    if given != pieces:
        name_the_first(wrong, given, pieces)
    assert given == pieces, f"the stream holds the pieces {pieces}; you yielded {given}"


def _compare_in_time(answer: Callable) -> None:
    lines, _ = _STREAMS[0]
    taken = []

    def arriving() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    first = next(piece for piece in answer(arriving()) if piece)
    assert first == "The" and len(taken) <= 4, (
        f"the first piece was in line 3, and you took {len(taken)} lines before you yielded it: "
        "yield each as it comes"
    )


def _compare_broken(answer: Callable) -> None:
    begun = _lines(_chunk(role="assistant"), _chunk(content="The"))
    for end, about in (
        ([_OUT_OF_MEMORY, ""], "an error inside a stream that had begun well (status 200)"),
        ([], "a stream that ended after one piece, without a finish_reason"),
        (["data: [DONE]", ""], "a [DONE] without a finish_reason"),
    ):
        came = []
        try:
            for piece in answer(iter(begun + end)):
                came.append(piece)
        except RuntimeError as error:
            assert not end or "error" not in end[0] or "out of memory" in str(error), (
                f"say what the server said, 'out of memory'; you raised {error!r}"
            )
        except KeyError as error:
            raise AssertionError(
                f"{about}: you raised {error!r}; raise a RuntimeError that says what happened"
            ) from error
        else:
            raise AssertionError(f"you took half an answer for a whole one: {about}")
        assert "".join(came) == "The", f"what came before is text all the same; you had {came}"


# A queue

_QUEUES = (  # when requests come, how long each takes
    ([0, 10, 20], [1, 1, 1]),
    ([0, 1, 2, 3], [2, 2, 2, 2]),
    ([0, 1, 9, 9], [3, 4, 1, 2]),
    ([5, 5, 5], [1, 2, 3]),
    ([0, 0.5, 1.5, 8], [1, 0.5, 3, 0.25]),
)


@once_written
def check_waits(answer: Callable[[Sequence[float], Sequence[float]], list[float]]) -> None:
    """Compare `answer(arrivals, services)` with a queue that is walked through in small steps.

    arrivals: when each request comes, in order. services: the seconds that the server takes for
    each. The answer: for each the seconds from its arrival to its answer, where a server takes one
    after the other. Raises AssertionError with the misconception that it found.
    """
    for arrivals, services in _QUEUES:
        given = [float(one) for one in answer(list(arrivals), list(services))]
        _compare_waits(given, arrivals, services)
    print("check_waits: from the arrival to the answer, the queue included.")


def _ends(arrivals: Sequence[float], services: Sequence[float], step: float = 0.25) -> list[float]:
    """Return when each answer is there: in each step the first who is here and not done is served.

    All times are multiples of `step`.
    """
    left, ends, now = list(services), [0.0] * len(services), 0.0
    while any(left):
        here = [one for one in range(len(left)) if left[one] and arrivals[one] <= now]
        now += step
        if here:
            left[here[0]] -= step
            ends[here[0]] = now
    return ends


def _compare_waits(given: list[float], arrivals: Sequence, services: Sequence) -> None:
    ends = _ends(arrivals, services)
    right = [end - came for end, came in zip(ends, arrivals, strict=True)]
    before = [wait - service for wait, service in zip(right, services, strict=True)]
    never_idle, done = [], arrivals[0]
    for came, service in zip(arrivals, services, strict=True):
        done += service
        never_idle.append(done - came)
    asked = f"requests at {list(arrivals)} that take {list(services)}"
    wrong = (
        (
            "you measured from the moment the server turned to a request: who waits in the queue "
            "waits, too (leaving that out is called coordinated omission)",
            list(services),
        ),
        ("you returned when each answer was there: take off when its request came", ends),
        ("you returned the time in the queue alone: the answer itself takes time, too", before),
        (
            "your server never idles: it cannot begin before the request is there, so a service "
            "begins at the later of two times, the arrival and the end of the one before",
            never_idle,
        ),
    )
    if not _close(given, right):
        for what, mistake in wrong:
            assert not _close(given, mistake), f"{what} ({asked})"
    assert _close(given, right), f"{asked} wait {right}; you returned {given}"


def _close(given: Sequence[float], wanted: Sequence[float]) -> bool:
    return len(given) == len(wanted) and all(map(math.isclose, given, wanted))


# Exercises: a queue that says no

_CROWDS = (  # when requests come, how long each takes, how many may be there at once
    ([0, 1, 2, 3], [10, 10, 10, 10], 2),
    ([0, 1, 2, 12, 13], [5, 5, 5, 5, 5], 2),
    ([0, 1, 2.5, 3, 5], [2, 2, 2, 2, 2], 1),
    ([0, 1, 2, 3], [2, 4, 2, 2], 9),
    ([0, 0.5, 1, 1.5, 4.25, 4.5], [4, 4, 4, 4, 4, 4], 3),
)


@once_written
def check_admitted(answer: Callable[[Sequence, Sequence, int], list]) -> None:
    """Compare `answer(arrivals, services, most)` with a queue whose guests are counted.

    As `waits`, where a request that finds `most` others, waiting or being answered, is refused: its
    entry is None. Raises AssertionError with the misconception that it found.
    """
    for arrivals, services, most in _CROWDS:
        given = answer(list(arrivals), list(services), most)
        _compare_admitted(given, (arrivals, services, most))
    print("check_admitted: whoever finds the place full leaves, and delays nobody.")


def _crowd(arrivals: Sequence, services: Sequence, most: int, refused_stay=False) -> list:
    """Return the wait of each who was let in, None for the others.

    refused_stay: a wrong queue, in which the refused take the server's time all the same.
    """
    ends, waits = [], []
    for came, service in zip(arrivals, services, strict=True):
        full = sum(end > came for end in ends) >= most
        if not full or refused_stay:
            ends.append(max(came, ends[-1] if ends else came) + service)
        waits.append(None if full else ends[-1] - came)
    return waits


def _compare_admitted(given: list, crowd: tuple[Sequence, Sequence, int]) -> None:
    arrivals, services, most = crowd
    right = _crowd(arrivals, services, most)
    first = [None if place >= most else wait for place, wait in enumerate(right)]
    wrong = (
        ("you let everybody in", _crowd(arrivals, services, len(arrivals))),
        (
            "you let in one too many: who is being answered is there, too, not in the queue alone",
            _crowd(arrivals, services, most + 1),
        ),
        (
            "the refused delay the others in your queue: they are gone",
            _crowd(arrivals, services, most, refused_stay=True),
        ),
        ("you count everybody who ever came: whoever has an answer is gone", first),
    )
    name_the_first(wrong, given, right)
    assert given == right, (
        f"requests at {list(arrivals)} that take {list(services)}, {most} at once: {right}; you "
        f"returned {given}"
    )


# Exercises: ask again


class _Server:
    """Answers with what was prepared, one after the other, and notes what happens in between."""

    def __init__(self, answers: Sequence):
        self.answers = list(answers)
        self.notes: list = []  # "sent", or the seconds of a wait

    def send(self):
        self.notes.append("sent")
        assert len(self.notes) < 50, "you ask for ever: after `tries` times give up"
        status = self.answers.pop(0) if self.answers else 503
        if status == "gone":
            raise ConnectionError("nobody there")
        return status, f"text of {status}"

    def wait(self, seconds: float) -> None:
        self.notes.append(seconds)


_BUSY = (  # the answers of a server, how often one may ask, what happens, and the outcome
    ([200], 3, ["sent"], "text of 200"),
    ([503, 200], 3, ["sent", 1, "sent"], "text of 200"),
    ([429, 429, 503, 200], 5, ["sent", 1, "sent", 2, "sent", 4, "sent"], "text of 200"),
    (["gone", 200], 3, ["sent", 1, "sent"], "text of 200"),
    ([400, 200], 3, ["sent"], ValueError),
    ([503, 401, 200], 3, ["sent", 1, "sent"], ValueError),
    ([503, 503, 503, 200], 3, ["sent", 1, "sent", 2, "sent"], RuntimeError),
    (["gone", "gone", 200], 2, ["sent", 1, "sent"], RuntimeError),
)


@once_written
def check_patient(answer: Callable[[Callable, Callable, int], str]) -> None:
    """Compare `answer(send, wait, tries)` with what a server in trouble can bear.

    send(): returns (status, text) or raises ConnectionError. wait(seconds): waits. The answer: the
    text of a 200; ValueError for what asking again cannot mend, RuntimeError when `tries` are over.
    Raises AssertionError with the misconception that it found.
    """
    for statuses, tries, notes, outcome in _BUSY:
        server = _Server(statuses)
        try:
            given = answer(server.send, server.wait, tries)
        except (ValueError, RuntimeError) as error:
            given = type(error)
        except ConnectionError:
            given = ConnectionError
        _compare_patience(given, server.notes, f"after {statuses[: notes.count('sent')]}", tries)
        _compare_notes(server.notes, notes, statuses)
        assert given == outcome, f"{statuses}, {tries} tries: {outcome} is due; you gave {given}"
    print("check_patient: asks again where that can help, later each time, and gives up.")


def _compare_patience(given: object, notes: list, when: str, tries: int) -> None:
    assert given is not ConnectionError, (
        f"{when}: nobody there is as good as a 503, so ask again; at the end say RuntimeError"
    )
    assert given is not None, f"{when}: return the text, or raise; nobody notices a None"
    assert notes.count("sent") <= tries, (
        f"{when}: you asked {notes.count('sent')} times, {tries} were allowed"
    )


def _compare_notes(given: list, right: list, statuses: Sequence) -> None:
    asked, wanted = given.count("sent"), right.count("sent")
    if asked > wanted:
        raise AssertionError(
            f"you asked again after {statuses[wanted - 1]}: the same request will be as wrong the "
            "next time; only 429, 503 and nobody there can be otherwise"
        )
    assert asked == wanted, f"{statuses}: you gave up after {asked} of {wanted} times"
    assert given[-1] == "sent", "you waited after the last time, for nothing"
    waits = [one for one in given if one != "sent"]
    due = [one for one in right if one != "sent"]
    assert waits or not due, "you asked again at once: a server that is too busy gets busier"
    assert len(due) < 2 or len(set(waits)) > 1, (
        f"you waited {waits}: wait longer each time, or all who were refused stay a crowd"
    )
    assert given == right, f"{statuses}: wait 1 second, then 2, then 4; you did {given}"


# Exercises: which replica

_CONVERSATIONS = [f"conversation {number}" for number in range(601)]  # not a multiple of 4
_REPLICAS = ["amber", "birch", "cedar", "delta"]


@once_written
def check_replica_for(answer: Callable[[str, list[str]], str]) -> None:
    """Compare `answer(conversation, replicas)`, one of the replicas, with what caches need.

    Each turn of a conversation goes to the same replica; a replica that is added, or gone, moves no
    conversation but its own; all get their share. Raises AssertionError with the misconception that
    it found.
    """
    before = _placed(answer, _REPLICAS)
    assert set(before) <= set(_REPLICAS), f"return one of the replicas, not {before[0]!r}"
    assert _placed(answer, _REPLICAS) == before, (
        "a conversation's second turn went to another replica, where no cache knows it: who it is "
        "decides, not whose turn it is, and not chance"
    )
    assert "hash" not in _names_in(getattr(answer, "__code__", None)), (
        "Python's hash of a text differs from process to process: another router would send the "
        "same conversation elsewhere; take hashlib"
    )
    _compare_shares(before)
    _compare_moves(answer, before)
    print("check_replica_for: each conversation stays, and a new replica takes its share alone.")


def _placed(answer: Callable, replicas: list[str]) -> list[str]:
    return [answer(one, list(replicas)) for one in _CONVERSATIONS]


def _names_in(code) -> set[str]:
    """Return the names that a function's code uses, and those of functions within it."""
    inner = getattr(code, "co_consts", ())
    return set(getattr(code, "co_names", ())).union(*map(_names_in, inner))


def _compare_shares(placed: list[str]) -> None:
    shares = {name: placed.count(name) for name in _REPLICAS}
    assert min(shares.values()) > len(placed) / len(_REPLICAS) / 2, (
        f"{len(placed)} conversations were spread as {shares}: each replica should have its share"
    )


def _compare_moves(answer: Callable, before: list[str]) -> None:
    after = _placed(answer, [*_REPLICAS, "elder"])
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    strayed = sum(a != b != "elder" for a, b in zip(before, after, strict=True))
    assert not strayed, (
        f"a fifth replica came, and {moved} of {len(before)} conversations moved, "
        f"{strayed} of them to an old one: a remainder (%) changes for nearly all when the number "
        "of replicas does; give each pair of conversation and replica a number, and take the "
        "highest"
    )
    assert moved, "a fifth replica came, and no conversation went there"
    assert _placed(answer, _REPLICAS[::-1]) == before, (
        "the order of the list decided: the next list may name the replicas in another one"
    )

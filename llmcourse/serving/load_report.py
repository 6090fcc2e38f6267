"""What a load test found: as figures, a table, JSON with a schema, and a picture."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llmcourse.html import BLUE, VERMILLION
from llmcourse.measure.figure import digits, percentile
from llmcourse.measure.report import read_json
from llmcourse.serving.client import Sent
from llmcourse.show import Table, plural, printable

SCHEMA = 1  # goes up when a field changes its meaning or goes


@dataclass(frozen=True)
class Load:
    """One load: requests at one rate, or from so many clients."""

    kind: str  # "open": at a rate; "closed": from clients that wait
    size: float  # requests a second, or clients
    sent: tuple[Sent, ...]  # at least one

    @property
    def finished(self) -> list[Sent]:
        """The requests whose answer came to its end; the figures below are of these alone."""
        return [one for one in self.sent if not one.error]

    @property
    def failed(self) -> int:
        return len(self.sent) - len(self.finished)

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return max(one.ended for one in self.sent)

    @property
    def requests_per_second(self) -> float:
        """Requests that were answered."""
        return len(self.finished) / self.seconds

    @property
    def tokens_per_second(self) -> float:
        return sum(one.tokens for one in self.finished) / self.seconds

    def first_ms(self, share: float) -> float:
        """Return a percentile of the milliseconds to the first token."""
        return 1000 * percentile((one.first for one in self.finished if one.pieces), share)

    def between_ms(self, share: float) -> float:
        """Return a percentile of the milliseconds between pieces of text, of all answers."""
        return 1000 * percentile((gap for one in self.finished for gap in one.gaps), share)

    def whole_ms(self, share: float) -> float:
        """Return a percentile of the milliseconds to the end of the answer."""
        return 1000 * percentile((one.whole for one in self.finished), share)

    @property
    def window(self) -> float:
        """Seconds in which requests are counted: of an open loop, from the first to the last.

        Clients that wait are counted to the last answer.
        """
        return max(one.due for one in self.sent) if self.kind == "open" else self.seconds

    @property
    def in_flight(self) -> float:
        """L: how many requests were unanswered, on average, in the window; nan if that is 0."""
        if not self.window:
            return math.nan
        waits = (min(one.ended, self.window) - one.due for one in self.sent)
        return sum(waits) / self.window

    @property
    def little(self) -> float:
        """λW of an open loop: requests a second that came, times the mean seconds that each took.

        Where the server keeps up, it is L. Where the queue grows it is more: those who came in the
        window wait beyond it. nan of one request, and of clients: how often these ask is the
        server's doing.
        """
        if self.kind != "open" or not self.window:
            return math.nan
        rate = (len(self.sent) - 1) / self.window
        return rate * sum(one.whole for one in self.sent) / len(self.sent)

    @property
    def errors(self) -> dict[str, int]:
        """How often requests failed with which error."""
        failures = [one.error for one in self.sent if one.error]
        return {error: failures.count(error) for error in dict.fromkeys(failures)}


_FIGURES = {  # what stands in the JSON for its readers, and follows from the rest
    "offered": lambda load: len(load.sent),
    "finished": lambda load: len(load.finished),
    "failed": lambda load: load.failed,
    "seconds": lambda load: load.seconds,
    "requests_per_second": lambda load: load.requests_per_second,
    "tokens_per_second": lambda load: load.tokens_per_second,
    "first_ms": lambda load: {"p50": load.first_ms(0.5), "p99": load.first_ms(0.99)},
    "between_ms": lambda load: {"p50": load.between_ms(0.5), "p99": load.between_ms(0.99)},
    "whole_ms": lambda load: {"p50": load.whole_ms(0.5), "p99": load.whole_ms(0.99)},
    "in_flight": lambda load: load.in_flight,
    "little": lambda load: load.little,
}


@dataclass(frozen=True)
class LoadReport:
    """All loads of one server."""

    server: str  # its name, or its address
    model: str  # what requests called it
    machine: dict  # of the client: what `describe_machine` returns
    max_tokens: int  # that an answer might have
    date: str  # YYYY-MM-DD
    loads: tuple[Load, ...]
    complete: bool = True  # False after Ctrl-C

    def table(self) -> Table:
        """Return a line for each load."""
        headers = ["load", "answered", "requests/s", "tokens/s", "first token ms (p99)"]
        headers += ["between ms (p99)", "whole ms (p99)", "in flight L", "λW"]
        caption = (
            f"{self.server}: answers of at most {plural(self.max_tokens, 'token')}, asked from "
            f"{self.machine.get('processor')}, {plural(self.machine.get('cores', 1), 'core')}"
        )
        return Table(printable(caption), headers, [_line(one) for one in self.loads])

    @property
    def notes(self) -> list[str]:
        """What a reader should know before the figures are believed."""
        said = []
        if any(one.counted == "pieces" for load in self.loads for one in load.finished):
            said.append(
                "The server does not say how many tokens it made: pieces of text are counted, and "
                "a piece may be several tokens."
            )
        if any(len(load.finished) < 100 for load in self.loads):
            said.append("Of fewer than 100 answers the 99th percentile is the slowest one.")
        for load in self.loads:
            said += [
                f"{_name(load)}: {plural(number, 'request')} failed: {printable(error)}"
                for error, number in load.errors.items()
            ]
        return said if self.complete else [*said, "Interrupted: what had been done is shown."]

    def __repr__(self) -> str:
        return "\n".join([repr(self.table()), *self.notes])

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_json(self) -> str:
        """Return the report as JSON; `read` reads it back. Texts of answers are left out."""
        fields = asdict(self)
        for load, made in zip(self.loads, fields["loads"], strict=True):
            made |= {name: _rounded(figure(load)) for name, figure in _FIGURES.items()}
            made["sent"] = [_plain(one) for one in load.sent]
        return json.dumps({"schema": SCHEMA, **fields}, indent=1) + "\n"


def _plain(sent: Sent) -> dict:
    made = asdict(sent) | {"pieces": " ".join(f"{at:.4f}" for at in sent.pieces)}
    del made["text"]
    return made | {"due": round(sent.due, 4), "ended": round(sent.ended, 4)}


def _rounded(figure):
    """Return a figure with at most 4 places, and what is not a number as None, as JSON has it."""
    if isinstance(figure, dict):
        return {name: _rounded(value) for name, value in figure.items()}
    return None if math.isnan(figure) else round(figure, 4)


def read(path: Path) -> LoadReport:
    """Read a report from a JSON file. Raises ValueError if it is none, or of another schema."""

    def report(given: dict) -> LoadReport:
        return LoadReport(**given | {"loads": tuple(map(_load, given["loads"]))})

    return read_json(path, "report of `python -m llmcourse load`", SCHEMA, report)


def _load(given: dict) -> Load:
    sent = (
        Sent(**one | {"pieces": tuple(map(float, one["pieces"].split()))}) for one in given["sent"]
    )
    return Load(given["kind"], given["size"], tuple(sent))


def _name(load: Load) -> str:
    return f"{load.size:g} a second" if load.kind == "open" else plural(int(load.size), "client")


def _line(load: Load) -> tuple[str, ...]:
    pairs = (load.first_ms, load.between_ms, load.whole_ms)
    return (
        _name(load),
        f"{len(load.finished)} of {len(load.sent)}",
        digits(load.requests_per_second),
        digits(load.tokens_per_second),
        *(f"{_shown(figure(0.5))} ({_shown(figure(0.99))})" for figure in pairs),
        _shown(load.in_flight),
        _shown(load.little),
    )


def _shown(number: float) -> str:
    return "–" if math.isnan(number) else digits(number)


def save_picture(reports: Sequence[LoadReport], path: Path) -> None:
    """Draw into a file the wait for the first token against the rate, or tokens/s of clients."""
    from matplotlib.figure import Figure as Canvas

    kinds = [
        kind for kind in ("open", "closed") if any(_of_kind(report, kind) for report in reports)
    ]
    canvas = Canvas(figsize=(5.5 * len(kinds), 4), layout="constrained", facecolor="white")
    for axes, kind in zip(canvas.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for number, report in enumerate(reports):
            _DRAW[kind](axes, report, f"C{number}" if len(reports) > 1 else BLUE)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    canvas.savefig(path, dpi=110)


def _of_kind(report: LoadReport, kind: str) -> list[Load]:
    return sorted((one for one in report.loads if one.kind == kind), key=lambda one: one.size)


def _draw_open(axes, report: LoadReport, color: str) -> None:
    loads = _of_kind(report, "open")
    rates = [one.size for one in loads]
    name = printable(report.server, 40)
    slow = VERMILLION if color == BLUE else color
    axes.plot(rates, [one.first_ms(0.5) for one in loads], "o-", color=color, label=name)
    axes.plot(rates, [one.first_ms(0.99) for one in loads], "s--", color=slow, label="p99")
    axes.set(xlabel="requests a second that come", ylabel="ms to the first token", yscale="log")


def _draw_closed(axes, report: LoadReport, color: str) -> None:
    loads = _of_kind(report, "closed")
    clients = [one.size for one in loads]
    speeds = [one.tokens_per_second for one in loads]
    axes.plot(clients, speeds, "o-", color=color, label=printable(report.server, 40))
    axes.set(xlabel="clients that wait for their answer", ylabel="tokens/s of all", ylim=(0, None))


_DRAW = {"open": _draw_open, "closed": _draw_closed}

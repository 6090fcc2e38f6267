"""How many servers a service needs, and what they cost: reckoned from what one was measured to do.

    >>> plan = Plan(Traffic(conversations_a_day=1_000_000), Replica.of(model, ...))
    >>> plan            # a table; each line shows its arithmetic

A plan on paper: it knows means, no bursts within a minute. Every assumption is a field.
"""

import math
from dataclasses import dataclass, fields, replace

from llmcourse.measure.cache_size import cache_bytes
from llmcourse.measure.figure import digits
from llmcourse.measure.memory import weight_bytes
from llmcourse.show import Table, amount

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Traffic:
    """What people ask for."""

    conversations_a_day: float
    peak_factor: float = 3.0  # the busiest hour's traffic beside the day's average
    turns: float = 4.0  # questions of a conversation
    shared_tokens: float = 200.0  # what each conversation begins with: the system prompt, tools
    question_tokens: float = 50.0  # that each question adds to the prompt
    answer_tokens: float = 150.0  # of each answer
    pause_seconds: float = 60.0  # from an answer to the next question

    def __post_init__(self):
        _check(self, may_be_zero=("shared_tokens", "pause_seconds"))
        if self.turns < 1 or self.peak_factor < 1:
            raise ValueError(
                f"turns={self.turns} and peak_factor={self.peak_factor} must be at least 1."
            )

    def tokens_after(self, turns: float) -> float:
        """Return the tokens of a conversation after so many turns; after 1.5, a mean of 1 and 2."""
        return self.shared_tokens + turns * (self.question_tokens + self.answer_tokens)


@dataclass(frozen=True)
class Replica:
    """One copy of the model on its machine, as it was measured."""

    prompt_speed: float  # prompt tokens a second that it reads
    answer_speed: float  # tokens a second that it writes, of all rows together
    rows: int  # answers that were written at once when that was measured
    weight_bytes: float
    cache_bytes_per_token: float  # of one row
    memory_bytes: float  # of its machine: all that weights and caches may take
    price_per_hour: float  # of its machine, in whatever money
    busy: float = 0.7  # the share of the time that it works at the peak; near 1 a queue explodes

    def __post_init__(self):
        _check(self)
        if self.busy >= 1:
            raise ValueError(f"busy={self.busy} must be below 1: at 1 the queue never ends.")

    @classmethod
    def of(cls, model, **measured) -> "Replica":
        """Return a replica of a model that is loaded: its weights, and its cache, are reckoned.

        measured: the other fields. The cache is that of 1,024 tokens, a token's share.
        """
        per_token = cache_bytes(model.config, 1024, dtype=model.dtype) / 1024
        known = {"weight_bytes": weight_bytes(model), "cache_bytes_per_token": per_token}
        return cls(**known | measured)


@dataclass(frozen=True)
class Plan:
    """Replicas, memory and money for some traffic.

    While a replica reads a prompt no row of it is taken to get a token, so that a request costs it
    the time for its prompt and for its answer's share of the batch.
    """

    traffic: Traffic
    replica: Replica
    prefix_hits: float = 0.0  # the share of repeated prompt tokens whose cache is found again

    def __post_init__(self):
        if not 0 <= self.prefix_hits <= 1:
            raise ValueError(f"prefix_hits={self.prefix_hits} is not a share; pass 0 to 1.")

    # Traffic

    @property
    def peak_requests(self) -> float:
        """Requests a second in the busiest hour."""
        asked = self.traffic.conversations_a_day * self.traffic.turns / DAY
        return asked * self.traffic.peak_factor

    @property
    def repeated_tokens(self) -> float:
        """Prompt tokens of a mean request that some request before had read or written."""
        return self.traffic.tokens_after((self.traffic.turns - 1) / 2)

    @property
    def read_tokens(self) -> float:
        """Prompt tokens of a mean request that have to be read."""
        return self.traffic.question_tokens + (1 - self.prefix_hits) * self.repeated_tokens

    # Time

    @property
    def seconds(self) -> float:
        """What a mean request takes of a replica's time."""
        reading = self.read_tokens / self.replica.prompt_speed
        return reading + self.traffic.answer_tokens / self.replica.answer_speed

    @property
    def replicas(self) -> int:
        """How many keep up in the busiest hour."""
        return math.ceil(round(self.peak_requests * self.seconds / self.replica.busy, 6))

    @property
    def latency(self) -> float:
        """Seconds from a request to its answer's end where all rows are taken."""
        return self.replica.rows * self.seconds

    @property
    def in_flight(self) -> float:
        """Requests under way at once, of all replicas: Little's law, rate x time in the system."""
        return self.peak_requests * self.latency

    # Memory of a replica

    @property
    def longest(self) -> float:
        """Tokens of a conversation at its end."""
        return self.traffic.tokens_after(self.traffic.turns)

    @property
    def row_bytes(self) -> float:
        """The caches of all rows, each as long as a conversation's end."""
        return self.replica.rows * self.longest * self.replica.cache_bytes_per_token

    @property
    def waiting(self) -> float:
        """Conversations a replica has that are between two turns: Little's law once more."""
        pauses = self.peak_requests / self.traffic.turns * (self.traffic.turns - 1)
        return pauses * self.traffic.pause_seconds / self.replicas

    @property
    def kept_bytes(self) -> float:
        """What it takes to keep waiting conversations' caches until the next question."""
        tokens = self.waiting * self.traffic.tokens_after(self.traffic.turns / 2)
        return self.prefix_hits * tokens * self.replica.cache_bytes_per_token

    @property
    def memory(self) -> float:
        """Bytes of weights, rows and kept caches."""
        return self.replica.weight_bytes + self.row_bytes + self.kept_bytes

    @property
    def fits(self) -> bool:
        """Whether a replica's machine has that much."""
        return self.memory <= self.replica.memory_bytes

    # Money

    @property
    def cost_a_day(self) -> float:
        """Of all replicas, which run day and night."""
        return self.replicas * 24 * self.replica.price_per_hour

    @property
    def cost_per_million(self) -> float:
        """Of a million tokens of answers."""
        tokens = self.traffic.conversations_a_day * self.traffic.turns
        return self.cost_a_day / (tokens * self.traffic.answer_tokens) * 1e6

    @property
    def without_prefix_cache(self) -> "Plan":
        """The same where each prompt is read whole."""
        return replace(self, prefix_hits=0.0)

    # Shown

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _table(self) -> Table:
        lines = [*self._time_lines(), *self._memory_lines(), *self._money_lines()]
        people = digits(self.traffic.conversations_a_day)
        caption = f"{people} conversations a day, on paper"
        return Table(caption, ["what", "how", "result"], lines)

    def _time_lines(self) -> list[tuple[str, str, str]]:
        asked, one = self.traffic, self.replica
        alone = self.without_prefix_cache
        return [
            (
                "requests a second at the peak",
                f"{digits(asked.conversations_a_day)} conversations x {digits(asked.turns)} turns "
                f"/ {DAY:,} s x {digits(asked.peak_factor)}",
                digits(self.peak_requests),
            ),
            (
                "prompt tokens that are read",
                f"{digits(asked.question_tokens)} new + {digits(self.repeated_tokens)} repeated "
                f"x (1 - {digits(self.prefix_hits)})",
                digits(self.read_tokens),
            ),
            (
                "a replica's time for a request",
                f"{digits(self.read_tokens)} / {digits(one.prompt_speed)} a second + "
                f"{digits(asked.answer_tokens)} / {digits(one.answer_speed)} a second",
                f"{digits(self.seconds)} s",
            ),
            (
                "replicas",
                f"{digits(self.peak_requests)} a second x {digits(self.seconds)} s / "
                f"{digits(one.busy)} busy, rounded up",
                f"{self.replicas:,}",
            ),
            (
                "saved by the prefix cache",
                f"{alone.replicas:,} replicas without it - {self.replicas:,}",
                f"{alone.replicas - self.replicas:,} replicas",
            ),
            (
                "an answer takes, in a full batch",
                f"{one.rows:,} rows x {digits(self.seconds)} s",
                f"{digits(self.latency)} s",
            ),
            (
                "requests in flight (Little's law)",
                f"{digits(self.peak_requests)} a second x {digits(self.latency)} s",
                f"{digits(self.in_flight)}, {digits(self.in_flight / self.replicas)} a replica",
            ),
        ]

    def _memory_lines(self) -> list[tuple[str, str, str]]:
        one = self.replica
        fits = "fits" if self.fits else "does not fit"
        halfway = self.traffic.tokens_after(self.traffic.turns / 2)
        return [
            (
                "caches of the rows",
                f"{one.rows:,} rows x {digits(self.longest)} tokens x "
                f"{amount(one.cache_bytes_per_token)}",
                amount(self.row_bytes),
            ),
            (
                "caches kept for the next question",
                f"{digits(self.prefix_hits)} of {digits(self.waiting)} that wait x "
                f"{digits(halfway)} tokens x {amount(one.cache_bytes_per_token)}",
                amount(self.kept_bytes),
            ),
            (
                "memory of a replica",
                f"{amount(one.weight_bytes)} weights + {amount(self.row_bytes)} + "
                f"{amount(self.kept_bytes)}",
                f"{amount(self.memory)}: {fits} {amount(one.memory_bytes)}",
            ),
        ]

    def _money_lines(self) -> list[tuple[str, str, str]]:
        asked, one = self.traffic, self.replica
        tokens = asked.conversations_a_day * asked.turns * asked.answer_tokens / 1e6
        return [
            (
                "cost a day",
                f"{self.replicas:,} replicas x 24 h x {digits(one.price_per_hour)}",
                digits(self.cost_a_day),
            ),
            (
                "cost of a million answer tokens",
                f"{digits(self.cost_a_day)} / {digits(tokens)} million tokens a day",
                digits(self.cost_per_million),
            ),
        ]


def _check(settings, may_be_zero: tuple[str, ...] = ()) -> None:
    """Raise ValueError for a field that is no number above 0."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        enough = value >= 0 if field.name in may_be_zero else value > 0
        if not enough or not math.isfinite(value):
            least = "0 or more" if field.name in may_be_zero else "more than 0"
            raise ValueError(f"{field.name}={value} must be {least}.")

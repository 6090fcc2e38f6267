"""Ask a server for what goes wrong, and for what it may not know; write down what it does.

    >>> table("here", Probing(Address(server.url, server.model)).run())

Each probe is a request, what the protocol says should come, and what came. The protocol is OpenAI's
reference of /v1/chat/completions and /v1/completions; of a bad request it says a status of 400 to
499 with an error in JSON.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import httpx

from llmcourse.serving.client import Address
from llmcourse.show import Table, in_words, readable

LONGEST = 160  # characters of an answer that are kept
QUESTION = "Name three things that are blue."
LONG_TASK = "Count from 1 to 500, in words, one number in each line."
SCHEMA_OF_A_COLOR = {
    "type": "object",
    "properties": {"color": {"type": "string", "maxLength": 12}},
    "required": ["color"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int  # of HTTP; 0 where there was no answer
    text: str  # the body, or why there was none

    @property
    def json(self) -> dict:
        """The body as a JSON object; empty where it is none."""
        try:
            made = json.loads(self.text)
        except ValueError:
            return {}
        return made if isinstance(made, dict) else {}

    @property
    def choices(self) -> list[dict]:
        return self.json.get("choices") or []

    @property
    def content(self) -> str:
        """The text of the first choice, "" where there is none."""
        first = self.choices[0] if self.choices else {}
        return (first.get("message") or {}).get("content") or first.get("text") or ""

    @property
    def excerpt(self) -> str:
        """The status and what matters of the body, on one line, safe to show."""
        said = self.content or self.text
        return f"{self.status or 'none'}: {readable(said, LONGEST)}"


@dataclass(frozen=True)
class Probe:
    """One request that differs from a plain one, and what should come of it."""

    name: str  # what is tried
    change: Mapping  # fields of the body that are added or, where None, left out
    protocol: str  # what should come, in words
    meets: Callable[[Reply], bool]  # whether what came is that
    path: str = "/v1/chat/completions"


@dataclass(frozen=True)
class Row:
    """What came of a probe."""

    name: str  # what was tried
    sent: str  # an excerpt of the request
    came: str  # status and an excerpt of the answer
    protocol: str  # what should have come
    met: bool  # whether it did


def is_refused(reply: Reply) -> bool:
    return 400 <= reply.status < 500


def works(reply: Reply) -> bool:
    return reply.status == 200 and bool(reply.content)


def _finish(reply: Reply) -> str:
    return reply.choices[0].get("finish_reason") or "" if reply.choices else ""


def _is_cut_at_eight(reply: Reply) -> bool:
    tokens = (reply.json.get("usage") or {}).get("completion_tokens")
    return tokens == 8 and _finish(reply) == "length"


def _has_logprobs(reply: Reply) -> bool:
    return bool(reply.choices) and bool(reply.choices[0].get("logprobs"))


def _is_a_color(reply: Reply) -> bool:
    try:
        return list(json.loads(reply.content)) == ["color"]
    except (ValueError, TypeError):
        return False


def _calls_the_tool(reply: Reply) -> bool:
    message = reply.choices[0].get("message") or {} if reply.choices else {}
    return bool(message.get("tool_calls"))


def _works_or_is_refused(reply: Reply) -> bool:
    return works(reply) or is_refused(reply)


BAD = "refused: 4xx"
EITHER = "200, or refused"  # a model that does not think, and a field that some servers added
NOBODY = {"role": "root", "content": "Hi"}
THINKING_OFF = {"enable_thinking": False}
PROBES = (
    Probe("a plain request", {}, "200, an answer", works),
    Probe("max_tokens 8", {}, "8 tokens, finish_reason length", _is_cut_at_eight),
    Probe("logprobs", {"logprobs": True, "top_logprobs": 2}, "logprobs", _has_logprobs),
    Probe("n=2", {"n": 2, "temperature": 1}, "2 choices", lambda reply: len(reply.choices) == 2),
    Probe(
        "response_format",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "color", "schema": SCHEMA_OF_A_COLOR},
            },
            "max_tokens": 40,
        },
        "JSON of the schema",
        _is_a_color,
    ),
    Probe("tools", {"tools": [WEATHER]}, "200", lambda reply: reply.status == 200),
    Probe(
        "tool_choice required",
        {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 60},
        "a tool call",
        _calls_the_tool,
    ),
    Probe("reasoning_effort", {"reasoning_effort": "low"}, EITHER, _works_or_is_refused),
    Probe("thinking off", {"chat_template_kwargs": THINKING_OFF}, EITHER, _works_or_is_refused),
    Probe("a wrong model", {"model": "no/such-model"}, BAD, is_refused),
    Probe("max_tokens -1", {"max_tokens": -1}, BAD, is_refused),
    Probe("max_tokens 0", {"max_tokens": 0}, BAD, is_refused),
    Probe("max_tokens 'many'", {"max_tokens": "many"}, BAD, is_refused),
    Probe("temperature -1", {"temperature": -1}, BAD, is_refused),
    Probe("no messages", {"messages": None}, BAD, is_refused),
    Probe("empty messages", {"messages": []}, BAD, is_refused),
    Probe(
        "a role nobody knows", {"messages": [{"role": "root", "content": "Hi"}]}, BAD, is_refused
    ),
    Probe("a field nobody knows", {"no_such_field": 1}, BAD, is_refused),
    Probe(
        "two prompts at once",
        {"messages": None, "prompt": ["Red,", "One, two,"]},
        "2 choices",
        lambda reply: len(reply.choices) == 2,
        "/v1/completions",
    ),
)


@dataclass
class Probing:
    """Probes of one server; each method yields or returns rows."""

    address: Address
    used: Callable[[], float] | None = None  # seconds of processor that the server has used;
    # without it nobody can tell whether a server stops when its client leaves
    context: int = 0  # tokens that the model reads at most; 0: an over-long prompt is not tried
    timeout: float = 240.0  # seconds of a request
    watch: float = 3.0  # seconds at most of each look at a server: idle, answering, left
    settle: float = 1.0  # seconds that it gets to notice that a client has left
    rows: list[Row] = field(default_factory=list)  # what came of what was tried so far
    _quarter: float | None = None  # seconds of a quarter of the long answer, or of `watch` at most

    def __post_init__(self):
        self.client = httpx.Client(
            base_url=self.address.url,
            trust_env=False,
            verify=self.address.url.startswith("https"),
            timeout=self.timeout,
            limits=httpx.Limits(max_keepalive_connections=0),  # some close after an error of theirs
        )

    def run(self, say: Callable[[str], None] = lambda line: None) -> list[Row]:
        """Try everything, one after the other, and return the rows."""
        for row in self._all():
            say(f"{'met' if row.met else 'NOT'}  {row.name}: {row.came}")
            self.rows.append(row)
        return self.rows

    def _all(self) -> Iterator[Row]:
        yield from (self.one(probe) for probe in PROBES)
        yield self.stop_string()
        yield self.bad_json()
        yield self.many_tokens()
        yield from self.sampling()
        yield from self.a_stream()
        yield self.models()
        yield self.without_a_key()
        yield self.load_model()
        if self.used is not None:
            yield from (self.client_leaves(streams) for streams in (True, False))
        if self.context:
            yield self.too_long()
        yield self.one(Probe("a plain request, after all that", {}, "200, an answer", works))

    def body(self, **change) -> dict:
        """Return a plain greedy request of 8 tokens, changed; None leaves a field out."""
        asked = {
            "model": self.address.model,
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 8,
            "temperature": 0,
        }
        return {name: value for name, value in (asked | change).items() if value is not None}

    def ask(
        self,
        path: str = "/v1/chat/completions",
        *,
        method: str = "POST",
        key: bool = True,
        headers: Mapping[str, str] | None = None,
        **more,
    ) -> Reply:
        """Send a request and return what came, also where nothing did. key: send it."""
        headers = {**(self._key() if key else {}), **(headers or {})}
        try:
            answer = self.client.request(method, path, headers=headers, **more)
        except httpx.HTTPError as error:
            return Reply(0, in_words(error))
        return Reply(answer.status_code, answer.text)

    def one(self, probe: Probe) -> Row:
        """Send a probe's request and say what came."""
        body = self.body(**probe.change)
        reply = self.ask(probe.path, json=body)
        shown = json.dumps(dict(probe.change)) if probe.change else json.dumps(body)
        return self._row(probe.name, shown, reply, probe.protocol, probe.meets(reply))

    def stop_string(self) -> Row:
        """A word from the middle of the answer as what it should stop before."""
        words = self.ask(json=self.body(max_tokens=24)).content.split()
        word = words[len(words) // 2] if words else "e"
        reply = self.ask(json=self.body(stop=[word], max_tokens=24))
        met = works(reply) and word not in reply.content and _finish(reply) == "stop"
        return self._row(
            "a stop string", json.dumps({"stop": [word]}), reply, "ends before it", met
        )

    def bad_json(self) -> Row:
        reply = self.ask(content='{"model": ', headers={"Content-Type": "application/json"})
        return self._row("JSON that ends too early", '{"model": ', reply, BAD, is_refused(reply))

    def many_tokens(self) -> Row:
        """More tokens than the model has places for; a client that gets any leaves at once."""
        body = self.body(max_tokens=10**6, stream=True)
        with self._streamed(body) as answer:
            if answer.status_code == 200:
                reply = Reply(200, next(answer.iter_text(), ""))
            else:
                reply = Reply(answer.status_code, answer.read().decode())
        return self._row("max_tokens 1,000,000", "", reply, BAD, is_refused(reply))

    def sampling(self) -> Iterator[Row]:
        """Whether temperature and seed are honoured: other seeds, then one seed twice."""
        drawn = [
            self.ask(json=self.body(temperature=1.5, seed=seed, max_tokens=16))
            for seed in (1, 2, 1)
        ]
        one, other, again = (reply.content for reply in drawn)
        came = " / ".join(readable(text, 40) for text in (one, other, again))
        sent = '{"temperature": 1.5, "seed": 1 / 2 / 1}'
        yield Row("temperature 1.5, another seed", sent, came, "another text", one != other)
        yield Row("the same seed twice", sent, came, "the same text", bool(one) and one == again)

    def a_stream(self) -> Iterator[Row]:
        body = self.body(stream=True, stream_options={"include_usage": True})
        lines = [line for line in self.ask(json=body).text.split("\n") if line.startswith("data:")]
        last, sent = lines[-1] if lines else "nothing", '{"stream": true}'
        end = "the last event is [DONE]"
        yield Row("the end of a stream", sent, readable(last, LONGEST), end, "[DONE]" in last)
        counted = [line for line in lines if '"completion_tokens"' in line]
        came = readable(counted[-1], LONGEST) if counted else "none"
        yield Row("usage of a stream", sent, came, "tokens are counted", bool(counted))

    def models(self) -> Row:
        reply = self.ask("/v1/models", method="GET")
        names = [one.get("id") for one in reply.json.get("data") or ()]
        return self._row("list of models", "GET", reply, "it", self.address.model in names)

    def without_a_key(self) -> Row:
        reply = self.ask(json=self.body(), key=False)
        return self._row("no key", "", reply, "401", reply.status in (401, 403))

    def load_model(self) -> Row:
        """Whether anybody may have it load whatever there is; the path leads nowhere."""
        body = {"model": "/no/such/folder"}
        reply = self.ask("/load_model", json=body, key=False)
        shown = f"/load_model {json.dumps(body)}"
        return self._row("load another model", shown, reply, BAD, is_refused(reply))

    def too_long(self) -> Row:
        """A prompt of more tokens than the model was made for."""
        words = "blue " * (self.context + 10)
        reply = self.ask(
            "/v1/completions",
            json={"model": self.address.model, "prompt": words, "max_tokens": 1},
        )
        sent = f"a prompt of {self.context + 10:,} words"
        return self._row("a prompt that is too long", sent, reply, BAD, is_refused(reply))

    def client_leaves(self, streams: bool) -> Row:
        """Whether a server goes on when whoever asked has gone, by the processor that it uses.

        It is watched while it is idle, while it answers, and after the client has left: for a
        quarter of the answer each, or less, so that the answer does not end by itself meanwhile.
        """
        body = self.body(
            messages=[{"role": "user", "content": LONG_TASK}], max_tokens=600, stream=streams
        )
        if self._quarter is None:  # of the first time: a server may be slow with its first answer
            self._read_for(body, 4 * self.watch)
            started = time.perf_counter()
            self._read_for(body, 4 * self.watch)
            self._quarter = (time.perf_counter() - started) / 4
        while_it = min(self.watch, self._quarter)
        asks = self._read_for if streams else self._wait_for
        time.sleep(self.settle)
        idle = self._busy(lambda: time.sleep(while_it))
        answering = self._busy(lambda: asks(body, while_it))
        time.sleep(min(self.settle, while_it / 2))
        after = self._busy(lambda: time.sleep(while_it))
        name = f"a client leaves {'a stream' if streams else 'a plain request'}"
        came = f"{after:.0%} of a core after it, {answering:.0%} before (idle: {idle:.0%})"
        stops = after < idle + (answering - idle) / 4  # False where `used` is not known
        sent = json.dumps({"max_tokens": 600, "stream": streams})
        return Row(name, sent, came, "it stops", stops)

    def _busy(self, meanwhile: Callable[[], None]) -> float:
        """Return the cores that the server keeps busy meanwhile; nan where that is not known."""
        if self.used is None:
            meanwhile()
            return math.nan
        before, began = self.used(), time.perf_counter()
        meanwhile()
        return (self.used() - before) / (time.perf_counter() - began)

    def _read_for(self, body: dict, seconds: float) -> None:
        """Read the answer as a stream for so long, or to its end."""
        until = time.perf_counter() + seconds
        with self._streamed({**body, "stream": True}) as answer:
            for _ in answer.iter_text():
                if time.perf_counter() > until:
                    return

    def _wait_for(self, body: dict, seconds: float) -> None:
        with contextlib.suppress(httpx.TimeoutException):
            self.client.post(
                "/v1/chat/completions", json=body, timeout=seconds, headers=self._key()
            )

    def _streamed(self, body: dict):
        return self.client.stream("POST", "/v1/chat/completions", json=body, headers=self._key())

    def _key(self) -> dict[str, str]:
        key = self.address.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}

    @staticmethod
    def _row(name: str, sent: str, reply: Reply, protocol: str, met: bool) -> Row:
        return Row(name, readable(sent, LONGEST), reply.excerpt, protocol, met)


def same_as_generate(
    address: Address,
    model,
    tokenizer,
    prompts: Sequence[str],
    max_tokens: int = 24,
    *,
    client: httpx.Client | None = None,
) -> Row:
    """Compare a server's greedy answers with what `generate` makes of the same chats here.

    client: in place of a new one.
    """
    probing, equal = Probing(address), 0
    probing.client = client or probing.client
    for prompt in prompts:
        chat = [{"role": "user", "content": prompt}]
        body = probing.body(messages=chat, max_tokens=max_tokens)
        inputs = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens)
        new = made[0, inputs["input_ids"].shape[1] :]
        equal += probing.ask(json=body).content == tokenizer.decode(new, skip_special_tokens=True)
    came = f"{equal} of {len(prompts)} equal"
    sent = f"{len(prompts)} questions, temperature 0, {max_tokens} tokens"
    return Row("greedy answers", sent, came, "those of generate", equal == len(prompts))


def table(server: str, rows: Sequence[Row]) -> Table:
    """Return a line for each row; those where something else came are in bold."""
    marked = frozenset(number for number, row in enumerate(rows) if not row.met)
    met = len(rows) - len(marked)
    return Table(
        f"{server}: {met} of {len(rows)} as the protocol says; the rest is in bold",
        ("tried", "should come", "came", "as it should"),
        [(row.name, row.protocol, row.came, "yes" if row.met else "no") for row in rows],
        marked,
    )


def as_fields(rows: Sequence[Row]) -> list[dict]:
    """Return rows as JSON has them."""
    return [asdict(row) for row in rows]

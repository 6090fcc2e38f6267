"""One request to a server that speaks the OpenAI protocol, and when each piece of its answer came.

The same few lines talk to `transformers serve`, vLLM, llama.cpp and the rest: only the address is
another.
"""

import asyncio
import ipaddress
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from llmcourse.show import in_words, readable

LONGEST_LINE = 1_000_000


@dataclass(frozen=True)
class Sent:
    """A request that was sent, and what came of it; seconds since the run began."""

    due: float  # when it was to be sent, which is when a user would have begun to wait
    pieces: tuple[float, ...]  # when each piece of text came
    ended: float  # when the answer was complete, or had failed
    tokens: int  # of the answer: what the server's `usage` says, else the number of pieces
    counted: str = "usage"  # how the tokens were counted: "usage" or "pieces"
    error: str = ""  # why it failed; "" where the answer came to its end
    text: str = ""  # the answer

    @property
    def first(self) -> float:
        """Seconds from when it was due to the first piece of text; nan where none came."""
        return self.pieces[0] - self.due if self.pieces else float("nan")

    @property
    def whole(self) -> float:
        """Seconds from when it was due to its end."""
        return self.ended - self.due

    @property
    def gaps(self) -> list[float]:
        """Seconds between each piece and the next. A piece is mostly one token."""
        return [after - before for before, after in itertools.pairwise(self.pieces)]


@dataclass(frozen=True)
class Address:
    """Where a server is, and how it is asked."""

    url: str  # such as http://127.0.0.1:8000, without /v1
    model: str  # what requests call its model
    chat: bool = True  # /v1/chat/completions, else /v1/completions
    api_key: str = ""  # sent as `Authorization: Bearer ...`

    @property
    def path(self) -> str:
        return "/v1/chat/completions" if self.chat else "/v1/completions"

    def body(self, prompt: str, max_tokens: int, **more) -> dict:
        """Return the JSON of a greedy request whose answer is streamed."""
        asked = {"messages": [{"role": "user", "content": prompt}]}
        return {
            "model": self.model,
            **(asked if self.chat else {"prompt": prompt}),
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **more,
        }

    def client(self, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
        """Return a client that never lets a request wait for another, and uses no proxy."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            timeout=None,  # each request has a limit for the whole of it
            trust_env=False,
            verify=self.url.startswith("https"),  # reading certificates takes a while
            transport=transport,
        )


def check_address(url: str, anywhere: bool = False) -> str:
    """Return the URL of a server without `/v1` at its end.

    Raises ValueError for one that is no http(s) URL, and, unless `anywhere`, for one on another
    machine: a load test of somebody else's server is an attack.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{readable(url)} is no address such as http://127.0.0.1:8000.")
    if not anywhere and not is_loopback(parts.hostname):
        raise ValueError(
            f"{readable(parts.hostname)} is not this machine. A load test strains a server; if it "
            "is yours, say so: --anywhere, or anywhere=True."
        )
    return url.rstrip("/").removesuffix("/v1")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name alone; no name is looked up but localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def stream(
    client: httpx.AsyncClient,
    address: Address,
    body: dict,
    *,
    due: float,
    clock: Callable[[], float],
    timeout: float,
) -> Sent:
    """Send one request, read its answer to the end, and return when what came.

    due, clock: seconds since the run began. timeout: seconds for the whole of it. What goes wrong
    is the `error` of what is returned.
    """
    got = _Reading()
    try:
        async with (
            asyncio.timeout(timeout),
            client.stream("POST", address.path, json=body) as answer,
        ):
            if answer.status_code != 200:
                got.error = f"{answer.status_code}: {readable((await answer.aread()).decode())}"
            else:
                async for line in lines_of(answer.aiter_text()):
                    got.read(line, clock())
    except TimeoutError:
        got.error = f"no end within {timeout:g} s"
    except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
        got.error = in_words(error)
    return got.sent(due, clock())


async def lines_of(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the lines of a stream of events, which end with a line feed and with nothing else.

    `httpx`'s own `aiter_lines` also ends one at U+2028 and the like, which may stand in an answer.
    Raises ValueError for a line of more than a million characters.
    """
    held = ""
    async for text in texts:
        *whole, held = (held + text).split("\n")
        for line in whole:
            yield line.rstrip("\r")
        if len(held) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE:,} characters")
    if held:
        yield held


class _Reading:
    """What has been read of a stream of server-sent events."""

    def __init__(self):
        self.error, self.usage, self.ended = "", None, False
        self.pieces, self.texts = [], []

    def read(self, line: str, now: float) -> None:
        """Take one line: `data: {...}`, `data: [DONE]`, or what means nothing here."""
        if not line.startswith("data:"):
            return
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self.ended = True
            return
        chunk = json.loads(data)
        if "error" in chunk:
            self.error = f"in the stream: {readable(chunk['error'])}"
        counted = (chunk.get("usage") or {}).get("completion_tokens")
        self.usage = counted if isinstance(counted, int) else self.usage
        for choice in chunk.get("choices") or ():
            self._read_choice(choice, now)

    def _read_choice(self, choice: dict, now: float) -> None:
        delta = choice.get("delta") or choice
        text = delta.get("content") or delta.get("reasoning_content") or delta.get("text")
        if text and isinstance(text, str):
            self.pieces.append(now)
            self.texts.append(text)
        self.ended = self.ended or choice.get("finish_reason") is not None

    def sent(self, due: float, now: float) -> Sent:
        broken = "" if self.ended else "the stream ended before the answer did"
        return Sent(
            due=due,
            pieces=tuple(self.pieces),
            ended=now,
            tokens=len(self.pieces) if self.usage is None else self.usage,
            counted="pieces" if self.usage is None else "usage",
            error=self.error or broken,
            text="".join(self.texts),
        )

"""How much a server carries: requests that come whether or not it keeps up, and clients that wait.

    >>> load(server.url, model=server.model, rates=[0.5, 1, 2], clients=[1, 4])

An open loop (`rates`) sends requests at the times of a Poisson process, as people who do not know
of each other would. A closed loop (`clients`) has so many clients that each send the next request
when they have the answer to the last: a slow server is then asked less, and its queue never shows.
Waiting counts from when a request was due, so that no request's delay hides another's.
"""

import asyncio
import datetime
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial

import httpx

from llmcourse.measure.machine import describe_machine
from llmcourse.serving.client import Address, Sent, check_address, stream
from llmcourse.serving.load_report import Load, LoadReport

PROMPTS = (
    "Name three things that are blue.",
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "How do I boil an egg?",
    "Give me a rhyme for 'night'.",
    "Why is the sky dark at night?",
    "List the days of the week.",
    "What does a baker do?",
)
MOST_REQUESTS = 10_000  # of one load: more would fill this machine's memory before they say more


@dataclass(frozen=True)
class Limits:
    """What keeps a load test from running on."""

    requests: int = 32  # of each rate, and of each number of clients
    seconds: float = 60.0  # in which requests of one rate are sent; later ones are not
    timeout: float = 120.0  # seconds that one request may take

    def __post_init__(self):
        if not 1 <= self.requests <= MOST_REQUESTS:
            raise ValueError(f"requests={self.requests} must be from 1 to {MOST_REQUESTS:,}.")
        if self.seconds <= 0 or self.timeout <= 0:
            raise ValueError("seconds and timeout must be more than 0.")


def arrivals(rate: float, requests: int, seed: int = 0) -> list[float]:
    """Return when requests of a Poisson process come, in seconds; the first comes at 0.

    rate: requests a second, on average. The pauses between them are drawn from an exponential
    distribution: mostly short, now and then long. Raises ValueError for a rate that is not above 0.
    """
    if not rate > 0:
        raise ValueError(f"rate={rate} must be more than 0 requests a second.")
    drawn, now, times = random.Random(seed), 0.0, []
    for _ in range(requests):
        times.append(now)
        now += drawn.expovariate(rate)
    return times


def load(
    url: str,
    *,
    model: str = "",
    rates: Sequence[float] = (),
    clients: Sequence[int] = (),
    prompts: Sequence[str] = PROMPTS,
    max_tokens: int = 32,
    limits: Limits | None = None,
    seed: int = 0,
    chat: bool = True,
    name: str = "",
    api_key: str = "",
    anywhere: bool = False,
    say: Callable[[str], None] = lambda line: None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> LoadReport:
    """Send a server requests at each of `rates`, then from each number of `clients`.

    model: what requests call it; without one, the first that the server names. rates: requests a
    second. prompts: taken in turn. name: of the server, for tables. api_key: sent with each
    request. say: called with a line as things go on. One request is sent before, to warm it up.
    Ctrl-C ends it early with the loads that were done. It works in a notebook too, whose thread has
    an event loop. Raises ValueError for a server elsewhere unless `anywhere`, and for numbers that
    make no sense; OSError if the server does not answer the first request.
    """
    limits = limits or Limits()
    _check(rates, clients, prompts, max_tokens)
    place = check_address(url, anywhere)
    address = Address(place, model, chat, api_key)
    if not model:
        address = Address(place, in_own_loop(_first_model(address, transport)), chat, api_key)
    run = Run(address, prompts, max_tokens, limits, seed, transport)
    in_own_loop(run.warm_up())
    ways = [("open", rate, run.open_loop) for rate in rates]
    ways += [("closed", number, run.closed_loop) for number in clients]
    loads, complete = [], True
    for kind, size, way in ways:
        say(f"{'rate' if kind == 'open' else 'clients'} {size:g}")
        try:
            sent = in_own_loop(way(size))
        except KeyboardInterrupt:
            complete = False
            break
        loads.append(Load(kind, size, tuple(sent)))
    return LoadReport(
        server=name or place,
        model=address.model,
        machine=describe_machine(),
        max_tokens=max_tokens,
        date=datetime.date.today().isoformat(),
        loads=tuple(loads),
        complete=complete,
    )


def _check(rates, clients, prompts, max_tokens: int) -> None:
    if not rates and not clients:
        raise ValueError("Name rates (requests a second), or clients, or both.")
    if any(not rate > 0 for rate in rates):
        raise ValueError("rates must be more than 0 requests a second.")
    if any(number < 1 for number in clients):
        raise ValueError("clients must be at least 1.")
    if not prompts or max_tokens < 1:
        raise ValueError("There must be a prompt, and max_tokens must be at least 1.")


@dataclass(frozen=True)
class Run:
    """The loads of one server; each method is one load, and returns what was sent."""

    address: Address
    prompts: Sequence[str]  # taken in turn
    max_tokens: int  # that an answer may have
    limits: Limits
    seed: int = 0  # of the arrivals
    transport: httpx.AsyncBaseTransport | None = None  # in place of a network
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], Awaitable] = asyncio.sleep

    async def open_loop(self, rate: float) -> list[Sent]:
        """Send requests at a rate, each when it is due, however many are unanswered."""
        times = arrivals(rate, self.limits.requests, self.seed)
        times = [due for due in times if due <= self.limits.seconds]
        async with self.address.client(self.transport) as client:
            now = self._clock_from_now()
            tasks = []
            for number, due in enumerate(times):
                await self.sleep(max(0.0, due - now()))
                tasks.append(asyncio.create_task(self._ask(client, number, due, now)))
            return await asyncio.gather(*tasks)

    async def closed_loop(self, clients: int) -> list[Sent]:
        """Have so many clients send a request each, wait for its answer, and send the next."""
        async with self.address.client(self.transport) as client:
            now = self._clock_from_now()
            numbers, sent = iter(range(self.limits.requests)), []

            async def one_client() -> None:
                for number in numbers:  # all clients take from the same numbers
                    if now() > self.limits.seconds:
                        return
                    sent.append(await self._ask(client, number, now(), now))

            await asyncio.gather(*(one_client() for _ in range(clients)))
            return sent

    async def warm_up(self) -> None:
        """Send one request. Raises OSError if it fails: the rest would fail alike."""
        async with self.address.client(self.transport) as client:
            sent = await self._ask(client, 0, 0.0, self._clock_from_now())
        if sent.error:
            raise OSError(f"{self.address.url} does not answer as it should: {sent.error}")

    def _clock_from_now(self) -> Callable[[], float]:
        began = self.clock()
        return lambda: self.clock() - began

    async def _ask(self, client, number: int, due: float, now: Callable[[], float]) -> Sent:
        body = self.address.body(self.prompts[number % len(self.prompts)], self.max_tokens)
        return await stream(
            client, self.address, body, due=due, clock=now, timeout=self.limits.timeout
        )


async def _first_model(address: Address, transport: httpx.AsyncBaseTransport | None) -> str:
    """Return the first model that a server names. Raises OSError where it names none."""
    try:
        async with address.client(transport) as client:
            answer = await client.get("/v1/models", timeout=30)
            return str(answer.raise_for_status().json()["data"][0]["id"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise OSError(
            f"{address.url}/v1/models names no model ({type(error).__name__}); "
            "say which: --model, or model=..."
        ) from error


def in_own_loop(work: Coroutine):
    """Run a coroutine to its end in a thread of its own, and return what it returns.

    A notebook's thread has an event loop that runs already. Ctrl-C cancels it.
    """
    done: dict = {}
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    thread = threading.Thread(target=partial(_run_to_the_end, loop, task, done), daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        raise
    if "error" in done:
        raise done["error"]
    return done["result"]


def _run_to_the_end(loop: asyncio.AbstractEventLoop, task: asyncio.Task, done: dict) -> None:
    try:
        done["result"] = loop.run_until_complete(task)
    except BaseException as error:
        done["error"] = error
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

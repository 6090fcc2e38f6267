"""Measure models with several settings, in turns: what `python -m llmcourse measure` does."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from llmcourse.measure.figure import Figure, in_turns
from llmcourse.measure.limit import reads
from llmcourse.measure.machine import describe_machine, read_bandwidth
from llmcourse.measure.memory import Memory, cache_after, peak_memory
from llmcourse.measure.pace import Pace, pace, some_ids
from llmcourse.measure.report import Report, Result
from llmcourse.measure.settings import Setting, parse
from llmcourse.models.load import known_device, load
from llmcourse.show import in_words, plural


@dataclass(eq=False)
class Way:
    """A model with a setting and a number of rows, and what was found so far."""

    setting: Setting
    rows: int  # of the batch
    model: object  # loaded as the setting says
    memory: Memory | None = None  # of reading the prompts; None where it is not counted
    cache: int = 0  # bytes in the middle of the run
    paces: list[Pace] = field(default_factory=list)  # one for each round


@dataclass
class Session:
    """What is measured, and what was found so far."""

    settings: Sequence[Setting]  # of each model
    rows: Sequence[int]  # of the batch
    prompt_tokens: int  # of each row
    new_tokens: int  # of each row
    rounds: int  # how often each takes its turn
    device: str  # as in `llmcourse.load`
    say: Callable[[str], None]  # called with a line as things go on
    results: list[Result] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # what could not be run, and why

    def one_model(self, name: str | None) -> None:
        """Measure a model with each setting and number of rows."""
        shown, loaded = str(name or "the course's model"), {}
        ways = []
        for setting in self.settings:
            key = tuple(setting.loaded.items())
            try:
                if key not in loaded:
                    self.say(f"{shown}: loading it as {', '.join(setting.loaded.values())}")
                    loaded[key] = load(name, device=self.device, **setting.loaded)[0]
            except (OSError, ValueError, ImportError, RuntimeError) as error:
                self.failed[f"{shown}, {setting.name}"] = in_words(error)
                continue
            ways += [Way(setting, rows, loaded[key]) for rows in self.rows]
        self._take_turns(shown, ways)

    def _take_turns(self, shown: str, ways: list[Way]) -> None:
        ways = [way for way in ways if self._runs(shown, way)]
        runs = {way: lambda way=way: way.paces.append(self._pace(way)) for way in ways}
        try:
            for done, _ in enumerate(in_turns(runs, self.rounds, warmup=0) if runs else (), 1):
                self.say(f"{shown}: round {done} of {self.rounds}")
        finally:  # after Ctrl-C too
            self.results += [self._result(shown, way) for way in ways if way.paces]

    def _runs(self, shown: str, way: Way) -> bool:
        """Run once to warm up, and count bytes; note a way that fails and return False."""
        name = f"{way.setting.name}, {plural(way.rows, 'row')}"
        long = ", which compiles first" if "compile_config" in way.setting.called else ""
        self.say(f"{shown}: warming up {name}{long}")
        try:
            self._pace(way)
            way.memory, way.cache = self._bytes(way)
        except Exception as error:  # whatever a model or a compiler does
            self.failed[f"{shown}, {name}"] = in_words(error) + self._too_long(way.model)
            return False
        return True

    def _pace(self, way: Way) -> Pace:
        sizes = {"prompt_tokens": self.prompt_tokens, "new_tokens": self.new_tokens}
        return pace(way.model, rows=way.rows, **sizes, **way.setting.called)

    def _bytes(self, way: Way) -> tuple[Memory | None, int]:
        """Return the memory of reading the prompts, and the cache in the middle of the run."""
        model, called, half = way.model, way.setting.called, self.new_tokens // 2
        ids = some_ids(model, way.rows, self.prompt_tokens + half)
        cache = cache_after(model, ids, max_new_tokens=self.new_tokens - half, **called)
        if model.device.type not in ("cpu", "cuda"):
            return None, cache
        last = {"logits_to_keep": 1} if model._supports_logits_to_keep() else {}
        settings = {**called, "max_new_tokens": self.new_tokens}
        return peak_memory(model, ids[:, : self.prompt_tokens], settings=settings, **last), cache

    def _too_long(self, model) -> str:
        """Return what to do where a text is longer than the model's config allows, else ""."""
        longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if not longest or self.prompt_tokens + self.new_tokens <= longest:
            return ""
        return (
            f" (the model reads texts of at most {plural(longest, 'token')}: lower --prompt-tokens "
            "or --new-tokens)"
        )

    def _result(self, shown: str, way: Way) -> Result:
        paces = way.paces
        between = [1000 * seconds for one in paces for seconds in one.between]
        tokens = sum(sum(one.tokens[1:]) for one in paces) / len(between)
        middle = self.prompt_tokens + self.new_tokens // 2
        return Result(
            model=shown,
            setting=way.setting.name,
            rows=way.rows,
            first_ms=Figure(tuple(1000 * one.first for one in paces), "ms"),
            between_ms=Figure(tuple(between), "ms"),
            decode=Figure(tuple(one.decode_speed for one in paces), "tokens/s"),
            throughput=Figure(tuple(one.throughput for one in paces), "tokens/s"),
            memory=way.memory,
            reads=reads(way.model, middle, way.rows, cache=way.cache, tokens=tokens),
        )


def measure(
    models: Sequence[str | None] = (None,),
    settings: Sequence[str] = ("float32", "bfloat16"),
    *,
    rows: Sequence[int] = (1,),
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    rounds: int = 5,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Measure each model with each setting and number of rows, and return the Report.

    models: folders or hub ids; None is what `llmcourse.load` takes then. settings: names of
    `measure.settings`, joined by `+`. Of one model all settings are loaded at once and take turns.
    device: as in `load`. say: called with a line as things go on. A setting that cannot be loaded
    or run is left out and named in `failed`. Ctrl-C ends it early with the runs that were done;
    before one was, it raises KeyboardInterrupt. Raises ValueError for a setting or device that is
    not known, and for numbers below 1 (`new_tokens` below 2).
    """
    wanted = [parse(name) for name in settings]
    _check(wanted, rows, prompt_tokens, new_tokens, rounds)
    where = _place(device)
    session = Session(wanted, rows, prompt_tokens, new_tokens, rounds, device, say)
    say("reading memory, to see how fast this machine is at best")
    before = read_bandwidth(where)
    complete = True
    try:
        for name in models:
            session.one_model(name)
    except KeyboardInterrupt:
        if not session.results:
            raise
        complete = False
    after = read_bandwidth(where)
    return Report(
        machine=describe_machine(where),
        bandwidth=Figure(before.values + after.values, before.unit),
        results=tuple(session.results),
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        date=datetime.date.today().isoformat(),
        complete=complete,
        failed=session.failed,
    )


def _check(settings, rows, prompt_tokens: int, new_tokens: int, rounds: int) -> None:
    if not settings or not rows:
        raise ValueError("settings and rows must name at least one each, such as float32 and 1.")
    numbers = {"rows": min(rows), "prompt_tokens": prompt_tokens, "rounds": rounds}
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}={number} must be at least 1.")
    if new_tokens < 2:
        raise ValueError(f"new_tokens={new_tokens} must be at least 2: one, and one after it.")


def _place(device: str) -> str:
    """Return the device whose memory is read. Raises ValueError for one that is not there."""
    known = known_device(device)
    if known == "auto":
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return next((name for name, is_there in there.items() if is_there), "cpu")
    return known or "cpu"

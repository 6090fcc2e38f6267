"""Measure models with several settings, in turns: what `python -m llmcourse measure` does."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmcourse.measure.figure import Figure, in_turns
from llmcourse.measure.limit import reads
from llmcourse.measure.machine import describe_machine, read_bandwidth
from llmcourse.measure.memory import peak_memory
from llmcourse.measure.pace import Pace, pace
from llmcourse.measure.report import Report, Result
from llmcourse.measure.settings import Setting, parse
from llmcourse.models.load import load
from llmcourse.show import in_words


@dataclass
class Session:
    """What is measured, and what was found so far."""

    settings: Sequence[Setting]  # of each model
    rows: Sequence[int]  # of the batch
    prompt_tokens: int
    new_tokens: int
    rounds: int
    device: str  # as in `llmcourse.load`
    say: Callable[[str], None]  # called with a line as things go on
    results: list[Result]
    failed: dict[str, str]  # a model and setting, and why it could not be run

    def one_model(self, name: str | None) -> None:
        """Measure a model with each setting and number of rows."""
        shown, loaded = str(name or "the course's model"), {}
        ways: dict[tuple[Setting, int], tuple] = {}
        for setting in self.settings:
            key = tuple(setting.loaded.items())
            try:
                if key not in loaded:
                    self.say(f"{shown}: loading it as {', '.join(setting.loaded.values())}")
                    loaded[key] = load(name, device=self.device, **setting.loaded)[0]
            except (OSError, ValueError, ImportError, RuntimeError) as error:
                self.failed[f"{shown}, {setting.name}"] = in_words(error)
                continue
            ways |= {(setting, rows): loaded[key] for rows in self.rows}
        self._take_turns(shown, ways)

    def _take_turns(self, shown: str, ways: dict) -> None:
        ways = {way: model for way, model in ways.items() if self._runs(shown, *way, model)}
        done: list[dict] = []
        try:
            runs = {way: self._run(*way, model) for way, model in ways.items()}
            for paces in in_turns(runs, self.rounds, warmup=0) if runs else ():
                done.append(paces)
                self.say(f"{shown}: round {len(done)} of {self.rounds}")
        finally:  # after Ctrl-C too: whole rounds count
            if done:
                for (setting, rows), model in ways.items():
                    paces = [paces[setting, rows] for paces in done]
                    self.results.append(self._result(shown, setting, rows, model, paces))

    def _run(self, setting: Setting, rows: int, model) -> Callable[[], Pace]:
        sizes = {"prompt_tokens": self.prompt_tokens, "new_tokens": self.new_tokens}
        return lambda: pace(model, rows=rows, **sizes, **setting.called)

    def _runs(self, shown: str, setting: Setting, rows: int, model) -> bool:
        """Run once to warm up; note a setting that fails and return False."""
        self.say(f"{shown}: warming up, {setting.name}, rows: {rows}")
        try:
            self._run(setting, rows, model)()
        except Exception as error:  # whatever a model or a compiler does
            self.failed[f"{shown}, {setting.name}, rows: {rows}"] = in_words(error)
            return False
        return True

    def _result(self, shown: str, setting: Setting, rows: int, model, paces: list[Pace]) -> Result:
        between = tuple(1000 * seconds for one in paces for seconds in one.between)
        memory = None
        if model.device.type in ("cpu", "cuda"):
            sizes = {"rows": rows, "prompt_tokens": self.prompt_tokens, "logits_to_keep": 1}
            use_cache = setting.called.get("use_cache", True)
            memory = peak_memory(model, **sizes, use_cache=use_cache)
        read = reads(model, self.prompt_tokens + self.new_tokens // 2, rows)
        return Result(
            model=shown,
            setting=setting.name,
            rows=rows,
            first_ms=Figure(tuple(1000 * one.first for one in paces), "ms"),
            between_ms=Figure(between, "ms"),
            decode=Figure(tuple(one.decode_speed for one in paces), "tokens/s"),
            throughput=Figure(tuple(one.throughput for one in paces), "tokens/s"),
            memory=memory,
            bytes_per_token=read.per_token,
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
    or run is left out and named in `failed`. Ctrl-C ends it early with the rounds that were done;
    before one was, it raises KeyboardInterrupt. Raises ValueError for a setting that is not known,
    and for numbers below 1 (`new_tokens` below 2).
    """
    wanted = [parse(name) for name in settings]
    if min(*rows, prompt_tokens, rounds, new_tokens - 1) < 1:
        raise ValueError("rows, prompt tokens and rounds must be at least 1, new tokens 2.")
    session = Session(wanted, rows, prompt_tokens, new_tokens, rounds, device, say, [], {})
    where = "cuda" if device == "auto" else device
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

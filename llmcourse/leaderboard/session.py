"""Run a leaderboard: each entry on each item, written down as it goes, then speed and memory."""

import datetime
import gc
import importlib.metadata
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmcourse.leaderboard.board import Board, Standing
from llmcourse.leaderboard.cost import Cost, cost
from llmcourse.leaderboard.entries import Entry, fingerprint, parse
from llmcourse.leaderboard.journal import Journal
from llmcourse.leaderboard.processes import Processes
from llmcourse.leaderboard.suite import BATCH, CHUNK, Chunk, answers, chunks, first_of_each
from llmcourse.measure import describe_machine, report
from llmcourse.measure import session as measuring
from llmcourse.models.load import load
from llmcourse.quality import BY, Item, digest, read_items
from llmcourse.show import in_words

SETTINGS = ("float32", "bfloat16", "8bit", "4bit")
Say = Callable[[str], None]


class NoMemory:
    """A journal that keeps nothing on the disk: of a run without a file."""

    def __init__(self):
        self.records: dict = {}

    def add(self, key: str, record) -> None:
        self.records[key] = record

    def remove(self) -> None:
        pass


@dataclass
class Session:
    """What is run, and what was found so far."""

    entries: Sequence[Entry]
    items: Sequence[Item]
    by: str  # what a choice's logarithm is divided by
    device: str  # as in `llmcourse.load`
    say: Say  # called with a line as things go on
    processes: Processes
    journal: Journal | NoMemory
    failed: dict[str, str] = field(default_factory=dict)  # what could not be run, and why
    loaded: tuple = ()  # (model's name and how it is loaded, model, tokenizer): the last one
    missing: dict[str | None, OSError] = field(default_factory=dict)  # models that are not there

    def answer(self, entry: Entry) -> None:
        """Have one entry answer all that it has not answered yet; note why it cannot."""
        try:
            model, tokenizer, of = self.load(entry)
            missing = [
                chunk for chunk in chunks(self.items) if self._key(entry, chunk) not in self._done
            ]
            self._check_unchanged(entry, of)
            count = len(chunks(self.items))
            if len(missing) < count:
                self.say(f"{entry.key}: {count - len(missing)} of {count} parts were done before")
            for start in range(0, len(missing), self.processes.count):
                self._answer(entry, model, tokenizer, missing[start:][: self.processes.count], of)
                done = count - len(missing) + min(len(missing), start + self.processes.count)
                self.say(f"{entry.key}: part {done} of {count}")
        except Exception as error:  # whatever a model does; the other entries go on
            self.failed[entry.key] = in_words(error)
            self.say(f"{entry.key} could not be run: {in_words(error)}")

    def _answer(self, entry: Entry, model, tokenizer, some: Sequence[Chunk], of: str) -> None:
        """Have chunks answered, one by each process, and write them down. Raises RuntimeError."""

        def timed(chunk: Chunk) -> dict:
            started = time.perf_counter()
            found = answers(entry, model, tokenizer, chunk, self.by)
            seconds = round(time.perf_counter() - started, 3)
            return {"of": of, "seconds": seconds, "answers": found}

        made = self.processes.each(some, timed)
        for chunk, (record, error) in zip(some, made, strict=True):
            if error:
                raise RuntimeError(error)
            self.journal.add(self._key(entry, chunk), record)

    @property
    def _done(self) -> dict:
        return self.journal.records

    def _key(self, entry: Entry, chunk: Chunk) -> str:
        return f"{entry.key}: {chunk.name}"

    def _check_unchanged(self, entry: Entry, of: str) -> None:
        """Raise ValueError if what is in the journal is of another state of the model."""
        known = {
            record["of"]
            for chunk in chunks(self.items)
            if (record := self._done.get(self._key(entry, chunk)))
        }
        if known - {of}:
            raise ValueError(
                "the model's files are not those of the run that was begun; remove its journal, "
                "or name another file"
            )

    def load(self, entry: Entry):
        """Return (model, tokenizer, fingerprint); the last one loaded is kept."""
        wanted = entry.model, entry.setting.loaded
        if entry.model in self.missing:
            raise self.missing[entry.model]
        if not self.loaded or self.loaded[0] != wanted:
            self.loaded = ()
            gc.collect()  # the one before goes first
            self.say(f"{entry.shown}: loading it as {', '.join(entry.setting.loaded.values())}")
            self.loaded = wanted, *self._read(entry)
        _, model, tokenizer = self.loaded
        return model, tokenizer, fingerprint(model)

    def _read(self, entry: Entry):
        """Return (model, tokenizer); a model that is not there is asked for once."""
        try:
            return load(entry.model, device=self.device, **entry.setting.loaded)
        except OSError as error:
            self.missing[entry.model] = error
            raise

    def by_loading(self) -> list[Entry]:
        """Return the entries so that those which share a loaded model follow each other."""
        wanted = [(entry.shown, str(entry.setting.loaded)) for entry in self.entries]
        order = sorted(range(len(wanted)), key=lambda place: wanted.index(wanted[place]))
        return [self.entries[place] for place in order]

    def measure(self, rounds: int) -> dict[str, report.Report]:
        """Measure speed and memory of each model with each setting that has answered."""
        self.loaded = ()
        gc.collect()
        found = {}
        for model in dict.fromkeys(entry.model for entry in self.entries):
            its = [entry for entry in self.entries if entry.model == model]
            its = [entry for entry in its if entry.key not in self.failed]
            names = list(dict.fromkeys(measured_part(entry) for entry in its))
            if not names:
                continue
            key = f"{its[0].shown}: speed of {', '.join(names)}, {rounds} rounds"
            if key not in self._done:
                made = measuring.measure(
                    [model], names, rounds=rounds, device=self.device, say=self.say
                )
                if not made.complete:
                    raise KeyboardInterrupt  # the next run measures anew
                self.journal.add(key, json.loads(made.to_json()))
            found[its[0].shown] = report.of_fields(self._done[key])
        return found

    def standing(self, entry: Entry) -> Standing:
        """Return what an entry that has answered everything made of it."""
        records = [self._done[self._key(entry, chunk)] for chunk in chunks(self.items)]
        by_id = {one["id"]: one for record in records for one in record["answers"]}
        return Standing(
            model=entry.shown,
            setting=entry.name,
            measured=measured_part(entry),
            fingerprint=records[0]["of"],
            seconds=round(sum(record["seconds"] for record in records), 1),
            answers=tuple(by_id[item.id] for item in self.items),
        )


def measured_part(entry: Entry) -> str:
    """Return the part of an entry's setting that decides how fast it is, such as "bfloat16"."""
    return entry.setting.name


def run(
    models: Sequence[str | None] = (None,),
    settings: Sequence[str] = SETTINGS,
    *,
    items: Sequence[Item] | None = None,
    items_per_kind: int | None = None,
    by: str = "raw",
    rounds: int = 5,
    device: str = "cpu",
    file: str | Path | None = None,
    say: Say = lambda line: None,
) -> Board:
    """Ask each model in each setting all items, measure its speed and memory; return the Board.

    models: folders or hub ids; None is the course's model. settings: names that `entries.parse`
    knows. items: None for those of the course. items_per_kind: the first so many of each; None for
    all. by: one of `quality.BY`. rounds: of the measurement; 0 for none. file: the board is written
    there as JSON; until it is whole, what was done is in a journal beside it, and the same call
    goes on after a kill. An entry that cannot be run is named in `failed`. With several processes
    (`torchrun`, `accelerate launch`) the items are shared out. Raises ValueError for a setting or
    measure that is not known, and for a journal of another run; OSError where it cannot be written.
    """
    processes = Processes()
    said = say if processes.is_first else lambda line: None
    session = _session(models, settings, items, items_per_kind, by, device, said, processes)
    if file is not None and processes.is_first:
        session.journal = Journal(journal_of(file), _run_of(session, rounds))
    session.journal.records = processes.first_says(lambda: dict(session.journal.records))
    estimate = plan_of(session)
    if estimate:
        session.say(f"{estimate}.")
    for entry in session.by_loading():
        session.answer(entry)
    measured = processes.first_says(lambda: session.measure(rounds) if rounds else {})
    board = Board(
        machine=describe_machine(),
        date=datetime.date.today().isoformat(),
        items=digest(session.items),
        by=by,
        standings=tuple(
            session.standing(entry) for entry in session.entries if entry.key not in session.failed
        ),
        measured=measured,
        failed=session.failed,
    )
    if file is not None and processes.is_first:
        Path(file).write_text(board.to_json(), encoding="utf-8")
        session.journal.remove()
    return board


def plan(
    models: Sequence[str | None] = (None,),
    settings: Sequence[str] = SETTINGS,
    *,
    items: Sequence[Item] | None = None,
    items_per_kind: int | None = None,
    device: str = "cpu",
    say: Say = lambda line: None,
) -> Cost:
    """Return what `run` would cost, without running it; the first model is loaded and timed.

    Raises what `load` raises.
    """
    session = _session(models, settings, items, items_per_kind, "raw", device, say, Processes())
    model, tokenizer, _ = session.load(session.entries[0])
    return cost(session.entries, session.items, model, tokenizer)


def plan_of(session: Session) -> Cost | None:
    """Return what is to be done, where nothing was done yet; None where the model fails."""
    if session.journal.records:
        return None
    first = session.entries[0]
    try:
        model, tokenizer, _ = session.load(first)
        return cost(session.entries, session.items, model, tokenizer, session.processes.count)
    except Exception:  # its entry will say why
        return None


def journal_of(file: str | Path) -> Path:
    """Return where the journal of a board that is to be written to `file` lies."""
    return Path(f"{file}.journal")


def _session(models, settings, items, items_per_kind, by, device, say, processes) -> Session:
    if by not in BY:
        raise ValueError(f"by={by!r} is not known; pass one of {', '.join(BY)}.")
    entries = [parse(model, name) for model in models for name in settings]
    if not entries:
        raise ValueError("models and settings must name at least one each.")
    keys = [entry.key for entry in entries]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise ValueError(f"{twice} is named twice.")
    asked = first_of_each(read_items() if items is None else items, items_per_kind)
    return Session(entries, asked, by, device, say, processes, NoMemory())


def _run_of(session: Session, rounds: int) -> dict:
    """Return what must be the same when a run goes on; models and settings may be added."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    return {
        "items": digest(session.items),
        "by": session.by,
        "chunk": CHUNK,
        "batch": BATCH,
        "device": session.device,
        "rounds": rounds,
        "versions": versions,
    }

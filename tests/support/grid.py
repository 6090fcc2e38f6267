"""A parity grid that is drawn, not listed: settings alone, in pairs, in combinations of 3 to 7.

    for cell in cells(400, seed=0):
        print(cell, run(cell))

A cell's name is all that it takes to run it again: `run(Cell.parse(name))`. `make parity` runs
thousands of cells and prints a table.
"""

import ast
import copy
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from itertools import count, islice
from random import Random
from typing import Any

import torch
from transformers import Cache
from transformers.utils import logging

import llmcourse
from tests.support.families import CONFIGS, WITH_HEADS, tiny
from tests.support.grid_space import (
    ARGUMENT,
    CHOOSES,
    DRAFTS,
    NOT_HANDED_ON,
    PROMPTS,
    SETTINGS,
    SINGLE,
    WAYS,
    Recorder,
    call_of,
    width,
)
from tests.support.settings import SOME_EOS

KINDS = ("alone", "pair", "combination")
TORCH_SEED = 3


@dataclass(frozen=True)
class Cell:
    """One call: a family, a prompt, the door to our loop, and the settings as literals."""

    family: str
    prompt: str
    door: str
    settings: dict

    def __str__(self) -> str:
        return f"{self.family} {self.prompt} {self.door} {self.settings}"

    @classmethod
    def parse(cls, name: str) -> "Cell":
        family, prompt, door, settings = name.split(" ", 3)
        return cls(family, prompt, door, ast.literal_eval(settings))

    def call(self) -> dict:
        """Return the keyword arguments, made anew."""
        return call_of(self.model(), self.family, self.prompt, self.settings)

    def model(self):
        """Return the model that is called."""
        return tiny(self.family, self.settings.get("model_in", "float32"))


class Deck:
    """Cards that are dealt in random order, all of them before any comes again."""

    def __init__(self, rng: Random, cards):
        self.rng, self.cards, self.left = rng, list(cards), []

    def deal(self, fits: Callable[[Any], bool] = lambda card: True):
        """Return the next card that fits; those passed over stay."""
        while True:
            for place, card in enumerate(self.left):
                if fits(card):
                    return self.left.pop(place)
            self.left += self.rng.sample(self.cards, len(self.cards))


def cells(count: int, seed: int = 0, families=CONFIGS) -> list[Cell]:
    """Return the first `count` cells of the endless grid of `seed`, a good spread at any length."""
    return list(islice(_endless(seed, families), count))


def _endless(seed: int, names) -> Iterator[Cell]:
    rng = Random(seed)
    families = {kind: Deck(rng, names) for kind in KINDS}
    prompts, singles = {kind: Deck(rng, PROMPTS) for kind in KINDS}, Deck(rng, SINGLE)
    usual = [name for name, setting in SETTINGS.items() if not setting.rare]
    rare = Deck(rng, [name for name, setting in SETTINGS.items() if setting.rare])
    chosen_names = {kind: Deck(rng, [*SETTINGS, *usual]) for kind in ("alone", "pair")}
    chosen_names["combination"] = Deck(rng, [name for name in usual if name not in CHOOSES])
    ways = Deck(rng, WAYS)
    for index in count():
        kind = KINDS[index % 3]
        mode = {}
        if kind == "combination":
            mode = {name: rng.choice(values) for name, values in ways.deal().items()}
            size = rng.randint(3, 7) - len(mode)
            chosen = [rare.deal()] if size > 1 and rng.random() < 0.3 else []
            while len(chosen) < size:
                chosen.append(chosen_names[kind].deal(_fits(mode, chosen, rng)))
        else:
            chosen = [chosen_names[kind].deal()]
            if kind == "pair":
                chosen.append(chosen_names[kind].deal(_goes_with(chosen[0])))
        settings = _with_needs(mode, chosen, rng, may_choose=kind != "combination")
        if kind != "alone" and rng.random() < 0.4:
            settings.setdefault("eos_token_id", SOME_EOS)
        drafted = DRAFTS & settings.keys() and rng.random() < 0.85
        prompt = singles.deal() if drafted else prompts[kind].deal()
        settings |= {name: SETTINGS[name].draw(rng, prompt) for name in chosen}
        door = ("box", "steps", "generate")[index // 3 % 3]
        if door == "box" and NOT_HANDED_ON & settings.keys():
            door = "generate"
        family = families[kind].deal()
        if family == WITH_HEADS and not CHOOSES - {"do_sample"} & settings.keys():
            settings["use_mtp"], prompt = True, singles.deal()
        yield Cell(family, prompt, door, settings)


def _goes_with(first: str) -> Callable[[str], bool]:
    return lambda name: name != first and not (SETTINGS[name].rare and SETTINGS[first].rare)


def _with_needs(mode: dict, chosen: list, rng: Random, may_choose: bool) -> dict:
    """Add what the chosen settings need, to all but one in ten, which then should do nothing.

    may_choose: what is needed may be another way of choosing a token.
    """
    settings = dict(mode)
    for name in chosen:
        needs = rng.choice(SETTINGS[name].needs) if rng.random() < 0.9 else {}
        for other, value in needs.items():
            if may_choose or other not in CHOOSES:
                settings.setdefault(other, value)
        settings[name] = None  # keeps its place; the value depends on the prompt
    return settings


def _fits(mode: dict, chosen: list, rng: Random) -> Callable[[str], bool]:
    """Keep settings that the way of choosing would ignore out of most combinations."""
    lenient = rng.random() < 0.1

    def fits(name: str) -> bool:
        asks = [CHOOSES & needs.keys() for needs in SETTINGS[name].needs]
        return name not in chosen and (lenient or any(ask <= mode.keys() for ask in asks))

    return fits


# Running one.


@dataclass
class Run:
    """What came of one side of a cell."""

    result: Any = None
    error: Exception | None = None
    forwards: int = 0
    drew: bool = False  # the state of torch's random numbers moved
    after: torch.Tensor | None = None
    heard: list | None = None
    left_behind: dict = field(default_factory=dict)  # the configs of the models after the run
    meddled: bool = False  # the model's own config was changed


@dataclass(frozen=True)
class Verdict:
    """kind: equal, both raise, refused, DIFFERENT. reason: the error's type, what was refused, or
    what differs. The rest is about the library's run: several distinct tokens, rows that ended at
    different steps, and something else than the plain greedy call of the same prompt gives."""

    kind: str
    reason: str = ""
    varied: bool = False
    staggered: bool = False
    changed: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}" if self.reason else self.kind


def by_box(model, call: dict):
    return model.generate(**call, custom_generate=llmcourse.glass_box)


def by_steps(model, call: dict) -> list:
    try:
        return list(llmcourse.steps(model, **call))
    except RuntimeError as error:  # an iterator cannot raise it: Python renames it
        if isinstance(error.__cause__, StopIteration):
            raise error.__cause__ from None
        raise


def by_generate(model, call: dict):
    return llmcourse.generate(model, **call)


DOORS = {"box": by_box, "steps": by_steps, "generate": by_generate}


def run(
    cell: Cell, broken: Callable[[Any], AbstractContextManager] = lambda model: nullcontext()
) -> Verdict:
    """Run a cell in the library and in our loop, and compare everything that came of it.

    broken: a context around our side, given the model; a test uses it to break the loop on purpose.
    """
    model = cell.model()
    with _quiet():
        theirs = _attempt(cell, model, lambda model, call: model.generate(**call))
        with broken(model):
            ours = _attempt(cell, model, DOORS[cell.door])
        facts = _facts(cell, theirs)
    kind, reason = _judge(cell, ours, theirs)
    return Verdict(kind, reason, **facts)


@contextmanager
def _quiet():
    level = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def _attempt(cell: Cell, model, door) -> Run:
    made, call = Run(), {}
    as_it_was = copy.deepcopy(vars(model.config)), copy.deepcopy(model.generation_config)
    before = _configs(model, {})
    try:
        call = cell.call()
        torch.manual_seed(TORCH_SEED)
        start = torch.get_rng_state()
        hook = model.register_forward_pre_hook(lambda *_: _count(made))
        try:
            made.result = door(model, call)
        finally:
            hook.remove()
            made.after = torch.get_rng_state()
            made.drew = not torch.equal(start, made.after)
    except Exception as error:
        made.error = error
    if isinstance(call.get("streamer"), Recorder):
        made.heard = call["streamer"].calls
    made.left_behind = _configs(model, call)
    made.meddled = _configs(model, {}) != before
    if made.meddled:  # the library's early exit leaves a model with fewer layers where it fails
        vars(model.config).clear()
        vars(model.config).update(as_it_was[0])
        model.generation_config = as_it_was[1]
    return made


def _count(made: Run) -> None:
    made.forwards += 1


def _configs(model, call: dict) -> dict:
    models = {"model": model, "assistant": call.get("assistant_model")}
    return {
        name: (one.generation_config.to_dict(), one.config.to_dict(), one.training)
        for name, one in models.items()
        if one is not None
    }


def _judge(cell: Cell, ours: Run, theirs: Run) -> tuple[str, str]:
    if ours.meddled:
        return "DIFFERENT", "ours changed the config of the model"
    if ours.error is not None and type(ours.error) is type(theirs.error):
        return "both raise", type(ours.error).__name__
    if ours.error is not None:
        named = _named(cell, ours.error)
        if named and not ours.forwards and not ours.drew:
            return "refused", named
        odd = _odd_code_in(cell, ours.error)
        if odd:
            return "refused", odd
        said = _words(ours.error)
        said += f" after {ours.forwards} forward passes" if ours.forwards else ""
        return "DIFFERENT", f"ours raised {said}; the library {_outcome(theirs)}"
    if theirs.error is not None:
        return "DIFFERENT", f"ours ran; the library {_outcome(theirs)}"
    difference = (
        _difference(cell, ours.result, theirs.result)
        or _first_unequal("random numbers used", ours.after, theirs.after)
        or _first_unequal("calls of the streamer", ours.heard, theirs.heard)
        or _first_unequal("configs left behind", ours.left_behind, theirs.left_behind)
    )
    return ("DIFFERENT", difference) if difference else ("equal", "")


def _outcome(run: Run) -> str:
    return "ran" if run.error is None else f"raised {_words(run.error)}"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:160]}"


def _named(cell: Cell, error: Exception) -> str:
    """Return the setting that a refusal names, or the class of the model; '' if neither."""
    if type(error) is not ValueError:
        return ""
    words = set(re.findall(r"\w+", str(error)))
    names = [ARGUMENT.get(name, name) for name in cell.settings]
    names.append(type(cell.model()).__name__)
    return next((name for name in names if name in words), "")


def _odd_code_in(cell: Cell, error: Exception) -> str:
    """Return the rule or criterion whose return value an error names; '' if it names none.

    What it returns is seen when it has been called, so the model has run.
    """
    names = [cell.settings.get(name) for name in ("odd_rule", "odd_criterion")]
    kinds = {"TypeError": "returned", "RuntimeError": "returned"}
    said = kinds.get(type(error).__name__, "\0") in str(error)
    return next((name for name in names if name and said and f" {name} " in str(error)), "")


def _difference(cell: Cell, ours, theirs) -> str:
    if cell.door == "steps":
        return _difference_of_steps(cell, ours, theirs)
    if type(ours) is not type(theirs):
        return f"a {type(ours).__name__}, the library a {type(theirs).__name__}"
    if isinstance(theirs, torch.Tensor):
        return _first_unequal("sequences", ours, theirs)
    if list(ours.keys()) != list(theirs.keys()):
        return f"the output holds {list(ours.keys())}, the library's {list(theirs.keys())}"
    order = ["logits", "scores", *theirs.keys()]  # the first thing that goes wrong explains most
    return next(
        filter(None, (_first_unequal(name, ours.get(name), theirs.get(name)) for name in order)), ""
    )


def _difference_of_steps(cell: Cell, steps: list, theirs) -> str:
    """Hold what the steps hold against the library's output."""
    whole = isinstance(theirs, torch.Tensor)
    sequences = theirs if whole else theirs.sequences
    for name in ("logits", "scores"):
        other = None if whole else theirs.get(name)
        mine = tuple(part for step in steps for part in _by_token(step, getattr(step, name)))
        unequal = other is not None and _first_unequal(name, mine, other)
        if unequal:
            return unequal
    odd = {cell.settings.get(name) for name in ("odd_rule", "odd_criterion")}
    if odd & {"writes_ids", "votes_and_writes_ids"}:
        return ""  # into what was chosen before; a step shows what it chose
    if isinstance(steps[-1], llmcourse.BeamStep):
        best = steps[-1].ended.texts
        per_prompt = len(sequences) // len(best.ids)
        ids = best.ids[:, :per_prompt].flatten(0, 1)[:, : sequences.shape[1]]
        scores = best.scores[:, :per_prompt].flatten()
        asked_for = None if whole else theirs.sequences_scores
        unequal = asked_for is not None and _first_unequal("sequences_scores", scores, asked_for)
        return unequal or _first_unequal("sequences", ids, sequences)
    new = [step.chosen.reshape(len(sequences), -1) for step in steps]
    return _first_unequal("sequences", torch.cat(new, 1), _new_tokens(cell, sequences))


def _by_token(step, values: torch.Tensor) -> tuple:
    """Return (batch, vocab) for each token of a step: a Round has several, of one row."""
    return values.split(1) if isinstance(step, llmcourse.Round) else (values,)


def _first_unequal(name: str, ours, theirs) -> str:
    """Return where two values differ first, '' if they are equal; nan is equal to nan."""
    if isinstance(theirs, tuple | list) and isinstance(ours, tuple | list):
        for step, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            if unequal := _first_unequal(f"{name} of step {step}", one, other):
                return unequal
        return f"{len(ours)} {name}, not {len(theirs)}" if len(ours) != len(theirs) else ""
    if isinstance(theirs, torch.Tensor) and isinstance(ours, torch.Tensor):
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            kinds = [f"{tuple(it.shape)} {it.dtype}" for it in (ours, theirs)]
            return f"{name}: {kinds[0]}, not {kinds[1]}"
        near = 1e-5 if name == "sequences_scores" else 0
        if torch.allclose(ours, theirs, rtol=0, atol=near, equal_nan=True):
            return ""
        return f"{name} differ in {(ours != theirs).sum().item()} of {ours.numel()} values"
    if isinstance(theirs, Cache) and type(ours) is type(theirs):
        return _first_unequal(f"{name}: tensors", _tensors(ours), _tensors(theirs))
    return "" if type(ours) is type(theirs) and ours == theirs else f"{name} differ"


def _tensors(thing) -> tuple:
    """Return every tensor that a cache holds: keys, values, states; its counts as tensors too."""
    if isinstance(thing, torch.Tensor | int):  # a count is either, in 5.15
        return (torch.as_tensor(thing),)
    parts = thing
    if isinstance(thing, Cache) and hasattr(thing, "layers"):
        parts = thing.layers
    elif hasattr(thing, "__dict__"):
        parts = [part for _, part in sorted(vars(thing).items())]
    elif isinstance(thing, dict):
        parts = [part for _, part in sorted(thing.items())]
    elif not isinstance(thing, list | tuple):
        return ()
    return tuple(tensor for part in parts for tensor in _tensors(part))


def _new_tokens(cell: Cell, sequences: torch.Tensor) -> torch.Tensor:
    only_embeds = "inputs_embeds" in cell.settings and "inputs" not in cell.settings
    return sequences[:, 0 if only_embeds else width(cell.prompt) :]


def _facts(cell: Cell, theirs: Run) -> dict[str, bool]:
    if theirs.error is not None:
        return {}
    sequences = getattr(theirs.result, "sequences", theirs.result)
    new = _new_tokens(cell, sequences)
    ids = cell.settings.get("eos_token_id", 5)
    eos = torch.tensor(ids if isinstance(ids, list) else [-1 if ids is None else ids])
    ended = torch.isin(new, eos).cumsum(1).gt(0).sum(1)
    plain = _plain(cell.family, cell.prompt, cell.settings.get("model_in", "float32"))
    return {
        "varied": len(new.unique()) > 2,
        "staggered": len(ended.unique()) > 1,
        "changed": not torch.equal(sequences, plain),
    }


@cache
def _plain(family: str, prompt: str, dtype: str) -> torch.Tensor:
    model = tiny(family, dtype)
    return model.generate(**call_of(model, family, prompt, {})).sequences


TALLY = ("cells", "equal", "both raise", "refused", "DIFFERENT")


def tally(verdicts) -> dict[str, int]:
    """Count verdicts by kind, in the order of TALLY."""
    kinds = [verdict.kind for verdict in verdicts]
    return {"cells": len(kinds), **{kind: kinds.count(kind) for kind in TALLY[1:]}}

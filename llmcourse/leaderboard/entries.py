"""What stands on a leaderboard: a model, how it is loaded and called, and how it is asked."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from llmcourse.measure import settings
from llmcourse.measure.settings import Setting

TEMPLATE = "template"  # asked as a chat, by the model's own template
SAMPLING = "sampling"  # what is written is drawn from the whole distribution, with a seed
ASKED = (TEMPLATE, SAMPLING)


@dataclass(frozen=True)
class Entry:
    """One line of a leaderboard."""

    model: str | None  # a folder or a hub id; None for the course's model
    name: str  # of the setting as it was asked for, such as "bfloat16+template"
    setting: Setting  # how the model is loaded and called
    template: bool = False  # asked as a chat
    sampling: bool = False  # texts are drawn, not the likeliest tokens

    @property
    def shown(self) -> str:
        """The model's name for people."""
        return self.model or "the course's model"

    @property
    def key(self) -> str:
        """What tells this entry from the others of a leaderboard."""
        return f"{self.shown}, {self.name}"

    @property
    def writing(self) -> dict:
        """Settings of `generate` for what is written."""
        drawn = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        return {**self.setting.called, **(drawn if self.sampling else {})}


def parse(model: str | None, name: str) -> Entry:
    """Return the entry of a model and a setting: parts joined by `+`, such as "8bit+template".

    Parts are those of `llmcourse.measure.settings`, "template" and "sampling". Raises ValueError
    for a part that is not known or comes twice.
    """
    parts = name.split("+")
    asked = [part for part in parts if part in ASKED]
    if len(set(asked)) < len(asked):
        raise ValueError(f"settings: {name!r} says one thing twice; leave out {asked[-1]!r}.")
    rest = "+".join(part for part in parts if part not in ASKED)
    try:
        setting = settings.parse(rest or "float32")
    except ValueError as error:
        raise ValueError(f"{error} A leaderboard also knows {' and '.join(ASKED)}.") from None
    return Entry(model, name, setting, TEMPLATE in asked, SAMPLING in asked)


def fingerprint(model) -> str:
    """Return what changes when a loaded model's files do.

    Of a hub's model the commit; of a folder a SHA-256 of its files' names, sizes and times.
    """
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return commit
    folder = Path(model.config._name_or_path)
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    said = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()

"""The doctor's field corpus: small scripts after mistakes and sound practice of public threads.

A folder for each part of the corpus below `tests/doctor/field/`, with the scripts and their
`corpus.toml`. tests/doctor/field/README.md says how it was made and read.
"""

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llmcourse.doctor.finding import Finding

FIELD = Path(__file__).resolve().parent.parent / "tests" / "doctor" / "field"
SPLITS = ("seen", "held_out", "fresh")


def _codes_at_each_draw() -> list[frozenset[str]]:
    """Return the codes that the doctor had at the first draw, at the second ..."""
    draws = tomllib.loads((FIELD / "codes.toml").read_text(encoding="utf-8"))["draw"]
    new = [frozenset(draw["codes"]) for draw in draws]
    return [frozenset().union(*new[: number + 1]) for number in range(len(new))]


# By draw: where a case names no code, its cause had no check then, and a finding with one of these
# is about something else, whatever its words.
CODES_THEN = _codes_at_each_draw()


@dataclass(frozen=True)
class Case:
    """A script of the corpus, and what there is to say about it."""

    id: str  # the thread, and what it is about
    file: Path  # the script
    url: str  # the thread, issue, question or page that it is made after
    kind: str  # the part of the library's surface: "decode", "caches", "own loops"
    # "seen"; "held_out": run to measure, and read by nobody who writes a check; "fresh": of the
    # last draw, of which nobody who writes a check has read anything yet
    split: str
    faulty: bool  # whether it has a mistake; otherwise the doctor should be silent
    cause: str = ""  # of a faulty one: what is wrong, by name; a pitfall's code where one fits
    codes: tuple[str, ...] = ()  # the pitfalls' codes that name the cause, if there were any
    says: tuple[tuple[str, ...], ...] = ()  # words: one of each tuple has to occur in the finding
    known: bool = False  # whether the cause was on a list of ours before it was drawn
    draw: int = 1  # when it was drawn, from 1
    query: int = 0  # of a draw by frequency: which of its queries found the thread, from 1

    def named_by(self, finding: Finding) -> bool:
        """Return whether a finding names the cause: by its code, and in its words."""
        if self.codes and finding.code not in self.codes:
            return False
        if not self.codes and finding.code in CODES_THEN[self.draw - 1]:
            return False
        text = " ".join((finding.code, finding.what, finding.why, finding.fix)).lower()
        return all(any(word.lower() in text for word in words) for words in self.says)


def split_of(id: str) -> str:
    """Return the part that a case belongs to: about a third is held out, by a hash of its id."""
    return "held_out" if hashlib.sha256(id.encode()).digest()[0] % 3 == 0 else "seen"


def read(splits: Iterable[str] = SPLITS) -> list[Case]:
    """Return the cases of some parts of the corpus, faulty ones first."""
    cases = [_case(split, entry) for split in splits for entry in _entries(split)]
    return sorted(cases, key=lambda case: not case.faulty)


def _entries(split: str) -> list[dict]:
    corpus = FIELD / split / "corpus.toml"
    if not corpus.exists():  # where all that was fresh has been settled
        return []
    return tomllib.loads(corpus.read_text(encoding="utf-8"))["case"]


def _case(split: str, entry: dict) -> Case:
    words = tuple(tuple(either) for either in entry.get("says", ()))
    lists = {"codes": tuple(entry.get("codes", ())), "says": words}
    return Case(**{**entry, **lists, "file": FIELD / split / entry["file"]})
